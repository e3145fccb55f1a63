//! Changes of the numbers of a slice: noise, blur, brightness, contrast, low resolution, gamma.
//!
//! The definitions are nnU-Net's (its `moreDA` set, Isensee et al. 2021, supplement 2.5), but for
//! low resolution, which is enlarged linearly where nnU-Net has cubic splines, and for the channels
//! of a slice, which change together: they are its neighbors or its colors.

use ndarray::{ArrayViewMut2, ArrayViewMut3, Axis};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use super::{AugmentConfig, Change, around_one, evenly, symmetric};
use crate::preprocess::{Resampling, resample_linear};

impl AugmentConfig {
    /// Draws and applies changes of intensity to the channels of one slice.
    ///
    /// # Shapes
    /// - `slice`: `[channel, height, width]`, in that order in memory
    pub fn vary_intensity(&self, mut slice: ArrayViewMut3<'_, f32>, rng: &mut impl Rng) {
        self.vary_as_nnunet(slice.view_mut(), rng);
        let contrast = (1.0 + symmetric(rng, self.contrast)) as f32;
        let brightness = symmetric(rng, self.brightness) as f32;
        let gamma = around_one(rng, self.gamma) as f32;
        let noise = (rng.random::<f64>() * self.noise) as f32;
        if self.gamma > 0.0 {
            apply_gamma(slice.view_mut(), gamma);
        }
        slice.mapv_inplace(|value| value * contrast + brightness);
        if self.noise > 0.0 {
            for channel in slice.axis_iter_mut(Axis(0)) {
                add_noise(channel, noise, rng);
            }
        }
    }

    fn vary_as_nnunet(&self, mut slice: ArrayViewMut3<'_, f32>, rng: &mut impl Rng) {
        if let Some(range) = drawn(self.gaussian_noise, rng) {
            let deviation = evenly(rng, range) as f32;
            slice.axis_iter_mut(Axis(0)).for_each(|channel| add_noise(channel, deviation, rng));
        }
        if let Some(range) = drawn(self.gaussian_blur, rng) {
            let kernel = gaussian(evenly(rng, range));
            slice.axis_iter_mut(Axis(0)).for_each(|channel| blur(channel, &kernel));
        }
        if let Some(range) = drawn(self.brightness_factor, rng) {
            let factor = evenly(rng, range) as f32;
            slice.mapv_inplace(|value| value * factor);
        }
        if let Some(range) = drawn(self.contrast_factor, rng) {
            let factor = either_side_of_one(rng, range) as f32;
            slice.axis_iter_mut(Axis(0)).for_each(|channel| stretch(channel, factor));
        }
        if let Some(range) = drawn(self.low_resolution, rng) {
            let zoom = evenly(rng, range);
            slice.axis_iter_mut(Axis(0)).for_each(|channel| lower_resolution(channel, zoom));
        }
        for (change, sign) in [(self.inverted_gamma_exponent, -1.0), (self.gamma_exponent, 1.0)] {
            if let Some(range) = drawn(change, rng) {
                let exponent = either_side_of_one(rng, range) as f32;
                for channel in slice.axis_iter_mut(Axis(0)) {
                    raise(channel, exponent, sign);
                }
            }
        }
    }
}

/// The range of a change that comes to pass.
fn drawn(change: Option<Change>, rng: &mut impl Rng) -> Option<[f64; 2]> {
    let Change { probability, range } = change?;
    rng.random_bool(probability).then_some(range)
}

/// As often below one as above, where the range is on both sides of it.
fn either_side_of_one(rng: &mut impl Rng, [low, high]: [f64; 2]) -> f64 {
    let below = rng.random_bool(0.5);
    match (low < 1.0 && high > 1.0, below) {
        (true, true) => evenly(rng, [low, 1.0]),
        (true, false) => evenly(rng, [1.0, high]),
        (false, _) => evenly(rng, [low, high]),
    }
}

/// `x^gamma` on the slice's own range.
fn apply_gamma(mut slice: ArrayViewMut3<'_, f32>, gamma: f32) {
    let low = slice.iter().copied().fold(f32::INFINITY, f32::min);
    let high = slice.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = high - low;
    if range > 0.0 {
        slice.mapv_inplace(|value| ((value - low) / range).powf(gamma) * range + low);
    }
}

fn add_noise(mut channel: ArrayViewMut2<'_, f32>, deviation: f32, rng: &mut impl Rng) {
    for value in &mut channel {
        *value += deviation * rng.sample::<f32, _>(StandardNormal);
    }
}

/// One half of a Gaussian, its middle first, that ends behind four deviations as scipy's does.
fn gaussian(deviation: f64) -> Vec<f32> {
    let reach = (4.0 * deviation).round() as usize;
    let weight = |at: usize| (-0.5 * (at as f64 / deviation).powi(2)).exp();
    let weights: Vec<f64> = (0..=reach).map(|at| if at == 0 { 1.0 } else { weight(at) }).collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.into_iter().map(|weight| (weight / sum) as f32).collect()
}

/// Blurs along both axes; beyond an edge the channel is mirrored.
fn blur(mut channel: ArrayViewMut2<'_, f32>, kernel: &[f32]) {
    if kernel.len() < 2 {
        return;
    }
    let (height, width) = channel.dim();
    let reach = kernel.len() - 1;
    let mut line = vec![0.0; width + 2 * reach];
    for mut row in channel.rows_mut() {
        for (at, value) in line.iter_mut().enumerate() {
            *value = row[mirrored(at, reach, width)];
        }
        for (at, value) in row.iter_mut().enumerate() {
            let pairs =
                (1..=reach).map(|k| kernel[k] * (line[at + reach - k] + line[at + reach + k]));
            *value = kernel[0] * line[at + reach] + pairs.sum::<f32>();
        }
    }
    // Down the columns in whole rows, which lie together in memory.
    let source = channel.to_owned();
    for (at, mut row) in channel.rows_mut().into_iter().enumerate() {
        row.assign(&source.row(at).mapv(|value| value * kernel[0]));
        for (k, weight) in kernel.iter().enumerate().skip(1) {
            let above = source.row(mirrored(at + reach - k, reach, height));
            let below = source.row(mirrored(at + reach + k, reach, height));
            ndarray::Zip::from(&mut row)
                .and(above)
                .and(below)
                .for_each(|value, above, below| *value += weight * (above + below));
        }
    }
}

/// Place `at` of a line of `len` with `reach` more on either side, mirrored with its edge twice.
fn mirrored(at: usize, reach: usize, len: usize) -> usize {
    let period = 2 * len;
    let place = (at + period * reach.div_ceil(period) - reach) % period;
    if place < len { place } else { period - 1 - place }
}

/// Mean and standard deviation.
fn moments(channel: &ArrayViewMut2<'_, f32>) -> (f32, f32) {
    let count = channel.len() as f64;
    let mean = channel.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let squares = channel.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>();
    (mean as f32, (squares / count).sqrt() as f32)
}

fn extremes(channel: &ArrayViewMut2<'_, f32>) -> (f32, f32) {
    channel
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
}

/// Distances from the mean times `factor`, within the range that there was.
fn stretch(mut channel: ArrayViewMut2<'_, f32>, factor: f32) {
    let (mean, _) = moments(&channel);
    let (low, high) = extremes(&channel);
    channel.mapv_inplace(|value| ((value - mean) * factor + mean).clamp(low, high));
}

/// Shrinks to `zoom` of the size by the nearest pixel, and enlarges again linearly.
fn lower_resolution(mut channel: ArrayViewMut2<'_, f32>, zoom: f64) {
    let (height, width) = channel.dim();
    let small = [height, width].map(|size| ((size as f64 * zoom).round() as usize).max(1));
    let nearest =
        |at: usize, from: usize, to: usize| ((2 * at + 1) * from / (2 * to)).min(from - 1);
    let shrunk = ndarray::Array3::from_shape_fn([1, small[0], small[1]], |(_, j, i)| {
        channel[[nearest(j, height, small[0]), nearest(i, width, small[1])]]
    });
    let again = resample_linear(shrunk.view(), Resampling::new(small, [height, width]));
    channel.assign(&again.index_axis(Axis(0), 0));
}

/// `x^exponent` on the channel's own range, of `sign * x`; mean and deviation are restored.
fn raise(mut channel: ArrayViewMut2<'_, f32>, exponent: f32, sign: f32) {
    channel.mapv_inplace(|value| sign * value);
    let (mean, deviation) = moments(&channel);
    let (low, high) = extremes(&channel);
    let range = high - low;
    if range > 0.0 {
        channel.mapv_inplace(|value| ((value - low) / range).powf(exponent) * range + low);
        let (raised_mean, raised_deviation) = moments(&channel);
        if raised_deviation > 0.0 {
            let factor = deviation / raised_deviation;
            channel.mapv_inplace(|value| (value - raised_mean) * factor + mean);
        }
    }
    channel.mapv_inplace(|value| sign * value);
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3, array};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[track_caller]
    fn close(found: &Array2<f32>, expected: &Array2<f32>) {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(near, "{found} for {expected}");
    }

    #[test]
    fn blur_is_the_sum_over_a_mirrored_neighborhood() {
        let channel = Array2::from_shape_fn([5, 7], |(j, i)| ((j * 11 + i * 17) % 23) as f32);
        for deviation in [0.4, 0.8, 2.5] {
            let kernel = gaussian(deviation);
            let reach = kernel.len() as i64 - 1;
            assert_eq!(reach, (4.0 * deviation).round() as i64);
            let mut blurred = channel.clone();
            blur(blurred.view_mut(), &kernel);
            // Each pixel by definition, the weights from the formula.
            let weight = |k: i64| (-0.5 * (k as f64 / deviation).powi(2)).exp();
            let sum: f64 = (-reach..=reach).map(weight).sum();
            let reflect = |at: i64, len: i64| {
                let at = at.rem_euclid(2 * len);
                if at < len { at } else { 2 * len - 1 - at }
            };
            let expected = Array2::from_shape_fn([5, 7], |(j, i)| {
                let mut value = 0.0;
                for (dy, dx) in (-reach..=reach).flat_map(|y| (-reach..=reach).map(move |x| (y, x)))
                {
                    let at = [reflect(j as i64 + dy, 5), reflect(i as i64 + dx, 7)];
                    let share = weight(dy) * weight(dx) / (sum * sum);
                    value += share * f64::from(channel[[at[0] as usize, at[1] as usize]]);
                }
                value as f32
            });
            close(&blurred, &expected);
        }
        let mut sharp = channel.clone();
        blur(sharp.view_mut(), &gaussian(0.0));
        assert_eq!(sharp, channel);
    }

    #[test]
    fn contrast_stretches_about_the_mean_and_leaves_the_range() {
        let mut channel = array![[0.0, 1.0], [2.0, 5.0]]; // mean 2
        stretch(channel.view_mut(), 0.5);
        close(&channel, &array![[1.0, 1.5], [2.0, 3.5]]);
        let mut channel = array![[0.0, 1.0], [2.0, 5.0]];
        stretch(channel.view_mut(), 2.0);
        close(&channel, &array![[0.0, 0.0], [2.0, 5.0]]);
    }

    #[test]
    fn low_resolution_repeats_and_blends_fewer_pixels() {
        // Pixels 1 and 3 are nearest to the middles of both halves.
        let mut channel = array![[1.0, 2.0, 3.0, 4.0]];
        lower_resolution(channel.view_mut(), 0.5);
        close(&channel, &array![[2.0, 2.5, 3.5, 4.0]]);
        let mut same = array![[1.0, 2.0], [3.0, 4.0]];
        lower_resolution(same.view_mut(), 1.0);
        close(&same, &array![[1.0, 2.0], [3.0, 4.0]]);
    }

    #[test]
    fn gamma_bends_and_restores_mean_and_deviation() {
        for (sign, bent) in [(1.0, [0.0, 0.25, 1.0]), (-1.0, [0.0, 0.75, 1.0])] {
            let mut channel = array![[3.0, 5.0, 7.0]]; // 0, 0.5, 1 of the range
            raise(channel.view_mut(), 2.0, sign);
            let (mean, deviation) = moments(&channel.view_mut());
            assert!((mean - 5.0).abs() < 1e-5 && (deviation - 1.632_993).abs() < 1e-5);
            let of = |at: usize| {
                (channel[[0, at]] - channel[[0, 0]]) / (channel[[0, 2]] - channel[[0, 0]])
            };
            assert!((of(1) - bent[1]).abs() < 1e-5, "{channel}");
        }
        let mut flat = Array2::from_elem([2, 2], 3.0);
        raise(flat.view_mut(), 2.0, 1.0);
        assert_eq!(flat, Array2::from_elem([2, 2], 3.0));
    }

    #[test]
    fn changes_come_as_often_as_they_are_asked_for_and_alike_in_all_channels() {
        let config = AugmentConfig {
            brightness_factor: Some(Change { probability: 0.25, range: [2.0, 3.0] }),
            ..AugmentConfig::default()
        };
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut changed = 0;
        for _ in 0..1000 {
            let mut slice = Array3::ones([2, 1, 1]);
            config.vary_intensity(slice.view_mut(), &mut rng);
            assert_eq!(slice[[0, 0, 0]], slice[[1, 0, 0]]);
            let factor = slice[[0, 0, 0]];
            assert!(factor == 1.0 || (2.0..=3.0).contains(&factor));
            changed += usize::from(factor != 1.0);
        }
        assert!((200..300).contains(&changed), "{changed}");
    }

    #[test]
    fn noise_has_the_deviation_that_is_drawn() {
        let config = AugmentConfig {
            gaussian_noise: Some(Change { probability: 1.0, range: [0.5, 0.5] }),
            ..AugmentConfig::default()
        };
        let mut slice = Array3::zeros([1, 100, 100]);
        config.vary_intensity(slice.view_mut(), &mut ChaCha8Rng::seed_from_u64(4));
        assert!((slice.std(0.0) - 0.5).abs() < 0.02);
    }

    #[test]
    fn factors_lie_on_either_side_of_one_as_often() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let found: Vec<f64> = (0..1000).map(|_| either_side_of_one(&mut rng, [0.7, 3.0])).collect();
        let below = found.iter().filter(|factor| **factor < 1.0).count();
        assert!((450..550).contains(&below), "{below}");
        assert!(found.iter().all(|factor| (0.7..=3.0).contains(factor)));
        assert!((0..99).all(|_| either_side_of_one(&mut rng, [1.5, 2.0]) >= 1.5));
    }
}
