//! What training learns from: cases that are prepared once, and what is drawn from them.
//!
//! A [`TrainingSet`] holds cases in memory where they are few, and otherwise reads the slices that
//! are asked for from a [`Cache`]. Which slices make an epoch, and where in them a patch is cut, is
//! decided by the [`SamplingConfig`]; moving and changing them is left to `augment`.

mod cache;
mod config;
mod file;
mod place;
mod sampling;
mod set;
#[cfg(test)]
mod tests;

pub use cache::Cache;
pub use config::{Balance, ClassWeights, SamplingConfig, Scope};
pub(super) use place::{Wish, center};
pub use sampling::Turn;
pub(super) use sampling::{Choice, Sampler};
pub(super) use set::HELD_BYTES;
pub use set::{LoadedPlanes, LoadedSlice, TrainingSet};
