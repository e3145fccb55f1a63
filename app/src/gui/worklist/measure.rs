//! The numbers of a case: how much of each class there is, and how well it agrees with its
//! reference. Runs as a job over all cases.

use std::path::Path;

use lamina_engine::metrics::{CaseReport, Comparison};
use lamina_io::{LabelVolume, ReadOptions, read_labels};

use super::{Case, ClassAmount, Score};
use crate::gui::labels::onto_grid;

/// What was found of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseNumbers {
    /// How much of each class there is, where it was not known.
    pub amounts: Option<Vec<ClassAmount>>,
    /// How well it agrees with its reference.
    pub score: Score,
}

/// Whether there is anything to measure of a case.
pub fn wanted(case: &Case) -> bool {
    case.score == Score::Waiting || case.amounts.is_empty()
}

/// Reads the labels of a case and its reference, and measures them as `lamina evaluate` does.
///
/// Labels on another grid than their reference are brought onto its grid, the nearest of them for
/// each voxel.
pub fn measure(case: &Case) -> CaseNumbers {
    let read = |path: &Path| {
        read_labels(path, &ReadOptions::default()).map_err(|error| crate::cli::error_line(&error))
    };
    let labels = match read(case.shown_labels()) {
        Ok(labels) => labels,
        Err(reason) => return CaseNumbers { amounts: None, score: Score::Failed(reason) },
    };
    let amounts = case.amounts.is_empty().then(|| amounts(&labels));
    let Some(reference) = &case.reference else {
        return CaseNumbers { amounts, score: Score::NoReference };
    };
    let score = read(reference).and_then(|reference| {
        let (labels, _) =
            onto_grid(labels, &reference.geometry).map_err(|mismatch| mismatch.to_string())?;
        let compared =
            Comparison::of(&labels, &reference, None).map_err(|mismatch| mismatch.to_string())?;
        let found: Vec<u8> = compared.labels().into_iter().collect();
        let classes = compared.classes(&found);
        let report = CaseReport::new("", classes);
        Ok(Score::Dice(report.mean_dice()))
    });
    CaseNumbers { amounts, score: score.unwrap_or_else(Score::Failed) }
}

fn amounts(labels: &LabelVolume) -> Vec<ClassAmount> {
    let voxel_ml = labels.geometry.voxel_volume_ml();
    let counts = labels.counts().into_iter().filter(|(label, _)| *label != 0);
    let amount = |(label, voxels): (u8, u64)| ClassAmount {
        label,
        name: format!("Label {label}"),
        volume_ml: voxel_ml.map(|ml| voxels as f64 * ml),
        voxels,
    };
    counts.map(amount).collect()
}

#[cfg(test)]
mod tests {
    use lamina_io::{Affine, Geometry, write_labels};
    use ndarray::{Array3, s};

    use super::super::tests::case;
    use super::*;

    #[test]
    fn a_case_is_measured_by_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let affine = Affine::from_spacing_origin([1.0, 2.0, 5.0], [0.0; 3]);
        let geometry = Geometry::new([2, 3, 4], affine).unwrap();
        let mut labels = Array3::zeros([2, 3, 4]);
        labels.slice_mut(s![0, .., 0..2]).fill(1);
        labels[[1, 0, 0]] = 2;
        let write = |name: &str, labels: &Array3<u8>| {
            let volume = LabelVolume::new(labels.clone(), geometry.clone()).unwrap();
            write_labels(&path(name), &volume).unwrap();
        };
        write("labels.nii.gz", &labels);
        labels.slice_mut(s![0, .., 1..2]).fill(0);
        write("reference.nii.gz", &labels);

        let mut one = Case { labels: path("labels.nii.gz"), ..case("a", None, None) };
        let found = measure(&one);
        assert_eq!(found.score, Score::NoReference);
        let ml = |amount: &ClassAmount| (amount.label, amount.volume_ml.unwrap());
        assert_eq!(
            found.amounts.unwrap().iter().map(ml).collect::<Vec<_>>(),
            [(1, 0.06), (2, 0.01)]
        );
        // 6 voxels against 3, all of which it has; and one against one: (2/3 + 1) / 2.
        one.reference = Some(path("reference.nii.gz"));
        let Score::Dice(Some(dice)) = measure(&one).score else { panic!("{one:?}") };
        assert!((dice - 5.0 / 6.0).abs() < 1e-12);
        one.reference = Some(path("absent.nii.gz"));
        assert!(
            matches!(measure(&one).score, Score::Failed(reason) if reason.contains("absent.nii.gz"))
        );
    }
}
