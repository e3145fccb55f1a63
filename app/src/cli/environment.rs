//! `environment.json` of a run folder: with which program, on what machine, by which commands and
//! in what time a run came about.
//!
//! A run that was resumed has a session for each time it ran. A session that was killed says so by
//! having no end.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use lamina_engine::EngineError;
use lamina_engine::observer::{Event, Flow, Observer};
use lamina_engine::training::{FitSummary, RunFolder};
use serde::{Deserialize, Serialize};

use super::segments::created;

/// The file in a run folder.
pub const ENVIRONMENT: &str = "environment.json";

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Each time that the run ran, in order.
    pub sessions: Vec<Session>,
}

/// One time that a run ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Version of the program.
    pub lamina: String,
    /// Operating system and processor family, as `linux x86_64`.
    pub system: String,
    /// What the processor is called, where the system says.
    pub cpu: Option<String>,
    /// Threads that computed.
    pub threads: usize,
    /// The device that computed.
    pub device: String,
    /// The command as it was given.
    pub command: Vec<String>,
    /// When it started, in seconds since 1970, UTC.
    pub started: u64,
    /// The epoch that it began with, from 1.
    pub first_epoch: usize,
    /// How long it took; absent where it was killed.
    pub seconds: Option<f64>,
    /// The most memory that the program took, in MiB, where the system says.
    pub peak_memory_mib: Option<u64>,
    /// `finished`, `stopped`, or why it failed; absent where it was killed.
    pub end: Option<String>,
}

/// Writes the file when training begins and when it ends, and passes all events on.
pub struct Environment<'a> {
    folder: PathBuf,
    device: String,
    started: Instant,
    recorded: Mutex<Option<Recorded>>,
    next: &'a dyn Observer,
}

impl<'a> Environment<'a> {
    /// Nothing is written before training begins.
    pub fn new(folder: &Path, device: &str, next: &'a dyn Observer) -> Self {
        Self {
            folder: folder.to_path_buf(),
            device: device.to_owned(),
            started: Instant::now(),
            recorded: Mutex::new(None),
            next,
        }
    }

    /// Writes how the session ended.
    pub fn end(&self, fitted: &Result<FitSummary, EngineError>) {
        let mut recorded = self.recorded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(session) = recorded.as_mut().and_then(|recorded| recorded.sessions.last_mut())
        else {
            return; // training never began
        };
        session.seconds = Some(self.started.elapsed().as_secs_f64());
        session.peak_memory_mib = peak_memory_mib();
        session.end = Some(match fitted {
            Ok(_) => "finished".to_owned(),
            Err(EngineError::Stopped) => "stopped".to_owned(),
            Err(error) => format!("failed: {error}"),
        });
        self.write(recorded.as_ref());
    }

    fn begin(&self, first_epoch: usize) {
        let earlier = std::fs::read(self.folder.join(ENVIRONMENT)).ok();
        let earlier = earlier.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut recorded = earlier.unwrap_or(Recorded { sessions: Vec::new() });
        recorded.sessions.push(Session {
            lamina: env!("CARGO_PKG_VERSION").to_owned(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cpu: cpu(),
            threads: rayon::current_num_threads(),
            device: self.device.clone(),
            command: command(),
            started: created(),
            first_epoch,
            seconds: None,
            peak_memory_mib: None,
            end: None,
        });
        self.write(Some(&recorded));
        *self.recorded.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(recorded);
    }

    /// A record that cannot be written must not end hours of training; checkpoints on the same disk
    /// report the reason.
    fn write(&self, recorded: Option<&Recorded>) {
        if let Some(recorded) = recorded
            && let Err(error) = RunFolder::new(&self.folder).write_json(ENVIRONMENT, recorded)
        {
            tracing::warn!(%error, "cannot write {ENVIRONMENT}");
        }
    }
}

impl Observer for Environment<'_> {
    fn on(&self, event: &Event) -> Flow {
        if let Event::TrainingStarted { first_epoch, .. } = event {
            self.begin(*first_epoch);
        }
        self.next.on(event)
    }
}

/// The command line, the program without its folder.
fn command() -> Vec<String> {
    let rest = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    std::iter::once("lamina".to_owned()).chain(rest).collect()
}

fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn peak_memory_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib =
        text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"))?;
    Some(kib.trim().parse::<u64>().ok()? / 1024)
}
