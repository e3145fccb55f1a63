//! Pictures in color as models take them: red, green and blue at each pixel.
//!
//! Samples stay as the file has them, 8 or 16 bits; what a network makes of them is left to the
//! engine. Gray pictures are widened where colors are wanted, and say so.

use std::path::Path;

use ndarray::{Array3, Array4, ArrayView4, Axis};

use crate::error::VolumeError;
use crate::format;
use crate::geometry::Geometry;
use crate::picture;
use crate::read::{ReadOptions, read_volume};
use crate::source::SourceHeader;
use crate::volume::Volume;

/// Samples of a picture as they are stored: `[page, channel, height, width]`, the channels red,
/// green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColorSamples {
    /// 0 to 255.
    U8(Array4<u8>),
    /// 0 to 65535.
    U16(Array4<u16>),
}

impl ColorSamples {
    /// Pages, channels, height, width.
    pub fn shape(&self) -> [usize; 4] {
        match self {
            Self::U8(samples) => samples.dim().into(),
            Self::U16(samples) => samples.dim().into(),
        }
    }

    /// The largest number that can be stored, which is the brightest.
    pub fn largest(&self) -> f32 {
        match self {
            Self::U8(_) => 255.0,
            Self::U16(_) => 65535.0,
        }
    }

    /// The number stored at `[page, channel, height, width]`.
    pub fn get(&self, index: [usize; 4]) -> f32 {
        match self {
            Self::U8(samples) => f32::from(samples[index]),
            Self::U16(samples) => f32::from(samples[index]),
        }
    }
}

/// A picture in color, of one page or several.
#[derive(Clone, Debug, PartialEq)]
pub struct ColorVolume {
    /// Its samples.
    pub samples: ColorSamples,
    /// Its grid: pages are slices, and no picture says how large its pixels are.
    pub geometry: Geometry,
    /// What an export carries over from the file.
    pub source: SourceHeader,
    /// Whether the file is gray: its one number per pixel then is red, green and blue.
    pub widened: bool,
}

impl ColorVolume {
    /// Its brightness, 0 to 255, as ITU-R BT.601 weighs the colors; for looking at.
    pub fn to_gray(&self) -> Volume {
        let [pages, _, height, width] = self.samples.shape();
        let scale = 255.0 / self.samples.largest();
        let gray = Array3::from_shape_fn([pages, height, width], |(page, y, x)| {
            let [red, green, blue] = [0, 1, 2].map(|at| self.samples.get([page, at, y, x]));
            scale * (0.299 * red + 0.587 * green + 0.114 * blue)
        });
        let volume = Volume::from_array(gray, self.geometry.clone());
        volume.expect("a picture has as many pixels as its geometry")
    }
}

/// Reads a picture in color, PNG, JPEG, TIFF or BMP; a gray one is widened.
///
/// # Errors
/// If the file is missing, damaged, no picture, larger than the limits allow, partly transparent,
/// or has pixels of more than 16 bits.
pub fn read_color(path: &Path, options: &ReadOptions) -> Result<ColorVolume, VolumeError> {
    if !format::is_picture(path)? {
        return Err(VolumeError::NoColors {
            path: path.to_owned(),
            found: "a volume of another kind".to_owned(),
        });
    }
    picture::read_color(path, &options.limits)
}

/// How many numbers a model wants at each voxel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// One.
    Gray,
    /// Red, green and blue.
    Rgb,
}

/// An image as a model wants it.
#[derive(Clone, Debug, PartialEq)]
pub enum CaseImage {
    /// One number at each voxel.
    Gray(Volume),
    /// Red, green and blue.
    Color(ColorVolume),
}

impl CaseImage {
    /// Where it is.
    pub fn geometry(&self) -> &Geometry {
        match self {
            Self::Gray(volume) => &volume.geometry,
            Self::Color(picture) => &picture.geometry,
        }
    }

    /// What a person looks at: the volume, or the brightness of a picture.
    pub fn into_gray(self) -> Volume {
        match self {
            Self::Gray(volume) => volume,
            Self::Color(picture) => picture.to_gray(),
        }
    }
}

/// Reads an image with as many channels as are wanted.
///
/// # Errors
/// As [`read_volume`] or [`read_color`].
pub fn read_image(
    path: &Path,
    options: &ReadOptions,
    channels: Channels,
) -> Result<CaseImage, VolumeError> {
    match channels {
        Channels::Gray => read_volume(path, options).map(CaseImage::Gray),
        Channels::Rgb => read_color(path, options).map(CaseImage::Color),
    }
}

/// Samples whose channels lie together at each pixel, as files have them, channel by channel.
pub(crate) fn planes<T: Copy + Default>(
    pixels: &[T],
    [pages, height, width]: [usize; 3],
    stored: usize,
) -> Array4<T> {
    let mut planes = Array4::from_shape_simple_fn([pages, 3, height, width], T::default);
    let page_len = height * width * stored;
    for (page, mut target) in
        pixels.chunks_exact(page_len.max(1)).zip(planes.axis_iter_mut(Axis(0)))
    {
        for (channel, mut plane) in target.axis_iter_mut(Axis(0)).enumerate() {
            // Gray, with alpha or without, has one number for all three.
            let from = if stored < 3 { 0 } else { channel };
            for (value, pixel) in plane.iter_mut().zip(page.chunks_exact(stored)) {
                *value = pixel[from];
            }
        }
    }
    planes
}

/// Whether all three channels are the same everywhere.
pub(crate) fn is_gray<T: PartialEq>(samples: ArrayView4<'_, T>) -> bool {
    let [red, green, blue] = [0, 1, 2].map(|at| samples.index_axis(Axis(1), at));
    red == green && green == blue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_taken_apart_page_by_page() {
        let pixels: Vec<u8> = (0..24).collect();
        let samples = planes(&pixels, [2, 1, 3], 4); // with alpha
        let values: Vec<u8> = samples.iter().copied().collect();
        assert_eq!(values[..9], [0, 4, 8, 1, 5, 9, 2, 6, 10]);
        assert_eq!(values[9..], [12, 16, 20, 13, 17, 21, 14, 18, 22]);
        assert!(!is_gray(samples.view()));
        let samples = planes(&pixels[..4], [1, 2, 1], 2); // gray with alpha
        assert_eq!(samples.iter().copied().collect::<Vec<u8>>(), [0, 2, 0, 2, 0, 2]);
        assert!(is_gray(samples.view()));
    }

    #[test]
    fn brightness_weighs_the_colors() {
        let samples = planes(&[255_u8, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255], [1, 1, 4], 3);
        let picture = ColorVolume {
            samples: ColorSamples::U8(samples),
            geometry: Geometry::pixels([1, 1, 4]),
            source: SourceHeader::default(),
            widened: false,
        };
        let gray: Vec<f32> = picture.to_gray().to_f32().iter().map(|v| v.round()).collect();
        assert_eq!(gray, [76.0, 150.0, 29.0, 255.0]);
    }
}
