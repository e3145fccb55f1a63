//! One run against another on the same cases.
//!
//! | one side                | the other side | counts as                                      |
//! |-------------------------|----------------|------------------------------------------------|
//! | `scored`                | any            | as measured                                    |
//! | `missed`, `false`, `failed` | any        | 0                                              |
//! | `both_empty`            | `false`, `failed` | 1: to find nothing was right                |
//! | `both_empty`            | `both_empty`   | not in any mean                                |
//!
//! Reading the reports and saying which they are is left to `app`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::report::{CaseReport, ClassReport, Report};
use super::statistics::{Bootstrap, Groups, Interval, SignedRank, ZeroRule, signed_rank};
use super::{Distribution, Status};

/// How many of the largest losses are named.
const LARGEST_LOSSES: usize = 5;

/// A measure that is 0 for a case that failed and higher where a case is better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairedMetric {
    /// Dice coefficient.
    #[default]
    Dice,
    /// Intersection over union.
    Iou,
    /// Share of the surfaces within a tolerance.
    SurfaceDice,
}

impl PairedMetric {
    /// Its published name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dice => "Dice",
            Self::Iou => "IoU",
            Self::SurfaceDice => "surface Dice",
        }
    }

    /// The number of a class of a case; `None` where neither side holds the class.
    pub fn of(self, class: &ClassReport) -> Option<f64> {
        match (self, class.status) {
            (_, Status::BothEmpty) => None,
            (_, Status::Missed | Status::False | Status::Failed) => Some(0.0),
            (Self::Dice, Status::Scored) => class.dice,
            (Self::Iou, Status::Scored) => class.iou,
            (Self::SurfaceDice, Status::Scored) => class.surface.map(|found| found.surface_dice),
        }
    }
}

/// Why two reports cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairingError {
    /// Cases that only one of them has.
    #[error("expected the same cases in both, found {} only in the first ({}) and {} only in the second ({})",
        .first.len(), few(.first), .second.len(), few(.second))]
    Cases {
        /// Cases of the first alone.
        first: Vec<String>,
        /// Cases of the second alone.
        second: Vec<String>,
    },

    /// No case is in both.
    #[error("expected cases of the same names in both, found none")]
    NoCase,

    /// A class that the references of one hold is not measured in the other.
    #[error("expected the same classes in both, found label {label} in one alone")]
    Class {
        /// The label.
        label: u8,
    },

    /// A class was scored, but not by this measure.
    #[error(
        "expected {metric} of every scored class, found none for case {case}, label {label}; `evaluate --surface` measures surfaces"
    )]
    NotMeasured {
        /// The measure.
        metric: &'static str,
        /// The case.
        case: String,
        /// The label.
        label: u8,
    },
}

fn few(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        [some @ .., _] if names.len() > 5 => {
            format!("{}, and {} more", some[..4].join(", "), names.len() - 4)
        }
        all => all.join(", "),
    }
}

/// How one class, or the mean, does in both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairedRow {
    /// The label; `None` for the mean over the classes.
    pub label: Option<u8>,
    /// What the class is called, where known.
    pub name: Option<String>,
    /// Cases that are compared.
    pub n: usize,
    /// Mean of the first.
    pub first: f64,
    /// Mean of the second.
    pub second: f64,
    /// Second less first.
    pub difference: f64,
    /// Paired bootstrap interval of the difference; `None` for fewer than two groups.
    pub interval: Option<Interval>,
    /// Wilcoxon's signed-rank test over cases; `None` where no case differs.
    pub wilcoxon: Option<SignedRank>,
    /// Cases in which the second is better.
    pub better: usize,
    /// Cases in which both are equal.
    pub equal: usize,
    /// Cases in which the second is worse.
    pub worse: usize,
}

/// A case in which the second lost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loss {
    /// The case.
    pub case: String,
    /// Mean over its classes in the first.
    pub first: f64,
    /// Mean over its classes in the second.
    pub second: f64,
}

/// One run against another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paired {
    /// What is compared.
    pub metric: PairedMetric,
    /// Cases that both have.
    pub n_cases: usize,
    /// Groups that the bootstrap draws: patients where they are known, else cases.
    pub n_groups: usize,
    /// One row per class that occurs.
    pub classes: Vec<PairedRow>,
    /// The mean over the classes: of their means; ranks and counts are by the mean of a case.
    pub mean: Option<PairedRow>,
    /// The cases in which the second lost most, largest first.
    pub losses: Vec<Loss>,
    /// (case, class) pairs that are missed, false or failed and count as 0, in each.
    pub zeros: [usize; 2],
    /// (case, class) pairs in which one found nothing, rightly, and counts as 1, in each.
    pub rightly_empty: [usize; 2],
    /// Cases that only the first has, which are in no number here.
    pub only_first: Vec<String>,
    /// Cases that only the second has, which are in no number here.
    pub only_second: Vec<String>,
    /// Cases whose references have another volume in the second.
    pub other_reference: Vec<String>,
}

/// How two reports are compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pairing {
    /// By what.
    pub metric: PairedMetric,
    /// How intervals are drawn.
    pub bootstrap: Bootstrap,
    /// Whether cases that one alone has are left out, and listed, instead of refused.
    pub common_only: bool,
}

impl Pairing {
    /// Compares `second` with `first`; `patient` says whom a case shows.
    ///
    /// # Errors
    /// [`PairingError`] where they were not measured on the same.
    pub fn compare(
        &self,
        first: &Report,
        second: &Report,
        patient: impl Fn(&str) -> String,
    ) -> Result<Paired, PairingError> {
        let by_name = |report: &Report| -> BTreeMap<String, CaseReport> {
            report.cases.iter().map(|case| (case.case.clone(), case.clone())).collect()
        };
        let (firsts, seconds) = (by_name(first), by_name(second));
        let without = |these: &BTreeMap<String, CaseReport>, those: &BTreeMap<_, _>| {
            these.keys().filter(|case| !those.contains_key(*case)).cloned().collect::<Vec<_>>()
        };
        let (only_first, only_second) = (without(&firsts, &seconds), without(&seconds, &firsts));
        let apart = !only_first.is_empty() || !only_second.is_empty();
        if apart && !self.common_only {
            return Err(PairingError::Cases { first: only_first, second: only_second });
        }
        let pairs: Vec<(&CaseReport, &CaseReport)> =
            firsts.iter().filter_map(|(name, case)| Some((case, seconds.get(name)?))).collect();
        if pairs.is_empty() {
            return Err(PairingError::NoCase);
        }
        let labels = labels(&pairs)?;
        let table = Table::of(self.metric, &pairs, &labels)?;
        let groups: Vec<String> = pairs.iter().map(|(case, _)| patient(&case.case)).collect();
        let groups = Groups::by_name(groups.iter().map(String::as_str));
        let names = |label: u8| {
            let mut classes = first.summary.classes.iter().chain(&second.summary.classes);
            classes.find(|class| class.label == label && class.name.is_some())?.name.clone()
        };
        let classes = labels.iter().enumerate().filter_map(|(column, &label)| {
            let columns = [column];
            let row = table.row(&columns, &self.bootstrap, &groups)?;
            Some(PairedRow { label: Some(label), name: names(label), ..row })
        });
        let classes: Vec<PairedRow> = classes.collect();
        let all: Vec<usize> = (0..labels.len()).collect();
        Ok(Paired {
            metric: self.metric,
            n_cases: pairs.len(),
            n_groups: groups.len(),
            classes,
            mean: table.row(&all, &self.bootstrap, &groups),
            losses: table.losses(&pairs, &all),
            zeros: table.zeros,
            rightly_empty: table.rightly_empty,
            only_first,
            only_second,
            other_reference: other_reference(&pairs),
        })
    }
}

/// The labels of both. One that a report leaves out was empty on both sides there, unless the other
/// report's references hold it.
fn labels(pairs: &[(&CaseReport, &CaseReport)]) -> Result<Vec<u8>, PairingError> {
    let mut held = BTreeMap::<u8, bool>::new();
    for (first, second) in pairs {
        for (these, those) in [(first, second), (second, first)] {
            for class in &these.classes {
                let known = those.classes.iter().any(|other| other.label == class.label);
                let in_reference =
                    matches!(class.status, Status::Scored | Status::Missed | Status::Failed);
                *held.entry(class.label).or_default() |= in_reference && !known;
            }
        }
    }
    match held.iter().find(|(_, alone)| **alone) {
        Some((&label, _)) => Err(PairingError::Class { label }),
        None => Ok(held.into_keys().collect()),
    }
}

/// Cases whose reference volumes differ: they may have been measured against others.
fn other_reference(pairs: &[(&CaseReport, &CaseReport)]) -> Vec<String> {
    let differs = |(first, second): &&(&CaseReport, &CaseReport)| {
        first.classes.iter().any(|class| {
            let other = second.classes.iter().find(|other| other.label == class.label);
            match (class.volume_ml_reference, other.and_then(|other| other.volume_ml_reference)) {
                (Some(one), Some(other)) => (one - other).abs() > 1e-6 * one.abs().max(other.abs()),
                _ => false,
            }
        })
    };
    pairs.iter().filter(differs).map(|(case, _)| case.case.clone()).collect()
}

/// What both reached: `[case][class]`.
struct Table {
    values: Vec<Vec<Option<[f64; 2]>>>,
    zeros: [usize; 2],
    rightly_empty: [usize; 2],
}

impl Table {
    fn of(
        metric: PairedMetric,
        pairs: &[(&CaseReport, &CaseReport)],
        labels: &[u8],
    ) -> Result<Self, PairingError> {
        let mut table = Self { values: Vec::new(), zeros: [0; 2], rightly_empty: [0; 2] };
        for (first, second) in pairs {
            let mut row = Vec::with_capacity(labels.len());
            for &label in labels {
                let mut found = [None; 2];
                for (side, case) in [first, second].into_iter().enumerate() {
                    let class = case.classes.iter().find(|class| class.label == label);
                    let Some(class) = class.filter(|class| class.status != Status::BothEmpty)
                    else {
                        continue;
                    };
                    found[side] = Some(metric.of(class).ok_or_else(|| {
                        let (metric, case) = (metric.name(), case.case.clone());
                        PairingError::NotMeasured { metric, case, label }
                    })?);
                    table.zeros[side] += usize::from(class.status != Status::Scored);
                }
                row.push(match found {
                    [None, None] => None,
                    [first, second] => {
                        for (empty, value) in table.rightly_empty.iter_mut().zip(found) {
                            *empty += usize::from(value.is_none());
                        }
                        Some([first.unwrap_or(1.0), second.unwrap_or(1.0)])
                    }
                });
            }
            table.values.push(row);
        }
        Ok(table)
    }

    /// The mean over `columns` of their means over `cases`, in both.
    fn means(&self, cases: &[usize], columns: &[usize]) -> Option<[f64; 2]> {
        let (mut sum, mut classes) = ([0.0; 2], 0.0);
        for &column in columns {
            let (mut of_class, mut n) = ([0.0; 2], 0.0);
            for [first, second] in cases.iter().filter_map(|&case| self.values[case][column]) {
                of_class[0] += first;
                of_class[1] += second;
                n += 1.0;
            }
            if n > 0.0 {
                sum[0] += of_class[0] / n;
                sum[1] += of_class[1] / n;
                classes += 1.0;
            }
        }
        (classes > 0.0).then(|| sum.map(|sum| sum / classes))
    }

    fn row(&self, columns: &[usize], draw: &Bootstrap, groups: &Groups) -> Option<PairedRow> {
        let cases: Vec<usize> = (0..self.values.len()).collect();
        let [first, second] = self.means(&cases, columns)?;
        let by_case: Vec<f64> = cases
            .iter()
            .filter_map(|&case| self.means(&[case], columns))
            .map(|[first, second]| rounded(second - first))
            .collect();
        let count = |wanted: fn(&&f64) -> bool| by_case.iter().filter(wanted).count();
        let difference = |cases: &[usize]| {
            let [first, second] = self.means(cases, columns)?;
            Some(second - first)
        };
        Some(PairedRow {
            label: None,
            name: None,
            n: by_case.len(),
            first,
            second,
            difference: second - first,
            interval: draw.interval(groups, difference),
            wilcoxon: signed_rank(&by_case, ZeroRule::Wilcoxon),
            better: count(|difference| **difference > 0.0),
            equal: count(|difference| **difference == 0.0),
            worse: count(|difference| **difference < 0.0),
        })
    }

    fn losses(&self, pairs: &[(&CaseReport, &CaseReport)], columns: &[usize]) -> Vec<Loss> {
        let mut losses: Vec<Loss> = pairs
            .iter()
            .enumerate()
            .filter_map(|(place, (case, _))| {
                let [first, second] = self.means(&[place], columns)?;
                (second < first).then(|| Loss { case: case.case.clone(), first, second })
            })
            .collect();
        let lost = |loss: &Loss| loss.first - loss.second;
        losses.sort_by(|a, b| lost(b).total_cmp(&lost(a)));
        losses.truncate(LARGEST_LOSSES);
        losses
    }
}

/// A difference without the noise of its subtraction, so that equal ones share their rank.
fn rounded(difference: f64) -> f64 {
    (difference * 1e12).round() / 1e12
}

/// The interval of the mean of one class, and that of the mean over the classes, of one report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeanInterval {
    /// The label; `None` for the mean over the classes.
    pub label: Option<u8>,
    /// How the cases are spread; for the mean over the classes each case counts with its own mean.
    pub spread: Distribution,
    /// The mean: for all classes that of their means.
    pub mean: f64,
    /// Where it would lie with other cases.
    pub interval: Option<Interval>,
}

/// Intervals of the means in one report: of each class that occurs, and of all together, last.
///
/// # Errors
/// [`PairingError::NotMeasured`] where a scored class has no such number.
pub fn mean_intervals(
    report: &Report,
    metric: PairedMetric,
    draw: &Bootstrap,
    patient: impl Fn(&str) -> String,
) -> Result<Vec<MeanInterval>, PairingError> {
    let pairs: Vec<(&CaseReport, &CaseReport)> =
        report.cases.iter().map(|case| (case, case)).collect();
    let labels = labels(&pairs)?;
    let table = Table::of(metric, &pairs, &labels)?;
    let groups: Vec<String> = report.cases.iter().map(|case| patient(&case.case)).collect();
    let groups = Groups::by_name(groups.iter().map(String::as_str));
    let cases: Vec<usize> = (0..pairs.len()).collect();
    let all: Vec<usize> = (0..labels.len()).collect();
    let columns = (0..labels.len()).map(|column| (Some(labels[column]), vec![column]));
    let rows = columns.chain([(None, all)]).filter_map(|(label, columns)| {
        let first = |cases: &[usize]| Some(table.means(cases, &columns)?[0]);
        Some(MeanInterval {
            label,
            spread: Distribution::of(cases.iter().filter_map(|&case| first(&[case])))?,
            mean: first(&cases)?,
            interval: draw.interval(&groups, first),
        })
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{ClassOverlap, Convention};

    /// A class that has, where both hold it, as many of a hundred voxels in common as gives `dice`.
    fn class(label: u8, status: Status, dice: f64) -> ClassReport {
        let [prediction, reference] = match status {
            Status::Scored => [100, 100],
            Status::Missed => [0, 100],
            Status::False => [100, 0],
            Status::BothEmpty => [0, 0],
            Status::Failed => return ClassReport::failed(label, None, Convention::Lamina),
        };
        let both = (dice * prediction.min(reference) as f64).round() as u64;
        ClassReport::from_overlap(
            label,
            ClassOverlap { prediction, reference, both },
            None,
            Convention::Lamina,
        )
    }

    fn report(cases: &[(&str, Vec<ClassReport>)]) -> Report {
        let cases = cases.iter().map(|(name, classes)| CaseReport::new(*name, classes.clone()));
        Report::new(cases.collect(), &BTreeMap::new())
    }

    fn scored(values: &[(&str, f64)]) -> Report {
        let cases: Vec<(&str, Vec<ClassReport>)> = values
            .iter()
            .map(|(name, dice)| (*name, vec![class(1, Status::Scored, *dice)]))
            .collect();
        report(&cases)
    }

    fn own(case: &str) -> String {
        case.to_owned()
    }

    #[test]
    fn means_differences_and_counts_are_those_of_a_pencil() {
        let first = scored(&[("a", 0.5), ("b", 0.5), ("c", 0.5), ("d", 0.5)]);
        let second = scored(&[("d", 0.25), ("c", 0.5), ("b", 0.75), ("a", 1.0)]);
        let paired = Pairing::default().compare(&first, &second, own).unwrap();
        let row = &paired.classes[0];
        assert_eq!((row.first, row.second, row.difference, row.n), (0.5, 0.625, 0.125, 4));
        assert_eq!((row.better, row.equal, row.worse), (2, 1, 1));
        let interval = row.interval.unwrap();
        assert!(interval.low < 0.0 && interval.high > 0.125, "{interval:?}");
        // Ranks 1.5 and 1.5 for 0.25 either way, 3 for 0.5.
        let test = row.wilcoxon.unwrap();
        assert_eq!((test.above, test.below, test.zeros), (4.5, 1.5, 1));
        let worst = &paired.losses[..];
        assert_eq!(worst, [Loss { case: "d".to_owned(), first: 0.5, second: 0.25 }]);
    }

    #[test]
    fn a_missed_class_counts_as_zero_and_an_empty_one_as_right() {
        let first = report(&[
            ("a", vec![class(1, Status::Scored, 0.8), class(2, Status::BothEmpty, 0.0)]),
            ("b", vec![class(1, Status::Scored, 0.8), class(2, Status::BothEmpty, 0.0)]),
        ]);
        let second = report(&[
            ("a", vec![class(1, Status::Missed, 0.0), class(2, Status::False, 0.0)]),
            ("b", vec![class(1, Status::Scored, 0.8), class(2, Status::BothEmpty, 0.0)]),
        ]);
        let paired = Pairing::default().compare(&first, &second, own).unwrap();
        assert_eq!(paired.classes[0].second, 0.4);
        assert_eq!((paired.classes[1].first, paired.classes[1].second), (1.0, 0.0));
        assert_eq!((paired.zeros, paired.rightly_empty), ([0, 2], [1, 0]));
        assert_eq!(paired.classes[1].n, 1);
        // A class that never occurs may be left out of the other report.
        let without: Vec<(&str, Vec<ClassReport>)> =
            ["a", "b"].map(|name| (name, vec![class(1, Status::Scored, 0.8)])).to_vec();
        let again = Pairing::default().compare(&report(&without), &second, own).unwrap();
        assert_eq!(again.classes[1].difference, -1.0);
        // One that occurs may not.
        let missed = report(&[("a", vec![class(3, Status::Missed, 0.0)])]);
        let there = report(&[("a", vec![class(1, Status::Scored, 0.8)])]);
        let error = Pairing::default().compare(&there, &missed, own).unwrap_err();
        assert_eq!(error, PairingError::Class { label: 1 });
    }

    #[test]
    fn cases_of_one_side_are_refused_by_name_or_listed() {
        let (first, second) =
            (scored(&[("a", 0.5), ("b", 0.5)]), scored(&[("b", 0.6), ("c", 0.5)]));
        let error = Pairing::default().compare(&first, &second, own).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected the same cases in both, found 1 only in the first (a) and 1 only in the second (c)"
        );
        let common = Pairing { common_only: true, ..Pairing::default() };
        let paired = common.compare(&first, &second, own).unwrap();
        assert_eq!(
            (paired.n_cases, paired.only_first, paired.only_second),
            (1, vec!["a".to_owned()], vec!["c".to_owned()])
        );
        assert_eq!(paired.classes[0].interval, None);
        let error = common.compare(&first, &scored(&[("z", 1.0)]), own).unwrap_err();
        assert_eq!(error, PairingError::NoCase);
    }

    #[test]
    fn surfaces_that_nobody_measured_are_said() {
        let one = scored(&[("a", 0.5)]);
        let pairing = Pairing { metric: PairedMetric::SurfaceDice, ..Pairing::default() };
        let error = pairing.compare(&one, &one, own).unwrap_err();
        assert!(matches!(error, PairingError::NotMeasured { label: 1, .. }), "{error}");
    }

    #[test]
    fn the_mean_over_classes_is_that_of_the_summary() {
        let cases = report(&[
            ("a", vec![class(1, Status::Scored, 0.8), class(2, Status::BothEmpty, 0.0)]),
            ("b", vec![class(1, Status::Scored, 0.4), class(2, Status::Scored, 1.0)]),
        ]);
        let rows = mean_intervals(&cases, PairedMetric::Dice, &Bootstrap::default(), own).unwrap();
        let last = rows.last().unwrap();
        assert_eq!((last.label, Some(last.mean)), (None, cases.summary.foreground.dice));
        assert!((last.mean - 0.8).abs() < 1e-12);
        assert_eq!(rows[1].spread.n, 1);
        assert!(rows[1].interval.is_some_and(|interval| interval.low == 1.0));
    }
}
