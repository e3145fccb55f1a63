//! Why a tool did not do what was asked.

use std::sync::Arc;

use lamina_io::GridMismatch;

use crate::axis::Axis;
use crate::journal::JournalError;

/// Why labels were not changed. Whatever is answered with one of these has left them as they were.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The rules or the tool go by image values.
    #[error("expected an image to take values from, found labels alone")]
    NoImage,

    /// Labels that are to be compared with are missing.
    #[error("expected second labels to combine with, found none")]
    NoSecond,

    /// The label is locked.
    #[error("label {label} is locked: unlock it to change it")]
    Locked {
        /// The label.
        label: u8,
    },

    /// A number is not one.
    #[error("expected finite numbers, found others in {what}")]
    NotFinite {
        /// Where.
        what: &'static str,
    },

    /// A size is zero or negative.
    #[error("expected {what} above zero, found {found}")]
    NotPositive {
        /// Which.
        what: &'static str,
        /// Its value.
        found: f64,
    },

    /// A size is beyond all use.
    #[error("expected {what} of at most {limit}, found {found}")]
    TooLarge {
        /// Which.
        what: &'static str,
        /// The largest that is taken.
        limit: f64,
        /// Its value.
        found: f64,
    },

    /// The slice is not there.
    #[error("expected a slice below {slices} along {axis:?}, found {index}")]
    Slice {
        /// Which way slices are cut.
        axis: Axis,
        /// The slice asked for.
        index: usize,
        /// How many there are.
        slices: usize,
    },

    /// The place is not there.
    #[error("expected a voxel of {shape:?} (depth, height, width), found {index:?}")]
    Outside {
        /// The voxel asked for.
        index: [usize; 3],
        /// Voxels along each axis.
        shape: [usize; 3],
    },

    /// Growing leaked.
    #[error("the region has more than {limit} voxels: narrow the range or raise the limit")]
    Leaked {
        /// How many were allowed.
        limit: u64,
    },

    /// Volumes in milliliters need a spacing.
    #[error("expected a known voxel spacing, found none: give sizes in voxels")]
    SpacingUnknown,

    /// The same label twice where different ones are needed.
    #[error("expected different labels, found {label} twice")]
    SameLabel {
        /// The label.
        label: u8,
    },

    /// Image or labels lie elsewhere.
    #[error("expected {what} on the grid of the labels")]
    Grid {
        /// What lies elsewhere.
        what: &'static str,
        /// How.
        #[source]
        source: GridMismatch,
    },

    /// Labels were changed since.
    #[error("the labels were changed while this was worked out: do it again")]
    Stale,

    /// A stroke is being drawn.
    #[error("a stroke is being drawn: end it first")]
    InStroke,

    /// No stroke is being drawn.
    #[error("no stroke is being drawn")]
    NoStroke,

    /// The user did not want to wait.
    #[error("stopped")]
    Stopped,

    /// An old change cannot be read back from the journal.
    #[error("an old change cannot be read back")]
    Journal(#[from] Arc<JournalError>),
}
