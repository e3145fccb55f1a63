//! Which slices of a volume are shown, and how they lie on the page.
//!
//! Radiological: an axial slice has the patient's right on the left and the front
//! on top. Volumes whose slices are much thicker along one axis are shown in the
//! plane they were taken in.

use lamina_io::{AxisOrder, Geometry};
use ndarray::{Array3, Axis};

/// One slice axis thicker than the others by this factor decides the plane.
const THICK: f64 = 1.4;

/// A direction to look at the patient from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plane {
    /// From the feet.
    Axial,
    /// From the front.
    Coronal,
    /// From the left.
    Sagittal,
    /// As the file stores it: there is no patient to look at.
    Stored,
}

impl Plane {
    /// What to call it.
    pub fn name(self) -> &'static str {
        match self {
            Plane::Axial => "axial",
            Plane::Coronal => "coronal",
            Plane::Sagittal => "sagittal",
            Plane::Stored => "as stored",
        }
    }

    /// The same where a sentence or a title begins.
    pub fn title(self) -> &'static str {
        match self {
            Plane::Axial => "Axial",
            Plane::Coronal => "Coronal",
            Plane::Sagittal => "Sagittal",
            Plane::Stored => "As stored",
        }
    }

    /// What lies at the left, right, top and bottom of the page.
    pub fn letters(self) -> Option<[&'static str; 4]> {
        match self {
            Plane::Axial => Some(["R", "L", "A", "P"]),
            Plane::Coronal => Some(["R", "L", "S", "I"]),
            Plane::Sagittal => Some(["A", "P", "S", "I"]),
            Plane::Stored => None,
        }
    }

    /// The axes of a RAS array `[z, y, x]` that become slice, row and column, and
    /// whether each runs backwards.
    fn axes(self) -> [(usize, bool); 3] {
        match self {
            Plane::Axial => [(0, false), (1, true), (2, true)],
            Plane::Coronal => [(1, true), (0, true), (2, true)],
            Plane::Sagittal => [(2, true), (0, true), (1, true)],
            Plane::Stored => [(0, false), (1, false), (2, false)],
        }
    }
}

/// How arrays of one geometry are turned for the page.
#[derive(Debug, Clone)]
pub struct View {
    /// The plane that was chosen.
    pub plane: Plane,
    /// Spacing of slice, row and column; 1 where the file does not say.
    pub spacing: [f64; 3],
    /// Whether that spacing is in millimeters.
    pub spacing_known: bool,
    order: AxisOrder,
}

impl View {
    /// Chooses the plane for `geometry`.
    pub fn of(geometry: &Geometry) -> Self {
        let Some(spacing_mm) = geometry.spacing_mm() else {
            let order = AxisOrder::identity();
            return Self { plane: Plane::Stored, spacing: [1.0; 3], spacing_known: false, order };
        };
        let order = geometry.to_ras_axes();
        let [x, y, z] = order.axes().map(|axis| spacing_mm[axis]);
        let plane = if y > THICK * x.max(z) {
            Plane::Coronal
        } else if x > THICK * y.max(z) {
            Plane::Sagittal
        } else {
            Plane::Axial
        };
        let spacing = plane.axes().map(|(axis, _)| [z, y, x][axis]);
        Self { plane, spacing, spacing_known: true, order }
    }

    /// `array` as it lies on the page.
    ///
    /// # Shapes
    /// - `array`: `[depth, height, width]` as in the file
    /// - output: `[slice, row, column]`, rows downwards
    pub fn turn<T: Clone>(&self, array: &Array3<T>) -> Array3<T> {
        let turned = self.order.turn(array);
        let axes = self.plane.axes();
        let mut view = turned.view().permuted_axes(axes.map(|(axis, _)| axis));
        for (page_axis, (_, backwards)) in axes.into_iter().enumerate() {
            if backwards {
                view.invert_axis(Axis(page_axis));
            }
        }
        view.as_standard_layout().into_owned()
    }
}

/// Part of a page, as first and one-past-last row and column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows.
    pub rows: (usize, usize),
    /// Columns.
    pub columns: (usize, usize),
}

impl Window {
    /// Rows and columns it spans.
    pub fn size(self) -> [usize; 2] {
        [self.rows.1 - self.rows.0, self.columns.1 - self.columns.0]
    }

    /// The surroundings of what is labelled in `labels` (`[slice, row, column]`): its box
    /// twice as wide and high, or everything where that is most of it.
    pub fn around(labels: &Array3<u8>) -> Self {
        let (_, height, width) = labels.dim();
        let whole = Self { rows: (0, height), columns: (0, width) };
        let Some([_, rows, columns]) = labelled_box(labels) else { return whole };
        let widen = |(first, end): (usize, usize), length: usize| {
            let margin = ((end - first) / 2).max(length / 12);
            (first.saturating_sub(margin), (end + margin).min(length))
        };
        let close = Self { rows: widen(rows, height), columns: widen(columns, width) };
        let [close_height, close_width] = close.size();
        if close_height * 10 > height * 7 && close_width * 10 > width * 7 { whole } else { close }
    }
}

/// Up to `count` slices, spread evenly over those that hold a label, else over all.
pub fn slices_to_show(labels: &Array3<u8>, count: usize) -> Vec<usize> {
    let (first, end) = labelled_box(labels).map_or((0, labels.dim().0), |[slices, ..]| slices);
    let found = end - first;
    if found <= count {
        return (first..end).collect();
    }
    // The middles of `count` equal parts: both ends of a structure are its least telling slices.
    (0..count).map(|part| first + (2 * part + 1) * found / (2 * count)).collect()
}

/// The smallest box around everything labelled, first and one-past-last per axis.
fn labelled_box(labels: &Array3<u8>) -> Option<[(usize, usize); 3]> {
    let mut bounds = [(usize::MAX, 0); 3];
    for ((slice, row, column), _) in labels.indexed_iter().filter(|(_, label)| **label > 0) {
        for (bound, index) in bounds.iter_mut().zip([slice, row, column]) {
            *bound = (bound.0.min(index), bound.1.max(index + 1));
        }
    }
    (bounds[0].1 > 0).then_some(bounds)
}

#[cfg(test)]
mod tests {
    use lamina_io::Affine;

    use super::*;

    /// A volume with one marked voxel at its most right, anterior, superior corner.
    fn marked(affine: [[f64; 4]; 4], corner: [usize; 3]) -> (View, Array3<u8>) {
        let geometry = Geometry::new([2, 3, 4], Affine::from_rows(affine)).unwrap();
        let mut labels = Array3::zeros([2, 3, 4]);
        labels[corner] = 1;
        let view = View::of(&geometry);
        let turned = view.turn(&labels);
        (view, turned)
    }

    #[test]
    fn an_axial_slice_has_right_on_the_left_and_front_on_top() {
        let ras = [
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 1.1, 0.0, 0.0],
            [0.0, 0.0, 1.2, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ];
        let (view, page) = marked(ras, [1, 2, 3]);
        assert_eq!((view.plane, view.spacing), (Plane::Axial, [1.2, 1.1, 1.0]));
        assert_eq!(page[[1, 0, 0]], 1);
    }

    #[test]
    fn a_volume_stored_the_other_way_around_lies_the_same() {
        let lpi = [
            [-1.0, 0.0, 0.0, 9.0],
            [0.0, -1.1, 0.0, 9.0],
            [0.0, 0.0, -1.2, 9.0],
            [0.0, 0.0, 0.0, 1.0],
        ];
        let (_, page) = marked(lpi, [0, 0, 0]);
        assert_eq!(page[[1, 0, 0]], 1);
    }

    #[test]
    fn thick_coronal_slices_are_shown_coronal() {
        let thick = [
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 5.0, 0.0, 0.0],
            [0.0, 0.0, 1.2, 0.0],
            [0.0, 0.0, 0.0, 1.0],
        ];
        let (view, page) = marked(thick, [1, 2, 3]);
        assert_eq!((view.plane, view.spacing), (Plane::Coronal, [5.0, 1.2, 1.0]));
        assert_eq!(page.dim(), (3, 2, 4));
        assert_eq!(page[[0, 0, 0]], 1);
    }

    #[test]
    fn a_picture_stays_as_it_is_stored() {
        let view = View::of(&Geometry::pixels([1, 2, 3]));
        let stored = Array3::from_shape_vec([1, 2, 3], (0..6).collect()).unwrap();
        assert_eq!(view.plane, Plane::Stored);
        assert_eq!(view.turn(&stored), stored);
    }

    #[test]
    fn slices_spread_over_the_labelled_range() {
        let mut labels = Array3::zeros([40, 2, 2]);
        for slice in 10..30 {
            labels[[slice, 0, 0]] = 1;
        }
        assert_eq!(slices_to_show(&labels, 4), [12, 17, 22, 27]);
        assert_eq!(slices_to_show(&Array3::zeros([3, 2, 2]), 4), [0, 1, 2]);
    }

    #[test]
    fn the_window_closes_in_on_a_small_structure_and_stays_inside() {
        let mut labels = Array3::zeros([1, 100, 100]);
        labels[[0, 2, 50]] = 1;
        let window = Window::around(&labels);
        assert_eq!(window, Window { rows: (0, 11), columns: (42, 59) });
        assert_eq!(Window::around(&Array3::zeros([1, 5, 7])).size(), [5, 7]);
    }
}
