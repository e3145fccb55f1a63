//! Writing volumes and label maps.
//!
//! The name says the format. Each file is complete under its name or not there at all,
//! see [`atomic`](crate::atomic).

use std::path::Path;

use crate::error::VolumeError;
use crate::label::LabelVolume;
use crate::nifti::{Output, write};
use crate::volume::{Rescale, Volume};
use crate::voxels::with_voxels;

/// Writes a label map as `uint8`, with the geometry and codes of the file that its
/// [`source`](LabelVolume::source) came from.
///
/// A name that ends in `.hdr` or `.img` gives a pair, one in `.gz` is compressed.
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
    let output = Output {
        geometry: &labels.geometry,
        source: labels.source.nifti.as_ref(),
        rescale: Rescale::IDENTITY,
        labels: true,
    };
    write(path, &labels.labels, &output)
}

/// Writes an image in the type that it was stored in, with its rescaling, and with the
/// geometry and codes of the file that it came from.
///
/// # Errors
/// If the name has an ending other than those of NIfTI, or the file cannot be written.
pub fn write_volume(path: &Path, volume: &Volume) -> Result<(), VolumeError> {
    let output = Output {
        geometry: &volume.geometry,
        source: volume.source.nifti.as_ref(),
        rescale: volume.rescale,
        labels: false,
    };
    with_voxels!(&volume.voxels, array => write(path, array, &output))
}
