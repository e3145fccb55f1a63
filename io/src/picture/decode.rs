//! From a file to pixels, as they are stored.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::{ImageDecoder, ImageFormat, ImageReader};
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::Tag;

use super::patched::Patched;
use super::{Kind, bmp, jpeg};
use crate::color::{ColorSamples, planes};
use crate::error::VolumeError;
use crate::input::Input;
use crate::read::Limits;
use crate::voxels::{ByteOrder, Scalar, StoredType};

/// A decoded picture.
pub(crate) struct Picture {
    pub(crate) kind: Kind,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pages: usize,
    /// One for gray or an index, two with alpha; three for red, green and blue, four with alpha.
    pub(crate) channels: usize,
    pub(crate) stored: StoredType,
    /// How many bits of a sample count: fewer than `stored` has where a file has one, two, four
    /// or twelve.
    pub(crate) bits: u32,
    pub(crate) order: ByteOrder,
    /// Page after page, row after row; the channels of a pixel together.
    pub(crate) bytes: Vec<u8>,
    /// What indices stand for, where they are no gray.
    pub(crate) palette: Option<Vec<[u8; 3]>>,
}

/// Said of pictures through which something would be seen that nobody knows.
const TRANSPARENT: &str = "pixels that are partly transparent";

/// Why a picture cannot be decoded.
enum Refusal {
    /// Damaged, or of a kind that the decoder does not know.
    Decoder(String),
    /// More bytes than are believed.
    TooLarge(u64),
}

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Decoder(error.to_string())
    }
}

/// Decodes the picture at `path`.
pub(crate) fn decode(path: &Path, limits: &Limits) -> Result<Picture, VolumeError> {
    let mut input = Input::open_plain(path)?;
    let kind = Kind::of_content(input.peek()?).or(Kind::of_name(path));
    let kind = kind.ok_or_else(|| VolumeError::Format {
        path: path.to_owned(),
        found: "another kind of file".to_owned(),
    })?;
    let bound = Bound { limits, file_bytes: input.file_bytes() };
    let file =
        File::open(path).map_err(|source| VolumeError::Open { path: path.to_owned(), source })?;
    let file = BufReader::new(file);
    // The decoders are fuzzed but not ours.
    let decoded = catch_unwind(AssertUnwindSafe(|| match kind {
        Kind::Png => png(file, &bound),
        Kind::Tiff => tiff(file, &bound),
        Kind::Jpeg => jpeg(file, &bound),
        Kind::Bmp => bitmap(file, &bound),
    }));
    let decoded = decoded.unwrap_or_else(|_| Err(Refusal::Decoder("it is damaged".to_owned())));
    decoded.map_err(|refusal| match refusal {
        Refusal::Decoder(found) => {
            VolumeError::Picture { path: path.to_owned(), kind: kind.name(), found }
        }
        Refusal::TooLarge(declared) => VolumeError::TooLarge {
            path: path.to_owned(),
            reason: "the limit for one picture, or what its file can hold",
            limit: bound.limit(),
            declared,
        },
    })
}

/// How much a picture may take.
struct Bound<'a> {
    limits: &'a Limits,
    file_bytes: u64,
}

impl Bound<'_> {
    fn limit(&self) -> u64 {
        let packed = self.file_bytes.saturating_mul(self.limits.gzip_ratio);
        self.limits.max_bytes.min(packed.max(self.limits.gzip_free_bytes))
    }

    /// The product of `sizes`, if so many bytes may be set aside.
    fn bytes(&self, sizes: &[u64]) -> Result<usize, Refusal> {
        let product = sizes.iter().try_fold(1_u64, |product, &n| product.checked_mul(n));
        match product {
            Some(bytes) if bytes <= self.limit() => Ok(bytes as usize),
            product => Err(Refusal::TooLarge(product.unwrap_or(u64::MAX))),
        }
    }
}

fn png(file: BufReader<File>, bound: &Bound<'_>) -> Result<Picture, Refusal> {
    let limits = png::Limits { bytes: bound.bytes(&[bound.limit()])? };
    let mut decoder = png::Decoder::new_with_limits(file, limits);
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info()?;
    let (width, height) = (reader.info().width, reader.info().height);
    let (color, depth) = (reader.info().color_type, reader.info().bit_depth);
    if let Some(animation) = reader.info().animation_control {
        return Err(Refusal::Decoder(format!(
            "it is an animation of {} frames",
            animation.num_frames
        )));
    }
    let palette = match (color, &reader.info().palette) {
        (png::ColorType::Indexed, Some(palette)) => Some(palette.as_chunks().0.to_vec()),
        _ => None,
    };
    bound.bytes(&[u64::from(width), u64::from(height), 8])?; // of four channels, two bytes each
    let size = reader
        .output_buffer_size()
        .ok_or_else(|| Refusal::Decoder("it is larger than memory".to_owned()))?;
    let mut bytes = vec![0; size];
    reader.next_frame(&mut bytes)?;
    reader.finish()?;
    let bits = depth as usize;
    let stored = if bits == 16 { StoredType::U16 } else { StoredType::U8 };
    if bits < 8 {
        bytes = unpacked(&bytes, width as usize, bits);
    }
    Ok(Picture {
        kind: Kind::Png,
        width: width as usize,
        height: height as usize,
        pages: 1,
        channels: color.samples(),
        stored,
        bits: bits as u32,
        order: ByteOrder::Big,
        bytes,
        palette,
    })
}

/// Pixels of less than a byte, highest bits first, rows starting at a byte.
pub(super) fn unpacked(bytes: &[u8], width: usize, bits: usize) -> Vec<u8> {
    let row_bytes = (width * bits).div_ceil(8);
    let pixel = |row: &[u8], x: usize| {
        let at = x * bits;
        row[at / 8] >> (8 - bits - at % 8) & ((1 << bits) - 1) as u8
    };
    let rows = bytes.chunks_exact(row_bytes);
    rows.flat_map(|row| (0..width).map(move |x| pixel(row, x))).collect()
}

/// Gray or colors; the decoder would make colors of inks, whose profile nobody knows.
fn jpeg(mut file: BufReader<File>, bound: &Bound<'_>) -> Result<Picture, Refusal> {
    let mut bytes = vec![0; bound.bytes(&[bound.file_bytes.min(1 << 24)])?];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    if jpeg::Header::of(&bytes[..filled]).components == Some(4) {
        return Err(Refusal::Decoder("its pixels are four inks (CMYK)".to_owned()));
    }
    file.seek(SeekFrom::Start(0))?;
    simple(file, ImageFormat::Jpeg, Kind::Jpeg, bound)
}

/// Indices as they are stored, or colors.
fn bitmap(mut file: BufReader<File>, bound: &Bound<'_>) -> Result<Picture, Refusal> {
    let mut bytes = Vec::with_capacity(bound.bytes(&[bound.file_bytes])?);
    file.by_ref().take(bound.file_bytes).read_to_end(&mut bytes)?;
    let indexed = bmp::indexed(&bytes).map_err(|found| Refusal::Decoder(found.to_owned()))?;
    let Some(bmp::Indexed { width, height, indices, palette }) = indexed else {
        file.seek(SeekFrom::Start(0))?;
        return simple(file, ImageFormat::Bmp, Kind::Bmp, bound);
    };
    Ok(Picture {
        kind: Kind::Bmp,
        width,
        height,
        pages: 1,
        channels: 1,
        stored: StoredType::U8,
        bits: 8,
        order: ByteOrder::Little,
        bytes: indices,
        palette,
    })
}

fn simple(
    file: BufReader<File>,
    format: ImageFormat,
    kind: Kind,
    bound: &Bound<'_>,
) -> Result<Picture, Refusal> {
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(bound.limit().saturating_mul(4));
    let mut reader = ImageReader::with_format(file, format);
    reader.limits(limits);
    let decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    if color.bits_per_pixel() != 8 * u16::from(color.channel_count()) {
        return Err(Refusal::Decoder(format!("its pixels are {color:?}")));
    }
    let mut bytes = vec![0; bound.bytes(&[decoder.total_bytes()])?];
    decoder.read_image(&mut bytes)?;
    Ok(Picture {
        kind,
        width: width as usize,
        height: height as usize,
        pages: 1,
        channels: usize::from(color.channel_count()),
        stored: StoredType::U8,
        bits: 8,
        order: ByteOrder::Little,
        bytes,
        palette: None,
    })
}

fn tiff(mut file: BufReader<File>, bound: &Bound<'_>) -> Result<Picture, Refusal> {
    file.seek(SeekFrom::Start(0))?;
    let mut limits = tiff::decoder::Limits::default();
    limits.decoding_buffer_size = bound.bytes(&[bound.limit()])?;
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    let file = Patched::palettes_as_gray(file)?;
    let palettes = file.has_palette();
    let mut decoder = Decoder::new(file)?.with_limits(limits);
    let mut picture: Option<Picture> = None;
    loop {
        // Bit 0: a smaller copy of another page.
        let kind: Option<u32> = decoder.find_tag_unsigned(Tag::NewSubfileType)?;
        if kind.unwrap_or(0) & 1 == 0 {
            let palette = if palettes { color_map(&mut decoder)? } else { None };
            add_page(&mut decoder, palette, &mut picture, bound)?;
        }
        if !decoder.more_images() {
            break;
        }
        decoder.next_image()?;
    }
    picture.ok_or_else(|| Refusal::Decoder("it has no page".to_owned()))
}

/// The palette of a page: all reds, then all greens, then all blues, of 16 bits.
fn color_map(
    decoder: &mut Decoder<Patched<BufReader<File>>>,
) -> Result<Option<Vec<[u8; 3]>>, Refusal> {
    let Some(map) = decoder.find_tag(Tag::ColorMap)? else { return Ok(None) };
    let map = map.into_u16_vec()?;
    let colors = map.len() / 3;
    // Some writers have eight bits in place of sixteen.
    let shift = if map.iter().any(|&channel| channel > 255) { 8 } else { 0 };
    let channel = |index: usize| (map[index] >> shift) as u8;
    let color = |index| [channel(index), channel(index + colors), channel(index + 2 * colors)];
    Ok(Some((0..colors).map(color).collect()))
}

fn add_page(
    decoder: &mut Decoder<Patched<BufReader<File>>>,
    palette: Option<Vec<[u8; 3]>>,
    picture: &mut Option<Picture>,
    bound: &Bound<'_>,
) -> Result<(), Refusal> {
    use tiff::ColorType::{Gray, GrayA, RGB, RGBA};

    let (width, height) = decoder.dimensions()?;
    let (channels, bits) = match decoder.colortype()? {
        Gray(bits) => (1, bits),
        GrayA(bits) => (2, bits),
        RGB(bits) => (3, bits),
        RGBA(bits) => (4, bits),
        other => return Err(Refusal::Decoder(format!("its pixels are {other:?}"))),
    };
    let so_far = picture.as_ref().map_or(0, |picture| picture.bytes.len() as u64);
    let sizes = [u64::from(width), u64::from(height), channels, u64::from(bits.div_ceil(8))];
    let page = bound.bytes(&sizes)? as u64;
    bound.bytes(&[so_far + page])?;
    let (stored, bytes) = typed(decoder.read_image()?)?;
    let (width, height) = (width as usize, height as usize);
    let bytes = if bits < 8 { unpacked(&bytes, width, usize::from(bits)) } else { bytes };
    if bytes.len() as u64 != page {
        return Err(Refusal::Decoder("its colors are apart, page by page".to_owned()));
    }
    let page = Picture {
        kind: Kind::Tiff,
        width,
        height,
        pages: 1,
        channels: channels as usize,
        stored,
        bits: u32::from(bits),
        order: ByteOrder::Little,
        bytes,
        palette,
    };
    let Some(first) = picture else {
        *picture = Some(page);
        return Ok(());
    };
    let facts = |page: &Picture| (page.width, page.height, page.channels, page.stored);
    if first.palette != page.palette {
        return Err(Refusal::Decoder(format!(
            "page {} has another palette than the first",
            first.pages
        )));
    }
    if facts(first) != facts(&page) {
        return Err(Refusal::Decoder(format!(
            "page {} is {width} × {height} of {}, the first {} × {} of {}",
            first.pages,
            page.stored.name(),
            first.width,
            first.height,
            first.stored.name()
        )));
    }
    first.bytes.extend(page.bytes);
    first.pages += 1;
    Ok(())
}

fn typed(decoded: DecodingResult) -> Result<(StoredType, Vec<u8>), Refusal> {
    fn bytes<T: Scalar>(values: &[T]) -> (StoredType, Vec<u8>) {
        let mut bytes = Vec::with_capacity(size_of_val(values));
        T::append_bytes(values, &mut bytes);
        (T::TYPE, bytes)
    }
    Ok(match decoded {
        DecodingResult::U8(values) => (StoredType::U8, values),
        DecodingResult::I8(values) => bytes(&values),
        DecodingResult::U16(values) => bytes(&values),
        DecodingResult::I16(values) => bytes(&values),
        DecodingResult::U32(values) => bytes(&values),
        DecodingResult::I32(values) => bytes(&values),
        DecodingResult::U64(values) => bytes(&values),
        DecodingResult::I64(values) => bytes(&values),
        DecodingResult::F32(values) => bytes(&values),
        DecodingResult::F64(values) => bytes(&values),
        DecodingResult::F16(_) => {
            return Err(Refusal::Decoder("its pixels are half-precision numbers".to_owned()));
        }
    })
}

impl Picture {
    /// The bytes of channel `channel` of pixel `pixel`.
    fn sample(&self, pixel: usize, channel: usize) -> &[u8] {
        let width = self.stored.bytes();
        let at = (pixel * self.channels + channel) * width;
        &self.bytes[at..at + width]
    }

    /// All bytes of pixel `pixel`.
    pub(crate) fn bytes_of(&self, pixel: usize) -> &[u8] {
        let width = self.channels * self.stored.bytes();
        &self.bytes[pixel * width..][..width]
    }

    pub(crate) fn pixels(&self) -> usize {
        self.width * self.height * self.pages
    }

    /// Whether pixel `pixel` is not to be seen at all.
    pub(crate) fn is_clear(&self, pixel: usize) -> bool {
        self.channels.is_multiple_of(2)
            && self.sample(pixel, self.channels - 1).iter().all(|&byte| byte == 0)
    }

    /// The color of pixel `pixel`, of pictures of eight bits.
    pub(crate) fn color(&self, pixel: usize) -> Option<[u8; 3]> {
        if self.stored != StoredType::U8 {
            return None;
        }
        if let Some(palette) = &self.palette {
            return palette.get(usize::from(self.sample(pixel, 0)[0])).copied();
        }
        let channel = |at: usize| self.sample(pixel, if self.channels > 2 { at } else { 0 })[0];
        Some([channel(0), channel(1), channel(2)])
    }

    /// One number per pixel, or what there is instead.
    pub(crate) fn into_gray(mut self) -> Result<Self, &'static str> {
        let gray =
            |(index, color): (usize, &[u8; 3])| color.iter().all(|&c| usize::from(c) == index);
        if self.palette.as_ref().is_some_and(|palette| palette.iter().enumerate().all(gray)) {
            self.palette = None; // indices that are the brightness
        }
        if self.channels == 1 {
            return Ok(self);
        }
        if !self.is_opaque() {
            return Err(TRANSPARENT);
        }
        let gray = |pixel: usize| {
            (1..3).all(|channel| self.sample(pixel, channel) == self.sample(pixel, 0))
        };
        if self.channels > 2 && !(0..self.pixels()).all(gray) {
            return Err("colors (red, green and blue), which only models of color pictures take");
        }
        let bytes = (0..self.pixels()).flat_map(|pixel| self.sample(pixel, 0).to_vec()).collect();
        Ok(Self { bytes, channels: 1, ..self })
    }

    /// Whether there is no alpha, or nothing shines through.
    fn is_opaque(&self) -> bool {
        let opaque = |pixel: usize| {
            let integer = !matches!(self.stored, StoredType::F32 | StoredType::F64);
            integer && self.sample(pixel, self.channels - 1).iter().all(|&byte| byte == 255)
        };
        !self.channels.is_multiple_of(2) || (0..self.pixels()).all(opaque)
    }

    /// Red, green and blue of each pixel, or what there is instead.
    pub(crate) fn into_color(self) -> Result<ColorSamples, &'static str> {
        if !self.is_opaque() {
            return Err(TRANSPARENT);
        }
        let shape = [self.pages, self.height, self.width];
        match (self.stored, &self.palette) {
            (StoredType::U8, Some(_)) => {
                let colors: Option<Vec<[u8; 3]>> =
                    (0..self.pixels()).map(|pixel| self.color(pixel)).collect();
                let colors = colors.ok_or("places beyond its palette")?;
                Ok(ColorSamples::U8(planes(colors.as_flattened(), shape, 3)))
            }
            (StoredType::U8, None) => {
                let mut samples = planes(&self.bytes, shape, self.channels);
                if self.bits < 8 {
                    let brightest = (1_u16 << self.bits) - 1;
                    samples.mapv_inplace(|value| (u16::from(value) * 255 / brightest) as u8);
                }
                Ok(ColorSamples::U8(samples))
            }
            (StoredType::U16, None) => {
                let mut values: Vec<u16> = Vec::new();
                u16::extend_from_bytes(&mut values, &self.bytes, self.order);
                if self.bits < 16 {
                    let brightest = (1_u32 << self.bits) - 1;
                    let stretched =
                        |value: u16| u32::from(value).min(brightest) * 65535 / brightest;
                    for value in &mut values {
                        *value = stretched(*value) as u16;
                    }
                }
                Ok(ColorSamples::U16(planes(&values, shape, self.channels)))
            }
            _ => Err("pixels of other numbers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_of_less_than_a_byte_are_unpacked_row_by_row() {
        assert_eq!(unpacked(&[0b1010_0000, 0b0110_0000], 3, 1), [1, 0, 1, 0, 1, 1]);
        assert_eq!(unpacked(&[0x12, 0x30], 3, 4), [1, 2, 3]);
        assert_eq!(unpacked(&[0b0001_1011], 4, 2), [0, 1, 2, 3]);
    }
}
