//! What the user can ask for.
//!
//! What has a name is in `action.rs`; label, tooltip and key of each are rows of the one list in
//! `entries.rs`, which menus, buttons, keys and the help page share. Which keys a user gave to
//! what is left to `keymap.rs`.

mod action;
mod entries;
mod keys;

use std::path::PathBuf;

pub use self::action::Action;
pub use self::entries::{ENTRIES, Entry};
pub use self::keys::{Key, Shortcut};
use super::plane::Plane;
use super::tools::Tools;

/// Something the user wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// One of the list below.
    Do(Action),
    /// Open these, whatever they are.
    Open(Vec<PathBuf>),
    /// Open a series of the study that is listed, by its place from 1.
    OpenSeries(u32),
    /// Open this file as labels over the volume.
    OpenLabels(PathBuf),
    /// Write the labels here.
    SaveLabels(PathBuf),
    /// Show the place, in RAS millimeters.
    GoTo([f64; 3]),
    /// Show another slice of a plane.
    Slice(Plane, usize),
    /// Look through this window.
    Window(super::shades::Window),
    /// Look through the preset at this place in the list.
    Preset(usize),
    /// Zoom a plane by a factor, keeping what is at a place, in points from the middle of the
    /// pane.
    Zoom(Plane, f32, [f32; 2]),
    /// Move a plane by points of the screen.
    Pan(Plane, [f32; 2]),
    /// Show or hide a label.
    ShowLabel(u8, bool),
    /// Paint a label in another color.
    ColorLabel(u8, [u8; 3]),
    /// How opaque labels are, 0 to 1.
    Opacity(f32),
    /// Take away a notice.
    Dismiss(u64),
    /// Make one plane large.
    Enlarge(Plane),
    /// Close the list of series.
    CloseSeries,
    /// Something about models.
    Segment(super::segment::SegmentCommand),
    /// Something of the comparison with a reference.
    Compare(super::compare::CompareCommand),
    /// Something of the worklist.
    List(super::worklist::ListCommand),
    /// Answer whether what was asked for may lose the labels.
    LoseLabels(bool),
    /// Correct labels.
    Edit(Edit),
    /// Something about an export.
    Export(super::export::ExportCommand),
    /// Something about the keys.
    Keys(super::keymap::KeyCommand),
}

/// Something that changes labels, or how they are changed. Places are voxel indices (i, j, k).
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Set the tools.
    Set(Box<Tools>),
    /// Begin a stroke of brush or eraser in a plane.
    Press(Plane, [f64; 3]),
    /// Go on with it.
    Drag([f64; 3]),
    /// Fill or grow from a voxel, within a plane if so set.
    Spread(Plane, [usize; 3]),
    /// Put a corner of a polygon on a slice: column and row.
    Corner(Plane, usize, [f64; 2]),
    /// Name a label.
    Rename(u8, String),
    /// Let nothing change a label, or let it.
    Lock(u8, bool),
    /// Go on with the work that a journal has.
    TakeUp(PathBuf),
    /// Say that the work that a journal has is not wanted.
    Discard(PathBuf),
    /// Leave unfinished work for another time.
    Later,
}

impl Command {
    /// Whether other labels, or none, are there when it is done.
    pub fn replaces_labels(&self) -> bool {
        match self {
            Self::Open(_) | Self::OpenSeries(_) | Self::OpenLabels(_) => true,
            Self::List(command) => matches!(command, super::worklist::ListCommand::Go(_)),
            Self::Edit(edit) => matches!(edit, Edit::TakeUp(_)),
            Self::Do(action) => matches!(action, Action::Close | Action::Quit),
            _ => false,
        }
    }
}
