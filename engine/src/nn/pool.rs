//! Max pooling.

use super::kernels::{Kernels, serve};
use burn::backend::Dispatch;
use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use lamina_kernels::Pool2dShape;

/// Settings of a [`MaxPool2d`].
#[derive(Config, Debug)]
pub struct MaxPool2dConfig {
    /// Height and width of the window.
    pub kernel_size: [usize; 2],
    /// Distance between windows.
    pub stride: [usize; 2],
    /// Pixels that windows may reach over the border.
    #[config(default = "[0, 0]")]
    pub padding: [usize; 2],
}

/// The maximum of each window.
#[derive(Module, Debug)]
pub struct MaxPool2d {
    /// Height and width of the window.
    pub kernel_size: [usize; 2],
    /// Distance between windows.
    pub stride: [usize; 2],
    /// Pixels that windows may reach over the border.
    pub padding: [usize; 2],
}

impl MaxPool2dConfig {
    /// The layer.
    pub fn init(&self) -> MaxPool2d {
        MaxPool2d { kernel_size: self.kernel_size, stride: self.stride, padding: self.padding }
    }
}

impl MaxPool2d {
    /// # Shapes
    /// - `input`: `[batch, channels, height, width]`
    /// - output: `[batch, channels, output height, output width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        if !serve(&input) {
            let options = MaxPoolOptions::new(self.kernel_size)
                .with_stride(self.stride)
                .with_padding(self.padding);
            return max_pool2d(input, options);
        }
        let [batch, channels, height, width] = input.dims();
        let shape = Pool2dShape {
            planes: batch * channels,
            input: [height, width],
            kernel: self.kernel_size,
            stride: self.stride,
            padding: self.padding,
        };
        Tensor::from_dispatch(Dispatch::kernel_max_pool2d(input.into_dispatch(), shape))
    }
}
