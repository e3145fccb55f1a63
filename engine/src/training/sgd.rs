//! Stochastic gradient descent with momentum, as PyTorch defines it.
//!
//! Our own rather than Burn's: its state is saved under the names of the
//! parameters, which survive a restart (Burn keys it by ids that are drawn anew),
//! biases and norms are exempt from weight decay, and heads may learn faster.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::weights::ModulePath;

/// The optimizer and its velocities, each flattened, by parameter name.
#[derive(Debug, Clone)]
pub struct Sgd {
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
    decay_all: bool,
    clip_norm: Option<f64>,
    head_factor: f64,
    heads: BTreeSet<String>,
    /// Velocity of each parameter: `[elements]`.
    pub velocities: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    /// An optimizer at rest. Weight decay is that of parameters of two or more dimensions.
    pub fn new(momentum: f64, nesterov: bool, weight_decay: f64) -> Self {
        Self {
            momentum,
            nesterov,
            weight_decay,
            decay_all: false,
            clip_norm: None,
            head_factor: 1.0,
            heads: BTreeSet::new(),
            velocities: BTreeMap::new(),
        }
    }

    /// Whether biases and norms decay as well.
    #[must_use]
    pub fn with_decay_of_all(self, decay_all: bool) -> Self {
        Self { decay_all, ..self }
    }

    /// Scales gradients down, all by the same factor, where together they are longer than this.
    #[must_use]
    pub fn with_clip_norm(self, clip_norm: Option<f64>) -> Self {
        Self { clip_norm, ..self }
    }

    /// Parameters at these paths have `factor` times the learning rate.
    #[must_use]
    pub fn with_heads(self, factor: f64, heads: BTreeSet<String>) -> Self {
        Self { head_factor: factor, heads, ..self }
    }

    /// One step: `v = momentum * v + g`, `w = w - learning_rate * v`
    /// (Nesterov: `w = w - learning_rate * (g + momentum * v)`).
    ///
    /// `g` is the gradient, clipped first, plus weight decay. A parameter without a gradient,
    /// such as a frozen one, stays as it is.
    pub fn step<M: Module>(
        &mut self,
        learning_rate: f64,
        module: M,
        gradients: GradientsParams,
    ) -> M {
        let scale = self.clip_norm.map_or(1.0, |most| clipping(&module, &gradients, most));
        module.map(&mut Step {
            sgd: self,
            learning_rate,
            scale,
            gradients,
            path: ModulePath::default(),
        })
    }
}

/// What gradients are multiplied with so that together they are not longer than `most`: 1 where
/// they are not anyway, else as PyTorch's `clip_grad_norm_` has it.
fn clipping<M: Module>(module: &M, gradients: &GradientsParams, most: f64) -> f64 {
    struct SquaredNorm<'a> {
        gradients: &'a GradientsParams,
        sum: f64,
    }
    impl ModuleVisitor for SquaredNorm<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                let rows = gradient.dims()[0];
                let rows = gradient.reshape([rows as i32, -1]);
                // Summed on along the rest in memory, where it has an order.
                let sums: Tensor<2> = (rows.clone() * rows).sum_dim(0);
                self.sum += sums.into_data().iter::<f64>().sum::<f64>();
            }
        }
    }
    let mut norm = SquaredNorm { gradients, sum: 0.0 };
    module.visit(&mut norm);
    let factor = most / (norm.sum.sqrt() + 1e-6);
    if factor < 1.0 { factor } else { 1.0 }
}

struct Step<'a> {
    sgd: &'a mut Sgd,
    learning_rate: f64,
    scale: f64,
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
        if self.scale < 1.0 {
            gradient = gradient.mul_scalar(self.scale);
        }
        if (D >= 2 || self.sgd.decay_all) && self.sgd.weight_decay > 0.0 {
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
        let factor = if self.sgd.heads.contains(&name) { self.sgd.head_factor } else { 1.0 };
        self.sgd.velocities.insert(name, velocity);

        let step = direction.mul_scalar(self.learning_rate * factor);
        let updated: Tensor<D> = (flat - step).reshape(shape);
        let mut updated = Tensor::from_inner(updated);
        if tracked {
            updated = updated.require_grad();
        }
        Param::from_mapped_value(id, updated, mapper)
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::nn::{Conv2d, Conv2dConfig};
    use crate::weights::{NameMap, replace_weights, values_by_name};

    #[derive(Module, Debug)]
    struct Layers {
        body: Conv2d,
        head: Conv2d,
    }

    /// Two 1x1 convolutions of one channel, all of whose numbers are 1.
    fn layers() -> Layers {
        let device = Device::flex().autodiff();
        let conv = || Conv2dConfig::new([1, 1], [1, 1]).init(&device);
        let layers = Layers { body: conv(), head: conv() };
        replace_weights(layers, &NameMap::SAME, |_, shape| Some(vec![1.0; shape.iter().product()]))
    }

    /// Weight and bias of body and head after a step. For an input of 2 the gradients are 2 and
    /// 1 in the body, 3 and 1 in the head.
    fn after(mut sgd: Sgd, layers: Layers) -> [f32; 4] {
        let device = Device::flex().autodiff();
        let input = Tensor::<4>::from_data([[[[2.0]]]], &device);
        let loss = layers.head.forward(layers.body.forward(input)).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &layers);
        let layers = sgd.step(0.1, layers, gradients);
        let values = values_by_name(&layers, &NameMap::SAME);
        ["body.weight", "body.bias", "head.weight", "head.bias"].map(|name| values[name].values[0])
    }

    #[track_caller]
    fn same(found: [f32; 4], expected: [f32; 4]) {
        let close = |(a, b): (f32, f32)| (a - b).abs() < 1e-6;
        assert!(found.into_iter().zip(expected).all(close), "{found:?}");
    }

    #[test]
    fn weights_decay_and_biases_only_where_asked_for() {
        let sgd = || Sgd::new(0.0, false, 0.5);
        same(after(sgd(), layers()), [0.75, 0.9, 0.65, 0.9]);
        same(after(sgd().with_decay_of_all(true), layers()), [0.75, 0.85, 0.65, 0.85]);
    }

    #[test]
    fn heads_learn_faster() {
        let heads = BTreeSet::from(["head.weight".to_owned(), "head.bias".to_owned()]);
        let sgd = Sgd::new(0.0, false, 0.0).with_heads(2.0, heads);
        same(after(sgd, layers()), [0.8, 0.9, 0.4, 0.8]);
    }

    #[test]
    fn long_gradients_are_shortened_together_and_short_ones_are_not() {
        let sgd = |most| Sgd::new(0.0, false, 0.0).with_clip_norm(Some(most));
        let norm = 15.0_f32.sqrt(); // 4 + 1 + 9 + 1
        let scaled = [2.0, 1.0, 3.0, 1.0].map(|gradient| 1.0 - 0.1 * gradient / norm);
        same(after(sgd(1.0), layers()), scaled);
        same(after(sgd(4.0), layers()), [0.8, 0.9, 0.7, 0.9]);
    }

    #[test]
    fn what_is_frozen_stays_and_does_not_count_when_gradients_are_clipped() {
        let frozen = || {
            let Layers { body, head } = layers();
            Layers { body: body.no_grad(), head }
        };
        same(after(Sgd::new(0.9, false, 0.5), frozen()), [1.0, 1.0, 0.65, 0.9]);
        let clipped = Sgd::new(0.0, false, 0.0).with_clip_norm(Some(1.0));
        let norm = 10.0_f32.sqrt();
        same(after(clipped, frozen()), [1.0, 1.0, 1.0 - 0.3 / norm, 1.0 - 0.1 / norm]);
    }
}
