//! Measuring one case.

use std::collections::BTreeMap;

use lamina_io::{CaseImage, ColorVolume, Geometry, LabelVolume, Volume};
use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::PERCENTS;
use crate::error::EngineError;
use crate::losses::IGNORE_LABEL;
use crate::preprocess::{Plane, PreprocessConfig};
use crate::synthetic_weights::splitmix64;

/// Voxels that are looked at, of however many there are.
const LOOKED_AT: usize = 1 << 17;

/// What is measured of one case; axes as in [`Fingerprint`](super::Fingerprint).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseTraits {
    /// The sides to which the voxel axes run; none of a picture.
    pub orientation: Option<String>,
    /// The angle between the slices and the plane that they are named after.
    pub oblique_degrees: f64,
    /// Distance of neighbors.
    pub spacing_mm: Option<[f64; 3]>,
    /// How many voxels there are.
    pub size_voxels: [usize; 3],
    /// Percentiles of the values in the file.
    pub before: [f64; 5],
    /// Percentiles of what the network sees.
    pub after: [f64; 5],
    /// For each label in the reference how many voxels have it, and how much that is.
    pub found: BTreeMap<u8, (u64, Option<f64>)>,
}

impl CaseTraits {
    /// Those of nothing.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self {
            orientation: None,
            oblique_degrees: 0.0,
            spacing_mm: None,
            size_voxels: [0; 3],
            before: [0.0; 5],
            after: [0.0; 5],
            found: BTreeMap::new(),
        }
    }

    /// Measures an image and its reference, where there is one.
    ///
    /// Values are those of a sample of the voxels, always the same; padding is left out.
    ///
    /// # Errors
    /// [`EngineError::Input`] for an image without finite values, or without contrast where its
    /// scale is to come from that.
    pub fn of(
        volume: &Volume,
        reference: Option<&LabelVolume>,
        preprocessing: &PreprocessConfig,
    ) -> Result<Self, EngineError> {
        let values = sample(volume);
        if values.is_empty() {
            let message = "expected an image with finite values, found none".to_owned();
            return Err(EngineError::Input { message });
        }
        let before = percentiles(values.clone());
        let mut seen = Array3::from_shape_vec([1, 1, values.len()], values)
            .expect("a row has as many voxels as it has values");
        preprocessing.normalization.apply(&mut seen)?;
        let after = percentiles(seen.into_raw_vec_and_offset().0);
        Ok(Self::from_parts(&volume.geometry, reference, preprocessing.plane, before, after))
    }

    /// Measures a picture in color and its reference, where there is one: the values of red, green
    /// and blue together, as they are stored.
    ///
    /// # Errors
    /// [`EngineError::Input`] for a picture without contrast, where its scale is to come from that.
    pub fn of_color(
        picture: &ColorVolume,
        reference: Option<&LabelVolume>,
        preprocessing: &PreprocessConfig,
    ) -> Result<Self, EngineError> {
        let scale = preprocessing.normalization.color_scale(&picture.samples)?;
        let largest = picture.samples.largest();
        let (before, after) = places(picture.geometry.shape())
            .flat_map(|[page, y, x]| {
                [0, 1, 2].map(|channel| {
                    let stored = picture.samples.get([page, channel, y, x]);
                    (stored, scale.apply(channel, stored / largest))
                })
            })
            .unzip();
        let (before, after) = (percentiles(before), percentiles(after));
        Ok(Self::from_parts(&picture.geometry, reference, preprocessing.plane, before, after))
    }

    /// [`of`](Self::of) or [`of_color`](Self::of_color).
    ///
    /// # Errors
    /// As these.
    pub fn of_image(
        image: &CaseImage,
        reference: Option<&LabelVolume>,
        preprocessing: &PreprocessConfig,
    ) -> Result<Self, EngineError> {
        match image {
            CaseImage::Gray(volume) => Self::of(volume, reference, preprocessing),
            CaseImage::Color(picture) => Self::of_color(picture, reference, preprocessing),
        }
    }

    fn from_parts(
        geometry: &Geometry,
        reference: Option<&LabelVolume>,
        plane: Plane,
        before: [f64; 5],
        after: [f64; 5],
    ) -> Self {
        let axes = plane.axis_order(geometry).axes();
        let [depth, height, width] = geometry.shape();
        let sizes = [width, height, depth];
        let spacing_mm = geometry.spacing_mm();
        let counts = reference.map(LabelVolume::counts).unwrap_or_default().into_iter();
        let voxel_ml = geometry.voxel_volume_ml();
        Self {
            orientation: spacing_mm.map(|_| geometry.orientation()),
            oblique_degrees: oblique_degrees(geometry, plane),
            spacing_mm: spacing_mm.map(|spacing_mm| axes.map(|axis| spacing_mm[axis])),
            size_voxels: axes.map(|axis| sizes[axis]),
            before,
            after,
            found: counts
                .filter(|(label, _)| ![0, IGNORE_LABEL].contains(label))
                .map(|(label, voxels)| (label, (voxels, voxel_ml.map(|ml| ml * voxels as f64))))
                .collect(),
        }
    }
}

/// Voxels to look at, `[depth, height, width]`: always the same, spread over a grid of this shape.
fn places([depth, height, width]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let all = depth * height * width;
    let step = all.div_ceil(LOOKED_AT).max(1);
    (0..all / step).map(move |place| {
        // Anywhere within its step, so that no pattern of rows decides.
        let at = place * step + (splitmix64(place as u64) % step as u64) as usize;
        [at / (height * width), at / width % height, at % width]
    })
}

/// Finite values of the picture, spread over it.
fn sample(volume: &Volume) -> Vec<f32> {
    let padding = volume.viewing.padding;
    places(volume.shape())
        .filter(|at| !padding.is_some_and(|padding| padding.holds(volume.voxels.get(*at))))
        .map(|at| volume.value(at) as f32)
        .filter(|value| value.is_finite())
        .collect()
}

fn percentiles(mut values: Vec<f32>) -> [f64; 5] {
    values.sort_unstable_by(f32::total_cmp);
    PERCENTS.map(|percent| {
        f64::from(values[((values.len() - 1) as f64 * percent / 100.0).round() as usize])
    })
}

/// The angle between the normal of the slices and the axis of the patient that it is nearest to.
fn oblique_degrees(geometry: &Geometry, plane: Plane) -> f64 {
    if geometry.spacing_mm().is_none() || plane == Plane::Stored {
        return 0.0;
    }
    let [a, b, _] =
        plane.axis_order(geometry).axes().map(|axis| geometry.ras_from_index().step(axis));
    let normal = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let length = normal.iter().map(|part| part * part).sum::<f64>().sqrt();
    let along = normal.iter().fold(0.0_f64, |most, part| most.max(part.abs()));
    let degrees = (along / length).min(1.0).acos().to_degrees();
    if degrees.is_finite() { degrees } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use lamina_io::{Affine, AxisOrder, Padding, Rescale, Voxels};

    use super::*;

    fn ramp(spacing_mm: [f64; 3]) -> Volume {
        let affine = Affine::from_spacing_origin(spacing_mm, [0.0; 3]);
        let values = Array3::from_shape_fn([4, 5, 20], |(k, j, i)| (k * 100 + j * 20 + i) as i16);
        let geometry = Geometry::new([4, 5, 20], affine).unwrap();
        Volume::new(Voxels::I16(values), Rescale { slope: 2.0, intercept: 1.0 }, geometry).unwrap()
    }

    #[test]
    fn a_case_is_measured_in_the_plane_of_the_model() {
        let volume = ramp([1.0, 2.0, 5.0]);
        let mut labels = Array3::zeros([4, 5, 20]);
        labels.slice_mut(ndarray::s![0, 0, ..10]).fill(2);
        let labels = LabelVolume::new(labels, volume.geometry.clone()).unwrap();
        let config = PreprocessConfig { plane: Plane::Coronal, ..PreprocessConfig::default() };
        for order in AxisOrder::all() {
            let turned = volume.reoriented(&order);
            let labels = labels.reoriented(&order);
            let traits = CaseTraits::of(&turned, Some(&labels), &config).unwrap();
            assert_eq!(traits.spacing_mm, Some([1.0, 5.0, 2.0]), "{order:?}");
            assert_eq!(traits.size_voxels, [20, 4, 5]);
            assert!(traits.oblique_degrees < 1e-4);
            assert_eq!(traits.found, [(2, (10, Some(0.1)))].into());
            // 0 to 399, doubled, and one more.
            assert_eq!(traits.before, [9.0, 201.0, 401.0, 599.0, 791.0]);
            assert!(traits.after[2].abs() < 0.01 && traits.after[4] > 1.6);
        }
    }

    #[test]
    fn padding_is_no_part_of_it() {
        let mut volume = ramp([1.0; 3]);
        let before = CaseTraits::of(&volume, None, &PreprocessConfig::default()).unwrap();
        volume.viewing.padding = Padding::between(0.0, 199.0);
        let after = CaseTraits::of(&volume, None, &PreprocessConfig::default()).unwrap();
        assert_eq!(before.before[2], 401.0);
        assert_eq!(after.before[0], 405.0);
    }

    #[test]
    fn an_image_without_values_or_contrast_is_refused() {
        let geometry = Geometry::pixels([1, 2, 2]);
        let of = |value: f32| {
            let volume = Volume::from_array(Array3::from_elem([1, 2, 2], value), geometry.clone());
            CaseTraits::of(&volume.unwrap(), None, &PreprocessConfig::default())
        };
        assert!(of(f32::NAN).unwrap_err().to_string().contains("found none"));
        assert!(of(3.0).unwrap_err().to_string().contains("all voxels equal to 3"));
    }
}
