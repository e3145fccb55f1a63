//! Training from end to end on a tiny data set: it learns, repeats, resumes, and says what is wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

mod tiny;

use std::path::Path;

use burn::tensor::Device;
use lamina_engine::EngineError;
use lamina_engine::augment::AugmentConfig;
use lamina_engine::bundle::Model;
use lamina_engine::device::DeviceChoice;
use lamina_engine::experiment::Experiment;
use lamina_engine::inference::segment_volume;
use lamina_engine::losses::cross_entropy::CrossEntropyConfig;
use lamina_engine::losses::dice::DiceConfig;
use lamina_engine::losses::lovasz::LovaszHingeConfig;
use lamina_engine::losses::ohem::OhemConfig;
use lamina_engine::losses::{LossConfig, WeightedLoss};
use lamina_engine::networks::NetworkConfig;
use lamina_engine::networks::bpnet::BpnetConfig;
use lamina_engine::networks::nnunet::NnunetConfig;
use lamina_engine::networks::unet::UnetConfig;
use lamina_engine::observer::{ClassScore, Event, Silent};
use lamina_engine::training::{
    Checkpoint, EarlyStop, EmaConfig, FitSummary, Keep, RunFolder, Schedule, StartWeights, WarmUp,
};
use lamina_engine::weights::{NameMap, NamedTensors, decode, read_weights, values_by_name};
use lamina_io::{
    ReadOptions, Voxels, read_labels, read_volume, synthetic, write_labels, write_volume,
};
use serde_json::Value;
use tiny::{Script, Tiny, bytes, case, dice, experiment};

/// A BPNet so small that a step takes milliseconds, with its dropout.
fn bpnet() -> Experiment {
    let config = BpnetConfig { width: 4, ..BpnetConfig::default() };
    let mut experiment = Experiment { network: NetworkConfig::Bpnet(config), ..experiment() };
    experiment.training.epochs = 2;
    experiment.validate().unwrap();
    experiment
}

/// The BPNet with everything that an optimizer's state may hold.
fn averaged() -> Experiment {
    let mut experiment = bpnet();
    experiment.training.loss = LossConfig::Sum(vec![
        WeightedLoss { weight: 1.0, loss: LossConfig::Ohem(OhemConfig::default()) },
        WeightedLoss { weight: 0.5, loss: LossConfig::Dice(DiceConfig::default()) },
    ]);
    experiment.training.ema = Some(EmaConfig { decay: 0.9, warm_up: true });
    experiment.training.head_learning_rate_factor = 10.0;
    experiment.training.learning_rate = 0.01;
    experiment.training.warm_up = Some(WarmUp { iterations: Some(3), ..WarmUp::default() });
    experiment.training.schedule = Schedule::Cosine;
    experiment.training.nesterov = true;
    experiment.training.clip_norm = Some(1.0);
    experiment.validate().unwrap();
    experiment
}

fn steps(event: &Event) -> Option<(usize, usize)> {
    match event {
        Event::Step { epoch, step, .. } => Some((*epoch, *step)),
        _ => None,
    }
}

/// All that a run leaves that does not tell the time.
#[derive(Debug, PartialEq)]
struct Left {
    last: Vec<u8>,
    best: Vec<u8>,
    weights: Vec<u8>,
    test_vector: Vec<u8>,
    manifest: String,
    metrics: Value,
}

fn without_seconds(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.remove("seconds");
        fields.remove("waiting_for_data");
        fields.remove("run_folder");
        fields.remove("bundle");
    }
    value
}

fn left(run: &Path) -> Left {
    let metrics = serde_json::from_slice(&bytes(run.join("metrics.json"))).unwrap();
    Left {
        last: bytes(run.join("last.safetensors")),
        best: bytes(run.join("best.safetensors")),
        weights: bytes(run.join("bundle/weights.safetensors")),
        test_vector: bytes(run.join("bundle/test_vector.safetensors")),
        manifest: std::fs::read_to_string(run.join("bundle/model.toml")).unwrap(),
        metrics: without_seconds(metrics),
    }
}

fn same(found: &Left, expected: &Left, what: &str) {
    assert!(found.last == expected.last, "the last checkpoint differs: {what}");
    assert!(found.best == expected.best, "the best checkpoint differs: {what}");
    assert!(found.weights == expected.weights, "the weights differ: {what}");
    assert!(found == expected, "the bundle or its metrics differ: {what}");
}

fn events(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("events.jsonl")).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn training_lowers_the_loss_and_finds_the_ellipsoids() {
    let tiny = Tiny::new();
    let mut experiment = experiment();
    experiment.network = NetworkConfig::Unet(UnetConfig { base_channels: 8, depth: 3 });
    experiment.training.epochs = 40;
    experiment.training.validate_every = 15;
    let script = Script::stop_at(|_| false);
    let summary = tiny.fit("run", &experiment, false, &script).unwrap();
    assert_eq!((summary.training_cases, summary.validation_cases), (4, 2));
    assert!(summary.mean_score > Some(0.9), "{summary:?}");

    let heard = script.heard.into_inner().unwrap();
    let losses: Vec<f64> = heard
        .iter()
        .filter_map(|event| match event {
            Event::EpochFinished { training_loss, .. } => Some(*training_loss),
            _ => None,
        })
        .collect();
    assert_eq!(losses.len(), 40);
    assert!(losses[39] < 0.3 * losses[0], "{losses:?}");
    let validated: Vec<usize> = heard
        .iter()
        .filter_map(|event| match event {
            Event::EpochFinished { epoch, mean_score: Some(_), .. } => Some(*epoch),
            _ => None,
        })
        .collect();
    assert_eq!(validated, [15, 30, 40]);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let tiny = Tiny::new();
    for (network, experiment) in
        [("unet", experiment()), ("bpnet", bpnet()), ("averaged", averaged())]
    {
        let [one, two, three] = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let name = format!("{network} on {threads}");
            pool.install(|| tiny.fit(&name, &experiment, false, &Silent)).unwrap();
            left(&tiny.run_folder(&name))
        });
        same(&two, &one, network);
        same(&three, &one, network);
    }
}

#[test]
fn another_seed_learns_something_else() {
    let tiny = Tiny::new();
    let experiment = experiment();
    tiny.fit("5", &experiment, false, &Silent).unwrap();
    tiny.fit("6", &Experiment { seed: 6, ..experiment }, false, &Silent).unwrap();
    let last = |name| bytes(tiny.run_folder(name).join("last.safetensors"));
    assert!(last("5") != last("6"));
}

/// When to stop.
type Stop = fn(&Event) -> bool;

/// Runs `experiment` to its end, and once more with a stop; both have to leave the same.
fn stop_and_resume(experiment: &Experiment, stops: &[(&str, Stop)]) {
    let tiny = Tiny::new();
    let whole = Script::stop_at(|_| false);
    let summary = tiny.fit("whole", experiment, false, &whole).unwrap();
    let expected = left(&tiny.run_folder("whole"));
    let events_of = |run: &Path| -> Vec<Value> {
        let told = |event: &Value| event["event"] != "training_started";
        events(run).into_iter().filter(told).map(without_seconds).collect()
    };
    let expected_events = events_of(&tiny.run_folder("whole"));
    for (what, stop) in stops {
        let stopped = tiny.fit(what, experiment, false, &Script::stop_at(*stop));
        assert!(matches!(stopped, Err(EngineError::Stopped)), "{what}: {stopped:?}");
        assert!(!tiny.run_folder(what).join("bundle").exists());
        let resumed = tiny.fit(what, experiment, true, &Silent).unwrap();
        assert_eq!(
            FitSummary { seconds: 0.0, ..resumed },
            FitSummary { seconds: 0.0, ..summary.clone() }
        );
        same(&left(&tiny.run_folder(what)), &expected, what);
        assert_eq!(events_of(&tiny.run_folder(what)), expected_events, "{what}");
    }
}

#[test]
fn a_stopped_run_resumes_to_the_same_bits() {
    stop_and_resume(
        &experiment(),
        &[
            ("in the middle of an epoch", |event| steps(event) == Some((2, 2))),
            ("after the last step of an epoch", |event| steps(event) == Some((1, 4))),
            ("at the end of an epoch", |event| {
                matches!(event, Event::EpochFinished { epoch: 2, .. })
            }),
            ("at the end of all epochs", |event| {
                matches!(event, Event::EpochFinished { epoch: 3, .. })
            }),
            ("before the first step", |event| matches!(event, Event::TrainingStarted { .. })),
        ],
    );
}

#[test]
fn a_stopped_run_with_dropout_resumes_to_the_same_bits() {
    stop_and_resume(
        &bpnet(),
        &[("in the middle of an epoch", |event| steps(event) == Some((1, 3)))],
    );
}

#[test]
fn a_stopped_run_with_a_moving_average_resumes_to_the_same_bits() {
    stop_and_resume(
        &averaged(),
        &[
            ("in the middle of warm-up", |event| steps(event) == Some((1, 2))),
            ("in the middle of an epoch", |event| steps(event) == Some((2, 1))),
            ("at the end of an epoch", |event| {
                matches!(event, Event::EpochFinished { epoch: 1, .. })
            }),
        ],
    );
}

#[test]
fn the_moving_average_is_what_is_validated_and_kept() {
    let tiny = Tiny::new();
    let experiment = averaged();
    let summary = tiny.fit("run", &experiment, false, &Silent).unwrap();
    let run = tiny.run_folder("run");
    let last = Checkpoint::read(&run.join("last.safetensors")).unwrap();
    let fresh = || experiment.network.init(3, 3, &Device::flex());
    let path = run.join("bundle/weights.safetensors");
    let names = experiment.network.name_map();
    let bundle = values_by_name(&read_weights(fresh(), &names, &path).unwrap(), &NameMap::SAME);
    assert_eq!(bundle, last.average);
    assert!(bundle.keys().eq(last.model.keys()), "running statistics are averaged as well");
    for (name, weights) in &last.model {
        // A bias before a norm has no gradient.
        if weights.shape.len() > 1 || name.contains(".running_") {
            assert!(*weights != last.average[name], "{name} and its average are the same");
        }
    }
    let events = events(&run);
    let validated = events.iter().rfind(|event| event["event"] == "epoch_finished").unwrap();
    assert_eq!(validated["mean_score"].as_f64(), summary.mean_score);
}

#[test]
fn heads_are_raised_only_where_the_network_has_some() {
    let tiny = Tiny::new();
    let mut experiment = experiment();
    experiment.training.head_learning_rate_factor = 10.0;
    let error = tiny.fit("run", &experiment, false, &Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "training.head_learning_rate_factor = 10: expected 1: no part of this network is published \
         with a rate of its own"
    );
}

#[test]
fn a_warm_up_longer_than_the_run_is_refused() {
    let tiny = Tiny::new();
    let mut experiment = experiment();
    experiment.training.warm_up = Some(WarmUp { iterations: Some(12), ..WarmUp::default() });
    let error = tiny.fit("run", &experiment, false, &Silent).unwrap_err();
    let expected = "training.warm_up.iterations = 12: expected fewer than the 12 of this run";
    assert_eq!(error.to_string(), expected);
    experiment.training.warm_up = Some(WarmUp { iterations: Some(11), ..WarmUp::default() });
    let script = Script::stop_at(|event| steps(event) == Some((1, 1)));
    let stopped = tiny.fit("run", &experiment, false, &script).unwrap_err();
    assert!(matches!(stopped, EngineError::Stopped));
    let heard = script.heard.into_inner().unwrap();
    let Some(Event::Step { learning_rate, .. }) = heard.last() else { panic!("{heard:?}") };
    assert!((learning_rate - 0.01).abs() < 1e-12, "a tenth of the base: {learning_rate}");
}

#[test]
fn a_loss_that_does_not_fit_the_classes_is_refused() {
    let tiny = Tiny::new();
    let mut experiment = experiment();
    experiment.training.loss = LossConfig::LovaszHinge(LovaszHingeConfig::default());
    let error = tiny.fit("run", &experiment, false, &Silent).unwrap_err();
    assert!(error.to_string().starts_with("training.loss = lovasz_hinge: expected"), "{error}");
}

#[test]
fn a_single_slice_does_not_train_a_network_that_needs_two() {
    let tiny = Tiny::new();
    for number in 0..6 {
        std::fs::remove_file(tiny.image(number)).unwrap();
        std::fs::remove_file(tiny.labels(number)).unwrap();
    }
    for number in 0..2 {
        let (volume, labels) =
            synthetic::ellipsoid([1, 23, 20], [1.0; 3], [9.5, 11.0, 0.0], [6.0; 3]).unwrap();
        write_volume(&tiny.image(number), &volume).unwrap();
        write_labels(&tiny.labels(number), &labels).unwrap();
    }
    let experiment = Experiment { folds: 2.into(), fold: 0, ..bpnet() };
    let error = tiny.fit("run", &experiment, false, &Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "expected at least 2 slices to learn from, found 1: the network cannot be trained on \
             fewer at once: {}",
            tiny.dataset().folder.display()
        )
    );
}

#[test]
fn the_best_epoch_is_kept_where_asked_for() {
    let tiny = Tiny::new();
    let mut experiment = experiment();
    // Large steps to the end, so that the Dice goes up and down.
    experiment.training.schedule = Schedule::Constant;
    experiment.training.epochs = 8;
    experiment.training.learning_rate = 0.3;
    experiment.bundle.keep = Keep::Best;
    let script = Script::stop_at(|_| false);
    let summary = tiny.fit("run", &experiment, false, &script).unwrap();
    let dices: Vec<f64> = script
        .heard
        .into_inner()
        .unwrap()
        .iter()
        .filter_map(|event| match event {
            Event::EpochFinished { mean_score, .. } => *mean_score,
            _ => None,
        })
        .collect();
    let best = dices.iter().copied().fold(0.0, f64::max);
    assert_eq!(summary.mean_score, Some(best), "{dices:?}");
    assert_eq!(dices[summary.epoch - 1], best);
}

#[test]
fn another_experiment_does_not_resume_a_run() {
    let tiny = Tiny::new();
    let mut experiment = experiment();
    experiment.training.epochs = 1;
    tiny.fit("run", &experiment, false, &Silent).unwrap();
    let run = tiny.run_folder("run");
    let names = ["config.toml", "events.jsonl", "last.safetensors", "metrics.json"];
    let before = names.map(|name| bytes(run.join(name)));

    let other = Experiment { seed: 6, ..experiment.clone() };
    let error = tiny.fit("run", &other, true, &Silent).unwrap_err();
    let last = run.join("last.safetensors");
    assert_eq!(
        error.to_string(),
        format!(
            "this checkpoint belongs to another experiment: its settings differ: {}",
            last.display()
        )
    );
    let error = tiny.fit("run", &experiment, false, &Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "this folder holds a run already; resume it or choose another folder: {}",
            run.display()
        )
    );
    assert!(names.map(|name| bytes(run.join(name))) == before, "the run is as it was");
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let tiny = Tiny::new();
    let mut experiment = experiment();
    experiment.training.epochs = 1;
    tiny.fit("run", &experiment, false, &Silent).unwrap();
    let last = tiny.run_folder("run").join("last.safetensors");
    let whole = bytes(&last);
    std::fs::write(&last, &whole[..whole.len() / 2]).unwrap();
    let error = tiny.fit("run", &experiment, true, &Silent).unwrap_err();
    let expected = format!("not a whole safetensors file: {}", last.display());
    assert_eq!(error.to_string(), expected);

    std::fs::copy(tiny.run_folder("run").join("bundle/weights.safetensors"), &last).unwrap();
    let error = tiny.fit("run", &experiment, true, &Silent).unwrap_err();
    let expected = "expected a checkpoint of a training run, found other weights";
    assert_eq!(error.to_string(), format!("{expected}: {}", last.display()));
}

#[test]
fn events_are_lines_of_json_in_order() {
    let tiny = Tiny::new();
    let script = Script::stop_at(|_| false);
    let mut experiment = experiment();
    experiment.training.epochs = 2;
    experiment.training.validate_every = 2;
    tiny.fit("run", &experiment, false, &script).unwrap();
    let events = events(&tiny.run_folder("run"));
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let epoch = ["step", "step", "step", "step", "epoch_finished"];
    let validated = ["step", "step", "step", "step", "validated", "epoch_finished"];
    let expected = [&["training_started"][..], &epoch, &validated, &["training_finished"]];
    assert_eq!(kinds, expected.concat());
    let heard = script.heard.into_inner().unwrap();
    let heard: Vec<Value> =
        heard.iter().filter_map(|event| serde_json::to_value(event).ok()).collect();
    assert_eq!(heard, events, "the observer hears what the file holds");

    assert_eq!(events[0]["steps_per_epoch"], 4);
    assert_eq!(events[0]["first_epoch"], 1);
    assert_eq!((&events[1]["epoch"], &events[1]["step"]), (&1.into(), &1.into()));
    assert_eq!(events[1]["learning_rate"], 0.1);
    assert_eq!((&events[9]["epoch"], &events[9]["step"]), (&2.into(), &4.into()));
    assert_eq!(events[5]["mean_score"], Value::Null);
    assert_eq!(events[11]["scores"][1]["class"], "back");
    assert_eq!(events[11]["scores"][1]["cases"], 2);
    assert_eq!(events[12]["mean_score"], events[11]["mean_score"]);
}

#[test]
fn the_bundle_gives_the_dice_that_was_reported_on_the_grid_of_the_source() {
    let tiny = Tiny::new();
    let mut experiment = experiment();
    experiment.training.epochs = 40;
    let summary = tiny.fit("run", &experiment, false, &Silent).unwrap();
    let folder = tiny.run_folder("run").join("bundle");
    let model = Model::load(&folder, &DeviceChoice::Cpu.open()).unwrap();
    let training = model.manifest.training.as_ref().unwrap();
    assert_eq!((training.training_cases, training.epoch), (4, 40));

    let held_out = tiny.dataset().split(experiment.fold, 3, experiment.seed).unwrap().validation;
    let mut sums = [0.0; 2];
    for case in &held_out {
        let volume = read_volume(&case.image, &ReadOptions::default()).unwrap();
        let reference = read_labels(&case.labels, &ReadOptions::default()).unwrap();
        let found = segment_volume(&case.id, &volume, &model, &Silent).unwrap().labels;
        assert_eq!(found.geometry, volume.geometry);
        assert_eq!(found.source, volume.source);
        for (class, sum) in [1, 2].into_iter().zip(&mut sums) {
            *sum += dice(&found, &reference, class) / held_out.len() as f64;
        }
    }
    for (index, sum) in sums.into_iter().enumerate() {
        let ClassScore { class, score: reported, .. } = &summary.scores[index];
        let reported = reported.unwrap();
        assert!((reported - sum).abs() < 1e-12, "{sum} is not {reported}");
        assert!((model.manifest.metrics.as_ref().unwrap().dice[class] - sum).abs() < 1e-6);
    }
    assert!(sums.iter().all(|dice| *dice > 0.2), "{summary:?}");
}

#[test]
fn a_run_that_diverges_says_so_and_keeps_the_checkpoint_before() {
    let tiny = Tiny::new();
    let mut experiment = experiment();
    experiment.training.learning_rate = 100.0;
    experiment.training.schedule = Schedule::Constant;
    experiment.training.epochs = 100;
    experiment.training.validate_every = 100;
    let error = tiny.fit("run", &experiment, false, &Silent).unwrap_err();
    let (epoch, step) = match error {
        EngineError::Diverged { loss, epoch, step, batch } => {
            assert!(!loss.is_finite());
            let (tensors, said) = decode(&bytes(&batch), &batch, |_| true).unwrap();
            assert_eq!(tensors["inputs"].shape, [6, 3, 24, 24]);
            assert_eq!(tensors["labels"].shape, [6, 24, 24]);
            assert_eq!(said["epoch"], epoch.to_string());
            assert_eq!(said["slices"].lines().count(), 6);
            assert!(said["slices"].starts_with("case_"), "{said:?}");
            (epoch, step - 1)
        }
        EngineError::Overflowed { epoch, step } => (epoch, step - 1),
        error => panic!("{error}"),
    };
    assert!((epoch, step) > (1, 1), "the test needs a checkpoint before");
    let checkpoint = Checkpoint::read(&tiny.run_folder("run").join("last.safetensors")).unwrap();
    assert!(checkpoint.is_finite());
    assert!((checkpoint.progress.epoch + 1, checkpoint.progress.step) <= (epoch, step));
    assert!(!tiny.run_folder("run").join("bundle").exists());
}

#[test]
fn a_loss_that_is_no_number_leaves_the_batch_that_caused_it() {
    let tiny = Tiny::new();
    let mut experiment = experiment();
    experiment.training.loss = LossConfig::Sum(vec![WeightedLoss {
        weight: 1e300, // beyond what the numbers of the loss can hold
        loss: LossConfig::DiceCrossEntropy,
    }]);
    let error = tiny.fit("run", &experiment, false, &Silent).unwrap_err();
    let message = error.to_string();
    let EngineError::Diverged { epoch: 1, step: 1, batch, .. } = error else { panic!("{error}") };
    assert_eq!(batch, tiny.run_folder("run").join("diverged.safetensors"));
    assert!(message.starts_with("the loss is inf at epoch 1, step 1: lower"), "{message}");
    let (tensors, said) = decode(&bytes(&batch), &batch, |_| true).unwrap();
    let size = tensors["inputs"].shape[0];
    assert_eq!(said["slices"].lines().count(), size);
    assert!(said["slices"].lines().all(|slice| slice.starts_with("case_")), "{said:?}");
}

#[test]
fn several_batches_make_one_step_as_one_large_batch_does() {
    // Instance norms, so that no slice sees what else is in its batch, and a loss that is a mean
    // over pixels.
    let tiny = Tiny::new();
    let network =
        NnunetConfig { base_channels: 4, max_channels: 8, stages: 3, ..NnunetConfig::default() };
    let mut experiment = Experiment { network: NetworkConfig::Nnunet(network), ..experiment() };
    experiment.augmentation = AugmentConfig::default();
    experiment.training.loss = LossConfig::CrossEntropy(CrossEntropyConfig::default());
    experiment.training.epochs = 1;
    experiment.validate().unwrap();
    let learned = |name: &str, batch_size, accumulate| {
        let mut experiment = experiment.clone();
        experiment.training.batch_size = batch_size;
        experiment.training.accumulate = accumulate;
        tiny.fit(name, &experiment, false, &Silent).unwrap();
        Checkpoint::read(&tiny.run_folder(name).join("last.safetensors")).unwrap().model
    };
    let (large, small) = (learned("large", 6, 1), learned("small", 3, 2));
    let other = learned("other", 3, 1);
    let farthest = |model: &NamedTensors| {
        let values = |model: &NamedTensors| -> Vec<f32> {
            model.values().flat_map(|tensor| tensor.values.clone()).collect()
        };
        let pairs = values(model).into_iter().zip(values(&large));
        pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()))
    };
    assert!(farthest(&small) < 1e-4, "{}", farthest(&small));
    assert!(farthest(&other) > 1e-2, "steps of half the size lead elsewhere");
}

#[test]
fn a_run_of_iterations_in_parts_of_steps_resumes_to_the_same_bits() {
    let mut experiment = averaged();
    experiment.training.accumulate = 2;
    experiment.training.iterations = Some(5);
    experiment.validate().unwrap();
    stop_and_resume(
        &experiment,
        &[
            ("in the middle of an epoch", |event| steps(event) == Some((2, 1))),
            ("in the epoch that is cut short", |event| steps(event) == Some((3, 1))),
        ],
    );
}

#[test]
fn a_run_ends_early_where_nothing_gets_better() {
    let tiny = Tiny::new();
    let mut experiment = experiment();
    experiment.training.learning_rate = 0.0;
    experiment.training.epochs = 50;
    experiment.training.early_stop = Some(EarlyStop { patience: 3 });
    experiment.validate().unwrap();
    let script = Script::stop_at(|_| false);
    let summary = tiny.fit("run", &experiment, false, &script).unwrap();
    let events = events(&tiny.run_folder("run"));
    let finished: Vec<&Value> =
        events.iter().filter(|event| event["event"] == "epoch_finished").collect();
    let last_best = finished.iter().rposition(|event| event["best"] == true).unwrap();
    assert_eq!(finished.len(), last_best + 1 + 3);
    assert_eq!(summary.epoch, finished.len());
    assert!(summary.epoch < 50, "{summary:?}");
    let said = |event: &Value| event["message"].as_str().map(str::to_owned);
    let notices: Vec<String> = events.iter().filter_map(said).collect();
    assert_eq!(notices, ["stopped early: no epoch of the last 3 was better"]);
}

#[test]
fn a_run_starts_from_the_weights_of_another() {
    let tiny = Tiny::new();
    let mut experiment = experiment();
    experiment.training.epochs = 1;
    tiny.fit("first", &experiment, false, &Silent).unwrap();
    let start = StartWeights::read(&tiny.run_folder("first")).unwrap();
    assert_eq!(start.record.name, "tiny-unet");

    let given = tiny.fit_from(Some(&start), "unsaid", &experiment, false, &Silent).unwrap_err();
    assert!(given.to_string().starts_with("training.start_from = nothing: expected"), "{given}");

    experiment.training.start_from = Some(start.record.clone());
    experiment.training.learning_rate = 0.0;
    let script = Script::stop_at(|_| false);
    tiny.fit_from(Some(&start), "second", &experiment, false, &script).unwrap();
    let model = |name: &str| {
        Checkpoint::read(&tiny.run_folder(name).join("last.safetensors")).unwrap().model
    };
    let (first, second) = (model("first"), model("second"));
    for (name, tensor) in first.iter().filter(|(name, _)| !name.contains(".running_")) {
        assert!(*tensor == second[name], "{name}");
    }
    let heard = script.heard.into_inner().unwrap();
    assert!(heard.iter().any(|event| matches!(event, Event::Notice { message }
        if message.ends_with("numbers of the network are those of tiny-unet"))));

    let absent = tiny.fit("third", &experiment, false, &Silent).unwrap_err();
    assert!(absent.to_string().contains("expected these weights to be given"), "{absent}");
    // A run that goes on needs them no more.
    tiny.fit("second", &experiment, true, &Silent).unwrap();
}

#[test]
fn two_processes_do_not_train_in_one_folder() {
    let tiny = Tiny::new();
    let run = RunFolder::new(&tiny.run_folder("run"));
    run.create().unwrap();
    let held = run.lock().unwrap();
    let error = tiny.fit("run", &experiment(), false, &Silent).unwrap_err().to_string();
    assert!(error.starts_with("another process trains in this folder: "), "{error}");
    drop(held);
    tiny.fit("run", &experiment(), false, &Silent).unwrap();
}

/// What training says about a data set that `spoil` has changed.
fn complaint(spoil: impl Fn(&Tiny)) -> (Tiny, String) {
    let tiny = Tiny::new();
    spoil(&tiny);
    let error = tiny.fit("run", &experiment(), false, &Silent).unwrap_err();
    (tiny, error.to_string())
}

#[test]
fn a_label_that_is_no_class_is_named_with_its_file() {
    for number in 0..6 {
        let (tiny, message) = complaint(|tiny| {
            let (_, mut labels) = case(number);
            labels.labels[[3, 4, 5]] = 7;
            write_labels(&tiny.labels(number), &labels).unwrap();
        });
        let path = tiny.labels(number);
        assert_eq!(message, format!("expected labels 0 to 2, found 7: {}", path.display()));
    }
}

#[test]
fn labels_on_another_grid_are_named_with_their_file() {
    let (tiny, message) = complaint(|tiny| {
        let (_, labels) = case(0);
        let order = lamina_io::AxisOrder::new([1, 0, 2], [false; 3]).unwrap();
        write_labels(&tiny.labels(4), &labels.reoriented(&order)).unwrap();
    });
    assert_eq!(
        message,
        format!(
            "image and labels differ: expected [6, 23, 20] voxels (depth, height, width), found \
             [6, 20, 23]: {}",
            tiny.labels(4).display()
        )
    );
}

#[test]
fn a_voxel_that_is_no_number_is_named_with_its_file() {
    let (tiny, message) = complaint(|tiny| {
        let (mut volume, _) = case(1);
        let mut values = volume.to_f32();
        values[[5, 4, 3]] = f32::NAN;
        values[[5, 4, 4]] = f32::INFINITY;
        volume.voxels = Voxels::F32(values);
        write_volume(&tiny.image(1), &volume).unwrap();
    });
    assert_eq!(
        message,
        format!(
            "expected finite voxels, found 2 that are not, the first is NaN at (x, y, z) = \
             (3, 4, 5): {}",
            tiny.image(1).display()
        )
    );
}

#[test]
fn an_image_that_is_cut_off_is_named() {
    let (tiny, message) = complaint(|tiny| {
        let whole = bytes(tiny.image(2));
        std::fs::write(tiny.image(2), &whole[..whole.len() - 100]).unwrap();
    });
    assert!(message.starts_with("expected 11040 bytes of voxels, found 10940"), "{message}");
    assert!(message.ends_with(&tiny.image(2).display().to_string()), "{message}");
}

#[test]
fn ignored_voxels_are_neither_learned_nor_measured() {
    let tiny = Tiny::new();
    for number in 0..6 {
        let (_, mut labels) = case(number);
        labels.labels.mapv_inplace(|label| if label == 2 { 255 } else { label });
        write_labels(&tiny.labels(number), &labels).unwrap();
    }
    let mut experiment = experiment();
    experiment.training.epochs = 40;
    let summary = tiny.fit("run", &experiment, false, &Silent).unwrap();
    let [front, back] = &summary.scores[..] else { panic!("{summary:?}") };
    assert!(front.score.unwrap() > 0.8, "{summary:?}");
    assert_eq!((back.score, back.cases), (None, 0), "no case shows any back");
}
