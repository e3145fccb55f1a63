//! Slices that show how a training goes: what the first batch holds, and how the best, the median
//! and the worst held-out case look.
//!
//! Which slices these are is decided here; drawing them is left to whoever observes.

use ndarray::{Array2, Array3, Axis, s};

use super::Batch;
use super::cases::HeldOut;
use crate::losses::IGNORE_LABEL;
use crate::observer::{Event, Example, ExampleKind, Observer};

/// Inputs of the first batch that are shown.
const SHOWN_OF_A_BATCH: usize = 8;

/// Shows the first inputs of a batch of `[batch, channel, height, width]`. Whether to stop is asked
/// with its step.
pub fn tell_batch(
    batch: &Batch,
    [size, channels, height, width]: [usize; 4],
    observer: &dyn Observer,
) {
    let inputs = batch.inputs.chunks_exact(channels * height * width);
    let labels = batch.labels.chunks_exact(height * width);
    for (input, labels) in inputs.zip(labels).take(size.min(SHOWN_OF_A_BATCH)) {
        let input = Array3::from_shape_vec([channels, height, width], input.to_vec());
        let reference = Array2::from_shape_vec([height, width], labels.to_vec());
        let example = Example {
            kind: ExampleKind::Batch,
            epoch: 1,
            case: String::new(),
            slice: None,
            dice: None,
            input: input.expect("a chunk is one input"),
            reference: reference.expect("a chunk is one patch"),
            prediction: None,
        };
        let _ = observer.on(&Event::Example(Box::new(example)));
    }
}

/// The slice of a held-out case where reference and prediction differ most, else the one with the
/// most foreground.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    slice: usize,
    reference: Array2<u8>,
    prediction: Array2<u8>,
}

impl Candidate {
    /// Chooses among labels on the prepared grid: `[slice, height, width]`. Where the reference says
    /// to ignore a voxel, it counts as neither.
    pub(super) fn of(prediction: &Array3<u8>, reference: &Array3<u8>) -> Option<Self> {
        let weight = |slice: usize| {
            let voxels = prediction.index_axis(Axis(0), slice);
            let voxels = voxels.into_iter().zip(reference.index_axis(Axis(0), slice));
            voxels.filter(|(_, annotated)| **annotated != IGNORE_LABEL).fold(
                (0_usize, 0_usize),
                |(wrong, found), (predicted, annotated)| {
                    (
                        wrong + usize::from(predicted != annotated),
                        found + usize::from(*annotated != 0),
                    )
                },
            )
        };
        let slice =
            (0..reference.dim().0).max_by_key(|&slice| (weight(slice), usize::MAX - slice))?;
        Some(Self {
            slice,
            reference: reference.slice(s![slice, .., ..]).to_owned(),
            prediction: prediction.slice(s![slice, .., ..]).to_owned(),
        })
    }
}

/// Best, median and worst of the cases by their mean Dice; each case at most once.
pub(super) fn chosen(
    cases: &[HeldOut],
    candidates: &[Option<Candidate>],
    dice: &[Option<f64>],
    channels: usize,
) -> Vec<Example> {
    let ranked = ranked(dice);
    let Some(last) = ranked.len().checked_sub(1) else { return Vec::new() };
    let mut places = vec![(ExampleKind::Worst, 0), (ExampleKind::Best, last)];
    if last >= 2 {
        places.push((ExampleKind::Median, last / 2));
    }
    places.dedup_by_key(|(_, place)| *place);
    let example = |(kind, place): (ExampleKind, usize)| {
        let case = ranked[place];
        let seen = cases[case].seen().ok()?;
        let (prepared, name) = (&seen.prepared, &cases[case].case);
        let Candidate { slice, reference, prediction } = candidates[case].clone()?;
        let [height, width] = prepared.slice_shape();
        let mut input = Array3::zeros([channels, height, width]);
        prepared.write_input(slice, input.view_mut());
        Some(Example {
            kind,
            epoch: 0,
            case: name.clone(),
            slice: Some((slice, prepared.len())),
            dice: dice[case],
            input,
            reference,
            prediction: Some(prediction),
        })
    };
    places.into_iter().filter_map(example).collect()
}

/// The cases that have a mean Dice, lowest first; equal ones in their order.
fn ranked(dice: &[Option<f64>]) -> Vec<usize> {
    let mut ranked: Vec<(f64, usize)> =
        dice.iter().enumerate().filter_map(|(case, dice)| Some(((*dice)?, case))).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.into_iter().map(|(_, case)| case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(slices: [[u8; 3]; 3]) -> Array3<u8> {
        Array3::from_shape_fn([3, 1, 3], |(slice, _, column)| slices[slice][column])
    }

    #[test]
    fn the_slice_with_the_most_errors_is_shown_and_ignored_voxels_are_none() {
        let reference = labels([[1, 1, 1], [1, 0, 0], [255, 255, 0]]);
        let prediction = labels([[1, 1, 1], [0, 0, 0], [1, 1, 0]]);
        let candidate = Candidate::of(&prediction, &reference).unwrap();
        assert_eq!(candidate.slice, 1);
        assert_eq!(candidate.prediction, prediction.slice(s![1, .., ..]));
        let right = Candidate::of(&reference, &reference).unwrap();
        assert_eq!(right.slice, 0);
    }

    #[test]
    fn cases_without_dice_are_not_ranked() {
        assert_eq!(ranked(&[Some(0.5), None, Some(0.2), Some(0.5)]), [2, 0, 3]);
    }
}
