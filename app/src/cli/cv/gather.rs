//! Of all folds: the out-of-fold masks, their evaluation, the choice of post-processing, and the
//! ensemble.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use lamina_engine::bundle::{BUNDLE_FILES, Manifest, MetricsRecord};
use lamina_engine::ensemble::{EnsembleFile, Member};
use lamina_engine::inference::Choice;
use lamina_engine::metrics::{ClassSummary, Report};
use lamina_engine::observer::ClassScore;
use lamina_engine::training::RunFolder;
use lamina_io::atomic::write_folder_atomically;
use lamina_io::dataset::{Case, Measure};
use lamina_io::files_of;

use super::Cv;
use super::plan::{Plan, State, fold_folder, lock_file, state_of};
use super::tables::Outcomes;
use super::tidying;
use crate::cli::held_out::{EVALUATION, mask_of, measured, write_json};
use crate::cli::output::Outcome;
use crate::cli::train::VALIDATION;

/// The folder of the out-of-fold masks.
const OUT_OF_FOLD: &str = "out_of_fold";

/// The folder of the ensemble.
const ENSEMBLE: &str = "ensemble";

impl Cv<'_> {
    /// Gathers all folds, where they are done; says which are not.
    ///
    /// # Errors
    /// When a file of a fold cannot be read, or one of ours not be written.
    pub fn gather(&self) -> anyhow::Result<Outcome> {
        let out = &self.args.out;
        Plan::write_states(out, &self.experiment, None)?;
        let missing = self.missing();
        if !missing.is_empty() {
            self.output.problem(format!(
                "not gathered, for folds are missing: {}; the same command goes on",
                missing.join(", ")
            ));
            return Ok(Outcome::SomeFailed);
        }
        let lock = lock_file(out, "gather")?;
        lock.lock().context("cannot lock the gathering; another place may allow it")?;

        let folds = self.reports()?;
        let by_fold = self.by_fold();
        let report = self.out_of_fold(&by_fold, &folds)?;
        let folder = out.join(OUT_OF_FOLD);
        let masks: Vec<(&Case, usize)> =
            by_fold.into_iter().filter(|(case, _)| folder.join(mask_of(case)).exists()).collect();
        let classes = &self.dataset.config.classes;
        let measure = self.dataset.config.measure();
        let mut outcomes = Outcomes::of(&report, &folds);
        let (choice, scores) = match measure {
            Measure::CaseDice => {
                self.output.note("choosing post-processing on the out-of-fold masks");
                let choice = tidying::choose(&folder, out, &masks, classes)
                    .context("cannot choose post-processing")?;
                let scores = case_dice(&report, &choice);
                outcomes.post_processing.clone_from(&choice.steps);
                outcomes.nested_mean_dice = choice.nested.mean;
                (Some(choice), scores)
            }
            // Its first class is no background that others could become.
            Measure::PooledIou => {
                let scores = tidying::pooled_iou(&folder, &masks, classes)?;
                let of = |class: &ClassScore| (class.class.clone(), class.score);
                outcomes.pooled_iou = scores.iter().map(of).collect();
                let known: Vec<f64> = scores.iter().filter_map(|class| class.score).collect();
                let mean = known.iter().sum::<f64>() / known.len() as f64;
                outcomes.mean_iou = (!known.is_empty()).then_some(mean);
                (None, scores)
            }
        };
        self.ensemble(report.summary.n_cases, choice.as_ref(), measure, &scores)?;
        Plan::write_states(out, &self.experiment, Some(outcomes.clone()))?;
        self.output.result(&outcomes, |outcomes| {
            [
                Some(outcomes.human()),
                choice.as_ref().map(|choice| tidying::human(choice, classes)),
                Some(format!("ensemble: {}", out.join(ENSEMBLE).display())),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("\n")
        })?;
        Ok(if report.summary.n_failed > 0 { Outcome::SomeFailed } else { Outcome::Done })
    }

    /// The folds that are not done, and how far they are.
    fn missing(&self) -> Vec<String> {
        let told = |fold: usize| match state_of(&self.args.out, fold, &self.experiment) {
            (State::Done, _) => None,
            (State::Failed, error) => {
                Some(format!("{fold} (failed: {})", error.unwrap_or_default()))
            }
            (State::Begun, _) => Some(format!("{fold} (begun)")),
            (State::Waiting, _) => Some(format!("{fold} (not begun)")),
        };
        (0..self.plan.folds.len()).filter_map(told).collect()
    }

    /// The evaluation of each fold.
    fn reports(&self) -> anyhow::Result<Vec<Report>> {
        let read = |fold: usize| {
            let path = fold_folder(&self.args.out, fold).join(VALIDATION).join(EVALUATION);
            let text =
                std::fs::read(&path).with_context(|| format!("cannot read: {}", path.display()))?;
            serde_json::from_slice(&text)
                .with_context(|| format!("this is no evaluation: {}", path.display()))
        };
        (0..self.plan.folds.len()).map(read).collect()
    }

    /// The cases that a fold holds out, with the first that does.
    fn by_fold(&self) -> Vec<(&Case, usize)> {
        let sides = self.dataset.sides(self.experiment.folds, self.experiment.seed);
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (fold, side) in sides.iter().enumerate() {
            for id in &side.val {
                first.entry(id).or_insert(fold);
            }
        }
        let fold_of = |case| Some((case, *first.get((case as &Case).id.as_str())?));
        self.dataset.cases.iter().filter_map(fold_of).collect()
    }

    /// Gathers the masks of all cases, and what the folds found of them.
    fn out_of_fold(&self, by_fold: &[(&Case, usize)], folds: &[Report]) -> anyhow::Result<Report> {
        let out = &self.args.out;
        write_folder_atomically(&out.join(OUT_OF_FOLD), |new: &Path| -> anyhow::Result<Report> {
            let mut cases = Vec::with_capacity(by_fold.len());
            for (case, fold) in by_fold {
                let report = folds[*fold].cases.iter().find(|report| report.case == case.id);
                cases.push(report.cloned().with_context(|| {
                    format!("expected {} in the evaluation of fold {fold}", case.id)
                })?);
                let from = fold_folder(out, *fold).join(VALIDATION);
                let mask = from.join(mask_of(case));
                if !mask.exists() {
                    continue; // it failed, as its report says
                }
                let record = from.join(format!("{}.json", case.id));
                for file in files_of(&mask).into_iter().chain([record]) {
                    let name = file.file_name().unwrap_or_default();
                    std::fs::copy(&file, new.join(name))
                        .with_context(|| format!("cannot copy: {}", file.display()))?;
                }
            }
            let report = Report::new(cases, &measured(&self.dataset.config));
            write_json(&new.join(EVALUATION), &report)?;
            Ok(report)
        })
    }

    /// A folder with the bundles of all folds and the file that names them.
    fn ensemble(
        &self,
        cases: usize,
        choice: Option<&Choice>,
        measure: Measure,
        scores: &[ClassScore],
    ) -> anyhow::Result<()> {
        let out = &self.args.out;
        let name = format!("{}-{}", self.plan.dataset, self.experiment.network.name());
        let folds = self.plan.folds.len();
        let mut file = EnsembleFile::new(
            format!("{name}-{folds}-folds"),
            self.dataset.config.title.clone(),
            Vec::new(),
        );
        let inference = &self.experiment.inference;
        file.largest_component = inference.largest_component;
        file.post_processing.clone_from(&inference.post_processing);
        file.post_processing.extend(choice.iter().flat_map(|choice| &choice.steps));
        let measured_on = format!(
            "{}, {cases} cases, each by the one of {folds} members that never saw it; all together \
             were not measured",
            self.plan.dataset
        );
        file.metrics = Some(MetricsRecord::new(measured_on, measure, scores));
        write_folder_atomically(&out.join(ENSEMBLE), |new: &Path| -> anyhow::Result<()> {
            for fold in 0..folds {
                let from = RunFolder::new(&fold_folder(out, fold)).bundle();
                let name = format!("fold_{fold}");
                let to = new.join(&name);
                std::fs::create_dir(&to)?;
                for part in BUNDLE_FILES {
                    let source = from.join(part);
                    if source.exists() {
                        std::fs::copy(&source, to.join(part))
                            .with_context(|| format!("cannot copy: {}", source.display()))?;
                    }
                }
                let weights_sha256 = Some(Manifest::read(&to)?.weights.sha256);
                file.members.push(Member { folder: name, weights_sha256 });
            }
            Ok(file.write(new)?)
        })
    }
}

/// Mean Dice of each class, once labels are tidied up by what was chosen without their fold.
fn case_dice(report: &Report, choice: &Choice) -> Vec<ClassScore> {
    let reached = if choice.steps.is_empty() { &choice.before } else { &choice.nested };
    let class = |(place, class): (usize, &ClassSummary)| ClassScore {
        class: class.name.clone().unwrap_or_default(),
        score: reached.classes.get(place).copied().flatten(),
        cases: class.dice.map_or(0, |dice| dice.n),
    };
    report.summary.classes.iter().enumerate().map(class).collect()
}
