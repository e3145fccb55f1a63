//! Numbers that the page needs beside those of a report: the order of cases, and pooled ones.

use lamina_engine::metrics::Report;
use lamina_engine::metrics::statistics::{Bootstrap, Groups, Interval};
use serde::Deserialize;

/// The cases from the lowest mean Dice to the highest; those without one come last.
pub fn ranked(report: &Report) -> Vec<(String, Option<f64>)> {
    let mut cases: Vec<(String, Option<f64>)> =
        report.cases.iter().map(|case| (case.case.clone(), case.mean_dice())).collect();
    cases.sort_by(|a, b| {
        let key = |dice: Option<f64>| dice.unwrap_or(f64::INFINITY);
        key(a.1).total_cmp(&key(b.1)).then_with(|| a.0.cmp(&b.0))
    });
    cases
}

/// Which label was taken for which: of all cases together, and of each where that is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pooled {
    /// Of all cases.
    pub all: Confusion,
    /// Of each case, by name; empty where the evaluation holds none.
    pub cases: Vec<(String, Confusion)>,
}

/// A confusion matrix as evaluations hold it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Confusion {
    /// The label of each row and column.
    pub labels: Vec<u8>,
    /// Voxels, one row for each label of the reference, one column for each of the prediction.
    pub rows: Vec<Vec<u64>>,
    /// Voxels of which one side has a label that is not in the list.
    #[serde(default)]
    pub other: u64,
}

impl Confusion {
    fn is_square(&self) -> bool {
        let size = self.labels.len();
        size > 0 && self.rows.len() == size && self.rows.iter().all(|row| row.len() == size)
    }

    /// IoU of the class in this row, `None` where it is nowhere.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let both = self.rows[class][class];
        let reference: u64 = self.rows[class].iter().sum();
        let prediction: u64 = self.rows.iter().map(|row| row[class]).sum();
        let either = reference + prediction - both;
        (either > 0).then(|| both as f64 / either as f64)
    }

    /// Mean IoU over the classes that are somewhere.
    pub fn mean_iou(&self) -> Option<f64> {
        let found: Vec<f64> = (0..self.labels.len()).filter_map(|class| self.iou(class)).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    }

    /// Share of the voxels whose label is right.
    pub fn accuracy(&self) -> Option<f64> {
        let all: u64 = self.rows.iter().flatten().sum::<u64>() + self.other;
        let right: u64 = (0..self.labels.len()).map(|class| self.rows[class][class]).sum();
        (all > 0).then(|| right as f64 / all as f64)
    }

    fn add(&mut self, other: &Self) {
        for (row, added) in self.rows.iter_mut().zip(&other.rows) {
            for (count, added) in row.iter_mut().zip(added) {
                *count += added;
            }
        }
        self.other += other.other;
    }
}

impl Pooled {
    /// Finds the matrices in an evaluation, `None` where there is none.
    pub fn of(evaluation: &serde_json::Value) -> Option<Self> {
        let confusion = |value: &serde_json::Value| -> Option<Confusion> {
            let found = Confusion::deserialize(&value["confusion"]).ok()?;
            found.is_square().then_some(found)
        };
        let all = confusion(&evaluation["summary"]["pooled"])?;
        let cases = evaluation["cases"].as_array().into_iter().flatten().filter_map(|case| {
            let own = confusion(&case["pixels"]).filter(|own| own.labels == all.labels)?;
            Some((case["case"].as_str()?.to_owned(), own))
        });
        Some(Self { cases: cases.collect(), all })
    }

    /// The interval of the mean IoU, cases drawn by patient; `None` where single cases are not known.
    pub fn interval(&self, draw: &Bootstrap, patient: impl Fn(&str) -> String) -> Option<Interval> {
        let groups: Vec<String> = self.cases.iter().map(|(case, _)| patient(case)).collect();
        let groups = Groups::by_name(groups.iter().map(String::as_str));
        let empty = Confusion {
            labels: self.all.labels.clone(),
            rows: vec![vec![0; self.all.labels.len()]; self.all.labels.len()],
            other: 0,
        };
        draw.interval(&groups, |cases| {
            let mut sum = empty.clone();
            for &case in cases {
                sum.add(&self.cases[case].1);
            }
            sum.mean_iou()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pooled_numbers_are_those_of_the_matrix() {
        let evaluation = json!({
            "summary": {"pooled": {"confusion": {"labels": [0, 1, 2], "rows": [[6, 2, 0], [1, 3, 0], [0, 0, 0]]}}},
            "cases": [
                {"case": "a", "pixels": {"confusion": {"labels": [0, 1, 2], "rows": [[6, 0, 0], [0, 3, 0], [0, 0, 0]]}}},
                {"case": "b", "pixels": {"confusion": {"labels": [0, 1, 2], "rows": [[0, 2, 0], [1, 0, 0], [0, 0, 0]]}}},
                {"case": "c"},
            ],
        });
        let pooled = Pooled::of(&evaluation).unwrap();
        assert_eq!(pooled.all.iou(0), Some(6.0 / 9.0));
        assert_eq!(pooled.all.iou(2), None);
        assert_eq!(pooled.all.mean_iou(), Some(f64::midpoint(6.0 / 9.0, 0.5)));
        assert_eq!(pooled.all.accuracy(), Some(0.75));
        let interval = pooled.interval(&Bootstrap::default(), str::to_owned).unwrap();
        assert_eq!((interval.low, interval.high), (0.0, 1.0));
        assert_eq!(Pooled::of(&json!({"summary": {}})), None);
        let odd =
            json!({"summary": {"pooled": {"confusion": {"labels": [0, 1], "rows": [[1, 2]]}}}});
        assert_eq!(Pooled::of(&odd), None);
    }
}
