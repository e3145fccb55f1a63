//! Labels every voxel whose image value lies in a range.

use serde::{Deserialize, Serialize};

use super::{Over, Reach};
use crate::change::Change;
use crate::error::EditError;
use crate::scene::{Scene, Stop};
use crate::values::ValueRange;

/// A label for a range of image values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The range.
    pub values: ValueRange,
    /// Where.
    pub reach: Reach,
    /// What it may take.
    pub over: Over,
    /// The label, 0 to erase (then over any label).
    pub label: u8,
}

impl Threshold {
    pub(super) fn plan(&self, scene: &Scene, stop: Stop<'_>) -> Result<Change, EditError> {
        let gate = scene.gate()?.in_range(Some(self.values))?;
        gate.check_gain(self.label)?;
        let gate = if self.label == 0 { gate } else { self.over.gate(gate, None) };
        let (limit, _) = self.reach.limit(scene)?;
        scene.rewrite(&limit, &gate, stop, |_, row| row.fill(self.label))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ndarray::Array3;

    use super::*;
    use crate::axis::Axis;
    use crate::operation::Operation;
    use crate::testing::{image, session};

    #[test]
    fn a_range_is_labeled_in_one_slice_and_over_background_only() {
        let shape = [3, 2, 4];
        let mut labels = Array3::zeros(shape);
        labels[[1, 0, 1]] = 5;
        let mut session = session(labels);
        let values = Array3::from_shape_fn(shape, |(_, _, i)| i as f32);
        let threshold = Operation::Threshold(Threshold {
            values: ValueRange::between(1.0, 2.0),
            reach: Reach::Slice { axis: Axis::Depth, index: 1 },
            over: Over::Background,
            label: 1,
        });
        assert!(matches!(session.apply(&threshold), Err(EditError::NoImage)));
        session.set_image(Some(Arc::new(image(values)))).unwrap();
        assert_eq!(session.apply(&threshold).unwrap().voxels, 3);
        let slice = session.labels().index_axis(ndarray::Axis(0), 1).to_owned();
        assert_eq!(slice, ndarray::arr2(&[[0, 5, 1, 0], [0, 1, 1, 0]]));
    }
}
