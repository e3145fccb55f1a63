//! Random variation of training slices: parameters are drawn, then applied.
//!
//! Everything random about a slice comes from (seed, epoch, slice), so neither the
//! order of the work nor the number of threads changes a single number.

use ndarray::{ArrayViewMut2, ArrayViewMut3, Axis};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

mod spatial;

pub use spatial::{Planes, SliceSource, Warp};

use crate::error::EngineError;

/// How much training slices vary. Zero switches a variation off, as the default does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Probability of mirroring left and right.
    pub flip_x: f64,
    /// Probability of mirroring top and bottom.
    pub flip_y: f64,
    /// Largest rotation either way, in degrees.
    pub rotation_degrees: f64,
    /// Largest change of size either way; 0.2 draws from 1/1.2 to 1.2.
    pub scale: f64,
    /// Largest shift either way, in pixels of the prepared slice.
    pub shift_pixels: f64,
    /// Largest change of contrast either way; 0.2 draws a factor from 0.8 to 1.2.
    pub contrast: f64,
    /// Largest change of brightness either way, in standard deviations of the case.
    pub brightness: f64,
    /// Largest change of gamma either way; 0.3 draws an exponent from 1/1.3 to 1.3.
    pub gamma: f64,
    /// Largest standard deviation of the added noise, in standard deviations of the case.
    pub noise: f64,
}

impl AugmentConfig {
    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        let ranges = [
            ("flip_x", self.flip_x, 1.0),
            ("flip_y", self.flip_y, 1.0),
            ("rotation_degrees", self.rotation_degrees, 180.0),
            ("scale", self.scale, 3.0),
            ("shift_pixels", self.shift_pixels, 4096.0),
            ("contrast", self.contrast, 1.0),
            ("brightness", self.brightness, 100.0),
            ("gamma", self.gamma, 10.0),
            ("noise", self.noise, 100.0),
        ];
        for (key, value, most) in ranges {
            if !(0.0..=most).contains(&value) {
                let expected = format!("expected 0 to {most}");
                return Err(EngineError::config(format!("augmentation.{key}"), value, expected));
            }
        }
        Ok(())
    }

    /// Draws how a slice is moved.
    pub fn draw_warp(&self, rng: &mut impl Rng) -> Warp {
        Warp {
            flip_x: rng.random_bool(self.flip_x),
            flip_y: rng.random_bool(self.flip_y),
            radians: symmetric(rng, self.rotation_degrees).to_radians(),
            scale: around_one(rng, self.scale),
            shift: [symmetric(rng, self.shift_pixels), symmetric(rng, self.shift_pixels)],
        }
    }

    /// Draws and applies changes of intensity to the channels of one slice.
    pub fn vary_intensity(&self, mut slice: ArrayViewMut3<'_, f32>, rng: &mut impl Rng) {
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

fn symmetric(rng: &mut impl Rng, most: f64) -> f64 {
    (2.0 * rng.random::<f64>() - 1.0) * most
}

/// Between 1 / (1 + most) and 1 + most, as often below one as above.
fn around_one(rng: &mut impl Rng, most: f64) -> f64 {
    (1.0 + most).powf(2.0 * rng.random::<f64>() - 1.0)
}
