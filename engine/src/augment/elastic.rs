//! Elastic deformation: displacements at the nodes of a coarse grid, smooth in between.
//!
//! Ronneberger, Fischer, Brox, U-Net (MICCAI 2015), section 3.1: displacement vectors from a
//! Gaussian on a coarse grid, per pixel by bicubic interpolation; there on a 3 x 3 grid with a standard deviation
//! of 10 pixels. The interpolation is that of Catmull and Rom, which meets the nodes.

use ndarray::{Array3, s};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::config::{always, within};
use crate::error::EngineError;

/// How much slices are bent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elastic {
    /// Share of the slices that are bent.
    #[serde(default = "always")]
    pub probability: f64,
    /// Standard deviation of the displacement of a node, along x and y, in pixels of the patch.
    pub magnitude_pixels: f64,
    /// Distance of the nodes.
    #[serde(default = "usual_grid")]
    pub grid_pixels: f64,
}

fn usual_grid() -> f64 {
    64.0
}

impl Elastic {
    pub(super) fn validate(&self) -> Result<(), EngineError> {
        within("elastic.probability", self.probability, [0.0, 1.0])?;
        within("elastic.grid_pixels", self.grid_pixels, [4.0, 4096.0])?;
        // Nodes that pass each other fold the slice; three deviations apart is rare.
        within("elastic.magnitude_pixels", self.magnitude_pixels, [0.0, self.grid_pixels / 3.0])
    }

    /// Draws displacements for a patch, `[height, width]`.
    pub(super) fn draw(&self, patch: [usize; 2], rng: &mut impl Rng) -> Bend {
        // Two nodes on either side of each pixel.
        let nodes = patch.map(|size| (size as f64 / self.grid_pixels).floor() as usize + 4);
        let magnitude = self.magnitude_pixels;
        let displacements = Array3::from_shape_simple_fn([2, nodes[0], nodes[1]], || {
            magnitude * rng.sample::<f64, _>(StandardNormal)
        });
        Bend { displacements, grid_pixels: self.grid_pixels }
    }
}

/// Displacements of the nodes of a grid, along y and x: `[2, rows, columns]`. The second row and
/// column of nodes lie at the first of the patch.
#[derive(Debug, Clone, PartialEq)]
pub struct Bend {
    displacements: Array3<f64>,
    grid_pixels: f64,
}

/// The four nodes along an axis that a pixel lies among, from the first one on, and what they count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Among {
    first: usize,
    weights: [f64; 4],
}

impl Bend {
    /// The same bend, and all of it displaced along y and x.
    #[cfg(test)]
    pub(super) fn by(&self, [dy, dx]: [f64; 2]) -> Self {
        let mut displacements = self.displacements.clone();
        displacements.index_axis_mut(ndarray::Axis(0), 0).mapv_inplace(|value| value + dy);
        displacements.index_axis_mut(ndarray::Axis(0), 1).mapv_inplace(|value| value + dx);
        Self { displacements, grid_pixels: self.grid_pixels }
    }

    /// The nodes around pixel `at` of an axis.
    pub(super) fn among(&self, at: usize) -> Among {
        let place = at as f64 / self.grid_pixels;
        let (first, t) = (place.floor(), place - place.floor());
        // Catmull and Rom 1974.
        let weights = [
            ((-t + 2.0) * t - 1.0) * t / 2.0,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-3.0 * t + 4.0) * t + 1.0) * t / 2.0,
            (t - 1.0) * t * t / 2.0,
        ];
        Among { first: first as usize, weights }
    }

    /// Displacements along y and x on a row of the patch, at every column of nodes.
    pub(super) fn line(&self, row: usize) -> [Vec<f64>; 2] {
        let Among { first, weights } = self.among(row);
        [0, 1].map(|axis| {
            let rows = self.displacements.slice(s![axis, first..first + 4, ..]);
            let columns = rows.columns().into_iter();
            columns.map(|nodes| nodes.iter().zip(weights).map(|(n, w)| n * w).sum()).collect()
        })
    }
}

impl Among {
    /// The displacement at a pixel of a line.
    pub(super) fn of(&self, line: &[f64]) -> f64 {
        let nodes = &line[self.first..self.first + 4];
        nodes.iter().zip(self.weights).map(|(node, weight)| node * weight).sum()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn at(bend: &Bend, row: usize, column: usize) -> [f64; 2] {
        bend.line(row).map(|line| bend.among(column).of(&line))
    }

    #[test]
    fn nodes_are_met_and_even_shifts_and_stretches_are_kept() {
        let grid_pixels = 8.0;
        let node = |(axis, j, i): (usize, usize, usize)| {
            // Node (1, 1) is pixel (0, 0).
            let (y, x) = (8.0 * (j as f64 - 1.0), 8.0 * (i as f64 - 1.0));
            if axis == 0 { 3.0 + 0.5 * y } else { 0.25 * x - y }
        };
        let bend = Bend { displacements: Array3::from_shape_fn([2, 6, 7], node), grid_pixels };
        for (row, column) in [(0, 0), (8, 16), (3, 5), (17, 30)] {
            let [dy, dx] = at(&bend, row, column);
            let (y, x) = (row as f64, column as f64);
            assert!((dy - (3.0 + 0.5 * y)).abs() < 1e-12, "{dy} at {row}, {column}");
            assert!((dx - (0.25 * x - y)).abs() < 1e-12, "{dx} at {row}, {column}");
        }
    }

    #[test]
    fn half_way_between_nodes_the_weights_are_those_of_the_paper() {
        let bend = Bend { displacements: Array3::zeros([2, 4, 4]), grid_pixels: 8.0 };
        assert_eq!(bend.among(4).weights, [-0.0625, 0.5625, 0.5625, -0.0625]);
    }

    #[test]
    fn displacements_have_the_deviation_that_is_asked_for_and_reach_every_pixel() {
        let elastic = Elastic { probability: 1.0, magnitude_pixels: 3.0, grid_pixels: 10.0 };
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let bend = elastic.draw([400, 411], &mut rng);
        let nodes = bend.displacements.len() as f64;
        let squares: f64 = bend.displacements.iter().map(|d| d * d).sum();
        assert!(((squares / nodes).sqrt() - 3.0).abs() < 0.2);
        assert!(at(&bend, 399, 410).iter().all(|d| d.is_finite()));
        assert_eq!(elastic.draw([4, 4], &mut rng).displacements.dim(), (2, 4, 4));
    }
}
