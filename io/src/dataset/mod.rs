//! Data sets: facts in a TOML file, cases in sorted order, folds over patients.
//!
//! Reading the voxels of a case is left to [`read_volume`] and
//! [`read_labels`](crate::read_labels); nothing here opens an image.

mod check;
mod decathlon;
mod folds;
mod groups;
mod json;
mod likeness;
mod pairs;
mod summary;
mod value_names;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codes::SegmentCodes;
use crate::color::{CaseImage, Channels, read_image};
use crate::error::VolumeError;
use crate::picture::LabelColors;
use crate::read::{ReadOptions, read_volume};
use crate::volume::Volume;
use folds::FixedFolds;

pub use check::{CaseCheck, Problem, check_case};
pub use folds::{Folds, Sides};
pub use json::Layout;
pub use pairs::{Channel, Files, Pairs, guess_folders};
pub use summary::{
    CheckedClass, CheckedPart, DatasetCheck, LookAlike, Spread, look_alikes, summarize,
};
pub use values::{LabelTable, LabelValues, WideValue};

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
    pub value: Option<u16>,
    /// What it is called in coding schemes, for DICOM segmentations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<SegmentCodes>,
}

/// By which one number predictions on a data set are measured. The two are never mixed: a mean over
/// cases answers how well a patient is served, a pooled one how well a picture's pixels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Dice of each foreground class in each case, then the mean over cases, then over classes:
    /// what is usual for volumes.
    #[default]
    CaseDice,
    /// IoU of each class, the first one too, over the pixels of all cases together, then the mean
    /// over classes: what is usual for street scenes.
    PooledIou,
}

impl Measure {
    /// What it is called beside a number: `Dice` or `IoU`.
    pub fn name(self) -> &'static str {
        match self {
            Self::CaseDice => "Dice",
            Self::PooledIou => "IoU",
        }
    }

    /// What the mean over classes is called: `mean Dice` or `mIoU`.
    pub fn mean_name(self) -> &'static str {
        match self {
            Self::CaseDice => "mean Dice",
            Self::PooledIou => "mIoU",
        }
    }

    /// The first label that it takes a mean over.
    pub fn first_label(self) -> u8 {
        match self {
            Self::CaseDice => 1,
            Self::PooledIou => 0,
        }
    }
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
    /// By which number predictions are measured. Where nothing is said, color pictures by the
    /// pooled IoU, everything else by the Dice of each case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measure>,
    /// License of the data.
    pub license: String,
    /// Where the data come from.
    pub source: String,
    /// The data set's folder below the data folder.
    pub folder: String,
    /// Whose layout it has. Where neither this nor any folder or list is named, `dataset.json` in
    /// the folder says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Which of several channels is read, by its name or number in `dataset.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
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
    /// Files below `folder` with an image and its labels in each line; beside both folders, with
    /// the name of a case. Each is a part of the data set, called after the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<String>,
    /// CSV file `subject,fold` below `folder`, or `splits_final.json` of nnU-Net; without it folds
    /// are drawn over patients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<String>,
    /// A case's patient is its id up to the first such separator; without it, the whole id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_separator: Option<String>,
    /// CSV file `case,group` below `folder`, of cases or of patients: folds are drawn over groups,
    /// such as the sites of a study, and no group is on both sides of one. Without it and a
    /// `group_pattern`, each patient is a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<String>,
    /// A regular expression whose first group, or else whose match, in the id of a case is the
    /// case's group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_pattern: Option<String>,
    /// Values in label files that stand for no class: what lies there is neither learned nor
    /// measured. 255 is one too, unless it is the value of a class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<u16>,
    /// File below `folder` that names the values in label files, `1: accordion` in each line: a
    /// class without a `value` has that of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_names: Option<String>,
    /// What the other names in that file stand for: the name of a class, or `ignored`. Without it
    /// their values stand for no class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_names: Option<String>,
    /// The values of the other names, once that file is read.
    #[serde(skip)]
    pub other_values: Vec<u16>,
    /// Whether label files are pictures in the colors of the classes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub colored_labels: bool,
    /// Colors in such pictures that stand for no class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored_colors: Vec<[u8; 3]>,
    /// Pairs of classes of which the first has more voxels in the whole data set than the second:
    /// where that is not so, values may have been taken for those of another order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_common: Vec<[String; 2]>,
    /// The classes, background first; where `dataset.json` has them they need not be here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
        let wrong = if config.says_dataset_json() && config.classes.is_empty() {
            None
        } else {
            config.wrong_with_classes()
        };
        match wrong.or_else(|| config.wrong_with_places()).or_else(|| value_names::wrong(&config)) {
            Some(message) => Err(DatasetError::Content { message, path: path.to_path_buf() }),
            None => Ok(config),
        }
    }

    /// By which number predictions are measured.
    pub fn measure(&self) -> Measure {
        let of_modality =
            if self.modality == "rgb" { Measure::PooledIou } else { Measure::CaseDice };
        self.measure.unwrap_or(of_modality)
    }

    /// Whether `dataset.json` in the folder says which files there are.
    fn says_dataset_json(&self) -> bool {
        let named = !self.images.is_empty() || !self.labels.is_empty() || !self.lists.is_empty();
        self.layout.is_some() || !named
    }

    fn wrong_with_classes(&self) -> Option<String> {
        let found = self.classes.len();
        if !(2..=255).contains(&found) {
            return Some(format!("expected 2 to 255 classes, background first, found {found}"));
        }
        if let Some(value) = LabelTable::ambiguous(self) {
            return Some(format!("expected one meaning for each value, found more for {value}"));
        }
        if self.colored_labels
            && let Some([r, g, b]) = values::ambiguous_color(self)
        {
            return Some(format!(
                "expected one meaning for each color, found more for [{r}, {g}, {b}]"
            ));
        }
        let known = |name: &&String| self.classes.iter().any(|class| class.name == **name);
        if let Some(name) = self.more_common.iter().flatten().find(|name| !known(name)) {
            return Some(format!("expected names of classes in `more_common`, found {name:?}"));
        }
        for class in &self.classes {
            if let Some(Err(found)) = class.codes.as_ref().map(SegmentCodes::check) {
                return Some(format!("class {:?}: {found}", class.name));
            }
        }
        let mut names = BTreeSet::new();
        let twice = self.classes.iter().find(|class| !names.insert(&class.name))?;
        Some(format!("expected a name for each class, found {:?} twice", twice.name))
    }

    fn wrong_with_places(&self) -> Option<String> {
        let folders = [&self.images, &self.labels].map(|folder| !folder.is_empty());
        if let Some(layout) = self.layout
            && (folders != [false; 2] || !self.lists.is_empty())
        {
            let layout = layout.name();
            return Some(format!(
                "expected `layout` or `images`, `labels` and `lists`, found {layout:?} and others"
            ));
        }
        match folders {
            [true, false] => Some("expected `labels` beside `images`, found none".to_owned()),
            [false, true] => Some("expected `images` beside `labels`, found none".to_owned()),
            _ if self.channel.is_some() && !self.says_dataset_json() => {
                Some("expected `channel` where dataset.json has names for them".to_owned())
            }
            _ => None,
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

    /// Cases of the files that were found, sorted by id.
    pub fn cases(&self, files: BTreeMap<String, Files>) -> Vec<Case> {
        let colors = values::colors(self);
        let table = if colors.is_some() { None } else { LabelTable::of(self) };
        let case = |(id, files): (String, Files)| Case {
            patient: self.patient(&id),
            group: None,
            id,
            image: files.image.path,
            volume: files.image.volume,
            channels: files.channels,
            labels: files.labels,
            part: files.part,
            table: table.clone(),
            colors: colors.clone(),
        };
        files.into_iter().map(case).collect()
    }
}

/// One training unit: an image with its reference labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Case {
    /// The name of its files without endings.
    pub id: String,
    /// Whom it shows.
    pub patient: String,
    /// The group that folds keep it in, where that is not the patient.
    pub group: Option<String>,
    /// The image.
    pub image: PathBuf,
    /// Which volume of a file with several.
    pub volume: Option<usize>,
    /// Further channels, which are not read but belong to it.
    pub channels: Vec<Channel>,
    /// The reference labels.
    pub labels: PathBuf,
    /// Which part of the data set it belongs to: a list's name, or the first folder of a tree.
    pub part: Option<String>,
    /// Which label each value in their file stands for, where the file has others.
    pub table: Option<LabelTable>,
    /// Which label each color in their file stands for, where it is a colored picture.
    pub colors: Option<Arc<LabelColors>>,
}

impl Case {
    /// The group that folds keep it in: the patient, unless the data set says otherwise.
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.patient)
    }

    /// The image.
    ///
    /// # Errors
    /// As [`read_volume`].
    pub fn read_volume(&self) -> Result<Volume, VolumeError> {
        read_volume(&self.image, &ReadOptions { volume: self.volume, ..ReadOptions::default() })
    }

    /// The image, as a model wants it.
    ///
    /// # Errors
    /// As [`read_image`].
    pub fn read_image(&self, channels: Channels) -> Result<CaseImage, VolumeError> {
        let options = ReadOptions { volume: self.volume, ..ReadOptions::default() };
        read_image(&self.image, &options, channels)
    }
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
    /// The folds, where a file fixes them.
    fixed_folds: Option<FixedFolds>,
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
    /// image, a case has several channels and none was chosen, or the fold file is not about
    /// these cases.
    pub fn open(config: DatasetConfig, data: &Path) -> Result<Self, DatasetError> {
        let folder = data.join(&config.folder);
        let Pairs { config, cases, lonely, channels, .. } = Pairs::find(&config, &folder)?;
        if let Some(Problem { message, path, .. }) = lonely.into_iter().next() {
            return Err(DatasetError::Content { message, path });
        }
        if cases.is_empty() {
            let message = "expected images, found none".to_owned();
            return Err(DatasetError::Content { message, path: folder.join(&config.images) });
        }
        if channels.len() > 1 && config.channel.is_none() {
            let message = format!(
                "expected one channel per case, found {}; `channel` says which one to read",
                channels.join(", ")
            );
            return Err(DatasetError::Content { message, path: folder });
        }
        let cases = config.cases(cases);
        let mut dataset = Self { config, folder, cases, fixed_folds: None };
        if let Some(message) = dataset.read_groups()?.into_iter().next() {
            let path = dataset.folder.join(dataset.config.groups.as_deref().unwrap_or_default());
            return Err(DatasetError::Content { message, path });
        }
        let wrong = dataset.read_folds()?;
        if let (Some(message), Some(name)) = (wrong.into_iter().next(), &dataset.config.folds) {
            return Err(DatasetError::Content { message, path: dataset.folder.join(name) });
        }
        Ok(dataset)
    }

    /// A data set of these cases, whatever is wrong with its folds; and what that is.
    ///
    /// # Errors
    /// When the fold file cannot be read.
    pub fn of(
        config: DatasetConfig,
        folder: &Path,
        cases: Vec<Case>,
    ) -> Result<(Self, Vec<String>), DatasetError> {
        let mut dataset = Self { config, folder: folder.to_owned(), cases, fixed_folds: None };
        let mut wrong = dataset.read_groups()?;
        wrong.extend(dataset.read_folds()?);
        Ok((dataset, wrong))
    }

    fn read_folds(&mut self) -> Result<Vec<String>, DatasetError> {
        let Some(name) = &self.config.folds else { return Ok(Vec::new()) };
        let (folds, wrong) = FixedFolds::read(&self.folder.join(name), &self.cases)?;
        self.fixed_folds = Some(folds);
        Ok(wrong)
    }

    /// The folds in which a case is held out, where a file fixes them.
    pub fn held_out_in(&self, id: &str) -> Vec<usize> {
        self.fixed_folds.as_ref().map(|folds| folds.of(id)).unwrap_or_default()
    }

    /// Both sides of each fold, as nnU-Net's `splits_final.json` has them.
    pub fn sides(&self, folds: impl Into<Folds>, seed: u64) -> Vec<Sides> {
        let (fixed, folds) = match (&self.fixed_folds, folds.into()) {
            (Some(fixed), _) => (fixed.clone(), fixed.last() + 1),
            (None, Folds::Number(folds)) => {
                (folds::draw(&self.cases, Folds::Number(folds), seed), folds)
            }
            (None, every) => {
                let drawn = folds::draw(&self.cases, every, seed);
                let folds = drawn.last() + 1;
                (drawn, folds)
            }
        };
        let names = |side: &BTreeSet<&str>| {
            let cases = self.cases.iter().map(|case| case.id.as_str());
            cases.filter(|id| side.contains(id)).map(str::to_owned).collect()
        };
        let sides = (0..folds).filter_map(|fold| fixed.fold(fold));
        sides.map(|[train, val]| Sides { train: names(&train), val: names(&val) }).collect()
    }

    /// The cases of `fold`, counted from 0, held out, and the rest to learn from.
    ///
    /// # Errors
    /// [`DatasetError::Content`] when there is no such fold, when one side would be empty,
    /// or when a patient or a group would be on both sides.
    pub fn split(
        &self,
        fold: usize,
        folds: impl Into<Folds>,
        seed: u64,
    ) -> Result<Split, DatasetError> {
        let refuse = |message: String| DatasetError::Content { message, path: self.folder.clone() };
        let drawn;
        let fixed = if let Some(fixed) = &self.fixed_folds {
            fixed
        } else {
            drawn = folds::draw(&self.cases, folds.into(), seed);
            &drawn
        };
        let [training, validation] = fixed.fold(fold).unwrap_or_default().map(|side| {
            let cases = self.cases.iter().filter(|case| side.contains(case.id.as_str()));
            cases.cloned().collect::<Vec<Case>>()
        });
        if validation.is_empty() || training.is_empty() {
            let last = fixed.last();
            return Err(refuse(format!(
                "expected a fold from 0 to {last} with cases in it and outside, found fold {fold}"
            )));
        }
        let both = |of: fn(&Case) -> &str| -> Option<String> {
            let names = |cases: &[Case]| -> BTreeSet<String> {
                cases.iter().map(|case| of(case).to_owned()).collect()
            };
            names(&validation).intersection(&names(&training)).next().cloned()
        };
        if let Some(patient) = both(|case| &case.patient) {
            return Err(refuse(format!("patient {patient} is on both sides of fold {fold}")));
        }
        if let Some(group) = both(Case::group) {
            return Err(refuse(format!("group {group} is on both sides of fold {fold}")));
        }
        Ok(Split { training, validation })
    }
}
