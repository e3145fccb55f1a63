//! How well a prediction agrees with its reference: per case and class, then over cases.
//!
//! Takes labels and geometry from `lamina-io` and mentions no tensor, so it is
//! the same for masks made here and masks made elsewhere. Reading files, pairing
//! them by name and drawing tables is left to `app`.
//!
//! Every case and class carries a [`Status`], and a class that was missed,
//! invented or never predicted counts as zero. Nothing drops out of a mean
//! without being counted.

mod overlap;
mod paired;
mod report;
mod slices;
pub mod statistics;
mod surface;

pub use overlap::{ClassOverlap, OverlapCounts, Status};
pub use paired::{
    Loss, MeanInterval, Paired, PairedMetric, PairedRow, Pairing, PairingError, mean_intervals,
};
pub use report::{
    CaseReport, ClassReport, ClassSummary, Distribution, ForegroundSummary, Report, Summary,
    SurfaceSummary, WorstCase,
};
pub use slices::SliceOverlaps;
pub use surface::{FarthestPoint, SurfaceDistances, compare_surfaces, surface_distances};

use std::collections::{BTreeMap, BTreeSet};

use lamina_io::{Geometry, GridMismatch, LabelVolume};
use ndarray::{Array3, s};

/// What comparing two label volumes found, for whichever classes are asked for later.
///
/// Which classes a data set has is known only after its last case was read, and
/// the voxels of all cases do not fit into memory; these counts do.
#[derive(Debug, Clone)]
pub struct Comparison {
    counts: OverlapCounts,
    voxel_ml: Option<f64>,
    surfaces: BTreeMap<u8, (SurfaceDistances, FarthestPoint)>,
}

impl Comparison {
    /// Compares `prediction` with `reference`: their overlap and, where a tolerance is
    /// given, the distances between their surfaces too, which cost more time.
    ///
    /// # Errors
    /// The two must lie on the same grid; nothing is resampled behind the user's back.
    pub fn of(
        prediction: &LabelVolume,
        reference: &LabelVolume,
        surface_tolerance_mm: Option<f64>,
    ) -> Result<Self, GridMismatch> {
        reference.geometry.same_grid(&prediction.geometry)?;
        let mut found = Self {
            counts: OverlapCounts::of(&prediction.labels, &reference.labels),
            voxel_ml: reference.geometry.voxel_volume_ml(),
            surfaces: BTreeMap::new(),
        };
        let spacing = depth_height_width(&reference.geometry);
        if let (Some(tolerance), Some(spacing)) = (surface_tolerance_mm, spacing) {
            for (label, [k, j, i]) in boxes(&prediction.labels, &reference.labels) {
                let crop = s![k.0..k.1, j.0..j.1, i.0..i.1];
                let mask = |volume: &LabelVolume| volume.labels.slice(crop).mapv(|l| l == label);
                let (prediction, reference) = (mask(prediction), mask(reference));
                let measured = compare_surfaces(&prediction, &reference, spacing, tolerance);
                found.surfaces.extend(measured.map(|(distances, mut farthest)| {
                    for (index, from) in farthest.index.iter_mut().zip([k.0, j.0, i.0]) {
                        *index += from;
                    }
                    (label, (distances, farthest))
                }));
            }
        }
        Ok(found)
    }

    /// The labels above zero that either side holds.
    pub fn labels(&self) -> BTreeSet<u8> {
        let occurs = |&label: &u8| self.counts.class(label).status() != Status::BothEmpty;
        (1..=u8::MAX).filter(occurs).collect()
    }

    /// One report per class.
    pub fn classes(&self, classes: &[u8]) -> Vec<ClassReport> {
        let report = |&label: &u8| ClassReport {
            surface: self.surfaces.get(&label).map(|(distances, _)| *distances),
            ..ClassReport::from_overlap(label, self.counts.class(label), self.voxel_ml)
        };
        classes.iter().map(report).collect()
    }

    /// Where the surfaces of a label lie farthest apart, if they were measured and both exist.
    pub fn farthest(&self, label: u8) -> Option<FarthestPoint> {
        self.surfaces.get(&label).map(|(_, farthest)| *farthest)
    }
}

/// The smallest box around each label above zero of either map: first and end along each axis.
fn boxes(a: &Array3<u8>, b: &Array3<u8>) -> BTreeMap<u8, [(usize, usize); 3]> {
    let mut boxes = [[(usize::MAX, 0); 3]; 256];
    for labels in [a, b] {
        for ((k, j, i), &label) in labels.indexed_iter().filter(|(_, label)| **label != 0) {
            for (bound, index) in boxes[usize::from(label)].iter_mut().zip([k, j, i]) {
                *bound = (bound.0.min(index), bound.1.max(index + 1));
            }
        }
    }
    let found = (0..=u8::MAX).zip(boxes).filter(|(_, bounds)| bounds[0].1 > 0);
    found.collect()
}

/// Compares `prediction` with `reference` for each of `classes`.
///
/// # Errors
/// The two must lie on the same grid; nothing is resampled behind the user's back.
///
/// # Example
/// ```
/// use lamina_engine::metrics::{Status, evaluate_case};
/// use lamina_io::{Affine, Geometry, LabelVolume};
/// use ndarray::Array3;
///
/// let affine = Affine::from_spacing_origin([1.0, 2.0, 5.0], [0.0; 3]);
/// let geometry = Geometry::new([1, 2, 2], affine)?;
/// let mut labels = Array3::zeros([1, 2, 2]);
/// labels[[0, 0, 0]] = 1;
/// let reference = LabelVolume::new(labels.clone(), geometry.clone())?;
/// labels[[0, 0, 1]] = 1;
/// let prediction = LabelVolume::new(labels, geometry)?;
///
/// let classes = evaluate_case(&prediction, &reference, &[1])?;
/// assert_eq!(classes[0].status, Status::Scored);
/// assert_eq!(classes[0].dice, Some(2.0 / 3.0));
/// assert_eq!(classes[0].volume_ml_reference, Some(0.01));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn evaluate_case(
    prediction: &LabelVolume,
    reference: &LabelVolume,
    classes: &[u8],
) -> Result<Vec<ClassReport>, GridMismatch> {
    Ok(Comparison::of(prediction, reference, None)?.classes(classes))
}

/// What is said of each class when there is no prediction to compare with.
///
/// `reference` is `None` where it could not be read either.
pub fn failed_case(reference: Option<&LabelVolume>, classes: &[u8]) -> Vec<ClassReport> {
    let counts = reference.map(LabelVolume::counts);
    let voxel_ml = reference.and_then(|reference| reference.geometry.voxel_volume_ml());
    let volume = |label| {
        let voxels = counts.as_ref()?.get(&label).copied().unwrap_or(0);
        Some(voxels as f64 * voxel_ml?)
    };
    classes.iter().map(|&label| ClassReport::failed(label, volume(label))).collect()
}

/// The labels above zero that `volume` holds, in order.
pub fn foreground_labels(volume: &LabelVolume) -> BTreeSet<u8> {
    volume.counts().into_keys().filter(|&label| label > 0).collect()
}

/// The spacing in the order of the array axes.
fn depth_height_width(geometry: &Geometry) -> Option<[f64; 3]> {
    let [x, y, z] = geometry.spacing_mm()?;
    Some([z, y, x])
}

#[cfg(test)]
mod tests {
    use lamina_io::Affine;

    use super::*;

    #[test]
    fn the_farthest_point_lies_where_it_does_in_the_whole_volume() {
        let affine = Affine::from_spacing_origin([0.5, 2.0, 3.0], [0.0; 3]);
        let geometry = Geometry::new([6, 7, 8], affine).unwrap();
        let mut labels = Array3::zeros([6, 7, 8]);
        labels.slice_mut(s![1..4, 2..5, 3..6]).fill(2);
        labels[[0, 0, 0]] = 1;
        let reference = LabelVolume::new(labels.clone(), geometry.clone()).unwrap();
        labels[[3, 6, 4]] = 2; // two rows beyond
        let prediction = LabelVolume::new(labels, geometry).unwrap();
        let found = Comparison::of(&prediction, &reference, Some(1.0)).unwrap();
        let farthest = found.farthest(2).unwrap();
        assert_eq!((farthest.index, farthest.on_prediction), ([3, 6, 4], true));
        assert!((farthest.distance_mm - 4.0).abs() < 1e-12);
        assert_eq!(found.farthest(1).unwrap().distance_mm, 0.0);
        assert_eq!(found.farthest(3), None);
        let whole = |volume: &LabelVolume| volume.labels.mapv(|label| label == 2);
        let whole =
            surface_distances(&whole(&prediction), &whole(&reference), [3.0, 2.0, 0.5], 1.0);
        assert_eq!(found.classes(&[2])[0].surface, whole);
    }
}
