//! Which label was taken for which: the counts that every overlap comes from.
//!
//! | pixels of no class that counts | pixel accuracy, frequency-weighted IoU | mean IoU |
//! |---|---|---|
//! | all of them | none | none |
//! | some | over the others | over the classes that either side holds among the others |
//!
//! Counted in whole numbers of 64 bits, so that sums over any number of pictures are exact. Where
//! the reference is ignored nothing is counted; a prediction of an ignored label counts as wrong.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array3, Axis};
use serde::{Deserialize, Serialize};

use super::overlap::ClassOverlap;

/// How many voxels of each label of the reference were given each label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confusion {
    counts: BTreeMap<(u8, u8), u64>, // by reference and prediction; none is zero
}

impl Confusion {
    /// Counts two label maps of equal shape.
    pub fn of(prediction: &Array3<u8>, reference: &Array3<u8>) -> Self {
        assert_eq!(prediction.dim(), reference.dim(), "the caller compares the grids first");
        let mut counter = Counter::default();
        for (prediction, reference) in
            prediction.axis_iter(Axis(0)).zip(reference.axis_iter(Axis(0)))
        {
            if let (Some(prediction), Some(reference)) =
                (prediction.as_slice(), reference.as_slice())
            {
                counter.count_slice(prediction, reference);
            } else {
                for (&predicted, &annotated) in prediction.iter().zip(reference) {
                    counter.add(predicted, annotated, 1);
                }
            }
        }
        counter.finish()
    }

    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        for (&pair, count) in &other.counts {
            *self.counts.entry(pair).or_default() += count;
        }
    }

    /// Leaves out all voxels whose reference is one of `ignored`.
    #[must_use]
    pub fn without(&self, ignored: &BTreeSet<u8>) -> Self {
        let kept = self.counts.iter().filter(|((annotated, _), _)| !ignored.contains(annotated));
        Self { counts: kept.map(|(&pair, &count)| (pair, count)).collect() }
    }

    /// Voxels of label `reference` that were given label `prediction`.
    pub fn count(&self, reference: u8, prediction: u8) -> u64 {
        self.counts.get(&(reference, prediction)).copied().unwrap_or(0)
    }

    /// All voxels.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Every label that either side holds.
    pub fn labels(&self) -> BTreeSet<u8> {
        self.counts.keys().flat_map(|&(annotated, predicted)| [annotated, predicted]).collect()
    }

    /// Every pair of labels, reference first, that occurs, and how often.
    pub fn pairs(&self) -> impl Iterator<Item = ((u8, u8), u64)> + '_ {
        self.counts.iter().map(|(&pair, &count)| (pair, count))
    }

    /// The counts of one label.
    pub fn class(&self, label: u8) -> ClassOverlap {
        let sum = |counted: &dyn Fn(u8, u8) -> bool| {
            self.pairs().filter(|&((a, p), _)| counted(a, p)).map(|(_, count)| count).sum()
        };
        ClassOverlap {
            prediction: sum(&|_, predicted| predicted == label),
            reference: sum(&|annotated, _| annotated == label),
            both: self.count(label, label),
        }
    }

    /// Share of voxels whose label is right; `None` without voxels.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        let right: u64 = self.pairs().filter(|((a, p), _)| a == p).map(|(_, count)| count).sum();
        let total = self.total();
        (total > 0).then(|| right as f64 / total as f64)
    }

    /// IoU of each class weighted by how common it is in the reference: eq. in section 5 of Long et
    /// al., Fully Convolutional Networks, CVPR 2015. `None` without voxels.
    pub fn frequency_weighted_iou(&self) -> Option<f64> {
        let total = self.total();
        let weighted = |label: u8| {
            let overlap = self.class(label);
            Some(overlap.reference as f64 * overlap.iou()?)
        };
        (total > 0)
            .then(|| self.labels().into_iter().filter_map(weighted).sum::<f64>() / total as f64)
    }

    /// The counts as a table, rows of the reference, over `labels` in this order; `other` says how
    /// many voxels lie outside of it.
    pub fn table(&self, labels: &[u8]) -> ConfusionTable {
        let row = |&annotated: &u8| {
            labels.iter().map(|&predicted| self.count(annotated, predicted)).collect()
        };
        let rows: Vec<Vec<u64>> = labels.iter().map(row).collect();
        let inside: u64 = rows.iter().flatten().sum();
        ConfusionTable { labels: labels.to_vec(), rows, other: self.total() - inside }
    }
}

/// A confusion matrix as files hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionTable {
    /// The label of each row and column.
    pub labels: Vec<u8>,
    /// Voxels, one row for each label of the reference, one column for each of the prediction.
    pub rows: Vec<Vec<u64>>,
    /// Voxels of which one side has a label that is not in the list.
    #[serde(default)]
    pub other: u64,
}

/// Counts while it goes over voxels; equal neighbors are counted together.
struct Counter {
    counts: Vec<u64>, // [reference, prediction]
    pair: (u8, u8),
    run: u64,
}

impl Default for Counter {
    fn default() -> Self {
        Self { counts: vec![0; 1 << 16], pair: (0, 0), run: 0 }
    }
}

impl Counter {
    fn count_slice(&mut self, prediction: &[u8], reference: &[u8]) {
        let (predictions, last_p) = prediction.as_chunks::<8>();
        let (references, last_r) = reference.as_chunks::<8>();
        for (predicted, annotated) in predictions.iter().zip(references) {
            if *predicted == [predicted[0]; 8] && *annotated == [annotated[0]; 8] {
                self.add(predicted[0], annotated[0], 8);
            } else {
                for (&predicted, &annotated) in predicted.iter().zip(annotated) {
                    self.add(predicted, annotated, 1);
                }
            }
        }
        for (&predicted, &annotated) in last_p.iter().zip(last_r) {
            self.add(predicted, annotated, 1);
        }
    }

    fn add(&mut self, predicted: u8, annotated: u8, voxels: u64) {
        if (annotated, predicted) == self.pair {
            self.run += voxels;
        } else {
            self.end_run();
            (self.pair, self.run) = ((annotated, predicted), voxels);
        }
    }

    fn end_run(&mut self) {
        self.counts[usize::from(self.pair.0) << 8 | usize::from(self.pair.1)] += self.run;
        self.run = 0;
    }

    fn finish(mut self) -> Confusion {
        self.end_run();
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        Confusion { counts: counts.map(|(n, &count)| (((n >> 8) as u8, n as u8), count)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(labels: &[u8]) -> Array3<u8> {
        Array3::from_shape_vec([1, 1, labels.len()], labels.to_vec()).unwrap()
    }

    fn confusion(prediction: &[u8], reference: &[u8]) -> Confusion {
        Confusion::of(&row(prediction), &row(reference))
    }

    #[test]
    fn counts_are_those_of_a_pencil() {
        let found = confusion(&[1, 1, 2, 0, 0, 2], &[1, 2, 2, 0, 1, 2]);
        assert_eq!(found.table(&[0, 1, 2]).rows, [[1, 0, 0], [1, 1, 0], [0, 1, 2]]);
        assert_eq!(
            found.table(&[1, 2]),
            ConfusionTable { labels: vec![1, 2], rows: vec![vec![1, 0], vec![1, 2]], other: 2 }
        );
        assert_eq!(found.class(2), ClassOverlap { prediction: 2, reference: 3, both: 2 });
        assert_eq!(found.pixel_accuracy(), Some(4.0 / 6.0));
        // (1 of 6: IoU 1/2) + (2 of 6: 1/3) + (3 of 6: 2/3)
        let expected = (0.5 + 2.0 / 3.0 + 2.0) / 6.0;
        assert!((found.frequency_weighted_iou().unwrap() - expected).abs() < 1e-15);
    }

    #[test]
    fn runs_of_equal_voxels_are_counted_as_one_by_one() {
        let of = |seed: usize| {
            Array3::from_shape_fn([3, 5, 37], |(k, j, i)| ((k * 7 + j * 3 + i / seed) % 5) as u8)
        };
        let (prediction, reference) = (of(9), of(11));
        let found = Confusion::of(&prediction, &reference);
        let mut expected = BTreeMap::new();
        for pair in reference.iter().copied().zip(prediction.iter().copied()) {
            *expected.entry(pair).or_insert(0) += 1;
        }
        assert_eq!(found.counts, expected);
        let turned = |labels: &Array3<u8>| labels.clone().reversed_axes();
        assert_eq!(Confusion::of(&turned(&prediction), &turned(&reference)), found);
    }

    #[test]
    fn what_the_reference_ignores_is_not_counted_and_predicting_it_is_wrong() {
        let found = confusion(&[1, 1, 255, 1], &[1, 255, 1, 1]).without(&BTreeSet::from([255]));
        assert_eq!(found.total(), 3);
        assert_eq!(found.pixel_accuracy(), Some(2.0 / 3.0));
        assert_eq!(found.class(1).iou(), Some(2.0 / 3.0));
    }

    #[test]
    fn nothing_to_count_has_no_accuracy() {
        let found = confusion(&[1], &[255]).without(&BTreeSet::from([255]));
        assert_eq!((found.pixel_accuracy(), found.frequency_weighted_iou()), (None, None));
    }

    #[test]
    fn pooling_adds_up() {
        let mut pooled = confusion(&[1, 0], &[1, 1]);
        pooled.add(&confusion(&[0, 0], &[1, 0]));
        assert_eq!(pooled, confusion(&[1, 0, 0, 0], &[1, 1, 1, 0]));
    }
}
