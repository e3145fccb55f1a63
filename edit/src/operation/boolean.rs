//! Combines a label with others, of the same volume or of a second one.
//!
//! A voxel has one label, so labels of one volume never overlap: there, a union merges them,
//! subtracting changes nothing, and an intersection is empty. With second labels (a reference, a
//! prediction, another reader's) all three say something.

use serde::{Deserialize, Serialize};

use super::Over;
use crate::bounds::Bounds;
use crate::change::Change;
use crate::error::EditError;
use crate::label_set::LabelSet;
use crate::scene::{Scene, Stop};

/// How to combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// What either has becomes the label.
    Union,
    /// What both have stops being the label.
    Subtract,
    /// What only the label has stops being it.
    Intersect,
}

/// What to combine with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operand {
    /// These labels of the same volume.
    Labels(LabelSet),
    /// These labels of the second volume.
    Second(LabelSet),
}

/// A label, and what to combine it with. What it loses becomes background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boolean {
    /// How.
    pub combine: Combine,
    /// The label that is changed.
    pub label: u8,
    /// With what.
    pub with: Operand,
    /// What of the second labels' voxels a union may take. A union within one volume takes the
    /// voxels of the labels that it names, whatever this says.
    pub over: Over,
}

impl Boolean {
    pub(super) fn plan(&self, scene: &Scene, stop: Stop<'_>) -> Result<Change, EditError> {
        let gate = scene.gate()?;
        gate.check_gain(self.label)?;
        let (second, set) = match self.with {
            Operand::Labels(set) => (None, set),
            Operand::Second(set) => {
                (Some(scene.second.as_deref().ok_or(EditError::NoSecond)?), set)
            }
        };
        let gate = match (self.combine, self.with) {
            (Combine::Union, Operand::Second(_)) => self.over.gate(gate, None),
            _ => gate,
        };
        let [_, height, width] = scene.shape();
        scene.rewrite(&Bounds::whole(scene.shape()), &gate, stop, |[k, j, _], row| {
            let at = (k * height + j) * width;
            let others = second.and_then(|labels| labels.as_slice());
            for (i, new) in row.iter_mut().enumerate() {
                let other = set.contains(others.map_or(*new, |labels| labels[at + i]));
                let own = *new == self.label;
                *new = match self.combine {
                    Combine::Union if other => self.label,
                    Combine::Subtract if own && other => 0,
                    Combine::Intersect if own && !other => 0,
                    _ => *new,
                };
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use lamina_io::LabelVolume;
    use ndarray::{Array3, arr3};

    use super::*;
    use crate::operation::Operation;
    use crate::testing::{geometry, session};

    fn combined(combine: Combine, with: Operand, over: Over) -> Vec<u8> {
        let labels: Array3<u8> = arr3(&[[[0, 0, 1, 1, 2, 2, 3]]]);
        let second: Array3<u8> = arr3(&[[[0, 5, 5, 0, 5, 6, 0]]]);
        let mut session = session(labels);
        let second = LabelVolume::new(second, geometry([1, 1, 7])).unwrap();
        session.set_second(Some(&second)).unwrap();
        let boolean = Boolean { combine, label: 1, with, over };
        session.apply(&Operation::Boolean(boolean)).unwrap();
        session.labels().iter().copied().collect()
    }

    #[test]
    fn second_labels_add_subtract_and_intersect() {
        let five = Operand::Second(LabelSet::from([5]));
        let of = |combine, over| combined(combine, five, over);
        assert_eq!(of(Combine::Union, Over::Background), [0, 1, 1, 1, 2, 2, 3]);
        assert_eq!(of(Combine::Union, Over::Any), [0, 1, 1, 1, 1, 2, 3]);
        assert_eq!(of(Combine::Subtract, Over::Any), [0, 0, 0, 1, 2, 2, 3]);
        assert_eq!(of(Combine::Intersect, Over::Any), [0, 0, 1, 0, 2, 2, 3]);
    }

    #[test]
    fn labels_of_one_volume_do_not_overlap() {
        let others = Operand::Labels(LabelSet::from([2, 3]));
        let of = |combine| combined(combine, others, Over::Background);
        assert_eq!(of(Combine::Union), [0, 0, 1, 1, 1, 1, 1]);
        assert_eq!(of(Combine::Subtract), [0, 0, 1, 1, 2, 2, 3]);
        assert_eq!(of(Combine::Intersect), [0, 0, 0, 0, 2, 2, 3]);
    }

    #[test]
    fn second_labels_have_to_be_there_and_on_the_grid() {
        let mut session = session(Array3::zeros([1, 1, 7]));
        let with = Operand::Second(LabelSet::from([1]));
        let boolean = Boolean { combine: Combine::Union, label: 1, with, over: Over::Any };
        let refused = session.apply(&Operation::Boolean(boolean));
        assert!(matches!(refused, Err(EditError::NoSecond)));
        let other = LabelVolume::new(Array3::zeros([1, 7, 1]), geometry([1, 7, 1])).unwrap();
        assert!(matches!(session.set_second(Some(&other)), Err(EditError::Grid { .. })));
        let other = std::sync::Arc::new(other.labels);
        assert!(matches!(session.share_second(Some(other)), Err(EditError::Grid { .. })));
        assert!(!session.has_second());
        let right = std::sync::Arc::new(Array3::zeros([1, 1, 7]));
        session.share_second(Some(right)).unwrap();
        assert!(session.has_second());
    }
}
