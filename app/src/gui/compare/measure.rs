//! Measures labels against their reference. Runs as a job.
//!
//! The numbers of cases and classes are measured on the grid of the reference, as `lamina evaluate`
//! does; the curves along the slices on the grid of the image, for they stand below its slices.

use std::collections::BTreeMap;

use lamina_edit::Scene;
use lamina_engine::metrics::{ClassOverlap, ClassReport, Comparison, SliceOverlaps, Status};
use lamina_io::LabelVolume;

use super::Reference;
use crate::gui::labels::onto_grid;

/// How far apart surfaces may lie and still count as equal, as `lamina evaluate` has it.
const TOLERANCE_MM: f64 = 1.0;

/// Which labels and which reference were measured.
pub type Key = [u64; 3];

/// What to measure.
pub struct MeasureRequest {
    /// The labels.
    pub scene: Scene,
    /// What to compare them with.
    pub reference: Reference,
    /// Which they are.
    pub key: Key,
}

/// Where the surfaces of a label lie farthest apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorstPoint {
    /// The label.
    pub label: u8,
    /// The place, in RAS millimeters.
    pub mm: [f64; 3],
    /// How far the other surface is.
    pub distance_mm: f64,
    /// Whether it lies on the surface of the labels, or else of the reference.
    pub on_labels: bool,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Which labels and reference.
    pub key: Key,
    /// One row for each label that either side has.
    pub classes: Vec<ClassReport>,
    /// Whether labels had to be brought onto the grid of the reference.
    pub resampled: bool,
    worst: Vec<WorstPoint>,
    /// For each voxel axis the Dice of its slices, by label; 0 stands for the mean.
    curves: [BTreeMap<u8, Vec<Option<f64>>>; 3],
}

impl Measured {
    /// Dice of each slice along a voxel axis, of a label or the mean.
    pub fn curve(&self, axis: usize, label: Option<u8>) -> Option<&[Option<f64>]> {
        self.curves[axis].get(&label.unwrap_or(0)).map(Vec::as_slice)
    }

    /// The worst point of a label, or of all.
    pub fn worst(&self, label: Option<u8>) -> Option<&WorstPoint> {
        let asked = self.worst.iter().filter(|point| label.is_none_or(|l| l == point.label));
        asked.max_by(|a, b| a.distance_mm.total_cmp(&b.distance_mm))
    }

    /// Mean Dice over the labels that either side has.
    pub fn mean_dice(&self) -> Option<f64> {
        mean(self.classes.iter().filter_map(|class| class.dice))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Measures.
///
/// # Errors
/// A sentence, where the two have no place in common.
pub fn measure(request: MeasureRequest) -> Result<Measured, String> {
    let MeasureRequest { scene, reference, key } = request;
    let (labels, geometry) = (scene.labels().clone(), scene.geometry().clone());
    drop(scene); // or a change of the labels would copy them
    let slices = SliceOverlaps::of(&labels, &reference.labels);
    let labels = LabelVolume { labels, geometry, source: reference.native.source.clone() };
    let (labels, resampled) = onto_grid(labels, &reference.native.geometry)
        .map_err(|mismatch| format!("The reference does not belong to the image: {mismatch}"))?;
    let compared = Comparison::of(&labels, &reference.native, Some(TOLERANCE_MM))
        .map_err(|mismatch| format!("The reference does not belong to the image: {mismatch}"))?;
    let found: Vec<u8> = compared.labels().into_iter().collect();
    let to_ras = reference.native.geometry.ras_from_index();
    let worst = found.iter().filter_map(|&label| {
        let point = compared.farthest(label)?;
        let [k, j, i] = point.index.map(|index| index as f64);
        let (mm, distance_mm) = (to_ras.apply([i, j, k]), point.distance_mm);
        Some(WorstPoint { label, mm, distance_mm, on_labels: point.on_prediction })
    });
    Ok(Measured {
        key,
        classes: compared.classes(&found),
        resampled,
        worst: worst.collect(),
        curves: [0, 1, 2].map(|axis| curves(&slices, 2 - axis, &found)),
    })
}

/// Dice of the slices along an array axis, of each label and their mean.
fn curves(slices: &SliceOverlaps, axis: usize, labels: &[u8]) -> BTreeMap<u8, Vec<Option<f64>>> {
    let mut curves: BTreeMap<u8, Vec<Option<f64>>> = labels
        .iter()
        .map(|&label| {
            let dice = slices.along(axis, label).into_iter().map(ClassOverlap::dice);
            (label, dice.collect())
        })
        .collect();
    let count = curves.values().next().map_or(0, Vec::len);
    let of_all = (0..count).map(|slice| mean(curves.values().filter_map(|curve| curve[slice])));
    let of_all = of_all.collect();
    curves.insert(0, of_all);
    curves
}

/// What a status means, for people.
pub fn explain(status: Status) -> &'static str {
    match status {
        Status::Scored => "both have it",
        Status::Missed => "missed: only the reference has it",
        Status::False => "false: only the labels have it",
        Status::BothEmpty => "neither has it",
        Status::Failed => "could not be compared",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lamina_edit::Session;
    use lamina_io::{Affine, Geometry};
    use ndarray::{Array3, Axis, s};

    use super::*;

    fn volume(labels: Array3<u8>, spacing: [f64; 3], origin: [f64; 3]) -> LabelVolume {
        let (depth, height, width) = labels.dim();
        let affine = Affine::from_spacing_origin(spacing, origin);
        let geometry = Geometry::new([depth, height, width], affine).unwrap();
        LabelVolume::new(labels, geometry).unwrap()
    }

    fn measured(labels: LabelVolume, reference: LabelVolume) -> Measured {
        let grid = labels.geometry.clone();
        let (brought, _) = onto_grid(reference.clone(), &grid).unwrap();
        let reference = Reference {
            file: None,
            native: Arc::new(reference),
            labels: Arc::new(brought.labels),
            classes: Vec::new(),
            origin: String::new(),
            id: 1,
        };
        let scene = Session::new(labels).scene().clone();
        measure(MeasureRequest { scene, reference, key: [0; 3] }).unwrap()
    }

    /// Dice of one label by sets of places, in another way than the engine's.
    fn dice_by_hand(a: &[u8], b: &[u8], label: u8) -> Option<f64> {
        let places = |labels: &[u8]| -> std::collections::BTreeSet<usize> {
            labels.iter().enumerate().filter(|(_, l)| **l == label).map(|(n, _)| n).collect()
        };
        let (a, b) = (places(a), places(b));
        let size = a.len() + b.len();
        (size > 0).then(|| 2.0 * a.intersection(&b).count() as f64 / size as f64)
    }

    #[test]
    fn curves_are_the_dice_of_each_slice_and_the_mean_of_what_is_there() {
        let of = |seed: usize| {
            Array3::from_shape_fn([3, 4, 5], |(k, j, i)| match (k * 11 + j * 7 + i * seed) % 5 {
                label @ 1..=2 => label as u8,
                _ => 0,
            })
        };
        let (a, b) = (of(3), of(4));
        let spacing = [1.0, 2.0, 3.0];
        let found =
            measured(volume(a.clone(), spacing, [0.0; 3]), volume(b.clone(), spacing, [0.0; 3]));
        assert!(!found.resampled);
        for axis in 0..3 {
            let along = Axis(2 - axis);
            for slice in 0..a.len_of(along) {
                let flat = |labels: &Array3<u8>| -> Vec<u8> {
                    labels.index_axis(along, slice).iter().copied().collect()
                };
                let expected = [1, 2].map(|label| dice_by_hand(&flat(&a), &flat(&b), label));
                for (label, expected) in [1, 2].into_iter().zip(expected) {
                    assert_eq!(found.curve(axis, Some(label)).unwrap()[slice], expected);
                }
                let there: Vec<f64> = expected.into_iter().flatten().collect();
                let mean =
                    (!there.is_empty()).then(|| there.iter().sum::<f64>() / there.len() as f64);
                assert_eq!(found.curve(axis, None).unwrap()[slice], mean);
            }
        }
        assert_eq!(found.curve(0, Some(9)), None);
    }

    #[test]
    fn a_reference_on_another_grid_is_measured_there_and_the_worst_point_is_in_the_patient() {
        // The same box of 4 x 4 x 4 mm, on voxels of 1 mm, and of 2 mm with a speck 8 mm away.
        let mut fine = Array3::zeros([12, 12, 12]);
        fine.slice_mut(s![0..4, 0..4, 0..4]).fill(1);
        let mut coarse = Array3::zeros([6, 6, 6]);
        coarse.slice_mut(s![0..2, 0..2, 0..2]).fill(1);
        coarse[[0, 0, 5]] = 1;
        let found = measured(volume(fine, [1.0; 3], [0.0; 3]), volume(coarse, [2.0; 3], [0.5; 3]));
        assert!(found.resampled);
        let class = &found.classes[0];
        assert_eq!((class.status, class.dice), (Status::Scored, Some(2.0 * 8.0 / 17.0)));
        assert!((class.volume_ml_reference.unwrap() - 9.0 * 0.008).abs() < 1e-12);
        let worst = found.worst(None).unwrap();
        assert_eq!((worst.mm, worst.distance_mm), ([10.5, 0.5, 0.5], 8.0));
        assert!(!worst.on_labels);
        assert_eq!(found.worst(Some(2)), None);
    }

    #[test]
    fn what_one_side_lacks_has_a_status_and_no_distance() {
        let mut labels = Array3::zeros([1, 2, 2]);
        labels[[0, 0, 0]] = 1;
        let mut reference = Array3::zeros([1, 2, 2]);
        reference[[0, 1, 1]] = 2;
        let found =
            measured(volume(labels, [1.0; 3], [0.0; 3]), volume(reference, [1.0; 3], [0.0; 3]));
        let rows: Vec<_> =
            found.classes.iter().map(|c| (c.label, c.status, c.dice, c.surface)).collect();
        assert_eq!(
            rows,
            [(1, Status::False, Some(0.0), None), (2, Status::Missed, Some(0.0), None)]
        );
        assert_eq!((found.worst(None), found.mean_dice()), (None, Some(0.0)));
    }
}
