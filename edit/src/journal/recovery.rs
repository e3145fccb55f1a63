//! Rebuilding work from a journal.
//!
//! Reading changes nothing on disk. It goes as far as records are whole and fit to what was before
//! them; how the file ends is said, and what follows the last good record is cut off only by
//! [`Recovery::resume`], which is the user's word.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lamina_io::{Geometry, LabelVolume, SourceHeader, Volume};
use ndarray::Array3;

use super::error::JournalError;
use super::frame::{Check, Kind, Record};
use super::frames::{Ending, open_frames, read_error};
use super::lock;
use super::payload::{self, BackFacts, BaseFacts, EndFacts};
use super::writer::{Span, Writer};
use crate::change::{Change, Run, RunReader};
use crate::history::{MEMORY_BYTES, Past};
use crate::session::Session;
use crate::step::{Action, AuditRow, Step};
use crate::tally::{Gains, Tally};
use crate::time::Moment;
use crate::values::ImageId;

/// Volumes larger than this are refused unless the caller says otherwise.
const MAX_VOXELS: u64 = 1 << 31;

/// Work that was read back from a journal.
#[derive(Debug)]
pub struct Recovery {
    path: PathBuf,
    base: BaseFacts,
    geometry: Geometry,
    labels: Array3<u8>,
    steps: Vec<Step>,
    /// The changes of `steps`, where there was memory for them, and their place in the file.
    changes: Vec<(Option<Arc<Change>>, usize)>,
    done: usize,
    next_number: u64,
    spans: Vec<Span>,
    audit: Vec<AuditRow>,
    finished: bool,
    ending: Ending,
    /// Size of the file; where its good part ends, and the check there.
    len: u64,
    good: (u64, Check),
    memory: usize,
}

impl Recovery {
    /// Reads a journal and rebuilds the labels, as far as that goes; see [`Self::ending`].
    ///
    /// # Errors
    /// If the file is missing, no journal, of another version, or damaged before the first change.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Self::open_within(path, MAX_VOXELS)
    }

    /// The same for volumes of at most so many voxels.
    ///
    /// # Errors
    /// As [`Self::open`], or if the volume is larger.
    pub fn open_within(path: &Path, max_voxels: u64) -> Result<Self, JournalError> {
        let mut frames = open_frames(path)?;
        let len = frames.reader.len;
        let first = frames.first(path)?;
        let wrong = |source| read_error(path, first.at, "the labels that it begins with", &source);
        let (base, packed) = payload::split::<BaseFacts>(&first.payload).map_err(wrong)?;
        match base.voxels() {
            Some(found) if found > max_voxels => {
                let path = path.to_owned();
                return Err(JournalError::TooLarge { path, limit: max_voxels, found });
            }
            Some(_) => {}
            None => return Err(wrong(io::ErrorKind::OutOfMemory.into())),
        }
        let geometry = base.geometry().map_err(|error| wrong(io::Error::other(error)))?;
        let labels = payload::labels(&base, packed).map_err(wrong)?;
        let mut recovery = Self {
            path: path.to_owned(),
            base,
            geometry,
            labels,
            steps: Vec::new(),
            changes: Vec::new(),
            done: 0,
            next_number: 1,
            spans: Vec::new(),
            audit: Vec::new(),
            finished: false,
            ending: Ending::Whole,
            len,
            good: frames.good,
            memory: 0,
        };
        let mut tally = Tally::of(&recovery.labels);
        recovery.ending = frames.each(path, |record| recovery.take(&record, &mut tally))?;
        recovery.good = frames.good;
        Ok(recovery)
    }

    /// Does again what a record says. Where it says something impossible, nothing is done.
    fn take(&mut self, record: &Record, tally: &mut Tally) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        let json = |error: serde_json::Error| error.to_string();
        match record.kind {
            Kind::Base => return Err("a second beginning".to_owned()),
            Kind::Step => {
                let (step, packed) = payload::split::<Step>(&record.payload).map_err(text)?;
                let voxels = self.labels.len() as u64;
                let room = MEMORY_BYTES.saturating_sub(self.memory) / 4;
                let change = if let Some(bytes) = payload::run_bytes(packed, room).map_err(text)? {
                    let runs = || RunReader::new(bytes.as_slice(), voxels);
                    self.check(runs(), false)?;
                    let valid = runs().map_while(Result::ok);
                    let change = Change::from_runs(valid, self.geometry.shape(), tally);
                    self.replay(change.runs(), false, tally);
                    self.memory += change.memory_bytes();
                    Some(Arc::new(change))
                } else {
                    let runs = || payload::runs(packed, voxels);
                    self.check(runs(), false)?;
                    self.replay(runs().map_while(Result::ok), false, tally);
                    None
                };
                self.steps.truncate(self.done);
                self.changes.truncate(self.done);
                self.audit.push(AuditRow::of(&step, Action::Change, step.time));
                self.next_number = self.next_number.max(step.number.saturating_add(1));
                self.steps.push(step);
                self.changes.push((change, self.spans.len()));
                self.done += 1;
                let (at, len) = (record.payload_at, record.payload.len() as u64);
                self.spans.push(Span { at, len });
            }
            Kind::Undo | Kind::Redo => {
                let back = record.kind == Kind::Undo;
                let facts: BackFacts = serde_json::from_slice(&record.payload).map_err(json)?;
                let at = if back { self.done.checked_sub(1) } else { Some(self.done) };
                let step = at.and_then(|at| self.steps.get(at));
                let (Some(at), Some(step)) = (at, step) else {
                    return Err("an undo or redo of nothing".to_owned());
                };
                if step.number != facts.step {
                    return Err(format!("step {} where step {} is next", facts.step, step.number));
                }
                let action = if back { Action::Undo } else { Action::Redo };
                let row = AuditRow::of(step, action, facts.time);
                let (change, place) = self.changes[at].clone();
                if let Some(change) = change {
                    self.replay(change.runs(), back, tally);
                } else {
                    let payload = self.read_back(place).map_err(text)?;
                    let packed = payload::packed_runs(&payload).map_err(text)?;
                    let runs = || payload::runs(packed, self.labels.len() as u64);
                    self.check(runs(), back)?;
                    let runs = runs();
                    self.replay(runs.map_while(Result::ok), back, tally);
                }
                self.audit.push(row);
                self.done = if back { at } else { at + 1 };
            }
            Kind::End => {
                let facts: EndFacts = serde_json::from_slice(&record.payload).map_err(json)?;
                self.audit.push(AuditRow::end(facts.action, facts.time));
            }
        }
        self.finished = record.kind == Kind::End;
        Ok(())
    }

    /// That a change can be made of the labels as they are.
    fn check(&self, runs: impl Iterator<Item = io::Result<Run>>, back: bool) -> Result<(), String> {
        let labels = self.labels.as_slice().unwrap_or_default();
        check_runs(labels, runs, back).map_err(|error| error.to_string())
    }

    /// Makes a change, or undoes it.
    fn replay(&mut self, runs: impl Iterator<Item = Run>, back: bool, tally: &mut Tally) {
        let labels = self.labels.as_slice_mut().unwrap_or_default();
        let mut gains = Gains::default();
        for run in runs {
            let (old, new) = if back { (run.new, run.old) } else { (run.old, run.new) };
            labels[run.start as usize..(run.start + run.len) as usize].fill(new);
            gains.moved(old, new, run.len);
        }
        tally.add(&gains);
    }

    /// The payload of a step that there was no memory for.
    fn read_back(&self, step: usize) -> io::Result<Vec<u8>> {
        use std::io::{Read, Seek, SeekFrom};
        let Span { at, len } = self.spans[step];
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(at))?;
        let mut payload = vec![0; len as usize]; // was read before
        file.read_exact(&mut payload)?;
        Ok(payload)
    }

    /// The journal's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the journal was begun.
    pub fn created(&self) -> Moment {
        self.base.created
    }

    /// Which image the labels belong to.
    pub fn image(&self) -> Option<ImageId> {
        self.base.image
    }

    /// Where the labels are.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The labels as they were last.
    pub fn labels(&self) -> &Array3<u8> {
        &self.labels
    }

    /// The changes that stand, oldest first.
    pub fn steps(&self) -> &[Step] {
        &self.steps[..self.done]
    }

    /// Everything that happened, oldest first.
    pub fn audit(&self) -> &[AuditRow] {
        &self.audit
    }

    /// Whether work was finished.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// How the file ends, and what was lost.
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// Goes on with the work, its history and its journal. What follows the last good record is
    /// cut off now. `image` has to lie on the grid of the labels; whether it is the one that they
    /// belong to, [`ImageId::of`] tells.
    ///
    /// # Errors
    /// If another program writes the journal, or it was changed since it was read, or cannot be
    /// written; or if the image lies elsewhere. The journal is as it was then.
    pub fn resume(self, image: Option<Arc<Volume>>) -> Result<Session, JournalError> {
        if let Some(image) = &image {
            let same = self.geometry.same_grid(&image.geometry);
            let path = self.path.clone();
            same.map_err(|source| JournalError::OtherImage { path, source })?;
        }
        let open = |source| JournalError::Open { path: self.path.clone(), source };
        let file = File::options().read(true).write(true).open(&self.path).map_err(open)?;
        lock(&self.path, &file)?;
        let found = file.metadata().map_err(open)?.len();
        if found != self.len {
            let path = self.path.clone();
            return Err(JournalError::Changed { path, expected: self.len, found });
        }
        let (end, check) = self.good;
        if end != found {
            let cut = file.set_len(end).and_then(|()| file.sync_all());
            cut.map_err(|source| JournalError::Write { path: self.path.clone(), source })?;
        }
        let count = self.spans.len();
        let writer = Writer::new(&self.path, file, end, check, self.spans).map_err(open)?;
        let writer = Arc::new(writer);
        let past = self.steps.into_iter().zip(self.changes).map(|(step, (change, at))| Past {
            step,
            change,
            journal: Some((Arc::clone(&writer), at)),
        });
        let past: Vec<Past> = past.collect();
        let source = SourceHeader::default();
        let volume = LabelVolume { labels: self.labels, geometry: self.geometry, source };
        let numbers = (self.next_number, self.audit);
        Ok(Session::resumed(volume, image, (past, self.done), numbers, (writer, count)))
    }
}

/// That runs can be read, and that the labels are as they expect them.
pub(crate) fn check_runs(
    labels: &[u8],
    runs: impl Iterator<Item = io::Result<Run>>,
    back: bool,
) -> io::Result<()> {
    for run in runs {
        let run = run?;
        let old = if back { run.new } else { run.old };
        let found = &labels[run.start as usize..(run.start + run.len) as usize];
        if found.iter().any(|&label| label != old) {
            let what = "a change of labels that are not there";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
    }
    Ok(())
}
