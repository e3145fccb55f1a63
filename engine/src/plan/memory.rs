//! What a training step takes in memory, before it is tried.

use burn::tensor::Device;

use crate::error::EngineError;
use crate::graph::Graph;
use crate::networks::{Heads, NetworkConfig};

/// Bytes that learning from one slice takes beside the weights, and bytes of the weights, with
/// their gradients and velocities.
///
/// An estimate: every map of the forward is held until the backward has passed it, and gradients of
/// maps lie beside it, so twice the maps of the forward are counted.
///
/// # Errors
/// [`EngineError::Capture`] where the network's forward cannot be recorded.
pub fn training_bytes(
    network: &NetworkConfig,
    in_channels: usize,
    classes: usize,
    patch: [usize; 2],
) -> Result<[u64; 2], EngineError> {
    let fresh = network.init(in_channels, classes, &Device::flex());
    let parameters = fresh.trainable_parameters() as u64;
    let [height, width] = patch;
    let outline = Graph::outline(fresh, [1, in_channels, height, width], Heads::All)?;
    Ok([2 * outline.map_bytes(), 3 * 4 * parameters])
}
