//! The journal: a file to which every change is appended as it is made, so that no work is lost.
//!
//! A journal begins with the labels as they were, packed, so that it is whole by itself, and goes on
//! with a record for each change, undo and redo. From it the labels, and what can be
//! undone, are rebuilt after the program, or the machine, died; and it is the audit trail. It
//! holds no name and no path: of the image, a hash ([`ImageId`](crate::ImageId)).
//!
//! - [`Journal::create`] begins one; a [`Session`](crate::Session) writes it.
//! - [`find_journals`] lists those in a folder, [`Recovery::open`] reads one and changes nothing,
//!   [`Recovery::resume`] goes on with it.
//!
//! One program at a time writes to a journal: it holds a lock on the file, which the system
//! takes back when the program dies.

mod error;
mod find;
mod frame;
mod frames;
mod payload;
mod recovery;
mod writer;

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use error::JournalError;
pub use find::{FoundJournal, JournalSummary, find_journals};
pub use frames::Ending;
pub use recovery::Recovery;
pub use writer::JournalStatus;
pub(crate) use writer::{Event, Writer};

pub(crate) use payload::{packed_runs, runs as unpacked_runs};
pub(crate) use recovery::check_runs;

use crate::scene::Scene;
use crate::time::Moment;
use crate::values::ImageId;

/// What names of journals end in.
pub const EXTENSION: &str = "lamina-journal";

/// How long to wait for a lock that a listing may hold for a moment.
const LOCK_TRIES: u32 = 20;

/// A journal that was just begun; see [`Session::write_journal`](crate::Session::write_journal).
pub struct Journal {
    pub(crate) writer: Arc<Writer>,
    pub(crate) revision: u64,
}

impl Journal {
    /// Begins a journal in a folder with the labels of a scene. It appears whole or not at all,
    /// under a name of the time and the image's hash. Some tenths of a second for a large
    /// volume: a job's work.
    ///
    /// # Errors
    /// If the folder is missing or cannot be written to, or the disk is full.
    pub fn create(
        folder: &Path,
        scene: &Scene,
        image: Option<ImageId>,
    ) -> Result<Self, JournalError> {
        let fail = |source| JournalError::Folder { path: folder.to_owned(), source };
        let created = Moment::now();
        let (mut bytes, check) = frame::head();
        let base = payload::base(scene.labels(), scene.geometry(), image, created).map_err(fail)?;
        let (record, check) = frame::frame(frame::Kind::Base, &base, &check);
        drop(base);
        bytes.extend(record);
        let mut builder = tempfile::Builder::new();
        let mut file =
            builder.prefix(".lamina-").suffix(".part").tempfile_in(folder).map_err(fail)?;
        file.as_file().try_lock().map_err(|error| fail(lock_error(error)))?;
        file.write_all(&bytes).map_err(fail)?;
        file.as_file().sync_all().map_err(fail)?;

        let image = image.map_or_else(|| "labels".to_owned(), |image| image.short());
        let stem = format!("{}-{image}", created.compact());
        let mut number = 0;
        let (file, path) = loop {
            number += 1;
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let path = folder.join(format!("{stem}{suffix}.{EXTENSION}"));
            match file.persist_noclobber(&path) {
                Ok(file) => break (file, path),
                Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => {
                    file = taken.file;
                }
                Err(other) => return Err(fail(other.error)),
            }
        };
        // The name itself, where the system can sync a folder.
        if let Ok(folder) = File::open(folder) {
            let _ = folder.sync_all();
        }
        let end = bytes.len() as u64;
        let writer = Writer::new(&path, file, end, check, Vec::new()).map_err(fail)?;
        Ok(Self { writer: Arc::new(writer), revision: scene.revision })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        self.writer.path()
    }
}

fn lock_error(error: TryLockError) -> io::Error {
    match error {
        TryLockError::Error(error) => error,
        TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
    }
}

/// Locks a journal for writing.
fn lock(path: &Path, file: &File) -> Result<(), JournalError> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(source)) => {
                return Err(JournalError::Open { path: path.to_owned(), source });
            }
        }
    }
    Err(JournalError::InUse { path: path.to_owned() })
}

#[cfg(test)]
mod tests;
