//! Boxes of voxels.

use std::ops::Range;

use crate::axis::Axis;

/// A box with at least one voxel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Its first voxel, `[depth, height, width]`.
    pub start: [usize; 3],
    /// One past its last voxel along each axis.
    pub end: [usize; 3],
}

impl Bounds {
    /// The box from `start` up to, not including, `end`; `None` where that holds no voxel.
    pub fn new(start: [usize; 3], end: [usize; 3]) -> Option<Self> {
        (0..3).all(|axis| start[axis] < end[axis]).then_some(Self { start, end })
    }

    /// All of a volume of this shape, which has to have voxels.
    pub const fn whole(shape: [usize; 3]) -> Self {
        Self { start: [0; 3], end: shape }
    }

    /// The slices that it reaches into.
    pub fn slices(&self, axis: Axis) -> Range<usize> {
        self.start[axis.index()]..self.end[axis.index()]
    }

    /// Depth, height, width.
    pub fn shape(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.end[axis] - self.start[axis])
    }

    /// How many voxels it holds.
    pub fn voxels(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether `index` lies in it.
    pub fn contains(&self, index: [usize; 3]) -> bool {
        (0..3).all(|axis| (self.start[axis]..self.end[axis]).contains(&index[axis]))
    }

    /// The smallest box around both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            start: [0, 1, 2].map(|axis| self.start[axis].min(other.start[axis])),
            end: [0, 1, 2].map(|axis| self.end[axis].max(other.end[axis])),
        }
    }

    /// What lies in both.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        Self::new(
            [0, 1, 2].map(|axis| self.start[axis].max(other.start[axis])),
            [0, 1, 2].map(|axis| self.end[axis].min(other.end[axis])),
        )
    }

    /// Larger by so many voxels on both sides of each axis, as far as `limit` goes.
    pub(crate) fn grown(&self, by: [usize; 3], limit: &Self) -> Self {
        Self {
            start: [0, 1, 2].map(|a| self.start[a].saturating_sub(by[a]).max(limit.start[a])),
            end: [0, 1, 2].map(|a| self.end[a].saturating_add(by[a]).min(limit.end[a])),
        }
    }

    /// The one slice of it.
    pub(crate) fn at_slice(&self, axis: Axis, index: usize) -> Option<Self> {
        let mut slice = *self;
        slice.start[axis.index()] = self.start[axis.index()].max(index);
        slice.end[axis.index()] = self.end[axis.index()].min(index + 1);
        Self::new(slice.start, slice.end)
    }

    /// The box around both, either of which may be missing.
    pub(crate) fn join(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.union(&b)),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_meet_and_join() {
        let a = Bounds::new([0, 1, 2], [3, 4, 5]).unwrap();
        let b = Bounds::new([2, 0, 4], [6, 2, 9]).unwrap();
        assert_eq!(a.union(&b), Bounds { start: [0, 0, 2], end: [6, 4, 9] });
        assert_eq!(a.intersection(&b), Bounds::new([2, 1, 4], [3, 2, 5]));
        assert_eq!(a.intersection(&Bounds::new([3, 0, 0], [4, 9, 9]).unwrap()), None);
        assert_eq!((a.voxels(), a.slices(Axis::Width)), (27, 2..5));
    }

    #[test]
    fn growing_stops_at_the_limit() {
        let limit = Bounds::whole([4, 5, 6]);
        let grown = Bounds::new([1, 1, 1], [2, 2, 2]).unwrap().grown([2, 0, 9], &limit);
        assert_eq!(grown, Bounds { start: [0, 1, 0], end: [4, 2, 6] });
    }
}
