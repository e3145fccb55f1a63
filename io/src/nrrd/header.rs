//! An NRRD header, checked: nothing in it is used before it was found to make sense.

use std::path::Path;

use super::fields::Fields;
use super::grid::{Grid, Unusable};
use crate::error::VolumeError;
use crate::fields::{integer, shown, sizes};
use crate::geometry::Geometry;
use crate::image::{Description, Fault, Sizes, array_shape};
use crate::input::{Coding, Input};
use crate::parts::{Layout, Named, Skip};
use crate::source::SourceHeader;
use crate::viewing::Viewing;
use crate::volume::Rescale;
use crate::voxels::{ByteOrder, StoredType};

/// More axes than teem has.
const MOST_AXES: usize = 16;

/// Whether `bytes` start an NRRD.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    bytes.starts_with(b"NRRD00")
}

/// A header whose fields make sense, each alone and together.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) description: Description,
    /// The files of the voxels, where they are not behind the header.
    pub(crate) files: Option<Named>,
    pub(crate) layout: Layout,
}

/// Reads the header that `input` starts with.
pub(crate) fn read(input: &mut Input) -> Result<Header, VolumeError> {
    let path = input.path().to_owned();
    let version = input.line()?.unwrap_or_default();
    if !matches!(version.trim_ascii(), [b'N', b'R', b'R', b'D', b'0', b'0', b'0', b'1'..=b'5']) {
        let found = shown(&String::from_utf8_lossy(&version));
        return Err(Fault::new("the first line", "NRRD0001 to NRRD0005", found).at(&path));
    }
    let fields = Fields::read(input)?;
    let behind = input.position();
    let fault = |fault: Fault| fault.at(&path);

    let axes = fields.required("dimension").and_then(|value| {
        let axes = integer("dimension", value, 1).ok().filter(|axes| *axes <= MOST_AXES);
        axes.ok_or_else(|| Fault::new("dimension", format!("1 to {MOST_AXES}"), shown(value)))
    });
    let axes = axes.map_err(fault)?;
    let declared = fields.required("sizes").and_then(|value| sizes("sizes", value, axes));
    let declared = declared.map_err(fault)?;
    let stored = stored_type(fields.required("type").map_err(fault)?, &path)?;
    let grid = Grid::of(&fields, &declared).map_err(|unusable| match unusable {
        Unusable::Field(fault) => fault.at(&path),
        Unusable::Voxels(found) => VolumeError::DataType { path: path.clone(), found },
    })?;
    let coding = coding(fields.required("encoding").map_err(fault)?, stored).map_err(fault)?;
    let order = byte_order(&fields, stored, coding).map_err(fault)?;
    let description = description(&fields, grid, stored, order, &path)?;
    let files = match &fields.data_file {
        None => None,
        Some(value) => Some(files(value, input, &declared)?),
    };
    let layout =
        layout(&fields, coding, if files.is_none() { behind } else { 0 }).map_err(fault)?;
    Ok(Header { description, files, layout })
}

fn description(
    fields: &Fields,
    grid: Grid,
    stored: StoredType,
    order: ByteOrder,
    path: &Path,
) -> Result<Description, VolumeError> {
    let Grid { dims, spatial, lps } = grid;
    let sizes = Sizes::of(&dims, stored).ok_or_else(|| {
        Fault::new("sizes", "a size that fits into memory", format!("{dims:?}")).at(path)
    })?;
    let shape = array_shape(&dims);
    let geometry = match lps {
        None => Geometry::pixels(shape),
        Some(lps) => Geometry::new(shape, lps.ras_from_index())
            .map_err(|source| VolumeError::Geometry { path: path.to_owned(), source })?,
    };
    let units = fields.get("spaceunits").or(fields.get("units")).unwrap_or_default();
    let other_unit = |unit: &str| !matches!(unit, "mm" | "millimeter" | "millimeters" | "???" | "");
    if units.split(['"', ' ']).take(2 * spatial).any(other_unit) {
        tracing::warn!("distances are taken for millimeters, as ITK takes them");
    }
    Ok(Description {
        format: "nrrd",
        dims,
        stored,
        order,
        rescale: Rescale::IDENTITY,
        geometry,
        modality: None,
        labels_only: None,
        lossy: false,
        viewing: Viewing::default(),
        source: SourceHeader { nifti: None, planar: spatial == 2 },
        sizes,
    })
}

fn stored_type(name: &str, path: &Path) -> Result<StoredType, VolumeError> {
    let words: Vec<String> = name.split_whitespace().map(str::to_ascii_lowercase).collect();
    Ok(match words.join(" ").as_str() {
        "char" | "signed char" | "int8" | "int8_t" => StoredType::I8,
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => StoredType::U8,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => {
            StoredType::I16
        }
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => {
            StoredType::U16
        }
        "int" | "signed int" | "int32" | "int32_t" => StoredType::I32,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => StoredType::U32,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => StoredType::I64,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => {
            StoredType::U64
        }
        "float" => StoredType::F32,
        "double" => StoredType::F64,
        "block" => {
            let found = "blocks of bytes".to_owned();
            return Err(VolumeError::DataType { path: path.to_owned(), found });
        }
        _ => {
            let found = format!("unknown type {}", shown(name));
            return Err(VolumeError::DataType { path: path.to_owned(), found });
        }
    })
}

fn coding(name: &str, stored: StoredType) -> Result<Coding, Fault> {
    match name.to_ascii_lowercase().as_str() {
        "raw" => Ok(Coding::Plain),
        "gz" | "gzip" => Ok(Coding::Gzip),
        "bz2" | "bzip2" => Ok(Coding::Bzip2),
        "txt" | "text" | "ascii" => Ok(Coding::Text(stored)),
        "hex" => Ok(Coding::Hex),
        _ => Err(Fault::new("encoding", "raw, gzip, bzip2, text or hex", shown(name))),
    }
}

fn byte_order(fields: &Fields, stored: StoredType, coding: Coding) -> Result<ByteOrder, Fault> {
    let order = match fields.get("endian").map(str::to_ascii_lowercase).as_deref() {
        Some("little") => Some(ByteOrder::Little),
        Some("big") => Some(ByteOrder::Big),
        Some(other) => return Err(Fault::new("endian", "little or big", shown(other))),
        None => None,
    };
    match (coding, order) {
        (Coding::Text(_), _) => Ok(ByteOrder::Little), // which is what numbers become
        (_, Some(order)) => Ok(order),
        (_, None) if stored.bytes() == 1 => Ok(ByteOrder::Little),
        (_, None) => Err(Fault::new("endian", "little or big", "nothing")),
    }
}

/// `data file: name`, `data file: pattern first last step [axes]` or `data file: LIST [axes]`,
/// for an image of these `sizes`, whose product is known to be a size.
fn files(value: &[u8], input: &mut Input, sizes: &[u64]) -> Result<Named, VolumeError> {
    let path = input.path().to_owned();
    let fault = |expected: &str, found: &str| {
        Err(Fault::new("data file", expected, shown(found)).at(&path))
    };
    let text = String::from_utf8_lossy(value).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    let Some(&first) = words.first() else { return fault("a file's name", "") };
    let list = first == "LIST";
    let pattern = first.contains('%') && words.len() >= 4;
    if !list && !pattern {
        return Ok(Named { names: vec![value.to_owned()] });
    }
    let axes = match words.get(if list { 1 } else { 4 }) {
        None => sizes.len() - 1,
        Some(word) => match word.parse() {
            Ok(axes) if (1..=sizes.len()).contains(&axes) => axes,
            _ => return fault(&format!("1 to {} axes per file", sizes.len()), word),
        },
    };
    // Files of as many axes as the image has are slabs of it, however many there are.
    let slabs = axes == sizes.len();
    let count: u64 = sizes[axes..].iter().product();
    let named = match (list, slabs) {
        (true, false) => Named::by_list(input, count, "data file")?,
        (true, true) => Named::by_whole_list(input)?,
        (false, _) => {
            let numbers: Option<Vec<i64>> =
                words[1..4].iter().map(|word| word.parse().ok()).collect();
            let Some(&[from, to, step]) = numbers.as_deref() else {
                return fault("a pattern with a first and last number and a step", &text);
            };
            let steps = to.checked_sub(from).and_then(|distance| distance.checked_div(step));
            let given = steps.and_then(|steps| steps.checked_add(1)).filter(|given| *given > 0);
            let Some(given) = given.filter(|given| slabs || *given as u64 == count) else {
                let files = if slabs { "some".to_owned() } else { count.to_string() };
                return fault(&format!("a pattern for {files} files"), &text);
            };
            let numbers = (0..given).map(move |at| from + at * step);
            Named::by_pattern(first.as_bytes(), numbers, &path)?
        }
    };
    let (last, pieces) = (sizes[sizes.len() - 1], named.names.len() as u64);
    if slabs && (pieces == 0 || !last.is_multiple_of(pieces)) {
        return fault(&format!("files that share {last} slices"), &format!("{pieces} files"));
    }
    Ok(named)
}

fn layout(fields: &Fields, coding: Coding, behind: u64) -> Result<Layout, Fault> {
    let lines = fields.get("lineskip").map_or(Ok(0), |value| integer("line skip", value, 0_u64))?;
    let bytes =
        fields.get("byteskip").map_or(Ok(0), |value| integer("byte skip", value, -1_i64))?;
    let text = matches!(coding, Coding::Text(_) | Coding::Hex);
    if bytes != 0 && text {
        return Err(Fault::new("byte skip", "0 for voxels that are text", bytes));
    }
    let skip = u64::try_from(bytes).map_or(Skip::ToVoxelsAtEnd, Skip::Bytes);
    Ok(Layout { offset: behind, lines, coding, packed_bytes: None, skip })
}
