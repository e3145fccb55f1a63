//! The plain head, and the one with object-contextual representations.

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};

use crate::networks::Observe;
use crate::networks::blocks::{ConvBnRelu, Dropout2d, norm, size_of};
use crate::nn::{BatchNorm2d, Conv2d, Conv2dConfig};

/// Two 1x1 convolutions, both with a bias, with batch norm and ReLU between.
#[derive(Module, Debug)]
pub struct Projection {
    conv: Conv2d,
    bn: BatchNorm2d,
    project: Conv2d,
}

impl Projection {
    fn new(channels: usize, num_classes: usize, device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new([channels, channels], [1, 1]).init(device),
            bn: norm(channels, device),
            project: Conv2dConfig::new([channels, num_classes], [1, 1]).init(device),
        }
    }

    /// # Shapes
    /// - `map`: `[batch, channels, height, width]`
    /// - output: `[batch, num_classes, height, width]`
    pub fn forward(&self, map: Tensor<4>, observe: Observe<'_>) -> Tensor<4> {
        let x = self.conv.forward(map);
        observe("last_conv", &x);
        self.project.forward(self.bn.forward_relu(x))
    }
}

/// The head of HRNetV2.
#[derive(Module, Debug)]
pub struct PlainHead {
    last_layer: Projection,
}

impl PlainHead {
    /// A head for a representation of `channels`.
    pub fn new(channels: usize, num_classes: usize, device: &Device) -> Self {
        Self { last_layer: Projection::new(channels, num_classes, device) }
    }

    /// # Shapes
    /// - `features`: `[batch, channels, height, width]`
    /// - output: `[batch, num_classes, height, width]`
    pub fn forward(&self, features: Tensor<4>, observe: Observe<'_>) -> Tensor<4> {
        self.last_layer.forward(features, observe)
    }
}

/// Each pixel beside what it knows about the classes, of which each is the mean of the pixels that
/// a first prediction gives to it.
///
/// Yuan, Chen, Wang. Object-Contextual Representations for Semantic Segmentation. ECCV 2020.
/// arXiv:1909.11065, figure 3.
#[derive(Module, Debug)]
pub struct OcrHead {
    aux_head: Projection,
    conv3x3_ocr: ConvBnRelu,
    f_pixel: Vec<ConvBnRelu>,
    f_object: Vec<ConvBnRelu>,
    f_down: ConvBnRelu,
    f_up: ConvBnRelu,
    fuse: ConvBnRelu,
    dropout: Dropout2d,
    cls_head: Conv2d,
}

impl OcrHead {
    /// A head for a representation of `channels`, with `middle` channels per pixel and half as many
    /// for attention.
    pub fn new(
        channels: usize,
        middle: usize,
        num_classes: usize,
        dropout: f64,
        device: &Device,
    ) -> Self {
        let key = middle / 2;
        let pointwise = |from, to| ConvBnRelu::pointwise(from, to, false, true, device);
        let twice = || vec![pointwise(middle, key), pointwise(key, key)];
        let conv3x3 = Conv2dConfig::new([channels, middle], [3, 3]).with_padding([1, 1]);
        Self {
            aux_head: Projection::new(channels, num_classes, device),
            conv3x3_ocr: ConvBnRelu::around(conv3x3.init(device), true, device),
            f_pixel: twice(),
            f_object: twice(),
            f_down: pointwise(middle, key),
            f_up: pointwise(key, middle),
            fuse: pointwise(2 * middle, middle),
            dropout: Dropout2d::new(dropout),
            cls_head: Conv2dConfig::new([middle, num_classes], [1, 1]).init(device),
        }
    }

    /// Logits, and those of the first prediction.
    ///
    /// # Shapes
    /// - `features`: `[batch, channels, height, width]`
    /// - output: `[batch, num_classes, height, width]`, twice
    pub fn forward(&self, features: Tensor<4>, observe: Observe<'_>) -> [Tensor<4>; 2] {
        let first = self.aux_head.forward(features.clone(), &mut |_, _| {});
        let pixels = self.conv3x3_ocr.forward(features); // [batch, middle, height, width]
        observe("conv3x3_ocr", &pixels);
        let objects = objects(&first, &pixels); // [batch, middle, num_classes, 1]
        observe("gather", &objects);
        let context = self.context(pixels.clone(), objects);
        let x = self.fuse.forward(Tensor::cat(vec![context, pixels], 1));
        observe("distri", &x);
        [self.cls_head.forward(self.dropout.forward(x)), first]
    }

    /// What each pixel takes from the objects that are like it.
    fn context(&self, pixels: Tensor<4>, objects: Tensor<4>) -> Tensor<4> {
        let size = size_of(&pixels);
        let transform = |layers: &[ConvBnRelu], map| {
            layers.iter().fold(map, |x, layer| layer.forward(x)).flatten::<3>(2, 3)
        };
        let query = transform(&self.f_pixel, pixels).swap_dims(1, 2); // [batch, pixels, key]
        let key = transform(&self.f_object, objects.clone()); // [batch, key, classes]
        let value = self.f_down.forward(objects).flatten::<3>(2, 3); // [batch, key, classes]
        let [batch, channels, _] = value.dims();
        let scores = query.matmul(key) / (channels as f64).sqrt();
        let attended = softmax(scores, 2).matmul(value.swap_dims(1, 2)); // [batch, pixels, key]
        let [height, width] = size;
        let attended = attended.swap_dims(1, 2).reshape([batch, channels, height, width]);
        self.f_up.forward(attended)
    }
}

/// Per class the mean over `pixels`, weighted by its probability of being at the pixel rather than
/// anywhere else.
///
/// # Shapes
/// - `logits`: `[batch, num_classes, height, width]`
/// - `pixels`: `[batch, channels, height, width]`
/// - output: `[batch, channels, num_classes, 1]`
fn objects(logits: &Tensor<4>, pixels: &Tensor<4>) -> Tensor<4> {
    let place = softmax(logits.clone().flatten::<3>(2, 3), 2); // [batch, classes, pixels]
    let pixels = pixels.clone().flatten::<3>(2, 3); // [batch, channels, pixels]
    pixels.matmul(place.swap_dims(1, 2)).unsqueeze_dim(3)
}
