//! What can go wrong in the engine, in the user's words.

use std::path::{Path, PathBuf};

use lamina_io::VolumeError;

use crate::weights::WeightsError;

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A setting that cannot work; names the key, the value and what would be right.
    #[error("{key} = {value}: {expected}")]
    Config {
        /// The setting as it is written in a file, e.g. `network.unet.depth`.
        key: String,
        /// The value that was found.
        value: String,
        /// What would be right.
        expected: String,
    },

    /// A configuration file that does not parse.
    #[error("cannot parse this file: {message}: {path}")]
    Parse {
        /// The parser's message, with line and column where it knows them.
        message: String,
        /// The file.
        path: PathBuf,
    },

    /// A file of ours that cannot be read.
    #[error("cannot read: {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },

    /// A file of ours that cannot be written.
    #[error("cannot write: {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },

    /// A volume that cannot be read or written.
    #[error(transparent)]
    Volume(#[from] VolumeError),

    /// A data set that cannot be used.
    #[error(transparent)]
    Dataset(#[from] lamina_io::dataset::DatasetError),

    /// Data that are not what training or inference needs.
    #[error("{message}: {path}")]
    Data {
        /// What was expected and what was found.
        message: String,
        /// The file or folder.
        path: PathBuf,
    },

    /// A volume that cannot be segmented; the caller knows which file it came from.
    #[error("{message}")]
    Input {
        /// What was expected and what was found.
        message: String,
    },

    /// Weights that cannot be read, written or used.
    #[error(transparent)]
    Weights(#[from] WeightsError),

    /// A checkpoint or a bundle that is not what it says.
    #[error("{message}: {path}")]
    Bundle {
        /// What was expected and what was found.
        message: String,
        /// The file or the folder.
        path: PathBuf,
    },

    /// A device that is not there.
    #[error("device {wanted} cannot be used: {reason}")]
    Device {
        /// The device as the user asked for it.
        wanted: String,
        /// Why not.
        reason: String,
    },

    /// The loss became infinite or undefined.
    #[error(
        "the loss is {loss} at epoch {epoch}, step {step}: lower the learning rate or look at the \
         batch that caused it: {batch}"
    )]
    Diverged {
        /// The loss that was found.
        loss: f64,
        /// The epoch, from 1.
        epoch: usize,
        /// The step within the epoch, from 1.
        step: usize,
        /// Where the batch lies that caused it.
        batch: PathBuf,
    },

    /// A weight became infinite or undefined.
    #[error(
        "the weights overflowed by epoch {epoch}, step {step}, although the loss did not: lower \
         the learning rate"
    )]
    Overflowed {
        /// The epoch, from 1.
        epoch: usize,
        /// The last step within the epoch that was done, from 1.
        step: usize,
    },

    /// A forward that cannot be recorded.
    #[error(transparent)]
    Capture(#[from] crate::graph::CaptureError),

    /// The observer asked to stop.
    #[error("stopped on request")]
    Stopped,
}

impl EngineError {
    /// A setting that cannot work.
    pub fn config(
        key: impl Into<String>,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Config { key: key.into(), value: value.to_string(), expected: expected.into() }
    }

    /// Data that are not what is needed.
    pub fn data(path: &Path, message: impl Into<String>) -> Self {
        Self::Data { message: message.into(), path: path.to_path_buf() }
    }

    /// A checkpoint or a bundle that is not what it says.
    pub fn bundle(path: &Path, message: impl Into<String>) -> Self {
        Self::Bundle { message: message.into(), path: path.to_path_buf() }
    }
}
