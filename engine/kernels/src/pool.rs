//! Maximum over windows.

use crate::wide::wide;
use rayon::prelude::*;

/// Which windows are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2dShape {
    /// Planes: images times channels.
    pub planes: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Distance between windows.
    pub stride: [usize; 2],
    /// Pixels that windows may reach over the border, which never win.
    pub padding: [usize; 2],
}

impl Pool2dShape {
    /// Height and width of the result.
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let padded = self.input[axis] + 2 * self.padding[axis];
            if padded < self.kernel[axis] {
                0
            } else {
                (padded - self.kernel[axis]) / self.stride[axis] + 1
            }
        })
    }

    fn sizes(&self) -> [usize; 2] {
        let [height, width] = self.output();
        [self.input[0] * self.input[1], height * width]
    }

    fn is_halving(&self) -> bool {
        self.kernel == [2, 2] && self.stride == [2, 2] && self.padding == [0, 0]
    }
}

/// The largest value of each window, and which pixel of its plane it was: the first of equals, and
/// "not a number" before all else.
///
/// # Shapes
/// - `x`: `[planes, height, width]`
/// - results: `[planes, output height, output width]`
pub fn max_pool2d_forward(x: &[f32], shape: &Pool2dShape) -> (Vec<f32>, Vec<u32>) {
    let [in_pixels, out_pixels] = shape.sizes();
    assert_eq!(x.len(), shape.planes * in_pixels, "input fits its shape");
    assert!(
        shape.padding[0] < shape.kernel[0] && shape.padding[1] < shape.kernel[1],
        "every window holds a pixel"
    );
    let len = shape.planes * out_pixels;
    let (mut y, mut winners) = (vec![0.0; len], vec![0; len]);
    let chunk = out_pixels.max(1);
    y.par_chunks_mut(chunk)
        .zip(winners.par_chunks_mut(chunk))
        .zip(x.par_chunks(in_pixels.max(1)))
        .with_min_len(4)
        .for_each(|((y, winners), x)| {
            if shape.is_halving() {
                wide(|| halve(x, shape, y, winners));
            } else {
                scan(x, shape, y, winners)
            }
        });
    (y, winners)
}

/// Whether `value` wins over the best so far.
#[inline(always)]
fn wins(value: f32, best: f32) -> bool {
    value > best || value.is_nan()
}

#[inline(always)]
fn halve(x: &[f32], shape: &Pool2dShape, y: &mut [f32], winners: &mut [u32]) {
    let width = shape.input[1];
    let out_width = shape.output()[1];
    let rows = y.chunks_exact_mut(out_width).zip(winners.chunks_exact_mut(out_width));
    for (row, (y, winners)) in rows.enumerate() {
        let upper = x[2 * row * width..][..2 * out_width].as_chunks::<2>().0;
        let lower = x[(2 * row + 1) * width..][..2 * out_width].as_chunks::<2>().0;
        let outputs = y.iter_mut().zip(winners);
        for (column, ((y, winner), (upper, lower))) in
            outputs.zip(upper.iter().zip(lower)).enumerate()
        {
            let start = (2 * row * width + 2 * column) as u32;
            let width = width as u32;
            let (mut best, mut place) = (upper[0], start);
            for (value, at) in
                [(upper[1], start + 1), (lower[0], start + width), (lower[1], start + width + 1)]
            {
                let won = wins(value, best);
                best = if won { value } else { best };
                place = if won { at } else { place };
            }
            *y = best;
            *winner = place;
        }
    }
}

fn scan(x: &[f32], shape: &Pool2dShape, y: &mut [f32], winners: &mut [u32]) {
    let [height, width] = shape.input;
    let out_width = shape.output()[1];
    for (index, (y, winner)) in y.iter_mut().zip(winners).enumerate() {
        let range = |at: usize, axis: usize, size: usize| {
            let start = at * shape.stride[axis];
            start.saturating_sub(shape.padding[axis])
                ..(start + shape.kernel[axis]).saturating_sub(shape.padding[axis]).min(size)
        };
        let mut best = (f32::NEG_INFINITY, None);
        for row in range(index / out_width, 0, height) {
            for column in range(index % out_width, 1, width) {
                let value = x[row * width + column];
                if best.1.is_none() || wins(value, best.0) {
                    best = (value, Some((row * width + column) as u32));
                }
            }
        }
        *y = best.0;
        *winner = best.1.expect("every window holds a pixel");
    }
}

/// The gradient of [`max_pool2d_forward`]: each window's goes to the pixel that won.
pub fn max_pool2d_backward(gradient: &[f32], winners: &[u32], shape: &Pool2dShape) -> Vec<f32> {
    let [in_pixels, out_pixels] = shape.sizes();
    assert!(
        gradient.len() == shape.planes * out_pixels && winners.len() == gradient.len(),
        "gradient fits its shape"
    );
    let mut x = vec![0.0; shape.planes * in_pixels];
    let chunk = out_pixels.max(1);
    x.par_chunks_mut(in_pixels.max(1))
        .zip(gradient.par_chunks(chunk))
        .zip(winners.par_chunks(chunk))
        .with_min_len(4)
        .for_each(|((x, gradient), winners)| {
            for (gradient, &winner) in gradient.iter().zip(winners) {
                x[winner as usize] += gradient;
            }
        });
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{in_pools, noise};

    #[test]
    fn the_largest_of_each_window_gets_its_gradient() {
        let shape = Pool2dShape {
            planes: 1,
            input: [3, 5],
            kernel: [2, 2],
            stride: [2, 2],
            padding: [0, 0],
        };
        #[rustfmt::skip]
        let x = [
            1.0, 2.0, 5.0, 5.0, 9.0,
            4.0, 3.0, 5.0, 1.0, 9.0,
            9.0, 9.0, 9.0, 9.0, 9.0,
        ];
        let (y, winners) = max_pool2d_forward(&x, &shape);
        assert_eq!((y, winners.clone()), (vec![4.0, 5.0], vec![5, 2]));
        let dx = max_pool2d_backward(&[7.0, 8.0], &winners, &shape);
        assert_eq!((dx[5], dx[2], dx.iter().sum::<f32>()), (7.0, 8.0, 15.0));
    }

    #[test]
    fn windows_over_the_border_ignore_what_lies_beyond() {
        let shape = Pool2dShape {
            planes: 1,
            input: [2, 3],
            kernel: [3, 3],
            stride: [2, 2],
            padding: [1, 1],
        };
        let (y, winners) = max_pool2d_forward(&[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0], &shape);
        assert_eq!((y, winners.clone()), (vec![-1.0, -2.0], vec![0, 1]));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let shape = Pool2dShape {
            planes: 11,
            input: [9, 8],
            kernel: [3, 3],
            stride: [2, 2],
            padding: [1, 1],
        };
        let x = noise(11 * 72, 1);
        in_pools(|| {
            let (y, winners) = max_pool2d_forward(&x, &shape);
            [max_pool2d_backward(&y, &winners, &shape), y]
        });
    }
}
