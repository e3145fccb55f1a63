//! The worklist: many cases with their labels, how risky each is, and what was decided of it.
//!
//! Plain data and its order. Folders are looked through in `scan.rs`, decisions kept in
//! `decisions.rs`, cases measured in `measure.rs`.

pub mod decisions;
pub mod measure;
pub mod scan;

use std::cmp::Ordering;
use std::path::PathBuf;

pub use decisions::Decision;
pub use scan::Sources;

/// What the user wants of a worklist.
#[derive(Debug, Clone, PartialEq)]
pub enum ListCommand {
    /// Choose a folder of results.
    Choose,
    /// List this one.
    Open(PathBuf),
    /// Choose where the images are.
    ChooseImages,
    /// Choose where the references are.
    ChooseReferences,
    /// The images are here.
    Images(PathBuf),
    /// The references are here.
    References(PathBuf),
    /// Sort by a column, or the other way round.
    Sort(Column),
    /// List only what is still to do, or all.
    OnlyToDo(bool),
    /// Open the next case of the table.
    Next,
    /// Open the one before.
    Previous,
    /// Open the case at this place.
    Go(usize),
    /// Its labels are good.
    Accept,
    /// Somebody should look again.
    Flag,
    /// Save the labels of the open case beside those that it came with, then do what was asked.
    SaveAndGoOn,
    /// Take the list away.
    Close,
}

/// How much of one class a case has.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassAmount {
    /// The label.
    pub label: u8,
    /// What it is called.
    pub name: String,
    /// How much that is, where the spacing is known.
    pub volume_ml: Option<f64>,
    /// How many voxels.
    pub voxels: u64,
}

/// What is known of the Dice of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Score {
    /// There is no reference.
    NoReference,
    /// It was not measured yet.
    Waiting,
    /// Mean over the classes that either side has; `None` where neither has any.
    Dice(Option<f64>),
    /// It could not be measured, and why.
    Failed(String),
}

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it is called, as in the folder.
    pub name: String,
    /// Its labels as the model, or whoever, made them.
    pub labels: PathBuf,
    /// Its labels as they were corrected here.
    pub corrected: Option<PathBuf>,
    /// Its image.
    pub image: Option<PathBuf>,
    /// Its reference.
    pub reference: Option<PathBuf>,
    /// How unsure the model was of it, from its record.
    pub risk: Option<f64>,
    /// Slices that are doubtful, of how many.
    pub doubtful: Option<(usize, usize)>,
    /// The model that made the labels.
    pub model: Option<String>,
    /// Hash of the image that the labels were made of.
    pub image_sha256: Option<String>,
    /// How much there is of each class; empty until it is known.
    pub amounts: Vec<ClassAmount>,
    /// How well it agrees with its reference.
    pub score: Score,
    /// What was decided.
    pub decision: Decision,
}

impl Case {
    /// The labels to show: corrected ones where there are any.
    pub fn shown_labels(&self) -> &PathBuf {
        self.corrected.as_ref().unwrap_or(&self.labels)
    }

    /// How much of a label there is.
    pub fn amount(&self, label: u8) -> Option<&ClassAmount> {
        self.amounts.iter().find(|amount| amount.label == label)
    }

    fn dice(&self) -> Option<f64> {
        match self.score {
            Score::Dice(dice) => dice,
            _ => None,
        }
    }
}

/// A column that the table can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    /// By what was decided: to do, flagged, accepted.
    Decision,
    /// By name.
    Case,
    /// By risk.
    Risk,
    /// By Dice.
    Dice,
    /// By how much there is of a label.
    Amount(u8),
}

impl Column {
    /// Whether the first click puts the largest first.
    pub fn begins_with_largest(self) -> bool {
        matches!(self, Self::Risk | Self::Amount(_))
    }
}

/// The cases of a folder, in the order that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Worklist {
    /// Where they are from.
    pub sources: Sources,
    /// All cases, by name.
    pub cases: Vec<Case>,
    /// Labels that occur, with their names: one column each.
    pub classes: Vec<(u8, String)>,
    /// Places in `cases`, in the order of the table.
    pub order: Vec<usize>,
    /// What they are sorted by, and whether the largest comes first.
    pub sorted_by: (Column, bool),
    /// The place in `cases` of the one that is open.
    pub current: Option<usize>,
    /// Whether only what is still to do is listed.
    pub only_to_do: bool,
}

impl Worklist {
    /// A list of these cases, the riskiest first where risks are known.
    pub fn new(sources: Sources, mut cases: Vec<Case>) -> Self {
        cases.sort_by(|a, b| natural(&a.name, &b.name));
        let has_risk = cases.iter().any(|case| case.risk.is_some());
        let sorted_by = if has_risk { (Column::Risk, true) } else { (Column::Case, false) };
        let mut list = Self {
            sources,
            cases,
            classes: Vec::new(),
            order: Vec::new(),
            sorted_by,
            current: None,
            only_to_do: false,
        };
        list.name_classes();
        list.sort();
        list
    }

    /// Gathers the labels that cases have.
    pub fn name_classes(&mut self) {
        let mut classes: Vec<(u8, String)> = Vec::new();
        for amount in self.cases.iter().flat_map(|case| &case.amounts) {
            if !classes.iter().any(|(label, _)| *label == amount.label) {
                classes.push((amount.label, amount.name.clone()));
            }
        }
        classes.sort();
        self.classes = classes;
    }

    /// Sorts by a column, the other way round where it is that one already.
    pub fn sort_by(&mut self, column: Column) {
        let (before, descending) = self.sorted_by;
        let turned = if before == column { !descending } else { column.begins_with_largest() };
        self.sorted_by = (column, turned);
        self.sort();
    }

    /// Puts the cases in order again; what has no number comes last, and equals by name.
    pub fn sort(&mut self) {
        let (column, descending) = self.sorted_by;
        let cases = &self.cases;
        let number = |place: usize| -> Option<f64> {
            let case = &cases[place];
            match column {
                Column::Case => None,
                Column::Decision => Some(f64::from(case.decision.rank())),
                Column::Risk => case.risk,
                Column::Dice => case.dice(),
                Column::Amount(label) => {
                    let amount = case.amount(label)?;
                    Some(amount.volume_ml.unwrap_or(amount.voxels as f64))
                }
            }
        };
        let turn = |order: Ordering| if descending { order.reverse() } else { order };
        let mut order: Vec<usize> = (0..cases.len())
            .filter(|&place| {
                let open = self.current == Some(place);
                !self.only_to_do || open || cases[place].decision == Decision::ToDo
            })
            .collect();
        // Cases are sorted by name, so that places are as good as names.
        order.sort_by(|&a, &b| match (number(a), number(b)) {
            (Some(x), Some(y)) => turn(x.total_cmp(&y)).then(a.cmp(&b)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) if column == Column::Case => turn(a.cmp(&b)),
            (None, None) => a.cmp(&b),
        });
        self.order = order;
    }

    /// The case after or before the open one in the table; the first where none is open.
    pub fn neighbor(&self, forwards: bool) -> Option<usize> {
        let Some(current) = self.current else { return self.order.first().copied() };
        let row = self.order.iter().position(|&place| place == current);
        let Some(row) = row else { return self.order.first().copied() };
        let to = if forwards { row.checked_add(1) } else { row.checked_sub(1) };
        self.order.get(to?).copied()
    }

    /// The case that is open.
    pub fn open_case(&self) -> Option<&Case> {
        self.cases.get(self.current?)
    }

    /// How many cases were decided in which way: to do, accepted, flagged.
    pub fn counts(&self) -> [usize; 3] {
        let count = |decision| self.cases.iter().filter(|case| case.decision == decision).count();
        [Decision::ToDo, Decision::Accepted, Decision::Flagged].map(count)
    }
}

/// Names in the order that people expect: case 2 before case 10.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.chars().peekable(), b.chars().peekable());
    loop {
        match (left.peek().copied(), right.peek().copied()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let digits = |text: &mut std::iter::Peekable<std::str::Chars<'_>>| {
                    let mut number = String::new();
                    while let Some(digit) = text.next_if(char::is_ascii_digit) {
                        number.push(digit);
                    }
                    number
                };
                let (x, y) = (digits(&mut left), digits(&mut right));
                let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
                match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
                    Ordering::Equal => {}
                    other => return other,
                }
            }
            (Some(x), Some(y)) => match x.cmp(&y) {
                Ordering::Equal => {
                    left.next();
                    right.next();
                }
                other => return other,
            },
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;

    pub(crate) fn case(name: &str, risk: Option<f64>, dice: Option<f64>) -> Case {
        Case {
            name: name.to_owned(),
            labels: Path::new("results").join(format!("{name}.nii.gz")),
            corrected: None,
            image: None,
            reference: None,
            risk,
            doubtful: None,
            model: None,
            image_sha256: None,
            amounts: Vec::new(),
            score: dice.map_or(Score::NoReference, |dice| Score::Dice(Some(dice))),
            decision: Decision::ToDo,
        }
    }

    fn list() -> Worklist {
        let mut cases = vec![
            case("case10", Some(0.2), None),
            case("case2", None, Some(0.5)),
            case("case1", Some(0.4), Some(0.9)),
            case("case3", Some(0.2), Some(0.7)),
        ];
        cases[3].amounts =
            vec![ClassAmount { label: 2, name: "x".into(), volume_ml: None, voxels: 9 }];
        Worklist::new(Sources::default(), cases)
    }

    fn names(list: &Worklist) -> Vec<&str> {
        list.order.iter().map(|&place| list.cases[place].name.as_str()).collect()
    }

    #[test]
    fn the_riskiest_come_first_and_what_has_no_risk_last() {
        let mut list = list();
        assert_eq!(names(&list), ["case1", "case3", "case10", "case2"]);
        list.sort_by(Column::Risk); // the other way round
        assert_eq!(names(&list), ["case3", "case10", "case1", "case2"]);
    }

    #[test]
    fn every_column_sorts() {
        let mut list = list();
        assert_eq!(list.classes, [(2, "x".to_owned())]);
        list.sort_by(Column::Dice); // the worst first
        assert_eq!(names(&list), ["case2", "case3", "case1", "case10"]);
        list.sort_by(Column::Case);
        assert_eq!(names(&list), ["case1", "case2", "case3", "case10"]);
        list.sort_by(Column::Case);
        assert_eq!(names(&list), ["case10", "case3", "case2", "case1"]);
        list.sort_by(Column::Amount(2));
        assert_eq!(names(&list)[0], "case3");
        list.cases[1].decision = Decision::Accepted;
        list.cases[3].decision = Decision::Flagged;
        list.sort_by(Column::Decision);
        assert_eq!(names(&list), ["case1", "case3", "case10", "case2"]);
    }

    #[test]
    fn going_on_follows_the_table_and_ends_with_it() {
        let mut list = list();
        let mut seen = Vec::new();
        while let Some(next) = list.neighbor(true) {
            list.current = Some(next);
            seen.push(list.cases[next].name.clone());
        }
        assert_eq!(seen, ["case1", "case3", "case10", "case2"]);
        list.current = list.neighbor(false);
        assert_eq!(list.open_case().unwrap().name, "case10");
    }

    #[test]
    fn what_is_decided_can_be_left_out_but_for_the_open_case() {
        let mut list = list();
        list.cases[0].decision = Decision::Accepted; // case1
        list.cases[1].decision = Decision::Flagged; // case2
        list.current = Some(1);
        list.only_to_do = true;
        list.sort();
        assert_eq!(names(&list), ["case3", "case10", "case2"]);
        assert_eq!(list.counts(), [2, 1, 1]);
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["b", "a10", "a9", "a09b", "a", "a9b"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["a", "a9", "a09b", "a9b", "a10", "b"]);
    }

    #[test]
    fn ten_thousand_cases_are_sorted_in_no_time() {
        let cases = (0..10_000)
            .map(|number| case(&format!("case{number}"), Some(f64::from(number % 97)), None))
            .collect();
        let mut list = Worklist::new(Sources::default(), cases);
        let began = std::time::Instant::now();
        list.sort_by(Column::Case);
        list.sort_by(Column::Risk);
        assert!(began.elapsed().as_millis() < 500, "{:?}", began.elapsed());
        assert_eq!(list.cases[list.order[0]].name, "case96");
        assert_eq!(list.cases[list.order[1]].name, "case193");
    }
}
