//! What tools may change: one set of rules that all of them obey.

use lamina_io::Volume;
use serde::{Deserialize, Serialize};

use crate::error::EditError;
use crate::label_set::LabelSet;
use crate::values::{ValueRange, keep_in_range};

/// Which voxels may be changed. The default lets all of them. Rules hold for what is done, not for
/// what is undone.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Only voxels that have one of these labels now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_labels: Option<LabelSet>,
    /// Only voxels whose image value lies in this range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_values: Option<ValueRange>,
    /// These labels neither lose nor gain a voxel.
    #[serde(skip_serializing_if = "LabelSet::is_empty")]
    pub locked: LabelSet,
}

impl Rules {
    /// Whether these are no rules at all.
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

/// The rules, and what a tool adds to them, ready to be asked for each voxel.
#[derive(Clone)]
pub(crate) struct Gate<'a> {
    may_lose: LabelSet,
    may_gain: LabelSet,
    ranges: [Option<ValueRange>; 2],
    image: Option<&'a Volume>,
}

impl<'a> Gate<'a> {
    pub(crate) fn new(rules: &Rules, image: Option<&'a Volume>) -> Result<Self, EditError> {
        let unlocked = |&label: &u8| !rules.locked.contains(label);
        let within = |&label: &u8| rules.within_labels.is_none_or(|set| set.contains(label));
        let gate = Self {
            may_lose: (0..=255).filter(unlocked).filter(within).collect(),
            may_gain: (0..=255).filter(unlocked).collect(),
            ranges: [rules.within_values, None],
            image,
        };
        gate.checked()
    }

    /// Only voxels that have one of these labels, besides.
    pub(crate) fn over(mut self, labels: LabelSet) -> Self {
        self.may_lose = self.may_lose.iter().filter(|&label| labels.contains(label)).collect();
        self
    }

    /// Only voxels with such values, besides.
    pub(crate) fn in_range(mut self, range: Option<ValueRange>) -> Result<Self, EditError> {
        self.ranges[1] = range;
        self.checked()
    }

    fn checked(self) -> Result<Self, EditError> {
        let ranges = self.ranges.iter().flatten();
        for range in ranges {
            if range.low.is_nan() || range.high.is_nan() {
                return Err(EditError::NotFinite { what: "the range of values" });
            }
            if self.image.is_none() {
                return Err(EditError::NoImage);
            }
        }
        Ok(self)
    }

    /// That `label` may be painted at all.
    pub(crate) fn check_gain(&self, label: u8) -> Result<(), EditError> {
        if self.may_gain.contains(label) { Ok(()) } else { Err(EditError::Locked { label }) }
    }

    /// Whether a voxel may go from `old` to `new`, as far as labels decide.
    pub(crate) fn labels_allow(&self, old: u8, new: u8) -> bool {
        self.may_lose.contains(old) && self.may_gain.contains(new)
    }

    /// Whether image values have a say.
    pub(crate) fn asks_values(&self) -> bool {
        self.ranges.iter().any(Option::is_some)
    }

    /// Clears `keep` where image values forbid a change; it begins at `[k, j, first]`.
    pub(crate) fn keep_by_value(&self, at: [usize; 3], keep: &mut [bool]) {
        let Some(image) = self.image else { return };
        for range in self.ranges.iter().flatten() {
            keep_in_range(image, at, *range, keep);
        }
    }

    /// Whether the value at `index` allows a change.
    pub(crate) fn value_allows(&self, index: [usize; 3]) -> bool {
        let Some(image) = self.image.filter(|_| self.asks_values()) else { return true };
        let value = image.value(index);
        self.ranges.iter().flatten().all(|range| range.contains(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_label_neither_loses_nor_gains() {
        let rules = Rules { locked: LabelSet::from([2]), ..Rules::default() };
        let gate = Gate::new(&rules, None).unwrap();
        assert!(gate.labels_allow(1, 3) && !gate.labels_allow(2, 3) && !gate.labels_allow(1, 2));
        assert!(matches!(gate.check_gain(2), Err(EditError::Locked { label: 2 })));
    }

    #[test]
    fn a_range_of_values_needs_an_image() {
        let range = ValueRange::between(1.0, 2.0);
        let rules = Rules { within_values: Some(range), ..Rules::default() };
        assert!(matches!(Gate::new(&rules, None), Err(EditError::NoImage)));
        let free = Gate::new(&Rules::default(), None).unwrap();
        assert!(matches!(free.in_range(Some(range)), Err(EditError::NoImage)));
    }

    #[test]
    fn rules_that_say_nothing_are_empty_in_files() {
        assert_eq!(serde_json::to_string(&Rules::default()).unwrap(), "{}");
        assert!(serde_json::from_str::<Rules>("{\"lokced\":[1]}").is_err());
    }
}
