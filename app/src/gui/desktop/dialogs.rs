//! Dialogs of files: on a thread of their own, for they wait for the user.

use std::path::PathBuf;

use super::Desktop;
use crate::gui::command::Command;
use crate::gui::job::{Job, News};
use crate::gui::state::Purpose;
use crate::gui::view;

/// What a dialog answers.
#[derive(Debug)]
pub(super) enum Chosen {
    /// To open, as labels or whatever they are.
    Open(Vec<PathBuf>, bool),
    /// For something of the comparison, the worklist or the models.
    For(Purpose, PathBuf),
    /// To save labels as.
    Save(PathBuf),
    /// Nothing was chosen; whether any dialog was seen.
    Nothing { seen: bool, purpose: Purpose },
}

impl Desktop {
    pub(super) fn choose(&mut self, dialog: Dialog) {
        if self.dialog.is_some() {
            return;
        }
        if matches!(dialog, Dialog::Labels) && self.state.image.is_none() {
            return self.notice("Open an image first: labels are shown over one.");
        }
        if matches!(dialog, Dialog::Save) && self.state.labels.is_none() {
            return self.notice("There are no labels to save yet.");
        }
        let purpose = dialog.purpose();
        self.dialog = Some(Job::start(
            self.wake(),
            move |_| Chosen::Nothing { seen: false, purpose },
            move |worker| worker.send(dialog.ask()),
        ));
    }

    pub(super) fn take_dialog(&mut self) {
        if let Some(job) = &self.dialog {
            match job.news() {
                News::Nothing | News::Event(Chosen::Nothing { seen: true, .. }) => {}
                News::Over => self.dialog = None,
                News::Event(Chosen::Open(paths, true)) => {
                    for path in paths {
                        self.run(Command::OpenLabels(path));
                    }
                }
                News::Event(Chosen::Open(paths, false)) => self.run(Command::Open(paths)),
                News::Event(Chosen::Save(path)) => self.save_labels(path),
                News::Event(Chosen::For(purpose, path)) => {
                    self.run(view::dialogs::wanted_of(purpose, path));
                }
                News::Event(Chosen::Nothing { seen: false, purpose }) => {
                    // Neither a desktop portal nor zenity: type it.
                    self.state.typed_path = Some((String::new(), purpose));
                }
            }
        }
    }
}

/// What the user is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dialog {
    File,
    Folder,
    Labels,
    Save,
    Reference,
    Worklist,
    ListImages,
    ListReferences,
    Bundle,
}

impl Dialog {
    fn purpose(self) -> Purpose {
        match self {
            Self::File | Self::Folder => Purpose::Open,
            Self::Labels => Purpose::Labels,
            Self::Save => Purpose::Save,
            Self::Reference => Purpose::Reference,
            Self::Worklist => Purpose::Worklist,
            Self::ListImages => Purpose::ListImages,
            Self::ListReferences => Purpose::ListReferences,
            Self::Bundle => Purpose::Bundle,
        }
    }

    /// Waits for the user.
    fn ask(self) -> Chosen {
        let began = std::time::Instant::now();
        let images: &[&str] = &[
            "nii", "gz", "hdr", "img", "mha", "mhd", "nrrd", "nhdr", "dcm", "png", "jpg", "jpeg",
            "tif", "tiff", "bmp",
        ];
        // Nobody closes a dialog that fast: there was none.
        let nothing = || {
            let seen = began.elapsed().as_millis() > 400;
            Chosen::Nothing { seen, purpose: self.purpose() }
        };
        let dialog = rfd::FileDialog::new();
        let filtered = |dialog: rfd::FileDialog| {
            dialog.add_filter("Images and labels", images).add_filter("All files", &["*"])
        };
        let chosen = match self {
            Self::File => filtered(dialog).set_title("Open").pick_files(),
            Self::Labels => filtered(dialog).set_title("Open labels").pick_files(),
            Self::Folder => {
                dialog.set_title("Open folder").pick_folder().map(|folder| vec![folder])
            }
            Self::Reference
            | Self::Worklist
            | Self::Bundle
            | Self::ListImages
            | Self::ListReferences => {
                let chosen = match self {
                    Self::Reference => filtered(dialog).set_title("Open reference").pick_file(),
                    Self::ListImages => dialog.set_title("Folder of the images").pick_folder(),
                    Self::ListReferences => {
                        dialog.set_title("Folder of the references").pick_folder()
                    }
                    Self::Bundle => dialog.set_title("Add a bundle").pick_folder(),
                    _ => dialog.set_title("Open worklist").pick_folder(),
                };
                return match chosen {
                    Some(path) => Chosen::For(self.purpose(), path),
                    None => nothing(),
                };
            }
            Self::Save => {
                let dialog = dialog.set_title("Save labels").set_file_name("labels.nii.gz");
                return match dialog.save_file() {
                    Some(path) => Chosen::Save(path),
                    None => nothing(),
                };
            }
        };
        match chosen {
            Some(paths) if !paths.is_empty() => Chosen::Open(paths, matches!(self, Self::Labels)),
            _ => nothing(),
        }
    }
}
