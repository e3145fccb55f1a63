//! Specialize-and-Fuse: Pyramidal Output Representation for Semantic Segmentation.
//!
//! Hsiao, Sun, Chen, Sun. ICCV 2021. arXiv:2108.01866, figures 2 and 3.
//!
//! Four levels predict the classes of cells of 32, 16, 8 and 4 pixels; three of them also predict
//! which of their cells are of one class, and decide for all pixels of these. What the paper leaves
//! open (channels, the threshold, where norms stand) is chosen such that the head costs what the
//! paper says. Its authors released no code.
//!
//! Departs from the paper: an image whose height or width is no multiple of 32 is resized to the
//! nearest one within the network, and logits back to the size of the image.

mod config;
pub mod names;
pub mod semantic;
pub mod tokens;
pub mod unity;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::blocks::size_of;
use super::hrnet::backbone::Backbone;
use super::{Architecture, Heads, NetworkOutput, Observe, PyramidOutput};
use config::nearest_multiple;
pub use config::{SemanticKind, SpecializeFuseConfig, Supervision};
pub use names::reference_name;
use semantic::SemanticHead;
use unity::{UnityHead, fuse};

/// All that comes after the backbone.
#[derive(Module, Debug)]
pub struct Head {
    unity: Option<UnityHead>,
    semantic: SemanticHead,
    #[module(skip)]
    supervision: Supervision,
    threshold: f64,
}

/// What a [`Head`] answers.
#[derive(Debug, Clone)]
pub struct HeadOutput {
    /// The prediction at a quarter of the input's size.
    pub fused: Tensor<4>,
    /// What it was made from, unless it is a single level.
    pub pyramid: Option<PyramidOutput>,
}

impl Head {
    /// A head for a representation of `channels`.
    pub fn new(
        config: &SpecializeFuseConfig,
        channels: usize,
        num_classes: usize,
        device: &Device,
    ) -> Self {
        let unity = || UnityHead::new(channels, config.unity_channels, device);
        Self {
            unity: config.supervision.has_unity().then(unity),
            semantic: SemanticHead::new(config, channels, num_classes, device),
            supervision: config.supervision,
            threshold: config.threshold,
        }
    }

    /// # Shapes
    /// - `features`: `[batch, channels, height, width]`, multiples of eight
    /// - output: `[batch, num_classes, height, width]`, and the levels it comes from
    pub fn forward(&self, features: Tensor<4>, heads: Heads, observe: Observe<'_>) -> HeadOutput {
        let (supervision, threshold) = (self.supervision, self.threshold);
        let Some(head) = &self.unity else {
            let finest_only = heads == Heads::Main || supervision == Supervision::Plain;
            let semantic = self.semantic.forward(features, finest_only, observe);
            let fused = semantic.last().expect("the finest level predicts").clone();
            let unity = Vec::new();
            let pyramid = PyramidOutput { semantic, unity, supervision, threshold };
            return HeadOutput { fused, pyramid: (!finest_only).then_some(pyramid) };
        };
        let unity = head.forward(features.clone(), observe);
        let semantic = self.semantic.forward(features, false, observe);
        let fused = fuse(&semantic, &unity, threshold);
        observe("fused", &fused);
        let pyramid = PyramidOutput { semantic, unity, supervision, threshold };
        HeadOutput { fused, pyramid: Some(pyramid) }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct SpecializeFuse {
    backbone: Backbone,
    head: Head,
}

impl SpecializeFuseConfig {
    /// A network with fresh weights. The configuration has to be
    /// [valid](super::Settings::validate).
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> SpecializeFuse {
        let channels = Backbone::channels(self.width);
        SpecializeFuse {
            backbone: Backbone::new(in_channels, self.width, self.align_corners, device),
            head: Head::new(self, channels, num_classes, device),
        }
    }
}

impl Architecture for SpecializeFuse {
    fn run(&self, input: Tensor<4>, heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        let size = size_of(&input);
        let input = self.backbone.resize(input, size.map(nearest_multiple));
        let features = self.backbone.forward(input, observe); // [_, _, height / 4, width / 4]
        let HeadOutput { fused, pyramid } = self.head.forward(features, heads, observe);
        NetworkOutput { pyramid, ..NetworkOutput::from(self.backbone.resize(fused, size)) }
    }

    fn is_auxiliary(&self, path: &str) -> bool {
        self.head.supervision == Supervision::Auxiliary
            && path.starts_with("head.semantic.levels.")
            && !path.starts_with("head.semantic.levels.3.")
    }

    fn is_head(&self, path: &str) -> bool {
        path.starts_with("head.")
    }
}
