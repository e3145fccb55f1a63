//! Transposed convolution, which is the input gradient of a convolution, and its own gradients.
//!
//! Everywhere here the [`Conv2dShape`] is that of this other convolution, which runs from the
//! result to `x`: its `input` is the result's size and its `in_channels` the result's channels.

use crate::{Conv2dShape, conv2d_backward_input, conv2d_backward_weight, conv2d_forward};
use rayon::prelude::*;

/// Convolves a batch, transposed.
///
/// # Shapes
/// - `x`: `[batch, shape.out_channels, output height, output width]`
/// - `weight`: `[shape.out_channels, shape.in_channels / groups, kernel height, kernel width]`
/// - `bias`: `[shape.in_channels]`
/// - result: `[batch, shape.in_channels, height, width]`
pub fn conv_transpose2d_forward(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    shape: &Conv2dShape,
) -> Vec<f32> {
    let mut y = conv2d_backward_input(x, weight, shape);
    if let Some(bias) = bias {
        assert_eq!(bias.len(), shape.in_channels, "one bias per channel");
        let pixels = (shape.input[0] * shape.input[1]).max(1);
        y.par_chunks_mut(pixels).with_min_len(8).enumerate().for_each(|(index, plane)| {
            let bias = bias[index % bias.len()];
            plane.iter_mut().for_each(|value| *value += bias);
        });
    }
    y
}

/// The gradient of [`conv_transpose2d_forward`] with respect to its input.
pub fn conv_transpose2d_backward_input(
    gradient: &[f32],
    weight: &[f32],
    shape: &Conv2dShape,
) -> Vec<f32> {
    conv2d_forward(gradient, weight, None, shape)
}

/// The gradient of [`conv_transpose2d_forward`] with respect to its weight.
pub fn conv_transpose2d_backward_weight(
    x: &[f32],
    gradient: &[f32],
    shape: &Conv2dShape,
) -> Vec<f32> {
    conv2d_backward_weight(gradient, x, shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::assert_close;

    #[test]
    fn each_pixel_lays_down_its_kernel() {
        let shape = Conv2dShape {
            batch: 1,
            in_channels: 1,
            out_channels: 1,
            input: [2, 4],
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
        };
        let (x, weight) = ([1.0, 10.0], [1.0, 2.0, 3.0, 4.0]);
        let y = conv_transpose2d_forward(&x, &weight, Some(&[0.5]), &shape);
        assert_close(&y, &[1.5, 2.5, 10.5, 20.5, 3.5, 4.5, 30.5, 40.5], "transposed");
        let gradient = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let dx = conv_transpose2d_backward_input(&gradient, &weight, &shape);
        assert_close(&dx, &[1.0, 6.0], "input gradient");
        let dw = conv_transpose2d_backward_weight(&x, &gradient, &shape);
        assert_close(&dw, &[1.0, 10.0, 0.0, 10.0], "weight gradient");
    }
}
