//! NRRD, the format of teem: `.nrrd` with voxels behind the header, `.nhdr` with voxels in
//! files of their own.
//!
//! Where the format's description leaves something open, this follows ITK: a space whose
//! axes have no anatomical names is taken for LPS, and so is no space at all; an origin
//! that is not known is zero. Unlike ITK, which says one millimeter, an image without spacing
//! and directions has an unknown spacing, and a space that is left-handed is refused.
//! Key/value pairs place nothing and are not kept.

mod fields;
mod grid;
mod header;
mod read;
mod write;

pub(crate) use header::is_header;
pub(crate) use read::{data_files, open};
pub(crate) use write::{output_data_files, write};
