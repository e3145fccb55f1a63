//! `lamina compare`: runs on the same cases against the first of them.
//!
//! Where a run keeps its numbers is known to `results`, what is computed to
//! `lamina_engine::metrics`; here it becomes a table.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use lamina_engine::metrics::statistics::{Bootstrap, LARGEST_EXACT, holm};
use lamina_engine::metrics::{Paired, PairedMetric, PairedRow, Pairing};
use serde::Serialize;

use super::output::{Outcome, Output};
use super::table::{Align, Table, count};
use crate::results::Results;

/// Compare runs on the same cases: differences, their intervals and Wilcoxon's test.
///
/// Each run is held against the first one. What failed or was missed counts as 0.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Run folders, folders of a cross-validation, or files of `evaluate --json`.
    #[arg(value_name = "RUN", num_args = 2.., required = true)]
    runs: Vec<PathBuf>,

    /// What to compare by.
    #[arg(long, value_enum, default_value_t = Metric::Dice)]
    metric: Metric,

    /// Leave out, and list, cases that one run alone has; without this they are refused.
    #[arg(long)]
    common: bool,

    /// A case's patient is its name up to the first such separator; patients are drawn whole. Run
    /// folders know theirs.
    #[arg(long, value_name = "TEXT")]
    patient_separator: Option<String>,

    /// Samples of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    samples: u32,

    /// Seed of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Metric {
    Dice,
    Iou,
    SurfaceDice,
}

impl From<Metric> for PairedMetric {
    fn from(metric: Metric) -> Self {
        match metric {
            Metric::Dice => Self::Dice,
            Metric::Iou => Self::Iou,
            Metric::SurfaceDice => Self::SurfaceDice,
        }
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    /// What the first run is called.
    first: String,
    bootstrap: Bootstrap,
    /// The others, each against the first.
    comparisons: Vec<Comparison>,
}

#[derive(Debug, Serialize)]
struct Comparison {
    /// What the run is called.
    run: String,
    #[serde(flatten)]
    paired: Paired,
    /// Holm's p over the runs, class by class in the order of `classes`, and of the mean; absent where
    /// two runs are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    holm: Option<Holm>,
}

#[derive(Debug, Serialize)]
struct Holm {
    classes: Vec<Option<f64>>,
    mean: Option<f64>,
}

/// Runs `lamina compare`.
///
/// # Errors
/// When a run has no numbers, or two were not measured on the same cases and classes.
pub fn run(args: &CompareArgs, output: &Output) -> anyhow::Result<Outcome> {
    let runs: Vec<Results> =
        args.runs.iter().map(|path| Results::read(path)).collect::<anyhow::Result<_>>()?;
    let (first, others) = runs.split_first().context("expected at least two runs")?;
    let separator = args.patient_separator.as_deref();
    let pairing = Pairing {
        metric: args.metric.into(),
        bootstrap: Bootstrap { samples: args.samples as usize, seed: args.seed, level: 0.95 },
        common_only: args.common,
    };
    let mut comparisons = Vec::with_capacity(others.len());
    for other in others {
        let paired = pairing
            .compare(&first.report, &other.report, |case| first.patient(case, separator))
            .with_context(|| {
                let advice = if args.common { "" } else { "; --common takes what both have" };
                format!(
                    "cannot compare {} with {}{advice}",
                    other.path.display(),
                    first.path.display()
                )
            })?;
        comparisons.push(Comparison { run: other.name.clone(), paired, holm: None });
    }
    if comparisons.len() > 1 {
        correct(&mut comparisons);
    }
    for run in &runs {
        output.note(format!("{}: {}", run.name, run.origin));
    }
    for (comparison, other) in comparisons.iter().zip(others) {
        tell(first, other, &comparison.paired, output);
    }
    let answer = Answer { first: first.name.clone(), bootstrap: pairing.bootstrap, comparisons };
    output.result(&answer, |answer| human(answer, &runs))?;
    Ok(Outcome::Done)
}

/// Says what is in no number, and what may not be comparable.
fn tell(first: &Results, second: &Results, paired: &Paired, output: &Output) {
    for (run, cases) in [(first, &paired.only_first), (second, &paired.only_second)] {
        if !cases.is_empty() {
            let cases = format!("{}: {}", count(cases.len(), "case"), cases.join(", "));
            output.note(format!("not compared, only {} has them: {cases}", run.name));
        }
    }
    if !paired.other_reference.is_empty() {
        output.note(format!(
            "the volumes of references differ in {} and {}: were both measured against the same? {}",
            first.name,
            second.name,
            paired.other_reference.join(", ")
        ));
    }
}

/// Holm's correction over the runs, each row by itself.
fn correct(comparisons: &mut [Comparison]) {
    let p = |row: &PairedRow| row.wilcoxon.map_or(1.0, |test| test.p);
    let row = |comparison: &Comparison, label: Option<u8>| {
        let mut rows = comparison.paired.classes.iter().chain(&comparison.paired.mean);
        rows.find(|row| row.label == label).cloned()
    };
    let corrected = |label: Option<u8>| -> Vec<Option<f64>> {
        let rows: Vec<Option<PairedRow>> = comparisons.iter().map(|run| row(run, label)).collect();
        let there: Vec<f64> = rows.iter().flatten().map(p).collect();
        let mut raised = holm(&there).into_iter();
        rows.iter().map(|row| row.as_ref().and_then(|_| raised.next())).collect()
    };
    let found: Vec<Holm> = comparisons
        .iter()
        .enumerate()
        .map(|(place, comparison)| Holm {
            classes: comparison
                .paired
                .classes
                .iter()
                .map(|row| corrected(row.label)[place])
                .collect(),
            mean: corrected(None)[place],
        })
        .collect();
    for (comparison, holm) in comparisons.iter_mut().zip(found) {
        comparison.holm = Some(holm);
    }
}

/// One table per run that is held against the first, and what the numbers are.
fn human(answer: &Answer, runs: &[Results]) -> String {
    let mut lines = Vec::new();
    for (comparison, run) in answer.comparisons.iter().zip(&runs[1..]) {
        let paired = &comparison.paired;
        lines.push(table(comparison, &answer.first).render().trim_end().to_owned());
        let losses: Vec<String> = paired
            .losses
            .iter()
            .map(|loss| {
                let lost = loss.second - loss.first;
                format!("{} {:.3} → {:.3} ({lost:+.3})", loss.case, loss.first, loss.second)
            })
            .collect();
        if !losses.is_empty() {
            lines.push(format!("largest losses of {}: {}", comparison.run, losses.join(", ")));
        }
        for (what, counts) in [
            ("missed, false or failed, which count as 0", paired.zeros),
            ("rightly empty where the other invents, which counts as 1", paired.rightly_empty),
        ] {
            if let [first, second] = counts
                && first + second > 0
            {
                let (one, other) = (&answer.first, &run.name);
                lines.push(format!("{what}: {first} in {one}, {second} in {other}"));
            }
        }
        lines.push(String::new());
    }
    let paired = &answer.comparisons[0].paired;
    let groups = if paired.n_groups == paired.n_cases {
        "drawn case by case".to_owned()
    } else {
        format!("drawn by {}", count(paired.n_groups, "patient"))
    };
    lines.push(format!(
        "{}; 95 % interval of the difference: percentiles of {} paired bootstrap samples {groups}, \
         seed {}",
        count(paired.n_cases, "case"),
        answer.bootstrap.samples,
        answer.bootstrap.seed,
    ));
    let holm = match answer.comparisons.len() {
        1 => String::new(),
        runs => format!("; Holm's p is corrected for {runs} runs, each row by itself"),
    };
    lines.push(format!(
        "p: Wilcoxon's signed-rank test, two-sided, cases without a difference left out, exact for \
         up to {LARGEST_EXACT}{holm}"
    ));
    lines.join("\n")
}

fn table(comparison: &Comparison, first: &str) -> Table {
    let right = |name: &str| (name.to_owned(), Align::Right);
    let mut columns = vec![
        (comparison.paired.metric.name().to_owned(), Align::Left),
        right(first),
        right(&comparison.run),
        right("difference"),
        right("95 % interval"),
        right("p"),
    ];
    if comparison.holm.is_some() {
        columns.push(right("Holm's p"));
    }
    columns.extend(["better", "equal", "worse"].map(right));
    let mut table = Table::new(columns);
    let row = |name: String, row: &PairedRow, holm: Option<Option<f64>>| {
        let mut cells = vec![
            name,
            format!("{:.4}", row.first),
            format!("{:.4}", row.second),
            format!("{:+.4}", row.difference),
            row.interval.map_or("–".to_owned(), |interval| {
                format!("{:+.4} to {:+.4}", interval.low, interval.high)
            }),
            probability(row.wilcoxon.map(|test| test.p)),
        ];
        cells.extend(holm.map(|_| probability(holm.flatten().filter(|_| row.wilcoxon.is_some()))));
        cells.extend([row.better, row.equal, row.worse].map(|count| count.to_string()));
        cells
    };
    let paired = &comparison.paired;
    for (place, class) in paired.classes.iter().enumerate() {
        let label = class.label.unwrap_or(0);
        let name = class.name.clone().unwrap_or_else(|| format!("label {label}"));
        table.row(row(name, class, comparison.holm.as_ref().map(|holm| holm.classes[place])));
    }
    if let Some(mean) = paired.mean.as_ref().filter(|_| paired.classes.len() > 1) {
        table.rule();
        table.row(row("mean".to_owned(), mean, comparison.holm.as_ref().map(|holm| holm.mean)));
    }
    table
}

/// A p as people write it.
pub(super) fn probability(p: Option<f64>) -> String {
    match p {
        None => "–".to_owned(),
        Some(p) if p < 0.0001 => "< 0.0001".to_owned(),
        Some(p) if p < 0.01 => format!("{p:.4}"),
        Some(p) => format!("{p:.3}"),
    }
}
