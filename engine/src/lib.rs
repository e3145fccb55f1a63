//! What learns and what measures: networks, losses, weights.

pub mod losses;
pub mod networks;
pub mod nn;
pub mod synthetic_weights;
pub mod weights;
