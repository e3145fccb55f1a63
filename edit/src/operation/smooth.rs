//! Evens out the surfaces of labels.
//!
//! - **Gaussian**: each label's voxels count 1, all others 0, and are blurred by a Gaussian that is
//!   cut off at three standard deviations (rounded up to whole voxels) and sums to one; beyond
//!   the volume its border goes on.
//! - **Median**: what of the voxels within a radius, and within the volume, has the label.
//!
//! With one label, a voxel takes it when more than half speaks for it, and loses it to the
//! background when less than half does. With all labels at once a voxel takes the one that most
//! speaks for, so that no gap opens between neighbors (the median is then a majority vote). A tie
//! changes nothing.

use ndarray::{Array2, Array3, ArrayViewMut3, Axis as Dimension, Zip, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Over, Reach, part_of, row_of};
use crate::axis::Axis;
use crate::bounds::Bounds;
use crate::change::Change;
use crate::error::EditError;
use crate::scene::{Scene, Stop};

/// Kernels that reach farther are a mistake, and would take forever.
const FARTHEST_VOXELS: f64 = 256.0;

/// Slices that are worked on at a time, so that memory does not grow with their number.
const SLAB: usize = 32;

/// A share that is no larger than this is rounding.
const TIE: f32 = 1e-5;

/// Over which voxels, and how.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// By a Gaussian of this standard deviation; in pixels where the spacing is unknown.
    Gaussian {
        /// Its standard deviation.
        sigma_mm: f64,
    },
    /// Within a ball of this radius, or a disc where slices are by themselves.
    Median {
        /// Its radius.
        radius_mm: f64,
    },
}

/// What to smooth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Smooth {
    /// One label, or all of them at once.
    pub label: Option<u8>,
    /// How.
    pub kernel: Kernel,
    /// In space, or within slices.
    pub reach: Reach,
    /// What one label may take; all at once take from each other.
    pub over: Over,
}

impl Smooth {
    pub(super) fn plan(&self, scene: &Scene, stop: Stop<'_>) -> Result<Change, EditError> {
        let gate = scene.gate()?;
        let (limit, flat) = self.reach.limit(scene)?;
        let taps = Taps::new(self.kernel, scene.metric.spacing_mm(), flat)?;
        let labels: Vec<u8> = match self.label {
            Some(label) => {
                gate.check_gain(label)?;
                vec![label]
            }
            None => scene.tally.present().map(|(label, _)| label).filter(|&l| l != 0).collect(),
        };
        // Each label with the box in which it has a say.
        let boxes: Vec<(u8, Bounds)> = labels
            .into_iter()
            .filter_map(|label| Some((label, scene.bounds_of(&limit, label)?)))
            .map(|(label, found)| (label, found.grown(taps.reach(), &limit)))
            .collect();
        let around = boxes.iter().map(|(_, bounds)| *bounds).reduce(|a, b| a.union(&b));
        let Some(around) = around else { return Ok(Change::default()) };

        let [start, end] = [around.start, around.end];
        let mut new = scene.labels.slice(part_of(&around)).to_owned();
        let mut first = start[0];
        while first < end[0] {
            if stop() {
                return Err(EditError::Stopped);
            }
            let mut slab = around;
            slab.start[0] = first;
            slab.end[0] = (first + SLAB).min(end[0]);
            let mut poll = Poll::new(&slab, &scene.labels);
            for (label, bounds) in &boxes {
                let Some(own) = bounds.intersection(&slab) else { continue };
                poll.add(*label, &own, &taps.votes(scene, *label, bounds, &own));
            }
            let totals = taps.totals(&slab, &limit);
            let new = new.slice_mut(s![first - start[0]..slab.end[0] - start[0], .., ..]);
            match self.label {
                Some(label) => poll.decide_one(label, &totals, taps.tie(), new),
                None => poll.decide_all(&totals, taps.tie(), new),
            }
            first = slab.end[0];
        }
        let gate = match self.label {
            Some(label) => self.over.gate(gate, Some(label)),
            None => gate,
        };
        scene.rewrite(&around, &gate, stop, |first, row| {
            row.copy_from_slice(&row_of(&new, &around, first)[..row.len()]);
        })
    }
}

/// What was counted for the voxels of a box.
struct Poll<'a> {
    bounds: Bounds,
    /// Labels of the volume.
    labels: &'a Array3<u8>,
    /// For all labels but the background together.
    sum: Array3<f32>,
    /// For the voxel's own label.
    own: Array3<f32>,
    /// For the label that has most.
    most: Array3<f32>,
    /// Which that is.
    leader: Array3<u8>,
}

impl<'a> Poll<'a> {
    fn new(bounds: &Bounds, labels: &'a Array3<u8>) -> Self {
        let zeros: Array3<f32> = Array3::zeros(bounds.shape());
        let leader = Array3::zeros(bounds.shape());
        Self {
            bounds: *bounds,
            labels,
            sum: zeros.clone(),
            own: zeros.clone(),
            most: zeros,
            leader,
        }
    }

    fn add(&mut self, label: u8, bounds: &Bounds, votes: &Array3<f32>) {
        let [start, end] = [bounds.start, bounds.end]
            .map(|corner| [0, 1, 2].map(|axis| corner[axis] - self.bounds.start[axis]));
        let part = part_of(&Bounds { start, end });
        Zip::from(self.sum.slice_mut(part))
            .and(self.most.slice_mut(part))
            .and(self.leader.slice_mut(part))
            .and(votes)
            .for_each(|sum, most, leader, &votes| {
                *sum += votes;
                if votes > *most {
                    *most = votes;
                    *leader = label;
                }
            });
        Zip::from(self.own.slice_mut(part))
            .and(self.labels.slice(part_of(bounds)))
            .and(votes)
            .for_each(|own, &current, &votes| {
                if current == label {
                    *own = votes;
                }
            });
    }

    /// One label against all else.
    fn decide_one(&self, label: u8, totals: &Array3<f32>, tie: f32, new: ArrayViewMut3<'_, u8>) {
        Zip::from(new).and(&self.sum).and(totals).for_each(|new, &votes, &total| {
            let against = total - votes;
            if votes > against + tie {
                *new = label;
            } else if against > votes + tie && *new == label {
                *new = 0;
            }
        });
    }

    /// Every label against every other, and the background, which has the votes that are left.
    fn decide_all(&self, totals: &Array3<f32>, tie: f32, mut new: ArrayViewMut3<'_, u8>) {
        for (index, new) in new.indexed_iter_mut() {
            let background = totals[index] - self.sum[index];
            let own = if *new == 0 { background } else { self.own[index] };
            let (most, leader) = if background >= self.most[index] {
                (background, 0)
            } else {
                (self.most[index], self.leader[index])
            };
            if most > own + tie {
                *new = leader;
            }
        }
    }
}

/// A kernel on a grid.
enum Taps {
    /// Weights from the center outwards, for each axis.
    Gaussian([Vec<f32>; 3]),
    /// Steps (depth, height) and how far the row goes to both sides there.
    Ball { rows: Vec<([isize; 2], usize)>, reach: [usize; 3] },
}

impl Taps {
    fn new(kernel: Kernel, spacing_mm: [f64; 3], flat: Option<Axis>) -> Result<Self, EditError> {
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
    fn reach(&self) -> [usize; 3] {
        match self {
            Self::Gaussian(weights) => [0, 1, 2].map(|axis| weights[axis].len() - 1),
            Self::Ball { reach, .. } => *reach,
        }
    }

    /// How far votes may lie apart and still be even.
    fn tie(&self) -> f32 {
        match self {
            Self::Gaussian(_) => TIE,
            Self::Ball { .. } => 0.5, // these are whole
        }
    }

    /// What speaks for a label at each voxel of `out`. The label has no voxel out of `bounds`, of
    /// which `out` is some of the slices.
    fn votes(&self, scene: &Scene, label: u8, bounds: &Bounds, out: &Bounds) -> Array3<f32> {
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
    fn totals(&self, out: &Bounds, limit: &Bounds) -> Array3<f32> {
        let Self::Ball { rows, .. } = self else { return Array3::ones(out.shape()) };
        let mut totals = Array3::zeros(out.shape());
        let slices = totals.axis_iter_mut(Dimension(0)).into_par_iter().enumerate();
        slices.for_each(|(n, mut slice)| {
            for (j, mut row) in slice.rows_mut().into_iter().enumerate() {
                for ([dk, dj], half) in rows {
                    let k = (out.start[0] + n).checked_add_signed(*dk);
                    let j = (out.start[1] + j).checked_add_signed(*dj);
                    let inside = k.is_some_and(|k| limit.slices(Axis::Depth).contains(&k))
                        && j.is_some_and(|j| limit.slices(Axis::Height).contains(&j));
                    if !inside {
                        continue;
                    }
                    for (i, total) in row.iter_mut().enumerate() {
                        let i = out.start[2] + i;
                        let first = i.saturating_sub(*half).max(limit.start[2]);
                        *total += ((i + half + 1).min(limit.end[2]) - first) as f32;
                    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Operation;
    use crate::testing::{Random, blobs, session};

    const SPACING_MM: [f64; 3] = [2.5, 0.9, 0.7];

    /// What speaks for each label at a voxel, out of what, in `f64`.
    fn poll(
        labels: &Array3<u8>,
        kernel: Kernel,
        flat: Option<Axis>,
        here: [usize; 3],
    ) -> (Vec<f64>, f64) {
        let (depth, height, width) = labels.dim();
        let shape = [depth, height, width];
        let mut votes = vec![0.0; 256];
        match kernel {
            Kernel::Median { radius_mm } => {
                for ((k, j, i), &label) in labels.indexed_iter() {
                    let there = [k, j, i];
                    let far: f64 = (0..3)
                        .map(|a| ((here[a] as f64 - there[a] as f64) * SPACING_MM[a]).powi(2))
                        .sum();
                    let other = flat.is_some_and(|a| here[a.index()] != there[a.index()]);
                    if far <= radius_mm * radius_mm && !other {
                        votes[usize::from(label)] += 1.0;
                    }
                }
            }
            Kernel::Gaussian { sigma_mm } => {
                let reach = [0, 1, 2].map(|a| {
                    let flat = flat.is_some_and(|axis| axis.index() == a);
                    if flat { 0 } else { (3.0 * sigma_mm / SPACING_MM[a]).ceil() as isize }
                });
                for dk in -reach[0]..=reach[0] {
                    for dj in -reach[1]..=reach[1] {
                        for di in -reach[2]..=reach[2] {
                            let step = [dk, dj, di];
                            let far: f64 = (0..3)
                                .map(|a| (step[a] as f64 * SPACING_MM[a] / sigma_mm).powi(2))
                                .sum();
                            let there = [0, 1, 2].map(|a| {
                                (here[a] as isize + step[a]).clamp(0, shape[a] as isize - 1)
                                    as usize
                            });
                            votes[usize::from(labels[there])] += (-0.5 * far).exp();
                        }
                    }
                }
            }
        }
        let total = votes.iter().sum();
        (votes, total)
    }

    #[test]
    fn smoothing_is_its_definition_for_one_label_and_for_all() {
        let mut random = Random::new(1);
        let mut changed = 0;
        for round in 0..80 {
            let labels = blobs([6, 9, 10], 4, round);
            let flat = [None, Some(Axis::Depth), Some(Axis::Height), Some(Axis::Width)]
                [round as usize % 4];
            let size = 0.5 + 2.5 * random.unit();
            let kernel = if round % 3 == 0 {
                Kernel::Gaussian { sigma_mm: size / 1.5 }
            } else {
                Kernel::Median { radius_mm: size }
            };
            let one = (round % 2 == 0).then_some(1);
            let reach = flat.map_or(Reach::Volume, Reach::EachSlice);
            let smooth = Smooth { label: one, kernel, reach, over: Over::Any };
            let mut session = session(labels.clone());
            changed += session.apply(&Operation::Smooth(smooth)).unwrap().voxels;
            for ((k, j, i), &found) in session.labels().indexed_iter() {
                let old = labels[[k, j, i]];
                let (votes, total) = poll(&labels, kernel, flat, [k, j, i]);
                let share = |label: u8| votes[usize::from(label)] / total;
                let message = format!("{kernel:?} {flat:?} {old} {found} {votes:?}");
                if let Some(label) = one {
                    let own = share(label);
                    if own > 0.5 + 1e-4 {
                        assert_eq!(found, label, "{message}");
                    } else if own < 0.5 - 1e-4 {
                        assert_eq!(found, if old == label { 0 } else { old }, "{message}");
                    } else if (own - 0.5).abs() < 1e-9 {
                        assert_eq!(found, old, "{message}");
                    }
                } else {
                    let best = (0..=255).map(share).fold(0.0, f64::max);
                    assert!(share(found) > best - 1e-4, "{message}");
                    assert!(found == old || share(old) < best - 1e-9, "{message}");
                }
            }
        }
        assert!(changed > 1000);
    }

    #[test]
    fn slabs_leave_no_seam() {
        // Longer than a slab: the middle of a bar stays as it is, whatever the slabs.
        let mut labels = Array3::zeros([3 * SLAB + 5, 9, 9]);
        labels.slice_mut(s![.., 3..6, 3..6]).fill(1);
        for kernel in [Kernel::Gaussian { sigma_mm: 1.0 }, Kernel::Median { radius_mm: 3.0 }] {
            let mut session = session(labels.clone());
            let smooth = Smooth { label: Some(1), kernel, reach: Reach::Volume, over: Over::Any };
            session.apply(&Operation::Smooth(smooth)).unwrap();
            let slices = session.labels();
            let middle = slices.index_axis(Dimension(0), SLAB / 2);
            for k in 5..slices.dim().0 - 5 {
                assert_eq!(slices.index_axis(Dimension(0), k), middle, "slice {k}");
            }
        }
    }

    #[test]
    fn kernels_beyond_all_use_are_refused() {
        let mut session = session(Array3::ones([2, 2, 2]));
        let mut with = |kernel| {
            let smooth = Smooth { label: Some(1), kernel, reach: Reach::Volume, over: Over::Any };
            session.apply(&Operation::Smooth(smooth))
        };
        let huge = with(Kernel::Gaussian { sigma_mm: 1e9 });
        assert!(matches!(huge, Err(EditError::TooLarge { .. })));
        let none = with(Kernel::Median { radius_mm: 0.0 });
        assert!(matches!(none, Err(EditError::NotPositive { .. })));
        let nan = with(Kernel::Median { radius_mm: f64::NAN });
        assert!(matches!(nan, Err(EditError::NotFinite { .. })));
    }
}
