//! Heads with attention between pixels: asymmetric non-local and criss-cross.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::criss_cross::CrissCross;
use crate::networks::Observe;
use crate::networks::attention::{NonLocal, NonLocalConfig};
use crate::networks::blocks::{ConvBnRelu, Dropout2d};
use crate::nn::{Conv2d, Conv2dConfig};

/// Attention of every pixel to averages over the image.
///
/// Zhu, Xu, Bai, Huang, Bai. Asymmetric Non-local Neural Networks for Semantic Segmentation. ICCV
/// 2019. arXiv:1908.07678. The block that fuses two stages of a `ResNet` is left out: HRNet has a
/// single map.
#[derive(Module, Debug)]
pub struct AnlHead {
    reduce: ConvBnRelu,
    attention: NonLocal,
    cls: Conv2d,
}

impl AnlHead {
    /// A head for a representation of `channels`, with `middle` channels per pixel and half as many
    /// for attention.
    pub fn new(
        channels: usize,
        middle: usize,
        num_classes: usize,
        dropout: f64,
        device: &Device,
    ) -> Self {
        let attention = NonLocalConfig {
            low: middle,
            high: None,
            out: middle,
            key: middle / 2,
            value: middle / 2,
            dropout,
            bias: true,
            last_relu: true,
        };
        Self {
            reduce: ConvBnRelu::new(channels, middle, 3, device),
            attention: attention.init(device),
            cls: Conv2dConfig::new([middle, num_classes], [1, 1]).init(device),
        }
    }

    /// # Shapes
    /// - `features`: `[batch, channels, height, width]`
    /// - output: `[batch, num_classes, height, width]`
    pub fn forward(&self, features: Tensor<4>, observe: Observe<'_>) -> Tensor<4> {
        let x = self.attention.forward_self(self.reduce.forward(features));
        observe("context", &x);
        self.cls.forward(x)
    }
}

/// Attention of every pixel to its row and its column, twice, so that it reaches all others.
///
/// Huang, Wang, Huang, Huang, Wei, Liu. `CCNet`: Criss-Cross Attention for Semantic Segmentation.
/// ICCV 2019. arXiv:1811.11721, figure 2.
#[derive(Module, Debug)]
pub struct CcnetHead {
    conva: ConvBnRelu,
    cca: CrissCross,
    convb: ConvBnRelu,
    bottleneck: ConvBnRelu,
    dropout: Dropout2d,
    project: Conv2d,
}

impl CcnetHead {
    /// Times that the attention is applied.
    const RECURRENCE: usize = 2;

    /// A head for a representation of `channels`, with `middle` channels per pixel.
    pub fn new(
        channels: usize,
        middle: usize,
        num_classes: usize,
        dropout: f64,
        device: &Device,
    ) -> Self {
        Self {
            conva: ConvBnRelu::new(channels, middle, 3, device),
            cca: CrissCross::new(middle, device),
            convb: ConvBnRelu::new(middle, middle, 3, device),
            bottleneck: ConvBnRelu::new(channels + middle, middle, 3, device),
            dropout: Dropout2d::new(dropout),
            project: Conv2dConfig::new([middle, num_classes], [1, 1]).init(device),
        }
    }

    /// # Shapes
    /// - `features`: `[batch, channels, height, width]`
    /// - output: `[batch, num_classes, height, width]`
    pub fn forward(&self, features: Tensor<4>, observe: Observe<'_>) -> Tensor<4> {
        let x = self.conva.forward(features.clone());
        let first = self.cca.forward(x);
        observe("cca", &first);
        let x = (1..Self::RECURRENCE).fold(first, |x, _| self.cca.forward(x));
        let x = Tensor::cat(vec![features, self.convb.forward(x)], 1);
        self.project.forward(self.dropout.forward(self.bottleneck.forward(x)))
    }
}
