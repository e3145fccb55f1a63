//! nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation.
//!
//! Isensee, Jaeger, Kohl, Petersen, Maier-Hein. Nature Methods 2021. arXiv:1904.08128; the plain
//! convolutional U-Net for slices, as its authors' code builds it
//! (github.com/MIC-DKFZ/dynamic-network-architectures, `PlainConvUNet`).
//!
//! What nnU-Net derives from the data is a setting here: it takes as many stages as make the last
//! map some 4 pixels a side, seven for slices of 256 and eight for 512.
//!
//! Departs from the code: what the lower levels predict is resized to the input and compared there,
//! where the code shrinks the labels. Losses of the levels weigh 1, 1/2, 1/4 and so on; the code
//! divides them by their sum, which is the same at another learning rate.

use burn::module::Module;
use burn::tensor::activation::leaky_relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::blocks::size_of;
use super::{
    Architecture, Auxiliary, Heads, InvalidSetting, NetworkOutput, Observe, Settings, Start, within,
};
use crate::nn::{
    Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig, InstanceNorm2d,
    InstanceNorm2dConfig, interpolate_bilinear,
};
use crate::weights::NameMap;

/// The slope of the activation below zero.
const SLOPE: f64 = 0.01;

/// Settings of a [`Nnunet`]. The defaults are those of slices of 256 x 256 pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NnunetConfig {
    /// Resolutions of the encoder, each half of the one before.
    pub stages: usize,
    /// Channels of the first stage; each further one has twice as many, up to `max_channels`.
    pub base_channels: usize,
    /// Channels of any stage at most.
    pub max_channels: usize,
    /// Convolutions of each stage.
    pub convs_per_stage: usize,
    /// Levels of the decoder, counted from the lowest, whose predictions have no part in the loss.
    /// Two by our specification; the authors' code leaves out one.
    pub unsupervised_levels: usize,
}

impl Default for NnunetConfig {
    fn default() -> Self {
        Self {
            stages: 7,
            base_channels: 32,
            max_channels: 512,
            convs_per_stage: 2,
            unsupervised_levels: 2,
        }
    }
}

impl Settings for NnunetConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        within("stages", self.stages, 2..=10)?;
        within("base_channels", self.base_channels, 1..=1024)?;
        within("max_channels", self.max_channels, self.base_channels..=8192)?;
        within("convs_per_stage", self.convs_per_stage, 1..=8)?;
        within("unsupervised_levels", self.unsupervised_levels, 0..=10)
    }

    /// Each stage but the first halves height and width.
    fn size_multiple(&self) -> usize {
        1 << (self.stages - 1)
    }

    fn smallest_size(&self) -> usize {
        self.size_multiple()
    }

    fn output_stride(&self) -> usize {
        1
    }

    fn name_map(&self) -> NameMap {
        NameMap { reference_name, is_alias }
    }
}

impl NnunetConfig {
    /// A network with fresh weights for `in_channels` and `num_classes`.
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> Nnunet {
        let channels = |stage: usize| self.max_channels.min(self.base_channels << stage);
        let mut from = in_channels;
        let encoder = (0..self.stages).map(|stage| {
            let to = channels(stage);
            let stride = if stage == 0 { 1 } else { 2 };
            let convs = ConvStage::new([from, to], self.convs_per_stage, stride, device);
            from = to;
            convs
        });
        let encoder = encoder.collect();
        let levels = || (0..self.stages - 1).rev();
        Nnunet {
            encoder,
            transpconvs: levels()
                .map(|level| {
                    ConvTranspose2dConfig::new([channels(level + 1), channels(level)], [2, 2])
                        .with_stride([2, 2])
                        .init(device)
                })
                .collect(),
            decoder: levels()
                .map(|level| {
                    let to = channels(level);
                    ConvStage::new([2 * to, to], self.convs_per_stage, 1, device)
                })
                .collect(),
            seg_layers: levels()
                .map(|level| Conv2dConfig::new([channels(level), num_classes], [1, 1]).init(device))
                .collect(),
            supervised: (self.stages - 1).saturating_sub(self.unsupervised_levels),
            size_multiple: self.size_multiple(),
        }
    }
}

/// Convolution, instance norm, leaky ReLU.
#[derive(Module, Debug)]
pub struct ConvNorm {
    conv: Conv2d,
    norm: InstanceNorm2d,
}

impl ConvNorm {
    fn new([from, to]: [usize; 2], stride: usize, device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new([from, to], [3, 3])
                .with_stride([stride, stride])
                .with_padding([1, 1])
                .init(device), // with a bias, although the norm undoes it
            norm: InstanceNorm2dConfig::new(to).init(device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        leaky_relu(self.norm.forward(self.conv.forward(input)), SLOPE)
    }
}

/// The convolutions of one resolution, of which the first may halve height and width.
#[derive(Module, Debug)]
pub struct ConvStage {
    convs: Vec<ConvNorm>,
}

impl ConvStage {
    fn new([from, to]: [usize; 2], count: usize, stride: usize, device: &Device) -> Self {
        let first = ConvNorm::new([from, to], stride, device);
        let others = (1..count).map(|_| ConvNorm::new([to, to], 1, device));
        Self { convs: [first].into_iter().chain(others).collect() }
    }

    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, to, height / stride, width / stride]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.convs.iter().fold(input, |x, conv| conv.forward(x))
    }
}

/// The network. Height and width of the input have to be multiples of
/// [`size_multiple`](Settings::size_multiple). Levels of the decoder are counted from the lowest.
#[derive(Module, Debug)]
pub struct Nnunet {
    encoder: Vec<ConvStage>,
    transpconvs: Vec<ConvTranspose2d>,
    decoder: Vec<ConvStage>,
    seg_layers: Vec<Conv2d>,
    /// Levels, from the finest, whose predictions have a part in the loss.
    supervised: usize,
    size_multiple: usize,
}

impl Architecture for Nnunet {
    fn run(&self, input: Tensor<4>, heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        let size @ [height, width] = size_of(&input);
        assert!(
            height % self.size_multiple == 0 && width % self.size_multiple == 0,
            "height {height} and width {width} have to be multiples of {}",
            self.size_multiple
        );
        let mut skips = Vec::with_capacity(self.encoder.len());
        let mut x = input;
        for (index, stage) in self.encoder.iter().enumerate() {
            x = stage.forward(x); // halves height and width from the second on
            observe(&format!("encoder{index}"), &x);
            skips.push(x.clone());
        }
        skips.pop(); // the bottom has no skip
        let mut maps = Vec::with_capacity(self.decoder.len());
        for (index, (up, stage)) in self.transpconvs.iter().zip(&self.decoder).enumerate() {
            let skip = skips.pop().expect("one skip for each level");
            x = stage.forward(Tensor::cat(vec![up.forward(x), skip], 1));
            observe(&format!("decoder{index}"), &x);
            if heads == Heads::All {
                maps.push(x.clone());
            }
        }
        let head = self.seg_layers.last().expect("a decoder has levels");
        let mut output = NetworkOutput::from(head.forward(x));
        let levels = maps.into_iter().zip(&self.seg_layers).rev().take(self.supervised);
        let lower = levels.enumerate().skip(1).map(|(level, (map, head))| Auxiliary {
            name: format!("aux{level}"),
            logits: interpolate_bilinear(head.forward(map), size, false),
            weight: 0.5_f64.powi(level as i32),
        });
        output.auxiliary = lower.collect();
        output
    }

    fn is_auxiliary(&self, path: &str) -> bool {
        let main = format!("seg_layers.{}.", self.seg_layers.len() - 1);
        path.starts_with("seg_layers.") && !path.starts_with(&main)
    }

    fn start(&self, _path: &str) -> Start {
        Start::FanIn { slope: SLOPE }
    }
}

/// The authors' name of the weight at `path`.
pub fn reference_name(path: &str) -> String {
    match path.split_once('.') {
        Some(("encoder", rest)) => {
            let (stage, rest) = rest.split_once('.').unwrap_or((rest, ""));
            format!("encoder.stages.{stage}.0.{rest}")
        }
        Some(("decoder", rest)) => format!("decoder.stages.{rest}"),
        _ => format!("decoder.{path}"),
    }
}

/// Whether `name` is in the authors' files a second time what another name is already: their
/// decoder holds the encoder, and each layer a sequence of its parts.
pub fn is_alias(name: &str) -> bool {
    name.starts_with("decoder.encoder.") || name.contains(".all_modules.")
}
