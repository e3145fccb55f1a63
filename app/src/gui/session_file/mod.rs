//! A session in a file: which files are open, and how they are looked at.
//!
//! Files are named as seen from the folder of the session, by way of folders below it alone, so
//! that no more of a path is told than its last part. Nothing of a header is kept; a hash tells
//! whether a file is still the one that it was.

mod file;
mod looking;
mod paths;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::file::Resolved;
use super::settings::LabelLook;
use super::state::{Drawn, Layout};

/// What names of sessions end in, without the dot.
pub const EXTENSION: &str = "lamina-session";

/// The form of the file.
const FORMAT: u32 = 1;

const ABOUT: &str = "A session of Lamina. Files are named as seen from the folder of this file; \
                     nothing of their headers is in it.";

/// What is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionFile {
    /// The form of the file.
    pub lamina_session: u32,
    /// For whom opens it with another program.
    pub about: String,
    /// The image.
    pub image: FileRef,
    /// The labels over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<FileRef>,
    /// The labels that they are compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<FileRef>,
    /// The worklist, and where in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worklist: Option<ListRef>,
    /// The model that is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// How it is looked at.
    pub view: ViewPart,
    /// How labels look.
    pub classes: Vec<ClassPart>,
}

/// A file or a folder of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Its path from the folder of the session, with `/` between its parts.
    pub file: String,
    /// Which series of a folder, by its place from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<u32>,
    /// Hash of all that is read of it.
    pub sha256: String,
}

/// A worklist: its folders as seen from that of the session, and the case that is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRef {
    /// Results.
    pub results: String,
    /// Images, where they were chosen or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<String>,
    /// References, where they were chosen or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
    /// The case that is open, by its name in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
}

impl ListRef {
    fn folders(&mut self) -> impl Iterator<Item = &mut String> {
        [Some(&mut self.results), self.images.as_mut(), self.references.as_mut()]
            .into_iter()
            .flatten()
    }
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRef {
    /// Its name.
    pub name: String,
    /// Hash of its weights.
    pub weights_sha256: String,
}

/// How an image is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the window")]
pub struct ViewPart {
    /// The place that is shown, in RAS millimeters.
    pub crosshair_mm: [f64; 3],
    /// Which planes are seen.
    pub layout: Layout,
    /// The plane that is large.
    pub focus: String,
    /// Zoom and shift of each plane.
    pub panes: [(f32, [f32; 2]); 3],
    /// Middle and width of the window.
    pub window: [f64; 2],
    /// Whether black is white.
    pub inverted: bool,
    /// Whether labels are shown.
    pub labels: bool,
    /// How opaque they are.
    pub opacity: f32,
    /// Filled, outlined or both.
    pub drawn: Drawn,
    /// Whether doubt is shown.
    pub doubt: bool,
    /// Whether crosshair, letters and scale are drawn.
    pub annotations: bool,
}

/// How a label looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassPart {
    /// Number, name and color.
    #[serde(flatten)]
    pub look: LabelLook,
    /// Whether it is shown.
    pub visible: bool,
}

/// Whether a path is that of a session.
pub fn is_session(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(EXTENSION))
}
