//! What a run is measured by, and what it leaves: validation, the bundle, the summary.

use std::time::Instant;

use burn::module::Module;

use super::cases::HeldOut;
use super::learner::Learner;
use super::validation::{Validation, mean_score, validate};
use super::{Checkpoint, Fit, FitSummary, Keep, Progress};
use crate::bundle::{Manifest, MetricsRecord, TrainingRecord, WeightsRecord, write_bundle};
use crate::error::EngineError;
use crate::fingerprint::{CaseTraits, Fingerprint};
use crate::inference::Labeler;
use crate::networks::Network;
use crate::observer::{Event, Observer};
use crate::weights::{self, NameMap};

impl Fit<'_> {
    /// What of a learner is validated: the moving average of its weights where there is one.
    pub(super) fn learned(&self, learner: &Learner) -> Result<Network, EngineError> {
        match &learner.average {
            None => Ok(learner.network.valid()),
            Some(average) => {
                let network = self.fresh_network(&self.device.device);
                let (names, path) = (&NameMap::SAME, self.run.last());
                Ok(weights::fit_weights(network, names, average.to_host(), &path)?)
            }
        }
    }

    /// How well each class is found in the held-out cases.
    pub(super) fn validate(
        &self,
        network: &Network,
        held_out: &[HeldOut],
    ) -> Result<Validation, EngineError> {
        let labeler = Labeler {
            network,
            device: &self.device.device,
            config: &self.experiment.inference,
            channels: self.experiment.preprocessing.channels(),
            architecture: &self.experiment.network,
        };
        let config = &self.dataset.config;
        validate(&labeler, held_out, &config.classes, config.measure())
    }

    /// Writes the bundle of the epoch that is kept, and measures it.
    pub(super) fn finish(
        &self,
        held_out: &[HeldOut],
        traits: &[CaseTraits],
        epochs: usize,
        progress: &Progress,
        started: Instant,
        observer: &dyn Observer,
    ) -> Result<FitSummary, EngineError> {
        let storage = self.experiment.bundle.storage;
        let path = match self.experiment.bundle.keep {
            // Where no held-out case shows any class, no epoch is the best.
            Keep::Best if progress.best.is_some() => self.run.best(),
            Keep::Best | Keep::Last => self.run.last(),
        };
        let kept = Checkpoint::read(&path)?;
        let epoch = kept.progress.epoch;
        let network = self.fresh_network(&self.device.device);
        let network = weights::fit_weights(network, &NameMap::SAME, kept.learned(), &path)?;
        let bytes = weights::encode_weights(&network, &NameMap::SAME, storage);
        let network = self.fresh_network(&self.device.device);
        let network = weights::decode_weights(network, &NameMap::SAME, &bytes, &path)?;
        let scores = self.validate(&network, held_out)?.scores;
        let config = &self.dataset.config;
        let fold = self.experiment.fold;
        let measured_on =
            format!("{}, fold {fold}, {} cases, never trained on", config.name, held_out.len());
        let manifest = Manifest {
            format: 1,
            name: format!("{}-{}", config.name, self.experiment.network.name()),
            title: config.title.clone(),
            modality: config.modality.clone(),
            license: config.license.clone(),
            intended_use: "Research use only, not for clinical decisions".into(),
            in_channels: None,
            classes: config.classes.clone(),
            network: self.experiment.network.clone(),
            preprocessing: self.experiment.preprocessing.clone(),
            inference: self.experiment.inference.clone(),
            training: Some(TrainingRecord {
                dataset: config.name.clone(),
                source: config.source.clone(),
                held_out_fold: fold,
                training_cases: traits.len(),
                seed: self.experiment.seed,
                epochs,
                epoch,
                lamina: env!("CARGO_PKG_VERSION").into(),
                experiment_sha256: progress.experiment_sha256.clone(),
            }),
            metrics: Some(MetricsRecord::new(measured_on, config.measure(), &scores)),
            imported: None,
            fingerprint: Fingerprint::of(traits, &config.classes),
            weights: WeightsRecord {
                sha256: String::new(),
                test_vector_sha256: String::new(),
                storage,
            },
        };
        write_bundle(&self.run.bundle(), manifest, &network, storage)?;
        let summary = FitSummary {
            parameters: network.trainable_parameters(),
            training_cases: traits.len(),
            validation_cases: held_out.len(),
            epoch,
            measure: config.measure(),
            mean_score: mean_score(&scores),
            scores,
            seconds: started.elapsed().as_secs_f64(),
        };
        self.run.write_json("metrics.json", &summary)?;
        let _ = observer.on(&Event::TrainingFinished {
            epoch,
            measure: summary.measure,
            mean_score: summary.mean_score,
            bundle: self.run.bundle(),
        });
        Ok(summary)
    }
}
