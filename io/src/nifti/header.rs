//! A NIfTI header, checked: nothing in it is used before it was found to make sense.

use std::fmt::Display;
use std::path::Path;

pub(crate) use super::layout::Version;
use super::layout::{
    BITPIX, DATATYPE, DIM, Field, Fields, INTENT_CODE, PIXDIM, QFORM_CODE, QOFFSET, QUATERN,
    SCL_INTER, SCL_SLOPE, SFORM_CODE, SIZEOF_HDR, SROW, VOX_OFFSET, XYZT_UNITS, magic_at,
};
use super::placement::Placement;
use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::image::{Description, Fault, Sizes, array_shape};
use crate::source::SourceHeader;
use crate::viewing::Viewing;
use crate::volume::Rescale;
use crate::voxels::{ByteOrder, StoredType};

impl Fault {
    pub(crate) fn entry(
        field: Field,
        index: usize,
        expected: impl Into<String>,
        found: impl Display,
    ) -> Self {
        Self::new(&format!("{}[{index}]", field.name), expected, found)
    }
}

/// A header whose fields make sense, each alone and together.
#[derive(Debug)]
pub(crate) struct Header {
    /// Whether the voxels are in a file of their own.
    pub(crate) pair: bool,
    /// Where the voxels start.
    pub(crate) offset: u64,
    pub(crate) description: Description,
}

/// What the first bytes of a file say about its header.
pub(crate) fn recognize(bytes: &[u8], path: &Path) -> Result<(Version, ByteOrder), VolumeError> {
    let Some(first) = bytes.first_chunk() else {
        return Err(truncated(bytes, Version::One, path));
    };
    let known =
        [(348, Version::One), (540, Version::Two)].into_iter().find_map(|(size, version)| {
            let order = match size {
                _ if i32::from_le_bytes(*first) == size => ByteOrder::Little,
                _ if i32::from_be_bytes(*first) == size => ByteOrder::Big,
                _ => return None,
            };
            Some((version, order))
        });
    if let Some((version, order)) = known {
        if bytes.len() < version.header_bytes() {
            return Err(truncated(bytes, version, path));
        }
        return Ok((version, order));
    }
    if bytes.len() < Version::One.header_bytes() {
        return Err(truncated(bytes, Version::One, path));
    }
    if matches!(&bytes[344..347], b"n+1" | b"ni1") {
        let found = i32::from_le_bytes(*first);
        return Err(Fault::new(SIZEOF_HDR.name, "348 or 540", found).at(path));
    }
    Err(VolumeError::Format { path: path.to_owned(), found: "something else".to_owned() })
}

fn truncated(bytes: &[u8], version: Version, path: &Path) -> VolumeError {
    VolumeError::Truncated {
        path: path.to_owned(),
        part: "header",
        expected: version.header_bytes() as u64,
        found: bytes.len() as u64,
    }
}

impl Header {
    /// Checks a header of which [`recognize`] has found the version and byte order.
    pub(crate) fn parse(
        bytes: &[u8],
        version: Version,
        order: ByteOrder,
        path: &Path,
    ) -> Result<Self, VolumeError> {
        let fault = |fault: Fault| fault.at(path);
        let pair = is_pair(bytes, version, path)?;
        let fields = Fields::new(bytes, version, order);
        let intent = fields.integer(INTENT_CODE, 0);
        if version == Version::Two && (3000..=3099).contains(&intent) {
            let found = "a CIFTI file, which holds a matrix and no picture".to_owned();
            return Err(VolumeError::Format { path: path.to_owned(), found });
        }
        let dims = dims(&fields).map_err(fault)?;
        let stored = stored_type(&fields, path)?;
        let sizes = Sizes::of(&dims, stored).ok_or_else(|| {
            let expected = "a size that fits into memory";
            Fault::new(DIM.name, expected, format!("{dims:?}")).at(path)
        })?;
        let offset = offset(&fields, version, pair).map_err(fault)?;
        let rescale = rescale(&fields).map_err(fault)?;
        let placement = placement(&fields, version).map_err(fault)?;

        let array_shape = array_shape(&dims);
        let [depth, height, width] = array_shape.map(|n| n as u64);
        let ras_from_index = placement.ras_from_index([width, height, depth]).map_err(fault)?;
        let geometry = Geometry::new(array_shape, ras_from_index)
            .map_err(|source| VolumeError::Geometry { path: path.to_owned(), source })?;
        let format = match version {
            Version::One => "nifti-1",
            Version::Two => "nifti-2",
        };
        let planar = dims.len() <= 2;
        let description = Description {
            format,
            dims,
            stored,
            order,
            rescale,
            geometry,
            modality: None, // NIfTI has no place for it
            labels_only: None,
            lossy: false,
            viewing: Viewing::default(),
            source: SourceHeader { nifti: Some(placement), planar },
            sizes,
        };
        Ok(Self { pair, offset, description })
    }
}

/// Whether the magic announces a pair of files.
fn is_pair(bytes: &[u8], version: Version, path: &Path) -> Result<bool, VolumeError> {
    let magic = &bytes[magic_at(version)..];
    let (single, pair): (&[u8], &[u8]) = match version {
        Version::One => (b"n+1\0", b"ni1\0"),
        Version::Two => (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n"),
    };
    if magic.starts_with(single) {
        return Ok(false);
    }
    if magic.starts_with(pair) {
        return Ok(true);
    }
    if version == Version::One && !matches!(magic[..3], [b'n', _, b'1']) {
        let found = "Analyze 7.5 or SPM, not NIfTI".to_owned();
        return Err(VolumeError::Format { path: path.to_owned(), found });
    }
    let text = |magic: &[u8]| format!("\"{}\"", magic.escape_ascii());
    let expected = format!("{} or {}", text(single), text(pair));
    Err(Fault::new("magic", expected, text(&magic[..single.len()])).at(path))
}

fn dims(fields: &Fields<&[u8]>) -> Result<Vec<u64>, Fault> {
    let rank = fields.integer(DIM, 0);
    if !(1..=7).contains(&rank) {
        return Err(Fault::entry(DIM, 0, "1 to 7 dimensions", rank));
    }
    (1..=rank as usize)
        .map(|at| {
            let found = fields.integer(DIM, at);
            u64::try_from(found)
                .ok()
                .filter(|&n| n > 0)
                .ok_or_else(|| Fault::entry(DIM, at, "a positive number of voxels", found))
        })
        .collect()
}

fn stored_type(fields: &Fields<&[u8]>, path: &Path) -> Result<StoredType, VolumeError> {
    let refuse =
        |found: &str| Err(VolumeError::DataType { path: path.to_owned(), found: found.to_owned() });
    let stored = match fields.integer(DATATYPE, 0) {
        2 => StoredType::U8,
        4 => StoredType::I16,
        8 => StoredType::I32,
        16 => StoredType::F32,
        64 => StoredType::F64,
        256 => StoredType::I8,
        512 => StoredType::U16,
        768 => StoredType::U32,
        1024 => StoredType::I64,
        1280 => StoredType::U64,
        1 => return refuse("1-bit voxels"),
        32 => return refuse("complex64 voxels"),
        128 => return refuse("RGB24 color voxels"),
        1536 => return refuse("float128 voxels"),
        1792 => return refuse("complex128 voxels"),
        2048 => return refuse("complex256 voxels"),
        2304 => return refuse("RGBA32 color voxels"),
        code => return refuse(&format!("unknown datatype {code}")),
    };
    let bits = fields.integer(BITPIX, 0);
    let expected = 8 * stored.bytes() as i64;
    if bits != expected && bits != 0 {
        let expected = format!("{expected}, as datatype {} has", stored.name());
        return Err(Fault::new(BITPIX.name, expected, bits).at(path));
    }
    Ok(stored)
}

fn offset(fields: &Fields<&[u8]>, version: Version, pair: bool) -> Result<u64, Fault> {
    let found = fields.real(VOX_OFFSET, 0);
    let lowest = if pair { 0 } else { version.first_offset() };
    if found == 0.0 {
        return Ok(lowest); // "not set"
    }
    let largest = (1_u64 << 53) as f64;
    if found.fract() == 0.0 && (lowest as f64..largest).contains(&found) {
        Ok(found as u64)
    } else {
        Err(Fault::new(VOX_OFFSET.name, format!("a whole number from {lowest}"), found))
    }
}

fn rescale(fields: &Fields<&[u8]>) -> Result<Rescale, Fault> {
    let slope = fields.real(SCL_SLOPE, 0);
    let intercept = fields.real(SCL_INTER, 0);
    if slope == 0.0 || !slope.is_finite() {
        return Ok(Rescale::IDENTITY); // "not set"
    }
    if !intercept.is_finite() {
        return Err(Fault::new(SCL_INTER.name, "a finite number", intercept));
    }
    Ok(Rescale { slope, intercept })
}

fn placement(fields: &Fields<&[u8]>, version: Version) -> Result<Placement, Fault> {
    let code = |field: Field| {
        let found = fields.integer(field, 0);
        if (0..=5).contains(&found) {
            Ok(found)
        } else {
            Err(Fault::new(field.name, "0 to 5", found))
        }
    };
    let srow: [f64; 12] = fields.reals(SROW);
    let row = |at: usize| std::array::from_fn(|column| srow[4 * at + column]);
    Ok(Placement {
        version,
        xyzt_units: fields.integer(XYZT_UNITS, 0),
        sform_code: code(SFORM_CODE)?,
        qform_code: code(QFORM_CODE)?,
        pixdim: fields.reals(PIXDIM),
        quatern: fields.reals(QUATERN),
        qoffset: fields.reals(QOFFSET),
        srow: [row(0), row(1), row(2)],
    })
}
