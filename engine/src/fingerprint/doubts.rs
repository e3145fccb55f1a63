//! What speaks against using a model on an image, in plain sentences.

use std::collections::BTreeMap;

use lamina_io::{CaseImage, Volume};
use serde::{Deserialize, Serialize};

use super::{CaseTraits, Fingerprint, PERCENTS, Span};
use crate::preprocess::{Normalization, Plane, PreprocessConfig};

/// How many times more or less than in training voxels may measure.
const SPACING_FACTOR: f64 = 1.2;

/// The same within slices that are resampled before the network sees them.
const RESAMPLED_FACTOR: f64 = 2.0;

/// How many times more or less than in training an image may reach.
const SIZE_FACTOR: f64 = 1.5;

/// How many times more or less than in training may be found of a class.
const VOLUME_FACTOR: f64 = 1.5;

/// Degrees by which slices may be tilted beyond those of training.
const TILT_DEGREES: f64 = 10.0;

/// How far a percentile may lie beyond those of training, in what the network sees: deviations
/// from the mean, or halves of a window.
const SHIFT: f64 = 0.25;

/// What a doubt is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// How the image was taken.
    Modality,
    /// How large its voxels are.
    Spacing,
    /// How much it shows.
    Size,
    /// How its slices lie in the patient.
    Orientation,
    /// Its values.
    Intensity,
    /// How much of a class was found.
    Volume,
}

/// A reason to look twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// What it is about.
    pub about: Subject,
    /// A plain sentence.
    pub sentence: String,
}

impl Doubt {
    /// A doubt with its sentence.
    pub fn new(about: Subject, sentence: impl Into<String>) -> Self {
        Self { about, sentence: sentence.into() }
    }
}

impl Fingerprint {
    /// In what `volume` is unlike the images that the model was trained on; `preprocessing` is
    /// that of the model.
    pub fn doubts_about(&self, volume: &Volume, preprocessing: &PreprocessConfig) -> Vec<Doubt> {
        match CaseTraits::of(volume, None, preprocessing) {
            Ok(traits) => self.doubts_about_traits(&traits, preprocessing),
            Err(_) => vec![Doubt::new(Subject::Intensity, "The image has no contrast to go by.")],
        }
    }

    /// [`doubts_about`](Self::doubts_about) of an image with as many channels as the model wants.
    pub fn doubts_about_image(
        &self,
        image: &CaseImage,
        preprocessing: &PreprocessConfig,
    ) -> Vec<Doubt> {
        match image {
            CaseImage::Gray(volume) => self.doubts_about(volume, preprocessing),
            CaseImage::Color(picture) => match CaseTraits::of_color(picture, None, preprocessing) {
                Ok(traits) => self.doubts_about_traits(&traits, preprocessing),
                Err(_) => {
                    vec![Doubt::new(Subject::Intensity, "The image has no contrast to go by.")]
                }
            },
        }
    }

    /// The same of an image that was measured already.
    pub fn doubts_about_traits(
        &self,
        traits: &CaseTraits,
        preprocessing: &PreprocessConfig,
    ) -> Vec<Doubt> {
        let mut doubts = self.about_spacing(traits, preprocessing);
        doubts.extend(self.about_size(traits, preprocessing.plane));
        doubts.extend(self.about_tilt(traits, preprocessing.plane));
        doubts.extend(self.about_values(traits, preprocessing.normalization));
        doubts
    }

    fn about_spacing(&self, traits: &CaseTraits, config: &PreprocessConfig) -> Vec<Doubt> {
        let doubt = |sentence: String| Doubt::new(Subject::Spacing, sentence);
        let (seen, found) = match (&self.spacing_mm, traits.spacing_mm) {
            (Some(seen), Some(found)) => (seen, found),
            (Some([x, y, _]), None) => {
                return vec![doubt(format!(
                    "The image does not say how large its voxels are; the model saw {} × {} mm.",
                    of_mm(*x),
                    of_mm(*y)
                ))];
            }
            // Nothing is known of the millimeters of a picture that the model could mind.
            (None, _) => return Vec::new(),
        };
        let factor = if config.spacing_mm.is_some() { RESAMPLED_FACTOR } else { SPACING_FACTOR };
        let mut doubts = Vec::new();
        if beyond(found[0], seen[0], factor) || beyond(found[1], seen[1], factor) {
            doubts.push(doubt(format!(
                "Pixels of a slice measure {} × {} mm; the model saw {} × {} mm.",
                mm(found[0]),
                mm(found[1]),
                of_mm(seen[0]),
                of_mm(seen[1])
            )));
        }
        if beyond(found[2], seen[2], SPACING_FACTOR) {
            doubts.push(doubt(format!(
                "The slices are {} mm apart; the model saw {} mm.",
                mm(found[2]),
                of_mm(seen[2])
            )));
        }
        doubts
    }

    fn about_size(&self, traits: &CaseTraits, plane: Plane) -> Option<Doubt> {
        let voxels = traits.size_voxels.map(|size| size as f64);
        let (found, seen, unit) = match (&self.size_mm, traits.spacing_mm) {
            (Some(seen), Some(spacing)) => {
                ([0, 1, 2].map(|axis| voxels[axis] * spacing[axis]), seen, "mm")
            }
            (Some(_), None) => return None, // said of the spacing
            (None, _) => (voxels, &self.size_voxels, "pixels"),
        };
        let factor = SIZE_FACTOR;
        let axes: &[usize] = if unit == "mm" { &[0, 1, 2] } else { &[0, 1] };
        let other = |large: bool| {
            axes.iter().any(|&axis| {
                beyond(found[axis], seen[axis], factor) && (found[axis] > seen[axis].max) == large
            })
        };
        let advice = match (other(false), other(true)) {
            (false, false) => return None,
            (true, false) => "it shows less than the model needs around its structures",
            (false, true) => "crop it to what the model knows",
            (true, true) => "it is cut otherwise",
        };
        let names = match plane {
            Plane::Axial => ["left–right", "front–back", "head–feet"],
            Plane::Coronal => ["left–right", "head–feet", "front–back"],
            Plane::Sagittal => ["front–back", "head–feet", "left–right"],
            Plane::Stored => ["wide", "high", "deep"],
        };
        let list = |of: &dyn Fn(usize) -> String| {
            axes.iter().map(|&axis| of(axis)).collect::<Vec<_>>().join(" × ")
        };
        Some(Doubt::new(
            Subject::Size,
            format!(
                "The image reaches {} {unit} ({}); the model saw {} {unit}: {advice}.",
                list(&|axis| format!("{:.0}", found[axis])),
                list(&|axis| names[axis].to_owned()),
                list(&|axis| span(seen[axis], |size| format!("{size:.0}"))),
            ),
        ))
    }

    fn about_tilt(&self, traits: &CaseTraits, plane: Plane) -> Option<Doubt> {
        let (found, seen) = (traits.oblique_degrees, self.oblique_degrees);
        let name = match plane {
            Plane::Axial => "axial",
            Plane::Coronal => "coronal",
            Plane::Sagittal => "sagittal",
            Plane::Stored => return None,
        };
        let sentence = format!(
            "The slices are tilted by {found:.0}° from {name}; the model saw up to {seen:.0}°."
        );
        (found > seen + TILT_DEGREES).then(|| Doubt::new(Subject::Orientation, sentence))
    }

    /// About the percentile that lies furthest out.
    fn about_values(&self, traits: &CaseTraits, normalization: Normalization) -> Option<Doubt> {
        let excess = |at: usize| {
            let (found, seen) = (traits.after[at], self.intensity.after[at]);
            let margin = SHIFT + 0.25 * (seen.max - seen.min);
            (seen.min - found).max(found - seen.max) - margin
        };
        let worst = (0..PERCENTS.len()).max_by(|a, b| excess(*a).total_cmp(&excess(*b)))?;
        // Written so that a manifest with NaN doubts everything.
        if excess(worst) <= 0.0 {
            return None;
        }
        let name = match PERCENTS[worst] {
            50.0 => "median".to_owned(),
            1.0 => "1st percentile".to_owned(),
            percent => format!("{percent:.0}th percentile"),
        };
        let sentence = match normalization {
            Normalization::Window { .. }
            | Normalization::Unit
            | Normalization::Imagenet
            | Normalization::Channels { .. } => format!(
                "The {name} of its values is {}; in training it was {}.",
                value(traits.before[worst]),
                span(self.intensity.before[worst], value)
            ),
            Normalization::ZScore | Normalization::Percentile { .. } => format!(
                "Its brightness is spread otherwise: the {name} lies {:.1} deviations from the \
                 mean; in training {}.",
                traits.after[worst],
                span(self.intensity.after[worst], |value| format!("{value:.1}"))
            ),
        };
        Some(Doubt::new(Subject::Intensity, sentence))
    }

    /// In what volumes in milliliters, by label, are unlike those of the training cases.
    pub fn doubts_about_found(&self, volumes_ml: &BTreeMap<u8, f64>) -> Vec<Doubt> {
        let labels = (1..=255_u8).zip(&self.classes);
        let doubts = labels.filter_map(|(label, class)| {
            let found = volumes_ml.get(&label).copied().unwrap_or(0.0);
            let (seen, name) = (class.volume_ml?, &class.name);
            let sentence = if found == 0.0 {
                if class.cases < self.cases {
                    return None;
                }
                format!(
                    "Nothing was found of {name}; every training case showed {} ml of it.",
                    of_mm(seen)
                )
            } else if beyond(found, seen, VOLUME_FACTOR) {
                format!(
                    "{} ml of {name} were found; training cases showed {} ml.",
                    mm(found),
                    of_mm(seen)
                )
            } else {
                return None;
            };
            Some(Doubt::new(Subject::Volume, sentence))
        });
        doubts.collect()
    }
}

/// Whether a length is no `factor`-th part and no `factor`-fold of any in the span.
fn beyond(found: f64, seen: Span, factor: f64) -> bool {
    !(seen.min / factor..=seen.max * factor).contains(&found)
}

fn span(span: Span, write: impl Fn(f64) -> String) -> String {
    let [min, max] = [write(span.min), write(span.max)];
    if min == max { min } else { format!("{min} to {max}") }
}

fn of_mm(seen: Span) -> String {
    span(seen, mm)
}

/// A length or volume with as many digits as matter.
fn mm(value: f64) -> String {
    if value >= 99.95 {
        format!("{value:.0}")
    } else if value >= 0.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn value(value: f64) -> String {
    if value.abs() >= 10.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use lamina_io::dataset::Class;
    use lamina_io::{Affine, Geometry, LabelVolume};
    use ndarray::Array3;

    use super::*;

    fn config(normalization: Normalization) -> PreprocessConfig {
        PreprocessConfig { normalization, ..PreprocessConfig::default() }
    }

    const CT: Normalization = Normalization::Window { level_hu: 40.0, width_hu: 400.0 };

    /// A noise of 40 ± 60 without a seam, of so many voxels of this size, under this change.
    fn scan(shape: [usize; 3], spacing_mm: [f64; 3], change: impl Fn(f32) -> f32) -> Volume {
        let geometry =
            Geometry::new(shape, Affine::from_spacing_origin(spacing_mm, [0.0; 3])).unwrap();
        let value = |(k, j, i): (usize, usize, usize)| {
            change(40.0 + ((k * 7919 + j * 104_729 + i * 1299) % 121) as f32 - 60.0)
        };
        Volume::from_array(Array3::from_shape_fn(shape, value), geometry).unwrap()
    }

    fn usual() -> Volume {
        scan([30, 40, 40], [1.0, 1.0, 1.5], |value| value)
    }

    fn fingerprint(normalization: Normalization) -> Fingerprint {
        let volumes = [usual(), scan([36, 44, 40], [1.0; 3], |value| value + 5.0)];
        let classes = ["background", "organ", "lesion"]
            .map(|name| Class { name: name.to_owned(), ..Class::default() });
        let traits = volumes.iter().enumerate().map(|(case, volume)| {
            let mut labels = Array3::zeros(volume.shape());
            labels.slice_mut(ndarray::s![..10, ..10, ..10]).fill(1);
            labels[[0, 0, 0]] = if case == 0 { 2 } else { 0 };
            let labels = LabelVolume::new(labels, volume.geometry.clone()).unwrap();
            CaseTraits::of(volume, Some(&labels), &config(normalization)).unwrap()
        });
        Fingerprint::of(&traits.collect::<Vec<_>>(), &classes).unwrap()
    }

    fn sentences(volume: &Volume, normalization: Normalization) -> Vec<String> {
        let doubts = fingerprint(normalization).doubts_about(volume, &config(normalization));
        doubts.into_iter().map(|doubt| doubt.sentence).collect()
    }

    #[test]
    fn an_image_like_those_of_training_gives_no_doubt() {
        for normalization in [CT, Normalization::ZScore] {
            assert_eq!(sentences(&usual(), normalization), [""; 0]);
            let like = scan([33, 42, 38], [1.05, 1.05, 1.2], |value| value + 3.0);
            assert_eq!(sentences(&like, normalization), [""; 0]);
        }
    }

    #[test]
    fn other_slices_or_pixels_are_said_in_millimeters() {
        let thick = scan([9, 40, 40], [1.0, 1.0, 5.0], |value| value);
        assert_eq!(
            sentences(&thick, CT),
            ["The slices are 5.0 mm apart; the model saw 1.0 to 1.5 mm."]
        );
        let fine = scan([30, 80, 80], [0.5, 0.5, 1.5], |value| value);
        assert_eq!(
            sentences(&fine, CT),
            ["Pixels of a slice measure 0.50 × 0.50 mm; the model saw 1.0 × 1.0 mm."]
        );
        // Where slices are resampled, half the size is nothing to the network.
        let resampled = PreprocessConfig { spacing_mm: Some([1.0; 2]), ..config(CT) };
        assert_eq!(fingerprint(CT).doubts_about(&fine, &resampled), []);
    }

    #[test]
    fn an_image_without_millimeters_is_doubted() {
        let picture = Volume { geometry: Geometry::pixels([30, 40, 40]), ..usual() };
        assert_eq!(
            sentences(&picture, CT),
            ["The image does not say how large its voxels are; the model saw 1.0 × 1.0 mm."]
        );
    }

    #[test]
    fn a_far_smaller_or_larger_image_is_doubted() {
        let tiny = scan([30, 10, 10], [1.0, 1.0, 1.5], |value| value);
        assert_eq!(
            sentences(&tiny, CT),
            ["The image reaches 10 × 10 × 45 mm (left–right × front–back × head–feet); the model \
              saw 40 × 40 to 44 × 36 to 45 mm: it shows less than the model needs around its \
              structures."]
        );
        let head = scan([160, 200, 180], [1.0; 3], |value| value);
        let doubts = fingerprint(CT).doubts_about(&head, &config(CT));
        assert_eq!(doubts.len(), 1);
        assert_eq!(doubts[0].about, Subject::Size);
        assert!(doubts[0].sentence.ends_with("crop it to what the model knows."));
    }

    #[test]
    fn shifted_values_are_doubted_where_the_scale_means_something() {
        let shifted = scan([30, 40, 40], [1.0, 1.0, 1.5], |value| value + 1024.0);
        let [sentence] = &sentences(&shifted, CT)[..] else { panic!("one doubt") };
        assert!(sentence.starts_with("The 1st percentile of its values is 1005;"), "{sentence}");
        // To a network that sees deviations from the mean they are the same.
        assert_eq!(sentences(&shifted, Normalization::ZScore), [""; 0]);
        let burnt = scan([30, 40, 40], [1.0, 1.0, 1.5], |value| value.max(0.0).powi(4));
        let [sentence] = &sentences(&burnt, Normalization::ZScore)[..] else { panic!("one doubt") };
        assert!(sentence.starts_with("Its brightness is spread otherwise: the "), "{sentence}");
        let flat = scan([30, 40, 40], [1.0, 1.0, 1.5], |_| 7.0);
        let flat = sentences(&flat, Normalization::ZScore);
        assert_eq!(flat, ["The image has no contrast to go by."]);
    }

    #[test]
    fn tilted_slices_are_doubted() {
        let (sin, cos) = 30.0_f64.to_radians().sin_cos();
        let steps = [[1.0, 0.0, 0.0], [0.0, cos, sin], [0.0, -sin * 1.5, cos * 1.5]];
        let affine = Affine::from_columns(steps, [0.0; 3]);
        let tilted = Volume { geometry: Geometry::new([30, 40, 40], affine).unwrap(), ..usual() };
        assert_eq!(
            sentences(&tilted, CT),
            ["The slices are tilted by 30° from axial; the model saw up to 0°."]
        );
    }

    #[test]
    fn what_is_found_is_held_against_what_training_showed() {
        let fingerprint = fingerprint(CT);
        assert_eq!(fingerprint.classes[0].cases, 2);
        assert_eq!(fingerprint.classes[1].cases, 1);
        let doubts = |organ: f64, lesion: f64| -> Vec<String> {
            let found = [(1, organ), (2, lesion)].into();
            let doubts = fingerprint.doubts_about_found(&found).into_iter();
            doubts.map(|doubt| doubt.sentence).collect()
        };
        // 1.0 and 1.5 ml, but for the voxel that is a lesion.
        assert_eq!(doubts(1.2, 0.0015), [""; 0]);
        assert_eq!(doubts(1.2, 0.0), [""; 0]); // a lesion need not be there
        assert_eq!(
            doubts(0.0, 0.0015),
            ["Nothing was found of organ; every training case showed 1.0 to 1.5 ml of it."]
        );
        assert_eq!(
            doubts(4.0, 0.0015),
            ["4.0 ml of organ were found; training cases showed 1.0 to 1.5 ml."]
        );
    }

    #[test]
    fn a_fingerprint_is_the_same_after_a_manifest() {
        let fingerprint = fingerprint(CT);
        let text = toml::to_string(&fingerprint).unwrap();
        assert_eq!(toml::from_str::<Fingerprint>(&text).unwrap(), fingerprint);
        assert!(text.contains("spacing_mm = [[1.0, 1.0], [1.0, 1.0], [1.0, 1.5]]"), "{text}");
    }
}
