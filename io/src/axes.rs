//! Orders of the three array axes: which one comes first, and which run backwards.
//!
//! Turning the arrays is left to [`Volume`](crate::Volume) and
//! [`LabelVolume`](crate::LabelVolume), finding the order to
//! [`Geometry::to_ras_axes`](crate::Geometry::to_ras_axes).

use ndarray::{Array3, ArrayBase, Axis, Ix3, RawData};

use crate::affine::Affine;

/// A permutation of the voxel axes (x, y, z), with flips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisOrder {
    axes: [usize; 3],
    flipped: [bool; 3],
}

impl AxisOrder {
    /// The order that takes new axis `a` from old axis `axes[a]`, backwards where
    /// `flipped[a]`; `None` unless `axes` holds each of 0, 1 and 2 once.
    pub fn new(axes: [usize; 3], flipped: [bool; 3]) -> Option<Self> {
        let complete = (0..3).all(|axis| axes.contains(&axis));
        complete.then_some(Self { axes, flipped })
    }

    /// Everything stays.
    pub const fn identity() -> Self {
        Self { axes: [0, 1, 2], flipped: [false; 3] }
    }

    /// All 48 of them.
    pub fn all() -> Vec<Self> {
        let permutations = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        permutations
            .into_iter()
            .flat_map(|axes| {
                (0..8).map(move |bits| Self {
                    axes,
                    flipped: [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0],
                })
            })
            .collect()
    }

    /// Old axis of each new axis (x, y, z).
    pub fn axes(&self) -> [usize; 3] {
        self.axes
    }

    /// Which new axes (x, y, z) run against their old axis.
    pub fn flipped(&self) -> [bool; 3] {
        self.flipped
    }

    /// Whether all stays as it is.
    pub fn changes_nothing(&self) -> bool {
        self.axes() == [0, 1, 2] && self.flipped() == [false; 3]
    }

    /// The order that brings everything back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let mut inverse = Self::identity();
        for (new, old) in self.axes.into_iter().enumerate() {
            inverse.axes[old] = new;
            inverse.flipped[old] = self.flipped[new];
        }
        inverse
    }

    /// Shape `[depth, height, width]` after turning an array of shape `shape`.
    pub fn shape(&self, shape: [usize; 3]) -> [usize; 3] {
        [2, 1, 0].map(|new| shape[2 - self.axes[new]])
    }

    /// The old voxel index (i, j, k) of a new one, for an old array of shape `[depth, height, width]`.
    pub(crate) fn old_from_new(&self, old_shape: [usize; 3]) -> Affine {
        let mut steps = [[0.0; 3]; 3];
        let mut origin = [0.0; 3];
        for (new, old) in self.axes.into_iter().enumerate() {
            steps[new][old] = if self.flipped[new] { -1.0 } else { 1.0 };
            if self.flipped[new] {
                origin[old] = (old_shape[2 - old] - 1) as f64;
            }
        }
        Affine::from_columns(steps, origin)
    }

    /// `array` with its axes in this order.
    ///
    /// # Shapes
    /// - `array`: `[depth, height, width]` before
    /// - output: `[depth, height, width]` after, contiguous
    pub fn turn<T: Clone>(&self, array: &Array3<T>) -> Array3<T> {
        self.view(array.view()).as_standard_layout().into_owned()
    }

    /// `array` with its axes in this order, nothing copied. A view to be written turns likewise.
    ///
    /// # Shapes
    /// - `array`: `[depth, height, width]` before
    /// - output: `[depth, height, width]` after
    #[must_use]
    pub fn view<S: RawData>(&self, array: ArrayBase<S, Ix3>) -> ArrayBase<S, Ix3> {
        let mut view = array.permuted_axes([2, 1, 0].map(|new| 2 - self.axes[new]));
        for new in 0..3 {
            if self.flipped[new] {
                view.invert_axis(Axis(2 - new));
            }
        }
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(shape: [usize; 3]) -> Array3<usize> {
        let [_, height, width] = shape;
        Array3::from_shape_fn(shape, |(k, j, i)| (k * height + j) * width + i)
    }

    #[test]
    fn an_axis_named_twice_is_no_order() {
        assert_eq!(AxisOrder::new([0, 0, 2], [false; 3]), None);
        assert_eq!(AxisOrder::new([0, 1, 3], [false; 3]), None);
    }

    #[test]
    fn every_order_is_undone_by_its_inverse() {
        let array = numbered([2, 3, 4]);
        let orders = AxisOrder::all();
        assert_eq!(orders.len(), 48);
        for order in orders {
            let turned = order.turn(&array);
            assert_eq!(turned.shape(), order.shape([2, 3, 4]));
            assert_eq!(order.inverse().turn(&turned), array);
        }
    }

    #[test]
    fn a_turned_array_agrees_with_the_index_transform() {
        let array = numbered([2, 3, 4]);
        for order in AxisOrder::all() {
            let turned = order.turn(&array);
            let old_from_new = order.old_from_new([2, 3, 4]);
            for ((k, j, i), value) in turned.indexed_iter() {
                let [old_i, old_j, old_k] = old_from_new.apply([i as f64, j as f64, k as f64]);
                assert_eq!(array[[old_k as usize, old_j as usize, old_i as usize]], *value);
            }
        }
    }
}
