//! Label files whose values are not the labels: official ids, and values that mean "ignored".

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Case, Class, DatasetConfig};
use crate::error::VolumeError;
use crate::label::LabelVolume;
use crate::picture::LabelColors;
use crate::read::{ReadOptions, read_labels};

/// The label that neither a loss nor a metric looks at.
pub(super) const IGNORED: u8 = 255;

/// Which label each value of a file stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelTable(Arc<[Option<u8>; 256]>);

impl LabelTable {
    /// The table of a data set; `None` where values are labels.
    pub(super) fn of(config: &DatasetConfig) -> Option<Self> {
        let as_they_are = config.ignored.iter().all(|&value| value == IGNORED)
            && config.classes.iter().all(|class| class.value.is_none());
        if as_they_are {
            return None;
        }
        let mut table = [None; 256];
        table[usize::from(IGNORED)] = Some(IGNORED);
        for &value in &config.ignored {
            table[usize::from(value)] = Some(IGNORED);
        }
        for (value, label) in values(config) {
            table[usize::from(value)] = Some(label);
        }
        Some(Self(Arc::new(table)))
    }

    /// A value that has two meanings.
    pub(super) fn ambiguous(config: &DatasetConfig) -> Option<u8> {
        let mut seen = [false; 256];
        let classes = values(config).map(|(value, _)| value);
        let ignored = config.ignored.iter().copied();
        classes.chain(ignored).find(|&value| std::mem::replace(&mut seen[usize::from(value)], true))
    }

    /// The label of a value, if it has one.
    pub fn label(&self, value: u8) -> Option<u8> {
        self.0[usize::from(value)]
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

/// The value of each class in label files, and its label.
fn values(config: &DatasetConfig) -> impl Iterator<Item = (u8, u8)> {
    let classes = config.classes.iter().zip(0..=u8::MAX);
    classes.map(|(class, label)| (class.value.unwrap_or(label), label))
}

/// What label files say for each class, to write it: Cityscapes' ids for places in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelValues {
    value_of: [u8; 256],
    label_of: [u8; 256],
}

impl LabelValues {
    /// The values of `classes`; what is ignored gets the first of `ignored`. `None` where values
    /// are labels.
    pub fn of(classes: &[Class], ignored: &[u8]) -> Option<Self> {
        let own = classes.iter().any(|class| class.value.is_some());
        if !own {
            return None;
        }
        let mut value_of: [u8; 256] = std::array::from_fn(|label| label as u8);
        let mut label_of = [IGNORED; 256];
        value_of[usize::from(IGNORED)] = ignored.first().copied().unwrap_or(IGNORED);
        for (class, label) in classes.iter().zip(0..=u8::MAX) {
            let value = class.value.unwrap_or(label);
            value_of[usize::from(label)] = value;
            label_of[usize::from(value)] = label;
        }
        Some(Self { value_of, label_of })
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

impl Case {
    /// The labels as their file has them, or as the colors in it say.
    pub(super) fn read_stored_labels(&self) -> Result<LabelVolume, VolumeError> {
        let options = ReadOptions::default();
        match &self.colors {
            Some(colors) => colors.read(&self.labels, &options.limits),
            None => read_labels(&self.labels, &options),
        }
    }

    /// The reference labels, as the data set numbers its classes; 255 is ignored.
    ///
    /// # Errors
    /// As [`read_labels`], and if a value stands for no class.
    pub fn read_labels(&self) -> Result<LabelVolume, VolumeError> {
        let mut labels = self.read_stored_labels()?;
        let Some(table) = &self.table else { return Ok(labels) };
        for ((k, j, i), label) in labels.labels.indexed_iter_mut() {
            *label = table.label(*label).ok_or_else(|| VolumeError::UnknownLabel {
                path: self.labels.clone(),
                value: *label,
                index: [i, j, k].map(|n| n as u64),
            })?;
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Class;
    use super::*;

    fn config(values: &[Option<u8>], ignored: &[u8]) -> DatasetConfig {
        let class = |value: &Option<u8>| Class { value: *value, ..Class::default() };
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
    fn labels_are_written_as_values_and_read_back() {
        let classes = config(&[Some(7), Some(0)], &[]).classes;
        let values = LabelValues::of(&classes, &[1, 2]).unwrap();
        let labels = ndarray::arr3(&[[[0, 1, 255]]]);
        let labels = LabelVolume::new(labels, crate::Geometry::pixels([1, 1, 3])).unwrap();
        let written = values.values_of(labels.clone());
        assert_eq!(written.labels, ndarray::arr3(&[[[7, 0, 1]]]));
        assert_eq!(values.labels_of(written), labels);
        assert_eq!(
            values.colors(&[[1; 3], [2; 3]])[..8],
            [[2; 3], [0; 3], [0; 3], [0; 3], [0; 3], [0; 3], [0; 3], [1; 3]]
        );
        assert_eq!(LabelValues::of(&config(&[None, None], &[]).classes, &[]), None);
    }

    #[test]
    fn a_value_with_two_meanings_is_found() {
        assert_eq!(LabelTable::ambiguous(&config(&[Some(7), Some(7)], &[])), Some(7));
        assert_eq!(LabelTable::ambiguous(&config(&[None, None], &[1])), Some(1));
        assert_eq!(LabelTable::ambiguous(&config(&[None, None], &[2])), None);
    }
}
