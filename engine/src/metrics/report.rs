//! Numbers per case and class, and the files that hold them.
//!
//! What they amount to over cases is [`Summary`]'s. A number that does not exist is `null` in JSON
//! and an empty cell in CSV; the status beside it says why.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::{Deserialize, Serialize};

use super::confusion::{Confusion, ConfusionTable};
use super::convention::Convention;
use super::measures::Measures;
use super::overlap::{ClassOverlap, Status};
use super::pairs::Aggregation;
use super::summary::{Summary, mean, summarize};
use super::surface::{SURFACE_KEYS, SurfaceDistances};

/// One class of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "ClassFile", into = "ClassFile")]
pub struct ClassReport {
    /// The label's value in the files.
    pub label: u8,
    /// Dice coefficient.
    pub dice: Option<f64>,
    /// Intersection over union.
    pub iou: Option<f64>,
    /// What there was to compare.
    pub status: Status,
    /// Volume in the prediction; `None` without a prediction or a spacing.
    pub volume_ml_prediction: Option<f64>,
    /// Volume in the reference; `None` without a reference or a spacing.
    pub volume_ml_reference: Option<f64>,
    /// Voxels of both sides; `None` without a prediction, and in reports of earlier versions.
    pub voxels: Option<ClassOverlap>,
    /// Distances between the surfaces, where they were asked for and both exist.
    pub surface: Option<SurfaceDistances>,
    /// Everything else that was asked for, by its name in files: `hd_mm`, `rvd_percent`,
    /// `surface_dice_at_2mm`, `boundary_iou`, …; those of `surface` too where that is `None`.
    pub numbers: BTreeMap<String, Option<f64>>,
}

impl ClassReport {
    /// The report of counted voxels.
    pub(super) fn from_overlap(
        label: u8,
        overlap: ClassOverlap,
        voxel_ml: Option<f64>,
        convention: Convention,
    ) -> Self {
        Self {
            label,
            dice: convention.dice(overlap),
            iou: convention.iou(overlap),
            status: overlap.status(),
            volume_ml_prediction: voxel_ml.map(|ml| overlap.prediction as f64 * ml),
            volume_ml_reference: voxel_ml.map(|ml| overlap.reference as f64 * ml),
            voxels: Some(overlap),
            surface: None,
            numbers: BTreeMap::new(),
        }
    }

    /// The report of a class that nobody predicted.
    pub(super) fn failed(
        label: u8,
        volume_ml_reference: Option<f64>,
        convention: Convention,
    ) -> Self {
        let zero = (convention == Convention::Lamina).then_some(0.0);
        Self {
            label,
            dice: zero,
            iou: zero,
            status: Status::Failed,
            volume_ml_prediction: None,
            volume_ml_reference,
            voxels: None,
            surface: None,
            numbers: BTreeMap::new(),
        }
    }

    /// The number of this name, be it among [`surface`](Self::surface)'s or the others.
    pub fn number(&self, key: &str) -> Option<f64> {
        let of_surface = self.surface.and_then(|surface| {
            surface.named().into_iter().find(|(name, _)| *name == key).map(|(_, number)| number)
        });
        of_surface.or_else(|| self.numbers.get(key).copied().flatten())
    }

    /// The names of all numbers that were asked for beside Dice, IoU and volumes.
    pub(super) fn keys(&self) -> BTreeSet<String> {
        let of_surface = self.surface.iter().flat_map(|_| SURFACE_KEYS.map(String::from));
        of_surface.chain(self.numbers.keys().cloned()).collect()
    }
}

/// A [`ClassReport`] as files hold it: all numbers side by side.
#[derive(Serialize, Deserialize)]
struct ClassFile {
    label: u8,
    dice: Option<f64>,
    iou: Option<f64>,
    status: Status,
    volume_ml_prediction: Option<f64>,
    volume_ml_reference: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    voxels: Option<ClassOverlap>,
    #[serde(flatten)]
    numbers: BTreeMap<String, Option<f64>>,
}

impl From<ClassReport> for ClassFile {
    fn from(report: ClassReport) -> Self {
        let mut numbers = report.numbers;
        let surface = report.surface.into_iter().flat_map(SurfaceDistances::named);
        numbers.extend(surface.map(|(name, number)| (name.to_owned(), Some(number))));
        Self {
            label: report.label,
            dice: report.dice,
            iou: report.iou,
            status: report.status,
            volume_ml_prediction: report.volume_ml_prediction,
            volume_ml_reference: report.volume_ml_reference,
            voxels: report.voxels,
            numbers,
        }
    }
}

impl From<ClassFile> for ClassReport {
    fn from(file: ClassFile) -> Self {
        let mut numbers = file.numbers;
        let known = SURFACE_KEYS.map(|key| numbers.get(key).copied().flatten());
        let surface = match known {
            [Some(hd95_mm), Some(assd_mm), Some(surface_dice)] => {
                numbers.retain(|key, _| !SURFACE_KEYS.contains(&key.as_str()));
                Some(SurfaceDistances { hd95_mm, assd_mm, surface_dice })
            }
            _ => None,
        };
        Self {
            label: file.label,
            dice: file.dice,
            iou: file.iou,
            status: file.status,
            volume_ml_prediction: file.volume_ml_prediction,
            volume_ml_reference: file.volume_ml_reference,
            voxels: file.voxels,
            surface,
            numbers,
        }
    }
}

/// Which label was taken for which, of one case or of all together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PixelReport {
    /// How many cases were counted together: one, or all that could be compared.
    #[serde(default)]
    pub n_cases: usize,
    /// Voxels that were counted: those whose reference is not ignored.
    pub n_voxels: u64,
    /// Share of them whose label is right.
    pub accuracy: Option<f64>,
    /// IoU of each class, weighted by its share of the reference.
    pub frequency_weighted_iou: Option<f64>,
    /// Mean IoU over the classes that either side holds, background too where it is one.
    pub mean_iou: Option<f64>,
    /// How many classes that mean is over.
    pub n_classes: usize,
    /// Each class by itself.
    #[serde(default)]
    pub classes: Vec<PixelClass>,
    /// The counts, rows of the reference.
    pub confusion: ConfusionTable,
}

/// One class of a [`PixelReport`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PixelClass {
    /// The label's value in the files.
    pub label: u8,
    /// Intersection over union; `None` where neither side holds the class.
    pub iou: Option<f64>,
    /// Share of the reference's voxels that the prediction gives the class; `None` without any.
    pub accuracy: Option<f64>,
    /// Voxels of both sides.
    pub voxels: ClassOverlap,
}

impl PixelClass {
    fn of(label: u8, voxels: ClassOverlap) -> Self {
        let ClassOverlap { reference, both, .. } = voxels;
        let accuracy = (reference > 0).then(|| both as f64 / reference as f64);
        Self { label, iou: voxels.iou(), accuracy, voxels }
    }
}

impl PixelReport {
    /// The report of counted voxels over `classes`, background among them where it counts.
    pub fn of(confusion: &Confusion, classes: &[u8], n_cases: usize) -> Self {
        let of_class = |&label: &u8| PixelClass::of(label, confusion.class(label));
        let by_class: Vec<PixelClass> = classes.iter().map(of_class).collect();
        let ious: Vec<f64> = by_class.iter().filter_map(|class| class.iou).collect();
        Self {
            n_cases,
            n_voxels: confusion.total(),
            accuracy: confusion.pixel_accuracy(),
            frequency_weighted_iou: confusion.frequency_weighted_iou(),
            mean_iou: mean(ious.iter().copied()),
            n_classes: ious.len(),
            classes: by_class,
            confusion: confusion.table(classes),
        }
    }
}

/// One case: its classes, and why it failed where it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The case's name.
    pub case: String,
    /// One entry per class, the same classes in every case.
    pub classes: Vec<ClassReport>,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Voxels that were compared; `None` where there is no score, and in reports of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_voxels: Option<u64>,
    /// Which label was taken for which, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixels: Option<PixelReport>,
}

impl CaseReport {
    /// A case with a report of each class.
    pub fn new(case: impl Into<String>, classes: Vec<ClassReport>) -> Self {
        Self { case: case.into(), classes, error: None, n_voxels: None, pixels: None }
    }

    /// The same, with the reason why there is no score.
    #[must_use]
    pub fn with_error(self, reason: impl Into<String>) -> Self {
        Self { error: Some(reason.into()), ..self }
    }

    /// Mean Dice over the classes that have one.
    pub fn mean_dice(&self) -> Option<f64> {
        mean(self.classes.iter().filter_map(|class| class.dice))
    }
}

/// All cases in sorted order, and their summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What the numbers of cases were made into; where they were pooled, `summary.pooled` says what
    /// came out.
    #[serde(default)]
    pub aggregation: Aggregation,
    /// What was measured, by whose rules; `None` for Dice, IoU and volumes by ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measures: Option<Measures>,
    /// Every case, scored or not.
    pub cases: Vec<CaseReport>,
    /// What they amount to.
    pub summary: Summary,
}

impl Report {
    /// Sorts `cases` by name and summarizes them; `names` says what the labels are called.
    pub fn new(cases: Vec<CaseReport>, names: &BTreeMap<u8, String>) -> Self {
        Self::of(cases, names, &Measures::default())
    }

    /// The same for cases that were measured otherwise than by default.
    pub fn of(
        mut cases: Vec<CaseReport>,
        names: &BTreeMap<u8, String>,
        measures: &Measures,
    ) -> Self {
        cases.sort_by(|a, b| a.case.cmp(&b.case));
        let summary = summarize(&cases, names, measures.convention);
        let measures = (*measures != Measures::default()).then(|| measures.clone());
        Self { aggregation: Aggregation::default(), measures, cases, summary }
    }

    /// By whose rules the numbers are made.
    pub fn convention(&self) -> Convention {
        self.measures.as_ref().map(|measures| measures.convention).unwrap_or_default()
    }

    /// Writes one line per case and class; a number that does not exist is an empty cell.
    ///
    /// # Errors
    /// Whatever `out` answers.
    pub fn write_csv(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let others: BTreeSet<String> = self
            .cases
            .iter()
            .flat_map(|case| &case.classes)
            .flat_map(|class| class.numbers.keys().cloned())
            .filter(|key| !SURFACE_KEYS.contains(&key.as_str()))
            .collect();
        let keys: Vec<&str> =
            SURFACE_KEYS.into_iter().chain(others.iter().map(String::as_str)).collect();
        writeln!(
            out,
            "case,label,status,dice,iou,volume_ml_prediction,volume_ml_reference,{},error",
            keys.join(",")
        )?;
        for case in &self.cases {
            for class in &case.classes {
                let first =
                    [class.dice, class.iou, class.volume_ml_prediction, class.volume_ml_reference];
                let numbers = first.into_iter().chain(keys.iter().map(|key| class.number(key)));
                let cells: Vec<String> = numbers
                    .map(|number| number.map(|number| number.to_string()).unwrap_or_default())
                    .collect();
                writeln!(
                    out,
                    "{},{},{},{},{}",
                    csv_cell(&case.case),
                    class.label,
                    class.status.as_str(),
                    cells.join(","),
                    csv_cell(case.error.as_deref().unwrap_or_default()),
                )?;
            }
        }
        Ok(())
    }
}

/// Quotes a cell that would break the line, and disarms one that a spreadsheet would run.
pub(super) fn csv_cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(label: u8, prediction: u64, reference: u64, both: u64) -> ClassReport {
        ClassReport::from_overlap(
            label,
            ClassOverlap { prediction, reference, both },
            Some(0.5),
            Convention::Lamina,
        )
    }

    fn case(name: &str, classes: Vec<ClassReport>) -> CaseReport {
        CaseReport::new(name, classes)
    }

    fn report(cases: Vec<CaseReport>) -> Report {
        Report::new(cases, &BTreeMap::new())
    }

    #[test]
    fn volumes_are_voxels_times_the_volume_of_one() {
        let class = class(1, 3, 4, 2);
        assert_eq!((class.volume_ml_prediction, class.volume_ml_reference), (Some(1.5), Some(2.0)));
    }

    #[test]
    fn a_table_quotes_names_and_runs_no_formula() {
        let mut table = Vec::new();
        report(vec![case("=1,2", vec![class(1, 2, 2, 1)])]).write_csv(&mut table).unwrap();
        let table = String::from_utf8(table).unwrap();
        assert_eq!(table.lines().nth(1), Some("\"'=1,2\",1,scored,0.5,0.3333333333333333,1,1,,,,"));
    }

    #[test]
    fn json_has_the_published_keys_and_reads_back() {
        let report = report(vec![case("a", vec![class(1, 2, 2, 1)])]);
        let json = serde_json::to_value(&report).unwrap();
        let keys: Vec<&str> = json["cases"][0]["classes"][0]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            keys,
            [
                "label",
                "dice",
                "iou",
                "status",
                "volume_ml_prediction",
                "volume_ml_reference",
                "voxels"
            ]
        );
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }
}
