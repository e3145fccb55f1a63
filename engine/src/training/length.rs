//! How long a run is: in batches, optimizer steps and epochs.

use super::TrainingConfig;

/// The length of a run, once it is known how many batches an epoch has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length {
    /// Batches whose gradients make one optimizer step.
    pub batches_per_step: usize,
    /// Optimizer steps of a whole epoch. Batches that do not fill a step are dropped.
    pub steps_per_epoch: usize,
    /// Optimizer steps of the run.
    pub steps: usize,
}

impl Length {
    /// The length of a run as `training` says, whose epochs have so many batches.
    pub fn of(training: &TrainingConfig, batches_per_epoch: usize) -> Self {
        let batches_per_step = training.accumulate.clamp(1, batches_per_epoch.max(1));
        let steps_per_epoch = (batches_per_epoch / batches_per_step).max(1);
        let steps = training.iterations.unwrap_or(training.epochs * steps_per_epoch);
        Self { batches_per_step, steps_per_epoch, steps }
    }

    /// Epochs of the run; the last one may be cut short.
    pub fn epochs(self) -> usize {
        self.steps.div_ceil(self.steps_per_epoch)
    }

    /// Optimizer steps of epoch `epoch`, from 0.
    pub fn steps_of(self, epoch: usize) -> usize {
        self.steps.saturating_sub(epoch * self.steps_per_epoch).min(self.steps_per_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_counted_in_whole_steps() {
        let training = TrainingConfig { epochs: 3, accumulate: 4, ..TrainingConfig::default() };
        let length = Length::of(&training, 10);
        assert_eq!(length, Length { batches_per_step: 4, steps_per_epoch: 2, steps: 6 });
        assert_eq!(length.epochs(), 3);
        assert_eq!([0, 1, 2, 3].map(|epoch| length.steps_of(epoch)), [2, 2, 2, 0]);
    }

    #[test]
    fn a_number_of_iterations_cuts_the_last_epoch_short() {
        let iterations = Some(7);
        let training = TrainingConfig { iterations, ..TrainingConfig::default() };
        let length = Length::of(&training, 3);
        assert_eq!(length.epochs(), 3);
        assert_eq!([0, 1, 2].map(|epoch| length.steps_of(epoch)), [3, 3, 1]);
    }

    #[test]
    fn an_epoch_with_fewer_batches_than_a_step_wants_is_one_step() {
        let training = TrainingConfig { epochs: 2, accumulate: 8, ..TrainingConfig::default() };
        let length = Length::of(&training, 3);
        assert_eq!(length, Length { batches_per_step: 3, steps_per_epoch: 1, steps: 2 });
    }
}
