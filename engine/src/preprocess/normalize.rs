//! Intensities to numbers around zero.

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// How intensities are normalized.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Normalization {
    /// Mean 0 and standard deviation 1 over the voxels of the case: for MR, whose
    /// scale means nothing.
    #[default]
    ZScore,
    /// Clipped to these percentiles of the case, then as `z_score`: for MR with
    /// outliers and artifacts.
    Percentile {
        /// Percent of the voxels below the lower bound.
        lower: f64,
        /// Percent of the voxels below the upper bound.
        upper: f64,
    },
    /// A window of known units to −1…1, clipped: for CT, in Hounsfield units.
    Window {
        /// Center of the window.
        level_hu: f64,
        /// Full width of the window.
        width_hu: f64,
    },
    /// From 0 to 1, the brightest that can be stored: for pictures in color.
    Unit,
    /// As `channels`, with the colors of the pictures of `ImageNet`: mean 0.485, 0.456, 0.406 and
    /// deviation 0.229, 0.224, 0.225.
    Imagenet,
    /// From 0 to 1, then less the mean and by the standard deviation of each channel: for pictures
    /// in color.
    Channels {
        /// Of red, green and blue, from 0 to 1.
        mean: [f64; 3],
        /// Of red, green and blue, from 0 to 1.
        deviation: [f64; 3],
    },
}

impl Normalization {
    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(self) -> Result<(), EngineError> {
        let refuse = |key: &str, value: String, expected: &str| {
            Err(EngineError::config(format!("preprocessing.normalization.{key}"), value, expected))
        };
        match self {
            Self::Percentile { lower, upper }
                if !(0.0 <= lower && lower < upper && upper <= 100.0) =>
            {
                refuse(
                    "percentile",
                    format!("{lower}, {upper}"),
                    "expected 0 <= lower < upper <= 100",
                )
            }
            Self::Window { level_hu, width_hu }
                if !(level_hu.is_finite() && width_hu.is_finite() && width_hu > 0.0) =>
            {
                refuse(
                    "window",
                    format!("{level_hu}, {width_hu}"),
                    "expected a finite level and a width above 0",
                )
            }
            Self::Channels { mean, deviation }
                if !(mean.into_iter().all(f64::is_finite)
                    && deviation.into_iter().all(|value| value.is_finite() && value > 0.0)) =>
            {
                refuse(
                    "channels",
                    format!("{mean:?}, {deviation:?}"),
                    "expected three finite means and three deviations above 0",
                )
            }
            _ => Ok(()),
        }
    }

    /// Its name, as in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::ZScore => "z_score",
            Self::Percentile { .. } => "percentile",
            Self::Window { .. } => "window",
            Self::Unit => "unit",
            Self::Imagenet => "imagenet",
            Self::Channels { .. } => "channels",
        }
    }

    /// Normalizes the voxels of one case.
    ///
    /// # Errors
    /// [`EngineError::Input`] when all voxels are equal and the scale is to come from them, or when
    /// the normalization is for colors.
    pub fn apply(self, voxels: &mut Array3<f32>) -> Result<(), EngineError> {
        match self {
            Self::ZScore => z_score(voxels),
            Self::Percentile { lower, upper } => {
                let (low, high) = percentiles(voxels, lower, upper);
                voxels.mapv_inplace(|value| value.clamp(low, high));
                z_score(voxels)
            }
            Self::Window { level_hu, width_hu } => {
                let (level, half) = (level_hu as f32, width_hu as f32 / 2.0);
                voxels.mapv_inplace(|value| ((value - level) / half).clamp(-1.0, 1.0));
                Ok(())
            }
            Self::Unit | Self::Imagenet | Self::Channels { .. } => Err(EngineError::Input {
                message: format!("{} is for pictures in color, this image is gray", self.name()),
            }),
        }
    }
}

fn z_score(voxels: &mut Array3<f32>) -> Result<(), EngineError> {
    let count = voxels.len() as f64;
    let mean = voxels.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let variance =
        voxels.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    let deviation = variance.sqrt();
    if deviation <= f64::EPSILON * mean.abs().max(1.0) {
        return Err(EngineError::Input {
            message: format!("expected an image with contrast, found all voxels equal to {mean}"),
        });
    }
    voxels.mapv_inplace(|value| ((f64::from(value) - mean) / deviation) as f32);
    Ok(())
}

fn percentiles(voxels: &Array3<f32>, lower: f64, upper: f64) -> (f32, f32) {
    let mut sorted: Vec<f32> = voxels.iter().copied().collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |percent: f64| sorted[((sorted.len() - 1) as f64 * percent / 100.0).round() as usize];
    (at(lower), at(upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Array3<f32> {
        Array3::from_shape_fn([1, 1, 101], |(_, _, i)| i as f32)
    }

    #[test]
    fn a_z_score_has_mean_zero_and_deviation_one_at_any_scale() {
        for scale in [1.0, 1e6] {
            let mut voxels = ramp() * scale;
            Normalization::ZScore.apply(&mut voxels).unwrap();
            assert!(voxels.mean().unwrap().abs() < 1e-6);
            assert!((voxels.std(0.0) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn a_window_clips() {
        let mut voxels = ramp();
        Normalization::Window { level_hu: 50.0, width_hu: 50.0 }.apply(&mut voxels).unwrap();
        assert_eq!([voxels[[0, 0, 0]], voxels[[0, 0, 50]], voxels[[0, 0, 100]]], [-1.0, 0.0, 1.0]);
    }

    #[test]
    fn percentiles_keep_an_outlier_from_setting_the_scale() {
        let mut voxels = ramp();
        voxels[[0, 0, 100]] = 1e9;
        Normalization::Percentile { lower: 1.0, upper: 99.0 }.apply(&mut voxels).unwrap();
        assert!(voxels[[0, 0, 100]] < 2.0);
    }

    #[test]
    fn an_image_without_contrast_is_refused() {
        let message = Normalization::ZScore.apply(&mut Array3::ones([2, 2, 2])).unwrap_err();
        assert!(message.to_string().contains("all voxels equal to 1"));
    }
}
