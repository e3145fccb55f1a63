//! BPNet against its authors' code, and its variants against an independent implementation.
//!
//! Weights and inputs follow from their names (`synthetic_weights`); stored are the outputs, as
//! slices. The tolerance is a share of the largest magnitude: the references differ by up to 7e-6
//! from themselves in double precision, and another order of sums moves ours as much.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

mod support;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use lamina_engine::losses::cross_entropy::CrossEntropyConfig;
use lamina_engine::losses::ohem::OhemConfig;
use lamina_engine::losses::{LossConfig, Target};
use lamina_engine::networks::attention::{NonLocal, NonLocalConfig};
use lamina_engine::networks::bpnet::{
    Attention, Bpnet, BpnetConfig, Flow, Fusion, is_alias, reference_name,
};
use lamina_engine::networks::{Architecture, Heads, NetworkOutput, Settings};
use lamina_engine::synthetic_weights::{Labels, fill, input, unit};
use lamina_engine::weights::{
    NameMap, NamedTensor, Storage, decode_weights, encode_weights, trainable_parameters,
    values_by_name,
};
use serde_json::Value;
use support::{Golden, Gradients, manifest};

const NAMES: NameMap = NameMap { reference_name, is_alias };
const TOLERANCE: f64 = 5e-5;

/// What the authors' code builds.
fn released(stages: usize, width: usize) -> BpnetConfig {
    BpnetConfig { stages, width, attention: Attention::Released, ..BpnetConfig::default() }
}

/// The small network whose variants have references.
fn small() -> BpnetConfig {
    BpnetConfig { num_classes: 5, ..released(3, 16) }
}

fn image(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values = input("input", shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn all(network: &Bpnet, image: Tensor<4>) -> NetworkOutput {
    network.run(image, Heads::All, &mut |_, _| {})
}

fn inference(network: &Bpnet, image: Tensor<4>) -> Tensor<4> {
    network.run(image, Heads::Main, &mut |_, _| {}).logits
}

/// The auxiliary logits and the main ones.
fn maps_of(output: &NetworkOutput) -> Vec<&Tensor<4>> {
    output.auxiliary.iter().map(|head| &head.logits).chain([&output.logits]).collect()
}

/// Compares all outputs, taps and the parameter count of `config` with the reference `name`.
fn compare(name: &str, config: &BpnetConfig) {
    let device = Device::flex();
    let golden = Golden::read("bpnet", name);
    config.validate().unwrap();
    let network = golden.fill(config.init(&device), &NAMES);
    assert_eq!(
        trainable_parameters(&network, |_| true) as u64,
        golden.manifest["param_count"].as_u64().unwrap()
    );
    for case in golden.case_names() {
        let [image] = golden.inputs(case, &device).try_into().unwrap();
        let mut observed = Vec::new();
        let output = network.run(image.clone(), Heads::All, &mut |block, map| {
            observed.push((block.to_owned(), map.clone()));
        });
        let stored = golden.manifest["cases"][case].as_object().unwrap();
        assert_eq!(stored["outputs"].as_object().unwrap().len(), 1 + output.auxiliary.len());
        for (tap, spec) in stored["taps"].as_object().unwrap() {
            let module = spec["module"].as_str().unwrap();
            let block = module.trim_start_matches("backbone.");
            let (_, map) = observed.iter().find(|(name, _)| name == block).unwrap();
            // The stem is observed after its last ReLU, the reference before.
            let then = if block == "bn1" { |x: f32| x.max(0.0) } else { |x| x };
            if let Some(error) = golden.error_after(case, "taps", tap, map, then) {
                assert!(error < TOLERANCE, "{name} {case} {tap}: {error:e}");
            }
        }
        let mut outputs = output.into_named();
        outputs.push(("logits".to_owned(), inference(&network, image)));
        for (output, map) in outputs {
            let error = golden.error(case, "outputs", &output, &map).unwrap();
            assert!(error < TOLERANCE, "{name} {case} {output}: {error:e}");
        }
    }
}

#[test]
fn s3_w32_answers_as_the_authors_code() {
    compare("bpnet_s3_w32", &released(3, 32));
}

#[test]
fn s4_w48_answers_as_the_authors_code() {
    compare("bpnet_s4_w48", &released(4, 48));
}

#[test]
fn each_attention_answers_as_its_reference() {
    for (name, attention) in [
        ("none", Attention::None),
        ("pairwise", Attention::Pairwise),
        ("pairwise_unary", Attention::PairwiseUnary),
        ("pup", Attention::Pup),
    ] {
        let config = BpnetConfig { attention, ..small() };
        compare(&format!("ref_bpnet_s3_c16_attention-{name}"), &config);
    }
}

#[test]
fn each_flow_answers_as_its_reference() {
    for (name, flow) in [("base", Flow::Base), ("topdown", Flow::TopDown)] {
        let config = BpnetConfig { flow, ..small() };
        compare(&format!("ref_bpnet_s3_c16_flow-{name}"), &config);
    }
}

#[test]
fn each_fusion_answers_as_its_reference() {
    for (name, fusion) in
        [("add", Fusion::Add), ("ama_paper", Fusion::AmaPaper), ("mul", Fusion::Mul)]
    {
        let config = BpnetConfig { fusion, ..small() };
        compare(&format!("ref_bpnet_s3_c16_fusion-{name}"), &config);
    }
}

/// Names of a block in the attention's own code, which numbers its layers.
fn attention_name(path: &str, last_norm: &str) -> String {
    let (part, rest) = path.split_once('.').unwrap();
    match part {
        "fuse" => rest.replace("conv.", "conv_bn_dropout.0.").replace("bn.", last_norm),
        "w" => format!("stages.0.W.{rest}"),
        _ => {
            let rest = rest.replace("conv.", "0.").replace("bn.", "1.0.");
            format!("stages.0.{part}.{rest}")
        }
    }
}

fn compare_attention(name: &str, names: &NameMap, config: &NonLocalConfig) {
    let device = Device::flex();
    let golden = Golden::read("bpnet", name);
    let block: NonLocal = golden.fill(config.init(&device), names);
    for case in golden.case_names() {
        let inputs = golden.inputs(case, &device);
        let [low, high] = [inputs.first(), inputs.last()].map(|map| map.unwrap().clone());
        let context = block.context(low.clone(), high.clone());
        if let Some(error) = golden.error(case, "taps", "attn_W", &context) {
            assert!(error < TOLERANCE, "{name} {case} context: {error:e}");
        }
        let output = block.forward(low, high);
        let error = golden.error(case, "outputs", "out", &output).unwrap();
        assert!(error < TOLERANCE, "{name} {case}: {error:e}");
    }
}

#[test]
fn attention_of_a_map_to_itself_answers_as_its_authors_code() {
    let names = NameMap {
        reference_name: |path| attention_name(path, "conv_bn_dropout.1.0."),
        ..NameMap::SAME
    };
    let config = NonLocalConfig {
        low: 64,
        high: None,
        out: 64,
        key: 32,
        value: 32,
        dropout: 0.05,
        bias: true,
        last_relu: true,
    };
    compare_attention("ann_apnb", &names, &config);
}

#[test]
fn attention_of_one_map_to_another_answers_as_its_authors_code() {
    let names = NameMap {
        reference_name: |path| attention_name(path, "conv_bn_dropout.1."),
        ..NameMap::SAME
    };
    let config = NonLocalConfig {
        low: 32,
        high: Some(64),
        out: 64,
        key: 32,
        value: 48,
        dropout: 0.05,
        bias: true,
        last_relu: false,
    };
    compare_attention("ann_afnb", &names, &config);
}

/// Parameters in millions to three digits: of the training graph, and without auxiliary heads.
fn millions(config: &BpnetConfig) -> [String; 2] {
    let network = config.init(&Device::flex());
    let training = trainable_parameters(&network, |_| true);
    let inference = trainable_parameters(&network, |path| !network.is_auxiliary(path));
    [training, inference].map(|count| format!("{:.3}", count as f64 / 1e6))
}

#[test]
fn the_training_graph_has_as_many_parameters_as_the_authors_code() {
    for (config, expected) in
        [(released(3, 32), 5_464_092), (released(3, 48), 12_280_900), (released(4, 48), 40_176_935)]
    {
        let network = config.init(&Device::flex());
        assert_eq!(trainable_parameters(&network, |_| true), expected);
    }
    assert_eq!(millions(&released(3, 64)), ["21.821", "21.706"]);
    assert_eq!(millions(&released(4, 32)), ["17.866", "17.826"]);
}

#[test]
fn inference_has_the_parameters_of_the_paper_or_the_code() {
    for (stages, width, with_pup, as_released) in [
        (3, 32, "5.105", "5.434"), // the paper: 5.1
        (3, 48, "11.476", "12.216"),
        (4, 48, "39.350", "40.090"),
    ] {
        let config = released(stages, width);
        assert_eq!(millions(&config)[1], as_released);
        let attention = Attention::Pup;
        assert_eq!(millions(&BpnetConfig { attention, ..config })[1], with_pup);
    }
}

#[test]
fn each_variant_has_the_parameters_of_its_reference() {
    let base = || released(3, 48);
    let fusion = |fusion| BpnetConfig { fusion, ..base() };
    let flow = |flow| BpnetConfig { flow, ..base() };
    let attention = |attention| BpnetConfig { attention, ..base() };
    for (config, expected) in [
        (fusion(Fusion::AmaPaper), "13.463"),
        (fusion(Fusion::Add), "11.239"),
        (fusion(Fusion::Mul), "11.239"),
        (fusion(Fusion::Concat), "12.629"),
        (flow(Flow::Base), "10.865"),
        (flow(Flow::TopDown), "11.675"),
        (flow(Flow::BottomUp), "11.405"),
        (attention(Attention::None), "9.253"),
        (attention(Attention::Pairwise), "11.472"),
        (attention(Attention::UnaryPairwise), "11.476"),
        (attention(Attention::PairwiseUnary), "11.476"),
        (BpnetConfig { fusion: Fusion::AmaPaper, attention: Attention::Pup, ..base() }, "12.723"),
    ] {
        assert_eq!(millions(&config)[1], expected, "{config:?}");
    }
    // Those without stored outputs, exactly as the references count them.
    let count = |config: BpnetConfig| trainable_parameters(&config.init(&Device::flex()), |_| true);
    let flow = Flow::BottomUp;
    assert_eq!(count(BpnetConfig { flow, ..small() }), 1_279_196);
    let fusion = Fusion::Concat;
    assert_eq!(count(BpnetConfig { fusion, ..small() }), 1_415_260);
    let attention = Attention::UnaryPairwise;
    assert_eq!(count(BpnetConfig { attention, ..small() }), 1_286_812);
}

/// Every combination of a small network's switches.
fn variants() -> impl Iterator<Item = BpnetConfig> {
    let fusions = [Fusion::Ama, Fusion::AmaPaper, Fusion::Add, Fusion::Mul, Fusion::Concat];
    let flows = [Flow::Base, Flow::TopDown, Flow::BottomUp, Flow::Bidirectional];
    let attentions = [
        Attention::None,
        Attention::Pairwise,
        Attention::UnaryPairwise,
        Attention::PairwiseUnary,
        Attention::Pup,
        Attention::Released,
    ];
    let pairs = fusions
        .into_iter()
        .flat_map(move |fusion| flows.into_iter().map(move |flow| (fusion, flow)));
    pairs.flat_map(move |(fusion, flow)| {
        attentions.into_iter().map(move |attention| BpnetConfig {
            width: 4,
            in_channels: 1,
            num_classes: 2,
            fusion,
            flow,
            attention,
            ..BpnetConfig::default()
        })
    })
}

#[test]
fn every_variant_answers_at_an_odd_batch_and_an_odd_size() {
    let device = Device::flex();
    for config in variants() {
        let network = config.init(&device);
        let output = all(&network, image([3, 1, 45, 71], &device));
        let maps = config.output_weights().len();
        assert_eq!(output.auxiliary.len() + 1, maps, "{config:?}");
        for map in maps_of(&output) {
            assert_eq!(map.dims(), [3, 2, 45, 71], "{config:?}");
        }
        let inference = inference(&network, image([3, 1, 45, 71], &device));
        inference.into_data().assert_eq(&output.logits.into_data(), true);
    }
}

#[test]
fn the_smallest_image_has_thirteen_pixels_a_side() {
    let device = Device::flex();
    let config = BpnetConfig { width: 4, ..BpnetConfig::default() };
    assert_eq!(config.smallest_size(), 13);
    let network = config.init(&device);
    let logits = inference(&network, image([1, 3, 13, 13], &device));
    assert_eq!(logits.dims(), [1, 19, 13, 13]);
    let attention = Attention::None;
    let without = BpnetConfig { attention, ..config };
    let logits = inference(&without.init(&device), image([1, 3, 1, 2], &device));
    assert_eq!(logits.dims(), [1, 19, 1, 2]);
}

#[test]
#[should_panic(expected = "an image needs 13 pixels a side, this one is 12 x 64")]
fn a_smaller_image_is_refused() {
    let device = Device::flex();
    let network = small().init(&device);
    inference(&network, image([1, 3, 12, 64], &device));
}

#[test]
fn weights_go_through_a_file_unchanged() {
    let device = Device::flex();
    let before = fill(small().init(&device), &NAMES, 1.0);
    let bytes = encode_weights(&before, &NAMES, Storage::F32);
    let after = decode_weights(small().init(&device), &NAMES, &bytes, "weights".as_ref()).unwrap();
    assert_eq!(values_by_name(&before, &NAMES), values_by_name(&after, &NAMES));
}

#[test]
fn every_parameter_of_every_variant_has_a_gradient() {
    let device = Device::flex().autodiff();
    for config in variants() {
        let config = BpnetConfig { dropout: Some(0.0), attention_dropout: 0.0, ..config };
        let network = fill(config.init(&device), &NAMES, 1.0);
        let output = all(&network, image([2, 1, 33, 47], &device));
        let outputs = maps_of(&output).into_iter().cloned();
        let losses = outputs.map(|map| (map.clone() * map).sum());
        let loss = losses.reduce(|a, b| a + b).unwrap();
        let Gradients { lengths, .. } = Gradients::of(&network, NAMES, &loss);
        assert!(lengths.len() > 100, "{} parameters", lengths.len());
        for (name, length) in lengths {
            let length = length.unwrap_or_else(|| panic!("no gradient in {name}: {config:?}"));
            assert!(length.is_finite(), "{name} of {config:?}: {length}");
            // A bias before a norm moves nothing; what the attention adds to one is such a bias.
            let shifted = name.ends_with("f_value.bias") || name.ends_with("W.bias");
            assert!(length > 0.0 || shifted, "{name} of {config:?}");
        }
    }
}

#[test]
fn a_single_image_trains_although_its_coarsest_average_is_one_pixel() {
    let device = Device::flex().autodiff();
    let config = BpnetConfig { num_classes: 2, ..small() };
    let network = fill(config.init(&device), &NAMES, 1.0);
    let output = all(&network, image([1, 3, 16, 16], &device));
    let loss = (output.logits.clone() * output.logits).sum();
    let Gradients { lengths, .. } = Gradients::of(&network, NAMES, &loss);
    assert!(lengths.iter().flat_map(|(_, l)| l).all(|l| l.is_finite()));
    for (name, NamedTensor { values, .. }) in values_by_name(&network, &NAMES) {
        assert!(values.iter().all(|v| v.is_finite()), "{name}");
    }
}

/// A step of gradient descent without momentum; decays weights of layers only.
struct Step<'a> {
    gradients: &'a GradientsParams,
    rate: f64,
    decay: f64,
}

impl ModuleMapper for Step<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.get::<D>(param.id) else {
            return param;
        };
        let decay = if D > 1 { self.decay } else { 0.0 };
        param.map(|weight| {
            let inner = weight.without_autodiff();
            let moved = inner.clone() - (gradient + inner * decay) * self.rate;
            Tensor::from_inner(moved).require_grad()
        })
    }
}

/// The loss of each output, the logits' last, and their weighted sum.
fn losses(
    network: &Bpnet,
    image: Tensor<4>,
    target: &Target,
    loss: &LossConfig,
) -> (Vec<f64>, Tensor<1>) {
    let output = all(network, image);
    let maps = maps_of(&output).into_iter().cloned();
    let parts = maps.map(|map| loss.of_logits(map, target).into_scalar::<f64>()).collect();
    (parts, loss.forward(output, target))
}

/// What the authors' code was trained with, but for the Dice.
fn ohem() -> LossConfig {
    LossConfig::Ohem(OhemConfig::default())
}

/// The step that the authors' code was trained by: its numbers, settings and labels.
fn reference_step(device: &Device) -> (Value, BpnetConfig, Target) {
    let config = BpnetConfig { dropout: Some(0.0), attention_dropout: 0.0, ..released(3, 32) };
    let labels = Labels { num_classes: 19, ignored: 0.1, cell: 8 };
    let labels = labels.draw("train_labels", [4, 64, 64]);
    let target = Target::new(&labels, [4, 64, 64], 19, device);
    let reference = manifest("bpnet", "train_step_bpnet_s3_w32");
    (reference, config, target)
}

/// The image of the step with some pixels moved by one unit in the last place; at 0, as it is.
fn nudged(nudge: usize, device: &Device) -> Tensor<4> {
    let shape = [4, 3, 64, 64];
    let mut values = input("input", shape.iter().product());
    for (index, value) in values.iter_mut().enumerate() {
        if nudge > 0 && unit(&format!("nudge {nudge}"), index) < 0.5 {
            *value = value.next_up();
        }
    }
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Some ReLU always lies within rounding of zero, and on which side it falls moves gradients by up
/// to a percent, with these layers, with Burn's own and with the reference's in single precision.
/// So each gradient has to be right to a tenth of that for some image that rounding cannot tell
/// from the reference's.
#[test]
fn gradients_are_those_of_the_authors_code() {
    let device = Device::flex().autodiff();
    let (reference, config, target) = reference_step(&device);
    let expected = reference["grad_l2_f64"].as_object().unwrap();
    let largest = expected.values().map(number).fold(0.0, f64::max);
    let mut errors = BTreeMap::new();
    for nudge in 0..16 {
        let network = fill(config.init(&device), &NAMES, 1.0);
        let image = nudged(nudge, &device);
        let (_, total) = losses(&network, image, &target, &ohem());
        let Gradients { lengths, .. } = Gradients::of(&network, NAMES, &total);
        assert_eq!(lengths.len(), expected.len());
        for (name, length) in lengths {
            let expected = number(&expected[&name]);
            if expected > 1e-3 * largest {
                let error = (length.unwrap() - expected).abs() / expected;
                assert!(error < 2e-2, "{name} at nudge {nudge}: {error:e}");
                let least = errors.entry(name).or_insert(error);
                *least = error.min(*least);
            }
        }
        if errors.values().all(|error| *error < 1e-3) {
            return;
        }
    }
    errors.retain(|_, error| *error >= 1e-3);
    panic!("gradients that are never right: {errors:?}");
}

#[test]
fn one_step_of_training_moves_as_the_authors_code() {
    let device = Device::flex().autodiff();
    let (reference, config, target) = reference_step(&device);
    let network = fill(config.init(&device), &NAMES, 1.0);
    let image = nudged(0, &device);
    let (parts, total) = losses(&network, image.clone(), &target, &ohem());
    let expected = &reference["losses_f64"][0];
    for (index, part) in parts.iter().enumerate() {
        let expected = number(&expected["parts"][format!("out{index}")]);
        assert!((part - expected).abs() < 1e-5 * expected, "{index}: {part}");
    }
    let total_value: f64 = total.clone().into_scalar();
    let expected = number(&expected["total"]);
    assert!((total_value - expected).abs() < 1e-5 * expected);

    let Gradients { found, .. } = Gradients::of(&network, NAMES, &total);
    let moved = network.map(&mut Step { gradients: &found, rate: 0.01, decay: 5e-4 });
    let values = values_by_name(&moved, &NAMES);
    let sum = |name: &str| -> f64 { values[name].values.iter().map(|v| f64::from(*v)).sum() };
    for (name, expected) in reference["param_sum_after_step1_f64"].as_object().unwrap() {
        let error = (sum(name) - number(expected)).abs();
        // As far as gradients may be off, see above, all in the same direction.
        let count = values[name].values.len() as f64;
        let slack = 0.01 * 2e-2 * number(&reference["grad_l2_f64"][name]) * count.sqrt();
        assert!(error < slack + 1e-7 * count, "sum of {name} is off by {error:e}");
    }
    let running = &reference["bn_running_sum_after_step1_f64 [mean,var]"];
    for (norm, expected) in running.as_object().unwrap() {
        let channels = values[&format!("{norm}.weight")].values.len() as f64;
        for (index, statistic) in ["running_mean", "running_var"].into_iter().enumerate() {
            let error = (sum(&format!("{norm}.{statistic}")) - number(&expected[index])).abs();
            assert!(error < 1e-5 * channels, "{statistic} of {norm} is off by {error:e}");
        }
    }

    let (_, total) = losses(&moved, image, &target, &ohem());
    let expected = number(&reference["losses_f64"][1]["total"]);
    let error = (total.into_scalar::<f64>() - expected).abs() / expected;
    assert!(error < 5e-3, "loss of the second step: {error:e}");
}

#[test]
fn one_batch_is_learned_by_heart() {
    let device = Device::flex().autodiff();
    let config = BpnetConfig {
        width: 8,
        num_classes: 3,
        dropout: Some(0.0),
        attention_dropout: 0.0,
        ..BpnetConfig::default()
    };
    let labels = Labels { num_classes: 3, ignored: 0.0, cell: 16 };
    let labels = labels.draw("labels", [2, 32, 48]);
    let target = Target::new(&labels, [2, 32, 48], 3, &device);
    let mut network = fill(config.init(&device), &NAMES, 1.0);
    let loss = LossConfig::CrossEntropy(CrossEntropyConfig::default());
    let mut course = Vec::new();
    for _ in 0..100 {
        let image = image([2, 3, 32, 48], &device);
        let (parts, total) = losses(&network, image, &target, &loss);
        course.push(parts[parts.len() - 1]);
        let Gradients { found, .. } = Gradients::of(&network, NAMES, &total);
        network = network.map(&mut Step { gradients: &found, rate: 0.1, decay: 0.0 });
    }
    assert!(course[99] < 0.2 * course[0], "from {} to {}", course[0], course[99]);
}
