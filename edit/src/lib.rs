//! Correcting labels by hand, without a window: tools, undo, and a journal that survives the
//! program.
//!
//! A [`Session`] holds labels on a grid, the image behind them, and the [`Rules`] that every tool
//! obeys. A stroke of the [`Brush`] is seen at every move and undone at once; everything else is an
//! [`Operation`], which may be worked out on another thread. What is done is a [`Change`]: runs
//! of voxels, never a copy of the volume. A [`Journal`] gets each change as it is made, and after
//! a crash [`Recovery`] brings the work back, with its history.
//!
//! Arrays are `[depth, height, width]`; places and distances are explained at [`Place`] and
//! [`Metric`]. Files of labels are left to `lamina-io`, drawing to the window.
//!
//! ```
//! use lamina_edit::{
//!     Axis, Brush, BrushShape, Interpolate, Journal, Operation, Over, Recovery, Session,
//! };
//! use lamina_io::{Affine, Geometry, LabelVolume};
//! use ndarray::Array3;
//!
//! let geometry = Geometry::new([5, 64, 64], Affine::from_spacing_origin([0.5, 0.5, 3.0], [0.0; 3]))?;
//! let mut session = Session::new(LabelVolume::new(Array3::zeros([5, 64, 64]), geometry)?);
//! let folder = tempfile::tempdir()?;
//! session.write_journal(Journal::create(folder.path(), session.scene(), None)?)?;
//!
//! // A disc of 4 mm in the first and in the last slice, and what lies between.
//! for slice in [0.0, 4.0] {
//!     let brush = Brush::new(BrushShape::Disc(Axis::Depth), 4.0, 1);
//!     session.begin_stroke(brush, [slice, 32.0, 20.0])?;
//!     session.move_stroke([slice, 32.0, 40.0])?;
//!     session.end_stroke()?;
//! }
//! let between = Interpolate { axis: Axis::Depth, label: Some(1), over: Over::Background };
//! let effect = session.apply(&Operation::Interpolate(between))?;
//! assert_eq!(effect.bounds.unwrap().slices(Axis::Depth), 1..4);
//! session.undo()?;
//! session.redo()?;
//!
//! // The program dies; the work does not.
//! session.sync_journal()?;
//! let path = session.journal_path().unwrap();
//! let labels = session.labels().clone();
//! drop(session);
//! let session = Recovery::open(&path)?.resume(None)?;
//! assert_eq!(session.labels(), &labels);
//! assert_eq!(session.undoable().unwrap().tool, "interpolate");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod axis;
mod bounds;
mod brush;
mod change;
mod components;
mod error;
mod history;
mod journal;
mod label_set;
mod metric;
mod operation;
mod rules;
mod scene;
mod session;
mod step;
mod tally;
#[cfg(test)]
mod testing;
mod time;
mod values;

pub use axis::{Axis, Plane};
pub use bounds::Bounds;
pub use brush::{Brush, BrushShape};
pub use change::{Change, Run};
pub use components::Neighbors;
pub use error::EditError;
pub use journal::{
    EXTENSION, Ending, FoundJournal, Journal, JournalError, JournalStatus, JournalSummary,
    Recovery, find_journals,
};
pub use label_set::LabelSet;
pub use metric::{Metric, Place, place_from_ras, ras_from_place};
pub use operation::{
    Boolean, Combine, Fill, Grow, GrowRange, Holes, Interpolate, IslandAction, Islands, Kernel,
    Margin, Operand, Operation, Over, Paste, Planned, Polygon, Reach, Size, Smooth, Threshold,
    Winding,
};
pub use rules::Rules;
pub use scene::{Scene, Stop};
pub use session::{Effect, Session};
pub use step::{Action, AuditRow, Step, audit_csv};
pub use tally::{LabelCount, Tally};
pub use time::Moment;
pub use values::{ImageId, ValueRange};
