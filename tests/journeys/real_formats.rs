//! Real MetaImage and NRRD files, through `lamina info`, against what ITK reads from them.
//!
//! `expected.json` was made with SimpleITK and pynrrd; its geometry is in LPS and has six
//! decimals.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::support::{Sandbox, larger_data};

/// Files that SimpleITK reads and we do not, or the other way around, and why.
const REFUSED: [(&str, &str); 2] = [
    ("nrrd/nrrd-jl/io/eltype_rgb_u8.nrrd", "found 3 numbers per voxel (rgb-color)"),
    ("nrrd/nrrd-jl/io/test_helix.nrrd", "found 7 numbers per voxel (3d-masked-symmetric-matrix)"),
];

fn is_ours(name: &str) -> bool {
    let ours = name.starts_with("formats/metaimage/") || name.starts_with("formats/nrrd/");
    (ours || name.starts_with("prostate_t2/promise12_layout/") || name.contains("/nrrd/label"))
        && [".mha", ".mhd", ".nrrd", ".nhdr"].iter().any(|ending| name.ends_with(ending))
}

fn dtype(itk: &str) -> String {
    let mut words = itk.split_whitespace();
    match words.next().unwrap() {
        bits if bits.ends_with("-bit") => {
            let bits = bits.trim_end_matches("-bit");
            match words.collect::<Vec<_>>()[..] {
                ["unsigned", "integer"] => format!("uint{bits}"),
                ["signed", "integer"] => format!("int{bits}"),
                _ => format!("float{bits}"),
            }
        }
        numpy => numpy.to_owned(),
    }
}

pub(super) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// pynrrd's are strings where they are huge.
pub(super) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

/// The affine in RAS that size, spacing, origin and direction (LPS, by rows) of `fact` make.
fn ras_from_index(fact: &Value) -> [[f64; 4]; 3] {
    let (spacing, origin) = (numbers(&fact["spacing"]), numbers(&fact["origin"]));
    let direction = numbers(&fact["direction"]);
    let axes = spacing.len();
    let mut affine = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    for row in 0..axes {
        let sign = if row < 2 { -1.0 } else { 1.0 };
        for column in 0..axes {
            affine[row][column] = sign * direction[axes * row + column] * spacing[column];
        }
        affine[row][3] = sign * origin[row];
    }
    affine
}

pub(super) fn compare(name: &str, entry: &Value, fact: &Value) {
    let sizes = if fact["size"].is_null() { &entry["shape"] } else { &fact["size"] };
    assert_eq!(&entry["shape"], sizes, "{name}");
    let stored = fact["type"].as_str().or(fact["dtype"].as_str()).unwrap();
    assert_eq!(entry["dtype"], dtype(stored), "{name}");
    for key in ["min", "max", "mean"] {
        let (found, expected) = (number(&entry[key]), number(&fact[key]));
        assert!(
            (found - expected).abs() <= 1e-6 * expected.abs().max(1.0),
            "{name}: {key} {found} for {expected}"
        );
    }
    if !entry["labels"].is_null() {
        assert_eq!(entry["labels"], fact["counts"], "{name}");
    }
    if fact["direction"].is_null() {
        return; // pynrrd places nothing
    }
    if entry["spacing_mm"].is_null() {
        // Where the file says nothing, ITK says one millimeter.
        assert!(numbers(&fact["spacing"]).iter().all(|&mm| mm == 1.0), "{name}");
        return;
    }
    for (row, expected) in ras_from_index(fact).iter().enumerate() {
        for (found, expected) in numbers(&entry["affine"][row]).iter().zip(expected) {
            assert!((found - expected).abs() < 2e-5, "{name}: {found} for {expected}");
        }
    }
}

#[test]
fn info_agrees_with_itk_on_metaimage_and_nrrd() {
    let Some(data) = larger_data("MetaImage and NRRD files as ITK reads them") else { return };
    let facts = std::fs::read_to_string(data.join("expected.json")).unwrap();
    let facts: Value = serde_json::from_str(&facts).unwrap();
    let facts: BTreeMap<&String, &Value> =
        facts["files"].as_object().unwrap().iter().filter(|(name, _)| is_ours(name)).collect();
    assert!(facts.len() >= 85, "only {} files are known", facts.len());

    let paths: Vec<String> =
        facts.keys().map(|name| data.join(name).display().to_string()).collect();
    let entries =
        Sandbox::new().lamina(&format!("info --json {}", paths.join(" "))).exits(1).json();
    assert_eq!(entries.as_array().unwrap().len(), facts.len());

    let (mut read, mut refused) = (0, 0);
    for ((name, fact), entry) in facts.into_iter().zip(entries.as_array().unwrap()) {
        let path = data.join(name);
        let expected = REFUSED.iter().find(|(file, _)| name.ends_with(file));
        match (entry["error"].as_str(), expected) {
            (Some(error), Some((_, reason))) => {
                assert!(error.contains(reason), "{name}: {error}");
                refused += 1;
            }
            (Some(error), None) => {
                assert!(!fact["unreadable"].is_null(), "{name}: {error}");
                assert!(named(error, &path), "{name}: {error}");
                refused += 1;
            }
            (None, expected) => {
                assert!(expected.is_none() && fact["unreadable"].is_null(), "{name} was read");
                compare(name, entry, fact);
                read += 1;
            }
        }
    }
    assert!(read >= 65 && refused >= 18, "{read} read, {refused} refused");
}

/// Whether a message says what is wrong and ends with the file.
fn named(error: &str, path: &Path) -> bool {
    error.starts_with("expected ") && error.ends_with(&path.display().to_string())
}
