//! How records lie in a journal's file.
//!
//! ```text
//! file    = "LAMINAJ\n"  version: u32  record*
//! record  = length: u64  kind: u8  crc: u32  payload: [u8; length]  check: [u8; 16]
//! ```
//!
//! Numbers have their lowest byte first. `crc` is the CRC-32 of length and kind, so that a length
//! can be believed. `check` is the beginning of SHA-256 over the check before, length, kind and
//! payload (before the first record: over the file's head), so that a record can neither be
//! changed nor left out, moved or exchanged without a trace.

use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::Crc;
use sha2::{Digest, Sha256};

/// What the file begins with.
const MAGIC: [u8; 8] = *b"LAMINAJ\n";

/// The version that is written and read.
pub(crate) const VERSION: u32 = 1;

/// Bytes before the first record.
pub(crate) const HEAD_BYTES: u64 = 12;

const FRAME_BYTES: u64 = 13;
const CHECK_BYTES: u64 = 16;

/// Links a record to all before it.
pub(crate) type Check = [u8; CHECK_BYTES as usize];

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The labels at the beginning.
    Base,
    /// A change.
    Step,
    /// A change was undone.
    Undo,
    /// A change was done again.
    Redo,
    /// Work was finished.
    End,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Base, Self::Step, Self::Undo, Self::Redo, Self::End];

    fn code(self) -> u8 {
        self as u8 + 1
    }
}

/// The head of a file, and the check that the first record goes on from.
pub(crate) fn head() -> (Vec<u8>, Check) {
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    let check = shortened(Sha256::digest(&head).as_slice());
    (head, check)
}

/// A whole record, and its check.
pub(crate) fn frame(kind: Kind, payload: &[u8], before: &Check) -> (Vec<u8>, Check) {
    let mut bytes = Vec::with_capacity(payload.len() + (FRAME_BYTES + CHECK_BYTES) as usize);
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.push(kind.code());
    let crc = crc_of(&bytes);
    let check = check_of(before, &bytes, payload);
    bytes.extend(crc.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.extend(check);
    (bytes, check)
}

fn crc_of(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn check_of(before: &Check, length_and_kind: &[u8], payload: &[u8]) -> Check {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(length_and_kind);
    hash.update(payload);
    shortened(hash.finalize().as_slice())
}

fn shortened(digest: &[u8]) -> Check {
    digest.first_chunk().copied().unwrap_or_default() // SHA-256 has more bytes than that
}

/// A record that was read whole.
pub(crate) struct Record {
    pub kind: Kind,
    pub payload: Vec<u8>,
    /// Where its payload begins in the file.
    pub payload_at: u64,
    /// Where it begins.
    pub at: u64,
}

/// What comes next in a file.
pub(crate) enum Next {
    Record(Record),
    /// The file ends where a record ends.
    End,
    /// The file ends within a record.
    Cut {
        what: String,
    },
    /// Something else than a record is there.
    Damaged {
        expected: String,
        found: String,
    },
}

/// Why a file is no journal at all.
pub(crate) enum NoJournal {
    Io(io::Error),
    Kind,
    Version(u32),
}

/// Reads records one after the other, and checks each.
pub(crate) struct FrameReader {
    file: BufReader<File>,
    /// Size of the file when reading began.
    pub len: u64,
    /// Where the next record begins.
    pub at: u64,
    /// Check of the last record.
    pub check: Check,
}

impl FrameReader {
    pub(crate) fn new(file: File) -> Result<Self, NoJournal> {
        let len = file.metadata().map_err(NoJournal::Io)?.len();
        let mut file = BufReader::with_capacity(64 * 1024, file);
        let mut found = [0; HEAD_BYTES as usize];
        if len < HEAD_BYTES {
            return Err(NoJournal::Kind);
        }
        file.read_exact(&mut found).map_err(NoJournal::Io)?;
        let (magic, version) = found.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(NoJournal::Kind);
        }
        let version = version.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte));
        if version != VERSION {
            return Err(NoJournal::Version(version));
        }
        let (_, check) = head();
        Ok(Self { file, len, at: HEAD_BYTES, check })
    }

    /// The next record. After anything else than a record there is nothing more to be read.
    pub(crate) fn next(&mut self) -> io::Result<Next> {
        let rest = self.len - self.at;
        if rest == 0 {
            return Ok(Next::End);
        }
        if rest < FRAME_BYTES {
            return Ok(Next::Cut { what: format!("the first {rest} bytes of a record") });
        }
        let mut frame = [0; FRAME_BYTES as usize];
        self.file.read_exact(&mut frame)?;
        let (length_and_kind, crc) = frame.split_at(9);
        let [a, b, c, d, e, f, g, h, code] = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|n| frame[n]);
        let length = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        if crc_of(length_and_kind).to_le_bytes() != *crc {
            // What a disk leaves of a file that grew but was not written.
            return Ok(if frame.iter().all(|&byte| byte == 0) && self.rest_is_zero()? {
                Next::Cut { what: format!("{rest} bytes that were never written") }
            } else {
                let (expected, found) = ("the head of a record", "one that fails its checksum");
                Next::Damaged { expected: expected.to_owned(), found: found.to_owned() }
            });
        }
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.code() == code) else {
            let expected = "a kind of record from 1 to 5".to_owned();
            return Ok(Next::Damaged { expected, found: code.to_string() });
        };
        let whole = length.checked_add(FRAME_BYTES + CHECK_BYTES);
        let Some(whole) = whole.filter(|&whole| whole <= rest) else {
            let what = format!("{rest} bytes of a record of {length} and its frame");
            return Ok(Next::Cut { what });
        };
        let mut payload = vec![0; length as usize]; // no longer than the file
        self.file.read_exact(&mut payload)?;
        let mut found = Check::default();
        self.file.read_exact(&mut found)?;
        let check = check_of(&self.check, length_and_kind, &payload);
        if check != found {
            let (expected, found) = (hex(&check), hex(&found));
            let expected = format!("a record with the checksum {expected}");
            return Ok(Next::Damaged { expected, found });
        }
        let at = self.at;
        self.at += whole;
        self.check = check;
        Ok(Next::Record(Record { kind, payload, payload_at: at + FRAME_BYTES, at }))
    }

    fn rest_is_zero(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        loop {
            match self.file.read(&mut buffer)? {
                0 => return Ok(true),
                n if buffer[..n].iter().any(|&byte| byte != 0) => return Ok(false),
                _ => {}
            }
        }
    }
}

/// Bytes as people read them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
