//! What has a name in menus and on buttons, and often a key.

use super::entries::{ENTRIES, Entry};
use crate::gui::tools::{Refinement, Tool};

/// A command that has a name, and often a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Choose a file.
    OpenFile,
    /// Choose a folder.
    OpenFolder,
    /// Type a path.
    OpenPath,
    /// Choose a label file.
    OpenLabels,
    /// Write the labels to a file.
    SaveLabels,
    /// Write labels, tables, pictures in any form.
    Export,
    /// Write a page about the case.
    CaseReport,
    /// Write a picture of the window.
    Screenshot,
    /// Write which files are open and how they are looked at.
    SaveSession,
    /// Forget the volume.
    Close,
    /// End the program.
    Quit,
    /// Run the model.
    Segment,
    /// Run the model on the slice in view.
    RerunSlice,
    /// Open the card of the model.
    ModelCard,
    /// Choose the folder of a model.
    AddBundle,
    /// End what runs.
    Cancel,
    /// To the next slice whose labels are doubtful.
    NextDoubtful,
    /// To the one before.
    PreviousDoubtful,
    /// Labels on or off.
    ToggleLabels,
    /// Fill, outline or both.
    ToggleFill,
    /// More opaque.
    MoreOpaque,
    /// Less opaque.
    LessOpaque,
    /// Doubt on or off.
    ToggleDoubt,
    /// Crosshair, letters and numbers on or off.
    ToggleAnnotations,
    /// Voxels larger.
    ZoomIn,
    /// Voxels smaller.
    ZoomOut,
    /// The crosshair one voxel to the left of the page.
    StepLeft,
    /// One to the right.
    StepRight,
    /// One up.
    StepUp,
    /// One down.
    StepDown,
    /// One of the windows to look through, by its place in the list.
    Preset(u8),
    /// Black to white.
    Invert,
    /// The window that the volume was opened with.
    ResetWindow,
    /// All planes as they were.
    ResetView,
    /// Planes to the crosshair.
    CenterCrosshair,
    /// One slice on.
    NextSlice,
    /// One slice back.
    PreviousSlice,
    /// Five on.
    FiveOn,
    /// Five back.
    FiveBack,
    /// The first slice.
    FirstSlice,
    /// The last slice.
    LastSlice,
    /// Three planes and a panel.
    FourPanes,
    /// One large plane, two small.
    ThreePanes,
    /// One plane.
    OnePane,
    /// The help page.
    Help,
    /// Another tool.
    Tool(Tool),
    /// Another label to paint with: the next one.
    NextLabel,
    /// The one before.
    PreviousLabel,
    /// A label that is not there yet.
    NewLabel,
    /// A larger brush.
    LargerBrush,
    /// A smaller one.
    SmallerBrush,
    /// Fill the line that was drawn.
    ClosePolygon,
    /// Take back its last corner.
    DropCorner,
    /// Take back the last change.
    Undo,
    /// Make it again.
    Redo,
    /// Do something to a whole label.
    Refine(Refinement),
    /// Choose a reference.
    OpenReference,
    /// Take the reference away.
    CloseReference,
    /// Hold its key to see the reference in place of the labels.
    HoldReference,
    /// Labels and reference side by side.
    Beside,
    /// Outlines of the reference on or off.
    OutlineReference,
    /// To the next slice that differs from the reference.
    NextBad,
    /// To the one before.
    PreviousBad,
    /// To where surfaces lie farthest apart.
    WorstPoint,
    /// Choose a folder of cases.
    OpenWorklist,
    /// The next case of the worklist.
    NextCase,
    /// The one before.
    PreviousCase,
    /// The labels of the case are good.
    Accept,
    /// Somebody should look at the case again.
    Flag,
}

impl Action {
    /// Its row.
    pub fn entry(self) -> &'static Entry {
        ENTRIES.iter().find(|entry| entry.action == self).expect("every action has a row")
    }

    /// What menus and buttons say.
    pub fn label(self) -> &'static str {
        self.entry().label
    }

    /// One sentence more; [`State::tooltip`](crate::gui::state::State::tooltip) adds the key.
    pub fn tooltip(self) -> &'static str {
        self.entry().tooltip
    }
}
