//! A stroke of the brush while it is drawn: seen at every move, one change in the end.

use crate::axis::Axis;
use crate::brush::Brush;
use crate::change::{Change, Run};
use crate::metric::Place;
use crate::rules::Rules;
use crate::tally::Tally;
use crate::time::Moment;

/// What was drawn so far.
#[derive(Debug)]
pub(crate) struct Stroke {
    pub brush: Brush,
    /// The rules that held when it began, and hold until it ends.
    pub rules: Rules,
    /// The slice of a disc.
    pub slice: Option<(Axis, usize)>,
    /// Where the pointer was last.
    pub last: Place,
    pub began: Moment,
    pub moves: u64,
    pub length_mm: f64,
    /// Counts before it began.
    pub tally: Tally,
    /// What every move changed. A voxel is changed once: then it has the brush's label.
    pub runs: Vec<Run>,
}

impl Stroke {
    /// Everything that it changed.
    pub(crate) fn change(mut self, shape: [usize; 3]) -> (Self, Change) {
        self.runs.sort_unstable_by_key(|run| run.start);
        let runs = std::mem::take(&mut self.runs);
        let change = Change::from_runs(runs, shape, &self.tally);
        (self, change)
    }
}
