//! U-Net: Convolutional Networks for Biomedical Image Segmentation.
//!
//! Ronneberger, Fischer, Brox. MICCAI 2015. arXiv:1505.04597, figure 1.
//!
//! Departs from the paper: convolutions are padded, so logits keep the height
//! and width of the input; batch norm follows each of them, which is why they
//! have no bias.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Architecture, Heads, InvalidSetting, NetworkOutput, Observe, Settings};
use crate::nn::{
    BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig,
    MaxPool2d, MaxPool2dConfig,
};
use crate::weights::NameMap;

/// Settings of a [`Unet`]. The defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnetConfig {
    /// Channels of the first level; each level below has twice as many.
    pub base_channels: usize,
    /// Levels, the bottom included.
    pub depth: usize,
}

impl Default for UnetConfig {
    fn default() -> Self {
        Self { base_channels: 64, depth: 5 }
    }
}

impl Settings for UnetConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        let refuse = |key, value: usize, expected: &str| {
            Err(InvalidSetting { key, value: value.to_string(), expected: expected.to_owned() })
        };
        if !(1..=1024).contains(&self.base_channels) {
            return refuse("base_channels", self.base_channels, "1 to 1024 channels");
        }
        if !(2..=8).contains(&self.depth) {
            return refuse("depth", self.depth, "2 to 8 levels");
        }
        if self.base_channels << (self.depth - 1) > 8192 {
            let expected = format!("a last level of at most 8192 channels at depth {}", self.depth);
            return refuse("base_channels", self.base_channels, &expected);
        }
        Ok(())
    }

    /// Each level halves height and width.
    fn size_multiple(&self) -> usize {
        1 << (self.depth - 1)
    }

    fn smallest_size(&self) -> usize {
        self.size_multiple()
    }

    fn output_stride(&self) -> usize {
        1
    }

    fn name_map(&self) -> NameMap {
        NameMap::SAME
    }

    /// Two where the lowest level is a single pixel.
    fn smallest_batch(&self, size: [usize; 2]) -> usize {
        if size.into_iter().all(|length| length <= self.size_multiple()) { 2 } else { 1 }
    }
}

impl UnetConfig {
    /// A network with fresh weights for `in_channels` and `num_classes`.
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> Unet {
        let width = |level: usize| self.base_channels << level;
        let encoder = (0..self.depth)
            .map(|level| {
                let from = if level == 0 { in_channels } else { width(level - 1) };
                ConvBlock::new(from, width(level), device)
            })
            .collect();
        let decoder =
            (0..self.depth - 1).rev().map(|level| UpBlock::new(width(level), device)).collect();
        let head = Conv2dConfig::new([self.base_channels, num_classes], [1, 1]).init(device);
        let pool = MaxPool2dConfig::new([2, 2], [2, 2]).init();
        Unet { encoder, pool, decoder, head, size_multiple: self.size_multiple() }
    }
}

/// Two 3x3 convolutions, each with batch norm and ReLU: a pair of blue arrows in figure 1.
#[derive(Module, Debug)]
pub struct ConvBlock {
    conv1: Conv2d,
    norm1: BatchNorm2d,
    conv2: Conv2d,
    norm2: BatchNorm2d,
}

impl ConvBlock {
    fn new(from: usize, to: usize, device: &Device) -> Self {
        let conv = |from, to| {
            Conv2dConfig::new([from, to], [3, 3])
                .with_padding([1, 1])
                .with_bias(false) // the norm that follows has one
                .init(device)
        };
        Self {
            conv1: conv(from, to),
            norm1: BatchNorm2dConfig::new(to).init(device),
            conv2: conv(to, to),
            norm2: BatchNorm2dConfig::new(to).init(device),
        }
    }

    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, to, height, width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = self.norm1.forward_relu(self.conv1.forward(input));
        self.norm2.forward_relu(self.conv2.forward(x))
    }
}

/// A green arrow of figure 1 and what follows it: up, beside the skip, two convolutions.
#[derive(Module, Debug)]
pub struct UpBlock {
    up: ConvTranspose2d,
    block: ConvBlock,
}

impl UpBlock {
    fn new(to: usize, device: &Device) -> Self {
        Self {
            up: ConvTranspose2dConfig::new([2 * to, to], [2, 2]).with_stride([2, 2]).init(device),
            block: ConvBlock::new(2 * to, to, device),
        }
    }

    /// # Shapes
    /// - `input`: `[batch, 2 * to, height / 2, width / 2]`
    /// - `skip`: `[batch, to, height, width]`
    /// - output: `[batch, to, height, width]`
    pub fn forward(&self, input: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let x = self.up.forward(input); // [batch, to, height, width]
        self.block.forward(Tensor::cat(vec![skip, x], 1))
    }
}

/// The network of figure 1. Height and width of the input have to be multiples of
/// [`size_multiple`](Settings::size_multiple).
#[derive(Module, Debug)]
pub struct Unet {
    encoder: Vec<ConvBlock>,
    pool: MaxPool2d,
    decoder: Vec<UpBlock>,
    head: Conv2d,
    #[module(skip)]
    size_multiple: usize,
}

impl Architecture for Unet {
    fn run(&self, input: Tensor<4>, _heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        let [_, _, height, width] = input.dims();
        assert!(
            height % self.size_multiple == 0 && width % self.size_multiple == 0,
            "height {height} and width {width} have to be multiples of {}",
            self.size_multiple
        );
        let mut skips = Vec::with_capacity(self.encoder.len());
        let mut x = input;
        for (level, block) in self.encoder.iter().enumerate() {
            if level > 0 {
                x = self.pool.forward(x); // halves height and width
            }
            x = block.forward(x);
            observe(&format!("encoder.{level}"), &x);
            skips.push(x.clone());
        }
        skips.pop(); // the bottom has no skip
        for (step, block) in self.decoder.iter().enumerate() {
            let skip = skips.pop().expect("one skip for each decoder level");
            x = block.forward(x, skip);
            observe(&format!("decoder.{step}"), &x);
        }
        self.head.forward(x).into()
    }
}
