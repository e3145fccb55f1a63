//! ESeg against an independent implementation, its encoder against timm's and its pyramid against
//! EfficientDet's.
//!
//! Weights and inputs follow from their names (`synthetic_weights`); stored are the outputs, as
//! slices. The tolerance is a share of the largest magnitude: the references differ by up to 2e-6
//! from themselves in double precision, and another order of sums moves ours as much.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

#[path = "support/descend.rs"]
mod descend;
mod support;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use descend::losses_by_heart;
use lamina_engine::graph::Graph;
use lamina_engine::networks::efficientnet::{Efficientnet, EfficientnetConfig, Padding};
use lamina_engine::networks::encoder::EncoderKind;
use lamina_engine::networks::eseg::pyramid::{Cell, CellConfig, Extra};
use lamina_engine::networks::eseg::{Eseg, EsegConfig, ExtraLevels, Projection, Pyramid, Size};
use lamina_engine::networks::{Architecture, Heads, NetworkConfig, Settings};
use lamina_engine::synthetic_weights::{fill, input};
use lamina_engine::weights::{
    NameMap, Storage, decode_weights, encode_weights, trainable_parameters, values_by_name,
};
use support::{Golden, Gradients};

const TOLERANCE: f64 = 5e-5;

fn image(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values = input("input", shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Compares all outputs, taps and the parameter count of `config` with the reference `name`.
fn compare(name: &str, config: &EsegConfig, tolerance: f64) {
    let device = Device::flex();
    let golden = Golden::read("eseg", name);
    config.validate().unwrap();
    let network = golden.fill(config.init(3, 19, &device), &config.name_map());
    assert_eq!(
        trainable_parameters(&network, |_| true) as u64,
        golden.manifest["param_count"].as_u64().unwrap()
    );
    for case in golden.case_names() {
        let [image] = golden.inputs(case, &device).try_into().unwrap();
        let mut observed = Vec::new();
        let output = network.run(image, Heads::All, &mut |name, map| {
            observed.push((name.to_owned(), map.clone()));
        });
        assert!(output.auxiliary.is_empty());
        observed.push(("logits_full".to_owned(), output.logits));
        for kind in ["outputs", "taps"] {
            let stored = golden.manifest["cases"][case][kind].as_object().unwrap();
            for name in stored.keys() {
                let (_, map) = observed.iter().find(|(observed, _)| observed == name).unwrap();
                if let Some(error) = golden.error(case, kind, name, map) {
                    assert!(error < tolerance, "{config:?} {case} {name}: {error:e}");
                }
            }
        }
    }
}

#[test]
fn s_answers_as_its_reference() {
    compare("ref_eseg_s", &EsegConfig::published(Size::S), TOLERANCE);
}

#[test]
fn lite_forms_answer_as_their_references() {
    compare("ref_eseg_lite_s", &EsegConfig::published(Size::LiteS), TOLERANCE);
    compare("ref_eseg_lite_m", &EsegConfig::published(Size::LiteM), TOLERANCE);
}

/// Its logits hardly depend on the image, so that errors in the encoder would hardly be seen.
#[test]
fn l_answers_as_its_reference_to_the_last_digit_but_one() {
    compare("ref_eseg_l", &EsegConfig::published(Size::L), 1e-6);
}

#[test]
fn fewer_levels_answer_as_their_references() {
    for (name, top_level) in [("ref_eseg_s_p5", 5), ("ref_eseg_s_p7", 7)] {
        compare(name, &EsegConfig { top_level, ..EsegConfig::default() }, TOLERANCE);
    }
}

#[test]
fn a_plain_pyramid_answers_as_its_reference() {
    let config = EsegConfig { pyramid: Pyramid::Fpn, channels: Some(136), ..EsegConfig::default() };
    compare("ref_eseg_s_fpn", &config, TOLERANCE);
}

#[test]
fn each_form_has_the_parameters_of_its_reference() {
    for (size, expected) in [
        (Size::S, 6_860_547),
        (Size::M, 19_994_125),
        (Size::L, 70_496_247),
        (Size::LiteS, 3_591_927),
        (Size::LiteM, 9_739_740),
        (Size::LiteL, 28_399_537),
    ] {
        let network = EsegConfig::published(size).init(3, 19, &Device::flex());
        assert_eq!(trainable_parameters(&network, |_| true), expected, "{size:?}");
    }
}

/// Multiply-accumulates at 1024x2048 in billions, to two digits.
fn gmacs(config: &EsegConfig) -> String {
    let network = NetworkConfig::Eseg(config.clone()).init(3, 19, &Device::flex());
    let graph = Graph::outline(network, [1, 3, 1024, 2048], Heads::Main).unwrap();
    format!("{:.2}", graph.costs().macs as f64 / 1e9)
}

#[test]
fn each_form_and_ablation_multiplies_as_often_as_its_reference() {
    for (size, expected) in [
        (Size::LiteS, "17.81"),
        (Size::LiteM, "43.82"),
        (Size::LiteL, "117.54"),
        (Size::S, "33.84"),
        (Size::M, "110.33"),
        (Size::L, "339.77"),
    ] {
        assert_eq!(gmacs(&EsegConfig::published(size)), expected, "{size:?}");
    }
    let fpn = EsegConfig { pyramid: Pyramid::Fpn, channels: Some(136), ..EsegConfig::default() };
    let encoder = Some(EncoderKind::Resnet50);
    for (config, expected) in [
        (EsegConfig { top_level: 5, ..EsegConfig::default() }, "33.68"),
        (EsegConfig { top_level: 7, ..EsegConfig::default() }, "33.83"),
        (EsegConfig { top_level: 5, ..fpn.clone() }, "40.35"),
        (fpn, "40.43"),
        (EsegConfig { encoder, ..EsegConfig::default() }, "187.37"), // measured: 187.4
    ] {
        assert_eq!(gmacs(&config), expected, "{config:?}");
    }
}

/// timm's names of an encoder's weights: its blocks stand in stages, and batch norms are counted
/// from one where the first convolution is missing.
fn timm_name(path: &str) -> String {
    const REPEATS: [usize; 7] = [1, 2, 2, 3, 3, 4, 1];
    if let Some(rest) = path.strip_prefix("stem.") {
        return format!("conv_stem.{rest}");
    }
    if let Some(rest) = path.strip_prefix("stem_bn.") {
        return format!("bn1.{rest}");
    }
    let mut parts = path.splitn(4, '.');
    let [_, block, layer, rest] = std::array::from_fn(|_| parts.next().unwrap());
    let (mut stage, mut block) = (0, block.parse::<usize>().unwrap());
    while block >= REPEATS[stage] {
        block -= REPEATS[stage];
        stage += 1;
    }
    let expands = stage > 0;
    let (layer, rest) = match (layer, expands) {
        ("expand", _) | ("project", false) => ("conv_pw", rest.to_owned()),
        ("conv", _) => ("conv_dw", rest.to_owned()),
        ("project", true) => ("conv_pwl", rest.to_owned()),
        ("bn0", _) | ("bn1", false) => ("bn1", rest.to_owned()),
        ("bn1", true) | ("bn2", false) => ("bn2", rest.to_owned()),
        ("bn2", true) => ("bn3", rest.to_owned()),
        ("se", _) => ("se", format!("conv_{rest}")),
        _ => panic!("{path}"),
    };
    format!("blocks.{stage}.{block}.{layer}.{rest}")
}

#[test]
fn the_encoder_answers_as_timms() {
    let device = Device::flex();
    for (name, padding, epsilon) in [
        ("timm_efficientnet_b0_features", Padding::Symmetric, 1e-5),
        ("timm_tf_efficientnet_b0_features", Padding::Same, 1e-3),
    ] {
        let golden = Golden::read("eseg", name);
        let config = EfficientnetConfig { padding, epsilon, ..EfficientnetConfig::default() };
        let names = NameMap { reference_name: timm_name, is_alias: |_| false };
        let encoder: Efficientnet = golden.fill(config.init(3, &device), &names);
        for case in golden.case_names() {
            let [image] = golden.inputs(case, &device).try_into().unwrap();
            encoder.forward(image, &mut |map, values| {
                let kind = if map == "stem" { "taps" } else { "outputs" };
                if let Some(error) = golden.error(case, kind, map, values) {
                    assert!(error < TOLERANCE, "{name} {case} {map}: {error:e}");
                }
            });
        }
    }
}

/// The levels above the encoder's and two cells, as EfficientDet stacks them.
#[derive(Module, Debug)]
struct Bifpn {
    extra: Extra,
    cell: Vec<Cell>,
}

/// EfficientDet's names, over `LEVELS` levels of which the encoder gives `GIVEN`.
fn effdet_name<const LEVELS: usize, const GIVEN: usize>(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        ["extra", "project", layer, rest] => format!("resample.{GIVEN}.conv.{layer}.{rest}"),
        ["cell", cell, "nodes", node, "weights"] => {
            format!("cell.{cell}.fnode.{node}.combine.edge_weights")
        }
        ["cell", cell, "nodes", node, "conv", layer, rest] => {
            let layer = match *layer {
                "dw" => "conv_dw",
                "pw" => "conv_pw",
                other => other,
            };
            format!("cell.{cell}.fnode.{node}.after_combine.conv.{layer}.{rest}")
        }
        // Only the encoder's own maps are projected, and these come first at their level's nodes.
        ["cell", cell, "nodes", node, "projections", edge, layer, rest] => {
            assert!(*edge == "0" || *node == "0", "{path}");
            let number: usize = node.parse().unwrap();
            let down = LEVELS - 1;
            let level = if number < down { down - 1 - number } else { number - down + 1 };
            format!("cell.{cell}.fnode.{node}.combine.resample.{level}.conv.{layer}.{rest}")
        }
        _ => panic!("{path}"),
    }
}

#[test]
fn the_pyramid_with_projections_per_edge_answers_as_efficientdets() {
    let device = Device::flex();
    for (name, lowest, from, extra, channels, reference_name) in [
        (
            "effdet_bifpn_p2p9",
            2,
            vec![24, 40, 112, 320],
            4,
            48,
            effdet_name::<8, 4> as fn(&str) -> String,
        ),
        ("effdet_bifpn_p3p7", 3, vec![40, 112, 320], 2, 64, effdet_name::<5, 3>),
    ] {
        let golden = Golden::read("eseg", name);
        let cell = |from| CellConfig {
            pyramid: Pyramid::Bifpn,
            projection: Projection::PerEdge,
            from,
            channels,
            lite: false,
        };
        let levels = from.len() + extra;
        let mut first = from;
        first.resize(levels, channels);
        let kind = ExtraLevels::ProjectedMaxPool;
        let pyramid = Bifpn {
            extra: Extra::new(kind, extra, [320, channels], &device),
            cell: vec![cell(first).init(&device), cell(vec![channels; levels]).init(&device)],
        };
        let names = NameMap { reference_name, is_alias: |_| false };
        let pyramid = golden.fill(pyramid, &names);
        let maps = pyramid.extra.forward(golden.inputs("a", &device));
        let maps = pyramid.cell.iter().fold(maps, |maps, cell| cell.forward(maps));
        assert_eq!(maps.len(), levels);
        for (level, map) in maps.iter().enumerate() {
            let level = format!("p{}", level + lowest);
            let error = golden.error("a", "outputs", &level, map).unwrap();
            assert!(error < TOLERANCE, "{name} {level}: {error:e}");
        }
    }
}

/// Small networks of every encoder, pyramid, projection and kind of extra levels.
fn variants() -> impl Iterator<Item = EsegConfig> {
    let small = EsegConfig {
        width: Some(0.1),
        depth: Some(0.1),
        channels: Some(8),
        cells: Some(2),
        ..EsegConfig::default()
    };
    let encoders = [
        EncoderKind::Efficientnet,
        EncoderKind::EfficientnetLite,
        EncoderKind::Resnet18,
        EncoderKind::Resnet50,
    ];
    let pyramids = [Pyramid::Bifpn, Pyramid::Fpn];
    let extras = [ExtraLevels::AveragePool, ExtraLevels::ProjectedMaxPool];
    let projections = [Projection::Shared, Projection::PerEdge];
    let of = move |encoder, pyramid, extra_levels, projection| EsegConfig {
        encoder: Some(encoder),
        pyramid,
        extra_levels,
        projection,
        ..small.clone()
    };
    let all = encoders.into_iter().flat_map(move |encoder| {
        let of = of.clone();
        pyramids.into_iter().flat_map(move |pyramid| {
            let of = of.clone();
            extras.into_iter().flat_map(move |extra| {
                let of = of.clone();
                projections
                    .into_iter()
                    .map(move |projection| of(encoder, pyramid, extra, projection))
            })
        })
    });
    all.chain(
        [EsegConfig { lowest_level: Some(4), top_level: 5, ..EsegConfig::default() }].map(
            |config| EsegConfig { width: Some(0.1), channels: Some(8), cells: Some(1), ..config },
        ),
    )
}

fn logits(network: &Eseg, image: Tensor<4>) -> Tensor<4> {
    network.run(image, Heads::Main, &mut |_, _| {}).logits
}

#[test]
fn every_variant_answers_at_an_odd_batch_and_any_size() {
    let device = Device::flex();
    for config in variants() {
        config.validate().unwrap();
        let network = config.init(1, 2, &device);
        for [height, width] in [[1, 1], [45, 71], [130, 3]] {
            let logits = logits(&network, image([3, 1, height, width], &device));
            assert_eq!(logits.dims(), [3, 2, height, width], "{config:?}");
        }
    }
}

#[test]
fn every_parameter_of_every_variant_has_a_gradient() {
    let device = Device::flex().autodiff();
    for config in variants() {
        let network = fill(config.init(1, 2, &device), &config.name_map(), 2.0_f64.sqrt());
        // Two images, so that no batch norm sees a single value.
        let logits = logits(&network, image([2, 1, 33, 47], &device));
        let loss = (logits.clone() * logits).sum();
        let Gradients { lengths, .. } = Gradients::of(&network, config.name_map(), &loss);
        assert!(lengths.len() > 50, "{} parameters", lengths.len());
        for (name, length) in lengths {
            let length = length.unwrap_or_else(|| panic!("no gradient in {name}: {config:?}"));
            assert!(length.is_finite() && length > 0.0, "{name} of {config:?}: {length}");
        }
    }
}

#[test]
fn one_batch_is_learned_by_heart() {
    let device = Device::flex().autodiff();
    device.seed(5);
    let size = EsegConfig::published(Size::LiteS);
    let config = EsegConfig { channels: Some(16), ..size };
    let losses = losses_by_heart(config.init(1, 2, &device), [1, 24, 32], 30, 0.1);
    assert!(losses[29] < 0.2 * losses[0], "{losses:?}");
}

#[test]
fn weights_go_through_a_file_unchanged() {
    let device = Device::flex();
    for encoder in [EncoderKind::EfficientnetLite, EncoderKind::Resnet18] {
        let config = EsegConfig {
            encoder: Some(encoder),
            width: Some(0.1),
            channels: Some(8),
            ..EsegConfig::default()
        };
        let names = config.name_map();
        let before = fill(config.init(2, 3, &device), &names, 1.0);
        let bytes = encode_weights(&before, &names, Storage::F32);
        let after = config.init(2, 3, &device);
        let after = decode_weights(after, &names, &bytes, "weights".as_ref()).unwrap();
        assert_eq!(values_by_name(&before, &names), values_by_name(&after, &names));
    }
}
