//! Padding and windows of DICOM: said, and no voxel changed by them.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests may panic and are not documentation")]

#[path = "common/dicom.rs"]
mod made;

use lamina_io::{
    FileInfo, Limits, Padding, PaddingInfo, ReadOptions, Volume, Window, WindowFunction, read_info,
    read_volume,
};
use made::{AXIAL, Dicom, PATIENT, axial, slice};

fn of<T>(files: &[Dicom], read: impl FnOnce(&std::path::Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    for (number, dicom) in files.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number}.dcm")), dicom.plain()).unwrap();
    }
    read(folder.path())
}

fn volume(files: &[Dicom]) -> Volume {
    of(files, |path| read_volume(path, &ReadOptions::default()).unwrap())
}

fn info(files: &[Dicom]) -> FileInfo {
    of(files, |path| read_info(path, &Limits::default()).unwrap())
}

fn with_padding(z: f64, pixels: [i16; 12], padding: i16, limit: Option<i16>) -> Dicom {
    let dicom = slice([0.0, 0.0, z], AXIAL, [3, 4], &pixels)
        .decimals(0x0028_1052, &[-1024.0])
        .decimals(0x0028_1053, &[1.0])
        .shorts(0x0028_0120, &[padding as u16]);
    match limit {
        Some(limit) => dicom.shorts(0x0028_0121, &[limit as u16]),
        None => dicom,
    }
}

#[test]
fn padding_keeps_its_value_and_is_left_out_of_statistics() {
    let mut pixels: [i16; 12] = std::array::from_fn(|n| n as i16);
    pixels[..3].copy_from_slice(&[-2000, -1999, -2000]);
    let files = [with_padding(0.0, pixels, -2000, None), with_padding(1.0, pixels, -2000, None)];
    let padded = volume(&files);
    assert_eq!(padded.viewing.padding, Some(Padding { first: -2000.0, last: -2000.0 }));
    assert_eq!(padded.value([0, 0, 0]), -3024.0);
    assert_eq!(padded.to_f32_without_padding()[[1, 0, 2]], -3023.0);
    let said = info(&files);
    assert_eq!(said.padding, Some(PaddingInfo { from: -3024.0, to: -3024.0, voxels: 4 }));
    assert_eq!(said.min, Some(-3023.0));

    // A range, given from its other end.
    let range = info(&[with_padding(0.0, pixels, -1999, Some(-2000))]);
    assert_eq!(range.padding, Some(PaddingInfo { from: -3024.0, to: -3023.0, voxels: 3 }));
    assert_eq!(range.min, Some(3.0 - 1024.0));
    let mean = f64::from((3..12).sum::<i32>()) / 9.0 - 1024.0;
    assert!((range.mean.unwrap() - mean).abs() < 1e-9);
}

#[test]
fn padding_of_unsigned_and_real_pixels_is_of_their_type() {
    let unsigned = with_padding(0.0, [-1; 12], -1, None).shorts(0x0028_0103, &[0]);
    let said = info(&[unsigned]);
    assert_eq!(said.padding.unwrap(), PaddingInfo { from: 64511.0, to: 64511.0, voxels: 12 });
    assert_eq!((said.min, said.mean), (None, None));

    let real = axial(0.0, 0)
        .without(0x7fe0_0010)
        .raw(0x0028_0122, "FL", (-0.25_f32).to_le_bytes().into())
        .raw(0x7fe0_0008, "OF", (-1..11).flat_map(|n| (n as f32 / 4.0).to_le_bytes()).collect());
    let said = info(&[real]);
    assert_eq!(said.padding, Some(PaddingInfo { from: -0.25, to: -0.25, voxels: 1 }));
    assert_eq!(said.min, Some(0.0));
}

#[test]
fn padding_that_differs_from_slice_to_slice_is_taken_for_values() {
    let files = [with_padding(0.0, [5; 12], -2000, None), with_padding(1.0, [5; 12], -1000, None)];
    assert_eq!(volume(&files).viewing.padding, None);
}

#[test]
fn windows_are_those_of_the_slice_in_the_middle() {
    let windowed = |z: f64, center: f64| {
        axial(z, 0)
            .decimals(0x0028_1050, &[center, 40.0])
            .decimals(0x0028_1051, &[350.0, 1.5])
            .text(0x0028_1055, "LO", &format!("Soft tissue\\{PATIENT}"))
    };
    let windows = info(&[windowed(0.0, 1.0), windowed(1.0, 2.0), windowed(2.0, 3.0)]).windows;
    let window = |center, width, name: Option<&str>| Window {
        center,
        width,
        function: WindowFunction::Linear,
        name: name.map(str::to_owned),
    };
    assert_eq!(windows, [window(2.0, 350.0, Some("Soft tissue")), window(40.0, 1.5, None)]);

    // Nonsense is no window.
    let zero = axial(0.0, 0).decimals(0x0028_1050, &[0.0]).decimals(0x0028_1051, &[0.0]);
    assert_eq!(info(&[zero]).windows, []);
    let alone = axial(0.0, 0).decimals(0x0028_1050, &[0.0]);
    assert_eq!(info(&[alone]).windows, []);
}

/// How bright a value is, by the formulas of PS3.3, C.11.2.1.2 and C.11.2.1.3.
fn brightness(window: &Window, value: f64) -> f64 {
    let Window { center, width, .. } = *window;
    match window.function {
        WindowFunction::Linear => ((value - (center - 0.5)) / (width - 1.0) + 0.5).clamp(0.0, 1.0),
        WindowFunction::LinearExact => ((value - center) / width + 0.5).clamp(0.0, 1.0),
        WindowFunction::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
    }
}

#[test]
fn windows_of_what_is_turned_over_are_turned_with_it() {
    for function in ["", "LINEAR_EXACT", "SIGMOID"] {
        let upright = axial(0.0, 0)
            .shorts(0x0028_0101, &[12])
            .shorts(0x0028_0102, &[11])
            .shorts(0x0028_0103, &[0])
            .decimals(0x0028_1052, &[-1000.0])
            .decimals(0x0028_1053, &[2.0])
            .decimals(0x0028_1050, &[-985.0])
            .decimals(0x0028_1051, &[21.0])
            .text(0x0028_1056, "CS", function);
        let turned = volume(&[upright.clone().text(0x0028_0004, "CS", "MONOCHROME1")]);
        let upright = volume(&[upright]);
        let [before, after] = [&upright, &turned].map(|volume| &volume.viewing.windows[0]);
        for place in [[0, 0, 0], [0, 1, 1], [0, 1, 3], [0, 2, 3]] {
            let dark = brightness(before, upright.value(place));
            let bright = brightness(after, turned.value(place));
            assert!((dark + bright - 1.0).abs() < 1e-9, "{function}: {dark} and {bright}");
        }
    }
}
