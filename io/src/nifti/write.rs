//! Writes a NIfTI image: one file or a pair, plain or gzip, lowest byte first.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use ndarray::Array3;

use super::layout::{
    BITPIX, DATATYPE, DIM, INTENT_CODE, PIXDIM, QFORM_CODE, QOFFSET, QUATERN, SCL_INTER, SCL_SLOPE,
    SFORM_CODE, SIZEOF_HDR, SROW, VOX_OFFSET, Version, XYZT_UNITS, descrip_at, magic_at, put,
};
use super::names::{Kind, Name};
use super::placement::Placement;
use crate::atomic::Pending;
use crate::error::VolumeError;
use crate::output::{DEFLATE_LEVEL, Output, write_voxels};
use crate::voxels::{Scalar, StoredType};

/// `NIFTI_INTENT_LABEL`.
const INTENT_LABEL: f64 = 1002.0;

/// The longest axis that version 1 can say.
const LONGEST_AXIS: usize = i16::MAX as usize;

/// Writes `voxels` under `path`, or under the two names of a pair if it is one of them.
pub(crate) fn write<T: Scalar>(
    path: &Path,
    voxels: &Array3<T>,
    output: &Output<'_>,
) -> Result<(), VolumeError> {
    let name = Name::of(path);
    let gzip = name.gzip;
    let header_bytes = |pair| header(output, T::TYPE, pair);
    match name.kind {
        Kind::Single => {
            let file = Pending::write(path, |file| {
                packed(file, gzip, |out| {
                    out.write_all(&header_bytes(false))?;
                    write_voxels(out, voxels)
                })
            })?;
            file.commit()
        }
        Kind::Header | Kind::Voxels => {
            let is_header = name.kind == Kind::Header;
            let header_path = if is_header { path.to_owned() } else { name.partner("hdr") };
            let voxel_path = if is_header { name.partner("img") } else { path.to_owned() };
            let voxel_file = Pending::write(&voxel_path, |file| {
                packed(file, gzip, |out| write_voxels(out, voxels))
            })?;
            let header_file = Pending::write(&header_path, |file| {
                packed(file, gzip, |out| out.write_all(&header_bytes(true)))
            })?;
            voxel_file.commit()?; // first, so that no header points to voxels that are not there
            header_file.commit()
        }
        Kind::Other => Err(VolumeError::OutputName { path: path.to_owned() }),
    }
}

/// Lets `write` write into `file`, through gzip where wanted.
fn packed(
    file: &mut BufWriter<File>,
    gzip: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if !gzip {
        return write(file);
    }
    let mut encoder = GzEncoder::new(file, Compression::new(DEFLATE_LEVEL));
    write(&mut encoder)?;
    encoder.finish().map(|_| ())
}

/// The header, with the four bytes that say that nothing extends it.
fn header(output: &Output<'_>, stored: StoredType, pair: bool) -> Vec<u8> {
    let placement = Placement::for_geometry(output.geometry, output.source.nifti.as_ref());
    let [depth, height, width] = output.geometry.shape();
    let long = [depth, height, width].into_iter().any(|n| n > LONGEST_AXIS);
    let version = if long { Version::Two } else { placement.version };

    let mut bytes = vec![0; version.header_bytes() + 4];
    let mut set = |field, index, value: f64| put(&mut bytes, version, field, index, value);
    set(SIZEOF_HDR, 0, version.header_bytes() as f64);
    let rank = if output.source.planar && depth == 1 { 2 } else { 3 };
    for (at, n) in [rank, width, height, depth, 1, 1, 1, 1].into_iter().enumerate() {
        set(DIM, at, n as f64);
    }
    if output.labels {
        set(INTENT_CODE, 0, INTENT_LABEL);
    }
    set(DATATYPE, 0, datatype(stored));
    set(BITPIX, 0, 8.0 * stored.bytes() as f64);
    for at in 0..8 {
        set(PIXDIM, at, placement.pixdim.get(at).copied().unwrap_or(1.0));
    }
    set(VOX_OFFSET, 0, if pair { 0.0 } else { version.first_offset() as f64 });
    set(SCL_SLOPE, 0, output.rescale.slope);
    set(SCL_INTER, 0, output.rescale.intercept);
    set(XYZT_UNITS, 0, placement.xyzt_units as f64);
    set(QFORM_CODE, 0, placement.qform_code as f64);
    set(SFORM_CODE, 0, placement.sform_code as f64);
    for axis in 0..3 {
        set(QUATERN, axis, placement.quatern[axis]);
        set(QOFFSET, axis, placement.qoffset[axis]);
        for column in 0..4 {
            set(SROW, 4 * axis + column, placement.srow[axis][column]);
        }
    }
    let mut text = |at: usize, text: &[u8]| bytes[at..at + text.len()].copy_from_slice(text);
    text(descrip_at(version), b"lamina");
    text(
        magic_at(version),
        match (version, pair) {
            (Version::One, false) => b"n+1\0",
            (Version::One, true) => b"ni1\0",
            (Version::Two, false) => b"n+2\0\r\n\x1a\n",
            (Version::Two, true) => b"ni2\0\r\n\x1a\n",
        },
    );
    bytes
}

fn datatype(stored: StoredType) -> f64 {
    match stored {
        StoredType::U8 => 2.0,
        StoredType::I16 => 4.0,
        StoredType::I32 => 8.0,
        StoredType::F32 => 16.0,
        StoredType::F64 => 64.0,
        StoredType::I8 => 256.0,
        StoredType::U16 => 512.0,
        StoredType::U32 => 768.0,
        StoredType::I64 => 1024.0,
        StoredType::U64 => 1280.0,
    }
}
