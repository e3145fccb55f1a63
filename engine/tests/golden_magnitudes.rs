//! References whose outputs are not stored, by the largest magnitude that they report.
//!
//! A weaker check than the other goldens: three digits of one number. It would still see a layer
//! that is missing, misplaced or misnamed, as weights follow from their names.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

use burn::tensor::{Device, Tensor, TensorData};
use lamina_engine::networks::bpnet::{Attention, BpnetConfig, Flow, Fusion};
use lamina_engine::networks::{Heads, NetworkConfig, catalogue};
use lamina_engine::synthetic_weights::{fill, input};

/// Compares the map `output` of `config` with the magnitude `expected`, in three digits.
fn compare(
    name: &str,
    config: &NetworkConfig,
    num_classes: usize,
    gain: f64,
    shape: [usize; 4],
    output: &str,
    expected: f64,
) {
    let device = Device::flex();
    let network = fill(config.init(3, num_classes, &device), &config.name_map(), gain);
    let values = input("input", shape.iter().product());
    let image = Tensor::from_data(TensorData::new(values, shape), &device);
    let mut map = None;
    let answer = network.architecture().run(image, Heads::Main, &mut |name, tensor| {
        if name == output {
            map = Some(tensor.clone());
        }
    });
    let map = if output == "logits" { answer.logits } else { map.unwrap() };
    let found: f32 = map.abs().max().into_scalar();
    // What is reported was rounded to three digits.
    let half = 0.5 * 10_f64.powf(expected.log10().floor() - 2.0);
    let difference = (f64::from(found) - expected).abs();
    assert!(difference <= 1.001 * half, "{name}: {found}, expected {expected}");
}

fn published(name: &str) -> NetworkConfig {
    catalogue().into_iter().find(|entry| entry.name == name).unwrap().config
}

const SMALL: [usize; 4] = [1, 3, 64, 128];
const SQRT_2: f64 = std::f64::consts::SQRT_2;

#[test]
fn variants_of_bpnet() {
    let small = |change: fn(&mut BpnetConfig)| {
        let mut config = BpnetConfig {
            stages: 3,
            width: 16,
            attention: Attention::Released,
            ..BpnetConfig::default()
        };
        change(&mut config);
        NetworkConfig::Bpnet(config)
    };
    let unary = small(|config| config.attention = Attention::UnaryPairwise);
    compare("attention-unary_pairwise", &unary, 5, 1.0, SMALL, "logits", 0.618);
    let flow = small(|config| config.flow = Flow::BottomUp);
    compare("flow-bottomup", &flow, 5, 1.0, SMALL, "logits", 0.478);
    let concat = small(|config| config.fusion = Fusion::Concat);
    compare("fusion-concat", &concat, 5, SQRT_2, SMALL, "logits", 211.0);
    let released = NetworkConfig::Bpnet(BpnetConfig {
        attention: Attention::Released,
        ..BpnetConfig::default()
    });
    compare("bpnet_s3_w48", &released, 19, 1.0, SMALL, "logits", 4.17);
}

#[test]
fn larger_forms() {
    for (name, classes, gain, shape, output, expected) in [
        ("bisenet-v2", 19, SQRT_2, SMALL, "logits", 13.1),
        ("eseg-lite-l", 19, SQRT_2, SMALL, "logits", 479.0),
        ("hrnet-w48", 19, 1.0, SMALL, "logits_quarter", 1.15e4),
        ("stdc2-seg", 19, SQRT_2, SMALL, "logits", 15.9),
        ("stdc2-cls", 1000, SQRT_2, [1, 3, 64, 64], "logits", 17.0),
    ] {
        compare(name, &published(name), classes, gain, shape, output, expected);
    }
}
