//! What a person should know to judge a data set, and what is wrong between its cases.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::check::{CaseCheck, Problem};
use super::values::IGNORED;
use super::{Class, DatasetConfig};
use crate::voxels::StoredType;

/// How often a class occurs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedClass {
    /// Its label.
    pub label: u8,
    /// What it stands for, where the data set says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Voxels in all cases.
    pub voxels: u64,
    /// Of all voxels that are labeled and not ignored.
    pub share: Option<f64>,
    /// Cases that it occurs in.
    pub cases: usize,
}

/// A part of a data set: a list, a folder of a tree, or what a fold holds out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedPart {
    /// What it is called.
    pub name: String,
    /// How many cases there are.
    pub cases: usize,
    /// Of how many patients.
    pub patients: usize,
    /// How often each class occurs, in the order of the whole.
    pub classes: Vec<CheckedClass>,
}

/// The least, the middle and the most of some numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The one in the middle, of two the lower.
    pub median: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        Some(Self { min, median: values[(values.len() - 1) / 2], max })
    }
}

/// A data set as a person would judge it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatasetCheck {
    /// How many cases there are.
    pub cases: usize,
    /// Of how many patients.
    pub patients: usize,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What may be meant so.
    pub warnings: Vec<String>,
    /// Voxels along x, y and z.
    pub shape: Option<[Spread; 3]>,
    /// Spacing along x, y and z, of cases that have one.
    pub spacing_mm: Option<[Spread; 3]>,
    /// The cases' smallest values.
    pub minima: Option<Spread>,
    /// The cases' largest values.
    pub maxima: Option<Spread>,
    /// Cases by the directions of their axes, "unknown" where they have none.
    pub orientations: BTreeMap<String, usize>,
    /// Cases by the type of their image, "colors" where it is no single number.
    pub types: BTreeMap<String, usize>,
    /// Its parts, by name.
    pub parts: Vec<CheckedPart>,
    /// How often each class occurs.
    pub classes: Vec<CheckedClass>,
}

/// Puts cases together, and finds what shows only between them. Where `config` has no classes
/// they go by their labels alone.
pub fn summarize(
    checks: &[CaseCheck],
    config: &DatasetConfig,
    lonely: Vec<Problem>,
    mut warnings: Vec<String>,
) -> DatasetCheck {
    let mut problems = lonely;
    problems.extend(checks.iter().flat_map(|check| check.problems.clone()));
    duplicates(checks, &mut problems, &mut warnings);
    let all: Vec<&CaseCheck> = checks.iter().collect();
    let classes = classes_of(&all, &config.classes);
    doubtful_classes(&all, config, &classes, &mut warnings);
    let (mut orientations, mut types) = (BTreeMap::new(), BTreeMap::new());
    for check in checks.iter().filter(|check| check.shape.is_some()) {
        let orientation = check.orientation.clone().unwrap_or_else(|| "unknown".to_owned());
        *orientations.entry(orientation).or_default() += 1;
        let stored = check.stored.map_or("colors", StoredType::name);
        *types.entry(stored.to_owned()).or_default() += 1;
    }
    let turned: Vec<&str> = checks
        .iter()
        .filter(|check| check.asks_to_be_turned)
        .map(|check| check.case.as_str())
        .collect();
    if let Some(first) = turned.first() {
        warnings.push(format!(
            "{} of {} images ask to be turned (EXIF) and are taken as they are stored, {first} first",
            turned.len(),
            checks.len()
        ));
    }
    if orientations.len() > 1 && orientations.contains_key("unknown") {
        warnings.push("some images have a spacing and others have none".to_owned());
    }
    DatasetCheck {
        cases: checks.len(),
        patients: patients(&all).len(),
        problems,
        shape: spreads(checks, |check| check.shape.map(|shape| shape.map(|n| n as f64))),
        spacing_mm: spreads(checks, |check| check.spacing_mm),
        minima: Spread::of(checks.iter().filter_map(|check| Some(check.range?[0]))),
        maxima: Spread::of(checks.iter().filter_map(|check| Some(check.range?[1]))),
        orientations,
        types,
        parts: parts_of(checks, config, &mut warnings),
        classes,
        warnings,
    }
}

fn patients<'a>(checks: &[&'a CaseCheck]) -> BTreeSet<&'a str> {
    checks.iter().map(|check| check.patient.as_str()).collect()
}

/// The spread along each axis.
fn spreads(
    checks: &[CaseCheck],
    values: impl Fn(&CaseCheck) -> Option<[f64; 3]>,
) -> Option<[Spread; 3]> {
    let values: Vec<[f64; 3]> = checks.iter().filter_map(values).collect();
    let axis = |axis: usize| Spread::of(values.iter().map(|value| value[axis]));
    Some([axis(0)?, axis(1)?, axis(2)?])
}

/// The parts by name, and a warning where two share a patient.
fn parts_of(
    checks: &[CaseCheck],
    config: &DatasetConfig,
    warnings: &mut Vec<String>,
) -> Vec<CheckedPart> {
    let mut parts: BTreeMap<&str, Vec<&CaseCheck>> = BTreeMap::new();
    for check in checks {
        for part in &check.parts {
            parts.entry(part).or_default().push(check);
        }
    }
    let by_patient: Vec<(&str, BTreeSet<&str>)> =
        parts.iter().map(|(name, cases)| (*name, patients(cases))).collect();
    // Folds share cases as they like; what is wrong with them was found where they are read.
    let compared = if config.folds.is_some() { &[] } else { &by_patient[..] };
    for (index, (name, patients)) in compared.iter().enumerate() {
        for (other, others) in &compared[index + 1..] {
            let shared: Vec<&str> = patients.intersection(others).copied().collect();
            if let Some(first) = shared.first() {
                let more = match shared.len() {
                    1 => String::new(),
                    n => format!(" and {} more", n - 1),
                };
                warnings.push(format!("{name} and {other} both have patient {first}{more}"));
            }
        }
    }
    let part = |(name, cases): (&str, Vec<&CaseCheck>)| CheckedPart {
        name: name.to_owned(),
        cases: cases.len(),
        patients: patients(&cases).len(),
        classes: classes_of(&cases, &config.classes),
    };
    parts.into_iter().map(part).collect()
}

/// One image under two names would be learned from and measured on.
fn duplicates(checks: &[CaseCheck], problems: &mut Vec<Problem>, warnings: &mut Vec<String>) {
    let mut seen: BTreeMap<[u8; 32], &CaseCheck> = BTreeMap::new();
    let mut distinct: Vec<&CaseCheck> = Vec::new();
    for check in checks {
        let Some(content) = check.content else { continue };
        match seen.get(&content) {
            None => {
                seen.insert(content, check);
                distinct.push(check);
            }
            Some(first) if first.patient == check.patient => warnings.push(format!(
                "{} is the same image as {}, of one patient",
                check.case, first.case
            )),
            Some(first) => problems.push(Problem {
                case: Some(check.case.clone()),
                message: format!(
                    "the same image as {}, which is said to be of another patient",
                    first.case
                ),
                path: check.image.clone(),
            }),
        }
    }
    let looks: Vec<_> =
        distinct.iter().filter_map(|check| Some((*check, check.likeness.as_ref()?))).collect();
    for (index, (check, likeness)) in looks.iter().enumerate() {
        let alike = looks[..index].iter().find(|(other, look)| {
            other.patient != check.patient && other.shape == check.shape && look.is_like(likeness)
        });
        if let Some((other, _)) = alike {
            warnings.push(format!(
                "{} looks like {}, which is said to be of another patient",
                check.case, other.case
            ));
        }
    }
}

/// Two cases, said to be of different patients, with images that are the same or look alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookAlike {
    /// One case.
    pub case: String,
    /// The other.
    pub other: String,
    /// Whether every voxel is the same.
    pub same: bool,
}

/// All pairs of cases, said to be of different patients, that look alike.
pub fn look_alikes(checks: &[CaseCheck]) -> Vec<LookAlike> {
    let mut found = Vec::new();
    for (index, check) in checks.iter().enumerate() {
        for other in checks[..index].iter().filter(|other| other.patient != check.patient) {
            let same = check.content.is_some() && check.content == other.content;
            let alike = match (&check.likeness, &other.likeness) {
                (Some(look), Some(others)) => check.shape == other.shape && look.is_like(others),
                _ => false,
            };
            if same || alike {
                let (case, other) = (other.case.clone(), check.case.clone());
                found.push(LookAlike { case, other, same });
            }
        }
    }
    found
}

fn classes_of(checks: &[&CaseCheck], classes: &[Class]) -> Vec<CheckedClass> {
    let mut found: BTreeMap<u8, (u64, usize)> = BTreeMap::new();
    for (label, _) in (0..=u8::MAX).zip(classes) {
        found.insert(label, (0, 0));
    }
    for (&label, &voxels) in checks.iter().flat_map(|check| &check.labels) {
        let (sum, cases) = found.entry(label).or_default();
        *sum += voxels;
        *cases += 1;
    }
    let all: u64 =
        found.iter().filter(|(label, _)| **label != IGNORED).map(|(_, (voxels, _))| voxels).sum();
    let name = |label: u8| {
        let class = classes.get(usize::from(label));
        class.map(|class| class.name.clone()).or((label == IGNORED).then(|| "ignored".to_owned()))
    };
    found
        .into_iter()
        .map(|(label, (voxels, cases))| CheckedClass {
            label,
            name: name(label),
            voxels,
            share: (label != IGNORED && all > 0).then(|| voxels as f64 / all as f64),
            cases,
        })
        .collect()
}

/// What the counts make doubtful.
fn doubtful_classes(
    checks: &[&CaseCheck],
    config: &DatasetConfig,
    classes: &[CheckedClass],
    warnings: &mut Vec<String>,
) {
    let name = |class: &CheckedClass| class.name.clone().unwrap_or_default();
    let absent: Vec<String> = classes.iter().filter(|class| class.voxels == 0).map(name).collect();
    match &absent[..] {
        [] => {}
        [name] => warnings.push(format!("class {name} occurs nowhere")),
        names => {
            warnings.push(format!("{} classes occur nowhere: {}", names.len(), names.join(", ")));
        }
    }
    let voxels = |name: &str| {
        let class = classes.iter().find(|class| class.name.as_deref() == Some(name));
        class.map_or(0, |class| class.voxels)
    };
    let against: Vec<&[String; 2]> =
        config.more_common.iter().filter(|[more, less]| voxels(less) > voxels(more)).collect();
    if let Some([more, less]) = against.first()
        && 2 * against.len() > config.more_common.len()
    {
        warnings.push(format!(
            "the values may be those of another order of the classes: {} of {} comparisons that \
             should hold do not, there is more {less} than {more}",
            against.len(),
            config.more_common.len()
        ));
    }
    let background = config.classes.first().is_none_or(|class| class.name == "background");
    let labeled = checks.iter().filter(|check| !check.labels.is_empty());
    let empty: Vec<&str> = labeled
        .filter(|check| {
            check.labels.keys().all(|&label| label == IGNORED || (background && label == 0))
        })
        .map(|check| check.case.as_str())
        .collect();
    if let Some(first) = empty.first() {
        let nothing_but = if background { "background" } else { "ignored voxels" };
        warnings.push(format!(
            "{} of {} cases have {nothing_but} alone, {first} first",
            empty.len(),
            checks.len()
        ));
    }
}
