//! Pictures in color as models take them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use lamina_io::{
    CaseImage, Channels, ColorSamples, ColorVolume, ReadOptions, Spacing, read_color, read_image,
    read_info, synthetic, write_volume,
};
use tiff::encoder::TiffEncoder;
use tiff::encoder::colortype::{RGB8, RGB16};

/// Three rows of four, each sample another.
fn colors() -> RgbImage {
    RgbImage::from_fn(4, 3, |x, y| {
        let at = (10 * y + x) as u8;
        Rgb([at, 100 + at, 200 + at])
    })
}

fn save(picture: impl Into<DynamicImage>, name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let picture = picture.into();
    if path.extension().is_none_or(|ending| ending != "tif") {
        picture.save(&path).unwrap();
        return (folder, path);
    }
    let mut encoder = TiffEncoder::new(std::fs::File::create(&path).unwrap()).unwrap();
    let (width, height) = (picture.width(), picture.height());
    match picture {
        DynamicImage::ImageRgb8(picture) => encoder.write_image::<RGB8>(width, height, &picture),
        DynamicImage::ImageRgb16(picture) => encoder.write_image::<RGB16>(width, height, &picture),
        _ => panic!("no other TIFF is written here"),
    }
    .unwrap();
    (folder, path)
}

fn color(path: &Path) -> Result<ColorVolume, String> {
    read_color(path, &ReadOptions::default()).map_err(|error| error.to_string())
}

fn bytes(picture: &ColorVolume) -> Vec<u8> {
    let ColorSamples::U8(samples) = &picture.samples else { panic!("bytes") };
    samples.iter().copied().collect()
}

#[test]
fn every_kind_of_picture_is_read_in_color() {
    for name in ["a.png", "a.tif", "a.bmp"] {
        let (_folder, path) = save(colors(), name);
        let picture = color(&path).unwrap();
        assert_eq!(picture.samples.shape(), [1, 3, 3, 4], "{name}");
        assert_eq!(picture.samples.get([0, 1, 2, 3]), 123.0, "{name}");
        assert_eq!(picture.samples.get([0, 2, 1, 0]), 210.0, "{name}");
        assert_eq!(picture.geometry.spacing(), Spacing::Unknown);
        assert!(!picture.widened);
    }
    let (_folder, path) = save(colors(), "a.jpg");
    assert_eq!(color(&path).unwrap().samples.shape(), [1, 3, 3, 4]);
}

#[test]
fn an_alpha_that_hides_nothing_is_left_out_and_any_other_refused() {
    let with = |alpha: u8| RgbaImage::from_fn(4, 3, |x, _| Rgba([x as u8, 2, 3, alpha]));
    let (_folder, path) = save(with(255), "a.png");
    assert_eq!(bytes(&color(&path).unwrap())[..5], [0, 1, 2, 3, 0]);
    let (_folder, path) = save(with(254), "a.png");
    let message = color(&path).unwrap_err();
    assert!(message.contains("found pixels that are partly transparent"), "{message}");
}

#[test]
fn gray_is_widened_and_says_so() {
    let gray = GrayImage::from_fn(4, 3, |x, y| Luma([(10 * y + x) as u8]));
    let (_folder, path) = save(gray, "a.png");
    let picture = color(&path).unwrap();
    assert!(picture.widened);
    let found = bytes(&picture);
    assert_eq!((&found[..12], &found[..12]), (&found[12..24], &found[24..]));
    assert_eq!(found[..5], [0, 1, 2, 3, 10]);
}

#[test]
fn few_bits_reach_from_dark_to_bright() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), 4, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Two);
    encoder.write_header().unwrap().write_image_data(&[0b0001_1011]).unwrap();
    assert_eq!(bytes(&color(&path).unwrap())[..4], [0, 85, 170, 255]);
}

#[test]
fn sixteen_bits_are_kept() {
    let wide: ImageBuffer<Rgb<u16>, Vec<u16>> =
        ImageBuffer::from_fn(4, 3, |x, y| Rgb([1000 * x as u16, 300, 60_000 + y as u16]));
    for name in ["a.png", "a.tif"] {
        let (_folder, path) = save(wide.clone(), name);
        let picture = color(&path).unwrap();
        assert_eq!(picture.samples.largest(), 65535.0);
        assert_eq!(picture.samples.get([0, 0, 0, 3]), 3000.0, "{name}");
        assert_eq!(picture.samples.get([0, 2, 2, 0]), 60_002.0, "{name}");
    }
}

#[test]
fn a_palette_is_read_as_its_colors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), 2, 1);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(vec![1, 2, 3, 200, 100, 50]);
    encoder.write_header().unwrap().write_image_data(&[1, 0]).unwrap();
    assert_eq!(bytes(&color(&path).unwrap()), [200, 1, 100, 2, 50, 3]);
}

#[test]
fn a_scan_has_no_colors_and_a_picture_is_read_as_a_model_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    let (volume, _) = synthetic::ellipsoid([4, 5, 6], [1.0; 3], [2.0; 3], [1.5; 3]).unwrap();
    write_volume(&path, &volume).unwrap();
    let message = color(&path).unwrap_err();
    assert!(
        message.starts_with("expected a picture of 8 or 16 bits, in color or gray, found a volume"),
        "{message}"
    );
    let options = ReadOptions::default();
    let found = read_image(&path, &options, Channels::Gray).unwrap();
    assert!(matches!(found, CaseImage::Gray(_)));
    let (_folder, path) = save(colors(), "a.png");
    let found = read_image(&path, &options, Channels::Rgb).unwrap();
    assert_eq!(found.geometry().shape(), [1, 3, 4]);
    assert!(read_image(&path, &options, Channels::Gray).is_err());
}

#[test]
fn info_counts_the_channels() {
    let (_folder, path) = save(colors(), "a.png");
    let info = read_info(&path, &lamina_io::Limits::default()).unwrap();
    assert_eq!((info.format.as_str(), info.channels), ("png", Some(3)));
    assert_eq!((info.shape, info.modality.as_deref()), (vec![4, 3], Some("rgb")));
    assert_eq!((info.min, info.max, info.mean), (Some(0.0), Some(223.0), Some(111.5)));
}
