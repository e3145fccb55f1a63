//! Descriptions of segments as dcmqi takes them: JSON with `segmentAttributes`.
//!
//! Files in the wild differ in the case of `labelID`, leave out what they do not need, and hold keys
//! of their own; those are passed over. <https://github.com/QIICR/dcmqi/tree/master/doc/schemas>

use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::segments::{Algorithm, AlgorithmKind, Segment};
use crate::codes::{Code, SegmentCodes};
use crate::error::VolumeError;
use crate::picture::usual_color;

/// No description is as large.
const MOST_BYTES: u64 = 4 << 20;

/// What a dcmqi-style JSON file says about a segmentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metainfo {
    /// The segments, without the background.
    pub segments: Vec<Segment>,
    /// What the series is to be called.
    pub description: Option<String>,
    /// Who answers for the content.
    pub creator: Option<String>,
    /// Number of the series.
    pub series_number: Option<u32>,
    /// Number of the instance in its series.
    pub instance_number: Option<u32>,
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "segmentAttributes")]
    segments: Vec<Value>,
    #[serde(rename = "SeriesDescription")]
    description: Option<String>,
    #[serde(rename = "ContentCreatorName")]
    creator: Option<String>,
    #[serde(rename = "SeriesNumber", default, deserialize_with = "number")]
    series_number: Option<u32>,
    #[serde(rename = "InstanceNumber", default, deserialize_with = "number")]
    instance_number: Option<u32>,
}

#[derive(Deserialize)]
struct Attributes {
    #[serde(rename = "labelID", alias = "LabelID", deserialize_with = "number")]
    label: Option<u32>,
    #[serde(rename = "SegmentLabel")]
    name: Option<String>,
    #[serde(rename = "SegmentDescription")]
    description: Option<String>,
    #[serde(rename = "SegmentAlgorithmType")]
    algorithm_kind: Option<String>,
    #[serde(rename = "SegmentAlgorithmName")]
    algorithm_name: Option<String>,
    #[serde(rename = "recommendedDisplayRGBValue")]
    color: Option<[u8; 3]>,
    #[serde(rename = "SegmentedPropertyCategoryCodeSequence")]
    category: Option<Value>,
    #[serde(rename = "SegmentedPropertyTypeCodeSequence")]
    kind: Option<Value>,
    #[serde(rename = "SegmentedPropertyTypeModifierCodeSequence")]
    type_modifier: Option<Value>,
    #[serde(rename = "AnatomicRegionSequence", alias = "AnatomicRegionCodeSequence")]
    region: Option<Value>,
    #[serde(
        rename = "AnatomicRegionModifierSequence",
        alias = "AnatomicRegionModifierCodeSequence"
    )]
    region_modifier: Option<Value>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "CodeValue")]
    value: String,
    #[serde(rename = "CodingSchemeDesignator")]
    scheme: String,
    #[serde(rename = "CodeMeaning")]
    meaning: String,
}

/// Numbers are written as such or as text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u32),
        Text(String),
    }
    match Option::<Either>::deserialize(deserializer)? {
        Some(Either::Number(number)) => Ok(Some(number)),
        Some(Either::Text(text)) if text.trim().is_empty() => Ok(None),
        Some(Either::Text(text)) => text.trim().parse().map(Some).map_err(serde::de::Error::custom),
        None => Ok(None),
    }
}

impl Metainfo {
    /// Reads a description.
    ///
    /// # Errors
    /// If it cannot be read or parsed, names a label twice or none, or has codes that no DICOM file
    /// can hold.
    pub fn read(path: &Path) -> Result<Self, VolumeError> {
        let fail = |source| VolumeError::Open { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(fail)?;
        file.take(MOST_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| VolumeError::Read { path: path.to_owned(), source })?;
        let refuse = |found| VolumeError::Segments { path: path.to_owned(), found };
        if bytes.len() as u64 > MOST_BYTES {
            let expected = "expected a description of segments of at most 4 MiB, found more";
            return Err(refuse(expected.to_owned()));
        }
        Self::parse(&bytes).map_err(refuse)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let file: File = serde_json::from_slice(bytes).map_err(|error| {
            format!("expected a description of segments in the JSON of dcmqi, found {error}")
        })?;
        let groups = file.segments.len();
        let mut segments: Vec<Segment> = Vec::new();
        // A list for each label file; some write the segments themselves.
        for attributes in file.segments.into_iter().flat_map(|group| match group {
            Value::Array(list) => list,
            one => vec![one],
        }) {
            let attributes: Attributes = serde_json::from_value(attributes).map_err(|error| {
                format!("expected the attributes of a segment as dcmqi has them, found {error}")
            })?;
            let segment = attributes.segment()?;
            if segment.label == 0 {
                continue; // the background, which some describe
            }
            if segments.iter().any(|known| known.label == segment.label) {
                let why = if groups > 1 {
                    ": its lists are for several label files, and there is one"
                } else {
                    ""
                };
                return Err(format!(
                    "expected each labelID once, found {} twice{why}",
                    segment.label
                ));
            }
            segments.push(segment);
        }
        if segments.is_empty() {
            return Err("expected a segment in segmentAttributes, found none".to_owned());
        }
        let text = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Ok(Self {
            segments,
            description: text(file.description),
            creator: text(file.creator),
            series_number: file.series_number,
            instance_number: file.instance_number,
        })
    }
}

impl Attributes {
    fn segment(self) -> Result<Segment, String> {
        let label = self.label.ok_or("expected a labelID for each segment, found none")?;
        let label = u16::try_from(label)
            .map_err(|_| format!("expected labels from 1 to 65535, found {label}"))?;
        let code = |sequence: Option<Value>| {
            // Some write a list of one.
            let item = match sequence {
                Some(Value::Array(list)) => list.into_iter().next(),
                other => other.filter(|value| !value.is_null()),
            };
            let item: Option<Item> =
                item.map(serde_json::from_value).transpose().map_err(|error| {
                    format!("label {label}: expected a code as dcmqi has it, found {error}")
                })?;
            Ok::<_, String>(item.map(|Item { value, scheme, meaning }| Code {
                value,
                scheme,
                meaning,
            }))
        };
        let codes = SegmentCodes {
            category: code(self.category)?,
            kind: code(self.kind)?,
            type_modifier: code(self.type_modifier)?,
            region: code(self.region)?,
            region_modifier: code(self.region_modifier)?,
        };
        codes.check().map_err(|found| format!("label {label}: {found}"))?;
        let kind = match self.algorithm_kind.as_deref() {
            None => None,
            Some("AUTOMATIC") => Some(AlgorithmKind::Automatic),
            Some("SEMIAUTOMATIC") => Some(AlgorithmKind::Semiautomatic),
            Some("MANUAL") => Some(AlgorithmKind::Manual),
            Some(other) => {
                return Err(format!(
                    "label {label}: expected SegmentAlgorithmType to be AUTOMATIC, SEMIAUTOMATIC or MANUAL, found {other:?}"
                ));
            }
        };
        let name = self.algorithm_name.filter(|name| !name.trim().is_empty());
        let algorithm = kind.map(|kind| Algorithm {
            kind,
            name: name.unwrap_or_else(|| "unknown".to_owned()),
            ..Algorithm::default()
        });
        // As dcmqi does it: what is not called anything is called what it is.
        let meaning = codes.kind.as_ref().map(|code| code.meaning.clone());
        let named = [self.name, meaning, self.description.clone()].into_iter().flatten();
        let name = named.map(|name| name.trim().to_owned()).find(|name| !name.is_empty());
        Ok(Segment {
            label,
            name: name.unwrap_or_else(|| format!("Label {label}")),
            description: self.description.filter(|text| !text.trim().is_empty()),
            color: self.color.unwrap_or_else(|| usual_color((label % 256) as u8)),
            codes,
            algorithm,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{
        "@schema": "https://example.org/seg-schema.json#",
        "ContentCreatorName": "Doe^John", "SeriesNumber": "300", "InstanceNumber": 2,
        "BodyPartExamined": "", "SeriesDescription": "Segmentation",
        "segmentAttributes": [[
            {"labelID": 1, "SegmentDescription": "Liver Segmentation", "SegmentLabel": "Leber",
             "SegmentAlgorithmType": "SEMIAUTOMATIC", "SegmentAlgorithmName": "Editor",
             "SegmentedPropertyCategoryCodeSequence":
                {"CodeValue": "T-D0050", "CodingSchemeDesignator": "SRT", "CodeMeaning": "Tissue"},
             "SegmentedPropertyTypeCodeSequence":
                [{"CodeValue": "T-62000", "CodingSchemeDesignator": "SRT", "CodeMeaning": "Liver"}],
             "recommendedDisplayRGBValue": [221, 130, 101]}],
            [{"LabelID": "5", "SegmentAlgorithmType": "MANUAL",
             "SegmentedPropertyTypeCodeSequence":
                {"CodeValue": "80891009", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Heart"}}
        ]]}"#;

    #[test]
    fn files_in_the_wild_are_understood() {
        let found = Metainfo::parse(TWO.as_bytes()).unwrap();
        assert_eq!((found.series_number, found.instance_number), (Some(300), Some(2)));
        assert_eq!(found.creator.as_deref(), Some("Doe^John"));
        let [liver, heart] = found.segments.as_slice() else { panic!("{found:?}") };
        assert_eq!((liver.label, liver.name.as_str(), liver.color), (1, "Leber", [221, 130, 101]));
        assert_eq!(liver.codes.kind.as_ref().unwrap().value, "T-62000");
        assert_eq!((heart.label, heart.name.as_str()), (5, "Heart"));
        assert_eq!(heart.algorithm.as_ref().unwrap().kind, AlgorithmKind::Manual);
        assert_eq!(heart.codes.category, None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let refusal = |text: &str| Metainfo::parse(text.as_bytes()).unwrap_err();
        for (from, to, expected) in [
            ("\"5\"", "1", "found 1 twice: its lists are for several label files"),
            ("\"5\"", "70000", "from 1 to 65535, found 70000"),
            ("MANUAL", "BY HAND", "found \"BY HAND\""),
            ("\"Heart\"", "\"\"", "label 5: expected the meaning of a code"),
            ("80891009", "12345678901234567", "label 5: expected a code of 1 to 16"),
            ("\"LabelID\": \"5\",", "", "missing field `labelID`"),
            ("segmentAttributes", "segments", "missing field `segmentAttributes`"),
        ] {
            let message = refusal(&TWO.replace(from, to));
            assert!(message.contains(expected), "{message}");
        }
        assert!(refusal("{\"segmentAttributes\": [[]]}").contains("found none"));
        assert!(refusal("[1, 2").contains("JSON of dcmqi"));
    }
}
