//! Fills what a label encloses.
//!
//! A hole is a part of everything else that the label separates from the border of the volume, or
//! of the slice where each slice is by itself. What touches that border is open.

use serde::{Deserialize, Serialize};

use super::{Over, Reach};
use crate::axis::Axis;
use crate::change::Change;
use crate::components::{Components, Neighbors};
use crate::error::EditError;
use crate::scene::{Scene, Stop};

/// Which holes to fill.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holes {
    /// The label around them.
    pub label: u8,
    /// What of a hole hangs together: by faces, a label that is closed only at corners encloses,
    /// too.
    pub neighbors: Neighbors,
    /// Where.
    pub reach: Reach,
    /// What of a hole is filled: only its background, or other labels in it, too.
    pub over: Over,
    /// Larger holes stay.
    pub max_voxels: Option<u64>,
}

impl Holes {
    pub(super) fn plan(&self, scene: &Scene, stop: Stop<'_>) -> Result<Change, EditError> {
        let gate = scene.gate()?;
        gate.check_gain(self.label)?;
        let (limit, flat) = self.reach.limit(scene)?;
        let Some(bounds) = scene.bounds_of(&limit, self.label) else {
            return Ok(Change::default());
        };
        if stop() {
            return Err(EditError::Stopped);
        }
        let parts = Components::find(&bounds, self.neighbors, flat, |first, marks| {
            let row = scene.row(first, first[2] + marks.len());
            marks.iter_mut().zip(row).for_each(|(mark, &label)| *mark = label != self.label);
        });
        // The box is the label's own: what touches it goes on outside.
        let across = || Axis::ALL.into_iter().filter(|&axis| Some(axis) != flat).map(Axis::index);
        let holes = parts.spans_of(|_, part| {
            let enclosed = across().all(|a| {
                part.bounds.start[a] > bounds.start[a] && part.bounds.end[a] < bounds.end[a]
            });
            enclosed && self.max_voxels.is_none_or(|most| part.voxels <= most)
        });
        Ok(scene.paint(holes, &self.over.gate(gate, None), self.label))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, s};

    use super::*;
    use crate::operation::Operation;
    use crate::testing::{blobs, session};

    fn fill(labels: &Array3<u8>, holes: Holes) -> Array3<u8> {
        let mut session = session(labels.clone());
        session.apply(&Operation::Holes(holes)).unwrap();
        session.labels().clone()
    }

    fn holes(reach: Reach) -> Holes {
        Holes {
            label: 1,
            neighbors: Neighbors::Faces,
            reach,
            over: Over::Background,
            max_voxels: None,
        }
    }

    #[test]
    fn an_enclosed_hole_is_filled_and_a_tunnel_only_by_slice() {
        let mut labels = Array3::zeros([5, 7, 7]);
        labels.slice_mut(s![1..4, 1..6, 1..6]).fill(1);
        labels.slice_mut(s![2, 2, 2..4]).fill(0); // enclosed
        labels.slice_mut(s![.., 4, 4]).fill(0); // through and through
        labels[[2, 2, 3]] = 9; // another label within the hole
        let filled = fill(&labels, holes(Reach::Volume));
        let changed =
            |filled: &Array3<u8>| filled.iter().zip(&labels).filter(|(a, b)| a != b).count();
        assert_eq!((filled[[2, 2, 2]], filled[[2, 2, 3]], changed(&filled)), (1, 9, 1));
        let by_slice = fill(&labels, holes(Reach::EachSlice(Axis::Depth)));
        assert_eq!((by_slice[[2, 4, 4]], changed(&by_slice)), (1, 4));
        let small = Holes { max_voxels: Some(1), ..holes(Reach::EachSlice(Axis::Depth)) };
        assert_eq!(fill(&labels, small)[[2, 2, 2]], 0);
        let any = fill(&labels, Holes { over: Over::Any, ..holes(Reach::Volume) });
        assert_eq!(any[[2, 2, 3]], 1);
    }

    #[test]
    fn what_the_border_can_reach_is_no_hole() {
        for round in 0..90 {
            let labels = blobs([4, 7, 8], 2, round);
            let flat = [None, Some(Axis::Depth), Some(Axis::Height), Some(Axis::Width)]
                [round as usize % 4];
            let reach = flat.map_or(Reach::Volume, Reach::EachSlice);
            let filled = fill(&labels, holes(reach));
            // Flow in from the border, step by step.
            let mut open = Array3::from_elem(labels.dim(), false);
            loop {
                let before = open.clone();
                for ((k, j, i), open) in open.indexed_iter_mut() {
                    if labels[[k, j, i]] == 1 || *open {
                        continue;
                    }
                    *open = [0, 1, 2]
                        .into_iter()
                        .filter(|&a| flat.map(Axis::index) != Some(a))
                        .any(|a| {
                            [-1, 1].into_iter().any(|step| {
                                let mut there = [k, j, i];
                                there[a] = there[a].wrapping_add_signed(step);
                                before.get(there).copied().unwrap_or(true)
                            })
                        });
                }
                if open == before {
                    break;
                }
            }
            for (index, &label) in labels.indexed_iter() {
                let expected = if label == 0 && !open[index] { 1 } else { label };
                assert_eq!(filled[index], expected, "{index:?} {flat:?} round {round}");
            }
        }
    }
}
