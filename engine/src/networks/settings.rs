//! What the settings of every network answer.

use std::ops::RangeInclusive;

use crate::weights::NameMap;

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

/// Refuses a count outside of `range`.
pub(super) fn within(
    key: &'static str,
    value: usize,
    range: RangeInclusive<usize>,
) -> Result<(), InvalidSetting> {
    if range.contains(&value) {
        return Ok(());
    }
    let expected = format!("{} to {}", range.start(), range.end());
    Err(InvalidSetting { key, value: value.to_string(), expected })
}

/// Refuses a share of which nothing would be left.
pub(super) fn share(key: &'static str, value: f64) -> Result<(), InvalidSetting> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    let expected = "at least 0 and below 1".to_owned();
    Err(InvalidSetting { key, value: value.to_string(), expected })
}

/// What the settings of every network answer.
pub trait Settings {
    /// Whether a network of these settings can be built.
    ///
    /// # Errors
    /// [`InvalidSetting`] names the key, its value and what would be right.
    fn validate(&self) -> Result<(), InvalidSetting>;

    /// Height and width of the input are padded to a multiple of this.
    fn size_multiple(&self) -> usize {
        1
    }

    /// Height and width of the input are padded to at least this.
    fn smallest_size(&self) -> usize {
        1
    }

    /// Pixels of the input, along an axis, for each of the map that the logits are predicted on
    /// before they are resized.
    fn output_stride(&self) -> usize;

    /// How its weights are called in a file: as in the reference code where there is one. Paths
    /// are those of the network itself.
    fn name_map(&self) -> NameMap;

    /// How many images a training step needs at this height and width: two where a batch norm
    /// would otherwise see a single value of each channel.
    fn smallest_batch(&self, _size: [usize; 2]) -> usize {
        1
    }

    /// Maps, besides the logits, that the network is known by and tells its observer at inference,
    /// such as logits before they are resized.
    fn output_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// What the reference calls the logits.
    fn logits_name(&self) -> &'static str {
        "logits"
    }

    /// Whether it learns by a loss of its own, whatever the experiment says.
    fn has_own_loss(&self) -> bool {
        false
    }

    /// Whether it answers with one label for the whole image; then logits are
    /// `[batch, num_classes, 1, 1]`.
    fn classifies_images(&self) -> bool {
        false
    }
}
