//! A tensor through a network, everything by its reference name: for comparing implementations.
//!
//! Nothing is prepared and nothing becomes a label here. Where the network needs another size the
//! tensor is padded with zeros as slices are, and what has the size of the input is cut back.

use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData};
use safetensors::SafeTensors;

use crate::bundle::{Manifest, Model};
use crate::error::EngineError;
use crate::graph::InferenceGraph;
use crate::networks::Heads;
use crate::weights::{self, NamedTensor, NamedTensors, WeightsError};

/// The name of the tensor that a network is given.
const INPUT: &str = "input";

/// What is wanted of a network besides its prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Which heads are computed.
    pub heads: Heads,
    /// Whether to keep what each part answers, as `tap/<part>`.
    pub taps: bool,
    /// Whether the logits come from the [inference graph](InferenceGraph) on the CPU, with batch
    /// norms folded into convolutions; then they are all that is answered.
    pub folded: bool,
}

/// What a network answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// All tensors by name; `logits` is among them.
    pub tensors: NamedTensors,
    /// The height and width to which the input was padded, where it was.
    pub padded: Option<[usize; 2]>,
}

/// The tensor `input` of a safetensors file, `[batch, channels, height, width]`.
///
/// # Errors
/// [`EngineError::Weights`] for a file that is damaged, [`EngineError::Data`] for an input that
/// the network cannot take; both say what was expected and what was found.
pub fn read_input(path: &Path, manifest: &Manifest) -> Result<NamedTensor, EngineError> {
    let bytes = std::fs::read(path)
        .map_err(|source| EngineError::Read { path: path.to_path_buf(), source })?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|source| WeightsError::Format { path: path.to_path_buf(), source })?;
    let refuse = |message: String| EngineError::data(path, message);
    let view = file.tensor(INPUT).map_err(|_| {
        let mut others = file.names();
        others.sort_unstable();
        others.truncate(8);
        let found = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        refuse(format!("expected a tensor `{INPUT}`, found {found}"))
    })?;
    let expected = format!("[batch, {}, height, width]", manifest.channels());
    let shape = view.shape().to_vec();
    let fits = matches!(shape[..], [_, channels, _, _] if channels == manifest.channels());
    if !fits || shape.contains(&0) {
        return Err(refuse(format!("expected `{INPUT}` to be {expected}, found {shape:?}")));
    }
    let values = weights::decode_view(INPUT, &view, path).map_err(|error| match error {
        WeightsError::Storage { found, .. } => refuse(format!(
            "expected `{INPUT}` to be stored as F32, F16, BF16 or F64, found {found}"
        )),
        WeightsError::NotFinite { position, value, .. } => {
            let place = place(position, &shape);
            refuse(format!("expected finite numbers in `{INPUT}`, found {value} at {place:?}"))
        }
        other => other.into(),
    })?;
    Ok(NamedTensor { shape, values })
}

/// The index along each axis of a place in row-major order.
fn place(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut place = vec![0; shape.len()];
    for (index, size) in place.iter_mut().zip(shape).rev() {
        *index = position % size;
        position /= size;
    }
    place
}

/// What the network answers to `input`, which [`read_input`] has checked.
///
/// Names are those of the reference: `logits`, with [`Heads::All`] those of the auxiliary heads,
/// and further maps that the network is known by, such as `logits_quarter`. Where the reference
/// calls the logits otherwise, they have that name as well. Those of a network that labels whole
/// images are `[batch, classes]`, and are called `out` too.
///
/// # Errors
/// [`EngineError::Capture`] if the inference graph is wanted and cannot be made.
pub fn answer_tensor(
    model: &Model,
    input: NamedTensor,
    wanted: Wanted,
) -> Result<Answers, EngineError> {
    let Model { manifest, network, device } = model;
    let settings = manifest.network.settings();
    let [_, _, height, width] = input.shape[..] else {
        panic!("an input has four axes");
    };
    let size = [height, width];
    let padded = size.map(|length| manifest.network.padded(length));
    let data = TensorData::new(input.values, input.shape);
    let tensor = pad(Tensor::from_data(data, &device.device), padded);

    let mut tensors = NamedTensors::new();
    let mut heard = NamedTensors::new();
    let output = if wanted.folded {
        InferenceGraph::new(network, tensor.dims())?.forward(tensor).into()
    } else {
        network.architecture().run(tensor, wanted.heads, &mut |name, map| {
            if settings.output_names().contains(&name) {
                tensors.insert(name.to_owned(), on_host(crop(map.clone(), padded, size)));
            } else if wanted.taps {
                heard.insert(format!("tap/{name}"), on_host(map.clone()));
            }
        })
    };
    for (name, map) in output.into_named() {
        tensors.insert(name, on_host(crop(map, padded, size)));
    }
    tensors.append(&mut heard);
    if let Some(mut logits) = tensors.remove("logits") {
        if settings.classifies_images() {
            logits.shape.truncate(2);
            tensors.insert("out".to_owned(), logits.clone());
        }
        tensors.insert(settings.logits_name().to_owned(), logits.clone());
        tensors.insert("logits".to_owned(), logits);
    }
    Ok(Answers { tensors, padded: (padded != size).then_some(padded) })
}

/// `tensor` in the middle of zeros, as slices are padded.
fn pad(tensor: Tensor<4>, [height, width]: [usize; 2]) -> Tensor<4> {
    let [batch, channels, rows, columns] = tensor.dims();
    if [rows, columns] == [height, width] {
        return tensor;
    }
    let [top, left] = [(height - rows) / 2, (width - columns) / 2];
    let zeros = Tensor::zeros([batch, channels, height, width], &tensor.device());
    zeros.slice_assign([0..batch, 0..channels, top..top + rows, left..left + columns], tensor)
}

/// The part of `map` that lies over the input, where it has the size to which that was padded.
fn crop(map: Tensor<4>, padded: [usize; 2], [height, width]: [usize; 2]) -> Tensor<4> {
    let [batch, channels, rows, columns] = map.dims();
    if [rows, columns] != padded || padded == [height, width] {
        return map;
    }
    let [top, left] = [(rows - height) / 2, (columns - width) / 2];
    map.slice([0..batch, 0..channels, top..top + height, left..left + width])
}

fn on_host(map: Tensor<4>) -> NamedTensor {
    let shape = map.dims().to_vec();
    let data = map.into_data().convert_dtype(DType::F32);
    NamedTensor { shape, values: data.try_to_vec().expect("converted to f32") }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn what_is_padded_is_cut_back() {
        let values: Vec<f32> = (0..2 * 3 * 5).map(|value| value as f32 + 1.0).collect();
        let data = TensorData::new(values.clone(), [1, 2, 3, 5]);
        let tensor = Tensor::from_data(data, &Device::flex());
        let padded = pad(tensor, [8, 8]);
        assert_eq!(padded.dims(), [1, 2, 8, 8]);
        let sum: f32 = padded.clone().sum().into_scalar();
        assert_eq!(sum, values.iter().sum::<f32>());
        assert_eq!(on_host(crop(padded.clone(), [8, 8], [3, 5])).values, values);
        // A map of another size is no picture of the input.
        assert_eq!(crop(padded, [16, 16], [3, 5]).dims(), [1, 2, 8, 8]);
    }

    #[test]
    fn a_place_counts_from_the_last_axis() {
        assert_eq!(place(0, &[2, 3, 4, 5]), [0, 0, 0, 0]);
        assert_eq!(place(119, &[2, 3, 4, 5]), [1, 2, 3, 4]);
        assert_eq!(place(7, &[2, 3, 4, 5]), [0, 0, 1, 2]);
    }
}
