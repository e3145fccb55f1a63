//! From a volume to labels on its own grid, slice by slice.
//!
//! Slices go through the network in batches, once or over mirrors, scales and windows
//! (`passes`); of each batch only the labels are kept, so probabilities are never held for a
//! whole volume.

mod agreement;
mod choose;
mod components;
mod config;
mod doubt;
mod passes;
mod slices;
mod tensors;
mod tidy;
mod tiles;
mod together;

use std::time::Instant;

use lamina_io::{CaseImage, LabelVolume, Volume};
use serde::Serialize;

pub use agreement::{Agreement, ClassAgreement, SliceAgreement, UncertaintyMap};
pub use choose::{Choice, MeanDice, Trial, choose_post_processing};
pub use components::{LargestComponent, keep_largest_component};
pub use config::{InferenceConfig, MirrorAxis, MirrorMean};
pub use doubt::{CaseDoubt, DOUBTFUL, Expectation, SliceDoubt};
pub use slices::{Extras, LabeledSlice, LabeledSlices, Labeler, label_batches, label_slices};
pub use tensors::{Answers, Wanted, answer_tensor, read_input};
pub use tidy::{TidyOf, TidyStep, tidy};
pub use tiles::{TileConfig, TileWeights};
pub use together::segment_together;

use crate::bundle::Model;
use crate::error::EngineError;
use crate::observer::{Event, Observer, Stage};
use crate::preprocess::{Prepared, Preprocessor};

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
    /// How sure the model is, by its own softmax, or the mean of several; of several, no surer than
    /// they agree.
    pub doubt: CaseDoubt,
    /// How far the members of an ensemble agree.
    pub agreement: Option<Agreement>,
    /// How uncertain each voxel is, where that was asked for: 0 to 255.
    pub uncertainty: Option<LabelVolume>,
    /// How often the network looked at a slice or a window of one, over the whole volume.
    pub passes: usize,
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
    let mut clock = Clock::new(case, observer);
    let prepared = prepare(&Preprocessor::new(model.manifest.preprocessing.clone()))?;
    let prepare = clock.finished(Stage::Prepare);

    let found = label_slices(&prepared, &model.as_labeler(), true, &|done, total| {
        observer.on(&Event::SlicesDone { case: case.to_owned(), done, total })
    })?; // [slice, height, width]
    let infer = clock.finished(Stage::Infer);

    let labels = tidy(prepared.undo(found.labels.view()), config);
    let restore = clock.finished(Stage::Restore);
    let doubt = found.doubt.unwrap_or_else(|| CaseDoubt::of([]));
    let passes = prepared.len() * model.as_labeler().passes(&prepared);
    Ok(Segmentation {
        labels,
        doubt,
        agreement: None,
        uncertainty: None,
        passes,
        seconds: StageSeconds { prepare, infer, restore },
    })
}

/// Tells the observer how long each stage took.
struct Clock<'a> {
    case: &'a str,
    observer: &'a dyn Observer,
    started: Instant,
}

impl<'a> Clock<'a> {
    fn new(case: &'a str, observer: &'a dyn Observer) -> Self {
        Self { case, observer, started: Instant::now() }
    }

    fn finished(&mut self, stage: Stage) -> f64 {
        let seconds = self.started.elapsed().as_secs_f64();
        self.started = Instant::now();
        // Stopping is heard between slices; here it would leave nothing to keep.
        let _ =
            self.observer.on(&Event::StageFinished { case: self.case.to_owned(), stage, seconds });
        seconds
    }
}
