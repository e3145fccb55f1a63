//! What STDC-Seg and BiSeNetV1 share: the context path, the fusion with the finer path, the heads.
//!
//! Yu, Wang, Peng, Gao, Yu, Sang. BiSeNet: Bilateral Segmentation Network for Real-time Semantic
//! Segmentation. ECCV 2018. arXiv:1808.00897, figure 2; in the form of the code by CoinCheung
//! (github.com/CoinCheung/BiSeNet), from which STDC's authors started.

use burn::module::Module;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::blocks::{ConvBnRelu, conv, global_average, nearest, norm, size_of};
use super::{Observe, Start};
use crate::nn::{BatchNorm2d, Conv2d, Conv2dConfig};

/// Channels of the context path.
pub const CONTEXT_CHANNELS: usize = 128;

/// Channels of the fused map.
pub const FUSED_CHANNELS: usize = 256;

/// How the layers of this file start in the code that both networks follow.
pub const START: Start = Start::FanIn { slope: 1.0 };

/// Attention refinement module: a map's channels weighed by what the whole map shows.
#[derive(Module, Debug)]
pub struct AttentionRefinement {
    conv: ConvBnRelu,
    conv_atten: Conv2d,
    bn_atten: BatchNorm2d,
}

impl AttentionRefinement {
    /// A module for a map of `from` channels.
    pub fn new(from: usize, device: &Device) -> Self {
        Self {
            conv: ConvBnRelu::new(from, CONTEXT_CHANNELS, 3, device),
            conv_atten: conv(CONTEXT_CHANNELS, CONTEXT_CHANNELS, 1, 1, device),
            bn_atten: norm(CONTEXT_CHANNELS, device),
        }
    }

    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, 128, height, width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = self.conv.forward(input);
        let attention = self.conv_atten.forward(global_average(x.clone())); // [_, _, 1, 1]
        x * sigmoid(self.bn_atten.forward(attention))
    }
}

/// The two coarsest maps of a backbone, refined and brought to an eighth of the image.
#[derive(Module, Debug)]
pub struct ContextPath {
    arm16: AttentionRefinement,
    arm32: AttentionRefinement,
    conv_head32: ConvBnRelu,
    conv_head16: ConvBnRelu,
    conv_avg: ConvBnRelu,
}

/// What a [`ContextPath`] answers.
pub struct Context {
    /// `[batch, 128, height / 8, width / 8]`
    pub eighth: Tensor<4>,
    /// `[batch, 128, height / 16, width / 16]`
    pub sixteenth: Tensor<4>,
}

impl ContextPath {
    /// A path for maps of `channels16` and `channels32`.
    pub fn new(channels16: usize, channels32: usize, device: &Device) -> Self {
        let head = || ConvBnRelu::new(CONTEXT_CHANNELS, CONTEXT_CHANNELS, 3, device);
        Self {
            arm16: AttentionRefinement::new(channels16, device),
            arm32: AttentionRefinement::new(channels32, device),
            conv_head32: head(),
            conv_head16: head(),
            conv_avg: ConvBnRelu::new(channels32, CONTEXT_CHANNELS, 1, device),
        }
    }

    /// # Shapes
    /// - `map16`: `[batch, channels16, height / 16, width / 16]`
    /// - `map32`: `[batch, channels32, height / 32, width / 32]`
    /// - `eighth`: height and width of the finest map that goes out
    pub fn forward(
        &self,
        map16: Tensor<4>,
        map32: Tensor<4>,
        eighth: [usize; 2],
        observe: Observe<'_>,
    ) -> Context {
        let sixteenth = size_of(&map16);
        let average = self.conv_avg.forward(global_average(map32.clone())); // [_, _, 1, 1]
        let refined = self.arm32.forward(map32);
        observe("arm32", &refined);
        let map32 = self.conv_head32.forward(nearest(refined + average, sixteenth));
        let refined = self.arm16.forward(map16);
        observe("arm16", &refined);
        let map16 = self.conv_head16.forward(nearest(refined + map32.clone(), eighth));
        Context { eighth: map16, sixteenth: map32 }
    }
}

/// How the channels of the fused map are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FusionAttention {
    /// Through a quarter of the channels and back, ReLU between: BiSeNet's paper and STDC's code.
    Bottleneck,
    /// One convolution and a batch norm: the community's code of BiSeNetV1.
    Norm,
}

/// Feature fusion module: two maps side by side, mixed, their channels weighed.
#[derive(Module, Debug)]
pub struct FeatureFusion {
    convblk: ConvBnRelu,
    attention: Attention,
}

#[derive(Module, Debug)]
enum Attention {
    Bottleneck(Bottleneck),
    Norm(Normed),
}

#[derive(Module, Debug)]
struct Bottleneck {
    conv1: Conv2d,
    conv2: Conv2d,
}

#[derive(Module, Debug)]
struct Normed {
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl FeatureFusion {
    /// A module for maps of `from` channels together.
    pub fn new(from: usize, attention: FusionAttention, device: &Device) -> Self {
        let pointwise = |from, to| conv(from, to, 1, 1, device);
        let attention = match attention {
            FusionAttention::Bottleneck => Attention::Bottleneck(Bottleneck {
                conv1: pointwise(FUSED_CHANNELS, FUSED_CHANNELS / 4),
                conv2: pointwise(FUSED_CHANNELS / 4, FUSED_CHANNELS),
            }),
            FusionAttention::Norm => Attention::Norm(Normed {
                conv: pointwise(FUSED_CHANNELS, FUSED_CHANNELS),
                bn: norm(FUSED_CHANNELS, device),
            }),
        };
        Self { convblk: ConvBnRelu::new(from, FUSED_CHANNELS, 1, device), attention }
    }

    /// # Shapes
    /// - `fine`, `context`: `[batch, _, height, width]`
    /// - output: `[batch, 256, height, width]`
    pub fn forward(&self, fine: Tensor<4>, context: Tensor<4>) -> Tensor<4> {
        let x = self.convblk.forward(Tensor::cat(vec![fine, context], 1));
        let average = global_average(x.clone()); // [_, _, 1, 1]
        let attention = match &self.attention {
            Attention::Bottleneck(Bottleneck { conv1, conv2 }) => {
                conv2.forward(relu(conv1.forward(average)))
            }
            Attention::Norm(Normed { conv, bn }) => bn.forward(conv.forward(average)),
        };
        x.clone() * sigmoid(attention) + x
    }
}

/// What is predicted from a map.
#[derive(Module, Debug)]
pub struct OutputHead {
    conv: ConvBnRelu,
    conv_out: Conv2d,
}

impl OutputHead {
    /// From `from` channels over `hidden` ones to `to`; STDC's heads have no bias.
    pub fn new([from, hidden, to]: [usize; 3], bias: bool, device: &Device) -> Self {
        Self {
            conv: ConvBnRelu::new(from, hidden, 3, device),
            conv_out: Conv2dConfig::new([hidden, to], [1, 1]).with_bias(bias).init(device),
        }
    }

    /// # Shapes
    /// - `map`: `[batch, from, height, width]`
    /// - output: `[batch, to, height, width]`
    pub fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        self.conv_out.forward(self.conv.forward(map))
    }
}

/// The reference's name of what is called `context.…` or `ffm.…` here; other paths unchanged.
pub fn reference_name(path: &str) -> String {
    match path.split_once('.') {
        Some(("context", rest)) => format!("cp.{rest}"),
        Some(("ffm", rest)) => format!("ffm.{}", rest.trim_start_matches("attention.")),
        _ => path.to_owned(),
    }
}
