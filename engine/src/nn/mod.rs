//! Layers that train fast on the CPU: convolution, batch and instance norm, max pooling, bilinear
//! resizing.
//!
//! They are used like those of `burn::nn`. Where tensors live on the CPU, the work is done by
//! `lamina-kernels`; anywhere else, and where a graph is captured, by Burn's own operations. Layers
//! that are not here are taken from `burn::nn`.

mod batch_norm;
mod conv;
mod instance_norm;
mod kernels;
mod pool;
mod precision;
mod resize;

pub use batch_norm::{BatchNorm2d, BatchNorm2dConfig};
pub(crate) use conv::convolve;
pub use conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
pub use instance_norm::{InstanceNorm2d, InstanceNorm2dConfig};
pub use pool::{MaxPool2d, MaxPool2dConfig};
pub use precision::with_precision;
pub use resize::interpolate_bilinear;

#[cfg(test)]
mod tests;
