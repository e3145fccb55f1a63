//! Intervals and tests against scipy's numbers; `tests/golden/statistics/make.py` made them.

#![allow(clippy::unwrap_used, reason = "every line here is a test")]

use lamina_engine::metrics::statistics::{Bootstrap, Groups, ZeroRule, signed_rank};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    wilcoxon: Vec<Test>,
    bootstrap: Vec<Means>,
}

#[derive(Deserialize)]
struct Test {
    differences: Vec<f64>,
    rule: String,
    p: f64,
    statistic: f64,
    exact: bool,
}

#[derive(Deserialize)]
struct Means {
    values: Vec<f64>,
    low: f64,
    high: f64,
    standard_error: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden/statistics/statistics.json")).unwrap()
}

#[test]
fn the_signed_rank_test_has_the_p_of_scipy() {
    for test in golden().wilcoxon {
        let rule = if test.rule == "pratt" { ZeroRule::Pratt } else { ZeroRule::Wilcoxon };
        let found = signed_rank(&test.differences, rule).unwrap();
        let name = format!("{} {}: {found:?}, {}", test.differences.len(), test.rule, test.p);
        assert_eq!(found.exact, test.exact, "{name}");
        assert_eq!(found.above.min(found.below), test.statistic, "{name}");
        // Both are exact, or the same formula; scipy's tail of the normal has some 1e-14.
        assert!((found.p / test.p - 1.0).abs() < 1e-11, "{name}");
    }
}

#[test]
fn bootstrap_intervals_are_those_of_scipy() {
    for Means { values, low, high, standard_error } in golden().bootstrap {
        let mean = |cases: &[usize]| {
            Some(cases.iter().map(|&case| values[case]).sum::<f64>() / cases.len() as f64)
        };
        let draw = Bootstrap { samples: 50_000, ..Bootstrap::default() };
        let found = draw.interval(&Groups::single(values.len()), mean).unwrap();
        // An end drawn 50 000 times has itself a standard error near 0.012 of the mean's.
        for (found, expected) in [(found.low, low), (found.high, high)] {
            let apart = (found - expected).abs() / standard_error;
            assert!(apart < 0.05, "{} cases: {found} {expected}", values.len());
        }
    }
}
