//! DeepLabV3 against torchvision's; DeepLabV3+ and PSPNet against a rebuild in PyTorch.
//!
//! Weights and inputs follow from their names (`synthetic_weights`); stored are the outputs, as
//! slices. The tolerance is a share of the largest magnitude: torchvision differs by up to 1e-6
//! from itself in double precision, and another order of sums moves ours as much.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

#[path = "support/descend.rs"]
mod descend;
mod support;

use burn::tensor::{Device, Tensor, TensorData};
use descend::losses_by_heart;
use lamina_engine::graph::Graph;
use lamina_engine::networks::deeplab::{Deeplabv3Config, Deeplabv3plusConfig};
use lamina_engine::networks::encoder::EncoderKind;
use lamina_engine::networks::pspnet::PspnetConfig;
use lamina_engine::networks::{Heads, Network, NetworkConfig};
use lamina_engine::synthetic_weights::{fill, input};
use lamina_engine::weights::{Storage, decode_weights, encode_weights, values_by_name};
use support::{Golden, Gradients};

const TOLERANCE: f64 = 2e-5;

fn image(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values = input("input", shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Compares all outputs, taps and the parameter count of `config` with the reference `name`.
fn compare(name: &str, config: &NetworkConfig, num_classes: usize) {
    let device = Device::flex();
    let golden = Golden::read("deeplab", name);
    config.validate().unwrap();
    let network = golden.fill(config.init(3, num_classes, &device), &config.name_map());
    assert_eq!(
        network.trainable_parameters() as u64,
        golden.manifest["param_count"].as_u64().unwrap()
    );
    for case in golden.case_names() {
        let [image] = golden.inputs(case, &device).try_into().unwrap();
        let mut taps = Vec::new();
        let output = network.architecture().run(image.clone(), Heads::All, &mut |name, map| {
            taps.push((name.to_owned(), map.clone()));
        });
        let mut outputs = output.into_named();
        let stored = &golden.manifest["cases"][case];
        assert_eq!(outputs.len(), stored["outputs"].as_object().unwrap().len());
        outputs.push(("logits".to_owned(), network.forward(image)));
        for (output, map) in &outputs {
            let error = golden.error(case, "outputs", output, map).unwrap();
            assert!(error < TOLERANCE, "{name} {case} {output}: {error:e}");
        }
        for tap in stored["taps"].as_object().unwrap().keys() {
            let (_, map) = taps.iter().find(|(name, _)| name == tap).unwrap();
            if let Some(error) = golden.error(case, "taps", tap, map) {
                assert!(error < TOLERANCE, "{name} {case} {tap}: {error:e}");
            }
        }
    }
}

#[test]
fn deeplabv3_answers_as_torchvisions() {
    let config = NetworkConfig::Deeplabv3(Deeplabv3Config::default());
    compare("torchvision_deeplabv3_r50", &config, 21);
}

/// As narrow as the rebuild.
fn plus(output_stride: usize, separable_aspp: bool) -> Deeplabv3plusConfig {
    Deeplabv3plusConfig {
        width: 0.125,
        output_stride,
        channels: 32,
        low_level_channels: 6,
        separable_aspp,
        ..Deeplabv3plusConfig::default()
    }
}

fn psp() -> PspnetConfig {
    PspnetConfig { width: 0.125, channels: 64, ..PspnetConfig::default() }
}

#[test]
fn deeplabv3plus_answers_as_the_rebuild() {
    let config = NetworkConfig::Deeplabv3plus(plus(16, false));
    compare("deeplabv3plus_r50_os16", &config, 5);
    let config = NetworkConfig::Deeplabv3plus(plus(32, true));
    compare("deeplabv3plus_r50_os32", &config, 5);
}

#[test]
fn deeplabv3plus_on_a_dilated_efficientnet_answers_as_the_rebuild() {
    let config = Deeplabv3plusConfig {
        encoder: EncoderKind::Efficientnet,
        width: 0.5,
        depth: 0.5,
        ..plus(16, false)
    };
    compare("deeplabv3plus_efficientnet_os16", &NetworkConfig::Deeplabv3plus(config), 5);
}

#[test]
fn pspnet_answers_as_the_rebuild() {
    compare("pspnet_r50", &NetworkConfig::Pspnet(psp()), 5);
}

/// Training and inference parameters in millions, and multiply-accumulates at 1024x2048 in
/// billions.
fn costs(config: &NetworkConfig) -> [String; 3] {
    let network = config.init(3, 19, &Device::flex());
    let millions = |count: usize| format!("{:.3}", count as f64 / 1e6);
    let [training, inference] = [network.trainable_parameters(), network.inference_parameters()];
    let graph = Graph::outline(network, [1, 3, 1024, 2048], Heads::Main).unwrap();
    let macs = graph.costs().macs as f64 / 1e9;
    [millions(training), millions(inference), format!("{macs:.2}")]
}

#[test]
fn published_sizes_cost_what_their_references_do() {
    let plus = |encoder| {
        NetworkConfig::Deeplabv3plus(Deeplabv3plusConfig { encoder, ..Default::default() })
    };
    let psp = |encoder| NetworkConfig::Pspnet(PspnetConfig { encoder, ..Default::default() });
    for (config, expected) in [
        (NetworkConfig::Deeplabv3(Deeplabv3Config::default()), ["42.003", "39.638", "1308.61"]),
        (plus(EncoderKind::Resnet50), ["39.210", "39.210", "404.05"]),
        (plus(EncoderKind::Resnet101), ["58.202", "58.202", "559.21"]),
        (psp(EncoderKind::Resnet50), ["48.956", "46.592", "1416.20"]),
        (psp(EncoderKind::Resnet101), ["67.948", "65.584", "2036.82"]),
    ] {
        assert_eq!(costs(&config), expected, "{config:?}");
    }
}

/// In billions of multiply-accumulates, to one digit as they were measured.
#[test]
fn the_baselines_of_eseg_multiply_as_often_as_their_references() {
    let b1 = Deeplabv3plusConfig {
        encoder: EncoderKind::Efficientnet,
        depth: 1.1,
        ..Deeplabv3plusConfig::default()
    };
    let r50 = Deeplabv3plusConfig::default();
    for (config, output_stride, separable_aspp, expected) in [
        (&b1, 32, false, 48.5),
        (&b1, 16, false, 88.4),
        (&r50, 32, false, 223.3),
        (&r50, 16, false, 404.1),
        (&r50, 16, true, 301.4),
    ] {
        let config = Deeplabv3plusConfig { output_stride, separable_aspp, ..config.clone() };
        let [_, _, macs] = costs(&NetworkConfig::Deeplabv3plus(config.clone()));
        let error = macs.parse::<f64>().unwrap() - expected;
        assert!(error.abs() <= 0.06, "{macs} of {config:?}");
    }
}

/// Small networks of every kind and encoder.
fn variants() -> Vec<NetworkConfig> {
    let mut variants = Vec::new();
    for encoder in [
        EncoderKind::Resnet18,
        EncoderKind::Resnet50,
        EncoderKind::Efficientnet,
        EncoderKind::EfficientnetLite,
    ] {
        let strides: &[usize] = match encoder {
            EncoderKind::Resnet50 => &[8, 16, 32],
            EncoderKind::Resnet18 => &[32],
            _ => &[16, 32],
        };
        for &output_stride in strides {
            let [width, depth, channels] = [0.1, 0.1, 8.0];
            let channels = channels as usize;
            variants.extend([
                NetworkConfig::Deeplabv3(Deeplabv3Config {
                    encoder,
                    width,
                    depth,
                    output_stride,
                    channels,
                    dropout: 0.0,
                    ..Deeplabv3Config::default()
                }),
                NetworkConfig::Deeplabv3plus(Deeplabv3plusConfig {
                    encoder,
                    width,
                    depth,
                    output_stride,
                    channels,
                    separable_aspp: output_stride == 32,
                    dropout: 0.0,
                    ..Deeplabv3plusConfig::default()
                }),
                NetworkConfig::Pspnet(PspnetConfig {
                    encoder,
                    width,
                    depth,
                    output_stride,
                    channels,
                    dropout: 0.0,
                    ..PspnetConfig::default()
                }),
            ]);
        }
    }
    variants
}

#[test]
fn every_variant_answers_at_an_odd_batch_and_any_size() {
    let device = Device::flex();
    for config in variants() {
        config.validate().unwrap();
        let network = config.init(1, 2, &device);
        for [height, width] in [[1, 1], [45, 71], [66, 3]] {
            let input = image([3, 1, height, width], &device);
            let output = network.forward_training(input.clone());
            let logits = network.forward(input);
            logits.into_data().assert_eq(&output.logits.to_data(), true);
            for (name, map) in output.into_named() {
                assert_eq!(map.dims(), [3, 2, height, width], "{name} of {config:?}");
            }
        }
    }
}

#[test]
fn every_parameter_of_every_variant_has_a_gradient() {
    let device = Device::flex().autodiff();
    for config in variants() {
        let network = fill(config.init(1, 2, &device), &config.name_map(), 2.0_f64.sqrt());
        let output = network.forward_training(image([2, 1, 65, 47], &device));
        let heads = output.into_named().into_iter();
        let losses = heads.map(|(_, map)| (map.clone() * map).sum());
        let loss = losses.reduce(|a, b| a + b).unwrap();
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
    let size = [1, 24, 32];
    let rate = 0.05;
    let plus = Deeplabv3plusConfig { dropout: 0.0, ..plus(16, false) };
    let psp = PspnetConfig { dropout: 0.0, ..psp() };
    let v3 =
        Deeplabv3Config { width: 0.125, channels: 32, dropout: 0.0, ..Deeplabv3Config::default() };
    for losses in [
        losses_by_heart(v3.init(1, 2, &device), size, 30, rate),
        losses_by_heart(plus.init(1, 2, &device), size, 30, rate),
        losses_by_heart(psp.init(1, 2, &device), size, 30, rate),
    ] {
        assert!(losses[29] < 0.2 * losses[0], "{losses:?}");
    }
}

#[test]
fn what_only_training_needs_is_left_out_when_it_counts_for_nothing() {
    let device = Device::flex();
    let v3 = Deeplabv3Config { width: 0.1, auxiliary_weight: 0.0, ..Default::default() };
    let psp = PspnetConfig { width: 0.1, auxiliary_weight: 0.0, ..Default::default() };
    for config in [NetworkConfig::Deeplabv3(v3), NetworkConfig::Pspnet(psp)] {
        let network = config.init(1, 2, &device);
        assert_eq!(network.trainable_parameters(), network.inference_parameters());
        let output = network.forward_training(image([1, 1, 16, 16], &device));
        assert!(output.auxiliary.is_empty());
    }
}

#[test]
fn what_cannot_be_built_is_named_with_its_value_and_what_would_be_right() {
    let read = |text: &str| toml::from_str::<NetworkConfig>(text).unwrap();
    for (text, expected) in [
        ("[pspnet]\nchannels = 0", "network.pspnet.channels = 0: expected 1 to 4096"),
        ("[pspnet]\ndropout = 1.0", "network.pspnet.dropout = 1: expected at least 0 and below 1"),
        (
            "[pspnet]\nencoder = \"resnet18\"",
            "network.pspnet.output_stride = 8: expected 32 of this encoder",
        ),
        (
            "[deeplabv3]\nauxiliary_weight = -1.0",
            "network.deeplabv3.auxiliary_weight = -1: expected 0 to 1000",
        ),
        (
            "[deeplabv3plus]\noutput_stride = 4",
            "network.deeplabv3plus.output_stride = 4: expected 8, 16, 32 of this encoder",
        ),
        (
            "[deeplabv3plus]\nrates = [6, 0, 18]",
            "network.deeplabv3plus.rates = [6, 0, 18]: expected three of 1 to 1024 pixels",
        ),
        (
            "[deeplabv3plus]\nlow_level_channels = 0",
            "network.deeplabv3plus.low_level_channels = 0: expected 1 to 4096",
        ),
    ] {
        let error = read(text).validate().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = toml::from_str::<NetworkConfig>("[pspnet]\nlevels = 3").unwrap_err();
    assert!(error.message().contains("unknown field `levels`"), "{error}");
}

#[test]
fn weights_go_through_a_file_unchanged() {
    let device = Device::flex();
    for config in variants() {
        let names = config.name_map();
        let before: Network = fill(config.init(2, 3, &device), &names, 1.0);
        let bytes = encode_weights(&before, &names, Storage::F32);
        let after = config.init(2, 3, &device);
        let after = decode_weights(after, &names, &bytes, "weights".as_ref()).unwrap();
        assert_eq!(values_by_name(&before, &names), values_by_name(&after, &names));
    }
}
