//! Why weights could not be read or written.

use std::fmt;
use std::path::PathBuf;

use safetensors::tensor::SafeTensorError;
use serde::Serialize;

/// Why weights could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file cannot be opened or read.
    #[error("cannot read weights from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// The file is not what it says to be.
    #[error("not a whole safetensors file: {}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SafeTensorError,
    },

    /// The file is no PyTorch file, or one that cannot be read without running it.
    #[error("cannot read this as a PyTorch file: {}", path.display())]
    Pytorch {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The file holds no tensor at all.
    #[error("expected tensors, found none: {}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },

    /// The file holds the weights of something else.
    #[error("weights do not fit the network: {misfit}: {}", path.display())]
    Misfit {
        /// What does not fit.
        misfit: Misfit,
        /// The file.
        path: PathBuf,
    },

    /// A weight is stored as something that is not a real number.
    #[error("weight {name} is stored as {found}, expected F32, F16, BF16 or F64: {}", path.display())]
    Storage {
        /// The weight's name.
        name: String,
        /// How it is stored.
        found: String,
        /// The file.
        path: PathBuf,
    },

    /// A weight is infinite or not a number.
    #[error("weight {name} holds {value} at position {position}: {}", path.display())]
    NotFinite {
        /// The weight's name.
        name: String,
        /// Where, in row-major order.
        position: usize,
        /// What is there.
        value: f32,
        /// The file.
        path: PathBuf,
    },

    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] lamina_io::VolumeError),
}

/// How the weights of a file and of a network differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Misfit {
    /// Names that the network has and the file lacks.
    pub missing: Vec<String>,
    /// Names that the file has and the network lacks.
    pub unexpected: Vec<String>,
    /// Names that both have, in different shapes.
    pub shapes: Vec<WrongShape>,
}

/// A weight that has another shape than the network's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrongShape {
    /// Its name.
    pub name: String,
    /// The network's shape.
    pub expected: Vec<usize>,
    /// The file's.
    pub found: Vec<usize>,
}

impl fmt::Display for WrongShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, expected, found } = self;
        write!(f, "{name} is {found:?}, expected {expected:?}")
    }
}

impl Misfit {
    /// Whether the weights are those of the network.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.shapes.is_empty()
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shapes: Vec<_> = self.shapes.iter().map(WrongShape::to_string).collect();
        let lists = [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("of another shape", &shapes),
        ];
        let said = lists.into_iter().filter(|(_, names)| !names.is_empty());
        let said: Vec<_> = said
            .map(|(what, names)| format!("{} {what} ({})", names.len(), first_of(names)))
            .collect();
        f.write_str(&said.join("; "))
    }
}

/// The first few of `names`.
fn first_of(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let rest = if names.len() > SHOWN { ", …" } else { "" };
    names[..names.len().min(SHOWN)].join(", ") + rest
}
