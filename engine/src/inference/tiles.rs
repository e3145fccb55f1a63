//! Windows that cover a slice, and what each of their pixels counts.
//!
//! A slice that no window is smaller than is looked at whole, and padded as ever; no window
//! reaches over an edge.

use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// The standard deviation of nnU-Net's Gaussian, as a share of the window.
const SIGMA: f64 = 1.0 / 8.0;

/// `tile` of `[inference]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TileConfig {
    /// Height and width of a window.
    pub size: [usize; 2],
    /// Share of a window that its neighbor covers too, at least.
    #[serde(default = "half")]
    pub overlap: f64,
    /// What the pixels of a window count, and where windows lie.
    #[serde(default)]
    pub weights: TileWeights,
}

/// What the pixels of a window count, and where windows lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TileWeights {
    /// As nnU-Net: windows are spread evenly, a Gaussian of an eighth of the window makes its
    /// middle count most, and the weighted sum is divided by the sum of the weights.
    #[default]
    Gaussian,
    /// As [`Gaussian`](Self::Gaussian), and all pixels count the same.
    Uniform,
    /// As the code of BPNet: windows follow each other by a constant stride, the last is moved
    /// back to end with the slice, and probabilities are added up, so that what several windows
    /// see counts several times beside other scales.
    Sum,
}

fn half() -> f64 {
    0.5
}

impl TileConfig {
    /// Whether these settings can work.
    ///
    /// # Errors
    /// [`EngineError::Config`] names the key, its value and what would be right.
    pub fn validate(&self) -> Result<(), EngineError> {
        if !self.size.iter().all(|size| (8..=8192).contains(size)) {
            let value = format!("{:?}", self.size);
            let expected = "expected a height and a width from 8 to 8192";
            return Err(EngineError::config("inference.tile.size", value, expected));
        }
        if !(0.0..=0.9).contains(&self.overlap) {
            let expected = "expected 0 to 0.9 of a window";
            return Err(EngineError::config("inference.tile.overlap", self.overlap, expected));
        }
        Ok(())
    }

    /// Whether slices of this size are looked at whole.
    pub fn covers(&self, slice: [usize; 2]) -> bool {
        slice[0] <= self.size[0] && slice[1] <= self.size[1]
    }

    /// Height and width of the windows of a slice of this size.
    pub(super) fn window(&self, slice: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| self.size[axis].min(slice[axis]))
    }

    /// First row and column of each window, row by row.
    pub(super) fn corners(&self, slice: [usize; 2]) -> Vec<[usize; 2]> {
        let [rows, columns] = [0, 1].map(|axis| self.starts(axis, slice[axis]));
        rows.iter().flat_map(|&top| columns.iter().map(move |&left| [top, left])).collect()
    }

    /// Where windows begin along an axis of this length.
    fn starts(&self, axis: usize, length: usize) -> Vec<usize> {
        let size = self.size[axis];
        let Some(room) = length.checked_sub(size).filter(|room| *room > 0) else { return vec![0] };
        let step = size as f64 * (1.0 - self.overlap);
        match self.weights {
            TileWeights::Gaussian | TileWeights::Uniform => {
                let gaps = (room as f64 / step).ceil().max(1.0);
                let at = |index: usize| (room as f64 / gaps * index as f64).round_ties_even();
                (0..=gaps as usize).map(|index| at(index) as usize).collect()
            }
            TileWeights::Sum => {
                let stride = (step.ceil() as usize).max(1);
                let gaps = room.div_ceil(stride);
                (0..=gaps).map(|index| (index * stride).min(room)).collect()
            }
        }
    }

    /// What each pixel of a window of this size counts, row by row: 1 at most, above 0 anywhere.
    pub(super) fn weights(&self, window: [usize; 2]) -> Vec<f32> {
        if self.weights != TileWeights::Gaussian {
            return vec![1.0; window[0] * window[1]];
        }
        let [rows, columns] = window.map(bell);
        rows.iter()
            .flat_map(|row| columns.iter().map(move |column| (row * column) as f32))
            .collect()
    }
}

/// nnU-Net's Gaussian along one axis; of an even length, the middle is the later of two.
fn bell(length: usize) -> Vec<f64> {
    let (middle, sigma) = ((length / 2) as f64, length as f64 * SIGMA);
    (0..length).map(|index| (-0.5 * ((index as f64 - middle) / sigma).powi(2)).exp()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(size: [usize; 2], overlap: f64, weights: TileWeights) -> TileConfig {
        TileConfig { size, overlap, weights }
    }

    /// By `compute_steps_for_sliding_window` of nnU-Net on paper: 100 pixels in windows of 40 leave
    /// 60 for steps of at most 20, so three of 20; 110 leave 70, four of 17.5, ties to even.
    #[test]
    fn windows_are_spread_evenly() {
        let tile = tile([40, 40], 0.5, TileWeights::Gaussian);
        assert_eq!(tile.starts(0, 100), [0, 20, 40, 60]);
        assert_eq!(tile.starts(1, 110), [0, 18, 35, 52, 70]);
        assert_eq!(tile.starts(1, 41), [0, 1]);
        assert_eq!(tile.starts(1, 40), [0]);
        assert_eq!(tile.starts(1, 7), [0]);
    }

    /// 1024 columns of Cityscapes' 2048 by a stride of ⌈2/3 · 1024⌉ = 683: the third window is moved
    /// back from 1366 to 1024.
    #[test]
    fn windows_of_bpnet_have_a_constant_stride() {
        let tile = tile([1024, 1024], 1.0 / 3.0, TileWeights::Sum);
        assert_eq!(tile.corners([1024, 2048]), [[0, 0], [0, 683], [0, 1024]]);
        assert!(tile.covers([1024, 1024]) && !tile.covers([1024, 1025]));
    }

    #[test]
    fn every_pixel_is_seen_and_windows_never_leave_the_slice() {
        for weights in [TileWeights::Gaussian, TileWeights::Uniform, TileWeights::Sum] {
            for overlap in [0.0, 0.3, 0.5, 0.9] {
                let tile = tile([8, 9], overlap, weights);
                for length in 1..60 {
                    for axis in [0, 1] {
                        let window = tile.size[axis].min(length);
                        let mut seen = vec![false; length];
                        for start in tile.starts(axis, length) {
                            seen[start..start + window].fill(true);
                        }
                        assert!(seen.iter().all(|seen| *seen), "{weights:?} {overlap} {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_middle_counts_most_and_an_eighth_away_less_by_a_known_factor() {
        let weights = tile([16, 8], 0.5, TileWeights::Gaussian).weights([16, 8]);
        let at = |row: usize, column: usize| f64::from(weights[row * 8 + column]);
        assert_eq!(at(8, 4), 1.0);
        // One standard deviation: 2 rows of 16, 1 column of 8.
        assert!((at(10, 4) - (-0.5_f64).exp()).abs() < 1e-7);
        assert!((at(8, 3) - (-0.5_f64).exp()).abs() < 1e-7);
        assert!(weights.iter().all(|weight| *weight > 0.0));
    }
}
