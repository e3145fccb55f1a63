//! Real DICOM files and series, through `lamina info`, against what pydicom and ITK read.
//!
//! `expected.json` has stored values (`px`), values as ITK gives them (`sitk`) with its geometry in
//! LPS and six decimals, and the tags that matter.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{Sandbox, larger_data};

/// Files that are refused though others read them, and why.
const REFUSED: [(&str, &str); 13] = [
    ("partial_overlaps.dcm", "segments 1 and 2 in one"),
    ("seg_image_ct_binary_overlap.dcm", "segments 1 and 2 in one"),
    ("highdicom/seg_image_sm_", "tiles of a microscope slide"),
    ("highdicom/sm_image", "tiles of a microscope slide"),
    ("pydicom/SC_", "found colors ("),
    ("pydicom/ExplVR_BigEnd.dcm", "found colors (RGB"),
    ("pydicom/GDCMJ2K_TextGBR.dcm", "found colors (YBR_RCT"),
    ("pydicom/examples_jpeg2k.dcm", "found colors (YBR_RCT"),
    ("pydicom/examples_palette.dcm", "found colors (PALETTE COLOR"),
    ("pydicom/examples_rgb_color.dcm", "found colors (RGB"),
    ("pydicom/examples_ybr_color.dcm", "found colors (YBR_FULL_422"),
    ("pydicom/badVR.dcm", "the number of frames to be from 1 to 131072, found no number"),
    ("pydicom/liver_", "the per-frame functional groups to be 1"),
];

fn is_ours(name: &str) -> bool {
    let ours = ["formats/dicom/", "formats/dicom_series/", "prostate_t2/dicom/"];
    ours.iter().any(|folder| name.starts_with(folder))
        && ![".nrrd", ".jpeg"].iter().any(|ending| name.ends_with(ending))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn near(found: &Value, expected: f64, name: &str) {
    let found = found.as_f64().unwrap();
    assert!(
        (found - expected).abs() <= 1e-6 * expected.abs().max(1.0),
        "{name}: {found} for {expected}"
    );
}

/// Values and labels as pydicom has them, rescaled; those of a JPEG with losses as ITK has them,
/// since decoders round in ways of their own and its is ours.
fn compare_values(name: &str, entry: &Value, fact: &Value) {
    if fact["ts"] == "1.2.840.10008.1.2.4.51" {
        for key in ["min", "max", "mean"] {
            near(&entry[key], fact["sitk"][key].as_f64().unwrap(), name);
        }
        return;
    }
    let px = &fact["px"];
    if entry["format"] == "dicom-seg" {
        let segments = &fact["seg"]["frames_and_nonzero_per_segment"];
        if fact["seg"]["type"] == "BINARY" && segments.is_object() {
            for (segment, counts) in segments.as_object().unwrap() {
                assert_eq!(entry["labels"][segment], counts[1], "{name}: segment {segment}");
            }
        }
        return;
    }
    let dtype = match px["dtype"].as_str().unwrap() {
        ">i2" => "int16",
        ">u4" => "uint32",
        other => other,
    };
    assert_eq!(entry["dtype"], dtype, "{name}");
    compare_windows(name, entry, fact);
    let tag = |tag: &str, default: f64| fact[tag].as_f64().unwrap_or(default);
    let (slope, intercept) = (tag("RescaleSlope", 1.0), tag("RescaleIntercept", 0.0));
    let value = |key: &str| slope * px[key].as_f64().unwrap() + intercept;
    if fact["PhotometricInterpretation"] == "MONOCHROME1" {
        let most = 2_f64.powf(tag("BitsStored", 8.0)) - 1.0;
        near(&entry["min"], most - value("max"), name);
        near(&entry["max"], most - value("min"), name);
        return;
    }
    if entry["padding"]["voxels"].as_f64().unwrap_or(0.0) > 0.0 {
        return compare_padded(name, entry, [value("min"), value("max"), value("mean")]);
    }
    for key in ["min", "max", "mean"] {
        near(&entry[key], value(key), name);
    }
}

/// Centers and widths as the file has them, turned over where the values are.
fn compare_windows(name: &str, entry: &Value, fact: &Value) {
    let list = |value: &Value| match value {
        Value::Array(_) => numbers(value),
        value => value.as_f64().into_iter().collect(),
    };
    let found: Vec<&Value> = entry["windows"].as_array().into_iter().flatten().collect();
    let (centers, widths) = (list(&fact["WindowCenter"]), list(&fact["WindowWidth"]));
    // Those of the groups of frames are not among the facts.
    let in_groups = centers.is_empty() && name.ends_with("/mf.dcm");
    assert!(found.len() == centers.len() || in_groups, "{name}: {} windows", found.len());
    for ((found, center), width) in found.into_iter().zip(centers).zip(widths) {
        let turned = fact["PhotometricInterpretation"] == "MONOCHROME1";
        let most = 2_f64.powf(fact["BitsStored"].as_f64().unwrap());
        near(&found["center"], if turned { most - center } else { center }, name);
        near(&found["width"], width, name);
    }
}

/// Padding counts for the others as any value does; here it is of one value.
fn compare_padded(name: &str, entry: &Value, [min, max, mean]: [f64; 3]) {
    let padding = &entry["padding"];
    assert_eq!(padding["from"], padding["to"], "{name}");
    let (value, count) = (padding["from"].as_f64().unwrap(), padding["voxels"].as_f64().unwrap());
    let all: f64 = numbers(&entry["shape"]).iter().product();
    let number = |key: &str| entry[key].as_f64().unwrap();
    assert_eq!((number("min").min(value), number("max").max(value)), (min, max), "{name}");
    let with_padding = (number("mean") * (all - count) + value * count) / all;
    assert!((with_padding - mean).abs() < 1e-6 * mean.abs(), "{name}: {with_padding} for {mean}");
}

/// Size, directions and place as ITK has them; between single slices it knows no distance.
fn compare_grid(name: &str, entry: &Value, sitk: &Value) {
    assert_eq!(entry["shape"], sitk["size"], "{name}");
    if entry["spacing_mm"].is_null() {
        return;
    }
    let (spacing, origin) = (numbers(&sitk["spacing"]), numbers(&sitk["origin"]));
    let direction = numbers(&sitk["direction"]);
    let steps = if entry["shape"][2] == 1 { 2 } else { 3 };
    for row in 0..3 {
        let sign = if row < 2 { -1.0 } else { 1.0 };
        let found = numbers(&entry["affine"][row]);
        for column in 0..steps {
            let expected = sign * direction[3 * row + column] * spacing[column];
            assert!((found[column] - expected).abs() < 2e-5, "{name}: {found:?} for {expected}");
        }
        assert!((found[3] - sign * origin[row]).abs() < 2e-5, "{name}: {found:?} for {origin:?}");
    }
}

#[test]
fn info_agrees_with_pydicom_and_itk_on_dicom_files() {
    let Some(data) = larger_data("DICOM files as pydicom and ITK read them") else { return };
    let facts = std::fs::read_to_string(data.join("expected.json")).unwrap();
    let facts: Value = serde_json::from_str(&facts).unwrap();
    let facts: BTreeMap<&String, &Value> =
        facts["files"].as_object().unwrap().iter().filter(|(name, _)| is_ours(name)).collect();
    assert!(facts.len() >= 130, "only {} files are known", facts.len());
    let paths: Vec<String> =
        facts.keys().map(|name| data.join(name).display().to_string()).collect();
    let run = Sandbox::new().lamina(&format!("info --json {}", paths.join(" "))).exits(1);
    assert!(!run.stderr.contains("panicked"), "{run}");
    let entries = run.json();

    let (mut read, mut refused) = (0, 0);
    for ((name, fact), entry) in facts.into_iter().zip(entries.as_array().unwrap()) {
        let known = REFUSED.iter().find(|(file, _)| name.contains(file));
        if let Some(error) = entry["error"].as_str() {
            assert!(error.starts_with("expected ") && error.contains(name.as_str()), "{error}");
            match known {
                Some((_, reason)) => assert!(error.contains(reason), "{error}"),
                None => assert!(fact["px"].is_null() && fact["sitk"]["mean"].is_null(), "{error}"),
            }
            refused += 1;
            continue;
        }
        let by_others = !fact["px"].is_null() || !fact["sitk"]["mean"].is_null();
        assert!(known.is_none() && by_others, "{name} was read");
        compare_values(name, entry, fact);
        let sitk = &fact["sitk"];
        // ITK takes the frames of other segmentations for slices.
        let stacked = fact["seg"].is_null() || fact["seg"]["type"] == "BINARY";
        if !sitk["size"].is_null() && stacked && !entry["spacing_mm"].is_null() {
            compare_grid(name, entry, sitk);
        }
        read += 1;
    }
    assert!(read >= 59 && refused >= 75, "{read} read, {refused} refused");
}

#[test]
fn info_agrees_with_itk_on_dicom_series() {
    let Some(data) = larger_data("DICOM series as ITK stacks them") else { return };
    let facts = std::fs::read_to_string(data.join("expected.json")).unwrap();
    let facts: Value = serde_json::from_str(&facts).unwrap();
    let info = |folder: &str, options: &str, code| {
        let path = data.join(folder).display().to_string();
        Sandbox::new().lamina(&format!("info --json {path} {options}")).exits(code).json()
    };
    for folder in [
        "formats/dicom_series/prostatex_adc",
        "formats/dicom_series/rtutils_oriented",
        "prostate_t2/dicom/Prostate3T-03-0001",
    ] {
        let fact = &facts["series"][folder][0]["sitk"];
        let entry = &info(folder, "", 0)[0];
        compare_grid(folder, entry, fact);
        for key in ["min", "max", "mean"] {
            let (found, expected) = (entry[key].as_f64().unwrap(), fact[key].as_f64().unwrap());
            assert!(
                (found - expected).abs() < 1e-5 * expected.abs().max(1.0),
                "{folder}: {found} for {expected}"
            );
        }
    }
    let folder = "formats/dicom_series/prostatex_missing_slice";
    let entry = &info(folder, "", 1)[0];
    let error = entry["error"].as_str().unwrap();
    assert!(error.contains("1 slice missing between 36.00 and 42.00 mm"), "{error}");
    let filled = &info(folder, "--accept-flaws", 0)[0];
    assert_eq!(filled["shape"], serde_json::json!([84, 128, 19]));
    near(&filled["spacing_mm"][2], 3.0, folder);

    let folder = "formats/dicom_series/prostatex_dwi_duplicate_positions";
    let entries = info(folder, "", 0);
    assert_eq!(entries.as_array().unwrap().len(), 3);
    for entry in entries.as_array().unwrap() {
        assert_eq!(entry["shape"], serde_json::json!([84, 128, 19]));
        near(&entry["spacing_mm"][2], 3.0, folder);
    }
}

/// Segmentations of dcmqi and the label maps that it made them of, voxel by voxel.
#[test]
fn segmentations_are_the_label_maps_that_they_were_made_of() {
    let Some(data) = larger_data("DICOM segmentations and what they were made of") else { return };
    let data = data.join("formats/dicom/dcmqi_segmentations");
    let sandbox = Sandbox::new();
    let convert = |from: &str, to: &str, options: &str| {
        let from = data.join(from).display().to_string();
        sandbox.lamina(&format!("convert --labels {from} {to} {options}")).exits(0);
        let file = std::fs::read(sandbox.path(to)).unwrap();
        let placement = sandbox.lamina(&format!("info --json {to}")).exits(0).json();
        std::fs::remove_file(sandbox.path(to)).unwrap();
        (file[352..].to_vec(), placement[0]["affine"].clone(), placement[0]["shape"].clone())
    };
    // Frames are left out where there is nothing in them: on the grid of the scan, or of what is
    // left, which for these has the slices of the scan.
    for (segmentation, options, labels) in [
        ("liver.dcm", "", "liver_seg.nrrd"),
        ("23x38x3/seg/label.seg", "", "23x38x3/nrrd/label.nrrd"),
        ("23x38x3", "--series 1", "23x38x3/nrrd/label.nrrd"),
        ("24x38x3/seg/label.seg", "", "24x38x3/nrrd/label.nrrd"),
        ("24x38x3", "--series 1", "24x38x3/nrrd/label.nrrd"),
        ("sparse-labelmap-noppv.dcm", "", "sparse_labelmap_noppv_seg.nrrd"),
        ("sparse-labelmap-ppv5.dcm", "", "sparse_labelmap_ppv5_seg.nrrd"),
    ] {
        let (found, place, shape) = convert(segmentation, "found.nii", options);
        let (expected, its_place, its_shape) = convert(labels, "expected.nii", "");
        assert_eq!(shape, its_shape, "{segmentation}");
        assert!(found == expected, "{segmentation} differs from {labels}");
        for row in 0..3 {
            for (found, expected) in numbers(&place[row]).into_iter().zip(numbers(&its_place[row]))
            {
                assert!((found - expected).abs() < 1e-4, "{segmentation}: {place}");
            }
        }
    }

    // Segments that overlap are taken one by one; dcmqi packs the others together.
    let overlapping = data.join("partial_overlaps.dcm").display().to_string();
    let run = sandbox.lamina(&format!("convert --labels {overlapping} out.nii")).exits(1);
    assert!(run.stderr.contains("or one segment to be chosen, found segments 1 and 2"), "{run}");
    let facts = std::fs::read_to_string(data.join("../../../expected.json")).unwrap();
    let facts: Value = serde_json::from_str(&facts).unwrap();
    let known = &facts["files"]["formats/dicom/dcmqi_segmentations/partial_overlaps.dcm"]["seg"];
    for segment in 1..=5 {
        let run = format!("info --json {overlapping} --segment {segment}");
        let found = sandbox.lamina(&run).exits(0).json()[0]["labels"][segment.to_string()].clone();
        let counts = &known["frames_and_nonzero_per_segment"][segment.to_string()];
        assert_eq!(found, counts[1], "segment {segment}");
    }
}
