//! Numbers per case and class, and what they amount to over all cases.
//!
//! | status                     | in the mean of Dice and IoU | counted as     |
//! |----------------------------|-----------------------------|----------------|
//! | `scored`                   | as measured                 | `n_scored`     |
//! | `missed`, `false`, `failed`| as 0                        | `n_missed`, …  |
//! | `both_empty`               | no                          | `n_both_empty` |
//!
//! Surface distances of a `missed`, `false` or `failed` class are infinite: the
//! median over all of them stays honest, the mean is over `n_scored` and says so.
//! A summary over no case at all is `None`.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use super::overlap::{ClassOverlap, Status};
use super::surface::SurfaceDistances;

/// How many of the worst cases a summary names.
const WORST_CASES: usize = 3;

/// One class of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Distances between the surfaces, where they were asked for and both exist.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<SurfaceDistances>,
}

impl ClassReport {
    /// The report of counted voxels.
    pub(super) fn from_overlap(label: u8, overlap: ClassOverlap, voxel_ml: Option<f64>) -> Self {
        Self {
            label,
            dice: overlap.dice(),
            iou: overlap.iou(),
            status: overlap.status(),
            volume_ml_prediction: voxel_ml.map(|ml| overlap.prediction as f64 * ml),
            volume_ml_reference: voxel_ml.map(|ml| overlap.reference as f64 * ml),
            surface: None,
        }
    }

    /// The report of a class that nobody predicted.
    pub(super) fn failed(label: u8, volume_ml_reference: Option<f64>) -> Self {
        Self {
            label,
            dice: Some(0.0),
            iou: Some(0.0),
            status: Status::Failed,
            volume_ml_prediction: None,
            volume_ml_reference,
            surface: None,
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
}

impl CaseReport {
    /// Mean Dice over the classes that have one.
    pub fn mean_dice(&self) -> Option<f64> {
        mean(self.classes.iter().filter_map(|class| class.dice))
    }
}

/// How a number is spread over cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation, `None` for a single case.
    pub sd: Option<f64>,
    /// Half of the cases lie below.
    pub median: f64,
    /// One case in twenty lies below; between two cases it is interpolated linearly.
    pub p5: f64,
    /// How many cases went in.
    pub n: usize,
}

impl Distribution {
    /// Summarizes `values`, `None` where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let mean = mean(values.iter().copied())?;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self {
            mean,
            sd: (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt()),
            median: quantile(&values, 0.5),
            p5: quantile(&values, 0.05),
            n: values.len(),
        })
    }
}

/// Distances of one class over all cases, in millimeters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SurfaceSummary {
    /// Mean HD95 over the `n_scored` cases that have one.
    pub hd95_mm_mean_scored: Option<f64>,
    /// Median HD95 over all cases but the empty ones; `None` where it is infinite.
    pub hd95_mm_median: Option<f64>,
    /// Mean ASSD over the `n_scored` cases that have one.
    pub assd_mm_mean_scored: Option<f64>,
    /// Mean surface Dice; a missed, false or failed class counts as 0.
    pub surface_dice_mean: Option<f64>,
}

/// One class over all cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassSummary {
    /// The label's value in the files.
    pub label: u8,
    /// What people call it, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Dice over all cases but the empty ones.
    pub dice: Option<Distribution>,
    /// IoU over all cases but the empty ones.
    pub iou: Option<Distribution>,
    /// Cases where both hold the class.
    pub n_scored: usize,
    /// Cases where only the reference holds it.
    pub n_missed: usize,
    /// Cases where only the prediction holds it.
    pub n_false: usize,
    /// Cases where neither holds it: in no mean.
    pub n_both_empty: usize,
    /// Cases without a usable prediction.
    pub n_failed: usize,
    /// All cases.
    pub n_total: usize,
    /// Distances, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<SurfaceSummary>,
}

/// The plain mean over the classes' means, background left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForegroundSummary {
    /// Mean Dice.
    pub dice: Option<f64>,
    /// Mean IoU.
    pub iou: Option<f64>,
    /// How many classes went in: those that occurred at all.
    pub n_classes: usize,
}

/// A case that did badly, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorstCase {
    /// The case's name.
    pub case: String,
    /// Its mean Dice over classes.
    pub dice: f64,
}

/// What all cases amount to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// One entry per class.
    pub classes: Vec<ClassSummary>,
    /// Over the classes.
    pub foreground: ForegroundSummary,
    /// The lowest mean Dice, worst first.
    pub worst: Vec<WorstCase>,
    /// All cases.
    pub n_cases: usize,
    /// Cases without a usable prediction.
    pub n_failed: usize,
}

/// All cases in sorted order, and their summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Every case, scored or not.
    pub cases: Vec<CaseReport>,
    /// What they amount to.
    pub summary: Summary,
}

impl Report {
    /// Sorts `cases` by name and summarizes them; `names` says what the labels are called.
    pub fn new(mut cases: Vec<CaseReport>, names: &BTreeMap<u8, String>) -> Self {
        cases.sort_by(|a, b| a.case.cmp(&b.case));
        let summary = summarize(&cases, names);
        Self { cases, summary }
    }

    /// Writes one line per case and class; a number that does not exist is an empty cell.
    ///
    /// # Errors
    /// Whatever `out` answers.
    pub fn write_csv(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(
            out,
            "case,label,status,dice,iou,volume_ml_prediction,volume_ml_reference,hd95_mm,assd_mm,surface_dice,error"
        )?;
        for case in &self.cases {
            for class in &case.classes {
                let surface = class.surface;
                let numbers = [
                    class.dice,
                    class.iou,
                    class.volume_ml_prediction,
                    class.volume_ml_reference,
                    surface.map(|distances| distances.hd95_mm),
                    surface.map(|distances| distances.assd_mm),
                    surface.map(|distances| distances.surface_dice),
                ]
                .map(|number| number.map(|number| number.to_string()).unwrap_or_default());
                writeln!(
                    out,
                    "{},{},{},{},{}",
                    csv_cell(&case.case),
                    class.label,
                    class.status.as_str(),
                    numbers.join(","),
                    csv_cell(case.error.as_deref().unwrap_or_default()),
                )?;
            }
        }
        Ok(())
    }
}

fn summarize(cases: &[CaseReport], names: &BTreeMap<u8, String>) -> Summary {
    let mut by_label: BTreeMap<u8, Vec<&ClassReport>> = BTreeMap::new();
    for class in cases.iter().flat_map(|case| &case.classes) {
        by_label.entry(class.label).or_default().push(class);
    }
    let classes: Vec<ClassSummary> = by_label
        .into_iter()
        .map(|(label, reports)| summarize_class(label, names.get(&label).cloned(), &reports))
        .collect();
    let dice_means: Vec<f64> = classes.iter().filter_map(|class| Some(class.dice?.mean)).collect();
    Summary {
        foreground: ForegroundSummary {
            dice: mean(dice_means.iter().copied()),
            iou: mean(classes.iter().filter_map(|class| Some(class.iou?.mean))),
            n_classes: dice_means.len(),
        },
        classes,
        worst: worst_cases(cases),
        n_cases: cases.len(),
        n_failed: cases.iter().filter(|case| case.error.is_some()).count(),
    }
}

fn summarize_class(label: u8, name: Option<String>, reports: &[&ClassReport]) -> ClassSummary {
    let count = |status| reports.iter().filter(|report| report.status == status).count();
    ClassSummary {
        label,
        name,
        dice: Distribution::of(reports.iter().filter_map(|report| report.dice)),
        iou: Distribution::of(reports.iter().filter_map(|report| report.iou)),
        n_scored: count(Status::Scored),
        n_missed: count(Status::Missed),
        n_false: count(Status::False),
        n_both_empty: count(Status::BothEmpty),
        n_failed: count(Status::Failed),
        n_total: reports.len(),
        surface: summarize_surface(reports),
    }
}

fn summarize_surface(reports: &[&ClassReport]) -> Option<SurfaceSummary> {
    let measured: Vec<SurfaceDistances> =
        reports.iter().filter_map(|report| report.surface).collect();
    if measured.is_empty() {
        return None;
    }
    let not_found = reports
        .iter()
        .filter(|report| report.surface.is_none() && report.status != Status::BothEmpty)
        .count();
    let mut hd95: Vec<f64> = measured.iter().map(|distances| distances.hd95_mm).collect();
    hd95.sort_by(f64::total_cmp);
    let hd95_mean = mean(hd95.iter().copied());
    hd95.extend(std::iter::repeat_n(f64::INFINITY, not_found));
    Some(SurfaceSummary {
        hd95_mm_mean_scored: hd95_mean,
        hd95_mm_median: Some(quantile(&hd95, 0.5)).filter(|median| median.is_finite()),
        assd_mm_mean_scored: mean(measured.iter().map(|distances| distances.assd_mm)),
        surface_dice_mean: mean(
            measured
                .iter()
                .map(|distances| distances.surface_dice)
                .chain(std::iter::repeat_n(0.0, not_found)),
        ),
    })
}

fn worst_cases(cases: &[CaseReport]) -> Vec<WorstCase> {
    let mut ranked: Vec<WorstCase> = cases
        .iter()
        .filter_map(|case| Some(WorstCase { case: case.case.clone(), dice: case.mean_dice()? }))
        .collect();
    ranked.sort_by(|a, b| a.dice.total_cmp(&b.dice)); // stable: equal ones stay in order of name
    ranked.truncate(WORST_CASES);
    ranked
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Interpolates linearly between the two nearest of the `sorted` values, as `numpy.quantile` does.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    assert!(!sorted.is_empty(), "the caller asks only where there are values");
    let position = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    if below == above { below } else { below + (above - below) * position.fract() }
}

/// Quotes a cell that would break the line, and disarms one that a spreadsheet would run.
fn csv_cell(text: &str) -> String {
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
        ClassReport::from_overlap(label, ClassOverlap { prediction, reference, both }, Some(0.5))
    }

    fn case(name: &str, classes: Vec<ClassReport>) -> CaseReport {
        CaseReport { case: name.to_owned(), classes, error: None }
    }

    fn report(cases: Vec<CaseReport>) -> Report {
        Report::new(cases, &BTreeMap::new())
    }

    #[test]
    fn missed_false_and_failed_count_as_zero_and_empty_does_not_count() {
        let summary = report(vec![
            case("a", vec![class(1, 4, 4, 4)]),
            case("b", vec![class(1, 0, 4, 0)]),
            case("c", vec![class(1, 4, 0, 0)]),
            case("d", vec![class(1, 0, 0, 0)]),
            CaseReport {
                error: Some("no prediction".to_owned()),
                ..case("e", vec![ClassReport::failed(1, Some(2.0))])
            },
        ])
        .summary;
        let class = &summary.classes[0];
        assert_eq!(class.dice.unwrap().mean, 0.25);
        assert_eq!(class.dice.unwrap().n, 4);
        assert_eq!((class.n_scored, class.n_missed, class.n_false), (1, 1, 1));
        assert_eq!((class.n_both_empty, class.n_failed, class.n_total), (1, 1, 5));
        assert_eq!(summary.n_failed, 1);
    }

    #[test]
    fn a_class_that_never_occurs_leaves_the_foreground_mean_alone() {
        let summary = report(vec![case("a", vec![class(1, 2, 2, 1), class(2, 0, 0, 0)])]).summary;
        assert_eq!(summary.foreground.dice, Some(0.5));
        assert_eq!(summary.foreground.n_classes, 1);
        assert_eq!(summary.classes[1].dice, None);
    }

    #[test]
    fn the_worst_three_are_named_worst_first_and_ties_by_name() {
        let summary = report(vec![
            case("d", vec![class(1, 1, 1, 0)]),
            case("a", vec![class(1, 1, 1, 1)]),
            case("c", vec![class(1, 1, 1, 0)]),
            case("b", vec![class(1, 2, 2, 1)]),
        ])
        .summary;
        let names: Vec<&str> = summary.worst.iter().map(|worst| worst.case.as_str()).collect();
        assert_eq!(names, ["c", "d", "b"]);
    }

    #[test]
    fn a_distribution_has_numpys_numbers() {
        // numpy: mean, std(ddof=1), median, quantile(0.05) of [0.1, 0.2, 0.4, 0.8]
        let spread = Distribution::of([0.8, 0.1, 0.4, 0.2]).unwrap();
        assert!((spread.mean - 0.375).abs() < 1e-12);
        assert!((spread.sd.unwrap() - 0.309_569_593_683_445).abs() < 1e-12);
        assert!((spread.median - 0.3).abs() < 1e-12);
        assert!((spread.p5 - 0.115).abs() < 1e-12);
    }

    #[test]
    fn a_single_case_has_no_standard_deviation() {
        let spread = Distribution::of([0.5]).unwrap();
        assert_eq!((spread.mean, spread.sd, spread.median, spread.p5), (0.5, None, 0.5, 0.5));
        assert_eq!(Distribution::of([]), None);
    }

    #[test]
    fn volumes_are_voxels_times_the_volume_of_one() {
        let class = class(1, 3, 4, 2);
        assert_eq!((class.volume_ml_prediction, class.volume_ml_reference), (Some(1.5), Some(2.0)));
    }

    #[test]
    fn a_missed_surface_makes_the_median_infinite_and_not_better() {
        let near = SurfaceDistances { hd95_mm: 1.0, assd_mm: 0.5, surface_dice: 1.0 };
        let found = ClassReport { surface: Some(near), ..class(1, 4, 4, 3) };
        let cases = vec![
            case("a", vec![found]),
            case("b", vec![class(1, 0, 4, 0)]),
            case("c", vec![class(1, 0, 4, 0)]),
        ];
        let surface = report(cases).summary.classes[0].surface.unwrap();
        assert_eq!(surface.hd95_mm_median, None);
        assert_eq!(surface.hd95_mm_mean_scored, Some(1.0));
        assert_eq!(surface.surface_dice_mean, Some(1.0 / 3.0));
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
            ["label", "dice", "iou", "status", "volume_ml_prediction", "volume_ml_reference"]
        );
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }
}
