//! How far the voxels of one mask are from another mask: exact, and only for those voxels.
//!
//! Distances are separable (Felzenszwalb and Huttenlocher, Distance Transforms of Sampled
//! Functions, 2012): first along rows, then through slices by the lower envelope of parabolas, at
//! last across rows. Only the last step is asked voxel by voxel, by looking away from it until no
//! row can be nearer. What keeps the work small is that no answer is farther than the coarse
//! distance of occupied blocks allows, so rows and slices farther away are never looked at.
//! Steps are kept as whole voxels until the end: no rounding comes in on the way.

use lamina_io::squared_distances;
use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayViewMut2, Axis};

use super::bits::{Bits, ones};

/// No voxel of the other mask is near.
const NOWHERE: u32 = u32::MAX;

/// Below this many voxels a coarse look first costs more than it saves.
const SMALL: usize = 1 << 15;

/// Squared distance in square millimeters of each voxel of `from`, in the order of the array, to
/// the nearest of `to`, which holds at least one.
pub(super) fn squared_distances_to(from: &Bits, to: &Bits, spacing_mm: [f64; 3]) -> Vec<f64> {
    assert_eq!(from.shape(), to.shape(), "masks of one box");
    let shape = from.shape();
    if shape.into_iter().max() >= Some(usize::from(u16::MAX)) {
        return by_whole_map(from, to, spacing_mm);
    }
    let farthest_mm = if shape.iter().product::<usize>() < SMALL {
        f64::INFINITY
    } else {
        farthest_by_blocks(from, to, spacing_mm)
    };
    let steps = spacing_mm.map(|spacing| Steps::new(spacing, farthest_mm, shape));
    let near = nearest_in_planes(from, to, &steps);
    look_across_rows(from, &near, &steps)
}

/// The same, where steps do not fit into sixteen bits.
fn by_whole_map(from: &Bits, to: &Bits, spacing_mm: [f64; 3]) -> Vec<f64> {
    let mut targets = Array3::from_elem(to.shape(), false);
    to.indices().for_each(|index| targets[index] = true);
    let map = squared_distances(&targets, spacing_mm, None, f64::INFINITY);
    from.indices().map(|index| map[index]).collect()
}

/// No voxel of `from` is farther from `to` than this.
///
/// Two voxels of blocks that are n blocks apart along an axis are at most n blocks and all but one
/// voxel of another apart.
fn farthest_by_blocks(from: &Bits, to: &Bits, spacing_mm: [f64; 3]) -> f64 {
    let along_row = 8.0 * spacing_mm[2];
    let size = spacing_mm.map(|spacing| (along_row / spacing).round().clamp(1.0, 8.0) as usize);
    let size = [size[0], size[1], 8];
    let of_blocks = [0, 1, 2].map(|axis| size[axis] as f64 * spacing_mm[axis]);
    let within: f64 = (0..3).map(|n| ((size[n] - 1) as f64 * spacing_mm[n]).powi(2)).sum();
    let squared = squared_distances_to(&from.blocks(size), &to.blocks(size), of_blocks);
    let farthest = squared.into_iter().fold(0.0, f64::max);
    (farthest.sqrt() + within.sqrt()) * (1.0 + 1e-9)
}

/// Steps along an axis.
struct Steps {
    /// How far one leads, in millimeters.
    spacing_mm: f64,
    /// The most that need to be looked at.
    most: usize,
    /// The square of so many, in square millimeters.
    squared: Vec<f64>,
}

impl Steps {
    fn new(spacing_mm: f64, farthest_mm: f64, shape: [usize; 3]) -> Self {
        let longest = shape.into_iter().max().unwrap_or(0);
        let most = ((farthest_mm / spacing_mm).floor() as usize).min(longest);
        let squared = (0..=most).map(|step| (step as f64 * spacing_mm).powi(2)).collect();
        Self { spacing_mm, most, squared }
    }
}

/// For each voxel that may be asked for, the nearest of `to` in the plane of its row and all
/// slices: steps along the row in the low half, through slices in the high half.
fn nearest_in_planes(from: &Bits, to: &Bits, steps: &[Steps; 3]) -> Array3<u32> {
    let asked = from.spread_over_rows(steps[1].most);
    let mut near = Array3::from_elem(from.shape(), NOWHERE);
    near.axis_iter_mut(Axis(1)).into_par_iter().enumerate().for_each_init(
        Plane::default,
        |plane, (row, near)| {
            plane.fill(row, &asked, to, steps, near);
        },
    );
    near
}

/// Room to work on the voxels of one row in all slices.
#[derive(Default)]
struct Plane {
    /// Steps along the row to the nearest of the other mask, slice by slice.
    along: Vec<u16>,
    /// Slices whose row holds any of it.
    slices: Vec<usize>,
    columns: Vec<u64>,
    envelope: Envelope,
}

impl Plane {
    fn fill(
        &mut self,
        row: usize,
        asked: &Bits,
        to: &Bits,
        [through, _, along]: &[Steps; 3],
        mut near: ArrayViewMut2<'_, u32>,
    ) {
        let [depth, _, width] = to.shape();
        self.columns.clear();
        self.columns.resize(asked.words_per_row(), 0);
        for slice in 0..depth {
            let words = asked.row(slice, row);
            self.columns.iter_mut().zip(words).for_each(|(all, word)| *all |= word);
        }
        if self.columns.iter().all(|&word| word == 0) {
            return;
        }
        self.slices.clear();
        self.along.resize(depth * width, 0);
        for slice in 0..depth {
            let words = to.row(slice, row);
            if words.iter().any(|&word| word != 0) {
                self.slices.push(slice);
                steps_along(words, &mut self.along[slice * width..(slice + 1) * width]);
            }
        }
        let per_slice = through.spacing_mm * through.spacing_mm;
        for column in ones(&self.columns) {
            self.envelope.clear();
            for &slice in &self.slices {
                let step = usize::from(self.along[slice * width + column]);
                if step <= along.most {
                    self.envelope.add(slice, along.squared[step] / per_slice);
                }
            }
            let mut on = 0;
            let (word, bit) = (column / 64, column % 64);
            for slice in 0..depth {
                if asked.row(slice, row)[word] >> bit & 1 == 0 {
                    continue;
                }
                let Some(nearest) = self.envelope.lowest(slice, &mut on) else { break };
                let apart = slice.abs_diff(nearest);
                if apart <= through.most {
                    let step = u32::from(self.along[nearest * width + column]);
                    near[[slice, column]] = (apart as u32) << 16 | step;
                }
            }
        }
    }
}

/// Writes how many steps each voxel of a row is from the nearest set bit; there is at least one.
fn steps_along(words: &[u64], steps: &mut [u16]) {
    let mut before: Option<usize> = None;
    for here in ones(words) {
        match before {
            None => {
                let steps = steps[..=here].iter_mut().rev();
                steps.zip(0..).for_each(|(step, apart)| *step = apart);
            }
            Some(before) => {
                let middle = usize::midpoint(before, here);
                let (left, right) = steps[before..=here].split_at_mut(middle + 1 - before);
                left.iter_mut().zip(0..).for_each(|(step, apart)| *step = apart);
                right.iter_mut().rev().zip(0..).for_each(|(step, apart)| *step = apart);
            }
        }
        before = Some(here);
    }
    if let Some(before) = before {
        steps[before..].iter_mut().zip(0..).for_each(|(step, apart)| *step = apart);
    }
}

/// The lower envelope of parabolas over slices, all with the same opening.
#[derive(Default)]
struct Envelope {
    /// Of each on it: its slice, its height and the square of its slice together, and from where
    /// on it is the lowest.
    lowest: Vec<(usize, f64, f64)>,
}

impl Envelope {
    fn clear(&mut self) {
        self.lowest.clear();
    }

    /// Adds the parabola over `slice`, beyond all others, that is `height` high there.
    fn add(&mut self, slice: usize, height: f64) {
        let here = slice as f64;
        let value = height + here * here;
        let mut start = f64::NEG_INFINITY;
        while let Some(&(other, other_value, other_start)) = self.lowest.last() {
            start = (value - other_value) / (2.0 * (here - other as f64));
            if start > other_start {
                break;
            }
            self.lowest.pop();
            start = f64::NEG_INFINITY;
        }
        self.lowest.push((slice, value, start));
    }

    /// Over which slice the lowest parabola at `slice` stands; `on` goes along with the slices.
    fn lowest(&self, slice: usize, on: &mut usize) -> Option<usize> {
        let here = slice as f64;
        while self.lowest.get(*on + 1).is_some_and(|&(_, _, start)| start <= here) {
            *on += 1;
        }
        self.lowest.get(*on).map(|&(slice, ..)| slice)
    }
}

/// From the nearest in each row's plane to the nearest of all, for each voxel of `from`.
fn look_across_rows(from: &Bits, near: &Array3<u32>, steps: &[Steps; 3]) -> Vec<f64> {
    let [depth, height, width] = from.shape();
    let [through, across, along] = steps;
    let of_slice = |slice: usize| {
        let near = near.index_axis(Axis(0), slice);
        let near = near.as_slice().unwrap_or_default();
        let squared = |row: usize, column: usize| {
            let steps = near[row * width + column];
            if steps == NOWHERE {
                return f64::INFINITY;
            }
            along.squared[(steps & 0xffff) as usize] + through.squared[(steps >> 16) as usize]
        };
        let mut found = Vec::new();
        for row in 0..height {
            for column in ones(from.row(slice, row)) {
                let mut least = squared(row, column);
                for (step, &apart) in across.squared.iter().enumerate().skip(1) {
                    let (up, down) = (row.checked_sub(step), row + step);
                    if apart >= least || up.is_none() && down >= height {
                        break;
                    }
                    if let Some(up) = up {
                        least = least.min(squared(up, column) + apart);
                    }
                    if down < height {
                        least = least.min(squared(down, column) + apart);
                    }
                }
                found.push(least);
            }
        }
        found
    };
    let slices: Vec<Vec<f64>> = (0..depth).into_par_iter().map(of_slice).collect();
    slices.concat()
}

#[cfg(test)]
mod tests {
    use super::super::bits::tests::speckled;
    use super::*;

    fn by_definition(from: &Bits, to: &Bits, spacing_mm: [f64; 3]) -> Vec<f64> {
        let squared = |a: [usize; 3], b: [usize; 3]| -> f64 {
            (0..3).map(|n| (a[n].abs_diff(b[n]) as f64 * spacing_mm[n]).powi(2)).sum()
        };
        let to: Vec<_> = to.indices().collect();
        let nearest = |a| to.iter().map(|&b| squared(a, b)).fold(f64::INFINITY, f64::min);
        from.indices().map(nearest).collect()
    }

    fn same(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-12 * expected, "{found} for {expected}");
        }
    }

    #[test]
    fn distances_are_those_of_trying_every_pair() {
        for (round, shape) in
            [[1, 1, 1], [3, 4, 70], [9, 8, 7], [20, 1, 130], [1, 30, 65], [12, 13, 14]]
                .into_iter()
                .enumerate()
        {
            for rare in [1, 3, 40, 900] {
                let from = Bits::of_mask(&speckled(shape, 5, round as u64).view());
                let mut to = Bits::of_mask(&speckled(shape, rare, 99 + rare).view());
                to.set([0, 0, shape[2] - 1]);
                let spacing = [[2.5, 0.7, 1.3], [0.6, 3.6, 0.6]][round % 2];
                same(
                    &squared_distances_to(&from, &to, spacing),
                    &by_definition(&from, &to, spacing),
                );
            }
        }
    }

    #[test]
    fn a_large_box_is_looked_at_coarsely_first_and_comes_out_the_same() {
        let shape = [33, 41, 130];
        for (rare, spacing) in [(7000, [3.6, 0.6, 0.6]), (50_000, [0.5, 0.9, 2.0])] {
            let from = Bits::of_mask(&speckled(shape, rare, 5).view());
            let to = Bits::of_mask(&speckled(shape, rare, 6).view());
            assert!(from.count() > 0 && to.count() > 0);
            same(&squared_distances_to(&from, &to, spacing), &by_definition(&from, &to, spacing));
            // Near each other, so that most rows and slices need not be looked at.
            same(&squared_distances_to(&from, &from, spacing), &vec![0.0; from.count()]);
        }
    }

    #[test]
    fn a_row_longer_than_sixteen_bits_is_measured_too() {
        let mut from = Bits::none([1, 1, 70_000]);
        let mut to = from.clone();
        from.set([0, 0, 0]);
        to.set([0, 0, 69_999]);
        assert_eq!(squared_distances_to(&from, &to, [1.0; 3]), [69_999.0 * 69_999.0]);
    }
}
