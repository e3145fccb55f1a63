//! How a network is used: `[inference]` of an experiment and of a bundle.

use serde::{Deserialize, Serialize};

use super::LargestComponent;
use super::tidy::TidyStep;
use super::tiles::TileConfig;
use crate::error::EngineError;

/// Smallest and largest scale at which slices may be looked at.
const SCALES: std::ops::RangeInclusive<f64> = 0.1..=8.0;

/// More scales than this are a mistake.
const MOST_SCALES: usize = 16;

/// An axis along which slices are mirrored and the answers averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MirrorAxis {
    /// Left and right.
    X,
    /// Top and bottom.
    Y,
}

/// How the answers to a slice and its mirrors become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MirrorMean {
    /// The mean of the probabilities.
    #[default]
    Mean,
    /// Their product: the code of BPNet adds log-probabilities before the exponential.
    Product,
}

/// How a network is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InferenceConfig {
    /// Probabilities are averaged over all combinations of these mirrors.
    pub mirror_axes: Vec<MirrorAxis>,
    /// How the probabilities of mirrors become one.
    #[serde(skip_serializing_if = "is_default")]
    pub mirror_mean: MirrorMean,
    /// Slices are looked at in these sizes, each a factor of the prepared size; the probabilities
    /// are resampled to that size and averaged. As they are where nothing is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scales: Vec<f64>,
    /// Slices that are larger are looked at window by window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tile: Option<TileConfig>,
    /// Whether only the largest connected component is kept, and of what.
    pub largest_component: LargestComponent,
    /// What else is done to labels on the grid of the source, in this order, after that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_processing: Vec<TidyStep>,
    /// Slices, or windows of them, that go through the network at once.
    pub batch_size: usize,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for InferenceConfig {
    fn default() -> Self {
        Self {
            mirror_axes: Vec::new(),
            mirror_mean: MirrorMean::default(),
            scales: Vec::new(),
            tile: None,
            largest_component: LargestComponent::default(),
            post_processing: Vec::new(),
            batch_size: 8,
        }
    }
}

impl InferenceConfig {
    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        if !(1..=1024).contains(&self.batch_size) {
            let expected = "expected 1 to 1024 slices";
            return Err(EngineError::config("inference.batch_size", self.batch_size, expected));
        }
        let mirrored = |axis| self.mirror_axes.iter().filter(|other| **other == axis).count();
        if [MirrorAxis::X, MirrorAxis::Y].into_iter().any(|axis| mirrored(axis) > 1) {
            let value = format!("{:?}", self.mirror_axes).to_lowercase();
            let expected = "expected each axis once at most";
            return Err(EngineError::config("inference.mirror_axes", value, expected));
        }
        self.validate_scales()?;
        if let Some(tile) = &self.tile {
            tile.validate()?;
        }
        self.post_processing.iter().try_for_each(TidyStep::validate)
    }

    fn validate_scales(&self) -> Result<(), EngineError> {
        let refuse = |expected: String| {
            Err(EngineError::config("inference.scales", format!("{:?}", self.scales), expected))
        };
        if self.scales.len() > MOST_SCALES {
            return refuse(format!("expected {MOST_SCALES} scales at most"));
        }
        if !self.scales.iter().all(|scale| SCALES.contains(scale)) {
            return refuse(format!("expected factors from {} to {}", SCALES.start(), SCALES.end()));
        }
        let mut sorted = self.scales.clone();
        sorted.sort_by(f64::total_cmp);
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return refuse("expected each scale once".to_owned());
        }
        Ok(())
    }

    /// Whether labels are changed once all slices of a volume have theirs.
    pub fn tidies(&self) -> bool {
        self.largest_component != LargestComponent::Off || !self.post_processing.is_empty()
    }

    /// The scales, where none are named that of the slices themselves.
    pub(super) fn scales(&self) -> &[f64] {
        if self.scales.is_empty() { &[1.0] } else { &self.scales }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<InferenceConfig, String> {
        let config: InferenceConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn settings_that_are_left_out_are_not_written() {
        let text = toml::to_string(&InferenceConfig::default()).unwrap();
        assert_eq!(text, "mirror_axes = []\nlargest_component = \"off\"\nbatch_size = 8\n");
    }

    #[test]
    fn all_settings_are_read_and_written() {
        let text = "mirror_axes = [\"x\"]\nmirror_mean = \"product\"\nscales = [0.5, 1.0]\n\
                    tile = { size = [64, 48], overlap = 0.25, weights = \"sum\" }\n\
                    post_processing = [{ keep_largest = { of = \"foreground\" } }, \
                    { remove_small = { of = 2, below_mm3 = 3.5 } }, { fill_holes = { of = 1 } }]\n";
        let config = read(text).unwrap();
        assert_eq!(config.post_processing.len(), 3);
        assert_eq!(read(&toml::to_string(&config).unwrap()), Ok(config));
    }

    #[test]
    fn what_cannot_work_is_refused_by_its_key() {
        for (text, expected) in [
            ("scales = [0.0]", "inference.scales = [0.0]: expected factors from 0.1 to 8"),
            ("scales = [1.0, 0.5, 1.0]", "expected each scale once"),
            ("tile = { size = [4, 64] }", "inference.tile.size = [4, 64]: expected"),
            ("tile = { size = [64, 64], overlap = 1.0 }", "inference.tile.overlap = 1: expected"),
            ("tile = { overlap = 0.5 }", "missing field `size`"),
            (
                "post_processing = [{ remove_small = { of = 1 } }]",
                "inference.post_processing.remove_small = {}: expected either",
            ),
            ("post_processing = [{ fill_holes = { of = \"all\" } }]", "expected \"foreground\""),
            ("post_processing = [{ fill_holes = { of = 0 } }]", "expected \"foreground\""),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
