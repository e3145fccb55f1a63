//! A MetaImage header, checked: nothing in it is used before it was found to make sense.

use std::collections::BTreeMap;
use std::path::Path;

use crate::affine::dot;
use crate::error::VolumeError;
use crate::fields::{LONGEST_HEADER, integer, reals, shown, sizes};
use crate::geometry::Geometry;
use crate::image::{Description, Fault, Sizes, array_shape};
use crate::input::{Coding, Input};
use crate::lps::Lps;
use crate::parts::{Layout, Named, Skip};
use crate::source::SourceHeader;
use crate::viewing::Viewing;
use crate::volume::{Modality, Rescale};
use crate::voxels::{ByteOrder, StoredType};

/// More axes than MetaIO has.
const MOST_AXES: usize = 10;

/// Whether `bytes` start a MetaImage: lines of text, one of which says `NDims`.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    for line in bytes.split(|&byte| byte == b'\n') {
        let Some(at) = separator(line) else { return false };
        match line[..at].trim_ascii() {
            b"NDims" => return true,
            key if key.iter().all(u8::is_ascii_graphic) && !key.is_empty() => {}
            _ => return false,
        }
    }
    false
}

/// Where a line's key ends: MetaIO takes either sign.
fn separator(line: &[u8]) -> Option<usize> {
    line.iter().position(|&byte| byte == b'=' || byte == b':')
}

/// The lines of a header, by their keys.
struct Lines(BTreeMap<String, String>);

/// Where the voxels are.
#[derive(Debug)]
pub(crate) enum Place {
    /// Behind the header.
    Local,
    /// In files of their own.
    Files(Named),
}

/// A header whose fields make sense, each alone and together.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) description: Description,
    pub(crate) place: Place,
    pub(crate) layout: Layout,
    /// Whether the voxels are packed, as zlib or gzip.
    pub(crate) compressed: bool,
}

/// Reads the header that `input` starts with.
pub(crate) fn read(input: &mut Input) -> Result<Header, VolumeError> {
    let mut lines = BTreeMap::new();
    let path = input.path().to_owned();
    let data_file = loop {
        let line = input.line()?.filter(|_| input.position() <= LONGEST_HEADER);
        let Some(line) = line else {
            return Err(
                Fault::new("ElementDataFile", "the last line of the header", "none").at(&path)
            );
        };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let Some(at) = separator(&line) else {
            let number = lines.len() + 1;
            let fault = Fault::new("each line of the header", "a key and a value", "another");
            tracing::debug!(number, "a line of a header has no key");
            return Err(fault.at(&path));
        };
        let key = String::from_utf8_lossy(line[..at].trim_ascii()).into_owned();
        let value = line[at + 1..].trim_ascii();
        if key == "ElementDataFile" {
            break value.to_owned();
        }
        lines.insert(key, String::from_utf8_lossy(value).into_owned());
    };
    let lines = Lines(lines);
    let description = description(&lines, &path)?;
    let place = place(&data_file, input, &description)?;
    let fault = |fault: Fault| fault.at(&path);
    let (layout, compressed) = layout(&lines, &description, &place, input).map_err(fault)?;
    Ok(Header { description, place, layout, compressed })
}

impl Lines {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn required(&self, key: &str) -> Result<&str, Fault> {
        self.get(key).ok_or_else(|| Fault::new(key, "in the header", "nothing"))
    }

    /// Yes or no, by the first letter as MetaIO has it.
    fn flag(&self, key: &str) -> Result<Option<bool>, Fault> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.bytes().next() {
            Some(b'T' | b't' | b'1') => Ok(Some(true)),
            Some(b'F' | b'f' | b'0') => Ok(Some(false)),
            _ => Err(Fault::new(key, "True or False", shown(value))),
        }
    }

    /// The numbers of a field that goes by several names, which must not contradict each other.
    fn synonyms(&self, keys: &[&str], count: usize) -> Result<Option<Vec<f64>>, Fault> {
        let mut first: Option<(&str, Vec<f64>)> = None;
        for key in keys {
            let Some(value) = self.get(key) else { continue };
            let numbers = reals(key, value, count)?;
            match &first {
                Some((name, known)) if *known != numbers => {
                    let expected = format!("what {name} is, {known:?}");
                    return Err(Fault::new(key, expected, shown(value)));
                }
                Some(_) => {}
                None => first = Some((key, numbers)),
            }
        }
        Ok(first.map(|(_, numbers)| numbers))
    }
}

fn description(lines: &Lines, path: &Path) -> Result<Description, VolumeError> {
    let fault = |fault: Fault| fault.at(path);
    if lines.get("ObjectType").is_some_and(|object| object != "Image") {
        let found = "a MetaIO file that is no image".to_owned();
        return Err(VolumeError::Format { path: path.to_owned(), found });
    }
    let axes = lines.required("NDims").map_err(fault)?;
    let axes = integer("NDims", axes, 1)
        .ok()
        .filter(|axes| *axes <= MOST_AXES)
        .ok_or_else(|| Fault::new("NDims", format!("1 to {MOST_AXES} axes"), shown(axes)))
        .map_err(fault)?;
    let dims = lines.required("DimSize").and_then(|value| sizes("DimSize", value, axes));
    let dims = dims.map_err(fault)?;
    let stored = stored_type(lines, path)?;
    let sizes = Sizes::of(&dims, stored).ok_or_else(|| {
        Fault::new("DimSize", "a size that fits into memory", format!("{dims:?}")).at(path)
    })?;
    let shape = array_shape(&dims);
    let geometry = match grid(lines, axes).map_err(fault)? {
        None => Geometry::pixels(shape),
        Some(grid) => Geometry::new(shape, grid.ras_from_index())
            .map_err(|source| VolumeError::Geometry { path: path.to_owned(), source })?,
    };
    if let Some(unit) = lines.get("DistanceUnits").filter(|unit| !matches!(*unit, "mm" | "?" | ""))
    {
        tracing::warn!(unit, "distances are taken for millimeters, as ITK takes them");
    }
    let modality = match lines.get("Modality") {
        Some("MET_MOD_CT") => Some(Modality::Ct),
        Some("MET_MOD_MR") => Some(Modality::Mr),
        _ => None,
    };
    Ok(Description {
        format: "metaimage",
        dims,
        stored,
        order: byte_order(lines).map_err(fault)?,
        rescale: Rescale::IDENTITY,
        geometry,
        modality,
        labels_only: None,
        lossy: false,
        viewing: Viewing::default(),
        source: SourceHeader { nifti: None, planar: axes == 2 },
        sizes,
    })
}

fn stored_type(lines: &Lines, path: &Path) -> Result<StoredType, VolumeError> {
    let refuse = |found: String| Err(VolumeError::DataType { path: path.to_owned(), found });
    let channels = lines.get("ElementNumberOfChannels").map_or(Ok(1), |value| {
        integer("ElementNumberOfChannels", value, 1_u64).map_err(|fault| fault.at(path))
    })?;
    if channels > 1 {
        return refuse(format!("{channels} channels per voxel"));
    }
    Ok(match lines.required("ElementType").map_err(|fault| fault.at(path))? {
        "MET_CHAR" => StoredType::I8,
        "MET_UCHAR" => StoredType::U8,
        "MET_SHORT" => StoredType::I16,
        "MET_USHORT" => StoredType::U16,
        "MET_INT" | "MET_LONG" => StoredType::I32,
        "MET_UINT" | "MET_ULONG" => StoredType::U32,
        "MET_LONG_LONG" => StoredType::I64,
        "MET_ULONG_LONG" => StoredType::U64,
        "MET_FLOAT" => StoredType::F32,
        "MET_DOUBLE" => StoredType::F64,
        other => return refuse(format!("ElementType {}", shown(other))),
    })
}

fn byte_order(lines: &Lines) -> Result<ByteOrder, Fault> {
    let by_element = lines.flag("ElementByteOrderMSB")?;
    let by_binary = lines.flag("BinaryDataByteOrderMSB")?;
    if let (Some(a), Some(b)) = (by_element, by_binary)
        && a != b
    {
        let expected = "what BinaryDataByteOrderMSB is";
        return Err(Fault::new("ElementByteOrderMSB", expected, "the opposite"));
    }
    let text = lines.flag("BinaryData")? == Some(false);
    let big = by_element.or(by_binary).unwrap_or(false) && !text;
    Ok(if big { ByteOrder::Big } else { ByteOrder::Little })
}

/// Where the voxels are, or nothing if the header says nothing about it.
fn grid(lines: &Lines, axes: usize) -> Result<Option<Lps>, Fault> {
    let spacing = match lines.synonyms(&["ElementSpacing"], axes)? {
        Some(spacing) => Some(spacing),
        None => lines.synonyms(&["ElementSize"], axes)?,
    };
    let origin = lines.synonyms(&["Offset", "Position", "Origin"], axes)?;
    let matrix = lines.synonyms(&["TransformMatrix", "Rotation", "Orientation"], axes * axes)?;
    if spacing.is_none() && origin.is_none() && matrix.is_none() {
        return Ok(None);
    }
    let spatial = axes.min(3);
    let mut grid =
        Lps { steps: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], origin: [0.0; 3] };
    for axis in 0..spatial {
        // A negative distance turns its axis around, as in ITK.
        let step = spacing.as_ref().map_or(1.0, |spacing| spacing[axis]);
        if step == 0.0 || !step.is_finite() {
            let found = format!("{step} along axis {axis}");
            return Err(Fault::new("ElementSpacing", "distances other than 0", found));
        }
        for world in 0..spatial {
            let entry = |row: usize, column: usize| {
                let unit = if row == column { 1.0 } else { 0.0 };
                matrix.as_ref().map_or(unit, |matrix| matrix[row * axes + column])
            };
            grid.steps[axis][world] = step * entry(axis, world);
            for rest in spatial..axes {
                if entry(axis, rest) != 0.0 || entry(rest, world) != 0.0 {
                    let expected = "a transform that keeps space and other axes apart";
                    return Err(Fault::new("TransformMatrix", expected, "another"));
                }
            }
        }
        grid.origin[axis] = origin.as_ref().map_or(0.0, |origin| origin[axis]);
    }
    if matrix.is_some() && grid.steps.iter().any(|step| dot(*step, *step) == 0.0) {
        return Err(Fault::new("TransformMatrix", "a direction for each axis", "zeros"));
    }
    Ok(Some(grid))
}

fn place(
    data_file: &[u8],
    input: &mut Input,
    description: &Description,
) -> Result<Place, VolumeError> {
    let path = input.path().to_owned();
    let fault = |fault: Fault| fault.at(&path);
    let field = "ElementDataFile";
    if data_file.is_empty() {
        return Err(fault(Fault::new(field, "a file's name or LOCAL", "nothing")));
    }
    if matches!(data_file, b"LOCAL" | b"Local" | b"local") {
        return Ok(Place::Local);
    }
    let dims = &description.dims;
    if data_file.starts_with(b"LIST") {
        let words = String::from_utf8_lossy(data_file).into_owned();
        let axes = match words.split_whitespace().nth(1) {
            None => dims.len() - 1,
            Some(axes) => axes
                .trim_end_matches(['d', 'D'])
                .parse()
                .ok()
                .filter(|axes| (1..=dims.len()).contains(axes))
                .unwrap_or(dims.len() - 1),
        };
        let count: u64 = dims[axes..].iter().product();
        return Ok(Place::Files(Named::by_list(input, count, field)?));
    }
    if data_file.contains(&b'%') {
        let words = String::from_utf8_lossy(data_file).into_owned();
        let count = dims[dims.len() - 1] as i64;
        let numbers = numbers(&words, count).map_err(fault)?;
        let pattern = data_file.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        return Ok(Place::Files(Named::by_pattern(pattern, numbers, &path)?));
    }
    Ok(Place::Files(Named { names: vec![data_file.to_owned()] }))
}

/// The numbers of `pattern first last step`, with MetaIO's values for what is not said.
fn numbers(words: &str, count: i64) -> Result<impl Iterator<Item = i64> + use<>, Fault> {
    let words: Vec<&str> = words.split_whitespace().skip(1).collect();
    let said: Option<Vec<i64>> = words.iter().map(|word| word.parse().ok()).collect();
    let fault = || {
        let expected = format!("a pattern for {count} files");
        Fault::new("ElementDataFile", expected, shown(&words.join(" ")))
    };
    let said = said.ok_or_else(fault)?;
    let first = said.first().copied().unwrap_or(1);
    let step = match said[..] {
        [first, last] => (last.saturating_sub(first) / count).max(1),
        [_, _, step, ..] => step,
        _ => 1,
    };
    let last = said.get(1).copied().unwrap_or_else(|| first.saturating_add(count - 1));
    let distance = last.checked_sub(first).filter(|_| step > 0);
    let given = distance.and_then(|distance| (distance / step).checked_add(1));
    if given != Some(count) {
        return Err(fault());
    }
    Ok((0..count).map(move |at| first + at * step))
}

fn layout(
    lines: &Lines,
    description: &Description,
    place: &Place,
    input: &Input,
) -> Result<(Layout, bool), Fault> {
    let compressed = lines.flag("CompressedData")?.unwrap_or(false);
    let text = lines.flag("BinaryData")? == Some(false);
    let header_size =
        lines.get("HeaderSize").map_or(Ok(0), |value| integer("HeaderSize", value, -1_i64))?;
    let offset = match (place, u64::try_from(header_size)) {
        (_, Ok(size)) if size > 0 => size,
        (Place::Local, _) => input.position(),
        (Place::Files(_), _) => 0,
    };
    let skip = if header_size < 0 { Skip::ToVoxelsAtEnd } else { Skip::Bytes(0) };
    if header_size < 0 && (compressed || text) {
        return Err(Fault::new("HeaderSize", "0 or more for voxels that are packed or text", -1));
    }
    let packed_bytes = match lines.get("CompressedDataSize") {
        Some(value) if compressed => Some(integer("CompressedDataSize", value, 0_u64)?),
        _ => None,
    };
    let one_file = match place {
        Place::Local => true,
        Place::Files(named) => named.names.len() == 1,
    };
    let coding = if text { Coding::Text(description.stored) } else { Coding::Plain };
    let packed_bytes = packed_bytes.filter(|&bytes| bytes > 0 && one_file);
    Ok((Layout { offset, lines: 0, coding, packed_bytes, skip }, compressed && !text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_known_by_its_dimensions() {
        for text in
            ["NDims = 3", "ObjectType = Image\r\nNDims = 2\r\n", "Comment = a b\nNDims: 3\n"]
        {
            assert!(is_header(text.as_bytes()), "{text}");
        }
        for text in ["", "ObjectType = Scene\n", "NRRD0004\nNDims = 3", "a b = 1\nNDims = 3"] {
            assert!(!is_header(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn patterns_count_as_metaio_counts() {
        let all =
            |words: &str, count| numbers(words, count).map(Iterator::collect::<Vec<i64>>).ok();
        assert_eq!(all("s%d", 3), Some(vec![1, 2, 3]));
        assert_eq!(all("s%d 0", 2), Some(vec![0, 1]));
        assert_eq!(all("s%d 5 9 2", 3), Some(vec![5, 7, 9]));
        assert_eq!(all("s%d 1 3", 3), Some(vec![1, 2, 3]));
        for words in [
            "s%d 1 9 1",
            "s%d 1 3 0",
            "s%d x",
            "s%d 3 1 1",
            "s%d -9223372036854775808 9223372036854775807 1",
        ] {
            assert_eq!(all(words, 3), None, "{words}");
        }
    }
}
