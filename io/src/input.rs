//! A file to read from front to back, unpacked on the way where it is packed.
//!
//! What the bytes mean is left to the formats. Whether a whole file is gzip is seen from its
//! first bytes, never from its name; a format that packs its voxels alone says how. Every
//! checksum is verified.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bzip2::bufread::MultiBzDecoder;

use crate::error::VolumeError;
use crate::read::Limits;
use crate::text::{Hex, Numbers};
use crate::unpack::{Gunzip, Inflate};
use crate::voxels::StoredType;

/// Bytes asked from the system, and handed on, at a time.
pub(crate) const CHUNK_BYTES: usize = 128 * 1024;

/// No deflate stream grows by more than this factor.
const DEFLATE_RATIO: u64 = 1032;

/// Longest line of a header.
const LONGEST_LINE: u64 = 64 * 1024;

/// How voxels stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As they are.
    Plain,
    Gzip,
    Zlib,
    Bzip2,
    /// Numbers in decimal, with white space or commas between them.
    Text(StoredType),
    /// Two hexadecimal digits per byte.
    Hex,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Bzip2 => "bzip2",
            Self::Text(_) => "text",
            Self::Hex => "hexadecimal",
        }
    }
}

pub(crate) struct Input {
    path: PathBuf,
    /// What the file holds for this reader: all of it, or what is left behind a header.
    file_bytes: u64,
    /// Unpacked bytes that were read or skipped.
    position: u64,
    bytes: Bytes,
}

enum Bytes {
    Plain(BufReader<File>),
    Packed(Coding, Box<dyn Read>),
}

impl Input {
    /// Opens a file, gzip or not.
    ///
    /// With `plain_bytes`, a file of just this length that does not end in `.gz` is taken
    /// as it is: bare voxels may start with any bytes, those of gzip too.
    pub(crate) fn open(path: &Path, plain_bytes: Option<u64>) -> Result<Self, VolumeError> {
        let mut input = Self::open_plain(path)?;
        let is_gzip =
            plain_bytes != Some(input.file_bytes) && input.peek()?.starts_with(GZIP_MAGIC);
        if is_gzip { input.decoded(Coding::Gzip, None) } else { Ok(input) }
    }

    /// Opens a file whose bytes are wanted as they are.
    pub(crate) fn open_plain(path: &Path) -> Result<Self, VolumeError> {
        let fail = |source| VolumeError::Open { path: path.to_owned(), source };
        // Asked before opening: opening a pipe would wait for its writer.
        let kind = std::fs::metadata(path).map_err(fail)?;
        if let Some(found) = no_file(&kind) {
            return Err(VolumeError::NotAFile { path: path.to_owned(), found });
        }
        let file = File::open(path).map_err(fail)?;
        let file_bytes = file.metadata().map_err(fail)?.len();
        let reader = BufReader::with_capacity(CHUNK_BYTES, file);
        let bytes = Bytes::Plain(reader);
        Ok(Self { path: path.to_owned(), file_bytes, position: 0, bytes })
    }

    /// What follows, taken as packed by `coding` and counted from 0; `packed_bytes` of it
    /// where the header says how many belong to it.
    pub(crate) fn decoded(
        self,
        coding: Coding,
        packed_bytes: Option<u64>,
    ) -> Result<Self, VolumeError> {
        let Self { path, file_bytes, position, bytes } = self;
        let Bytes::Plain(reader) = bytes else {
            let found = "packed data inside packed data".to_owned();
            return Err(VolumeError::Format { path, found });
        };
        let rest = file_bytes.saturating_sub(position);
        let file_bytes = packed_bytes.map_or(rest, |packed| packed.min(rest));
        let packed: Box<dyn Read> = match coding {
            Coding::Plain => {
                return Ok(Self { path, file_bytes, position: 0, bytes: Bytes::Plain(reader) });
            }
            Coding::Gzip => Box::new(Gunzip::new(reader.take(file_bytes))),
            Coding::Zlib => Box::new(Inflate::new(reader.take(file_bytes))),
            Coding::Bzip2 => Box::new(MultiBzDecoder::new(reader.take(file_bytes))),
            Coding::Text(stored) => Box::new(Numbers::new(reader.take(file_bytes), stored)),
            Coding::Hex => Box::new(Hex::new(reader.take(file_bytes))),
        };
        Ok(Self { path, file_bytes, position: 0, bytes: Bytes::Packed(coding, packed) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file, or of what is left of it behind a header; packed, if it is.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Some of the bytes that come next in a file that is not packed.
    pub(crate) fn peek(&mut self) -> Result<&[u8], VolumeError> {
        match &mut self.bytes {
            Bytes::Plain(reader) => reader
                .fill_buf()
                .map_err(|source| VolumeError::Read { path: self.path.clone(), source }),
            Bytes::Packed(..) => Ok(&[]),
        }
    }

    /// The next line of a file that is not packed, without its end; `None` behind the last.
    pub(crate) fn line(&mut self) -> Result<Option<Vec<u8>>, VolumeError> {
        let mut line = Vec::new();
        let Bytes::Plain(reader) = &mut self.bytes else { return Ok(None) };
        let read = reader.take(LONGEST_LINE).read_until(b'\n', &mut line);
        let count = read.map_err(|source| VolumeError::Read { path: self.path.clone(), source })?;
        self.position += count as u64;
        if line.pop_if(|last| *last == b'\n').is_none() && count as u64 == LONGEST_LINE {
            return Err(VolumeError::Header {
                path: self.path.clone(),
                field: "each line of the header".to_owned(),
                expected: format!("shorter than {LONGEST_LINE} bytes"),
                found: "a longer one".to_owned(),
            });
        }
        line.pop_if(|last| *last == b'\r');
        Ok((count > 0).then_some(line))
    }

    /// Refuses a declared size that the file cannot hold, or should not.
    pub(crate) fn check_declared(
        &self,
        start: u64,
        voxel_bytes: u64,
        limits: &Limits,
    ) -> Result<(), VolumeError> {
        let coding = match self.bytes {
            Bytes::Plain(_) => Coding::Plain,
            Bytes::Packed(coding, _) => coding,
        };
        check_declared(&self.path, coding, self.file_bytes, start, voxel_bytes, limits)
    }

    /// The error for voxels that start at `start` and end too soon, at `end`.
    pub(crate) fn truncated(&self, start: u64, voxel_bytes: u64, end: u64) -> VolumeError {
        truncated(&self.path, start, voxel_bytes, end)
    }

    /// Unpacked bytes that were read or skipped.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Fills `buffer` as far as the file goes, and says how far.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, VolumeError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let read = match &mut self.bytes {
                Bytes::Plain(reader) => reader.read(&mut buffer[filled..]),
                Bytes::Packed(_, reader) => reader.read(&mut buffer[filled..]),
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

    /// Reads packed data to its end, where its checksum is, but no more than `most` bytes of it.
    pub(crate) fn finish(&mut self, most: u64) -> Result<(), VolumeError> {
        if let Bytes::Plain(_) | Bytes::Packed(Coding::Text(_) | Coding::Hex, _) = self.bytes {
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
            Bytes::Packed(coding, _) if damaged => {
                VolumeError::Packed { path, coding: coding.name(), source }
            }
            _ => VolumeError::Read { path, source },
        }
    }
}

pub(crate) const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// What else than a file this is.
pub(crate) fn no_file(kind: &std::fs::Metadata) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a folder"),
        _ => Some("a device or pipe"),
    }
}

/// Refuses voxels of `voxel_bytes` from byte `start` of a file that cannot hold them, or
/// should not.
pub(crate) fn check_declared(
    path: &Path,
    coding: Coding,
    file_bytes: u64,
    start: u64,
    voxel_bytes: u64,
    limits: &Limits,
) -> Result<(), VolumeError> {
    let too_large = |reason, limit| {
        Err(VolumeError::TooLarge { path: path.to_owned(), reason, limit, declared: voxel_bytes })
    };
    let declared = start.saturating_add(voxel_bytes);
    let possible = match coding {
        Coding::Plain => {
            if declared > file_bytes {
                return Err(truncated(path, start, voxel_bytes, file_bytes));
            }
            return Ok(());
        }
        Coding::Gzip | Coding::Zlib => file_bytes.saturating_mul(DEFLATE_RATIO),
        Coding::Bzip2 => u64::MAX,
        // A digit and a space for each number, but the last needs no space.
        Coding::Text(stored) => {
            (file_bytes / 2 + file_bytes % 2).saturating_mul(stored.bytes() as u64)
        }
        Coding::Hex => file_bytes / 2,
    };
    let suspicious = file_bytes.saturating_mul(limits.gzip_ratio).max(limits.gzip_free_bytes);
    if declared > possible {
        too_large("what packed data of this size can hold", possible)
    } else if declared > suspicious {
        too_large("the limit for packed data of this size", suspicious)
    } else {
        Ok(())
    }
}

fn truncated(path: &Path, start: u64, voxel_bytes: u64, end: u64) -> VolumeError {
    VolumeError::Truncated {
        path: path.to_owned(),
        part: "voxels",
        expected: voxel_bytes,
        found: end.saturating_sub(start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Input::open(folder.path(), None), Err(VolumeError::NotAFile { .. })));
    }
}
