//! STDC: Rethinking BiSeNet For Real-time Semantic Segmentation.
//!
//! Fan, Lai, Huang, Wei, Chai, Luo, Wei. CVPR 2021. arXiv:2104.13188, and the code its authors
//! released (github.com/MichaelFan01/STDC-Seg).
//!
//! [`StdcCls`] is the network that is trained on ImageNet; [`StdcSeg`] segments by BiSeNetV1's
//! context path on top of it, without the path for detail, which a head that has to find the
//! borders of the labels makes up for in training.
//!
//! Everything that the released code declares is here, also what it never uses (the classifier
//! within the segmentation network with a batch norm of its own, a detail head on the map at a
//! sixteenth), so that its weights load by name. None of that is computed.

pub mod backbone;
mod segmentation;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    Architecture, Heads, InvalidSetting, NetworkOutput, Observe, Settings, Start, share, within,
};
use crate::weights::NameMap;
pub use backbone::Backbone;
use backbone::{Stdc, StdcConfig};
pub use segmentation::{StdcSeg, StdcSegConfig};

/// Settings of a [`StdcCls`]. The defaults are the paper's STDC1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StdcClsConfig {
    /// STDC1 or STDC2.
    pub backbone: Backbone,
    /// Channels of the map at a quarter of the image; the paper's is 64.
    pub base_channels: usize,
    /// Share of the last features that are dropped in training.
    pub dropout: f64,
}

impl Default for StdcClsConfig {
    fn default() -> Self {
        Self { backbone: Backbone::Stdc1, base_channels: 64, dropout: 0.2 }
    }
}

/// Channels are halved three times within a module, and once in the stem.
fn validate_base(channels: usize) -> Result<(), InvalidSetting> {
    within("base_channels", channels, 2..=512)?;
    if channels % 2 == 1 {
        return Err(InvalidSetting {
            key: "base_channels",
            value: channels.to_string(),
            expected: "an even number".to_owned(),
        });
    }
    Ok(())
}

impl Settings for StdcClsConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        validate_base(self.base_channels)?;
        share("dropout", self.dropout)
    }

    /// Of the map that is averaged.
    fn output_stride(&self) -> usize {
        32
    }

    fn name_map(&self) -> NameMap {
        NameMap {
            reference_name: |path| {
                backbone::reference_name(path.strip_prefix("backbone.").unwrap_or(path))
            },
            is_alias: backbone::is_alias,
        }
    }

    /// Two where the last map is a single pixel.
    fn smallest_batch(&self, size: [usize; 2]) -> usize {
        if size.into_iter().all(|length| length <= 32) { 2 } else { 1 }
    }

    fn classifies_images(&self) -> bool {
        true
    }
}

impl StdcClsConfig {
    /// A network with fresh weights for `in_channels` and `num_classes`.
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> StdcCls {
        let &Self { backbone, base_channels, dropout } = self;
        let config = StdcConfig { backbone, base_channels, in_channels, num_classes, dropout };
        StdcCls { backbone: config.init(device) }
    }
}

/// The network that says what an image shows.
#[derive(Module, Debug)]
pub struct StdcCls {
    backbone: Stdc,
}

impl Architecture for StdcCls {
    fn run(&self, input: Tensor<4>, _heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        self.backbone.classify(input, observe).into()
    }

    /// The batch norm that is used nowhere.
    fn is_auxiliary(&self, path: &str) -> bool {
        path.starts_with("backbone.bn.")
    }

    fn start(&self, path: &str) -> Start {
        backbone::start(path.strip_prefix("backbone.").unwrap_or(path))
    }
}
