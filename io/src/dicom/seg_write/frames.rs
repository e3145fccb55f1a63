//! Labels as frames: which there are, and their pixels.

use ndarray::{ArrayView3, Axis};

use super::super::origin::DicomScan;
use super::Label;
use super::segments::{Segmentation, SegmentationKind};
use crate::error::VolumeError;

/// Frames of one file, as many as are read back.
const MOST_FRAMES: usize = 1 << 20;

/// The frames that are written.
pub(super) struct Frames {
    /// Number of the segment (0 where a frame holds all) and slice, in the order of the file.
    pub(super) list: Vec<(u16, usize)>,
    pub(super) bits: u16,
    pub(super) rows: u16,
    pub(super) columns: u16,
    pub(super) pixels: Vec<u8>,
}

impl Frames {
    pub(super) fn of<L: Label>(
        labels: &ArrayView3<L>,
        segmentation: &Segmentation,
        scan: &DicomScan,
    ) -> Result<Self, VolumeError> {
        let path = scan.path();
        let refuse = |found: String| VolumeError::Segments { path: path.to_owned(), found };
        segmentation.check().map_err(refuse)?;
        let mut number_of = vec![0; 1 << 16];
        for (number, segment) in segmentation.numbered() {
            number_of[usize::from(segment.label)] = number;
        }
        let (_, height, width) = labels.dim();
        let (Ok(rows), Ok(columns)) = (u16::try_from(height), u16::try_from(width)) else {
            return Err(refuse("expected slices of at most 65535 pixels a side".to_owned()));
        };
        let mut list = Vec::new();
        for (k, slice) in labels.axis_iter(Axis(0)).enumerate() {
            let mut there = vec![false; 1 << 16];
            for &label in &slice {
                there[usize::from(label.into())] = true;
            }
            for label in (1..=u16::MAX).filter(|&label| there[usize::from(label)]) {
                let number = number_of[usize::from(label)];
                if number == 0 {
                    return Err(refuse(format!(
                        "expected labels that the segments name, found {label}"
                    )));
                }
                list.push((number, k));
            }
        }
        if segmentation.kind == SegmentationKind::Labelmap {
            for frame in &mut list {
                frame.0 = 0;
            }
        }
        list.sort_unstable();
        list.dedup();
        if list.is_empty() {
            // A file has a frame at least: that of a slice where nothing is.
            let first = segmentation.numbered().first().map_or(1, |(number, _)| *number);
            let labelmap = segmentation.kind == SegmentationKind::Labelmap;
            list.push((if labelmap { 0 } else { first }, 0));
        }
        let largest = segmentation.segments.iter().map(|segment| segment.label).max();
        let bits = match segmentation.kind {
            SegmentationKind::Binary => 1,
            SegmentationKind::Labelmap if largest > Some(255) => 16,
            SegmentationKind::Labelmap => 8,
        };
        let declared = (list.len() * height * width) as u64 * u64::from(bits) / 8;
        if list.len() > MOST_FRAMES || declared > u64::from(u32::MAX) - 2 {
            return Err(VolumeError::TooLarge {
                path: path.to_owned(),
                reason: "what one DICOM file can hold",
                limit: u64::from(u32::MAX) - 2,
                declared,
            });
        }
        let mut pixels = Vec::with_capacity(declared as usize + 2);
        let mut packer = Packer::default();
        for &(segment, k) in &list {
            let slice = labels.index_axis(Axis(0), k);
            for &label in &slice {
                let label: u16 = label.into();
                match bits {
                    1 => packer.add(number_of[usize::from(label)] == segment, &mut pixels),
                    8 => pixels.push(label as u8),
                    _ => pixels.extend(label.to_le_bytes()),
                }
            }
        }
        packer.end(&mut pixels);
        Ok(Self { list, bits, rows, columns, pixels })
    }
}

/// Bits to bytes, the lowest first, without a gap between frames. PS3.5, section 8.1.1.
#[derive(Default)]
struct Packer {
    byte: u8,
    count: u8,
}

impl Packer {
    fn add(&mut self, bit: bool, out: &mut Vec<u8>) {
        self.byte |= u8::from(bit) << self.count;
        self.count += 1;
        if self.count == 8 {
            out.push(self.byte);
            *self = Self::default();
        }
    }

    fn end(self, out: &mut Vec<u8>) {
        if self.count > 0 {
            out.push(self.byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_run_on_from_the_lowest() {
        let mut packer = Packer::default();
        let mut out = Vec::new();
        for bit in [1, 0, 1, 1, 0, 0, 0, 0, 1, 1] {
            packer.add(bit == 1, &mut out);
        }
        packer.end(&mut out);
        assert_eq!(out, [0b1101, 0b11]);
    }
}
