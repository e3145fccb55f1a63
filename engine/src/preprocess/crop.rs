//! The part of a volume that is looked at.

use ndarray::{ArrayView3, ArrayViewMut3, s};
use serde::{Deserialize, Serialize};

/// Which part of a volume is looked at; the rest is background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crop {
    /// All of it.
    #[default]
    None,
    /// The smallest box around the voxels that differ from zero.
    Nonzero,
}

/// A box of voxels: first index and size per axis, `[depth, height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Box3 {
    start: [usize; 3],
    shape: [usize; 3],
}

impl Crop {
    /// The box to keep; the whole volume where nothing differs from zero.
    pub fn bounds(self, voxels: ArrayView3<'_, f32>) -> Box3 {
        let (depth, height, width) = voxels.dim();
        let whole = Box3::whole([depth, height, width]);
        match self {
            Self::None => whole,
            Self::Nonzero => nonzero(voxels).unwrap_or(whole),
        }
    }
}

fn nonzero(voxels: ArrayView3<'_, f32>) -> Option<Box3> {
    let mut first = [usize::MAX; 3];
    let mut last = [0; 3];
    for ((k, j, i), _) in voxels.indexed_iter().filter(|(_, value)| **value != 0.0) {
        for (axis, index) in [k, j, i].into_iter().enumerate() {
            first[axis] = first[axis].min(index);
            last[axis] = last[axis].max(index);
        }
    }
    (first[0] != usize::MAX)
        .then(|| Box3 { start: first, shape: [0, 1, 2].map(|axis| last[axis] - first[axis] + 1) })
}

impl Box3 {
    /// All of an array of this shape.
    pub(super) fn whole(shape: [usize; 3]) -> Self {
        Self { start: [0; 3], shape }
    }

    /// First index per axis, `[depth, height, width]`.
    pub fn start(&self) -> [usize; 3] {
        self.start
    }

    /// Size per axis, `[depth, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The box of `array`.
    pub fn of<T>(self, array: ArrayView3<'_, T>) -> ArrayView3<'_, T> {
        let [[k, j, i], [depth, height, width]] = [self.start, self.shape];
        array.slice_move(s![k..k + depth, j..j + height, i..i + width])
    }

    /// The box of `array`, to be written.
    pub fn of_mut<T>(self, array: ArrayViewMut3<'_, T>) -> ArrayViewMut3<'_, T> {
        let [[k, j, i], [depth, height, width]] = [self.start, self.shape];
        array.slice_move(s![k..k + depth, j..j + height, i..i + width])
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    #[test]
    fn the_nonzero_box_touches_the_outermost_voxels() {
        let mut voxels = Array3::zeros([4, 5, 6]);
        voxels[[1, 2, 3]] = 1.0;
        voxels[[2, 2, 5]] = -1.0;
        let bounds = Crop::Nonzero.bounds(voxels.view());
        assert_eq!(bounds, Box3 { start: [1, 2, 3], shape: [2, 1, 3] });
        assert_eq!(bounds.of(voxels.view())[[1, 0, 2]], -1.0);
    }

    #[test]
    fn an_empty_volume_is_kept_whole() {
        let bounds = Crop::Nonzero.bounds(Array3::zeros([2, 3, 4]).view());
        assert_eq!(bounds.shape(), [2, 3, 4]);
    }
}
