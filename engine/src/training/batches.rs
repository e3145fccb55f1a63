//! Slices of the training cases as shuffled, augmented batches.
//!
//! What a batch holds depends on (seed, epoch, place in the epoch) and on nothing
//! else, so a resumed run sees the batches that the interrupted one would have seen.

use ndarray::{ArrayViewMut2, ArrayViewMut3};
use rayon::prelude::*;

use super::TrainingConfig;
use super::data::{Choice, Sampler, TrainingSet, Turn, Wish, center};
use crate::augment::{AugmentConfig, SliceSource, change_colors};
use crate::error::EngineError;
use crate::preprocess::ColorScale;

/// What one optimizer step learns from.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// `[batch, channel, height, width]`, row-major.
    pub inputs: Vec<f32>,
    /// `[batch, height, width]`, row-major.
    pub labels: Vec<u8>,
}

/// Makes the batches of any epoch.
#[derive(Debug)]
pub struct Batches<'a> {
    set: &'a TrainingSet,
    sampler: Sampler<'a>,
    augmentation: &'a AugmentConfig,
    training: &'a TrainingConfig,
    neighbors: usize,
}

impl<'a> Batches<'a> {
    /// Batches over the slices of `set`.
    pub fn new(
        set: &'a TrainingSet,
        augmentation: &'a AugmentConfig,
        training: &'a TrainingConfig,
        neighbors: usize,
        seed: u64,
    ) -> Self {
        let sampler = Sampler::new(set, training.sampling, training.foreground_share, seed);
        Self { set, sampler, augmentation, training, neighbors }
    }

    /// Batches of one epoch. Slices that do not fill a batch wait for another
    /// epoch, except where there is not a single full batch.
    pub fn per_epoch(&self) -> usize {
        self.sampler.batches(self.training.batch_size)
    }

    /// `[batch, channel, height, width]` of the inputs.
    pub fn input_shape(&self) -> [usize; 4] {
        let [height, width] = self.training.patch;
        let batch = self.training.batch_size.min(self.sampler.per_epoch());
        let channels = if self.set.is_empty() { 1 } else { self.set.shape(0)[1] };
        [batch, channels * (2 * self.neighbors + 1), height, width]
    }

    /// The order of the slices in `epoch`.
    pub fn order(&self, epoch: usize) -> Vec<Turn> {
        let [batch, ..] = self.input_shape();
        self.sampler.order(epoch, self.per_epoch(), batch)
    }

    /// The slices of batch `place`, from 0, of an epoch: (case, slice) each.
    pub fn slices_of(&self, epoch: usize, place: usize) -> Vec<(usize, usize)> {
        let order = self.order(epoch);
        let choices = self.choices(epoch, &order, place).into_iter();
        choices.map(|(_, choice)| (choice.case, choice.slice)).collect()
    }

    fn choices(&self, epoch: usize, order: &[Turn], step: usize) -> Vec<(Turn, Choice)> {
        let [batch, ..] = self.input_shape();
        let turns = order[step * batch..(step + 1) * batch].iter().enumerate();
        let choose = |(place, &turn): (usize, &Turn)| {
            (turn, self.sampler.choose(epoch, turn, [place, batch]))
        };
        turns.map(choose).collect()
    }

    /// Batch `step`, from 0, of the epoch whose [`order`](Self::order) this is.
    ///
    /// # Errors
    /// Where a slice cannot be read.
    pub fn batch(&self, epoch: usize, order: &[Turn], step: usize) -> Result<Batch, EngineError> {
        let [batch, channels, height, width] = self.input_shape();
        let mut inputs = vec![0.0; batch * channels * height * width];
        let mut labels = vec![0; batch * height * width];
        inputs
            .par_chunks_exact_mut(channels * height * width)
            .zip(labels.par_chunks_exact_mut(height * width))
            .zip(self.choices(epoch, order, step))
            .try_for_each(|((input, labels), (turn, choice))| {
                let input = ArrayViewMut3::from_shape((channels, height, width), input)
                    .expect("a chunk is one input");
                let labels = ArrayViewMut2::from_shape((height, width), labels)
                    .expect("a chunk is one patch");
                self.fill(epoch, turn, choice, input, labels)
            })?;
        Ok(Batch { inputs, labels })
    }

    fn fill(
        &self,
        epoch: usize,
        turn: Turn,
        choice: Choice,
        mut input: ArrayViewMut3<'_, f32>,
        labels: ArrayViewMut2<'_, u8>,
    ) -> Result<(), EngineError> {
        let mut rng = self.sampler.variation(epoch, turn);
        let loaded = self.set.slice(choice.case, choice.slice, self.neighbors)?;
        let scale = self.set.color_scale(choice.case);
        let patch = self.training.patch.map(|size| size as f64);
        let size: [usize; 2] = loaded.labels.dim().into();

        let mut warp = self.augmentation.draw_warp(self.training.patch, &mut rng);
        if self.augmentation.enlarge_small {
            let enlarging = [0, 1].map(|axis| patch[axis] / size[axis] as f64);
            warp.scale = warp.scale.max(enlarging[0]).max(enlarging[1]);
        }
        let cut_after = self.augmentation.scales_before_cutting();
        let covered = if cut_after { patch.map(|size| size / warp.scale) } else { patch };
        let share = self.training.foreground_share;
        let keep_inside = cut_after || choice.wish != Wish::Chance;
        let center =
            center(loaded.labels.view(), covered, choice.wish, share, keep_inside, &mut rng);

        // Outside of a slice lies the mean, which is 0 once it is normalized.
        let source = SliceSource {
            planes: loaded.planes.view(),
            labels: loaded.labels.view(),
            outside: scale.map_or(&[0.0][..], |scale| &scale.mean[..]),
        };
        let mut inside = scale.map(|_| vec![false; labels.len()]);
        warp.apply(source, center, input.view_mut(), labels, inside.as_deref_mut());
        if let (Some(scale), Some(inside)) = (scale, &inside) {
            if let Some(jitter) = &self.augmentation.color_jitter {
                change_colors(input.view_mut(), inside, &jitter.draw(&mut rng));
            }
            normalize(input.view_mut(), scale);
        }
        self.augmentation.vary_intensity(input.view_mut(), &mut rng);
        if let Some(inside) = inside {
            for mut plane in input.outer_iter_mut() {
                for (value, _) in plane.iter_mut().zip(&inside).filter(|(_, inside)| !**inside) {
                    *value = 0.0;
                }
            }
        }
        Ok(())
    }
}

/// Colors from 0 to 1 to the network's numbers; channels repeat for each neighbor.
fn normalize(mut input: ArrayViewMut3<'_, f32>, scale: &ColorScale) {
    for (channel, mut plane) in input.outer_iter_mut().enumerate() {
        plane.mapv_inplace(|sample| scale.apply(channel % scale.mean.len(), sample));
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4, Axis};

    use super::*;
    use crate::fingerprint::CaseTraits;
    use crate::preprocess::IMAGENET;
    use crate::training::{Balance, Samples, SamplingConfig, TrainingCase};

    fn cases() -> TrainingSet {
        let cases = [[3, 6, 5], [4, 9, 8]]
            .map(|shape| TrainingCase {
                samples: Samples::Numbers(
                    Array3::from_shape_fn(shape, |(k, j, i)| (k * 100 + j * 10 + i) as f32)
                        .insert_axis(Axis(1)),
                ),
                labels: Array3::from_shape_fn(shape, |(_, j, i)| u8::from(j == 2 && i > 2)),
            })
            .map(|case| (case, CaseTraits::none()));
        TrainingSet::held(cases.into())
    }

    fn varied() -> AugmentConfig {
        AugmentConfig {
            flip_x: 0.5,
            rotation_degrees: 20.0,
            scale: 0.2,
            noise: 0.1,
            gamma: 0.2,
            ..AugmentConfig::default()
        }
    }

    fn in_pool(threads: usize, work: impl FnOnce() -> Batch + Send) -> Batch {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    #[test]
    fn a_batch_is_the_same_on_any_number_of_threads() {
        let cases = cases();
        let augmentation = varied();
        let training = TrainingConfig { batch_size: 3, patch: [4, 4], ..TrainingConfig::default() };
        let batches = Batches::new(&cases, &augmentation, &training, 1, 7);
        assert_eq!(batches.per_epoch(), 2);
        let order = batches.order(5);
        let batch = || batches.batch(5, &order, 1).unwrap();
        assert_eq!(in_pool(1, batch), in_pool(3, batch));
    }

    #[test]
    fn epochs_and_seeds_differ_and_repeat() {
        let cases = cases();
        let augmentation = varied();
        let training = TrainingConfig { batch_size: 3, patch: [4, 4], ..TrainingConfig::default() };
        let batch = |seed, epoch| {
            let batches = Batches::new(&cases, &augmentation, &training, 0, seed);
            batches.batch(epoch, &batches.order(epoch), 0).unwrap()
        };
        assert_eq!(batch(1, 1), batch(1, 1));
        assert_ne!(batch(1, 1), batch(1, 2));
        assert_ne!(batch(1, 1), batch(2, 1));
    }

    #[test]
    fn an_epoch_shows_every_slice_once() {
        let cases = cases();
        let augmentation = AugmentConfig::default();
        let training = TrainingConfig::default();
        let batches = Batches::new(&cases, &augmentation, &training, 0, 7);
        let order = batches.order(3);
        assert!(!order.is_sorted());
        let mut slices: Vec<(usize, usize)> = Vec::new();
        for place in 0..7 {
            let one = TrainingConfig { batch_size: 1, ..TrainingConfig::default() };
            let batches = Batches::new(&cases, &augmentation, &one, 0, 7);
            slices.extend(batches.slices_of(3, place));
        }
        slices.sort_unstable();
        assert_eq!(slices, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)]);
    }

    #[test]
    fn fewer_slices_than_a_batch_still_make_one() {
        let cases = cases();
        let augmentation = AugmentConfig::default();
        let training =
            TrainingConfig { batch_size: 99, patch: [4, 4], ..TrainingConfig::default() };
        let batches = Batches::new(&cases, &augmentation, &training, 0, 7);
        assert_eq!((batches.per_epoch(), batches.input_shape()), (1, [7, 1, 4, 4]));
    }

    #[test]
    fn patches_are_put_on_the_foreground_when_asked() {
        let cases = cases();
        let augmentation = AugmentConfig::default();
        let training = TrainingConfig {
            batch_size: 7,
            patch: [2, 2],
            foreground_share: 1.0,
            ..TrainingConfig::default()
        };
        let batches = Batches::new(&cases, &augmentation, &training, 0, 7);
        let batch = batches.batch(1, &batches.order(1), 0).unwrap();
        assert!(batch.labels.chunks(4).all(|patch| patch.contains(&1)));
    }

    /// A picture of 40 x 60 with a red half, labeled 1, and a pixel of class 2.
    fn photo() -> TrainingSet {
        let samples = Array4::from_shape_fn([1, 3, 40, 60], |(_, channel, _, x)| {
            if (x < 30) == (channel == 0) { 200 } else { 10 }
        });
        let mut labels = Array3::from_shape_fn([1, 40, 60], |(_, _, x)| u8::from(x < 30));
        labels[[0, 3, 50]] = 2;
        let case = TrainingCase { samples: Samples::Bytes(samples, IMAGENET), labels };
        TrainingSet::held(vec![(case, CaseTraits::none())])
    }

    fn of_photo(augmentation: &AugmentConfig, training: &TrainingConfig, epoch: usize) -> Batch {
        let set = photo();
        let batches = Batches::new(&set, augmentation, training, 0, 3);
        batches.batch(epoch, &batches.order(epoch), 0).unwrap()
    }

    #[test]
    fn colors_are_normalized_and_nothing_is_outside() {
        let training =
            TrainingConfig { batch_size: 1, patch: [44, 60], ..TrainingConfig::default() };
        let batch = of_photo(&AugmentConfig::default(), &training, 1);
        let at = |channel: usize, row: usize, column: usize| {
            batch.inputs[(channel * 44 + row) * 60 + column]
        };
        assert_eq!(at(0, 10, 5), IMAGENET.apply(0, 200.0 / 255.0));
        assert_eq!(at(2, 10, 50), IMAGENET.apply(2, 200.0 / 255.0));
        assert_eq!((at(1, 0, 9), batch.labels[0]), (0.0, 255));
        // Whatever colors become, what is outside stays the mean.
        let jitter =
            toml::from_str("color_jitter = { brightness = 0.9 }\nbrightness = 2.0").unwrap();
        let varied = of_photo(&jitter, &training, 1);
        assert_eq!(varied.inputs[..2 * 60], batch.inputs[..2 * 60]);
        assert_ne!(varied.inputs[3 * 60..4 * 60], batch.inputs[3 * 60..4 * 60]);
    }

    #[test]
    fn patches_are_cut_out_of_the_scaled_slice() {
        let training = TrainingConfig {
            batch_size: 1,
            patch: [20, 20],
            foreground_share: 0.0,
            ..TrainingConfig::default()
        };
        let ignored = |text: &str| {
            let augmentation: AugmentConfig = toml::from_str(text).unwrap();
            (0..40)
                .map(|epoch| {
                    let batch = of_photo(&augmentation, &training, epoch);
                    batch.labels.into_iter().map(|label| usize::from(label == 255)).sum()
                })
                .collect::<Vec<usize>>()
        };
        // The slice is 20 x 30 and 40 x 60 once it is scaled: no patch reaches beyond it.
        assert_eq!(ignored("scale_steps = [0.5, 1.0, 2.0]"), [0; 40]);
        // At 10 x 15 half of the rows are missing, unless it is enlarged; of the columns in the middle
        // the outermost two come from half a pixel beyond the edge.
        assert_eq!(ignored("scale_steps = [0.25]"), [400 - 10 * 14; 40]);
        assert_eq!(ignored("scale_steps = [0.25]\nenlarge_small = true"), [0; 40]);
    }

    #[test]
    fn a_rare_class_is_in_the_patch_when_it_is_drawn() {
        let balance = Some(Balance { share: 1.0, ..Balance::default() });
        let training = TrainingConfig {
            batch_size: 1,
            patch: [8, 8],
            sampling: SamplingConfig { balance, ..SamplingConfig::default() },
            ..TrainingConfig::default()
        };
        let epochs = 0..100;
        let rare = epochs.filter(|&epoch| {
            of_photo(&AugmentConfig::default(), &training, epoch).labels.contains(&2)
        });
        let count = rare.count();
        assert!((35..65).contains(&count), "class 2 is one of two: {count}");
    }

    /// What training has drawn since its first version: numbers of a batch of then.
    #[test]
    fn old_experiments_draw_what_they_drew() {
        let cases = cases();
        let augmentation = varied();
        let training = TrainingConfig { batch_size: 3, patch: [4, 4], ..TrainingConfig::default() };
        let batches = Batches::new(&cases, &augmentation, &training, 1, 7);
        let batch = batches.batch(5, &batches.order(5), 1).unwrap();
        let sum = |values: &[f32]| values.iter().map(|value| f64::from(*value)).sum::<f64>();
        let found = format!("{:.6} {:?}", sum(&batch.inputs), &batch.labels[..16]);
        assert_eq!(found, "17911.104074 [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]");
    }
}
