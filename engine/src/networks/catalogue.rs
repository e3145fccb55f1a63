//! The published forms of the networks.

mod bilateral;
mod high_resolution;

use burn::tensor::Device;
use serde::Serialize;

use super::NetworkConfig;
use super::bpnet::BpnetConfig;
use super::deeplab::{Deeplabv3Config, Deeplabv3plusConfig};
use super::encoder::EncoderKind;
use super::eseg::{EsegConfig, Size};
use super::nnunet::NnunetConfig;
use super::pspnet::PspnetConfig;
use super::unet::UnetConfig;

/// A published form of a network, and what it costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkEntry {
    /// Its name, e.g. `bpnet-s3-w32`.
    pub name: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What was published about it.
    pub published: &'static [Figure],
    /// Classes that it is counted with.
    pub num_classes: usize,
    /// Its settings, as an experiment states them.
    pub config: NetworkConfig,
}

/// A figure that a paper states.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// What it is, with its unit and where it was measured: `parameters, M`,
    /// `mIoU, Cityscapes val, %`.
    pub what: &'static str,
    /// Its value.
    pub value: f64,
}

const BPNET: &str =
    "Nie, Xue, Ren. Bidirectional Pyramid Networks for Semantic Segmentation. ACCV 2020";
const DEEPLABV3: &str = "Chen, Papandreou, Schroff, Adam. Rethinking Atrous Convolution for Semantic Image \
     Segmentation. 2017, arXiv:1706.05587";
const DEEPLABV3PLUS: &str = "Chen, Zhu, Papandreou, Schroff, Adam. Encoder-Decoder with Atrous Separable Convolution \
     for Semantic Image Segmentation. ECCV 2018, arXiv:1802.02611";
const PSPNET: &str =
    "Zhao, Shi, Qi, Wang, Jia. Pyramid Scene Parsing Network. CVPR 2017, arXiv:1612.01105";
const ESEG: &str = "Meng, Ghiasi, Mahjourian, Le, Tan. Revisiting Multi-Scale Feature Fusion for \
     Semantic Segmentation. 2022, arXiv:2203.12683";
const NNUNET: &str = "Isensee, Jaeger, Kohl, Petersen, Maier-Hein. nnU-Net. Nature Methods 2021, \
                      arXiv:1904.08128";
const UNET: &str = "Ronneberger, Fischer, Brox. U-Net. MICCAI 2015, arXiv:1505.04597";

/// The published forms of the networks, family by family.
pub fn catalogue() -> Vec<NetworkEntry> {
    let mut entries = Vec::new();
    entries.extend(bpnet());
    entries.extend(eseg());
    entries.extend(bilateral::bisenet_v1());
    entries.extend(bilateral::bisenet_v2());
    entries.extend(bilateral::stdc());
    entries.extend(deeplab());
    entries.extend(pspnet());
    entries.extend(nnunet());
    entries.extend(high_resolution::hrnet());
    entries.extend(high_resolution::specialize_fuse());
    entries.extend(unet());
    entries
}

/// `what` a paper states, in the order of its table.
const fn figure(what: &'static str, value: f64) -> Figure {
    Figure { what, value }
}

const BPNET_S3_W32: &[Figure] = &[
    figure("parameters, M", 5.1),
    figure("MACs at 1024x2048, G", 74.2),
    figure("mIoU, Cityscapes val, %", 77.2),
    figure("mIoU, CamVid test, %", 69.4),
];
const BPNET_S3: &[Figure] = &[
    figure("parameters, M", 11.8),
    figure("MACs at 1024x2048, G", 227.1),
    figure("mIoU, Cityscapes val, %", 78.3),
    figure("mIoU, CamVid test, %", 73.8),
];
const BPNET_S4: &[Figure] = &[
    figure("parameters, M", 40.5),
    figure("MACs at 1024x2048, G", 307.5),
    figure("mIoU, Cityscapes val, %", 80.3),
    figure("mIoU, Pascal Context, 59 classes, %", 52.7),
];

fn bpnet() -> Vec<NetworkEntry> {
    let entry = |name, published, stages, width| NetworkEntry {
        name,
        paper: BPNET,
        published,
        num_classes: 19,
        config: NetworkConfig::Bpnet(BpnetConfig { stages, width, ..BpnetConfig::default() }),
    };
    vec![
        entry("bpnet-s3-w32", BPNET_S3_W32, 3, 32),
        entry("bpnet-s3", BPNET_S3, 3, 48),
        entry("bpnet-s4", BPNET_S4, 4, 48),
    ]
}

const ESEG_LITE_S: &[Figure] =
    &[figure("MACs at 1024x2048, G", 17.0), figure("mIoU, Cityscapes val, %", 76.0)];
const ESEG_LITE_M: &[Figure] = &[figure("mIoU, Cityscapes val, %", 78.6)];
const ESEG_LITE_L: &[Figure] = &[figure("mIoU, Cityscapes val, %", 80.1)];
const ESEG_S: &[Figure] = &[
    figure("parameters, M", 6.9),
    figure("MACs at 1024x2048, G", 34.5),
    figure("mIoU, Cityscapes val, %", 80.1),
];
const ESEG_M: &[Figure] = &[
    figure("parameters, M", 20.0),
    figure("MACs at 1024x2048, G", 112.0),
    figure("mIoU, Cityscapes val, %", 81.6),
    figure("mIoU, ADE20K val, %", 46.0),
];
const ESEG_L: &[Figure] = &[
    figure("parameters, M", 70.5),
    figure("MACs at 1024x2048, G", 343.0),
    figure("mIoU, Cityscapes val, %", 82.6),
    figure("mIoU, ADE20K val, %", 48.2),
];

fn eseg() -> Vec<NetworkEntry> {
    let entry = |name, published, size| NetworkEntry {
        name,
        paper: ESEG,
        published,
        num_classes: 19,
        config: NetworkConfig::Eseg(EsegConfig::published(size)),
    };
    vec![
        entry("eseg-lite-s", ESEG_LITE_S, Size::LiteS),
        entry("eseg-lite-m", ESEG_LITE_M, Size::LiteM),
        entry("eseg-lite-l", ESEG_LITE_L, Size::LiteL),
        entry("eseg-s", ESEG_S, Size::S),
        entry("eseg-m", ESEG_M, Size::M),
        entry("eseg-l", ESEG_L, Size::L),
    ]
}

/// As a baseline in ESeg's paper.
const DEEPLABV3PLUS_R50: &[Figure] =
    &[figure("MACs at 1024x2048, G", 324.3), figure("mIoU, Cityscapes val, %", 77.8)];
/// As later papers quote it.
const PSPNET_R101: &[Figure] =
    &[figure("parameters, M", 65.9), figure("MACs at 1024x2048, G", 2017.6)];

fn deeplab() -> Vec<NetworkEntry> {
    let plus = |name, published, encoder| NetworkEntry {
        name,
        paper: DEEPLABV3PLUS,
        published,
        num_classes: 19,
        config: NetworkConfig::Deeplabv3plus(Deeplabv3plusConfig {
            encoder,
            ..Deeplabv3plusConfig::default()
        }),
    };
    vec![
        NetworkEntry {
            name: "deeplabv3-r50",
            paper: DEEPLABV3,
            published: &[],
            num_classes: 19,
            config: NetworkConfig::Deeplabv3(Deeplabv3Config::default()),
        },
        plus("deeplabv3plus-r50", DEEPLABV3PLUS_R50, EncoderKind::Resnet50),
        plus("deeplabv3plus-r101", &[], EncoderKind::Resnet101),
    ]
}

fn pspnet() -> Vec<NetworkEntry> {
    let entry = |name, published, encoder| NetworkEntry {
        name,
        paper: PSPNET,
        published,
        num_classes: 19,
        config: NetworkConfig::Pspnet(PspnetConfig { encoder, ..PspnetConfig::default() }),
    };
    vec![
        entry("pspnet-r50", &[], EncoderKind::Resnet50),
        entry("pspnet-r101", PSPNET_R101, EncoderKind::Resnet101),
    ]
}

fn nnunet() -> Vec<NetworkEntry> {
    vec![NetworkEntry {
        name: "nnunet-2d",
        paper: NNUNET,
        published: &[],
        num_classes: 19,
        config: NetworkConfig::Nnunet(NnunetConfig::default()),
    }]
}

fn unet() -> Vec<NetworkEntry> {
    vec![NetworkEntry {
        name: "unet",
        paper: UNET,
        published: &[],
        num_classes: 19,
        config: NetworkConfig::Unet(UnetConfig::default()),
    }]
}

impl NetworkEntry {
    /// Trainable parameters with three input channels: with the auxiliary heads, and those that
    /// reach the logits.
    pub fn parameters(&self) -> [usize; 2] {
        let network = self.config.init(3, self.num_classes, &Device::flex());
        [network.trainable_parameters(), network.inference_parameters()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_counts_what_the_papers_state() {
        let millions = |count: usize| (count as f64 / 1e4).round() / 100.0;
        let rounded: Vec<_> =
            catalogue().iter().map(|entry| (entry.name, millions(entry.parameters()[1]))).collect();
        let expected = [
            ("bpnet-s3-w32", 5.11),
            ("bpnet-s3", 11.48),
            ("bpnet-s4", 39.35),
            ("eseg-lite-s", 3.59),
            ("eseg-lite-m", 9.74),
            ("eseg-lite-l", 28.40),
            ("eseg-s", 6.86),
            ("eseg-m", 19.99),
            ("eseg-l", 70.50),
            ("bisenet-v1", 13.28),
            ("bisenet-v2", 3.36),
            ("bisenet-v2-l", 17.54),
            ("stdc1-seg", 8.28),
            ("stdc2-seg", 12.31),
            ("stdc1-cls", 8.44),
            ("stdc2-cls", 12.47),
            ("deeplabv3-r50", 39.64),
            ("deeplabv3plus-r50", 39.21),
            ("deeplabv3plus-r101", 58.20),
            ("pspnet-r50", 46.59),
            ("pspnet-r101", 65.58),
            ("nnunet-2d", 33.47),
            ("hrnet-w18", 9.64),
            ("hrnet-w32", 29.55),
            ("hrnet-w40", 45.89),
            ("hrnet-w48", 65.86),
            ("hrnet-w48-ocr", 70.37),
            ("anl-hrnet-w48", 69.64),
            ("ccnet-hrnet-w48", 77.09),
            ("snf-hrnet-w32", 52.05),
            ("snf-hrnet-w48", 88.25),
            ("unet", 31.04),
        ];
        assert_eq!(rounded, expected);
    }

    #[test]
    fn every_form_is_valid_and_has_a_name_of_its_own() {
        let entries = catalogue();
        for entry in &entries {
            entry.config.validate().unwrap();
        }
        let mut names: Vec<_> = entries.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), entries.len());
    }
}
