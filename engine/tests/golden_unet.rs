//! U-Net against a rebuild in PyTorch, `tests/golden/unet/generate.py`.
//!
//! Weights and inputs follow from their names (`synthetic_weights`); stored are the outputs, computed
//! in double precision. The tolerance is a share of the largest magnitude: PyTorch's own answers in
//! single precision are up to 6e-7 away, and another order of sums moves ours as much.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

mod support;

use burn::tensor::{Device, Tensor, TensorData};
use lamina_engine::losses::{LossConfig, Target};
use lamina_engine::networks::unet::{Unet, UnetConfig};
use lamina_engine::networks::{Architecture, Heads, NetworkConfig};
use lamina_engine::synthetic_weights::{Labels, fill, input};
use lamina_engine::training::Sgd;
use lamina_engine::weights::{NameMap, trainable_parameters, values_by_name};
use serde_json::Value;
use support::{Golden, Gradients, manifest};

const TOLERANCE: f64 = 1e-5;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn image(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values = input("input", shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn logits(network: &Unet, image: Tensor<4>) -> Tensor<4> {
    network.run(image, Heads::Main, &mut |_, _| {}).logits
}

fn loss_of(network: &Unet, image: Tensor<4>, target: &Target) -> Tensor<1> {
    let output = network.run(image, Heads::All, &mut |_, _| {});
    LossConfig::DiceCrossEntropy.forward(output, target)
}

/// Squares of four pixels a side, a tenth of them ignored.
fn target(name: &str, [batch, _, height, width]: [usize; 4], device: &Device) -> Target {
    let labels = Labels { num_classes: 3, ignored: 0.1, cell: 4 };
    let shape = [batch, height, width];
    Target::new(&labels.draw(name, shape), shape, 3, device)
}

fn compare(name: &str) {
    let device = Device::flex();
    let golden = Golden::read("unet", name);
    let setting = |key: &str| golden.manifest["settings"][key].as_u64().unwrap() as usize;
    let config = UnetConfig { base_channels: setting("base_channels"), depth: setting("depth") };
    let fresh = config.init(setting("in_channels"), setting("num_classes"), &device);
    let network = golden.fill(fresh, &NameMap::SAME);
    let count = trainable_parameters(&network, |_| true);
    assert_eq!(count as u64, golden.manifest["param_count"].as_u64().unwrap());
    for case in golden.case_names() {
        let [image] = golden.inputs(case, &device).try_into().unwrap();
        let error = golden.error(case, "outputs", "logits", &logits(&network, image)).unwrap();
        assert!(error < TOLERANCE, "{name} {case}: {error:e}");
    }
}

#[test]
fn four_levels_answer_as_the_rebuild() {
    compare("unet_c8_d4");
}

#[test]
fn three_levels_with_three_channels_answer_as_the_rebuild() {
    compare("unet_c16_d3");
}

#[test]
fn it_has_as_many_parameters_as_the_rebuild() {
    let counts = manifest("unet", "unet_training");
    let (_, counts) = counts["parameter_counts"].as_object().unwrap().iter().next().unwrap();
    let expected = [
        // The network of the paper, 31.04 million, for grayscale and for color.
        ([1, 2, 64, 5], 31_036_546),
        ([3, 2, 64, 5], 31_037_698),
        ([3, 3, 32, 4], 1_927_075),
        ([1, 2, 32, 4], 1_926_466),
    ];
    assert_eq!(*counts, serde_json::json!(expected));
    for ([in_channels, num_classes, base_channels, depth], expected) in expected {
        let config = NetworkConfig::Unet(UnetConfig { base_channels, depth });
        let network = config.init(in_channels, num_classes, &Device::flex());
        assert_eq!(network.trainable_parameters(), expected);
        assert_eq!(network.inference_parameters(), expected);
    }
    let NetworkConfig::Unet(paper) = &lamina_engine::networks::catalogue()
        .into_iter()
        .find(|entry| entry.name == "unet")
        .unwrap()
        .config
    else {
        panic!("the entry `unet` is a U-Net");
    };
    assert_eq!((paper.base_channels, paper.depth), (64, 5));
}

#[test]
fn every_parameter_has_a_gradient() {
    let device = Device::flex().autodiff();
    for depth in [2, 4] {
        let network = UnetConfig { base_channels: 4, depth }.init(2, 3, &device);
        let network = fill(network, &NameMap::SAME, 1.0);
        let shape = [2, 2, 16, 24];
        let loss = loss_of(&network, image(shape, &device), &target("labels", shape, &device));
        let Gradients { lengths, .. } = Gradients::of(&network, NameMap::SAME, &loss);
        assert_eq!(lengths.len(), 6 * depth + 8 * (depth - 1) + 2);
        for (name, length) in lengths {
            let length = length.unwrap_or_else(|| panic!("no gradient in {name}"));
            assert!(length.is_finite() && length > 0.0, "{name}: {length}");
        }
    }
}

/// Four steps of PyTorch's optimizer: loss, gradients, momentum, decay and running statistics.
fn train_as_the_rebuild(run: &str, nesterov: bool) {
    let device = Device::flex().autodiff();
    let reference = &manifest("unet", "unet_training")["steps"][run];
    let mut network =
        fill(UnetConfig { base_channels: 4, depth: 3 }.init(1, 3, &device), &NameMap::SAME, 1.0);
    let mut sgd = Sgd::new(0.9, nesterov, 0.01);
    let shape = [3, 1, 24, 16];
    let target = target("train_labels", shape, &device);
    for (step, expected) in reference["losses"].as_array().unwrap().iter().enumerate() {
        let loss = loss_of(&network, image(shape, &device), &target);
        let Gradients { found, lengths, .. } = Gradients::of(&network, NameMap::SAME, &loss);
        let value: f64 = loss.into_scalar();
        let error = (value - number(expected)).abs() / number(expected);
        assert!(error < TOLERANCE, "loss of step {step}: {error:e}");
        if step == 0 {
            for (name, length) in lengths {
                let expected = number(&reference["first_gradient_l2"][&name]);
                let error = (length.unwrap() - expected).abs() / expected;
                assert!(error < 1e-4, "gradient of {name}: {error:e}");
            }
        }
        network = sgd.step(0.1, network, found);
    }
    let expected = reference["l2_after"].as_object().unwrap();
    let values = values_by_name(&network, &NameMap::SAME);
    assert_eq!(values.len(), expected.len());
    for (name, tensor) in values {
        let length = tensor.values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let expected = number(&expected[&name]);
        let error = (length - expected).abs() / expected;
        assert!(error < 1e-4, "{name} after the steps: {error:e}");
    }
}

#[test]
fn it_trains_as_the_rebuild() {
    train_as_the_rebuild("plain", false);
}

#[test]
fn it_trains_with_nesterovs_momentum_as_the_rebuild() {
    train_as_the_rebuild("nesterov", true);
}

#[test]
fn an_odd_batch_and_an_image_that_is_not_square_keep_their_size() {
    let device = Device::flex();
    let network = UnetConfig { base_channels: 2, depth: 3 }.init(1, 4, &device);
    let logits = logits(&network, image([5, 1, 12, 20], &device));
    assert_eq!(logits.dims(), [5, 4, 12, 20]);
}

#[test]
#[should_panic(expected = "height 12 and width 18 have to be multiples of 4")]
fn a_size_that_cannot_be_halved_is_refused() {
    let device = Device::flex();
    let network = UnetConfig { base_channels: 2, depth: 3 }.init(1, 4, &device);
    logits(&network, image([1, 1, 12, 18], &device));
}

#[test]
fn one_batch_is_learned_by_heart() {
    let device = Device::flex().autodiff();
    let mut network =
        fill(UnetConfig { base_channels: 8, depth: 3 }.init(1, 3, &device), &NameMap::SAME, 1.0);
    let mut sgd = Sgd::new(0.9, false, 0.0);
    let shape = [3, 1, 32, 48];
    let target = target("labels", shape, &device);
    let mut course = Vec::new();
    for _ in 0..80 {
        let loss = loss_of(&network, image(shape, &device), &target);
        let Gradients { found, .. } = Gradients::of(&network, NameMap::SAME, &loss);
        course.push(loss.into_scalar::<f64>());
        network = sgd.step(0.1, network, found);
    }
    assert!(course[79] < 0.2 * course[0], "from {} to {}", course[0], course[79]);
}
