//! `lamina convert`.

use std::fs;

use lamina_io::{Geometry, LabelVolume, ReadOptions, read_labels, read_volume, synthetic};
use serde_json::json;

use crate::support::{Sandbox, ellipsoid, larger_data, two_classes};
use crate::transcript;

/// A label map of two classes on an oblique grid.
fn oblique() -> LabelVolume {
    let place = synthetic::oblique([0.5, 0.6, 3.0], [-40.0, 10.0, 7.0]);
    let geometry = Geometry::new([6, 24, 20], place).unwrap();
    let (_, labels) = ellipsoid([9.0, 12.0, 2.5]);
    two_classes(LabelVolume::new(labels.labels, geometry).unwrap())
}

#[test]
fn a_mask_goes_through_every_format_and_back() {
    let sandbox = Sandbox::new();
    sandbox.labels("0.nii.gz", &oblique());
    let names = ["0.nii.gz", "1.mha", "2.nrrd", "3.mhd", "4.nhdr", "5.hdr", "6.nii"];
    for pair in names.windows(2) {
        let run =
            sandbox.lamina(&format!("convert {} {} --labels --json", pair[0], pair[1])).exits(0);
        assert_eq!(run.json()["verified"]["voxels"], 6 * 24 * 20, "{run}");
    }
    let read = |name: &str| read_labels(&sandbox.path(name), &ReadOptions::default()).unwrap();
    assert_eq!(read("6.nii").labels, oblique().labels);
    read("0.nii.gz").geometry.same_grid_within(&read("6.nii").geometry, 1e-4).unwrap();
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(sandbox.path("3.mhd.json")).unwrap()).unwrap();
    assert_eq!(record["verified"]["voxels"], 6 * 24 * 20);
    assert_eq!(record["labels"], json!(true));
}

#[test]
fn it_says_what_was_checked() {
    let sandbox = Sandbox::new();
    let (volume, _) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scan.nii", &volume);
    transcript!(sandbox.lamina("convert scan.nii scan.nrrd"), @r#"
    $ lamina convert scan.nii scan.nrrd
    exit code 0
    --- stdout
    scan.nrrd: 2880 voxels read back and the same, at most 0 of a voxel off their place
    "#);
    assert_eq!(sandbox.list("."), ["scan.nii", "scan.nrrd", "scan.nrrd.json"]);
    let read = |name: &str| read_volume(&sandbox.path(name), &ReadOptions::default()).unwrap();
    assert_eq!(read("scan.nii").voxels, read("scan.nrrd").voxels);
}

#[test]
fn a_file_that_is_there_is_not_replaced_unasked() {
    let sandbox = Sandbox::new();
    let (volume, labels) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scan.nii", &volume);
    sandbox.labels("mask.mhd", &labels);
    transcript!(sandbox.lamina("convert scan.nii mask.mhd"), @r#"
    $ lamina convert scan.nii mask.mhd
    exit code 2
    --- stderr
    error: a file of this name is there; --overwrite replaces it: mask.mhd
    "#);
    transcript!(sandbox.lamina("convert mask.mhd mask.MHD --overwrite"), @r#"
    $ lamina convert mask.mhd mask.MHD --overwrite
    exit code 0
    --- stdout
    mask.MHD: 2880 voxels read back and the same, at most 0 of a voxel off their place
    "#);
    sandbox.lamina("convert scan.nii mask.mhd --overwrite").exits(0);
    assert_eq!(
        read_volume(&sandbox.path("mask.mhd"), &ReadOptions::default()).unwrap().voxels,
        volume.voxels
    );
}

#[test]
fn what_cannot_be_converted_leaves_nothing() {
    let sandbox = Sandbox::new();
    let (volume, _) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scan.nii", &volume);
    transcript!(sandbox.lamina("convert scan.nii mask.mha --labels"), @r#"
    $ lamina convert scan.nii mask.mha --labels
    exit code 1
    --- stderr
    error: expected labels that are whole numbers from 0 to 255, found 332 at voxel [9, 10, 1] (x, y, z): scan.nii
    "#);
    transcript!(sandbox.lamina("convert scan.nii mask.xyz"), @r#"
    $ lamina convert scan.nii mask.xyz
    exit code 2
    --- stderr
    error: expected a name that ends in .nii, .nii.gz, .hdr, .img, .hdr.gz, .img.gz, .mha, .mhd, .nrrd, .nhdr, .png, .tif or .tiff: mask.xyz
    "#);
    transcript!(sandbox.lamina("convert absent.nii mask.mha"), @r#"
    $ lamina convert absent.nii mask.mha
    exit code 2
    --- stderr
    error: expected an image: absent.nii
      caused by: No such file or directory (os error 2)
    "#);
    transcript!(sandbox.lamina("convert scan.nii scan.nii --overwrite"), @r#"
    $ lamina convert scan.nii scan.nii --overwrite
    exit code 2
    --- stderr
    error: the output would overwrite a file that is read: scan.nii
    "#);
    assert_eq!(sandbox.list("."), ["scan.nii"]);
}

#[test]
fn real_prostate_and_hippocampus_files_keep_their_place() {
    let Some(data) = larger_data("converting real files") else { return };
    let sandbox = Sandbox::new();
    let files = [
        ("prostate_t2/promise12_layout/Case00.mhd", "image.nii.gz", ""),
        ("prostate_t2/promise12_layout/Case00_segmentation.mhd", "mask.nrrd", "--labels"),
        ("hippocampus/labels/hippocampus_003.nii.gz", "hippocampus.mha", "--labels"),
    ];
    for (from, to, options) in files {
        let from = data.join(from);
        sandbox.lamina(&format!("convert {} {to} {options}", from.display())).exits(0);
        let (before, after) = (
            read_volume(&from, &ReadOptions::default()).unwrap(),
            read_volume(&sandbox.path(to), &ReadOptions::default()).unwrap(),
        );
        before.geometry.same_grid_within(&after.geometry, 1e-3).unwrap();
        assert_eq!(before.to_f32(), after.to_f32());
    }
}

#[test]
fn labels_become_pages_and_come_back() {
    let sandbox = Sandbox::new();
    sandbox.labels("mask.nii.gz", &oblique());
    transcript!(sandbox.lamina("convert mask.nii.gz mask.tif --labels"), @r#"
    $ lamina convert mask.nii.gz mask.tif --labels
    exit code 0
    --- stdout
    mask.tif: 2880 voxels read back and the same; the file does not say where they lie
    "#);
    let answer = sandbox.lamina("convert mask.tif back.nrrd --labels --json").exits(0).json();
    assert_eq!(answer["verified"]["placed"], false);
    let back = read_labels(&sandbox.path("back.nrrd"), &ReadOptions::default()).unwrap();
    assert_eq!(back.labels, oblique().labels);
    assert_eq!(back.geometry.spacing_mm(), None);
    transcript!(sandbox.lamina("convert mask.nii.gz mask.png --labels"), @r#"
    $ lamina convert mask.nii.gz mask.png --labels
    exit code 1
    --- stderr
    error: expected what a picture can hold, found 6 slices, which a TIFF would take: mask.png
    "#);
}

#[test]
fn colored_labels_become_indices_by_the_table_of_a_data_set() {
    let sandbox = Sandbox::new();
    sandbox.write("tiny.toml", include_str!("../support/tiny_dataset.toml"));
    let colors = [[0, 0, 0], [255, 170, 60]];
    let picture = image::RgbImage::from_fn(5, 4, |x, _| image::Rgb(colors[x as usize % 2]));
    picture.save(sandbox.path("colored.png")).unwrap();
    let run = sandbox.lamina("convert colored.png a.png --labels").exits(1);
    assert!(run.stderr.contains("found colors (red, green and blue)"), "{run}");
    sandbox.lamina("convert colored.png indexed.png --labels --colors tiny.toml").exits(0);
    let labels = read_labels(&sandbox.path("indexed.png"), &ReadOptions::default()).unwrap();
    assert_eq!(labels.labels.into_raw_vec_and_offset().0[..5], [0, 1, 0, 1, 0]);
    assert_eq!(image::open(sandbox.path("indexed.png")).unwrap().to_rgb8(), picture);
}

/// A picture of labels 0 to 2 in three columns each, and a description of them.
fn street() -> Sandbox {
    let sandbox = Sandbox::new();
    let labels = ndarray::Array3::from_shape_fn([1, 4, 9], |(_, _, x)| (x / 3) as u8);
    let labels = LabelVolume::new(labels, Geometry::pixels([1, 4, 9])).unwrap();
    sandbox.labels("labels.png", &labels);
    let facts = "name = \"s\"\ntitle = \"s\"\nmodality = \"rgb\"\nlicense = \"l\"\nsource = \"s\"\nfolder = \".\"\n";
    let classes = "images = \"i\"\nlabels = \"l\"\nignored = [0]\nclasses = [\n\
        { name = \"road\", value = 7, color = [128, 64, 128] },\n\
        { name = \"sidewalk\", value = 8, color = [244, 35, 232] },\n\
        { name = \"building\", value = 11, color = [70, 70, 70] },\n]\n";
    sandbox.write("street.toml", format!("{facts}{classes}"));
    sandbox
}

#[test]
fn labels_are_written_as_official_values_or_in_their_colors() {
    let sandbox = street();
    let run = "convert labels.png";
    sandbox.lamina(&format!("{run} ids.png --labels --colors street.toml --values")).exits(0);
    let ids = read_labels(&sandbox.path("ids.png"), &ReadOptions::default()).unwrap();
    assert_eq!(ids.counts(), [(7, 12), (8, 12), (11, 12)].into());
    // The palette goes with the values.
    let shown = image::open(sandbox.path("ids.png")).unwrap().to_rgb8();
    assert_eq!(shown.get_pixel(8, 0).0, [70, 70, 70]);
    for name in ["colors.png", "colors.tif"] {
        let run = sandbox
            .lamina(&format!("{run} {name} --labels --colors street.toml --colored --json"))
            .exits(0);
        assert_eq!(run.json()["verified"]["voxels"], 36);
        // Colors become labels again through the same table.
        let back = format!("convert {name} back-{name}.png --labels --colors street.toml");
        sandbox.lamina(&back).exits(0);
        let read = |name: &str| read_labels(&sandbox.path(name), &ReadOptions::default()).unwrap();
        assert_eq!(read(&format!("back-{name}.png")).labels, read("labels.png").labels);
    }
    let shown = image::open(sandbox.path("colors.png")).unwrap();
    assert_eq!(shown.color(), image::ColorType::Rgb8);
    assert_eq!(shown.to_rgb8().get_pixel(3, 2).0, [244, 35, 232]);
    // Two labels of one color could not be told apart.
    let text = fs::read_to_string(sandbox.path("street.toml")).unwrap();
    sandbox.write("same.toml", text.replace("[70, 70, 70]", "[128, 64, 128]"));
    let run =
        sandbox.lamina(&format!("{run} no.png --labels --colors same.toml --colored")).exits(1);
    assert!(run.stderr.contains("found labels 0 and 2 of one color"), "{run}");
    assert!(!sandbox.path("no.png").exists());
}

#[test]
fn a_mask_becomes_a_table_of_volumes() {
    let sandbox = Sandbox::new();
    sandbox.labels("masks/a.nii.gz", &oblique());
    sandbox.write("masks/b.nii.gz", "no mask");
    let run = sandbox.lamina("convert masks volumes.csv --json").exits(1);
    assert_eq!(run.json()["failed"], 1);
    let table = fs::read_to_string(sandbox.path("volumes.csv")).unwrap();
    let rows: Vec<Vec<&str>> =
        table.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 4, "{table}");
    for (row, (label, voxels)) in rows[..2].iter().zip(oblique().counts().into_iter().skip(1)) {
        assert_eq!(row[..5], ["a", "done", &label.to_string(), "", &voxels.to_string()]);
        let ml: f64 = row[5].parse().unwrap();
        assert!((ml - voxels as f64 * 0.5 * 0.6 * 3.0 / 1000.0).abs() < 1e-6, "{table}");
    }
    assert_eq!(rows[2][..3], ["b", "failed", "1"]);
    assert!(!table.contains("masks/"), "{table}");
    sandbox.lamina("convert masks volumes.csv").exits(2);
}

#[test]
fn a_mask_is_drawn_over_its_image() {
    let sandbox = Sandbox::new();
    let (volume, labels) = ellipsoid([9.0, 12.0, 2.5]);
    sandbox.image("scan.nii.gz", &volume);
    sandbox.labels("mask.nii.gz", &labels);
    sandbox.lamina("overlay scan.nii.gz mask.nii.gz all.tif").exits(0);
    sandbox.lamina("overlay scan.nii.gz mask.nii.gz one.png --slice 2 --opacity 1").exits(0);
    sandbox
        .lamina("overlay scan.nii.gz mask.nii.gz hollow.png --slice 2 --opacity 1 --contour")
        .exits(0);
    let read = |name: &str| image::open(sandbox.path(name)).unwrap().to_rgb8();
    let (full, hollow) = (read("one.png"), read("hollow.png"));
    assert_eq!(full.dimensions(), (20, 24));
    let red =
        |picture: &image::RgbImage| picture.pixels().filter(|pixel| pixel.0 == [128, 0, 0]).count();
    let inside = labels.labels.index_axis(ndarray::Axis(0), 2).iter().filter(|&&l| l == 1).count();
    assert_eq!(red(&full), inside);
    assert!(red(&hollow) > 0 && red(&hollow) < inside);
    // Where the first class is no background it is drawn as well.
    let street = street();
    let gray = image::GrayImage::from_pixel(9, 4, image::Luma([0]));
    gray.save(street.path("gray.png")).unwrap();
    street.lamina("overlay gray.png labels.png all.png --opacity 1 --colors street.toml").exits(0);
    let shown = image::open(street.path("all.png")).unwrap().to_rgb8();
    assert_eq!(shown.get_pixel(0, 0).0, [128, 64, 128]);
    // What does not fit is refused, and nothing is overwritten unasked.
    transcript!(sandbox.lamina("overlay scan.nii.gz mask.nii.gz one.png"), @r#"
    $ lamina overlay scan.nii.gz mask.nii.gz one.png
    exit code 2
    --- stderr
    error: a file of this name is there; --overwrite replaces it: one.png
    "#);
    let run = sandbox.lamina("overlay scan.nii.gz mask.nii.gz two.png").exits(2);
    assert!(run.stderr.contains("found 6 slices, which a TIFF would take"), "{run}");
    let run = sandbox.lamina("overlay scan.nii.gz mask.nii.gz two.png --slice 6").exits(2);
    assert!(run.stderr.contains("expected a slice from 0 to 5, found 6"), "{run}");
    sandbox.labels("other.nii.gz", &oblique());
    let run = sandbox.lamina("overlay scan.nii.gz other.nii.gz two.png --slice 0").exits(2);
    assert!(run.stderr.contains("the mask lies on another grid"), "{run}");
    let run = sandbox.lamina("overlay scan.nii.gz mask.nii.gz scan.nii.gz --overwrite").exits(2);
    assert!(run.stderr.contains("would overwrite a file that is read"), "{run}");
}
