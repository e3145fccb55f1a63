//! `lamina cv`: every fold of an experiment, and what they amount to together.
//!
//! `plan` fixes what is done and refuses to mix it with anything else, `fold` trains one fold under
//! a lock, `gather` makes of all folds the out-of-fold masks, their evaluation, the choice of
//! post-processing and the ensemble. All of it may be stopped at any time and goes on by the same
//! command.

mod fold;
mod gather;
mod plan;
mod tables;
mod tidying;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use lamina_engine::device::DeviceChoice;
use lamina_engine::experiment::Experiment;
use lamina_engine::training::{Cache, StartWeights};
use lamina_io::dataset::{Dataset, Folds};
use serde::Serialize;

use super::cache::CacheArgs;
use super::interrupt::Interrupt;
use super::output::{Outcome, Output};
use super::train::{data_folder, train_epochs, use_threads};
use fold::FoldEnd;
use plan::Plan;

/// Cross-validate an experiment: train every fold, and gather them.
///
/// Every case gets a mask by the fold that never saw it, and all folds make an ensemble. Killed at any time, the same command goes on. Folds may run elsewhere too, each as `--fold K` of
/// the same command on the same folder, and `--gather` when all are done.
#[derive(Debug, Args)]
pub struct CvArgs {
    /// The experiment, a file of configs/experiments; its `fold` does not matter.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// The folder that holds the data set's folder; LAMINA_DATA unless given.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// Where everything goes: a run folder for each fold, out_of_fold and ensemble.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,

    /// Train this fold alone, as one of several commands.
    #[arg(long, value_name = "K", help_heading = "One part of it", conflicts_with = "gather")]
    fold: Option<usize>,

    /// Gather folds that are done already, and train none.
    #[arg(long, help_heading = "One part of it")]
    gather: bool,

    /// Print the commands that do the same one by one, and do nothing.
    #[arg(long, help_heading = "One part of it")]
    print_commands: bool,

    /// Go on where the same image is said to be of different patients and some fold has both.
    #[arg(long)]
    accept_duplicates: bool,

    /// Start every fold from the weights of a bundle, another run or a file instead of fresh ones,
    /// which must not have seen the cases here.
    #[arg(long, value_name = "PATH")]
    start_from: Option<PathBuf>,

    /// auto, cpu, cuda[:N] or wgpu[:N].
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,

    /// Draw this many folds, or leave_one_group_out, where no file fixes them.
    #[arg(long, value_name = "N", help_heading = "Instead of what the experiment says")]
    folds: Option<Folds>,

    /// Train this many epochs.
    #[arg(long, value_name = "N", help_heading = "Instead of what the experiment says")]
    epochs: Option<NonZeroUsize>,

    /// Start from this seed, which folds are drawn from too.
    #[arg(long, value_name = "N", help_heading = "Instead of what the experiment says")]
    seed: Option<u64>,

    #[command(flatten)]
    cache: CacheArgs,

    /// Use this many threads; the result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// What `--print-commands` prints as JSON.
#[derive(Debug, Serialize)]
struct Commands {
    folds: Vec<String>,
    gather: String,
}

/// What all parts share.
struct Cv<'a> {
    args: &'a CvArgs,
    output: &'a Output,
    experiment: Experiment,
    dataset: Dataset,
    plan: Plan,
    start_from: Option<StartWeights>,
    cache: Option<Cache>,
}

/// Runs `lamina cv`.
///
/// # Errors
/// When nothing can be started: a setting, the data set, or a folder that holds something else. A
/// fold that fails is told, and the others go on.
pub fn run(args: &CvArgs, output: &Output) -> anyhow::Result<Outcome> {
    use_threads(args.threads)?;
    let mut experiment = Experiment::read(&args.config)?;
    experiment.fold = 0;
    if let Some(folds) = args.folds {
        experiment.folds = folds;
    }
    if let Some(epochs) = args.epochs {
        train_epochs(&mut experiment, epochs);
    }
    if let Some(seed) = args.seed {
        experiment.seed = seed;
    }
    let start_from = args.start_from.as_deref().map(StartWeights::read).transpose()?;
    if let Some(start) = &start_from {
        experiment.training.start_from = Some(start.record.clone());
    }
    experiment.validate()?;
    let config = experiment.read_dataset(&args.config)?;
    let dataset = Dataset::open(config, &data_folder(args.data.as_deref())?)?;
    let folds = dataset.sides(experiment.folds, experiment.seed).len();
    if let Some(fold) = args.fold.filter(|fold| *fold >= folds) {
        bail!("expected --fold 0 to {}, found {fold}", folds.saturating_sub(1));
    }
    if args.print_commands {
        let commands = Commands {
            folds: (0..folds).map(|fold| args.command(&format!("--fold {fold}"))).collect(),
            gather: args.command("--gather"),
        };
        output.result(&commands, |commands| {
            commands.folds.iter().chain([&commands.gather]).cloned().collect::<Vec<_>>().join("\n")
        })?;
        return Ok(Outcome::Done);
    }
    let plan = plan::open(args, &experiment, &dataset, output)?;
    let cache = args.cache.open(output)?;
    let cv = Cv { args, output, experiment, dataset, plan, start_from, cache };
    let interrupt = Interrupt::listen()?;
    if let Some(fold) = args.fold {
        return Ok(match cv.fold(fold, &interrupt)? {
            FoldEnd::Done => Outcome::Done,
            FoldEnd::Failed | FoldEnd::Taken => Outcome::SomeFailed,
            FoldEnd::Interrupted => Outcome::Interrupted,
        });
    }
    if !args.gather {
        for fold in 0..folds {
            if let FoldEnd::Interrupted = cv.fold(fold, &interrupt)? {
                output.note("stopped; the same command goes on from here");
                return Ok(Outcome::Interrupted);
            }
        }
    }
    cv.gather()
}

impl CvArgs {
    /// The command line of one part.
    fn command(&self, part: &str) -> String {
        let mut options: Vec<(&str, Option<String>)> = Vec::new();
        let mut add = |name, value: String| options.push((name, Some(value)));
        add("--config", self.config.display().to_string());
        if let Some(data) = &self.data {
            add("--data", data.display().to_string());
        }
        add("--out", self.out.display().to_string());
        if let Some(start) = &self.start_from {
            add("--start-from", start.display().to_string());
        }
        if self.device != DeviceChoice::Auto {
            add("--device", self.device.to_string());
        }
        if let Some(folds) = self.folds {
            add("--folds", folds.to_string());
        }
        if let Some(epochs) = self.epochs {
            add("--epochs", epochs.to_string());
        }
        if let Some(seed) = self.seed {
            add("--seed", seed.to_string());
        }
        if let Some(threads) = self.threads {
            add("--threads", threads.to_string());
        }
        options.extend(self.cache.options());
        if self.accept_duplicates {
            options.push(("--accept-duplicates", None));
        }
        let words = options.into_iter().map(|(name, value)| match value {
            Some(value) => format!(" {name} {}", quoted(&value)),
            None => format!(" {name}"),
        });
        format!("lamina cv{} {part}", words.collect::<String>())
    }
}

/// A word as a POSIX shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("runs/a_1.toml"), "runs/a_1.toml");
        assert_eq!(quoted("my data"), "'my data'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
