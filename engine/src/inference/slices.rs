//! Prepared slices through a network, batch by batch, to labels.

use burn::tensor::Device;
use ndarray::{
    Array2, Array3, ArrayView2, ArrayView3, ArrayViewMut1, ArrayViewMut2, Axis, CowArray, Ix3, Zip,
};

use super::InferenceConfig;
use super::doubt::{CaseDoubt, SliceDoubt, probability};
use super::passes::Scores;
use crate::error::EngineError;
use crate::networks::{Network, NetworkConfig};
use crate::observer::Flow;
use crate::preprocess::{Prepared, Resampling, resample_linear};

/// What labeling needs of a model.
#[derive(Debug, Clone, Copy)]
pub struct Labeler<'a> {
    /// The network, not in training.
    pub network: &'a Network,
    /// Where it computes.
    pub device: &'a Device,
    /// How it is used.
    pub config: &'a InferenceConfig,
    /// Channels of its input.
    pub channels: usize,
    /// The network's settings, which say to what sizes slices are padded.
    pub architecture: &'a NetworkConfig,
}

/// What is known of one slice once it went through the network, at the in-plane resolution of
/// the source.
#[derive(Debug)]
pub struct LabeledSlice<'a> {
    /// Its place in the prepared volume.
    pub index: usize,
    /// The class of each pixel, `[height, width]`.
    pub labels: ArrayView2<'a, u8>,
    /// How sure the network is, where that was asked for.
    pub doubt: Option<SliceDoubt>,
    /// The probability of one class, 0 to 255, where that was asked for. `[height, width]`
    pub probability: Option<Array2<u8>>,
}

/// What slices bring along beside their labels. It is made and handed on slice by slice, so that
/// nothing is held for a whole volume that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// How sure the network is.
    pub doubt: bool,
    /// How probable this class is at each pixel.
    pub probability_of: Option<u8>,
}

/// Labels of all slices, and how sure the network is of them together where that was asked for.
#[derive(Debug)]
pub struct LabeledSlices {
    /// `[slice, height, width]` at the in-plane resolution of the source.
    pub labels: Array3<u8>,
    /// How sure the network is.
    pub doubt: Option<CaseDoubt>,
}

/// Labels of all slices at the in-plane resolution of the source.
///
/// After each batch `progress` hears how many slices of how many are done, and may stop.
///
/// # Shapes
/// - output: `[slice, height, width]` before resampling
///
/// # Errors
/// [`EngineError::Stopped`] when `progress` says so.
pub fn label_slices(
    prepared: &Prepared,
    labeler: &Labeler<'_>,
    with_doubt: bool,
    progress: &dyn Fn(usize, usize) -> Flow,
) -> Result<LabeledSlices, EngineError> {
    let total = prepared.len();
    let [height, width] = prepared.resampling.from;
    let mut labels = Array3::zeros([total, height, width]);
    let batches: Vec<Vec<usize>> = (0..total)
        .collect::<Vec<_>>()
        .chunks(labeler.config.batch_size)
        .map(<[usize]>::to_vec)
        .collect();
    let mut doubts = Vec::with_capacity(total);
    let extras = Extras { doubt: with_doubt, ..Extras::default() };
    label_batches(prepared, labeler, &batches, extras, &mut |slices| {
        let last = slices.last().map_or(0, |slice| slice.index + 1);
        for slice in slices {
            labels.index_axis_mut(Axis(0), slice.index).assign(&slice.labels);
            doubts.extend(slice.doubt.map(|doubt| doubt.expectation));
        }
        progress(last, total)
    })?;
    let doubt = with_doubt.then(|| CaseDoubt::of(doubts));
    Ok(LabeledSlices { labels, doubt })
}

/// Labels `batches` of slices one batch after the other, each handed on as soon as it is done:
/// the one loop that every use of a network goes through.
///
/// Labels of a slice are the same in any batch, whatever comes along.
///
/// # Errors
/// [`EngineError::Stopped`] when `each` says so.
pub fn label_batches(
    prepared: &Prepared,
    labeler: &Labeler<'_>,
    batches: &[Vec<usize>],
    extras: Extras,
    each: &mut dyn FnMut(Vec<LabeledSlice<'_>>) -> Flow,
) -> Result<(), EngineError> {
    let [height, width] = prepared.resampling.from;
    for batch in batches {
        let Scores { values: scores, are_logits } = labeler.scores(prepared, batch);
        let mut labels = Array3::zeros([batch.len(), height, width]);
        let mut beside: Vec<Beside> = batch.iter().map(|_| Beside::default()).collect();
        Zip::from(labels.axis_iter_mut(Axis(0)))
            .and(scores.axis_iter(Axis(0)))
            .and(ArrayViewMut1::from(&mut beside[..]))
            .par_for_each(|mut labels, scores, beside| {
                let scores = at_source(scores, prepared.resampling);
                argmax(scores.view(), labels.view_mut());
                if extras.doubt {
                    let doubt = SliceDoubt::of(scores.view(), are_logits, labels.view());
                    beside.doubt = Some(doubt);
                }
                beside.probability = extras
                    .probability_of
                    .map(|class| probability(scores.view(), are_logits, class));
            });
        let slices = batch.iter().zip(labels.outer_iter()).zip(beside);
        let slices = slices
            .map(|((&index, labels), Beside { doubt, probability })| LabeledSlice {
                index,
                labels,
                doubt,
                probability,
            })
            .collect();
        if each(slices) == Flow::Stop {
            return Err(EngineError::Stopped);
        }
    }
    Ok(())
}

/// What comes along with the labels of a slice.
#[derive(Default)]
struct Beside {
    doubt: Option<SliceDoubt>,
    probability: Option<Array2<u8>>,
}

/// Scores of a slice at the in-plane resolution of the source.
pub(super) fn at_source(
    scores: ArrayView3<'_, f32>,
    resampling: Resampling,
) -> CowArray<'_, f32, Ix3> {
    if resampling.is_identity() {
        scores.into()
    } else {
        resample_linear(scores, resampling.inverse()).into()
    }
}

/// The class with the highest score at each pixel; the first of equals.
pub(super) fn argmax(scores: ArrayView3<'_, f32>, mut labels: ArrayViewMut2<'_, u8>) {
    let mut best = scores.index_axis(Axis(0), 0).to_owned();
    labels.fill(0);
    for (class, scores) in scores.axis_iter(Axis(0)).enumerate().skip(1) {
        Zip::from(&mut labels).and(&mut best).and(&scores).for_each(|label, best, &score| {
            if score > *best {
                *best = score;
                *label = class as u8;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, arr3};

    use super::*;

    #[test]
    fn argmax_takes_the_first_of_equals() {
        let scores = arr3(&[[[1.0, 0.0]], [[1.0, 2.0]], [[0.0, 2.0]]]);
        let mut labels = Array2::zeros([1, 2]);
        argmax(scores.view(), labels.view_mut());
        assert_eq!(labels.as_slice().unwrap(), [0, 1]);
    }
}
