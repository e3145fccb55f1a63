//! BiSeNetV1, BiSeNetV2 and STDC.

use super::{Figure, NetworkEntry, figure};
use crate::networks::NetworkConfig;
use crate::networks::bisenet_v1::BisenetV1Config;
use crate::networks::bisenet_v2::BisenetV2Config;
use crate::networks::stdc::{Backbone, StdcClsConfig, StdcSegConfig};

const BISENET_V1: &str = "Yu, Wang, Peng, Gao, Yu, Sang. BiSeNet. ECCV 2018, arXiv:1808.00897";
const BISENET_V2: &str = "Yu, Gao, Wang, Yu, Shen, Sang. BiSeNet V2. IJCV 2021, arXiv:2004.02147";
const STDC: &str = "Fan, Lai, Huang, Wei, Chai, Luo, Wei. Rethinking BiSeNet For Real-time \
                    Semantic Segmentation (STDC). CVPR 2021, arXiv:2104.13188";

const V1: &[Figure] = &[
    figure("parameters, M", 13.4), // as BPNet's table 2 lists it, like the next
    figure("MACs at 1024x2048, G", 104.3),
    figure("mIoU, Cityscapes val, %", 74.8),
    figure("mIoU, Cityscapes test, %", 74.7),
    figure("images per second at 768x1536", 65.5),
];

pub(super) fn bisenet_v1() -> Vec<NetworkEntry> {
    vec![NetworkEntry {
        name: "bisenet-v1",
        paper: BISENET_V1,
        published: V1,
        num_classes: 19,
        config: NetworkConfig::BisenetV1(BisenetV1Config::default()),
    }]
}

const BASE: &[Figure] = &[
    figure("MACs at 512x1024, G", 21.15),
    figure("mIoU, Cityscapes val, %", 73.4),
    figure("mIoU, Cityscapes test, %", 72.6),
    figure("mIoU, CamVid test, %", 72.4),
    figure("images per second at 512x1024, GTX 1080 Ti", 156.0),
];
const LARGE: &[Figure] = &[
    figure("MACs at 512x1024, G", 118.5),
    figure("mIoU, Cityscapes val, %", 75.8),
    figure("mIoU, Cityscapes test, %", 75.3),
    figure("mIoU, CamVid test, %", 73.2),
    figure("images per second at 512x1024, GTX 1080 Ti", 47.3),
];

pub(super) fn bisenet_v2() -> Vec<NetworkEntry> {
    let entry = |name, published, config| NetworkEntry {
        name,
        paper: BISENET_V2,
        published,
        num_classes: 19,
        config: NetworkConfig::BisenetV2(config),
    };
    let base = BisenetV2Config::default();
    let large = BisenetV2Config { alpha: 2.0, depth: 3, ..base.clone() };
    vec![entry("bisenet-v2", BASE, base), entry("bisenet-v2-l", LARGE, large)]
}

const STDC1_SEG: &[Figure] = &[
    figure("mIoU, Cityscapes val, scale 0.5, %", 72.2),
    figure("mIoU, Cityscapes test, scale 0.5, %", 71.9),
    figure("mIoU, Cityscapes val, scale 0.75, %", 74.5),
    figure("mIoU, Cityscapes test, scale 0.75, %", 75.3),
    figure("images per second at 512x1024, GTX 1080 Ti", 250.4),
    figure("images per second at 768x1536, GTX 1080 Ti", 126.7),
];
const STDC2_SEG: &[Figure] = &[
    figure("mIoU, Cityscapes val, scale 0.5, %", 74.2),
    figure("mIoU, Cityscapes test, scale 0.5, %", 73.4),
    figure("mIoU, Cityscapes val, scale 0.75, %", 77.0),
    figure("mIoU, Cityscapes test, scale 0.75, %", 76.8),
    figure("images per second at 512x1024, GTX 1080 Ti", 188.6),
    figure("images per second at 768x1536, GTX 1080 Ti", 97.0),
];
const STDC1_CLS: &[Figure] = &[
    figure("parameters, M", 8.44),
    figure("MACs at 224x224, G", 0.813),
    figure("top-1 accuracy, ImageNet, %", 73.9),
];
const STDC2_CLS: &[Figure] = &[
    figure("parameters, M", 12.47),
    figure("MACs at 224x224, G", 1.446),
    figure("top-1 accuracy, ImageNet, %", 76.4),
];

pub(super) fn stdc() -> Vec<NetworkEntry> {
    let entry = |name, published, num_classes, config| NetworkEntry {
        name,
        paper: STDC,
        published,
        num_classes,
        config,
    };
    let segments = |name, published, backbone| {
        let config = StdcSegConfig { backbone, ..StdcSegConfig::default() };
        entry(name, published, 19, NetworkConfig::StdcSeg(config))
    };
    let classifies = |name, published, backbone| {
        let config = StdcClsConfig { backbone, ..StdcClsConfig::default() };
        entry(name, published, 1000, NetworkConfig::StdcCls(config))
    };
    vec![
        segments("stdc1-seg", STDC1_SEG, Backbone::Stdc1),
        segments("stdc2-seg", STDC2_SEG, Backbone::Stdc2),
        classifies("stdc1-cls", STDC1_CLS, Backbone::Stdc1),
        classifies("stdc2-cls", STDC2_CLS, Backbone::Stdc2),
    ]
}
