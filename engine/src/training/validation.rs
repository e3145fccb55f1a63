//! How well a network does on the held-out cases: case Dice on the source's grid.

use lamina_io::LabelVolume;
use lamina_io::dataset::Class;

use super::cases::HeldOut;
use crate::error::EngineError;
use crate::inference::{Labeler, keep_largest_component, label_slices};
use crate::losses::IGNORE_LABEL;
use crate::metrics::OverlapCounts;
use crate::observer::{ClassDice, Flow};

/// Mean case Dice of each foreground class; labels are the places in `foreground`, from 1.
///
/// # Errors
/// What labeling the slices answers.
pub fn validate(
    labeler: &Labeler<'_>,
    cases: &[HeldOut],
    foreground: &[Class],
) -> Result<Vec<ClassDice>, EngineError> {
    let mut per_class = vec![Vec::new(); foreground.len()];
    for HeldOut { prepared, reference } in cases {
        let labels = label_slices(prepared, labeler, false, &|_, _| Flow::Continue)?.labels;
        let prediction =
            keep_largest_component(prepared.undo(labels.view()), labeler.config.largest_component);
        let overlaps = overlaps(prediction, reference);
        for (label, values) in (1..).zip(&mut per_class) {
            values.extend(overlaps.class(label).dice());
        }
    }
    let summary = foreground.iter().zip(per_class).map(|(class, values)| ClassDice {
        class: class.name.clone(),
        cases: values.len(),
        dice: mean(&values),
    });
    Ok(summary.collect())
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
