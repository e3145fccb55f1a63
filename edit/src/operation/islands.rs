//! Parts of a label that do not hang together: keep one, remove small ones, make labels of them.

use serde::{Deserialize, Serialize};

use super::Reach;
use crate::change::Change;
use crate::components::{Components, Neighbors};
use crate::error::EditError;
use crate::scene::{Scene, Stop};

/// How much a part has to have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// So many voxels.
    Voxels(u64),
    /// So many milliliters.
    Milliliters(f64),
}

/// What becomes of the parts. What is removed becomes background.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IslandAction {
    /// Only the largest stays; of equal ones the first in memory. By slice, the largest of each.
    KeepLargest,
    /// Only the one at this voxel, `[depth, height, width]`, stays. Nothing is changed where the
    /// voxel has another label.
    KeepAt([usize; 3]),
    /// Those that are smaller go.
    RemoveSmaller(Size),
    /// The largest keeps its label, the next ones get these in turn, further ones keep theirs.
    Split(Vec<u8>),
}

/// What to do with the parts of a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Islands {
    /// The label.
    pub label: u8,
    /// What becomes of its parts.
    pub action: IslandAction,
    /// What hangs together.
    pub neighbors: Neighbors,
    /// Where.
    pub reach: Reach,
}

impl Islands {
    pub(super) fn plan(&self, scene: &Scene, stop: Stop<'_>) -> Result<Change, EditError> {
        let gate = scene.gate()?;
        gate.check_gain(self.label)?;
        let smallest = match self.action {
            IslandAction::RemoveSmaller(Size::Voxels(voxels)) => voxels,
            IslandAction::RemoveSmaller(Size::Milliliters(ml)) => {
                let voxel_ml = scene.geometry.voxel_volume_ml().ok_or(EditError::SpacingUnknown)?;
                if !ml.is_finite() {
                    return Err(EditError::NotFinite { what: "the size" });
                }
                (ml / voxel_ml * (1.0 - 1e-9)).ceil().max(0.0) as u64
            }
            _ => 0,
        };
        let (limit, flat) = self.reach.limit(scene)?;
        let Some(bounds) = scene.bounds_of(&limit, self.label) else {
            return Ok(Change::default());
        };
        if stop() {
            return Err(EditError::Stopped);
        }
        let parts = Components::find(&bounds, self.neighbors, flat, |first, marks| {
            let row = scene.row(first, first[2] + marks.len());
            marks.iter_mut().zip(row).for_each(|(mark, &label)| *mark = label == self.label);
        });
        let slice_of =
            |part: usize| flat.map_or(0, |axis| parts.found[part].bounds.start[axis.index()]);
        // Largest first, then as they begin.
        let mut by_size: Vec<usize> = (0..parts.found.len()).collect();
        by_size.sort_by_key(|&part| std::cmp::Reverse(parts.found[part].voxels));
        let mut new = vec![self.label; parts.found.len()];
        match &self.action {
            IslandAction::KeepLargest => {
                let mut kept = std::collections::BTreeSet::new();
                for part in by_size {
                    if !kept.insert(slice_of(part)) {
                        new[part] = 0;
                    }
                }
            }
            IslandAction::KeepAt(seed) => {
                scene.label_at(*seed)?;
                let [k, j, i] = *seed;
                let here = parts
                    .spans
                    .iter()
                    .position(|span| span.row() == [k, j] && span.columns().contains(&i));
                let Some(here) = here else { return Ok(Change::default()) };
                new.fill(0);
                new[parts.of_span[here] as usize] = self.label;
            }
            IslandAction::RemoveSmaller(_) => {
                for (new, part) in new.iter_mut().zip(&parts.found) {
                    if part.voxels < smallest {
                        *new = 0;
                    }
                }
            }
            IslandAction::Split(labels) => {
                if labels.contains(&self.label) {
                    return Err(EditError::SameLabel { label: self.label });
                }
                for (&part, &label) in by_size.iter().skip(1).zip(labels) {
                    gate.check_gain(label)?;
                    new[part] = label;
                }
            }
        }
        let rows =
            parts.spans.iter().zip(&parts.of_span).map(|(span, &part)| (*span, new[part as usize]));
        Ok(scene.paint_each(rows, &gate))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, arr3, s};

    use super::*;
    use crate::axis::Axis;
    use crate::operation::Operation;
    use crate::testing::session;

    /// Parts of 6, 2 and 1 voxels; the last touches the first at a corner.
    fn labels() -> Array3<u8> {
        let mut labels = Array3::zeros([2, 4, 8]);
        labels.slice_mut(s![0, 0..2, 0..3]).fill(1);
        labels.slice_mut(s![0..2, 3, 7]).fill(1);
        labels[[0, 2, 3]] = 1;
        labels[[1, 0, 0]] = 7;
        labels
    }

    fn after(action: IslandAction, neighbors: Neighbors, reach: Reach) -> Array3<u8> {
        let mut session = session(labels());
        let islands = Islands { label: 1, action, neighbors, reach };
        session.apply(&Operation::Islands(islands)).unwrap();
        assert_eq!(session.labels()[[1, 0, 0]], 7, "other labels stay");
        session.labels().clone()
    }

    fn count(labels: &Array3<u8>, label: u8) -> usize {
        labels.iter().filter(|&&found| found == label).count()
    }

    #[test]
    fn the_largest_is_kept_with_what_touches_it() {
        let by_faces = after(IslandAction::KeepLargest, Neighbors::Faces, Reach::Volume);
        assert_eq!(count(&by_faces, 1), 6);
        let by_corners = after(IslandAction::KeepLargest, Neighbors::Corners, Reach::Volume);
        assert_eq!(count(&by_corners, 1), 7);
    }

    #[test]
    fn by_slice_the_largest_of_each_stays() {
        let reach = Reach::EachSlice(Axis::Depth);
        let kept = after(IslandAction::KeepLargest, Neighbors::Faces, reach);
        assert_eq!((count(&kept, 1), kept[[1, 3, 7]]), (7, 1));
        let reach = Reach::Slice { axis: Axis::Depth, index: 0 };
        let kept = after(IslandAction::KeepLargest, Neighbors::Faces, reach);
        assert_eq!((kept[[0, 3, 7]], kept[[1, 3, 7]]), (0, 1));
    }

    #[test]
    fn small_parts_go_by_voxels_or_milliliters() {
        let remove = |size| {
            let action = IslandAction::RemoveSmaller(size);
            count(&after(action, Neighbors::Faces, Reach::Volume), 1)
        };
        assert_eq!(remove(Size::Voxels(2)), 8);
        assert_eq!(remove(Size::Voxels(3)), 6);
        // A voxel has 0.7 * 0.9 * 2.5 = 1.575 mm³.
        assert_eq!(remove(Size::Milliliters(2.0 * 0.001_575)), 8);
        assert_eq!(remove(Size::Milliliters(2.1 * 0.001_575)), 6);
    }

    #[test]
    fn a_part_is_kept_by_where_it_is() {
        let at = |seed| after(IslandAction::KeepAt(seed), Neighbors::Faces, Reach::Volume);
        assert_eq!(count(&at([1, 3, 7]), 1), 2);
        assert_eq!(at([1, 0, 0]), labels(), "no voxel of the label: nothing is removed");
    }

    #[test]
    fn parts_become_labels_by_size() {
        let split = after(IslandAction::Split(vec![4, 5]), Neighbors::Faces, Reach::Volume);
        let expected = arr3(&[
            [
                [1, 1, 1, 0, 0, 0, 0, 0],
                [1, 1, 1, 0, 0, 0, 0, 0],
                [0, 0, 0, 5, 0, 0, 0, 0],
                [0, 0, 0, 0, 0, 0, 0, 4],
            ],
            [[7, 0, 0, 0, 0, 0, 0, 0], [0; 8], [0; 8], [0, 0, 0, 0, 0, 0, 0, 4]],
        ]);
        assert_eq!(split, expected);
        let mut session = session(labels());
        let again = Islands {
            label: 1,
            action: IslandAction::Split(vec![1]),
            neighbors: Neighbors::Faces,
            reach: Reach::Volume,
        };
        let refused = session.apply(&Operation::Islands(again));
        assert!(matches!(refused, Err(EditError::SameLabel { label: 1 })));
    }
}
