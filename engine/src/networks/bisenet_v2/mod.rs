//! BiSeNetV2: Bilateral Network with Guided Aggregation for Real-time Semantic Segmentation.
//!
//! Yu, Gao, Wang, Yu, Shen, Sang. IJCV 2021. arXiv:2004.02147.
//!
//! Follows the community's code (github.com/CoinCheung/BiSeNet) where it departs from the paper:
//! ReLU after the depthwise convolutions that expand and after the last convolution of the
//! aggregation, batch norm and ReLU after the last convolution of the context embedding.
//!
//! Departs from that code: maps are enlarged to the size of the map that they meet, not by a fixed
//! factor, which is the same for multiples of 32 and lets any other size pass.

mod blocks;
mod names;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::blocks::size_of;
use super::{
    Architecture, Auxiliary, Heads, InvalidSetting, NetworkOutput, Observe, Settings, Start, share,
    within,
};
use crate::weights::NameMap;
pub use blocks::{
    ContextEmbedding, DetailBranch, GatherExpand, GatherExpandHalving, GuidedAggregation,
    SegmentHead, Stage, Stem,
};
pub use names::reference_name;

/// Settings of a [`BisenetV2`]. The defaults are the paper's; `alpha = 2, depth = 3` is its Large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BisenetV2Config {
    /// What channels of both branches are multiplied with, rounded.
    pub alpha: f64,
    /// How often the layers of the semantic branch are repeated that keep the size: so many times
    /// the one, one and three of its stages. The paper does not say which layers its `d` repeats.
    pub depth: usize,
    /// Channels of the semantic branch as a share of the detail branch's, in the stem and at an
    /// eighth of the image. Its deeper stages have 64 and 128, times `alpha`, whatever this is.
    pub lambda: f64,
    /// Channels within the head; the paper does not say how many.
    pub head_channels: usize,
    /// Channels within the heads that only training looks at.
    pub booster_channels: usize,
    /// Share of the values within heads that are dropped in training.
    pub dropout: f64,
}

impl Default for BisenetV2Config {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            depth: 1,
            lambda: 0.25,
            head_channels: 1024,
            booster_channels: 128,
            dropout: 0.1,
        }
    }
}

impl Settings for BisenetV2Config {
    fn validate(&self) -> Result<(), InvalidSetting> {
        let factor = |key, value: f64, least: f64, most: f64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(InvalidSetting {
                key,
                value: value.to_string(),
                expected: format!("{least} to {most}"),
            })
        };
        factor("alpha", self.alpha, 0.03125, 8.0)?;
        within("depth", self.depth, 1..=16)?;
        factor("lambda", self.lambda, 0.015_625, 4.0)?;
        if self.semantic_channels()[0] < 2 {
            return Err(InvalidSetting {
                key: "lambda",
                value: self.lambda.to_string(),
                expected: format!("two channels or more in the stem at alpha {}", self.alpha),
            });
        }
        within("head_channels", self.head_channels, 1..=8192)?;
        within("booster_channels", self.booster_channels, 1..=8192)?;
        share("dropout", self.dropout)
    }

    fn output_stride(&self) -> usize {
        8
    }

    fn name_map(&self) -> NameMap {
        NameMap { reference_name, ..NameMap::SAME }
    }

    /// The context embedding normalizes averages of whole images.
    fn smallest_batch(&self, _size: [usize; 2]) -> usize {
        2
    }
}

impl BisenetV2Config {
    fn scaled(&self, channels: f64) -> usize {
        (channels * self.alpha).round() as usize
    }

    fn detail_channels(&self) -> [usize; 3] {
        [64.0, 64.0, 128.0].map(|channels| self.scaled(channels))
    }

    /// In the stem, and at an eighth, a sixteenth and a thirty-second of the image.
    fn semantic_channels(&self) -> [usize; 4] {
        [64.0 * self.lambda, 128.0 * self.lambda, 64.0, 128.0].map(|channels| self.scaled(channels))
    }

    /// A network with fresh weights for `in_channels` and `num_classes`.
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> BisenetV2 {
        let detail = self.detail_channels();
        let [stem, eighth, sixteenth, thirty_second] = self.semantic_channels();
        let fused = detail[2];
        // What a booster is predicted from has as many channels as its pixels cover.
        let booster = |from, stride: usize| {
            let channels = [from, self.booster_channels, num_classes];
            SegmentHead::new(channels, Some(stride * stride), self.dropout, device)
        };
        BisenetV2 {
            detail: DetailBranch::new(in_channels, detail, device),
            segment: SemanticBranch {
                stem: Stem::new(in_channels, stem, device),
                s3: Stage::new(stem, eighth, self.depth, device),
                s4: Stage::new(eighth, sixteenth, self.depth, device),
                s5: Stage::new(sixteenth, thirty_second, 3 * self.depth, device),
                context: ContextEmbedding::new(thirty_second, fused, device),
            },
            bga: GuidedAggregation::new(fused, device),
            head: SegmentHead::new(
                [fused, self.head_channels, num_classes],
                None,
                self.dropout,
                device,
            ),
            aux2: booster(stem, 4),
            aux3: booster(eighth, 8),
            aux4: booster(sixteenth, 16),
            aux5_4: booster(thirty_second, 32),
        }
    }
}

/// The semantic branch (table 1): narrow and deep.
#[derive(Module, Debug)]
pub struct SemanticBranch {
    stem: Stem,
    s3: Stage,
    s4: Stage,
    s5: Stage,
    context: ContextEmbedding,
}

/// The network of figure 3.
#[derive(Module, Debug)]
pub struct BisenetV2 {
    detail: DetailBranch,
    segment: SemanticBranch,
    bga: GuidedAggregation,
    head: SegmentHead,
    aux2: SegmentHead,
    aux3: SegmentHead,
    aux4: SegmentHead,
    aux5_4: SegmentHead,
}

impl Architecture for BisenetV2 {
    fn run(&self, input: Tensor<4>, heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        let size = size_of(&input);
        let detail = self.detail.forward(input.clone());
        observe("detail", &detail);
        let stem = self.segment.stem.forward(input);
        observe("stem", &stem);
        let eighth = self.segment.s3.forward(stem.clone());
        observe("seg_s3", &eighth);
        let sixteenth = self.segment.s4.forward(eighth.clone());
        observe("seg_s4", &sixteenth);
        let thirty_second = self.segment.s5.forward(sixteenth.clone());
        observe("seg_s5_4", &thirty_second);
        let context = self.segment.context.forward(thirty_second.clone());
        observe("ce", &context);
        let fused = self.bga.forward(detail, context);
        observe("bga", &fused);
        let fused_size = size_of(&fused);
        let mut output = NetworkOutput::from(self.head.forward(fused, fused_size, size));
        if heads == Heads::All {
            let half = size.map(|length| length.div_ceil(2));
            let quarter = size_of(&stem);
            let [at_eighth, at_sixteenth] = [size_of(&eighth), size_of(&sixteenth)];
            let boosters = [
                ("aux2", &self.aux2, stem, half),
                ("aux3", &self.aux3, eighth, quarter),
                ("aux4", &self.aux4, sixteenth, at_eighth),
                ("aux5_4", &self.aux5_4, thirty_second, at_sixteenth),
            ];
            let boosted = boosters.map(|(name, head, map, doubled)| Auxiliary {
                name: name.to_owned(),
                logits: head.forward(map, doubled, size),
                weight: 1.0,
            });
            output.auxiliary = boosted.into();
        }
        output
    }

    fn is_auxiliary(&self, path: &str) -> bool {
        path.starts_with("aux")
    }

    fn is_head(&self, path: &str) -> bool {
        path.starts_with("head.") || path.starts_with("aux")
    }

    fn start(&self, _path: &str) -> Start {
        Start::FanOutUnbiased
    }
}
