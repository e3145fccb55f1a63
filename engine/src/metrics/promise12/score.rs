//! PROMISE12's score.
//!
//! 100 for what is perfect and 85 for what a second observer reaches, on a line through both and
//! never below 0; a case has the mean over metrics and parts. What the observer reaches comes from a
//! file and is not known here.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::summary::mean;
use super::{Part, PartNumbers};

/// What a second observer reaches in one part, on average.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Observer {
    /// Dice coefficient.
    pub dice: Option<f64>,
    /// HD95 in millimeters.
    pub hd95_mm: Option<f64>,
    /// ABD in millimeters.
    pub abd_mm: Option<f64>,
    /// RVD in percent, without its sign.
    pub rvd_absolute_percent: Option<f64>,
}

/// What a second observer reaches: `configs/scores/promise12.toml`, filled in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreConstants {
    /// On the whole gland.
    pub whole: Observer,
    /// On its base.
    pub base: Observer,
    /// On its apex.
    pub apex: Observer,
}

impl ScoreConstants {
    /// Reads a file; numbers that are not there leave the score out.
    ///
    /// # Errors
    /// A sentence with the place in the file, when it is none of these, or a number cannot be what
    /// an observer reaches.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            format!("cannot read the score's constants: {error}: {}", path.display())
        })?;
        let constants: Self = toml::from_str(&text).map_err(|error| {
            let error = error.to_string();
            format!("cannot parse the score's constants: {}: {}", error.trim_end(), path.display())
        })?;
        for (name, value) in constants.named() {
            let possible = match value {
                Some(dice) if name.ends_with("dice") => (0.0..1.0).contains(&dice),
                Some(distance) => distance.is_finite() && distance > 0.0,
                None => true,
            };
            if !possible {
                return Err(format!(
                    "expected what a second observer reaches for {name}, a Dice below 1 or a number above 0, found {}: {}",
                    value.unwrap_or_default(),
                    path.display()
                ));
            }
        }
        Ok(constants)
    }

    fn of(&self, part: Part) -> Observer {
        match part {
            Part::Whole => self.whole,
            Part::Base => self.base,
            Part::Apex => self.apex,
        }
    }

    fn named(&self) -> Vec<(String, Option<f64>)> {
        let of_part = |part: Part| {
            let Observer { dice, hd95_mm, abd_mm, rvd_absolute_percent } = self.of(part);
            [
                ("dice", dice),
                ("hd95_mm", hd95_mm),
                ("abd_mm", abd_mm),
                ("rvd_absolute_percent", rvd_absolute_percent),
            ]
            .map(|(name, value)| (format!("{}.{name}", part.as_str()), value))
        };
        Part::ALL.into_iter().flat_map(of_part).collect()
    }

    /// The names of numbers that are not there.
    pub(super) fn missing(&self) -> Vec<String> {
        self.named()
            .into_iter()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name)
            .collect()
    }

    /// The score of a case; `None` where a number of the observer is missing or no part can be
    /// scored.
    pub(super) fn score(&self, parts: &BTreeMap<Part, PartNumbers>) -> Option<f64> {
        let mut scores = Vec::new();
        for (&part, numbers) in parts {
            let Some(dice) = numbers.dice else { continue }; // the reference has nothing there
            let observer = self.of(part);
            scores.push(line(Some(dice), 1.0, observer.dice?));
            scores.push(line(numbers.hd95_mm, 0.0, observer.hd95_mm?));
            scores.push(line(numbers.abd_mm, 0.0, observer.abd_mm?));
            let volume = numbers.rvd_percent.map(f64::abs);
            scores.push(line(volume, 0.0, observer.rvd_absolute_percent?));
        }
        mean(scores.into_iter())
    }
}

/// 100 at `perfect`, 85 at what the observer reaches, never below 0; 0 without a number.
fn line(value: Option<f64>, perfect: f64, observer: f64) -> f64 {
    value.map_or(0.0, |value| (100.0 - 15.0 * (value - perfect) / (observer - perfect)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_a_line_through_perfect_and_the_observer() {
        let observer = Observer {
            dice: Some(0.9),
            hd95_mm: Some(4.0),
            abd_mm: Some(1.5),
            rvd_absolute_percent: Some(10.0),
        };
        let mut constants = ScoreConstants { whole: observer, base: observer, apex: observer };
        let as_observer = PartNumbers {
            dice: Some(0.9),
            hd95_mm: Some(4.0),
            abd_mm: Some(1.5),
            rvd_percent: Some(-10.0),
        };
        let perfect = PartNumbers {
            dice: Some(1.0),
            hd95_mm: Some(0.0),
            abd_mm: Some(0.0),
            rvd_percent: Some(0.0),
        };
        let missed =
            PartNumbers { dice: Some(0.0), rvd_percent: Some(-100.0), ..PartNumbers::default() };
        let of = |whole, base, apex| {
            BTreeMap::from([(Part::Whole, whole), (Part::Base, base), (Part::Apex, apex)])
        };
        let score = |parts| constants.score(&parts).unwrap();
        assert!((score(of(as_observer, as_observer, as_observer)) - 85.0).abs() < 1e-12);
        assert_eq!(score(of(perfect, perfect, perfect)), 100.0);
        assert_eq!(score(of(missed, missed, missed)), 0.0);
        assert!((score(of(perfect, as_observer, missed)) - 185.0 / 3.0).abs() < 1e-12);
        constants.apex.hd95_mm = None;
        assert_eq!(constants.score(&of(perfect, perfect, perfect)), None);
        assert_eq!(constants.missing(), ["apex.hd95_mm"]);
    }
}
