//! Label maps as DICOM segmentations of series made by hand: out, and back in.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests may panic and are not documentation")]

#[path = "common/dicom.rs"]
mod made;

use std::path::{Path, PathBuf};

use lamina_io::{
    AxisOrder, DicomScan, Geometry, LabelVolume, ReadOptions, Segment, Segmentation,
    SegmentationKind, SeriesChoice, Verified, VolumeError, export_segmentation, read_info,
    read_labels, read_segmentation, read_volume, series_in,
};
use made::{AXIAL, Dicom, PATIENT, slice};
use ndarray::Array3;
use tempfile::TempDir;

const DEPTH: usize = 5;
/// Odd in both directions, so that frames do not start with a byte.
const SIZE: [u16; 2] = [3, 7];

fn named(dicom: Dicom, k: usize) -> Dicom {
    dicom
        .text(0x0008_0018, "UI", &format!("1.2.3.4.{}", k + 1))
        .text(0x0008_0005, "CS", "ISO_IR 100")
        .text(0x0020_000d, "UI", "1.2.3")
        .text(0x0020_0052, "UI", "1.2.3.99")
}

/// A folder with a series in this orientation, `DEPTH` slices `offset(k)` apart from the first.
fn series(orientation: [f64; 6], offset: impl Fn(usize) -> [f64; 3]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for k in 0..DEPTH {
        let by = offset(k);
        let position = [-10.5 + by[0], -20.25 + by[1], 30.125 + by[2]];
        let pixels: Vec<i16> = (0..21).map(|n| 100 * k as i16 + n).collect();
        let name = format!("{}.dcm", (7 * k + 3) % 11); // in an order of their own
        let dicom = named(slice(position, orientation, SIZE, &pixels), k);
        std::fs::write(folder.path().join(name), dicom.plain()).unwrap();
    }
    folder
}

fn axial() -> TempDir {
    series(AXIAL, |k| [0.0, 0.0, 2.5 * k as f64])
}

/// Two labels on the grid of the series; the first and last slice are empty.
fn labels(geometry: &Geometry) -> LabelVolume {
    let labels = Array3::from_shape_fn(geometry.shape(), |(k, j, i)| match (k, j, i) {
        (0 | 4, ..) => 0,
        (k, 0, i) if i > k => 1,
        (2, 1, 3) => 1,
        (3, j, 2) if j > 0 => 2,
        _ => 0,
    });
    LabelVolume::new(labels, geometry.clone()).unwrap()
}

fn segmentation(kind: SegmentationKind) -> Segmentation {
    let segment = |label, name: &str| Segment { name: name.to_owned(), ..Segment::unnamed(label) };
    Segmentation {
        kind,
        segments: vec![segment(1, "Liver"), segment(2, "stone")],
        created: 1_700_000_000,
        ..Segmentation::default()
    }
}

fn open(folder: &Path) -> DicomScan {
    DicomScan::open(folder, &ReadOptions::default()).unwrap()
}

fn export(
    path: &Path,
    labels: &LabelVolume,
    scan: &DicomScan,
    kind: SegmentationKind,
) -> Result<Verified, VolumeError> {
    export_segmentation(path, labels.labels.view(), &labels.geometry, scan, &segmentation(kind))
}

const KINDS: [SegmentationKind; 2] = [SegmentationKind::Binary, SegmentationKind::Labelmap];

/// The segmentation beside its series, as somebody finds it who opens the folder.
fn read_beside(folder: &Path) -> LabelVolume {
    let list = series_in(folder, &ReadOptions::default().limits).unwrap();
    let number = list.iter().find(|series| series.modality == "SEG").unwrap().number;
    let series = Some(SeriesChoice::Number(number));
    read_labels(folder, &ReadOptions { series, ..ReadOptions::default() }).unwrap()
}

#[test]
fn labels_come_back_from_every_orientation_and_every_order_of_axes() {
    // Axes along those of the patient in all ways that a frame can have, and oblique ones.
    let mut orientations = Vec::new();
    for order in AxisOrder::all() {
        let (axes, flipped) = (order.axes(), order.flipped());
        let mut orientation = [0.0; 6];
        for way in 0..2 {
            orientation[3 * way + axes[way]] = if flipped[way] { -1.0 } else { 1.0 };
        }
        orientations.push(orientation);
    }
    orientations.sort_by(|a, b| a.partial_cmp(b).unwrap());
    orientations.dedup();
    assert_eq!(orientations.len(), 24);
    let (sin, cos) = 0.4_f64.sin_cos();
    orientations.push([cos, sin, 0.0, 0.0, 0.0, -1.0]);
    orientations.push([cos, sin, 0.0, -sin * cos, cos * cos, sin]);
    orientations.push([0.6, 0.0, -0.8, 0.0, -1.0, 0.0]);
    for (index, orientation) in orientations.into_iter().enumerate() {
        let [a, b, c, d, e, f] = orientation;
        let normal = [b * f - c * e, c * d - a * f, a * e - b * d];
        let folder = series(orientation, |k| normal.map(|v| 2.5 * k as f64 * v));
        let scan = open(folder.path());
        let volume = read_volume(folder.path(), &ReadOptions::default()).unwrap();
        assert_eq!(scan.geometry(), &volume.geometry);
        let meant = labels(&volume.geometry);
        let path = folder.path().join("seg.dcm");
        for kind in KINDS {
            for order in AxisOrder::all() {
                let turned = meant.reoriented(&order);
                let verified = export(&path, &turned, &scan, kind).unwrap();
                assert_eq!(verified.voxels, 105);
                assert!(verified.placed && verified.max_offset_voxels < 1e-6, "{verified:?}");
                let again = read_segmentation(&path, &scan).unwrap();
                assert_eq!(again.labels, meant.labels, "{orientation:?}");
                assert_eq!(again.geometry, meant.geometry);
                if index < 24 {
                    break; // all orders with some orientations are enough
                }
            }
            assert_eq!(read_beside(folder.path()), meant);
            std::fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn a_file_alone_has_the_slices_with_something_in_them() {
    let folder = axial();
    let scan = open(folder.path());
    for kind in KINDS {
        let path = folder.path().join("alone.dcm");
        export(&path, &labels(scan.geometry()), &scan, kind).unwrap();
        let info = read_info(&path, &ReadOptions::default().limits).unwrap();
        assert_eq!((info.format.as_str(), info.shape), ("dicom-seg", vec![7, 3, 3]));
        assert_eq!(info.spacing_mm, Some([0.75, 0.5, 2.5]));
    }
}

#[test]
fn an_empty_label_map_is_one_empty_frame() {
    let folder = axial();
    let scan = open(folder.path());
    let none = LabelVolume { labels: Array3::zeros([5, 3, 7]), ..labels(scan.geometry()) };
    for kind in KINDS {
        let path = folder.path().join("none.dcm");
        export(&path, &none, &scan, kind).unwrap();
        assert_eq!(read_segmentation(&path, &scan).unwrap().labels, none.labels);
    }
}

#[test]
fn it_belongs_to_the_study_and_copies_the_patient() {
    let folder = axial();
    let scan = open(folder.path());
    let path = folder.path().join("seg.dcm");
    export(&path, &labels(scan.geometry()), &scan, SegmentationKind::Binary).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let count = |text: &str| bytes.windows(text.len()).filter(|w| *w == text.as_bytes()).count();
    assert_eq!(count(PATIENT), 2); // name and id
    assert_eq!((count("19991231"), count("20231114")), (1, 3));
    // Each slice in the list of the series, those with a segment once more for each of them.
    for (k, expected) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 1)] {
        assert_eq!(count(&format!("1.2.3.4.{k}\0")), expected, "{k}");
    }
    assert!(!format!("{scan:?}").contains("MARKER"));
}

#[test]
fn the_same_content_is_the_same_file_and_another_has_other_names() {
    let folder = axial();
    let scan = open(folder.path());
    let meant = labels(scan.geometry());
    let write = |labels: &LabelVolume, segmentation: &Segmentation| {
        let path = folder.path().join("a.out");
        export_segmentation(&path, labels.labels.view(), &labels.geometry, &scan, segmentation)
            .unwrap();
        std::fs::read(path).unwrap()
    };
    let name = |bytes: &[u8]| {
        // SOPInstanceUID of the file meta information.
        let at = bytes.windows(6).position(|w| w == b"\x02\x00\x03\x00UI").unwrap();
        String::from_utf8(bytes[at + 8..at + 50].to_vec()).unwrap()
    };
    let binary = segmentation(SegmentationKind::Binary);
    let first = write(&meant, &binary);
    assert_eq!(first, write(&meant, &binary));
    assert_eq!(first, write(&meant.reoriented(&AxisOrder::all()[17]), &binary));
    let mut more = meant.clone();
    more.labels[[0, 0, 0]] = 1;
    let mut renamed = binary.clone();
    renamed.segments[1].name = "Stone".to_owned();
    let later = Segmentation { created: binary.created + 1, ..binary.clone() };
    let others =
        [write(&more, &binary), write(&meant, &renamed), write(&meant, &later)].map(|b| name(&b));
    for other in &others {
        assert!(other.starts_with("2.25."));
        assert_ne!(*other, name(&first));
    }
}

#[test]
fn labels_with_gaps_are_counted_in_bits_and_kept_in_a_label_map() {
    let folder = axial();
    let scan = open(folder.path());
    let wide = labels(scan.geometry()).labels.mapv(|label| [0, 7, 1035][usize::from(label)]);
    let export = |kind, labels: &Array3<u16>| {
        let path = folder.path().join("wide.dcm");
        let segments = vec![Segment::unnamed(1035), Segment::unnamed(7)];
        let segmentation = Segmentation { kind, segments, ..Segmentation::default() };
        let geometry = scan.geometry();
        export_segmentation(&path, labels.view(), geometry, &scan, &segmentation)?;
        lamina_io::read_wide_labels(&path, &ReadOptions::default())
    };
    let (found, _) = export(SegmentationKind::Labelmap, &wide).unwrap();
    assert_eq!(found, wide.slice(ndarray::s![1..4, .., ..]));
    let (found, _) = export(SegmentationKind::Binary, &wide).unwrap();
    let counted = wide.mapv(|label| u16::from(label > 0) + u16::from(label > 7));
    assert_eq!(found, counted.slice(ndarray::s![1..4, .., ..]));
    let message = export(SegmentationKind::Binary, &wide.mapv(|n| n + 1)).unwrap_err().to_string();
    assert!(message.contains("expected labels that the segments name, found 1"), "{message}");
}

#[test]
fn labels_on_another_grid_are_refused_with_both() {
    let folder = axial();
    let scan = open(folder.path());
    let meant = labels(scan.geometry());
    let path = folder.path().join("seg.dcm");
    let refusal = |labels: &LabelVolume| {
        let error = export(&path, labels, &scan, SegmentationKind::Binary).unwrap_err();
        assert!(matches!(error, VolumeError::OtherGrid { .. }), "{error}");
        error.to_string()
    };
    let shift = lamina_io::Affine::from_spacing_origin([1.0; 3], [0.1, 0.0, 0.0]);
    let place = shift.compose(meant.geometry.ras_from_index());
    let shifted =
        LabelVolume { geometry: Geometry::new([5, 3, 7], place).unwrap(), ..meant.clone() };
    let message = refusal(&shifted);
    assert!(message.contains("7 x 3 x 5 voxels of 0.7500 x 0.5000 x 2.5000 mm, LPS"), "{message}");
    assert!(message.contains("first voxel at [10.60, 20.25, 30.12] (RAS)"), "{message}");
    let pixels = LabelVolume { geometry: Geometry::pixels([5, 3, 7]), ..meant.clone() };
    assert!(refusal(&pixels).contains("do not say where they lie"));
    let four = ndarray::s![..4, .., ..];
    let cut = Geometry::new([4, 3, 7], *meant.geometry.ras_from_index()).unwrap();
    let cut = LabelVolume::new(meant.labels.slice(four).to_owned(), cut).unwrap();
    assert!(refusal(&cut).contains("found 7 x 3 x 4 voxels"));
    assert!(!path.exists());
}

#[test]
fn sources_that_cannot_be_referred_to_are_refused_by_name() {
    let refusal = |path: &Path, accept_flaws| {
        let options = ReadOptions { accept_flaws, ..ReadOptions::default() };
        let message = DicomScan::open(path, &options).unwrap_err().to_string();
        assert!(!message.contains("MARKER"), "{message}");
        message
    };
    let folder = axial();
    let scan = open(folder.path());
    let path = folder.path().join("seg.dcm");
    export(&path, &labels(scan.geometry()), &scan, SegmentationKind::Binary).unwrap();
    assert!(
        refusal(&path, false).contains("found slices that do not say")
            || refusal(&path, false).contains("found a segmentation")
    );
    let nifti = folder.path().join("a.nii");
    lamina_io::write_labels(&nifti, &labels(scan.geometry())).unwrap();
    assert!(refusal(&nifti, false).contains("name the DICOM series, or write the labels as NIfTI"));

    let gap = series(AXIAL, |k| [0.0, 0.0, [0.0, 2.0, 4.0, 8.0, 10.0][k]]);
    assert!(refusal(gap.path(), false).contains("1 slice missing"));
    assert!(refusal(gap.path(), true).contains("missing slices, whose labels would refer"));

    for (tag, expected) in [
        (0x0008_0018, "without the UIDs of its class and of itself"),
        (0x0020_000d, "without the UIDs of itself and its study"),
        (0x0020_0032, "do not say where they lie"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let dicom = named(slice([0.0; 3], AXIAL, [3, 4], &[5; 12]), 0).without(tag);
        std::fs::write(folder.path().join("a.dcm"), dicom.plain()).unwrap();
        let message = refusal(folder.path(), false);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn uneven_and_tilted_series_keep_the_places_of_their_slices() {
    let accepted = ReadOptions { accept_flaws: true, ..ReadOptions::default() };
    let uneven = |k: usize| [0.0, 0.0, [0.0, 2.0, 4.3, 6.3, 8.3][k]];
    let tilted = |k: usize| [0.0, 0.9 * k as f64, 2.5 * k as f64];
    let places: [fn(usize) -> [f64; 3]; 2] = [uneven, tilted];
    for place in places {
        let folder = series(AXIAL, place);
        let scan = DicomScan::open(folder.path(), &accepted).unwrap();
        let path = folder.path().join("seg.dcm");
        let meant = labels(scan.geometry());
        for kind in KINDS {
            let verified = export(&path, &meant, &scan, kind).unwrap();
            assert!(verified.max_offset_voxels < 1e-6, "{verified:?}");
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            for k in 1..4 {
                let [_, y, z] = place(k);
                let position = format!("-10.5\\{}\\{}", -20.25 + y, 30.125 + z);
                assert!(text.contains(&position), "{position}");
            }
            let listed = series_in(folder.path(), &accepted.limits).unwrap();
            let seg = listed.iter().find(|series| series.modality == "SEG").unwrap().number;
            let beside = ReadOptions { series: Some(SeriesChoice::Number(seg)), ..accepted };
            assert_eq!(read_labels(folder.path(), &beside).unwrap(), meant);
            std::fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn a_single_slice_and_frames_of_one_file_are_sources_too() {
    let folder = tempfile::tempdir().unwrap();
    let one = named(slice([1.0, 2.0, 3.0], AXIAL, [3, 7], &[5; 21]), 0);
    std::fs::write(folder.path().join("a.dcm"), one.plain()).unwrap();
    let scan = open(folder.path());
    let single = Array3::from_shape_fn([1, 3, 7], |(_, j, i)| (i / 3 * j % 3) as u8);
    let single = LabelVolume::new(single, scan.geometry().clone()).unwrap();
    for kind in KINDS {
        let path = folder.path().join("seg.dcm");
        export(&path, &single, &scan, kind).unwrap();
        assert_eq!(read_segmentation(&path, &scan).unwrap(), single);
        assert_eq!(read_beside(folder.path()), single);
        std::fs::remove_file(&path).unwrap();
    }

    // Enhanced: orientation and measures shared, frames out of order.
    let folder = tempfile::tempdir().unwrap();
    let group = |tag, inner: Dicom| Dicom::new().items(tag, &[inner]);
    let shared = group(0x0020_9116, Dicom::new().decimals(0x0020_0037, &AXIAL)).items(
        0x0028_9110,
        &[Dicom::new().decimals(0x0028_0030, &[0.5, 0.75]).decimals(0x0018_0050, &[2.5])],
    );
    let order = [3, 0, 4, 1, 2];
    let frames = order.map(|k| {
        group(0x0020_9113, Dicom::new().decimals(0x0020_0032, &[1.0, 2.0, 2.5 * f64::from(k)]))
    });
    let pixels: Vec<i16> =
        order.iter().flat_map(|&k| (0..21).map(move |n| 100 * k as i16 + n)).collect();
    let dicom = named(slice([0.0; 3], AXIAL, [3, 7], &pixels), 0)
        .without(0x0020_0032)
        .without(0x0020_0037)
        .without(0x0028_0030)
        .text(0x0028_0008, "IS", "5")
        .items(0x5200_9229, &[shared])
        .items(0x5200_9230, &frames);
    std::fs::write(folder.path().join("mf.dcm"), dicom.plain()).unwrap();
    let scan = open(folder.path());
    let meant = labels(scan.geometry());
    for kind in KINDS {
        let path = folder.path().join("seg.dcm");
        export(&path, &meant, &scan, kind).unwrap();
        assert_eq!(read_segmentation(&path, &scan).unwrap(), meant);
        // Slices 1, 2 and 3 are frames 4, 5 and 1.
        let bytes = std::fs::read(&path).unwrap();
        let frame = |n: &[u8]| {
            let element = [b"\x08\x00\x60\x11IS\x02\x00", n].concat();
            bytes.windows(element.len()).filter(|w| *w == element).count()
        };
        assert!(frame(b"4 ") == 1 && frame(b"5 ") == 1 && frame(b"1 ") > 0 && frame(b"2 ") == 0);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn names_that_no_source_charset_has_are_written_in_utf_8_or_marked() {
    let folder = axial();
    let scan = open(folder.path());
    let meant = labels(scan.geometry());
    let path = folder.path().join("seg.dcm");
    let mut named = segmentation(SegmentationKind::Binary);
    named.segments[0].name = "Großhirn\\links".to_owned();
    let write = |scan: &DicomScan| {
        export_segmentation(&path, meant.labels.view(), &meant.geometry, scan, &named).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let text = write(&scan);
    assert!(text.contains("Großhirn?links") && text.contains("ISO_IR 192"));
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let file: PathBuf = entry.unwrap().path();
        let mut bytes = std::fs::read(&file).unwrap();
        let at = bytes.windows(6).position(|w| w == b"MARKER").unwrap();
        bytes[at] = 0xc4; // a letter of Latin-1
        std::fs::write(&file, bytes).unwrap();
    }
    let text = write(&open(folder.path()));
    assert!(text.contains("Gro?hirn?links") && text.contains("ISO_IR 100"));
}
