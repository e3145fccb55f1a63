//! `summary.json` as nnU-Net 2 writes it, for what reads that file.
//!
//! Counts, Dice and IoU of every label in every case, their means, and the mean over labels. By its
//! rules whatever convention the report has: a label that neither side holds has NaN, which means
//! leave out, and which the mean over labels does not. NaN is written as it does, bare, which is no
//! JSON. A case without a usable prediction is not in the file, as it is not in its.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::overlap::ClassOverlap;
use super::report::Report;

/// The files of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFiles {
    /// The reference's.
    pub reference: PathBuf,
    /// The prediction's.
    pub prediction: PathBuf,
}

/// What stands for NaN until the text is made; no path can hold it.
const NAN: &str = "\0nan";

/// The text of nnU-Net's `summary.json`; `files` by the names of cases.
///
/// Cases without their files here, or without a prediction, are left out.
pub fn nnunet_summary(report: &Report, files: &BTreeMap<String, CaseFiles>) -> String {
    let mut cases = Vec::new();
    let mut all: BTreeMap<String, Vec<Numbers>> = BTreeMap::new();
    for case in &report.cases {
        let (Some(files), Some(n_voxels)) = (files.get(&case.case), case.n_voxels) else {
            continue;
        };
        let mut metrics = BTreeMap::new();
        for class in &case.classes {
            if let Some(overlap) = class.voxels {
                let numbers = numbers(overlap, n_voxels);
                all.entry(class.label.to_string()).or_default().push(numbers);
                metrics.insert(class.label.to_string(), as_counted(&numbers));
            }
        }
        cases.push(json!({
            "metrics": metrics,
            "prediction_file": files.prediction.to_string_lossy(),
            "reference_file": files.reference.to_string_lossy(),
        }));
    }
    let means: BTreeMap<&String, Numbers> =
        all.iter().map(|(label, numbers)| (label, mean_of_numbers(numbers))).collect();
    let over_labels = NAMES.iter().enumerate().map(|(n, name)| {
        let sum: f64 = means.values().map(|numbers| numbers[n]).sum();
        ((*name).to_owned(), number(sum / means.len() as f64))
    });
    let means: BTreeMap<&String, Value> =
        means.iter().map(|(label, numbers)| (*label, as_numbers(numbers))).collect();
    let summary = json!({
        "foreground_mean": Value::Object(over_labels.collect()),
        "mean": means,
        "metric_per_case": cases,
    });
    with_bare_nan(&summary)
}

/// The numbers of a label, in the order of the file.
const NAMES: [&str; 8] = ["Dice", "FN", "FP", "IoU", "TN", "TP", "n_pred", "n_ref"];

type Numbers = [f64; 8];

fn numbers(overlap: ClassOverlap, n_voxels: u64) -> Numbers {
    let ClassOverlap { prediction, reference, both } = overlap;
    let (tp, fp, fn_) = (both, prediction - both, reference - both);
    let tn = n_voxels - tp - fp - fn_;
    let or_nan = |number: Option<f64>| number.unwrap_or(f64::NAN);
    let counts = [fn_, fp, tn, tp, prediction, reference].map(|count| count as f64);
    let [fn_, fp, tn, tp, prediction, reference] = counts;
    [or_nan(overlap.dice()), fn_, fp, or_nan(overlap.iou()), tn, tp, prediction, reference]
}

/// Over the cases that have a number, as `numpy.nanmean`.
fn mean_of_numbers(cases: &[Numbers]) -> Numbers {
    std::array::from_fn(|n| {
        let there: Vec<f64> = cases.iter().map(|case| case[n]).filter(|n| !n.is_nan()).collect();
        there.iter().sum::<f64>() / there.len() as f64 // NaN for none
    })
}

fn number(value: f64) -> Value {
    if value.is_nan() { Value::from(NAN) } else { Value::from(value) }
}

fn as_numbers(numbers: &Numbers) -> Value {
    let named = NAMES.iter().zip(numbers).map(|(name, &value)| ((*name).to_owned(), number(value)));
    Value::Object(named.collect())
}

/// The same with counts as whole numbers.
fn as_counted(numbers: &Numbers) -> Value {
    let named = NAMES.iter().zip(numbers).map(|(name, &value)| {
        let share = matches!(*name, "Dice" | "IoU");
        ((*name).to_owned(), if share { number(value) } else { Value::from(value as u64) })
    });
    Value::Object(named.collect::<Map<_, _>>())
}

fn with_bare_nan(summary: &Value) -> String {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, format);
    // Values of strings and numbers cannot fail to be written to memory.
    let written = serde::Serialize::serialize(summary, &mut serializer);
    assert!(written.is_ok(), "a value is written to memory");
    String::from_utf8_lossy(&text).replace("\"\\u0000nan\"", "NaN")
}

#[cfg(test)]
mod tests {
    use super::super::convention::Convention;
    use super::super::report::{CaseReport, ClassReport};
    use super::*;

    fn case(name: &str, counts: [[u64; 3]; 2]) -> CaseReport {
        let class = |(label, [prediction, reference, both]): (u8, [u64; 3])| {
            let overlap = ClassOverlap { prediction, reference, both };
            ClassReport::from_overlap(label, overlap, None, Convention::Lamina)
        };
        let classes = (1..).zip(counts).map(class).collect();
        CaseReport { n_voxels: Some(10), ..CaseReport::new(name, classes) }
    }

    #[test]
    fn numbers_and_nan_stand_where_nnu_net_puts_them() {
        let cases = vec![case("a", [[2, 2, 1], [0, 0, 0]]), case("b", [[1, 3, 1], [0, 0, 0]])];
        let report = Report::new(cases, &BTreeMap::new());
        let files = |name: &str| {
            let files = CaseFiles {
                reference: PathBuf::from(format!("r/{name}.nii.gz")),
                prediction: PathBuf::from(format!("p/{name}.nii.gz")),
            };
            (name.to_owned(), files)
        };
        let text = nnunet_summary(&report, &BTreeMap::from([files("a"), files("b")]));
        assert!(
            text.starts_with("{\n    \"foreground_mean\": {\n        \"Dice\": NaN,"),
            "{text}"
        );
        let value: Value = serde_json::from_str(&text.replace("NaN", "null")).unwrap();
        assert_eq!(value["mean"]["1"]["Dice"], 0.5);
        assert_eq!(value["mean"]["1"]["TP"], 1.0);
        assert_eq!(value["mean"]["2"]["Dice"], Value::Null);
        assert_eq!(value["foreground_mean"]["n_ref"], 1.25);
        assert_eq!(value["foreground_mean"]["IoU"], Value::Null);
        let first = &value["metric_per_case"][0];
        assert_eq!(first["reference_file"], "r/a.nii.gz");
        assert_eq!(
            first["metrics"]["1"],
            json!({"Dice": 0.5, "FN": 1, "FP": 1, "IoU": 1.0 / 3.0, "TN": 7, "TP": 1, "n_pred": 2, "n_ref": 2})
        );
        // Without files a case is none of nnU-Net's.
        let fewer = nnunet_summary(&report, &BTreeMap::from([files("b")]));
        assert_eq!(fewer.matches("reference_file").count(), 1);
    }
}
