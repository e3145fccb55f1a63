//! Specialize-and-Fuse against a rebuild in PyTorch; its authors released no code.
//!
//! Weights and inputs follow from their names (`synthetic_weights`); stored are the outputs of the
//! head for the representation of a backbone, as slices. The tolerance is a share of the largest
//! magnitude: the rebuild differs by up to 7e-7 from itself in double precision, and another order of
//! sums moves ours as much.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

mod support;

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor, TensorData};
use lamina_engine::graph::Graph;
use lamina_engine::losses::pyramid::{PyramidLoss, PyramidTargets};
use lamina_engine::losses::{IGNORE_LABEL, LossConfig, Target};
use lamina_engine::networks::specialize_fuse::{
    Head, SemanticKind, SpecializeFuse, SpecializeFuseConfig, Supervision, reference_name,
};
use lamina_engine::networks::{
    Architecture, Heads, NetworkConfig, NetworkOutput, PyramidOutput, Settings, catalogue,
};
use lamina_engine::synthetic_weights::{Labels, fill, input};
use lamina_engine::training::Sgd;
use lamina_engine::weights::{
    NameMap, Storage, decode_weights, encode_weights, trainable_parameters, values_by_name,
};
use serde_json::Value;
use support::{Golden, Gradients};

const TOLERANCE: f64 = 1e-5;
const SUPERVISIONS: [Supervision; 5] = [
    Supervision::Plain,
    Supervision::Raw,
    Supervision::Gt,
    Supervision::Tp,
    Supervision::Auxiliary,
];
const SEMANTICS: [SemanticKind; 3] =
    [SemanticKind::Naive, SemanticKind::Apnb, SemanticKind::CoarseToFine];

/// Names of a head by itself.
const NAMES: NameMap =
    NameMap { reference_name: |path| reference_name(&format!("head.{path}")), ..NameMap::SAME };

/// The head that has references: of a representation of 24 channels, for five classes.
fn small_head(semantic_head: SemanticKind, device: &Device) -> Head {
    let config = SpecializeFuseConfig {
        semantic_head,
        semantic_channels: 16,
        key_channels: 16,
        unity_channels: 8,
        ..SpecializeFuseConfig::default()
    };
    Head::new(&config, 24, 5, device)
}

fn compare(name: &str, semantic_head: SemanticKind) {
    let device = Device::flex();
    let golden = Golden::read("specialize_fuse", name);
    let head = golden.fill(small_head(semantic_head, &device), &NAMES);
    assert_eq!(
        trainable_parameters(&head, |_| true) as u64,
        golden.manifest["param_count"].as_u64().unwrap()
    );
    for case in golden.case_names() {
        let [features] = golden.inputs(case, &device).try_into().unwrap();
        let mut observed = BTreeMap::new();
        head.forward(features, Heads::Main, &mut |part, map| {
            observed.insert(part.to_owned(), map.clone());
        });
        let stored = golden.manifest["cases"][case].as_object().unwrap();
        for kind in ["outputs", "taps"] {
            for (part, spec) in stored[kind].as_object().unwrap() {
                let ours = &observed[part];
                if spec["shape"].as_array().unwrap().len() == 3 {
                    compare_tokens(&golden, spec, ours);
                } else if let Some(error) = golden.error(case, kind, part, ours) {
                    assert!(error < TOLERANCE, "{name} {case} {part}: {error:e}");
                }
            }
        }
    }
}

/// Tokens, which are no map: the first channels are stored of the first image.
fn compare_tokens(golden: &Golden, spec: &Value, ours: &Tensor<4>) {
    let Some(stored) = spec["tensor"].as_str() else { return };
    assert_eq!(ours.dims(), [1, 16, 110, 1]);
    let ours: Vec<f32> = ours.clone().narrow(1, 0, 8).into_data().try_to_vec().unwrap();
    let theirs = golden.tensor(stored);
    assert_eq!(ours.len(), theirs.len());
    let largest = spec["abs_max"].as_f64().unwrap();
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!(f64::from((ours - theirs).abs()) < TOLERANCE * largest, "{ours} for {theirs}");
    }
}

#[test]
fn the_coarse_to_fine_head_answers_as_its_rebuild() {
    compare("ref_snf_c2f", SemanticKind::CoarseToFine);
}

#[test]
fn the_naive_head_answers_as_its_rebuild() {
    compare("ref_snf_naive", SemanticKind::Naive);
}

fn values(labels: &Tensor<3, Int>) -> Vec<i32> {
    labels.to_data().iter::<i32>().collect()
}

/// What the head answers for the example of the loss, and its labels.
fn example(device: &Device) -> (Golden, Head, PyramidOutput, Tensor<4>, Tensor<3, Int>) {
    let golden = Golden::read("specialize_fuse", "ref_snf_loss");
    let head = fill(small_head(SemanticKind::CoarseToFine, device), &NAMES, 2.0_f64.sqrt());
    let shape = [2, 24, 32, 16];
    let features = TensorData::new(input("input", shape.iter().product()), shape);
    let features = Tensor::<4>::from_data(features, device);
    let output = head.forward(features, Heads::All, &mut |_, _| {});
    let labels = TensorData::new(golden.integers("labels"), [2, 128, 64]);
    (golden, head, output.pyramid.unwrap(), output.fused, Tensor::from_data(labels, device))
}

#[test]
fn levels_learn_what_they_do_in_the_rebuild() {
    let device = Device::flex();
    let (golden, _, pyramid, fused, labels) = example(&device);
    let targets = PyramidTargets::new(&labels, 4);
    for (level, target) in targets.semantic.iter().enumerate() {
        assert_eq!(values(target), golden.integers(&format!("Y{}", level + 1)));
    }
    for (level, target) in targets.unity.iter().enumerate() {
        assert_eq!(values(target), golden.integers(&format!("U{}", level + 1)));
    }
    for (mode, supervision) in
        [("raw", Supervision::Raw), ("gt", Supervision::Gt), ("tp", Supervision::Tp)]
    {
        let pyramid = PyramidOutput { supervision, ..pyramid.clone() };
        let targets = PyramidTargets::of(&pyramid, &labels);
        let counts = |targets: &[Tensor<3, Int>]| -> Vec<usize> {
            let count = |target| {
                values(target).iter().filter(|value| **value != i32::from(IGNORE_LABEL)).count()
            };
            targets.iter().map(count).collect()
        };
        let expected = &golden.manifest[mode];
        assert_eq!(serde_json::json!(counts(&targets.semantic)), expected["valid_sem"], "{mode}");
        assert_eq!(serde_json::json!(counts(&targets.unity)), expected["valid_unity"], "{mode}");
        for (level, target) in targets.semantic.iter().enumerate() {
            assert_eq!(values(target), golden.integers(&format!("{mode}/Y{}", level + 1)));
        }
        let PyramidLoss { semantic, unity } = PyramidLoss::new(&pyramid, &labels);
        let total = PyramidLoss::forward(&pyramid, &labels);
        for (part, ours) in [("ce", semantic), ("bce", unity.unwrap()), ("loss", total)] {
            let (ours, theirs) = (ours.into_scalar::<f64>(), expected[part].as_f64().unwrap());
            assert!((ours - theirs).abs() < 1e-5 * theirs, "{part} of {mode}: {ours}");
        }
    }
    let classes: Vec<i32> = fused.argmax(1).into_data().iter::<i32>().collect();
    assert_eq!(classes, golden.integers("fused_argmax"));
}

#[test]
fn each_pixel_is_decided_by_the_level_of_the_rebuild() {
    let device = Device::flex();
    let (golden, _, pyramid, ..) = example(&device);
    // Levels that answer with their own number.
    let numbered = pyramid.semantic.iter().zip(1..).map(|(logits, level)| {
        let [batch, _, height, width] = logits.dims();
        Tensor::<4>::full([batch, 1, height, width], level, &device)
    });
    let numbered: Vec<_> = numbered.collect();
    let fused =
        lamina_engine::networks::specialize_fuse::unity::fuse(&numbered, &pyramid.unity, 0.5);
    let levels: Vec<i32> = fused.into_data().iter::<f32>().map(|level| level as i32).collect();
    assert_eq!(levels, golden.integers("fused_level"));
    let counts = [1, 2, 3, 4].map(|level| levels.iter().filter(|found| **found == level).count());
    assert_eq!(serde_json::json!(counts), golden.manifest["fused_level_counts"]);
}

fn config(width: usize, semantic: SemanticKind, supervision: Supervision) -> SpecializeFuseConfig {
    SpecializeFuseConfig {
        width,
        semantic_head: semantic,
        supervision,
        ..SpecializeFuseConfig::default()
    }
}

/// As thin as it can be told apart.
fn small(semantic: SemanticKind, supervision: Supervision) -> SpecializeFuseConfig {
    SpecializeFuseConfig {
        semantic_channels: 8,
        key_channels: 6,
        unity_channels: 4,
        ..config(3, semantic, supervision)
    }
}

fn variants() -> impl Iterator<Item = SpecializeFuseConfig> {
    SEMANTICS.into_iter().flat_map(|semantic| {
        SUPERVISIONS.into_iter().map(move |supervision| small(semantic, supervision))
    })
}

#[test]
fn it_has_as_many_parameters_as_the_rebuild() {
    let count = |config: &SpecializeFuseConfig| {
        let network = config.init(3, 150, &Device::flex());
        let training = trainable_parameters(&network, |_| true);
        let inference = trainable_parameters(&network, |path| !network.is_auxiliary(path));
        let head = trainable_parameters(&network, |path| network.is_head(path));
        [training, inference, head].map(|count| format!("{:.3}", count as f64 / 1e6))
    };
    let full = |width| count(&config(width, SemanticKind::CoarseToFine, Supervision::Tp));
    assert_eq!(full(32), ["52.049", "52.049", "22.743"]);
    assert_eq!(full(48), ["88.253", "88.253", "22.927"]);
    let entries = catalogue();
    for (name, width) in [("snf-hrnet-w32", 32), ("snf-hrnet-w48", 48)] {
        let entry = entries.iter().find(|entry| entry.name == name).unwrap();
        let config = config(width, SemanticKind::CoarseToFine, Supervision::Tp);
        assert_eq!(entry.config, NetworkConfig::SpecializeFuse(config));
        assert_eq!(entry.num_classes, 150);
    }
}

#[test]
fn multiply_accumulates_are_those_that_were_measured_on_the_rebuild() {
    for (width, expected) in [(32, "797.11"), (48, "1169.21")] {
        let config = config(width, SemanticKind::CoarseToFine, Supervision::Tp);
        let network = NetworkConfig::SpecializeFuse(config).init(3, 150, &Device::flex());
        let graph = Graph::outline(network, [1, 3, 1024, 2048], Heads::Main).unwrap();
        assert_eq!(format!("{:.2}", graph.costs().macs as f64 / 1e9), expected, "{width}");
    }
}

#[test]
fn no_variant_makes_a_tensor_that_nothing_reads() {
    for config in variants() {
        for heads in [Heads::Main, Heads::All] {
            let network = NetworkConfig::SpecializeFuse(config.clone());
            let network = network.init(1, 2, &Device::flex());
            let graph = Graph::outline(network, [1, 1, 50, 96], heads).unwrap();
            assert_eq!(graph.unused(), Vec::<String>::new(), "{config:?} {heads:?}");
        }
    }
}

fn image(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values = input("input", shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn run(network: &SpecializeFuse, image: Tensor<4>, heads: Heads) -> NetworkOutput {
    network.run(image, heads, &mut |_, _| {})
}

#[test]
fn every_variant_answers_at_an_odd_batch_and_at_any_size() {
    let device = Device::flex();
    for config in variants() {
        config.validate().unwrap();
        let network = config.init(1, 2, &device);
        for size in [[45, 71], [1, 1]] {
            let shape = [3, 1, size[0], size[1]];
            let output = run(&network, image(shape, &device), Heads::All);
            assert_eq!(output.logits.dims(), [3, 2, size[0], size[1]], "{config:?}");
            assert!(output.logits.to_data().iter::<f32>().all(f32::is_finite), "{config:?}");
            let levels = output.pyramid.map(|pyramid| {
                let size = |map: &Tensor<4>| [map.dims()[2], map.dims()[3]];
                let unity = pyramid.unity.iter().map(size).collect::<Vec<_>>();
                (pyramid.semantic.iter().map(size).collect::<Vec<_>>(), unity)
            });
            let finest = if size == [1, 1] { [8, 8] } else { [8, 16] };
            let levels_of = |count: usize| {
                (0..count).map(|level| finest.map(|size| size >> (3 - level))).collect::<Vec<_>>()
            };
            let expected = match config.supervision {
                Supervision::Plain => None,
                Supervision::Auxiliary => Some((levels_of(4), Vec::new())),
                _ => Some((levels_of(4), levels_of(3))),
            };
            assert_eq!(levels, expected, "{config:?}");
            let mut observed = Vec::new();
            let inference = network.run(image(shape, &device), Heads::Main, &mut |part, _| {
                observed.push(part.to_owned());
            });
            assert_eq!(inference.pyramid.is_some(), config.supervision.has_unity());
            inference.logits.into_data().assert_eq(&output.logits.into_data(), true);
            for name in config.output_names() {
                assert!(observed.iter().any(|part| part == name), "{name} of {config:?}");
            }
        }
    }
}

#[test]
fn every_parameter_of_every_variant_has_a_gradient() {
    let device = Device::flex().autodiff();
    for config in variants() {
        let network = fill(config.init(2, 3, &device), &config.name_map(), 1.0);
        // Levels that leave nothing to the next ones, and each class somewhere.
        let output = run(&network, image([2, 2, 64, 96], &device), Heads::All);
        let maps = match output.pyramid {
            Some(pyramid) => pyramid.semantic.into_iter().chain(pyramid.unity).collect(),
            None => vec![output.logits],
        };
        let losses = maps.into_iter().map(|map| (map.clone() * map).mean());
        let loss = losses.reduce(|a, b| a + b).unwrap();
        let Gradients { lengths, .. } = Gradients::of(&network, config.name_map(), &loss);
        assert!(lengths.len() > 900, "{} parameters", lengths.len());
        for (name, length) in lengths {
            let length = length.unwrap_or_else(|| panic!("no gradient in {name}: {config:?}"));
            assert!(length.is_finite(), "{name} of {config:?}: {length}");
            // A bias before a norm moves nothing, nor does one of keys, which softmax takes away.
            let idle = name.ends_with("bias") && length < 1e-3;
            assert!(length > 0.0 || idle, "{name} of {config:?}");
        }
    }
}

#[test]
fn weights_go_through_a_file_unchanged() {
    let device = Device::flex();
    for config in variants() {
        let names = config.name_map();
        let before = fill(config.init(1, 2, &device), &names, 1.0);
        let bytes = encode_weights(&before, &names, Storage::F32);
        let fresh = config.init(1, 2, &device);
        let after = decode_weights(fresh, &names, &bytes, "weights".as_ref()).unwrap();
        assert_eq!(values_by_name(&before, &names), values_by_name(&after, &names));
    }
}

#[test]
fn one_batch_is_learned_by_heart() {
    let device = Device::flex().autodiff();
    for (semantic, supervision) in [
        (SemanticKind::CoarseToFine, Supervision::Tp),
        (SemanticKind::CoarseToFine, Supervision::Auxiliary),
        (SemanticKind::Naive, Supervision::Plain),
    ] {
        let config = SpecializeFuseConfig {
            width: 6,
            semantic_channels: 32,
            ..small(semantic, supervision)
        };
        let mut network = fill(config.init(3, 3, &device), &config.name_map(), 1.0);
        let shape = [2, 64, 64];
        let labels = Labels { num_classes: 3, ignored: 0.0, cell: 16 }.draw("labels", shape);
        let target = Target::new(&labels, shape, 3, &device);
        let mut sgd = Sgd::new(0.9, false, 0.0);
        let mut course = Vec::new();
        for _ in 0..16 {
            let output = run(&network, image([2, 3, 64, 64], &device), Heads::All);
            let loss = LossConfig::default().forward(output, &target);
            let Gradients { found, .. } = Gradients::of(&network, config.name_map(), &loss);
            course.push(loss.into_scalar::<f64>());
            network = sgd.step(0.1, network, found);
        }
        assert!(course[15] < 0.5 * course[0], "{config:?}: {} to {}", course[0], course[15]);
    }
}
