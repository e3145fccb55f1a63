//! What a person may choose about HRNet.

use serde::{Deserialize, Serialize};

use crate::networks::{InvalidSetting, Settings};
use crate::weights::NameMap;

use super::names::reference_name;

/// What predicts from the representation at a quarter of the input's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadKind {
    /// Two 1x1 convolutions: HRNetV2.
    #[default]
    Plain,
    /// Object-contextual representations.
    Ocr,
    /// Asymmetric non-local attention.
    Anl,
    /// Criss-cross attention, twice.
    Ccnet,
}

/// Settings of [`Hrnet`](super::Hrnet). The defaults are HRNetV2-W48.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HrnetConfig {
    /// Channels of the finest branch; each coarser one has twice as many. Published: 18, 32, 40
    /// and 48.
    pub width: usize,
    /// What predicts.
    pub head: HeadKind,
    /// Channels within the heads that have attention; the plain one has as many as the
    /// representation, fifteen times the width.
    pub head_channels: usize,
    /// Whether maps are resized with their corners aligned, as in the branch of the code that has
    /// the OCR head; the older one did not.
    pub align_corners: bool,
    /// Share of channels dropped before the last prediction; without it the code's: 0.05 for OCR
    /// and ANL, 0.1 for CCNet. The plain head has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
}

impl Default for HrnetConfig {
    fn default() -> Self {
        Self {
            width: 48,
            head: HeadKind::Plain,
            head_channels: 512,
            align_corners: true,
            dropout: None,
        }
    }
}

/// Channels of the finest branch that can be built.
pub(in crate::networks) fn validate_width(width: usize) -> Result<(), InvalidSetting> {
    count("width", width, [1, 256])
}

/// Refuses a `value` that lies outside of `range`.
pub(in crate::networks) fn count(
    key: &'static str,
    value: usize,
    [least, most]: [usize; 2],
) -> Result<(), InvalidSetting> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(InvalidSetting { key, value: value.to_string(), expected: format!("{least} to {most}") })
}

/// How many images a batch norm needs of a size of which the coarsest branch keeps one pixel.
pub(in crate::networks) fn smallest_batch([height, width]: [usize; 2]) -> usize {
    if height.max(width) <= 32 { 2 } else { 1 }
}

impl HrnetConfig {
    pub(super) fn dropout(&self) -> f64 {
        self.dropout.unwrap_or(if self.head == HeadKind::Ccnet { 0.1 } else { 0.05 })
    }
}

impl Settings for HrnetConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        validate_width(self.width)?;
        count("head_channels", self.head_channels, [8, 4096])?;
        if !(0.0..1.0).contains(&self.dropout()) {
            return Err(InvalidSetting {
                key: "dropout",
                value: self.dropout().to_string(),
                expected: "at least 0 and below 1".to_owned(),
            });
        }
        if self.head == HeadKind::Plain && self.dropout.is_some() {
            return Err(InvalidSetting {
                key: "dropout",
                value: self.dropout().to_string(),
                expected: "none: the plain head drops nothing".to_owned(),
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
            is_alias: |name| name.starts_with("context.2.stages.0.f_query."),
        }
    }

    fn smallest_batch(&self, size: [usize; 2]) -> usize {
        smallest_batch(size)
    }

    fn output_names(&self) -> &'static [&'static str] {
        match self.head {
            HeadKind::Ocr => &["logits_quarter", "aux_quarter"],
            _ => &["logits_quarter"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_the_widest_published_form() {
        let config: HrnetConfig = toml::from_str("").unwrap();
        assert_eq!(config, HrnetConfig::default());
        assert_eq!((config.width, config.head), (48, HeadKind::Plain));
        config.validate().unwrap();
    }

    #[test]
    fn every_key_is_read_by_its_name() {
        let text = "width = 18\nhead = \"ccnet\"\nhead_channels = 64\nalign_corners = false\n\
                    dropout = 0.0\n";
        let config: HrnetConfig = toml::from_str(text).unwrap();
        assert_eq!(config.head, HeadKind::Ccnet);
        assert_eq!(config.dropout(), 0.0);
        let again: HrnetConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn what_cannot_be_built_is_named_with_its_value_and_what_would_be_right() {
        let wrong = |change: fn(&mut HrnetConfig)| {
            let mut config = HrnetConfig { head: HeadKind::Ocr, ..HrnetConfig::default() };
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(wrong(|c| c.width = 0), "`width` is 0, expected 1 to 256");
        assert_eq!(wrong(|c| c.head_channels = 7), "`head_channels` is 7, expected 8 to 4096");
        assert_eq!(
            wrong(|c| c.dropout = Some(1.0)),
            "`dropout` is 1, expected at least 0 and below 1"
        );
        assert_eq!(
            wrong(|c| *c = HrnetConfig { dropout: Some(0.1), ..HrnetConfig::default() }),
            "`dropout` is 0.1, expected none: the plain head drops nothing"
        );
        assert!(toml::from_str::<HrnetConfig>("head = \"psp\"").is_err());
    }
}
