//! Distances in millimeters between places that are given as voxel indices.
//!
//! A place is `[z, y, x]`, in the order of the array, whole at voxel centers. Where a grid's
//! spacing is unknown, every distance is in pixels.

use lamina_io::Geometry;

/// A place in a volume: `[z, y, x]` as voxel indices, whole at voxel centers.
pub type Place = [f64; 3];

/// The place of a point of the patient, given in RAS millimeters.
pub fn place_from_ras(geometry: &Geometry, ras_mm: [f64; 3]) -> Place {
    let [x, y, z] = geometry.index_from_ras().apply(ras_mm);
    [z, y, x]
}

/// Where a place is in the patient, in RAS millimeters.
pub fn ras_from_place(geometry: &Geometry, [z, y, x]: Place) -> [f64; 3] {
    geometry.ras_from_index().apply([x, y, z])
}

/// How far indices of a grid lie apart.
///
/// Exact on any grid, sheared ones too. [`spacing_mm`](Self::spacing_mm), which distance maps
/// go by, leaves a shear out: on a sheared grid (a tilted gantry) margins and smoothing are
/// measured along the axes as if these were at right angles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Dot products of the steps, `[z, y, x]` by `[z, y, x]`.
    gram: [[f64; 3]; 3],
    /// How many voxels an axis goes per millimeter, at most, in any direction.
    reach: [f64; 3],
}

impl Metric {
    /// That of a grid.
    pub fn new(geometry: &Geometry) -> Self {
        let forward = geometry.ras_from_index();
        let backward = geometry.index_from_ras().rows();
        let steps = [forward.step(2), forward.step(1), forward.step(0)];
        let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
        let gram = steps.map(|a| steps.map(|b| dot(a, b)));
        // Rows of the inverse: how an index changes with each millimeter.
        let reach = [2, 1, 0].map(|row| {
            let [a, b, c, _] = backward[row];
            dot([a, b, c], [a, b, c]).sqrt()
        });
        Self { gram, reach }
    }

    /// Distance between neighbors along depth, height and width.
    pub fn spacing_mm(&self) -> [f64; 3] {
        [0, 1, 2].map(|axis| self.gram[axis][axis].sqrt())
    }

    /// How many voxels a ball of this radius goes from its center along each axis.
    pub(crate) fn extent(&self, radius_mm: f64) -> [f64; 3] {
        self.reach.map(|per_mm| per_mm * radius_mm)
    }

    /// The scalar product of two steps, in square millimeters.
    pub(crate) fn dot(&self, a: Place, b: Place) -> f64 {
        let lowered = self.lower(b);
        a[0] * lowered[0] + a[1] * lowered[1] + a[2] * lowered[2]
    }

    /// What a step's scalar product with each axis is.
    pub(crate) fn lower(&self, step: Place) -> Place {
        self.gram.map(|row| row[0] * step[0] + row[1] * step[1] + row[2] * step[2])
    }

    /// Distance between two places.
    pub fn distance_mm(&self, a: Place, b: Place) -> f64 {
        let step = [0, 1, 2].map(|axis| b[axis] - a[axis]);
        self.dot(step, step).max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use lamina_io::Affine;

    use super::*;

    #[test]
    fn distances_are_those_of_the_world() {
        // Sheared, left-handed and unequal.
        let steps = [[-0.7, 0.1, 0.0], [0.0, 0.8, 0.2], [0.3, 0.0, 3.5]];
        let geometry =
            Geometry::new([5, 6, 7], Affine::from_columns(steps, [9.0, 8.0, 7.0])).unwrap();
        let metric = Metric::new(&geometry);
        let (a, b) = ([1.0, 2.5, 3.0], [4.0, 0.0, 5.5]);
        let (wa, wb) = (ras_from_place(&geometry, a), ras_from_place(&geometry, b));
        let expected = (0..3).map(|axis| (wa[axis] - wb[axis]).powi(2)).sum::<f64>().sqrt();
        assert!((metric.distance_mm(a, b) - expected).abs() < 1e-12);
        let back = place_from_ras(&geometry, wa);
        assert!((0..3).all(|axis| (back[axis] - a[axis]).abs() < 1e-12));
    }

    #[test]
    fn a_ball_fits_into_its_extent() {
        let geometry =
            Geometry::new([5, 6, 7], Affine::from_spacing_origin([0.5, 2.0, 4.0], [0.0; 3]))
                .unwrap();
        let metric = Metric::new(&geometry);
        assert_eq!(metric.spacing_mm(), [4.0, 2.0, 0.5]);
        assert_eq!(metric.extent(2.0), [0.5, 1.0, 4.0]);
    }
}
