//! The planes a volume is looked at in: which voxel axis runs where on the page.
//!
//! Radiological: an axial page has the patient's right on its left and the front on top, a coronal
//! one the right on the left and the head on top, a sagittal one the front on the left and the
//! head on top. Pages lie along the voxel axes nearest to the patient's, and nothing is resampled:
//! an oblique volume is shown as it was taken, and says so.

use lamina_io::{Geometry, Volume};

pub use crate::montage::Plane;

/// One voxel axis along one direction of the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AxisRun {
    /// The voxel axis: 0 for x, 1 for y, 2 for z.
    pub axis: usize,
    /// Whether it runs against the page.
    pub backwards: bool,
    /// Voxels along it.
    pub len: usize,
    /// Distance of neighbors in millimeters; 1 where nobody knows it.
    pub step: f64,
}

impl AxisRun {
    /// The voxel index of page index `page`.
    pub fn voxel(&self, page: usize) -> usize {
        if self.backwards { self.len - 1 - page } else { page }
    }

    /// Where a voxel index, whole or not, lies on the page.
    pub fn page(&self, voxel: f64) -> f64 {
        if self.backwards { (self.len - 1) as f64 - voxel } else { voxel }
    }
}

/// How slices of one geometry lie on the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlaneView {
    /// The plane.
    pub plane: Plane,
    /// Across slices: they ascend towards the head, the front and the patient's right.
    pub slice: AxisRun,
    /// From the left of the page to its right.
    pub right: AxisRun,
    /// From the top of the page down.
    pub down: AxisRun,
    /// Degrees between the slices and the plane that they are named after.
    pub oblique_degrees: f64,
}

impl PlaneView {
    /// How `plane` shows voxels of `geometry`.
    pub fn new(plane: Plane, geometry: &Geometry) -> Self {
        let order = geometry.to_ras_axes();
        let [depth, height, width] = geometry.shape();
        let sizes = [width, height, depth];
        let steps = geometry.spacing_mm().unwrap_or([1.0; 3]);
        // World axes (0 right, 1 anterior, 2 superior) across slices, to the right and down, and
        // whether they run against their names there.
        let [slice, right, down] = match plane {
            Plane::Axial => [(2, false), (0, true), (1, true)],
            Plane::Coronal => [(1, false), (0, true), (2, true)],
            Plane::Sagittal => [(0, false), (1, true), (2, true)],
            Plane::Stored => {
                let run = |axis: usize| AxisRun {
                    axis,
                    backwards: false,
                    len: sizes[axis],
                    step: steps[axis],
                };
                let [slice, right, down] = [run(2), run(0), run(1)];
                return Self { plane, slice, right, down, oblique_degrees: 0.0 };
            }
        };
        let run = |(world, against): (usize, bool)| {
            let axis = order.axes()[world];
            let backwards = order.flipped()[world] != against;
            AxisRun { axis, backwards, len: sizes[axis], step: steps[axis] }
        };
        let oblique_degrees = degrees_between(geometry, run(right).axis, run(down).axis, slice.0);
        let [slice, right, down] = [run(slice), run(right), run(down)];
        Self { plane, slice, right, down, oblique_degrees }
    }

    /// The planes that show `geometry`: three, or one where there is no patient to look at.
    pub fn all(geometry: &Geometry) -> Vec<Self> {
        let planes: &[Plane] = match geometry.spacing_mm() {
            Some(_) => &[Plane::Axial, Plane::Coronal, Plane::Sagittal],
            None => &[Plane::Stored],
        };
        planes.iter().map(|plane| Self::new(*plane, geometry)).collect()
    }

    /// Those of an image; one that does not say where in the patient it lies has one page.
    pub fn all_of(volume: &Volume) -> Vec<Self> {
        if volume.viewing.is_unplaced && volume.shape()[0] == 1 {
            return vec![Self::new(Plane::Stored, &volume.geometry)];
        }
        Self::all(&volume.geometry)
    }

    /// The voxel (i, j, k) at column and row of a slice.
    pub fn voxel(&self, slice: usize, column: usize, row: usize) -> [usize; 3] {
        let mut voxel = [0; 3];
        voxel[self.slice.axis] = self.slice.voxel(slice);
        voxel[self.right.axis] = self.right.voxel(column);
        voxel[self.down.axis] = self.down.voxel(row);
        voxel
    }

    /// Slice, column and row of a voxel index (i, j, k), whole or not.
    pub fn page(&self, voxel: [f64; 3]) -> [f64; 3] {
        [self.slice, self.right, self.down].map(|run| run.page(voxel[run.axis]))
    }

    /// The voxel index of a place on the page, whole or not, in `slice`.
    pub fn index(&self, slice: f64, column: f64, row: f64) -> [f64; 3] {
        let mut voxel = [0.0; 3];
        for (run, page) in [(self.slice, slice), (self.right, column), (self.down, row)] {
            voxel[run.axis] = run.page(page); // a mirror is its own inverse
        }
        voxel
    }

    /// The slice in which a voxel index lies, or the nearest that there is.
    pub fn slice_of(&self, voxel: [f64; 3]) -> usize {
        let page = self.page(voxel)[0].round();
        (page.max(0.0) as usize).min(self.slice.len - 1)
    }

    /// What the user should know about this page: "oblique, 17° from axial".
    pub fn caveat(&self) -> Option<String> {
        let name = self.plane.name();
        (self.oblique_degrees >= 1.0)
            .then(|| format!("oblique, {:.0}° from {name}", self.oblique_degrees))
    }
}

/// Degrees between the normal of the plane of two voxel axes and a world axis.
fn degrees_between(geometry: &Geometry, right: usize, down: usize, world: usize) -> f64 {
    let [a, b] = [right, down].map(|axis| geometry.ras_from_index().step(axis));
    let normal = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let length = normal.iter().map(|v| v * v).sum::<f64>().sqrt();
    (normal[world].abs() / length).min(1.0).acos().to_degrees()
}

#[cfg(test)]
mod tests {
    use lamina_io::{Affine, AxisOrder};

    use super::*;

    /// 4 x 5 x 6 voxels of 2 x 3 x 5 mm, turned by 10 degrees about the feet-head axis.
    fn tilted() -> Geometry {
        let (sin, cos) = 10.0_f64.to_radians().sin_cos();
        let steps = [[2.0 * cos, 2.0 * sin, 0.0], [-3.0 * sin, 3.0 * cos, 0.0], [0.0, 0.0, 5.0]];
        Geometry::new([6, 5, 4], Affine::from_columns(steps, [7.0, -8.0, 9.0])).unwrap()
    }

    #[test]
    fn letters_hold_in_all_48_orders_of_an_oblique_volume() {
        for order in AxisOrder::all() {
            let geometry = tilted().reoriented(&order);
            for view in PlaneView::all(&geometry) {
                let letters = view.plane.letters().unwrap();
                let origin = geometry.ras_from_index().apply(view.index(0.0, 0.0, 0.0));
                let right = geometry.ras_from_index().apply(view.index(0.0, 1.0, 0.0));
                let down = geometry.ras_from_index().apply(view.index(0.0, 0.0, 1.0));
                let next = geometry.ras_from_index().apply(view.index(1.0, 0.0, 0.0));
                assert!(towards(letters[1], origin, right) > 0.9, "{order:?} {view:?}");
                assert!(towards(letters[0], origin, right) < -0.9, "{order:?} {view:?}");
                assert!(towards(letters[3], origin, down) > 0.9, "{order:?} {view:?}");
                assert!(towards(letters[2], origin, down) < -0.9, "{order:?} {view:?}");
                let ascending = ["S", "A", "R"][view.plane as usize];
                assert!(towards(ascending, origin, next) > 0.9, "{order:?} {view:?}");
            }
        }
    }

    /// How far a step goes towards a letter, as a share of its length.
    fn towards(letter: &str, from: [f64; 3], to: [f64; 3]) -> f64 {
        let (axis, sign) = match letter {
            "R" => (0, 1.0),
            "L" => (0, -1.0),
            "A" => (1, 1.0),
            "P" => (1, -1.0),
            "S" => (2, 1.0),
            _ => (2, -1.0),
        };
        let step = [0, 1, 2].map(|axis| to[axis] - from[axis]);
        sign * step[axis] / step.iter().map(|v| v * v).sum::<f64>().sqrt()
    }

    #[test]
    fn a_page_leads_to_the_voxel_that_it_shows_and_back() {
        for order in AxisOrder::all() {
            for view in PlaneView::all(&tilted().reoriented(&order)) {
                let voxel = view.voxel(view.slice.len - 1, 1, 2);
                let exact = voxel.map(|index| index as f64);
                assert_eq!(view.page(exact), [(view.slice.len - 1) as f64, 1.0, 2.0]);
                assert_eq!(view.index((view.slice.len - 1) as f64, 1.0, 2.0), exact);
                assert_eq!(view.slice_of(exact), view.slice.len - 1);
            }
        }
    }

    #[test]
    fn an_oblique_volume_says_so_where_it_is() {
        let views = PlaneView::all(&tilted());
        assert_eq!(views[0].caveat(), None);
        assert_eq!(views[1].caveat().unwrap(), "oblique, 10° from coronal");
        assert_eq!(views[2].caveat().unwrap(), "oblique, 10° from sagittal");
    }

    #[test]
    fn a_picture_has_one_page() {
        let views = PlaneView::all(&Geometry::pixels([1, 3, 4]));
        assert_eq!(views.len(), 1);
        assert_eq!(views[0].plane, Plane::Stored);
        assert_eq!(views[0].voxel(0, 3, 2), [3, 2, 0]);
    }
}
