//! The encoders that ESeg and DeepLabV3+ can stand on.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::InvalidSetting;
use super::efficientnet::{Efficientnet, EfficientnetConfig, Padding};
use super::resnet::{self, Resnet, ResnetConfig};

/// Which encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderKind {
    /// EfficientNet, in any width and depth.
    Efficientnet,
    /// EfficientNet of fused convolutions, as ESeg-Lite has it.
    EfficientnetLite,
    /// ResNet of 18 layers.
    Resnet18,
    /// ResNet of 34 layers.
    Resnet34,
    /// ResNet of 50 layers.
    Resnet50,
    /// ResNet of 101 layers.
    Resnet101,
}

impl EncoderKind {
    fn resnet(self) -> Option<resnet::Depth> {
        match self {
            Self::Efficientnet | Self::EfficientnetLite => None,
            Self::Resnet18 => Some(resnet::Depth::Resnet18),
            Self::Resnet34 => Some(resnet::Depth::Resnet34),
            Self::Resnet50 => Some(resnet::Depth::Resnet50),
            Self::Resnet101 => Some(resnet::Depth::Resnet101),
        }
    }
}

/// Settings of an [`Encoder`], as the networks that stand on it have them.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Which one.
    pub kind: EncoderKind,
    /// How many times the published channels: those of B0, or a ResNet's 64 and its multiples.
    pub width: f64,
    /// How many times the blocks of B0; a ResNet has as many as its name says.
    pub depth: f64,
    /// Where strided convolutions get their zeros; a ResNet's is always symmetric.
    pub padding: Padding,
    /// The probability of an EfficientNet's last block to be passed over in training.
    pub stochastic_depth: f64,
    /// How much smaller the last map is than the image.
    pub output_stride: usize,
}

impl EncoderConfig {
    /// Whether an encoder of these settings can be built.
    ///
    /// # Errors
    /// [`InvalidSetting`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let refuse = |key, value: String, expected: &str| {
            Err(InvalidSetting { key, value, expected: expected.to_owned() })
        };
        if !(0.01..=4.0).contains(&self.width) {
            return refuse("width", self.width.to_string(), "0.01 to 4 times the channels");
        }
        if !(0.01..=4.0).contains(&self.depth) {
            return refuse("depth", self.depth.to_string(), "0.01 to 4 times the blocks");
        }
        if !(0.0..1.0).contains(&self.stochastic_depth) {
            let expected = "at least 0 and below 1";
            return refuse("stochastic_depth", self.stochastic_depth.to_string(), expected);
        }
        let strides: &[usize] = match self.kind {
            EncoderKind::Resnet50 | EncoderKind::Resnet101 => &[8, 16, 32],
            EncoderKind::Efficientnet | EncoderKind::EfficientnetLite => &[16, 32],
            EncoderKind::Resnet18 | EncoderKind::Resnet34 => &[32],
        };
        if !strides.contains(&self.output_stride) {
            let strides: Vec<_> = strides.iter().map(ToString::to_string).collect();
            let expected = format!("{} of this encoder", strides.join(", "));
            return refuse("output_stride", self.output_stride.to_string(), &expected);
        }
        if self.kind.resnet().is_some() {
            if self.padding != Padding::Symmetric {
                return refuse("padding", "same".to_owned(), "symmetric of a ResNet");
            }
            if self.stochastic_depth > 0.0 {
                let value = self.stochastic_depth.to_string();
                return refuse("stochastic_depth", value, "0 of a ResNet");
            }
        }
        Ok(())
    }

    fn resnet(&self, depth: resnet::Depth) -> ResnetConfig {
        let width = ((64.0 * self.width).round() as usize).max(1);
        ResnetConfig { depth, width, output_stride: self.output_stride }
    }

    fn efficientnet(&self) -> EfficientnetConfig {
        EfficientnetConfig {
            width: self.width,
            depth: self.depth,
            lite: self.kind == EncoderKind::EfficientnetLite,
            padding: self.padding,
            stochastic_depth: self.stochastic_depth,
            output_stride: self.output_stride,
            ..EfficientnetConfig::default()
        }
    }

    /// Channels of the levels 2 to 5.
    pub fn channels(&self) -> [usize; 4] {
        if let Some(depth) = self.kind.resnet() {
            return self.resnet(depth).channels();
        }
        let [_, rest @ ..] = self.efficientnet().channels();
        rest
    }

    /// An encoder with fresh weights. The configuration has to be [valid](Self::validate).
    pub fn init(&self, in_channels: usize, device: &Device) -> Encoder {
        match self.kind.resnet() {
            Some(depth) => Encoder::Resnet(self.resnet(depth).init(in_channels, device)),
            None => Encoder::Efficientnet(self.efficientnet().init(in_channels, device)),
        }
    }
}

/// Any of the encoders.
#[derive(Module, Debug)]
pub enum Encoder {
    /// [`super::efficientnet`]
    Efficientnet(Efficientnet),
    /// [`super::resnet`]
    Resnet(Resnet),
}

impl Encoder {
    /// Whether the weight at `path` is that of an EfficientNet's depthwise convolution.
    pub fn is_depthwise(&self, path: &str) -> bool {
        matches!(self, Self::Efficientnet(encoder) if encoder.is_depthwise(path))
    }

    /// The maps of the levels 2 to 5, the finest first, also told to `observe` as `p2` to `p5`, or
    /// as a ResNet's `layer1` to `layer4`.
    ///
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - output of level l: its [channels](EncoderConfig::channels), height and width divided by
    ///   2^l and rounded up, unless the output stride says otherwise
    pub fn forward(
        &self,
        input: Tensor<4>,
        observe: &mut dyn FnMut(&str, &Tensor<4>),
    ) -> [Tensor<4>; 4] {
        match self {
            Self::Efficientnet(encoder) => {
                let [_, rest @ ..] = encoder.forward(input, observe);
                rest
            }
            Self::Resnet(encoder) => {
                let maps = encoder.forward(input);
                for (level, map) in maps.iter().enumerate() {
                    observe(&format!("layer{}", level + 1), map);
                }
                maps
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: EncoderKind) -> EncoderConfig {
        EncoderConfig {
            kind,
            width: 0.1,
            depth: 0.1,
            padding: Padding::Symmetric,
            stochastic_depth: 0.0,
            output_stride: 32,
        }
    }

    #[test]
    fn every_encoder_answers_the_levels_two_to_five() {
        let device = Device::flex();
        for kind in [
            EncoderKind::Efficientnet,
            EncoderKind::EfficientnetLite,
            EncoderKind::Resnet18,
            EncoderKind::Resnet34,
            EncoderKind::Resnet50,
            EncoderKind::Resnet101,
        ] {
            let config = config(kind);
            config.validate().unwrap();
            let mut observed = Vec::new();
            let encoder = config.init(2, &device);
            let maps = encoder.forward(Tensor::ones([1, 2, 65, 33], &device), &mut |name, map| {
                observed.push((name.to_owned(), map.dims()));
            });
            for (level, (map, channels)) in maps.iter().zip(config.channels()).enumerate() {
                let size = [65, 33].map(|size: usize| size.div_ceil(4 << level));
                assert_eq!(map.dims(), [1, channels, size[0], size[1]], "{kind:?}");
                let named = |name| observed.contains(&(name, map.dims()));
                assert!(named(format!("p{}", level + 2)) || named(format!("layer{}", level + 1)));
            }
        }
    }

    #[test]
    fn what_cannot_be_built_is_named_with_its_value_and_what_would_be_right() {
        use EncoderKind::{Efficientnet, Resnet18, Resnet50};
        let said = |config: EncoderConfig| config.validate().unwrap_err().to_string();
        for (config, expected) in [
            (
                EncoderConfig { width: 0.0, ..config(Efficientnet) },
                "`width` is 0, expected 0.01 to 4 times the channels",
            ),
            (
                EncoderConfig { depth: f64::NAN, ..config(Efficientnet) },
                "`depth` is NaN, expected 0.01 to 4 times the blocks",
            ),
            (
                EncoderConfig { stochastic_depth: 1.0, ..config(Efficientnet) },
                "`stochastic_depth` is 1, expected at least 0 and below 1",
            ),
            (
                EncoderConfig { stochastic_depth: 0.2, ..config(Resnet50) },
                "`stochastic_depth` is 0.2, expected 0 of a ResNet",
            ),
            (
                EncoderConfig { padding: Padding::Same, ..config(Resnet50) },
                "`padding` is same, expected symmetric of a ResNet",
            ),
            (
                EncoderConfig { output_stride: 8, ..config(Efficientnet) },
                "`output_stride` is 8, expected 16, 32 of this encoder",
            ),
            (
                EncoderConfig { output_stride: 16, ..config(Resnet18) },
                "`output_stride` is 16, expected 32 of this encoder",
            ),
        ] {
            assert_eq!(said(config), expected);
        }
    }
}
