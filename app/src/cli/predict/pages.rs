//! The page of a case: what was found in it, and with what.

use std::io::Write as _;

use anyhow::Context;
use image::RgbImage;
use lamina_io::atomic::write_atomically;

use super::cases::Run;
use super::plan::Job;
use super::report::ClassResult;
use crate::cli::segments::created;
use crate::cli::sidecar::Sidecar;
use crate::report::{ClassRow, ComparisonRow, Doubt, Report, moment};

impl Run<'_> {
    /// Writes the page of a case. How sure the model was is taken from the record, which an earlier
    /// run may have written.
    pub(super) fn write_page(
        &self,
        job: &Job,
        picture: RgbImage,
        image: Vec<(String, String)>,
        results: &[ClassResult],
    ) -> anyhow::Result<()> {
        let row = |(result, color): (&ClassResult, [u8; 3])| ClassRow {
            label: result.volume.label,
            name: result.volume.name.clone(),
            color,
            voxels: result.volume.voxels,
            volume_ml: result.volume.volume_ml,
        };
        let colors = self.classes.iter().map(|class| class.color);
        let comparison = results.iter().filter_map(|result| {
            let score = result.score.as_ref()?;
            Some(ComparisonRow {
                name: result.volume.name.clone(),
                dice: score.dice,
                iou: score.iou,
                hd95_mm: None,
                reference_ml: score.volume_ml_reference,
            })
        });
        let doubt = Sidecar::read(&job.sidecar).and_then(|record| record.doubt);
        let report = Report {
            case: job.case.clone(),
            made: moment(created()),
            image,
            picture: results.iter().any(|result| result.volume.voxels > 0).then_some(picture),
            classes: results.iter().zip(colors).map(row).collect(),
            origin: format!("the model {}", self.model.manifest.name),
            doubt: doubt.map(|doubt| Doubt {
                plane: None,
                slices: doubt.slices,
                unsure: doubt.doubtful_slices,
                worst: Vec::new(),
            }),
            comparison: comparison.collect(),
            edits: None,
            model: Some(&self.model.manifest),
        };
        let page = report.html()?;
        write_atomically(&job.report, |out| out.write_all(page.as_bytes()))
            .context("cannot write the report of this case")
    }
}
