//! What a segmentation takes from the series that it is of: whose it is, the grid, and which
//! slice lies where.
//!
//! This is the one place that looks at the patient, since a segmentation belongs to its patient's
//! study; what is found goes into that file and nowhere else, and is shown to nobody.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::element::{Elements, Tag};
use super::encode::{Vr, decimal};
use super::file::DicomFile;
use super::frames::{Instance, Plane};
use super::read::chosen;
use super::series::Slice;
use super::tags;
use super::uid::uid_of;
use crate::affine::dot;
use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::lps::turned;
use crate::read::ReadOptions;

/// Elements of the patient, clinical trial and study modules that are copied as they are. PS3.3,
/// C.7.1.1, C.7.1.3, C.7.2.1, C.7.2.2, C.7.2.3. The flag tells those that must be there, if empty.
const COPIED: [(Tag, Vr, bool); 32] = [
    (0x0008_0020, b"DA", true),
    (0x0008_0030, b"TM", true),
    (0x0008_0050, b"SH", true),
    (0x0008_0090, b"PN", true),
    (0x0008_0201, b"SH", false),
    (0x0008_1030, b"LO", false),
    (0x0010_0010, b"PN", true),
    (0x0010_0020, b"LO", true),
    (0x0010_0021, b"LO", false),
    (0x0010_0022, b"CS", false),
    (0x0010_0030, b"DA", true),
    (0x0010_0032, b"TM", false),
    (0x0010_0040, b"CS", true),
    (0x0010_1010, b"AS", false),
    (0x0010_1020, b"DS", false),
    (0x0010_1030, b"DS", false),
    (0x0010_2160, b"SH", false),
    (0x0010_4000, b"LT", false),
    (0x0012_0010, b"LO", false),
    (0x0012_0020, b"LO", false),
    (0x0012_0021, b"LO", false),
    (0x0012_0030, b"LO", false),
    (0x0012_0031, b"LO", false),
    (0x0012_0040, b"LO", false),
    (0x0012_0042, b"LO", false),
    (0x0012_0050, b"LO", false),
    (0x0012_0051, b"ST", false),
    (0x0012_0060, b"LO", false),
    (0x0012_0062, b"CS", false),
    (0x0012_0063, b"LO", false),
    (0x0020_0010, b"SH", true),
    (0x0020_1040, b"LO", true),
];

/// A copied value longer than this is no value of these types.
const LONGEST_VALUE: usize = 0x4000;

/// A DICOM series as what segmentations refer to.
///
/// Its `Debug` form says nothing about the patient.
pub struct DicomScan {
    path: PathBuf,
    pub(super) geometry: Geometry,
    /// Whether the slices lie on the grid, and not only next to it.
    pub(super) even: bool,
    pub(super) slices: Vec<SourceSlice>,
    /// Of the first slice, in the types of the standard.
    pub(super) copied: Vec<(Tag, Vr, Vec<u8>)>,
    /// How the copied text is written.
    pub(super) character_set: Option<Vec<u8>>,
    /// Items of (0012,0064), how identities were removed: value, scheme, version, meaning.
    pub(super) removal_codes: Vec<[Option<Vec<u8>>; 4]>,
    pub(super) study_uid: String,
    pub(super) series_uid: String,
    pub(super) series_number: i64,
    pub(super) frame_of_reference: String,
    /// Ratio and method of the first lossy compression.
    pub(super) lossy: Option<[Option<Vec<u8>>; 2]>,
}

/// One slice of the grid.
#[derive(Clone, Debug)]
pub(super) struct SourceSlice {
    pub(super) class: String,
    pub(super) instance: String,
    /// From 1, where the instance has several.
    pub(super) frame: Option<u32>,
    pub(super) plane: Plane,
    /// Between rows, between columns.
    pub(super) spacing: [f64; 2],
    /// As the source says them, where that is short enough.
    pub(super) position_text: String,
    pub(super) orientation_text: String,
    pub(super) spacing_text: String,
    pub(super) thickness: Option<f64>,
}

impl fmt::Debug for DicomScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DicomScan").field("geometry", &self.geometry).finish_non_exhaustive()
    }
}

impl DicomScan {
    /// Looks at the series that `options` choose.
    ///
    /// # Errors
    /// As [`read_volume`](crate::read_volume); [`VolumeError::NotASource`] where it is no DICOM, or
    /// does not say where its slices lie or what they are called.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self, VolumeError> {
        if !crate::format::is_dicom(path)? {
            let found = "another format (name the DICOM series, or write the labels as NIfTI, \
                         MetaImage or NRRD)";
            return Err(refusal(path, found));
        }
        let (instances, slices, place, flaws) = chosen(path, options)?;
        let geometry = place;
        if geometry.spacing_mm().is_none() {
            return Err(refusal(path, "slices that do not say where they lie"));
        }
        if instances[slices[0].instance].segmentation {
            return Err(refusal(path, "a segmentation"));
        }
        // Where slices are missing, their neighbors stand in for them.
        if slices.windows(2).any(|pair| pair[0] == pair[1]) {
            let found = "a series with missing slices, whose labels would refer to slices that are \
                         not there; other formats take them";
            return Err(refusal(path, found));
        }
        Self::of(path, &instances, &slices, geometry, flaws.is_empty(), options)
            .map_err(|error| error.about(path))
    }

    fn of(
        path: &Path,
        instances: &[Instance],
        slices: &[Slice],
        geometry: Geometry,
        even: bool,
        options: &ReadOptions,
    ) -> Result<Self, VolumeError> {
        let mut by_slice: Vec<Option<SourceSlice>> = vec![None; slices.len()];
        let mut wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (k, slice) in slices.iter().enumerate() {
            wanted.entry(slice.instance).or_default().push(k);
        }
        let mut first_file = None;
        let mut frame_of_reference: Option<String> = None;
        for (index, places) in wanted {
            let instance = &instances[index];
            let file = DicomFile::open(&instance.path, &options.limits)?;
            let elements = file.elements();
            let found = uid(&elements, tags::FRAME_OF_REFERENCE_UID).unwrap_or_default();
            if *frame_of_reference.get_or_insert_with(|| found.clone()) != found {
                return Err(refusal(path, "slices in several frames of reference"));
            }
            for (k, slice) in source_slices(&elements, instance, slices, &places, path)? {
                by_slice[k] = Some(slice);
            }
            drop(elements);
            if places.contains(&0) {
                first_file = Some(file);
            }
        }
        let by_slice: Option<Vec<SourceSlice>> = by_slice.into_iter().collect();
        let (Some(by_slice), Some(file)) = (by_slice, first_file) else {
            return Err(refusal(path, "slices that do not say where they lie"));
        };
        let elements = file.elements();
        let text = |tag| elements.bytes(tag).map(<[u8]>::to_vec);
        let (Some(study_uid), Some(series_uid)) =
            (uid(&elements, tags::STUDY_INSTANCE_UID), uid(&elements, tags::SERIES_INSTANCE_UID))
        else {
            return Err(refusal(path, "a series without the UIDs of itself and its study"));
        };
        let copied = COPIED.iter().filter_map(|&(tag, vr, needed)| {
            let value = text(tag).filter(|bytes| bytes.len() <= LONGEST_VALUE);
            (value.is_some() || needed).then(|| (tag, vr, value.unwrap_or_default()))
        });
        let codes = elements.items(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE);
        let code = |item: &Elements| {
            [0x0008_0100, 0x0008_0102, 0x0008_0103, 0x0008_0104]
                .map(|tag| item.bytes(tag).map(<[u8]>::to_vec))
        };
        let lossy = elements.text(tags::LOSSY_IMAGE_COMPRESSION).as_deref() == Some("01");
        Ok(Self {
            path: path.to_owned(),
            even,
            copied: copied.collect(),
            character_set: text(tags::SPECIFIC_CHARACTER_SET),
            removal_codes: codes.iter().take(64).map(code).collect(),
            series_number: elements.integer(tags::SERIES_NUMBER).unwrap_or(0),
            // A series that names none is one of its own.
            frame_of_reference: frame_of_reference
                .filter(|uid| !uid.is_empty())
                .unwrap_or_else(|| uid_of("frame of reference", series_uid.as_bytes())),
            lossy: lossy.then(|| [0x0028_2112, 0x0028_2114].map(text)),
            study_uid,
            series_uid,
            slices: by_slice,
            geometry,
        })
    }

    /// The grid of the series: that of [`read_volume`](crate::read_volume).
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The file or folder, as the user gave it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The slice nearest to a place in the patient.
    pub(crate) fn slice_at(&self, ras: [f64; 3]) -> usize {
        let normal = self.slices[0].plane.normal();
        let above = |k: &usize| dot(self.offset_from(*k, ras), normal).abs();
        (0..self.slices.len()).min_by(|a, b| above(a).total_cmp(&above(b))).unwrap_or(0)
    }

    /// The voxel index of a place, where the slices do not lie evenly as the grid has them.
    pub(crate) fn on_uneven_slices(&self, ras: [f64; 3]) -> Option<[f64; 3]> {
        if self.even {
            return None;
        }
        let k = self.slice_at(ras);
        let slice = &self.slices[k];
        let v = self.offset_from(k, ras);
        let [rows_mm, columns_mm] = slice.spacing;
        let normal = slice.plane.normal();
        let step = dot(turned(self.geometry.ras_from_index().step(2)), normal);
        Some([
            dot(v, slice.plane.right) / columns_mm,
            dot(v, slice.plane.down) / rows_mm,
            k as f64 + dot(v, normal) / step,
        ])
    }

    /// From the first pixel of slice `k` to a place, in LPS.
    fn offset_from(&self, k: usize, ras: [f64; 3]) -> [f64; 3] {
        let (point, position) = (turned(ras), self.slices[k].plane.position);
        [0, 1, 2].map(|axis| point[axis] - position[axis])
    }

    /// What slice `k` is called: its instance, and its frame where that has several.
    pub(crate) fn reference(&self, k: usize) -> (&str, Option<u32>) {
        let slice = &self.slices[k];
        (&slice.instance, slice.frame)
    }

    /// Study, frame of reference, and the patient's name and id, padded as they are.
    pub(crate) fn identity(&self) -> [Vec<u8>; 4] {
        let copied = |wanted: Tag| {
            let found = self.copied.iter().find(|(tag, ..)| *tag == wanted);
            found.map(|(.., bytes)| bytes.clone()).unwrap_or_default()
        };
        [
            self.study_uid.clone().into_bytes(),
            self.frame_of_reference.clone().into_bytes(),
            copied(0x0010_0010),
            copied(0x0010_0020),
        ]
    }
}

fn refusal(path: &Path, found: &str) -> VolumeError {
    VolumeError::NotASource { path: path.to_owned(), found: found.to_owned() }
}

/// A UID that is one.
fn uid(elements: &Elements, tag: Tag) -> Option<String> {
    let uid = elements.text(tag)?;
    let sound = uid.len() <= 64 && uid.chars().all(|c| c.is_ascii_digit() || c == '.');
    sound.then(|| uid.into_owned())
}

/// The slices `places` of the stack, which are frames of one instance.
fn source_slices(
    elements: &Elements,
    instance: &Instance,
    slices: &[Slice],
    places: &[usize],
    path: &Path,
) -> Result<Vec<(usize, SourceSlice)>, VolumeError> {
    let (Some(class), Some(name)) =
        (uid(elements, tags::SOP_CLASS_UID), uid(elements, tags::SOP_INSTANCE_UID))
    else {
        return Err(refusal(path, "a slice without the UIDs of its class and of itself"));
    };
    let shared = elements.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
    let each = elements.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    let mut found = Vec::with_capacity(places.len());
    for &k in places {
        let frame = &instance.frames[slices[k].frame];
        let (Some(plane), Some(spacing)) = (frame.plane, frame.spacing) else {
            return Err(refusal(path, "slices that do not say where they lie"));
        };
        let own = each.get(frame.index as usize);
        // The nearest place that says it; kept as it is where it says what was understood.
        let said = |sequence: Tag, tag: Tag, numbers: &[f64]| {
            let group = own.and_then(|own| own.item(sequence).text(tag).map(String::from));
            let shared = || shared.item(sequence).text(tag).map(String::from);
            let text = group.or_else(shared).or_else(|| elements.text(tag).map(String::from));
            text.filter(|text| says(text, numbers)).unwrap_or_else(|| {
                numbers.iter().map(|&n| decimal(n)).collect::<Vec<_>>().join("\\")
            })
        };
        let directions: Vec<f64> = plane.right.into_iter().chain(plane.down).collect();
        let slice = SourceSlice {
            class: class.clone(),
            instance: name.clone(),
            frame: (instance.frames.len() > 1 || !each.is_empty()).then_some(frame.index + 1),
            plane,
            spacing,
            position_text: said(
                tags::PLANE_POSITION_SEQUENCE,
                tags::IMAGE_POSITION_PATIENT,
                &plane.position,
            ),
            orientation_text: said(
                tags::PLANE_ORIENTATION_SEQUENCE,
                tags::IMAGE_ORIENTATION_PATIENT,
                &directions,
            ),
            spacing_text: said(tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING, &spacing),
            thickness: frame.thickness,
        };
        found.push((k, slice));
    }
    Ok(found)
}

/// Whether a value is made of decimal strings that are these numbers, but for how unit vectors
/// are rounded.
fn says(text: &str, numbers: &[f64]) -> bool {
    let parts: Vec<&str> = text.split('\\').map(str::trim).collect();
    parts.len() == numbers.len()
        && parts.iter().zip(numbers).all(|(part, number)| {
            let plain =
                part.len() <= 16 && part.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
            plain && part.parse().is_ok_and(|found: f64| (found - number).abs() < 1e-4)
        })
}
