//! Decoders that know when they are at an end: flate2's own take what is cut off for whole,
//! or stop after the first member.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

/// Zlib data, to be read to its end: flate2 itself takes a stream that is cut off for whole.
pub(crate) struct Inflate<R> {
    reader: R,
    state: Decompress,
    ended: bool,
}

impl<R: BufRead> Inflate<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, state: Decompress::new(true), ended: false }
    }
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !buffer.is_empty() {
            let input = self.reader.fill_buf()?;
            let at_end = input.is_empty();
            let (taken, given) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(input, buffer, FlushDecompress::None)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let taken = (self.state.total_in() - taken) as usize;
            let given = (self.state.total_out() - given) as usize;
            self.reader.consume(taken);
            self.ended = status == Status::StreamEnd;
            if given > 0 {
                return Ok(given);
            }
            if !self.ended && at_end {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream is cut off"));
            }
        }
        Ok(0)
    }
}

/// Gzip data: one member after another, with zeros allowed behind the last.
pub(crate) struct Gunzip<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Gunzip<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { member: Some(GzDecoder::new(reader)) }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.member = match self.member.take() {
                Some(member) => next_member(member.into_inner())?,
                None => None,
            };
        }
        Ok(0)
    }
}

fn next_member<R: BufRead>(mut reader: R) -> io::Result<Option<GzDecoder<R>>> {
    loop {
        let rest = reader.fill_buf()?;
        let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
        match rest.get(zeros) {
            Some(0x1f) => {
                reader.consume(zeros);
                return Ok(Some(GzDecoder::new(reader)));
            }
            Some(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "no gzip member follows the last",
                ));
            }
            None if zeros == 0 => return Ok(None),
            None => reader.consume(zeros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Gunzip::new(bytes).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn members_follow_each_other_and_zeros_may_end_them() {
        let mut bytes = gzip(b"one, ");
        bytes.extend(gzip(b""));
        bytes.extend(gzip(b"two"));
        bytes.extend([0; 1000]);
        assert_eq!(gunzip(&bytes).unwrap(), b"one, two");
    }

    #[test]
    fn zlib_data_is_read_to_its_checksum() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"voxels voxels voxels").unwrap();
        let whole = encoder.finish().unwrap();
        let inflate = |bytes: &[u8]| {
            let mut out = Vec::new();
            Inflate::new(bytes).read_to_end(&mut out).map(|_| out)
        };
        assert_eq!(inflate(&whole).unwrap(), b"voxels voxels voxels");
        for end in 0..whole.len() {
            assert!(inflate(&whole[..end]).is_err(), "cut off at byte {end}");
        }
        let mut checksum = whole;
        *checksum.last_mut().unwrap() ^= 1;
        assert!(inflate(&checksum).is_err());
    }

    #[test]
    fn damage_is_noticed() {
        let whole = gzip(b"voxels voxels voxels");
        let mut checksum = whole.clone();
        let at = whole.len() - 6;
        checksum[at] ^= 1;
        assert!(gunzip(&checksum).is_err());
        for end in 1..whole.len() {
            assert!(gunzip(&whole[..end]).is_err(), "cut off at byte {end}");
        }
        let mut behind = whole;
        behind.extend(b"garbage");
        assert!(gunzip(&behind).is_err());
    }
}
