//! From a packed frame to numbers in the bytes that are allocated for them.
//!
//! Decoders run only after the size that the frame itself declares was found to be the one in
//! the header of the file: what they may take is known before they do. Whoever calls
//! [`unpack`] does so inside of `catch_unwind`.

use std::borrow::Cow;

use super::frames::PixelFormat;
use super::rle;
use super::syntax::Packing;
use crate::input::CHUNK_BYTES;

/// Why a frame cannot be unpacked.
#[derive(Debug)]
pub(super) enum Damage {
    Broken(String),
    /// It is sound, but no decoder here takes it.
    Foreign(String),
}

impl<T: Into<String>> From<T> for Damage {
    fn from(reason: T) -> Self {
        Self::Broken(reason.into())
    }
}

pub(super) fn unpack(
    packed: &[u8],
    packing: Packing,
    format: &PixelFormat,
) -> Result<Vec<u8>, Damage> {
    match (packing, format.bits_allocated) {
        (Packing::Rle, bits @ (8 | 16 | 32)) => {
            Ok(rle::unpack(packed, format.pixels(), usize::from(bits) / 8)?)
        }
        (Packing::Jpeg, 8 | 16) => jpeg(packed, format),
        (Packing::JpegLs, 8 | 16) => jpeg_ls(packed, format),
        (Packing::Jpeg2000, 8 | 16 | 32) => Ok(jpeg_2000(packed, format)?),
        (Packing::JpegXl, 8 | 16) => Ok(jpeg_xl(packed, format)?),
        (packing, bits) => Err(Damage::Foreign(format!("{} of {bits} bits", packing.name()))),
    }
}

fn check_size(format: &PixelFormat, width: u64, height: u64) -> Result<(), String> {
    let (columns, rows) = (u64::from(format.columns), u64::from(format.rows));
    if (width, height) == (columns, rows) {
        return Ok(());
    }
    Err(format!("{width} x {height} pixels instead of {columns} x {rows}"))
}

/// Numbers in the bytes that are allocated for them.
fn as_allocated(numbers: impl ExactSizeIterator<Item = i32>, format: &PixelFormat) -> Vec<u8> {
    fn each<const N: usize>(
        numbers: impl ExactSizeIterator<Item = i32>,
        bytes: impl Fn(i32) -> [u8; N],
    ) -> Vec<u8> {
        let mut out = vec![0; N * numbers.len()];
        for (place, number) in out.as_chunks_mut().0.iter_mut().zip(numbers) {
            *place = bytes(number);
        }
        out
    }
    match format.bits_allocated {
        8 => each(numbers, |n| [n as u8]),
        16 => each(numbers, |n| (n as u16).to_le_bytes()),
        _ => each(numbers, i32::to_le_bytes),
    }
}

/// What a JPEG or JPEG-LS stream says of its frame. ISO 10918-1, annex B.2.2.
struct FrameHeader {
    marker: u8,
    precision: u8,
    width: u16,
    height: u16,
    components: u8,
}

impl FrameHeader {
    /// Walks the segments up to the frame header.
    fn of(packed: &[u8]) -> Option<Self> {
        let mut rest = packed.strip_prefix(&[0xff, 0xd8])?;
        loop {
            let &[0xff, marker, high, low, ref segment @ ..] = rest else { return None };
            if marker == 0xff {
                rest = &rest[1..]; // bytes may fill the space before a marker
                continue;
            }
            let is_frame =
                matches!(marker, 0xc0..=0xcf | 0xf7) && ![0xc4, 0xc8, 0xcc].contains(&marker);
            if is_frame {
                let &[precision, a, b, c, d, components, ..] = segment else { return None };
                let (height, width) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                return Some(Self { marker, precision, width, height, components });
            }
            let length = usize::from(u16::from_be_bytes([high, low]));
            rest = segment.get(length.checked_sub(2)?..)?;
        }
    }

    /// The header, where it is of one component of the size that the file says.
    fn checked(packed: &[u8], format: &PixelFormat) -> Result<Self, Damage> {
        let header = Self::of(packed).ok_or("no frame header")?;
        check_size(format, header.width.into(), header.height.into())?;
        if header.components != 1 {
            return Err("colors".into());
        }
        if u16::from(header.precision) > format.bits_allocated {
            let (found, room) = (header.precision, format.bits_allocated);
            return Err(format!("{found} bits in a pixel, with room for {room}").into());
        }
        Ok(header)
    }
}

/// Extended sequential, of 12 bits.
const EXTENDED: u8 = 0xc1;

fn jpeg(packed: &[u8], format: &PixelFormat) -> Result<Vec<u8>, Damage> {
    use jpeg_decoder::{Error, PixelFormat as Jpeg, UnsupportedFeature};
    let header = FrameHeader::checked(packed, format)?;
    if header.marker == EXTENDED && header.precision == 12 {
        return jpeg_12(packed, format);
    }
    let damage = |error: Error| match error {
        Error::Unsupported(UnsupportedFeature::SamplePrecision(bits)) => {
            Damage::Foreign(format!("JPEG with {bits} bits in a pixel"))
        }
        other => Damage::Broken(other.to_string()),
    };
    let mut decoder = jpeg_decoder::Decoder::new(packed);
    decoder.set_max_decoding_buffer_size(4 * format.pixels().max(CHUNK_BYTES));
    decoder.read_info().map_err(damage)?;
    let info = decoder.info().ok_or("no size")?;
    check_size(format, info.width.into(), info.height.into())?;
    let decoded = decoder.decode().map_err(damage)?;
    match info.pixel_format {
        Jpeg::L8 => Ok(as_allocated(decoded.iter().map(|&byte| byte.into()), format)),
        Jpeg::L16 => {
            let (numbers, _) = decoded.as_chunks();
            Ok(as_allocated(numbers.iter().map(|&n| u16::from_ne_bytes(n).into()), format))
        }
        Jpeg::RGB24 | Jpeg::CMYK32 => Err("colors".into()),
    }
}

fn jpeg_12(packed: &[u8], format: &PixelFormat) -> Result<Vec<u8>, Damage> {
    // One scan of one component; planes and the picture itself, of two bytes each.
    let limits = libjpeg_turbo_rs::DecodeLimits {
        max_width: format.columns.into(),
        max_height: format.rows.into(),
        max_scans: 16,
        max_memory: Some(16 * format.pixels().max(CHUNK_BYTES) as u64),
        ..libjpeg_turbo_rs::DecodeLimits::default()
    };
    let image = libjpeg_turbo_rs::decompress_12bit_with_limits(packed, &limits)
        .map_err(|error| Damage::Broken(error.to_string()))?;
    check_size(format, image.width as u64, image.height as u64)?;
    Ok(as_allocated(image.data.iter().map(|&number| number.into()), format))
}

fn jpeg_ls(packed: &[u8], format: &PixelFormat) -> Result<Vec<u8>, Damage> {
    FrameHeader::checked(packed, format)?;
    let whole = without_fill(packed);
    let (numbers, ..) =
        jpegls::decode(&whole, format.columns.into(), format.rows.into()).map_err(|error| {
            match error {
                jpegls::CodecError::Unsupported(found) => {
                    Damage::Foreign(format!("JPEG-LS: {found}"))
                }
                other => Damage::Broken(other.to_string()),
            }
        })?;
    Ok(as_allocated(numbers.iter().map(|&number| number.into()), format))
}

/// The stream without the bytes that fill the space before its end, as DCMTK writes them to
/// make it even; the decoder knows none. ISO 10918-1, annex B.1.1.2.
fn without_fill(packed: &[u8]) -> Cow<'_, [u8]> {
    let Some(end) = packed.iter().rposition(|&byte| byte == 0xd9) else { return packed.into() };
    let data = packed[..end].iter().rposition(|&byte| byte != 0xff).map_or(0, |at| at + 1);
    if end - data < 2 {
        return packed.into();
    }
    [&packed[..data], &[0xff, 0xd9]].concat().into()
}

/// Pixels that tiles have on average at least; those of pathology have 256 x 256.
const LEAST_TILE: u64 = 1024;

fn jpeg_2000(packed: &[u8], format: &PixelFormat) -> Result<Vec<u8>, String> {
    // The codestream starts with SOC and SIZ, ISO 15444-1, annex A.5.1, in a box or not.
    let start = packed.windows(4).position(|bytes| bytes == [0xff, 0x4f, 0xff, 0x51]);
    let size = start.and_then(|at| packed.get(at + 8..at + 42)).ok_or("no codestream")?;
    let number = |at: usize| {
        let four: Option<&[u8; 4]> = size[at..].first_chunk();
        four.map_or(0, |&four| u64::from(u32::from_be_bytes(four)))
    };
    check_size(format, number(0).saturating_sub(number(8)), number(4).saturating_sub(number(12)))?;
    // For each component and tile the decoder keeps tables of some kilobytes.
    let across = |size: usize, tile: usize, first: usize| {
        number(size).saturating_sub(number(first)).div_ceil(number(tile).max(1))
    };
    let tiles = across(0, 16, 24).saturating_mul(across(4, 20, 28));
    if size[32..34] != [0, 1] {
        return Err("several components".to_owned());
    }
    if tiles > 1 + format.pixels() as u64 / LEAST_TILE {
        return Err(format!("{tiles} tiles"));
    }
    let image = jpeg2k::Image::from_bytes(packed).map_err(|error| error.to_string())?;
    let [component] = image.components() else { return Err("several components".to_owned()) };
    check_size(format, component.width().into(), component.height().into())?;
    Ok(as_allocated(component.data().iter().copied(), format))
}

fn jpeg_xl(packed: &[u8], format: &PixelFormat) -> Result<Vec<u8>, String> {
    // What it needs for its own work is several times the picture, in floats.
    let memory = jxl_oxide::AllocTracker::with_limit(128 * format.pixels().max(CHUNK_BYTES));
    let image = jxl_oxide::JxlImage::builder()
        .alloc_tracker(memory)
        .read(packed)
        .map_err(|error| error.to_string())?;
    check_size(format, image.width().into(), image.height().into())?;
    let frame = image.render_frame(0).map_err(|error| error.to_string())?;
    let mut stream = frame.stream();
    if stream.channels() != 1 {
        return Err("several channels".to_owned());
    }
    if format.bits_allocated == 8 {
        let mut bytes = vec![0_u8; format.pixels()];
        stream.write_to_buffer(&mut bytes);
        return Ok(bytes);
    }
    // Samples come between 0 and 1, of as many bits as the stream has.
    let bits = image.image_header().metadata.bit_depth.bits_per_sample();
    let mut numbers = vec![0_f32; format.pixels()];
    stream.write_to_buffer(&mut numbers);
    let most = ((1_u64 << bits.min(32)) - 1) as f32;
    Ok(as_allocated(numbers.iter().map(|&n| (n * most).round() as i32), format))
}
