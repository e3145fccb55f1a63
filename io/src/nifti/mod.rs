//! The NIfTI formats, versions 1 and 2: one file or a pair, plain or gzip.
//!
//! Field offsets follow `nifti1.h` and `nifti2.h` of the NIfTI committee.

mod header;
mod layout;
mod names;
mod placement;
mod read;
mod write;

pub(crate) use header::Version;
pub(crate) use names::{Kind, Name};
pub(crate) use placement::Placement;
pub(crate) use read::Image;
pub(crate) use write::{Output, write};
