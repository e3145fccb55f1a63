//! Labels being corrected: what the window holds.
//!
//! A session is plain state. Tools change its labels, each change can be undone, and where a journal
//! is written no change is lost. Which slices have to be drawn again is told by
//! [`Session::slice_revision`].

mod stroke;
mod undo;

use std::sync::Arc;

use lamina_io::{Geometry, GridMismatch, LabelVolume, Volume};
use ndarray::Array3;
use serde_json::Value;

use self::stroke::Stroke;
use self::undo::Written;
use crate::axis::Axis;
use crate::bounds::Bounds;
use crate::change::{Change, Run, run_bounds};
use crate::error::EditError;
use crate::history::{History, Past};
use crate::journal::Writer;
use crate::metric::Metric;
use crate::operation::{Operation, Planned};
use crate::rules::Rules;
use crate::scene::{Scene, Stop};
use crate::step::{Action, AuditRow, Step};
use crate::tally::{Gains, LabelCount, Tally};
use crate::time::Moment;

/// What a command did to the labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// How many voxels changed.
    pub voxels: u64,
    /// A box around them.
    pub bounds: Option<Bounds>,
    /// Voxels of each label that was touched, before and after.
    pub counts: Vec<LabelCount>,
}

/// Labels, the rules for changing them, what was done, and the journal of it.
pub struct Session {
    scene: Scene,
    stroke: Option<Stroke>,
    history: History,
    next_number: u64,
    audit: Vec<AuditRow>,
    journal: Option<Written>,
    /// For each axis, in which revision each slice last changed.
    slices: [Vec<u64>; 3],
}

impl Session {
    /// Begins with these labels, without an image, rules or a journal.
    pub fn new(volume: LabelVolume) -> Self {
        let LabelVolume { labels, geometry, .. } = volume;
        let labels = if labels.is_standard_layout() {
            labels
        } else {
            labels.as_standard_layout().to_owned()
        };
        let slices = geometry.shape().map(|size| vec![0; size]);
        let scene = Scene {
            metric: Metric::new(&geometry),
            tally: Tally::of(&labels),
            labels: Arc::new(labels),
            geometry: Arc::new(geometry),
            image: None,
            second: None,
            rules: Rules::default(),
            revision: 0,
        };
        Self {
            scene,
            stroke: None,
            history: History::new(Vec::new(), 0),
            next_number: 1,
            audit: Vec::new(),
            journal: None,
            slices,
        }
    }

    /// Begins without labels on the grid of an image.
    pub fn for_image(image: Arc<Volume>) -> Self {
        let geometry = image.geometry.clone();
        let labels = Array3::zeros(geometry.shape());
        let source = image.source.clone();
        let mut session = Self::new(LabelVolume { labels, geometry, source });
        session.scene.image = Some(image);
        session
    }

    /// Goes on with what was read from a journal.
    pub(crate) fn resumed(
        volume: LabelVolume,
        image: Option<Arc<Volume>>,
        (past, done): (Vec<Past>, usize),
        (next_number, audit): (u64, Vec<AuditRow>),
        (writer, count): (Arc<Writer>, usize),
    ) -> Self {
        let mut session = Self::new(volume);
        session.scene.image = image;
        let steps = past.iter().map(|past| past.step.number).collect();
        session.journal = Some(Written { writer, steps, done, count });
        session.history = History::new(past, done);
        session.next_number = next_number;
        session.audit = audit;
        session
    }

    /// The labels, `[depth, height, width]`.
    pub fn labels(&self) -> &Array3<u8> {
        &self.scene.labels
    }

    /// Where they are.
    pub fn geometry(&self) -> &Geometry {
        &self.scene.geometry
    }

    /// All that tools look at. A clone is cheap, for a job on another thread; but drop it soon:
    /// a change made while one is alive copies the labels.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// Voxels of each label.
    pub fn tally(&self) -> &Tally {
        &self.scene.tally
    }

    /// Volume of a label in milliliters, where the spacing is known.
    pub fn volume_ml(&self, label: u8) -> Option<f64> {
        Some(self.scene.tally.count(label) as f64 * self.scene.geometry.voxel_volume_ml()?)
    }

    /// What tools may change.
    pub fn rules(&self) -> &Rules {
        &self.scene.rules
    }

    /// Sets what tools may change. A stroke that is being drawn goes on with the rules that it
    /// began with.
    pub fn set_rules(&mut self, rules: Rules) {
        self.scene.rules = rules;
    }

    /// Sets the image behind the labels.
    ///
    /// # Errors
    /// If it lies on another grid.
    pub fn set_image(&mut self, image: Option<Arc<Volume>>) -> Result<(), EditError> {
        if let Some(image) = &image {
            let same = self.scene.geometry.same_grid(&image.geometry);
            same.map_err(|source| EditError::Grid { what: "the image", source })?;
        }
        self.scene.image = image;
        Ok(())
    }

    /// Sets the labels that [`Boolean`](crate::Boolean) combines with, such as a reference.
    ///
    /// # Errors
    /// If they lie on another grid.
    pub fn set_second(&mut self, second: Option<&LabelVolume>) -> Result<(), EditError> {
        self.scene.second = match second {
            None => None,
            Some(second) => {
                let same = self.scene.geometry.same_grid(&second.geometry);
                same.map_err(|source| EditError::Grid { what: "the second labels", source })?;
                Some(Arc::new(second.labels.as_standard_layout().to_owned()))
            }
        };
        Ok(())
    }

    /// The same, shared with whoever shows them and not copied: labels on the grid of the session.
    ///
    /// # Errors
    /// If they are not as many.
    pub fn share_second(&mut self, second: Option<Arc<Array3<u8>>>) -> Result<(), EditError> {
        if let Some(second) = &second {
            let (expected, (depth, height, width)) = (self.scene.shape(), second.dim());
            let found = [depth, height, width];
            if found != expected || !second.is_standard_layout() {
                let source = GridMismatch::Shape { expected, found };
                return Err(EditError::Grid { what: "the second labels", source });
            }
        }
        self.scene.second = second;
        Ok(())
    }

    /// Whether there are labels to combine with.
    pub fn has_second(&self) -> bool {
        self.scene.second.is_some()
    }

    /// Counts changes of the labels, each move of a stroke too.
    pub fn revision(&self) -> u64 {
        self.scene.revision
    }

    /// In which revision a slice last changed; a picture of the slice is good as long as this
    /// stays. Counted by boxes around changes, so it may be too late, never too early.
    pub fn slice_revision(&self, axis: Axis, index: usize) -> u64 {
        self.slices[axis.index()].get(index).copied().unwrap_or_default()
    }

    /// Works out an operation and makes its change: right for what is quick. For what may take
    /// longer than a frame, [`Operation::plan`] works on another thread, then
    /// [`commit`](Self::commit).
    ///
    /// # Errors
    /// If it makes no sense, or a stroke is being drawn.
    pub fn apply(&mut self, operation: &Operation) -> Result<Effect, EditError> {
        self.apply_unless(operation, &|| false)
    }

    /// The same, to be stopped.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), or if it was stopped.
    pub fn apply_unless(
        &mut self,
        operation: &Operation,
        stop: Stop<'_>,
    ) -> Result<Effect, EditError> {
        if self.in_stroke() {
            return Err(EditError::InStroke);
        }
        let planned = operation.plan(&self.scene, stop)?;
        self.commit(planned)
    }

    /// Makes a change that was worked out before.
    ///
    /// # Errors
    /// If the labels were changed since, or a stroke is being drawn.
    pub fn commit(&mut self, planned: Planned) -> Result<Effect, EditError> {
        if self.in_stroke() {
            return Err(EditError::InStroke);
        }
        let Planned { change, revision, made } = planned;
        if revision != self.scene.revision {
            return Err(EditError::Stale);
        }
        if change.is_empty() {
            return Ok(Effect::default());
        }
        let effect = self.run(change.runs(), false);
        self.remember(change, made);
        Ok(effect)
    }

    /// What [`undo`](Self::undo) would undo.
    pub fn undoable(&self) -> Option<&Step> {
        self.history.last().map(|past| &past.step)
    }

    /// What [`redo`](Self::redo) would do again.
    pub fn redoable(&self) -> Option<&Step> {
        self.history.next().map(|past| &past.step)
    }

    /// All steps, oldest first, and how many of them stand; the others were undone.
    pub fn steps(&self) -> (impl Iterator<Item = &Step>, usize) {
        self.history.steps()
    }

    /// Everything that happened, oldest first.
    pub fn audit(&self) -> &[AuditRow] {
        &self.audit
    }

    /// Memory that changes take. It is bounded where a journal is written.
    pub fn history_bytes(&self) -> usize {
        self.history.memory_bytes()
    }

    /// How much memory changes may take before older ones are left to the journal; 256 MB where
    /// nothing is said.
    pub fn set_history_limit(&mut self, bytes: usize) {
        self.history.set_limit(bytes);
    }

    /// Changes the labels, forwards or backwards.
    fn run(&mut self, runs: impl Iterator<Item = Run>, back: bool) -> Effect {
        let shape = self.scene.shape();
        let mut effect = Effect::default();
        let mut gains = Gains::default();
        let labels = Arc::make_mut(&mut self.scene.labels).as_slice_mut().unwrap_or_default();
        for run in runs {
            let (from, to) = if back { (run.new, run.old) } else { (run.old, run.new) };
            labels[run.start as usize..(run.start + run.len) as usize].fill(to);
            gains.moved(from, to, run.len);
            effect.voxels += run.len;
            effect.bounds = Bounds::join(effect.bounds, Some(run_bounds(&run, shape)));
        }
        let Some(bounds) = effect.bounds else { return effect };
        effect.counts = self.scene.tally.add(&gains);
        self.scene.revision += 1;
        for axis in Axis::ALL {
            self.slices[axis.index()][bounds.slices(axis)].fill(self.scene.revision);
        }
        effect
    }

    /// Keeps a change that was made.
    fn remember(&mut self, change: Change, made: Made) -> &Step {
        let Made { time, seconds, tool, label, parameters, rules } = made;
        let number = self.next_number;
        self.next_number += 1;
        let (voxels, counts) = (change.voxels(), change.counts().to_vec());
        let step = Step { number, time, seconds, tool, label, parameters, rules, voxels, counts };
        self.audit.push(AuditRow::of(&step, Action::Change, time));
        let change = Arc::new(change);
        let journal = self.journal.as_mut().map(|journal| {
            let at = journal.add(step.clone(), Arc::clone(&change), number);
            (Arc::clone(&journal.writer), at)
        });
        self.history.push(Past { step, change: Some(change), journal });
        let last = self.history.last();
        &last.expect("it was just pushed").step
    }
}

/// How a change was made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub time: Moment,
    pub seconds: f64,
    pub tool: String,
    pub label: Option<u8>,
    pub parameters: Value,
    pub rules: Rules,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_and_sessions_go_to_other_threads() {
        fn sent<T: Send>() {}
        fn shared<T: Send + Sync>() {}
        sent::<Session>();
        shared::<Scene>();
        shared::<Operation>();
        sent::<Planned>();
    }
}
