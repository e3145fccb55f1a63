//! Exact Euclidean distance maps in millimeters.

use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayViewMut2, Axis};

/// Squared distance in square millimeters of every voxel to the nearest for which `targets` is
/// true; infinite where there is none, or none within `farthest_mm`.
///
/// Felzenszwalb and Huttenlocher, Distance Transforms of Sampled Functions, 2012: the lower
/// envelope of one parabola per voxel, an axis at a time. Across axis `flat` of the array, if given,
/// distances are infinite: each slice is by itself.
///
/// # Shapes
/// - `targets`: `[depth, height, width]`
/// - `spacing_mm`: of the axes in this order
pub fn squared_distances(
    targets: &Array3<bool>,
    spacing_mm: [f64; 3],
    flat: Option<usize>,
    farthest_mm: f64,
) -> Array3<f64> {
    let farthest = farthest_mm * farthest_mm * (1.0 + 1e-9);
    let mut squared = targets.mapv(|on| if on { 0.0 } else { f64::INFINITY });
    if flat != Some(2) {
        let step = spacing_mm[2];
        squared.axis_iter_mut(Axis(0)).into_par_iter().for_each(|mut slice| {
            for mut row in slice.rows_mut() {
                scan(row.as_slice_mut().unwrap_or_default(), step, farthest);
            }
        });
    }
    if flat != Some(1) && targets.dim().1 > 1 {
        let slices = squared.axis_iter_mut(Axis(0)).into_par_iter();
        slices.for_each(|slice| lower(slice, spacing_mm[1], farthest));
    }
    if flat != Some(0) && targets.dim().0 > 1 {
        let slices = squared.axis_iter_mut(Axis(1)).into_par_iter();
        slices.for_each(|slice| lower(slice, spacing_mm[0], farthest));
    }
    squared
}

/// Along a row of zeros and infinities the nearest target is the last or the next.
fn scan(row: &mut [f64], step: f64, farthest: f64) {
    fn walk<'a>(voxels: impl Iterator<Item = &'a mut f64>, step: f64, farthest: f64) {
        let mut steps = f64::INFINITY;
        for voxel in voxels {
            steps = if *voxel == 0.0 { 0.0 } else { steps + 1.0 };
            let squared = (steps * step).powi(2);
            if squared <= farthest {
                *voxel = voxel.min(squared);
            }
        }
    }
    walk(row.iter_mut(), step, farthest);
    walk(row.iter_mut().rev(), step, farthest);
}

/// Lets the values of each column come down to the envelope of the parabolas over them.
fn lower(mut columns: ArrayViewMut2<'_, f64>, step: f64, farthest: f64) {
    let mut heights = Vec::with_capacity(columns.nrows());
    let mut envelope = Envelope::default();
    for mut column in columns.columns_mut() {
        heights.clear();
        heights.extend(column.iter());
        envelope.build(&heights, step);
        envelope.read(&heights, step, |index, value| {
            column[index] = if value <= farthest { value } else { f64::INFINITY };
        });
    }
}

/// The lower envelope of parabolas with the same opening.
#[derive(Default)]
struct Envelope {
    /// Which parabolas are on it, by index, from left to right.
    centers: Vec<usize>,
    /// From where on each of them is the lowest, in millimeters.
    starts: Vec<f64>,
}

impl Envelope {
    fn build(&mut self, heights: &[f64], step: f64) {
        self.centers.clear();
        self.starts.clear();
        for (index, &height) in heights.iter().enumerate() {
            if height == f64::INFINITY {
                continue;
            }
            let mut start = f64::NEG_INFINITY;
            while let (Some(&last), Some(&last_start)) = (self.centers.last(), self.starts.last()) {
                let (here, there) = (index as f64 * step, last as f64 * step);
                start = ((height + here * here) - (heights[last] + there * there))
                    / (2.0 * (here - there));
                if start > last_start {
                    break;
                }
                self.centers.pop();
                self.starts.pop();
                start = f64::NEG_INFINITY;
            }
            self.centers.push(index);
            self.starts.push(start);
        }
    }

    fn read(&self, heights: &[f64], step: f64, mut put: impl FnMut(usize, f64)) {
        if self.centers.is_empty() {
            return; // nothing in this column yet: it stays infinite
        }
        let mut on = 0;
        for index in 0..heights.len() {
            let here = index as f64 * step;
            while self.starts.get(on + 1).is_some_and(|&start| start <= here) {
                on += 1;
            }
            let center = self.centers[on];
            // In whole steps: three of 0.6 mm are not 1.8 and a bit.
            put(index, (index.abs_diff(center) as f64 * step).powi(2) + heights[center]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING_MM: [f64; 3] = [2.5, 0.9, 0.7];

    fn by_definition(targets: &Array3<bool>, flat: Option<usize>, farthest_mm: f64) -> Array3<f64> {
        Array3::from_shape_fn(targets.dim(), |(k, j, i)| {
            let here = [k, j, i];
            let squared = targets
                .indexed_iter()
                .filter(|(_, on)| **on)
                .map(|((k, j, i), _)| [k, j, i])
                .filter(|there| flat.is_none_or(|axis| here[axis] == there[axis]))
                .map(|there| {
                    (0..3)
                        .map(|a| ((here[a] as f64 - there[a] as f64) * SPACING_MM[a]).powi(2))
                        .sum::<f64>()
                })
                .fold(f64::INFINITY, f64::min);
            if squared <= farthest_mm * farthest_mm { squared } else { f64::INFINITY }
        })
    }

    #[test]
    fn distances_are_exact_whole_by_slice_and_cut_off() {
        let mut state = 5_u64;
        let mut below = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % end
        };
        for round in 0..60 {
            let shape = [1 + below(6), 1 + below(9), 1 + below(9)];
            let rare = 1 + below(40);
            let targets = Array3::from_shape_fn(shape, |_| below(rare) == 0);
            let flat = [None, Some(0), Some(1), Some(2)][round % 4];
            let farthest_mm = if round % 3 == 0 { f64::INFINITY } else { 3.1 };
            let found = squared_distances(&targets, SPACING_MM, flat, farthest_mm);
            let expected = by_definition(&targets, flat, farthest_mm);
            for (found, expected) in found.iter().zip(&expected) {
                assert!(found == expected || (found - expected).abs() < 1e-9, "{found} {expected}");
            }
        }
    }
}
