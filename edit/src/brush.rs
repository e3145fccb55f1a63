//! Brush and eraser: which voxels a sweep from one place to the next covers.
//!
//! A voxel is covered when its center lies no farther than the radius from the swept line, in
//! millimeters, or when the line passes through it (so that a brush smaller than a voxel still
//! paints where it points). The line is looked at every half voxel; a voxel is the nearest to a
//! place, upwards at the half.

use serde::{Deserialize, Serialize};

use crate::axis::Axis;
use crate::bounds::Bounds;
use crate::error::EditError;
use crate::label_set::LabelSet;
use crate::metric::{Metric, Place};
use crate::scene::RowSpan;
use crate::values::ValueRange;

/// Coordinates beyond this are a mistake and would take forever.
const FARTHEST: f64 = 1e5;

/// Larger radii are a mistake.
const LARGEST_RADIUS_MM: f64 = 1e4;

/// The form of a brush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrushShape {
    /// A disc within one slice: the one that the stroke began in.
    Disc(Axis),
    /// A ball.
    Sphere,
}

/// A brush, or an eraser: what `label` 0 makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Brush {
    /// Disc or ball.
    pub shape: BrushShape,
    /// Its radius; in pixels where the spacing is unknown.
    pub radius_mm: f64,
    /// What it paints, 0 to erase.
    pub label: u8,
    /// It changes only voxels of these labels, within what the rules allow. An eraser of one
    /// label names it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<LabelSet>,
    /// It changes only voxels with such image values, within what the rules allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<ValueRange>,
}

impl Brush {
    /// A brush that paints over whatever the rules allow.
    pub fn new(shape: BrushShape, radius_mm: f64, label: u8) -> Self {
        Self { shape, radius_mm, label, over: None, values: None }
    }

    pub(crate) fn check(&self) -> Result<(), EditError> {
        let found = self.radius_mm;
        if !found.is_finite() {
            return Err(EditError::NotFinite { what: "the radius" });
        }
        if found <= 0.0 {
            return Err(EditError::NotPositive { what: "a radius", found });
        }
        if found > LARGEST_RADIUS_MM {
            return Err(EditError::TooLarge { what: "a radius", limit: LARGEST_RADIUS_MM, found });
        }
        Ok(())
    }

    /// The rows that a sweep covers, in order. `slice` is that of a disc.
    pub(crate) fn sweep(
        &self,
        metric: &Metric,
        shape: [usize; 3],
        slice: Option<(Axis, usize)>,
        from: Place,
        to: Place,
    ) -> Vec<RowSpan> {
        let (mut from, mut to) = (from, to);
        let mut limit = Bounds::whole(shape);
        if let Some((axis, index)) = slice {
            from[axis.index()] = index as f64;
            to[axis.index()] = index as f64;
            let Some(flat) = limit.at_slice(axis, index) else { return Vec::new() };
            limit = flat;
        }
        let capsule = Capsule::new(metric, self.radius_mm, from, to);
        let mut rows = capsule.rows(&limit);
        if !capsule.covers_a_voxel_everywhere(slice.map(|(axis, _)| axis)) {
            add_line(&mut rows, &limit, from, to);
        }
        rows
    }
}

/// That a place is one.
pub(crate) fn check_place(place: Place) -> Result<Place, EditError> {
    if place.iter().any(|v| !v.is_finite()) {
        return Err(EditError::NotFinite { what: "the place" });
    }
    match place.iter().find(|v| v.abs() > FARTHEST) {
        Some(&found) => Err(EditError::TooLarge { what: "a coordinate", limit: FARTHEST, found }),
        None => Ok(place),
    }
}

/// The voxel nearest to a place, if the volume has one there.
pub(crate) fn voxel_at(place: Place, limit: &Bounds) -> Option<[usize; 3]> {
    let rounded = place.map(|v| (v + 0.5).floor());
    if rounded.iter().any(|&v| v < 0.0) {
        return None;
    }
    let index = rounded.map(|v| v as usize);
    limit.contains(index).then_some(index)
}

/// All places no farther than a radius from a line.
struct Capsule<'a> {
    metric: &'a Metric,
    radius_mm: f64,
    from: Place,
    to: Place,
    step: Place,
    /// Scalar products of `step` with each axis.
    step_lowered: Place,
    step_squared: f64,
    /// Square of the radius, and a little for rounding.
    within: f64,
}

impl<'a> Capsule<'a> {
    fn new(metric: &'a Metric, radius_mm: f64, from: Place, to: Place) -> Self {
        let step = [0, 1, 2].map(|axis| to[axis] - from[axis]);
        Self {
            metric,
            radius_mm,
            from,
            to,
            step,
            step_lowered: metric.lower(step),
            step_squared: metric.dot(step, step),
            within: radius_mm * radius_mm * (1.0 + 1e-9),
        }
    }

    /// Whether the center of some voxel lies within the radius of any place, so that a line
    /// through the capsule cannot pass through a voxel that the capsule leaves out.
    fn covers_a_voxel_everywhere(&self, flat: Option<Axis>) -> bool {
        // A place is at most half a step along each axis from the nearest center.
        let spacing = self.metric.spacing_mm();
        let farthest: f64 = Axis::ALL
            .into_iter()
            .filter(|&axis| Some(axis) != flat)
            .map(|axis| spacing[axis.index()] / 2.0)
            .sum();
        farthest <= self.radius_mm
    }

    fn rows(&self, limit: &Bounds) -> Vec<RowSpan> {
        let extent = self.metric.extent(self.radius_mm);
        let range = |axis: usize| {
            let low = self.from[axis].min(self.to[axis]) - extent[axis];
            let high = self.from[axis].max(self.to[axis]) + extent[axis];
            let first = (low - 1e-6).ceil().max(limit.start[axis] as f64) as usize;
            let end = ((high + 1e-6).floor() + 1.0).clamp(0.0, limit.end[axis] as f64) as usize;
            first..end
        };
        let mut rows = Vec::new();
        for k in range(0) {
            for j in range(1) {
                let Some((low, high)) = self.interval(k, j) else { continue };
                // One voxel more on both sides, then exactly by the definition.
                let mut first = (low.floor() - 1.0).max(limit.start[2] as f64) as usize;
                let mut end = (high.ceil() + 2.0).clamp(0.0, limit.end[2] as f64) as usize;
                while first < end && !self.contains([k, j, first]) {
                    first += 1;
                }
                while first < end && !self.contains([k, j, end - 1]) {
                    end -= 1;
                }
                if first < end {
                    rows.push(RowSpan::new(k, j, first..end));
                }
            }
        }
        rows
    }

    fn contains(&self, index: [usize; 3]) -> bool {
        let place = [0, 1, 2].map(|axis| index[axis] as f64 - self.from[axis]);
        let along = if self.step_squared > 0.0 {
            (self.metric.dot(place, self.step) / self.step_squared).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let off = [0, 1, 2].map(|axis| place[axis] - along * self.step[axis]);
        self.metric.dot(off, off) <= self.within
    }

    /// Between which columns row (k, j) lies within the capsule, about: it is convex, so these
    /// are the outermost ends of what the two balls and the tube between them cut out.
    fn interval(&self, k: usize, j: usize) -> Option<(f64, f64)> {
        let mut ends: Option<(f64, f64)> = None;
        let mut cover = |part: Option<(f64, f64)>| {
            if let Some((low, high)) = part {
                let (a, b) = ends.unwrap_or((low, high));
                ends = Some((a.min(low), b.max(high)));
            }
        };
        let within = self.within * (1.0 + 1e-6);
        let unit = self.metric.lower([0.0, 0.0, 1.0]);
        for center in [self.from, self.to] {
            let off = [k as f64 - center[0], j as f64 - center[1], 0.0];
            let (half, rest) = (self.metric.dot(off, [0.0, 0.0, 1.0]), self.metric.dot(off, off));
            cover(solve([unit[2], half, rest - within], unit[2], center[2]));
        }
        if self.step_squared > 0.0 {
            let off = [k as f64 - self.from[0], j as f64 - self.from[1], 0.0];
            let share = self.step_lowered[2] / self.step_squared;
            let along = self.metric.dot(off, self.step);
            let square = [
                unit[2] - self.step_lowered[2] * share,
                self.metric.dot(off, [0.0, 0.0, 1.0]) - along * share,
                self.metric.dot(off, off) - along * along / self.step_squared - within,
            ];
            let part = solve(square, unit[2], self.from[2]);
            // Only where the nearest place of the line lies between its ends.
            cover(part.and_then(|(low, high)| {
                if share == 0.0 {
                    return (0.0..=self.step_squared).contains(&along).then_some((low, high));
                }
                let at = |t: f64| self.from[2] + (t - along / self.step_squared) / share;
                let (a, b) = (at(0.0).min(at(1.0)), at(0.0).max(at(1.0)));
                (low.max(a) <= high.min(b)).then_some((low.max(a), high.min(b)))
            }));
        }
        ends
    }
}

/// Between which `x` the square `a (x - center)² + 2 b (x - center) + c` is not above zero. An
/// `a` that is nothing beside `scale` is rounding.
fn solve([a, b, c]: [f64; 3], scale: f64, center: f64) -> Option<(f64, f64)> {
    if a <= 1e-12 * scale {
        // The row runs along the tube: all of it or nothing.
        return (c <= 0.0).then_some((f64::NEG_INFINITY, f64::INFINITY));
    }
    let root = b * b - a * c;
    (root >= 0.0).then(|| (center + (-b - root.sqrt()) / a, center + (-b + root.sqrt()) / a))
}

/// Adds the voxels that a line passes through to rows, which stay in order.
fn add_line(rows: &mut Vec<RowSpan>, limit: &Bounds, from: Place, to: Place) {
    let longest = (0..3).map(|axis| (to[axis] - from[axis]).abs()).fold(0.0, f64::max);
    let steps = (longest * 2.0).ceil().max(1.0);
    let samples = (0..=steps as usize).filter_map(|number| {
        let along = number as f64 / steps;
        let place = [0, 1, 2].map(|axis| from[axis] + along * (to[axis] - from[axis]));
        voxel_at(place, limit)
    });
    rows.extend(samples.map(|[k, j, i]| RowSpan::new(k, j, i..i + 1)));
    rows.sort_unstable();
    rows.dedup_by(|next, row| {
        let (here, there) = (row.columns(), next.columns());
        let joins = next.row() == row.row() && there.start <= here.end;
        if joins {
            let [k, j] = row.row();
            *row = RowSpan::new(k, j, here.start..here.end.max(there.end));
        }
        joins
    });
}

#[cfg(test)]
mod tests {
    use lamina_io::{Affine, Geometry};
    use ndarray::Array3;

    use super::*;
    use crate::testing::Random;

    const SHAPE: [usize; 3] = [7, 11, 13];

    /// The definition, voxel by voxel.
    fn by_definition(
        metric: &Metric,
        radius_mm: f64,
        slice: Option<(Axis, usize)>,
        [from, to]: [Place; 2],
    ) -> Array3<bool> {
        let flat = |mut place: Place| {
            if let Some((axis, index)) = slice {
                place[axis.index()] = index as f64;
            }
            place
        };
        let (from, to) = (flat(from), flat(to));
        let longest = (0..3).map(|axis| (to[axis] - from[axis]).abs()).fold(0.0, f64::max);
        let steps = (longest * 2.0).ceil().max(1.0) as usize;
        let on_line = |index: [usize; 3]| {
            (0..=steps).any(|n| {
                let t = n as f64 / steps as f64;
                (0..3).all(|a| {
                    let v = from[a] + t * (to[a] - from[a]);
                    (v + 0.5).floor() == index[a] as f64
                })
            })
        };
        Array3::from_shape_fn(SHAPE, |(k, j, i)| {
            let index = [k, j, i];
            if slice.is_some_and(|(axis, at)| index[axis.index()] != at) {
                return false;
            }
            // The nearest place of the line, by trying finely and then more finely.
            let place = index.map(|v| v as f64);
            let at = |t: f64| {
                metric.distance_mm(place, [0, 1, 2].map(|a| from[a] + t * (to[a] - from[a])))
            };
            let (mut low, mut high) = (0.0, 1.0);
            for _ in 0..200 {
                let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
                if at(a) <= at(b) { high = b } else { low = a }
            }
            at(low).min(at(0.0)).min(at(1.0)) <= radius_mm * (1.0 + 1e-10) || on_line(index)
        })
    }

    fn marked(rows: &[RowSpan]) -> Array3<bool> {
        let mut marks = Array3::from_elem(SHAPE, false);
        for row in rows {
            let [k, j] = row.row();
            for i in row.columns() {
                assert!(!marks[[k, j, i]], "covered twice");
                marks[[k, j, i]] = true;
            }
        }
        marks
    }

    #[test]
    fn a_sweep_is_its_definition_in_millimeters() {
        let straight = Affine::from_spacing_origin([0.6, 0.9, 3.3], [4.0, 5.0, 6.0]);
        let sheared = [[-0.6, 0.2, 0.0], [0.1, 0.9, 0.4], [0.0, 0.5, 3.0]];
        let mut random = Random::new(3);
        for transform in [straight, Affine::from_columns(sheared, [1.0; 3])] {
            let geometry = Geometry::new(SHAPE, transform).unwrap();
            let metric = Metric::new(&geometry);
            for round in 0..250 {
                let mut place = || {
                    [0, 1, 2].map(|a| {
                        let v = random.unit() * (SHAPE[a] as f64 + 4.0) - 2.0;
                        if round % 3 == 0 { v.round() } else { v }
                    })
                };
                let from = place();
                let to = if round % 5 == 0 { from } else { place() };
                let radius_mm = if round % 7 == 0 { 0.2 } else { 0.3 + 3.0 * random.unit() };
                let (shape, slice) = match round % 4 {
                    0 => (BrushShape::Sphere, None),
                    n => {
                        let axis = Axis::ALL[n - 1];
                        let slices = SHAPE[axis.index()];
                        (BrushShape::Disc(axis), Some((axis, random.below(slices))))
                    }
                };
                let brush = Brush::new(shape, radius_mm, 1);
                let rows = brush.sweep(&metric, SHAPE, slice, from, to);
                assert!(rows.is_sorted());
                let expected = by_definition(&metric, radius_mm, slice, [from, to]);
                assert_eq!(marked(&rows), expected, "{from:?} {to:?} {radius_mm} {slice:?}");
            }
        }
    }

    #[test]
    fn centers_exactly_at_the_radius_are_covered() {
        let geometry =
            Geometry::new(SHAPE, Affine::from_spacing_origin([0.1, 0.1, 0.3], [0.0; 3])).unwrap();
        let metric = Metric::new(&geometry);
        let brush = Brush::new(BrushShape::Sphere, 0.3, 1);
        let center = [3.0, 5.0, 6.0];
        let marks = marked(&brush.sweep(&metric, SHAPE, None, center, center));
        assert!(marks[[2, 5, 6]] && marks[[4, 5, 6]] && marks[[3, 2, 6]] && marks[[3, 5, 9]]);
        assert!(!marks[[3, 5, 10]] && !marks[[2, 5, 7]]);
    }

    #[test]
    fn useless_brushes_and_places_are_refused() {
        let brush = |radius_mm| Brush::new(BrushShape::Sphere, radius_mm, 1).check();
        assert!(matches!(brush(0.0), Err(EditError::NotPositive { .. })));
        assert!(matches!(brush(f64::NAN), Err(EditError::NotFinite { .. })));
        assert!(matches!(brush(1e9), Err(EditError::TooLarge { .. })));
        assert!(check_place([0.0, f64::INFINITY, 0.0]).is_err());
        assert!(check_place([0.0, -1e9, 0.0]).is_err());
    }
}
