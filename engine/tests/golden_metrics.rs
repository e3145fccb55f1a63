//! Every convention against the library that it is named after, on the same masks.
//!
//! `tests/golden/metrics/make.py` made masks and numbers; what it ran and what it wrote anew stands
//! there. MONAI computes in single precision, so its numbers may differ by a few units of its last
//! place, here 2e-6 of the number; the others by the order of their sums, 1e-12.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use lamina_engine::metrics::{
    BoundaryWidth, CaseFiles, CaseReport, ClassReport, Comparison, Convention, Measures, Metric,
    Report, nnunet_summary,
};
use lamina_io::{Affine, Geometry, LabelVolume};
use ndarray::Array3;
use serde_json::Value;

fn golden(name: &str) -> Value {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/metrics");
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

/// Prediction and reference of each case.
fn masks() -> BTreeMap<String, [LabelVolume; 2]> {
    let volume = |case: &Value, side: &str| {
        let shape: [usize; 3] = serde_json::from_value(case["shape"].clone()).unwrap();
        let runs: Vec<(u8, usize)> = serde_json::from_value(case[side].clone()).unwrap();
        let labels =
            runs.into_iter().flat_map(|(label, times)| std::iter::repeat_n(label, times)).collect();
        let spacing: Option<[f64; 3]> = serde_json::from_value(case["spacing_mm"].clone()).unwrap();
        let geometry = match spacing {
            Some([z, y, x]) => {
                let affine = Affine::from_spacing_origin([x, y, z], [0.0; 3]);
                Geometry::new(shape, affine).unwrap()
            }
            None => Geometry::pixels(shape),
        };
        LabelVolume::new(Array3::from_shape_vec(shape, labels).unwrap(), geometry).unwrap()
    };
    let Value::Object(cases) = golden("masks.json") else { panic!("masks by name") };
    let pair = |case: &Value| [volume(case, "prediction"), volume(case, "reference")];
    cases.iter().map(|(name, case)| (name.clone(), pair(case))).collect()
}

/// Everything that the convention has.
fn measures(convention: Convention) -> Measures {
    Measures {
        metrics: Metric::ALL.into_iter().filter(|&metric| convention.has(metric)).collect(),
        tolerances: serde_json::from_value(golden("expected.json")["tolerances"].clone()).unwrap(),
        boundary_width: BoundaryWidth::default(),
        convention,
        ignored: BTreeSet::new(),
    }
}

fn measured(convention: Convention) -> BTreeMap<String, CaseReport> {
    let measures = measures(convention);
    let case = |(name, [prediction, reference]): (String, [LabelVolume; 2])| {
        let comparison = Comparison::measure(&prediction, &reference, &measures).unwrap();
        let report = CaseReport {
            n_voxels: Some(comparison.confusion().total()),
            ..CaseReport::new(name.clone(), comparison.classes(&[1, 2]))
        };
        (name, report)
    };
    masks().into_iter().map(case).collect()
}

fn number(class: &ClassReport, key: &str) -> Option<f64> {
    match key {
        "dice" => class.dice,
        "iou" => class.iou,
        _ => class.number(key),
    }
}

fn assert_near(found: Option<f64>, expected: &Value, tolerance: f64, what: &str) {
    match (found, expected.as_f64()) {
        (Some(found), Some(expected)) => {
            let allowed = tolerance * expected.abs().max(1e-3);
            assert!((found - expected).abs() <= allowed, "{what}: {found} for {expected}");
        }
        (found, expected_number) => {
            assert_eq!(found, expected_number, "{what}: expected {expected}");
        }
    }
}

fn compare(convention: Convention, tolerance: f64) {
    let expected = &golden("expected.json")[convention.as_str()];
    let mut compared = BTreeSet::new();
    for (case, report) in measured(convention) {
        for class in &report.classes {
            let expected = expected[&case][class.label.to_string()].as_object().unwrap();
            for (key, expected) in expected {
                let what = format!("{convention}, {case}, label {}, {key}", class.label);
                assert_near(number(class, key), expected, tolerance, &what);
                compared.insert(key.clone());
            }
            // Nothing of ours that the library was not asked for.
            for key in class.numbers.keys().filter(|key| !key.contains("absolute")) {
                assert!(expected.contains_key(key), "{convention}, {case}: {key}");
            }
        }
    }
    assert!(compared.len() > 8, "{compared:?}");
}

#[test]
fn monai_s_numbers_come_out() {
    compare(Convention::Monai, 2e-6);
}

#[test]
fn deepmind_s_numbers_come_out() {
    compare(Convention::Deepmind, 1e-12);
}

#[test]
fn metrics_reloaded_s_definitions_come_out() {
    compare(Convention::Reloaded, 1e-12);
}

/// The volumes, not the pictures: what the means of make.py are over.
fn report_of_volumes(convention: Convention) -> Report {
    let mut cases = measured(convention);
    cases.retain(|case, _| !case.starts_with("picture"));
    Report::of(cases.into_values().collect(), &BTreeMap::new(), &measures(convention))
}

#[test]
fn monai_s_means_come_out_with_what_they_are_over() {
    let expected = &golden("expected.json")["monai_over_cases"];
    let summary = report_of_volumes(Convention::Monai).summary;
    for (index, class) in summary.classes.iter().enumerate() {
        let dice = class.dice.unwrap();
        assert_near(Some(dice.mean), &expected["dice"]["mean"][index], 2e-6, "Dice");
        assert_eq!(dice.n as u64, expected["dice"]["n"][index].as_u64().unwrap());
        for key in ["hd_mm", "hd95_mm"] {
            let found = class.numbers[key];
            assert_near(found.mean, &expected[key]["mean"][index], 2e-6, key);
            assert_eq!(found.n as u64, expected[key]["n"][index].as_u64().unwrap(), "{key}");
        }
    }
    assert_near(summary.foreground.dice, &expected["dice"]["over_all"], 2e-6, "over all");
}

#[test]
fn ours_are_those_of_the_libraries_where_both_sides_have_the_class() {
    let expected = &golden("expected.json")["reloaded"];
    let mut compared = 0;
    for (case, report) in measured(Convention::Lamina) {
        for class in report.classes.iter().filter(|class| class.status.as_str() == "scored") {
            let expected = expected[&case][class.label.to_string()].as_object().unwrap();
            for (key, expected) in expected.iter().filter(|(key, _)| *key != "boundary_iou") {
                assert_near(number(class, key), expected, 1e-12, &format!("{case}, {key}"));
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

/// The same values, whole or not.
fn assert_same(found: &Value, expected: &Value, what: &str) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let keys =
                |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(found), keys(expected), "{what}");
            for (key, expected) in expected {
                assert_same(&found[key], expected, &format!("{what}.{key}"));
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{what}");
            for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert_same(found, expected, &format!("{what}[{index}]"));
            }
        }
        (Value::Number(found), Value::Number(expected)) => {
            assert_eq!(found.is_u64(), expected.is_u64(), "{what}: {found} for {expected}");
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!(
                (found - expected).abs() < 1e-12 * expected.abs().max(1.0),
                "{what}: {found} for {expected}"
            );
        }
        _ => assert_eq!(found, expected, "{what}"),
    }
}

#[test]
fn nnu_net_s_summary_comes_out() {
    for convention in [Convention::Nnunet, Convention::Monai] {
        let report = report_of_volumes(convention);
        let file = |side: &str, case: &str| PathBuf::from(format!("{side}/{case}.nii.gz"));
        let files = report.cases.iter().map(|case| {
            let files = CaseFiles {
                reference: file("reference", &case.case),
                prediction: file("prediction", &case.case),
            };
            (case.case.clone(), files)
        });
        let text = nnunet_summary(&report, &files.collect()).replace("NaN", "\"nan\"");
        let found: Value = serde_json::from_str(&text).unwrap();
        assert_same(&found, &golden("expected.json")["nnunet_summary"], "summary");
    }
}

#[test]
fn nnu_net_s_means_come_out_in_a_report_too() {
    let summary = report_of_volumes(Convention::Nnunet).summary;
    let expected = &golden("expected.json")["nnunet_summary"];
    for class in &summary.classes {
        let expected = &expected["mean"][class.label.to_string()];
        assert_near(class.dice.map(|dice| dice.mean), &expected["Dice"], 1e-12, "Dice");
        assert_near(class.iou.map(|iou| iou.mean), &expected["IoU"], 1e-12, "IoU");
    }
    assert_near(summary.foreground.dice, &expected["foreground_mean"]["Dice"], 1e-12, "Dice");
}
