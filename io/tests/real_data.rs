//! Real files against what other programs read from them.
//!
//! Needs the development data, whose folder `LAMINA_DATA` names: `expected.json` holds
//! numbers made with nibabel. Its affines and statistics have six decimals.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

use std::fs;
use std::path::{Path, PathBuf};

use lamina_io::{
    Limits, ReadOptions, Volume, VolumeError, read_info, read_labels, read_volume, write_labels,
};
use serde_json::{Map, Value};

fn data() -> Option<PathBuf> {
    std::env::var_os("LAMINA_DATA").map(PathBuf::from)
}

/// Ends the test, saying so, where there is no data.
macro_rules! data_or_skip {
    () => {
        match data() {
            Some(folder) => folder,
            None => {
                // Past the capture of the test runner, which hides what passing tests print.
                let word = "skipped: a test on real scans needs LAMINA_DATA\n";
                let _ = std::io::Write::write_all(&mut std::io::stderr(), word.as_bytes());
                return;
            }
        }
    };
}

/// Entries of `expected.json` for NIfTI-like files.
fn expected(folder: &Path) -> Map<String, Value> {
    let text = fs::read_to_string(folder.join("expected.json")).unwrap();
    let mut all: Value = serde_json::from_str(&text).unwrap();
    let files = std::mem::take(all["files"].as_object_mut().unwrap());
    let endings = [".nii", ".nii.gz", ".hdr", ".hdr.gz", ".mgz"];
    files
        .into_iter()
        .filter(|(name, _)| endings.iter().any(|ending| name.ends_with(ending)))
        .collect()
}

/// How a file that this crate does not read must be refused, if it must.
fn refused(entry: &Value) -> Option<fn(&VolumeError) -> bool> {
    let is_format: fn(&VolumeError) -> bool = |error| matches!(error, VolumeError::Format { .. });
    match entry["class"].as_str() {
        Some("Cifti2Image" | "Spm2AnalyzeImage" | "MGHImage") => return Some(is_format),
        None => {
            return Some(|error| {
                matches!(error, VolumeError::Format { .. } | VolumeError::Header { .. })
            });
        }
        Some(_) => {}
    }
    if entry["rgb"] == true || entry["complex"] == true {
        return Some(|error| matches!(error, VolumeError::DataType { .. }));
    }
    let lonely = entry["data_err"].is_string();
    lonely.then_some(|error| matches!(error, VolumeError::Partner { .. }))
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

/// numpy's name of a type: "float32" for ">f4".
fn dtype(name: &str) -> &str {
    match name {
        ">i2" => "int16",
        ">f4" => "float32",
        other => other,
    }
}

fn close(found: Option<f64>, expected: &Value, name: &str) {
    let (found, expected) = (found.unwrap(), expected.as_f64().unwrap());
    let tolerance = 1e-5 * expected.abs().max(1e-1);
    assert!((found - expected).abs() <= tolerance, "{name}: {found} is not {expected}");
}

#[test]
fn every_file_reads_as_elsewhere_or_is_refused_by_name() {
    let folder = data_or_skip!();
    let mut compared = 0;
    for (name, entry) in expected(&folder) {
        let path = folder.join(&name);
        let result = read_info(&path, &Limits::default());
        // Its voxels are in minimal2.img.gz, where nibabel does not look.
        let found_by_us_only = name.ends_with("minimal2.hdr");
        if let Some(expected) = refused(&entry).filter(|_| !found_by_us_only) {
            let error = result.expect_err(&name);
            assert!(expected(&error), "{error}");
            assert!(error.to_string().ends_with(&path.display().to_string()), "{error}");
            continue;
        }
        let info = result.unwrap_or_else(|error| panic!("{error}"));
        let shape: Vec<f64> = info.shape.iter().map(|&n| n as f64).collect();
        assert_eq!(shape, numbers(&entry["shape"]), "{name}");
        assert_eq!(info.dtype.name(), dtype(entry["dtype"].as_str().unwrap()), "{name}");
        assert_eq!(info.orientation, entry["axcodes"].as_str().unwrap(), "{name}");
        for (found, expected) in info.affine.as_flattened().iter().zip(numbers(&entry["affine"])) {
            assert!((found - expected).abs() < 1e-4, "{name}: {:?}", info.affine);
        }
        if !found_by_us_only {
            close(info.min, &entry["min"], &name);
            close(info.max, &entry["max"], &name);
            close(info.mean, &entry["mean"], &name);
            assert_eq!(info.nonfinite, entry["nonfinite"].as_u64().unwrap(), "{name}");
            let labels = serde_json::to_value(&info.labels).unwrap();
            assert_eq!(labels, entry["counts"], "{name}");
        }
        compared += 1;
    }
    println!("compared {compared} files");
    assert!(compared > 350, "only {compared} files were compared");
}

#[test]
fn a_loaded_volume_has_the_statistics_of_a_streamed_one() {
    let folder = data_or_skip!();
    for (name, entry) in expected(&folder) {
        if entry["class"].is_null() || !name.starts_with("formats") {
            continue;
        }
        let path = folder.join(&name);
        let Ok(volume) = read_volume(&path, &ReadOptions::default()) else { continue };
        let info = read_info(&path, &Limits::default()).unwrap();
        let statistics = volume.statistics();
        assert_eq!((statistics.min, statistics.max), (info.min, info.max), "{name}");
        assert!(
            (statistics.mean.unwrap() - info.mean.unwrap()).abs()
                < 1e-9 * info.max.unwrap().abs().max(1.0),
            "{name}"
        );
        assert_eq!(statistics.nonfinite, info.nonfinite, "{name}");
    }
}

#[test]
fn four_dimensional_files_give_each_of_their_volumes() {
    let folder = data_or_skip!();
    let path = folder.join("formats/nifti/nibabel/functional.nii");
    assert!(matches!(
        read_volume(&path, &ReadOptions::default()),
        Err(VolumeError::Dimensions { .. })
    ));
    let volumes: Vec<Volume> = (0..20)
        .map(|at| read_volume(&path, &ReadOptions::default().with_volume(at)).unwrap())
        .collect();
    let info = read_info(&path, &Limits::default()).unwrap();
    let means: f64 = volumes.iter().map(|volume| volume.statistics().mean.unwrap()).sum();
    assert!((means / 20.0 - info.mean.unwrap()).abs() < 1e-6);
    let largest = volumes.iter().filter_map(|volume| volume.statistics().max).fold(0.0, f64::max);
    assert_eq!(Some(largest), info.max);
}

#[test]
fn one_head_in_twelve_orders_is_one_head() {
    let folder = data_or_skip!().join("formats/nifti/niivue_orientations");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), 12);
    let mut first: Option<Volume> = None;
    for path in paths {
        let volume = read_volume(&path, &ReadOptions::default()).unwrap();
        let order = volume.geometry.orientation();
        assert!(path.file_name().unwrap().to_str().unwrap().starts_with(&order));
        let turned = volume.reoriented(&volume.geometry.to_ras_axes());
        assert_eq!(turned.geometry.orientation(), "RAS");
        match &first {
            None => first = Some(turned),
            Some(first) => {
                first.geometry.same_grid_within(&turned.geometry, 1e-3).unwrap();
                assert_eq!(first.voxels, turned.voxels, "{order}");
                assert_eq!(first.rescale, turned.rescale, "{order}");
            }
        }
    }
}

#[test]
fn hippocampus_labels_are_three_and_lie_on_their_images() {
    let folder = data_or_skip!().join("hippocampus");
    let copy = tempfile::tempdir().unwrap();
    let copy = copy.path().join("copy.nii.gz");
    let mut cases = 0;
    for entry in fs::read_dir(folder.join("labels")).unwrap() {
        let path = entry.unwrap().path();
        let labels = read_labels(&path, &ReadOptions::default()).unwrap();
        assert_eq!(labels.counts().into_keys().collect::<Vec<_>>(), [0, 1, 2]);
        let image = folder.join("images").join(path.file_name().unwrap());
        let image = read_volume(&image, &ReadOptions::default()).unwrap();
        image.geometry.same_grid_within(&labels.geometry, 1e-3).unwrap();
        write_labels(&copy, &labels).unwrap();
        assert_eq!(read_labels(&copy, &ReadOptions::default()).unwrap(), labels);
        cases += 1;
    }
    assert_eq!(cases, 160);
}

#[test]
fn fuzzed_files_are_refused() {
    let folder = data_or_skip!().join("formats/nifti/nifti-rs/fuzz_artifacts");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(read_info(&path, &Limits::default()).is_err());
        assert!(read_volume(&path, &ReadOptions::default()).is_err());
    }
}
