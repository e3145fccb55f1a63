//! Each loss, and its gradient, against the code that first had it.
//!
//! Logits and labels follow from their names (`synthetic_weights`); stored are the loss and its
//! gradient in every logit. The references are in single precision, so values may differ by a
//! few units of its last place, and gradients by the same of the largest, here 1e-6.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

mod support;

use burn::tensor::{Device, Tensor, TensorData};
use lamina_engine::losses::cross_entropy::CrossEntropyConfig;
use lamina_engine::losses::dice::{DiceConfig, GeneralizedDiceConfig, Ignored};
use lamina_engine::losses::lovasz::{
    Classes, LovaszHingeConfig, LovaszSoftmaxConfig, lovasz_hinge,
};
use lamina_engine::losses::ohem::{OhemConfig, OhemForm};
use lamina_engine::losses::{LossConfig, Target};
use lamina_engine::networks::blocks::resize;
use lamina_engine::synthetic_weights::{Labels, input};
use support::Golden;

const SIZE: [usize; 3] = [2, 8, 12];

fn device() -> Device {
    Device::flex().autodiff()
}

/// Four times the input called `name`.
fn logits(name: &str, shape: [usize; 4]) -> Tensor<4> {
    let values: Vec<f32> = input(name, shape.iter().product()).iter().map(|v| v * 4.0).collect();
    Tensor::from_data(TensorData::new(values, shape), &device()).require_grad()
}

/// The labels called `name`, which the reference stored as well.
fn target(golden: &Golden, name: &str) -> Target {
    let (num_classes, ignored, cell) = match name {
        "target" => (5, 0.1, 1),
        "target_blocks" => (5, 0.3, 4),
        "target3" => (3, 0.1, 1),
        "target_bin" => (2, 0.1, 1),
        _ => panic!("no labels {name}"),
    };
    let drawn = Labels { num_classes, ignored, cell }.draw(name, SIZE);
    assert_eq!(drawn.iter().map(|l| i32::from(*l)).collect::<Vec<_>>(), golden.integers(name));
    Target::new(&drawn, SIZE, if name == "target_bin" { 2 } else { 5 }, &device())
}

/// Compares value and gradient of a loss with the case `name`.
fn compare(golden: &Golden, name: &str, logits: &Tensor<4>, loss: &Tensor<1>) {
    let case = &golden.manifest["cases"][name];
    let gradient = logits.grad(&loss.backward()).unwrap().into_data();
    let value: f64 = loss.clone().into_scalar();
    let expected = case["value"].as_f64().unwrap();
    assert!((value - expected).abs() < 2e-6 * expected, "{name}: {value} for {expected}");
    let expected = golden.tensor(case["grad_tensor"].as_str().unwrap());
    assert_eq!(gradient.num_elements(), expected.len());
    for (ours, theirs) in gradient.iter::<f32>().zip(expected) {
        assert!((ours - theirs).abs() < 1e-6, "{name}: {ours} for {theirs}");
        // A pixel that does not count has no gradient at all.
        assert_eq!(ours == 0.0, *theirs == 0.0, "{name}: {ours} for {theirs}");
    }
}

/// Compares losses of the five-class logits, each with its case and labels.
fn compare_all(cases: &[(&str, &str, LossConfig)]) {
    let golden = Golden::read("losses", "losses");
    for (name, labels, loss) in cases {
        let logits = logits("logits", [2, 5, 8, 12]);
        loss.validate().unwrap();
        let value = loss.of_logits(logits.clone(), &target(&golden, labels));
        compare(&golden, name, &logits, &value);
    }
}

fn ohem(form: OhemForm, threshold: f64, min_kept: Option<usize>) -> LossConfig {
    let threshold = Some(threshold);
    LossConfig::Ohem(OhemConfig { threshold, min_kept, ..OhemConfig::of(form) })
}

#[test]
fn plain_cross_entropy_is_pytorchs() {
    let plain = LossConfig::CrossEntropy(CrossEntropyConfig::default());
    compare_all(&[("plain_ce", "target", plain)]);
}

#[test]
fn hard_pixels_count_as_in_the_code_of_bpnet() {
    let bpnet = |threshold, min_kept| ohem(OhemForm::Bpnet, threshold, Some(min_kept));
    compare_all(&[
        ("ohem_prob_t0.7_k10", "target", bpnet(0.7, 10)),
        ("ohem_prob_t0.7_k165", "target", bpnet(0.7, 165)),
        ("ohem_prob_t0.001_k40", "target", bpnet(0.001, 40)),
    ]);
}

#[test]
fn hard_pixels_count_as_in_the_code_of_bisenet() {
    compare_all(&[
        ("ohem_ce_t0.7", "target", ohem(OhemForm::Bisenet, 0.7, None)),
        ("ohem_ce_t0.001_topk", "target", ohem(OhemForm::Bisenet, 1e-7, None)),
    ]);
}

#[test]
fn hard_pixels_count_as_in_the_code_of_stdc() {
    compare_all(&[
        ("stdc_ohem_t0.7_n6", "target", ohem(OhemForm::Stdc, 0.7, Some(6))),
        ("stdc_ohem_t0.7_n165", "target", ohem(OhemForm::Stdc, 0.7, Some(165))),
    ]);
}

#[test]
fn hard_pixels_count_as_in_the_code_of_hrnet() {
    compare_all(&[
        ("hrnet_ohem_t0.9_k10", "target", ohem(OhemForm::Hrnet, 0.9, Some(10))),
        ("hrnet_ohem_t0.3_k150", "target", ohem(OhemForm::Hrnet, 0.3, Some(150))),
    ]);
    let golden = Golden::read("losses", "losses");
    let logits = logits("logits_low", [2, 5, 4, 6]);
    let loss = ohem(OhemForm::Hrnet, 0.9, Some(10));
    let loss = loss.of_logits(resize(logits.clone(), [8, 12]), &target(&golden, "target"));
    compare(&golden, "hrnet_ohem_upsampled", &logits, &loss);
}

#[test]
fn dice_of_many_classes_is_that_of_the_code_of_bpnet() {
    let dice =
        |ignored| LossConfig::Dice(DiceConfig { background: true, per_image: true, ignored });
    compare_all(&[
        ("dice_multiclass_noignore", "target_blocks", dice(Ignored::OfNoClass)),
        ("dice_multiclass_ignore255", "target_blocks", dice(Ignored::Background)),
    ]);
}

#[test]
fn generalized_dice_is_that_of_the_code_of_bpnet() {
    let config = GeneralizedDiceConfig { ignored: Ignored::OfNoClass };
    let loss = LossConfig::GeneralizedDice(config);
    compare_all(&[("generalized_dice", "target_blocks", loss)]);
}

#[test]
fn lovasz_losses_are_those_of_their_authors_code() {
    let softmax =
        |classes, per_image| LossConfig::LovaszSoftmax(LovaszSoftmaxConfig { classes, per_image });
    compare_all(&[
        ("lovasz_softmax_present_all_pixels", "target3", softmax(Classes::Present, false)),
        ("lovasz_softmax_all_classes", "target3", softmax(Classes::All, false)),
        ("lovasz_softmax_per_image", "target3", softmax(Classes::Present, true)),
    ]);
    let golden = Golden::read("losses", "losses");
    let margin = logits("logits_bin", [2, 1, 8, 12]);
    let binary = target(&golden, "target_bin");
    let loss = lovasz_hinge(margin.clone(), &binary, &LovaszHingeConfig::default());
    compare(&golden, "lovasz_hinge_per_image", &margin, &loss);

    // The margin of two classes is the difference of their logits.
    let config = LossConfig::LovaszHinge(LovaszHingeConfig::default());
    let logits = Tensor::cat(vec![margin.clone().mul_scalar(-0.25), margin.mul_scalar(0.75)], 1);
    let of_two: f64 = config.of_logits(logits, &binary).into_scalar();
    assert!((of_two - loss.into_scalar::<f64>()).abs() < 1e-6);
}
