//! Pictures: PNG, JPEG, TIFF with one page or several, BMP.
//!
//! Decoding is left to the crates for each; here it is decided what a picture means. Gray is one
//! number per pixel, as stored and not stretched; so are the indices of a palette, which are labels
//! and no brightness. Colors are read as a volume where they are all gray, as labels through
//! [`LabelColors`], or as they are for models that want them ([`read_color`]). Pages are slices. No picture says where it is or how large its pixels are.
//!
//! Pixels are where the file has them. A camera may ask to turn its picture (the orientation of
//! EXIF), but labels are drawn on pixels and ask for nothing: nothing is turned, and a program
//! can warn of it ([`asks_to_be_turned`]).

mod bmp;
mod colors;
mod decode;
mod jpeg;
mod paint;
mod patched;
mod write;

use std::path::Path;

pub use colors::LabelColors;
pub use colors::usual_color;
pub(crate) use decode::{Picture, decode};
pub(crate) use paint::color_of;
pub use paint::{Overlay, Painting};
pub(crate) use write::write;

use crate::color::{self, ColorSamples, ColorVolume};
use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::image::{Description, Image, InMemory, Sizes};
use crate::read::Limits;
use crate::source::SourceHeader;
use crate::viewing::Viewing;
use crate::volume::Rescale;

/// The kinds of picture files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Png,
    Jpeg,
    Tiff,
    Bmp,
}

impl Kind {
    /// The kind that `path` is called after.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "tif" | "tiff" => Some(Self::Tiff),
            "bmp" => Some(Self::Bmp),
            _ => None,
        }
    }

    /// The kind of a file that starts with `bytes`.
    pub(crate) fn of_content(bytes: &[u8]) -> Option<Self> {
        let tiff: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            // Behind the size of the file, four bytes that are reserved.
            [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some(Self::Bmp),
            _ if tiff.iter().any(|start| bytes.starts_with(start)) => Some(Self::Tiff),
            _ => None,
        }
    }

    /// Whether such pictures are written.
    pub(crate) fn is_written(self) -> bool {
        matches!(self, Self::Png | Self::Tiff)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Tiff => "tiff",
            Self::Bmp => "bmp",
        }
    }
}

/// Whether `path` is a JPEG that asks to be turned before it is shown.
pub(crate) fn asks_to_be_turned(path: &Path) -> bool {
    /// EXIF comes first and fits into one segment.
    const LOOK_BYTES: u64 = 1 << 17;
    let mut start = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| {
        std::io::Read::read_to_end(&mut std::io::Read::take(file, LOOK_BYTES), &mut start)
    });
    read.is_ok()
        && Kind::of_content(&start) == Some(Kind::Jpeg)
        && jpeg::Header::of(&start).orientation.is_some_and(|orientation| orientation != 1)
}

/// Reads a picture with its colors; gray is widened.
pub(crate) fn read_color(path: &Path, limits: &Limits) -> Result<ColorVolume, VolumeError> {
    let picture = decode(path, limits)?;
    color_volume(picture)
        .map_err(|found| VolumeError::NoColors { path: path.to_owned(), found: found.to_owned() })
}

/// What kind of picture there is at `path`, and its colors; `None` where there are none.
pub(crate) fn read_color_as(path: &Path, limits: &Limits) -> Option<(&'static str, ColorVolume)> {
    let picture = crate::format::is_picture(path).ok()?.then(|| decode(path, limits).ok())??;
    let kind = picture.kind.name();
    Some((kind, color_volume(picture).ok()?))
}

fn color_volume(picture: Picture) -> Result<ColorVolume, &'static str> {
    let geometry = Geometry::pixels([picture.pages, picture.height, picture.width]);
    let samples = picture.into_color()?;
    let widened = match &samples {
        ColorSamples::U8(samples) => color::is_gray(samples.view()),
        ColorSamples::U16(samples) => color::is_gray(samples.view()),
    };
    Ok(ColorVolume { samples, geometry, source: SourceHeader::default(), widened })
}

/// Opens a picture of one number per pixel.
pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Image, VolumeError> {
    let picture = decode(path, limits)?;
    let picture = picture.into_gray().map_err(|found| VolumeError::DataType {
        path: path.to_owned(),
        found: found.to_owned(),
    })?;
    let Picture { width, height, pages, .. } = picture;
    let dims: Vec<u64> = match pages {
        1 => vec![width as u64, height as u64],
        _ => vec![width as u64, height as u64, pages as u64],
    };
    let sizes = Sizes::of(&dims, picture.stored).ok_or_else(|| VolumeError::DataType {
        path: path.to_owned(),
        found: "more of them than memory holds".to_owned(),
    })?;
    let description = Description {
        format: picture.kind.name(),
        dims,
        stored: picture.stored,
        order: picture.order,
        rescale: Rescale::IDENTITY,
        geometry: Geometry::pixels([pages, height, width]),
        modality: None,
        source: SourceHeader::default(),
        sizes,
        labels_only: picture.palette.is_some().then_some("places in a palette of colors"),
        lossy: picture.kind == Kind::Jpeg,
        viewing: Viewing::default(),
    };
    Ok(Image { description, voxels: Box::new(InMemory::new(path, picture.bytes)) })
}
