//! `lamina compare`.

use std::fmt::Write as _;

use crate::support::Sandbox;
use crate::transcript;

/// A file of `evaluate --json`: cases with the status and Dice of two classes.
fn evaluation(sandbox: &Sandbox, name: &str, cases: &[(&str, [(&str, f64); 2])]) {
    let mut entries = Vec::new();
    for (case, classes) in cases {
        let mut text = format!("{{\"case\": \"{case}\", \"classes\": [");
        for (label, (status, dice)) in classes.iter().enumerate() {
            let number = if *status == "both_empty" { "null".to_owned() } else { dice.to_string() };
            let _ = write!(
                text,
                "{}{{\"label\": {}, \"dice\": {number}, \"iou\": {number}, \"status\": \"{status}\", \
                 \"volume_ml_prediction\": 1.0, \"volume_ml_reference\": 2.0}}",
                if label > 0 { ", " } else { "" },
                label + 1,
            );
        }
        entries.push(text + "]}");
    }
    let text = format!(
        "{{\"cases\": [{}], \"summary\": {{\"classes\": [{{\"label\": 1, \"name\": \"anterior\", \
         \"dice\": null, \"iou\": null, \"n_scored\": 0, \"n_missed\": 0, \"n_false\": 0, \
         \"n_both_empty\": 0, \"n_failed\": 0, \"n_total\": 0}}], \"foreground\": {{\"dice\": null, \
         \"iou\": null, \"n_classes\": 0}}, \"worst\": [], \"n_cases\": 0, \"n_failed\": 0}}}}",
        entries.join(", ")
    );
    sandbox.write(name, text);
}

/// Three runs on eight cases of four patients.
fn three_runs() -> Sandbox {
    let sandbox = Sandbox::new();
    let run = |name: &str, dice: [f64; 8]| {
        let names: Vec<String> = (0..8).map(|case| format!("p{}_{case}", case / 2)).collect();
        let cases: Vec<(&str, [(&str, f64); 2])> = names
            .iter()
            .zip(dice)
            .map(|(case, dice)| (case.as_str(), [("scored", dice), ("scored", 0.5)]))
            .collect();
        evaluation(&sandbox, name, &cases);
    };
    run("runs/unet/evaluation.json", [0.80, 0.82, 0.84, 0.86, 0.88, 0.90, 0.70, 0.60]);
    run("runs/bpnet/evaluation.json", [0.83, 0.86, 0.89, 0.90, 0.89, 0.92, 0.75, 0.40]);
    run("runs/stdc/evaluation.json", [0.79, 0.80, 0.81, 0.82, 0.83, 0.84, 0.63, 0.52]);
    sandbox
}

#[test]
fn a_run_is_held_against_another() {
    let sandbox = three_runs();
    transcript!(sandbox.lamina("compare runs/unet runs/bpnet/evaluation.json --patient-separator _"), @r#"
    $ lamina compare runs/unet runs/bpnet/evaluation.json --patient-separator _
    exit code 0
    --- stdout
    Dice        unet   bpnet  difference       95 % interval      p  better  equal  worse
    ─────────────────────────────────────────────────────────────────────────────────────
    anterior  0.8000  0.8050     +0.0050  -0.0475 to +0.0400  0.180       7      0      1
    label 2   0.5000  0.5000     +0.0000  +0.0000 to +0.0000      –       0      8      0
    ─────────────────────────────────────────────────────────────────────────────────────
    mean      0.6500  0.6525     +0.0025  -0.0237 to +0.0200  0.180       7      0      1
    largest losses of bpnet: p3_7 0.550 → 0.450 (-0.100)

    8 cases; 95 % interval of the difference: percentiles of 10000 paired bootstrap samples drawn by 4 patients, seed 0
    p: Wilcoxon's signed-rank test, two-sided, cases without a difference left out, exact for up to 50
    --- stderr
    unet: from evaluation.json
    bpnet: from its evaluation
    "#);
}

#[test]
fn several_runs_are_held_against_the_first() {
    let sandbox = three_runs();
    transcript!(sandbox.lamina("compare runs/unet runs/bpnet runs/stdc --quiet"), @r#"
    $ lamina compare runs/unet runs/bpnet runs/stdc --quiet
    exit code 0
    --- stdout
    Dice        unet   bpnet  difference       95 % interval      p  Holm's p  better  equal  worse
    ───────────────────────────────────────────────────────────────────────────────────────────────
    anterior  0.8000  0.8050     +0.0050  -0.0563 to +0.0413  0.180     0.180       7      0      1
    label 2   0.5000  0.5000     +0.0000  +0.0000 to +0.0000      –         –       0      8      0
    ───────────────────────────────────────────────────────────────────────────────────────────────
    mean      0.6500  0.6525     +0.0025  -0.0281 to +0.0206  0.180     0.180       7      0      1
    largest losses of bpnet: p3_7 0.550 → 0.450 (-0.100)

    Dice        unet    stdc  difference       95 % interval       p  Holm's p  better  equal  worse
    ────────────────────────────────────────────────────────────────────────────────────────────────
    anterior  0.8000  0.7550     -0.0450  -0.0612 to -0.0288  0.0078     0.016       0      0      8
    label 2   0.5000  0.5000     +0.0000  +0.0000 to +0.0000       –         –       0      8      0
    ────────────────────────────────────────────────────────────────────────────────────────────────
    mean      0.6500  0.6275     -0.0225  -0.0306 to -0.0144  0.0078     0.016       0      0      8
    largest losses of stdc: p3_7 0.550 → 0.510 (-0.040), p3_6 0.600 → 0.565 (-0.035), p2_5 0.700 → 0.670 (-0.030), p2_4 0.690 → 0.665 (-0.025), p1_3 0.680 → 0.660 (-0.020)

    8 cases; 95 % interval of the difference: percentiles of 10000 paired bootstrap samples drawn case by case, seed 0
    p: Wilcoxon's signed-rank test, two-sided, cases without a difference left out, exact for up to 50; Holm's p is corrected for 2 runs, each row by itself
    "#);
    let run = sandbox.lamina("compare runs/unet runs/bpnet runs/stdc --json --seed 3").exits(0);
    let answer = run.json();
    assert_eq!(answer["first"], "unet");
    assert_eq!(answer["bootstrap"]["seed"], 3);
    let second = &answer["comparisons"][1];
    assert_eq!((&second["run"], &second["n_groups"]), (&"stdc".into(), &8.into()));
    assert_eq!(second["classes"][0]["wilcoxon"]["exact"], true);
    // Eight losses of eight: 2 / 2^8, twice by Holm.
    assert_eq!(second["classes"][0]["wilcoxon"]["p"], 0.007_812_5);
    assert_eq!(second["holm"]["classes"][0], 0.015_625);
    assert_eq!(second["classes"][1]["wilcoxon"], serde_json::Value::Null);
    let again = sandbox.lamina("compare runs/unet runs/bpnet runs/stdc --json --seed 3").exits(0);
    assert_eq!(again.stdout, run.stdout);
}

#[test]
fn what_one_run_missed_or_invented_is_counted_and_said() {
    let sandbox = Sandbox::new();
    let empty = ("both_empty", 0.0);
    let whole = [("a", [("scored", 0.9), empty]), ("b", [("scored", 0.8), empty])];
    let worse = [("a", [("missed", 0.0), ("false", 0.0)]), ("b", [("scored", 0.8), empty])];
    evaluation(&sandbox, "one.json", &whole);
    evaluation(&sandbox, "two.json", &worse);
    transcript!(sandbox.lamina("compare one.json two.json --quiet"), @r#"
    $ lamina compare one.json two.json --quiet
    exit code 0
    --- stdout
    Dice         one     two  difference       95 % interval      p  better  equal  worse
    ─────────────────────────────────────────────────────────────────────────────────────
    anterior  0.8500  0.4000     -0.4500  -0.9000 to +0.0000  1.000       0      1      1
    label 2   1.0000  0.0000     -1.0000  -1.0000 to -1.0000  1.000       0      0      1
    ─────────────────────────────────────────────────────────────────────────────────────
    mean      0.9250  0.2000     -0.7250  -0.9500 to +0.0000  1.000       0      1      1
    largest losses of two: a 0.950 → 0.000 (-0.950)
    missed, false or failed, which count as 0: 0 in one, 2 in two
    rightly empty where the other invents, which counts as 1: 1 in one, 0 in two

    2 cases; 95 % interval of the difference: percentiles of 10000 paired bootstrap samples drawn case by case, seed 0
    p: Wilcoxon's signed-rank test, two-sided, cases without a difference left out, exact for up to 50
    "#);
}

#[test]
fn cases_of_one_run_alone_are_refused_or_listed() {
    let sandbox = Sandbox::new();
    let case = |dice| [("scored", dice), ("scored", dice)];
    evaluation(&sandbox, "one.json", &[("a", case(0.5)), ("b", case(0.6))]);
    evaluation(&sandbox, "two.json", &[("b", case(0.7)), ("c", case(0.8))]);
    transcript!(sandbox.lamina("compare one.json two.json"), @r#"
    $ lamina compare one.json two.json
    exit code 2
    --- stderr
    error: cannot compare two.json with one.json; --common takes what both have
      caused by: expected the same cases in both, found 1 only in the first (a) and 1 only in the second (c)
    "#);
    transcript!(sandbox.lamina("compare one.json two.json --common --metric iou"), @r#"
    $ lamina compare one.json two.json --common --metric iou
    exit code 0
    --- stdout
    IoU          one     two  difference  95 % interval      p  better  equal  worse
    ────────────────────────────────────────────────────────────────────────────────
    anterior  0.6000  0.7000     +0.1000              –  1.000       1      0      0
    label 2   0.6000  0.7000     +0.1000              –  1.000       1      0      0
    ────────────────────────────────────────────────────────────────────────────────
    mean      0.6000  0.7000     +0.1000              –  1.000       1      0      0

    1 case; 95 % interval of the difference: percentiles of 10000 paired bootstrap samples drawn case by case, seed 0
    p: Wilcoxon's signed-rank test, two-sided, cases without a difference left out, exact for up to 50
    --- stderr
    one: from its evaluation
    two: from its evaluation
    not compared, only one has them: 1 case: a
    not compared, only two has them: 1 case: c
    "#);
}

#[test]
fn what_holds_no_numbers_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("empty/readme.txt", "");
    sandbox.write("other.json", "{}");
    transcript!(sandbox.lamina("compare empty other.json"), @r#"
    $ lamina compare empty other.json
    exit code 2
    --- stderr
    error: expected evaluation.json, validation/evaluation.json, out_of_fold/evaluation.json or events.jsonl in it, found none: empty
    "#);
    transcript!(sandbox.lamina("compare other.json absent"), @r#"
    $ lamina compare other.json absent
    exit code 2
    --- stderr
    error: expected what `lamina evaluate --json` prints: other.json
      caused by: missing field `cases` at line 1 column 2
    "#);
}
