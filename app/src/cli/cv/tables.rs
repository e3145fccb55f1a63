//! What all folds amount to: numbers for `cv.json`, a table for people.

use std::collections::BTreeMap;

use lamina_engine::inference::TidyStep;
use lamina_engine::metrics::{Distribution, Report};
use serde::{Deserialize, Serialize};

use crate::cli::table::{Align, Table, count, number};

/// What all folds amount to, every case by the fold that never saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcomes {
    /// Cases that were measured.
    pub cases: usize,
    /// Of them, those without a usable mask, which count as Dice 0.
    pub failed: usize,
    /// The mean over the classes.
    pub mean_dice: Option<f64>,
    /// That mean in each fold.
    pub fold_mean_dice: Vec<Option<f64>>,
    /// How those are spread.
    pub folds: Option<Distribution>,
    /// Each class that is measured.
    pub classes: Vec<ClassOutcome>,
    /// Over the pixels of all cases together, where the data set is measured so: the IoU of each class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pooled_iou: BTreeMap<String, Option<f64>>,
    /// The mean of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_iou: Option<f64>,
    /// What was chosen to tidy up labels; `postprocessing.json` tells what it brings.
    pub post_processing: Vec<TidyStep>,
    /// The mean Dice once it is done, chosen without each fold and measured on it.
    pub nested_mean_dice: Option<f64>,
}

/// What all folds amount to for one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ClassOutcome {
    pub label: u8,
    pub name: String,
    /// Dice over the cases.
    pub dice: Option<Distribution>,
    /// Mean Dice of each fold.
    pub fold_dice: Vec<Option<f64>>,
    /// How those are spread.
    pub folds: Option<Distribution>,
}

impl Outcomes {
    /// The out-of-fold report of all cases, and that of each fold.
    pub fn of(all: &Report, folds: &[Report]) -> Self {
        let classes = all.summary.classes.iter().enumerate().map(|(place, class)| {
            let of_fold =
                |fold: &Report| Some(fold.summary.classes.get(place)?.dice.as_ref()?.mean);
            let fold_dice: Vec<Option<f64>> = folds.iter().map(of_fold).collect();
            ClassOutcome {
                label: class.label,
                name: class.name.clone().unwrap_or_default(),
                dice: class.dice,
                folds: Distribution::of(fold_dice.iter().copied().flatten()),
                fold_dice,
            }
        });
        let fold_mean_dice: Vec<Option<f64>> =
            folds.iter().map(|fold| fold.summary.foreground.dice).collect();
        Self {
            cases: all.summary.n_cases,
            failed: all.summary.n_failed,
            mean_dice: all.summary.foreground.dice,
            folds: Distribution::of(fold_mean_dice.iter().copied().flatten()),
            fold_mean_dice,
            classes: classes.collect(),
            pooled_iou: BTreeMap::new(),
            mean_iou: None,
            post_processing: Vec::new(),
            nested_mean_dice: None,
        }
    }

    /// As a table, a row for each class and one for their mean.
    pub fn human(&self) -> String {
        let right = |name: &str| (name.to_owned(), Align::Right);
        let mut columns = vec![("class".to_owned(), Align::Left)];
        columns.extend(["Dice", "sd of cases", "median", "cases", "sd of folds"].map(right));
        columns.extend((0..self.fold_mean_dice.len()).map(|fold| right(&format!("fold {fold}"))));
        let mut table = Table::new(columns);
        let folds = |row: &mut Vec<String>, spread: Option<Distribution>, means: &[Option<f64>]| {
            row.push(number(spread.and_then(|spread| spread.sd), 4));
            row.extend(means.iter().map(|mean| number(*mean, 4)));
        };
        for class in &self.classes {
            let mut row = vec![
                class.name.clone(),
                number(class.dice.map(|dice| dice.mean), 4),
                number(class.dice.and_then(|dice| dice.sd), 4),
                number(class.dice.map(|dice| dice.median), 4),
                class.dice.map_or(0, |dice| dice.n).to_string(),
            ];
            folds(&mut row, class.folds, &class.fold_dice);
            table.row(row);
        }
        if self.classes.len() > 1 {
            let mut row = vec!["mean".to_owned(), number(self.mean_dice, 4)];
            row.extend(std::iter::repeat_n(String::new(), 3));
            folds(&mut row, self.folds, &self.fold_mean_dice);
            table.rule();
            table.row(row);
        }
        let mut lines = vec![table.render().trim_end().to_owned()];
        let cases = count(self.cases, "case");
        lines.push(format!("\n{cases}, each by the fold that never saw it"));
        if let Some(mean) = self.mean_iou {
            let classes = self.pooled_iou.iter();
            let classes = classes.map(|(name, iou)| format!("{name} {}", number(*iou, 4)));
            lines.push(format!(
                "IoU over the pixels of all: mean {}; {}",
                number(Some(mean), 4),
                classes.collect::<Vec<_>>().join(", ")
            ));
        }
        if self.failed > 0 {
            lines.push(format!("{} of them failed and count as Dice 0", self.failed));
        }
        lines.join("\n")
    }
}
