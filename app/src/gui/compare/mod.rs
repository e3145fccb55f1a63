//! Comparing labels with a reference: what is shown of it, and what was measured.
//!
//! Plain data. A reference is read in `open.rs` and measured in `measure.rs`; the measures
//! themselves are those of `lamina_engine::metrics`.

pub mod measure;
pub mod open;

use std::path::PathBuf;
use std::sync::Arc;

use lamina_io::LabelVolume;
use ndarray::Array3;

pub use measure::{Measured, WorstPoint};

use super::labels::{LabelClass, LabelLayer, Stamp};

/// Below this Dice a slice counts as bad.
pub const BAD_DICE: f64 = 0.8;

/// What the user wants of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum CompareCommand {
    /// Choose a file with a reference.
    Choose,
    /// Open this one.
    Open(PathBuf),
    /// Take it away.
    Close,
    /// Its outlines over the labels on or off.
    Outline,
    /// Show curve and worst point of a label, or of all.
    Class(Option<u8>),
    /// Go to the worst point.
    Worst,
    /// Go to the next bad slice.
    NextBad,
    /// Go to the one before.
    PreviousBad,
}

/// What a pane shows over the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The labels that are worked on: the prediction.
    Labels,
    /// The reference.
    Reference,
}

/// Labels to compare with.
#[derive(Debug, Clone)]
pub struct Reference {
    /// As they are in their file: what is measured.
    pub native: Arc<LabelVolume>,
    /// On the grid of the image: what is shown.
    pub labels: Arc<Array3<u8>>,
    /// Names and colors.
    pub classes: Vec<LabelClass>,
    /// Where they come from: the name of a file.
    pub origin: String,
    /// The file.
    pub file: Option<PathBuf>,
    /// Another number for every reference.
    pub id: u64,
}

impl Reference {
    /// Names and colors, those of the labels where they have the same.
    pub fn rows(&self, labels: Option<&LabelLayer>) -> Vec<LabelClass> {
        let own = self.classes.iter();
        own.map(|row| labels.and_then(|layer| layer.class(row.value)).unwrap_or(row).clone())
            .collect()
    }

    /// Changes when it looks different.
    pub fn stamp(&self, labels: Option<&LabelLayer>) -> Stamp {
        let [id, looks, ..] = labels.map_or([0; 4], LabelLayer::revision);
        [u64::MAX, self.id, id, looks]
    }
}

/// The comparison that is going on.
#[derive(Debug, Clone)]
pub struct Compare {
    /// What labels are compared with.
    pub reference: Option<Reference>,
    /// Whether the key is held that shows the reference in place of the labels.
    pub held: bool,
    /// Whether the outlines of the reference are drawn over the labels.
    pub outlined: bool,
    /// The label whose curve and worst point are shown; all of them unless chosen.
    pub class: Option<u8>,
    /// What was found last.
    pub measured: Option<Measured>,
    /// Whether other labels are there than were measured.
    pub outdated: bool,
    /// Why nothing could be measured.
    pub problem: Option<String>,
}

impl Default for Compare {
    fn default() -> Self {
        Self {
            reference: None,
            held: false,
            outlined: true,
            class: None,
            measured: None,
            outdated: false,
            problem: None,
        }
    }
}

impl Compare {
    /// Takes the reference away.
    pub fn forget(&mut self) {
        let outlined = self.outlined;
        *self = Self { outlined, ..Self::default() };
    }

    /// The reference where it is to be seen on a side.
    pub fn shown_on(&self, side: Side) -> Option<&Reference> {
        self.reference.as_ref().filter(|_| side == Side::Reference || self.held)
    }

    /// Dice of each slice along a voxel axis (0 for i, 2 for k): of the label that is chosen, or
    /// the mean over those that either side has there.
    pub fn curve(&self, axis: usize) -> Option<&[Option<f64>]> {
        self.measured.as_ref()?.curve(axis, self.class)
    }

    /// Where the surfaces of the label that is chosen, or of any, lie farthest apart.
    pub fn worst(&self) -> Option<&WorstPoint> {
        self.measured.as_ref()?.worst(self.class)
    }
}

/// The next bad slice from `from`, on or back, around the ends. Of bad neighbors the worst stands
/// for all.
pub fn next_bad(curve: &[Option<f64>], from: usize, forwards: bool) -> Option<usize> {
    let len = curve.len();
    let lack = |at: usize| curve[at].map_or(0.0, |dice| 1.0 - dice);
    let bad = |at: usize| curve[at].is_some_and(|dice| dice < BAD_DICE);
    let valley = |at: &usize| {
        let (before, after) = (at.checked_sub(1), Some(at + 1).filter(|next| *next < len));
        bad(*at)
            && before.is_none_or(|before| lack(before) <= lack(*at))
            && after.is_none_or(|after| lack(after) < lack(*at))
    };
    let steps = 1..=len;
    if forwards {
        steps.map(|step| (from + step) % len).find(valley)
    } else {
        steps.map(|step| (from + 2 * len - step) % len).find(valley)
    }
}

/// A Dice as tables show it.
pub fn dice_text(dice: Option<f64>) -> String {
    dice.map_or_else(|| "–".to_owned(), |dice| format!("{dice:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_slices_are_visited_worst_first_of_neighbors_and_around() {
        let curve =
            [None, Some(0.7), Some(0.6), Some(0.75), Some(0.95), Some(0.0), Some(0.0), None];
        assert_eq!(next_bad(&curve, 0, true), Some(2));
        assert_eq!(next_bad(&curve, 2, true), Some(6)); // the last of equals
        assert_eq!(next_bad(&curve, 6, true), Some(2));
        assert_eq!(next_bad(&curve, 2, false), Some(6));
        assert_eq!(next_bad(&curve, 4, false), Some(2));
    }

    #[test]
    fn where_nothing_is_bad_there_is_no_next() {
        assert_eq!(next_bad(&[None, Some(0.8), Some(1.0)], 1, true), None);
        assert_eq!(next_bad(&[], 0, true), None);
    }

    #[test]
    fn a_number_that_is_not_there_is_a_dash() {
        assert_eq!((dice_text(Some(0.98765)), dice_text(None)), ("0.988".into(), "–".into()));
    }
}
