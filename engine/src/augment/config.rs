//! What may vary, how much and how often.

use serde::{Deserialize, Serialize};

use super::color::ColorJitter;
use super::elastic::Elastic;
use crate::error::EngineError;
use crate::preprocess::Input;

/// How much training slices vary. Zero switches a variation off, as the default does; so does
/// leaving out what is not a number.
///
/// Slices are moved first, in one resampling: flip, rotation, scale, shift and elastic deformation
/// together. Then colors are jittered, from 0 to 1, and normalized. Then come, in this order,
/// `gaussian_noise`, `gaussian_blur`, `brightness_factor`, `contrast_factor`, `low_resolution`,
/// `inverted_gamma_exponent` and `gamma_exponent`, which are nnU-Net's, and `gamma`, `contrast`,
/// `brightness` and `noise`, all on the numbers that the network sees.
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
    /// Probability of a rotation; 1 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_probability: Option<f64>,
    /// In place of `scale`: a factor from the first to the second, drawn evenly. The patch is cut
    /// out of the scaled slice, so that every part of it is seen as often at any scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_range: Option<[f64; 2]>,
    /// As `scale_range`, but one of these factors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scale_steps: Vec<f64>,
    /// Probability of a change of size; 1 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_probability: Option<f64>,
    /// Whether a slice that is smaller than the patch once it is scaled is enlarged until it is not,
    /// as in STDC's code; else what is missing is filled and ignored.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enlarge_small: bool,
    /// Elastic deformation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic: Option<Elastic>,
    /// Changes of brightness, contrast, saturation and hue of pictures in color.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color_jitter: Option<ColorJitter>,
    /// Noise; the range is of its standard deviation (which nnU-Net calls a variance).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaussian_noise: Option<Change>,
    /// Blur; the range is of the Gaussian's standard deviation in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaussian_blur: Option<Change>,
    /// What numbers are multiplied with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brightness_factor: Option<Change>,
    /// What the distance of numbers from their mean is multiplied with; none leaves the range that
    /// there was. As often below 1 as above, where the range is on both sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contrast_factor: Option<Change>,
    /// The size to which a slice is shrunk, by the nearest pixel, and then enlarged from again,
    /// linearly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_resolution: Option<Change>,
    /// The exponent of numbers within their range, whose mean and standard deviation are restored
    /// afterwards. As often below 1 as above, where the range is on both sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma_exponent: Option<Change>,
    /// The same with dark and bright exchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inverted_gamma_exponent: Option<Change>,
}

/// A change of some slices, whose size is drawn evenly from a range; the same for all channels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Share of the slices that are changed.
    #[serde(default = "always")]
    pub probability: f64,
    /// Smallest and largest.
    pub range: [f64; 2],
}

pub(super) fn always() -> f64 {
    1.0
}

impl AugmentConfig {
    /// Whether these settings can work with slices of this kind.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self, input: Input) -> Result<(), EngineError> {
        let probability = |value: Option<f64>| value.unwrap_or(1.0);
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
            ("rotation_probability", probability(self.rotation_probability), 1.0),
            ("scale_probability", probability(self.scale_probability), 1.0),
        ];
        for (key, value, most) in ranges {
            within(key, value, [0.0, most])?;
        }
        self.validate_scales()?;
        let changes = [
            ("gaussian_noise", self.gaussian_noise, [0.0, 100.0]),
            ("gaussian_blur", self.gaussian_blur, [0.0, 64.0]),
            ("brightness_factor", self.brightness_factor, [0.0, 100.0]),
            ("contrast_factor", self.contrast_factor, [0.0, 100.0]),
            ("low_resolution", self.low_resolution, [0.01, 1.0]),
            ("gamma_exponent", self.gamma_exponent, [0.01, 100.0]),
            ("inverted_gamma_exponent", self.inverted_gamma_exponent, [0.01, 100.0]),
        ];
        for (key, change, bounds) in changes {
            let Some(Change { probability, range }) = change else { continue };
            within(&format!("{key}.probability"), probability, [0.0, 1.0])?;
            ordered(&format!("{key}.range"), range, bounds)?;
        }
        if let Some(elastic) = &self.elastic {
            elastic.validate()?;
        }
        match &self.color_jitter {
            Some(_) if input == Input::Gray => {
                let expected = "expected none, where preprocessing.input is gray";
                Err(EngineError::config("augmentation.color_jitter", "{ … }", expected))
            }
            Some(jitter) => jitter.validate(),
            None => Ok(()),
        }
    }

    fn validate_scales(&self) -> Result<(), EngineError> {
        let given = [self.scale > 0.0, self.scale_range.is_some(), !self.scale_steps.is_empty()];
        if given.into_iter().filter(|given| *given).count() > 1 {
            let expected = "expected one of scale, scale_range and scale_steps";
            let key =
                if given[2] { "augmentation.scale_steps" } else { "augmentation.scale_range" };
            return Err(EngineError::config(key, "given", expected));
        }
        for step in &self.scale_steps {
            within("scale_steps", *step, [0.01, 100.0])?;
        }
        self.scale_range.map_or(Ok(()), |range| ordered("scale_range", range, [0.01, 100.0]))
    }

    /// Whether the patch is cut out of the scaled slice, rather than scaled itself.
    pub fn scales_before_cutting(&self) -> bool {
        self.scale_range.is_some() || !self.scale_steps.is_empty()
    }
}

/// Refuses what is not within bounds; NaN is not.
pub(super) fn within(key: &str, value: f64, [least, most]: [f64; 2]) -> Result<(), EngineError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let expected = format!("expected {least} to {most}");
    Err(EngineError::config(format!("augmentation.{key}"), value, expected))
}

fn ordered(key: &str, range: [f64; 2], [least, most]: [f64; 2]) -> Result<(), EngineError> {
    let [low, high] = range;
    if least <= low && low <= high && high <= most {
        return Ok(());
    }
    let expected = format!("expected two numbers from {least} to {most}, the smaller one first");
    Err(EngineError::config(format!("augmentation.{key}"), format!("{range:?}"), expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str, input: Input) -> String {
        let config: Result<AugmentConfig, _> = toml::from_str(text);
        match config {
            Err(error) => error.to_string(),
            Ok(config) => config.validate(input).unwrap_err().to_string(),
        }
    }

    #[test]
    fn settings_that_cannot_work_are_named_with_what_would_be_right() {
        for (text, expected) in [
            ("flip_x = 1.5", "augmentation.flip_x = 1.5: expected 0 to 1"),
            ("scale_range = [2.0, 0.5]", "augmentation.scale_range = [2.0, 0.5]: expected two"),
            ("scale = 0.2\nscale_steps = [1.0]", "expected one of scale, scale_range and"),
            ("scale_steps = [0.0]", "augmentation.scale_steps = 0: expected 0.01 to 100"),
            ("gaussian_blur = { range = [1.0, 99.0] }", "augmentation.gaussian_blur.range"),
            (
                "gaussian_blur = { probability = 2, range = [0, 1] }",
                "gaussian_blur.probability = 2",
            ),
            ("low_resolution = { zoom = [0.5, 1] }", "unknown field `zoom`"),
            ("color_jitter = { hue = 0.1 }", "expected none, where preprocessing.input is gray"),
        ] {
            let message = complaint(text, Input::Gray);
            assert!(message.contains(expected), "{message}");
        }
        let message = complaint("color_jitter = { hue = 0.6 }", Input::Rgb);
        assert!(message.contains("augmentation.color_jitter.hue = 0.6: expected 0 to 0.5"));
        let message =
            complaint("elastic = { magnitude_pixels = 9, grid_pixels = 10 }", Input::Gray);
        assert!(message.contains("augmentation.elastic.magnitude_pixels = 9"), "{message}");
    }

    /// STDC's, BiSeNetV2's, BPNet's and nnU-Net's for slices, as their codes have them.
    #[test]
    fn what_the_papers_vary_can_be_said() {
        let nnunet = "flip_x = 0.5\nflip_y = 0.5\nrotation_degrees = 180.0\n\
             rotation_probability = 0.2\nscale_range = [0.7, 1.4]\nscale_probability = 0.2\n\
             gaussian_noise = { probability = 0.1, range = [0.0, 0.1] }\n\
             gaussian_blur = { probability = 0.1, range = [0.5, 1.0] }\n\
             brightness_factor = { probability = 0.15, range = [0.75, 1.25] }\n\
             contrast_factor = { probability = 0.15, range = [0.75, 1.25] }\n\
             low_resolution = { probability = 0.125, range = [0.5, 1.0] }\n\
             inverted_gamma_exponent = { probability = 0.1, range = [0.7, 1.5] }\n\
             gamma_exponent = { probability = 0.3, range = [0.7, 1.5] }\n";
        let stdc = "flip_x = 0.5\nscale_steps = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, \
             1.125, 1.25, 1.375, 1.5]\nenlarge_small = true\n\
             color_jitter = { brightness = 0.5, contrast = 0.5, saturation = 0.5 }\n";
        let bisenet = "flip_x = 0.5\nscale_range = [0.25, 2.0]\n\
             color_jitter = { brightness = 0.4, contrast = 0.4, saturation = 0.4 }\n";
        for text in [nnunet, stdc, bisenet] {
            let config: AugmentConfig = toml::from_str(text).unwrap();
            config.validate(Input::Rgb).unwrap();
            let again: AugmentConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
            assert_eq!(again, config);
        }
    }

    #[test]
    fn a_file_that_says_nothing_new_is_written_as_before() {
        let text = toml::to_string(&AugmentConfig::default()).unwrap();
        let keys: Vec<&str> =
            text.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key).collect();
        let known = [
            "flip_x",
            "flip_y",
            "rotation_degrees",
            "scale",
            "shift_pixels",
            "contrast",
            "brightness",
            "gamma",
            "noise",
        ];
        assert_eq!(keys, known, "checkpoints know their experiment by this text");
    }
}
