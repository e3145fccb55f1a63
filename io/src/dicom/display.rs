//! Padding and windows, as a file states them. PS3.3, C.7.5.1.1.2 and C.11.2.

use super::element::Elements;
use super::file::PixelKind;
use super::frames::{PixelFormat, is_code};
use super::tags;
use crate::viewing::{Padding, Window, WindowFunction};
use crate::volume::Rescale;

/// Windows that are taken of a file.
const MOST_WINDOWS: usize = 32;

/// The stored numbers that stand for what is outside of the picture.
pub(super) fn padding(elements: &Elements, format: &PixelFormat) -> Option<Padding> {
    let (value, limit) = match format.kind {
        PixelKind::Integers => {
            let number = |tag| {
                let short = elements.short(tag)?;
                Some(if format.signed { f64::from(short as i16) } else { f64::from(short) })
            };
            (number(tags::PIXEL_PADDING_VALUE), number(tags::PIXEL_PADDING_RANGE_LIMIT))
        }
        PixelKind::Float32 => {
            let number = |tag| elements.single(tag).map(f64::from);
            (number(tags::FLOAT_PIXEL_PADDING_VALUE), number(tags::FLOAT_PIXEL_PADDING_RANGE_LIMIT))
        }
        PixelKind::Float64 => {
            let (value, limit) = (
                tags::DOUBLE_FLOAT_PIXEL_PADDING_VALUE,
                tags::DOUBLE_FLOAT_PIXEL_PADDING_RANGE_LIMIT,
            );
            (elements.double(value), elements.double(limit))
        }
    };
    let value = value?;
    Padding::between(value, limit.unwrap_or(value))
}

/// The windows of the first of `groups` that has any, turned over where the values are.
pub(super) fn windows(
    groups: &[&Elements],
    format: &PixelFormat,
    rescale: Rescale,
    lookup: bool,
) -> Vec<Window> {
    let Some(group) = groups.iter().find(|group| group.has(tags::WINDOW_CENTER)) else {
        return Vec::new();
    };
    let centers = group.decimals(tags::WINDOW_CENTER).unwrap_or_default();
    let widths = group.decimals(tags::WINDOW_WIDTH).unwrap_or_default();
    let names = group.text(tags::WINDOW_CENTER_WIDTH_EXPLANATION).unwrap_or_default();
    let mut names = names.split('\\').map(str::trim);
    let function = match group.text(tags::VOI_LUT_FUNCTION).as_deref() {
        Some("LINEAR_EXACT") => WindowFunction::LinearExact,
        Some("SIGMOID") => WindowFunction::Sigmoid,
        _ => WindowFunction::Linear,
    };
    // A value and the one that it is turned to add up to this.
    let turned = format.values(rescale);
    let sum = turned.intercept + rescale.intercept;
    let is_turned = turned != rescale && !lookup;
    let middle = |center: f64| match function {
        _ if !is_turned => center,
        // What is evenly spread is so about half a step below its center.
        WindowFunction::Linear => sum - center + 1.0,
        WindowFunction::LinearExact | WindowFunction::Sigmoid => sum - center,
    };
    centers
        .iter()
        .zip(&widths)
        .map(|(&center, &width)| Window {
            center: middle(center),
            width,
            function,
            name: names.next().filter(|name| is_plain(name)).map(str::to_owned),
        })
        .filter(|window| window.center.is_finite() && window.width.is_finite())
        .filter(|window| window.width > 0.0)
        .take(MOST_WINDOWS)
        .collect()
}

/// Whether a name is a word or two, as "BONE" or "Soft tissue", and neither number nor date nor
/// in the form in which DICOM writes names of people.
fn is_plain(name: &str) -> bool {
    let word = |word: &str| {
        is_code(&word.to_ascii_uppercase())
            && word.chars().filter(char::is_ascii_digit).count() <= 2
    };
    !name.is_empty() && name.len() <= 24 && name.split([' ', '-']).all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_word_or_two() {
        for name in ["BONE", "Soft tissue", "WINDOW1", "Algo1", "Head-2"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", "DOE^JANE", "19991231", "1999-12-31", "ID 12345", "Müller"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
