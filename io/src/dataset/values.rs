//! Label files whose values are not the labels: official ids, and values that mean "ignored".

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Case, DatasetConfig};
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
    fn a_value_with_two_meanings_is_found() {
        assert_eq!(LabelTable::ambiguous(&config(&[Some(7), Some(7)], &[])), Some(7));
        assert_eq!(LabelTable::ambiguous(&config(&[None, None], &[1])), Some(1));
        assert_eq!(LabelTable::ambiguous(&config(&[None, None], &[2])), None);
    }
}
