//! Cross entropy over the pixels that are predicted worst.
//!
//! Shrivastava, Gupta, Girshick. Training Region-based Object Detectors with Online Hard Example
//! Mining. CVPR 2016; here in the form of BPNet's code.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Which pixels count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ohem {
    /// Pixels whose class is given at most this probability always count.
    pub threshold: f32,
    /// At least so many pixels count. If fewer are labeled, all of those do.
    pub min_kept: usize,
    /// The label that stands for none.
    pub ignored: u8,
}

impl Ohem {
    /// BPNet's: probabilities up to 0.7, and at least one pixel in 16 of the batch.
    pub fn bpnet([batch, height, width]: [usize; 3]) -> Self {
        Self { threshold: 0.7, min_kept: batch * height * width / 16, ignored: u8::MAX }
    }
}

/// The mean cross entropy of the pixels that count; zero if none is labeled.
///
/// As in BPNet's code, ignored pixels take part in the ranking that keeps `min_kept`, with a
/// probability of 1.
///
/// # Shapes
/// - `logits`: `[batch, class, height, width]`
/// - `labels`: `[batch, height, width]`, each below the number of classes or ignored
/// - output: `[1]`
pub fn ohem_cross_entropy(logits: Tensor<4>, labels: Tensor<3, Int>, ohem: &Ohem) -> Tensor<1> {
    let [batch, _, height, width] = logits.dims();
    assert_eq!(labels.dims(), [batch, height, width], "labels are as large as logits");
    let labels = labels.reshape([batch, 1, height, width]);
    let ignored = labels.clone().equal_elem(ohem.ignored);
    let class = labels.mask_fill(ignored.clone(), 0);
    let loss = -log_softmax(logits, 1).gather(1, class); // [batch, 1, height, width]

    let probability = (-loss.clone().detach()).exp().mask_fill(ignored.clone(), 1.0);
    let valid = ignored.bool_not();
    let num_valid = valid.clone().int().sum().into_scalar::<i64>() as usize;
    let counted = if ohem.min_kept > num_valid {
        valid
    } else {
        let threshold = threshold(&probability, ohem);
        valid.bool_and(probability.lower_equal_elem(threshold))
    };
    let counted = counted.float();
    let count = counted.clone().sum().clamp_min(1.0);
    (loss * counted).sum() / count
}

/// The probability up to which pixels count.
fn threshold(probability: &Tensor<4>, ohem: &Ohem) -> f32 {
    let mut ranked: Vec<f32> = probability.to_data().iter::<f32>().collect();
    let rank = ohem.min_kept.min(ranked.len());
    if rank == 0 {
        return ohem.threshold;
    }
    let (_, last_kept, _) = ranked.select_nth_unstable_by(rank - 1, f32::total_cmp);
    ohem.threshold.max(*last_kept)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Two classes, four pixels; the first has the probabilities 0.9, 0.6, 0.2, 0.1.
    fn pixels(device: &Device) -> Tensor<4> {
        let odds = [0.9_f32, 0.6, 0.2, 0.1].map(|p| (p / (1.0 - p)).ln());
        Tensor::from_data([[[odds], [[0.0; 4]]]], device)
    }

    fn loss(threshold: f32, min_kept: usize, labels: [i32; 4]) -> f32 {
        let device = Device::flex();
        let labels = Tensor::<3, Int>::from_data([[labels]], &device);
        let ohem = Ohem { threshold, min_kept, ignored: 255 };
        ohem_cross_entropy(pixels(&device), labels, &ohem).into_scalar()
    }

    fn mean(probabilities: &[f32]) -> f32 {
        -probabilities.iter().map(|p| p.ln()).sum::<f32>() / probabilities.len() as f32
    }

    #[test]
    fn pixels_below_the_threshold_count() {
        assert!((loss(0.7, 1, [0; 4]) - mean(&[0.6, 0.2, 0.1])).abs() < 1e-5);
    }

    #[test]
    fn the_worst_count_whatever_the_threshold() {
        assert!((loss(0.05, 2, [0; 4]) - mean(&[0.2, 0.1])).abs() < 1e-5);
    }

    #[test]
    fn ignored_pixels_never_count() {
        assert!((loss(0.7, 1, [0, 255, 0, 255]) - mean(&[0.2])).abs() < 1e-5);
    }

    #[test]
    fn all_labeled_pixels_count_if_they_are_too_few() {
        assert!((loss(0.1, 3, [0, 0, 255, 255]) - mean(&[0.9, 0.6])).abs() < 1e-5);
    }

    #[test]
    fn without_labels_the_loss_is_zero() {
        assert_eq!(loss(0.7, 0, [255; 4]), 0.0);
        assert_eq!(loss(0.7, 3, [255; 4]), 0.0);
    }
}
