//! Instance normalization of images.

use super::kernels::{Kernels, serve};
use burn::backend::Dispatch;
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

/// Settings of an [`InstanceNorm2d`].
#[derive(Config, Debug)]
pub struct InstanceNorm2dConfig {
    /// Channels, each with a scale and a shift of its own.
    pub num_features: usize,
    /// Added to the variance before its root is taken.
    #[config(default = 1e-5)]
    pub epsilon: f64,
}

/// Instance normalization (Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022), as in PyTorch with
/// `affine`: each channel of each image is normalized by its own mean and biased variance, at
/// inference as in training. Of a channel of one pixel nothing is left but the shift.
#[derive(Module, Debug)]
pub struct InstanceNorm2d {
    /// The scale of each channel.
    pub weight: Param<Tensor<1>>,
    /// The shift of each channel.
    pub bias: Param<Tensor<1>>,
    /// Added to the variance before its root is taken.
    pub epsilon: f64,
}

impl InstanceNorm2dConfig {
    /// A layer that neither scales nor shifts yet.
    pub fn init(&self, device: &Device) -> InstanceNorm2d {
        let size = [self.num_features];
        InstanceNorm2d {
            weight: Initializer::Ones.init(size, device),
            bias: Initializer::Zeros.init(size, device),
            epsilon: self.epsilon,
        }
    }
}

impl InstanceNorm2d {
    /// # Shapes
    /// - `input`: `[batch, num_features, height, width]`
    /// - output: the same
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = input.dims();
        let (weight, bias) = (self.weight.val(), self.bias.val());
        assert_eq!([channels], weight.dims(), "the input has as many channels as the layer");
        if !(serve(&input) && serve(&weight)) {
            let mean = input.clone().mean_dim(3).mean_dim(2);
            let centered = input - mean;
            let variance = (centered.clone() * centered.clone()).mean_dim(3).mean_dim(2);
            let row = |values: Tensor<1>| values.reshape([1, channels, 1, 1]);
            return centered / (variance + self.epsilon).sqrt() * row(weight) + row(bias);
        }
        // The kernel of batch norm normalizes over a batch: here that is one image of all channels.
        let repeat = |values: Tensor<1>| {
            values.reshape([1, channels]).expand([batch, channels]).reshape([batch * channels])
        };
        let (output, _) = Dispatch::kernel_batch_norm(
            input.reshape([1, batch * channels, height, width]).into_dispatch(),
            repeat(weight).into_dispatch(),
            repeat(bias).into_dispatch(),
            self.epsilon,
            false,
        );
        Tensor::<4>::from_dispatch(output).reshape([batch, channels, height, width])
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::InstanceNormConfig;
    use burn::tensor::TensorData;

    use super::*;
    use crate::synthetic_weights::input;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn image(shape: [usize; 4], device: &Device) -> Tensor<4> {
        let values = input("input", shape.iter().product());
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn close(ours: &[f32], theirs: &[f32]) {
        assert_eq!(ours.len(), theirs.len());
        for (a, b) in ours.iter().zip(theirs) {
            assert!((a - b).abs() < 2e-5, "{a} for {b}");
        }
    }

    #[test]
    fn each_channel_of_each_image_is_normalized_by_itself() {
        let device = Device::flex();
        let map = Tensor::from_data([[[[1.0, 3.0]]], [[[10.0, 30.0]]]], &device);
        let norm = InstanceNorm2dConfig::new(1).with_epsilon(0.0).init(&device);
        assert_eq!(values(norm.forward(map)), [-1.0, 1.0, -1.0, 1.0]);
    }

    #[test]
    fn a_single_pixel_leaves_the_shift() {
        let device = Device::flex();
        let norm = InstanceNorm2dConfig::new(3).init(&device);
        assert_eq!(values(norm.forward(image([2, 3, 1, 1], &device))), [0.0; 6]);
    }

    #[test]
    fn output_and_gradients_are_those_of_burn_s_own() {
        let device = Device::flex().autodiff();
        let shape = [3, 4, 5, 7];
        let scale = Tensor::<1>::from_data([0.5, 1.0, -2.0, 3.0], &device);
        let shift = Tensor::<1>::from_data([0.1, -0.2, 0.3, 0.0], &device);
        let leaf = |tensor: &Tensor<1>| tensor.clone().detach().require_grad();
        let [x, y] = [0, 1].map(|_| image(shape, &device).require_grad());
        let slopes =
            Tensor::<4>::from_data(TensorData::new(input("slopes", 3 * 4 * 5 * 7), shape), &device);

        let mut ours = InstanceNorm2dConfig::new(4).init(&device);
        ours.weight = Param::from_tensor(leaf(&scale));
        ours.bias = Param::from_tensor(leaf(&shift));
        let mut theirs = InstanceNormConfig::new(4).init(&device);
        theirs.gamma = Some(Param::from_tensor(leaf(&scale)));
        theirs.beta = Some(Param::from_tensor(leaf(&shift)));

        let (a, b) = (ours.forward(x.clone()), theirs.forward(y.clone()));
        close(&values(a.clone()), &values(b.clone()));
        let a = (a * slopes.clone()).sum().backward();
        let b = (b * slopes).sum().backward();
        close(&values(x.grad(&a).unwrap()), &values(y.grad(&b).unwrap()));
        for (ours, theirs) in [(&ours.weight, &theirs.gamma), (&ours.bias, &theirs.beta)] {
            let theirs = theirs.as_ref().unwrap().val().grad(&b).unwrap();
            close(&values(ours.val().grad(&a).unwrap()), &values(theirs));
        }
    }
}
