//! How well a network does on the held-out cases, on the source's grid and by the data set's measure.

use lamina_io::LabelVolume;
use lamina_io::dataset::{Class, Measure};

use super::cases::HeldOut;
use super::examples::{self, Candidate};
use crate::error::EngineError;
use crate::inference::{Labeler, label_slices, tidy};
use crate::losses::IGNORE_LABEL;
use crate::metrics::{ClassOverlap, OverlapCounts, Status};
use crate::observer::{CaseDice, ClassIou, ClassScore, Event, Example, Flow, Observer};

/// How a network does on the held-out cases.
#[derive(Debug, Clone)]
pub struct Validation {
    /// How well each class is found that the measure asks about.
    pub scores: Vec<ClassScore>,
    /// Case by case.
    cases: Vec<CaseDice>,
    /// Per class over all voxels of all cases.
    pooled_iou: Vec<ClassIou>,
    /// The best, the median and the worst case.
    examples: Vec<Example>,
}

impl Validation {
    /// Tells `observer` what was found case by case, and shows examples; answers the scores.
    ///
    /// Its answers are not heard: the epoch has no checkpoint yet, so no safe point is here.
    pub fn told(self, epoch: usize, observer: &dyn Observer) -> Vec<ClassScore> {
        let Self { scores, cases, pooled_iou, examples } = self;
        let _ = observer.on(&Event::Validated { epoch, cases, pooled_iou });
        for example in examples {
            let _ = observer.on(&Event::Example(Box::new(Example { epoch, ..example })));
        }
        scores
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
    measure: Measure,
) -> Result<Validation, EngineError> {
    let mut pooled = vec![Pooled::default(); classes.len()];
    let mut measured = Vec::with_capacity(cases.len());
    let mut candidates = Vec::with_capacity(cases.len());
    for case in cases {
        let seen = case.seen()?;
        let (prepared, reference) = (&seen.prepared, &seen.reference);
        let labels = label_slices(prepared, labeler, false, &|_, _| Flow::Continue)?.labels;
        let prediction = tidy(prepared.undo(labels.view()), labeler.config);
        let on_slices = |labels| prepared.prepare_labels(labels);
        candidates.push(Candidate::of(&on_slices(&prediction)?, &on_slices(reference)?));
        let overlaps = overlaps(prediction, reference);
        for (label, pooled) in (0..).zip(&mut pooled) {
            pooled.add(overlaps.class(label));
        }
        let dice = (1..).zip(&classes[1..]).map(|(label, _)| overlaps.class(label).dice());
        measured.push(CaseDice { case: case.case.clone(), dice: dice.collect() });
    }
    let pooled_iou = classes
        .iter()
        .zip(&pooled)
        .map(|(class, pooled)| ClassIou { class: class.name.clone(), iou: pooled.overlap.iou() });
    let by_case: Vec<Option<f64>> = measured
        .iter()
        .map(|case| mean(&case.dice.iter().copied().flatten().collect::<Vec<_>>()))
        .collect();
    Ok(Validation {
        scores: scores(measure, classes, &measured, &pooled),
        pooled_iou: pooled_iou.collect(),
        examples: examples::chosen(cases, &candidates, &by_case, labeler.channels),
        cases: measured,
    })
}

/// Mean over the classes that have a score.
pub fn mean_score(scores: &[ClassScore]) -> Option<f64> {
    mean(&scores.iter().filter_map(|class| class.score).collect::<Vec<_>>())
}

/// A class over all cases.
#[derive(Debug, Clone, Copy, Default)]
struct Pooled {
    overlap: ClassOverlap,
    /// Cases that show it on either side.
    cases: usize,
}

impl Pooled {
    fn add(&mut self, overlap: ClassOverlap) {
        self.overlap += overlap;
        self.cases += usize::from(overlap.status() != Status::BothEmpty);
    }
}

/// The score of each class that `measure` asks about.
fn scores(
    measure: Measure,
    classes: &[Class],
    cases: &[CaseDice],
    pooled: &[Pooled],
) -> Vec<ClassScore> {
    let of = |label: usize| match measure {
        Measure::CaseDice => {
            let values: Vec<f64> = cases.iter().filter_map(|case| case.dice[label - 1]).collect();
            (mean(&values), values.len())
        }
        Measure::PooledIou => (pooled[label].overlap.iou(), pooled[label].cases),
    };
    let named = classes.iter().enumerate().skip(measure.first_label().into());
    named
        .map(|(label, class)| (class.name.clone(), of(label)))
        .map(|(class, (score, cases))| ClassScore { class, score, cases })
        .collect()
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
    fn a_class_without_a_score_does_not_enter_the_mean() {
        let of = |score| ClassScore { class: String::new(), score, cases: 1 };
        assert_eq!(mean_score(&[of(Some(0.5)), of(None)]), Some(0.5));
        assert_eq!(mean_score(&[of(None)]), None);
    }

    #[test]
    fn dice_is_taken_per_case_and_iou_over_all_pixels_the_first_class_too() {
        let classes =
            ["sky", "road", "tree"].map(|name| Class { name: name.to_owned(), ..Class::default() });
        let counted = [
            overlaps(volume([1, 1, 0, 0]), &volume([1, 1, 0, 0])),
            overlaps(volume([0, 0, 0, 1]), &volume([0, 0, 1, 0])),
        ];
        let mut pooled = [Pooled::default(); 3];
        let mut cases = Vec::new();
        for case in &counted {
            for (label, pooled) in (0..).zip(&mut pooled) {
                pooled.add(case.class(label));
            }
            let dice = [1, 2].map(|label| case.class(label).dice()).to_vec();
            cases.push(CaseDice { case: String::new(), dice });
        }
        let scores = |measure| {
            let named = |score: ClassScore| (score.class, score.score, score.cases);
            let scores = scores(measure, &classes, &cases, &pooled);
            scores.into_iter().map(named).collect::<Vec<_>>()
        };
        assert_eq!(
            scores(Measure::CaseDice),
            [("road".to_owned(), Some(0.5), 2), ("tree".to_owned(), None, 0)]
        );
        assert_eq!(
            scores(Measure::PooledIou),
            [
                ("sky".to_owned(), Some(4.0 / 6.0), 2),
                ("road".to_owned(), Some(2.0 / 4.0), 2),
                ("tree".to_owned(), None, 0)
            ]
        );
    }
}
