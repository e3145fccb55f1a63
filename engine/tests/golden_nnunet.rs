//! nnU-Net's plain convolutional U-Net against its authors' code.
//!
//! Weights, inputs and labels follow from their names (`synthetic_weights`). The references are in
//! double precision; in single precision they differ from themselves by up to 1e-5 of the largest
//! magnitude, as channels of few pixels are normalized.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

mod support;

use burn::tensor::Device;
use lamina_engine::losses::LossConfig;
use lamina_engine::networks::nnunet::NnunetConfig;
use lamina_engine::networks::{Architecture, Heads, NetworkConfig, Settings};
use lamina_engine::synthetic_weights::fill;
use lamina_engine::weights::trainable_parameters;
use serde_json::Value;
use support::network::{
    StepTolerance, compare, compare_step, image, inference, learn, observed, squares, target,
};
use support::{Golden, Gradients, manifest};

const TOLERANCE: f64 = 1e-4;

fn small() -> NnunetConfig {
    NnunetConfig { stages: 4, base_channels: 4, max_channels: 8, ..NnunetConfig::default() }
}

/// The settings of a reference, channels and classes.
fn settings(manifest: &Value) -> (NnunetConfig, usize, usize) {
    let number = |key: &str| manifest["settings"][key].as_u64().unwrap() as usize;
    let config = NnunetConfig {
        stages: number("stages"),
        base_channels: number("base_channels"),
        max_channels: number("max_channels"),
        convs_per_stage: number("convs_per_stage"),
        ..NnunetConfig::default()
    };
    config.validate().unwrap();
    (config, number("in_channels"), number("num_classes"))
}

#[test]
fn each_network_answers_as_the_authors_code_at_every_level() {
    for name in ["nnunet_c8_s4", "nnunet_c4_s3_n3", "nnunet_2d"] {
        let golden = Golden::read("nnunet", name);
        let (config, in_channels, num_classes) = settings(&golden.manifest);
        let config = NnunetConfig { unsupervised_levels: 0, ..config };
        let network = config.init(in_channels, num_classes, &Device::flex());
        compare(&golden, network, &config.name_map(), TOLERANCE);
    }
}

#[test]
fn parameters_are_those_of_the_authors_code() {
    let reference = manifest("nnunet", "parameter_counts");
    for counts in reference["stages, training, inference"].as_array().unwrap() {
        let [stages, training, inference] =
            [0, 1, 2].map(|index| counts[index].as_u64().unwrap() as usize);
        let config = NnunetConfig { stages, ..NnunetConfig::default() };
        let network = config.init(3, 19, &Device::flex());
        assert_eq!(trainable_parameters(&network, |_| true), training);
        let reach = |path: &str| !network.is_auxiliary(path);
        assert_eq!(trainable_parameters(&network, reach), inference);
    }
}

#[test]
fn levels_weigh_half_of_the_one_above_and_the_lowest_nothing() {
    let device = Device::flex();
    let heads = |unsupervised_levels| {
        let config = NnunetConfig { stages: 5, unsupervised_levels, ..small() };
        let (output, _) = observed(&config.init(1, 2, &device), image([1, 1, 16, 32], &device));
        let heads = output.auxiliary.into_iter();
        heads.map(|head| (head.name, head.weight, head.logits.dims())).collect::<Vec<_>>()
    };
    let size = [1, 2, 16, 32];
    let aux = |level: i32| (format!("aux{level}"), 0.5_f64.powi(level), size);
    assert_eq!(heads(1), [aux(1), aux(2)]);
    assert_eq!(heads(2), [aux(1)]);
    assert_eq!(heads(9), []);
}

#[test]
fn odd_batches_and_sizes_up_to_a_single_pixel_at_the_bottom_pass() {
    let device = Device::flex();
    let network = small().init(2, 3, &device);
    for [height, width] in [[8, 8], [40, 72]] {
        let (output, _) = observed(&network, image([3, 2, height, width], &device));
        let alone = inference(&network, image([3, 2, height, width], &device));
        assert_eq!(alone.dims(), [3, 3, height, width]);
        alone.into_data().assert_eq(&output.logits.into_data(), true);
    }
    let config = NetworkConfig::Nnunet(small());
    assert_eq!([1, 8, 9].map(|size| config.padded(size)), [8, 8, 16]);
}

#[test]
#[should_panic(expected = "height 8 and width 12 have to be multiples of 8")]
fn a_size_that_was_not_padded_is_refused() {
    inference(&small().init(1, 2, &Device::flex()), image([1, 1, 8, 12], &Device::flex()));
}

#[test]
fn what_the_loss_looks_at_has_a_gradient() {
    let device = Device::flex().autodiff();
    let config = small();
    let names = config.name_map();
    let network = fill(config.init(1, 2, &device), &names, 1.0);
    let (output, _) = observed(&network, image([3, 1, 32, 48], &device));
    let Gradients { lengths, .. } = Gradients::of(&network, names, &squares(output));
    assert!(lengths.len() > 60);
    for (name, length) in lengths {
        let unsupervised = ["decoder.seg_layers.0.", "decoder.seg_layers.1."];
        let unused = unsupervised.iter().any(|unused| name.starts_with(unused));
        assert_eq!(length.is_none(), unused, "{name}");
        // The norm undoes the bias of the convolution before it.
        let shifted = name.ends_with("conv.bias");
        assert!(length.is_none_or(|l| l.is_finite() && (l > 0.0 || shifted)), "{name}");
    }
}

#[test]
fn one_step_of_training_moves_as_the_authors_code() {
    let device = Device::flex().autodiff();
    let reference = manifest("nnunet", "train_step_nnunet");
    let (config, in_channels, num_classes) = settings(&reference);
    let names = config.name_map();
    let network = fill(config.init(in_channels, num_classes, &device), &names, 1.0);
    let target = target("train_labels", num_classes, 4, [3, 64, 32], &device);
    let tolerance = StepTolerance { gradient: 1e-2, statistic: 0.0 };
    compare_step(&reference, network, names, &tolerance, |network| {
        let output = network.run(image([3, 1, 64, 32], &device), Heads::All, &mut |_, _| {});
        let loss = LossConfig::DiceCrossEntropy;
        let of = |logits: &_| loss.of_logits(Clone::clone(logits), &target).into_scalar();
        let parts = vec![("logits", of(&output.logits)), ("aux1", of(&output.auxiliary[0].logits))];
        (parts, loss.forward(output, &target))
    });
}

#[test]
fn one_batch_is_learned_by_heart() {
    let device = Device::flex().autodiff();
    let config = small();
    let names = config.name_map();
    let network = fill(config.init(3, 3, &device), &names, 1.0);
    let target = target("labels", 3, 16, [2, 32, 48], &device);
    let left = learn(network, names, 60, 0.1, |network| {
        let output = network.run(image([2, 3, 32, 48], &device), Heads::All, &mut |_, _| {});
        LossConfig::default().forward(output, &target)
    });
    assert!(left < 0.5, "{left} of the loss is left");
}

#[test]
fn what_cannot_be_built_is_named_with_its_value_and_what_would_be_right() {
    let wrong = |config: NnunetConfig| config.validate().unwrap_err().to_string();
    assert_eq!(wrong(NnunetConfig { stages: 1, ..small() }), "`stages` is 1, expected 2 to 10");
    assert_eq!(
        wrong(NnunetConfig { max_channels: 3, ..small() }),
        "`max_channels` is 3, expected 4 to 8192"
    );
    assert_eq!(
        wrong(NnunetConfig { convs_per_stage: 0, ..small() }),
        "`convs_per_stage` is 0, expected 1 to 8"
    );
    let text = toml::to_string(&NetworkConfig::Nnunet(small())).unwrap();
    assert!(text.contains("[nnunet_2d]"), "{text}");
}
