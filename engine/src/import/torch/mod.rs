//! Checkpoints as `torch.save` writes them, read without running anything.
//!
//! A checkpoint is a pickle of containers, whose tensors are views of storages that lie beside it:
//! in a zip file ([`zip`]), or behind the pickle in files from before PyTorch 1.6 ([`legacy`]).
//! [`pickle`] reads values, [`calls`] makes tensors of them, and [`walk`] finds these by the keys
//! that lead to them. Other objects are never made.

mod calls;
mod legacy;
mod pickle;
mod tensor;
mod walk;
mod zip;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use pickle::{Pickle, Problem, Text};
use tensor::{Dtype, Tensor};
use zip::{Part, Zip};

/// Why a checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum TorchError {
    #[error("expected a zip file or a pickle")]
    Neither,

    #[error("files from before PyTorch 0.1.10 are not read")]
    Tar,

    #[error("the zip file is cut off or damaged")]
    Cut,

    #[error("{name} {problem}")]
    Entry { name: String, problem: String },

    #[error("pickle, byte {place}: {problem}")]
    Pickle { place: usize, problem: Problem },

    #[error("file from before PyTorch 1.6: {0}")]
    Legacy(String),

    #[error("expected a dictionary, found {found}")]
    Root { found: String },

    #[error("containers are nested too deeply")]
    Deep,

    #[error("too much is in this file, or the same too often")]
    Wide,

    #[error("tensor {name}: {problem}")]
    Tensor { name: String, problem: Problem },
}

impl TorchError {
    /// The same in a pickle that begins at `start`.
    fn behind(self, start: usize) -> Self {
        match self {
            Self::Pickle { place, problem } => Self::Pickle { place: start + place, problem },
            other => other,
        }
    }
}

/// A checkpoint.
pub(super) struct Checkpoint {
    bytes: Vec<u8>,
    big_endian: bool,
    tensors: BTreeMap<String, Tensor>,
    /// Where the storages of all tensors lie.
    storages: HashMap<Text, Part>,
    /// Objects that were not made: where they lie, and what they would be.
    pub objects: Vec<String>,
}

impl Checkpoint {
    /// Finds the tensors of a checkpoint, each within the file.
    pub fn read(bytes: Vec<u8>) -> Result<Self, TorchError> {
        let mut storages = HashMap::new();
        let mut big_endian = false;
        let mut zip = None;
        let pickle = if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            let entries = zip.insert(Zip::read(&bytes)?);
            big_endian = match entries.contents(&bytes, "byteorder")? {
                None | Some(b"little") => false,
                Some(b"big") => true,
                Some(_) => {
                    let problem = "is neither little nor big".into();
                    return Err(TorchError::Entry { name: "byteorder".into(), problem });
                }
            };
            Pickle::read(entries.contents(&bytes, "data.pkl")?.unwrap_or_default())?
        } else if bytes.get(257..262) == Some(b"ustar") {
            return Err(TorchError::Tar);
        } else if legacy::is_legacy(&bytes) {
            let (pickle, ranges) = legacy::read(&bytes)?;
            let part = |range| Part { range, checksum: 0 };
            storages = ranges.into_iter().map(|(key, range)| (key, part(range))).collect();
            pickle
        } else if matches!(bytes.first(), Some(0x80 | b'(' | b'}' | b']' | b'c')) {
            Pickle::read(&bytes)?
        } else {
            return Err(TorchError::Neither);
        };
        let found = walk::walk(&pickle)?;
        for (name, tensor) in &found.tensors {
            let key = &tensor.storage;
            if let Some(zip) = &zip
                && !storages.contains_key(key)
                && let Some(part) = zip.find(&bytes, &format!("data/{key}"))?
            {
                storages.insert(key.clone(), part);
            }
            let held = storages.get(key).map(|part| part.range.len());
            let needs = tensor.needs();
            if needs != Some(0) && held.zip(needs).is_none_or(|(held, needs)| needs > held) {
                let problem = format!(
                    "needs {} bytes of storage {key}, which has {}",
                    needs.unwrap_or(usize::MAX),
                    held.unwrap_or(0)
                );
                return Err(TorchError::Tensor { name: name.clone(), problem });
            }
        }
        let walk::Found { tensors, objects } = found;
        Ok(Self { bytes, big_endian, tensors, storages, objects })
    }

    /// The shape of each tensor.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect()
    }

    /// What the numbers of a tensor are, if not real ones.
    pub fn strange_type(&self, name: &str) -> Option<&'static str> {
        match self.tensors[name].dtype {
            Dtype::Other(kind, _) => Some(kind),
            _ => None,
        }
    }

    /// The numbers of a tensor in row-major order.
    pub fn numbers(&self, name: &str) -> Result<Vec<f32>, TorchError> {
        let tensor = &self.tensors[name];
        let Some(part) = self.storages.get(&tensor.storage) else {
            return Ok(Vec::new()); // a tensor without numbers needs no storage
        };
        let bytes = &self.bytes[part.range.clone()];
        // Where many tensors share a storage, reading all of it for each would take too long.
        if tensor.needs() == Some(bytes.len()) && !part.is_intact(bytes) {
            let problem = "its storage is damaged".to_owned();
            return Err(TorchError::Tensor { name: name.to_owned(), problem });
        }
        Ok(tensor.numbers(bytes, self.big_endian))
    }
}
