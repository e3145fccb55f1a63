//! Medical image volumes, where they are, and the files that they live in.
//!
//! A [`Volume`] is a scan, a [`LabelVolume`] says which class each of its voxels is, and the
//! [`Geometry`] of both says where they are in the patient. Arrays are
//! `[depth, height, width]`, world coordinates RAS millimeters; formats that differ are
//! turned here and nowhere else.
//!
//! NIfTI, MetaImage, NRRD, DICOM and pictures are read by their content; all but DICOM are written,
//! by the file's name; label maps also as DICOM segmentations of a series. Of DICOM, a folder is a file too: see [`series_in`].
//!
//! - In: [`read_volume`], [`read_labels`], and [`read_info`] for a look without loading.
//! - Out: [`export_volume`], [`export_labels`] and [`export_segmentation`], which read back what they wrote, [`write_volume`]
//!   and [`write_labels`], which do not, and [`atomic::write_atomically`] for any file.
//! - Without files: [`synthetic`].
//!
//! Tensors and networks are left to `lamina-engine`.
//!
//! ```
//! use lamina_io::{LabelVolume, ReadOptions, read_labels, read_volume, synthetic, write_labels, write_volume};
//!
//! let folder = tempfile::tempdir()?;
//! let (image, prediction) = (folder.path().join("case.nii.gz"), folder.path().join("labels.nii.gz"));
//! let (volume, _) = synthetic::ellipsoid([8, 10, 12], [0.5, 0.5, 3.0], [5.5, 4.5, 3.5], [2.0, 1.5, 6.0])?;
//! write_volume(&image, &volume)?;
//!
//! // Label what is bright, on the grid and with the header of the image.
//! let volume = read_volume(&image, &ReadOptions::default())?;
//! let labels = volume.to_f32().mapv(|value| u8::from(value > 250.0));
//! let labels = LabelVolume::new(labels, volume.geometry.clone())?.with_source(volume.source.clone());
//! write_labels(&prediction, &labels)?;
//!
//! let labels = read_labels(&prediction, &ReadOptions::default())?;
//! volume.geometry.same_grid(&labels.geometry)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod atomic;
pub mod dataset;
pub mod synthetic;

mod affine;
mod axes;
mod codes;
mod color;
mod dicom;
mod distance;
mod error;
mod export;
mod export_seg;
mod fields;
mod format;
mod geometry;
mod image;
mod input;
mod label;
mod lps;
mod matlab;
mod metaimage;
mod nifti;
mod nrrd;
mod output;
mod parts;
mod picture;
mod read;
mod reread;
mod source;
mod statistics;
mod text;
mod unpack;
mod viewing;
mod volume;
mod voxels;
mod write;

pub use affine::Affine;
pub use axes::AxisOrder;
pub use codes::{Code, SegmentCodes};
pub use color::{CaseImage, Channels, ColorSamples, ColorVolume, read_color, read_image};
pub use dicom::{
    Algorithm, AlgorithmKind, DicomScan, Label, Metainfo, Segment, Segmentation, SegmentationKind,
    SeriesChoice, SeriesInfo, pseudonym_for, series_in,
};
pub use distance::squared_distances;
pub use error::VolumeError;
pub use export::{Verified, export_colored, export_labels, export_labels_in, export_volume};
pub use export_seg::{export_segmentation, read_segmentation};
pub use format::{
    SUPPORTED_NAMES, case_stem, files_of, files_read, images_among, is_output_name,
    is_picture_name, is_supported_name, output_files,
};
pub use geometry::{Geometry, GeometryError, GridMismatch, Spacing};
pub use label::LabelVolume;
pub use picture::{LabelColors, Overlay, Painting, usual_color};
pub use read::{
    Arrived, FileInfo, Limits, PaddingInfo, ReadOptions, read_info, read_info_of, read_labels,
    read_slice, read_volume, read_volume_in_parts, read_volume_watched, read_wide_labels,
};
pub use source::SourceHeader;
pub use statistics::Statistics;
pub use viewing::{Padding, Viewing, Window, WindowFunction};
pub use volume::{Modality, Rescale, Volume};
pub use voxels::{StoredType, Voxels};
pub use write::{write_labels, write_volume};
