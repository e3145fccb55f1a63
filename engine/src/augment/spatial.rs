//! Moving a slice and its labels: flip, rotation, size, shift, in one resampling.

use ndarray::{Array3, ArrayViewMut2, ArrayViewMut3};

use crate::losses::IGNORE_LABEL;
use crate::preprocess::neighbors;

/// How a slice is moved onto the patch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warp {
    /// Mirror left and right.
    pub flip_x: bool,
    /// Mirror top and bottom.
    pub flip_y: bool,
    /// Rotation about the center.
    pub radians: f64,
    /// Above one, things grow.
    pub scale: f64,
    /// Shift of the content (x, y), in pixels of the patch.
    pub shift: [f64; 2],
}

/// A slice of a case, with its neighbors as channels.
#[derive(Debug, Clone, Copy)]
pub struct SliceSource<'a> {
    /// Normalized intensities of the case: `[slice, height, width]`.
    pub slices: &'a Array3<f32>,
    /// Reference labels of the case: `[slice, height, width]`.
    pub labels: &'a Array3<u8>,
    /// Which slice.
    pub index: usize,
    /// Neighbors on either side.
    pub neighbors: usize,
}

impl Warp {
    /// Leaves a slice as it is, centered on the patch.
    pub const IDENTITY: Self =
        Self { flip_x: false, flip_y: false, radians: 0.0, scale: 1.0, shift: [0.0; 2] };

    /// Samples the slice (linearly) and its labels (nearest) around `center`, a (row,
    /// column) of the slice that comes to lie in the middle of the patch. Outside
    /// the slice intensities are 0, the mean, and labels are ignored.
    ///
    /// # Shapes
    /// - `input`: `[channel, patch height, patch width]`
    /// - `labels`: `[patch height, patch width]`
    pub fn apply(
        self,
        source: SliceSource<'_>,
        center: [f64; 2],
        mut input: ArrayViewMut3<'_, f32>,
        mut labels: ArrayViewMut2<'_, u8>,
    ) {
        let (depth, height, width) = source.slices.dim();
        let (rows, columns) = labels.dim();
        let middle = [(rows as f64 - 1.0) / 2.0, (columns as f64 - 1.0) / 2.0];
        let (sine, cosine) = self.radians.sin_cos();
        let sign = |flip| if flip { -1.0 } else { 1.0 };
        for row in 0..rows {
            for column in 0..columns {
                let y = (row as f64 - middle[0] - self.shift[1]) / self.scale;
                let x = (column as f64 - middle[1] - self.shift[0]) / self.scale;
                let from_y = center[0] + sign(self.flip_y) * (cosine * y - sine * x);
                let from_x = center[1] + sign(self.flip_x) * (sine * y + cosine * x);

                let (near_y, near_x) = (from_y.round(), from_x.round());
                let inside = near_y >= 0.0
                    && near_x >= 0.0
                    && near_y < height as f64
                    && near_x < width as f64;
                labels[[row, column]] = if inside {
                    source.labels[[source.index, near_y as usize, near_x as usize]]
                } else {
                    IGNORE_LABEL
                };

                let (floor_y, floor_x) = (from_y.floor(), from_x.floor());
                let (weight_y, weight_x) = ((from_y - floor_y) as f32, (from_x - floor_x) as f32);
                let (floor_y, floor_x) = (floor_y as i64, floor_x as i64);
                for (channel, slice) in neighbors(source.index, source.neighbors, depth).enumerate()
                {
                    let at = |y: i64, x: i64| {
                        if y < 0 || x < 0 || y >= height as i64 || x >= width as i64 {
                            0.0
                        } else {
                            source.slices[[slice, y as usize, x as usize]]
                        }
                    };
                    let above = at(floor_y, floor_x) * (1.0 - weight_x)
                        + at(floor_y, floor_x + 1) * weight_x;
                    let below = at(floor_y + 1, floor_x) * (1.0 - weight_x)
                        + at(floor_y + 1, floor_x + 1) * weight_x;
                    input[[channel, row, column]] = above * (1.0 - weight_y) + below * weight_y;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3};

    use super::*;

    /// A 2 x 3 slice with the values 1..=6 and the same labels, three slices deep.
    fn case() -> (Array3<f32>, Array3<u8>) {
        let slices = Array3::from_shape_fn([3, 2, 3], |(k, j, i)| (100 * k + j * 3 + i + 1) as f32);
        let labels = Array3::from_shape_fn([3, 2, 3], |(_, j, i)| (j * 3 + i + 1) as u8);
        (slices, labels)
    }

    fn warped(warp: Warp, patch: [usize; 2]) -> (Array3<f32>, Array2<u8>) {
        let (slices, labels) = case();
        let source = SliceSource { slices: &slices, labels: &labels, index: 0, neighbors: 1 };
        let mut input = Array3::zeros([3, patch[0], patch[1]]);
        let mut output = Array2::zeros(patch);
        warp.apply(source, [0.5, 1.0], input.view_mut(), output.view_mut());
        (input, output)
    }

    #[test]
    fn the_identity_copies_and_repeats_the_edge_slice() {
        let (input, labels) = warped(Warp::IDENTITY, [2, 3]);
        assert_eq!(labels.as_slice().unwrap(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(input[[1, 0, 0]], 1.0, "the slice itself is the middle channel");
        assert_eq!(input[[0, 0, 0]], 1.0, "below the first slice lies the first again");
        assert_eq!(input[[2, 1, 2]], 106.0);
    }

    #[test]
    fn a_flip_mirrors_image_and_labels_alike() {
        let (input, labels) = warped(Warp { flip_x: true, ..Warp::IDENTITY }, [2, 3]);
        assert_eq!(labels.as_slice().unwrap(), [3, 2, 1, 6, 5, 4]);
        assert_eq!(input[[1, 0, 0]], 3.0);
    }

    #[test]
    fn a_larger_patch_is_filled_with_the_mean_and_ignored() {
        let (input, labels) = warped(Warp::IDENTITY, [4, 5]);
        assert_eq!(labels.row(0).to_vec(), [255; 5]);
        assert_eq!(labels.row(1).to_vec(), [255, 1, 2, 3, 255]);
        assert_eq!(input[[1, 0, 0]], 0.0);
    }

    #[test]
    fn a_shift_moves_the_content_to_the_right() {
        let (_, labels) = warped(Warp { shift: [1.0, 0.0], ..Warp::IDENTITY }, [2, 3]);
        assert_eq!(labels.as_slice().unwrap(), [255, 1, 2, 255, 4, 5]);
    }

    #[test]
    fn half_a_turn_is_both_flips() {
        let turn = Warp { radians: std::f64::consts::PI, ..Warp::IDENTITY };
        let flips = Warp { flip_x: true, flip_y: true, ..Warp::IDENTITY };
        assert_eq!(warped(turn, [2, 3]).1, warped(flips, [2, 3]).1);
    }
}
