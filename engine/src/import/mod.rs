//! Bundles from the weights of other programs.
//!
//! [`WeightsFile`] opens what other programs write, [`ImportSettings`] is what a person may say
//! about it, and [`Import::run`] finds the weights of the named network in the file, whatever they
//! are wrapped in, and makes a network and a manifest of them. Writing the bundle is left to
//! [`write_bundle`](crate::bundle::write_bundle).

mod file;
mod names;
mod settings;
mod sizes;
mod torch;

use burn::tensor::Device;
use lamina_io::dataset::Class;
use serde::Serialize;

pub use file::WeightsFile;
pub use settings::ImportSettings;
pub use sizes::Sizes;

use crate::bundle::{FORMAT, ImportRecord, LARGEST_COUNT, Manifest, WeightsRecord};
use crate::error::EngineError;
use crate::networks::bpnet::{Attention, BpnetConfig};
use crate::networks::{Network, NetworkConfig, catalogue};
use crate::preprocess::PreprocessConfig;
use crate::weights::{NamedTensor, NamedTensors, WeightsError, fit_weights};
use names::{Scope, Shapes};
use sizes::{infer, shapes_of};

/// Which weights are to become which network.
#[derive(Debug, Clone, Copy)]
pub struct Import<'a> {
    /// The network's name in the catalogue.
    pub network: &'a str,
    /// What is said about it besides.
    pub settings: &'a ImportSettings,
    /// The weights.
    pub file: &'a WeightsFile,
    /// Channels of the input; read off the weights where absent.
    pub channels: Option<usize>,
    /// Classes; read off the weights where absent.
    pub classes: Option<usize>,
}

/// A network with the weights that were asked for.
#[derive(Debug)]
pub struct Imported {
    /// What its bundle says.
    pub manifest: Manifest,
    /// The network.
    pub network: Network,
    /// What was found in the file.
    pub found: Found,
}

/// What was found in a file of weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// What the weights were wrapped in, such as `state_dict.module.`.
    pub prefix: String,
    /// How many weights the network got.
    pub weights: usize,
    /// Tensors outside the wrapper, such as those of an optimizer.
    pub elsewhere: usize,
    /// Objects that are no tensors and were not made.
    pub passed_over: Vec<String>,
}

/// A network to which weights belong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// Its name in the catalogue.
    pub network: &'static str,
    /// What has to stand in the file of settings.
    pub settings: Option<String>,
}

impl Import<'_> {
    /// Makes the network called `name` for people.
    ///
    /// # Errors
    /// [`EngineError::Config`] for settings that cannot work, and what [`WeightsError`] lists:
    /// weights that are missing, unexpected or of another shape, or that are no numbers.
    pub fn run(&self, name: &str) -> Result<Imported, EngineError> {
        let config = self.settings.network(self.network)?;
        let (sizes, scope, expected) = self.look(&config)?;
        let misfit = scope.misfit(&expected);
        let path = self.file.path();
        if !misfit.is_empty() {
            return Err(WeightsError::Misfit { misfit, path: path.to_owned() }.into());
        }
        let mut tensors = NamedTensors::new();
        for (name, shape) in expected {
            let values = self.file.read(&format!("{}{name}", scope.prefix))?;
            tensors.insert(name, NamedTensor { shape, values });
        }
        let found = Found {
            weights: tensors.len(),
            elsewhere: scope.elsewhere,
            prefix: scope.prefix,
            passed_over: self.file.passed_over().to_vec(),
        };
        let manifest = self.manifest(name, &config, sizes)?;
        let network = config.init(sizes.channels, sizes.classes, &Device::flex());
        let network = fit_weights(network, &config.name_map(), tensors, path)?;
        Ok(Imported { manifest, network, found })
    }

    /// Reads the sizes off the weights, and finds them.
    fn look(&self, config: &NetworkConfig) -> Result<(Sizes, Scope<'_>, Shapes), EngineError> {
        let default = catalogue().into_iter().find(|entry| entry.name == self.network);
        let default = Sizes { channels: 3, classes: default.map_or(19, |entry| entry.num_classes) };
        let scope =
            Scope::find(self.file.shapes(), &shapes_of(config, default), &config.name_map());
        let [channels, classes] = infer(config, &scope);
        let sizes = Sizes {
            channels: self.channels.or(channels).unwrap_or(default.channels),
            classes: self.classes.or(classes).unwrap_or(default.classes),
        };
        for (key, value) in [("channels", sizes.channels), ("classes", sizes.classes)] {
            if !(1..=LARGEST_COUNT).contains(&value) {
                let expected = format!("expected 1 to {LARGEST_COUNT}");
                return Err(EngineError::config(key, value, expected));
            }
        }
        Ok((sizes, scope, shapes_of(config, sizes)))
    }

    /// What the bundle says; its weights are filled in when it is written.
    fn manifest(
        &self,
        name: &str,
        config: &NetworkConfig,
        sizes: Sizes,
    ) -> Result<Manifest, EngineError> {
        let settings = self.settings;
        let (preprocessing, in_channels) = self.preprocessing(sizes)?;
        let classes = match &settings.classes {
            Some(classes) if classes.len() == sizes.classes => classes.clone(),
            Some(classes) => {
                let expected = format!("expected {}, as the weights are for", sizes.classes);
                return Err(EngineError::config("classes", classes.len(), expected));
            }
            None => (0..sizes.classes).map(numbered_class).collect(),
        };
        let file = self.file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let unknown = || "unknown".to_owned();
        let manifest = Manifest {
            format: FORMAT,
            name: name.to_owned(),
            title: (settings.title.clone())
                .unwrap_or_else(|| format!("{} with the weights of {file}", self.network)),
            modality: settings.modality.clone().unwrap_or_else(unknown),
            license: settings.license.clone().unwrap_or_else(unknown),
            intended_use: (settings.intended_use.clone())
                .unwrap_or_else(|| "Research use only, not for clinical decisions".to_owned()),
            in_channels,
            classes,
            network: config.clone(),
            preprocessing,
            inference: settings.inference.clone(),
            training: None,
            metrics: None,
            imported: Some(ImportRecord {
                network: self.network.to_owned(),
                file,
                sha256: self.file.sha256().to_owned(),
                lamina: env!("CARGO_PKG_VERSION").to_owned(),
            }),
            fingerprint: None,
            weights: WeightsRecord {
                sha256: String::new(),
                test_vector_sha256: String::new(),
                storage: settings.bundle.storage,
            },
        };
        manifest.validate()?;
        Ok(manifest)
    }

    /// How volumes become the input, or how many channels tensors have where that is not known.
    fn preprocessing(
        &self,
        Sizes { channels, classes }: Sizes,
    ) -> Result<(PreprocessConfig, Option<usize>), EngineError> {
        let Some(preprocessing) = &self.settings.preprocessing else {
            let preprocessing = PreprocessConfig::default();
            let for_volumes = channels == preprocessing.channels() && (2..=255).contains(&classes);
            let in_channels = (!for_volumes).then_some(channels);
            return Ok((preprocessing, in_channels));
        };
        let found = preprocessing.channels();
        if found != channels {
            let expected = format!(
                "the weights are for {channels} channels, and a slice with its neighbors has {found}"
            );
            let key = "preprocessing.neighbors";
            return Err(EngineError::config(key, preprocessing.neighbors, expected));
        }
        Ok((preprocessing.clone(), None))
    }

    /// A network that these weights fit, where the one that was asked for is another.
    pub fn suggestion(&self) -> Option<Suggestion> {
        let unsized_import = Import { channels: None, classes: None, ..*self };
        let fits = |config: &NetworkConfig| {
            let look = unsized_import.look(config);
            look.is_ok_and(|(_, scope, expected)| scope.misfit(&expected).is_empty())
        };
        catalogue().into_iter().find_map(|entry| {
            if fits(&entry.config) {
                return Some(Suggestion { network: entry.name, settings: None });
            }
            let NetworkConfig::Bpnet(config) = entry.config else {
                return None;
            };
            let released = BpnetConfig { attention: Attention::Released, ..config };
            fits(&NetworkConfig::Bpnet(released)).then(|| Suggestion {
                network: entry.name,
                settings: Some("[network.bpnet] attention = \"released\"".to_owned()),
            })
        })
    }
}

/// A class of which only the label is known, in a color that tells it from its neighbors.
fn numbered_class(label: usize) -> Class {
    let hue = label as f64 * 0.618_033_988_749_895 % 1.0 * 6.0; // golden ratio: far apart
    let level = |from: f64| {
        let distance = ((hue + from) % 6.0 - 3.0).abs() - 1.0;
        (distance.clamp(0.0, 1.0) * 255.0).round() as u8
    };
    let color = if label == 0 { [0; 3] } else { [level(0.0), level(4.0), level(2.0)] };
    Class { name: format!("class_{label}"), color, value: None, codes: None }
}
