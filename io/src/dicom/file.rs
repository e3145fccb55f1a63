//! A DICOM file up to its pixels: preamble, file meta information, data set.
//!
//! Files without preamble, without meta information, or with elements written in another way
//! than they say are taken as what they look like. PS3.10, section 7.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::element::{Elements, Encoding, Head, Stop, head, is_type};
use super::syntax::Syntax;
use super::tags;
use crate::error::VolumeError;
use crate::image::Fault;
use crate::input::no_file;
use crate::read::Limits;

/// What is read of a file at first; most headers are shorter.
const FIRST_BYTES: usize = 64 * 1024;

/// Most bytes before the pixels that are read, or of a file without any.
const MOST_HEADER_BYTES: u64 = 512 << 20;

/// Where the pixels are.
#[derive(Clone, Copy, Debug)]
pub(super) struct PixelElement {
    pub(super) kind: PixelKind,
    pub(super) vr: Option<[u8; 2]>,
    /// Byte of the file, or of its unpacked data set.
    pub(super) start: u64,
    /// Bytes that there are; `None` where they come in fragments.
    pub(super) length: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PixelKind {
    Integers,
    Float32,
    Float64,
}

/// A file whose header is read.
#[derive(Debug)]
pub(super) struct DicomFile {
    pub(super) path: PathBuf,
    /// The file up to its pixels, or all of the data set where that was deflated.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    pub(super) encoding: Encoding,
    pub(super) syntax: Syntax,
    pub(super) pixels: Option<PixelElement>,
    pub(super) file_bytes: u64,
}

/// Whether a file that starts with `bytes` says that it is DICOM.
pub(crate) fn has_preamble(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM")
}

/// Whether `bytes` may be a DICOM file, with a preamble or without.
pub(crate) fn looks_like(bytes: &[u8]) -> bool {
    has_preamble(bytes) || starts_elements(bytes)
}

/// Whether bytes start with an element of the first groups, of sensible length.
fn starts_elements(bytes: &[u8]) -> bool {
    let Some(&[a, b, c, d, e, f, g, h]) = bytes.first_chunk::<8>() else { return false };
    let little = matches!([a, b], [2 | 8, 0]) && d == 0;
    let big = matches!([a, b], [0, 2 | 8]) && c == 0;
    let short = u32::from_le_bytes([e, f, g, h]) < 0x400;
    (little && (is_known_type([e, f]) || (short && c < 0x20))) || (big && is_known_type([e, f]))
}

fn is_known_type(vr: [u8; 2]) -> bool {
    is_type(vr) && [b"UL", b"OB", b"UI", b"CS", b"DA", b"SH", b"TM", b"LO", b"DT"].contains(&&vr)
}

impl DicomFile {
    /// Reads the header of a file.
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Self, VolumeError> {
        let fail = |source| VolumeError::Open { path: path.to_owned(), source };
        let kind = std::fs::metadata(path).map_err(fail)?;
        if let Some(found) = no_file(&kind) {
            return Err(VolumeError::NotAFile { path: path.to_owned(), found });
        }
        let mut file = File::open(path).map_err(fail)?;
        let file_bytes = file.metadata().map_err(fail)?.len();
        let mut bytes = Vec::new();
        let mut wanted = FIRST_BYTES;
        loop {
            let missing = (wanted as u64).min(MOST_HEADER_BYTES) - bytes.len() as u64;
            let fail = |source| VolumeError::Read { path: path.to_owned(), source };
            file.by_ref().take(missing).read_to_end(&mut bytes).map_err(fail)?;
            let whole = bytes.len() as u64 >= file_bytes;
            let parsed = match Self::parse(path, &bytes, file_bytes, limits) {
                // What was read may end just where an element does.
                Ok(parsed) if parsed.0.pixels.is_none() && !whole => Err(Stop::Short),
                parsed => parsed,
            };
            match parsed {
                Ok(parsed) => return Ok(Self { bytes: parsed.1.unwrap_or(bytes), ..parsed.0 }),
                Err(Stop::Short) if !whole && (wanted as u64) < MOST_HEADER_BYTES => wanted *= 4,
                Err(Stop::Short) if !whole => {
                    let found = "more bytes before any pixels than that";
                    let expected = format!("within {MOST_HEADER_BYTES} bytes");
                    return Err(Fault::new("the header", expected, found).at(path));
                }
                Err(Stop::Short) => {
                    return Err(VolumeError::Truncated {
                        path: path.to_owned(),
                        part: "header",
                        expected: bytes.len() as u64 + 1,
                        found: bytes.len() as u64,
                    });
                }
                Err(Stop::Broken(found)) => {
                    return Err(Fault::new("the data set", "DICOM elements", found).at(path));
                }
            }
        }
    }

    /// What `bytes` say, and the data set where it was packed.
    fn parse(
        path: &Path,
        bytes: &[u8],
        file_bytes: u64,
        limits: &Limits,
    ) -> Result<(Self, Option<Vec<u8>>), Stop> {
        let meta = if has_preamble(bytes) { 132 } else { 0 };
        let first = head(bytes, meta, Encoding::EXPLICIT)?;
        let mut start = meta;
        let mut uid = None;
        if first.tag >> 16 == 2 {
            let ends = |head: &Head| head.tag >> 16 != 2;
            let (elements, next) = Elements::walk(bytes, meta, Encoding::EXPLICIT, ends)?;
            uid = elements.text(tags::TRANSFER_SYNTAX_UID).map(std::borrow::Cow::into_owned);
            start = next.map_or(bytes.len(), |(at, _)| at);
        }
        let mut syntax = Syntax::of(uid.as_deref());
        let unpacked = if syntax.deflated {
            if (bytes.len() as u64) < file_bytes {
                return Err(Stop::Short);
            }
            Some(inflate(&bytes[start..], limits)?)
        } else {
            None
        };
        let (bytes, start) = match &unpacked {
            Some(unpacked) => (unpacked.as_slice(), 0),
            None => (bytes, start),
        };
        let encoding = match bytes.get(start..start + 6) {
            Some(&[.., e, f]) if syntax.big_endian => {
                Encoding { explicit: is_type([e, f]), big_endian: true }
            }
            Some(&[0, b, _, _, e, f]) if uid.is_none() && b > 0 && is_known_type([e, f]) => {
                syntax.big_endian = true;
                Encoding { explicit: true, big_endian: true }
            }
            Some(&[.., e, f]) if is_type([e, f]) => Encoding::EXPLICIT,
            _ => Encoding::IMPLICIT,
        };
        let is_pixels = |head: &Head| {
            matches!(
                head.tag,
                tags::PIXEL_DATA | tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA
            )
        };
        let (_, stopped) = Elements::walk(bytes, start, encoding, is_pixels)?;
        let pixels = stopped.map(|(_, head)| PixelElement {
            kind: match head.tag {
                tags::FLOAT_PIXEL_DATA => PixelKind::Float32,
                tags::DOUBLE_FLOAT_PIXEL_DATA => PixelKind::Float64,
                _ => PixelKind::Integers,
            },
            vr: head.vr,
            start: head.value as u64,
            length: head.length.map(|length| length as u64),
        });
        let end = stopped.map_or(bytes.len(), |(at, _)| at);
        let path = path.to_owned();
        let file =
            Self { path, bytes: Vec::new(), start, end, encoding, syntax, pixels, file_bytes };
        Ok((file, unpacked))
    }

    /// The elements before the pixels.
    pub(super) fn elements(&self) -> Elements<'_> {
        let header = &self.bytes[..self.end];
        // `parse` has walked them before.
        Elements::walk(header, self.start, self.encoding, |_| false)
            .map(|(elements, _)| elements)
            .unwrap_or_default()
    }

    /// Lets go of the header. What is deflated stays whole.
    pub(super) fn into_source(self) -> PixelSource {
        let bytes = if self.syntax.deflated { Some(self.bytes) } else { None };
        PixelSource { path: self.path, bytes, file: Mutex::new(None) }
    }
}

fn inflate(packed: &[u8], limits: &Limits) -> Result<Vec<u8>, Stop> {
    let most = limits
        .max_bytes
        .min(limits.gzip_free_bytes.max((packed.len() as u64).saturating_mul(limits.gzip_ratio)));
    let mut bytes = Vec::new();
    let mut decoder = flate2::read::DeflateDecoder::new(packed).take(most + 1);
    decoder.read_to_end(&mut bytes).map_err(|_| Stop::Broken("damaged deflated data"))?;
    if bytes.len() as u64 > most {
        return Err(Stop::Broken("more deflated data than the limits allow"));
    }
    Ok(bytes)
}

/// Where pixels are read from, piece by piece and by several threads.
#[derive(Debug)]
pub(super) struct PixelSource {
    pub(super) path: PathBuf,
    bytes: Option<Vec<u8>>,
    file: Mutex<Option<File>>,
}

impl PixelSource {
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), bytes: None, file: Mutex::new(None) }
    }

    /// Appends `count` bytes from `start` on, as far as they are there.
    pub(super) fn read(
        &self,
        start: u64,
        count: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), VolumeError> {
        if let Some(bytes) = &self.bytes {
            let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len() - start);
            out.extend_from_slice(&bytes[start..start + count]);
            return Ok(());
        }
        self.read_file(start, count, out)
            .map(|_| ())
            .map_err(|source| VolumeError::Read { path: self.path.clone(), source })
    }

    /// Fills `place` from `start` on, as far as bytes are there, and says how far.
    pub(super) fn fill(&self, start: u64, place: &mut [u8]) -> Result<usize, VolumeError> {
        if let Some(bytes) = &self.bytes {
            let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
            let count = place.len().min(bytes.len() - start);
            place[..count].copy_from_slice(&bytes[start..start + count]);
            return Ok(count);
        }
        let fill = |file: &mut File| {
            file.seek(SeekFrom::Start(start))?;
            let mut filled = 0;
            while filled < place.len() {
                match file.read(&mut place[filled..]) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(filled)
        };
        self.with_file(fill).map_err(|source| VolumeError::Read { path: self.path.clone(), source })
    }

    fn read_file(&self, start: u64, count: u64, out: &mut Vec<u8>) -> io::Result<usize> {
        self.with_file(|file| {
            file.seek(SeekFrom::Start(start))?;
            file.take(count).read_to_end(out)
        })
    }

    fn with_file<T>(&self, work: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *file {
            Some(file) => work(file),
            none => work(none.insert(File::open(&self.path)?)),
        }
    }

    /// Lets go of the open file.
    pub(super) fn close(&self) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
