//! DeepLabV3+: Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation.
//!
//! Chen, Zhu, Papandreou, Schroff, Adam. ECCV 2018. arXiv:1802.02611, figure 2.
//!
//! Departs from the paper: the encoder is a ResNet or an EfficientNet, no norm stands between the
//! two halves of a separable convolution, and the pyramid's convolutions are full ones unless
//! `separable_aspp` is set.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::aspp::{self, Aspp, AsppConfig, Separable};
use crate::networks::blocks::{ConvBnRelu, size_of};
use crate::networks::efficientnet::Padding;
use crate::networks::encoder::{Encoder, EncoderConfig, EncoderKind};
use crate::networks::{
    Architecture, Heads, InvalidSetting, NetworkOutput, Observe, Settings, Start, resnet,
};
use crate::nn::{Conv2d, Conv2dConfig, interpolate_bilinear};
use crate::weights::NameMap;

/// Settings of [`Deeplabv3plus`].
///
/// `output_stride = 32` is ESeg's baseline without atrous convolution, 16 the one with it;
/// `encoder = "efficientnet", depth = 1.1` is EfficientNet-B1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deeplabv3plusConfig {
    /// The encoder.
    pub encoder: EncoderKind,
    /// How many times the encoder's published channels.
    pub width: f64,
    /// How many times the blocks of EfficientNet-B0, where that is the encoder.
    pub depth: f64,
    /// How much smaller the encoder's last map is: 8, 16 or 32.
    pub output_stride: usize,
    /// Channels of the pyramid and of the decoder.
    pub channels: usize,
    /// Channels that the encoder's finest map is reduced to.
    pub low_level_channels: usize,
    /// The distances at which the last map is seen, in its pixels.
    pub rates: [usize; 3],
    /// Whether the pyramid's convolutions are separable too.
    pub separable_aspp: bool,
    /// The share of values dropped behind the pyramid in training; the authors' code keeps 0.9.
    pub dropout: f64,
}

impl Default for Deeplabv3plusConfig {
    fn default() -> Self {
        Self {
            encoder: EncoderKind::Resnet50,
            width: 1.0,
            depth: 1.0,
            output_stride: 16,
            channels: 256,
            low_level_channels: 48,
            rates: [6, 12, 18],
            separable_aspp: false,
            dropout: 0.1,
        }
    }
}

impl Deeplabv3plusConfig {
    fn encoder(&self) -> EncoderConfig {
        EncoderConfig {
            kind: self.encoder,
            width: self.width,
            depth: self.depth,
            padding: Padding::Symmetric,
            stochastic_depth: 0.0,
            output_stride: self.output_stride,
        }
    }

    fn aspp(&self) -> AsppConfig {
        AsppConfig {
            from: self.encoder().channels()[3],
            channels: self.channels,
            rates: self.rates,
            separable: self.separable_aspp,
            dropout: self.dropout,
        }
    }

    /// A network with fresh weights for `in_channels` and `num_classes`. The configuration has to
    /// be [valid](Settings::validate).
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> Deeplabv3plus {
        let [second, ..] = self.encoder().channels();
        let (channels, low_level) = (self.channels, self.low_level_channels);
        Deeplabv3plus {
            backbone: self.encoder().init(in_channels, device),
            aspp: self.aspp().init(device),
            low_level: ConvBnRelu::new(second, low_level, 1, device),
            decoder: [channels + low_level, channels]
                .map(|from| Separable::new(from, channels, 1, device))
                .into(),
            classifier: Conv2dConfig::new([channels, num_classes], [1, 1]).init(device),
        }
    }
}

impl Settings for Deeplabv3plusConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        self.encoder().validate()?;
        self.aspp().check()?;
        if !(1..=4096).contains(&self.low_level_channels) {
            return Err(InvalidSetting {
                key: "low_level_channels",
                value: self.low_level_channels.to_string(),
                expected: "1 to 4096".to_owned(),
            });
        }
        Ok(())
    }

    fn output_stride(&self) -> usize {
        4
    }

    fn name_map(&self) -> NameMap {
        NameMap { reference_name, is_alias: |_| false }
    }

    /// The average over the whole map has one value per channel and image.
    fn smallest_batch(&self, _size: [usize; 2]) -> usize {
        2
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct Deeplabv3plus {
    backbone: Encoder,
    aspp: Aspp,
    low_level: ConvBnRelu,
    decoder: Vec<Separable>,
    classifier: Conv2d,
}

impl Architecture for Deeplabv3plus {
    fn run(&self, input: Tensor<4>, _heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        let size = size_of(&input);
        let [second, .., fifth] = self.backbone.forward(input, observe);
        let map = self.aspp.forward(fifth, observe); // [batch, channels, height / stride, _]
        let map = interpolate_bilinear(map, size_of(&second), false);
        let map = Tensor::cat(vec![map, self.low_level.forward(second)], 1);
        let map = self.decoder.iter().fold(map, |map, layers| layers.forward(map));
        observe("decoder", &map); // [batch, channels, height / 4, width / 4]
        interpolate_bilinear(self.classifier.forward(map), size, false).into()
    }

    fn start(&self, path: &str) -> Start {
        if self.backbone.is_depthwise(path) || path.ends_with(".dw.weight") {
            return Start::FanOutByChannel;
        }
        Start::default()
    }
}

/// The weight at `path` as torchvision would call it as far as it knows the layers.
fn reference_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        ["backbone", ..] => resnet::reference_name(path),
        ["aspp", rest @ ..] => format!("aspp.{}", aspp::reference_name(rest).join(".")),
        _ => path.to_owned(),
    }
}
