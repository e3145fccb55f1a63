//! Connected components, found row by row.

use serde::{Deserialize, Serialize};

use crate::axis::Axis;
use crate::bounds::Bounds;
use crate::scene::RowSpan;

/// Which voxels are neighbors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Neighbors {
    /// Those with a common face: 6, or 4 within a slice.
    #[default]
    Faces,
    /// Those with a common corner, too: 26, or 8 within a slice.
    Corners,
}

/// Components of the voxels in a box.
pub(crate) struct Components {
    /// Pieces of rows, in order.
    pub spans: Vec<RowSpan>,
    /// The component of each of them. Components are numbered in the order in which they begin.
    pub of_span: Vec<u32>,
    /// What each component is.
    pub found: Vec<Component>,
}

/// One component.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Component {
    /// How many voxels it has.
    pub voxels: u64,
    /// The box around it.
    pub bounds: Bounds,
}

impl Components {
    /// Those of the voxels for which `inside` is true; `mark` is called for each row of the box
    /// with its first voxel and writes that. Across `flat`, if given, nothing is connected.
    pub(crate) fn find(
        bounds: &Bounds,
        neighbors: Neighbors,
        flat: Option<Axis>,
        mut mark: impl FnMut([usize; 3], &mut [bool]),
    ) -> Self {
        let corners = neighbors == Neighbors::Corners;
        // Rows before this one that touch it, as steps (k, j), and how far beyond a piece's
        // ends their voxels still touch it.
        let mut rows: Vec<[isize; 2]> = Vec::new();
        if flat != Some(Axis::Height) {
            rows.push([0, -1]);
        }
        if flat != Some(Axis::Depth) {
            rows.push([-1, 0]);
            if corners && flat != Some(Axis::Height) {
                rows.extend([[-1, -1], [-1, 1]]);
            }
        }
        let beyond = usize::from(corners && flat != Some(Axis::Width));

        let [depth, height, width] = bounds.shape();
        let mut spans: Vec<RowSpan> = Vec::new();
        let mut row_starts = Vec::with_capacity(depth * height + 1);
        let mut sets = Sets::default();
        let mut marks = vec![false; width];
        for row in 0..depth * height {
            row_starts.push(spans.len());
            let (k, j) = (bounds.start[0] + row / height, bounds.start[1] + row % height);
            marks.fill(false);
            mark([k, j, bounds.start[2]], &mut marks);
            push_spans(&marks, [k, j, bounds.start[2]], flat == Some(Axis::Width), &mut spans);
            sets.grow(spans.len());
            let own = row_starts[row]..spans.len();
            for [dk, dj] in &rows {
                let (k, j) = ((row / height) as isize + dk, (row % height) as isize + dj);
                if k < 0 || j < 0 || j >= height as isize {
                    continue;
                }
                let other = k as usize * height + j as usize;
                let theirs = row_starts[other]..row_starts[other + 1];
                sets.join_touching(&spans, own.clone(), theirs, beyond);
            }
        }
        Self::numbered(spans, &mut sets)
    }

    fn numbered(spans: Vec<RowSpan>, sets: &mut Sets) -> Self {
        let mut numbers = vec![u32::MAX; spans.len()]; // of each set, by its root
        let mut found: Vec<Component> = Vec::new();
        let mut of_span = Vec::with_capacity(spans.len());
        for (at, span) in spans.iter().enumerate() {
            let ([k, j], columns) = (span.row(), span.columns());
            let bounds = Bounds { start: span.first_voxel(), end: [k + 1, j + 1, columns.end] };
            let voxels = columns.len() as u64;
            let root = sets.root(at);
            if numbers[root] == u32::MAX {
                numbers[root] = found.len() as u32;
                found.push(Component { voxels: 0, bounds });
            }
            let component = &mut found[numbers[root] as usize];
            component.voxels += voxels;
            component.bounds = component.bounds.union(&bounds);
            of_span.push(numbers[root]);
        }
        Self { spans, of_span, found }
    }

    /// The pieces of rows that belong to components for which `wanted` is true.
    pub(crate) fn spans_of(
        &self,
        wanted: impl Fn(usize, &Component) -> bool,
    ) -> impl Iterator<Item = RowSpan> {
        let wanted: Vec<bool> =
            self.found.iter().enumerate().map(|(number, found)| wanted(number, found)).collect();
        let chosen =
            self.spans.iter().zip(&self.of_span).filter(move |(_, of)| wanted[**of as usize]);
        chosen.map(|(span, _)| *span)
    }
}

/// Appends the pieces of a row that are marked, voxel by voxel if `single`.
fn push_spans(marks: &[bool], [k, j, first]: [usize; 3], single: bool, spans: &mut Vec<RowSpan>) {
    let mut i = 0;
    while i < marks.len() {
        if !marks[i] {
            i += 1;
            continue;
        }
        let from = i;
        while i < marks.len() && marks[i] && !(single && i > from) {
            i += 1;
        }
        spans.push(RowSpan::new(k, j, first + from..first + i));
    }
}

/// Sets of pieces that were found connected.
#[derive(Default)]
struct Sets(Vec<u32>);

impl Sets {
    fn grow(&mut self, len: usize) {
        self.0.extend(self.0.len() as u32..len as u32);
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] as usize != at {
            self.0[at] = self.0[self.0[at] as usize];
            at = self.0[at] as usize;
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        self.0[high] = low as u32;
    }

    /// Joins pieces of two rows whose columns overlap, or lie no more than `beyond` apart.
    fn join_touching(
        &mut self,
        spans: &[RowSpan],
        own: std::ops::Range<usize>,
        theirs: std::ops::Range<usize>,
        beyond: usize,
    ) {
        let (mut a, mut b) = (own.start, theirs.start);
        while a < own.end && b < theirs.end {
            let (x, y) = (spans[a].columns(), spans[b].columns());
            if x.start < y.end + beyond && y.start < x.end + beyond {
                self.join(a, b);
            }
            if x.end < y.end { a += 1 } else { b += 1 }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::testing::Random;

    /// Each voxel's component by walking from voxel to voxel, numbered as they begin.
    fn by_walking(
        mask: &Array3<bool>,
        neighbors: Neighbors,
        flat: Option<Axis>,
    ) -> Array3<Option<usize>> {
        let mut numbers = Array3::from_elem(mask.dim(), None);
        let mut next = 0;
        for ((k, j, i), &on) in mask.indexed_iter() {
            if !on || numbers[[k, j, i]].is_some() {
                continue;
            }
            let mut open = vec![[k, j, i]];
            numbers[[k, j, i]] = Some(next);
            while let Some(here) = open.pop() {
                for step in 0..27 {
                    let step = [step / 9, step / 3 % 3, step % 3].map(|s| s as isize - 1);
                    let faces = step.iter().filter(|&&s| s != 0).count();
                    let across = flat.is_some_and(|axis| step[axis.index()] != 0);
                    if faces == 0 || across || (faces > 1 && neighbors == Neighbors::Faces) {
                        continue;
                    }
                    let there = [0, 1, 2].map(|a| here[a].wrapping_add_signed(step[a]));
                    if mask.get(there) == Some(&true) && numbers[there].is_none() {
                        numbers[there] = Some(next);
                        open.push(there);
                    }
                }
            }
            next += 1;
        }
        numbers
    }

    #[test]
    fn components_are_those_found_by_walking() {
        let mut random = Random::new(11);
        for round in 0..160 {
            let shape = [1 + random.below(5), 1 + random.below(7), 1 + random.below(8)];
            let mask = Array3::from_shape_fn(shape, |_| random.below(100) < 20 + round / 2);
            let neighbors = [Neighbors::Faces, Neighbors::Corners][round % 2];
            let flat =
                [None, Some(Axis::Depth), Some(Axis::Height), Some(Axis::Width)][round / 2 % 4];
            let start = shape.map(|size| random.below(size));
            let bounds = Bounds { start, end: shape };
            let part = mask.slice(ndarray::s![start[0].., start[1].., start[2]..]).to_owned();
            let expected = by_walking(&part, neighbors, flat);
            let found = Components::find(&bounds, neighbors, flat, |[k, j, i], marks| {
                let row = mask.slice(ndarray::s![k, j, i..]);
                marks.iter_mut().zip(row).for_each(|(mark, &on)| *mark = on);
            });
            let mut numbers = Array3::from_elem(part.dim(), None);
            let mut sizes = vec![0; found.found.len()];
            for (span, &of) in found.spans.iter().zip(&found.of_span) {
                let [k, j] = span.row();
                let of = of as usize;
                for i in span.columns() {
                    numbers[[k - start[0], j - start[1], i - start[2]]] = Some(of);
                    sizes[of] += 1;
                    assert!(found.found[of].bounds.contains([k, j, i]));
                }
            }
            assert_eq!(numbers, expected, "{neighbors:?} {flat:?}");
            assert!(sizes.iter().zip(&found.found).all(|(size, found)| *size == found.voxels));
        }
    }
}
