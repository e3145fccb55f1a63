//! Affine transforms of three-dimensional space, in `f64`.
//!
//! Only the algebra; what a transform means is said by its owner, see
//! [`Geometry`](crate::Geometry).

use serde::{Deserialize, Serialize};

/// A 4x4 matrix, by rows, whose last row is `0 0 0 1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affine([[f64; 4]; 4]);

/// Below this share of the product of its column lengths a determinant counts as zero.
const SINGULAR: f64 = 1e-12;

const LAST_ROW: [f64; 4] = [0.0, 0.0, 0.0, 1.0];

impl Affine {
    /// The transform that changes nothing.
    pub const fn identity() -> Self {
        Self::from_columns([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [0.0; 3])
    }

    /// The transform with these rows.
    pub const fn from_rows(rows: [[f64; 4]; 4]) -> Self {
        Self(rows)
    }

    /// The transform that takes the unit steps to `steps` and zero to `origin`.
    pub const fn from_columns(steps: [[f64; 3]; 3], origin: [f64; 3]) -> Self {
        let [x, y, z] = steps;
        Self([
            [x[0], y[0], z[0], origin[0]],
            [x[1], y[1], z[1], origin[1]],
            [x[2], y[2], z[2], origin[2]],
            LAST_ROW,
        ])
    }

    /// Axes along the world's, with these steps (x, y, z), first voxel at `origin_mm`.
    pub const fn from_spacing_origin(spacing_mm: [f64; 3], origin_mm: [f64; 3]) -> Self {
        let [x, y, z] = spacing_mm;
        Self::from_columns([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, z]], origin_mm)
    }

    /// The matrix, row by row.
    pub const fn rows(&self) -> [[f64; 4]; 4] {
        self.0
    }

    /// What a step of one along input axis `axis` becomes.
    pub fn step(&self, axis: usize) -> [f64; 3] {
        [self.0[0][axis], self.0[1][axis], self.0[2][axis]]
    }

    /// Where zero goes.
    pub fn origin(&self) -> [f64; 3] {
        self.step(3)
    }

    /// How long each of the three steps is.
    pub fn step_lengths(&self) -> [f64; 3] {
        [0, 1, 2].map(|axis| length(self.step(axis)))
    }

    /// Where `point` goes.
    pub fn apply(&self, point: [f64; 3]) -> [f64; 3] {
        let [x, y, z] = point;
        [0, 1, 2].map(|row| {
            let [a, b, c, d] = self.0[row];
            a * x + b * y + c * z + d
        })
    }

    /// `other` first, then `self`.
    #[must_use]
    pub fn compose(&self, other: &Self) -> Self {
        let mut rows = [LAST_ROW; 4];
        for (row, out) in rows.iter_mut().take(3).enumerate() {
            for (column, cell) in out.iter_mut().enumerate() {
                *cell = (0..4).map(|k| self.0[row][k] * other.0[k][column]).sum();
            }
        }
        Self(rows)
    }

    /// Determinant of the upper left 3x3: a voxel's volume, negative if axes are left-handed.
    pub fn determinant(&self) -> f64 {
        dot(self.step(0), cross(self.step(1), self.step(2)))
    }

    /// The first row that is not finite, or the last if it is not `0 0 0 1`.
    pub(crate) fn wrong_row(&self) -> Option<[f64; 4]> {
        let wrong = |row: &[f64; 4]| row.iter().any(|v| !v.is_finite());
        let last = (self.0[3] != LAST_ROW).then_some(self.0[3]);
        self.0.into_iter().find(wrong).or(last)
    }

    /// The transform back, or `None` where there is none.
    pub fn inverse(&self) -> Option<Self> {
        let determinant = self.determinant();
        let product: f64 = self.step_lengths().iter().product();
        let invertible = product.is_finite() && determinant.abs() > SINGULAR * product;
        if !invertible {
            return None;
        }
        let [x, y, z] = [self.step(0), self.step(1), self.step(2)];
        let rows = [cross(y, z), cross(z, x), cross(x, y)].map(|row| row.map(|v| v / determinant));
        let origin = rows.map(|row| -dot(row, self.origin()));
        let mut inverse = [LAST_ROW; 4];
        for axis in 0..3 {
            let [a, b, c] = rows[axis];
            inverse[axis] = [a, b, c, origin[axis]];
        }
        let inverse = Self(inverse);
        inverse.wrong_row().is_none().then_some(inverse)
    }

    /// The steps of the rotation (or reflection) nearest to this transform, once each
    /// step has unit length: the orthogonal factor of the polar decomposition, found by
    /// Newton's iteration (Higham 1986, SIAM J. Sci. Stat. Comput. 7, 1160).
    pub(crate) fn nearest_rotation(&self) -> [[f64; 3]; 3] {
        let mut steps = [0, 1, 2].map(|axis| {
            let step = self.step(axis);
            step.map(|v| v / length(step))
        });
        for _ in 0..100 {
            let [x, y, z] = steps;
            let determinant = dot(x, cross(y, z));
            let cofactors = [cross(y, z), cross(z, x), cross(x, y)];
            let mut change = 0.0_f64;
            for axis in 0..3 {
                for row in 0..3 {
                    let next = f64::midpoint(steps[axis][row], cofactors[axis][row] / determinant);
                    change = change.max((next - steps[axis][row]).abs());
                    steps[axis][row] = next;
                }
            }
            if change < 1e-14 {
                break;
            }
        }
        steps
    }
}

pub(crate) fn length(v: [f64; 3]) -> f64 {
    dot(v, v).sqrt()
}

pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_undoes_a_sheared_left_handed_transform() {
        let affine = Affine::from_columns(
            [[-2.0, 0.1, 0.0], [0.3, 3.0, 0.5], [0.0, -0.2, 5.0]],
            [10.0, -20.0, 30.0],
        );
        assert!(affine.determinant() < 0.0);
        let there_and_back = affine.inverse().unwrap().compose(&affine);
        for (row, expected) in there_and_back.rows().iter().zip(Affine::identity().rows()) {
            for (a, b) in row.iter().zip(expected) {
                assert!((a - b).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_flat_transform_has_no_inverse() {
        let flat =
            Affine::from_columns([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 0.0, 1.0]], [0.0; 3]);
        assert_eq!(flat.inverse(), None);
        assert_eq!(Affine::from_spacing_origin([1.0, 0.0, 1.0], [0.0; 3]).inverse(), None);
        assert_eq!(Affine::from_spacing_origin([1.0, f64::NAN, 1.0], [0.0; 3]).inverse(), None);
        assert_eq!(Affine::from_spacing_origin([1e200; 3], [0.0; 3]).inverse(), None);
    }

    #[test]
    fn composing_applies_the_argument_first() {
        let double = Affine::from_spacing_origin([2.0; 3], [0.0; 3]);
        let shift = Affine::from_spacing_origin([1.0; 3], [1.0, 2.0, 3.0]);
        assert_eq!(double.compose(&shift).apply([0.0; 3]), [2.0, 4.0, 6.0]);
    }

    #[test]
    fn the_nearest_rotation_has_unit_right_angled_steps() {
        let affine =
            Affine::from_columns([[2.0, 0.3, 0.0], [0.0, 3.0, 0.4], [0.5, 0.0, -5.0]], [0.0; 3]);
        let steps = affine.nearest_rotation();
        for a in 0..3 {
            for b in 0..3 {
                let expected = if a == b { 1.0 } else { 0.0 };
                assert!((dot(steps[a], steps[b]) - expected).abs() < 1e-12);
            }
        }
    }
}
