//! Convolutions in which each output channel sees one input channel: direct loops over rows.

use crate::Conv2dShape;
use rayon::prelude::*;
use std::ops::Range;

/// Whether a group has one input channel.
pub(crate) fn applies(shape: &Conv2dShape) -> bool {
    shape.groups > 1 && shape.groups == shape.in_channels
}

/// Calls `visit` for each run of products in a plane: the tap, the output pixels, and the input
/// pixel of the first of these; the following ones are a stride apart.
fn for_runs(shape: &Conv2dShape, mut visit: impl FnMut(usize, Range<usize>, usize)) {
    let [height, width] = shape.input;
    let [out_height, out_width] = shape.output();
    for tap in 0..shape.kernel[0] * shape.kernel[1] {
        let down = tap / shape.kernel[1] * shape.dilation[0];
        let right = tap % shape.kernel[1] * shape.dilation[1];
        let start = shape.padding[1].saturating_sub(right).div_ceil(shape.stride[1]);
        let end = (width + shape.padding[1])
            .saturating_sub(right)
            .div_ceil(shape.stride[1])
            .min(out_width);
        if start >= end {
            continue;
        }
        for row in 0..out_height {
            let Some(input_row) = (row * shape.stride[0] + down).checked_sub(shape.padding[0])
            else {
                continue;
            };
            if input_row < height {
                let input = input_row * width + start * shape.stride[1] + right - shape.padding[1];
                visit(tap, row * out_width + start..row * out_width + end, input);
            }
        }
    }
}

pub(crate) fn forward(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: &Conv2dShape,
) -> Vec<f32> {
    let (in_pixels, out_pixels) =
        (shape.input[0] * shape.input[1], shape.output()[0] * shape.output()[1]);
    let (taps, multiplier) = (shape.kernel[0] * shape.kernel[1], shape.out_channels / shape.groups);
    let mut y = vec![0.0; shape.batch * shape.out_channels * out_pixels];
    y.par_chunks_mut(out_pixels.max(1)).enumerate().for_each(|(index, plane)| {
        let (image, output) = (index / shape.out_channels, index % shape.out_channels);
        let input = (image * shape.in_channels + output / multiplier) * in_pixels;
        let (x, weight) = (&x[input..input + in_pixels], &weight[output * taps..][..taps]);
        plane.fill(bias.map_or(0.0, |bias| bias[output]));
        for_runs(shape, |tap, pixels, from| {
            let factor = weight[tap];
            if shape.stride[1] == 1 {
                let from = &x[from..from + pixels.len()];
                plane[pixels].iter_mut().zip(from).for_each(|(sum, value)| *sum += factor * value);
            } else {
                let from = x[from..].iter().step_by(shape.stride[1]);
                plane[pixels].iter_mut().zip(from).for_each(|(sum, value)| *sum += factor * value);
            }
        });
    });
    y
}

pub(crate) fn backward_input(gradient: &[f32], weight: &[f32], shape: &Conv2dShape) -> Vec<f32> {
    let (in_pixels, out_pixels) =
        (shape.input[0] * shape.input[1], shape.output()[0] * shape.output()[1]);
    let (taps, multiplier) = (shape.kernel[0] * shape.kernel[1], shape.out_channels / shape.groups);
    let mut x = vec![0.0; shape.batch * shape.in_channels * in_pixels];
    x.par_chunks_mut(in_pixels.max(1)).enumerate().for_each(|(index, plane)| {
        let (image, channel) = (index / shape.in_channels, index % shape.in_channels);
        for output in channel * multiplier..(channel + 1) * multiplier {
            let start = (image * shape.out_channels + output) * out_pixels;
            let (gradient, weight) =
                (&gradient[start..start + out_pixels], &weight[output * taps..][..taps]);
            for_runs(shape, |tap, pixels, to| {
                let factor = weight[tap];
                if shape.stride[1] == 1 {
                    let to = &mut plane[to..to + pixels.len()];
                    to.iter_mut()
                        .zip(&gradient[pixels])
                        .for_each(|(sum, value)| *sum += factor * value);
                } else {
                    let to = plane[to..].iter_mut().step_by(shape.stride[1]);
                    to.zip(&gradient[pixels]).for_each(|(sum, value)| *sum += factor * value);
                }
            });
        }
    });
    x
}

pub(crate) fn backward_weight(x: &[f32], gradient: &[f32], shape: &Conv2dShape) -> Vec<f32> {
    let (in_pixels, out_pixels) =
        (shape.input[0] * shape.input[1], shape.output()[0] * shape.output()[1]);
    let (taps, multiplier) = (shape.kernel[0] * shape.kernel[1], shape.out_channels / shape.groups);
    let mut sums = vec![0.0; shape.out_channels * taps];
    sums.par_chunks_mut(taps).enumerate().for_each(|(output, sums)| {
        let mut exact = vec![0.0_f64; taps];
        for image in 0..shape.batch {
            let input = (image * shape.in_channels + output / multiplier) * in_pixels;
            let start = (image * shape.out_channels + output) * out_pixels;
            let (x, gradient) =
                (&x[input..input + in_pixels], &gradient[start..start + out_pixels]);
            for_runs(shape, |tap, pixels, from| {
                let gradient = &gradient[pixels];
                exact[tap] += if shape.stride[1] == 1 {
                    crate::batch_norm::dot(gradient, &x[from..from + gradient.len()])
                } else {
                    let from = x[from..].iter().step_by(shape.stride[1]);
                    gradient.iter().zip(from).map(|(a, b)| f64::from(a * b)).sum()
                };
            });
        }
        for (sum, exact) in sums.iter_mut().zip(exact) {
            *sum = exact as f32;
        }
    });
    sums
}
