//! Tools that do their work in one go: everything but a stroke of the brush.
//!
//! An operation looks at a [`Scene`] and answers with the [`Change`] that it would make. It
//! changes nothing itself, so that it may run on another thread while the window goes on. Each
//! works in a box around what it is about, slices in parallel, and asks now and then whether to
//! stop.

mod boolean;
mod fill;
mod holes;
mod interpolate;
mod islands;
mod margin;
mod paste;
mod polygon;
mod smooth;
mod threshold;

use std::time::Instant;

use ndarray::{Ix3, SliceInfo, SliceInfoElem};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use boolean::{Boolean, Combine, Operand};
pub use fill::{Fill, Grow, GrowRange};
pub use holes::Holes;
pub use interpolate::Interpolate;
pub use islands::{IslandAction, Islands, Size};
pub use margin::Margin;
pub use paste::Paste;
pub use polygon::{Polygon, Winding};
pub use smooth::{Kernel, Smooth};
pub use threshold::Threshold;

use crate::axis::Axis;
use crate::bounds::Bounds;
use crate::change::Change;
use crate::error::EditError;
use crate::label_set::LabelSet;
use crate::rules::Gate;
use crate::scene::{Scene, Stop};
use crate::session::Made;
use crate::time::Moment;

/// A tool with its settings. In the journal these are its name and parameters.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// Fills what was drawn around.
    Polygon(Polygon),
    /// Relabels what hangs together.
    Fill(Fill),
    /// Grows a region of like image values.
    Grow(Grow),
    /// Labels a range of image values.
    Threshold(Threshold),
    /// Fills the slices between those that were drawn.
    Interpolate(Interpolate),
    /// Keeps, removes or splits what does not hang together.
    Islands(Islands),
    /// Fills what is enclosed.
    Holes(Holes),
    /// Evens out surfaces.
    Smooth(Smooth),
    /// Grows or shrinks by a distance.
    Margin(Margin),
    /// Combines labels.
    Boolean(Boolean),
    /// Takes labels that were made elsewhere, by a model for example.
    Paste(Paste),
}

/// A change that an operation would make: to be shown first, or made by
/// [`Session::commit`](crate::Session::commit).
#[derive(Clone, Debug)]
pub struct Planned {
    pub(crate) change: Change,
    pub(crate) revision: u64,
    pub(crate) made: Made,
}

impl Planned {
    /// The change.
    pub fn change(&self) -> &Change {
        &self.change
    }
}

impl Operation {
    /// Works out what this would change of the scene's labels. Memory besides the change is
    /// bounded by the box around what it is about.
    ///
    /// # Errors
    /// If it makes no sense here (a locked label, a slice that is not there, and so on), or was
    /// stopped.
    pub fn plan(&self, scene: &Scene, stop: Stop<'_>) -> Result<Planned, EditError> {
        let began = Instant::now();
        let change = self.change(scene, stop)?;
        // `{"margin": {"label": 1, ..}}`
        let (tool, parameters) = match serde_json::to_value(self) {
            Ok(Value::Object(entries)) => entries.into_iter().next().unwrap_or_default(),
            _ => Default::default(),
        };
        let (time, seconds) = (Moment::now(), began.elapsed().as_secs_f64());
        let (label, rules) = (self.label(), scene.rules);
        let made = Made { time, seconds, tool, label, parameters, rules };
        Ok(Planned { change, revision: scene.revision, made })
    }

    fn change(&self, scene: &Scene, stop: Stop<'_>) -> Result<Change, EditError> {
        match self {
            Self::Polygon(tool) => tool.plan(scene),
            Self::Fill(tool) => tool.plan(scene, stop),
            Self::Grow(tool) => tool.plan(scene, stop),
            Self::Threshold(tool) => tool.plan(scene, stop),
            Self::Interpolate(tool) => tool.plan(scene, stop),
            Self::Islands(tool) => tool.plan(scene, stop),
            Self::Holes(tool) => tool.plan(scene, stop),
            Self::Smooth(tool) => tool.plan(scene, stop),
            Self::Margin(tool) => tool.plan(scene, stop),
            Self::Boolean(tool) => tool.plan(scene, stop),
            Self::Paste(tool) => tool.plan(scene, stop),
        }
    }

    /// The label that it is about, if it is about one.
    pub fn label(&self) -> Option<u8> {
        match self {
            Self::Polygon(tool) => Some(tool.label),
            Self::Fill(tool) => Some(tool.label),
            Self::Grow(tool) => Some(tool.label),
            Self::Threshold(tool) => Some(tool.label),
            Self::Interpolate(tool) => tool.label,
            Self::Islands(tool) => Some(tool.label),
            Self::Holes(tool) => Some(tool.label),
            Self::Smooth(tool) => tool.label,
            Self::Margin(tool) => Some(tool.label),
            Self::Boolean(tool) => Some(tool.label),
            Self::Paste(_) => None,
        }
    }
}

/// How much of the volume a tool works on, and whether its slices know of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// All of it, as one body.
    #[default]
    Volume,
    /// All of it, each slice across this axis by itself.
    EachSlice(Axis),
    /// One slice.
    Slice {
        /// Which way slices are cut.
        axis: Axis,
        /// Which of them.
        index: usize,
    },
}

impl Reach {
    /// The box that it reaches over, in which nothing goes across the axis that comes along.
    fn limit(self, scene: &Scene) -> Result<(Bounds, Option<Axis>), EditError> {
        let whole = Bounds::whole(scene.shape());
        match self {
            Self::Volume => Ok((whole, None)),
            Self::EachSlice(axis) => Ok((whole, Some(axis))),
            Self::Slice { axis, index } => {
                scene.check_slice(axis, index)?;
                Ok((whole.at_slice(axis, index).unwrap_or(whole), Some(axis)))
            }
        }
    }
}

/// What a tool that makes a label larger may take, within what the rules allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Background only.
    #[default]
    Background,
    /// Other labels, too.
    Any,
}

impl Over {
    /// The gate for a tool that gives `label` voxels, and may take its voxels away.
    fn gate(self, gate: Gate<'_>, label: Option<u8>) -> Gate<'_> {
        match self {
            Self::Background => gate.over([0].into_iter().chain(label).collect::<LabelSet>()),
            Self::Any => gate,
        }
    }
}

/// An array `[depth, height, width]` of whether each voxel of a box has a label.
fn mask_of(scene: &Scene, bounds: &Bounds, label: u8) -> ndarray::Array3<bool> {
    scene.labels.slice(part_of(bounds)).mapv(|found| found == label)
}

/// A box, to cut it out of an array.
fn part_of(bounds: &Bounds) -> SliceInfo<[SliceInfoElem; 3], Ix3, Ix3> {
    let [start, end] = [bounds.start, bounds.end];
    ndarray::s![start[0]..end[0], start[1]..end[1], start[2]..end[2]]
}

/// The part of a box's array that belongs to the row of the volume that begins at `first`.
fn row_of<'a, T>(array: &'a ndarray::Array3<T>, bounds: &Bounds, first: [usize; 3]) -> &'a [T] {
    let [_, height, width] = bounds.shape();
    let row = (first[0] - bounds.start[0]) * height + (first[1] - bounds.start[1]);
    let at = row * width + (first[2] - bounds.start[2]);
    &array.as_slice().unwrap_or_default()[at..]
}
