//! Grows or shrinks a label by a distance.
//!
//! Growing takes the voxels whose centers lie no farther than that from the center of a voxel of
//! the label; shrinking gives up those that lie no farther than that from one that is not of the
//! label. Beyond the border of the volume is neither. Distances are exact.

use lamina_io::squared_distances;
use serde::{Deserialize, Serialize};

use super::{Over, Reach, mask_of, row_of};
use crate::axis::Axis;
use crate::change::Change;
use crate::error::EditError;
use crate::label_set::LabelSet;
use crate::scene::{Scene, Stop};

/// By how much to grow a label, or, below zero, to shrink it. What it gives up becomes
/// background.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Margin {
    /// The label.
    pub label: u8,
    /// How far; in pixels where the spacing is unknown.
    pub margin_mm: f64,
    /// In space, or within slices.
    pub reach: Reach,
    /// What growing may take.
    pub over: Over,
}

impl Margin {
    pub(super) fn plan(&self, scene: &Scene, stop: Stop<'_>) -> Result<Change, EditError> {
        if !self.margin_mm.is_finite() {
            return Err(EditError::NotFinite { what: "the margin" });
        }
        let gate = scene.gate()?;
        gate.check_gain(self.label)?;
        let (limit, flat) = self.reach.limit(scene)?;
        let Some(found) = scene.bounds_of(&limit, self.label) else {
            return Ok(Change::default());
        };
        if stop() {
            return Err(EditError::Stopped);
        }
        let spacing_mm = scene.metric.spacing_mm();
        let far = self.margin_mm.abs();
        if self.margin_mm > 0.0 {
            let mut by = spacing_mm.map(|step| (far / step * (1.0 + 1e-9)) as usize);
            if let Some(axis) = flat {
                by[axis.index()] = 0;
            }
            let bounds = found.grown(by, &limit);
            let mask = mask_of(scene, &bounds, self.label);
            let squared = squared_distances(&mask, spacing_mm, flat.map(Axis::index), far);
            let gate = self.over.gate(gate, None);
            return scene.rewrite(&bounds, &gate, stop, |first, row| {
                for (new, squared) in row.iter_mut().zip(row_of(&squared, &bounds, first)) {
                    if squared.is_finite() {
                        *new = self.label;
                    }
                }
            });
        }
        let bounds = found.grown([1; 3], &limit);
        let outside = mask_of(scene, &bounds, self.label).mapv(|on| !on);
        let squared = squared_distances(&outside, spacing_mm, flat.map(Axis::index), far);
        let gate = gate.over(LabelSet::from([self.label]));
        scene.rewrite(&bounds, &gate, stop, |first, row| {
            for (new, squared) in row.iter_mut().zip(row_of(&squared, &bounds, first)) {
                if squared.is_finite() {
                    *new = 0; // the gate lets only the label's own voxels go
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::axis::Axis;
    use crate::operation::Operation;
    use crate::testing::{Random, blobs, session};

    #[test]
    fn margins_are_their_definition() {
        let mut random = Random::new(6);
        let spacing_mm = [2.5, 0.9, 0.7];
        for round in 0..120 {
            let labels = blobs([5, 8, 9], 3, round);
            let flat = [None, Some(Axis::Depth), Some(Axis::Height), Some(Axis::Width)]
                [round as usize % 4];
            let margin_mm = (random.unit() - 0.5) * 7.0;
            let over = [Over::Background, Over::Any][random.below(2)];
            let margin = Margin {
                label: 1,
                margin_mm,
                reach: flat.map_or(Reach::Volume, Reach::EachSlice),
                over,
            };
            let mut session = session(labels.clone());
            session.apply(&Operation::Margin(margin)).unwrap();
            let expected = Array3::from_shape_fn(labels.dim(), |(k, j, i)| {
                let here = [k, j, i];
                let old = labels[here];
                let grows = margin_mm > 0.0;
                let near = labels.indexed_iter().any(|((k, j, i), &label)| {
                    let there = [k, j, i];
                    let far: f64 = (0..3)
                        .map(|a| ((here[a] as f64 - there[a] as f64) * spacing_mm[a]).powi(2))
                        .sum();
                    (label == 1) == grows
                        && flat.is_none_or(|axis| here[axis.index()] == there[axis.index()])
                        && far <= margin_mm * margin_mm
                });
                match (grows, near) {
                    (true, true) if old == 0 || over == Over::Any => 1,
                    (false, true) if old == 1 => 0,
                    _ => old,
                }
            });
            assert_eq!(session.labels(), &expected, "{margin_mm} {flat:?}");
        }
    }

    #[test]
    fn a_margin_reaches_exactly_to_the_voxel_at_its_distance() {
        let mut labels = Array3::zeros([3, 1, 15]);
        labels[[1, 0, 7]] = 1;
        let mut session = session(labels);
        // 2.5 mm up and down; along the row 2.1 mm is three voxels of 0.7.
        for (margin_mm, voxels) in [(2.1, 7), (2.49, 7), (2.5, 9)] {
            let reach = Reach::Volume;
            let margin = Margin { label: 1, margin_mm, reach, over: Over::Any };
            session.apply(&Operation::Margin(margin)).unwrap();
            assert_eq!(session.tally().count(1), voxels, "{margin_mm}");
            session.undo().unwrap();
        }
    }
}
