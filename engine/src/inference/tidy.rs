//! What is done to labels once all slices of a volume have theirs.

use std::collections::BTreeMap;

use lamina_io::LabelVolume;
use ndarray::Array3;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::components::{components, face_components, keep};
use super::{InferenceConfig, keep_largest_component};
use crate::error::EngineError;

/// One step of tidying up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TidyStep {
    /// All but the largest connected component becomes background.
    KeepLargest {
        /// Of what.
        of: TidyOf,
    },
    /// Connected components that are smaller become background.
    RemoveSmall {
        /// Of what.
        of: TidyOf,
        /// Smaller than this many cubic millimeters; volumes of no known spacing are left as they
        /// are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        below_mm3: Option<f64>,
        /// Or smaller than this many voxels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        below_voxels: Option<u64>,
    },
    /// Background that is enclosed gets the label of what encloses it.
    FillHoles {
        /// By what.
        of: TidyOf,
    },
}

/// What a step is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TidyOf {
    /// All classes but the background, taken together.
    Foreground,
    /// The class with this label.
    Class(u8),
}

impl Serialize for TidyOf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Foreground => serializer.serialize_str("foreground"),
            Self::Class(label) => serializer.serialize_u8(*label),
        }
    }
}

impl<'de> Deserialize<'de> for TidyOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = TidyOf;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"foreground\" or the label of a class, from 1 to 254")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TidyOf, E> {
                if text == "foreground" {
                    return Ok(TidyOf::Foreground);
                }
                Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: serde::de::Error>(self, label: u64) -> Result<TidyOf, E> {
                match u8::try_from(label) {
                    Ok(label @ 1..=254) => Ok(TidyOf::Class(label)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Unsigned(label), &self)),
                }
            }

            fn visit_i64<E: serde::de::Error>(self, label: i64) -> Result<TidyOf, E> {
                self.visit_u64(u64::try_from(label).unwrap_or(0))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl TidyOf {
    fn holds(self, label: u8) -> bool {
        match self {
            Self::Foreground => label != 0,
            Self::Class(class) => label == class,
        }
    }
}

impl TidyStep {
    /// Whether this step can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        let Self::RemoveSmall { below_mm3, below_voxels, .. } = *self else { return Ok(()) };
        let sound = match (below_mm3, below_voxels) {
            (Some(mm3), None) => mm3.is_finite() && mm3 > 0.0,
            (None, Some(voxels)) => voxels > 0,
            _ => false,
        };
        if sound {
            return Ok(());
        }
        let written = [
            below_mm3.map(|mm3| format!("below_mm3 = {mm3}")),
            below_voxels.map(|voxels| format!("below_voxels = {voxels}")),
        ];
        let value = format!("{{{}}}", written.into_iter().flatten().collect::<Vec<_>>().join(", "));
        let expected = "expected either `below_mm3` or `below_voxels`, above 0";
        Err(EngineError::config("inference.post_processing.remove_small", value, expected))
    }

    /// Changes the labels of a volume.
    pub fn apply(&self, volume: &mut LabelVolume) {
        match *self {
            Self::KeepLargest { of } => keep(&mut volume.labels, |label| of.holds(label)),
            Self::RemoveSmall { of, below_mm3, below_voxels } => {
                let voxel_ml = volume.geometry.voxel_volume_ml();
                let least = match (below_voxels, below_mm3.zip(voxel_ml)) {
                    (Some(voxels), _) => voxels as f64,
                    // So that a component of just this size is not lost to rounding.
                    (None, Some((mm3, ml))) => mm3 / (1000.0 * ml) - 1e-6,
                    (None, None) => return,
                };
                for component in components(&volume.labels, |label| of.holds(label)) {
                    if (component.len() as f64) < least {
                        for place in component {
                            volume.labels[place] = 0;
                        }
                    }
                }
            }
            Self::FillHoles { of } => fill_holes(&mut volume.labels, of),
        }
    }
}

/// Tidies up labels as `config` says: the largest component first, then its steps in their order.
#[must_use]
pub fn tidy(volume: LabelVolume, config: &InferenceConfig) -> LabelVolume {
    let mut volume = keep_largest_component(volume, config.largest_component);
    for step in &config.post_processing {
        step.apply(&mut volume);
    }
    volume
}

/// Fills background that no path through faces of voxels outside of `of` leads out of. It gets the
/// label that most of the faces around it have, of equals the smallest.
fn fill_holes(labels: &mut Array3<u8>, of: TidyOf) {
    let (depth, height, width) = labels.dim();
    let size = [depth, height, width];
    for component in face_components(labels, |label| !of.holds(label)) {
        // A single slice has no border across it.
        let at_border = |place: &[usize; 3]| {
            (0..3).any(|axis| size[axis] > 1 && (place[axis] == 0 || place[axis] + 1 == size[axis]))
        };
        if component.iter().any(at_border) {
            continue;
        }
        let mut around: BTreeMap<u8, usize> = BTreeMap::new();
        for place in &component {
            for axis in (0..3).filter(|axis| size[*axis] > 1) {
                for neighbor in [place[axis] - 1, place[axis] + 1] {
                    let mut next = *place;
                    next[axis] = neighbor;
                    if of.holds(labels[next]) {
                        *around.entry(labels[next]).or_default() += 1;
                    }
                }
            }
        }
        let most = around.values().max().copied();
        let label = around.iter().find(|(_, count)| Some(**count) == most);
        let Some((&label, _)) = label else { continue };
        for place in component.into_iter().filter(|place| labels[*place] == 0).collect::<Vec<_>>() {
            labels[place] = label;
        }
    }
}

#[cfg(test)]
mod tests {
    use lamina_io::{Affine, Geometry};

    use super::*;

    fn volume(labels: Array3<u8>) -> LabelVolume {
        let (depth, height, width) = labels.dim();
        let affine = Affine::from_spacing_origin([0.5, 2.0, 3.0], [0.0; 3]);
        LabelVolume::new(labels, Geometry::new([depth, height, width], affine).unwrap()).unwrap()
    }

    fn line(labels: &[u8]) -> LabelVolume {
        volume(Array3::from_shape_vec([1, 1, labels.len()], labels.to_vec()).unwrap())
    }

    fn after(step: TidyStep, labels: &[u8]) -> Vec<u8> {
        let mut volume = line(labels);
        step.apply(&mut volume);
        volume.labels.into_iter().collect()
    }

    #[test]
    fn small_components_go_by_their_size_in_the_patient() {
        let below = |mm3| TidyStep::RemoveSmall {
            of: TidyOf::Class(1),
            below_mm3: Some(mm3),
            below_voxels: None,
        };
        let labels = [1, 0, 1, 1, 2, 0, 2];
        // A voxel is 3 mm³: one alone is less than 3.1, two are not.
        assert_eq!(after(below(3.1), &labels), [0, 0, 1, 1, 2, 0, 2]);
        assert_eq!(after(below(3.0), &labels), labels);
        let of = TidyOf::Foreground;
        let voxels = TidyStep::RemoveSmall { of, below_mm3: None, below_voxels: Some(3) };
        assert_eq!(after(voxels, &labels), [0, 0, 1, 1, 2, 0, 0]);
        // Pixels have no size in millimeters, and stay.
        let mut pixels = line(&labels);
        pixels.geometry = Geometry::pixels([1, 1, 7]);
        below(100.0).apply(&mut pixels);
        assert_eq!(pixels.labels.iter().copied().collect::<Vec<_>>(), labels);
    }

    #[test]
    fn the_largest_is_kept_of_what_is_asked_for() {
        let of = |of| TidyStep::KeepLargest { of };
        let labels = [1, 0, 1, 1, 2, 0, 2];
        assert_eq!(after(of(TidyOf::Class(1)), &labels), [0, 0, 1, 1, 2, 0, 2]);
        assert_eq!(after(of(TidyOf::Foreground), &labels), [0, 0, 1, 1, 2, 0, 0]);
        assert_eq!(after(of(TidyOf::Class(3)), &labels), labels);
    }

    /// A shell of 1 around a voxel of background and one of class 2.
    fn shell(open: bool) -> LabelVolume {
        let mut labels = Array3::zeros([5, 5, 6]);
        labels.slice_mut(ndarray::s![1..4, 1..4, 1..5]).fill(1);
        labels[[2, 2, 2]] = 0;
        labels[[2, 2, 3]] = 2;
        if open {
            labels[[1, 2, 2]] = 0;
        }
        volume(labels)
    }

    #[test]
    fn enclosed_background_is_filled_and_other_classes_stay() {
        let fill = TidyStep::FillHoles { of: TidyOf::Class(1) };
        let mut closed = shell(false);
        fill.apply(&mut closed);
        assert_eq!([closed.labels[[2, 2, 2]], closed.labels[[2, 2, 3]]], [1, 2]);
        // Six faces around the one voxel: five of class 1 and one of class 2.
        let mut together = shell(false);
        TidyStep::FillHoles { of: TidyOf::Foreground }.apply(&mut together);
        assert_eq!(together.labels[[2, 2, 2]], 1);
        let mut open = shell(true);
        fill.apply(&mut open);
        assert!(open.labels == shell(true).labels);
    }

    #[test]
    fn a_picture_has_holes_and_what_reaches_its_border_is_none() {
        let fill = TidyStep::FillHoles { of: TidyOf::Foreground };
        let picture = |middle: [u8; 4]| {
            let rows = [[1, 1, 2, 1], middle, [1, 1, 2, 2]].concat();
            volume(Array3::from_shape_vec([1, 3, 4], rows).unwrap())
        };
        let mut hole = picture([1, 0, 0, 2]);
        fill.apply(&mut hole);
        // Around the two: above 1 2, below 1 2, beside 1 2; of equals the smallest.
        assert!(hole.labels == picture([1, 1, 1, 2]).labels);
        let mut open = picture([1, 0, 0, 0]);
        fill.apply(&mut open);
        assert!(open.labels == picture([1, 0, 0, 0]).labels);
    }
}
