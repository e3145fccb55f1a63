//! Distances between the surfaces of two masks, in millimeters.
//!
//! | reference | prediction | HD95, ASSD | surface Dice |
//! |-----------|------------|------------|--------------|
//! | has the class | has it | measured | measured |
//! | has the class | has it not, or the other way around | none; infinite in a summary | 0 |
//! | has it not | has it not | none | none |
//!
//! The surface of a mask is what a one-voxel erosion over face neighbors takes
//! away; beyond the volume's edge lies background. HD95 is the larger of the two
//! directions' 95th percentiles, interpolated linearly (as MONAI and Metrics
//! Reloaded do). ASSD and surface Dice pool both directions. Distances are exact
//! and three-dimensional on the whole volume; in pictures, whose pixels have no size, outlines are
//! measured in pixels.

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::bits::Bits;
use super::nearest::squared_distances_to;
use super::summary::quantile;

/// The names of a [`SurfaceDistances`]' numbers in files.
pub(super) const SURFACE_KEYS: [&str; 3] = ["hd95_mm", "assd_mm", "surface_dice"];

/// How far apart two surfaces lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SurfaceDistances {
    /// 95th percentile of the distances, the larger of both directions.
    pub hd95_mm: f64,
    /// Mean distance over both surfaces.
    pub assd_mm: f64,
    /// Share of both surfaces that lies within the tolerance.
    pub surface_dice: f64,
}

/// The voxel of either surface that is farthest from the other surface.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FarthestPoint {
    /// Depth, height and width; the first of equals, and of the prediction before the reference.
    pub index: [usize; 3],
    /// How far the other surface is, the Hausdorff distance.
    pub distance_mm: f64,
    /// Whether it lies on the surface of the prediction, or else of the reference.
    pub on_prediction: bool,
}

/// Measures two masks of equal shape; `None` where one of them is empty.
///
/// # Shapes
/// - `prediction`, `reference`: `[depth, height, width]`
/// - `spacing_mm`: of the axes in this order
pub fn surface_distances(
    prediction: &Array3<bool>,
    reference: &Array3<bool>,
    spacing_mm: [f64; 3],
    tolerance_mm: f64,
) -> Option<SurfaceDistances> {
    Some(compare_surfaces(prediction, reference, spacing_mm, tolerance_mm)?.0)
}

/// [`surface_distances`], and where the surfaces lie farthest apart.
pub fn compare_surfaces(
    prediction: &Array3<bool>,
    reference: &Array3<bool>,
    spacing_mm: [f64; 3],
    tolerance_mm: f64,
) -> Option<(SurfaceDistances, FarthestPoint)> {
    assert_eq!(prediction.dim(), reference.dim(), "the caller compares the grids first");
    let (prediction, reference) =
        (Bits::of_mask(&prediction.view()), Bits::of_mask(&reference.view()));
    let pair = SurfacePair::of(&prediction, &reference, spacing_mm, false)?;
    Some((pair.distances(tolerance_mm), pair.farthest))
}

/// Every distance between two surfaces, each way.
#[derive(Debug, Clone)]
pub(super) struct SurfacePair {
    /// Of the voxels on the prediction's surface, sorted.
    from_prediction: Vec<f64>,
    /// Of the voxels on the reference's surface, sorted.
    from_reference: Vec<f64>,
    /// Where they lie farthest apart.
    pub(super) farthest: FarthestPoint,
}

impl SurfaceDistances {
    /// The numbers by their names in files.
    pub(super) fn named(self) -> [(&'static str, f64); 3] {
        let [hd95, assd, surface_dice] = SURFACE_KEYS;
        [(hd95, self.hd95_mm), (assd, self.assd_mm), (surface_dice, self.surface_dice)]
    }
}

impl SurfacePair {
    /// Measures two masks in one box around both; `None` where one of them is empty. In `flat`
    /// masks a surface is the outline in each slice.
    pub(super) fn of(
        prediction: &Bits,
        reference: &Bits,
        spacing_mm: [f64; 3],
        flat: bool,
    ) -> Option<Self> {
        let (prediction, reference) = (prediction.surface(flat), reference.surface(flat));
        let (from_prediction, farthest_p) = directed(&prediction, &reference, spacing_mm)?;
        let (from_reference, farthest_r) = directed(&reference, &prediction, spacing_mm)?;
        let on_prediction = farthest_p.1 >= farthest_r.1;
        let (index, distance_mm) = if on_prediction { farthest_p } else { farthest_r };
        let farthest = FarthestPoint { index, distance_mm, on_prediction };
        Some(Self { from_prediction, from_reference, farthest })
    }

    /// The three numbers of every report.
    pub(super) fn distances(&self, tolerance_mm: f64) -> SurfaceDistances {
        SurfaceDistances {
            hd95_mm: self.percentile(0.95),
            assd_mm: self.mean(),
            surface_dice: self.within(tolerance_mm),
        }
    }

    /// Hausdorff distance, of which a share of each surface is not farther from the other.
    pub(super) fn percentile(&self, share: f64) -> f64 {
        quantile(&self.from_prediction, share).max(quantile(&self.from_reference, share))
    }

    /// ASSD: the mean over both surfaces together.
    pub(super) fn mean(&self) -> f64 {
        self.pooled().sum::<f64>() / self.len() as f64
    }

    /// MASD: the mean of the two surfaces' means.
    pub(super) fn mean_of_means(&self) -> f64 {
        let [prediction, reference] = [&self.from_prediction, &self.from_reference]
            .map(|distances| distances.iter().sum::<f64>() / distances.len() as f64);
        f64::midpoint(prediction, reference)
    }

    /// Surface Dice: the share of both surfaces together that is within a tolerance of the other.
    pub(super) fn within(&self, tolerance_mm: f64) -> f64 {
        let near =
            |distances: &[f64]| distances.partition_point(|&distance| distance <= tolerance_mm);
        (near(&self.from_prediction) + near(&self.from_reference)) as f64 / self.len() as f64
    }

    fn pooled(&self) -> impl Iterator<Item = f64> + '_ {
        self.from_prediction.iter().chain(&self.from_reference).copied()
    }

    fn len(&self) -> usize {
        self.from_prediction.len() + self.from_reference.len()
    }
}

/// The voxels on the surfaces of prediction and reference, each with its distance to the other
/// surface; `None` where one of them is empty.
pub(super) fn surface_points(
    prediction: &Bits,
    reference: &Bits,
    spacing_mm: [f64; 3],
) -> Option<[Vec<Point>; 2]> {
    let (prediction, reference) = (prediction.surface(false), reference.surface(false));
    let points = |from: &Bits, to: &Bits| {
        let squared = squared_distances_to(from, to, spacing_mm).into_iter();
        from.indices().zip(squared.map(f64::sqrt)).collect()
    };
    (prediction.count() > 0 && reference.count() > 0)
        .then(|| [points(&prediction, &reference), points(&reference, &prediction)])
}

/// A voxel, and how far it is from the other surface.
pub(super) type Point = ([usize; 3], f64);

/// Sorted distances from each voxel of surface `from` to the nearest of surface `to`, and the
/// first voxel with the largest; `None` where there is none on either.
fn directed(from: &Bits, to: &Bits, spacing_mm: [f64; 3]) -> Option<(Vec<f64>, Point)> {
    if to.count() == 0 {
        return None;
    }
    let mut distances = squared_distances_to(from, to, spacing_mm);
    let most = distances.iter().copied().fold(0.0, f64::max);
    let first = distances.iter().position(|&squared| squared == most)?;
    let index = from.indices().nth(first)?;
    for squared in &mut distances {
        *squared = squared.sqrt();
    }
    distances.sort_unstable_by(f64::total_cmp);
    Some((distances, (index, most.sqrt())))
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;

    fn cube(shape: [usize; 3], from: [usize; 3], to: [usize; 3]) -> Array3<bool> {
        let mut mask = Array3::from_elem(shape, false);
        mask.slice_mut(s![from[0]..to[0], from[1]..to[1], from[2]..to[2]]).fill(true);
        mask
    }

    #[test]
    fn equal_masks_are_zero_apart() {
        let mask = cube([4, 5, 6], [1, 1, 1], [3, 4, 5]);
        let found = surface_distances(&mask, &mask, [3.6, 0.6, 0.7], 0.0).unwrap();
        assert_eq!(found, SurfaceDistances { hd95_mm: 0.0, assd_mm: 0.0, surface_dice: 1.0 });
    }

    #[test]
    fn two_single_voxels_are_as_far_apart_as_their_spacing_says() {
        let a = cube([3, 3, 3], [0, 0, 0], [1, 1, 1]);
        let b = cube([3, 3, 3], [2, 1, 2], [3, 2, 3]);
        let found = surface_distances(&a, &b, [3.0, 2.0, 0.5], 1.0).unwrap();
        let expected = (36.0_f64 + 4.0 + 1.0).sqrt();
        assert!(
            (found.hd95_mm - expected).abs() < 1e-12 && (found.assd_mm - expected).abs() < 1e-12
        );
        assert_eq!(found.surface_dice, 0.0);
    }

    #[test]
    fn an_empty_mask_has_no_distance() {
        let empty = Array3::from_elem([2, 2, 2], false);
        let full = Array3::from_elem([2, 2, 2], true);
        assert_eq!(surface_distances(&empty, &full, [1.0; 3], 1.0), None);
        assert_eq!(surface_distances(&full, &empty, [1.0; 3], 1.0), None);
        assert_eq!(surface_distances(&empty, &empty, [1.0; 3], 1.0), None);
    }

    #[test]
    fn the_middle_of_a_cube_is_no_surface_but_the_edge_of_the_volume_is() {
        let full = Array3::from_elem([3, 3, 3], true);
        let surface = Bits::of_mask(&full.view()).surface(false);
        assert_eq!(surface.count(), 26);
        assert!(!surface.get([1, 1, 1]));
    }

    #[test]
    fn the_farthest_point_is_what_trying_every_pair_finds() {
        let spacing: [f64; 3] = [2.5, 0.8, 1.3];
        let a = cube([6, 9, 8], [1, 2, 2], [4, 6, 5]);
        let mut b = cube([6, 9, 8], [2, 3, 1], [5, 6, 6]);
        b[[3, 8, 7]] = true; // a speck far away
        for (prediction, reference, on_prediction) in [(&a, &b, false), (&b, &a, true)] {
            let (_, found) = compare_surfaces(prediction, reference, spacing, 1.0).unwrap();
            let points = |mask: &Array3<bool>| -> Vec<[usize; 3]> {
                Bits::of_mask(&mask.view()).surface(false).indices().collect()
            };
            let apart = |from: [usize; 3], to: [usize; 3]| {
                let step = |axis: usize| (from[axis] as f64 - to[axis] as f64) * spacing[axis];
                [0, 1, 2].map(step).iter().map(|step| step * step).sum::<f64>().sqrt()
            };
            let nearest = |point: [usize; 3], of: &Array3<bool>| {
                points(of).into_iter().map(|to| apart(point, to)).fold(f64::INFINITY, f64::min)
            };
            let from = |mask, other| {
                points(mask).into_iter().map(|point| nearest(point, other)).fold(0.0, f64::max)
            };
            let expected = from(prediction, reference).max(from(reference, prediction));
            assert_eq!((found.index, found.on_prediction), ([3, 8, 7], on_prediction));
            assert!((found.distance_mm - expected).abs() < 1e-12, "{found:?} for {expected}");
        }
    }
}
