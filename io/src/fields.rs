//! Numbers and words in the text headers of MetaImage and NRRD.

use std::fmt::Display;
use std::str::FromStr;

use crate::image::Fault;

/// Most of a value that a message repeats.
const LONGEST_SHOWN: usize = 60;

/// Bytes that a header of text may have, lists of file names included.
pub(crate) const LONGEST_HEADER: u64 = 4 << 20;

/// A value as a message shows it.
pub(crate) fn shown(value: &str) -> String {
    if value.is_empty() {
        return "nothing".to_owned();
    }
    let short: String = value.chars().take(LONGEST_SHOWN).collect();
    let dots = if short.len() < value.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}

/// The whole number that `value` is, at least `lowest`.
pub(crate) fn integer<T: FromStr + PartialOrd + Display>(
    field: &str,
    value: &str,
    lowest: T,
) -> Result<T, Fault> {
    let number = value.trim().parse().ok().filter(|number| *number >= lowest);
    number.ok_or_else(|| {
        Fault::new(field, format!("a whole number from {lowest}"), shown(value.trim()))
    })
}

/// The sizes of `count` axes.
pub(crate) fn sizes(field: &str, value: &str, count: usize) -> Result<Vec<u64>, Fault> {
    let expected = || format!("{count} positive numbers of voxels");
    let sizes: Option<Vec<u64>> =
        value.split_whitespace().map(|word| word.parse().ok().filter(|&n: &u64| n > 0)).collect();
    sizes
        .filter(|sizes| sizes.len() == count)
        .ok_or_else(|| Fault::new(field, expected(), shown(value)))
}

/// At least `count` numbers, of which the first `count` are taken, as MetaIO does.
pub(crate) fn reals(field: &str, value: &str, count: usize) -> Result<Vec<f64>, Fault> {
    let numbers: Option<Vec<f64>> =
        value.split_whitespace().take(count).map(|word| word.parse().ok()).collect();
    numbers
        .filter(|numbers| numbers.len() == count)
        .ok_or_else(|| Fault::new(field, format!("{count} numbers"), shown(value)))
}
