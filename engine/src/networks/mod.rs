//! The architectures, one file or folder each.

pub mod bpnet;

/// A setting from which no network can be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{key}` is {value}, expected {expected}")]
pub struct InvalidSetting {
    /// The key as it stands in the configuration file.
    pub key: &'static str,
    /// What it was set to.
    pub value: String,
    /// What would be right.
    pub expected: String,
}
