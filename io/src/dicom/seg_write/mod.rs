//! DICOM SEG on its way out. PS3.3, A.51 and A.101.
//!
//! - `segments.rs`: what the segments are called
//! - `metainfo.rs`: the same from a JSON file as dcmqi takes it
//! - `color.rs`: colors as the standard wants them
//! - `frames.rs`: labels as bits or bytes, frame after frame
//! - `object.rs`: the data set
//!
//! What was written is checked by [`export_segmentation`](crate::export_segmentation).

mod color;
mod frames;
mod metainfo;
mod object;
mod segments;

use std::io::Write;

use ndarray::ArrayView3;
use sha2::{Digest, Sha256};

use super::origin::DicomScan;
use super::tags;
use super::uid::uid_of;
use crate::error::VolumeError;
use crate::geometry::Geometry;

use frames::Frames;
pub use metainfo::Metainfo;
use object::{Uids, data_set, meta};
pub use segments::{Algorithm, AlgorithmKind, Segment, Segmentation, SegmentationKind};

/// A number in a label map, as far as segment numbers go.
pub trait Label: Copy + Into<u16> + 'static {}

impl Label for u8 {}
impl Label for u16 {}

/// An implementation class of our own. PS3.7, D.3.3.2.
const IMPLEMENTATION: &str = "2.25.272214693487183905416098171629417653529";

/// Writes `labels`, which lie on the grid of `scan` in its order of axes.
pub(crate) fn write_segmentation<L: Label>(
    out: &mut dyn Write,
    labels: ArrayView3<L>,
    scan: &DicomScan,
    segmentation: &Segmentation,
) -> Result<std::io::Result<()>, VolumeError> {
    let mut frames = Frames::of(&labels, segmentation, scan)?;
    // Named after all that it holds: first without the names.
    let unnamed = data_set(scan, segmentation, &frames, &Uids::default());
    let mut hasher = Sha256::new();
    if let Err(error) = unnamed.write(&mut hasher) {
        return Ok(Err(error));
    }
    hasher.update(&frames.pixels);
    let content = hasher.finalize();
    let uids = Uids {
        instance: uid_of("instance", &content),
        series: uid_of("segmentation series", &content),
        dimensions: uid_of("dimension organization", &content),
    };
    let mut object = data_set(scan, segmentation, &frames, &uids);
    let vr = if frames.bits == 16 { b"OW" } else { b"OB" };
    object.bytes(tags::PIXEL_DATA, vr, std::mem::take(&mut frames.pixels));
    Ok(object.write_file(&meta(segmentation.kind, &uids, IMPLEMENTATION), out))
}

/// The order of the axes that brings a grid onto that of the scan, if there is one.
pub(crate) fn order_onto(
    scan: &DicomScan,
    grid: &Geometry,
) -> Result<crate::AxisOrder, VolumeError> {
    let wanted = scan.geometry();
    let fits = |order: &crate::AxisOrder| {
        order.shape(grid.shape()) == wanted.shape()
            && wanted.same_grid_within(&grid.reoriented(order), ON_GRID).is_ok()
    };
    let identity = crate::AxisOrder::identity();
    std::iter::once(identity).chain(crate::AxisOrder::all()).find(fits).ok_or_else(|| {
        let describe = |geometry: &Geometry| {
            let [depth, height, width] = geometry.shape();
            let place = match geometry.spacing_mm() {
                Some([x, y, z]) => {
                    let first = geometry.ras_from_index().origin();
                    let letters = geometry.orientation();
                    format!("of {x:.4} x {y:.4} x {z:.4} mm, {letters}, first voxel at {first:.2?} (RAS)")
                }
                None => "that do not say where they lie".to_owned(),
            };
            format!("{width} x {height} x {depth} voxels {place}")
        };
        VolumeError::OtherGrid {
            path: scan.path().to_owned(),
            expected: describe(wanted),
            found: describe(grid),
        }
    })
}

/// Corners may lie this share of the smallest spacing beside those of the series.
const ON_GRID: f64 = 0.05;
