//! Pixels of a slice: gray from the volume, colors from labels or doubt, outlines.
//!
//! Voxels are read where they lie, row by row of the page; no slice is copied first. All of it
//! runs on the thread that draws: threads that a model may keep busy are not waited for.

use eframe::egui::Color32;
use lamina_io::Volume;
use ndarray::{Array3, ArrayView1, ArrayView2, Axis};

use super::plane::PlaneView;
use super::shades::Shades;

/// Red, green and blue.
pub type Rgb = [u8; 3];

/// What a value of an overlay is painted with: color and opacity, 0 for not at all.
pub type Paint = (Rgb, u8);

/// A pixel of a picture.
pub trait Pixel: Copy {
    /// Gray, from black, 0, to white, 255.
    fn gray(shade: u8) -> Self;
    /// The pixel under a color of some opacity.
    #[must_use]
    fn under(self, over: Rgb, opacity: u8) -> Self;
}

impl Pixel for Rgb {
    fn gray(shade: u8) -> Self {
        [shade; 3]
    }

    fn under(self, over: Rgb, opacity: u8) -> Self {
        let opacity = u32::from(opacity);
        let channel = |under: u8, over: u8| {
            ((u32::from(under) * (255 - opacity) + u32::from(over) * opacity + 127) / 255) as u8
        };
        [channel(self[0], over[0]), channel(self[1], over[1]), channel(self[2], over[2])]
    }
}

impl Pixel for Color32 {
    fn gray(shade: u8) -> Self {
        Self::from_gray(shade)
    }

    fn under(self, over: Rgb, opacity: u8) -> Self {
        let [r, g, b] = [self.r(), self.g(), self.b()].under(over, opacity);
        Self::from_rgb(r, g, b)
    }
}

/// A slice as it lies on the page, `[row, column]`.
pub fn page<'a, T>(array: &'a Array3<T>, view: &PlaneView, slice: usize) -> ArrayView2<'a, T> {
    let mut page = array.index_axis(Axis(2 - view.slice.axis), view.slice.voxel(slice));
    // Of the two axes that are left the one of the slower voxel axis comes first.
    if view.right.axis > view.down.axis {
        page.swap_axes(0, 1);
    }
    for (place, run) in [view.down, view.right].into_iter().enumerate() {
        if run.backwards {
            page.invert_axis(Axis(place));
        }
    }
    page
}

/// Visits a row from left to right, as one piece of memory where it is one.
fn each<T: Copy>(row: ArrayView1<'_, T>, mut take: impl FnMut(usize, T)) {
    if let Some(row) = row.as_slice() {
        row.iter().enumerate().for_each(|(column, value)| take(column, *value));
        return;
    }
    let mut mirrored = row.view();
    mirrored.invert_axis(Axis(0));
    match mirrored.as_slice() {
        Some(row) => {
            row.iter().rev().enumerate().for_each(|(column, value)| take(column, *value));
        }
        None => row.iter().enumerate().for_each(|(column, value)| take(column, *value)),
    }
}

/// The gray pixels of a slice, row by row; what `pixels` held is replaced.
pub fn gray<P: Pixel>(
    volume: &Volume,
    view: &PlaneView,
    slice: usize,
    shades: &Shades,
    pixels: &mut Vec<P>,
) {
    pixels.clear();
    pixels.resize(view.right.len * view.down.len, P::gray(0));
    shades.fill(&volume.voxels, view, slice, pixels);
}

/// Writes a page, each value through `shade`.
pub(super) fn fill<T: Copy, P: Pixel>(
    page: ArrayView2<'_, T>,
    pixels: &mut [P],
    shade: impl Fn(T) -> u8,
) {
    let columns = page.ncols().max(1);
    for (row, pixels) in page.outer_iter().zip(pixels.chunks_exact_mut(columns)) {
        // As slices of one length, for the loop to know where it ends.
        if let Some(row) = row.as_slice() {
            for (pixel, value) in pixels.iter_mut().zip(row) {
                *pixel = P::gray(shade(*value));
            }
        } else {
            each(row, |column, value| pixels[column] = P::gray(shade(value)));
        }
    }
}

/// The labels of a slice as they lie on the page, read once from where they lie far apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelPage {
    labels: Vec<u8>,
    columns: usize,
}

impl LabelPage {
    /// The labels of a slice.
    pub fn new(labels: &Array3<u8>, view: &PlaneView, slice: usize) -> Self {
        let mut page_labels = Vec::with_capacity(view.right.len * view.down.len);
        for row in page(labels, view, slice).outer_iter() {
            each(row, |_, label| page_labels.push(label));
        }
        Self { labels: page_labels, columns: view.right.len.max(1) }
    }

    /// Paints them over gray pixels of the same slice, as [`paint`] does.
    pub fn paint_gray(&self, paints: &[Paint; 256], pixels: &mut [Color32]) {
        // Every shade under every paint that is used, once.
        let mut mixed: Vec<Option<Box<[Color32; 256]>>> = vec![None; 256];
        for (pixel, label) in pixels.iter_mut().zip(&self.labels) {
            let (color, opacity) = paints[usize::from(*label)];
            if opacity > 0 {
                let mixed = mixed[usize::from(*label)].get_or_insert_with(|| {
                    let under = |shade| Color32::gray(shade as u8).under(color, opacity);
                    Box::new(std::array::from_fn(under))
                });
                *pixel = mixed[usize::from(pixel.r())];
            }
        }
    }

    /// The borders of those for which `shown` holds.
    pub fn outlines(&self, shown: impl Fn(u8) -> bool) -> Vec<Edge> {
        let shown: [u8; 256] =
            std::array::from_fn(|label| if shown(label as u8) { label as u8 } else { 0 });
        Labeled::find(self, &shown).map_or_else(Vec::new, |labeled| labeled.edges())
    }
}

/// Paints the values of an overlay on the same grid over the pixels of a slice.
pub fn paint<P: Pixel>(
    values: &Array3<u8>,
    view: &PlaneView,
    slice: usize,
    paints: &[Paint; 256],
    pixels: &mut [P],
) {
    let columns = view.right.len.max(1);
    let rows = page(values, view, slice);
    for (row, pixels) in rows.outer_iter().zip(pixels.chunks_exact_mut(columns)) {
        each(row, |column, value| {
            let (color, opacity) = paints[usize::from(value)];
            if opacity > 0 {
                pixels[column] = pixels[column].under(color, opacity);
            }
        });
    }
}

/// A straight piece of the border of a label, in page coordinates whose whole numbers are the
/// corners of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Column and row of one end.
    pub from: [u32; 2],
    /// Column and row of the other.
    pub to: [u32; 2],
    /// The label inside.
    pub label: u8,
}

/// The borders of the labels in a slice for which `shown` holds.
pub fn outlines(
    labels: &Array3<u8>,
    view: &PlaneView,
    slice: usize,
    shown: impl Fn(u8) -> bool,
) -> Vec<Edge> {
    LabelPage::new(labels, view, slice).outlines(shown)
}

/// The part of a page in which all labels are that are shown.
struct Labeled {
    /// The first row, and the one behind the last.
    rows: [usize; 2],
    /// The same of columns.
    columns: [usize; 2],
    labels: Vec<u8>,
}

impl Labeled {
    fn find(page: &LabelPage, shown: &[u8; 256]) -> Option<Self> {
        let (mut rows, mut columns) = ([usize::MAX, 0], [usize::MAX, 0]);
        let lines = page.labels.chunks_exact(page.columns);
        let is_shown = |label: &u8| shown[usize::from(*label)] != 0;
        for (number, line) in lines.clone().enumerate() {
            let Some(first) = line.iter().position(is_shown) else { continue };
            let last = line.iter().rposition(is_shown).unwrap_or(first);
            rows = [rows[0].min(number), number + 1];
            columns = [columns[0].min(first), columns[1].max(last + 1)];
        }
        if rows[1] == 0 {
            return None;
        }
        let lines = lines.skip(rows[0]).take(rows[1] - rows[0]);
        let parts = lines.flat_map(|line| &line[columns[0]..columns[1]]);
        let labels = parts.map(|label| shown[usize::from(*label)]).collect();
        Some(Self { rows, columns, labels })
    }

    /// Borders between rows, then those between columns.
    fn edges(&self) -> Vec<Edge> {
        let Self { rows: [top, _], columns: [left, right], labels } = self;
        let (width, left) = (right - left, *left as u32);
        let nothing = vec![0; width];
        let lines: Vec<&[u8]> = labels.chunks_exact(width).collect();
        let line = |row: usize| row.checked_sub(1).and_then(|row| lines.get(row));
        let mut edges = Vec::new();
        for row in 0..=lines.len() {
            let above = *line(row).unwrap_or(&nothing.as_slice());
            let below = *line(row + 1).unwrap_or(&nothing.as_slice());
            if above == below {
                continue;
            }
            let at = (top + row) as u32;
            let mut open = (0, 0);
            let borders = above.iter().zip(below).map(|(above, below)| border(*above, *below));
            for (column, here) in (left..).zip(borders.chain([0])) {
                if here != open.1 {
                    if open.1 != 0 {
                        edges.push(Edge { from: [open.0, at], to: [column, at], label: open.1 });
                    }
                    open = (column, here);
                }
            }
        }
        // Of each line between columns the row where its border began, and the label.
        let mut open = vec![(0, 0); width + 1];
        for row in 0..=lines.len() {
            let here = *line(row + 1).unwrap_or(&nothing.as_slice());
            let at = (*top + row) as u32;
            let mut before = 0;
            for (column, open) in open.iter_mut().enumerate() {
                let label = here.get(column).copied().unwrap_or(0);
                let border = border(before, label);
                before = label;
                if border != open.1 {
                    if open.1 != 0 {
                        let column = left + column as u32;
                        let (from, to) = ([column, open.0], [column, at]);
                        edges.push(Edge { from, to, label: open.1 });
                    }
                    *open = (at, border);
                }
            }
        }
        edges
    }
}

/// The label whose outline runs between two pixels, 0 for none.
fn border(one: u8, other: u8) -> u8 {
    if one == other { 0 } else { one.max(other) }
}

#[cfg(test)]
mod tests {
    use lamina_io::{Affine, Geometry, Rescale, Voxels};

    use super::super::plane::Plane;
    use super::super::shades::Window;
    use super::*;

    /// Voxel (i, j, k) of 3 x 4 x 2 holds 100 k + 10 j + i.
    fn numbered() -> Volume {
        let stored = Array3::from_shape_fn([2, 4, 3], |(k, j, i)| (100 * k + 10 * j + i) as u8);
        let geometry =
            Geometry::new([2, 4, 3], Affine::from_spacing_origin([1.0, 2.0, 5.0], [0.0; 3]));
        Volume::new(Voxels::U8(stored), Rescale::IDENTITY, geometry.unwrap()).unwrap()
    }

    #[test]
    fn pages_show_the_voxels_that_belong_there() {
        let volume = numbered();
        let shades = Shades::new(Window { center: 127.5, width: 255.0 }, false, &volume);
        let mut pixels: Vec<Rgb> = Vec::new();
        // The volume runs to RAS: the right page edge is the patient's left, index 0.
        let view = PlaneView::new(Plane::Axial, &volume.geometry);
        gray(&volume, &view, 1, &shades, &mut pixels);
        let first: Vec<u8> = pixels.iter().map(|pixel| pixel[0]).collect();
        assert_eq!(first, [132, 131, 130, 122, 121, 120, 112, 111, 110, 102, 101, 100]);
        let view = PlaneView::new(Plane::Sagittal, &volume.geometry);
        gray(&volume, &view, 2, &shades, &mut pixels);
        let first: Vec<u8> = pixels.iter().map(|pixel| pixel[0]).collect();
        assert_eq!(first, [132, 122, 112, 102, 32, 22, 12, 2]);
    }

    #[test]
    fn all_48_orders_show_the_same_page() {
        let volume = numbered();
        for order in lamina_io::AxisOrder::all() {
            let turned = volume.reoriented(&order);
            let shades = Shades::new(Window { center: 127.5, width: 255.0 }, false, &turned);
            for plane in [Plane::Axial, Plane::Coronal, Plane::Sagittal] {
                let view = PlaneView::new(plane, &turned.geometry);
                let first = PlaneView::new(plane, &volume.geometry);
                let mut pixels: Vec<Color32> = Vec::new();
                for slice in 0..view.slice.len {
                    gray(&turned, &view, slice, &shades, &mut pixels);
                    let shade = |column, row| {
                        let [i, j, k] = first.voxel(slice, column, row);
                        Color32::from_gray(volume.value([k, j, i]) as u8)
                    };
                    let (rows, columns) = (view.down.len, view.right.len);
                    let expected: Vec<Color32> =
                        (0..rows * columns).map(|at| shade(at % columns, at / columns)).collect();
                    assert_eq!(pixels, expected, "{order:?} {plane:?} {slice}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_painted_stays() {
        let geometry = Geometry::pixels([1, 1, 2]);
        let view = PlaneView::new(Plane::Stored, &geometry);
        let labels = Array3::from_shape_vec([1, 1, 2], vec![0, 7]).unwrap();
        let mut paints = [([0; 3], 0); 256];
        paints[7] = ([255, 0, 100], 255);
        let mut pixels = vec![[10; 3]; 2];
        paint(&labels, &view, 0, &paints, &mut pixels);
        assert_eq!(pixels, [[10; 3], [255, 0, 100]]);
        paints[7].1 = 51; // a fifth
        paint(&labels, &view, 0, &paints, &mut pixels);
        assert_eq!(pixels[1], [255, 0, 100]);
        assert_eq!([10; 3].under([110; 3], 51), [30; 3]);
        let color = Color32::from_gray(10).under([110, 0, 255], 51);
        assert_eq!(color, Color32::from_rgb(30, 8, 59));
    }

    #[test]
    fn paint_on_gray_is_paint() {
        let volume = numbered();
        let shades = Shades::new(Window { center: 90.0, width: 200.0 }, false, &volume);
        let labels = Array3::from_shape_fn([2, 4, 3], |(k, j, i)| (k + j * i) as u8 % 4);
        let mut paints = [([0; 3], 0); 256];
        paints[1] = ([255, 0, 100], 100);
        paints[3] = ([3, 200, 100], 255);
        for plane in [Plane::Axial, Plane::Coronal, Plane::Sagittal] {
            let view = PlaneView::new(plane, &volume.geometry);
            let (mut one, mut other): (Vec<Color32>, Vec<Color32>) = (Vec::new(), Vec::new());
            gray(&volume, &view, 1, &shades, &mut one);
            other.clone_from(&one);
            LabelPage::new(&labels, &view, 1).paint_gray(&paints, &mut one);
            paint(&labels, &view, 1, &paints, &mut other);
            assert_eq!(one, other);
        }
    }

    #[test]
    fn two_labels_side_by_side_share_one_border() {
        let geometry = Geometry::pixels([1, 1, 3]);
        let view = PlaneView::new(Plane::Stored, &geometry);
        let labels = Array3::from_shape_vec([1, 1, 3], vec![2, 2, 7]).unwrap();
        let edge = |from, to, label| Edge { from, to, label };
        assert_eq!(
            outlines(&labels, &view, 0, |_| true),
            [
                edge([0, 0], [2, 0], 2),
                edge([2, 0], [3, 0], 7),
                edge([0, 1], [2, 1], 2),
                edge([2, 1], [3, 1], 7),
                edge([0, 0], [0, 1], 2),
                edge([2, 0], [2, 1], 7),
                edge([3, 0], [3, 1], 7)
            ]
        );
    }

    #[test]
    fn the_outline_of_a_square_has_four_edges() {
        let geometry = Geometry::pixels([1, 4, 4]);
        let view = PlaneView::new(Plane::Stored, &geometry);
        let mut labels = Array3::zeros([1, 4, 4]);
        labels.slice_mut(ndarray::s![0, 1..3, 1..3]).fill(5);
        let edges = outlines(&labels, &view, 0, |_| true);
        let edge = |from, to| Edge { from, to, label: 5 };
        assert_eq!(
            edges,
            [
                edge([1, 1], [3, 1]),
                edge([1, 3], [3, 3]),
                edge([1, 1], [1, 3]),
                edge([3, 1], [3, 3])
            ]
        );
        assert!(outlines(&labels, &view, 0, |_| false).is_empty());
    }

    #[test]
    fn the_border_of_the_image_closes_an_outline() {
        let geometry = Geometry::pixels([1, 1, 1]);
        let view = PlaneView::new(Plane::Stored, &geometry);
        assert_eq!(outlines(&Array3::from_elem([1, 1, 1], 1), &view, 0, |_| true).len(), 4);
    }
}
