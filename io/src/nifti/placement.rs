//! Where a NIfTI header places its voxels: sform over qform over pixdim.

use super::layout::{PIXDIM, QUATERN, Version};
use crate::affine::{Affine, dot};
use crate::geometry::Geometry;
use crate::image::Fault;

/// What a qform, in single precision, may miss the grid by, as a share of a voxel.
const ROUNDING: f64 = 1e-3;

/// The fields of a header that place its voxels, as stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placement {
    pub(crate) version: Version,
    /// Unit of length in the lowest three bits.
    pub(crate) xyzt_units: i64,
    pub(crate) sform_code: i64,
    pub(crate) qform_code: i64,
    /// The sign of the third axis, then the spacing along x, y and z.
    pub(crate) pixdim: [f64; 4],
    pub(crate) quatern: [f64; 3],
    pub(crate) qoffset: [f64; 3],
    pub(crate) srow: [[f64; 4]; 3],
}

/// `NIFTI_XFORM_ALIGNED_ANAT`: coordinates that are no scanner's.
const ALIGNED: i64 = 2;

impl Placement {
    /// From voxel index (i, j, k) to RAS millimeters, for `shape` voxels along x, y and z.
    pub(crate) fn ras_from_index(&self, shape: [u64; 3]) -> Result<Affine, Fault> {
        let stored = if self.sform_code > 0 {
            let [x, y, z] = self.srow;
            Affine::from_rows([x, y, z, [0.0, 0.0, 0.0, 1.0]])
        } else if self.qform_code > 0 {
            self.from_quaternion(shape)?
        } else {
            self.from_pixdim(shape)?
        };
        let mm = self.unit_mm();
        let scaled = [0, 1, 2, 3].map(|column| stored.step(column).map(|v| v * mm));
        let [x, y, z, origin] = scaled;
        Ok(Affine::from_columns([x, y, z], origin))
    }

    /// How long the header's unit of length is; undeclared units are millimeters.
    fn unit_mm(&self) -> f64 {
        match self.xyzt_units & 7 {
            1 => 1000.0,
            3 => 0.001,
            _ => 1.0,
        }
    }

    /// The spacing, which must be known along every axis with more than one voxel.
    fn spacing(&self, shape: [u64; 3]) -> Result<[f64; 3], Fault> {
        let mut spacing = [1.0; 3];
        for axis in 0..3 {
            let found = self.pixdim[axis + 1];
            if found.is_finite() && found != 0.0 {
                spacing[axis] = found.abs();
            } else if shape[axis] > 1 {
                return Err(Fault::entry(PIXDIM, axis + 1, "a positive distance", found));
            }
        }
        Ok(spacing)
    }

    /// Method 2 of `nifti1.h`.
    #[expect(clippy::wrong_self_convention, reason = "a transform from the quaternion")]
    fn from_quaternion(&self, shape: [u64; 3]) -> Result<Affine, Fault> {
        let square = dot(self.quatern, self.quatern);
        if square.is_nan() || square > 1.001 {
            return Err(Fault::new(
                QUATERN.name,
                "at most a unit quaternion",
                format!("{:?}", self.quatern),
            ));
        }
        // Half turns: what rounding left of `a` is not part of the rotation (as nibabel).
        let noise = match self.version {
            Version::One => 3.0 * f64::from(f32::EPSILON),
            Version::Two => 3.0 * f64::EPSILON,
        };
        let a = if 1.0 - square < noise { 0.0 } else { (1.0 - square).sqrt() };
        let norm = (a * a + square).sqrt();
        let [b, c, d] = self.quatern.map(|v| v / norm);
        let [x, y, z] = self.spacing(shape)?;
        let z = if self.pixdim[0] < 0.0 { -z } else { z };
        let steps = [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c + a * d), 2.0 * (b * d - a * c)]
                .map(|v| v * x),
            [2.0 * (b * c - a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d + a * b)]
                .map(|v| v * y),
            [2.0 * (b * d + a * c), 2.0 * (c * d - a * b), a * a + d * d - c * c - b * b]
                .map(|v| v * z),
        ];
        Ok(Affine::from_columns(steps, self.qoffset))
    }

    /// Without a transform: x runs to the left and the middle of the grid is the origin,
    /// as nibabel has it.
    #[expect(clippy::wrong_self_convention, reason = "a transform from the pixdim field")]
    fn from_pixdim(&self, shape: [u64; 3]) -> Result<Affine, Fault> {
        let [x, y, z] = self.spacing(shape)?;
        let spacing = [-x, y, z];
        let origin = [0, 1, 2].map(|axis| -spacing[axis] * (shape[axis] as f64 - 1.0) / 2.0);
        Ok(Affine::from_spacing_origin(spacing, origin))
    }

    /// What to write for `geometry`: the source's own fields where they still place it
    /// there, so that every reader treats both files alike; else fields made anew, with
    /// the source's codes, unit and version.
    pub(crate) fn for_geometry(geometry: &Geometry, source: Option<&Self>) -> Self {
        let [depth, height, width] = geometry.shape().map(|n| n as u64);
        if let Some(source) = source {
            let placed = source.ras_from_index([width, height, depth]);
            if placed.is_ok_and(|placed| close(&placed, geometry.ras_from_index())) {
                return source.clone().cleaned(geometry);
            }
        }
        Self::made_anew(geometry, source)
    }

    fn made_anew(geometry: &Geometry, source: Option<&Self>) -> Self {
        let known = geometry.spacing_mm().is_some();
        let affine = geometry.ras_from_index();
        let mut placement = Self {
            version: source.map_or(Version::One, |source| source.version),
            xyzt_units: source.map_or(if known { 2 } else { 0 }, |source| source.xyzt_units),
            sform_code: ALIGNED,
            qform_code: ALIGNED,
            pixdim: [1.0; 4],
            quatern: [0.0; 3],
            qoffset: [0.0; 3],
            srow: [[0.0; 4]; 3],
        };
        if let Some(source) = source
            && (source.sform_code > 0 || source.qform_code > 0)
        {
            placement.qform_code = source.qform_code;
            placement.sform_code =
                if source.sform_code > 0 { source.sform_code } else { source.qform_code };
        }
        let units = 1.0 / placement.unit_mm();
        let [x, y, z, _] = affine.rows();
        placement.srow = [x, y, z].map(|row| row.map(|v| v * units));
        placement.qoffset = affine.origin().map(|v| v * units);
        let [x, y, z] = affine.step_lengths().map(|v| v * units);
        let (sign, quatern) = quaternion(affine);
        placement.pixdim = [sign, x, y, z];
        placement.quatern = quatern;
        if !placement.qform_fits(geometry) {
            placement.qform_code = 0;
            placement.pixdim[0] = 1.0;
            placement.quatern = [0.0; 3];
        }
        placement
    }

    /// Whether the quaternion, in version 1's precision, places the voxels of `geometry`:
    /// not if they are sheared, nor near a half turn, where `a` is lost in rounding.
    fn qform_fits(&self, geometry: &Geometry) -> bool {
        let [depth, height, width] = geometry.shape().map(|n| n as u64);
        let rounded = |v: f64| f64::from(v as f32);
        let only_qform = Self {
            version: Version::One,
            sform_code: 0,
            qform_code: ALIGNED,
            pixdim: self.pixdim.map(rounded),
            quatern: self.quatern.map(rounded),
            qoffset: self.qoffset.map(rounded),
            ..self.clone()
        };
        let placed = only_qform.ras_from_index([width, height, depth]).ok();
        let placed = placed.and_then(|affine| Geometry::new(geometry.shape(), affine).ok());
        // A grid of pixels has the identity for a transform, and no other needs comparing.
        placed.is_some_and(|placed| {
            geometry.spacing_mm().is_none() || geometry.same_grid_within(&placed, ROUNDING).is_ok()
        })
    }

    /// The same fields without the nonsense that unused ones may hold.
    fn cleaned(mut self, geometry: &Geometry) -> Self {
        let unit_mm = self.unit_mm();
        let lengths = geometry.ras_from_index().step_lengths();
        for (pixdim, length) in self.pixdim[1..].iter_mut().zip(lengths) {
            // Distances have no sign, whatever some writers think.
            *pixdim = pixdim.abs();
            if !pixdim.is_finite() || *pixdim == 0.0 {
                *pixdim = length / unit_mm;
            }
        }
        if !self.pixdim[0].is_finite() {
            self.pixdim[0] = 1.0;
        }
        let unused =
            self.quatern.iter_mut().chain(&mut self.qoffset).chain(self.srow.as_flattened_mut());
        unused.filter(|v| !v.is_finite()).for_each(|v| *v = 0.0);
        self
    }
}

fn close(a: &Affine, b: &Affine) -> bool {
    let (a, b) = (a.rows(), b.rows());
    let mut pairs = a.as_flattened().iter().zip(b.as_flattened());
    pairs.all(|(a, b)| (a - b).abs() <= 1e-9 * a.abs().max(1.0))
}

/// The sign of the third axis and the quaternion of the rotation nearest to a transform.
fn quaternion(affine: &Affine) -> (f64, [f64; 3]) {
    let mut steps = affine.nearest_rotation();
    let sign = if affine.determinant() < 0.0 { -1.0 } else { 1.0 };
    steps[2] = steps[2].map(|v| v * sign);

    // The largest of the four components first, to divide by it (Shepperd 1978).
    let r = |row: usize, column: usize| steps[column][row];
    let squares = [
        1.0 + r(0, 0) + r(1, 1) + r(2, 2),
        1.0 + r(0, 0) - r(1, 1) - r(2, 2),
        1.0 - r(0, 0) + r(1, 1) - r(2, 2),
        1.0 - r(0, 0) - r(1, 1) + r(2, 2),
    ];
    let largest = (0..4).fold(0, |best, at| if squares[at] > squares[best] { at } else { best });
    let half = squares[largest].sqrt(); // twice the largest component
    let (x, y, z) = (r(2, 1) - r(1, 2), r(0, 2) - r(2, 0), r(1, 0) - r(0, 1));
    let (xy, xz, yz) = (r(0, 1) + r(1, 0), r(0, 2) + r(2, 0), r(1, 2) + r(2, 1));
    let [a, b, c, d] = match largest {
        0 => [half * half, x, y, z],
        1 => [x, half * half, xy, xz],
        2 => [y, xy, half * half, yz],
        _ => [z, xz, yz, half * half],
    }
    .map(|v| v / (2.0 * half));
    let positive = if a < 0.0 { -1.0 } else { 1.0 };
    (sign, [b, c, d].map(|v| v * positive))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axes::AxisOrder;

    fn geometry(affine: Affine) -> Geometry {
        Geometry::new([4, 5, 6], affine).unwrap()
    }

    fn oblique() -> Affine {
        let (sin, cos) = 25.0_f64.to_radians().sin_cos();
        let steps = [[-2.0, 0.0, 0.0], [0.0, 3.0 * cos, 3.0 * sin], [0.0, -5.0 * sin, 5.0 * cos]];
        Affine::from_columns(steps, [7.0, 8.0, 9.0])
    }

    fn assert_close(a: &Affine, b: &Affine) {
        for (a, b) in a.rows().as_flattened().iter().zip(b.rows().as_flattened()) {
            assert!((a - b).abs() < 1e-7, "{a} is not {b}");
        }
    }

    #[test]
    fn qform_and_sform_agree_in_all_48_orders() {
        for order in AxisOrder::all() {
            let geometry = geometry(oblique()).reoriented(&order);
            let mut placement = Placement::for_geometry(&geometry, None);
            let [depth, height, width] = geometry.shape().map(|n| n as u64);
            assert_eq!((placement.sform_code, placement.qform_code), (2, 2));
            for sform_code in [2, 0] {
                placement.sform_code = sform_code;
                let placed = placement.ras_from_index([width, height, depth]).unwrap();
                assert_close(&placed, geometry.ras_from_index());
            }
        }
    }

    #[test]
    fn a_sheared_grid_has_no_qform() {
        let mut rows = oblique().rows();
        rows[0][1] += 0.01;
        let placement = Placement::for_geometry(&geometry(Affine::from_rows(rows)), None);
        assert_eq!((placement.sform_code, placement.qform_code), (2, 0));
        assert_eq!(placement.srow[0][1], rows[0][1]);
    }

    #[test]
    fn a_rotation_that_rounding_would_lose_is_left_to_the_sform() {
        let (sin, cos) = (180.0_f64 - 0.03).to_radians().sin_cos();
        let steps = [[2.0 * cos, 2.0 * sin, 0.0], [-3.0 * sin, 3.0 * cos, 0.0], [0.0, 0.0, 5.0]];
        let wide = Geometry::new([4, 500, 600], Affine::from_columns(steps, [7.0, 8.0, 9.0]));
        let placement = Placement::for_geometry(&wide.unwrap(), None);
        assert_eq!((placement.sform_code, placement.qform_code), (2, 0));
    }

    #[test]
    fn a_source_that_still_fits_is_repeated_as_it_is() {
        let mut source = Placement::for_geometry(&geometry(oblique()), None);
        source.sform_code = 0;
        source.qform_code = 0;
        let centered = geometry(source.ras_from_index([6, 5, 4]).unwrap());
        assert_eq!(centered.orientation(), "LAS");
        assert_eq!(Placement::for_geometry(&centered, Some(&source)), source);
    }

    #[test]
    fn a_moved_grid_keeps_codes_unit_and_version() {
        let mut source = Placement::for_geometry(&geometry(oblique()), None);
        source.version = Version::Two;
        source.xyzt_units = 1; // meters
        source.qform_code = 1;
        source.sform_code = 4;
        let moved = geometry(Affine::from_spacing_origin([2.0, 3.0, 5.0], [10.0, 20.0, 30.0]));
        let placement = Placement::for_geometry(&moved, Some(&source));
        assert_eq!(placement.version, Version::Two);
        assert_eq!((placement.qform_code, placement.sform_code), (1, 4));
        assert_close(&placement.ras_from_index([6, 5, 4]).unwrap(), moved.ras_from_index());
        assert!((placement.pixdim[3] - 0.005).abs() < 1e-12);
    }

    #[test]
    fn units_are_turned_into_millimeters() {
        let mut placement = Placement::for_geometry(&geometry(oblique()), None);
        let in_mm = placement.ras_from_index([6, 5, 4]).unwrap();
        for (units, factor) in [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001), (10, 1.0)] {
            placement.xyzt_units = units;
            let affine = placement.ras_from_index([6, 5, 4]).unwrap();
            assert!((affine.rows()[2][3] - factor * in_mm.rows()[2][3]).abs() < 1e-9);
            assert!((affine.rows()[2][2] - factor * in_mm.rows()[2][2]).abs() < 1e-9);
        }
    }

    #[test]
    fn a_missing_spacing_is_refused_unless_there_is_one_slice() {
        let mut placement = Placement::for_geometry(&geometry(oblique()), None);
        placement.sform_code = 0;
        for missing in [0.0, f64::NAN, f64::INFINITY] {
            placement.pixdim[3] = missing;
            assert!(placement.ras_from_index([6, 5, 4]).is_err());
            assert_eq!(placement.ras_from_index([6, 5, 1]).unwrap().step_lengths()[2].round(), 1.0);
        }
    }

    #[test]
    fn a_quaternion_longer_than_one_is_refused() {
        let mut placement = Placement::for_geometry(&geometry(oblique()), None);
        placement.sform_code = 0;
        placement.quatern = [1.0, 1.0, 0.0];
        assert!(placement.ras_from_index([6, 5, 4]).is_err());
        placement.quatern = [f64::NAN, 0.0, 0.0];
        assert!(placement.ras_from_index([6, 5, 4]).is_err());
    }
}
