//! An experiment for a data set that nobody has tuned one for, from its fingerprint.
//!
//! The rules are those of nnU-Net's 2D configuration (Isensee et al., Nature Methods 2021,
//! supplementary note 2) where it has one: the middle spacing as target, whole slices where they
//! fit, percentiles of the foreground for CT and z-scores for everything else. What is decided is
//! said with its reason, as comments of the file. Reading cases is left to [`CaseFacts::read`],
//! finding them to `lamina-io`.

mod decide;
mod facts;
mod memory;
mod text;

pub use decide::{Reason, Wish, plan};
pub use facts::{CaseFacts, ClassFacts, DataFacts};
pub use memory::training_bytes;

use crate::experiment::Experiment;

/// An experiment, and why it is as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// What to train.
    pub experiment: Experiment,
    /// Why, in the order of the file.
    pub reasons: Vec<Reason>,
}
