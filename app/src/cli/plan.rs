//! `lamina plan`: an experiment for a data set, from its fingerprint.
//!
//! What is decided, and why, is the engine's `plan`; here cases are found and read, and files
//! written.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use clap::Args;
use lamina_engine::networks::unet::UnetConfig;
use lamina_engine::networks::{NetworkConfig, catalogue};
use lamina_engine::plan::{CaseFacts, DataFacts, Planned, Wish, plan};
use lamina_io::atomic::write_atomically;
use lamina_io::dataset::{Case, Class, Dataset, DatasetConfig, Pairs};
use lamina_io::usual_color;
use rayon::prelude::*;
use serde::Serialize;

use super::output::{Outcome, Output};
use super::progress::Bar;
use super::table::{Align, Table, count};

/// Write an experiment for a data set, with the reason for each choice.
///
/// Decides from its fingerprint: spacing, sizes, intensities, class balance and the memory at hand.
/// Takes what check-data takes: a description, or a folder with a dataset.json, or with images and
/// labels in it. Writes the experiment, with the reason for each choice as a comment, and for a
/// folder the description too.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// A description (configs/datasets/*.toml), or the folder of a data set.
    #[arg(value_name = "CONFIG|FOLDER")]
    what: PathBuf,

    /// The folder that holds the description's folder; LAMINA_DATA unless given.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// Where `datasets/` and `experiments/` are written; beside the description, else ./configs.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// The network: `unet`, `nnunet-2d`, or another that `lamina networks` lists.
    #[arg(long, value_name = "NAME", default_value = "unet")]
    network: String,

    /// Memory that training may take; half of what this machine has unless given.
    #[arg(long, value_name = "GIB", value_parser = gib)]
    memory_gib: Option<f64>,

    /// How many folds are drawn where no file fixes them.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = folds)]
    folds: usize,

    /// What everything random is drawn from.
    #[arg(long, value_name = "N", default_value_t = 12)]
    seed: u64,

    /// What the data set is: mr, ct, rgb or another; where its description does not say.
    #[arg(long, value_name = "NAME")]
    modality: Option<String>,

    /// Replace files that are there.
    #[arg(long)]
    overwrite: bool,
}

fn folds(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(folds) if folds >= 2 => Ok(folds),
        _ => Err("expected 2 or more folds".to_owned()),
    }
}

fn gib(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(gib) if (0.01..=1e5).contains(&gib) => Ok(gib),
        _ => Err(format!("expected GiB, 0.01 or more, found {text:?}")),
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    experiment: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset: Option<PathBuf>,
    cases: usize,
    reasons: Vec<Because>,
}

#[derive(Debug, Serialize)]
struct Because {
    key: &'static str,
    because: String,
}

/// Runs `lamina plan`.
///
/// # Errors
/// When there is no such data set, a case cannot be read, nothing fits into memory, or a file is
/// there already.
pub fn run(args: &PlanArgs, output: &Output) -> anyhow::Result<Outcome> {
    let described = args.what.is_file();
    let (config, data) = if described {
        (DatasetConfig::read(&args.what)?, super::train::data_folder(args.data.as_deref())?)
    } else {
        of_folder(&args.what)?
    };
    let mut dataset = match Dataset::open(config.clone(), &data) {
        Ok(dataset) => dataset,
        // A folder whose classes nobody has named is opened by its pairs.
        Err(_) if !described && config.classes.is_empty() => by_pairs(&config, &data)?,
        Err(error) => return Err(error.into()),
    };
    if let Some(modality) = &args.modality {
        dataset.config.modality.clone_from(modality);
    }
    let color = dataset.config.modality == "rgb";
    let found = read_all(&dataset.cases, color, output)?;
    if dataset.config.classes.is_empty() {
        dataset.config.classes = classes_of(&found);
    }
    let classes = dataset.config.classes.clone();
    let facts = DataFacts::of(&found, &dataset.config, &classes).context("expected cases")?;
    let wish = Wish {
        dataset: dataset.config.name.clone(),
        network: network(&args.network)?,
        memory_bytes: args.memory_gib.map_or_else(half_of_memory, |gib| (gib * GIB) as u64),
        folds: args.folds,
        seed: args.seed,
    };
    let planned = plan(&facts, &wish)?;

    let out = args.out.clone().unwrap_or_else(|| beside(&args.what, described));
    let file = format!("{}-{}.toml", wish.dataset, args.network);
    let experiment = out.join("experiments").join(file);
    // What is read from a description that lies elsewhere has to be found beside the experiment.
    let description = out.join("datasets").join(format!("{}.toml", wish.dataset));
    let write_description = !(described && same_file(&description, &args.what));
    let description = write_description.then_some(description);
    for path in description.iter().chain([&experiment]) {
        if path.exists() && !args.overwrite {
            bail!("expected no such file yet, or --overwrite: {}", path.display());
        }
    }
    if let Some(path) = &description {
        let text = toml_of(&dataset.config)?;
        write(path, &text)?;
    }
    write(&experiment, &head(&facts, &planned))?;

    let reasons = planned.reasons.iter();
    let answer = Answer {
        experiment,
        dataset: description,
        cases: facts.cases,
        reasons: reasons
            .map(|reason| Because { key: reason.key, because: reason.because.clone() })
            .collect(),
    };
    let train = format!(
        "lamina train --config {} --data {} --out runs/{}",
        answer.experiment.display(),
        data.display(),
        wish.dataset
    );
    output.result(&answer, |answer| human(answer, &train))?;
    Ok(Outcome::Done)
}

const GIB: f64 = (1_u64 << 30) as f64;

fn human(answer: &Answer, train: &str) -> String {
    let mut table = Table::new([("key", Align::Left), ("reason", Align::Left)]);
    for Because { key, because } in &answer.reasons {
        table.row([(*key).to_owned(), because.clone()]);
    }
    let mut lines = vec![table.render().trim_end().to_owned(), String::new()];
    if let Some(dataset) = &answer.dataset {
        lines.push(format!("data set    {}", dataset.display()));
    }
    lines.push(format!("experiment  {}", answer.experiment.display()));
    lines.push(format!("\n{train}"));
    lines.join("\n")
}

/// The experiment as a file that says what it was made from.
fn head(facts: &DataFacts, planned: &Planned) -> String {
    let [x, y, z] = facts.size;
    let sizes = format!("{x} x {y} x {z} voxels in the middle");
    format!(
        "# Planned by lamina {} for {} of {}, {sizes}.\n# Every choice can be changed; the reasons \
         are those of the plan.\n{}",
        env!("CARGO_PKG_VERSION"),
        count(facts.cases, "case"),
        planned.experiment.dataset,
        planned.to_toml()
    )
}

/// Where the files of a description lie: `configs` of `configs/datasets/name.toml`.
fn beside(what: &Path, described: bool) -> PathBuf {
    let configs = what.parent().and_then(Path::parent).filter(|_| described);
    match configs {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_path_buf(),
        None => PathBuf::from("configs"),
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make this folder: {}", folder.display()))?;
    }
    write_atomically(path, |out| std::io::Write::write_all(out, text.as_bytes()))?;
    Ok(())
}

fn toml_of(config: &DatasetConfig) -> anyhow::Result<String> {
    toml::to_string(config).context("the description cannot be written as TOML")
}

/// The description of a folder, and the folder that it lies in.
fn of_folder(folder: &Path) -> anyhow::Result<(DatasetConfig, PathBuf)> {
    let config = super::check_data::config_of_folder(folder)?;
    let folder =
        folder.canonicalize().with_context(|| format!("cannot read: {}", folder.display()))?;
    let (Some(name), Some(data)) = (folder.file_name(), folder.parent()) else {
        bail!("expected a folder with a name: {}", folder.display());
    };
    let below = name.to_string_lossy().into_owned();
    let described = DatasetConfig {
        name: plain(&below),
        title: if config.title.is_empty() { below.clone() } else { config.title.clone() },
        license: "not said".to_owned(),
        source: "not said".to_owned(),
        folder: below,
        ..config
    };
    Ok((described, data.to_path_buf()))
}

/// A name that goes into names of files.
fn plain(name: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = name.chars().map(kept).collect();
    let name = name.trim_matches('_').to_owned();
    if name.is_empty() { "data".to_owned() } else { name }
}

/// The cases of a folder without names of classes.
fn by_pairs(config: &DatasetConfig, data: &Path) -> anyhow::Result<Dataset> {
    let folder = data.join(&config.folder);
    let Pairs { config, cases, .. } = Pairs::find(config, &folder)?;
    if cases.is_empty() {
        bail!("expected images and their labels, found none: {}", folder.display());
    }
    let cases = config.cases(cases);
    Ok(Dataset::of(config, &folder, cases)?.0)
}

/// A class for every label that occurs, called by its number.
fn classes_of(cases: &[CaseFacts]) -> Vec<Class> {
    let last = cases.iter().filter_map(|case| case.voxels.keys().last()).max().copied();
    let class = |label: u8| Class {
        name: if label == 0 { "background".to_owned() } else { format!("label {label}") },
        color: if label == 0 { [0; 3] } else { usual_color(label) },
        ..Class::default()
    };
    (0..=last.unwrap_or(1).max(1)).map(class).collect()
}

/// Measures all cases on all threads, each by itself.
fn read_all(cases: &[Case], color: bool, output: &Output) -> anyhow::Result<Vec<CaseFacts>> {
    output.note(format!("reading {}", count(cases.len(), "case")));
    let bar = Bar::new(output);
    let done = AtomicUsize::new(0);
    let read = |case| {
        let facts = if color { CaseFacts::read_picture(case) } else { CaseFacts::read(case) };
        bar.move_to(done.fetch_add(1, Ordering::Relaxed) + 1, cases.len(), "cases".to_owned());
        facts
    };
    let found: Vec<_> = cases.par_iter().map(read).collect();
    bar.clear();
    found.into_iter().map(|facts| facts.map_err(Into::into)).collect()
}

/// The network of this name, as it was published; a U-Net is half as wide.
fn network(name: &str) -> anyhow::Result<NetworkConfig> {
    if name == "unet" {
        return Ok(NetworkConfig::Unet(UnetConfig { base_channels: 32, ..UnetConfig::default() }));
    }
    let entries = catalogue();
    let named = entries.iter().find(|entry| entry.name == name);
    named.map(|entry| entry.config.clone()).with_context(|| {
        let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
        format!("expected one of {}, found {name}", names.join(", "))
    })
}

/// Half of the memory of this machine in bytes; 4 GiB where nobody says how much there is.
fn half_of_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok());
    kib.map_or(4 << 30, |kib| kib * 1024 / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_without_what_other_systems_choke_on() {
        assert_eq!(plain("Task04 Hippocampus/ü"), "task04_hippocampus");
        assert_eq!(plain("…"), "data");
        assert_eq!(beside(Path::new("configs/datasets/a.toml"), true), Path::new("configs"));
        assert_eq!(beside(Path::new("datasets/a.toml"), true), Path::new("."));
        assert_eq!(beside(Path::new("/data/a"), false), Path::new("configs"));
    }
}
