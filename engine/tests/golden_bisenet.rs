//! BiSeNetV1 and V2 against the community's code, and V2's Large form against a rebuild.
//!
//! Weights and inputs follow from their names (`synthetic_weights`). Outputs may be off by 1e-4 of
//! the largest magnitude; the references differ by up to 5e-6 from themselves in double precision.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

mod support;

use burn::module::Module;
use burn::tensor::Device;
use lamina_engine::losses::LossConfig;
use lamina_engine::networks::bisenet_v1::BisenetV1Config;
use lamina_engine::networks::bisenet_v2::BisenetV2Config;
use lamina_engine::networks::context_path::FusionAttention;
use lamina_engine::networks::{Architecture, Heads, Settings};
use lamina_engine::synthetic_weights::fill;
use lamina_engine::weights::{NameMap, trainable_parameters, values_by_name};
use support::network::{compare, image, inference, learn, observed, squares, target};
use support::{Golden, Gradients};

const TOLERANCE: f64 = 1e-4;

fn small() -> BisenetV2Config {
    BisenetV2Config {
        alpha: 0.125,
        head_channels: 16,
        booster_channels: 8,
        dropout: 0.0,
        ..BisenetV2Config::default()
    }
}

/// Trainable parameters in millions: of the training graph, and of those the ones that reach the
/// logits.
fn millions<M: Module + Architecture>(network: &M) -> [String; 2] {
    let training = trainable_parameters(network, |_| true);
    let inference = trainable_parameters(network, |path| !network.is_auxiliary(path));
    [training, inference].map(|count| format!("{:.3}", count as f64 / 1e6))
}

fn every_parameter_has_a_gradient<M: Module + Architecture>(network: M, names: NameMap) {
    let device = Device::flex().autodiff();
    let network = fill(network, &names, 1.0);
    let (output, _) = observed(&network, image([3, 1, 70, 65], &device));
    let Gradients { lengths, .. } = Gradients::of(&network, names, &squares(output));
    assert!(lengths.len() > 100);
    for (name, length) in lengths {
        let length = length.unwrap_or_else(|| panic!("no gradient in {name}"));
        assert!(length > 0.0 && length.is_finite(), "{name}: {length}");
    }
}

#[test]
fn v2_answers_as_the_community_s_code() {
    let config = BisenetV2Config::default();
    let golden = Golden::read("bisenet", "bisenetv2");
    let network = config.init(3, 19, &Device::flex());
    assert_eq!(millions(&network), ["5.231", "3.359"]);
    compare(&golden, network, &config.name_map(), TOLERANCE);
}

#[test]
fn v2_large_answers_as_its_rebuild() {
    let config = BisenetV2Config {
        alpha: 2.0,
        depth: 3,
        head_channels: 64,
        booster_channels: 16,
        ..BisenetV2Config::default()
    };
    config.validate().unwrap();
    let golden = Golden::read("bisenet", "ref_bisenetv2_l_small");
    compare(&golden, config.init(3, 5, &Device::flex()), &config.name_map(), TOLERANCE);
}

#[test]
fn v2_has_the_parameters_of_its_references() {
    let inference = |config: BisenetV2Config| {
        let [_, inference] = millions(&config.init(3, 19, &Device::flex()));
        inference
    };
    let base = BisenetV2Config::default();
    assert_eq!(inference(BisenetV2Config { head_channels: 128, ..base.clone() }), "2.308");
    let large = inference(BisenetV2Config { alpha: 2.0, depth: 3, ..base });
    assert_eq!(large[..5], *"17.54");
}

#[test]
fn v2_takes_any_size_any_channels_and_any_classes() {
    let device = Device::flex();
    for config in [
        small(),
        BisenetV2Config { depth: 2, ..small() },
        BisenetV2Config { lambda: 0.5, ..small() },
        BisenetV2Config { lambda: 1.0, alpha: 0.1, ..small() },
    ] {
        config.validate().unwrap();
        let network = config.init(1, 2, &device);
        for [height, width] in [[1, 1], [45, 71], [33, 64]] {
            let (output, _) = observed(&network, image([3, 1, height, width], &device));
            assert_eq!(output.auxiliary.len(), 4);
            for head in &output.auxiliary {
                assert_eq!(head.logits.dims(), [3, 2, height, width]);
                assert_eq!(head.weight, 1.0);
            }
            let alone = inference(&network, image([3, 1, height, width], &device));
            alone.into_data().assert_eq(&output.logits.into_data(), true);
        }
    }
}

#[test]
fn every_parameter_of_v2_has_a_gradient() {
    let device = Device::flex().autodiff();
    for config in [small(), BisenetV2Config { depth: 2, lambda: 0.5, ..small() }] {
        every_parameter_has_a_gradient(config.init(1, 2, &device), config.name_map());
    }
}

#[test]
fn v1_answers_as_the_community_s_code() {
    let config = BisenetV1Config::default();
    let golden = Golden::read("bisenet", "bisenetv1_r18");
    let network = config.init(3, 19, &Device::flex());
    assert_eq!(millions(&network), ["13.426", "13.276"]);
    compare(&golden, network, &config.name_map(), TOLERANCE);
}

/// Both ways to weigh the fused map's channels, in a small network.
fn small_v1() -> [BisenetV1Config; 2] {
    [FusionAttention::Norm, FusionAttention::Bottleneck]
        .map(|fusion| BisenetV1Config { base_channels: 4, fusion })
}

#[test]
fn v1_takes_any_size_any_channels_and_any_classes() {
    let device = Device::flex();
    for config in small_v1() {
        let network = config.init(1, 2, &device);
        for [height, width] in [[1, 1], [45, 71], [33, 64]] {
            let (output, _) = observed(&network, image([3, 1, height, width], &device));
            let names: Vec<_> = output.auxiliary.iter().map(|head| &head.name).collect();
            assert_eq!(names, ["aux16", "aux32"]);
            for head in &output.auxiliary {
                assert_eq!(head.logits.dims(), [3, 2, height, width]);
            }
            let alone = inference(&network, image([3, 1, height, width], &device));
            alone.into_data().assert_eq(&output.logits.into_data(), true);
        }
    }
}

#[test]
fn every_parameter_of_v1_has_a_gradient() {
    let device = Device::flex().autodiff();
    for config in small_v1() {
        every_parameter_has_a_gradient(config.init(1, 2, &device), config.name_map());
    }
}

#[test]
fn the_paper_s_fusion_of_v1_has_two_convolutions_and_no_norm() {
    let [_, paper] = small_v1();
    let values = values_by_name(&paper.init(1, 2, &Device::flex()), &paper.name_map());
    let attention: Vec<_> = values
        .iter()
        .filter(|(name, _)| name.starts_with("ffm.conv") && !name.starts_with("ffm.convblk"))
        .map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice()))
        .collect();
    let expected: [(&str, &[usize]); 2] =
        [("ffm.conv1.weight", &[64, 256, 1, 1]), ("ffm.conv2.weight", &[256, 64, 1, 1])];
    assert_eq!(attention, expected);
    assert!(!values.keys().any(|name| name.starts_with("ffm.bn.")));
}

#[test]
fn v1_learns_one_batch_by_heart() {
    let device = Device::flex().autodiff();
    let [config, _] = small_v1();
    let names = config.name_map();
    let network = fill(config.init(3, 3, &device), &names, 1.0);
    let target = target("labels", 3, 16, [2, 32, 48], &device);
    let left = learn(network, names, 30, 0.05, |network| {
        let output = network.run(image([2, 3, 32, 48], &device), Heads::All, &mut |_, _| {});
        LossConfig::default().forward(output, &target)
    });
    assert!(left < 0.4, "{left} of the loss is left");
}

#[test]
fn residual_layers_of_v2_start_as_their_shortcut() {
    let config = small();
    let names = config.name_map();
    let values = values_by_name(&config.init(3, 2, &Device::flex()), &names);
    let scales = values
        .iter()
        .filter(|(name, _)| name.starts_with("segment.S") && name.ends_with(".conv2.1.weight"));
    let scales: Vec<_> = scales.collect();
    assert_eq!(scales.len(), 8);
    for (name, scale) in scales {
        assert!(scale.values.iter().all(|value| *value == 0.0), "{name}");
    }
}

#[test]
fn v2_learns_one_batch_by_heart() {
    let device = Device::flex().autodiff();
    let config = small();
    let names = config.name_map();
    let network = fill(config.init(3, 3, &device), &names, 1.0);
    let target = target("labels", 3, 16, [2, 32, 48], &device);
    let left = learn(network, names, 60, 0.05, |network| {
        let output = network.run(image([2, 3, 32, 48], &device), Heads::All, &mut |_, _| {});
        LossConfig::default().forward(output, &target)
    });
    assert!(left < 0.5, "{left} of the loss is left");
}

#[test]
fn what_cannot_be_built_is_named_with_its_value_and_what_would_be_right() {
    let wrong = |config: BisenetV2Config| config.validate().unwrap_err().to_string();
    assert_eq!(
        wrong(BisenetV2Config { alpha: f64::NAN, ..small() }),
        "`alpha` is NaN, expected 0.03125 to 8"
    );
    assert_eq!(wrong(BisenetV2Config { depth: 0, ..small() }), "`depth` is 0, expected 1 to 16");
    assert_eq!(
        wrong(BisenetV2Config { lambda: 0.125, ..small() }),
        "`lambda` is 0.125, expected two channels or more in the stem at alpha 0.125"
    );
    assert_eq!(
        wrong(BisenetV2Config { booster_channels: 0, ..small() }),
        "`booster_channels` is 0, expected 1 to 8192"
    );
    assert_eq!(small().smallest_batch([512, 512]), 2);
    let error = BisenetV1Config { base_channels: 0, ..BisenetV1Config::default() }.validate();
    assert_eq!(error.unwrap_err().to_string(), "`base_channels` is 0, expected 1 to 512");
}
