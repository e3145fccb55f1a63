//! What the levels of Specialize-and-Fuse learn.
//!
//! Hsiao, Sun, Chen, Sun. ICCV 2021. arXiv:2108.01866, section 3.2 and equation 1. A cell is of one
//! class if all of its labeled pixels are; ignored pixels fit any. A cell without a labeled pixel is
//! not learned, and the class of a mixed cell neither.

use burn::tensor::activation::{log_sigmoid, log_softmax, sigmoid};
use burn::tensor::{Bool, Int, Tensor};

use super::IGNORE_LABEL;
use super::target::total;
use crate::networks::PyramidOutput;
use crate::networks::specialize_fuse::Supervision;

/// Per level what it should answer; [`IGNORE_LABEL`] where that does not matter.
#[derive(Debug, Clone)]
pub struct PyramidTargets {
    /// Per level the class of each cell, `[batch, height, width]`, the coarsest level first.
    pub semantic: Vec<Tensor<3, Int>>,
    /// Per level but the finest whether each cell is of one class: 1 or 0.
    pub unity: Vec<Tensor<3, Int>>,
}

/// The loss in its two parts.
#[derive(Debug, Clone)]
pub struct PyramidLoss {
    /// The mean over levels of the cross-entropy of classes, `[1]`.
    pub semantic: Tensor<1>,
    /// The mean over levels but the finest of the cross-entropy of unity, `[1]`; none without unity.
    pub unity: Option<Tensor<1>>,
}

impl PyramidTargets {
    /// What levels with unity should answer, whatever others do.
    ///
    /// # Shapes
    /// - `labels`: `[batch, height, width]`; the finest of `levels` has a quarter of its size, each
    ///   other half the size of the next
    pub fn new(labels: &Tensor<3, Int>, levels: usize) -> Self {
        let mut targets = Self { semantic: Vec::new(), unity: Vec::new() };
        for level in 1..levels {
            let (class, unity) = cells(labels, 4 << (levels - level));
            targets.semantic.push(class);
            targets.unity.push(unity);
        }
        targets.semantic.push(first_of_cells(labels, 4));
        targets
    }

    /// What levels without unity should answer: the label of the first pixel of each cell.
    ///
    /// # Shapes
    /// as of [`new`](Self::new)
    pub fn sampled(labels: &Tensor<3, Int>, levels: usize) -> Self {
        let sample = |level: usize| first_of_cells(labels, 4 << (levels - level));
        Self { semantic: (1..=levels).map(sample).collect(), unity: Vec::new() }
    }

    /// Leaves out the cells that a coarser level decides: its cell is of one class and, where
    /// `sure` is given, there also predicted so.
    ///
    /// # Shapes
    /// - `sure`: per level but the finest `[batch, height, width]`
    #[must_use]
    pub fn relabeled(self, sure: Option<&[Tensor<3, Bool>]>) -> Self {
        let Self { mut semantic, mut unity } = self;
        let mut done: Option<Tensor<3, Bool>> = None; // cells that are decided, at the level before
        for level in 0..semantic.len() {
            // Before its unity is changed; where a coarser cell is done, so are all within.
            let decides = unity.get(level).map(|unity| {
                let decides = unity.clone().equal_elem(1);
                match sure {
                    Some(sure) => decides.bool_and(sure[level].clone()),
                    None => decides,
                }
            });
            let before = done.take().map(twice);
            if let Some(before) = &before {
                let ignore = |target: &mut Tensor<3, Int>| {
                    *target = target.clone().mask_fill(before.clone(), IGNORE_LABEL);
                };
                ignore(&mut semantic[level]);
                unity.get_mut(level).map(ignore);
            }
            done = match (before, decides) {
                (Some(before), Some(decides)) => Some(before.bool_or(decides)),
                (None, decides) => decides,
                (Some(_), None) => None, // the finest level
            };
        }
        Self { semantic, unity }
    }

    /// What the levels of `output` should answer.
    ///
    /// # Shapes
    /// - `labels`: `[batch, height, width]`, taken at the nearest pixel where four times the finest
    ///   level is of another size
    pub fn of(output: &PyramidOutput, labels: &Tensor<3, Int>) -> Self {
        let levels = output.semantic.len();
        let [_, _, height, width] = output.semantic[levels - 1].dims();
        let labels = nearest(labels, [4 * height, 4 * width]);
        let targets = || Self::new(&labels, levels);
        match output.supervision {
            Supervision::Plain | Supervision::Auxiliary => Self::sampled(&labels, levels),
            Supervision::Raw => targets(),
            Supervision::Gt => targets().relabeled(None),
            Supervision::Tp => {
                let sure = output.unity.iter().map(|unity| {
                    let probability = sigmoid(unity.clone().detach());
                    probability.greater_equal_elem(output.threshold).squeeze_dim::<3>(1)
                });
                targets().relabeled(Some(&sure.collect::<Vec<_>>()))
            }
        }
    }
}

impl PyramidLoss {
    /// The loss of what a pyramid answers.
    ///
    /// # Shapes
    /// - `labels`: `[batch, height, width]`, classes or [`IGNORE_LABEL`], of the size of the input
    pub fn new(output: &PyramidOutput, labels: &Tensor<3, Int>) -> Self {
        let targets = PyramidTargets::of(output, labels);
        let semantic = output.semantic.iter().zip(targets.semantic);
        let unity = output.unity.iter().zip(targets.unity);
        Self {
            semantic: mean(semantic.map(|(logits, class)| cross_entropy(logits, class)))
                .expect("a pyramid has levels"),
            unity: mean(unity.map(|(logits, unity)| binary_cross_entropy(logits, unity))),
        }
    }

    /// The loss that `output` is trained by.
    ///
    /// # Shapes
    /// - `labels`: `[batch, height, width]`, classes or [`IGNORE_LABEL`], of the size of the input
    /// - output: `[1]`
    pub fn forward(output: &PyramidOutput, labels: &Tensor<3, Int>) -> Tensor<1> {
        let Self { semantic, unity } = Self::new(output, labels);
        match unity {
            Some(unity) => semantic + unity,
            None => semantic,
        }
    }
}

/// Of each cell of `size` pixels a side its class, and whether it is of one.
fn cells(labels: &Tensor<3, Int>, size: usize) -> (Tensor<3, Int>, Tensor<3, Int>) {
    let ignored = labels.clone().equal_elem(IGNORE_LABEL);
    let reshaped = |labels: Tensor<3, Int>| {
        let [batch, height, width] = labels.dims();
        labels.reshape([batch, height / size, size, width / size, size])
    };
    let squeezed = |cells: Tensor<5, Int>| cells.squeeze_dim::<4>(4).squeeze_dim::<3>(2);
    // Ignored pixels have the largest label of all, which no labeled one has.
    let lowest = squeezed(reshaped(labels.clone()).min_dim(4).min_dim(2));
    let highest = squeezed(reshaped(labels.clone().mask_fill(ignored, -1)).max_dim(4).max_dim(2));
    let mixed = lowest.clone().not_equal(highest.clone());
    let unlabeled = highest.lower_elem(0);
    let unity = mixed.clone().bool_not().int().mask_fill(unlabeled.clone(), IGNORE_LABEL);
    (lowest.mask_fill(mixed.bool_or(unlabeled), IGNORE_LABEL), unity)
}

/// The label of the first pixel of each cell of `size` pixels a side.
fn first_of_cells(labels: &Tensor<3, Int>, size: usize) -> Tensor<3, Int> {
    let [_, height, width] = labels.dims();
    nearest(labels, [height / size, width / size])
}

/// The labels of the nearest pixels.
fn nearest(labels: &Tensor<3, Int>, size: [usize; 2]) -> Tensor<3, Int> {
    let [_, height, width] = labels.dims();
    let [rows, columns] = [(height, size[0]), (width, size[1])].map(|(from, to)| {
        let indices: Vec<i32> = (0..to).map(|index| (index * from / to) as i32).collect();
        Tensor::<1, Int>::from_data(indices.as_slice(), &labels.device())
    });
    if size == [height, width] {
        return labels.clone();
    }
    labels.clone().select(1, rows).select(2, columns)
}

/// Each cell as four.
fn twice(cells: Tensor<3, Bool>) -> Tensor<3, Bool> {
    let [batch, height, width] = cells.dims();
    let cells = cells.reshape([batch, height, 1, width, 1]).expand([batch, height, 2, width, 2]);
    cells.reshape([batch, 2 * height, 2 * width])
}

/// The mean over the cells that count, zero if there are none.
fn cross_entropy(logits: &Tensor<4>, class: Tensor<3, Int>) -> Tensor<1> {
    let class = class.unsqueeze_dim::<4>(1);
    let ignored = class.clone().equal_elem(IGNORE_LABEL);
    let loss = -log_softmax(logits.clone(), 1).gather(1, class.mask_fill(ignored.clone(), 0));
    mean_where(loss, ignored.bool_not())
}

/// The same of two classes with a single logit.
fn binary_cross_entropy(logits: &Tensor<4>, unity: Tensor<3, Int>) -> Tensor<1> {
    let unity = unity.unsqueeze_dim::<4>(1);
    let ignored = unity.clone().equal_elem(IGNORE_LABEL);
    let mixed = unity.equal_elem(0);
    // The logit of what the cell is.
    let logits = logits.clone().mask_where(mixed, -logits.clone());
    mean_where(-log_sigmoid(logits), ignored.bool_not())
}

fn mean_where(loss: Tensor<4>, counted: Tensor<4, Bool>) -> Tensor<1> {
    let counted = counted.float();
    let count = counted.clone().sum().clamp_min(1.0);
    total(loss * counted) / count
}

fn mean(losses: impl ExactSizeIterator<Item = Tensor<1>>) -> Option<Tensor<1>> {
    let count = losses.len() as f64;
    losses.reduce(|sum, loss| sum + loss).map(|sum| sum / count)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    const NONE: i32 = IGNORE_LABEL as i32;

    fn labels(values: Vec<i32>, [height, width]: [usize; 2]) -> Tensor<3, Int> {
        Tensor::from_data(TensorData::new(values, [1, height, width]), &Device::flex())
    }

    fn values(labels: &Tensor<3, Int>) -> Vec<i32> {
        labels.to_data().iter::<i32>().collect()
    }

    /// 8 x 16 pixels for two levels: cells of 8 and of 4.
    fn example() -> Tensor<3, Int> {
        let mut pixels = vec![0; 8 * 16];
        for y in 0..8 {
            for x in 0..16 {
                // Left: class 1 with ignored pixels. Right: class 2 over class 3.
                pixels[y * 16 + x] = if x < 8 { 1 } else { 2 + i32::from(y > 3) };
            }
        }
        pixels[0] = NONE;
        labels(pixels, [8, 16])
    }

    #[test]
    fn ignored_pixels_fit_any_class() {
        let targets = PyramidTargets::new(&example(), 2);
        assert_eq!(values(&targets.semantic[0]), [1, NONE]);
        assert_eq!(values(&targets.unity[0]), [1, 0]);
        // The finest level takes the first pixel, which is ignored in the first cell.
        assert_eq!(values(&targets.semantic[1]), [NONE, 1, 2, 2, 1, 1, 3, 3]);
        assert_eq!(targets.unity.len(), 1);
    }

    #[test]
    fn a_cell_without_labels_is_not_learned() {
        let targets = PyramidTargets::new(&labels(vec![NONE; 64], [8, 8]), 2);
        assert_eq!(values(&targets.semantic[0]), [NONE]);
        assert_eq!(values(&targets.unity[0]), [NONE]);
    }

    #[test]
    fn what_a_coarser_level_decides_is_left_out() {
        let targets = PyramidTargets::new(&example(), 2).relabeled(None);
        assert_eq!(values(&targets.semantic[1]), [NONE, NONE, 2, 2, NONE, NONE, 3, 3]);
        let unsure = Tensor::<3, Int>::zeros([1, 1, 2], &Device::flex()).equal_elem(1);
        let targets = PyramidTargets::new(&example(), 2).relabeled(Some(&[unsure]));
        assert_eq!(values(&targets.semantic[1]), [NONE, 1, 2, 2, 1, 1, 3, 3]);
    }

    fn pyramid(supervision: Supervision, device: &Device) -> PyramidOutput {
        PyramidOutput {
            semantic: vec![
                Tensor::zeros([1, 4, 1, 2], device),
                Tensor::zeros([1, 4, 2, 4], device),
            ],
            unity: match supervision {
                Supervision::Auxiliary => Vec::new(),
                _ => vec![Tensor::zeros([1, 1, 1, 2], device)],
            },
            supervision,
            threshold: 0.5,
        }
    }

    #[test]
    fn who_knows_nothing_loses_the_logarithm_of_the_choices() {
        let device = Device::flex();
        let loss = |supervision| {
            let output = pyramid(supervision, &device);
            PyramidLoss::forward(&output, &example()).into_scalar::<f32>()
        };
        let (classes, unity) = (4.0_f32.ln(), 2.0_f32.ln());
        for supervision in [Supervision::Raw, Supervision::Gt, Supervision::Tp] {
            assert!((loss(supervision) - classes - unity).abs() < 1e-6);
        }
        assert!((loss(Supervision::Auxiliary) - classes).abs() < 1e-6);
    }

    #[test]
    fn labels_of_another_size_are_taken_at_the_nearest_pixel() {
        let targets = PyramidTargets::of(&pyramid(Supervision::Auxiliary, &Device::flex()), &{
            labels(vec![0, 1, 2, 3, 1, NONE], [2, 3])
        });
        assert_eq!(values(&targets.semantic[0]), [0, 1]);
        assert_eq!(values(&targets.semantic[1]), [0, 0, 1, 2, 3, 3, 1, NONE]);
    }

    #[test]
    fn a_batch_that_is_ignored_altogether_has_neither_loss_nor_gradient() {
        let device = Device::flex().autodiff();
        let mut output = pyramid(Supervision::Tp, &device);
        let logits = output.semantic[1].clone().require_grad();
        output.semantic[1] = logits.clone();
        let ignored = Tensor::from_data(TensorData::new(vec![NONE; 128], [1, 8, 16]), &device);
        let loss = PyramidLoss::forward(&output, &ignored);
        let gradient = logits.grad(&loss.backward()).unwrap().into_data();
        assert_eq!(loss.into_scalar::<f32>(), 0.0);
        assert!(gradient.iter::<f32>().all(|value| value == 0.0));
    }
}
