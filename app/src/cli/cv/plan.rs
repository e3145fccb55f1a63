//! What a cross-validation is: `cv.json`, made once and held against every later command.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use lamina_engine::bundle::{Manifest, sha256};
use lamina_engine::experiment::Experiment;
use lamina_engine::training::RunFolder;
use lamina_io::dataset::{Dataset, LookAlike, Sides, look_alikes};
use serde::{Deserialize, Serialize};

use super::CvArgs;
use super::fold::failure_of;
use super::tables::Outcomes;
use crate::cli::check_data::check_all;
use crate::cli::held_out::{EVALUATION, write_json};
use crate::cli::output::Output;
use crate::cli::train::VALIDATION;

/// The file.
pub(super) const CV: &str = "cv.json";

/// `cv.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub format: u32,
    /// Version of the program that made it.
    pub lamina: String,
    /// SHA-256 of the experiment as resolved, for fold 0: `config.toml` beside this file.
    pub experiment_sha256: String,
    /// The data set's name.
    pub dataset: String,
    pub seed: u64,
    /// SHA-256 of both sides of all folds: `splits_final.json` beside this file.
    pub splits_sha256: String,
    /// The cases of each group that folds keep together, where that is more than a patient's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Vec<String>>,
    /// Cases of different patients that look alike and that some fold has on both sides.
    pub look_alikes: Vec<LookAlike>,
    /// Cases that no fold holds out, which no number here is about.
    pub never_held_out: Vec<String>,
    /// Cases that several folds hold out, of which the first counts.
    pub held_out_again: Vec<String>,
    /// How far each fold is.
    pub folds: Vec<FoldState>,
    /// What all folds amount to, once they are gathered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Outcomes>,
}

/// How far a fold is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FoldState {
    pub fold: usize,
    pub training: usize,
    pub held_out: usize,
    pub state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Nothing was begun.
    Waiting,
    /// Begun and not finished: under way, or stopped.
    Begun,
    Failed,
    Done,
}

/// The folder of a fold.
pub(super) fn fold_folder(out: &Path, fold: usize) -> PathBuf {
    out.join(format!("fold_{fold}"))
}

/// A file that one process at a time may hold.
pub(super) fn lock_file(out: &Path, name: &str) -> anyhow::Result<File> {
    let path = out.join(format!("{name}.lock"));
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(&path);
    file.with_context(|| format!("cannot write: {}", path.display()))
}

/// The plan in the folder, or a new one where there is none.
///
/// # Errors
/// When the folder holds something else, or images of different patients are the same and that is
/// not accepted.
pub(super) fn open(
    args: &CvArgs,
    experiment: &Experiment,
    dataset: &Dataset,
    output: &Output,
) -> anyhow::Result<Plan> {
    let out = &args.out;
    std::fs::create_dir_all(out)
        .with_context(|| format!("cannot make this folder: {}", out.display()))?;
    let lock = lock_file(out, "plan")?;
    lock.lock().context("cannot lock the plan; another place may allow it")?;
    let fresh = Plan::new(experiment, dataset)?;
    let path = out.join(CV);
    if !path.exists() {
        let mut plan = fresh;
        plan.look_alikes = tied_together(args, experiment, dataset, output)?;
        Plan::write_beside(out, experiment, dataset)?;
        write_json(&path, &plan)?;
        plan.tell(output);
        return Ok(plan);
    }
    let plan = Plan::read(out)?;
    let differ = |what: &str| {
        anyhow::anyhow!(
            "this folder holds a cross-validation of {what}; take it up as it was begun or choose \
             another --out: {}",
            out.display()
        )
    };
    if plan.experiment_sha256 != fresh.experiment_sha256 {
        return Err(differ("another experiment: its settings differ from config.toml there"));
    }
    if plan.splits_sha256 != fresh.splits_sha256 {
        return Err(differ("other cases or folds than splits_final.json there"));
    }
    Ok(plan)
}

impl Plan {
    fn new(experiment: &Experiment, dataset: &Dataset) -> anyhow::Result<Self> {
        let sides = dataset.sides(experiment.folds, experiment.seed);
        let mut times: BTreeMap<&str, usize> =
            dataset.cases.iter().map(|case| (case.id.as_str(), 0)).collect();
        for id in sides.iter().flat_map(|side| &side.val) {
            *times.entry(id).or_default() += 1;
        }
        let held_out = |wanted: fn(usize) -> bool| -> Vec<String> {
            let cases = times.iter().filter(|(_, times)| wanted(**times));
            cases.map(|(id, _)| (*id).to_owned()).collect()
        };
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for case in dataset.cases.iter().filter(|case| case.group.is_some()) {
            groups.entry(case.group().to_owned()).or_default().push(case.id.clone());
        }
        let fold = |(fold, Sides { train, val }): (usize, &Sides)| FoldState {
            fold,
            training: train.len(),
            held_out: val.len(),
            state: State::Waiting,
            error: None,
        };
        Ok(Self {
            format: 1,
            lamina: env!("CARGO_PKG_VERSION").to_owned(),
            experiment_sha256: sha256(experiment.to_toml().as_bytes()),
            dataset: dataset.config.name.clone(),
            seed: experiment.seed,
            splits_sha256: sha256(&serde_json::to_vec(&sides).context("folds are plain data")?),
            groups,
            look_alikes: Vec::new(),
            never_held_out: held_out(|times| times == 0),
            held_out_again: held_out(|times| times > 1),
            folds: sides.iter().enumerate().map(fold).collect(),
            result: None,
        })
    }

    /// Reads the plan in a folder.
    pub fn read(out: &Path) -> anyhow::Result<Self> {
        let path = out.join(CV);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read: {}", path.display()))?;
        let plan: Self = serde_json::from_str(&text).with_context(|| {
            format!("this is no plan of a cross-validation: {}", path.display())
        })?;
        if plan.format != 1 {
            bail!("expected a plan of format 1, found {}: {}", plan.format, path.display());
        }
        Ok(plan)
    }

    /// What the plan was made of, for people and other programs.
    fn write_beside(out: &Path, experiment: &Experiment, dataset: &Dataset) -> anyhow::Result<()> {
        let folder = RunFolder::new(out);
        folder.write_text("config.toml", &experiment.to_toml())?;
        let config = toml::to_string(&dataset.config).context("a data set is plain data")?;
        folder.write_text("dataset.toml", &config)?;
        write_json(
            &out.join("splits_final.json"),
            &dataset.sides(experiment.folds, experiment.seed),
        )
    }

    fn tell(&self, output: &Output) {
        for LookAlike { case, other, same } in &self.look_alikes {
            let how = if *same { "are the same image" } else { "look alike" };
            output.note(format!(
                "{case} and {other} {how}, are said to be of different patients, and some fold \
                 learns from one and is measured on the other"
            ));
        }
        if !self.never_held_out.is_empty() {
            output.note(format!(
                "no fold holds these out, and no number is about them: {}",
                self.never_held_out.join(", ")
            ));
        }
        if !self.held_out_again.is_empty() {
            output.note(format!(
                "several folds hold these out, and the first counts: {}",
                self.held_out_again.join(", ")
            ));
        }
    }

    /// Writes how far all folds are, as their folders show. Several processes may do so at once:
    /// all write the same.
    pub fn write_states(
        out: &Path,
        experiment: &Experiment,
        result: Option<Outcomes>,
    ) -> anyhow::Result<()> {
        let lock = lock_file(out, "plan")?;
        lock.lock().context("cannot lock the plan")?;
        let mut plan = Self::read(out)?;
        for fold in &mut plan.folds {
            (fold.state, fold.error) = state_of(out, fold.fold, experiment);
        }
        if result.is_some() {
            plan.result = result;
        }
        write_json(&out.join(CV), &plan)
    }
}

/// How far a fold is, as its folder shows.
pub(super) fn state_of(
    out: &Path,
    fold: usize,
    experiment: &Experiment,
) -> (State, Option<String>) {
    let folder = fold_folder(out, fold);
    if is_done(&folder, fold, experiment) {
        return (State::Done, None);
    }
    if let Some(error) = failure_of(&folder) {
        return (State::Failed, Some(error));
    }
    let begun = folder.join("config.toml").exists();
    (if begun { State::Begun } else { State::Waiting }, None)
}

/// Whether a fold is trained, by this experiment, and its cases are measured.
pub(super) fn is_done(folder: &Path, fold: usize, experiment: &Experiment) -> bool {
    is_trained(folder, fold, experiment) && folder.join(VALIDATION).join(EVALUATION).is_file()
}

/// Whether a fold is trained, by this experiment.
pub(super) fn is_trained(folder: &Path, fold: usize, experiment: &Experiment) -> bool {
    let run = RunFolder::new(folder);
    let expected = Experiment { fold, ..experiment.clone() }.learning_sha256();
    folder.join("metrics.json").is_file()
        && Manifest::read(&run.bundle()).is_ok_and(|manifest| {
            let training = manifest.training;
            training.is_some_and(|training| training.experiment_sha256 == expected)
        })
}

/// Cases of different patients that look alike and that some fold has on both sides.
fn tied_together(
    args: &CvArgs,
    experiment: &Experiment,
    dataset: &Dataset,
    output: &Output,
) -> anyhow::Result<Vec<LookAlike>> {
    output.note("looking for images that are in the data set twice");
    let checks = check_all(&dataset.cases, &dataset.config, output);
    let sides = dataset.sides(experiment.folds, experiment.seed);
    let tied = |found: &LookAlike| {
        sides.iter().any(|Sides { train, val }| {
            let apart = |a: &String, b: &String| train.contains(a) && val.contains(b);
            apart(&found.case, &found.other) || apart(&found.other, &found.case)
        })
    };
    let found: Vec<LookAlike> = look_alikes(&checks).into_iter().filter(tied).collect();
    let same: BTreeSet<String> = found
        .iter()
        .filter(|found| found.same)
        .map(|found| format!("{} and {}", found.case, found.other))
        .collect();
    if !same.is_empty() && !args.accept_duplicates {
        let pairs = same.into_iter().collect::<Vec<_>>().join(", ");
        bail!(
            "the same image is said to be of different patients, learned from in one fold and \
             measured on in it: {pairs}; put them into one group or take one out, or go on with \
             --accept-duplicates: {}",
            dataset.folder.display()
        );
    }
    Ok(found)
}
