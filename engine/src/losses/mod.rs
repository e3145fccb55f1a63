//! Losses: how far logits are from the reference labels.
//!
//! All of them take logits, and labels one-hot with a mask of the pixels that
//! count, so that ignored pixels have neither loss nor gradient. [`ohem`], which ranks
//! pixels, takes labels as they are.

pub mod ohem;

use burn::tensor::{Device, Tensor, TensorData, activation};
use serde::{Deserialize, Serialize};

use crate::networks::NetworkOutput;

/// The label of pixels that are neither learned nor measured.
pub const IGNORE_LABEL: u8 = 255;

/// Which loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossConfig {
    /// Mean cross-entropy over the pixels that count.
    CrossEntropy,
    /// One minus the soft Dice of each foreground class, taken over the whole batch.
    Dice,
    /// The sum of both, each with weight one.
    #[default]
    DiceCrossEntropy,
}

/// Reference labels of a batch, as the losses need them.
#[derive(Debug, Clone)]
pub struct Target {
    /// One-hot labels, all zero where a pixel is ignored: `[batch, class, height, width]`.
    one_hot: Tensor<4>,
    /// 1 where a pixel counts, 0 where it is ignored: `[batch, 1, height, width]`.
    mask: Tensor<4>,
    /// How many pixels count.
    counted: usize,
}

impl Target {
    /// Labels `[batch, height, width]`, row-major; [`IGNORE_LABEL`] is left out.
    pub fn new(
        labels: &[u8],
        [batch, height, width]: [usize; 3],
        num_classes: usize,
        device: &Device,
    ) -> Self {
        let plane = height * width;
        let mut one_hot = vec![0.0_f32; batch * num_classes * plane];
        let mut mask = vec![0.0_f32; batch * plane];
        let mut counted = 0;
        for (index, &label) in labels.iter().enumerate() {
            if label == IGNORE_LABEL {
                continue;
            }
            let (slice, pixel) = (index / plane, index % plane);
            one_hot[(slice * num_classes + usize::from(label)) * plane + pixel] = 1.0;
            mask[index] = 1.0;
            counted += 1;
        }
        let tensor = |values, channels| {
            Tensor::from_data(TensorData::new(values, [batch, channels, height, width]), device)
        };
        Self { one_hot: tensor(one_hot, num_classes), mask: tensor(mask, 1), counted }
    }
}

impl LossConfig {
    /// The loss of the main logits plus that of each auxiliary head times its weight.
    ///
    /// # Shapes
    /// - output: `[1]`
    pub fn forward(self, output: NetworkOutput, target: &Target) -> Tensor<1> {
        let main = self.of_logits(output.logits, target);
        output.auxiliary.into_iter().fold(main, |sum, head| {
            sum + self.of_logits(head.logits, target).mul_scalar(head.weight)
        })
    }

    fn of_logits(self, logits: Tensor<4>, target: &Target) -> Tensor<1> {
        let log_probabilities = activation::log_softmax(logits, 1);
        match self {
            Self::CrossEntropy => cross_entropy(log_probabilities, target),
            Self::Dice => soft_dice(log_probabilities, target),
            Self::DiceCrossEntropy => {
                cross_entropy(log_probabilities.clone(), target)
                    + soft_dice(log_probabilities, target)
            }
        }
    }
}

/// Mean over the pixels that count of −log p(true class).
fn cross_entropy(log_probabilities: Tensor<4>, target: &Target) -> Tensor<1> {
    // A sum over everything at once depends on the number of threads where there is much.
    let per_class = (log_probabilities * target.one_hot.clone()).sum_dim(3).sum_dim(2);
    per_class.sum().div_scalar(-(target.counted.max(1) as f64))
}

/// 1 − mean over the foreground classes of (2·Σpg + 1) / (Σp + Σg + 1), the sums taken
/// over the whole batch ("batch Dice"): a class that a slice does not show costs nothing there.
fn soft_dice(log_probabilities: Tensor<4>, target: &Target) -> Tensor<1> {
    let [_, num_classes, _, _] = log_probabilities.dims();
    let per_class = |x: Tensor<4>| {
        x.sum_dim(0).sum_dim(2).sum_dim(3).reshape([num_classes]).narrow(0, 1, num_classes - 1)
    };
    let probabilities = log_probabilities.exp() * target.mask.clone();
    let overlap = per_class(probabilities.clone() * target.one_hot.clone());
    let sizes = per_class(probabilities) + per_class(target.one_hot.clone());
    let dice = (overlap.mul_scalar(2.0) + 1.0) / (sizes + 1.0);
    dice.mean().neg().add_scalar(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu() -> Device {
        Device::flex()
    }

    /// Two pixels, two classes: the first is class 1 with p = 0.75, the second is ignored.
    fn example() -> (Tensor<4>, Target) {
        let logit = 3.0_f32.ln();
        let logits =
            Tensor::from_data(TensorData::new(vec![0.0, 5.0, logit, 0.0], [1, 2, 1, 2]), &cpu());
        (logits, Target::new(&[1, IGNORE_LABEL], [1, 1, 2], 2, &cpu()))
    }

    fn value(loss: Tensor<1>) -> f32 {
        loss.into_scalar()
    }

    #[test]
    fn cross_entropy_is_the_mean_over_the_pixels_that_count() {
        let (logits, target) = example();
        let loss = value(LossConfig::CrossEntropy.of_logits(logits, &target));
        assert!((loss + 0.75_f32.ln()).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn dice_leaves_ignored_pixels_and_the_background_out() {
        let (logits, target) = example();
        // (2 * 0.75 + 1) / (0.75 + 1 + 1)
        let loss = value(LossConfig::Dice.of_logits(logits, &target));
        assert!((loss - (1.0 - 2.5 / 2.75)).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn an_ignored_pixel_has_no_gradient() {
        let (logits, target) = example();
        let device = cpu().autodiff();
        let logits = logits.autodiff().require_grad();
        let target = Target {
            one_hot: target.one_hot.to_device(&device),
            mask: target.mask.to_device(&device),
            ..target
        };
        let gradients = LossConfig::DiceCrossEntropy.of_logits(logits.clone(), &target).backward();
        let gradient: Vec<f32> = logits.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
        assert!(gradient[0] != 0.0 && gradient[2] != 0.0);
        assert_eq!((gradient[1], gradient[3]), (0.0, 0.0));
    }

    #[test]
    fn a_batch_that_is_ignored_altogether_has_no_loss() {
        let (logits, _) = example();
        let target = Target::new(&[IGNORE_LABEL; 2], [1, 1, 2], 2, &cpu());
        assert_eq!(value(LossConfig::CrossEntropy.of_logits(logits, &target)), 0.0);
    }
}
