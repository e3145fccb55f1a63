//! Images whose labels and volumes are known, for tests, examples and first tries.

use std::f64::consts::PI;

use ndarray::Array3;

use crate::affine::{Affine, length};
use crate::geometry::{Geometry, GeometryError};
use crate::label::LabelVolume;
use crate::source::SourceHeader;
use crate::viewing::Viewing;
use crate::volume::{Rescale, Volume};
use crate::voxels::Voxels;

/// Brightness around the ellipsoid at the first voxel; it grows along x, y and z.
const OUTSIDE: f64 = 100.0;

/// How much brighter the ellipsoid is than what is around it.
const CONTRAST: f64 = 200.0;

/// A bright ellipsoid before a gradient, and its labels (1 inside).
///
/// `shape` is depth, height and width; `spacing_mm`, `center` (a voxel index, whole at voxel
/// centers) and `radii_mm` are along x, y and z. The grid runs along RAS, its first voxel is
/// the origin. The ellipsoid's volume is [`ellipsoid_ml`] of its radii.
///
/// # Errors
/// If the shape is empty, or the spacing zero or not finite.
pub fn ellipsoid(
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    center: [f64; 3],
    radii_mm: [f64; 3],
) -> Result<(Volume, LabelVolume), GeometryError> {
    let geometry = Geometry::new(shape, Affine::from_spacing_origin(spacing_mm, [0.0; 3]))?;
    Ok(ellipsoid_on(geometry, center, radii_mm))
}

/// The same on any grid: the radii are along the voxel axes, wherever these point. See
/// [`oblique`]. Where the spacing is unknown, radii are in pixels.
pub fn ellipsoid_on(
    geometry: Geometry,
    center: [f64; 3],
    radii_mm: [f64; 3],
) -> (Volume, LabelVolume) {
    let spacing = geometry.ras_from_index().step_lengths();
    let inside = |index: [usize; 3]| {
        let scaled = [0, 1, 2]
            .map(|axis| (index[axis] as f64 - center[axis]) * spacing[axis] / radii_mm[axis]);
        length(scaled) <= 1.0
    };
    let labels = Array3::from_shape_fn(geometry.shape(), |(k, j, i)| u8::from(inside([i, j, k])));
    let values = Array3::from_shape_fn(geometry.shape(), |(k, j, i)| {
        let contrast = if labels[[k, j, i]] == 1 { CONTRAST } else { 0.0 };
        (OUTSIDE + i as f64 + 2.0 * j as f64 + 3.0 * k as f64 + contrast) as f32
    });
    let volume = Volume {
        voxels: Voxels::F32(values),
        rescale: Rescale::IDENTITY,
        geometry: geometry.clone(),
        modality: None,
        viewing: Viewing::default(),
        source: SourceHeader::default(),
    };
    (volume, LabelVolume { labels, geometry, source: SourceHeader::default() })
}

/// Volume of an ellipsoid in milliliters.
pub fn ellipsoid_ml(radii_mm: [f64; 3]) -> f64 {
    4.0 / 3.0 * PI * radii_mm.iter().product::<f64>() / 1000.0
}

/// A transform along no axis of the world: turned by 20 degrees about z, then by 35 about x.
pub fn oblique(spacing_mm: [f64; 3], origin_mm: [f64; 3]) -> Affine {
    let (sin_z, cos_z) = 20.0_f64.to_radians().sin_cos();
    let (sin_x, cos_x) = 35.0_f64.to_radians().sin_cos();
    let about_z = Affine::from_columns(
        [[cos_z, sin_z, 0.0], [-sin_z, cos_z, 0.0], [0.0, 0.0, 1.0]],
        [0.0; 3],
    );
    let about_x = Affine::from_columns(
        [[1.0, 0.0, 0.0], [0.0, cos_x, sin_x], [0.0, -sin_x, cos_x]],
        origin_mm,
    );
    about_x.compose(&about_z).compose(&Affine::from_spacing_origin(spacing_mm, [0.0; 3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_have_the_volume_of_the_ellipsoid() {
        let radii_mm = [12.0, 9.0, 15.0];
        let (_, labels) =
            ellipsoid([40, 60, 70], [0.5, 0.6, 1.0], [35.0, 30.0, 20.0], radii_mm).unwrap();
        let found = labels.volumes_ml().unwrap()[&1];
        let expected = ellipsoid_ml(radii_mm);
        assert!((found - expected).abs() < 0.005 * expected, "{found} ml is not {expected} ml");
    }

    #[test]
    fn an_oblique_ellipsoid_has_the_same_volume() {
        let affine = oblique([0.5, 0.6, 1.0], [-30.0, 20.0, 10.0]);
        let geometry = Geometry::new([40, 60, 70], affine).unwrap();
        let (_, labels) = ellipsoid_on(geometry, [35.0, 30.0, 20.0], [12.0, 9.0, 15.0]);
        let (_, straight) =
            ellipsoid([40, 60, 70], [0.5, 0.6, 1.0], [35.0, 30.0, 20.0], [12.0, 9.0, 15.0])
                .unwrap();
        assert_eq!(labels.labels, straight.labels);
        assert!((labels.geometry.voxel_volume_ml().unwrap() - 0.0003).abs() < 1e-12);
    }

    #[test]
    fn the_inside_is_brighter() {
        let (volume, labels) =
            ellipsoid([5, 6, 7], [1.0, 2.0, 3.0], [3.0, 2.0, 2.0], [1.0, 2.0, 3.0]).unwrap();
        assert_eq!(labels.counts()[&1], 7);
        assert_eq!(volume.value([2, 2, 3]), 313.0);
        assert_eq!(volume.value([0, 0, 0]), 100.0);
    }
}
