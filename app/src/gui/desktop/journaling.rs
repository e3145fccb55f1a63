//! The journal of what was done, and work that was not finished.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lamina_edit::{Ending, ImageId, Journal, JournalError, Recovery, find_journals};
use lamina_io::{Rescale, Volume, Voxels};
use ndarray::Array3;

use super::Desktop;
use crate::gui::job::{Job, News};
use crate::gui::labels::LabelLayer;
use crate::gui::plane::PlaneView;
use crate::gui::shades::{Preset, Window};
use crate::gui::state::OpenImage;
use crate::gui::tools::{Tool, Unfinished};

/// How often, and after how long, it is looked again at journals that somebody writes.
const DYING_TRIES: usize = 8;
const DYING: Duration = Duration::from_millis(400);

/// What jobs about journals answer.
pub(super) enum JournalEvent {
    /// Which image is open, and what was not finished on it.
    Known(Option<ImageId>, Vec<Unfinished>),
    /// A journal begins.
    Begun(Result<Journal, JournalError>),
    /// Work to go on with, over a stand-in where no image is open; something to say.
    TakenUp(Box<(LabelLayer, Option<OpenImage>, String)>),
    /// It did not work.
    Failed(String),
}

/// Jobs about journals.
#[derive(Default)]
pub(super) struct Journaling {
    looking: Option<Job<JournalEvent>>,
    beginning: Option<Job<JournalEvent>>,
    taking_up: Option<Job<JournalEvent>>,
    image: Option<ImageId>,
    /// Whether it is known which image is open.
    is_known: bool,
    /// Said once that no journal can be written.
    complained: bool,
    /// Labels that are put away, with what of their journals waits to be written.
    ending: Vec<JoinHandle<()>>,
}

impl Journaling {
    pub(super) fn is_running(&self) -> bool {
        self.looking.is_some() || self.beginning.is_some() || self.taking_up.is_some()
    }
}

impl Drop for Journaling {
    fn drop(&mut self) {
        for thread in self.ending.drain(..) {
            drop(thread.join()); // a panic there has lost nothing here
        }
    }
}

impl Desktop {
    /// Finds out which image is open and what was not finished, on it or, without one, at all.
    pub(super) fn look_for_journals(&mut self) {
        self.journaling.image = None;
        self.journaling.is_known = false;
        self.state.unfinished.clear();
        let Some(folder) = self.folders.journals.clone() else { return };
        let image = self.state.image.as_ref().filter(|image| !image.is_stand_in);
        let volume = image.map(|image| image.volume.clone());
        self.journaling.looking = Some(Job::start(
            self.wake(),
            |reason| JournalEvent::Failed(format!("Cannot look for unfinished work: {reason}")),
            move |worker| {
                let id = volume.as_deref().map(ImageId::of);
                drop(volume);
                // A program that was killed just now may hold its journal for a moment.
                for _ in 0..DYING_TRIES {
                    let (found, in_use) = unfinished(&folder, id);
                    worker.send(JournalEvent::Known(id, found));
                    if !in_use || worker.stopped() {
                        return;
                    }
                    std::thread::sleep(DYING);
                }
            },
        ));
    }

    /// Begins a journal as soon as labels are going to be changed.
    pub(super) fn keep_journal(&mut self) {
        let wanted = |layer: &LabelLayer| {
            let session = layer.session();
            session.journal_path().is_none()
                && !session.in_stroke()
                && !layer.is_live()
                && (session.undoable().is_some() || self.state.tools.tool != Tool::Crosshair)
        };
        let journaling = &self.journaling;
        let is_unknown = journaling.looking.is_some() && !journaling.is_known;
        if journaling.beginning.is_some() || is_unknown || journaling.complained {
            return;
        }
        let Some(layer) = self.state.labels.as_ref().filter(|layer| wanted(layer)) else { return };
        let Some(folder) = self.folders.journals.clone() else { return };
        let (scene, image) = (layer.session().scene().clone(), journaling.image);
        self.journaling.beginning = Some(Job::start(
            self.wake(),
            |reason| JournalEvent::Failed(format!("No journal is kept: {reason}")),
            move |worker| {
                let _ = std::fs::create_dir_all(&folder); // creating the journal says why not
                let journal = Journal::create(&folder, &scene, image);
                drop(scene);
                worker.send(JournalEvent::Begun(journal));
            },
        ));
    }

    pub(super) fn take_journals(&mut self) {
        let next = |job: &mut Option<Job<JournalEvent>>| match job.as_ref().map(Job::news) {
            Some(News::Event(event)) => Some(event),
            Some(News::Over) => {
                *job = None;
                None
            }
            _ => None,
        };
        let Journaling { looking, beginning, taking_up, .. } = &mut self.journaling;
        let events = [looking, beginning, taking_up].map(next);
        for event in events.into_iter().flatten() {
            match event {
                JournalEvent::Known(id, found) => {
                    self.journaling.image = id;
                    self.journaling.is_known = true;
                    self.state.unfinished = found;
                }
                JournalEvent::Begun(Ok(journal)) => self.write_journal(journal),
                JournalEvent::Begun(Err(error)) => {
                    self.journaling.complained = true;
                    self.problem(format!(
                        "Edits are not journaled, so save often: {}",
                        crate::cli::error_line(&error)
                    ));
                }
                JournalEvent::TakenUp(taken) => {
                    let (layer, stand_in, said) = *taken;
                    if let Some(opened) = stand_in {
                        self.show(opened);
                    }
                    self.forget_labels();
                    self.state.labels = Some(layer);
                    self.state.overlay.labels = true;
                    self.state.unfinished.clear();
                    self.notice(said);
                }
                JournalEvent::Failed(text) => self.problem(text),
            }
        }
        self.tell_of_a_failing_journal();
    }

    fn write_journal(&mut self, journal: Journal) {
        let path = journal.path().to_owned();
        let Some(layer) = &mut self.state.labels else {
            drop(journal);
            let _ = std::fs::remove_file(path); // it holds nothing
            return;
        };
        // Labels that changed meanwhile get another journal in the next frame.
        if layer.edit(|session| session.write_journal(journal)).is_err() {
            let _ = std::fs::remove_file(path);
        }
    }

    /// A full disk, for example: said once.
    fn tell_of_a_failing_journal(&mut self) {
        let status = self.state.labels.as_ref().and_then(|l| l.session().journal_status());
        let error = status.and_then(|status| status.error);
        match error {
            Some(error) if !self.journaling.complained => {
                self.journaling.complained = true;
                self.problem(format!(
                    "The journal cannot be written, so save the labels soon: {}",
                    crate::cli::error_line(&*error)
                ));
            }
            _ => {}
        }
    }

    /// Leaves unfinished work for another time.
    pub(super) fn leave_for_later(&mut self) {
        self.journaling.looking = None;
        self.state.unfinished.clear();
    }

    /// Goes on with the work that a journal has: over the image that is open, or a stand-in.
    pub(super) fn take_up(&mut self, path: PathBuf) {
        self.journaling.looking = None;
        let image = self.state.image.as_ref().filter(|image| !image.is_stand_in);
        let image = image.map(|image| image.volume.clone());
        self.journaling.taking_up = Some(Job::start(
            self.wake(),
            |reason| JournalEvent::Failed(format!("Cannot take up the work: {reason}")),
            move |worker| {
                worker.send(match take_up(&path, image) {
                    Ok(taken) => JournalEvent::TakenUp(Box::new(taken)),
                    Err(error) => JournalEvent::Failed(format!(
                        "Cannot take up the work: {}",
                        crate::cli::error_line(&error)
                    )),
                });
            },
        ));
    }

    /// Marks the work that a journal has as not wanted. The journal stays, as the audit trail.
    pub(super) fn discard(&mut self, path: PathBuf) {
        self.journaling.looking = None;
        self.state.unfinished.retain(|found| found.path != path);
        self.journaling.taking_up = Some(Job::start(
            self.wake(),
            |reason| JournalEvent::Failed(format!("Cannot discard the work: {reason}")),
            move |worker| {
                let resumed = Recovery::open(&path).and_then(|found| found.resume(None));
                let done = resumed.map(|mut session| session.finish(false));
                if let Err(error) = done {
                    let text = crate::cli::error_line(&error);
                    worker.send(JournalEvent::Failed(format!("Cannot discard the work: {text}")));
                }
            },
        ));
    }

    /// Ends work on labels: `saved` tells whether they are in a file, or else not wanted.
    pub(super) fn finish_labels(&mut self, saved: bool) {
        if let Some(layer) = &mut self.state.labels {
            layer.edit(|session| session.mark_finished(saved));
        }
    }

    /// Puts labels away without waiting for the disk.
    pub(super) fn put_away(&mut self, mut layer: LabelLayer) {
        let nothing_done = layer.session().audit().is_empty();
        let path = layer.session().journal_path();
        if !nothing_done && !layer.is_unsaved() {
            layer.edit(|session| session.mark_finished(true));
        }
        self.journaling.ending.retain(|thread| !thread.is_finished());
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || {
            drop(layer);
            if let Some(path) = path.filter(|_| nothing_done) {
                let _ = std::fs::remove_file(path);
            }
        });
        self.journaling.ending.extend(thread);
    }
}

/// Journals of an image, or of any, with work that no file has, newest first; and whether others
/// are being written.
fn unfinished(folder: &Path, image: Option<ImageId>) -> (Vec<Unfinished>, bool) {
    let found = find_journals(folder).unwrap_or_default();
    let in_use = found.iter().any(|journal| journal.in_use);
    let unfinished = found
        .into_iter()
        .filter(|journal| !journal.in_use)
        .filter_map(|journal| {
            Some(Unfinished { path: journal.path, summary: journal.summary.ok()? })
        })
        .filter(|found| !found.summary.finished && found.summary.steps > 0)
        .filter(|found| image.is_none() || found.summary.image == image)
        .collect();
    (unfinished, in_use)
}

fn take_up(
    path: &Path,
    image: Option<Arc<Volume>>,
) -> Result<(LabelLayer, Option<OpenImage>, String), JournalError> {
    let found = Recovery::open(path)?;
    let steps = found.steps().len();
    let lost = match found.ending() {
        Ending::Whole => "",
        Ending::Cut { .. } => " The change that was being written last is not among them.",
        Ending::Damaged { .. } => " What came after them is damaged and was left out.",
    };
    let stand_in = image.is_none().then(|| stand_in(&found));
    let source = image.as_ref().map(|image| image.source.clone()).unwrap_or_default();
    let image = image.or_else(|| stand_in.as_ref().map(|opened| opened.volume.clone()));
    let session = found.resume(image)?;
    let layer = LabelLayer::resume(session, source, "unfinished work".to_owned());
    let mut said = if steps == 1 {
        "Took up one change, which can be undone.".to_owned()
    } else {
        format!("Took up {steps} changes; all of them can be undone.")
    };
    said.push_str(lost);
    if stand_in.is_some() {
        said.push_str(" The image itself is not in the journal: open it, and the work is offered again over it.");
    }
    Ok((layer, stand_in, said))
}

/// Shows 0 as black.
const BLACK: Window = Window { center: 1.0, width: 1.0 };

/// An image without anything on it, where labels can be seen.
fn stand_in(found: &Recovery) -> OpenImage {
    let geometry = found.geometry().clone();
    let voxels = Voxels::U8(Array3::zeros(geometry.shape()));
    let volume = Volume::new(voxels, Rescale::IDENTITY, geometry)
        .expect("the labels of a journal fit their geometry");
    OpenImage {
        series: None,
        is_dicom: false,
        flaws: Vec::new(),
        id: 0,
        is_stand_in: true,
        views: PlaneView::all(&volume.geometry),
        presets: vec![Preset { name: "No image".to_owned(), window: BLACK }],
        name: "Unfinished work".to_owned(),
        path: PathBuf::new(),
        volume: Arc::new(volume),
    }
}
