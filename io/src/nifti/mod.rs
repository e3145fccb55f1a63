//! The NIfTI formats, versions 1 and 2: one file or a pair, plain or gzip.
//!
//! Field offsets follow `nifti1.h` and `nifti2.h` of the NIfTI committee.

mod header;
mod layout;
mod names;
mod placement;
mod read;
mod write;

pub(crate) use names::{Kind, Name};
pub(crate) use placement::Placement;
pub(crate) use read::open;
pub(crate) use write::write;

/// Whether a file that starts with `bytes` is NIfTI, or an ancestor of it.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    let sizes = [348, 540].map(|size: i32| [size.to_le_bytes(), size.to_be_bytes()]);
    let by_size = sizes.iter().flatten().any(|size| bytes.starts_with(size));
    by_size || matches!(bytes.get(344..347), Some(b"n+1" | b"ni1"))
}
