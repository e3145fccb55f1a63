//! The work on each case: read, segment, write, score, draw.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use lamina_engine::EngineError;
use lamina_engine::ensemble::Ensemble;
use lamina_engine::fingerprint::Doubt;
use lamina_engine::inference::{Segmentation as Segmented, segment_together};
use lamina_engine::metrics::{CaseReport, ClassReport, Comparison, Report, failed_case};
use lamina_engine::observer::{Event, Observer};
use lamina_io::atomic::write_atomically;
use lamina_io::dataset::LabelValues;
use lamina_io::{
    CaseImage, DicomScan, LabelVolume, Modality, ReadOptions, Segmentation, Verified, VolumeError,
    export_labels, export_labels_in, export_segmentation, files_of, files_read, read_image,
    read_labels, read_segmentation,
};

use super::plan::Job;
use super::report::{CaseResult, CaseStatus, ClassResult, ModelName, Prediction, Score};
use super::{ModelClass, PredictArgs};
use crate::cli::bundles::Bundle;
use crate::cli::output::{Output, error_line};
use crate::cli::progress::Progress;
use crate::cli::sidecar::{
    ClassVolume, Recipe, Seconds, SegmentationRecipe, Sidecar, UncertaintyRecord, files_sha256,
};
use crate::cli::table::number;
use crate::cli::volumes::{Row, without_paths};
use crate::montage::{Montage, MontageClass};
use crate::report::image_facts;

/// What all cases share.
pub(super) struct Run<'a> {
    pub(super) args: &'a PredictArgs,
    pub(super) output: &'a Output,
    pub(super) bundle: Bundle,
    pub(super) model: Ensemble,
    pub(super) classes: Vec<ModelClass>,
    /// What is written beside the labels, where masks are DICOM segmentations.
    pub(super) segmentation: Option<Segmentation>,
    /// The values that masks have for labels, where they are others.
    pub(super) values: Option<LabelValues>,
    pub(super) device: String,
    pub(super) progress: Progress<'a>,
}

/// A case that is done: its mask, and what it took.
struct Finished {
    labels: LabelVolume,
    seconds: Option<Seconds>, // none where an earlier run made the mask
    image: Option<CaseImage>, // none where it was not read for that reason
    unlike_training: Vec<Doubt>,
}

/// A picture of a case, and what its page tells of the image.
struct Drawn {
    picture: image::RgbImage,
    facts: Vec<(String, String)>,
}

impl Run<'_> {
    /// Takes the cases in turn; the flag says whether the user stopped it.
    pub(super) fn all(&self, jobs: &[Job]) -> (Prediction, bool) {
        let mut cases = Vec::new();
        let mut scores = Vec::new();
        let mut interrupted = false;
        for (index, job) in jobs.iter().enumerate() {
            if self.progress.interrupted() {
                interrupted = true;
                break;
            }
            self.progress.on(&Event::CaseStarted { case: job.case.clone() });
            let finished = self.mask_of(job);
            self.progress.clear();
            if let Err(error) = &finished
                && matches!(error.downcast_ref(), Some(EngineError::Stopped))
            {
                interrupted = true;
                break;
            }
            let (result, score) = self.conclude(job, finished);
            self.tell(index + 1, jobs.len(), &result);
            scores.extend(score);
            cases.push(result);
        }
        let names: BTreeMap<u8, String> =
            self.classes.iter().map(|class| (class.label, class.name.clone())).collect();
        let prediction = Prediction {
            model: ModelName {
                name: self.model.manifest.name.clone(),
                folder: self.bundle.place().into(),
                weights_sha256: self.model.manifest.weights.sha256.clone(),
            },
            device: self.device.clone(),
            cases,
            summary: (!scores.is_empty()).then(|| Report::new(scores, &names).summary),
        };
        (prediction, interrupted)
    }

    /// The mask of a case: made now, or by an earlier run that agrees in everything.
    fn mask_of(&self, job: &Job) -> anyhow::Result<Finished> {
        let input_sha256 = files_sha256(&files_read(&job.input, &self.reading()))
            .with_context(|| format!("cannot read: {}", job.input.display()))?;
        let recipe = Recipe {
            volume: self.args.volume,
            accepted_flaws: self.args.series.accept_flaws,
            values: self.values.is_some(),
            segmentation: self.segmentation_recipe()?,
            ..Recipe::of(&self.model, input_sha256)?
        };
        if job.mask.exists() && !self.args.overwrite {
            let record = Sidecar::read(&job.sidecar);
            let record = record.filter(|record| record.vouches_for(&job.mask, &recipe));
            if let (Some(record), Some(path), Some(map)) =
                (&record, &job.uncertainty, self.args.uncertainty)
                && !record.vouches_for_map(path, map.as_str())
            {
                return self.segment(job, recipe); // the mask is the same, and the map was not asked for
            }
            if let Some(record) = record {
                let labels = match self.scan(job)? {
                    Some(scan) => read_segmentation(&job.mask, &scan),
                    None => self.read_mask(&job.mask),
                }
                .context("cannot use the mask of an earlier run; --overwrite makes it again")?;
                let unlike_training = record.unlike_training;
                return Ok(Finished { labels, seconds: None, image: None, unlike_training });
            }
            bail!(
                "a file with the name of the mask is there and was not made from this input by this model; \
                 --overwrite replaces it: {}",
                job.mask.display()
            );
        }
        self.segment(job, recipe)
    }

    /// The labels in a mask or reference.
    fn read_mask(&self, path: &Path) -> Result<LabelVolume, VolumeError> {
        let labels = read_labels(path, &ReadOptions::default())?;
        Ok(match &self.values {
            Some(values) => values.labels_of(labels),
            None => labels,
        })
    }

    /// A row for each case and class.
    pub(super) fn volume_rows(&self, prediction: &Prediction) -> Vec<Row> {
        let rows = prediction.cases.iter().flat_map(|case| {
            let failed = case.status == CaseStatus::Failed;
            let reason = case.error.as_deref().unwrap_or_default();
            let reason = without_paths(reason, &[&case.input, &self.args.out]);
            let found = case.classes.iter().map(|class| Row::found(&case.case, &class.volume));
            let lost = self.classes.iter().filter(move |_| failed).map(move |class| {
                Row::failed(&case.case, Some((class.label, &class.name)), &reason)
            });
            found.chain(lost).collect::<Vec<Row>>()
        });
        rows.collect()
    }

    fn reading(&self) -> ReadOptions {
        self.args.series.reading(self.args.volume)
    }

    /// The image, with as many channels as the model wants.
    fn read_image(&self, job: &Job) -> anyhow::Result<CaseImage> {
        let channels = self.model.manifest.preprocessing.input.to_read();
        let image = read_image(&job.input, &self.reading(), channels)?;
        if let CaseImage::Color(picture) = &image
            && picture.widened
        {
            let case = &job.case;
            self.output.note(format!("{case}: a gray picture, taken for one in color"));
        }
        Ok(image)
    }

    /// What a segmentation of DICOM is of; said to be none before anything is computed.
    fn scan(&self, job: &Job) -> anyhow::Result<Option<DicomScan>> {
        let wanted = self.segmentation.is_some();
        Ok(wanted.then(|| DicomScan::open(&job.input, &self.reading())).transpose()?)
    }

    fn segmentation_recipe(&self) -> anyhow::Result<Option<SegmentationRecipe>> {
        let Some(segmentation) = &self.segmentation else { return Ok(None) };
        let described = self.args.segments.as_slice();
        let segments_sha256 = match described {
            [] => None,
            files => Some(files_sha256(files).context("cannot read the segments again")?),
        };
        Ok(Some(SegmentationRecipe { kind: segmentation.kind, segments_sha256 }))
    }

    fn write_mask(
        &self,
        job: &Job,
        labels: &LabelVolume,
        scan: Option<&DicomScan>,
    ) -> anyhow::Result<Verified> {
        let verified = match (&self.segmentation, scan) {
            (Some(segmentation), Some(scan)) => {
                let (labels, geometry) = (labels.labels.view(), &labels.geometry);
                export_segmentation(&job.mask, labels, geometry, scan, segmentation)?
            }
            _ => match &self.values {
                None => export_labels_in(&job.mask, labels, &self.colors())?,
                Some(values) => {
                    let written = values.values_of(labels.clone());
                    export_labels_in(&job.mask, &written, &values.colors(&self.colors()))?
                }
            },
        };
        Ok(verified)
    }

    /// Reads, segments and writes one case.
    fn segment(&self, job: &Job, recipe: Recipe) -> anyhow::Result<Finished> {
        let started = Instant::now();
        let scan = self.scan(job)?;
        let image = self.read_image(job)?;
        let read = started.elapsed().as_secs_f64();
        self.refuse_other_modality(&image, job)?;

        let map = self.args.uncertainty.map(super::Uncertainty::map);
        let segmentation = segment_together(&job.case, &image, &self.model, map, &self.progress)
            .with_context(|| format!("cannot segment: {}", job.input.display()))?;

        let started = Instant::now();
        if job.sidecar.exists() {
            std::fs::remove_file(&job.sidecar)
                .context("cannot remove the record of an earlier run")?;
        }
        let uncertainty = self.write_map(job, &segmentation)?;
        let verified = self.write_mask(job, &segmentation.labels, scan.as_ref())?;
        let took = segmentation.seconds;
        let seconds = Seconds {
            read,
            prepare: took.prepare,
            infer: took.infer,
            restore: took.restore,
            write: started.elapsed().as_secs_f64(),
        };
        let classes = self.volumes(&segmentation.labels);
        let record = Sidecar {
            case: job.case.clone(),
            recipe,
            mask_sha256: files_sha256(&files_of(&job.mask)).context("cannot read the mask back")?,
            verified,
            lamina_version: env!("CARGO_PKG_VERSION").to_owned(),
            device: self.device.clone(),
            seconds,
            passes: Some(segmentation.passes),
            doubt: Some(segmentation.doubt),
            agreement: segmentation.agreement,
            uncertainty,
            unlike_training: self.unlike_training(&image, &classes),
            classes,
        };
        if let Err(error) = record.write(&job.sidecar) {
            for file in files_of(&job.mask) {
                let _ = std::fs::remove_file(file); // without its record it would not count as done
            }
            return Err(error);
        }
        Ok(Finished {
            labels: segmentation.labels,
            seconds: Some(seconds),
            image: Some(image),
            unlike_training: record.unlike_training,
        })
    }

    /// Writes how uncertain each voxel is, where that was asked for.
    fn write_map(&self, job: &Job, found: &Segmented) -> anyhow::Result<Option<UncertaintyRecord>> {
        let (Some(path), Some(map), Some(values)) =
            (&job.uncertainty, self.args.uncertainty, &found.uncertainty)
        else {
            return Ok(None);
        };
        export_labels(path, values).context("cannot write the map of uncertainty")?;
        let sha256 = files_sha256(&files_of(path)).context("cannot read the map back")?;
        Ok(Some(UncertaintyRecord { map: map.as_str().to_owned(), sha256 }))
    }

    /// In what the image, and what was found in it, is unlike the training cases.
    fn unlike_training(&self, image: &CaseImage, classes: &[ClassVolume]) -> Vec<Doubt> {
        let mut doubts = self.model.doubts_about(image);
        let found: Option<BTreeMap<u8, f64>> =
            classes.iter().map(|class| Some((class.label, class.volume_ml?))).collect();
        if let Some(found) = found {
            doubts.extend(self.model.doubts_about_found(&found));
        }
        doubts
    }

    /// The bundled model is taken for nothing but what it was made for.
    fn refuse_other_modality(&self, image: &CaseImage, job: &Job) -> anyhow::Result<()> {
        let expected = &self.model.manifest.modality;
        let CaseImage::Gray(volume) = image else { return Ok(()) };
        let found = match &volume.modality {
            Some(Modality::Ct) => "ct",
            Some(Modality::Mr) => "mr",
            _ => return Ok(()), // the file does not say
        };
        if !self.bundle.named && found != expected {
            bail!(
                "the bundled model is for {expected} and this is {found}; name a model with --model: {}",
                job.input.display()
            );
        }
        Ok(())
    }

    /// Scores and draws a case, and says what came of it.
    fn conclude(
        &self,
        job: &Job,
        finished: anyhow::Result<Finished>,
    ) -> (CaseResult, Option<CaseReport>) {
        let labels: Vec<u8> = self.classes.iter().map(|class| class.label).collect();
        let mut result = CaseResult {
            case: job.case.clone(),
            status: CaseStatus::Failed,
            input: job.input.clone(),
            mask: None,
            uncertainty: None,
            montage: None,
            report: None,
            seconds: None,
            classes: Vec::new(),
            unlike_training: Vec::new(),
            error: None,
        };
        let reference = job.reference.as_deref().map(|path| self.read_mask(path));
        let finished = match finished {
            Ok(finished) => finished,
            Err(error) => {
                let reason = error_line(error.as_ref());
                result.error = Some(reason.clone());
                let classes = failed_case(reference.and_then(Result::ok).as_ref(), &labels);
                let scored = job.reference.is_some();
                let report = CaseReport::new(job.case.clone(), classes).with_error(reason);
                return (result, scored.then_some(report));
            }
        };
        result.status =
            if finished.seconds.is_some() { CaseStatus::Done } else { CaseStatus::Skipped };
        result.mask = Some(job.mask.clone());
        result.uncertainty.clone_from(&job.uncertainty);
        result.seconds = finished.seconds;
        result.unlike_training.clone_from(&finished.unlike_training);

        let mut problems = Vec::new();
        let mut scores: Vec<ClassReport> = Vec::new();
        let mut usable_reference = None;
        match reference {
            Some(Ok(reference)) => match Comparison::of(&finished.labels, &reference, None) {
                Ok(comparison) => {
                    scores = comparison.classes(&labels);
                    usable_reference = Some(reference);
                }
                Err(mismatch) => problems
                    .push(format!("not scored, the reference lies on another grid: {mismatch}")),
            },
            Some(Err(error)) => problems.push(format!("not scored: {}", error_line(&error))),
            None => {}
        }
        let scored: BTreeMap<u8, &ClassReport> =
            scores.iter().map(|score| (score.label, score)).collect();
        result.classes = self
            .volumes(&finished.labels)
            .into_iter()
            .map(|volume| ClassResult {
                score: scored.get(&volume.label).map(|score| Score::of(score)),
                volume,
            })
            .collect();
        if self.args.montage || self.args.report {
            let drawn = self.draw(job, finished, usable_reference.as_ref(), &result.classes);
            if let Err(error) = drawn.and_then(|drawn| self.write_drawn(job, drawn, &mut result)) {
                problems.push(error_line(error.as_ref()));
            }
        }
        result.error = (!problems.is_empty()).then(|| problems.join("; "));
        let report = (!scores.is_empty()).then(|| CaseReport::new(job.case.clone(), scores));
        (result, report)
    }

    fn volumes(&self, labels: &LabelVolume) -> Vec<ClassVolume> {
        let counts = labels.counts();
        let voxel_ml = labels.geometry.voxel_volume_ml();
        let volume = |class: &ModelClass| {
            let voxels = counts.get(&class.label).copied().unwrap_or(0);
            let volume_ml = voxel_ml.map(|ml| voxels as f64 * ml);
            ClassVolume { label: class.label, name: class.name.clone(), voxels, volume_ml }
        };
        self.classes.iter().map(volume).collect()
    }

    /// The color of each label, the background's first.
    fn colors(&self) -> Vec<[u8; 3]> {
        self.model.manifest.classes.iter().map(|class| class.color).collect()
    }

    fn draw(
        &self,
        job: &Job,
        finished: Finished,
        reference: Option<&LabelVolume>,
        results: &[ClassResult],
    ) -> anyhow::Result<Drawn> {
        let image = match finished.image {
            Some(image) => image,
            None => self.read_image(job)?,
        };
        let volume = image.into_gray();
        let caption = |result: &ClassResult| {
            let mut caption =
                format!("{}  {} ml", result.volume.name, number(result.volume.volume_ml, 2));
            if let Some(score) = &result.score {
                caption.push_str("  Dice ");
                caption.push_str(&number(score.dice, 3));
            }
            caption
        };
        let classes: Vec<MontageClass> = self
            .classes
            .iter()
            .zip(results)
            .map(|(class, result)| MontageClass {
                label: class.label,
                color: class.color,
                caption: caption(result),
            })
            .collect();
        let footer = format!(
            "Lamina {}, {}. For research use only.",
            env!("CARGO_PKG_VERSION"),
            self.model.manifest.name
        );
        let picture = Montage {
            volume: &volume,
            prediction: &finished.labels,
            reference,
            classes: &classes,
            title: &job.case,
            footer: &footer,
        }
        .draw();
        Ok(Drawn { picture, facts: image_facts(&volume.geometry, volume.modality.as_ref()) })
    }

    /// Writes what was asked for of the picture and the page, and notes where.
    fn write_drawn(&self, job: &Job, drawn: Drawn, result: &mut CaseResult) -> anyhow::Result<()> {
        let Drawn { picture, facts } = drawn;
        if self.args.montage {
            let mut png = std::io::Cursor::new(Vec::new());
            let encoded = picture.write_to(&mut png, image::ImageFormat::Png);
            encoded.context("cannot encode the montage")?;
            write_atomically(&job.montage, |out| std::io::Write::write_all(out, png.get_ref()))
                .context("cannot write the montage")?;
            result.montage = Some(job.montage.clone());
        }
        if self.args.report {
            self.write_page(job, picture, facts, &result.classes)?;
            result.report = Some(job.report.clone());
        }
        Ok(())
    }

    /// Says how a case went, as soon as that is known.
    fn tell(&self, position: usize, total: usize, result: &CaseResult) {
        let case = &result.case;
        match (result.status, &result.error) {
            (_, Some(reason)) => {
                self.output.problem(format!("[{position}/{total}] {case}: {reason}"));
            }
            (CaseStatus::Skipped, None) => {
                self.output
                    .note(format!("[{position}/{total}] {case}: done by an earlier run, skipped"));
            }
            _ => {
                let seconds = result.seconds.unwrap_or_default().total();
                self.output.note(format!("[{position}/{total}] {case}: {seconds:.2} s"));
            }
        }
    }
}
