//! `HRNetV2`: Deep High-Resolution Representation Learning for Visual Recognition.
//!
//! Wang, Sun, Cheng, Jiang, Deng, Zhao, Liu, Mu, Tan, Wang, Liu, Xiao. TPAMI 2020.
//! arXiv:1908.07919, figures 2 and 4, and the code its authors released. With it the heads that
//! others put on it: OCR (arXiv:1909.11065), ANL (arXiv:1908.07678) and `CCNet`
//! (arXiv:1811.11721).
//!
//! Departs from the code: convolutions start as He et al. 2015 rather than with a deviation of
//! 0.001, which is meant for weights that are loaded afterwards; logits are resized to the size of
//! the input within the network.

pub mod attention_heads;
pub mod backbone;
mod config;
pub mod criss_cross;
pub mod heads;
pub(in crate::networks) mod names;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::blocks::size_of;
use super::{Architecture, Auxiliary, Heads, NetworkOutput, Observe};
use attention_heads::{AnlHead, CcnetHead};
use backbone::Backbone;
pub use config::{HeadKind, HrnetConfig};
pub(super) use config::{count, smallest_batch, validate_width};

use heads::{OcrHead, PlainHead};
pub use names::reference_name;

/// What the first prediction of the OCR head counts for in the loss.
const OCR_AUXILIARY: f64 = 0.4;

/// Any of the heads.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network has one head")]
pub enum Head {
    /// [`HeadKind::Plain`]
    Plain(PlainHead),
    /// [`HeadKind::Ocr`]
    Ocr(OcrHead),
    /// [`HeadKind::Anl`]
    Anl(AnlHead),
    /// [`HeadKind::Ccnet`]
    Ccnet(CcnetHead),
}

/// The network.
#[derive(Module, Debug)]
pub struct Hrnet {
    backbone: Backbone,
    head: Head,
}

impl HrnetConfig {
    /// A network with fresh weights. The configuration has to be
    /// [valid](super::Settings::validate).
    pub fn init(&self, in_channels: usize, num_classes: usize, device: &Device) -> Hrnet {
        let channels = Backbone::channels(self.width);
        let (middle, dropout) = (self.head_channels, self.dropout());
        let head = match self.head {
            HeadKind::Plain => Head::Plain(PlainHead::new(channels, num_classes, device)),
            HeadKind::Ocr => {
                Head::Ocr(OcrHead::new(channels, middle, num_classes, dropout, device))
            }
            HeadKind::Anl => {
                Head::Anl(AnlHead::new(channels, middle, num_classes, dropout, device))
            }
            HeadKind::Ccnet => {
                Head::Ccnet(CcnetHead::new(channels, middle, num_classes, dropout, device))
            }
        };
        let backbone = Backbone::new(in_channels, self.width, self.align_corners, device);
        Hrnet { backbone, head }
    }
}

impl Architecture for Hrnet {
    fn run(&self, input: Tensor<4>, heads: Heads, observe: Observe<'_>) -> NetworkOutput {
        let size = size_of(&input);
        let features = self.backbone.forward(input, observe); // [_, _, height / 4, width / 4]
        let mut first = None;
        let quarter = match &self.head {
            Head::Plain(head) => head.forward(features, observe),
            Head::Anl(head) => head.forward(features, observe),
            Head::Ccnet(head) => head.forward(features, observe),
            Head::Ocr(head) => {
                let [logits, auxiliary] = head.forward(features, observe);
                observe("aux_quarter", &auxiliary);
                first = Some(auxiliary);
                logits
            }
        };
        observe("logits_quarter", &quarter);
        let mut output = NetworkOutput::from(self.backbone.resize(quarter, size));
        if heads == Heads::All
            && let Some(first) = first
        {
            let logits = self.backbone.resize(first, size);
            output.auxiliary.push(Auxiliary {
                name: "aux".to_owned(),
                logits,
                weight: OCR_AUXILIARY,
            });
        }
        output
    }

    fn is_head(&self, path: &str) -> bool {
        path.starts_with("head.")
    }
}
