//! `lamina evaluate`.

use lamina_io::{Affine, Geometry, LabelVolume};
use ndarray::Array3;

use crate::support::{Sandbox, ellipsoid, two_classes};
use crate::transcript;

/// Labels in a row of ten voxels of 0.01 ml.
fn row(labels: [u8; 10]) -> LabelVolume {
    let affine = Affine::from_spacing_origin([1.0, 2.0, 5.0], [0.0; 3]);
    let geometry = Geometry::new([1, 1, 10], affine).unwrap();
    let labels = Array3::from_shape_vec([1, 1, 10], labels.to_vec()).unwrap();
    LabelVolume::new(labels, geometry).unwrap()
}

#[test]
fn two_files_are_compared_class_by_class() {
    let sandbox = Sandbox::new();
    sandbox.labels("p.nii", &row([1, 1, 1, 0, 0, 2, 2, 0, 0, 0]));
    sandbox.labels("r.nii", &row([0, 1, 1, 1, 1, 2, 2, 0, 0, 0]));
    transcript!(sandbox.lamina("evaluate --prediction p.nii --reference r.nii --label-names 1=anterior,2=posterior"), @r#"
    $ lamina evaluate --prediction p.nii --reference r.nii --label-names 1=anterior,2=posterior
    exit code 0
    --- stdout
    case  anterior Dice    IoU    ml  ref. ml  posterior Dice    IoU    ml  ref. ml
    ───────────────────────────────────────────────────────────────────────────────
    r             0.571  0.400  0.03     0.04           1.000  1.000  0.02     0.02

    class       Dice  sd  median    5 %    IoU  scored  missed  false  empty  failed
    ────────────────────────────────────────────────────────────────────────────────
    anterior   0.571   –   0.571  0.571  0.400       1       0      0      0       0
    posterior  1.000   –   1.000  1.000  1.000       1       0      0      0       0
    ────────────────────────────────────────────────────────────────────────────────
    mean       0.786                     0.700
    "#);
    transcript!(sandbox.lamina("evaluate --prediction p.nii --reference r.nii --json"), @r#"
    $ lamina evaluate --prediction p.nii --reference r.nii --json
    exit code 0
    --- stdout
    {
      "cases": [
        {
          "case": "r",
          "classes": [
            {
              "label": 1,
              "dice": 0.5714285714285714,
              "iou": 0.4,
              "status": "scored",
              "volume_ml_prediction": 0.03,
              "volume_ml_reference": 0.04
            },
            {
              "label": 2,
              "dice": 1.0,
              "iou": 1.0,
              "status": "scored",
              "volume_ml_prediction": 0.02,
              "volume_ml_reference": 0.02
            }
          ]
        }
      ],
      "summary": {
        "classes": [
          {
            "label": 1,
            "dice": {
              "mean": 0.5714285714285714,
              "sd": null,
              "median": 0.5714285714285714,
              "p5": 0.5714285714285714,
              "n": 1
            },
            "iou": {
              "mean": 0.4,
              "sd": null,
              "median": 0.4,
              "p5": 0.4,
              "n": 1
            },
            "n_scored": 1,
            "n_missed": 0,
            "n_false": 0,
            "n_both_empty": 0,
            "n_failed": 0,
            "n_total": 1
          },
          {
            "label": 2,
            "dice": {
              "mean": 1.0,
              "sd": null,
              "median": 1.0,
              "p5": 1.0,
              "n": 1
            },
            "iou": {
              "mean": 1.0,
              "sd": null,
              "median": 1.0,
              "p5": 1.0,
              "n": 1
            },
            "n_scored": 1,
            "n_missed": 0,
            "n_false": 0,
            "n_both_empty": 0,
            "n_failed": 0,
            "n_total": 1
          }
        ],
        "foreground": {
          "dice": 0.7857142857142857,
          "iou": 0.7,
          "n_classes": 2
        },
        "worst": [
          {
            "case": "r",
            "dice": 0.7857142857142857
          }
        ],
        "n_cases": 1,
        "n_failed": 0
      }
    }
    "#);
}

#[test]
fn folders_are_paired_by_name_and_nothing_is_lost() {
    let sandbox = Sandbox::new();
    let full = [1, 1, 0, 0, 0, 2, 2, 0, 0, 0];
    sandbox.labels("r/equal.nii.gz", &row(full));
    sandbox.labels("p/equal.nii", &row(full)); // another ending
    sandbox.labels("r/missed.nii.gz", &row(full));
    sandbox.labels("p/missed.nii.gz", &row([1, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
    sandbox.labels("r/false_seg.nii.gz", &row([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])); // a suffix
    sandbox.labels("p/false.nii.gz", &row(full));
    sandbox.labels("r/empty.nii.gz", &row([0; 10]));
    sandbox.labels("p/empty.nii.gz", &row([0; 10]));
    sandbox.labels("r/absent.nii.gz", &row(full));
    sandbox.labels("p/extra.nii.gz", &row(full));
    transcript!(sandbox.lamina("evaluate --prediction p --reference r"), @r#"
    $ lamina evaluate --prediction p --reference r
    exit code 1
    --- stdout
    case       label 1 Dice    IoU    ml  ref. ml  label 2 Dice    IoU    ml  ref. ml
    ─────────────────────────────────────────────────────────────────────────────────
    absent           failed  0.000     –     0.02        failed  0.000     –     0.02
    empty        both empty      –  0.00     0.00    both empty      –  0.00     0.00
    equal             1.000  1.000  0.02     0.02         1.000  1.000  0.02     0.02
    false_seg         1.000  1.000  0.02     0.02         false  0.000  0.02     0.00
    missed            1.000  1.000  0.02     0.02        missed  0.000  0.00     0.02

    class     Dice     sd  median    5 %    IoU  scored  missed  false  empty  failed
    ─────────────────────────────────────────────────────────────────────────────────
    label 1  0.750  0.500   1.000  0.150  0.750       3       0      0      1       1
    label 2  0.250  0.500   0.000  0.000  0.250       1       1      1      1       1
    ─────────────────────────────────────────────────────────────────────────────────
    mean     0.500                        0.500

    lowest mean Dice: absent 0.000, false_seg 0.500, missed 0.500

    1 of 5 cases failed and count as Dice 0:
      absent: there is no prediction for this reference: r/absent.nii.gz
    --- stderr
    not scored, there is no reference for it: p/extra.nii.gz
    "#);
}

#[test]
fn another_grid_is_refused_by_what_differs() {
    let sandbox = Sandbox::new();
    let (_, reference) = ellipsoid([9.0, 12.0, 2.5]);
    let moved = Affine::from_spacing_origin([1.0, 1.2, 3.0], [0.0, 0.0, 1.5]);
    let moved = Geometry::new(reference.shape(), moved).unwrap();
    sandbox.labels("p/moved.nii", &LabelVolume::new(reference.labels.clone(), moved).unwrap());
    sandbox.labels("p/other_shape.nii", &row([1; 10]));
    for name in ["r/moved.nii", "r/other_shape.nii"] {
        sandbox.labels(name, &reference);
    }
    transcript!(sandbox.lamina("evaluate --prediction p --reference r"), @r#"
    $ lamina evaluate --prediction p --reference r
    exit code 1
    --- stdout
    case         label 1 Dice    IoU  ml  ref. ml
    ─────────────────────────────────────────────
    moved              failed  0.000   –     0.59
    other_shape        failed  0.000   –     0.59

    class     Dice     sd  median    5 %    IoU  scored  missed  false  empty  failed
    ─────────────────────────────────────────────────────────────────────────────────
    label 1  0.000  0.000   0.000  0.000  0.000       0       0      0      0       2

    lowest mean Dice: moved 0.000, other_shape 0.000

    2 of 2 cases failed and count as Dice 0:
      moved: the prediction is not on the grid of its reference: grids are up to 1.5000 mm apart, 0.2000 mm are allowed: expected the corner at [-0.5, -0.6000000238418579, -1.5] (RAS), found [-0.5, -0.6000000238418579, 0.0]: p/moved.nii
      other_shape: the prediction is not on the grid of its reference: expected [6, 24, 20] voxels (depth, height, width), found [1, 1, 10]: p/other_shape.nii
    "#);
}

#[test]
fn chosen_classes_are_scored_and_the_rest_is_named() {
    let sandbox = Sandbox::new();
    let (_, labels) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.labels("m.nii", &two_classes(labels));
    let run = sandbox
        .lamina("evaluate --prediction m.nii --reference m.nii --labels 1,9 --json")
        .exits(0);
    let classes = run.json()["cases"][0]["classes"].clone();
    assert_eq!((&classes[0]["dice"], &classes[0]["status"]), (&1.0.into(), &"scored".into()));
    assert_eq!(
        (&classes[1]["dice"], &classes[1]["status"]),
        (&serde_json::Value::Null, &"both_empty".into())
    );
    assert_eq!(run.stderr, "not scored, though the files hold them: labels 2\n");
}

#[test]
fn a_table_for_spreadsheets_is_written() {
    let sandbox = Sandbox::new();
    sandbox.labels("p.nii", &row([1, 1, 1, 0, 0, 0, 0, 0, 0, 0]));
    sandbox.labels("r.nii", &row([0, 1, 1, 1, 1, 0, 0, 0, 0, 0]));
    sandbox
        .lamina("evaluate --prediction p.nii --reference r.nii --csv scores.csv --surface")
        .exits(0);
    insta::assert_snapshot!(std::fs::read_to_string(sandbox.path("scores.csv")).unwrap(), @r#"
    case,label,status,dice,iou,volume_ml_prediction,volume_ml_reference,hd95_mm,assd_mm,surface_dice,error
    r,1,scored,0.5714285714285714,0.4,0.03,0.04,1.8499999999999996,0.5714285714285714,0.8571428571428571,
    "#);
}

#[test]
fn labels_that_are_no_labels_fail_by_name() {
    let sandbox = Sandbox::new();
    let (volume, labels) = ellipsoid([9.0, 12.0, 2.5]);
    let halves = volume.to_f32().mapv(|value| value + 0.5);
    let halves = lamina_io::Volume::from_array(halves, volume.geometry.clone()).unwrap();
    sandbox.image("p/a.nii", &halves);
    sandbox.labels("p/b.nii", &labels);
    sandbox.labels("r/a.nii", &labels);
    sandbox.labels("r/b.nii", &labels);
    let run = sandbox.lamina("evaluate --prediction p --reference r --json").exits(1);
    let report = run.json();
    assert!(report["cases"][0]["error"].as_str().unwrap().contains("p/a.nii"), "{run}");
    assert_eq!(report["cases"][0]["classes"][0]["dice"], 0.0);
    assert_eq!(report["cases"][1]["classes"][0]["dice"], 1.0);
    assert_eq!(report["summary"]["n_failed"], 1);
}

#[test]
fn folders_without_a_common_name_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.labels("p/a.nii", &row([1; 10]));
    sandbox.labels("r/b.nii", &row([1; 10]));
    transcript!(sandbox.lamina("evaluate --prediction p --reference r"), @r#"
    $ lamina evaluate --prediction p --reference r
    exit code 2
    --- stderr
    error: expected predictions with the names of the references, found none that fits: p
    "#);
}
