//! The tail of the normal distribution.

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

/// How likely a standard normal variable lies at least `z` from 0, on either side.
pub(super) fn two_sided(z: f64) -> f64 {
    erfc(z.abs() / SQRT_2)
}

/// The complementary error function of `x >= 0`, to about twelve digits of its value.
fn erfc(x: f64) -> f64 {
    let gauss = (-x * x).exp();
    if x < 2.5 {
        // erf(x) = 2/sqrt(pi) exp(-x^2) sum 2^n x^(2n+1) / (2n+1)!!, Abramowitz and Stegun 7.1.6.
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        1.0 - FRAC_2_SQRT_PI * gauss * sum
    } else {
        // The continued fraction of Abramowitz and Stegun 7.1.14, from its far end.
        let fraction = (1..=120).rev().fold(x, |below, n| x + f64::from(n) / 2.0 / below);
        FRAC_2_SQRT_PI / 2.0 * gauss / fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_tables() {
        // scipy.special.erfc
        for (x, expected) in [
            (0.0, 1.0),
            (0.5, 0.479_500_122_186_953_5),
            (2.499, 0.000_409_135_755_744_605_5),
            (2.5, 0.000_406_952_017_444_958_9),
            (4.0, 1.541_725_790_028_002e-8),
            (10.0, 2.088_487_583_762_545e-45),
        ] {
            assert!((erfc(x) / expected - 1.0).abs() < 1e-11, "{x}: {} {expected}", erfc(x));
        }
        assert!((two_sided(-1.959_963_984_540_054) - 0.05).abs() < 1e-14);
    }
}
