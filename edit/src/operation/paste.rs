//! Takes the labels of a region from elsewhere: a model run again on a slice, for example.

use std::sync::Arc;

use ndarray::{Array3, s};
use serde::{Serialize, Serializer};

use crate::bounds::Bounds;
use crate::change::Change;
use crate::error::EditError;
use crate::scene::{Scene, Stop};

/// Labels for a region. The rules hold for them, too.
#[derive(Clone, Debug, Serialize)]
pub struct Paste {
    /// The region's first voxel, `[depth, height, width]`.
    pub start: [usize; 3],
    /// Its labels, `[depth, height, width]`. The journal keeps the shape of the region.
    #[serde(serialize_with = "shape")]
    pub labels: Arc<Array3<u8>>,
    /// Who made them, such as the name of a model: for the audit trail, so nothing of a patient.
    pub by: String,
}

fn shape<S: Serializer>(labels: &Array3<u8>, serializer: S) -> Result<S::Ok, S::Error> {
    labels.dim().serialize(serializer)
}

impl Paste {
    pub(super) fn plan(&self, scene: &Scene, stop: Stop<'_>) -> Result<Change, EditError> {
        let (depth, height, width) = self.labels.dim();
        let size = [depth, height, width];
        let end = [0, 1, 2].map(|axis| self.start[axis].saturating_add(size[axis]));
        let shape = scene.shape();
        let Some(bounds) = Bounds::new(self.start, end) else { return Ok(Change::default()) };
        if !(0..3).all(|axis| end[axis] <= shape[axis]) {
            return Err(EditError::Outside { index: end.map(|end| end - 1), shape });
        }
        scene.rewrite(&bounds, &scene.gate()?, stop, |[k, j, i], row| {
            let part = self.labels.slice(s![
                k - self.start[0],
                j - self.start[1],
                i - self.start[2]..i - self.start[2] + row.len()
            ]);
            row.iter_mut().zip(part).for_each(|(new, &label)| *new = label);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label_set::LabelSet;
    use crate::operation::Operation;
    use crate::rules::Rules;
    use crate::testing::{blobs, session};

    #[test]
    fn a_region_is_taken_but_for_what_is_locked() {
        let labels = blobs([4, 5, 6], 4, 1);
        let new = Arc::new(blobs([2, 3, 4], 4, 2));
        let mut session = session(labels.clone());
        session.set_rules(Rules { locked: LabelSet::from([2]), ..Rules::default() });
        let paste = |start| {
            let by = "test".to_owned();
            Operation::Paste(Paste { start, labels: Arc::clone(&new), by })
        };
        session.apply(&paste([1, 2, 2])).unwrap();
        for ((k, j, i), &label) in session.labels().indexed_iter() {
            let old = labels[[k, j, i]];
            let pasted = [k.wrapping_sub(1), j.wrapping_sub(2), i.wrapping_sub(2)];
            let expected = match new.get(pasted) {
                Some(&new) if old != 2 && new != 2 => new,
                _ => old,
            };
            assert_eq!(label, expected);
        }
        let refused = session.apply(&paste([3, 2, 2]));
        assert!(matches!(refused, Err(EditError::Outside { index: [4, 4, 5], .. })));
    }
}
