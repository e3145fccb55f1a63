//! The training loop, and what it needs around it.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use lamina_io::dataset::Dataset;
use serde::Serialize;

use super::cases::{CaseReader, HeldOut, read_all};
use super::learner::{Learner, optimizer};
use super::validation::{Validation, mean_dice, validate};
use super::{
    Average, Batch, Batches, Checkpoint, Keep, Progress, RunFolder, TrainingCase, examples,
    initialize,
};
use crate::bundle::{Manifest, MetricsRecord, TrainingRecord, WeightsRecord, write_bundle};
use crate::device::OpenDevice;
use crate::error::EngineError;
use crate::experiment::Experiment;
use crate::fingerprint::{CaseTraits, Fingerprint};
use crate::inference::Labeler;
use crate::losses::Target;
use crate::networks::Network;
use crate::observer::{ClassDice, Event, Flow, Observer};
use crate::synthetic_weights::splitmix64;
use crate::weights::{self, NameMap};

/// Batches that are made ahead of the step that needs them.
const PREFETCHED: usize = 4;

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
    /// Their mean case Dice on the held-out cases, per foreground class.
    pub dice: Vec<ClassDice>,
    /// The mean over the classes.
    pub mean_dice: f64,
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
        let mut learner = self.start()?;
        let Experiment { training, preprocessing, augmentation, fold, folds, seed, .. } =
            self.experiment;
        let split = self.dataset.split(*fold, *folds, *seed)?;
        let reader = CaseReader::new(preprocessing, self.dataset.config.classes.len());
        let (cases, traits): (Vec<TrainingCase>, Vec<CaseTraits>) =
            read_all(&split.training, |case| reader.training(case))?.into_iter().unzip();
        let held_out = read_all(&split.validation, |case| reader.held_out(case))?;
        let batches = Batches::new(&cases, augmentation, training, preprocessing.neighbors, *seed);
        self.check_batches(&batches)?;

        // Only a run that can start leaves a folder.
        self.run.create()?;
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
                epochs: training.epochs,
                steps_per_epoch: batches.per_epoch(),
            },
        )?;

        while learner.progress.epoch < training.epochs {
            let epoch_started = Instant::now();
            let waited;
            (learner, waited) = self.learn_epoch(&batches, learner, &recorder)?;
            let training_loss = learner.progress.loss_sum / batches.per_epoch() as f64;
            let epoch = learner.progress.epoch + 1;
            learner.progress =
                Progress { epoch, step: 0, loss_sum: 0.0, ..learner.progress.clone() };

            let validated =
                epoch == training.epochs || epoch.is_multiple_of(training.validate_every);
            let dice = if validated {
                self.validate(&self.learned(&learner)?, &held_out)?.told(epoch, &recorder)
            } else {
                Vec::new()
            };
            let mean_dice = mean_dice(&dice);
            let best = learner.is_best(mean_dice);
            if let (true, Some(dice)) = (best, mean_dice) {
                learner.progress.best = Some((epoch - 1, dice));
                learner.checkpoint().write(&self.run.best())?;
            }
            learner.checkpoint().write(&self.run.last())?;
            let seconds = epoch_started.elapsed().as_secs_f64();
            tell(
                &recorder,
                &Event::EpochFinished {
                    epoch,
                    epochs: training.epochs,
                    training_loss,
                    dice,
                    mean_dice,
                    best,
                    seconds,
                    waiting_for_data: waited.as_secs_f64() / seconds.max(f64::MIN_POSITIVE),
                },
            )?;
        }
        self.finish(&held_out, &traits, &learner.progress, started, &recorder)
    }

    /// Whether there are enough slices for a batch and enough steps for warm-up.
    fn check_batches(&self, batches: &Batches<'_>) -> Result<(), EngineError> {
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
        let steps = training.epochs * batches.per_epoch();
        match training.warm_up.map(|warm_up| warm_up.steps(batches.per_epoch())) {
            Some(warming) if warming >= steps => {
                let expected = format!("expected fewer than the {steps} of this run");
                Err(EngineError::config("training.warm_up.iterations", warming, expected))
            }
            _ => Ok(()),
        }
    }

    /// A network at the start of the run, or where its last checkpoint left it.
    fn start(&self) -> Result<Learner, EngineError> {
        let Experiment { training, seed, .. } = self.experiment;
        let device = self.device.device.clone().autodiff();
        let network = initialize(self.fresh_network(&device), *seed);
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
        Ok(learner)
    }

    /// Learns from what is left of the epoch under way. Answers also how long the
    /// optimizer waited for data.
    fn learn_epoch(
        &self,
        batches: &Batches<'_>,
        learner: Learner,
        observer: &dyn Observer,
    ) -> Result<(Learner, Duration), EngineError> {
        let training = &self.experiment.training;
        let (epoch, per_epoch) = (learner.progress.epoch, batches.per_epoch());
        prefetched(batches, epoch, learner.progress.step, |next| {
            let Learner { mut network, mut sgd, mut average, mut progress, device } = learner;
            let mut waited = Duration::ZERO;
            while progress.step < per_epoch {
                let wait = Instant::now();
                let batch = next();
                waited += wait.elapsed();
                if (epoch, progress.step) == (0, 0) {
                    examples::tell_batch(&batch, batches.input_shape(), observer);
                }

                let step = epoch * per_epoch + progress.step;
                let rate = training.learning_rate_at(step, per_epoch);
                // Dropout draws from the one generator that Burn has.
                device.seed(splitmix64(self.experiment.seed ^ splitmix64(step as u64)));
                let (loss, gradients) =
                    self.gradients(&network, batch, batches.input_shape(), &device);
                progress.step += 1;
                if !loss.is_finite() {
                    let step = progress.step;
                    return Err(EngineError::Diverged { loss, epoch: epoch + 1, step });
                }
                network = sgd.step(rate, network, gradients);
                if let Some(average) = &mut average {
                    average.update(&network, step + 1);
                }
                progress.loss_sum += loss;
                let event = Event::Step {
                    epoch: epoch + 1,
                    step: progress.step,
                    steps_per_epoch: per_epoch,
                    loss,
                    learning_rate: rate,
                };
                if observer.on(&event) == Flow::Stop {
                    let learner = Learner { network, sgd, average, progress, device };
                    learner.sound_checkpoint()?.write(&self.run.last())?;
                    return Err(EngineError::Stopped);
                }
            }
            let learner = Learner { network, sgd, average, progress, device };
            learner.sound_checkpoint()?;
            Ok((learner, waited))
        })
    }

    /// What of a learner is validated: the moving average of its weights where there is one.
    fn learned(&self, learner: &Learner) -> Result<Network, EngineError> {
        match &learner.average {
            None => Ok(learner.network.valid()),
            Some(average) => {
                let network = self.fresh_network(&self.device.device);
                let (names, path) = (&NameMap::SAME, self.run.last());
                Ok(weights::fit_weights(network, names, average.to_host(), &path)?)
            }
        }
    }

    fn fresh_network(&self, device: &Device) -> Network {
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

    /// Loss and gradients of one batch.
    fn gradients(
        &self,
        network: &Network,
        batch: Batch,
        shape: [usize; 4],
        device: &Device,
    ) -> (f64, GradientsParams) {
        let [size, _, height, width] = shape;
        let classes = self.dataset.config.classes.len();
        let target = Target::new(&batch.labels, [size, height, width], classes, device);
        let input = Tensor::<4>::from_data(TensorData::new(batch.inputs, shape), device);
        let output = network.forward_training(input);
        let loss = self.experiment.training.loss.forward(output, &target);
        let gradients = GradientsParams::from_grads(loss.backward(), network);
        let value: f32 = loss.into_scalar();
        (f64::from(value), gradients)
    }

    /// Measures a network on the held-out cases.
    fn validate(&self, network: &Network, held_out: &[HeldOut]) -> Result<Validation, EngineError> {
        let labeler = Labeler {
            network,
            device: &self.device.device,
            config: &self.experiment.inference,
            channels: self.experiment.preprocessing.channels(),
            architecture: &self.experiment.network,
        };
        validate(&labeler, held_out, &self.dataset.config.classes)
    }

    /// Writes the bundle of the epoch that is kept, and measures it.
    fn finish(
        &self,
        held_out: &[HeldOut],
        traits: &[CaseTraits],
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
        let dice = self.validate(&network, held_out)?.dice;
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
                epochs: self.experiment.training.epochs,
                epoch,
                lamina: env!("CARGO_PKG_VERSION").into(),
                experiment_sha256: progress.experiment_sha256.clone(),
            }),
            metrics: Some(MetricsRecord::new(measured_on, &dice)),
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
            mean_dice: mean_dice(&dice).unwrap_or(0.0),
            dice,
            seconds: started.elapsed().as_secs_f64(),
        };
        self.run.write_json("metrics.json", &summary)?;
        let _ = observer.on(&Event::TrainingFinished {
            epoch,
            mean_dice: summary.mean_dice,
            bundle: self.run.bundle(),
        });
        Ok(summary)
    }
}

/// Runs `work` with a function that answers the batches of an epoch in turn, from
/// `first_step` on, while a thread makes them ahead of time.
fn prefetched<R>(
    batches: &Batches<'_>,
    epoch: usize,
    first_step: usize,
    work: impl FnOnce(&mut dyn FnMut() -> Batch) -> R,
) -> R {
    let order = batches.order(epoch);
    let (sender, receiver) = sync_channel(PREFETCHED);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for step in first_step..batches.per_epoch() {
                if sender.send(batches.batch(epoch, &order, step)).is_err() {
                    break; // the run has ended early
                }
            }
        });
        let mut next = || receiver.recv().expect("one batch for each step of the epoch");
        let result = work(&mut next);
        drop(receiver); // before the scope waits for the thread
        result
    })
}

fn tell(observer: &dyn Observer, event: &Event) -> Result<(), EngineError> {
    match observer.on(event) {
        Flow::Continue => Ok(()),
        Flow::Stop => Err(EngineError::Stopped),
    }
}
