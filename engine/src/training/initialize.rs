//! Fresh weights that depend on the seed and the parameter's name alone.
//!
//! Burn draws from one generator per process, so weights would depend on what else
//! was drawn before. Here every parameter has a generator of its own.

use std::collections::BTreeSet;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use sha2::{Digest, Sha256};

use crate::networks::Network;
use crate::weights::{ModulePath, shapes_by_path};

/// `network` with fresh weights drawn from `seed`: Kaiming normal (fan out, ReLU gain;
/// He et al. 2015) for convolutions, their biases uniform within 1 / √fan-in as PyTorch
/// draws them; other parameters keep the values they were made with.
pub fn initialize(network: Network, seed: u64) -> Network {
    let architecture = network.architecture();
    let paths = shapes_by_path(&network).into_keys();
    let by_channel = paths.filter(|path| architecture.starts_by_channel(path)).collect();
    network.map(&mut Initializer {
        seed,
        path: ModulePath::default(),
        by_channel,
        fan_in: 1,
        in_convolution: false,
    })
}

struct Initializer {
    seed: u64,
    path: ModulePath,
    /// Weights of which each output channel is drawn as if it were alone.
    by_channel: BTreeSet<String>,
    /// Fan-in of the convolution weight that was met last; its bias follows it.
    fan_in: usize,
    in_convolution: bool,
}

impl Initializer {
    fn generator(&self) -> ChaCha8Rng {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(self.path.to_string());
        ChaCha8Rng::from_seed(hash.finalize().into())
    }

    /// Values for a parameter of this shape; none where it keeps what it has.
    fn draw(&mut self, shape: &[usize]) -> Option<Vec<f32>> {
        let mut rng = self.generator();
        let count = shape.iter().product();
        match *shape {
            [to, from, ref kernel @ ..] if !kernel.is_empty() => {
                let kernel: usize = kernel.iter().product();
                self.fan_in = from * kernel;
                let alone = self.by_channel.contains(&self.path.to_string());
                let fan_out = if alone { 1 } else { to } * kernel;
                let deviation = (2.0 / fan_out as f64).sqrt();
                let draw = |_| (rng.sample::<f64, _>(StandardNormal) * deviation) as f32;
                Some((0..count).map(draw).collect())
            }
            [_] if self.in_convolution => {
                let bound = 1.0 / (self.fan_in as f64).sqrt();
                let draw = |_| ((2.0 * rng.random::<f64>() - 1.0) * bound) as f32;
                Some((0..count).map(draw).collect())
            }
            _ => None,
        }
    }
}

impl ModuleMapper for Initializer {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
        self.in_convolution = container.contains("Conv");
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.leave();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| match self.draw(&old.dims()) {
            Some(values) => {
                let new = Tensor::from_data(TensorData::new(values, old.dims()), &old.device());
                if old.is_require_grad() { new.require_grad() } else { new }
            }
            None => old,
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::networks::NetworkConfig;
    use crate::networks::eseg::EsegConfig;
    use crate::weights::{NameMap, values_by_name};

    #[test]
    fn what_is_depthwise_is_drawn_channel_by_channel() {
        let config = NetworkConfig::Eseg(EsegConfig { cells: Some(1), ..EsegConfig::default() });
        let network = initialize(config.init(1, 2, &Device::flex()), 7);
        let values = values_by_name(&network, &NameMap::SAME);
        for (name, variance) in [
            ("encoder.stem.weight", 2.0 / (32.0 * 9.0)),
            ("encoder.blocks.20.conv.weight", 2.0 / 25.0),
            ("encoder.blocks.20.project.weight", 2.0 / 192.0),
            ("cells.0.nodes.3.conv.dw.weight", 2.0 / 9.0),
            ("cells.0.nodes.3.conv.pw.weight", 2.0 / 96.0),
            ("head.conv.dw.weight", 2.0 / 9.0),
        ] {
            let values = &values[name].values;
            let squares = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
            let found = squares / values.len() as f64;
            assert!((found / variance - 1.0).abs() < 0.25, "{name}: {found}, not {variance}");
        }
    }
}
