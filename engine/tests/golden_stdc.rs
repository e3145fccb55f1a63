//! STDC against its authors' code.
//!
//! Weights and inputs follow from their names (`synthetic_weights`). Outputs may be off by 1e-4 of
//! the largest magnitude; the reference differs by 1e-6 from itself in double precision.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

mod support;

use burn::tensor::{Device, Tensor, TensorData};
use lamina_engine::losses::detail::{DiceDenominator, borders, detail_loss, detail_target};
use lamina_engine::losses::ohem::{OhemConfig, OhemForm};
use lamina_engine::losses::{LossConfig, Target};
use lamina_engine::networks::blocks::resize;
use lamina_engine::networks::stdc::{Backbone, StdcClsConfig, StdcSeg, StdcSegConfig};
use lamina_engine::networks::{Architecture, Heads, Settings};
use lamina_engine::synthetic_weights::{Labels, fill, input};
use lamina_engine::weights::trainable_parameters;
use support::network::{
    Losses, StepTolerance, compare, compare_step, image, inference, learn, observed, squares,
    target,
};
use support::{Golden, Gradients, manifest};

const TOLERANCE: f64 = 1e-4;

fn small() -> StdcSegConfig {
    StdcSegConfig { base_channels: 4, ..StdcSegConfig::default() }
}

fn error(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let differences = ours.iter().zip(theirs).map(|(a, b)| f64::from((a - b).abs()));
    differences.max_by(f64::total_cmp).unwrap() / f64::from(largest)
}

#[test]
fn stdc1_seg_answers_as_the_authors_code() {
    let config = StdcSegConfig::default();
    let golden = Golden::read("stdc", "stdc1_seg");
    let network = config.init(3, 19, &Device::flex());
    compare(&golden, network, &config.name_map(), TOLERANCE);
}

#[test]
fn stdc1_classifies_as_the_authors_code() {
    let config = StdcClsConfig::default();
    let device = Device::flex();
    let golden = Golden::read("stdc", "stdc1_cls");
    let names = config.name_map();
    let network = golden.fill(config.init(3, 1000, &device), &names);
    for alias in golden.manifest["aliases"].as_object().unwrap().keys() {
        assert!((names.is_alias)(alias), "{alias}");
    }
    for case in golden.case_names() {
        let [image] = golden.inputs(case, &device).try_into().unwrap();
        let (output, parts) = observed(&network, image);
        for (tap, map) in [("f2", &parts["f2"]), ("conv_last", &parts["conv_last"])] {
            if let Some(error) = golden.error(case, "taps", tap, map) {
                assert!(error < TOLERANCE, "{case} {tap}: {error:e}");
            }
        }
        let [batch, classes, height, width] = output.logits.dims();
        assert_eq!([classes, height, width], [1000, 1, 1]);
        let logits: Vec<f32> = output.logits.into_data().try_to_vec().unwrap();
        let name = golden.manifest["cases"][case]["outputs"]["out"]["tensor"].as_str().unwrap();
        assert_eq!(logits.len(), batch * 1000);
        let error = error(&logits, golden.tensor(name));
        assert!(error < TOLERANCE, "{case}: {error:e}");
    }
}

/// Trainable parameters: of the training graph, and of those the ones that reach the logits.
fn counts<M: burn::module::Module + Architecture>(network: &M) -> [usize; 2] {
    let training = trainable_parameters(network, |_| true);
    [training, trainable_parameters(network, |path| !network.is_auxiliary(path))]
}

#[test]
fn parameters_are_those_of_the_authors_code() {
    let device = Device::flex();
    let segmentation = |backbone| {
        let config = StdcSegConfig { backbone, ..StdcSegConfig::default() };
        counts(&config.init(3, 19, &device))
    };
    let thousands = |count: usize| (count + 500) / 1000;
    let [training, inference] = segmentation(Backbone::Stdc1);
    assert_eq!((training, thousands(inference)), (12_048_928, 8_275));
    let [training, inference] = segmentation(Backbone::Stdc2);
    assert_eq!((training, thousands(inference)), (16_079_392, 12_306));
    let classification = |backbone| {
        let config = StdcClsConfig { backbone, ..StdcClsConfig::default() };
        counts(&config.init(3, 1000, &device))
    };
    // The batch norm that is declared and not used has two numbers for each of 1024 features.
    assert_eq!(classification(Backbone::Stdc1), [8_443_552, 8_443_552 - 2048]);
    assert_eq!(classification(Backbone::Stdc2), [12_474_016, 12_474_016 - 2048]);
}

#[test]
fn any_size_any_channels_and_any_classes_pass() {
    let device = Device::flex();
    for backbone in [Backbone::Stdc1, Backbone::Stdc2] {
        for scale in [0.5, 0.75, 1.0] {
            let config = StdcSegConfig { backbone, scale, ..small() };
            config.validate().unwrap();
            let network = config.init(1, 2, &device);
            for [height, width] in [[1, 1], [45, 71], [64, 33]] {
                let (output, _) = observed(&network, image([3, 1, height, width], &device));
                assert_eq!(output.auxiliary.len(), 2);
                for head in &output.auxiliary {
                    assert_eq!(head.logits.dims(), [3, 2, height, width]);
                }
                assert_eq!(output.logits.dims(), [3, 2, height, width]);
                let alone = inference(&network, image([3, 1, height, width], &device));
                alone.into_data().assert_eq(&output.logits.into_data(), true);
            }
        }
        let config = StdcClsConfig { backbone, base_channels: 2, ..StdcClsConfig::default() };
        let network = config.init(5, 3, &device);
        for [height, width] in [[1, 1], [45, 71]] {
            let logits = inference(&network, image([2, 5, height, width], &device));
            assert_eq!(logits.dims(), [2, 3, 1, 1]);
        }
    }
}

#[test]
fn a_scale_shrinks_what_is_looked_at_outside_training_only() {
    let device = Device::flex();
    let names = small().name_map();
    let at = |scale: f64, device: &Device| {
        let network = StdcSegConfig { scale, ..small() }.init(3, 4, device);
        fill(network, &names, 1.0)
    };
    // At half the size the logits have 2 x 3 pixels, which 9 x 17 pixels keep when they are resized
    // to that first.
    let whole = image([2, 3, 18, 34], &device);
    let shrunk = inference(&at(1.0, &device), resize(whole.clone(), [9, 17]));
    let expected: Vec<f32> = resize(shrunk, [18, 34]).into_data().try_to_vec().unwrap();
    let logits: Vec<f32> = inference(&at(0.5, &device), whole).into_data().try_to_vec().unwrap();
    assert!(error(&logits, &expected) < 1e-5);
    assert_eq!(StdcSegConfig { scale: 0.5, ..small() }.output_stride(), 16);

    let autodiff = device.autodiff();
    let [whole, half] = [1.0, 0.5].map(|scale| {
        let output =
            at(scale, &autodiff).run(image([2, 3, 64, 96], &autodiff), Heads::All, &mut |_, _| {});
        output.logits.into_data()
    });
    whole.assert_eq(&half, true);
}

#[test]
fn detail_heads_are_those_that_are_asked_for() {
    let device = Device::flex();
    let names = |config: StdcSegConfig| {
        let (output, _) = observed(&config.init(3, 2, &device), image([1, 3, 33, 64], &device));
        let heads = output.detail.into_iter();
        heads.map(|head| (head.name, head.logits.dims())).collect::<Vec<_>>()
    };
    assert_eq!(names(small()), [("detail8".to_owned(), [1, 1, 5, 8])]);
    let all = StdcSegConfig { detail_2: true, detail_4: true, ..small() };
    assert_eq!(
        names(all),
        [
            ("detail2".to_owned(), [1, 1, 17, 32]),
            ("detail4".to_owned(), [1, 1, 9, 16]),
            ("detail8".to_owned(), [1, 1, 5, 8])
        ]
    );
    assert_eq!(names(StdcSegConfig { detail_8: false, ..small() }), []);
}

#[test]
fn what_the_forward_uses_has_a_gradient_and_nothing_else() {
    let device = Device::flex().autodiff();
    for backbone in [Backbone::Stdc1, Backbone::Stdc2] {
        let config = StdcSegConfig { backbone, detail_2: true, detail_4: true, ..small() };
        let names = config.name_map();
        let network = fill(config.init(1, 2, &device), &names, 1.0);
        let (output, _) = observed(&network, image([3, 1, 70, 65], &device));
        let gradients = Gradients::of(&network, names, &squares(output));
        assert!(gradients.lengths.len() > 120);
        for (name, length) in gradients.lengths {
            let unused = ["cp.backbone.conv_last", "cp.backbone.fc", "cp.backbone.bn"]
                .into_iter()
                .chain(["cp.backbone.linear", "conv_out_sp16"])
                .any(|unused| name.starts_with(unused));
            assert_eq!(length.is_none(), unused, "{name}");
            assert!(length.is_none_or(|length| length > 0.0 && length.is_finite()), "{name}");
        }
    }
    let config = StdcClsConfig { base_channels: 4, ..StdcClsConfig::default() };
    let names = config.name_map();
    let network = fill(config.init(1, 2, &device), &names, 1.4);
    let (output, _) = observed(&network, image([3, 1, 64, 65], &device));
    for (name, length) in Gradients::of(&network, names, &squares(output)).lengths {
        assert_eq!(length.is_none(), name.starts_with("bn."), "{name}");
        assert!(length.is_none_or(|length| length > 0.0 && length.is_finite()), "{name}");
    }
}

/// Each output's loss, and the sum of all.
fn losses(network: &StdcSeg, image: Tensor<4>, target: &Target) -> Losses {
    let output = network.run(image, Heads::All, &mut |_, _| {});
    let ohem = LossConfig::Ohem(OhemConfig::of(OhemForm::Stdc));
    let mut terms = vec![("out", ohem.of_logits(output.logits.clone(), target))];
    for (name, head) in ["out16", "out32"].into_iter().zip(&output.auxiliary) {
        terms.push((name, ohem.of_logits(head.logits.clone(), target)));
    }
    for head in &output.detail {
        let borders = detail_target(target.labels(), target.size(), target.device());
        let detail = detail_loss(head.logits.clone(), borders, DiceDenominator::Sums);
        terms.push(("detail_bce", detail.cross_entropy));
        terms.push(("detail_dice", detail.dice));
    }
    let parts = terms.into_iter().map(|(name, term)| (name, term.into_scalar())).collect();
    (parts, ohem.forward(output, target))
}

#[test]
fn one_step_of_training_moves_as_the_authors_code() {
    let device = Device::flex().autodiff();
    let config = StdcSegConfig::default();
    let names = config.name_map();
    let reference = manifest("stdc", "train_step_stdc1_seg");
    let gain = reference["weight_gain"].as_f64().unwrap();
    let network = fill(config.init(3, 19, &device), &names, gain);
    let target = target("train_labels", 19, 8, [4, 64, 64], &device);
    // In single precision the reference is off from itself by 2e-3.
    let tolerance = StepTolerance { gradient: 1e-2, statistic: 1e-5 };
    compare_step(&reference, network, names, &tolerance, |network| {
        losses(network, image([4, 3, 64, 64], &device), &target)
    });
}

#[test]
fn one_batch_is_learned_by_heart() {
    let device = Device::flex().autodiff();
    let config = small();
    let names = config.name_map();
    let target = target("labels", 3, 16, [2, 32, 48], &device);
    let network = fill(config.init(3, 3, &device), &names, 1.0);
    let left = learn(network, names, 40, 0.05, |network| {
        let output = network.run(image([2, 3, 32, 48], &device), Heads::All, &mut |_, _| {});
        LossConfig::default().forward(output, &target)
    });
    assert!(left < 0.3, "{left} of the loss is left");
}

#[test]
fn borders_of_labels_are_those_of_the_authors_code() {
    let golden = Golden::read("losses", "losses");
    let size = [2, 64, 128];
    let labels = Labels { num_classes: 19, ignored: 0.1, cell: 16 }.draw("detail_labels", size);
    let as_numbers: Vec<f32> = labels.iter().copied().map(f32::from).collect();
    assert_eq!(as_numbers, golden.tensor("detail_labels"));
    for stride in [1, 2, 4, 8] {
        let found = borders(&labels, size, stride);
        let [rows, columns] = [64 / stride, 128 / stride];
        let spread = (0..2 * 64 * 128).map(|index| {
            let (image, y, x) = (index / 8192, index / 128 % 64 / stride, index % 128 / stride);
            f32::from(u8::from(found[(image * rows + y) * columns + x]))
        });
        let spread: Vec<f32> = spread.collect();
        assert_eq!(spread, golden.tensor(&format!("detail_map_s{stride}")), "stride {stride}");
    }
    let target = detail_target(&labels, size, &Device::flex());
    let target: Vec<f32> = target.into_data().try_to_vec().unwrap();
    assert_eq!(target, golden.tensor("detail_target"));
}

#[test]
fn details_cost_as_in_the_authors_code() {
    let device = Device::flex().autodiff();
    let golden = Golden::read("losses", "losses");
    let size = [2, 64, 128];
    let labels = Labels { num_classes: 19, ignored: 0.1, cell: 16 }.draw("detail_labels", size);
    let values: Vec<f32> = input("detail_logits", 256).iter().map(|value| 3.0 * value).collect();
    for name in ["detail_bce", "detail_dice"] {
        let logits = TensorData::new(values.clone(), [2, 1, 8, 16]);
        let logits = Tensor::<4>::from_data(logits, &device).require_grad();
        let target = detail_target(&labels, size, &device);
        let terms = detail_loss(logits.clone(), target, DiceDenominator::Sums);
        let loss = if name == "detail_bce" { terms.cross_entropy } else { terms.dice };
        let gradient = logits.grad(&loss.backward()).unwrap().into_data();
        let expected = golden.manifest["cases"][name]["value"].as_f64().unwrap();
        let loss: f64 = loss.into_scalar();
        assert!((loss - expected).abs() < 1e-5 * expected, "{name}: {loss} for {expected}");
        let gradient: Vec<f32> = gradient.try_to_vec().unwrap();
        let error = error(&gradient, golden.tensor(&format!("{name}/grad")));
        assert!(error < 1e-4, "gradient of {name}: {error:e}");
    }
}

#[test]
fn what_cannot_be_built_is_named_with_its_value_and_what_would_be_right() {
    let wrong = |config: StdcSegConfig| config.validate().unwrap_err().to_string();
    assert_eq!(
        wrong(StdcSegConfig { scale: 2.0, ..small() }),
        "`scale` is 2, expected above 0 and at most 1; the paper's are 0.5, 0.75 and 1"
    );
    assert_eq!(
        wrong(StdcSegConfig { base_channels: 0, ..small() }),
        "`base_channels` is 0, expected 2 to 512"
    );
    assert_eq!(
        wrong(StdcSegConfig { base_channels: 5, ..small() }),
        "`base_channels` is 5, expected an even number"
    );
    let config = StdcClsConfig { dropout: 1.0, ..StdcClsConfig::default() };
    let error = config.validate().unwrap_err().to_string();
    assert_eq!(error, "`dropout` is 1, expected at least 0 and below 1");
    assert_eq!(small().smallest_batch([512, 512]), 2);
}
