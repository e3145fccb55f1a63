//! Weights of another model that a run starts from, in place of fresh ones.
//!
//! What fits by name and shape is taken over. What does not, such as the last layers where there
//! are other classes, or the first where there are other channels, starts fresh and is named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Checkpoint, RunFolder};
use crate::bundle::{self, Manifest, sha256};
use crate::error::EngineError;
use crate::experiment::Experiment;
use crate::networks::Network;
use crate::weights::{self, NameMap, NamedTensors};

/// Which weights a run started from, as its experiment records them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartFrom {
    /// What they are called: the bundle's name, or that of the file.
    pub name: String,
    /// SHA-256 of the file that holds them.
    pub sha256: String,
}

/// Weights to start from.
#[derive(Debug, Clone)]
pub struct StartWeights {
    /// Which ones.
    pub record: StartFrom,
    /// By the names of the reference.
    tensors: NamedTensors,
    /// The file that they were read from.
    path: PathBuf,
}

/// What became of weights that a run started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    /// Numbers that were taken over, and all of the network.
    pub values: [usize; 2],
    /// Tensors that start fresh, with their shape and that of the other model where it has one.
    pub fresh: Vec<String>,
}

impl StartWeights {
    /// Reads them from a bundle, a run folder (its bundle, else its last checkpoint), or a file of
    /// weights by the names of the reference.
    ///
    /// # Errors
    /// [`EngineError::Data`] where `path` is nothing of that, or what reading it answers.
    pub fn read(path: &Path) -> Result<Self, EngineError> {
        let run = RunFolder::new(path);
        if path.join("model.toml").is_file() {
            Self::of_bundle(path)
        } else if run.bundle().join("model.toml").is_file() {
            Self::of_bundle(&run.bundle())
        } else if run.last().is_file() {
            Self::of_checkpoint(&run)
        } else if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = read(path)?;
            let wanted = |name: &str| !name.ends_with(".num_batches_tracked");
            let (tensors, _) = weights::decode(&bytes, path, wanted)?;
            Ok(Self::new(name, &bytes, tensors, path))
        } else {
            let message = "expected a bundle, a run folder or a file of weights to start from";
            Err(EngineError::data(path, message))
        }
    }

    fn of_bundle(folder: &Path) -> Result<Self, EngineError> {
        let manifest = Manifest::read(folder)?;
        let path = folder.join(bundle::WEIGHTS);
        let bytes = bundle::read_hashed(&path, &manifest.weights.sha256)?;
        let (tensors, _) = weights::decode(&bytes, &path, |_| true)?;
        Ok(Self::new(manifest.name, &bytes, tensors, &path))
    }

    fn of_checkpoint(run: &RunFolder) -> Result<Self, EngineError> {
        let path = run.last();
        let experiment = Experiment::read(&run.path().join("config.toml"))?;
        let names = experiment.network.name_map();
        let tensors = Checkpoint::read(&path)?.learned();
        let rename = |(name, tensor): (String, _)| ((names.reference_name)(&name), tensor);
        let name = format!("{}-{}", experiment.dataset, experiment.network.name());
        Ok(Self::new(name, &read(&path)?, tensors.into_iter().map(rename).collect(), &path))
    }

    fn new(name: String, bytes: &[u8], tensors: NamedTensors, path: &Path) -> Self {
        let record = StartFrom { name, sha256: sha256(bytes) };
        Self { record, tensors, path: path.to_path_buf() }
    }

    /// `network`, a fresh one, with every weight that these have by the same name and shape.
    ///
    /// # Errors
    /// [`EngineError::Bundle`] where they have less than half of the network: it is another one.
    pub fn take_over(
        &self,
        network: Network,
        names: &NameMap,
    ) -> Result<(Network, TakenOver), EngineError> {
        let mut values = BTreeMap::new();
        let mut taken = TakenOver { values: [0, 0], fresh: Vec::new() };
        for (name, expected) in weights::reference_shapes(&network, names) {
            let count: usize = expected.iter().product();
            taken.values[1] += count;
            match self.tensors.get(&name) {
                Some(tensor) if tensor.shape == expected => {
                    taken.values[0] += count;
                    values.insert(name, tensor.values.clone());
                }
                Some(tensor) => {
                    taken.fresh.push(format!("{name} {expected:?}, there {:?}", tensor.shape));
                }
                None => taken.fresh.push(format!("{name} {expected:?}, not there")),
            }
        }
        let [found, all] = taken.values;
        if 2 * found < all {
            let message = format!(
                "expected weights of the same network, found {found} of its {all} numbers by name \
                 and shape; not among them, for example: {}",
                taken.fresh.iter().take(3).cloned().collect::<Vec<_>>().join("; ")
            );
            return Err(EngineError::bundle(&self.path, message));
        }
        let network = weights::replace_weights(network, names, |name, _| values.remove(name));
        Ok((network, taken))
    }
}

impl TakenOver {
    /// What happened, in a plain sentence.
    pub fn sentence(&self, from: &StartFrom) -> String {
        let [found, all] = self.values;
        let fresh = match &self.fresh[..] {
            [] => String::new(),
            fresh => format!("; fresh: {}", fresh.join("; ")),
        };
        format!("{found} of {all} numbers of the network are those of {}{fresh}", from.name)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EngineError> {
    std::fs::read(path).map_err(|source| EngineError::Read { path: path.to_path_buf(), source })
}

/// Whether what was asked for and what was given agree.
///
/// # Errors
/// [`EngineError::Config`] where the experiment starts from weights that were not given, or
/// others were.
pub(super) fn check_given(
    wanted: Option<&StartFrom>,
    given: Option<&StartWeights>,
) -> Result<(), EngineError> {
    let (value, expected) = match (wanted, given.map(|given| &given.record)) {
        (None, None) => return Ok(()),
        (Some(wanted), Some(given)) if wanted.sha256 == given.sha256 => return Ok(()),
        (Some(wanted), None) => (wanted.name.clone(), "expected these weights to be given".into()),
        (wanted, Some(given)) => {
            let value = wanted.map_or("nothing", |wanted| &wanted.name).to_owned();
            (value, format!("expected the weights that were given, {}", given.name))
        }
    };
    Err(EngineError::config("training.start_from", value, expected))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::networks::NetworkConfig;
    use crate::networks::unet::UnetConfig;
    use crate::weights::Storage;

    fn unet(base_channels: usize, classes: usize) -> (NetworkConfig, Network) {
        let config = NetworkConfig::Unet(UnetConfig { base_channels, depth: 2 });
        let network = config.init(1, classes, &Device::flex());
        (config, network)
    }

    #[test]
    fn all_but_the_last_layer_is_taken_over_where_the_classes_differ() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let (config, old) = unet(4, 3);
        let names = config.name_map();
        weights::write_weights(&old, &names, Storage::F32, &path).unwrap();
        let start = StartWeights::read(&path).unwrap();
        let (config, fresh) = unet(4, 5);
        let last = weights::values_by_name(&fresh, &config.name_map());
        let (network, taken) = start.take_over(fresh, &config.name_map()).unwrap();
        let old = weights::values_by_name(&old, &names);
        let new = weights::values_by_name(&network, &names);
        assert_eq!(taken.fresh.len(), 2, "{taken:?}");
        for (name, tensor) in &new {
            let fresh = taken.fresh.iter().any(|fresh| fresh.starts_with(&format!("{name} ")));
            assert_eq!(tensor, if fresh { &last[name] } else { &old[name] }, "{name}");
        }
    }

    #[test]
    fn weights_of_another_network_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let (config, old) = unet(4, 3);
        weights::write_weights(&old, &config.name_map(), Storage::F32, &path).unwrap();
        let (config, fresh) = unet(8, 3);
        let start = StartWeights::read(&path).unwrap();
        let message = start.take_over(fresh, &config.name_map()).unwrap_err().to_string();
        assert!(message.starts_with("expected weights of the same network"), "{message}");
        let nowhere = StartWeights::read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(nowhere.starts_with("expected a bundle, a run folder or"), "{nowhere}");
    }

    #[test]
    fn what_the_experiment_says_and_what_is_given_must_agree() {
        let wanted = StartFrom { name: "a".into(), sha256: "1".into() };
        let given = |sha256: &str| StartWeights {
            record: StartFrom { name: "b".into(), sha256: sha256.into() },
            tensors: NamedTensors::new(),
            path: PathBuf::new(),
        };
        assert!(check_given(None, None).is_ok());
        assert!(check_given(Some(&wanted), Some(&given("1"))).is_ok());
        assert!(check_given(Some(&wanted), Some(&given("2"))).is_err());
        assert!(check_given(Some(&wanted), None).is_err());
        assert!(check_given(None, Some(&given("1"))).is_err());
    }
}
