//! HRNet with the heads on it, and Specialize-and-Fuse over it.

use super::{Figure, NetworkEntry, figure};
use crate::networks::NetworkConfig;
use crate::networks::hrnet::{HeadKind, HrnetConfig};
use crate::networks::specialize_fuse::SpecializeFuseConfig;

const HRNET: &str = "Wang, Sun, Cheng et al. Deep High-Resolution Representation Learning for \
                     Visual Recognition. TPAMI 2020, arXiv:1908.07919";
const OCR: &str = "Yuan, Chen, Wang. Object-Contextual Representations for Semantic Segmentation. \
                   ECCV 2020, arXiv:1909.11065";
const ANL: &str = "Zhu, Xu, Bai, Huang, Bai. Asymmetric Non-local Neural Networks for Semantic \
                   Segmentation. ICCV 2019, arXiv:1908.07678";
const CCNET: &str = "Huang, Wang, Huang, Huang, Wei, Liu. CCNet: Criss-Cross Attention for \
                     Semantic Segmentation. ICCV 2019, arXiv:1811.11721";

pub(super) fn hrnet() -> Vec<NetworkEntry> {
    const W40: &[Figure] = &[figure("parameters, M", 45.2), figure("MACs at 1024x2048, G", 493.2)];
    const W48: &[Figure] = &[
        figure("MACs at 1024x2048, G", 747.3),
        figure("mIoU, Cityscapes val, %", 80.9),
        figure("mIoU, ADE20K val, %", 43.1),
        figure("mIoU, ADE20K val, several scales, %", 44.2),
        figure("mIoU, COCO-Stuff-10K test, %", 36.2),
        figure("mIoU, COCO-Stuff-10K test, several scales, %", 37.9),
    ];
    const W48_OCR: &[Figure] = &[
        figure("mIoU, ADE20K val, several scales, %", 45.5),
        figure("mIoU, COCO-Stuff-10K test, several scales, %", 40.6),
    ];
    // As the paper of Specialize-and-Fuse found them.
    const W48_ANL: &[Figure] = &[
        figure("mIoU, ADE20K val, several scales, %", 45.23),
        figure("mIoU, COCO-Stuff-10K test, several scales, %", 40.6),
    ];
    const W48_CCNET: &[Figure] = &[
        figure("mIoU, ADE20K val, several scales, %", 45.65),
        figure("mIoU, COCO-Stuff-10K test, several scales, %", 39.8),
    ];
    let entry = |name, paper, published, num_classes, width, head| NetworkEntry {
        name,
        paper,
        published,
        num_classes,
        config: NetworkConfig::Hrnet(HrnetConfig { width, head, ..HrnetConfig::default() }),
    };
    vec![
        entry("hrnet-w18", HRNET, &[], 19, 18, HeadKind::Plain),
        entry("hrnet-w32", HRNET, &[], 19, 32, HeadKind::Plain),
        entry("hrnet-w40", HRNET, W40, 19, 40, HeadKind::Plain),
        entry("hrnet-w48", HRNET, W48, 19, 48, HeadKind::Plain),
        entry("hrnet-w48-ocr", OCR, W48_OCR, 19, 48, HeadKind::Ocr),
        entry("anl-hrnet-w48", ANL, W48_ANL, 150, 48, HeadKind::Anl),
        entry("ccnet-hrnet-w48", CCNET, W48_CCNET, 150, 48, HeadKind::Ccnet),
    ]
}

const SPECIALIZE_FUSE: &str = "Hsiao, Sun, Chen, Sun. Specialize and Fuse: Pyramidal Output \
                               Representation for Semantic Segmentation. ICCV 2021, \
                               arXiv:2108.01866";

pub(super) fn specialize_fuse() -> Vec<NetworkEntry> {
    const W32: &[Figure] = &[figure("mIoU, 4000 images of ADE20K train, %", 44.31)];
    const W48: &[Figure] = &[
        figure("mIoU, ADE20K val, several scales, %", 47.37),
        figure("mIoU, COCO-Stuff-10K test, several scales, %", 41.4),
    ];
    let entry = |name, published, width| NetworkEntry {
        name,
        paper: SPECIALIZE_FUSE,
        published,
        num_classes: 150,
        config: NetworkConfig::SpecializeFuse(SpecializeFuseConfig {
            width,
            ..SpecializeFuseConfig::default()
        }),
    };
    vec![entry("snf-hrnet-w32", W32, 32), entry("snf-hrnet-w48", W48, 48)]
}
