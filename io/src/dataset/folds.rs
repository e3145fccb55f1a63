//! Which cases are learned from and which are held out: drawn over patients, or fixed by a file.
//!
//! Files are a CSV table with a fold for each case, or nnU-Net's `splits_final.json`, a list with
//! the names of both sides for each fold, which is written too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Case, DatasetError};

/// The folds that a file fixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FixedFolds {
    /// The fold in which each case is held out.
    HeldOut(BTreeMap<String, usize>),
    /// Both sides of each fold.
    Sides(Vec<Sides>),
}

/// Both sides of a fold, by the names of cases, as `splits_final.json` has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sides {
    /// Cases to learn from.
    pub train: Vec<String>,
    /// Cases to measure on.
    pub val: Vec<String>,
}

impl FixedFolds {
    /// Reads the folds in `path`, and what is wrong with them.
    pub(super) fn read(path: &Path, cases: &[Case]) -> Result<(Self, Vec<String>), DatasetError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| DatasetError::Read { path: path.to_path_buf(), source })?;
        let json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
        if !json {
            let (folds, wrong) = from_csv(&text, cases);
            return Ok((Self::HeldOut(folds), wrong));
        }
        let sides: Vec<Sides> = serde_json::from_str(&text).map_err(|error| {
            let message = format!("expected a list of folds with `train` and `val`: {error}");
            DatasetError::Content { message, path: path.to_path_buf() }
        })?;
        let wrong = wrong_with(&sides, cases);
        Ok((Self::Sides(sides), wrong))
    }

    /// Names of both sides of `fold`, where there is one.
    pub(super) fn fold(&self, fold: usize) -> Option<[BTreeSet<&str>; 2]> {
        match self {
            Self::Sides(sides) => {
                let Sides { train, val } = sides.get(fold)?;
                Some([train, val].map(|side| side.iter().map(String::as_str).collect()))
            }
            Self::HeldOut(folds) => {
                let side = |held_out: bool| {
                    let side = folds.iter().filter(move |(_, of)| (**of == fold) == held_out);
                    side.map(|(id, _)| id.as_str()).collect()
                };
                Some([side(false), side(true)])
            }
        }
    }

    /// The last fold.
    pub(super) fn last(&self) -> usize {
        match self {
            Self::Sides(sides) => sides.len().saturating_sub(1),
            Self::HeldOut(folds) => folds.values().max().copied().unwrap_or(0),
        }
    }

    /// The folds in which a case is held out.
    pub(super) fn of(&self, id: &str) -> Vec<usize> {
        match self {
            Self::HeldOut(folds) => folds.get(id).copied().into_iter().collect(),
            Self::Sides(sides) => {
                let held_out =
                    |(_, sides): &(usize, &Sides)| sides.val.iter().any(|name| name == id);
                sides.iter().enumerate().filter(held_out).map(|(fold, _)| fold).collect()
            }
        }
    }
}

/// A table `subject,fold`.
fn from_csv(text: &str, cases: &[Case]) -> (BTreeMap<String, usize>, Vec<String>) {
    let mut folds = BTreeMap::new();
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.lines()).skip(1).filter(|(_, line)| !line.is_empty()) {
        let fold = line
            .split_once(',')
            .and_then(|(id, fold)| Some((id.trim().to_owned(), fold.trim().parse().ok()?)));
        match fold {
            None => wrong.push(format!("expected `subject,fold` in line {number}, found {line:?}")),
            Some((id, _)) if folds.contains_key(&id) => {
                wrong
                    .push(format!("expected one line per case, found {id} again in line {number}"));
            }
            Some((id, fold)) => {
                folds.insert(id, fold);
            }
        }
    }
    let missing = cases.iter().filter(|case| !folds.contains_key(&case.id));
    wrong.extend(
        missing.map(|case| format!("expected a fold for every case, found none for {}", case.id)),
    );
    let mut fold_of: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases {
        let Some(&fold) = folds.get(&case.id) else { continue };
        let first = *fold_of.entry(&case.patient).or_insert(fold);
        if first != fold {
            wrong.push(format!(
                "patient {} is in fold {first} and, with {}, in fold {fold}",
                case.patient, case.id
            ));
        }
    }
    (folds, wrong)
}

/// What would make a result of these folds worthless.
fn wrong_with(folds: &[Sides], cases: &[Case]) -> Vec<String> {
    let by_id: BTreeMap<&str, &Case> = cases.iter().map(|case| (case.id.as_str(), case)).collect();
    let mut wrong = Vec::new();
    if folds.is_empty() {
        wrong.push("expected folds, found none".to_owned());
    }
    for (number, Sides { train, val }) in folds.iter().enumerate() {
        for (name, side) in [("train", train), ("val", val)] {
            if side.is_empty() {
                wrong.push(format!("fold {number} has no case in {name:?}"));
            }
            let mut seen = BTreeSet::new();
            for id in side {
                if !by_id.contains_key(id.as_str()) {
                    wrong
                        .push(format!("fold {number} has {id} in {name:?}, which is no case here"));
                } else if !seen.insert(id) {
                    wrong.push(format!("fold {number} has {id} in {name:?} twice"));
                }
            }
        }
        let train: BTreeSet<&str> = train.iter().map(String::as_str).collect();
        let patients: BTreeMap<&str, &str> = train
            .iter()
            .filter_map(|id| by_id.get(id))
            .map(|case| (case.patient.as_str(), case.id.as_str()))
            .collect();
        for id in val.iter().collect::<BTreeSet<_>>() {
            if train.contains(id.as_str()) {
                wrong.push(format!("fold {number} has {id} in \"train\" and in \"val\""));
            } else if let Some(case) = by_id.get(id.as_str())
                && let Some(other) = patients.get(case.patient.as_str())
            {
                wrong.push(format!(
                    "fold {number} learns from {other} and holds out {id}, both of patient {}",
                    case.patient
                ));
            }
        }
    }
    wrong
}

/// Deals patients, in an order drawn from `seed`, to the folds in turn.
pub(super) fn draw(cases: &[Case], folds: usize, seed: u64) -> FixedFolds {
    let patients: BTreeSet<&str> = cases.iter().map(|case| case.patient.as_str()).collect();
    let mut order: Vec<(u64, &str)> =
        patients.into_iter().map(|patient| (drawn(seed, patient), patient)).collect();
    order.sort_unstable();
    let fold_of: BTreeMap<&str, usize> = order
        .into_iter()
        .enumerate()
        .map(|(place, (_, patient))| (patient, place % folds.max(1)))
        .collect();
    let folds = cases.iter().map(|case| (case.id.clone(), fold_of[case.patient.as_str()]));
    FixedFolds::HeldOut(folds.collect())
}

/// A number drawn from a seed and a name: FNV-1a over both.
fn drawn(seed: u64, name: &str) -> u64 {
    seed.to_le_bytes().iter().chain(name.as_bytes()).fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str) -> Case {
        let patient = id.split('_').next().unwrap().to_owned();
        Case { id: id.to_owned(), patient, ..Case::default() }
    }

    fn sides(train: &[&str], val: &[&str]) -> Sides {
        let [train, val] = [train, val].map(|ids| ids.iter().map(ToString::to_string).collect());
        Sides { train, val }
    }

    #[test]
    fn each_way_to_spoil_a_fold_is_found() {
        let cases = ["a_1", "a_2", "b_1", "c_1"].map(case);
        let wrong = |train: &[&str], val: &[&str]| wrong_with(&[sides(train, val)], &cases);
        assert_eq!(wrong(&["a_1", "a_2"], &["b_1", "c_1"]), Vec::<String>::new());
        assert_eq!(
            wrong(&["a_1", "x"], &["b_1"]),
            ["fold 0 has x in \"train\", which is no case here"]
        );
        assert_eq!(wrong(&["b_1", "b_1"], &["c_1"]), ["fold 0 has b_1 in \"train\" twice"]);
        assert_eq!(
            wrong(&["b_1", "c_1"], &["c_1"]),
            ["fold 0 has c_1 in \"train\" and in \"val\""]
        );
        assert_eq!(
            wrong(&["a_1"], &["a_2"]),
            ["fold 0 learns from a_1 and holds out a_2, both of patient a"]
        );
        assert_eq!(wrong(&["a_1"], &[]), ["fold 0 has no case in \"val\""]);
        assert_eq!(wrong_with(&[], &cases), ["expected folds, found none"]);
    }

    #[test]
    fn drawn_folds_keep_patients_together_and_cover_all() {
        let cases = ["a_1", "a_2", "b_1", "c_1", "d_1"].map(case);
        let folds = draw(&cases, 2, 7);
        let [train, val] = folds.fold(0).unwrap();
        assert_eq!(train.len() + val.len(), 5);
        assert_eq!(folds.of("a_1"), folds.of("a_2"));
        assert_eq!(folds, draw(&cases, 2, 7));
    }
}
