//! What a plan is made from: each case measured by itself, and all of them together.

use std::collections::BTreeMap;

use lamina_io::dataset::{Case, Class, DatasetConfig};
use lamina_io::{LabelVolume, Volume};

use crate::error::EngineError;
use crate::losses::IGNORE_LABEL;
use crate::preprocess::Plane;

/// Foreground values that are kept of a case.
const KEPT_VALUES: usize = 2000;

/// One case, along the axes right, front and head of the patient, or x, y and the slices of a
/// picture.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseFacts {
    /// Distance of neighbors; none of a picture.
    pub spacing_mm: Option<[f64; 3]>,
    /// How many voxels there are.
    pub size: [usize; 3],
    /// Voxels of each label; those that count for nothing are left out.
    pub voxels: BTreeMap<u8, u64>,
    /// Some values of the foreground, evenly taken.
    pub foreground: Vec<f32>,
}

impl CaseFacts {
    /// Measures a case.
    pub fn of(volume: &Volume, reference: &LabelVolume) -> Self {
        let geometry = &volume.geometry;
        let [depth, height, width] = volume.shape();
        let sizes = [width, height, depth];
        let axes = match geometry.spacing_mm() {
            Some(_) => Plane::Axial.axis_order(geometry).axes(),
            None => [0, 1, 2],
        };
        let is_foreground = |label: u8| label != 0 && label != IGNORE_LABEL;
        let places = reference.labels.indexed_iter().filter(|(_, label)| is_foreground(**label));
        let count = places.clone().count();
        let step = count.div_ceil(KEPT_VALUES).max(1);
        let foreground = places
            .step_by(step)
            .map(|((k, j, i), _)| volume.value([k, j, i]) as f32)
            .filter(|value| value.is_finite())
            .collect();
        let counts = reference.counts().into_iter();
        Self {
            spacing_mm: geometry.spacing_mm().map(|spacing| axes.map(|axis| spacing[axis])),
            size: axes.map(|axis| sizes[axis]),
            voxels: counts.filter(|(label, _)| *label != IGNORE_LABEL).collect(),
            foreground,
        }
    }

    /// A picture in color, of which only the size and the labels are looked at.
    ///
    /// # Errors
    /// What reading its labels answers.
    pub fn read_picture(case: &Case) -> Result<Self, EngineError> {
        let reference = case.read_labels()?;
        let (depth, height, width) = reference.labels.dim();
        let counts = reference.counts().into_iter();
        Ok(Self {
            spacing_mm: None,
            size: [width, height, depth],
            voxels: counts.filter(|(label, _)| *label != IGNORE_LABEL).collect(),
            foreground: Vec::new(),
        })
    }

    /// Reads and measures a case.
    ///
    /// # Errors
    /// What reading its files answers, or where they do not belong together.
    pub fn read(case: &Case) -> Result<Self, EngineError> {
        let volume = case.read_volume()?;
        let reference = case.read_labels()?;
        if let Err(mismatch) = volume.geometry.same_grid(&reference.geometry) {
            return Err(EngineError::data(&case.labels, mismatch.to_string()));
        }
        Ok(Self::of(&volume, &reference))
    }
}

/// A class in all cases.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassFacts {
    /// Its name.
    pub name: String,
    /// Its voxels among all that count.
    pub share: f64,
    /// Cases that show it.
    pub cases: usize,
}

/// All cases.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFacts {
    /// `ct`, `mr`, `rgb`, or what the data set calls it; lower case.
    pub modality: String,
    /// How many cases there are.
    pub cases: usize,
    /// Their middle spacing along right, front and head, where all have one.
    pub spacing_mm: Option<[f64; 3]>,
    /// By how much, as a factor, the spacing of a case differs most from the middle one.
    pub spacing_spread: [f64; 3],
    /// Their middle size in voxels.
    pub size: [usize; 3],
    /// The largest.
    pub largest: [usize; 3],
    /// Percentiles 0.5 and 99.5 of the foreground's values.
    pub foreground: Option<[f64; 2]>,
    /// The classes, the first one too.
    pub classes: Vec<ClassFacts>,
}

impl DataFacts {
    /// What the cases have in common. None of no case.
    pub fn of(cases: &[CaseFacts], config: &DatasetConfig, classes: &[Class]) -> Option<Self> {
        let first = cases.first()?;
        let spacings: Option<Vec<[f64; 3]>> = cases.iter().map(|case| case.spacing_mm).collect();
        let along = |axis: usize| {
            spacings.iter().flatten().map(move |spacing| spacing[axis]).collect::<Vec<f64>>()
        };
        let middle_of = |axis| median(along(axis)).unwrap_or(1.0);
        let spread = |axis| {
            let middle = middle_of(axis);
            along(axis).iter().fold(1.0_f64, |most, mm| most.max((mm / middle).max(middle / mm)))
        };
        let sizes = |axis: usize| cases.iter().map(move |case| case.size[axis]);
        let total: u64 = cases.iter().flat_map(|case| case.voxels.values()).sum();
        let class = |(label, class): (u8, &Class)| {
            let voxels = cases.iter().filter_map(|case| case.voxels.get(&label));
            ClassFacts {
                name: class.name.clone(),
                share: voxels.clone().sum::<u64>() as f64 / total.max(1) as f64,
                cases: voxels.count(),
            }
        };
        let mut foreground: Vec<f32> =
            cases.iter().flat_map(|case| case.foreground.iter().copied()).collect();
        foreground.sort_unstable_by(f32::total_cmp);
        let percentile = |percent: f64| {
            let place = (foreground.len().checked_sub(1)? as f64 * percent / 100.0).round();
            foreground.get(place as usize).map(|value| f64::from(*value))
        };
        Some(Self {
            modality: config.modality.to_lowercase(),
            cases: cases.len(),
            spacing_mm: first.spacing_mm.and(spacings.as_ref()).map(|_| [0, 1, 2].map(middle_of)),
            spacing_spread: [0, 1, 2].map(spread),
            size: [0, 1, 2].map(|axis| {
                median(sizes(axis).map(|size| size as f64).collect()).unwrap_or(1.0) as usize
            }),
            largest: [0, 1, 2].map(|axis| sizes(axis).max().unwrap_or(1)),
            foreground: percentile(0.5).zip(percentile(99.5)).map(<[f64; 2]>::from),
            classes: (0..).zip(classes).map(class).collect(),
        })
    }
}

/// The middle value; the lower one of two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use lamina_io::{Affine, Geometry};
    use ndarray::Array3;

    use super::*;

    #[test]
    fn a_case_is_measured_along_the_axes_of_the_patient() {
        // x runs to the head, y to the right, z to the front.
        let affine =
            Affine::from_columns([[0.0, 0.0, 5.0], [2.0, 0.0, 0.0], [0.0, 3.0, 0.0]], [0.0; 3]);
        let geometry = Geometry::new([4, 3, 2], affine).unwrap();
        let values = Array3::from_shape_fn([4, 3, 2], |(k, j, i)| (100 * k + 10 * j + i) as f32);
        let volume = Volume::from_array(values, geometry.clone()).unwrap();
        let mut labels = Array3::zeros([4, 3, 2]);
        labels[[3, 2, 1]] = 1;
        labels[[0, 0, 0]] = 255;
        let facts = CaseFacts::of(&volume, &LabelVolume::new(labels, geometry).unwrap());
        assert_eq!(facts.spacing_mm, Some([2.0, 3.0, 5.0]));
        assert_eq!(facts.size, [3, 4, 2]);
        assert_eq!(facts.voxels, BTreeMap::from([(0, 22), (1, 1)]));
        assert_eq!(facts.foreground, [321.0]);
    }

    #[test]
    fn cases_together_have_a_middle_and_a_spread() {
        let case = |mm: f64, size: usize, front: u64| CaseFacts {
            spacing_mm: Some([mm, 1.0, 3.0]),
            size: [size, 10, 5],
            voxels: BTreeMap::from([(0, 90), (1, front)]),
            foreground: vec![front as f32],
        };
        let cases = [case(1.0, 8, 10), case(0.5, 30, 0), case(0.8, 9, 20)];
        let classes =
            ["background", "front"].map(|name| Class { name: name.into(), ..Class::default() });
        let config = DatasetConfig { modality: "MR".into(), ..DatasetConfig::default() };
        let facts = DataFacts::of(&cases, &config, &classes).unwrap();
        assert_eq!((facts.spacing_mm, facts.size), (Some([0.8, 1.0, 3.0]), [9, 10, 5]));
        assert_eq!((facts.spacing_spread[0], facts.largest), (1.6, [30, 10, 5]));
        assert_eq!(facts.classes[1].share, 30.0 / 300.0);
        assert_eq!((facts.classes[1].cases, facts.modality.as_str()), (3, "mr"));
        assert!(DataFacts::of(&[], &config, &classes).is_none());
    }
}
