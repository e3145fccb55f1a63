//! Convolution and transposed convolution.

use super::kernels::{Convolution, Kernels, serve};
use super::precision::in_precision;
use burn::backend::Dispatch;
use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor};
use lamina_kernels::Conv2dShape;
use std::f64::consts::SQRT_2;

/// Settings of a [`Conv2d`].
#[derive(Config, Debug)]
pub struct Conv2dConfig {
    /// Channels that come in and that go out.
    pub channels: [usize; 2],
    /// Height and width of the kernel.
    pub kernel_size: [usize; 2],
    /// Distance between the places where the kernel is put down.
    #[config(default = "[1, 1]")]
    pub stride: [usize; 2],
    /// Zeros added above and below, left and right.
    #[config(default = "[0, 0]")]
    pub padding: [usize; 2],
    /// Distance between the pixels that the kernel looks at.
    #[config(default = "[1, 1]")]
    pub dilation: [usize; 2],
    /// Into how many groups the channels are cut that do not see each other.
    #[config(default = "1")]
    pub groups: usize,
    /// Whether each output channel has a bias.
    #[config(default = true)]
    pub bias: bool,
    /// How the weight starts: by default Kaiming normal over the fan-out, for ReLU. A bias starts
    /// uniformly within `1 / sqrt(fan-in)`, as in PyTorch.
    #[config(default = "Initializer::KaimingNormal { gain: SQRT_2, fan_out_only: true }")]
    pub initializer: Initializer,
}

/// A 2-D convolution.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out_channels, in_channels / groups, kernel height, kernel width]`
    pub weight: Param<Tensor<4>>,
    /// `[out_channels]`
    pub bias: Option<Param<Tensor<1>>>,
    /// Distance between the places where the kernel is put down.
    pub stride: [usize; 2],
    /// Zeros added above and below, left and right.
    pub padding: [usize; 2],
    /// Distance between the pixels that the kernel looks at.
    pub dilation: [usize; 2],
    /// Into how many groups the channels are cut.
    pub groups: usize,
}

impl Conv2dConfig {
    /// A convolution with fresh weights.
    ///
    /// # Panics
    /// If the groups do not divide the channels.
    pub fn init(&self, device: &Device) -> Conv2d {
        let [in_channels, out_channels] = self.channels;
        assert_groups(self.channels, self.groups);
        let [height, width] = self.kernel_size;
        let shape = [out_channels, in_channels / self.groups, height, width];
        let (weight, bias) =
            parameters(&self.initializer, shape, self.bias.then_some(out_channels), device);
        Conv2d {
            weight,
            bias,
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
        }
    }
}

fn assert_groups([in_channels, out_channels]: [usize; 2], groups: usize) {
    assert!(
        groups > 0 && in_channels.is_multiple_of(groups) && out_channels.is_multiple_of(groups),
        "{groups} groups divide {in_channels} and {out_channels} channels"
    );
}

/// A weight and a bias, with the fans counted as PyTorch does: over the weight's first and second
/// axis, whatever the groups.
fn parameters(
    initializer: &Initializer,
    shape: [usize; 4],
    bias: Option<usize>,
    device: &Device,
) -> (Param<Tensor<4>>, Option<Param<Tensor<1>>>) {
    let [first, second, height, width] = shape;
    let (fan_in, fan_out) = (second * height * width, first * height * width);
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    let bias = bias
        .map(|channels| Initializer::Uniform { min: -bound, max: bound }.init([channels], device));
    (initializer.init_with(shape, Some(fan_in), Some(fan_out), device), bias)
}

impl Conv2d {
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - output: `[batch, out_channels, output height, output width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let bias = self.bias.as_ref().map(Param::val);
        let options = ConvOptions::new(self.stride, self.padding, self.dilation, self.groups);
        convolve(input, self.weight.val(), bias, options)
    }
}

/// [`Conv2d::forward`] with weights from elsewhere.
pub(crate) fn convolve(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions<2>,
) -> Tensor<4> {
    let symmetric = options.padding.iter().all(|(before, after)| before == after);
    if !(symmetric && serve(&input) && serve(&weight)) {
        return in_precision(input, weight, bias, |input, weight, bias| {
            conv2d(input, weight, bias, options)
        });
    }
    let [batch, in_channels, height, width] = input.dims();
    let [out_channels, group_channels, kernel_height, kernel_width] = weight.dims();
    assert_eq!(
        in_channels,
        group_channels * options.groups,
        "the input has as many channels as the layer"
    );
    let shape = Conv2dShape {
        batch,
        in_channels,
        out_channels,
        input: [height, width],
        kernel: [kernel_height, kernel_width],
        stride: options.stride,
        padding: options.padding.map(|(before, _)| before),
        dilation: options.dilation,
        groups: options.groups,
    };
    run(input, weight, bias, Convolution { shape, transposed: false })
}

fn run(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    convolution: Convolution,
) -> Tensor<4> {
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => {
            Dispatch::kernel_conv2d_biased(input, weight, bias.into_dispatch(), convolution)
        }
        None => Dispatch::kernel_conv2d(input, weight, convolution),
    })
}

/// Settings of a [`ConvTranspose2d`].
#[derive(Config, Debug)]
pub struct ConvTranspose2dConfig {
    /// Channels that come in and that go out.
    pub channels: [usize; 2],
    /// Height and width of the kernel.
    pub kernel_size: [usize; 2],
    /// Distance between the places where kernels are laid down in the output.
    #[config(default = "[1, 1]")]
    pub stride: [usize; 2],
    /// Pixels cut off above and below, left and right.
    #[config(default = "[0, 0]")]
    pub padding: [usize; 2],
    /// Pixels added below and right.
    #[config(default = "[0, 0]")]
    pub padding_out: [usize; 2],
    /// Distance between the pixels of a kernel.
    #[config(default = "[1, 1]")]
    pub dilation: [usize; 2],
    /// Into how many groups the channels are cut that do not see each other.
    #[config(default = "1")]
    pub groups: usize,
    /// Whether each output channel has a bias.
    #[config(default = true)]
    pub bias: bool,
    /// How the weight starts; see [`Conv2dConfig::initializer`].
    #[config(default = "Initializer::KaimingNormal { gain: SQRT_2, fan_out_only: true }")]
    pub initializer: Initializer,
}

/// A transposed 2-D convolution.
#[derive(Module, Debug)]
pub struct ConvTranspose2d {
    /// `[in_channels, out_channels / groups, kernel height, kernel width]`
    pub weight: Param<Tensor<4>>,
    /// `[out_channels]`
    pub bias: Option<Param<Tensor<1>>>,
    /// Distance between the places where kernels are laid down in the output.
    pub stride: [usize; 2],
    /// Pixels cut off above and below, left and right.
    pub padding: [usize; 2],
    /// Pixels added below and right.
    pub padding_out: [usize; 2],
    /// Distance between the pixels of a kernel.
    pub dilation: [usize; 2],
    /// Into how many groups the channels are cut.
    pub groups: usize,
}

impl ConvTranspose2dConfig {
    /// A transposed convolution with fresh weights.
    ///
    /// # Panics
    /// If the groups do not divide the channels.
    pub fn init(&self, device: &Device) -> ConvTranspose2d {
        let [in_channels, out_channels] = self.channels;
        assert_groups(self.channels, self.groups);
        let [height, width] = self.kernel_size;
        let shape = [in_channels, out_channels / self.groups, height, width];
        let (weight, bias) =
            parameters(&self.initializer, shape, self.bias.then_some(out_channels), device);
        ConvTranspose2d {
            weight,
            bias,
            stride: self.stride,
            padding: self.padding,
            padding_out: self.padding_out,
            dilation: self.dilation,
            groups: self.groups,
        }
    }
}

impl ConvTranspose2d {
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - output: `[batch, out_channels, output height, output width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val();
        let bias = self.bias.as_ref().map(Param::val);
        let [batch, in_channels, height, width] = input.dims();
        let [weight_channels, group_channels, kernel_height, kernel_width] = weight.dims();
        let size = |axis: usize, input: usize, kernel: usize| {
            ((input.max(1) - 1) * self.stride[axis]
                + self.dilation[axis] * (kernel - 1)
                + 1
                + self.padding_out[axis])
                .saturating_sub(2 * self.padding[axis])
        };
        // The convolution whose input gradient this is; see `lamina_kernels`.
        let shape = Conv2dShape {
            batch,
            in_channels: group_channels * self.groups,
            out_channels: in_channels,
            input: [size(0, height, kernel_height), size(1, width, kernel_width)],
            kernel: [kernel_height, kernel_width],
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
        };
        if !(serve(&input) && serve(&weight)) || shape.output() != [height, width] {
            let options = ConvTransposeOptions::new(
                self.stride,
                self.padding,
                self.padding_out,
                self.dilation,
                self.groups,
            );
            return in_precision(input, weight, bias, |input, weight, bias| {
                conv_transpose2d(input, weight, bias, options)
            });
        }
        assert_eq!(in_channels, weight_channels, "the input has as many channels as the layer");
        run(input, weight, bias, Convolution { shape, transposed: true })
    }
}
