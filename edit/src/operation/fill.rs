//! What hangs together around a seed: by label (fill) or by image value (grow).

use serde::{Deserialize, Serialize};

use crate::axis::Axis;
use crate::bounds::Bounds;
use crate::change::Change;
use crate::components::Neighbors;
use crate::error::EditError;
use crate::scene::{RowSpan, Scene, Stop};
use crate::values::ValueRange;

/// Relabels the voxels that have the seed's label and hang together with it. Voxels that the
/// rules protect are walls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fill {
    /// Where to begin, `[depth, height, width]`.
    pub seed: [usize; 3],
    /// Only within the seed's slice across this axis.
    pub slice: Option<Axis>,
    /// What hangs together.
    pub neighbors: Neighbors,
    /// The new label.
    pub label: u8,
}

impl Fill {
    pub(super) fn plan(&self, scene: &Scene, stop: Stop<'_>) -> Result<Change, EditError> {
        let gate = scene.gate()?;
        gate.check_gain(self.label)?;
        let here = scene.label_at(self.seed)?;
        if here == self.label || !gate.labels_allow(here, self.label) {
            return Ok(Change::default());
        }
        let limit = limit(scene, self.seed, self.slice);
        let inside = |index| scene.labels[index] == here && gate.value_allows(index);
        let spans = spread(&limit, self.seed, self.neighbors, u64::MAX, stop, inside)?;
        Ok(scene.paint(spans, &gate, self.label))
    }
}

/// Which image values are alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrowRange {
    /// Those in a range.
    Within(ValueRange),
    /// Those that differ from the seed's by no more than this.
    AroundSeed(f64),
}

/// Labels the voxels of like image values that hang together with the seed. Voxels that have the
/// label already are walked through, those that the rules protect are walls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grow {
    /// Where to begin, `[depth, height, width]`.
    pub seed: [usize; 3],
    /// Which values are alike.
    pub range: GrowRange,
    /// Only so far from the seed; in pixels where the spacing is unknown.
    pub radius_mm: Option<f64>,
    /// Only within the seed's slice across this axis.
    pub slice: Option<Axis>,
    /// What hangs together.
    pub neighbors: Neighbors,
    /// More voxels than this are taken for a leak: nothing is changed then.
    pub max_voxels: u64,
    /// The label.
    pub label: u8,
}

impl Grow {
    pub(super) fn plan(&self, scene: &Scene, stop: Stop<'_>) -> Result<Change, EditError> {
        let image = scene.image.as_deref().ok_or(EditError::NoImage)?;
        let gate = scene.gate()?;
        gate.check_gain(self.label)?;
        scene.label_at(self.seed)?;
        let range = match self.range {
            GrowRange::Within(range) => range,
            GrowRange::AroundSeed(difference) => {
                let value = image.value(self.seed);
                ValueRange { low: value - difference, high: value + difference }
            }
        };
        let gate = gate.in_range(Some(range))?;
        let whole = limit(scene, self.seed, self.slice);
        let center = self.seed.map(|v| v as f64);
        let limit = match self.radius_mm {
            None => whole,
            Some(radius_mm) if radius_mm.is_nan() => {
                return Err(EditError::NotFinite { what: "the radius" });
            }
            Some(radius_mm) => {
                let extent = scene.metric.extent(radius_mm.max(0.0)).map(|v| (v + 1e-6) as usize);
                let [k, j, i] = self.seed;
                Bounds { start: self.seed, end: [k + 1, j + 1, i + 1] }.grown(extent, &whole)
            }
        };
        let farthest = self.radius_mm.map(|radius_mm| radius_mm * (1.0 + 1e-9));
        let inside = |index: [usize; 3]| {
            let old = scene.labels[index];
            let near = farthest.is_none_or(|farthest| {
                scene.metric.distance_mm(index.map(|v| v as f64), center) <= farthest
            });
            near && (old == self.label || gate.labels_allow(old, self.label))
                && gate.value_allows(index)
        };
        let spans = spread(&limit, self.seed, self.neighbors, self.max_voxels, stop, inside)?;
        Ok(scene.paint(spans, &gate, self.label))
    }
}

/// The volume, or the seed's slice of it.
fn limit(scene: &Scene, seed: [usize; 3], slice: Option<Axis>) -> Bounds {
    let whole = Bounds::whole(scene.shape());
    slice.and_then(|axis| whole.at_slice(axis, seed[axis.index()])).unwrap_or(whole)
}

/// The pieces of rows in which `inside` is true and that hang together with the seed, in order.
fn spread(
    limit: &Bounds,
    seed: [usize; 3],
    neighbors: Neighbors,
    max_voxels: u64,
    stop: Stop<'_>,
    inside: impl Fn([usize; 3]) -> bool,
) -> Result<Vec<RowSpan>, EditError> {
    if !limit.contains(seed) || !inside(seed) {
        return Ok(Vec::new());
    }
    let beyond = usize::from(neighbors == Neighbors::Corners);
    let rows: &[[isize; 2]] = match neighbors {
        Neighbors::Faces => &[[0, -1], [0, 1], [-1, 0], [1, 0]],
        Neighbors::Corners => {
            &[[0, -1], [0, 1], [-1, 0], [1, 0], [-1, -1], [-1, 1], [1, -1], [1, 1]]
        }
    };
    let (low, high) = (limit.start[2], limit.end[2]);
    let mut seen = Marks::new(limit);
    let mut spans = Vec::new();
    let mut voxels = 0;
    let mut open = vec![seed];
    while let Some([k, j, i]) = open.pop() {
        if seen.get([k, j, i]) {
            continue;
        }
        let mut first = i;
        while first > low && !seen.get([k, j, first - 1]) && inside([k, j, first - 1]) {
            first -= 1;
        }
        let mut end = i + 1;
        while end < high && !seen.get([k, j, end]) && inside([k, j, end]) {
            end += 1;
        }
        (first..end).for_each(|i| seen.set([k, j, i]));
        spans.push(RowSpan::new(k, j, first..end));
        voxels += (end - first) as u64;
        if voxels > max_voxels {
            return Err(EditError::Leaked { limit: max_voxels });
        }
        if spans.len() % 1024 == 0 && stop() {
            return Err(EditError::Stopped);
        }
        for [dk, dj] in rows {
            let (k, j) = (k.wrapping_add_signed(*dk), j.wrapping_add_signed(*dj));
            if !limit.slices(Axis::Depth).contains(&k) || !limit.slices(Axis::Height).contains(&j) {
                continue;
            }
            let mut before = false;
            for i in first.saturating_sub(beyond).max(low)..(end + beyond).min(high) {
                let new = !seen.get([k, j, i]) && inside([k, j, i]);
                if new && !before {
                    open.push([k, j, i]);
                }
                before = new;
            }
        }
    }
    spans.sort_unstable();
    Ok(spans)
}

/// One bit for each voxel of a box.
struct Marks {
    limit: Bounds,
    bits: Vec<u64>,
}

impl Marks {
    fn new(limit: &Bounds) -> Self {
        Self { limit: *limit, bits: vec![0; limit.voxels().div_ceil(64)] }
    }

    fn at(&self, [k, j, i]: [usize; 3]) -> usize {
        let [_, height, width] = self.limit.shape();
        let [k0, j0, i0] = self.limit.start;
        ((k - k0) * height + (j - j0)) * width + (i - i0)
    }

    fn get(&self, index: [usize; 3]) -> bool {
        let at = self.at(index);
        self.bits[at / 64] >> (at % 64) & 1 == 1
    }

    fn set(&mut self, index: [usize; 3]) {
        let at = self.at(index);
        self.bits[at / 64] |= 1 << (at % 64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ndarray::Array3;

    use super::*;
    use crate::label_set::LabelSet;
    use crate::operation::Operation;
    use crate::rules::Rules;
    use crate::testing::{Random, blobs, image, session};

    const SHAPE: [usize; 3] = [5, 8, 9];

    /// Voxel by voxel.
    fn by_walking(
        seed: [usize; 3],
        slice: Option<Axis>,
        neighbors: Neighbors,
        inside: impl Fn([usize; 3]) -> bool,
    ) -> Array3<bool> {
        let mut reached = Array3::from_elem(SHAPE, false);
        let mut open = if inside(seed) { vec![seed] } else { Vec::new() };
        while let Some(here) = open.pop() {
            if std::mem::replace(&mut reached[here], true) {
                continue;
            }
            for step in 0..27_isize {
                let step = [step / 9 - 1, step / 3 % 3 - 1, step % 3 - 1];
                if neighbors == Neighbors::Faces && step.iter().filter(|&&s| s != 0).count() > 1 {
                    continue;
                }
                if slice.is_some_and(|axis| step[axis.index()] != 0) {
                    continue;
                }
                let there = [0, 1, 2].map(|a| here[a].wrapping_add_signed(step[a]));
                if reached.get(there) == Some(&false) && inside(there) {
                    open.push(there);
                }
            }
        }
        reached
    }

    #[test]
    fn filling_reaches_what_walking_reaches() {
        let mut random = Random::new(8);
        for round in 0..200 {
            let labels = blobs(SHAPE, 3, round);
            let seed = SHAPE.map(|size| random.below(size));
            let slice =
                [None, Some(Axis::Depth), Some(Axis::Height), Some(Axis::Width)][random.below(4)];
            let neighbors = [Neighbors::Faces, Neighbors::Corners][random.below(2)];
            let mut session = session(labels.clone());
            let fill = Fill { seed, slice, neighbors, label: 9 };
            session.apply(&Operation::Fill(fill)).unwrap();
            let reached = by_walking(seed, slice, neighbors, |index| labels[index] == labels[seed]);
            let expected =
                Array3::from_shape_fn(
                    SHAPE,
                    |index| {
                        if reached[index] { 9 } else { labels[index] }
                    },
                );
            assert_eq!(session.labels(), &expected);
        }
    }

    #[test]
    fn growing_reaches_like_values_within_the_radius() {
        let mut random = Random::new(9);
        for round in 0..200 {
            let labels = blobs(SHAPE, 4, round + 1000);
            let values = blobs(SHAPE, 6, round).mapv(f32::from);
            let seed = SHAPE.map(|size| random.below(size));
            let neighbors = [Neighbors::Faces, Neighbors::Corners][random.below(2)];
            let radius_mm = (round % 2 == 0).then(|| random.unit() * 6.0);
            let mut session = session(labels.clone());
            session.set_image(Some(Arc::new(image(values.clone())))).unwrap();
            session.set_rules(Rules { locked: LabelSet::from([3]), ..Rules::default() });
            let metric = *session.scene().metric();
            let grow = Grow {
                seed,
                range: GrowRange::AroundSeed(1.5),
                radius_mm,
                slice: None,
                neighbors,
                max_voxels: 10_000,
                label: 1,
            };
            session.apply(&Operation::Grow(grow)).unwrap();
            let reached = by_walking(seed, None, neighbors, |index| {
                let far = metric.distance_mm(index.map(|v| v as f64), seed.map(|v| v as f64));
                (values[index] - values[seed]).abs() <= 1.5
                    && labels[index] != 3
                    && radius_mm.is_none_or(|radius_mm| far <= radius_mm)
            });
            let expected =
                Array3::from_shape_fn(
                    SHAPE,
                    |index| {
                        if reached[index] { 1 } else { labels[index] }
                    },
                );
            assert_eq!(session.labels(), &expected);
        }
    }

    #[test]
    fn a_leak_changes_nothing() {
        let mut session = session(Array3::zeros(SHAPE));
        session.set_image(Some(Arc::new(image(Array3::zeros(SHAPE))))).unwrap();
        let grow = |max_voxels| {
            Operation::Grow(Grow {
                seed: [2, 2, 2],
                range: GrowRange::Within(ValueRange::between(-1.0, 1.0)),
                radius_mm: None,
                slice: None,
                neighbors: Neighbors::Faces,
                max_voxels,
                label: 1,
            })
        };
        assert!(matches!(session.apply(&grow(359)), Err(EditError::Leaked { limit: 359 })));
        assert_eq!(session.tally().count(1), 0);
        assert_eq!(session.apply(&grow(360)).unwrap().voxels, 360);
    }

    #[test]
    fn a_seed_outside_is_refused() {
        let mut session = session(Array3::zeros(SHAPE));
        let fill = Fill { seed: [0, 8, 0], slice: None, neighbors: Neighbors::Faces, label: 1 };
        let refused = session.apply(&Operation::Fill(fill));
        assert!(matches!(refused, Err(EditError::Outside { index: [0, 8, 0], .. })));
    }
}
