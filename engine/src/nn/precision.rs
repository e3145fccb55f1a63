//! Mixed precision: convolutions in bf16, everything else in f32.
//!
//! What PyTorch calls autocast, for the one kind of layer that takes the time: a GPU multiplies
//! bf16 on its matrix units, sums in f32, and weights, norms, losses and the optimizer stay f32. The
//! range of bf16 is that of f32, so no loss has to be scaled.

use std::cell::Cell;

use burn::tensor::{FloatDType, Tensor};

thread_local! {
    static MIXED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` with the convolutions of this thread in bf16 if `mixed`. Layers that run our own
/// kernels, those on the CPU, take no notice.
pub fn with_precision<R>(mixed: bool, work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            MIXED.set(self.0);
        }
    }
    let _restore = Restore(MIXED.replace(mixed));
    work()
}

/// `layer` on its input, weight and bias, in bf16 where that was asked for.
pub(super) fn in_precision(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    layer: impl FnOnce(Tensor<4>, Tensor<4>, Option<Tensor<1>>) -> Tensor<4>,
) -> Tensor<4> {
    if !MIXED.get() {
        return layer(input, weight, bias);
    }
    let half = FloatDType::BF16;
    layer(input.cast(half), weight.cast(half), bias.map(|bias| bias.cast(half)))
        .cast(FloatDType::F32)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;

    use super::*;
    use crate::synthetic_weights::unit;

    fn tensor<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Tensor<D> {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|index| unit(name, index) as f32 - 0.5).collect();
        Tensor::from_data(burn::tensor::TensorData::new(values, shape), device)
    }

    /// A convolution and the gradient of its weight.
    fn convolved(mixed: bool) -> (Vec<f32>, Vec<f32>) {
        let device = Device::flex().autodiff();
        let input = tensor("input", [2, 3, 5, 6], &device);
        let weight = tensor("weight", [4, 3, 3, 3], &device).require_grad();
        let bias = tensor("bias", [4], &device);
        let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
        let output = with_precision(mixed, || {
            in_precision(input, weight.clone(), Some(bias), |input, weight, bias| {
                conv2d(input, weight, bias, options)
            })
        });
        assert_eq!(output.dtype(), burn::tensor::DType::F32);
        let gradients = output.clone().powi_scalar(2).sum().backward();
        let gradient = weight.grad(&gradients).expect("the weight was used");
        [output.inner(), gradient]
            .map(|tensor| tensor.into_data().convert::<f32>().try_to_vec().expect("it is f32"))
            .into()
    }

    #[test]
    fn halves_differ_a_little_and_gradients_come_back_in_full() {
        let ((exact, exact_gradient), (mixed, mixed_gradient)) =
            (convolved(false), convolved(true));
        for (exact, mixed) in [(exact, mixed), (exact_gradient, mixed_gradient)] {
            let largest = exact.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            let pairs = exact.iter().zip(&mixed);
            let farthest = pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
            assert!(farthest > 0.0, "nothing was computed in bf16");
            assert!(farthest < 0.02 * largest, "{farthest} of {largest}");
        }
    }

    #[test]
    fn the_wish_ends_with_its_work() {
        with_precision(true, || assert!(MIXED.get()));
        assert!(!MIXED.get());
    }
}
