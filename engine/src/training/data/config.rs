//! Which slices and places are drawn more or less often than others.

use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// What is drawn more or less often than every slice once in an epoch and every place as often.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingConfig {
    /// Whether `foreground_share` is counted out in each batch, whose last patches then are on
    /// foreground, rather than drawn for each patch; a slice without any gives way to another of
    /// its case. nnU-Net's rule.
    pub foreground_in_batch: bool,
    /// Draws the class that lies in the middle of a patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
    /// Share of the slices without foreground that an epoch shows, each epoch others.
    pub empty_share: f64,
    /// Batches of an epoch, in place of those that show every slice once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batches_per_epoch: Option<usize>,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self {
            foreground_in_batch: false,
            balance: None,
            empty_share: 1.0,
            batches_per_epoch: None,
        }
    }
}

/// Patches whose middle lies on a class that is drawn, so that rare ones are seen as well. The
/// patch is then moved into the slice where it would reach beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Balance {
    /// Share of the patches.
    pub share: f64,
    /// Among which classes one is drawn.
    pub over: Scope,
    /// How often each.
    pub weights: ClassWeights,
    /// Whether the first class is one of them: it is in streets, and is background in scans.
    pub background: bool,
}

impl Default for Balance {
    fn default() -> Self {
        Self { share: 0.5, over: Scope::Set, weights: ClassWeights::Equal, background: false }
    }
}

/// Among which classes one is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Those that the slice shows whose turn it is.
    Slice,
    /// Those of the whole set; the slice then is one that shows it, each as often.
    Set,
}

/// How often a class is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// Each as often.
    Equal,
    /// By one over the root of its share of the pixels.
    InverseSqrt,
}

impl SamplingConfig {
    /// Whether nothing is said.
    pub(in crate::training) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        let share = self.balance.map_or(0.0, |balance| balance.share);
        for (key, value) in [("empty_share", self.empty_share), ("balance.share", share)] {
            if !(0.0..=1.0).contains(&value) {
                let key = format!("training.sampling.{key}");
                return Err(EngineError::config(key, value, "expected 0 to 1"));
            }
        }
        if self.batches_per_epoch == Some(0) {
            let key = "training.sampling.batches_per_epoch";
            return Err(EngineError::config(key, 0, "expected at least 1"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let refused = |text: &str| {
            let config: Result<SamplingConfig, _> = toml::from_str(text);
            config.map_or_else(
                |error| error.to_string(),
                |config| config.validate().unwrap_err().to_string(),
            )
        };
        for (text, expected) in [
            ("empty_share = 1.5", "training.sampling.empty_share = 1.5: expected 0 to 1"),
            ("balance = { share = -1 }", "training.sampling.balance.share = -1: expected 0 to 1"),
            (
                "batches_per_epoch = 0",
                "training.sampling.batches_per_epoch = 0: expected at least 1",
            ),
            ("balance = { over = \"case\" }", "unknown variant `case`, expected `slice` or `set`"),
        ] {
            let message = refused(text);
            assert!(message.contains(expected), "{message}");
        }
    }
}
