//! Weights of any network, by the name that its reference gives them, to and from safetensors.
//!
//! A network brings a [`NameMap`]; nothing here knows any network. What else a model needs beside
//! its weights is the bundle's.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData, bf16, f16};
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

/// How a network's own paths and the names of its reference go together.
#[derive(Debug, Clone, Copy)]
pub struct NameMap {
    /// The reference's name of the weight at a path.
    pub reference_name: fn(&str) -> String,
    /// Whether a name in a reference's file repeats what another name holds.
    pub is_alias: fn(&str) -> bool,
}

impl NameMap {
    /// For a network whose fields are called as in its reference.
    pub const SAME: Self = Self { reference_name: str::to_owned, is_alias: |_| false };
}

/// Where a visitor of a module stands: the names of the fields from the outside in.
///
/// A variant of an enum is no part of it, so that a network is called the same by itself and as
/// one of several.
#[derive(Debug, Clone, Default)]
pub struct ModulePath(Vec<Option<String>>);

impl ModulePath {
    /// Into a field, as Burn's visitors and mappers tell.
    pub fn enter(&mut self, name: &str, container: &str) {
        self.0.push((!container.starts_with("Enum:")).then(|| name.to_owned()));
    }

    /// Out of it again.
    pub fn leave(&mut self) {
        self.0.pop();
    }

    /// The innermost field's name.
    pub fn last(&self) -> Option<&str> {
        self.0.last()?.as_deref()
    }
}

impl fmt::Display for ModulePath {
    /// Names with points between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().flatten().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

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

pub(crate) fn words<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.as_chunks::<N>().0.iter().copied()
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

/// All weights and running statistics of `network`, by reference name.
pub fn values_by_name<M: Module>(network: &M, names: &NameMap) -> NamedTensors {
    struct Values<'a> {
        path: ModulePath,
        names: &'a NameMap,
        found: NamedTensors,
    }
    impl ModuleVisitor for Values<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.leave();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = (self.names.reference_name)(&self.path.to_string());
            let data = param.val().into_data().convert_dtype(DType::F32);
            let values = data.try_to_vec().expect("converted to f32");
            let shape = data.shape().to_vec();
            let before = self.found.insert(name, NamedTensor { shape, values });
            assert!(before.is_none(), "two weights have the same reference name");
        }
    }
    let mut values = Values { path: ModulePath::default(), names, found: BTreeMap::new() };
    // Batch norms take over what they learned last only when they leave training.
    network.valid().visit(&mut values);
    values.found
}

/// Where each weight and running statistic of `network` is, and its shape.
pub fn shapes_by_path<M: Module>(network: &M) -> BTreeMap<String, Vec<usize>> {
    #[derive(Default)]
    struct Shapes {
        path: ModulePath,
        found: BTreeMap<String, Vec<usize>>,
    }
    impl ModuleVisitor for Shapes {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.leave();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let shape = param.lazy_shape().to_vec();
            self.found.insert(self.path.to_string(), shape);
        }
    }
    let mut shapes = Shapes::default();
    network.visit(&mut shapes);
    shapes.found
}

/// The shape of each weight and running statistic of `network`, by reference name.
pub fn reference_shapes<M: Module>(network: &M, names: &NameMap) -> BTreeMap<String, Vec<usize>> {
    let rename = |(path, shape): (String, _)| ((names.reference_name)(&path), shape);
    shapes_by_path(network).into_iter().map(rename).collect()
}

/// How many numbers of `network` training changes, of those at paths that `counts` accepts.
/// Running statistics are not among them.
pub fn trainable_parameters<M: Module>(network: &M, counts: impl Fn(&str) -> bool) -> usize {
    shapes_by_path(network)
        .iter()
        .filter(|(path, _)| {
            !path.ends_with(".running_mean") && !path.ends_with(".running_var") && counts(path)
        })
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum()
}

/// `network` with each weight replaced for which `values` answers, given its reference name and
/// its shape.
///
/// Burn shares running statistics between a network and its clones: replaced in one, they are
/// replaced in all.
#[must_use]
pub fn replace_weights<M: Module>(
    network: M,
    names: &NameMap,
    values: impl FnMut(&str, &[usize]) -> Option<Vec<f32>>,
) -> M {
    struct Replace<'a, F> {
        path: ModulePath,
        names: &'a NameMap,
        values: F,
    }
    impl<F: FnMut(&str, &[usize]) -> Option<Vec<f32>>> ModuleMapper for Replace<'_, F> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.leave();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let name = (self.names.reference_name)(&self.path.to_string());
            let shape = param.lazy_shape();
            let Some(values) = (self.values)(&name, shape.as_slice()) else {
                return param;
            };
            let data = TensorData::new(values, shape);
            let tensor = Tensor::from_data(data, &param.lazy_device());
            let id = param.id;
            param.transform_for_load(tensor, id)
        }
    }
    network.map(&mut Replace { path: ModulePath::default(), names, values })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

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
