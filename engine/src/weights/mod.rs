//! Weights of any network, by the name that its reference gives them, to and from safetensors.
//!
//! A network brings a [`NameMap`]; nothing here knows any network. What else a model needs beside
//! its weights is the bundle's.

mod error;
mod file;
mod names;
mod walk;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use burn::module::Module;

pub use error::{Misfit, WeightsError, WrongShape};
pub use file::{Storage, decode, encode};
pub(crate) use file::{decode_view, finite};
pub use names::{ModulePath, NameMap};
pub use walk::{
    reference_shapes, replace_weights, shapes_by_path, trainable_parameters, values_by_name,
};

/// A tensor on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Size along each axis.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: Vec<f32>,
}

/// Tensors by name, in the order of their names.
pub type NamedTensors = BTreeMap<String, NamedTensor>;

/// Reads all weights of `network` from `path`.
///
/// The network should be a fresh one: batch norms that were trained keep an update to their
/// running statistics that would overtake what is read. On an error the network is lost.
///
/// # Errors
/// [`WeightsError`], before any weight is replaced.
pub fn read_weights<M: Module>(
    network: M,
    names: &NameMap,
    path: &Path,
) -> Result<M, WeightsError> {
    let bytes = std::fs::read(path)
        .map_err(|source| WeightsError::Read { path: path.to_owned(), source })?;
    decode_weights(network, names, &bytes, path)
}

/// [`read_weights`] of a file that was read already; `path` is for the message.
///
/// # Errors
/// [`WeightsError`], before any weight is replaced.
pub fn decode_weights<M: Module>(
    network: M,
    names: &NameMap,
    bytes: &[u8],
    path: &Path,
) -> Result<M, WeightsError> {
    // A counter of PyTorch's batch norm, which only matters without a momentum.
    let wanted = |name: &str| !name.ends_with(".num_batches_tracked") && !(names.is_alias)(name);
    let (tensors, _) = decode(bytes, path, wanted)?;
    fit_weights(network, names, tensors, path)
}

/// Replaces all weights of `network`, a fresh one, by `tensors`; `path` is for the message.
///
/// # Errors
/// [`WeightsError::Misfit`], before any weight is replaced.
pub fn fit_weights<M: Module>(
    network: M,
    names: &NameMap,
    mut tensors: NamedTensors,
    path: &Path,
) -> Result<M, WeightsError> {
    let mut misfit = Misfit::default();
    let mut values = BTreeMap::new();
    for (name, expected) in reference_shapes(&network, names) {
        match tensors.remove(&name) {
            None => misfit.missing.push(name),
            Some(tensor) if tensor.shape != expected => {
                misfit.shapes.push(WrongShape { name, expected, found: tensor.shape });
            }
            Some(tensor) => {
                values.insert(name, tensor.values);
            }
        }
    }
    misfit.unexpected = tensors.into_keys().collect();
    if !misfit.is_empty() {
        return Err(WeightsError::Misfit { misfit, path: path.to_owned() });
    }
    Ok(replace_weights(network, names, |name, _| values.remove(name)))
}

/// Writes all weights of `network` to `path`, which either holds all of them afterwards or what it
/// held before.
///
/// # Errors
/// [`WeightsError::Write`] if the file cannot be written.
pub fn write_weights<M: Module>(
    network: &M,
    names: &NameMap,
    storage: Storage,
    path: &Path,
) -> Result<(), WeightsError> {
    let bytes = encode_weights(network, names, storage);
    lamina_io::atomic::write_atomically(path, |file| file.write_all(&bytes))?;
    Ok(())
}

/// The bytes that [`write_weights`] writes. The same weights give the same bytes.
pub fn encode_weights<M: Module>(network: &M, names: &NameMap, storage: Storage) -> Vec<u8> {
    encode(values_by_name(network, names), storage, BTreeMap::new())
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use safetensors::tensor::{Dtype, SafeTensors, TensorView};

    use super::*;
    use crate::nn::{BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig};
    use crate::synthetic_weights::fill;

    const NAMES: NameMap = NameMap {
        reference_name: |path| path.replace("conv.", "0."),
        is_alias: |name| name == "alias",
    };

    #[derive(Module, Debug)]
    struct Layers {
        conv: Conv2d,
        norm: BatchNorm2d,
    }

    fn layers(channels: usize) -> Layers {
        let device = Device::flex();
        Layers {
            conv: Conv2dConfig::new([2, channels], [1, 3]).init(&device),
            norm: BatchNorm2dConfig::new(channels).init(&device),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Layers, WeightsError> {
        decode_weights(layers(3), &NAMES, bytes, Path::new("a/weights"))
    }

    /// A file of these names, each holding `count` numbers of four bytes.
    fn file(tensors: &[(&str, Dtype, &[usize])]) -> Vec<u8> {
        let zeros = [0_u8; 256];
        let views = tensors.iter().map(|(name, dtype, shape)| {
            let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            let view = TensorView::new(*dtype, shape.to_vec(), &zeros[..bytes]).unwrap();
            (*name, view)
        });
        safetensors::serialize(views, None).unwrap()
    }

    fn whole() -> Vec<(&'static str, Dtype, &'static [usize])> {
        vec![
            ("0.weight", Dtype::F32, &[3, 2, 1, 3]),
            ("0.bias", Dtype::F32, &[3]),
            ("norm.weight", Dtype::F32, &[3]),
            ("norm.bias", Dtype::F32, &[3]),
            ("norm.running_mean", Dtype::F32, &[3]),
            ("norm.running_var", Dtype::F32, &[3]),
        ]
    }

    #[test]
    fn what_is_written_is_read_back_exactly() {
        let before = fill(layers(3), &NAMES, 1.0);
        let folder = std::env::temp_dir().join(format!("weights-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("weights.safetensors");
        write_weights(&before, &NAMES, Storage::F32, &path).unwrap();
        let after = read_weights(layers(3), &NAMES, &path).unwrap();
        let left: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing unfinished is left");
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(values_by_name(&after, &NAMES), values_by_name(&before, &NAMES));
    }

    #[test]
    fn half_precision_halves_layers_and_keeps_norms_exact() {
        let before = fill(layers(3), &NAMES, 1.0);
        let bytes = encode_weights(&before, &NAMES, Storage::F16);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("0.weight").unwrap().dtype(), Dtype::F16);
        assert_eq!(file.tensor("norm.running_var").unwrap().dtype(), Dtype::F32);
        let [before, after] =
            [&before, &decode(&bytes).unwrap()].map(|n| values_by_name(n, &NAMES));
        assert_eq!(before["0.bias"], after["0.bias"]);
        for (exact, half) in before["0.weight"].values.iter().zip(&after["0.weight"].values) {
            assert!((exact - half).abs() <= exact.abs() / 2048.0);
        }
    }

    #[test]
    fn a_weight_too_large_for_half_precision_stays_exact() {
        let network =
            replace_weights(layers(3), &NAMES, |_, shape| Some(vec![1e6; shape.iter().product()]));
        let bytes = encode_weights(&network, &NAMES, Storage::F16);
        let after = values_by_name(&decode(&bytes).unwrap(), &NAMES);
        assert_eq!(after["0.weight"].values, [1e6; 18]);
    }

    #[test]
    fn aliases_and_counters_of_a_reference_are_passed_over() {
        let mut tensors = whole();
        tensors.push(("alias", Dtype::F32, &[5]));
        tensors.push(("norm.num_batches_tracked", Dtype::I64, &[]));
        assert!(decode(&file(&tensors)).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_listed_with_the_path_last() {
        let mut tensors = whole();
        tensors.remove(0);
        tensors[0].2 = &[4];
        tensors.push(("head.weight", Dtype::F32, &[1]));
        let error = decode(&file(&tensors)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "weights do not fit the network: 1 missing (0.weight); 1 unexpected (head.weight); \
             1 of another shape (0.bias is [4], expected [3]): a/weights"
        );
    }

    #[test]
    fn whole_numbers_are_no_weights() {
        let mut tensors = whole();
        tensors[1].1 = Dtype::I32;
        let error = decode(&file(&tensors)).unwrap_err();
        let WeightsError::Storage { name, found, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((name.as_str(), found.as_str()), ("0.bias", "I32"));
    }

    #[test]
    fn a_weight_that_is_no_number_is_named() {
        let network = replace_weights(layers(3), &NAMES, |name, _| {
            (name == "norm.bias").then(|| vec![0.0, f32::NAN, 1.0])
        });
        let error = decode(&encode_weights(&network, &NAMES, Storage::F32)).unwrap_err();
        let WeightsError::NotFinite { name, position, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((name.as_str(), position), ("norm.bias", 1));
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let bytes = encode_weights(&layers(3), &NAMES, Storage::F32);
        for length in 0..bytes.len() {
            let error = decode(&bytes[..length]).unwrap_err();
            assert!(matches!(error, WeightsError::Format { .. }), "{length}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read_weights(layers(3), &NAMES, Path::new("nowhere/weights")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read weights from nowhere/weights");
    }

    #[test]
    fn running_statistics_are_not_trainable() {
        assert_eq!(trainable_parameters(&layers(3), |_| true), 18 + 3 + 6);
    }
}
