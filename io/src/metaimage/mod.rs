//! MetaImage, the format of MetaIO: `.mha` with voxels behind the header, `.mhd` with voxels
//! in files of their own.
//!
//! Where the format's description leaves something open, this follows ITK: rows of the
//! transform are the directions of the voxel axes, in LPS; `AnatomicalOrientation` and
//! `CenterOfRotation` place nothing; `ElementToIntensityFunction…` scales nothing; `MET_LONG`
//! has four bytes. Unlike ITK, which says one millimeter, a header without spacing, origin
//! and directions has an unknown spacing; and one whose synonyms contradict is refused.

mod header;
mod read;
mod write;

pub(crate) use header::is_header;
pub(crate) use read::{data_files, open};
pub(crate) use write::{output_data_files, write};
