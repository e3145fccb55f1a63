//! The architectures: an enum and a `match`.
//!
//! Each file or folder holds one network and reads like its paper's figure. Networks
//! return logits; softmax belongs to the loss and to inference. Every network is a Burn
//! module that implements [`Architecture`], every one's settings implement [`Settings`];
//! the two enums here are what a file names and what the rest of the engine holds.

mod architecture;
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
mod settings;
pub mod specialize_fuse;
pub mod stdc;
pub mod unet;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::weights::{self, NameMap};
pub use architecture::{
    Architecture, Auxiliary, DetailOutput, Heads, NetworkOutput, Observe, PyramidOutput, Start,
};
use bisenet_v1::{BisenetV1, BisenetV1Config};
use bisenet_v2::{BisenetV2, BisenetV2Config};
use bpnet::{Bpnet, BpnetConfig};
pub use catalogue::{Figure, NetworkEntry, catalogue};
use deeplab::{Deeplabv3, Deeplabv3Config, Deeplabv3plus, Deeplabv3plusConfig};
use eseg::{Eseg, EsegConfig};
use hrnet::{Hrnet, HrnetConfig};
use nnunet::{Nnunet, NnunetConfig};
use pspnet::{Pspnet, PspnetConfig};
pub use settings::{InvalidSetting, Settings};
use settings::{share, within};
use specialize_fuse::{SpecializeFuse, SpecializeFuseConfig};
use stdc::{StdcCls, StdcClsConfig, StdcSeg, StdcSegConfig};
use unet::{Unet, UnetConfig};

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
