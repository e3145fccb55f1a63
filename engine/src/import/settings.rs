//! What a person may say about weights that are imported: all of it may be left out.
//!
//! The file is read as experiments are, and an experiment is one: what only training asks for is
//! passed over. `[network.…]` states what differs from the network that was named.

use std::path::Path;

use lamina_io::dataset::{Class, DatasetConfig};
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::{Table, Value};

use crate::error::EngineError;
use crate::experiment::description_of;
use crate::inference::InferenceConfig;
use crate::networks::{NetworkConfig, catalogue};
use crate::preprocess::PreprocessConfig;
use crate::training::BundleConfig;

/// What the bundle of imported weights says; absent is the default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImportSettings {
    /// Settings of the network that differ from the named one's.
    pub network: Option<Table>,
    /// How volumes become the network's input. Without it, a network of one channel gets slices
    /// by the default preprocessing and any other takes tensors alone.
    pub preprocessing: Option<PreprocessConfig>,
    /// How the network is used.
    pub inference: InferenceConfig,
    /// How the weights are stored: exactly, unless told otherwise.
    pub bundle: BundleConfig,
    /// What the bundle is for, in one line; names the network and the file unless given.
    pub title: Option<String>,
    /// `mr`, `ct`, …; `unknown` unless given.
    pub modality: Option<String>,
    /// License of the weights; `unknown` unless given.
    pub license: Option<String>,
    /// What the bundle may be used for; research unless given.
    pub intended_use: Option<String>,
    /// The classes; `class_0`, `class_1`, … unless given here or by the data set that is named.
    pub classes: Option<Vec<Class>>,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportFile {
    network: Option<NetworkConfig>,
    preprocessing: Option<PreprocessConfig>,
    #[serde(default)]
    inference: InferenceConfig,
    #[serde(default)]
    bundle: BundleConfig,
    title: Option<String>,
    modality: Option<String>,
    license: Option<String>,
    intended_use: Option<String>,
    classes: Option<Vec<Class>>,
    dataset: Option<String>,
    #[serde(rename = "fold")]
    _fold: Option<IgnoredAny>,
    #[serde(rename = "folds")]
    _folds: Option<IgnoredAny>,
    #[serde(rename = "seed")]
    _seed: Option<IgnoredAny>,
    #[serde(rename = "augmentation")]
    _augmentation: Option<IgnoredAny>,
    #[serde(rename = "training")]
    _training: Option<IgnoredAny>,
}

impl ImportSettings {
    /// Reads a file of settings. Where it names a data set whose description lies in
    /// `../datasets/`, that tells the classes.
    ///
    /// # Errors
    /// [`EngineError::Read`], [`EngineError::Parse`] with line and column,
    /// [`EngineError::Dataset`], or [`EngineError::Data`] for a value that cannot work.
    pub fn read(path: &Path) -> Result<Self, EngineError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| EngineError::Read { path: path.to_path_buf(), source })?;
        let parse = |error: toml::de::Error| EngineError::Parse {
            message: error.to_string().trim_end().to_owned(),
            path: path.to_path_buf(),
        };
        let file: ImportFile = toml::from_str(&text).map_err(parse)?;
        let within = |error: EngineError| EngineError::data(path, error.to_string());
        file.preprocessing.as_ref().map_or(Ok(()), PreprocessConfig::validate).map_err(within)?;
        file.inference.validate().map_err(within)?;
        // As written, so that what is left out stays the named network's.
        let mut written: Table = toml::from_str(&text).map_err(parse)?;
        let network = match (&file.network, written.remove("network")) {
            (Some(_), Some(Value::Table(network))) => Some(network),
            _ => None,
        };
        let mut settings = Self {
            network,
            preprocessing: file.preprocessing,
            inference: file.inference,
            bundle: file.bundle,
            title: file.title,
            modality: file.modality,
            license: file.license,
            intended_use: file.intended_use,
            classes: file.classes,
        };
        if let Some(dataset) = file.dataset {
            settings.describe(path, &dataset)?;
        }
        Ok(settings)
    }

    /// Fills in what the description of a data set says, where there is one.
    fn describe(&mut self, path: &Path, dataset: &str) -> Result<(), EngineError> {
        let description = description_of(dataset, path);
        if !description.is_file() {
            return Ok(());
        }
        let dataset = DatasetConfig::read(&description)?;
        self.title.get_or_insert(dataset.title);
        self.modality.get_or_insert(dataset.modality);
        self.classes.get_or_insert(dataset.classes);
        Ok(())
    }

    /// The network called `name`, a published form or the key of a kind, with these settings.
    ///
    /// # Errors
    /// [`EngineError::Config`] for a name that is not known, another network in the file, or a
    /// setting that cannot work.
    pub fn network(&self, name: &str) -> Result<NetworkConfig, EngineError> {
        let mut config = named(name)?;
        if let Some(network) = &self.network {
            let kind = config.name();
            let Some(Value::Table(settings)) = network.get(kind) else {
                let found = network.keys().next().map_or("", String::as_str);
                return Err(EngineError::config(
                    "network",
                    found,
                    format!("expected [network.{kind}], as {name} is one"),
                ));
            };
            let wrong = |error: toml::de::Error| EngineError::Input {
                message: format!("[network.{kind}] cannot be read: {}", error.message()),
            };
            let mut all = Table::try_from(&config).expect("settings are plain data");
            if let Some(Value::Table(named)) = all.get_mut(kind) {
                named.extend(settings.clone());
            }
            config = all.try_into().map_err(wrong)?;
        }
        config.validate()?;
        Ok(config)
    }
}

/// The settings of the published form `name`, or the defaults of a kind.
fn named(name: &str) -> Result<NetworkConfig, EngineError> {
    let entries = catalogue();
    if let Some(entry) = entries.iter().find(|entry| entry.name == name) {
        return Ok(entry.config.clone());
    }
    let kind = Table::from_iter([(name.to_owned(), Value::Table(Table::new()))]);
    kind.try_into().map_err(|_: toml::de::Error| {
        let names: Vec<_> = entries.iter().map(|entry| entry.name).collect();
        EngineError::config("network", name, format!("expected one of {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::bpnet::{Attention, BpnetConfig};

    fn read(text: &str) -> Result<ImportSettings, EngineError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("import.toml");
        std::fs::write(&path, text).unwrap();
        ImportSettings::read(&path)
    }

    #[test]
    fn what_the_file_leaves_out_is_the_named_networks() {
        let settings = read("[network.bpnet]\nattention = \"released\"").unwrap();
        let expected =
            BpnetConfig { width: 32, attention: Attention::Released, ..BpnetConfig::default() };
        assert_eq!(settings.network("bpnet-s3-w32").unwrap(), NetworkConfig::Bpnet(expected));
        let NetworkConfig::Bpnet(kind) = ImportSettings::default().network("bpnet").unwrap() else {
            panic!("not a BPNet");
        };
        assert_eq!(kind, BpnetConfig::default());
    }

    #[test]
    fn an_experiment_is_read_and_its_training_passed_over() {
        let settings = read(
            "dataset = \"nowhere\"\nseed = 3\n[network.unet]\ndepth = 2\n[training]\nepochs = 4\n\
             [preprocessing]\nneighbors = 1",
        )
        .unwrap();
        assert_eq!(settings.preprocessing.unwrap().neighbors, 1);
        assert_eq!(settings.classes, None);
    }

    #[test]
    fn what_cannot_work_is_named() {
        let message = read("[network.unet]\nwidht = 3").unwrap_err().to_string();
        assert!(message.contains("line 2") && message.contains("widht"), "{message}");
        let settings = read("[network.unet]\ndepth = 3").unwrap();
        let message = settings.network("bpnet-s3").unwrap_err().to_string();
        assert_eq!(message, "network = unet: expected [network.bpnet], as bpnet-s3 is one");
        let settings = read("[network.unet]\ndepth = 0").unwrap();
        let message = settings.network("unet").unwrap_err().to_string();
        assert!(message.starts_with("network.unet.depth = 0: expected"), "{message}");
        let message = ImportSettings::default().network("resnet").unwrap_err().to_string();
        assert!(message.starts_with("network = resnet: expected one of bpnet-s3-w32"), "{message}");
    }
}
