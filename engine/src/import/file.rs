//! Files of weights as other programs write them: safetensors and what `torch.save` writes.
//!
//! Opening a file tells names and shapes; values are read one tensor at a time, when it is known
//! which are wanted. What a pickle would run is never run: only tensors are rebuilt from it, and
//! any other object is passed over and named in [`WeightsFile::passed_over`].

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use burn::store::pytorch_reader::{self as pytorch, DType, PickleValue, PytorchReader};
use burn::tensor::{bf16, f16};
use safetensors::SafeTensors;
use tempfile::NamedTempFile;

use crate::bundle::sha256;
use crate::error::EngineError;
use crate::weights::{self, WeightsError, words};

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
    Pytorch {
        tensors: HashMap<String, pytorch::Tensor>,
        /// Where they are read from, if not from the file itself; there until they are read.
        _mended: Option<NamedTempFile>,
    },
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
            let mended = without_zip64(&bytes).map(|parts| written(&parts)).transpose();
            drop(bytes);
            Self::pytorch(path, sha256, mended.map_err(read)?)
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

    fn pytorch(
        path: &Path,
        sha256: String,
        mended: Option<NamedTempFile>,
    ) -> Result<Self, WeightsError> {
        let refuse = |error: pytorch::PytorchError| WeightsError::Pytorch {
            path: path.to_owned(),
            source: error.into(),
        };
        let source = mended.as_ref().map_or(path, NamedTempFile::path);
        let tensors = PytorchReader::new(source).map_err(refuse)?.into_tensors();
        let objects = PytorchReader::read_pickle_data(source, None).map_err(refuse)?;
        let mut passed_over = Vec::new();
        name_objects(&objects, "", &mut passed_over);
        passed_over.sort();
        passed_over.truncate(NAMED_OBJECTS);
        Ok(Self {
            path: path.to_owned(),
            sha256,
            shapes: tensors
                .iter()
                .map(|(name, tensor)| (name.clone(), tensor.shape().to_vec()))
                .collect(),
            passed_over,
            contents: Contents::Pytorch { tensors, _mended: mended },
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
    /// [`WeightsError::NotFinite`], or [`WeightsError::Pytorch`] where the file is cut short.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, WeightsError> {
        let path = &self.path;
        match &self.contents {
            Contents::Safetensors(bytes) => {
                let format = |source| WeightsError::Format { path: path.clone(), source };
                let file = SafeTensors::deserialize(bytes).map_err(format)?;
                let view = file.tensor(name).map_err(format)?;
                weights::decode_view(name, &view, path)
            }
            Contents::Pytorch { tensors, .. } => {
                let tensor = tensors.get(name).expect("a name of this file");
                let numbers = decode_tensor(name, tensor, path)?;
                weights::finite(name, numbers, path)
            }
        }
    }
}

/// A length in eight bytes, then JSON.
fn begins_as_safetensors(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| length < 100_000_000) && bytes.get(8) == Some(&b'{')
}

/// The two parts of a zip file that are left without its records for more than 4 GiB, where they
/// are not needed and the reader would stumble over them.
///
/// Without a need for these records it takes the directory to end where the last record begins,
/// which is 76 bytes too far, and takes an entry there for the first. There is one if the first
/// entry has 76 bytes, as with `torch.save` into a file whose name has 21 letters.
fn without_zip64(bytes: &[u8]) -> Option<[&[u8]; 2]> {
    const END: usize = 22;
    const ZIP64: usize = 56 + 20;
    let end = bytes.len().checked_sub(END)?;
    let records = end.checked_sub(ZIP64)?;
    let starts =
        |place: usize, magic: &[u8]| bytes.get(place..).is_some_and(|rest| rest.starts_with(magic));
    if !(starts(end, b"PK\x05\x06") && starts(records, b"PK\x06\x06")) {
        return None;
    }
    let number = |place: usize| {
        let word = bytes.get(place..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*word)).ok()
    };
    let (size, directory) = (number(end + 12)?, number(end + 16)?);
    let misled =
        directory.checked_add(size)? == records && starts(directory + ZIP64, b"PK\x01\x02");
    misled.then(|| [&bytes[..records], &bytes[end..]])
}

/// A temporary file of these parts.
fn written(parts: &[&[u8]]) -> std::io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    for part in parts {
        file.write_all(part)?;
    }
    file.flush()?;
    Ok(file)
}

fn decode_tensor(
    name: &str,
    tensor: &pytorch::Tensor,
    path: &Path,
) -> Result<Vec<f32>, WeightsError> {
    let dtype = tensor.dtype();
    if !matches!(dtype, DType::F32 | DType::F64 | DType::F16 | DType::BF16) {
        return Err(WeightsError::Storage {
            name: name.to_owned(),
            found: format!("{dtype:?}"),
            path: path.to_owned(),
        });
    }
    let bytes = tensor
        .read()
        .map_err(|source| WeightsError::Pytorch { path: path.to_owned(), source: source.into() })?;
    // The reader answers in the byte order of this machine.
    Ok(match dtype {
        DType::F64 => words(&bytes).map(|word| f64::from_ne_bytes(word) as f32).collect(),
        DType::F16 => words(&bytes).map(|word| f16::from_ne_bytes(word).to_f32()).collect(),
        DType::BF16 => words(&bytes).map(|word| bf16::from_ne_bytes(word).to_f32()).collect(),
        _ => words(&bytes).map(f32::from_ne_bytes).collect(),
    })
}

/// Adds where objects lie that are no plain data, and what they would be.
fn name_objects(value: &PickleValue, place: &str, named: &mut Vec<String>) {
    match value {
        PickleValue::Unsupported(kind) if !kind.starts_with("torch.") => {
            named.push(if place.is_empty() { kind.clone() } else { format!("{place}: {kind}") });
        }
        PickleValue::Dict(entries) => {
            for (key, value) in entries {
                let point = if place.is_empty() { "" } else { "." };
                name_objects(value, &format!("{place}{point}{key}"), named);
            }
        }
        PickleValue::List(values) => {
            for value in values {
                name_objects(value, place, named);
            }
        }
        _ => {}
    }
}

impl std::fmt::Debug for WeightsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeightsFile").field("path", &self.path).finish_non_exhaustive()
    }
}
