//! Every fold of an experiment, in one command and in several, stopped, failed and taken up again.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Sandbox, write_tiny_experiment};

const CV: &str =
    "cv --config configs/experiments/tiny-unet.toml --data data --device cpu --epochs 1";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    sandbox
}

fn json_of(sandbox: &Sandbox, path: &str) -> Value {
    serde_json::from_slice(&fs::read(sandbox.path(path)).unwrap()).unwrap()
}

/// Everything that two cross-validations have to agree in, by its path: all but times.
fn results(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(place) = waiting.pop() {
        for entry in fs::read_dir(&place).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            let kept = name.ends_with(".nii.gz")
                || name.ends_with("evaluation.json")
                || name.ends_with("postprocessing.json")
                || name.contains("weights.safetensors")
                || name.ends_with("ensemble.toml")
                || name.ends_with("splits_final.json");
            if path.is_dir() {
                waiting.push(path);
            } else if kept {
                files.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn assert_same(sandbox: &Sandbox, one: &str, other: &str) {
    let [one, other] = [one, other].map(|folder| results(&sandbox.path(folder)));
    let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&one), names(&other));
    assert!(one.len() > 20);
    for ((name, one), (_, other)) in one.iter().zip(&other) {
        assert!(one == other, "{name} differs");
    }
}

#[test]
fn all_folds_in_one_command_are_all_folds_in_several() {
    let sandbox = sandbox();
    let run = sandbox.lamina(&format!("{CV} --out whole --json")).exits(0);
    let outcomes = run.json();
    assert_eq!((outcomes["cases"].as_u64(), outcomes["failed"].as_u64()), (Some(6), Some(0)));
    let plan = json_of(&sandbox, "whole/cv.json");
    let states: Vec<&Value> =
        plan["folds"].as_array().unwrap().iter().map(|fold| &fold["state"]).collect();
    assert_eq!(states, ["done", "done", "done"]);
    assert_eq!(plan["result"], outcomes);

    // Every case by the fold that never saw it.
    let splits = json_of(&sandbox, "whole/splits_final.json");
    for (fold, sides) in splits.as_array().unwrap().iter().enumerate() {
        for case in sides["val"].as_array().unwrap() {
            let case = case.as_str().unwrap();
            let mask = |folder: &str| {
                fs::read(sandbox.path(&format!("whole/{folder}/{case}.nii.gz"))).unwrap()
            };
            assert!(mask("out_of_fold") == mask(&format!("fold_{fold}/validation")), "{case}");
        }
    }
    // The evaluation is what the program says of the same masks.
    let report = sandbox
        .lamina(
            "evaluate --prediction whole/out_of_fold --reference data/tiny/labels --surface \
             --model whole/fold_0/bundle --json",
        )
        .exits(0)
        .json();
    let gathered = json_of(&sandbox, "whole/out_of_fold/evaluation.json");
    assert_eq!(gathered["summary"]["classes"][0]["dice"], report["summary"]["classes"][0]["dice"]);
    assert_eq!(outcomes["classes"][0]["dice"]["mean"], gathered["summary"]["foreground"]["dice"]);

    // The printed commands, in another order, give the same to the last bit.
    let printed = sandbox.lamina(&format!("{CV} --out parts --print-commands")).exits(0).stdout;
    let mut commands: Vec<&str> = printed.lines().collect();
    assert_eq!(commands.len(), 4);
    assert!(!sandbox.path("parts").exists());
    commands[..3].reverse();
    let early = sandbox.lamina(&format!("{CV} --out parts --gather")).exits(1);
    assert!(early.stderr.contains("0 (not begun), 1 (not begun), 2 (not begun)"), "{early}");
    for command in commands {
        sandbox.lamina(command.strip_prefix("lamina ").unwrap()).exits(0);
    }
    assert_same(&sandbox, "whole", "parts");

    // What is done is kept, and nothing else is mixed with it.
    let again = sandbox.lamina(&format!("{CV} --out whole")).exits(0);
    assert!(again.stderr.contains("fold 0: done earlier"), "{again}");
    assert_same(&sandbox, "whole", "parts");
    let other = sandbox.lamina(&format!("{CV} --out whole --seed 4")).exits(2);
    assert!(other.stderr.contains("a cross-validation of another experiment"), "{other}");
    let beyond = sandbox.lamina(&format!("{CV} --out whole --fold 3")).exits(2);
    assert!(beyond.stderr.contains("expected --fold 0 to 2, found 3"), "{beyond}");

    // The ensemble works where a bundle does, as it was made and somewhere else.
    fs::rename(sandbox.path("whole/ensemble"), sandbox.path("moved")).unwrap();
    let predict = "predict data/tiny/images --out masks --model moved --device cpu --uncertainty";
    let run = sandbox.lamina(predict).exits(0);
    assert!(run.stderr.contains("3 models, tiny-unet-3-folds"), "{run}");
    let record = json_of(&sandbox, "masks/case_0.json");
    assert_eq!(record["recipe"]["members"].as_array().unwrap().len(), 3);
    assert_eq!(record["agreement"]["members"], 3);
}

#[test]
fn a_killed_cross_validation_goes_on() {
    let sandbox = sandbox();
    sandbox.lamina(&format!("{CV} --out whole")).exits(0);
    // Killed in each stage: while planning, in a training, among masks, between folds.
    for place in [
        "cv.json",
        "fold_0/last.safetensors",
        "fold_1/validation",
        "fold_1/validation/evaluation.json",
    ] {
        let mut child = sandbox.start(&format!("{CV} --out killed"));
        let path = sandbox.path("killed").join(place);
        while !path.exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
    sandbox.lamina(&format!("{CV} --out killed")).exits(0);
    assert_same(&sandbox, "whole", "killed");
}

#[test]
fn a_fold_that_fails_is_told_and_the_others_go_on() {
    let sandbox = sandbox();
    sandbox.write("cv/fold_1/last.safetensors", "no checkpoint");
    let run = sandbox.lamina(&format!("{CV} --out cv")).exits(1);
    assert!(run.stderr.contains("fold 1 failed: "), "{run}");
    assert!(run.stderr.contains("not gathered, for folds are missing: 1 (failed: "), "{run}");
    let plan = json_of(&sandbox, "cv/cv.json");
    let states: Vec<&Value> =
        plan["folds"].as_array().unwrap().iter().map(|fold| &fold["state"]).collect();
    assert_eq!(states, ["done", "failed", "done"]);
    assert!(!sandbox.path("cv/out_of_fold").exists());

    fs::remove_file(sandbox.path("cv/fold_1/last.safetensors")).unwrap();
    let run = sandbox.lamina(&format!("{CV} --out cv")).exits(0);
    assert!(run.stderr.contains("fold 2: done earlier"), "{run}");
    assert!(sandbox.path("cv/out_of_fold/evaluation.json").exists());
}

#[test]
fn two_processes_do_not_take_the_same_fold() {
    let sandbox = sandbox();
    fs::create_dir(sandbox.path("cv")).unwrap();
    let lock = fs::File::create(sandbox.path("cv/fold_0.lock")).unwrap();
    lock.lock().unwrap();
    let run = sandbox.lamina(&format!("{CV} --out cv --fold 0")).exits(1);
    assert!(run.stderr.contains("fold 0: another process is at it"), "{run}");
    assert!(!sandbox.path("cv/fold_0").exists());
    lock.unlock().unwrap();
    sandbox.lamina(&format!("{CV} --out cv --fold 0")).exits(0);
    assert!(sandbox.path("cv/fold_0/validation/evaluation.json").exists());
}

/// Adds lines to the description of the data set.
fn describe(sandbox: &Sandbox, lines: &str) {
    let path = "configs/datasets/tiny.toml";
    let text = include_str!("../support/tiny_dataset.toml");
    sandbox.write(path, format!("{lines}\n{text}"));
}

#[test]
fn groups_are_left_out_one_by_one() {
    let sandbox = sandbox();
    describe(&sandbox, "groups = \"sites.csv\"");
    let sites = "case,site\ncase_0,north\ncase_1,north\ncase_2,south\ncase_3,south\ncase_4,south\ncase_5,west\n";
    sandbox.write("data/tiny/sites.csv", sites);
    let leave = format!("{CV} --out cv --folds leave_one_group_out");
    let printed = sandbox.lamina(&format!("{leave} --print-commands")).exits(0).stdout;
    assert_eq!(printed.lines().count(), 4, "{printed}");
    assert!(printed.lines().all(|line| line.contains("--folds leave_one_group_out")));
    sandbox.lamina(&format!("{leave} --fold 2")).exits(0);
    let plan = json_of(&sandbox, "cv/cv.json");
    assert_eq!(plan["groups"]["south"], json!(["case_2", "case_3", "case_4"]));
    let splits = json_of(&sandbox, "cv/splits_final.json");
    assert_eq!(splits[0]["val"], json!(["case_0", "case_1"]));
    assert_eq!(splits[2]["val"], json!(["case_5"]));

    sandbox.write("data/tiny/sites.csv", sites.replace("case_5,west\n", ""));
    let run = sandbox.lamina(&format!("{CV} --out other")).exits(2);
    assert!(run.stderr.contains("expected a group for every case, found none for case_5"), "{run}");
    assert!(run.stderr.contains("sites.csv"), "{run}");
    describe(&sandbox, "group_pattern = \"(unclosed\"");
    let run = sandbox.lamina(&format!("{CV} --out other")).exits(2);
    assert!(run.stderr.contains("`group_pattern` is no regular expression"), "{run}");
}

#[test]
fn one_image_of_two_patients_is_refused_and_a_group_of_both_mends_it() {
    let sandbox = sandbox();
    for kind in ["images", "labels"] {
        let path = |case: &str| sandbox.path(&format!("data/tiny/{kind}/{case}.nii.gz"));
        fs::copy(path("case_0"), path("case_0b")).unwrap();
    }
    let leave = format!("{CV} --folds leave_one_group_out");
    let run = sandbox.lamina(&format!("{leave} --out cv --fold 0")).exits(2);
    assert!(run.stderr.contains("case_0 and case_0b; put them into one group"), "{run}");
    assert!(!sandbox.path("cv/cv.json").exists());

    let accept = format!("{leave} --out accepted --fold 0 --accept-duplicates");
    let run = sandbox.lamina(&accept).exits(0);
    assert!(run.stderr.contains("case_0 and case_0b are the same image"), "{run}");
    let plan = json_of(&sandbox, "accepted/cv.json");
    assert_eq!(plan["look_alikes"][0]["same"], true);

    describe(&sandbox, "group_pattern = \"case_[0-9]\"");
    sandbox.lamina(&format!("{leave} --out mended --fold 0")).exits(0);
    assert_eq!(json_of(&sandbox, "mended/cv.json")["look_alikes"], json!([]));
}

#[test]
fn a_case_that_no_fold_holds_out_is_named() {
    let sandbox = sandbox();
    describe(&sandbox, "folds = \"splits_final.json\"");
    let all = ["case_0", "case_1", "case_2", "case_3", "case_4", "case_5"];
    let side = |val: &[&str]| {
        let train: Vec<&str> = all.iter().copied().filter(|case| !val.contains(case)).collect();
        json!({ "train": train, "val": val })
    };
    let splits = json!([side(&["case_0", "case_1"]), side(&["case_1", "case_2"])]);
    sandbox.write("data/tiny/splits_final.json", splits.to_string());
    let run = sandbox.lamina(&format!("{CV} --out cv --json")).exits(0);
    assert!(run.stderr.contains("no fold holds these out"), "{run}");
    assert!(
        run.stderr.contains("several folds hold these out, and the first counts: case_1"),
        "{run}"
    );
    assert_eq!(run.json()["cases"], 3);
    let plan = json_of(&sandbox, "cv/cv.json");
    assert_eq!(plan["never_held_out"], json!(["case_3", "case_4", "case_5"]));
    assert_eq!(json_of(&sandbox, "cv/splits_final.json"), splits);
    let masks = sandbox.list("cv/out_of_fold");
    assert!(
        masks.contains(&"case_2.nii.gz".to_owned()) && !masks.contains(&"case_3.nii.gz".to_owned())
    );
}

#[test]
fn training_leaves_the_masks_of_what_it_held_out() {
    let sandbox = sandbox();
    let train =
        "train --config configs/experiments/tiny-unet.toml --data data --device cpu --epochs 1";
    sandbox.lamina(&format!("{train} --out run")).exits(0);
    let masks = sandbox.list("run/validation");
    assert_eq!(masks.len(), 5, "{masks:?}"); // two masks, their records and the evaluation
    let report = json_of(&sandbox, "run/validation/evaluation.json");
    let metrics = json_of(&sandbox, "run/metrics.json");
    let [found, told] = [&report["summary"]["foreground"]["dice"], &metrics["mean_score"]]
        .map(|dice| dice.as_f64().unwrap());
    assert!((found - told).abs() < 1e-12, "{found} {told}");

    // A mask that is damaged is made again, the other is kept.
    let mask = masks.iter().find(|name| name.ends_with(".nii.gz")).unwrap();
    let before = fs::read(sandbox.path(&format!("run/validation/{mask}"))).unwrap();
    sandbox.write(&format!("run/validation/{mask}"), "damaged");
    fs::remove_file(sandbox.path("run/validation/evaluation.json")).unwrap();
    sandbox.lamina(&format!("{train} --out run --resume")).exits(0);
    assert!(before == fs::read(sandbox.path(&format!("run/validation/{mask}"))).unwrap());
    assert_eq!(json_of(&sandbox, "run/validation/evaluation.json"), report);

    sandbox.lamina(&format!("{train} --out bare --no-validation")).exits(0);
    assert!(!sandbox.path("bare/validation").exists());
}
