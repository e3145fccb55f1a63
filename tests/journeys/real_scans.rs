//! The published facts of real files.

use crate::support::{Sandbox, larger_data};

#[test]
fn the_bundled_model_knows_the_cases_that_it_was_trained_on() {
    let Some(data) = larger_data("the fingerprint of the bundled model") else { return };
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let sandbox = Sandbox::new();
    for file in std::fs::read_dir(root.join("models/hippocampus-unet")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        sandbox.write(&format!("hippocampus-unet/{name}"), std::fs::read(&path).unwrap());
    }
    let manifest = sandbox.path("hippocampus-unet/model.toml");
    let before = std::fs::read_to_string(&manifest).unwrap();
    let config = root.join("configs/datasets/hippocampus.toml");
    let (config, data) = (config.display(), data.display());
    sandbox
        .lamina(&format!("fingerprint hippocampus-unet --dataset {config} --data {data}"))
        .exits(0);
    assert_eq!(std::fs::read_to_string(&manifest).unwrap(), before);
}

#[test]
fn info_agrees_with_the_facts_of_the_hippocampus_data() {
    let Some(data) = larger_data("the facts of the hippocampus data") else { return };
    let facts = std::fs::read_to_string(data.join("expected.json")).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
    let folder = data.join("hippocampus");
    for part in ["images", "labels"] {
        let run =
            Sandbox::new().lamina(&format!("info --json {}", folder.join(part).display())).exits(0);
        let entries = run.json();
        assert_eq!(entries.as_array().unwrap().len(), 160);
        for entry in entries.as_array().unwrap() {
            let path = std::path::Path::new(entry["path"].as_str().unwrap());
            let name = format!("hippocampus/{part}/{}", path.file_name().unwrap().display());
            let fact = &facts["files"][&name];
            assert_eq!(entry["shape"], fact["shape"], "{name}");
            assert_eq!(entry["dtype"], fact["dtype"], "{name}");
            let close = |key: &str| {
                let (found, expected) = (entry[key].as_f64().unwrap(), fact[key].as_f64().unwrap());
                assert!(
                    (found - expected).abs() <= 1e-5 * expected.abs().max(1.0),
                    "{name}: {key} {found} for {expected}"
                );
            };
            for key in ["min", "max", "mean"] {
                close(key);
            }
            if part == "labels" {
                assert_eq!(entry["labels"], fact["counts"], "{name}");
            }
        }
    }
}

#[test]
fn references_agree_with_themselves() {
    let Some(data) = larger_data("evaluating the hippocampus references") else { return };
    let labels = data.join("hippocampus/labels");
    let labels = labels.display();
    let report = Sandbox::new()
        .lamina(&format!("evaluate --prediction {labels} --reference {labels} --json"))
        .exits(0)
        .json();
    assert_eq!(report["cases"].as_array().unwrap().len(), 160);
    assert_eq!(report["summary"]["foreground"]["dice"], 1.0);
}
