//! What the user can ask for: one list with label, tooltip and key, which menus, buttons, keys
//! and the help page share.

use std::path::PathBuf;

use super::plane::Plane;

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
    /// Use the model at this place in the list.
    Model(usize),
    /// Answer whether what was asked for may lose the labels.
    LoseLabels(bool),
}

impl Command {
    /// Whether other labels, or none, are there when it is done.
    pub fn replaces_labels(&self) -> bool {
        match self {
            Self::Open(_) | Self::OpenSeries(_) | Self::OpenLabels(_) => true,
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
    /// Forget the volume.
    Close,
    /// End the program.
    Quit,
    /// Run the model.
    Segment,
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
    /// A function key.
    F1,
}

impl Shortcut {
    /// As people write it: "Ctrl+O".
    pub fn text(&self) -> String {
        let key = match self.key {
            Key::Char(letter) => letter.to_ascii_uppercase().to_string(),
            Key::PageUp => "Page up".into(),
            Key::PageDown => "Page down".into(),
            Key::Home => "Home".into(),
            Key::End => "End".into(),
            Key::Space => "Space".into(),
            Key::Escape => "Esc".into(),
            Key::Up => "↑".into(),
            Key::Down => "↓".into(),
            Key::F1 => "F1".into(),
        };
        let command = if self.command { "Ctrl+" } else { "" };
        let shift = if self.shift { "Shift+" } else { "" };
        format!("{command}{shift}{key}")
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
    ($($group:literal { $($action:ident, $label:literal, $tooltip:literal, $shortcut:expr;)* })*) => {
        /// Every action once, in the order of the help page.
        pub const ENTRIES: &[Entry] = &[$($(Entry {
            action: Action::$action,
            label: $label,
            tooltip: $tooltip,
            shortcut: $shortcut,
            group: $group,
        },)*)*];
    };
}

entries! {
    "File" {
        OpenFile, "Open file…", "Open an image, or labels over the image that is open", control('o');
        OpenFolder, "Open folder…", "Open a folder with a DICOM study or other images", Some(Shortcut { command: true, shift: true, key: Key::Char('o') });
        OpenPath, "Open path…", "Type where a file or folder is", control('l');
        OpenLabels, "Open labels…", "Open a label file over the image, matched in patient space", None;
        SaveLabels, "Save labels…", "Write the labels to a file and read them back to be sure", control('s');
        Close, "Close", "Close the image and its labels", control('w');
        Quit, "Quit", "End the program", control('q');
    }
    "Segment" {
        Segment, "Segment", "Run the model: the slice in view first, then outward", key('r');
        Cancel, "Cancel", "Stop what runs; what is done stays", plain(Key::Escape);
        NextDoubtful, "Next doubtful slice", "Go to the next slice of which the model is least sure", key('u');
        PreviousDoubtful, "Previous doubtful slice", "Go to the doubtful slice before", shift(Key::Char('u'));
        ToggleDoubt, "Show doubt", "Paint where the model's own softmax is unsure", key('p');
    }
    "Slices" {
        NextSlice, "Next slice", "One slice on in the plane under the cursor", plain(Key::PageUp);
        PreviousSlice, "Previous slice", "One slice back", plain(Key::PageDown);
        FiveOn, "Five slices on", "Five slices on", shift(Key::Up);
        FiveBack, "Five slices back", "Five slices back", shift(Key::Down);
        FirstSlice, "First slice", "To the first slice", plain(Key::Home);
        LastSlice, "Last slice", "To the last slice", plain(Key::End);
    }
    "View" {
        FourPanes, "Four panes", "Three planes and what is known of the image", shift(Key::Char('f'));
        ThreePanes, "Three planes", "One plane large, the others beside it", shift(Key::Char('t'));
        OnePane, "One plane", "The plane under the cursor alone", shift(Key::Char('s'));
        ResetView, "Reset view", "All planes whole and in the middle", plain(Key::Space);
        CenterCrosshair, "Center on crosshair", "Bring the crosshair to the middle of every plane", key('c');
        ResetWindow, "Reset window", "Brightness and contrast as the image was opened", key('w');
        Invert, "Invert", "Black becomes white", key('i');
        ToggleAnnotations, "Annotations", "Crosshair, letters and scale on or off", key('x');
        Help, "Keys and help", "This page", plain(Key::F1);
    }
    "Labels" {
        ToggleLabels, "Show labels", "Labels on or off", key('s');
        ToggleFill, "Fill, outline or both", "How labels are drawn", key('f');
        MoreOpaque, "More opaque", "Labels cover more of the image", key('d');
        LessOpaque, "Less opaque", "Labels cover less of the image", key('a');
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

    /// One sentence and the key.
    pub fn tooltip(self) -> String {
        let Entry { tooltip, shortcut, .. } = self.entry();
        match shortcut {
            Some(shortcut) => format!("{tooltip} ({})", shortcut.text()),
            None => (*tooltip).to_owned(),
        }
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
        assert_eq!(
            Action::OpenFile.tooltip(),
            "Open an image, or labels over the image that is open (Ctrl+O)"
        );
    }
}
