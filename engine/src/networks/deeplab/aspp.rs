//! Atrous spatial pyramid pooling: the same map seen at several distances.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Device, Tensor};

use crate::networks::InvalidSetting;
use crate::networks::blocks::{ConvBnRelu, global_average, norm, size_of};
use crate::networks::efficientnet::{depthwise, pointwise};
use crate::nn::{BatchNorm2d, Conv2d, interpolate_bilinear};

/// A 3x3 convolution of each channel, one of all channels, batch norm and ReLU.
#[derive(Module, Debug)]
pub struct Separable {
    dw: Conv2d,
    pw: Conv2d,
    norm: BatchNorm2d,
}

impl Separable {
    /// Keeps height and width.
    pub fn new(from: usize, to: usize, dilation: usize, device: &Device) -> Self {
        Self {
            dw: depthwise(from, 3, 1, dilation, device),
            pw: pointwise(from, to, device),
            norm: norm(to, device),
        }
    }

    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, to, height, width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.norm.forward_relu(self.pw.forward(self.dw.forward(input)))
    }
}

/// What sees the map at one distance.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a pyramid has four branches")]
pub enum Branch {
    /// A convolution of all channels.
    Full(ConvBnRelu),
    /// One of each channel, then one of all.
    Separable(Separable),
}

impl Branch {
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Full(layers) => layers.forward(input),
            Self::Separable(layers) => layers.forward(input),
        }
    }
}

/// Settings of an [`Aspp`].
#[derive(Debug, Clone, PartialEq)]
pub struct AsppConfig {
    /// Channels that come in.
    pub from: usize,
    /// Channels of each branch, and those that go out.
    pub channels: usize,
    /// The distances, in pixels of the map.
    pub rates: [usize; 3],
    /// Whether channels are convolved by themselves first.
    pub separable: bool,
    /// The share of values dropped at the end in training.
    pub dropout: f64,
}

impl AsppConfig {
    /// Refuses what cannot be built.
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        let refuse = |key, value: String, expected: &str| {
            Err(InvalidSetting { key, value, expected: expected.to_owned() })
        };
        if !(1..=4096).contains(&self.channels) {
            return refuse("channels", self.channels.to_string(), "1 to 4096");
        }
        if self.rates.iter().any(|rate| !(1..=1024).contains(rate)) {
            return refuse("rates", format!("{:?}", self.rates), "three of 1 to 1024 pixels");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return refuse("dropout", self.dropout.to_string(), "at least 0 and below 1");
        }
        Ok(())
    }

    /// A block with fresh weights.
    pub fn init(&self, device: &Device) -> Aspp {
        let Self { from, channels, .. } = *self;
        let single = |from| ConvBnRelu::new(from, channels, 1, device);
        let dilated = |rate| {
            if self.separable {
                Branch::Separable(Separable::new(from, channels, rate, device))
            } else {
                Branch::Full(ConvBnRelu::dilated(from, channels, 3, rate, device))
            }
        };
        let first = Branch::Full(single(from));
        let convs: Vec<_> = [first].into_iter().chain(self.rates.map(dilated)).collect();
        Aspp {
            project: single(channels * (convs.len() + 1)),
            convs,
            pooling: single(from),
            dropout: DropoutConfig::new(self.dropout).init(),
        }
    }
}

/// Figure 5 of arXiv:1706.05587: a 1x1 convolution, three dilated ones and the average over the
/// whole map side by side, brought together.
#[derive(Module, Debug)]
pub struct Aspp {
    convs: Vec<Branch>,
    pooling: ConvBnRelu,
    project: ConvBnRelu,
    dropout: Dropout,
}

impl Aspp {
    /// Also tells `observe` its answer as `aspp`.
    ///
    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, channels, height, width]`
    pub fn forward(
        &self,
        input: Tensor<4>,
        observe: &mut dyn FnMut(&str, &Tensor<4>),
    ) -> Tensor<4> {
        let size = size_of(&input);
        let mut maps: Vec<_> = self.convs.iter().map(|conv| conv.forward(input.clone())).collect();
        let average = global_average(input); // [batch, from, 1, 1]
        maps.push(interpolate_bilinear(self.pooling.forward(average), size, false));
        let x = self.project.forward(Tensor::cat(maps, 1)); // [batch, channels, height, width]
        observe("aspp", &x);
        self.dropout.forward(x)
    }
}

/// torchvision's name of the weight at `path` of an [`Aspp`]; it knows no separable form.
pub(super) fn reference_name(path: &[&str]) -> Vec<String> {
    let layer = |layer: &str, first: usize| match layer {
        "conv" => first.to_string(),
        "bn" => (first + 1).to_string(),
        other => other.to_owned(),
    };
    let mut name: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
    match path {
        ["convs", _, "conv" | "bn", ..] => name[2] = layer(path[2], 0),
        ["project", ..] => name[1] = layer(path[1], 0),
        ["pooling", ..] => {
            name[1] = layer(path[1], 1);
            name.splice(0..1, ["convs".to_owned(), "4".to_owned()]);
        }
        _ => {}
    }
    name
}
