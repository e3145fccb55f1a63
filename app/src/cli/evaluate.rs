//! `lamina evaluate`: predictions against references, case by case.
//!
//! Reading and pairing files is done here, measuring in `lamina_engine::metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use lamina_engine::bundle::Manifest;
use lamina_engine::metrics::{
    CaseReport, Comparison, Report, Status, Summary, failed_case, foreground_labels,
};
use lamina_io::atomic::write_atomically;
use lamina_io::{LabelVolume, ReadOptions, read_labels};
use rayon::prelude::*;

use super::inputs::{CaseFiles, Input};
use super::output::{Outcome, Output, error_line};
use super::table::{Align, Table, count, number};

/// Compare predictions with references: Dice, IoU and volumes per case and class.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// A predicted mask, or a folder of them.
    #[arg(long, value_name = "PATH")]
    prediction: PathBuf,

    /// The reference mask, or a folder of them; paired by file name.
    #[arg(long, value_name = "PATH")]
    reference: PathBuf,

    /// The classes to score; all labels that occur, unless given.
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..))]
    labels: Vec<u8>,

    /// What the classes are called: 1=anterior,2=posterior.
    #[arg(long, value_name = "LABEL=NAME,…", value_delimiter = ',', value_parser = parse_label_name)]
    label_names: Vec<(u8, String)>,

    /// Take classes and their names from this model.
    #[arg(long, value_name = "FOLDER", conflicts_with = "labels")]
    model: Option<PathBuf>,

    /// Measure distances between surfaces too: HD95 and ASSD in mm, and surface Dice.
    #[arg(long)]
    surface: bool,

    /// How far apart two surfaces may lie and still count as equal for surface Dice.
    #[arg(long, value_name = "MM", default_value_t = 1.0, requires = "surface", value_parser = parse_tolerance)]
    tolerance_mm: f64,

    /// Write the scores to this table as well.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// Reads `1=anterior`.
fn parse_label_name(text: &str) -> Result<(u8, String), String> {
    let expected = || format!("expected LABEL=NAME with a label from 1 to 255, found {text:?}");
    let (label, name) = text.split_once('=').ok_or_else(expected)?;
    match label.trim().parse() {
        Ok(label) if label > 0 && !name.trim().is_empty() => Ok((label, name.trim().to_owned())),
        _ => Err(expected()),
    }
}

fn parse_tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(tolerance) if tolerance.is_finite() && tolerance >= 0.0 => Ok(tolerance),
        _ => Err("expected a distance in millimeters, 0 or more".to_owned()),
    }
}

/// Runs `lamina evaluate`.
///
/// # Errors
/// When there is nothing to compare. A case that fails is part of the report.
pub fn run(args: &EvaluateArgs, output: &Output) -> anyhow::Result<Outcome> {
    let pairs = pair_up(args, output)?;
    let (classes, names) = classes_and_names(args)?;
    let tolerance = args.surface.then_some(args.tolerance_mm);
    let compared: Vec<Compared> = pairs.par_iter().map(|pair| compare(pair, tolerance)).collect();

    let classes = if classes.is_empty() { occurring_labels(&compared) } else { classes };
    tell_unscored(&compared, &classes, output);
    let cases = pairs
        .iter()
        .zip(&compared)
        .map(|(pair, compared)| compared.report(&pair.case, &classes))
        .collect();
    let report = Report::new(cases, &names);

    if let Some(path) = &args.csv {
        write_atomically(path, |out| report.write_csv(out)).context("cannot write the table")?;
    }
    output.result(&report, human)?;
    Ok(if report.summary.n_failed > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

/// A reference, and what was predicted for it.
struct Pair {
    case: String,
    reference: PathBuf,
    prediction: Result<PathBuf, String>,
}

fn pair_up(args: &EvaluateArgs, output: &Output) -> anyhow::Result<Vec<Pair>> {
    let references = CaseFiles::read(&args.reference).context("cannot use --reference")?;
    let predictions = CaseFiles::read(&args.prediction).context("cannot use --prediction")?;
    let single = args.reference.is_file() && args.prediction.is_file();
    let pair = |reference: &Input, prediction| Pair {
        case: reference.case.clone(),
        reference: reference.path.clone(),
        prediction,
    };
    if single {
        let reference = references.iter().next().context("expected a reference")?;
        return Ok(vec![pair(reference, Ok(args.prediction.clone()))]);
    }
    // A single file on one side asks for its own case only.
    let mut pairs = Vec::new();
    if args.prediction.is_file() {
        for Input { path, name, case } in predictions.iter() {
            let Some(reference) = references.find(name)? else {
                bail!(
                    "expected a reference for {}, found none in {}",
                    path.display(),
                    args.reference.display()
                );
            };
            let reference = reference.to_path_buf();
            pairs.push(Pair { case: case.clone(), reference, prediction: Ok(path.clone()) });
        }
        return Ok(pairs);
    }
    let mut used = BTreeSet::new();
    for reference in references.iter() {
        let found = match predictions.find(&reference.name) {
            Ok(None) => predictions.find(&reference.case),
            found => found,
        };
        let prediction = match found {
            Ok(Some(path)) => {
                used.insert(path.to_path_buf());
                Ok(path.to_path_buf())
            }
            Ok(None) => Err(format!(
                "there is no prediction for this reference: {}",
                reference.path.display()
            )),
            Err(ambiguous) => Err(error_line(ambiguous.as_ref())),
        };
        pairs.push(pair(reference, prediction));
    }
    if used.is_empty() {
        bail!(
            "expected predictions with the names of the references, found none that fits: {}",
            args.prediction.display()
        );
    }
    if !args.reference.is_file() {
        for input in predictions.iter().filter(|input| !used.contains(&input.path)) {
            let path = input.path.display();
            output.note(format!("not scored, there is no reference for it: {path}"));
        }
    }
    Ok(pairs)
}

/// What came of one pair.
struct Compared {
    reference: Option<LabelVolume>, // kept only where the comparison failed
    result: Result<Comparison, String>,
}

impl Compared {
    fn report(&self, case: &str, classes: &[u8]) -> CaseReport {
        let (classes, error) = match &self.result {
            Ok(comparison) => (comparison.classes(classes), None),
            Err(reason) => (failed_case(self.reference.as_ref(), classes), Some(reason.clone())),
        };
        CaseReport { case: case.to_owned(), classes, error }
    }

    fn labels(&self) -> BTreeSet<u8> {
        match &self.result {
            Ok(comparison) => comparison.labels(),
            Err(_) => self.reference.as_ref().map(foreground_labels).unwrap_or_default(),
        }
    }
}

fn compare(pair: &Pair, surface_tolerance_mm: Option<f64>) -> Compared {
    let reference = match read(&pair.reference) {
        Ok(reference) => reference,
        Err(reason) => {
            return Compared {
                reference: None,
                result: Err(format!("the reference cannot be read: {reason}")),
            };
        }
    };
    let result = pair.prediction.clone().and_then(|path| {
        let prediction = read(&path)?;
        Comparison::of(&prediction, &reference, surface_tolerance_mm).map_err(|mismatch| {
            format!(
                "the prediction is not on the grid of its reference: {mismatch}: {}",
                path.display()
            )
        })
    });
    Compared { reference: result.is_err().then_some(reference), result }
}

fn read(path: &Path) -> Result<LabelVolume, String> {
    read_labels(path, &ReadOptions::default()).map_err(|error| error_line(&error))
}

/// The classes that were asked for (none: whatever occurs) and what they are called.
fn classes_and_names(args: &EvaluateArgs) -> anyhow::Result<(Vec<u8>, BTreeMap<u8, String>)> {
    let mut classes = args.labels.clone();
    let mut names = BTreeMap::new();
    if let Some(folder) = &args.model {
        for (label, class) in (0_u8..).zip(&Manifest::read(folder)?.classes).skip(1) {
            classes.push(label);
            names.insert(label, class.name.clone());
        }
    }
    names.extend(args.label_names.iter().cloned());
    classes.sort_unstable();
    classes.dedup();
    Ok((classes, names))
}

fn occurring_labels(compared: &[Compared]) -> Vec<u8> {
    let labels: BTreeSet<u8> = compared.iter().flat_map(Compared::labels).collect();
    labels.into_iter().collect()
}

/// Says which labels are in the files and in no score.
fn tell_unscored(compared: &[Compared], classes: &[u8], output: &Output) {
    let unscored: Vec<String> = occurring_labels(compared)
        .iter()
        .filter(|label| !classes.contains(label))
        .map(ToString::to_string)
        .collect();
    if !unscored.is_empty() {
        output.note(format!(
            "not scored, though the files hold them: labels {}",
            unscored.join(", ")
        ));
    }
    if classes.is_empty() {
        output.note("nothing to score: no file holds a label above 0");
    }
}

/// The report as tables: cases, classes, and the worst by name.
fn human(report: &Report) -> String {
    let summary = &report.summary;
    let titles: Vec<String> = summary
        .classes
        .iter()
        .map(|class| class.name.clone().unwrap_or_else(|| format!("label {}", class.label)))
        .collect();
    let mut lines =
        vec![case_table(&report.cases, &titles).render(), class_table(summary, &titles).render()];
    for table in &mut lines {
        table.truncate(table.trim_end().len());
    }
    lines.insert(1, String::new());
    if report.cases.len() > 1 && !summary.worst.is_empty() {
        let worst = summary.worst.iter().map(|worst| format!("{} {:.3}", worst.case, worst.dice));
        lines.push(format!("\nlowest mean Dice: {}", worst.collect::<Vec<_>>().join(", ")));
    }
    if summary.n_failed > 0 {
        let cases = count(summary.n_cases, "case");
        lines.push(format!("\n{} of {cases} failed and count as Dice 0:", summary.n_failed));
        for case in &report.cases {
            lines.extend(case.error.as_ref().map(|reason| format!("  {}: {reason}", case.case)));
        }
    }
    lines.join("\n")
}

fn right(name: impl Into<String>) -> (String, Align) {
    (name.into(), Align::Right)
}

/// One row per case: what every class reached in it.
fn case_table(cases: &[CaseReport], titles: &[String]) -> Table {
    let mut columns = vec![("case".to_owned(), Align::Left)];
    for title in titles {
        columns.extend([
            right(format!("{title} Dice")),
            right("IoU"),
            right("ml"),
            right("ref. ml"),
        ]);
    }
    let mut table = Table::new(columns);
    for case in cases {
        let mut row = vec![case.case.clone()];
        for class in &case.classes {
            row.push(match class.status {
                Status::Scored => number(class.dice, 3),
                status => status.as_str().replace('_', " "),
            });
            row.push(number(class.iou, 3));
            row.push(number(class.volume_ml_prediction, 2));
            row.push(number(class.volume_ml_reference, 2));
        }
        table.row(row);
    }
    table
}

/// One row per class: what it reached over all cases.
fn class_table(summary: &Summary, titles: &[String]) -> Table {
    let mut columns = vec![("class".to_owned(), Align::Left)];
    columns.extend(
        ["Dice", "sd", "median", "5 %", "IoU", "scored", "missed", "false", "empty", "failed"]
            .map(right),
    );
    if summary.classes.iter().any(|class| class.surface.is_some()) {
        columns.extend(["HD95 mm, median", "mean of scored", "ASSD mm", "surface Dice"].map(right));
    }
    let mut table = Table::new(columns);
    for (class, title) in summary.classes.iter().zip(titles) {
        let dice = class.dice;
        let mut row = vec![
            title.clone(),
            number(dice.map(|dice| dice.mean), 3),
            number(dice.and_then(|dice| dice.sd), 3),
            number(dice.map(|dice| dice.median), 3),
            number(dice.map(|dice| dice.p5), 3),
            number(class.iou.map(|iou| iou.mean), 3),
        ];
        let counts =
            [class.n_scored, class.n_missed, class.n_false, class.n_both_empty, class.n_failed];
        row.extend(counts.map(|count| count.to_string()));
        if let Some(surface) = class.surface {
            row.push(number(Some(surface.hd95_mm_median.unwrap_or(f64::INFINITY)), 2));
            row.push(number(surface.hd95_mm_mean_scored, 2));
            row.push(number(surface.assd_mm_mean_scored, 2));
            row.push(number(surface.surface_dice_mean, 3));
        }
        table.row(row);
    }
    if summary.classes.len() > 1 {
        let (dice, iou) = (number(summary.foreground.dice, 3), number(summary.foreground.iou, 3));
        table.rule();
        table.row(["mean", &dice, "", "", "", &iou]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_name_needs_both_halves() {
        assert_eq!(parse_label_name("2=posterior"), Ok((2, "posterior".to_owned())));
        for wrong in ["posterior", "0=background", "1=", "256=x", "=x"] {
            assert!(parse_label_name(wrong).is_err(), "{wrong}");
        }
    }
}
