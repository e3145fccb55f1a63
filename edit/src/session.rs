//! Labels being corrected: what the window holds.
//!
//! A session is plain state. Tools change its labels, each change can be undone, and where a journal
//! is written no change is lost. Which slices have to be drawn again is told by
//! [`Session::slice_revision`].

use std::path::PathBuf;
use std::sync::Arc;

use lamina_io::{Geometry, LabelVolume, Volume};
use ndarray::Array3;
use serde_json::{Value, json};

use crate::axis::Axis;
use crate::bounds::Bounds;
use crate::brush::{Brush, BrushShape, check_place, voxel_at};
use crate::change::{Change, Run, run_bounds};
use crate::error::EditError;
use crate::history::{History, Past};
use crate::journal::{
    Event, Journal, JournalError, JournalStatus, Writer, check_runs, packed_runs, unpacked_runs,
};
use crate::label_set::LabelSet;
use crate::metric::{Metric, Place};
use crate::operation::{Operation, Planned};
use crate::rules::{Gate, Rules};
use crate::scene::{Scene, Stop};
use crate::step::{Action, AuditRow, Step};
use crate::stroke::Stroke;
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

/// A journal that is being written.
struct Written {
    writer: Arc<Writer>,
    /// Numbers of the steps that it can undo and do again, as whoever reads it will.
    steps: Vec<u64>,
    done: usize,
    /// How many steps it has in all.
    count: usize,
}

/// A step in a journal that undoes one of before the journal: nothing that could be undone by it.
const NO_STEP: u64 = u64::MAX;

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

    /// Counts changes of the labels, each move of a stroke too.
    pub fn revision(&self) -> u64 {
        self.scene.revision
    }

    /// In which revision a slice last changed; a picture of the slice is good as long as this
    /// stays. Counted by boxes around changes, so it may be too late, never too early.
    pub fn slice_revision(&self, axis: Axis, index: usize) -> u64 {
        self.slices[axis.index()].get(index).copied().unwrap_or_default()
    }

    /// Begins a stroke with a first dab.
    ///
    /// # Errors
    /// If the brush or the place makes no sense, the label is locked, or another stroke is being
    /// drawn.
    pub fn begin_stroke(&mut self, brush: Brush, at: Place) -> Result<Effect, EditError> {
        if self.stroke.is_some() {
            return Err(EditError::InStroke);
        }
        brush.check()?;
        let at = check_place(at)?;
        self.stroke_gate(&brush, &self.scene.rules)?.check_gain(brush.label)?;
        let slice = match brush.shape {
            BrushShape::Sphere => None,
            BrushShape::Disc(axis) => {
                let shape = self.scene.shape();
                let mut inside = [0.0; 3];
                inside[axis.index()] = at[axis.index()];
                let slice = voxel_at(inside, &Bounds::whole(shape));
                // One that begins outside is in a slice that is not there, and covers nothing.
                Some((axis, slice.map_or(shape[axis.index()], |index| index[axis.index()])))
            }
        };
        self.stroke = Some(Stroke {
            brush,
            rules: self.scene.rules,
            slice,
            last: at,
            began: Moment::now(),
            moves: 0,
            length_mm: 0.0,
            tally: self.scene.tally.clone(),
            runs: Vec::new(),
        });
        self.sweep(at)
    }

    /// Goes on with the stroke to where the pointer is now: everything between is covered, too.
    ///
    /// # Errors
    /// If no stroke is being drawn, or the place makes no sense.
    pub fn move_stroke(&mut self, to: Place) -> Result<Effect, EditError> {
        self.sweep(check_place(to)?)
    }

    /// Ends the stroke: one step, to be undone at once. None if it changed nothing.
    ///
    /// # Errors
    /// If no stroke is being drawn.
    pub fn end_stroke(&mut self) -> Result<Option<&Step>, EditError> {
        let stroke = self.stroke.take().ok_or(EditError::NoStroke)?;
        let (stroke, change) = stroke.change(self.scene.shape());
        if change.is_empty() {
            return Ok(None);
        }
        let Stroke { brush, rules, slice, began, moves, length_mm, .. } = stroke;
        let mut parameters = serde_json::to_value(brush).unwrap_or(Value::Null);
        parameters["moves"] = json!(moves);
        parameters["length_mm"] = json!(length_mm);
        if let Some((_, index)) = slice {
            parameters["slice"] = json!(index);
        }
        let time = Moment::now();
        let tool = if brush.label == 0 { "eraser" } else { "brush" }.to_owned();
        let erased = brush.over.and_then(only_label).filter(|_| brush.label == 0);
        let label = if brush.label == 0 { erased } else { Some(brush.label) };
        let seconds = time.seconds_since(began);
        Ok(Some(self.remember(change, Made { time, seconds, tool, label, parameters, rules })))
    }

    /// Takes the stroke back that is being drawn, as if it had not been begun.
    ///
    /// # Errors
    /// If no stroke is being drawn.
    pub fn cancel_stroke(&mut self) -> Result<Effect, EditError> {
        let stroke = self.stroke.take().ok_or(EditError::NoStroke)?;
        let (_, change) = stroke.change(self.scene.shape());
        Ok(self.run(change.runs(), true))
    }

    /// Whether a stroke is being drawn.
    pub fn in_stroke(&self) -> bool {
        self.stroke.is_some()
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

    /// Undoes the last change; a stroke that is being drawn is cancelled. Without one, nothing.
    ///
    /// # Errors
    /// If an old change cannot be read back from the journal. Nothing is changed then.
    pub fn undo(&mut self) -> Result<Effect, EditError> {
        if self.in_stroke() {
            return self.cancel_stroke();
        }
        self.step_over(true)
    }

    /// Does again what was undone last. Without that, nothing.
    ///
    /// # Errors
    /// If an old change cannot be read back from the journal, or a stroke is being drawn.
    pub fn redo(&mut self) -> Result<Effect, EditError> {
        if self.in_stroke() {
            return Err(EditError::InStroke);
        }
        self.step_over(false)
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

    /// Writes a journal from now on; one that was written until now is finished. What was done
    /// before can still be undone.
    ///
    /// # Errors
    /// If the labels were changed since the journal was begun with them, or a stroke is being
    /// drawn.
    pub fn write_journal(&mut self, journal: Journal) -> Result<(), EditError> {
        if self.in_stroke() {
            return Err(EditError::InStroke);
        }
        if journal.revision != self.scene.revision {
            return Err(EditError::Stale);
        }
        if let Some(old) = &self.journal {
            old.writer.append(Event::End(Action::Continued, Moment::now()));
        }
        let writer = journal.writer;
        self.journal = Some(Written { writer, steps: Vec::new(), done: 0, count: 0 });
        Ok(())
    }

    /// How writing the journal goes; none where none is written.
    pub fn journal_status(&self) -> Option<JournalStatus> {
        self.journal.as_ref().map(|journal| journal.writer.status())
    }

    /// Where the journal is.
    pub fn journal_path(&self) -> Option<PathBuf> {
        self.journal.as_ref().map(|journal| journal.writer.path().to_owned())
    }

    /// Waits until everything is on disk.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn sync_journal(&self) -> Result<(), Arc<JournalError>> {
        self.journal.as_ref().map_or(Ok(()), |journal| journal.writer.sync())
    }

    /// Marks the work as finished, saved or not, and waits until that is on disk. A journal that is
    /// finished is not offered for recovery; it stays as the audit trail, and further changes go on
    /// to be written.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(&mut self, saved: bool) -> Result<(), Arc<JournalError>> {
        let (action, time) = (if saved { Action::Saved } else { Action::Discarded }, Moment::now());
        self.audit.push(AuditRow::end(action, time));
        if let Some(journal) = &self.journal {
            journal.writer.append(Event::End(action, time));
        }
        self.sync_journal()
    }

    fn stroke_gate(&self, brush: &Brush, rules: &Rules) -> Result<Gate<'_>, EditError> {
        let gate = Gate::new(rules, self.scene.image.as_deref())?.in_range(brush.values)?;
        Ok(match brush.over {
            Some(labels) => gate.over(labels),
            None => gate,
        })
    }

    fn sweep(&mut self, to: Place) -> Result<Effect, EditError> {
        let Some(stroke) = &self.stroke else { return Err(EditError::NoStroke) };
        let gate = self.stroke_gate(&stroke.brush, &stroke.rules)?;
        let (metric, shape) = (&self.scene.metric, self.scene.shape());
        let rows = stroke.brush.sweep(metric, shape, stroke.slice, stroke.last, to);
        let runs = self.scene.paint_runs(rows, &gate, stroke.brush.label);
        let length_mm = metric.distance_mm(stroke.last, to);
        let effect = self.run(runs.iter().copied(), false);
        if let Some(stroke) = &mut self.stroke {
            stroke.length_mm += length_mm;
            stroke.moves += 1;
            stroke.last = to;
            stroke.runs.extend(runs);
        }
        Ok(effect)
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

    /// Goes back or forth in the history.
    fn step_over(&mut self, back: bool) -> Result<Effect, EditError> {
        let past = if back { self.history.last() } else { self.history.next() };
        let Some(past) = past else { return Ok(Effect::default()) };
        let step = past.step.clone();
        // The journal may have been begun after this step: then it has to be told what changes.
        let number = step.number;
        let unknown = self.journal.as_ref().is_some_and(|journal| !journal.knows(number, back));
        let (effect, told) = match (past.change.clone(), past.journal.clone()) {
            (Some(change), _) => {
                let told = unknown.then(|| self.turned(change.runs(), back));
                (self.run(change.runs(), back), told)
            }
            (None, Some((writer, at))) => {
                let wrong = |source| {
                    let path = writer.path().to_owned();
                    Arc::new(JournalError::Read { path, source })
                };
                let payload = writer.read(at)?;
                let packed = packed_runs(&payload).map_err(wrong)?;
                let voxels = self.scene.voxels();
                let runs = || unpacked_runs(packed, voxels.len() as u64);
                check_runs(voxels, runs(), back).map_err(wrong)?;
                let told = unknown.then(|| self.turned(runs().map_while(Result::ok), back));
                let runs = unpacked_runs(packed, voxels.len() as u64);
                (self.run(runs.map_while(Result::ok), back), told)
            }
            (None, None) => return Ok(Effect::default()),
        };
        self.history.moved(back);
        let time = Moment::now();
        let action = if back { Action::Undo } else { Action::Redo };
        self.audit.push(AuditRow::of(&step, action, time));
        let Some(journal) = &mut self.journal else { return Ok(effect) };
        match told {
            None => journal.step_over(number, back, time),
            Some(change) => {
                let tool = if back { "undo" } else { "redo" }.to_owned();
                let (number, counts) = (self.next_number, effect.counts.clone());
                self.next_number += 1;
                let parameters = json!({ "step": step.number });
                let told = Step { number, time, seconds: 0.0, tool, parameters, counts, ..step };
                journal.add(told, Arc::new(change), NO_STEP);
            }
        }
        Ok(effect)
    }

    /// A change as it is made forwards or backwards, from where the labels are now.
    fn turned(&self, runs: impl Iterator<Item = Run>, back: bool) -> Change {
        self.scene.change(
            runs.map(|run| if back { Run { old: run.new, new: run.old, ..run } } else { run }),
        )
    }
}

impl Written {
    /// Whether whoever reads the journal would undo this step, or do it again, next.
    fn knows(&self, number: u64, back: bool) -> bool {
        let at = if back { self.done.checked_sub(1) } else { Some(self.done) };
        at.and_then(|at| self.steps.get(at)) == Some(&number)
    }

    /// Hands over a step that is known as `number`; its place among the journal's.
    fn add(&mut self, step: Step, change: Arc<Change>, number: u64) -> usize {
        self.steps.truncate(self.done);
        self.steps.push(number);
        self.done += 1;
        self.count += 1;
        self.writer.append(Event::Step(Box::new(step), change));
        self.count - 1
    }

    fn step_over(&mut self, number: u64, back: bool, time: Moment) {
        self.done = if back { self.done - 1 } else { self.done + 1 };
        let event = if back { Event::Undo(number, time) } else { Event::Redo(number, time) };
        self.writer.append(event);
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

fn only_label(labels: LabelSet) -> Option<u8> {
    let mut labels = labels.iter();
    labels.next().filter(|_| labels.next().is_none())
}
