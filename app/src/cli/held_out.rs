//! Masks of held-out cases by the model that never saw them, and what they amount to: the folder
//! `validation/` of a run.
//!
//! Every mask is written and recorded as `predict` does, so what a stopped run has finished is not
//! made again; `evaluation.json` comes last and is what `evaluate --json` would print.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use lamina_engine::EngineError;
use lamina_engine::device::OpenDevice;
use lamina_engine::ensemble::{Described, Ensemble};
use lamina_engine::inference::segment_together;
use lamina_engine::losses::IGNORE_LABEL;
use lamina_engine::metrics::{CaseReport, Comparison, Report, failed_case};
use lamina_engine::observer::{Event, Observer};
use lamina_io::atomic::write_atomically;
use lamina_io::dataset::{Case, Class, DatasetConfig, LabelValues};
use lamina_io::{
    LabelVolume, ReadOptions, case_stem, export_labels_in, files_of, files_read, read_labels,
};
use serde::Serialize;

use super::output::{Output, error_line};
use super::predict::mask_name;
use super::progress::Progress;
use super::sidecar::{ClassVolume, Recipe, Seconds, Sidecar, files_sha256};

/// What evaluations of a folder of masks are called.
pub const EVALUATION: &str = "evaluation.json";

/// nnU-Net's form of it.
pub const SUMMARY: &str = "summary.json";

/// How far apart surfaces may lie and count as equal, as `evaluate` has it unless told otherwise.
const TOLERANCE_MM: f64 = 1.0;

/// Writes masks of cases by a bundle.
pub struct HeldOut<'a> {
    /// The data set.
    pub dataset: &'a DatasetConfig,
    /// The folder that they go to.
    pub folder: &'a Path,
    /// Where it is computed.
    pub device: &'a OpenDevice,
    /// Who hears of it.
    pub output: &'a Output,
    /// Who hears how far it is, and may stop it.
    pub progress: &'a Progress<'a>,
}

/// The name of a case's mask: the case's, in the format of its image where masks can be.
pub fn mask_of(case: &Case) -> String {
    let name = mask_name(&case.image, &case.id).to_string_lossy().into_owned();
    let stem = case_stem(Path::new(&name));
    let ending = name.strip_prefix(&stem).unwrap_or(".nii.gz");
    format!("{}{ending}", case.id)
}

/// The names of the labels that a data set's measure asks about: of street scenes the first too.
pub fn measured(dataset: &DatasetConfig) -> BTreeMap<u8, String> {
    let labels = (0_u8..).zip(&dataset.classes).skip(dataset.measure().first_label().into());
    labels.map(|(label, class)| (label, class.name.clone())).collect()
}

/// The values that masks have for labels, where the data set has others.
pub fn values_of(classes: &[Class]) -> Option<LabelValues> {
    LabelValues::of(classes, &[]).ok().flatten()
}

/// The labels in a mask that [`HeldOut::write`] wrote.
///
/// # Errors
/// As [`read_labels`].
pub fn read_mask(path: &Path, classes: &[Class]) -> Result<LabelVolume, lamina_io::VolumeError> {
    let labels = read_labels(path, &ReadOptions::default())?;
    Ok(match values_of(classes) {
        Some(values) => values.labels_of(labels),
        None => labels,
    })
}

/// Labels without those that the reference says to ignore: what lies there is not measured.
pub fn without_ignored(mut prediction: LabelVolume, reference: &LabelVolume) -> LabelVolume {
    if prediction.labels.dim() == reference.labels.dim() {
        for (label, truth) in prediction.labels.iter_mut().zip(&reference.labels) {
            if *truth == IGNORE_LABEL {
                *label = IGNORE_LABEL;
            }
        }
    }
    prediction
}

/// Writes a value as a JSON document, atomically.
///
/// # Errors
/// When it cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("the result is no valid JSON")?;
    write_atomically(path, |out| std::io::Write::write_all(out, (text + "\n").as_bytes()))?;
    Ok(())
}

impl HeldOut<'_> {
    /// Segments `cases` by `bundle`, all but those that are done, and measures them. A case that
    /// fails is part of the report.
    ///
    /// # Errors
    /// [`EngineError::Stopped`] on request; when the bundle cannot be used or the folder cannot be
    /// written.
    pub fn write(&self, bundle: PathBuf, cases: &[Case]) -> anyhow::Result<Report> {
        refuse_names(cases)?;
        std::fs::create_dir_all(self.folder)
            .with_context(|| format!("cannot make this folder: {}", self.folder.display()))?;
        let described = Described::read(&[bundle])?;
        let model = Ensemble::load(&described, self.device)?;
        let mut reports = Vec::with_capacity(cases.len());
        for case in cases {
            if self.progress.interrupted() {
                return Err(EngineError::Stopped.into());
            }
            // Nobody wants to hear of the last case when the first is drawn.
            let _ = self.progress.on(&Event::CaseStarted { case: case.id.clone() });
            let report = self.case(case, &model);
            self.progress.clear();
            if let Err(error) = &report
                && matches!(error.downcast_ref(), Some(EngineError::Stopped))
            {
                return Err(EngineError::Stopped.into());
            }
            let report = report.unwrap_or_else(|error| {
                let reason = error_line(error.as_ref());
                self.output.problem(format!("{}: {reason}", case.id));
                let reference = case.read_labels().ok();
                let classes = failed_case(reference.as_ref(), &self.labels());
                CaseReport::new(case.id.clone(), classes).with_error(reason)
            });
            reports.push(report);
        }
        let report = Report::new(reports, &measured(self.dataset));
        write_json(&self.folder.join(EVALUATION), &report)
            .context("cannot write the evaluation")?;
        Ok(report)
    }

    /// The labels that are measured.
    fn labels(&self) -> Vec<u8> {
        measured(self.dataset).into_keys().collect()
    }

    fn case(&self, case: &Case, model: &Ensemble) -> anyhow::Result<CaseReport> {
        let reference = case.read_labels()?;
        let found = self.mask(case, model)?;
        let prediction = without_ignored(found, &reference);
        let compared = Comparison::of(&prediction, &reference, Some(TOLERANCE_MM))
            .map_err(|mismatch| anyhow::anyhow!("labels and image differ: {mismatch}"))?;
        let classes = compared.classes(&self.labels());
        let n_voxels = Some(compared.confusion().total());
        Ok(CaseReport { n_voxels, ..CaseReport::new(case.id.clone(), classes) })
    }

    /// The labels of a case: those of an earlier run that agrees in everything, or made now.
    fn mask(&self, case: &Case, model: &Ensemble) -> anyhow::Result<LabelVolume> {
        let mask = self.folder.join(mask_of(case));
        let sidecar = self.folder.join(format!("{}.json", case.id));
        let values = values_of(&self.dataset.classes);
        let reading = ReadOptions { volume: case.volume, ..ReadOptions::default() };
        let input_sha256 = files_sha256(&files_read(&case.image, &reading))
            .with_context(|| format!("cannot read: {}", case.image.display()))?;
        let recipe = Recipe {
            volume: case.volume,
            values: values.is_some(),
            ..Recipe::of(model, input_sha256)?
        };
        if Sidecar::read(&sidecar).is_some_and(|record| record.vouches_for(&mask, &recipe)) {
            return Ok(read_mask(&mask, &self.dataset.classes)?);
        }
        let started = Instant::now();
        let image = case.read_image(model.manifest.preprocessing.input.to_read())?;
        let read = started.elapsed().as_secs_f64();
        let found = segment_together(&case.id, &image, model, None, self.progress)
            .with_context(|| format!("cannot segment: {}", case.image.display()))?;
        let started = Instant::now();
        if sidecar.exists() {
            std::fs::remove_file(&sidecar).context("cannot remove the record of an earlier run")?;
        }
        let colors: Vec<[u8; 3]> = self.dataset.classes.iter().map(|class| class.color).collect();
        let verified = match &values {
            None => export_labels_in(&mask, &found.labels, &colors)?,
            Some(values) => {
                let written = values.values_of(found.labels.clone());
                export_labels_in(&mask, &written, &values.colors(&colors))?
            }
        };
        let took = found.seconds;
        let record = Sidecar {
            case: case.id.clone(),
            recipe,
            mask_sha256: files_sha256(&files_of(&mask)).context("cannot read the mask back")?,
            verified,
            lamina_version: env!("CARGO_PKG_VERSION").to_owned(),
            device: self.device.name.clone(),
            seconds: Seconds {
                read,
                prepare: took.prepare,
                infer: took.infer,
                restore: took.restore,
                write: started.elapsed().as_secs_f64(),
            },
            passes: Some(found.passes),
            doubt: Some(found.doubt),
            agreement: found.agreement,
            uncertainty: None,
            classes: self.volumes(&found.labels),
            unlike_training: model.doubts_about(&image),
        };
        record.write(&sidecar)?;
        Ok(found.labels)
    }

    fn volumes(&self, labels: &LabelVolume) -> Vec<ClassVolume> {
        let counts = labels.counts();
        let voxel_ml = labels.geometry.voxel_volume_ml();
        let volume = |(label, name): (u8, String)| {
            let voxels = counts.get(&label).copied().unwrap_or(0);
            let volume_ml = voxel_ml.map(|ml| voxels as f64 * ml);
            ClassVolume { label, name, voxels, volume_ml }
        };
        measured(self.dataset).into_iter().map(volume).collect()
    }
}

/// What lies beside masks has these names.
fn refuse_names(cases: &[Case]) -> anyhow::Result<()> {
    let reserved = [EVALUATION, SUMMARY].map(|name| name.trim_end_matches(".json"));
    if let Some(case) = cases.iter().find(|case| reserved.contains(&case.id.as_str())) {
        bail!(
            "a case cannot be called {:?}: its record would be the evaluation of all: {}",
            case.id,
            case.image.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_the_names_of_cases_and_the_format_of_images() {
        let name = |id: &str, image: &str| {
            mask_of(&Case { id: id.into(), image: image.into(), ..Case::default() })
        };
        assert_eq!(name("a", "images/a.nii.gz"), "a.nii.gz");
        assert_eq!(name("a", "imagesTr/a_0000.nii.gz"), "a.nii.gz");
        assert_eq!(name("Case00", "Case00.mhd"), "Case00.mhd");
        assert_eq!(name("b", "b_leftImg8bit.png"), "b.png");
        assert_eq!(name("b", "b.jpg"), "b.png");
        assert_eq!(name("c", "c.hdr"), "c.nii.gz");
    }

    #[test]
    fn a_case_that_is_called_as_the_evaluation_is_refused() {
        let case = |id: &str| Case { id: id.into(), ..Case::default() };
        assert!(refuse_names(&[case("a"), case("b")]).is_ok());
        assert!(refuse_names(&[case("a"), case("evaluation")]).is_err());
    }
}
