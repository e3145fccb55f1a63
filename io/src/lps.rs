//! Between LPS, which MetaImage, NRRD and DICOM speak, and RAS, which everything else does.

use crate::affine::{Affine, length};
use crate::geometry::Geometry;

/// A grid as ITK's formats say it, in LPS millimeters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lps {
    /// What a step of one voxel along x, y and z is.
    pub(crate) steps: [[f64; 3]; 3],
    pub(crate) origin: [f64; 3],
}

impl Lps {
    pub(crate) fn of(geometry: &Geometry) -> Self {
        let affine = geometry.ras_from_index();
        Self {
            steps: [0, 1, 2].map(|axis| turned(affine.step(axis))),
            origin: turned(affine.origin()),
        }
    }

    pub(crate) fn ras_from_index(&self) -> Affine {
        Affine::from_columns(self.steps.map(turned), turned(self.origin))
    }

    /// Distances between neighbors, and the directions of unit length, axis by axis.
    pub(crate) fn spacing_and_directions(&self) -> ([f64; 3], [[f64; 3]; 3]) {
        let spacing = self.steps.map(length);
        let directions = [0, 1, 2].map(|axis| self.steps[axis].map(|v| v / spacing[axis] + 0.0));
        (spacing, directions)
    }
}

/// Left for right and back for front, without a negative zero.
pub(crate) fn turned([x, y, z]: [f64; 3]) -> [f64; 3] {
    [0.0 - x, 0.0 - y, z + 0.0]
}

/// Numbers with spaces between them, with all their digits.
pub(crate) fn numbers(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{}", value + 0.0)).collect();
    values.join(" ")
}
