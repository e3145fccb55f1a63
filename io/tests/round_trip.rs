//! What is written comes back the same, through this crate and through another reader.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod common;

use std::path::Path;

use lamina_io::{
    Affine, AxisOrder, Geometry, LabelVolume, ReadOptions, Rescale, Volume, VolumeError, Voxels,
    read_labels, read_volume, synthetic, write_labels, write_volume,
};
use ndarray::Array3;
use nifti::{NiftiObject, NiftiVolume, RandomAccessNiftiVolume, ReaderOptions};

const ENDINGS: [&str; 6] = ["nii", "nii.gz", "hdr", "img", "hdr.gz", "img.gz"];

fn straight() -> Affine {
    Affine::from_spacing_origin([2.0, 3.0, 5.0], [-11.0, 12.0, 13.0])
}

fn sheared() -> Affine {
    let shear =
        Affine::from_columns([[1.0, 0.0, 0.0], [0.2, 1.0, 0.1], [0.0, -0.3, 1.0]], [0.0; 3]);
    synthetic::oblique([2.0, 3.0, 5.0], [-11.0, 12.0, 13.0]).compose(&shear)
}

fn labels_on(affine: Affine) -> LabelVolume {
    let labels = Array3::from_shape_fn([2, 3, 4], |(k, j, i)| (100 * k + 10 * j + i) as u8);
    LabelVolume::new(labels, Geometry::new([2, 3, 4], affine).unwrap()).unwrap()
}

fn assert_same_affine(found: &Geometry, expected: &Geometry) {
    let (found, expected) = (found.ras_from_index().rows(), expected.ras_from_index().rows());
    for (a, b) in found.as_flattened().iter().zip(expected.as_flattened()) {
        assert!((a - b).abs() < 1e-5, "{found:?} is not {expected:?}"); // float32 in version 1
    }
}

/// What the other reader sees: shape along x, y and z, and values with x fastest.
fn other_reader(path: &Path) -> (Vec<u16>, Vec<f64>) {
    let volume = ReaderOptions::new().read_file(path).unwrap().into_volume();
    let dim = volume.dim().to_vec();
    let mut values = Vec::new();
    for k in 0..dim[2] {
        for j in 0..dim[1] {
            for i in 0..dim[0] {
                values.push(volume.get_f64(&[i, j, k]).unwrap());
            }
        }
    }
    (dim, values)
}

#[test]
fn labels_come_back_in_all_48_orders_straight_oblique_and_sheared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.nii");
    for affine in [straight(), synthetic::oblique([2.0, 3.0, 5.0], [-11.0, 12.0, 13.0]), sheared()]
    {
        for order in AxisOrder::all() {
            let labels = labels_on(affine).reoriented(&order);
            write_labels(&path, &labels).unwrap();
            let again = read_labels(&path, &ReadOptions::default()).unwrap();
            assert_eq!(again.labels, labels.labels);
            assert_same_affine(&again.geometry, &labels.geometry);
            again.geometry.same_grid_within(&labels.geometry, 1e-3).unwrap();

            let (dim, values) = other_reader(&path);
            let [depth, height, width] = labels.shape().map(|n| n as u16);
            assert_eq!(dim, [width, height, depth]);
            assert!(
                values.iter().zip(&labels.labels).all(|(&value, &label)| value == f64::from(label))
            );

            // Again, now with the header of a file as its source: nothing may drift.
            write_labels(&path, &again).unwrap();
            let third = read_labels(&path, &ReadOptions::default()).unwrap();
            assert_eq!(third, again);
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
    let rescale = Rescale { slope: 0.5, intercept: -1000.0 };
    for voxels in all {
        let geometry = Geometry::new([2, 3, 4], straight()).unwrap();
        for rescale in [Rescale::IDENTITY, rescale] {
            let volume = Volume::new(voxels.clone(), rescale, geometry.clone()).unwrap();
            for ending in ENDINGS {
                let path = folder.path().join(format!("{}.{ending}", ending.replace('.', "-")));
                write_volume(&path, &volume).unwrap();
                let again = read_volume(&path, &ReadOptions::default()).unwrap();
                assert_eq!((&again.voxels, again.rescale), (&voxels, rescale));
                assert_same_affine(&again.geometry, &geometry);
                // The other reader takes no .img, and negative int8 for zero.
                if !ending.starts_with("img") && !matches!(voxels, Voxels::I8(_)) {
                    let (_, values) = other_reader(&path);
                    let expected = volume.to_f32();
                    for (value, expected) in values.into_iter().zip(expected) {
                        assert!((value as f32 - expected).abs() <= 1e-6 * expected.abs());
                    }
                }
            }
        }
    }
    // One file for each of the two endings of .nii, two for each of the four of a pair.
    assert_eq!(folder.path().read_dir().unwrap().count(), 10);
}

/// Bytes of the header fields that place the voxels, as `nifti1.h` has them.
fn placing_fields(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let fields = [(76, 16), (123, 1), (252, 4), (256, 24), (280, 48)];
    fields.into_iter().map(|(at, length)| bytes[at..at + length].to_vec()).collect()
}

#[test]
fn a_label_map_repeats_how_its_image_was_placed() {
    let folder = tempfile::tempdir().unwrap();
    let (image, labels) = (folder.path().join("image.nii"), folder.path().join("labels.nii"));
    for (qform_code, sform_code) in [(0, 0), (1, 0), (0, 4), (3, 2)] {
        for units in [0, 1, 2, 3, 10] {
            let mut made = common::nifti1(false);
            made.i16(252, qform_code).i16(254, sform_code).f32(76, -1.0);
            made.f32(256, 0.1)
                .f32(260, -0.2)
                .f32(264, 0.3)
                .f32(268, 7.0)
                .f32(272, 8.0)
                .f32(276, 9.0);
            made.bytes[123] = units;
            std::fs::write(&image, &made.bytes).unwrap();
            let volume = read_volume(&image, &ReadOptions::default()).unwrap();
            let geometry = volume.geometry.clone();
            let made_here = LabelVolume::new(Array3::ones([2, 3, 4]), geometry).unwrap();
            write_labels(&labels, &made_here.with_source(volume.source.clone())).unwrap();
            assert_eq!(placing_fields(&labels), placing_fields(&image));
            let again = read_labels(&labels, &ReadOptions::default()).unwrap();
            assert_eq!(again.geometry, volume.geometry);
        }
    }
}

#[test]
fn a_turned_label_map_is_placed_anew_with_the_codes_of_its_image() {
    let folder = tempfile::tempdir().unwrap();
    let (image, labels) = (folder.path().join("image.nii"), folder.path().join("labels.nii"));
    std::fs::write(&image, common::nifti1(true).bytes).unwrap(); // sform code 1, no qform
    let read = read_volume(&image, &ReadOptions::default()).unwrap();
    let made_here = LabelVolume::new(Array3::ones([2, 3, 4]), read.geometry.clone()).unwrap();
    let turned = made_here
        .with_source(read.source)
        .reoriented(&AxisOrder::new([2, 0, 1], [true, false, true]).unwrap());
    write_labels(&labels, &turned).unwrap();
    let again = read_labels(&labels, &ReadOptions::default()).unwrap();
    assert_same_affine(&again.geometry, &turned.geometry);
    assert_eq!(std::fs::read(&labels).unwrap()[252..256], [0, 0, 1, 0]);
}

#[test]
fn version_two_stays_version_two_and_long_axes_need_it() {
    let folder = tempfile::tempdir().unwrap();
    let (image, labels) = (folder.path().join("image.nii"), folder.path().join("labels.nii"));
    std::fs::write(&image, common::nifti2(true).bytes).unwrap();
    let volume = read_volume(&image, &ReadOptions::default()).unwrap();
    write_volume(&labels, &volume).unwrap();
    assert_eq!(std::fs::read(&labels).unwrap()[..8], *b"\x1c\x02\0\0n+2\0");
    assert_eq!(read_volume(&labels, &ReadOptions::default()).unwrap(), volume);

    let long = LabelVolume::new(
        Array3::ones([1, 2, 32768]),
        Geometry::new([1, 2, 32768], straight()).unwrap(),
    );
    write_labels(&labels, &long.unwrap()).unwrap();
    assert_eq!(read_labels(&labels, &ReadOptions::default()).unwrap().shape(), [1, 2, 32768]);
}

#[test]
fn turned_arrays_are_written_in_the_order_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.nii");
    let backwards =
        Array3::from_shape_fn([4, 3, 2], |(i, j, k)| (100 * k + 10 * j + i) as f32).reversed_axes();
    let geometry = Geometry::new([2, 3, 4], straight()).unwrap();
    let volume = Volume::from_array(backwards, geometry).unwrap();
    write_volume(&path, &volume).unwrap();
    let again = read_volume(&path, &ReadOptions::default()).unwrap();
    assert_eq!(again.voxels, volume.voxels);
    assert_eq!(again.statistics(), volume.statistics());
}

#[test]
fn a_name_of_no_format_and_a_missing_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let labels = labels_on(straight());
    let other = write_labels(&folder.path().join("labels.xyz"), &labels).unwrap_err();
    assert!(matches!(other, VolumeError::OutputName { .. }), "{other}");
    let missing = folder.path().join("missing").join("labels.nii.gz");
    let error = write_labels(&missing, &labels).unwrap_err().to_string();
    assert_eq!(error, format!("expected an existing folder to write into: {}", missing.display()));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_pair_is_not_half_written_where_one_name_is_taken_by_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("labels.hdr")).unwrap();
    assert!(write_labels(&folder.path().join("labels.img"), &labels_on(straight())).is_err());
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}
