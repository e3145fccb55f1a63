//! The run folder: what a training run leaves behind.
//!
//! `config.toml` (the experiment as resolved), `dataset.toml`, `split.json`,
//! `events.jsonl`, `last.safetensors`, `best.safetensors`, `metrics.json` and
//! `bundle/`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
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

    /// Keeps other processes from training in the folder as long as the answer lives.
    ///
    /// # Errors
    /// [`EngineError::Data`] where one does already, [`EngineError::Write`] where no lock can be
    /// had.
    pub fn lock(&self) -> Result<File, EngineError> {
        let path = self.path.join(".lock");
        let write = |source| EngineError::Write { path: path.clone(), source };
        let options = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = options.map_err(write)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(EngineError::data(&self.path, "another process trains in this folder"))
            }
            // Some network file systems know no locks; a run must not fail for that.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(file),
            Err(TryLockError::Error(error)) => Err(write(error)),
        }
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
        let open = || {
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
            end_last_line(&mut file)?;
            Ok(file)
        };
        let file = open().map_err(|source| EngineError::Write { path: path.clone(), source })?;
        Ok(Recorder { file: Mutex::new(file), next })
    }
}

/// A run that was killed may have left half a line; what follows must not become part of it.
fn end_last_line(file: &mut File) -> std::io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

/// Appends events to `events.jsonl` and passes them on.
pub struct Recorder<'a> {
    file: Mutex<File>,
    next: &'a dyn Observer,
}

impl Observer for Recorder<'_> {
    fn on(&self, event: &Event) -> Flow {
        // Examples are for the eye and become no line.
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

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3};

    use super::*;
    use crate::observer::{Example, ExampleKind, Silent};

    #[test]
    fn half_a_line_stays_alone_and_examples_are_no_lines() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("events.jsonl"), "{\"event\":\"st").unwrap();
        let run = RunFolder::new(folder.path());
        let recorder = run.record(&Silent).unwrap();
        recorder.on(&Event::Notice { message: "first".to_owned() });
        recorder.on(&Event::Example(Box::new(Example {
            kind: ExampleKind::Batch,
            epoch: 1,
            case: String::new(),
            slice: None,
            dice: None,
            input: Array3::zeros([1, 2, 2]),
            reference: Array2::zeros([2, 2]),
            prediction: None,
        })));
        drop(recorder);
        let recorder = run.record(&Silent).unwrap();
        recorder.on(&Event::Notice { message: "second".to_owned() });
        let text = std::fs::read_to_string(folder.path().join("events.jsonl")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[1].contains("first") && lines[2].contains("second"), "{text}");
    }
}
