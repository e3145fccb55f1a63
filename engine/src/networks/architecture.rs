//! What every network does, and what it answers.

use burn::tensor::Tensor;

use super::specialize_fuse::Supervision;
use crate::losses::detail::DiceDenominator;

/// Hears what each part of a network answers, by the part's name in the reference. Two
/// implementations part at the first that differs.
pub type Observe<'a> = &'a mut dyn FnMut(&str, &Tensor<4>);

/// Which heads of a network are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// The prediction alone: what inference needs.
    Main,
    /// Also those that only training looks at.
    All,
}

/// What every network does.
pub trait Architecture {
    /// The logits and, with [`Heads::All`], what training looks at besides; `observe` hears what
    /// the parts answer.
    ///
    /// # Shapes
    /// - `input`: `[batch, in_channels, height, width]`, at least
    ///   [`smallest_size`](super::Settings::smallest_size) and a multiple of
    ///   [`size_multiple`](super::Settings::size_multiple) a side
    fn run(&self, input: Tensor<4>, heads: Heads, observe: Observe<'_>) -> NetworkOutput;

    /// Whether the weight at `path` never reaches the logits.
    fn is_auxiliary(&self, _path: &str) -> bool {
        false
    }

    /// Whether the weight at `path` belongs to a head, for which some papers raise the learning
    /// rate.
    fn is_head(&self, _path: &str) -> bool {
        false
    }

    /// How the layer starts that the weight or bias at `path` belongs to.
    fn start(&self, _path: &str) -> Start {
        Start::default()
    }
}

/// How the weights and biases of a layer start. Norms start as they were made.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Start {
    /// Kaiming normal over the fan-out, for ReLU (He et al. 2015); biases uniform within
    /// 1 / √fan-in, as PyTorch draws them.
    #[default]
    FanOut,
    /// The same, but each output channel as if it were alone: so EfficientNet's authors draw
    /// depthwise convolutions.
    FanOutByChannel,
    /// Kaiming normal over the fan-out, for ReLU; biases zero.
    FanOutUnbiased,
    /// Kaiming normal over the fan-in, for a ReLU of this slope below zero; biases zero.
    FanIn {
        /// The slope.
        slope: f64,
    },
    /// Normal with this deviation; biases zero.
    Normal {
        /// The deviation.
        deviation: f64,
    },
}

/// What a network answers.
#[derive(Debug, Clone)]
pub struct NetworkOutput {
    /// `[batch, num_classes, height, width]`, the size of the input.
    pub logits: Tensor<4>,
    /// What the auxiliary heads predict; empty for [`Heads::Main`].
    pub auxiliary: Vec<Auxiliary>,
    /// Where the boundaries of objects are, for the detail loss.
    pub detail: Vec<DetailOutput>,
    /// Predictions at several resolutions, from which the logits were fused.
    pub pyramid: Option<PyramidOutput>,
}

impl From<Tensor<4>> for NetworkOutput {
    /// Logits and nothing else.
    fn from(logits: Tensor<4>) -> Self {
        Self { logits, auxiliary: Vec::new(), detail: Vec::new(), pyramid: None }
    }
}

/// What an auxiliary head predicts.
#[derive(Debug, Clone)]
pub struct Auxiliary {
    /// Its name in the reference.
    pub name: String,
    /// Logits of the shape of the main ones.
    pub logits: Tensor<4>,
    /// What it counts for in the loss; the main logits count for one.
    pub weight: f64,
}

/// One logit for each place: is there a boundary?
#[derive(Debug, Clone)]
pub struct DetailOutput {
    /// Its name in the reference.
    pub name: String,
    /// `[batch, 1, _, _]`, not resized.
    pub logits: Tensor<4>,
    /// What the overlap is divided by in its loss.
    pub denominator: DiceDenominator,
}

/// Predictions of Specialize-and-Fuse, the coarsest level first.
#[derive(Debug, Clone)]
pub struct PyramidOutput {
    /// Per level, logits of the classes: `[batch, num_classes, height / stride, width / stride]`.
    pub semantic: Vec<Tensor<4>>,
    /// Per level but the last, the logit that all pixels of a cell are of one class:
    /// `[batch, 1, height / stride, width / stride]`.
    pub unity: Vec<Tensor<4>>,
    /// What the levels learn.
    pub supervision: Supervision,
    /// The probability of being of one class from which on a cell decides for its pixels.
    pub threshold: f64,
}

impl NetworkOutput {
    /// Everything by name: `logits` and what the reference calls the rest.
    pub fn into_named(self) -> Vec<(String, Tensor<4>)> {
        let mut named = vec![("logits".to_owned(), self.logits)];
        named.extend(self.auxiliary.into_iter().map(|head| (head.name, head.logits)));
        named.extend(self.detail.into_iter().map(|head| (head.name, head.logits)));
        if let Some(PyramidOutput { semantic, unity, .. }) = self.pyramid {
            for (levels, what) in [(semantic, "sem"), (unity, "unity")] {
                let levels = levels.into_iter().enumerate();
                named.extend(levels.map(|(level, map)| (format!("{what}{}", level + 1), map)));
            }
        }
        named
    }
}
