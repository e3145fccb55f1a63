//! Pictures in color: learned from, segmented, measured.

use image::{GrayImage, Luma, Rgb, RgbImage};
use lamina_io::{ReadOptions, read_labels};

use crate::support::Sandbox;

const DATASET: &str = r#"
name = "signs"
title = "Red squares on green, both as bright"
modality = "rgb"
license = "CC0-1.0"
source = "made by a test"
folder = "signs"
images = "images"
labels = "labels"
classes = [
    { name = "meadow", color = [0, 90, 0] },
    { name = "sign", color = [220, 30, 10] },
]
"#;

const EXPERIMENT: &str = r#"
dataset = "signs"
folds = 3
seed = 4

[network.unet]
base_channels = 4
depth = 2

[preprocessing]
input = "rgb"
plane = "stored"
normalization = "imagenet"

[augmentation]
flip_x = 0.5
scale = 0.1

[training]
epochs = 20
batch_size = 2
patch = [24, 24]
learning_rate = 0.05
"#;

/// Six pictures of 30 x 22; only their hue says where the sign is, which is labeled 1.
fn write_signs(sandbox: &Sandbox) {
    sandbox.write("configs/datasets/signs.toml", DATASET);
    sandbox.write("configs/experiments/signs-unet.toml", EXPERIMENT);
    for folder in ["images", "labels"] {
        std::fs::create_dir_all(sandbox.path(&format!("data/signs/{folder}"))).unwrap();
    }
    for number in 0..6_u32 {
        let inside = |x: u32, y: u32| {
            let (left, top) = (3 + 3 * number, 2 + number);
            (left..left + 9).contains(&x) && (top..top + 8).contains(&y)
        };
        let vary = |x: u32, y: u32| ((x * 7 + y * 13 + number * 5) % 16) as u8;
        let picture = RgbImage::from_fn(30, 22, |x, y| {
            let vary = vary(x, y);
            // 0.299 red + 0.587 green is the same.
            if inside(x, y) { Rgb([196 + vary, 20, 30]) } else { Rgb([vary, 120, 30]) }
        });
        let labels = GrayImage::from_fn(30, 22, |x, y| Luma([u8::from(inside(x, y))]));
        picture.save(sandbox.path(&format!("data/signs/images/{number}.png"))).unwrap();
        labels.save(sandbox.path(&format!("data/signs/labels/{number}.png"))).unwrap();
    }
}

#[test]
fn a_network_learns_colors_and_labels_pictures() {
    let sandbox = Sandbox::new();
    write_signs(&sandbox);
    let check = sandbox.lamina("check-data configs/datasets/signs.toml --data data").exits(0);
    assert!(check.stdout.contains('6'), "{check}");
    let run = sandbox
        .lamina("train --config configs/experiments/signs-unet.toml --data data --out run --device cpu --json")
        .exits(0);
    assert!(run.json()["mean_score"].as_f64().unwrap() > 0.8, "{run}");

    // A gray picture is taken too, and said to be.
    std::fs::create_dir_all(sandbox.path("photos")).unwrap();
    let photo = sandbox.path("data/signs/images/4.png");
    std::fs::copy(&photo, sandbox.path("photos/4.png")).unwrap();
    image::open(&photo).unwrap().to_luma8().save(sandbox.path("photos/gray.png")).unwrap();
    let run = sandbox
        .lamina("predict photos --out masks --model run/bundle --device cpu --montage")
        .exits(0);
    assert!(run.stderr.contains("gray: a gray picture, taken for one in color"), "{run}");
    assert!(!run.stderr.contains("4: a gray"), "{run}");

    let mask = read_labels(&sandbox.path("masks/4.png"), &ReadOptions::default()).unwrap();
    assert_eq!(mask.shape(), [1, 22, 30]);
    // The labels have the colors of the classes as their palette.
    let painted = image::open(sandbox.path("masks/4.png")).unwrap().to_rgb8();
    assert_eq!(painted.get_pixel(20, 10), &Rgb([220, 30, 10]));
    assert_eq!(painted.get_pixel(1, 1), &Rgb([0, 90, 0]));
    let report = sandbox
        .lamina("evaluate --prediction masks/4.png --reference data/signs/labels/4.png --json")
        .exits(0)
        .json();
    let dice = report["cases"][0]["classes"][0]["dice"].as_f64().unwrap();
    assert!(dice > 0.9, "{report}");

    let known = sandbox.lamina("fingerprint run/bundle").exits(0);
    assert!(known.stdout.contains("30 × 22 × 1 pixels"), "{known}");
    let info = sandbox.lamina("info photos/4.png").exits(0);
    assert!(info.stdout.contains("uint8 × 3"), "{info}");
}

#[test]
fn a_model_of_colors_refuses_scans_and_settings_of_scans() {
    let sandbox = Sandbox::new();
    write_signs(&sandbox);
    let path = "configs/experiments/signs-unet.toml";
    let train = format!("train --config {path} --data data --out run --device cpu");
    for (line, expected) in [
        (
            "normalization = \"imagenet\"",
            (
                "normalization = { window = { level_hu = 0.0, width_hu = 9.0 } }",
                "preprocessing.normalization = window: expected z_score, unit, imagenet or channels",
            ),
        ),
        (
            "plane = \"stored\"",
            ("plane = \"coronal\"", "preprocessing.plane = coronal: expected stored"),
        ),
        (
            "plane = \"stored\"",
            ("crop = \"nonzero\"", "preprocessing.crop = nonzero: expected none"),
        ),
        ("input = \"rgb\"", ("", "preprocessing.normalization = imagenet: expected z_score")),
        (
            "plane = \"stored\"",
            ("spacing_mm = [1.0, 1.0]", "preprocessing.spacing_mm = [1.0, 1.0]: expected none"),
        ),
    ] {
        let (other, message) = expected;
        sandbox.write(path, EXPERIMENT.replace(line, other));
        let run = sandbox.lamina(&train).exits(2);
        assert!(run.stderr.contains(message), "{run}");
    }
    // Colors where one number is wanted.
    let gray = EXPERIMENT.replace("input = \"rgb\"", "").replace("imagenet", "z_score");
    sandbox.write(path, gray);
    let run = sandbox.lamina(&train).exits(2);
    assert!(run.stderr.contains("found colors (red, green and blue), which only models"), "{run}");
}
