//! Which model and which device: adding, loading, and holding a model against the image.

use std::path::PathBuf;

use lamina_engine::device::offered;

use crate::gui::desktop::Desktop;
use crate::gui::job::{Job, News};
use crate::gui::segment::{
    Checked, Loading, ModelChoice, Overlay, SegmentEvent, doubts_about, preload,
};

impl Desktop {
    /// Loads the chosen model onto the chosen device.
    pub(in crate::gui::desktop) fn preload(&mut self) {
        let Some(choice) = self.state.models.get(self.state.model).cloned() else { return };
        let (slot, device) = (self.segmenting.slot.clone(), self.state.segment.device);
        self.state.segment.loading = Loading::Loading;
        self.segmenting.preloading = Some(Job::start(
            self.wake(),
            |reason| {
                SegmentEvent::CannotLoad(format!("Cannot load this model: it failed: {reason}"))
            },
            move |worker| preload(&slot, &choice, device, worker),
        ));
    }

    /// Finds out which devices there are, once.
    pub(in crate::gui::desktop) fn look_for_devices(&mut self) {
        self.segmenting.looking =
            Some(Job::start(self.wake(), |_| Vec::new(), |worker| worker.send(offered())));
    }

    pub(super) fn add_bundle(&mut self, path: PathBuf) {
        self.state.typed_path = None;
        self.segmenting.adding = Some(Job::start(
            self.wake(),
            |reason| Err(format!("Cannot use this bundle: reading it failed: {reason}")),
            move |worker| worker.send(ModelChoice::read(&path)),
        ));
    }

    fn added(&mut self, choice: ModelChoice) {
        let real = |choice: &ModelChoice| {
            choice.folder.canonicalize().unwrap_or_else(|_| choice.folder.clone())
        };
        let name = choice.manifest.name.clone();
        let known = self.state.models.iter().position(|model| real(model) == real(&choice));
        let index = known.unwrap_or(self.state.models.len());
        match known {
            Some(index) => self.state.models[index] = choice, // it may have changed
            None => self.state.models.push(choice),
        }
        self.notice(format!("Added the model {name}, until the program ends."));
        self.choose_model(index);
    }

    pub(super) fn choose_model(&mut self, index: usize) {
        if index < self.state.models.len() && !self.segmenting.is_running() {
            self.state.model = index;
            let segment = &mut self.state.segment;
            segment.probability = None;
            segment.overlay = match segment.overlay {
                Overlay::Probability(_) => Overlay::None,
                other => other,
            };
            self.preload();
        }
    }

    pub(super) fn take_models(&mut self) {
        while let Some(job) = &self.segmenting.preloading {
            match job.news() {
                News::Nothing => break,
                News::Over => self.segmenting.preloading = None,
                News::Event(SegmentEvent::Loaded(device, notice)) => self.loaded(device, notice),
                News::Event(SegmentEvent::CannotLoad(text)) => {
                    self.state.segment.loading = Loading::Failed(text);
                }
                News::Event(_) => {}
            }
        }
        if let Some(job) = &self.segmenting.looking {
            match job.news() {
                News::Nothing => {}
                News::Over => self.segmenting.looking = None,
                News::Event(devices) => self.state.segment.devices = devices,
            }
        }
        if let Some(job) = &self.segmenting.adding {
            match job.news() {
                News::Nothing => {}
                News::Over => self.segmenting.adding = None,
                News::Event(Ok(choice)) => self.added(choice),
                News::Event(Err(text)) => self.problem(text),
            }
        }
        self.check_fit();
    }

    pub(super) fn loaded(&mut self, device: String, notice: Option<String>) {
        self.state.segment.loading = Loading::Ready(device);
        if let Some(notice) = notice {
            self.notice(notice);
        }
    }

    /// Holds the image against what the model was trained on, wherever either is new.
    fn check_fit(&mut self) {
        let (Some(image), Some(choice)) =
            (&self.state.image, self.state.models.get(self.state.model))
        else {
            self.segmenting.checking = None;
            return;
        };
        let is_it = |number: u64, folder: &PathBuf| number == image.id && *folder == choice.folder;
        let known = &self.state.segment.checked;
        if known.as_ref().is_some_and(|checked| is_it(checked.image, &checked.folder)) {
            return;
        }
        match &self.segmenting.checking {
            Some((number, folder, job)) if is_it(*number, folder) => match job.news() {
                News::Nothing => {}
                News::Over => {
                    // Without an answer there is nothing to say.
                    let checked =
                        Checked { image: *number, folder: folder.clone(), sentences: Vec::new() };
                    self.state.segment.checked = Some(checked);
                    self.segmenting.checking = None;
                }
                News::Event(sentences) => {
                    let checked = Checked { image: *number, folder: folder.clone(), sentences };
                    self.state.segment.checked = Some(checked);
                    self.segmenting.checking = None;
                }
            },
            _ => {
                let (volume, manifest) = (image.volume.clone(), choice.manifest.clone());
                let key = (image.id, choice.folder.clone());
                let job = Job::start(
                    self.wake(),
                    |_| Vec::new(),
                    move |worker| worker.send(doubts_about(&manifest, &volume)),
                );
                self.segmenting.checking = Some((key.0, key.1, job));
            }
        }
    }
}
