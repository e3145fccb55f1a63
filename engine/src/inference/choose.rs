//! Which post-processing helps, found out on cases that no member of the choice has learned from.
//!
//! As nnU-Net does, a step is kept only where the mean Dice over the foreground classes gains and no
//! class loses. Steps are tried one after the other, each on top of those that were kept: the
//! largest component of all foreground, then of each class, components of a class that are too
//! small, and holes of a class.
//!
//! What was chosen on some cases fits them a little too well. So the choice is also made without
//! each fold in turn and measured on that fold alone: the nested numbers, which are honest.

use std::collections::BTreeMap;

use lamina_io::LabelVolume;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::tidy::{TidyOf, TidyStep};
use crate::error::EngineError;
use crate::losses::IGNORE_LABEL;
use crate::metrics::OverlapCounts;

/// Less than this is no gain.
const LEAST_GAIN: f64 = 1e-6;

/// How many sizes are tried below half of the smallest structure of a class.
const SIZES: usize = 4;

/// Mean Dice over some cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeanDice {
    /// The mean over the foreground classes that have one.
    pub mean: Option<f64>,
    /// Of each foreground class, over the cases in which it is defined.
    pub classes: Vec<Option<f64>>,
}

/// A step that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The step, on top of those that were kept before.
    pub step: TidyStep,
    /// What it brings to the mean Dice.
    pub gain: f64,
    /// What it brings to the class that gains least by it.
    pub least_class_gain: f64,
    /// Whether it was kept.
    pub kept: bool,
}

/// Which post-processing helps, and how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The steps, in order; none where nothing helps.
    pub steps: Vec<TidyStep>,
    /// Without any.
    pub before: MeanDice,
    /// With these, on the cases that they were chosen on: a little too high.
    pub after: MeanDice,
    /// Chosen without a fold and measured on it, over all folds.
    pub nested: MeanDice,
    /// What was chosen without each fold.
    pub without_fold: BTreeMap<usize, Vec<TidyStep>>,
    /// What was tried on all cases.
    pub trials: Vec<Trial>,
}

/// Reads the prediction and the reference of the case at this place of the list.
pub type ReadCase<'a> =
    dyn Fn(usize) -> Result<(LabelVolume, LabelVolume), EngineError> + Sync + 'a;

/// Chooses among post-processing for predictions of cases, of which `folds` tells the fold that held
/// each out; `classes` counts the background. Cases are read again for each set of steps that is
/// measured, on all threads, and never all held at once.
///
/// # Errors
/// What `read` answers.
pub fn choose_post_processing(
    folds: &[usize],
    classes: usize,
    read: &ReadCase<'_>,
) -> Result<Choice, EngineError> {
    let mut measured = Measured { classes, read, count: folds.len(), dice: BTreeMap::new() };
    let sizes = measured.reference_sizes()?;
    let all: Vec<usize> = (0..folds.len()).collect();
    let (steps, trials) = measured.choose(&all, &sizes)?;
    let mut nested = vec![Vec::new(); folds.len()];
    let mut without_fold = BTreeMap::new();
    let mut names: Vec<usize> = folds.to_vec();
    names.sort_unstable();
    names.dedup();
    for fold in names {
        let others: Vec<usize> = all.iter().copied().filter(|case| folds[*case] != fold).collect();
        let steps =
            if others.is_empty() { Vec::new() } else { measured.choose(&others, &sizes)?.0 };
        let dice = measured.of(&steps)?;
        for case in all.iter().filter(|case| folds[**case] == fold) {
            nested[*case].clone_from(&dice[*case]);
        }
        without_fold.insert(fold, steps);
    }
    Ok(Choice {
        before: mean_of(&all, measured.of(&[])?, classes),
        after: mean_of(&all, measured.of(&steps)?, classes),
        nested: mean_of(&all, &nested, classes),
        steps,
        without_fold,
        trials,
    })
}

/// Dice of each case and foreground class.
type CaseDice = Vec<Vec<Option<f64>>>;

/// The size of a class in a reference: voxels and, where the spacing is known, cubic millimeters.
#[derive(Debug, Clone, Copy)]
struct Size {
    voxels: u64,
    mm3: Option<f64>,
}

/// What was measured so far, by the steps.
struct Measured<'a> {
    classes: usize,
    read: &'a ReadCase<'a>,
    count: usize,
    dice: BTreeMap<String, CaseDice>,
}

impl Measured<'_> {
    /// Dice of every case after some steps.
    fn of(&mut self, steps: &[TidyStep]) -> Result<&CaseDice, EngineError> {
        let key = serde_json::to_string(steps).unwrap_or_default();
        if !self.dice.contains_key(&key) {
            let measure = |case| {
                let (mut prediction, reference) = (self.read)(case)?;
                for step in steps {
                    step.apply(&mut prediction);
                }
                Ok(dice(prediction, &reference, self.classes))
            };
            let all: Vec<Result<Vec<Option<f64>>, EngineError>> =
                (0..self.count).into_par_iter().map(measure).collect();
            let all = all.into_iter().collect::<Result<CaseDice, _>>()?;
            self.dice.insert(key.clone(), all);
        }
        Ok(&self.dice[&key])
    }

    /// How large each foreground class is in the reference of each case that has it.
    fn reference_sizes(&self) -> Result<Vec<Vec<Option<Size>>>, EngineError> {
        let measure = |case| {
            let (_, reference) = (self.read)(case)?;
            let mm3 = reference.geometry.voxel_volume_ml().map(|ml| 1000.0 * ml);
            let counts = reference.counts();
            let size = |label: usize| {
                let voxels = u8::try_from(label).ok().and_then(|label| counts.get(&label))?;
                Some(Size { voxels: *voxels, mm3: mm3.map(|mm3| mm3 * *voxels as f64) })
            };
            Ok((1..self.classes).map(size).collect())
        };
        let all: Vec<Result<_, EngineError>> =
            (0..self.count).into_par_iter().map(measure).collect();
        all.into_iter().collect()
    }

    /// The steps that help on some cases, and what was tried.
    fn choose(
        &mut self,
        cases: &[usize],
        sizes: &[Vec<Option<Size>>],
    ) -> Result<(Vec<TidyStep>, Vec<Trial>), EngineError> {
        let labels: Vec<u8> =
            (1..self.classes).filter_map(|label| u8::try_from(label).ok()).collect();
        let mut steps: Vec<TidyStep> = Vec::new();
        let mut trials = Vec::new();
        let largest = |of| TidyStep::KeepLargest { of };
        self.best(&mut steps, cases, &[largest(TidyOf::Foreground)], &mut trials)?;
        // Of a single class, that was the same.
        for &label in labels.iter().filter(|_| labels.len() > 1) {
            self.best(&mut steps, cases, &[largest(TidyOf::Class(label))], &mut trials)?;
        }
        for (&label, place) in labels.iter().zip(0..) {
            let of = TidyOf::Class(label);
            let one_is_left = steps.contains(&largest(of))
                || (labels.len() == 1 && steps.contains(&largest(TidyOf::Foreground)));
            if !one_is_left {
                let known = cases.iter().filter_map(|case| sizes[*case][place]);
                self.best(&mut steps, cases, &too_small(of, known), &mut trials)?;
            }
        }
        for &label in &labels {
            let fill = TidyStep::FillHoles { of: TidyOf::Class(label) };
            self.best(&mut steps, cases, &[fill], &mut trials)?;
        }
        Ok((steps, trials))
    }

    /// Keeps the one of several steps that helps most, if any does.
    fn best(
        &mut self,
        steps: &mut Vec<TidyStep>,
        cases: &[usize],
        tried: &[TidyStep],
        trials: &mut Vec<Trial>,
    ) -> Result<(), EngineError> {
        let classes = self.classes;
        let before = mean_of(cases, self.of(steps)?, classes);
        let mut best: Option<(f64, usize)> = None;
        for &step in tried {
            let with: Vec<TidyStep> = steps.iter().copied().chain([step]).collect();
            let after = mean_of(cases, self.of(&with)?, classes);
            let gain = after.mean.unwrap_or(0.0) - before.mean.unwrap_or(0.0);
            let of_classes = after.classes.iter().zip(&before.classes);
            let least_class_gain = of_classes
                .map(|(after, before)| match (after, before) {
                    (Some(after), Some(before)) => after - before,
                    // A class that no case shows any more was wrong wherever it was found.
                    _ => 0.0,
                })
                .fold(f64::INFINITY, f64::min);
            let helps = gain > LEAST_GAIN && least_class_gain >= -1e-12;
            if helps && best.is_none_or(|(most, _)| gain > most) {
                best = Some((gain, trials.len()));
            }
            trials.push(Trial { step, gain, least_class_gain, kept: false });
        }
        if let Some((_, place)) = best {
            trials[place].kept = true;
            steps.push(trials[place].step);
        }
        Ok(())
    }
}

/// Sizes of 1, 2 or 5 times a power of ten, up to half of the smallest structure: what is smaller
/// may go, and none of the structures that are known would.
fn too_small(of: TidyOf, sizes: impl Iterator<Item = Size>) -> Vec<TidyStep> {
    let sizes: Vec<Size> = sizes.collect();
    let in_mm3: Option<Vec<f64>> = sizes.iter().map(|size| size.mm3).collect();
    let in_voxels: Vec<f64> = sizes.iter().map(|size| size.voxels as f64).collect();
    let smallest = |sizes: &[f64]| sizes.iter().copied().min_by(f64::total_cmp);
    let step = |below_mm3, below_voxels| TidyStep::RemoveSmall { of, below_mm3, below_voxels };
    let round = |sizes: &[f64]| {
        smallest(sizes).map_or_else(Vec::new, |smallest| round_sizes(smallest / 2.0))
    };
    if let Some(sizes) = in_mm3 {
        return round(&sizes).into_iter().map(|mm3| step(Some(mm3), None)).collect();
    }
    let sizes = round(&in_voxels).into_iter().filter(|voxels| *voxels >= 2.0);
    sizes.map(|voxels| step(None, Some(voxels as u64))).collect()
}

/// The largest numbers of the series 1, 2, 5, 10, … up to `most`, rising.
fn round_sizes(most: f64) -> Vec<f64> {
    if !(most.is_finite() && most > 0.0) {
        return Vec::new();
    }
    let power = most.log10().floor() as i32;
    let series = (power - 1..=power + 1).flat_map(|power| {
        [1, 2, 5].map(|digit| {
            let ten = 10.0_f64.powi(power.abs());
            if power < 0 { f64::from(digit) / ten } else { f64::from(digit) * ten }
        })
    });
    let below: Vec<f64> = series.filter(|size| *size <= most).collect();
    below[below.len().saturating_sub(SIZES)..].to_vec()
}

/// Dice of each foreground class, without the voxels that the reference says to ignore.
fn dice(mut prediction: LabelVolume, reference: &LabelVolume, classes: usize) -> Vec<Option<f64>> {
    for (label, truth) in prediction.labels.iter_mut().zip(&reference.labels) {
        if *truth == IGNORE_LABEL {
            *label = IGNORE_LABEL;
        }
    }
    let counts = OverlapCounts::of(&prediction.labels, &reference.labels);
    let labels = (1..classes).filter_map(|label| u8::try_from(label).ok());
    labels.map(|label| counts.class(label).dice()).collect()
}

fn mean_of(cases: &[usize], dice: &CaseDice, classes: usize) -> MeanDice {
    let mean = |values: Vec<f64>| {
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let class = |class: usize| mean(cases.iter().filter_map(|case| dice[*case][class]).collect());
    let classes: Vec<Option<f64>> = (0..classes.saturating_sub(1)).map(class).collect();
    MeanDice { mean: mean(classes.iter().copied().flatten().collect()), classes }
}

#[cfg(test)]
mod tests {
    use lamina_io::{Affine, Geometry};
    use ndarray::Array3;

    use super::*;

    fn line(labels: &[u8]) -> LabelVolume {
        let affine = Affine::from_spacing_origin([1.0, 2.0, 3.0], [0.0; 3]);
        let geometry = Geometry::new([1, 1, labels.len()], affine).unwrap();
        let labels = Array3::from_shape_vec([1, 1, labels.len()], labels.to_vec()).unwrap();
        LabelVolume::new(labels, geometry).unwrap()
    }

    fn choose(cases: &[[&[u8]; 2]], folds: &[usize], classes: usize) -> Choice {
        let read = |case: usize| Ok((line(cases[case][0]), line(cases[case][1])));
        choose_post_processing(folds, classes, &read).unwrap()
    }

    #[test]
    fn a_stray_voxel_makes_the_largest_component_worth_keeping() {
        // By pencil: Dice 2·3/7 each, 1 without the stray voxel.
        let stray: [&[u8]; 2] = [&[1, 1, 1, 0, 0, 1], &[1, 1, 1, 0, 0, 0]];
        let choice = choose(&[stray, stray], &[0, 1], 2);
        assert_eq!(choice.steps, [TidyStep::KeepLargest { of: TidyOf::Foreground }]);
        assert!((choice.before.mean.unwrap() - 6.0 / 7.0).abs() < 1e-12);
        assert_eq!((choice.after.mean, choice.nested.mean), (Some(1.0), Some(1.0)));
        assert_eq!(choice.without_fold[&0], choice.steps);
        assert!((choice.trials[0].gain - 1.0 / 7.0).abs() < 1e-12 && choice.trials[0].kept);
    }

    #[test]
    fn what_helps_one_class_and_hurts_another_is_left() {
        // The largest of all foreground is class 1; class 2 would be lost.
        let case: [&[u8]; 2] = [&[1, 1, 1, 0, 2, 2, 0, 1], &[1, 1, 1, 0, 2, 2, 0, 0]];
        let choice = choose(&[case, case], &[0, 1], 3);
        assert_eq!(choice.steps, [TidyStep::KeepLargest { of: TidyOf::Class(1) }]);
        let foreground = &choice.trials[0];
        assert_eq!(foreground.step, TidyStep::KeepLargest { of: TidyOf::Foreground });
        assert!(!foreground.kept && foreground.least_class_gain == -1.0);
        assert_eq!(choice.after.classes, [Some(1.0), Some(1.0)]);
    }

    #[test]
    fn two_true_parts_keep_their_size_and_a_speck_goes() {
        // Two parts of three voxels, 18 mm³ each, and a stray one of 6 mm³: half of all is 18.
        let case: [&[u8]; 2] = [&[1, 1, 1, 0, 1, 1, 1, 0, 1], &[1, 1, 1, 0, 1, 1, 1, 0, 0]];
        let choice = choose(&[case, case, case], &[0, 1, 1], 2);
        let of = TidyOf::Class(1);
        let below = |mm3| TidyStep::RemoveSmall { of, below_mm3: Some(mm3), below_voxels: None };
        assert_eq!(choice.steps, [below(10.0)]);
        assert_eq!(choice.after.mean, Some(1.0));
    }

    #[test]
    fn nested_numbers_tell_of_a_choice_that_does_not_carry_over() {
        // What helps the case of fold 0 hurts that of fold 1, by more; without fold 1 it is chosen.
        let helped: [&[u8]; 2] = [&[1, 1, 1, 0, 1, 0, 0, 0], &[1, 1, 1, 0, 0, 0, 0, 0]];
        let hurt: [&[u8]; 2] = [&[1, 1, 1, 0, 1, 1, 0, 0], &[1, 1, 1, 0, 1, 1, 0, 0]];
        let choice = choose(&[helped, hurt], &[0, 1], 2);
        assert!(choice.steps.is_empty(), "{:?}", choice.steps);
        assert_eq!(choice.after, choice.before);
        assert!(!choice.without_fold[&1].is_empty() && choice.without_fold[&0].is_empty());
        assert!(choice.nested.mean < choice.before.mean);
    }

    #[test]
    fn a_class_that_is_nowhere_has_no_mean_and_no_size() {
        let case: [&[u8]; 2] = [&[1, 1, 0], &[1, 1, 0]];
        let choice = choose(&[case, case], &[0, 1], 3);
        assert_eq!(choice.before.classes, [Some(1.0), None]);
        assert!(choice.steps.is_empty());
        let single = choose(&[case], &[0], 2);
        assert_eq!(single.nested, single.before);
    }

    #[test]
    fn sizes_are_round_and_below_half_of_the_smallest() {
        assert_eq!(round_sizes(37.0), [2.0, 5.0, 10.0, 20.0]);
        assert_eq!(round_sizes(0.05), [0.005, 0.01, 0.02, 0.05]);
        assert!(round_sizes(0.0).is_empty());
        let of = TidyOf::Class(1);
        let pixels = |voxels| Size { voxels, mm3: None };
        let voxels =
            |voxels| TidyStep::RemoveSmall { of, below_mm3: None, below_voxels: Some(voxels) };
        let steps = too_small(of, [pixels(11), pixels(300)].into_iter());
        assert_eq!(steps, [voxels(2), voxels(5)]);
    }
}
