//! Every real file whose facts are known, in the table of `lamina info --table`.
//!
//! MetaImage, NRRD and DICOM are held to their readers value by value in `real_formats` and
//! `real_dicom`; here no file may be missing, and none may be read or refused by mistake.

use std::collections::BTreeMap;

use serde_json::Value;

use super::real_formats::{number, numbers};
use crate::support::{Sandbox, larger_data};

/// Files that others read and we refuse, and why; DICOM is in `real_dicom`.
const REFUSED: [(&str, &str); 9] = [
    ("nibabel/row_major.dconn.nii", "found a CIFTI file"),
    ("nibabel/test.mgz", "found an MGH or MGZ file"),
    ("nibabel/analyze.hdr", "found Analyze 7.5 or SPM, not NIfTI"),
    ("complex/complex32.nii", "found complex64 voxels"),
    ("complex/complex64.nii", "found complex128 voxels"),
    ("nifti-rs/rgb/", "found RGB24 color voxels"),
    ("nifti-rs/rgba/", "found RGBA32 color voxels"),
    ("nrrd-jl/io/eltype_rgb_u8.nrrd", "found 3 numbers per voxel"),
    ("nrrd-jl/io/test_helix.nrrd", "found 7 numbers per voxel"),
];

/// Files that other readers complain about.
fn is_unreadable(fact: &Value) -> bool {
    ["unreadable", "err", "data_err"].iter().any(|key| !fact[*key].is_null())
}

fn near(name: &str, key: &str, found: &Value, expected: &Value) {
    let (found, expected) = (number(found), number(expected));
    let close = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
    assert!(close, "{name}: {key} {found} for {expected}");
}

/// A NIfTI file as nibabel has it.
fn compare_nifti(name: &str, entry: &Value, fact: &Value) {
    assert_eq!(entry["shape"], fact["shape"], "{name}");
    let dtype = fact["dtype"].as_str().unwrap();
    let numpy = match dtype.trim_start_matches(['<', '>', '|']) {
        "i1" => "int8",
        "u1" => "uint8",
        "i2" => "int16",
        "u2" => "uint16",
        "i4" => "int32",
        "u4" => "uint32",
        "i8" => "int64",
        "u8" => "uint64",
        "f4" => "float32",
        "f8" => "float64",
        other => other,
    };
    assert_eq!(entry["dtype"], numpy, "{name}");
    for key in ["min", "max", "mean"] {
        if !fact[key].is_null() {
            near(name, key, &entry[key], &fact[key]);
        }
    }
    if !entry["labels"].is_null() && !fact["counts"].is_null() {
        assert_eq!(entry["labels"], fact["counts"], "{name}");
    }
    if entry["spacing_mm"].is_null() {
        return;
    }
    for row in 0..3 {
        let expected = numbers(&fact["affine"][row]);
        for (found, expected) in numbers(&entry["affine"][row]).iter().zip(expected) {
            assert!(
                (found - expected).abs() < 2e-5 * expected.abs().max(1.0),
                "{name}: {found} for {expected}"
            );
        }
    }
    assert_eq!(entry["orientation"], fact["axcodes"], "{name}");
}

/// A picture as Pillow has it.
fn compare_picture(name: &str, entry: &Value, fact: &Value) {
    assert_eq!(entry["shape"], fact["size"], "{name}");
    let mode = fact["mode"].as_str().unwrap();
    if mode.starts_with("RGB") {
        return; // gray in all three; the facts count alpha too
    }
    for key in ["min", "max", "mean"] {
        near(name, key, &entry[key], &fact[key]);
    }
    if !entry["labels"].is_null() {
        assert_eq!(entry["labels"], fact["counts"], "{name}");
    }
}

#[test]
fn the_table_has_every_real_file_with_its_facts() {
    let Some(data) = larger_data("the table of all real files") else { return };
    let facts = std::fs::read_to_string(data.join("expected.json")).unwrap();
    let facts: Value = serde_json::from_str(&facts).unwrap();
    let facts = facts["files"].as_object().unwrap();
    let run = Sandbox::new().lamina(&format!("info --table --json {}", data.display())).exits(1);
    assert!(!run.stderr.contains("panicked"), "{run}");
    let entries = run.json();
    let by_name: BTreeMap<&str, &Value> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let path = std::path::Path::new(entry["path"].as_str().unwrap());
            (path.strip_prefix(&data).unwrap().to_str().unwrap(), entry)
        })
        .collect();
    let (mut read, mut refused) = (0, 0);
    for (name, fact) in facts {
        let entry = by_name.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not listed"));
        let is_dicom = !fact["PhotometricInterpretation"].is_null() || !fact["preamble"].is_null();
        let known = REFUSED.iter().find(|(file, _)| name.contains(file));
        if let Some(error) = entry["error"].as_str() {
            assert!(error.starts_with("expected "), "{error}");
            assert_eq!(error.matches(name.as_str()).count(), 1, "{error}");
            match known {
                Some((_, reason)) => assert!(error.contains(reason), "{error}"),
                None => assert!(is_dicom || is_unreadable(fact), "{error}"),
            }
            refused += 1;
            continue;
        }
        assert!(
            known.is_none() && fact["unreadable"].is_null() && fact["err"].is_null(),
            "{name} was read"
        );
        read += 1;
        if is_dicom {
            for (axis, tag) in ["Columns", "Rows"].iter().enumerate() {
                assert_eq!(entry["shape"][axis], fact[*tag], "{name}");
            }
        } else if !fact["axcodes"].is_null() {
            compare_nifti(name, entry, fact);
        } else if !fact["mode"].is_null() {
            compare_picture(name, entry, fact);
        } else {
            let size = if fact["size"].is_null() { &fact["shape"] } else { &fact["size"] };
            assert_eq!(&entry["shape"], size, "{name}");
        }
    }
    assert!(read >= 590 && read + refused == facts.len(), "{read} read, {refused} refused");
    // Beside them lie pictures, tables and notes: nothing is left out.
    assert!(entries.as_array().unwrap().len() > 2 * facts.len());
}
