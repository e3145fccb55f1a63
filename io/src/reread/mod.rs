//! A second reader, for what was just written, that shares nothing with the first or with the writers.
//!
//! It knows only what our writers make of each format, works from the bytes on disk and the
//! specifications, and reads slowly rather than cleverly. A mistake in how a format is understood
//! would otherwise be made alike on the way out and on the way in, and nobody would see it.
//! What is compared, and what comes of it, is left to [`export`](crate::export_labels).

pub(crate) mod dicom;
mod metaimage;
mod nifti;
mod nrrd;
mod png;
mod tiff;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// From voxel index (x, y, z) to RAS millimeters, by three rows.
pub(crate) type Placement = [[f64; 4]; 3];

/// A file as the second reader sees it.
pub(crate) struct Reread {
    /// Voxels along x, y and z.
    pub(crate) size: [usize; 3],
    /// Where they are; `None` where the file places nothing.
    pub(crate) placement: Option<Placement>,
    /// Whether it is of a format that cannot place anything.
    pub(crate) picture: bool,
    /// How each is stored.
    pub(crate) number: Number,
    /// What stored numbers are multiplied by, and what is added then.
    pub(crate) scale: [f64; 2],
    /// The voxels, x fastest.
    pub(crate) voxels: Box<dyn Read>,
}

/// A number in a file, lowest byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Unsigned(usize),
    Signed(usize),
    Float(usize),
}

impl Number {
    /// Bytes that it takes.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Unsigned(bytes) | Self::Signed(bytes) | Self::Float(bytes) => bytes,
        }
    }

    /// The number in `bytes`, of which there are as many as it takes.
    pub(crate) fn value(self, bytes: &[u8]) -> f64 {
        let mut eight = [0; 8];
        eight[..bytes.len()].copy_from_slice(bytes);
        let bits = u64::from_le_bytes(eight);
        match self {
            Self::Unsigned(_) => bits as f64,
            Self::Signed(width) => {
                let above = 64 - 8 * width as u32;
                ((bits << above) as i64 >> above) as f64
            }
            Self::Float(4) => f64::from(f32::from_bits(bits as u32)),
            Self::Float(_) => f64::from_bits(bits),
        }
    }
}

/// Why a file is not what it should be.
pub(crate) type Reason = String;

/// Opens the file that was written under `path`.
pub(crate) fn open(path: &Path) -> Result<Reread, Reason> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if ends(&[".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz"]) {
        nifti::open(path)
    } else if ends(&[".mha", ".mhd"]) {
        metaimage::open(path)
    } else if ends(&[".nrrd", ".nhdr"]) {
        nrrd::open(path)
    } else if ends(&[".png"]) {
        png::open(path)
    } else if ends(&[".tif", ".tiff"]) {
        tiff::open(path)
    } else {
        Err("a file of a format that has no second reader".to_owned())
    }
}

/// The bytes of a file, unpacked where they start as gzip data do.
fn unpacked(path: &Path) -> Result<Box<dyn Read>, Reason> {
    let mut file = File::open(path).map_err(unreadable)?;
    let mut start = [0; 2];
    let got = file.read(&mut start).map_err(unreadable)?;
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    Ok(if got == 2 && start == [0x1f, 0x8b] {
        Box::new(GzDecoder::new(file))
    } else {
        Box::new(file)
    })
}

/// The file that the header `path` calls `name`, also where the name is no UTF-8.
fn beside(path: &Path, name: &str) -> PathBuf {
    let name = name.strip_prefix("./").unwrap_or(name);
    let alike = || {
        let mut entries = path.parent()?.read_dir().ok()?.flatten();
        entries.find(|entry| entry.file_name().to_string_lossy() == name).map(|entry| entry.path())
    };
    alike().unwrap_or_else(|| path.with_file_name(name))
}

fn unreadable(error: io::Error) -> Reason {
    format!("a file that cannot be read back ({error})")
}

/// Turns placements in LPS, as lists of a step per axis and an origin, into RAS; a second axis
/// less is a picture that lies in its own plane.
fn from_lps(steps: &[Vec<f64>], origin: &[f64]) -> Placement {
    let mut rows = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    for (axis, step) in steps.iter().enumerate() {
        for (world, value) in step.iter().enumerate() {
            rows[world][axis] = *value;
        }
    }
    for (world, value) in origin.iter().enumerate() {
        rows[world][3] = *value;
    }
    for row in &mut rows[..2] {
        for value in row {
            *value = -*value;
        }
    }
    rows
}

/// Numbers with spaces, commas or brackets between them.
fn numbers(text: &str) -> Result<Vec<f64>, Reason> {
    text.split(|c: char| c.is_whitespace() || "(),".contains(c))
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().map_err(|_| format!("a header with {word:?} for a number")))
        .collect()
}

/// Voxels along x, y and z; a picture has one slice.
fn sizes(text: &str) -> Result<[usize; 3], Reason> {
    let sizes: Vec<usize> = text.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect();
    match sizes[..] {
        [x, y] => Ok([x, y, 1]),
        [x, y, z] => Ok([x, y, z]),
        _ => Err(format!("a header whose sizes are {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_widths_are_read() {
        assert_eq!(Number::Signed(2).value(&(-300_i16).to_le_bytes()), -300.0);
        assert_eq!(Number::Signed(1).value(&[0xff]), -1.0);
        assert_eq!(Number::Unsigned(2).value(&[0xff, 0xff]), 65535.0);
        assert_eq!(Number::Signed(8).value(&(-5_i64).to_le_bytes()), -5.0);
        assert_eq!(Number::Float(4).value(&1.5_f32.to_le_bytes()), 1.5);
        assert_eq!(Number::Float(8).value(&(-0.1_f64).to_le_bytes()), -0.1);
    }

    #[test]
    fn a_picture_in_lps_is_turned_in_its_plane() {
        let placement = from_lps(&[vec![2.0, 0.0], vec![0.0, 3.0]], &[5.0, 7.0]);
        assert_eq!(
            placement,
            [[-2.0, 0.0, 0.0, -5.0], [0.0, -3.0, 0.0, -7.0], [0.0, 0.0, 1.0, 0.0]]
        );
    }
}
