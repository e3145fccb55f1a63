//! What a training step takes in memory, before it is tried.

use burn::tensor::Device;

use crate::error::EngineError;
use crate::graph::Graph;
use crate::networks::{Heads, NetworkConfig};

/// Bytes that learning from one slice takes beside the weights, and bytes of the weights, with
/// their gradients and velocities.
///
/// Every map of the forward is held until the backward has passed it, and the gradient of the
/// largest maps lies beside it; measured runs take between one and two times the maps of the
/// forward, so twice is counted.
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
