//! Files of weights as other programs write them: safetensors and what `torch.save` writes.
//!
//! Opening a file tells names and shapes; values are read one tensor at a time, when it is known
//! which are wanted. What a pickle would run is never run: only tensors are rebuilt from it, and
//! any other object is passed over and named in [`WeightsFile::passed_over`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use super::torch::{Checkpoint, TorchError};
use crate::bundle::sha256;
use crate::error::EngineError;
use crate::weights::{self, WeightsError};

/// Most objects that are named as passed over; a checkpoint may hold a log of its training.
const NAMED_OBJECTS: usize = 64;

/// A file of weights: what it holds, and a way to read it.
pub struct WeightsFile {
    path: PathBuf,
    sha256: String,
    shapes: BTreeMap<String, Vec<usize>>,
    passed_over: Vec<String>,
    contents: Contents,
}

enum Contents {
    Safetensors(Vec<u8>),
    Pytorch(Checkpoint),
}

impl WeightsFile {
    /// Opens a file, whose first bytes tell what it is. A pickle may nest its tensors in
    /// dictionaries; their keys are joined with points.
    ///
    /// # Errors
    /// [`WeightsError::Read`], [`WeightsError::Format`] or [`WeightsError::Pytorch`] for a file
    /// that is neither, [`WeightsError::Empty`] for one without tensors.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let read = |source| WeightsError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let mut file = File::open(path).map_err(read)?;
        if !file.metadata().map_err(read)?.is_file() {
            return Err(read(std::io::Error::other("expected a file")).into());
        }
        file.read_to_end(&mut bytes).map_err(read)?;
        let sha256 = sha256(&bytes);
        let named_so = path.extension().is_some_and(|ending| ending == "safetensors");
        let file = if named_so || begins_as_safetensors(&bytes) {
            Self::safetensors(path, sha256, bytes)
        } else {
            Self::pytorch(path, sha256, bytes)
        }?;
        if file.shapes.is_empty() {
            return Err(WeightsError::Empty { path: path.to_owned() }.into());
        }
        Ok(file)
    }

    fn safetensors(path: &Path, sha256: String, bytes: Vec<u8>) -> Result<Self, WeightsError> {
        let format = |source| WeightsError::Format { path: path.to_owned(), source };
        let file = SafeTensors::deserialize(&bytes).map_err(format)?;
        let shapes = file.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec()));
        Ok(Self {
            path: path.to_owned(),
            sha256,
            shapes: shapes.collect(),
            passed_over: Vec::new(),
            contents: Contents::Safetensors(bytes),
        })
    }

    fn pytorch(path: &Path, sha256: String, bytes: Vec<u8>) -> Result<Self, WeightsError> {
        let mut checkpoint = Checkpoint::read(bytes).map_err(refusal(path))?;
        let mut passed_over = std::mem::take(&mut checkpoint.objects);
        passed_over.sort();
        passed_over.truncate(NAMED_OBJECTS);
        Ok(Self {
            path: path.to_owned(),
            sha256,
            shapes: checkpoint.shapes(),
            passed_over,
            contents: Contents::Pytorch(checkpoint),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the file.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The shape of each tensor, by its name in the file.
    pub fn shapes(&self) -> &BTreeMap<String, Vec<usize>> {
        &self.shapes
    }

    /// Objects that are no tensors and were not made: where they lie, and what they would be.
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// The values of a tensor in row-major order.
    ///
    /// # Errors
    /// [`WeightsError::Storage`] where it is stored as no real number,
    /// [`WeightsError::NotFinite`], or [`WeightsError::Pytorch`] where the file is damaged.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, WeightsError> {
        let path = &self.path;
        match &self.contents {
            Contents::Safetensors(bytes) => {
                let format = |source| WeightsError::Format { path: path.clone(), source };
                let file = SafeTensors::deserialize(bytes).map_err(format)?;
                let view = file.tensor(name).map_err(format)?;
                weights::decode_view(name, &view, path)
            }
            Contents::Pytorch(checkpoint) => {
                assert!(self.shapes.contains_key(name), "a name of this file");
                if let Some(found) = checkpoint.strange_type(name) {
                    let [name, found] = [name, found].map(str::to_owned);
                    return Err(WeightsError::Storage { name, found, path: path.clone() });
                }
                let numbers = checkpoint.numbers(name).map_err(refusal(path))?;
                weights::finite(name, numbers, path)
            }
        }
    }
}

fn refusal(path: &Path) -> impl Fn(TorchError) -> WeightsError {
    |source| WeightsError::Pytorch { path: path.to_owned(), source: source.into() }
}

/// A length in eight bytes, then JSON.
fn begins_as_safetensors(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| length < 100_000_000) && bytes.get(8) == Some(&b'{')
}

impl std::fmt::Debug for WeightsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeightsFile").field("path", &self.path).finish_non_exhaustive()
    }
}
