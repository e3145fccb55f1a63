//! Random variation of training slices: parameters are drawn, then applied.
//!
//! Everything random about a slice comes from (seed, epoch, slice), so neither the
//! order of the work nor the number of threads changes a single number. What is said
//! nothing of draws nothing, so that experiments learn what they did before there was more to say.

use rand::{Rng, RngExt};

mod color;
mod config;
mod elastic;
mod intensity;
mod lines;
mod spatial;

pub use color::{ColorChange, ColorJitter, change_colors};
pub use config::{AugmentConfig, Change};
pub use elastic::{Bend, Elastic};
pub use spatial::{Planes, SliceSource, Warp};

impl AugmentConfig {
    /// Draws how a slice is moved onto a patch, `[height, width]`.
    pub fn draw_warp(&self, patch: [usize; 2], rng: &mut impl Rng) -> Warp {
        let mut warp = Warp {
            flip_x: rng.random_bool(self.flip_x),
            flip_y: rng.random_bool(self.flip_y),
            radians: symmetric(rng, self.rotation_degrees).to_radians(),
            scale: around_one(rng, self.scale),
            shift: [symmetric(rng, self.shift_pixels), symmetric(rng, self.shift_pixels)],
            bend: None,
        };
        if let Some(range) = self.scale_range {
            warp.scale = evenly(rng, range);
        } else if !self.scale_steps.is_empty() {
            let step = (rng.random::<f64>() * self.scale_steps.len() as f64) as usize;
            warp.scale = self.scale_steps[step];
        }
        if self.scale_probability.is_some_and(|share| !rng.random_bool(share)) {
            warp.scale = 1.0;
        }
        if self.rotation_probability.is_some_and(|share| !rng.random_bool(share)) {
            warp.radians = 0.0;
        }
        if let Some(elastic) = &self.elastic
            && rng.random_bool(elastic.probability)
        {
            warp.bend = Some(elastic.draw(patch, rng));
        }
        warp
    }
}

fn symmetric(rng: &mut impl Rng, most: f64) -> f64 {
    (2.0 * rng.random::<f64>() - 1.0) * most
}

/// Between 1 / (1 + most) and 1 + most, as often below one as above.
fn around_one(rng: &mut impl Rng, most: f64) -> f64 {
    (1.0 + most).powf(2.0 * rng.random::<f64>() - 1.0)
}

fn evenly(rng: &mut impl Rng, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn scales(config: &AugmentConfig) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        (0..1000).map(|_| config.draw_warp([32, 48], &mut rng).scale).collect()
    }

    #[test]
    fn scales_come_from_the_range_or_the_steps() {
        let range = AugmentConfig { scale_range: Some([0.25, 2.0]), ..Default::default() };
        let found = scales(&range);
        let mean = found.iter().sum::<f64>() / 1000.0;
        assert!(found.iter().all(|scale| (0.25..=2.0).contains(scale)));
        assert!((mean - 1.125).abs() < 0.05, "{mean}");

        let steps = AugmentConfig { scale_steps: vec![0.5, 1.0, 1.5], ..Default::default() };
        let found = scales(&steps);
        for step in &steps.scale_steps {
            let count = found.iter().filter(|scale| *scale == step).count();
            assert!((260..410).contains(&count), "{count} of {step}");
        }
        let seldom = AugmentConfig { scale_probability: Some(0.2), ..range };
        let moved = scales(&seldom).iter().filter(|scale| **scale != 1.0).count();
        assert!((150..250).contains(&moved), "{moved}");
    }

    #[test]
    fn what_is_said_nothing_of_draws_nothing() {
        let plain = AugmentConfig { flip_x: 0.5, scale: 0.2, ..Default::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut drawn = ChaCha8Rng::seed_from_u64(1);
        let warp = plain.draw_warp([8, 8], &mut rng);
        // Two flips, a rotation, a scale and two shifts.
        let flip_x = drawn.random_bool(0.5);
        drawn.random_bool(0.0);
        symmetric(&mut drawn, 0.0);
        let scale = around_one(&mut drawn, 0.2);
        symmetric(&mut drawn, 0.0);
        symmetric(&mut drawn, 0.0);
        assert_eq!((warp.flip_x, warp.scale), (flip_x, scale));
        assert_eq!(rng.random::<u64>(), drawn.random::<u64>());
    }
}
