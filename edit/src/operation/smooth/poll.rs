//! Which label each voxel of a box gets, from what speaks for each.

use ndarray::{Array3, ArrayViewMut3, Zip};

use crate::bounds::Bounds;
use crate::operation::part_of;

/// What was counted for the voxels of a box.
pub(super) struct Poll<'a> {
    bounds: Bounds,
    /// Labels of the volume.
    labels: &'a Array3<u8>,
    /// For all labels but the background together.
    sum: Array3<f32>,
    /// For the voxel's own label.
    own: Array3<f32>,
    /// For the label that has most.
    most: Array3<f32>,
    /// Which that is.
    leader: Array3<u8>,
}

impl<'a> Poll<'a> {
    pub(super) fn new(bounds: &Bounds, labels: &'a Array3<u8>) -> Self {
        let zeros: Array3<f32> = Array3::zeros(bounds.shape());
        let leader = Array3::zeros(bounds.shape());
        Self {
            bounds: *bounds,
            labels,
            sum: zeros.clone(),
            own: zeros.clone(),
            most: zeros,
            leader,
        }
    }

    pub(super) fn add(&mut self, label: u8, bounds: &Bounds, votes: &Array3<f32>) {
        let [start, end] = [bounds.start, bounds.end]
            .map(|corner| [0, 1, 2].map(|axis| corner[axis] - self.bounds.start[axis]));
        let part = part_of(&Bounds { start, end });
        Zip::from(self.sum.slice_mut(part))
            .and(self.most.slice_mut(part))
            .and(self.leader.slice_mut(part))
            .and(votes)
            .for_each(|sum, most, leader, &votes| {
                *sum += votes;
                if votes > *most {
                    *most = votes;
                    *leader = label;
                }
            });
        Zip::from(self.own.slice_mut(part))
            .and(self.labels.slice(part_of(bounds)))
            .and(votes)
            .for_each(|own, &current, &votes| {
                if current == label {
                    *own = votes;
                }
            });
    }

    /// One label against all else.
    pub(super) fn decide_one(
        &self,
        label: u8,
        totals: &Array3<f32>,
        tie: f32,
        new: ArrayViewMut3<'_, u8>,
    ) {
        Zip::from(new).and(&self.sum).and(totals).for_each(|new, &votes, &total| {
            let against = total - votes;
            if votes > against + tie {
                *new = label;
            } else if against > votes + tie && *new == label {
                *new = 0;
            }
        });
    }

    /// Every label against every other, and the background, which has the votes that are left.
    pub(super) fn decide_all(
        &self,
        totals: &Array3<f32>,
        tie: f32,
        mut new: ArrayViewMut3<'_, u8>,
    ) {
        for (index, new) in new.indexed_iter_mut() {
            let background = totals[index] - self.sum[index];
            let own = if *new == 0 { background } else { self.own[index] };
            let (most, leader) = if background >= self.most[index] {
                (background, 0)
            } else {
                (self.most[index], self.leader[index])
            };
            if most > own + tie {
                *new = leader;
            }
        }
    }
}
