//! Which cases are learned from and which are held out: drawn over patients or over groups of them,
//! or fixed by a file.
//!
//! Files are a CSV table with a fold for each case, or nnU-Net's `splits_final.json`, a list with
//! the names of both sides for each fold, which is written too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Case, DatasetError};

/// How folds are drawn where no file fixes them: `5`, or `"leave_one_group_out"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folds {
    /// So many, of whole groups.
    Number(usize),
    /// One for each group, in the order of their names.
    LeaveOneGroupOut,
}

/// How files say [`Folds::LeaveOneGroupOut`].
const LEAVE_ONE_GROUP_OUT: &str = "leave_one_group_out";

impl From<usize> for Folds {
    fn from(folds: usize) -> Self {
        Self::Number(folds)
    }
}

impl std::fmt::Display for Folds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(folds) => write!(f, "{folds}"),
            Self::LeaveOneGroupOut => f.write_str(LEAVE_ONE_GROUP_OUT),
        }
    }
}

impl std::str::FromStr for Folds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == LEAVE_ONE_GROUP_OUT => Ok(Self::LeaveOneGroupOut),
            Ok(folds) if folds >= 2 => Ok(Self::Number(folds)),
            _ => Err(format!("expected 2 or more folds, or {LEAVE_ONE_GROUP_OUT}")),
        }
    }
}

impl Serialize for Folds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(folds) => serializer.serialize_u64(*folds as u64),
            Self::LeaveOneGroupOut => serializer.serialize_str(LEAVE_ONE_GROUP_OUT),
        }
    }
}

impl<'de> Deserialize<'de> for Folds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Folds;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a number of folds or {LEAVE_ONE_GROUP_OUT:?}")
            }

            fn visit_u64<E: serde::de::Error>(self, folds: u64) -> Result<Folds, E> {
                usize::try_from(folds).map(Folds::Number).map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, folds: i64) -> Result<Folds, E> {
                usize::try_from(folds).map(Folds::Number).map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Folds, E> {
                if text == LEAVE_ONE_GROUP_OUT {
                    return Ok(Folds::LeaveOneGroupOut);
                }
                Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

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
    for kind in KINDS {
        let mut fold_of: BTreeMap<&str, usize> = BTreeMap::new();
        for case in cases.iter().filter(|case| kind == "patient" || case.group.is_some()) {
            let Some(&fold) = folds.get(&case.id) else { continue };
            let name = unit(case, kind);
            let first = *fold_of.entry(name).or_insert(fold);
            if first != fold {
                wrong.push(format!(
                    "{kind} {name} is in fold {first} and, with {}, in fold {fold}",
                    case.id
                ));
            }
        }
    }
    (folds, wrong)
}

/// What must not be on both sides of a fold.
const KINDS: [&str; 2] = ["patient", "group"];

/// Whom a case shows, or the group that it belongs to.
fn unit<'a>(case: &'a Case, kind: &str) -> &'a str {
    if kind == "group" { case.group() } else { &case.patient }
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
        let units = |kind: &'static str| -> BTreeMap<&str, &str> {
            let cases = train.iter().filter_map(|id| by_id.get(id));
            cases.map(|case| (unit(case, kind), case.id.as_str())).collect()
        };
        let (patients, groups) = (units("patient"), units("group"));
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
            } else if let Some(case) = by_id.get(id.as_str()).filter(|case| case.group.is_some())
                && let Some(other) = groups.get(case.group())
            {
                wrong.push(format!(
                    "fold {number} learns from {other} and holds out {id}, both of group {}",
                    case.group()
                ));
            }
        }
    }
    wrong
}

/// Draws folds from `seed`. Patients are dealt to the folds in turn, in a drawn order; groups, which
/// differ in size, the largest first and each to the fold that has the fewest cases.
pub(super) fn draw(cases: &[Case], folds: Folds, seed: u64) -> FixedFolds {
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases {
        *sizes.entry(case.group()).or_default() += 1;
    }
    let Folds::Number(folds) = folds else {
        let fold_of: BTreeMap<&str, usize> = sizes.into_keys().zip(0..).collect();
        return held_out(cases, &fold_of);
    };
    let mut order: Vec<(u64, &str)> =
        sizes.keys().map(|group| (drawn(seed, group), *group)).collect();
    order.sort_unstable();
    let mut fold_of: BTreeMap<&str, usize> = BTreeMap::new();
    if cases.iter().all(|case| case.group.is_none()) {
        fold_of.extend(order.iter().enumerate().map(|(at, (_, who))| (*who, at % folds.max(1))));
    } else {
        order.sort_by_key(|(_, group)| std::cmp::Reverse(sizes[group])); // of equals, as drawn
        let mut filled = vec![0; folds.max(1)];
        for (_, group) in order {
            let fold = (0..filled.len()).min_by_key(|fold| filled[*fold]).unwrap_or(0);
            filled[fold] += sizes[group];
            fold_of.insert(group, fold);
        }
    }
    held_out(cases, &fold_of)
}

fn held_out(cases: &[Case], fold_of: &BTreeMap<&str, usize>) -> FixedFolds {
    let folds = cases.iter().map(|case| (case.id.clone(), fold_of[case.group()]));
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
        let folds = draw(&cases, Folds::Number(2), 7);
        let [train, val] = folds.fold(0).unwrap();
        assert_eq!(train.len() + val.len(), 5);
        assert_eq!(folds.of("a_1"), folds.of("a_2"));
        assert_eq!(folds, draw(&cases, Folds::Number(2), 7));
    }

    fn grouped(id: &str, group: &str) -> Case {
        Case { group: Some(group.to_owned()), ..case(id) }
    }

    #[test]
    fn groups_are_kept_together_and_folds_even() {
        // Sites of 4, 2, 1 and 1 cases.
        let ids = ["a_1", "b_1", "c_1", "d_1", "e_1", "e_2", "f_1", "g_1"];
        let sites = ["w", "w", "w", "w", "x", "x", "y", "z"];
        let cases: Vec<Case> = ids.iter().zip(sites).map(|(id, site)| grouped(id, site)).collect();
        for seed in 0..20 {
            let folds = draw(&cases, Folds::Number(2), seed);
            let [train, val] = folds.fold(0).unwrap();
            assert_eq!([train.len(), val.len()], [4, 4]);
            let big = folds.of("a_1");
            assert!(["b_1", "c_1", "d_1"].iter().all(|id| folds.of(id) == big));
        }
        let folds = draw(&cases, Folds::LeaveOneGroupOut, 0);
        assert_eq!(folds.last(), 3);
        let [_, val] = folds.fold(1).unwrap();
        assert_eq!(val.into_iter().collect::<Vec<_>>(), ["e_1", "e_2"]);
    }

    #[test]
    fn a_patient_is_a_group_where_no_other_is_named() {
        let cases = ["a_1", "a_2", "b_1", "c_1"].map(case);
        let folds = draw(&cases, Folds::LeaveOneGroupOut, 0);
        assert_eq!((folds.of("a_1"), folds.of("a_2"), folds.last()), (vec![0], vec![0], 2));
    }

    #[test]
    fn a_group_on_both_sides_is_found_in_files() {
        let cases = [grouped("a_1", "x"), grouped("b_1", "x"), grouped("c_1", "y")];
        assert_eq!(
            wrong_with(&[sides(&["a_1"], &["b_1"])], &cases),
            ["fold 0 learns from a_1 and holds out b_1, both of group x"]
        );
        let (_, wrong) = from_csv("subject,fold\na_1,0\nb_1,1\nc_1,1\n", &cases);
        assert_eq!(wrong, ["group x is in fold 0 and, with b_1, in fold 1"]);
    }

    #[test]
    fn folds_are_a_number_or_one_for_each_group() {
        let read = |text: &str| serde_json::from_str::<Folds>(text).map_err(|e| e.to_string());
        assert_eq!(read("5"), Ok(Folds::Number(5)));
        assert_eq!(read("\"leave_one_group_out\""), Ok(Folds::LeaveOneGroupOut));
        assert_eq!(
            serde_json::to_string(&Folds::LeaveOneGroupOut).unwrap(),
            "\"leave_one_group_out\""
        );
        assert!(read("\"all\"").unwrap_err().contains("a number of folds or"));
        assert_eq!("3".parse(), Ok(Folds::Number(3)));
        assert!("1".parse::<Folds>().is_err());
    }
}
