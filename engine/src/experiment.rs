//! Experiments: a choice of network, preprocessing and training for a data set.
//!
//! Read in three steps, parse, [`Experiment::validate`], then use; what a file
//! leaves out is the default of the structs here. A run folder keeps the
//! experiment as it was resolved.

use std::path::{Path, PathBuf};

use lamina_io::dataset::{DatasetConfig, Folds};
use serde::{Deserialize, Serialize};

use crate::augment::AugmentConfig;
use crate::bundle::sha256;
use crate::error::EngineError;
use crate::inference::InferenceConfig;
use crate::networks::NetworkConfig;
use crate::preprocess::PreprocessConfig;
use crate::training::{BundleConfig, TrainingConfig};

/// `configs/experiments/<dataset>-<network>.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Name of the data set: `configs/datasets/<dataset>.toml`.
    pub dataset: String,
    /// The fold that is held out, from 0.
    #[serde(default)]
    pub fold: usize,
    /// How many folds are drawn where the data set does not fix them, or `"leave_one_group_out"`.
    #[serde(default = "default_folds")]
    pub folds: Folds,
    /// Everything random is drawn from this.
    #[serde(default)]
    pub seed: u64,
    /// The network and its settings.
    pub network: NetworkConfig,
    /// What is done to volumes first.
    #[serde(default)]
    pub preprocessing: PreprocessConfig,
    /// How training slices vary.
    #[serde(default)]
    pub augmentation: AugmentConfig,
    /// How the network learns.
    #[serde(default)]
    pub training: TrainingConfig,
    /// How it is used, in validation and by the bundle that comes out.
    #[serde(default)]
    pub inference: InferenceConfig,
    /// What the bundle is made of.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bundle: BundleConfig,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_default(bundle: &BundleConfig) -> bool {
    *bundle == BundleConfig::default()
}

fn default_folds() -> Folds {
    Folds::Number(5)
}

impl Experiment {
    /// Reads and validates an experiment.
    ///
    /// # Errors
    /// [`EngineError::Read`], [`EngineError::Parse`] with line and column, or
    /// [`EngineError::Data`] for a value that cannot work.
    pub fn read(path: &Path) -> Result<Self, EngineError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| EngineError::Read { path: path.to_path_buf(), source })?;
        let experiment: Self = toml::from_str(&text).map_err(|error| EngineError::Parse {
            message: error.to_string().trim_end().to_owned(),
            path: path.to_path_buf(),
        })?;
        experiment.validate().map_err(|error| EngineError::data(path, error.to_string()))?;
        Ok(experiment)
    }

    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        if matches!(self.folds, Folds::Number(0 | 1)) {
            return Err(EngineError::config("folds", self.folds, "expected at least 2 folds"));
        }
        self.network.validate()?;
        if self.network.settings().classifies_images() {
            let expected = "expected a network that labels pixels, this one labels whole images";
            return Err(EngineError::config("network", self.network.name(), expected));
        }
        self.preprocessing.validate()?;
        self.augmentation.validate(self.preprocessing.input)?;
        self.training.validate(&self.network)?;
        self.inference.validate()
    }

    /// The experiment as TOML, every key written out.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("an experiment is plain data with string keys")
    }

    /// SHA-256 of all settings that decide what is learned: two runs with the same one
    /// learn the same.
    pub fn learning_sha256(&self) -> String {
        let learning = Self { bundle: BundleConfig::default(), ..self.clone() };
        sha256(learning.to_toml().as_bytes())
    }

    /// Reads the description of the experiment's data set, which lies in
    /// `../datasets/` as seen from the experiment, or in `../../datasets/` where that one does not
    /// have it.
    ///
    /// # Errors
    /// [`EngineError::Dataset`] when it is not there or does not parse.
    pub fn read_dataset(&self, experiment: &Path) -> Result<DatasetConfig, EngineError> {
        Ok(DatasetConfig::read(&description_of(&self.dataset, experiment))?)
    }
}

/// Where the description of the data set of `experiment`, a file, lies or should lie: in
/// `../datasets/`, or a folder higher where experiments have folders of their own.
pub(crate) fn description_of(dataset: &str, experiment: &Path) -> PathBuf {
    let folder = above(experiment.parent().unwrap_or(Path::new("")));
    let [near, higher] = [folder.clone(), above(&folder)]
        .map(|folder| folder.join("datasets").join(format!("{dataset}.toml")));
    if !near.is_file() && higher.is_file() { higher } else { near }
}

/// The folder that `folder` lies in.
fn above(folder: &Path) -> PathBuf {
    match (folder.file_name(), folder.parent()) {
        (Some(_), Some(above)) => above.to_path_buf(),
        _ => folder.join(".."), // of "", ".", ".." and the like
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_above_is_found_without_looking() {
        for (folder, expected) in
            [("a/b", "a"), ("a", ""), ("", ".."), ("..", "../.."), ("../a", ".."), ("/a", "/")]
        {
            assert_eq!(above(Path::new(folder)), Path::new(expected), "{folder}");
        }
    }

    #[test]
    fn a_description_may_lie_two_folders_above_its_experiment() {
        let folder = tempfile::tempdir().unwrap();
        let datasets = folder.path().join("datasets");
        let experiment = folder.path().join("experiments/ablations/toy-unet.toml");
        std::fs::create_dir_all(experiment.parent().unwrap()).unwrap();
        std::fs::create_dir(&datasets).unwrap();
        let near = folder.path().join("experiments/datasets/toy.toml");
        assert_eq!(description_of("toy", &experiment), near, "it is said to be missing there");
        std::fs::write(datasets.join("toy.toml"), "").unwrap();
        assert_eq!(description_of("toy", &experiment), datasets.join("toy.toml"));
        let higher = folder.path().join("experiments/toy-unet.toml");
        assert_eq!(description_of("toy", &higher), datasets.join("toy.toml"));
        std::fs::create_dir(near.parent().unwrap()).unwrap();
        std::fs::write(&near, "").unwrap();
        assert_eq!(description_of("toy", &experiment), near);
    }
}
