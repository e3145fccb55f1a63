//! Several models together: their probabilities averaged on the grid of the source.
//!
//! Where all look at slices of one plane and crop alike, batch after batch of slices is finished
//! and nothing is held for the whole volume but the labels. Where planes differ, probabilities
//! meet voxel by voxel: a 16-bit sum for each class, one for the entropy and the labels of each
//! member, `2 * (classes + 1) + members` bytes a voxel, whatever the number of members' slices.

use ndarray::{Array2, Array3, Array4, ArrayView2, ArrayView3, ArrayViewMut1, Axis, Zip, s};
use rayon::prelude::*;

use lamina_io::{CaseImage, LabelVolume};

use super::agreement::{Tally, UncertaintyMap, conclude, entropies};
use super::doubt::{CaseDoubt, Expectation, SliceDoubt, softmax};
use super::passes::Scores;
use super::slices::{Extras, argmax, at_source, label_batches};
use super::{Clock, Segmentation, StageSeconds, segment_image, tidy};
use crate::bundle::Model;
use crate::ensemble::Ensemble;
use crate::error::EngineError;
use crate::observer::{Event, Flow, Observer, Stage};
use crate::preprocess::{Placement, Prepared, Preprocessor};

/// Labels every voxel of `image` as the members of `ensemble` do on average; a single member
/// labels it as [`segment_image`] does. `map` asks for the uncertainty of each voxel, and of each
/// slice, as well.
///
/// # Errors
/// As [`segment_image`]; [`EngineError::Input`] where one member is asked how far members agree.
pub fn segment_together(
    case: &str,
    image: &CaseImage,
    ensemble: &Ensemble,
    map: Option<UncertaintyMap>,
    observer: &dyn Observer,
) -> Result<Segmentation, EngineError> {
    match (&ensemble.members[..], map) {
        ([model], None) => segment_image(case, image, model, observer),
        ([model], Some(UncertaintyMap::Entropy)) => with_entropy(case, image, model, observer),
        ([_], Some(UncertaintyMap::MutualInformation)) => Err(EngineError::Input {
            message: "expected several models, whose disagreement is measured, found one".into(),
        }),
        (members, map) => {
            for member in members {
                member.manifest.check_takes_volumes()?;
            }
            let order = |model: &Model| {
                let config = &model.manifest.preprocessing;
                (config.plane.axis_order(image.geometry()), config.crop)
            };
            // Pictures in color are taken as they are stored.
            let same = matches!(image, CaseImage::Color(_))
                || members.iter().all(|model| order(model) == order(&members[0]));
            let run = Run { case, image, ensemble, map, observer };
            if same { run.slice_by_slice() } else { run.voxel_by_voxel() }
        }
    }
}

/// One model, with the entropy of its own softmax.
fn with_entropy(
    case: &str,
    image: &CaseImage,
    model: &Model,
    observer: &dyn Observer,
) -> Result<Segmentation, EngineError> {
    model.manifest.check_takes_volumes()?;
    let mut clock = Clock::new(case, observer);
    let prepared = Preprocessor::new(model.manifest.preprocessing.clone()).prepare_image(image)?;
    let prepare = clock.finished(Stage::Prepare);
    let [height, width] = prepared.resampling.from;
    let mut labels = Array3::zeros([prepared.len(), height, width]);
    let mut entropy = Array3::zeros(labels.dim());
    let mut expected = Vec::new();
    let extras = Extras { doubt: true, ..Extras::default() };
    let batches = batches(prepared.len(), model.manifest.inference.batch_size);
    label_batches(&prepared, &model.as_labeler(), &batches, extras, &mut |slices| {
        let last = slices.last().map_or(0, |slice| slice.index + 1);
        for slice in slices {
            labels.index_axis_mut(Axis(0), slice.index).assign(&slice.labels);
            if let Some(doubt) = slice.doubt {
                entropy.index_axis_mut(Axis(0), slice.index).assign(&doubt.entropy);
                expected.push(doubt.expectation);
            }
        }
        let case = case.to_owned();
        observer.on(&Event::SlicesDone { case, done: last, total: prepared.len() })
    })?;
    let infer = clock.finished(Stage::Infer);
    let labels = tidy(prepared.undo(labels.view()), &model.manifest.inference);
    let uncertainty = Some(prepared.undo(entropy.view()));
    let restore = clock.finished(Stage::Restore);
    Ok(Segmentation {
        labels,
        doubt: CaseDoubt::of(expected),
        agreement: None,
        uncertainty,
        passes: prepared.len() * model.as_labeler().passes(&prepared),
        seconds: StageSeconds { prepare, infer, restore },
    })
}

/// What all ways to go through a volume share.
struct Run<'a> {
    case: &'a str,
    image: &'a CaseImage,
    ensemble: &'a Ensemble,
    map: Option<UncertaintyMap>,
    observer: &'a dyn Observer,
}

/// A slice that all members have seen.
struct Found {
    labels: Array2<u8>,
    expectation: Expectation,
    tally: Tally,
    map: Option<Array2<u8>>,
}

impl Found {
    /// # Shapes
    /// - `mean`: `[class, height, width]`, probabilities
    /// - `entropy`: `[height, width]`, the mean of the members'
    /// - `labels`: each member's, `[height, width]`
    fn of(
        mean: ArrayView3<'_, f32>,
        entropy: ArrayView2<'_, f32>,
        labels: &[ArrayView2<'_, u8>],
        map: Option<UncertaintyMap>,
    ) -> Self {
        let (tally, map) = Tally::of(mean, entropy, labels, map);
        let mut labels = Array2::zeros(entropy.dim());
        argmax(mean, labels.view_mut());
        let doubt = SliceDoubt::of(mean, false, labels.view());
        Self { labels, expectation: doubt.expectation, tally, map }
    }
}

impl Run<'_> {
    fn members(&self) -> &[Model] {
        &self.ensemble.members
    }

    fn classes(&self) -> usize {
        self.ensemble.manifest.classes.len()
    }

    fn tell(&self, done: usize, total: usize) -> Result<(), EngineError> {
        let event = Event::SlicesDone { case: self.case.to_owned(), done, total };
        match self.observer.on(&event) {
            Flow::Continue => Ok(()),
            Flow::Stop => Err(EngineError::Stopped),
        }
    }

    fn prepare(&self, model: &Model) -> Result<Prepared, EngineError> {
        Preprocessor::new(model.manifest.preprocessing.clone()).prepare_image(self.image)
    }

    /// Members whose slices are the same part of the volume: a batch of them at a time.
    fn slice_by_slice(&self) -> Result<Segmentation, EngineError> {
        let mut clock = Clock::new(self.case, self.observer);
        // Members that prepare volumes alike, such as those of five folds, share the slices.
        let mut prepared: Vec<Prepared> = Vec::new();
        let mut own: Vec<usize> = Vec::new();
        for (index, model) in self.members().iter().enumerate() {
            let config = &model.manifest.preprocessing;
            let before = &self.members()[..index];
            let like = before.iter().position(|other| other.manifest.preprocessing == *config);
            if let Some(like) = like {
                own.push(own[like]);
            } else {
                own.push(prepared.len());
                prepared.push(self.prepare(model)?);
            }
        }
        let prepare = clock.finished(Stage::Prepare);

        let placement = prepared[0].placement();
        let [height, width] = prepared[0].resampling.from;
        let total = prepared[0].len();
        let mut labels = Array3::zeros([total, height, width]);
        let mut map = self.map.map(|_| Array3::zeros(labels.dim()));
        let mut found = Vec::with_capacity(total);
        for batch in batches(total, self.batch_size()) {
            let all = self.batch(&batch, &own, &prepared, [height, width]);
            for (&index, slice) in batch.iter().zip(all) {
                labels.index_axis_mut(Axis(0), index).assign(&slice.labels);
                if let (Some(map), Some(drawn)) = (&mut map, &slice.map) {
                    map.index_axis_mut(Axis(0), index).assign(drawn);
                }
                found.push((placement.voxel_of_slice(index), slice.expectation, slice.tally));
            }
            self.tell(batch.last().map_or(0, |last| last + 1), total)?;
        }
        let infer = clock.finished(Stage::Infer);

        let labels = tidy(prepared[0].undo(labels.view()), &self.ensemble.manifest.inference);
        let uncertainty = map.map(|map| prepared[0].undo(map.view()));
        let restore = clock.finished(Stage::Restore);
        let passes = self.members().iter().zip(&own);
        let passes = passes.map(|(model, own)| model.as_labeler().passes(&prepared[*own]));
        Ok(self.segmentation(
            labels,
            uncertainty,
            &found,
            placement,
            total * passes.sum::<usize>(),
            StageSeconds { prepare, infer, restore },
        ))
    }

    /// Some slices through all members, in parallel where they come out.
    fn batch(
        &self,
        batch: &[usize],
        own: &[usize],
        prepared: &[Prepared],
        [height, width]: [usize; 2],
    ) -> Vec<Found> {
        let members = self.members().len();
        let mut sum = Array4::<f32>::zeros([batch.len(), self.classes(), height, width]);
        let mut entropy = Array3::<f32>::zeros([batch.len(), height, width]);
        let mut labels = Array4::<u8>::zeros([batch.len(), members, height, width]);
        for (member, (model, own)) in self.members().iter().zip(own).enumerate() {
            let prepared = &prepared[*own];
            let scores = model.as_labeler().scores(prepared, batch);
            Zip::from(sum.axis_iter_mut(Axis(0)))
                .and(entropy.axis_iter_mut(Axis(0)))
                .and(labels.axis_iter_mut(Axis(0)))
                .and(scores.values.axis_iter(Axis(0)))
                .par_for_each(|mut sum, mut entropy, mut labels, values| {
                    let probabilities = probabilities(values, scores.are_logits, prepared);
                    sum += &probabilities;
                    entropy += &entropies(probabilities.view());
                    argmax(probabilities.view(), labels.index_axis_mut(Axis(0), member));
                });
        }
        sum /= members as f32;
        entropy /= members as f32;
        let mut found: Vec<Option<Found>> = batch.iter().map(|_| None).collect();
        Zip::from(ArrayViewMut1::from(&mut found[..]))
            .and(sum.axis_iter(Axis(0)))
            .and(entropy.axis_iter(Axis(0)))
            .and(labels.axis_iter(Axis(0)))
            .par_for_each(|found, mean, entropy, labels| {
                let labels: Vec<ArrayView2<'_, u8>> = labels.outer_iter().collect();
                *found = Some(Found::of(mean, entropy, &labels, self.map));
            });
        found.into_iter().flatten().collect()
    }

    /// Members whose slices cross: one after the other through the whole volume.
    fn voxel_by_voxel(&self) -> Result<Segmentation, EngineError> {
        let mut clock = Clock::new(self.case, self.observer);
        let mut seconds = StageSeconds::default();
        let shape = self.image.geometry().shape();
        let mut sums = Sums::new(shape, self.classes(), self.members().len());
        let (mut done, mut passes) = (0, 0);
        let mut first = None;
        for (member, model) in self.members().iter().enumerate() {
            let prepared = self.prepare(model)?;
            let placement = prepared.placement();
            first.get_or_insert(placement);
            seconds.prepare += clock.finished(Stage::Prepare);
            sums.add_outside(&placement);
            passes += prepared.len() * model.as_labeler().passes(&prepared);
            for batch in batches(prepared.len(), model.manifest.inference.batch_size) {
                let Scores { values, are_logits } = model.as_labeler().scores(&prepared, &batch);
                let slices: Vec<(usize, ArrayView3<'_, f32>)> =
                    batch.iter().copied().zip(values.outer_iter()).collect();
                let seen: Vec<_> = slices
                    .into_par_iter()
                    .map(|(index, values)| (index, probabilities(values, are_logits, &prepared)))
                    .collect();
                for (index, probabilities) in seen {
                    sums.add(member, &placement, index, probabilities.view());
                }
                done += batch.len();
                // How many slices later members have is known once they are prepared.
                let more = (self.members().len() - member - 1) * prepared.len();
                let left = prepared.len() - batch.last().map_or(0, |last| last + 1);
                self.tell(done, done + left + more)?;
            }
            seconds.infer += clock.finished(Stage::Infer);
        }
        let placement = first.expect("an ensemble has members");
        let (labels, map, found) = sums.conclude(placement.slice_axis(), self.map);
        let on_grid = |labels: Array3<u8>| {
            let labels = LabelVolume::new(labels, self.image.geometry().clone())
                .expect("sums have the shape of the volume");
            labels.with_source(match self.image {
                CaseImage::Gray(volume) => volume.source.clone(),
                CaseImage::Color(picture) => picture.source.clone(),
            })
        };
        let labels = tidy(on_grid(labels), &self.ensemble.manifest.inference);
        seconds.restore += clock.finished(Stage::Restore);
        Ok(self.segmentation(labels, map.map(on_grid), &found, placement, passes, seconds))
    }

    fn segmentation(
        &self,
        labels: LabelVolume,
        uncertainty: Option<LabelVolume>,
        found: &[(usize, Expectation, Tally)],
        placement: Placement,
        passes: usize,
        seconds: StageSeconds,
    ) -> Segmentation {
        let size = [self.members().len(), self.classes()];
        let (doubt, agreement) = conclude(found, size, placement.slice_axis(), self.map.is_some());
        Segmentation { labels, doubt, agreement: Some(agreement), uncertainty, passes, seconds }
    }

    fn batch_size(&self) -> usize {
        let sizes = self.members().iter().map(|model| model.manifest.inference.batch_size);
        sizes.min().unwrap_or(1)
    }
}

/// Probabilities of a slice at the resolution of the source.
fn probabilities(
    values: ArrayView3<'_, f32>,
    are_logits: bool,
    prepared: &Prepared,
) -> Array3<f32> {
    let mut scores = at_source(values, prepared.resampling).into_owned();
    if are_logits {
        let mut pixel = vec![0.0; scores.len_of(Axis(0))];
        for mut lane in scores.lanes_mut(Axis(0)) {
            for (value, score) in pixel.iter_mut().zip(&lane) {
                *value = *score;
            }
            softmax(&mut pixel);
            for (score, value) in lane.iter_mut().zip(&pixel) {
                *score = *value;
            }
        }
    }
    scores
}

fn batches(slices: usize, size: usize) -> Vec<Vec<usize>> {
    (0..slices).collect::<Vec<_>>().chunks(size).map(<[usize]>::to_vec).collect()
}

/// What members say of each voxel on the grid of the source, added up in steps of `1 / unit`.
struct Sums {
    /// What stands for a probability of 1 by one member, so that all of them fit into 16 bits.
    unit: f32,
    members: usize,
    classes: Vec<Array3<u16>>,
    entropy: Array3<u16>,
    labels: Vec<Array3<u8>>,
}

impl Sums {
    fn new(shape: [usize; 3], classes: usize, members: usize) -> Self {
        Self {
            unit: f32::from(u16::MAX / u16::try_from(members).unwrap_or(u16::MAX)),
            members,
            classes: vec![Array3::zeros(shape); classes],
            entropy: Array3::zeros(shape),
            labels: vec![Array3::zeros(shape); members],
        }
    }

    /// What a member has cropped away is background to it.
    fn add_outside(&mut self, placement: &Placement) {
        if placement.is_whole() {
            return;
        }
        let mut inside = Array3::from_elem(self.entropy.dim(), false);
        for index in 0..placement.slices() {
            placement.slice_mut(index, inside.view_mut()).fill(true);
        }
        let unit = self.unit as u16;
        Zip::from(&mut self.classes[0]).and(&inside).for_each(|sum, inside| {
            if !inside {
                *sum += unit;
            }
        });
    }

    /// # Shapes
    /// - `probabilities`: `[class, height, width]`
    fn add(
        &mut self,
        member: usize,
        placement: &Placement,
        index: usize,
        probabilities: ArrayView3<'_, f32>,
    ) {
        let unit = self.unit;
        let add = |sums: &mut Array3<u16>, values: ArrayView2<'_, f32>| {
            let sums = placement.slice_mut(index, sums.view_mut());
            Zip::from(sums).and(values).for_each(|sum, value| {
                *sum += (value.clamp(0.0, 1.0) * unit).round() as u16;
            });
        };
        self.classes
            .par_iter_mut()
            .zip(probabilities.outer_iter().collect::<Vec<_>>())
            .for_each(|(sums, values)| add(sums, values));
        add(&mut self.entropy, entropies(probabilities).view());
        let labels = placement.slice_mut(index, self.labels[member].view_mut());
        let mut found = Array2::zeros(labels.dim());
        argmax(probabilities, found.view_mut());
        let mut labels = labels;
        labels.assign(&found);
    }

    /// Labels, the map and what each slice across the voxel axis `axis` amounts to.
    #[expect(clippy::type_complexity, reason = "taken apart at once by the one caller")]
    fn conclude(
        &self,
        axis: usize,
        map: Option<UncertaintyMap>,
    ) -> (Array3<u8>, Option<Array3<u8>>, Vec<(usize, Expectation, Tally)>) {
        let axis = Axis(2 - axis);
        let mut labels = Array3::zeros(self.entropy.dim());
        let mut drawn = map.map(|_| Array3::zeros(self.entropy.dim()));
        let all = 1.0 / (self.unit * self.members as f32);
        let slices: Vec<usize> = (0..self.entropy.len_of(axis)).collect();
        let found: Vec<Found> = slices
            .par_iter()
            .map(|&slice| {
                let entropy = self.entropy.index_axis(axis, slice).mapv(|sum| f32::from(sum) * all);
                let (height, width) = entropy.dim();
                let mut mean = Array3::zeros([self.classes.len(), height, width]);
                for (class, sums) in self.classes.iter().enumerate() {
                    Zip::from(mean.slice_mut(s![class, .., ..]))
                        .and(sums.index_axis(axis, slice))
                        .for_each(|mean, sum| *mean = f32::from(*sum) * all);
                }
                let labels: Vec<ArrayView2<'_, u8>> =
                    self.labels.iter().map(|labels| labels.index_axis(axis, slice)).collect();
                Found::of(mean.view(), entropy.view(), &labels, map)
            })
            .collect();
        let mut tallies = Vec::with_capacity(found.len());
        for (slice, found) in found.into_iter().enumerate() {
            labels.index_axis_mut(axis, slice).assign(&found.labels);
            if let (Some(drawn), Some(map)) = (&mut drawn, &found.map) {
                drawn.index_axis_mut(axis, slice).assign(map);
            }
            tallies.push((slice, found.expectation, found.tally));
        }
        (labels, drawn, tallies)
    }
}
