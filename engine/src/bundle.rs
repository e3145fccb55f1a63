//! Bundles: a trained network with everything that using it needs.
//!
//! `models/<name>/` holds `model.toml` (the [`Manifest`]), `CARD.md` for people,
//! `weights.safetensors` and `test_vector.safetensors`. Loading checks the weights
//! against the manifest's hash, and the network's answer to a fixed input against
//! the test vector, so that a bundle gives the results it was published with.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use lamina_io::dataset::{Class, Measure};
use lamina_io::{CaseImage, Volume};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::device::OpenDevice;
use crate::error::EngineError;
use crate::fingerprint::{Doubt, Fingerprint, Subject};
use crate::inference::{InferenceConfig, Labeler};
use crate::networks::{Network, NetworkConfig};
use crate::observer::ClassScore;
use crate::preprocess::{Input, PreprocessConfig};
use crate::weights::{self, NamedTensor, NamedTensors, Storage};

const MANIFEST: &str = "model.toml";
pub(crate) const WEIGHTS: &str = "weights.safetensors";
const TEST_VECTOR: &str = "test_vector.safetensors";

/// Largest difference from the test vector, relative to its largest value. Devices
/// round differently; another network or other weights are off by far more.
const TOLERANCE: f32 = 2e-3;

/// Of which form manifests are that this program reads.
pub(crate) const FORMAT: u32 = 1;

/// More channels or classes than this are a mistake.
pub(crate) const LARGEST_COUNT: usize = 65_536;

/// The files of a bundle; another file beside them is somebody's own.
pub const BUNDLE_FILES: [&str; 4] = [MANIFEST, WEIGHTS, TEST_VECTOR, "CARD.md"];

/// `model.toml`: all that inference needs, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Form of the manifest.
    pub format: u32,
    /// Name of the bundle, that of its folder.
    pub name: String,
    /// What it does, for people.
    pub title: String,
    /// `mr`, `ct`, …
    pub modality: String,
    /// License of the weights.
    pub license: String,
    /// What it may be used for.
    pub intended_use: String,
    /// Channels of the network's input, where nothing is known of how volumes would become it:
    /// such a network takes tensors alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_channels: Option<usize>,
    /// The classes, background first; a label is its place in the list.
    pub classes: Vec<Class>,
    /// The network and its settings.
    pub network: NetworkConfig,
    /// What is done to volumes first.
    pub preprocessing: PreprocessConfig,
    /// How the network is used.
    pub inference: InferenceConfig,
    /// How it was trained, where that was here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingRecord>,
    /// What it reached on cases that it never saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsRecord>,
    /// Where its weights were taken from, where they were not trained here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportRecord>,
    /// What the images that it was trained on are like; older bundles do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// The weights file.
    pub weights: WeightsRecord,
}

/// What every form of the manifest says.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// How a bundle was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecord {
    /// Name of the data set.
    pub dataset: String,
    /// Where the data come from.
    pub source: String,
    /// The fold that was held out, from 0.
    pub held_out_fold: usize,
    /// Cases that were learned from.
    pub training_cases: usize,
    /// The seed.
    pub seed: u64,
    /// Epochs that were planned, and the one whose weights these are, from 1.
    pub epochs: usize,
    /// The epoch whose weights these are, from 1.
    pub epoch: usize,
    /// Version of the program that trained.
    pub lamina: String,
    /// SHA-256 of the experiment as resolved, `config.toml` of the run folder.
    pub experiment_sha256: String,
}

/// Where the weights of a bundle were taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRecord {
    /// Name of the network in the catalogue.
    pub network: String,
    /// Name of the file, without its folder.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Version of the program that took them.
    pub lamina: String,
}

/// What a bundle reached on held-out cases.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsRecord {
    /// What was measured on, in words.
    pub measured_on: String,
    /// Held-out cases.
    pub cases: usize,
    /// The mean over the classes, where cases are measured by their Dice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_dice: Option<f64>,
    /// Mean case Dice of each foreground class that any case shows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dice: BTreeMap<String, f64>,
    /// The mean over the classes, where all cases are measured together by their IoU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_iou: Option<f64>,
    /// Pooled IoU of each class that any case shows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub iou: BTreeMap<String, f64>,
}

impl MetricsRecord {
    /// The record of a validation. A class that no case shows has no score and does not
    /// enter the mean.
    pub fn new(measured_on: String, measure: Measure, scores: &[ClassScore]) -> Self {
        let rounded = |value: f64| (value * 1e6).round() / 1e6;
        let defined: Vec<f64> = scores.iter().filter_map(|class| class.score).collect();
        let mean = rounded(defined.iter().sum::<f64>() / defined.len().max(1) as f64);
        let per_class: BTreeMap<String, f64> = scores
            .iter()
            .filter_map(|class| Some((class.class.clone(), rounded(class.score?))))
            .collect();
        let cases = scores.iter().map(|class| class.cases).max().unwrap_or(0);
        let record = Self { measured_on, cases, ..Self::default() };
        match measure {
            Measure::CaseDice => Self { mean_dice: Some(mean), dice: per_class, ..record },
            Measure::PooledIou => Self { mean_iou: Some(mean), iou: per_class, ..record },
        }
    }

    /// By what was measured, the mean over the classes, and the score of each class.
    pub fn scores(&self) -> (Measure, f64, &BTreeMap<String, f64>) {
        match (self.mean_dice, self.mean_iou) {
            (None, Some(mean)) => (Measure::PooledIou, mean, &self.iou),
            (mean, _) => (Measure::CaseDice, mean.unwrap_or(0.0), &self.dice),
        }
    }
}

/// The weights file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsRecord {
    /// SHA-256 of `weights.safetensors`.
    pub sha256: String,
    /// SHA-256 of `test_vector.safetensors`.
    pub test_vector_sha256: String,
    /// How the weights are stored.
    pub storage: Storage,
}

impl Manifest {
    /// Reads and validates the manifest of the bundle in `folder`; quick, opens no weights.
    ///
    /// # Errors
    /// [`EngineError::Read`], [`EngineError::Parse`], or [`EngineError::Data`] for another
    /// format or a value that cannot work.
    pub fn read(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&path).map_err(|source| {
            if crate::ensemble::is_ensemble(folder) {
                let message = "expected a single model, found an ensemble of several: name one of \
                               its members, or take it to `lamina predict`";
                return EngineError::data(folder, message);
            }
            EngineError::Read { path: path.clone(), source }
        })?;
        let parse = |error: toml::de::Error| EngineError::Parse {
            message: error.to_string().trim_end().to_owned(),
            path: path.clone(),
        };
        // Before the rest, which may look different in another format.
        let Version { format } = toml::from_str(&text).map_err(parse)?;
        if format != FORMAT {
            let message = format!("expected a bundle of format {FORMAT}, found {format}");
            return Err(EngineError::data(&path, message));
        }
        let manifest: Self = toml::from_str(&text).map_err(parse)?;
        manifest.validate().map_err(|error| EngineError::data(&path, error.to_string()))?;
        Ok(manifest)
    }

    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Input`] or [`EngineError::Config`] with what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        let found = self.classes.len();
        let refuse = |message: String| Err(EngineError::Input { message });
        match self.check_takes_volumes() {
            Ok(()) if !(2..=255).contains(&found) => {
                return refuse(format!(
                    "expected 2 to 255 classes, background first, found {found}"
                ));
            }
            Err(_) if !(1..=LARGEST_COUNT).contains(&found) => {
                return refuse(format!("expected 1 to {LARGEST_COUNT} classes, found {found}"));
            }
            _ => {}
        }
        if let Some(channels) = self.in_channels
            && !(1..=LARGEST_COUNT).contains(&channels)
        {
            let expected = format!("expected 1 to {LARGEST_COUNT} channels");
            return Err(EngineError::config("in_channels", channels, expected));
        }
        for class in &self.classes {
            if let Some(Err(found)) = class.codes.as_ref().map(lamina_io::SegmentCodes::check) {
                return refuse(format!("class {:?}: {found}", class.name));
            }
        }
        self.network.validate()?;
        self.preprocessing.validate()?;
        self.inference.validate()
    }

    /// Whether volumes can be segmented with it.
    ///
    /// # Errors
    /// [`EngineError::Input`] says what it takes or answers instead.
    pub fn check_takes_volumes(&self) -> Result<(), EngineError> {
        if self.network.settings().classifies_images() {
            let message = format!(
                "{} answers with one label for a whole image and segments nothing",
                self.name
            );
            return Err(EngineError::Input { message });
        }
        if let Some(channels) = self.in_channels {
            let message = format!(
                "{} takes tensors of {channels} channels (lamina forward); how volumes would \
                 become them is not known to it",
                self.name
            );
            return Err(EngineError::Input { message });
        }
        Ok(())
    }

    /// Whether volumes of one number at each voxel can be segmented with it.
    ///
    /// # Errors
    /// [`EngineError::Input`] says what it takes or answers instead.
    pub fn check_takes_gray(&self) -> Result<(), EngineError> {
        self.check_takes_volumes()?;
        if self.preprocessing.input == Input::Rgb {
            let message = format!(
                "{} takes pictures in color, which are shown in gray here: lamina predict takes them",
                self.name
            );
            return Err(EngineError::Input { message });
        }
        Ok(())
    }

    /// What speaks against segmenting `volume` with it, in plain sentences: how it was taken, and in
    /// what it is unlike the images of the [fingerprint](Self::fingerprint), where there is one.
    pub fn doubts_about(&self, volume: &Volume) -> Vec<Doubt> {
        let mut doubts = self.doubt_about_modality(volume);
        if let Some(fingerprint) = &self.fingerprint {
            doubts.extend(fingerprint.doubts_about(volume, &self.preprocessing));
        }
        doubts
    }

    /// [`doubts_about`](Self::doubts_about) of an image with as many channels as it wants.
    pub fn doubts_about_image(&self, image: &CaseImage) -> Vec<Doubt> {
        match image {
            CaseImage::Gray(volume) => self.doubts_about(volume),
            CaseImage::Color(_) => {
                let fingerprint = self.fingerprint.iter();
                fingerprint
                    .flat_map(|found| found.doubts_about_image(image, &self.preprocessing))
                    .collect()
            }
        }
    }

    fn doubt_about_modality(&self, volume: &Volume) -> Vec<Doubt> {
        let taken = volume.modality.as_ref().map(lamina_io::Modality::name);
        let other = taken.filter(|taken| !taken.eq_ignore_ascii_case(&self.modality));
        other
            .map(|taken| {
                let [made, taken] = [&self.modality, taken].map(str::to_uppercase);
                let sentence = format!("The model was made for {made}; this image is {taken}.");
                Doubt::new(Subject::Modality, sentence)
            })
            .into_iter()
            .collect()
    }

    /// Channels of the network's input.
    pub fn channels(&self) -> usize {
        self.in_channels.unwrap_or_else(|| self.preprocessing.channels())
    }

    /// The network with fresh weights.
    fn network(&self, device: &Device) -> Network {
        self.network.init(self.channels(), self.classes.len(), device)
    }
}

/// A bundle, loaded onto a device.
#[derive(Debug)]
pub struct Model {
    /// What the bundle says of itself; its `inference` may be changed before use.
    pub manifest: Manifest,
    /// The network with its weights.
    pub network: Network,
    /// Where it computes.
    pub device: OpenDevice,
}

impl Model {
    /// Loads the bundle in `folder`.
    ///
    /// # Errors
    /// What [`Manifest::read`] answers; [`EngineError::Bundle`] when the weights are
    /// not those of the manifest or the test vector is not met.
    pub fn load(folder: &Path, device: &OpenDevice) -> Result<Self, EngineError> {
        let manifest = Manifest::read(folder)?;
        let weights_path = folder.join(WEIGHTS);
        let bytes = read_hashed(&weights_path, &manifest.weights.sha256)?;
        let network = weights::decode_weights(
            manifest.network(&device.device),
            &manifest.network.name_map(),
            &bytes,
            &weights_path,
        )?;
        let model = Self { manifest, network, device: device.clone() };
        model.check_test_vector(folder)?;
        Ok(model)
    }

    /// What labeling slices needs.
    pub fn as_labeler(&self) -> Labeler<'_> {
        Labeler {
            network: &self.network,
            device: &self.device.device,
            config: &self.manifest.inference,
            channels: self.manifest.channels(),
            architecture: &self.manifest.network,
        }
    }

    fn check_test_vector(&self, folder: &Path) -> Result<(), EngineError> {
        let path = folder.join(TEST_VECTOR);
        let bytes = read_hashed(&path, &self.manifest.weights.test_vector_sha256)?;
        let (tensors, _) = weights::decode(&bytes, &path, |_| true)?;
        let (Some(input), Some(expected)) = (tensors.get("input"), tensors.get("logits")) else {
            return Err(EngineError::bundle(&path, "expected the tensors `input` and `logits`"));
        };
        let shape = test_shape(&self.manifest);
        if input.shape != shape {
            let message = format!("expected `input` to be {shape:?}, found {:?}", input.shape);
            return Err(EngineError::bundle(&path, message));
        }
        let found = answer(&self.network, input, &self.device.device);
        let largest = expected.values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let same_size = found.values.len() == expected.values.len();
        let difference = found
            .values
            .iter()
            .zip(&expected.values)
            .fold(0.0_f32, |most, (found, expected)| most.max((found - expected).abs()));
        // Written so that NaN is refused too.
        if same_size && difference <= TOLERANCE * largest {
            return Ok(());
        }
        Err(EngineError::bundle(
            &path,
            format!(
                "the network does not give the answers that it was published with: expected a \
                 difference of at most {:.1e}, found {difference:.1e}",
                TOLERANCE * largest
            ),
        ))
    }
}

/// Writes a bundle: weights and test vector first, the manifest that vouches for them last.
/// `manifest.weights` is filled in here.
///
/// # Errors
/// [`EngineError::Write`] or [`EngineError::Volume`] when a file cannot be written.
pub fn write_bundle(
    folder: &Path,
    mut manifest: Manifest,
    network: &Network,
    storage: Storage,
) -> Result<Manifest, EngineError> {
    std::fs::create_dir_all(folder)
        .map_err(|source| EngineError::Write { path: folder.to_path_buf(), source })?;
    let weights_path = folder.join(WEIGHTS);
    let names = manifest.network.name_map();
    let bytes = weights::encode_weights(network, &names, storage);
    write_file(&weights_path, &bytes)?;

    // The vector is that of the weights as stored, which may have been rounded.
    let device = Device::flex();
    let fresh = manifest.network(&device);
    let network = weights::decode_weights(fresh, &names, &bytes, &weights_path)?;
    let input = test_input(&manifest);
    let logits = answer(&network, &input, &device);
    if let Some(value) = logits.values.iter().find(|value| !value.is_finite()) {
        return Err(EngineError::Input {
            message: format!(
                "the network answers {value} to an input between -1 and 1: its weights overflow"
            ),
        });
    }
    let vector = NamedTensors::from([("input".to_owned(), input), ("logits".to_owned(), logits)]);
    let vector = weights::encode(vector, Storage::F32, BTreeMap::new());
    write_file(&folder.join(TEST_VECTOR), &vector)?;

    manifest.weights =
        WeightsRecord { sha256: sha256(&bytes), test_vector_sha256: sha256(&vector), storage };
    write_manifest(folder, &manifest)?;
    Ok(manifest)
}

/// Writes the manifest of a bundle whose other files are there: with a fingerprint, for example.
///
/// # Errors
/// [`EngineError::Volume`] when it cannot be written.
pub fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<(), EngineError> {
    let text = toml::to_string(manifest).map_err(|error| EngineError::Input {
        message: format!("the manifest cannot be written as TOML: {error}"),
    })?;
    write_file(&folder.join(MANIFEST), text.as_bytes())
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    Sha256::digest(bytes).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A fixed input that differs at every pixel: `[1, channels, size, size]` between −1 and 1.
fn test_input(manifest: &Manifest) -> NamedTensor {
    let shape = test_shape(manifest).to_vec();
    let count = shape.iter().product::<usize>();
    let values = (0..count).map(|index| ((index * 7919 % 1009) as f32 / 504.0) - 1.0).collect();
    NamedTensor { shape, values }
}

fn test_shape(manifest: &Manifest) -> [usize; 4] {
    let size = manifest.network.padded(32);
    [1, manifest.channels(), size, size]
}

fn answer(network: &Network, input: &NamedTensor, device: &Device) -> NamedTensor {
    let data = TensorData::new(input.values.clone(), input.shape.clone());
    let logits = network.forward(Tensor::from_data(data, device));
    let shape = logits.dims().to_vec();
    NamedTensor { shape, values: logits.into_data().try_to_vec().expect("logits are f32") }
}

pub(crate) fn read_hashed(path: &Path, expected: &str) -> Result<Vec<u8>, EngineError> {
    let bytes = std::fs::read(path)
        .map_err(|source| EngineError::Read { path: path.to_path_buf(), source })?;
    let found = sha256(&bytes);
    if found != expected {
        let message = format!(
            "this file is damaged or not the one that {MANIFEST} describes: expected SHA-256 \
             {expected}, found {found}"
        );
        return Err(EngineError::bundle(path, message));
    }
    Ok(bytes)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    lamina_io::atomic::write_atomically(path, |file| file.write_all(bytes))?;
    Ok(())
}
