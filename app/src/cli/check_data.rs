//! `lamina check-data`: whether a data set is what it should be, before days are spent on it.
//!
//! What is right and wrong is decided by `lamina_io::dataset`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use clap::Args;
use lamina_io::atomic::write_atomically;
use lamina_io::dataset::{
    CaseCheck, CheckedClass, Dataset, DatasetCheck, DatasetConfig, Folds, Pairs, Problem, Spread,
    check_case, guess_folders, summarize,
};
use rayon::prelude::*;
use serde::Serialize;

use super::output::{Outcome, Output};
use super::progress::Bar;
use super::table::{Align, Table, count, number};

/// Verify a data set: pairs, sizes, places, labels, duplicates across patients.
///
/// Takes a data set description, or a folder with a dataset.json of nnU-Net or the Medical
/// Segmentation Decathlon, or with `images` and `labels` or `imagesTr` and `labelsTr` in it. Every
/// file is read whole.
#[derive(Debug, Args)]
pub struct CheckDataArgs {
    /// A description (configs/datasets/*.toml), or the folder of a data set.
    #[arg(value_name = "CONFIG|FOLDER")]
    what: PathBuf,

    /// The folder that holds the description's folder; LAMINA_DATA unless given.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// Write the folds that training uses to this file, as nnU-Net's splits_final.json has them.
    #[arg(long, value_name = "FILE")]
    write_splits: Option<PathBuf>,

    /// How many folds are drawn where no file fixes them, or leave_one_group_out.
    #[arg(long, value_name = "N", default_value_t = Folds::Number(5), requires = "write_splits")]
    folds: Folds,

    /// What folds are drawn from; an experiment's `seed`.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "write_splits")]
    seed: u64,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    folder: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    channels: Vec<String>,
    unlabeled: usize,
    #[serde(flatten)]
    check: DatasetCheck,
}

/// Problems that are shown unless all are asked for.
const SHOWN: usize = 20;

/// Runs `lamina check-data`.
///
/// # Errors
/// When there is no such data set, or its description makes no sense. What is wrong with its
/// files is part of the answer.
pub fn run(args: &CheckDataArgs, output: &Output) -> anyhow::Result<Outcome> {
    let (config, folder) = if args.what.is_file() {
        let config = DatasetConfig::read(&args.what)?;
        let folder = super::train::data_folder(args.data.as_deref())?.join(&config.folder);
        (config, folder)
    } else {
        (config_of_folder(&args.what)?, args.what.clone())
    };
    let found = Pairs::find(&config, &folder)?;
    let Pairs { config, layout, channels, cases, lonely, warnings, unlabeled } = found;
    if cases.is_empty() && lonely.is_empty() {
        bail!("expected images and their labels, found none: {}", folder.display());
    }
    let cases = config.cases(cases);
    output.note(format!("reading {}: {}", count(cases.len(), "case"), folder.display()));
    let mut checks = check_all(&cases, &config, output);
    let (dataset, wrong_folds) = Dataset::of(config, &folder, cases)?;
    for check in &mut checks {
        let folds = dataset.held_out_in(&check.case);
        check.parts.extend(folds.into_iter().map(|fold| format!("fold {fold}")));
    }
    let mut check = summarize(&checks, &dataset.config, lonely, warnings);
    let path = folder.join(dataset.config.folds.as_deref().unwrap_or_default());
    let wrong_folds = wrong_folds.into_iter();
    check.problems.extend(wrong_folds.map(|message| Problem {
        case: None,
        message,
        path: path.clone(),
    }));
    if let Some(path) = &args.write_splits {
        let text = serde_json::to_string_pretty(&dataset.sides(args.folds, args.seed))
            .context("the folds are no valid JSON")?;
        write_atomically(path, |out| std::io::Write::write_all(out, (text + "\n").as_bytes()))
            .context("cannot write the folds")?;
    }
    let answer = Answer {
        name: Some(dataset.config.name).filter(|name| !name.is_empty()),
        folder: folder.display().to_string(),
        layout: layout.map(lamina_io::dataset::Layout::name),
        channels,
        unlabeled,
        check,
    };
    let shown = if output.verbose() { usize::MAX } else { SHOWN };
    output.result(&answer, |answer| human(answer, shown))?;
    Ok(if answer.check.problems.is_empty() { Outcome::Done } else { Outcome::SomeFailed })
}

/// Checks cases on all threads; each holds one case in memory at a time.
pub(super) fn check_all(
    cases: &[lamina_io::dataset::Case],
    config: &DatasetConfig,
    output: &Output,
) -> Vec<CaseCheck> {
    let classes = Some(config.classes.len()).filter(|&classes| classes > 0);
    let bar = Bar::new(output);
    let done = AtomicUsize::new(0);
    let check = |case| {
        let check = check_case(case, classes);
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        bar.move_to(done, cases.len(), "cases".to_owned());
        check
    };
    let checks = cases.par_iter().map(check).collect();
    bar.clear();
    checks
}

/// The description of a folder that describes itself or has the usual folders.
pub(super) fn config_of_folder(folder: &Path) -> anyhow::Result<DatasetConfig> {
    std::fs::metadata(folder)
        .with_context(|| format!("expected a description or a folder: {}", folder.display()))?;
    if folder.join("dataset.json").is_file() {
        let splits = "splits_final.json";
        let folds = folder.join(splits).is_file().then(|| splits.to_owned());
        return Ok(DatasetConfig { folds, ..DatasetConfig::default() });
    }
    let Some([images, labels, image_suffix]) = guess_folders(folder) else {
        bail!(
            "expected dataset.json, or the folders images and labels, or imagesTr and labelsTr, found none; \
             a description can name others: {}",
            folder.display()
        );
    };
    Ok(DatasetConfig {
        images: images.to_owned(),
        labels: labels.to_owned(),
        image_suffix: image_suffix.to_owned(),
        ..DatasetConfig::default()
    })
}

/// Most parts that are shown beside each other.
const MOST_PARTS: usize = 6;

fn human(answer: &Answer, shown: usize) -> String {
    let check = &answer.check;
    let mut lines = Vec::new();
    if check.problems.is_empty() {
        lines.push("no problems".to_owned());
    } else {
        lines.push(format!("{}:", count(check.problems.len(), "problem")));
        for Problem { case, message, path } in check.problems.iter().take(shown) {
            let case = case.as_ref().map(|case| format!("{case}: ")).unwrap_or_default();
            lines.push(format!("  {case}{message}: {}", path.display()));
        }
        lines.extend(rest(check.problems.len(), shown));
    }
    if !check.warnings.is_empty() {
        lines.push(format!("\n{}:", count(check.warnings.len(), "warning")));
        lines.extend(check.warnings.iter().take(shown).map(|warning| format!("  {warning}")));
        lines.extend(rest(check.warnings.len(), shown));
    }
    lines.push(String::new());
    lines.extend(facts(answer));
    if check.shape.is_some() {
        lines.push(format!("\n{}", sizes(check).render().trim_end()));
    }
    if !check.classes.is_empty() {
        lines.push(format!("\n{}", classes(check).render().trim_end()));
    }
    if check.parts.len() > MOST_PARTS {
        lines.push(format!("\n{}, which --json lists", count(check.parts.len(), "part")));
    }
    lines.join("\n")
}

fn rest(all: usize, shown: usize) -> Option<String> {
    (all > shown).then(|| format!("  and {} more, which -v shows", all - shown))
}

fn facts(answer: &Answer) -> Vec<String> {
    let check = &answer.check;
    let mut lines = Vec::new();
    let mut fact = |name: &str, value: String| lines.push(format!("{name:<12} {value}"));
    if let Some(name) = &answer.name {
        fact("data set", name.clone());
    }
    if let Some(layout) = answer.layout {
        fact("layout", format!("{layout}, as dataset.json says"));
    }
    if answer.channels.len() > 1 {
        fact("channels", answer.channels.join(", "));
    }
    let cases = format!("{} of {}", check.cases, count(check.patients, "patient"));
    match answer.unlabeled {
        0 => fact("cases", cases),
        unlabeled => fact("cases", format!("{cases}, and {unlabeled} without labels")),
    }
    let counted = |counts: &std::collections::BTreeMap<String, usize>| {
        let several = counts.len() > 1;
        let one = |(what, n): (&String, &usize)| {
            if several { format!("{what} {n}") } else { what.clone() }
        };
        counts.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    if check.shape.is_some() {
        fact("stored as", counted(&check.types));
    }
    match check.spacing_mm {
        Some(_) => fact("orientation", counted(&check.orientations)),
        None if check.shape.is_some() => fact("spacing", "unknown".to_owned()),
        None => {}
    }
    lines
}

/// Sizes, spacings and values: the least, the middle and the most.
fn sizes(check: &DatasetCheck) -> Table {
    let columns =
        [("", Align::Left), ("min", Align::Right), ("median", Align::Right), ("max", Align::Right)];
    let mut table = Table::new(columns);
    let mut row = |name: String, spread: Option<Spread>| {
        if let Some(Spread { min, median, max }) = spread {
            table.row(std::iter::once(name).chain([min, median, max].map(short)));
        }
    };
    for axis in 0..3 {
        let name = ["x", "y", "z"][axis];
        let voxels = check.shape.map(|shape| shape[axis]);
        // Pictures have no third axis.
        if axis < 2 || voxels.is_some_and(|voxels| voxels.max > 1.0) {
            row(format!("voxels {name}"), voxels);
        }
    }
    for axis in 0..3 {
        let spacing = check.spacing_mm.map(|spacing| spacing[axis]);
        row(format!("spacing {} in mm", ["x", "y", "z"][axis]), spacing);
    }
    row("smallest value".to_owned(), check.minima);
    row("largest value".to_owned(), check.maxima);
    table
}

/// How often each class occurs, in all and in each part.
fn classes(check: &DatasetCheck) -> Table {
    let parts = if check.parts.len() > MOST_PARTS { &[] } else { &check.parts[..] };
    let mut columns = vec![
        ("label".to_owned(), Align::Right),
        ("class".to_owned(), Align::Left),
        ("voxels".to_owned(), Align::Right),
        ("share".to_owned(), Align::Right),
        ("cases".to_owned(), Align::Right),
    ];
    columns.extend(parts.iter().map(|part| (part.name.clone(), Align::Right)));
    let mut table = Table::new(columns);
    for class in &check.classes {
        let in_part = |classes: &[CheckedClass]| {
            let class = classes.iter().find(|other| other.label == class.label);
            class.map_or_else(String::new, share)
        };
        let row = [
            class.label.to_string(),
            class.name.clone().unwrap_or_default(),
            class.voxels.to_string(),
            share(class),
            class.cases.to_string(),
        ];
        table.row(row.into_iter().chain(parts.iter().map(|part| in_part(&part.classes))));
    }
    if !parts.is_empty() {
        table.rule();
        for (name, number) in [
            ("cases", (|part| part.cases) as fn(&lamina_io::dataset::CheckedPart) -> usize),
            ("patients", |part| part.patients),
        ] {
            let all = if name == "cases" { check.cases } else { check.patients };
            let row =
                [String::new(), name.to_owned(), String::new(), String::new(), all.to_string()];
            table.row(row.into_iter().chain(parts.iter().map(|part| number(part).to_string())));
        }
    }
    table
}

fn share(class: &CheckedClass) -> String {
    let share = class.share.map(|share| 100.0 * share);
    share.map_or_else(String::new, |share| format!("{} %", number(Some(share), 2)))
}

/// A number with at most four digits behind the point.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
