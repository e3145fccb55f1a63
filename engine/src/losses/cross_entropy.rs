//! Cross entropy: mean, with weights of classes and smoothed labels.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::IGNORE_LABEL;
use super::target::{Target, total};
use crate::error::EngineError;

/// Settings of [`cross_entropy`]; the defaults are plain cross entropy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrossEntropyConfig {
    /// Share of each label that is spread evenly over all classes; 0.1 in the ImageNet recipe of
    /// STDC (Szegedy et al., CVPR 2016).
    pub label_smoothing: f64,
    /// What a pixel of each class counts for, background first; none means 1 each.
    pub class_weights: Vec<f64>,
}

impl CrossEntropyConfig {
    pub(super) fn validate(&self, key: &str) -> Result<(), EngineError> {
        if !(0.0..1.0).contains(&self.label_smoothing) {
            let key = format!("{key}.label_smoothing");
            return Err(EngineError::config(
                key,
                self.label_smoothing,
                "expected at least 0 and below 1",
            ));
        }
        validate_weights(&self.class_weights, key)
    }
}

/// Whether classes can have these weights.
pub(super) fn validate_weights(weights: &[f64], key: &str) -> Result<(), EngineError> {
    let usable = |weight: &f64| (0.0..=1e6).contains(weight);
    if !weights.iter().all(usable) || (!weights.is_empty() && weights.iter().sum::<f64>() == 0.0) {
        let key = format!("{key}.class_weights");
        let expected = "expected 0 to 1e6 each, one of them above 0";
        return Err(EngineError::config(key, format!("{weights:?}"), expected));
    }
    Ok(())
}

/// Whether each class has a weight, or none has.
pub(super) fn validate_weight_count(
    weights: &[f64],
    key: &str,
    num_classes: usize,
) -> Result<(), EngineError> {
    if weights.is_empty() || weights.len() == num_classes {
        return Ok(());
    }
    let expected = format!("expected {num_classes} weights, one for each class");
    Err(EngineError::config(format!("{key}.class_weights"), format!("{weights:?}"), expected))
}

/// What a pixel of this label counts for.
pub(super) fn weight(weights: &[f64], label: u8) -> f64 {
    match label {
        IGNORE_LABEL => 0.0,
        _ if weights.is_empty() => 1.0,
        _ => weights[usize::from(label)],
    }
}

/// Mean of −log p(label) over the pixels that count, weighted by their classes.
///
/// With weights `w`, smoothing `ε` and `C` classes, as PyTorch defines it:
/// `Σ [(1 − ε)·w(y)·(−log p(y)) + ε/C·Σ_c w(c)·(−log p(c))] / Σ w(y)`, sums over pixels.
///
/// # Shapes
/// - `log_probabilities`: `[batch, class, height, width]`
/// - output: `[1]`
pub fn cross_entropy(
    log_probabilities: Tensor<4>,
    target: &Target,
    config: &CrossEntropyConfig,
) -> Tensor<1> {
    let num_classes = target.num_classes();
    let weight = |label: u8| weight(&config.class_weights, label);
    let sum: f64 = target.labels().iter().map(|label| weight(*label)).sum();
    // Where no pixel has any weight, the sums above are zero as well.
    let sum = if sum > 0.0 { sum } else { 1.0 };

    let surprise = target.surprise(log_probabilities.clone());
    let weighted = surprise * target.pixels(|_, label| weight(label) as f32);
    let smoothing = config.label_smoothing;
    let loss = total(weighted).mul_scalar((1.0 - smoothing) / sum);
    if smoothing == 0.0 {
        return loss;
    }
    let weights: Vec<f32> = (0..num_classes).map(|class| weight(class as u8) as f32).collect();
    let weights = TensorData::new(weights, [1, num_classes, 1, 1]);
    let weights = Tensor::from_data(weights, target.device());
    let all_classes = (log_probabilities * weights).sum_dim(1) * target.mask();
    loss - total(all_classes).mul_scalar(smoothing / (num_classes as f64 * sum))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Three pixels whose probabilities of class 1 are 3/4, 1/2 and 1/4, labeled 1, 0, 255.
    fn loss(label_smoothing: f64, class_weights: &[f64]) -> f64 {
        let device = Device::flex();
        let classes = [[0.25_f32, 0.5, 0.75], [0.75, 0.5, 0.25]].map(|p| [p.map(f32::ln)]);
        let target = Target::new(&[1, 0, IGNORE_LABEL], [1, 1, 3], 2, &device);
        let config = CrossEntropyConfig { label_smoothing, class_weights: class_weights.to_vec() };
        cross_entropy(Tensor::from_data([classes], &device), &target, &config).into_scalar()
    }

    #[test]
    fn it_is_the_mean_over_the_pixels_that_count() {
        let expected = -(0.75_f64.ln() + 0.5_f64.ln()) / 2.0;
        assert!((loss(0.0, &[]) - expected).abs() < 1e-6);
    }

    #[test]
    fn weights_of_classes_weigh_pixels_and_their_mean() {
        let expected = -(3.0 * 0.75_f64.ln() + 0.5_f64.ln()) / 4.0;
        assert!((loss(0.0, &[1.0, 3.0]) - expected).abs() < 1e-6);
    }

    #[test]
    fn smoothing_spreads_a_label_over_all_classes() {
        // The first pixel: 0.9 + 0.05 for class 1 and 0.05 for class 0; at the second both are ½.
        let first = 0.95 * 0.75_f64.ln() + 0.05 * 0.25_f64.ln();
        let expected = -(first + 0.5_f64.ln()) / 2.0;
        assert!((loss(0.1, &[]) - expected).abs() < 1e-6);
        let first = 0.9 * 3.0 * 0.75_f64.ln() + 0.05 * (3.0 * 0.75_f64.ln() + 0.25_f64.ln());
        let second = (0.9 + 0.05 * 4.0) * 0.5_f64.ln();
        let expected = -(first + second) / 4.0;
        assert!((loss(0.1, &[1.0, 3.0]) - expected).abs() < 1e-6);
    }

    #[test]
    fn pixels_of_no_weight_have_no_loss() {
        assert_eq!(loss(0.0, &[0.0, 0.0]), 0.0);
    }
}
