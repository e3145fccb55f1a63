//! Losses that measure the overlap of regions: soft Dice and generalized Dice.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::IGNORE_LABEL;
use super::target::Target;

/// What becomes of ignored pixels in an overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// They have neither loss nor gradient: the default, whatever the released code does.
    #[default]
    LeftOut,
    /// They are of no class, but what is predicted there still counts as predicted: BPNet's code
    /// without an ignored label.
    OfNoClass,
    /// They have no prediction, but the label of the background (class 0): BPNet's code with an
    /// ignored label, which multiplies labels by the mask. Only to repeat its results.
    Background,
}

/// Settings of [`soft_dice`]; the defaults are nnU-Net's batch Dice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiceConfig {
    /// Whether the background has a Dice of its own. BPNet's multi-class Dice: true.
    pub background: bool,
    /// Whether each image has a Dice of its own, classes that it does not show included, rather
    /// than the batch as a whole. BPNet's multi-class Dice: true.
    pub per_image: bool,
    /// What becomes of ignored pixels.
    pub ignored: Ignored,
}

/// 1 − mean over the classes of (2·Σpg + 1) / (Σp + Σg + 1).
///
/// Summed over the whole batch ("batch Dice") a class that a slice does not show costs nothing
/// there; summed over each image it costs what is predicted of it (`Dice_loss` of BPNet's code).
///
/// # Shapes
/// - `log_probabilities`: `[batch, class, height, width]`
/// - output: `[1]`
pub fn soft_dice(log_probabilities: Tensor<4>, target: &Target, config: &DiceConfig) -> Tensor<1> {
    let num_classes = target.num_classes();
    let first = usize::from(!config.background && num_classes > 1);
    let per_class = |x: Tensor<4>| {
        let x = if config.per_image { x } else { x.sum_dim(0) };
        let images = x.dims()[0];
        let sums = x.sum_dim(2).sum_dim(3).reshape([images, num_classes]);
        sums.narrow(1, first, num_classes - first) // [batch or 1, class]
    };
    let (probabilities, labels) = regions(log_probabilities, target, config.ignored);
    let overlap = per_class(probabilities.clone() * labels.clone());
    let sizes = per_class(probabilities) + per_class(labels);
    let dice = (overlap.mul_scalar(2.0) + 1.0) / (sizes + 1.0);
    dice.mean().neg().add_scalar(1.0)
}

/// Settings of [`generalized_dice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeneralizedDiceConfig {
    /// What becomes of ignored pixels.
    pub ignored: Ignored,
}

/// 1 − 2·Σ_c w·Σpg / Σ_c (w·(Σp + Σg) + 2e-6), the sums inside taken over the batch, with
/// w = 1 / ((Σg)² + 1e-6), and 0 for a class that the batch does not show.
///
/// Sudre et al., DLMIA 2017, with the constants of `GeneralizedDiceLoss4Organs` of BPNet's code.
///
/// # Shapes
/// - `log_probabilities`: `[batch, class, height, width]`
/// - output: `[1]`
pub fn generalized_dice(
    log_probabilities: Tensor<4>,
    target: &Target,
    config: &GeneralizedDiceConfig,
) -> Tensor<1> {
    let num_classes = target.num_classes();
    let per_class = |x: Tensor<4>| x.sum_dim(0).sum_dim(2).sum_dim(3).reshape([num_classes]);
    let (probabilities, labels) = regions(log_probabilities, target, config.ignored);
    let counts: Tensor<1> = per_class(labels.clone());
    let absent = counts.clone().equal_elem(0.0);
    let weights = (counts.clone() * counts.clone() + 1e-6).recip().mask_fill(absent, 0.0);
    let overlap = (weights.clone() * per_class(probabilities.clone() * labels)).sum();
    let sizes = (weights * (per_class(probabilities) + counts) + 2e-6).sum();
    (overlap / sizes).mul_scalar(-2.0).add_scalar(1.0)
}

/// Probabilities and one-hot labels: `[batch, class, height, width]` each.
fn regions(
    log_probabilities: Tensor<4>,
    target: &Target,
    ignored: Ignored,
) -> (Tensor<4>, Tensor<4>) {
    let probabilities = log_probabilities.exp();
    let masked = |probabilities: Tensor<4>| probabilities * target.mask();
    match ignored {
        Ignored::OfNoClass => (probabilities, target.one_hot()),
        Ignored::LeftOut => (masked(probabilities), target.one_hot()),
        Ignored::Background => {
            let background = |label: &u8| if *label == IGNORE_LABEL { 0 } else { *label };
            let labels: Vec<u8> = target.labels().iter().map(background).collect();
            let filled = Target::new(&labels, target.size(), target.num_classes(), target.device());
            (masked(probabilities), filled.one_hot())
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Two images of two pixels, all predicted class 1 with p = 3/4; the labels are 1, 0 and
    /// 1, ignored.
    fn example() -> (Tensor<4>, Target) {
        let device = Device::flex();
        let image = [[[0.25_f32.ln(); 2]], [[0.75_f32.ln(); 2]]];
        let target = Target::new(&[1, 0, 1, IGNORE_LABEL], [2, 1, 2], 2, &device);
        (Tensor::from_data([image, image], &device), target)
    }

    fn dice(config: DiceConfig) -> f64 {
        let (log_probabilities, target) = example();
        soft_dice(log_probabilities, &target, &config).into_scalar()
    }

    #[test]
    fn the_batch_has_one_dice_for_each_class_but_the_background() {
        let expected = 1.0 - (2.0 * 1.5 + 1.0) / (2.25 + 2.0 + 1.0);
        assert!((dice(DiceConfig::default()) - expected).abs() < 1e-6);
        let background = (2.0 * 0.25 + 1.0) / (0.75 + 1.0 + 1.0);
        let expected = 1.0 - f64::midpoint(1.0 - expected, background);
        let config = DiceConfig { background: true, ..DiceConfig::default() };
        assert!((dice(config) - expected).abs() < 1e-6);
    }

    #[test]
    fn each_image_has_its_own_where_asked_for() {
        let first = (2.0 * 0.75 + 1.0) / (1.5 + 1.0 + 1.0);
        let second = (2.0 * 0.75 + 1.0) / (0.75 + 1.0 + 1.0);
        let config = DiceConfig { per_image: true, ..DiceConfig::default() };
        assert!((dice(config) - (1.0 - f64::midpoint(first, second))).abs() < 1e-6);
    }

    #[test]
    fn ignored_pixels_count_as_the_released_code_has_it_where_asked_for() {
        let config = DiceConfig { ignored: Ignored::OfNoClass, ..DiceConfig::default() };
        assert!((dice(config) - (1.0 - 4.0 / (3.0 + 2.0 + 1.0))).abs() < 1e-6);
        let config =
            DiceConfig { background: true, ignored: Ignored::Background, ..DiceConfig::default() };
        let background = (2.0 * 0.25 + 1.0) / (0.75 + 2.0 + 1.0);
        let expected = 1.0 - f64::midpoint(4.0 / 5.25, background);
        assert!((dice(config) - expected).abs() < 1e-6);
    }

    #[test]
    fn rare_classes_weigh_more_in_the_generalized_dice() {
        let (log_probabilities, target) = example();
        let config = GeneralizedDiceConfig::default();
        let loss: f64 = generalized_dice(log_probabilities, &target, &config).into_scalar();
        // Class 0: one pixel, weight 1; class 1: two pixels, weight 1/4.
        let overlap = 0.25 + 0.25 * 1.5;
        let sizes = (0.75 + 1.0) + 0.25 * (2.25 + 2.0);
        assert!((loss - (1.0 - 2.0 * overlap / sizes)).abs() < 1e-5, "{loss}");
    }

    #[test]
    fn a_class_that_is_not_shown_has_no_weight() {
        let device = Device::flex();
        let target = Target::new(&[1; 4], [2, 1, 2], 2, &device);
        let config = GeneralizedDiceConfig::default();
        let loss: f64 = generalized_dice(example().0, &target, &config).into_scalar();
        assert!((loss - (1.0 - 2.0 * 3.0 / (3.0 + 4.0))).abs() < 1e-4, "{loss}");
    }
}
