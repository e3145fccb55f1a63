//! Saving labels.

use std::path::{Path, PathBuf};

use lamina_io::{LabelVolume, export_labels, files_of};

use super::Desktop;
use crate::gui::export::{Badge, LabelStamp, stamp_of};
use crate::gui::job::{Job, News};

/// What becomes of saving.
#[derive(Debug)]
pub(super) enum Saved {
    /// Labels as they were after this step are in a file.
    Done {
        /// Number of the step.
        step: u64,
        /// The file.
        path: PathBuf,
        /// What tells that it is right.
        badge: Badge,
        /// What to say.
        text: String,
    },
    /// They are in none.
    Failed(String),
}

impl Desktop {
    /// Writes the labels under a name that says the format, and reads them back.
    pub fn save_labels(&mut self, path: PathBuf) {
        let Some(layer) = &self.state.labels else { return };
        let (labels, step, stamp) = (layer.volume(), layer.step(), stamp_of(layer));
        let image = self.state.image.as_ref().map(|image| image.path.clone());
        self.state.typed_path = None;
        self.saving = Some(Job::start(
            self.wake(),
            |reason| Saved::Failed(format!("Cannot save the labels: the writer failed: {reason}")),
            move |worker| worker.send(save(&labels, (step, stamp), &path, image.as_deref())),
        ));
    }

    pub(super) fn take_saving(&mut self) {
        let Some(job) = &self.saving else { return };
        match job.news() {
            News::Nothing => {}
            News::Over => self.saving = None,
            News::Event(Saved::Done { step, path, badge, text }) => {
                if let Some(layer) = &mut self.state.labels
                    && stamp_of(layer)[0] == badge.stamp[0]
                {
                    layer.saved_at(step);
                    layer.file = Some(path);
                    if !layer.is_unsaved() {
                        self.finish_labels(true);
                    }
                }
                self.state.exporting.badge = Some(badge);
                self.notice(text);
            }
            News::Event(Saved::Failed(text)) => self.problem(text),
        }
    }
}

fn save(
    labels: &LabelVolume,
    (step, stamp): (u64, LabelStamp),
    path: &Path,
    image: Option<&Path>,
) -> Saved {
    let absolute = |path: &Path| path.canonicalize().ok();
    let target = absolute(path);
    if target.is_some()
        && image.is_some_and(|image| files_of(image).iter().any(|file| absolute(file) == target))
    {
        return Saved::Failed(format!(
            "This is the image itself; choose another name for the labels: {}",
            path.display()
        ));
    }
    match export_labels(path, labels) {
        Ok(verified) => {
            let (outcome, format) = (Ok(verified), "Saved");
            let badge = Badge { stamp, outcome, format, partial: false };
            let path = path.to_owned();
            let text = format!("Saved, and read back the same voxel by voxel: {}", path.display());
            Saved::Done { step, path, badge, text }
        }
        Err(error) => {
            Saved::Failed(format!("Cannot save the labels: {}", crate::cli::error_line(&error)))
        }
    }
}
