//! DICOM, from files made by hand: series, multi-frame, segmentations, and what is hostile.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests may panic and are not documentation")]

#[path = "common/dicom.rs"]
mod made;

use std::path::Path;

use lamina_io::{
    LabelVolume, Limits, Modality, ReadOptions, SeriesChoice, StoredType, Volume, VolumeError,
    files_read, read_labels, read_volume, series_in,
};
use made::{
    AXIAL, Dicom, GOLDEN, PATIENT, axial, golden, multi_frame, packed, segmentation, slice,
};
use tempfile::TempDir;

/// A folder of these files.
fn folder(files: &[(&str, Dicom)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, dicom) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, dicom.plain()).unwrap();
    }
    folder
}

fn read(path: &Path) -> Result<Volume, VolumeError> {
    read_volume(path, &ReadOptions::default())
}

fn accepted(path: &Path) -> Volume {
    read_volume(path, &ReadOptions { accept_flaws: true, ..ReadOptions::default() }).unwrap()
}

fn one(dicom: &Dicom) -> Result<Volume, VolumeError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    std::fs::write(&path, dicom.plain()).unwrap();
    read(&path)
}

fn refusal(path: &Path) -> String {
    let message = read(path).unwrap_err().to_string();
    assert!(!message.contains("MARKER"), "{message}");
    message
}

#[test]
fn slices_are_ordered_by_place_in_any_orientation() {
    let half = 0.5_f64.sqrt();
    for (orientation, normal) in [
        (AXIAL, [0.0, 0.0, 1.0]),
        ([1.0, 0.0, 0.0, 0.0, 0.0, -1.0], [0.0, 1.0, 0.0]),
        ([0.0, 1.0, 0.0, 0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]),
        ([half, half, 0.0, 0.0, 0.0, -1.0], [-half, half, 0.0]),
    ] {
        // Names and numbers are in an order of their own.
        let files: Vec<(String, Dicom)> = [3, 0, 4, 1, 2]
            .into_iter()
            .enumerate()
            .map(|(name, k)| {
                let position = [0, 1, 2]
                    .map(|axis| [-10.0, -20.0, 30.0][axis] + 2.5 * f64::from(k) * normal[axis]);
                let pixels: Vec<i16> = (0..12).map(|n| 100 * k + n).collect();
                let dicom = slice(position, orientation, [3, 4], &pixels).text(
                    0x0020_0013,
                    "IS",
                    &name.to_string(),
                );
                (format!("{name}.dcm"), dicom)
            })
            .collect();
        let files: Vec<(&str, Dicom)> =
            files.iter().map(|(name, dicom)| (name.as_str(), dicom.clone())).collect();
        let folder = folder(&files);
        let volume = read(folder.path()).unwrap();
        assert_eq!(volume.shape(), [5, 3, 4]);
        assert_eq!(volume.modality, Some(Modality::Ct));
        assert_eq!(volume.voxels.stored_type(), StoredType::I16);
        for (index, value) in volume.to_f32().indexed_iter() {
            let (k, j, i) = index;
            assert_eq!(*value, (100 * k + 4 * j + i) as f32);
            let place = volume.geometry.ras_from_index().apply([i, j, k].map(|n| n as f64));
            for axis in 0..3 {
                let lps = [-10.0, -20.0, 30.0][axis]
                    + 2.5 * k as f64 * normal[axis]
                    + 0.75 * i as f64 * orientation[axis]
                    + 0.5 * j as f64 * orientation[3 + axis];
                let ras = if axis < 2 { -lps } else { lps };
                assert!((place[axis] - ras).abs() < 1e-9, "{place:?}");
            }
        }
    }
}

#[test]
fn missing_slices_are_listed_and_repeat_their_neighbors_on_request() {
    let folder = folder(&[
        ("a", axial(0.0, 0)),
        ("b", axial(2.0, 100)),
        ("c", axial(8.0, 400)),
        ("d", axial(10.0, 500)),
    ]);
    let message = refusal(folder.path());
    assert!(message.contains("2 slices missing between 2.00 and 8.00 mm"), "{message}");
    let volume = accepted(folder.path());
    let first: Vec<f64> = (0..6).map(|k| volume.value([k, 0, 0])).collect();
    assert_eq!(first, [0.0, 100.0, 100.0, 400.0, 400.0, 500.0]);
    assert_eq!(volume.geometry.spacing_mm(), Some([0.75, 0.5, 2.0]));
}

#[test]
fn uneven_gaps_are_listed_and_evened_on_request() {
    let folder = folder(&[
        ("a", axial(0.0, 0)),
        ("b", axial(2.0, 100)),
        ("c", axial(4.3, 200)),
        ("d", axial(6.3, 300)),
    ]);
    let message = refusal(folder.path());
    assert!(message.contains("a gap of 2.300 mm instead of 2.000 mm after 2.00 mm"), "{message}");
    let volume = accepted(folder.path());
    assert_eq!(volume.shape(), [4, 3, 4]);
    assert!((volume.geometry.spacing_mm().unwrap()[2] - 2.1).abs() < 1e-9);
}

#[test]
fn repeated_slices_are_listed_and_the_first_counts_on_request() {
    let folder = folder(&[
        ("a", axial(0.0, 0).text(0x0020_0013, "IS", "1")),
        ("b", axial(2.0, 100).text(0x0020_0013, "IS", "3")),
        ("c", axial(2.0, 900).text(0x0020_0013, "IS", "2")),
        ("d", axial(4.0, 200).text(0x0020_0013, "IS", "4")),
    ]);
    let message = refusal(folder.path());
    assert!(message.contains("one more slice at 2.00 mm"), "{message}");
    let volume = accepted(folder.path());
    assert_eq!([0, 1, 2].map(|k| volume.value([k, 0, 0])), [0.0, 900.0, 200.0]);
}

#[test]
fn a_tilted_gantry_is_refused_and_becomes_a_sheared_grid_on_request() {
    let tilted = |k: i16| {
        let position = [-10.0, -20.0 + 0.5 * f64::from(k), 2.0 * f64::from(k)];
        slice(position, AXIAL, [3, 4], &[k; 12])
    };
    let folder = folder(&[("a", tilted(0)), ("b", tilted(1)), ("c", tilted(2))]);
    let message = refusal(folder.path());
    assert!(message.contains("tilted by 14.04 degrees"), "{message}");
    let volume = accepted(folder.path());
    let place = volume.geometry.ras_from_index().apply([0.0, 0.0, 2.0]);
    assert_eq!(place, [10.0, 19.0, 4.0]);
}

#[test]
fn several_series_are_listed_and_one_is_chosen() {
    let other =
        |z: f64| axial(z, 50).text(0x0020_000e, "UI", "1.2.3.5").text(0x0020_0011, "IS", "3");
    let folder = folder(&[
        ("x/a", axial(0.0, 0)),
        ("y/b", axial(2.0, 100)),
        ("x/c", other(0.0)),
        ("y/d", other(3.0)),
        ("y/e", other(6.0)),
        (
            "DICOMDIR",
            Dicom::new()
                .text(0x0004_1130, "CS", PATIENT)
                .items(0x0004_1220, &[Dicom::new().text(0x0004_1430, "CS", "PATIENT")]),
        ),
    ]);
    std::fs::write(folder.path().join("notes.txt"), "no DICOM").unwrap();
    let message = refusal(folder.path());
    assert!(message.contains("1: CT 4 x 3 x 3 of 0.750 x 0.500 x 3.000 mm, key"), "{message}");
    assert!(message.contains("2: CT 4 x 3 x 2 of 0.750 x 0.500 x 2.000 mm, key"), "{message}");

    let list = series_in(folder.path(), &Limits::default()).unwrap();
    let key = &list[1].key;
    for (choice, depth) in [("1", 3), ("2", 2), ("1.2.3.5", 3), (key.as_str(), 2)] {
        let series: Option<SeriesChoice> = Some(choice.parse().unwrap());
        let options = ReadOptions { series, ..ReadOptions::default() };
        assert_eq!(read_volume(folder.path(), &options).unwrap().shape()[0], depth, "{choice}");
        assert_eq!(files_read(folder.path(), &options).len(), depth);
    }
    let options = ReadOptions { series: Some(SeriesChoice::Number(3)), ..ReadOptions::default() };
    assert!(matches!(
        read_volume(folder.path(), &options),
        Err(VolumeError::SeriesChoice { fitting: 0, .. })
    ));
}

#[test]
fn slices_at_one_place_are_told_apart_by_their_b_value() {
    let at = |z: f64, b: &str, first: i16| axial(z, first).text(0x0019_100c, "IS", b);
    let folder = folder(&[
        ("a", at(0.0, "50", 1)),
        ("b", at(0.0, "400", 2)),
        ("c", at(3.0, "50", 3)),
        ("d", at(3.0, "400", 4)),
    ]);
    let list = series_in(folder.path(), &Limits::default()).unwrap();
    let parts: Vec<_> = list.iter().map(|series| series.part.as_deref().unwrap()).collect();
    assert_eq!(parts, ["b-value 50", "b-value 400"]);
    let options = ReadOptions { series: Some(SeriesChoice::Number(2)), ..ReadOptions::default() };
    let volume = read_volume(folder.path(), &options).unwrap();
    assert_eq!([0, 1].map(|k| volume.value([k, 0, 0])), [2.0, 4.0]);
}

/// Where makers write b-values, and gradients of one b-value.
#[test]
fn b_values_of_all_makers_and_gradients_tell_slices_apart() {
    type Mark<'a> = &'a dyn Fn(Dicom, f64) -> Dicom;
    let doubles =
        |numbers: &[f64]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let single = |b: f32| b.to_le_bytes().to_vec();
    let marks: [Mark; 5] = [
        &|dicom, b| dicom.raw(0x0018_9087, "FD", doubles(&[b])),
        &|dicom, b| dicom.raw(0x2001_1003, "FL", single(b as f32)),
        &|dicom, b| dicom.raw(0x0065_1009, "FD", doubles(&[b])),
        &|dicom, b| dicom.text(0x0043_1039, "IS", &format!("{}\\8\\0\\0", 1_000_000_000.0 + b)),
        &|dicom, b| dicom.text(0x0019_100c, "IS", &b.to_string()),
    ];
    let parts = |files: &[(&str, Dicom)]| -> Vec<String> {
        let list = series_in(folder(files).path(), &Limits::default()).unwrap();
        list.iter().map(|series| series.part.clone().unwrap_or_default()).collect()
    };
    for mark in marks {
        let at = |z: f64, b: f64| mark(axial(z, 0), b);
        let files = [
            ("a", at(0.0, 50.0)),
            ("b", at(0.0, 800.0)),
            ("c", at(3.0, 50.0)),
            ("d", at(3.0, 800.0)),
        ];
        assert_eq!(parts(&files), ["b-value 50", "b-value 800"]);
    }
    let at = |z: f64, b: f64, gradient: Option<[f64; 3]>| {
        let dicom = axial(z, 0).raw(0x0018_9087, "FD", doubles(&[b]));
        match gradient {
            Some(gradient) => dicom.raw(0x0018_9089, "FD", doubles(&gradient)),
            None => dicom,
        }
    };
    let (x, y) = (Some([1.0, 0.0, 0.0]), Some([0.0, 1.0, 0.0]));
    let files = [
        ("a", at(0.0, 0.0, None)),
        ("b", at(0.0, 800.0, x)),
        ("c", at(0.0, 800.0, y)),
        ("d", at(3.0, 0.0, None)),
        ("e", at(3.0, 800.0, x)),
        ("f", at(3.0, 800.0, y)),
    ];
    assert_eq!(
        parts(&files),
        ["no gradient", "gradient 0.0000 1.0000 0.0000", "gradient 1.0000 0.0000 0.0000"]
    );
}

#[test]
fn echoes_times_and_acquisitions_tell_slices_apart() {
    for (tag, vr, values, expected) in [
        (0x0018_0081, "DS", ["4.6", "2.3"], ["echo 2.3", "echo 4.6"]),
        (0x0020_0100, "IS", ["2", "1"], ["time 1", "time 2"]),
        (0x0018_1060, "DS", ["70", "0"], ["time 0", "time 70"]),
        (0x0020_0012, "IS", ["12", "2"], ["acquisition 2", "acquisition 12"]),
    ] {
        let at = |z: f64, value: &str| axial(z, 0).text(tag, vr, value);
        let folder = folder(&[
            ("a", at(0.0, values[0])),
            ("b", at(0.0, values[1])),
            ("c", at(3.0, values[0])),
            ("d", at(3.0, values[1])),
        ]);
        let list = series_in(folder.path(), &Limits::default()).unwrap();
        let parts: Vec<_> = list.iter().map(|series| series.part.as_deref().unwrap()).collect();
        assert_eq!(parts, expected);
        let message = refusal(folder.path());
        assert!(
            message.contains("expected one series to be chosen by its number")
                && message.contains("found 2 that fit"),
            "{message}"
        );
        assert!(message.contains(expected[0]) && message.contains(expected[1]), "{message}");
    }
}

#[test]
fn one_rescaling_keeps_the_stored_type_and_several_do_not() {
    let scaled = |z: f64, slope: f64| {
        axial(z, 10).decimals(0x0028_1052, &[-1024.0]).decimals(0x0028_1053, &[slope])
    };
    let even = folder(&[("a", scaled(0.0, 2.0)), ("b", scaled(1.0, 2.0))]);
    let volume = read(even.path()).unwrap();
    assert_eq!((volume.voxels.stored_type(), volume.value([1, 0, 1])), (StoredType::I16, -1002.0));
    let mixed = folder(&[("a", scaled(0.0, 2.0)), ("b", scaled(1.0, 3.0))]);
    let volume = read(mixed.path()).unwrap();
    assert_eq!(volume.voxels.stored_type(), StoredType::F32);
    assert_eq!([volume.value([0, 0, 1]), volume.value([1, 0, 1])], [-1002.0, -991.0]);
}

#[test]
fn pixels_are_what_their_bits_and_tables_say() {
    let twelve = axial(0.0, 0).shorts(0x0028_0101, &[12]).shorts(0x0028_0102, &[11]).raw(
        0x7fe0_0010,
        "OW",
        [0xf800_u16; 12].iter().flat_map(|n| n.to_le_bytes()).collect(),
    );
    assert_eq!(one(&twelve).unwrap().value([0, 0, 0]), -2048.0);
    let twelve = twelve.shorts(0x0028_0103, &[0]);
    assert_eq!(one(&twelve).unwrap().value([0, 0, 0]), 2048.0);
    let inverted = twelve.text(0x0028_0004, "CS", "MONOCHROME1");
    assert_eq!(one(&inverted).unwrap().value([0, 0, 0]), 4095.0 - 2048.0);

    let table = Dicom::new().shorts(0x0028_3002, &[3, 1, 16]).shorts(0x0028_3006, &[500, 600, 700]);
    let volume = one(&axial(0.0, 0).items(0x0028_3000, &[table])).unwrap();
    assert_eq!([0, 1, 2, 3].map(|i| volume.value([0, 0, i])), [500.0, 500.0, 600.0, 700.0]);

    let float = axial(0.0, 0).without(0x7fe0_0010).raw(
        0x7fe0_0008,
        "OF",
        (0..12).flat_map(|n| (n as f32 / 4.0).to_le_bytes()).collect(),
    );
    let volume = one(&float).unwrap();
    assert_eq!((volume.voxels.stored_type(), volume.value([0, 1, 1])), (StoredType::F32, 1.25));

    let wide = axial(0.0, 0)
        .shorts(0x0028_0100, &[32])
        .shorts(0x0028_0101, &[32])
        .shorts(0x0028_0102, &[31])
        .raw(0x7fe0_0010, "OW", (0..12_i32).flat_map(|n| (-100_000 * n).to_le_bytes()).collect());
    assert_eq!(one(&wide).unwrap().value([0, 2, 3]), -1_100_000.0);
}

#[test]
fn frames_of_one_file_are_ordered_by_place_too() {
    let volume = one(&multi_frame()).unwrap();
    assert_eq!([0, 1, 2].map(|k| volume.value([k, 0, 0])), [2012.0, 3024.0, 1000.0]);
    assert_eq!(volume.geometry.spacing_mm(), Some([0.75, 0.5, 2.0]));
    assert_eq!(volume.geometry.ras_from_index().origin(), [10.0, 20.0, 0.0]);
}

#[test]
fn what_is_no_volume_is_refused_by_name() {
    let mosaic = axial(0.0, 0).text(0x0008_0008, "CS", "ORIGINAL\\PRIMARY\\M\\ND\\MOSAIC");
    let colors = axial(0.0, 0).shorts(0x0028_0002, &[3]).text(0x0028_0004, "CS", "RGB");
    let palette = axial(0.0, 0).text(0x0028_0004, "CS", "PALETTE COLOR");
    let report = Dicom::new().text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.88.33").text(
        0x0010_0010,
        "PN",
        PATIENT,
    );
    let plan = Dicom::new().text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.481.5");
    let crooked = axial(0.0, 0).decimals(0x0020_0037, &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    for (dicom, reason) in [
        (mosaic, "found a Siemens mosaic"),
        (colors, "found colors (RGB, 3 samples)"),
        (palette, "found colors (PALETTE COLOR, 1 samples)"),
        (report, "found a structured report without pixels"),
        (plan, "found an RT plan without pixels"),
        (crooked, "two unit vectors at right angles"),
        (axial(0.0, 0).shorts(0x0028_0010, &[4]), "expected 32 bytes of pixels, found 24"),
        (axial(0.0, 0).text(0x0028_0008, "IS", "99999999"), "the number of frames"),
        (axial(0.0, 0).text(0x0028_0008, "IS", "100000"), "at most 1, for which there is room"),
    ] {
        let message = one(&dicom).unwrap_err().to_string();
        assert!(message.starts_with("expected ") && message.contains(reason), "{message}");
        assert!(!message.contains("MARKER"), "{message}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    std::fs::write(&path, axial(0.0, 0).file("1.2.840.10008.1.2.4.102")).unwrap();
    assert!(refusal(&path).contains("found MPEG video"), "{}", refusal(&path));
}

#[test]
fn the_name_of_a_file_in_a_folder_is_nobodys_business() {
    let short = axial(2.0, 100).raw(0x7fe0_0010, "OW", vec![0; 20]);
    let folder = folder(&[("a.dcm", axial(0.0, 0)), ("MARKER.dcm", short)]);
    assert!(refusal(folder.path()).contains("expected 24 bytes of pixels, found 20"));
}

#[test]
fn a_damaged_file_in_a_series_is_a_flaw() {
    let folder = folder(&[("a.dcm", axial(0.0, 0)), ("b.dcm", axial(2.0, 100))]);
    let whole = axial(4.0, 200).plain();
    std::fs::write(folder.path().join("c.dcm"), &whole[..250]).unwrap();
    let message = refusal(folder.path());
    assert!(message.contains("1 DICOM files that cannot be read"), "{message}");
    assert_eq!(accepted(folder.path()).shape(), [2, 3, 4]);
}

fn labels(dicom: &Dicom) -> Result<LabelVolume, VolumeError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    std::fs::write(&path, dicom.plain()).unwrap();
    read_labels(&path, &ReadOptions::default())
}

fn pixel(at: usize, value: u8) -> [u8; 12] {
    let mut pixels = [0; 12];
    pixels[at] = value;
    pixels
}

#[test]
fn segments_become_labels_on_the_grid_of_their_frames() {
    // Out of order, two segments in one slice, and no frame for the slice at 2 mm.
    let frames = [(4.0, 2, pixel(5, 1)), (0.0, 1, pixel(0, 1)), (4.0, 1, pixel(6, 1))];
    let volume = labels(&segmentation("BINARY", &frames)).unwrap();
    assert_eq!(volume.geometry.shape(), [3, 3, 4]);
    assert_eq!(volume.geometry.ras_from_index().origin(), [10.0, 20.0, 0.0]);
    let found: Vec<_> = volume
        .labels
        .indexed_iter()
        .filter(|(_, label)| **label > 0)
        .map(|(at, label)| (at, *label))
        .collect();
    assert_eq!(found, [((0, 0, 0), 1), ((2, 1, 1), 2), ((2, 1, 2), 1)]);

    let overlap = [(0.0, 1, pixel(5, 1)), (0.0, 2, pixel(5, 1))];
    let message = labels(&segmentation("BINARY", &overlap)).unwrap_err().to_string();
    assert!(message.contains("found segments 1 and 2 in one"), "{message}");
    let chosen = |segment| {
        let folder = folder(&[("a", segmentation("BINARY", &overlap))]);
        read_labels(folder.path(), &ReadOptions { segment: Some(segment), ..Default::default() })
    };
    for segment in [1, 2] {
        let volume = chosen(segment).unwrap();
        assert_eq!(volume.labels[[0, 1, 1]], segment as u8);
        assert_eq!(volume.labels.iter().filter(|label| **label > 0).count(), 1);
    }
    let message = chosen(3).unwrap_err().to_string();
    assert!(message.contains("the chosen segment to be one of 1, 2, found 3"), "{message}");

    // Half of 200 is inside.
    let frames = [(0.0, 2, pixel(1, 99)), (2.0, 2, pixel(2, 100))];
    let volume = labels(&segmentation("FRACTIONAL", &frames)).unwrap();
    assert_eq!((volume.labels[[0, 0, 1]], volume.labels[[1, 0, 2]]), (0, 2));

    let frames = [(2.0, 0, pixel(1, 7)), (0.0, 0, pixel(2, 3))];
    let volume = labels(&segmentation("LABELMAP", &frames)).unwrap();
    assert_eq!((volume.labels[[1, 0, 1]], volume.labels[[0, 0, 2]]), (7, 3));
}

#[test]
fn a_scan_with_its_segmentation_beside_it_is_the_scan() {
    let folder = folder(&[
        ("a", axial(0.0, 0)),
        ("b", axial(2.0, 100)),
        ("seg", segmentation("BINARY", &[(2.0, 1, pixel(0, 1))])),
    ]);
    assert_eq!(read(folder.path()).unwrap().modality, Some(Modality::Ct));
    let uid: SeriesChoice = "1.2.3.9".parse().unwrap();
    let options = ReadOptions { series: Some(uid), ..ReadOptions::default() };
    // On the grid of the scan, of whose two slices it has one.
    let labels = read_labels(folder.path(), &options).unwrap();
    assert_eq!(labels.labels.dim(), (2, 3, 4));
    assert_eq!(labels.labels[[1, 0, 0]], 1);
    read(folder.path()).unwrap().geometry.same_grid(&labels.geometry).unwrap();
}

#[test]
fn a_segmentation_lies_on_the_series_that_it_was_made_of() {
    let other =
        |z: f64| axial(z, 50).text(0x0020_000e, "UI", "1.2.3.5").text(0x0020_0011, "IS", "9");
    let series = |uid: &str| {
        let series = Dicom::new().text(0x0020_000e, "UI", uid);
        segmentation("BINARY", &[(2.0, 1, pixel(0, 1))]).items(0x0008_1115, &[series])
    };
    for (made_of, depth) in [("1.2.3.4", 2), ("1.2.3.5", 3)] {
        let folder = folder(&[
            ("a", axial(0.0, 0)),
            ("b", axial(2.0, 0)),
            ("c", other(0.0)),
            ("d", other(2.0)),
            ("e", other(4.0)),
            ("seg", series(made_of)),
        ]);
        let uid: SeriesChoice = "1.2.3.9".parse().unwrap();
        let options = ReadOptions { series: Some(uid), ..ReadOptions::default() };
        let labels = read_labels(folder.path(), &options).unwrap();
        assert_eq!((labels.labels.dim().0, labels.labels[[1, 0, 0]]), (depth, 1), "{made_of}");
    }
}

#[test]
fn packed_frames_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    std::fs::write(&path, packed()).unwrap();
    let volume = read(&path).unwrap();
    assert_eq!([0, 1, 2].map(|k| volume.value([k, 1, 1])), [2300.0, 3007.0, 995.0]);
}

#[test]
fn decoders_give_what_others_packed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    for (name, syntax, bits, stored) in GOLDEN {
        std::fs::write(&path, golden(name, syntax, bits, stored)).unwrap();
        let values = read(&path).unwrap().to_f32();
        let tolerance = match name {
            // JPEG with losses rounds, here in the last bits.
            "baseline.jpg" | "extended.jpg" => 2.0,
            "near12.jls" => 3.0, // as it was asked for
            _ => 0.0,
        };
        for ((_, y, x), found) in values.indexed_iter() {
            let wide = 200 * y + 37 * x + (x * y) % 7;
            let expected = match name {
                "lossless16.jls" => 16 * wide,
                _ if bits == 8 => wide / 10,
                _ => wide,
            } as f32;
            assert!(
                (found - expected).abs() <= tolerance,
                "{name}: {found} for {expected} at {x}, {y}"
            );
        }
    }
}

/// The frame of `lossless12.jls` among others: what a stream holds is unsigned, what it stands for
/// may not be, and DCMTK fills the space before the end.
#[test]
fn the_sign_of_packed_pixels_is_in_the_header() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    let mut bytes = golden("lossless12.jls", "80", 16, 12);
    let sign = bytes.windows(8).position(|b| b == [0x28, 0, 0x03, 1, b'U', b'S', 2, 0]).unwrap();
    bytes[sign + 8] = 1;
    let end = bytes.windows(2).rposition(|b| b == [0xff, 0xd9]).unwrap();
    let fragment = bytes.windows(4).rposition(|b| b == [0xff, 0xd8, 0xff, 0xf7]).unwrap() - 4;
    let length = u32::from_le_bytes(bytes[fragment..fragment + 4].try_into().unwrap());
    bytes.splice(end..end, [0xff, 0xff]);
    bytes[fragment..fragment + 4].copy_from_slice(&(length + 2).to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let volume = read(&path).unwrap();
    assert_eq!(volume.value([0, 0, 9]), 333.0);
    assert_eq!(volume.value([0, 11, 9]), f64::from(2200 + 333 + 99 % 7 - 4096));
}

#[test]
fn a_frame_of_another_size_is_refused_before_it_is_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.dcm");
    for (name, syntax, bits, stored) in GOLDEN {
        let mut bytes = golden(name, syntax, bits, stored);
        let rows =
            bytes.windows(8).position(|b| b == [0x28, 0, 0x10, 0, b'U', b'S', 2, 0]).unwrap();
        bytes[rows + 8] = 13;
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("10 x 12 pixels instead of 10 x 13"), "{name}: {source}");
    }
}

#[test]
fn a_header_may_be_longer_than_what_is_read_at_first() {
    let pixels =
        axial(0.0, 7).encoded().split_off(axial(0.0, 7).without(0x7fe0_0010).encoded().len());
    // Whatever is read at a time, some of these headers end an element just there.
    for longest in [64 << 10, 256 << 10] {
        let mut bytes = axial(0.0, 0).without(0x7fe0_0010).plain();
        let mut number = 0_u16;
        while bytes.len() < longest {
            let length = (longest - bytes.len() - 8).min(4096) as u16;
            bytes.extend([0x29, 0x00]);
            bytes.extend(number.to_le_bytes());
            bytes.extend(*b"LT");
            bytes.extend(length.to_le_bytes());
            bytes.resize(bytes.len() + usize::from(length), b' ');
            number += 1;
        }
        assert_eq!(bytes.len(), longest);
        bytes.extend(&pixels);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.dcm");
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path).unwrap().value([0, 0, 1]), 8.0);
    }
}
