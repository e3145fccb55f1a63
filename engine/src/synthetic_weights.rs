//! Weights, images and labels that follow from their names alone.
//!
//! Two implementations of a network that fill their weights by this rule hold the same numbers
//! without exchanging a file, so that their outputs can be compared. Not meant for training.

use burn::module::Module;

use crate::weights::{NameMap, replace_weights};

/// FNV-1a of the UTF-8 bytes of `text`.
pub fn fnv1a64(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    text.bytes().fold(0xCBF2_9CE4_8422_2325, step)
}

/// The splitmix64 generator's answer for the state `x`.
pub fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The number at `index` of the series called `name`, in `[0, 1)`.
pub fn unit(name: &str, index: usize) -> f64 {
    fraction(hash(fnv1a64(name), index))
}

fn hash(seed: u64, index: usize) -> u64 {
    splitmix64(seed.wrapping_add(index as u64))
}

fn fraction(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

fn series(name: &str, count: usize, value: impl Fn(f64) -> f64) -> Vec<f32> {
    let seed = fnv1a64(name);
    (0..count).map(|index| value(fraction(hash(seed, index))) as f32).collect()
}

/// The input called `name`: `count` numbers in `[-1, 1)`.
pub fn input(name: &str, count: usize) -> Vec<f32> {
    series(name, count, |u| 2.0 * u - 1.0)
}

/// The weight that the reference calls `name`. Weights of layers are scaled by `gain`.
pub fn weight(name: &str, shape: &[usize], gain: f64) -> Vec<f32> {
    let count = shape.iter().product();
    if let &[first, _, ..] = shape {
        let fan_in = count as f64 / first as f64;
        return series(name, count, |u| (2.0 * u - 1.0) * gain * (3.0 / fan_in).sqrt());
    }
    match name.rsplit('.').next() {
        Some("bias") => series(name, count, |u| 0.2 * (2.0 * u - 1.0)),
        Some("running_mean") => series(name, count, |u| 0.1 * (2.0 * u - 1.0)),
        _ => series(name, count, |u| 0.5 + u), // scales and variances of norms, weights of links
    }
}

/// How labels are drawn.
#[derive(Debug, Clone, Copy)]
pub struct Labels {
    /// Labels are below this.
    pub num_classes: u64,
    /// The share of pixels that become 255.
    pub ignored: f64,
    /// Each label fills a square of so many pixels a side.
    pub cell: usize,
}

impl Labels {
    /// The labels called `name`, `[batch, height, width]` in row-major order.
    pub fn draw(&self, name: &str, [batch, height, width]: [usize; 3]) -> Vec<u8> {
        let [rows, columns] = [height, width].map(|length| length / self.cell);
        let seed = fnv1a64(name);
        let ignore = fnv1a64(&format!("{name}.ignore"));
        let label = |index| {
            if fraction(hash(ignore, index)) < self.ignored {
                return u8::MAX;
            }
            (hash(seed, index) % self.num_classes) as u8
        };
        let mut labels = Vec::with_capacity(batch * height * width);
        for image in 0..batch {
            for y in 0..height {
                let row = (image * rows + y / self.cell) * columns;
                labels.extend((0..width).map(|x| label(row + x / self.cell)));
            }
        }
        labels
    }
}

/// `network` with every weight and running statistic drawn by its reference name.
#[must_use]
pub fn fill<M: Module>(network: M, names: &NameMap, gain: f64) -> M {
    replace_weights(network, names, |name, shape| Some(weight(name, shape, gain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_rule() {
        assert_eq!(fnv1a64(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a64("input"), 0x1ebb_ae8f_5810_b65b);
        assert_eq!(splitmix64(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(splitmix64(1), 0x910a_2dec_8902_5cc1);
        let seed = fnv1a64("input");
        assert_eq!(hash(seed, 0), 0x190a_9f76_a9bd_8bf6);
        assert_eq!(hash(seed, 1), 0x25c1_2863_d0b8_abeb);
    }

    #[test]
    fn an_input_starts_as_the_rule_says() {
        let expected = [-0.804_363_3, -0.705_042_8, 0.148_168_9, 0.705_455_7];
        for (drawn, expected) in input("input", 4).into_iter().zip(expected) {
            assert!((drawn - expected).abs() < 1e-7, "{drawn}");
        }
        assert_eq!(unit("backbone.conv1.0.weight", 0), 0.854_019_970_788_528_6);
    }

    #[test]
    fn labels_start_as_the_rule_says() {
        let labels = Labels { num_classes: 19, ignored: 0.1, cell: 1 };
        let drawn = labels.draw("target", [1, 1, 8]);
        assert_eq!(drawn, [9, 14, 6, 255, 15, 13, 255, 5]);
    }

    #[test]
    fn a_cell_repeats_its_label() {
        let labels = Labels { num_classes: 19, ignored: 0.1, cell: 2 };
        let drawn = labels.draw("target", [1, 4, 4]);
        let expected = [9, 9, 14, 14, 9, 9, 14, 14, 6, 6, 255, 255, 6, 6, 255, 255];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_kind_follows_from_the_name_and_the_rank() {
        let layer = weight("x.weight", &[2, 3, 1, 1], 1.0);
        assert!(layer.iter().all(|w| w.abs() <= 1.0) && layer.iter().any(|w| *w < 0.0));
        let u = unit("x.weight", 1);
        assert_eq!(weight("x.weight", &[2], 9.0)[1], (0.5 + u) as f32);
        assert_eq!(weight("x.bias", &[2], 9.0)[1], (0.2 * (2.0 * unit("x.bias", 1) - 1.0)) as f32);
    }
}
