//! The semantic head: per level of the pyramid, the class of each cell.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};

use super::config::{SemanticKind, SpecializeFuseConfig, Supervision};
use super::tokens::{TokenAttention, TokenUpdate};
use crate::networks::Observe;
use crate::networks::attention::{NonLocal, NonLocalConfig, pyramid_tokens};
use crate::networks::blocks::{ConvBnRelu, conv, size_of};
use crate::nn::{Conv2d, Conv2dConfig};

/// Levels of the pyramid; the finest has a quarter of the input's height and width.
pub(super) const LEVELS: usize = 4;

/// What was attended to, and the map that looked, as one map.
#[derive(Module, Debug)]
pub struct Aggregate {
    reduce: ConvBnRelu,
    conv1: Option<ConvBnRelu>,
    conv2: Option<ConvBnRelu>,
}

impl Aggregate {
    /// The finest level does without a residual block.
    fn new(channels: usize, finest: bool, device: &Device) -> Self {
        let layer = |relu| ConvBnRelu::around(conv(channels, channels, 3, 1, device), relu, device);
        Self {
            reduce: ConvBnRelu::new(2 * channels, channels, 1, device),
            conv1: (!finest).then(|| layer(true)),
            conv2: (!finest).then(|| layer(false)),
        }
    }

    /// # Shapes
    /// - `attended`, `map`, output: `[batch, channels, height, width]`
    pub fn forward(&self, attended: Tensor<4>, map: Tensor<4>) -> Tensor<4> {
        let x = self.reduce.forward(Tensor::cat(vec![attended, map], 1));
        match (&self.conv1, &self.conv2) {
            (Some(conv1), Some(conv2)) => relu(conv2.forward(conv1.forward(x.clone())) + x),
            _ => x,
        }
    }
}

/// The logits of one level.
#[derive(Module, Debug)]
pub struct Classifier {
    proj: ConvBnRelu,
    cls: Conv2d,
}

impl Classifier {
    fn new(channels: usize, num_classes: usize, device: &Device) -> Self {
        Self {
            proj: ConvBnRelu::new(channels, channels, 1, device),
            cls: Conv2dConfig::new([channels, num_classes], [1, 1]).init(device),
        }
    }

    /// # Shapes
    /// - `map`: `[batch, channels, height, width]`
    /// - output: `[batch, num_classes, height, width]`
    pub fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        self.cls.forward(self.proj.forward(map))
    }
}

/// The semantic head, of any [`SemanticKind`].
#[derive(Module, Debug)]
pub struct SemanticHead {
    reduce: ConvBnRelu,
    apnb: Option<NonLocal>,
    /// Per level; none unless coarse to fine.
    attn: Vec<TokenAttention>,
    agg: Vec<Aggregate>,
    /// Per level but the last.
    upd: Vec<TokenUpdate>,
    /// Per level, none where nothing is predicted.
    levels: Vec<Option<Classifier>>,
}

impl SemanticHead {
    /// A head for a representation of `channels`.
    pub fn new(
        config: &SpecializeFuseConfig,
        channels: usize,
        num_classes: usize,
        device: &Device,
    ) -> Self {
        let width = config.semantic_channels;
        let coarse_to_fine = config.semantic_head == SemanticKind::CoarseToFine;
        let looking = if coarse_to_fine { LEVELS } else { 0 };
        let apnb = || {
            NonLocalConfig {
                low: width,
                high: None,
                out: width,
                key: width / 2,
                value: width / 2,
                dropout: 0.05,
                bias: true,
                last_relu: true,
            }
            .init(device)
        };
        let classifier = |level| {
            let predicts = config.supervision != Supervision::Plain || level + 1 == LEVELS;
            predicts.then(|| Classifier::new(width, num_classes, device))
        };
        Self {
            reduce: ConvBnRelu::new(channels, width, 1, device),
            apnb: (config.semantic_head == SemanticKind::Apnb).then(apnb),
            attn: (0..looking)
                .map(|_| TokenAttention::new(width, config.key_channels, device))
                .collect(),
            agg: (0..looking)
                .map(|level| Aggregate::new(width, level + 1 == LEVELS, device))
                .collect(),
            upd: (1..looking).map(|_| TokenUpdate::new(width, device)).collect(),
            levels: (0..LEVELS).map(classifier).collect(),
        }
    }

    /// Logits of each level, the coarsest first, or of the finest alone.
    ///
    /// # Shapes
    /// - `features`: `[batch, channels, height, width]`, multiples of eight
    /// - output: per level `[batch, num_classes, height / n, width / n]`, where `n` is 8, 4, 2, 1
    pub fn forward(
        &self,
        features: Tensor<4>,
        finest_only: bool,
        observe: Observe<'_>,
    ) -> Vec<Tensor<4>> {
        let finest = self.reduce.forward(features);
        observe("theta0_reduce", &finest);
        let finest = match &self.apnb {
            Some(attention) => attention.forward_self(finest),
            None => finest,
        };
        let mut maps = if self.attn.is_empty() {
            Vec::new() // made below where they are asked for
        } else {
            self.coarse_to_fine(&finest, observe)
        };
        let mut logits = Vec::new();
        for (level, classifier) in self.levels.iter().enumerate().rev() {
            let map = maps.pop();
            if let Some(classifier) = classifier
                && (!finest_only || level + 1 == LEVELS)
            {
                let map = map.unwrap_or_else(|| at_level(&finest, level));
                let level_logits = classifier.forward(map);
                observe(&format!("sem{}", level + 1), &level_logits);
                logits.push(level_logits);
            }
        }
        logits.reverse();
        logits
    }

    /// The map of each level, from what it and all coarser ones see.
    fn coarse_to_fine(&self, finest: &Tensor<4>, observe: Observe<'_>) -> Vec<Tensor<4>> {
        let mut tokens = pyramid_tokens(finest); // [batch, channels, 110]
        let mut maps = Vec::new();
        for (level, (attention, aggregate)) in self.attn.iter().zip(&self.agg).enumerate() {
            let map = at_level(finest, level);
            let attended = attention.forward(map.clone(), tokens.clone());
            let map = aggregate.forward(attended, map);
            observe(&format!("agg{}", level + 1), &map);
            if let Some(update) = self.upd.get(level) {
                let updated = update.forward(pyramid_tokens(&map), tokens);
                observe(&format!("upd{}", level + 1), &updated);
                tokens = updated.squeeze_dim(3);
            }
            maps.push(map);
        }
        maps
    }
}

/// The averages of the cells of a level.
fn at_level(finest: &Tensor<4>, level: usize) -> Tensor<4> {
    if level + 1 == LEVELS {
        return finest.clone();
    }
    let cell = 1 << (LEVELS - 1 - level);
    adaptive_avg_pool2d(finest.clone(), size_of(finest).map(|length| length / cell))
}
