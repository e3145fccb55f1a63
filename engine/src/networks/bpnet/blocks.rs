//! The blocks that only BPNet is made of, but for its links and its tail.

use burn::module::Module;
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};

use crate::networks::Observe;
use crate::networks::blocks::{ConvBnRelu, conv, norm, resize, size_of};
use crate::nn::{BatchNorm2d, Conv2d, Conv2dConfig, MaxPool2d, MaxPool2dConfig};

/// Three 3x3 convolutions and a pooling: from the image to the finest level.
#[derive(Module, Debug)]
pub struct Stem {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    pool: MaxPool2d,
}

impl Stem {
    /// The stem of a pyramid of `width` channels.
    pub fn new(in_channels: usize, width: usize, device: &Device) -> Self {
        let half = width / 2;
        Self {
            conv1: conv(in_channels, half, 3, 2, device),
            bn1: norm(half, device),
            conv2: conv(half, half, 3, 1, device),
            bn2: norm(half, device),
            conv3: conv(half, width, 3, 1, device),
            bn3: norm(width, device),
            pool: MaxPool2dConfig::new([3, 3], [2, 2]).with_padding([1, 1]).init(),
        }
    }

    /// Also tells `observe` what it pools.
    ///
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - output: `[batch, width, height / 4, width / 4]`, rounded up at each half
    pub fn forward(&self, input: Tensor<4>, observe: Observe<'_>) -> Tensor<4> {
        let x = self.bn1.forward_relu(self.conv1.forward(input)); // [_, _, height / 2, width / 2]
        let x = self.bn2.forward_relu(self.conv2.forward(x));
        let x = self.bn3.forward_relu(self.conv3.forward(x));
        observe("bn1", &x);
        self.pool.forward(x) // [_, _, height / 4, width / 4]
    }
}

/// Averages over 1, 2, 3 and 6 bins a side, each transformed, side by side, added to the input.
#[derive(Module, Debug)]
pub struct PyramidPooling {
    features: Vec<ConvBnRelu>,
}

impl PyramidPooling {
    const BINS: [usize; 4] = [1, 2, 3, 6];

    /// `channels` have to be a multiple of four.
    pub fn new(channels: usize, device: &Device) -> Self {
        let pooled = |_| ConvBnRelu::new(channels, channels / 4, 1, device);
        Self { features: Self::BINS.into_iter().map(pooled).collect() }
    }

    /// # Shapes
    /// - `input`, output: `[batch, channels, height, width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let size = size_of(&input);
        let pooled = |(bins, layers): (usize, &ConvBnRelu)| {
            let x = adaptive_avg_pool2d(input.clone(), [bins, bins]);
            resize(layers.forward(x), size)
        };
        let context = Self::BINS.into_iter().zip(&self.features).map(pooled);
        Tensor::cat(context.collect(), 1) + input
    }
}

/// The logits of one map.
#[derive(Module, Debug)]
pub struct Head {
    conv_3x3: ConvBnRelu,
    conv_1x1: Conv2d,
}

impl Head {
    /// A head for a map of `channels`.
    pub fn new(channels: usize, num_classes: usize, device: &Device) -> Self {
        Self {
            conv_3x3: ConvBnRelu::new(channels, channels, 3, device),
            conv_1x1: Conv2dConfig::new([channels, num_classes], [1, 1]).init(device),
        }
    }

    /// # Shapes
    /// - `map`: `[batch, channels, _, _]`
    /// - output: `[batch, num_classes, size[0], size[1]]`
    pub fn forward(&self, map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
        resize(self.conv_1x1.forward(self.conv_3x3.forward(map)), size)
    }
}
