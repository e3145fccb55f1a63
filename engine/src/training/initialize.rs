//! Fresh weights that depend on the seed and the parameter's name alone.
//!
//! Burn draws from one generator per process, so weights would depend on what else
//! was drawn before. Here every parameter has a generator of its own.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use sha2::{Digest, Sha256};

use crate::weights::ModulePath;

/// `module` with fresh weights drawn from `seed`: Kaiming normal (fan out, ReLU gain;
/// He et al. 2015) for convolutions, their biases uniform within 1 / √fan-in as PyTorch
/// draws them; other parameters keep the values they were made with.
pub fn initialize<M: Module>(module: M, seed: u64) -> M {
    module.map(&mut Initializer {
        seed,
        path: ModulePath::default(),
        fan_in: 1,
        in_convolution: false,
    })
}

struct Initializer {
    seed: u64,
    path: ModulePath,
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
            [to, from, height, width] => {
                self.fan_in = from * height * width;
                let deviation = (2.0 / (to * height * width) as f64).sqrt();
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
