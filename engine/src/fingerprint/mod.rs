//! What a model was trained on, in numbers that a new image can be held against.
//!
//! [`CaseTraits`] are measured of each training case while it is read, and a [`Fingerprint`] holds
//! their ranges over all of them: nothing in it belongs to one patient. It is part of a bundle's
//! manifest; [`Fingerprint::doubts_about`] says in plain sentences where an image lies outside.
//! A doubt is a warning and never a refusal, and its absence is no promise.

mod doubts;
mod traits;

use std::collections::BTreeMap;

use lamina_io::dataset::Class;
use serde::{Deserialize, Serialize};

pub use doubts::{Doubt, Subject};
pub use traits::CaseTraits;

/// Percentiles of the voxels' values that are looked at.
pub const PERCENTS: [f64; 5] = [1.0, 25.0, 50.0, 75.0, 99.0];

/// The smallest and the largest of some numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 2]", into = "[f64; 2]")]
pub struct Span {
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl From<[f64; 2]> for Span {
    fn from([min, max]: [f64; 2]) -> Self {
        Self { min, max }
    }
}

impl From<Span> for [f64; 2] {
    fn from(span: Span) -> Self {
        [span.min, span.max]
    }
}

impl Span {
    /// The span of some numbers, rounded to four digits; `None` of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let spread = values.into_iter().map(rounded).fold(None, |span: Option<Self>, value| {
            let Self { min, max } = span.unwrap_or(Self { min: value, max: value });
            Some(Self { min: min.min(value), max: max.max(value) })
        });
        spread.filter(|span| span.min.is_finite() && span.max.is_finite())
    }
}

/// Four digits say enough, and keep manifests legible.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10.0_f64.powi(digits);
    // Dividing by a power of ten gives the number that is nearest to the digits.
    if digits >= 0 {
        (value * scale).round() / scale
    } else {
        (value * scale).round() * 10.0_f64.powi(-digits)
    }
}

/// What a model was trained on. Axes are (x, y, across) of the slices as the network sees them:
/// for axial slices right, front and head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Cases that were measured: those that were learned from.
    pub cases: usize,
    /// How many cases had voxel axes that run to these sides, such as `RAS`; none of pictures.
    pub orientations: BTreeMap<String, usize>,
    /// The largest angle between slices and the plane that they are named after.
    pub oblique_degrees: f64,
    /// Distance of neighbors, where all cases have millimeters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<[Span; 3]>,
    /// How far the images reach, where all cases have millimeters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_mm: Option<[Span; 3]>,
    /// How far the images reach.
    pub size_voxels: [Span; 3],
    /// Percentiles of the values.
    pub intensity: Intensity,
    /// The foreground classes.
    pub classes: Vec<ClassTraits>,
}

/// Percentiles 1, 25, 50, 75 and 99 of the values of each case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intensity {
    /// As the files have them.
    pub before: [Span; 5],
    /// As the network sees them.
    pub after: [Span; 5],
}

/// How much of a class the training cases show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassTraits {
    /// Its name.
    pub name: String,
    /// In how many cases it is.
    pub cases: usize,
    /// Its volume in those, where all cases have millimeters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_ml: Option<Span>,
}

impl Fingerprint {
    /// The ranges over the training cases; `None` where there are none.
    pub fn of(cases: &[CaseTraits], classes: &[Class]) -> Option<Self> {
        let mut orientations = BTreeMap::new();
        for orientation in cases.iter().filter_map(|case| case.orientation.clone()) {
            *orientations.entry(orientation).or_default() += 1;
        }
        let spacings: Option<Vec<[f64; 3]>> = cases.iter().map(|case| case.spacing_mm).collect();
        let axes = |of: &dyn Fn(usize, usize) -> f64| {
            let span = |axis| Span::of((0..cases.len()).map(|case| of(case, axis)));
            Some([span(0)?, span(1)?, span(2)?])
        };
        let percentiles = |of: &dyn Fn(&CaseTraits) -> [f64; 5]| {
            let span = |at| Span::of(cases.iter().map(|case| of(case)[at]));
            Some([span(0)?, span(1)?, span(2)?, span(3)?, span(4)?])
        };
        let class = |(label, class): (usize, &Class)| {
            let found = cases.iter().filter_map(|case| case.found.get(&(label as u8)));
            ClassTraits {
                name: class.name.clone(),
                cases: found.clone().count(),
                volume_ml: found
                    .map(|found| found.1)
                    .collect::<Option<Vec<f64>>>()
                    .and_then(Span::of),
            }
        };
        Some(Self {
            cases: cases.len(),
            orientations,
            oblique_degrees: rounded(
                cases.iter().map(|case| case.oblique_degrees).fold(0.0, f64::max),
            ),
            spacing_mm: spacings
                .as_ref()
                .and_then(|spacings| axes(&|case, axis| spacings[case][axis])),
            size_mm: spacings.as_ref().and_then(|spacings| {
                axes(&|case, axis| spacings[case][axis] * cases[case].size_voxels[axis] as f64)
            }),
            size_voxels: axes(&|case, axis| cases[case].size_voxels[axis] as f64)?,
            intensity: Intensity {
                before: percentiles(&|case| case.before)?,
                after: percentiles(&|case| case.after)?,
            },
            classes: classes.iter().enumerate().skip(1).map(class).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_rounded_to_four_digits() {
        let span = |values: &[f64]| Span::of(values.iter().copied());
        assert_eq!(span(&[0.123_456, 35.0]), Some(Span { min: 0.1235, max: 35.0 }));
        assert_eq!(span(&[-398_968.4]), Some(Span { min: -399_000.0, max: -399_000.0 }));
        assert_eq!(span(&[]), None);
        assert_eq!(span(&[1.0, f64::NAN]).map(|span| span.max), Some(1.0));
    }
}
