//! Label files whose values are not the labels: official ids, and values that mean "ignored".

use std::collections::BTreeSet;
use std::sync::Arc;

use ndarray::Array3;

use super::{Case, Class, DatasetConfig, value_names};
use crate::error::VolumeError;
use crate::image::Description;
use crate::label::LabelVolume;
use crate::picture::LabelColors;
use crate::read::{ReadOptions, read_label_values, read_labels};

/// The label that neither a loss nor a metric looks at.
pub(super) const IGNORED: u8 = 255;

/// Which label each value of a file stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelTable(Arc<[Option<u8>]>);

impl LabelTable {
    /// The table of a data set; `None` where values are labels.
    pub(super) fn of(config: &DatasetConfig) -> Option<Self> {
        let as_they_are = config.ignored.iter().all(|&value| value == u16::from(IGNORED))
            && config.classes.iter().all(|class| class.value.is_none());
        if as_they_are {
            return None;
        }
        // Later ones go before earlier ones: 255 may be the value of a class.
        let ignored = config.ignored.iter().map(|&value| (value, IGNORED));
        let meanings: Vec<(u16, u8)> = std::iter::once((u16::from(IGNORED), IGNORED))
            .chain(others(config))
            .chain(ignored)
            .chain(values(config))
            .collect();
        let last = meanings.iter().map(|&(value, _)| usize::from(value)).max()?;
        let mut table = vec![None; last + 1];
        for (value, label) in meanings {
            table[usize::from(value)] = Some(label);
        }
        Some(Self(table.into()))
    }

    /// A value that has two meanings.
    pub(super) fn ambiguous(config: &DatasetConfig) -> Option<u16> {
        let mut seen = BTreeSet::new();
        let classes = values(config).map(|(value, _)| value);
        let others = others(config).map(|(value, _)| value);
        let ignored = config.ignored.iter().copied();
        classes.chain(others).chain(ignored).find(|&value| !seen.insert(value))
    }

    /// The label of a value, if it has one.
    pub fn label(&self, value: u16) -> Option<u8> {
        self.0.get(usize::from(value)).copied().flatten()
    }
}

/// The labels of colors, where label files are colored pictures.
pub(super) fn colors(config: &DatasetConfig) -> Option<Arc<LabelColors>> {
    let classes = config.classes.iter().map(|class| class.color).zip(0..=u8::MAX);
    let ignored = config.ignored_colors.iter().map(|&color| (color, IGNORED));
    config.colored_labels.then(|| Arc::new(LabelColors::new(classes.chain(ignored))))
}

/// Two classes that share a color, or one that is ignored.
pub(super) fn ambiguous_color(config: &DatasetConfig) -> Option<[u8; 3]> {
    let mut seen = BTreeSet::new();
    let classes = config.classes.iter().map(|class| class.color);
    let ignored = config.ignored_colors.iter().copied();
    classes.chain(ignored).find(|&color| !seen.insert(color))
}

/// The value of each class in label files, and its label; of those that a file names, once it is
/// read.
fn values(config: &DatasetConfig) -> impl Iterator<Item = (u16, u8)> {
    let named = config.value_names.is_some();
    let classes = config.classes.iter().zip(0..=u8::MAX);
    classes.filter_map(move |(class, label)| {
        let place = (!named).then_some(u16::from(label));
        Some((class.value.or(place)?, label))
    })
}

/// The values of names that are no class, and what they stand for.
fn others(config: &DatasetConfig) -> impl Iterator<Item = (u16, u8)> {
    let name = config.other_names.as_deref().unwrap_or_default();
    let label = value_names::label_of(config, name).unwrap_or(IGNORED);
    config.other_values.iter().map(move |&value| (value, label))
}

/// A value that no mask can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected values up to 255 to write masks with them, found {0}")]
pub struct WideValue(pub u16);

/// What label files say for each class, to write it: Cityscapes' ids for places in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelValues {
    value_of: [u8; 256],
    label_of: [u8; 256],
}

impl LabelValues {
    /// The values of `classes`; what is ignored gets the first of `ignored`. `None` where values
    /// are labels.
    ///
    /// # Errors
    /// If a value is larger than those of a mask.
    pub fn of(classes: &[Class], ignored: &[u16]) -> Result<Option<Self>, WideValue> {
        let own = classes.iter().any(|class| class.value.is_some());
        if !own {
            return Ok(None);
        }
        let narrow = |value: u16| u8::try_from(value).map_err(|_| WideValue(value));
        let mut value_of: [u8; 256] = std::array::from_fn(|label| label as u8);
        let mut label_of = [IGNORED; 256];
        value_of[usize::from(IGNORED)] = ignored.first().map_or(Ok(IGNORED), |&v| narrow(v))?;
        for (class, label) in classes.iter().zip(0..=u8::MAX) {
            let value = class.value.map_or(Ok(label), narrow)?;
            value_of[usize::from(label)] = value;
            label_of[usize::from(value)] = label;
        }
        Ok(Some(Self { value_of, label_of }))
    }

    /// Labels as values.
    #[must_use]
    pub fn values_of(&self, mut labels: LabelVolume) -> LabelVolume {
        labels.labels.mapv_inplace(|label| self.value_of[usize::from(label)]);
        labels
    }

    /// Values as labels; what stands for no class is ignored.
    #[must_use]
    pub fn labels_of(&self, mut values: LabelVolume) -> LabelVolume {
        values.labels.mapv_inplace(|value| self.label_of[usize::from(value)]);
        values
    }

    /// Colors by label, by value; those of other values are black.
    pub fn colors(&self, by_label: &[[u8; 3]]) -> Vec<[u8; 3]> {
        let label = |value: u8| usize::from(self.label_of[usize::from(value)]);
        (0..=u8::MAX).map(|value| by_label.get(label(value)).copied().unwrap_or_default()).collect()
    }
}

/// What a label file holds.
pub(super) enum Stored {
    /// Labels.
    Labels(Box<LabelVolume>),
    /// Values, of which the table of the case says what they stand for.
    Values(Array3<u16>, Box<Description>, LabelTable),
}

impl Case {
    /// The labels or values as their file has them, or as the colors in it say.
    pub(super) fn read_stored_labels(&self) -> Result<Stored, VolumeError> {
        let options = ReadOptions::default();
        match (&self.colors, &self.table) {
            (Some(colors), _) => {
                let labels = colors.read(&self.labels, &options.limits)?;
                Ok(Stored::Labels(Box::new(labels)))
            }
            (None, None) => Ok(Stored::Labels(Box::new(read_labels(&self.labels, &options)?))),
            (None, Some(table)) => {
                let (values, description) = read_label_values(&self.labels, &options)?;
                Ok(Stored::Values(values, Box::new(description), table.clone()))
            }
        }
    }

    /// The reference labels, as the data set numbers its classes; 255 is ignored.
    ///
    /// # Errors
    /// As [`read_labels`], and if a value stands for no class.
    pub fn read_labels(&self) -> Result<LabelVolume, VolumeError> {
        let (values, description, table) = match self.read_stored_labels()? {
            Stored::Labels(labels) => return Ok(*labels),
            Stored::Values(values, description, table) => (values, *description, table),
        };
        let mut labels = Array3::zeros(values.raw_dim());
        for (((k, j, i), &value), label) in values.indexed_iter().zip(&mut labels) {
            *label = table.label(value).ok_or_else(|| VolumeError::UnknownLabel {
                path: self.labels.clone(),
                value,
                index: [i, j, k].map(|n| n as u64),
            })?;
        }
        let Description { geometry, source, .. } = description;
        Ok(LabelVolume { labels, geometry, source })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Class;
    use super::*;

    fn config(values: &[Option<u16>], ignored: &[u16]) -> DatasetConfig {
        let class = |value: &Option<u16>| Class { value: *value, ..Class::default() };
        DatasetConfig {
            classes: values.iter().map(class).collect(),
            ignored: ignored.to_vec(),
            ..DatasetConfig::default()
        }
    }

    #[test]
    fn values_become_places_in_the_list() {
        let table = LabelTable::of(&config(&[Some(7), Some(0)], &[1, 2])).unwrap();
        let labels = [7, 0, 1, 2, 255, 3].map(|value| table.label(value));
        assert_eq!(labels, [Some(0), Some(1), Some(255), Some(255), Some(255), None]);
        assert_eq!(LabelTable::of(&config(&[None, None], &[255])), None);
    }

    #[test]
    fn values_may_be_large_and_255_be_one_of_a_class() {
        let table = LabelTable::of(&config(&[Some(65535), Some(255)], &[300])).unwrap();
        let labels = [65535, 255, 300, 65534].map(|value| table.label(value));
        assert_eq!(labels, [Some(0), Some(1), Some(255), None]);
    }

    #[test]
    fn labels_are_written_as_values_and_read_back() {
        let classes = config(&[Some(7), Some(0)], &[]).classes;
        let values = LabelValues::of(&classes, &[1, 2]).unwrap().unwrap();
        let labels = ndarray::arr3(&[[[0, 1, 255]]]);
        let labels = LabelVolume::new(labels, crate::Geometry::pixels([1, 1, 3])).unwrap();
        let written = values.values_of(labels.clone());
        assert_eq!(written.labels, ndarray::arr3(&[[[7, 0, 1]]]));
        assert_eq!(values.labels_of(written), labels);
        assert_eq!(
            values.colors(&[[1; 3], [2; 3]])[..8],
            [[2; 3], [0; 3], [0; 3], [0; 3], [0; 3], [0; 3], [0; 3], [1; 3]]
        );
        assert_eq!(LabelValues::of(&config(&[None, None], &[]).classes, &[]), Ok(None));
        let wide = config(&[Some(0), Some(397)], &[]).classes;
        assert_eq!(LabelValues::of(&wide, &[]), Err(WideValue(397)));
    }

    #[test]
    fn a_value_with_two_meanings_is_found() {
        assert_eq!(LabelTable::ambiguous(&config(&[Some(7), Some(7)], &[])), Some(7));
        assert_eq!(LabelTable::ambiguous(&config(&[None, None], &[1])), Some(1));
        assert_eq!(LabelTable::ambiguous(&config(&[None, None], &[2])), None);
    }
}
