//! The unity head, which says of each cell whether its pixels are of one class, and what becomes of
//! the levels with it.

use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};

use super::semantic::LEVELS;
use crate::networks::Observe;
use crate::networks::blocks::{ConvBnRelu, size_of};
use crate::nn::{Conv2d, Conv2dConfig};

/// Per level but the finest, the logit that a cell is of one class.
#[derive(Module, Debug)]
pub struct UnityHead {
    reduce: ConvBnRelu,
    preds: Vec<Conv2d>,
}

impl UnityHead {
    /// A head for a representation of `channels`, with `middle` channels before it predicts.
    pub fn new(channels: usize, middle: usize, device: &Device) -> Self {
        let pred = |level: usize| {
            let cell = [1 << (LEVELS - level); 2];
            Conv2dConfig::new([middle, 1], cell).with_stride(cell).init(device)
        };
        Self {
            reduce: ConvBnRelu::new(channels, middle, 1, device),
            preds: (1..LEVELS).map(pred).collect(),
        }
    }

    /// # Shapes
    /// - `features`: `[batch, channels, height, width]`, multiples of eight
    /// - output: per level `[batch, 1, height / n, width / n]`, where `n` is 8, 4, 2
    pub fn forward(&self, features: Tensor<4>, observe: Observe<'_>) -> Vec<Tensor<4>> {
        let x = self.reduce.forward(features);
        let logits: Vec<_> = self.preds.iter().map(|layer| layer.forward(x.clone())).collect();
        for (level, map) in logits.iter().enumerate() {
            observe(&format!("unity{}", level + 1), map);
        }
        logits
    }
}

/// Of each pixel what the coarsest level says whose cell is of one class with a probability of at
/// least `threshold`, or else what the finest says.
///
/// # Shapes
/// - `semantic`: per level `[batch, num_classes, height, width]`, the coarsest first
/// - `unity`: per level but the finest `[batch, 1, height, width]`
/// - output: as of the finest level
pub fn fuse(semantic: &[Tensor<4>], unity: &[Tensor<4>], threshold: f64) -> Tensor<4> {
    let (finest, coarser) = semantic.split_last().expect("a pyramid has levels");
    let size = size_of(finest);
    let options = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size);
    let spread = |map: &Tensor<4>| interpolate(map.clone(), options.clone());
    coarser.iter().zip(unity).rev().fold(finest.clone(), |fused, (logits, unity)| {
        let decides = sigmoid(spread(unity)).greater_equal_elem(threshold);
        let decides = decides.expand(fused.dims());
        fused.mask_where(decides, spread(logits))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarsest_level_that_is_sure_decides() {
        let device = Device::flex();
        let level = |value: f32, size| Tensor::<4>::full([1, 1, size, size], value, &device);
        // Sure in the left half of the coarser level, and in one cell of the next.
        let first = Tensor::<4>::from_data([[[[0.0, -9.0], [0.0, -9.0]]]], &device);
        let second = Tensor::<4>::from_data(
            [[[
                [9.0, -1.0, 9.0, -1.0],
                [-1.0, -1.0, -1.0, -1.0],
                [-1.0, -1.0, -1.0, -1.0],
                [-1.0, -1.0, -1.0, -1.0],
            ]]],
            &device,
        );
        let semantic = [level(1.0, 2), level(2.0, 4), level(3.0, 8)];
        let fused = fuse(&semantic, &[first, second], 0.5).into_data();
        let fused = fused.try_to_vec::<f32>().unwrap();
        assert_eq!(fused[..8], [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
        assert_eq!(fused[56..], [1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0]);
    }
}
