//! What is wrong with a data set, and what a person should know to judge it.
//!
//! Each case is checked alone, so that a program may take them on all its threads
//! ([`check_case`]); what shows only between cases comes after ([`summarize`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::values::IGNORED;
use super::{Case, Class};
use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::label::LabelVolume;
use crate::picture;
use crate::read::{ReadOptions, read_labels, read_volume};
use crate::volume::Volume;
use crate::voxels::{Scalar, StoredType, with_voxels};

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The case, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// What is wrong.
    pub message: String,
    /// The file.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
}

fn lossy<S: serde::Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// What was found out about one case.
#[derive(Debug, Clone)]
pub struct CaseCheck {
    /// Its id.
    pub case: String,
    /// Whom it shows.
    pub patient: String,
    /// Its image.
    pub image: PathBuf,
    /// Voxels along x, y and z, where the image can be read.
    pub shape: Option<[usize; 3]>,
    /// Distance between voxels along x, y and z, where it is known.
    pub spacing_mm: Option<[f64; 3]>,
    /// Where the axes run towards.
    pub orientation: Option<String>,
    /// How the image is stored; none of a picture in colors.
    pub stored: Option<StoredType>,
    /// Smallest and largest finite value.
    pub range: Option<[f64; 2]>,
    /// How many voxels each label has.
    pub labels: BTreeMap<u8, u64>,
    /// What is in the image, whatever its file looks like.
    content: Option<[u8; 32]>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Reads a case and says what is in it and what is wrong. Labels beyond `num_classes`, where it is
/// known, are wrong, but for 255, which means "ignored".
pub fn check_case(case: &Case, num_classes: Option<usize>) -> CaseCheck {
    let mut check = CaseCheck {
        case: case.id.clone(),
        patient: case.patient.clone(),
        image: case.image.clone(),
        shape: None,
        spacing_mm: None,
        orientation: None,
        stored: None,
        range: None,
        labels: BTreeMap::new(),
        content: None,
        problems: Vec::new(),
    };
    let geometry = check.look_at_image(case);
    let labels = match read_labels(&case.labels, &ReadOptions::default()) {
        Ok(labels) => labels,
        Err(error) => {
            check.refuse(&case.labels, chain(&error));
            return check;
        }
    };
    check.labels = labels.counts();
    let wrong = |label: &u8| match &case.table {
        Some(table) => table.label(*label).is_none(),
        None => {
            num_classes.is_some_and(|classes| usize::from(*label) >= classes) && *label != IGNORED
        }
    };
    let unknown: Vec<(u8, u64)> =
        check.labels.iter().filter(|(label, _)| wrong(label)).map(|(&l, &n)| (l, n)).collect();
    for (label, count) in unknown {
        let expected = match (&case.table, num_classes) {
            (None, Some(classes)) => format!("labels 0 to {}", classes - 1),
            _ => "values of classes".to_owned(),
        };
        let [x, y, z] = first_of(&labels, label);
        check.refuse(
            &case.labels,
            format!(
                "expected {expected}, found {label} in {count} voxels, the first at [{x}, {y}, {z}] (x, y, z)"
            ),
        );
    }
    if let Some(table) = &case.table {
        let mut counts = BTreeMap::new();
        for (&value, &count) in &check.labels {
            if let Some(label) = table.label(value) {
                *counts.entry(label).or_default() += count;
            }
        }
        check.labels = counts;
    }
    if let Some(geometry) = geometry
        && let Err(mismatch) = geometry.same_grid(&labels.geometry)
    {
        check.refuse(
            &case.labels,
            format!("labels lie on another grid than their image: {mismatch}"),
        );
    }
    check
}

impl CaseCheck {
    fn refuse(&mut self, path: &std::path::Path, message: String) {
        self.problems.push(Problem {
            case: Some(self.case.clone()),
            message,
            path: path.to_owned(),
        });
    }

    /// Takes down what the image is, and where.
    fn look_at_image(&mut self, case: &Case) -> Option<Geometry> {
        let options = ReadOptions::default();
        let geometry = match read_volume(&case.image, &options) {
            Ok(volume) => {
                self.look_at_values(case, &volume);
                volume.geometry
            }
            Err(error) => {
                // A picture in colors has a size and content too.
                let colors = matches!(error, VolumeError::DataType { .. })
                    .then(|| picture::decode(&case.image, &options.limits).ok())
                    .flatten();
                let Some(picture) = colors else {
                    self.refuse(&case.image, chain(&error));
                    return None;
                };
                let shape = [picture.pages, picture.height, picture.width];
                self.content = Some(hash(shape, |hasher| hasher.update(&picture.bytes)));
                Geometry::pixels(shape)
            }
        };
        let [depth, height, width] = geometry.shape();
        self.shape = Some([width, height, depth]);
        self.spacing_mm = geometry.spacing_mm();
        self.orientation = self.spacing_mm.map(|_| geometry.orientation());
        Some(geometry)
    }

    fn look_at_values(&mut self, case: &Case, volume: &Volume) {
        let statistics = volume.statistics();
        self.stored = Some(volume.voxels.stored_type());
        self.range = statistics.min.zip(statistics.max).map(|(min, max)| [min, max]);
        if statistics.nonfinite > 0 {
            let message =
                format!("expected numbers, found {} NaN or infinite", statistics.nonfinite);
            self.refuse(&case.image, message);
        }
        if let Some([min, max]) = self.range
            && min == max
        {
            self.refuse(&case.image, format!("expected an image, found nothing but {min}"));
        }
        // By value, so that the same image stored as another type is the same.
        self.content = Some(with_voxels!(&volume.voxels, array => hash(volume.shape(), |hasher| {
            for slice in array.outer_iter() {
                let values = slice.iter().flat_map(|&stored| {
                    (volume.rescale.apply(stored.to_f64()) as f32).to_le_bytes()
                });
                hasher.update(values.collect::<Vec<u8>>());
            }
        })));
    }
}

fn hash(shape: [usize; 3], fill: impl FnOnce(&mut Sha256)) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for n in shape {
        hasher.update((n as u64).to_le_bytes());
    }
    fill(&mut hasher);
    hasher.finalize().into()
}

/// The error and its causes in one line; the path is told beside it.
fn chain(error: &VolumeError) -> String {
    let mut text = error.to_string();
    let path = error.path().display().to_string();
    for end in [format!(": {path}"), format!(" {path}")] {
        if text.ends_with(&end) {
            text.truncate(text.len() - end.len());
            break;
        }
    }
    if let Some(source) = std::error::Error::source(error) {
        text = format!("{text}: {source}");
    }
    text
}

/// Where a label is first met, as x, y, z.
fn first_of(labels: &LabelVolume, label: u8) -> [usize; 3] {
    let mut voxels = labels.labels.indexed_iter();
    voxels.find(|(_, found)| **found == label).map_or([0; 3], |((k, j, i), _)| [i, j, k])
}

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

/// A data set as a person would judge it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatasetCheck {
    /// How many cases there are.
    pub cases: usize,
    /// Of how many patients.
    pub patients: usize,
    /// Fewest and most voxels along x, y and z.
    pub shape: Option<[[usize; 3]; 2]>,
    /// Smallest and largest spacing along x, y and z; none where it is unknown.
    pub spacing_mm: Option<[[f64; 3]; 2]>,
    /// Cases by the directions of their axes, "unknown" where they have none.
    pub orientations: BTreeMap<String, usize>,
    /// Cases by the type of their image, "colors" where it is no single number.
    pub types: BTreeMap<String, usize>,
    /// Smallest and largest of the cases' largest values.
    pub maxima: Option<[f64; 2]>,
    /// How often each class occurs.
    pub classes: Vec<CheckedClass>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What may be meant so.
    pub warnings: Vec<String>,
}

/// Puts cases together, and finds what shows only between them.
pub fn summarize(
    checks: &[CaseCheck],
    lonely: Vec<Problem>,
    classes: Option<&[Class]>,
) -> DatasetCheck {
    let mut problems = lonely;
    problems.extend(checks.iter().flat_map(|check| check.problems.clone()));
    let mut warnings = Vec::new();
    duplicates(checks, &mut problems, &mut warnings);
    let classes = classes_of(checks, classes, &mut warnings);
    let mut orientations = BTreeMap::new();
    let mut types = BTreeMap::new();
    for check in checks.iter().filter(|check| check.shape.is_some()) {
        let orientation = check.orientation.clone().unwrap_or_else(|| "unknown".to_owned());
        *orientations.entry(orientation).or_default() += 1;
        let stored = check.stored.map_or("colors", StoredType::name);
        *types.entry(stored.to_owned()).or_default() += 1;
    }
    if orientations.len() > 1 && orientations.contains_key("unknown") {
        warnings.push("some images have a spacing and others have none".to_owned());
    }
    let patients: BTreeSet<&str> = checks.iter().map(|check| check.patient.as_str()).collect();
    DatasetCheck {
        cases: checks.len(),
        patients: patients.len(),
        shape: extremes(checks.iter().filter_map(|check| check.shape)),
        spacing_mm: extremes(checks.iter().filter_map(|check| check.spacing_mm)),
        orientations,
        types,
        maxima: extremes(checks.iter().filter_map(|check| check.range.map(|[_, max]| [max])))
            .map(|[[least], [most]]| [least, most]),
        classes,
        problems,
        warnings,
    }
}

/// The least and the most along each axis.
fn extremes<T: PartialOrd + Copy, const N: usize>(
    values: impl Iterator<Item = [T; N]>,
) -> Option<[[T; N]; 2]> {
    values.fold(None, |extremes, value| {
        let [mut least, mut most] = extremes.unwrap_or([value; 2]);
        for axis in 0..N {
            if value[axis] < least[axis] {
                least[axis] = value[axis];
            }
            if value[axis] > most[axis] {
                most[axis] = value[axis];
            }
        }
        Some([least, most])
    })
}

/// One image under two names would be learned from and measured on.
fn duplicates(checks: &[CaseCheck], problems: &mut Vec<Problem>, warnings: &mut Vec<String>) {
    let mut seen: BTreeMap<[u8; 32], &CaseCheck> = BTreeMap::new();
    for check in checks {
        let Some(content) = check.content else { continue };
        match seen.get(&content) {
            None => {
                seen.insert(content, check);
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
}

fn classes_of(
    checks: &[CaseCheck],
    classes: Option<&[Class]>,
    warnings: &mut Vec<String>,
) -> Vec<CheckedClass> {
    let mut found: BTreeMap<u8, (u64, usize)> = BTreeMap::new();
    for (label, _) in (0..=u8::MAX).zip(classes.unwrap_or_default()) {
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
        let class = classes.and_then(|classes| classes.get(usize::from(label)));
        class.map(|class| class.name.clone()).or((label == IGNORED).then(|| "ignored".to_owned()))
    };
    let classes: Vec<CheckedClass> = found
        .into_iter()
        .map(|(label, (voxels, cases))| CheckedClass {
            label,
            name: name(label),
            voxels,
            share: (label != IGNORED && all > 0).then(|| voxels as f64 / all as f64),
            cases,
        })
        .collect();
    for class in classes.iter().filter(|class| class.voxels == 0) {
        let name = class.name.clone().unwrap_or_default();
        warnings.push(format!("class {} ({name}) occurs nowhere", class.label));
    }
    let empty = checks
        .iter()
        .filter(|check| !check.labels.is_empty() && check.labels.keys().all(|&label| label == 0));
    let empty: Vec<&str> = empty.map(|check| check.case.as_str()).collect();
    if let Some(first) = empty.first() {
        warnings.push(format!(
            "{} of {} cases have background alone, {first} first",
            empty.len(),
            checks.len()
        ));
    }
    classes
}
