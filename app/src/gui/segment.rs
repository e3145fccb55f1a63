//! Segmenting what is open, slice by slice, the one in view first. Runs as a job.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use lamina_engine::bundle::{Manifest, Model};
use lamina_engine::device::DeviceChoice;
use lamina_engine::error::EngineError;
use lamina_engine::inference::{
    Expectation, LargestComponent, keep_largest_component, label_batches,
};
use lamina_engine::observer::Flow;
use lamina_engine::preprocess::{Placement, Preprocessor};
use lamina_io::Volume;
use ndarray::{Array2, Array3, Axis};

use super::job::Worker;

/// A model that can be chosen.
#[derive(Debug, Clone)]
pub struct ModelChoice {
    /// Where its bundle lies.
    pub folder: PathBuf,
    /// What it says of itself.
    pub manifest: Arc<Manifest>,
}

impl ModelChoice {
    /// What speaks against using it on `volume`, in plain sentences.
    pub fn doubts_about(&self, volume: &Volume) -> Vec<String> {
        let mut doubts = Vec::new();
        if let Some(modality) = &volume.modality
            && !modality.name().eq_ignore_ascii_case(&self.manifest.modality)
        {
            doubts.push(format!(
                "The model was made for {}, this image is {}.",
                self.manifest.modality.to_uppercase(),
                modality.name().to_uppercase()
            ));
        }
        if volume.geometry.spacing_mm().is_none() {
            doubts.push("The image does not say how large its voxels are.".to_owned());
        }
        doubts
    }
}

/// The model that was used last, kept so that the next use begins at once.
pub type ModelSlot = Arc<Mutex<Option<(PathBuf, Model)>>>;

/// What to segment.
#[derive(Debug, Clone)]
pub struct SegmentRequest {
    /// The image.
    pub volume: Arc<Volume>,
    /// The model.
    pub choice: ModelChoice,
    /// The voxel (i, j, k) whose slice comes first.
    pub first: [usize; 3],
}

/// One slice with its labels.
#[derive(Debug)]
pub struct SliceResult {
    /// Its place among the slices.
    pub index: usize,
    /// The labels.
    pub labels: Array2<u8>,
    /// Share of the largest entropy, 0 to 255.
    pub entropy: Array2<u8>,
    /// What the expected Dice lacks.
    pub risk: f64,
    /// What the risk follows from, to add up to that of the case.
    pub expectation: Expectation,
}

/// How it goes.
#[derive(Debug)]
pub enum SegmentEvent {
    /// The model is loaded and slices come next.
    Started {
        /// Where slices lie among the voxels.
        placement: Placement,
        /// How many there are.
        total: usize,
        /// Something about the device.
        notice: Option<String>,
    },
    /// Some slices are done.
    Slices(Vec<SliceResult>),
    /// All are done; the labels again where they were tidied up as a whole.
    Finished(Option<Array3<u8>>),
    /// It did not work.
    Failed(String),
}

/// Loads the model if it is not the one in `slot`.
fn with_model<T>(
    slot: &ModelSlot,
    choice: &ModelChoice,
    work: impl FnOnce(&Model) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    // A panic in an earlier use leaves nothing half done in a model.
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if slot.as_ref().is_none_or(|(folder, _)| *folder != choice.folder) {
        let model = Model::load(&choice.folder, &DeviceChoice::Auto.open())?;
        *slot = Some((choice.folder.clone(), model));
    }
    let (_, model) = slot.as_ref().expect("filled above");
    work(model)
}

/// Loads a model before anybody waits for it.
///
/// # Errors
/// When the bundle is damaged.
pub fn preload(slot: &ModelSlot, choice: &ModelChoice) -> Result<(), EngineError> {
    with_model(slot, choice, |_| Ok(()))
}

/// Labels the slices of the volume outward from the first.
pub fn segment(request: &SegmentRequest, slot: &ModelSlot, worker: &Worker<SegmentEvent>) {
    let answer = with_model(slot, &request.choice, |model| run(request, model, worker));
    match answer {
        Ok(()) | Err(EngineError::Stopped) => {}
        Err(error) => worker.send(SegmentEvent::Failed(format!(
            "Cannot segment: {}",
            crate::cli::error_line(&error)
        ))),
    }
}

fn run(
    request: &SegmentRequest,
    model: &Model,
    worker: &Worker<SegmentEvent>,
) -> Result<(), EngineError> {
    model.manifest.check_takes_volumes()?;
    let config = &model.manifest.inference;
    let prepared =
        Preprocessor::new(model.manifest.preprocessing.clone()).prepare(&request.volume)?;
    let placement = prepared.placement();
    let total = prepared.len();
    let notice = model.device.notice.clone();
    worker.send(SegmentEvent::Started { placement, total, notice });
    let first = placement.slice_of_voxel(request.first[placement.slice_axis()]);
    let order = outward(first.unwrap_or(total / 2), total);
    let (first, rest) = order.split_at(1.min(total));
    let mut batches = vec![first.to_vec()];
    batches.extend(rest.chunks(config.batch_size).map(<[usize]>::to_vec));

    let tidied = config.largest_component != LargestComponent::Off;
    let [height, width] = prepared.resampling.from;
    let mut all = tidied.then(|| Array3::zeros([total, height, width]));
    label_batches(&prepared, &model.as_labeler(), &batches, true, &mut |slices| {
        let results = slices.into_iter().filter_map(|slice| {
            if let Some(all) = &mut all {
                all.index_axis_mut(Axis(0), slice.index).assign(&slice.labels);
            }
            let doubt = slice.doubt?;
            Some(SliceResult {
                index: slice.index,
                labels: slice.labels.to_owned(),
                entropy: doubt.entropy,
                risk: doubt.risk,
                expectation: doubt.expectation,
            })
        });
        worker.send(SegmentEvent::Slices(results.collect()));
        if worker.stopped() { Flow::Stop } else { Flow::Continue }
    })?;
    let labels = all.map(|all| {
        keep_largest_component(prepared.undo(all.view()), config.largest_component).labels
    });
    worker.send(SegmentEvent::Finished(labels));
    Ok(())
}

/// All places from 0 to `total`, by how near they are to `first`.
fn outward(first: usize, total: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..total).collect();
    order.sort_by_key(|index| index.abs_diff(first));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_visited_outward() {
        assert_eq!(outward(2, 6), [2, 1, 3, 0, 4, 5]);
        assert_eq!(outward(0, 3), [0, 1, 2]);
        assert_eq!(outward(5, 0), Vec::<usize>::new());
    }
}
