//! The backbone: branches side by side, each at half the size of the one before, that exchange
//! what they know after every fourth block.

use std::ops::Add;

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::networks::Observe;
use crate::networks::blocks::{BasicBlock, ConvBnRelu, conv, norm, size_of};
use crate::nn::{BatchNorm2d, Conv2d, interpolate_bilinear};

/// Channels of the stem, and those that the first layer squeezes to.
const STEM: usize = 64;
/// Channels that the first layer answers with.
const LAYER1: usize = 256;
/// Modules of each stage after the first layer.
const MODULES: [usize; 3] = [1, 4, 3];

/// 1x1, 3x3 and 1x1 convolutions beside a shortcut.
#[derive(Module, Debug)]
pub struct Bottleneck {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    downsample: Option<ConvBnRelu>,
}

impl Bottleneck {
    fn new(from: usize, device: &Device) -> Self {
        let shortcut = || ConvBnRelu::pointwise(from, LAYER1, false, false, device);
        Self {
            conv1: conv(from, STEM, 1, 1, device),
            bn1: norm(STEM, device),
            conv2: conv(STEM, STEM, 3, 1, device),
            bn2: norm(STEM, device),
            conv3: conv(STEM, LAYER1, 1, 1, device),
            bn3: norm(LAYER1, device),
            downsample: (from != LAYER1).then(shortcut),
        }
    }

    /// # Shapes
    /// - `input`: `[batch, from, height, width]`
    /// - output: `[batch, 256, height, width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some(layers) => layers.forward(input.clone()),
            None => input.clone(),
        };
        let x = self.bn1.forward_relu(self.conv1.forward(input));
        let x = self.bn2.forward_relu(self.conv2.forward(x));
        relu(self.bn3.forward(self.conv3.forward(x)) + shortcut)
    }
}

/// Four blocks on every branch, then each branch takes from all others.
#[derive(Module, Debug)]
pub struct Exchange {
    branches: Vec<Vec<BasicBlock>>,
    /// Per branch that takes and branch that gives: the layers between. None of a branch to
    /// itself.
    fuse_layers: Vec<Vec<Vec<ConvBnRelu>>>,
}

impl Exchange {
    /// `widths`: channels of the branches, the finest first.
    fn new(widths: &[usize], device: &Device) -> Self {
        let blocks = |&width: &usize| (0..4).map(|_| BasicBlock::same(width, device)).collect();
        let between = |to: usize, from: usize| -> Vec<ConvBnRelu> {
            let [source, target] = [widths[from], widths[to]];
            if from > to {
                return vec![ConvBnRelu::pointwise(source, target, false, false, device)];
            }
            let halving = |step| {
                let last = step + 1 == to - from;
                let channels = if last { target } else { source };
                ConvBnRelu::around(conv(source, channels, 3, 2, device), !last, device)
            };
            (0..to - from).map(halving).collect()
        };
        let count = widths.len();
        let takes = |to| (0..count).map(|from| between(to, from)).collect();
        Self {
            branches: widths.iter().map(blocks).collect(),
            fuse_layers: (0..count).map(takes).collect(),
        }
    }

    /// # Shapes
    /// - `maps`, output: of each branch `[batch, width, height, width]`
    pub fn forward(&self, maps: Vec<Tensor<4>>, align_corners: bool) -> Vec<Tensor<4>> {
        let forward = |(map, blocks): (Tensor<4>, &Vec<BasicBlock>)| {
            blocks.iter().fold(map, |x, block| block.forward(x))
        };
        let maps: Vec<_> = maps.into_iter().zip(&self.branches).map(forward).collect();
        let fuse = |(to, sources): (usize, &Vec<Vec<ConvBnRelu>>)| {
            let given = sources.iter().zip(&maps).map(|(layers, map)| {
                let x = layers.iter().fold(map.clone(), |x, layer| layer.forward(x));
                interpolate_bilinear(x, size_of(&maps[to]), align_corners)
            });
            relu(given.reduce(Add::add).expect("a branch takes at least from itself"))
        };
        self.fuse_layers.iter().enumerate().map(fuse).collect()
    }
}

/// From the image to four branches.
#[derive(Module, Debug)]
pub struct Backbone {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    layer1: Vec<Bottleneck>,
    transition1: Vec<ConvBnRelu>,
    stage2: Vec<Exchange>,
    transition2: ConvBnRelu,
    stage3: Vec<Exchange>,
    transition3: ConvBnRelu,
    stage4: Vec<Exchange>,
    align_corners: bool,
}

impl Backbone {
    /// A backbone with fresh weights whose finest branch has `width` channels.
    pub fn new(in_channels: usize, width: usize, align_corners: bool, device: &Device) -> Self {
        let widths = [1, 2, 4, 8].map(|factor| factor * width);
        let halving = |from, to| ConvBnRelu::strided(from, to, 3, 2, device);
        let stage = |index: usize| {
            let widths = &widths[..index + 2];
            (0..MODULES[index]).map(|_| Exchange::new(widths, device)).collect()
        };
        let bottleneck = |index| Bottleneck::new(if index == 0 { STEM } else { LAYER1 }, device);
        Self {
            conv1: conv(in_channels, STEM, 3, 2, device),
            bn1: norm(STEM, device),
            conv2: conv(STEM, STEM, 3, 2, device),
            bn2: norm(STEM, device),
            layer1: (0..4).map(bottleneck).collect(),
            transition1: vec![
                ConvBnRelu::new(LAYER1, widths[0], 3, device),
                halving(LAYER1, widths[1]),
            ],
            stage2: stage(0),
            transition2: halving(widths[1], widths[2]),
            stage3: stage(1),
            transition3: halving(widths[2], widths[3]),
            stage4: stage(2),
            align_corners,
        }
    }

    /// Channels of the representation of a backbone of this width.
    pub fn channels(width: usize) -> usize {
        15 * width
    }

    /// The representation: all branches at the size of the finest, side by side.
    ///
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`
    /// - output: `[batch, 15 * width, height / 4, width / 4]`, rounded up at each half
    pub fn forward(&self, input: Tensor<4>, observe: Observe<'_>) -> Tensor<4> {
        let maps = self.branches(input, observe);
        let size = size_of(&maps[0]);
        let resized = maps.into_iter().map(|map| self.resize(map, size));
        Tensor::cat(resized.collect(), 1)
    }

    /// Bilinear, as everywhere in this backbone.
    pub fn resize(&self, map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
        interpolate_bilinear(map, size, self.align_corners)
    }

    /// The branches, the finest first.
    fn branches(&self, input: Tensor<4>, observe: Observe<'_>) -> Vec<Tensor<4>> {
        let x = self.bn1.forward_relu(self.conv1.forward(input)); // [batch, 64, height / 2, width / 2]
        let x = self.bn2.forward_relu(self.conv2.forward(x)); // [batch, 64, height / 4, width / 4]
        let x = self.layer1.iter().fold(x, |x, block| block.forward(x));
        observe("layer1", &x);
        let maps = self.transition1.iter().map(|layers| layers.forward(x.clone())).collect();
        let maps = self.stage("stage2", &self.stage2, maps, observe);
        let maps = with_coarser(maps, &self.transition2);
        let maps = self.stage("stage3", &self.stage3, maps, observe);
        let maps = with_coarser(maps, &self.transition3);
        self.stage("stage4", &self.stage4, maps, observe)
    }

    fn stage(
        &self,
        name: &str,
        modules: &[Exchange],
        maps: Vec<Tensor<4>>,
        observe: Observe<'_>,
    ) -> Vec<Tensor<4>> {
        let forward = |maps, module: &Exchange| module.forward(maps, self.align_corners);
        let maps = modules.iter().fold(maps, forward);
        for (branch, map) in maps.iter().enumerate() {
            observe(&format!("{name}_{branch}"), map);
        }
        maps
    }
}

/// A new branch beside `maps`, at half the size of the last.
fn with_coarser(mut maps: Vec<Tensor<4>>, transition: &ConvBnRelu) -> Vec<Tensor<4>> {
    let last = maps.last().expect("a stage has branches").clone();
    maps.push(transition.forward(last));
    maps
}
