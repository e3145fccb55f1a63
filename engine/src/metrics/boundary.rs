//! Boundary IoU: the overlap of the bands along the inside of two outlines.
//!
//! Cheng et al., Boundary IoU: Improving Object-Centric Image Segmentation Evaluation, CVPR 2021.
//!
//! | reference | prediction | Boundary IoU |
//! |-----------|------------|--------------|
//! | has the class | has it | measured |
//! | one of them has it | | 0 |
//! | has it not | has it not | none |
//!
//! A width in pixels, or as a share of a picture's diagonal, is that of the authors' program: as
//! many erosions by 3 x 3 pixels in the plane of each slice (the first array axis), background
//! beyond the edge; the bands of all slices are counted together. A width in millimeters is three-
//! dimensional: the voxels with background not farther than that.

use std::str::FromStr;

use lamina_io::squared_distances;
use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::bits::Bits;

/// How wide the band along an outline is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BoundaryWidth {
    /// A share of the diagonal of a slice, in whole pixels and at least one.
    Diagonal(f64),
    /// Pixels in the plane of a slice.
    Pixels(usize),
    /// Millimeters, in three dimensions.
    Millimeters(f64),
}

impl Default for BoundaryWidth {
    /// That of the paper: two hundredths of the diagonal.
    fn default() -> Self {
        Self::Diagonal(0.02)
    }
}

impl FromStr for BoundaryWidth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let positive = |text: &str| text.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0);
        let read = if let Some(pixels) = text.strip_suffix("px") {
            pixels.parse().ok().filter(|&pixels| pixels > 0).map(Self::Pixels)
        } else if let Some(mm) = text.strip_suffix("mm") {
            positive(mm).map(Self::Millimeters)
        } else {
            positive(text).filter(|share| *share < 1.0).map(Self::Diagonal)
        };
        read.ok_or_else(|| {
            format!("expected a share of the diagonal below 1, pixels (3px) or millimeters (2mm), found {text:?}")
        })
    }
}

impl TryFrom<String> for BoundaryWidth {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<BoundaryWidth> for String {
    fn from(width: BoundaryWidth) -> Self {
        match width {
            BoundaryWidth::Diagonal(share) => share.to_string(),
            BoundaryWidth::Pixels(pixels) => format!("{pixels}px"),
            BoundaryWidth::Millimeters(mm) => format!("{mm}mm"),
        }
    }
}

/// Boundary IoU of two masks in one box around both, of slices of `height` by `width` pixels;
/// `None` where both are empty or a width in millimeters meets an unknown spacing.
pub(super) fn boundary_iou(
    prediction: &Bits,
    reference: &Bits,
    band: BoundaryWidth,
    [height, width]: [usize; 2],
    spacing_mm: Option<[f64; 3]>,
) -> Option<f64> {
    let band = |mask: &Bits| match band {
        BoundaryWidth::Diagonal(share) => {
            let pixels = (share * (height as f64).hypot(width as f64)).round_ties_even() as usize;
            Some(mask.without(&eroded(mask, pixels.max(1))))
        }
        BoundaryWidth::Pixels(pixels) => Some(mask.without(&eroded(mask, pixels))),
        BoundaryWidth::Millimeters(mm) => Some(within_millimeters(mask, mm, spacing_mm?)),
    };
    let (prediction, reference) = (band(prediction)?, band(reference)?);
    let both = prediction.and(&reference).count();
    let either = prediction.count() + reference.count() - both;
    (either > 0).then(|| both as f64 / either as f64)
}

fn eroded(mask: &Bits, times: usize) -> Bits {
    let mut eroded = mask.clone();
    for _ in 0..times {
        let next = eroded.eroded_in_plane();
        if next == eroded {
            break; // nothing is left
        }
        eroded = next;
    }
    eroded
}

fn within_millimeters(mask: &Bits, mm: f64, spacing_mm: [f64; 3]) -> Bits {
    let mut outside = Array3::from_elem(mask.shape().map(|length| length + 2), true);
    mask.indices().for_each(|[k, j, i]| outside[[k + 1, j + 1, i + 1]] = false);
    let squared = squared_distances(&outside, spacing_mm, None, mm);
    let mut band = Bits::none(mask.shape());
    for [k, j, i] in mask.indices() {
        if squared[[k + 1, j + 1, i + 1]].is_finite() {
            band.set([k, j, i]);
        }
    }
    band
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;

    fn bits(shape: [usize; 3], from: [usize; 3], to: [usize; 3]) -> Bits {
        let mut mask = Array3::from_elem(shape, false);
        mask.slice_mut(s![from[0]..to[0], from[1]..to[1], from[2]..to[2]]).fill(true);
        Bits::of_mask(&mask.view())
    }

    #[test]
    fn a_square_moved_by_one_has_the_pencil_number() {
        let (a, b) = (bits([1, 8, 9], [0, 1, 1], [1, 7, 7]), bits([1, 8, 9], [0, 1, 2], [1, 7, 8]));
        // Rings of 20 pixels, of which 5 + 5 in the rows above and below are shared.
        let iou = |width| boundary_iou(&a, &b, width, [8, 9], None);
        assert_eq!(iou(BoundaryWidth::Pixels(1)), Some(10.0 / 30.0));
        assert_eq!(iou(BoundaryWidth::default()), Some(10.0 / 30.0)); // 0.24 pixels, so one
        // Rings of 32; in the squares of 6 x 5 that they share, 2 x 2 of each inner part are left out.
        assert_eq!(iou(BoundaryWidth::Pixels(2)), Some(24.0 / 40.0));
        assert_eq!(iou(BoundaryWidth::Pixels(50)), Some(30.0 / 42.0)); // the whole squares
        assert_eq!(iou(BoundaryWidth::Millimeters(1.0)), None);
        assert_eq!(
            boundary_iou(&a, &Bits::none([1, 8, 9]), BoundaryWidth::Pixels(1), [8, 9], None),
            Some(0.0)
        );
    }

    #[test]
    fn millimeters_follow_the_spacing_of_each_axis() {
        let cube = bits([5, 7, 7], [0, 0, 0], [5, 7, 7]);
        // Two voxels deep along rows and columns, none across slices but the first and last.
        let band = within_millimeters(&cube, 2.0, [2.0, 1.0, 1.0]);
        assert_eq!(band.count(), 5 * 7 * 7 - 3 * 3 * 3);
        assert!(within_millimeters(&cube, 1.9, [2.0, 1.0, 1.0]).count() < band.count());
    }

    #[test]
    fn widths_are_read_as_they_are_written() {
        for (text, width) in [
            ("0.02", BoundaryWidth::Diagonal(0.02)),
            ("3px", BoundaryWidth::Pixels(3)),
            ("1.5mm", BoundaryWidth::Millimeters(1.5)),
        ] {
            assert_eq!(text.parse(), Ok(width));
            assert_eq!(String::from(width), text);
        }
        for wrong in ["", "0", "1.5", "-1mm", "0px", "2cm", "nanmm", "1.5px"] {
            assert!(wrong.parse::<BoundaryWidth>().is_err(), "{wrong}");
        }
    }
}
