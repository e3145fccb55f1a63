//! Writing that is checked: what was written is read back by other code, put into patient space,
//! and compared voxel by voxel, before it gets its name.
//!
//! Masks that come out mirrored or shifted look right to the program that wrote them. So the
//! reader that checks them (`reread/`) shares nothing with the writers, and what is compared is
//! where each voxel lies in the patient, not what the header says.

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::affine::Affine;
use crate::atomic::write_together;
use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::label::LabelVolume;
use crate::picture::{Painting, color_of};
use crate::reread::{self, Reason, Reread};
use crate::volume::Volume;
use crate::voxels::with_voxels;
use crate::write::{write_labels_in, write_volume};

/// What came of reading a file back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// How many voxels were compared: all of them.
    pub voxels: u64,
    /// Whether the file says where they lie; pictures do not, and were compared by index.
    pub placed: bool,
    /// How far the file places a voxel from where it belongs, at most and along any axis, in voxels.
    pub max_offset_voxels: f64,
}

/// Formats round where voxels are, NIfTI to single precision. A shift that matters is half a voxel.
pub(crate) const MOST_OFFSET: f64 = 0.05;

/// What single precision may change about a rescaled value.
const ROUNDING: f64 = 1e-6;

/// [`write_labels`](crate::write_labels), checked: the file gets its name only if each voxel of it, read back by
/// other code, has the label that `labels` has at that place of the patient.
///
/// # Errors
/// As [`write_labels`](crate::write_labels), and [`VolumeError::NotVerified`]. Nothing is left then, and what stood
/// under the name before is untouched.
///
/// ```
/// use lamina_io::{export_labels, synthetic};
///
/// let folder = tempfile::tempdir()?;
/// let (_, labels) = synthetic::ellipsoid([8, 10, 12], [0.5, 0.5, 3.0], [5.5, 4.5, 3.5], [2.0, 1.5, 6.0])?;
/// let verified = export_labels(&folder.path().join("case.nii.gz"), &labels)?;
/// assert_eq!(verified.voxels, 8 * 10 * 12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export_labels(path: &Path, labels: &LabelVolume) -> Result<Verified, VolumeError> {
    export_labels_in(path, labels, &[])
}

/// [`export_labels`] with a color for each label, in formats that have a palette.
///
/// # Errors
/// As [`export_labels`].
pub fn export_labels_in(
    path: &Path,
    labels: &LabelVolume,
    colors: &[[u8; 3]],
) -> Result<Verified, VolumeError> {
    write_together(path, is_header, |staged| {
        write_labels_in(staged, labels, colors)?;
        let expected = |[i, j, k]: [usize; 3]| f64::from(labels.labels[[k, j, i]]);
        let same = |found: f64, expected: f64| found == expected;
        verify(staged, &labels.geometry, expected, same)
    })
}

/// Labels as a picture in their colors, checked as [`export_labels`] checks: a PNG of one slice or
/// a TIFF of all.
///
/// # Errors
/// As [`export_labels`], and if two labels that occur have one color.
pub fn export_colored(
    path: &Path,
    labels: &LabelVolume,
    colors: &[[u8; 3]],
) -> Result<Verified, VolumeError> {
    let mut seen = std::collections::BTreeMap::new();
    for label in labels.counts().into_keys() {
        if let Some(other) = seen.insert(color_of(colors, label), label) {
            let found = format!("labels {other} and {label} of one color");
            return Err(VolumeError::NoPicture { path: path.to_owned(), found });
        }
    }
    write_together(path, is_header, |staged| {
        Painting::of_labels(labels, colors).write(staged)?;
        let expected = |[i, j, k]: [usize; 3]| {
            let [r, g, b] = color_of(colors, labels.labels[[k, j, i]]);
            f64::from(u32::from_le_bytes([r, g, b, 0]))
        };
        let same = |found: f64, expected: f64| found == expected;
        verify(staged, &labels.geometry, expected, same)
    })
}

/// [`write_volume`], checked as [`export_labels`] checks.
///
/// # Errors
/// As [`write_volume`], and [`VolumeError::NotVerified`]. Nothing is left then, and what stood
/// under the name before is untouched.
pub fn export_volume(path: &Path, volume: &Volume) -> Result<Verified, VolumeError> {
    let rescale = volume.rescale;
    let same = |found: f64, expected: f64| {
        // Slope and intercept, or the values made of them, may be kept in single precision.
        let rounding = if rescale.is_identity() {
            0.0
        } else {
            ROUNDING * (expected.abs() + rescale.intercept.abs())
        };
        found == expected
            || (found.is_nan() && expected.is_nan())
            || (found - expected).abs() <= rounding
    };
    write_together(path, is_header, |staged| {
        write_volume(staged, volume)?;
        with_voxels!(&volume.voxels, array => {
            let expected = |[i, j, k]: [usize; 3]| {
                rescale.apply(crate::voxels::Scalar::to_f64(array[[k, j, i]]))
            };
            verify(staged, &volume.geometry, expected, same)
        })
    })
}

/// Whether a file says where the voxels of another one are.
fn is_header(path: &Path) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    [".hdr", ".hdr.gz", ".mhd", ".nhdr"].iter().any(|ending| name.ends_with(ending))
}

fn verify(
    path: &Path,
    geometry: &Geometry,
    expected: impl Fn([usize; 3]) -> f64,
    same: impl Fn(f64, f64) -> bool,
) -> Result<Verified, VolumeError> {
    let found = |found| VolumeError::NotVerified { path: path.to_owned(), found };
    let file = reread::open(path).map_err(found)?;
    compare(file, geometry, expected, same).map_err(found)
}

fn compare(
    mut file: Reread,
    geometry: &Geometry,
    expected: impl Fn([usize; 3]) -> f64,
    same: impl Fn(f64, f64) -> bool,
) -> Result<Verified, Reason> {
    let [depth, height, width] = geometry.shape();
    let [x, y, z] = file.size;
    let voxels = (x as u64).saturating_mul(y as u64).saturating_mul(z as u64);
    if voxels != (depth * height * width) as u64 {
        return Err(format!("{x} × {y} × {z} voxels in place of {width} × {height} × {depth}"));
    }
    let to_ours = ours_from_file(&file, geometry)?;
    let bytes = file.number.bytes();
    let mut row = vec![0; x * bytes];
    let [slope, intercept] = file.scale;
    let mut max_offset_voxels = 0.0_f64;
    for k in 0..z {
        for j in 0..y {
            file.voxels
                .read_exact(&mut row)
                .map_err(|error| format!("too few voxels ({error})"))?;
            for (i, stored) in row.chunks_exact(bytes).enumerate() {
                let there = to_ours.apply([i as f64, j as f64, k as f64]);
                let nearest = there.map(f64::round);
                let offsets = [0, 1, 2].map(|axis| (there[axis] - nearest[axis]).abs());
                let offset = offsets.into_iter().fold(0.0, f64::max);
                max_offset_voxels = max_offset_voxels.max(offset);
                let inside = [width, height, depth]
                    .iter()
                    .zip(nearest)
                    .all(|(&n, at)| at >= 0.0 && at < n as f64);
                if !inside || offset > MOST_OFFSET {
                    return Err(format!("voxel {:?} at {there:.2?} of the grid", [i, j, k]));
                }
                let (found, expected) = (
                    slope * file.number.value(stored) + intercept,
                    expected(nearest.map(|at| at as usize)),
                );
                if !same(found, expected) {
                    return Err(format!("{found} in place of {expected} at voxel {:?}", [i, j, k]));
                }
            }
        }
    }
    if file.voxels.read(&mut [0]).map_err(|error| format!("damage at its end ({error})"))? > 0 {
        return Err("more voxels than there should be".to_owned());
    }
    let placed = file.placement.is_some() && geometry.spacing_mm().is_some();
    Ok(Verified { voxels, placed, max_offset_voxels: (max_offset_voxels * 1e6).round() / 1e6 })
}

/// From the file's voxel index over the place in the patient to ours.
fn ours_from_file(file: &Reread, geometry: &Geometry) -> Result<Affine, Reason> {
    let placed = match (file.placement, geometry.spacing_mm()) {
        (Some([x, y, z]), _) => Affine::from_rows([x, y, z, [0.0, 0.0, 0.0, 1.0]]),
        (None, None) => Affine::identity(),
        (None, Some(_)) if file.picture => *geometry.ras_from_index(),
        (None, Some(_)) => return Err("no place for its voxels".to_owned()),
    };
    let to_ours = geometry.index_from_ras().compose(&placed);
    // Each of our voxels is met once only if none falls on another.
    let volume = to_ours.determinant().abs();
    if (volume - 1.0).abs() > MOST_OFFSET {
        return Err(format!("voxels that are {volume:.3} times as large"));
    }
    Ok(to_ours)
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::axes::AxisOrder;
    use crate::synthetic::oblique;
    use crate::volume::Rescale;
    use crate::voxels::Voxels;
    use crate::write::write_labels;

    const NAMES: [&str; 10] = [
        "a.nii", "a.nii.gz", "a.hdr", "a.img", "A.HDR.GZ", "a.mha", "a.mhd", "a.nrrd", "a.nhdr",
        "b.MHD",
    ];

    fn labels() -> LabelVolume {
        let labels = Array3::from_shape_fn([2, 3, 4], |(k, j, i)| (100 * k + 10 * j + i) as u8);
        let affine = oblique([0.7, 1.1, 3.3], [-11.1, 12.2, 13.3]);
        LabelVolume::new(labels, Geometry::new([2, 3, 4], affine).unwrap()).unwrap()
    }

    /// Writes `written` in `name` and compares it with each of `meant`.
    fn outcomes(
        name: &str,
        written: &LabelVolume,
        meant: &[&LabelVolume],
    ) -> Vec<Result<Verified, String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        write_labels(&path, written).unwrap();
        let outcome = |meant: &&LabelVolume| {
            let expected = |[i, j, k]: [usize; 3]| f64::from(meant.labels[[k, j, i]]);
            verify(&path, &meant.geometry, expected, |a, b| a == b)
                .map_err(|error| error.to_string())
        };
        meant.iter().map(outcome).collect()
    }

    fn refusal(name: &str, written: &LabelVolume, meant: &LabelVolume) -> String {
        outcomes(name, written, &[meant]).remove(0).unwrap_err()
    }

    #[test]
    fn every_format_passes_in_all_48_orders() {
        let labels = labels();
        for name in NAMES {
            for order in AxisOrder::all() {
                let turned = labels.reoriented(&order);
                // Another order of the axes is the same label map, read by where its voxels lie.
                for outcome in outcomes(name, &turned, &[&turned, &labels]) {
                    let verified = outcome.unwrap();
                    assert_eq!(verified.voxels, 24);
                    assert!(verified.max_offset_voxels < 1e-4, "{name}: {verified:?}");
                }
            }
        }
    }

    #[test]
    fn a_mirrored_mask_a_shifted_one_and_a_wrong_voxel_are_found() {
        for name in NAMES {
            let meant = labels();
            let mut mirrored = meant.clone();
            mirrored.labels.invert_axis(ndarray::Axis(2));
            mirrored.labels = mirrored.labels.as_standard_layout().into_owned();
            let message = refusal(name, &mirrored, &meant);
            assert!(message.contains("found 3 in place of 0 at voxel [0, 0, 0]"), "{message}");

            let shift = Affine::from_spacing_origin([1.0; 3], [0.35, 0.0, 0.0]);
            let place = shift.compose(meant.geometry.ras_from_index());
            let shifted =
                LabelVolume { geometry: Geometry::new([2, 3, 4], place).unwrap(), ..meant.clone() };
            let message = refusal(name, &shifted, &meant);
            assert!(message.contains("found voxel [0, 0, 0] at "), "{message}");

            let mut wrong = meant.clone();
            wrong.labels[[1, 2, 3]] = 9;
            let message = refusal(name, &wrong, &meant);
            assert!(message.contains("found 9 in place of 123 at voxel [3, 2, 1]"), "{message}");
        }
    }

    #[test]
    fn a_mismatch_leaves_no_file_and_the_old_one_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mhd");
        std::fs::write(&path, "old").unwrap();
        let result = write_together(&path, is_header, |staged| {
            write_labels(staged, &labels())?;
            verify(staged, &labels().geometry, |_| 7.0, |a, b| a == b)
        });
        let message = result.unwrap_err().to_string();
        assert!(message.ends_with(&format!("it was not kept: {}", path.display())), "{message}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn volumes_of_every_type_rescaled_or_not_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = Array3::from_shape_fn([2, 3, 4], |(k, j, i)| (1000 * k + 100 * j + i) as f64);
        let mut real = numbers.mapv(|v| v as f32 / 3.0 - 40.0);
        real[[0, 0, 1]] = f32::NAN;
        real[[0, 1, 1]] = f32::NEG_INFINITY;
        let types = [
            Voxels::I8(numbers.mapv(|v| v as i8)),
            Voxels::U8(numbers.mapv(|v| v as u8)),
            Voxels::I16(numbers.mapv(|v| -v as i16)),
            Voxels::U16(numbers.mapv(|v| v as u16 + 60000)),
            Voxels::I32(numbers.mapv(|v| -v as i32 * 1_000_000)),
            Voxels::U32(numbers.mapv(|v| v as u32 * 4_000_000)),
            Voxels::I64(numbers.mapv(|v| -v as i64 * 1_000_000_000)),
            Voxels::U64(numbers.mapv(|v| v as u64 * 1_000_000_000)),
            Voxels::F32(real),
            Voxels::F64(numbers.mapv(|v| v / 7.0)),
        ];
        let names = NAMES.into_iter().chain(["a.tif"]);
        for rescale in [Rescale::IDENTITY, Rescale { slope: 0.1, intercept: -1024.3 }] {
            for voxels in &types {
                let volume =
                    Volume::new(voxels.clone(), rescale, labels().geometry.clone()).unwrap();
                for name in names.clone() {
                    export_volume(&folder.path().join(name), &volume).unwrap();
                }
            }
        }
    }

    #[test]
    fn pictures_without_a_spacing_are_compared_by_index() {
        let folder = tempfile::tempdir().unwrap();
        let flat = LabelVolume::new(
            Array3::from_shape_fn([1, 3, 4], |(_, j, i)| (10 * j + i) as u8),
            Geometry::pixels([1, 3, 4]),
        )
        .unwrap();
        for name in NAMES.into_iter().chain(["a.png", "a.TIF"]) {
            export_labels(&folder.path().join(name), &flat).unwrap();
        }
    }

    #[test]
    fn pictures_are_checked_by_index_and_say_that_they_have_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tiff");
        let verified = export_labels(&path, &labels()).unwrap();
        assert_eq!((verified.voxels, verified.placed), (24, false));
        let mut wrong = labels();
        wrong.labels[[1, 2, 3]] = 9;
        let message = refusal("a.tiff", &wrong, &labels());
        assert!(message.contains("found 9 in place of 123 at voxel [3, 2, 1]"), "{message}");
        let message = export_labels(&folder.path().join("a.png"), &labels()).unwrap_err();
        assert!(message.to_string().contains("found 2 slices"), "{message}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn photographs_of_every_filter_are_read_back() {
        // Steep, flat, striped and noisy rows, so that the encoder's filters all occur.
        let folder = tempfile::tempdir().unwrap();
        let value = |(_, j, i): (usize, usize, usize)| match j % 4 {
            0 => 900 * i,
            1 => 700 * j + 31 * i,
            2 => i * i * j,
            _ => (i * 7919 + j * 104_729) % 65_536,
        };
        let deep = Array3::from_shape_fn([1, 64, 60], |at| value(at) as u16);
        let flat = deep.mapv(|v| (v >> 8) as u8);
        for voxels in [Voxels::U16(deep), Voxels::U8(flat)] {
            let volume =
                Volume::new(voxels, Rescale::IDENTITY, Geometry::pixels([1, 64, 60])).unwrap();
            export_volume(&folder.path().join("a.png"), &volume).unwrap();
        }
    }
}
