//! Pictures in color to numbers around zero, channel by channel.
//!
//! Stored samples become numbers from 0 to 1 first, the brightest that can be stored being 1;
//! then the mean is taken away and the rest divided by the standard deviation. Both steps are kept
//! apart, because a picture is varied between them in training.

use lamina_io::ColorSamples;
use ndarray::{Array4, ArrayView4, Axis};
use serde::{Deserialize, Serialize};

use super::Normalization;
use crate::error::EngineError;

/// The colors of the pictures of `ImageNet`, from 0 to 1: what nearly every network of color pictures
/// is given, as torchvision documents them.
pub const IMAGENET: ColorScale =
    ColorScale { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };

/// How samples from 0 to 1 become the network's numbers: `(sample - mean) / deviation` of each
/// channel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColorScale {
    /// Of red, green and blue.
    pub mean: [f32; 3],
    /// Of red, green and blue.
    pub deviation: [f32; 3],
}

impl ColorScale {
    /// Leaves samples from 0 to 1 as they are.
    pub const UNIT: Self = Self { mean: [0.0; 3], deviation: [1.0; 3] };

    /// The network's number for `sample`, from 0 to 1, of a channel: 0 for red, 2 for blue.
    pub fn apply(&self, channel: usize, sample: f32) -> f32 {
        (sample - self.mean[channel]) / self.deviation[channel]
    }
}

impl Normalization {
    /// How a picture in color is normalized.
    ///
    /// # Errors
    /// [`EngineError::Input`] for a picture without contrast whose scale is to come from itself, and
    /// for a normalization that is not for colors.
    pub fn color_scale(self, samples: &ColorSamples) -> Result<ColorScale, EngineError> {
        match self {
            Self::Unit => Ok(ColorScale::UNIT),
            Self::Imagenet => Ok(IMAGENET),
            Self::Channels { mean, deviation } => Ok(ColorScale {
                mean: mean.map(|value| value as f32),
                deviation: deviation.map(|value| value as f32),
            }),
            Self::ZScore => own_scale(samples),
            Self::Percentile { .. } | Self::Window { .. } => Err(EngineError::Input {
                message: "expected a normalization for colors".to_owned(),
            }),
        }
    }
}

/// Mean and standard deviation of all samples of the picture, the same for its three channels.
fn own_scale(samples: &ColorSamples) -> Result<ColorScale, EngineError> {
    let largest = f64::from(samples.largest());
    let (count, sum, squares) = match samples {
        ColorSamples::U8(samples) => sums(samples.iter().map(|&sample| u64::from(sample))),
        ColorSamples::U16(samples) => sums(samples.iter().map(|&sample| u64::from(sample))),
    };
    let mean = sum as f64 / count as f64;
    let variance = (squares as f64 / count as f64 - mean * mean).max(0.0);
    let wide = [count, sum, squares].map(u128::from);
    if wide[2] * wide[0] == wide[1] * wide[1] {
        return Err(EngineError::Input {
            message: format!("expected a picture with contrast, found all samples equal to {mean}"),
        });
    }
    let [mean, deviation] = [mean, variance.sqrt()].map(|value| (value / largest) as f32);
    Ok(ColorScale { mean: [mean; 3], deviation: [deviation; 3] })
}

/// Count, sum and sum of squares: whole numbers, so exact in any order.
fn sums(samples: impl Iterator<Item = u64>) -> (u64, u64, u64) {
    samples.fold((0, 0, 0), |(count, sum, squares), sample| {
        (count + 1, sum + sample, squares + sample * sample)
    })
}

/// Samples from 0 to 1.
pub fn unit_samples(samples: &ColorSamples) -> Array4<f32> {
    let largest = samples.largest();
    match samples {
        ColorSamples::U8(samples) => samples.mapv(|sample| f32::from(sample) / largest),
        ColorSamples::U16(samples) => samples.mapv(|sample| f32::from(sample) / largest),
    }
}

/// The network's numbers for samples from 0 to 1.
///
/// # Shapes
/// - `samples`, output: `[slice, channel, height, width]`
pub fn normalized(samples: ArrayView4<'_, f32>, scale: &ColorScale) -> Array4<f32> {
    let mut numbers = samples.to_owned();
    for (channel, mut plane) in numbers.axis_iter_mut(Axis(1)).enumerate() {
        plane.mapv_inplace(|sample| scale.apply(channel, sample));
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> ColorSamples {
        let samples = [0, 51, 102, 153, 204, 255, 0, 51, 102, 153, 204, 255];
        ColorSamples::U8(Array4::from_shape_vec([1, 3, 2, 2], samples.to_vec()).unwrap())
    }

    #[test]
    fn the_scale_of_a_picture_makes_mean_zero_and_deviation_one() {
        let scale = Normalization::ZScore.color_scale(&picture()).unwrap();
        let numbers = normalized(unit_samples(&picture()).view(), &scale);
        assert!(numbers.mean().unwrap().abs() < 1e-6);
        assert!((numbers.std(0.0) - 1.0).abs() < 1e-6);
        let flat = ColorSamples::U8(Array4::from_elem([1, 3, 2, 2], 7));
        let message = Normalization::ZScore.color_scale(&flat).unwrap_err().to_string();
        assert!(message.contains("all samples equal to 7"), "{message}");
    }

    #[test]
    fn imagenet_is_as_torchvision_has_it() {
        let numbers = normalized(unit_samples(&picture()).view(), &IMAGENET);
        // (0.2 - 0.485) / 0.229, (1 - 0.456) / 0.224, (0.8 - 0.406) / 0.225
        for (index, expected) in
            [([0, 0, 0, 1], -1.244_541), ([0, 1, 0, 1], 2.428_571_4), ([0, 2, 1, 0], 1.751_111)]
        {
            assert!((numbers[index] - expected).abs() < 1e-5, "{}", numbers[index]);
        }
    }

    #[test]
    fn samples_of_sixteen_bits_are_the_same_numbers() {
        let ColorSamples::U8(bytes) = picture() else { panic!("bytes") };
        let words = ColorSamples::U16(bytes.mapv(|sample| u16::from(sample) * 257));
        assert_eq!(unit_samples(&words), unit_samples(&picture()));
        let [of_bytes, of_words] =
            [picture(), words].map(|samples| Normalization::ZScore.color_scale(&samples).unwrap());
        assert!((of_bytes.mean[0] - of_words.mean[0]).abs() < 1e-6);
        assert!((of_bytes.deviation[1] - of_words.deviation[1]).abs() < 1e-6);
    }
}
