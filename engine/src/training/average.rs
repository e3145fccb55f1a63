//! The moving average of a network's weights, which is what is evaluated and kept.
//!
//! As in EfficientDet's code: running statistics of batch norms are averaged along with the
//! weights, and the first steps, whose weights are far from any average, count for more.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::weights::{ModulePath, NamedTensor, NamedTensors};

/// Settings of an [`Average`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmaConfig {
    /// What of the average is left at each step.
    pub decay: f64,
    /// Whether early steps count for more: the decay of step `n`, from 1, is then at most
    /// (1 + n) / (10 + n), as TensorFlow's `ExponentialMovingAverage` has it. Without it, a run
    /// of fewer than some 3 / (1 - decay) steps ends on weights that remember how it began.
    pub warm_up: bool,
}

impl Default for EmaConfig {
    fn default() -> Self {
        Self { decay: 0.9998, warm_up: true } // EfficientDet's, which ESeg trains by
    }
}

impl EmaConfig {
    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        if (0.0..1.0).contains(&self.decay) {
            return Ok(());
        }
        let expected = "expected at least 0 and below 1";
        Err(EngineError::config("training.ema.decay", self.decay, expected))
    }

    /// What of the average is left at step `step`, from 1.
    fn decay_at(&self, step: usize) -> f64 {
        let step = step as f64;
        let most = if self.warm_up { (1.0 + step) / (10.0 + step) } else { 1.0 };
        self.decay.min(most)
    }
}

/// The moving average of weights and running statistics.
#[derive(Debug, Clone)]
pub struct Average {
    config: EmaConfig,
    /// By path in the network, flattened, with their shapes.
    values: BTreeMap<String, (Vec<usize>, Tensor<1>)>,
}

impl Average {
    /// The weights of `network`, before its first step.
    pub fn start<M: Module>(config: EmaConfig, network: &M) -> Self {
        let mut average = Self { config, values: BTreeMap::new() };
        average.blend(network, 0.0);
        average
    }

    /// An average that [`to_host`](Self::to_host) answered.
    pub fn from_host(config: EmaConfig, values: &NamedTensors, device: &Device) -> Self {
        let load = |(path, tensor): (&String, &NamedTensor)| {
            let data = TensorData::new(tensor.values.clone(), [tensor.values.len()]);
            (path.clone(), (tensor.shape.clone(), Tensor::from_data(data, device)))
        };
        Self { config, values: values.iter().map(load).collect() }
    }

    /// Moves the average towards the weights after step `step` of the run, from 1.
    pub fn update<M: Module>(&mut self, network: &M, step: usize) {
        self.blend(network, self.config.decay_at(step));
    }

    /// The average, by path in the network.
    pub fn to_host(&self) -> NamedTensors {
        let tensor = |(path, (shape, values)): (&String, &(Vec<usize>, Tensor<1>))| {
            let values = values.clone().into_data().try_to_vec().expect("weights are f32");
            (path.clone(), NamedTensor { shape: shape.clone(), values })
        };
        self.values.iter().map(tensor).collect()
    }

    fn blend<M: Module>(&mut self, network: &M, decay: f64) {
        // Batch norms take over what they learned last only when they leave training.
        network.valid().visit(&mut Blend { average: self, decay, path: ModulePath::default() });
    }
}

struct Blend<'a> {
    average: &'a mut Average,
    decay: f64,
    path: ModulePath,
}

impl ModuleVisitor for Blend<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.leave();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weights = param.val();
        let shape = weights.dims().to_vec();
        let weights: Tensor<1> = weights.reshape([-1]);
        let path = self.path.to_string();
        let blended = match self.average.values.remove(&path) {
            Some((_, average)) => {
                average.mul_scalar(self.decay) + weights.mul_scalar(1.0 - self.decay)
            }
            None => weights,
        };
        self.average.values.insert(path, (shape, blended));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{BatchNorm2d, BatchNorm2dConfig};

    fn set(norm: BatchNorm2d, weight: f32, running_mean: f32) -> BatchNorm2d {
        crate::weights::replace_weights(
            norm,
            &crate::weights::NameMap::SAME,
            |path, _| match path {
                "weight" => Some(vec![weight]),
                "running_mean" => Some(vec![running_mean]),
                _ => None,
            },
        )
    }

    #[test]
    fn weights_and_running_statistics_move_by_the_decay() {
        let norm = || BatchNorm2dConfig::new(1).init(&Device::flex());
        let config = EmaConfig { decay: 0.75, warm_up: false };
        let mut average = Average::start(config, &set(norm(), 8.0, 4.0));
        average.update(&set(norm(), 0.0, 0.0), 1);
        average.update(&set(norm(), 4.0, 8.0), 2);
        let found = average.to_host();
        // 8 · ¾ · ¾ + 4 · ¼, and 4 · ¾ · ¾ + 8 · ¼
        assert_eq!((found["weight"].values[0], found["running_mean"].values[0]), (5.5, 4.25));
        let again = Average::from_host(config, &found, &Device::flex());
        assert_eq!(again.to_host(), found);
    }

    #[test]
    fn the_first_steps_count_for_more() {
        let config = EmaConfig::default();
        assert_eq!(config.decay_at(1), 2.0 / 11.0);
        assert_eq!(config.decay_at(90), 0.91);
        assert_eq!(config.decay_at(1_000_000), 0.9998);
        assert_eq!(EmaConfig { warm_up: false, ..config }.decay_at(1), 0.9998);
    }

    #[test]
    fn a_decay_that_forgets_nothing_or_everything_is_refused() {
        for decay in [-0.1, 1.0, f64::NAN] {
            let message = EmaConfig { decay, warm_up: true }.validate().unwrap_err().to_string();
            let expected = format!("training.ema.decay = {decay}: expected at least 0 and below 1");
            assert_eq!(message, expected);
        }
    }
}
