//! Fresh weights that depend on the seed and the parameter's name alone.
//!
//! Burn draws from one generator per process, so weights would depend on what else
//! was drawn before. Here every parameter has a generator of its own.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use sha2::{Digest, Sha256};

use crate::networks::{Network, Start};
use crate::weights::{ModulePath, shapes_by_path};

/// `network` with fresh weights drawn from `seed`, as it says that its layers [start](Start); other
/// parameters keep the values they were made with.
pub fn initialize(network: Network, seed: u64) -> Network {
    let starts = {
        let architecture = network.architecture();
        let paths = shapes_by_path(&network).into_keys();
        paths.map(|path| (path.clone(), architecture.start(&path))).collect()
    };
    let path = ModulePath::default();
    network.map(&mut Initializer { seed, starts, path, fan_in: 1, in_convolution: false })
}

struct Initializer {
    seed: u64,
    starts: BTreeMap<String, Start>,
    path: ModulePath,
    /// Fan-in of the convolution weight that was met last; its bias follows it.
    fan_in: usize,
    in_convolution: bool,
}

impl Initializer {
    fn generator(&self, path: &str) -> ChaCha8Rng {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(path);
        ChaCha8Rng::from_seed(hash.finalize().into())
    }

    /// Values for a parameter of this shape; none where it keeps what it has.
    fn draw(&mut self, shape: &[usize]) -> Option<Vec<f32>> {
        let path = self.path.to_string();
        let mut rng = self.generator(&path);
        let start = self.starts.get(&path).copied().unwrap_or_default();
        let count = shape.iter().product();
        let mut normal = |deviation: f64| {
            let draw = |_| (rng.sample::<f64, _>(StandardNormal) * deviation) as f32;
            Some((0..count).map(draw).collect())
        };
        match (shape, start) {
            ([to, from, kernel @ ..], _) if !kernel.is_empty() => {
                let kernel: usize = kernel.iter().product();
                self.fan_in = from * kernel;
                normal(match start {
                    Start::FanOut | Start::FanOutUnbiased => (2.0 / (to * kernel) as f64).sqrt(),
                    Start::FanOutByChannel => (2.0 / kernel as f64).sqrt(),
                    Start::FanIn { slope } => {
                        (2.0 / ((1.0 + slope * slope) * self.fan_in as f64)).sqrt()
                    }
                    Start::Normal { deviation } => deviation,
                })
            }
            ([_, _], Start::Normal { deviation }) => normal(deviation),
            ([_], Start::FanOut | Start::FanOutByChannel) if self.in_convolution => {
                let bound = 1.0 / (self.fan_in as f64).sqrt();
                let draw = |_| ((2.0 * rng.random::<f64>() - 1.0) * bound) as f32;
                Some((0..count).map(draw).collect())
            }
            ([_], _) if self.in_convolution => Some(vec![0.0; count]),
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
    use crate::networks::bisenet_v2::BisenetV2Config;
    use crate::networks::eseg::EsegConfig;
    use crate::networks::nnunet::NnunetConfig;
    use crate::networks::stdc::{StdcClsConfig, StdcSegConfig};
    use crate::weights::{NameMap, NamedTensors, values_by_name};

    fn fresh(config: &NetworkConfig, seed: u64) -> NamedTensors {
        let network = initialize(config.init(3, 4, &Device::flex()), seed);
        values_by_name(&network, &config.name_map())
    }

    /// The root of the mean square of a parameter, and how many values it has.
    fn spread(values: &NamedTensors, name: &str) -> (f64, usize) {
        let values = &values[name].values;
        let squares: f64 = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
        ((squares / values.len() as f64).sqrt(), values.len())
    }

    fn assert_spread(values: &NamedTensors, name: &str, expected: f64) {
        let (found, count) = spread(values, name);
        // Four deviations of the estimate.
        let slack = 4.0 / (2.0 * count as f64).sqrt();
        assert!((found / expected - 1.0).abs() < slack, "{name}: {found} for {expected}");
    }

    #[test]
    fn layers_start_as_their_network_says() {
        let stdc = NetworkConfig::StdcSeg(StdcSegConfig { base_channels: 8, ..Default::default() });
        let values = fresh(&stdc, 1);
        assert_spread(&values, "cp.backbone.features.1.conv.weight", (2.0_f64 / 72.0).sqrt());
        assert_spread(&values, "cp.arm16.conv.conv.weight", (1.0_f64 / 576.0).sqrt());
        assert_spread(&values, "conv_out.conv_out.weight", (1.0_f64 / 256.0).sqrt());
        assert_spread(&values, "cp.backbone.fc.weight", 0.001);
        let cls = NetworkConfig::StdcCls(StdcClsConfig { base_channels: 8, ..Default::default() });
        assert_spread(&fresh(&cls, 1), "linear.weight", 0.001);

        let bisenet = BisenetV2Config { alpha: 0.25, head_channels: 32, ..Default::default() };
        let values = fresh(&NetworkConfig::BisenetV2(bisenet), 1);
        assert_spread(&values, "head.conv.conv.weight", (2.0_f64 / 288.0).sqrt());
        assert_eq!(spread(&values, "head.conv_out.1.bias").0, 0.0);
        assert_eq!(spread(&values, "segment.S3.1.conv2.1.weight").0, 0.0);

        let nnunet = NnunetConfig { stages: 3, base_channels: 16, ..Default::default() };
        let values = fresh(&NetworkConfig::Nnunet(nnunet), 1);
        let expected = (2.0_f64 / 1.0001 / 144.0).sqrt();
        assert_spread(&values, "encoder.stages.0.0.convs.1.conv.weight", expected);
        assert_eq!(spread(&values, "encoder.stages.0.0.convs.1.conv.bias").0, 0.0);
    }

    #[test]
    fn a_seed_says_every_weight() {
        let config = StdcClsConfig { base_channels: 2, ..Default::default() };
        let config = NetworkConfig::StdcCls(config);
        assert_eq!(fresh(&config, 7), fresh(&config, 7));
        assert_ne!(fresh(&config, 7)["fc.weight"], fresh(&config, 8)["fc.weight"]);
    }

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
