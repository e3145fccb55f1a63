//! Dice and IoU slice by slice: where along a volume a prediction goes wrong.
//!
//! The same counts and statuses as of whole cases ([`super::ClassOverlap`]), so that the sums over
//! the slices of any axis are the counts of the case.

use ndarray::Array3;

use super::overlap::{ClassOverlap, OverlapCounts};

/// The overlaps of all labels above zero in every slice along every axis.
#[derive(Debug, Clone)]
pub struct SliceOverlaps {
    axes: [Vec<OverlapCounts>; 3],
}

impl SliceOverlaps {
    /// Counts two label maps of equal shape, in one pass.
    ///
    /// # Shapes
    /// - `prediction`, `reference`: `[depth, height, width]`
    pub fn of(prediction: &Array3<u8>, reference: &Array3<u8>) -> Self {
        assert_eq!(prediction.dim(), reference.dim(), "the caller compares the grids first");
        let (depth, height, width) = prediction.dim();
        let mut axes = [depth, height, width].map(|slices| vec![OverlapCounts::none(); slices]);
        for (((k, j, i), &predicted), &annotated) in prediction.indexed_iter().zip(reference) {
            if predicted != 0 || annotated != 0 {
                for (counts, slice) in axes.iter_mut().zip([k, j, i]) {
                    counts[slice].add(predicted, annotated);
                }
            }
        }
        Self { axes }
    }

    /// One label in the slices along an axis: 0 for depth, 1 for height, 2 for width.
    pub fn along(&self, axis: usize, label: u8) -> Vec<ClassOverlap> {
        self.axes[axis].iter().map(|counts| counts.class(label)).collect()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Axis;

    use super::*;

    #[test]
    fn slices_count_what_they_count_one_by_one_and_add_up_to_the_case() {
        let shape = [3, 4, 5];
        let of = |seed: usize| {
            Array3::from_shape_fn(shape, |(k, j, i)| ((k * 7 + j * 5 + i * seed) % 4) as u8)
        };
        let (prediction, reference) = (of(3), of(11));
        let slices = SliceOverlaps::of(&prediction, &reference);
        let case = OverlapCounts::of(&prediction, &reference);
        for (axis, length) in shape.into_iter().enumerate() {
            for label in 1..=4 {
                let found = slices.along(axis, label);
                assert_eq!(found.len(), length);
                for (index, found) in found.iter().enumerate() {
                    let one = |labels: &Array3<u8>| {
                        labels.index_axis(Axis(axis), index).insert_axis(Axis(0)).to_owned()
                    };
                    let alone = OverlapCounts::of(&one(&prediction), &one(&reference));
                    assert_eq!(*found, alone.class(label));
                }
                assert_eq!(found.iter().map(|o| o.both).sum::<u64>(), case.class(label).both);
            }
        }
    }

    #[test]
    fn a_slice_without_a_label_has_no_dice() {
        let mut labels = Array3::zeros([2, 1, 1]);
        labels[[1, 0, 0]] = 2;
        let found = SliceOverlaps::of(&labels, &labels).along(0, 2);
        assert_eq!(
            found.into_iter().map(ClassOverlap::dice).collect::<Vec<_>>(),
            [None, Some(1.0)]
        );
    }
}
