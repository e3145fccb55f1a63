//! Checkpoints: one safetensors file with all that resuming needs.
//!
//! Weights stand under `model.`, velocities of the optimizer under `velocity.`, the
//! moving average of the weights, where there is one, under `average.`, and where
//! the run stands as JSON in the file's metadata. One file, written atomically, so
//! weights and counters never part.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::Sgd;
use crate::error::EngineError;
use crate::weights::{self, NameMap, NamedTensor, NamedTensors, Storage};

const PROGRESS: &str = "lamina.progress";
const MODEL: &str = "model.";
const VELOCITY: &str = "velocity.";
const AVERAGE: &str = "average.";

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Epoch that is under way or comes next, from 0.
    pub epoch: usize,
    /// Steps of it that are done.
    pub step: usize,
    /// Sum of their losses.
    pub loss_sum: f64,
    /// The best epoch so far, from 0, and its mean score.
    pub best: Option<(usize, f64)>,
    /// SHA-256 of the experiment that the run belongs to.
    pub experiment_sha256: String,
}

/// All that resuming needs.
#[derive(Debug)]
pub struct Checkpoint {
    /// Where the run stands.
    pub progress: Progress,
    /// Weights and running statistics, by their path in the network.
    pub model: NamedTensors,
    /// Velocities of the optimizer, by parameter name.
    pub velocities: NamedTensors,
    /// The moving average of weights and running statistics, by their path in the network; empty
    /// where the run keeps none.
    pub average: NamedTensors,
}

impl Checkpoint {
    /// Takes the state of a run that keeps no moving average.
    pub fn of<M: Module>(progress: Progress, module: &M, sgd: &Sgd) -> Self {
        let model = weights::values_by_name(module, &NameMap::SAME);
        let velocities = sgd.velocities.iter().map(|(name, tensor)| {
            let values: Vec<f32> =
                tensor.clone().into_data().try_to_vec().expect("velocities are f32");
            (name.clone(), NamedTensor { shape: vec![values.len()], values })
        });
        let average = NamedTensors::new();
        Self { progress, model, velocities: velocities.collect(), average }
    }

    /// What was learned: the moving average of the weights, or else the weights.
    pub fn learned(self) -> NamedTensors {
        if self.average.is_empty() { self.model } else { self.average }
    }

    /// Whether all weights, velocities and averages are numbers; a file of others is refused.
    pub fn is_finite(&self) -> bool {
        let tensors =
            self.model.values().chain(self.velocities.values()).chain(self.average.values());
        tensors.flat_map(|tensor| &tensor.values).all(|value| value.is_finite())
    }

    /// Writes the file, atomically.
    ///
    /// # Errors
    /// [`EngineError::Volume`] when it cannot be written.
    pub fn write(self, path: &Path) -> Result<(), EngineError> {
        let progress = serde_json::to_string(&self.progress).expect("progress is plain data");
        let prefixed = |prefix: &'static str, tensors: NamedTensors| {
            tensors.into_iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
        };
        let tensors = prefixed(MODEL, self.model)
            .chain(prefixed(VELOCITY, self.velocities))
            .chain(prefixed(AVERAGE, self.average))
            .collect();
        let metadata = BTreeMap::from([(PROGRESS.to_owned(), progress)]);
        let bytes = weights::encode(tensors, Storage::F32, metadata);
        lamina_io::atomic::write_atomically(path, |file| file.write_all(&bytes))?;
        Ok(())
    }

    /// Reads a file that [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// [`EngineError::Read`] or [`EngineError::Weights`] when it is not a checkpoint.
    pub fn read(path: &Path) -> Result<Self, EngineError> {
        let bytes = std::fs::read(path)
            .map_err(|source| EngineError::Read { path: path.to_path_buf(), source })?;
        let (tensors, metadata) = weights::decode(&bytes, path, |_| true)?;
        let progress = metadata
            .get(PROGRESS)
            .and_then(|json| serde_json::from_str(json).ok())
            .ok_or_else(|| {
                let message = "expected a checkpoint of a training run, found other weights";
                EngineError::bundle(path, message)
            })?;
        let mut checkpoint = Self {
            progress,
            model: NamedTensors::new(),
            velocities: NamedTensors::new(),
            average: NamedTensors::new(),
        };
        for (name, tensor) in tensors {
            if let Some(name) = name.strip_prefix(MODEL) {
                checkpoint.model.insert(name.to_owned(), tensor);
            } else if let Some(name) = name.strip_prefix(VELOCITY) {
                checkpoint.velocities.insert(name.to_owned(), tensor);
            } else if let Some(name) = name.strip_prefix(AVERAGE) {
                checkpoint.average.insert(name.to_owned(), tensor);
            }
        }
        Ok(checkpoint)
    }

    /// Puts the velocities into an optimizer.
    pub fn restore_velocities(&self, sgd: &mut Sgd, device: &Device) {
        sgd.velocities = self
            .velocities
            .iter()
            .map(|(name, tensor)| {
                let data = TensorData::new(tensor.values.clone(), tensor.shape.clone());
                (name.clone(), Tensor::from_data(data, device))
            })
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic_weights::unit;

    #[test]
    fn progress_is_read_back_to_the_last_bit() {
        for index in 0..1000 {
            let loss_sum = unit("loss", index) * index as f64;
            let best = Some((index, unit("dice", index)));
            let progress = Progress { epoch: index, loss_sum, best, ..Progress::default() };
            let json = serde_json::to_string(&progress).unwrap();
            assert_eq!(serde_json::from_str::<Progress>(&json).unwrap(), progress);
        }
    }
}
