//! How well a network does on the held-out cases: case Dice on the source's grid.

use lamina_io::LabelVolume;
use lamina_io::dataset::Class;

use super::cases::HeldOut;
use super::examples::{self, Candidate};
use crate::error::EngineError;
use crate::inference::{Labeler, keep_largest_component, label_slices};
use crate::losses::IGNORE_LABEL;
use crate::metrics::OverlapCounts;
use crate::observer::{CaseDice, ClassDice, ClassIou, Event, Example, Flow, Observer};

/// How a network does on the held-out cases.
#[derive(Debug, Clone)]
pub struct Validation {
    /// Mean case Dice of each foreground class.
    pub dice: Vec<ClassDice>,
    /// Case by case.
    cases: Vec<CaseDice>,
    /// Per class over all voxels of all cases.
    pooled_iou: Vec<ClassIou>,
    /// The best, the median and the worst case.
    examples: Vec<Example>,
}

impl Validation {
    /// Tells `observer` what was found case by case, and shows examples; answers the Dice.
    ///
    /// Its answers are not heard: the epoch has no checkpoint yet, so no safe point is here.
    pub fn told(self, epoch: usize, observer: &dyn Observer) -> Vec<ClassDice> {
        let Self { dice, cases, pooled_iou, examples } = self;
        let _ = observer.on(&Event::Validated { epoch, cases, pooled_iou });
        for example in examples {
            let _ = observer.on(&Event::Example(Box::new(Example { epoch, ..example })));
        }
        dice
    }
}

/// Measures a network on the held-out cases; labels are the places in `classes`, background first.
///
/// # Errors
/// What labeling the slices answers.
pub fn validate(
    labeler: &Labeler<'_>,
    cases: &[HeldOut],
    classes: &[Class],
) -> Result<Validation, EngineError> {
    let mut pooled = vec![[0_u64; 3]; classes.len()];
    let mut measured = Vec::with_capacity(cases.len());
    let mut candidates = Vec::with_capacity(cases.len());
    for HeldOut { case, prepared, reference } in cases {
        let labels = label_slices(prepared, labeler, false, &|_, _| Flow::Continue)?.labels;
        let prediction =
            keep_largest_component(prepared.undo(labels.view()), labeler.config.largest_component);
        let on_slices = |labels| prepared.prepare_labels(labels);
        candidates.push(Candidate::of(&on_slices(&prediction)?, &on_slices(reference)?));
        let overlaps = overlaps(prediction, reference);
        for (label, [both, predicted, annotated]) in (0..).zip(&mut pooled) {
            let overlap = overlaps.class(label);
            *both += overlap.both;
            *predicted += overlap.prediction;
            *annotated += overlap.reference;
        }
        let dice = (1..).zip(&classes[1..]).map(|(label, _)| overlaps.class(label).dice());
        measured.push(CaseDice { case: case.clone(), dice: dice.collect() });
    }
    let per_class = classes[1..].iter().enumerate().map(|(place, class)| {
        let values: Vec<f64> = measured.iter().filter_map(|case| case.dice[place]).collect();
        ClassDice { class: class.name.clone(), cases: values.len(), dice: mean(&values) }
    });
    let pooled_iou = classes.iter().zip(pooled).map(|(class, [both, predicted, annotated])| {
        let either = predicted + annotated - both;
        let iou = (either > 0).then(|| both as f64 / either as f64);
        ClassIou { class: class.name.clone(), iou }
    });
    let by_case: Vec<Option<f64>> = measured
        .iter()
        .map(|case| mean(&case.dice.iter().copied().flatten().collect::<Vec<_>>()))
        .collect();
    Ok(Validation {
        dice: per_class.collect(),
        pooled_iou: pooled_iou.collect(),
        examples: examples::chosen(cases, &candidates, &by_case, labeler.channels),
        cases: measured,
    })
}

/// Mean over the classes that have a Dice.
pub fn mean_dice(dice: &[ClassDice]) -> Option<f64> {
    mean(&dice.iter().filter_map(|class| class.dice).collect::<Vec<_>>())
}

/// Counts, without the voxels that the reference says to ignore.
fn overlaps(mut prediction: LabelVolume, reference: &LabelVolume) -> OverlapCounts {
    for (label, &truth) in prediction.labels.iter_mut().zip(&reference.labels) {
        if truth == IGNORE_LABEL {
            *label = IGNORE_LABEL;
        }
    }
    OverlapCounts::of(&prediction.labels, &reference.labels)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use lamina_io::Geometry;
    use ndarray::Array3;

    use super::*;

    fn volume(line: [u8; 4]) -> LabelVolume {
        let labels = Array3::from_shape_vec([1, 1, 4], line.to_vec()).unwrap();
        LabelVolume::new(labels, Geometry::pixels([1, 1, 4])).unwrap()
    }

    #[test]
    fn ignored_voxels_are_not_measured() {
        let counts = overlaps(volume([1, 1, 2, 1]), &volume([1, 0, 255, 255]));
        assert_eq!(counts.class(1).dice(), Some(2.0 / 3.0));
        assert_eq!(counts.class(2).dice(), None);
    }

    #[test]
    fn a_class_without_dice_does_not_enter_the_mean() {
        let of = |dice| ClassDice { class: String::new(), dice, cases: 1 };
        assert_eq!(mean_dice(&[of(Some(0.5)), of(None)]), Some(0.5));
        assert_eq!(mean_dice(&[of(None)]), None);
    }
}
