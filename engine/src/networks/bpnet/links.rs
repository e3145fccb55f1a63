//! The links of the pyramid: how a map of one level reaches a map of another.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use super::config::Fusion;
use crate::networks::blocks::{ConvBnRelu, resize, size_of};

/// Merges a source into a target of another size and number of channels.
///
/// The reference names these layers differently in its two kinds of links; `names.rs` knows.
#[derive(Module, Debug)]
pub struct Merge {
    transform: ConvBnRelu,
    product: Option<ConvBnRelu>,
    transform_product: Option<ConvBnRelu>,
    alpha: Option<Param<Tensor<1>>>,
    beta: Option<Param<Tensor<1>>>,
    #[module(skip)]
    fusion: Fusion,
}

impl Merge {
    /// Merges `source` channels into `target` channels.
    pub fn new(source: usize, target: usize, fusion: Fusion, device: &Device) -> Self {
        let transform = || ConvBnRelu::new(source, target, 3, device);
        let product = || ConvBnRelu::new(target, target, 3, device);
        let ones = || Initializer::Ones.init([target], device);
        let paper = fusion == Fusion::AmaPaper;
        Self {
            transform: transform(),
            product: (paper || fusion == Fusion::Ama).then(product),
            transform_product: paper.then(transform),
            alpha: paper.then(ones),
            beta: paper.then(ones),
            fusion,
        }
    }

    /// # Shapes
    /// - `source`: `[batch, source, _, _]`
    /// - `target`: `[batch, target, height, width]`
    /// - output: like `target`, with twice the channels if concatenated
    pub fn forward(&self, source: Tensor<4>, target: Tensor<4>) -> Tensor<4> {
        let resized = resize(source, size_of(&target)); // [batch, source, height, width]
        let source = self.transform.forward(resized.clone()); // [batch, target, height, width]
        match self.fusion {
            Fusion::Add => target + source,
            Fusion::Mul => target * source,
            Fusion::Concat => Tensor::cat(vec![target, source], 1),
            Fusion::Ama => {
                let product = part(self.product.as_ref()).forward(source.clone() * target.clone());
                source + target + product
            }
            Fusion::AmaPaper => {
                let factor = part(self.transform_product.as_ref()).forward(resized);
                let product = part(self.product.as_ref()).forward(target.clone() * factor);
                let alpha = per_channel(part(self.alpha.as_ref()));
                let beta = per_channel(part(self.beta.as_ref()));
                target * alpha + source * beta + product
            }
        }
    }
}

/// What `Merge::new` made for the fusion at hand.
fn part<T>(part: Option<&T>) -> &T {
    part.expect("a merge is built with the parts of its fusion")
}

fn per_channel(weights: &Param<Tensor<1>>) -> Tensor<4> {
    let [channels] = weights.dims();
    weights.val().reshape([1, channels, 1, 1])
}

/// From a coarser level to the next finer one; without a source, a stage of the finer level alone.
#[derive(Module, Debug)]
pub struct TopDown {
    merge: Option<Merge>,
    conv_target: ConvBnRelu,
}

impl TopDown {
    /// A link from `source` to `target` channels.
    pub fn new(source: usize, target: usize, fusion: Fusion, device: &Device) -> Self {
        let merged = if fusion == Fusion::Concat { 2 * target } else { target };
        Self {
            merge: Some(Merge::new(source, target, fusion, device)),
            conv_target: ConvBnRelu::new(merged, target, 3, device),
        }
    }

    /// A stage of one level that hears of no other.
    pub fn lateral(channels: usize, device: &Device) -> Self {
        Self { merge: None, conv_target: ConvBnRelu::new(channels, channels, 3, device) }
    }

    /// # Shapes
    /// - `source`: `[batch, source, _, _]`
    /// - `target`, output: `[batch, target, height, width]`
    pub fn forward(&self, source: Tensor<4>, target: Tensor<4>) -> Tensor<4> {
        self.conv_target.forward(match &self.merge {
            Some(merge) => merge.forward(source, target),
            None => target,
        })
    }
}

/// From the finest level to a coarser one.
#[derive(Module, Debug)]
pub struct BottomUp {
    merge: Merge,
    project: Option<ConvBnRelu>,
}

impl BottomUp {
    /// A link from `source` to `target` channels.
    pub fn new(source: usize, target: usize, fusion: Fusion, device: &Device) -> Self {
        let project = || ConvBnRelu::new(2 * target, target, 3, device);
        Self {
            merge: Merge::new(source, target, fusion, device),
            project: (fusion == Fusion::Concat).then(project),
        }
    }

    /// # Shapes
    /// - `source`: `[batch, source, _, _]`
    /// - `target`, output: `[batch, target, height, width]`
    pub fn forward(&self, source: Tensor<4>, target: Tensor<4>) -> Tensor<4> {
        let merged = self.merge.forward(source, target);
        match &self.project {
            Some(project) => project.forward(merged),
            None => merged,
        }
    }
}
