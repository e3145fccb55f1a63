//! Layers of a list of averages over the image, and attention to it.

use std::f64::consts::SQRT_2;

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};

use crate::networks::blocks::norm;
use crate::nn::{BatchNorm2d, Conv2d, Conv2dConfig};

/// A convolution of single tokens.
#[derive(Module, Debug)]
pub struct TokenConv {
    /// `[to, from, 1]`
    weight: Param<Tensor<3>>,
    /// `[to]`
    bias: Option<Param<Tensor<1>>>,
}

impl TokenConv {
    fn new(from: usize, to: usize, bias: bool, device: &Device) -> Self {
        let kaiming = Initializer::KaimingNormal { gain: SQRT_2, fan_out_only: true };
        let bound = 1.0 / (from as f64).sqrt();
        let uniform = Initializer::Uniform { min: -bound, max: bound };
        Self {
            weight: kaiming.init_with([to, from, 1], Some(from), Some(to), device),
            bias: bias.then(|| uniform.init([to], device)),
        }
    }

    /// # Shapes
    /// - `tokens`: `[batch, from, tokens]`
    /// - output: `[batch, to, tokens]`
    pub fn forward(&self, tokens: Tensor<3>) -> Tensor<3> {
        let [to, from, _] = self.weight.dims();
        let tokens = self.weight.val().reshape([1, to, from]).matmul(tokens);
        match &self.bias {
            Some(bias) => tokens + bias.val().reshape([1, to, 1]),
            None => tokens,
        }
    }
}

/// What a level knows, into what all before it knew.
#[derive(Module, Debug)]
pub struct TokenUpdate {
    conv: TokenConv,
    bn: BatchNorm2d,
}

impl TokenUpdate {
    /// An update of tokens of `channels`.
    pub fn new(channels: usize, device: &Device) -> Self {
        let conv = TokenConv::new(2 * channels, channels, false, device); // the norm has a bias
        Self { conv, bn: norm(channels, device) }
    }

    /// # Shapes
    /// - `newest`, `before`: `[batch, channels, tokens]`
    /// - output: `[batch, channels, tokens, 1]`
    pub fn forward(&self, newest: Tensor<3>, before: Tensor<3>) -> Tensor<4> {
        let x = self.conv.forward(Tensor::cat(vec![newest, before], 1));
        self.bn.forward_relu(x.unsqueeze_dim(3))
    }
}

/// Attention of every pixel of a map to tokens.
#[derive(Module, Debug)]
pub struct TokenAttention {
    q: Conv2d,
    k: TokenConv,
    v: TokenConv,
}

impl TokenAttention {
    /// Attention of maps to tokens that have `channels` both.
    pub fn new(channels: usize, key: usize, device: &Device) -> Self {
        Self {
            q: Conv2dConfig::new([channels, key], [1, 1]).init(device),
            k: TokenConv::new(channels, key, true, device),
            v: TokenConv::new(channels, channels, true, device),
        }
    }

    /// # Shapes
    /// - `map`, output: `[batch, channels, height, width]`
    /// - `tokens`: `[batch, channels, tokens]`
    pub fn forward(&self, map: Tensor<4>, tokens: Tensor<3>) -> Tensor<4> {
        let shape = map.dims();
        let query = self.q.forward(map).flatten::<3>(2, 3).swap_dims(1, 2); // [batch, pixels, key]
        let key = self.k.forward(tokens.clone()); // [batch, key, tokens]
        let value = self.v.forward(tokens); // [batch, channels, tokens]
        let [_, channels, _] = key.dims();
        let scores = query.matmul(key) / (channels as f64).sqrt();
        let attended = softmax(scores, 2).matmul(value.swap_dims(1, 2)); // [batch, pixels, channels]
        attended.swap_dims(1, 2).reshape(shape)
    }
}
