//! Everything that learns or measures.
//!
//! The way of a case: [`preprocess`] turns a volume into slices, [`networks`]
//! turn slices into logits, [`inference`] turns logits into labels on the grid that
//! the volume came with. Training goes the same way with [`augment`] before the
//! network and [`losses`] after it. Files are left to `lamina-io`.
//!
//! ```
//! use lamina_engine::bundle::Model;
//! use lamina_engine::device::DeviceChoice;
//! use lamina_engine::inference::segment_volume;
//! use lamina_engine::observer::Silent;
//! use lamina_io::{ReadOptions, read_volume};
//! # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
//!
//! let model = Model::load("models/hippocampus-unet".as_ref(), &DeviceChoice::Cpu.open())?;
//! let scan = "samples/hippocampus/images/hippocampus_124.nii.gz";
//! let volume = read_volume(scan.as_ref(), &ReadOptions::default())?;
//! let labels = segment_volume("hippocampus_124", &volume, &model, &Silent)?.labels;
//! assert_eq!(labels.geometry, volume.geometry);
//! assert_eq!(labels.counts().into_keys().collect::<Vec<_>>(), [0, 1, 2]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod augment;
pub mod bundle;
pub mod device;
pub mod ensemble;
pub mod error;
pub mod experiment;
pub mod fingerprint;
pub mod graph;
pub mod import;
pub mod inference;
pub mod losses;
pub mod metrics;
pub mod networks;
pub mod nn;
pub mod observer;
pub mod plan;
pub mod preprocess;
pub mod synthetic_weights;
pub mod tensor;
pub mod training;
pub mod weights;

pub use error::EngineError;
