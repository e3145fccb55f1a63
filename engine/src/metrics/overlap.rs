//! Dice and IoU of one class in one case, from voxel counts.
//!
//! | reference     | prediction   | status       | Dice                   | IoU                 |
//! |---------------|--------------|--------------|------------------------|---------------------|
//! | has the class | has it       | `scored`     | 2 both / (pred. + ref.)| both / either       |
//! | has the class | has it not   | `missed`     | 0                      | 0                   |
//! | has it not    | has it       | `false`      | 0                      | 0                   |
//! | has it not    | has it not   | `both_empty` | none, not in the mean  | none, not in the mean |
//! | any           | there is none| `failed`     | 0                      | 0                   |

use ndarray::{Array3, Zip};
use serde::{Deserialize, Serialize};

/// What there was to compare for one class of one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Both hold the class.
    Scored,
    /// Only the reference holds it.
    Missed,
    /// Only the prediction holds it.
    False,
    /// Neither holds it: nothing to measure.
    BothEmpty,
    /// There is no usable prediction.
    Failed,
}

impl Status {
    /// The word that files and tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Scored => "scored",
            Status::Missed => "missed",
            Status::False => "false",
            Status::BothEmpty => "both_empty",
            Status::Failed => "failed",
        }
    }
}

/// Voxels of one class: in the prediction, in the reference, and in both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassOverlap {
    /// Voxels that the prediction gives the class.
    pub prediction: u64,
    /// Voxels that the reference gives it.
    pub reference: u64,
    /// Voxels where the two agree on it.
    pub both: u64,
}

impl std::ops::AddAssign for ClassOverlap {
    fn add_assign(&mut self, other: Self) {
        self.prediction += other.prediction;
        self.reference += other.reference;
        self.both += other.both;
    }
}

impl ClassOverlap {
    /// Which row of the table at the head of this file applies.
    pub fn status(self) -> Status {
        match (self.prediction, self.reference) {
            (0, 0) => Status::BothEmpty,
            (0, _) => Status::Missed,
            (_, 0) => Status::False,
            _ => Status::Scored,
        }
    }

    /// Dice coefficient, `None` where neither side holds the class.
    pub fn dice(self) -> Option<f64> {
        ratio(2 * self.both, self.prediction + self.reference)
    }

    /// Intersection over union, `None` where neither side holds the class.
    pub fn iou(self) -> Option<f64> {
        ratio(self.both, self.prediction + self.reference - self.both)
    }
}

fn ratio(numerator: u64, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

/// The overlaps of all 256 labels, counted in one pass over the voxels.
#[derive(Debug, Clone)]
pub struct OverlapCounts {
    prediction: [u64; 256],
    reference: [u64; 256],
    both: [u64; 256],
}

impl OverlapCounts {
    /// Counts two label maps of equal shape.
    pub fn of(prediction: &Array3<u8>, reference: &Array3<u8>) -> Self {
        assert_eq!(prediction.dim(), reference.dim(), "the caller compares the grids first");
        let mut counts = Self::none();
        Zip::from(prediction)
            .and(reference)
            .for_each(|&predicted, &annotated| counts.add(predicted, annotated));
        counts
    }

    /// Counts no voxel yet.
    pub(super) fn none() -> Self {
        Self { prediction: [0; 256], reference: [0; 256], both: [0; 256] }
    }

    /// Counts one voxel more.
    pub(super) fn add(&mut self, predicted: u8, annotated: u8) {
        self.prediction[usize::from(predicted)] += 1;
        self.reference[usize::from(annotated)] += 1;
        if predicted == annotated {
            self.both[usize::from(predicted)] += 1;
        }
    }

    /// The counts of one label.
    pub fn class(&self, label: u8) -> ClassOverlap {
        let label = usize::from(label);
        ClassOverlap {
            prediction: self.prediction[label],
            reference: self.reference[label],
            both: self.both[label],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(labels: &[u8]) -> Array3<u8> {
        Array3::from_shape_vec([1, 1, labels.len()], labels.to_vec()).unwrap()
    }

    fn overlap(prediction: &[u8], reference: &[u8], label: u8) -> ClassOverlap {
        OverlapCounts::of(&row(prediction), &row(reference)).class(label)
    }

    #[test]
    fn a_partial_overlap_gives_the_pencil_numbers() {
        let overlap = overlap(&[1, 1, 1, 0, 2], &[0, 1, 1, 1, 1], 1);
        assert_eq!(overlap, ClassOverlap { prediction: 3, reference: 4, both: 2 });
        assert_eq!(overlap.status(), Status::Scored);
        assert_eq!(overlap.dice(), Some(4.0 / 7.0));
        assert_eq!(overlap.iou(), Some(2.0 / 5.0));
    }

    #[test]
    fn equal_masks_are_exactly_one() {
        let overlap = overlap(&[0, 2, 2], &[0, 2, 2], 2);
        assert_eq!((overlap.dice(), overlap.iou()), (Some(1.0), Some(1.0)));
    }

    #[test]
    fn touching_but_disjoint_masks_are_scored_zero() {
        let overlap = overlap(&[1, 0], &[0, 1], 1);
        assert_eq!((overlap.status(), overlap.dice()), (Status::Scored, Some(0.0)));
    }

    #[test]
    fn a_class_that_only_the_reference_holds_is_missed() {
        let overlap = overlap(&[0, 0], &[0, 1], 1);
        assert_eq!(
            (overlap.status(), overlap.dice(), overlap.iou()),
            (Status::Missed, Some(0.0), Some(0.0))
        );
    }

    #[test]
    fn a_class_that_only_the_prediction_holds_is_false() {
        let overlap = overlap(&[0, 1], &[0, 0], 1);
        assert_eq!(
            (overlap.status(), overlap.dice(), overlap.iou()),
            (Status::False, Some(0.0), Some(0.0))
        );
    }

    #[test]
    fn a_class_that_neither_holds_has_no_number() {
        let overlap = overlap(&[0, 1], &[0, 1], 7);
        assert_eq!(
            (overlap.status(), overlap.dice(), overlap.iou()),
            (Status::BothEmpty, None, None)
        );
    }

    #[test]
    fn the_last_label_counts_like_any_other() {
        assert_eq!(overlap(&[255], &[255], 255).dice(), Some(1.0));
    }
}
