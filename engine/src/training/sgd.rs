//! Stochastic gradient descent with momentum, as PyTorch defines it.
//!
//! Our own rather than Burn's: its state is saved under the names of the
//! parameters, which survive a restart (Burn keys it by ids that are drawn anew),
//! and biases and norms are exempt from weight decay.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::weights::ModulePath;

/// The optimizer and its velocities, each flattened, by parameter name.
#[derive(Debug, Clone)]
pub struct Sgd {
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
    /// Velocity of each parameter: `[elements]`.
    pub velocities: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    /// An optimizer at rest.
    pub fn new(momentum: f64, nesterov: bool, weight_decay: f64) -> Self {
        Self { momentum, nesterov, weight_decay, velocities: BTreeMap::new() }
    }

    /// One step: `v = momentum * v + g`, `w = w - learning_rate * v`
    /// (Nesterov: `w = w - learning_rate * (g + momentum * v)`).
    ///
    /// Weight decay is added to `g` for parameters of two or more dimensions.
    pub fn step<M: Module>(
        &mut self,
        learning_rate: f64,
        module: M,
        gradients: GradientsParams,
    ) -> M {
        module.map(&mut Step { sgd: self, learning_rate, gradients, path: ModulePath::default() })
    }
}

struct Step<'a> {
    sgd: &'a mut Sgd,
    learning_rate: f64,
    gradients: GradientsParams,
    path: ModulePath,
}

impl ModuleMapper for Step<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.leave();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let (id, tensor, mapper) = param.consume();
        let tracked = tensor.is_require_grad();
        let weights = tensor.inner();
        let shape = weights.shape();
        let flat = weights.reshape([-1]);

        let mut gradient: Tensor<1> = gradient.reshape([-1]);
        if D >= 2 && self.sgd.weight_decay > 0.0 {
            gradient = gradient + flat.clone().mul_scalar(self.sgd.weight_decay);
        }
        let name = self.path.to_string();
        let velocity = match self.sgd.velocities.remove(&name) {
            Some(velocity) => velocity.mul_scalar(self.sgd.momentum) + gradient.clone(),
            None => gradient.clone(),
        };
        let direction = if self.sgd.nesterov {
            gradient + velocity.clone().mul_scalar(self.sgd.momentum)
        } else {
            velocity.clone()
        };
        self.sgd.velocities.insert(name, velocity);

        let updated: Tensor<D> = (flat - direction.mul_scalar(self.learning_rate)).reshape(shape);
        let mut updated = Tensor::from_inner(updated);
        if tracked {
            updated = updated.require_grad();
        }
        Param::from_mapped_value(id, updated, mapper)
    }
}
