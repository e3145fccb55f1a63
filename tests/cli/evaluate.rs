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

    Each case by itself, then the mean over 1 case:
    class               Dice  sd  median    5 %  n    IoU  n  scored  missed  false  empty  failed
    ──────────────────────────────────────────────────────────────────────────────────────────────
    anterior           0.571   –   0.571  0.571  1  0.400  1       1       0      0      0       0
    posterior          1.000   –   1.000  1.000  1  1.000  1       1       0      0      0       0
    ──────────────────────────────────────────────────────────────────────────────────────────────
    mean of 2 classes  0.786                        0.700
    "#);
    transcript!(sandbox.lamina("evaluate --prediction p.nii --reference r.nii --json"), @r#"
    $ lamina evaluate --prediction p.nii --reference r.nii --json
    exit code 0
    --- stdout
    {
      "aggregation": "per_case",
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
              "volume_ml_reference": 0.04,
              "voxels": {
                "prediction": 3,
                "reference": 4,
                "both": 2
              }
            },
            {
              "label": 2,
              "dice": 1.0,
              "iou": 1.0,
              "status": "scored",
              "volume_ml_prediction": 0.02,
              "volume_ml_reference": 0.02,
              "voxels": {
                "prediction": 2,
                "reference": 2,
                "both": 2
              }
            }
          ],
          "n_voxels": 10
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

    Each case by itself, then the mean over 5 cases:
    class               Dice     sd  median    5 %  n    IoU  n  scored  missed  false  empty  failed
    ─────────────────────────────────────────────────────────────────────────────────────────────────
    label 1            0.750  0.500   1.000  0.150  4  0.750  4       3       0      0      1       1
    label 2            0.250  0.500   0.000  0.000  4  0.250  4       1       1      1      1       1
    ─────────────────────────────────────────────────────────────────────────────────────────────────
    mean of 2 classes  0.500                           0.500

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

    Each case by itself, then the mean over 2 cases:
    class     Dice     sd  median    5 %  n    IoU  n  scored  missed  false  empty  failed
    ───────────────────────────────────────────────────────────────────────────────────────
    label 1  0.000  0.000   0.000  0.000  2  0.000  2       0       0      0      0       2

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

#[test]
fn distances_have_a_row_each_and_say_how_many_cases_they_are_over() {
    let sandbox = Sandbox::new();
    let full = [0, 1, 1, 1, 1, 1, 0, 0, 0, 0];
    sandbox.labels("r/a.nii", &row(full));
    sandbox.labels("p/a.nii", &row([0, 0, 1, 1, 1, 1, 1, 1, 0, 0]));
    sandbox.labels("r/b.nii", &row(full));
    sandbox.labels("p/b.nii", &row([0; 10]));
    transcript!(sandbox.lamina("evaluate --prediction p --reference r --metrics dice,rvd,hd,nsd,boundary-iou --tolerance-mm 0.5,1 --boundary-width 1px"), @r#"
    $ lamina evaluate --prediction p --reference r --metrics dice,rvd,hd,nsd,boundary-iou --tolerance-mm 0.5,1 --boundary-width 1px
    exit code 0
    --- stdout
    case  label 1 Dice
    ──────────────────
    a            0.727
    b           missed

    Each case by itself, then the mean over 2 cases:
    class     Dice     sd  median    5 %  n  scored  missed  false  empty  failed
    ─────────────────────────────────────────────────────────────────────────────
    label 1  0.364  0.514   0.364  0.036  2       1       1      0      0       0

    class    number                            mean  n      sd   median      5 %    95 %  infinite  none
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    label 1  volume difference %, absolute   60.000  2  56.569   60.000   24.000  96.000         0     0
    label 1  volume difference %            -40.000  2  84.853  -40.000  -94.000  14.000         0     0
    label 1  HD mm                            2.000  1       –        ∞        ∞       ∞         1     0
    label 1  surface Dice at 0.5 mm           0.364  2   0.514    0.364    0.036   0.691         0     0
    label 1  surface Dice at 1 mm             0.455  2   0.643    0.455    0.045   0.864         0     0
    label 1  Boundary IoU                     0.286  2   0.404    0.286    0.029   0.543         0     0

    lowest mean Dice: b 0.000, a 0.727
    "#);
    let run = sandbox.lamina("evaluate --prediction p --reference r --surface --json").exits(0);
    let missed = &run.json()["cases"][1]["classes"][0];
    // What cannot be measured is null beside its status.
    assert_eq!(
        (&missed["hd95_mm"], &missed["status"]),
        (&serde_json::Value::Null, &"missed".into())
    );
    assert_eq!(missed["surface_dice"], 0.0);
}

#[test]
fn a_library_s_convention_says_so_and_refuses_what_the_library_has_not() {
    let sandbox = Sandbox::new();
    let full = [0, 1, 1, 1, 1, 1, 0, 0, 0, 0];
    sandbox.labels("r/a.nii", &row(full));
    sandbox.labels("p/a.nii", &row(full));
    sandbox.labels("r/b.nii", &row([0; 10]));
    sandbox.labels("p/b.nii", &row(full));
    transcript!(sandbox.lamina("evaluate --prediction p --reference r --convention monai --surface"), @r#"
    $ lamina evaluate --prediction p --reference r --convention monai --surface
    exit code 0
    --- stdout
    case  label 1 Dice    IoU    ml  ref. ml  HD95
    ──────────────────────────────────────────────
    a            1.000  1.000  0.05     0.05  0.00
    b            false      –  0.05     0.00     –

    Each case by itself, then the mean over 2 cases, by the rules of MONAI:
    class     Dice  sd  median    5 %  n    IoU  n  scored  missed  false  empty  failed
    ────────────────────────────────────────────────────────────────────────────────────
    label 1  1.000   –   1.000  1.000  1  1.000  1       1       0      1      0       0

    class    number              mean  n     sd  median    5 %   95 %  infinite  none
    ─────────────────────────────────────────────────────────────────────────────────
    label 1  HD95 mm            0.000  1      –   0.000  0.000  0.000         0     1
    label 1  ASSD mm                ∞  2      –       ∞      ∞      ∞         1     0
    label 1  surface Dice at 1  0.500  2  0.707   0.500  0.050  0.950         0     0

    lowest mean Dice: a 1.000
    "#);
    transcript!(sandbox.lamina("evaluate --prediction p --reference r --convention nnunet --surface"), @r#"
    $ lamina evaluate --prediction p --reference r --convention nnunet --surface
    exit code 2
    --- stderr
    error: expected metrics that nnunet has, found hd95, assd, nsd, which it does not measure
    "#);
    transcript!(sandbox.lamina("evaluate --prediction p --reference r --convention nnunet --summary summary.json --quiet"), @r#"
    $ lamina evaluate --prediction p --reference r --convention nnunet --summary summary.json --quiet
    exit code 0
    --- stdout
    case  label 1 Dice    IoU    ml  ref. ml
    ────────────────────────────────────────
    a            1.000  1.000  0.05     0.05
    b            false  0.000  0.05     0.00

    Each case by itself, then the mean over 2 cases, by the rules of nnU-Net:
    class     Dice     sd  median    5 %  n    IoU  n  scored  missed  false  empty  failed
    ───────────────────────────────────────────────────────────────────────────────────────
    label 1  0.500  0.707   0.500  0.050  2  0.500  2       1       0      1      0       0

    lowest mean Dice: b 0.000, a 1.000
    "#);
    insta::assert_snapshot!(std::fs::read_to_string(sandbox.path("summary.json")).unwrap(), @r#"
    {
        "foreground_mean": {
            "Dice": 0.5,
            "FN": 0.0,
            "FP": 2.5,
            "IoU": 0.5,
            "TN": 5.0,
            "TP": 2.5,
            "n_pred": 5.0,
            "n_ref": 2.5
        },
        "mean": {
            "1": {
                "Dice": 0.5,
                "FN": 0.0,
                "FP": 2.5,
                "IoU": 0.5,
                "TN": 5.0,
                "TP": 2.5,
                "n_pred": 5.0,
                "n_ref": 2.5
            }
        },
        "metric_per_case": [
            {
                "metrics": {
                    "1": {
                        "Dice": 1.0,
                        "FN": 0,
                        "FP": 0,
                        "IoU": 1.0,
                        "TN": 5,
                        "TP": 5,
                        "n_pred": 5,
                        "n_ref": 5
                    }
                },
                "prediction_file": "p/a.nii",
                "reference_file": "r/a.nii"
            },
            {
                "metrics": {
                    "1": {
                        "Dice": 0.0,
                        "FN": 0,
                        "FP": 5,
                        "IoU": 0.0,
                        "TN": 5,
                        "TP": 0,
                        "n_pred": 5,
                        "n_ref": 0
                    }
                },
                "prediction_file": "p/b.nii",
                "reference_file": "r/b.nii"
            }
        ]
    }
    "#);
}

/// A picture of 2 x 3 pixels.
fn picture(labels: [u8; 6]) -> LabelVolume {
    let labels = Array3::from_shape_vec([1, 2, 3], labels.to_vec()).unwrap();
    LabelVolume::new(labels, Geometry::pixels([1, 2, 3])).unwrap()
}

#[test]
fn street_scenes_are_pooled_because_their_data_set_says_so() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "streets.toml",
        r#"
            name = "streets"
            title = "Streets"
            modality = "rgb"
            license = "none"
            source = "made up"
            folder = "streets"
            images = "images"
            labels = "labels"
            ignored = [11]
            classes = [
                { name = "sky", color = [1, 1, 1] },
                { name = "road", color = [2, 2, 2] },
                { name = "car", color = [3, 3, 3], value = 7 },
            ]
        "#,
    );
    sandbox.labels("r/a.png", &picture([0, 0, 1, 1, 7, 11]));
    sandbox.labels("p/a.png", &picture([0, 0, 1, 7, 7, 7]));
    sandbox.labels("r/b.png", &picture([0, 0, 0, 0, 1, 1]));
    sandbox.labels("p/b.png", &picture([0, 0, 0, 1, 1, 1]));
    transcript!(sandbox.lamina("evaluate --prediction p --reference r --data streets.toml"), @r#"
    $ lamina evaluate --prediction p --reference r --data streets.toml
    exit code 0
    --- stdout
    Pooled: all 11 pixels of 2 cases in one confusion matrix, no mean over cases:
    class                   IoU  accuracy  % of the reference  % of the prediction
    ──────────────────────────────────────────────────────────────────────────────
    sky                   0.833     0.833               54.55                45.45
    road                  0.600     0.750               36.36                36.36
    car                   0.500     1.000                9.09                18.18
    ──────────────────────────────────────────────────────────────────────────────
    mean of 3 that occur  0.644

    pixel accuracy 0.818, frequency-weighted IoU 0.718

    lowest mean Dice: a 0.778, b 0.829
    "#);
    transcript!(sandbox.lamina("evaluate --prediction p --reference r --data streets.toml --aggregate cases --metrics dice"), @r#"
    $ lamina evaluate --prediction p --reference r --data streets.toml --aggregate cases --metrics dice
    exit code 0
    --- stdout
    case  road Dice    car Dice
    ───────────────────────────
    a         0.667       0.667
    b         0.800  both empty

    Each case by itself, then the mean over 2 cases:
    class               Dice     sd  median    5 %  n  scored  missed  false  empty  failed
    ───────────────────────────────────────────────────────────────────────────────────────
    road               0.733  0.094   0.733  0.673  2       2       0      0      0       0
    car                0.667      –   0.667  0.667  1       1       0      0      1       0
    ───────────────────────────────────────────────────────────────────────────────────────
    mean of 2 classes  0.700

    lowest mean Dice: a 0.667, b 0.800
    "#);
}

#[test]
fn cityscapes_scores_are_given_for_pictures_of_ids() {
    let sandbox = Sandbox::new();
    let ids = [7, 7, 8, 23, 26, 26];
    sandbox.labels("gt/bonn/bonn_000001_000019_gtFine_labelIds.png", &picture(ids));
    sandbox.labels("gt/bonn/bonn_000002_000019_gtFine_labelIds.png", &picture(ids));
    sandbox.labels("gt/bonn/bonn_000001_000019_gtFine_instanceIds.png", &picture(ids));
    sandbox.labels("gt/bonn/bonn_000002_000019_gtFine_instanceIds.png", &picture(ids));
    sandbox.labels("p/bonn_000001_000019_leftImg8bit.png", &picture([7, 8, 8, 23, 26, 27]));
    transcript!(sandbox.lamina("evaluate --cityscapes --prediction p --reference gt"), @r#"
    $ lamina evaluate --cityscapes --prediction p --reference gt
    exit code 1
    --- stdout
    Pooled: all pixels of 1 picture in one confusion matrix, as Cityscapes' official script:
    class              IoU   iIoU
    ─────────────────────────────
    road             0.500      –
    sidewalk         0.500      –
    sky              1.000      –
    car              0.500      –
    truck            0.000  0.000
    ─────────────────────────────
    mean of 5 and 1  0.500  0.000

    category           IoU  iIoU
    ────────────────────────────
    flat             1.000     –
    sky              1.000     –
    vehicle          1.000     –
    ────────────────────────────
    mean of 3 and 0  1.000     –

    1 of 2 pictures failed and is in no number; the official script would give none at all:
      bonn_000002_000019: there is no prediction for this reference: gt/bonn/bonn_000002_000019_gtFine_labelIds.png
    "#);
}

#[test]
fn promise12_has_three_parts_and_no_score_without_constants() {
    let sandbox = Sandbox::new();
    let (_, reference) = ellipsoid([9.0, 12.0, 2.5]);
    let (_, prediction) = ellipsoid([8.0, 11.0, 2.5]);
    sandbox.labels("r/Case00_segmentation.mhd", &reference);
    sandbox.labels("p/Case00.mhd", &prediction);
    transcript!(sandbox.lamina("evaluate --promise12 --prediction p --reference r"), @r#"
    $ lamina evaluate --promise12 --prediction p --reference r
    exit code 0
    --- stdout
    case                 part        Dice   HD95 mm    ABD mm    RVD %  |RVD| %  score
    ──────────────────────────────────────────────────────────────────────────────────
    Case00_segmentation  whole      0.780      1.56      0.41      0.0      0.0      –
                         base       0.615      1.56      0.51      0.0      0.0
                         apex       0.615      1.56      0.51      0.0      0.0
    ──────────────────────────────────────────────────────────────────────────────────
    mean (n)             whole  0.780 (1)  1.56 (1)  0.41 (1)  0.0 (1)  0.0 (1)
    mean (n)             base   0.615 (1)  1.56 (1)  0.51 (1)  0.0 (1)  0.0 (1)
    mean (n)             apex   0.615 (1)  1.56 (1)  0.51 (1)  0.0 (1)  0.0 (1)

    no score: --score-constants names no file; configs/scores/promise12.toml says what belongs into it
    "#);
    let numbers = "dice = 0.9\nhd95_mm = 4\nabd_mm = 1.5\nrvd_absolute_percent = 10\n";
    sandbox
        .write("constants.toml", format!("[whole]\n{numbers}[base]\n{numbers}[apex]\n{numbers}"));
    let run = sandbox
        .lamina("evaluate --promise12 --prediction p --reference r --score-constants constants.toml --json")
        .exits(0);
    let report = run.json();
    assert!(report["score"].as_f64().is_some_and(|score| (0.0..100.0).contains(&score)), "{run}");
    assert_eq!((&report["n_scored"], &report["no_score"]), (&1.into(), &serde_json::Value::Null));
    sandbox.write("constants.toml", "[whole]\ndice = 90.0\n");
    transcript!(sandbox.lamina("evaluate --promise12 --prediction p --reference r --score-constants constants.toml"), @r#"
    $ lamina evaluate --promise12 --prediction p --reference r --score-constants constants.toml
    exit code 2
    --- stderr
    error: expected what a second observer reaches for whole.dice, a Dice below 1 or a number above 0, found 90: constants.toml
    "#);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.labels("m.nii", &row([1; 10]));
    for (options, expected) in [
        ("--tolerance-mm 2", "error: expected --surface or --metrics nsd beside --tolerance-mm"),
        ("--boundary-width 2mm", "error: expected --metrics boundary-iou beside --boundary-width"),
        (
            "--aggregate pooled --convention monai",
            "error: expected a convention only where cases are averaged",
        ),
        ("--metrics dice,jaccard", "error: invalid value 'jaccard'"),
        ("--convention medpy", "error: invalid value 'medpy'"),
        ("--metrics boundary-iou --boundary-width 2cm", "error: invalid value '2cm'"),
        ("--score-constants x.toml", "error: the following required arguments were not provided"),
    ] {
        let run = sandbox
            .lamina(&format!("evaluate --prediction m.nii --reference m.nii {options}"))
            .exits(2);
        assert!(run.stderr.starts_with(expected), "{run}");
    }
}
