//! BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation.
//!
//! Yu, Wang, Peng, Gao, Yu, Sang. ECCV 2018. arXiv:1808.00897, figure 2, on ResNet-18.
//!
//! Follows the community's code (github.com/CoinCheung/BiSeNet): the backbone is strided down to
//! 1/32, a convolution follows each step up of the context path, and the fused map's channels are
//! weighed through one normed convolution ([`FusionAttention::Norm`]). The paper's two without a
//! norm are [`FusionAttention::Bottleneck`].
//!
//! Departs from that code: maps are enlarged to the size of the map that they meet, not by a fixed
//! factor, which is the same for multiples of 32 and lets any other size pass.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::blocks::{ConvBnRelu, size_of};
use super::context_path::{
    self, CONTEXT_CHANNELS, Context, ContextPath, FUSED_CHANNELS, FeatureFusion, FusionAttention,
    OutputHead,
};
use super::resnet::{self, Depth, Resnet, ResnetConfig};
use super::{
    Architecture, Auxiliary, Heads, InvalidSetting, NetworkOutput, Observe, Settings, Start, within,
};
use crate::nn::interpolate_bilinear;
use crate::weights::NameMap;

/// Channels of the spatial path, but for its last layer.
const SPATIAL_CHANNELS: usize = 64;

/// Channels within the heads that only training looks at.
const AUXILIARY_CHANNELS: usize = 64;

/// Settings of a [`BisenetV1`]. The defaults are those of the community's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BisenetV1Config {
    /// Channels of the backbone's first map; those of its stages are 1, 2, 4 and 8 times as many.
    pub base_channels: usize,
    /// How the channels of the fused map are weighed.
    pub fusion: FusionAttention,
}

impl Default for BisenetV1Config {
    fn default() -> Self {
        Self { base_channels: 64, fusion: FusionAttention::Norm }
    }
}

impl Settings for BisenetV1Config {
    fn validate(&self) -> Result<(), InvalidSetting> {
        within("base_channels", self.base_channels, 1..=512)
    }

    fn output_stride(&self) -> usize {
        8
    }

    fn name_map(&self) -> NameMap {
        NameMap { reference_name, ..NameMap::SAME }
    }

    /// Attention is normalized over the averages of whole images.
    fn smallest_batch(&self, _size: [usize; 2]) -> usize {
        2
    }
}

impl BisenetV1Config {
    /// A network with fresh weights for `in_channels` and `num_classes`.
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> BisenetV1 {
        let width = self.base_channels;
        let resnet = ResnetConfig { depth: Depth::Resnet18, width, ..ResnetConfig::default() };
        let [_, _, channels16, channels32] = resnet.channels();
        let auxiliary = || {
            let channels = [CONTEXT_CHANNELS, AUXILIARY_CHANNELS, num_classes];
            OutputHead::new(channels, true, device)
        };
        BisenetV1 {
            resnet: resnet.init(in_channels, device),
            context: ContextPath::new(channels16, channels32, device),
            sp: SpatialPath::new(in_channels, device),
            ffm: FeatureFusion::new(2 * CONTEXT_CHANNELS, self.fusion, device),
            conv_out: OutputHead::new([FUSED_CHANNELS, FUSED_CHANNELS, num_classes], true, device),
            conv_out16: auxiliary(),
            conv_out32: auxiliary(),
        }
    }
}

/// The spatial path: wide, and only to an eighth of the image.
#[derive(Module, Debug)]
pub struct SpatialPath {
    conv1: ConvBnRelu,
    conv2: ConvBnRelu,
    conv3: ConvBnRelu,
    conv_out: ConvBnRelu,
}

impl SpatialPath {
    fn new(in_channels: usize, device: &Device) -> Self {
        let halving = |from, kernel| ConvBnRelu::strided(from, SPATIAL_CHANNELS, kernel, 2, device);
        Self {
            conv1: halving(in_channels, 7),
            conv2: halving(SPATIAL_CHANNELS, 3),
            conv3: halving(SPATIAL_CHANNELS, 3),
            conv_out: ConvBnRelu::new(SPATIAL_CHANNELS, CONTEXT_CHANNELS, 1, device),
        }
    }

    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - output: `[batch, 128, height / 8, width / 8]`, rounded up at each half
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = self.conv2.forward(self.conv1.forward(input)); // [_, _, height / 4, width / 4]
        self.conv_out.forward(self.conv3.forward(x))
    }
}

/// The network of figure 2.
#[derive(Module, Debug)]
pub struct BisenetV1 {
    resnet: Resnet,
    context: ContextPath,
    sp: SpatialPath,
    ffm: FeatureFusion,
    conv_out: OutputHead,
    conv_out16: OutputHead,
    conv_out32: OutputHead,
}

impl Architecture for BisenetV1 {
    fn run(&self, input: Tensor<4>, heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        let size = size_of(&input);
        let [_, eighth, sixteenth, thirty_second] = self.resnet.forward(input.clone());
        observe("resnet_layer2", &eighth);
        observe("resnet_layer4", &thirty_second);
        let context = self.context.forward(sixteenth, thirty_second, size_of(&eighth), observe);
        let Context { eighth: context8, sixteenth: context16 } = context;
        let spatial = self.sp.forward(input);
        observe("sp", &spatial);
        let fused = self.ffm.forward(spatial, context8.clone());
        observe("ffm", &fused);
        let predict = |head: &OutputHead, map| interpolate_bilinear(head.forward(map), size, false);
        let mut output = NetworkOutput::from(predict(&self.conv_out, fused));
        if heads == Heads::All {
            let maps =
                [("aux16", &self.conv_out16, context8), ("aux32", &self.conv_out32, context16)];
            output.auxiliary = maps
                .map(|(name, head, map)| Auxiliary {
                    name: name.to_owned(),
                    logits: predict(head, map),
                    weight: 1.0,
                })
                .into();
        }
        output
    }

    fn is_auxiliary(&self, path: &str) -> bool {
        path.starts_with("conv_out16.") || path.starts_with("conv_out32.")
    }

    /// The fusion and what is predicted with.
    fn is_head(&self, path: &str) -> bool {
        path.starts_with("ffm.") || path.starts_with("conv_out")
    }

    fn start(&self, path: &str) -> Start {
        if path.starts_with("resnet.") { Start::default() } else { context_path::START }
    }
}

/// The community's name of the weight at `path`.
pub fn reference_name(path: &str) -> String {
    match path.strip_prefix("resnet.") {
        Some(path) => format!("cp.resnet.{}", resnet::reference_name(path)),
        None => context_path::reference_name(path),
    }
}
