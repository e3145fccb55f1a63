//! Blocks that several networks are made of.

use burn::module::{Flag, Initializer, Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, interpolate};
use burn::tensor::ops::{AvgPoolOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Distribution, Tensor};

use crate::nn::{BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, interpolate_bilinear};

/// A square convolution without bias that keeps height and width up to its stride.
pub fn conv(from: usize, to: usize, kernel: usize, stride: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([from, to], [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding([kernel / 2, kernel / 2])
        .with_bias(false) // the norm that follows has one
        .init(device)
}

/// A 3x3 convolution without bias in which each channel makes `to / from` channels by itself.
pub fn depthwise(from: usize, to: usize, stride: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([from, to], [3, 3])
        .with_stride([stride, stride])
        .with_padding([1, 1])
        .with_groups(from)
        .with_bias(false) // the norm that follows has one
        .init(device)
}

/// Batch norm as PyTorch's default.
pub fn norm(channels: usize, device: &Device) -> BatchNorm2d {
    BatchNorm2dConfig::new(channels).init(device)
}

/// Bilinear, corners aligned.
pub fn resize(map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    interpolate_bilinear(map, size, true)
}

/// The nearest pixel above and left.
pub fn nearest(map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    if size_of(&map) == size {
        return map;
    }
    let options = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size);
    interpolate(map, options)
}

/// The mean of each channel: `[batch, channels, 1, 1]`.
pub fn global_average(map: Tensor<4>) -> Tensor<4> {
    map.mean_dim(3).mean_dim(2)
}

/// The average of every other 3x3 window, of which zeros beyond the border are part.
///
/// # Shapes
/// - `map`: `[batch, channels, height, width]`
/// - output: `[batch, channels, height / 2, width / 2]`, rounded up
pub fn average_halving(map: Tensor<4>) -> Tensor<4> {
    avg_pool2d(map, AvgPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]))
}

/// Height and width of a map.
pub fn size_of(map: &Tensor<4>) -> [usize; 2] {
    let [_, _, height, width] = map.dims();
    [height, width]
}

/// Convolution, batch norm, ReLU.
#[derive(Module, Debug)]
pub struct ConvBnRelu {
    conv: Conv2d,
    bn: BatchNorm2d,
    relu: bool,
}

impl ConvBnRelu {
    /// A square convolution without bias that keeps height and width.
    pub fn new(from: usize, to: usize, kernel: usize, device: &Device) -> Self {
        Self { conv: conv(from, to, kernel, 1, device), bn: norm(to, device), relu: true }
    }

    /// A square convolution without bias that divides height and width by `stride`, rounding up.
    pub fn strided(from: usize, to: usize, kernel: usize, stride: usize, device: &Device) -> Self {
        Self::around(conv(from, to, kernel, stride, device), true, device)
    }

    /// The norm of a convolution's channels and, if asked, ReLU.
    pub fn around(conv: Conv2d, relu: bool, device: &Device) -> Self {
        let channels = conv.weight.lazy_shape()[0]; // without drawing the weights
        Self { conv, bn: norm(channels, device), relu }
    }

    /// Its norm scaled by zero at first, so that a residual block starts as its shortcut.
    #[must_use]
    pub fn starting_at_zero(mut self) -> Self {
        let scale = &self.bn.weight;
        self.bn.weight = Initializer::Zeros.init(scale.dims(), &scale.device());
        self
    }

    /// A square convolution without bias that looks `dilation` pixels away and keeps height and
    /// width.
    pub fn dilated(
        from: usize,
        to: usize,
        kernel: usize,
        dilation: usize,
        device: &Device,
    ) -> Self {
        let padding = dilation * (kernel / 2);
        let conv = Conv2dConfig::new([from, to], [kernel, kernel])
            .with_padding([padding, padding])
            .with_dilation([dilation, dilation])
            .with_bias(false) // the norm has one
            .init(device);
        Self::around(conv, true, device)
    }

    /// A 1x1 convolution, optionally with a bias (which the norm undoes) and without the ReLU.
    pub fn pointwise(from: usize, to: usize, bias: bool, relu: bool, device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new([from, to], [1, 1]).with_bias(bias).init(device),
            bn: norm(to, device),
            relu,
        }
    }

    /// A convolution of every block of `block` x `block` pixels, which become one.
    pub fn reduce(from: usize, to: usize, block: usize, device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new([from, to], [block, block])
                .with_stride([block, block])
                .with_bias(false) // the norm that follows has one
                .init(device),
            bn: norm(to, device),
            relu: true,
        }
    }

    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, to, height, width]`, or `height / block, width / block` of a reduction
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = self.conv.forward(input);
        if self.relu { self.bn.forward_relu(x) } else { self.bn.forward(x) }
    }
}

/// Sets whole channels of an image to zero while training, and scales the others up.
#[derive(Module, Debug)]
pub struct Dropout2d {
    share: f64,
    training: Param<Flag>,
}

impl Dropout2d {
    /// Drops each channel with the probability `share`.
    pub fn new(share: f64) -> Self {
        assert!((0.0..1.0).contains(&share), "a dropout of 1 leaves nothing, got {share}");
        Self { share, training: Param::from_bool(true) }
    }

    /// # Shapes
    /// - `input`, output: `[batch, channels, height, width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let device = input.device();
        if self.share == 0.0 || !self.training.is_enabled() || !device.is_autodiff() {
            return input;
        }
        let [batch, channels, _, _] = input.dims();
        let kept = 1.0 - self.share;
        let mask = Tensor::random([batch, channels, 1, 1], Distribution::Bernoulli(kept), &device);
        input * (mask / kept)
    }
}

/// The shortcut of a block that changes the size or the channels.
#[derive(Module, Debug)]
pub struct Downsample {
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl Downsample {
    /// A 1x1 convolution and a batch norm.
    pub fn new(from: usize, to: usize, stride: usize, device: &Device) -> Self {
        Self { conv: conv(from, to, 1, stride, device), bn: norm(to, device) }
    }

    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, to, height / stride, width / stride]`, rounded up
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.bn.forward(self.conv.forward(input))
    }
}

/// Two 3x3 convolutions beside a shortcut.
#[derive(Module, Debug)]
pub struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    downsample: Option<Downsample>,
}

impl BasicBlock {
    /// A block that keeps the size.
    pub fn same(channels: usize, device: &Device) -> Self {
        Self::with_stride(channels, channels, 1, device)
    }

    /// A block that halves height and width, rounding up.
    pub fn halving(from: usize, to: usize, device: &Device) -> Self {
        Self {
            downsample: Some(Downsample::new(from, to, 2, device)),
            ..Self::with_stride(from, to, 2, device)
        }
    }

    fn with_stride(from: usize, to: usize, stride: usize, device: &Device) -> Self {
        Self {
            conv1: conv(from, to, 3, stride, device),
            bn1: norm(to, device),
            conv2: conv(to, to, 3, 1, device),
            bn2: norm(to, device),
            downsample: None,
        }
    }

    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, to, height, width]`, or `height / 2, width / 2` of a halving block
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some(layers) => layers.forward(input.clone()),
            None => input.clone(),
        };
        let x = self.bn1.forward_relu(self.conv1.forward(input));
        relu(self.bn2.forward(self.conv2.forward(x)) + shortcut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_takes_whole_channels_and_scales_the_rest() {
        let device = Device::flex().autodiff();
        device.seed(3);
        let input = Tensor::<4>::ones([4, 16, 2, 3], &device);
        let output = Dropout2d::new(0.25).forward(input.clone());
        let values: Vec<f32> = output.into_data().try_to_vec().unwrap();
        let channels: Vec<_> = values.chunks(6).collect();
        assert!(channels.iter().all(|c| c.iter().all(|v| *v == c[0])));
        let dropped = channels.iter().filter(|c| c[0] == 0.0).count();
        assert!((1..32).contains(&dropped), "{dropped} of 64 channels");
        assert!(channels.iter().all(|c| c[0] == 0.0 || (c[0] - 4.0 / 3.0).abs() < 1e-6));
    }

    #[test]
    fn dropout_rests_at_inference() {
        let input = Tensor::<4>::ones([1, 8, 1, 1], &Device::flex());
        let output = Dropout2d::new(0.5).forward(input.clone());
        output.into_data().assert_eq(&input.into_data(), true);
    }

    #[test]
    fn a_map_of_one_pixel_is_spread_over_the_size() {
        let map = Tensor::<4>::full([1, 1, 1, 1], 2.5, &Device::flex());
        let spread = resize(map, [2, 3]).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(spread, [2.5; 6]);
    }

    #[test]
    fn a_map_shrunk_to_one_pixel_keeps_its_first() {
        let map = Tensor::<4>::from_data([[[[1.0, 2.0], [3.0, 4.0]]]], &Device::flex());
        let first = resize(map, [1, 1]).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(first, [1.0]);
    }
}
