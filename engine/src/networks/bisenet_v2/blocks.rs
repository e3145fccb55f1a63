//! The blocks of BiSeNetV2.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor};

use crate::networks::blocks::{
    ConvBnRelu, average_halving, conv, depthwise, global_average, nearest, norm, size_of,
};
use crate::nn::{
    BatchNorm2d, Conv2d, Conv2dConfig, MaxPool2d, MaxPool2dConfig, interpolate_bilinear,
};

/// Into how many channels each channel is expanded within a gather-and-expansion layer.
const EXPANSION: usize = 6;

fn pointwise(from: usize, to: usize, device: &Device) -> Conv2d {
    conv(from, to, 1, 1, device)
}

/// Depthwise convolution, each channel into `to / from` ones, and batch norm.
fn depthwise_norm(
    from: usize,
    to: usize,
    stride: usize,
    relu: bool,
    device: &Device,
) -> ConvBnRelu {
    ConvBnRelu::around(depthwise(from, to, stride, device), relu, device)
}

/// Convolution and batch norm.
fn conv_norm(from: usize, to: usize, kernel: usize, stride: usize, device: &Device) -> ConvBnRelu {
    ConvBnRelu::around(conv(from, to, kernel, stride, device), false, device)
}

/// The detail branch (table 1): wide and shallow, to an eighth of the image.
#[derive(Module, Debug)]
pub struct DetailBranch {
    s1: Vec<ConvBnRelu>,
    s2: Vec<ConvBnRelu>,
    s3: Vec<ConvBnRelu>,
}

impl DetailBranch {
    /// The branch; `channels` of its three stages.
    pub fn new(in_channels: usize, channels: [usize; 3], device: &Device) -> Self {
        let stage = |from, to, count| {
            let first = ConvBnRelu::strided(from, to, 3, 2, device);
            let others = (1..count).map(|_| ConvBnRelu::new(to, to, 3, device));
            [first].into_iter().chain(others).collect()
        };
        let [first, second, third] = channels;
        Self {
            s1: stage(in_channels, first, 2),
            s2: stage(first, second, 3),
            s3: stage(second, third, 3),
        }
    }

    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - output: `[batch, channels, height / 8, width / 8]`, rounded up at each half
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let layers = self.s1.iter().chain(&self.s2).chain(&self.s3);
        layers.fold(input, |x, layer| layer.forward(x))
    }
}

/// Stem block (figure 4a): halved once by a convolution, once by it and by pooling side by side.
#[derive(Module, Debug)]
pub struct Stem {
    conv: ConvBnRelu,
    left: Vec<ConvBnRelu>,
    right: MaxPool2d,
    fuse: ConvBnRelu,
}

impl Stem {
    /// A stem that gives `channels`, at least two.
    pub fn new(in_channels: usize, channels: usize, device: &Device) -> Self {
        Self {
            conv: ConvBnRelu::strided(in_channels, channels, 3, 2, device),
            left: vec![
                ConvBnRelu::new(channels, channels / 2, 1, device),
                ConvBnRelu::strided(channels / 2, channels, 3, 2, device),
            ],
            right: MaxPool2dConfig::new([3, 3], [2, 2]).with_padding([1, 1]).init(),
            fuse: ConvBnRelu::new(2 * channels, channels, 3, device),
        }
    }

    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - output: `[batch, channels, height / 4, width / 4]`, rounded up at each half
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = self.conv.forward(input); // [_, _, height / 2, width / 2]
        let left = self.left.iter().fold(x.clone(), |x, layer| layer.forward(x));
        let right = self.right.forward(x); // [_, _, height / 4, width / 4]
        self.fuse.forward(Tensor::cat(vec![left, right], 1))
    }
}

/// Gather-and-expansion layer that keeps the size (figure 5b).
#[derive(Module, Debug)]
pub struct GatherExpand {
    conv1: ConvBnRelu,
    dwconv: ConvBnRelu,
    conv2: ConvBnRelu,
}

impl GatherExpand {
    fn new(channels: usize, device: &Device) -> Self {
        let expanded = EXPANSION * channels;
        Self {
            conv1: ConvBnRelu::new(channels, channels, 3, device),
            dwconv: depthwise_norm(channels, expanded, 1, true, device),
            conv2: conv_norm(expanded, channels, 1, 1, device).starting_at_zero(),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = self.dwconv.forward(self.conv1.forward(input.clone()));
        relu(self.conv2.forward(x) + input)
    }
}

/// Gather-and-expansion layer that halves height and width (figure 5c).
#[derive(Module, Debug)]
pub struct GatherExpandHalving {
    conv1: ConvBnRelu,
    dwconv1: ConvBnRelu,
    dwconv2: ConvBnRelu,
    conv2: ConvBnRelu,
    shortcut_depthwise: ConvBnRelu,
    shortcut_pointwise: ConvBnRelu,
}

impl GatherExpandHalving {
    fn new(from: usize, to: usize, device: &Device) -> Self {
        let expanded = EXPANSION * from;
        Self {
            conv1: ConvBnRelu::new(from, from, 3, device),
            dwconv1: depthwise_norm(from, expanded, 2, false, device),
            dwconv2: depthwise_norm(expanded, expanded, 1, true, device),
            conv2: conv_norm(expanded, to, 1, 1, device).starting_at_zero(),
            shortcut_depthwise: depthwise_norm(from, from, 2, false, device),
            shortcut_pointwise: conv_norm(from, to, 1, 1, device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let shortcut = self.shortcut_depthwise.forward(input.clone());
        let shortcut = self.shortcut_pointwise.forward(shortcut); // [_, to, height / 2, width / 2]
        let x = self.dwconv1.forward(self.conv1.forward(input));
        relu(self.conv2.forward(self.dwconv2.forward(x)) + shortcut)
    }
}

/// A stage of the semantic branch: one layer that halves, then layers that do not.
#[derive(Module, Debug)]
pub struct Stage {
    first: GatherExpandHalving,
    others: Vec<GatherExpand>,
}

impl Stage {
    /// A stage with `repeats` layers that keep the size.
    pub fn new(from: usize, to: usize, repeats: usize, device: &Device) -> Self {
        Self {
            first: GatherExpandHalving::new(from, to, device),
            others: (0..repeats).map(|_| GatherExpand::new(to, device)).collect(),
        }
    }

    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, to, height / 2, width / 2]`, rounded up
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.others.iter().fold(self.first.forward(input), |x, layer| layer.forward(x))
    }
}

/// Context embedding block (figure 4b): what the whole map shows, added to every pixel.
#[derive(Module, Debug)]
pub struct ContextEmbedding {
    bn: BatchNorm2d,
    conv_gap: ConvBnRelu,
    conv_last: ConvBnRelu,
}

impl ContextEmbedding {
    /// A block for a map of `channels`, from which `to` go out.
    pub fn new(channels: usize, to: usize, device: &Device) -> Self {
        Self {
            bn: norm(channels, device),
            conv_gap: ConvBnRelu::new(channels, channels, 1, device),
            conv_last: ConvBnRelu::new(channels, to, 3, device),
        }
    }

    /// # Shapes
    /// - `input`: `[batch, channels, height, width]`
    /// - output: `[batch, to, height, width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let context = self.bn.forward(global_average(input.clone())); // [_, _, 1, 1]
        self.conv_last.forward(input + self.conv_gap.forward(context))
    }
}

/// Depthwise convolution, batch norm, convolution of single pixels.
#[derive(Module, Debug)]
struct Separable {
    depthwise: ConvBnRelu,
    pointwise: Conv2d,
}

impl Separable {
    fn new(channels: usize, device: &Device) -> Self {
        Self {
            depthwise: depthwise_norm(channels, channels, 1, false, device),
            pointwise: pointwise(channels, channels, device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.pointwise.forward(self.depthwise.forward(input))
    }
}

/// Bilateral guided aggregation (figure 6): each branch gates the other, at both resolutions.
#[derive(Module, Debug)]
pub struct GuidedAggregation {
    left1: Separable,
    left2: ConvBnRelu,
    right1: ConvBnRelu,
    right2: Separable,
    conv: ConvBnRelu,
}

impl GuidedAggregation {
    /// An aggregation of branches that both have `channels`.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            left1: Separable::new(channels, device),
            left2: conv_norm(channels, channels, 3, 2, device),
            right1: conv_norm(channels, channels, 3, 1, device),
            right2: Separable::new(channels, device),
            conv: ConvBnRelu::new(channels, channels, 3, device),
        }
    }

    /// # Shapes
    /// - `detail`, output: `[batch, channels, height, width]`
    /// - `semantic`: `[batch, channels, height / 4, width / 4]`, rounded up at each half
    pub fn forward(&self, detail: Tensor<4>, semantic: Tensor<4>) -> Tensor<4> {
        let size = size_of(&detail);
        let detail_fine = self.left1.forward(detail.clone());
        let detail_coarse = average_halving(self.left2.forward(detail));
        let semantic_fine = nearest(self.right1.forward(semantic.clone()), size);
        let semantic_coarse = self.right2.forward(semantic);
        let fine = detail_fine * sigmoid(semantic_fine);
        let coarse = detail_coarse * sigmoid(semantic_coarse);
        self.conv.forward(fine + nearest(coarse, size))
    }
}

/// Segmentation head (figure 8). That of a booster doubles height and width before it predicts.
#[derive(Module, Debug)]
pub struct SegmentHead {
    conv: ConvBnRelu,
    dropout: Dropout,
    doubled: Option<ConvBnRelu>,
    conv_out: Conv2d,
}

impl SegmentHead {
    /// A head from `from` channels over `hidden` ones to `to`; a booster's head has a second
    /// layer of `boosted` channels.
    pub fn new(
        [from, hidden, to]: [usize; 3],
        boosted: Option<usize>,
        dropout: f64,
        device: &Device,
    ) -> Self {
        let last = boosted.unwrap_or(hidden);
        Self {
            conv: ConvBnRelu::new(from, hidden, 3, device),
            dropout: DropoutConfig::new(dropout).init(),
            doubled: boosted.map(|boosted| ConvBnRelu::new(hidden, boosted, 3, device)),
            conv_out: Conv2dConfig::new([last, to], [1, 1]).init(device),
        }
    }

    /// # Shapes
    /// - `map`: `[batch, from, _, _]`
    /// - `doubled`: what a booster's head doubles height and width to
    /// - output: `[batch, to, size[0], size[1]]`
    pub fn forward(&self, map: Tensor<4>, doubled: [usize; 2], size: [usize; 2]) -> Tensor<4> {
        let mut x = self.dropout.forward(self.conv.forward(map));
        if let Some(layer) = &self.doubled {
            x = layer.forward(nearest(x, doubled));
        }
        interpolate_bilinear(self.conv_out.forward(x), size, false)
    }
}
