//! Learning-rate schedules, per optimizer step.

use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// How the learning rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// `base * (1 - step / steps)^power`
    Poly {
        /// The power; 0.9 in most segmentation papers.
        power: f64,
    },
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
        match self {
            Self::Poly { power } => {
                base * (1.0 - step as f64 / steps.max(1) as f64).max(0.0).powf(power)
            }
            Self::Constant => base,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poly_starts_at_the_base_and_ends_at_zero() {
        let poly = Schedule::Poly { power: 2.0 };
        assert_eq!(poly.at(0.1, 0, 10), 0.1);
        assert!((poly.at(0.1, 5, 10) - 0.025).abs() < 1e-12);
        assert_eq!(poly.at(0.1, 10, 10), 0.0);
    }
}
