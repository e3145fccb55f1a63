//! Batch normalization in training, its closed-form gradient, and a channel-wise scale and shift.
//!
//! Each task takes one channel, which over a batch mostly fits the second-level cache, so that the
//! second look at its values is cheap. ReLU can be done in the same pass.

use crate::parallel::Shared;
use crate::wide::wide;
use rayon::prelude::*;

/// How the values lie in memory: `[batch, channels, pixels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNormShape {
    /// Images in the batch.
    pub batch: usize,
    /// Channels, each with statistics of its own.
    pub channels: usize,
    /// Pixels of one channel of one image.
    pub pixels: usize,
}

impl BatchNormShape {
    fn len(&self) -> usize {
        self.batch * self.channels * self.pixels
    }

    /// Where each image's plane of a channel begins.
    fn planes(&self, channel: usize) -> impl Iterator<Item = usize> + use<> {
        let Self { batch, channels, pixels } = *self;
        (0..batch).map(move |image| (image * channels + channel) * pixels)
    }
}

/// What [`batch_norm_train_forward`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormOutput {
    /// The normalized values.
    pub y: Vec<f32>,
    /// The mean of each channel.
    pub mean: Vec<f32>,
    /// `1 / sqrt(variance + epsilon)` of each channel.
    pub inv_std: Vec<f32>,
    /// The biased variance of each channel.
    pub variance: Vec<f32>,
}

/// How many values are summed in `f32` before the sum goes on in `f64`.
const RUN: usize = 512;
const LANES: usize = 32;

/// Sums `first` and `second` over pairs, lane by lane in a fixed order.
#[inline(always)]
fn sums(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> [f32; 2]) -> [f64; 2] {
    let mut total = [0.0_f64; 2];
    for (a, b) in a.chunks(RUN).zip(b.chunks(RUN)) {
        let mut lanes = [[0.0_f32; LANES]; 2];
        let (whole_a, rest_a) = a.as_chunks::<LANES>();
        let (whole_b, rest_b) = b.as_chunks::<LANES>();
        for (a, b) in whole_a.iter().zip(whole_b) {
            for lane in 0..LANES {
                let [first, second] = term(a[lane], b[lane]);
                lanes[0][lane] += first;
                lanes[1][lane] += second;
            }
        }
        for (lane, (&a, &b)) in rest_a.iter().zip(rest_b).enumerate() {
            let [first, second] = term(a, b);
            lanes[0][lane] += first;
            lanes[1][lane] += second;
        }
        for (total, lanes) in total.iter_mut().zip(lanes) {
            *total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
        }
    }
    total
}

/// The sum of some values.
pub(crate) fn sum(values: &[f32]) -> f64 {
    wide(|| sums(values, values, |a, _| [a, 0.0])[0])
}

/// The sum of products.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    sums(a, b, |a, b| [a * b, 0.0])[0]
}

/// Normalizes each channel by its mean and variance over the batch, then scales by `gamma` and
/// shifts by `beta`; with `relu`, negative results become 0.
pub fn batch_norm_train_forward(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f64,
    shape: &BatchNormShape,
    relu: bool,
) -> BatchNormOutput {
    assert_eq!(x.len(), shape.len(), "input fits its shape");
    assert!(gamma.len() == shape.channels && beta.len() == shape.channels, "one value per channel");
    let count = (shape.batch * shape.pixels) as f64;
    let mut y = vec![0.0; x.len()];
    let target = Shared::new(&mut y);
    let statistics: Vec<[f32; 3]> = (0..shape.channels)
        .into_par_iter()
        .map(|channel| {
            wide(|| {
                // Squares are taken of distances to the first value, lest a large mean eats their digits.
                let pivot = shape
                    .planes(channel)
                    .next()
                    .and_then(|start| x.get(start))
                    .copied()
                    .unwrap_or(0.0);
                let mut total = [0.0_f64; 2];
                for start in shape.planes(channel) {
                    let plane = &x[start..start + shape.pixels];
                    let [first, second] = sums(plane, plane, |value, _| {
                        let distance = value - pivot;
                        [distance, distance * distance]
                    });
                    total[0] += first;
                    total[1] += second;
                }
                let shift = total[0] / count;
                let mean = f64::from(pivot) + shift;
                let variance = (total[1] / count - shift * shift).max(0.0);
                let inv_std = 1.0 / (variance + epsilon).sqrt();
                let (mean, inv_std) = (mean as f32, inv_std as f32);
                let (gamma, beta) = (gamma[channel], beta[channel]);
                for start in shape.planes(channel) {
                    // SAFETY: each task writes the planes of its own channel.
                    let to = unsafe { target.slice(start, shape.pixels) };
                    normalize(
                        &x[start..start + shape.pixels],
                        to,
                        [mean, inv_std * gamma, beta],
                        relu,
                    );
                }
                [mean, inv_std, variance as f32]
            })
        })
        .collect();
    let column = |index: usize| statistics.iter().map(|row| row[index]).collect();
    BatchNormOutput { mean: column(0), inv_std: column(1), variance: column(2), y }
}

#[inline(always)]
fn normalize(from: &[f32], to: &mut [f32], [mean, scale, shift]: [f32; 3], relu: bool) {
    if relu {
        for (to, from) in to.iter_mut().zip(from) {
            *to = rectified((from - mean) * scale + shift);
        }
    } else {
        for (to, from) in to.iter_mut().zip(from) {
            *to = (from - mean) * scale + shift;
        }
    }
}

/// ReLU that lets "not a number" pass, so that a diverged training does not look healthy.
#[inline(always)]
fn rectified(value: f32) -> f32 {
    if value < 0.0 { 0.0 } else { value }
}

/// `(x - mean) * scale + shift` per channel: batch normalization by known statistics.
pub fn batch_norm_apply(
    x: &[f32],
    [mean, scale, shift]: [&[f32]; 3],
    shape: &BatchNormShape,
    relu: bool,
) -> Vec<f32> {
    assert_eq!(x.len(), shape.len(), "input fits its shape");
    let mut y = vec![0.0; x.len()];
    let planes = y.par_chunks_mut(shape.pixels.max(1)).zip(x.par_chunks(shape.pixels.max(1)));
    planes.enumerate().for_each(|(index, (to, from))| {
        let channel = index % shape.channels;
        let factors = [mean[channel], scale[channel], shift[channel]];
        wide(|| normalize(from, to, factors, relu));
    });
    y
}

/// The gradients of [`batch_norm_train_forward`] with respect to `x`, `gamma` and `beta`.
///
/// With `relu`, the result's sign is found again from `x`.
pub fn batch_norm_backward(
    gradient: &[f32],
    x: &[f32],
    [gamma, beta]: [&[f32]; 2],
    [mean, inv_std]: [&[f32]; 2],
    shape: &BatchNormShape,
    relu: bool,
) -> [Vec<f32>; 3] {
    assert!(x.len() == shape.len() && gradient.len() == shape.len(), "values fit their shape");
    for values in [gamma, beta, mean, inv_std] {
        assert_eq!(values.len(), shape.channels, "one value per channel");
    }
    let count = (shape.batch * shape.pixels) as f64;
    let mut dx = vec![0.0; x.len()];
    let target = Shared::new(&mut dx);
    let parameters: Vec<[f32; 2]> = (0..shape.channels)
        .into_par_iter()
        .map(|channel| {
            wide(|| {
                let (gamma, beta) = (gamma[channel], beta[channel]);
                let (mean, inv_std) = (mean[channel], inv_std[channel]);
                // The same arithmetic as forward, so that the same values pass.
                let scale = inv_std * gamma;
                let passed = |gradient: f32, x: f32| {
                    if relu && (x - mean) * scale + beta <= 0.0 { 0.0 } else { gradient }
                };
                let mut total = [0.0_f64; 2];
                for start in shape.planes(channel) {
                    let (dy, x) =
                        (&gradient[start..start + shape.pixels], &x[start..start + shape.pixels]);
                    let [first, second] = if relu {
                        sums(dy, x, |dy, x| {
                            let dy = passed(dy, x);
                            [dy, dy * (x - mean)]
                        })
                    } else {
                        sums(dy, x, |dy, x| [dy, dy * (x - mean)])
                    };
                    total[0] += first;
                    total[1] += second;
                }
                let d_gamma = total[1] * f64::from(inv_std);
                // Ioffe and Szegedy 2015, the equations after algorithm 1, with the sums drawn together:
                // dx = scale * (dy - mean(dy) - x̂ * mean(dy * x̂))
                let offset = (total[0] / count) as f32;
                let slope = (d_gamma * f64::from(inv_std) / count) as f32;
                for start in shape.planes(channel) {
                    let (dy, x) =
                        (&gradient[start..start + shape.pixels], &x[start..start + shape.pixels]);
                    // SAFETY: each task writes the planes of its own channel.
                    let dx = unsafe { target.slice(start, shape.pixels) };
                    if relu {
                        for ((dx, &dy), &x) in dx.iter_mut().zip(dy).zip(x) {
                            *dx = scale * (passed(dy, x) - offset - (x - mean) * slope);
                        }
                    } else {
                        for ((dx, &dy), &x) in dx.iter_mut().zip(dy).zip(x) {
                            *dx = scale * (dy - offset - (x - mean) * slope);
                        }
                    }
                }
                [d_gamma as f32, total[0] as f32]
            })
        })
        .collect();
    let column = |index: usize| parameters.iter().map(|row| row[index]).collect();
    [dx, column(0), column(1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{assert_close, in_pools, noise};

    const SHAPE: BatchNormShape = BatchNormShape { batch: 3, channels: 5, pixels: 77 };

    #[test]
    fn a_channel_comes_out_with_mean_beta_and_deviation_gamma() {
        let x: Vec<f32> = noise(SHAPE.len(), 1).iter().map(|value| value * 3.0 + 1000.0).collect();
        let (gamma, beta) = (noise(5, 2), noise(5, 3));
        let found = batch_norm_train_forward(&x, &gamma, &beta, 1e-5, &SHAPE, false);
        for channel in 0..5 {
            let values: Vec<f64> = SHAPE
                .planes(channel)
                .flat_map(|start| {
                    found.y[start..start + SHAPE.pixels].iter().map(|&value| f64::from(value))
                })
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
                / values.len() as f64;
            assert!((mean - f64::from(beta[channel])).abs() < 1e-4);
            assert!((square.sqrt() - f64::from(gamma[channel]).abs()).abs() < 1e-3);
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let shape = BatchNormShape { batch: 2, channels: 2, pixels: 5 };
        let (x, weights) = (noise(20, 1), noise(20, 9));
        let (gamma, beta) = (vec![1.5, -0.7], vec![0.2, 0.1]);
        for relu in [false, true] {
            let loss = |x: &[f32], gamma: &[f32], beta: &[f32]| -> f64 {
                let y = batch_norm_train_forward(x, gamma, beta, 1e-5, &shape, relu).y;
                y.iter().zip(&weights).map(|(y, weight)| f64::from(*y) * f64::from(*weight)).sum()
            };
            let found = batch_norm_train_forward(&x, &gamma, &beta, 1e-5, &shape, relu);
            let statistics = [&found.mean[..], &found.inv_std];
            let gradients =
                batch_norm_backward(&weights, &x, [&gamma, &beta], statistics, &shape, relu);
            let inputs = [x.clone(), gamma.clone(), beta.clone()];
            for (which, gradient) in gradients.iter().enumerate() {
                for (index, &gradient) in gradient.iter().enumerate() {
                    let moved = |by: f32| {
                        let mut inputs = inputs.clone();
                        inputs[which][index] += by;
                        loss(&inputs[0], &inputs[1], &inputs[2])
                    };
                    let expected = (moved(1e-3) - moved(-1e-3)) / 2e-3;
                    assert!(
                        (expected - f64::from(gradient)).abs() < 5e-3,
                        "{which} {index}: {expected} {gradient}"
                    );
                }
            }
        }
    }

    #[test]
    fn known_statistics_are_applied_per_channel() {
        let shape = BatchNormShape { batch: 1, channels: 2, pixels: 2 };
        let y = batch_norm_apply(
            &[1.0, 2.0, 3.0, 4.0],
            [&[1.0, 2.0], &[2.0, -1.0], &[0.5, 0.0]],
            &shape,
            true,
        );
        assert_close(&y, &[0.5, 2.5, 0.0, 0.0], "applied");
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (x, gradient) = (noise(SHAPE.len(), 1), noise(SHAPE.len(), 2));
        let (gamma, beta) = (noise(5, 3), noise(5, 4));
        in_pools(|| {
            let found = batch_norm_train_forward(&x, &gamma, &beta, 1e-5, &SHAPE, true);
            let statistics = [&found.mean[..], &found.inv_std];
            let gradients =
                batch_norm_backward(&gradient, &x, [&gamma, &beta], statistics, &SHAPE, true);
            [vec![found.y], gradients.to_vec()].concat()
        });
    }
}
