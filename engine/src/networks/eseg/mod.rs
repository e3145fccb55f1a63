//! ESeg: Revisiting Multi-Scale Feature Fusion for Semantic Segmentation.
//!
//! Meng, Ghiasi, Mahjourian, Le, Tan. 2022. arXiv:2203.12683, figure 2.
//!
//! An encoder without dilation, averaged on to ever coarser levels, a bidirectional pyramid over
//! all of them, and one prediction from their weighted mean at the finest.
//!
//! No code was published. Where the paper leaves a choice, the one is taken that has its
//! parameters and operations: projections are shared by all nodes that read a level
//! ([`Projection`]), the head is one separable convolution.

mod config;
pub mod pyramid;

use burn::module::{Initializer, Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};

use super::blocks::size_of;
use super::encoder::Encoder;
use super::{Architecture, Heads, InvalidSetting, NetworkOutput, Observe, Settings, Start, resnet};
use crate::nn::{Conv2d, Conv2dConfig, interpolate_bilinear};
use crate::weights::NameMap;
pub use config::{EsegConfig, ExtraLevels, Projection, Pyramid, Size};
use pyramid::{Cell, CellConfig, Extra, Separable, activate};

impl EsegConfig {
    /// A network with fresh weights for `in_channels` and `num_classes`. The configuration has to
    /// be [valid](Self::validate).
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> Eseg {
        let channels = self.channels();
        let mut from = self.encoder_channels();
        let last = *from.last().expect("an encoder has levels");
        let extra = self.top_level - 5;
        let above = match self.extra_levels {
            ExtraLevels::AveragePool => last,
            ExtraLevels::ProjectedMaxPool => channels,
        };
        from.extend((0..extra).map(|_| above));
        let levels = from.len();
        let cell = |from: Vec<usize>| {
            let (pyramid, projection, lite) = (self.pyramid, self.projection, self.lite());
            CellConfig { pyramid, projection, from, channels, lite }.init(device)
        };
        let cells = (0..self.cells())
            .map(|index| cell(if index == 0 { from.clone() } else { vec![channels; levels] }))
            .collect();
        Eseg {
            encoder: self.encoder().init(in_channels, device),
            skipped: self.lowest_level() - 2,
            extra: Extra::new(self.extra_levels, extra, [last, channels], device),
            cells,
            fuse_logits: Initializer::Ones.init([levels], device),
            head: Head {
                conv: Separable::new(channels, device),
                classifier: Conv2dConfig::new([channels, num_classes], [1, 1]).init(device),
                lite: self.lite(),
            },
        }
    }
}

impl Settings for EsegConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        self.check()
    }

    fn output_stride(&self) -> usize {
        1 << self.lowest_level()
    }

    fn name_map(&self) -> NameMap {
        NameMap { reference_name, is_alias: |_| false }
    }

    /// Two where the top level is a single pixel.
    fn smallest_batch(&self, size: [usize; 2]) -> usize {
        if size.into_iter().all(|length| length <= 1 << self.top_level) { 2 } else { 1 }
    }

    fn output_names(&self) -> &'static [&'static str] {
        &["logits_base"]
    }

    fn logits_name(&self) -> &'static str {
        "logits_full"
    }
}

/// What predicts.
#[derive(Module, Debug)]
pub struct Head {
    conv: Separable,
    classifier: Conv2d,
    lite: bool,
}

impl Head {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.classifier.forward(activate(self.conv.forward(input), self.lite))
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct Eseg {
    encoder: Encoder,
    /// How many of the encoder's maps are finer than the pyramid.
    skipped: usize,
    extra: Extra,
    cells: Vec<Cell>,
    /// One for each level: what it counts for in the last map, before the softmax.
    fuse_logits: Param<Tensor<1>>,
    head: Head,
}

impl Eseg {
    /// The levels' weighted mean, in the size of the finest.
    fn merge(&self, levels: Vec<Tensor<4>>) -> Tensor<4> {
        let size = size_of(&levels[0]);
        let weights = softmax(self.fuse_logits.val(), 0);
        let weighted = levels.into_iter().enumerate().map(|(index, map)| {
            let weight = weights.clone().narrow(0, index, 1).reshape([1, 1, 1, 1]);
            // The weight goes first: there is less of a coarse map.
            interpolate_bilinear(map * weight, size, false)
        });
        weighted.reduce(|sum, map| sum + map).expect("a pyramid has levels")
    }
}

impl Architecture for Eseg {
    fn run(&self, input: Tensor<4>, _heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        let size = size_of(&input);
        let levels = self.encoder.forward(input, observe).into_iter();
        let levels = self.extra.forward(levels.skip(self.skipped).collect());
        let levels = self.cells.iter().fold(levels, |levels, cell| cell.forward(levels));
        let logits = self.head.forward(self.merge(levels)); // [batch, num_classes, height / stride, _]
        observe("logits_base", &logits);
        interpolate_bilinear(logits, size, false).into()
    }

    fn start(&self, path: &str) -> Start {
        if self.encoder.is_depthwise(path) || path.ends_with(".dw.weight") {
            return Start::FanOutByChannel;
        }
        Start::default()
    }
}

/// The weight at `path` as the golden vectors call it; no code was published.
fn reference_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        ["encoder", ..] => resnet::reference_name(path),
        ["cells", cell, "lateral", level, layer, rest @ ..] => {
            let layer = if *layer == "conv" { "0" } else { "1" };
            [&["cells", cell, "lateral", level, layer], rest].concat().join(".")
        }
        ["head", "conv", rest @ ..] => [&["head", "0", "0"], rest].concat().join("."),
        ["head", "classifier", rest @ ..] => [&["head", "1"], rest].concat().join("."),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::encoder::EncoderKind;

    fn read(text: &str) -> Result<EsegConfig, String> {
        toml::from_str::<EsegConfig>(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn an_empty_table_is_the_published_s() {
        let config = read("").unwrap();
        assert_eq!(config, EsegConfig::published(Size::S));
        assert_eq!((config.channels(), config.cells(), config.lowest_level()), (96, 4, 2));
    }

    #[test]
    fn keys_beside_the_size_take_the_place_of_its_own() {
        let text = "size = \"lite_m\"\nencoder = \"resnet50\"\nchannels = 32\ncells = 1\n\
                    lowest_level = 2\ntop_level = 7\npyramid = \"fpn\"\n\
                    projection = \"per_edge\"\nextra_levels = \"projected_max_pool\"\n";
        let config = read(text).unwrap();
        assert_eq!((config.channels(), config.cells(), config.lowest_level()), (32, 1, 2));
        assert_eq!(config.encoder().kind, EncoderKind::Resnet50);
        assert_eq!(config.encoder().width, 1.0, "a ResNet does not take over the size's");
        assert_eq!(config.top_level, 7);
        assert_eq!(config.pyramid, Pyramid::Fpn);
        let written = toml::to_string(&config).unwrap();
        assert_eq!(read(&written).unwrap(), config);
        assert!(read("levels = 3").unwrap_err().contains("unknown field `levels`"));
    }

    #[test]
    fn what_cannot_be_built_is_named_with_its_value_and_what_would_be_right() {
        for (text, expected) in [
            ("channels = 0", "`channels` is 0, expected 1 to 2048"),
            ("cells = 0", "`cells` is 0, expected 1 to 32"),
            ("width = 99.0", "`width` is 99, expected 0.01 to 4 times the channels"),
            (
                "lowest_level = 1",
                "`lowest_level` is 1, expected 2 to 4, levels of the encoder below its last",
            ),
            (
                "top_level = 10",
                "`top_level` is 10, expected 5 to 9, the encoder's last or one above",
            ),
            (
                "encoder = \"resnet18\"\npadding = \"same\"",
                "`padding` is same, expected symmetric of a ResNet",
            ),
        ] {
            assert_eq!(read(text).unwrap().validate().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_batch_of_one_needs_two_pixels_on_top() {
        let config = EsegConfig::default();
        assert_eq!(config.smallest_batch([512, 512]), 2);
        assert_eq!(config.smallest_batch([512, 513]), 1);
        assert_eq!(EsegConfig { top_level: 5, ..config }.smallest_batch([64, 32]), 1);
    }

    #[test]
    fn parts_are_named_as_in_the_reference() {
        for (ours, theirs) in [
            ("encoder.blocks.3.se.reduce.bias", "encoder.blocks.3.se.reduce.bias"),
            ("encoder.layers.0.1.conv1.weight", "encoder.layer1.1.conv1.weight"),
            ("cells.0.lateral.7.bn.weight", "cells.0.lateral.7.1.weight"),
            ("cells.3.nodes.13.conv.bn.bias", "cells.3.nodes.13.conv.bn.bias"),
            ("head.conv.dw.weight", "head.0.0.dw.weight"),
            ("head.classifier.bias", "head.1.bias"),
        ] {
            assert_eq!(reference_name(ours), theirs);
        }
    }
}
