//! How far the members of an ensemble agree: voxel by voxel, slice by slice and over a case.
//!
//! | measure            | of a voxel                                  | of a slice or a case |
//! |--------------------|---------------------------------------------|----------------------|
//! | entropy            | of the mean probabilities                   | mean over the voxels that any member labels |
//! | mutual information | that entropy less the members' mean entropy | mean over the same voxels |
//! | Dice               |                                             | mean over all pairs of members, the classes together |
//!
//! Entropies are shares of the largest that there is, the logarithm of the number of classes.
//! Entropy is high where members are unsure or disagree, mutual information only where they
//! disagree (Smith and Gal 2018, eq. 5). Pairwise Dice of a case foretells its quality
//! (Roy et al. 2019, section 3.3). Nothing that nobody labels has a Dice.

use ndarray::{Array2, ArrayView2, ArrayView3, Axis, Zip};
use serde::{Deserialize, Serialize};

use super::doubt::{CaseDoubt, Expectation, STEADY};

/// What is written of each voxel beside the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UncertaintyMap {
    /// Entropy of the mean probabilities: 255 where all classes are alike.
    Entropy,
    /// Mutual information: how much of that comes from members that disagree.
    MutualInformation,
}

/// How far the members of an ensemble agree about a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// How many members there are.
    pub members: usize,
    /// Mean Dice of two members, the foreground classes together.
    pub dice: Option<f64>,
    /// Mean entropy of the voxels that any member labels.
    pub entropy: f64,
    /// Mean mutual information of the same voxels.
    pub mutual_information: f64,
    /// Each foreground class by itself.
    pub classes: Vec<ClassAgreement>,
    /// The voxel axis across which the slices below follow each other: 0 for x, 1 for y, 2 for z.
    pub axis: usize,
    /// Each slice along that axis, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<SliceAgreement>,
}

/// How far members agree about a class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassAgreement {
    /// The class.
    pub label: u8,
    /// Mean Dice of two members; none where no two have it at all.
    pub dice: Option<f64>,
}

/// How far members agree about a slice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SliceAgreement {
    /// Where it lies on the axis, from 0.
    pub voxel: usize,
    /// Mean Dice of two members, the foreground classes together.
    pub dice: Option<f64>,
    /// Mean entropy of the voxels that any member labels.
    pub entropy: f64,
    /// Mean mutual information of the same voxels.
    pub mutual_information: f64,
}

/// Voxels of a class that two members label: both, the first, the second.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    both: u64,
    first: u64,
    second: u64,
}

impl Pair {
    fn add(&mut self, other: Self) {
        self.both += other.both;
        self.first += other.first;
        self.second += other.second;
    }

    fn dice(self, steady: f64) -> Option<f64> {
        let all = (self.first + self.second) as f64 + steady;
        (all > 0.0).then(|| (2.0 * self.both as f64 + steady) / all)
    }
}

/// What some voxels amount to; slices add up to a case.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    members: usize,
    /// Of every pair of members, every foreground class.
    pairs: Vec<Vec<Pair>>,
    entropy: f64,
    mutual_information: f64,
    labeled: u64,
}

impl Tally {
    pub fn none(members: usize, classes: usize) -> Self {
        let pairs = members * (members - 1) / 2;
        Self {
            members,
            pairs: vec![vec![Pair::default(); classes.saturating_sub(1)]; pairs],
            entropy: 0.0,
            mutual_information: 0.0,
            labeled: 0,
        }
    }

    /// Counts one slice, and maps how uncertain each of its voxels is.
    ///
    /// # Shapes
    /// - `mean`: `[class, height, width]`, probabilities
    /// - `entropy`: `[height, width]`, the mean of the members' entropies, as a share of the largest
    /// - `labels`: those of each member, `[height, width]`
    pub fn of(
        mean: ArrayView3<'_, f32>,
        entropy: ArrayView2<'_, f32>,
        labels: &[ArrayView2<'_, u8>],
        map: Option<UncertaintyMap>,
    ) -> (Self, Option<Array2<u8>>) {
        let mut tally = Self::none(labels.len(), mean.len_of(Axis(0)));
        let mut drawn = map.map(|_| Array2::zeros(entropy.dim()));
        let mut at = vec![0_u8; labels.len()];
        for ((row, column), &of_members) in entropy.indexed_iter() {
            for (label, labels) in at.iter_mut().zip(labels) {
                *label = labels[[row, column]];
            }
            let labeled = at.iter().any(|label| *label > 0);
            if !labeled && drawn.is_none() {
                continue;
            }
            let of_mean = share_of_entropy(mean.slice(ndarray::s![.., row, column]).iter());
            let mutual = (of_mean - of_members).max(0.0);
            if let (Some(drawn), Some(map)) = (&mut drawn, map) {
                let value = match map {
                    UncertaintyMap::Entropy => of_mean,
                    UncertaintyMap::MutualInformation => mutual,
                };
                drawn[[row, column]] = (255.0 * value).round().clamp(0.0, 255.0) as u8;
            }
            if labeled {
                tally.labeled += 1;
                tally.entropy += f64::from(of_mean);
                tally.mutual_information += f64::from(mutual);
                tally.count(&at);
            }
        }
        (tally, drawn)
    }

    /// Counts the labels that members give one voxel.
    fn count(&mut self, labels: &[u8]) {
        let mut pairs = self.pairs.iter_mut();
        for (index, &first) in labels.iter().enumerate() {
            for &second in &labels[index + 1..] {
                let Some(pair) = pairs.next() else { return };
                if first > 0 {
                    pair[usize::from(first) - 1].first += 1;
                }
                if second > 0 {
                    pair[usize::from(second) - 1].second += 1;
                }
                if first > 0 && first == second {
                    pair[usize::from(first) - 1].both += 1;
                }
            }
        }
    }

    pub fn add(&mut self, other: &Self) {
        for (pair, other) in self.pairs.iter_mut().flatten().zip(other.pairs.iter().flatten()) {
            pair.add(*other);
        }
        self.entropy += other.entropy;
        self.mutual_information += other.mutual_information;
        self.labeled += other.labeled;
    }

    /// Mean Dice of two members; of the classes that `of` picks, together.
    fn dice(&self, of: impl Fn(usize) -> bool, steady: f64) -> Option<f64> {
        let of_pairs = self.pairs.iter().filter_map(|classes| {
            let mut all = Pair::default();
            for (_, pair) in classes.iter().enumerate().filter(|(class, _)| of(*class)) {
                all.add(*pair);
            }
            all.dice(steady)
        });
        let of_pairs: Vec<f64> = of_pairs.collect();
        (!of_pairs.is_empty()).then(|| of_pairs.iter().sum::<f64>() / of_pairs.len() as f64)
    }

    /// One minus the mean Dice of two members, steadied as [`Expectation::risk`] is.
    fn risk(&self) -> f64 {
        1.0 - self.dice(|_| true, STEADY).unwrap_or(1.0)
    }

    fn mean(&self, sum: f64) -> f64 {
        if self.labeled == 0 { 0.0 } else { sum / self.labeled as f64 }
    }

    fn of_slice(&self, voxel: usize) -> SliceAgreement {
        SliceAgreement {
            voxel,
            dice: self.dice(|_| true, 0.0),
            entropy: self.mean(self.entropy),
            mutual_information: self.mean(self.mutual_information),
        }
    }
}

/// What slices, each at its place on `axis`, amount to. The risk of a slice, and of the case, is
/// what the mean probabilities lead to expect or what the members' pairwise Dice does, whichever is
/// more.
pub(super) fn conclude(
    found: &[(usize, Expectation, Tally)],
    [members, classes]: [usize; 2],
    axis: usize,
    with_slices: bool,
) -> (CaseDoubt, Agreement) {
    let mut tally = Tally::none(members, classes);
    let mut expected = Expectation::default();
    for (_, expectation, slice) in found {
        tally.add(slice);
        expected.add(*expectation);
    }
    let slices = found.iter().map(|(_, expected, tally)| expected.risk().max(tally.risk()));
    let doubt = CaseDoubt::of_risks(expected.risk().max(tally.risk()), slices);
    let class = |(label, class)| ClassAgreement { label, dice: tally.dice(|of| of == class, 0.0) };
    let slices = found.iter().filter(|_| with_slices);
    let mut slices: Vec<SliceAgreement> =
        slices.map(|(voxel, _, tally)| tally.of_slice(*voxel)).collect();
    slices.sort_by_key(|slice| slice.voxel);
    let agreement = Agreement {
        members: tally.members,
        dice: tally.dice(|_| true, 0.0),
        entropy: tally.mean(tally.entropy),
        mutual_information: tally.mean(tally.mutual_information),
        classes: (1..=u8::MAX).zip(0..classes.saturating_sub(1)).map(class).collect(),
        axis,
        slices,
    };
    (doubt, agreement)
}

/// Entropy of probabilities as a share of the largest that there is.
pub(super) fn share_of_entropy<'a>(probabilities: impl ExactSizeIterator<Item = &'a f32>) -> f32 {
    let most = (probabilities.len().max(2) as f32).ln();
    let present = probabilities.filter(|p| **p > 0.0);
    (present.map(|p| -p * p.ln()).sum::<f32>() / most).clamp(0.0, 1.0)
}

/// [`share_of_entropy`] of each pixel.
///
/// # Shapes
/// - `probabilities`: `[class, height, width]`
/// - output: `[height, width]`
pub(super) fn entropies(probabilities: ArrayView3<'_, f32>) -> Array2<f32> {
    let (_, height, width) = probabilities.dim();
    let mut entropies = Array2::zeros([height, width]);
    Zip::from(&mut entropies)
        .and(probabilities.lanes(Axis(0)))
        .for_each(|entropy, pixel| *entropy = share_of_entropy(pixel.iter()));
    entropies
}

#[cfg(test)]
mod tests {
    use ndarray::{arr2, arr3};

    use super::*;

    /// Two members, two pixels: of the first both are certain and disagree, of the second both are
    /// at a loss alike.
    #[test]
    fn disagreement_is_told_from_being_unsure() {
        let mean = arr3(&[[[0.5, 0.5]], [[0.5, 0.5]]]);
        let entropy = arr2(&[[0.0, 1.0]]);
        let labels = [arr2(&[[0_u8, 1]]), arr2(&[[1_u8, 1]])];
        let labels = labels.each_ref().map(|labels| labels.view());
        let map = |map| Tally::of(mean.view(), entropy.view(), &labels, Some(map)).1;
        assert_eq!(map(UncertaintyMap::Entropy), Some(arr2(&[[255, 255]])));
        assert_eq!(map(UncertaintyMap::MutualInformation), Some(arr2(&[[255, 0]])));
        let (tally, none) = Tally::of(mean.view(), entropy.view(), &labels, None);
        assert_eq!(none, None);
        let slice = tally.of_slice(3);
        assert_eq!((slice.voxel, slice.entropy, slice.mutual_information), (3, 1.0, 0.5));
        // One voxel in common of one and two.
        assert!((slice.dice.unwrap() - 2.0 / 3.0).abs() < 1e-12);
    }

    /// Three members over four pixels, by pencil: pairs have Dice 1, 2/3 and 2/3 of class 1, and of
    /// class 2 only one pair has any.
    #[test]
    fn pairs_of_members_are_averaged_class_by_class() {
        let labels = [arr2(&[[1_u8, 1, 0, 0]]), arr2(&[[1_u8, 1, 0, 0]]), arr2(&[[1_u8, 2, 0, 0]])];
        let labels = labels.each_ref().map(|labels| labels.view());
        let mean = ndarray::Array3::from_elem([3, 1, 4], 1.0 / 3.0);
        let (tally, _) = Tally::of(mean.view(), Array2::zeros([1, 4]).view(), &labels, None);
        let found = [(7, Expectation::default(), tally.clone())];
        let (doubt, agreement) = conclude(&found, [3, 3], 2, true);
        let dice: Vec<Option<f64>> = agreement.classes.iter().map(|class| class.dice).collect();
        assert!((dice[0].unwrap() - (1.0 + 2.0 / 3.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        // Class 2: no pair but those with the third member has it, and they share nothing.
        assert_eq!(dice[1], Some(0.0));
        // Together: 2·2/4 once, 2·1/4 twice.
        assert!((agreement.dice.unwrap() - 2.0 / 3.0).abs() < 1e-12);
        // Steadied by 16: 20/20 once, 18/20 twice.
        assert!((doubt.risk - (1.0 - (1.0 + 0.9 + 0.9) / 3.0)).abs() < 1e-12);
        assert_eq!(agreement.slices.len(), 1);
        assert_eq!((agreement.members, agreement.slices[0].voxel), (3, 7));
    }

    #[test]
    fn what_nobody_labels_has_no_dice_and_no_risk() {
        let labels = [Array2::zeros([2, 2]), Array2::zeros([2, 2])];
        let labels = labels.each_ref().map(|labels| labels.view());
        let mean = arr3(&[[[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]);
        let (tally, _) = Tally::of(mean.view(), Array2::zeros([2, 2]).view(), &labels, None);
        let (doubt, agreement) = conclude(&[(0, Expectation::default(), tally)], [2, 2], 0, false);
        assert_eq!((doubt.risk, agreement.dice, agreement.classes[0].dice), (0.0, None, None));
        assert!(agreement.slices.is_empty());
    }
}
