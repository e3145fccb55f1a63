//! The reference: opening it, measuring the labels against it, going where they differ.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use eframe::egui;

use super::Desktop;
use super::dialogs::Dialog;
use crate::gui::command::Action;
use crate::gui::compare::measure::{Key, MeasureRequest, Measured, measure};
use crate::gui::compare::open::{OpenedReference, open_reference};
use crate::gui::compare::{CompareCommand, next_bad};
use crate::gui::job::{Job, News};
use crate::gui::keymap::Asking;
use crate::gui::state::{Activity, Layout, State};
use crate::gui::view::keys::egui_shortcut;

/// How long labels must stay as they are before they are measured.
const REST: Duration = Duration::from_millis(250);

/// The jobs of a comparison.
#[derive(Default)]
pub(super) struct Comparing {
    opening: Option<Job<Result<OpenedReference, String>>>,
    measuring: Option<Job<(Key, Result<Measured, String>)>>,
    /// To open once there is an image.
    pending: Option<PathBuf>,
    /// Which labels are there, and since when.
    seen: Option<(Key, Instant)>,
    /// Which were measured last, whatever came of it.
    done: Option<Key>,
    /// Which labels know which reference, to be combined with it.
    lent: Option<[u64; 2]>,
}

impl Comparing {
    /// Whether anything runs, or will as soon as labels rest.
    pub(super) fn is_running(&self) -> bool {
        let waiting = self.seen.is_some_and(|(key, _)| self.done != Some(key));
        self.opening.is_some() || self.measuring.is_some() || waiting
    }

    /// Opens a reference as soon as the image that comes is there.
    pub(super) fn open_later(&mut self, path: Option<PathBuf>) {
        self.pending = path;
    }
}

impl Desktop {
    /// Opens labels as the reference of the image, now or once it is there.
    pub fn open_reference(&mut self, path: PathBuf) {
        self.state.typed_path = None;
        if self.opening.is_some() {
            self.comparing.pending = Some(path);
            return;
        }
        let Some(grid) = self.grid() else {
            return self.notice("Open an image first: a reference is shown over one.");
        };
        self.state.opening = Some(Activity::new("Opening the reference"));
        self.comparing.opening = Some(Job::start(
            self.wake(),
            |reason| Err(format!("Cannot open the reference: the reader failed: {reason}")),
            move |worker| worker.send(open_reference(&path, &grid)),
        ));
    }

    /// Whether a file that is dropped now is the reference that a pane waits for.
    pub(super) fn takes_reference(&self) -> bool {
        let State { layout, labels, compare, .. } = &self.state;
        *layout == Layout::Beside && labels.is_some() && compare.reference.is_none()
    }

    /// Opens what waited for the image.
    pub(super) fn open_pending_reference(&mut self) {
        if let Some(path) = self.comparing.pending.take()
            && self.state.image.is_some()
        {
            self.open_reference(path);
        }
    }

    /// Another image, or none, has no reference yet.
    pub(super) fn forget_reference(&mut self) {
        if self.comparing.opening.take().is_some() {
            self.state.opening = None;
        }
        self.comparing.measuring = None;
        self.comparing.seen = None;
        self.comparing.done = None;
        self.comparing.lent = None;
        if let Some(layer) = &mut self.state.labels {
            let _ = layer.edit(|session| session.share_second(None));
        }
        self.state.compare.forget();
        if self.state.layout == Layout::Beside && self.comparing.pending.is_none() {
            self.state.layout = Layout::Four;
        }
    }

    pub(super) fn take_comparison(&mut self, ctx: &egui::Context) {
        let typing = self.state.typed_path.is_some() || ctx.egui_wants_keyboard_input();
        let typing = typing || self.state.keyboard.asking != Asking::Nothing;
        let key = self.state.keyboard.map.shortcut(Action::HoldReference).map(egui_shortcut);
        let held = key.is_some_and(|key| {
            let down = |input: &egui::InputState| {
                input.key_down(key.logical_key) && input.modifiers.matches_exact(key.modifiers)
            };
            ctx.input(down)
        });
        self.state.compare.held = held && !typing && self.state.compare.reference.is_some();
        self.take_reference();
        self.take_measures();
        self.measure_what_rests(ctx);
    }

    fn take_reference(&mut self) {
        let Some(job) = &self.comparing.opening else { return };
        match job.news() {
            News::Nothing => {}
            News::Over => {
                self.comparing.opening = None;
                self.state.opening = None;
            }
            News::Event(Ok(opened)) => {
                let OpenedReference { reference, notices } = opened;
                self.state.compare.forget();
                self.state.compare.reference = Some(reference);
                self.comparing.done = None;
                for notice in notices {
                    self.notice(notice);
                }
            }
            News::Event(Err(problem)) => self.problem(problem),
        }
    }

    fn take_measures(&mut self) {
        let Some(job) = &self.comparing.measuring else { return };
        match job.news() {
            News::Nothing => {}
            News::Over => self.comparing.measuring = None,
            News::Event((key, found)) => {
                self.comparing.done = Some(key);
                let compare = &mut self.state.compare;
                match found {
                    Ok(measured) => {
                        let classes = &measured.classes;
                        let has = |label| classes.iter().any(|class| class.label == label);
                        compare.class = compare.class.filter(|label| has(*label));
                        compare.measured = Some(measured);
                        compare.problem = None;
                    }
                    Err(problem) => {
                        compare.measured = None;
                        compare.problem = Some(problem);
                    }
                }
            }
        }
    }

    /// Starts to measure labels that have not changed for a moment; one measure at a time.
    fn measure_what_rests(&mut self, ctx: &egui::Context) {
        let (Some(layer), Some(reference)) = (&self.state.labels, &self.state.compare.reference)
        else {
            self.comparing.seen = None;
            self.state.compare.measured = None;
            self.state.compare.outdated = false;
            return;
        };
        let [id, _, live, revision] = layer.revision();
        let key = [id, revision, reference.id];
        let (seen, since) = *self.comparing.seen.get_or_insert((key, Instant::now()));
        let fresh = self.comparing.done.is_none();
        if seen != key {
            self.comparing.seen = Some((key, Instant::now()));
        }
        self.state.compare.outdated = self.comparing.done != Some(key);
        self.lend_reference();
        let (Some(layer), Some(reference)) = (&self.state.labels, &self.state.compare.reference)
        else {
            return;
        };
        let changing = live != 0 || layer.session().in_stroke();
        if !self.state.compare.outdated || self.comparing.measuring.is_some() || changing {
            return;
        }
        let rested = if seen == key { since.elapsed() } else { Duration::ZERO };
        if rested < REST && !fresh {
            ctx.request_repaint_after(REST.saturating_sub(rested));
            return;
        }
        let (scene, reference) = (layer.session().scene().clone(), reference.clone());
        self.comparing.measuring = Some(Job::start(
            self.wake(),
            move |reason| (key, Err(format!("The comparison failed: {reason}"))),
            move |worker| worker.send((key, measure(MeasureRequest { scene, reference, key }))),
        ));
    }

    /// Lets tools combine labels with the reference.
    fn lend_reference(&mut self) {
        let (Some(layer), Some(reference)) =
            (&mut self.state.labels, &self.state.compare.reference)
        else {
            return;
        };
        let lent = [layer.revision()[0], reference.id];
        if self.comparing.lent == Some(lent) {
            return;
        }
        self.comparing.lent = Some(lent);
        let labels = reference.labels.clone();
        // They were brought onto the grid of the image, which is that of the labels.
        let _ = layer.edit(|session| session.share_second(Some(labels)));
    }

    pub(super) fn run_compare(&mut self, command: CompareCommand) {
        match command {
            CompareCommand::Choose => {
                if self.state.image.is_none() {
                    return self.notice("Open an image first: a reference is shown over one.");
                }
                self.choose(Dialog::Reference);
            }
            CompareCommand::Open(path) => self.open_reference(path),
            CompareCommand::Close => self.forget_reference(),
            CompareCommand::Outline => {
                self.state.compare.outlined = !self.state.compare.outlined;
            }
            CompareCommand::Class(label) => self.state.compare.class = label,
            CompareCommand::Worst => self.go_to_worst(),
            CompareCommand::NextBad => self.go_to_bad(true),
            CompareCommand::PreviousBad => self.go_to_bad(false),
        }
    }

    fn go_to_worst(&mut self) {
        match self.state.compare.worst() {
            Some(point) => {
                self.state.crosshair_mm = point.mm;
                if self.state.panes.iter().any(|pane| pane.zoom > 1.0) {
                    self.canvases.center_on_crosshair(&mut self.state);
                }
            }
            None => self.notice(
                "There is no worst point: a surface needs a label that both sides have, and voxels \
                 whose size is known.",
            ),
        }
    }

    /// The next slice with a low Dice, in the plane that keys are about.
    fn go_to_bad(&mut self, forwards: bool) {
        let (plane, Some(index)) = (self.state.focus, self.state.crosshair_index()) else { return };
        let Some(view) = self.state.image.as_ref().and_then(|image| image.view(plane)).copied()
        else {
            return;
        };
        let Some(curve) = self.state.compare.curve(view.slice.axis) else {
            return self
                .notice("Open a reference first: bad slices are those that differ from it.");
        };
        // "Next" is up the page order, whichever way the voxels run.
        let from = view.slice.voxel(view.slice_of(index));
        match next_bad(curve, from, forwards != view.slice.backwards) {
            Some(voxel) => {
                let mut at = index;
                at[view.slice.axis] = voxel as f64;
                self.go_to_slice(plane, view.slice_of(at));
            }
            None => self.notice("No slice of this plane has a Dice below 0.8."),
        }
    }
}
