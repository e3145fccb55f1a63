//! Every format that is written comes back with the same voxels at the same places.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod common;

use std::fs;
use std::path::Path;

use lamina_io::{
    Affine, AxisOrder, Geometry, LabelVolume, ReadOptions, Rescale, Volume, Voxels, export_labels,
    export_volume, output_files, read_info, read_labels, read_volume, synthetic, write_labels,
    write_volume,
};
use ndarray::Array3;

/// Names of every format with full precision; NIfTI has its own tests.
const NAMES: [&str; 4] = ["a.mha", "a.mhd", "a.nrrd", "a.nhdr"];

fn affines() -> [Affine; 4] {
    let straight = Affine::from_spacing_origin([2.0, 3.0, 5.0], [-11.0, 12.0, 13.0]);
    let oblique = synthetic::oblique([0.7, 1.1, 3.3], [-11.1, 12.2, 13.3]);
    let shear =
        Affine::from_columns([[1.0, 0.0, 0.0], [0.2, 1.0, 0.1], [0.0, -0.3, 1.0]], [0.0; 3]);
    let tiny = synthetic::oblique([1e-3, 2e-4, 5e-5], [1e-9, 1e5, -1e-7]);
    [straight, oblique, oblique.compose(&shear), tiny]
}

fn labels_on(affine: Affine) -> LabelVolume {
    let labels = Array3::from_shape_fn([2, 3, 4], |(k, j, i)| (100 * k + 10 * j + i) as u8);
    LabelVolume::new(labels, Geometry::new([2, 3, 4], affine).unwrap()).unwrap()
}

fn assert_same_affine(found: &Geometry, expected: &Geometry) {
    let lengths = expected.ras_from_index().step_lengths();
    let smallest = lengths.into_iter().fold(f64::INFINITY, f64::min);
    let (found, expected) = (found.ras_from_index().rows(), expected.ras_from_index().rows());
    for (a, b) in found.as_flattened().iter().zip(expected.as_flattened()) {
        // Directions and distances are stored apart: two roundings.
        assert!((a - b).abs() <= 1e-13 * smallest.max(b.abs()), "{found:?} is not {expected:?}");
    }
}

#[test]
fn labels_come_back_in_all_48_orders_straight_oblique_and_sheared() {
    let folder = tempfile::tempdir().unwrap();
    let options = ReadOptions::default();
    for name in NAMES {
        let path = folder.path().join(name);
        for affine in affines() {
            for order in AxisOrder::all() {
                let labels = labels_on(affine).reoriented(&order);
                write_labels(&path, &labels).unwrap();
                let again = read_labels(&path, &options).unwrap();
                assert_eq!(again.labels, labels.labels, "{name}");
                assert_same_affine(&again.geometry, &labels.geometry);
                again.geometry.same_grid_within(&labels.geometry, 1e-9).unwrap();
            }
        }
    }
}

#[test]
fn nifti_goes_through_every_format_and_back_to_the_same_grid() {
    let folder = tempfile::tempdir().unwrap();
    let options = ReadOptions::default();
    let (scan, back) = (folder.path().join("scan.nii"), folder.path().join("back.nii.gz"));
    for order in AxisOrder::all() {
        let labels = labels_on(affines()[2]).reoriented(&order);
        write_labels(&scan, &labels).unwrap();
        let scan = read_labels(&scan, &options).unwrap();
        for name in ["a.mha", "a.nrrd"] {
            let path = folder.path().join(name);
            write_labels(&path, &scan).unwrap();
            let there = read_labels(&path, &options).unwrap();
            write_labels(&back, &there.with_source(scan.source.clone())).unwrap();
            let back = read_labels(&back, &options).unwrap();
            assert_eq!(back.labels, scan.labels);
            back.geometry.same_grid_within(&scan.geometry, 1e-5).unwrap();
        }
    }
}

#[test]
fn every_type_comes_back_under_every_name() {
    fn stored<T>(from: fn(i32) -> T) -> Array3<T> {
        Array3::from_shape_fn([2, 3, 4], |(k, j, i)| from((40 * k + 10 * j + i) as i32))
    }
    let all = [
        Voxels::U8(stored(|v| v as u8)),
        Voxels::I8(stored(|v| (v - 60) as i8)),
        Voxels::U16(stored(|v| 65535 - v as u16)),
        Voxels::I16(stored(|v| -300 * v as i16)),
        Voxels::U32(stored(|v| u32::MAX - v as u32)),
        Voxels::I32(stored(|v| -1_000_000 * v)),
        Voxels::U64(stored(|v| (1 << 40) + v as u64)),
        Voxels::I64(stored(|v| -(1_i64 << 40) + i64::from(v))),
        Voxels::F32(stored(|v| v as f32 / 7.0)),
        Voxels::F64(stored(|v| f64::from(v) / 7.0)),
    ];
    let folder = tempfile::tempdir().unwrap();
    for voxels in all {
        let geometry = Geometry::new([2, 3, 4], affines()[1]).unwrap();
        let volume = Volume::new(voxels.clone(), Rescale::IDENTITY, geometry.clone()).unwrap();
        let rescale = Rescale { slope: 0.5, intercept: -1000.0 };
        let rescaled = Volume::new(voxels.clone(), rescale, geometry).unwrap();
        for name in NAMES {
            let path = folder.path().join(name);
            write_volume(&path, &volume).unwrap();
            let again = read_volume(&path, &ReadOptions::default()).unwrap();
            assert_eq!((&again.voxels, again.rescale), (&voxels, Rescale::IDENTITY));

            // Neither format knows a rescaling, so the values themselves are written.
            write_volume(&path, &rescaled).unwrap();
            let again = read_volume(&path, &ReadOptions::default()).unwrap();
            assert_eq!(again.rescale, Rescale::IDENTITY);
            for ((k, j, i), value) in again.to_f32().indexed_iter() {
                assert_eq!(*value, rescaled.value([k, j, i]) as f32);
            }
        }
    }
}

#[test]
fn exactly_the_announced_files_are_made() {
    for name in ["a.nii.gz", "a.hdr", "a.img.gz", "a.mha", "a.mhd", "a.nrrd", "a.nhdr"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        write_labels(&path, &labels_on(affines()[0])).unwrap();
        let announced = output_files(&path);
        for entry in fs::read_dir(folder.path()).unwrap() {
            assert!(announced.contains(&entry.unwrap().path()), "{name}: {announced:?}");
        }
        let mut made = lamina_io::files_of(&path);
        made.sort();
        let mut there: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        there.sort();
        assert_eq!(made, there, "{name}");
    }
}

fn text_of(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}

#[test]
fn headers_are_in_lps() {
    let folder = tempfile::tempdir().unwrap();
    let labels = labels_on(affines()[0]);
    let path = folder.path().join("a.mhd");
    write_labels(&path, &labels).unwrap();
    let header = text_of(&path);
    for line in [
        "TransformMatrix = -1 0 0 0 -1 0 0 0 1\n",
        "Offset = 11 -12 13\n",
        "AnatomicalOrientation = LPI\n",
        "ElementSpacing = 2 3 5\n",
        "DimSize = 4 3 2\n",
        "ElementDataFile = a.zraw\n",
    ] {
        assert!(header.contains(line), "{header}");
    }
    let path = folder.path().join("a.nhdr");
    write_labels(&path, &labels).unwrap();
    let header = text_of(&path);
    for line in [
        "space: left-posterior-superior\n",
        "space directions: (-2,0,0) (0,-3,0) (0,0,5)\n",
        "space origin: (11,-12,13)\n",
        "sizes: 4 3 2\n",
        "data file: a.raw.gz\n",
    ] {
        assert!(header.contains(line), "{header}");
    }
}

#[test]
fn two_dimensions_stay_two() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.mha");
    fs::write(
        &source,
        b"NDims = 2\nDimSize = 3 2\nElementSpacing = 0.5 2\nOffset = 1 2\nElementType = MET_UCHAR\n\
          ElementDataFile = LOCAL\n\x00\x01\x02\x03\x04\x05",
    )
    .unwrap();
    let labels = read_labels(&source, &ReadOptions::default()).unwrap();
    assert_eq!(labels.shape(), [1, 2, 3]);
    for name in NAMES {
        let path = folder.path().join(name);
        write_labels(&path, &labels).unwrap();
        assert_eq!(
            read_info(&path, &lamina_io::Limits::default()).unwrap().shape,
            [3, 2],
            "{name}"
        );
        assert_eq!(read_labels(&path, &ReadOptions::default()).unwrap(), labels, "{name}");
    }
}

#[test]
fn two_dimensions_of_nifti_stay_two() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.nii");
    let mut made = common::nifti1(false);
    made.i16(40, 2).i16(46, 1);
    made.bytes.truncate(352 + 24);
    fs::write(&source, made.bytes).unwrap();
    let scan = read_volume(&source, &ReadOptions::default()).unwrap();
    assert_eq!(scan.shape(), [1, 3, 4]);
    let labels =
        LabelVolume::new(Array3::ones([1, 3, 4]), scan.geometry).unwrap().with_source(scan.source);
    for name in ["a.nii", "a.nii.gz", "b.hdr"] {
        let path = folder.path().join(name);
        export_labels(&path, &labels).unwrap();
        let info = read_info(&path, &lamina_io::Limits::default()).unwrap();
        assert_eq!(info.shape, [4, 3], "{name}");
    }
}

#[test]
fn distances_with_a_sign_are_read_and_written_without() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.nii");
    let mut made = common::nifti1(false);
    made.i16(252, 1).i16(254, 0).f32(80, -2.0).f32(84, -3.0);
    fs::write(&source, made.bytes).unwrap();
    let scan = read_volume(&source, &ReadOptions::default()).unwrap();
    let path = folder.path().join("a.nii");
    export_volume(&path, &scan).unwrap();
    let again = read_volume(&path, &ReadOptions::default()).unwrap();
    again.geometry.same_grid_within(&scan.geometry, 1e-6).unwrap();
    assert_eq!(again.geometry.spacing_mm(), Some([2.0, 3.0, 5.0]));
}

#[test]
fn a_spacing_that_nobody_knows_stays_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let labels = LabelVolume::new(Array3::ones([2, 3, 4]), Geometry::pixels([2, 3, 4])).unwrap();
    for name in NAMES {
        let path = folder.path().join(name);
        write_labels(&path, &labels).unwrap();
        assert_eq!(read_labels(&path, &ReadOptions::default()).unwrap(), labels, "{name}");
    }
}

#[test]
fn names_that_a_header_cannot_hold_are_refused_or_disguised() {
    let folder = tempfile::tempdir().unwrap();
    let labels = labels_on(affines()[0]);
    for name in ["LIST of cases.mhd", "LIST.nhdr", "local.mhd", "a b (1),c.mhd", "ä.nhdr", "A.MHD"]
    {
        let path = folder.path().join(name);
        write_labels(&path, &labels).unwrap();
        assert_eq!(read_labels(&path, &ReadOptions::default()).unwrap().labels, labels.labels);
    }
    for name in ["a%d.mhd", "a%03d 1 2 1.nhdr", "a\nb.mhd"] {
        let path = folder.path().join(name);
        let error = write_labels(&path, &labels).unwrap_err().to_string();
        assert!(error.contains("a name that its header can hold"), "{error}");
        assert!(!path.exists());
    }
    // Alone, without a data file to name, any will do.
    let path = folder.path().join("a%d.mha");
    write_labels(&path, &labels).unwrap();
    assert_eq!(read_labels(&path, &ReadOptions::default()).unwrap().labels, labels.labels);
}
