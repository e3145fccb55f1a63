//! What can go wrong with a volume's file.

use std::io;
use std::path::{Path, PathBuf};

use crate::geometry::GeometryError;

/// Why a volume could not be read or written.
///
/// Every message ends with the path, as the user gave it; the cause, where the system
/// named one, is the error's `source`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// Whoever asked for it did not want it any more.
    #[error("stopped reading {path}")]
    Stopped {
        /// The file.
        path: PathBuf,
    },

    /// The file is missing, or may not be read.
    #[error("cannot open {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The path leads to a folder or a device.
    #[error("expected a file, found {found}: {path}")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },

    /// The system failed in the middle of the file.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// Packed data are cut off, fail their checksum, or are none.
    #[error("expected whole {coding} data, found it damaged or cut off: {path}")]
    Packed {
        /// The file.
        path: PathBuf,
        /// How they are packed.
        coding: &'static str,
        /// What the decoder said.
        #[source]
        source: io::Error,
    },

    /// The file is of another kind.
    #[error("expected a NIfTI, MetaImage, NRRD or DICOM file or a picture, found {found}: {path}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: String,
    },

    /// The file ends too soon.
    #[error("expected {expected} bytes of {part}, found {found}: {path}")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Which part of it: "header" or "voxels".
        part: &'static str,
        /// Bytes that the part should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },

    /// A header field holds what it must not hold.
    #[error("expected {field} to be {expected}, found {found}: {path}")]
    Header {
        /// The file.
        path: PathBuf,
        /// The field, as the format calls it.
        field: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },

    /// The voxels are colors or complex numbers, or of no known type.
    #[error("expected one real number per voxel, found {found}: {path}")]
    DataType {
        /// The file.
        path: PathBuf,
        /// The stored type.
        found: String,
    },

    /// A file in which there are no colors, nor gray in their place.
    #[error("expected a picture of 8 or 16 bits, in color or gray, found {found}: {path}")]
    NoColors {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },

    /// A DICOM object that holds no picture, or none that is a volume.
    #[error("expected a DICOM image, found {found}: {path}")]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
    },

    /// A folder or file holds several series, and not just one of them was chosen.
    #[error(
        "expected one series to be chosen by its number, key or UID (--series), found {fitting} that fit (there are {list}): {path}"
    )]
    SeriesChoice {
        /// The folder or file.
        path: PathBuf,
        /// How many fit what was asked for.
        fitting: usize,
        /// All that there are.
        list: String,
    },

    /// The slices of a series are no even stack.
    #[error("expected an even stack of slices, found {}: {path}", flaws.join("; "))]
    FlawedSeries {
        /// The folder or file.
        path: PathBuf,
        /// All that is wrong, at millimeters along the normal from the first slice.
        flaws: Vec<String>,
    },

    /// The header's transform places no voxels.
    #[error("{source}: {path}")]
    Geometry {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: GeometryError,
    },

    /// Not a single three-dimensional volume, and none of several was chosen.
    #[error(
        "expected a 3-D image, found {found} dimensions ({volumes} volumes of which none was chosen): {path}"
    )]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// How many dimensions it has.
        found: usize,
        /// How many volumes it holds.
        volumes: u64,
    },

    /// The chosen volume is beyond the last one.
    #[error("expected a volume from 0 to {last}, found {chosen}: {path}")]
    VolumeIndex {
        /// The file.
        path: PathBuf,
        /// The last volume in the file.
        last: u64,
        /// The one that was asked for.
        chosen: usize,
    },

    /// The file declares more than the limits allow, or than it can hold.
    #[error("expected at most {limit} bytes ({reason}), found {declared} declared: {path}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Which limit.
        reason: &'static str,
        /// The limit in bytes.
        limit: u64,
        /// What the header declares, in bytes.
        declared: u64,
    },

    /// Only one file of a pair is there.
    #[error("expected {partner} beside it, found no such file: {path}")]
    Partner {
        /// The file that is there.
        path: PathBuf,
        /// The name of the missing one.
        partner: String,
    },

    /// A header names a file for its voxels that is none.
    #[error("expected its voxels in {named:?}, found {found}: {path}")]
    DataFile {
        /// The header.
        path: PathBuf,
        /// The file, as the header calls it.
        named: String,
        /// What is there.
        found: &'static str,
    },

    /// A header would have to name its data file in a way that its format reads as something else.
    #[error("expected a name that its header can hold, without {found}: {path}")]
    UnspeakableName {
        /// The name.
        path: PathBuf,
        /// What it holds.
        found: &'static str,
    },

    /// A label map holds something other than labels.
    #[error(
        "expected labels that are whole numbers from 0 to {most}, found {value} at voxel {index:?} (x, y, z): {path}"
    )]
    NotALabel {
        /// The file.
        path: PathBuf,
        /// The largest that a label may be.
        most: u16,
        /// The value that is no label.
        value: f64,
        /// Where it is: x, y, z.
        index: [u64; 3],
    },

    /// The output's name does not say which format is meant.
    #[error(
        "expected a name that ends in .nii, .nii.gz, .hdr, .img, .hdr.gz, .img.gz, .mha, .mhd, .nrrd, .nhdr, .png, .tif or .tiff: {path}"
    )]
    OutputName {
        /// The name.
        path: PathBuf,
    },

    /// A picture cannot be decoded.
    #[error("expected a {kind} picture of one number per pixel, found that {found}: {path}")]
    Picture {
        /// The file.
        path: PathBuf,
        /// `png`, `jpeg`, `tiff` or `bmp`.
        kind: &'static str,
        /// What the decoder said.
        found: String,
    },

    /// Labels were stored in a way that changes them.
    #[error("expected labels as they were stored, found a JPEG, which changes numbers: {path}")]
    Lossy {
        /// The file.
        path: PathBuf,
    },

    /// A picture of labels has a color that stands for none.
    #[error("expected the colors of classes, found {color:?} at voxel {index:?} (x, y, z): {path}")]
    UnknownColor {
        /// The file.
        path: PathBuf,
        /// Red, green, blue.
        color: [u8; 3],
        /// Where it is: x, y, z.
        index: [u64; 3],
    },

    /// A label file has a value that stands for no class of its data set.
    #[error("expected values of classes, found {value} at voxel {index:?} (x, y, z): {path}")]
    UnknownLabel {
        /// The file.
        path: PathBuf,
        /// The value.
        value: u16,
        /// Where it is: x, y, z.
        index: [u64; 3],
    },

    /// A picture cannot hold what is to be written.
    #[error("expected what a picture can hold, found {found}: {path}")]
    NoPicture {
        /// The output file.
        path: PathBuf,
        /// What it cannot hold.
        found: String,
    },

    /// A segmentation cannot refer to these slices.
    #[error("expected a DICOM series that a segmentation can refer to, found {found}: {path}")]
    NotASource {
        /// The file or folder.
        path: PathBuf,
        /// What it is, and what can be done about it.
        found: String,
    },

    /// Labels do not lie on the grid of the series that they are said to be of.
    #[error("expected labels on the grid of the series, {expected}, found {found}: {path}")]
    OtherGrid {
        /// The series.
        path: PathBuf,
        /// Its grid.
        expected: String,
        /// That of the labels.
        found: String,
    },

    /// Segments and labels do not fit together, or segments cannot be described.
    #[error("{found}: {path}")]
    Segments {
        /// The description of the segments, or the output file.
        path: PathBuf,
        /// What was expected and found.
        found: String,
    },

    /// A file that was just written does not say what it should.
    #[error(
        "expected the written file to say the same when it is read back, found {found}; it was not kept: {path}"
    )]
    NotVerified {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },

    /// The output's folder does not exist.
    #[error("expected an existing folder to write into: {path}")]
    OutputFolder {
        /// The output file.
        path: PathBuf,
    },

    /// The file could not be written; what stood under its name before is untouched.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The path in an error: each variant has one.
macro_rules! path_in {
    ($error:expr) => {
        match $error {
            Self::Stopped { path }
            | Self::Open { path, .. }
            | Self::NotAFile { path, .. }
            | Self::Read { path, .. }
            | Self::Packed { path, .. }
            | Self::Format { path, .. }
            | Self::Truncated { path, .. }
            | Self::Header { path, .. }
            | Self::DataType { path, .. }
            | Self::NoColors { path, .. }
            | Self::NotAnImage { path, .. }
            | Self::SeriesChoice { path, .. }
            | Self::FlawedSeries { path, .. }
            | Self::Geometry { path, .. }
            | Self::Dimensions { path, .. }
            | Self::VolumeIndex { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Partner { path, .. }
            | Self::DataFile { path, .. }
            | Self::UnspeakableName { path, .. }
            | Self::NotALabel { path, .. }
            | Self::Picture { path, .. }
            | Self::Lossy { path }
            | Self::UnknownColor { path, .. }
            | Self::UnknownLabel { path, .. }
            | Self::NoPicture { path, .. }
            | Self::OutputName { path }
            | Self::NotASource { path, .. }
            | Self::OtherGrid { path, .. }
            | Self::Segments { path, .. }
            | Self::NotVerified { path, .. }
            | Self::OutputFolder { path }
            | Self::Write { path, .. } => path,
        }
    };
}

impl VolumeError {
    /// The file that the error is about.
    pub fn path(&self) -> &Path {
        path_in!(self)
    }

    /// The same error about a file that users know by another name.
    pub(crate) fn about(mut self, name: &Path) -> Self {
        name.clone_into(path_in!(&mut self));
        self
    }
}
