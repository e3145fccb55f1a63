//! Cityscapes' official pixel-level scores, from pictures of ids.
//!
//! Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016, and the
//! official script, `evalPixelLevelSemanticLabeling`. All pixels of all pictures are pooled.
//!
//! | | counted |
//! |---|---|
//! | true positives | pixels of the class that are given it |
//! | false negatives | all its other pixels, also those given an id that is ignored |
//! | false positives | pixels of other classes that are given it, but for those that are ignored |
//!
//! A class without any of these has no score and is in no mean. iIoU weighs true positives and false
//! negatives of each instance by the average size of its class over its own, and false positives not
//! at all; groups (`instanceIds` up to 1000) are left out of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lamina_io::{ReadOptions, read_wide_labels};
use ndarray::Array3;
use rayon::prelude::*;
use serde::Serialize;

use super::pairs::in_one_line;

/// A label of the data set: its name, category and whether it is scored, by id.
type Label = (&'static str, &'static str, bool);

/// The labels with ids from 0 on, as cityscapesScripts lists them.
const LABELS: [Label; 34] = [
    ("unlabeled", "void", false),
    ("ego vehicle", "void", false),
    ("rectification border", "void", false),
    ("out of roi", "void", false),
    ("static", "void", false),
    ("dynamic", "void", false),
    ("ground", "void", false),
    ("road", "flat", true),
    ("sidewalk", "flat", true),
    ("parking", "flat", false),
    ("rail track", "flat", false),
    ("building", "construction", true),
    ("wall", "construction", true),
    ("fence", "construction", true),
    ("guard rail", "construction", false),
    ("bridge", "construction", false),
    ("tunnel", "construction", false),
    ("pole", "object", true),
    ("polegroup", "object", false),
    ("traffic light", "object", true),
    ("traffic sign", "object", true),
    ("vegetation", "nature", true),
    ("terrain", "nature", true),
    ("sky", "sky", true),
    ("person", "human", true),
    ("rider", "human", true),
    ("car", "vehicle", true),
    ("truck", "vehicle", true),
    ("bus", "vehicle", true),
    ("caravan", "vehicle", false),
    ("trailer", "vehicle", false),
    ("train", "vehicle", true),
    ("motorcycle", "vehicle", true),
    ("bicycle", "vehicle", true),
];

/// The categories, in their order.
const CATEGORIES: [&str; 8] =
    ["void", "flat", "construction", "object", "nature", "sky", "human", "vehicle"];

/// The ids of labels whose instances are told apart: those of people and vehicles.
const FIRST_WITH_INSTANCES: usize = 24;

/// The average size of an instance of each label that has them, in pixels, from id 24 on.
const AVERAGE_SIZES: [f64; 10] = [
    3_462.475_633_764_4,
    3_930.478_805_651_8,
    12_794.020_273_818_5,
    27_855.126_436_781_6,
    35_732.151_111_111_1,
    36_771.824_175_824_2,
    16_926.976_313_360_9,
    67_583.707_581_227_4,
    6_298.720_083_974_8,
    4_672.324_922_226_1,
];

/// The files of a picture.
#[derive(Debug, Clone)]
pub struct Picture {
    /// City, sequence and frame.
    pub name: String,
    /// Predicted ids, or why there are none.
    pub prediction: Result<PathBuf, String>,
    /// `…_gtFine_labelIds.png`.
    pub reference: PathBuf,
    /// `…_gtFine_instanceIds.png`.
    pub instances: PathBuf,
}

/// True positives and false negatives, weighed by the size of their instances.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Weighted {
    tp: f64,
    fn_: f64,
}

/// What was counted so far.
#[derive(Debug, Clone, PartialEq)]
pub struct CityscapesCounts {
    matrix: Vec<[u64; 34]>, // of the reference, of the prediction
    by_class: [Weighted; 34],
    by_category: [Weighted; 8],
}

impl Default for CityscapesCounts {
    fn default() -> Self {
        Self {
            matrix: vec![[0; 34]; 34],
            by_class: [Weighted::default(); 34],
            by_category: [Weighted::default(); 8],
        }
    }
}

impl CityscapesCounts {
    /// Counts a picture.
    ///
    /// # Shapes
    /// - `prediction`, `reference`, `instances`: `[1, height, width]`
    ///
    /// # Errors
    /// A sentence, when sizes differ or an id is none of the data set's.
    pub fn add_picture(
        &mut self,
        prediction: &Array3<u16>,
        reference: &Array3<u16>,
        instances: &Array3<u16>,
    ) -> Result<(), String> {
        for (name, found) in [("the prediction", prediction), ("instanceIds", instances)] {
            if found.dim() != reference.dim() {
                let size =
                    |(_, height, width): (usize, usize, usize)| format!("{width} x {height}");
                return Err(format!(
                    "expected {name} of {} pixels, as labelIds, found {}",
                    size(reference.dim()),
                    size(found.dim())
                ));
            }
        }
        let known = |name: &str, ids: &Array3<u16>| match ids.iter().find(|&&id| id >= 34) {
            Some(id) => Err(format!("expected ids from 0 to 33 in {name}, found {id}")),
            None => Ok(()),
        };
        known("labelIds", reference)?;
        known("the prediction", prediction)?;
        let mut of_instance: BTreeMap<u16, [u64; 3]> = BTreeMap::new(); // all, right, right category
        for ((&predicted, &annotated), &instance) in prediction.iter().zip(reference).zip(instances)
        {
            let predicted = usize::from(predicted);
            self.matrix[usize::from(annotated)][predicted] += 1;
            if instance > 1000 {
                let label = usize::from(instance / 1000);
                let Some((_, category, _)) = LABELS.get(label) else {
                    return Err(format!("expected instances of ids up to 33, found {instance}"));
                };
                let counts = of_instance.entry(instance).or_default();
                counts[0] += 1;
                counts[1] += u64::from(predicted == label);
                counts[2] += u64::from(LABELS[predicted].1 == *category);
            }
        }
        for (instance, [all, right, right_category]) in of_instance {
            let label = usize::from(instance / 1000);
            let (_, category, scored) = LABELS[label];
            let size = label.checked_sub(FIRST_WITH_INSTANCES).map(|n| AVERAGE_SIZES[n]);
            let (true, Some(size)) = (scored, size) else { continue };
            let weight = size / all as f64;
            let add = |sum: &mut Weighted, right: u64| {
                sum.tp += right as f64 * weight;
                sum.fn_ += (all - right) as f64 * weight;
            };
            add(&mut self.by_class[label], right);
            if let Some(place) = CATEGORIES.iter().position(|name| *name == category) {
                add(&mut self.by_category[place], right_category);
            }
        }
        Ok(())
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        let cells = self.matrix.iter_mut().flatten().zip(other.matrix.iter().flatten());
        cells.for_each(|(sum, count)| *sum += count);
        let weighted = self.by_class.iter_mut().chain(&mut self.by_category);
        for (sum, more) in weighted.zip(other.by_class.iter().chain(&other.by_category)) {
            sum.tp += more.tp;
            sum.fn_ += more.fn_;
        }
    }

    /// Pixels of ids `rows` that are given ids `columns`.
    fn sum(&self, rows: impl Fn(usize) -> bool, columns: impl Fn(usize) -> bool) -> u64 {
        let cells = (0..34).flat_map(|row| (0..34).map(move |column| (row, column)));
        let counted = cells.filter(|&(row, column)| rows(row) && columns(column));
        counted.map(|(row, column)| self.matrix[row][column]).sum()
    }

    fn class_iou(&self, id: usize) -> [Option<f64>; 2] {
        if !LABELS[id].2 {
            return [None, None];
        }
        let tp = self.matrix[id][id];
        let fn_ = self.sum(|row| row == id, |_| true) - tp;
        let fp = self.sum(|row| LABELS[row].2 && row != id, |column| column == id);
        let weighted = (id >= FIRST_WITH_INSTANCES).then(|| self.by_class[id]);
        [iou(tp as f64, fn_ as f64, fp), weighted.and_then(|sum| iou(sum.tp, sum.fn_, fp))]
    }

    fn category_iou(&self, place: usize) -> [Option<f64>; 2] {
        let of = |id: usize| LABELS[id].1 == CATEGORIES[place];
        let scored = |id: usize| LABELS[id].2;
        let tp = self.sum(|row| of(row) && scored(row), |column| of(column) && scored(column));
        let fn_ = self.sum(|row| of(row) && scored(row), |_| true) - tp;
        let others = |row: usize| scored(row) && !of(row);
        let fp = self.sum(others, |column| of(column) && scored(column));
        let with_instances = (FIRST_WITH_INSTANCES..34).any(of);
        // Here predictions of ignored ids of the category count too, as in the official script.
        let weighted = with_instances.then(|| self.by_category[place]);
        let fp_all = self.sum(others, of);
        [iou(tp as f64, fn_ as f64, fp), weighted.and_then(|sum| iou(sum.tp, sum.fn_, fp_all))]
    }

    /// The scores of what was counted.
    pub fn report(&self) -> CityscapesReport {
        let classes: Vec<[Option<f64>; 2]> = (0..34).map(|id| self.class_iou(id)).collect();
        let categories: Vec<[Option<f64>; 2]> = (0..8).map(|at| self.category_iou(at)).collect();
        let named = |names: &[&str], scores: &[[Option<f64>; 2]], which: usize| {
            let scores =
                names.iter().zip(scores).map(|(name, score)| ((*name).to_owned(), score[which]));
            scores.collect::<BTreeMap<_, _>>()
        };
        let names: Vec<&str> = LABELS.iter().map(|(name, ..)| *name).collect();
        CityscapesReport {
            average_score_classes: mean(&classes, 0),
            average_score_inst_classes: mean(&classes, 1),
            average_score_categories: mean(&categories, 0),
            average_score_inst_categories: mean(&categories, 1),
            class_scores: named(&names, &classes, 0),
            class_inst_scores: named(&names, &classes, 1),
            category_scores: named(&CATEGORIES, &categories, 0),
            category_inst_scores: named(&CATEGORIES, &categories, 1),
            conf_matrix: self.matrix.iter().map(|row| row.to_vec()).collect(),
            n_pictures: 0,
            n_failed: 0,
            failed: BTreeMap::new(),
        }
    }
}

fn iou(tp: f64, fn_: f64, fp: u64) -> Option<f64> {
    let all = tp + fn_ + fp as f64;
    (all > 0.0).then(|| tp / all)
}

fn mean(scores: &[[Option<f64>; 2]], which: usize) -> Option<f64> {
    super::summary::mean(scores.iter().filter_map(|score| score[which]))
}

/// The scores, with the names of the official script's file; what has no score is `null`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CityscapesReport {
    /// Mean IoU over the classes that have one.
    pub average_score_classes: Option<f64>,
    /// Mean iIoU over the classes that have one.
    pub average_score_inst_classes: Option<f64>,
    /// Mean IoU over the categories that have one.
    pub average_score_categories: Option<f64>,
    /// Mean iIoU over the categories that have one.
    pub average_score_inst_categories: Option<f64>,
    /// IoU of each class.
    pub class_scores: BTreeMap<String, Option<f64>>,
    /// iIoU of each class.
    pub class_inst_scores: BTreeMap<String, Option<f64>>,
    /// IoU of each category.
    pub category_scores: BTreeMap<String, Option<f64>>,
    /// iIoU of each category.
    pub category_inst_scores: BTreeMap<String, Option<f64>>,
    /// Pixels by id of the reference and id of the prediction.
    pub conf_matrix: Vec<Vec<u64>>,
    /// Pictures that have a reference.
    pub n_pictures: usize,
    /// Those of them that are in no number.
    pub n_failed: usize,
    /// Why, by name.
    pub failed: BTreeMap<String, String>,
}

impl CityscapesReport {
    /// Name, IoU and iIoU of each class, in the order of ids.
    pub fn classes(&self) -> Vec<(String, Option<f64>, Option<f64>)> {
        let scores = |(name, ..): &Label| {
            let of = |scores: &BTreeMap<String, Option<f64>>| scores.get(*name).copied().flatten();
            ((*name).to_owned(), of(&self.class_scores), of(&self.class_inst_scores))
        };
        LABELS.iter().map(scores).collect()
    }

    /// Name, IoU and iIoU of each category.
    pub fn categories(&self) -> Vec<(String, Option<f64>, Option<f64>)> {
        let scores = |name: &&str| {
            let of = |scores: &BTreeMap<String, Option<f64>>| scores.get(*name).copied().flatten();
            ((*name).to_owned(), of(&self.category_scores), of(&self.category_inst_scores))
        };
        CATEGORIES.iter().map(scores).collect()
    }
}

/// Scores pictures, several at a time. One that cannot be counted is in no number, and named.
pub fn evaluate_cityscapes(pictures: Vec<Picture>) -> CityscapesReport {
    let counted: Vec<(String, Result<CityscapesCounts, String>)> =
        pictures.into_par_iter().map(|picture| (picture.name.clone(), count(&picture))).collect();
    let n_pictures = counted.len();
    let mut all = CityscapesCounts::default();
    let mut failed = BTreeMap::new();
    for (name, counts) in counted {
        match counts {
            Ok(counts) => all.add(&counts),
            Err(reason) => {
                failed.insert(name, reason);
            }
        }
    }
    CityscapesReport { n_pictures, n_failed: failed.len(), failed, ..all.report() }
}

fn count(picture: &Picture) -> Result<CityscapesCounts, String> {
    let read = |path: &PathBuf| {
        let read = read_wide_labels(path, &ReadOptions::default());
        read.map(|(labels, _)| labels).map_err(|error| in_one_line(&error))
    };
    let prediction = picture.prediction.as_ref().map_err(Clone::clone)?;
    let (reference, instances) = (read(&picture.reference)?, read(&picture.instances)?);
    let mut counts = CityscapesCounts::default();
    counts
        .add_picture(&read(prediction)?, &reference, &instances)
        .map_err(|reason| format!("{reason}: {}", prediction.display()))?;
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ids: &[u16]) -> Array3<u16> {
        Array3::from_shape_vec([1, 1, ids.len()], ids.to_vec()).unwrap()
    }

    fn counts(prediction: &[u16], reference: &[u16], instances: &[u16]) -> CityscapesReport {
        let mut counts = CityscapesCounts::default();
        counts.add_picture(&row(prediction), &row(reference), &row(instances)).unwrap();
        counts.report()
    }

    #[test]
    fn ignored_ids_count_as_misses_and_what_lies_on_them_does_not_count() {
        // Road: one right, one given an ignored id; sidewalk given road; ignored given road.
        let found = counts(&[7, 0, 7, 7], &[7, 7, 8, 0], &[7, 7, 8, 0]);
        assert_eq!(found.class_scores["road"], Some(1.0 / 3.0));
        assert_eq!(found.class_scores["sidewalk"], Some(0.0));
        assert_eq!(found.class_scores["sky"], None);
        assert_eq!(found.average_score_classes, Some(1.0 / 6.0));
        // In the category flat only the second pixel is missed.
        assert_eq!(found.category_scores["flat"], Some(2.0 / 3.0));
        assert_eq!(found.category_scores["void"], None);
        assert_eq!(found.average_score_inst_classes, None);
    }

    #[test]
    fn instances_weigh_by_their_size_and_groups_do_not_count() {
        // Two cars of three and one pixel, and a group of cars; a building that is given car.
        let found = counts(
            &[26, 26, 27, 26, 11, 26],
            &[26, 26, 26, 26, 26, 11],
            &[26000, 26000, 26000, 26001, 26, 11],
        );
        let size = AVERAGE_SIZES[2];
        let (tp, fn_) = (size * (2.0 / 3.0 + 1.0), size / 3.0);
        let expected = tp / (tp + fn_ + 1.0);
        assert!((found.class_inst_scores["car"].unwrap() - expected).abs() < 1e-12);
        assert_eq!(found.class_scores["car"], Some(3.0 / 6.0));
        // For the category a truck is right.
        let expected = 2.0 * size / (2.0 * size + 1.0);
        assert!((found.category_inst_scores["vehicle"].unwrap() - expected).abs() < 1e-12);
        assert_eq!(found.category_inst_scores["flat"], None);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let mut counts = CityscapesCounts::default();
        let (one, two, unknown) = (row(&[7]), row(&[7, 7]), row(&[255]));
        for (prediction, reference, instances, expected) in [
            (&two, &one, &one, "expected the prediction of 1 x 1 pixels, as labelIds, found 2 x 1"),
            (&one, &one, &two, "expected instanceIds of 1 x 1 pixels, as labelIds, found 2 x 1"),
            (&unknown, &one, &one, "expected ids from 0 to 33 in the prediction, found 255"),
            (&one, &unknown, &one, "expected ids from 0 to 33 in labelIds, found 255"),
        ] {
            assert_eq!(counts.add_picture(prediction, reference, instances).unwrap_err(), expected);
        }
    }
}
