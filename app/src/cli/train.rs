//! `lamina train`: fit a network as an experiment file says.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use lamina_engine::EngineError;
use lamina_engine::device::DeviceChoice;
use lamina_engine::experiment::Experiment;
use lamina_engine::training::{Fit, RunFolder, StartWeights};
use lamina_io::dataset::Dataset;

use super::cache::CacheArgs;
use super::environment::Environment;
use super::held_out::HeldOut;
use super::interrupt::Interrupt;
use super::output::{Outcome, Output};
use super::progress::Progress;
use crate::run::Keeper;

/// The folder of a run that holds the masks of its held-out cases.
pub(super) const VALIDATION: &str = "validation";

/// Train a network as an experiment file says.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The experiment, a file of configs/experiments.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// The folder that holds the data set's folder; LAMINA_DATA unless given.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// The run folder: settings, events, checkpoints and the trained model.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,

    /// Go on from the last checkpoint in the run folder.
    #[arg(long)]
    resume: bool,

    /// Start from the weights of a bundle, another run or a file instead of fresh ones; what does
    /// not fit, as the last layer where there are other classes, starts fresh.
    #[arg(long, value_name = "PATH")]
    start_from: Option<PathBuf>,

    /// The longest time from one checkpoint to the next, in minutes, 0 for one after each step;
    /// changes no result.
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, value_parser = minutes)]
    checkpoint_minutes: f64,

    /// auto, cpu, cuda[:N] or wgpu[:N].
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,

    /// Hold out this fold, whatever the experiment says.
    #[arg(long, value_name = "N", help_heading = "Instead of what the experiment says")]
    fold: Option<usize>,

    /// Train this many epochs.
    #[arg(long, value_name = "N", help_heading = "Instead of what the experiment says")]
    epochs: Option<NonZeroUsize>,

    /// Start from this seed.
    #[arg(long, value_name = "N", help_heading = "Instead of what the experiment says")]
    seed: Option<u64>,

    /// Draw curves every so many epochs, and not at the end alone.
    #[arg(long, value_name = "EPOCHS")]
    curves: Option<NonZeroUsize>,

    #[command(flatten)]
    cache: CacheArgs,

    /// Leave out the masks of the held-out cases and their evaluation, the folder validation.
    #[arg(long)]
    no_validation: bool,

    /// Use this many threads; the result does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Runs `lamina train`.
///
/// # Errors
/// When training cannot start or cannot go on.
pub fn run(args: &TrainArgs, output: &Output) -> anyhow::Result<Outcome> {
    use_threads(args.threads)?;
    let mut experiment = Experiment::read(&args.config)?;
    if let Some(fold) = args.fold {
        experiment.fold = fold;
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
    let dataset = experiment.read_dataset(&args.config)?;
    let dataset = Dataset::open(dataset, &data_folder(args.data.as_deref())?)?;
    let run_folder = RunFolder::new(&args.out);
    if args.resume && !run_folder.last().exists() {
        let place = run_folder.path().display();
        output.note(format!("no checkpoint to resume from, training starts anew: {place}"));
    }
    let device = args.device.open();
    if let Some(notice) = &device.notice {
        output.note(notice);
    }
    let cache = args.cache.open(output)?;
    let progress = Progress::new(output, Interrupt::listen()?)
        .with_curves_every(args.curves.map(NonZeroUsize::get));
    let fit = Fit {
        experiment: &experiment,
        dataset: &dataset,
        run: &run_folder,
        device: &device,
        resume: args.resume,
        start_from: start_from.as_ref(),
        checkpoint_every: Duration::from_secs_f64(60.0 * args.checkpoint_minutes),
        cache: cache.as_ref(),
    };
    let keeper = Keeper::new(&args.out, &progress);
    let environment = Environment::new(&args.out, &device.name, &keeper);
    let fitted = fit.run(&environment);
    environment.end(&fitted);
    progress.clear();
    match fitted {
        Ok(summary) => {
            let outcome = if args.no_validation {
                Ok(Outcome::Done)
            } else {
                validate(&fit, &progress, output)
            };
            output.result(&summary, |_| String::new())?;
            outcome
        }
        Err(EngineError::Stopped) => {
            output.note("stopped; the same command with --resume goes on from here");
            Ok(Outcome::Interrupted)
        }
        Err(error) => Err(error.into()),
    }
}

/// Computes on so many threads, or as many as there are processors.
pub(super) fn use_threads(threads: Option<u16>) -> anyhow::Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.into())
        .build_global()
        .context("cannot set the number of threads")
}

/// Lets an experiment train so many epochs, also one that counts iterations.
pub(super) fn train_epochs(experiment: &mut Experiment, epochs: NonZeroUsize) {
    experiment.training.epochs = epochs.get();
    experiment.training.iterations = None;
}

/// A time in minutes.
fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.0..=1e6).contains(&minutes) => Ok(minutes),
        _ => Err(format!("expected a number of minutes, found {text:?}")),
    }
}

/// Leaves the masks of the held-out cases by the bundle that came out.
fn validate(fit: &Fit<'_>, progress: &Progress<'_>, output: &Output) -> anyhow::Result<Outcome> {
    let Experiment { fold, folds, seed, .. } = fit.experiment;
    let held_out = fit.dataset.split(*fold, *folds, *seed)?.validation;
    let masks = HeldOut {
        dataset: &fit.dataset.config,
        folder: &fit.run.path().join(VALIDATION),
        device: fit.device,
        output,
        progress,
    };
    match masks.write(fit.run.bundle(), &held_out) {
        Ok(report) if report.summary.n_failed > 0 => Ok(Outcome::SomeFailed),
        Ok(_) => Ok(Outcome::Done),
        Err(error) if matches!(error.downcast_ref(), Some(EngineError::Stopped)) => {
            output.note("stopped; the same command with --resume goes on from here");
            Ok(Outcome::Interrupted)
        }
        Err(error) => Err(error.context("trained, but the held-out cases have no masks")),
    }
}

/// The folder that holds the data sets: named, or in the environment.
pub(super) fn data_folder(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let named =
        named.map(Path::to_path_buf).or_else(|| std::env::var_os("LAMINA_DATA").map(PathBuf::from));
    named.context("expected --data, the folder that holds the data set's folder, or LAMINA_DATA in the environment")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_that_are_asked_for_replace_iterations() {
        let text = "dataset = \"some\"\n[network.unet]\n[training]\niterations = 7\n";
        let mut experiment: Experiment = toml::from_str(text).unwrap();
        train_epochs(&mut experiment, NonZeroUsize::MIN);
        assert_eq!((experiment.training.epochs, experiment.training.iterations), (1, None));
    }
}
