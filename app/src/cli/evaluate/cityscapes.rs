//! `lamina evaluate --cityscapes`: the official scores of a folder of predictions.
//!
//! A prediction belongs to the reference whose city, sequence and frame its name begins with, and
//! lies anywhere below its folder, as the official script has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use lamina_engine::metrics::cityscapes::{CityscapesReport, Picture, evaluate_cityscapes};

use super::folder;
use crate::cli::output::{Outcome, Output};
use crate::cli::table::{Align, Table, count, number};

/// What the names of references end in.
const REFERENCE: &str = "_gtFine_labelIds.png";

/// Runs the evaluation.
///
/// # Errors
/// When a folder cannot be read or holds no references.
pub(super) fn run(prediction: &Path, reference: &Path, output: &Output) -> anyhow::Result<Outcome> {
    folder(prediction, "--prediction")?;
    folder(reference, "--reference")?;
    let mut predictions: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in files_below(prediction)? {
        if let Some(key) = frame_of(&path).filter(|_| is_png(&path)) {
            predictions.entry(key).or_default().push(path);
        }
    }
    let mut pictures = Vec::new();
    for path in files_below(reference)? {
        let name = file_name(&path);
        let Some(frame) = name.strip_suffix(REFERENCE) else { continue };
        let found = predictions.get(frame).map(Vec::as_slice).unwrap_or_default();
        let prediction = match found {
            [one] => Ok(one.clone()),
            [] => Err(format!("there is no prediction for this reference: {}", path.display())),
            [one, other, ..] => Err(format!(
                "expected one prediction for {frame}, found {} and {}",
                one.display(),
                other.display()
            )),
        };
        let instances = path.with_file_name(name.replace("labelIds", "instanceIds"));
        pictures.push(Picture { name: frame.to_owned(), prediction, reference: path, instances });
    }
    if pictures.is_empty() {
        bail!("expected references called *{REFERENCE}, found none below: {}", reference.display());
    }
    if predictions.is_empty() {
        bail!(
            "expected predictions called <city>_<sequence>_<frame>*.png, found none below: {}",
            prediction.display()
        );
    }
    let report = evaluate_cityscapes(pictures);
    output.result(&report, human)?;
    Ok(if report.n_failed > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_png(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"))
}

/// City, sequence and frame at the beginning of a file's name.
fn frame_of(path: &Path) -> Option<String> {
    let name = file_name(path);
    let stem = name.split('.').next()?;
    let mut words = stem.split('_');
    let frame: Vec<&str> = words.by_ref().take(3).collect();
    let digits = |word: &&str| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit());
    (frame.len() == 3 && frame[1..].iter().all(digits)).then(|| frame.join("_"))
}

/// All files in a folder and those below it, sorted.
fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let cannot_read = || format!("cannot read this folder: {}", folder.display());
        for entry in std::fs::read_dir(&folder).with_context(cannot_read)? {
            let entry = entry.with_context(cannot_read)?;
            if entry.file_type().with_context(cannot_read)?.is_dir() {
                folders.push(entry.path()); // a link to a folder is not followed: it may be a loop
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn human(report: &CityscapesReport) -> String {
    let table = |name: &str,
                 rows: &[(String, Option<f64>, Option<f64>)],
                 means: [Option<f64>; 2]| {
        let columns = ["IoU", "iIoU"].map(|name| (name.to_owned(), Align::Right));
        let mut table = Table::new(std::iter::once((name.to_owned(), Align::Left)).chain(columns));
        for (name, iou, iiou) in rows.iter().filter(|(_, iou, _)| iou.is_some()) {
            table.row([name.clone(), number(*iou, 3), number(*iiou, 3)]);
        }
        table.rule();
        let n_iou = rows.iter().filter(|(_, iou, _)| iou.is_some()).count();
        let n_iiou = rows.iter().filter(|(_, _, iiou)| iiou.is_some()).count();
        table.row([
            format!("mean of {n_iou} and {n_iiou}"),
            number(means[0], 3),
            number(means[1], 3),
        ]);
        table.render()
    };
    let mut lines = vec![format!(
        "Pooled: all pixels of {} in one confusion matrix, as Cityscapes' official script:",
        count(report.n_pictures - report.n_failed, "picture")
    )];
    lines.push(table(
        "class",
        &report.classes(),
        [report.average_score_classes, report.average_score_inst_classes],
    ));
    lines.push(table(
        "category",
        &report.categories(),
        [report.average_score_categories, report.average_score_inst_categories],
    ));
    if report.n_failed > 0 {
        lines.push(format!(
            "{} of {} failed and {} in no number; the official script would give none at all:",
            report.n_failed,
            count(report.n_pictures, "picture"),
            if report.n_failed == 1 { "is" } else { "are" }
        ));
        lines.extend(report.failed.iter().map(|(name, reason)| format!("  {name}: {reason}")));
    }
    lines.join("\n").trim_end().to_owned()
}
