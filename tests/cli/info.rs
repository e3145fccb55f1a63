//! `lamina info`.

use lamina_io::{Affine, Geometry, synthetic};

use crate::support::{Sandbox, ellipsoid};
use crate::transcript;

#[test]
fn an_image_and_its_labels_are_described() {
    let sandbox = Sandbox::new();
    let (volume, labels) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scan.nii.gz", &volume);
    sandbox.labels("labels.nii", &labels);
    transcript!(sandbox.lamina("info scan.nii.gz labels.nii"), @r#"
    $ lamina info scan.nii.gz labels.nii
    exit code 0
    --- stdout
    scan.nii.gz
      format          nifti-1
      shape           20 × 24 × 6 (x, y, z)
      spacing         1 × 1.2 × 3 mm
      orientation     RAS
      stored as       float32
      values          100 to 352, mean 151.3889
      RAS from voxel           1          0          0          0
                               0        1.2          0          0
                               0          0          3          0

    labels.nii
      format          nifti-1
      shape           20 × 24 × 6 (x, y, z)
      spacing         1 × 1.2 × 3 mm
      orientation     RAS
      stored as       uint8
      values          0 to 1, mean 0.0569
      labels          0: 2716, 1: 164
      RAS from voxel           1          0          0          0
                               0        1.2          0          0
                               0          0          3          0
    "#);
}

#[test]
fn every_format_is_described_alike() {
    let sandbox = Sandbox::new();
    let (_, labels) = ellipsoid([9.0, 12.0, 2.5]);
    let mut entries = Vec::new();
    for name in ["l.nii", "l.mha", "l.mhd", "l.nrrd", "l.nhdr"] {
        sandbox.labels(name, &labels);
        let mut entry = sandbox.lamina(&format!("info {name} --json")).exits(0).json()[0].clone();
        let format = entry.as_object_mut().unwrap().remove("format").unwrap();
        let expected = match name {
            "l.nii" => "nifti-1",
            "l.mha" | "l.mhd" => "metaimage",
            _ => "nrrd",
        };
        assert_eq!(format, expected);
        // NIfTI-1 rounds to single precision.
        for key in ["path", "spacing_mm", "affine"] {
            entry.as_object_mut().unwrap().remove(key);
        }
        entries.push(entry);
    }
    assert!(entries.iter().all(|entry| *entry == entries[0]), "{entries:?}");
    transcript!(sandbox.lamina("info l.mhd"), @r#"
    $ lamina info l.mhd
    exit code 0
    --- stdout
    l.mhd
      format          metaimage
      shape           20 × 24 × 6 (x, y, z)
      spacing         1 × 1.2 × 3 mm
      orientation     RAS
      stored as       uint8
      values          0 to 1, mean 0.0569
      labels          0: 2716, 1: 164
      RAS from voxel           1          0          0          0
                               0        1.2          0          0
                               0          0          3          0
    "#);
}

#[test]
fn json_has_the_published_keys() {
    let sandbox = Sandbox::new();
    let (_, labels) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.labels("labels.nii", &labels);
    transcript!(sandbox.lamina("info labels.nii --json"), @r#"
    $ lamina info labels.nii --json
    exit code 0
    --- stdout
    [
      {
        "path": "labels.nii",
        "format": "nifti-1",
        "shape": [
          20,
          24,
          6
        ],
        "spacing_mm": [
          1.0,
          1.2000000476837158,
          3.0
        ],
        "affine": [
          [
            1.0,
            0.0,
            0.0,
            0.0
          ],
          [
            0.0,
            1.2000000476837158,
            0.0,
            0.0
          ],
          [
            0.0,
            0.0,
            3.0,
            0.0
          ],
          [
            0.0,
            0.0,
            0.0,
            1.0
          ]
        ],
        "orientation": "RAS",
        "dtype": "uint8",
        "min": 0.0,
        "max": 1.0,
        "mean": 0.05694444444444444,
        "labels": {
          "0": 2716,
          "1": 164
        }
      }
    ]
    "#);
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_the_others() {
    let sandbox = Sandbox::new();
    let (volume, _) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scan.nii", &volume);
    sandbox.write("notes.nii", "no image");
    let run = sandbox.lamina("info scan.nii notes.nii absent.nii --json").exits(1);
    let entries = run.json();
    assert_eq!(entries[0]["shape"], serde_json::json!([20, 24, 6]));
    let keys = |entry: &serde_json::Value| -> Vec<String> {
        entry.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys(&entries[1]), ["path", "error"]);
    assert_eq!(entries[2]["path"], "absent.nii");
    transcript!(sandbox.lamina("info notes.nii absent.nii"), @r#"
    $ lamina info notes.nii absent.nii
    exit code 1
    --- stderr
    error: expected 348 bytes of header, found 8: notes.nii
    error: cannot open absent.nii: No such file or directory (os error 2)
    2 of 2 files cannot be read
    "#);
}

#[test]
fn a_folder_stands_for_its_volumes() {
    let sandbox = Sandbox::new();
    let (volume, labels) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scans/b.nii", &volume);
    sandbox.labels("scans/a.nii.gz", &labels);
    sandbox.write("scans/notes.txt", "");
    let entries = sandbox.lamina("info scans --json").exits(0).json();
    let paths: Vec<&str> =
        entries.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["scans/a.nii.gz", "scans/b.nii"]);
}

#[test]
fn a_table_has_a_line_for_every_file() {
    let sandbox = Sandbox::new();
    let (volume, labels) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scans/below/b.nii", &volume);
    sandbox.labels("scans/a.mhd", &labels);
    sandbox.write("scans/notes.txt", "");
    sandbox.write("scans/.hidden", "");
    sandbox.write("scans/broken.nii.gz", "no gzip");
    transcript!(sandbox.lamina("info --table scans"), @r#"
    $ lamina info --table scans
    exit code 1
    --- stdout
    file                 format     shape (x, y, z, …)  spacing in mm  axes  type     outcome
    ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    scans/a.mhd          metaimage         20 × 24 × 6    1 × 1.2 × 3  RAS   uint8    read
    scans/a.zraw                                                                      voxels of scans/a.mhd
    scans/below/b.nii    nifti-1           20 × 24 × 6    1 × 1.2 × 3  RAS   float32  read
    scans/broken.nii.gz                                                               expected 348 bytes of header, found 7
    scans/notes.txt                                                                   expected a NIfTI, MetaImage, NRRD or DICOM file or a picture, found something else
    5 files: 2 read, 2 refused, 1 voxels of others
    "#);
    let entries = sandbox.lamina("info --table scans --json").exits(1).json();
    let paths: Vec<&str> =
        entries.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "scans/a.mhd",
            "scans/a.zraw",
            "scans/below/b.nii",
            "scans/broken.nii.gz",
            "scans/notes.txt"
        ]
    );
    assert_eq!(entries[1]["part_of"], "scans/a.mhd");
    assert_eq!(entries[0]["labels"]["1"], 164);
}

#[test]
fn an_oblique_left_handed_grid_keeps_its_affine() {
    let sandbox = Sandbox::new();
    let oblique = synthetic::oblique([0.5, 0.6, 3.0], [-40.0, 10.0, 7.0]);
    let mirror = Affine::from_spacing_origin([-1.0, 1.0, 1.0], [0.0; 3]);
    let geometry = Geometry::new([3, 4, 5], mirror.compose(&oblique)).unwrap();
    let (volume, _) = synthetic::ellipsoid_on(geometry.clone(), [2.0, 2.0, 1.0], [1.0, 1.0, 3.0]);
    sandbox.image("scan.nii", &volume);
    let entry = sandbox.lamina("info scan.nii --json").exits(0).json()[0].clone();
    assert_eq!(entry["orientation"], geometry.orientation());
    for (row, expected) in geometry.ras_from_index().rows().iter().enumerate() {
        for (column, expected) in expected.iter().enumerate() {
            let found = entry["affine"][row][column].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-5, "{found} for {expected}"); // stored as f32
        }
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let sandbox = Sandbox::new();
    let (volume, _) = ellipsoid([9.0, 12.0, 2.5]);
    for case in 0..200 {
        sandbox.image(&format!("scans/{case}.nii"), &volume);
    }
    let mut child = sandbox.start("info scans");
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
