//! Train a little, predict with what came out, and measure it.

use crate::support::{Sandbox, write_tiny_experiment};

#[test]
fn a_trained_model_finds_what_it_has_not_seen() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    let run = sandbox
        .lamina("train --config configs/experiments/tiny-unet.toml --data data --out run --device cpu --json")
        .exits(0);
    let learned = run.json()["mean_score"].as_f64().unwrap();
    assert!(learned > 0.7, "{run}");

    sandbox.lamina("predict data/tiny/images --out masks --model run/bundle --device cpu").exits(0);
    let report = sandbox
        .lamina(
            "evaluate --prediction masks --reference data/tiny/labels --model run/bundle --json",
        )
        .exits(0)
        .json();
    assert_eq!(report["summary"]["classes"][0]["name"], "ellipsoid");
    assert_eq!(report["summary"]["classes"][0]["n_scored"], 6);
    assert!(report["summary"]["foreground"]["dice"].as_f64().unwrap() > 0.7, "{report}");
}

#[test]
fn a_model_knows_what_it_was_trained_on_and_can_be_told_later() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    sandbox
        .lamina("train --config configs/experiments/tiny-unet.toml --data data --out run --epochs 1 --device cpu")
        .exits(0);
    let manifest = sandbox.path("run/bundle/model.toml");
    let trained = std::fs::read_to_string(&manifest).unwrap();
    let report = sandbox.lamina("fingerprint run/bundle --json").exits(0).json();
    let fingerprint = &report["fingerprint"];
    assert_eq!(fingerprint["spacing_mm"][2], serde_json::json!([3.0, 3.0]));
    assert_eq!(fingerprint["classes"][0]["name"], "ellipsoid");

    // An older bundle has none, works, and gets the same one from its data set.
    let without = trained.split("[fingerprint]").next().unwrap().to_owned()
        + &trained[trained.find("[weights]").unwrap()..];
    std::fs::write(&manifest, &without).unwrap();
    let run = sandbox.lamina("fingerprint run/bundle").exits(0);
    assert!(run.stdout.contains("does not say what it was trained on"), "{run}");
    sandbox
        .lamina("predict data/tiny/images/case_0.nii.gz --out masks --model run/bundle")
        .exits(0);
    let measure = "fingerprint run/bundle --dataset configs/datasets/tiny.toml --data data";
    let run = sandbox.lamina(measure).exits(2);
    assert!(run.stderr.contains("expected --folds"), "{run}");
    let measure = &format!("{measure} --folds 3");
    let run = sandbox.lamina(measure).exits(0);
    assert!(run.stdout.contains("spacing       1 × 1.2 × 3 mm"), "{run}");
    assert_eq!(std::fs::read_to_string(&manifest).unwrap(), trained);

    // Other cases are refused, and nothing is written.
    std::fs::remove_file(sandbox.path("data/tiny/images/case_5.nii.gz")).unwrap();
    std::fs::remove_file(sandbox.path("data/tiny/labels/case_5.nii.gz")).unwrap();
    let run = sandbox.lamina(measure).exits(2);
    assert!(run.stderr.contains("cases that tiny-unet learned from, found"), "{run}");
    assert_eq!(std::fs::read_to_string(&manifest).unwrap(), trained);
}

#[test]
fn a_run_that_resumes_ends_as_if_it_had_not_stopped() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    let train = "train --config configs/experiments/tiny-unet.toml --data data --device cpu --epochs 30 --json";
    sandbox.lamina(&format!("{train} --out whole")).exits(0);

    let child = sandbox.start(&format!("{train} --out stopped"));
    let events = sandbox.path("stopped/events.jsonl");
    while !std::fs::read_to_string(&events).is_ok_and(|text| text.contains("epoch_finished")) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let code = child.wait_with_output().unwrap().status.code();
    assert!(matches!(code, Some(130 | 0)), "{code:?}"); // 0 where it was done before the signal
    sandbox.lamina(&format!("{train} --out stopped --resume")).exits(0);
    let environment = std::fs::read_to_string(sandbox.path("stopped/environment.json")).unwrap();
    let environment: serde_json::Value = serde_json::from_str(&environment).unwrap();
    let sessions = environment["sessions"].as_array().unwrap();
    let ends: Vec<_> = sessions.iter().map(|session| session["end"].as_str().unwrap()).collect();
    assert!(ends == ["stopped", "finished"] || ends == ["finished"; 2], "{environment}");
    assert_eq!(sessions[1]["command"][0], "lamina");
    assert!(sessions[1]["seconds"].as_f64().unwrap() > 0.0);

    let weights = |run: &str| {
        std::fs::read(sandbox.path(&format!("{run}/bundle/weights.safetensors"))).unwrap()
    };
    assert!(weights("whole") == weights("stopped"), "the weights differ");
}

#[test]
fn a_run_that_is_killed_ends_as_if_it_had_not_been() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    let train = "train --config configs/experiments/tiny-unet.toml --data data --device cpu --epochs 30 --json";
    sandbox.lamina(&format!("{train} --threads 1 --out whole")).exits(0);

    // Twice, each time wherever it happens to be.
    let events = sandbox.path("killed/events.jsonl");
    for epochs in [2, 9] {
        let command = format!("{train} --out killed --resume --checkpoint-minutes 0");
        let mut child = sandbox.start(&command);
        let reached = |text: String| text.matches("epoch_finished").count() >= epochs;
        while !std::fs::read_to_string(&events).is_ok_and(reached) {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.kill().unwrap(); // SIGKILL: nothing can be said or written any more
        child.wait().unwrap();
        assert!(!sandbox.path("killed/bundle").exists());
    }
    sandbox.lamina(&format!("{train} --threads 3 --out killed --resume")).exits(0);

    let weights = |run: &str| {
        std::fs::read(sandbox.path(&format!("{run}/bundle/weights.safetensors"))).unwrap()
    };
    assert!(weights("whole") == weights("killed"), "the weights differ");
}
