//! Finds the numbers of a run, whichever way they were measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use lamina_engine::metrics::{CaseReport, Report};
use lamina_io::dataset::DatasetConfig;
use serde_json::{Value, json};

use super::numbers::Pooled;
use super::settings::Settings;
use crate::run::history::History;

/// Where a folder keeps its evaluation; the first that is there counts.
const EVALUATIONS: [&str; 3] =
    ["evaluation.json", "validation/evaluation.json", "out_of_fold/evaluation.json"];

/// The numbers of a run.
#[derive(Debug, Clone)]
pub struct Results {
    /// What was named.
    pub path: PathBuf,
    /// What to call it: the name of its folder, or of its file without `.json`.
    pub name: String,
    /// Where the numbers come from, in words.
    pub origin: String,
    /// The numbers.
    pub report: Report,
    /// The run folder, where it is one.
    pub folder: Option<PathBuf>,
    /// The data set, where the folder has its description.
    pub dataset: Option<DatasetConfig>,
    /// The course of its training, where it is a run folder.
    pub history: Option<History>,
    /// The course of each fold, by its name, where it is a cross-validation.
    pub folds: Vec<(String, History)>,
    /// Which class was taken for which over all pixels, where that was measured.
    pub pooled: Option<Pooled>,
    /// How it was done.
    pub settings: Settings,
    /// Cases of one group, where the folder says which.
    groups: BTreeMap<String, String>,
}

impl Results {
    /// Reads a run folder, a folder of a cross-validation, or a file of `evaluate --json`.
    ///
    /// # Errors
    /// When there are no numbers, with where they were looked for.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        if path.is_file() {
            let (report, pooled) = read_report(path)?;
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let folder = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy());
            let name = match folder {
                Some(folder) if stem == "evaluation" => folder.into_owned(),
                _ => stem,
            };
            let origin = "from its evaluation".to_owned();
            let path = path.to_path_buf();
            return Ok(Self {
                path,
                name,
                origin,
                report,
                folder: None,
                dataset: None,
                history: None,
                folds: Vec::new(),
                pooled,
                settings: Settings::default(),
                groups: BTreeMap::new(),
            });
        }
        if !path.is_dir() {
            bail!("expected a run folder or an evaluation, found nothing: {}", path.display());
        }
        let history =
            path.join("events.jsonl").is_file().then(|| History::read(path)).transpose()?;
        let dataset = dataset(path)?;
        let found = EVALUATIONS.iter().find(|name| path.join(name).is_file());
        let ((report, pooled), origin) = match (found, &history) {
            (Some(&name), _) => (read_report(&path.join(name))?, format!("from {name}")),
            (None, Some(history)) => {
                let (report, origin) =
                    from_training(history, dataset.as_ref()).with_context(|| {
                        format!(
                            "expected an evaluation, or cases of a validated epoch in its events: {}",
                            path.display()
                        )
                    })?;
                ((report, None), origin)
            }
            (None, None) => bail!(
                "expected {} or events.jsonl in it, found none: {}",
                EVALUATIONS.join(", "),
                path.display()
            ),
        };
        let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let name = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self {
            path: path.to_path_buf(),
            settings: Settings::read(path, history.is_some(), &name),
            folds: folds(path),
            groups: groups(path),
            folder: Some(path.to_path_buf()),
            name,
            origin,
            report,
            dataset,
            history,
            pooled,
        })
    }

    /// Whom a case shows: by `separator`, else as the folds or the data set say, else itself.
    pub fn patient(&self, case: &str, separator: Option<&str>) -> String {
        match (separator, self.groups.get(case), &self.dataset) {
            (Some(separator), ..) => case.split(separator).next().unwrap_or(case).to_owned(),
            (None, Some(group), _) => group.clone(),
            (None, None, Some(dataset)) => dataset.patient(case),
            (None, None, None) => case.to_owned(),
        }
    }
}

fn read_report(path: &Path) -> anyhow::Result<(Report, Option<Pooled>)> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read: {}", path.display()))?;
    let expected = || format!("expected what `lamina evaluate --json` prints: {}", path.display());
    let value: Value = serde_json::from_str(&text).with_context(expected)?;
    let pooled = Pooled::of(&value);
    let report: Report = serde_json::from_str(&text).with_context(expected)?;
    if report.cases.is_empty() {
        bail!("expected the numbers of at least one case, found none: {}", path.display());
    }
    Ok((report, pooled))
}

/// The course of each fold below a folder of a cross-validation.
fn folds(folder: &Path) -> Vec<(String, History)> {
    (0..1000)
        .map(|fold| folder.join(format!("fold_{fold}")))
        .take_while(|path| path.is_dir())
        .enumerate()
        .filter_map(|(fold, path)| Some((format!("fold {fold}"), History::read(&path).ok()?)))
        .collect()
}

/// The group of each case, where `cv.json` says more than the data set does.
fn groups(folder: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder.join("cv.json")).unwrap_or_default();
    let plan: Value = serde_json::from_str(&text).unwrap_or_default();
    let groups = plan["groups"].as_object().into_iter().flatten();
    groups
        .flat_map(|(group, cases)| {
            let cases = cases.as_array().into_iter().flatten().filter_map(Value::as_str);
            cases.map(|case| (case.to_owned(), group.clone())).collect::<Vec<_>>()
        })
        .collect()
}

/// The description of the data set: in a run folder, or in its folds.
fn dataset(folder: &Path) -> anyhow::Result<Option<DatasetConfig>> {
    let places = [folder.to_path_buf(), folder.join("fold_0")];
    let found = places.iter().map(|place| place.join("dataset.toml")).find(|path| path.is_file());
    Ok(found.map(|path| DatasetConfig::read(&path)).transpose()?)
}

/// The case Dice of the epoch that was kept, as validation measured it on the way.
fn from_training(history: &History, dataset: Option<&DatasetConfig>) -> Option<(Report, String)> {
    let epoch = history.kept()?;
    if epoch.pooled {
        // What the run is measured by is no number of a case; the page takes it from the events.
        let origin =
            format!("IoU over all pixels in epoch {}, as validated while training", epoch.epoch);
        return Some((Report::new(Vec::new(), &BTreeMap::new()), origin));
    }
    if epoch.cases.is_empty() {
        return None; // a run of before cases were told
    }
    let cases = epoch.cases.iter().map(|(case, dice)| {
        let classes = (1..).zip(dice).map(|(label, dice): (u8, _)| {
            json!({
                "label": label,
                "dice": dice,
                "iou": dice.map(|dice| dice / (2.0 - dice)),
                "status": if dice.is_some() { "scored" } else { "both_empty" },
                "volume_ml_prediction": null,
                "volume_ml_reference": null,
            })
        });
        let classes = classes.collect::<Vec<_>>();
        serde_json::from_value::<CaseReport>(json!({ "case": case, "classes": classes }))
    });
    let cases = cases.collect::<Result<Vec<_>, _>>().expect("the form of a case's report");
    let classes = dataset.map(|dataset| &dataset.classes[..]).unwrap_or_default();
    let names = (0..).zip(classes).map(|(label, class)| (label, class.name.clone())).collect();
    let origin = format!("case Dice of epoch {}, as validated while training", epoch.epoch);
    Some((Report::new(cases, &names), origin))
}
