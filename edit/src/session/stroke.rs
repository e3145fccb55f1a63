//! A stroke of the brush while it is drawn: seen at every move, one change in the end.

use serde_json::{Value, json};

use super::{Effect, Made, Session};
use crate::axis::Axis;
use crate::bounds::Bounds;
use crate::brush::{Brush, BrushShape, check_place, voxel_at};
use crate::change::{Change, Run};
use crate::error::EditError;
use crate::label_set::LabelSet;
use crate::metric::Place;
use crate::rules::{Gate, Rules};
use crate::step::Step;
use crate::tally::Tally;
use crate::time::Moment;

/// What was drawn so far.
#[derive(Debug)]
pub(super) struct Stroke {
    brush: Brush,
    /// The rules that held when it began, and hold until it ends.
    rules: Rules,
    /// The slice of a disc.
    slice: Option<(Axis, usize)>,
    /// Where the pointer was last.
    last: Place,
    began: Moment,
    moves: u64,
    length_mm: f64,
    /// Counts before it began.
    tally: Tally,
    /// What every move changed. A voxel is changed once: then it has the brush's label.
    runs: Vec<Run>,
}

impl Stroke {
    /// Everything that it changed.
    fn change(mut self, shape: [usize; 3]) -> (Self, Change) {
        self.runs.sort_unstable_by_key(|run| run.start);
        let runs = std::mem::take(&mut self.runs);
        let change = Change::from_runs(runs, shape, &self.tally);
        (self, change)
    }
}

impl Session {
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
}

fn only_label(labels: LabelSet) -> Option<u8> {
    let mut labels = labels.iter();
    labels.next().filter(|_| labels.next().is_none())
}
