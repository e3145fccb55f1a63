//! Sets of labels.

use serde::{Deserialize, Serialize};

/// Some of the 256 labels. In files it is a list.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "Vec<u8>", from = "Vec<u8>")]
pub struct LabelSet([u64; 4]);

impl LabelSet {
    /// No label.
    pub const EMPTY: Self = Self([0; 4]);

    /// Whether `label` is one of them.
    pub const fn contains(&self, label: u8) -> bool {
        self.0[(label >> 6) as usize] >> (label & 63) & 1 == 1
    }

    /// Adds a label.
    pub fn insert(&mut self, label: u8) {
        self.0[usize::from(label >> 6)] |= 1 << (label & 63);
    }

    /// Takes a label out.
    pub fn remove(&mut self, label: u8) {
        self.0[usize::from(label >> 6)] &= !(1 << (label & 63));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// The labels, in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + use<> {
        let set = *self;
        (0..=255).filter(move |&label| set.contains(label))
    }
}

impl FromIterator<u8> for LabelSet {
    fn from_iter<T: IntoIterator<Item = u8>>(labels: T) -> Self {
        let mut set = Self::EMPTY;
        labels.into_iter().for_each(|label| set.insert(label));
        set
    }
}

impl<const N: usize> From<[u8; N]> for LabelSet {
    fn from(labels: [u8; N]) -> Self {
        labels.into_iter().collect()
    }
}

impl From<Vec<u8>> for LabelSet {
    fn from(labels: Vec<u8>) -> Self {
        labels.into_iter().collect()
    }
}

impl From<LabelSet> for Vec<u8> {
    fn from(set: LabelSet) -> Self {
        set.iter().collect()
    }
}

impl std::fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_a_list_in_files() {
        let mut set = LabelSet::from([255, 0, 64, 64]);
        assert_eq!(serde_json::to_string(&set).unwrap(), "[0,64,255]");
        assert_eq!(serde_json::from_str::<LabelSet>("[64,255,0]").unwrap(), set);
        set.remove(64);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 255]);
        assert!(set.contains(255) && !set.contains(63) && !set.is_empty());
    }
}
