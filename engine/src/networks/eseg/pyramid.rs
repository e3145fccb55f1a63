//! The pyramids: EfficientDet's bidirectional one and the plain one, with learned weights.
//!
//! Tan, Pang, Le. EfficientDet. CVPR 2020. arXiv:1911.09070, section 3. Lin et al. Feature Pyramid
//! Networks. CVPR 2017. arXiv:1612.03144.

use burn::module::{Initializer, Module, Param};
use burn::tensor::activation::{relu, silu};
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor};

use super::config::{ExtraLevels, Projection, Pyramid};
use crate::networks::blocks::{nearest, size_of};
use crate::networks::efficientnet::{MOMENTUM, depthwise, pointwise};
use crate::nn::{BatchNorm2d, BatchNorm2dConfig, Conv2d, MaxPool2d};

/// As EfficientDet's batch norms.
fn norm(channels: usize, device: &Device) -> BatchNorm2d {
    let config = BatchNorm2dConfig::new(channels).with_epsilon(1e-3);
    config.with_momentum(MOMENTUM).init(device)
}

/// SiLU, or ReLU of the Lite forms.
pub(super) fn activate(input: Tensor<4>, lite: bool) -> Tensor<4> {
    if lite { relu(input) } else { silu(input) }
}

/// Maxima of 3x3 pixels, every other one.
fn max_pool(input: Tensor<4>) -> Tensor<4> {
    MaxPool2d { kernel_size: [3, 3], stride: [2, 2], padding: [1, 1] }.forward(input)
}

/// A map of a neighboring level in the size of this one.
fn resample(map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [height, width] = size_of(&map);
    if height > size[0] || width > size[1] { max_pool(map) } else { nearest(map, size) }
}

/// A 1x1 convolution and a batch norm.
#[derive(Module, Debug)]
pub struct Project {
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl Project {
    fn new(from: usize, to: usize, device: &Device) -> Self {
        Self { conv: pointwise(from, to, device), bn: norm(to, device) }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.bn.forward(self.conv.forward(input))
    }
}

/// A 3x3 convolution of each channel, one of all channels, and a batch norm.
#[derive(Module, Debug)]
pub struct Separable {
    dw: Conv2d,
    pw: Conv2d,
    bn: BatchNorm2d,
}

impl Separable {
    /// Keeps channels, height and width.
    pub fn new(channels: usize, device: &Device) -> Self {
        Self {
            dw: depthwise(channels, 3, 1, 1, device),
            pw: pointwise(channels, channels, device),
            bn: norm(channels, device),
        }
    }

    /// # Shapes
    /// - `input`, output: `[batch, channels, height, width]`
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.bn.forward(self.pw.forward(self.dw.forward(input)))
    }
}

/// What a node of a cell reads: maps are counted from the levels' own, then by node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    level: usize,
    inputs: Vec<usize>,
}

/// The nodes of a cell over `levels`, in the order in which they are computed, and the map that
/// each level ends with.
fn links(pyramid: Pyramid, levels: usize) -> (Vec<Link>, Vec<usize>) {
    let mut maps: Vec<Vec<usize>> = (0..levels).map(|level| vec![level]).collect();
    let mut links: Vec<Link> = Vec::new();
    let latest = |maps: &[Vec<usize>], level: usize| maps[level].last().copied();
    let mut add = |maps: &mut Vec<Vec<usize>>, level: usize, inputs: Vec<usize>| {
        maps[level].push(levels + links.len());
        links.push(Link { level, inputs });
    };
    if pyramid == Pyramid::Fpn {
        add(&mut maps, levels - 1, vec![levels - 1]);
    }
    for level in (0..levels - 1).rev() {
        let inputs = [latest(&maps, level), latest(&maps, level + 1)];
        add(&mut maps, level, inputs.into_iter().flatten().collect());
    }
    if pyramid == Pyramid::Bifpn {
        for level in 1..levels {
            let mut inputs = maps[level].clone();
            inputs.extend(latest(&maps, level - 1));
            add(&mut maps, level, inputs);
        }
    }
    let outputs = (0..levels).filter_map(|level| latest(&maps, level)).collect();
    (links, outputs)
}

/// A weighted sum of maps, and a separable convolution of it.
#[derive(Module, Debug)]
pub struct Node {
    /// One for each input.
    weights: Param<Tensor<1>>,
    /// One for each input that has other channels than the pyramid.
    projections: Vec<Option<Project>>,
    conv: Separable,
    #[module(skip)]
    link: Link,
    lite: bool,
}

impl Node {
    /// # Shapes
    /// - `maps`: all that are known, those of its link with a height and width of this or a
    ///   neighboring level
    /// - output: `[batch, channels, size[0], size[1]]`
    fn forward(&self, maps: &[Tensor<4>], size: [usize; 2]) -> Tensor<4> {
        let weights = relu(self.weights.val());
        let weights = weights.clone() / (weights.sum() + 1e-4); // section 3.3, fast normalized
        let weighted = self.link.inputs.iter().zip(&self.projections).enumerate().map(
            |(index, (&input, projection))| {
                let map = maps[input].clone();
                let map = match projection {
                    Some(projection) => projection.forward(map),
                    None => map,
                };
                let weight = weights.clone().narrow(0, index, 1).reshape([1, 1, 1, 1]);
                resample(map, size) * weight
            },
        );
        let sum = weighted.reduce(|sum, map| sum + map).expect("a node has inputs");
        self.conv.forward(activate(sum, self.lite))
    }
}

/// Settings of a [`Cell`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellConfig {
    /// How levels are linked.
    pub pyramid: Pyramid,
    /// How the channels of the maps become those of the pyramid, where they are not yet.
    pub projection: Projection,
    /// Channels of each level's map.
    pub from: Vec<usize>,
    /// Channels of the pyramid.
    pub channels: usize,
    /// Whether ReLU takes the place of SiLU.
    pub lite: bool,
}

/// One pass through the pyramid.
#[derive(Module, Debug)]
pub struct Cell {
    lateral: Vec<Project>,
    nodes: Vec<Node>,
    /// The map that each level ends with.
    outputs: Vec<usize>,
}

impl CellConfig {
    /// A cell with fresh weights.
    pub fn init(&self, device: &Device) -> Cell {
        let (links, outputs) = links(self.pyramid, self.from.len());
        let fits = self.from.iter().all(|&channels| channels == self.channels);
        let shared = self.projection == Projection::Shared && !fits;
        let project = |from: usize| Project::new(from, self.channels, device);
        let edge = |&input: &usize| {
            let from = self.from.get(input).copied().unwrap_or(self.channels);
            (!shared && from != self.channels).then(|| project(from))
        };
        let node = |link: Link| Node {
            weights: Initializer::Ones.init([link.inputs.len()], device),
            projections: link.inputs.iter().map(edge).collect(),
            conv: Separable::new(self.channels, device),
            link,
            lite: self.lite,
        };
        Cell {
            lateral: self.from.iter().filter(|_| shared).map(|&from| project(from)).collect(),
            nodes: links.into_iter().map(node).collect(),
            outputs,
        }
    }
}

impl Cell {
    /// # Shapes
    /// - `levels`: the finest first, each half as high and wide as the one before, rounded up
    /// - outputs: alike, with the channels of the pyramid
    pub fn forward(&self, levels: Vec<Tensor<4>>) -> Vec<Tensor<4>> {
        let sizes: Vec<_> = levels.iter().map(size_of).collect();
        let mut maps = levels;
        if !self.lateral.is_empty() {
            let projected = self.lateral.iter().zip(maps).map(|(layer, map)| layer.forward(map));
            maps = projected.collect();
        }
        for node in &self.nodes {
            let map = node.forward(&maps, sizes[node.link.level]);
            maps.push(map);
        }
        self.outputs.iter().map(|&map| maps[map].clone()).collect()
    }
}

/// The levels above the encoder's.
#[derive(Module, Debug)]
pub struct Extra {
    project: Option<Project>,
    count: usize,
    average: bool,
}

impl Extra {
    /// `count` levels above a last one of `from` channels, for a pyramid of `channels`.
    pub fn new(
        kind: ExtraLevels,
        count: usize,
        [from, channels]: [usize; 2],
        device: &Device,
    ) -> Self {
        let average = kind == ExtraLevels::AveragePool;
        let projects = !average && count > 0 && from != channels;
        Self { project: projects.then(|| Project::new(from, channels, device)), count, average }
    }

    /// # Shapes
    /// - `levels`: the finest first; as many more of them come back, each half as high and wide as
    ///   the one before, rounded up
    pub fn forward(&self, mut levels: Vec<Tensor<4>>) -> Vec<Tensor<4>> {
        let mut map = levels.last().expect("an encoder has levels").clone();
        if let Some(project) = &self.project {
            map = project.forward(map);
        }
        for _ in 0..self.count {
            map = if self.average {
                let options = AvgPoolOptions::new([3, 3]).with_stride([2, 2]);
                let options = options.with_padding([1, 1]).with_count_include_pad(false);
                avg_pool2d(map, options)
            } else {
                max_pool(map)
            };
            levels.push(map.clone());
        }
        levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(pyramid: Pyramid, levels: usize) -> (Vec<Vec<usize>>, Vec<usize>) {
        let (links, outputs) = links(pyramid, levels);
        (links.into_iter().map(|link| link.inputs).collect(), outputs)
    }

    #[test]
    fn the_nodes_of_four_levels_are_those_of_the_figure() {
        let (nodes, outputs) = inputs(Pyramid::Bifpn, 4);
        let expected =
            [vec![2, 3], vec![1, 4], vec![0, 5], vec![1, 5, 6], vec![2, 4, 7], vec![3, 8]];
        assert_eq!(nodes, expected);
        assert_eq!(outputs, [6, 7, 8, 9]);
    }

    #[test]
    fn a_plain_pyramid_only_goes_down() {
        let (nodes, outputs) = inputs(Pyramid::Fpn, 3);
        assert_eq!(nodes, [vec![2], vec![1, 3], vec![0, 4]]);
        assert_eq!(outputs, [5, 4, 3]);
    }

    #[test]
    fn averages_leave_out_the_border() {
        let device = Device::flex();
        let map = Tensor::<4>::from_data([[[[1.0, 2.0], [3.0, 6.0], [5.0, 4.0]]]], &device);
        let extra = Extra::new(ExtraLevels::AveragePool, 2, [1, 1], &device);
        let levels = extra.forward(vec![map]);
        let values = |level: usize| levels[level].to_data().try_to_vec::<f32>().unwrap();
        assert_eq!(levels[1].dims(), [1, 1, 2, 1]);
        assert_eq!(values(1), [3.0, 4.5]);
        assert_eq!(values(2), [3.75]);
    }

    #[test]
    fn a_level_of_one_pixel_stays_one() {
        let device = Device::flex();
        for kind in [ExtraLevels::AveragePool, ExtraLevels::ProjectedMaxPool] {
            let extra = Extra::new(kind, 2, [1, 1], &device);
            let levels = extra.forward(vec![Tensor::<4>::full([1, 1, 1, 1], 2.5, &device)]);
            for level in levels {
                assert_eq!(level.into_data().try_to_vec::<f32>().unwrap(), [2.5]);
            }
        }
    }

    #[test]
    fn resampling_takes_the_size_it_is_given() {
        let device = Device::flex();
        let map = Tensor::<4>::from_data([[[[1.0, 2.0, 3.0]]]], &device);
        let up = resample(map.clone(), [2, 5]);
        let row = [1.0, 1.0, 2.0, 2.0, 3.0_f32];
        assert_eq!(up.into_data().try_to_vec::<f32>().unwrap(), [row, row].concat());
        let down = resample(map, [1, 2]);
        assert_eq!(down.into_data().try_to_vec::<f32>().unwrap(), [2.0, 3.0]);
    }
}
