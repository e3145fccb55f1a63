//! What writers of all formats share.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ndarray::Array3;

use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::source::SourceHeader;
use crate::volume::Rescale;
use crate::voxels::Scalar;

/// What to write beside the voxels.
pub(crate) struct Output<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) source: &'a SourceHeader,
    pub(crate) rescale: Rescale,
    /// Whether the voxels are labels.
    pub(crate) labels: bool,
    /// Of labels, in formats with a palette; those beyond its end have the usual ones.
    pub(crate) colors: &'a [[u8; 3]],
}

/// Fast, and a tenth larger than the slowest.
pub(crate) const DEFLATE_LEVEL: u32 = 4;

/// Voxels turned at a time.
const CHUNK_VOXELS: usize = 32 * 1024;

/// Writes voxels lowest byte first, x fastest.
pub(crate) fn write_voxels<T: Scalar>(out: &mut dyn Write, voxels: &Array3<T>) -> io::Result<()> {
    let voxels = voxels.as_standard_layout();
    let mut bytes = Vec::new();
    let slice = voxels.as_slice().ok_or_else(|| io::Error::other("voxels are not in order"))?;
    for chunk in slice.chunks(CHUNK_VOXELS) {
        bytes.clear();
        T::append_bytes(chunk, &mut bytes);
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// The file of voxels that belongs to the header `path`, with another ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let upper = path.extension().is_some_and(|ending| {
        ending.to_string_lossy().starts_with(|c: char| c.is_ascii_uppercase())
    });
    path.with_extension(if upper { ending.to_ascii_uppercase() } else { ending.to_owned() })
}

/// The file's name as a header holds it, which no reader may take for a list or a pattern.
pub(crate) fn name_in_header(path: &Path) -> Result<Vec<u8>, VolumeError> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let refuse = |found| Err(VolumeError::UnspeakableName { path: path.to_owned(), found });
    if name.contains(&b'%') {
        return refuse("a %");
    }
    if name.iter().any(u8::is_ascii_control) || name.trim_ascii().len() < name.len() {
        return refuse("a line break or space at its end");
    }
    let lists = name.starts_with(b"LIST") || name.eq_ignore_ascii_case(b"local");
    Ok(if lists { [b"./", name].concat() } else { name.to_owned() })
}
