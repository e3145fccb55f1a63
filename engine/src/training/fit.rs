//! The training loop, and what it needs around it.

use std::time::{Duration, Instant};

use burn::tensor::Device;
use lamina_io::dataset::{Dataset, Measure};
use serde::Serialize;

use super::cases::{CaseReader, HeldOut};
use super::data::HELD_BYTES;
use super::learner::{Learner, optimizer};
use super::start::{StartWeights, check_given};
use super::validation::mean_score;
use super::{
    Average, Batches, Cache, Checkpoint, Length, Precision, Progress, RunFolder, TrainingSet,
    initialize,
};
use crate::device::OpenDevice;
use crate::error::EngineError;
use crate::experiment::Experiment;
use crate::networks::Network;
use crate::observer::{ClassScore, Event, Flow, Observer};
use crate::weights::{self, NameMap};

/// A training run.
#[derive(Debug, Clone, Copy)]
pub struct Fit<'a> {
    /// What is to be done.
    pub experiment: &'a Experiment,
    /// The data set that it names.
    pub dataset: &'a Dataset,
    /// Where the run writes.
    pub run: &'a RunFolder,
    /// Where it computes.
    pub device: &'a OpenDevice,
    /// Whether to go on from the last checkpoint, where there is one.
    pub resume: bool,
    /// The weights that it starts from, where the experiment says so.
    pub start_from: Option<&'a StartWeights>,
    /// The longest time from one checkpoint to the next; each epoch ends with one anyway. Changes
    /// nothing of what is learned.
    pub checkpoint_every: Duration,
    /// Where prepared cases are kept for other runs; without it all are held in memory.
    pub cache: Option<&'a Cache>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FitSummary {
    /// Trainable parameters.
    pub parameters: usize,
    /// Cases that were learned from.
    pub training_cases: usize,
    /// Held-out cases.
    pub validation_cases: usize,
    /// The epoch whose weights the bundle holds, from 1.
    pub epoch: usize,
    /// What the scores are.
    pub measure: Measure,
    /// How well each class is found in the held-out cases with them.
    pub scores: Vec<ClassScore>,
    /// The mean over the classes; absent where no held-out case shows any.
    pub mean_score: Option<f64>,
    /// Time that this call took, in seconds.
    pub seconds: f64,
}

impl Fit<'_> {
    /// Learns from the training cases, validates on the held-out ones, and leaves a bundle.
    ///
    /// A stopped run leaves a checkpoint, and resuming it gives the numbers that the
    /// uninterrupted run would have given.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] when the observer says so; [`EngineError::Diverged`];
    /// whatever reading the data or writing the run folder meets.
    pub fn run(&self, observer: &dyn Observer) -> Result<FitSummary, EngineError> {
        let started = Instant::now();
        let classes = self.dataset.config.classes.len();
        self.experiment.training.loss.validate_classes(classes)?;
        let (mut learner, taken) = self.start()?;
        let Experiment { training, preprocessing, augmentation, fold, folds, seed, .. } =
            self.experiment;
        let split = self.dataset.split(*fold, *folds, *seed)?;
        let reader = CaseReader::new(preprocessing, self.dataset.config.classes.len());
        let cases = TrainingSet::read(&split.training, &reader, self.cache)?;
        let traits = cases.traits();
        let held_out = HeldOut::read_all(&split.validation, &reader, HELD_BYTES)?;
        let batches = Batches::new(&cases, augmentation, training, preprocessing.neighbors, *seed);
        let length = Length::of(training, batches.per_epoch());
        let epochs = length.epochs();
        self.check_batches(&batches, length)?;

        // Only a run that can start leaves a folder.
        self.run.create()?;
        let _alone = self.run.lock()?;
        let recorder = self.run.record(observer)?;
        self.write_config()?;
        tell(
            &recorder,
            &Event::TrainingStarted {
                run_folder: self.run.path().to_path_buf(),
                parameters: learner.network.trainable_parameters(),
                training_cases: cases.len(),
                validation_cases: held_out.len(),
                first_epoch: learner.progress.epoch + 1,
                epochs,
                steps_per_epoch: length.steps_per_epoch,
            },
        )?;
        if training.precision == Precision::Mixed && !self.is_mixed() {
            let message = format!("{} trains in f32: it has no mixed precision", self.device.name);
            tell(&recorder, &Event::Notice { message })?;
        }
        if let Some(message) = taken {
            tell(&recorder, &Event::Notice { message })?;
        }

        while learner.progress.epoch < epochs && !training.has_stopped_early(&learner.progress) {
            let epoch_started = Instant::now();
            let waited;
            (learner, waited) =
                self.learn_epoch(&batches, &split.training, length, learner, &recorder)?;
            let steps = length.steps_of(learner.progress.epoch);
            let training_loss = learner.progress.loss_sum / steps as f64;
            let epoch = learner.progress.epoch + 1;
            learner.progress =
                Progress { epoch, step: 0, loss_sum: 0.0, ..learner.progress.clone() };

            let validated = epoch == epochs || epoch.is_multiple_of(training.validate_every);
            let scores = if validated {
                self.validate(&self.learned(&learner)?, &held_out)?.told(epoch, &recorder)
            } else {
                Vec::new()
            };
            let mean_score = mean_score(&scores);
            let best = learner.is_best(mean_score);
            if let (true, Some(score)) = (best, mean_score) {
                learner.progress.best = Some((epoch - 1, score));
                learner.checkpoint().write(&self.run.best())?;
            }
            learner.checkpoint().write(&self.run.last())?;
            let seconds = epoch_started.elapsed().as_secs_f64();
            tell(
                &recorder,
                &Event::EpochFinished {
                    epoch,
                    epochs,
                    training_loss,
                    measure: self.dataset.config.measure(),
                    scores,
                    mean_score,
                    best,
                    seconds,
                    waiting_for_data: waited.as_secs_f64() / seconds.max(f64::MIN_POSITIVE),
                },
            )?;
        }
        if learner.progress.epoch < epochs {
            let message = format!(
                "stopped early: no epoch of the last {} was better",
                training.early_stop.map_or(0, |stop| stop.patience)
            );
            tell(&recorder, &Event::Notice { message })?;
        }
        self.finish(&held_out, &traits, epochs, &learner.progress, started, &recorder)
    }

    /// Whether there are enough slices for a batch and enough steps for warm-up.
    fn check_batches(&self, batches: &Batches<'_>, length: Length) -> Result<(), EngineError> {
        let training = &self.experiment.training;
        let [slices, ..] = batches.input_shape();
        let least = self.experiment.network.settings().smallest_batch(training.patch);
        if slices < least {
            let message = format!(
                "expected at least {least} slices to learn from, found {slices}: the network cannot \
                 be trained on fewer at once"
            );
            return Err(EngineError::data(&self.dataset.folder, message));
        }
        match training.warm_up.map(|warm_up| warm_up.steps(length.steps_per_epoch)) {
            Some(warming) if warming >= length.steps => {
                let expected = format!("expected fewer than the {} of this run", length.steps);
                Err(EngineError::config("training.warm_up.iterations", warming, expected))
            }
            _ => Ok(()),
        }
    }

    /// A network at the start of the run, or where its last checkpoint left it; and what became
    /// of weights that it started from.
    fn start(&self) -> Result<(Learner, Option<String>), EngineError> {
        let Experiment { training, seed, .. } = self.experiment;
        let device = self.device.device.clone().autodiff();
        let mut network = initialize(self.fresh_network(&device), *seed);
        let going_on = self.resume && self.run.last().exists();
        let mut taken = None;
        if !going_on {
            check_given(training.start_from.as_ref(), self.start_from)?;
            if let Some(start) = self.start_from {
                let names = self.experiment.network.name_map();
                let (started, found) = start.take_over(network, &names)?;
                network = started;
                taken = Some(found.sentence(&start.record));
            }
        }
        let mut learner = Learner {
            average: None,
            sgd: optimizer(training, &network)?,
            network,
            progress: Progress {
                experiment_sha256: self.experiment.learning_sha256(),
                ..Progress::default()
            },
            device,
        };
        learner.average = training.ema.map(|config| Average::start(config, &learner.network));
        if let Some(checkpoint) = self.checkpoint_to_resume(&learner.progress)? {
            checkpoint.restore_velocities(&mut learner.sgd, &self.device.device);
            let average = &checkpoint.average;
            learner.average =
                training.ema.map(|config| Average::from_host(config, average, &self.device.device));
            let (model, path) = (checkpoint.model, self.run.last());
            learner.network = weights::fit_weights(learner.network, &NameMap::SAME, model, &path)?;
            learner.progress = checkpoint.progress;
        }
        Ok((learner, taken))
    }

    pub(super) fn fresh_network(&self, device: &Device) -> Network {
        let channels = self.experiment.preprocessing.channels();
        self.experiment.network.init(channels, self.dataset.config.classes.len(), device)
    }

    /// Writes experiment and data set as resolved.
    fn write_config(&self) -> Result<(), EngineError> {
        let dataset = toml::to_string(&self.dataset.config).expect("a data set is plain data");
        self.run.write_text("config.toml", &self.experiment.to_toml())?;
        self.run.write_text("dataset.toml", &dataset)
    }

    fn checkpoint_to_resume(&self, fresh: &Progress) -> Result<Option<Checkpoint>, EngineError> {
        let path = self.run.last();
        if !path.exists() {
            return Ok(None);
        }
        if !self.resume {
            let message = "this folder holds a run already; resume it or choose another folder";
            return Err(EngineError::data(self.run.path(), message));
        }
        let checkpoint = Checkpoint::read(&path)?;
        if checkpoint.progress.experiment_sha256 != fresh.experiment_sha256 {
            let message = "this checkpoint belongs to another experiment: its settings differ";
            return Err(EngineError::bundle(&path, message));
        }
        Ok(Some(checkpoint))
    }
}

fn tell(observer: &dyn Observer, event: &Event) -> Result<(), EngineError> {
    match observer.on(event) {
        Flow::Continue => Ok(()),
        Flow::Stop => Err(EngineError::Stopped),
    }
}
