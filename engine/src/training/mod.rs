//! Training from scratch: [`Fit::run`] is the loop, top to bottom.

mod batches;
mod cases;
mod checkpoint;
mod fit;
mod initialize;
mod run_folder;
mod schedule;
mod sgd;
mod validation;

use serde::{Deserialize, Serialize};

pub use batches::{Batch, Batches};
pub use cases::{CaseReader, HeldOut, TrainingCase};
pub use checkpoint::{Checkpoint, Progress};
pub use fit::{Fit, FitSummary};
pub use initialize::initialize;
pub use run_folder::RunFolder;
pub use schedule::Schedule;
pub use sgd::Sgd;

use crate::error::EngineError;
use crate::losses::LossConfig;
use crate::networks::NetworkConfig;
use crate::weights::Storage;

/// How a network learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Passes over the training slices.
    pub epochs: usize,
    /// Slices per optimizer step.
    pub batch_size: usize,
    /// Height and width of the patches that are learned from.
    pub patch: [usize; 2],
    /// Learning rate of the first step.
    pub learning_rate: f64,
    /// How it falls.
    pub schedule: Schedule,
    /// Momentum of the optimizer.
    pub momentum: f64,
    /// Nesterov's form of the momentum.
    pub nesterov: bool,
    /// Decay of weights of two or more dimensions; biases and norms are exempt.
    pub weight_decay: f64,
    /// The loss.
    pub loss: LossConfig,
    /// Share of the patches whose center is put on a foreground pixel, where patches are
    /// smaller than slices.
    pub foreground_share: f64,
    /// Epochs from one validation to the next; the last epoch is always validated.
    pub validate_every: usize,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch_size: 12,
            patch: [256, 256],
            learning_rate: 0.01,
            schedule: Schedule::default(),
            momentum: 0.9,
            nesterov: false,
            weight_decay: 1e-4,
            loss: LossConfig::default(),
            foreground_share: 0.33,
            validate_every: 1,
        }
    }
}

impl TrainingConfig {
    /// Whether these settings can work with this network.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self, network: &NetworkConfig) -> Result<(), EngineError> {
        let counts = [
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("validate_every", self.validate_every),
        ];
        for (key, value) in counts {
            if value == 0 {
                let key = format!("training.{key}");
                return Err(EngineError::config(key, value, "expected at least 1"));
            }
        }
        let (multiple, smallest) = (network.size_multiple(), network.smallest_size());
        let fits = |size: usize| (smallest..=4096).contains(&size) && size.is_multiple_of(multiple);
        if !self.patch.into_iter().all(fits) {
            let expected = format!(
                "expected multiples of {multiple} from {smallest} to 4096, as the network needs"
            );
            let value = format!("{:?}", self.patch);
            return Err(EngineError::config("training.patch", value, expected));
        }
        let ranges = [
            ("learning_rate", self.learning_rate, 100.0),
            ("momentum", self.momentum, 0.9999),
            ("weight_decay", self.weight_decay, 1.0),
            ("foreground_share", self.foreground_share, 1.0),
        ];
        for (key, value, most) in ranges {
            if !(0.0..=most).contains(&value) {
                let expected = format!("expected 0 to {most}");
                return Err(EngineError::config(format!("training.{key}"), value, expected));
            }
        }
        self.loss.validate()?;
        self.schedule.validate()
    }
}

/// What the bundle of a run is made of. Nothing here changes what is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BundleConfig {
    /// Which epoch's weights it gets.
    pub keep: Keep,
    /// How they are stored; the Dice of the bundle is measured with the weights as stored.
    pub storage: Storage,
}

/// Which epoch's weights a run's bundle gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The last epoch's: nothing about the held-out cases enters the choice, so their
    /// Dice is an honest estimate.
    #[default]
    Last,
    /// The epoch with the highest mean Dice on the held-out cases, which is then a
    /// little too high an estimate.
    Best,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::bpnet::BpnetConfig;
    use crate::networks::unet::UnetConfig;

    #[test]
    fn a_patch_that_the_network_cannot_take_is_refused() {
        let training = |patch| TrainingConfig { patch, ..TrainingConfig::default() };
        let bpnet = NetworkConfig::Bpnet(BpnetConfig::default());
        let message = training([12, 13]).validate(&bpnet).unwrap_err().to_string();
        assert!(message.contains("[12, 13]") && message.contains("from 13"), "{message}");
        assert!(training([13, 13]).validate(&bpnet).is_ok());
        let unet = NetworkConfig::Unet(UnetConfig::default());
        assert!(training([24, 32]).validate(&unet).is_err());
        assert!(training([16, 32]).validate(&unet).is_ok());
    }
}
