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
mod report;
mod surface;

pub use overlap::{ClassOverlap, OverlapCounts, Status};
pub use report::{
    CaseReport, ClassReport, ClassSummary, Distribution, ForegroundSummary, Report, Summary,
    SurfaceSummary, WorstCase,
};
pub use surface::{SurfaceDistances, surface_distances};

use std::collections::{BTreeMap, BTreeSet};

use lamina_io::{Geometry, GridMismatch, LabelVolume};

/// What comparing two label volumes found, for whichever classes are asked for later.
///
/// Which classes a data set has is known only after its last case was read, and
/// the voxels of all cases do not fit into memory; these counts do.
#[derive(Debug, Clone)]
pub struct Comparison {
    counts: OverlapCounts,
    voxel_ml: Option<f64>,
    surfaces: BTreeMap<u8, SurfaceDistances>,
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
            for label in found.labels() {
                let mask = |volume: &LabelVolume| volume.labels.mapv(|found| found == label);
                let (prediction, reference) = (mask(prediction), mask(reference));
                let distances = surface_distances(&prediction, &reference, spacing, tolerance);
                found.surfaces.extend(distances.map(|distances| (label, distances)));
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
            surface: self.surfaces.get(&label).copied(),
            ..ClassReport::from_overlap(label, self.counts.class(label), self.voxel_ml)
        };
        classes.iter().map(report).collect()
    }
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
