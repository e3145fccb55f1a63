//! Losses: how far logits are from the reference labels.
//!
//! Which one is a [`LossConfig`]; each file has one kind, as a function of log-probabilities and
//! a [`Target`]. Pixels labeled [`IGNORE_LABEL`] have neither loss nor gradient, and a batch of
//! nothing else has no loss. What is ranked or sorted is so in memory, in an order that leaves
//! nothing to chance, and sums are taken so that no number of threads changes a bit.

mod config;
pub mod cross_entropy;
pub mod detail;
pub mod dice;
pub mod lovasz;
pub mod ohem;
pub mod pyramid;
mod target;

pub use config::{LossConfig, WeightedLoss};
pub use target::Target;

/// The label of pixels that are neither learned nor measured.
pub const IGNORE_LABEL: u8 = 255;

#[cfg(test)]
mod tests;
