//! Asymmetric non-local blocks, which several networks borrow.
//!
//! Zhu, Xu, Bai, Huang, Bai. Asymmetric Non-local Neural Networks for Semantic Segmentation.
//! ICCV 2019. arXiv:1908.07678. APNB has one input, AFNB two; both are [`NonLocal`] here.

use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::activation::softmax;
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};

use super::blocks::{ConvBnRelu, Dropout2d, size_of};
use crate::nn::{Conv2d, Conv2dConfig};

/// Settings of a [`NonLocal`] block.
#[derive(Debug, Clone)]
pub struct NonLocalConfig {
    /// Channels of the map that is looked at.
    pub low: usize,
    /// Channels of the map that looks; `None` if it is the same map (APNB).
    pub high: Option<usize>,
    /// Channels that go out.
    pub out: usize,
    /// Channels of keys and queries.
    pub key: usize,
    /// Channels of values.
    pub value: usize,
    /// Share of channels dropped at the end.
    pub dropout: f64,
    /// Biases before the norms: in the attention's own code, not in BPNet's.
    pub bias: bool,
    /// ReLU after the last norm: everywhere but in the AFNB of the attention's own code.
    pub last_relu: bool,
}

/// Attention of every pixel of one map to 110 averages of another.
#[derive(Module, Debug)]
pub struct NonLocal {
    f_key: ConvBnRelu,
    f_query: Option<ConvBnRelu>,
    f_value: Conv2d,
    w: Conv2d,
    fuse: ConvBnRelu,
    dropout: Dropout2d,
}

impl NonLocalConfig {
    /// A block with fresh weights. The attention's own code starts its last convolution at zero;
    /// BPNet's draws it like any other and leaves only the bias at zero, as is done here.
    pub fn init(&self, device: &Device) -> NonLocal {
        let transform = |from| ConvBnRelu::pointwise(from, self.key, self.bias, true, device);
        let high = self.high.unwrap_or(self.low);
        let mut w = Conv2dConfig::new([self.value, self.out], [1, 1]).init(device);
        w.bias = Some(Initializer::Zeros.init([self.out], device));
        NonLocal {
            f_key: transform(self.low),
            f_query: self.high.map(transform),
            f_value: Conv2dConfig::new([self.low, self.value], [1, 1]).init(device),
            w,
            fuse: ConvBnRelu::pointwise(
                self.out + high,
                self.out,
                self.bias,
                self.last_relu,
                device,
            ),
            dropout: Dropout2d::new(self.dropout),
        }
    }
}

impl NonLocal {
    /// # Shapes
    /// - `low`: `[batch, low, _, _]`
    /// - `high`: `[batch, high, height, width]`
    /// - output: `[batch, out, height, width]`
    pub fn forward(&self, low: Tensor<4>, high: Tensor<4>) -> Tensor<4> {
        let context = self.context(low, high.clone()); // [batch, out, height, width]
        let x = self.fuse.forward(Tensor::cat(vec![context, high], 1));
        self.dropout.forward(x)
    }

    /// One map that looks at itself.
    ///
    /// # Shapes
    /// - `map`: `[batch, low, height, width]`
    /// - output: `[batch, out, height, width]`
    pub fn forward_self(&self, map: Tensor<4>) -> Tensor<4> {
        self.forward(map.clone(), map)
    }

    /// What is attended to, before it meets the map that looks.
    ///
    /// # Shapes
    /// as of [`forward`](Self::forward)
    pub fn context(&self, low: Tensor<4>, high: Tensor<4>) -> Tensor<4> {
        let [height, width] = size_of(&high);
        let value = pyramid_tokens(&self.f_value.forward(low.clone())); // [batch, value, 110]
        let (key, query) = match &self.f_query {
            Some(f_query) => (self.f_key.forward(low), f_query.forward(high)),
            // Keys and queries are the same map, but the reference computes it twice, and the
            // norm's running statistics move twice with it.
            None if low.device().is_autodiff() => {
                (self.f_key.forward(low), self.f_key.forward(high))
            }
            None => {
                let both = self.f_key.forward(low);
                (both.clone(), both)
            }
        };
        let [_, channels, _, _] = query.dims();
        let key = pyramid_tokens(&key); // [batch, key, 110]
        let query = query.flatten::<3>(2, 3).swap_dims(1, 2); // [batch, height * width, key]
        let scores = query.matmul(key) / (channels as f64).sqrt();
        let attended = softmax(scores, 2).matmul(value.swap_dims(1, 2)); // [batch, height * width, value]
        let [batch, _, values] = attended.dims();
        let attended = attended.swap_dims(1, 2);
        self.w.forward(attended.reshape([batch, values, height, width]))
    }
}

/// The averages over 1, 3, 6 and 8 bins a side, one after the other.
///
/// # Shapes
/// - `map`: `[batch, channels, height, width]`
/// - output: `[batch, channels, 110]`
pub fn pyramid_tokens(map: &Tensor<4>) -> Tensor<3> {
    let pooled = |bins| adaptive_avg_pool2d(map.clone(), [bins, bins]).flatten(2, 3);
    Tensor::cat([1, 3, 6, 8].map(pooled).into(), 2)
}
