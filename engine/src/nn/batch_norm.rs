//! Batch normalization of images.

use super::kernels::{InferenceKernels, Kernels, serve};
use burn::backend::Dispatch;
use burn::config::Config;
use burn::module::{Flag, Initializer, Module, Param, RunningState};
use burn::tensor::activation::relu;
use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Device, Tensor};

/// Settings of a [`BatchNorm2d`].
#[derive(Config, Debug)]
pub struct BatchNorm2dConfig {
    /// Channels, each with statistics of its own.
    pub num_features: usize,
    /// Added to the variance before its root is taken.
    #[config(default = 1e-5)]
    pub epsilon: f64,
    /// The share of the newest batch in the running statistics.
    #[config(default = 0.1)]
    pub momentum: f64,
}

/// Batch normalization (Ioffe and Szegedy 2015, arXiv:1502.03167), as in PyTorch: a batch is
/// normalized by its biased variance, the running variance collects the unbiased one.
#[derive(Module, Debug)]
pub struct BatchNorm2d {
    /// The scale of each channel.
    pub weight: Param<Tensor<1>>,
    /// The shift of each channel.
    pub bias: Param<Tensor<1>>,
    /// Whether batches are normalized by themselves on a device with autodiff; freezing clears it.
    pub training: Param<Flag>,
    /// The mean that evaluation goes by.
    pub running_mean: RunningState<Tensor<1>>,
    /// The variance that evaluation goes by.
    pub running_var: RunningState<Tensor<1>>,
    /// The share of the newest batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance before its root is taken.
    pub epsilon: f64,
}

impl BatchNorm2dConfig {
    /// A layer that has seen nothing yet.
    pub fn init(&self, device: &Device) -> BatchNorm2d {
        let size = [self.num_features];
        BatchNorm2d {
            weight: Initializer::Ones.init(size, device),
            bias: Initializer::Zeros.init(size, device),
            training: Param::from_bool(true),
            running_mean: RunningState::new(Tensor::zeros(size, device)),
            running_var: RunningState::new(Tensor::ones(size, device)),
            momentum: self.momentum,
            epsilon: self.epsilon,
        }
    }
}

impl BatchNorm2d {
    /// Normalizes by the batch where the device has autodiff and the layer is not frozen, which also
    /// updates the running statistics; else by these.
    ///
    /// # Shapes
    /// - `input`: `[batch, num_features, height, width]`
    /// - output: the same
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.run(input, false)
    }

    /// [`forward`](Self::forward) and ReLU, on the CPU in one pass.
    ///
    /// # Shapes
    /// - `input`: `[batch, num_features, height, width]`
    /// - output: the same
    pub fn forward_relu(&self, input: Tensor<4>) -> Tensor<4> {
        self.run(input, true)
    }

    fn run(&self, input: Tensor<4>, rectify: bool) -> Tensor<4> {
        let (channels, [features]) = (input.dims()[1], self.weight.dims());
        assert_eq!(channels, features, "the input has as many channels as the layer");
        if input.device().is_autodiff() && self.training.is_enabled() {
            self.train(input, rectify)
        } else {
            self.evaluate(input, rectify)
        }
    }

    fn evaluate(&self, input: Tensor<4>, rectify: bool) -> Tensor<4> {
        let device = input.device();
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let mean = self.running_mean.value().to_device(&device);
        let variance = self.running_var.value().to_device(&device);
        let tracked = [&weight, &bias].iter().any(|tensor| tensor.device().is_autodiff());
        if device.is_autodiff() || tracked || !serve(&input) {
            let output = batch_norm(input, weight, bias, mean, variance, self.epsilon);
            return if rectify { relu(output) } else { output };
        }
        Tensor::from_dispatch(Dispatch::kernel_batch_norm_apply(
            input.into_dispatch(),
            weight.into_dispatch(),
            bias.into_dispatch(),
            mean.without_autodiff().into_dispatch(),
            variance.without_autodiff().into_dispatch(),
            self.epsilon,
            rectify,
        ))
    }

    fn train(&self, input: Tensor<4>, rectify: bool) -> Tensor<4> {
        let [batch, channels, height, width] = input.dims();
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let (output, mean, variance) = if serve(&input) {
            let (output, statistics) = Dispatch::kernel_batch_norm(
                input.into_dispatch(),
                weight.into_dispatch(),
                bias.into_dispatch(),
                self.epsilon,
                rectify,
            );
            let statistics = Tensor::<2>::from_dispatch(statistics);
            let row = |index: usize| statistics.clone().narrow(0, index, 1).reshape([channels]);
            (Tensor::from_dispatch(output), row(0), row(1))
        } else {
            let found = batch_norm_train(input, weight, bias, self.epsilon);
            let output = if rectify { relu(found.output) } else { found.output };
            (output, found.mean, found.variance)
        };
        let count = (batch * height * width) as f64;
        let unbiased = variance * (count / (count - 1.0).max(1.0));
        self.remember(&self.running_mean, mean);
        self.remember(&self.running_var, unbiased);
        output
    }

    fn remember(&self, state: &RunningState<Tensor<1>>, newest: Tensor<1>) {
        let old = state.value_sync().to_device(&newest.device());
        state.update((old * (1.0 - self.momentum) + newest.detach() * self.momentum).detach());
    }
}
