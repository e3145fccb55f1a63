//! Losses that extend the Jaccard index (IoU) to errors between 0 and 1.
//!
//! Berman, Rannen Triki, Blaschko. The Lovász-Softmax loss: A tractable surrogate for the
//! optimization of the intersection-over-union measure in neural networks. CVPR 2018, and the
//! code its authors released, whose defaults these are.
//!
//! Errors are sorted in memory. How much each counts follows from the order alone and has no
//! gradient.

use burn::tensor::{Tensor, activation};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::IGNORE_LABEL;
use super::target::{Target, total};

/// Which classes a mean is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classes {
    /// Those that the labels show.
    #[default]
    Present,
    /// All.
    All,
}

/// Settings of [`lovasz_softmax`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LovaszSoftmaxConfig {
    /// Which classes the mean is taken over.
    pub classes: Classes,
    /// Whether each image is measured for itself, rather than the batch as a whole.
    pub per_image: bool,
}

/// Settings of [`lovasz_hinge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LovaszHingeConfig {
    /// Whether each image is measured for itself, rather than the batch as a whole.
    pub per_image: bool,
}

impl Default for LovaszHingeConfig {
    fn default() -> Self {
        Self { per_image: true }
    }
}

/// Mean over the classes of the Lovász extension of 1 − IoU at the errors of their probabilities.
///
/// # Shapes
/// - `log_probabilities`: `[batch, class, height, width]`
/// - output: `[1]`
pub fn lovasz_softmax(
    log_probabilities: Tensor<4>,
    target: &Target,
    config: &LovaszSoftmaxConfig,
) -> Tensor<1> {
    let (labels, num_classes) = (target.labels(), target.num_classes());
    let [_, height, width] = target.size();
    let plane = height * width;
    let probabilities = log_probabilities.exp();
    let values = to_vec(&probabilities);
    let groups = groups(target, config.per_image);
    let class_of = |pixel: usize| usize::from(labels[pixel]);
    let place =
        |pixel: usize, class: usize| (pixel / plane * num_classes + class) * plane + pixel % plane;

    // The error is 1 - p where a pixel is of the class and p elsewhere, so the loss is
    // linear in p: a constant, and a factor of each probability.
    let mut factors = vec![0.0_f32; values.len()];
    let mut constant = 0.0;
    for pixels in &groups {
        let shows = |class: usize| pixels.iter().any(|pixel| class_of(*pixel) == class);
        let classes: Vec<usize> = (0..num_classes)
            .filter(|class| match config.classes {
                Classes::Present => shows(*class),
                Classes::All => !pixels.is_empty(),
            })
            .collect();
        let share = 1.0 / (classes.len().max(1) * groups.len()) as f64;
        let weighed: Vec<_> = classes
            .par_iter()
            .map(|&class| {
                let errors = pixels.iter().map(|&pixel| {
                    let inside = class_of(pixel) == class;
                    let value = values[place(pixel, class)];
                    Error { size: if inside { 1.0 - value } else { value }, inside, pixel }
                });
                jaccard_weights(errors.collect())
            })
            .collect();
        for (class, weighed) in classes.into_iter().zip(weighed) {
            for (Error { inside, pixel, .. }, weight) in weighed {
                let weight = weight * share;
                factors[place(pixel, class)] = if inside { -weight } else { weight } as f32;
                constant += if inside { weight } else { 0.0 };
            }
        }
    }
    total(probabilities * target.tensor(factors)).add_scalar(constant)
}

/// Mean over the images of the Lovász extension of 1 − IoU of class 1, at hinge errors.
///
/// # Shapes
/// - `margin`: the logit of class 1 over that of the background, `[batch, 1, height, width]`
/// - output: `[1]`
pub fn lovasz_hinge(margin: Tensor<4>, target: &Target, config: &LovaszHingeConfig) -> Tensor<1> {
    let values = to_vec(&margin);
    let groups = groups(target, config.per_image);
    let mut weights = vec![0.0_f32; values.len()];
    for pixels in &groups {
        let errors = pixels.iter().map(|&pixel| {
            let inside = target.labels()[pixel] == 1;
            let size = if inside { 1.0 - values[pixel] } else { 1.0 + values[pixel] };
            Error { size, inside, pixel }
        });
        for (Error { pixel, .. }, weight) in jaccard_weights(errors.collect()) {
            weights[pixel] = (weight / groups.len() as f64) as f32;
        }
    }
    let sign = target.pixels(|_, label| if label == 1 { -1.0 } else { 1.0 });
    let errors = activation::relu((margin * sign).add_scalar(1.0));
    total(errors * target.tensor(weights))
}

/// How wrong a pixel is.
struct Error {
    size: f32,
    /// Whether the pixel is of the class.
    inside: bool,
    pixel: usize,
}

/// Errors, the largest first, and what each counts for: how much the Jaccard loss of all the
/// pixels before it grows by this one (algorithm 1 of the paper).
fn jaccard_weights(mut errors: Vec<Error>) -> Vec<(Error, f64)> {
    // Equal errors in the order of their pixels, so that results repeat.
    errors.sort_unstable_by(|a, b| b.size.total_cmp(&a.size).then(a.pixel.cmp(&b.pixel)));
    let size = errors.iter().filter(|error| error.inside).count() as f64;
    let (mut intersection, mut union, mut before) = (size, size, 0.0);
    let weigh = |error: Error| {
        if error.inside {
            intersection -= 1.0;
        } else {
            union += 1.0;
        }
        let loss = 1.0 - intersection / union;
        let weight = loss - before;
        before = loss;
        (error, weight)
    };
    errors.into_iter().map(weigh).collect()
}

/// The pixels that count, of each image or of all.
fn groups(target: &Target, per_image: bool) -> Vec<Vec<usize>> {
    let labels = target.labels();
    let [_, height, width] = target.size();
    let size = if per_image { height * width } else { labels.len() };
    let counted = |(start, labels): (usize, &[u8])| {
        let places = labels.iter().enumerate().filter(|(_, label)| **label != IGNORE_LABEL);
        places.map(|(place, _)| start * size + place).collect()
    };
    labels.chunks(size).enumerate().map(counted).collect()
}

fn to_vec(tensor: &Tensor<4>) -> Vec<f32> {
    tensor.clone().detach().into_data().iter::<f32>().collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Two images of two pixels; probabilities of class 1 are 0.9, 0.4, and 0.2, 0.5. The last
    /// pixel is ignored.
    fn example(labels: [u8; 3]) -> (Tensor<4>, Target) {
        let device = Device::flex();
        let image = |p: [f32; 2]| [[p.map(|p| (1.0 - p).ln())], [p.map(f32::ln)]];
        let [a, b, c] = labels;
        let target = Target::new(&[a, b, c, IGNORE_LABEL], [2, 1, 2], 2, &device);
        (Tensor::from_data([image([0.9, 0.4]), image([0.2, 0.5])], &device), target)
    }

    fn softmax(labels: [u8; 3], classes: Classes, per_image: bool) -> f64 {
        let (log_probabilities, target) = example(labels);
        let config = LovaszSoftmaxConfig { classes, per_image };
        lovasz_softmax(log_probabilities, &target, &config).into_scalar()
    }

    #[test]
    fn errors_count_by_what_they_take_from_the_iou() {
        // Class 1, at the first two pixels: errors 0.6 (inside), 0.2 (outside), 0.1 (inside); the
        // loss grows to 1/2, then 2/3, then 1. Class 0 at the third: 0.6, 0.2, 0.1, of which only
        // the second is inside: 1/2, then 1.
        let class_1 = 0.6 * 0.5 + 0.2 / 6.0 + 0.1 / 3.0;
        let class_0 = 0.6 * 0.5 + 0.2 * 0.5;
        let loss = softmax([1, 1, 0], Classes::Present, false);
        assert!((loss - f64::midpoint(class_0, class_1)).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn each_image_is_measured_for_itself_where_asked_for() {
        // First image: class 1 alone, errors 0.6 and 0.1. Second: class 0 alone, error 0.2.
        let loss = softmax([1, 1, 0], Classes::Present, true);
        assert!((loss - f64::midpoint(0.35, 0.2)).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn a_class_that_is_not_shown_counts_where_all_do() {
        let present = softmax([1, 1, 1], Classes::Present, false);
        let class_1 = (0.8 + 0.6 + 0.1) / 3.0;
        assert!((present - class_1).abs() < 1e-6, "{present}");
        // Of a class without pixels the largest error counts, whole.
        let all = softmax([1, 1, 1], Classes::All, false);
        assert!((all - f64::midpoint(class_1, 0.8)).abs() < 1e-6, "{all}");
    }

    #[test]
    fn hinge_errors_begin_within_the_margin() {
        let device = Device::flex();
        let target = Target::new(&[1, 0, 1, IGNORE_LABEL], [2, 1, 2], 2, &device);
        let margin = Tensor::from_data([[[[0.5, -3.0]]], [[[-1.0, 9.0]]]], &device);
        let config = LovaszHingeConfig::default();
        let loss: f64 = lovasz_hinge(margin, &target, &config).into_scalar();
        // First image: 0.5 counts whole; -3 is beyond the margin. Second: an error of 2.
        assert!((loss - f64::midpoint(0.5, 2.0)).abs() < 1e-6, "{loss}");
    }
}
