//! TIFF pages with a palette, for a decoder that takes none: read as if their places in it were
//! gray.
//!
//! Of each page the interpretation is looked up, and where it says "palette" the file is read as
//! if it said "black is zero". Everything else is left to the decoder.

use std::io::{self, Read, Seek, SeekFrom};

/// Pages that are looked at; more are for the decoder to refuse.
const MOST_PAGES: usize = 1 << 16;

/// PhotometricInterpretation.
const INTERPRETATION: u64 = 262;
const BLACK_IS_ZERO: u8 = 1;
const PALETTE: u64 = 3;

/// A file of which some bytes are others.
pub(super) struct Patched<R> {
    inner: R,
    /// Places whose byte is [`BLACK_IS_ZERO`] instead, in order.
    places: Vec<u64>,
    at: u64,
}

impl<R: Read + Seek> Patched<R> {
    /// `inner` with the pages' palettes told as gray.
    pub(super) fn palettes_as_gray(mut inner: R) -> io::Result<Self> {
        // What is damaged is for the decoder to say.
        let mut places = palettes(&mut inner).unwrap_or_default();
        places.sort_unstable();
        inner.seek(SeekFrom::Start(0))?;
        Ok(Self { inner, places, at: 0 })
    }

    /// Whether any page has a palette.
    pub(super) fn has_palette(&self) -> bool {
        !self.places.is_empty()
    }
}

impl<R: Read> Read for Patched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let from = self.places.partition_point(|&place| place < self.at);
        for &place in &self.places[from..] {
            let Some(byte) = buffer[..count].get_mut((place - self.at) as usize) else { break };
            *byte = BLACK_IS_ZERO;
        }
        self.at += count as u64;
        Ok(count)
    }
}

impl<R: Seek> Seek for Patched<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.inner.seek(to)?;
        Ok(self.at)
    }
}

/// Where pages say that they have a palette: the byte that tells it.
fn palettes(file: &mut (impl Read + Seek)) -> io::Result<Vec<u64>> {
    let mut start = [0; 4];
    file.read_exact(&mut start)?;
    let big_endian = start[0] == b'M';
    let big = matches!(start, [b'I', b'I', 43, 0] | [b'M', b'M', 0, 43]);
    // Bytes of an offset, of the count of entries, and of an entry; where in it its value is.
    let (offset, count, entry, value) = if big { (8, 8, 20, 12) } else { (4, 2, 12, 8) };
    let number = |file: &mut dyn ReadSeek, at: u64, bytes: usize| -> io::Result<u64> {
        let mut buffer = [0; 8];
        file.seek(SeekFrom::Start(at))?;
        let bytes = &mut buffer[..bytes];
        file.read_exact(bytes)?;
        if !big_endian {
            bytes.reverse();
        }
        Ok(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    };
    let mut page = number(file, if big { 8 } else { 4 }, offset)?;
    let mut places = Vec::new();
    for _ in 0..MOST_PAGES {
        if page == 0 {
            break;
        }
        let entries = number(file, page, count)?.min(u64::from(u16::MAX));
        let first = page.saturating_add(count as u64);
        for index in 0..entries {
            let at = first.saturating_add(index * entry);
            if number(file, at, 2)? == INTERPRETATION
                && number(file, at.saturating_add(value), 2)? == PALETTE
            {
                places.push(at + value + u64::from(big_endian));
            }
        }
        page = number(file, first.saturating_add(entries * entry), offset)?;
    }
    Ok(places)
}

trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}
