//! What a file says about how to look at it: which voxels are no part of the picture, and
//! windows that its maker found useful. It changes no voxel.

use serde::{Deserialize, Serialize};

/// What a file says about how to look at it. The default is "nothing".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Viewing {
    /// Which voxels are no part of the picture.
    pub padding: Option<Padding>,
    /// Ranges of values worth a look, the first of them first.
    pub windows: Vec<Window>,
    /// Whether the file does not say where in the patient it lies: what the geometry says of that is
    /// an assumption, as with projections.
    pub is_unplaced: bool,
}

/// Stored numbers, before any rescaling, that mark voxels outside of the picture: in CT often
/// what is beyond the reach of the detector. Statistics leave them out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Padding {
    /// The smallest of them.
    pub first: f64,
    /// The largest of them.
    pub last: f64,
}

impl Padding {
    /// All from one end to the other, in either order; `None` where one is no number.
    pub fn between(one: f64, other: f64) -> Option<Self> {
        let known = one.is_finite() && other.is_finite();
        known.then(|| Self { first: one.min(other), last: one.max(other) })
    }

    /// Whether a stored number marks a voxel outside of the picture.
    pub fn holds(&self, stored: f64) -> bool {
        (self.first..=self.last).contains(&stored)
    }
}

/// A range of values, after rescaling, that is shown from black to white.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Its middle.
    pub center: f64,
    /// How far it reaches from black to white.
    pub width: f64,
    /// How values between become shades.
    pub function: WindowFunction,
    /// What it is called, where that is a plain word or two.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
}

/// How values become shades. PS3.3, C.11.2.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowFunction {
    /// Evenly, from `center - width / 2` to `center + width / 2 - 1`.
    #[default]
    Linear,
    /// Evenly, from `center - width / 2` to `center + width / 2`.
    LinearExact,
    /// `1 / (1 + exp(-4 (value - center) / width))`.
    Sigmoid,
}
