//! A report as people see it: cases, classes, what was measured of them, and the worst by name.

use lamina_engine::metrics::{
    Aggregation, CaseReport, ClassReport, ClassSummary, Convention, Measures, Metric,
    NumberSummary, PixelReport, Report, Status, Summary,
};

use crate::cli::table::{Align, Table, count, number};

/// Columns of numbers in the table of cases that still fit beside each other.
const MOST_COLUMNS: usize = 16;

/// Cases that are listed one by one unless more is wanted.
const MOST_CASES: usize = 60;

/// What of a report is shown.
pub(super) struct Shown<'a> {
    /// What was asked for.
    pub(super) measures: &'a Measures,
    /// At which tolerances surface Dice was measured.
    pub(super) tolerances: Vec<f64>,
    /// Whether long lists are shown too.
    pub(super) whole: bool,
}

/// The report as tables.
pub(super) fn human(report: &Report, shown: &Shown<'_>) -> String {
    let summary = &report.summary;
    let titles: Vec<String> = summary.classes.iter().map(title).collect();
    let mut parts = Vec::new();
    if report.aggregation == Aggregation::Pooled {
        if let Some(pooled) = &summary.pooled {
            parts.push(pooled_tables(pooled, summary));
        }
    } else {
        parts.push(case_part(report, &titles, shown));
        let numbers = number_table(summary, &titles, shown);
        let means = heading(report);
        parts.push(format!("{means}\n{}", class_table(summary, &titles, shown).render()));
        parts.extend(numbers.map(|table| table.render()));
        if let Some(pooled) = &summary.pooled {
            parts.push(pooled_tables(pooled, summary));
        }
    }
    for part in &mut parts {
        part.truncate(part.trim_end().len());
    }
    let mut lines = vec![parts.join("\n\n")];
    if report.cases.len() > 1 && !summary.worst.is_empty() {
        let worst = summary.worst.iter().map(|worst| format!("{} {:.3}", worst.case, worst.dice));
        lines.push(format!("\nlowest mean Dice: {}", worst.collect::<Vec<_>>().join(", ")));
    }
    if summary.n_failed > 0 {
        let cases = count(summary.n_cases, "case");
        let counted = if report.aggregation == Aggregation::Pooled {
            "is in no pooled number"
        } else if report.convention() == Convention::Lamina {
            "count as Dice 0"
        } else {
            "are in no mean of this convention"
        };
        lines.push(format!("\n{} of {cases} failed and {counted}:", summary.n_failed));
        for case in &report.cases {
            lines.extend(case.error.as_ref().map(|reason| format!("  {}: {reason}", case.case)));
        }
    }
    lines.join("\n")
}

/// What kind of means the table of classes holds.
fn heading(report: &Report) -> String {
    let cases = count(report.summary.n_cases, "case");
    let over = format!("Each case by itself, then the mean over {cases}");
    match report.convention() {
        Convention::Lamina => format!("{over}:"),
        convention => format!("{over}, by the rules of {}:", name_of(convention)),
    }
}

fn name_of(convention: Convention) -> &'static str {
    match convention {
        Convention::Lamina => "Lamina",
        Convention::Monai => "MONAI",
        Convention::Nnunet => "nnU-Net",
        Convention::Reloaded => "MetricsReloaded",
        Convention::Deepmind => "surface-distance",
    }
}

fn title(class: &ClassSummary) -> String {
    class.name.clone().unwrap_or_else(|| format!("label {}", class.label))
}

fn right(name: impl Into<String>) -> (String, Align) {
    (name.into(), Align::Right)
}

/// One row per case, or why there is none.
fn case_part(report: &Report, titles: &[String], shown: &Shown<'_>) -> String {
    let columns = titles.len() * case_columns(shown).len();
    let cases = report.cases.len();
    if !shown.whole && (cases > MOST_CASES || columns > MOST_COLUMNS) {
        return format!(
            "{} with {}: each by itself is in --csv and --json, and here with --verbose",
            count(cases, "case"),
            if titles.len() == 1 {
                "1 class".to_owned()
            } else {
                format!("{} classes", titles.len())
            }
        );
    }
    case_table(&report.cases, titles, shown).render()
}

/// What the table of cases has for each class: name and number of a class, with its digits.
type Column = (&'static str, fn(&ClassReport) -> Option<f64>, usize);

fn case_columns(shown: &Shown<'_>) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    if shown.measures.has(Metric::Dice) {
        columns.push(("Dice", |class| class.dice, 3));
    }
    if shown.measures.has(Metric::Iou) {
        columns.push(("IoU", |class| class.iou, 3));
    }
    if shown.measures.has(Metric::Volume) {
        columns.push(("ml", |class| class.volume_ml_prediction, 2));
        columns.push(("ref. ml", |class| class.volume_ml_reference, 2));
    }
    if shown.measures.has(Metric::Hd95) {
        columns.push(("HD95", |class| class.number("hd95_mm").or(class.number("hd95_px")), 2));
    }
    columns
}

fn case_table(cases: &[CaseReport], titles: &[String], shown: &Shown<'_>) -> Table {
    let of_class = case_columns(shown);
    let mut columns = vec![("case".to_owned(), Align::Left)];
    for title in titles {
        for (index, (name, ..)) in of_class.iter().enumerate() {
            columns.push(right(if index == 0 {
                format!("{title} {name}")
            } else {
                (*name).to_owned()
            }));
        }
    }
    let mut table = Table::new(columns);
    for case in cases {
        let mut row = vec![case.case.clone()];
        for class in &case.classes {
            for (index, (_, value, digits)) in of_class.iter().enumerate() {
                row.push(match class.status {
                    Status::Scored => number(value(class), *digits),
                    status if index == 0 => status.as_str().replace('_', " "),
                    _ => number(value(class), *digits),
                });
            }
        }
        table.row(row);
    }
    table
}

/// One row per class: Dice and IoU over all cases, and how many there were of what.
fn class_table(summary: &Summary, titles: &[String], shown: &Shown<'_>) -> Table {
    let mut columns = vec![("class".to_owned(), Align::Left)];
    let (dice, iou) = (shown.measures.has(Metric::Dice), shown.measures.has(Metric::Iou));
    if dice {
        columns.extend(["Dice", "sd", "median", "5 %", "n"].map(right));
    }
    if iou {
        columns.extend(["IoU", "n"].map(right));
    }
    columns.extend(["scored", "missed", "false", "empty", "failed"].map(right));
    let mut table = Table::new(columns);
    for (class, title) in summary.classes.iter().zip(titles) {
        let mut row = vec![title.clone()];
        let over = |n: Option<usize>| n.unwrap_or(0).to_string();
        if dice {
            let dice = class.dice;
            row.extend([
                number(dice.map(|dice| dice.mean), 3),
                number(dice.and_then(|dice| dice.sd), 3),
                number(dice.map(|dice| dice.median), 3),
                number(dice.map(|dice| dice.p5), 3),
                over(dice.map(|dice| dice.n)),
            ]);
        }
        if iou {
            row.extend([
                number(class.iou.map(|iou| iou.mean), 3),
                over(class.iou.map(|iou| iou.n)),
            ]);
        }
        let counts =
            [class.n_scored, class.n_missed, class.n_false, class.n_both_empty, class.n_failed];
        row.extend(counts.map(|count| count.to_string()));
        table.row(row);
    }
    if summary.classes.len() > 1 && (dice || iou) {
        let foreground = &summary.foreground;
        table.rule();
        let mut row = vec![format!(
            "mean of {}",
            count(foreground.n_classes, "class").replace("classs", "classes")
        )];
        if dice {
            row.push(number(foreground.dice, 3));
            row.extend(std::iter::repeat_n(String::new(), 4));
        }
        if iou {
            row.push(number(foreground.iou, 3));
        }
        table.row(row);
    }
    table
}

/// One row per class and number beside Dice, IoU and volumes, where any was asked for.
fn number_table(summary: &Summary, titles: &[String], shown: &Shown<'_>) -> Option<Table> {
    let keys = keys_shown(summary, shown);
    if keys.is_empty() {
        return None;
    }
    let columns = ["mean", "n", "sd", "median", "5 %", "95 %", "infinite", "none"].map(right);
    let first = ["class", "number"].map(|name| (name.to_owned(), Align::Left));
    let mut table = Table::new(first.into_iter().chain(columns));
    for (class, title) in summary.classes.iter().zip(titles) {
        for (key, name) in &keys {
            if let Some(found) = class.numbers.get(*key) {
                table.row(number_row(title, name, found));
            }
        }
    }
    Some(table)
}

fn number_row(title: &str, name: &str, found: &NumberSummary) -> Vec<String> {
    // What is no number among several is infinite.
    let at =
        |value: Option<f64>| number(value.or((found.n_infinite > 0).then_some(f64::INFINITY)), 3);
    let numbers = found.n > found.n_infinite || found.n_infinite == 0;
    vec![
        title.to_owned(),
        name.to_owned(),
        if found.n > 0 && found.mean.is_none() { at(None) } else { number(found.mean, 3) },
        found.n.to_string(),
        number(found.sd, 3),
        at(found.median),
        at(found.p5.filter(|_| numbers)),
        at(found.p95),
        found.n_infinite.to_string(),
        found.n_none.to_string(),
    ]
}

/// The numbers that are shown, in the order of the metrics, with what people call them.
fn keys_shown<'a>(summary: &'a Summary, shown: &Shown<'_>) -> Vec<(&'a str, String)> {
    let mut keys: Vec<&str> =
        summary.classes.iter().flat_map(|class| class.numbers.keys().map(String::as_str)).collect();
    keys.sort_unstable();
    keys.dedup();
    let several = shown.tolerances.len() > 1;
    let asked = |key: &&str| {
        let metric = metric_of(key);
        shown.measures.has(metric) && !(several && *key == "surface_dice")
    };
    let mut keys: Vec<(Metric, &str)> =
        keys.into_iter().filter(asked).map(|key| (metric_of(key), key)).collect();
    keys.sort_by_key(|(metric, _)| *metric);
    keys.into_iter().map(|(_, key)| (key, name_of_key(key, shown))).collect()
}

fn metric_of(key: &str) -> Metric {
    match key.split('_').next().unwrap_or_default() {
        "rvd" => Metric::Rvd,
        "hd" => Metric::Hd,
        "hd95" => Metric::Hd95,
        "masd" => Metric::Masd,
        "surface" => Metric::Nsd,
        "boundary" => Metric::BoundaryIou,
        _ => Metric::Assd,
    }
}

fn name_of_key(key: &str, shown: &Shown<'_>) -> String {
    let unit = if key.ends_with("_px") || key.ends_with("px") { "px" } else { "mm" };
    match key {
        "rvd_percent" => "volume difference %".to_owned(),
        "rvd_absolute_percent" => "volume difference %, absolute".to_owned(),
        "boundary_iou" => "Boundary IoU".to_owned(),
        "surface_dice" => {
            format!("surface Dice at {}", shown.tolerances.first().copied().unwrap_or(1.0))
        }
        _ => {
            if let Some(at) = key.strip_prefix("surface_dice_at_") {
                return format!("surface Dice at {} {unit}", at.trim_end_matches(unit));
            }
            let name = key.trim_end_matches("_mm").trim_end_matches("_px");
            match name.strip_prefix("asd_") {
                Some(way) => format!("ASD {unit}, {}", way.replace('_', " ")),
                None => format!("{} {unit}", name.to_uppercase()),
            }
        }
    }
}

/// What came out of one confusion matrix over all.
fn pooled_tables(pooled: &PixelReport, summary: &Summary) -> String {
    let names = |label: u8| {
        let class = summary.classes.iter().find(|class| class.label == label);
        class.map_or_else(
            || if label == 0 { "background".to_owned() } else { format!("label {label}") },
            title,
        )
    };
    let mut table = Table::new(
        std::iter::once(("class".to_owned(), Align::Left))
            .chain(["IoU", "accuracy", "% of the reference", "% of the prediction"].map(right)),
    );
    let share = |voxels: u64| {
        let all = pooled.n_voxels as f64;
        number((all > 0.0).then(|| 100.0 * voxels as f64 / all), 2)
    };
    for class in &pooled.classes {
        table.row([
            names(class.label),
            number(class.iou, 3),
            number(class.accuracy, 3),
            share(class.voxels.reference),
            share(class.voxels.prediction),
        ]);
    }
    table.rule();
    table.row([format!("mean of {} that occur", pooled.n_classes), number(pooled.mean_iou, 3)]);
    format!(
        "Pooled: all {} pixels of {} in one confusion matrix, no mean over cases:\n{}\npixel accuracy {}, frequency-weighted IoU {}",
        pooled.n_voxels,
        count(pooled.n_cases, "case"),
        table.render(),
        number(pooled.accuracy, 3),
        number(pooled.frequency_weighted_iou, 3),
    )
}
