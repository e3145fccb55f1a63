//! A folder of prepared cases that runs share.
//!
//! A case is known by the hash of its files, of how it is prepared, and of the form of the file;
//! nothing else is in its name. It is built once, under a lock that other processes wait for,
//! and appears whole or not at all. What is not what it should be is built anew.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lamina_io::atomic::write_atomically;
use lamina_io::dataset::Case;
use lamina_io::{ReadOptions, files_of, files_read};
use sha2::{Digest, Sha256};

use super::file::{self, CachedCase, Facts};
use crate::bundle::sha256;
use crate::error::EngineError;
use crate::training::{CaseReader, TrainingCase};

/// Changes whenever what is prepared does.
const FORM: &str = "1";

/// Locks are shared out over this many files, which stay.
const LOCKS: usize = 64;

const ENDING: &str = "case";

/// A folder of prepared cases.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    most_bytes: u64,
}

impl Cache {
    /// The cache in `folder`, which is made. Once it has more than `most_bytes`, what was not used
    /// for longest is removed, but nothing that the run needs that asks.
    ///
    /// # Errors
    /// [`EngineError::Write`] where there can be no such folder.
    pub fn open(folder: &Path, most_bytes: u64) -> Result<Self, EngineError> {
        let write = |source| EngineError::Write { path: folder.to_path_buf(), source };
        fs::create_dir_all(folder.join("locks")).map_err(write)?;
        // So that backups leave it out: https://bford.info/cachedir/
        let tag = folder.join("CACHEDIR.TAG");
        if !tag.exists() {
            let text = "Signature: 8a477f597d28d172789f06886806bc55\n# Prepared cases of lamina\n";
            fs::write(&tag, text).map_err(write)?;
        }
        Ok(Self { folder: folder.to_path_buf(), most_bytes })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a case is known by.
    ///
    /// # Errors
    /// [`EngineError::Read`] where one of its files cannot be read.
    pub(super) fn key(case: &Case, reader: &CaseReader) -> Result<String, EngineError> {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(FORM.as_bytes());
        part(env!("CARGO_PKG_VERSION").as_bytes());
        part(reader.recipe().as_bytes());
        // What values and colors of the label file stand for.
        part(format!("{:?} {:?} {:?}", case.volume, case.table, case.colors).as_bytes());
        let options = ReadOptions { volume: case.volume, ..ReadOptions::default() };
        for files in [files_read(&case.image, &options), files_of(&case.labels)] {
            part(&(files.len() as u64).to_le_bytes());
            for path in files {
                part(&content(&path).map_err(|source| EngineError::Read { path, source })?);
            }
        }
        Ok(sha256(&hasher.finalize()))
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.{ENDING}"))
    }

    /// The prepared case, built where it is not there or not sound.
    ///
    /// # Errors
    /// What `build` answers, or [`EngineError::Volume`] where the file cannot be written.
    pub(super) fn get(
        &self,
        key: &str,
        build: impl FnOnce() -> Result<(TrainingCase, Facts), EngineError>,
    ) -> Result<CachedCase, EngineError> {
        let path = self.path(key);
        if let Ok(cached) = used(&path, key) {
            return Ok(cached);
        }
        // Where files cannot be locked, two may build the same: the same file twice.
        let lock = self.lock(key).ok();
        if lock.is_some()
            && let Ok(cached) = used(&path, key)
        {
            return Ok(cached); // built by another meanwhile
        }
        let (case, facts) = build()?;
        self.write(key, &case, &facts)
    }

    /// Builds a case anew that is there and damaged.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(super) fn mend(
        &self,
        key: &str,
        build: impl FnOnce() -> Result<(TrainingCase, Facts), EngineError>,
    ) -> Result<CachedCase, EngineError> {
        let _lock = self.lock(key).ok();
        let path = self.path(key);
        // Another thread or process may have mended it.
        if let Ok(cached) = CachedCase::open(&path, key)
            && cached.read_all().is_ok()
        {
            return Ok(cached);
        }
        let (case, facts) = build()?;
        self.write(key, &case, &facts)
    }

    fn write(
        &self,
        key: &str,
        case: &TrainingCase,
        facts: &Facts,
    ) -> Result<CachedCase, EngineError> {
        let path = self.path(key);
        write_atomically(&path, |out| file::write(out, key, case, facts))?;
        CachedCase::open(&path, key).map_err(|source| EngineError::Read { path, source })
    }

    /// Waits until nobody else builds what has this key.
    fn lock(&self, key: &str) -> io::Result<File> {
        let number = key.bytes().fold(0, |sum: usize, byte| sum * 31 % 8191 + usize::from(byte));
        let path = self.folder.join("locks").join(format!("{:02}", number % LOCKS));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok(file)
    }

    /// Removes what was not used for longest, until there is no more than there may be; `keys` stay.
    pub(super) fn trim(&self, keys: &[String]) {
        let trimming = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join("locks").join("trim"));
        let Ok(trimming) = trimming else { return };
        if let Err(TryLockError::WouldBlock) = trimming.try_lock() {
            return; // another does it
        }
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        remove_unfinished(&self.folder);
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let facts = path.metadata().ok()?;
                let is_case = path.extension().is_some_and(|ending| ending == ENDING);
                is_case.then_some((facts.modified().ok()?, facts.len(), path))
            })
            .collect();
        let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        files.sort();
        for (_, size, path) in files {
            if bytes <= self.most_bytes {
                break;
            }
            let key = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if keys.iter().any(|kept| kept == key) {
                continue;
            }
            // One that is open elsewhere may refuse, or is read on from its open file.
            if fs::remove_file(&path).is_ok() {
                tracing::debug!(key, size, "removed from the cache");
                bytes -= size;
            }
        }
    }
}

/// Removes what a killed process left behind more than a day ago.
fn remove_unfinished(folder: &Path) {
    const DAY: Duration = Duration::from_hours(24);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let hidden = entry.file_name().to_string_lossy().starts_with(".tmp");
        let modified = entry.metadata().and_then(|facts| facts.modified());
        let old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > DAY));
        if hidden && old {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Opens a case and notes that it was used.
fn used(path: &Path, key: &str) -> io::Result<CachedCase> {
    let cached = CachedCase::open(path, key)?;
    // Only what is to be removed first hangs on it.
    let _ = OpenOptions::new()
        .append(true)
        .open(path)
        .and_then(|file| file.set_modified(SystemTime::now()));
    Ok(cached)
}

/// The hash of a file's content.
fn content(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 18];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finalize().into()),
            read => hasher.update(&piece[..read]),
        }
    }
}
