//! The list: every action once, with label, tooltip, key and heading.

use super::action::Action;
use super::keys::{Key, Shortcut};
use crate::gui::tools::{Refinement, Tool};

/// A row of the list.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// What it does.
    pub action: Action,
    /// What menus and buttons say.
    pub label: &'static str,
    /// One sentence more.
    pub tooltip: &'static str,
    /// The key.
    pub shortcut: Option<Shortcut>,
    /// Under which heading the help page lists it.
    pub group: &'static str,
}

#[expect(clippy::unnecessary_wraps, reason = "rows of the list may have no key")]
const fn key(letter: char) -> Option<Shortcut> {
    Some(Shortcut { command: false, shift: false, key: Key::Char(letter) })
}

#[expect(clippy::unnecessary_wraps, reason = "rows of the list may have no key")]
const fn control(letter: char) -> Option<Shortcut> {
    Some(Shortcut { command: true, shift: false, key: Key::Char(letter) })
}

#[expect(clippy::unnecessary_wraps, reason = "rows of the list may have no key")]
const fn shift(key: Key) -> Option<Shortcut> {
    Some(Shortcut { command: false, shift: true, key })
}

#[expect(clippy::unnecessary_wraps, reason = "rows of the list may have no key")]
const fn plain(key: Key) -> Option<Shortcut> {
    Some(Shortcut { command: false, shift: false, key })
}

macro_rules! entries {
    ($($group:literal { $($action:expr, $label:literal, $tooltip:literal, $shortcut:expr;)* })*) => {
        /// Every action once, in the order of the help page.
        pub const ENTRIES: &[Entry] = &[$($(Entry {
            action: $action,
            label: $label,
            tooltip: $tooltip,
            shortcut: $shortcut,
            group: $group,
        },)*)*];
    };
}

entries! {
    "File" {
        Action::OpenFile, "Open file…", "Open an image, or labels over the image that is open", control('o');
        Action::OpenFolder, "Open folder…", "Open a folder with a DICOM study or other images", Some(Shortcut { command: true, shift: true, key: Key::Char('o') });
        Action::OpenPath, "Open path…", "Type where a file or folder is", control('l');
        Action::OpenLabels, "Open labels…", "Open a label file over the image, matched in patient space", None;
        Action::SaveLabels, "Save labels…", "Write the labels to a file and read them back to be sure", control('s');
        Action::Export, "Export…", "Write labels, tables, pictures or a report, verified where that can be", control('e');
        Action::CaseReport, "Case report…", "Write one page with overlays, volumes, edits and the model", None;
        Action::Screenshot, "Picture of the window…", "Write what is on the screen, without names of files", None;
        Action::SaveSession, "Save session…", "Write which files are open and how they are looked at", None;
        Action::Close, "Close", "Close the image and its labels", control('w');
        Action::Quit, "Quit", "End the program", control('q');
    }
    "Segment" {
        Action::Segment, "Segment", "Run the model: the slice in view first, then outward", key('r');
        Action::RerunSlice, "Segment this slice again", "Run the model on the slice in view of its own plane, one step to be undone", shift(Key::Char('r'));
        Action::ModelCard, "Model card…", "What the model is for, how well it does and what it was trained on", None;
        Action::AddBundle, "Add a bundle…", "Choose the folder of another model, or drop it on the window; until the program ends", None;
        Action::Cancel, "Cancel", "Stop what runs; what is done stays", plain(Key::Escape);
        Action::NextDoubtful, "Next doubtful slice", "Go to the next slice of which the model is least sure", key('u');
        Action::PreviousDoubtful, "Previous doubtful slice", "Go to the doubtful slice before", shift(Key::Char('u'));
        Action::ToggleDoubt, "Show doubt", "Paint where the model's own softmax is unsure", key('p');
    }
    "Correct" {
        Action::Tool(Tool::Crosshair), "Crosshair", "The left button moves the crosshair", key('1');
        Action::Tool(Tool::Brush), "Brush", "Paint the chosen label; the wheel with Shift changes the size", key('2');
        Action::Tool(Tool::Eraser), "Eraser", "Paint background", key('3');
        Action::Tool(Tool::Polygon), "Polygon", "Click or draw around something; Enter fills it", key('4');
        Action::Tool(Tool::Fill), "Fill", "Relabel all that hangs together with a voxel", key('5');
        Action::Tool(Tool::Grow), "Grow", "Grow a region of like values from a voxel", key('6');
        Action::NextLabel, "Next label", "Paint with the next label", key('.');
        Action::PreviousLabel, "Previous label", "Paint with the label before", key(',');
        Action::NewLabel, "New label", "Add a label that is not there yet", None;
        Action::LargerBrush, "Larger brush", "A fifth larger", key('+');
        Action::SmallerBrush, "Smaller brush", "A fifth smaller", key('-');
        Action::ClosePolygon, "Fill polygon", "Fill what was drawn around", plain(Key::Enter);
        Action::DropCorner, "Drop corner", "Take the last corner of the polygon back", plain(Key::Backspace);
        Action::Undo, "Undo", "Take the last change back", control('z');
        Action::Redo, "Redo", "Make it again", control('y');
    }
    "Refine the chosen label" {
        Action::Refine(Refinement::Interpolate), "Interpolate", "Fill the slices between those that were drawn", key('n');
        Action::Refine(Refinement::KeepLargest), "Keep largest", "Keep its largest part alone", None;
        Action::Refine(Refinement::RemoveSmall), "Remove small", "Take parts away that are smaller than the volume beside", None;
        Action::Refine(Refinement::FillHoles), "Fill holes", "Fill what it encloses", None;
        Action::Refine(Refinement::Smooth), "Smooth", "Even out its surface, as far as the length beside", None;
        Action::Refine(Refinement::Widen), "Widen", "Make it larger by the length beside", None;
        Action::Refine(Refinement::Narrow), "Narrow", "Make it smaller by the length beside", None;
        Action::Refine(Refinement::Add), "Add", "Add the voxels of another label to it", None;
        Action::Refine(Refinement::Subtract), "Subtract reference", "Take away what the reference has of it", None;
        Action::Refine(Refinement::Intersect), "Keep reference", "Keep only what the reference has of it, too", None;
    }
    "Slices" {
        Action::NextSlice, "Next slice", "One slice on in the plane under the cursor", plain(Key::PageUp);
        Action::PreviousSlice, "Previous slice", "One slice back", plain(Key::PageDown);
        Action::FiveOn, "Five slices on", "Five slices on", shift(Key::Up);
        Action::FiveBack, "Five slices back", "Five slices back", shift(Key::Down);
        Action::StepLeft, "Step left", "The crosshair one voxel on, in the plane under the cursor", plain(Key::Left);
        Action::StepRight, "Step right", "The crosshair one voxel to the right", plain(Key::Right);
        Action::StepUp, "Step up", "The crosshair one voxel up", plain(Key::Up);
        Action::StepDown, "Step down", "The crosshair one voxel down", plain(Key::Down);
        Action::FirstSlice, "First slice", "To the first slice", plain(Key::Home);
        Action::LastSlice, "Last slice", "To the last slice", plain(Key::End);
    }
    "View" {
        Action::FourPanes, "Four panes", "Three planes and what is known of the image", shift(Key::Char('f'));
        Action::ThreePanes, "Three planes", "One plane large, the others beside it", shift(Key::Char('t'));
        Action::OnePane, "One plane", "The plane under the cursor alone", shift(Key::Char('s'));
        Action::ResetView, "Reset view", "All planes whole and in the middle", plain(Key::Space);
        Action::ZoomIn, "Zoom in", "The plane under the cursor larger", key('z');
        Action::ZoomOut, "Zoom out", "The plane under the cursor smaller", shift(Key::Char('z'));
        Action::CenterCrosshair, "Center on crosshair", "Bring the crosshair to the middle of every plane", key('c');
        Action::ResetWindow, "Reset window", "Brightness and contrast as the image was opened", key('w');
        Action::Preset(0), "Brightness preset 1", "The first of the presets: what the image was opened with", shift(Key::Char('1'));
        Action::Preset(1), "Brightness preset 2", "The second of the presets for the image", shift(Key::Char('2'));
        Action::Preset(2), "Brightness preset 3", "The third of the presets for the image", shift(Key::Char('3'));
        Action::Preset(3), "Brightness preset 4", "The fourth of the presets for the image", shift(Key::Char('4'));
        Action::Preset(4), "Brightness preset 5", "The fifth of the presets for the image", shift(Key::Char('5'));
        Action::Invert, "Invert", "Black becomes white", key('i');
        Action::ToggleAnnotations, "Annotations", "Crosshair, letters and scale on or off", key('x');
        Action::Help, "Keys and help", "This page", plain(Key::Function(1));
    }
    "Labels" {
        Action::ToggleLabels, "Show labels", "Labels on or off", key('s');
        Action::ToggleFill, "Fill, outline or both", "How labels are drawn", key('f');
        Action::MoreOpaque, "More opaque", "Labels cover more of the image", key('d');
        Action::LessOpaque, "Less opaque", "Labels cover less of the image", key('a');
    }
    "Compare" {
        Action::OpenReference, "Open reference…", "Open labels to compare with, matched in patient space", control('r');
        Action::HoldReference, "Hold for the reference", "While it is held, the reference is shown in place of the labels", key('g');
        Action::Beside, "Prediction beside reference", "One plane twice: the labels on the left, the reference on the right", shift(Key::Char('g'));
        Action::OutlineReference, "Outline of the reference", "Outlines of the reference over the labels on or off", shift(Key::Char('o'));
        Action::NextBad, "Next bad slice", "Go to the next slice of this plane with a Dice below 0.8", key('j');
        Action::PreviousBad, "Previous bad slice", "Go to the bad slice before", shift(Key::Char('j'));
        Action::WorstPoint, "Worst point", "Go to where the surfaces lie farthest apart", key('k');
        Action::CloseReference, "Close reference", "Compare no more", None;
    }
    "Worklist" {
        Action::OpenWorklist, "Open worklist…", "List the cases of a folder that predict wrote into, or of any folder of labels", None;
        Action::NextCase, "Next case", "Open the next case of the worklist", shift(Key::Char('n'));
        Action::PreviousCase, "Previous case", "Open the case before", shift(Key::Char('p'));
        Action::Accept, "Accept", "The labels of this case are good; once more takes it back", shift(Key::Char('a'));
        Action::Flag, "Flag", "Somebody should look at this case again; once more takes it back", shift(Key::Char('l'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        let keys: Vec<(Shortcut, Action)> =
            ENTRIES.iter().filter_map(|entry| Some((entry.shortcut?, entry.action))).collect();
        for (index, (shortcut, action)) in keys.iter().enumerate() {
            for (other, second) in &keys[index + 1..] {
                assert_ne!(shortcut, other, "{action:?} and {second:?}");
            }
        }
    }

    #[test]
    fn actions_have_one_row_each() {
        let mut actions: Vec<Action> = ENTRIES.iter().map(|entry| entry.action).collect();
        let count = actions.len();
        actions.sort();
        actions.dedup();
        assert_eq!(actions.len(), count);
    }
}
