//! Damaged, lying and foreign files: each gives its error by name, and none a panic.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::{Made, nifti1, nifti2, values};
use flate2::Compression;
use flate2::write::GzEncoder;
use lamina_io::{Limits, ReadOptions, Volume, VolumeError, read_info, read_labels, read_volume};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        let _ = fs::remove_file(&path); // far faster than to cut an old file short
        fs::write(&path, bytes).unwrap();
        path
    }

    fn read(&self, made: &Made) -> Result<Volume, VolumeError> {
        read(&self.file("case.nii", &made.bytes))
    }
}

fn read(path: &Path) -> Result<Volume, VolumeError> {
    read_volume(path, &ReadOptions::default())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn stored(volume: &Volume) -> Vec<i16> {
    volume.to_f32().iter().map(|&v| v as i16).collect()
}

/// The message, which must end with the file as it was given.
fn message(path: &Path, result: Result<Volume, VolumeError>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.path(), path);
    let message = error.to_string();
    let start = message.strip_suffix(&path.display().to_string());
    start.unwrap_or_else(|| panic!("the path is not last in: {message}")).to_owned()
}

#[test]
fn both_versions_and_byte_orders_are_read() {
    let folder = Folder::new();
    for made in [nifti1(false), nifti1(true), nifti2(false), nifti2(true)] {
        for bytes in [made.bytes.clone(), gzip(&made.bytes)] {
            // Plain or gzip is seen from the bytes, whatever the name.
            for name in ["case.nii", "case.nii.gz", "case"] {
                let volume = read(&folder.file(name, &bytes)).unwrap();
                assert_eq!(volume.shape(), [2, 3, 4]);
                assert_eq!(stored(&volume), values());
                assert_eq!(
                    volume.geometry.ras_from_index().apply([1.0, 1.0, 1.0]),
                    [12.0, 23.0, 35.0]
                );
            }
        }
    }
}

#[test]
fn lying_fields_are_named() {
    type Lie = fn(&mut Made) -> &mut Made;
    let lies: [(Lie, &str); 24] = [
        (|m| m.i32(0, 12345), "sizeof_hdr to be 348 or 540, found 12345"),
        (|m| m.i16(40, 0), "dim[0] to be 1 to 7 dimensions, found 0"),
        (|m| m.i16(40, 8), "dim[0] to be 1 to 7 dimensions, found 8"),
        (|m| m.i16(40, -3), "found -3"),
        (|m| m.i16(42, -5), "dim[1] to be a positive number of voxels, found -5"),
        (|m| m.i16(44, 0), "dim[2] to be a positive number of voxels, found 0"),
        (|m| m.i16(46, 32767), "bytes of voxels, found 48"),
        (|m| m.i16(70, 128), "found RGB24 color voxels"),
        (|m| m.i16(70, 2304), "found RGBA32 color voxels"),
        (|m| m.i16(70, 32), "found complex64 voxels"),
        (|m| m.i16(70, 1536), "found float128 voxels"),
        (|m| m.i16(70, 1), "found 1-bit voxels"),
        (|m| m.i16(70, 77), "found unknown datatype 77"),
        (|m| m.i16(72, 8), "bitpix to be 16, as datatype int16 has, found 8"),
        (|m| m.f32(108, f32::NAN), "vox_offset to be a whole number from 352, found NaN"),
        (|m| m.f32(108, f32::INFINITY), "vox_offset to be"),
        (|m| m.f32(108, -352.0), "vox_offset to be"),
        (|m| m.f32(108, 1e30), "vox_offset to be"),
        (|m| m.f32(108, 352.5), "vox_offset to be"),
        (|m| m.f32(108, 1e9), "expected 48 bytes of voxels, found 0"),
        (|m| m.f32(116, f32::NAN), "scl_inter to be a finite number, found NaN"),
        (|m| m.i16(254, 99), "sform_code to be 0 to 5, found 99"),
        (|m| m.i16(252, -4), "qform_code to be 0 to 5, found -4"),
        (|m| m.f32(280, f32::NAN), "expected a finite affine transform"),
    ];
    let folder = Folder::new();
    for (lie, expected) in lies {
        let mut made = nifti1(false);
        lie(&mut made);
        let path = folder.file("case.nii", &made.bytes);
        let message = message(&path, read(&path));
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
}

#[test]
fn lies_of_version_two_are_named() {
    type Lie = fn(&mut Made) -> &mut Made;
    let lies: [(Lie, &str); 6] = [
        (|m| m.i64(24, -1), "dim[1] to be a positive number of voxels, found -1"),
        (|m| m.i64(24, i64::MAX), "dim to be a size that fits into memory"),
        (|m| m.i64(16, 1 << 40), "dim[0] to be 1 to 7 dimensions"),
        (|m| m.i64(168, i64::MAX), "vox_offset to be"),
        (|m| m.i32(504, 3001), "a CIFTI file"),
        (|m| m.i32(8, 0x0a0a_0a0d), "magic to be"),
    ];
    let folder = Folder::new();
    for (lie, expected) in lies {
        let mut made = nifti2(false);
        lie(&mut made);
        let path = folder.file("case.nii", &made.bytes);
        let message = message(&path, read(&path));
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
}

#[test]
fn a_slope_that_is_not_set_scales_nothing() {
    let folder = Folder::new();
    for slope in [0.0, f32::NAN, f32::INFINITY] {
        let mut made = nifti1(false);
        made.f32(112, slope).f32(116, 7.0);
        assert_eq!(stored(&folder.read(&made).unwrap()), values());
    }
    let mut made = nifti1(true);
    made.f32(112, 0.5).f32(116, 7.0);
    assert_eq!(folder.read(&made).unwrap().value([0, 0, 1]), -443.0);
}

#[test]
fn voxels_start_where_the_header_says() {
    let folder = Folder::new();
    let mut made = nifti1(false);
    made.f32(108, 1024.0);
    made.bytes.splice(352..352, vec![0xaa; 1024 - 352]);
    assert_eq!(stored(&folder.read(&made).unwrap()), values());
    let zipped = folder.file("case.nii.gz", &gzip(&made.bytes));
    assert_eq!(stored(&read(&zipped).unwrap()), values());
}

#[test]
fn spacing_is_refused_only_where_it_is_used() {
    let folder = Folder::new();
    for wrong in [0.0, f32::NAN, f32::INFINITY] {
        let mut made = nifti1(false);
        made.f32(88, wrong);
        assert!(folder.read(&made).is_ok(), "the sform does not need pixdim");
        made.i16(254, 0);
        let path = folder.file("case.nii", &made.bytes);
        let message = message(&path, read(&path));
        assert!(message.contains("pixdim[3] to be a positive distance"), "{message}");
    }
}

#[test]
fn units_become_millimeters() {
    let folder = Folder::new();
    for (units, factor) in [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001), (10, 1.0), (255, 1.0)] {
        let mut made = nifti1(false);
        made.bytes[123] = units;
        let spacing_mm = folder.read(&made).unwrap().geometry.spacing_mm().unwrap();
        for (found, expected) in spacing_mm.into_iter().zip([2.0, 3.0, 5.0]) {
            assert!((found - factor * expected).abs() < 1e-9);
        }
    }
}

#[test]
fn a_file_with_a_time_axis_wants_a_choice() {
    let folder = Folder::new();
    let mut made = nifti1(false);
    made.i16(40, 4).i16(44, 1).i16(48, 3); // 4 x 1 x 2, three times
    let path = folder.file("case.nii", &made.bytes);
    let message = message(&path, read(&path));
    assert!(message.contains("expected a 3-D image, found 4 dimensions (3 volumes"), "{message}");
    let second = read_volume(&path, &ReadOptions::default().with_volume(1)).unwrap();
    assert_eq!(stored(&second), values()[8..16]);
    let beyond = read_volume(&path, &ReadOptions::default().with_volume(3)).unwrap_err();
    assert!(beyond.to_string().starts_with("expected a volume from 0 to 2, found 3"));
    assert_eq!(read_info(&path, &Limits::default()).unwrap().shape, [4, 1, 2, 3]);

    let zipped = folder.file("case.nii.gz", &gzip(&made.bytes));
    let third = read_volume(&zipped, &ReadOptions::default().with_volume(2)).unwrap();
    assert_eq!(stored(&third), values()[16..]);
}

#[test]
fn a_last_axis_of_one_and_a_missing_one_are_three_dimensions() {
    let folder = Folder::new();
    let mut made = nifti1(false);
    made.i16(40, 5);
    assert_eq!(folder.read(&made).unwrap().shape(), [2, 3, 4]);
    made.i16(40, 2);
    assert_eq!(folder.read(&made).unwrap().shape(), [1, 3, 4]);
}

#[test]
fn either_file_of_a_pair_will_do() {
    let folder = Folder::new();
    let mut made = nifti1(true);
    made.bytes[344..348].copy_from_slice(b"ni1\0");
    made.f32(108, 0.0);
    let (header, voxels) = (made.bytes[..348].to_vec(), made.bytes[352..].to_vec());
    let header_path = folder.file("a.hdr", &header);
    let alone = message(&header_path, read(&header_path));
    assert!(alone.contains("expected a.img beside it"), "{alone}");
    let voxel_path = folder.file("a.img.gz", &gzip(&voxels));
    assert_eq!(stored(&read(&header_path).unwrap()), values());
    assert_eq!(stored(&read(&voxel_path).unwrap()), values());

    let lonely = folder.file("b.img", &voxels);
    let alone = message(&lonely, read(&lonely));
    assert!(alone.contains("expected b.hdr beside it"), "{alone}");
    folder.file("b.hdr.gz", &gzip(&header));
    assert_eq!(stored(&read(&lonely).unwrap()), values());
}

#[test]
fn bare_voxels_may_look_like_gzip() {
    let folder = Folder::new();
    let mut made = nifti1(false);
    made.bytes[344..348].copy_from_slice(b"ni1\0");
    made.f32(108, 0.0);
    let mut voxels = made.bytes[352..].to_vec();
    voxels[..3].copy_from_slice(&[0x1f, 0x8b, 8]);
    let path = folder.file("a.hdr", &made.bytes[..348]);
    folder.file("a.img", &voxels);
    assert_eq!(read(&path).unwrap().value([0, 0, 0]), f64::from(i16::from_le_bytes([0x1f, 0x8b])));
}

#[test]
fn other_formats_are_named() {
    let folder = Folder::new();
    let mut analyze = nifti1(false).bytes;
    analyze[344..348].fill(0);
    let mut dicom = vec![0; 400];
    dicom[128..132].copy_from_slice(b"DICM");
    let mut mgh = vec![0; 400];
    mgh[3] = 1;
    mgh[7] = 4;
    let files: [(&[u8], &str); 7] = [
        (
            &analyze,
            "expected a NIfTI, MetaImage, NRRD or DICOM file or a picture, found Analyze 7.5 or SPM, not NIfTI",
        ),
        (&dicom, "bytes of header"),
        (&mgh, "found an MGH or MGZ file, which is not supported"),
        (b"\x89PNG\r\n\x1a\n", "expected a png picture"),
        (b"", "expected 348 bytes of header, found 0"),
        (b"notes", "expected 348 bytes of header, found 5"),
        (&[b'x'; 1000], "found something else"),
    ];
    for (bytes, expected) in files {
        let path = folder.file("case.nii.gz", bytes);
        let message = message(&path, read(&path));
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
}

#[test]
fn missing_files_and_folders_are_named() {
    let folder = Folder::new();
    let missing = folder.0.path().join("missing.nii.gz");
    assert_eq!(message(&missing, read(&missing)), "cannot open ");
    let path = folder.0.path().to_owned();
    assert_eq!(
        message(&path, read(&path)),
        "expected a file, found a folder without DICOM images: "
    );
    assert!(read(Path::new("")).is_err());
}

#[test]
fn a_wrong_checksum_is_noticed() {
    let folder = Folder::new();
    let mut zipped = gzip(&nifti1(false).bytes);
    let at = zipped.len() - 8;
    zipped[at] ^= 1;
    let path = folder.file("case.nii.gz", &zipped);
    assert!(message(&path, read(&path)).contains("expected whole gzip data"));
    assert!(matches!(read_info(&path, &Limits::default()), Err(VolumeError::Packed { .. })));
    assert!(matches!(
        read_labels(&path, &ReadOptions::default()),
        Err(VolumeError::Packed { .. } | VolumeError::NotALabel { .. })
    ));
}

#[test]
fn a_size_that_the_file_cannot_hold_is_refused_before_memory_is_taken() {
    let folder = Folder::new();
    let mut made = nifti1(false);
    made.i16(42, 32000).i16(44, 32000).i16(46, 32000);
    let path = folder.file("case.nii.gz", &gzip(&made.bytes));
    let message = message(&path, read(&path));
    assert!(message.contains("what packed data of this size can hold"), "{message}");
}

#[test]
fn a_bomb_is_refused() {
    let folder = Folder::new();
    let mut made = nifti1(false);
    made.i16(42, 128).i16(44, 128).i16(46, 64);
    made.bytes.resize(352 + (2 << 20), 0);
    let path = folder.file("case.nii.gz", &gzip(&made.bytes));
    assert!(read(&path).is_ok(), "2 MB of nothing are harmless");
    let limits = Limits { gzip_free_bytes: 1 << 20, ..Limits::default() };
    let options = ReadOptions { limits, ..ReadOptions::default() };
    let refused = message(&path, read_volume(&path, &options));
    assert!(refused.contains("the limit for packed data of this size"), "{refused}");

    let limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let options = ReadOptions { limits, ..ReadOptions::default() };
    let refused = message(&path, read_volume(&path, &options));
    assert!(
        refused.contains("expected at most 1048576 bytes (the limit for one volume)"),
        "{refused}"
    );

    // What follows the voxels is only read for the checksum, but not without end either.
    let mut made = nifti1(false);
    made.bytes.resize(3 << 20, 0);
    let path = folder.file("case.nii.gz", &gzip(&made.bytes));
    let refused = message(&path, read_volume(&path, &options));
    assert!(refused.contains("the limit for what follows the voxels"), "{refused}");
}

#[test]
fn what_is_no_label_is_shown_with_its_place() {
    let folder = Folder::new();
    let mut made = nifti1(false);
    for at in 0..24_i16 {
        made.i16(352 + 2 * at as usize, at);
    }
    let path = folder.file("case.nii", &made.bytes);
    let labels = read_labels(&path, &ReadOptions::default()).unwrap();
    assert_eq!(labels.labels[[1, 2, 3]], 23);
    for (value, slope, shown) in [(-1, 1.0, "-1"), (256, 1.0, "256"), (21, 0.5, "0.5")] {
        made.i16(352 + 2 * 23, value).f32(112, slope);
        let path = folder.file("case.nii", &made.bytes);
        let error = read_labels(&path, &ReadOptions::default()).unwrap_err().to_string();
        let place = if slope == 1.0 { "[3, 2, 1]" } else { "[1, 0, 0]" };
        let expected = format!(
            "labels that are whole numbers from 0 to 255, found {shown} at voxel {place} (x, y, z)"
        );
        assert!(error.contains(&expected), "{error:?} does not say {expected:?}");
    }
}

#[test]
fn a_label_that_is_not_a_number_is_refused() {
    let folder = Folder::new();
    let mut made = nifti1(false);
    made.i16(70, 16).i16(72, 32).i16(46, 1);
    made.bytes[352..].fill(0);
    made.f32(352, f32::NAN);
    let path = folder.file("case.nii", &made.bytes);
    assert!(read(&path).is_ok());
    let error = read_labels(&path, &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, VolumeError::NotALabel { value, .. } if value.is_nan()));
}

/// Reads in every way; what comes is of no matter as long as it comes.
fn survive(path: &Path) -> bool {
    let info = read_info(path, &Limits::default());
    let volume = read(path);
    let labels = read_labels(path, &ReadOptions::default());
    if let Err(error) = &volume {
        assert!(error.to_string().ends_with(&path.display().to_string()), "{error}");
    }
    if let Ok(volume) = &volume {
        let turned = volume.reoriented(&volume.geometry.to_ras_axes());
        assert_eq!(turned.geometry.orientation().len(), 3);
        let _ = (volume.statistics(), volume.geometry.same_grid(&turned.geometry));
        assert!(info.is_ok());
    }
    info.is_ok() || volume.is_ok() || labels.is_ok()
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    let folder = Folder::new();
    for made in [nifti1(false), nifti2(true)] {
        for end in 0..made.bytes.len() {
            assert!(
                !survive(&folder.file("case.nii", &made.bytes[..end])),
                "cut off at byte {end}"
            );
        }
        let zipped = gzip(&made.bytes);
        for end in 0..zipped.len() {
            assert!(
                !survive(&folder.file("case.nii.gz", &zipped[..end])),
                "cut off at gzip byte {end}"
            );
        }
    }
}

#[test]
fn extreme_bytes_anywhere_in_a_header_are_survived() {
    let folder = Folder::new();
    for (made, header) in [(nifti1(false), 352), (nifti1(true), 352), (nifti2(false), 544)] {
        for at in 0..header {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = made.bytes.clone();
                bytes[at] = value;
                survive(&folder.file("case.nii", &bytes));
            }
        }
        for at in (0..header - 4).step_by(2) {
            for word in
                [[0xff; 4], [0, 0, 0x80, 0x7f], [0, 0, 0xc0, 0x7f], [0xff, 0xff, 0xff, 0x7f]]
            {
                let mut bytes = made.bytes.clone();
                bytes[at..at + 4].copy_from_slice(&word);
                survive(&folder.file("case.nii", &bytes));
            }
        }
    }
}

#[test]
fn thousands_of_flipped_bytes_are_survived() {
    let folder = Folder::new();
    let mut state = 12_u64;
    let mut random = |below: usize| {
        // Knuth's MMIX generator; its upper bits are the good ones.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let sources = [nifti1(false).bytes, nifti2(true).bytes, gzip(&nifti1(false).bytes)];
    for _ in 0..1500 {
        for source in &sources {
            let mut bytes = source.clone();
            for _ in 0..=random(6) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            survive(&folder.file("case.nii", &bytes));
        }
    }
}
