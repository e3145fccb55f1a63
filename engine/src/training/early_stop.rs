//! Ending a run that no longer gets better.

use serde::{Deserialize, Serialize};

use super::Progress;
use crate::error::EngineError;

/// When a run ends before its last epoch. The bundle's `keep = "best"` goes well with it.
///
/// What the held-out cases say then enters the result: their score is a little too high an estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Epochs without a better score of the held-out cases after which the run ends.
    pub patience: usize,
}

impl EarlyStop {
    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        if self.patience > 0 {
            return Ok(());
        }
        let expected = "expected at least 1 epoch";
        Err(EngineError::config("training.early_stop.patience", self.patience, expected))
    }

    /// Whether a run that stands at `progress` has waited long enough for a better epoch. Before
    /// the first one that has a score it waits.
    pub(super) fn ends(self, progress: &Progress) -> bool {
        let since = |(best, _): (usize, f64)| progress.epoch - (best + 1);
        progress.best.is_some_and(|best| since(best) >= self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_after_as_many_epochs_as_it_is_patient() {
        let stop = EarlyStop { patience: 2 };
        let at = |epoch, best: Option<usize>| {
            let best = best.map(|best| (best, 0.5));
            stop.ends(&Progress { epoch, best, ..Progress::default() })
        };
        assert!(!at(9, None), "nothing has been measured yet");
        assert_eq!([3, 4, 5].map(|done| at(done, Some(2))), [false, false, true]);
        assert!(EarlyStop { patience: 0 }.validate().is_err());
    }
}
