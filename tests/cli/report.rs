//! `lamina report`.

use serde_json::json;

use crate::support::Sandbox;
use crate::transcript;

/// An evaluation of two classes with a failed case, hostile names and paths in its reasons.
fn evaluation(shift: f64) -> String {
    let class = |label: u8, status: &str, dice: Option<f64>| {
        json!({"label": label, "dice": dice, "iou": dice.map(|dice| dice / (2.0 - dice)), "status": status,
            "volume_ml_prediction": 1.25, "volume_ml_reference": 1.5})
    };
    let scored = |case: &str, dice: f64| json!({"case": case, "classes": [class(1, "scored", Some(dice + shift)), class(2, "scored", Some(0.5))]});
    let cases = json!([
        scored("case_1", 0.9),
        scored("case_2", 0.8),
        scored("</td><script>alert(1)</script>", 0.7),
        {"case": "case_4", "classes": [class(1, "missed", Some(0.0)), class(2, "both_empty", None)]},
        {"case": "case_5", "classes": [class(1, "failed", Some(0.0)), class(2, "failed", Some(0.0))],
            "error": "there is no prediction: /data/Doe^Jane/case_5.nii.gz"},
    ]);
    let summary = |label: u8, name: &str| {
        json!({"label": label, "name": name, "dice": null, "iou": null, "n_scored": 3, "n_missed": 1,
            "n_false": 0, "n_both_empty": 0, "n_failed": 1, "n_total": 5})
    };
    let summary = json!({
        "classes": [summary(1, "anterior"), summary(2, "<b>posterior</b>")],
        "foreground": {"dice": 0.5, "iou": 0.4, "n_classes": 2},
        "worst": [], "n_cases": 5, "n_failed": 1,
    });
    json!({"cases": cases, "summary": summary}).to_string()
}

/// Names of tags that are open where the page ends or closes another; none is right.
fn unbalanced(page: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("every tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if tag.starts_with('!') || tag.ends_with('/') {
            continue;
        }
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap().to_owned();
        if !tag.starts_with('/') {
            open.push(name);
        } else if open.pop().as_ref() != Some(&name) {
            return vec![name];
        }
    }
    open
}

/// What holds for every page.
fn check(page: &str) {
    assert_eq!(unbalanced(page), Vec::<String>::new());
    for outside in
        ["http://", "https://", "url(", "@import", "<link", "<iframe", "alert(1)</script>"]
    {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("script-src 'sha256-"));
    let sources = page.matches("src=\"").count();
    assert_eq!(sources, page.matches("src=\"data:image/png;base64,").count());
}

#[test]
fn a_page_of_an_evaluation_holds_its_numbers_and_no_path() {
    let sandbox = Sandbox::new();
    sandbox.write("runs/unet/evaluation.json", evaluation(0.0));
    transcript!(sandbox.lamina("report runs/unet/evaluation.json"), @r#"
    $ lamina report runs/unet/evaluation.json
    exit code 2
    --- stderr
    error: expected --out, the page to write, where the first run is a file
    "#);
    transcript!(sandbox.lamina("report runs/unet/evaluation.json --out page.html"), @r#"
    $ lamina report runs/unet/evaluation.json --out page.html
    exit code 0
    --- stdout
    page.html
    --- stderr
    5 worst cases without a picture: a data set is described in run folders alone
    "#);
    let page = std::fs::read_to_string(sandbox.path("page.html")).unwrap();
    check(&page);
    for words in [
        "case_5.nii.gz</td>",        // why it failed, without its folder
        ">0.4800<",                  // (0.9 + 0.8 + 0.7 + 0 + 0) / 5
        "&lt;b&gt;posterior",        // a class by its name
        "&lt;/td&gt;&lt;script&gt;", // a case by its name
        ">missed<",
        "Research use only",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("Doe^Jane") && !page.contains("/data/"));
    let run = sandbox.lamina("report runs/unet/evaluation.json --out page.html").exits(2);
    assert!(run.stderr.contains("--overwrite replaces it: page.html"), "{run}");
}

#[test]
fn runs_stand_side_by_side_and_are_held_against_the_first() {
    let sandbox = Sandbox::new();
    sandbox.write("a/unet/evaluation.json", evaluation(0.0));
    sandbox.write("b/unet/evaluation.json", evaluation(0.05));
    let run =
        sandbox.lamina("report a/unet b/unet/evaluation.json --out page.html --json").exits(0);
    assert_eq!(run.json()["runs"], json!(["unet 1", "unet 2"]));
    let page = std::fs::read_to_string(sandbox.path("page.html")).unwrap();
    check(&page);
    for words in ["unet 1: Dice", "unet 2: Dice", "Against unet 1", "unet 2 less unet 1", "+0.0300"]
    {
        assert!(page.contains(words), "{words}");
    }
    // The same numbers make the same page, but for the moment.
    let without_moment = |page: &str| {
        page.lines().filter(|line| !line.contains("Made ")).collect::<Vec<_>>().join("\n")
    };
    sandbox.lamina("report a/unet b/unet/evaluation.json --out again.html").exits(0);
    let again = std::fs::read_to_string(sandbox.path("again.html")).unwrap();
    assert_eq!(without_moment(&page), without_moment(&again));
}

#[test]
fn pooled_numbers_have_a_section_of_their_own() {
    let sandbox = Sandbox::new();
    let mut scene: serde_json::Value = serde_json::from_str(&evaluation(0.0)).unwrap();
    let confusion = json!({"labels": [0, 1, 2], "rows": [[90, 10, 0], [5, 45, 0], [0, 0, 50]]});
    scene["summary"]["pooled"] = json!({"n_voxels": 200, "accuracy": 0.925,
        "frequency_weighted_iou": 0.86, "mean_iou": 0.87, "n_classes": 3, "confusion": confusion});
    sandbox.write("scene.json", scene.to_string());
    sandbox.lamina("report scene.json --out page.html").exits(0);
    let page = std::fs::read_to_string(sandbox.path("page.html")).unwrap();
    check(&page);
    // 90/105, 45/60 and 50/50; their mean; and 10 % of label 0 taken for label 1.
    for words in
        [">0.8571<", ">0.7500<", ">1.0000<", ">0.8690<", ">10.0</td>", "mIoU", "no mean over"]
    {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn a_run_that_was_only_validated_shows_what_that_measured() {
    let sandbox = Sandbox::new();
    let finished = |epoch: u64, iou: f64| {
        json!({"event": "epoch_finished", "epoch": epoch, "epochs": 2, "training_loss": 1.5,
            "measure": "pooled_iou", "scores": [{"class": "sky", "score": iou, "cases": 2}],
            "mean_score": iou, "best": epoch == 1, "seconds": 1.0, "waiting_for_data": 0.0})
    };
    let lines = [finished(1, 0.625).to_string(), finished(2, 0.5).to_string()];
    sandbox.write("scene/events.jsonl", lines.join("\n"));
    sandbox.lamina("report scene").exits(0);
    let page = std::fs::read_to_string(sandbox.path("scene/report.html")).unwrap();
    check(&page);
    for words in ["Pooled: IoU", ">0.6250<", "mIoU", "in epoch 1"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("Case by case"), "a mean over cases");
    // It has no numbers by case to hold against others.
    let run = sandbox.lamina("compare scene scene").exits(2);
    assert!(run.stderr.contains("cases of the same names in both, found none"), "{run}");
}

#[test]
fn what_is_no_run_is_named() {
    let sandbox = Sandbox::new();
    transcript!(sandbox.lamina("report absent"), @r#"
    $ lamina report absent
    exit code 2
    --- stderr
    error: expected a run folder or an evaluation, found nothing: absent
    "#);
}
