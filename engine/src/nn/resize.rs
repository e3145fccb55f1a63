//! Bilinear resizing.

use super::kernels::{Kernels, serve};
use burn::backend::Dispatch;
use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use lamina_kernels::ResizeShape;

/// Resizes bilinearly to the height and width `output`. With `align_corners` the centers of the
/// corner pixels stay where they are, else the image's edges (PyTorch's default).
///
/// # Shapes
/// - `input`: `[batch, channels, height, width]`
/// - output: `[batch, channels, output[0], output[1]]`
pub fn interpolate_bilinear(
    input: Tensor<4>,
    output: [usize; 2],
    align_corners: bool,
) -> Tensor<4> {
    let [batch, channels, height, width] = input.dims();
    if [height, width] == output {
        return input;
    }
    if !serve(&input) {
        let options = InterpolateOptions::new(InterpolateMode::Bilinear)
            .with_align_corners(align_corners)
            .with_output_size(output);
        return interpolate(input, options);
    }
    let shape =
        ResizeShape { planes: batch * channels, input: [height, width], output, align_corners };
    Tensor::from_dispatch(Dispatch::kernel_resize(input.into_dispatch(), shape))
}
