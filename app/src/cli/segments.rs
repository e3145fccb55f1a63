//! What goes into a DICOM segmentation beside the labels: from the model, from a description of
//! segments, or from the labels themselves.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
use lamina_engine::bundle::Manifest;
use lamina_io::dataset::Class;
use lamina_io::{
    Algorithm, AlgorithmKind, Metainfo, Segment, SegmentCodes, Segmentation, SegmentationKind,
};

/// Digits of the weights' hash that stand for the version of a model.
const VERSION_DIGITS: usize = 16;

/// When a segmentation says that it was made: now, or as `SOURCE_DATE_EPOCH` says, for results
/// that are to be the same in every byte. <https://reproducible-builds.org/specs/source-date-epoch>
pub fn created() -> u64 {
    let said = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    said.unwrap_or_else(now)
}

/// The segments of a model's classes, in all cases the same.
///
/// # Errors
/// If a description is given that cannot be read, or is not of the model's labels.
pub fn of_model(
    manifest: &Manifest,
    kind: SegmentationKind,
    described: Option<&Path>,
) -> anyhow::Result<Segmentation> {
    let classes = segments_of(&manifest.classes, |_| None);
    let mut segmentation = Segmentation {
        kind,
        algorithm: Algorithm {
            kind: AlgorithmKind::Automatic,
            name: manifest.name.clone(),
            version: manifest.weights.sha256.get(..VERSION_DIGITS).map(str::to_owned),
            learned: true,
        },
        description: format!("Segmentation by {}", manifest.name),
        created: created(),
        ..Segmentation::default()
    };
    if let Some(path) = described {
        let labels = |segments: &[Segment]| -> BTreeSet<u16> {
            segments.iter().map(|segment| segment.label).collect()
        };
        let metainfo = Metainfo::read(path)?;
        let (expected, found) = (labels(&classes), labels(&metainfo.segments));
        if expected != found {
            bail!(
                "expected segments for the labels of the model, {expected:?}, found {found:?}: {}",
                path.display()
            );
        }
        describe(&mut segmentation, metainfo);
        for segment in &mut segmentation.segments {
            segment.algorithm = None; // whatever the description was written for, a model drew this
        }
    } else {
        segmentation.segments = classes;
    }
    Ok(segmentation)
}

/// The segments of a label file: as described, by the classes of a data set, or by number.
///
/// # Errors
/// If the description cannot be read.
pub fn of_labels(
    present: &BTreeSet<u16>,
    kind: SegmentationKind,
    described: Option<&Path>,
    classes: &[Class],
) -> anyhow::Result<Segmentation> {
    let mut segmentation = Segmentation { kind, created: created(), ..Segmentation::default() };
    if let Some(path) = described {
        describe(&mut segmentation, Metainfo::read(path)?);
        return Ok(segmentation);
    }
    let mut segments = segments_of(classes, |class| class.value);
    let named: BTreeSet<u16> = segments.iter().map(|segment| segment.label).collect();
    segments.extend(present.difference(&named).map(|&label| Segment::unnamed(label)));
    if segments.is_empty() {
        segments.push(Segment::unnamed(1));
    }
    segmentation.segments = segments;
    Ok(segmentation)
}

fn describe(segmentation: &mut Segmentation, metainfo: Metainfo) {
    let Metainfo { segments, description, creator, series_number, instance_number } = metainfo;
    segmentation.segments = segments;
    segmentation.creator = creator;
    segmentation.series_number = series_number;
    if let Some(description) = description {
        segmentation.description = description;
    }
    if let Some(number) = instance_number {
        segmentation.instance_number = number;
    }
}

/// Classes but the background, by the value that they have in labels, if not by their place.
fn segments_of(classes: &[Class], value: fn(&Class) -> Option<u16>) -> Vec<Segment> {
    let segment = |(place, class): (u16, &Class)| Segment {
        label: value(class).unwrap_or(place),
        name: class.name.clone(),
        description: None,
        color: class.color,
        codes: class.codes.clone().unwrap_or_else(SegmentCodes::default),
        algorithm: None,
    };
    (0..).zip(classes).skip(1).map(segment).collect()
}
