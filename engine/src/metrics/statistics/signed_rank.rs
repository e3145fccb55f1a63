//! Wilcoxon's signed-rank test: are paired differences as often above 0 as below, by rank?
//!
//! | differences                 | p                                                               |
//! |-----------------------------|-----------------------------------------------------------------|
//! | none is other than 0        | none: there is nothing to rank                                  |
//! | up to 50 that are not 0     | exact: all ways to give the ranks, as they are, their signs     |
//! | more                        | normal, with corrections for ties and for continuity            |
//!
//! Where there are no ties the exact distribution is Wilcoxon's; with ties it is that of the mean
//! ranks at hand (the conditional or permutation distribution).

use serde::Serialize;

use super::normal::two_sided;

/// With more differences than this p is approximate.
pub const LARGEST_EXACT: usize = 50;

/// What becomes of differences that are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroRule {
    /// They are left out before ranks are given. Wilcoxon 1945.
    Wilcoxon,
    /// They get the lowest ranks, which are then left out. Pratt 1959.
    Pratt,
}

/// What the test found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SignedRank {
    /// Sum of the ranks of the differences above 0.
    pub above: f64,
    /// Sum of the ranks of those below.
    pub below: f64,
    /// Differences that are not 0.
    pub n: usize,
    /// Differences that are 0.
    pub zeros: usize,
    /// Two-sided p.
    pub p: f64,
    /// Whether p is exact.
    pub exact: bool,
}

/// Tests whether `differences` lie around 0; `None` where none is other than 0.
pub fn signed_rank(differences: &[f64], rule: ZeroRule) -> Option<SignedRank> {
    assert!(differences.iter().all(|d| d.is_finite()), "the caller pairs measured numbers");
    let mut sorted = differences.to_vec();
    sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let zeros = sorted.iter().take_while(|d| **d == 0.0).count();
    let nonzero = &sorted[zeros..];
    if nonzero.is_empty() {
        return None;
    }
    let before = match rule {
        ZeroRule::Wilcoxon => 0,
        ZeroRule::Pratt => zeros,
    };
    let (doubled, ties) = doubled_ranks(nonzero, before);
    let signed = || nonzero.iter().zip(&doubled);
    let above: u64 = signed().filter(|(d, _)| **d > 0.0).map(|(_, rank)| rank).sum();
    let below: u64 = signed().filter(|(d, _)| **d < 0.0).map(|(_, rank)| rank).sum();
    let exact = nonzero.len() <= LARGEST_EXACT;
    let p = if exact {
        exact_p(&doubled, above)
    } else {
        normal_p(above as f64 / 2.0, nonzero.len() + before, before, ties)
    };
    Some(SignedRank {
        above: above as f64 / 2.0,
        below: below as f64 / 2.0,
        n: nonzero.len(),
        zeros,
        p,
        exact,
    })
}

/// Twice the rank of each of the values, which are sorted by size, when `before` lower ranks are
/// taken; equal sizes share their mean rank. Also the sum of t³ - t over the groups of equal ones.
fn doubled_ranks(sorted: &[f64], before: usize) -> (Vec<u64>, f64) {
    let mut ranks = Vec::with_capacity(sorted.len());
    let mut ties = 0.0;
    for equal in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let first = before + ranks.len() + 1;
        let last = first + equal.len() - 1;
        ranks.extend(std::iter::repeat_n((first + last) as u64, equal.len()));
        let tied = equal.len() as f64;
        ties += tied.powi(3) - tied;
    }
    (ranks, ties)
}

/// Twice the smaller tail of the sum over all 2^n ways to give the ranks their signs.
fn exact_p(doubled: &[u64], above: u64) -> f64 {
    let total: u64 = doubled.iter().sum();
    let mut ways = vec![0_u64; total as usize + 1]; // by sum; at most 2^50 in all
    ways[0] = 1;
    let mut reached = 0;
    for &rank in doubled {
        let rank = rank as usize;
        for sum in (0..=reached).rev() {
            ways[sum + rank] += ways[sum];
        }
        reached += rank;
    }
    let at_most: u64 = ways[..=above as usize].iter().sum();
    let at_least: u64 = ways[above as usize..].iter().sum();
    let all = (doubled.len() as f64).exp2();
    (2.0 * at_most.min(at_least) as f64 / all).min(1.0)
}

/// The normal approximation with the variance for ties and half a step towards the middle.
fn normal_p(above: f64, n: usize, zeros: usize, ties: f64) -> f64 {
    // Pratt's zeros take their share of mean and variance with them; Cureton 1967.
    let [n, zeros] = [n, zeros].map(|count| count as f64);
    let mean = (n * (n + 1.0) - zeros * (zeros + 1.0)) / 4.0;
    let squares = |n: f64| n * (n + 1.0) * (2.0 * n + 1.0);
    let variance = (squares(n) - squares(zeros) - ties / 2.0) / 24.0;
    let away = ((above - mean).abs() - 0.5).max(0.0);
    two_sided(away / variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_wins_of_three_are_a_quarter() {
        // All eight signs are as likely; the sum is 6 or 0 in two of them.
        let found = signed_rank(&[0.1, 0.3, 0.2], ZeroRule::Wilcoxon).unwrap();
        assert_eq!((found.above, found.below, found.p, found.exact), (6.0, 0.0, 0.25, true));
    }

    #[test]
    fn zeros_are_left_out_or_push_the_ranks_up() {
        let differences = [0.0, 0.0, 1.0, -2.0, 3.0];
        let wilcoxon = signed_rank(&differences, ZeroRule::Wilcoxon).unwrap();
        assert_eq!((wilcoxon.above, wilcoxon.below, wilcoxon.zeros), (4.0, 2.0, 2));
        let pratt = signed_rank(&differences, ZeroRule::Pratt).unwrap();
        assert_eq!((pratt.above, pratt.below, pratt.n), (8.0, 4.0, 3));
    }

    #[test]
    fn nothing_but_zeros_is_no_test() {
        assert_eq!(signed_rank(&[0.0, -0.0], ZeroRule::Wilcoxon), None);
        assert_eq!(signed_rank(&[], ZeroRule::Pratt), None);
    }

    #[test]
    fn turning_every_sign_keeps_p() {
        let differences: Vec<f64> = (1..=80).map(|n| f64::from(n * n % 37) - 12.0).collect();
        for rule in [ZeroRule::Wilcoxon, ZeroRule::Pratt] {
            for taken in [9, 40, 80] {
                let there = signed_rank(&differences[..taken], rule).unwrap();
                let turned: Vec<f64> = differences[..taken].iter().map(|d| -d).collect();
                let back = signed_rank(&turned, rule).unwrap();
                assert_eq!((there.p, there.above), (back.p, back.below));
            }
        }
    }
}
