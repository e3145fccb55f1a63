//! What the numbers of many cases amount to.
//!
//! | status                     | in the mean of Dice and IoU | counted as     |
//! |----------------------------|-----------------------------|----------------|
//! | `scored`                   | as measured                 | `n_scored`     |
//! | `missed`, `false`, `failed`| as 0                        | `n_missed`, …  |
//! | `both_empty`               | no                          | `n_both_empty` |
//!
//! Surface distances of a `missed`, `false` or `failed` class are infinite: the
//! median over all of them stays honest, the mean is over `n_scored` and says so.
//! A summary over no case at all is `None`. Under the convention of a library means
//! are over what it takes into them (see [`Convention`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::convention::{Convention, Unscored};
use super::overlap::Status;
use super::report::{CaseReport, ClassReport, PixelReport};
use super::surface::SurfaceDistances;

/// How many of the worst cases a summary names.
const WORST_CASES: usize = 3;

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
    /// How many cases the means of distances are over.
    #[serde(default)]
    pub n_scored: usize,
    /// How many cases the median and the mean surface Dice are over.
    #[serde(default)]
    pub n: usize,
}

/// How one of the other numbers is spread over cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NumberSummary {
    /// Arithmetic mean over `n` cases; `None` where there are none, or one counts as infinite.
    pub mean: Option<f64>,
    /// Sample standard deviation of those.
    pub sd: Option<f64>,
    /// Half of the cases lie below, the infinite ones above all; `None` where it is infinite.
    pub median: Option<f64>,
    /// One case in twenty lies below.
    pub p5: Option<f64>,
    /// One case in twenty lies above.
    pub p95: Option<f64>,
    /// How many cases the mean is over.
    pub n: usize,
    /// Cases whose number is infinite: in the median, and in no mean of ours.
    pub n_infinite: usize,
    /// Cases without a number.
    pub n_none: usize,
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
    /// Every number that was asked for beside Dice, IoU and volumes, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numbers: BTreeMap<String, NumberSummary>,
}

/// The plain mean over the classes' means, background left out; other conventions differ.
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
    /// All voxels of all cases in one confusion matrix, where that was asked for. Never to be
    /// mixed with means over cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooled: Option<PixelReport>,
}

/// Summarizes cases in sorted order.
pub(super) fn summarize(
    cases: &[CaseReport],
    names: &BTreeMap<u8, String>,
    convention: Convention,
) -> Summary {
    let mut by_label: BTreeMap<u8, Vec<&ClassReport>> = BTreeMap::new();
    for class in cases.iter().flat_map(|case| &case.classes) {
        by_label.entry(class.label).or_default().push(class);
    }
    let classes: Vec<ClassSummary> = by_label
        .into_iter()
        .map(|(label, reports)| {
            summarize_class(label, names.get(&label).cloned(), &reports, convention)
        })
        .collect();
    Summary {
        foreground: foreground(cases, &classes, convention),
        classes,
        worst: worst_cases(cases),
        n_cases: cases.len(),
        n_failed: cases.iter().filter(|case| case.error.is_some()).count(),
        pooled: None,
    }
}

fn foreground(
    cases: &[CaseReport],
    classes: &[ClassSummary],
    convention: Convention,
) -> ForegroundSummary {
    let dice: Vec<f64> = classes.iter().filter_map(|class| Some(class.dice?.mean)).collect();
    let iou: Vec<f64> = classes.iter().filter_map(|class| Some(class.iou?.mean)).collect();
    let n_classes = dice.len();
    let all = |means: &[f64]| means.len() == classes.len();
    let of_cases = |number: fn(&ClassReport) -> Option<f64>| {
        mean(cases.iter().filter_map(|case| mean(case.classes.iter().filter_map(number))))
    };
    let (dice, iou) = match convention {
        Convention::Monai => (of_cases(|class| class.dice), of_cases(|class| class.iou)),
        Convention::Nnunet => {
            let mean = |means: Vec<f64>| all(&means).then(|| mean(means.into_iter())).flatten();
            (mean(dice), mean(iou))
        }
        _ => (mean(dice.into_iter()), mean(iou.into_iter())),
    };
    ForegroundSummary { dice, iou, n_classes }
}

fn summarize_class(
    label: u8,
    name: Option<String>,
    reports: &[&ClassReport],
    convention: Convention,
) -> ClassSummary {
    let count = |status| reports.iter().filter(|report| report.status == status).count();
    let keys: BTreeSet<String> = reports.iter().flat_map(|report| report.keys()).collect();
    let number = |key: String| {
        let summary = summarize_number(&key, reports, convention);
        (key, summary)
    };
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
        numbers: keys.into_iter().map(number).collect(),
    }
}

fn summarize_number(key: &str, reports: &[&ClassReport], convention: Convention) -> NumberSummary {
    let mut numbers = Vec::new();
    let (mut n_infinite, mut n_none) = (0, 0);
    for report in reports {
        match report.number(key) {
            Some(number) => numbers.push(number),
            None => match convention.unscored(key, report.status) {
                Unscored::Value(number) => numbers.push(number),
                Unscored::Infinite => n_infinite += 1,
                Unscored::Undefined => n_none += 1,
            },
        }
    }
    numbers.sort_by(f64::total_cmp);
    let spread = Distribution::of(numbers.iter().copied());
    let n =
        if convention == Convention::Lamina { numbers.len() } else { numbers.len() + n_infinite };
    let finite = n == numbers.len();
    numbers.extend(std::iter::repeat_n(f64::INFINITY, n_infinite));
    let at = |share| {
        let found = (!numbers.is_empty()).then(|| quantile(&numbers, share));
        found.filter(|number| number.is_finite())
    };
    NumberSummary {
        mean: spread.filter(|_| finite).map(|spread| spread.mean),
        sd: spread.filter(|_| finite).and_then(|spread| spread.sd),
        median: at(0.5),
        p5: at(0.05),
        p95: at(0.95),
        n,
        n_infinite,
        n_none,
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
        n_scored: measured.len(),
        n: hd95.len(),
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

pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
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

#[cfg(test)]
mod tests {
    use super::super::overlap::ClassOverlap;
    use super::super::report::Report;
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
    fn missed_false_and_failed_count_as_zero_and_empty_does_not_count() {
        let summary = report(vec![
            case("a", vec![class(1, 4, 4, 4)]),
            case("b", vec![class(1, 0, 4, 0)]),
            case("c", vec![class(1, 4, 0, 0)]),
            case("d", vec![class(1, 0, 0, 0)]),
            case("e", vec![ClassReport::failed(1, Some(2.0), Convention::Lamina)])
                .with_error("no prediction"),
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
}
