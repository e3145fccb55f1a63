//! How sure a network is of a slice, by its own softmax.
//!
//! It says what the network believes, not what is true: a network can be sure and wrong.

use ndarray::{Array2, ArrayView2, ArrayView3, Axis, Zip};
use serde::{Deserialize, Serialize};

/// Voxels added to both sides of the fraction in [`Expectation::risk`], so that a slice with
/// hardly any foreground is not alarming by a voxel or two.
pub(super) const STEADY: f64 = 16.0;

/// From this risk on a slice counts as doubtful: the probabilities lead to expect a Dice
/// below 0.9.
pub const DOUBTFUL: f64 = 0.1;

/// What the probabilities of some pixels add up to; slices add up to a case.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Expectation {
    /// Probabilities of their labels, over the pixels that have one.
    overlap: f64,
    /// Probabilities of foreground, over all pixels.
    foreground: f64,
    /// Pixels that have a label.
    labeled: f64,
}

impl Expectation {
    /// Takes in other pixels.
    pub fn add(&mut self, other: Self) {
        self.overlap += other.overlap;
        self.foreground += other.foreground;
        self.labeled += other.labeled;
    }

    /// One minus the Dice that the probabilities lead to expect of the labels, over the
    /// foreground classes together: 0 for certain, towards 1 for guessed.
    pub fn risk(&self) -> f64 {
        let Self { overlap, foreground, labeled } = self;
        (1.0 - (2.0 * overlap + STEADY) / (foreground + labeled + STEADY)).clamp(0.0, 1.0)
    }
}

/// How sure a network is of a case, before labels are tidied up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CaseDoubt {
    /// [`Expectation::risk`] of all slices together.
    pub risk: f64,
    /// The largest risk of a slice.
    pub worst_slice_risk: f64,
    /// Slices with a risk of [`DOUBTFUL`] or more.
    pub doubtful_slices: usize,
    /// Slices that the network went through.
    pub slices: usize,
}

impl CaseDoubt {
    /// What slices amount to, in whatever order they come.
    pub fn of(slices: impl IntoIterator<Item = Expectation>) -> Self {
        let mut all = Expectation::default();
        let risks = slices.into_iter().map(|slice| {
            all.add(slice);
            slice.risk()
        });
        let doubt = Self::of_risks(0.0, risks);
        Self { risk: all.risk(), ..doubt }
    }

    /// What a case of this risk, with slices of these, amounts to.
    pub(super) fn of_risks(risk: f64, slices: impl IntoIterator<Item = f64>) -> Self {
        let mut doubt = Self { risk, worst_slice_risk: 0.0, doubtful_slices: 0, slices: 0 };
        for risk in slices {
            doubt.worst_slice_risk = doubt.worst_slice_risk.max(risk);
            doubt.doubtful_slices += usize::from(risk >= DOUBTFUL);
            doubt.slices += 1;
        }
        doubt
    }
}

/// How sure a network is of one slice.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceDoubt {
    /// Entropy of the class probabilities at each pixel, as a share of the largest that there is:
    /// 0 for certain, 255 for all classes alike. `[height, width]`
    pub entropy: Array2<u8>,
    /// [`Expectation::risk`] of this slice.
    pub risk: f64,
    /// What its risk follows from, to add up.
    pub expectation: Expectation,
}

impl SliceDoubt {
    /// # Shapes
    /// - `scores`: `[class, height, width]`, logits or probabilities
    /// - `labels`: `[height, width]`, the class with the highest score
    pub(super) fn of(
        scores: ArrayView3<'_, f32>,
        are_logits: bool,
        labels: ArrayView2<'_, u8>,
    ) -> Self {
        let classes = scores.len_of(Axis(0));
        let most = (classes.max(2) as f32).ln();
        let mut entropy = Array2::zeros(labels.dim());
        let mut expectation = Expectation::default();
        let mut probabilities = vec![0.0_f32; classes];
        Zip::indexed(&mut entropy).and(&labels).for_each(|(row, column), entropy, &label| {
            for (class, probability) in probabilities.iter_mut().enumerate() {
                *probability = scores[[class, row, column]];
            }
            if are_logits {
                softmax(&mut probabilities);
            }
            // Surer than this rounds to an entropy of 0, and no logarithm is needed.
            if probabilities[usize::from(label)] < 0.999_99 {
                let present = probabilities.iter().filter(|p| **p > 0.0);
                let bits: f32 = present.map(|p| -p * p.ln()).sum();
                *entropy = (255.0 * bits / most).round().clamp(0.0, 255.0) as u8;
            }
            expectation.foreground += f64::from(probabilities.iter().skip(1).sum::<f32>());
            if label > 0 {
                expectation.labeled += 1.0;
                expectation.overlap += f64::from(probabilities[usize::from(label)]);
            }
        });
        Self { entropy, risk: expectation.risk(), expectation }
    }
}

/// The probability of `class` at each pixel, 0 to 255; nowhere any where there is no such class.
///
/// # Shapes
/// - `scores`: `[class, height, width]`, logits or probabilities
/// - output: `[height, width]`
pub(super) fn probability(scores: ArrayView3<'_, f32>, are_logits: bool, class: u8) -> Array2<u8> {
    let (classes, height, width) = scores.dim();
    let class = usize::from(class);
    if class >= classes {
        return Array2::zeros([height, width]);
    }
    let mut probabilities = vec![0.0_f32; classes];
    Array2::from_shape_fn([height, width], |(row, column)| {
        for (class, probability) in probabilities.iter_mut().enumerate() {
            *probability = scores[[class, row, column]];
        }
        if are_logits {
            softmax(&mut probabilities);
        }
        (255.0 * probabilities[class]).round().clamp(0.0, 255.0) as u8
    })
}

pub(super) fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().fold(f32::NEG_INFINITY, |most, score| most.max(*score));
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr2, arr3};

    use super::*;

    #[test]
    fn a_sure_network_has_no_doubt() {
        let scores = arr3(&[[[1.0, 0.0]], [[0.0, 1.0]]]);
        let doubt = SliceDoubt::of(scores.view(), false, arr2(&[[0, 1]]).view());
        assert_eq!((doubt.entropy, doubt.risk), (arr2(&[[0, 0]]), 0.0));
    }

    #[test]
    fn slices_add_up_to_the_case_that_they_are() {
        // The same pixels as one slice and as two.
        let scores = arr3(&[[[0.25, 0.75], [0.9, 0.4]], [[0.75, 0.25], [0.1, 0.6]]]);
        let labels = arr2(&[[1, 0], [0, 1]]);
        let whole = SliceDoubt::of(scores.view(), false, labels.view());
        let halves = [0, 1].map(|row| {
            let labels = labels.slice(ndarray::s![row..=row, ..]);
            SliceDoubt::of(scores.slice(ndarray::s![.., row..=row, ..]), false, labels)
        });
        let case = CaseDoubt::of(halves.iter().map(|half| half.expectation));
        assert!((case.risk - whole.risk).abs() < 1e-12);
        // 0.75 + 0.6 are right of 1.7 expected and 2 labeled.
        assert!((case.risk - (1.0 - (2.0 * 1.35 + 16.0) / (1.7 + 2.0 + 16.0))).abs() < 1e-6);
        assert!((case.worst_slice_risk - halves[1].risk).abs() < 1e-12);
        assert_eq!((case.doubtful_slices, case.slices), (0, 2));
    }

    #[test]
    fn equal_logits_are_the_most_doubtful() {
        let scores = arr3(&[[[3.0]], [[3.0]]]);
        let doubt = SliceDoubt::of(scores.view(), true, arr2(&[[0]]).view());
        assert_eq!(doubt.entropy, arr2(&[[255]]));
        // Half a voxel is expected and none is labeled.
        assert!((doubt.risk - (1.0 - 16.0 / 16.5)).abs() < 1e-9);
    }

    #[test]
    fn the_probability_of_a_class_is_its_share_of_the_softmax() {
        // Logits 0 and ln 3: a quarter and three quarters.
        let scores = arr3(&[[[0.0]], [[3.0_f32.ln()]]]);
        let share = |class| probability(scores.view(), true, class)[[0, 0]];
        assert_eq!([share(0), share(1), share(2)], [64, 191, 0]);
        assert_eq!(probability(arr3(&[[[0.2]], [[0.8]]]).view(), false, 1), arr2(&[[204]]));
    }

    #[test]
    fn risk_is_what_dice_is_expected_to_lack() {
        // One voxel labeled with probability 0.75, and 0.25 expected of another.
        let scores = arr3(&[[[0.25, 0.75]], [[0.75, 0.25]]]);
        let doubt = SliceDoubt::of(scores.view(), false, arr2(&[[1, 0]]).view());
        assert!((doubt.risk - (1.0 - 17.5 / 18.0)).abs() < 1e-9);
    }
}
