//! What the user can ask for: one list with label, tooltip and key, which menus, buttons, keys
//! and the help page share. Which keys a user gave to what is left to `keymap.rs`.

use std::path::PathBuf;

use super::plane::Plane;
use super::tools::{Refinement, Tool, Tools};

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
            Self::Do(action) => matches!(action, Action::Close | Action::Quit),
            _ => false,
        }
    }
}

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

/// A key with what is held beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortcut {
    /// Ctrl, or Command on a Mac.
    pub command: bool,
    /// Shift.
    pub shift: bool,
    /// The key, by its name.
    pub key: Key,
}

/// The keys in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A letter or a digit.
    Char(char),
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
    /// Space bar.
    Space,
    /// Escape.
    Escape,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow to the left.
    Left,
    /// Arrow to the right.
    Right,
    /// Tab.
    Tab,
    /// Enter.
    Enter,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Insert.
    Insert,
    /// A function key, by its number.
    Function(u8),
}

/// Keys that are no letter, by what people call them.
const NAMED: [(Key, &str); 15] = [
    (Key::PageUp, "Page up"),
    (Key::PageDown, "Page down"),
    (Key::Home, "Home"),
    (Key::End, "End"),
    (Key::Space, "Space"),
    (Key::Escape, "Esc"),
    (Key::Up, "↑"),
    (Key::Down, "↓"),
    (Key::Left, "←"),
    (Key::Right, "→"),
    (Key::Tab, "Tab"),
    (Key::Enter, "Enter"),
    (Key::Backspace, "Backspace"),
    (Key::Delete, "Delete"),
    (Key::Insert, "Insert"),
];

impl Shortcut {
    /// As people write it: "Ctrl+O".
    pub fn text(&self) -> String {
        let named = NAMED.iter().find(|(key, _)| *key == self.key).map(|(_, name)| *name);
        let key = match self.key {
            Key::Char(letter) => letter.to_ascii_uppercase().to_string(),
            Key::Function(number) => format!("F{number}"),
            _ => named.unwrap_or_default().to_owned(),
        };
        let command = if self.command { "Ctrl+" } else { "" };
        let shift = if self.shift { "Shift+" } else { "" };
        format!("{command}{shift}{key}")
    }

    /// The key that [`text`](Self::text) writes so.
    pub fn parse(text: &str) -> Option<Self> {
        let (command, rest) = text.strip_prefix("Ctrl+").map_or((false, text), |rest| (true, rest));
        let (shift, rest) = rest.strip_prefix("Shift+").map_or((false, rest), |rest| (true, rest));
        let named = NAMED.iter().find(|(_, name)| *name == rest).map(|(key, _)| *key);
        let function = || {
            let number = rest.strip_prefix('F')?.parse().ok()?;
            (1..=24).contains(&number).then_some(Key::Function(number))
        };
        let mut letters = rest.chars();
        let letter = match (letters.next(), letters.next()) {
            (Some(letter), None) if letter.is_ascii_graphic() => {
                Some(Key::Char(letter.to_ascii_lowercase()))
            }
            _ => None,
        };
        let key = named.or(letter).or_else(function)?;
        Some(Self { command, shift, key })
    }
}

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

impl Action {
    /// Its row.
    pub fn entry(self) -> &'static Entry {
        ENTRIES.iter().find(|entry| entry.action == self).expect("every action has a row")
    }

    /// What menus and buttons say.
    pub fn label(self) -> &'static str {
        self.entry().label
    }

    /// One sentence more; [`State::tooltip`](super::state::State::tooltip) adds the key.
    pub fn tooltip(self) -> &'static str {
        self.entry().tooltip
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

    #[test]
    fn keys_are_read_as_they_are_written() {
        let letters = "az09,.;/+-[]".chars().map(Key::Char);
        let named = NAMED.iter().map(|(key, _)| *key);
        for key in letters.chain(named).chain((1..=24).map(Key::Function)) {
            for (command, shift) in [(false, false), (true, false), (false, true), (true, true)] {
                let shortcut = Shortcut { command, shift, key };
                assert_eq!(Shortcut::parse(&shortcut.text()), Some(shortcut));
            }
        }
        for text in ["", "Ctrl+", "F0", "F25", "Alt+A", "ä", "AB"] {
            assert_eq!(Shortcut::parse(text), None, "{text}");
        }
    }
}
