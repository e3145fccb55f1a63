//! Masks as DICOM segmentations: predicted, converted, resumed, and refused with a way out.

use lamina_io::{DicomScan, ReadOptions, read_labels, read_segmentation};
use serde_json::json;

use crate::dicom::{PATIENT, slice};
use crate::support::{Sandbox, ellipsoid, write_tiny_model};
use crate::transcript;

/// The bright ellipsoid as slices that say all that a segmentation has to know.
fn write_series(sandbox: &Sandbox, folder: &str, places: [f64; 6]) {
    let (volume, _) = ellipsoid([9.0, 12.0, 2.5]);
    for (k, mm) in places.into_iter().enumerate() {
        let pixels: Vec<i16> = volume.slice_f32(k).iter().map(|&value| value as i16).collect();
        let orientation = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0];
        let dicom = slice([5.0 - mm, 7.0, 11.0], orientation, [24, 20], &pixels)
            .text(0x0008_0018, "UI", &format!("1.2.3.4.{k}"))
            .text(0x0008_0060, "CS", "MR")
            .text(0x0020_000d, "UI", "1.2.3")
            .text(0x0020_0052, "UI", "1.2.3.99")
            .decimals(0x0028_0030, &[1.2, 1.0]);
        sandbox.write(&format!("{folder}/{}", (7 * k + 3) % 11), dicom.plain());
    }
}

const EVEN: [f64; 6] = [0.0, 3.0, 6.0, 9.0, 12.0, 15.0];

fn scan(sandbox: &Sandbox, folder: &str) -> DicomScan {
    DicomScan::open(&sandbox.path(folder), &ReadOptions::default()).unwrap()
}

#[test]
fn a_prediction_is_the_same_as_nifti_and_as_segmentation() {
    let sandbox = Sandbox::new();
    write_tiny_model(&sandbox);
    write_series(&sandbox, "scans/one", EVEN);
    // Codes of a class go from the model's manifest into the file.
    let manifest = std::fs::read_to_string(sandbox.path("models/tiny/model.toml")).unwrap();
    let (classes, rest) = manifest.split_once("\n\n[network").unwrap();
    let codes = "[classes.codes.type]\nvalue = \"71341001\"\nscheme = \"SCT\"\nmeaning = \"Femur\"";
    sandbox.write("models/tiny/model.toml", format!("{classes}\n\n{codes}\n\n[network{rest}"));
    let predict = "predict scans/one --device cpu";
    sandbox.lamina(&format!("{predict} --out nifti")).exits(0);
    let nifti = read_labels(&sandbox.path("nifti/one.nii.gz"), &ReadOptions::default()).unwrap();
    let scan = scan(&sandbox, "scans/one");
    for format in ["dicom-seg", "dicom-labelmap"] {
        let command = format!("{predict} --out {format} --format {format} --montage");
        let run = sandbox.lamina(&command).exits(0);
        assert_eq!(sandbox.list(format), ["one.dcm", "one.json", "one.png"]);
        let path = sandbox.path(&format!("{format}/one.dcm"));
        let labels = read_segmentation(&path, &scan).unwrap();
        assert!(labels.counts()[&1] > 50);
        assert_eq!(labels.labels, nifti.labels);
        let record = std::fs::read_to_string(sandbox.path(&format!("{format}/one.json"))).unwrap();
        let json: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!(json["verified"]["voxels"], 6 * 24 * 20);
        // The file tells whose it is, nothing else does.
        let bytes = std::fs::read(&path).unwrap();
        let tells = |word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        assert!(tells("71341001") && tells("Femur") && tells("123037004"));
        assert!(tells(PATIENT) && tells("19991231") && tells("1.2.3.4.3"));
        for text in [run.to_string(), record] {
            assert!(!text.contains("MARKER") && !text.contains("19991231"), "{text}");
        }
        // Done is done, on the whole grid again.
        let again = sandbox.lamina(&format!("{command} --json")).exits(0).json();
        assert_eq!(again["cases"][0]["status"], "skipped");
        let first = json["classes"][0]["voxels"].as_u64();
        assert_eq!(again["cases"][0]["classes"][0]["voxels"].as_u64(), first);
    }
    let wrong = manifest
        .replace("\n\n[network", &format!("\n\n{}\n\n[network", codes.replace("Femur", "")));
    sandbox.write("models/tiny/model.toml", wrong);
    let run = sandbox.lamina(&format!("{predict} --out wrong")).exits(2);
    assert!(run.stderr.contains("expected the meaning of a code of 1 to 64 characters"), "{run}");
    sandbox.write("models/tiny/model.toml", manifest);
    // The other kind is another recipe.
    let run =
        sandbox.lamina(&format!("{predict} --out dicom-seg --format dicom-labelmap")).exits(1);
    assert!(run.stderr.contains("--overwrite replaces it"), "{run}");
}

#[test]
fn scans_that_are_no_dicom_are_refused_with_a_way_out() {
    let sandbox = Sandbox::new();
    write_tiny_model(&sandbox);
    let (volume, labels) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scan.nii", &volume);
    sandbox.labels("mask.nii", &labels);
    transcript!(sandbox.lamina("predict scan.nii --out masks --format dicom-seg --device cpu --quiet"), @r#"
    $ lamina predict scan.nii --out masks --format dicom-seg --device cpu --quiet
    exit code 1
    --- stdout

    1 of 1 case with problems:
      scan: expected a DICOM series that a segmentation can refer to, found another format (name the DICOM series, or write the labels as NIfTI, MetaImage or NRRD): scan.nii
    --- stderr
    [1/1] scan: expected a DICOM series that a segmentation can refer to, found another format (name the DICOM series, or write the labels as NIfTI, MetaImage or NRRD): scan.nii
    "#);
    transcript!(sandbox.lamina("convert mask.nii mask.dcm"), @r#"
    $ lamina convert mask.nii mask.dcm
    exit code 2
    --- stderr
    error: a DICOM segmentation belongs to a series; name its file or folder with --scan: mask.dcm
    "#);
    transcript!(sandbox.lamina("convert mask.nii mask.dcm --scan scan.nii"), @r#"
    $ lamina convert mask.nii mask.dcm --scan scan.nii
    exit code 1
    --- stderr
    error: expected a DICOM series that a segmentation can refer to, found another format (name the DICOM series, or write the labels as NIfTI, MetaImage or NRRD): scan.nii
    "#);
    transcript!(sandbox.lamina("convert mask.nii mask.mha --scan scan.nii"), @r#"
    $ lamina convert mask.nii mask.mha --scan scan.nii
    exit code 2
    --- stderr
    error: --scan is for DICOM segmentations, whose names end in .dcm: mask.mha
    "#);
    transcript!(sandbox.lamina("predict scan.nii --out masks --format nii --segments a.json --device cpu --quiet"), @r#"
    $ lamina predict scan.nii --out masks --format nii --segments a.json --device cpu --quiet
    exit code 2
    --- stderr
    error: --segments describes DICOM segmentations; ask for one with --format dicom-seg
    "#);
    assert_eq!(sandbox.list("."), ["mask.nii", "masks", "models", "scan.nii"]);
    assert!(sandbox.list("masks").is_empty());
}

#[test]
fn any_label_file_becomes_a_segmentation_of_its_series() {
    let sandbox = Sandbox::new();
    write_series(&sandbox, "scan", EVEN);
    sandbox.lamina("convert scan image.nii.gz").exits(0);
    let image = read_labels(&sandbox.path("image.nii.gz"), &ReadOptions::default()).unwrap_err();
    assert!(image.to_string().contains("expected labels"), "{image}");
    let scan = scan(&sandbox, "scan");
    let (_, labels) = ellipsoid([9.0, 12.0, 2.5]);
    let labels = labels.labels.mapv(|label| 7 * label);
    let labels = lamina_io::LabelVolume::new(labels, scan.geometry().clone()).unwrap();
    sandbox.labels("mask.mha", &labels);
    transcript!(sandbox.lamina("convert mask.mha mask.dcm --scan scan"), @r#"
    $ lamina convert mask.mha mask.dcm --scan scan
    exit code 0
    --- stdout
    mask.dcm: 2880 voxels read back and the same, at most 0 of a voxel off their place
    --- stderr
    segments are counted from 1, as DICOM wants it (not with --seg-type labelmap): label 7 is segment 1
    "#);
    let count = labels.counts()[&7];
    let found = read_segmentation(&sandbox.path("mask.dcm"), &scan).unwrap();
    assert_eq!(found.counts()[&1], count);
    let record = std::fs::read_to_string(sandbox.path("mask.dcm.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["segments"], json!([{"number": 1, "label": 7, "name": "Label 7"}]));
    assert!(record["scan_sha256"].is_string() && record["labels"] == json!(true));

    sandbox.lamina("convert mask.mha map.dcm --scan scan --seg-type labelmap").exits(0);
    let found = read_segmentation(&sandbox.path("map.dcm"), &scan).unwrap();
    assert_eq!(found.counts()[&7], count);

    let segment = json!({"labelID": 7, "SegmentLabel": "Stone", "SegmentAlgorithmType": "MANUAL",
        "SegmentedPropertyTypeCodeSequence":
            {"CodeValue": "56381008", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Calculus"}});
    sandbox.write("meta.json", json!({"segmentAttributes": [[segment]]}).to_string());
    let command = "convert mask.mha named.dcm --scan scan --segments meta.json --quiet";
    sandbox.lamina(command).exits(0);
    let text = std::fs::read(sandbox.path("named.dcm")).unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("Stone") && text.contains("56381008") && text.contains("MANUAL"));
    sandbox.write("meta.json", "{}");
    let run = sandbox.lamina(&format!("{command} --overwrite")).exits(1);
    assert!(run.stderr.contains("missing field `segmentAttributes`"), "{run}");

    // Another grid, and a file that is read.
    sandbox.labels("moved.mha", &ellipsoid([9.0, 12.0, 2.5]).1);
    transcript!(sandbox.lamina("convert moved.mha moved.dcm --scan scan"), @r#"
    $ lamina convert moved.mha moved.dcm --scan scan
    exit code 1
    --- stderr
    error: expected labels on the grid of the series, 20 x 24 x 6 voxels of 1.0000 x 1.2000 x 3.0000 mm, PIR, first voxel at [-5.00, -7.00, 11.00] (RAS), found 20 x 24 x 6 voxels of 1.0000 x 1.2000 x 3.0000 mm, RAS, first voxel at [0.00, 0.00, 0.00] (RAS): scan
    "#);
    std::fs::copy(sandbox.path("scan/3"), sandbox.path("scan/slice.dcm")).unwrap();
    std::fs::remove_file(sandbox.path("scan/3")).unwrap();
    let run = sandbox.lamina("convert mask.mha scan/slice.dcm --scan scan --overwrite").exits(2);
    assert!(run.stderr.contains("overwrite a file that is read"), "{run}");
}

#[test]
fn flawed_series_are_taken_where_each_slice_has_its_place() {
    let sandbox = Sandbox::new();
    write_tiny_model(&sandbox);
    let predict = |scan: &str, code| {
        let command =
            format!("predict {scan} --out masks --format dicom-seg --device cpu --accept-flaws");
        sandbox.lamina(&command).exits(code)
    };
    write_series(&sandbox, "uneven", [0.0, 3.0, 6.3, 9.3, 12.3, 15.3]);
    predict("uneven", 0);
    write_series(&sandbox, "gap", [0.0, 3.0, 6.0, 12.0, 15.0, 18.0]);
    let run = predict("gap", 1);
    assert!(run.stderr.contains("a series with missing slices, whose labels would refer"), "{run}");
    assert_eq!(sandbox.list("masks"), ["uneven.dcm", "uneven.json"]);
}
