//! The report of a case: one HTML file that shows and tells what was found, how, and by whom.
//!
//! It needs no network, no script and no other file, and prints on A4. It holds nothing of the
//! headers of the image and no path; what the case is called is the caller's choice. Pictures are
//! drawn by `montage`; numbers are taken as they come.

mod facts;
mod html;
mod page;

use image::RgbImage;
use lamina_engine::bundle::Manifest;

pub use self::facts::{image_facts, moment};
pub(crate) use self::html::{STYLE, base64, escaped, facts as facts_table};

/// Said in every report.
pub const NOTICE: &str = "Research use only, not for clinical decisions";

/// What a report is made of; what is not there is left out.
#[derive(Debug, Default)]
pub struct Report<'a> {
    /// What to call the case. Not the patient's name.
    pub case: String,
    /// When the report was made, as people read it.
    pub made: String,
    /// What is known of the image: names and values.
    pub image: Vec<(String, String)>,
    /// Slices with the labels over them.
    pub picture: Option<RgbImage>,
    /// How much of each label there is.
    pub classes: Vec<ClassRow>,
    /// Where the labels come from.
    pub origin: String,
    /// What the model was unsure of.
    pub doubt: Option<Doubt>,
    /// Numbers against a reference.
    pub comparison: Vec<ComparisonRow>,
    /// What was changed by hand.
    pub edits: Option<Edits>,
    /// The model.
    pub model: Option<&'a Manifest>,
}

/// A label and how much of it there is.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassRow {
    /// Its number.
    pub label: u8,
    /// What it is called.
    pub name: String,
    /// What it is painted with.
    pub color: [u8; 3],
    /// Its voxels.
    pub voxels: u64,
    /// Its volume in milliliters, where the spacing is known.
    pub volume_ml: Option<f64>,
}

/// The slices of which the model was least sure.
#[derive(Debug, Clone, PartialEq)]
pub struct Doubt {
    /// In which plane they lie, where that is known.
    pub plane: Option<String>,
    /// How many slices there are.
    pub slices: usize,
    /// How many of them are doubtful.
    pub unsure: usize,
    /// Of those that are known: slice, from 1 as the window counts, and the Dice that its
    /// probabilities lead to expect.
    pub worst: Vec<(usize, f64)>,
}

/// A label against the reference.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonRow {
    /// What it is called.
    pub name: String,
    /// Dice coefficient.
    pub dice: Option<f64>,
    /// Intersection over union.
    pub iou: Option<f64>,
    /// 95th percentile of the distances between the surfaces, in millimeters.
    pub hd95_mm: Option<f64>,
    /// Volume in the reference, in milliliters.
    pub reference_ml: Option<f64>,
}

/// What was changed by hand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edits {
    /// Changes that stand.
    pub changes: u64,
    /// Changes that were undone.
    pub undone: u64,
    /// Voxels that the standing changes touched, each time counted.
    pub voxels: u64,
    /// Seconds that tools were in use.
    pub seconds: f64,
    /// First and last change, as people read moments.
    pub between: Option<(String, String)>,
    /// Tool, how often, and how many voxels.
    pub tools: Vec<(String, u64, u64)>,
}
