//! Asymmetric non-local blocks, and the tail that BPNet makes of them.
//!
//! Zhu, Xu, Bai, Huang, Bai. Asymmetric Non-local Neural Networks for Semantic Segmentation.
//! ICCV 2019. arXiv:1908.07678. APNB has one input, AFNB two; both are [`NonLocal`] here.

use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};

use super::blocks::{ConvBnRelu, Dropout2d, resize, size_of};
use super::config::{Attention, BpnetConfig};
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
fn pyramid_tokens(map: &Tensor<4>) -> Tensor<3> {
    let pooled = |bins| adaptive_avg_pool2d(map.clone(), [bins, bins]).flatten(2, 3);
    Tensor::cat([1, 3, 6, 8].map(pooled).into(), 2)
}

/// What turns the last two maps of the pyramid into the one that is predicted from.
#[derive(Module, Debug)]
pub struct ContextTail {
    conv_low: Option<ConvBnRelu>,
    conv_high: ConvBnRelu,
    fusion: Option<NonLocal>,
    context_conv: ConvBnRelu,
    context: NonLocal,
    depthwise_conv: Option<Conv2d>,
    head_conv: ConvBnRelu,
    head_project: Conv2d,
    dropout: Dropout2d,
    #[module(skip)]
    attention: Attention,
}

impl ContextTail {
    /// The tail that `config` asks for, if any.
    pub fn new(config: &BpnetConfig, device: &Device) -> Option<Self> {
        let attention = config.attention;
        if attention == Attention::None {
            return None;
        }
        let width = config.width;
        let deep = 8 * width;
        let non_local = |high| {
            NonLocalConfig {
                low: deep,
                high,
                out: deep,
                key: 2 * width,
                value: 2 * width,
                dropout: config.attention_dropout,
                bias: false,
                last_relu: true,
            }
            .init(device)
        };
        let reduce = || ConvBnRelu::reduce(width, deep, 4, device);
        let depthwise = || {
            Conv2dConfig::new([deep, deep], [3, 3])
                .with_padding([1, 1])
                .with_groups(deep)
                .init(device)
        };
        let released = attention == Attention::Released;
        Some(Self {
            conv_low: released.then(reduce),
            conv_high: reduce(),
            fusion: released.then(|| non_local(Some(deep))),
            context_conv: ConvBnRelu::new(deep, deep, 3, device),
            context: non_local(None),
            depthwise_conv: (attention != Attention::Pairwise).then(depthwise),
            head_conv: ConvBnRelu::new(deep + width, width, 3, device),
            head_project: Conv2dConfig::new([width, width], [1, 1]).init(device),
            dropout: Dropout2d::new(config.dropout()),
            attention,
        })
    }

    /// # Shapes
    /// - `before`, `last`: the last two maps of the pyramid, `[batch, width, height, width]`
    /// - output: the same
    pub fn forward(
        &self,
        before: &Tensor<4>,
        last: &Tensor<4>,
        observe: &mut dyn FnMut(&str, &Tensor<4>),
    ) -> Tensor<4> {
        let high = self.conv_high.forward(last.clone()); // [batch, 8 * width, height / 4, width / 4]
        let y = match self.attention {
            Attention::None => unreachable!("without attention there is no tail"),
            Attention::Pairwise => self.pairwise(high, observe),
            Attention::UnaryPairwise => self.pairwise(self.gated(high.clone()) + high, observe),
            Attention::Pup => self.pairwise(high.clone(), observe) + self.gated(high),
            Attention::PairwiseUnary => {
                let y = self.pairwise(high, observe);
                self.gated(y.clone()) + y
            }
            Attention::Released => {
                let low = built(self.conv_low.as_ref()).forward(before.clone());
                let merged = built(self.fusion.as_ref()).forward(low, high);
                observe("fusion", &merged);
                let y = self.pairwise(merged, observe);
                self.gated(y.clone()) + y
            }
        };
        let y = resize(y, size_of(last)); // [batch, 8 * width, height, width]
        let y = Tensor::cat(vec![y, last.clone()], 1); // [batch, 9 * width, height, width]
        let y = self.head_project.forward(self.head_conv.forward(y));
        observe("head", &y);
        self.dropout.forward(y)
    }

    fn pairwise(&self, map: Tensor<4>, observe: &mut dyn FnMut(&str, &Tensor<4>)) -> Tensor<4> {
        let y = self.context.forward_self(self.context_conv.forward(map));
        observe("context", &y);
        y
    }

    /// Attention of each pixel: the map times a gate of its neighborhood in the same channel.
    fn gated(&self, map: Tensor<4>) -> Tensor<4> {
        sigmoid(built(self.depthwise_conv.as_ref()).forward(map.clone())) * map
    }
}

/// What `ContextTail::new` made for the attention at hand.
fn built<T>(part: Option<&T>) -> &T {
    part.expect("a tail is built with the parts of its attention")
}
