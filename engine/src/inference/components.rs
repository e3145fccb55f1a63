//! Connected components, in 3D, and keeping the largest.

use lamina_io::LabelVolume;
use ndarray::Array3;
use serde::{Deserialize, Serialize};

/// Of what the largest connected component is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LargestComponent {
    /// Everything is kept.
    #[default]
    Off,
    /// Of all foreground taken together.
    Foreground,
    /// Of each class by itself.
    EachClass,
}

/// Turns all but the largest component (26 neighbors) into background. Of two that are
/// equally large, the one that begins first in memory is kept.
#[must_use]
pub fn keep_largest_component(mut volume: LabelVolume, of: LargestComponent) -> LabelVolume {
    match of {
        LargestComponent::Off => {}
        LargestComponent::Foreground => keep(&mut volume.labels, |label| label != 0),
        LargestComponent::EachClass => {
            let classes: Vec<u8> =
                volume.counts().into_keys().filter(|&class| class != 0).collect();
            for class in classes {
                keep(&mut volume.labels, |label| label == class);
            }
        }
    }
    volume
}

/// Turns all but the largest component of what belongs together into background.
pub(super) fn keep(labels: &mut Array3<u8>, belongs: impl Fn(u8) -> bool) {
    let components = components(labels, belongs);
    let Some(largest) = components.iter().map(Vec::len).max() else { return };
    let mut kept = false;
    for component in components {
        if component.len() == largest && !kept {
            kept = true;
            continue;
        }
        for place in component {
            labels[place] = 0;
        }
    }
}

/// Voxels of each component (26 neighbors), in the order in which the components begin in memory.
pub(super) fn components(
    labels: &Array3<u8>,
    belongs: impl Fn(u8) -> bool,
) -> Vec<Vec<[usize; 3]>> {
    connected(labels, belongs, false)
}

/// As [`components`], of voxels that share a face (6 neighbors).
pub(super) fn face_components(
    labels: &Array3<u8>,
    belongs: impl Fn(u8) -> bool,
) -> Vec<Vec<[usize; 3]>> {
    connected(labels, belongs, true)
}

fn connected(
    labels: &Array3<u8>,
    belongs: impl Fn(u8) -> bool,
    by_faces: bool,
) -> Vec<Vec<[usize; 3]>> {
    let (depth, height, width) = labels.dim();
    let mut seen = Array3::from_elem(labels.dim(), false);
    let mut components = Vec::new();
    for ((k, j, i), &label) in labels.indexed_iter() {
        if seen[[k, j, i]] || !belongs(label) {
            continue;
        }
        seen[[k, j, i]] = true;
        let mut component = vec![[k, j, i]];
        let mut next = 0;
        while let Some(&[k, j, i]) = component.get(next) {
            next += 1;
            for z in k.saturating_sub(1)..(k + 2).min(depth) {
                for y in j.saturating_sub(1)..(j + 2).min(height) {
                    for x in i.saturating_sub(1)..(i + 2).min(width) {
                        let steps = z.abs_diff(k) + y.abs_diff(j) + x.abs_diff(i);
                        let near = !by_faces || steps == 1;
                        if near && !seen[[z, y, x]] && belongs(labels[[z, y, x]]) {
                            seen[[z, y, x]] = true;
                            component.push([z, y, x]);
                        }
                    }
                }
            }
        }
        components.push(component);
    }
    components
}

#[cfg(test)]
mod tests {
    use lamina_io::Geometry;

    use super::*;

    fn volume(line: &[u8]) -> LabelVolume {
        let labels = Array3::from_shape_vec([1, 1, line.len()], line.to_vec()).unwrap();
        LabelVolume::new(labels, Geometry::pixels([1, 1, line.len()])).unwrap()
    }

    fn kept(line: &[u8], of: LargestComponent) -> Vec<u8> {
        keep_largest_component(volume(line), of).labels.into_raw_vec_and_offset().0
    }

    #[test]
    fn foreground_components_may_hold_several_classes() {
        assert_eq!(kept(&[1, 2, 0, 1, 1, 2], LargestComponent::Foreground), [0, 0, 0, 1, 1, 2]);
    }

    #[test]
    fn each_class_keeps_its_own_and_the_first_of_equals() {
        assert_eq!(kept(&[1, 2, 0, 1, 1, 2], LargestComponent::EachClass), [0, 2, 0, 1, 1, 0]);
    }

    #[test]
    fn corners_connect() {
        let mut labels = Array3::zeros([2, 2, 2]);
        labels[[0, 0, 0]] = 1;
        labels[[1, 1, 1]] = 1;
        assert_eq!(components(&labels, |label| label == 1).len(), 1);
    }

    #[test]
    fn a_volume_without_foreground_stays_as_it_is() {
        assert_eq!(kept(&[0, 0], LargestComponent::Foreground), [0, 0]);
    }
}
