//! Writes an NRRD: one file or a pair, lowest byte first, in LPS.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use ndarray::Array3;

use crate::atomic::Pending;
use crate::error::VolumeError;
use crate::lps::Lps;
use crate::output::{DEFLATE_LEVEL, Output, beside, name_in_header, write_voxels};
use crate::voxels::{Scalar, StoredType};

/// The file of voxels that a header of this name gets; labels are compressed, images are not.
fn data_file(path: &Path, compress: bool) -> Option<PathBuf> {
    let pair = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("nhdr"));
    pair.then(|| beside(path, if compress { "raw.gz" } else { "raw" }))
}

/// The files beside `path` that writing it may replace.
pub(crate) fn output_data_files(path: &Path) -> Vec<PathBuf> {
    [true, false].into_iter().filter_map(|compress| data_file(path, compress)).collect()
}

/// Writes `voxels` under `path`, and beside it where it ends in `.nhdr`.
pub(crate) fn write<T: Scalar>(
    path: &Path,
    voxels: &Array3<T>,
    output: &Output<'_>,
) -> Result<(), VolumeError> {
    let Some(data_path) = data_file(path, output.labels) else {
        let header = header(output, T::TYPE, None);
        let file = Pending::write(path, |file| {
            file.write_all(&header)?;
            write_data(file, voxels, output.labels)
        })?;
        return file.commit();
    };
    let header = header(output, T::TYPE, Some(&name_in_header(&data_path)?));
    let data_file = Pending::write(&data_path, |file| write_data(file, voxels, output.labels))?;
    let header_file = Pending::write(path, |file| file.write_all(&header))?;
    data_file.commit()?; // first, so that no header points to voxels that are not there
    header_file.commit()
}

fn write_data<T: Scalar>(
    file: &mut BufWriter<File>,
    voxels: &Array3<T>,
    compress: bool,
) -> io::Result<()> {
    if !compress {
        return write_voxels(file, voxels);
    }
    let mut encoder = GzEncoder::new(file, Compression::new(DEFLATE_LEVEL));
    write_voxels(&mut encoder, voxels)?;
    encoder.finish().map(|_| ())
}

fn header(output: &Output<'_>, stored: StoredType, data_file: Option<&[u8]>) -> Vec<u8> {
    let grid = Lps::of(output.geometry);
    let planar = output.source.is_planar(output.geometry);
    let axes = if planar { 2 } else { 3 };
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key}: {value}"); // writing into a string cannot fail
    };
    let vector = |vector: [f64; 3]| {
        let numbers: Vec<String> =
            vector[..axes].iter().map(|value| format!("{}", value + 0.0)).collect();
        format!("({})", numbers.join(","))
    };
    let known = output.geometry.spacing_mm().is_some();
    line("type", type_name(stored));
    line("dimension", &axes.to_string());
    if known {
        let (key, value) =
            if planar { ("space dimension", "2") } else { ("space", "left-posterior-superior") };
        line(key, value);
    }
    let [depth, height, width] = output.geometry.shape();
    let sizes = [width, height, depth].map(|n| n.to_string());
    line("sizes", &sizes[..axes].join(" "));
    if known {
        line("space directions", &grid.steps.map(vector)[..axes].join(" "));
    }
    line("kinds", &["domain"; 3][..axes].join(" "));
    line("endian", "little");
    line("encoding", if output.labels { "gzip" } else { "raw" });
    if known {
        line("space origin", &vector(grid.origin));
    }
    let mut bytes = [b"NRRD0004\n", text.as_bytes()].concat();
    match data_file {
        Some(name) => bytes.extend([b"data file: ", name, b"\n"].concat()),
        None => bytes.push(b'\n'), // the empty line that ends a header
    }
    bytes
}

fn type_name(stored: StoredType) -> &'static str {
    match stored {
        StoredType::I8 => "signed char",
        StoredType::U8 => "unsigned char",
        StoredType::I16 => "short",
        StoredType::U16 => "unsigned short",
        StoredType::I32 => "int",
        StoredType::U32 => "unsigned int",
        StoredType::I64 => "long long int",
        StoredType::U64 => "unsigned long long int",
        StoredType::F32 => "float",
        StoredType::F64 => "double",
    }
}
