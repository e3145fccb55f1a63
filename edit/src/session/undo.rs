//! Back and forth in what was done, and the journal that gets told.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::{Effect, Session};
use crate::change::{Change, Run};
use crate::error::EditError;
use crate::journal::{
    Event, Journal, JournalError, JournalStatus, Writer, check_runs, packed_runs, unpacked_runs,
};
use crate::step::{Action, AuditRow, Step};
use crate::time::Moment;

/// A journal that is being written.
pub(super) struct Written {
    pub(super) writer: Arc<Writer>,
    /// Numbers of the steps that it can undo and do again, as whoever reads it will.
    pub(super) steps: Vec<u64>,
    pub(super) done: usize,
    /// How many steps it has in all.
    pub(super) count: usize,
}

/// A step in a journal that undoes one of before the journal: nothing that could be undone by it.
const NO_STEP: u64 = u64::MAX;

impl Session {
    /// Undoes the last change; a stroke that is being drawn is cancelled. Without one, nothing.
    ///
    /// # Errors
    /// If an old change cannot be read back from the journal. Nothing is changed then.
    pub fn undo(&mut self) -> Result<Effect, EditError> {
        if self.in_stroke() {
            return self.cancel_stroke();
        }
        self.step_over(true)
    }

    /// Does again what was undone last. Without that, nothing.
    ///
    /// # Errors
    /// If an old change cannot be read back from the journal, or a stroke is being drawn.
    pub fn redo(&mut self) -> Result<Effect, EditError> {
        if self.in_stroke() {
            return Err(EditError::InStroke);
        }
        self.step_over(false)
    }

    /// Writes a journal from now on; one that was written until now is finished. What was done
    /// before can still be undone.
    ///
    /// # Errors
    /// If the labels were changed since the journal was begun with them, or a stroke is being
    /// drawn.
    pub fn write_journal(&mut self, journal: Journal) -> Result<(), EditError> {
        if self.in_stroke() {
            return Err(EditError::InStroke);
        }
        if journal.revision != self.scene.revision {
            return Err(EditError::Stale);
        }
        if let Some(old) = &self.journal {
            old.writer.append(Event::End(Action::Continued, Moment::now()));
        }
        let writer = journal.writer;
        self.journal = Some(Written { writer, steps: Vec::new(), done: 0, count: 0 });
        Ok(())
    }

    /// How writing the journal goes; none where none is written.
    pub fn journal_status(&self) -> Option<JournalStatus> {
        self.journal.as_ref().map(|journal| journal.writer.status())
    }

    /// Where the journal is.
    pub fn journal_path(&self) -> Option<PathBuf> {
        self.journal.as_ref().map(|journal| journal.writer.path().to_owned())
    }

    /// Waits until everything is on disk.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn sync_journal(&self) -> Result<(), Arc<JournalError>> {
        self.journal.as_ref().map_or(Ok(()), |journal| journal.writer.sync())
    }

    /// Marks the work as finished, saved or not, and waits until that is on disk. A journal that is
    /// finished is not offered for recovery; it stays as the audit trail, and further changes go on
    /// to be written. A stroke that is being drawn is ended first.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(&mut self, saved: bool) -> Result<(), Arc<JournalError>> {
        self.mark_finished(saved);
        self.sync_journal()
    }

    /// The same without waiting for the disk; [`journal_status`](Self::journal_status) tells how
    /// writing goes.
    pub fn mark_finished(&mut self, saved: bool) {
        if self.in_stroke() {
            drop(self.end_stroke());
        }
        let (action, time) = (if saved { Action::Saved } else { Action::Discarded }, Moment::now());
        self.audit.push(AuditRow::end(action, time));
        if let Some(journal) = &self.journal {
            journal.writer.append(Event::End(action, time));
        }
    }

    /// Goes back or forth in the history.
    fn step_over(&mut self, back: bool) -> Result<Effect, EditError> {
        let past = if back { self.history.last() } else { self.history.next() };
        let Some(past) = past else { return Ok(Effect::default()) };
        let step = past.step.clone();
        // The journal may have been begun after this step: then it has to be told what changes.
        let number = step.number;
        let unknown = self.journal.as_ref().is_some_and(|journal| !journal.knows(number, back));
        let (effect, told) = match (past.change.clone(), past.journal.clone()) {
            (Some(change), _) => {
                let told = unknown.then(|| self.turned(change.runs(), back));
                (self.run(change.runs(), back), told)
            }
            (None, Some((writer, at))) => {
                let wrong = |source| {
                    let path = writer.path().to_owned();
                    Arc::new(JournalError::Read { path, source })
                };
                let payload = writer.read(at)?;
                let packed = packed_runs(&payload).map_err(wrong)?;
                let voxels = self.scene.voxels();
                let runs = || unpacked_runs(packed, voxels.len() as u64);
                check_runs(voxels, runs(), back).map_err(wrong)?;
                let told = unknown.then(|| self.turned(runs().map_while(Result::ok), back));
                let runs = unpacked_runs(packed, voxels.len() as u64);
                (self.run(runs.map_while(Result::ok), back), told)
            }
            (None, None) => return Ok(Effect::default()),
        };
        self.history.moved(back);
        let time = Moment::now();
        let action = if back { Action::Undo } else { Action::Redo };
        self.audit.push(AuditRow::of(&step, action, time));
        let Some(journal) = &mut self.journal else { return Ok(effect) };
        match told {
            None => journal.step_over(number, back, time),
            Some(change) => {
                let tool = if back { "undo" } else { "redo" }.to_owned();
                let (number, counts) = (self.next_number, effect.counts.clone());
                self.next_number += 1;
                let parameters = json!({ "step": step.number });
                let told = Step { number, time, seconds: 0.0, tool, parameters, counts, ..step };
                journal.add(told, Arc::new(change), NO_STEP);
            }
        }
        Ok(effect)
    }

    /// A change as it is made forwards or backwards, from where the labels are now.
    fn turned(&self, runs: impl Iterator<Item = Run>, back: bool) -> Change {
        self.scene.change(
            runs.map(|run| if back { Run { old: run.new, new: run.old, ..run } } else { run }),
        )
    }
}

impl Written {
    /// Whether whoever reads the journal would undo this step, or do it again, next.
    fn knows(&self, number: u64, back: bool) -> bool {
        let at = if back { self.done.checked_sub(1) } else { Some(self.done) };
        at.and_then(|at| self.steps.get(at)) == Some(&number)
    }

    /// Hands over a step that is known as `number`; its place among the journal's.
    pub(super) fn add(&mut self, step: Step, change: Arc<Change>, number: u64) -> usize {
        self.steps.truncate(self.done);
        self.steps.push(number);
        self.done += 1;
        self.count += 1;
        self.writer.append(Event::Step(Box::new(step), change));
        self.count - 1
    }

    fn step_over(&mut self, number: u64, back: bool, time: Moment) {
        self.done = if back { self.done - 1 } else { self.done + 1 };
        let event = if back { Event::Undo(number, time) } else { Event::Redo(number, time) };
        self.writer.append(event);
    }
}
