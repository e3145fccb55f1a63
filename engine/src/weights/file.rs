//! Tensors to and from the bytes of a safetensors file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{NamedTensor, NamedTensors, WeightsError};

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// Exactly.
    #[default]
    F32,
    /// Weights of layers in half the space. Norms and biases, which are few, stay exact, and so
    /// does a weight too large for half precision.
    F16,
}

/// The tensors of a safetensors file that `wanted` accepts, and its metadata; `path` is for
/// the message.
///
/// # Errors
/// [`WeightsError`] when the file is damaged or holds something that is no real number.
pub fn decode(
    bytes: &[u8],
    path: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<(NamedTensors, HashMap<String, String>), WeightsError> {
    let format = |source| WeightsError::Format { path: path.to_owned(), source };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
    let file = SafeTensors::deserialize(bytes).map_err(format)?;
    let mut tensors = NamedTensors::new();
    for (name, view) in file.tensors() {
        if wanted(&name) {
            let values = decode_view(&name, &view, path)?;
            tensors.insert(name, NamedTensor { shape: view.shape().to_vec(), values });
        }
    }
    Ok((tensors, header.metadata().clone().unwrap_or_default()))
}

pub(crate) fn decode_view(
    name: &str,
    view: &TensorView<'_>,
    path: &Path,
) -> Result<Vec<f32>, WeightsError> {
    let data = view.data();
    let numbers: Vec<f32> = match view.dtype() {
        Dtype::F32 => words(data).map(f32::from_le_bytes).collect(),
        Dtype::F64 => words(data).map(|w| f64::from_le_bytes(w) as f32).collect(),
        Dtype::F16 => words(data).map(|w| f16::from_le_bytes(w).to_f32()).collect(),
        Dtype::BF16 => words(data).map(|w| bf16::from_le_bytes(w).to_f32()).collect(),
        other => {
            return Err(WeightsError::Storage {
                name: name.to_owned(),
                found: format!("{other:?}"),
                path: path.to_owned(),
            });
        }
    };
    finite(name, numbers, path)
}

/// `numbers`, if all of them are numbers.
pub(crate) fn finite(name: &str, numbers: Vec<f32>, path: &Path) -> Result<Vec<f32>, WeightsError> {
    match numbers.iter().position(|value| !value.is_finite()) {
        None => Ok(numbers),
        Some(position) => Err(WeightsError::NotFinite {
            name: name.to_owned(),
            position,
            value: numbers[position],
            path: path.to_owned(),
        }),
    }
}

fn words<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.as_chunks::<N>().0.iter().copied()
}

/// Tensors and metadata as the bytes of a safetensors file.
pub fn encode(
    tensors: NamedTensors,
    storage: Storage,
    metadata: BTreeMap<String, String>,
) -> Vec<u8> {
    let stored: BTreeMap<String, Stored> = tensors
        .into_iter()
        .map(|(name, NamedTensor { shape, values })| (name, Stored::new(shape, &values, storage)))
        .collect();
    let views = stored.iter().map(|(name, stored)| (name, stored.view()));
    let metadata = (!metadata.is_empty()).then(|| metadata.into_iter().collect());
    safetensors::serialize(views, metadata).expect("weights in memory have the shape they say")
}

struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn new(shape: Vec<usize>, values: &[f32], storage: Storage) -> Self {
        let half = || values.iter().map(|value| f16::from_f32(*value));
        let halved = storage == Storage::F16 && shape.len() > 1 && half().all(f16::is_finite);
        let (dtype, bytes) = if halved {
            (Dtype::F16, half().flat_map(f16::to_le_bytes).collect())
        } else {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes());
            (Dtype::F32, bytes.collect())
        };
        Self { dtype, shape, bytes }
    }

    fn view(&self) -> TensorView<'_> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
            .expect("as many bytes as the shape asks for")
    }
}
