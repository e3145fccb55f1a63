//! The architectures: an enum and a `match`.
//!
//! Each file holds one network and reads like its paper's figure. Networks
//! return logits; softmax belongs to the loss and to inference.

pub mod unet;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use unet::{Unet, UnetConfig};

/// Which network, with its settings; `[network.unet]` in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkConfig {
    /// [`unet`]
    Unet(UnetConfig),
}

impl NetworkConfig {
    /// The name under which the catalogue, bundles and the command line know it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unet(_) => "unet",
        }
    }

    /// Whether a network of these settings can be built.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        match self {
            Self::Unet(config) => config.validate(),
        }
    }

    /// Height and width of the input are padded to a multiple of this.
    pub fn size_multiple(&self) -> usize {
        match self {
            Self::Unet(config) => config.size_multiple(),
        }
    }

    /// A network with fresh weights.
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> Network {
        match self {
            Self::Unet(config) => Network::Unet(config.init(in_channels, num_classes, device)),
        }
    }
}

/// What a network returns while it is trained.
#[derive(Debug)]
pub struct NetworkOutput {
    /// `[batch, num_classes, height, width]`, the size of the input.
    pub logits: Tensor<4>,
    /// Logits of the auxiliary heads, each of the same shape, with its weight in the loss.
    pub auxiliary: Vec<(f64, Tensor<4>)>,
}

/// Any of the networks.
#[derive(Module, Debug)]
pub enum Network {
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
            Self::Unet(network) => network.forward(input),
        }
    }

    /// Logits and those of the auxiliary heads: what the loss needs.
    pub fn forward_training(&self, input: Tensor<4>) -> NetworkOutput {
        match self {
            Self::Unet(network) => {
                NetworkOutput { logits: network.forward(input), auxiliary: Vec::new() }
            }
        }
    }

    /// Trainable parameters. Burn's own count includes the running statistics of batch norm.
    pub fn trainable_parameters(&self) -> usize {
        let mut count = TrainableCount::default();
        self.visit(&mut count);
        count.sum
    }
}

/// Sums the sizes of parameters that are learned; running statistics are kept, not learned.
#[derive(Default)]
struct TrainableCount {
    field: Vec<String>,
    sum: usize,
}

impl ModuleVisitor for TrainableCount {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.field.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.field.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.field.last().is_some_and(|name| name.starts_with("running_")) {
            self.sum += param.lazy_shape().num_elements();
        }
    }
}
