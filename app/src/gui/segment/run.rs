//! The run of a model, slice by slice, the one in view first. A job.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lamina_engine::bundle::Model;
use lamina_engine::device::DeviceChoice;
use lamina_engine::error::EngineError;
use lamina_engine::inference::{Expectation, Extras, label_batches, tidy};
use lamina_engine::observer::Flow;
use lamina_engine::preprocess::{Placement, Prepared, Preprocessor};
use lamina_io::Volume;
use ndarray::{Array2, Array3, Axis};

use super::region::VoxelBox;
use super::{ModelChoice, memory};
use crate::gui::job::Worker;

/// A batch is no longer than this where it has more than a slice, so that stopping is heard soon.
const BATCH_TIME: Duration = Duration::from_millis(150);

/// The model that was used last with its device, kept so that the next use begins at once.
pub type ModelSlot = Arc<Mutex<Option<(PathBuf, DeviceChoice, Model)>>>;

/// The voxel (i, j, k) that is looked at: its slice comes next, also when it changes on the way.
#[derive(Debug, Default)]
pub struct Focus([AtomicUsize; 3]);

impl Focus {
    /// Looks there.
    pub fn set(&self, voxel: [usize; 3]) {
        for (axis, at) in self.0.iter().zip(voxel) {
            axis.store(at, Ordering::Relaxed);
        }
    }

    fn on(&self, axis: usize) -> usize {
        self.0[axis].load(Ordering::Relaxed)
    }
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Labels of all slices.
    Whole,
    /// Labels of this part.
    Part(VoxelBox),
    /// No labels: only how probable a class is.
    Probability,
}

impl Work {
    /// The part of a volume of this shape that gets labels.
    pub fn part(self, shape: [usize; 3]) -> Option<VoxelBox> {
        match self {
            Self::Whole => Some(VoxelBox::whole(shape)),
            Self::Part(part) => Some(part),
            Self::Probability => None,
        }
    }
}

/// What to segment.
#[derive(Debug, Clone)]
pub struct SegmentRequest {
    /// The image.
    pub volume: Arc<Volume>,
    /// The model.
    pub choice: ModelChoice,
    /// Where to compute.
    pub device: DeviceChoice,
    /// What for.
    pub work: Work,
    /// The class whose probabilities are wanted beside the labels.
    pub probability_of: Option<u8>,
    /// What is looked at.
    pub focus: Arc<Focus>,
}

/// One slice with its labels.
#[derive(Debug)]
pub struct SliceResult {
    /// Its place among the slices.
    pub index: usize,
    /// The labels.
    pub labels: Array2<u8>,
    /// Share of the largest entropy, 0 to 255; none where only probabilities were wanted.
    pub entropy: Option<Array2<u8>>,
    /// What the expected Dice lacks.
    pub risk: f64,
    /// What the risk follows from, to add up to that of the case.
    pub expectation: Option<Expectation>,
    /// How probable the class that was asked for is.
    pub probability: Option<Array2<u8>>,
}

/// How it goes.
#[derive(Debug)]
pub enum SegmentEvent {
    /// The model is there, on this device; with a notice where that is not the one asked for.
    Loaded(String, Option<String>),
    /// Slices come next.
    Started {
        /// Where slices lie among the voxels.
        placement: Placement,
        /// How many are looked at.
        total: usize,
    },
    /// Some slices are done.
    Slices(Vec<SliceResult>),
    /// All are done; the labels again where they were tidied up as a whole.
    Finished(Option<Array3<u8>>),
    /// The model cannot be used.
    CannotLoad(String),
    /// It did not work.
    Failed(String),
}

/// Loads the model if it is not the one in `slot`, and works with it.
fn with_model<T>(
    slot: &ModelSlot,
    choice: &ModelChoice,
    device: DeviceChoice,
    worker: &Worker<SegmentEvent>,
    work: impl FnOnce(&Model) -> Result<T, EngineError>,
) -> Option<Result<T, EngineError>> {
    // A panic in an earlier use leaves nothing half done in a model.
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    let is_it = |(folder, on, _): &(PathBuf, DeviceChoice, Model)| {
        *folder == choice.folder && *on == device
    };
    if !slot.as_ref().is_some_and(is_it) {
        if worker.stopped() {
            return None;
        }
        *slot = None; // the memory of the other is needed
        match Model::load(&choice.folder, &device.open()) {
            Ok(model) => *slot = Some((choice.folder.clone(), device, model)),
            Err(error) => {
                worker.send(SegmentEvent::CannotLoad(format!(
                    "Cannot load this model: {}. Choose another one, or copy its bundle here again.",
                    crate::cli::error_line(&error).trim_end_matches('.')
                )));
                return None;
            }
        }
    }
    let (_, _, model) = slot.as_ref()?;
    worker.send(SegmentEvent::Loaded(model.device.name.clone(), model.device.notice.clone()));
    Some(work(model))
}

/// Loads a model before anybody waits for it.
pub fn preload(
    slot: &ModelSlot,
    choice: &ModelChoice,
    device: DeviceChoice,
    worker: &Worker<SegmentEvent>,
) {
    with_model(slot, choice, device, worker, |_| Ok(()));
}

/// Labels the slices that are wanted, outward from the one that is looked at.
pub fn segment(request: &SegmentRequest, slot: &ModelSlot, worker: &Worker<SegmentEvent>) {
    let needed = memory::needed(&request.volume, &request.choice.manifest);
    if let Some(sentence) = memory::too_little(needed, memory::available()) {
        return worker.send(SegmentEvent::Failed(sentence));
    }
    let answer = with_model(slot, &request.choice, request.device, worker, |model| {
        run(request, model, worker)
    });
    if let Some(Err(error)) = answer
        && !matches!(error, EngineError::Stopped)
    {
        let reason = crate::cli::error_line(&error);
        worker.send(SegmentEvent::Failed(format!("Cannot segment: {reason}")));
    }
}

fn run(
    request: &SegmentRequest,
    model: &Model,
    worker: &Worker<SegmentEvent>,
) -> Result<(), EngineError> {
    model.manifest.check_takes_gray()?;
    let prepared =
        Preprocessor::new(model.manifest.preprocessing.clone()).prepare(&request.volume)?;
    let placement = prepared.placement();
    let tidied = request.work != Work::Probability && model.manifest.inference.tidies();
    let mut waiting = wanted_slices(request.work, &placement, prepared.len(), tidied);
    worker.send(SegmentEvent::Started { placement, total: waiting.len() });

    let [height, width] = prepared.resampling.from;
    let mut all = tidied.then(|| Array3::zeros([prepared.len(), height, width]));
    let most = model.manifest.inference.batch_size;
    let mut size = 1;
    while !waiting.is_empty() {
        if worker.stopped() {
            return Err(EngineError::Stopped);
        }
        let batch =
            next_batch(&mut waiting, request.focus.on(placement.slice_axis()), &placement, size);
        let began = Instant::now();
        let count = batch.len();
        one_batch(request, model, &prepared, batch, all.as_mut(), worker)?;
        size = batch_size(began.elapsed() / count.max(1) as u32, most);
    }
    let labels = all.map(|all| tidy(prepared.undo(all.view()), &model.manifest.inference).labels);
    worker.send(SegmentEvent::Finished(labels));
    Ok(())
}

/// The slices that a run looks at. Where labels are tidied up as a whole, a part of them takes all.
fn wanted_slices(work: Work, placement: &Placement, total: usize, tidied: bool) -> Vec<usize> {
    match work {
        Work::Part(part) if !tidied => {
            let axis = placement.slice_axis();
            (0..total).filter(|index| part.holds(axis, placement.voxel_of_slice(*index))).collect()
        }
        _ => (0..total).collect(),
    }
}

/// The slices nearest to the voxel that is looked at, taken from those that wait.
fn next_batch(
    waiting: &mut Vec<usize>,
    looked_at: usize,
    placement: &Placement,
    size: usize,
) -> Vec<usize> {
    let far = |index: &usize| placement.voxel_of_slice(*index).abs_diff(looked_at);
    waiting.sort_by_key(|index| (far(index), *index));
    waiting.drain(..size.clamp(1, waiting.len())).collect()
}

/// How many slices take no longer than is good for stopping; labels do not depend on it.
fn batch_size(per_slice: Duration, most: usize) -> usize {
    let fit = BATCH_TIME.as_secs_f64() / per_slice.as_secs_f64().max(1e-6);
    (fit as usize).clamp(1, most.max(1))
}

fn one_batch(
    request: &SegmentRequest,
    model: &Model,
    prepared: &Prepared,
    batch: Vec<usize>,
    mut all: Option<&mut Array3<u8>>,
    worker: &Worker<SegmentEvent>,
) -> Result<(), EngineError> {
    let doubt = request.work != Work::Probability;
    let extras = Extras { doubt, probability_of: request.probability_of };
    label_batches(prepared, &model.as_labeler(), &[batch], extras, &mut |slices| {
        let results = slices.into_iter().map(|slice| {
            if let Some(all) = &mut all {
                all.index_axis_mut(Axis(0), slice.index).assign(&slice.labels);
            }
            let (entropy, risk, expectation) = match slice.doubt {
                Some(doubt) => (Some(doubt.entropy), doubt.risk, Some(doubt.expectation)),
                None => (None, 0.0, None),
            };
            SliceResult {
                index: slice.index,
                labels: slice.labels.to_owned(),
                entropy,
                risk,
                expectation,
                probability: slice.probability,
            }
        });
        worker.send(SegmentEvent::Slices(results.collect()));
        if worker.stopped() { Flow::Stop } else { Flow::Continue }
    })
}

#[cfg(test)]
mod tests {
    use lamina_engine::preprocess::PreprocessConfig;
    use lamina_io::{Affine, Geometry};

    use super::*;

    fn placement(depth: usize) -> Placement {
        let shape = [depth, 2, 2];
        let values = Array3::from_shape_fn(shape, |(k, j, i)| (k + j + i) as f32);
        let affine = Affine::from_spacing_origin([1.0; 3], [0.0; 3]);
        let volume = Volume::from_array(values, Geometry::new(shape, affine).unwrap()).unwrap();
        Preprocessor::new(PreprocessConfig::default()).prepare(&volume).unwrap().placement()
    }

    #[test]
    fn slices_are_visited_outward_from_what_is_looked_at_now() {
        let placement = placement(8);
        let mut waiting: Vec<usize> = (0..8).collect();
        assert_eq!(next_batch(&mut waiting, 2, &placement, 1), [2]);
        assert_eq!(next_batch(&mut waiting, 2, &placement, 2), [1, 3]);
        assert_eq!(next_batch(&mut waiting, 7, &placement, 2), [7, 6]);
        assert_eq!(next_batch(&mut waiting, 7, &placement, 9), [5, 4, 0]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_part_takes_its_slices_and_tidied_labels_take_all() {
        let part = Work::Part(VoxelBox { start: [0, 0, 2], end: [1, 1, 4] });
        let placement = placement(6);
        assert_eq!(wanted_slices(part, &placement, 6, false), [2, 3]);
        assert_eq!(wanted_slices(part, &placement, 6, true).len(), 6);
        assert_eq!(wanted_slices(Work::Whole, &placement, 6, false).len(), 6);
    }

    #[test]
    fn batches_are_as_long_as_stopping_may_take() {
        assert_eq!(batch_size(Duration::from_millis(40), 8), 3);
        assert_eq!(batch_size(Duration::from_secs(3), 8), 1);
        assert_eq!(batch_size(Duration::ZERO, 8), 8);
    }
}
