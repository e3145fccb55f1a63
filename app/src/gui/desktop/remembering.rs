//! What outlives the window: settings, and sessions that are opened.

use std::path::Path;
use std::time::{Duration, Instant};

use eframe::egui;

use super::Desktop;
use crate::gui::job::{Job, News};
use crate::gui::keymap::KeyMap;
use crate::gui::open::OpenRequest;
use crate::gui::session_file::{Resolved, SessionFile};
use crate::gui::settings::{LabelLook, Settings, SettingsFile, label_set_key, looks};
use crate::gui::state::Activity;

/// Settings are written when nothing changed for so long.
const QUIET: Duration = Duration::from_secs(1);

/// The settings and the session that is being opened.
#[derive(Default)]
pub(super) struct Remembering {
    file: Option<SettingsFile>,
    now: Settings,
    /// As they were written last.
    written: Settings,
    changed: Option<Instant>,
    writing: Option<Job<Result<(), String>>>,
    /// Whether a failure was told; once is enough.
    told: bool,
    /// The image whose looks are noted.
    image: Option<u64>,
    /// The labels whose looks are noted: their layer, their key, their looks at first.
    labels: Option<(u64, String, Vec<LabelLook>)>,
    session: Option<Opening>,
}

/// A session on its way.
enum Opening {
    /// Its files are looked at.
    Reading(Job<Box<Result<Resolved, String>>>),
    /// Its files are being read, one after another.
    Files { resolved: Box<Resolved>, next: Next },
}

/// What comes when the file before is there.
#[derive(Debug, Clone, Copy)]
enum Next {
    Labels,
    Reference,
    Worklist,
    View,
}

impl Remembering {
    pub(super) fn is_opening(&self) -> bool {
        self.session.is_some()
    }
}

impl Desktop {
    /// Uses the settings of a file and keeps them there.
    #[must_use]
    pub fn with_settings(mut self, file: SettingsFile) -> Self {
        let settings = match file.read() {
            Ok(settings) => {
                self.remembering.file = Some(file);
                settings
            }
            Err((text, may_write)) => {
                self.problem(text);
                self.remembering.file = may_write.then_some(file);
                Settings::default()
            }
        };
        let (map, left_out) = KeyMap::from_settings(&settings.keys);
        if left_out > 0 {
            self.notice(format!(
                "{left_out} of the keys in the settings cannot be used; F1 lists those that hold."
            ));
        }
        self.state.keyboard.map = map;
        self.remembering.written = settings.clone();
        self.remembering.now = settings;
        self
    }

    /// Applies what is remembered to what was opened, notes what was changed, and writes it when
    /// the hands rest.
    pub(super) fn remember(&mut self, ctx: &egui::Context) {
        self.note_looks();
        let memory = &mut self.remembering;
        if let Some(job) = &memory.writing {
            match job.news() {
                News::Nothing | News::Event(Ok(())) => {}
                News::Over => memory.writing = None,
                News::Event(Err(text)) => {
                    if !std::mem::replace(&mut memory.told, true) {
                        self.problem(text);
                    }
                }
            }
            return;
        }
        let Some(changed) = memory.changed else { return };
        if let Some(left) = QUIET.checked_sub(changed.elapsed()) {
            return ctx.request_repaint_after(left);
        }
        memory.changed = None;
        let Some(file) = memory.file.clone() else { return };
        let before = std::mem::replace(&mut memory.written, memory.now.clone());
        let now = memory.now.clone();
        self.remembering.writing = Some(Job::start(
            self.wake(),
            |reason| Err(format!("The settings cannot be kept: {reason}")),
            move |worker| worker.send(file.write(&before, &now)),
        ));
    }

    /// Writes what is not written yet, before the window closes.
    pub(super) fn remember_at_once(&mut self) {
        self.note_looks();
        let memory = &mut self.remembering;
        if memory.changed.take().is_some()
            && let Some(file) = &memory.file
        {
            // Nobody is left to be told of a failure.
            let _ = file.write(&memory.written, &memory.now);
            memory.written = memory.now.clone();
        }
    }

    fn note_looks(&mut self) {
        let (state, memory) = (&mut self.state, &mut self.remembering);
        let mut now = memory.now.clone();
        let image = state.image.as_ref().map(|image| image.id);
        if image != memory.image {
            memory.image = image;
            now.apply_look(state);
        } else if image.is_some() {
            now.note_look(state);
        }
        let models: Vec<String> =
            state.models.iter().map(|model| model.manifest.name.clone()).collect();
        if let Some(layer) = &mut state.labels
            && let Some(key) = label_set_key(layer, &models)
        {
            let id = layer.revision()[0];
            match &memory.labels {
                Some((known, same, first)) if (*known, same) == (id, &key) => {
                    let looks = looks(layer);
                    if looks != *first {
                        now.note_labels(&key, looks.clone());
                        memory.labels = Some((id, key, looks));
                    }
                }
                _ => {
                    now.apply_labels(&key, layer);
                    memory.labels = Some((id, key, looks(layer)));
                }
            }
        }
        now.keys = state.keyboard.map.to_settings();
        if now != memory.now {
            memory.now = now;
            memory.changed = Some(Instant::now());
        }
    }

    /// Opens a session: looks at its files, then opens them.
    pub(super) fn open_session(&mut self, path: &Path) {
        let path = path.to_owned();
        self.state.opening = Some(Activity::new("Opening the session"));
        self.remembering.session = Some(Opening::Reading(Job::start(
            self.wake(),
            |reason| Box::new(Err(format!("Cannot open the session: the reader failed: {reason}"))),
            move |worker| worker.send(Box::new(SessionFile::read(&path))),
        )));
    }

    /// Goes on with the session that is being opened.
    pub(super) fn take_session(&mut self) {
        let Some(opening) = &self.remembering.session else { return };
        match opening {
            Opening::Reading(job) => match job.news() {
                News::Nothing => {}
                News::Over => self.end_session(),
                News::Event(answer) => match *answer {
                    Err(text) => {
                        self.end_session();
                        self.problem(text);
                    }
                    Ok(resolved) => {
                        self.open(OpenRequest {
                            paths: vec![resolved.image.clone()],
                            series: resolved.session.image.series,
                            ..OpenRequest::default()
                        });
                        let resolved = Box::new(resolved);
                        let files = Opening::Files { resolved, next: Next::Labels };
                        self.remembering.session = Some(files);
                    }
                },
            },
            Opening::Files { .. } if self.state.opening.is_some() || self.opening.is_some() => {}
            Opening::Files { resolved, next } => {
                let (resolved, next) = (resolved.clone(), *next);
                let is_open = self.state.image.as_ref().is_some_and(|i| i.path == resolved.image);
                if !is_open {
                    return self.end_session(); // why was said by whoever read it
                }
                self.go_on_with(resolved, next);
            }
        }
    }

    fn go_on_with(&mut self, resolved: Box<Resolved>, next: Next) {
        let after = match next {
            Next::Labels => {
                if let Some(labels) = resolved.labels.clone() {
                    let over = self.grid();
                    let paths = vec![labels];
                    self.open(OpenRequest {
                        paths,
                        over,
                        as_labels: true,
                        ..OpenRequest::default()
                    });
                }
                Next::Reference
            }
            Next::Reference => {
                if let Some(reference) = resolved.reference.clone() {
                    self.open_reference(reference);
                }
                Next::Worklist
            }
            Next::Worklist => {
                if let Some(sources) = resolved.worklist.clone() {
                    self.open_worklist(sources);
                }
                Next::View
            }
            Next::View => {
                // What is remembered of the modality gives way to what the session says.
                self.note_looks();
                resolved.session.apply(&mut self.state);
                self.remembering.session = None;
                return self.preload();
            }
        };
        self.remembering.session = Some(Opening::Files { resolved, next: after });
    }

    /// Leaves a session that is being opened as far as it is.
    pub(super) fn end_session(&mut self) {
        if matches!(self.remembering.session, Some(Opening::Reading(_))) {
            self.state.opening = None;
        }
        self.remembering.session = None;
    }
}
