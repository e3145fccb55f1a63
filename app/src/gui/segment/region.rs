//! A part of a volume: a box of voxels.

use ndarray::{Array2, ArrayViewMut2};

/// A box of voxels along the axes (i, j, k).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoxelBox {
    /// The first voxel in it.
    pub start: [usize; 3],
    /// The first voxel beyond it, on each axis.
    pub end: [usize; 3],
}

impl VoxelBox {
    /// All of a volume of this shape, `[depth, height, width]`.
    pub fn whole(shape: [usize; 3]) -> Self {
        let [depth, height, width] = shape;
        Self { start: [0; 3], end: [width, height, depth] }
    }

    /// The smallest box around two voxels, within a volume of this shape; `None` where that has
    /// no voxels.
    pub fn around(one: [usize; 3], other: [usize; 3], shape: [usize; 3]) -> Option<Self> {
        let sizes = Self::whole(shape).end;
        if sizes.contains(&0) {
            return None;
        }
        let within = |at: usize, axis: usize| at.min(sizes[axis] - 1);
        Some(Self {
            start: [0, 1, 2].map(|axis| within(one[axis].min(other[axis]), axis)),
            end: [0, 1, 2].map(|axis| within(one[axis].max(other[axis]), axis) + 1),
        })
    }

    /// The same with other first and last voxels on one axis, both in it.
    #[must_use]
    pub fn along(mut self, axis: usize, [first, last]: [usize; 2], shape: [usize; 3]) -> Self {
        let most = Self::whole(shape).end[axis].max(1) - 1;
        let (first, last) = (first.min(last).min(most), first.max(last).min(most));
        self.start[axis] = first;
        self.end[axis] = last + 1;
        self
    }

    /// Whether a place on an axis is in it.
    pub fn holds(&self, axis: usize, at: usize) -> bool {
        (self.start[axis]..self.end[axis]).contains(&at)
    }

    /// How many voxels it has along each axis.
    pub fn size(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.end[axis] - self.start[axis])
    }

    /// Puts back what lies outside of the box in a plane across `axis`, cut out of an array
    /// `[depth, height, width]`.
    pub fn restore_outside(
        &self,
        axis: usize,
        mut plane: ArrayViewMut2<'_, u8>,
        before: &Array2<u8>,
    ) {
        // The axes of the plane, slow one first, as they lie in an array.
        let [rows, columns] = match axis {
            0 => [2, 1],
            1 => [2, 0],
            _ => [1, 0],
        };
        for ((row, column), label) in plane.indexed_iter_mut() {
            if !(self.holds(rows, row) && self.holds(columns, column)) {
                *label = before[[row, column]];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Axis};

    use super::*;

    #[test]
    fn a_box_lies_around_two_voxels_and_within_the_volume() {
        let shape = [4, 5, 6];
        let drawn = VoxelBox::around([5, 1, 2], [2, 9, 2], shape).unwrap();
        assert_eq!(drawn, VoxelBox { start: [2, 1, 2], end: [6, 5, 3] });
        assert_eq!(drawn.size(), [4, 4, 1]);
        assert_eq!(drawn.along(2, [9, 1], shape).size(), [4, 4, 3]);
        assert_eq!(VoxelBox::around([0; 3], [1; 3], [0, 5, 6]), None);
        assert_eq!(VoxelBox::whole(shape).size(), [6, 5, 4]);
    }

    #[test]
    fn only_what_is_in_the_box_changes() {
        let shape = [4, 5, 6];
        let drawn = VoxelBox { start: [1, 2, 0], end: [3, 4, 3] };
        for axis in 0..3 {
            let mut array = Array3::<u8>::zeros(shape);
            for at in drawn.start[axis]..drawn.end[axis] {
                let mut plane = array.index_axis_mut(Axis(2 - axis), at);
                let before = plane.to_owned();
                plane.fill(7);
                drawn.restore_outside(axis, plane, &before);
            }
            for ((k, j, i), &value) in array.indexed_iter() {
                let inside = drawn.holds(0, i) && drawn.holds(1, j) && drawn.holds(2, k);
                assert_eq!(value == 7, inside, "across axis {axis}");
            }
        }
    }
}
