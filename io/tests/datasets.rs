//! Data sets in the layouts of their authors, with the descriptions that come along.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage};
use lamina_io::dataset::{
    Case, Dataset, DatasetCheck, DatasetConfig, Pairs, Sides, check_case, summarize,
};
use lamina_io::{LabelVolume, Volume, synthetic, write_labels, write_volume};
use serde_json::{Value, json};

const SIZE: [u32; 2] = [24, 20];

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/datasets")
}

/// A description, and the folder below which its data set lies.
fn described(name: &str) -> (DatasetConfig, tempfile::TempDir) {
    let config = DatasetConfig::read(&configs().join(format!("{name}.toml"))).unwrap();
    (config, tempfile::tempdir().unwrap())
}

fn check(config: &DatasetConfig, folder: &Path) -> DatasetCheck {
    let found = Pairs::find(config, folder).unwrap();
    let cases = found.config.cases(found.cases);
    let classes = Some(found.config.classes.len()).filter(|&classes| classes > 0);
    let checks: Vec<_> = cases.iter().map(|case| check_case(case, classes)).collect();
    summarize(&checks, &found.config, found.lonely, found.warnings)
}

/// A photograph that no other seed has.
fn photograph(path: &Path, seed: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let [width, height] = SIZE;
    let color =
        |x: u32, y: u32| [x * 9 + seed, y * 7 * seed, (x * y + 31 * seed) % 251].map(|v| v as u8);
    RgbImage::from_fn(width, height, |x, y| Rgb(color(x, y))).save(path).unwrap();
}

/// A gray PNG in which `value` stands at each pixel, counted row by row.
fn labels(path: &Path, value: impl Fn(usize) -> u16) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let [width, height] = SIZE;
    GrayImage::from_fn(width, height, |x, y| {
        Luma([u8::try_from(value((y * width + x) as usize)).unwrap()])
    })
    .save(path)
    .unwrap();
}

/// The values of all classes and of what is ignored, in turn.
fn all_values(config: &DatasetConfig) -> Vec<u16> {
    let classes = (0..).zip(&config.classes).map(|(label, class)| class.value.unwrap_or(label));
    config.ignored.iter().copied().chain(classes).collect()
}

/// Data sets of pictures: image, labels and list of two cases, and the parts that they are in.
type Layout<'a> = (&'a str, [[&'a str; 2]; 2], &'a [(&'a str, &'a str)], &'a [&'a str]);

const LAYOUTS: [Layout<'_>; 9] = [
    (
        "ade20k",
        [
            [
                "images/training/ADE_train_00000001.jpg",
                "annotations/training/ADE_train_00000001.png",
            ],
            [
                "images/validation/ADE_val_00000001.jpg",
                "annotations/validation/ADE_val_00000001.png",
            ],
        ],
        &[],
        &["training", "validation"],
    ),
    (
        "cityscapes",
        [
            [
                "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png",
                "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png",
            ],
            [
                "leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.png",
                "gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png",
            ],
        ],
        &[],
        &["train", "val"],
    ),
    (
        "camvid",
        [
            ["train/0001TP_006690.png", "trainannot/0001TP_006690.png"],
            ["test/Seq05VD_f00000.png", "testannot/Seq05VD_f00000.png"],
        ],
        &[
            (
                "train.txt",
                "/SegNet/CamVid/train/0001TP_006690.png /SegNet/CamVid/trainannot/0001TP_006690.png\n",
            ),
            ("val.txt", ""),
            (
                "test.txt",
                "/SegNet/CamVid/test/Seq05VD_f00000.png /SegNet/CamVid/testannot/Seq05VD_f00000.png\n",
            ),
        ],
        &["test", "train"],
    ),
    (
        "coco_stuff_10k_171",
        [
            [
                "images/train2014/COCO_train2014_000000000077.jpg",
                "annotations/train2014/COCO_train2014_000000000077_labelTrainIds.png",
            ],
            [
                "images/test2014/COCO_train2014_000000000349.jpg",
                "annotations/test2014/COCO_train2014_000000000349_labelTrainIds.png",
            ],
        ],
        &[],
        &["test2014", "train2014"],
    ),
    (
        "coco_stuff_10k_182",
        [
            [
                "images/COCO_train2014_000000000077.jpg",
                "annotations/COCO_train2014_000000000077.png",
            ],
            [
                "images/COCO_train2014_000000000349.jpg",
                "annotations/COCO_train2014_000000000349.png",
            ],
        ],
        &[
            ("imageLists/train.txt", "COCO_train2014_000000000077\n"),
            ("imageLists/test.txt", "COCO_train2014_000000000349\n"),
        ],
        &["test", "train"],
    ),
    ("pascal_context_59_official", OFFICIAL, OFFICIAL_LISTS, &["train", "val"]),
    ("pascal_context_60_official", OFFICIAL, OFFICIAL_LISTS, &["train", "val"]),
    ("pascal_context_59_alphabetical", ALPHABETICAL, ALPHABETICAL_LISTS, &["train", "val"]),
    ("pascal_context_60_alphabetical", ALPHABETICAL, ALPHABETICAL_LISTS, &["train", "val"]),
];

const OFFICIAL: [[&str; 2]; 2] = [
    ["JPEGImages/2008_000002.jpg", "59_context_labels/2008_000002.png"],
    ["JPEGImages/2008_000003.jpg", "59_context_labels/2008_000003.png"],
];
const OFFICIAL_LISTS: &[(&str, &str)] =
    &[("ImageSets/Main/train.txt", "2008_000003\n"), ("ImageSets/Main/val.txt", "2008_000002\n")];
const ALPHABETICAL: [[&str; 2]; 2] = [
    ["JPEGImages/2008_000002.jpg", "SegmentationClassContext/2008_000002.png"],
    ["JPEGImages/2008_000003.jpg", "SegmentationClassContext/2008_000003.png"],
];
const ALPHABETICAL_LISTS: &[(&str, &str)] = &[
    ("ImageSets/SegmentationContext/train.txt", "2008_000003\n"),
    ("ImageSets/SegmentationContext/val.txt", "2008_000002\n"),
];

/// Lays out two cases, with `value` in the labels of both.
fn lay_out(root: &Path, layout: &Layout<'_>, value: impl Fn(usize) -> u16) {
    let (_, cases, lists, _) = layout;
    for (seed, [image, reference]) in (1..).zip(cases) {
        photograph(&root.join(image), seed);
        labels(&root.join(reference), &value);
    }
    for (name, text) in *lists {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), text).unwrap();
    }
}

#[test]
fn every_description_fits_the_layout_of_its_authors() {
    for layout in &LAYOUTS {
        let (name, _, _, parts) = layout;
        let (config, folder) = described(name);
        let root = folder.path().join(&config.folder);
        let values = all_values(&config);
        lay_out(&root, layout, |pixel| values[pixel % values.len()]);
        let found = check(&config, &root);
        assert_eq!(found.problems, [], "{name}");
        assert_eq!((found.cases, found.patients), (2, 2), "{name}");
        let names: Vec<&str> = found.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, *parts, "{name}");
        // Each class stands where its value does.
        for (place, class) in (config.ignored.len()..).zip(&config.classes) {
            let pixels = (0..480).filter(|pixel| pixel % values.len() == place).count() as u64;
            let class = found.classes.iter().find(|found| found.name.as_ref() == Some(&class.name));
            assert_eq!(class.unwrap().voxels, 2 * pixels, "{name}");
        }
        // What training reads is what was checked.
        let dataset = Dataset::open(config.clone(), folder.path()).unwrap();
        let label = dataset.cases[0].read_labels().unwrap().labels[[0, 0, config.ignored.len()]];
        assert_eq!(label, 0, "{name}");
    }
}

#[test]
fn a_value_of_no_class_is_told_with_its_place() {
    for (name, value) in
        [("ade20k", 151), ("coco_stuff_10k_182", 12), ("pascal_context_60_official", 60)]
    {
        let layout = LAYOUTS.iter().find(|layout| layout.0 == name).unwrap();
        let (config, folder) = described(name);
        let root = folder.path().join(&config.folder);
        lay_out(&root, layout, |pixel| if pixel == 25 { value } else { 1 });
        let problems = check(&config, &root).problems;
        assert_eq!(problems.len(), 2, "{name}");
        let place = format!("found {value} in 1 voxel, the first at [1, 1, 0] (x, y, z)");
        assert!(problems[0].message.ends_with(&place), "{name}: {}", problems[0].message);
    }
}

#[test]
fn the_other_order_of_pascal_context_is_noticed() {
    let value_of = |config: &DatasetConfig, name: &str| {
        let mut classes = (0..).zip(&config.classes);
        let found = classes.find(|(_, class)| class.name == name).unwrap();
        found.1.value.unwrap_or(found.0)
    };
    for (written, read) in [("official", "alphabetical"), ("alphabetical", "official")] {
        let layout =
            LAYOUTS.iter().find(|layout| layout.0.ends_with(&format!("59_{read}"))).unwrap();
        let (other, _) = described(&format!("pascal_context_59_{written}"));
        let common =
            ["sky", "grass", "tree", "building", "person"].map(|name| value_of(&other, name));
        for (config, warned) in [(read, true), (written, false)] {
            for classes in [59, 60] {
                let (config, folder) = described(&format!("pascal_context_{classes}_{config}"));
                let layout = (
                    layout.0,
                    if config.labels == "59_context_labels" { OFFICIAL } else { ALPHABETICAL },
                    if config.labels == "59_context_labels" {
                        OFFICIAL_LISTS
                    } else {
                        ALPHABETICAL_LISTS
                    },
                    layout.3,
                );
                let root = folder.path().join(&config.folder);
                lay_out(&root, &layout, |pixel| common[pixel % common.len()]);
                let warnings = check(&config, &root).warnings;
                let order = warnings
                    .iter()
                    .any(|warning| warning.contains("of another order of the classes"));
                assert_eq!(order, warned, "{}: {warnings:?}", config.name);
            }
        }
    }
}

#[test]
fn colored_labels_are_classes_by_their_color() {
    let (config, folder) = described("camvid_32");
    let root = folder.path().join(&config.folder);
    photograph(&root.join("701_StillsRaw_full/0001TP_006690.png"), 1);
    let path = root.join("LabeledApproved_full/0001TP_006690_L.png");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let [width, height] = SIZE;
    let save = |color: fn(u32) -> [u8; 3]| {
        RgbImage::from_fn(width, height, |x, _| Rgb(color(x))).save(&path).unwrap();
    };
    // Sky, void, car.
    save(|x| [[128, 128, 128], [0, 0, 0], [64, 0, 128]][x as usize % 3]);
    let found = check(&config, &root);
    assert_eq!(found.problems, []);
    let voxels: Vec<(&str, u64)> = found
        .classes
        .iter()
        .filter(|class| class.voxels > 0)
        .map(|class| (class.name.as_deref().unwrap(), class.voxels))
        .collect();
    assert_eq!(voxels, [("Car", 160), ("Sky", 160), ("ignored", 160)]);
    save(|x| if x == 5 { [1, 2, 3] } else { [0, 0, 0] });
    let message = &check(&config, &root).problems[0].message;
    assert!(message.contains("found [1, 2, 3] at voxel [5, 0, 0]"), "{message}");
}

fn scan(seed: f64) -> (Volume, LabelVolume) {
    synthetic::ellipsoid([6, 20, 24], [1.0, 1.2, 3.0], [11.0 + seed, 9.0, 2.5], [5.0, 6.0, 5.0])
        .unwrap()
}

fn write_scan(image: &Path, seed: f64) {
    fs::create_dir_all(image.parent().unwrap()).unwrap();
    write_volume(image, &scan(seed).0).unwrap();
}

/// nnU-Net v2 with two channels and three cases, of two patients.
fn nnunet(root: &Path) -> Value {
    for (seed, case) in (0..).zip(["p1_a", "p1_b", "p2_a"]) {
        for channel in 0..2 {
            let image = format!("imagesTr/{case}_{channel:04}.nii.gz");
            write_scan(&root.join(image), 3.0 * f64::from(seed) + f64::from(channel) / 3.0);
        }
        fs::create_dir_all(root.join("labelsTr")).unwrap();
        let labels = scan(f64::from(seed)).1;
        write_labels(&root.join(format!("labelsTr/{case}.nii.gz")), &labels).unwrap();
    }
    write_scan(&root.join("imagesTs/p3_a_0000.nii.gz"), 0.0);
    write_scan(&root.join("imagesTs/p3_a_0001.nii.gz"), 1.0);
    let json = json!({
        "channel_names": {"0": "T2", "1": "ADC"},
        "labels": {"background": 0, "gland": 1, "ignore": 2},
        "numTraining": 3,
        "file_ending": ".nii.gz",
    });
    write_json(root, &json);
    json
}

fn write_json(root: &Path, json: &Value) {
    fs::write(root.join("dataset.json"), json.to_string()).unwrap();
}

fn open(root: &Path, toml: &str) -> Result<Dataset, String> {
    let facts = "name = \"n\"\ntitle = \"t\"\nmodality = \"mr\"\nlicense = \"l\"\nsource = \"s\"\nfolder = \".\"\n";
    let path = root.join("description.toml");
    fs::write(&path, format!("{facts}{toml}")).unwrap();
    let config = DatasetConfig::read(&path).map_err(|error| error.to_string())?;
    Dataset::open(config, root).map_err(|error| error.to_string())
}

#[test]
fn nnunet_tells_its_channels_and_classes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    nnunet(root);
    let found = check(&DatasetConfig::default(), root);
    assert_eq!((found.problems, found.warnings.len(), found.cases), (Vec::new(), 0, 3));
    assert_eq!(found.classes[1].name.as_deref(), Some("gland"));
    // One channel has to be chosen.
    let message = open(root, "").unwrap_err();
    assert!(
        message.contains("expected one channel per case, found T2, ADC; `channel` says"),
        "{message}"
    );
    for (channel, number) in [("T2", 0), ("1", 1)] {
        let dataset = open(root, &format!("layout = \"nnunet\"\nchannel = {channel:?}")).unwrap();
        let file = format!("p1_a_{number:04}.nii.gz");
        assert!(dataset.cases[0].image.ends_with(&file), "{:?}", dataset.cases[0].image);
        assert_eq!(dataset.config.ignored, [2]);
    }
    let message = open(root, "channel = \"DWI\"").unwrap_err();
    assert!(
        message.contains("expected one of the channels 0 (T2), 1 (ADC), found \"DWI\""),
        "{message}"
    );
    let message = open(root, "layout = \"msd\"").unwrap_err();
    assert!(message.contains("expected the layout \"msd\", found that of \"nnunet\""), "{message}");
}

#[test]
fn what_is_missing_in_nnunet_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut json = nnunet(root);
    fs::remove_file(root.join("imagesTr/p1_a_0001.nii.gz")).unwrap();
    fs::remove_file(root.join("labelsTr/p2_a.nii.gz")).unwrap();
    fs::write(root.join("imagesTr/notes.txt"), "").unwrap();
    let found = check(&DatasetConfig::default(), root);
    let messages: Vec<&str> =
        found.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "expected the channels 0 (T2), 1 (ADC), found _0000",
            "image without labels of its name in labelsTr/",
        ]
    );
    assert_eq!(
        found.warnings[..2],
        [
            "1 other files in imagesTr/, whose names do not end in .nii.gz",
            "dataset.json promises 3 cases, 1 are there"
        ]
    );
    // A channel on another grid, and a value that is no class.
    write_volume(
        &root.join("imagesTr/p1_b_0001.nii.gz"),
        &synthetic::ellipsoid([6, 20, 25], [1.0; 3], [9.0; 3], [4.0; 3]).unwrap().0,
    )
    .unwrap();
    json["labels"] = json!({"background": 0, "gland": 1});
    write_json(root, &json);
    let mut labels = scan(1.0).1;
    labels.labels[[0, 0, 3]] = 2;
    write_labels(&root.join("labelsTr/p1_b.nii.gz"), &labels).unwrap();
    let found = check(&DatasetConfig::default(), root);
    let messages: String =
        found.problems.iter().map(|problem| problem.message.clone() + "\n").collect();
    assert!(messages.contains("this channel lies on another grid than the first"), "{messages}");
    assert!(
        messages.contains("expected labels 0 to 1, found 2 in 1 voxel, the first at [3, 0, 0]"),
        "{messages}"
    );
    // Regions are no classes.
    json["labels"] = json!({"background": 0, "whole": [1, 2], "core": 2});
    json["regions_class_order"] = json!([1, 2]);
    write_json(root, &json);
    let error = Pairs::find(&DatasetConfig::default(), root).unwrap_err().to_string();
    assert!(
        error.contains("found a region of several (whole: [1,2]), which is not supported"),
        "{error}"
    );
    assert!(error.ends_with("dataset.json"), "{error}");
}

#[test]
fn a_single_channel_needs_no_number_and_may_be_listed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut json = nnunet(root);
    json["channel_names"] = json!({"0": "T2"});
    json["numTraining"] = json!(1);
    for case in ["p1_a", "p1_b", "p2_a"] {
        fs::remove_file(root.join(format!("imagesTr/{case}_0001.nii.gz"))).unwrap();
    }
    write_json(root, &json);
    assert_eq!(open(root, "patient_separator = \"_\"").unwrap().cases.len(), 3);
    let image = |case: &str| root.join(format!("imagesTr/{case}.nii.gz"));
    for (case, name) in [("p1_a", "p1_0001"), ("p1_b", "p1_0002"), ("p2_a", "p2_0001")] {
        fs::rename(image(&format!("{case}_0000")), image(name)).unwrap();
        let labels = |case: &str| root.join(format!("labelsTr/{case}.nii.gz"));
        fs::rename(labels(case), labels(name)).unwrap();
    }
    let ids = |dataset: Dataset| dataset.cases.into_iter().map(|case| case.id).collect::<Vec<_>>();
    assert_eq!(ids(open(root, "").unwrap()), ["p1_0001", "p1_0002", "p2_0001"]);
    json["dataset"] = json!({"only": {
        "images": ["imagesTr/p1_0001.nii.gz"], "label": "./labelsTr/p1_0001.nii.gz"
    }});
    write_json(root, &json);
    assert_eq!(ids(open(root, "").unwrap()), ["only"]);
}

#[test]
fn folds_of_nnunet_are_read_checked_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    nnunet(root);
    let toml = "channel = \"T2\"\nfolds = \"splits_final.json\"\npatient_separator = \"_\"";
    let with = |splits: Value| {
        fs::write(root.join("splits_final.json"), splits.to_string()).unwrap();
        open(root, toml)
    };
    let dataset = with(json!([{"train": ["p1_a", "p1_b"], "val": ["p2_a"]}])).unwrap();
    let split = dataset.split(0, 5, 0).unwrap();
    let ids = |cases: &[Case]| cases.iter().map(|case| case.id.clone()).collect::<Vec<_>>();
    assert_eq!(
        (ids(&split.training), ids(&split.validation)),
        (vec!["p1_a".into(), "p1_b".into()], vec!["p2_a".to_owned()])
    );
    assert!(dataset.split(1, 5, 0).is_err());
    for (splits, reason) in [
        (json!([{"train": ["p1_a"], "val": ["p1_b"]}]), "both of patient p1"),
        (
            json!([{"train": ["p1_a", "p9"], "val": ["p2_a"]}]),
            "p9 in \"train\", which is no case here",
        ),
        (json!([{"train": ["p1_a", "p2_a"], "val": ["p2_a"]}]), "p2_a in \"train\" and in \"val\""),
        (json!({"train": []}), "expected a list of folds with `train` and `val`"),
    ] {
        let message = with(splits).unwrap_err();
        assert!(message.contains(reason) && message.ends_with("splits_final.json"), "{message}");
    }
    // Drawn folds come back as they were drawn.
    let drawn = open(root, "channel = \"T2\"\npatient_separator = \"_\"").unwrap();
    let sides = drawn.sides(2, 3);
    let again = with(serde_json::to_value(&sides).unwrap()).unwrap();
    assert_eq!(again.sides(9, 9), sides);
    for (fold, Sides { train, val }) in sides.iter().enumerate() {
        assert_eq!(again.split(fold, 9, 9).unwrap(), drawn.split(fold, 2, 3).unwrap());
        let all: BTreeSet<&String> = train.iter().chain(val).collect();
        assert_eq!(all.len(), 3);
    }
}

#[test]
fn the_decathlon_is_read_as_it_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (seed, case) in [(0.0, "prostate_00"), (3.0, "prostate_01")] {
        let image = root.join(format!("imagesTr/{case}.nii.gz"));
        write_scan(&image, seed);
        fs::create_dir_all(root.join("labelsTr")).unwrap();
        write_labels(&root.join(format!("labelsTr/{case}.nii.gz")), &scan(seed).1).unwrap();
    }
    fs::write(root.join("imagesTr/._prostate_00.nii.gz"), "left by a Mac").unwrap();
    let pair = |case: &str| json!({"image": format!("./imagesTr/{case}.nii.gz"), "label": format!("./labelsTr/{case}.nii.gz")});
    let mut json = json!({
        "name": "Prostate", "tensorImageSize": "3D", "modality": {"0": "T2"},
        "labels": {"0": "background", "1": "prostate"}, "numTraining": 2, "numTest": 0,
        "training": [pair("prostate_00"), pair("prostate_01")], "test": [],
    });
    write_json(root, &json);
    let found = check(&DatasetConfig::default(), root);
    assert_eq!((found.problems, found.cases, found.warnings), (Vec::new(), 2, Vec::new()));
    assert_eq!(open(root, "layout = \"msd\"").unwrap().cases.len(), 2);
    // Two channels along the fourth axis.
    json["modality"] = json!({"0": "T2", "1": "ADC"});
    json["tensorImageSize"] = json!("4D");
    json["training"] = json!([pair("prostate_00")]);
    json["numTraining"] = json!(1);
    write_json(root, &json);
    four_dimensional(&root.join("imagesTr/prostate_00.nii.gz"));
    let found = check(&DatasetConfig::default(), root);
    assert_eq!((found.problems, found.cases), (Vec::new(), 1));
    assert!(
        open(root, "").unwrap_err().contains("found T2, ADC; `channel` says which one to read")
    );
    let dataset = open(root, "channel = \"ADC\"").unwrap();
    assert_eq!(dataset.cases[0].volume, Some(1));
    let volume = dataset.cases[0].read_volume().unwrap();
    assert_eq!(volume.value([0, 0, 0]), 1000.0);
    // A file that is not there.
    json["training"] = json!([pair("prostate_00"), pair("prostate_07")]);
    write_json(root, &json);
    let message = &check(&DatasetConfig::default(), root).problems[0].message;
    assert_eq!(
        message,
        "dataset.json names a file that is not there, ./imagesTr/prostate_07.nii.gz"
    );
}

/// Makes a NIfTI of 24 x 20 x 6 into one of two volumes, the second all 1000.
fn four_dimensional(path: &Path) {
    use std::io::{Read, Write};
    let plain = path.with_file_name("plain.nii");
    write_volume(&plain, &scan(0.0).0).unwrap();
    let mut bytes = Vec::new();
    fs::File::open(&plain).unwrap().read_to_end(&mut bytes).unwrap();
    fs::remove_file(plain).unwrap();
    let short = |value: i16| value.to_le_bytes();
    bytes[40..42].copy_from_slice(&short(4));
    bytes[48..50].copy_from_slice(&short(2));
    bytes.extend((0..24 * 20 * 6).flat_map(|_| 1000_f32.to_le_bytes()));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&bytes).unwrap();
    fs::write(path, packed.finish().unwrap()).unwrap();
}

#[test]
fn the_same_image_in_another_form_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let config = DatasetConfig {
        images: "images".to_owned(),
        labels: "labels".to_owned(),
        ..DatasetConfig::default()
    };
    for (name, phase) in [("a.png", 0.0), ("b.bmp", 0.0), ("c.jpg", 0.0), ("d.png", 2.0)] {
        let path = root.join("images").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let wave = |x: u32, step: f64| 127.0 + 120.0 * (f64::from(x) / step + phase).sin();
        let color = |x, y| Rgb([wave(x, 9.0) as u8, wave(y, 7.0) as u8, wave(x + y, 11.0) as u8]);
        RgbImage::from_fn(96, 80, color).save(&path).unwrap();
        let path = root.join("labels").join(name).with_extension("png");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        GrayImage::from_fn(96, 80, |x, _| Luma([(x % 2) as u8])).save(path).unwrap();
    }
    let found = check(&config, root);
    let told: Vec<(Option<&str>, &str)> = found
        .problems
        .iter()
        .map(|problem| (problem.case.as_deref(), problem.message.as_str()))
        .collect();
    assert_eq!(told, [(Some("b"), "the same image as a, which is said to be of another patient")]);
    assert_eq!(found.warnings, ["c looks like a, which is said to be of another patient"]);
    // A scan that was turned.
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let (volume, reference) = scan(0.0);
    write_scan(&root.join("images/a.nii"), 0.0);
    let order = lamina_io::AxisOrder::new([1, 0, 2], [true, false, true]).unwrap();
    write_volume(&root.join("images/b.nii"), &volume.reoriented(&order)).unwrap();
    fs::create_dir_all(root.join("labels")).unwrap();
    write_labels(&root.join("labels/a.nii"), &reference).unwrap();
    write_labels(&root.join("labels/b.nii"), &reference.reoriented(&order)).unwrap();
    let problems = check(&config, root).problems;
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.starts_with("the same image as a"), "{}", problems[0].message);
}

#[test]
fn class_tables_are_those_of_the_authors() {
    let Some(data) = std::env::var_os("LAMINA_DATA").map(PathBuf::from) else { return };
    let table = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(data.join("tables").join(name)).unwrap()).unwrap()
    };
    let rgb = |value: &Value| -> Vec<u64> {
        value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect()
    };
    let color = |color: [u8; 3]| color.map(u64::from).to_vec();

    let context = table("pascal_context_59.json");
    for (order, names) in [
        (
            "official",
            (1..60).map(|id| context["order_a"][id.to_string()].clone()).collect::<Vec<_>>(),
        ),
        ("alphabetical", context["order_b_0based"].as_array().unwrap().clone()),
    ] {
        let (plain, _) = described(&format!("pascal_context_59_{order}"));
        let (with_background, _) = described(&format!("pascal_context_60_{order}"));
        assert_eq!((plain.classes.len(), with_background.classes.len()), (59, 60));
        for (index, name) in names.iter().enumerate() {
            assert_eq!(name, &plain.classes[index].name);
            assert_eq!(name, &with_background.classes[index + 1].name);
            assert_eq!(plain.classes[index].value, Some(index as u16 + 1));
        }
    }
    for (id, place) in context["a_to_b_0based"].as_object().unwrap() {
        let (official, _) = described("pascal_context_59_official");
        let class = &official.classes[id.parse::<usize>().unwrap() - 1];
        assert_eq!(
            color(class.color),
            rgb(&context["order_b_rgb"][place.as_u64().unwrap() as usize])
        );
    }

    let (cityscapes, _) = described("cityscapes");
    for row in table("cityscapes_labels.json").as_array().unwrap() {
        let Ok(id) = u16::try_from(row["id"].as_i64().unwrap()) else { continue };
        match row["trainId"].as_i64().unwrap() {
            255 => assert!(cityscapes.ignored.contains(&id), "{row}"),
            place => {
                let class = &cityscapes.classes[place as usize];
                assert_eq!((class.value, &json!(class.name)), (Some(id), &row["name"]));
                assert_eq!(color(class.color), rgb(&row["rgb"]));
            }
        }
    }
    assert_eq!(cityscapes.classes.len() + cityscapes.ignored.len(), 34);
    let (camvid, _) = described("camvid");
    for (row, class) in
        table("camvid_11.json")["classes"].as_array().unwrap().iter().zip(&camvid.classes)
    {
        assert_eq!(color(class.color), rgb(&row["rgb"]));
    }
}
