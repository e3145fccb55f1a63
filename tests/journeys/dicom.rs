//! DICOM in, masks out: a folder of slices through `info`, `predict` and `convert`, and not a word
//! about the patient.

use crate::dicom::{AXIAL, Dicom, PATIENT, slice};
use crate::support::{Sandbox, ellipsoid, write_tiny_model};

/// The bright ellipsoid as MR slices, named out of order, oblique in the patient.
fn write_series(sandbox: &Sandbox, folder: &str, modality: &str, leave_out: Option<usize>) {
    let (volume, _) = ellipsoid([9.0, 12.0, 2.5]);
    let (sin, cos) = 0.3_f64.sin_cos();
    let orientation = [1.0, 0.0, 0.0, 0.0, cos, sin];
    for k in (0..6).filter(|k| Some(*k) != leave_out) {
        let mm = 3.0 * k as f64;
        let pixels: Vec<i16> = volume.slice_f32(k).iter().map(|&value| value as i16).collect();
        let dicom = slice([-5.0, 7.0 - mm * sin, 11.0 + mm * cos], orientation, [24, 20], &pixels)
            .text(0x0008_0060, "CS", modality)
            .decimals(0x0028_0030, &[1.2, 1.0]);
        sandbox.write(&format!("{folder}/part{}/{}", k % 2, (7 * k + 3) % 11), dicom.plain());
    }
}

#[test]
fn a_series_becomes_a_mask_on_its_own_grid() {
    let sandbox = Sandbox::new();
    write_tiny_model(&sandbox);
    write_series(&sandbox, "scans/one", "MR", None);
    let info = sandbox.lamina("info scans/one --json").exits(0).json();
    assert_eq!(info[0]["format"], "dicom");
    assert_eq!(info[0]["modality"], "mr");
    assert_eq!(info[0]["shape"], serde_json::json!([20, 24, 6]));

    let run = sandbox.lamina("predict scans/one --out masks --device cpu --montage -vv").exits(0);
    let mask = sandbox.lamina("info masks/one.nii.gz --json").exits(0).json();
    assert_eq!(mask[0]["shape"], info[0]["shape"]);
    for row in 0..3 {
        for column in 0..4 {
            let number =
                |json: &serde_json::Value| json[0]["affine"][row][column].as_f64().unwrap();
            assert!((number(&mask) - number(&info)).abs() < 1e-5, "{mask}");
        }
    }
    assert!(mask[0]["labels"]["1"].as_u64().unwrap() > 50, "{mask}");
    let again = sandbox.lamina("predict scans/one --out masks --device cpu --json").exits(0);
    assert_eq!(again.json()["cases"][0]["status"], "skipped");

    // Not the name, not the number, not the day.
    let record = std::fs::read_to_string(sandbox.path("masks/one.json")).unwrap();
    for text in [run.to_string(), info.to_string(), record] {
        assert!(!text.contains("MARKER") && !text.contains("19991231"), "{text}");
    }
    for name in sandbox.list("masks") {
        let bytes = std::fs::read(sandbox.path(&format!("masks/{name}"))).unwrap();
        let found = bytes.windows(PATIENT.len()).any(|window| window == PATIENT.as_bytes());
        assert!(!found, "{name}");
    }

    write_series(&sandbox, "scans/ct", "CT", None);
    let run = sandbox.lamina("predict scans/ct --out masks --device cpu").exits(1);
    assert!(run.stderr.contains("the bundled model is for mr and this is ct"), "{run}");
}

#[test]
fn a_missing_slice_is_refused_and_accepted_on_request() {
    let sandbox = Sandbox::new();
    write_tiny_model(&sandbox);
    write_series(&sandbox, "gap", "MR", Some(3));
    let run = sandbox.lamina("predict gap --out masks --device cpu").exits(1);
    assert!(run.stderr.contains("1 slice missing between 6.00 and 12.00 mm"), "{run}");
    assert!(!sandbox.path("masks/gap.nii.gz").exists());
    sandbox.lamina("predict gap --out masks --device cpu --accept-flaws").exits(0);
    let mask = sandbox.lamina("info masks/gap.nii.gz --json").exits(0).json();
    assert_eq!(mask[0]["shape"], serde_json::json!([20, 24, 6]));
    let record = std::fs::read_to_string(sandbox.path("masks/gap.json")).unwrap();
    assert!(record.contains("\"accepted_flaws\": true"), "{record}");
}

#[test]
fn a_folder_of_several_series_is_listed_and_one_is_taken() {
    let sandbox = Sandbox::new();
    write_series(&sandbox, "study/a", "MR", None);
    sandbox.write(
        "study/b/1",
        slice([0.0; 3], AXIAL, [3, 4], &[5; 12]).text(0x0020_000e, "UI", "1.2.9").plain(),
    );
    let list = sandbox.lamina("info study --json").exits(0).json();
    assert_eq!(list.as_array().unwrap().len(), 2);
    let run = sandbox.lamina("convert study out.nii.gz").exits(1);
    assert!(run.stderr.contains("expected one series to be chosen"), "{run}");
    assert!(run.stderr.contains("CT 4 x 3 x 1"), "{run}");
    sandbox.lamina("convert study out.nii.gz --series 1.2.9").exits(0);
    let converted = sandbox.lamina("info out.nii.gz --json").exits(0).json();
    assert_eq!(converted[0]["shape"], serde_json::json!([4, 3, 1]));
    let records =
        [Dicom::new().text(0x0004_1430, "CS", "PATIENT").text(0x0010_0010, "PN", PATIENT)];
    sandbox.write("study/DICOMDIR", Dicom::new().items(0x0004_1220, &records).plain());
    let run = sandbox.lamina("convert study other.nii.gz --series 1.2.9").exits(0);
    assert!(run.stderr.contains("the DICOMDIR is ignored"), "{run}");
    let key = list[0]["series"]["key"].as_str().unwrap();
    let one = sandbox.lamina(&format!("info study --series {key} --json")).exits(0).json();
    assert_eq!(one[0]["shape"], list[0]["shape"]);
}

#[test]
fn a_slice_that_is_cut_off_anywhere_is_missed() {
    let sandbox = Sandbox::new();
    write_series(&sandbox, "scan", "MR", None);
    let last = sandbox.path("scan/part1/5"); // the sixth slice, so that no gap tells
    let whole = std::fs::read(&last).unwrap();
    let pixels = whole.windows(4).position(|tag| tag == [0xe0, 0x7f, 0x10, 0]).unwrap();
    let class = whole.windows(4).position(|tag| tag == [0x08, 0, 0x16, 0]).unwrap();
    for end in [0, 100, 131, 140, class, pixels, pixels + 8] {
        std::fs::write(&last, &whole[..end]).unwrap();
        let run = sandbox.lamina("convert scan out.nii.gz").exits(1);
        assert!(run.stderr.contains("1 DICOM file"), "cut off at byte {end}: {run}");
        let info = sandbox.lamina("info scan").exits(1);
        assert!(info.stderr.contains("1 DICOM file"), "cut off at byte {end}: {info}");
    }
    // In a folder of another series it is none of this one's slices.
    sandbox.write("study/other/5.dcm", &whole[..100]);
    write_series(&sandbox, "study/scan", "MR", None);
    let run = sandbox.lamina("convert study out.nii.gz").exits(0);
    assert!(run.stderr.contains("DICOM files of other folders cannot be read"), "{run}");
}

#[test]
fn a_folder_that_holds_nothing_to_read_says_why() {
    let sandbox = Sandbox::new();
    write_tiny_model(&sandbox);
    let mosaic = slice([0.0; 3], AXIAL, [3, 4], &[5; 12]).text(
        0x0008_0008,
        "CS",
        "ORIGINAL\\PRIMARY\\M\\MOSAIC",
    );
    sandbox.write("mosaic/1", mosaic.plain());
    for command in
        ["info mosaic", "convert mosaic out.nii.gz", "predict mosaic --out masks --device cpu"]
    {
        let run = sandbox.lamina(command).exits(1);
        assert!(run.to_string().contains("a Siemens mosaic"), "{run}");
    }
}

#[test]
fn echoes_of_one_series_have_keys_of_their_own() {
    let sandbox = Sandbox::new();
    for echo in 1..3_i16 {
        for k in 0..3_i16 {
            let pixels = [100 * echo + k; 12];
            let dicom = slice([0.0, 0.0, f64::from(k)], AXIAL, [3, 4], &pixels)
                .decimals(0x0018_0081, &[f64::from(echo)]);
            sandbox.write(&format!("echoes/{echo}{k}"), dicom.plain());
        }
    }
    let list = sandbox.lamina("info echoes --json").exits(0).json();
    let keys = [0, 1].map(|at| list[at]["series"]["key"].as_str().unwrap());
    assert_ne!(keys[0], keys[1]);
    for (echo, key) in (1..).zip(keys) {
        sandbox.lamina(&format!("convert echoes {echo}.nii --series {key}")).exits(0);
        let info = sandbox.lamina(&format!("info {echo}.nii --json")).exits(0).json();
        assert_eq!(info[0]["min"], f64::from(100 * echo));
    }
}
