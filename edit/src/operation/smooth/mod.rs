//! Evens out the surfaces of labels.
//!
//! - **Gaussian**: each label's voxels count 1, all others 0, and are blurred by a Gaussian that is
//!   cut off at three standard deviations (rounded up to whole voxels) and sums to one; beyond
//!   the volume its border goes on.
//! - **Median**: what of the voxels within a radius, and within the volume, has the label.
//!
//! With one label, a voxel takes it when more than half speaks for it, and loses it to the
//! background when less than half does. With all labels at once a voxel takes the one that most
//! speaks for, so that no gap opens between neighbors (the median is then a majority vote). A tie
//! changes nothing.

mod poll;
mod taps;

use ndarray::s;
use serde::{Deserialize, Serialize};

use self::poll::Poll;
use self::taps::Taps;
use super::{Over, Reach, part_of, row_of};
use crate::bounds::Bounds;
use crate::change::Change;
use crate::error::EditError;
use crate::scene::{Scene, Stop};

/// Slices that are worked on at a time, so that memory does not grow with their number.
const SLAB: usize = 32;

/// Over which voxels, and how.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// By a Gaussian of this standard deviation; in pixels where the spacing is unknown.
    Gaussian {
        /// Its standard deviation.
        sigma_mm: f64,
    },
    /// Within a ball of this radius, or a disc where slices are by themselves.
    Median {
        /// Its radius.
        radius_mm: f64,
    },
}

/// What to smooth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Smooth {
    /// One label, or all of them at once.
    pub label: Option<u8>,
    /// How.
    pub kernel: Kernel,
    /// In space, or within slices.
    pub reach: Reach,
    /// What one label may take; all at once take from each other.
    pub over: Over,
}

impl Smooth {
    pub(super) fn plan(&self, scene: &Scene, stop: Stop<'_>) -> Result<Change, EditError> {
        let gate = scene.gate()?;
        let (limit, flat) = self.reach.limit(scene)?;
        let taps = Taps::new(self.kernel, scene.metric.spacing_mm(), flat)?;
        let found = if let Some(label) = self.label {
            gate.check_gain(label)?;
            scene.bounds_of(&limit, label).map(|found| (label, found)).into_iter().collect()
        } else {
            scene.bounds_of_all(&limit)
        };
        // Each label with the box in which it has a say.
        let boxes: Vec<(u8, Bounds)> = found
            .into_iter()
            .map(|(label, found)| (label, found.grown(taps.reach(), &limit)))
            .collect();
        let around = boxes.iter().map(|(_, bounds)| *bounds).reduce(|a, b| a.union(&b));
        let Some(around) = around else { return Ok(Change::default()) };

        let [start, end] = [around.start, around.end];
        let mut new = scene.labels.slice(part_of(&around)).to_owned();
        let mut first = start[0];
        while first < end[0] {
            if stop() {
                return Err(EditError::Stopped);
            }
            let mut slab = around;
            slab.start[0] = first;
            slab.end[0] = (first + SLAB).min(end[0]);
            let mut poll = Poll::new(&slab, &scene.labels);
            for (label, bounds) in &boxes {
                let Some(own) = bounds.intersection(&slab) else { continue };
                poll.add(*label, &own, &taps.votes(scene, *label, bounds, &own));
            }
            let totals = taps.totals(&slab, &limit);
            let new = new.slice_mut(s![first - start[0]..slab.end[0] - start[0], .., ..]);
            match self.label {
                Some(label) => poll.decide_one(label, &totals, taps.tie(), new),
                None => poll.decide_all(&totals, taps.tie(), new),
            }
            first = slab.end[0];
        }
        let gate = match self.label {
            Some(label) => self.over.gate(gate, Some(label)),
            None => gate,
        };
        scene.rewrite(&around, &gate, stop, |first, row| {
            row.copy_from_slice(&row_of(&new, &around, first)[..row.len()]);
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Axis as Dimension};

    use super::*;
    use crate::axis::Axis;
    use crate::operation::Operation;
    use crate::testing::{Random, blobs, session};

    const SPACING_MM: [f64; 3] = [2.5, 0.9, 0.7];

    /// What speaks for each label at a voxel, out of what, in `f64`.
    fn poll(
        labels: &Array3<u8>,
        kernel: Kernel,
        flat: Option<Axis>,
        here: [usize; 3],
    ) -> (Vec<f64>, f64) {
        let (depth, height, width) = labels.dim();
        let shape = [depth, height, width];
        let mut votes = vec![0.0; 256];
        match kernel {
            Kernel::Median { radius_mm } => {
                for ((k, j, i), &label) in labels.indexed_iter() {
                    let there = [k, j, i];
                    let far: f64 = (0..3)
                        .map(|a| ((here[a] as f64 - there[a] as f64) * SPACING_MM[a]).powi(2))
                        .sum();
                    let other = flat.is_some_and(|a| here[a.index()] != there[a.index()]);
                    if far <= radius_mm * radius_mm && !other {
                        votes[usize::from(label)] += 1.0;
                    }
                }
            }
            Kernel::Gaussian { sigma_mm } => {
                let reach = [0, 1, 2].map(|a| {
                    let flat = flat.is_some_and(|axis| axis.index() == a);
                    if flat { 0 } else { (3.0 * sigma_mm / SPACING_MM[a]).ceil() as isize }
                });
                for dk in -reach[0]..=reach[0] {
                    for dj in -reach[1]..=reach[1] {
                        for di in -reach[2]..=reach[2] {
                            let step = [dk, dj, di];
                            let far: f64 = (0..3)
                                .map(|a| (step[a] as f64 * SPACING_MM[a] / sigma_mm).powi(2))
                                .sum();
                            let there = [0, 1, 2].map(|a| {
                                (here[a] as isize + step[a]).clamp(0, shape[a] as isize - 1)
                                    as usize
                            });
                            votes[usize::from(labels[there])] += (-0.5 * far).exp();
                        }
                    }
                }
            }
        }
        let total = votes.iter().sum();
        (votes, total)
    }

    #[test]
    fn smoothing_is_its_definition_for_one_label_and_for_all() {
        let mut random = Random::new(1);
        let mut changed = 0;
        for round in 0..80 {
            let labels = blobs([6, 9, 10], 4, round);
            let flat = [None, Some(Axis::Depth), Some(Axis::Height), Some(Axis::Width)]
                [round as usize % 4];
            let size = 0.5 + 2.5 * random.unit();
            let kernel = if round % 3 == 0 {
                Kernel::Gaussian { sigma_mm: size / 1.5 }
            } else {
                Kernel::Median { radius_mm: size }
            };
            let one = (round % 2 == 0).then_some(1);
            let reach = flat.map_or(Reach::Volume, Reach::EachSlice);
            let smooth = Smooth { label: one, kernel, reach, over: Over::Any };
            let mut session = session(labels.clone());
            changed += session.apply(&Operation::Smooth(smooth)).unwrap().voxels;
            for ((k, j, i), &found) in session.labels().indexed_iter() {
                let old = labels[[k, j, i]];
                let (votes, total) = poll(&labels, kernel, flat, [k, j, i]);
                let share = |label: u8| votes[usize::from(label)] / total;
                let message = format!("{kernel:?} {flat:?} {old} {found} {votes:?}");
                if let Some(label) = one {
                    let own = share(label);
                    if own > 0.5 + 1e-4 {
                        assert_eq!(found, label, "{message}");
                    } else if own < 0.5 - 1e-4 {
                        assert_eq!(found, if old == label { 0 } else { old }, "{message}");
                    } else if (own - 0.5).abs() < 1e-9 {
                        assert_eq!(found, old, "{message}");
                    }
                } else {
                    let best = (0..=255).map(share).fold(0.0, f64::max);
                    assert!(share(found) > best - 1e-4, "{message}");
                    assert!(found == old || share(old) < best - 1e-9, "{message}");
                }
            }
        }
        assert!(changed > 1000);
    }

    #[test]
    fn slabs_leave_no_seam() {
        // Longer than a slab: the middle of a bar stays as it is, whatever the slabs.
        let mut labels = Array3::zeros([3 * SLAB + 5, 9, 9]);
        labels.slice_mut(s![.., 3..6, 3..6]).fill(1);
        for kernel in [Kernel::Gaussian { sigma_mm: 1.0 }, Kernel::Median { radius_mm: 3.0 }] {
            let mut session = session(labels.clone());
            let smooth = Smooth { label: Some(1), kernel, reach: Reach::Volume, over: Over::Any };
            session.apply(&Operation::Smooth(smooth)).unwrap();
            let slices = session.labels();
            let middle = slices.index_axis(Dimension(0), SLAB / 2);
            for k in 5..slices.dim().0 - 5 {
                assert_eq!(slices.index_axis(Dimension(0), k), middle, "slice {k}");
            }
        }
    }

    #[test]
    fn kernels_beyond_all_use_are_refused() {
        let mut session = session(Array3::ones([2, 2, 2]));
        let mut with = |kernel| {
            let smooth = Smooth { label: Some(1), kernel, reach: Reach::Volume, over: Over::Any };
            session.apply(&Operation::Smooth(smooth))
        };
        let huge = with(Kernel::Gaussian { sigma_mm: 1e9 });
        assert!(matches!(huge, Err(EditError::TooLarge { .. })));
        let none = with(Kernel::Median { radius_mm: 0.0 });
        assert!(matches!(none, Err(EditError::NotPositive { .. })));
        let nan = with(Kernel::Median { radius_mm: f64::NAN });
        assert!(matches!(nan, Err(EditError::NotFinite { .. })));
    }
}
