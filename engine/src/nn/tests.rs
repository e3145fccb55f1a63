//! The layers against Burn's own operations on the CPU, forward and backward.

use super::*;
use burn::module::{Initializer, Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::module::{conv_transpose2d, conv2d, interpolate, max_pool2d};
use burn::tensor::ops::{
    ConvOptions, ConvTransposeOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions,
};
use burn::tensor::{Device, Distribution, Tensor};

fn cpu() -> Device {
    let device = Device::flex().autodiff();
    device.seed(7);
    device
}

fn random<const D: usize>(size: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(size, Distribution::Normal(0.0, 1.0), device)
}

/// Equal within 1e-4 of the largest value.
fn assert_close<const D: usize>(found: Tensor<D>, expected: Tensor<D>, what: &str) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let largest = expected.clone().abs().max().into_scalar::<f32>();
    let error = (found - expected).abs().max().into_scalar::<f32>();
    assert!(error <= 1e-4 * largest.max(1e-6), "{what}: {error} off at values up to {largest}");
}

/// Demands the same output and gradients of two ways to compute from the same tensors.
fn assert_same(
    what: &str,
    inputs: [Tensor<4>; 2],
    vectors: [Tensor<1>; 2],
    ours: impl Fn([Tensor<4>; 2], [Tensor<1>; 2]) -> Tensor<4>,
    theirs: impl Fn([Tensor<4>; 2], [Tensor<1>; 2]) -> Tensor<4>,
) {
    let inputs = inputs.map(|tensor| tensor.detach().require_grad());
    let vectors = vectors.map(|tensor| tensor.detach().require_grad());
    let found = ours(inputs.clone(), vectors.clone());
    let expected = theirs(inputs.clone(), vectors.clone());
    assert_close(found.clone(), expected.clone(), what);
    let weights = random(expected.dims(), &expected.device());
    let found = (found * weights.clone()).sum().backward();
    let expected = (expected * weights).sum().backward();
    for (index, input) in inputs.iter().enumerate() {
        match (input.grad(&found), input.grad(&expected)) {
            (Some(found), Some(expected)) => {
                assert_close(found, expected, &format!("{what}, gradient {index}"));
            }
            (found, expected) => assert_eq!(found.is_some(), expected.is_some(), "{what}, {index}"),
        }
    }
    for (index, vector) in vectors.iter().enumerate() {
        match (vector.grad(&found), vector.grad(&expected)) {
            (Some(found), Some(expected)) => {
                assert_close(found, expected, &format!("{what}, vector gradient {index}"));
            }
            (found, expected) => assert_eq!(found.is_some(), expected.is_some(), "{what}, {index}"),
        }
    }
}

fn convolutions() -> Vec<(usize, Conv2dConfig, [usize; 2])> {
    vec![
        (1, Conv2dConfig::new([3, 8], [3, 3]).with_padding([1, 1]), [7, 9]),
        (3, Conv2dConfig::new([20, 40], [3, 3]).with_padding([1, 1]), [33, 31]),
        (3, Conv2dConfig::new([64, 32], [3, 3]).with_padding([1, 1]), [3, 4]),
        (3, Conv2dConfig::new([4, 6], [3, 3]).with_padding([1, 1]).with_stride([2, 2]), [9, 12]),
        (1, Conv2dConfig::new([3, 8], [4, 4]).with_stride([4, 4]), [13, 16]),
        (3, Conv2dConfig::new([5, 7], [1, 1]), [6, 5]),
        (3, Conv2dConfig::new([4, 4], [3, 3]).with_padding([2, 2]).with_dilation([2, 2]), [8, 7]),
        (2, Conv2dConfig::new([8, 6], [3, 3]).with_padding([2, 2]).with_dilation([2, 2]), [33, 31]),
        (1, Conv2dConfig::new([5, 4], [3, 3]).with_padding([6, 6]).with_dilation([6, 6]), [9, 40]),
        (
            2,
            Conv2dConfig::new([3, 4], [3, 3]).with_padding([18, 18]).with_dilation([18, 18]),
            [40, 23],
        ),
        (
            2,
            Conv2dConfig::new([3, 4], [3, 3]).with_padding([36, 36]).with_dilation([36, 36]),
            [5, 1],
        ),
        (
            2,
            Conv2dConfig::new([6, 6], [3, 3])
                .with_padding([12, 12])
                .with_dilation([12, 12])
                .with_groups(6),
            [20, 7],
        ),
        (
            2,
            Conv2dConfig::new([6, 6], [5, 5])
                .with_padding([4, 4])
                .with_dilation([2, 2])
                .with_groups(6),
            [6, 7],
        ),
        (3, Conv2dConfig::new([4, 8], [3, 3]).with_padding([1, 1]).with_groups(2), [6, 7]),
        (3, Conv2dConfig::new([6, 6], [3, 3]).with_padding([1, 1]).with_groups(6), [6, 7]),
        (1, Conv2dConfig::new([6, 12], [3, 3]).with_stride([2, 2]).with_groups(6), [9, 7]),
        (1, Conv2dConfig::new([2, 3], [5, 2]).with_padding([3, 1]).with_stride([1, 2]), [5, 6]),
    ]
}

#[test]
fn convolution_equals_burns() {
    let device = cpu();
    for (batch, config, [height, width]) in convolutions() {
        for bias in [true, false] {
            let layer = config.clone().with_bias(bias).init(&device);
            let input = random([batch, config.channels[0], height, width], &device);
            let bias_value = random([config.channels[1]], &device);
            let options =
                ConvOptions::new(layer.stride, layer.padding, layer.dilation, layer.groups);
            assert_same(
                &config.to_string(),
                [input, layer.weight.val()],
                [bias_value, random([1], &device)],
                |[input, weight], [vector, _]| {
                    let mut layer = layer.clone();
                    layer.weight = Param::from_tensor(weight);
                    layer.bias = bias.then(|| Param::from_tensor(vector));
                    layer.forward(input)
                },
                |[input, weight], [vector, _]| {
                    conv2d(input, weight, bias.then_some(vector), options.clone())
                },
            );
        }
    }
}

#[test]
fn transposed_convolution_equals_burns() {
    let device = cpu();
    let new = ConvTranspose2dConfig::new;
    for (batch, config) in [
        (3, new([5, 4], [2, 2]).with_stride([2, 2])),
        (1, new([4, 6], [3, 3]).with_stride([2, 2]).with_padding([1, 1]).with_padding_out([1, 1])),
        (3, new([4, 2], [3, 2]).with_dilation([2, 1]).with_groups(2)),
    ] {
        let layer = config.init(&device);
        let input = random([batch, config.channels[0], 5, 3], &device);
        let options = ConvTransposeOptions::new(
            layer.stride,
            layer.padding,
            layer.padding_out,
            layer.dilation,
            layer.groups,
        );
        assert_same(
            &config.to_string(),
            [input, layer.weight.val()],
            [random([config.channels[1]], &device), random([1], &device)],
            |[input, weight], [bias, _]| {
                let mut layer = layer.clone();
                layer.weight = Param::from_tensor(weight);
                layer.bias = Some(Param::from_tensor(bias));
                layer.forward(input)
            },
            |[input, weight], [bias, _]| {
                conv_transpose2d(input, weight, Some(bias), options.clone())
            },
        );
    }
}

#[test]
fn batch_norm_in_training_equals_the_formula() {
    let device = cpu();
    for size in [[1, 4, 5, 7], [3, 8, 6, 6], [3, 2, 1, 1]] {
        for rectify in [false, true] {
            let channels = size[1];
            let layer = BatchNorm2dConfig::new(channels).init(&device);
            assert_same(
                &format!("{size:?} {rectify}"),
                [random(size, &device) * 3.0 + 5.0, random([1; 4], &device)],
                [random([channels], &device), random([channels], &device)],
                |[input, _], [weight, bias]| {
                    let mut layer = layer.clone();
                    layer.weight = Param::from_tensor(weight);
                    layer.bias = Param::from_tensor(bias);
                    if rectify { layer.forward_relu(input) } else { layer.forward(input) }
                },
                |[input, _], [weight, bias]| {
                    let mean = input.clone().mean_dims(&[0, 2, 3]);
                    let centered = input - mean;
                    let variance = centered.clone().powi_scalar(2).mean_dims(&[0, 2, 3]);
                    let row = |vector: Tensor<1>| vector.reshape([1, channels, 1, 1]);
                    let output = centered / (variance + 1e-5).sqrt() * row(weight) + row(bias);
                    if rectify { relu(output) } else { output }
                },
            );
        }
    }
}

#[test]
fn running_statistics_follow_pytorch() {
    let device = cpu();
    let layer = BatchNorm2dConfig::new(1).init(&device);
    let input = Tensor::<4>::from_floats([[[[1.0, 2.0], [3.0, 6.0]]]], &device);
    layer.forward(input.clone());
    // mean 3, unbiased variance (4 + 1 + 0 + 9) / 3
    let mean = layer.running_mean.value_sync().into_scalar::<f32>();
    let variance = layer.running_var.value_sync().into_scalar::<f32>();
    assert!((mean - 0.3).abs() < 1e-6, "{mean}");
    assert!((variance - (0.9 + 0.1 * 14.0 / 3.0)).abs() < 1e-6, "{variance}");

    let valid = layer.valid();
    let output = valid.forward(input.without_autodiff());
    let expected = (3.0 - mean) / (variance + 1e-5).sqrt();
    let found = output.into_data().try_to_vec::<f32>().expect("f32")[2];
    assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
}

#[test]
fn a_frozen_batch_norm_goes_by_its_running_statistics() {
    let device = cpu();
    let layer = BatchNorm2dConfig::new(4).init(&device).freeze();
    let input = random([2, 4, 3, 3], &device);
    assert_close(layer.forward(input.clone()), input, "mean 0 and variance 1");
}

#[test]
fn max_pooling_equals_burns() {
    let device = cpu();
    for (kernel, stride, padding, size) in [
        ([2, 2], [2, 2], [0, 0], [3, 2, 7, 6]),
        ([3, 3], [2, 2], [1, 1], [1, 3, 7, 8]),
        ([3, 2], [1, 2], [0, 1], [1, 3, 5, 5]),
    ] {
        let layer = MaxPool2dConfig::new(kernel, stride).with_padding(padding).init();
        let options = MaxPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
        assert_same(
            &format!("{layer:?}"),
            [random(size, &device), random([1; 4], &device)],
            [random([1], &device), random([1], &device)],
            |[input, _], _| layer.forward(input),
            |[input, _], _| max_pool2d(input, options.clone()),
        );
    }
}

#[test]
fn bilinear_resizing_equals_burns() {
    let device = cpu();
    for align_corners in [false, true] {
        for output in [[8, 14], [3, 4], [11, 5]] {
            let options = InterpolateOptions::new(InterpolateMode::Bilinear)
                .with_align_corners(align_corners)
                .with_output_size(output);
            assert_same(
                &format!("{options:?}"),
                [random([2, 3, 4, 7], &device), random([1; 4], &device)],
                [random([1], &device), random([1], &device)],
                |[input, _], _| interpolate_bilinear(input, output, align_corners),
                |[input, _], _| interpolate(input, options.clone()),
            );
        }
    }
}

#[test]
fn without_autodiff_the_layers_work_too() {
    let device = Device::flex();
    let input = random([2, 3, 8, 6], &device);
    let conv = Conv2dConfig::new([3, 4], [3, 3]).with_padding([1, 1]).init(&device);
    let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    let bias = conv.bias.as_ref().map(Param::val);
    let expected = conv2d(input.clone(), conv.weight.val(), bias, options);
    let found = conv.forward(input);
    assert_close(found.clone(), expected, "convolution");
    let norm = BatchNorm2dConfig::new(4).init(&device);
    assert_close(norm.forward_relu(found.clone()), relu(found), "fresh statistics");
}

#[test]
fn views_are_read_where_they_lie() {
    let device = cpu();
    let conv = Conv2dConfig::new([3, 4], [3, 3]).init(&device);
    let whole = random([2, 5, 8, 6], &device);
    let part = whole.clone().slice([0..2, 1..4, 0..8, 0..6]).swap_dims(2, 3);
    let copy = Tensor::from_data(part.to_data(), &device);
    assert_close(conv.forward(part), conv.forward(copy), "a view");
}

#[test]
fn fresh_weights_have_the_stated_spread() {
    let device = cpu();
    let config = Conv2dConfig::new([32, 64], [3, 3]);
    let deviation = config.init(&device).weight.val().var(0).mean().sqrt().into_scalar::<f32>();
    let expected = (2.0_f32 / (64.0 * 9.0)).sqrt();
    assert!((deviation / expected - 1.0).abs() < 0.05, "{deviation} is not {expected}");
    let zeros = config.with_initializer(Initializer::Zeros).init(&device).weight.val();
    assert_eq!(zeros.abs().max().into_scalar::<f32>(), 0.0);
}
