//! Everything that learns or measures.
//!
//! The way of a case: [`preprocess`] turns a volume into slices, [`networks`]
//! turn slices into logits, [`inference`] turns logits into labels on the grid that
//! the volume came with. Training goes the same way with [`augment`] before the
//! network and [`losses`] after it. Files are left to `lamina-io`.

pub mod augment;
pub mod bundle;
pub mod device;
pub mod error;
pub mod experiment;
pub mod inference;
pub mod losses;
pub mod metrics;
pub mod networks;
pub mod nn;
pub mod observer;
pub mod preprocess;
pub mod synthetic_weights;
pub mod tensor;
pub mod training;
pub mod weights;

pub use error::EngineError;
