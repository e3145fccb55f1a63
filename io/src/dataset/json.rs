//! `dataset.json`, which nnU-Net and the Medical Segmentation Decathlon put beside their folders.
//!
//! It says what the labels and channels are called, and the Decathlon's also which image belongs
//! to which labels. Finding the files is left to `pairs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Class, DatasetError};
use crate::picture::usual_color;

/// The file's name.
pub(super) const NAME: &str = "dataset.json";

/// More than any list of cases takes.
const MOST_BYTES: u64 = 64 << 20;

/// Whose layout a data set has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// nnU-Net v2: `imagesTr/CASE_0000.ENDING`, one file per channel, and `labelsTr/CASE.ENDING`.
    NnUnet,
    /// Medical Segmentation Decathlon: pairs as `dataset.json` lists them, channels as the fourth
    /// axis of an image.
    Msd,
}

impl Layout {
    /// Its name in a description.
    pub fn name(self) -> &'static str {
        match self {
            Self::NnUnet => "nnunet",
            Self::Msd => "msd",
        }
    }
}

/// What `dataset.json` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatasetJson {
    pub(super) layout: Layout,
    pub(super) name: Option<String>,
    /// What each channel is called, by its number.
    pub(super) channels: Vec<String>,
    /// Background first.
    pub(super) classes: Vec<Class>,
    /// The value that means "ignored".
    pub(super) ignored: Option<u8>,
    /// How all names end, of nnU-Net.
    pub(super) file_ending: String,
    /// How many cases there should be.
    pub(super) num_training: Option<u64>,
    /// Images and labels of each case, where they are listed.
    pub(super) listed: Option<Vec<Listed>>,
}

/// A case that is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its name, where it is listed under one.
    pub(super) id: Option<String>,
    pub(super) images: Vec<PathBuf>,
    pub(super) labels: PathBuf,
}

impl DatasetJson {
    /// Reads the file in `folder`; it says itself which layout it describes, which has to be
    /// `expected` where one is.
    pub(super) fn read(folder: &Path, expected: Option<Layout>) -> Result<Self, DatasetError> {
        let path = folder.join(NAME);
        let read = |source| DatasetError::Read { path: path.clone(), source };
        let refuse = |message: String| DatasetError::Content { message, path: path.clone() };
        let size = std::fs::metadata(&path).map_err(read)?.len();
        if size > MOST_BYTES {
            return Err(refuse(format!("expected at most {MOST_BYTES} bytes, found {size}")));
        }
        let text = std::fs::read_to_string(&path).map_err(read)?;
        let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| refuse(format!("expected JSON: {error}")))?;
        let object = value.as_object().ok_or_else(|| refuse("expected an object".to_owned()))?;
        Self::of(object, expected).map_err(refuse)
    }

    fn of(object: &Map<String, Value>, expected: Option<Layout>) -> Result<Self, String> {
        let found = match (object.get("channel_names"), object.get("modality")) {
            (Some(_), _) => Layout::NnUnet,
            (None, Some(_)) => Layout::Msd,
            (None, None) => {
                return Err(
                    "expected `channel_names` (nnU-Net v2) or `modality` (Decathlon), found neither"
                        .to_owned(),
                );
            }
        };
        if let Some(expected) = expected
            && expected != found
        {
            let (expected, found) = (expected.name(), found.name());
            return Err(format!("expected the layout {expected:?}, found that of {found:?}"));
        }
        let (names, labels, listed) = match found {
            Layout::NnUnet => {
                ("channel_names", labels_by_name(object)?, listed_by_name(object.get("dataset"))?)
            }
            Layout::Msd => ("modality", labels_by_value(object)?, listed_in_pairs(object)?),
        };
        let (classes, ignored) = classes(labels)?;
        let file_ending = match (found, object.get("file_ending")) {
            (Layout::NnUnet, Some(Value::String(ending))) if ending.starts_with('.') => {
                ending.clone()
            }
            (Layout::NnUnet, found) => {
                let found = found.map_or("nothing".to_owned(), Value::to_string);
                return Err(format!(
                    "expected `file_ending` with its point, as in \".nii.gz\", found {found}"
                ));
            }
            (Layout::Msd, _) => String::new(),
        };
        Ok(Self {
            layout: found,
            name: object.get("name").and_then(Value::as_str).map(str::to_owned),
            channels: numbered(object, names)?,
            classes,
            ignored,
            file_ending,
            num_training: object.get("numTraining").and_then(Value::as_u64),
            listed,
        })
    }

    /// The number of the channel that is called `wanted`, or has this number.
    pub(super) fn channel(&self, wanted: &str) -> Result<usize, String> {
        let named = self.channels.iter().position(|name| name == wanted);
        let numbered = wanted.parse().ok().filter(|&number| number < self.channels.len());
        named.or(numbered).ok_or_else(|| {
            format!("expected one of the channels {}, found {wanted:?}", self.channels_told())
        })
    }

    /// "0 (T2), 1 (ADC)".
    pub(super) fn channels_told(&self) -> String {
        let told =
            self.channels.iter().enumerate().map(|(number, name)| format!("{number} ({name})"));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// The values of an object whose keys count from 0.
fn numbered(object: &Map<String, Value>, name: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("expected `{name}` with names for \"0\", \"1\" and so on");
    let names = object.get(name).and_then(Value::as_object).ok_or_else(wrong)?;
    let by_number: Option<BTreeMap<usize, String>> = names
        .iter()
        .map(|(number, name)| Some((number.parse().ok()?, name.as_str()?.to_owned())))
        .collect();
    let by_number = by_number.ok_or_else(wrong)?;
    if by_number.is_empty() || !by_number.keys().copied().eq(0..names.len()) {
        return Err(wrong());
    }
    Ok(by_number.into_values().collect())
}

/// Labels of nnU-Net v2: a value for each name.
fn labels_by_name(object: &Map<String, Value>) -> Result<Vec<(String, u64)>, String> {
    let labels = object.get("labels").and_then(Value::as_object);
    let labels = labels.ok_or("expected `labels` with a value for each name")?;
    let regions = labels.iter().find(|(_, value)| value.is_array());
    if let Some((name, values)) = regions {
        return Err(format!(
            "expected one value for each label, found a region of several ({name}: {values}), \
             which is not supported"
        ));
    }
    let label = |(name, value): (&String, &Value)| {
        let value = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let value = value.ok_or_else(|| format!("expected a value of the label {name:?}"))?;
        Ok((name.clone(), value))
    };
    labels.iter().map(label).collect()
}

/// Labels of the Decathlon: a name for each value.
fn labels_by_value(object: &Map<String, Value>) -> Result<Vec<(String, u64)>, String> {
    let labels = object.get("labels").and_then(Value::as_object);
    let labels = labels.ok_or("expected `labels` with a name for each value")?;
    let label = |(value, name): (&String, &Value)| {
        Some((name.as_str()?.to_owned(), value.parse::<u64>().ok()?))
    };
    let found: Option<Vec<_>> = labels.iter().map(label).collect();
    found.ok_or_else(|| "expected `labels` with a name for each value".to_owned())
}

/// Classes by value from 0 on, and the value that is called "ignore", which is the last.
fn classes(labels: Vec<(String, u64)>) -> Result<(Vec<Class>, Option<u8>), String> {
    let mut by_value = BTreeMap::new();
    for (name, value) in labels {
        let value = u8::try_from(value)
            .map_err(|_| format!("expected values up to 255, found {value} of {name:?}"))?;
        if let Some(other) = by_value.insert(value, name.clone()) {
            return Err(format!("expected one label for {value}, found {other:?} and {name:?}"));
        }
    }
    let ignored = by_value.iter().find(|(_, name)| *name == "ignore").map(|(&value, _)| value);
    if let Some(value) = ignored {
        if by_value.keys().last() != Some(&value) {
            return Err(format!("expected \"ignore\" to be the highest value, found {value}"));
        }
        by_value.remove(&value);
    }
    if !by_value.keys().copied().eq((0..=u8::MAX).take(by_value.len())) {
        let found: Vec<String> = by_value.keys().map(ToString::to_string).collect();
        return Err(format!("expected the values 0, 1, 2 and so on, found {}", found.join(", ")));
    }
    if by_value.len() < 2 {
        return Err(format!("expected a background and a class, found {}", by_value.len()));
    }
    let class = |(value, name)| Class { name, color: usual_color(value), ..Class::default() };
    Ok((by_value.into_iter().map(class).collect(), ignored))
}

/// The optional list of nnU-Net v2: `"CASE": {"images": […], "label": …}`.
fn listed_by_name(list: Option<&Value>) -> Result<Option<Vec<Listed>>, String> {
    let Some(list) = list else { return Ok(None) };
    let wrong = |id: &str| format!("expected `images` and `label` of the case {id:?}");
    let list = list.as_object().ok_or("expected `dataset` with an entry for each case")?;
    let case = |(id, entry): (&String, &Value)| {
        let images = entry.get("images").and_then(Value::as_array);
        let images: Option<Vec<PathBuf>> =
            images.and_then(|images| images.iter().map(path).collect());
        let labels = entry.get("label").and_then(path);
        let (Some(images), Some(labels)) = (images, labels) else { return Err(wrong(id)) };
        if images.is_empty() {
            return Err(wrong(id));
        }
        Ok(Listed { id: Some(id.clone()), images, labels })
    };
    list.iter().map(case).collect::<Result<_, _>>().map(Some)
}

/// The list of the Decathlon: `{"image": …, "label": …}`.
fn listed_in_pairs(object: &Map<String, Value>) -> Result<Option<Vec<Listed>>, String> {
    let training = object.get("training").and_then(Value::as_array);
    let training = training.ok_or("expected `training` with an image and a label for each case")?;
    let pair = |(number, entry): (usize, &Value)| {
        let image = entry.get("image").and_then(path);
        match (image, entry.get("label").and_then(path)) {
            (Some(image), Some(labels)) => Ok(Listed { id: None, images: vec![image], labels }),
            _ => Err(format!("expected `image` and `label` in entry {number} of `training`")),
        }
    };
    training.iter().enumerate().map(pair).collect::<Result<_, _>>().map(Some)
}

fn path(value: &Value) -> Option<PathBuf> {
    value.as_str().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DatasetJson, String> {
        let value: Value = serde_json::from_str(text).unwrap();
        DatasetJson::of(value.as_object().unwrap(), None)
    }

    fn nnunet(labels: &str) -> Result<DatasetJson, String> {
        read(&format!(
            r#"{{"channel_names": {{"1": "ADC", "0": "T2"}}, "labels": {labels},
                "numTraining": 3, "file_ending": ".nii.gz"}}"#
        ))
    }

    #[test]
    fn nnunet_names_channels_and_labels() {
        let json = nnunet(r#"{"ignore": 3, "zone": 2, "background": 0, "gland": 1}"#).unwrap();
        assert_eq!(json.layout, Layout::NnUnet);
        assert_eq!(json.channels, ["T2", "ADC"]);
        let names: Vec<&str> = json.classes.iter().map(|class| class.name.as_str()).collect();
        assert_eq!((names, json.ignored), (vec!["background", "gland", "zone"], Some(3)));
        assert_eq!(json.channel("ADC"), Ok(1));
        assert_eq!(json.channel("0"), Ok(0));
        assert_eq!(
            json.channel("2").unwrap_err(),
            "expected one of the channels 0 (T2), 1 (ADC), found \"2\""
        );
    }

    #[test]
    fn labels_that_are_no_plain_classes_are_refused() {
        for (labels, reason) in [
            (
                r#"{"background": 0, "whole": [1, 2], "core": 2}"#,
                "found a region of several (whole: [1,2])",
            ),
            (
                r#"{"background": 0, "gland": 2}"#,
                "expected the values 0, 1, 2 and so on, found 0, 2",
            ),
            (r#"{"background": 0, "ignore": 1, "gland": 2}"#, "to be the highest value, found 1"),
            (r#"{"background": 0, "a": 1, "b": 1}"#, "expected one label for 1"),
            (r#"{"background": 0, "a": 300}"#, "expected values up to 255, found 300"),
            (r#"{"background": 0}"#, "expected a background and a class"),
            (r#"["background"]"#, "expected `labels` with a value for each name"),
        ] {
            let message = nnunet(labels).unwrap_err();
            assert!(message.contains(reason), "{message}");
        }
    }

    #[test]
    fn the_decathlon_lists_pairs() {
        let json = read(
            r#"{"name": "Hippocampus", "tensorImageSize": "3D", "modality": {"0": "MRI"},
                "labels": {"0": "background", "1": "Anterior", "2": "Posterior"}, "numTraining": 1,
                "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
                "test": ["./imagesTs/b.nii.gz"]}"#,
        );
        let json = json.unwrap();
        assert_eq!((json.layout, json.channels.len(), json.classes.len()), (Layout::Msd, 1, 3));
        assert_eq!(json.listed.unwrap()[0].labels, Path::new("./labelsTr/a.nii.gz"));
        assert!(read(r#"{"labels": {}}"#).unwrap_err().contains("found neither"));
        let short =
            read(r#"{"modality": {"0": "MRI"}, "labels": {"0": "b", "1": "a"}, "training": [{}]}"#);
        assert_eq!(short.unwrap_err(), "expected `image` and `label` in entry 0 of `training`");
    }
}
