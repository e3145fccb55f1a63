//! How sure a mean is, and whether two runs differ by more than chance.
//!
//! [`Bootstrap`] answers percentile intervals of anything that is computed over cases;
//! [`signed_rank()`] is Wilcoxon's test on paired differences; [`holm`] corrects several tests made
//! at once. Which cases belong together, and what is compared, is left to the caller.

mod bootstrap;
mod normal;
mod signed_rank;

pub use bootstrap::{Bootstrap, Groups, Interval};
pub use signed_rank::{LARGEST_EXACT, SignedRank, ZeroRule, signed_rank};

/// Holm's step-down correction: p values of tests that were made together, in their order, raised so
/// that the chance of any false finding among them stays below the level they are held against.
///
/// Holm 1979, Scandinavian Journal of Statistics 6: the smallest of m is multiplied by m, the next by
/// m - 1, and so on; none becomes smaller than one before it, nor larger than 1.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![0.0; p.len()];
    let mut largest = 0.0_f64;
    for (rank, place) in order.into_iter().enumerate() {
        largest = largest.max(p[place] * (p.len() - rank) as f64).min(1.0);
        corrected[place] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holm_never_lowers_a_p_nor_changes_their_order() {
        // By pencil: 0.01 * 3, then 0.02 * 2 = 0.04, then max(0.04, 0.03 * 1).
        let corrected = holm(&[0.03, 0.01, 0.02]);
        for (found, expected) in corrected.iter().zip([0.04, 0.03, 0.04]) {
            assert!((found - expected).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert_eq!(holm(&[0.5]), [0.5]);
        assert!(holm(&[]).is_empty());
    }
}
