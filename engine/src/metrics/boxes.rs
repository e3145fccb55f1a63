//! The smallest box around each label, found row by row.

use std::collections::BTreeMap;

use ndarray::Array3;

/// First and end along each axis.
pub(super) type Bounds = [(usize, usize); 3];

/// The smallest box around each label above zero of either map.
pub(super) fn boxes(a: &Array3<u8>, b: &Array3<u8>) -> BTreeMap<u8, Bounds> {
    let mut boxes = [[(usize::MAX, 0); 3]; 256];
    for labels in [a, b] {
        let height = labels.dim().1;
        for (row, voxels) in labels.rows().into_iter().enumerate() {
            let mut take = |label: u8, start: usize, end: usize| {
                let first = [row / height, row % height, start];
                let ends = [first[0] + 1, first[1] + 1, end];
                for ((bound, first), end) in
                    boxes[usize::from(label)].iter_mut().zip(first).zip(ends)
                {
                    *bound = (bound.0.min(first), bound.1.max(end));
                }
            };
            match voxels.as_slice() {
                Some(voxels) => runs(voxels, take),
                None => voxels
                    .iter()
                    .enumerate()
                    .filter(|(_, label)| **label > 0)
                    .for_each(|(index, &label)| take(label, index, index + 1)),
            }
        }
    }
    let found = (0..=u8::MAX).zip(boxes).filter(|(_, bounds)| bounds[0].1 > 0);
    found.collect()
}

/// Calls `take` with each run of one label above zero: label, start and end.
fn runs(row: &[u8], mut take: impl FnMut(u8, usize, usize)) {
    let mut at = 0;
    while at < row.len() {
        let label = row[at];
        let rest = &row[at..];
        let (chunks, _) = rest.as_chunks::<16>();
        let whole = chunks.iter().take_while(|chunk| **chunk == [label; 16]).count() * 16;
        let length = whole + rest[whole..].iter().take_while(|found| **found == label).count();
        if label > 0 {
            take(label, at, at + length);
        }
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_hold_every_voxel_of_their_label_and_no_row_more() {
        let of = |seed: usize| {
            Array3::from_shape_fn([4, 6, 50], |(k, j, i)| match (k * 31 + j * 17 + i * seed) % 97 {
                0 => 1,
                1 => 255,
                _ => 0,
            })
        };
        let (a, b) = (of(13), of(7));
        for (a, b) in [(a.clone(), b.clone()), (a.reversed_axes(), b.reversed_axes())] {
            let found = boxes(&a, &b);
            assert_eq!(found.keys().copied().collect::<Vec<_>>(), [1, 255]);
            for (label, bounds) in found {
                let both = a.indexed_iter().chain(b.indexed_iter());
                let places: Vec<[usize; 3]> =
                    both.filter(|(_, l)| **l == label).map(|((k, j, i), _)| [k, j, i]).collect();
                for axis in 0..3 {
                    let along = || places.iter().map(|place| place[axis]);
                    assert_eq!(bounds[axis], (along().min().unwrap(), along().max().unwrap() + 1));
                }
            }
        }
    }

    #[test]
    fn a_long_run_is_one() {
        let mut row = vec![0; 100];
        row[3..90].fill(7);
        row[90] = 8;
        let mut found = Vec::new();
        runs(&row, |label, start, end| found.push((label, start, end)));
        assert_eq!(found, [(7, 3, 90), (8, 90, 91)]);
    }
}
