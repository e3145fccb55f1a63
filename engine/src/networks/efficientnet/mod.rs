//! EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, as an encoder.
//!
//! Tan, Le. ICML 2019. arXiv:1905.11946, table 1.
//!
//! The 1280-channel convolution at the end and the classifier are left out. The Lite form is
//! ESeg's (arXiv:2203.12683, section 3): fused convolutions with the kernel sizes of the table, no
//! squeeze and excitation, ReLU.

pub mod blocks;

use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::nn::{BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig};
use blocks::{MbConv, Shape, convolve, normalize};

/// Where a convolution of stride 2 gets its zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Half the kernel on each side.
    #[default]
    Symmetric,
    /// As few as keep the size, the odd one below and right: as in TensorFlow, and what weights
    /// trained there expect.
    Same,
}

/// Settings of an [`Efficientnet`]. The defaults are those of B0 in the paper.
#[derive(Debug, Clone, PartialEq)]
pub struct EfficientnetConfig {
    /// How many times the channels of B0.
    pub width: f64,
    /// How many times the blocks of B0.
    pub depth: f64,
    /// Fused convolutions, ReLU, no squeeze and excitation.
    pub lite: bool,
    /// Where strided convolutions get their zeros.
    pub padding: Padding,
    /// Added to variances by the batch norms.
    pub epsilon: f64,
    /// The probability of the last block to be passed over in training; that of the others grows
    /// towards it.
    pub stochastic_depth: f64,
    /// How much smaller the last map is than the image: 32, or 16 with dilation in its place.
    pub output_stride: usize,
}

impl Default for EfficientnetConfig {
    fn default() -> Self {
        Self {
            width: 1.0,
            depth: 1.0,
            lite: false,
            padding: Padding::Symmetric,
            epsilon: 1e-3,
            stochastic_depth: 0.0,
            output_stride: 32,
        }
    }
}

/// A row of table 1.
struct Stage {
    repeats: usize,
    kernel: usize,
    stride: usize,
    expansion: usize,
    channels: usize,
    /// Which level of the pyramid it ends.
    level: Option<usize>,
}

const STAGES: [Stage; 7] = [
    Stage { repeats: 1, kernel: 3, stride: 1, expansion: 1, channels: 16, level: Some(1) },
    Stage { repeats: 2, kernel: 3, stride: 2, expansion: 6, channels: 24, level: Some(2) },
    Stage { repeats: 2, kernel: 5, stride: 2, expansion: 6, channels: 40, level: Some(3) },
    Stage { repeats: 3, kernel: 3, stride: 2, expansion: 6, channels: 80, level: None },
    Stage { repeats: 3, kernel: 5, stride: 1, expansion: 6, channels: 112, level: Some(4) },
    Stage { repeats: 4, kernel: 5, stride: 2, expansion: 6, channels: 192, level: None },
    Stage { repeats: 1, kernel: 3, stride: 1, expansion: 6, channels: 320, level: Some(5) },
];
const STEM: usize = 32;
/// The share of the newest batch in the running statistics of norms.
pub(super) const MOMENTUM: f64 = 0.01;

/// The nearest multiple of eight, at least eight and never less than nine tenths.
fn round_channels(channels: usize, factor: f64) -> usize {
    let scaled = channels as f64 * factor;
    let rounded = (((scaled + 4.0) / 8.0).floor() * 8.0).max(8.0);
    (if rounded < 0.9 * scaled { rounded + 8.0 } else { rounded }) as usize
}

/// A convolution of each channel by itself, without bias, that keeps the size up to its stride.
pub(super) fn depthwise(
    channels: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    device: &Device,
) -> Conv2d {
    let padding = dilation * (kernel / 2);
    Conv2dConfig::new([channels, channels], [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding([padding, padding])
        .with_dilation([dilation, dilation])
        .with_groups(channels)
        .with_bias(false)
        // Kaiming normal over a fan-out of the channel's own, not of all groups together.
        .with_initializer(Initializer::Normal { mean: 0.0, std: 2.0_f64.sqrt() / kernel as f64 })
        .init(device)
}

/// A 1x1 convolution without bias.
pub(super) fn pointwise(from: usize, to: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([from, to], [1, 1]).with_bias(false).init(device)
}

impl EfficientnetConfig {
    /// Channels of the five maps that [`Efficientnet::forward`] answers.
    pub fn channels(&self) -> [usize; 5] {
        let ends = STAGES.iter().filter(|stage| stage.level.is_some());
        let mut channels = ends.map(|stage| round_channels(stage.channels, self.width));
        std::array::from_fn(|_| channels.next().expect("five stages end a level"))
    }

    fn norm(&self, channels: usize, device: &Device) -> BatchNorm2d {
        let config = BatchNorm2dConfig::new(channels).with_epsilon(self.epsilon);
        config.with_momentum(MOMENTUM).init(device)
    }

    /// A full convolution without bias.
    fn conv(&self, channels: [usize; 2], shape: &Shape, device: &Device) -> Conv2d {
        let Shape { kernel, stride, dilation } = *shape;
        let padding = dilation * (kernel / 2);
        let config = Conv2dConfig::new(channels, [kernel, kernel])
            .with_stride([stride, stride])
            .with_padding([padding, padding])
            .with_dilation([dilation, dilation])
            .with_bias(false);
        self.unpadded(config.init(device))
    }

    /// A layer that is padded before it is called, where both sides differ.
    fn unpadded(&self, conv: Conv2d) -> Conv2d {
        match self.padding {
            Padding::Same if conv.stride != [1, 1] => Conv2d { padding: [0, 0], ..conv },
            _ => conv,
        }
    }

    /// An encoder with fresh weights.
    ///
    /// # Panics
    /// If the output stride is neither 32 nor 16.
    pub fn init(&self, in_channels: usize, device: &Device) -> Efficientnet {
        assert!(matches!(self.output_stride, 16 | 32), "an output stride of 16 or 32");
        let stem = round_channels(STEM, self.width);
        let repeats = |stage: &Stage| (self.depth * stage.repeats as f64).ceil() as usize;
        let last = (STAGES.iter().map(repeats).sum::<usize>() - 1).max(1) as f64;
        let (mut from, mut reduced, mut dilation) = (stem, 2, 1);
        let (mut blocks, mut ends) = (Vec::new(), Vec::new());
        for stage in &STAGES {
            let to = round_channels(stage.channels, self.width);
            for repeat in 0..repeats(stage) {
                let mut shape = Shape { kernel: stage.kernel, stride: 1, dilation };
                if repeat == 0 && stage.stride == 2 {
                    if reduced < self.output_stride {
                        (reduced, shape.stride) = (2 * reduced, 2);
                    } else {
                        dilation *= 2; // of the blocks that follow
                    }
                }
                let dropped = self.stochastic_depth * blocks.len() as f64 / last;
                let expanded = from * stage.expansion;
                blocks.push(MbConv::new(self, [from, expanded, to], &shape, dropped, device));
                from = to;
            }
            if stage.level.is_some() {
                ends.push(blocks.len() - 1);
            }
        }
        let shape = Shape { kernel: 3, stride: 2, dilation: 1 };
        Efficientnet {
            stem: self.conv([in_channels, stem], &shape, device),
            stem_bn: self.norm(stem, device),
            blocks,
            ends,
            lite: self.lite,
        }
    }
}

/// The encoder.
#[derive(Module, Debug)]
pub struct Efficientnet {
    stem: Conv2d,
    stem_bn: BatchNorm2d,
    blocks: Vec<MbConv>,
    /// The block that ends each level.
    ends: Vec<usize>,
    lite: bool,
}

impl Efficientnet {
    /// Whether the weight at `path` is that of a depthwise convolution.
    pub fn is_depthwise(&self, path: &str) -> bool {
        !self.lite && path.contains("blocks.") && path.ends_with(".conv.weight")
    }

    /// The maps that end the levels 1 to 5, also told to `observe` as `p1` to `p5` after the
    /// `stem`.
    ///
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - outputs: each with its [channels](EfficientnetConfig::channels), and half the height and
    ///   width of the one before, rounded up, unless the output stride says otherwise
    pub fn forward(
        &self,
        input: Tensor<4>,
        observe: &mut dyn FnMut(&str, &Tensor<4>),
    ) -> [Tensor<4>; 5] {
        let x = convolve(&self.stem, input);
        let mut x = normalize(&self.stem_bn, self.lite, x); // [_, _, height / 2, width / 2]
        observe("stem", &x);
        let mut start = 0;
        std::array::from_fn(|level| {
            let end = self.ends[level] + 1;
            x = self.blocks[start..end].iter().fold(x.clone(), |x, block| block.forward(x));
            start = end;
            observe(&format!("p{}", level + 1), &x);
            x.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::trainable_parameters;

    fn count(width: f64, depth: f64) -> usize {
        let config = EfficientnetConfig { width, depth, ..EfficientnetConfig::default() };
        trainable_parameters(&config.init(3, &Device::flex()), |_| true)
    }

    #[test]
    fn encoders_have_the_parameters_of_the_published_ones() {
        assert_eq!(count(1.0, 1.0), 3_595_388); // B0
        assert_eq!(count(1.0, 1.1), 6_101_024); // B1
    }

    #[test]
    fn channels_are_multiples_of_eight() {
        let channels = |width| EfficientnetConfig { width, ..Default::default() }.channels();
        assert_eq!(channels(1.0), [16, 24, 40, 112, 320]);
        assert_eq!(channels(1.4), [24, 32, 56, 160, 448]);
        assert_eq!(channels(2.0), [32, 48, 80, 224, 640]);
        assert_eq!(channels(0.4), [8, 16, 16, 48, 128]);
        assert_eq!(channels(0.6), [16, 16, 24, 64, 192]);
        assert_eq!(round_channels(STEM, 0.1), 8);
    }

    #[test]
    fn maps_have_their_channels_and_halve_at_any_size() {
        let device = Device::flex();
        for lite in [false, true] {
            for padding in [Padding::Symmetric, Padding::Same] {
                for output_stride in [16, 32] {
                    let config = EfficientnetConfig {
                        width: 0.1,
                        depth: 0.1,
                        lite,
                        padding,
                        output_stride,
                        ..EfficientnetConfig::default()
                    };
                    let encoder = config.init(1, &device);
                    for [height, width] in [[1, 1], [33, 70], [64, 31]] {
                        let input = Tensor::ones([3, 1, height, width], &device);
                        let maps = encoder.forward(input, &mut |_, _| {});
                        for (level, (map, channels)) in
                            maps.iter().zip(config.channels()).enumerate()
                        {
                            let stride = (2 << level).min(output_stride);
                            let size = [height, width].map(|size: usize| size.div_ceil(stride));
                            assert_eq!(map.dims(), [3, channels, size[0], size[1]], "{config:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn dilation_takes_the_place_of_the_last_stride() {
        let config = EfficientnetConfig { output_stride: 16, ..EfficientnetConfig::default() };
        let blocks = config.init(1, &Device::flex()).blocks;
        let strides: Vec<_> = blocks.iter().map(|block| block.conv.stride[0]).collect();
        let dilations: Vec<_> = blocks.iter().map(|block| block.conv.dilation[0]).collect();
        assert_eq!(strides.iter().product::<usize>(), 8);
        assert_eq!(dilations, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
    }

    #[test]
    fn a_deeper_block_is_passed_over_more_often() {
        let config = EfficientnetConfig {
            width: 0.1,
            stochastic_depth: 0.2,
            ..EfficientnetConfig::default()
        };
        let blocks = config.init(1, &Device::flex()).blocks;
        let shares: Vec<_> =
            blocks.iter().filter_map(|block| Some(block.drop.as_ref()?.share)).collect();
        assert!(shares.is_sorted() && shares[0] < shares[1], "{shares:?}");
        assert!(shares.iter().all(|share| (0.0..=0.2).contains(share)), "{shares:?}");
    }
}
