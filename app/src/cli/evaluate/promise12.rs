//! `lamina evaluate --promise12`: the challenge's numbers for the gland, its base and its apex.

use anyhow::{Context, bail};
use lamina_engine::metrics::{Pair, Promise12Report, ScoreConstants, evaluate_promise12};
use lamina_io::atomic::write_atomically;

use super::EvaluateArgs;
use crate::cli::output::{Outcome, Output};
use crate::cli::table::{Align, Table, count, number};

/// Runs the evaluation.
///
/// # Errors
/// When the constants cannot be read. A case that fails is part of the report.
pub(super) fn run(args: &EvaluateArgs, pairs: &[Pair], output: &Output) -> anyhow::Result<Outcome> {
    let label = match args.labels.as_slice() {
        [] => 1,
        [label] => *label,
        several => bail!("expected one label for the prostate, found {}", several.len()),
    };
    let constants = match &args.score_constants {
        Some(path) => Some(ScoreConstants::read(path).map_err(anyhow::Error::msg)?),
        None => None,
    };
    let report = evaluate_promise12(pairs, label, constants.as_ref());
    if let Some(path) = &args.csv {
        write_atomically(path, |out| report.write_csv(out)).context("cannot write the table")?;
    }
    output.result(&report, human)?;
    Ok(if report.n_failed > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

fn human(report: &Promise12Report) -> String {
    let columns =
        ["Dice", "HD95 mm", "ABD mm", "RVD %", "|RVD| %"].map(|n| (n.to_owned(), Align::Right));
    let first = ["case", "part"].map(|name| (name.to_owned(), Align::Left));
    let last = [("score".to_owned(), Align::Right)];
    let mut table = Table::new(first.into_iter().chain(columns).chain(last));
    for case in &report.cases {
        for (index, (part, numbers)) in case.parts.iter().enumerate() {
            table.row([
                if index == 0 { case.case.clone() } else { String::new() },
                part.as_str().to_owned(),
                number(numbers.dice, 3),
                number(numbers.hd95_mm, 2),
                number(numbers.abd_mm, 2),
                number(numbers.rvd_percent, 1),
                number(numbers.rvd_percent.map(f64::abs), 1),
                if index == 0 { number(case.score, 2) } else { String::new() },
            ]);
        }
    }
    table.rule();
    for (part, mean) in &report.means {
        let over = |mean: lamina_engine::metrics::MeanOf, digits| {
            format!("{} ({})", number(mean.mean, digits), mean.n)
        };
        table.row([
            "mean (n)".to_owned(),
            part.as_str().to_owned(),
            over(mean.dice, 3),
            over(mean.hd95_mm, 2),
            over(mean.abd_mm, 2),
            over(mean.rvd_percent, 1),
            over(mean.rvd_absolute_percent, 1),
        ]);
    }
    let mut lines = vec![table.render().trim_end().to_owned()];
    lines.push(match (report.score, &report.no_score) {
        (Some(score), _) => {
            format!("\nscore {score:.2}: the mean over {}", count(report.n_scored, "case"))
        }
        (None, Some(reason)) => format!("\nno score: {reason}"),
        (None, None) => "\nno score".to_owned(),
    });
    if report.n_failed > 0 {
        let cases = count(report.cases.len(), "case");
        lines.push(format!("\n{} of {cases} failed:", report.n_failed));
        for case in &report.cases {
            lines.extend(case.error.as_ref().map(|reason| format!("  {}: {reason}", case.case)));
        }
    }
    lines.join("\n")
}
