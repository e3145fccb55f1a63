//! Cross entropy over the pixels that are predicted worst, in the forms of four released codes.
//!
//! Shrivastava, Gupta, Girshick. Training Region-based Object Detectors with Online Hard Example
//! Mining. CVPR 2016. None of the segmentation papers writes its form down, so the codes are
//! followed; they differ in what is ranked, in whether a threshold is met or passed, and in what
//! happens where few pixels are labeled.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::IGNORE_LABEL;
use super::cross_entropy::{validate_weights, weight};
use super::target::{Target, total};
use crate::error::EngineError;

/// Whose rule chooses the pixels. Below, `p` is the probability of a pixel's label, and a pixel
/// is hard where `p` is low.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OhemForm {
    /// BPNet's (`ProbOhemCrossEntropy2d`): `p` up to the threshold, and the `min_kept` hardest
    /// whatever their `p`, where ignored pixels take part in the ranking with `p` = 1. All that
    /// are labeled if those are fewer than `min_kept`. Defaults: 0.7, a 16th of all pixels.
    #[default]
    Bpnet,
    /// That of CoinCheung's BiSeNet (`OhemCELoss`), used for BiSeNetV1 and V2: −log p above
    /// −log(threshold); if that leaves fewer than `min_kept`, the `min_kept` hardest instead.
    /// Defaults: 0.7, a 16th of the labeled pixels.
    Bisenet,
    /// STDC's (`OhemCELoss`): all are ranked, ignored ones with no loss. Those above
    /// −log(threshold) if the hardest but `min_kept` is among them, else the `min_kept` hardest,
    /// ignored ones included in the mean. Defaults: 0.7, a 16th of all pixels.
    Stdc,
    /// HRNet's (`OhemCrossEntropy`): among labeled pixels, `p` below the threshold or below the
    /// `p` of the hardest but `min_kept`, whichever is higher. Auxiliary heads have plain cross
    /// entropy, as in its code. Defaults: 0.9, 131072 pixels.
    Hrnet,
}

/// Settings of [`ohem_cross_entropy`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OhemConfig {
    /// Whose rule it is.
    pub form: OhemForm,
    /// The probability of its label below which a pixel counts in any case; the form's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// About so many pixels of a batch count at least, all if there are fewer; the form's
    /// default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_kept: Option<usize>,
    /// The same as a share of the pixels: of all of them in BPNet's and STDC's form, of the
    /// labeled ones in the others. In place of `min_kept`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_kept_share: Option<f64>,
    /// What the loss of a pixel of each class is multiplied with, background first; none means 1
    /// each. They do not change which pixels count. BPNet's form divides by the sum of the weights,
    /// HRNet's (balanced classes in its recipe for Cityscapes) by the number of pixels; the other
    /// forms have no weights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_weights: Vec<f64>,
}

impl OhemConfig {
    /// A form with its defaults.
    pub fn of(form: OhemForm) -> Self {
        Self { form, ..Self::default() }
    }

    pub(super) fn validate(&self, key: &str) -> Result<(), EngineError> {
        let above_0 = |value: f64| value > 0.0 && value <= 1.0;
        let shares = [("threshold", self.threshold), ("min_kept_share", self.min_kept_share)];
        for (name, value) in shares {
            if let Some(value) = value.filter(|value| !above_0(*value)) {
                let key = format!("{key}.{name}");
                return Err(EngineError::config(key, value, "expected above 0 and at most 1"));
            }
        }
        if let (Some(count), Some(_)) = (self.min_kept, self.min_kept_share) {
            let expected = "expected either this or min_kept_share";
            return Err(EngineError::config(format!("{key}.min_kept"), count, expected));
        }
        if self.min_kept == Some(0) {
            return Err(EngineError::config(format!("{key}.min_kept"), 0, "expected at least 1"));
        }
        if !self.class_weights.is_empty() && matches!(self.form, OhemForm::Bisenet | OhemForm::Stdc)
        {
            let (key, value) =
                (format!("{key}.class_weights"), format!("{:?}", self.class_weights));
            let expected = "expected none with this form; bpnet and hrnet take them";
            return Err(EngineError::config(key, value, expected));
        }
        validate_weights(&self.class_weights, key)
    }

    fn threshold(&self) -> f32 {
        let default = if self.form == OhemForm::Hrnet { 0.9 } else { 0.7 };
        self.threshold.unwrap_or(default) as f32
    }

    fn min_kept(&self, target: &Target) -> usize {
        let ranked = match self.form {
            OhemForm::Bpnet | OhemForm::Stdc => target.labels().len(),
            OhemForm::Bisenet | OhemForm::Hrnet => target.counted(),
        };
        let share = |share: f64| (ranked as f64 * share) as usize;
        match (self.min_kept, self.min_kept_share, self.form) {
            (Some(count), ..) => count,
            (None, Some(given), _) => share(given),
            (None, None, OhemForm::Hrnet) => 131_072,
            (None, None, _) => share(1.0 / 16.0),
        }
    }

    /// Which pixels count, and what the sum of their losses is divided by.
    fn choose(&self, surprise: &[f32], target: &Target) -> (Vec<bool>, usize) {
        let min_kept = self.min_kept(target);
        let labeled = |pixel: usize| target.labels()[pixel] != IGNORE_LABEL;
        let chosen = |rule: &dyn Fn(usize) -> bool| -> Vec<bool> {
            (0..surprise.len()).map(|pixel| labeled(pixel) && rule(pixel)).collect()
        };
        let kept = match self.form {
            OhemForm::Bpnet if min_kept > target.counted() || min_kept == 0 => chosen(&|_| true),
            OhemForm::Bpnet => {
                let probability =
                    |pixel: usize| if labeled(pixel) { (-surprise[pixel]).exp() } else { 1.0 };
                let ranked = (0..surprise.len()).map(probability).collect();
                let threshold = self.threshold().max(ranked_at(ranked, min_kept - 1));
                chosen(&|pixel| probability(pixel) <= threshold)
            }
            OhemForm::Hrnet => {
                let probability = |pixel: usize| (-surprise[pixel]).exp();
                let ranked: Vec<f32> =
                    (0..surprise.len()).filter(|pixel| labeled(*pixel)).map(probability).collect();
                let Some(last) = ranked.len().checked_sub(1) else {
                    return (vec![false; surprise.len()], 0);
                };
                let threshold = self.threshold().max(ranked_at(ranked, min_kept.max(1).min(last)));
                chosen(&|pixel| probability(pixel) < threshold)
            }
            OhemForm::Bisenet | OhemForm::Stdc => {
                let loss = |pixel: usize| if labeled(pixel) { surprise[pixel] } else { 0.0 };
                let threshold = -self.threshold().ln();
                let hard = chosen(&|pixel| loss(pixel) > threshold);
                let count = hard.iter().filter(|hard| **hard).count();
                // STDC asks whether the loss after the `min_kept` largest is above the threshold,
                // which is whether more than `min_kept` are.
                let enough = match self.form {
                    OhemForm::Stdc => count > min_kept,
                    _ => count >= min_kept,
                };
                if !enough {
                    let losses: Vec<f32> = (0..surprise.len()).map(loss).collect();
                    let largest = largest(&losses, min_kept);
                    let mut kept = vec![false; surprise.len()];
                    for &pixel in &largest {
                        kept[pixel] = labeled(pixel);
                    }
                    return (kept, largest.len());
                }
                hard
            }
        };
        let count = kept.iter().filter(|kept| **kept).count();
        (kept, count)
    }
}

/// The mean cross entropy of the pixels that count; zero if none does.
///
/// Pixels are ranked in memory; the choice has no gradient.
///
/// # Shapes
/// - `log_probabilities`: `[batch, class, height, width]`
/// - output: `[1]`
pub fn ohem_cross_entropy(
    log_probabilities: Tensor<4>,
    target: &Target,
    config: &OhemConfig,
) -> Tensor<1> {
    let surprise = target.surprise(log_probabilities);
    let values: Vec<f32> = surprise.clone().detach().into_data().iter::<f32>().collect();
    let (kept, count) = config.choose(&values, target);
    let weight = |pixel: usize, label: u8| {
        if kept[pixel] { weight(&config.class_weights, label) } else { 0.0 }
    };
    let divisor = match config.form {
        OhemForm::Bpnet => {
            let labels = target.labels().iter().enumerate();
            labels.map(|(pixel, label)| weight(pixel, *label)).sum()
        }
        _ => count as f64,
    };
    let weights = target.pixels(|pixel, label| weight(pixel, label) as f32);
    // Where nothing counts, the sum is zero as well.
    total(surprise * weights).div_scalar(if divisor > 0.0 { divisor } else { 1.0 })
}

/// What stands at `rank`, from 0, when values are sorted upwards; the last if there are fewer.
fn ranked_at(mut values: Vec<f32>, rank: usize) -> f32 {
    let rank = rank.min(values.len() - 1);
    *values.select_nth_unstable_by(rank, f32::total_cmp).1
}

/// The places of the `count` largest losses, of all if there are fewer; of equal ones the first.
fn largest(losses: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..losses.len()).collect();
    if count < places.len() {
        places
            .select_nth_unstable_by(count, |a, b| losses[*b].total_cmp(&losses[*a]).then(a.cmp(b)));
        places.truncate(count);
    }
    places
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::OhemForm::{Bisenet, Bpnet, Hrnet, Stdc};
    use super::*;

    const NONE: u8 = IGNORE_LABEL;

    /// Two classes, four pixels; the first has the probabilities 0.9, 0.6, 0.2, 0.1.
    fn loss(form: OhemForm, threshold: f64, min_kept: usize, labels: [u8; 4]) -> f32 {
        weighted(form, threshold, min_kept, labels, &[])
    }

    fn weighted(
        form: OhemForm,
        threshold: f64,
        min_kept: usize,
        labels: [u8; 4],
        class_weights: &[f64],
    ) -> f32 {
        let device = Device::flex();
        let classes = [[0.9_f32, 0.6, 0.2, 0.1], [0.1, 0.4, 0.8, 0.9]].map(|p| [p.map(f32::ln)]);
        let target = Target::new(&labels, [1, 1, 4], 2, &device);
        let (threshold, min_kept) = (Some(threshold), Some(min_kept));
        let class_weights = class_weights.to_vec();
        let config = OhemConfig { form, threshold, min_kept, class_weights, min_kept_share: None };
        ohem_cross_entropy(Tensor::from_data([classes], &device), &target, &config).into_scalar()
    }

    fn mean(probabilities: &[f32]) -> f32 {
        -probabilities.iter().map(|p| p.ln()).sum::<f32>() / probabilities.len() as f32
    }

    #[track_caller]
    fn same(loss: f32, probabilities: &[f32]) {
        assert!((loss - mean(probabilities)).abs() < 1e-5, "{loss}");
    }

    #[test]
    fn pixels_below_the_threshold_count() {
        for form in [Bpnet, Bisenet, Stdc, Hrnet] {
            same(loss(form, 0.7, 1, [0; 4]), &[0.6, 0.2, 0.1]);
        }
    }

    #[test]
    fn the_hardest_count_whatever_the_threshold() {
        for form in [Bpnet, Bisenet, Stdc] {
            same(loss(form, 0.05, 2, [0; 4]), &[0.2, 0.1]);
        }
        // HRNet's is as many as are strictly below the one after them.
        same(loss(Hrnet, 0.05, 2, [0; 4]), &[0.2, 0.1]);
        same(loss(Hrnet, 0.05, 9, [0; 4]), &[0.6, 0.2, 0.1]);
    }

    #[test]
    fn ignored_pixels_never_count() {
        for form in [Bpnet, Bisenet, Stdc] {
            same(loss(form, 0.7, 1, [0, NONE, 0, NONE]), &[0.2]);
        }
        same(loss(Hrnet, 0.7, 1, [0, NONE, 0, NONE]), &[0.2]);
    }

    #[test]
    fn where_few_are_labeled_the_forms_part() {
        let labels = [0, 0, NONE, NONE];
        // All that are labeled.
        same(loss(Bpnet, 0.1, 3, labels), &[0.9, 0.6]);
        // Ignored pixels fill up the ranking, and the mean, with no loss.
        same(loss(Bisenet, 0.1, 3, labels), &[0.9, 0.6, 1.0]);
        same(loss(Stdc, 0.1, 3, labels), &[0.9, 0.6, 1.0]);
        // The easiest is not below itself.
        same(loss(Hrnet, 0.1, 3, labels), &[0.6]);
    }

    #[test]
    fn stdc_needs_one_more_above_the_threshold_than_it_keeps() {
        same(loss(Stdc, 0.3, 2, [0; 4]), &[0.2, 0.1]);
        same(loss(Stdc, 0.3, 1, [0; 4]), &[0.2, 0.1]);
        same(loss(Stdc, 0.15, 1, [0; 4]), &[0.1]);
        same(loss(Stdc, 0.15, 99, [0; 4]), &[0.9, 0.6, 0.2, 0.1]);
    }

    #[test]
    fn without_labels_the_loss_is_zero() {
        for form in [Bpnet, Bisenet, Stdc, Hrnet] {
            assert_eq!(loss(form, 0.7, 1, [NONE; 4]), 0.0);
            assert_eq!(loss(form, 0.7, 3, [NONE; 4]), 0.0);
        }
    }

    #[test]
    fn weights_of_classes_weigh_the_pixels_that_count() {
        // Three count: 0.9 and 0.2 of class 0, and 0.9 of class 1.
        let labels = [0, NONE, 0, 1];
        let (first, second) = (-2.0 * 0.2_f32.ln(), -5.0 * 0.9_f32.ln());
        let bpnet = weighted(Bpnet, 0.95, 1, labels, &[2.0, 5.0]);
        let third = -2.0 * 0.9_f32.ln();
        assert!((bpnet - (first + second + third) / 9.0).abs() < 1e-5, "{bpnet}");
        let hrnet = weighted(Hrnet, 0.95, 1, labels, &[2.0, 5.0]);
        assert!((hrnet - (first + second + third) / 3.0).abs() < 1e-5, "{hrnet}");
        assert_eq!(weighted(Bpnet, 0.95, 1, labels, &[0.0, 0.0]), 0.0);
    }

    #[test]
    fn a_share_is_of_the_pixels_that_the_form_ranks() {
        let labels: Vec<u8> = (0..64).map(|pixel| if pixel < 32 { 0 } else { NONE }).collect();
        let target = Target::new(&labels, [1, 8, 8], 2, &Device::flex());
        let of = |form| OhemConfig::of(form).min_kept(&target);
        assert_eq!([Bpnet, Bisenet, Stdc, Hrnet].map(of), [4, 2, 4, 131_072]);
        let half = |form| {
            let min_kept_share = Some(0.5);
            OhemConfig { min_kept_share, ..OhemConfig::of(form) }.min_kept(&target)
        };
        assert_eq!([Bpnet, Bisenet, Stdc, Hrnet].map(half), [32, 16, 32, 16]);
    }
}
