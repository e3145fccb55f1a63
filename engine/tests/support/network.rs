//! What every network is tested for against its reference.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use lamina_engine::losses::Target;
use lamina_engine::networks::{Architecture, Heads, NetworkOutput};
use lamina_engine::synthetic_weights::{Labels, input};
use lamina_engine::weights::{NameMap, trainable_parameters, values_by_name};
use serde_json::Value;

use super::{Golden, Gradients};

/// The image that follows from its shape.
pub fn image(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values = input("input", shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Labels in squares of `cell` pixels, a tenth of them ignored.
pub fn target(
    name: &str,
    num_classes: usize,
    cell: usize,
    size: [usize; 3],
    device: &Device,
) -> Target {
    let labels = Labels { num_classes: num_classes as u64, ignored: 0.1, cell }.draw(name, size);
    Target::new(&labels, size, num_classes, device)
}

/// All that `network` answers, with what its parts answer.
pub fn observed<M: Architecture>(
    network: &M,
    image: Tensor<4>,
) -> (NetworkOutput, BTreeMap<String, Tensor<4>>) {
    let mut parts = BTreeMap::new();
    let output = network.run(image, Heads::All, &mut |part, map| {
        parts.insert(part.to_owned(), map.clone());
    });
    (output, parts)
}

/// The prediction alone.
pub fn inference<M: Architecture>(network: &M, image: Tensor<4>) -> Tensor<4> {
    let output = network.run(image, Heads::Main, &mut |_, _| {});
    assert!(output.auxiliary.is_empty() && output.detail.is_empty());
    output.logits
}

/// Compares all outputs, all taps and the parameter count of a network with the reference `golden`,
/// whose weights it takes.
pub fn compare<M>(golden: &Golden, network: M, names: &NameMap, tolerance: f64)
where
    M: Module + Architecture,
{
    let device = Device::flex();
    let network = golden.fill(network, names);
    let count = trainable_parameters(&network, |_| true);
    assert_eq!(Some(count as u64), golden.manifest["param_count"].as_u64());
    for alias in golden.manifest["aliases"].as_object().unwrap().keys() {
        assert!((names.is_alias)(alias), "{alias}");
    }
    for case in golden.case_names() {
        let [image] = golden.inputs(case, &device).try_into().unwrap();
        let (output, parts) = observed(&network, image.clone());
        let stored = &golden.manifest["cases"][case];
        for tap in stored["taps"].as_object().unwrap().keys() {
            let map = parts.get(tap).unwrap_or_else(|| panic!("nobody was told of {tap}"));
            if let Some(error) = golden.error(case, "taps", tap, map) {
                assert!(error < tolerance, "{case} {tap}: {error:e}");
            }
        }
        let mut outputs = output.into_named();
        assert_eq!(outputs.len(), stored["outputs"].as_object().unwrap().len());
        outputs.push(("logits".to_owned(), inference(&network, image)));
        for (name, map) in outputs {
            let error = golden.error(case, "outputs", &name, &map).unwrap();
            assert!(error < tolerance, "{case} {name}: {error:e}");
        }
    }
}

/// The sum of the squares of all that training looks at.
pub fn squares(output: NetworkOutput) -> Tensor<1> {
    let maps = output.into_named().into_iter().map(|(_, map)| (map.clone() * map).mean());
    maps.reduce(|a, b| a + b).unwrap()
}

/// A step of gradient descent without momentum; decays weights of layers only.
pub struct Step<'a> {
    pub gradients: &'a GradientsParams,
    pub rate: f64,
    pub decay: f64,
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

/// Named parts of a loss, and their weighted sum.
pub type Losses = (Vec<(&'static str, f64)>, Tensor<1>);

/// How far a network may be from a reference's training step.
pub struct StepTolerance {
    /// Of each gradient's length, relative, where it is at least a thousandth of the longest.
    pub gradient: f64,
    /// Of each running statistic, on average over the channels.
    pub statistic: f64,
}

/// Compares a step of training with that of a reference: losses before and after, gradients, what
/// the parameters and the running statistics become.
pub fn compare_step<M: Module>(
    reference: &Value,
    network: M,
    names: NameMap,
    tolerance: &StepTolerance,
    losses: impl Fn(&M) -> Losses,
) {
    let number = |value: &Value| value.as_f64().unwrap();
    let (parts, total) = losses(&network);
    let expected = &reference["losses_f64"][0];
    assert_eq!(parts.len(), expected["parts"].as_object().unwrap().len());
    for (name, part) in parts {
        let expected = number(&expected["parts"][name]);
        assert!((part - expected).abs() < 1e-5 * expected, "{name}: {part} for {expected}");
    }
    let value: f64 = total.clone().into_scalar();
    let expected = number(&expected["total"]);
    assert!((value - expected).abs() < 1e-5 * expected, "{value} for {expected}");

    let Gradients { found, lengths, .. } = Gradients::of(&network, names, &total);
    let expected = reference["grad_l2_f64"].as_object().unwrap();
    let largest = expected.values().map(number).fold(0.0, f64::max);
    let mut without = Vec::new();
    for (name, length) in lengths {
        let Some(length) = length else {
            without.push(name);
            continue;
        };
        let expected = number(&expected[&name]);
        if expected > 1e-3 * largest {
            let error = (length - expected).abs() / expected;
            assert!(error < tolerance.gradient, "gradient of {name}: {error:e}");
        }
    }
    let unused = reference["params_without_grad"].as_array().unwrap().iter();
    let mut unused: Vec<_> = unused.map(|name| name.as_str().unwrap().to_owned()).collect();
    unused.sort();
    without.sort();
    assert_eq!(without, unused);

    let moved = network.map(&mut Step { gradients: &found, rate: 0.01, decay: 5e-4 });
    let values = values_by_name(&moved, &names);
    let sum = |name: &str| -> f64 { values[name].values.iter().map(|v| f64::from(*v)).sum() };
    for (name, sum_expected) in reference["param_sum_after_step1_f64"].as_object().unwrap() {
        let error = (sum(name) - number(sum_expected)).abs();
        // As far as gradients may be off, all in the same direction.
        let count = values[name].values.len() as f64;
        let length = expected.get(name).map_or(0.0, number);
        let slack = 0.01 * tolerance.gradient * length * count.sqrt();
        assert!(error < slack + 1e-7 * count, "sum of {name} is off by {error:e}");
    }
    let running = &reference["bn_running_sum_after_step1_f64 [mean,var]"];
    for (norm, expected) in running.as_object().unwrap() {
        if unused.contains(&format!("{norm}.weight")) {
            continue; // the reference computes it for nothing
        }
        let channels = values[&format!("{norm}.weight")].values.len() as f64;
        for (index, statistic) in ["running_mean", "running_var"].into_iter().enumerate() {
            let error = (sum(&format!("{norm}.{statistic}")) - number(&expected[index])).abs();
            assert!(
                error < tolerance.statistic * channels,
                "{statistic} of {norm} is off by {error:e}"
            );
        }
    }

    let (_, total) = losses(&moved);
    let expected = number(&reference["losses_f64"][1]["total"]);
    let error = (total.into_scalar::<f64>() - expected).abs() / expected;
    assert!(error < 5e-3, "loss of the second step: {error:e}");
}

/// Trains on one batch; what the loss becomes as a share of what it was.
pub fn learn<M: Module>(
    mut network: M,
    names: NameMap,
    steps: usize,
    rate: f64,
    loss: impl Fn(&M) -> Tensor<1>,
) -> f64 {
    let mut course = Vec::new();
    for _ in 0..steps {
        let total = loss(&network);
        course.push(total.clone().into_scalar::<f64>());
        let Gradients { found, .. } = Gradients::of(&network, names, &total);
        network = network.map(&mut Step { gradients: &found, rate, decay: 0.0 });
    }
    course[steps - 1] / course[0]
}
