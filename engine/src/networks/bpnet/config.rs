//! What a person may choose about BPNet.

use serde::{Deserialize, Serialize};

use super::names;
use crate::networks::{InvalidSetting, Settings};
use crate::weights::NameMap;

/// How two maps of the pyramid become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fusion {
    /// Adaptive multi-step addition as released: sum, plus a transform of the product.
    Ama,
    /// The same as the paper writes it: learned weights per channel, and a transform of its own
    /// for the product.
    AmaPaper,
    /// Sum.
    Add,
    /// Product.
    Mul,
    /// Concatenation; a convolution brings the channels back.
    Concat,
}

/// Which links of the pyramid are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// The encoder and one decoder at its end.
    Base,
    /// Links from coarse to fine on every diagonal.
    #[serde(rename = "topdown")]
    TopDown,
    /// Links from fine to coarse, and one decoder at the end.
    #[serde(rename = "bottomup")]
    BottomUp,
    /// Both.
    Bidirectional,
}

/// What the last two maps pass through before the last prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// Nothing: the last map of the pyramid is predicted from.
    None,
    /// Attention between pixels.
    Pairwise,
    /// Attention of each pixel, then between pixels.
    UnaryPairwise,
    /// Attention between pixels, then of each pixel.
    PairwiseUnary,
    /// Both side by side, added: the paper's.
    Pup,
    /// As in the released code: both maps are merged by attention, then pairwise, then unary.
    Released,
}

/// Settings of [`Bpnet`](super::Bpnet).
///
/// The defaults are the paper's S3. `stages = 3, width = 32` is its S3-W32, `stages = 4,
/// width = 48` its S4; `attention = "released"` is what its authors' code builds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BpnetConfig {
    /// Diagonals of the pyramid: 3 or 4. Levels are one more.
    pub stages: usize,
    /// Channels of the finest level; each coarser one has twice as many.
    pub width: usize,
    /// Channels of the input; not in files, where preprocessing says how many.
    #[serde(skip)]
    pub in_channels: usize,
    /// Classes, background included; not in files, where the data set says how many.
    #[serde(skip)]
    pub num_classes: usize,
    /// How maps are merged.
    pub fusion: Fusion,
    /// Which links there are.
    pub flow: Flow,
    /// What precedes the last prediction.
    pub attention: Attention,
    /// Share of channels dropped before the last prediction; without it the code's: 0.1 for three
    /// stages, 0.2 for four.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Share of channels dropped after attention between pixels.
    pub attention_dropout: f64,
}

impl Default for BpnetConfig {
    fn default() -> Self {
        Self {
            stages: 3,
            width: 48,
            in_channels: 3,
            num_classes: 19,
            fusion: Fusion::Ama,
            flow: Flow::Bidirectional,
            attention: Attention::Pup,
            dropout: None,
            attention_dropout: 0.05,
        }
    }
}

impl Settings for BpnetConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        let count = |key, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(InvalidSetting {
                key,
                value: value.to_string(),
                expected: format!("{least} to {most}"),
            })
        };
        let share = |key, value: f64| {
            if (0.0..1.0).contains(&value) {
                return Ok(());
            }
            Err(InvalidSetting {
                key,
                value: value.to_string(),
                expected: "at least 0 and below 1".to_owned(),
            })
        };
        if !(3..=4).contains(&self.stages) {
            return Err(InvalidSetting {
                key: "stages",
                value: self.stages.to_string(),
                expected: "3 (S3) or 4 (S4)".to_owned(),
            });
        }
        count("width", self.width, 2, 1024)?;
        count("in_channels", self.in_channels, 1, 1024)?;
        count("num_classes", self.num_classes, 2, 256)?;
        share("dropout", self.dropout())?;
        share("attention_dropout", self.attention_dropout)
    }

    /// 13 pixels, of which a quarter (rounded up, twice) fills the 4x4 window of the attention's first convolution.
    /// Without attention any image will do. Sizes need not be multiples of anything.
    fn smallest_size(&self) -> usize {
        if self.attention == Attention::None { 1 } else { 13 }
    }

    /// The pyramid's finest map.
    fn output_stride(&self) -> usize {
        4
    }

    fn name_map(&self) -> NameMap {
        NameMap { reference_name: names::reference_name, is_alias: names::is_alias }
    }

    /// Two: pyramid pooling averages its map to a single value of each channel.
    fn smallest_batch(&self, _size: [usize; 2]) -> usize {
        2
    }
}

impl BpnetConfig {
    /// What the loss of each output counts for: the auxiliary ones in order, then the logits.
    ///
    /// 0.4 for each map of the pyramid, 0.7 for the last, 1 for the logits.
    pub fn output_weights(&self) -> Vec<f64> {
        let mut weights = vec![0.4; self.stages];
        if self.attention == Attention::None {
            weights[self.stages - 1] = 1.0;
        } else {
            weights[self.stages - 1] = 0.7;
            weights.push(1.0);
        }
        weights
    }

    /// [`output_weights`](Self::output_weights) without that of the logits.
    pub(super) fn auxiliary_weights(&self) -> Vec<f64> {
        let mut weights = self.output_weights();
        weights.pop();
        weights
    }

    /// Levels of the pyramid; the finest has a quarter of the input's height and width.
    pub(super) fn levels(&self) -> usize {
        self.stages + 1
    }

    /// Channels of a level, counted from 1.
    pub(super) fn channels(&self, level: usize) -> usize {
        self.width << (level - 1)
    }

    pub(super) fn dropout(&self) -> f64 {
        self.dropout.unwrap_or(if self.stages == 3 { 0.1 } else { 0.2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_s_choice_is_the_default_of_an_empty_table() {
        let config: BpnetConfig = toml::from_str("").unwrap();
        assert_eq!(config, BpnetConfig::default());
        assert_eq!((config.stages, config.width), (3, 48));
        assert_eq!(config.attention, Attention::Pup);
    }

    #[test]
    fn every_key_is_read_by_its_name() {
        let text = "stages = 4\nwidth = 64\n\
                    fusion = \"ama_paper\"\nflow = \"bottomup\"\nattention = \"unary_pairwise\"\n\
                    dropout = 0.0\nattention_dropout = 0.5\n";
        let config: BpnetConfig = toml::from_str(text).unwrap();
        assert_eq!(config.flow, Flow::BottomUp);
        assert_eq!(config.fusion, Fusion::AmaPaper);
        assert_eq!(config.dropout(), 0.0);
        let again: BpnetConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn a_misspelled_key_is_refused() {
        let error = toml::from_str::<BpnetConfig>("stage = 3").unwrap_err();
        assert!(error.to_string().contains("unknown field `stage`"));
    }

    #[test]
    fn what_cannot_be_built_is_named_with_its_value_and_what_would_be_right() {
        let wrong = |change: fn(&mut BpnetConfig)| {
            let mut config = BpnetConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(wrong(|c| c.stages = 5), "`stages` is 5, expected 3 (S3) or 4 (S4)");
        assert_eq!(wrong(|c| c.width = 1), "`width` is 1, expected 2 to 1024");
        assert_eq!(wrong(|c| c.in_channels = 0), "`in_channels` is 0, expected 1 to 1024");
        assert_eq!(wrong(|c| c.num_classes = 1), "`num_classes` is 1, expected 2 to 256");
        assert_eq!(
            wrong(|c| c.dropout = Some(1.0)),
            "`dropout` is 1, expected at least 0 and below 1"
        );
        assert_eq!(
            wrong(|c| c.attention_dropout = f64::NAN),
            "`attention_dropout` is NaN, expected at least 0 and below 1"
        );
    }
}
