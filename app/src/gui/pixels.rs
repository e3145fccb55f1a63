//! Pixels of a slice: gray from the volume, colors from labels or doubt, outlines.
//!
//! Voxels are read where they lie, in the order of the page; no slice is copied first.

use lamina_io::Volume;
use ndarray::Array3;

use super::plane::PlaneView;
use super::shades::Shades;

/// A pixel, red, green and blue.
pub type Rgb = [u8; 3];

/// What a value of an overlay is painted with: color and opacity, 0 for not at all.
pub type Paint = (Rgb, u8);

/// Array places `[depth, height, width]` of a slice, row by row.
fn places(view: PlaneView, slice: usize) -> impl Iterator<Item = [usize; 3]> {
    let mut place = [0; 3];
    place[2 - view.slice.axis] = view.slice.voxel(slice);
    let (right, down) = (view.right, view.down);
    (0..down.len).flat_map(move |row| {
        place[2 - down.axis] = down.voxel(row);
        (0..right.len).map(move |column| {
            place[2 - right.axis] = right.voxel(column);
            place
        })
    })
}

/// The gray pixels of a slice, row by row; what `pixels` held is replaced.
pub fn gray(
    volume: &Volume,
    view: &PlaneView,
    slice: usize,
    shades: &Shades,
    pixels: &mut Vec<Rgb>,
) {
    pixels.clear();
    pixels.reserve(view.right.len * view.down.len);
    shades.fill(&volume.voxels, places(*view, slice), |shade| pixels.push([shade; 3]));
}

/// Paints the values of an overlay on the same grid over the pixels of a slice.
pub fn paint(
    values: &Array3<u8>,
    view: &PlaneView,
    slice: usize,
    paints: &[Paint; 256],
    pixels: &mut [Rgb],
) {
    for (place, pixel) in places(*view, slice).zip(pixels) {
        let (color, opacity) = paints[usize::from(values[place])];
        if opacity > 0 {
            *pixel = mix(*pixel, color, opacity);
        }
    }
}

fn mix(under: Rgb, over: Rgb, opacity: u8) -> Rgb {
    let opacity = u32::from(opacity);
    let channel = |under: u8, over: u8| {
        ((u32::from(under) * (255 - opacity) + u32::from(over) * opacity + 127) / 255) as u8
    };
    [channel(under[0], over[0]), channel(under[1], over[1]), channel(under[2], over[2])]
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
    let [columns, rows] = [view.right.len, view.down.len];
    let page: Vec<u8> = places(*view, slice)
        .map(|place| labels[place])
        .map(|label| if shown(label) { label } else { 0 })
        .collect();
    if page.iter().all(|label| *label == 0) {
        return Vec::new();
    }
    let at = |column: Option<usize>, row: Option<usize>| match (column, row) {
        (Some(column), Some(row)) if column < columns && row < rows => page[row * columns + column],
        _ => 0,
    };
    let mut edges = Vec::new();
    for row in 0..=rows {
        let pair = |column| (at(Some(column), row.checked_sub(1)), at(Some(column), Some(row)));
        runs(columns, pair, |from, to, label| {
            edges.push(Edge { from: [from, row as u32], to: [to, row as u32], label });
        });
    }
    for column in 0..=columns {
        let pair = |row| (at(column.checked_sub(1), Some(row)), at(Some(column), Some(row)));
        runs(rows, pair, |from, to, label| {
            edges.push(Edge { from: [column as u32, from], to: [column as u32, to], label });
        });
    }
    edges
}

/// Finds where the labels on both sides of a line differ, and puts equal neighbors together.
fn runs(len: usize, pair: impl Fn(usize) -> (u8, u8), mut put: impl FnMut(u32, u32, u8)) {
    let border = |(one, other): (u8, u8)| (one != other).then(|| one.max(other));
    let mut open: Option<(usize, u8)> = None;
    for place in 0..=len {
        let here = if place < len { border(pair(place)) } else { None };
        if open.map(|(_, label)| label) != here {
            if let Some((from, label)) = open {
                put(from as u32, place as u32, label);
            }
            open = here.map(|label| (place, label));
        }
    }
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
        let mut pixels = Vec::new();
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
        assert_eq!(mix([10; 3], [110; 3], 51), [30; 3]);
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
