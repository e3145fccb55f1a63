//! From the pixel data of a frame to numbers in their stored type, lowest byte first.
//!
//! How packed frames are unpacked is left to `decoders.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use super::decoders::{Damage, unpack};
use super::file::{PixelKind, PixelSource};
use super::frames::{Instance, Lookup, PixelFormat};
use super::syntax::Packing;
use crate::error::VolumeError;
use crate::image::Fault;
use crate::read::Limits;

/// Fragments of one file: one or a few for each frame.
const MOST_FRAGMENTS: usize = 1 << 20;

/// The pixels of one file.
#[derive(Debug)]
pub(super) struct Pixels {
    source: PixelSource,
    format: PixelFormat,
    packing: Packing,
    big_endian: bool,
    words: bool,
    start: u64,
    frames: u64,
    /// Where the fragments of each frame are, once that was looked up.
    fragments: OnceLock<Vec<Vec<(u64, u64)>>>,
    offsets: Option<Vec<u64>>,
}

impl Pixels {
    /// Checks that the file can hold what it declares.
    pub(super) fn new(
        instance: &Instance,
        source: PixelSource,
        limits: &Limits,
    ) -> Result<Self, VolumeError> {
        let format = instance.format;
        let frames = instance.frames.len() as u64;
        let bits = frames * format.pixels() as u64 * u64::from(format.bits_allocated);
        let bytes = bits.div_ceil(8);
        let path = &instance.path;
        let packing = instance.syntax.packing;
        match instance.pixels.length {
            Some(found) if packing == Packing::None => {
                let there = instance.file_bytes.saturating_sub(instance.pixels.start);
                let found = if instance.syntax.deflated { found } else { found.min(there) };
                if found < bytes {
                    let part = "pixels";
                    return Err(VolumeError::Truncated {
                        path: path.clone(),
                        part,
                        expected: bytes,
                        found,
                    });
                }
            }
            None if packing != Packing::None => {
                let limit = limits
                    .gzip_free_bytes
                    .max(instance.file_bytes.saturating_mul(limits.gzip_ratio));
                if bytes > limit {
                    let reason = "the limit for packed pixels of a file of this size";
                    return Err(VolumeError::TooLarge {
                        path: path.clone(),
                        reason,
                        limit,
                        declared: bytes,
                    });
                }
            }
            found => {
                let found = if found.is_some() { "in one piece" } else { "in fragments" };
                let expected = format!("as {} pixels are", packing.name());
                return Err(Fault::new("the pixel data", expected, found).at(path));
            }
        }
        if packing != Packing::None && instance.pixels.kind != PixelKind::Integers {
            return Err(Fault::new(
                "the pixel data",
                "integers where they are packed",
                "real numbers",
            )
            .at(path));
        }
        Ok(Self {
            source,
            format,
            packing,
            big_endian: instance.big_endian,
            words: instance.pixels.vr == Some(*b"OW"),
            start: instance.pixels.start,
            frames,
            fragments: OnceLock::new(),
            offsets: instance.offsets.clone(),
        })
    }

    pub(super) fn close(&self) {
        self.source.close();
    }

    /// Bytes that the numbers of a frame take: one for each bit, where pixels are bits.
    pub(super) fn frame_bytes(&self) -> usize {
        self.format.pixels() * usize::from(self.format.bits_allocated.max(8)) / 8
    }

    /// The numbers of a frame as they are stored, lowest byte first, into `out`, which has
    /// [`Self::frame_bytes`].
    pub(super) fn frame(&self, index: u64, out: &mut [u8]) -> Result<(), VolumeError> {
        let format = self.format;
        let bytes = out.len() as u64;
        if self.packing == Packing::None && format.bits_allocated == 1 {
            return self.bits(index, out);
        }
        if self.packing == Packing::None {
            let found = self.source.fill(self.start + index * bytes, out)?;
            self.check(found as u64, bytes)?;
            if self.big_endian {
                // Bytes of eight bits may be written as words, PS3.5, section 8.1.1.
                let bytes_per_pixel = usize::from(format.bits_allocated) / 8;
                let size = if bytes_per_pixel == 1 && self.words { 2 } else { bytes_per_pixel };
                out.chunks_exact_mut(size).for_each(<[u8]>::reverse);
            }
        } else {
            let packed = self.packed(index)?;
            let decoded = catch_unwind(AssertUnwindSafe(|| unpack(&packed, self.packing, &format)));
            match decoded {
                Ok(Ok(bytes)) if bytes.len() == out.len() => out.copy_from_slice(&bytes),
                Ok(Ok(_)) => return Err(self.damaged("another number of pixels")),
                Ok(Err(Damage::Broken(reason))) => return Err(self.damaged(&reason)),
                Ok(Err(Damage::Foreign(found))) => {
                    let expected = "one that can be unpacked";
                    return Err(Fault::new("the packing", expected, found).at(&self.source.path));
                }
                Err(_) => return Err(self.damaged("the decoder gave up")),
            }
        }
        keep_stored_bits(out, &format);
        Ok(())
    }

    fn damaged(&self, reason: &str) -> VolumeError {
        let source = std::io::Error::other(reason.to_owned());
        VolumeError::Packed { path: self.source.path.clone(), coding: self.packing.name(), source }
    }

    fn check(&self, found: u64, expected: u64) -> Result<(), VolumeError> {
        if found == expected {
            return Ok(());
        }
        let path = self.source.path.clone();
        Err(VolumeError::Truncated { path, part: "pixels", expected, found })
    }

    /// Pixels of one bit follow each other across bytes and frames, lowest bit first.
    fn bits(&self, index: u64, out: &mut [u8]) -> Result<(), VolumeError> {
        let pixels = self.format.pixels() as u64;
        let (first, last) = (index * pixels, (index + 1) * pixels);
        let start = first / 16 * 2; // a whole word, for the sake of big endian
        let end = last.div_ceil(16) * 2;
        let mut packed = Vec::new();
        self.source.read(self.start + start, end - start, &mut packed)?;
        let needed = last.div_ceil(8) - start;
        self.check((packed.len() as u64).min(needed), needed)?;
        if self.big_endian && self.words {
            packed.chunks_exact_mut(2).for_each(<[u8]>::reverse);
        }
        let bit = |bit: u64| {
            let byte = packed.get((bit / 8 - start) as usize).copied().unwrap_or(0);
            byte >> (bit % 8) & 1
        };
        for (place, at) in out.iter_mut().zip(first..last) {
            *place = bit(at);
        }
        Ok(())
    }

    /// The packed bytes of a frame.
    fn packed(&self, index: u64) -> Result<Vec<u8>, VolumeError> {
        let fragments = if let Some(fragments) = self.fragments.get() {
            fragments
        } else {
            let found = self.find_fragments()?;
            self.fragments.get_or_init(|| found)
        };
        let pieces = fragments.get(index as usize);
        let pieces = pieces.ok_or_else(|| self.damaged("a frame without data"))?;
        let mut packed = Vec::new();
        for &(start, length) in pieces {
            let before = packed.len() as u64;
            self.source.read(start, length, &mut packed)?;
            self.check(packed.len() as u64 - before, length)?;
        }
        Ok(packed)
    }

    /// Which fragments make which frame. PS3.5, annex A.4.
    fn find_fragments(&self) -> Result<Vec<Vec<(u64, u64)>>, VolumeError> {
        let mut items: Vec<(u64, u64)> = Vec::new();
        let mut at = self.start;
        let mut head = Vec::with_capacity(8);
        loop {
            head.clear();
            self.source.read(at, 8, &mut head)?;
            let Some(&[a, b, c, d, e, f, g, h]) = head.first_chunk::<8>() else { break };
            // Encapsulated pixels are always little endian.
            if [a, b, c, d] != [0xfe, 0xff, 0x00, 0xe0] {
                break;
            }
            let length = u64::from(u32::from_le_bytes([e, f, g, h]));
            if items.len() == MOST_FRAGMENTS {
                return Err(self.damaged("fragments without end"));
            }
            items.push((at + 8, length));
            at += 8 + length;
        }
        if items.is_empty() {
            return Err(self.damaged("no fragments"));
        }
        let (table_start, table_length) = items.remove(0);
        let frames = self.frames as usize;
        if frames == 1 {
            return Ok(vec![items]);
        }
        if items.len() == frames {
            return Ok(items.into_iter().map(|item| vec![item]).collect());
        }
        let offsets = if let Some(offsets) = self.offsets.clone() {
            offsets
        } else {
            let mut table = Vec::new();
            let most = (frames as u64 * 4).min(table_length);
            self.source.read(table_start, most, &mut table)?;
            table.as_chunks().0.iter().map(|&n| u32::from_le_bytes(n).into()).collect()
        };
        let Some(first) =
            items.first().map(|&(start, _)| start - 8).filter(|_| offsets.len() == frames)
        else {
            return Err(self.damaged("fragments that nothing assigns to frames"));
        };
        let mut by_frame = vec![Vec::new(); frames];
        for (start, length) in items {
            let offset = start - 8 - first;
            let frame = offsets.partition_point(|&begin| begin <= offset).saturating_sub(1);
            by_frame[frame].push((start, length));
        }
        Ok(by_frame)
    }
}

/// Masks what is beside the stored bits (overlays of old), and spreads the sign.
fn keep_stored_bits(bytes: &mut [u8], format: &PixelFormat) {
    let (stored, allocated) = (u32::from(format.bits_stored), u32::from(format.bits_allocated));
    if format.kind != PixelKind::Integers || stored == allocated || allocated == 1 {
        return;
    }
    let shift = u32::from(format.high_bit) + 1 - stored;
    // Up until the highest stored bit is the highest of 32, and down with or without its sign.
    let up = 32 - stored;
    let kept = |value: u32| {
        let high = (value >> shift) << up;
        if format.signed { ((high as i32) >> up) as u32 } else { high >> up }
    };
    match allocated {
        8 => bytes.iter_mut().for_each(|byte| *byte = kept((*byte).into()) as u8),
        16 => {
            for pair in bytes.as_chunks_mut::<2>().0 {
                *pair = (kept(u16::from_le_bytes(*pair).into()) as u16).to_le_bytes();
            }
        }
        _ => {
            for four in bytes.as_chunks_mut::<4>().0 {
                *four = kept(u32::from_le_bytes(*four)).to_le_bytes();
            }
        }
    }
}

/// The values of a table for stored numbers of `format`, as `uint16`, into `out`.
pub(super) fn look_up(stored: &[u8], format: &PixelFormat, lookup: &Lookup, out: &mut [u8]) {
    let last = lookup.values.len() as i64 - 1;
    let value = |number: i64| lookup.values[(number - lookup.first).clamp(0, last) as usize];
    let mut places = out.as_chunks_mut().0.iter_mut();
    let mut push = |number: i64| {
        if let Some(place) = places.next() {
            *place = value(number).to_le_bytes();
        }
    };
    match (format.bits_allocated, format.signed) {
        (0..=8, false) => stored.iter().for_each(|&byte| push(byte.into())),
        (0..=8, true) => stored.iter().for_each(|&byte| push((byte as i8).into())),
        (9..=16, signed) => {
            for &pair in stored.as_chunks().0 {
                let number = u16::from_le_bytes(pair);
                push(if signed { (number as i16).into() } else { number.into() });
            }
        }
        (_, signed) => {
            for &four in stored.as_chunks().0 {
                let number = u32::from_le_bytes(four);
                push(if signed { (number as i32).into() } else { number.into() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(allocated: u16, stored: u16, high_bit: u16, signed: bool) -> PixelFormat {
        PixelFormat {
            rows: 1,
            columns: 1,
            kind: PixelKind::Integers,
            bits_allocated: allocated,
            bits_stored: stored,
            high_bit,
            signed,
            inverted: false,
        }
    }

    #[test]
    fn what_lies_beside_the_stored_bits_is_dropped() {
        let kept = |number: u16, format| {
            let mut bytes = number.to_le_bytes();
            keep_stored_bits(&mut bytes, &format);
            i16::from_le_bytes(bytes)
        };
        assert_eq!(kept(0xf123, format(16, 12, 11, false)), 0x123);
        assert_eq!(kept(0x0fff, format(16, 12, 11, true)), -1);
        assert_eq!(kept(0x07ff, format(16, 12, 11, true)), 0x7ff);
        assert_eq!(kept(0x1230, format(16, 12, 15, false)), 0x123);
        assert_eq!(kept(0x8000, format(16, 16, 15, true)), i16::MIN);
    }

    #[test]
    fn a_table_holds_its_ends_for_what_is_outside() {
        let lookup = Lookup { first: -1, values: vec![10, 20, 30] };
        let stored: Vec<u8> = [-5_i16, -1, 0, 1, 9].iter().flat_map(|n| n.to_le_bytes()).collect();
        let mut values = [0; 10];
        look_up(&stored, &format(16, 16, 15, true), &lookup, &mut values);
        let expected: Vec<u8> =
            [10_u16, 10, 20, 30, 30].iter().flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(values, *expected);
    }
}
