//! How many voxels each label has, kept up to date change by change.

use ndarray::Array3;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How many voxels a label had and has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelCount {
    /// The label.
    pub label: u8,
    /// Voxels before the change.
    pub before: u64,
    /// Voxels after it.
    pub after: u64,
}

/// Voxels of each label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally([u64; 256]);

impl Tally {
    /// Counts all voxels, once.
    pub(crate) fn of(labels: &Array3<u8>) -> Self {
        let slices = labels.outer_iter().into_par_iter().map(|slice| {
            // Four counters, as runs of one label would wait for the one before.
            let mut lanes = [[0_u64; 256]; 4];
            for row in slice.rows() {
                for (at, &label) in row.iter().enumerate() {
                    lanes[at % 4][usize::from(label)] += 1;
                }
            }
            let mut counts = [0_u64; 256];
            for lane in lanes {
                counts.iter_mut().zip(lane).for_each(|(count, more)| *count += more);
            }
            counts
        });
        let add = |mut a: [u64; 256], b: [u64; 256]| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        };
        Self(slices.reduce(|| [0; 256], add))
    }

    /// Voxels of a label.
    pub fn count(&self, label: u8) -> u64 {
        self.0[usize::from(label)]
    }

    /// The labels that have voxels, in order, with how many.
    pub fn present(&self) -> impl Iterator<Item = (u8, u64)> + '_ {
        (0..=255).zip(self.0).filter(|&(_, count)| count > 0)
    }

    /// Adds a change.
    pub(crate) fn add(&mut self, gains: &Gains) -> Vec<LabelCount> {
        let step = |&(label, gain): &(u8, i64)| {
            let count = &mut self.0[usize::from(label)];
            let before = *count;
            *count = count.wrapping_add_signed(gain);
            LabelCount { label, before, after: *count }
        };
        gains.0.iter().map(step).collect()
    }

    /// What the counts would be, without changing them.
    pub(crate) fn preview(&self, gains: &Gains) -> Vec<LabelCount> {
        self.clone().add(gains)
    }
}

/// By how many voxels labels grew; negative where they shrank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gains(Vec<(u8, i64)>);

impl Gains {
    /// `voxels` went from `old` to `new`.
    pub(crate) fn moved(&mut self, old: u8, new: u8, voxels: u64) {
        for (label, gain) in [(old, -(voxels as i64)), (new, voxels as i64)] {
            match self.0.binary_search_by_key(&label, |&(label, _)| label) {
                Ok(at) => self.0[at].1 += gain,
                Err(at) => self.0.insert(at, (label, gain)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_a_change_and_its_undoing() {
        let labels = Array3::from_shape_fn([2, 3, 7], |(k, j, i)| ((k + j * i) % 5) as u8);
        let mut tally = Tally::of(&labels);
        for label in 0..=255 {
            let expected = labels.iter().filter(|&&found| found == label).count() as u64;
            assert_eq!(tally.count(label), expected);
        }
        let start = tally.clone();
        let mut gains = Gains::default();
        gains.moved(1, 200, 3);
        gains.moved(0, 1, 2);
        let [zero, one, new] = [0, 1, 200].map(|label| start.count(label));
        let counts = tally.add(&gains);
        let of = |label, before, after| LabelCount { label, before, after };
        assert_eq!(counts, [of(0, zero, zero - 2), of(1, one, one - 1), of(200, new, 3)]);
        let mut back = Gains::default();
        back.moved(200, 1, 3);
        back.moved(1, 0, 2);
        tally.add(&back);
        assert_eq!(tally, start);
    }
}
