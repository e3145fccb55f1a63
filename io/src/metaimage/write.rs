//! Writes a MetaImage: one file or a pair, lowest byte first, in LPS.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use ndarray::Array3;

use crate::atomic::Pending;
use crate::error::VolumeError;
use crate::lps::{Lps, numbers};
use crate::output::{DEFLATE_LEVEL, Output, beside, name_in_header, write_voxels};
use crate::voxels::{Scalar, StoredType};

/// Digits that the size of compressed voxels may have; it is known after they are written.
const SIZE_DIGITS: usize = 20;

/// The file of voxels that a header of this name gets; labels are compressed, images are not.
fn data_file(path: &Path, compress: bool) -> Option<PathBuf> {
    let pair = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("mhd"));
    pair.then(|| beside(path, if compress { "zraw" } else { "raw" }))
}

/// The files beside `path` that writing it may replace.
pub(crate) fn output_data_files(path: &Path) -> Vec<PathBuf> {
    [true, false].into_iter().filter_map(|compress| data_file(path, compress)).collect()
}

/// Writes `voxels` under `path`, and beside it where it ends in `.mhd`.
pub(crate) fn write<T: Scalar>(
    path: &Path,
    voxels: &Array3<T>,
    output: &Output<'_>,
) -> Result<(), VolumeError> {
    let compress = output.labels;
    let Some(data_path) = data_file(path, compress) else {
        let header = header(output, T::TYPE, b"LOCAL");
        let file = Pending::write(path, |file| {
            file.write_all(&header.bytes)?;
            let size = write_data(file, voxels, compress)?;
            header.fill_in(file, size)
        })?;
        return file.commit();
    };
    let header = header(output, T::TYPE, &name_in_header(&data_path)?);
    let mut size = 0;
    let data_file = Pending::write(&data_path, |file| {
        size = write_data(file, voxels, compress)?;
        Ok(())
    })?;
    let header_file = Pending::write(path, |file| {
        file.write_all(&header.bytes)?;
        header.fill_in(file, size)
    })?;
    data_file.commit()?; // first, so that no header points to voxels that are not there
    header_file.commit()
}

/// Writes the voxels and says how many bytes they took.
fn write_data<T: Scalar>(
    file: &mut BufWriter<File>,
    voxels: &Array3<T>,
    compress: bool,
) -> io::Result<u64> {
    let start = file.stream_position()?;
    if compress {
        let mut encoder = ZlibEncoder::new(&mut *file, Compression::new(DEFLATE_LEVEL));
        write_voxels(&mut encoder, voxels)?;
        encoder.finish()?;
    } else {
        write_voxels(file, voxels)?;
    }
    Ok(file.stream_position()? - start)
}

/// A header, and where in it the size of compressed voxels is to stand.
struct Header {
    bytes: Vec<u8>,
    size_at: Option<usize>,
}

impl Header {
    fn fill_in(&self, file: &mut BufWriter<File>, size: u64) -> io::Result<()> {
        if let Some(at) = self.size_at {
            file.seek(SeekFrom::Start(at as u64))?;
            write!(file, "{size}")?;
            file.seek(SeekFrom::End(0))?;
        }
        Ok(())
    }
}

fn header(output: &Output<'_>, stored: StoredType, data_file: &[u8]) -> Header {
    let grid = Lps::of(output.geometry);
    let planar = output.source.is_planar(output.geometry);
    let axes = if planar { 2 } else { 3 };
    let (spacing, directions) = grid.spacing_and_directions();
    let matrix: Vec<f64> =
        directions[..axes].iter().flat_map(|direction| direction[..axes].to_vec()).collect();
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key} = {value}"); // writing into a string cannot fail
        text.len()
    };
    line("ObjectType", "Image");
    line("NDims", &axes.to_string());
    line("BinaryData", "True");
    line("BinaryDataByteOrderMSB", "False");
    line("CompressedData", if output.labels { "True" } else { "False" });
    let size_at = output
        .labels
        .then(|| line("CompressedDataSize", &" ".repeat(SIZE_DIGITS)) - SIZE_DIGITS - 1);
    if output.geometry.spacing_mm().is_some() {
        line("TransformMatrix", &numbers(&matrix));
        line("Offset", &numbers(&grid.origin[..axes]));
        line("CenterOfRotation", &numbers(&[0.0; 3][..axes]));
        line("AnatomicalOrientation", &anatomical_orientation(output, planar));
        line("ElementSpacing", &numbers(&spacing[..axes]));
    }
    let [depth, height, width] = output.geometry.shape();
    let dims = [width, height, depth].map(|n| n.to_string());
    line("DimSize", &dims[..axes].join(" "));
    line("ElementType", element_type(stored));
    text.push_str("ElementDataFile = ");
    let bytes = [text.as_bytes(), data_file, b"\n"].concat();
    Header { bytes, size_at }
}

/// Where each axis comes *from*, as ITK writes it; nobody places voxels by it.
fn anatomical_orientation(output: &Output<'_>, planar: bool) -> String {
    if planar {
        return "??".to_owned();
    }
    let from = |letter| match letter {
        'R' => 'L',
        'L' => 'R',
        'A' => 'P',
        'P' => 'A',
        'S' => 'I',
        _ => 'S',
    };
    output.geometry.orientation().chars().map(from).collect()
}

fn element_type(stored: StoredType) -> &'static str {
    match stored {
        StoredType::I8 => "MET_CHAR",
        StoredType::U8 => "MET_UCHAR",
        StoredType::I16 => "MET_SHORT",
        StoredType::U16 => "MET_USHORT",
        StoredType::I32 => "MET_INT",
        StoredType::U32 => "MET_UINT",
        StoredType::I64 => "MET_LONG_LONG",
        StoredType::U64 => "MET_ULONG_LONG",
        StoredType::F32 => "MET_FLOAT",
        StoredType::F64 => "MET_DOUBLE",
    }
}
