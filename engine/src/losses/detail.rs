//! Detail guidance: where the labels have borders, and how far a prediction of that is off.
//!
//! Fan, Lai, Huang, Wei, Chai, Luo, Wei. Rethinking BiSeNet For Real-time Semantic Segmentation
//! (STDC). CVPR 2021. arXiv:2104.13188, section 3.3; in the form of the code its authors released.

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::target::total;
use crate::nn::interpolate_bilinear;

/// What the overlap is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiceDenominator {
    /// The sums of predictions and targets: the released code, with which the paper's numbers were
    /// reached, and so the default.
    #[default]
    Sums,
    /// The sums of their squares: equation 3 of the paper.
    Squares,
}

/// The two terms of the detail loss, each `[1]`; both count for one.
#[derive(Debug, Clone)]
pub struct DetailTerms {
    /// Mean binary cross entropy over all pixels.
    pub cross_entropy: Tensor<1>,
    /// One minus the soft Dice of each image, with one added above and below; mean over the batch.
    pub dice: Tensor<1>,
}

/// Where the labels have borders: `[batch, 1, height, width]`, one at a border and zero elsewhere.
///
/// The reference fuses the maps at strides of 1, 2 and 4 by weights of 0.6, 0.3 and 0.1 and takes
/// what exceeds 0.1. So a border at stride 1 or 2 is enough, and one at stride 4 alone, which
/// reaches 0.1 and does not exceed it, never is: that map is not computed here. The weights are
/// parameters there, but no gradient reaches them.
///
/// The label that stands for none takes part as the number it is, as in the reference: ignored
/// regions have borders too.
///
/// # Shapes
/// - `labels`: `[batch, height, width]`, row-major
pub fn detail_target(labels: &[u8], size: [usize; 3], device: &Device) -> Tensor<4> {
    let [batch, height, width] = size;
    let mut borders = borders(labels, size, 1);
    let coarse = self::borders(labels, size, 2);
    let [rows, columns] = [height, width].map(|length| length.div_ceil(2));
    for (index, value) in borders.iter_mut().enumerate() {
        let (image, y, x) = (index / (height * width), index / width % height, index % width);
        // The nearest pixel as elsewhere: floor(i * in / out).
        let (row, column) = (y * rows / height, x * columns / width);
        *value |= coarse[(image * rows + row) * columns + column];
    }
    let values: Vec<f32> = borders.into_iter().map(|border| f32::from(u8::from(border))).collect();
    Tensor::from_data(TensorData::new(values, [batch, 1, height, width]), device)
}

/// Where the Laplacian of the labels is positive, at every `stride`-th pixel: a pixel whose label
/// is above the mean of its neighbors'. Beyond the image lie zeros.
///
/// # Shapes
/// - `labels`: `[batch, height, width]`, row-major
/// - output: `[batch, height / stride, width / stride]`, rounded up
pub fn borders(labels: &[u8], [batch, height, width]: [usize; 3], stride: usize) -> Vec<bool> {
    assert_eq!(labels.len(), batch * height * width, "one label per pixel");
    let mut found = Vec::with_capacity(batch * height.div_ceil(stride) * width.div_ceil(stride));
    for image in labels.chunks_exact((height * width).max(1)) {
        for y in (0..height).step_by(stride) {
            for x in (0..width).step_by(stride) {
                let rows = y.saturating_sub(1)..(y + 2).min(height);
                let columns = x.saturating_sub(1)..(x + 2).min(width);
                let window = rows.flat_map(|row| &image[row * width..][columns.clone()]);
                let sum: u32 = window.copied().map(u32::from).sum();
                found.push(9 * u32::from(image[y * width + x]) > sum);
            }
        }
    }
    found
}

/// How far `logits` are from `target`.
///
/// # Shapes
/// - `logits`: `[batch, 1, _, _]`, brought to the size of the target bilinearly
/// - `target`: `[batch, 1, height, width]`, of zeros and ones
pub fn detail_loss(
    logits: Tensor<4>,
    target: Tensor<4>,
    denominator: DiceDenominator,
) -> DetailTerms {
    let [_, _, height, width] = target.dims();
    let logits = interpolate_bilinear(logits, [height, width], true);
    // -g ln p - (1 - g) ln(1 - p), and ln(1 - p) = ln p - logit
    let log = log_sigmoid(logits.clone());
    let cross_entropy =
        (target.clone() - 1.0) * (log.clone() - logits) - target.clone() * log.clone();
    let cross_entropy = total(cross_entropy).div_scalar(target.shape().num_elements() as f64);
    let probability = log.exp();
    let per_image = |map: Tensor<4>| map.sum_dim(3).sum_dim(2); // [batch, 1, 1, 1]
    let overlap = per_image(probability.clone() * target.clone());
    let sizes = match denominator {
        DiceDenominator::Sums => per_image(probability) + per_image(target),
        DiceDenominator::Squares => {
            per_image(probability.clone() * probability) + per_image(target.clone() * target)
        }
    };
    let dice = ((overlap * 2.0 + 1.0) / (sizes + 1.0)).mean().neg() + 1.0;
    DetailTerms { cross_entropy, dice }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_is_where_a_label_exceeds_its_neighborhood() {
        // The second row's 2 exceeds the zeros around it; a zero never exceeds anything.
        let labels = [0, 0, 0, 0, 2, 0, 0, 0, 0];
        let found = borders(&labels, [1, 3, 3], 1);
        assert_eq!(found, [false, false, false, false, true, false, false, false, false]);
        assert_eq!(borders(&labels, [1, 3, 3], 2), [false; 4]);
    }

    #[test]
    fn beyond_the_image_lie_zeros() {
        let found = borders(&[3; 12], [1, 3, 4], 1);
        let inside = [5, 6];
        for (index, border) in found.into_iter().enumerate() {
            assert_eq!(border, !inside.contains(&index), "{index}");
        }
    }

    #[test]
    fn each_image_of_a_batch_has_borders_of_its_own() {
        assert_eq!(borders(&[0, 0, 5, 5], [2, 1, 2], 1), [false, false, true, true]);
    }

    #[test]
    fn a_coarse_border_is_spread_over_the_pixels_that_it_stands_for() {
        // Row 2 of a column of ones is inside at stride 1, and so at stride 2; row 0 is a border.
        let target = detail_target(&[1; 25], [1, 5, 5], &Device::flex());
        let values: Vec<f32> = target.into_data().try_to_vec().unwrap();
        assert_eq!(values[2 * 5 + 2], 0.0);
        // Pixel (1, 1) is inside, but stands for the corner at stride 2.
        assert_eq!(values[5 + 1], 1.0);
    }

    fn terms(denominator: DiceDenominator) -> [f32; 2] {
        // p = 0.75 and 0.5, of which the first is a border.
        let device = Device::flex();
        let logits = Tensor::<4>::from_data([[[[3.0_f32.ln(), 0.0]]]], &device);
        let target = Tensor::from_data([[[[1.0, 0.0]]]], &device);
        let terms = detail_loss(logits, target, denominator);
        [terms.cross_entropy.into_scalar(), terms.dice.into_scalar()]
    }

    #[test]
    fn both_denominators_are_those_of_their_formula() {
        let [cross_entropy, dice] = terms(DiceDenominator::Sums);
        assert!((cross_entropy + f32::midpoint(0.75_f32.ln(), 0.5_f32.ln())).abs() < 1e-6);
        assert!((dice - (1.0 - 2.5 / (1.25 + 1.0 + 1.0))).abs() < 1e-6, "{dice}");
        let [_, dice] = terms(DiceDenominator::Squares);
        assert!((dice - (1.0 - 2.5 / (0.5625 + 0.25 + 1.0 + 1.0))).abs() < 1e-6, "{dice}");
    }

    #[test]
    fn a_confident_logit_costs_what_it_is_wrong_by_and_no_infinity() {
        let device = Device::flex();
        let logits = Tensor::<4>::from_data([[[[200.0_f32, -200.0]]]], &device);
        let loss = |target: [f32; 2]| -> f32 {
            let target = Tensor::from_data([[[target]]], &device);
            detail_loss(logits.clone(), target, DiceDenominator::Sums).cross_entropy.into_scalar()
        };
        assert!(loss([1.0, 0.0]).abs() < 1e-6);
        assert!((loss([0.0, 1.0]) - 200.0).abs() < 1e-3);
    }
}
