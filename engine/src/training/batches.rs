//! Slices of the training cases as shuffled, augmented batches.
//!
//! What a batch holds depends on (seed, epoch, place in the epoch) and on nothing
//! else, so a resumed run sees the batches that the interrupted one would have seen.

use ndarray::{Array3, ArrayViewMut2, ArrayViewMut3, Axis};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{Samples, TrainingCase, TrainingConfig};
use crate::augment::{AugmentConfig, Planes, SliceSource};
use crate::preprocess::{ColorScale, neighbors};

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
    cases: &'a [TrainingCase],
    /// Every slice of every case: (case, slice).
    slices: Vec<(usize, usize)>,
    augmentation: &'a AugmentConfig,
    training: &'a TrainingConfig,
    neighbors: usize,
    seed: u64,
}

impl<'a> Batches<'a> {
    /// Batches over all slices of `cases`.
    pub fn new(
        cases: &'a [TrainingCase],
        augmentation: &'a AugmentConfig,
        training: &'a TrainingConfig,
        neighbors: usize,
        seed: u64,
    ) -> Self {
        let slices = cases
            .iter()
            .enumerate()
            .flat_map(|(case, data)| (0..data.labels.dim().0).map(move |slice| (case, slice)))
            .collect();
        Self { cases, slices, augmentation, training, neighbors, seed }
    }

    /// Optimizer steps of one epoch. Slices that do not fill a batch wait for another
    /// epoch, except where there is not a single full batch.
    pub fn per_epoch(&self) -> usize {
        (self.slices.len() / self.training.batch_size).max(1)
    }

    /// `[batch, channel, height, width]` of the inputs.
    pub fn input_shape(&self) -> [usize; 4] {
        let [height, width] = self.training.patch;
        let batch = self.training.batch_size.min(self.slices.len());
        let channels = self.cases.first().map_or(1, |case| case.samples.shape()[1]);
        [batch, channels * (2 * self.neighbors + 1), height, width]
    }

    /// The order of the slices in `epoch`.
    pub fn order(&self, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.slices.len()).collect();
        order.shuffle(&mut drawn_from(self.seed, epoch, usize::MAX));
        order
    }

    /// The slices of batch `place`, from 0, of an epoch: (case, slice) each.
    pub fn slices_of(&self, epoch: usize, place: usize) -> Vec<(usize, usize)> {
        let [batch, ..] = self.input_shape();
        let order = self.order(epoch);
        order[place * batch..(place + 1) * batch].iter().map(|&index| self.slices[index]).collect()
    }

    /// Batch `step`, from 0, of the epoch whose [`order`](Self::order) this is.
    pub fn batch(&self, epoch: usize, order: &[usize], step: usize) -> Batch {
        let [batch, channels, height, width] = self.input_shape();
        let mut inputs = vec![0.0; batch * channels * height * width];
        let mut labels = vec![0; batch * height * width];
        let chosen = &order[step * batch..(step + 1) * batch];
        inputs
            .par_chunks_exact_mut(channels * height * width)
            .zip(labels.par_chunks_exact_mut(height * width))
            .zip(chosen)
            .for_each(|((input, labels), &index)| {
                let input = ArrayViewMut3::from_shape((channels, height, width), input)
                    .expect("a chunk is one input");
                let labels = ArrayViewMut2::from_shape((height, width), labels)
                    .expect("a chunk is one patch");
                self.fill(epoch, index, input, labels);
            });
        Batch { inputs, labels }
    }

    fn fill(
        &self,
        epoch: usize,
        index: usize,
        mut input: ArrayViewMut3<'_, f32>,
        labels: ArrayViewMut2<'_, u8>,
    ) {
        let mut rng = drawn_from(self.seed, epoch, index);
        let (case, slice) = self.slices[index];
        let TrainingCase { samples, labels: reference } = &self.cases[case];
        let warp = self.augmentation.draw_warp(&mut rng);
        let center = self.draw_center(reference, slice, &mut rng);
        let near: Vec<usize> = neighbors(slice, self.neighbors, reference.dim().0).collect();
        let scale = samples.color_scale();
        let (numbers, bytes);
        let planes = match samples {
            Samples::Numbers(samples) | Samples::Unit(samples, _) => {
                numbers = samples.select(Axis(0), &near);
                Planes::Numbers(numbers.view())
            }
            Samples::Bytes(samples, _) => {
                bytes = samples.select(Axis(0), &near);
                Planes::Bytes(bytes.view())
            }
        };
        // Outside of a slice lies the mean, which is 0 once it is normalized.
        let outside = scale.map_or(&[0.0][..], |scale| &scale.mean[..]);
        let source = SliceSource { planes, labels: reference.index_axis(Axis(0), slice), outside };
        let mut inside = scale.map(|_| vec![false; labels.len()]);
        warp.apply(source, center, input.view_mut(), labels, inside.as_deref_mut());
        if let Some(scale) = scale {
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
    }

    /// The pixel that comes to lie in the middle of the patch. Along an axis that the
    /// patch covers it is the middle of the slice.
    fn draw_center(&self, labels: &Array3<u8>, slice: usize, rng: &mut ChaCha8Rng) -> [f64; 2] {
        let (_, height, width) = labels.dim();
        let mut center = [0.0; 2];
        for ((size, patch), center) in
            [height, width].into_iter().zip(self.training.patch).zip(&mut center)
        {
            let room = size.saturating_sub(patch) as f64;
            *center = (size.min(patch) as f64 - 1.0) / 2.0 + rng.random::<f64>() * room;
        }
        let on_foreground = rng.random_bool(self.training.foreground_share);
        let choice = rng.random::<f64>();
        let smaller = height > self.training.patch[0] || width > self.training.patch[1];
        if on_foreground && smaller {
            let foreground: Vec<(usize, usize)> = labels
                .index_axis(ndarray::Axis(0), slice)
                .indexed_iter()
                .filter(|(_, label)| **label != 0 && **label != crate::losses::IGNORE_LABEL)
                .map(|(place, _)| place)
                .collect();
            if let Some(&(row, column)) =
                foreground.get((choice * foreground.len() as f64) as usize)
            {
                return [row as f64, column as f64];
            }
        }
        center
    }
}

/// Colors from 0 to 1 to the network's numbers; channels repeat for each neighbor.
fn normalize(mut input: ArrayViewMut3<'_, f32>, scale: &ColorScale) {
    for (channel, mut plane) in input.outer_iter_mut().enumerate() {
        plane.mapv_inplace(|sample| scale.apply(channel % scale.mean.len(), sample));
    }
}

/// A generator of its own for each (seed, epoch, slice).
fn drawn_from(seed: u64, epoch: usize, slice: usize) -> ChaCha8Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&(epoch as u64).to_le_bytes());
    bytes[16..24].copy_from_slice(&(slice as u64).to_le_bytes());
    ChaCha8Rng::from_seed(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases() -> Vec<TrainingCase> {
        [[3, 6, 5], [4, 9, 8]]
            .map(|shape| TrainingCase {
                samples: Samples::Numbers(
                    Array3::from_shape_fn(shape, |(k, j, i)| (k * 100 + j * 10 + i) as f32)
                        .insert_axis(Axis(1)),
                ),
                labels: Array3::from_shape_fn(shape, |(_, j, i)| u8::from(j == 2 && i > 2)),
            })
            .into()
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
        let batch = || batches.batch(5, &order, 1);
        assert_eq!(in_pool(1, batch), in_pool(3, batch));
    }

    #[test]
    fn epochs_and_seeds_differ_and_repeat() {
        let cases = cases();
        let augmentation = varied();
        let training = TrainingConfig { batch_size: 3, patch: [4, 4], ..TrainingConfig::default() };
        let batch = |seed, epoch| {
            let batches = Batches::new(&cases, &augmentation, &training, 0, seed);
            batches.batch(epoch, &batches.order(epoch), 0)
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
        let mut order = batches.order(3);
        assert_ne!(order, (0..7).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..7).collect::<Vec<_>>());
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
        let batch = batches.batch(1, &batches.order(1), 0);
        assert!(batch.labels.chunks(4).all(|patch| patch.contains(&1)));
    }
}
