//! Learning by heart: plain gradient descent on one batch whose right half is of the second class.

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use lamina_engine::networks::{Architecture, Heads};
use lamina_engine::synthetic_weights::input;

struct Step {
    gradients: GradientsParams,
    rate: f64,
}

impl ModuleMapper for Step {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.get::<D>(param.id) else {
            return param;
        };
        param.map(|weight| {
            let moved = weight.without_autodiff() - gradient * self.rate;
            Tensor::from_inner(moved).require_grad()
        })
    }
}

/// The loss of a network of two classes before each of `steps` steps; all heads count.
pub fn losses_by_heart<M: Module + Architecture>(
    mut network: M,
    [channels, height, width]: [usize; 3],
    steps: usize,
    rate: f64,
) -> Vec<f32> {
    let device = Device::flex().autodiff();
    let shape = [2, channels, height, width];
    let values = input("input", shape.iter().product());
    let image = Tensor::<4>::from_data(TensorData::new(values, shape), &device);
    let signs: Vec<f32> = (0..width).map(|x| if 2 * x < width { -1.0 } else { 1.0 }).collect();
    let signs = Tensor::<4>::from_data(TensorData::new(signs, [1, 1, 1, width]), &device);
    let loss_of = |logits: Tensor<4>| {
        let margin = logits.clone().narrow(1, 1, 1) - logits.narrow(1, 0, 1);
        ((margin * signs.clone()).neg().exp() + 1.0).log().mean()
    };
    let mut losses = Vec::new();
    for _ in 0..steps {
        let output = network.run(image.clone(), Heads::All, &mut |_, _| {});
        let heads = output.auxiliary.into_iter();
        let loss = heads
            .fold(loss_of(output.logits), |sum, head| sum + loss_of(head.logits) * head.weight);
        losses.push(loss.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = network.map(&mut Step { gradients, rate });
    }
    losses
}
