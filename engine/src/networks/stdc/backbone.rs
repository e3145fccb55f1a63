//! The STDC networks: short-term dense concatenation.

use burn::module::{Initializer, Module, Param};
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::networks::blocks::{ConvBnRelu, average_halving, depthwise, global_average, norm};
use crate::networks::{Observe, Start};
use crate::nn::BatchNorm2d;

/// The deviation of the matrices that a classifier starts with.
const DEVIATION: f64 = 0.001;

/// Which of the two networks: how many modules there are in stages 3, 4 and 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backbone {
    /// STDC1: 2, 2, 2.
    #[default]
    Stdc1,
    /// STDC2: 4, 5, 3.
    Stdc2,
}

impl Backbone {
    fn modules(self) -> [usize; 3] {
        match self {
            Self::Stdc1 => [2, 2, 2],
            Self::Stdc2 => [4, 5, 3],
        }
    }
}

/// Settings of a [`Stdc`].
#[derive(Debug, Clone)]
pub struct StdcConfig {
    /// Which of the two.
    pub backbone: Backbone,
    /// Channels of the map at a quarter of the image: 64 in the paper.
    pub base_channels: usize,
    /// Channels of the image.
    pub in_channels: usize,
    /// Classes that its classifier knows.
    pub num_classes: usize,
    /// Share of the classifier's last features that are dropped in training.
    pub dropout: f64,
}

/// STDC module (figure 3): four convolutions, each of the one before and with half of its channels
/// (the last with as many), side by side.
#[derive(Module, Debug)]
pub struct StdcModule {
    conv_list: Vec<ConvBnRelu>,
    /// In a module that halves height and width, what does so before the second convolution.
    avd_layer: Option<ConvBnRelu>,
}

impl StdcModule {
    /// A module; `to` has to be a multiple of eight.
    pub fn new(from: usize, to: usize, halves: bool, device: &Device) -> Self {
        let conv = |from, to| ConvBnRelu::new(from, to, 3, device);
        let halve = || ConvBnRelu::around(depthwise(to / 2, to / 2, 2, device), false, device);
        Self {
            conv_list: vec![
                ConvBnRelu::new(from, to / 2, 1, device),
                conv(to / 2, to / 4),
                conv(to / 4, to / 8),
                conv(to / 8, to / 8),
            ],
            avd_layer: halves.then(halve),
        }
    }

    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, to, height, width]`, or `height / 2, width / 2`, rounded up
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let (first, rest) = self.conv_list.split_first().expect("a module has convolutions");
        let x = first.forward(input);
        let (kept, mut x) = match &self.avd_layer {
            Some(halve) => (average_halving(x.clone()), halve.forward(x)),
            None => (x.clone(), x),
        };
        let mut parts = vec![kept];
        for conv in rest {
            x = conv.forward(x);
            parts.push(x.clone());
        }
        Tensor::cat(parts, 1) // to / 2 + to / 4 + to / 8 + to / 8 channels
    }
}

/// A matrix that features are multiplied with.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[features out, features in]`
    weight: Param<Tensor<2>>,
}

impl Linear {
    fn new(from: usize, to: usize, device: &Device) -> Self {
        let weight = Initializer::Normal { mean: 0.0, std: DEVIATION }.init([to, from], device);
        Self { weight }
    }

    /// # Shapes
    /// - `features`: `[batch, from]`
    /// - output: `[batch, to]`
    fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        features.matmul(self.weight.val().transpose())
    }
}

/// The network of table 2, its classifier included.
#[derive(Module, Debug)]
pub struct Stdc {
    stem: Vec<ConvBnRelu>,
    modules: Vec<StdcModule>,
    conv_last: ConvBnRelu,
    fc: Linear,
    /// Declared in the released code, and used nowhere.
    bn: BatchNorm2d,
    linear: Linear,
    dropout: Dropout,
}

/// The maps of a [`Stdc`], named by how much smaller than the image they are.
pub struct StdcMaps {
    /// `[batch, base / 2, height / 2, width / 2]`
    pub half: Tensor<4>,
    /// `[batch, base, height / 4, width / 4]`
    pub quarter: Tensor<4>,
    /// `[batch, 4 * base, height / 8, width / 8]`
    pub eighth: Tensor<4>,
    /// `[batch, 8 * base, height / 16, width / 16]`
    pub sixteenth: Tensor<4>,
    /// `[batch, 16 * base, height / 32, width / 32]`
    pub thirty_second: Tensor<4>,
}

impl StdcConfig {
    /// A network with fresh weights.
    pub fn init(&self, device: &Device) -> Stdc {
        let base = self.base_channels;
        let mut from = base;
        let mut modules = Vec::new();
        for (count, to) in self.backbone.modules().into_iter().zip([4 * base, 8 * base, 16 * base])
        {
            for index in 0..count {
                modules.push(StdcModule::new(from, to, index == 0, device));
                from = to;
            }
        }
        let features = from.max(1024);
        Stdc {
            stem: vec![
                ConvBnRelu::strided(self.in_channels, base / 2, 3, 2, device),
                ConvBnRelu::strided(base / 2, base, 3, 2, device),
            ],
            modules,
            conv_last: ConvBnRelu::new(from, features, 1, device),
            fc: Linear::new(features, features, device),
            bn: norm(features, device),
            linear: Linear::new(features, self.num_classes, device),
            dropout: DropoutConfig::new(self.dropout).init(),
        }
    }
}

impl Stdc {
    /// The maps of each stage; sizes are rounded up where they are halved.
    ///
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    pub fn maps(&self, input: Tensor<4>, observe: Observe<'_>) -> StdcMaps {
        let half = self.stem[0].forward(input);
        let quarter = self.stem[1].forward(half.clone());
        observe("feat4", &quarter);
        let mut finished = Vec::with_capacity(3);
        let mut x = quarter.clone();
        for (index, module) in self.modules.iter().enumerate() {
            if index > 0 && module.avd_layer.is_some() {
                finished.push(x.clone());
            }
            x = module.forward(x);
            if index == 0 {
                observe("f2", &x);
            }
        }
        finished.push(x);
        let [eighth, sixteenth, thirty_second] =
            finished.try_into().expect("a network has stages 3, 4 and 5");
        observe("feat8", &eighth);
        observe("feat16", &sixteenth);
        observe("feat32", &thirty_second);
        StdcMaps { half, quarter, eighth, sixteenth, thirty_second }
    }

    /// What the image shows.
    ///
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - output: `[batch, num_classes, 1, 1]`
    pub fn classify(&self, input: Tensor<4>, observe: Observe<'_>) -> Tensor<4> {
        let map = self.maps(input, observe).thirty_second;
        let map = self.conv_last.forward(map);
        observe("conv_last", &map);
        let features = global_average(map.clone() * map).flatten::<2>(1, 3); // [batch, features]
        let features = self.dropout.forward(relu(self.fc.forward(features)));
        self.linear.forward(features).unsqueeze_dims(&[2, 3])
    }
}

/// How a layer of the backbone starts: as the default, but for the matrices of the classifier.
pub fn start(path: &str) -> Start {
    if path.starts_with("fc.") || path.starts_with("linear.") {
        return Start::Normal { deviation: DEVIATION };
    }
    Start::default()
}

/// The reference's name of a weight of the backbone: it keeps stem and modules in one sequence.
pub fn reference_name(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        ["stem", index, rest @ ..] => [&["features", index], rest].concat().join("."),
        ["modules", index, rest @ ..] => {
            let index = index.parse().map_or(0, |index: usize| index + 2).to_string();
            let rest = match rest {
                ["avd_layer", "conv", rest @ ..] => [&["avd_layer", "0"], rest].concat(),
                ["avd_layer", "bn", rest @ ..] => [&["avd_layer", "1"], rest].concat(),
                _ => rest.to_vec(),
            };
            [&["features", index.as_str()][..], &rest].concat().join(".")
        }
        _ => path.to_owned(),
    }
}

/// Whether a name of the backbone's file repeats another: the stages `x2` to `x32` are the same
/// modules as `features`.
pub fn is_alias(name: &str) -> bool {
    let stage = name.split('.').next().unwrap_or_default();
    ["x2", "x4", "x8", "x16", "x32"].contains(&stage)
}
