//! The run folder: what a training run leaves behind.
//!
//! `config.toml` (the experiment as resolved), `dataset.toml`, `split.json`,
//! `events.jsonl`, `last.safetensors`, `best.safetensors`, `metrics.json` and
//! `bundle/`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::Serialize;

use crate::error::EngineError;
use crate::observer::{Event, Flow, Observer};

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder at this path, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf() }
    }

    /// Makes the folder where it is missing.
    ///
    /// # Errors
    /// [`EngineError::Write`] when that fails.
    pub fn create(&self) -> Result<(), EngineError> {
        std::fs::create_dir_all(&self.path)
            .map_err(|source| EngineError::Write { path: self.path.clone(), source })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoint that a run resumes from.
    pub fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    /// The checkpoint of the best epoch.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// The trained bundle.
    pub fn bundle(&self) -> PathBuf {
        self.path.join("bundle")
    }

    /// Writes a text file, atomically.
    ///
    /// # Errors
    /// [`EngineError::Volume`] when that fails.
    pub fn write_text(&self, name: &str, text: &str) -> Result<(), EngineError> {
        let path = self.path.join(name);
        lamina_io::atomic::write_atomically(&path, |file| file.write_all(text.as_bytes()))?;
        Ok(())
    }

    /// Writes a value as JSON, atomically.
    ///
    /// # Errors
    /// [`EngineError::Volume`] when that fails.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), EngineError> {
        let text = serde_json::to_string_pretty(value).expect("plain data become JSON");
        self.write_text(name, &(text + "\n"))
    }

    /// An observer that appends every event to `events.jsonl` before `next` hears it.
    ///
    /// # Errors
    /// [`EngineError::Write`] when the file cannot be opened.
    pub fn record<'a>(&self, next: &'a dyn Observer) -> Result<Recorder<'a>, EngineError> {
        let path = self.path.join("events.jsonl");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|source| EngineError::Write { path, source })?;
        Ok(Recorder { file: Mutex::new(file), next })
    }
}

/// Appends events to `events.jsonl` and passes them on.
pub struct Recorder<'a> {
    file: Mutex<File>,
    next: &'a dyn Observer,
}

impl Observer for Recorder<'_> {
    fn on(&self, event: &Event) -> Flow {
        if let (Ok(mut file), Ok(mut line)) = (self.file.lock(), serde_json::to_vec(event)) {
            line.push(b'\n');
            // A line that cannot be written must not end hours of training; checkpoints
            // on the same disk report the reason.
            if let Err(error) = file.write_all(&line) {
                tracing::warn!(%error, "cannot append to events.jsonl");
            }
        }
        self.next.on(event)
    }
}
