//! What a person may choose about Specialize-and-Fuse.

use serde::{Deserialize, Serialize};

use super::names::reference_name;
use crate::networks::hrnet::{count, smallest_batch, validate_width};
use crate::networks::{InvalidSetting, Settings};
use crate::weights::NameMap;

/// What the levels of the pyramid are predicted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SemanticKind {
    /// Averages of one map.
    Naive,
    /// Averages of one map after asymmetric non-local attention.
    Apnb,
    /// Maps that each look at what the coarser levels know: the paper's.
    #[default]
    CoarseToFine,
}

/// What the levels of the pyramid learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Supervision {
    /// There is the finest level alone, and it learns what any other network learns.
    Plain,
    /// Every level learns all of its cells.
    Raw,
    /// Cells that a coarser level should decide are left out.
    Gt,
    /// Cells that a coarser level should and does decide are left out: the paper's.
    #[default]
    Tp,
    /// Every level learns labels of its own size, and the finest one is the prediction.
    Auxiliary,
}

/// Settings of [`SpecializeFuse`](super::SpecializeFuse).
///
/// The defaults are the paper's full model over HRNetV2-W48. Table 2a of the paper, over `width =
/// 32`, has as `semantic_head` and `supervision`:
///
/// | | | |
/// |---|---|---|
/// | A | `naive` | `plain` |
/// | B | `apnb` | `plain` |
/// | C | `coarse_to_fine` | `plain` |
/// | D, E, F | `naive` | `raw`, `gt`, `tp` |
/// | G | `apnb` | `tp` |
/// | H | `coarse_to_fine` | `tp` |
/// | I | `coarse_to_fine` | `auxiliary` |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpecializeFuseConfig {
    /// Channels of the finest branch of the backbone. Published: 32 and 48.
    pub width: usize,
    /// What the levels are predicted from.
    pub semantic_head: SemanticKind,
    /// What they learn.
    pub supervision: Supervision,
    /// Channels of the maps that classes are predicted from.
    pub semantic_channels: usize,
    /// Channels of keys and queries of the coarse-to-fine head.
    pub key_channels: usize,
    /// Channels of the map that unity is predicted from.
    pub unity_channels: usize,
    /// The probability of being of one class from which on a cell decides for its pixels.
    pub threshold: f64,
    /// Whether maps are resized with their corners aligned.
    pub align_corners: bool,
}

impl Default for SpecializeFuseConfig {
    fn default() -> Self {
        Self {
            width: 48,
            semantic_head: SemanticKind::CoarseToFine,
            supervision: Supervision::Tp,
            semantic_channels: 512,
            key_channels: 512,
            unity_channels: 256,
            threshold: 0.5,
            align_corners: true,
        }
    }
}

impl Supervision {
    /// Whether cells say if they are of one class.
    pub fn has_unity(self) -> bool {
        matches!(self, Self::Raw | Self::Gt | Self::Tp)
    }
}

/// The multiple of 32 that is nearest to `size`.
pub(super) fn nearest_multiple(size: usize) -> usize {
    ((size + 16) / 32 * 32).max(32)
}

impl Settings for SpecializeFuseConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        validate_width(self.width)?;
        count("semantic_channels", self.semantic_channels, [2, 4096])?;
        count("key_channels", self.key_channels, [1, 4096])?;
        count("unity_channels", self.unity_channels, [1, 4096])?;
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            return Err(InvalidSetting {
                key: "threshold",
                value: self.threshold.to_string(),
                expected: "above 0 and below 1".to_owned(),
            });
        }
        Ok(())
    }

    fn output_stride(&self) -> usize {
        4
    }

    fn name_map(&self) -> NameMap {
        NameMap {
            reference_name,
            // The attention's own code lists the transform of keys again as that of queries.
            is_alias: |name| name.starts_with("semantic.apnb.stages.0.f_query."),
        }
    }

    fn smallest_batch(&self, size: [usize; 2]) -> usize {
        smallest_batch(size.map(nearest_multiple))
    }

    fn has_own_loss(&self) -> bool {
        self.supervision != Supervision::Plain
    }

    fn output_names(&self) -> &'static [&'static str] {
        if self.supervision.has_unity() {
            &["fused", "sem1", "sem2", "sem3", "sem4", "unity1", "unity2", "unity3"]
        } else {
            &["sem4"]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_the_full_model_of_the_paper() {
        let config: SpecializeFuseConfig = toml::from_str("").unwrap();
        assert_eq!(config, SpecializeFuseConfig::default());
        assert_eq!((config.width, config.threshold), (48, 0.5));
        config.validate().unwrap();
    }

    #[test]
    fn every_key_is_read_by_its_name() {
        let text = "width = 32\nsemantic_head = \"apnb\"\nsupervision = \"gt\"\n\
                    semantic_channels = 64\nkey_channels = 32\nunity_channels = 16\n\
                    threshold = 0.75\nalign_corners = false\n";
        let config: SpecializeFuseConfig = toml::from_str(text).unwrap();
        assert_eq!(config.supervision, Supervision::Gt);
        assert_eq!(config.semantic_head, SemanticKind::Apnb);
        let again = toml::from_str(&toml::to_string(&config).unwrap());
        assert_eq!(again, Ok(config));
    }

    #[test]
    fn what_cannot_be_built_is_named_with_its_value_and_what_would_be_right() {
        let wrong = |change: fn(&mut SpecializeFuseConfig)| {
            let mut config = SpecializeFuseConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(wrong(|c| c.width = 257), "`width` is 257, expected 1 to 256");
        assert_eq!(
            wrong(|c| c.semantic_channels = 1),
            "`semantic_channels` is 1, expected 2 to 4096"
        );
        assert_eq!(wrong(|c| c.key_channels = 0), "`key_channels` is 0, expected 1 to 4096");
        assert_eq!(wrong(|c| c.unity_channels = 0), "`unity_channels` is 0, expected 1 to 4096");
        assert_eq!(wrong(|c| c.threshold = 1.0), "`threshold` is 1, expected above 0 and below 1");
        assert_eq!(
            wrong(|c| c.threshold = f64::NAN),
            "`threshold` is NaN, expected above 0 and below 1"
        );
    }

    #[test]
    fn the_nearest_multiple_is_never_zero() {
        assert_eq!([1, 47, 48, 64, 79, 80].map(nearest_multiple), [32, 32, 64, 64, 64, 96]);
    }
}
