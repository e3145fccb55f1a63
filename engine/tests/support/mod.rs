//! Reference outputs under `tests/golden/`: a manifest beside the tensors that it describes.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod network;

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use lamina_engine::synthetic_weights::{fill, input};
use lamina_engine::weights::{ModulePath, NameMap, NamedTensor, values_by_name};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// What a reference implementation answered for synthetic weights and inputs.
pub struct Golden {
    pub manifest: Value,
    tensors: BTreeMap<String, Vec<f32>>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
}

/// The manifest `name` of a subject, for those without tensors.
pub fn manifest(subject: &str, name: &str) -> Value {
    let path = folder().join(subject).join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

impl Golden {
    pub fn read(subject: &str, name: &str) -> Self {
        let path = folder().join(subject).join(format!("{name}.safetensors"));
        let bytes = std::fs::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes)
            .unwrap()
            .iter()
            .map(|(name, view)| {
                let bytes = view.data().iter();
                let words = view.data().as_chunks::<4>().0.iter();
                let values = match view.dtype() {
                    Dtype::U8 => bytes.map(|byte| f32::from(*byte)).collect(),
                    Dtype::I32 => words.map(|word| i32::from_le_bytes(*word) as f32).collect(),
                    Dtype::F32 => words.map(|word| f32::from_le_bytes(*word)).collect(),
                    other => panic!("{name} is stored as {other:?}"),
                };
                (name.to_owned(), values)
            })
            .collect();
        Self { manifest: manifest(subject, name), tensors }
    }

    pub fn tensor(&self, name: &str) -> &[f32] {
        &self.tensors[name]
    }

    /// A tensor that the reference stored as 32-bit integers.
    pub fn integers(&self, name: &str) -> Vec<i32> {
        self.tensors[name].iter().map(|value| *value as i32).collect()
    }

    /// `network` with the reference's weights, which must be all of its weights, and sum up to
    /// what the manifest says.
    pub fn fill<M: Module>(&self, network: M, names: &NameMap) -> M {
        let network = fill(network, names, self.manifest["weight_gain"].as_f64().unwrap());
        let ours = values_by_name(&network, names);
        let params = self.manifest["params"].as_array().unwrap();
        let theirs: Vec<_> = params.iter().map(|p| p[0].as_str().unwrap()).collect();
        let unknown: Vec<_> = ours.keys().filter(|name| !theirs.contains(&name.as_str())).collect();
        assert!(unknown.is_empty(), "weights the reference has not: {unknown:?}");
        for param in params {
            let name = param[0].as_str().unwrap();
            let NamedTensor { shape, values } =
                ours.get(name).unwrap_or_else(|| panic!("weight {name} is missing"));
            assert_eq!(*shape, sizes(&param[1]), "{name}");
            let sum: f64 = values.iter().map(|v| f64::from(*v)).sum();
            let expected = param[3].as_f64().unwrap();
            // The order of summation is the only freedom left.
            assert!(
                (sum - expected).abs() < 1e-9 * values.len() as f64,
                "sum of {name}: {sum}, expected {expected}"
            );
        }
        network
    }

    pub fn case_names(&self) -> Vec<&str> {
        let cases = self.manifest["cases"].as_object().unwrap();
        cases.keys().map(String::as_str).collect()
    }

    pub fn inputs(&self, case: &str, device: &Device) -> Vec<Tensor<4>> {
        let inputs = self.manifest["cases"][case]["inputs"].as_array().unwrap();
        let tensor = |spec: &Value| {
            let shape = sizes(&spec["shape"]);
            let values = input(spec["name"].as_str().unwrap(), shape.iter().product());
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        inputs.iter().map(tensor).collect()
    }

    /// The largest difference between `ours` and an output or tap (`kind`) of the reference, as a
    /// share of the reference's largest magnitude. `None` where the reference stored nothing.
    pub fn error(&self, case: &str, kind: &str, name: &str, ours: &Tensor<4>) -> Option<f64> {
        self.error_after(case, kind, name, ours, |x| x)
    }

    /// [`error`](Self::error) of a reference that passes through `then` first.
    pub fn error_after(
        &self,
        case: &str,
        kind: &str,
        name: &str,
        ours: &Tensor<4>,
        then: fn(f32) -> f32,
    ) -> Option<f64> {
        let stored = &self.manifest["cases"][case][kind][name];
        assert_eq!(ours.dims().to_vec(), sizes(&stored["shape"]), "{name}");
        let theirs = self.tensors.get(stored["tensor"].as_str()?).unwrap();
        let slice = &stored["stored_slice"];
        let size = |key: &str| slice[key].as_u64().map(|size| size as usize);
        let [batch, channels, height, width] = ours.dims();
        let [batch, channels] =
            [size("batch").unwrap_or(batch), size("channels").unwrap().min(channels)];
        let stride = size("spatial_stride").unwrap();
        let values: Vec<f32> = ours.to_data().try_to_vec().unwrap();
        let mut kept = Vec::new();
        for image in 0..batch {
            for channel in 0..channels {
                for y in (0..height).step_by(stride) {
                    let row = ((image * ours.dims()[1] + channel) * height + y) * width;
                    kept.extend((0..width).step_by(stride).map(|x| values[row + x]));
                }
            }
        }
        assert_eq!(kept.len(), theirs.len(), "{name}");
        let differences = kept.iter().zip(theirs).map(|(a, b)| f64::from((a - then(*b)).abs()));
        // A NaN compares as the largest.
        let worst = differences.max_by(f64::total_cmp).unwrap();
        Some(worst / stored["abs_max"].as_f64().unwrap())
    }
}

fn sizes(value: &Value) -> Vec<usize> {
    let sizes = value.as_array().unwrap().iter();
    sizes.map(|size| size.as_u64().unwrap() as usize).collect()
}

/// The gradients of a network, and how long each is.
pub struct Gradients {
    names: NameMap,
    path: ModulePath,
    pub found: GradientsParams,
    /// By reference name: root of the summed squares, or `None` without a gradient.
    pub lengths: Vec<(String, Option<f64>)>,
}

impl ModuleVisitor for Gradients {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.leave();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return; // running statistics
        }
        let gradient = self.found.get::<D>(param.id);
        let length = gradient.map(|gradient| {
            let values = gradient.into_data();
            let squares = values.iter::<f64>().map(|value| value * value);
            squares.sum::<f64>().sqrt()
        });
        let name = (self.names.reference_name)(&self.path.to_string());
        self.lengths.push((name, length));
    }
}

impl Gradients {
    pub fn of<M: Module>(network: &M, names: NameMap, loss: &Tensor<1>) -> Self {
        let found = GradientsParams::from_grads(loss.backward(), network);
        let mut gradients = Self { names, path: ModulePath::default(), found, lengths: Vec::new() };
        network.visit(&mut gradients);
        gradients
    }
}
