//! Slices that come in while a file is read, and small pictures of what there is to choose from.

use super::Desktop;
use crate::gui::arriving::Arriving;
use crate::gui::job::{Job, News};
use crate::gui::state::{OpenImage, Study};
use crate::gui::thumbnails::thumbnails;

impl Desktop {
    /// Shows what is there of a volume, unless another one is shown.
    pub(super) fn take_arriving(&mut self, arriving: Arriving) {
        if self.state.image.is_some() {
            return;
        }
        let state = &mut self.state;
        let is_first = state.incoming.arriving.is_none();
        if is_first || state.incoming.followed_mm == Some(state.crosshair_mm) {
            let place = arriving.place.map(|at| at as f64);
            state.crosshair_mm = arriving.geometry.ras_from_index().apply(place);
            state.incoming.followed_mm = Some(state.crosshair_mm);
        }
        if is_first {
            state.panes = Default::default();
            state.focus = arriving.views.first().map_or(state.focus, |view| view.plane);
        }
        state.incoming.arriving = Some(arriving);
    }

    /// Forgets the slices of a volume that is not being read any more.
    pub(super) fn forget_arriving(&mut self) {
        if self.opening.is_none() {
            self.state.incoming.arriving = None;
        }
    }

    /// Asks the reader for the slices through the crosshair, once the user has moved it.
    pub(super) fn ask_for_slices(&self) {
        let incoming = &self.state.incoming;
        if incoming.arriving.is_none() || incoming.followed_mm == Some(self.state.crosshair_mm) {
            return;
        }
        let Some(index) = self.state.crosshair_index() else { return };
        incoming.wanted.ask(index.map(|at| at.round().max(0.0) as usize));
    }

    /// Where the user has put the crosshair while the volume was read.
    pub(super) fn place_while_arriving(&mut self) -> Option<[f64; 3]> {
        self.state.incoming.arriving.take()?;
        let place = self.state.crosshair_mm;
        (self.state.incoming.followed_mm != Some(place)).then_some(place)
    }

    /// Says so where an image takes the place of another.
    pub(super) fn say_what_is_replaced(&mut self, opened: &OpenImage) {
        if self.state.worklist.is_some() {
            return; // one case after the other is what was asked for
        }
        let replaced = |image: &&OpenImage| !image.is_stand_in && image.path != opened.path;
        if let Some(image) = self.state.image.as_ref().filter(replaced) {
            let (new, old) = (&opened.name, &image.name);
            self.notice(format!("{new} is open in place of {old}, which is in File, Recent."));
        }
    }

    /// Lets the user choose, and makes pictures of what there is.
    pub(super) fn choose_from(&mut self, study: Study) {
        self.state.incoming.thumbnails = vec![None; study.series.len() + study.files.len()];
        self.state.study = Some(study.clone());
        self.thumbnails = Some(Job::start(
            self.wake(),
            |_| (usize::MAX, None), // there will be no more pictures; the list works without
            move |worker| thumbnails(&study, worker),
        ));
    }

    pub(super) fn take_thumbnails(&mut self) {
        if self.state.study.is_none() {
            self.thumbnails = None; // dropping it stops it
            self.state.incoming.thumbnails.clear();
        }
        while let Some(job) = &self.thumbnails {
            match job.news() {
                News::Nothing => return,
                News::Over => self.thumbnails = None,
                News::Event((place, thumbnail)) => {
                    if let Some(shown) = self.state.incoming.thumbnails.get_mut(place) {
                        *shown = thumbnail;
                    }
                }
            }
        }
    }
}
