//! What is remembered from one day to the next: how images of a modality are looked at, how labels
//! look, which key does what.
//!
//! A modality is one of a few words and everything else numbers or our own names; of an image,
//! a patient or a path nothing is kept. Names of labels are: they are what the user called them.

mod file;
mod label_sets;
mod look;
mod place;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::file::SettingsFile;
pub use self::label_sets::{LabelLook, label_set_key, looks};
pub use self::look::{Look, ToolLook, WindowLook, modality_key};
pub use self::place::folder;

/// The form of the file.
const FORMAT: u32 = 1;

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The form of the file.
    pub format: u32,
    /// By modality: `ct`, `mr`, `rgb`, `other` or `unknown`.
    pub modalities: BTreeMap<String, Look>,
    /// By what the labels are: `model NAME`.
    pub label_sets: BTreeMap<String, Vec<LabelLook>>,
    /// Keys that were changed, by action.
    pub keys: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: FORMAT,
            modalities: BTreeMap::new(),
            label_sets: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }
}
