//! Fills the slices between those that have a label.
//!
//! Of two slices that have the label, with none between them that has, the signed distance maps
//! are mixed, each by how near its slice is: halfway between them that is their mean. Inside is
//! where the mixture is below zero. A signed distance is that to the nearest pixel center
//! outside, negative, or to the nearest inside, exact and in millimeters. Shapes that do not
//! overlap may leave the middle empty. (Herman, Zheng, Bucholtz: Shape-based interpolation. IEEE
//! Computer Graphics and Applications 12(3), 1992.)

use lamina_io::squared_distances;
use ndarray::Array3;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Over;
use crate::axis::Axis;
use crate::bounds::Bounds;
use crate::change::Change;
use crate::error::EditError;
use crate::scene::{RowSpan, Scene, Stop};

/// Where gaps between drawn slices are to be filled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interpolate {
    /// Which way slices are cut.
    pub axis: Axis,
    /// Of which label; of each that is not locked where none is given. Where two come to
    /// the same voxel, the one whose surface is farther away has it.
    pub label: Option<u8>,
    /// What may be taken.
    pub over: Over,
}

/// A voxel that a label comes to.
struct Claim {
    at: u64,
    /// How far inside, negative, in nanometers: what lies closer together is rounding.
    depth: i64,
    label: u8,
}

impl Interpolate {
    pub(super) fn plan(self, scene: &Scene, stop: Stop<'_>) -> Result<Change, EditError> {
        let gate = scene.gate()?;
        let whole = Bounds::whole(scene.shape());
        let labels: Vec<(u8, Bounds)> = if let Some(label) = self.label {
            gate.check_gain(label)?;
            scene.bounds_of(&whole, label).map(|bounds| (label, bounds)).into_iter().collect()
        } else {
            let mut all = scene.bounds_of_all(&whole);
            all.retain(|(label, _)| gate.check_gain(*label).is_ok());
            all
        };
        let mut gaps = Vec::new();
        for (label, bounds) in labels {
            let slices = self.slices_with(scene, &bounds, label);
            let pairs = slices.windows(2).filter(|pair| pair[1] > pair[0] + 1);
            gaps.extend(pairs.map(|pair| (label, bounds, pair[0], pair[1])));
        }
        let claims: Vec<Vec<Claim>> = gaps
            .into_par_iter()
            .map(|(label, bounds, from, to)| {
                if stop() {
                    return Err(EditError::Stopped);
                }
                Ok(self.claims(scene, &bounds, label, [from, to]))
            })
            .collect::<Result<_, _>>()?;
        let mut claims: Vec<Claim> = claims.into_iter().flatten().collect();
        claims.par_sort_unstable_by(|a, b| {
            a.at.cmp(&b.at).then(a.depth.cmp(&b.depth)).then(a.label.cmp(&b.label))
        });
        claims.dedup_by_key(|claim| claim.at);
        let [_, height, width] = scene.shape();
        let rows = claims.chunk_by(|a, b| {
            a.label == b.label && a.at + 1 == b.at && !b.at.is_multiple_of(width as u64)
        });
        let rows = rows.map(|row| {
            let (at, label) = (row[0].at as usize, row[0].label);
            let first = at % width;
            let (k, j) = (at / width / height, at / width % height);
            (RowSpan::new(k, j, first..first + row.len()), label)
        });
        Ok(scene.paint_each(rows, &self.over.gate(gate, None)))
    }

    /// The slices that have the label.
    fn slices_with(self, scene: &Scene, bounds: &Bounds, label: u8) -> Vec<usize> {
        let has = |slice: &usize| {
            let slice = bounds.at_slice(self.axis, *slice);
            slice.is_some_and(|slice| scene.bounds_of(&slice, label).is_some())
        };
        bounds.slices(self.axis).filter(has).collect()
    }

    /// The voxels inside between two slices.
    fn claims(
        self,
        scene: &Scene,
        bounds: &Bounds,
        label: u8,
        [from, to]: [usize; 2],
    ) -> Vec<Claim> {
        let whole = Bounds::whole(scene.shape());
        let ends = [from, to].map(|slice| {
            bounds.at_slice(self.axis, slice).and_then(|slice| scene.bounds_of(&slice, label))
        });
        let [Some(a), Some(b)] = ends else { return Vec::new() };
        // Around both shapes and one voxel more, so that their nearest outside is in it.
        let around = a.union(&b).grown([1; 3], &whole);
        let maps = [from, to].map(|slice| {
            let slice = around.at_slice(self.axis, slice).unwrap_or(around);
            signed_distances(scene, &slice, label, self.axis)
        });
        let [_, height, width] = scene.shape();
        let mut claims = Vec::new();
        for slice in from + 1..to {
            let share = (slice - from) as f64 / (to - from) as f64;
            let pixels = maps[0].indexed_iter().zip(&maps[1]);
            for (((k, j, i), a), b) in pixels {
                let depth = (((1.0 - share) * a + share * b) * 1e6).round() as i64;
                if depth < 0 {
                    let mut index = [around.start[0] + k, around.start[1] + j, around.start[2] + i];
                    index[self.axis.index()] = slice;
                    let at = ((index[0] * height + index[1]) * width + index[2]) as u64;
                    claims.push(Claim { at, depth, label });
                }
            }
        }
        claims
    }
}

/// Distance of each pixel of a slice to the border of a label, negative inside.
fn signed_distances(scene: &Scene, slice: &Bounds, label: u8, axis: Axis) -> Array3<f64> {
    let mask = super::mask_of(scene, slice, label);
    let spacing_mm = scene.metric.spacing_mm();
    let to_inside = squared_distances(&mask, spacing_mm, Some(axis.index()), f64::INFINITY);
    let to_outside =
        squared_distances(&mask.mapv(|on| !on), spacing_mm, Some(axis.index()), f64::INFINITY);
    let mut signed = to_inside;
    signed.zip_mut_with(&to_outside, |inside, outside| {
        *inside = if *inside > 0.0 { inside.sqrt() } else { -outside.sqrt() };
    });
    signed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label_set::LabelSet;
    use crate::operation::Operation;
    use crate::rules::Rules;
    use crate::testing::{Random, blobs, session};

    fn interpolate(axis: Axis, label: Option<u8>, over: Over) -> Operation {
        Operation::Interpolate(Interpolate { axis, label, over })
    }

    /// What each voxel between two slices should be, from all pairs of pixels.
    fn by_definition(labels: &Array3<u8>, axis: Axis, over: Over) -> Array3<u8> {
        let spacing_mm = [2.5, 0.9, 0.7];
        let n = axis.index();
        let (depth, height, width) = labels.dim();
        let slices = [depth, height, width][n];
        let mut best = Array3::from_elem(labels.dim(), (0, 0_u8));
        for label in 1..=255 {
            let has = |s: &usize| {
                labels.indexed_iter().any(|((k, j, i), &l)| [k, j, i][n] == *s && l == label)
            };
            let with: Vec<usize> = (0..slices).filter(has).collect();
            for pair in with.windows(2) {
                for (index, best) in best.indexed_iter_mut() {
                    let here = [index.0, index.1, index.2];
                    if here[n] <= pair[0] || here[n] >= pair[1] {
                        continue;
                    }
                    let signed = |slice: usize| {
                        let mut mine = here;
                        mine[n] = slice;
                        let inside = labels[mine] == label;
                        let nearest = labels
                            .indexed_iter()
                            .map(|((k, j, i), &l)| ([k, j, i], l == label))
                            .filter(|(there, other)| there[n] == slice && *other != inside)
                            .map(|(there, _)| {
                                (0..3)
                                    .map(|a| (mine[a] as f64 - there[a] as f64) * spacing_mm[a])
                                    .map(|v| v * v)
                                    .sum::<f64>()
                            })
                            .fold(f64::INFINITY, f64::min)
                            .sqrt();
                        if inside { -nearest } else { nearest }
                    };
                    let t = (here[n] - pair[0]) as f64 / (pair[1] - pair[0]) as f64;
                    let mixed = (1.0 - t) * signed(pair[0]) + t * signed(pair[1]);
                    let depth = (mixed * 1e6).round() as i64;
                    if depth < best.0 {
                        *best = (depth, label);
                    }
                }
            }
        }
        let mut result = labels.clone();
        result.zip_mut_with(&best, |old, &(_, new)| {
            if new != 0 && (*old == 0 || over == Over::Any) {
                *old = new;
            }
        });
        result
    }

    #[test]
    fn gaps_are_filled_by_definition_along_each_axis() {
        let mut random = Random::new(4);
        for round in 0..60 {
            let axis = Axis::ALL[round % 3];
            let shape = [7, 8, 9];
            let mut labels = blobs(shape, 3, round as u64);
            // Most slices are empty.
            for slice in 0..shape[axis.index()] {
                if random.below(3) > 0 {
                    labels.index_axis_mut(ndarray::Axis(axis.index()), slice).fill(0);
                }
            }
            let over = [Over::Background, Over::Any][round / 3 % 2];
            let expected = by_definition(&labels, axis, over);
            let mut session = session(labels);
            session.apply(&interpolate(axis, None, over)).unwrap();
            assert_eq!(session.labels(), &expected, "round {round}");
        }
    }

    #[test]
    fn a_disc_between_two_discs_has_the_size_between() {
        // Pixels of 0.9 x 0.7 mm; radii of 18 and 6 mm, halfway 12 mm.
        let shape = [5, 61, 81];
        let disc = |j: usize, i: usize, radius_mm: f64| {
            let (y, x) = ((j as f64 - 30.0) * 0.9, (i as f64 - 40.0) * 0.7);
            y.hypot(x) <= radius_mm
        };
        let labels = Array3::from_shape_fn(shape, |(k, j, i)| {
            u8::from(k == 0 && disc(j, i, 18.0) || k == 4 && disc(j, i, 6.0))
        });
        let mut session = session(labels);
        session.apply(&interpolate(Axis::Depth, Some(1), Over::Background)).unwrap();
        for (j, i) in (0..61).flat_map(|j| (0..81).map(move |i| (j, i))) {
            let label = session.labels()[[2, j, i]];
            assert!(label == 1 || !disc(j, i, 11.0), "{j} {i}");
            assert!(label == 0 || disc(j, i, 13.0), "{j} {i}");
        }
    }

    #[test]
    fn a_locked_label_is_refused_alone_and_left_out_of_all() {
        let mut labels = Array3::zeros([3, 3, 3]);
        for slice in [0, 2] {
            labels[[slice, 0, 0]] = 1;
            labels[[slice, 2, 2]] = 2;
        }
        let mut session = session(labels);
        session.set_rules(Rules { locked: LabelSet::from([1]), ..Rules::default() });
        let refused = session.apply(&interpolate(Axis::Depth, Some(1), Over::Any));
        assert!(matches!(refused, Err(EditError::Locked { label: 1 })));
        session.apply(&interpolate(Axis::Depth, None, Over::Any)).unwrap();
        assert_eq!((session.labels()[[1, 0, 0]], session.labels()[[1, 2, 2]]), (0, 2));
    }
}
