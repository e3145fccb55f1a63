//! How sure a network is of a slice, by its own softmax.
//!
//! It says what the network believes, not what is true: a network can be sure and wrong.

use ndarray::{Array2, ArrayView2, ArrayView3, Axis, Zip};

/// Voxels added to both sides of the fraction in [`SliceDoubt::risk`], so that a slice with
/// hardly any foreground is not alarming by a voxel or two.
const STEADY: f64 = 16.0;

/// How sure a network is of one slice.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceDoubt {
    /// Entropy of the class probabilities at each pixel, as a share of the largest that there is:
    /// 0 for certain, 255 for all classes alike. `[height, width]`
    pub entropy: Array2<u8>,
    /// One minus the Dice that the probabilities lead to expect of the labels, over the
    /// foreground classes together: 0 for certain, towards 1 for guessed.
    pub risk: f64,
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
        let (mut overlap, mut expected, mut labeled) = (0.0, 0.0, 0.0);
        let mut probabilities = vec![0.0_f32; classes];
        Zip::indexed(&mut entropy).and(&labels).for_each(|(row, column), entropy, &label| {
            for (class, probability) in probabilities.iter_mut().enumerate() {
                *probability = scores[[class, row, column]];
            }
            if are_logits {
                softmax(&mut probabilities);
            }
            let bits: f32 = probabilities.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
            *entropy = (255.0 * bits / most).round().clamp(0.0, 255.0) as u8;
            expected += f64::from(probabilities.iter().skip(1).sum::<f32>());
            if label > 0 {
                labeled += 1.0;
                overlap += f64::from(probabilities[usize::from(label)]);
            }
        });
        let risk = 1.0 - (2.0 * overlap + STEADY) / (expected + labeled + STEADY);
        Self { entropy, risk: risk.clamp(0.0, 1.0) }
    }
}

fn softmax(scores: &mut [f32]) {
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
        assert_eq!(doubt, SliceDoubt { entropy: arr2(&[[0, 0]]), risk: 0.0 });
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
    fn risk_is_what_dice_is_expected_to_lack() {
        // One voxel labeled with probability 0.75, and 0.25 expected of another.
        let scores = arr3(&[[[0.25, 0.75]], [[0.75, 0.25]]]);
        let doubt = SliceDoubt::of(scores.view(), false, arr2(&[[1, 0]]).view());
        assert!((doubt.risk - (1.0 - 17.5 / 18.0)).abs() < 1e-9);
    }
}
