//! Data sets: facts in a TOML file, cases in sorted order, folds over patients.
//!
//! Reading the voxels of a case is left to [`read_volume`](crate::read_volume) and
//! [`read_labels`](crate::read_labels); nothing here opens an image.

mod check;
mod pairs;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use check::{CaseCheck, CheckedClass, DatasetCheck, Problem, check_case, summarize};
pub use pairs::{Pairs, guess_folders};
pub use values::LabelTable;

/// Why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The folder or a file of the data set cannot be read.
    #[error("cannot read: {path}")]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },

    /// The description does not parse.
    #[error("cannot parse this data set description: {message}: {path}")]
    Parse {
        /// The parser's message with line and column.
        message: String,
        /// The description.
        path: PathBuf,
    },

    /// The data are not what the description says.
    #[error("{message}: {path}")]
    Content {
        /// What was expected and what was found.
        message: String,
        /// The folder or file.
        path: PathBuf,
    },
}

/// A class of a data set; its label is its place in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// What the label stands for.
    pub name: String,
    /// Red, green, blue.
    pub color: [u8; 3],
    /// What label files say for it, where that is not its place in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<u8>,
}

/// Facts about a data set: `configs/datasets/<name>.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// Short name; experiments refer to it.
    pub name: String,
    /// What it is, for people.
    pub title: String,
    /// `mr`, `ct`, …
    pub modality: String,
    /// License of the data.
    pub license: String,
    /// Where the data come from.
    pub source: String,
    /// The data set's folder below the data folder.
    pub folder: String,
    /// Folder of the images, below `folder`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub images: String,
    /// Folder of the label volumes, below `folder`; same names as the images.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub labels: String,
    /// What stands between a case's id and the ending of its image, such as `_0000`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_suffix: String,
    /// What stands between a case's id and the ending of its labels, such as `_segmentation`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label_suffix: String,
    /// Whether images and labels lie in folders below theirs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recursive: bool,
    /// In place of both folders: files below `folder` with an image and its labels in each line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<String>,
    /// CSV file `subject,fold` below `folder`; without it folds are drawn over patients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<String>,
    /// A case's patient is its id up to the first such separator; without it, the whole id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_separator: Option<String>,
    /// Values in label files that stand for no class: what lies there is neither learned nor
    /// measured. 255 always is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<u8>,
    /// The classes, background first.
    pub classes: Vec<Class>,
}

impl DatasetConfig {
    /// Reads a description.
    ///
    /// # Errors
    /// [`DatasetError::Read`] or [`DatasetError::Parse`] with the place in the file.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| DatasetError::Read { path: path.to_path_buf(), source })?;
        let config: Self = toml::from_str(&text).map_err(|error| DatasetError::Parse {
            message: error.to_string().trim_end().to_owned(),
            path: path.to_path_buf(),
        })?;
        let refuse =
            |message: String| Err(DatasetError::Content { message, path: path.to_path_buf() });
        let found = config.classes.len();
        if !(2..=255).contains(&found) {
            return refuse(format!("expected 2 to 255 classes, background first, found {found}"));
        }
        if let Some(value) = LabelTable::ambiguous(&config) {
            return refuse(format!("expected one meaning for each value, found more for {value}"));
        }
        let mut names = BTreeSet::new();
        if let Some(class) = config.classes.iter().find(|class| !names.insert(&class.name)) {
            return refuse(format!("expected a name for each class, found {:?} twice", class.name));
        }
        match (config.lists.is_empty(), config.images.is_empty() || config.labels.is_empty()) {
            (true, true) => {
                refuse("expected `images` and `labels`, or `lists`, found neither".to_owned())
            }
            (false, false) => {
                refuse("expected `images` and `labels`, or `lists`, found both".to_owned())
            }
            _ => Ok(config),
        }
    }
}

impl DatasetConfig {
    /// Whom the case `id` shows.
    pub fn patient(&self, id: &str) -> String {
        match &self.patient_separator {
            Some(separator) => id.split(separator.as_str()).next().unwrap_or(id).to_owned(),
            None => id.to_owned(),
        }
    }

    /// Cases of pairs, sorted by id.
    pub fn cases(&self, pairs: BTreeMap<String, [PathBuf; 2]>) -> Vec<Case> {
        let table = LabelTable::of(self);
        let case = |(id, [image, labels]): (String, [PathBuf; 2])| Case {
            patient: self.patient(&id),
            id,
            image,
            labels,
            table: table.clone(),
        };
        pairs.into_iter().map(case).collect()
    }
}

/// One training unit: an image with its reference labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The name of its files without endings.
    pub id: String,
    /// Whom it shows.
    pub patient: String,
    /// The image.
    pub image: PathBuf,
    /// The reference labels.
    pub labels: PathBuf,
    /// Which label each value in their file stands for, where the file has others.
    pub table: Option<LabelTable>,
}

/// A data set on disk, its cases sorted by id.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Its facts.
    pub config: DatasetConfig,
    /// The folder that holds it.
    pub folder: PathBuf,
    /// Its cases.
    pub cases: Vec<Case>,
    /// Fold of each case, where a file fixes them.
    fixed_folds: Option<BTreeMap<String, usize>>,
}

/// The cases of one fold: held out, and the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Cases to learn from.
    pub training: Vec<Case>,
    /// Cases to measure on, of other patients.
    pub validation: Vec<Case>,
}

impl Dataset {
    /// Finds the cases of `config` below `data`.
    ///
    /// # Errors
    /// [`DatasetError`] when a folder cannot be read, an image has no labels or labels no
    /// image, or the fold file does not name every case.
    pub fn open(config: DatasetConfig, data: &Path) -> Result<Self, DatasetError> {
        let folder = data.join(&config.folder);
        let Pairs { pairs, lonely } = Pairs::find(&config, &folder)?;
        if let Some(Problem { message, path, .. }) = lonely.into_iter().next() {
            return Err(DatasetError::Content { message, path });
        }
        if pairs.is_empty() {
            let message = "expected images, found none".to_owned();
            return Err(DatasetError::Content { message, path: folder.join(&config.images) });
        }
        let cases = config.cases(pairs);
        let fixed_folds = match &config.folds {
            Some(name) => Some(read_folds(&folder.join(name), &cases)?),
            None => None,
        };
        Ok(Self { config, folder, cases, fixed_folds })
    }

    /// The cases of `fold`, counted from 0, held out, and the rest to learn from.
    ///
    /// # Errors
    /// [`DatasetError::Content`] when there is no such fold, when one side would be empty,
    /// or when a patient would be on both sides.
    pub fn split(&self, fold: usize, folds: usize, seed: u64) -> Result<Split, DatasetError> {
        let refuse = |message: String| DatasetError::Content { message, path: self.folder.clone() };
        let fold_of = match &self.fixed_folds {
            Some(fixed) => fixed.clone(),
            None => self.draw_folds(folds, seed),
        };
        let (validation, training): (Vec<Case>, Vec<Case>) =
            self.cases.iter().cloned().partition(|case| fold_of[&case.id] == fold);
        if validation.is_empty() || training.is_empty() {
            let last = fold_of.values().max().copied().unwrap_or(0);
            return Err(refuse(format!(
                "expected a fold from 0 to {last} with cases in it and outside, found fold {fold}"
            )));
        }
        let patients = |cases: &[Case]| -> BTreeSet<String> {
            cases.iter().map(|case| case.patient.clone()).collect()
        };
        if let Some(patient) = patients(&validation).intersection(&patients(&training)).next() {
            return Err(refuse(format!("patient {patient} is on both sides of fold {fold}")));
        }
        Ok(Split { training, validation })
    }

    /// Deals patients, in an order drawn from `seed`, to the folds in turn.
    fn draw_folds(&self, folds: usize, seed: u64) -> BTreeMap<String, usize> {
        let patients: BTreeSet<&str> =
            self.cases.iter().map(|case| case.patient.as_str()).collect();
        let mut order: Vec<(u64, &str)> =
            patients.into_iter().map(|patient| (drawn(seed, patient), patient)).collect();
        order.sort_unstable();
        let fold_of: BTreeMap<&str, usize> = order
            .into_iter()
            .enumerate()
            .map(|(place, (_, patient))| (patient, place % folds.max(1)))
            .collect();
        self.cases.iter().map(|case| (case.id.clone(), fold_of[case.patient.as_str()])).collect()
    }
}

/// A number drawn from a seed and a name: FNV-1a over both.
fn drawn(seed: u64, name: &str) -> u64 {
    seed.to_le_bytes().iter().chain(name.as_bytes()).fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

fn read_folds(path: &Path, cases: &[Case]) -> Result<BTreeMap<String, usize>, DatasetError> {
    let refuse = |message: String| DatasetError::Content { message, path: path.to_path_buf() };
    let text = std::fs::read_to_string(path)
        .map_err(|source| DatasetError::Read { path: path.to_path_buf(), source })?;
    let mut folds = BTreeMap::new();
    for (number, line) in text.lines().enumerate().skip(1).filter(|(_, line)| !line.is_empty()) {
        let fold = line
            .split_once(',')
            .and_then(|(id, fold)| Some((id.trim().to_owned(), fold.trim().parse().ok()?)));
        let Some((id, fold)) = fold else {
            let number = number + 1;
            return Err(refuse(format!(
                "expected `subject,fold` in line {number}, found {line:?}"
            )));
        };
        if folds.contains_key(&id) {
            let number = number + 1;
            return Err(refuse(format!(
                "expected one line per case, found {id} again in line {number}"
            )));
        }
        folds.insert(id, fold);
    }
    match cases.iter().find(|case| !folds.contains_key(&case.id)) {
        Some(case) => {
            Err(refuse(format!("expected a fold for every case, found none for {}", case.id)))
        }
        None => Ok(folds),
    }
}
