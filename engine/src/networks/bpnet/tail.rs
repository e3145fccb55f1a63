//! What BPNet makes of the last maps of its pyramid before it predicts.

use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use super::config::{Attention, BpnetConfig};
use crate::networks::Observe;
use crate::networks::attention::{NonLocal, NonLocalConfig};
use crate::networks::blocks::{ConvBnRelu, Dropout2d, resize, size_of};
use crate::nn::{Conv2d, Conv2dConfig};

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
    pub fn forward(&self, before: &Tensor<4>, last: &Tensor<4>, observe: Observe<'_>) -> Tensor<4> {
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

    fn pairwise(&self, map: Tensor<4>, observe: Observe<'_>) -> Tensor<4> {
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
