//! DICOM SEG as a label map: each frame is a slice of a segment, or of all of them.
//!
//! Labels are segment numbers. The grid is that of a scan in the same folder whose slices the
//! frames lie on, or else what the frames themselves say: slices left out between them are
//! background. PS3.3, A.51.

use std::path::Path;

use super::element::Elements;
use super::file::DicomFile;
use super::frames::{Instance, Plane};
use super::pixels::Pixels;
use super::tags;
use crate::affine::{dot, length};
use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::image::{Description, Fault, Image, Sizes, VoxelBytes};
use crate::lps::{Lps, turned};
use crate::read::{Limits, ReadOptions};
use crate::source::SourceHeader;
use crate::viewing::Viewing;
use crate::volume::{Modality, Rescale};
use crate::voxels::{ByteOrder, StoredType};

/// Frames may lie this share of a slice's distance beside their slice.
const OFF_GRID: f64 = 0.1;

/// What the numbers of a frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// 1 inside of the segment.
    Binary,
    /// Half of this and more inside of the segment.
    Fractional(u16),
    /// The number of the segment.
    LabelMap,
}

/// A scan that frames may lie on.
pub(super) struct Scan {
    pub(super) series_uid: String,
    pub(super) grid: Geometry,
    /// Where its slices lie, where that is not where the grid has them.
    pub(super) planes: Option<Vec<Plane>>,
}

/// Reads a segmentation whole: frames come in any order, and several make a slice.
pub(super) fn open(
    file: DicomFile,
    instance: &Instance,
    mut scans: Vec<Scan>,
    options: &ReadOptions,
) -> Result<Image, VolumeError> {
    let limits = &options.limits;
    let elements = file.elements();
    let fail = |fault: Fault| fault.at(&instance.path);
    let kind = kind(&elements).map_err(fail)?;
    let segments = segments(&elements, kind, instance.frames.len()).map_err(fail)?;
    // The series that it was made of comes first, then others that it lies on as well.
    let series = elements.item(tags::REFERENCED_SERIES_SEQUENCE).text(tags::SERIES_INSTANCE_UID);
    scans.sort_by_key(|scan| series.as_deref() != Some(&scan.series_uid));
    let grid = match scans.iter().find_map(|scan| Grid::on(scan, instance)) {
        Some(grid) => grid,
        None => Grid::of(&elements, instance)?,
    };
    let declared: Vec<u16> = elements
        .items(tags::SEGMENT_SEQUENCE)
        .iter()
        .filter_map(|item| item.short(tags::SEGMENT_NUMBER))
        .collect();
    let background = match kind {
        Kind::LabelMap => elements.short(tags::PIXEL_PADDING_VALUE).unwrap_or(0),
        Kind::Binary | Kind::Fractional(_) => 0,
    };
    drop(elements);
    if let Some(chosen) = options.segment
        && !declared.contains(&chosen)
    {
        let list: Vec<String> = declared.iter().take(256).map(ToString::to_string).collect();
        let expected = format!("one of {}", list.join(", "));
        return Err(fail(Fault::new("the chosen segment", expected, chosen)));
    }

    let wide = declared.iter().chain(&segments).any(|&number| number > 255)
        || instance.format.bits_allocated > 8;
    let stored = if wide { StoredType::U16 } else { StoredType::U8 };
    let dims = [instance.format.columns.into(), instance.format.rows.into(), grid.depth as u64];
    let limit = limits.gzip_free_bytes.max(instance.file_bytes.saturating_mul(limits.gzip_ratio));
    let limit = limit.min(limits.max_bytes);
    let declared = dims.iter().product::<u64>() * stored.bytes() as u64; // three of 2^20 at most
    let too_large = || VolumeError::TooLarge {
        path: instance.path.clone(),
        reason: "the limit for a segmentation of this size",
        limit,
        declared,
    };
    let sizes = Sizes::of(&dims, stored).filter(|_| declared <= limit).ok_or_else(too_large)?;

    let pixels = Pixels::new(instance, file.into_source(), limits)?;
    let mut labels = vec![background; (sizes.volume_bytes / stored.bytes() as u64) as usize];
    let per_slice = instance.format.pixels();
    let mut frame = vec![0; pixels.frame_bytes()];
    for (index, (&segment, &k)) in segments.iter().zip(&grid.slice_of).enumerate() {
        if options.segment.is_some_and(|chosen| kind != Kind::LabelMap && chosen != segment) {
            continue;
        }
        pixels.frame(index as u64, &mut frame)?;
        let slice = &mut labels[k * per_slice..(k + 1) * per_slice];
        paint(slice, &frame, kind, segment, instance)?;
    }
    if let Some(chosen) = options.segment {
        for label in labels.iter_mut().filter(|label| **label != chosen) {
            *label = 0;
        }
    }
    if let Kind::Fractional(most) = kind {
        tracing::warn!(
            threshold = f64::from(most) / 2.0,
            most,
            "a fractional segmentation: what is at least half inside counts as inside"
        );
    }
    let bytes = match stored {
        StoredType::U8 => labels.iter().map(|&label| label as u8).collect(),
        _ => labels.iter().flat_map(|label| label.to_le_bytes()).collect(),
    };
    let description = Description {
        format: "dicom-seg",
        dims: dims.to_vec(),
        stored,
        order: ByteOrder::Little,
        rescale: Rescale::IDENTITY,
        geometry: grid.geometry,
        modality: Some(Modality::Other("seg".to_owned())),
        source: SourceHeader::default(),
        sizes,
        labels_only: None,
        lossy: false,
        viewing: Viewing::default(),
    };
    let voxels = Loaded { path: instance.path.clone(), bytes, at: 0 };
    Ok(Image { description, voxels: Box::new(voxels) })
}

fn kind(elements: &Elements) -> Result<Kind, Fault> {
    let kind = elements.text(tags::SEGMENTATION_TYPE).unwrap_or_default();
    match &*kind {
        "BINARY" => Ok(Kind::Binary),
        "FRACTIONAL" => Ok(Kind::Fractional(
            elements.short(tags::MAXIMUM_FRACTIONAL_VALUE).unwrap_or(255).max(1),
        )),
        "LABELMAP" => Ok(Kind::LabelMap),
        _ => Err(Fault::new(
            "the segmentation type",
            "BINARY, FRACTIONAL or LABELMAP",
            if kind.is_empty() { "none" } else { "another" },
        )),
    }
}

/// The segment of each frame; 0 where frames hold all of them.
fn segments(elements: &Elements, kind: Kind, frames: usize) -> Result<Vec<u16>, Fault> {
    if kind == Kind::LabelMap {
        return Ok(vec![0; frames]);
    }
    let of = |item: &Elements| {
        item.item(tags::SEGMENT_IDENTIFICATION_SEQUENCE).short(tags::REFERENCED_SEGMENT_NUMBER)
    };
    let shared = of(&elements.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE));
    let each: Vec<Option<u16>> =
        elements.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).iter().map(of).collect();
    (0..frames)
        .map(|index| {
            let segment =
                each.get(index).copied().flatten().or(shared).filter(|&number| number > 0);
            segment
                .ok_or_else(|| Fault::new("the segment of each frame", "a number from 1", "none"))
        })
        .collect()
}

/// Puts what a frame says into its slice.
fn paint(
    slice: &mut [u16],
    frame: &[u8],
    kind: Kind,
    segment: u16,
    instance: &Instance,
) -> Result<(), VolumeError> {
    let wide = instance.format.bits_allocated > 8;
    let value = |index: usize| {
        if wide {
            u16::from_le_bytes([frame[2 * index], frame[2 * index + 1]])
        } else {
            frame[index].into()
        }
    };
    for (index, label) in slice.iter_mut().enumerate() {
        let inside = match kind {
            Kind::LabelMap => {
                *label = value(index);
                continue;
            }
            Kind::Binary => value(index) > 0,
            Kind::Fractional(most) => u32::from(value(index)) * 2 >= u32::from(most),
        };
        if inside {
            const EXPECTED: &str = "in one segment at most, or one segment to be chosen";
            if *label != 0 && *label != segment {
                let found = format!("segments {label} and {segment} in one");
                return Err(Fault::new("each voxel", EXPECTED, found).at(&instance.path));
            }
            *label = segment;
        }
    }
    Ok(())
}

/// The slices that the frames are of.
struct Grid {
    geometry: Geometry,
    depth: usize,
    slice_of: Vec<usize>,
}

impl Grid {
    /// The grid of `scan`, where all frames are slices of it.
    fn on(scan: &Scan, instance: &Instance) -> Option<Self> {
        let Scan { grid: scan, planes, .. } = scan;
        let [depth, height, width] = scan.shape();
        let size = (usize::from(instance.format.rows), usize::from(instance.format.columns));
        if size != (height, width) || scan.spacing_mm().is_none() {
            return None;
        }
        if let Some(planes) = planes {
            let slice_of: Option<Vec<usize>> =
                instance.frames.iter().map(|frame| slice_at(planes, &frame.plane?)).collect();
            return Some(Self { geometry: scan.clone(), depth, slice_of: slice_of? });
        }
        let near = |a: f64, b: f64| (a - b).abs() <= OFF_GRID;
        let slice_of = instance.frames.iter().map(|frame| {
            let (plane, [rows_mm, columns_mm]) = (frame.plane?, frame.spacing?);
            let index = |i: usize, j: usize| {
                let along = [i as f64 * columns_mm, j as f64 * rows_mm];
                let place = |axis: usize| {
                    plane.position[axis]
                        + along[0] * plane.right[axis]
                        + along[1] * plane.down[axis]
                };
                scan.index_from_ras().apply(turned([0, 1, 2].map(place)))
            };
            let k = index(0, 0)[2].round();
            // All four corners lie where they should.
            let fits = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)]
                .into_iter()
                .all(|(i, j)| {
                    let [x, y, z] = index(i, j);
                    near(x, i as f64) && near(y, j as f64) && near(z, k)
                });
            (fits && k >= 0.0 && k < depth as f64).then_some(k as usize)
        });
        let slice_of: Option<Vec<usize>> = slice_of.collect();
        Some(Self { geometry: scan.clone(), depth, slice_of: slice_of? })
    }

    fn of(elements: &Elements, instance: &Instance) -> Result<Self, VolumeError> {
        let path: &Path = &instance.path;
        let (height, width) =
            (usize::from(instance.format.rows), usize::from(instance.format.columns));
        let first = &instance.frames[0];
        let planes: Option<Vec<Plane>> = instance.frames.iter().map(|frame| frame.plane).collect();
        let (Some(planes), Some([rows_mm, columns_mm])) = (planes, first.spacing) else {
            // A radiograph has one slice, wherever it is.
            return Ok(Self {
                geometry: Geometry::pixels([1, height, width]),
                depth: 1,
                slice_of: vec![0; instance.frames.len()],
            });
        };
        let origin = planes[0];
        let normal = origin.normal();
        let turned = planes.iter().any(|plane| {
            dot(plane.right, origin.right) < 0.9999 || dot(plane.down, origin.down) < 0.9999
        });
        let fault =
            |expected: &str, found: &str| Err(Fault::new("the frames", expected, found).at(path));
        if turned {
            return fault("parallel to each other", "several directions");
        }
        let along: Vec<f64> = planes.iter().map(|plane| dot(plane.position, normal)).collect();
        let mut places = along.clone();
        places.sort_by(f64::total_cmp);
        places.dedup_by(|b, a| *b - *a < 0.01);
        let (start, end) = (places[0], places[places.len() - 1]);
        let smallest =
            places.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let named = elements
            .item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)
            .item(tags::PIXEL_MEASURES_SEQUENCE)
            .decimal(tags::SPACING_BETWEEN_SLICES)
            .filter(|mm| mm.is_finite() && *mm > 0.0);
        let whole = |mm: f64| {
            (smallest / mm).round() >= 1.0
                && (smallest / mm - (smallest / mm).round()).abs() <= OFF_GRID
        };
        let step = match named {
            Some(mm) if !smallest.is_finite() || whole(mm) => mm,
            _ if smallest.is_finite() => smallest,
            _ => first.thickness.unwrap_or(1.0),
        };
        let last = ((end - start) / step).round();
        if last >= 65_536.0 {
            return fault("within 65536 slices", "some further apart");
        }
        let mut slice_of = Vec::with_capacity(along.len());
        for mm in along {
            let index = (mm - start) / step;
            if (index - index.round()).abs() > OFF_GRID {
                return fault("evenly spaced", "one between two others");
            }
            slice_of.push(index.round() as usize);
        }
        let depth = last as usize + 1;
        let place = |k: usize| {
            let frame = slice_of.iter().position(|&slice| slice == k);
            planes[frame.unwrap_or(0)].position
        };
        let (from, to) = (place(0), place(depth - 1));
        let step = if depth > 1 {
            [0, 1, 2].map(|axis| (to[axis] - from[axis]) / last)
        } else {
            normal.map(|v| v * step)
        };
        let steps = [origin.right.map(|v| v * columns_mm), origin.down.map(|v| v * rows_mm), step];
        let ras_from_index = Lps { steps, origin: from }.ras_from_index();
        let geometry = Geometry::new([depth, height, width], ras_from_index)
            .map_err(|source| VolumeError::Geometry { path: path.to_owned(), source })?;
        Ok(Self { geometry, depth, slice_of })
    }
}

/// The first of `planes` that lies where `plane` does.
fn slice_at(planes: &[Plane], plane: &Plane) -> Option<usize> {
    const SAME_PLACE_MM: f64 = 0.01;
    planes.iter().position(|slice| {
        let apart = [0, 1, 2].map(|axis| slice.position[axis] - plane.position[axis]);
        length(apart) < SAME_PLACE_MM
            && dot(slice.right, plane.right) > 0.9999
            && dot(slice.down, plane.down) > 0.9999
    })
}

/// Voxels that are in memory.
struct Loaded {
    path: std::path::PathBuf,
    bytes: Vec<u8>,
    at: usize,
}

impl VoxelBytes for Loaded {
    fn skip_to(&mut self, target: u64) -> Result<(), VolumeError> {
        self.at = usize::try_from(target).unwrap_or(usize::MAX).min(self.bytes.len());
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), VolumeError> {
        let Some(bytes) = self.bytes.get(self.at..self.at + buffer.len()) else {
            let (expected, found) = (buffer.len() as u64, (self.bytes.len() - self.at) as u64);
            return Err(VolumeError::Truncated {
                path: self.path.clone(),
                part: "voxels",
                expected,
                found,
            });
        };
        buffer.copy_from_slice(bytes);
        self.at += buffer.len();
        Ok(())
    }

    fn finish(&mut self, _: &Limits) -> Result<(), VolumeError> {
        Ok(())
    }
}
