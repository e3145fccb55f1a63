//! BPNet: Bidirectional Pyramid Networks for Semantic Segmentation.
//!
//! Nie, Xue, Ren. ACCV 2020 (doi:10.1007/978-3-030-69525-5_39), and the code its authors released.
//!
//! A U-shaped network whose every stage is a decoder of its own: each new level of the encoder is
//! passed down to the finest map and up again. Where paper and code differ, the code is followed
//! (a convolution after each link from coarse to fine, pyramid pooling on the coarsest level), but
//! for the attention at the end, where the paper's is the default ([`Attention::Pup`]) and the
//! code's is [`Attention::Released`]: only the paper's has the parameters that the paper states.
//!
//! Departs from the code: logits are resized to the size of the input rather than to one set
//! before, and no softmax is applied.

pub mod blocks;
mod config;
pub mod links;
mod names;
pub mod tail;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::blocks::{BasicBlock, size_of};
use super::{Architecture, Auxiliary, Heads, NetworkOutput, Observe, Settings};
use blocks::{Head, PyramidPooling, Stem};
pub use config::{Attention, BpnetConfig, Flow, Fusion};
use links::{BottomUp, TopDown};
pub use names::{is_alias, reference_name};
use tail::ContextTail;

/// The network.
#[derive(Module, Debug)]
pub struct Bpnet {
    stem: Stem,
    layers: Vec<Vec<BasicBlock>>,
    ppm: PyramidPooling,
    /// Per diagonal from the second, the links from its coarsest level to the finest.
    fuse: Vec<Vec<TopDown>>,
    /// Per level from the second to the last but one, the link from the finest.
    down: Vec<BottomUp>,
    tail: Option<ContextTail>,
    heads: Vec<Head>,
    #[module(skip)]
    auxiliary_weights: Vec<f64>,
    in_channels: usize,
    smallest_size: usize,
}

impl BpnetConfig {
    /// A network with fresh weights. The configuration has to be [valid](Self::validate).
    pub fn init(&self, device: &Device) -> Bpnet {
        let levels = self.levels();
        let layer = |level: usize| {
            let channels = self.channels(level);
            let first = if level == 1 {
                BasicBlock::same(channels, device)
            } else {
                BasicBlock::halving(self.channels(level - 1), channels, device)
            };
            vec![first, BasicBlock::same(channels, device)]
        };
        let bottom_up =
            |level| BottomUp::new(self.width, self.channels(level), self.fusion, device);
        let down = match self.flow {
            Flow::BottomUp | Flow::Bidirectional => (2..levels).map(bottom_up).collect(),
            Flow::Base | Flow::TopDown => Vec::new(),
        };
        let tail = ContextTail::new(self, device);
        let maps = self.stages + usize::from(tail.is_some());
        Bpnet {
            stem: Stem::new(self.in_channels, self.width, device),
            layers: (1..=levels).map(layer).collect(),
            ppm: PyramidPooling::new(self.channels(levels), device),
            fuse: (2..=levels).map(|k| self.diagonal(k, device)).collect(),
            down,
            tail,
            heads: (0..maps).map(|_| Head::new(self.width, self.num_classes, device)).collect(),
            auxiliary_weights: self.auxiliary_weights(),
            in_channels: self.in_channels,
            smallest_size: self.smallest_size(),
        }
    }

    /// The links of the diagonal that starts at `coarsest`, from there to the finest level.
    fn diagonal(&self, coarsest: usize, device: &Device) -> Vec<TopDown> {
        let everywhere = matches!(self.flow, Flow::TopDown | Flow::Bidirectional);
        let link = |level| {
            let [source, target] = [self.channels(level + 1), self.channels(level)];
            if everywhere {
                TopDown::new(source, target, self.fusion, device)
            } else if coarsest == self.levels() {
                TopDown::new(source, target, Fusion::Add, device)
            } else {
                TopDown::lateral(target, device)
            }
        };
        (1..coarsest).rev().map(link).collect()
    }
}

impl Architecture for Bpnet {
    /// The image needs [`in_channels`](BpnetConfig::in_channels), and a height and width of at
    /// least [`smallest_size`](BpnetConfig::smallest_size). Auxiliary logits are one for each map
    /// of the pyramid, the roughest first.
    fn run(&self, input: Tensor<4>, heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        let size = size_of(&input);
        let mut maps = self.maps(input, observe);
        let (main, others) = self.heads.split_last().expect("a network has heads");
        let last = maps.pop().expect("a pyramid has maps");
        let auxiliary = match heads {
            Heads::Main => Vec::new(),
            Heads::All => (maps.into_iter().zip(others).zip(&self.auxiliary_weights).enumerate())
                .map(|(index, ((map, head), weight))| Auxiliary {
                    name: format!("aux{index}"),
                    logits: head.forward(map, size),
                    weight: *weight,
                })
                .collect(),
        };
        NetworkOutput { auxiliary, ..main.forward(last, size).into() }
    }

    fn is_auxiliary(&self, path: &str) -> bool {
        let last = format!("heads.{}.", self.heads.len() - 1);
        path.starts_with("heads.") && !path.starts_with(&last)
    }

    fn is_head(&self, path: &str) -> bool {
        path.starts_with("heads.")
    }
}

impl Bpnet {
    /// The finest map of each diagonal, then what the tail makes of the last two.
    fn maps(&self, input: Tensor<4>, observe: Observe<'_>) -> Vec<Tensor<4>> {
        let [_, channels, height, width] = input.dims();
        assert_eq!(channels, self.in_channels, "channels of the image");
        assert!(
            height.min(width) >= self.smallest_size,
            "an image needs {} pixels a side, this one is {height} x {width}",
            self.smallest_size
        );
        let stem = self.stem.forward(input, observe); // [batch, width, height / 4, width / 4]
        let (first, coarser) = self.layers.split_first().expect("a pyramid has levels");
        let finest = forward_blocks(first, stem);
        observe("layer1", &finest);
        let mut levels = vec![finest]; // the current map of each level, the finest first
        let mut maps = Vec::new();
        for (diagonal, (layer, links)) in coarser.iter().zip(&self.fuse).enumerate() {
            let mut source = levels[diagonal].clone();
            if diagonal > 0
                && let Some(link) = self.down.get(diagonal - 1)
            {
                source = link.forward(levels[0].clone(), source);
                observe(&format!("down{}", diagonal + 1), &source);
            }
            let mut map = forward_blocks(layer, source); // half of the level before, rounded up
            if diagonal + 1 == coarser.len() {
                map = self.ppm.forward(map);
                observe("ppm", &map);
            }
            levels.push(map);
            for (step, link) in links.iter().enumerate() {
                let target = diagonal - step;
                let map = link.forward(levels[target + 1].clone(), levels[target].clone());
                observe(&format!("fuse{}_{}", diagonal + 2, step + 1), &map);
                levels[target] = map;
            }
            maps.push(levels[0].clone()); // [batch, width, height / 4, width / 4]
        }
        if let (Some(tail), [.., before, last]) = (&self.tail, maps.as_slice()) {
            let map = tail.forward(before, last, observe);
            maps.push(map);
        }
        maps
    }
}

fn forward_blocks(blocks: &[BasicBlock], input: Tensor<4>) -> Tensor<4> {
    blocks.iter().fold(input, |x, block| block.forward(x))
}
