//! Extremes, mean and counts of values, in one pass over chunks of stored voxels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::viewing::Padding;
use crate::volume::Rescale;
use crate::voxels::{Scalar, StoredType};

/// Extremes and mean over the finite values of the picture; `None` where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Mean value.
    pub mean: Option<f64>,
    /// How many values are NaN or infinite.
    pub nonfinite: u64,
    /// How many voxels are no part of the picture, which the others leave out.
    pub padding: u64,
}

/// More distinct values than this are an image and no labels.
const MOST_LABELS: usize = 60;

/// From so many voxels on, counting first and rescaling later is faster.
const WORTH_A_HISTOGRAM: usize = 4096;

/// What has been seen so far of one volume.
pub(crate) struct Tally {
    rescale: Rescale,
    padding: Option<Padding>,
    padded: u64,
    min: f64,
    max: f64,
    sum: f64,
    finite: u64,
    nonfinite: u64,
    /// How often each value was seen, until there are too many or one is not whole.
    counts: Option<BTreeMap<i64, u64>>,
    /// How often each stored number was seen, for types with few of them.
    histogram: Vec<u64>,
}

impl Tally {
    pub(crate) fn new(rescale: Rescale, padding: Option<Padding>) -> Self {
        Self {
            rescale,
            padding,
            padded: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: 0.0,
            finite: 0,
            nonfinite: 0,
            counts: Some(BTreeMap::new()),
            histogram: Vec::new(),
        }
    }

    /// Takes in more stored voxels; all calls must be of one type.
    pub(crate) fn add<T: Scalar>(&mut self, stored: &[T]) {
        match T::TYPE {
            StoredType::U8 | StoredType::I8 | StoredType::U16 | StoredType::I16
                if stored.len() >= WORTH_A_HISTOGRAM =>
            {
                self.histogram.resize(1 << 17, 0);
                for value in stored {
                    self.histogram[(value.to_f64() as i64 + (1 << 16)) as usize] += 1;
                }
            }
            _ => {
                for (value, run) in runs(stored) {
                    self.add_stored(value, run);
                }
            }
        }
    }

    fn add_stored(&mut self, stored: f64, times: u64) {
        if self.padding.is_some_and(|padding| padding.holds(stored)) {
            self.padded += times;
            return;
        }
        let value = self.rescale.apply(stored);
        if !value.is_finite() {
            self.nonfinite += times;
            self.counts = None;
            return;
        }
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value * times as f64;
        self.finite += times;
        if let Some(counts) = &mut self.counts {
            let whole = value.trunc() == value && value.abs() < 9e15;
            if whole {
                *counts.entry(value as i64).or_default() += times;
            }
            if !whole || counts.len() > MOST_LABELS {
                self.counts = None;
            }
        }
    }

    fn empty_histogram(&mut self) {
        for (at, times) in std::mem::take(&mut self.histogram).into_iter().enumerate() {
            if times > 0 {
                self.add_stored(at as f64 - f64::from(1 << 16), times);
            }
        }
    }

    pub(crate) fn statistics(&mut self) -> Statistics {
        self.empty_histogram();
        let any = self.finite > 0;
        Statistics {
            min: any.then_some(self.min),
            max: any.then_some(self.max),
            mean: any.then(|| self.sum / self.finite as f64),
            nonfinite: self.nonfinite,
            padding: self.padded,
        }
    }

    /// How often each value occurs, if all are whole and there are few.
    pub(crate) fn counts(&mut self) -> Option<BTreeMap<i64, u64>> {
        self.empty_histogram();
        self.counts.clone()
    }
}

/// Neighbors that are equal, as one value and how often it comes.
fn runs<T: Scalar>(stored: &[T]) -> impl Iterator<Item = (f64, u64)> {
    let mut rest = stored.iter().map(|value| value.to_f64()).peekable();
    std::iter::from_fn(move || {
        let value = rest.next()?;
        let mut run = 1;
        while rest.next_if(|next| *next == value).is_some() {
            run += 1;
        }
        Some((value, run))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_types_are_counted_alike() {
        let rescale = Rescale { slope: 2.0, intercept: -1.0 };
        let mut small = Tally::new(rescale, None);
        small.add(&[3_i16; WORTH_A_HISTOGRAM]);
        small.add(&[-4_i16]);
        let mut large = Tally::new(rescale, None);
        large.add(&vec![3.0_f64; WORTH_A_HISTOGRAM]);
        large.add(&[-4.0_f64]);
        assert_eq!(small.statistics(), large.statistics());
        assert_eq!(small.statistics().min, Some(-9.0));
        assert_eq!(small.counts(), Some(BTreeMap::from([(-9, 1), (5, 4096)])));
        assert_eq!(large.counts(), small.counts());
    }

    #[test]
    fn fractions_and_many_values_are_no_labels() {
        let mut fractions = Tally::new(Rescale { slope: 0.5, intercept: 0.0 }, None);
        fractions.add(&[1_u8, 2]);
        assert_eq!(fractions.counts(), None);
        let mut many = Tally::new(Rescale::IDENTITY, None);
        many.add(&(0..=60_u8).collect::<Vec<_>>());
        assert_eq!(many.counts(), None);
    }

    #[test]
    fn the_ends_of_each_small_type_are_counted() {
        let mut tally = Tally::new(Rescale::IDENTITY, None);
        tally.add(&[[i16::MIN; WORTH_A_HISTOGRAM], [i16::MAX; WORTH_A_HISTOGRAM]].concat());
        assert_eq!(tally.counts(), Some(BTreeMap::from([(-32768, 4096), (32767, 4096)])));
        let mut tally = Tally::new(Rescale::IDENTITY, None);
        tally.add(&[u16::MAX; WORTH_A_HISTOGRAM]);
        assert_eq!(tally.statistics().max, Some(65535.0));
    }

    #[test]
    fn nothing_finite_has_no_mean() {
        let mut tally = Tally::new(Rescale::IDENTITY, None);
        tally.add(&[f32::NAN]);
        let expected = Statistics { min: None, max: None, mean: None, nonfinite: 1, padding: 0 };
        assert_eq!(tally.statistics(), expected);
    }
}
