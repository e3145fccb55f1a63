//! Running the model.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use lamina_edit::{Operation, Paste};
use lamina_engine::device::{OfferedDevice, offered};
use lamina_engine::preprocess::Placement;
use ndarray::{Array3, Axis, s};

use super::Desktop;
use crate::gui::job::{Job, News};
use crate::gui::labels::LabelLayer;
use crate::gui::segment::pace::Pace;
use crate::gui::segment::{
    Checked, Focus, Loading, ModelChoice, ModelSlot, Overlay, ProbabilityLayer, SegmentCommand,
    SegmentEvent, SegmentRequest, SliceResult, VoxelBox, Work, doubts_about, preload, segment,
};
use crate::gui::state::{Activity, DoubtLayer};

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
            SegmentCommand::Range(range) => state.range = range,
            SegmentCommand::Slices(range) => {
                state.range = range;
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

    /// Loads the chosen model onto the chosen device.
    pub(super) fn preload(&mut self) {
        let Some(choice) = self.state.models.get(self.state.model).cloned() else { return };
        let (slot, device) = (self.segmenting.slot.clone(), self.state.segment.device);
        self.state.segment.loading = Loading::Loading;
        self.segmenting.preloading = Some(Job::start(
            self.wake(),
            |reason| {
                SegmentEvent::CannotLoad(format!("Cannot load this model: it failed: {reason}"))
            },
            move |worker| preload(&slot, &choice, device, worker),
        ));
    }

    /// Finds out which devices there are, once.
    pub(super) fn look_for_devices(&mut self) {
        self.segmenting.looking =
            Some(Job::start(self.wake(), |_| Vec::new(), |worker| worker.send(offered())));
    }

    fn add_bundle(&mut self, path: PathBuf) {
        self.state.typed_path = None;
        self.segmenting.adding = Some(Job::start(
            self.wake(),
            |reason| Err(format!("Cannot use this bundle: reading it failed: {reason}")),
            move |worker| worker.send(ModelChoice::read(&path)),
        ));
    }

    fn added(&mut self, choice: ModelChoice) {
        let real = |choice: &ModelChoice| {
            choice.folder.canonicalize().unwrap_or_else(|_| choice.folder.clone())
        };
        let name = choice.manifest.name.clone();
        let known = self.state.models.iter().position(|model| real(model) == real(&choice));
        let index = known.unwrap_or(self.state.models.len());
        match known {
            Some(index) => self.state.models[index] = choice, // it may have changed
            None => self.state.models.push(choice),
        }
        self.notice(format!("Added the model {name}, until the program ends."));
        self.choose_model(index);
    }

    pub(super) fn choose_model(&mut self, index: usize) {
        if index < self.state.models.len() && !self.segmenting.is_running() {
            self.state.model = index;
            let segment = &mut self.state.segment;
            segment.probability = None;
            segment.overlay = match segment.overlay {
                Overlay::Probability(_) => Overlay::None,
                other => other,
            };
            self.preload();
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

    fn take_models(&mut self) {
        while let Some(job) = &self.segmenting.preloading {
            match job.news() {
                News::Nothing => break,
                News::Over => self.segmenting.preloading = None,
                News::Event(SegmentEvent::Loaded(device, notice)) => self.loaded(device, notice),
                News::Event(SegmentEvent::CannotLoad(text)) => {
                    self.state.segment.loading = Loading::Failed(text);
                }
                News::Event(_) => {}
            }
        }
        if let Some(job) = &self.segmenting.looking {
            match job.news() {
                News::Nothing => {}
                News::Over => self.segmenting.looking = None,
                News::Event(devices) => self.state.segment.devices = devices,
            }
        }
        if let Some(job) = &self.segmenting.adding {
            match job.news() {
                News::Nothing => {}
                News::Over => self.segmenting.adding = None,
                News::Event(Ok(choice)) => self.added(choice),
                News::Event(Err(text)) => self.problem(text),
            }
        }
        self.check_fit();
    }

    fn loaded(&mut self, device: String, notice: Option<String>) {
        self.state.segment.loading = Loading::Ready(device);
        if let Some(notice) = notice {
            self.notice(notice);
        }
    }

    /// Holds the image against what the model was trained on, wherever either is new.
    fn check_fit(&mut self) {
        let (Some(image), Some(choice)) =
            (&self.state.image, self.state.models.get(self.state.model))
        else {
            self.segmenting.checking = None;
            return;
        };
        let is_it = |number: u64, folder: &PathBuf| number == image.id && *folder == choice.folder;
        let known = &self.state.segment.checked;
        if known.as_ref().is_some_and(|checked| is_it(checked.image, &checked.folder)) {
            return;
        }
        match &self.segmenting.checking {
            Some((number, folder, job)) if is_it(*number, folder) => match job.news() {
                News::Nothing => {}
                News::Over => {
                    // Without an answer there is nothing to say.
                    let checked =
                        Checked { image: *number, folder: folder.clone(), sentences: Vec::new() };
                    self.state.segment.checked = Some(checked);
                    self.segmenting.checking = None;
                }
                News::Event(sentences) => {
                    let checked = Checked { image: *number, folder: folder.clone(), sentences };
                    self.state.segment.checked = Some(checked);
                    self.segmenting.checking = None;
                }
            },
            _ => {
                let (volume, manifest) = (image.volume.clone(), choice.manifest.clone());
                let key = (image.id, choice.folder.clone());
                let job = Job::start(
                    self.wake(),
                    |_| Vec::new(),
                    move |worker| worker.send(doubts_about(&manifest, &volume)),
                );
                self.segmenting.checking = Some((key.0, key.1, job));
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
        let plane = self.state.model_plane();
        let slice = plane.and_then(|plane| self.state.slice(plane)).unwrap_or(0);
        let segment = &mut self.state.segment;
        segment.probability = None;
        if matches!(segment.overlay, Overlay::Probability(_)) {
            segment.overlay = Overlay::None;
        }
        segment.found.clear();
        segment.region = None;
        segment.drawing = false;
        segment.range = [slice; 2];
    }

    /// Layers that slices are written into.
    fn begin(&mut self, placement: Placement, total: usize) {
        let (Some(image), Some(choice), Some(work)) =
            (&self.state.image, self.state.models.get(self.state.model), self.segmenting.work)
        else {
            return;
        };
        let shape = image.volume.shape();
        let axis = placement.slice_axis();
        if work != Work::Probability {
            let known = self.state.labels.take();
            let is_new = known.is_none();
            let mut layer = known.unwrap_or_else(|| LabelLayer::empty(&image.volume));
            if is_new || work == Work::Whole {
                layer.name_labels(&choice.manifest.classes);
                layer.origin.clone_from(&choice.manifest.name);
            }
            layer.begin_live();
            self.state.labels = Some(layer);
            self.state.overlay.labels = true;
            self.state.segment.found.clear();
            let doubt = self.state.doubt.as_ref();
            if work == Work::Whole || doubt.is_none_or(|doubt| doubt.axis != axis) {
                self.state.doubt = Some(DoubtLayer {
                    entropy: Array3::zeros(shape),
                    axis,
                    risks: vec![None; shape[2 - axis]],
                    expectations: BTreeMap::new(),
                    revision: doubt.map_or(0, |doubt| doubt.revision + 1),
                });
            }
        }
        if let Overlay::Probability(class) = self.state.segment.overlay {
            let known = self.state.segment.probability.as_ref();
            if known.is_none_or(|layer| layer.class != class) {
                let revision = known.map_or(0, |layer| layer.revision + 1);
                let values = Array3::zeros(shape);
                self.state.segment.probability =
                    Some(ProbabilityLayer { class, values, revision, complete: false });
            }
        }
        let mut pace = Pace::default();
        pace.note(Instant::now(), 0);
        self.segmenting.run = Some(Run { placement, done: 0, total, pace });
        self.state.segmenting = Some(Activity::new("Segmenting"));
    }

    fn take(&mut self, slices: Vec<SliceResult>) {
        let (Some(run), Some(image), Some(work)) =
            (&mut self.segmenting.run, &self.state.image, self.segmenting.work)
        else {
            return;
        };
        let placement = &run.placement;
        let part = work.part(image.volume.shape());
        for slice in slices {
            if let (Some(part), Some(layer)) = (&part, &mut self.state.labels) {
                layer.take_slice(slice.index, slice.labels.view(), placement, part);
            }
            if let (Some(entropy), Some(doubt)) = (&slice.entropy, &mut self.state.doubt) {
                placement.write_slice(slice.index, entropy.view(), doubt.entropy.view_mut());
                let place = placement.voxel_of_slice(slice.index);
                doubt.risks[place] = Some(slice.risk);
                doubt.expectations.extend(slice.expectation.map(|known| (place, known)));
                doubt.revision += 1;
            }
            if let (Some(probability), Some(layer)) =
                (&slice.probability, &mut self.state.segment.probability)
            {
                placement.write_slice(slice.index, probability.view(), layer.values.view_mut());
                layer.revision += 1;
            }
            run.done += 1;
        }
        run.pace.note(Instant::now(), run.done);
        if let Some(activity) = &mut self.state.segmenting {
            activity.done = Some(run.done as f32 / run.total.max(1) as f32);
            activity.paced = run.pace.left(run.total);
            let doing = if work == Work::Probability { "Probabilities" } else { "Segmenting" };
            let speed = run.pace.per_second();
            let speed = speed.map_or_else(String::new, |speed| format!(", {speed:.1} per second"));
            activity.what = format!("{doing}, slice {} of {}{speed}", run.done, run.total);
        }
    }

    /// All slices are there.
    fn finish(&mut self, tidied: Option<&Array3<u8>>) {
        let (Some(run), Some(image), Some(work)) =
            (&self.segmenting.run, &self.state.image, self.segmenting.work)
        else {
            return self.end_segmenting();
        };
        if let (Some(part), Some(layer)) = (work.part(image.volume.shape()), &mut self.state.labels)
        {
            let axis = run.placement.slice_axis();
            for at in part.start[axis]..part.end[axis] {
                match tidied {
                    Some(tidied) => {
                        let plane = tidied.index_axis(Axis(2 - axis), at);
                        layer.take_plane(axis, at, &part, |mut labels| {
                            labels.index_axis_mut(Axis(2 - axis), at).assign(&plane);
                        });
                    }
                    // What the model crops away is background to it.
                    None if run.placement.slice_of_voxel(at).is_none() => {
                        layer.take_plane(axis, at, &part, |_| ());
                    }
                    None => {}
                }
            }
        }
        if work == Work::Whole {
            self.look_at_volumes();
        }
        let wanted = match self.state.segment.overlay {
            Overlay::Probability(class) => Some(class),
            Overlay::None | Overlay::Doubt => None,
        };
        if let Some(layer) = &mut self.state.segment.probability {
            let covered =
                !matches!(work, Work::Part(_)) && self.segmenting.probability_of.is_some();
            layer.complete |= covered && self.segmenting.probability_of == Some(layer.class);
        }
        self.end_segmenting();
        if let Some(class) = wanted {
            self.paint_softmax(Overlay::Probability(class)); // chosen on the way
        }
    }

    /// Holds how much was found against what training cases showed.
    fn look_at_volumes(&mut self) {
        let (Some(layer), Some(choice)) =
            (&self.state.labels, self.state.models.get(self.state.model))
        else {
            return;
        };
        let classes = choice.manifest.classes.len().min(256) as u16;
        let volumes = (1..classes).filter_map(|label| {
            let label = label as u8;
            Some((label, layer.volume_ml(label)?))
        });
        let volumes: BTreeMap<u8, f64> = volumes.collect();
        let fingerprint = choice.manifest.fingerprint.as_ref().filter(|_| !volumes.is_empty());
        let doubts = fingerprint.map(|it| it.doubts_about_found(&volumes)).unwrap_or_default();
        self.state.segment.found = doubts.into_iter().map(|doubt| doubt.sentence).collect();
    }

    /// Ends the run; what it made becomes one step.
    pub(super) fn end_segmenting(&mut self) {
        let part = match self.segmenting.work {
            Some(Work::Part(part)) => Some(part),
            _ => None,
        };
        self.segmenting.stop();
        self.state.segmenting = None;
        let by = self.state.models.get(self.state.model).map(|choice| choice.manifest.name.clone());
        let Some(layer) = &mut self.state.labels else { return };
        let Some(labels) = layer.made_live() else { return };
        let by = by.unwrap_or_else(|| layer.origin.clone());
        let paste = match part {
            None => Paste { start: [0; 3], labels, by },
            Some(VoxelBox { start: [i, j, k], end }) => {
                let labels = labels.slice(s![k..end[2], j..end[1], i..end[0]]).to_owned();
                Paste { start: [k, j, i], labels: Arc::new(labels), by }
            }
        };
        self.apply(Operation::Paste(paste));
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
