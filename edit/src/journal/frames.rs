//! The records of a journal, as far as they are good.

use std::fs::File;
use std::io;
use std::path::Path;

use super::error::JournalError;
use super::frame::{Check, FrameReader, Kind, Next, NoJournal, Record, VERSION};

/// How a journal's file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a whole record.
    Whole,
    /// Within a record, as when the program was killed: all before it is good.
    Cut {
        /// Where the last whole record ends.
        at: u64,
        /// Bytes after that.
        lost_bytes: u64,
        /// What they are.
        found: String,
    },
    /// With something that is not as it was written: all before it is good.
    Damaged {
        /// Where the last good record ends.
        at: u64,
        /// Bytes after that.
        lost_bytes: u64,
        /// What should be there.
        expected: String,
        /// What is.
        found: String,
    },
}

impl Ending {
    /// What was lost, as an error that names the file; none where nothing was.
    pub fn error(&self, path: &Path) -> Option<JournalError> {
        let path = path.to_owned();
        match self.clone() {
            Self::Whole => None,
            Self::Cut { at, found, .. } => {
                let expected = "a whole record".to_owned();
                Some(JournalError::Damaged { path, at, expected, found })
            }
            Self::Damaged { at, expected, found, .. } => {
                Some(JournalError::Damaged { path, at, expected, found })
            }
        }
    }

    /// Bytes that are no use.
    pub fn lost_bytes(&self) -> u64 {
        match self {
            Self::Whole => 0,
            Self::Cut { lost_bytes, .. } | Self::Damaged { lost_bytes, .. } => *lost_bytes,
        }
    }
}

/// Records of a journal whose head is as it should be.
pub(super) struct Frames {
    pub(super) reader: FrameReader,
    /// Where the last record ends that made sense, and its check.
    pub(super) good: (u64, Check),
}

pub(super) fn open_frames(path: &Path) -> Result<Frames, JournalError> {
    let open = |source| JournalError::Open { path: path.to_owned(), source };
    let file = File::open(path).map_err(open)?;
    let reader = FrameReader::new(file).map_err(|error| match error {
        NoJournal::Io(source) => JournalError::Read { path: path.to_owned(), source },
        NoJournal::Kind => JournalError::Kind { path: path.to_owned() },
        NoJournal::Version(found) => {
            JournalError::Version { path: path.to_owned(), expected: VERSION, found }
        }
    })?;
    let good = (reader.at, reader.check);
    Ok(Frames { reader, good })
}

/// A record that says something impossible.
pub(super) fn read_error(path: &Path, at: u64, expected: &str, found: &io::Error) -> JournalError {
    let (expected, found) = (expected.to_owned(), found.to_string());
    JournalError::Damaged { path: path.to_owned(), at, expected, found }
}

impl Frames {
    /// The record of the labels at the beginning, without which there is nothing.
    pub(super) fn first(&mut self, path: &Path) -> Result<Record, JournalError> {
        let at = self.reader.at;
        let read = |source| JournalError::Read { path: path.to_owned(), source };
        let (expected, found) = match self.reader.next().map_err(read)? {
            Next::Record(record) if record.kind == Kind::Base => {
                self.good = (self.reader.at, self.reader.check);
                return Ok(record);
            }
            Next::Record(record) => (None, format!("a record of kind {:?}", record.kind)),
            Next::End => (None, "the end of the file".to_owned()),
            Next::Cut { what } => (None, what),
            Next::Damaged { expected, found } => (Some(expected), found),
        };
        let expected = expected.unwrap_or_else(|| "the labels that it begins with".to_owned());
        Err(JournalError::Damaged { path: path.to_owned(), at, expected, found })
    }

    /// Hands out all further records, as long as they are whole and `take` can make sense of them.
    pub(super) fn each(
        &mut self,
        path: &Path,
        mut take: impl FnMut(Record) -> Result<(), String>,
    ) -> Result<Ending, JournalError> {
        loop {
            let at = self.reader.at;
            let lost_bytes = self.reader.len - at;
            let read = |source| JournalError::Read { path: path.to_owned(), source };
            match self.reader.next().map_err(read)? {
                Next::Record(record) => {
                    if let Err(found) = take(record) {
                        let expected = "a record that fits those before it".to_owned();
                        return Ok(Ending::Damaged { at, lost_bytes, expected, found });
                    }
                    self.good = (self.reader.at, self.reader.check);
                }
                Next::End => return Ok(Ending::Whole),
                Next::Cut { what } => return Ok(Ending::Cut { at, lost_bytes, found: what }),
                Next::Damaged { expected, found } => {
                    return Ok(Ending::Damaged { at, lost_bytes, expected, found });
                }
            }
        }
    }
}
