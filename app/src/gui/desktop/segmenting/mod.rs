//! Running the model: what starts a run, takes in what its jobs send, and ends it.
//!
//! Which model runs is left to `models.rs`, what a run makes to `layers.rs`.

mod layers;
mod models;

use std::path::PathBuf;
use std::sync::Arc;

use lamina_engine::device::OfferedDevice;
use lamina_engine::preprocess::Placement;

use super::Desktop;
use crate::gui::job::{Job, News};
use crate::gui::segment::pace::Pace;
use crate::gui::segment::{
    Focus, Loading, ModelChoice, ModelSlot, Overlay, SegmentCommand, SegmentEvent, SegmentRequest,
    VoxelBox, Work, segment,
};
use crate::gui::state::Activity;

/// The run of a model, and the model.
#[derive(Default)]
pub(super) struct Segmenting {
    job: Option<Job<SegmentEvent>>,
    /// What the job is for.
    work: Option<Work>,
    /// The class whose probabilities come along.
    probability_of: Option<u8>,
    run: Option<Run>,
    /// The image that the rest is about.
    image: Option<u64>,
    focus: Arc<Focus>,
    preloading: Option<Job<SegmentEvent>>,
    looking: Option<Job<Vec<OfferedDevice>>>,
    checking: Option<(u64, PathBuf, Job<Vec<String>>)>,
    adding: Option<Job<Result<ModelChoice, String>>>,
    slot: ModelSlot,
}

/// A run that makes slices.
struct Run {
    placement: Placement,
    done: usize,
    total: usize,
    pace: Pace,
}

impl Segmenting {
    pub(super) fn is_running(&self) -> bool {
        self.job.is_some()
    }

    /// Whether a model is being added or held against the image.
    pub(super) fn is_preparing(&self) -> bool {
        self.checking.is_some() || self.adding.is_some()
    }

    /// Ends the run, whatever it has done.
    pub(super) fn stop(&mut self) {
        self.job = None; // dropping it stops it
        self.run = None;
        self.work = None;
        self.probability_of = None;
    }
}

impl Desktop {
    pub(super) fn run_segment(&mut self, command: SegmentCommand) {
        let state = &mut self.state.segment;
        match command {
            SegmentCommand::Model(index) => self.choose_model(index),
            SegmentCommand::Device(device) => {
                if !self.segmenting.is_running() && state.device != device {
                    state.device = device;
                    self.preload();
                }
            }
            SegmentCommand::AddBundle(path) => self.add_bundle(path),
            SegmentCommand::Card => state.card = !state.card,
            SegmentCommand::Range(range) => state.range = Some(range),
            SegmentCommand::Slices(range) => {
                state.range = None; // the next one is in view again
                self.segment_slices(range);
            }
            SegmentCommand::DrawBox => state.drawing = !state.drawing,
            SegmentCommand::Box(one, other) => {
                let Some(image) = &self.state.image else { return };
                state.region = VoxelBox::around(one, other, image.volume.shape());
                // It was drawn across the axis on which it is a single slice.
                let flat = (0..3).find(|axis| one[*axis] == other[*axis]);
                state.region_axis = flat.unwrap_or(state.region_axis);
            }
            SegmentCommand::BoxRange(axis, range) => {
                let Some(image) = &self.state.image else { return };
                let shape = image.volume.shape();
                state.region = state.region.map(|region| region.along(axis, range, shape));
            }
            SegmentCommand::RunBox => {
                if let Some(region) = state.region {
                    state.drawing = false;
                    self.start_run(Work::Part(region));
                }
            }
            SegmentCommand::ClearBox => {
                state.region = None;
                state.drawing = false;
            }
            SegmentCommand::Overlay(overlay) => self.paint_softmax(overlay),
        }
    }

    /// Labels the whole volume.
    pub(super) fn segment(&mut self) {
        self.start_run(Work::Whole);
    }

    /// Labels the slice in view of the model's plane again.
    pub(super) fn segment_slice_again(&mut self) {
        let Some(plane) = self.state.model_plane() else {
            return self.notice("Open an image first.");
        };
        if let Some(slice) = self.state.slice(plane) {
            self.segment_slices([slice; 2]);
        }
    }

    fn segment_slices(&mut self, range: [usize; 2]) {
        let (Some(image), Some(plane)) = (&self.state.image, self.state.model_plane()) else {
            return self.notice("Open an image first.");
        };
        let Some(view) = image.view(plane) else { return };
        let shape = image.volume.shape();
        let voxels = range.map(|page| view.slice.voxel(page.min(view.slice.len - 1)));
        let part = VoxelBox::whole(shape).along(view.slice.axis, voxels, shape);
        self.start_run(Work::Part(part));
    }

    fn start_run(&mut self, work: Work) {
        let changes = work != Work::Probability;
        if self.segmenting.is_running() || (changes && self.correcting.is_running()) {
            return;
        }
        let Some(image) = &self.state.image else {
            return self.notice("Open an image first.");
        };
        let Some(choice) = self.state.models.get(self.state.model).cloned() else {
            return self.problem(
                "No model was found. Put a bundle into the folder `models` beside the program, \
                 name its folder in LAMINA_MODELS, or add one.",
            );
        };
        let segment_state = &self.state.segment;
        let probability_of = match segment_state.overlay {
            Overlay::Probability(class) => Some(class),
            Overlay::None | Overlay::Doubt => None,
        };
        let request = SegmentRequest {
            volume: image.volume.clone(),
            choice,
            device: segment_state.device,
            work,
            probability_of,
            focus: self.segmenting.focus.clone(),
        };
        self.look_at_crosshair();
        let slot = self.segmenting.slot.clone();
        self.segmenting.work = Some(work);
        self.segmenting.probability_of = probability_of;
        self.state.segmenting = Some(Activity::new("Preparing"));
        self.segmenting.job = Some(Job::start(
            self.wake(),
            |reason| SegmentEvent::Failed(format!("Cannot segment: the model failed: {reason}")),
            move |worker| segment(&request, &slot, worker),
        ));
    }

    /// Tells the run what is in view.
    fn look_at_crosshair(&self) {
        if let (Some(image), Some(index)) = (&self.state.image, self.state.crosshair_index()) {
            let sizes = VoxelBox::whole(image.volume.shape()).end;
            self.segmenting.focus.set([0, 1, 2].map(|axis| {
                (index[axis].round().max(0.0) as usize).min(sizes[axis].saturating_sub(1))
            }));
        }
    }

    /// Takes in what the jobs about models have sent.
    pub(super) fn take_slices(&mut self) {
        self.forget_other_image();
        self.look_at_crosshair();
        self.take_models();
        while let Some(job) = &self.segmenting.job {
            match job.news() {
                News::Nothing => break,
                News::Over => self.end_segmenting(),
                News::Event(SegmentEvent::Loaded(device, notice)) => self.loaded(device, notice),
                News::Event(SegmentEvent::Started { placement, total }) => {
                    self.begin(placement, total);
                }
                News::Event(SegmentEvent::Slices(slices)) => self.take(slices),
                News::Event(SegmentEvent::Finished(tidied)) => self.finish(tidied.as_ref()),
                News::Event(SegmentEvent::CannotLoad(text)) => {
                    self.state.segment.loading = Loading::Failed(text.clone());
                    self.problem(text);
                    self.end_segmenting();
                }
                News::Event(SegmentEvent::Failed(text)) => {
                    self.problem(text);
                    self.end_segmenting();
                }
            }
        }
    }

    /// What belongs to one image goes with it.
    fn forget_other_image(&mut self) {
        let id = self.state.image.as_ref().map(|image| image.id);
        if self.segmenting.image == id {
            return;
        }
        self.segmenting.image = id;
        let segment = &mut self.state.segment;
        segment.probability = None;
        if matches!(segment.overlay, Overlay::Probability(_)) {
            segment.overlay = Overlay::None;
        }
        segment.found.clear();
        segment.region = None;
        segment.drawing = false;
        segment.range = None;
    }

    /// Whether what runs makes labels.
    pub(super) fn makes_labels(&self) -> bool {
        self.segmenting.work.is_some_and(|work| work != Work::Probability)
    }

    pub(super) fn toggle_doubt(&mut self) {
        let shown = self.state.segment.overlay == Overlay::Doubt;
        self.paint_softmax(if shown { Overlay::None } else { Overlay::Doubt });
    }

    /// Paints something of the softmax; probabilities that are not there yet are computed.
    fn paint_softmax(&mut self, overlay: Overlay) {
        self.state.segment.overlay = overlay;
        let Overlay::Probability(class) = overlay else { return };
        let known = self.state.segment.probability.as_ref();
        let complete = known.is_some_and(|layer| layer.class == class && layer.complete);
        if self.segmenting.work == Some(Work::Probability) {
            self.segmenting.stop(); // of another class
            self.state.segmenting = None;
        }
        if !complete && self.state.image.is_some() && !self.segmenting.is_running() {
            self.start_run(Work::Probability);
        }
    }
}
