//! Training from scratch: [`Fit::run`] is the loop, top to bottom.

mod average;
mod batches;
mod cases;
mod checkpoint;
mod data;
mod diverged;
mod early_stop;
mod epoch;
mod examples;
mod finish;
mod fit;
mod initialize;
mod learner;
mod length;
mod run_folder;
mod schedule;
mod sgd;
mod start;
mod validation;

use serde::{Deserialize, Serialize};

pub use average::{Average, EmaConfig};
pub use batches::{Batch, Batches};
pub use cases::{CaseReader, HeldOut, Samples, Seen, TrainingCase, fingerprint_of};
pub use checkpoint::{Checkpoint, Progress};
pub use data::{
    Balance, Cache, ClassWeights, LoadedPlanes, LoadedSlice, SamplingConfig, Scope, TrainingSet,
    Turn,
};
pub use early_stop::EarlyStop;
pub use fit::{Fit, FitSummary};
pub use initialize::initialize;
pub use length::Length;
pub use run_folder::RunFolder;
pub use schedule::{Rise, Schedule, WarmUp};
pub use sgd::Sgd;
pub use start::{StartFrom, StartWeights, TakenOver};

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
    /// Optimizer steps of the run, in place of `epochs`, which then count for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<usize>,
    /// Slices per optimizer step. Those that do not fill a batch at the end of an epoch are
    /// dropped, for another epoch to draw.
    pub batch_size: usize,
    /// Batches whose gradients are averaged for one optimizer step, for where a batch that large
    /// does not fit into memory. Batch norms still see one batch at a time.
    #[serde(skip_serializing_if = "is_single")]
    pub accumulate: usize,
    /// In what numbers convolutions are computed.
    #[serde(skip_serializing_if = "Precision::is_default")]
    pub precision: Precision,
    /// Height and width of the patches that are learned from.
    pub patch: [usize; 2],
    /// Learning rate of the first step after warm-up.
    pub learning_rate: f64,
    /// How many times that learning rate the network's heads have; 10 in the recipes of BiSeNet
    /// and STDC.
    #[serde(skip_serializing_if = "is_one")]
    pub head_learning_rate_factor: f64,
    /// How it rises before; at once where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
    /// How it falls.
    pub schedule: Schedule,
    /// Momentum of the optimizer.
    pub momentum: f64,
    /// Nesterov's form of the momentum.
    pub nesterov: bool,
    /// Decay of the weights of layers.
    pub weight_decay: f64,
    /// Whether biases and norms decay as well. They are exempt by default, as in the codes of
    /// BPNet, BiSeNet and STDC.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub decay_biases_and_norms: bool,
    /// The length that the gradients of all weights together may have; longer ones are scaled
    /// down. No limit where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// A moving average of the weights, which is then what is validated and kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<EmaConfig>,
    /// The loss.
    pub loss: LossConfig,
    /// Share of the patches whose center is put on a foreground pixel, where patches are
    /// smaller than slices.
    pub foreground_share: f64,
    /// Which slices and places are drawn more or less often than others.
    #[serde(skip_serializing_if = "SamplingConfig::is_default")]
    pub sampling: SamplingConfig,
    /// Epochs from one validation to the next; the last epoch is always validated.
    pub validate_every: usize,
    /// Ends the run once the held-out cases are not segmented any better; never unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<EarlyStop>,
    /// The weights that the run starts from, in place of fresh ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_from: Option<StartFrom>,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 100,
            iterations: None,
            batch_size: 12,
            accumulate: 1,
            precision: Precision::default(),
            patch: [256, 256],
            learning_rate: 0.01,
            head_learning_rate_factor: 1.0,
            warm_up: None,
            schedule: Schedule::default(),
            momentum: 0.9,
            nesterov: false,
            weight_decay: 1e-4,
            decay_biases_and_norms: false,
            clip_norm: None,
            ema: None,
            loss: LossConfig::default(),
            foreground_share: 0.33,
            sampling: SamplingConfig::default(),
            validate_every: 1,
            early_stop: None,
            start_from: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_one(factor: &f64) -> bool {
    *factor == 1.0
}

/// In what numbers a network is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision throughout.
    #[default]
    F32,
    /// Convolutions in bf16 where the device computes them, everything else in f32. The CPU trains
    /// in f32 all the same, and says so.
    Mixed,
}

impl Precision {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_single(count: &usize) -> bool {
    *count == 1
}

impl TrainingConfig {
    /// Whether these settings can work with this network.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self, network: &NetworkConfig) -> Result<(), EngineError> {
        let counts = [
            ("epochs", self.epochs),
            ("iterations", self.iterations.unwrap_or(1)),
            ("batch_size", self.batch_size),
            ("accumulate", self.accumulate),
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
        let least = network.settings().smallest_batch(self.patch);
        if self.batch_size < least {
            let expected = format!(
                "expected at least {least}: at patches of {:?} a batch norm of the network sees a \
                 single value of each channel",
                self.patch
            );
            return Err(EngineError::config("training.batch_size", self.batch_size, expected));
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
        let above_0 = [
            ("head_learning_rate_factor", Some(self.head_learning_rate_factor), 1000.0),
            ("clip_norm", self.clip_norm, 1e6),
        ];
        for (key, value, most) in above_0 {
            if let Some(value) = value.filter(|value| !(*value > 0.0 && *value <= most)) {
                let expected = format!("expected above 0, up to {most}");
                return Err(EngineError::config(format!("training.{key}"), value, expected));
            }
        }
        if let Some(warm_up) = &self.warm_up {
            let epochs = if self.iterations.is_some() { usize::MAX } else { self.epochs };
            warm_up.validate(self.learning_rate, epochs)?;
        }
        if let Some(ema) = &self.ema {
            ema.validate()?;
        }
        if let Some(early_stop) = &self.early_stop {
            early_stop.validate()?;
        }
        if network.settings().has_own_loss() && self.loss != LossConfig::default() {
            let expected = format!(
                "expected none: network.{} learns by the loss of its levels",
                network.name()
            );
            let loss = serde_json::to_string(&self.loss).unwrap_or_default();
            return Err(EngineError::config("training.loss", loss, expected));
        }
        self.loss.validate()?;
        self.sampling.validate()?;
        self.schedule.validate()
    }
}

impl TrainingConfig {
    /// Whether a run that stands there has come to its end before its last epoch.
    pub(crate) fn has_stopped_early(&self, progress: &Progress) -> bool {
        self.early_stop.is_some_and(|early_stop| early_stop.ends(progress))
    }

    /// The learning rate of `step`, counted from 0 over the whole run: warm-up, then the schedule
    /// over what is left.
    pub fn learning_rate_at(&self, step: usize, length: Length) -> f64 {
        let warming = self.warm_up.map_or(0, |warm_up| warm_up.steps(length.steps_per_epoch));
        match self.warm_up {
            Some(warm_up) if step < warming => warm_up.at(self.learning_rate, step, warming),
            _ => {
                let steps = length.steps.saturating_sub(warming);
                self.schedule.at(self.learning_rate, step - warming, steps)
            }
        }
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

    #[test]
    fn a_batch_that_the_network_cannot_train_on_is_refused() {
        let training = |batch_size, patch| TrainingConfig {
            batch_size,
            patch: [patch; 2],
            ..TrainingConfig::default()
        };
        let bpnet = NetworkConfig::Bpnet(BpnetConfig::default());
        let message = training(1, 64).validate(&bpnet).unwrap_err().to_string();
        assert_eq!(
            message,
            "training.batch_size = 1: expected at least 2: at patches of [64, 64] a batch norm of \
             the network sees a single value of each channel"
        );
        assert!(training(2, 64).validate(&bpnet).is_ok());
        let unet = NetworkConfig::Unet(UnetConfig::default());
        assert!(training(1, 16).validate(&unet).is_err());
        assert!(training(1, 32).validate(&unet).is_ok());
    }

    #[test]
    fn the_learning_rate_rises_and_then_falls_over_what_is_left() {
        let warm_up = Some(WarmUp { iterations: Some(4), ..WarmUp::default() });
        let schedule = Schedule::Poly { power: 1.0 };
        let learning_rate = 1.0;
        let training =
            TrainingConfig { epochs: 2, learning_rate, warm_up, schedule, ..Default::default() };
        let course: Vec<f64> = (0..=12)
            .map(|step| training.learning_rate_at(step, Length::of(&training, 6)))
            .collect();
        let expected =
            [0.1, 0.325, 0.55, 0.775, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0];
        let close = |(a, b): (&f64, f64)| (a - b).abs() < 1e-12;
        assert!(course.iter().zip(expected).all(close), "{course:?}");
    }

    #[test]
    fn keys_of_the_optimizer_are_read_and_checked() {
        let text = "learning_rate = 0.01\nhead_learning_rate_factor = 10.0\nnesterov = true\n\
                    schedule = \"cosine\"\nclip_norm = 12.0\ndecay_biases_and_norms = true\n\
                    warm_up = { rise = \"exponential\", iterations = 1000, learning_rate = 1e-5 }\n\
                    ema = { decay = 0.99 }\n";
        let training: TrainingConfig = toml::from_str(text).unwrap();
        let expected = TrainingConfig {
            head_learning_rate_factor: 10.0,
            nesterov: true,
            schedule: Schedule::Cosine,
            clip_norm: Some(12.0),
            decay_biases_and_norms: true,
            warm_up: Some(WarmUp {
                rise: Rise::Exponential,
                iterations: Some(1000),
                learning_rate: Some(1e-5),
                ..WarmUp::default()
            }),
            ema: Some(EmaConfig { decay: 0.99, warm_up: true }),
            ..TrainingConfig::default()
        };
        assert_eq!(training, expected);
        let again = toml::from_str(&toml::to_string(&training).unwrap());
        assert_eq!(again, Ok(training));

        let refused = |text: &str| {
            let training: Result<TrainingConfig, _> = toml::from_str(text);
            let unet = NetworkConfig::Unet(UnetConfig::default());
            match training {
                Err(error) => error.to_string(),
                Ok(training) => training.validate(&unet).unwrap_err().to_string(),
            }
        };
        for (text, expected) in [
            ("ema = { deca = 0.9 }", "unknown field `deca`, expected `decay` or `warm_up`"),
            ("warm_up = { steps = 9 }", "unknown field `steps`, expected one of `rise`"),
            ("schedule = \"cosin\"", "unknown variant `cosin`, expected one of `poly`, `cosine`"),
            (
                "schedule = { poly = { powr = 1 } }",
                "unexpected keys in table: powr, available keys: power",
            ),
            ("clip_norm = 0.0", "training.clip_norm = 0: expected above 0, up to 1000000"),
            (
                "head_learning_rate_factor = -1.0",
                "training.head_learning_rate_factor = -1: expected above 0, up to 1000",
            ),
            ("ema = { decay = 1.0 }", "training.ema.decay = 1: expected at least 0 and below 1"),
            ("warm_up = {}", "training.warm_up = {}: expected iterations or epochs"),
            ("loss = { ohem = { threshold = 2.0 } }", "training.loss.ohem.threshold = 2: expected"),
        ] {
            let message = refused(text);
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_loss_beside_that_of_the_network_is_refused() {
        let training = TrainingConfig {
            loss: toml::from_str::<TrainingConfig>("loss = \"ohem\"").unwrap().loss,
            ..TrainingConfig::default()
        };
        let network = |text: &str| NetworkConfig::SpecializeFuse(toml::from_str(text).unwrap());
        assert_eq!(
            training.validate(&network("")).unwrap_err().to_string(),
            "training.loss = \"ohem\": expected none: network.specialize_fuse learns by the loss \
             of its levels"
        );
        training.validate(&network("supervision = \"plain\"")).unwrap();
        TrainingConfig::default().validate(&network("")).unwrap();
    }

    /// As `configs/README.md` lists them.
    #[test]
    fn the_recipes_of_the_papers_can_work() {
        let bpnet = NetworkConfig::Bpnet(BpnetConfig::default());
        for recipe in [
            "loss = { sum = [{ loss = \"ohem\" }, { loss = { dice = { background = true, \
             per_image = true } } }] }",
            "loss = { ohem = { form = \"stdc\" } }\nlearning_rate = 0.01\nweight_decay = 5e-4\n\
             head_learning_rate_factor = 10.0\nwarm_up = { rise = \"exponential\", iterations = \
             1000, learning_rate = 1e-5 }",
            "loss = { ohem = { form = \"bisenet\" } }\nlearning_rate = 5e-3\n\
             head_learning_rate_factor = 10.0\nwarm_up = { rise = \"exponential\", iterations = \
             1000 }",
            "loss = { ohem = { form = \"hrnet\" } }\nlearning_rate = 0.08\nweight_decay = 5e-5\n\
             schedule = \"cosine\"\nwarm_up = { epochs = 1, learning_rate = 0.008 }\nema = {}",
            "loss = \"dice_cross_entropy\"\nweight_decay = 3e-5\nmomentum = 0.99\nnesterov = true",
        ] {
            let training: TrainingConfig = toml::from_str(recipe).unwrap();
            training.validate(&bpnet).unwrap();
            training.loss.validate_classes(19).unwrap();
        }
    }

    #[test]
    fn a_file_that_says_nothing_new_is_written_as_before() {
        let text = toml::to_string(&TrainingConfig::default()).unwrap();
        let keys: Vec<&str> =
            text.lines().filter_map(|line| line.split_once(" = ")).map(|(k, _)| k).collect();
        let known = [
            "epochs",
            "batch_size",
            "patch",
            "learning_rate",
            "momentum",
            "nesterov",
            "weight_decay",
            "loss",
            "foreground_share",
            "validate_every",
            "power",
        ];
        assert_eq!(keys, known, "checkpoints know their experiment by this text");
    }
}
