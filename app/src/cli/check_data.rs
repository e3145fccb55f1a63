//! `lamina check-data`: whether a data set is what it should be, before days are spent on it.
//!
//! What is right and wrong is decided by `lamina_io::dataset`.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use lamina_io::dataset::{
    CaseCheck, Class, Dataset, DatasetCheck, DatasetConfig, Pairs, Problem, check_case,
    guess_folders, summarize,
};
use rayon::prelude::*;
use serde::Serialize;

use super::output::{Outcome, Output};
use super::table::{Align, Table, count, number};

/// Verify a data set: pairs, sizes, places, labels, duplicates across patients.
///
/// Takes a data set description, or a folder with `images` and `labels` or `imagesTr` and
/// `labelsTr` in it. Every file is read whole.
#[derive(Debug, Args)]
pub struct CheckDataArgs {
    /// A description (configs/datasets/*.toml), or the folder of a data set.
    #[arg(value_name = "CONFIG|FOLDER")]
    what: PathBuf,

    /// The folder that holds the description's folder; LAMINA_DATA unless given.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    folder: String,
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
    let known = args.what.is_file();
    let (config, folder) = if known {
        let config = DatasetConfig::read(&args.what)?;
        let folder = super::train::data_folder(args.data.as_deref())?.join(&config.folder);
        (config, folder)
    } else {
        (config_of_folder(&args.what)?, args.what.clone())
    };
    let Pairs { pairs, lonely } = Pairs::find(&config, &folder)?;
    if pairs.is_empty() && lonely.is_empty() {
        bail!("expected images and their labels, found none: {}", folder.display());
    }
    let cases = config.cases(pairs);
    output.note(format!("reading {}: {}", count(cases.len(), "case"), folder.display()));
    let classes: Option<&[Class]> = known.then_some(&config.classes);
    let num_classes = classes.map(<[Class]>::len);
    let checks: Vec<CaseCheck> =
        cases.par_iter().map(|case| check_case(case, num_classes)).collect();
    let clean = lonely.is_empty();
    let mut check = summarize(&checks, lonely, classes);
    if clean
        && config.folds.is_some()
        && let Err(error) = Dataset::open(config.clone(), folder_above(&folder, &config))
    {
        let message = error.to_string();
        check.problems.push(Problem { case: None, message, path: folder.clone() });
    }
    let name = known.then(|| config.name.clone());
    let answer = Answer { name, folder: folder.display().to_string(), check };
    let shown = if output.verbose() { usize::MAX } else { SHOWN };
    output.result(&answer, |answer| human(answer, shown))?;
    Ok(if answer.check.problems.is_empty() { Outcome::Done } else { Outcome::SomeFailed })
}

/// The data folder of which `folder` is the data set's.
fn folder_above<'a>(folder: &'a Path, config: &DatasetConfig) -> &'a Path {
    let below = Path::new(&config.folder).components().count();
    folder.ancestors().nth(below).unwrap_or(folder)
}

fn config_of_folder(folder: &Path) -> anyhow::Result<DatasetConfig> {
    std::fs::metadata(folder)
        .with_context(|| format!("expected a description or a folder: {}", folder.display()))?;
    let Some([images, labels, image_suffix]) = guess_folders(folder) else {
        bail!(
            "expected the folders images and labels, or imagesTr and labelsTr, found neither; \
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

fn human(answer: &Answer, shown: usize) -> String {
    let check = &answer.check;
    let mut lines = Vec::new();
    if let Some(name) = &answer.name {
        lines.push(format!("{:<13} {name}", "data set"));
    }
    let mut fact = |name: &str, value: String| lines.push(format!("{name:<13} {value}"));
    fact("cases", format!("{} of {}", check.cases, count(check.patients, "patient")));
    if let Some([least, most]) = check.shape {
        fact("shape", format!("{} (x, y, z)", ranges(least, most, |n| n.to_string())));
    }
    let spacing = check
        .spacing_mm
        .map_or("unknown".to_owned(), |[least, most]| format!("{} mm", ranges(least, most, short)));
    fact("spacing", spacing);
    let counted = |counts: &std::collections::BTreeMap<String, usize>| {
        counts.iter().map(|(what, n)| format!("{what} {n}")).collect::<Vec<_>>().join(", ")
    };
    fact("orientation", counted(&check.orientations));
    fact("stored as", counted(&check.types));
    if let Some([least, most]) = check.maxima {
        fact("largest value", format!("{} to {}", short(least), short(most)));
    }
    let mut table = Table::new([
        ("label", Align::Right),
        ("class", Align::Left),
        ("voxels", Align::Right),
        ("share", Align::Right),
        ("cases", Align::Right),
    ]);
    for class in &check.classes {
        let share = class.share.map(|share| 100.0 * share);
        table.row([
            class.label.to_string(),
            class.name.clone().unwrap_or_default(),
            class.voxels.to_string(),
            share.map_or_else(String::new, |share| format!("{} %", number(Some(share), 2))),
            class.cases.to_string(),
        ]);
    }
    lines.push(format!("\n{}", table.render().trim_end()));
    if !check.warnings.is_empty() {
        lines.push(format!("\n{}:", count(check.warnings.len(), "warning")));
        lines.extend(check.warnings.iter().take(shown).map(|warning| format!("  {warning}")));
        lines.extend(rest(check.warnings.len(), shown));
    }
    if check.problems.is_empty() {
        lines.push("\nno problems".to_owned());
    } else {
        lines.push(format!("\n{}:", count(check.problems.len(), "problem")));
        for Problem { case, message, path } in check.problems.iter().take(shown) {
            let case = case.as_ref().map(|case| format!("{case}: ")).unwrap_or_default();
            lines.push(format!("  {case}{message}: {}", path.display()));
        }
        lines.extend(rest(check.problems.len(), shown));
    }
    lines.join("\n")
}

fn rest(all: usize, shown: usize) -> Option<String> {
    (all > shown).then(|| format!("  and {} more, which -v shows", all - shown))
}

/// "31–43 × 40–59 × 35": where all agree, one number.
fn ranges<T: PartialEq + Copy>(least: [T; 3], most: [T; 3], show: impl Fn(T) -> String) -> String {
    let range = |axis: usize| {
        let (least, most) = (least[axis], most[axis]);
        if least == most { show(least) } else { format!("{}–{}", show(least), show(most)) }
    };
    [0, 1, 2].map(range).join(" × ")
}

/// A number with at most four digits behind the point.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
