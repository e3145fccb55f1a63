//! Exporting: what the window knows of it, and what the user can ask of it.
//!
//! What can be written is in `kinds.rs`, the dialog in `form.rs` and `rows.rs`, what came of it in
//! `badge.rs`; `write.rs` does the work on a thread, with the code of the command line, and
//! `picture.rs` and `case.rs` make what is written.

mod badge;
pub mod case;
mod form;
mod kinds;
pub mod picture;
mod rows;
pub mod write;

use std::path::PathBuf;

pub use self::badge::{Badge, LabelStamp, stamp_of};
pub use self::form::{Form, Said};
pub use self::kinds::{LabelFormat, TableFormat, What};
pub use self::rows::LabelRow;
use super::labels::LabelLayer;

/// What exporting knows.
#[derive(Debug, Clone, Default)]
pub struct Exporting {
    /// The dialog, while it is open.
    pub form: Option<Form>,
    /// What is being written.
    pub running: Option<&'static str>,
    /// What came of the last time that labels were written.
    pub badge: Option<Badge>,
    /// Where the last export went, until the program ends.
    pub folder: Option<PathBuf>,
    /// Whether names are left away, for a picture of the window is being taken.
    pub nameless: bool,
}

impl Exporting {
    /// The badge, as long as it is about these labels.
    pub fn badge_of(&self, layer: &LabelLayer) -> Option<&Badge> {
        self.badge.as_ref().filter(|badge| badge.stamp == stamp_of(layer))
    }
}

/// What the user wants of an export.
#[derive(Debug, Clone, PartialEq)]
pub enum ExportCommand {
    /// Open the dialog.
    Open(What),
    /// Close it.
    Close,
    /// Another kind.
    What(What),
    /// Another format of labels.
    Format(LabelFormat),
    /// Another format of tables.
    Table(TableFormat),
    /// A row as it is now.
    Row(Box<LabelRow>),
    /// What to call the case.
    Case(String),
    /// Where to write.
    Path(String),
    /// Whether a file may be replaced.
    Replace(bool),
    /// Choose the file in a dialog of the desktop.
    Choose,
    /// Write it.
    Write,
}
