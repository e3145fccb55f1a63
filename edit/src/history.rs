//! What was done and can be undone: as many changes as there are.
//!
//! Changes are kept in memory up to [`MEMORY_BYTES`]; beyond that the oldest that are in the journal
//! are dropped, and read back from there when they are undone.

use std::sync::Arc;

use crate::change::Change;
use crate::journal::Writer;
use crate::step::Step;

/// How much memory changes may take before they are left to the journal.
pub(crate) const MEMORY_BYTES: usize = 256 << 20;

/// A change that was made.
pub(crate) struct Past {
    pub step: Step,
    /// The change, unless it is only in the journal.
    pub change: Option<Arc<Change>>,
    /// The journal that has it, and its place among the changes there.
    pub journal: Option<(Arc<Writer>, usize)>,
}

/// Changes, those that stand before those that were undone.
#[derive(Default)]
pub(crate) struct History {
    past: Vec<Past>,
    done: usize,
    memory: usize,
    /// All before this were looked at when memory ran short.
    dropped_to: usize,
    limit: usize,
}

impl History {
    pub(crate) fn new(past: Vec<Past>, done: usize) -> Self {
        let memory = past.iter().filter_map(|past| past.change.as_ref()).map(size).sum();
        Self { past, done, memory, dropped_to: 0, limit: MEMORY_BYTES }
    }

    pub(crate) fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
        self.shrink();
    }

    /// A new change. What was undone is gone.
    pub(crate) fn push(&mut self, past: Past) {
        for gone in self.past.drain(self.done..) {
            self.memory -= gone.change.as_ref().map_or(0, size);
        }
        self.dropped_to = self.dropped_to.min(self.done);
        self.memory += past.change.as_ref().map_or(0, size);
        self.past.push(past);
        self.done += 1;
        self.shrink();
    }

    /// What would be undone next.
    pub(crate) fn last(&self) -> Option<&Past> {
        self.past[..self.done].last()
    }

    /// What would be done again next.
    pub(crate) fn next(&self) -> Option<&Past> {
        self.past.get(self.done)
    }

    /// That the last change was undone, or the next done again.
    pub(crate) fn moved(&mut self, back: bool) {
        self.done = if back { self.done - 1 } else { self.done + 1 };
    }

    /// All changes, and how many of them stand.
    pub(crate) fn steps(&self) -> (impl Iterator<Item = &Step>, usize) {
        (self.past.iter().map(|past| &past.step), self.done)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory
    }

    /// Leaves the oldest changes to the journal, as far as they are written there.
    fn shrink(&mut self) {
        while self.memory > self.limit && self.dropped_to < self.past.len() {
            let past = &mut self.past[self.dropped_to];
            let written =
                past.journal.as_ref().is_some_and(|(writer, at)| *at < writer.steps_written());
            if past.journal.is_some() && !written {
                return; // soon
            }
            if written && let Some(change) = past.change.take() {
                self.memory -= size(&change);
            }
            self.dropped_to += 1;
        }
    }
}

fn size(change: &Arc<Change>) -> usize {
    change.memory_bytes()
}
