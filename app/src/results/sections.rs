//! The tables of the page that are about cases.

use std::fmt::Write as _;

use lamina_engine::metrics::statistics::{Bootstrap, LARGEST_EXACT, holm};
use lamina_engine::metrics::{
    ClassReport, MeanInterval, PairedMetric, PairedRow, Pairing, Status, mean_intervals,
};

use super::Results;
use super::names::without_folders;
use super::numbers::ranked;
use super::page::section;
use super::rows::{Rows, headings, interval, name, number};
use crate::report::escaped;

/// What the runs are and where their numbers come from.
pub fn origins(page: &mut String, runs: &[Results]) {
    let mut rows = Rows::new(
        "words",
        &headings(&["Run", "Cases", "Numbers", "Data set", "Parameters", "Epochs"]),
    );
    for run in runs {
        let history = run.history.as_ref();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        rows.row(
            "",
            &[
                run.name.clone(),
                run.report.cases.len().to_string(),
                run.origin.clone(),
                or_dash(run.dataset.as_ref().map(|dataset| dataset.name.clone())),
                or_dash(history.and_then(|history| Some(history.parameters?.to_string()))),
                or_dash(history.and_then(|history| {
                    let last = history.epochs.last()?.epoch;
                    Some(match history.kept_epoch {
                        Some(kept) => format!("{last}, epoch {kept} kept"),
                        None => format!("{last} so far"),
                    })
                })),
            ],
        );
    }
    section(page, "Runs", &rows.end());
}

/// What failed, with its reason.
pub fn failures(page: &mut String, runs: &[Results]) {
    let mut rows = Rows::new("words", &headings(&["Case", "Run", "Reason"]));
    let mut any = false;
    for run in runs {
        for case in &run.report.cases {
            if let Some(error) = &case.error {
                any = true;
                let reason = without_folders(error);
                rows.row("bad", &[case.case.clone(), run.name.clone(), reason]);
            }
        }
    }
    if any {
        section(page, "Failed, and counted as 0", &rows.end());
    }
}

/// What each class reached, case by case: one table per run, or the runs side by side.
pub fn summary(page: &mut String, runs: &[Results], draw: &Bootstrap) {
    let found: Vec<Vec<MeanInterval>> = runs
        .iter()
        .map(|run| {
            let patient = |case: &str| run.patient(case, None);
            mean_intervals(&run.report, PairedMetric::Dice, draw, patient).unwrap_or_default()
        })
        .collect();
    if found.iter().all(Vec::is_empty) {
        return;
    }
    let note = format!(
        "<p class=\"faint\">Dice per case, then the mean over cases. Missed, false and failed classes \
         count as 0; cases without the class on either side are in no mean. Intervals: 95 %, \
         percentiles of {} bootstrap samples, cases of a patient drawn together, seed {}.</p>",
        draw.samples, draw.seed
    );
    if let [run] = runs {
        let body = classes_of(run, &found[0]) + &surfaces(run) + &note;
        section(page, "Case by case: Dice of each class", &body);
        return;
    }
    let mut names = vec!["Class".to_owned()];
    names.extend(runs.iter().map(|run| format!("{}: Dice", run.name)));
    let mut rows = Rows::new("runs", &names);
    let mut labels: Vec<u8> = found.iter().flatten().filter_map(|row| row.label).collect();
    labels.sort_unstable();
    labels.dedup();
    for label in labels.into_iter().map(Some).chain([None]) {
        let mut cells = vec![label.map_or("mean".to_owned(), |label| name(runs, label))];
        cells.extend(found.iter().map(|rows| {
            rows.iter().find(|row| row.label == label).map_or("–".to_owned(), |row| {
                let sd = number(row.spread.sd, 3);
                format!("{:.4} ({}), sd {sd}, n {}", row.mean, interval(row.interval), row.spread.n)
            })
        }));
        rows.row(if label.is_none() { "total" } else { "" }, &cells);
    }
    section(page, "Case by case: Dice of each class", &(rows.end() + &note));
    for (run, found) in runs.iter().zip(&found) {
        section(
            page,
            &format!("Classes of {}", run.name),
            &(classes_of(run, found) + &surfaces(run)),
        );
    }
}

fn classes_of(run: &Results, found: &[MeanInterval]) -> String {
    let mut rows = Rows::new(
        "",
        &headings(&[
            "Class",
            "Dice",
            "95 % interval",
            "sd",
            "median",
            "5 %",
            "IoU",
            "n",
            "scored",
            "missed",
            "false",
            "empty",
            "failed",
        ]),
    );
    let runs = std::slice::from_ref(run);
    for row in found {
        let spread = row.spread;
        let class = run.report.summary.classes.iter().find(|class| Some(class.label) == row.label);
        let mut cells = vec![
            row.label.map_or("mean".to_owned(), |label| name(runs, label)),
            number(Some(row.mean), 4),
            interval(row.interval),
            number(spread.sd, 3),
            number(Some(spread.median), 3),
            number(Some(spread.p5), 3),
            number(
                match class {
                    Some(class) => class.iou.map(|iou| iou.mean),
                    None => run.report.summary.foreground.iou,
                },
                3,
            ),
            spread.n.to_string(),
        ];
        if let Some(class) = class {
            let counts =
                [class.n_scored, class.n_missed, class.n_false, class.n_both_empty, class.n_failed];
            cells.extend(counts.map(|count| count.to_string()));
        } else {
            cells.extend(std::iter::repeat_n(String::new(), 5));
        }
        rows.row(if row.label.is_none() { "total" } else { "" }, &cells);
    }
    rows.end()
}

fn surfaces(run: &Results) -> String {
    let classes = &run.report.summary.classes;
    if classes.iter().all(|class| class.surface.is_none()) {
        return String::new();
    }
    let mut rows = Rows::new(
        "",
        &headings(&[
            "Class",
            "HD95 in mm, median",
            "HD95, mean of scored",
            "ASSD in mm, mean of scored",
            "surface Dice",
            "scored of all",
        ]),
    );
    for class in classes {
        let Some(surface) = &class.surface else { continue };
        rows.row(
            "",
            &[
                name(std::slice::from_ref(run), class.label),
                number(Some(surface.hd95_mm_median.unwrap_or(f64::INFINITY)), 2),
                number(surface.hd95_mm_mean_scored, 2),
                number(surface.assd_mm_mean_scored, 2),
                number(surface.surface_dice_mean, 3),
                format!("{} of {}", class.n_scored, class.n_total - class.n_both_empty),
            ],
        );
    }
    rows.end()
}

/// Every other run against the first.
pub fn differences(page: &mut String, runs: &[Results], draw: &Bootstrap) {
    let Some((first, others)) = runs.split_first() else { return };
    if others.is_empty() {
        return;
    }
    let pairing = Pairing { bootstrap: *draw, common_only: true, ..Pairing::default() };
    let mut body = String::new();
    let mut tables = Vec::new();
    for other in others {
        let patient = |case: &str| first.patient(case, None);
        match pairing.compare(&first.report, &other.report, patient) {
            Ok(paired) => tables.push((other, paired)),
            Err(reason) => {
                let words = escaped(&format!("{} is not compared: {reason}", other.name));
                let _ = write!(body, "<p class=\"bad\">{words}</p>");
            }
        }
    }
    let p = |row: &PairedRow| row.wilcoxon.map_or(1.0, |test| test.p);
    let means: Vec<f64> =
        tables.iter().filter_map(|(_, paired)| paired.mean.as_ref().map(p)).collect();
    let mut raised = holm(&means).into_iter();
    for (other, paired) in &tables {
        let mut rows = Rows::new(
            "",
            &headings(&[
                &format!("{} less {}", other.name, first.name),
                "difference",
                "95 % interval",
                "p",
                "better",
                "equal",
                "worse",
            ]),
        );
        let total = paired.mean.as_ref().filter(|_| paired.classes.len() > 1);
        for row in paired.classes.iter().chain(total) {
            let test = row.wilcoxon.map_or("–".to_owned(), |test| match test.p {
                p if p < 0.0001 => "< 0.0001".to_owned(),
                p => format!("{p:.4}"),
            });
            let signed = |value: f64| format!("{value:+.4}");
            rows.row(
                if row.label.is_none() { "total" } else { "" },
                &[
                    row.label.map_or("mean".to_owned(), |label| name(runs, label)),
                    signed(row.difference),
                    row.interval.map_or("–".to_owned(), |found| {
                        format!("{} to {}", signed(found.low), signed(found.high))
                    }),
                    test,
                    row.better.to_string(),
                    row.equal.to_string(),
                    row.worse.to_string(),
                ],
            );
        }
        body += &rows.end();
        if let (Some(raised), true) = (raised.next(), tables.len() > 1) {
            let _ = write!(
                body,
                "<p>p of the mean, corrected by Holm for {} runs: {raised:.4}</p>",
                tables.len()
            );
        }
        let losses: Vec<String> = paired
            .losses
            .iter()
            .map(|loss| format!("{} {:.3} → {:.3}", loss.case, loss.first, loss.second))
            .collect();
        if !losses.is_empty() {
            let words = escaped(&losses.join(", "));
            let _ = write!(body, "<p class=\"faint\">Largest losses: {words}</p>");
        }
        for (run, cases) in [(first, &paired.only_first), (other, &paired.only_second)] {
            if !cases.is_empty() {
                let words = format!("Not compared, in {} alone: {}", run.name, cases.join(", "));
                let _ = write!(body, "<p class=\"bad\">{}</p>", escaped(&words));
            }
        }
    }
    let _ = write!(
        body,
        "<p class=\"faint\">Dice, case by case; paired bootstrap; Wilcoxon's signed-rank test, two-sided, \
         exact for up to {LARGEST_EXACT} cases that differ.</p>"
    );
    section(page, &format!("Against {}", first.name), &body);
}

/// Every case of every run, worst first.
pub fn cases(page: &mut String, runs: &[Results]) {
    for run in runs.iter().filter(|run| !run.report.cases.is_empty()) {
        let labels: Vec<u8> = run.report.summary.classes.iter().map(|class| class.label).collect();
        let with_surface = run.report.summary.classes.iter().any(|class| class.surface.is_some());
        let mut classes = run.report.cases.iter().flat_map(|case| &case.classes);
        let with_volumes = classes.any(|class| class.volume_ml_reference.is_some());
        let mut names = vec!["Case".to_owned(), "mean Dice".to_owned()];
        for &label in &labels {
            let class = name(runs, label);
            names.push(format!("{class}: Dice"));
            if with_surface {
                names.push("HD95, mm".to_owned());
            }
            if with_volumes {
                names.extend(["ml".to_owned(), "reference ml".to_owned()]);
            }
        }
        let mut rows = Rows::new("sortable", &names);
        for (case, dice) in ranked(&run.report) {
            let Some(found) = run.report.cases.iter().find(|found| found.case == case) else {
                continue;
            };
            let keyed = |value: Option<f64>, digits| {
                (number(value, digits), value.map_or("-1".to_owned(), |value| value.to_string()))
            };
            let mut cells = vec![(case.clone(), case.clone()), keyed(dice, 3)];
            for &label in &labels {
                let class: Option<&ClassReport> =
                    found.classes.iter().find(|class| class.label == label);
                let status = class.map_or(Status::BothEmpty, |class| class.status);
                let (words, key) = keyed(class.and_then(|class| class.dice), 3);
                cells.push(match status {
                    Status::Scored => (words, key),
                    status => (status.as_str().replace('_', " "), key),
                });
                if with_surface {
                    let found = class.and_then(|class| class.surface);
                    cells.push(keyed(found.map(|surface| surface.hd95_mm), 2));
                }
                if with_volumes {
                    cells.push(keyed(class.and_then(|class| class.volume_ml_prediction), 2));
                    cells.push(keyed(class.and_then(|class| class.volume_ml_reference), 2));
                }
            }
            rows.keyed(if found.error.is_some() { "bad" } else { "" }, &cells);
        }
        let note = "<p class=\"faint\">Worst first; press a heading to sort by it.</p>";
        let title =
            if runs.len() > 1 { format!("Cases of {}", run.name) } else { "Cases".to_owned() };
        section(page, &title, &(note.to_owned() + &rows.end()));
    }
}
