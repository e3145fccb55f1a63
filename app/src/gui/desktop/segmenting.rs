//! Running the model.

use std::collections::BTreeMap;

use lamina_edit::{Operation, Paste};
use lamina_engine::preprocess::Placement;
use ndarray::Array3;

use super::Desktop;
use crate::gui::job::{Job, News};
use crate::gui::labels::LabelLayer;
use crate::gui::segment::{ModelSlot, SegmentEvent, SegmentRequest, SliceResult, preload, segment};
use crate::gui::state::{Activity, DoubtLayer};

/// The run of a model, and the model.
#[derive(Default)]
pub(super) struct Segmenting {
    job: Option<Job<SegmentEvent>>,
    /// Where slices lie, how many are done, of how many.
    placement: Option<(Placement, usize, usize)>,
    preloading: Option<Job<String>>,
    slot: ModelSlot,
}

impl Segmenting {
    pub(super) fn is_running(&self) -> bool {
        self.job.is_some()
    }

    /// Ends the run, whatever it has done.
    pub(super) fn stop(&mut self) {
        self.job = None; // dropping it stops it
        self.placement = None;
    }
}

impl Desktop {
    pub(super) fn preload(&mut self) {
        let Some(choice) = self.state.models.get(self.state.model).cloned() else { return };
        let slot = self.segmenting.slot.clone();
        self.segmenting.preloading = Some(Job::start(
            self.wake(),
            |reason| reason,
            move |worker| {
                // A damaged bundle is said when it is used.
                if let Err(error) = preload(&slot, &choice) {
                    worker.send(error.to_string());
                }
            },
        ));
    }

    pub(super) fn segment(&mut self) {
        if self.segmenting.is_running() || self.correcting.is_running() {
            return;
        }
        let (Some(image), Some(index)) = (&self.state.image, self.state.crosshair_index()) else {
            return self.notice("Open an image first.");
        };
        let Some(choice) = self.state.models.get(self.state.model).cloned() else {
            return self.problem(
                "No model was found. Put a bundle into the folder `models` beside the program, or \
                 name its folder in LAMINA_MODELS.",
            );
        };
        let [depth, height, width] = image.volume.shape();
        let limits = [width, height, depth];
        let first =
            [0, 1, 2].map(|axis| (index[axis].round().max(0.0) as usize).min(limits[axis] - 1));
        let request = SegmentRequest { volume: image.volume.clone(), choice, first };
        let slot = self.segmenting.slot.clone();
        self.state.segmenting = Some(Activity::new("Preparing"));
        self.segmenting.job = Some(Job::start(
            self.wake(),
            |reason| SegmentEvent::Failed(format!("Cannot segment: the model failed: {reason}")),
            move |worker| segment(&request, &slot, worker),
        ));
    }

    pub(super) fn take_slices(&mut self) {
        while let Some(job) = &self.segmenting.job {
            match job.news() {
                News::Nothing => return,
                News::Over => self.end_segmenting(None),
                News::Event(SegmentEvent::Started { placement, total, notice }) => {
                    self.begin_labels(placement, total);
                    if let Some(notice) = notice {
                        self.notice(notice);
                    }
                }
                News::Event(SegmentEvent::Slices(slices)) => self.take(slices),
                News::Event(SegmentEvent::Finished(tidied)) => self.end_segmenting(tidied),
                News::Event(SegmentEvent::Failed(text)) => {
                    self.problem(text);
                    self.end_segmenting(None);
                }
            }
        }
    }

    /// Ends the run; what it made becomes one step.
    pub(super) fn end_segmenting(&mut self, tidied: Option<Array3<u8>>) {
        self.segmenting.stop();
        self.state.segmenting = None;
        let Some(layer) = &mut self.state.labels else { return };
        if let Some(labels) = layer.made_live(tidied) {
            let by = layer.origin.clone();
            self.apply(Operation::Paste(Paste { start: [0; 3], labels, by }));
        }
    }

    /// Layers that slices are written into.
    fn begin_labels(&mut self, placement: Placement, total: usize) {
        let (Some(image), Some(choice)) =
            (&self.state.image, self.state.models.get(self.state.model))
        else {
            return;
        };
        let mut layer =
            self.state.labels.take().unwrap_or_else(|| LabelLayer::empty(&image.volume));
        layer.name_labels(&choice.manifest.classes);
        layer.origin.clone_from(&choice.manifest.name);
        layer.begin_live();
        self.state.labels = Some(layer);
        let shape = image.volume.shape();
        let axis = placement.slice_axis();
        self.state.doubt = Some(DoubtLayer {
            entropy: Array3::zeros(shape),
            axis,
            risks: vec![None; shape[2 - axis]],
            expectations: BTreeMap::new(),
            revision: self.state.doubt.as_ref().map_or(0, |doubt| doubt.revision + 1),
        });
        self.state.overlay.labels = true;
        self.segmenting.placement = Some((placement, 0, total));
        self.state.segmenting = Some(Activity::new("Segmenting"));
    }

    fn take(&mut self, slices: Vec<SliceResult>) {
        let (Some((placement, done, total)), Some(layer), Some(doubt)) =
            (&mut self.segmenting.placement, &mut self.state.labels, &mut self.state.doubt)
        else {
            return;
        };
        for slice in slices {
            layer.take_slice(slice.index, slice.labels.view(), placement);
            placement.write_slice(slice.index, slice.entropy.view(), doubt.entropy.view_mut());
            let place = placement.voxel_of_slice(slice.index);
            doubt.risks[place] = Some(slice.risk);
            doubt.expectations.insert(place, slice.expectation);
            *done += 1;
        }
        doubt.revision += 1;
        if let Some(activity) = &mut self.state.segmenting {
            activity.done = Some(*done as f32 / (*total).max(1) as f32);
            activity.what = format!("Segmenting, slice {done} of {total}");
        }
    }

    pub(super) fn choose_model(&mut self, index: usize) {
        if index < self.state.models.len() && !self.segmenting.is_running() {
            self.state.model = index;
            self.preload();
        }
    }
}
