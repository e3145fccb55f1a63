//! `lamina predict` with several models, looking again, and how sure they are together.

use std::fs;

use lamina_io::{ReadOptions, read_labels};

use crate::support::{Sandbox, write_tiny_experiment};

const TRAIN: &str = "train --config configs/experiments/tiny-unet.toml --data data --device cpu \
                     --epochs 2";

/// Two models of the tiny data set, `a/bundle` and `b/bundle`.
fn two_models() -> Sandbox {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    sandbox.lamina(&format!("{TRAIN} --out a --fold 0")).exits(0);
    sandbox.lamina(&format!("{TRAIN} --out b --fold 1")).exits(0);
    sandbox
}

#[test]
fn several_models_are_named_in_the_record_and_resume_safely() {
    let sandbox = two_models();
    let predict =
        "predict data/tiny/images --out masks --device cpu --model a/bundle --model b/bundle";
    let run = sandbox.lamina(&format!("{predict} --uncertainty --json")).exits(0);
    assert!(run.stderr.contains("2 models, tiny-unet + tiny-unet"), "{run}");
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(sandbox.path("masks/case_0.json")).unwrap()).unwrap();
    let members = record["recipe"]["members"].as_array().unwrap();
    assert_eq!(members.len(), 2);
    assert!(members[0]["weights_sha256"] != members[1]["weights_sha256"]);
    assert!(record["recipe"]["weights_sha256"] != members[0]["weights_sha256"]);
    let agreement = &record["agreement"];
    let image = read_labels(&sandbox.path("masks/case_0.nii.gz"), &ReadOptions::default()).unwrap();
    let slices = agreement["slices"].as_array().unwrap();
    assert_eq!((agreement["axis"].as_u64(), slices.len()), (Some(2), image.shape()[0]));
    assert!(record["doubt"]["risk"].as_f64().unwrap() > 0.0);

    // The map is beside the mask, on its grid, and not certain everywhere.
    let map = sandbox.path("masks/case_0_uncertainty.nii.gz");
    let map = read_labels(&map, &ReadOptions::default()).unwrap();
    image.geometry.same_grid(&map.geometry).unwrap();
    assert!(map.labels.iter().any(|value| *value > 0));

    // The same again does nothing; another model, or another way to use it, is not taken for it.
    let again = sandbox.lamina(&format!("{predict} --uncertainty")).exits(0);
    assert!(again.stderr.contains("done by an earlier run"), "{again}");
    let one = "predict data/tiny/images --out masks --device cpu --model a/bundle";
    let other = sandbox.lamina(one).exits(1);
    assert!(other.stderr.contains("was not made from this input by this model"), "{other}");
    sandbox.lamina(&format!("{predict} --tta flips")).exits(1);
    // A map of another kind is made anew.
    let mutual = sandbox.lamina(&format!("{predict} --uncertainty=mutual-information")).exits(0);
    assert!(!mutual.stderr.contains("done by an earlier run"), "{mutual}");
    let run = sandbox.lamina(&format!("{one} --uncertainty=mutual-information")).exits(2);
    assert!(run.stderr.contains("expected several models"), "{run}");
}

#[test]
fn an_ensemble_is_a_folder_that_works_where_a_bundle_does() {
    let sandbox = two_models();
    let together = "predict data/tiny/images --device cpu --model a/bundle --model b/bundle --out";
    sandbox.lamina(&format!("{together} together")).exits(0);
    sandbox.write(
        "both/ensemble.toml",
        "format = 1\nname = \"both\"\ntitle = \"Both\"\n\
         [[members]]\nfolder = \"../a/bundle\"\n[[members]]\nfolder = \"../b/bundle\"\n",
    );
    let run = sandbox
        .lamina("predict data/tiny/images --device cpu --model both --out masks --report --json")
        .exits(0);
    assert_eq!(run.json()["model"]["name"], "both");
    for case in 0..6 {
        let [masks, together] = ["masks", "together"]
            .map(|folder| fs::read(sandbox.path(&format!("{folder}/case_{case}.nii.gz"))).unwrap());
        assert!(masks == together, "{case}");
    }
    let page = fs::read_to_string(sandbox.path("masks/case_0.html")).unwrap();
    assert!(page.contains("both"));

    // What takes one model says so.
    let run = sandbox.lamina("export both --to onnx --out model.onnx");
    assert_ne!(run.code, Some(0), "{run}");
    let run = sandbox.lamina("fingerprint both").exits(2);
    assert!(run.stderr.contains("expected a single model, found an ensemble"), "{run}");
}

#[test]
fn looking_again_is_counted_and_part_of_the_record() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    sandbox.lamina(&format!("{TRAIN} --out a")).exits(0);
    let predict = "predict data/tiny/images/case_0.nii.gz --device cpu --model a/bundle";
    let record = |folder: &str| -> serde_json::Value {
        let text = fs::read(sandbox.path(&format!("{folder}/case_0.json"))).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    sandbox.lamina(&format!("{predict} --out plain")).exits(0);
    let slices = record("plain")["passes"].as_u64().unwrap();
    assert_eq!(record("plain")["recipe"]["inference"].as_object().unwrap().len(), 2);
    sandbox
        .lamina(&format!(
            "{predict} --out again --tta flips --scales 0.5,1 --tile 12x100 --overlap 0"
        ))
        .exits(0);
    let again = record("again");
    assert_eq!(again["recipe"]["inference"]["scales"], serde_json::json!([0.5, 1.0]));
    assert_eq!(again["recipe"]["inference"]["tile"]["size"], serde_json::json!([12, 100]));
    // Four mirrors of one window at half the size and of two at the full one.
    assert_eq!(again["passes"].as_u64().unwrap() % (4 * slices), 0);
    assert!(again["passes"].as_u64().unwrap() >= 12 * slices, "{again}");

    for (wrong, reason) in [
        ("--scales 0", "inference.scales = [0.0]: expected factors from 0.1 to 8"),
        ("--tile 4", "inference.tile.size = [4, 4]: expected"),
        ("--tile big", "expected a side, HEIGHTxWIDTH or none, found \"big\""),
        ("--overlap 0.5", "--tile"),
    ] {
        let run = sandbox.lamina(&format!("{predict} --out wrong {wrong}")).exits(2);
        assert!(run.stderr.contains(reason), "{run}");
    }
}
