//! A file to read from front to back, unzipped on the way where it is gzip.
//!
//! What the bytes mean is left to the formats. Whether a file is gzip is seen from its
//! first bytes, never from its name, and its checksum is always verified.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;

use crate::error::VolumeError;
use crate::read::Limits;

/// Bytes asked from the system, and handed on, at a time.
pub(crate) const CHUNK_BYTES: usize = 128 * 1024;

/// No deflate stream grows by more than this factor.
const DEFLATE_RATIO: u64 = 1032;

pub(crate) struct Input {
    path: PathBuf,
    file_bytes: u64,
    /// Unzipped bytes that were read or skipped.
    position: u64,
    bytes: Bytes,
}

enum Bytes {
    Plain(BufReader<File>),
    Gzip(Box<Gunzip<BufReader<File>>>),
}

impl Input {
    /// Opens a file.
    ///
    /// With `plain_bytes`, a file of just this length that does not end in `.gz` is taken
    /// as it is: bare voxels may start with any bytes, those of gzip too.
    pub(crate) fn open(path: &Path, plain_bytes: Option<u64>) -> Result<Self, VolumeError> {
        let fail = |source| VolumeError::Open { path: path.to_owned(), source };
        // Asked before opening: opening a pipe would wait for its writer.
        let kind = std::fs::metadata(path).map_err(fail)?;
        if !kind.is_file() {
            let found = if kind.is_dir() { "a folder" } else { "a device or pipe" };
            return Err(VolumeError::NotAFile { path: path.to_owned(), found });
        }
        let file = File::open(path).map_err(fail)?;
        let file_bytes = file.metadata().map_err(fail)?.len();
        let mut reader = BufReader::with_capacity(CHUNK_BYTES, file);
        let start = reader
            .fill_buf()
            .map_err(|source| VolumeError::Read { path: path.to_owned(), source })?;
        let is_gzip = start.starts_with(&[0x1f, 0x8b]) && plain_bytes != Some(file_bytes);
        let bytes =
            if is_gzip { Bytes::Gzip(Box::new(Gunzip::new(reader))) } else { Bytes::Plain(reader) };
        Ok(Self { path: path.to_owned(), file_bytes, position: 0, bytes })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a declared size that the file cannot hold, or should not.
    pub(crate) fn check_declared(
        &self,
        start: u64,
        voxel_bytes: u64,
        limits: &Limits,
    ) -> Result<(), VolumeError> {
        let too_large = |reason, limit| VolumeError::TooLarge {
            path: self.path.clone(),
            reason,
            limit,
            declared: voxel_bytes,
        };
        let declared = start.saturating_add(voxel_bytes);
        match self.bytes {
            Bytes::Plain(_) if declared > self.file_bytes => {
                Err(self.truncated(start, voxel_bytes, self.file_bytes))
            }
            Bytes::Plain(_) => Ok(()),
            Bytes::Gzip(_) => {
                let possible = self.file_bytes.saturating_mul(DEFLATE_RATIO);
                let suspicious =
                    self.file_bytes.saturating_mul(limits.gzip_ratio).max(limits.gzip_free_bytes);
                if declared > possible {
                    Err(too_large("what gzip data of this size can hold", possible))
                } else if declared > suspicious {
                    Err(too_large("the limit for gzip data of this size", suspicious))
                } else {
                    Ok(())
                }
            }
        }
    }

    /// The error for voxels that start at `start` and end too soon, at `end`.
    pub(crate) fn truncated(&self, start: u64, voxel_bytes: u64, end: u64) -> VolumeError {
        VolumeError::Truncated {
            path: self.path.clone(),
            part: "voxels",
            expected: voxel_bytes,
            found: end.saturating_sub(start),
        }
    }

    /// Unzipped bytes that were read or skipped.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Fills `buffer` as far as the file goes, and says how far.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, VolumeError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let read = match &mut self.bytes {
                Bytes::Plain(reader) => reader.read(&mut buffer[filled..]),
                Bytes::Gzip(reader) => reader.read(&mut buffer[filled..]),
            };
            match read {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.position += filled as u64;
        Ok(filled)
    }

    /// Goes on to byte `target`, or to the end if that comes first.
    pub(crate) fn skip_to(&mut self, target: u64) -> Result<(), VolumeError> {
        let distance = target.saturating_sub(self.position);
        if let Bytes::Plain(reader) = &mut self.bytes
            && let Ok(offset) = i64::try_from(distance)
        {
            let distance = distance.min(self.file_bytes.saturating_sub(self.position));
            reader
                .seek_relative(offset.min(distance as i64))
                .map_err(|source| VolumeError::Read { path: self.path.clone(), source })?;
            self.position += distance;
            return Ok(());
        }
        let mut buffer = vec![0; CHUNK_BYTES];
        while self.position < target {
            let wanted = buffer.len().min((target - self.position) as usize);
            if self.fill(&mut buffer[..wanted])? < wanted {
                break;
            }
        }
        Ok(())
    }

    /// Reads gzip data to its end, where its checksum is, but no more than `most` bytes of it.
    pub(crate) fn finish(&mut self, most: u64) -> Result<(), VolumeError> {
        if matches!(self.bytes, Bytes::Plain(_)) {
            return Ok(());
        }
        let start = self.position;
        let mut buffer = vec![0; CHUNK_BYTES];
        while self.fill(&mut buffer)? > 0 {
            let declared = self.position - start;
            if declared > most {
                let reason = "the limit for what follows the voxels";
                return Err(VolumeError::TooLarge {
                    path: self.path.clone(),
                    reason,
                    limit: most,
                    declared,
                });
            }
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> VolumeError {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        let path = self.path.clone();
        let damaged = matches!(source.kind(), InvalidData | InvalidInput | UnexpectedEof);
        match self.bytes {
            Bytes::Gzip(_) if damaged => VolumeError::Gzip { path, source },
            _ => VolumeError::Read { path, source },
        }
    }
}

/// Gzip data: one member after another, with zeros allowed behind the last.
struct Gunzip<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Gunzip<R> {
    fn new(reader: R) -> Self {
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

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Input::open(folder.path(), None), Err(VolumeError::NotAFile { .. })));
    }
}
