//! One epoch: batches to gradients to optimizer steps, and the checkpoints on the way.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use lamina_io::dataset::Case;

use super::diverged::Diverged;
use super::learner::Learner;
use super::{Batch, Batches, Fit, Length, Precision, examples};
use crate::error::EngineError;
use crate::losses::Target;
use crate::networks::Network;
use crate::nn::with_precision;
use crate::observer::{Event, Flow, Observer};
use crate::synthetic_weights::splitmix64;

/// Batches that are made ahead of the step that needs them.
const PREFETCHED: usize = 4;

impl Fit<'_> {
    /// Learns from what is left of the epoch under way. Answers also how long the
    /// optimizer waited for data.
    pub(super) fn learn_epoch(
        &self,
        batches: &Batches<'_>,
        cases: &[Case],
        length: Length,
        learner: Learner,
        observer: &dyn Observer,
    ) -> Result<(Learner, Duration), EngineError> {
        let training = &self.experiment.training;
        let epoch = learner.progress.epoch;
        let steps = length.steps_of(epoch);
        let ahead =
            learner.progress.step * length.batches_per_step..steps * length.batches_per_step;
        prefetched(batches, epoch, ahead, |next| {
            let mut learner = learner;
            let mut waited = Duration::ZERO;
            let mut checkpointed = Instant::now();
            let mut diverged = Diverged::new(self, batches, cases, epoch);
            while learner.progress.step < steps {
                let done = learner.progress.step;
                let step = epoch * length.steps_per_epoch + done;
                let rate = training.learning_rate_at(step, length);
                // Dropout draws from the one generator that Burn has.
                learner.device.seed(splitmix64(self.experiment.seed ^ splitmix64(step as u64)));
                let mut accumulated = GradientsAccumulator::new();
                let mut loss = 0.0;
                for part in 0..length.batches_per_step {
                    let wait = Instant::now();
                    let batch = next()?;
                    waited += wait.elapsed();
                    if (step, part) == (0, 0) {
                        examples::tell_batch(&batch, batches.input_shape(), observer);
                    }
                    let share = length.batches_per_step as f64;
                    let (value, gradients) = self.gradients(
                        &learner.network,
                        &batch,
                        batches.input_shape(),
                        share,
                        &learner.device,
                    );
                    let place = done * length.batches_per_step + part;
                    diverged.check(value, done, place, batch, &learner.network)?;
                    loss += value / share;
                    accumulated.accumulate(&learner.network, gradients);
                }
                learner.network = learner.sgd.step(rate, learner.network, accumulated.grads());
                if let Some(average) = &mut learner.average {
                    average.update(&learner.network, step + 1);
                }
                learner.progress.step += 1;
                learner.progress.loss_sum += loss;
                let stop = observer.on(&Event::Step {
                    epoch: epoch + 1,
                    step: learner.progress.step,
                    steps_per_epoch: steps,
                    loss,
                    learning_rate: rate,
                }) == Flow::Stop;
                if stop || checkpointed.elapsed() >= self.checkpoint_every {
                    learner.sound_checkpoint()?.write(&self.run.last())?;
                    checkpointed = Instant::now();
                }
                if stop {
                    return Err(EngineError::Stopped);
                }
            }
            learner.sound_checkpoint()?;
            Ok((learner, waited))
        })
    }

    /// Whether convolutions are computed in bf16: where that is wanted and the device can.
    pub(super) fn is_mixed(&self) -> bool {
        self.experiment.training.precision == Precision::Mixed && self.device.computes_bf16()
    }

    /// Loss of one batch, and the gradients of its share, one in `share`, of the step's loss.
    fn gradients(
        &self,
        network: &Network,
        batch: &Batch,
        shape: [usize; 4],
        share: f64,
        device: &Device,
    ) -> (f64, GradientsParams) {
        let [size, _, height, width] = shape;
        let classes = self.dataset.config.classes.len();
        let target = Target::new(&batch.labels, [size, height, width], classes, device);
        let input = Tensor::<4>::from_data(TensorData::new(batch.inputs.clone(), shape), device);
        let output = with_precision(self.is_mixed(), || network.forward_training(input));
        let loss = self.experiment.training.loss.forward(output, &target);
        let value: f32 = loss.clone().into_scalar();
        let shared = if share == 1.0 { loss } else { loss.div_scalar(share) };
        (f64::from(value), GradientsParams::from_grads(shared.backward(), network))
    }
}

/// Runs `work` with a function that answers some batches of an epoch in turn, while a thread makes
/// them ahead of time.
fn prefetched<R>(
    batches: &Batches<'_>,
    epoch: usize,
    places: std::ops::Range<usize>,
    work: impl FnOnce(&mut dyn FnMut() -> Result<Batch, EngineError>) -> R,
) -> R {
    let order = batches.order(epoch);
    let (sender, receiver) = sync_channel(PREFETCHED);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for place in places {
                if sender.send(batches.batch(epoch, &order, place)).is_err() {
                    break; // the run has ended early
                }
            }
        });
        let mut next = || receiver.recv().expect("one batch for each place of the epoch");
        let result = work(&mut next);
        drop(receiver); // before the scope waits for the thread
        result
    })
}
