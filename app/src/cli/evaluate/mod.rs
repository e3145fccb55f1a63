//! `lamina evaluate`: predictions against references, case by case or pooled.
//!
//! What the options ask for is decided here, which files belong together in `pairs`, and what people
//! see of it is drawn in `tables`. Measuring is `lamina_engine::metrics`'.

mod cityscapes;
mod options;
mod pairs;
mod promise12;
mod tables;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use lamina_engine::metrics::{
    BoundaryWidth, Convention, Evaluated, Metric, evaluate_pairs, nnunet_summary,
};
use lamina_io::atomic::write_atomically;

use super::output::{Outcome, Output};
use super::table::count;

/// Compare predictions with references: Dice, IoU, volumes, distances per case and class.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// A predicted mask, or a folder of them.
    #[arg(long, value_name = "PATH")]
    prediction: PathBuf,

    /// The reference mask, or a folder of them; paired by file name.
    #[arg(long, value_name = "PATH")]
    reference: PathBuf,

    /// The classes to score; all labels that occur, unless given.
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..))]
    labels: Vec<u8>,

    /// What the classes are called: 1=anterior,2=posterior.
    #[arg(long, value_name = "LABEL=NAME,…", value_delimiter = ',', value_parser = options::label_name)]
    label_names: Vec<(u8, String)>,

    /// Take classes and their names from this model.
    #[arg(long, value_name = "FOLDER", conflicts_with = "labels")]
    model: Option<PathBuf>,

    /// Take classes, what is ignored, and whether to pool from this data set, a file of
    /// configs/datasets.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["labels", "model"])]
    data: Option<PathBuf>,

    /// What to measure: dice, iou, volume, rvd (relative volume difference), hd, hd95, assd, masd,
    /// nsd (surface Dice), boundary-iou, pixels (accuracy, frequency-weighted IoU, confusion
    /// matrix). Dice, IoU and volumes, unless given.
    #[arg(long, value_name = "METRIC,…", value_delimiter = ',')]
    metrics: Vec<Metric>,

    /// Measure distances between surfaces too: hd95, assd and nsd.
    #[arg(long)]
    surface: bool,

    /// How far apart two surfaces may lie and still count as equal for surface Dice [default: 1].
    #[arg(long, value_name = "MM,…", value_delimiter = ',', value_parser = options::tolerance)]
    tolerance_mm: Vec<f64>,

    /// How wide the band of Boundary IoU is: a share of the diagonal, 3px (both in the plane of
    /// each slice) or 2mm (in three dimensions) [default: 0.02].
    #[arg(long, value_name = "WIDTH")]
    boundary_width: Option<BoundaryWidth>,

    /// Whose rules and numbers: lamina, monai, nnunet, reloaded (MetricsReloaded) or deepmind
    /// (surface-distance).
    #[arg(long, value_name = "NAME", default_value_t)]
    convention: Convention,

    /// Labels of the reference that stand for no class: what lies there is not measured.
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',')]
    ignore: Vec<u8>,

    /// Measure each case by itself and average, or pool all pixels in one confusion matrix;
    /// pictures in color are pooled if `--data` says they are, all else is averaged.
    #[arg(long, value_name = "HOW", value_enum)]
    aggregate: Option<options::Aggregate>,

    /// Write the scores to this table as well.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Write nnU-Net's summary.json as well.
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,

    /// Cityscapes' official scores: class and category IoU and iIoU, of pictures of ids; the
    /// reference is a folder with labelIds and instanceIds.
    #[arg(long, conflicts_with_all = ["labels", "label_names", "model", "data", "metrics", "surface",
        "convention", "ignore", "aggregate", "csv", "summary", "promise12"])]
    cityscapes: bool,

    /// PROMISE12's numbers: Dice, HD95, mean boundary distance and volume difference of the whole
    /// gland, its base and its apex, which the affine tells apart.
    #[arg(long, conflicts_with_all = ["label_names", "model", "data", "metrics", "surface",
        "convention", "ignore", "aggregate", "summary"])]
    promise12: bool,

    /// What a second observer reaches, for PROMISE12's score; see configs/scores/promise12.toml.
    #[arg(long, value_name = "FILE", requires = "promise12")]
    score_constants: Option<PathBuf>,
}

/// Runs `lamina evaluate`.
///
/// # Errors
/// When there is nothing to compare. A case that fails is part of the report.
pub fn run(args: &EvaluateArgs, output: &Output) -> anyhow::Result<Outcome> {
    if args.cityscapes {
        return cityscapes::run(&args.prediction, &args.reference, output);
    }
    let pairs = pairs::pair_up(&args.prediction, &args.reference, output)?;
    if args.promise12 {
        return promise12::run(args, &pairs, output);
    }
    let evaluation = options::evaluation(args)?;
    let Evaluated { report, files, unscored } = evaluate_pairs(&pairs, &evaluation);
    if !unscored.is_empty() {
        let labels: Vec<String> = unscored.iter().map(ToString::to_string).collect();
        let labels = labels.join(", ");
        output.note(format!("not scored, though the files hold them: labels {labels}"));
    }
    if report.summary.classes.is_empty() && report.summary.pooled.is_none() {
        output.note("nothing to score: no file holds a label above 0");
    }
    if let Some(path) = &args.csv {
        write_atomically(path, |out| report.write_csv(out)).context("cannot write the table")?;
    }
    if let Some(path) = &args.summary {
        let text = nnunet_summary(&report, &files);
        write_atomically(path, |out| out.write_all(text.as_bytes()))
            .context("cannot write nnU-Net's summary")?;
        let without = report.cases.len() - files.len();
        if without > 0 {
            let cases = count(without, "case");
            output.note(format!(
                "not in nnU-Net's summary, as it has no place for it: {cases} without scores"
            ));
        }
    }
    let shown = tables::Shown {
        measures: &evaluation.measures,
        tolerances: options::tolerances(args),
        whole: output.verbose(),
    };
    output.result(&report, |report| tables::human(report, &shown))?;
    Ok(if report.summary.n_failed > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

/// Refuses what is no folder.
fn folder(path: &std::path::Path, option: &str) -> anyhow::Result<()> {
    let found =
        fs::metadata(path).with_context(|| format!("cannot use {option}: {}", path.display()))?;
    if !found.is_dir() {
        bail!("expected a folder for {option}, found a file: {}", path.display());
    }
    Ok(())
}
