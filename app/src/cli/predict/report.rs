//! What `lamina predict` answers: JSON for machines, a table for people.

use std::path::{Path, PathBuf};

use lamina_engine::fingerprint::Doubt;
use lamina_engine::metrics::{ClassReport, ClassSummary, Status, Summary};
use serde::{Serialize, Serializer};

use crate::cli::sidecar::{ClassVolume, Seconds};
use crate::cli::table::{Align, Table, count, number};

/// Cases whose files the table names.
const SHOWN: usize = 3;

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Prediction {
    pub(super) model: ModelName,
    pub(super) device: String,
    pub(super) cases: Vec<CaseResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<Summary>,
}

/// A path as JSON can hold it: a name that is no UTF-8 must not cost the whole answer.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[expect(clippy::ref_option, reason = "serde hands the field over so")]
fn lossy_option<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => lossy(path, serializer),
        None => serializer.serialize_none(),
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ModelName {
    pub(super) name: String,
    #[serde(serialize_with = "lossy")]
    pub(super) folder: PathBuf,
    pub(super) weights_sha256: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CaseStatus {
    Done,
    Skipped,
    Failed,
}

/// What came of one case.
#[derive(Debug, Serialize)]
pub(super) struct CaseResult {
    pub(super) case: String,
    pub(super) status: CaseStatus,
    #[serde(serialize_with = "lossy")]
    pub(super) input: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy_option")]
    pub(super) mask: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy_option")]
    pub(super) uncertainty: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy_option")]
    pub(super) montage: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy_option")]
    pub(super) report: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<Seconds>,
    pub(super) classes: Vec<ClassResult>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unlike_training: Vec<Doubt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ClassResult {
    #[serde(flatten)]
    pub(super) volume: ClassVolume,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) score: Option<Score>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Score {
    pub(super) dice: Option<f64>,
    pub(super) iou: Option<f64>,
    pub(super) status: Status,
    pub(super) volume_ml_reference: Option<f64>,
}

impl Score {
    pub(super) fn of(report: &ClassReport) -> Self {
        Self {
            dice: report.dice,
            iou: report.iou,
            status: report.status,
            volume_ml_reference: report.volume_ml_reference,
        }
    }
}

/// The result as a table: Dice and volume per class, seconds per stage.
pub(super) fn human(prediction: &Prediction) -> String {
    let done: Vec<&CaseResult> =
        prediction.cases.iter().filter(|case| !case.classes.is_empty()).collect();
    let mut lines = Vec::new();
    if let Some(first) = done.first() {
        lines.push(table(prediction, first, &done).render());
        let files = done.iter().flat_map(|case| {
            let mask = case.mask.iter().map(|mask| format!("mask     {}", mask.display()));
            let map = case.uncertainty.iter();
            let map = map.map(|path| format!("map      {}", path.display()));
            let montage =
                case.montage.iter().map(|montage| format!("montage  {}", montage.display()));
            let report = case.report.iter().map(|report| format!("report   {}", report.display()));
            mask.chain(map).chain(montage).chain(report)
        });
        let shown = if done.len() > SHOWN { SHOWN } else { done.len() };
        let per_case = files.clone().count() / done.len();
        lines.extend(files.take(shown * per_case));
        if done.len() > shown {
            lines.push(format!(
                "and those of {} beside them",
                count(done.len() - shown, "more case")
            ));
        }
    }
    let doubted: Vec<&CaseResult> =
        prediction.cases.iter().filter(|case| !case.unlike_training.is_empty()).collect();
    if !doubted.is_empty() {
        let all = count(prediction.cases.len(), "case");
        lines.push(format!("\n{} of {all} unlike the training cases of the model:", doubted.len()));
        for case in doubted {
            let sentences = case.unlike_training.iter().map(|doubt| &doubt.sentence);
            lines.extend(sentences.map(|sentence| format!("  {}: {sentence}", case.case)));
        }
    }
    let failed: Vec<&CaseResult> =
        prediction.cases.iter().filter(|case| case.error.is_some()).collect();
    if !failed.is_empty() {
        let all = count(prediction.cases.len(), "case");
        lines.push(format!("\n{} of {all} with problems:", failed.len()));
        for case in failed {
            lines.extend(case.error.as_ref().map(|reason| format!("  {}: {reason}", case.case)));
        }
    }
    lines.join("\n")
}

fn table(prediction: &Prediction, first: &CaseResult, done: &[&CaseResult]) -> Table {
    let has_scores = prediction.summary.is_some();
    let right = |name: String| (name, Align::Right);
    let mut columns = vec![("case".to_owned(), Align::Left)];
    for class in &first.classes {
        let name = &class.volume.name;
        if has_scores {
            columns.push(right(format!("{name} Dice")));
            columns.push(right("ml".to_owned()));
        } else {
            columns.push(right(format!("{name} ml")));
        }
    }
    columns.extend(Seconds::default().stages().map(|(stage, _)| right(format!("{stage} s"))));
    let mut table = Table::new(columns);
    for case in done {
        table.row(case_row(case, has_scores));
    }
    if let (Some(summary), true) = (&prediction.summary, prediction.cases.len() > 1) {
        let dice = |class: &ClassSummary| number(class.dice.map(|dice| dice.mean), 3);
        let means = summary.classes.iter().flat_map(|class| [dice(class), String::new()]);
        table.rule();
        let cases = summary.classes.iter().map(|class| class.n_total).max().unwrap_or(0);
        table.row(std::iter::once(format!("mean of {cases}")).chain(means));
    }
    table
}

fn case_row(case: &CaseResult, has_scores: bool) -> Vec<String> {
    let mut row = vec![case.case.clone()];
    for class in &case.classes {
        if has_scores {
            row.push(number(class.score.as_ref().and_then(|score| score.dice), 3));
        }
        row.push(number(class.volume.volume_ml, 2));
    }
    match &case.seconds {
        Some(seconds) => row.extend(seconds.stages().map(|(_, seconds)| format!("{seconds:.2}"))),
        None => row.push("earlier".to_owned()),
    }
    row
}
