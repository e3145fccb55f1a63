//! Surfaces in pieces with an area: what the convention of Nikolov et al. measures.
//!
//! Nikolov et al., Deep learning to achieve clinically applicable segmentation of head and neck
//! anatomy for radiotherapy, arXiv:1809.04430. A piece lies at each corner of voxels that not all
//! eight voxels around agree on, and is as large as the surface that marching cubes draws through
//! that corner's cube; in two dimensions as long as the line of marching squares. Percentiles and
//! shares weigh each piece by its area, and a percentile is a piece's distance, never between two.
//!
//! Which surface marching cubes draws: on a face with two corners inside and two outside across
//! from each other, those two are cut off of which the cube has fewer, the inside ones where it has
//! four; a closed line that is not flat is filled with those triangles that have the largest area in
//! a cube of unit sides. This gives the areas of DeepMind's table for all 256 cubes.

use std::collections::BTreeMap;

use super::bits::Bits;
use super::nearest::squared_distances_to;

/// Every piece of two surfaces, with its distance to the other surface.
#[derive(Debug, Clone)]
pub(super) struct SurfelPair {
    from_prediction: Vec<Surfel>,
    from_reference: Vec<Surfel>,
}

/// A piece of a surface.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Surfel {
    distance_mm: f64,
    area: f64,
}

impl SurfelPair {
    /// Measures two masks in one box around both; `None` where one of them is empty. `flat` masks
    /// are of one slice and have lines around them.
    pub(super) fn of(
        prediction: &Bits,
        reference: &Bits,
        spacing_mm: [f64; 3],
        flat: bool,
    ) -> Option<Self> {
        if prediction.count() == 0 || reference.count() == 0 {
            return None;
        }
        let areas = if flat { lengths(spacing_mm) } else { areas(spacing_mm) };
        let (prediction, codes_p) = corners(prediction, flat);
        let (reference, codes_r) = corners(reference, flat);
        let surfels = |from: &Bits, codes: Vec<u8>, to: &Bits| {
            let squared = squared_distances_to(from, to, spacing_mm).into_iter();
            let mut surfels: Vec<Surfel> = squared
                .zip(codes)
                .map(|(squared, code)| Surfel {
                    distance_mm: squared.sqrt(),
                    area: areas[usize::from(code)],
                })
                .collect();
            surfels.sort_by(|a, b| {
                a.distance_mm.total_cmp(&b.distance_mm).then(a.area.total_cmp(&b.area))
            });
            surfels
        };
        Some(Self {
            from_prediction: surfels(&prediction, codes_p, &reference),
            from_reference: surfels(&reference, codes_r, &prediction),
        })
    }

    /// Robust Hausdorff distance: a share of each surface's area is not farther from the other.
    pub(super) fn percentile(&self, share: f64) -> f64 {
        let of = |surfels: &[Surfel]| {
            let total = area(surfels);
            let mut so_far = 0.0;
            let reached = surfels.iter().find(|surfel| {
                so_far += surfel.area;
                so_far / total >= share
            });
            reached.or(surfels.last()).map_or(0.0, |surfel| surfel.distance_mm)
        };
        of(&self.from_prediction).max(of(&self.from_reference))
    }

    /// Mean distance of the prediction's surface to the reference's, and of that to the
    /// prediction's.
    pub(super) fn means(&self) -> [f64; 2] {
        [&self.from_prediction, &self.from_reference].map(|surfels| {
            surfels.iter().map(|s| s.distance_mm * s.area).sum::<f64>() / area(surfels)
        })
    }

    /// The share of both surfaces' area that is within a tolerance of the other.
    pub(super) fn within(&self, tolerance_mm: f64) -> f64 {
        let both = [&self.from_prediction, &self.from_reference];
        let near = |surfels: &Vec<Surfel>| -> f64 {
            let near = surfels.iter().filter(|surfel| surfel.distance_mm <= tolerance_mm);
            near.map(|surfel| surfel.area).sum()
        };
        let within: f64 = both.map(near).into_iter().sum();
        within / both.map(|surfels| area(surfels)).into_iter().sum::<f64>()
    }
}

fn area(surfels: &[Surfel]) -> f64 {
    surfels.iter().map(|surfel| surfel.area).sum()
}

/// The corners of voxels that the mask's surface goes through, and which of the voxels around
/// each are inside: bit 4 for the slice behind, 2 for the row below, 1 for the column after.
fn corners(mask: &Bits, flat: bool) -> (Bits, Vec<u8>) {
    let [depth, height, width] = mask.shape();
    let all = if flat { 0b1111 } else { 0b1111_1111 };
    let mut corners = Bits::none([if flat { 1 } else { depth + 1 }, height + 1, width + 1]);
    let mut codes = Vec::new();
    let voxel = |k: Option<usize>, j: Option<usize>, i: Option<usize>| match (k, j, i) {
        (Some(k), Some(j), Some(i)) => k < depth && j < height && i < width && mask.get([k, j, i]),
        _ => false,
    };
    for k in 0..corners.shape()[0] {
        for j in 0..=height {
            if !near_any(mask, k, j, flat) {
                continue;
            }
            for i in 0..=width {
                let mut code = 0;
                for bit in 0..if flat { 4 } else { 8 } {
                    let slice = if flat { Some(0) } else { (k + (bit >> 2)).checked_sub(1) };
                    let row = (j + (bit >> 1 & 1)).checked_sub(1);
                    let column = (i + (bit & 1)).checked_sub(1);
                    code |= u8::from(voxel(slice, row, column)) << bit;
                }
                if code != 0 && code != all {
                    corners.set([k, j, i]);
                    codes.push(code);
                }
            }
        }
    }
    (corners, codes)
}

/// Whether one of the rows around a row of corners holds anything.
fn near_any(mask: &Bits, k: usize, j: usize, flat: bool) -> bool {
    let [depth, height, _] = mask.shape();
    let slices = if flat { 0..1 } else { k.saturating_sub(1)..(k + 1).min(depth) };
    slices.into_iter().any(|k| {
        (j.saturating_sub(1)..(j + 1).min(height))
            .any(|j| mask.row(k, j).iter().any(|&word| word != 0))
    })
}

type Point = [f64; 3];

/// The surface in each cube of corners, in square millimeters: by which corners are inside.
fn areas(spacing_mm: [f64; 3]) -> Vec<f64> {
    (0..=u8::MAX)
        .map(|code| lines(code).iter().map(|line| filled_area(line, spacing_mm)).sum())
        .collect()
}

/// The length of the line in each square of corners, in millimeters: by which are inside.
fn lengths(spacing_mm: [f64; 3]) -> Vec<f64> {
    let [_, vertical, horizontal] = spacing_mm;
    let diagonal = 0.5 * vertical.hypot(horizontal);
    let length = |code: u8| match code {
        0b0000 | 0b1111 => 0.0,
        0b0011 | 0b1100 => horizontal,
        0b0101 | 0b1010 => vertical,
        0b0110 | 0b1001 => 2.0 * diagonal,
        _ => diagonal,
    };
    (0..16).map(length).collect()
}

/// A corner of the cube, each axis of which is a bit.
fn corner(bits: u8) -> Point {
    [bits >> 2, bits >> 1, bits].map(|bit| f64::from(bit & 1))
}

/// An edge of the cube by its two corners, the lower first.
type Edge = (u8, u8);

/// The closed lines that marching cubes draws on the faces of a cube, by the edges they cross.
fn lines(code: u8) -> Vec<Vec<Edge>> {
    let inside = |corner: u8| code >> corner & 1 == 1;
    let cut_off = code.count_ones() <= 4; // the inside corners
    let mut next: BTreeMap<Edge, Vec<Edge>> = BTreeMap::new();
    for axis in [4_u8, 2, 1] {
        for side in [0, axis] {
            let (a, b) = match axis {
                4 => (2, 1),
                2 => (4, 1),
                _ => (4, 2),
            };
            let around = [side, side | a, side | a | b, side | b];
            let edge = |n: usize| {
                let (one, other) = (around[n % 4], around[(n + 1) % 4]);
                (one.min(other), one.max(other))
            };
            let crossed: Vec<usize> =
                (0..4).filter(|&n| inside(around[n]) != inside(around[(n + 1) % 4])).collect();
            let mut join = |one: Edge, other: Edge| {
                next.entry(one).or_default().push(other);
                next.entry(other).or_default().push(one);
            };
            match *crossed.as_slice() {
                [first, second] => join(edge(first), edge(second)),
                [_, _, _, _] => {
                    // A line around each of the two corners that are cut off.
                    (0..4)
                        .filter(|&n| inside(around[n]) == cut_off)
                        .for_each(|n| join(edge(n + 3), edge(n)));
                }
                _ => {}
            }
        }
    }
    let mut lines = Vec::new();
    while let Some((&first, _)) = next.first_key_value() {
        let mut line = vec![first];
        let mut at = first;
        while let Some(to) =
            next.remove(&at).and_then(|ways| ways.into_iter().find(|to| next.contains_key(to)))
        {
            line.push(to);
            at = to;
        }
        lines.push(line);
    }
    lines
}

/// The area of the triangles that fill a closed line.
fn filled_area(line: &[Edge], spacing_mm: [f64; 3]) -> f64 {
    let middle = |&(one, other): &Edge| {
        let (one, other) = (corner(one), corner(other));
        [0, 1, 2].map(|axis| f64::midpoint(one[axis], other[axis]))
    };
    let unit: Vec<Point> = line.iter().map(middle).collect();
    let real: Vec<Point> =
        unit.iter().map(|point| [0, 1, 2].map(|axis| point[axis] * spacing_mm[axis])).collect();
    largest_filling(&unit, &real, 0, unit.len() - 1).1
}

/// Of the triangles that fill a polygon between two of its points those with the largest area in
/// the unit cube: that area, and the real one.
fn largest_filling(unit: &[Point], real: &[Point], first: usize, last: usize) -> (f64, f64) {
    (first + 1..last)
        .map(|apex| {
            let (before, after) =
                (largest_filling(unit, real, first, apex), largest_filling(unit, real, apex, last));
            let triangle = |points: &[Point]| triangle(points[first], points[apex], points[last]);
            (before.0 + triangle(unit) + after.0, before.1 + triangle(real) + after.1)
        })
        // Equal ones differ by rounding alone, and have the same real area.
        .fold((0.0, 0.0), |best, found| if found.0 > best.0 + 1e-9 { found } else { best })
}

fn triangle(a: Point, b: Point, c: Point) -> f64 {
    let side = |to: Point| [0, 1, 2].map(|axis| to[axis] - a[axis]);
    let (u, v) = (side(b), side(c));
    let normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    normal.iter().map(|n| n * n).sum::<f64>().sqrt() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_of_simple_cubes_are_those_of_a_pencil() {
        let spacing = [2.0, 3.0, 5.0];
        let areas = areas(spacing);
        assert_eq!((areas[0], areas[255]), (0.0, 0.0));
        // Four corners of one side inside: a whole face between them and the others.
        for (code, face) in [(0b0000_1111_u8, 15.0), (0b0011_0011, 10.0), (0b0101_0101, 6.0)] {
            for code in [code, !code] {
                assert!((areas[usize::from(code)] - face).abs() < 1e-12, "{code:08b}");
            }
        }
        // One corner: a triangle through the middles of its three edges.
        let half = spacing.map(|length| length / 2.0);
        let expected = triangle([half[0], 0.0, 0.0], [0.0, half[1], 0.0], [0.0, 0.0, half[2]]);
        for corner in 0..8 {
            assert!((areas[1 << corner] - expected).abs() < 1e-12);
            assert!((areas[255 - (1 << corner)] - expected).abs() < 1e-12);
        }
        // Two across from each other on a face are cut off one by one, inside or outside.
        assert!((areas[0b0000_0110] - 2.0 * expected).abs() < 1e-12);
        assert!((areas[0b1111_1001] - 2.0 * expected).abs() < 1e-12);
    }

    #[test]
    fn the_areas_are_those_of_the_library_s_table() {
        let golden = include_str!("../../../tests/golden/metrics/expected.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let golden = &golden["deepmind_areas"];
        let spacing: Point = serde_json::from_value(golden["spacing_mm"].clone()).unwrap();
        let areas = areas(spacing);
        for code in 0..=u8::MAX {
            // There the first corner is the highest bit.
            let expected = golden["areas"][usize::from(code.reverse_bits())].as_f64().unwrap();
            let found = areas[usize::from(code)];
            assert!((found - expected).abs() < 1e-9, "{code:08b}: {found} for {expected}");
        }
    }

    #[test]
    fn every_line_is_closed_and_crosses_each_edge_between_inside_and_outside_once() {
        for code in 0..=u8::MAX {
            let mut crossed: Vec<Edge> = lines(code).concat();
            crossed.sort_unstable();
            let edges = (0..8_u8).flat_map(|a| [1, 2, 4].map(|axis| (a, a | axis)));
            let mut expected: Vec<Edge> =
                edges.filter(|&(a, b)| a != b && code >> a & 1 != code >> b & 1).collect();
            expected.sort_unstable();
            assert_eq!(crossed, expected, "{code:08b}");
        }
    }

    #[test]
    fn a_square_has_its_outline_with_cut_corners() {
        let mut mask = Bits::none([1, 3, 4]);
        for index in [[0, 0, 1], [0, 0, 2], [0, 1, 1], [0, 1, 2]] {
            mask.set(index);
        }
        let pair = SurfelPair::of(&mask, &mask, [1.0, 3.0, 4.0], true).unwrap();
        // Two by two pixels: a side of each at each edge, and four corners of half a diagonal.
        assert!((area(&pair.from_reference) - (2.0 * 3.0 + 2.0 * 4.0 + 4.0 * 2.5)).abs() < 1e-12);
        assert_eq!((pair.percentile(1.0), pair.means(), pair.within(0.0)), (0.0, [0.0; 2], 1.0));
    }
}
