//! Weights by name: out of a module, into it, and to and from safetensors.
//!
//! Names are the paths of the fields, such as `encoder.0.conv1.weight`. Which of
//! a paper's names belongs to which path is left to its network.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// A tensor on the host, in f32.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Size along each axis.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub values: Vec<f32>,
}

/// Tensors by name, in the order of their names.
pub type NamedTensors = BTreeMap<String, NamedTensor>;

/// How values are stored in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats: exact.
    #[default]
    F32,
    /// 16-bit floats: half the size, about three decimal digits.
    F16,
}

/// Every parameter and running statistic of `module`.
pub fn collect<M: Module>(module: &M) -> NamedTensors {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.tensors
}

/// `module` with its parameters and running statistics replaced by `tensors`.
///
/// `path` is where the tensors came from, for the message.
///
/// # Errors
/// [`EngineError::Weights`] lists what is missing, unexpected or of another shape.
pub fn apply<M: Module>(
    module: M,
    tensors: &NamedTensors,
    path: &Path,
) -> Result<M, EngineError> {
    let wanted = shapes(&module);
    let problems = differences(&wanted, tensors);
    if !problems.is_empty() {
        let shown = problems.iter().take(8).cloned().collect::<Vec<_>>().join("; ");
        let more = problems.len().saturating_sub(8);
        let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
        return Err(EngineError::weights(
            path,
            format!("these weights are not of this network: {shown}{rest}"),
        ));
    }
    Ok(module.map(&mut Applier { tensors, path: Vec::new() }))
}

/// Writes tensors and string metadata as safetensors, atomically.
///
/// # Errors
/// [`EngineError::Volume`] when the file cannot be written.
pub fn write(
    path: &Path,
    tensors: &NamedTensors,
    metadata: HashMap<String, String>,
    precision: Precision,
) -> Result<(), EngineError> {
    let bytes = to_bytes(tensors, metadata, precision)?;
    lamina_io::atomic::write_atomically(path, |file| file.write_all(&bytes))?;
    Ok(())
}

/// Tensors and metadata as the bytes of a safetensors file.
///
/// # Errors
/// [`EngineError::Input`] when a tensor's shape and values disagree.
pub fn to_bytes(
    tensors: &NamedTensors,
    metadata: HashMap<String, String>,
    precision: Precision,
) -> Result<Vec<u8>, EngineError> {
    let encoded: Vec<(&String, Vec<u8>, &NamedTensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name, encode(&tensor.values, precision), tensor))
        .collect();
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::F16 => Dtype::F16,
    };
    let views = encoded
        .iter()
        .map(|(name, bytes, tensor)| {
            Ok((name.as_str(), TensorView::new(dtype, tensor.shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| EngineError::Input { message: error.to_string() })?;
    safetensors::serialize(views, Some(metadata))
        .map_err(|error| EngineError::Input { message: error.to_string() })
}

/// Reads a safetensors file.
///
/// # Errors
/// [`EngineError::Read`] when there is no such file, [`EngineError::Weights`] when it is
/// not safetensors or holds numbers that are not floats.
pub fn read(path: &Path) -> Result<(NamedTensors, HashMap<String, String>), EngineError> {
    let bytes = std::fs::read(path)
        .map_err(|source| EngineError::Read { path: path.to_path_buf(), source })?;
    from_bytes(&bytes, path)
}

/// Reads the bytes of a safetensors file; `path` is for the message.
///
/// # Errors
/// [`EngineError::Weights`] when they are not safetensors or hold numbers that are not floats.
pub fn from_bytes(
    bytes: &[u8],
    path: &Path,
) -> Result<(NamedTensors, HashMap<String, String>), EngineError> {
    let broken = |error: safetensors::SafeTensorError| {
        EngineError::weights(path, format!("expected a safetensors file, found: {error}"))
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    let mut tensors = NamedTensors::new();
    for (name, view) in file.tensors() {
        let values = decode(view.data(), view.dtype()).ok_or_else(|| {
            let message = format!("expected float tensors, found {:?} in {name}", view.dtype());
            EngineError::weights(path, message)
        })?;
        tensors.insert(name, NamedTensor { shape: view.shape().to_vec(), values });
    }
    Ok((tensors, header.metadata().clone().unwrap_or_default()))
}

fn encode(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Precision::F16 => {
            values.iter().flat_map(|&value| half::f16::from_f32(value).to_le_bytes()).collect()
        }
    }
}

fn decode(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    let pairs = || bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    match dtype {
        Dtype::F32 => Some(
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        ),
        Dtype::F16 => Some(pairs().map(|b| half::f16::from_le_bytes(b).to_f32()).collect()),
        Dtype::BF16 => Some(pairs().map(|b| half::bf16::from_le_bytes(b).to_f32()).collect()),
        _ => None,
    }
}

fn differences(wanted: &BTreeMap<String, Vec<usize>>, found: &NamedTensors) -> Vec<String> {
    let missing = wanted.iter().filter_map(|(name, shape)| match found.get(name) {
        None => Some(format!("{name} is missing")),
        Some(tensor) if tensor.shape != *shape => {
            Some(format!("{name} is {:?}, expected {shape:?}", tensor.shape))
        }
        Some(_) => None,
    });
    let unexpected =
        found.keys().filter(|name| !wanted.contains_key(*name)).map(|name| format!("{name} is unexpected"));
    missing.chain(unexpected).collect()
}

fn shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = Shapes::default();
    module.visit(&mut shapes);
    shapes.shapes
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    tensors: NamedTensors,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let values = tensor.into_data().try_to_vec::<f32>().expect("parameters are f32");
        self.tensors.insert(self.path.join("."), NamedTensor { shape, values });
    }
}

#[derive(Default)]
struct Shapes {
    path: Vec<String>,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.shapes.insert(self.path.join("."), param.lazy_shape().to_vec());
    }
}

struct Applier<'a> {
    tensors: &'a NamedTensors,
    path: Vec<String>,
}

impl ModuleMapper for Applier<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let tensor = &self.tensors[&self.path.join(".")];
        let data = TensorData::new(tensor.values.clone(), tensor.shape.clone());
        param.map(|old| {
            let new = Tensor::from_data(data, &old.device());
            if old.is_require_grad() { new.require_grad() } else { new }
        })
    }
}
