//! Fills a polygon or a line drawn by hand, in one slice.
//!
//! A pixel is inside when its center is. A center on the border counts where the inside begins
//! along the row (the left border) and not where it ends, and a corner at the height of a
//! row's centers belongs to the edge that goes on from there; so that polygons with a common border
//! share no pixel and leave none out. The line is closed from its end to its beginning.

use serde::{Deserialize, Serialize, Serializer};

use crate::axis::Axis;
use crate::change::Change;
use crate::error::EditError;
use crate::scene::{RowSpan, Scene};

/// What is inside of a line that crosses itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Winding {
    /// Whatever the line goes around (winding number not zero): right for lines drawn by hand.
    #[default]
    NonZero,
    /// What the line goes around an odd number of times, so that crossings make holes.
    EvenOdd,
}

/// A line in a slice, and the label for what it encloses. Fewer than three corners enclose
/// nothing.
#[derive(Clone, Debug, Serialize)]
pub struct Polygon {
    /// Which way slices are cut.
    pub axis: Axis,
    /// Which slice.
    pub slice: usize,
    /// Corners as `[row, column]` in voxels along [`Axis::in_plane`], whole at voxel centers. The
    /// journal keeps how many there are.
    #[serde(serialize_with = "count")]
    pub corners: Vec<[f64; 2]>,
    /// What is inside where the line crosses itself.
    pub winding: Winding,
    /// What to fill it with, 0 to erase.
    pub label: u8,
}

fn count<S: Serializer>(corners: &[[f64; 2]], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(corners.len() as u64)
}

impl Polygon {
    pub(super) fn plan(&self, scene: &Scene) -> Result<Change, EditError> {
        scene.check_slice(self.axis, self.slice)?;
        if self.corners.as_flattened().iter().any(|v| !v.is_finite()) {
            return Err(EditError::NotFinite { what: "the corners" });
        }
        let gate = scene.gate()?;
        gate.check_gain(self.label)?;
        let [rows, columns] = self.axis.in_plane().map(|axis| scene.shape()[axis.index()]);
        let spans = self.spans(rows, columns);
        let at = self.slice;
        // Rows of a sagittal slice run along the height: each pixel is a row of its own.
        let spans: Vec<RowSpan> = match self.axis {
            Axis::Depth => spans.map(|(j, first, end)| RowSpan::new(at, j, first..end)).collect(),
            Axis::Height => spans.map(|(k, first, end)| RowSpan::new(k, at, first..end)).collect(),
            Axis::Width => spans
                .flat_map(|(k, first, end)| (first..end).map(move |j| (k, j)))
                .map(|(k, j)| RowSpan::new(k, j, at..at + 1))
                .collect(),
        };
        Ok(scene.paint(spans, &gate, self.label))
    }

    /// Row, first column and end of what is inside, in order.
    fn spans(&self, rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        // Where edges cross the centers of each row, and whether downwards.
        let mut crossings: Vec<Vec<(f64, i32)>> = vec![Vec::new(); rows];
        let next = self.corners.iter().cycle().skip(1);
        for (&[from_row, from_column], &[to_row, to_column]) in self.corners.iter().zip(next) {
            let down = if from_row < to_row { 1 } else { -1 };
            let (top, bottom) = (from_row.min(to_row), from_row.max(to_row));
            let first = top.ceil().max(0.0) as usize;
            let end = bottom.ceil().clamp(0.0, rows as f64) as usize;
            for (row, crossings) in crossings.iter_mut().enumerate().take(end).skip(first) {
                let along = (row as f64 - from_row) / (to_row - from_row);
                crossings.push((from_column + along * (to_column - from_column), down));
            }
        }
        let inside = match self.winding {
            Winding::NonZero => |turns: i32, _: usize| turns != 0,
            Winding::EvenOdd => |_: i32, crossed: usize| crossed % 2 == 1,
        };
        crossings.into_iter().enumerate().flat_map(move |(row, mut crossings)| {
            crossings.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut spans: Vec<(usize, usize, usize)> = Vec::new();
            let mut turns = 0;
            for (number, pair) in crossings.windows(2).enumerate() {
                turns += pair[0].1;
                if !inside(turns, number + 1) {
                    continue;
                }
                let first = pair[0].0.ceil().max(0.0) as usize;
                let end = pair[1].0.ceil().clamp(0.0, columns as f64) as usize;
                if first < end {
                    spans.push((row, first, end));
                }
            }
            spans
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Axis as Dimension};

    use super::*;
    use crate::operation::Operation;
    use crate::testing::{Random, session};

    fn polygon(axis: Axis, slice: usize, corners: &[[f64; 2]], winding: Winding) -> Operation {
        Operation::Polygon(Polygon { axis, slice, corners: corners.into(), winding, label: 3 })
    }

    /// How often a line goes around a place, and how many edges lie to its left, by the sums
    /// over edges of the textbook.
    fn around(corners: &[[f64; 2]], [row, column]: [f64; 2]) -> (i32, usize) {
        let (mut turns, mut crossed) = (0, 0);
        for (at, &[r0, c0]) in corners.iter().enumerate() {
            let [r1, c1] = corners[(at + 1) % corners.len()];
            if (r0 <= row) == (r1 <= row) {
                continue;
            }
            if c0 + (row - r0) / (r1 - r0) * (c1 - c0) <= column {
                turns += if r0 < r1 { 1 } else { -1 };
                crossed += 1;
            }
        }
        (turns, crossed)
    }

    #[test]
    fn pixels_are_inside_when_their_centers_are() {
        let mut random = Random::new(2);
        for round in 0..300 {
            let axis = Axis::ALL[round % 3];
            let shape = [6, 9, 8];
            let [rows, columns] = axis.in_plane().map(|a| shape[a.index()]);
            let whole = round % 4 == 0; // corners and borders through centers
            let corners: Vec<[f64; 2]> = (0..random.below(9))
                .map(|_| {
                    [rows, columns].map(|size| {
                        let v = random.unit() * (size as f64 + 4.0) - 2.0;
                        if whole { v.round() } else { v }
                    })
                })
                .collect();
            let winding = [Winding::NonZero, Winding::EvenOdd][round % 2];
            let mut session = session(Array3::zeros(shape));
            session.apply(&polygon(axis, 2, &corners, winding)).unwrap();
            for (index, &label) in session.labels().indexed_iter() {
                let index = [index.0, index.1, index.2];
                let place = axis.in_plane().map(|a| index[a.index()] as f64);
                let (turns, crossed) = around(&corners, place);
                let inside = index[axis.index()] == 2
                    && match winding {
                        Winding::NonZero => turns != 0,
                        Winding::EvenOdd => crossed % 2 == 1,
                    };
                assert_eq!(label == 3, inside, "{corners:?} {index:?}");
            }
        }
    }

    #[test]
    fn polygons_with_a_common_border_share_no_pixel() {
        let mut session = session(Array3::zeros([1, 8, 8]));
        let left = [[1.0, 1.0], [1.0, 4.0], [6.0, 4.0], [6.0, 1.0]];
        let right = [[1.0, 4.0], [1.0, 7.0], [6.0, 7.0], [6.0, 4.0]];
        let first = session.apply(&polygon(Axis::Depth, 0, &left, Winding::NonZero)).unwrap();
        let second = session.apply(&polygon(Axis::Depth, 0, &right, Winding::EvenOdd)).unwrap();
        assert_eq!((first.voxels, second.voxels), (15, 15));
        assert_eq!(session.tally().count(3), 30);
    }

    #[test]
    fn a_star_has_a_hole_only_by_even_odd() {
        let star: Vec<[f64; 2]> = (0..5)
            .map(|n| {
                let (sin, cos) = (f64::from(n) * 4.0 / 5.0 * std::f64::consts::PI).sin_cos();
                [10.0 - 9.0 * cos, 10.0 + 9.0 * sin]
            })
            .collect();
        let middle = |winding| {
            let mut session = session(Array3::zeros([1, 21, 21]));
            session.apply(&polygon(Axis::Depth, 0, &star, winding)).unwrap();
            session.labels().index_axis(Dimension(0), 0)[[10, 10]]
        };
        assert_eq!((middle(Winding::NonZero), middle(Winding::EvenOdd)), (3, 0));
    }

    #[test]
    fn a_line_far_outside_or_without_a_place_does_no_harm() {
        let mut session = session(Array3::zeros([2, 4, 4]));
        let huge = [[-1e300, -1e300], [-1e300, 1e300], [1e300, 1e300], [1e300, -1e300]];
        let all = session.apply(&polygon(Axis::Depth, 1, &huge, Winding::NonZero)).unwrap();
        assert_eq!(all.voxels, 16);
        let nan = [[0.0, f64::NAN], [1.0, 1.0], [2.0, 0.0]];
        let refused = session.apply(&polygon(Axis::Depth, 1, &nan, Winding::NonZero));
        assert!(matches!(refused, Err(EditError::NotFinite { .. })));
        let nowhere = session.apply(&polygon(Axis::Depth, 2, &huge, Winding::NonZero));
        assert!(matches!(nowhere, Err(EditError::Slice { index: 2, slices: 2, .. })));
    }
}
