//! What tools look at: labels and where they are, the image behind them, the rules.
//!
//! A scene is cheap to clone, so that a job on another thread can work on one while the window
//! goes on drawing. What becomes of a tool's change is left to [`Session`](crate::Session).

use std::ops::Range;
use std::sync::Arc;

use lamina_io::{Geometry, Volume};
use ndarray::Array3;
use rayon::prelude::*;

use crate::axis::Axis;
use crate::bounds::Bounds;
use crate::change::{Change, Run, RunWriter};
use crate::error::EditError;
use crate::metric::Metric;
use crate::rules::{Gate, Rules};
use crate::tally::Tally;

/// Asked now and then by whatever takes long: whether the user wants it to end.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// How many slices are compared at a time.
const SLICES: usize = 32;

/// Labels, and what tools need to know to change them.
#[derive(Clone, Debug)]
pub struct Scene {
    pub(crate) labels: Arc<Array3<u8>>,
    pub(crate) geometry: Arc<Geometry>,
    pub(crate) metric: Metric,
    pub(crate) image: Option<Arc<Volume>>,
    pub(crate) second: Option<Arc<Array3<u8>>>,
    pub(crate) rules: Rules,
    pub(crate) tally: Tally,
    pub(crate) revision: u64,
}

impl Scene {
    /// The labels, `[depth, height, width]`.
    pub fn labels(&self) -> &Array3<u8> {
        &self.labels
    }

    /// Where they are.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Distances on their grid.
    pub fn metric(&self) -> &Metric {
        &self.metric
    }

    /// The image behind them.
    pub fn image(&self) -> Option<&Arc<Volume>> {
        self.image.as_ref()
    }

    /// What tools may change.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Voxels of each label.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Depth, height, width.
    pub fn shape(&self) -> [usize; 3] {
        self.geometry.shape()
    }

    /// All labels in the order of memory.
    pub(crate) fn voxels(&self) -> &[u8] {
        self.labels.as_slice().unwrap_or_default() // a session keeps them in standard order
    }

    /// Labels of the columns of a row from `first` on, up to `end`.
    pub(crate) fn row(&self, [k, j, first]: [usize; 3], end: usize) -> &[u8] {
        let [_, height, width] = self.shape();
        let row = (k * height + j) * width;
        &self.voxels()[row + first..row + end]
    }

    /// The voxel that `index` names.
    pub(crate) fn label_at(&self, index: [usize; 3]) -> Result<u8, EditError> {
        let shape = self.shape();
        self.labels.get(index).copied().ok_or(EditError::Outside { index, shape })
    }

    /// That slice `index` is there.
    pub(crate) fn check_slice(&self, axis: Axis, index: usize) -> Result<(), EditError> {
        let slices = self.shape()[axis.index()];
        if index < slices { Ok(()) } else { Err(EditError::Slice { axis, index, slices }) }
    }

    /// The rules, ready to be asked.
    pub(crate) fn gate(&self) -> Result<Gate<'_>, EditError> {
        Gate::new(&self.rules, self.image.as_deref())
    }

    /// The smallest box within `limit` around the voxels for which `wanted` is true of the label.
    pub(crate) fn bounds_of(&self, limit: &Bounds, label: u8) -> Option<Bounds> {
        let in_slice = |k: usize| {
            let mut found: Option<Bounds> = None;
            for j in limit.slices(Axis::Height) {
                let row = self.row([k, j, limit.start[2]], limit.end[2]);
                let Some((first, end)) = span_of(row, label) else { continue };
                let (first, end) = (limit.start[2] + first, limit.start[2] + end);
                let row = Bounds { start: [k, j, first], end: [k + 1, j + 1, end] };
                found = Bounds::join(found, Some(row));
            }
            found
        };
        limit.slices(Axis::Depth).into_par_iter().map(in_slice).reduce(|| None, Bounds::join)
    }

    /// The same for every label that is there but the background, in one go.
    pub(crate) fn bounds_of_all(&self, limit: &Bounds) -> Vec<(u8, Bounds)> {
        let in_slice = |k: usize| {
            let mut found: Vec<Option<Bounds>> = vec![None; 256];
            for j in limit.slices(Axis::Height) {
                let mut first = limit.start[2];
                for piece in self.row([k, j, first], limit.end[2]).chunk_by(|a, b| a == b) {
                    let end = first + piece.len();
                    let found = &mut found[usize::from(piece[0])];
                    let piece = Bounds { start: [k, j, first], end: [k + 1, j + 1, end] };
                    *found = Bounds::join(*found, Some(piece));
                    first = end;
                }
            }
            found
        };
        let join = |mut a: Vec<Option<Bounds>>, b: Vec<Option<Bounds>>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = Bounds::join(*a, b));
            a
        };
        let slices = limit.slices(Axis::Depth).into_par_iter().map(in_slice);
        let found = slices.reduce(|| vec![None; 256], join);
        (0..=255).zip(found).skip(1).filter_map(|(label, found)| Some((label, found?))).collect()
    }

    /// The change that gives every row of `bounds` what `wanted` writes into it, as far as `gate`
    /// lets it. `wanted` gets the index of the row's first voxel and its labels.
    pub(crate) fn rewrite(
        &self,
        bounds: &Bounds,
        gate: &Gate<'_>,
        stop: Stop<'_>,
        wanted: impl Fn([usize; 3], &mut [u8]) + Sync,
    ) -> Result<Change, EditError> {
        let [_, height, width] = self.shape();
        let in_slice = |k: usize| {
            if stop() {
                return Err(EditError::Stopped);
            }
            let mut runs = Vec::new();
            let mut new = Vec::new();
            for j in bounds.slices(Axis::Height) {
                let first = [k, j, bounds.start[2]];
                let old = self.row(first, bounds.end[2]);
                new.clear();
                new.extend_from_slice(old);
                wanted(first, &mut new);
                let start = ((k * height + j) * width + first[2]) as u64;
                differences(old, &new, first, start, gate, &mut runs);
            }
            Ok(runs)
        };
        // Some slices at a time: runs are packed before more of them are found.
        let mut writer = RunWriter::new(self.shape());
        for first in bounds.slices(Axis::Depth).step_by(SLICES) {
            let slices = first..(first + SLICES).min(bounds.end[0]);
            let runs: Vec<Vec<Run>> =
                slices.into_par_iter().map(in_slice).collect::<Result<_, _>>()?;
            runs.into_iter().flatten().for_each(|run| writer.push(run));
        }
        Ok(writer.finish(&self.tally))
    }

    /// The change that gives pieces of rows one label. They come in order.
    pub(crate) fn paint(
        &self,
        rows: impl IntoIterator<Item = RowSpan>,
        gate: &Gate<'_>,
        label: u8,
    ) -> Change {
        self.paint_each(rows.into_iter().map(|row| (row, label)), gate)
    }

    /// The runs of that change.
    pub(crate) fn paint_runs(
        &self,
        rows: impl IntoIterator<Item = RowSpan>,
        gate: &Gate<'_>,
        label: u8,
    ) -> Vec<Run> {
        let mut painted = Vec::new();
        let rows = rows.into_iter().map(|row| (row, label));
        self.each_run(rows, gate, |runs| painted.append(runs));
        painted
    }

    /// The change that gives pieces of rows a label each. They come in order.
    pub(crate) fn paint_each(
        &self,
        rows: impl IntoIterator<Item = (RowSpan, u8)>,
        gate: &Gate<'_>,
    ) -> Change {
        let mut writer = RunWriter::new(self.shape());
        self.each_run(rows, gate, |runs| runs.drain(..).for_each(|run| writer.push(run)));
        writer.finish(&self.tally)
    }

    /// Hands out the runs that give pieces of rows a label each, row by row.
    fn each_run(
        &self,
        rows: impl IntoIterator<Item = (RowSpan, u8)>,
        gate: &Gate<'_>,
        mut take: impl FnMut(&mut Vec<Run>),
    ) {
        let [_, height, width] = self.shape();
        let (mut runs, mut new) = (Vec::new(), Vec::new());
        for (row, label) in rows {
            let (first, columns) = (row.first_voxel(), row.columns());
            let old = self.row(first, columns.end);
            new.clear();
            new.resize(old.len(), label);
            let start = ((first[0] * height + first[1]) * width + first[2]) as u64;
            differences(old, &new, first, start, gate, &mut runs);
            take(&mut runs);
            runs.clear();
        }
    }

    /// A change of these labels.
    pub(crate) fn change(&self, runs: impl IntoIterator<Item = Run>) -> Change {
        Change::from_runs(runs, self.shape(), &self.tally)
    }
}

/// Columns of a row. There may be millions of them, so they are small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowSpan {
    k: u32,
    j: u32,
    first: u32,
    end: u32,
}

impl RowSpan {
    pub(crate) fn new(k: usize, j: usize, columns: Range<usize>) -> Self {
        Self { k: k as u32, j: j as u32, first: columns.start as u32, end: columns.end as u32 }
    }

    /// Which row, as (k, j).
    pub(crate) fn row(self) -> [usize; 2] {
        [self.k as usize, self.j as usize]
    }

    pub(crate) fn columns(self) -> Range<usize> {
        self.first as usize..self.end as usize
    }

    pub(crate) fn first_voxel(self) -> [usize; 3] {
        [self.k as usize, self.j as usize, self.first as usize]
    }
}

/// Where `label` first stands in a row, and one past where it last does.
fn span_of(row: &[u8], label: u8) -> Option<(usize, usize)> {
    const CHUNK: usize = 64;
    // A whole chunk at a time is what vector instructions do.
    let has = |chunk: &[u8]| chunk.iter().map(|&found| u8::from(found == label)).max() == Some(1);
    let chunks = row.chunks(CHUNK);
    let (number, chunk) = chunks.enumerate().find(|(_, chunk)| has(chunk))?;
    let first = number * CHUNK + chunk.iter().position(|&found| found == label)?;
    let (number, chunk) = row.chunks(CHUNK).enumerate().rev().find(|(_, chunk)| has(chunk))?;
    let last = number * CHUNK + chunk.iter().rposition(|&found| found == label)?;
    Some((first, last + 1))
}

/// Appends the runs that turn `old` into `new`, where the gate lets them.
fn differences(
    old: &[u8],
    new: &[u8],
    at: [usize; 3],
    start: u64,
    gate: &Gate<'_>,
    runs: &mut Vec<Run>,
) {
    if old == new {
        return;
    }
    let mut keep = Vec::new();
    if gate.asks_values() {
        keep.resize(old.len(), true);
        gate.keep_by_value(at, &mut keep);
    }
    let mut i = 0;
    while i < old.len() {
        let first = i;
        let pair = (old[i], new[i]);
        while i < old.len() && (old[i], new[i]) == pair {
            i += 1;
        }
        let (old, new) = pair;
        if old == new || !gate.labels_allow(old, new) {
            continue;
        }
        if keep.is_empty() {
            runs.push(Run { start: start + first as u64, len: (i - first) as u64, old, new });
            continue;
        }
        let mut from = first;
        while from < i {
            let len = keep[from..i].iter().take_while(|&&keep| keep).count();
            if len > 0 {
                runs.push(Run { start: start + from as u64, len: len as u64, old, new });
            }
            from += len + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_span_of_a_label_is_found_across_chunks() {
        let mut row = vec![0_u8; 200];
        assert_eq!(span_of(&row, 7), None);
        row[63] = 7;
        assert_eq!(span_of(&row, 7), Some((63, 64)));
        row[130] = 7;
        assert_eq!(span_of(&row, 7), Some((63, 131)));
        assert_eq!(span_of(&row, 0), Some((0, 200)));
    }
}
