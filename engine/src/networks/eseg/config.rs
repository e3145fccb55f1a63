//! What a person may choose about ESeg.

use serde::{Deserialize, Serialize};

use crate::networks::InvalidSetting;
use crate::networks::efficientnet::Padding;
use crate::networks::encoder::{EncoderConfig, EncoderKind};

/// The published forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// ESeg-Lite-S
    LiteS,
    /// ESeg-Lite-M
    LiteM,
    /// ESeg-Lite-L
    LiteL,
    /// ESeg-S
    S,
    /// ESeg-M
    M,
    /// ESeg-L
    L,
}

/// How the levels of the pyramid are linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pyramid {
    /// From coarse to fine and back.
    Bifpn,
    /// From coarse to fine.
    Fpn,
}

/// Where the maps of the encoder get the channels of the pyramid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    /// Once per level, for all nodes that read it: what has the published parameters.
    Shared,
    /// Once per edge, as EfficientDet does.
    PerEdge,
}

/// Where levels above the encoder's come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtraLevels {
    /// Averages of the level below.
    AveragePool,
    /// Maxima of the level below, after a projection of the encoder's last: EfficientDet's.
    ProjectedMaxPool,
}

/// Settings of [`Eseg`](super::Eseg). The defaults are the paper's.
///
/// `size` names a published form; keys that are given beside it take the place of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EsegConfig {
    /// The published form that says what is not given.
    pub size: Size,
    /// The encoder: by size EfficientNet or its Lite form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<EncoderKind>,
    /// How many times the encoder's published channels: by size, and 1 of a ResNet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// How many times the blocks of EfficientNet-B0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<f64>,
    /// Channels of the pyramid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// How many times the pyramid is passed through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cells: Option<usize>,
    /// The finest level of the pyramid, from which is predicted: 2, or 3 of the Lite forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowest_level: Option<usize>,
    /// The coarsest level: 9, or 5 or 7 in the paper's ablation.
    pub top_level: usize,
    /// How levels are linked.
    pub pyramid: Pyramid,
    /// Where the pyramid's channels come from.
    pub projection: Projection,
    /// Where levels above the fifth come from.
    pub extra_levels: ExtraLevels,
    /// Where the encoder's strided convolutions get their zeros.
    pub padding: Padding,
    /// The probability of the encoder's last block to be passed over in training.
    pub stochastic_depth: f64,
}

impl Default for EsegConfig {
    fn default() -> Self {
        Self {
            size: Size::S,
            encoder: None,
            width: None,
            depth: None,
            channels: None,
            cells: None,
            lowest_level: None,
            top_level: 9,
            pyramid: Pyramid::Bifpn,
            projection: Projection::Shared,
            extra_levels: ExtraLevels::AveragePool,
            padding: Padding::Symmetric,
            stochastic_depth: 0.0,
        }
    }
}

/// A row of the paper's tables 1 and 2.
struct Published {
    lite: bool,
    width: f64,
    depth: f64,
    channels: usize,
    cells: usize,
}

impl Size {
    fn published(self) -> Published {
        let (lite, width, depth, channels, cells) = match self {
            Self::LiteS => (true, 0.4, 0.6, 64, 1),
            Self::LiteM => (true, 0.6, 1.0, 80, 2),
            Self::LiteL => (true, 1.0, 1.0, 96, 3),
            Self::S => (false, 1.0, 1.1, 96, 4),
            Self::M => (false, 1.4, 1.8, 192, 5),
            Self::L => (false, 2.0, 3.1, 288, 6),
        };
        Published { lite, width, depth, channels, cells }
    }
}

impl EsegConfig {
    /// The published form `size`.
    pub fn published(size: Size) -> Self {
        Self { size, ..Self::default() }
    }

    /// Channels of the pyramid.
    pub fn channels(&self) -> usize {
        self.channels.unwrap_or(self.size.published().channels)
    }

    /// How many times the pyramid is passed through.
    pub fn cells(&self) -> usize {
        self.cells.unwrap_or(self.size.published().cells)
    }

    /// The finest level of the pyramid.
    pub fn lowest_level(&self) -> usize {
        self.lowest_level.unwrap_or(if self.size.published().lite { 3 } else { 2 })
    }

    /// Whether the decoder's activation is ReLU rather than SiLU.
    pub(super) fn lite(&self) -> bool {
        self.encoder().kind == EncoderKind::EfficientnetLite
    }

    /// The encoder's settings.
    pub fn encoder(&self) -> EncoderConfig {
        let published = self.size.published();
        let own =
            if published.lite { EncoderKind::EfficientnetLite } else { EncoderKind::Efficientnet };
        let kind = self.encoder.unwrap_or(own);
        let scales = matches!(kind, EncoderKind::Efficientnet | EncoderKind::EfficientnetLite);
        EncoderConfig {
            kind,
            width: self.width.unwrap_or(if scales { published.width } else { 1.0 }),
            depth: self.depth.unwrap_or(published.depth),
            padding: self.padding,
            stochastic_depth: self.stochastic_depth,
            output_stride: 32,
        }
    }

    /// Channels of the encoder's maps from the lowest level on.
    pub(super) fn encoder_channels(&self) -> Vec<usize> {
        self.encoder().channels().into_iter().skip(self.lowest_level() - 2).collect()
    }

    /// Refuses what cannot be built.
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        let count = |key, value: usize, least: usize, most: usize, what: &str| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            let expected = format!("{least} to {most}{what}");
            Err(InvalidSetting { key, value: value.to_string(), expected })
        };
        self.encoder().validate()?;
        count("channels", self.channels(), 1, 2048, "")?;
        count("cells", self.cells(), 1, 32, "")?;
        count("lowest_level", self.lowest_level(), 2, 4, ", levels of the encoder below its last")?;
        count("top_level", self.top_level, 5, 9, ", the encoder's last or one above")
    }
}
