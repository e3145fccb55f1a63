//! Event files that TensorBoard reads: numbers with their step and the time they were written.
//!
//! The file is a row of records (`record`), each a message of Protocol Buffers (`message`). A run
//! that goes on writes a new file, which opens by saying from which step on older ones do not count:
//! TensorBoard forgets what a killed run had written beyond its checkpoint.

mod message;
mod record;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use message::Message;

/// One event file, open for writing.
#[derive(Debug)]
pub struct EventFile {
    file: BufWriter<File>,
}

impl EventFile {
    /// Opens a new file in `folder`, after all that are there. `first_step` is the one that it begins
    /// with.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn create(folder: &Path, first_step: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let now = now();
        let after = last_second(folder)?.map_or(0, |last| last + 1);
        let path = folder.join(format!("events.out.tfevents.{:010}.lamina", after.max(now as u64)));
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let mut events = Self { file: BufWriter::new(file) };
        events.write(Message::version(now))?;
        events.write(Message::start(now, first_step))?;
        events.flush()?;
        Ok(events)
    }

    /// Writes numbers of one step, each under its name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> io::Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        self.write(Message::scalars(now(), step, values))
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn write(&mut self, message: Message) -> io::Result<()> {
        record::write(&mut self.file, &message.into_bytes())
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The second in the name of the last event file; TensorBoard reads them in the order of their names.
fn last_second(folder: &Path) -> io::Result<Option<u64>> {
    let mut last = None;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let second = name.to_str().and_then(|name| {
            name.strip_prefix("events.out.tfevents.")?.split('.').next()?.parse::<u64>().ok()
        });
        last = last.max(second);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_file_comes_after_those_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let ahead = folder.path().join("events.out.tfevents.9000000000.other.host");
        std::fs::write(&ahead, "").unwrap();
        for _ in 0..2 {
            let mut events = EventFile::create(folder.path(), 3).unwrap();
            events.scalars(3, &[("loss", 0.5)]).unwrap();
        }
        let mut names: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names[1..],
            ["events.out.tfevents.9000000001.lamina", "events.out.tfevents.9000000002.lamina"]
        );
        let records = record::read(&std::fs::read(folder.path().join(&names[2])).unwrap());
        assert_eq!(records.len(), 3);
        assert!(records[0].ends_with(b"brain.Event:2"));
        assert!(records[2].windows(4).any(|bytes| bytes == b"loss"));
    }
}
