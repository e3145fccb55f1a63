//! In-plane resampling: linear for images and logits, nearest for labels.
//!
//! Both grids cover the same rectangle: target pixel `i` samples the source at
//! `(i + 0.5) * from / to - 0.5`, clamped at the edge.

use ndarray::{Array3, ArrayView2, ArrayView3, ArrayViewMut2, Axis, Zip};

/// Two in-plane sizes, `[height, width]`, that cover the same rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resampling {
    /// Before.
    pub from: [usize; 2],
    /// After.
    pub to: [usize; 2],
}

impl Resampling {
    /// From one size to another.
    pub fn new(from: [usize; 2], to: [usize; 2]) -> Self {
        Self { from, to }
    }

    /// No change.
    pub fn none(size: [usize; 2]) -> Self {
        Self { from: size, to: size }
    }

    /// Whether nothing changes.
    pub fn is_identity(self) -> bool {
        self.from == self.to
    }

    /// The way back.
    #[must_use]
    pub fn inverse(self) -> Self {
        Self { from: self.to, to: self.from }
    }
}

/// Where a target pixel samples a line of the source: two neighbors and the second's weight.
#[derive(Debug, Clone, Copy)]
struct Tap {
    low: usize,
    high: usize,
    weight: f32,
}

fn taps(from: usize, to: usize) -> Vec<Tap> {
    let ratio = from as f64 / to as f64;
    (0..to)
        .map(|index| {
            let position = ((index as f64 + 0.5) * ratio - 0.5).clamp(0.0, (from - 1) as f64);
            let low = position.floor() as usize;
            Tap { low, high: (low + 1).min(from - 1), weight: (position - low as f64) as f32 }
        })
        .collect()
}

/// Resamples each slice of a stack linearly.
///
/// # Shapes
/// - `stack`: `[slice, from height, from width]`
/// - output: `[slice, to height, to width]`
pub fn resample_linear(stack: ArrayView3<'_, f32>, resampling: Resampling) -> Array3<f32> {
    if resampling.is_identity() {
        return stack.as_standard_layout().into_owned();
    }
    let [height, width] = resampling.to;
    let mut output = Array3::zeros([stack.dim().0, height, width]);
    let rows = taps(resampling.from[0], height);
    let columns = taps(resampling.from[1], width);
    Zip::from(output.axis_iter_mut(Axis(0)))
        .and(stack.axis_iter(Axis(0)))
        .par_for_each(|target, source| linear(source, target, &rows, &columns));
    output
}

fn linear(
    source: ArrayView2<'_, f32>,
    mut target: ArrayViewMut2<'_, f32>,
    rows: &[Tap],
    columns: &[Tap],
) {
    for (row, mut line) in rows.iter().zip(target.rows_mut()) {
        for (column, value) in columns.iter().zip(line.iter_mut()) {
            let across = |j: usize| {
                source[[j, column.low]] * (1.0 - column.weight)
                    + source[[j, column.high]] * column.weight
            };
            *value = across(row.low) * (1.0 - row.weight) + across(row.high) * row.weight;
        }
    }
}

/// Resamples each slice of a label stack to its nearest neighbor.
pub fn resample_nearest(stack: ArrayView3<'_, u8>, resampling: Resampling) -> Array3<u8> {
    if resampling.is_identity() {
        return stack.as_standard_layout().into_owned();
    }
    let nearest = |from: usize, to: usize| -> Vec<usize> {
        (0..to).map(|index| ((2 * index + 1) * from / (2 * to)).min(from - 1)).collect()
    };
    let [height, width] = resampling.to;
    let rows = nearest(resampling.from[0], height);
    let columns = nearest(resampling.from[1], width);
    let mut output = Array3::zeros([stack.dim().0, height, width]);
    Zip::indexed(&mut output).for_each(|(slice, j, i), label| {
        *label = stack[[slice, rows[j], columns[i]]];
    });
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubling_samples_a_quarter_pixel_to_either_side() {
        let line = Array3::from_shape_vec([1, 1, 2], vec![0.0, 4.0]).unwrap();
        let doubled = resample_linear(line.view(), Resampling::new([1, 2], [1, 4]));
        assert_eq!(doubled.as_slice().unwrap(), [0.0, 1.0, 3.0, 4.0]);
    }

    #[test]
    fn labels_are_repeated_when_doubled_and_restored_when_halved() {
        let labels = Array3::from_shape_vec([1, 2, 3], vec![0, 1, 2, 3, 4, 5]).unwrap();
        let resampling = Resampling::new([2, 3], [4, 6]);
        let doubled = resample_nearest(labels.view(), resampling);
        assert_eq!(doubled.as_slice().unwrap()[..6], [0, 0, 1, 1, 2, 2]);
        assert_eq!(resample_nearest(doubled.view(), resampling.inverse()), labels);
    }

    #[test]
    fn a_ramp_stays_a_ramp() {
        let ramp = Array3::from_shape_fn([1, 1, 10], |(_, _, i)| i as f32);
        let finer = resample_linear(ramp.view(), Resampling::new([1, 10], [1, 20]));
        for i in 1..19 {
            assert!((finer[[0, 0, i]] - (0.5 * i as f32 - 0.25)).abs() < 1e-5);
        }
    }
}
