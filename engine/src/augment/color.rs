//! Color jitter, as torchvision's `ColorJitter` defines it: brightness, contrast, saturation and hue
//! in an order that is drawn too, on red, green and blue from 0 to 1.

use ndarray::{ArrayViewMut3, Axis};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::config::{always, within};
use crate::error::EngineError;

/// How much colors vary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColorJitter {
    /// Share of the slices whose colors vary.
    #[serde(default = "always")]
    pub probability: f64,
    /// 0.4 draws a factor from 0.6 to 1.4, as of contrast and saturation.
    pub brightness: f64,
    /// Of the distance from the mean brightness.
    pub contrast: f64,
    /// Of the distance from gray.
    pub saturation: f64,
    /// 0.1 turns the hue by up to a tenth of the circle either way.
    pub hue: f64,
}

impl Default for ColorJitter {
    fn default() -> Self {
        Self { probability: 1.0, brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 }
    }
}

/// One change of all colors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ColorChange {
    /// Colors times this.
    Brightness(f32),
    /// Their distance from the mean brightness of the picture times this.
    Contrast(f32),
    /// Their distance from gray of the same brightness times this.
    Saturation(f32),
    /// Hues turned by this share of the circle.
    Hue(f32),
}

impl ColorJitter {
    pub(super) fn validate(&self) -> Result<(), EngineError> {
        for (key, value, most) in [
            ("probability", self.probability, 1.0),
            ("brightness", self.brightness, 10.0),
            ("contrast", self.contrast, 10.0),
            ("saturation", self.saturation, 10.0),
            ("hue", self.hue, 0.5),
        ] {
            within(&format!("color_jitter.{key}"), value, [0.0, most])?;
        }
        Ok(())
    }

    /// Draws changes and their order; none for slices that stay as they are.
    pub fn draw(&self, rng: &mut impl Rng) -> Vec<ColorChange> {
        if !rng.random_bool(self.probability) {
            return Vec::new();
        }
        let mut factor = |most: f64| {
            let (low, high) = ((1.0 - most).max(0.0), 1.0 + most);
            (low + (high - low) * rng.random::<f64>()) as f32
        };
        let mut changes = vec![
            (self.brightness, ColorChange::Brightness(factor(self.brightness))),
            (self.contrast, ColorChange::Contrast(factor(self.contrast))),
            (self.saturation, ColorChange::Saturation(factor(self.saturation))),
        ];
        let turn = (2.0 * rng.random::<f64>() - 1.0) * self.hue;
        changes.push((self.hue, ColorChange::Hue(turn as f32)));
        changes.shuffle(rng);
        changes.into_iter().filter(|(most, _)| *most > 0.0).map(|(_, change)| change).collect()
    }
}

/// Changes the colors of slices, which are from 0 to 1 and stay so.
///
/// # Shapes
/// - `slices`: `[channel, height, width]`, red, green and blue of one slice after the other
/// - `inside`: `[height, width]`; the mean is that of these pixels
pub fn change_colors(mut slices: ArrayViewMut3<'_, f32>, inside: &[bool], changes: &[ColorChange]) {
    for mut slice in slices.axis_chunks_iter_mut(Axis(0), 3) {
        let all = slice.as_slice_mut().expect("a patch lies in one piece of memory");
        let (red, rest) = all.split_at_mut(inside.len());
        let (green, blue) = rest.split_at_mut(inside.len());
        for change in changes {
            change.apply(red, green, blue, inside);
        }
    }
}

impl ColorChange {
    fn apply(self, red: &mut [f32], green: &mut [f32], blue: &mut [f32], inside: &[bool]) {
        let mean = match self {
            Self::Contrast(_) => mean_brightness(red, green, blue, inside),
            _ => 0.0,
        };
        for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
            let color = [*red, *green, *blue];
            [*red, *green, *blue] = match self {
                Self::Brightness(factor) => color.map(|value| blend(value, 0.0, factor)),
                Self::Contrast(factor) => color.map(|value| blend(value, mean, factor)),
                Self::Saturation(factor) => {
                    let gray = brightness(color);
                    color.map(|value| blend(value, gray, factor))
                }
                Self::Hue(turn) => turned(color, turn),
            };
        }
    }
}

/// `factor` of `value` and the rest of `other`.
fn blend(value: f32, other: f32, factor: f32) -> f32 {
    (factor * value + (1.0 - factor) * other).clamp(0.0, 1.0)
}

/// As torchvision weighs the colors.
fn brightness([red, green, blue]: [f32; 3]) -> f32 {
    0.2989 * red + 0.587 * green + 0.114 * blue
}

fn mean_brightness(red: &[f32], green: &[f32], blue: &[f32], inside: &[bool]) -> f32 {
    let pixels = red.iter().zip(green).zip(blue).zip(inside).filter(|(_, inside)| **inside);
    let (count, sum) = pixels.fold((0_u64, 0.0_f64), |(count, sum), (((red, green), blue), _)| {
        (count + 1, sum + f64::from(brightness([*red, *green, *blue])))
    });
    if count == 0 { 0.0 } else { (sum / count as f64) as f32 }
}

/// The color with its hue turned; by way of hue, saturation and value.
fn turned(color: [f32; 3], turn: f32) -> [f32; 3] {
    let [red, green, blue] = color;
    let most = red.max(green).max(blue);
    let least = red.min(green).min(blue);
    let range = most - least;
    if range <= 0.0 {
        return color; // gray has no hue
    }
    let sixths = if most == red {
        (green - blue) / range
    } else if most == green {
        2.0 + (blue - red) / range
    } else {
        4.0 + (red - green) / range
    };
    let hue = (sixths / 6.0 + turn).rem_euclid(1.0) * 6.0;
    // How far each channel lies below the largest, as a share of the range (Smith 1978).
    let channel = |offset: f32| {
        let k = (offset + hue).rem_euclid(6.0);
        most - range * k.min(4.0 - k).clamp(0.0, 1.0)
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn changed(color: [f32; 3], other: [f32; 3], change: ColorChange) -> [f32; 3] {
        let mut slice =
            Array3::from_shape_fn(
                [3, 1, 2],
                |(channel, _, x)| {
                    if x == 0 { color[channel] } else { other[channel] }
                },
            );
        change_colors(slice.view_mut(), &[true, true], &[change]);
        [0, 1, 2].map(|channel| slice[[channel, 0, 0]])
    }

    #[track_caller]
    fn close(found: [f32; 3], expected: [f32; 3]) {
        let near = found.into_iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near, "{found:?} for {expected:?}");
    }

    #[test]
    fn each_change_is_that_of_torchvision() {
        let (color, other) = ([0.2, 0.4, 0.6], [0.8, 0.8, 0.8]);
        close(changed(color, other, ColorChange::Brightness(1.5)), [0.3, 0.6, 0.9]);
        close(changed(color, other, ColorChange::Brightness(2.0)), [0.4, 0.8, 1.0]);
        // Brightness 0.2989·0.2 + 0.587·0.4 + 0.114·0.6 = 0.36298 and 0.79992: mean 0.58145.
        let mean = 0.581_45;
        let expected = color.map(|value| 0.5 * value + 0.5 * mean);
        close(changed(color, other, ColorChange::Contrast(0.5)), expected);
        let expected = color.map(|value| 2.0 * value - 0.362_98).map(|value| value.max(0.0));
        close(changed(color, other, ColorChange::Saturation(2.0)), expected);
        // (0.2, 0.4, 0.6) has hue 7/12, saturation 2/3 and value 0.6.
        close(changed(color, other, ColorChange::Hue(1.0 / 3.0)), [0.6, 0.2, 0.4]);
        close(changed(color, other, ColorChange::Hue(-0.5)), [0.6, 0.4, 0.2]);
        close(changed(color, other, ColorChange::Hue(0.25)), [0.6, 0.2, 0.6]);
        close(changed(other, color, ColorChange::Hue(0.3)), other);
    }

    #[test]
    fn what_lies_outside_has_no_part_in_the_mean() {
        let mut slice = Array3::from_elem([3, 1, 2], 0.5);
        slice[[0, 0, 1]] = 0.0;
        let contrast = [ColorChange::Contrast(0.0)];
        change_colors(slice.view_mut(), &[true, false], &contrast);
        assert!((slice[[0, 0, 0]] - 0.499_95).abs() < 1e-5); // 0.9999 of 0.5
    }

    #[test]
    fn factors_reach_as_far_as_they_may_in_every_order() {
        let jitter = ColorJitter { brightness: 0.4, contrast: 2.0, hue: 0.1, ..Default::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut first = std::collections::BTreeMap::new();
        let (mut low, mut high) = (f32::MAX, f32::MIN);
        for _ in 0..2000 {
            let changes = jitter.draw(&mut rng);
            assert_eq!(changes.len(), 3, "nothing is said of saturation");
            *first.entry(format!("{:?}", std::mem::discriminant(&changes[0]))).or_insert(0) += 1;
            for change in changes {
                match change {
                    ColorChange::Brightness(factor) => assert!((0.6..=1.4).contains(&factor)),
                    ColorChange::Contrast(factor) => {
                        (low, high) = (low.min(factor), high.max(factor));
                    }
                    ColorChange::Hue(turn) => assert!(turn.abs() <= 0.1),
                    ColorChange::Saturation(_) => panic!("nothing is said of it"),
                }
            }
        }
        assert!((0.0..0.01).contains(&low), "{low}");
        assert!((2.98..=3.0).contains(&high), "{high}");
        assert!(first.len() == 3 && first.values().all(|count| *count > 500), "{first:?}");
        let never = ColorJitter { probability: 0.0, ..jitter };
        assert_eq!(never.draw(&mut rng), []);
    }
}
