//! Masks of one bit per voxel: sixty-four voxels of a row at a time.
//!
//! What lies beyond the edge of a mask is background.

use ndarray::{ArrayView1, ArrayView3};

/// Which voxels of a box are inside.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bits {
    shape: [usize; 3],
    words_per_row: usize,
    words: Vec<u64>,
}

impl Bits {
    /// Nothing inside.
    pub(super) fn none(shape: [usize; 3]) -> Self {
        let words_per_row = shape[2].div_ceil(64);
        Self { shape, words_per_row, words: vec![0; shape[0] * shape[1] * words_per_row] }
    }

    /// The voxels that have `label`.
    pub(super) fn of_label(labels: &ArrayView3<u8>, label: u8) -> Self {
        Self::pack(labels, |row, words| pack_label(row, label, words))
    }

    /// The voxels that are `true`.
    pub(super) fn of_mask(mask: &ArrayView3<bool>) -> Self {
        Self::pack(mask, |row, words| {
            for (index, _) in row.iter().enumerate().filter(|(_, inside)| **inside) {
                words[index / 64] |= 1 << (index % 64);
            }
        })
    }

    fn pack<T>(voxels: &ArrayView3<T>, row: impl Fn(ArrayView1<T>, &mut [u64])) -> Self {
        let (depth, height, width) = voxels.dim();
        let mut bits = Self::none([depth, height, width]);
        let rows = voxels.rows().into_iter();
        let words = bits.words.chunks_exact_mut(bits.words_per_row.max(1));
        rows.zip(words).for_each(|(voxels, words)| row(voxels, words));
        bits
    }

    /// Depth, height, width.
    pub(super) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Words that a row takes.
    pub(super) fn words_per_row(&self) -> usize {
        self.words_per_row
    }

    /// One row; bits beyond its width are zero.
    pub(super) fn row(&self, slice: usize, row: usize) -> &[u64] {
        let start = (slice * self.shape[1] + row) * self.words_per_row;
        &self.words[start..start + self.words_per_row]
    }

    fn row_mut(&mut self, slice: usize, row: usize) -> &mut [u64] {
        let start = (slice * self.shape[1] + row) * self.words_per_row;
        &mut self.words[start..start + self.words_per_row]
    }

    /// Whether one voxel is inside.
    pub(super) fn get(&self, [k, j, i]: [usize; 3]) -> bool {
        self.row(k, j)[i / 64] >> (i % 64) & 1 == 1
    }

    /// Puts one voxel inside.
    pub(super) fn set(&mut self, [k, j, i]: [usize; 3]) {
        self.row_mut(k, j)[i / 64] |= 1 << (i % 64);
    }

    /// How many voxels are inside.
    pub(super) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Every voxel inside, in the order of the array.
    pub(super) fn indices(&self) -> impl Iterator<Item = [usize; 3]> + '_ {
        let [_, height, _] = self.shape;
        let rows = self.words.chunks_exact(self.words_per_row.max(1)).enumerate();
        rows.flat_map(move |(row, words)| {
            ones(words).map(move |i| [row / height.max(1), row % height.max(1), i])
        })
    }

    /// What both hold.
    pub(super) fn and(&self, other: &Self) -> Self {
        self.combined(other, |a, b| a & b)
    }

    /// What this holds and `other` does not.
    pub(super) fn without(&self, other: &Self) -> Self {
        self.combined(other, |a, b| a & !b)
    }

    fn combined(&self, other: &Self, with: impl Fn(u64, u64) -> u64) -> Self {
        assert_eq!(self.shape, other.shape, "masks of one box");
        let words = self.words.iter().zip(&other.words).map(|(&a, &b)| with(a, b)).collect();
        Self { words, ..*self }
    }

    /// The voxels with a face neighbor outside: what an erosion over faces takes away. In `flat`
    /// masks slices have nothing to do with each other.
    pub(super) fn surface(&self, flat: bool) -> Self {
        let [depth, height, _] = self.shape;
        let beyond = vec![0; self.words_per_row];
        let mut surface = Self::none(self.shape);
        for k in 0..depth {
            for j in 0..height {
                let row = self.row(k, j);
                if row.iter().all(|&word| word == 0) {
                    continue;
                }
                let neighbor = |there: bool, k: usize, j: usize| {
                    if there { self.row(k, j) } else { beyond.as_slice() }
                };
                let neighbors = [
                    neighbor(j > 0, k, j.wrapping_sub(1)),
                    neighbor(j + 1 < height, k, j + 1),
                    if flat { row } else { neighbor(k > 0, k.wrapping_sub(1), j) },
                    if flat { row } else { neighbor(k + 1 < depth, k + 1, j) },
                ];
                let found = surface.row_mut(k, j);
                for (index, found) in found.iter_mut().enumerate() {
                    let all = neighbors.iter().fold(along(row, index), |all, row| all & row[index]);
                    *found = row[index] & !all;
                }
            }
        }
        surface
    }

    /// The voxels whose eight neighbors in the slice are inside too.
    pub(super) fn eroded_in_plane(&self) -> Self {
        let [depth, height, _] = self.shape;
        let mut narrow = Self::none(self.shape);
        let mut eroded = narrow.clone();
        for k in 0..depth {
            for j in 0..height {
                let row = self.row(k, j);
                let found = narrow.row_mut(k, j).iter_mut().enumerate();
                found.for_each(|(index, found)| *found = row[index] & along(row, index));
            }
            for j in 1..height.saturating_sub(1) {
                let rows = [narrow.row(k, j - 1), narrow.row(k, j), narrow.row(k, j + 1)];
                let found = eroded.row_mut(k, j).iter_mut().enumerate();
                found.for_each(|(index, found)| {
                    *found = rows[0][index] & rows[1][index] & rows[2][index];
                });
            }
        }
        eroded
    }

    /// The voxels with another inside at most `reach` rows away in their slice and column, and
    /// near the first row perhaps some that are up to twice as far.
    pub(super) fn spread_over_rows(&self, reach: usize) -> Self {
        let [depth, height, _] = self.shape;
        let reach = reach.min(height);
        let (mut wide, mut span) = (self.clone(), 1); // each row with the next `span - 1`
        while span * 2 <= 2 * reach + 1 {
            let narrow = wide.clone();
            for k in 0..depth {
                for j in 0..height.saturating_sub(span) {
                    join(wide.row_mut(k, j), narrow.row(k, j + span));
                }
            }
            span *= 2;
        }
        let mut spread = Self::none(self.shape);
        for k in 0..depth {
            for j in 0..height {
                // From `reach` rows before to `reach` rows after, by two spans that overlap.
                let first = j.saturating_sub(reach);
                let last = (j + reach + 1).saturating_sub(span).min(height - 1).max(first);
                let row = spread.row_mut(k, j);
                join(row, wide.row(k, first));
                join(row, wide.row(k, last));
            }
        }
        spread
    }

    /// One voxel for each block of `size` (a divisor of 64 along a row), inside where any of it is.
    pub(super) fn blocks(&self, size: [usize; 3]) -> Self {
        let shape = [0, 1, 2].map(|axis| self.shape[axis].div_ceil(size[axis]));
        let mut blocks = Self::none(shape);
        for k in 0..self.shape[0] {
            for j in 0..self.shape[1] {
                for i in ones(self.row(k, j)) {
                    blocks.set([k / size[0], j / size[1], i / size[2]]);
                }
            }
        }
        blocks
    }
}

/// Which bits of a row are set, from low to high.
pub(super) fn ones(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(index, &word)| {
        let mut left = word;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(index * 64 + bit)
        })
    })
}

/// The voxels of a word of a row whose neighbors in the row are inside.
fn along(row: &[u64], index: usize) -> u64 {
    let word = row[index];
    let before = index.checked_sub(1).map_or(0, |index| row[index] >> 63);
    let after = row.get(index + 1).map_or(0, |word| word << 63);
    (word << 1 | before) & (word >> 1 | after)
}

fn join(into: &mut [u64], other: &[u64]) {
    into.iter_mut().zip(other).for_each(|(into, other)| *into |= other);
}

fn pack_label(row: ArrayView1<u8>, label: u8, words: &mut [u64]) {
    if let Some(row) = row.as_slice() {
        for (bytes, word) in row.chunks(64).zip(words) {
            *word = bytes.chunks(8).enumerate().fold(0, |word, (index, bytes)| {
                let mut eight = [!label; 8];
                eight[..bytes.len()].copy_from_slice(bytes);
                word | equal_bytes(eight, label) << (index * 8)
            });
        }
    } else {
        for (index, _) in row.iter().enumerate().filter(|(_, found)| **found == label) {
            words[index / 64] |= 1 << (index % 64);
        }
    }
}

/// One bit for each of eight bytes, set where it is `label`.
fn equal_bytes(bytes: [u8; 8], label: u8) -> u64 {
    const LOW_BITS: u64 = u64::from_le_bytes([0x7f; 8]);
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let difference = u64::from_le_bytes(bytes) ^ u64::from_le_bytes([label; 8]);
    // The high bit of each byte, set where all bits of the difference are zero.
    let equal = !(((difference & LOW_BITS) + LOW_BITS) | difference | LOW_BITS);
    (equal >> 7).wrapping_mul(GATHER) >> 56
}

#[cfg(test)]
pub(super) mod tests {
    use ndarray::Array3;

    use super::*;

    /// Voxels inside by chance, one in `rare`.
    pub(in super::super) fn speckled(shape: [usize; 3], rare: u64, seed: u64) -> Array3<bool> {
        let mut state = seed;
        Array3::from_shape_simple_fn(shape, || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33).is_multiple_of(rare)
        })
    }

    #[test]
    fn a_label_is_packed_as_its_mask_also_where_rows_are_not_in_one_piece() {
        let labels = speckled([3, 4, 150], 3, 1).mapv(|on| if on { 200 } else { 199 });
        for labels in [labels.view(), labels.slice(ndarray::s![.., .., ..;3])] {
            let mask = labels.mapv(|label| label == 200);
            let bits = Bits::of_label(&labels, 200);
            assert_eq!(bits, Bits::of_mask(&mask.view()));
            assert_eq!(bits.count(), mask.iter().filter(|on| **on).count());
            for ((k, j, i), &on) in mask.indexed_iter() {
                assert_eq!(bits.get([k, j, i]), on);
            }
        }
    }

    #[test]
    fn the_surface_is_what_has_a_neighbor_outside() {
        let mask = speckled([4, 5, 130], 12, 7).mapv(|on| !on);
        let bits = Bits::of_mask(&mask.view());
        let (surface, flat) = (bits.surface(false), bits.surface(true));
        let inside = |k: usize, j: usize, i: usize| mask.get([k, j, i]).copied().unwrap_or(false);
        for ((k, j, i), &on) in mask.indexed_iter() {
            let in_slice = inside(k, j.wrapping_sub(1), i)
                && inside(k, j + 1, i)
                && inside(k, j, i.wrapping_sub(1))
                && inside(k, j, i + 1);
            let surrounded = in_slice && inside(k.wrapping_sub(1), j, i) && inside(k + 1, j, i);
            assert_eq!(surface.get([k, j, i]), on && !surrounded, "{k} {j} {i}");
            assert_eq!(flat.get([k, j, i]), on && !in_slice, "{k} {j} {i}");
        }
    }

    #[test]
    fn an_erosion_in_the_plane_leaves_what_has_all_eight_neighbors() {
        let mask = speckled([2, 9, 130], 20, 4).mapv(|on| !on);
        let eroded = Bits::of_mask(&mask.view()).eroded_in_plane();
        for ((k, j, i), _) in mask.indexed_iter() {
            let mut around =
                (0..9).map(|n| [k, (j + n / 3).wrapping_sub(1), (i + n % 3).wrapping_sub(1)]);
            let all = around.all(|place| mask.get(place).copied().unwrap_or(false));
            assert_eq!(eroded.get([k, j, i]), all, "{k} {j} {i}");
        }
    }

    #[test]
    fn rows_spread_as_far_as_they_may() {
        let mask = speckled([2, 23, 70], 300, 3);
        let bits = Bits::of_mask(&mask.view());
        for reach in [0, 1, 2, 3, 4, 7, 11, 22, 40] {
            let spread = bits.spread_over_rows(reach);
            for ((k, j, i), _) in mask.indexed_iter() {
                let within = |reach: usize| {
                    (j.saturating_sub(reach)..=(j + reach).min(22)).any(|j| mask[[k, j, i]])
                };
                let found = spread.get([k, j, i]);
                assert!(found || !within(reach), "{k} {j} {i}, reach {reach}");
                assert!(!found || within(if j < reach { 2 * reach } else { reach }));
            }
        }
    }

    #[test]
    fn a_block_is_inside_where_any_voxel_of_it_is() {
        let mut mask = Array3::from_elem([5, 5, 17], false);
        mask[[4, 2, 16]] = true;
        let blocks = Bits::of_mask(&mask.view()).blocks([2, 3, 8]);
        assert_eq!(blocks.shape(), [3, 2, 3]);
        assert_eq!(blocks.indices().collect::<Vec<_>>(), [[2, 0, 2]]);
    }
}
