//! Correcting labels: strokes at once, other tools worked out on a thread of their own.

use lamina_edit::{EditError, Operation, Planned};

use super::Desktop;
use crate::gui::command::Edit;
use crate::gui::job::{Job, News};
use crate::gui::labels::LabelLayer;
use crate::gui::plane::Plane;
use crate::gui::state::Activity;
use crate::gui::tools::{Draft, PaintOver, Refinement, Tool};

/// How an operation ended.
type Answer = Result<Planned, Failure>;

/// Why there is no change.
#[derive(Debug)]
pub(super) enum Failure {
    Refused(EditError),
    Panicked(String),
}

/// The operation that is being worked out.
#[derive(Default)]
pub(super) struct Correcting {
    job: Option<Job<Answer>>,
}

impl Correcting {
    pub(super) fn is_running(&self) -> bool {
        self.job.is_some()
    }

    /// Ends it without a change.
    pub(super) fn stop(&mut self) {
        self.job = None;
    }
}

impl Desktop {
    /// Does what is asked of the tools.
    pub(super) fn edit(&mut self, edit: Edit) {
        match edit {
            Edit::Set(tools) => self.state.tools = tools.sound(),
            Edit::Press(plane, place) => self.begin_stroke(plane, place),
            Edit::Drag(place) => {
                if self.state.stroke.is_some() {
                    self.change(|layer| layer.edit(|s| s.move_stroke(edit_place(place)).map(drop)));
                }
            }
            Edit::Spread(plane, voxel) => self.spread(plane, voxel),
            Edit::Corner(plane, slice, at) => self.add_corner(plane, slice, at),
            Edit::Rename(value, name) => self.change_row(value, |row| row.name = name),
            Edit::Lock(value, locked) if locked => self.state.tools.locked.insert(value),
            Edit::Lock(value, _) => self.state.tools.locked.remove(value),
            Edit::TakeUp(path) => self.take_up(path),
            Edit::Discard(path) => self.discard(path),
            Edit::Later => self.leave_for_later(),
        }
    }

    /// Ends the stroke once the button is up, wherever that was.
    pub(super) fn end_stroke(&mut self) {
        if self.state.stroke.take().is_some() {
            self.change(|layer| layer.edit(|session| session.end_stroke().map(drop)));
        }
    }

    fn begin_stroke(&mut self, plane: Plane, place: [f64; 3]) {
        let Some(view) = self.state.image.as_ref().and_then(|i| i.view(plane)).copied() else {
            return;
        };
        let Some(brush) = self.state.tools.brush(&view) else { return };
        if !self.may_edit() {
            return;
        }
        let begun = self.change(|layer| {
            layer.add_row(brush.label);
            layer.edit(|session| session.begin_stroke(brush, edit_place(place)).map(drop))
        });
        if begun {
            self.state.stroke = Some(plane);
        }
    }

    fn spread(&mut self, plane: Plane, voxel: [usize; 3]) {
        let Some(image) = &self.state.image else { return };
        let Some(view) = image.view(plane) else { return };
        if let Some(operation) = self.state.tools.spread(view, voxel) {
            self.refine_by(operation);
        }
    }

    fn add_corner(&mut self, plane: Plane, slice: usize, at: [f64; 2]) {
        match &mut self.state.tools.draft {
            Some(draft) if (draft.plane, draft.slice) == (plane, slice) => {
                if draft.corners.last() != Some(&at) {
                    draft.corners.push(at);
                }
            }
            draft => *draft = Some(Draft { plane, slice, corners: vec![at] }),
        }
    }

    /// Fills the polygon that was drawn.
    pub(super) fn close_polygon(&mut self) {
        let Some(draft) = &self.state.tools.draft else { return };
        let Some(view) = self.state.image.as_ref().and_then(|image| image.view(draft.plane)) else {
            return;
        };
        let operation = self.state.tools.polygon(view);
        self.state.tools.draft = None;
        match operation {
            Some(operation) => self.refine_by(operation),
            None => self.notice("A polygon needs three corners or more."),
        }
    }

    pub(super) fn drop_corner(&mut self) {
        if let Some(draft) = &mut self.state.tools.draft {
            draft.corners.pop();
            if draft.corners.is_empty() {
                self.state.tools.draft = None;
            }
        }
    }

    /// Does something to the whole label that is chosen.
    pub(super) fn refine(&mut self, refinement: Refinement) {
        let Some(image) = &self.state.image else { return };
        let focus = self.state.focus;
        let Some(view) = image.view(focus).or_else(|| image.views.first()) else { return };
        let slice = self.state.slice(view.plane).unwrap_or_default();
        let operation = self.state.tools.refine(refinement, view, slice);
        self.refine_by(operation);
    }

    /// Another tool; what was being drawn is dropped.
    pub(super) fn choose_tool(&mut self, tool: Tool) {
        self.state.tools.tool = tool;
        self.state.tools.draft = None;
        let Some(image) = &self.state.image else { return };
        let widest = image.presets.first().map(|preset| preset.window);
        let tools = &mut self.state.tools;
        if let Some(window) = widest {
            // Values that suit this image, until they are set by hand.
            if tools.tolerance == 0.0 {
                tools.tolerance = window.width / 10.0;
            }
            if tools.values == [0.0, 0.0] {
                let half = window.width / 2.0;
                tools.values = [window.center, window.center + half];
            }
        }
        if tool != Tool::Crosshair {
            self.ensure_labels();
        }
    }

    /// The label after or before the one that is painted.
    pub(super) fn next_label(&mut self, forwards: bool) {
        if let Some(layer) = &self.state.labels
            && let Some(label) = self.state.tools.neighbor(layer, forwards)
        {
            self.state.tools.label = label;
        }
    }

    /// A row for the first number that has none, to paint with.
    pub(super) fn new_label(&mut self) {
        self.ensure_labels();
        let Some(layer) = &mut self.state.labels else { return };
        let Some(free) = (1..=255).find(|value| layer.class(*value).is_none()) else {
            return self.notice("There are 255 labels already; more do not fit into a label map.");
        };
        layer.add_row(free);
        self.state.tools.label = free;
    }

    /// A fifth more or less, at least what can be told apart.
    pub(super) fn resize_brush(&mut self, larger: bool) {
        let factor = if larger { 1.2 } else { 1.0 / 1.2 };
        self.state.tools.radius_mm *= factor;
        self.state.tools = std::mem::take(&mut self.state.tools).sound();
    }

    pub(super) fn undo(&mut self, back: bool) {
        if !self.may_edit() {
            return;
        }
        self.state.stroke = None;
        let next = self.state.labels.as_ref().and_then(|layer| {
            let session = layer.session();
            if back { session.undoable() } else { session.redoable() }
        });
        if next.is_none() && !self.state.labels.as_ref().is_some_and(|l| l.session().in_stroke()) {
            return self.notice(if back { "Nothing to undo." } else { "Nothing to redo." });
        }
        self.change(|layer| {
            layer.edit(|session| if back { session.undo() } else { session.redo() }).map(drop)
        });
    }

    /// Whether labels can be changed now; says why not.
    fn may_edit(&mut self) -> bool {
        let reason = if self.state.image.is_none() {
            "Open an image first."
        } else if self.segmenting.is_running() {
            "The model is still at work: wait, or cancel it (Esc)."
        } else if self.correcting.is_running() {
            "The last change is still being worked out."
        } else {
            return true;
        };
        self.notice(reason);
        false
    }

    /// Labels to paint on, empty ones where there are none.
    pub(super) fn ensure_labels(&mut self) {
        if let (Some(image), None) = (&self.state.image, &self.state.labels) {
            let mut layer = LabelLayer::empty(&image.volume);
            layer.add_row(self.state.tools.label);
            self.state.labels = Some(layer);
            self.state.overlay.labels = true;
        }
    }

    /// Changes the labels by the rules of the tools; says why that is not possible.
    fn change(&mut self, change: impl FnOnce(&mut LabelLayer) -> Result<(), EditError>) -> bool {
        self.ensure_labels();
        let rules = self.state.tools.rules();
        let Some(layer) = &mut self.state.labels else { return false };
        layer.edit(|session| session.set_rules(rules));
        match change(layer) {
            Ok(()) => true,
            Err(error) => {
                let reason = self.explain(&error);
                self.notice(reason);
                false
            }
        }
    }

    /// An operation by the rules of the tools.
    fn refine_by(&mut self, operation: Operation) {
        if !self.may_edit() {
            return;
        }
        self.ensure_labels();
        let rules = self.state.tools.rules();
        if let Some(layer) = &mut self.state.labels {
            layer.edit(|session| session.set_rules(rules));
        }
        self.apply(operation);
    }

    /// Works an operation out and makes its change, one step to be undone.
    pub(super) fn apply(&mut self, operation: Operation) {
        let Some(layer) = &self.state.labels else { return };
        let scene = layer.session().scene().clone();
        self.state.correcting = Some(Activity::new("Working out the change"));
        self.correcting.job = Some(Job::start(
            self.wake(),
            |reason| Err(Failure::Panicked(reason)),
            move |worker| {
                let answer = operation.plan(&scene, &|| worker.stopped());
                drop(scene); // or the change would copy the labels
                worker.send(answer.map_err(Failure::Refused));
            },
        ));
    }

    /// Ends the operation that is being worked out, without a change; answers whether there was one.
    pub(super) fn cancel_operation(&mut self) -> bool {
        let live = self.state.labels.as_ref().is_some_and(LabelLayer::is_live);
        if live || !self.correcting.is_running() {
            return false; // what a model made is kept
        }
        self.correcting.stop();
        self.state.correcting = None;
        true
    }

    pub(super) fn take_corrections(&mut self) {
        let Some(job) = &self.correcting.job else { return };
        let answer = match job.news() {
            News::Nothing => return,
            News::Over => {
                self.correcting.job = None;
                self.state.correcting = None;
                return;
            }
            News::Event(answer) => answer,
        };
        let Some(layer) = &mut self.state.labels else { return };
        let done = match answer {
            Ok(planned) => layer.edit(|session| session.commit(planned)),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Panicked(reason)) => {
                layer.end_live();
                return self
                    .problem(format!("The labels were not changed: the tool failed: {reason}"));
            }
        };
        let was_live = layer.is_live();
        layer.end_live();
        match done {
            Ok(effect) if effect.voxels == 0 && !was_live => {
                self.notice("Nothing changed: there was nothing to do, or the rules forbid it.");
            }
            Ok(_) => {}
            Err(error) => {
                let reason = self.explain(&error);
                self.notice(reason);
            }
        }
    }

    /// Why labels were not changed, and what to do.
    fn explain(&self, error: &EditError) -> String {
        let advice = match error {
            EditError::Locked { .. } => "Its padlock is in the table of labels.",
            EditError::Stale => "The labels changed meanwhile: do it again.",
            EditError::NoSecond => "Open a reference first.",
            _ if self.state.tools.over != PaintOver::Anything => {
                "See also what may be painted over."
            }
            _ => "",
        };
        format!("The labels were not changed: {error}. {advice}").trim_end().to_owned()
    }
}

/// A place (i, j, k) in the order of the tools.
fn edit_place([i, j, k]: [f64; 3]) -> lamina_edit::Place {
    [k, j, i]
}
