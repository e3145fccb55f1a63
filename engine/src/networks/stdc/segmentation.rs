//! STDC-Seg: the context path on an STDC network, and detail guidance.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::backbone::{self, Backbone, Stdc, StdcConfig, StdcMaps};
use super::validate_base;
use crate::losses::detail::DiceDenominator;
use crate::networks::blocks::{resize, size_of};
use crate::networks::context_path::{
    self, CONTEXT_CHANNELS, Context, ContextPath, FUSED_CHANNELS, FeatureFusion, FusionAttention,
    OutputHead,
};
use crate::networks::{
    Architecture, Auxiliary, DetailOutput, Heads, InvalidSetting, NetworkOutput, Observe, Settings,
    Start,
};
use crate::weights::NameMap;

/// Classes of the classifier that the backbone was trained as, which the released code keeps.
const IMAGENET_CLASSES: usize = 1000;

/// Channels within the heads that only training looks at.
const AUXILIARY_CHANNELS: usize = 64;

/// Settings of a [`StdcSeg`]. The defaults are the released code's STDC1-Seg.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StdcSegConfig {
    /// STDC1 or STDC2.
    pub backbone: Backbone,
    /// Channels of the backbone's map at a quarter of the image; the paper's is 64.
    pub base_channels: usize,
    /// By how much the image is shrunk before it is looked at, outside training: 0.5 in the
    /// paper's Seg50, 0.75 in Seg75. Logits are brought back to the size of the image.
    pub scale: f64,
    /// Whether borders are learned on the map at half of the image.
    pub detail_2: bool,
    /// The same at a quarter.
    pub detail_4: bool,
    /// The same at an eighth: the paper's choice.
    pub detail_8: bool,
    /// What the overlap is divided by in the loss of the heads for borders.
    pub detail_dice: DiceDenominator,
}

impl Default for StdcSegConfig {
    fn default() -> Self {
        Self {
            backbone: Backbone::Stdc1,
            base_channels: 64,
            scale: 1.0,
            detail_2: false,
            detail_4: false,
            detail_8: true,
            detail_dice: DiceDenominator::default(),
        }
    }
}

impl Settings for StdcSegConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        validate_base(self.base_channels)?;
        if !(self.scale > 0.0 && self.scale <= 1.0) {
            return Err(InvalidSetting {
                key: "scale",
                value: self.scale.to_string(),
                expected: "above 0 and at most 1; the paper's are 0.5, 0.75 and 1".to_owned(),
            });
        }
        Ok(())
    }

    /// Eight pixels of the shrunk image.
    fn output_stride(&self) -> usize {
        (8.0 / self.scale).round() as usize
    }

    fn name_map(&self) -> NameMap {
        NameMap { reference_name, is_alias }
    }

    /// Attention is normalized over the averages of whole images.
    fn smallest_batch(&self, _size: [usize; 2]) -> usize {
        2
    }
}

impl StdcSegConfig {
    /// A network with fresh weights for `in_channels` and `num_classes`.
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> StdcSeg {
        let base = self.base_channels;
        let backbone = StdcConfig {
            backbone: self.backbone,
            base_channels: base,
            in_channels,
            num_classes: IMAGENET_CLASSES,
            dropout: 0.0,
        };
        let head = |from, hidden, to| OutputHead::new([from, hidden, to], false, device);
        let auxiliary = || head(CONTEXT_CHANNELS, AUXILIARY_CHANNELS, num_classes);
        let detail = |from| head(from, AUXILIARY_CHANNELS, 1);
        StdcSeg {
            backbone: backbone.init(device),
            context: ContextPath::new(8 * base, 16 * base, device),
            ffm: FeatureFusion::new(
                4 * base + CONTEXT_CHANNELS,
                FusionAttention::Bottleneck,
                device,
            ),
            conv_out: head(FUSED_CHANNELS, FUSED_CHANNELS, num_classes),
            conv_out16: auxiliary(),
            conv_out32: auxiliary(),
            conv_out_sp2: detail(base / 2),
            conv_out_sp4: detail(base),
            conv_out_sp8: detail(4 * base),
            conv_out_sp16: detail(8 * base),
            scale: self.scale,
            detail: [self.detail_2, self.detail_4, self.detail_8],
            denominator: self.detail_dice,
        }
    }
}

/// The network of figure 4.
#[derive(Module, Debug)]
pub struct StdcSeg {
    backbone: Stdc,
    context: ContextPath,
    ffm: FeatureFusion,
    conv_out: OutputHead,
    conv_out16: OutputHead,
    conv_out32: OutputHead,
    conv_out_sp2: OutputHead,
    conv_out_sp4: OutputHead,
    conv_out_sp8: OutputHead,
    /// Declared in the released code, and used nowhere.
    conv_out_sp16: OutputHead,
    scale: f64,
    /// Which of the heads on the maps at 1/2, 1/4 and 1/8 are trained.
    #[module(skip)]
    detail: [bool; 3],
    #[module(skip)]
    denominator: DiceDenominator,
}

impl Architecture for StdcSeg {
    fn run(&self, input: Tensor<4>, heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        let size = size_of(&input);
        let maps = self.backbone.maps(self.shrink(input), observe);
        let StdcMaps { half, quarter, eighth, sixteenth, thirty_second } = maps;
        let context = self.context.forward(sixteenth, thirty_second, size_of(&eighth), observe);
        let Context { eighth: context8, sixteenth: context16 } = context;
        let fused = self.ffm.forward(eighth.clone(), context8.clone());
        observe("ffm", &fused);
        let mut output = NetworkOutput::from(resize(self.conv_out.forward(fused), size));
        if heads == Heads::Main {
            return output;
        }
        let auxiliary = |name: &str, head: &OutputHead, map| Auxiliary {
            name: name.to_owned(),
            logits: resize(head.forward(map), size),
            weight: 1.0,
        };
        output.auxiliary = vec![
            auxiliary("aux16", &self.conv_out16, context8),
            auxiliary("aux32", &self.conv_out32, context16),
        ];
        let details = [
            ("detail2", &self.conv_out_sp2, half),
            ("detail4", &self.conv_out_sp4, quarter),
            ("detail8", &self.conv_out_sp8, eighth),
        ];
        output.detail = (details.into_iter().zip(self.detail))
            .filter(|(_, trained)| *trained)
            .map(|((name, head, map), _)| DetailOutput {
                name: name.to_owned(),
                logits: head.forward(map),
                denominator: self.denominator,
            })
            .collect();
        output
    }

    fn is_auxiliary(&self, path: &str) -> bool {
        ["conv_last.", "fc.", "bn.", "linear."]
            .iter()
            .any(|unused| path.strip_prefix("backbone.").is_some_and(|p| p.starts_with(unused)))
            || (path.starts_with("conv_out") && !path.starts_with("conv_out."))
    }

    /// The fusion and what is predicted with.
    fn is_head(&self, path: &str) -> bool {
        path.starts_with("ffm.") || path.starts_with("conv_out")
    }

    fn start(&self, path: &str) -> Start {
        match path.strip_prefix("backbone.") {
            Some(path) => backbone::start(path),
            None => context_path::START,
        }
    }
}

impl StdcSeg {
    /// The image in the size that it is looked at; training brings its own.
    fn shrink(&self, input: Tensor<4>) -> Tensor<4> {
        if self.scale == 1.0 || input.device().is_autodiff() {
            return input;
        }
        let shrunk = |length: usize| ((length as f64 * self.scale) as usize).max(1);
        let size = size_of(&input).map(shrunk);
        resize(input, size)
    }
}

/// The reference's name of the weight at `path`.
pub fn reference_name(path: &str) -> String {
    match path.strip_prefix("backbone.") {
        Some(path) => format!("cp.backbone.{}", backbone::reference_name(path)),
        None => context_path::reference_name(path),
    }
}

/// Whether `name` is in the reference's files a second time what another name is already.
pub fn is_alias(name: &str) -> bool {
    name.strip_prefix("cp.backbone.").is_some_and(backbone::is_alias)
}
