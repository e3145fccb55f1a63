//! What is written beside the labels: segments with names, colors and codes, and who made them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::codes::SegmentCodes;
use crate::picture::usual_color;

/// How labels are stored in a DICOM SEG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentationKind {
    /// A frame of bits for each segment and slice. What all programs read.
    #[default]
    Binary,
    /// A frame of numbers for each slice. The object is of a younger class, which many programs
    /// and archives do not know yet.
    Labelmap,
}

/// Who draws a segment. PS3.3, C.8.20.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlgorithmKind {
    /// A program alone.
    Automatic,
    /// A program with help.
    Semiautomatic,
    /// A person.
    Manual,
}

/// What draws a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithm {
    /// Who or what.
    pub kind: AlgorithmKind,
    /// What it is called.
    pub name: String,
    /// Which version of it.
    pub version: Option<String>,
    /// Whether it was learned from data.
    pub learned: bool,
}

impl Default for Algorithm {
    /// Of a label file nobody knows; the standard has no word for that.
    fn default() -> Self {
        Self {
            kind: AlgorithmKind::Semiautomatic,
            name: "unknown, taken from a label file".to_owned(),
            version: None,
            learned: false,
        }
    }
}

/// A label and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number in the label map.
    pub label: u16,
    /// What it is called.
    pub name: String,
    /// More about it.
    pub description: Option<String>,
    /// Red, green, blue.
    pub color: [u8; 3],
    /// What it is called in coding schemes.
    pub codes: SegmentCodes,
    /// What drew it, where that differs from the others.
    pub algorithm: Option<Algorithm>,
}

impl Segment {
    /// A label of which nothing else is known.
    pub fn unnamed(label: u16) -> Self {
        Self {
            label,
            name: format!("Label {label}"),
            description: None,
            color: usual_color((label % 256) as u8),
            codes: SegmentCodes::default(),
            algorithm: None,
        }
    }
}

/// All that is written beside the labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// How they are stored.
    pub kind: SegmentationKind,
    /// What they stand for, without the background. All are declared, those without a voxel too,
    /// so that segments have the same numbers in every case.
    pub segments: Vec<Segment>,
    /// What drew them.
    pub algorithm: Algorithm,
    /// What the series is called.
    pub description: String,
    /// Who answers for the content, where somebody does.
    pub creator: Option<String>,
    /// Number of the series; one far from that of the source unless it is said.
    pub series_number: Option<u32>,
    /// Number of the instance in its series.
    pub instance_number: u32,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

impl Default for Segmentation {
    fn default() -> Self {
        Self {
            kind: SegmentationKind::Binary,
            segments: Vec::new(),
            algorithm: Algorithm::default(),
            description: "Segmentation".to_owned(),
            creator: None,
            series_number: None,
            instance_number: 1,
            created: 0,
        }
    }
}

impl Segmentation {
    /// The segments and their numbers. Labels are numbers in a label map; otherwise segments are
    /// counted from 1, as the standard wants it, in the order of their labels. PS3.3, C.8.20.2.
    pub fn numbered(&self) -> Vec<(u16, &Segment)> {
        let mut segments: Vec<&Segment> = self.segments.iter().collect();
        segments.sort_by_key(|segment| segment.label);
        let number = |(place, segment): (u16, &Segment)| match self.kind {
            SegmentationKind::Binary => place,
            SegmentationKind::Labelmap => segment.label,
        };
        (1..).zip(segments).map(|entry| (number(entry), entry.1)).collect()
    }

    /// Whether all segments can be told apart, and their codes written.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.segments.is_empty() {
            return Err("expected a segment, found none".to_owned());
        }
        let mut labels = BTreeSet::from([0]);
        for segment in &self.segments {
            if !labels.insert(segment.label) {
                return Err(format!(
                    "expected labels from 1, each once, found {} for {:?}",
                    segment.label, segment.name
                ));
            }
            segment.codes.check()?;
        }
        Ok(())
    }
}
