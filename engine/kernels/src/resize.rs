//! Bilinear resizing by tables: rows are blended first, then columns.

use rayon::prelude::*;

/// From which size to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResizeShape {
    /// Planes: images times channels.
    pub planes: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the result.
    pub output: [usize; 2],
    /// Whether the centers of the corner pixels stay where they are; else the image's edges do.
    pub align_corners: bool,
}

/// One output position lies between two input positions.
#[derive(Clone, Copy, Debug)]
struct Blend {
    near: usize,
    far: usize,
    /// The far one's weight; the near one has the rest.
    weight: f32,
}

impl ResizeShape {
    fn table(&self, axis: usize) -> Vec<Blend> {
        let (size, out) = (self.input[axis], self.output[axis]);
        let position = |index: usize| {
            if self.align_corners {
                index as f64 * ((size - 1) as f64 / (out.max(2) - 1) as f64)
            } else {
                ((index as f64 + 0.5) * (size as f64 / out as f64) - 0.5).max(0.0)
            }
        };
        (0..out)
            .map(|index| {
                let position = position(index).min((size - 1) as f64);
                let near = position as usize;
                Blend {
                    near,
                    far: (near + 1).min(size - 1),
                    weight: (position - near as f64) as f32,
                }
            })
            .collect()
    }

    fn check(&self) -> [usize; 2] {
        assert!(self.input[0] > 0 && self.input[1] > 0, "there is something to resize");
        assert!(self.output[0] > 0 && self.output[1] > 0, "the result has a size");
        [self.input[0] * self.input[1], self.output[0] * self.output[1]]
    }
}

/// Resizes planes.
///
/// # Shapes
/// - `x`: `[planes, height, width]`
/// - result: `[planes, output height, output width]`
pub fn resize_bilinear_forward(x: &[f32], shape: &ResizeShape) -> Vec<f32> {
    let [in_pixels, out_pixels] = shape.check();
    assert_eq!(x.len(), shape.planes * in_pixels, "input fits its shape");
    let (rows, columns) = (shape.table(0), shape.table(1));
    let width = shape.input[1];
    let mut y = vec![0.0; shape.planes * out_pixels];
    y.par_chunks_mut(out_pixels).zip(x.par_chunks(in_pixels)).for_each_init(
        || vec![0.0; width],
        |blended, (y, x)| {
            for (y, row) in y.chunks_exact_mut(shape.output[1]).zip(&rows) {
                let (near, far) = (&x[row.near * width..][..width], &x[row.far * width..][..width]);
                for (blended, (near, far)) in blended.iter_mut().zip(near.iter().zip(far)) {
                    *blended = near * (1.0 - row.weight) + far * row.weight;
                }
                for (y, column) in y.iter_mut().zip(&columns) {
                    *y = blended[column.near] * (1.0 - column.weight)
                        + blended[column.far] * column.weight;
                }
            }
        },
    );
    y
}

/// The gradient of [`resize_bilinear_forward`] with respect to its input.
pub fn resize_bilinear_backward(gradient: &[f32], shape: &ResizeShape) -> Vec<f32> {
    let [in_pixels, out_pixels] = shape.check();
    assert_eq!(gradient.len(), shape.planes * out_pixels, "gradient fits its shape");
    let (rows, columns) = (shape.table(0), shape.table(1));
    let width = shape.input[1];
    let mut x = vec![0.0; shape.planes * in_pixels];
    x.par_chunks_mut(in_pixels).zip(gradient.par_chunks(out_pixels)).for_each_init(
        || vec![0.0; width],
        |gathered, (x, gradient)| {
            for (gradient, row) in gradient.chunks_exact(shape.output[1]).zip(&rows) {
                gathered.fill(0.0);
                for (gradient, column) in gradient.iter().zip(&columns) {
                    gathered[column.near] += gradient * (1.0 - column.weight);
                    gathered[column.far] += gradient * column.weight;
                }
                for (line, weight) in [(row.near, 1.0 - row.weight), (row.far, row.weight)] {
                    for (x, gathered) in x[line * width..][..width].iter_mut().zip(&*gathered) {
                        *x += gathered * weight;
                    }
                }
            }
        },
    );
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{assert_close, in_pools, noise};

    #[test]
    fn both_conventions_give_the_known_values() {
        let shape = ResizeShape { planes: 1, input: [1, 2], output: [1, 4], align_corners: false };
        assert_close(&resize_bilinear_forward(&[0.0, 4.0], &shape), &[0.0, 1.0, 3.0, 4.0], "edges");
        let shape = ResizeShape { output: [2, 3], align_corners: true, ..shape };
        let expected = [0.0, 2.0, 4.0, 0.0, 2.0, 4.0];
        assert_close(&resize_bilinear_forward(&[0.0, 4.0], &shape), &expected, "corners");
    }

    #[test]
    fn backward_is_the_transpose_of_forward() {
        for align_corners in [false, true] {
            for output in [[7, 11], [2, 3], [1, 1], [4, 5]] {
                let shape = ResizeShape { planes: 2, input: [4, 5], output, align_corners };
                let (x, gradient) = (noise(40, 1), noise(2 * output[0] * output[1], 2));
                let inner = |a: &[f32], b: &[f32]| {
                    a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>()
                };
                let forward = inner(&resize_bilinear_forward(&x, &shape), &gradient);
                let backward = inner(&x, &resize_bilinear_backward(&gradient, &shape));
                assert!((forward - backward).abs() < 1e-5, "{shape:?}: {forward} {backward}");
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let shape = ResizeShape { planes: 5, input: [4, 5], output: [9, 7], align_corners: true };
        let (x, gradient) = (noise(100, 1), noise(5 * 63, 2));
        in_pools(|| {
            [resize_bilinear_forward(&x, &shape), resize_bilinear_backward(&gradient, &shape)]
        });
    }
}
