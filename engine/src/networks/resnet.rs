//! ResNet: Deep Residual Learning for Image Recognition, as an encoder.
//!
//! He, Zhang, Ren, Sun. CVPR 2016. arXiv:1512.03385, table 1.
//!
//! As in torchvision: a bottleneck strides in its 3x3 convolution, and an output stride below 32
//! turns the strides of the last stages into dilation, each stage's first block still dilated as
//! the stage before (Yu, Koltun, Funkhouser 2017, arXiv:1705.09914). The classifier is left out.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::blocks::{BasicBlock, Downsample, conv, norm};
use crate::nn::{BatchNorm2d, Conv2d, Conv2dConfig, MaxPool2d, MaxPool2dConfig};

/// The columns of table 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// 18 layers, of basic blocks.
    Resnet18,
    /// 34 layers, of basic blocks.
    Resnet34,
    /// 50 layers, of bottlenecks.
    Resnet50,
    /// 101 layers, of bottlenecks.
    Resnet101,
}

impl Depth {
    /// Blocks of each stage.
    fn blocks(self) -> [usize; 4] {
        match self {
            Self::Resnet18 => [2, 2, 2, 2],
            Self::Resnet34 | Self::Resnet50 => [3, 4, 6, 3],
            Self::Resnet101 => [3, 4, 23, 3],
        }
    }

    /// Whether it is made of bottlenecks, which alone can be dilated.
    pub fn has_bottlenecks(self) -> bool {
        matches!(self, Self::Resnet50 | Self::Resnet101)
    }
}

/// Settings of a [`Resnet`]. The defaults are the paper's for 50 layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResnetConfig {
    /// How many layers.
    pub depth: Depth,
    /// Channels of the stem; all others in proportion.
    pub width: usize,
    /// How much smaller the last map is than the image: 32, or 16 or 8 of bottlenecks.
    pub output_stride: usize,
}

impl Default for ResnetConfig {
    fn default() -> Self {
        Self { depth: Depth::Resnet50, width: 64, output_stride: 32 }
    }
}

impl ResnetConfig {
    /// Channels of the four maps that [`Resnet::forward`] answers.
    pub fn channels(&self) -> [usize; 4] {
        let expansion = if self.depth.has_bottlenecks() { Bottleneck::EXPANSION } else { 1 };
        [1, 2, 4, 8].map(|factor| factor * self.width * expansion)
    }

    /// How much smaller than the image these maps are.
    pub fn strides(&self) -> [usize; 4] {
        [4, 8, 16, 32].map(|stride: usize| stride.min(self.output_stride))
    }

    /// An encoder with fresh weights.
    ///
    /// # Panics
    /// If the output stride is not 32, nor 16 or 8 of bottlenecks.
    pub fn init(&self, in_channels: usize, device: &Device) -> Resnet {
        assert!(
            self.output_stride == 32
                || (self.depth.has_bottlenecks() && matches!(self.output_stride, 8 | 16)),
            "an output stride of {} fits no {:?}",
            self.output_stride,
            self.depth
        );
        let mut stage = Stage { from: self.width, stride: 4, dilation: 1 };
        let layer = |(index, (blocks, channels))| {
            let halves = index > 0;
            if self.depth.has_bottlenecks() {
                stage.bottlenecks(blocks, channels, halves, self.output_stride, device)
            } else {
                stage.basic_blocks(blocks, channels, halves, device)
            }
        };
        let blocks = self.depth.blocks().into_iter();
        let layers = blocks.zip(self.channels()).enumerate().map(layer).collect();
        Resnet {
            conv1: conv(in_channels, self.width, 7, 2, device),
            bn1: norm(self.width, device),
            pool: MaxPool2dConfig::new([3, 3], [2, 2]).with_padding([1, 1]).init(),
            layers,
        }
    }
}

/// What the stages so far come to.
struct Stage {
    from: usize,
    stride: usize,
    dilation: usize,
}

impl Stage {
    fn basic_blocks(
        &mut self,
        blocks: usize,
        channels: usize,
        halves: bool,
        device: &Device,
    ) -> Vec<Block> {
        let first = if halves {
            BasicBlock::halving(self.from, channels, device)
        } else {
            BasicBlock::same(channels, device)
        };
        self.from = channels;
        let others = (1..blocks).map(|_| BasicBlock::same(channels, device));
        [first].into_iter().chain(others).map(Block::Basic).collect()
    }

    fn bottlenecks(
        &mut self,
        blocks: usize,
        channels: usize,
        halves: bool,
        output_stride: usize,
        device: &Device,
    ) -> Vec<Block> {
        let dilation = self.dilation;
        let stride = if !halves {
            1
        } else if self.stride < output_stride {
            self.stride *= 2;
            2
        } else {
            self.dilation *= 2;
            1
        };
        let first = Bottleneck::new(self.from, channels, stride, dilation, device);
        let others =
            (1..blocks).map(|_| Bottleneck::new(channels, channels, 1, self.dilation, device));
        let layer = [first].into_iter().chain(others).map(Block::Bottleneck).collect();
        self.from = channels;
        layer
    }
}

/// The right half of figure 5: channels are reduced, convolved and expanded, beside a shortcut.
#[derive(Module, Debug)]
pub struct Bottleneck {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    downsample: Option<Downsample>,
}

impl Bottleneck {
    /// How many times more channels leave a block than are convolved in it.
    const EXPANSION: usize = 4;

    fn new(from: usize, to: usize, stride: usize, dilation: usize, device: &Device) -> Self {
        let inner = to / Self::EXPANSION;
        let downsample = || Downsample::new(from, to, stride, device);
        Self {
            conv1: conv(from, inner, 1, 1, device),
            bn1: norm(inner, device),
            conv2: Conv2dConfig::new([inner, inner], [3, 3])
                .with_stride([stride, stride])
                .with_padding([dilation, dilation])
                .with_dilation([dilation, dilation])
                .with_bias(false)
                .init(device),
            bn2: norm(inner, device),
            conv3: conv(inner, to, 1, 1, device),
            bn3: norm(to, device),
            downsample: (stride > 1 || from != to).then(downsample),
        }
    }

    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, to, height / stride, width / stride]`, rounded up
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some(layers) => layers.forward(input.clone()),
            None => input.clone(),
        };
        let x = self.bn1.forward_relu(self.conv1.forward(input));
        let x = self.bn2.forward_relu(self.conv2.forward(x));
        relu(self.bn3.forward(self.conv3.forward(x)) + shortcut)
    }
}

/// Either half of figure 5.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "all blocks of an encoder are of one kind")]
pub enum Block {
    /// The left one.
    Basic(BasicBlock),
    /// The right one.
    Bottleneck(Bottleneck),
}

impl Block {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Basic(block) => block.forward(input),
            Self::Bottleneck(block) => block.forward(input),
        }
    }
}

/// The encoder.
#[derive(Module, Debug)]
pub struct Resnet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    pool: MaxPool2d,
    layers: Vec<Vec<Block>>,
}

impl Resnet {
    /// The maps after the four stages, the finest first.
    ///
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - outputs: each with its [channels](ResnetConfig::channels), and height and width divided
    ///   by its [stride](ResnetConfig::strides), rounded up
    pub fn forward(&self, input: Tensor<4>) -> [Tensor<4>; 4] {
        let mut x = self.stem(input);
        let mut maps = self.layers.iter().map(|layer| {
            x = layer.iter().fold(x.clone(), |x, block| block.forward(x));
            x.clone()
        });
        std::array::from_fn(|_| maps.next().expect("an encoder has four stages"))
    }

    /// The map after the first stage's pooling.
    fn stem(&self, input: Tensor<4>) -> Tensor<4> {
        let x = self.bn1.forward_relu(self.conv1.forward(input)); // [_, _, height / 2, width / 2]
        self.pool.forward(x) // [_, _, height / 4, width / 4]
    }
}

/// torchvision's name of the weight at `path`.
pub fn reference_name(path: &str) -> String {
    let mut name = Vec::new();
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        match (part, parts.peek()) {
            ("layers", Some(stage)) => {
                let stage = stage.parse::<usize>().map_or(0, |stage| stage + 1);
                parts.next();
                name.push(format!("layer{stage}"));
            }
            ("downsample", Some(layer)) => {
                let layer = if *layer == "conv" { "0" } else { "1" };
                parts.next();
                name.extend(["downsample".to_owned(), layer.to_owned()]);
            }
            _ => name.push(part.to_owned()),
        }
    }
    name.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{shapes_by_path, trainable_parameters};

    fn config(depth: Depth) -> ResnetConfig {
        ResnetConfig { depth, ..ResnetConfig::default() }
    }

    #[test]
    fn encoders_have_the_parameters_of_torchvision_without_its_classifier() {
        for (depth, expected, classifier) in [
            (Depth::Resnet18, 11_689_512, 513_000),
            (Depth::Resnet34, 21_797_672, 513_000),
            (Depth::Resnet50, 25_557_032, 2_049_000),
            (Depth::Resnet101, 44_549_160, 2_049_000),
        ] {
            let encoder = config(depth).init(3, &Device::flex());
            let count = trainable_parameters(&encoder, |_| true);
            assert_eq!(count, expected - classifier, "{depth:?}");
        }
    }

    #[test]
    fn weights_are_named_as_in_torchvision() {
        for depth in [Depth::Resnet18, Depth::Resnet50] {
            let encoder = ResnetConfig { width: 2, ..config(depth) }.init(1, &Device::flex());
            let paths = shapes_by_path(&encoder);
            let names: Vec<_> = paths.keys().map(|path| reference_name(path)).collect();
            for expected in [
                "conv1.weight",
                "bn1.running_var",
                "layer1.1.conv2.weight",
                "layer4.0.downsample.0.weight",
                "layer2.0.downsample.1.bias",
            ] {
                assert!(names.iter().any(|name| name == expected), "{expected} in {names:?}");
            }
        }
    }

    #[test]
    fn maps_have_their_channels_and_strides_at_any_size() {
        let device = Device::flex();
        let variants = [Depth::Resnet18, Depth::Resnet50].map(config).into_iter().chain(
            [8, 16].map(|output_stride| ResnetConfig { output_stride, ..ResnetConfig::default() }),
        );
        for config in variants {
            let config = ResnetConfig { width: 2, ..config };
            let encoder = config.init(1, &device);
            for [height, width] in [[1, 1], [33, 70], [64, 31]] {
                let maps = encoder.forward(Tensor::ones([3, 1, height, width], &device));
                for ((map, channels), stride) in
                    maps.iter().zip(config.channels()).zip(config.strides())
                {
                    let [height, width] = [height, width].map(|size: usize| size.div_ceil(stride));
                    assert_eq!(map.dims(), [3, channels, height, width], "{config:?}");
                }
            }
        }
    }

    #[test]
    fn strides_become_dilation_as_in_torchvision() {
        let dilation = |block: &Block| match block {
            Block::Bottleneck(block) => block.conv2.dilation[0],
            Block::Basic(_) => 0,
        };
        let dilations = |output_stride| {
            let config = ResnetConfig { width: 1, output_stride, ..ResnetConfig::default() };
            let layers = config.init(1, &Device::flex()).layers;
            let layers = layers.iter().map(|layer| layer.iter().map(dilation).collect());
            layers.collect::<Vec<Vec<_>>>()
        };
        assert_eq!(dilations(32)[3], [1, 1, 1]);
        assert_eq!(dilations(16)[2..], [vec![1; 6], vec![1, 2, 2]]);
        assert_eq!(dilations(8)[2..], [vec![1, 2, 2, 2, 2, 2], vec![2, 4, 4]]);
    }

    #[test]
    #[should_panic(expected = "an output stride of 16 fits no Resnet18")]
    fn basic_blocks_are_not_dilated() {
        ResnetConfig { output_stride: 16, ..config(Depth::Resnet18) }.init(3, &Device::flex());
    }
}
