//! Which way slices are cut.

use lamina_io::Geometry;
use serde::{Deserialize, Serialize};

/// An axis of a volume's array; as a cut, the axis that its slices are counted along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// The first, z.
    Depth,
    /// The second, y.
    Height,
    /// The third, x, along which neighbors lie next to each other in memory.
    Width,
}

impl Axis {
    /// All three, in order.
    pub const ALL: [Self; 3] = [Self::Depth, Self::Height, Self::Width];

    /// Its place in `[depth, height, width]`.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The two axes within a slice: first that of its rows, then that of its columns.
    pub const fn in_plane(self) -> [Self; 2] {
        match self {
            Self::Depth => [Self::Height, Self::Width],
            Self::Height => [Self::Depth, Self::Width],
            Self::Width => [Self::Depth, Self::Height],
        }
    }
}

/// A cut through the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plane {
    /// Across the body's length.
    Axial,
    /// Parallel to the forehead.
    Coronal,
    /// Between left and right.
    Sagittal,
}

impl Plane {
    /// The axis of a grid whose slices come closest to this cut.
    ///
    /// ```
    /// use lamina_edit::{Axis, Plane};
    /// use lamina_io::{Affine, Geometry};
    ///
    /// // Slices from left to right, as many sagittal series are stored.
    /// let steps = [[0.0, 0.9, 0.0], [0.0, 0.0, -0.9], [3.0, 0.0, 0.0]];
    /// let geometry = Geometry::new([30, 256, 256], Affine::from_columns(steps, [0.0; 3]))?;
    /// assert_eq!(Plane::Sagittal.axis(&geometry), Axis::Depth);
    /// assert_eq!(Plane::Axial.axis(&geometry), Axis::Height);
    /// # Ok::<(), lamina_io::GeometryError>(())
    /// ```
    pub fn axis(self, geometry: &Geometry) -> Axis {
        let world = match self {
            Self::Axial => 2,
            Self::Coronal => 1,
            Self::Sagittal => 0,
        };
        // Axes of a geometry are x, y, z; those of an array the other way around.
        match geometry.to_ras_axes().axes()[world] {
            0 => Axis::Width,
            1 => Axis::Height,
            _ => Axis::Depth,
        }
    }
}
