//! DICOM segmentations, checked as other exports are: what was written is read back by other code,
//! put into the patient, and compared with the labels voxel by voxel, before it gets its name.

use std::path::Path;

use ndarray::{Array3, ArrayView3};

use crate::atomic::{write_atomically, write_together};
use crate::axes::AxisOrder;
use crate::dicom::{DicomScan, Label, Segmentation, order_onto, write_segmentation};
use crate::error::VolumeError;
use crate::export::{MOST_OFFSET, Verified};
use crate::geometry::Geometry;
use crate::label::LabelVolume;
use crate::read::{ReadOptions, read_labels_on};
use crate::reread::{self, Reason};

/// Writes labels as a DICOM segmentation of the series `scan`, on its slices, and checks it.
///
/// The labels may lie on the grid of the series in any order of its axes. What the series says
/// of its patient and study is copied, since a segmentation belongs to that study: of all that is
/// written this is the one file that tells whom it shows. Where labels are not numbered from 1
/// on, segments are, see [`Segmentation::numbered`].
///
/// The same labels, series and description give the same bytes, UIDs included, so that a file that
/// is made twice is one object to an archive; anything else gives other UIDs.
///
/// # Errors
/// [`VolumeError::OtherGrid`] where the labels lie on another grid, [`VolumeError::Segments`] where
/// they have no segment or these cannot be described, and as [`export_labels`](crate::export_labels).
///
/// ```no_run
/// use lamina_io::{DicomScan, ReadOptions, Segment, Segmentation, export_segmentation, read_labels};
///
/// let options = ReadOptions::default();
/// let scan = DicomScan::open("series".as_ref(), &options)?;
/// let mask = read_labels("mask.nii.gz".as_ref(), &options)?;
/// let segmentation = Segmentation {
///     segments: vec![Segment { name: "Prostate".to_owned(), ..Segment::unnamed(1) }],
///     ..Segmentation::default()
/// };
/// let verified =
///     export_segmentation("mask.dcm".as_ref(), mask.labels.view(), &mask.geometry, &scan, &segmentation)?;
/// assert_eq!(verified.voxels as usize, mask.labels.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export_segmentation<L: Label>(
    path: &Path,
    labels: ArrayView3<L>,
    geometry: &Geometry,
    scan: &DicomScan,
    segmentation: &Segmentation,
) -> Result<Verified, VolumeError> {
    let order = order_onto(scan, geometry)?;
    write_together(
        path,
        |_| false,
        |staged| {
            let on_slices;
            let view = if order == AxisOrder::identity() {
                labels.view()
            } else {
                on_slices = order.turn(&labels.to_owned());
                on_slices.view()
            };
            let mut outcome = Ok(());
            write_atomically(staged, |out| {
                match write_segmentation(out, view, scan, segmentation) {
                    Ok(written) => written,
                    Err(error) => {
                        outcome = Err(error);
                        Ok(())
                    }
                }
            })?;
            outcome?;
            verify(staged, &labels, geometry, scan, segmentation)
        },
    )
}

/// Reads a segmentation of `scan` back on its whole grid, where slices without a frame are
/// background.
///
/// # Errors
/// As [`read_labels`](crate::read_labels), and [`VolumeError::OtherGrid`] where it is of another
/// series, or of one whose slices are no even stack.
pub fn read_segmentation(path: &Path, scan: &DicomScan) -> Result<LabelVolume, VolumeError> {
    let labels = read_labels_on(path, &ReadOptions::default(), scan.geometry())?;
    if labels.geometry != *scan.geometry() {
        order_onto(scan, &labels.geometry)?;
    }
    Ok(labels)
}

/// Compares a file with what it was made of.
fn verify<L: Label>(
    path: &Path,
    labels: &ArrayView3<L>,
    geometry: &Geometry,
    scan: &DicomScan,
    segmentation: &Segmentation,
) -> Result<Verified, VolumeError> {
    compare(path, labels, geometry, scan, segmentation)
        .map_err(|found| VolumeError::NotVerified { path: path.to_owned(), found })
}

fn compare<L: Label>(
    path: &Path,
    labels: &ArrayView3<L>,
    geometry: &Geometry,
    scan: &DicomScan,
    segmentation: &Segmentation,
) -> Result<Verified, Reason> {
    let file = reread::dicom::open(path)?;
    let unpadded = |bytes: &Vec<u8>| {
        let end = bytes.iter().rposition(|byte| ![0, b' '].contains(byte)).map_or(0, |at| at + 1);
        bytes[..end].to_vec()
    };
    if file.identity.each_ref().map(unpadded) != scan.identity().each_ref().map(unpadded) {
        return Err("another patient, study or frame of reference".to_owned());
    }
    let numbered = segmentation.numbered();
    let mut label_of = vec![None; 1 << 16];
    for (number, segment) in &numbered {
        if !file.segments.iter().any(|(found, _)| found == number) {
            return Err(format!("no segment {number}"));
        }
        label_of[usize::from(*number)] = Some(segment.label);
    }
    let mut found: Array3<u16> = Array3::zeros(labels.raw_dim());
    let mut max_offset = 0.0_f64;
    let [columns, rows] = file.size;
    for (index, frame) in file.frames.iter().enumerate() {
        let placed = |column: usize, row: usize| {
            [0, 1, 2].map(|axis| {
                frame.origin[axis]
                    + column as f64 * frame.steps[0][axis]
                    + row as f64 * frame.steps[1][axis]
            })
        };
        let mut voxel = |column, row| {
            let there = on_labels(placed(column, row), geometry, scan);
            let nearest = there.map(f64::round);
            let offset = (0..3).map(|axis| (there[axis] - nearest[axis]).abs()).fold(0.0, f64::max);
            max_offset = max_offset.max(offset);
            let [depth, height, width] = geometry.shape();
            let mut sizes = [width, height, depth].into_iter().zip(nearest);
            if !sizes.all(|(n, at)| at >= 0.0 && at < n as f64) || offset > MOST_OFFSET {
                return Err(format!(
                    "pixel {:?} of frame {index} at {there:.2?} of the grid",
                    [column, row]
                ));
            }
            Ok(nearest.map(|at| at as usize))
        };
        for (column, row) in [(0, 0), (columns - 1, 0), (0, rows - 1), (columns - 1, rows - 1)] {
            voxel(column, row)?;
        }
        let (instance, number) = scan.reference(scan.slice_at(placed(0, 0)));
        if (frame.source.0.as_str(), frame.source.1) != (instance, number) {
            return Err(format!("frame {index} drawn on another slice than where it lies"));
        }
        file.inside(index, |column, row, number| {
            let [i, j, k] = voxel(column, row)?;
            let label = label_of[usize::from(number)].ok_or_else(|| {
                format!("segment {number} at voxel {:?}, which is none", [i, j, k])
            })?;
            let before = std::mem::replace(&mut found[[k, j, i]], label);
            if before != 0 {
                return Err(format!("labels {before} and {label} at voxel {:?}", [i, j, k]));
            }
            Ok(())
        })?;
    }
    for ((k, j, i), &expected) in labels.indexed_iter() {
        let (found, expected): (u16, u16) = (found[[k, j, i]], expected.into());
        if found != expected {
            return Err(format!("{found} in place of {expected} at voxel {:?}", [i, j, k]));
        }
    }
    Ok(Verified {
        voxels: labels.len() as u64,
        placed: true,
        max_offset_voxels: (max_offset * 1e6).round() / 1e6,
    })
}

/// Where in the label map a place of the patient is. Slices that are no even stack are known by
/// where the series has them.
fn on_labels(ras: [f64; 3], geometry: &Geometry, scan: &DicomScan) -> [f64; 3] {
    let index_from_ras = geometry.index_from_ras();
    match scan.on_uneven_slices(ras) {
        None => index_from_ras.apply(ras),
        Some(index) => index_from_ras.apply(scan.geometry().ras_from_index().apply(index)),
    }
}

#[cfg(test)]
#[path = "../tests/common/dicom.rs"]
mod made;

#[cfg(test)]
mod tests {
    use super::made::{AXIAL, slice};
    use super::*;
    use crate::dicom::{Segment, SegmentationKind};

    struct Exported {
        folder: tempfile::TempDir,
        scan: DicomScan,
        labels: Array3<u8>,
        segmentation: Segmentation,
    }

    impl Exported {
        fn new(kind: SegmentationKind) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for k in 0..3_u8 {
                let position = [-10.5, -20.25, 30.0 + 2.5 * f64::from(k)];
                let dicom = slice(position, AXIAL, [4, 6], &[7; 24])
                    .text(0x0008_0018, "UI", &format!("1.2.3.4.{}", k + 1))
                    .text(0x0020_000d, "UI", "1.2.3")
                    .text(0x0020_0052, "UI", "1.2.3.99");
                std::fs::write(folder.path().join(format!("{k}.dcm")), dicom.plain()).unwrap();
            }
            let scan = DicomScan::open(folder.path(), &ReadOptions::default()).unwrap();
            let labels = Array3::from_shape_fn([3, 4, 6], |(k, j, i)| match (k, j, i) {
                (_, 1, 1..=2) => 1,
                (1.., 2, 4) => 2,
                _ => 0,
            });
            let segments = vec![Segment::unnamed(1), Segment::unnamed(2)];
            let segmentation = Segmentation { kind, segments, ..Segmentation::default() };
            Self { folder, scan, labels, segmentation }
        }

        fn written(&self) -> Vec<u8> {
            let path = self.folder.path().join("seg.out");
            let (labels, geometry) = (self.labels.view(), self.scan.geometry());
            export_segmentation(&path, labels, geometry, &self.scan, &self.segmentation).unwrap();
            std::fs::read(path).unwrap()
        }

        fn verify(&self, bytes: &[u8]) -> Result<Verified, String> {
            let path = self.folder.path().join("damaged.out");
            std::fs::write(&path, bytes).unwrap();
            let (labels, geometry) = (self.labels.view(), self.scan.geometry());
            verify(&path, &labels, geometry, &self.scan, &self.segmentation)
                .map_err(|error| error.to_string())
        }

        /// What is found when `from` is `to` the `nth` time that it is there.
        fn refusal(&self, nth: usize, from: &[u8], to: &[u8]) -> String {
            let mut bytes = self.written();
            let places = bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from);
            let at = places.map(|(at, _)| at).nth(nth).expect("it is there");
            bytes[at..at + from.len()].copy_from_slice(to);
            self.verify(&bytes).unwrap_err()
        }
    }

    #[test]
    fn every_damage_is_found() {
        let bits = Exported::new(SegmentationKind::Binary);
        assert_eq!(bits.verify(&bits.written()).unwrap().voxels, 72);
        for (nth, from, to, expected) in [
            // Moved by a pixel, by a slice, mirrored, turned, stretched.
            (0, &b"-10.5\\-20.25\\30 "[..], &b"-9.75\\-20.25\\30 "[..], "of the grid"),
            (0, b"-10.5\\-20.25\\30 ", b"-10.5\\-20.25\\35 ", "drawn on another slice"),
            (0, b"1\\0\\0\\0\\1\\0 ", b"-1\\0\\0\\0\\1\\0", "of the grid"),
            (0, b"1\\0\\0\\0\\1\\0 ", b"0\\1\\0\\1\\0\\0 ", "of the grid"),
            (0, b"0.5\\0.75", b"0.75\\0.5", "of the grid"),
            // Of another patient, study, or slice.
            (0, b"MARKER^PATIENT", b"MARKER^ANOTHER", "another patient"),
            (1, b"MARKER^PATIENT", b"MARKER^ANOTHER", "another patient"),
            (
                0,
                b"\x20\x00\x0d\x00UI\x06\x001.2.3\0",
                b"\x20\x00\x0d\x00UI\x06\x001.2.4\0",
                "another patient",
            ),
            (1, b"1.2.3.4.2\0", b"1.2.3.4.3\0", "drawn on another slice"),
            // Of another segment, or one that is none.
            (
                0,
                b"\x0b\x00US\x02\x00\x01\x00",
                b"\x0b\x00US\x02\x00\x02\x00",
                "2 in place of 1 at voxel [1, 1, 0]",
            ),
            (0, b"\x0b\x00US\x02\x00\x01\x00", b"\x0b\x00US\x02\x00\x09\x00", "segment 9 at voxel"),
            (0, b"\x04\x00US\x02\x00\x02\x00", b"\x04\x00US\x02\x00\x03\x00", "no segment 2"),
            // Of another shape.
            (0, b"\x10\x00US\x02\x00\x04\x00", b"\x10\x00US\x02\x00\x05\x00", "bytes of pixels"),
            (0, b"IS\x02\x005 ", b"IS\x02\x004 ", "4 frames and places for 5"),
        ] {
            let message = bits.refusal(nth, from, to);
            assert!(message.contains(expected), "{}: {message}", String::from_utf8_lossy(from));
            assert!(!message.contains("MARKER"), "{message}");
        }
    }

    #[test]
    fn every_wrong_pixel_is_found_and_every_cut() {
        for kind in [SegmentationKind::Binary, SegmentationKind::Labelmap] {
            let exported = Exported::new(kind);
            let bytes = exported.written();
            let pixels = if kind == SegmentationKind::Binary { 15 } else { 72 };
            // 5 frames of 24 bits, and a byte to make it even.
            let start = bytes.len() - usize::next_multiple_of(pixels, 2);
            for at in start..start + pixels {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                let message = exported.verify(&damaged).unwrap_err();
                assert!(message.contains(" at voxel "), "{message}");
            }
            for length in (0..bytes.len()).step_by(7) {
                exported.verify(&bytes[..length]).unwrap_err();
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let exported = Exported::new(SegmentationKind::Binary);
        let path = exported.folder.path().join("kept.dcm");
        std::fs::write(&path, "old").unwrap();
        let mut wrong = exported.segmentation.clone();
        wrong.segments[1].label = 3;
        let (labels, geometry) = (exported.labels.view(), exported.scan.geometry());
        let result = export_segmentation(&path, labels, geometry, &exported.scan, &wrong);
        assert!(matches!(result, Err(VolumeError::Segments { .. })), "{result:?}");
        // The writer was right about other labels than these.
        let other = exported.labels.mapv(|label| 2 * label % 3);
        let result = write_together(
            &path,
            |_| false,
            |staged| {
                std::fs::write(staged, exported.written()).unwrap();
                verify(staged, &other.view(), geometry, &exported.scan, &exported.segmentation)
            },
        );
        assert!(matches!(result, Err(VolumeError::NotVerified { .. })), "{result:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    }
}
