//! DeepLabV3: Rethinking Atrous Convolution for Semantic Image Segmentation.
//!
//! Chen, Papandreou, Schroff, Adam. 2017. arXiv:1706.05587, figure 5.
//!
//! As in torchvision: output stride 8, one more convolution before the classifier, and an
//! auxiliary head on the last stage but one.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::aspp::{self, Aspp, AsppConfig};
use crate::networks::blocks::{ConvBnRelu, size_of};
use crate::networks::efficientnet::Padding;
use crate::networks::encoder::{Encoder, EncoderConfig, EncoderKind};
use crate::networks::{
    Architecture, Auxiliary, Heads, InvalidSetting, NetworkOutput, Observe, Settings, Start, resnet,
};
use crate::nn::{Conv2d, Conv2dConfig, interpolate_bilinear};
use crate::weights::NameMap;

/// Settings of [`Deeplabv3`]. The defaults are torchvision's for ResNet-50.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deeplabv3Config {
    /// The encoder.
    pub encoder: EncoderKind,
    /// How many times the encoder's published channels.
    pub width: f64,
    /// How many times the blocks of EfficientNet-B0, where that is the encoder.
    pub depth: f64,
    /// How much smaller the map is that is predicted from: 8, 16 or 32.
    pub output_stride: usize,
    /// Channels behind the encoder.
    pub channels: usize,
    /// The distances at which the map is seen, in its pixels.
    pub rates: [usize; 3],
    /// The share of values dropped behind the pyramid in training.
    pub dropout: f64,
    /// What the auxiliary head counts for in the loss; at 0 there is none.
    pub auxiliary_weight: f64,
}

impl Default for Deeplabv3Config {
    fn default() -> Self {
        Self {
            encoder: EncoderKind::Resnet50,
            width: 1.0,
            depth: 1.0,
            output_stride: 8,
            channels: 256,
            rates: [12, 24, 36],
            dropout: 0.5,
            auxiliary_weight: 0.5,
        }
    }
}

impl Deeplabv3Config {
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
            separable: false,
            dropout: self.dropout,
        }
    }

    /// A network with fresh weights for `in_channels` and `num_classes`. The configuration has to
    /// be [valid](Settings::validate).
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> Deeplabv3 {
        let [.., fourth, _] = self.encoder().channels();
        let head = |from, channels| Head {
            conv: ConvBnRelu::new(from, channels, 3, device),
            dropout: None,
            classifier: Conv2dConfig::new([channels, num_classes], [1, 1]).init(device),
        };
        let aux = || Head {
            dropout: Some(DropoutConfig::new(0.1).init()),
            ..head(fourth, (fourth / 4).max(1))
        };
        Deeplabv3 {
            backbone: self.encoder().init(in_channels, device),
            aspp: self.aspp().init(device),
            head: head(self.channels, self.channels),
            aux: (self.auxiliary_weight > 0.0).then(aux),
            auxiliary_weight: self.auxiliary_weight,
        }
    }
}

impl Settings for Deeplabv3Config {
    fn validate(&self) -> Result<(), InvalidSetting> {
        self.encoder().validate()?;
        self.aspp().check()?;
        if !(0.0..=1e3).contains(&self.auxiliary_weight) {
            return Err(InvalidSetting {
                key: "auxiliary_weight",
                value: self.auxiliary_weight.to_string(),
                expected: "0 to 1000".to_owned(),
            });
        }
        Ok(())
    }

    fn output_stride(&self) -> usize {
        self.output_stride
    }

    fn name_map(&self) -> NameMap {
        NameMap { reference_name, is_alias: |_| false }
    }

    /// The average over the whole map has one value per channel and image.
    fn smallest_batch(&self, _size: [usize; 2]) -> usize {
        2
    }
}

/// A 3x3 convolution and what predicts.
#[derive(Module, Debug)]
pub struct Head {
    conv: ConvBnRelu,
    dropout: Option<Dropout>,
    classifier: Conv2d,
}

impl Head {
    fn forward(&self, map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
        let mut x = self.conv.forward(map);
        if let Some(dropout) = &self.dropout {
            x = dropout.forward(x);
        }
        interpolate_bilinear(self.classifier.forward(x), size, false)
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct Deeplabv3 {
    backbone: Encoder,
    aspp: Aspp,
    head: Head,
    aux: Option<Head>,
    auxiliary_weight: f64,
}

impl Architecture for Deeplabv3 {
    fn run(&self, input: Tensor<4>, heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        let size = size_of(&input);
        let [.., fourth, fifth] = self.backbone.forward(input, observe);
        let map = self.aspp.forward(fifth, observe); // [batch, channels, height / stride, _]
        let mut output = NetworkOutput::from(self.head.forward(map, size));
        if let (Heads::All, Some(head)) = (heads, &self.aux) {
            output.auxiliary.push(Auxiliary {
                name: "aux".to_owned(),
                logits: head.forward(fourth, size),
                weight: self.auxiliary_weight,
            });
        }
        output
    }

    fn is_auxiliary(&self, path: &str) -> bool {
        path.starts_with("aux.")
    }

    /// The auxiliary one, as in torchvision's training script.
    fn is_head(&self, path: &str) -> bool {
        path.starts_with("aux.")
    }

    fn start(&self, path: &str) -> Start {
        if self.backbone.is_depthwise(path) {
            return Start::FanOutByChannel;
        }
        Start::default()
    }
}

/// torchvision's name of the weight at `path`.
fn reference_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    let head = |name: &str, first: usize, rest: &[&str]| {
        let (layer, rest) = match rest {
            ["conv", "conv", rest @ ..] => (first, rest),
            ["conv", "bn", rest @ ..] => (first + 1, rest),
            ["classifier", rest @ ..] => (4, rest),
            _ => return path.to_owned(),
        };
        format!("{name}.{layer}.{}", rest.join("."))
    };
    match parts.as_slice() {
        ["backbone", ..] => resnet::reference_name(path),
        ["aspp", rest @ ..] => format!("classifier.0.{}", aspp::reference_name(rest).join(".")),
        ["head", rest @ ..] => head("classifier", 1, rest),
        ["aux", rest @ ..] => head("aux_classifier", 0, rest),
        _ => path.to_owned(),
    }
}
