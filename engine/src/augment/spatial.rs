//! Moving a slice and its labels: flip, rotation, size, shift, bend, in one resampling.

use ndarray::{ArrayView2, ArrayView4, ArrayViewMut2, ArrayViewMut3};

use super::elastic::Bend;
use super::lines::Lines;

/// How a slice is moved onto the patch.
#[derive(Debug, Clone, PartialEq)]
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
    /// Elastic deformation of the patch, before the rest.
    pub bend: Option<Bend>,
}

/// Numbers of a slice and its neighbors, as they are held.
#[derive(Debug, Clone, Copy)]
pub enum Planes<'a> {
    /// As the network takes them: `[slice, channel, height, width]`, in that order in memory.
    Numbers(ArrayView4<'a, f32>),
    /// Bytes that stand for 0 to 1.
    Bytes(ArrayView4<'a, u8>),
}

/// A slice of a case, with its neighbors as further channels.
#[derive(Debug, Clone, Copy)]
pub struct SliceSource<'a> {
    /// The slice and its neighbors, each with all of its channels.
    pub planes: Planes<'a>,
    /// Reference labels of the slice: `[height, width]`.
    pub labels: ArrayView2<'a, u8>,
    /// What lies outside of the slice has these numbers, one for each channel of a slice.
    pub outside: &'a [f32],
}

/// What a byte of a picture stands for.
const UNIT: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte as f32 / 255.0;
        byte += 1;
    }
    table
};

impl Warp {
    /// Leaves a slice as it is, centered on the patch.
    pub const IDENTITY: Self = Self {
        flip_x: false,
        flip_y: false,
        radians: 0.0,
        scale: 1.0,
        shift: [0.0; 2],
        bend: None,
    };

    /// Samples the slice (linearly) and its labels (nearest, as the papers' codes do) around
    /// `center`, a (row, column) of the slice that comes to lie in the middle of the patch. Outside
    /// the slice labels are ignored, and `inside`, where it is given, is false.
    ///
    /// # Shapes
    /// - `input`: `[channel, patch height, patch width]`, in that order in memory
    /// - `labels`, `inside`: `[patch height, patch width]`
    pub fn apply(
        &self,
        source: SliceSource<'_>,
        center: [f64; 2],
        mut input: ArrayViewMut3<'_, f32>,
        mut labels: ArrayViewMut2<'_, u8>,
        mut inside: Option<&mut [bool]>,
    ) {
        let patch: [usize; 2] = labels.dim().into();
        let size: [usize; 2] = source.labels.dim().into();
        let mut lines = Lines::new(self, center, patch, size);
        let input = input.as_slice_mut().expect("a patch lies in one piece of memory");
        let area = patch[0] * patch[1];
        for row in 0..patch[0] {
            lines.go_to(row);
            lines.labels(source.labels, labels.row_mut(row).into_slice().expect("a row"));
            if let Some(inside) = &mut inside {
                lines.inside(&mut inside[row * patch[1]..(row + 1) * patch[1]]);
            }
            for (channel, target) in input.chunks_exact_mut(area).enumerate() {
                let target = &mut target[row * patch[1]..(row + 1) * patch[1]];
                let outside = source.outside[channel % source.outside.len()];
                match source.planes {
                    Planes::Numbers(planes) => {
                        lines.sample(plane(planes, channel), |number| number, outside, target);
                    }
                    Planes::Bytes(planes) => {
                        let number = |byte: u8| UNIT[usize::from(byte)];
                        lines.sample(plane(planes, channel), number, outside, target);
                    }
                }
            }
        }
    }
}

/// Channel `channel`, counted through all slices, row by row.
fn plane<T>(planes: ArrayView4<'_, T>, channel: usize) -> &[T] {
    let (_, _, height, width) = planes.dim();
    let area = height * width;
    let all = planes.to_slice().expect("planes lie in one piece of memory");
    &all[channel * area..(channel + 1) * area]
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3, Array4, Axis, s};

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::super::Elastic;
    use super::super::lines::sign;
    use super::*;
    use crate::losses::IGNORE_LABEL;
    use crate::preprocess::neighbors;

    /// A 2 x 3 slice with the values 1..=6 and the same labels, three slices deep.
    fn case() -> (Array3<f32>, Array3<u8>) {
        let slices = Array3::from_shape_fn([3, 2, 3], |(k, j, i)| (100 * k + j * 3 + i + 1) as f32);
        let labels = Array3::from_shape_fn([3, 2, 3], |(_, j, i)| (j * 3 + i + 1) as u8);
        (slices, labels)
    }

    fn warped(warp: &Warp, patch: [usize; 2]) -> (Array3<f32>, Array2<u8>) {
        let (slices, labels) = case();
        let near: Vec<usize> = neighbors(0, 1, 3).collect();
        let planes = slices.select(Axis(0), &near).insert_axis(Axis(1));
        let source = SliceSource {
            planes: Planes::Numbers(planes.view()),
            labels: labels.index_axis(Axis(0), 0),
            outside: &[0.0],
        };
        let mut input = Array3::zeros([3, patch[0], patch[1]]);
        let mut output = Array2::zeros(patch);
        warp.apply(source, [0.5, 1.0], input.view_mut(), output.view_mut(), None);
        (input, output)
    }

    #[test]
    fn the_identity_copies_and_repeats_the_edge_slice() {
        let (input, labels) = warped(&Warp::IDENTITY, [2, 3]);
        assert_eq!(labels.as_slice().unwrap(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(input[[1, 0, 0]], 1.0, "the slice itself is the middle channel");
        assert_eq!(input[[0, 0, 0]], 1.0, "below the first slice lies the first again");
        assert_eq!(input[[2, 1, 2]], 106.0);
    }

    #[test]
    fn a_flip_mirrors_image_and_labels_alike() {
        let (input, labels) = warped(&Warp { flip_x: true, ..Warp::IDENTITY }, [2, 3]);
        assert_eq!(labels.as_slice().unwrap(), [3, 2, 1, 6, 5, 4]);
        assert_eq!(input[[1, 0, 0]], 3.0);
    }

    #[test]
    fn a_larger_patch_is_filled_with_the_mean_and_ignored() {
        let (input, labels) = warped(&Warp::IDENTITY, [4, 5]);
        assert_eq!(labels.row(0).to_vec(), [255; 5]);
        assert_eq!(labels.row(1).to_vec(), [255, 1, 2, 3, 255]);
        assert_eq!(input[[1, 0, 0]], 0.0);
    }

    #[test]
    fn a_shift_moves_the_content_to_the_right() {
        let (_, labels) = warped(&Warp { shift: [1.0, 0.0], ..Warp::IDENTITY }, [2, 3]);
        assert_eq!(labels.as_slice().unwrap(), [255, 1, 2, 255, 4, 5]);
    }

    #[test]
    fn half_a_turn_is_both_flips() {
        let turn = Warp { radians: std::f64::consts::PI, ..Warp::IDENTITY };
        let flips = Warp { flip_x: true, flip_y: true, ..Warp::IDENTITY };
        assert_eq!(warped(&turn, [2, 3]).1, warped(&flips, [2, 3]).1);
    }

    /// The definition, pixel by pixel: what training has always computed.
    fn by_definition(
        warp: &Warp,
        slice: ArrayView2<'_, f32>,
        outside: f32,
        center: [f64; 2],
        [row, column]: [usize; 2],
        patch: [usize; 2],
    ) -> f32 {
        let (height, width) = slice.dim();
        let middle = patch.map(|size| (size as f64 - 1.0) / 2.0);
        let (sine, cosine) = warp.radians.sin_cos();
        let y = (row as f64 - middle[0] - warp.shift[1]) / warp.scale;
        let x = (column as f64 - middle[1] - warp.shift[0]) / warp.scale;
        let from_y = center[0] + sign(warp.flip_y) * (cosine * y - sine * x);
        let from_x = center[1] + sign(warp.flip_x) * (sine * y + cosine * x);
        let (floor_y, floor_x) = (from_y.floor(), from_x.floor());
        let (weight_y, weight_x) = ((from_y - floor_y) as f32, (from_x - floor_x) as f32);
        let (floor_y, floor_x) = (floor_y as i64, floor_x as i64);
        let at = |y: i64, x: i64| {
            if y < 0 || x < 0 || y >= height as i64 || x >= width as i64 {
                outside
            } else {
                slice[[y as usize, x as usize]]
            }
        };
        let above = at(floor_y, floor_x) * (1.0 - weight_x) + at(floor_y, floor_x + 1) * weight_x;
        let below =
            at(floor_y + 1, floor_x) * (1.0 - weight_x) + at(floor_y + 1, floor_x + 1) * weight_x;
        above * (1.0 - weight_y) + below * weight_y
    }

    #[test]
    fn row_by_row_gives_the_bits_of_the_definition() {
        let slice =
            Array2::from_shape_fn([13, 17], |(j, i)| ((j * 31 + i * 57) % 101) as f32 * 0.37);
        let labels = Array2::zeros([13, 17]);
        let (patch, center) = ([11, 14], [5.3, 8.9]);
        for (radians, scale, shift, flip) in [
            (0.0, 1.0, [0.0, 0.0], false),
            (0.0, 0.4, [1.5, -2.25], true),
            (-0.0, 1.9, [0.3, 0.7], true),
            (0.6, 1.3, [-3.0, 0.1], false),
            (2.9, 0.7, [0.0, 4.0], true),
        ] {
            let warp = Warp { flip_x: flip, flip_y: !flip, radians, scale, shift, bend: None };
            let planes = slice.slice(s![.., ..]).insert_axis(Axis(0)).insert_axis(Axis(0));
            let source = SliceSource {
                planes: Planes::Numbers(planes),
                labels: labels.view(),
                outside: &[0.25],
            };
            let mut input = Array3::zeros([1, 11, 14]);
            let mut found = Array2::zeros(patch);
            let mut inside = vec![false; 11 * 14];
            warp.apply(source, center, input.view_mut(), found.view_mut(), Some(&mut inside));
            for ((_, j, i), value) in input.indexed_iter() {
                let expected = by_definition(&warp, slice.view(), 0.25, center, [j, i], patch);
                assert_eq!(value.to_bits(), expected.to_bits(), "{warp:?} at {j}, {i}");
                assert_eq!(inside[j * 14 + i], found[[j, i]] != IGNORE_LABEL);
            }
            assert!(found.iter().any(|label| *label == 0), "{warp:?}");
        }
    }

    #[test]
    fn bytes_stand_for_shares_of_the_brightest() {
        let bytes = Array4::from_shape_fn([1, 3, 2, 2], |(_, c, j, i)| (c * 60 + j * 20 + i) as u8);
        let numbers = bytes.mapv(|byte| f32::from(byte) / 255.0);
        let labels = Array2::zeros([2, 2]);
        let warp = Warp { radians: 0.3, ..Warp::IDENTITY };
        let outside = [0.1, 0.2, 0.3];
        let [from_bytes, from_numbers] =
            [Planes::Bytes(bytes.view()), Planes::Numbers(numbers.view())].map(|planes| {
                let source = SliceSource { planes, labels: labels.view(), outside: &outside };
                let mut input = Array3::zeros([3, 4, 4]);
                let mut found = Array2::zeros([4, 4]);
                warp.apply(source, [0.5, 0.5], input.view_mut(), found.view_mut(), None);
                input
            });
        assert_eq!(from_bytes, from_numbers);
        assert_eq!([0, 1, 2].map(|channel| from_bytes[[channel, 0, 0]]), outside);
    }

    #[test]
    fn a_bend_by_the_same_everywhere_is_a_shift() {
        let elastic = Elastic { probability: 1.0, magnitude_pixels: 0.0, grid_pixels: 4.0 };
        let still = elastic.draw([5, 6], &mut ChaCha8Rng::seed_from_u64(1));
        let warp = Warp { radians: 0.2, scale: 1.2, ..Warp::IDENTITY };
        let (straight, labels) = warped(&warp, [5, 6]);
        let (bent, bent_labels) =
            warped(&Warp { bend: Some(still.clone()), ..warp.clone() }, [5, 6]);
        assert!(straight.iter().zip(&bent).all(|(a, b)| (a - b).abs() < 1e-4));
        assert_eq!(labels, bent_labels);
        // A bend by (1, -2) fetches what lies below and to the left: the content moves the other way.
        let moved = Warp { bend: Some(still.by([1.0, -2.0])), ..warp.clone() };
        let shifted = Warp { shift: [2.0, -1.0], ..warp };
        let ((moved, moved_labels), (shifted, shifted_labels)) =
            (warped(&moved, [5, 6]), warped(&shifted, [5, 6]));
        assert!(moved.iter().zip(&shifted).all(|(a, b)| (a - b).abs() < 1e-3));
        assert_eq!(moved_labels, shifted_labels);
    }
}
