//! Writing volumes and label maps.
//!
//! The name says the format. Each file is complete under its name or not there at all,
//! see [`atomic`](crate::atomic).

use std::path::Path;

use ndarray::Array3;

use crate::error::VolumeError;
use crate::format::Format;
use crate::label::LabelVolume;
use crate::output::Output;
use crate::volume::{Rescale, Volume};
use crate::voxels::{Scalar, StoredType, with_voxels};
use crate::{metaimage, nifti, nrrd, picture};

/// Writes a label map as `uint8`, with the geometry and codes of the file that its
/// [`source`](LabelVolume::source) came from.
///
/// A name that ends in `.hdr` or `.img` gives a pair, one in `.gz` is compressed. MetaImage
/// and NRRD are compressed in any case, `.mhd` and `.nhdr` with the voxels beside them
/// in `.zraw` and `.raw.gz`; they are written in LPS and know no codes. A `.png` takes one
/// slice, as indices of a palette, a `.tif` one per page; neither says where it lies.
///
/// # Errors
/// If the name has another ending, or the file cannot be written.
///
/// ```
/// use lamina_io::{ReadOptions, read_labels, synthetic, write_labels};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("case.nii.gz");
/// let (_, labels) = synthetic::ellipsoid([8, 10, 12], [0.5, 0.5, 3.0], [5.5, 4.5, 3.5], [2.0, 1.5, 6.0])?;
/// write_labels(&path, &labels)?;
/// let again = read_labels(&path, &ReadOptions::default())?;
/// assert_eq!(again.labels, labels.labels);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_labels(path: &Path, labels: &LabelVolume) -> Result<(), VolumeError> {
    write_labels_in(path, labels, &[])
}

/// [`write_labels`] with these colors in a palette, by label, where the format has one.
pub(crate) fn write_labels_in(
    path: &Path,
    labels: &LabelVolume,
    colors: &[[u8; 3]],
) -> Result<(), VolumeError> {
    let output = Output {
        geometry: &labels.geometry,
        source: &labels.source,
        rescale: Rescale::IDENTITY,
        labels: true,
        colors,
    };
    write(path, &labels.labels, &output)
}

/// Writes an image in the type that it was stored in, with its rescaling, and with the
/// geometry and codes of the file that it came from.
///
/// MetaImage and NRRD, which are not compressed here, know no rescaling: where there is
/// one, they get the values themselves, as `float32` for stored types of 8 and 16 bits and
/// as `float64` for the others. So do pictures, of which a PNG takes one slice of `uint8` or
/// `uint16`.
///
/// # Errors
/// If the name has no ending that we write, or the file cannot be written.
pub fn write_volume(path: &Path, volume: &Volume) -> Result<(), VolumeError> {
    let has_rescale = Format::of_name(path) == Some(Format::Nifti);
    if !volume.rescale.is_identity() && !has_rescale {
        return match volume.voxels.stored_type() {
            StoredType::U8 | StoredType::I8 | StoredType::U16 | StoredType::I16 => {
                write_values(path, volume, &volume.to_f32())
            }
            _ => with_voxels!(&volume.voxels, array => {
                write_values(path, volume, &array.mapv(|stored| volume.rescale.apply(stored.to_f64())))
            }),
        };
    }
    let output = Output {
        geometry: &volume.geometry,
        source: &volume.source,
        rescale: volume.rescale,
        labels: false,
        colors: &[],
    };
    with_voxels!(&volume.voxels, array => write(path, array, &output))
}

/// Writes what the stored numbers stand for.
fn write_values<T: Scalar>(
    path: &Path,
    volume: &Volume,
    values: &Array3<T>,
) -> Result<(), VolumeError> {
    let output = Output {
        geometry: &volume.geometry,
        source: &volume.source,
        rescale: Rescale::IDENTITY,
        labels: false,
        colors: &[],
    };
    write(path, values, &output)
}

fn write<T: Scalar>(
    path: &Path,
    voxels: &Array3<T>,
    output: &Output<'_>,
) -> Result<(), VolumeError> {
    match Format::of_name(path) {
        Some(Format::Nifti) => nifti::write(path, voxels, output),
        Some(Format::MetaImage) => metaimage::write(path, voxels, output),
        Some(Format::Nrrd) => nrrd::write(path, voxels, output),
        Some(Format::Picture) => picture::write(path, voxels, output),
        Some(Format::Dicom | Format::Matlab) | None => {
            Err(VolumeError::OutputName { path: path.to_owned() })
        }
    }
}
