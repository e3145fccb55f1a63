//! Exporting: the dialog, the job that writes, and the badge that stays.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use eframe::egui;
use image::RgbImage;

use super::Desktop;
use crate::gui::export::case::{CaseData, edits_of};
use crate::gui::export::write::{Done, ImagePart, LabelPart, Request, write};
use crate::gui::export::{Badge, ExportCommand, Form, LabelFormat, Said, What, picture, stamp_of};
use crate::gui::job::{Job, News};
use crate::gui::labels::BY_HAND;
use crate::gui::session_file::SessionFile;

/// What a job of exporting answers.
#[derive(Debug)]
struct Answer {
    what: What,
    format: LabelFormat,
    target: PathBuf,
    result: Result<Done, String>,
}

/// The export that runs.
#[derive(Default)]
pub(super) struct ExportJobs {
    job: Option<Job<Box<Answer>>>,
    /// A dialog of the desktop that asks where to write.
    asking: Option<Job<Option<PathBuf>>>,
    /// The picture of the window, once it was drawn without names.
    screen: Option<Screen>,
}

/// A picture of the window on its way.
enum Screen {
    /// Names are left away in the next frame.
    Wanted,
    /// It is asked for.
    Asked(Receiver<Arc<egui::ColorImage>>),
}

impl ExportJobs {
    pub(super) fn is_running(&self) -> bool {
        self.job.is_some() || self.screen.is_some()
    }
}

impl Desktop {
    /// Does what the user wants of an export.
    pub(super) fn export(&mut self, command: ExportCommand) {
        match command {
            ExportCommand::Open(what) => {
                if what.needs_labels() && self.state.labels.is_none() {
                    return self.notice("There are no labels to export yet.");
                }
                if self.state.image.is_none() {
                    return self.notice("Open an image first.");
                }
                self.state.exporting.form = Some(Form::new(what, &self.state));
            }
            ExportCommand::Close => self.state.exporting.form = None,
            ExportCommand::Choose => self.choose_target(),
            ExportCommand::Write => self.begin_export(),
            other => {
                if let Some(form) = &mut self.state.exporting.form {
                    form.run(other);
                }
            }
        }
    }

    fn choose_target(&mut self) {
        let Some(form) = &self.state.exporting.form else { return };
        if self.exports.asking.is_some() {
            return;
        }
        let path = form.target().unwrap_or_default();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        self.exports.asking = Some(Job::start(
            self.wake(),
            |_| None,
            move |worker| {
                let dialog = rfd::FileDialog::new().set_title("Export as").set_file_name(name);
                worker.send(dialog.set_directory(folder).save_file());
            },
        ));
    }

    fn begin_export(&mut self) {
        if self.exports.is_running() {
            return;
        }
        let Some(form) = &mut self.state.exporting.form else { return };
        form.said = None;
        if form.target().is_none() {
            form.said = Some(Said { done: false, text: "Type a name for the file.".to_owned() });
            return;
        }
        if form.what == What::Window {
            self.state.exporting.nameless = true;
            self.exports.screen = Some(Screen::Wanted);
            return;
        }
        let made = (form.what == What::Plane).then(|| picture::plane(&self.state)).flatten();
        self.start_export(made);
    }

    fn start_export(&mut self, picture: Option<RgbImage>) {
        let Some(form) = self.state.exporting.form.clone() else { return };
        let Some(target) = form.target() else { return };
        let (what, format) = (form.what, form.format);
        let request = Request {
            target: target.clone(),
            image: self.state.image.as_ref().map(|image| ImagePart {
                volume: image.volume.clone(),
                path: image.path.clone(),
                series: image.series,
            }),
            labels: self.label_part(),
            case: CaseData::of(&self.state),
            picture,
            session: SessionFile::of(&self.state).filter(|_| what == What::Session),
            form,
        };
        self.state.exporting.running = Some(what.label());
        let answer = move |result| Box::new(Answer { what, format, target, result });
        let failed = answer.clone();
        self.exports.job = Some(Job::start(
            self.wake(),
            move |reason| failed(Err(format!("The writer failed: {reason}"))),
            move |worker| worker.send(answer(write(&request))),
        ));
    }

    fn label_part(&self) -> Option<LabelPart> {
        let layer = self.state.labels.as_ref()?;
        let audit = layer.session().audit().to_vec();
        let model = self.state.models.iter().find(|model| model.manifest.name == layer.origin);
        Some(LabelPart {
            volume: layer.volume(),
            stamp: stamp_of(layer),
            step: layer.step(),
            classes: layer.classes.clone(),
            model: model.map(|model| model.manifest.clone()),
            by_hand: edits_of(&audit).changes > 0,
            from_file: layer.origin != BY_HAND,
            audit,
        })
    }

    /// Takes in what came of exporting, and the picture of the window.
    pub(super) fn take_exports(&mut self, ctx: &egui::Context) {
        self.take_screen(ctx);
        if let Some(job) = &self.exports.asking {
            match job.news() {
                News::Nothing | News::Event(None) => {}
                News::Over => self.exports.asking = None,
                News::Event(Some(path)) => {
                    let path = path.to_string_lossy().into_owned();
                    self.export(ExportCommand::Path(path));
                    // The dialog of the desktop has asked already.
                    self.export(ExportCommand::Replace(true));
                }
            }
        }
        let Some(job) = &self.exports.job else { return };
        match job.news() {
            News::Nothing => {}
            News::Over => {
                self.exports.job = None;
                self.state.exporting.running = None;
            }
            News::Event(answer) => self.exported(*answer),
        }
    }

    fn exported(&mut self, answer: Answer) {
        let Answer { what, format, target, result } = answer;
        let file = target.display();
        let said = match result {
            Ok(done) => {
                let mut text = format!("Written: {file}");
                if let Done::Labels { verified, stamp, step, whole } = done {
                    let badge = Badge {
                        stamp,
                        outcome: Ok(verified),
                        format: format.label(),
                        partial: !whole && !format.is_colored(),
                    };
                    text = format!("{}. {text}", badge.detail());
                    self.state.exporting.badge = Some(badge);
                    if let Some(layer) = self.state.labels.as_mut().filter(|_| whole)
                        && stamp_of(layer)[0] == stamp[0]
                    {
                        layer.saved_at(step);
                        layer.file = Some(target.clone());
                        if !layer.is_unsaved() {
                            self.finish_labels(true);
                        }
                    }
                }
                self.state.exporting.folder = target.parent().map(PathBuf::from);
                Said { done: true, text }
            }
            Err(text) => {
                if what == What::Labels
                    && let Some(layer) = &self.state.labels
                {
                    let outcome = Err("nothing was kept; see the message".to_owned());
                    let (stamp, format) = (stamp_of(layer), format.label());
                    let badge = Badge { stamp, outcome, format, partial: false };
                    self.state.exporting.badge = Some(badge);
                }
                Said { done: false, text }
            }
        };
        if let Some(form) = &mut self.state.exporting.form {
            form.replace = false;
            form.said = Some(said);
        } else if said.done {
            self.notice(said.text);
        } else {
            self.problem(said.text);
        }
    }

    /// Asks for the picture of the window when it was drawn without names, and takes it.
    fn take_screen(&mut self, ctx: &egui::Context) {
        match &self.exports.screen {
            None => {}
            Some(Screen::Wanted) => {
                let (sender, receiver) = channel();
                let wake = self.wake();
                ctx.request_screenshot(move |image| {
                    let _ = sender.send(image); // nobody may be listening any more
                    wake();
                });
                self.exports.screen = Some(Screen::Asked(receiver));
            }
            Some(Screen::Asked(receiver)) => match receiver.try_recv() {
                Err(std::sync::mpsc::TryRecvError::Empty) => {}
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {
                    self.end_screen();
                    let text = "The screen gave no picture; try again.".to_owned();
                    if let Some(form) = &mut self.state.exporting.form {
                        form.said = Some(Said { done: false, text });
                    }
                }
                Ok(image) => {
                    self.end_screen();
                    let pixels: Vec<[u8; 3]> =
                        image.pixels.iter().map(|c| [c.r(), c.g(), c.b()]).collect();
                    self.start_export(picture::window(image.size[0], &pixels));
                }
            },
        }
    }

    fn end_screen(&mut self) {
        self.exports.screen = None;
        self.state.exporting.nameless = false;
    }
}
