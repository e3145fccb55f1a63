//! `lamina plan`.

use crate::support::{Sandbox, write_tiny_experiment};
use crate::transcript;

#[test]
fn a_folder_is_planned_and_the_plan_trains() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    std::fs::remove_dir_all(sandbox.path("configs")).unwrap();
    let planned = sandbox.lamina("plan data/tiny --modality mr --memory-gib 2").exits(0);
    assert!(planned.stdout.contains("whole slices: "), "{planned}");
    assert!(planned.stdout.contains("configs/experiments/tiny-unet.toml"), "{planned}");

    let description = std::fs::read_to_string(sandbox.path("configs/datasets/tiny.toml")).unwrap();
    assert!(description.contains("name = \"label 1\""), "{description}");
    let experiment =
        std::fs::read_to_string(sandbox.path("configs/experiments/tiny-unet.toml")).unwrap();
    assert!(experiment.contains("\n# each slice takes some "), "{experiment}");

    let train = "train --config configs/experiments/tiny-unet.toml --data data --out run --device cpu --epochs 1 --json";
    let run = sandbox.lamina(train).exits(0);
    assert!(run.json()["mean_score"].as_f64().is_some(), "{run}");

    // Nothing that somebody may have changed is replaced unasked.
    let again = sandbox.lamina("plan data/tiny --modality mr").exits(2);
    assert!(again.stderr.contains("expected no such file yet, or --overwrite: "), "{again}");
    sandbox.lamina("plan data/tiny --modality mr --overwrite").exits(0);
}

#[test]
fn a_description_gets_its_experiment_beside_it() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    let description = sandbox.path("configs/datasets/tiny.toml");
    let before = std::fs::read(&description).unwrap();
    let plan = "plan configs/datasets/tiny.toml --data data --network nnunet-2d --json";
    let planned = sandbox.lamina(plan).exits(0);
    assert_eq!(planned.json()["experiment"], "configs/experiments/tiny-nnunet-2d.toml");
    assert!(planned.json().get("dataset").is_none(), "{planned}");
    assert_eq!(std::fs::read(&description).unwrap(), before);
}

#[test]
fn what_cannot_be_planned_is_said() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    transcript!(sandbox.lamina("plan nowhere"), @r"
    $ lamina plan nowhere
    exit code 2
    --- stderr
    error: expected a description or a folder: nowhere
      caused by: No such file or directory (os error 2)
    ");
    let network = sandbox.lamina("plan data/tiny --network vnet").exits(2);
    assert!(network.stderr.contains("expected one of bpnet-s3-w32, "), "{network}");
    let memory = sandbox.lamina("plan data/tiny --out plans --memory-gib 0.01").exits(2);
    assert!(memory.stderr.contains("expected memory for 2 slices of "), "{memory}");
    assert!(!sandbox.path("plans").exists());
}
