//! What a file says about its pixels and about the place of each of its frames.
//!
//! One frame is one slice, in a file of its own or among others. How slices become a volume
//! is left to `series.rs`.

use super::display;
use super::element::Elements;
use super::file::{DicomFile, PixelElement, PixelKind};
use super::syntax::Syntax;
use super::tags;
use crate::affine::{cross, dot, length};
use crate::error::VolumeError;
use crate::image::Fault;
use crate::viewing::{Padding, Window};
use crate::volume::{Modality, Rescale};
use crate::voxels::StoredType;

/// Frames of one file. A whole-body PET over time has tens of thousands.
const MOST_FRAMES: i64 = 1 << 17;

/// How pixels are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PixelFormat {
    pub(super) rows: u16,
    pub(super) columns: u16,
    pub(super) kind: PixelKind,
    pub(super) bits_allocated: u16,
    pub(super) bits_stored: u16,
    pub(super) high_bit: u16,
    pub(super) signed: bool,
    /// MONOCHROME1: what is low is bright.
    pub(super) inverted: bool,
}

impl PixelFormat {
    pub(super) fn pixels(&self) -> usize {
        usize::from(self.rows) * usize::from(self.columns)
    }

    /// The type that its numbers are kept in.
    pub(super) fn stored(&self) -> StoredType {
        match (self.kind, self.bits_allocated, self.signed) {
            (PixelKind::Float32, ..) => StoredType::F32,
            (PixelKind::Float64, ..) => StoredType::F64,
            (_, 0..=8, false) => StoredType::U8,
            (_, 0..=8, true) => StoredType::I8,
            (_, 9..=16, false) => StoredType::U16,
            (_, 9..=16, true) => StoredType::I16,
            (_, _, false) => StoredType::U32,
            (_, _, true) => StoredType::I32,
        }
    }

    /// MONOCHROME1 is turned over, as ITK does it, so that what is dense is bright in all of
    /// them: the largest number that the bits hold for the smallest.
    pub(super) fn values(&self, rescale: Rescale) -> Rescale {
        if !self.inverted || self.kind != PixelKind::Integers {
            return rescale;
        }
        let sum = if self.signed { -1.0 } else { 2_f64.powi(self.bits_stored.into()) - 1.0 };
        Rescale { slope: -rescale.slope, intercept: rescale.intercept + rescale.slope * sum }
    }
}

/// A table from stored numbers to values, all of them up to 16 bits. PS3.3, C.11.1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lookup {
    pub(super) first: i64,
    pub(super) values: Vec<u16>,
}

/// A plane in the patient, in LPS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plane {
    pub(super) position: [f64; 3],
    /// Unit steps to the next column and to the next row.
    pub(super) right: [f64; 3],
    pub(super) down: [f64; 3],
}

impl Plane {
    pub(super) fn normal(&self) -> [f64; 3] {
        cross(self.right, self.down)
    }
}

/// One slice.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) index: u32,
    pub(super) plane: Option<Plane>,
    /// Between rows, between columns.
    pub(super) spacing: Option<[f64; 2]>,
    pub(super) thickness: Option<f64>,
    pub(super) rescale: Rescale,
    /// What tells frames at one place apart.
    pub(super) traits: Traits,
}

/// What may differ between slices of one series at one place, as text.
pub(super) type Traits = [Option<String>; 8];

/// What they are, in the same order.
pub(super) const TRAIT_NAMES: [&str; 8] =
    ["stack", "b-value", "gradient", "echo", "time", "acquisition", "sequence", "image type"];

/// A file's frames.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) path: std::path::PathBuf,
    pub(super) format: PixelFormat,
    pub(super) pixels: PixelElement,
    pub(super) syntax: Syntax,
    pub(super) big_endian: bool,
    pub(super) file_bytes: u64,
    pub(super) offsets: Option<Vec<u64>>,
    pub(super) lookup: Option<Lookup>,
    pub(super) series_uid: String,
    pub(super) series_number: Option<i64>,
    pub(super) description: Option<String>,
    pub(super) number: Option<i64>,
    pub(super) modality: String,
    pub(super) segmentation: bool,
    pub(super) padding: Option<Padding>,
    /// Those of the frame in the middle.
    pub(super) windows: Vec<Window>,
    pub(super) frames: Vec<Frame>,
}

impl Instance {
    /// Reads what the header says, or refuses what is no picture in shades of gray.
    pub(super) fn of(file: &DicomFile) -> Result<Self, VolumeError> {
        let elements = file.elements();
        let class = elements.text(tags::SOP_CLASS_UID).unwrap_or_default();
        let not_an_image =
            |found: String| Err(VolumeError::NotAnImage { path: file.path.clone(), found });
        let Some(pixels) = file.pixels else {
            // What ends between two elements is no shorter data set, but half an image.
            let unsaid = class.is_empty() && !elements.has(tags::DIRECTORY_RECORD_SEQUENCE);
            if unsaid || is_image(&class) {
                let fault = Fault::new("the data set", "pixels at its end", "an end before them");
                return Err(fault.at(&file.path));
            }
            return not_an_image(without_pixels(&class, &elements));
        };
        let image_type = elements.text(tags::IMAGE_TYPE).unwrap_or_default();
        if image_type.split('\\').any(|part| part.trim() == "MOSAIC") {
            return not_an_image(
                "a Siemens mosaic, whose slices lie side by side in one picture".to_owned(),
            );
        }
        if elements.has(tags::TOTAL_PIXEL_MATRIX_COLUMNS) {
            return not_an_image("tiles of a microscope slide".to_owned());
        }
        let count = count_of_frames(&elements).map_err(|fault| fault.at(&file.path))?;
        let format = pixel_format(&elements, &pixels, &file.path)?;
        check_room(file, &pixels, &format, count).map_err(|fault| fault.at(&file.path))?;
        file.syntax.refuse_foreign().map_err(|fault| fault.at(&file.path))?;
        let lookup = lookup(&elements, format.signed).map_err(|fault| fault.at(&file.path))?;
        let groups = Frames::of(&elements, &image_type);
        let frames = groups.list(count).map_err(|fault| fault.at(&file.path))?;
        let windows = groups.windows(&frames[frames.len() / 2], &format, lookup.is_some());
        let modality: String = elements.text(tags::MODALITY).unwrap_or_default().into();
        Ok(Self {
            path: file.path.clone(),
            format,
            pixels,
            syntax: file.syntax.clone(),
            big_endian: file.encoding.big_endian,
            file_bytes: file.file_bytes,
            offsets: elements.bytes(tags::EXTENDED_OFFSET_TABLE).map(|bytes| {
                bytes.as_chunks().0.iter().map(|&offset| u64::from_le_bytes(offset)).collect()
            }),
            lookup,
            series_uid: elements.text(tags::SERIES_INSTANCE_UID).unwrap_or_default().into(),
            series_number: elements.integer(tags::SERIES_NUMBER),
            description: elements
                .text(tags::SERIES_DESCRIPTION)
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty()),
            number: elements.integer(tags::INSTANCE_NUMBER),
            modality,
            segmentation: is_segmentation(&class),
            padding: display::padding(&elements, &format),
            windows,
            frames,
        })
    }

    /// How the picture was taken.
    pub(super) fn modality(&self) -> Option<Modality> {
        match self.modality.as_str() {
            "" => None,
            "CT" => Some(Modality::Ct),
            "MR" => Some(Modality::Mr),
            // Defined terms are short words in capitals, PS3.3, C.7.3.1.1.1; nothing else is
            // passed on.
            other => is_code(other).then(|| Modality::Other(other.to_ascii_lowercase())),
        }
    }
}

/// Whether a value looks like a defined term and not like somebody's name.
pub(super) fn is_code(text: &str) -> bool {
    text.len() <= 16
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

const SEGMENTATION: &str = "1.2.840.10008.5.1.4.1.1.66.4";
const LABEL_MAP: &str = "1.2.840.10008.5.1.4.1.1.66.7";

pub(super) fn is_segmentation(class: &str) -> bool {
    [SEGMENTATION, LABEL_MAP].contains(&class)
}

/// Whether a data set is the directory of a medium.
pub(super) fn is_directory(file: &DicomFile) -> bool {
    let elements = file.elements();
    elements.has(tags::DIRECTORY_RECORD_SEQUENCE) || elements.has(tags::FILE_SET_ID)
}

/// Whether objects of a SOP class are images: computed radiographs, CT, ultrasound, MR, secondary
/// captures, projections, nuclear medicine, photographs, PET, and dose. PS3.4, B.5.
fn is_image(class: &str) -> bool {
    const FAMILIES: [&str; 13] =
        ["1", "2", "3", "4", "6", "7", "12", "13", "20", "30", "77", "128", "130"];
    const SPECTROSCOPY: &str = "4.2";
    let Some(rest) = class.strip_prefix("1.2.840.10008.5.1.4.1.1.") else { return false };
    let family = rest.split('.').next().unwrap_or_default();
    let dose = matches!(rest, "481.1" | "481.2");
    dose || (FAMILIES.contains(&family) && rest != SPECTROSCOPY)
}

/// What an object is that has no pixels.
fn without_pixels(class: &str, elements: &Elements) -> String {
    let storage = class.strip_prefix("1.2.840.10008.5.1.4.1.1.").unwrap_or_default();
    let name = match storage {
        "481.3" => "an RT structure set",
        "481.5" | "481.8" => "an RT plan",
        "66.5" => "a surface segmentation",
        "104.1" => "a PDF document",
        storage if storage.starts_with("481.") => "a radiotherapy object",
        storage if storage.starts_with("88.") => "a structured report",
        storage if storage.starts_with("9.") => "a waveform (ECG or the like)",
        storage if storage.starts_with("91.") => "annotations of microscopy",
        storage if storage.starts_with("66.") => "a registration or fiducials",
        storage if storage.starts_with("11.") => "a presentation state",
        _ if elements.has(tags::DIRECTORY_RECORD_SEQUENCE) => "a DICOMDIR",
        _ => "a data set",
    };
    format!("{name} without pixels")
}

fn count_of_frames(elements: &Elements) -> Result<u32, Fault> {
    let fault = |found: &dyn std::fmt::Display| {
        Err(Fault::new("the number of frames", format!("from 1 to {MOST_FRAMES}"), found))
    };
    if !elements.has(tags::NUMBER_OF_FRAMES) {
        return Ok(1);
    }
    match elements.integer(tags::NUMBER_OF_FRAMES) {
        Some(count) if (1..=MOST_FRAMES).contains(&count) => Ok(count as u32),
        Some(count) => fault(&count),
        None => fault(&"no number"),
    }
}

/// Refuses more frames than a file has room for, before there is a record of each. What one
/// frame lacks is said when its pixels are looked at.
fn check_room(
    file: &DicomFile,
    pixels: &PixelElement,
    format: &PixelFormat,
    count: u32,
) -> Result<(), Fault> {
    let room = match pixels.length {
        Some(length) => {
            let there = file.file_bytes.saturating_sub(pixels.start);
            let length = if file.syntax.deflated { length } else { length.min(there) };
            length * 8 / (format.pixels() as u64 * u64::from(format.bits_allocated))
        }
        None => file.file_bytes / 8, // what a fragment takes at least
    };
    if u64::from(count) <= room.max(1) {
        return Ok(());
    }
    let expected = format!("at most {}, for which there is room", room.max(1));
    Err(Fault::new("the number of frames", expected, count))
}

fn pixel_format(
    elements: &Elements,
    pixels: &PixelElement,
    path: &std::path::Path,
) -> Result<PixelFormat, VolumeError> {
    let needed = |tag, name: &str| {
        elements
            .short(tag)
            .filter(|&value| value > 0)
            .ok_or_else(|| Fault::new(name, "a positive number", "none").at(path))
    };
    let photometric = elements.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
    let samples = elements.short(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
    let segmentation =
        elements.text(tags::SOP_CLASS_UID).is_some_and(|class| is_segmentation(&class));
    let gray = matches!(&*photometric, "" | "MONOCHROME1" | "MONOCHROME2")
        || (segmentation && photometric == "PALETTE COLOR");
    if samples != 1 || !gray {
        let colors =
            if is_code(&photometric.replace(' ', "_")) { &*photometric } else { "unknown" };
        let found = format!("colors ({colors}, {samples} samples)");
        return Err(VolumeError::DataType { path: path.to_owned(), found });
    }
    let (rows, columns) = (needed(tags::ROWS, "the rows")?, needed(tags::COLUMNS, "the columns")?);
    let bits_allocated = match pixels.kind {
        PixelKind::Float32 => 32,
        PixelKind::Float64 => 64,
        PixelKind::Integers => needed(tags::BITS_ALLOCATED, "the bits allocated")?,
    };
    let fits = match pixels.kind {
        PixelKind::Integers => matches!(bits_allocated, 1 | 8 | 16 | 32),
        PixelKind::Float32 | PixelKind::Float64 => true,
    };
    if !fits {
        return Err(Fault::new("the bits allocated", "1, 8, 16 or 32", bits_allocated).at(path));
    }
    let bits_stored = elements.short(tags::BITS_STORED).unwrap_or(bits_allocated);
    let high_bit = elements.short(tags::HIGH_BIT).unwrap_or(bits_stored.saturating_sub(1));
    if pixels.kind == PixelKind::Integers
        && (bits_stored == 0 || high_bit >= bits_allocated || high_bit + 1 < bits_stored)
    {
        let expected = format!("within the {bits_allocated} bits allocated");
        let found = format!("{bits_stored} with the highest at {high_bit}");
        return Err(Fault::new("the bits stored", expected, found).at(path));
    }
    Ok(PixelFormat {
        rows,
        columns,
        kind: pixels.kind,
        bits_allocated,
        bits_stored,
        high_bit,
        signed: elements.short(tags::PIXEL_REPRESENTATION) == Some(1),
        inverted: photometric == "MONOCHROME1",
    })
}

fn lookup(elements: &Elements, signed: bool) -> Result<Option<Lookup>, Fault> {
    let item = elements.item(tags::MODALITY_LUT_SEQUENCE);
    let &[count, first, bits] = item.shorts(tags::LUT_DESCRIPTOR).as_slice() else {
        return Ok(None);
    };
    let count = if count == 0 { 1 << 16 } else { usize::from(count) };
    let wide = item.shorts(tags::LUT_DATA);
    let bytes = item.bytes(tags::LUT_DATA).unwrap_or_default();
    // Eight-bit entries come two to a word, or one.
    let values = if bits <= 8 && wide.len() < count {
        bytes.iter().map(|&byte| byte.into()).collect()
    } else {
        wide
    };
    if values.len() < count {
        return Err(Fault::new("the modality LUT", format!("{count} entries"), values.len()));
    }
    let first = if signed { i64::from(first as i16) } else { i64::from(first) };
    Ok(Some(Lookup { first, values: values[..count].to_vec() }))
}

/// Where the facts of frames are found: in groups of their own, in those that all share, or
/// in the data set itself.
struct Frames<'a> {
    elements: &'a Elements<'a>,
    shared: Elements<'a>,
    each: Vec<Elements<'a>>,
    image_type: &'a str,
}

impl<'a> Frames<'a> {
    fn of(elements: &'a Elements<'a>, image_type: &'a str) -> Self {
        Self {
            elements,
            shared: elements.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE),
            each: elements.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE),
            image_type,
        }
    }

    fn list(&self, count: u32) -> Result<Vec<Frame>, Fault> {
        if !self.each.is_empty() && self.each.len() != count as usize {
            let expected = format!("{count}, one for each frame");
            return Err(Fault::new("the per-frame functional groups", expected, self.each.len()));
        }
        let offsets = self.elements.decimals(tags::GRID_FRAME_OFFSET_VECTOR);
        (0..count)
            .map(|index| {
                let mut frame = self.frame(index)?;
                if count > 1 && self.each.is_empty() {
                    // What is said once holds for the first; dose grids say where the others are.
                    let offset = offsets
                        .as_ref()
                        .and_then(|list| Some(list.get(index as usize)? - list.first()?));
                    frame.plane = match (frame.plane, offset) {
                        (Some(plane), Some(mm)) => {
                            let normal = plane.normal();
                            let place = |axis: usize| plane.position[axis] + mm * normal[axis];
                            Some(Plane { position: [0, 1, 2].map(place), ..plane })
                        }
                        _ => None,
                    };
                }
                Ok(frame)
            })
            .collect()
    }

    fn frame(&self, index: u32) -> Result<Frame, Fault> {
        let none = Elements::default();
        let own = self.each.get(index as usize).unwrap_or(&none);
        let groups =
            |sequence| -> [Elements; 2] { [own.item(sequence), self.shared.item(sequence)] };
        // The nearest place that says something.
        let decimals = |sequence, tag| {
            let [own, shared] = groups(sequence);
            [own, shared]
                .iter()
                .find_map(|item| item.decimals(tag))
                .or_else(|| self.elements.decimals(tag))
        };
        let position = decimals(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT);
        let orientation =
            decimals(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT);
        let measures = tags::PIXEL_MEASURES_SEQUENCE;
        let spacing = decimals(measures, tags::PIXEL_SPACING);
        let first = |tag| decimals(measures, tag).and_then(|list| list.first().copied());
        let positive = |mm: &f64| mm.is_finite() && *mm > 0.0;
        let values = tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE;
        let number = |tag, default: f64| {
            decimals(values, tag).and_then(|list| list.first().copied()).unwrap_or(default)
        };
        let rescale = Rescale {
            slope: number(tags::RESCALE_SLOPE, 1.0),
            intercept: number(tags::RESCALE_INTERCEPT, 0.0),
        };
        if !rescale.slope.is_finite() || !rescale.intercept.is_finite() || rescale.slope == 0.0 {
            let found = format!("{} and {}", rescale.slope, rescale.intercept);
            return Err(Fault::new(
                "the rescale slope and intercept",
                "numbers, the slope not 0",
                found,
            ));
        }
        Ok(Frame {
            index,
            plane: plane(position, orientation)?,
            spacing: match spacing.as_deref() {
                Some(&[rows, columns]) if positive(&rows) && positive(&columns) => {
                    Some([rows, columns])
                }
                None => None,
                Some(other) => {
                    return Err(Fault::new(
                        "the pixel spacing",
                        "two positive numbers",
                        format!("{other:?}"),
                    ));
                }
            },
            thickness: first(tags::SLICE_THICKNESS)
                .filter(positive)
                .or_else(|| first(tags::SPACING_BETWEEN_SLICES).filter(positive)),
            rescale,
            traits: self.traits(own),
        })
    }

    fn windows(&self, frame: &Frame, format: &PixelFormat, lookup: bool) -> Vec<Window> {
        let none = Elements::default();
        let own = self.each.get(frame.index as usize).unwrap_or(&none);
        let sequence = tags::FRAME_VOI_LUT_SEQUENCE;
        let groups = [&own.item(sequence), &self.shared.item(sequence), self.elements];
        display::windows(&groups, format, frame.rescale, lookup)
    }

    /// Where the standard has a place for it, or where makers had theirs before.
    fn b_value(&self) -> Option<f64> {
        let elements = self.elements;
        elements
            .double(tags::DIFFUSION_B_VALUE)
            .or_else(|| elements.decimal(tags::SIEMENS_B_VALUE))
            .or_else(|| elements.single(tags::PHILIPS_B_VALUE).map(f64::from))
            .or_else(|| elements.double(tags::UIH_B_VALUE))
            // A billion and more says that several follow; three others say what else.
            .or_else(|| {
                let text = elements.text(tags::GE_B_VALUE)?;
                let first: f64 = text.split('\\').next()?.trim().parse().ok()?;
                Some(if first >= 1e9 { first - 1e9 } else { first })
            })
    }

    /// In the order in which they are tried for telling frames apart.
    fn traits(&self, own: &Elements) -> Traits {
        let top = |tag| self.elements.text(tag).map(std::borrow::Cow::into_owned);
        let groups = |sequence| [own.item(sequence), self.shared.item(sequence)];
        let double = |sequence, tag| {
            groups(sequence).iter().find_map(|item| item.double(tag)).map(|value| value.to_string())
        };
        let content = own.item(tags::FRAME_CONTENT_SEQUENCE);
        let b_value = double(tags::MR_DIFFUSION_SEQUENCE, tags::DIFFUSION_B_VALUE)
            .or_else(|| self.b_value().map(|b| b.to_string()));
        let gradient = groups(tags::MR_DIFFUSION_SEQUENCE)
            .iter()
            .map(|item| item.item(tags::DIFFUSION_GRADIENT_DIRECTION_SEQUENCE))
            .find_map(|item| item.doubles(tags::DIFFUSION_GRADIENT_ORIENTATION))
            .or_else(|| self.elements.doubles(tags::DIFFUSION_GRADIENT_ORIENTATION))
            .or_else(|| self.elements.doubles(tags::SIEMENS_GRADIENT_DIRECTION))
            .map(|direction| {
                let numbers: Vec<String> =
                    direction.iter().take(3).map(|n| format!("{n:.4}")).collect();
                numbers.join(" ")
            });
        let echo = double(tags::MR_ECHO_SEQUENCE, tags::EFFECTIVE_ECHO_TIME)
            .or_else(|| {
                top(tags::ECHO_NUMBERS).zip(top(tags::ECHO_TIME)).map(|(n, time)| n + "/" + &time)
            })
            .or_else(|| top(tags::ECHO_TIME));
        let time = content
            .long(tags::TEMPORAL_POSITION_INDEX)
            .map(|index| index.to_string())
            .or_else(|| top(tags::TEMPORAL_POSITION_IDENTIFIER))
            .or_else(|| top(tags::TRIGGER_TIME));
        [
            content.text(tags::STACK_ID).map(std::borrow::Cow::into_owned),
            b_value,
            gradient,
            echo,
            time,
            top(tags::ACQUISITION_NUMBER),
            top(tags::SEQUENCE_NAME),
            (!self.image_type.is_empty()).then(|| self.image_type.to_owned()),
        ]
    }
}

/// The plane of a frame: `None` where the file does not say, refused where it says nonsense.
fn plane(
    position: Option<Vec<f64>>,
    orientation: Option<Vec<f64>>,
) -> Result<Option<Plane>, Fault> {
    let (Some(position), Some(orientation)) = (position, orientation) else { return Ok(None) };
    let fault = || {
        let found = "something else";
        Fault::new(
            "position and orientation",
            "three numbers and two unit vectors at right angles",
            found,
        )
    };
    let position: [f64; 3] = position.try_into().map_err(|_| fault())?;
    let &[a, b, c, d, e, f] = orientation.as_slice() else { return Err(fault()) };
    let (right, down) = ([a, b, c], [d, e, f]);
    let unit = |v: [f64; 3]| v.map(|x| x / length(v));
    let near = |v: [f64; 3]| (length(v) - 1.0).abs() < 0.01;
    let finite = position.iter().all(|mm| mm.is_finite());
    if !finite || !near(right) || !near(down) || dot(right, down).abs() > 0.01 {
        return Err(fault());
    }
    Ok(Some(Plane { position, right: unit(right), down: unit(down) }))
}
