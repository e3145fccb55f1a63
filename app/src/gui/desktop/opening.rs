//! Opening, and what it brings.

use lamina_edit::LabelSet;

use super::Desktop;
use crate::gui::arriving::Incoming;
use crate::gui::job::{Job, News};
use crate::gui::open::{OpenEvent, OpenRequest, open};
use crate::gui::plane::Plane;
use crate::gui::session_file::is_session;
use crate::gui::shades::Window;
use crate::gui::state::{Activity, OpenImage, PaneState};
use crate::gui::worklist::Sources;

/// Files that are remembered until the program ends.
const RECENT: usize = 10;

impl Desktop {
    pub(super) fn open(&mut self, request: OpenRequest) {
        if let Some(session) = request.paths.iter().find(|path| is_session(path)) {
            return self.open_session(&session.clone());
        }
        if let Some(first) = request.paths.first().filter(|_| request.series.is_none()) {
            self.state.recent.retain(|path| path != first);
            self.state.recent.insert(0, first.clone());
            self.state.recent.truncate(RECENT);
        }
        self.state.study = None;
        self.state.incoming = Incoming::default();
        let request = OpenRequest { wanted: self.state.incoming.wanted.clone(), ..request };
        self.state.opening = Some(Activity::new("Opening"));
        self.opening = Some(Job::start(
            self.wake(),
            |reason| OpenEvent::Failed(format!("Cannot open: the reader failed: {reason}")),
            move |worker| open(&request, worker),
        ));
    }

    pub(super) fn take_openings(&mut self) {
        while let Some(job) = &self.opening {
            match job.news() {
                News::Nothing => return,
                News::Over => {
                    self.opening = None;
                    self.state.opening = None;
                    self.forget_arriving();
                    self.opening_ended();
                    if self.state.image.is_none() && self.state.unfinished.is_empty() {
                        self.look_for_journals();
                    }
                }
                News::Event(OpenEvent::Progress(done, total)) => {
                    if let Some(activity) = &mut self.state.opening {
                        activity.done = Some(done as f32 / total.max(1) as f32);
                    }
                }
                News::Event(OpenEvent::Image(opened)) => {
                    self.say_what_is_replaced(&opened);
                    let place = self.place_while_arriving();
                    self.show(*opened);
                    if let Some(place) = place {
                        self.state.crosshair_mm = place;
                    }
                }
                News::Event(OpenEvent::Labels(layer)) => {
                    self.forget_labels();
                    let mut layer = *layer;
                    if let Some(image) = &self.state.image {
                        layer.lie_over(&image.volume);
                    }
                    self.state.labels = Some(layer);
                    self.state.overlay.labels = true;
                }
                News::Event(OpenEvent::Reference(path)) => self.open_reference(path),
                News::Event(OpenEvent::Worklist(results)) => {
                    self.open_worklist(Sources { results, ..Sources::default() });
                }
                News::Event(OpenEvent::Arriving(arriving)) => self.take_arriving(*arriving),
                News::Event(OpenEvent::Choose(study)) => self.choose_from(study),
                News::Event(OpenEvent::Notice(text)) => self.notice(text),
                News::Event(OpenEvent::Failed(text)) => self.problem(text),
            }
        }
    }

    /// Shows an image, or what only stands in for one.
    pub(super) fn show(&mut self, image: OpenImage) {
        self.forget_labels();
        self.forget_reference();
        self.ids += 1;
        // What was said of another image is not true of this one.
        let began = self.state.opening.as_ref().map(|activity| activity.since);
        self.state
            .notices
            .retain(|notice| notice.is_problem || began.is_some_and(|began| notice.since >= began));
        let [depth, height, width] = image.volume.shape();
        let middle = [width, height, depth].map(|n| (n / 2) as f64);
        let state = &mut self.state;
        state.crosshair_mm = image.volume.geometry.ras_from_index().apply(middle);
        let preset = image.presets.first();
        state.window = preset.map_or(Window { center: 0.5, width: 1.0 }, |p| p.window);
        state.inverted = false;
        state.panes = [PaneState::default(); 3];
        state.focus = image.views.first().map_or(Plane::Axial, |view| view.plane);
        state.hover = None;
        state.tools.draft = None;
        state.tools.tolerance = 0.0;
        state.tools.values = [0.0; 2];
        state.tools.locked = LabelSet::EMPTY;
        let is_stand_in = image.is_stand_in;
        state.image = Some(OpenImage { id: self.ids, ..image });
        if !is_stand_in {
            self.look_for_journals();
        }
    }
}
