//! Segmenting what is open: models to choose, and what is known of the run.
//!
//! `run.rs` is the work itself, a job; `region.rs` and `pace.rs` are what it is about and how fast
//! it goes; `memory.rs` is whether there is room for it.

pub mod memory;
pub mod pace;
pub mod region;
pub mod run;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lamina_engine::bundle::Manifest;
use lamina_engine::device::{DeviceChoice, OfferedDevice};
use lamina_io::Volume;
use ndarray::Array3;

pub use region::VoxelBox;
pub use run::{
    Focus, ModelSlot, SegmentEvent, SegmentRequest, SliceResult, Work, preload, segment,
};

/// A card that is longer than this is not a card.
const LONGEST_CARD: u64 = 256 * 1024;

/// A model that can be chosen.
#[derive(Debug, Clone)]
pub struct ModelChoice {
    /// Where its bundle lies.
    pub folder: PathBuf,
    /// What it says of itself.
    pub manifest: Arc<Manifest>,
    /// Its card for people, in Markdown, where there is one.
    pub card: Option<Arc<str>>,
}

impl ModelChoice {
    /// A bundle whose manifest was read; reads its card.
    pub fn new(folder: PathBuf, manifest: Manifest) -> Self {
        let path = folder.join("CARD.md");
        let short = path.metadata().is_ok_and(|file| file.len() <= LONGEST_CARD);
        let card = if short { std::fs::read_to_string(&path).ok() } else { None };
        Self { folder, manifest: Arc::new(manifest), card: card.map(Arc::from) }
    }

    /// The bundle in a folder, or of a `model.toml`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let folder = folder_of(path);
        let manifest = Manifest::read(&folder).map_err(|error| {
            format!("Cannot use this bundle: {}", crate::cli::error_line(&error))
        })?;
        manifest
            .check_takes_gray()
            .map_err(|error| format!("Cannot segment with this bundle: {error}"))?;
        Ok(Self::new(folder, manifest))
    }
}

/// Whether a path is that of a bundle: its folder, or the manifest in it.
pub fn is_bundle(path: &Path) -> bool {
    path.join("model.toml").is_file() || (is_manifest(path) && path.is_file())
}

fn is_manifest(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "model.toml")
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if is_manifest(path) => parent.to_owned(),
        _ => path.to_owned(),
    }
}

/// What the user wants of models, beside the list of actions.
#[derive(Debug, Clone, PartialEq)]
pub enum SegmentCommand {
    /// Use the model at this place in the list.
    Model(usize),
    /// Compute there.
    Device(DeviceChoice),
    /// Add the bundle in this folder to the list.
    AddBundle(PathBuf),
    /// Open or close the card of the model.
    Card,
    /// Segment these slices of the model's plane again, by their place on its slider.
    Slices([usize; 2]),
    /// Choose them and do nothing yet.
    Range([usize; 2]),
    /// Begin or leave drawing a box.
    DrawBox,
    /// The box goes from one voxel (i, j, k) to another.
    Box([usize; 3], [usize; 3]),
    /// Another first and last slice of the box, along this voxel axis, both in it.
    BoxRange(usize, [usize; 2]),
    /// Segment what is in the box again.
    RunBox,
    /// Take the box away.
    ClearBox,
    /// Paint this.
    Overlay(Overlay),
}

/// What of the model's softmax is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// How unsure it is.
    Doubt,
    /// How probable it holds this class.
    Probability(u8),
}

/// Whether the model is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Loading {
    /// Nobody asked for one.
    #[default]
    None,
    /// It is being read and tried out.
    Loading,
    /// It is there, on the device of this name.
    Ready(String),
    /// It cannot be used; why, and what to do.
    Failed(String),
}

/// What speaks against using a model on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The image's number.
    pub image: u64,
    /// The model's folder.
    pub folder: PathBuf,
    /// Plain sentences.
    pub sentences: Vec<String>,
}

/// How probable the model holds one class, on the grid of the volume.
#[derive(Debug, Clone)]
pub struct ProbabilityLayer {
    /// The class.
    pub class: u8,
    /// 0 to 255.
    pub values: Array3<u8>,
    /// Changes with every change.
    pub revision: u64,
    /// Whether all slices are there.
    pub complete: bool,
}

/// What is known of models and their use; the labels themselves are elsewhere.
#[derive(Debug, Default)]
pub struct SegmentState {
    /// What is wrong with bundles that were found and cannot be used.
    pub broken: Vec<String>,
    /// Whether the chosen model is there.
    pub loading: Loading,
    /// The devices of this machine, once they were looked for.
    pub devices: Vec<OfferedDevice>,
    /// The one that is chosen.
    pub device: DeviceChoice,
    /// What speaks against the model here, once that was looked at.
    pub checked: Option<Checked>,
    /// What is unusual about what was found.
    pub found: Vec<String>,
    /// Whether the card is open.
    pub card: bool,
    /// Slices of the model's plane that are to be segmented again, from 0, both among them.
    pub range: Option<[usize; 2]>,
    /// Whether the pointer draws a box.
    pub drawing: bool,
    /// The box that was drawn.
    pub region: Option<VoxelBox>,
    /// Across which voxel axis it was drawn.
    pub region_axis: usize,
    /// How probable one class is.
    pub probability: Option<ProbabilityLayer>,
    /// What is painted.
    pub overlay: Overlay,
}

impl SegmentState {
    /// The probabilities, where they are painted.
    pub fn painted(&self) -> Option<&ProbabilityLayer> {
        let Overlay::Probability(class) = self.overlay else { return None };
        self.probability.as_ref().filter(|layer| layer.class == class)
    }

    /// What was found out about this image and model.
    pub fn sentences(&self, image: u64, folder: &Path) -> &[String] {
        match &self.checked {
            Some(checked) if checked.image == image && checked.folder == folder => {
                &checked.sentences
            }
            _ => &[],
        }
    }
}

/// What speaks against using a model on `volume`, in plain sentences.
pub fn doubts_about(manifest: &Manifest, volume: &Volume) -> Vec<String> {
    let doubts = manifest.doubts_about(volume).into_iter();
    let mut sentences: Vec<String> = doubts.map(|doubt| doubt.sentence).collect();
    if manifest.fingerprint.is_none() && volume.geometry.spacing_mm().is_none() {
        sentences.push("The image does not say how large its voxels are.".to_owned());
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_known_by_its_manifest() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_bundle(folder.path()));
        let manifest = folder.path().join("model.toml");
        assert!(!is_bundle(&manifest));
        std::fs::write(&manifest, "format = 1").unwrap();
        assert!(is_bundle(folder.path()) && is_bundle(&manifest));
        let error = ModelChoice::read(&manifest).unwrap_err();
        assert!(error.starts_with("Cannot use this bundle: "), "{error}");
        assert!(error.contains("model.toml"), "{error}");
    }

    #[test]
    fn the_bundle_that_comes_along_has_a_card() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let choice = ModelChoice::read(&root.join("models/hippocampus-unet")).unwrap();
        assert!(choice.card.unwrap().starts_with("# hippocampus-unet"));
    }
}
