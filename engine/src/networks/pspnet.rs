//! PSPNet: Pyramid Scene Parsing Network.
//!
//! Zhao, Shi, Qi, Wang, Jia. CVPR 2017. arXiv:1612.01105, figures 3 and 4.
//!
//! Layers are named as in the authors' PyTorch code (hszhao/semseg), those of the encoder as in
//! torchvision, whose ResNet it is; the authors' own has three 3x3 convolutions in its stem.

use burn::module::Module;
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::blocks::{ConvBnRelu, Dropout2d, resize, size_of};
use super::efficientnet::Padding;
use super::encoder::{Encoder, EncoderConfig, EncoderKind};
use super::{
    Architecture, Auxiliary, Heads, InvalidSetting, NetworkOutput, Observe, Settings, Start, resnet,
};
use crate::nn::{Conv2d, Conv2dConfig};
use crate::weights::NameMap;

/// Bins a side over which is averaged.
const BINS: [usize; 4] = [1, 2, 3, 6];

/// Settings of [`Pspnet`]. The defaults are the paper's for ResNet-50.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PspnetConfig {
    /// The encoder.
    pub encoder: EncoderKind,
    /// How many times the encoder's published channels.
    pub width: f64,
    /// How many times the blocks of EfficientNet-B0, where that is the encoder.
    pub depth: f64,
    /// How much smaller the map is that is predicted from: 8, 16 or 32.
    pub output_stride: usize,
    /// Channels before the last prediction, twice those of the auxiliary one.
    pub channels: usize,
    /// The share of channels dropped before predictions in training.
    pub dropout: f64,
    /// What the auxiliary head counts for in the loss; at 0 there is none.
    pub auxiliary_weight: f64,
}

impl Default for PspnetConfig {
    fn default() -> Self {
        Self {
            encoder: EncoderKind::Resnet50,
            width: 1.0,
            depth: 1.0,
            output_stride: 8,
            channels: 512,
            dropout: 0.1,
            auxiliary_weight: 0.4,
        }
    }
}

impl PspnetConfig {
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

    /// A network with fresh weights for `in_channels` and `num_classes`. The configuration has to
    /// be [valid](Settings::validate).
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> Pspnet {
        let [.., fourth, last] = self.encoder().channels();
        let pooled = (last / BINS.len()).max(1);
        let feature = |_| ConvBnRelu::new(last, pooled, 1, device);
        let head = |from, channels| Head {
            conv: ConvBnRelu::new(from, channels, 3, device),
            dropout: Dropout2d::new(self.dropout),
            classifier: Conv2dConfig::new([channels, num_classes], [1, 1]).init(device),
        };
        Pspnet {
            backbone: self.encoder().init(in_channels, device),
            ppm: PyramidPooling { features: BINS.into_iter().map(feature).collect() },
            cls: head(last + BINS.len() * pooled, self.channels),
            aux: (self.auxiliary_weight > 0.0).then(|| head(fourth, self.channels.div_ceil(2))),
            auxiliary_weight: self.auxiliary_weight,
        }
    }
}

impl Settings for PspnetConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        self.encoder().validate()?;
        let refuse = |key, value: String, expected: &str| {
            Err(InvalidSetting { key, value, expected: expected.to_owned() })
        };
        if !(1..=4096).contains(&self.channels) {
            return refuse("channels", self.channels.to_string(), "1 to 4096");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return refuse("dropout", self.dropout.to_string(), "at least 0 and below 1");
        }
        if !(0.0..=1e3).contains(&self.auxiliary_weight) {
            return refuse("auxiliary_weight", self.auxiliary_weight.to_string(), "0 to 1000");
        }
        Ok(())
    }

    fn output_stride(&self) -> usize {
        self.output_stride
    }

    fn name_map(&self) -> NameMap {
        NameMap { reference_name, is_alias: |_| false }
    }

    /// The coarsest average has one value per channel and image.
    fn smallest_batch(&self, _size: [usize; 2]) -> usize {
        2
    }
}

/// Averages over few and more bins, each transformed, beside the input.
#[derive(Module, Debug)]
pub struct PyramidPooling {
    features: Vec<ConvBnRelu>,
}

impl PyramidPooling {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let size = size_of(&input);
        let mut maps = vec![input.clone()];
        for (bins, layers) in BINS.into_iter().zip(&self.features) {
            let average = adaptive_avg_pool2d(input.clone(), [bins, bins]);
            maps.push(resize(layers.forward(average), size));
        }
        Tensor::cat(maps, 1)
    }
}

/// A 3x3 convolution and what predicts.
#[derive(Module, Debug)]
pub struct Head {
    conv: ConvBnRelu,
    dropout: Dropout2d,
    classifier: Conv2d,
}

impl Head {
    fn forward(&self, map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
        let x = self.dropout.forward(self.conv.forward(map));
        resize(self.classifier.forward(x), size)
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct Pspnet {
    backbone: Encoder,
    ppm: PyramidPooling,
    cls: Head,
    aux: Option<Head>,
    auxiliary_weight: f64,
}

impl Architecture for Pspnet {
    fn run(&self, input: Tensor<4>, heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        let size = size_of(&input);
        let [.., fourth, last] = self.backbone.forward(input, observe);
        let map = self.ppm.forward(last); // [batch, 2 * last's channels, height / stride, _]
        observe("ppm", &map);
        let mut output = NetworkOutput::from(self.cls.forward(map, size));
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

    /// All but the encoder, as in the authors' training script.
    fn is_head(&self, path: &str) -> bool {
        !path.starts_with("backbone.")
    }

    fn start(&self, path: &str) -> Start {
        if self.backbone.is_depthwise(path) {
            return Start::FanOutByChannel;
        }
        Start::default()
    }
}

/// The weight at `path` as in the authors' code, or torchvision's.
fn reference_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        ["backbone", ..] => resnet::reference_name(path),
        ["ppm", "features", bin, "conv", rest] => format!("ppm.features.{bin}.1.{rest}"),
        ["ppm", "features", bin, "bn", rest] => format!("ppm.features.{bin}.2.{rest}"),
        [head, "conv", "conv", rest] => format!("{head}.0.{rest}"),
        [head, "conv", "bn", rest] => format!("{head}.1.{rest}"),
        [head, "classifier", rest] => format!("{head}.4.{rest}"),
        _ => path.to_owned(),
    }
}
