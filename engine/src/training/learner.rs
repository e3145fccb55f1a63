//! What changes while a network learns.

use std::collections::BTreeSet;

use burn::tensor::Device;

use super::{Average, Checkpoint, Progress, Sgd, TrainingConfig};
use crate::error::EngineError;
use crate::networks::Network;
use crate::weights;

/// The state of a run.
pub struct Learner {
    pub network: Network,
    pub sgd: Sgd,
    /// The moving average of the weights, where there is one.
    pub average: Option<Average>,
    pub progress: Progress,
    /// With autodiff.
    pub device: Device,
}

impl Learner {
    pub fn checkpoint(&self) -> Checkpoint {
        let average = self.average.as_ref().map(Average::to_host).unwrap_or_default();
        Checkpoint { average, ..Checkpoint::of(self.progress.clone(), &self.network, &self.sgd) }
    }

    /// A checkpoint that may replace the one before: without weights that overflowed.
    pub fn sound_checkpoint(&self) -> Result<Checkpoint, EngineError> {
        let checkpoint = self.checkpoint();
        if checkpoint.is_finite() {
            return Ok(checkpoint);
        }
        let Progress { epoch, step, .. } = self.progress;
        Err(EngineError::Overflowed { epoch: epoch + 1, step })
    }

    pub fn is_best(&self, mean_score: Option<f64>) -> bool {
        mean_score.is_some_and(|score| self.progress.best.is_none_or(|(_, best)| score > best))
    }
}

/// The optimizer of a run that begins.
///
/// # Errors
/// [`EngineError::Config`] where heads are to learn faster and the network knows of none.
pub fn optimizer(training: &TrainingConfig, network: &Network) -> Result<Sgd, EngineError> {
    let factor = training.head_learning_rate_factor;
    let architecture = network.architecture();
    let paths = weights::shapes_by_path(network).into_keys();
    let heads: BTreeSet<String> = paths.filter(|path| architecture.is_head(path)).collect();
    if factor != 1.0 && heads.is_empty() {
        let expected = "expected 1: no part of this network is published with a rate of its own";
        return Err(EngineError::config("training.head_learning_rate_factor", factor, expected));
    }
    Ok(Sgd::new(training.momentum, training.nesterov, training.weight_decay)
        .with_decay_of_all(training.decay_biases_and_norms)
        .with_clip_norm(training.clip_norm)
        .with_heads(factor, heads))
}
