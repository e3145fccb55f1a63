//! DICOM: a file, or the series in a folder, as a volume in RAS.
//!
//! - `element.rs`, `file.rs`, `syntax.rs`: from bytes to the elements of a data set
//! - `frames.rs`: what they say about pixels and places
//! - `display.rs`: how it is to be looked at
//! - `pixels.rs`, `decoders.rs`, `rle.rs`: from packed pixels to numbers
//! - `series.rs`: from slices to volumes
//! - `slices.rs`: the voxels of a volume, several slices at a time
//! - `seg.rs`: segmentations as label maps
//! - `read.rs`: all of it together
//! - `pseudonym.rs`: names of cases that do not say who the patient is
//! - `encode.rs`, `uid.rs`: from elements to bytes
//! - `origin.rs`: what a segmentation takes from its series
//! - `seg_write/`: label maps as segmentations
//!
//! Who the patient is and when the scan was taken is looked at only to keep it out of the names of
//! files (`pseudonym.rs`), and to be copied into a segmentation, which belongs to the patient's
//! study (`origin.rs`); `tags.rs` lists all else that is. What names a series is shown as a hash of its UID, and no path is ever made
//! from a value.

mod choice;
mod decoders;
mod display;
mod element;
mod encode;
mod file;
mod frames;
mod origin;
mod pixels;
mod pseudonym;
mod read;
mod rle;
mod seg;
mod seg_write;
mod series;
mod slices;
mod syntax;
mod tags;
mod uid;

pub use choice::{SeriesChoice, SeriesInfo};
pub(crate) use file::{has_preamble, looks_like};
pub use origin::DicomScan;
pub use pseudonym::pseudonym_for;
pub use read::series_in;
pub(crate) use read::{files, open, open_on};
pub use seg_write::{
    Algorithm, AlgorithmKind, Label, Metainfo, Segment, Segmentation, SegmentationKind,
};
pub(crate) use seg_write::{order_onto, write_segmentation};
