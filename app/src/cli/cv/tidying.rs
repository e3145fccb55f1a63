//! `postprocessing.json`: what to do with labels, chosen on the out-of-fold masks alone.

use std::path::Path;

use lamina_engine::EngineError;
use lamina_engine::inference::{Choice, TidyStep, choose_post_processing};
use lamina_engine::metrics::{ClassOverlap, OverlapCounts, Status};
use lamina_engine::observer::ClassScore;
use lamina_io::dataset::{Case, Class};
use serde::Serialize;

use crate::cli::held_out::{mask_of, read_mask, without_ignored, write_json};
use crate::cli::table::number;

/// The file.
pub(super) const POST_PROCESSING: &str = "postprocessing.json";

#[derive(Serialize)]
struct File<'a> {
    format: u32,
    classes: Vec<&'a str>,
    note: &'static str,
    #[serde(flatten)]
    choice: &'a Choice,
}

const NOTE: &str = "Chosen on the out-of-fold masks, so `after` is slightly too high an estimate; \
                    for `nested` the choice was made without each fold and measured on it.";

/// Chooses for the masks in `folder`, each with the fold that held it out, and writes the file.
///
/// # Errors
/// When a mask or a reference cannot be read.
pub(super) fn choose(
    folder: &Path,
    out: &Path,
    cases: &[(&Case, usize)],
    classes: &[Class],
) -> anyhow::Result<Choice> {
    let folds: Vec<usize> = cases.iter().map(|(_, fold)| *fold).collect();
    let read = |place: usize| {
        let (case, _) = cases[place];
        let prediction = read_mask(&folder.join(mask_of(case)), classes)?;
        let reference = case.read_labels()?;
        reference.geometry.same_grid(&prediction.geometry).map_err(|mismatch| {
            EngineError::data(&case.labels, format!("labels and image differ: {mismatch}"))
        })?;
        Ok((prediction, reference))
    };
    let choice = choose_post_processing(&folds, classes.len(), &read)?;
    let names = classes[1..].iter().map(|class| class.name.as_str()).collect();
    let file = File { format: 1, classes: names, note: NOTE, choice: &choice };
    write_json(&out.join(POST_PROCESSING), &file)?;
    Ok(choice)
}

/// IoU of each class over the pixels of all masks in `folder`, but those that references ignore.
///
/// # Errors
/// When a mask or a reference cannot be read.
pub(super) fn pooled_iou(
    folder: &Path,
    cases: &[(&Case, usize)],
    classes: &[Class],
) -> anyhow::Result<Vec<ClassScore>> {
    let mut pooled = vec![(ClassOverlap::default(), 0); classes.len()];
    for (case, _) in cases {
        let reference = case.read_labels()?;
        let prediction = read_mask(&folder.join(mask_of(case)), classes)?;
        let prediction = without_ignored(prediction, &reference);
        reference.geometry.same_grid(&prediction.geometry).map_err(|mismatch| {
            EngineError::data(&case.labels, format!("labels and image differ: {mismatch}"))
        })?;
        let counts = OverlapCounts::of(&prediction.labels, &reference.labels);
        for (label, (overlap, cases)) in (0..).zip(&mut pooled) {
            *overlap += counts.class(label);
            *cases += usize::from(counts.class(label).status() != Status::BothEmpty);
        }
    }
    let class = |(class, (overlap, cases)): (&Class, (ClassOverlap, usize))| ClassScore {
        class: class.name.clone(),
        score: overlap.iou(),
        cases,
    };
    Ok(classes.iter().zip(pooled).map(class).collect())
}

/// The choice in words.
pub(super) fn human(choice: &Choice, classes: &[Class]) -> String {
    if choice.steps.is_empty() {
        return "post-processing: none, nothing that was tried gains without a loss".to_owned();
    }
    let steps: Vec<String> = choice.steps.iter().map(|step| in_words(step, classes)).collect();
    format!(
        "post-processing: {}; mean Dice {} before, {} after, which is slightly too high, {} nested",
        steps.join(", "),
        number(choice.before.mean, 4),
        number(choice.after.mean, 4),
        number(choice.nested.mean, 4),
    )
}

fn in_words(step: &TidyStep, classes: &[Class]) -> String {
    use lamina_engine::inference::TidyOf;
    let name = |of: TidyOf| match of {
        TidyOf::Foreground => "all foreground".to_owned(),
        TidyOf::Class(label) => {
            let class = classes.get(usize::from(label));
            class.map_or_else(|| format!("label {label}"), |class| class.name.clone())
        }
    };
    match *step {
        TidyStep::KeepLargest { of } => format!("largest component of {}", name(of)),
        TidyStep::RemoveSmall { of, below_mm3, below_voxels } => {
            let size = match (below_mm3, below_voxels) {
                (Some(mm3), _) => format!("{mm3} mm³"),
                (None, voxels) => format!("{} voxels", voxels.unwrap_or(0)),
            };
            format!("no {} below {size}", name(of))
        }
        TidyStep::FillHoles { of } => format!("no holes in {}", name(of)),
    }
}

#[cfg(test)]
mod tests {
    use lamina_engine::inference::TidyOf;

    use super::*;

    #[test]
    fn steps_are_told_by_the_names_of_classes() {
        let class = |name: &str| Class { name: name.to_owned(), ..Class::default() };
        let classes = ["background", "liver"].map(class);
        let words = |step| in_words(&step, &classes);
        let of = TidyOf::Class(1);
        assert_eq!(
            words(TidyStep::KeepLargest { of: TidyOf::Foreground }),
            "largest component of all foreground"
        );
        let small = TidyStep::RemoveSmall { of, below_mm3: Some(2.5), below_voxels: None };
        assert_eq!(words(small), "no liver below 2.5 mm³");
        assert_eq!(words(TidyStep::FillHoles { of }), "no holes in liver");
    }
}
