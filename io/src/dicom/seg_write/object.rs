//! The data set of a segmentation. PS3.3, A.51.3 and A.101.3, table by table.

use std::collections::{BTreeMap, BTreeSet};

use super::super::encode::{DataSet, decimal};
use super::super::origin::{DicomScan, SourceSlice};
use super::super::tags;
use super::color::cielab;
use super::frames::Frames;
use super::segments::{Algorithm, AlgorithmKind, Segment, Segmentation, SegmentationKind};
use crate::affine::dot;
use crate::codes::Code;
use crate::lps::turned;

/// What the object is called, filled in once its content is known.
#[derive(Default)]
pub(super) struct Uids {
    pub(super) instance: String,
    pub(super) series: String,
    pub(super) dimensions: String,
}

fn class(kind: SegmentationKind) -> &'static str {
    match kind {
        SegmentationKind::Binary => "1.2.840.10008.5.1.4.1.1.66.4",
        SegmentationKind::Labelmap => "1.2.840.10008.5.1.4.1.1.66.7",
    }
}

/// File meta information. PS3.10, section 7.1.
pub(super) fn meta(kind: SegmentationKind, uids: &Uids, implementation: &str) -> DataSet {
    let mut set = DataSet::default();
    set.bytes(0x0002_0001, b"OB", vec![0, 1]);
    set.text(0x0002_0002, b"UI", class(kind));
    set.text(0x0002_0003, b"UI", &uids.instance);
    set.text(0x0002_0010, b"UI", "1.2.840.10008.1.2.1");
    set.text(0x0002_0012, b"UI", implementation);
    set.text(0x0002_0013, b"SH", "LAMINA");
    set
}

/// The elements before the pixels.
pub(super) fn data_set(
    scan: &DicomScan,
    segmentation: &Segmentation,
    frames: &Frames,
    uids: &Uids,
) -> DataSet {
    let mut set = DataSet::default();
    let words = Words::of(scan, segmentation);
    patient_and_study(&mut set, scan, &words);
    series_and_equipment(&mut set, scan, segmentation, uids, &words);
    image(&mut set, scan, segmentation, frames);
    segments(&mut set, segmentation, &words);
    references(&mut set, scan);
    dimensions(&mut set, segmentation.kind, uids);
    groups(&mut set, scan, segmentation.kind, frames);
    set
}

/// How our own words are written: in the characters of the copied ones.
struct Words {
    set: Option<Vec<u8>>,
    /// Whether anything but ASCII has to be left out.
    ascii: bool,
}

impl Words {
    fn of(scan: &DicomScan, segmentation: &Segmentation) -> Self {
        const UTF_8: &[u8] = b"ISO_IR 192";
        let named = scan.character_set.as_deref().map_or(&b""[..], <[u8]>::trim_ascii);
        let ours = segmentation.segments.iter().all(|segment| {
            let more = segment.description.as_deref().unwrap_or_default();
            segment.name.is_ascii() && more.is_ascii()
        });
        let ours = ours
            && segmentation.description.is_ascii()
            && segmentation.creator.as_deref().unwrap_or_default().is_ascii();
        let theirs =
            scan.copied.iter().all(|(.., bytes)| bytes.is_ascii() && !bytes.contains(&0x1b));
        if !ours && named != UTF_8 && theirs {
            return Self { set: Some(UTF_8.to_vec()), ascii: false };
        }
        let set = (!named.is_empty()).then(|| named.to_vec());
        Self { set, ascii: named != UTF_8 }
    }

    /// A value of at most `most` characters without what has a meaning of its own.
    fn fit(&self, text: &str, most: usize) -> String {
        let fits = |c: char| {
            if c == '\\' || c.is_control() || (self.ascii && !c.is_ascii()) { '?' } else { c }
        };
        text.trim().chars().map(fits).take(most).collect()
    }
}

fn patient_and_study(set: &mut DataSet, scan: &DicomScan, words: &Words) {
    for (tag, vr, bytes) in &scan.copied {
        set.bytes(*tag, vr, bytes.clone());
    }
    if let Some(name) = &words.set {
        set.bytes(tags::SPECIFIC_CHARACTER_SET, b"CS", name.clone());
    }
    let code = |[value, scheme, version, meaning]: &[Option<Vec<u8>>; 4]| {
        let mut item = DataSet::default();
        let parts = [
            (0x0008_0100, b"SH", value),
            (0x0008_0102, b"SH", scheme),
            (0x0008_0103, b"SH", version),
            (0x0008_0104, b"LO", meaning),
        ];
        for (tag, vr, bytes) in parts {
            if let Some(bytes) = bytes {
                item.bytes(tag, vr, bytes.clone());
            }
        }
        item
    };
    if !scan.removal_codes.is_empty() {
        let items = scan.removal_codes.iter().map(code).collect();
        set.items(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE, items);
    }
    set.text(tags::STUDY_INSTANCE_UID, b"UI", &scan.study_uid);
}

fn series_and_equipment(
    set: &mut DataSet,
    scan: &DicomScan,
    segmentation: &Segmentation,
    uids: &Uids,
    words: &Words,
) {
    let (day, time) = day_and_time(segmentation.created, offset(scan));
    for tag in [0x0008_0012, 0x0008_0021, 0x0008_0023] {
        set.text(tag, b"DA", &day);
    }
    for tag in [0x0008_0013, 0x0008_0031, 0x0008_0033] {
        set.text(tag, b"TM", &time);
    }
    set.text(tags::SOP_CLASS_UID, b"UI", class(segmentation.kind));
    set.text(tags::SOP_INSTANCE_UID, b"UI", &uids.instance);
    set.text(tags::MODALITY, b"CS", "SEG");
    set.text(0x0008_0070, b"LO", "Lamina");
    set.text(0x0008_103e, b"LO", &words.fit(&segmentation.description, 64));
    set.text(0x0008_1090, b"LO", "Lamina");
    set.text(0x0018_1000, b"LO", "0");
    set.text(0x0018_1020, b"LO", env!("CARGO_PKG_VERSION"));
    set.text(tags::SERIES_INSTANCE_UID, b"UI", &uids.series);
    let number = segmentation.series_number.map_or_else(
        || (scan.series_number.clamp(0, 1_000_000_000) + 1000).to_string(),
        |number| number.to_string(),
    );
    set.text(tags::SERIES_NUMBER, b"IS", &number);
    set.text(tags::INSTANCE_NUMBER, b"IS", &segmentation.instance_number.to_string());
    set.text(tags::FRAME_OF_REFERENCE_UID, b"UI", &scan.frame_of_reference);
    set.text(0x0070_0080, b"CS", "SEGMENTATION");
    set.text(0x0070_0081, b"LO", &words.fit(&segmentation.description, 64));
    let creator = segmentation.creator.as_deref().unwrap_or_default();
    set.text(0x0070_0084, b"PN", &words.fit(creator, 64));
}

/// What the source's times are ahead of UTC, in minutes, where it says so.
fn offset(scan: &DicomScan) -> i64 {
    let said = scan.copied.iter().find(|(tag, ..)| *tag == 0x0008_0201);
    let parse = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?.trim();
        let (sign, digits) = match text.split_at_checked(1)? {
            ("+", digits) => (1, digits),
            ("-", digits) => (-1, digits),
            _ => return None,
        };
        let number: i64 = digits.parse().ok().filter(|n| digits.len() == 4 && *n <= 1400)?;
        Some(sign * (number / 100 * 60 + number % 100))
    };
    said.and_then(|(.., bytes)| parse(bytes)).unwrap_or(0)
}

/// Seconds since 1970 as DA and TM.
fn day_and_time(seconds: u64, offset_minutes: i64) -> (String, String) {
    // Until the end of 9999.
    let seconds = (seconds.min(253_402_300_799) as i64 + 60 * offset_minutes).max(0);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Hinnant, chrono-Compatible Low-Level Date Algorithms: days count from 1 March of year 0.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + next;
    let time = (second / 3600, second / 60 % 60, second % 60);
    (format!("{year:04}{month:02}{day:02}"), format!("{:02}{:02}{:02}", time.0, time.1, time.2))
}

fn image(set: &mut DataSet, scan: &DicomScan, segmentation: &Segmentation, frames: &Frames) {
    set.text(tags::IMAGE_TYPE, b"CS", "DERIVED\\PRIMARY");
    set.shorts(tags::SAMPLES_PER_PIXEL, &[1]);
    set.text(tags::PHOTOMETRIC_INTERPRETATION, b"CS", "MONOCHROME2");
    set.text(tags::NUMBER_OF_FRAMES, b"IS", &frames.list.len().to_string());
    set.shorts(tags::ROWS, &[frames.rows]);
    set.shorts(tags::COLUMNS, &[frames.columns]);
    set.shorts(tags::BITS_ALLOCATED, &[frames.bits]);
    set.shorts(tags::BITS_STORED, &[frames.bits]);
    set.shorts(tags::HIGH_BIT, &[frames.bits - 1]);
    set.shorts(tags::PIXEL_REPRESENTATION, &[0]);
    // Of the source: bits themselves lose nothing.
    match &scan.lossy {
        Some([Some(ratio), Some(method)]) => {
            set.text(tags::LOSSY_IMAGE_COMPRESSION, b"CS", "01");
            set.bytes(0x0028_2112, b"DS", ratio.clone());
            set.bytes(0x0028_2114, b"CS", method.clone());
        }
        _ => set.text(tags::LOSSY_IMAGE_COMPRESSION, b"CS", "00"),
    }
    match segmentation.kind {
        SegmentationKind::Binary => set.text(tags::SEGMENTATION_TYPE, b"CS", "BINARY"),
        SegmentationKind::Labelmap => {
            set.text(tags::SEGMENTATION_TYPE, b"CS", "LABELMAP");
            set.shorts(tags::PIXEL_PADDING_VALUE, &[0]);
        }
    }
    set.text(tags::SEGMENTS_OVERLAP, b"CS", "NO");
}

fn code(value: &str, scheme: &str, meaning: &str) -> DataSet {
    let mut item = DataSet::default();
    item.text(0x0008_0100, b"SH", value);
    item.text(0x0008_0102, b"SH", scheme);
    item.text(0x0008_0104, b"LO", meaning);
    item
}

fn segments(set: &mut DataSet, segmentation: &Segmentation, words: &Words) {
    let mut items = Vec::new();
    if segmentation.kind == SegmentationKind::Labelmap {
        // As highdicom writes it; PS3.3, C.8.20.4.2 lets 0 be a segment.
        let mut item = DataSet::default();
        item.shorts(tags::SEGMENT_NUMBER, &[0]);
        item.text(tags::SEGMENT_LABEL, b"LO", "Background");
        item.text(0x0062_0008, b"CS", "AUTOMATIC");
        item.text(0x0062_0009, b"LO", "Background");
        item.item(0x0062_0003, code("125040", "DCM", "Background"));
        item.item(0x0062_000f, code("125040", "DCM", "Background"));
        items.push(item);
    }
    for (number, segment) in segmentation.numbered() {
        items.push(segment_item(number, segment, segmentation, words));
    }
    set.items(tags::SEGMENT_SEQUENCE, items);
}

fn segment_item(
    number: u16,
    segment: &Segment,
    segmentation: &Segmentation,
    words: &Words,
) -> DataSet {
    let written = |code_of: &Code| {
        let text = |text: &str, most| words.fit(text, most);
        code(&text(&code_of.value, 16), &text(&code_of.scheme, 16), &text(&code_of.meaning, 64))
    };
    let mut item = DataSet::default();
    item.shorts(tags::SEGMENT_NUMBER, &[number]);
    let name = words.fit(&segment.name, 64);
    let name = if name.is_empty() { format!("Label {}", segment.label) } else { name };
    item.text(tags::SEGMENT_LABEL, b"LO", &name);
    if let Some(description) = &segment.description {
        item.text(0x0062_0006, b"ST", &words.fit(description, 1024));
    }
    let algorithm = segment.algorithm.as_ref().unwrap_or(&segmentation.algorithm);
    let kind = match algorithm.kind {
        AlgorithmKind::Automatic => "AUTOMATIC",
        AlgorithmKind::Semiautomatic => "SEMIAUTOMATIC",
        AlgorithmKind::Manual => "MANUAL",
    };
    item.text(0x0062_0008, b"CS", kind);
    if algorithm.kind != AlgorithmKind::Manual {
        item.text(0x0062_0009, b"LO", &words.fit(&algorithm.name, 64));
    }
    if algorithm.learned {
        item.item(0x0062_0007, identification(algorithm, words));
    }
    let (category, kind) = segment.codes.complete(&segment.name);
    item.item(0x0062_0003, written(&category));
    let mut kind = written(&kind);
    if let Some(modifier) = &segment.codes.type_modifier {
        kind.item(0x0062_0011, written(modifier));
    }
    item.item(0x0062_000f, kind);
    if let Some(region) = &segment.codes.region {
        let mut region = written(region);
        if let Some(modifier) = &segment.codes.region_modifier {
            region.item(0x0008_2220, written(modifier));
        }
        item.item(0x0008_2218, region);
    }
    item.shorts(0x0062_000d, &cielab(segment.color));
    item
}

/// PS3.3, 10.16, of what is known to be learned; the family is of CID 7162.
fn identification(algorithm: &Algorithm, words: &Words) -> DataSet {
    let mut item = DataSet::default();
    let family = code("123110", "DCM", "Artificial Intelligence");
    item.item(0x0066_002f, family);
    item.text(0x0066_0036, b"LO", &words.fit(&algorithm.name, 64));
    item.text(0x0066_0031, b"LO", &words.fit(algorithm.version.as_deref().unwrap_or("0"), 64));
    item
}

fn references(set: &mut DataSet, scan: &DicomScan) {
    let mut seen = BTreeSet::new();
    let mut instances = Vec::new();
    for slice in &scan.slices {
        if seen.insert(&slice.instance) {
            let mut item = DataSet::default();
            item.text(0x0008_1150, b"UI", &slice.class);
            item.text(0x0008_1155, b"UI", &slice.instance);
            instances.push(item);
        }
    }
    let mut series = DataSet::default();
    series.text(tags::SERIES_INSTANCE_UID, b"UI", &scan.series_uid);
    series.items(0x0008_114a, instances);
    set.item(0x0008_1115, series);
}

fn dimensions(set: &mut DataSet, kind: SegmentationKind, uids: &Uids) {
    let mut organization = DataSet::default();
    organization.text(0x0020_9164, b"UI", &uids.dimensions);
    set.item(0x0020_9221, organization);
    let index = |pointer, group, name: &str| {
        let mut item = DataSet::default();
        item.text(0x0020_9164, b"UI", &uids.dimensions);
        item.pointer(0x0020_9165, pointer);
        item.pointer(0x0020_9167, group);
        item.text(0x0020_9421, b"LO", name);
        item
    };
    let position = index(
        tags::IMAGE_POSITION_PATIENT,
        tags::PLANE_POSITION_SEQUENCE,
        "Image Position Patient",
    );
    let segment = index(
        tags::REFERENCED_SEGMENT_NUMBER,
        tags::SEGMENT_IDENTIFICATION_SEQUENCE,
        "Segment Number",
    );
    let items = match kind {
        SegmentationKind::Binary => vec![segment, position],
        SegmentationKind::Labelmap => vec![position],
    };
    set.items(0x0020_9222, items);
}

fn groups(set: &mut DataSet, scan: &DicomScan, kind: SegmentationKind, frames: &Frames) {
    let slices: Vec<&SourceSlice> = frames.list.iter().map(|&(_, k)| &scan.slices[k]).collect();
    let alike = |of: fn(&SourceSlice) -> &str| slices.windows(2).all(|p| of(p[0]) == of(p[1]));
    let same_directions = alike(|slice| &slice.orientation_text);
    let mut shared = DataSet::default();
    if same_directions {
        shared.item(tags::PLANE_ORIENTATION_SEQUENCE, orientation(slices[0]));
    }
    shared.item(tags::PIXEL_MEASURES_SEQUENCE, measures(scan, slices[0]));
    set.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, shared);

    // Places are counted among those that are there.
    let places: BTreeSet<usize> = frames.list.iter().map(|&(_, k)| k).collect();
    let place_of: BTreeMap<usize, u32> = places.into_iter().zip(1..).collect();
    let items = frames.list.iter().map(|&(segment, k)| {
        let slice = &scan.slices[k];
        let mut item = DataSet::default();
        let mut content = DataSet::default();
        let place = place_of[&k];
        match kind {
            SegmentationKind::Binary => content.longs(0x0020_9157, &[segment.into(), place]),
            SegmentationKind::Labelmap => content.longs(0x0020_9157, &[place]),
        }
        item.item(tags::FRAME_CONTENT_SEQUENCE, content);
        let mut position = DataSet::default();
        position.text(tags::IMAGE_POSITION_PATIENT, b"DS", &slice.position_text);
        item.item(tags::PLANE_POSITION_SEQUENCE, position);
        if !same_directions {
            item.item(tags::PLANE_ORIENTATION_SEQUENCE, orientation(slice));
        }
        item.item(0x0008_9124, derivation(slice));
        if kind == SegmentationKind::Binary {
            let mut identification = DataSet::default();
            identification.shorts(tags::REFERENCED_SEGMENT_NUMBER, &[segment]);
            item.item(tags::SEGMENT_IDENTIFICATION_SEQUENCE, identification);
        }
        item
    });
    set.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, items.collect());
}

fn orientation(slice: &SourceSlice) -> DataSet {
    let mut item = DataSet::default();
    item.text(tags::IMAGE_ORIENTATION_PATIENT, b"DS", &slice.orientation_text);
    item
}

fn measures(scan: &DicomScan, slice: &SourceSlice) -> DataSet {
    let mut item = DataSet::default();
    item.text(tags::PIXEL_SPACING, b"DS", &slice.spacing_text);
    let step = dot(turned(scan.geometry.ras_from_index().step(2)), slice.plane.normal()).abs();
    item.text(tags::SLICE_THICKNESS, b"DS", &decimal(slice.thickness.unwrap_or(step)));
    if scan.even {
        item.text(tags::SPACING_BETWEEN_SLICES, b"DS", &decimal(step));
    }
    item
}

/// Which slice a frame was drawn on.
fn derivation(slice: &SourceSlice) -> DataSet {
    let mut source = DataSet::default();
    source.text(0x0008_1150, b"UI", &slice.class);
    source.text(0x0008_1155, b"UI", &slice.instance);
    if let Some(frame) = slice.frame {
        source.text(0x0008_1160, b"IS", &frame.to_string());
    }
    source.text(0x0028_135a, b"CS", "YES");
    source.item(0x0040_a170, code("121322", "DCM", "Source image for image processing operation"));
    let mut item = DataSet::default();
    item.item(0x0008_2112, source);
    item.item(0x0008_9215, code("113076", "DCM", "Segmentation"));
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let day = |seconds| day_and_time(seconds, 0);
        assert_eq!(day(0), ("19700101".to_owned(), "000000".to_owned()));
        // `date -u -d @951827696`
        assert_eq!(day(951_827_696), ("20000229".to_owned(), "123456".to_owned()));
        assert_eq!(day(1_735_689_599), ("20241231".to_owned(), "235959".to_owned()));
        assert_eq!(day_and_time(1_735_689_599, 60).0, "20250101");
        assert_eq!(day(u64::MAX).0, "99991231");
    }
}
