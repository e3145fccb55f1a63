//! The architectures: an enum and a `match`.
//!
//! Each file or folder holds one network and reads like its paper's figure. Networks
//! return logits; softmax belongs to the loss and to inference. Every network is a Burn
//! module that implements [`Architecture`], every one's settings implement [`Settings`];
//! the two enums here are what a file names and what the rest of the engine holds.

pub mod attention;
pub mod bisenet_v1;
pub mod bisenet_v2;
pub mod blocks;
pub mod bpnet;
mod catalogue;
pub mod context_path;
pub mod deeplab;
pub mod efficientnet;
pub mod encoder;
pub mod eseg;
pub mod hrnet;
pub mod nnunet;
pub mod pspnet;
pub mod resnet;
pub mod specialize_fuse;
pub mod stdc;
pub mod unet;

use std::ops::RangeInclusive;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::losses::detail::DiceDenominator;
use crate::weights::{self, NameMap};
use bisenet_v1::{BisenetV1, BisenetV1Config};
use bisenet_v2::{BisenetV2, BisenetV2Config};
use bpnet::{Bpnet, BpnetConfig};
pub use catalogue::{Figure, NetworkEntry, catalogue};
use deeplab::{Deeplabv3, Deeplabv3Config, Deeplabv3plus, Deeplabv3plusConfig};
use eseg::{Eseg, EsegConfig};
use hrnet::{Hrnet, HrnetConfig};
use nnunet::{Nnunet, NnunetConfig};
use pspnet::{Pspnet, PspnetConfig};
use specialize_fuse::{SpecializeFuse, SpecializeFuseConfig, Supervision};
use stdc::{StdcCls, StdcClsConfig, StdcSeg, StdcSegConfig};
use unet::{Unet, UnetConfig};

/// A setting from which no network can be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{key}` is {value}, expected {expected}")]
pub struct InvalidSetting {
    /// The key as it stands in the configuration file.
    pub key: &'static str,
    /// What it was set to.
    pub value: String,
    /// What would be right.
    pub expected: String,
}

/// Refuses a count outside of `range`.
fn within(
    key: &'static str,
    value: usize,
    range: RangeInclusive<usize>,
) -> Result<(), InvalidSetting> {
    if range.contains(&value) {
        return Ok(());
    }
    let expected = format!("{} to {}", range.start(), range.end());
    Err(InvalidSetting { key, value: value.to_string(), expected })
}

/// Refuses a share of which nothing would be left.
fn share(key: &'static str, value: f64) -> Result<(), InvalidSetting> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    let expected = "at least 0 and below 1".to_owned();
    Err(InvalidSetting { key, value: value.to_string(), expected })
}

/// What the settings of every network answer.
pub trait Settings {
    /// Whether a network of these settings can be built.
    ///
    /// # Errors
    /// [`InvalidSetting`] names the key, its value and what would be right.
    fn validate(&self) -> Result<(), InvalidSetting>;

    /// Height and width of the input are padded to a multiple of this.
    fn size_multiple(&self) -> usize {
        1
    }

    /// Height and width of the input are padded to at least this.
    fn smallest_size(&self) -> usize {
        1
    }

    /// Pixels of the input, along an axis, for each of the map that the logits are predicted on
    /// before they are resized.
    fn output_stride(&self) -> usize;

    /// How its weights are called in a file: as in the reference code where there is one. Paths
    /// are those of the network itself.
    fn name_map(&self) -> NameMap;

    /// How many images a training step needs at this height and width: two where a batch norm
    /// would otherwise see a single value of each channel.
    fn smallest_batch(&self, _size: [usize; 2]) -> usize {
        1
    }

    /// Maps, besides the logits, that the network is known by and tells its observer at inference,
    /// such as logits before they are resized.
    fn output_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// What the reference calls the logits.
    fn logits_name(&self) -> &'static str {
        "logits"
    }

    /// Whether it answers with one label for the whole image; then logits are
    /// `[batch, num_classes, 1, 1]`.
    fn classifies_images(&self) -> bool {
        false
    }
}

/// Hears what each part of a network answers, by the part's name in the reference. Two
/// implementations part at the first that differs.
pub type Observe<'a> = &'a mut dyn FnMut(&str, &Tensor<4>);

/// Which heads of a network are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// The prediction alone: what inference needs.
    Main,
    /// Also those that only training looks at.
    All,
}

/// What every network does.
pub trait Architecture {
    /// The logits and, with [`Heads::All`], what training looks at besides; `observe` hears what
    /// the parts answer.
    ///
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`, at least
    ///   [`smallest_size`](Settings::smallest_size) and a multiple of
    ///   [`size_multiple`](Settings::size_multiple) a side
    fn run(&self, input: Tensor<4>, heads: Heads, observe: Observe<'_>) -> NetworkOutput;

    /// Whether the weight at `path` never reaches the logits.
    fn is_auxiliary(&self, _path: &str) -> bool {
        false
    }

    /// Whether the weight at `path` belongs to a head, for which some papers raise the learning
    /// rate.
    fn is_head(&self, _path: &str) -> bool {
        false
    }

    /// How the layer starts that the weight or bias at `path` belongs to.
    fn start(&self, _path: &str) -> Start {
        Start::default()
    }
}

/// How the weights and biases of a layer start. Norms start as they were made.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Start {
    /// Kaiming normal over the fan-out, for ReLU (He et al. 2015); biases uniform within
    /// 1 / √fan-in, as PyTorch draws them.
    #[default]
    FanOut,
    /// The same, but each output channel as if it were alone: so EfficientNet's authors draw
    /// depthwise convolutions.
    FanOutByChannel,
    /// Kaiming normal over the fan-out, for ReLU; biases zero.
    FanOutUnbiased,
    /// Kaiming normal over the fan-in, for a ReLU of this slope below zero; biases zero.
    FanIn {
        /// The slope.
        slope: f64,
    },
    /// Normal with this deviation; biases zero.
    Normal {
        /// The deviation.
        deviation: f64,
    },
}

/// What a network answers.
#[derive(Debug, Clone)]
pub struct NetworkOutput {
    /// `[batch, num_classes, height, width]`, the size of the input.
    pub logits: Tensor<4>,
    /// What the auxiliary heads predict; empty for [`Heads::Main`].
    pub auxiliary: Vec<Auxiliary>,
    /// Where the boundaries of objects are, for the detail loss.
    pub detail: Vec<DetailOutput>,
    /// Predictions at several resolutions, from which the logits were fused.
    pub pyramid: Option<PyramidOutput>,
}

impl From<Tensor<4>> for NetworkOutput {
    /// Logits and nothing else.
    fn from(logits: Tensor<4>) -> Self {
        Self { logits, auxiliary: Vec::new(), detail: Vec::new(), pyramid: None }
    }
}

/// What an auxiliary head predicts.
#[derive(Debug, Clone)]
pub struct Auxiliary {
    /// Its name in the reference.
    pub name: String,
    /// Logits of the shape of the main ones.
    pub logits: Tensor<4>,
    /// What it counts for in the loss; the main logits count for one.
    pub weight: f64,
}

/// One logit for each place: is there a boundary?
#[derive(Debug, Clone)]
pub struct DetailOutput {
    /// Its name in the reference.
    pub name: String,
    /// `[batch, 1, _, _]`, not resized.
    pub logits: Tensor<4>,
    /// What the overlap is divided by in its loss.
    pub denominator: DiceDenominator,
}

/// Predictions of Specialize-and-Fuse, the coarsest level first.
#[derive(Debug, Clone)]
pub struct PyramidOutput {
    /// Per level, logits of the classes: `[batch, num_classes, height / stride, width / stride]`.
    pub semantic: Vec<Tensor<4>>,
    /// Per level but the last, the logit that all pixels of a cell are of one class:
    /// `[batch, 1, height / stride, width / stride]`.
    pub unity: Vec<Tensor<4>>,
    /// What the levels learn.
    pub supervision: Supervision,
    /// The probability of being of one class from which on a cell decides for its pixels.
    pub threshold: f64,
}

impl NetworkOutput {
    /// Everything by name: `logits` and what the reference calls the rest.
    pub fn into_named(self) -> Vec<(String, Tensor<4>)> {
        let mut named = vec![("logits".to_owned(), self.logits)];
        named.extend(self.auxiliary.into_iter().map(|head| (head.name, head.logits)));
        named.extend(self.detail.into_iter().map(|head| (head.name, head.logits)));
        if let Some(PyramidOutput { semantic, unity, .. }) = self.pyramid {
            for (levels, what) in [(semantic, "sem"), (unity, "unity")] {
                let levels = levels.into_iter().enumerate();
                named.extend(levels.map(|(level, map)| (format!("{what}{}", level + 1), map)));
            }
        }
        named
    }
}

/// Which network, with its settings; `[network.unet]` in a file.
///
/// Channels and classes are not among the settings: preprocessing and the data set
/// say how many there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkConfig {
    /// [`bisenet_v1`]
    BisenetV1(BisenetV1Config),
    /// [`bisenet_v2`]
    BisenetV2(BisenetV2Config),
    /// [`bpnet`]
    Bpnet(BpnetConfig),
    /// [`deeplab`], third version
    Deeplabv3(Deeplabv3Config),
    /// [`deeplab`], with a decoder
    Deeplabv3plus(Deeplabv3plusConfig),
    /// [`eseg`]
    Eseg(EsegConfig),
    /// [`pspnet`]
    Pspnet(PspnetConfig),
    /// [`nnunet`]
    #[serde(rename = "nnunet_2d")]
    Nnunet(NnunetConfig),
    /// [`stdc`], which says what an image shows
    StdcCls(StdcClsConfig),
    /// [`stdc`], which segments
    StdcSeg(StdcSegConfig),
    /// [`hrnet`]
    Hrnet(HrnetConfig),
    /// [`specialize_fuse`]
    SpecializeFuse(SpecializeFuseConfig),
    /// [`unet`]
    Unet(UnetConfig),
}

/// Any of the networks.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one network, not a collection of them")]
pub enum Network {
    /// [`bisenet_v1`]
    BisenetV1(BisenetV1),
    /// [`bisenet_v2`]
    BisenetV2(BisenetV2),
    /// [`bpnet`]
    Bpnet(Bpnet),
    /// [`deeplab`], third version
    Deeplabv3(Deeplabv3),
    /// [`deeplab`], with a decoder
    Deeplabv3plus(Deeplabv3plus),
    /// [`eseg`]
    Eseg(Eseg),
    /// [`pspnet`]
    Pspnet(Pspnet),
    /// [`nnunet`]
    Nnunet(Nnunet),
    /// [`stdc`], which says what an image shows
    StdcCls(StdcCls),
    /// [`stdc`], which segments
    StdcSeg(StdcSeg),
    /// [`hrnet`]
    Hrnet(Hrnet),
    /// [`specialize_fuse`]
    SpecializeFuse(SpecializeFuse),
    /// [`unet`]
    Unet(Unet),
}

impl NetworkConfig {
    /// The key under which a file names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BisenetV1(_) => "bisenet_v1",
            Self::BisenetV2(_) => "bisenet_v2",
            Self::Bpnet(_) => "bpnet",
            Self::Deeplabv3(_) => "deeplabv3",
            Self::Deeplabv3plus(_) => "deeplabv3plus",
            Self::Eseg(_) => "eseg",
            Self::Pspnet(_) => "pspnet",
            Self::Nnunet(_) => "nnunet_2d",
            Self::StdcCls(_) => "stdc_cls",
            Self::StdcSeg(_) => "stdc_seg",
            Self::Hrnet(_) => "hrnet",
            Self::SpecializeFuse(_) => "specialize_fuse",
            Self::Unet(_) => "unet",
        }
    }

    /// What all settings answer.
    pub fn settings(&self) -> &dyn Settings {
        match self {
            Self::BisenetV1(config) => config,
            Self::BisenetV2(config) => config,
            Self::Bpnet(config) => config,
            Self::Deeplabv3(config) => config,
            Self::Deeplabv3plus(config) => config,
            Self::Eseg(config) => config,
            Self::Pspnet(config) => config,
            Self::Nnunet(config) => config,
            Self::StdcCls(config) => config,
            Self::StdcSeg(config) => config,
            Self::Hrnet(config) => config,
            Self::SpecializeFuse(config) => config,
            Self::Unet(config) => config,
        }
    }

    /// A network with fresh weights. The settings have to be [valid](Self::validate).
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> Network {
        match self {
            Self::Bpnet(config) => {
                let config = BpnetConfig { in_channels, num_classes, ..config.clone() };
                Network::Bpnet(config.init(device))
            }
            Self::Deeplabv3(config) => {
                Network::Deeplabv3(config.init(in_channels, num_classes, device))
            }
            Self::Deeplabv3plus(config) => {
                Network::Deeplabv3plus(config.init(in_channels, num_classes, device))
            }
            Self::Eseg(config) => Network::Eseg(config.init(in_channels, num_classes, device)),
            Self::Pspnet(config) => Network::Pspnet(config.init(in_channels, num_classes, device)),
            Self::BisenetV1(config) => {
                Network::BisenetV1(config.init(in_channels, num_classes, device))
            }
            Self::BisenetV2(config) => {
                Network::BisenetV2(config.init(in_channels, num_classes, device))
            }
            Self::Nnunet(config) => Network::Nnunet(config.init(in_channels, num_classes, device)),
            Self::StdcCls(config) => {
                Network::StdcCls(config.init(in_channels, num_classes, device))
            }
            Self::StdcSeg(config) => {
                Network::StdcSeg(config.init(in_channels, num_classes, device))
            }
            Self::Hrnet(config) => Network::Hrnet(config.init(in_channels, num_classes, device)),
            Self::SpecializeFuse(config) => {
                Network::SpecializeFuse(config.init(in_channels, num_classes, device))
            }
            Self::Unet(config) => Network::Unet(config.init(in_channels, num_classes, device)),
        }
    }

    /// Whether a network of these settings can be built.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        self.settings().validate().map_err(|InvalidSetting { key, value, expected }| {
            let key = format!("network.{}.{key}", self.name());
            EngineError::config(key, value, format!("expected {expected}"))
        })
    }

    /// Height and width of the input are padded to a multiple of this.
    pub fn size_multiple(&self) -> usize {
        self.settings().size_multiple()
    }

    /// Height and width of the input are padded to at least this.
    pub fn smallest_size(&self) -> usize {
        self.settings().smallest_size()
    }

    /// The size to which an input is padded.
    pub fn padded(&self, size: usize) -> usize {
        size.max(self.smallest_size()).next_multiple_of(self.size_multiple())
    }

    /// How its weights are called in a file.
    pub fn name_map(&self) -> NameMap {
        self.settings().name_map()
    }
}

impl Network {
    /// What all networks do.
    pub fn architecture(&self) -> &dyn Architecture {
        match self {
            Self::BisenetV1(network) => network,
            Self::BisenetV2(network) => network,
            Self::Bpnet(network) => network,
            Self::Deeplabv3(network) => network,
            Self::Deeplabv3plus(network) => network,
            Self::Eseg(network) => network,
            Self::Pspnet(network) => network,
            Self::Nnunet(network) => network,
            Self::StdcCls(network) => network,
            Self::StdcSeg(network) => network,
            Self::Hrnet(network) => network,
            Self::SpecializeFuse(network) => network,
            Self::Unet(network) => network,
        }
    }

    /// Logits alone: what inference needs; auxiliary heads are not computed.
    ///
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - output: `[batch, num_classes, height, width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.architecture().run(input, Heads::Main, &mut |_, _| {}).logits
    }

    /// Logits and what the auxiliary heads answer: what the loss needs.
    pub fn forward_training(&self, input: Tensor<4>) -> NetworkOutput {
        self.architecture().run(input, Heads::All, &mut |_, _| {})
    }

    /// Trainable parameters, auxiliary heads included.
    pub fn trainable_parameters(&self) -> usize {
        weights::trainable_parameters(self, |_| true)
    }

    /// Trainable parameters that reach the main logits.
    pub fn inference_parameters(&self) -> usize {
        let architecture = self.architecture();
        weights::trainable_parameters(self, |path| !architecture.is_auxiliary(path))
    }
}
