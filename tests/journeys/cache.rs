//! Prepared cases that runs share: side by side, killed, or without.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::{Sandbox, write_tiny_experiment};

const TRAIN: &str =
    "train --config configs/experiments/tiny-unet.toml --data data --device cpu --epochs 2 --json";

fn cases(sandbox: &Sandbox, folder: &str) -> Vec<String> {
    let names = sandbox.list(folder).into_iter();
    let is_case = |name: &String| Path::new(name).extension().is_some_and(|end| end == "case");
    names.filter(is_case).collect()
}

fn weights(sandbox: &Sandbox, run: &str) -> Vec<u8> {
    fs::read(sandbox.path(&format!("{run}/last.safetensors"))).unwrap()
}

#[test]
fn folds_side_by_side_build_each_case_once_and_learn_what_they_learn_alone() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    sandbox.lamina(&format!("{TRAIN} --out alone --no-cache")).exits(0);
    assert!(!sandbox.path(".cache").exists(), "nothing is kept");

    let fold = |fold: usize| {
        sandbox.start(&format!("{TRAIN} --out fold_{fold} --fold {fold} --cache kept"))
    };
    let folds = [0, 1, 2].map(fold);
    for child in folds {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(cases(&sandbox, "kept").len(), 6);
    assert!(weights(&sandbox, "fold_0") == weights(&sandbox, "alone"));

    // A later run finds them, and what is damaged is built anew.
    let name = cases(&sandbox, "kept").remove(0);
    let path = sandbox.path(&format!("kept/{name}"));
    let sound = fs::read(&path).unwrap();
    fs::write(&path, &sound[..sound.len() - 9]).unwrap();
    for fold in 0..3 {
        let run = format!("{TRAIN} --out again_{fold} --fold {fold} --cache kept");
        sandbox.lamina(&run).exits(0);
        let [again, first] =
            ["again", "fold"].map(|run| weights(&sandbox, &format!("{run}_{fold}")));
        assert!(again == first, "fold {fold}");
    }
    assert!(fs::read(&path).unwrap() == sound);
}

#[test]
fn a_run_that_is_killed_while_it_builds_leaves_nothing_that_is_trusted() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    sandbox.lamina(&format!("{TRAIN} --out whole --no-cache")).exits(0);
    for milliseconds in [1, 5, 10, 20, 40] {
        let _ = fs::remove_dir_all(sandbox.path("kept"));
        let mut child = sandbox.start(&format!("{TRAIN} --out killed --cache kept"));
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        let _ = fs::remove_dir_all(sandbox.path("killed"));
        // No lock is left behind that would have to be waited for.
        sandbox.lamina(&format!("{TRAIN} --out again --cache kept")).exits(0);
        assert!(weights(&sandbox, "again") == weights(&sandbox, "whole"), "{milliseconds} ms");
        fs::remove_dir_all(sandbox.path("again")).unwrap();
    }
}

#[test]
fn a_cache_that_cannot_be_is_named() {
    let sandbox = Sandbox::new();
    write_tiny_experiment(&sandbox);
    sandbox.write("file", "no folder");
    let run = sandbox.lamina(&format!("{TRAIN} --out run --cache file/cache")).exits(2);
    assert!(run.stderr.contains("file/cache"), "{run}");
    let run = sandbox.lamina(&format!("{TRAIN} --out run --cache a --no-cache")).exits(2);
    assert!(run.stderr.contains("cannot be used with"), "{run}");
}
