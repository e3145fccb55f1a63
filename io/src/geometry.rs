//! Where voxels are in the patient: a shape and one transform to RAS millimeters.
//!
//! A voxel index is (i, j, k) = (x, y, z) with i fastest; arrays are
//! `[depth k, height j, width i]`. Any invertible transform is allowed, oblique,
//! sheared and left-handed too, and none is ever flipped to please a name.

use serde::{Deserialize, Serialize};

use crate::affine::{Affine, length};
use crate::axes::AxisOrder;

/// How far apart neighboring voxels are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Spacing {
    /// Distance in millimeters along x, y and z.
    Millimeters([f64; 3]),
    /// The file does not say, so distances are in pixels.
    Unknown,
}

/// Why a shape and a transform make no geometry.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// An axis has no voxels.
    #[error("expected at least one voxel along each axis, found {shape:?}")]
    Empty {
        /// Depth, height, width.
        shape: [usize; 3],
    },
    /// An entry is not a number, or the last row is not 0 0 0 1.
    #[error("expected a finite affine transform, found a row {row:?}")]
    NotFinite {
        /// The first row that is wrong.
        row: [f64; 4],
    },
    /// Different voxels would lie at the same place.
    #[error("expected an invertible transform, found determinant {determinant}")]
    Singular {
        /// Determinant of the transform.
        determinant: f64,
    },
    /// The voxels are not as many as the geometry says.
    #[error("expected {expected:?} voxels (depth, height, width), found {found:?}")]
    Shape {
        /// Shape of the geometry.
        expected: [usize; 3],
        /// Shape of the voxels.
        found: [usize; 3],
    },
}

/// How two grids differ.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GridMismatch {
    /// They do not have the same number of voxels.
    #[error("expected {expected:?} voxels (depth, height, width), found {found:?}")]
    Shape {
        /// Shape of the first grid.
        expected: [usize; 3],
        /// Shape of the second grid.
        found: [usize; 3],
    },
    /// They lie at different places.
    #[error(
        "grids are up to {distance_mm:.4} mm apart, {allowed_mm:.4} mm are allowed: expected the corner at {expected_mm:?} (RAS), found {found_mm:?}"
    )]
    Position {
        /// Largest distance between corresponding corners.
        distance_mm: f64,
        /// The largest that is allowed.
        allowed_mm: f64,
        /// That corner of the first grid.
        expected_mm: [f64; 3],
        /// That corner of the second grid.
        found_mm: [f64; 3],
    },
    /// One knows its spacing, the other does not.
    #[error("one grid has a known voxel spacing and the other has none")]
    Spacing,
}

/// A voxel grid in the world.
#[derive(Clone, Debug, PartialEq)]
pub struct Geometry {
    shape: [usize; 3],
    ras_from_index: Affine,
    index_from_ras: Affine,
    spacing: Spacing,
}

/// Corners of two grids may differ by this share of the smaller spacing. Tools round
/// affines differently: a tenth of a voxel is seen between masks of one scan, while a
/// shift that matters is half a voxel or more.
const GRID_TOLERANCE: f64 = 0.2;

impl Geometry {
    /// A grid of `shape` voxels (depth, height, width) whose index (i, j, k) lies at
    /// `ras_from_index`, in RAS millimeters.
    ///
    /// # Errors
    /// If an axis is empty, or the transform is not finite or cannot be inverted.
    ///
    /// ```
    /// use lamina_io::{Affine, Geometry};
    ///
    /// let ras_from_index = Affine::from_spacing_origin([0.5, 0.6, 3.0], [-40.0, 10.0, 7.0]);
    /// let geometry = Geometry::new([19, 320, 384], ras_from_index)?;
    /// assert_eq!(geometry.orientation(), "RAS");
    /// assert_eq!(geometry.spacing_mm(), Some([0.5, 0.6, 3.0]));
    /// # Ok::<(), lamina_io::GeometryError>(())
    /// ```
    pub fn new(shape: [usize; 3], ras_from_index: Affine) -> Result<Self, GeometryError> {
        if shape.contains(&0) {
            return Err(GeometryError::Empty { shape });
        }
        if let Some(row) = ras_from_index.wrong_row() {
            return Err(GeometryError::NotFinite { row });
        }
        let Some(index_from_ras) = ras_from_index.inverse() else {
            return Err(GeometryError::Singular { determinant: ras_from_index.determinant() });
        };
        let spacing = Spacing::Millimeters(ras_from_index.step_lengths());
        Ok(Self { shape, ras_from_index, index_from_ras, spacing })
    }

    /// A grid whose spacing nobody knows: world coordinates are pixel indices.
    pub fn pixels(shape: [usize; 3]) -> Self {
        let identity = Affine::identity();
        Self {
            shape,
            ras_from_index: identity,
            index_from_ras: identity,
            spacing: Spacing::Unknown,
        }
    }

    /// The grid of a part: `shape` voxels from voxel `start` on, both depth, height, width, at their
    /// places in the world.
    #[must_use]
    pub fn part(&self, start: [usize; 3], shape: [usize; 3]) -> Self {
        let [k, j, i] = start.map(|n| n as f64);
        let shift = |by: [f64; 3]| Affine::from_spacing_origin([1.0; 3], by);
        Self {
            shape,
            ras_from_index: self.ras_from_index.compose(&shift([i, j, k])),
            index_from_ras: shift([-i, -j, -k]).compose(&self.index_from_ras),
            spacing: self.spacing,
        }
    }

    /// Voxels along each axis: depth, height, width.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// From voxel index (i, j, k) to RAS millimeters.
    pub fn ras_from_index(&self) -> &Affine {
        &self.ras_from_index
    }

    /// From RAS millimeters to voxel index (i, j, k).
    pub fn index_from_ras(&self) -> &Affine {
        &self.index_from_ras
    }

    /// How far apart neighboring voxels are.
    pub fn spacing(&self) -> Spacing {
        self.spacing
    }

    /// Distance between neighboring voxels along x, y and z, where it is known.
    pub fn spacing_mm(&self) -> Option<[f64; 3]> {
        match self.spacing {
            Spacing::Millimeters(spacing_mm) => Some(spacing_mm),
            Spacing::Unknown => None,
        }
    }

    /// Volume of one voxel in milliliters, where the spacing is known.
    pub fn voxel_volume_ml(&self) -> Option<f64> {
        self.spacing_mm().map(|_| self.ras_from_index.determinant().abs() / 1000.0)
    }

    /// Where each voxel axis (x, y, z) runs **towards**, as in "RAS" or "LPI".
    ///
    /// An oblique axis is named after the world axis it is closest to, as nibabel's
    /// `aff2axcodes` does.
    pub fn orientation(&self) -> String {
        let order = self.to_ras_axes();
        let mut letters = [' '; 3];
        for (world, index) in order.axes().into_iter().enumerate() {
            let (forwards, backwards) = [('R', 'L'), ('A', 'P'), ('S', 'I')][world];
            letters[index] = if order.flipped()[world] { backwards } else { forwards };
        }
        letters.iter().collect()
    }

    /// The order of axes that brings the voxels closest to RAS without resampling. An axis
    /// halfway between two of the world's goes to either.
    pub fn to_ras_axes(&self) -> AxisOrder {
        let steps = self.ras_from_index.nearest_rotation();
        let largest = |axis: usize| steps[axis].iter().fold(0.0_f64, |max, v| max.max(v.abs()));
        // The axis that is surest of its direction chooses first.
        let mut by_certainty = [0, 1, 2];
        by_certainty.sort_by(|&a, &b| largest(b).total_cmp(&largest(a)));

        let mut order = [None; 3]; // of each world axis
        for axis in by_certainty {
            let free = (0..3).filter(|&world| order[world].is_none());
            let world = free.fold(None, |best: Option<usize>, world| match best {
                Some(best) if steps[axis][best].abs() >= steps[axis][world].abs() => Some(best),
                _ => Some(world),
            });
            if let Some(world) = world {
                order[world] = Some((axis, steps[axis][world] < 0.0));
            }
        }
        let chosen = order.map(Option::unwrap_or_default);
        AxisOrder::new(chosen.map(|(axis, _)| axis), chosen.map(|(_, flipped)| flipped))
            .unwrap_or(AxisOrder::identity())
    }

    /// The same places with the axes in another order.
    #[must_use]
    pub fn reoriented(&self, order: &AxisOrder) -> Self {
        let old_from_new = order.old_from_new(self.shape);
        let new_from_old = order.inverse().old_from_new(order.shape(self.shape));
        let spacing = match self.spacing {
            Spacing::Millimeters(old) => Spacing::Millimeters(order.axes().map(|axis| old[axis])),
            Spacing::Unknown => Spacing::Unknown,
        };
        Self {
            shape: order.shape(self.shape),
            ras_from_index: self.ras_from_index.compose(&old_from_new),
            index_from_ras: new_from_old.compose(&self.index_from_ras),
            spacing,
        }
    }

    /// Whether `other` has the same voxels at the same places, but for what tools round
    /// differently: corners may lie a fifth of a voxel apart.
    ///
    /// # Errors
    /// How they differ, in shape or at a corner.
    pub fn same_grid(&self, other: &Self) -> Result<(), GridMismatch> {
        self.same_grid_within(other, GRID_TOLERANCE)
    }

    /// [`same_grid`](Self::same_grid) with corners that may lie `tolerance` of the smaller
    /// spacing apart.
    ///
    /// # Errors
    /// How they differ, in shape or at a corner.
    pub fn same_grid_within(&self, other: &Self, tolerance: f64) -> Result<(), GridMismatch> {
        if self.shape != other.shape {
            return Err(GridMismatch::Shape { expected: self.shape, found: other.shape });
        }
        let (spacing, other_spacing) = match (self.spacing, other.spacing) {
            (Spacing::Unknown, Spacing::Unknown) => return Ok(()),
            (Spacing::Millimeters(a), Spacing::Millimeters(b)) => (a, b),
            _ => return Err(GridMismatch::Spacing),
        };
        let smallest = spacing.into_iter().chain(other_spacing).fold(f64::INFINITY, f64::min);
        let mut worst: Option<(f64, [f64; 3], [f64; 3])> = None;
        for corner in self.corners() {
            let expected_mm = self.ras_from_index.apply(corner);
            let found_mm = other.ras_from_index.apply(corner);
            let difference = [0, 1, 2].map(|axis| expected_mm[axis] - found_mm[axis]);
            let distance_mm = length(difference);
            if worst.is_none_or(|(largest, ..)| distance_mm > largest) {
                worst = Some((distance_mm, expected_mm, found_mm));
            }
        }
        match worst {
            Some((distance_mm, expected_mm, found_mm)) if distance_mm > tolerance * smallest => {
                let allowed_mm = tolerance * smallest;
                Err(GridMismatch::Position { distance_mm, allowed_mm, expected_mm, found_mm })
            }
            _ => Ok(()),
        }
    }

    /// The eight outer corners, half a voxel beyond the outermost centers, as indices (i, j, k).
    fn corners(&self) -> impl Iterator<Item = [f64; 3]> {
        let [depth, height, width] = self.shape.map(|n| n as f64 - 0.5);
        (0..8_u8).map(move |bits| {
            let end = |axis: u8, last: f64| if bits >> axis & 1 == 1 { last } else { -0.5 };
            [end(0, width), end(1, height), end(2, depth)]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spacing 2 x 3 x 5 mm, turned by 30 degrees about x, x running to the left.
    fn tilted() -> Geometry {
        let (sin, cos) = 30.0_f64.to_radians().sin_cos();
        let steps = [[-2.0, 0.0, 0.0], [0.0, 3.0 * cos, 3.0 * sin], [0.0, -5.0 * sin, 5.0 * cos]];
        Geometry::new([4, 5, 6], Affine::from_columns(steps, [7.0, 8.0, 9.0])).unwrap()
    }

    #[test]
    fn spacing_and_volume_come_from_the_transform() {
        let geometry = tilted();
        let spacing = geometry.spacing_mm().unwrap();
        for (found, expected) in spacing.iter().zip([2.0, 3.0, 5.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert!((geometry.voxel_volume_ml().unwrap() - 0.03).abs() < 1e-12);
    }

    #[test]
    fn an_oblique_grid_is_named_after_the_nearest_axes() {
        assert_eq!(tilted().orientation(), "LAS");
    }

    #[test]
    fn letters_follow_the_voxel_axes() {
        // x runs to the front, y down, z to the left.
        let steps = [[0.0, 2.0, 0.0], [0.0, 0.0, -3.0], [-5.0, 0.0, 0.0]];
        let geometry = Geometry::new([2, 3, 4], Affine::from_columns(steps, [0.0; 3])).unwrap();
        assert_eq!(geometry.orientation(), "AIL");
    }

    #[test]
    fn reorienting_leaves_every_voxel_where_it_was() {
        let geometry = tilted();
        for order in AxisOrder::all() {
            let turned = geometry.reoriented(&order);
            let old_index = order.old_from_new(geometry.shape()).apply([1.0, 2.0, 3.0]);
            let before = geometry.ras_from_index().apply(old_index);
            let after = turned.ras_from_index().apply([1.0, 2.0, 3.0]);
            for axis in 0..3 {
                assert!((before[axis] - after[axis]).abs() < 1e-9);
            }
            let back = turned.index_from_ras().apply(after);
            for (found, expected) in back.iter().zip([1.0, 2.0, 3.0]) {
                assert!((found - expected).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn turning_to_ras_gives_ras() {
        for order in AxisOrder::all() {
            let geometry = tilted().reoriented(&order);
            let turned = geometry.reoriented(&geometry.to_ras_axes());
            assert_eq!(turned.orientation(), "RAS");
            assert_eq!(turned.shape(), [4, 5, 6]);
        }
    }

    #[test]
    fn a_flat_or_empty_grid_is_refused() {
        let flat = Affine::from_spacing_origin([1.0, 0.0, 1.0], [0.0; 3]);
        assert!(matches!(Geometry::new([1, 1, 1], flat), Err(GeometryError::Singular { .. })));
        let nan = Affine::from_spacing_origin([1.0, 2.0, 3.0], [f64::NAN; 3]);
        assert!(matches!(Geometry::new([1, 1, 1], nan), Err(GeometryError::NotFinite { .. })));
        let empty = Geometry::new([1, 0, 1], Affine::identity());
        assert_eq!(empty, Err(GeometryError::Empty { shape: [1, 0, 1] }));
    }

    #[test]
    fn grids_that_differ_say_how() {
        let geometry = tilted();
        let shifted = |by: f64| {
            let shift = Affine::from_spacing_origin([1.0; 3], [by, 0.0, 0.0]);
            Geometry::new(geometry.shape(), shift.compose(geometry.ras_from_index())).unwrap()
        };
        assert_eq!(geometry.same_grid(&shifted(0.39)), Ok(()));
        let Err(GridMismatch::Position { distance_mm, .. }) = geometry.same_grid(&shifted(0.41))
        else {
            panic!("a shift of 0.41 mm was not noticed");
        };
        assert!((distance_mm - 0.41).abs() < 1e-9);
        let taller = Geometry::new([4, 6, 6], *geometry.ras_from_index()).unwrap();
        assert!(matches!(geometry.same_grid(&taller), Err(GridMismatch::Shape { .. })));
        let pixels = Geometry::pixels(geometry.shape());
        assert_eq!(geometry.same_grid(&pixels), Err(GridMismatch::Spacing));
        assert_eq!(pixels.same_grid(&pixels), Ok(()));
    }

    #[test]
    fn a_single_slice_of_another_thickness_is_another_grid() {
        let thin = Geometry::new([1, 5, 6], Affine::from_spacing_origin([2.0, 3.0, 1.0], [0.0; 3]))
            .unwrap();
        let thick =
            Geometry::new([1, 5, 6], Affine::from_spacing_origin([2.0, 3.0, 5.0], [0.0; 3]))
                .unwrap();
        assert!(matches!(thin.same_grid(&thick), Err(GridMismatch::Position { .. })));
    }

    #[test]
    fn unknown_spacing_is_not_one_millimeter() {
        let pixels = Geometry::pixels([1, 2, 3]);
        assert_eq!(pixels.spacing_mm(), None);
        assert_eq!(pixels.voxel_volume_ml(), None);
    }
}
