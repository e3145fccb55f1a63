//! The blocks that EfficientNet is made of.

use burn::module::{Flag, Module, Param};
use burn::tensor::activation::{sigmoid, silu};
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Distribution, Tensor};

use super::{EfficientnetConfig, depthwise, pointwise};
use crate::networks::blocks::global_average;
use crate::nn::{BatchNorm2d, Conv2d, Conv2dConfig};

/// How a block looks around.
pub(super) struct Shape {
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
}

/// Zeros before and after `size` pixels, so that a kernel of `stride` answers `size / stride` of
/// them, rounded up.
fn same_padding(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let total = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
    (total / 2, total - total / 2)
}

/// `conv`, whose input is padded here if it does not pad by itself.
pub(super) fn convolve(conv: &Conv2d, input: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = input.dims();
    let [_, _, kernel, _] = conv.weight.dims();
    if conv.padding != [0, 0] || kernel == 1 {
        return conv.forward(input);
    }
    let (top, bottom) = same_padding(height, kernel, conv.stride[0]);
    let (left, right) = same_padding(width, kernel, conv.stride[1]);
    conv.forward(input.pad((left, right, top, bottom), PadMode::Constant(0.0)))
}

/// Batch norm and what follows it.
pub(super) fn normalize(norm: &BatchNorm2d, lite: bool, input: Tensor<4>) -> Tensor<4> {
    if lite { norm.forward_relu(input) } else { silu(norm.forward(input)) }
}

/// Passes over a block for some images of a batch while training, and scales it up for the others.
///
/// Huang, Sun, Liu, Sedra, Weinberger. ECCV 2016. arXiv:1603.09382; scaled while training rather
/// than at inference.
#[derive(Module, Debug)]
pub struct StochasticDepth {
    pub(super) share: f64,
    training: Param<Flag>,
}

impl StochasticDepth {
    /// Passes over an image with the probability `share`.
    pub fn new(share: f64) -> Self {
        assert!((0.0..1.0).contains(&share), "a share of 1 leaves nothing, got {share}");
        Self { share, training: Param::from_bool(true) }
    }

    /// # Shapes
    /// - `input`, output: `[batch, channels, height, width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let device = input.device();
        if self.share == 0.0 || !self.training.is_enabled() || !device.is_autodiff() {
            return input;
        }
        let kept = 1.0 - self.share;
        let size = [input.dims()[0], 1, 1, 1];
        let mask = Tensor::random(size, Distribution::Bernoulli(kept), &device);
        input * (mask / kept)
    }
}

/// Squeeze and excitation (Hu, Shen, Sun 2018, arXiv:1709.01507): scales each channel by what all
/// their averages say.
#[derive(Module, Debug)]
pub struct SqueezeExcite {
    reduce: Conv2d,
    expand: Conv2d,
}

impl SqueezeExcite {
    fn new(channels: usize, squeezed: usize, device: &Device) -> Self {
        let conv = |from, to| Conv2dConfig::new([from, to], [1, 1]).init(device);
        Self { reduce: conv(channels, squeezed), expand: conv(squeezed, channels) }
    }

    /// # Shapes
    /// - `input`, output: `[batch, channels, height, width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = global_average(input.clone()); // [batch, channels, 1, 1]
        let x = silu(self.reduce.forward(x));
        input * sigmoid(self.expand.forward(x))
    }
}

/// An inverted bottleneck: channels are expanded, convolved one by one and projected. Fused, the
/// convolution expands.
#[derive(Module, Debug)]
pub struct MbConv {
    expand: Option<Conv2d>,
    bn0: Option<BatchNorm2d>,
    pub(super) conv: Conv2d,
    bn1: BatchNorm2d,
    se: Option<SqueezeExcite>,
    project: Conv2d,
    bn2: BatchNorm2d,
    pub(super) drop: Option<StochasticDepth>,
    lite: bool,
}

impl MbConv {
    pub(super) fn new(
        config: &EfficientnetConfig,
        [from, expanded, to]: [usize; 3],
        shape: &Shape,
        dropped: f64,
        device: &Device,
    ) -> Self {
        let expands = !config.lite && expanded != from;
        let Shape { kernel, stride, dilation } = *shape;
        Self {
            expand: expands.then(|| pointwise(from, expanded, device)),
            bn0: expands.then(|| config.norm(expanded, device)),
            conv: if config.lite {
                config.conv([from, expanded], shape, device)
            } else {
                config.unpadded(depthwise(expanded, kernel, stride, dilation, device))
            },
            bn1: config.norm(expanded, device),
            se: (!config.lite).then(|| SqueezeExcite::new(expanded, (from / 4).max(1), device)),
            project: pointwise(expanded, to, device),
            bn2: config.norm(to, device),
            drop: (stride == 1 && from == to).then(|| StochasticDepth::new(dropped)),
            lite: config.lite,
        }
    }

    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, to, height / stride, width / stride]`, rounded up
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let shortcut = self.drop.as_ref().map(|drop| (drop, input.clone()));
        let mut x = input;
        if let (Some(expand), Some(norm)) = (&self.expand, &self.bn0) {
            x = normalize(norm, self.lite, expand.forward(x)); // [batch, expanded, height, width]
        }
        x = normalize(&self.bn1, self.lite, convolve(&self.conv, x));
        if let Some(se) = &self.se {
            x = se.forward(x);
        }
        x = self.bn2.forward(self.project.forward(x));
        match shortcut {
            Some((drop, shortcut)) => drop.forward(x) + shortcut,
            None => x,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_zero_last() {
        assert_eq!(same_padding(8, 3, 2), (0, 1));
        assert_eq!(same_padding(7, 3, 2), (1, 1));
        assert_eq!(same_padding(8, 5, 2), (1, 2));
        assert_eq!(same_padding(1, 3, 2), (1, 1));
    }

    #[test]
    fn whole_images_are_passed_over_while_training_and_the_rest_scaled() {
        let device = Device::flex().autodiff();
        device.seed(3);
        let output = StochasticDepth::new(0.25).forward(Tensor::ones([64, 2, 1, 3], &device));
        let values: Vec<f32> = output.into_data().try_to_vec().unwrap();
        let images: Vec<_> = values.chunks(6).collect();
        assert!(images.iter().all(|image| image.iter().all(|v| *v == image[0])));
        let dropped = images.iter().filter(|image| image[0] == 0.0).count();
        assert!((1..32).contains(&dropped), "{dropped} of 64 images");
        assert!(images.iter().all(|i| i[0] == 0.0 || (i[0] - 4.0 / 3.0).abs() < 1e-6));
        let input = Tensor::<4>::ones([4, 1, 1, 1], &Device::flex());
        let output = StochasticDepth::new(0.9).forward(input.clone());
        output.into_data().assert_eq(&input.into_data(), true);
    }
}
