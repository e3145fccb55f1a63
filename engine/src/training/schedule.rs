//! Learning-rate schedules, per optimizer step: warm-up, then decay.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// How the learning rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// `base * (1 - step / steps)^power` (Liu, Rabinovich, Berg: ParseNet, 2015).
    Poly {
        /// The power; 0.9 in most segmentation papers.
        power: f64,
    },
    /// `base * (1 + cos(pi * step / steps)) / 2` (eq. 5 of Loshchilov and Hutter, SGDR, ICLR
    /// 2017, without restarts and down to 0).
    Cosine,
    /// `base` throughout.
    Constant,
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Poly { power: 0.9 }
    }
}

impl Schedule {
    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(self) -> Result<(), EngineError> {
        match self {
            Self::Poly { power } if !(0.0..=10.0).contains(&power) => {
                Err(EngineError::config("training.schedule.poly.power", power, "expected 0 to 10"))
            }
            _ => Ok(()),
        }
    }

    /// The learning rate of `step`, counted from 0, out of `steps`.
    pub fn at(self, base: f64, step: usize, steps: usize) -> f64 {
        let done = step as f64 / steps.max(1) as f64;
        match self {
            Self::Poly { power } => base * (1.0 - done).max(0.0).powf(power),
            Self::Cosine => base * (1.0 + (PI * done.min(1.0)).cos()) / 2.0,
            Self::Constant => base,
        }
    }
}

/// How the learning rate rises to its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rise {
    /// By the same difference with every step: `first + (base - first) * step / steps` (Goyal et
    /// al., Accurate, Large Minibatch SGD, 2017).
    #[default]
    Linear,
    /// By the same factor with every step: `first * (base / first)^(step / steps)`, as in the
    /// codes of BiSeNet and STDC.
    Exponential,
}

/// The first steps, at learning rates that rise to the base.
///
/// ```toml
/// warm_up = { rise = "exponential", iterations = 1000, learning_rate = 1e-5 } # STDC
/// warm_up = { rise = "exponential", iterations = 1000 }                       # BiSeNet
/// warm_up = { epochs = 1, learning_rate = 0.008 }                             # ESeg
/// ```
///
/// The schedule begins where warm-up ends, as in the codes of BiSeNet and STDC. (EfficientDet's
/// lets its cosine run on from the first step, so that it falls when warm-up ends and has risen
/// again before the last.)
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WarmUp {
    /// How the learning rate rises.
    pub rise: Rise,
    /// How many steps it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<usize>,
    /// How many epochs it takes; in place of `iterations`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// The learning rate of the first step as a share of the base; 0.1, BiSeNet's, unless
    /// `learning_rate` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The learning rate of the first step; in place of `factor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
}

impl WarmUp {
    /// Whether these settings can work in a run of so many epochs.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self, base: f64, epochs: usize) -> Result<(), EngineError> {
        let refuse = |key: &str, value: String, expected: String| {
            Err(EngineError::config(format!("training.warm_up{key}"), value, expected))
        };
        match (self.iterations, self.epochs) {
            (None, None) => {
                return refuse("", "{}".into(), "expected iterations or epochs".into());
            }
            (Some(count), Some(_)) => {
                return refuse(
                    ".iterations",
                    count.to_string(),
                    "expected either this or epochs".into(),
                );
            }
            (Some(0), None) => {
                return refuse(".iterations", "0".into(), "expected at least 1".into());
            }
            (None, Some(count)) if !(1..epochs).contains(&count) => {
                let expected =
                    format!("expected at least 1, and fewer than the {epochs} of the run");
                return refuse(".epochs", count.to_string(), expected);
            }
            _ => {}
        }
        if let (Some(factor), Some(_)) = (self.factor, self.learning_rate) {
            let expected = "expected either this or learning_rate";
            return refuse(".factor", factor.to_string(), expected.into());
        }
        let starts = [("factor", self.factor, 1.0), ("learning_rate", self.learning_rate, base)];
        for (key, start, most) in starts {
            let Some(start) = start else { continue };
            let above = if self.rise == Rise::Exponential { start > 0.0 } else { start >= 0.0 };
            if !(above && start <= most) {
                let least = if self.rise == Rise::Exponential { "above 0" } else { "at least 0" };
                let expected = format!("expected {least} and at most {most}");
                return refuse(&format!(".{key}"), start.to_string(), expected);
            }
        }
        Ok(())
    }

    /// How many steps it takes, where an epoch has `per_epoch`.
    pub fn steps(&self, per_epoch: usize) -> usize {
        self.iterations.or(self.epochs.map(|epochs| epochs * per_epoch)).unwrap_or(0)
    }

    /// The learning rate of `step`, counted from 0, out of `steps`.
    pub fn at(&self, base: f64, step: usize, steps: usize) -> f64 {
        let first = self.learning_rate.unwrap_or(base * self.factor.unwrap_or(0.1));
        let done = step as f64 / steps.max(1) as f64;
        match self.rise {
            Rise::Linear => first + (base - first) * done,
            // Where nothing is to rise to, there is no ratio.
            Rise::Exponential if first == 0.0 => 0.0,
            Rise::Exponential => first * (base / first).powf(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
    }

    #[test]
    fn poly_starts_at_the_base_and_ends_at_zero() {
        let poly = Schedule::Poly { power: 2.0 };
        assert_eq!(poly.at(0.1, 0, 10), 0.1);
        close(poly.at(0.1, 5, 10), 0.025);
        assert_eq!(poly.at(0.1, 10, 10), 0.0);
    }

    #[test]
    fn cosine_falls_from_the_base_to_zero_fastest_in_the_middle() {
        let at = |step| Schedule::Cosine.at(0.2, step, 12);
        assert_eq!(at(0), 0.2);
        close(at(4), 0.15); // cos 60° = 1/2
        close(at(6), 0.1);
        close(at(8), 0.05);
        close(at(12), 0.0);
        assert_eq!(Schedule::Constant.at(0.2, 7, 12), 0.2);
    }

    #[test]
    fn warm_up_is_linear_from_a_share_of_the_base() {
        let warm_up = WarmUp { epochs: Some(2), factor: Some(0.2), ..WarmUp::default() };
        let steps = warm_up.steps(4);
        assert_eq!(steps, 8);
        close(warm_up.at(1.0, 0, steps), 0.2);
        close(warm_up.at(1.0, 4, steps), 0.6);
        close(warm_up.at(1.0, 7, steps), 0.9);
    }

    #[test]
    fn warm_up_is_exponential_from_a_learning_rate() {
        // STDC's: from 1e-5 to 1e-2 over 1000 steps, a factor of 10 with every third of them.
        let warm_up = WarmUp {
            rise: Rise::Exponential,
            iterations: Some(1000),
            learning_rate: Some(1e-5),
            ..WarmUp::default()
        };
        assert_eq!(warm_up.steps(7), 1000);
        close(warm_up.at(1e-2, 0, 1000), 1e-5);
        close(warm_up.at(1e-2, 500, 1000), 10.0_f64.powf(-3.5));
        close(warm_up.at(1e-2, 999, 999), 1e-2);
        // BiSeNet's: from a tenth of the base.
        let warm_up = WarmUp { learning_rate: None, ..warm_up };
        close(warm_up.at(5e-3, 500, 1000), 5e-3 * 0.1_f64.sqrt());
    }

    #[test]
    fn a_warm_up_that_cannot_work_is_named_with_what_would_be_right() {
        let complaint = |warm_up: WarmUp| warm_up.validate(0.01, 10).unwrap_err().to_string();
        let over = |iterations| WarmUp { iterations: Some(iterations), ..WarmUp::default() };
        for (warm_up, expected) in [
            (WarmUp::default(), "training.warm_up = {}: expected iterations or epochs"),
            (
                WarmUp { epochs: Some(1), ..over(9) },
                "training.warm_up.iterations = 9: expected either this or epochs",
            ),
            (over(0), "training.warm_up.iterations = 0: expected at least 1"),
            (
                WarmUp { epochs: Some(10), ..WarmUp::default() },
                "training.warm_up.epochs = 10: expected at least 1, and fewer than the 10 of the run",
            ),
            (
                WarmUp { factor: Some(0.1), learning_rate: Some(0.1), ..over(9) },
                "training.warm_up.factor = 0.1: expected either this or learning_rate",
            ),
            (
                WarmUp { learning_rate: Some(0.02), ..over(9) },
                "training.warm_up.learning_rate = 0.02: expected at least 0 and at most 0.01",
            ),
            (
                WarmUp { factor: Some(0.0), rise: Rise::Exponential, ..over(9) },
                "training.warm_up.factor = 0: expected above 0 and at most 1",
            ),
        ] {
            assert_eq!(complaint(warm_up), expected);
        }
        assert!(over(9).validate(0.01, 10).is_ok());
        assert!(WarmUp { factor: Some(0.0), ..over(9) }.validate(0.01, 10).is_ok());
    }
}
