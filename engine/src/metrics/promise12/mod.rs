//! PROMISE12's numbers: the whole gland, its base and its apex, and a score.
//!
//! Litjens et al., Evaluation of prostate segmentation algorithms for MRI: the PROMISE12 challenge,
//! Medical Image Analysis 18 (2014).
//!
//! | reference | prediction | Dice | HD95, ABD | RVD |
//! |-----------|------------|------|-----------|-----|
//! | has the part | has it | measured | measured | measured |
//! | has it | has it not | 0 | none; score 0 | -100 % |
//! | has it not | | none | none | none |
//! | any | there is none | 0 | none; score 0 | none; score 0 |
//!
//! The slices that hold the reference are cut in three along the axis nearest to the patient's: the
//! third at the head is the base, that at the feet the apex, the middle takes what cannot be
//! divided. Which end is which says the affine, never the order of slices. What the prediction has
//! beyond belongs to the nearest part. The surface of a part is the whole gland's, as far as it lies
//! there, and its distance is that to the other's whole surface: a cut makes no surface. ABD is the
//! mean over both surfaces together. The challenge's own program is not public; where the paper
//! leaves something open, this is ours.
//!
//! The score is made in [`score`].

mod score;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use lamina_io::{Geometry, LabelVolume, ReadOptions, read_labels};
use ndarray::{Array3, Axis};
use rayon::prelude::*;
pub use score::{Observer, ScoreConstants};
use serde::{Deserialize, Serialize};

use super::bits::Bits;
use super::measures::volume_difference;
use super::overlap::ClassOverlap;
use super::pairs::{Pair, in_one_line};
use super::report::csv_cell;
use super::summary::{mean, quantile};
use super::surface::surface_points;

/// A part of the gland.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// All of it.
    Whole,
    /// The third at the head.
    Base,
    /// The third at the feet.
    Apex,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Whole, Self::Base, Self::Apex];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Base => "base",
            Self::Apex => "apex",
        }
    }
}

/// The numbers of a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PartNumbers {
    /// Dice coefficient.
    pub dice: Option<f64>,
    /// 95th percentile of the distances, the larger of both directions.
    pub hd95_mm: Option<f64>,
    /// Mean distance over both surfaces.
    pub abd_mm: Option<f64>,
    /// Volume of the prediction beyond that of the reference, in percent of it.
    pub rvd_percent: Option<f64>,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promise12Case {
    /// The case's name.
    pub case: String,
    /// Its parts.
    pub parts: BTreeMap<Part, PartNumbers>,
    /// Slices of the reference in apex, middle and base.
    pub slices: Option<[usize; 3]>,
    /// The mean over metrics and parts; `None` without constants.
    pub score: Option<f64>,
    /// Why there are no numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A mean, and how many cases it is over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanOf {
    /// The mean; `None` over no case.
    pub mean: Option<f64>,
    /// Cases that have the number.
    pub n: usize,
}

/// The means of a part over cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PartMeans {
    /// Of Dice, where a case without a prediction counts as 0.
    pub dice: MeanOf,
    /// Of HD95, over the cases that have one.
    pub hd95_mm: MeanOf,
    /// Of ABD, over the cases that have one.
    pub abd_mm: MeanOf,
    /// Of RVD with its sign.
    pub rvd_percent: MeanOf,
    /// Of RVD without its sign.
    pub rvd_absolute_percent: MeanOf,
}

/// All cases, and what they amount to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promise12Report {
    /// Cases in sorted order.
    pub cases: Vec<Promise12Case>,
    /// The means of each part.
    pub means: BTreeMap<Part, PartMeans>,
    /// The mean of the cases' scores.
    pub score: Option<f64>,
    /// How many cases it is over.
    pub n_scored: usize,
    /// Why there is no score.
    pub no_score: Option<String>,
    /// Cases without numbers.
    pub n_failed: usize,
}

impl Promise12Report {
    /// Writes one line per case and part; a number that does not exist is an empty cell.
    ///
    /// # Errors
    /// Whatever `out` answers.
    pub fn write_csv(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "case,part,dice,hd95_mm,abd_mm,rvd_percent,score,error")?;
        for case in &self.cases {
            for (part, numbers) in &case.parts {
                let score = case.score.filter(|_| *part == Part::Whole);
                let numbers =
                    [numbers.dice, numbers.hd95_mm, numbers.abd_mm, numbers.rvd_percent, score]
                        .map(|number| number.map(|number| number.to_string()).unwrap_or_default());
                writeln!(
                    out,
                    "{},{},{},{}",
                    csv_cell(&case.case),
                    part.as_str(),
                    numbers.join(","),
                    csv_cell(case.error.as_deref().unwrap_or_default()),
                )?;
            }
        }
        Ok(())
    }
}

/// Measures `label` in every pair, several at a time.
pub fn evaluate_promise12(
    pairs: &[Pair],
    label: u8,
    constants: Option<&ScoreConstants>,
) -> Promise12Report {
    let mut cases: Vec<Promise12Case> =
        pairs.par_iter().map(|pair| measure(pair, label, constants)).collect();
    cases.sort_by(|a, b| a.case.cmp(&b.case));
    let means = Part::ALL.map(|part| (part, means_of(&cases, part)));
    let no_score = match constants {
        None => Some("--score-constants names no file; configs/scores/promise12.toml says what belongs into it".to_owned()),
        Some(constants) => {
            let missing = constants.missing();
            (!missing.is_empty()).then(|| format!("the constants have no {}", missing.join(", ")))
        }
    };
    let scores: Vec<f64> = cases.iter().filter_map(|case| case.score).collect();
    Promise12Report {
        n_failed: cases.iter().filter(|case| case.error.is_some()).count(),
        score: mean(scores.iter().copied()),
        n_scored: scores.len(),
        no_score,
        means: means.into_iter().collect(),
        cases,
    }
}

fn means_of(cases: &[Promise12Case], part: Part) -> PartMeans {
    let over = |number: fn(&PartNumbers) -> Option<f64>| {
        let numbers = || cases.iter().filter_map(|case| number(case.parts.get(&part)?));
        MeanOf { mean: mean(numbers()), n: numbers().count() }
    };
    PartMeans {
        dice: over(|numbers| numbers.dice),
        hd95_mm: over(|numbers| numbers.hd95_mm),
        abd_mm: over(|numbers| numbers.abd_mm),
        rvd_percent: over(|numbers| numbers.rvd_percent),
        rvd_absolute_percent: over(|numbers| numbers.rvd_percent.map(f64::abs)),
    }
}

fn measure(pair: &Pair, label: u8, constants: Option<&ScoreConstants>) -> Promise12Case {
    let read = |path: &Path| {
        read_labels(path, &ReadOptions::default()).map_err(|error| in_one_line(&error))
    };
    let compared = read(&pair.reference)
        .map_err(|reason| format!("the reference cannot be read: {reason}"))
        .and_then(|reference| {
            let path = pair.prediction.clone()?;
            let prediction = read(&path)?;
            compare(&prediction, &reference, label)
                .map_err(|reason| format!("{reason}: {}", path.display()))
        });
    let (parts, slices, error) = match compared {
        Ok((parts, slices)) => (parts, Some(slices), None),
        Err(reason) => {
            let none = PartNumbers { dice: Some(0.0), ..PartNumbers::default() };
            (Part::ALL.map(|part| (part, none)).into_iter().collect(), None, Some(reason))
        }
    };
    let score = constants.and_then(|constants| constants.score(&parts));
    Promise12Case { case: pair.case.clone(), parts, slices, score, error }
}

/// The numbers of each part, and how many slices of the reference are in apex, middle and base.
fn compare(
    prediction: &LabelVolume,
    reference: &LabelVolume,
    label: u8,
) -> Result<(BTreeMap<Part, PartNumbers>, [usize; 3]), String> {
    reference.geometry.same_grid(&prediction.geometry).map_err(|mismatch| {
        format!("the prediction is not on the grid of its reference: {mismatch}")
    })?;
    let Some([x, y, z]) = reference.geometry.spacing_mm() else {
        return Err("expected a known voxel spacing, found none".to_owned());
    };
    let (axis, towards_head) = towards_head(&reference.geometry);
    let thirds = Thirds::of(&reference.labels, label, axis, towards_head)
        .ok_or_else(|| format!("expected label {label} in the reference, found none"))?;
    let mask = |volume: &LabelVolume| Bits::of_label(&volume.labels.view(), label);
    let points = surface_points(&mask(prediction), &mask(reference), [z, y, x]);
    let part = |part: Part| {
        let within =
            |index: [usize; 3]| part == Part::Whole || thirds.part(index[axis]) == Some(part);
        let mut overlap = ClassOverlap::default();
        for (((k, j, i), &annotated), &predicted) in
            reference.labels.indexed_iter().zip(&prediction.labels)
        {
            if (annotated == label || predicted == label) && within([k, j, i]) {
                overlap.reference += u64::from(annotated == label);
                overlap.prediction += u64::from(predicted == label);
                overlap.both += u64::from(annotated == predicted);
            }
        }
        let distances = points.as_ref().and_then(|points| {
            let sides = points.each_ref().map(|side| {
                let near = side.iter().filter(|(index, _)| within(*index));
                let mut distances: Vec<f64> = near.map(|(_, distance)| *distance).collect();
                distances.sort_unstable_by(f64::total_cmp);
                distances
            });
            let both = overlap.prediction > 0 && overlap.reference > 0;
            let there = both && sides.iter().all(|side| !side.is_empty());
            there.then(|| {
                let hd95 = quantile(&sides[0], 0.95).max(quantile(&sides[1], 0.95));
                (hd95, mean(sides.iter().flatten().copied()))
            })
        });
        let numbers = PartNumbers {
            dice: overlap.dice(),
            hd95_mm: distances.map(|(hd95, _)| hd95),
            abd_mm: distances.and_then(|(_, abd)| abd),
            rvd_percent: volume_difference(overlap),
        };
        (part, numbers)
    };
    Ok((Part::ALL.map(part).into_iter().collect(), thirds.counts()))
}

/// The array axis nearest to the patient's, and whether its indices rise towards the head.
fn towards_head(geometry: &Geometry) -> (usize, bool) {
    let order = geometry.to_ras_axes();
    (2 - order.axes()[2], !order.flipped()[2])
}

/// Where along an axis the gland is cut.
struct Thirds {
    /// The first slice of the reference and the end, in the order of the array.
    slices: (usize, usize),
    /// Slices in each of the outer thirds.
    outer: usize,
    towards_head: bool,
}

impl Thirds {
    fn of(labels: &Array3<u8>, label: u8, axis: usize, towards_head: bool) -> Option<Self> {
        let holds =
            |slice: &usize| labels.index_axis(Axis(axis), *slice).iter().any(|&l| l == label);
        let mut slices = (0..labels.len_of(Axis(axis))).filter(holds);
        let first = slices.next()?;
        let end = slices.next_back().unwrap_or(first) + 1;
        // To the nearest whole number, so that thirds differ by one slice at most.
        let outer = (end - first + 1) / 3;
        Some(Self { slices: (first, end), outer, towards_head })
    }

    /// The part of a slice; `None` in the middle.
    fn part(&self, slice: usize) -> Option<Part> {
        let (first, end) = self.slices;
        let (low, high) =
            if self.towards_head { (Part::Apex, Part::Base) } else { (Part::Base, Part::Apex) };
        if slice < first + self.outer {
            Some(low)
        } else if slice + self.outer >= end {
            Some(high)
        } else {
            None
        }
    }

    fn counts(&self) -> [usize; 3] {
        let (first, end) = self.slices;
        [self.outer, end - first - 2 * self.outer, self.outer]
    }
}

#[cfg(test)]
mod tests {
    use lamina_io::{Affine, AxisOrder};
    use ndarray::s;

    use super::*;

    /// A column of 2 x 2 x 9 voxels from slice 1 on, feet first, of which the prediction lacks the
    /// two at the head and has a row more in the slice at the feet.
    fn gland() -> [LabelVolume; 2] {
        let affine = Affine::from_spacing_origin([1.0, 2.0, 3.0], [5.0, 6.0, 7.0]);
        let geometry = Geometry::new([12, 6, 7], affine).unwrap();
        let mut labels = Array3::zeros([12, 6, 7]);
        labels.slice_mut(s![1..10, 2..4, 2..4]).fill(1);
        let reference = LabelVolume::new(labels.clone(), geometry.clone()).unwrap();
        labels.slice_mut(s![8..10, .., ..]).fill(0);
        labels.slice_mut(s![1, 4, 2..4]).fill(1);
        [LabelVolume::new(labels, geometry).unwrap(), reference]
    }

    #[test]
    fn base_and_apex_are_where_the_affine_says_in_whatever_order_slices_lie() {
        let [prediction, reference] = gland();
        let expected = compare(&prediction, &reference, 1).unwrap();
        let (parts, slices) = &expected;
        assert_eq!(*slices, [3, 3, 3]);
        // The base lost two of three slices; the apex has 14 voxels for 12.
        assert_eq!(parts[&Part::Base].dice, Some(0.5));
        assert!((parts[&Part::Base].rvd_percent.unwrap() + 200.0 / 3.0).abs() < 1e-12);
        assert_eq!(parts[&Part::Apex].dice, Some(24.0 / 26.0));
        assert_eq!(parts[&Part::Whole].dice, Some(2.0 * 28.0 / (36.0 + 30.0)));
        // The farthest of the reference's base is two slices beyond the prediction: 4 of 12 voxels
        // are 6 mm, 4 are 3 mm away. In the apex two of 14 are a row, 2 mm, away.
        assert_eq!(parts[&Part::Base].hd95_mm, Some(6.0));
        assert_eq!(parts[&Part::Base].abd_mm, Some((4.0 * 6.0 + 4.0 * 3.0) / 16.0));
        assert_eq!(parts[&Part::Apex].abd_mm, Some(4.0 / 26.0));
        for order in AxisOrder::all() {
            let turned = [&prediction, &reference].map(|volume| volume.reoriented(&order));
            let found = compare(&turned[0], &turned[1], 1).unwrap();
            assert_eq!(found.1, *slices);
            for (part, numbers) in found.0 {
                let expected = parts[&part];
                assert_eq!((numbers.dice, numbers.hd95_mm), (expected.dice, expected.hd95_mm));
                assert!((numbers.abd_mm.unwrap() - expected.abd_mm.unwrap()).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn thirds_differ_by_one_slice_at_most() {
        for (slices, expected) in [
            (1, [0, 1, 0]),
            (2, [1, 0, 1]),
            (3, [1, 1, 1]),
            (4, [1, 2, 1]),
            (5, [2, 1, 2]),
            (7, [2, 3, 2]),
        ] {
            let mut labels = Array3::zeros([9, 1, 1]);
            labels.slice_mut(s![1..=slices, .., ..]).fill(1);
            assert_eq!(Thirds::of(&labels, 1, 0, true).unwrap().counts(), expected);
        }
    }
}
