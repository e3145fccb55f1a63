//! DeepLab in its third version and with a decoder: the same map seen at several distances.

pub mod aspp;
mod v3;
mod v3plus;

pub use v3::{Deeplabv3, Deeplabv3Config};
pub use v3plus::{Deeplabv3plus, Deeplabv3plusConfig};
