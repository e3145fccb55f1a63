//! What speaks for a label at a voxel: a Gaussian, or the voxels within a radius.

use ndarray::{Array2, Array3, Axis as Dimension};
use rayon::prelude::*;

use super::Kernel;
use crate::axis::Axis;
use crate::bounds::Bounds;
use crate::error::EditError;
use crate::scene::Scene;

/// Kernels that reach farther are a mistake, and would take forever.
const FARTHEST_VOXELS: f64 = 256.0;

/// A share that is no larger than this is rounding.
const TIE: f32 = 1e-5;

/// A kernel on a grid.
pub(super) enum Taps {
    /// Weights from the center outwards, for each axis.
    Gaussian([Vec<f32>; 3]),
    /// Steps (depth, height) and how far the row goes to both sides there.
    Ball { rows: Vec<([isize; 2], usize)>, reach: [usize; 3] },
}

impl Taps {
    pub(super) fn new(
        kernel: Kernel,
        spacing_mm: [f64; 3],
        flat: Option<Axis>,
    ) -> Result<Self, EditError> {
        let (what, size) = match kernel {
            Kernel::Gaussian { sigma_mm } => ("a standard deviation", sigma_mm),
            Kernel::Median { radius_mm } => ("a radius", radius_mm),
        };
        if !size.is_finite() {
            return Err(EditError::NotFinite { what });
        }
        if size <= 0.0 {
            return Err(EditError::NotPositive { what, found: size });
        }
        let farthest = match kernel {
            Kernel::Gaussian { .. } => 3.0 * size,
            Kernel::Median { .. } => size,
        };
        let mut voxels = spacing_mm.map(|step| farthest / step);
        if let Some(axis) = flat {
            voxels[axis.index()] = 0.0;
        }
        if voxels.iter().any(|&v| v > FARTHEST_VOXELS) {
            let smallest = spacing_mm.into_iter().fold(f64::INFINITY, f64::min);
            let limit = FARTHEST_VOXELS * smallest * size / farthest;
            return Err(EditError::TooLarge { what, limit, found: size });
        }
        if let Kernel::Gaussian { .. } = kernel {
            let weights = |axis: usize| {
                let reach = voxels[axis].ceil() as usize;
                let weight = |n: usize| (-0.5 * (n as f64 * spacing_mm[axis] / size).powi(2)).exp();
                let sum = weight(0) + 2.0 * (1..=reach).map(weight).sum::<f64>();
                (0..=reach).map(|n| (weight(n) / sum) as f32).collect()
            };
            return Ok(Self::Gaussian([weights(0), weights(1), weights(2)]));
        }
        let reach = voxels.map(|v| (v * (1.0 + 1e-9)) as usize);
        let steps = |axis: usize| -(reach[axis] as isize)..=reach[axis] as isize;
        let mut rows = Vec::new();
        for (dk, dj) in steps(0).flat_map(|dk| steps(1).map(move |dj| (dk, dj))) {
            let off = (dk as f64 * spacing_mm[0]).powi(2) + (dj as f64 * spacing_mm[1]).powi(2);
            let rest = size * size * (1.0 + 1e-9) - off;
            if rest >= 0.0 {
                let half = (rest.sqrt() / spacing_mm[2] * (1.0 + 1e-9)) as usize;
                rows.push(([dk, dj], half.min(reach[2])));
            }
        }
        Ok(Self::Ball { rows, reach })
    }

    /// How many voxels it goes to both sides of each axis.
    pub(super) fn reach(&self) -> [usize; 3] {
        match self {
            Self::Gaussian(weights) => [0, 1, 2].map(|axis| weights[axis].len() - 1),
            Self::Ball { reach, .. } => *reach,
        }
    }

    /// How far votes may lie apart and still be even.
    pub(super) fn tie(&self) -> f32 {
        match self {
            Self::Gaussian(_) => TIE,
            Self::Ball { .. } => 0.5, // these are whole
        }
    }

    /// What speaks for a label at each voxel of `out`. The label has no voxel out of `bounds`, of
    /// which `out` is some of the slices.
    pub(super) fn votes(
        &self,
        scene: &Scene,
        label: u8,
        bounds: &Bounds,
        out: &Bounds,
    ) -> Array3<f32> {
        let mut votes = Array3::zeros(out.shape());
        let slices = votes.axis_iter_mut(Dimension(0)).into_par_iter().enumerate();
        match self {
            Self::Gaussian(weights) => slices.for_each(|(n, mut slice)| {
                let blurred = blur(scene, label, bounds, out.start[0] + n, weights);
                slice.assign(&blurred);
            }),
            Self::Ball { rows, reach } => {
                let counts = RowCounts::new(scene, label, bounds, out, *reach);
                slices.for_each(|(n, mut slice)| {
                    for (j, mut row) in slice.rows_mut().into_iter().enumerate() {
                        let row = row.as_slice_mut().unwrap_or_default();
                        for ([dk, dj], half) in rows {
                            let k = (out.start[0] + n).checked_add_signed(*dk);
                            let j = (out.start[1] + j).checked_add_signed(*dj);
                            if let (Some(k), Some(j)) = (k, j) {
                                counts.add(k, j, *half, row);
                            }
                        }
                    }
                });
            }
        }
        votes
    }

    /// All votes that there are at each voxel of `out`.
    pub(super) fn totals(&self, out: &Bounds, limit: &Bounds) -> Array3<f32> {
        let Self::Ball { rows, reach } = self else { return Array3::ones(out.shape()) };
        let mut totals = Array3::zeros(out.shape());
        let slices = totals.axis_iter_mut(Dimension(0)).into_par_iter().enumerate();
        let (low, high) = (limit.start[2], limit.end[2]);
        slices.for_each(|(n, mut slice)| {
            let mut halves = Vec::new();
            for (j, mut row) in slice.rows_mut().into_iter().enumerate() {
                let inside = |[dk, dj]: [isize; 2]| {
                    let k = (out.start[0] + n).checked_add_signed(dk);
                    let j = (out.start[1] + j).checked_add_signed(dj);
                    k.is_some_and(|k| limit.slices(Axis::Depth).contains(&k))
                        && j.is_some_and(|j| limit.slices(Axis::Height).contains(&j))
                };
                halves.clear();
                halves.extend(rows.iter().filter(|(step, _)| inside(*step)).map(|(_, half)| *half));
                let whole: usize = halves.iter().map(|half| 2 * half + 1).sum();
                for (i, total) in row.iter_mut().enumerate() {
                    let i = out.start[2] + i;
                    *total = if i >= low + reach[2] && i + reach[2] < high {
                        whole as f32
                    } else {
                        let cut = |half: &usize| {
                            (i + half + 1).min(high) - i.saturating_sub(*half).max(low)
                        };
                        halves.iter().map(cut).sum::<usize>() as f32
                    };
                }
            }
        });
        totals
    }
}

/// Slice `k` of a label's voxels blurred along all three axes.
fn blur(
    scene: &Scene,
    label: u8,
    bounds: &Bounds,
    k: usize,
    weights: &[Vec<f32>; 3],
) -> Array2<f32> {
    let [_, height, width] = bounds.shape();
    let (low, last) = (bounds.start[0] as isize, bounds.end[0] as isize - 1);
    let mut sum = Array2::<f32>::zeros([height, width]);
    let reach = weights[0].len() as isize - 1;
    for step in -reach..=reach {
        let from = (k as isize + step).clamp(low, last) as usize;
        let weight = weights[0][step.unsigned_abs()];
        for (j, mut row) in sum.rows_mut().into_iter().enumerate() {
            let labels = scene.row([from, bounds.start[1] + j, bounds.start[2]], bounds.end[2]);
            let row = row.as_slice_mut().unwrap_or_default();
            for (sum, &found) in row.iter_mut().zip(labels) {
                *sum += if found == label { weight } else { 0.0 };
            }
        }
    }
    let mut down = Array2::<f32>::zeros([height, width]);
    let reach = weights[1].len() as isize - 1;
    for (j, mut row) in down.rows_mut().into_iter().enumerate() {
        for step in -reach..=reach {
            let from = (j as isize + step).clamp(0, height as isize - 1) as usize;
            row.scaled_add(weights[1][step.unsigned_abs()], &sum.row(from));
        }
    }
    let reach = weights[2].len() - 1;
    let mut padded = vec![0.0_f32; width + 2 * reach];
    for (mut out, row) in sum.rows_mut().into_iter().zip(down.rows()) {
        let row = row.to_slice().unwrap_or_default();
        padded[..reach].fill(row[0]);
        padded[reach..reach + width].copy_from_slice(row);
        padded[reach + width..].fill(row[width - 1]);
        out.fill(0.0);
        let out = out.as_slice_mut().unwrap_or_default();
        for step in 0..=2 * reach {
            let weight = weights[2][step.abs_diff(reach)];
            for (out, &value) in out.iter_mut().zip(&padded[step..]) {
                *out += weight * value;
            }
        }
    }
    sum
}

/// How many voxels of a label come before each column, row by row.
struct RowCounts {
    /// The rows that were counted.
    rows: Bounds,
    reach: usize,
    /// For each row `width + 2 * reach + 1` counts; the first is `reach` columns before the box.
    before: Vec<u32>,
}

impl RowCounts {
    fn new(scene: &Scene, label: u8, bounds: &Bounds, out: &Bounds, reach: [usize; 3]) -> Self {
        let rows = out.grown([reach[0], 0, 0], bounds);
        let [_, height, width] = rows.shape();
        let reach = reach[2];
        let mut before = vec![0; rows.shape()[0] * height * (width + 2 * reach + 1)];
        let per_row = width + 2 * reach + 1;
        before.par_chunks_mut(per_row).enumerate().for_each(|(at, counts)| {
            let (k, j) = (rows.start[0] + at / height, rows.start[1] + at % height);
            let mut count = 0;
            for (n, &found) in scene.row([k, j, rows.start[2]], rows.end[2]).iter().enumerate() {
                count += u32::from(found == label);
                counts[reach + n + 1] = count;
            }
            counts[reach + width + 1..].fill(count);
        });
        Self { rows, reach, before }
    }

    /// Adds to each column how many voxels of row (k, j) lie no more than `half` columns away.
    fn add(&self, k: usize, j: usize, half: usize, sums: &mut [f32]) {
        let [_, height, width] = self.rows.shape();
        let inside = self.rows.slices(Axis::Depth).contains(&k)
            && self.rows.slices(Axis::Height).contains(&j);
        if !inside {
            return; // none of the label there
        }
        let row = (k - self.rows.start[0]) * height + (j - self.rows.start[1]);
        let per_row = width + 2 * self.reach + 1;
        let counts = &self.before[row * per_row..][..per_row];
        let (low, high) = (&counts[self.reach - half..], &counts[self.reach + half + 1..]);
        for ((sum, low), high) in sums.iter_mut().zip(low).zip(high) {
            *sum += (high - low) as f32;
        }
    }
}
