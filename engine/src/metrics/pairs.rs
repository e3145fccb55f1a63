//! From pairs of files to a report: what `lamina evaluate` does once it knows which files belong
//! together.
//!
//! A pair that cannot be compared is a case of the report like any other, with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};

use lamina_io::{LabelVolume, ReadOptions, read_labels};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::confusion::Confusion;
use super::measures::{Measures, Metric};
use super::nnunet::CaseFiles;
use super::report::{CaseReport, PixelReport, Report};
use super::{Comparison, failed_by, foreground_labels};

/// A reference, and what was predicted for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// What the case is called.
    pub case: String,
    /// The file of the reference.
    pub reference: PathBuf,
    /// The file of the prediction, or why there is none.
    pub prediction: Result<PathBuf, String>,
}

/// What the numbers of many cases are made into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Every case by itself, then their mean: volumes of patients.
    #[default]
    PerCase,
    /// All pixels of all cases in one confusion matrix: pictures of streets.
    Pooled,
}

/// What to make of pairs.
#[derive(Debug, Clone, Default)]
pub struct Evaluation {
    /// The labels that are scored, in order; none for all above zero that occur. Zero is scored
    /// where it is pooled, if it is here.
    pub classes: Vec<u8>,
    /// What the labels are called.
    pub names: BTreeMap<u8, String>,
    /// What is measured.
    pub measures: Measures,
    /// What the numbers are made into.
    pub aggregation: Aggregation,
}

/// What came of pairs.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// The numbers.
    pub report: Report,
    /// The files of the cases that have numbers.
    pub files: BTreeMap<String, CaseFiles>,
    /// Labels that files hold and that were not scored.
    pub unscored: BTreeSet<u8>,
}

/// Compares every pair, several at a time.
pub fn evaluate_pairs(pairs: &[Pair], evaluation: &Evaluation) -> Evaluated {
    let measures = &evaluation.measures;
    let compared: Vec<Compared> = pairs.par_iter().map(|pair| compare(pair, measures)).collect();
    let occurring: BTreeSet<u8> = compared.iter().flat_map(Compared::labels).collect();
    let pooled = evaluation.aggregation == Aggregation::Pooled;
    let classes: Vec<u8> = if evaluation.classes.is_empty() {
        occurring.iter().copied().collect()
    } else {
        let scored = |&label: &u8| label > 0 || pooled;
        evaluation.classes.iter().copied().filter(scored).collect()
    };
    let with_pixels = pooled || measures.has(Metric::Pixels);
    let in_pixels: Vec<u8> = if pooled || classes.contains(&0) {
        classes.clone()
    } else {
        std::iter::once(0).chain(classes.iter().copied()).collect() // background is a class there
    };
    let mut files = BTreeMap::new();
    let cases = pairs.iter().zip(&compared).map(|(pair, compared)| {
        if let (Ok(_), Ok(prediction)) = (&compared.result, &pair.prediction) {
            let (reference, prediction) = (pair.reference.clone(), prediction.clone());
            files.insert(pair.case.clone(), CaseFiles { reference, prediction });
        }
        let pixels = with_pixels.then_some(in_pixels.as_slice());
        compared.report(&pair.case, &classes, pixels, measures)
    });
    let mut report = Report::of(cases.collect(), &evaluation.names, measures);
    report.aggregation = evaluation.aggregation;
    if with_pixels {
        let mut all = Confusion::default();
        let comparisons = compared.iter().filter_map(|compared| compared.result.as_ref().ok());
        let n_cases = comparisons.map(|comparison| all.add(comparison.confusion())).count();
        report.summary.pooled = Some(PixelReport::of(&all, &in_pixels, n_cases));
    }
    let known = |label: &u8| classes.contains(label) || measures.ignored.contains(label);
    let unscored = occurring.into_iter().filter(|label| !known(label)).collect();
    Evaluated { report, files, unscored }
}

/// What came of one pair.
struct Compared {
    reference: Option<LabelVolume>, // kept only where the comparison failed
    result: Result<Comparison, String>,
}

impl Compared {
    fn report(
        &self,
        case: &str,
        classes: &[u8],
        pixels: Option<&[u8]>,
        measures: &Measures,
    ) -> CaseReport {
        match &self.result {
            Ok(comparison) => CaseReport {
                n_voxels: Some(comparison.confusion().total()),
                pixels: pixels.map(|pixels| PixelReport::of(comparison.confusion(), pixels, 1)),
                ..CaseReport::new(case, comparison.classes(classes))
            },
            Err(reason) => {
                CaseReport::new(case, failed_by(self.reference.as_ref(), classes, measures))
                    .with_error(reason)
            }
        }
    }

    fn labels(&self) -> BTreeSet<u8> {
        match &self.result {
            Ok(comparison) => comparison.labels(),
            Err(_) => self.reference.as_ref().map(foreground_labels).unwrap_or_default(),
        }
    }
}

fn compare(pair: &Pair, measures: &Measures) -> Compared {
    let reference = match read(&pair.reference) {
        Ok(reference) => reference,
        Err(reason) => {
            let reason = format!("the reference cannot be read: {reason}");
            return Compared { reference: None, result: Err(reason) };
        }
    };
    let result = pair.prediction.clone().and_then(|path| {
        let prediction = read(&path)?;
        Comparison::measure(&prediction, &reference, measures).map_err(|mismatch| {
            let path = path.display();
            format!("the prediction is not on the grid of its reference: {mismatch}: {path}")
        })
    });
    Compared { reference: result.is_err().then_some(reference), result }
}

fn read(path: &Path) -> Result<LabelVolume, String> {
    read_labels(path, &ReadOptions::default()).map_err(|error| in_one_line(&error))
}

/// The error and what caused it, without what only repeats the one above.
pub(super) fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let mut messages: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let message = error.to_string();
        if !messages.last().is_some_and(|above| above.contains(&message)) {
            messages.push(message);
        }
        next = error.source();
    }
    messages.join(": ")
}

#[cfg(test)]
mod tests {
    use lamina_io::{Geometry, write_labels};
    use ndarray::Array3;

    use super::super::overlap::Status;
    use super::*;

    fn written(folder: &Path, name: &str, labels: [u8; 6]) -> PathBuf {
        let geometry = Geometry::pixels([1, 2, 3]);
        let labels = Array3::from_shape_vec([1, 2, 3], labels.to_vec()).unwrap();
        let path = folder.join(name);
        write_labels(&path, &LabelVolume::new(labels, geometry).unwrap()).unwrap();
        path
    }

    #[test]
    fn pictures_are_pooled_and_cases_are_averaged() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, labels| written(folder.path(), name, labels);
        let pair = |case: &str, prediction: PathBuf, reference| Pair {
            case: case.to_owned(),
            reference,
            prediction: Ok(prediction),
        };
        let pairs = [
            pair("a", file("pa.png", [1, 1, 0, 0, 2, 2]), file("ra.png", [1, 1, 0, 0, 2, 9])),
            pair("b", file("pb.png", [1, 0, 0, 0, 0, 0]), file("rb.png", [1, 1, 1, 1, 0, 0])),
            Pair {
                case: "c".to_owned(),
                reference: file("rc.png", [1; 6]),
                prediction: Err("there is none".to_owned()),
            },
        ];
        let mut evaluation = Evaluation {
            classes: vec![0, 1, 2],
            aggregation: Aggregation::Pooled,
            ..Evaluation::default()
        };
        evaluation.measures.ignored = BTreeSet::from([9]);
        let found = evaluate_pairs(&pairs, &evaluation);
        let pooled = found.report.summary.pooled.unwrap();
        assert_eq!((pooled.n_cases, pooled.n_voxels, pooled.n_classes), (2, 11, 3));
        assert_eq!(pooled.accuracy, Some(8.0 / 11.0));
        // By class 4 of 7, 3 of 6 and 1 of 1.
        let iou: Vec<f64> = pooled.classes.iter().filter_map(|class| class.iou).collect();
        assert_eq!(iou, [4.0 / 7.0, 0.5, 1.0]);
        assert!(found.unscored.is_empty());

        evaluation.aggregation = Aggregation::PerCase;
        let found = evaluate_pairs(&pairs, &evaluation);
        assert!(found.report.summary.pooled.is_none());
        let classes = &found.report.summary.classes;
        assert_eq!(classes.iter().map(|class| class.label).collect::<Vec<_>>(), [1, 2]);
        // 1, 0.4 and 0 for the one without a prediction.
        assert!((classes[0].dice.unwrap().mean - 1.4 / 3.0).abs() < 1e-12);
        assert_eq!(found.report.cases[1].classes[1].status, Status::BothEmpty);
        assert_eq!(found.files.keys().collect::<Vec<_>>(), ["a", "b"]);
        let back: Report =
            serde_json::from_str(&serde_json::to_string(&found.report).unwrap()).unwrap();
        assert_eq!(back, found.report);
    }
}
