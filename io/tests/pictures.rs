//! Pictures in and out: PNG, JPEG, TIFF, BMP.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use lamina_io::{
    Geometry, LabelColors, LabelVolume, Limits, ReadOptions, Spacing, StoredType, Volume, Voxels,
    read_info, read_labels, read_volume, write_labels, write_volume,
};
use ndarray::Array3;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn volume(path: &Path) -> Result<Volume, String> {
    read_volume(path, &ReadOptions::default()).map_err(|error| error.to_string())
}

fn labels(path: &Path) -> Result<LabelVolume, String> {
    read_labels(path, &ReadOptions::default()).map_err(|error| error.to_string())
}

/// Three rows of four, each pixel another.
fn gray() -> GrayImage {
    GrayImage::from_fn(4, 3, |x, y| Luma([(10 * y + x) as u8]))
}

fn expected() -> Array3<u8> {
    Array3::from_shape_fn([1, 3, 4], |(_, y, x)| (10 * y + x) as u8)
}

/// A PNG of 4 x 3 pixels in the given form.
fn png(path: &Path, color: png::ColorType, depth: png::BitDepth, palette: &[u8], data: &[u8]) {
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 4, 3);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if !palette.is_empty() {
        encoder.set_palette(palette.to_vec());
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
}

#[test]
fn gray_pictures_are_volumes_of_one_slice_and_unknown_spacing() {
    let folder = folder();
    for (name, format) in [
        ("a.png", ImageFormat::Png),
        ("a.bmp", ImageFormat::Bmp),
        ("png_by_content", ImageFormat::Png),
    ] {
        let path = folder.path().join(name);
        gray().save_with_format(&path, format).unwrap();
        let volume = volume(&path).unwrap();
        assert_eq!(volume.voxels, Voxels::U8(expected()), "{name}");
        assert_eq!(volume.geometry.spacing(), Spacing::Unknown);
    }
    let path = folder.path().join("a.jpg");
    gray().save_with_format(&path, ImageFormat::Jpeg).unwrap();
    assert_eq!(volume(&path).unwrap().shape(), [1, 3, 4]);
    assert!(labels(&path).unwrap_err().contains("found a JPEG"));
}

#[test]
fn colors_are_refused_unless_they_are_all_gray() {
    let folder = folder();
    let path = folder.path().join("a.png");
    let colored = RgbImage::from_fn(4, 3, |x, _| Rgb([x as u8, 0, 0]));
    colored.save(&path).unwrap();
    let message = volume(&path).unwrap_err();
    assert!(message.contains("found colors (red, green and blue), which only models"), "{message}");
    let gray_rgba = RgbaImage::from_fn(4, 3, |x, y| {
        let v = (10 * y + x) as u8;
        Rgba([v, v, v, 255])
    });
    gray_rgba.save(&path).unwrap();
    assert_eq!(volume(&path).unwrap().voxels, Voxels::U8(expected()));
    let clear = RgbaImage::from_fn(4, 3, |_, _| Rgba([7, 7, 7, 128]));
    clear.save(&path).unwrap();
    assert!(volume(&path).unwrap_err().contains("partly transparent"));
}

#[test]
fn a_palette_holds_labels_and_no_brightness() {
    let folder = folder();
    let path = folder.path().join("a.png");
    let palette = [0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200];
    // 4 bits each, as CamVid has them.
    let data = [0x01, 0x23, 0x32, 0x10, 0x00, 0x33];
    png(&path, png::ColorType::Indexed, png::BitDepth::Four, &palette, &data);
    let found = labels(&path).unwrap();
    assert_eq!(found.labels.into_raw_vec_and_offset().0, [0, 1, 2, 3, 3, 2, 1, 0, 0, 0, 3, 3]);
    assert!(volume(&path).unwrap_err().contains("places in a palette"));
    let info = read_info(&path, &Limits::default()).unwrap();
    assert_eq!((info.format.as_str(), info.shape, info.spacing_mm), ("png", vec![4, 3], None));
    assert_eq!(info.labels.unwrap()[&3], 4);
}

#[test]
fn shallow_and_deep_gray_is_read_as_it_is_stored() {
    let folder = folder();
    let path = folder.path().join("a.png");
    png(&path, png::ColorType::Grayscale, png::BitDepth::One, &[], &[0b1010_0000, 0, 0b0001_0000]);
    let found = volume(&path).unwrap().to_f32().into_raw_vec_and_offset().0;
    assert_eq!(found, [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    let deep: Vec<u8> = (0..12_u16).flat_map(|n| (5000 * n).to_be_bytes()).collect();
    png(&path, png::ColorType::Grayscale, png::BitDepth::Sixteen, &[], &deep);
    let found = volume(&path).unwrap();
    assert_eq!(found.voxels.stored_type(), StoredType::U16);
    assert_eq!(found.value([0, 2, 3]), 55000.0);
}

#[test]
fn colored_labels_are_read_through_their_table() {
    let folder = folder();
    let path = folder.path().join("a.png");
    let color = |x: u32| [[128, 64, 128], [244, 35, 232], [70, 70, 70]][x as usize % 3];
    RgbImage::from_fn(4, 3, |x, _| Rgb(color(x))).save(&path).unwrap();
    let table = LabelColors::new([([128, 64, 128], 0), ([244, 35, 232], 1), ([70, 70, 70], 2)]);
    let read = |table: &LabelColors| table.read(&path, &Limits::default());
    let row = read(&table).unwrap().labels.into_raw_vec_and_offset().0;
    assert_eq!(row[..4], [0, 1, 2, 0]);
    let short = LabelColors::new([([128, 64, 128], 0), ([244, 35, 232], 1)]);
    let message = read(&short).unwrap_err().to_string();
    assert!(message.contains("found [70, 70, 70] at voxel [2, 0, 0]"), "{message}");
    let clear = |x: u32| if x == 3 { [1, 2, 3, 0] } else { [70, 70, 70, 255] };
    RgbaImage::from_fn(4, 3, |x, _| Rgba(clear(x))).save(&path).unwrap();
    assert_eq!(read(&table).unwrap().labels.into_raw_vec_and_offset().0[..4], [2, 2, 2, 0]);
}

#[test]
fn labels_are_written_as_indices_and_pages() {
    let folder = folder();
    let flat = LabelVolume::new(expected(), Geometry::pixels([1, 3, 4])).unwrap();
    let path = folder.path().join("a.png");
    write_labels(&path, &flat).unwrap();
    assert_eq!(labels(&path).unwrap(), flat);
    // Another program sees colors, those of PASCAL VOC.
    assert_eq!(image::open(&path).unwrap().to_rgb8().get_pixel(1, 0), &Rgb([128, 0, 0]));

    let deep = Array3::from_shape_fn([3, 3, 4], |(k, j, i)| (50 * k + 10 * j + i) as u8);
    let deep = LabelVolume::new(deep, Geometry::pixels([3, 3, 4])).unwrap();
    let path = folder.path().join("a.tif");
    write_labels(&path, &deep).unwrap();
    assert_eq!(labels(&path).unwrap(), deep);
    let info = read_info(&path, &Limits::default()).unwrap();
    assert_eq!((info.format.as_str(), info.shape), ("tiff", vec![4, 3, 3]));
}

#[test]
fn tiffs_of_all_types_and_orders_come_back() {
    let folder = folder();
    let path = folder.path().join("a.tiff");
    let numbers = Array3::from_shape_fn([2, 3, 4], |(k, j, i)| (100 * k + 10 * j + i) as f64);
    for voxels in [
        Voxels::I16(numbers.mapv(|v| -v as i16)),
        Voxels::U16(numbers.mapv(|v| v as u16 * 300)),
        Voxels::F32(numbers.mapv(|v| v as f32 / 3.0)),
    ] {
        let geometry = Geometry::pixels([2, 3, 4]);
        let written = Volume::new(voxels, lamina_io::Rescale::IDENTITY, geometry).unwrap();
        write_volume(&path, &written).unwrap();
        assert_eq!(volume(&path).unwrap(), written);
    }
    // Highest byte first, one strip, by hand.
    let mut bytes = b"MM\0*\0\0\0\x08\0\x08".to_vec();
    let mut tag = |tag: u16, kind: u16, value: u32| {
        bytes.extend(tag.to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(1_u32.to_be_bytes());
        bytes.extend(if kind == 3 { value << 16 } else { value }.to_be_bytes());
    };
    let data_at = 8 + 2 + 8 * 12 + 4;
    for (name, kind, value) in [
        (256, 4, 2),
        (257, 4, 1),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, data_at),
        (278, 4, 1),
        (279, 4, 4),
    ] {
        tag(name, kind, value);
    }
    bytes.extend([0, 0, 0, 0, 0x01, 0x02, 0xff, 0x00]);
    fs::write(&path, bytes).unwrap();
    let found = volume(&path).unwrap();
    assert_eq!(
        found.voxels,
        Voxels::U16(Array3::from_shape_vec([1, 1, 2], vec![0x0102, 0xff00]).unwrap())
    );
}

#[test]
fn damaged_pictures_are_refused_by_name() {
    let folder = folder();
    let gradient = GrayImage::from_fn(64, 64, |x, y| Luma([(x * y) as u8]));
    for (name, format) in
        [("a.png", ImageFormat::Png), ("a.jpg", ImageFormat::Jpeg), ("a.bmp", ImageFormat::Bmp)]
    {
        let path = folder.path().join(name);
        gradient.save_with_format(&path, format).unwrap();
        let whole = fs::read(&path).unwrap();
        let half = if name == "a.jpg" { 100 } else { whole.len() / 2 };
        fs::write(&path, &whole[..half]).unwrap();
        let message = volume(&path).unwrap_err();
        assert!(message.starts_with("expected a ") && message.ends_with(name), "{message}");
    }
    let path = folder.path().join("a.tif");
    let deep = Volume::new(
        Voxels::U16(Array3::from_shape_fn([2, 30, 40], |(k, j, i)| (k * j * i) as u16)),
        lamina_io::Rescale::IDENTITY,
        Geometry::pixels([2, 30, 40]),
    );
    write_volume(&path, &deep.unwrap()).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in (4..whole.len()).step_by(7) {
        fs::write(&path, &whole[..length]).unwrap();
        let message = volume(&path).unwrap_err();
        assert!(message.starts_with("expected a tiff picture"), "{message}");
    }
}

#[test]
fn a_picture_that_declares_more_than_it_can_hold_is_refused() {
    let folder = folder();
    let path = folder.path().join("a.png");
    let gradient = GrayImage::from_fn(8, 8, |x, _| Luma([x as u8]));
    gradient.save(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[16..24].copy_from_slice(&[0, 1, 0x80, 0, 0, 1, 0x80, 0]); // 98304 x 98304
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    fs::write(&path, bytes).unwrap();
    let message = volume(&path).unwrap_err();
    assert!(
        message.contains("expected at most") && message.contains("found 77309411328"),
        "{message}"
    );
}

/// CRC-32 of ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// Pictures by Pillow and tifffile, see `tests/golden/pictures/make.py`.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/pictures")
}

#[test]
fn pictures_in_forms_that_others_write_have_their_numbers() {
    let expected: serde_json::Value =
        serde_json::from_slice(&fs::read(golden().join("expected.json")).unwrap()).unwrap();
    let expected = expected.as_object().unwrap();
    assert_eq!(expected.len(), 15);
    for (name, facts) in expected {
        let path = golden().join(name);
        let palette = !facts["palette"].is_null();
        // Places in a palette are labels, gray is a volume.
        let found: Vec<u64> = if palette {
            assert!(volume(&path).unwrap_err().contains("places in a palette"), "{name}");
            labels(&path).unwrap().labels.iter().map(|&label| u64::from(label)).collect()
        } else {
            volume(&path).unwrap().to_f32().iter().map(|&value| value as u64).collect()
        };
        let info = read_info(&path, &Limits::default()).unwrap();
        let shape: Vec<u64> =
            facts["shape"].as_array().unwrap().iter().rev().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(info.shape, shape, "{name}");
        assert_eq!(found.iter().sum::<u64>(), facts["sum"].as_u64().unwrap(), "{name}");
        let weighted: u64 =
            (0..).zip(&found).map(|(place, number)| (place % 1009 + 1) * number).sum();
        assert_eq!(weighted, facts["weighted"].as_u64().unwrap(), "{name}");
    }
}

#[test]
fn colors_of_palettes_are_classes_by_their_table() {
    let colors = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]];
    // Labels in another order than the palette's.
    let table = LabelColors::new(colors.into_iter().zip([9, 8, 7, 6, 5, 4]));
    for name in ["palette.tif", "palette_pages_big_endian.tif"] {
        let path = golden().join(name);
        let by_color = table.read(&path, &Limits::default()).unwrap();
        let by_place = labels(&path).unwrap();
        assert_eq!(by_color.labels, by_place.labels.mapv(|place| 9 - place), "{name}");
    }
}

#[test]
fn what_is_no_plain_picture_is_refused_by_name() {
    for (name, reason) in [
        ("cmyk.jpg", "its pixels are four inks (CMYK)"),
        ("cmyk.tif", "its pixels are CMYK(8)"),
        ("animated.png", "it is an animation of 2 frames"),
    ] {
        let message = volume(&golden().join(name)).unwrap_err();
        assert!(message.contains(reason) && message.ends_with(name), "{message}");
    }
    // Labels are drawn on pixels as they are stored, so nothing is turned.
    assert_eq!(volume(&golden().join("turned.jpg")).unwrap().shape(), [1, 20, 37]);
}

#[test]
fn pictures_that_are_cut_off_anywhere_are_refused() {
    let folder = folder();
    for name in
        ["palette_pages_big_endian.tif", "bigtiff.tif", "deep_tiled_deflate.tif", "turned.jpg"]
    {
        let whole = fs::read(golden().join(name)).unwrap();
        let path = folder.path().join(name);
        for length in (0..whole.len()).step_by(61) {
            fs::write(&path, &whole[..length]).unwrap();
            if let Err(message) = labels(&path).and(volume(&path)) {
                assert!(message.ends_with(name), "{message}");
            }
        }
        // Any byte of the header may lie.
        for place in (0..whole.len().min(300)).step_by(2) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0xff;
            fs::write(&path, bytes).unwrap();
            if let Err(message) = labels(&path).and(volume(&path)) {
                assert!(message.ends_with(name), "{message}");
            }
        }
    }
}

fn data() -> Option<PathBuf> {
    std::env::var_os("LAMINA_DATA").map(PathBuf::from)
}

#[test]
fn real_palette_labels_have_the_published_counts() {
    let Some(data) = data() else { return };
    let expected: serde_json::Value =
        serde_json::from_slice(&fs::read(data.join("expected.json")).unwrap()).unwrap();
    let mut counts = std::collections::BTreeMap::<u8, u64>::new();
    for entry in fs::read_dir(data.join("camvid_small/valannot")).unwrap() {
        let found = labels(&entry.unwrap().path()).unwrap();
        assert_eq!(found.shape(), [1, 360, 480]);
        for (label, count) in found.counts() {
            *counts.entry(label).or_default() += count;
        }
    }
    let published = &expected["camvid_small"]["val"]["label_pixels"];
    for (label, count) in counts {
        assert_eq!(published[label.to_string()], count, "label {label}");
    }
}

#[test]
fn real_microscopy_and_street_labels_are_read() {
    let Some(data) = data() else { return };
    let nuclei = data.join("dsb2018_mini");
    for entry in fs::read_dir(nuclei.join("images")).unwrap() {
        let path = entry.unwrap().path();
        match volume(&path) {
            Ok(volume) => assert_eq!(volume.geometry.spacing(), Spacing::Unknown),
            Err(message) => assert!(message.contains("found colors"), "{message}"),
        }
        let name = path.file_name().unwrap();
        let mask = labels(&nuclei.join("masks").join(name)).unwrap();
        assert!(mask.counts().keys().all(|label| [0, 255].contains(label)));
        let instances = volume_of(&nuclei.join("instances16").join(name));
        assert_eq!(instances.voxels.stored_type(), StoredType::U16);
        assert_eq!(instances.shape(), mask.shape());
    }
    let street = "doubtful_licence/cityscapes/gtFine/val/frankfurt/frankfurt_000000_000576_gtFine_labelIds.png";
    assert_eq!(labels(&data.join(street)).unwrap().shape(), [1, 1024, 2048]);
}

fn volume_of(path: &Path) -> Volume {
    volume(path).unwrap()
}
