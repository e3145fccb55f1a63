//! Which slices make an epoch, and what is to be in the middle of the patch that is cut out of each.
//!
//! Everything is drawn from (seed, epoch, slice), as the rest of a batch is.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::place::Wish;
use super::{Balance, ClassWeights, SamplingConfig, Scope, TrainingSet};
use crate::losses::IGNORE_LABEL;

/// A slice of an epoch: its place among all slices, and how often the epoch had shown all before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    pub(super) slice: usize,
    pub(super) round: u32,
}

/// The slice that a patch is cut out of, and what is to be in its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::training) struct Choice {
    pub(in crate::training) case: usize,
    pub(in crate::training) slice: usize,
    pub(in crate::training) wish: Wish,
}

/// Draws slices.
#[derive(Debug)]
pub(in crate::training) struct Sampler<'a> {
    set: &'a TrainingSet,
    config: SamplingConfig,
    foreground_share: f64,
    seed: u64,
    /// Every slice of every case: (case, slice).
    slices: Vec<(usize, usize)>,
    /// Those that show foreground, and the others.
    showing: Vec<usize>,
    empty: Vec<usize>,
    /// For each class that may be drawn: its label, how often, and the slices that show it.
    classes: Vec<(u8, f64, Vec<usize>)>,
}

/// What draws are for; each has a generator of its own, so that none disturbs another.
#[derive(Debug, Clone, Copy)]
enum Stream {
    /// Moving and changing a slice, and the order of an epoch.
    Vary,
    /// Which slices and classes.
    Choose,
}

impl<'a> Sampler<'a> {
    pub(in crate::training) fn new(
        set: &'a TrainingSet,
        config: SamplingConfig,
        foreground_share: f64,
        seed: u64,
    ) -> Self {
        let slices: Vec<(usize, usize)> = (0..set.len())
            .flat_map(|case| (0..set.shape(case)[0]).map(move |slice| (case, slice)))
            .collect();
        let shows = |place: &usize| {
            let (case, slice) = slices[*place];
            set.counts(case, slice).keys().any(|label| ![0, IGNORE_LABEL].contains(label))
        };
        let (showing, empty) = (0..slices.len()).partition(shows);
        let mut sampler = Self {
            set,
            config,
            foreground_share,
            seed,
            slices,
            showing,
            empty,
            classes: Vec::new(),
        };
        sampler.classes =
            config.balance.map(|balance| sampler.classes(balance)).unwrap_or_default();
        sampler
    }

    fn classes(&self, balance: Balance) -> Vec<(u8, f64, Vec<usize>)> {
        let mut pixels = [0_u64; 256];
        let mut showing = vec![Vec::new(); 256];
        for (place, &(case, slice)) in self.slices.iter().enumerate() {
            for (&label, &count) in self.set.counts(case, slice) {
                pixels[usize::from(label)] += count;
                showing[usize::from(label)].push(place);
            }
        }
        let first = u8::from(!balance.background);
        (first..IGNORE_LABEL)
            .filter(|label| pixels[usize::from(*label)] > 0)
            .map(|label| {
                let weight = weight(balance.weights, pixels[usize::from(label)]);
                (label, weight, std::mem::take(&mut showing[usize::from(label)]))
            })
            .collect()
    }

    /// Slices that an epoch shows.
    pub(in crate::training) fn per_epoch(&self) -> usize {
        self.showing.len() + self.kept_empty()
    }

    fn kept_empty(&self) -> usize {
        (self.empty.len() as f64 * self.config.empty_share).round() as usize
    }

    /// Batches of this many slices that make an epoch. Slices that do not fill a batch wait for another
    /// epoch, except where there is not a single full batch.
    pub(in crate::training) fn batches(&self, batch: usize) -> usize {
        self.config.batches_per_epoch.unwrap_or_else(|| (self.per_epoch() / batch).max(1))
    }

    /// The slices of an epoch of this many batches, in their order.
    pub(in crate::training) fn order(
        &self,
        epoch: usize,
        batches: usize,
        batch: usize,
    ) -> Vec<Turn> {
        let needed = self.config.batches_per_epoch.map_or(0, |_| batches * batch);
        let mut order = Vec::with_capacity(needed);
        for round in 0.. {
            let mut turns = self.all(epoch, round);
            turns.shuffle(&mut self.generator(Stream::Vary, epoch, usize::MAX, round));
            order.extend(turns);
            if order.len() >= needed {
                break;
            }
        }
        if needed > 0 {
            order.truncate(needed);
        }
        order
    }

    /// The slices of an epoch, in their order on disk.
    fn all(&self, epoch: usize, round: u32) -> Vec<Turn> {
        let turn = |slice| Turn { slice, round };
        if self.config.empty_share >= 1.0 {
            return (0..self.slices.len()).map(turn).collect();
        }
        let mut empty = self.empty.clone();
        empty.shuffle(&mut self.generator(Stream::Choose, epoch, usize::MAX, round));
        empty.truncate(self.kept_empty());
        let mut turns: Vec<Turn> = self.showing.iter().chain(&empty).copied().map(turn).collect();
        turns.sort_unstable();
        turns
    }

    /// What is made of a turn that comes `place`-th in a batch of `batch`.
    pub(in crate::training) fn choose(
        &self,
        epoch: usize,
        turn: Turn,
        [place, batch]: [usize; 2],
    ) -> Choice {
        let (case, slice) = self.slices[turn.slice];
        let mut rng = self.generator(Stream::Choose, epoch, turn.slice, turn.round);
        if let Some(balance) = &self.config.balance
            && rng.random_bool(balance.share)
            && let Some(choice) = self.balanced(*balance, case, slice, &mut rng)
        {
            return choice;
        }
        if !self.config.foreground_in_batch {
            return Choice { case, slice, wish: Wish::Chance };
        }
        // As in nnU-Net's data loader: the last ones of a batch.
        let first = (batch as f64 * (1.0 - self.foreground_share)).round() as usize;
        if place < first {
            return Choice { case, slice, wish: Wish::Anything };
        }
        let of_case = |place: &&usize| self.slices[**place].0 == case;
        let shows = self.showing.binary_search(&turn.slice).is_ok();
        let others: Vec<usize> =
            if shows { Vec::new() } else { self.showing.iter().filter(of_case).copied().collect() };
        let slice = pick(&others, &mut rng).map_or(slice, |&place| self.slices[place].1);
        Choice { case, slice, wish: Wish::Foreground }
    }

    fn balanced(
        &self,
        balance: Balance,
        case: usize,
        slice: usize,
        rng: &mut ChaCha8Rng,
    ) -> Option<Choice> {
        let counts = self.set.counts(case, slice);
        let candidates: Vec<&(u8, f64, Vec<usize>)> = self
            .classes
            .iter()
            .filter(|(label, ..)| balance.over == Scope::Set || counts.contains_key(label))
            .collect();
        let sum: f64 = candidates.iter().map(|(_, weight, _)| weight).sum();
        let mut left = rng.random::<f64>() * sum;
        let drawn = candidates.iter().find(|(_, weight, _)| {
            left -= weight;
            left < 0.0
        });
        let (label, _, showing) = drawn.or(candidates.last())?;
        let wish = Wish::Class(*label);
        match balance.over {
            Scope::Slice => Some(Choice { case, slice, wish }),
            Scope::Set => {
                let (case, slice) = self.slices[*pick(showing, rng)?];
                Some(Choice { case, slice, wish })
            }
        }
    }

    /// What moves and changes the slice of a turn.
    pub(in crate::training) fn variation(&self, epoch: usize, turn: Turn) -> ChaCha8Rng {
        self.generator(Stream::Vary, epoch, turn.slice, turn.round)
    }

    /// A generator of its own for each (seed, epoch, slice), and for what it draws.
    fn generator(&self, stream: Stream, epoch: usize, slice: usize, round: u32) -> ChaCha8Rng {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&(epoch as u64).to_le_bytes());
        bytes[16..24].copy_from_slice(&(slice as u64).to_le_bytes());
        bytes[24..28].copy_from_slice(&round.to_le_bytes());
        bytes[28] = match stream {
            Stream::Vary => 0,
            Stream::Choose => 1,
        };
        ChaCha8Rng::from_seed(bytes)
    }
}

fn weight(weights: ClassWeights, pixels: u64) -> f64 {
    match weights {
        ClassWeights::Equal => 1.0,
        ClassWeights::InverseSqrt => 1.0 / (pixels as f64).sqrt(),
    }
}

fn pick<'t, T>(all: &'t [T], rng: &mut impl Rng) -> Option<&'t T> {
    if all.is_empty() {
        return None;
    }
    all.get((rng.random::<f64>() * all.len() as f64) as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ndarray::{Array3, Array4};

    use super::*;
    use crate::fingerprint::CaseTraits;
    use crate::training::{Samples, TrainingCase};

    /// Two cases of five slices of 8 x 8: class 1 on half of each slice but the first two, class 2 on a pixel
    /// of the last one.
    fn set() -> TrainingSet {
        let case = |_| {
            let labels = Array3::from_shape_fn([5, 8, 8], |(slice, y, x)| match (slice, y, x) {
                (4, 7, 6) => 2,
                (2.., ..4, _) => 1,
                _ => 0,
            });
            let samples = Samples::Numbers(Array4::zeros([5, 1, 8, 8]));
            (TrainingCase { samples, labels }, CaseTraits::none())
        };
        TrainingSet::held((0..2).map(case).collect())
    }

    fn sampler(set: &TrainingSet, config: SamplingConfig) -> Sampler<'_> {
        config.validate().unwrap();
        Sampler::new(set, config, 0.33, 7)
    }

    #[test]
    fn some_empty_slices_are_shown_and_others_the_next_time() {
        let set = set();
        let config = SamplingConfig { empty_share: 0.5, ..SamplingConfig::default() };
        let sampler = sampler(&set, config);
        assert_eq!((sampler.per_epoch(), sampler.batches(3)), (8, 2));
        let mut seen = BTreeMap::new();
        for epoch in 0..50 {
            let order = sampler.order(epoch, 2, 3);
            assert_eq!(order.len(), 8);
            for turn in order {
                *seen.entry(sampler.slices[turn.slice]).or_insert(0) += 1;
            }
        }
        for (&(_, slice), &times) in &seen {
            let fits = if slice < 2 { (10..=40).contains(&times) } else { times == 50 };
            assert!(fits, "{slice} {times} times");
        }
        assert_eq!(seen.len(), 10);
    }

    #[test]
    fn an_epoch_of_so_many_batches_goes_round_and_round() {
        let set = set();
        let config = SamplingConfig { batches_per_epoch: Some(7), ..SamplingConfig::default() };
        let sampler = sampler(&set, config);
        assert_eq!(sampler.batches(4), 7);
        let order = sampler.order(3, 7, 4);
        assert_eq!(order.len(), 28);
        for round in 0..2 {
            let mut slices: Vec<usize> =
                order[round * 10..(round + 1) * 10].iter().map(|turn| turn.slice).collect();
            slices.sort_unstable();
            assert_eq!(slices, (0..10).collect::<Vec<_>>());
        }
        let [first, second] =
            [0, 10].map(|at| order[at..at + 10].iter().map(|turn| turn.slice).collect::<Vec<_>>());
        assert_ne!(first, second);
        // The same slice is moved otherwise in each round.
        let of = |round| sampler.variation(3, Turn { slice: 1, round }).random::<u64>();
        assert_ne!(of(0), of(1));
    }

    #[test]
    fn classes_are_drawn_as_often_as_they_are_weighted_wherever_they_are() {
        let set = set();
        let balance = Balance { share: 1.0, ..Balance::default() };
        let drawn = |balance: Balance| {
            let config = SamplingConfig { balance: Some(balance), ..SamplingConfig::default() };
            let sampler = sampler(&set, config);
            let mut drawn = BTreeMap::new();
            for epoch in 0..200 {
                for slice in 0..10 {
                    let choice = sampler.choose(epoch, Turn { slice, round: 0 }, [0, 1]);
                    let Wish::Class(class) = choice.wish else { continue };
                    assert!(set.counts(choice.case, choice.slice).contains_key(&class));
                    *drawn.entry(class).or_insert(0) += 1;
                }
            }
            drawn
        };
        let equal = drawn(balance);
        assert_eq!(equal.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert!((900..1100).contains(&equal[&2]), "{equal:?}");
        // 191 or 192 pixels in three slices of both cases, and 2: 1/√192·2 to 1/√2.
        let weighted = drawn(Balance { weights: ClassWeights::InverseSqrt, ..balance });
        let expected = 2000.0 / (1.0 + (2.0_f64 / 192.0).sqrt());
        assert!((f64::from(weighted[&2]) - expected).abs() < 60.0, "{weighted:?}");
        // Slices that show nothing draw nothing, and class 2 is in one of five.
        let own = drawn(Balance { over: Scope::Slice, ..balance });
        assert_eq!(own.values().sum::<i32>(), 1200);
        assert!((150..250).contains(&own[&2]), "{own:?}");
        let all = drawn(Balance { background: true, ..balance });
        assert!((550..780).contains(&all[&0]), "{all:?}");
    }

    #[test]
    fn the_last_of_a_batch_are_on_foreground() {
        let set = set();
        let config = SamplingConfig { foreground_in_batch: true, ..SamplingConfig::default() };
        let sampler = sampler(&set, config);
        for place in 0..12 {
            // Slice 5 is the first of the second case, and shows nothing.
            let choice = sampler.choose(1, Turn { slice: 5, round: 0 }, [place, 12]);
            // round(12 · 0.67) = 8
            let expected = if place < 8 { Wish::Anything } else { Wish::Foreground };
            assert_eq!((choice.case, choice.wish), (1, expected));
            assert_eq!(choice.slice >= 2, place >= 8, "another slice of the case takes its place");
            let choice = sampler.choose(1, Turn { slice: 8, round: 0 }, [place, 12]);
            assert_eq!((choice.case, choice.slice), (1, 3));
        }
    }
}
