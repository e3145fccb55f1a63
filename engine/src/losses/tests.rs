//! Losses as a file states them, and what all of them have in common.

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::config::named;
use super::detail::DiceDenominator;
use super::ohem::{OhemConfig, OhemForm};
use super::{IGNORE_LABEL, LossConfig, Target};
use crate::networks::{Auxiliary, DetailOutput, NetworkOutput};
use crate::synthetic_weights::{Labels, input};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct File {
    loss: LossConfig,
}

fn read(loss: &str) -> Result<LossConfig, String> {
    let file = toml::from_str::<File>(&format!("loss = {loss}"));
    file.map(|file| file.loss).map_err(|error| error.to_string())
}

/// One of each.
fn every() -> Vec<LossConfig> {
    let mut every: Vec<LossConfig> = named().into_iter().map(|(_, loss)| loss).collect();
    for form in ["bpnet", "bisenet", "stdc", "hrnet"] {
        every.push(read(&format!("{{ ohem = {{ form = \"{form}\" }} }}")).unwrap());
    }
    for loss in [
        "{ cross_entropy = { label_smoothing = 0.1, class_weights = [1.0, 2.5] } }",
        "{ ohem = { form = \"hrnet\", class_weights = [0.5, 2.0] } }",
        "{ dice = { background = true, per_image = true, ignored = \"of_no_class\" } }",
        "{ dice = { ignored = \"background\" } }",
        "{ generalized_dice = { ignored = \"of_no_class\" } }",
        "{ lovasz_softmax = { classes = \"all\", per_image = true } }",
        "{ lovasz_hinge = { per_image = false } }",
        "{ sum = [{ loss = \"ohem\" }, { weight = 0.5, loss = { dice = { per_image = true } } }] }",
    ] {
        every.push(read(loss).unwrap());
    }
    every
}

/// Two pixels, two classes: the first is class 1 with p = 0.75, the second is ignored.
fn example(device: &Device) -> (Tensor<4>, Target) {
    let logit = 3.0_f32.ln();
    let logits =
        Tensor::from_data(TensorData::new(vec![0.0, 5.0, logit, 0.0], [1, 2, 1, 2]), device);
    (logits, Target::new(&[1, IGNORE_LABEL], [1, 1, 2], 2, device))
}

fn value(loss: Tensor<1>) -> f32 {
    loss.into_scalar()
}

#[test]
fn a_file_names_a_loss_and_its_settings() {
    assert_eq!(read("\"dice_cross_entropy\""), Ok(LossConfig::DiceCrossEntropy));
    let ohem = read("{ ohem = { form = \"hrnet\", threshold = 0.8, min_kept = 9 } }").unwrap();
    let expected = OhemConfig {
        form: OhemForm::Hrnet,
        threshold: Some(0.8),
        min_kept: Some(9),
        ..OhemConfig::default()
    };
    assert_eq!(ohem, LossConfig::Ohem(expected));
}

#[test]
fn every_loss_is_read_as_it_was_written() {
    for loss in every() {
        let text = toml::to_string(&File { loss: loss.clone() }).unwrap();
        assert_eq!(toml::from_str::<File>(&text).unwrap().loss, loss, "{text}");
    }
    let text = toml::to_string(&File { loss: LossConfig::default() }).unwrap();
    assert_eq!(text, "loss = \"dice_cross_entropy\"\n");
}

#[test]
fn what_is_misspelled_is_named_with_what_would_be_right() {
    for (loss, expected) in [
        ("\"ohm\"", "unknown variant `ohm`, expected one of `cross_entropy`, `dice`"),
        (
            "{ ohem = { form = \"stdc\" }, dice = {} }",
            "expected the name of one loss, found `ohem` besides; `sum` adds several",
        ),
        ("{ ohm = {} }", "unknown variant `ohm`, expected one of `cross_entropy`, `dice`"),
        ("{ ohem = { treshold = 1 } }", "unknown field `treshold`, expected one of `form`"),
        ("{ ohem = { form = \"x\" } }", "unknown variant `x`, expected one of `bpnet`"),
        ("{ sum = [{ wight = 1, loss = \"dice\" }] }", "unknown field `wight`"),
        ("3", "expected the name of a loss, or a table of one name and its settings"),
    ] {
        let message = read(loss).unwrap_err();
        assert!(message.contains(expected) && message.contains("line 1"), "{message}");
    }
}

#[test]
fn settings_that_cannot_work_are_named_with_what_would_be_right() {
    for (loss, expected) in [
        (
            "{ ohem = { threshold = 1.5 } }",
            "training.loss.ohem.threshold = 1.5: expected above 0 and at most 1",
        ),
        (
            "{ ohem = { min_kept = 9, min_kept_share = 0.1 } }",
            "training.loss.ohem.min_kept = 9: expected either this or min_kept_share",
        ),
        ("{ ohem = { min_kept = 0 } }", "training.loss.ohem.min_kept = 0: expected at least 1"),
        (
            "{ ohem = { min_kept_share = nan } }",
            "training.loss.ohem.min_kept_share = NaN: expected above 0 and at most 1",
        ),
        (
            "{ cross_entropy = { label_smoothing = 1.0 } }",
            "training.loss.cross_entropy.label_smoothing = 1: expected at least 0 and below 1",
        ),
        (
            "{ cross_entropy = { class_weights = [1.0, -1.0] } }",
            "training.loss.cross_entropy.class_weights = [1.0, -1.0]: expected 0 to 1e6 each, \
             one of them above 0",
        ),
        (
            "{ ohem = { form = \"stdc\", class_weights = [1.0, 2.0] } }",
            "training.loss.ohem.class_weights = [1.0, 2.0]: expected none with this form; bpnet \
             and hrnet take them",
        ),
        ("{ sum = [] }", "training.loss.sum = []: expected at least one loss"),
        (
            "{ sum = [{ loss = \"dice\" }, { weight = 0.0, loss = \"ohem\" }] }",
            "training.loss.sum[1].weight = 0: expected above 0, up to 1e6",
        ),
        (
            "{ sum = [{ loss = { ohem = { threshold = 0.0 } } }] }",
            "training.loss.sum[0].loss.ohem.threshold = 0: expected above 0 and at most 1",
        ),
    ] {
        assert_eq!(read(loss).unwrap().validate().unwrap_err().to_string(), expected);
    }
    assert!(every().iter().all(|loss| loss.validate().is_ok()));
}

#[test]
fn settings_that_do_not_fit_the_classes_are_named_with_what_would_be_right() {
    let complaint = |loss: &str| read(loss).unwrap().validate_classes(3).unwrap_err().to_string();
    assert_eq!(
        complaint("{ cross_entropy = { class_weights = [1.0, 2.0] } }"),
        "training.loss.cross_entropy.class_weights = [1.0, 2.0]: expected 3 weights, one for \
         each class"
    );
    assert_eq!(
        complaint("{ ohem = { class_weights = [1.0] } }"),
        "training.loss.ohem.class_weights = [1.0]: expected 3 weights, one for each class"
    );
    assert_eq!(
        complaint("{ sum = [{ loss = \"lovasz_hinge\" }] }"),
        "training.loss.sum[0].loss = lovasz_hinge: expected a data set of 2 classes, this one \
         has 3; lovasz_softmax takes any number"
    );
    assert!(every().iter().all(|loss| loss.validate_classes(2).is_ok()));
}

#[test]
fn dice_and_cross_entropy_leave_ignored_pixels_and_dice_the_background_out() {
    let (logits, target) = example(&Device::flex());
    // -ln 0.75, and (2 * 0.75 + 1) / (0.75 + 1 + 1)
    let loss = value(LossConfig::DiceCrossEntropy.of_logits(logits, &target));
    assert!((loss - (1.0 - 2.5 / 2.75 - 0.75_f32.ln())).abs() < 1e-6, "{loss}");
}

#[test]
fn a_sum_adds_losses_by_their_weights() {
    let (logits, target) = example(&Device::flex());
    let sum = read(
        "{ sum = [{ weight = 2.0, loss = \"cross_entropy\" }, { weight = 0.5, loss = \"dice\" }] }",
    );
    let loss = value(sum.unwrap().of_logits(logits, &target));
    let expected = -2.0 * 0.75_f32.ln() + 0.5 * (1.0 - 2.5 / 2.75);
    assert!((loss - expected).abs() < 1e-6, "{loss}");
}

/// Two heads beside logits, all with the same prediction.
fn boosted(logits: &Tensor<4>) -> NetworkOutput {
    let head =
        |name: &str, weight| Auxiliary { name: name.to_owned(), logits: logits.clone(), weight };
    let auxiliary = vec![head("aux0", 1.0), head("aux1", 0.25)];
    NetworkOutput { auxiliary, ..logits.clone().into() }
}

#[test]
fn heads_have_the_loss_of_the_logits_times_their_weight() {
    let (logits, target) = example(&Device::flex());
    for loss in every() {
        if format!("{loss:?}").contains("Hrnet") {
            continue; // below
        }
        let of_logits = value(loss.of_logits(logits.clone(), &target));
        let of_all = value(loss.forward(boosted(&logits), &target));
        assert!((of_all - 2.25 * of_logits).abs() < 1e-6, "{loss:?}: {of_all}");
    }
}

#[test]
fn heads_beside_hrnets_hard_pixels_have_plain_cross_entropy() {
    let (logits, target) = example(&Device::flex());
    let loss = read(
        "{ sum = [{ weight = 3.0, loss = { ohem = { form = \"hrnet\", threshold = \
                     0.5, min_kept = 1 } } }] }",
    );
    // Its probability is above the threshold, and the easiest is never among the hardest.
    let of_all = value(loss.unwrap().forward(boosted(&logits), &target));
    assert!((of_all + 3.0 * 1.25 * 0.75_f32.ln()).abs() < 1e-6, "{of_all}");
}

#[test]
fn an_ignored_pixel_has_no_gradient() {
    let device = Device::flex().autodiff();
    for loss in every() {
        // One treatment of ignored pixels in the released code leaves them their gradient.
        if format!("{loss:?}").contains("OfNoClass") {
            continue;
        }
        let (logits, target) = example(&device);
        let logits = logits.mul_scalar(0.5).require_grad(); // within the hinge's margin
        let gradients = loss.of_logits(logits.clone(), &target).backward();
        let gradient: Vec<f32> = logits.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
        assert!(gradient[0] != 0.0 && gradient[2] != 0.0, "{loss:?}: {gradient:?}");
        assert_eq!((gradient[1], gradient[3]), (0.0, 0.0), "{loss:?}");
    }
}

#[test]
fn a_batch_that_is_ignored_altogether_has_no_loss_and_no_gradient() {
    let device = Device::flex().autodiff();
    for loss in every() {
        let logits = example(&device).0.require_grad();
        let target = Target::new(&[IGNORE_LABEL; 2], [1, 1, 2], 2, &device);
        let loss_value = loss.of_logits(logits.clone(), &target);
        let gradient = logits.grad(&loss_value.backward()).unwrap().into_data();
        assert_eq!(value(loss_value), 0.0, "{loss:?}");
        assert!(gradient.iter::<f32>().all(|g| g == 0.0), "{loss:?}");
    }
}

#[test]
fn heads_that_find_borders_count_whatever_the_loss_and_not_where_all_is_ignored() {
    let device = Device::flex().autodiff();
    let detail = |logits: &Tensor<4>| DetailOutput {
        name: "detail8".to_owned(),
        logits: logits.clone(),
        denominator: DiceDenominator::Sums,
    };
    for loss in every() {
        let of = |labels: &[u8; 2]| {
            let logits = example(&device).0;
            let target = Target::new(labels, [1, 1, 2], 2, &device);
            let borders = Tensor::<4>::from_data([[[[0.5, -1.0]]]], &device).require_grad();
            let output = NetworkOutput { detail: vec![detail(&borders)], ..logits.into() };
            let without = NetworkOutput { detail: Vec::new(), ..output.clone() };
            let without = value(loss.forward(without, &target));
            let sum = loss.forward(output, &target);
            let gradient = borders.grad(&sum.backward()).unwrap().into_data();
            (value(sum) - without, gradient.iter::<f32>().collect::<Vec<_>>())
        };
        let (share, gradient) = of(&[1, 0]);
        assert!(share > 0.1 && gradient[0] != 0.0, "{loss:?}: {share}");
        assert_eq!(of(&[IGNORE_LABEL; 2]), (0.0, vec![0.0; 2]), "{loss:?}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let device = Device::flex().autodiff();
    let [batch, height, width] = [2, 256, 384];
    let drawn =
        Labels { num_classes: 2, ignored: 0.1, cell: 1 }.draw("labels", [batch, height, width]);
    let values = input("logits", 2 * batch * height * width);
    let of = |loss: &LossConfig| {
        let values = TensorData::new(values.clone(), [batch, 2, height, width]);
        let logits = Tensor::<4>::from_data(values, &device).require_grad();
        let target = Target::new(&drawn, [batch, height, width], 2, &device);
        let loss = loss.of_logits(logits.clone(), &target);
        let gradient = logits.grad(&loss.backward()).unwrap().into_data();
        (value(loss).to_bits(), gradient)
    };
    let on = |threads, loss: &LossConfig| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| of(loss))
    };
    for loss in every() {
        let one = on(1, &loss);
        assert!(one == on(2, &loss) && one == on(3, &loss), "{loss:?}");
    }
}
