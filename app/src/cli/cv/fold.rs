//! One fold: trained under a lock, its held-out cases segmented and measured.

use std::fs::TryLockError;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use lamina_engine::EngineError;
use lamina_engine::experiment::Experiment;
use lamina_engine::training::{Fit, RunFolder};
use serde::{Deserialize, Serialize};

use super::Cv;
use super::plan::{Plan, fold_folder, is_done, is_trained, lock_file};
use crate::cli::environment::Environment;
use crate::cli::held_out::{HeldOut, write_json};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::error_line;
use crate::cli::progress::Progress;
use crate::cli::train::VALIDATION;
use crate::run::Keeper;

/// How a fold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FoldEnd {
    Done,
    Failed,
    /// Another process is at it.
    Taken,
    Interrupted,
}

/// The longest time that a kill may cost.
const CHECKPOINT_EVERY: Duration = Duration::from_mins(10);

/// Why a fold failed.
const FAILURE: &str = "failure.json";

#[derive(Serialize, Deserialize)]
struct Failure {
    error: String,
}

/// Why the fold in this folder failed, where it did.
pub(super) fn failure_of(folder: &Path) -> Option<String> {
    let text = std::fs::read(folder.join(FAILURE)).ok()?;
    serde_json::from_slice::<Failure>(&text).ok().map(|failure| failure.error)
}

impl Cv<'_> {
    /// Trains a fold, or what is left of it; a finished one is kept.
    ///
    /// # Errors
    /// When not even its failure can be written.
    pub fn fold(&self, fold: usize, interrupt: &Interrupt) -> anyhow::Result<FoldEnd> {
        let out = &self.args.out;
        let lock = lock_file(out, &format!("fold_{fold}"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                self.output.note(format!("fold {fold}: another process is at it"));
                return Ok(FoldEnd::Taken);
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).context("cannot lock the fold; another place may allow it");
            }
        }
        let folder = fold_folder(out, fold);
        let experiment = Experiment { fold, ..self.experiment.clone() };
        if is_done(&folder, fold, &experiment) {
            self.output.note(format!("fold {fold}: done earlier"));
            return Ok(FoldEnd::Done);
        }
        let _ = std::fs::remove_file(folder.join(FAILURE));
        let ended = self.train(&folder, &experiment, interrupt);
        let end = match ended {
            Ok(()) => FoldEnd::Done,
            Err(error) if matches!(error.downcast_ref(), Some(EngineError::Stopped)) => {
                FoldEnd::Interrupted
            }
            Err(error) => {
                let error = error_line(error.as_ref());
                self.output.problem(format!("fold {fold} failed: {error}"));
                std::fs::create_dir_all(&folder)
                    .with_context(|| format!("cannot make this folder: {}", folder.display()))?;
                write_json(&folder.join(FAILURE), &Failure { error })?;
                FoldEnd::Failed
            }
        };
        Plan::write_states(out, &self.experiment, None)?;
        Ok(end)
    }

    fn train(
        &self,
        folder: &Path,
        experiment: &Experiment,
        interrupt: &Interrupt,
    ) -> anyhow::Result<()> {
        let fold = experiment.fold;
        let device = self.args.device.open();
        if let Some(notice) = &device.notice {
            self.output.note(notice);
        }
        let progress = Progress::new(self.output, interrupt.clone());
        let run = RunFolder::new(folder);
        if !is_trained(folder, fold, experiment) {
            self.output.note(format!("fold {fold} of {}", self.plan.folds.len()));
            let dataset = &self.dataset;
            let fit = Fit {
                experiment,
                dataset,
                run: &run,
                device: &device,
                resume: true,
                start_from: self.start_from.as_ref(),
                checkpoint_every: CHECKPOINT_EVERY,
                cache: self.cache.as_ref(),
            };
            let keeper = Keeper::new(folder, &progress);
            let environment = Environment::new(folder, &device.name, &keeper);
            let fitted = fit.run(&environment);
            environment.end(&fitted);
            progress.clear();
            fitted?;
        }
        let Experiment { folds, seed, .. } = experiment;
        let held_out = self.dataset.split(fold, *folds, *seed)?.validation;
        let masks = HeldOut {
            dataset: &self.dataset.config,
            folder: &folder.join(VALIDATION),
            device: &device,
            output: self.output,
            progress: &progress,
        };
        masks.write(run.bundle(), &held_out).map(drop)
    }
}
