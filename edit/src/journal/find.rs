//! Which journals a folder has, and what they are.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::EXTENSION;
use super::error::JournalError;
use super::frame::Kind;
use super::frames::{Ending, open_frames, read_error};
use super::payload::{self, BackFacts, BaseFacts, EndFacts};
use crate::step::Step;
use crate::time::Moment;
use crate::values::ImageId;

/// A journal in a folder.
#[derive(Debug)]
pub struct FoundJournal {
    /// Its file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Whether a program is writing it.
    pub in_use: bool,
    /// What it is, or why that cannot be said.
    pub summary: Result<JournalSummary, JournalError>,
}

/// What a journal is, as far as it can be told without rebuilding the labels.
#[derive(Clone, Debug)]
pub struct JournalSummary {
    /// When it was begun.
    pub created: Moment,
    /// When something last happened.
    pub last: Moment,
    /// Depth, height, width of the labels.
    pub shape: [usize; 3],
    /// Which image they belong to.
    pub image: Option<ImageId>,
    /// Changes that stand: made and not undone.
    pub steps: u64,
    /// Voxels that all changes together changed.
    pub voxels: u64,
    /// Whether work was finished, so that nothing waits to be taken up.
    pub finished: bool,
    /// How the file ends.
    pub ending: Ending,
}

/// The journals in a folder, newest first. Each is read through and checked; none is changed.
///
/// # Errors
/// If the folder cannot be read. A journal that cannot be read is listed with its reason.
pub fn find_journals(folder: &Path) -> Result<Vec<FoundJournal>, JournalError> {
    let fail = |source| JournalError::Folder { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) && path.is_file() {
            found.push(look_at(path));
        }
    }
    found.sort_by(|a, b| b.path.file_name().cmp(&a.path.file_name()));
    Ok(found)
}

fn look_at(path: PathBuf) -> FoundJournal {
    let file = File::open(&path);
    let bytes = file.as_ref().ok().and_then(|file| file.metadata().ok()).map_or(0, |m| m.len());
    // Locks are given back when the file is closed, after this.
    let in_use = file
        .as_ref()
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
    drop(file);
    let summary = summarize(&path);
    FoundJournal { path, bytes, in_use, summary }
}

fn summarize(path: &Path) -> Result<JournalSummary, JournalError> {
    let mut frames = open_frames(path)?;
    let first = frames.first(path)?;
    let (base, _) = payload::split::<BaseFacts>(&first.payload)
        .map_err(|source| read_error(path, first.at, "facts about the labels", &source))?;
    let mut summary = JournalSummary {
        created: base.created,
        last: base.created,
        shape: base.shape,
        image: base.image,
        steps: 0,
        voxels: 0,
        finished: false,
        ending: Ending::Whole,
    };
    let mut undone = 0;
    summary.ending = frames.each(path, |record| {
        let wrong = |source: std::io::Error| source.to_string();
        summary.finished = record.kind == Kind::End;
        match record.kind {
            Kind::Base => return Err("a second beginning".to_owned()),
            Kind::Step => {
                let (step, _) = payload::split::<Step>(&record.payload).map_err(wrong)?;
                summary.steps += 1;
                undone = 0;
                summary.voxels = summary.voxels.saturating_add(step.voxels);
                summary.last = step.time;
            }
            Kind::Undo | Kind::Redo => {
                let facts: BackFacts =
                    serde_json::from_slice(&record.payload).map_err(|e| e.to_string())?;
                let (from, to) = match record.kind {
                    Kind::Undo => (&mut summary.steps, &mut undone),
                    _ => (&mut undone, &mut summary.steps),
                };
                *from = from.checked_sub(1).ok_or("an undo or redo of nothing")?;
                *to += 1;
                summary.last = facts.time;
            }
            Kind::End => {
                let facts: EndFacts =
                    serde_json::from_slice(&record.payload).map_err(|e| e.to_string())?;
                summary.last = facts.time;
            }
        }
        Ok(())
    })?;
    Ok(summary)
}
