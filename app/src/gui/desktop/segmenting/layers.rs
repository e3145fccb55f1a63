//! What a run makes: its slices go into the layers of the image, and its end becomes one step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use lamina_edit::{Operation, Paste};
use lamina_engine::preprocess::Placement;
use ndarray::{Array3, Axis, s};

use super::Run;
use crate::gui::desktop::Desktop;
use crate::gui::labels::LabelLayer;
use crate::gui::segment::pace::Pace;
use crate::gui::segment::{Overlay, ProbabilityLayer, SliceResult, VoxelBox, Work};
use crate::gui::state::{Activity, DoubtLayer};

impl Desktop {
    /// Layers that slices are written into.
    pub(super) fn begin(&mut self, placement: Placement, total: usize) {
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

    pub(super) fn take(&mut self, slices: Vec<SliceResult>) {
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
    pub(super) fn finish(&mut self, tidied: Option<&Array3<u8>>) {
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
    pub(in crate::gui::desktop) fn end_segmenting(&mut self) {
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
}
