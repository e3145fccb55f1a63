//! How well a prediction agrees with its reference: per case and class, then over cases.
//!
//! Takes labels and geometry from `lamina-io` and mentions no tensor, so it is
//! the same for masks made here and masks made elsewhere. Reading files, pairing
//! them by name and drawing tables is left to `app`.
//!
//! Every case and class carries a [`Status`], and a class that was missed,
//! invented or never predicted counts as zero. Nothing drops out of a mean
//! without being counted.

mod bits;
mod boundary;
mod boxes;
pub mod cityscapes;
mod confusion;
mod convention;
mod measures;
mod nearest;
mod nnunet;
mod overlap;
mod paired;
mod pairs;
mod promise12;
mod report;
mod slices;
pub mod statistics;
mod summary;
mod surface;
mod surfels;

pub use boundary::BoundaryWidth;
pub use confusion::{Confusion, ConfusionTable};
pub use convention::Convention;
pub use measures::{Measures, Metric};
pub use nnunet::{CaseFiles, nnunet_summary};
pub use overlap::{ClassOverlap, OverlapCounts, Status};
pub use paired::{
    Loss, MeanInterval, Paired, PairedMetric, PairedRow, Pairing, PairingError, mean_intervals,
};
pub use pairs::{Aggregation, Evaluated, Evaluation, Pair, evaluate_pairs};
pub use promise12::{
    MeanOf, Observer, Part, PartMeans, PartNumbers, Promise12Case, Promise12Report, ScoreConstants,
    evaluate_promise12,
};
pub use report::{CaseReport, ClassReport, PixelClass, PixelReport, Report};
pub use slices::SliceOverlaps;
pub use summary::{
    ClassSummary, Distribution, ForegroundSummary, NumberSummary, Summary, SurfaceSummary,
    WorstCase,
};
pub use surface::{FarthestPoint, SurfaceDistances, compare_surfaces, surface_distances};

use std::collections::{BTreeMap, BTreeSet};

use lamina_io::{GridMismatch, LabelVolume};
use ndarray::s;

use bits::Bits;
use boxes::boxes;
use convention::Unscored;
use measures::{Frame, Measured, volume_difference};

/// What comparing two label volumes found, for whichever classes are asked for later.
///
/// Which classes a data set has is known only after its last case was read, and
/// the voxels of all cases do not fit into memory; these counts do.
#[derive(Debug, Clone)]
pub struct Comparison {
    confusion: Confusion,
    voxel_ml: Option<f64>,
    unit: &'static str,
    measures: Measures,
    measured: BTreeMap<u8, Measured>,
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
        // Without a spacing there are no millimeters.
        let tolerance = surface_tolerance_mm.filter(|_| reference.geometry.spacing_mm().is_some());
        let measures = tolerance.map_or_else(Measures::default, Measures::with_surfaces);
        Self::measure(prediction, reference, &measures)
    }

    /// Compares `prediction` with `reference` as `measures` say.
    ///
    /// # Errors
    /// The two must lie on the same grid; nothing is resampled behind the user's back.
    pub fn measure(
        prediction: &LabelVolume,
        reference: &LabelVolume,
        measures: &Measures,
    ) -> Result<Self, GridMismatch> {
        reference.geometry.same_grid(&prediction.geometry)?;
        let ignoring = ignoring(prediction, reference, &measures.ignored);
        let prediction = ignoring.as_ref().unwrap_or(prediction);
        let frame = Frame::of(&reference.geometry);
        let mut found = Self {
            confusion: Confusion::of(&prediction.labels, &reference.labels)
                .without(&measures.ignored),
            voxel_ml: reference.geometry.voxel_volume_ml(),
            unit: frame.unit(),
            measures: measures.clone(),
            measured: BTreeMap::new(),
        };
        if measures.look_at_shapes() {
            for (label, [k, j, i]) in boxes(&prediction.labels, &reference.labels) {
                let crop = s![k.0..k.1, j.0..j.1, i.0..i.1];
                let mask = |volume: &LabelVolume| Bits::of_label(&volume.labels.slice(crop), label);
                let mut measured = measures.measure(&mask(prediction), &mask(reference), &frame);
                if let Some(farthest) = &mut measured.farthest {
                    for (index, from) in farthest.index.iter_mut().zip([k.0, j.0, i.0]) {
                        *index += from;
                    }
                }
                found.measured.insert(label, measured);
            }
        }
        Ok(found)
    }

    /// The labels above zero that either side holds.
    pub fn labels(&self) -> BTreeSet<u8> {
        self.confusion.labels().into_iter().filter(|&label| label > 0).collect()
    }

    /// Which label was taken for which.
    pub fn confusion(&self) -> &Confusion {
        &self.confusion
    }

    /// One report per class.
    pub fn classes(&self, classes: &[u8]) -> Vec<ClassReport> {
        classes.iter().map(|&label| self.class(label)).collect()
    }

    fn class(&self, label: u8) -> ClassReport {
        let overlap = self.confusion.class(label);
        let convention = self.measures.convention;
        let measured = self.measured.get(&label);
        let surface = measured.and_then(|measured| measured.surface);
        let mut report = ClassReport::from_overlap(label, overlap, self.voxel_ml, convention);
        let number =
            |key: &str| {
                let difference = volume_difference(overlap).or_else(|| {
                    match convention.unscored(key, overlap.status()) {
                        Unscored::Value(number) => Some(number),
                        _ => None,
                    }
                });
                match key {
                    "rvd_percent" => difference,
                    "rvd_absolute_percent" => difference.map(f64::abs),
                    _ => measured.and_then(|measured| measured.numbers.get(key).copied()).or_else(
                        || match convention.unscored(key, overlap.status()) {
                            Unscored::Value(number) => Some(number),
                            Unscored::Infinite | Unscored::Undefined => None,
                        },
                    ),
                }
            };
        let keys = self.measures.keys(self.unit).into_iter();
        report.numbers = keys
            .filter(|key| surface.is_none() || !surface::SURFACE_KEYS.contains(&key.as_str()))
            .map(|key| {
                let number = number(&key);
                (key, number)
            })
            .collect();
        report.surface = surface;
        report
    }

    /// Where the surfaces of a label lie farthest apart, if they were measured and both exist.
    pub fn farthest(&self, label: u8) -> Option<FarthestPoint> {
        self.measured.get(&label).and_then(|measured| measured.farthest)
    }
}

/// The prediction with the reference's labels wherever those are ignored; `None` where none are.
fn ignoring(
    prediction: &LabelVolume,
    reference: &LabelVolume,
    ignored: &BTreeSet<u8>,
) -> Option<LabelVolume> {
    if ignored.is_empty() {
        return None;
    }
    let mut prediction = prediction.clone();
    for (predicted, annotated) in prediction.labels.iter_mut().zip(&reference.labels) {
        if ignored.contains(annotated) {
            *predicted = *annotated;
        }
    }
    Some(prediction)
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
    failed_by(reference, classes, &Measures::default())
}

/// The same for numbers that are made otherwise than by default.
pub fn failed_by(
    reference: Option<&LabelVolume>,
    classes: &[u8],
    measures: &Measures,
) -> Vec<ClassReport> {
    let counts = reference.map(LabelVolume::counts);
    let voxel_ml = reference.and_then(|reference| reference.geometry.voxel_volume_ml());
    let unit = reference.map_or("mm", |reference| Frame::of(&reference.geometry).unit());
    let volume = |label| {
        let voxels = counts.as_ref()?.get(&label).copied().unwrap_or(0);
        Some(voxels as f64 * voxel_ml?)
    };
    let convention = measures.convention;
    let number = |key: String| {
        let number = match convention.unscored(&key, Status::Failed) {
            Unscored::Value(number) => Some(number),
            Unscored::Infinite | Unscored::Undefined => None,
        };
        (key, number)
    };
    let report = |&label: &u8| ClassReport {
        numbers: measures.keys(unit).into_iter().map(number).collect(),
        ..ClassReport::failed(label, volume(label), convention)
    };
    classes.iter().map(report).collect()
}

/// The labels above zero that `volume` holds, in order.
pub fn foreground_labels(volume: &LabelVolume) -> BTreeSet<u8> {
    volume.counts().into_keys().filter(|&label| label > 0).collect()
}

#[cfg(test)]
mod tests {
    use lamina_io::{Affine, Geometry};
    use ndarray::Array3;

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
