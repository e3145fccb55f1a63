//! From a volume to labels on its own grid, slice by slice.
//!
//! Slices go through the network in batches; of each batch only the labels are
//! kept, so probabilities are never held for a whole volume.

mod components;
mod doubt;
mod slices;
mod tensors;

use std::time::Instant;

use lamina_io::{CaseImage, LabelVolume, Volume};
use serde::{Deserialize, Serialize};

pub use components::{LargestComponent, keep_largest_component};
pub use doubt::{CaseDoubt, DOUBTFUL, Expectation, SliceDoubt};
pub use slices::{Extras, LabeledSlice, LabeledSlices, Labeler, label_batches, label_slices};
pub use tensors::{Answers, Wanted, answer_tensor, read_input};

use crate::bundle::Model;
use crate::error::EngineError;
use crate::observer::{Event, Observer, Stage};
use crate::preprocess::{Prepared, Preprocessor};

/// An axis along which slices are mirrored and the answers averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MirrorAxis {
    /// Left and right.
    X,
    /// Top and bottom.
    Y,
}

/// How a network is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InferenceConfig {
    /// Probabilities are averaged over all combinations of these mirrors.
    pub mirror_axes: Vec<MirrorAxis>,
    /// Whether only the largest connected component is kept, and of what.
    pub largest_component: LargestComponent,
    /// Slices that go through the network at once.
    pub batch_size: usize,
}

impl Default for InferenceConfig {
    fn default() -> Self {
        Self {
            mirror_axes: Vec::new(),
            largest_component: LargestComponent::default(),
            batch_size: 8,
        }
    }
}

impl InferenceConfig {
    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        if !(1..=1024).contains(&self.batch_size) {
            let expected = "expected 1 to 1024 slices";
            return Err(EngineError::config("inference.batch_size", self.batch_size, expected));
        }
        let mirrored = |axis| self.mirror_axes.iter().filter(|other| **other == axis).count();
        if [MirrorAxis::X, MirrorAxis::Y].into_iter().any(|axis| mirrored(axis) > 1) {
            let value = format!("{:?}", self.mirror_axes).to_lowercase();
            let expected = "expected each axis once at most";
            return Err(EngineError::config("inference.mirror_axes", value, expected));
        }
        Ok(())
    }
}

/// How long each stage took.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct StageSeconds {
    /// Volume to prepared slices.
    pub prepare: f64,
    /// Slices to labels.
    pub infer: f64,
    /// Labels back on the grid of the volume.
    pub restore: f64,
}

/// What segmenting a volume gives.
#[derive(Debug, Clone)]
pub struct Segmentation {
    /// A label for every voxel, on the grid that the volume came with.
    pub labels: LabelVolume,
    /// How sure the model is, by its own softmax.
    pub doubt: CaseDoubt,
    /// How long each stage took.
    pub seconds: StageSeconds,
}

/// Labels every voxel of `volume` on the grid that `volume` came with.
///
/// `case` names the volume in the events that `observer` hears.
///
/// # Errors
/// [`EngineError::Input`] for a volume that the model cannot take, and
/// [`EngineError::Stopped`] when the observer says so.
pub fn segment_volume(
    case: &str,
    volume: &Volume,
    model: &Model,
    observer: &dyn Observer,
) -> Result<Segmentation, EngineError> {
    segment_with(case, model, observer, |preprocessor| preprocessor.prepare(volume))
}

/// [`segment_volume`] of an image with as many channels as the model wants.
///
/// # Errors
/// As [`segment_volume`].
pub fn segment_image(
    case: &str,
    image: &CaseImage,
    model: &Model,
    observer: &dyn Observer,
) -> Result<Segmentation, EngineError> {
    segment_with(case, model, observer, |preprocessor| preprocessor.prepare_image(image))
}

fn segment_with(
    case: &str,
    model: &Model,
    observer: &dyn Observer,
    prepare: impl FnOnce(&Preprocessor) -> Result<Prepared, EngineError>,
) -> Result<Segmentation, EngineError> {
    model.manifest.check_takes_volumes()?;
    let config = &model.manifest.inference;
    let mut clock = Clock { case, observer, started: Instant::now() };
    let prepared = prepare(&Preprocessor::new(model.manifest.preprocessing.clone()))?;
    let prepare = clock.finished(Stage::Prepare);

    let found = label_slices(&prepared, &model.as_labeler(), true, &|done, total| {
        observer.on(&Event::SlicesDone { case: case.to_owned(), done, total })
    })?; // [slice, height, width]
    let infer = clock.finished(Stage::Infer);

    let labels =
        keep_largest_component(prepared.undo(found.labels.view()), config.largest_component);
    let restore = clock.finished(Stage::Restore);
    let doubt = found.doubt.unwrap_or_else(|| CaseDoubt::of([]));
    Ok(Segmentation { labels, doubt, seconds: StageSeconds { prepare, infer, restore } })
}

/// Tells the observer how long each stage took.
struct Clock<'a> {
    case: &'a str,
    observer: &'a dyn Observer,
    started: Instant,
}

impl Clock<'_> {
    fn finished(&mut self, stage: Stage) -> f64 {
        let seconds = self.started.elapsed().as_secs_f64();
        self.started = Instant::now();
        // Stopping is heard between slices; here it would leave nothing to keep.
        let _ =
            self.observer.on(&Event::StageFinished { case: self.case.to_owned(), stage, seconds });
        seconds
    }
}
