//! Fast CPU kernels for the training of 2-D networks, over plain slices of `f32`.
//!
//! Every function is safe, returns new memory, runs on the current rayon pool, and gives the same
//! bits for any number of threads: the work is cut into pieces by the shapes alone, and sums are
//! taken in a fixed order. How the functions become Burn operations is told in the engine's `nn`.
//!
//! This is the only crate of the workspace with `unsafe`, for writes of several threads into one
//! buffer and for the matrix products of the gemm crate.

mod batch_norm;
mod columns;
mod conv;
mod depthwise;
mod matrix;
mod parallel;
mod pool;
mod resize;
mod transposed;
mod wide;

pub use batch_norm::{
    BatchNormOutput, BatchNormShape, batch_norm_apply, batch_norm_backward,
    batch_norm_train_forward,
};
pub use conv::{
    Conv2dShape, conv2d_backward_bias, conv2d_backward_input, conv2d_backward_weight,
    conv2d_forward,
};
pub use pool::{Pool2dShape, max_pool2d_backward, max_pool2d_forward};
pub use resize::{ResizeShape, resize_bilinear_backward, resize_bilinear_forward};
pub use transposed::{
    conv_transpose2d_backward_input, conv_transpose2d_backward_weight, conv_transpose2d_forward,
};

#[cfg(test)]
mod tests {
    //! What the tests of several kernels need.

    /// Repeatable values between -1 and 1.
    pub(crate) fn noise(len: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    /// Equal within 1e-5 of the largest value.
    pub(crate) fn assert_close(found: &[f32], expected: &[f32], what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let largest = expected.iter().fold(1e-6_f32, |largest, value| largest.max(value.abs()));
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!(
                (found - expected).abs() <= 1e-5 * largest,
                "{what}, {index}: {found} is not {expected}"
            );
        }
    }

    /// Runs `work` on 1, 2 and 3 threads and demands the same bits.
    pub(crate) fn in_pools<T: PartialEq + Send + std::fmt::Debug>(work: impl Fn() -> T + Sync) {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a pool can be made").install(&work)
        };
        let single = run(1);
        assert!(run(2) == single, "two threads");
        assert!(run(3) == single, "three threads");
    }
}
