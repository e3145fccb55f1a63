//! Percentile intervals by drawing cases again, whole patients at a time.
//!
//! Efron 1979; the percentile interval of Efron and Tibshirani 1993, chapter 13. Draws depend on
//! the seed and on nothing else, so an interval is the same on any number of threads.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::metrics::summary::quantile;
use crate::synthetic_weights::splitmix64;

/// Where the mean of another sample of the same kind would lie, at this level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The share of samples between them, such as 0.95.
    pub level: f64,
}

/// Which cases are drawn together: those of one patient, whose errors are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    members: Vec<Vec<usize>>,
}

impl Groups {
    /// Every case is drawn by itself.
    pub fn single(cases: usize) -> Self {
        Self { members: (0..cases).map(|case| vec![case]).collect() }
    }

    /// Cases with the same name of a group, in the order of the cases, are drawn together.
    pub fn by_name<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut members = std::collections::BTreeMap::<&str, Vec<usize>>::new();
        for (case, name) in names.into_iter().enumerate() {
            members.entry(name).or_default().push(case);
        }
        Self { members: members.into_values().collect() }
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no case at all.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// How samples are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bootstrap {
    /// How many samples.
    pub samples: usize,
    /// What they are drawn from.
    pub seed: u64,
    /// The share of samples that the interval holds.
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { samples: 10_000, seed: 0, level: 0.95 }
    }
}

impl Bootstrap {
    /// The percentile interval of `statistic`, which answers a number for the cases of a sample,
    /// some of them drawn several times, or `None` where they have none; such samples are left out.
    ///
    /// `None` for fewer than two groups, which say nothing of how groups differ, and where no sample
    /// has a number.
    ///
    /// # Example
    /// ```
    /// use lamina_engine::metrics::statistics::{Bootstrap, Groups};
    ///
    /// let dice = [0.90, 0.85, 0.93, 0.70, 0.88];
    /// let mean = |cases: &[usize]| {
    ///     Some(cases.iter().map(|&case| dice[case]).sum::<f64>() / cases.len() as f64)
    /// };
    /// let interval = Bootstrap::default().interval(&Groups::single(5), mean).unwrap();
    /// assert!(interval.low > 0.70 && interval.low < 0.852 && interval.high > 0.852);
    /// ```
    pub fn interval(
        &self,
        groups: &Groups,
        statistic: impl Fn(&[usize]) -> Option<f64> + Sync,
    ) -> Option<Interval> {
        if groups.len() < 2 {
            return None;
        }
        let mut found: Vec<f64> = (0..self.samples)
            .into_par_iter()
            .map_init(Vec::new, |cases, sample| {
                cases.clear();
                for place in 0..groups.len() {
                    cases.extend(&groups.members[self.draw(sample, place, groups.len())]);
                }
                statistic(cases)
            })
            .flatten_iter()
            .collect();
        if found.is_empty() {
            return None;
        }
        found.sort_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        Some(Interval {
            low: quantile(&found, tail),
            high: quantile(&found, 1.0 - tail),
            level: self.level,
        })
    }

    /// The group that comes at `place` of a sample: a number below `groups`, each as likely.
    fn draw(&self, sample: usize, place: usize, groups: usize) -> usize {
        let stream = splitmix64(self.seed ^ splitmix64(sample as u64));
        let hash = splitmix64(stream.wrapping_add(place as u64));
        ((u128::from(hash) * groups as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(values: &[f64]) -> impl Fn(&[usize]) -> Option<f64> + Sync + '_ {
        |cases| Some(cases.iter().map(|&case| values[case]).sum::<f64>() / cases.len() as f64)
    }

    #[test]
    fn an_interval_is_the_same_on_any_number_of_threads_and_differs_by_seed() {
        let values: Vec<f64> = (0..30).map(|n| f64::from(n * n % 17) / 17.0).collect();
        let groups = Groups::single(30);
        let draw = |seed| Bootstrap { seed, ..Bootstrap::default() };
        let on = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| draw(seed).interval(&groups, mean_of(&values)).unwrap())
        };
        assert_eq!(on(1, 4), on(3, 4));
        assert_ne!(on(1, 4), on(1, 5));
    }

    #[test]
    fn three_cases_have_the_distribution_of_their_27_samples() {
        // Means of all 27 samples of 0, 3, 6: below 1 with 4/27, at most 0 with 1/27 = 0.037.
        let values = [0.0, 3.0, 6.0];
        let at = |level| {
            Bootstrap { level, ..Bootstrap::default() }
                .interval(&Groups::single(3), mean_of(&values))
                .unwrap()
        };
        assert_eq!((at(0.95).low, at(0.95).high), (0.0, 6.0)); // 0.025 < 1/27
        assert_eq!((at(0.90).low, at(0.90).high), (1.0, 5.0)); // 1/27 < 0.05 < 4/27
        assert_eq!((at(0.60).low, at(0.60).high), (2.0, 4.0)); // 4/27 < 0.20 < 10/27
    }

    #[test]
    fn cases_of_one_patient_are_drawn_together() {
        // Two patients of three equal cases each: means of a sample are 0, 1/2 or 1.
        let values = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0];
        let patients = Groups::by_name(["a", "a", "a", "b", "b", "b"]);
        assert_eq!(patients.len(), 2);
        let together = Bootstrap::default().interval(&patients, mean_of(&values)).unwrap();
        assert_eq!((together.low, together.high), (0.0, 1.0));
        let alone = Bootstrap::default().interval(&Groups::single(6), mean_of(&values)).unwrap();
        assert!(alone.low > 0.05 && alone.high < 0.95, "{alone:?}");
    }

    #[test]
    fn one_patient_says_nothing_of_others() {
        let one = Groups::by_name(["a", "a"]);
        assert_eq!(Bootstrap::default().interval(&one, mean_of(&[0.1, 0.9])), None);
        assert_eq!(Bootstrap::default().interval(&Groups::single(2), |_| None), None);
    }

    #[test]
    fn every_group_is_as_likely() {
        let draw = Bootstrap::default();
        let mut counts = [0_u32; 7];
        for sample in 0..10_000 {
            counts[draw.draw(sample, sample % 13, 7)] += 1;
        }
        // 1428.6 expected each, sd 35.
        assert!(counts.iter().all(|count| (1250..1600).contains(count)), "{counts:?}");
    }
}
