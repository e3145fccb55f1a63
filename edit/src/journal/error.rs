//! Why a journal cannot be written, read or gone on with.

use std::io;
use std::path::PathBuf;

use lamina_io::GridMismatch;

/// Why a journal failed. Every message ends with the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The folder cannot be read or written to.
    #[error("cannot use the folder of journals {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The file cannot be opened.
    #[error("cannot open the journal {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The system failed while reading.
    #[error("cannot read the journal {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The disk is full, or gone.
    #[error("changes are not being saved: cannot write the journal {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// The disk did not say that it has what was written.
    #[error("changes may not be safe: cannot sync the journal {path}")]
    Sync {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// Another program has it.
    #[error("the journal is in use by another window or program: {path}")]
    InUse {
        /// The file.
        path: PathBuf,
    },

    /// It was changed since it was read.
    #[error("expected the journal with {expected} bytes as it was read, found {found}: {path}")]
    Changed {
        /// The file.
        path: PathBuf,
        /// Its size then.
        expected: u64,
        /// Its size now.
        found: u64,
    },

    /// The file is of another kind.
    #[error("expected a journal of Lamina, found another kind of file: {path}")]
    Kind {
        /// The file.
        path: PathBuf,
    },

    /// It was written by another version of the program.
    #[error("expected a journal of version {expected}, found version {found}: {path}")]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that is read.
        expected: u32,
        /// Its version.
        found: u32,
    },

    /// What it says of itself is not so.
    #[error("expected {expected} at byte {at} of the journal, found {found}: {path}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        at: u64,
        /// What should be there.
        expected: String,
        /// What is.
        found: String,
    },

    /// It is about a volume that is too large.
    #[error("expected at most {limit} voxels, found {found}: {path}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that are read.
        limit: u64,
        /// How many it says.
        found: u64,
    },

    /// It is about another image.
    #[error("expected the image that the journal belongs to, found one on another grid: {path}")]
    OtherImage {
        /// The file.
        path: PathBuf,
        /// How they differ.
        #[source]
        source: GridMismatch,
    },

    /// Its thread is gone.
    #[error("the journal's writer ended: {path}")]
    Ended {
        /// The file.
        path: PathBuf,
    },
}
