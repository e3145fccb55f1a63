//! Train a little, look at what it leaves, and make a page of it.

use std::fs;

use crate::support::{Sandbox, write_tiny_experiment};

const TRAIN: &str =
    "train --config configs/experiments/tiny-unet.toml --data data --device cpu --epochs 4";

/// Width and height of a PNG.
fn size(sandbox: &Sandbox, name: &str) -> [u32; 2] {
    let bytes = fs::read(sandbox.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{name}");
    [16, 20].map(|at| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()))
}

#[test]
fn a_training_leaves_curves_examples_event_files_and_a_page() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    let run = sandbox.lamina(&format!("{TRAIN} --out run --curves 2")).exits(0);
    // Plain lines for those who read a file, and curves where they were asked for.
    assert!(run.stderr.contains("epoch 4/4: loss "), "{run}");
    assert_eq!(run.stderr.matches("└──").count(), 2 * 2, "{run}");
    assert_eq!(size(&sandbox, "run/curves.png"), [1280, 706]);
    for name in ["training_batch", "held_out_best", "held_out_worst"] {
        let [width, height] = size(&sandbox, &format!("run/examples/{name}.png"));
        assert!(width > 400 && height > 200, "{name}: {width} x {height}");
    }
    assert_eq!(sandbox.list("run/tensorboard").len(), 1);

    sandbox.lamina("report run --data data").exits(0);
    let page = fs::read_to_string(sandbox.path("run/report.html")).unwrap();
    for words in
        ["Course of training", "<polyline", "ellipsoid", "base_channels = 4", "lamina train"]
    {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains(sandbox.path("").to_str().unwrap()), "a path of this machine");

    // A second run of another seed, held against the first on the same cases.
    sandbox.lamina(&format!("{TRAIN} --out other --seed 3")).exits(0);
    let compared = sandbox.lamina("compare run other --json").exits(0).json();
    assert_eq!(compared["comparisons"][0]["n_cases"], 2);
    assert_eq!(compared["comparisons"][0]["classes"][0]["difference"], 0.0);
}

#[test]
fn a_run_that_goes_on_has_no_step_twice() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    let command = format!("{TRAIN} --epochs 40 --out run").replace("--epochs 4 ", "");
    let mut child = sandbox.start(&command);
    let events = sandbox.path("run/events.jsonl");
    while !fs::read_to_string(&events).is_ok_and(|text| text.contains("epoch_finished")) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap(); // no time to write a checkpoint
    child.wait().unwrap();
    sandbox.lamina(&format!("{command} --resume")).exits(0);
    assert_eq!(sandbox.list("run/tensorboard").len(), 2);
    sandbox.lamina("report run").exits(0);
    let page = fs::read_to_string(sandbox.path("run/report.html")).unwrap();
    // The first chart is the loss: one point for each epoch, each further to the right.
    let points = page.split("<polyline points=\"").nth(1).unwrap().split('"').next().unwrap();
    let across: Vec<f64> =
        points.split(' ').map(|point| point.split(',').next().unwrap().parse().unwrap()).collect();
    assert_eq!(across.len(), 40, "{points}");
    assert!(across.is_sorted(), "{points}");
}
