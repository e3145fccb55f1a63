//! The architectures: an enum and a `match`.
//!
//! Each file or folder holds one network and reads like its paper's figure. Networks
//! return logits; softmax belongs to the loss and to inference.

pub mod bpnet;
pub mod unet;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::weights::{self, NameMap};
use bpnet::{Bpnet, BpnetConfig};
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

/// Which network, with its settings; `[network.unet]` in a file.
///
/// Channels and classes are not among the settings: preprocessing and the data set
/// say how many there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkConfig {
    /// [`bpnet`]
    Bpnet(BpnetConfig),
    /// [`unet`]
    Unet(UnetConfig),
}

/// A published form of a network, and what it costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkEntry {
    /// Its name, e.g. `bpnet-s3-w32`.
    pub name: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// Trainable parameters with 3 input channels and 19 classes, auxiliary heads included.
    pub params_training: usize,
    /// Those that reach the main logits.
    pub params_inference: usize,
    /// Height and width are padded to a multiple of this.
    pub size_multiple: usize,
    /// Height and width are padded to at least this.
    pub smallest_size: usize,
    /// Its settings, as an experiment states them.
    pub config: NetworkConfig,
}

/// The published forms of the networks, by name; parameters are counted from the modules.
pub fn catalogue() -> Vec<NetworkEntry> {
    const BPNET: &str =
        "Nie, Xue, Ren. Bidirectional Pyramid Networks for Semantic Segmentation. ACCV 2020";
    const UNET: &str = "Ronneberger, Fischer, Brox. U-Net. MICCAI 2015, arXiv:1505.04597";
    let bpnet = |stages, width| {
        NetworkConfig::Bpnet(BpnetConfig { stages, width, ..BpnetConfig::default() })
    };
    [
        ("bpnet-s3-w32", BPNET, bpnet(3, 32)),
        ("bpnet-s3", BPNET, bpnet(3, 48)),
        ("bpnet-s4", BPNET, bpnet(4, 48)),
        ("unet", UNET, NetworkConfig::Unet(UnetConfig::default())),
    ]
    .into_iter()
    .map(|(name, paper, config)| {
        let network = config.init(3, 19, &Device::flex());
        NetworkEntry {
            name,
            paper,
            params_training: network.trainable_parameters(),
            params_inference: network.inference_parameters(),
            size_multiple: config.size_multiple(),
            smallest_size: config.smallest_size(),
            config,
        }
    })
    .collect()
}

impl NetworkConfig {
    /// The key under which a file names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bpnet(_) => "bpnet",
            Self::Unet(_) => "unet",
        }
    }

    /// Whether a network of these settings can be built.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        match self {
            Self::Bpnet(config) => config.validate(),
            Self::Unet(config) => config.validate(),
        }
        .map_err(|InvalidSetting { key, value, expected }| {
            let key = format!("network.{}.{key}", self.name());
            EngineError::config(key, value, format!("expected {expected}"))
        })
    }

    /// Height and width of the input are padded to a multiple of this.
    pub fn size_multiple(&self) -> usize {
        match self {
            Self::Bpnet(_) => 1,
            Self::Unet(config) => config.size_multiple(),
        }
    }

    /// Height and width of the input are padded to at least this.
    pub fn smallest_size(&self) -> usize {
        match self {
            Self::Bpnet(config) => config.smallest_size(),
            Self::Unet(config) => config.size_multiple(),
        }
    }

    /// The size to which an input is padded.
    pub fn padded(&self, size: usize) -> usize {
        size.max(self.smallest_size()).next_multiple_of(self.size_multiple())
    }

    /// A network with fresh weights.
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> Network {
        match self {
            Self::Bpnet(config) => {
                let config = BpnetConfig { in_channels, num_classes, ..config.clone() };
                Network::Bpnet(config.init(device))
            }
            Self::Unet(config) => Network::Unet(config.init(in_channels, num_classes, device)),
        }
    }

    /// How its weights are called in a file: as in the reference code where there is one.
    pub fn name_map(&self) -> NameMap {
        // Paths in a `Network` begin with its variant, of which no reference knows.
        match self {
            Self::Bpnet(_) => NameMap {
                reference_name: |path| {
                    bpnet::reference_name(path.strip_prefix("Bpnet.").unwrap_or(path))
                },
                is_alias: bpnet::is_alias,
            },
            Self::Unet(_) => NameMap {
                reference_name: |path| path.strip_prefix("Unet.").unwrap_or(path).to_owned(),
                ..NameMap::SAME
            },
        }
    }

    /// The weight of each auxiliary head in the loss; the main logits have weight one.
    pub fn auxiliary_weights(&self) -> Vec<f64> {
        match self {
            Self::Bpnet(config) => {
                let mut weights = config.output_weights();
                weights.pop();
                weights
            }
            Self::Unet(_) => Vec::new(),
        }
    }
}

/// What a network returns while it is trained.
#[derive(Debug)]
pub struct NetworkOutput {
    /// `[batch, num_classes, height, width]`, the size of the input.
    pub logits: Tensor<4>,
    /// Logits of the auxiliary heads, each of the same shape.
    pub auxiliary: Vec<Tensor<4>>,
}

/// Any of the networks.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one network, not a collection of them")]
pub enum Network {
    /// [`bpnet`]
    Bpnet(Bpnet),
    /// [`unet`]
    Unet(Unet),
}

impl Network {
    /// Logits alone: what inference needs; auxiliary heads are not computed.
    ///
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - output: `[batch, num_classes, height, width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Bpnet(network) => network.forward_inference(input),
            Self::Unet(network) => network.forward(input),
        }
    }

    /// Logits and those of the auxiliary heads: what the loss needs.
    pub fn forward_training(&self, input: Tensor<4>) -> NetworkOutput {
        match self {
            Self::Bpnet(network) => {
                let output = network.forward(input);
                NetworkOutput { logits: output.logits, auxiliary: output.auxiliary }
            }
            Self::Unet(network) => {
                NetworkOutput { logits: network.forward(input), auxiliary: Vec::new() }
            }
        }
    }

    /// Trainable parameters, auxiliary heads included.
    pub fn trainable_parameters(&self) -> usize {
        weights::trainable_parameters(self, |_| true)
    }

    /// Trainable parameters that reach the main logits.
    pub fn inference_parameters(&self) -> usize {
        match self {
            Self::Bpnet(network) => {
                weights::trainable_parameters(network, |path| !network.is_auxiliary(path))
            }
            Self::Unet(_) => self.trainable_parameters(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_counts_what_the_papers_state() {
        let counts: Vec<_> = catalogue()
            .into_iter()
            .map(|entry| (entry.name, entry.params_training, entry.params_inference))
            .collect();
        let millions = |count: usize| (count as f64 / 1e4).round() / 100.0;
        let rounded: Vec<_> =
            counts.into_iter().map(|(name, _, inference)| (name, millions(inference))).collect();
        let expected =
            [("bpnet-s3-w32", 5.11), ("bpnet-s3", 11.48), ("bpnet-s4", 39.35), ("unet", 31.04)];
        assert_eq!(rounded, expected);
    }
}
