//! What a training leaves behind for people, and what is read back from its run folder.
//!
//! The engine writes events, checkpoints and the model; this makes curves, examples and TensorBoard
//! files of its events. What was measured at the end is read by `results`.

pub mod curves;
pub mod examples;
pub mod history;
mod keeper;
pub mod live;
mod tensorboard;

pub use keeper::{Keeper, write_picture};
