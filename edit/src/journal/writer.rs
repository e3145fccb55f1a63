//! The thread that appends to a journal.
//!
//! Whoever edits hands over what happened and goes on: packing, hashing, writing and waiting for
//! the disk are done here. A record is in the hands of the system, and survives the program, as
//! soon as it is written; it survives the machine once it is synced, at most
//! [`SYNC_AFTER`] later. The queue is bounded, so that a disk that stalls stops the user rather
//! than filling the memory. What cannot be written is kept, in order, and tried again; until
//! then the error is there for the window to show.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::JournalError;
use super::frame::{Check, Kind, frame};
use super::payload::{self, BackFacts, EndFacts};
use crate::change::Change;
use crate::step::{Action, Step};
use crate::time::Moment;

/// How long a written record may wait for the disk.
const SYNC_AFTER: Duration = Duration::from_millis(400);

/// How long to wait before trying again what failed.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How many records may wait.
const QUEUE: usize = 256;

/// What happened.
pub(crate) enum Event {
    Step(Box<Step>, Arc<Change>),
    Undo(u64, Moment),
    Redo(u64, Moment),
    End(Action, Moment),
}

/// Where a step's payload lies in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub at: u64,
    pub len: u64,
}

enum Message {
    Append(Event),
    /// Answer when all before is on disk.
    Sync(SyncSender<Result<(), Arc<JournalError>>>),
    /// Answer with the payload of this step, counted as they lie in the file.
    Read(usize, SyncSender<Result<Vec<u8>, Arc<JournalError>>>),
}

/// How writing goes.
#[derive(Clone, Debug, Default)]
pub struct JournalStatus {
    /// Records that wait to be written.
    pub waiting: u64,
    /// Records that are written, but may not survive a power failure yet.
    pub unsynced: u64,
    /// Why writing fails, if it does. It is tried again every two seconds; what was not written is
    /// kept until then. Where a disk failed to sync, it stays: begin a new journal elsewhere.
    pub error: Option<Arc<JournalError>>,
}

#[derive(Default)]
struct Shared {
    handed_over: u64,
    written: u64,
    synced: u64,
    steps_written: usize,
    error: Option<Arc<JournalError>>,
}

/// The sending end. Dropping it writes and syncs what waits.
pub(crate) struct Writer {
    path: PathBuf,
    sender: Option<SyncSender<Message>>,
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Goes on at `end`, where the file ends, after the record with `check`. `steps` are those that
    /// the file has.
    pub(crate) fn new(
        path: &Path,
        file: File,
        end: u64,
        check: Check,
        steps: Vec<Span>,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let shared =
            Arc::new(Mutex::new(Shared { steps_written: steps.len(), ..Shared::default() }));
        let tail = Tail {
            path: path.to_owned(),
            file,
            end,
            check,
            steps,
            backlog: VecDeque::new(),
            dirty_since: None,
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || tail.run(&receiver))?;
        Ok(Self { path: path.to_owned(), sender: Some(sender), shared, thread: Some(thread) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Hands over what happened. Waits only where the queue is full.
    pub(crate) fn append(&self, event: Event) {
        lock(&self.shared).handed_over += 1;
        if self.send(Message::Append(event)).is_err() {
            let path = self.path.clone();
            lock(&self.shared).error.get_or_insert(Arc::new(JournalError::Ended { path }));
        }
    }

    /// Waits until all that was handed over is on disk.
    pub(crate) fn sync(&self) -> Result<(), Arc<JournalError>> {
        let (answer, result) = sync_channel(1);
        self.send(Message::Sync(answer))?;
        result.recv().unwrap_or_else(|_| Err(self.ended()))
    }

    /// The payload of a step.
    pub(crate) fn read(&self, step: usize) -> Result<Vec<u8>, Arc<JournalError>> {
        let (answer, result) = sync_channel(1);
        self.send(Message::Read(step, answer))?;
        result.recv().unwrap_or_else(|_| Err(self.ended()))
    }

    /// How many steps can be read back.
    pub(crate) fn steps_written(&self) -> usize {
        lock(&self.shared).steps_written
    }

    pub(crate) fn status(&self) -> JournalStatus {
        let shared = lock(&self.shared);
        JournalStatus {
            waiting: shared.handed_over.saturating_sub(shared.written),
            unsynced: shared.written.saturating_sub(shared.synced),
            error: shared.error.clone(),
        }
    }

    fn send(&self, message: Message) -> Result<(), Arc<JournalError>> {
        let sender = self.sender.as_ref().ok_or_else(|| self.ended())?;
        sender.send(message).map_err(|_| self.ended())
    }

    fn ended(&self) -> Arc<JournalError> {
        Arc::new(JournalError::Ended { path: self.path.clone() })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end of the file, on its own thread.
struct Tail {
    path: PathBuf,
    file: File,
    /// Where the last whole record ends.
    end: u64,
    check: Check,
    steps: Vec<Span>,
    backlog: VecDeque<Event>,
    /// When the oldest record was written that is not on disk for sure.
    dirty_since: Option<Instant>,
    shared: Arc<Mutex<Shared>>,
}

impl Tail {
    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let wait = match self.dirty_since {
                Some(since) => SYNC_AFTER.saturating_sub(since.elapsed()),
                None if self.backlog.is_empty() => Duration::MAX,
                None => RETRY_AFTER,
            };
            let message = if wait == Duration::MAX {
                receiver.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                receiver.recv_timeout(wait)
            };
            match message {
                Ok(Message::Append(event)) => {
                    self.backlog.push_back(event);
                    self.write_backlog();
                }
                Ok(Message::Sync(answer)) => {
                    self.write_backlog();
                    self.sync();
                    let _ = answer.send(match &lock(&self.shared).error {
                        None => Ok(()),
                        Some(error) => Err(Arc::clone(error)),
                    });
                }
                Ok(Message::Read(step, answer)) => {
                    let _ = answer.send(self.read(step).map_err(Arc::new));
                }
                Err(RecvTimeoutError::Timeout) => self.write_backlog(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.dirty_since.is_some_and(|since| since.elapsed() >= SYNC_AFTER) {
                self.sync();
            }
        }
        self.write_backlog();
        self.sync();
    }

    fn write_backlog(&mut self) {
        while let Some(event) = self.backlog.pop_front() {
            if let Err(source) = self.write(&event) {
                // Half a record must not stand before the next try.
                let _ = self.file.set_len(self.end);
                self.backlog.push_front(event);
                let path = self.path.clone();
                let error = Arc::new(JournalError::Write { path, source });
                let mut shared = lock(&self.shared);
                if !matches!(shared.error.as_deref(), Some(JournalError::Sync { .. })) {
                    shared.error = Some(error);
                }
                return;
            }
            let mut shared = lock(&self.shared);
            shared.written += 1;
            shared.steps_written = self.steps.len();
            if self.backlog.is_empty()
                && shared.error.as_deref().is_some_and(|e| matches!(e, JournalError::Write { .. }))
            {
                shared.error = None;
            }
        }
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        let (kind, payload) = match event {
            Event::Step(step, change) => (Kind::Step, payload::step(step, change.bytes())?),
            &Event::Undo(step, time) => {
                (Kind::Undo, payload::facts_alone(&BackFacts { step, time })?)
            }
            &Event::Redo(step, time) => {
                (Kind::Redo, payload::facts_alone(&BackFacts { step, time })?)
            }
            &Event::End(action, time) => {
                (Kind::End, payload::facts_alone(&EndFacts { action, time })?)
            }
        };
        let (bytes, check) = frame(kind, &payload, &self.check);
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&bytes)?;
        if kind == Kind::Step {
            let payload_at = self.end + (bytes.len() - payload.len() - self.check.len()) as u64;
            self.steps.push(Span { at: payload_at, len: payload.len() as u64 });
        }
        self.end += bytes.len() as u64;
        self.check = check;
        self.dirty_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn sync(&mut self) {
        if self.dirty_since.take().is_none() {
            return;
        }
        let result = self.file.sync_data();
        let mut shared = lock(&self.shared);
        match result {
            Ok(()) => shared.synced = shared.written,
            Err(source) => {
                let source = Arc::new(JournalError::Sync { path: self.path.clone(), source });
                shared.error = Some(source);
            }
        }
    }

    fn read(&mut self, step: usize) -> Result<Vec<u8>, JournalError> {
        let fail = |source| JournalError::Read { path: self.path.clone(), source };
        let span = self.steps.get(step).ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?;
        self.file.seek(SeekFrom::Start(span.at)).map_err(fail)?;
        let mut payload = vec![0; span.len as usize];
        self.file.read_exact(&mut payload).map_err(fail)?;
        Ok(payload)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::super::frame::head;
    use super::*;

    #[test]
    fn a_full_disk_is_reported_and_what_waits_is_kept() {
        let path = Path::new("/dev/full");
        let file = File::options().read(true).write(true).open(path).unwrap();
        let writer = Writer::new(path, file, 0, head().1, Vec::new()).unwrap();
        writer.append(Event::Undo(1, Moment::now()));
        writer.append(Event::Undo(2, Moment::now()));
        let error = writer.sync().unwrap_err();
        assert!(matches!(&*error, JournalError::Write { .. }));
        assert!(error.to_string().contains("not being saved"));
        let status = writer.status();
        assert_eq!((status.waiting, status.unsynced), (2, 0));
        assert!(status.error.is_some());
    }
}
