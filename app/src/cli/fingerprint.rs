//! `lamina fingerprint`: what a model was trained on, in numbers; and measuring it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use lamina_engine::bundle::{Manifest, write_manifest};
use lamina_engine::fingerprint::{Fingerprint, PERCENTS, Span};
use lamina_engine::training::fingerprint_of;
use lamina_io::dataset::{Dataset, DatasetConfig, Folds};
use serde::Serialize;

use super::output::{Outcome, Output};
use super::train::data_folder;

/// Show what a model was trained on, or measure that from its training cases.
///
/// `lamina train` measures it while it trains. A model that was trained before there were
/// fingerprints gets one from its data set: the cases of its held-out fold are left out.
#[derive(Debug, Args)]
pub struct FingerprintArgs {
    /// The model's folder.
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,

    /// Measure the training cases of this data set, a file of configs/datasets, and write what they
    /// are like into the model's manifest.
    #[arg(long, value_name = "FILE")]
    dataset: Option<PathBuf>,

    /// The folder that holds the data set's folder; LAMINA_DATA unless given.
    #[arg(long, value_name = "FOLDER", requires = "dataset")]
    data: Option<PathBuf>,

    /// How many folds the experiment drew, or leave_one_group_out, where no file of the data set
    /// fixes them.
    #[arg(long, value_name = "N", requires = "dataset")]
    folds: Option<Folds>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    model: &'a str,
    modality: &'a str,
    fingerprint: Option<&'a Fingerprint>,
}

/// Runs `lamina fingerprint`.
///
/// # Errors
/// When the bundle or the data set cannot be read, or is not the one that the model learned from.
pub fn run(args: &FingerprintArgs, output: &Output) -> anyhow::Result<Outcome> {
    let mut manifest = Manifest::read(&args.bundle).context("cannot use this model")?;
    if args.dataset.is_some() {
        manifest.fingerprint = Some(measure(args, &manifest)?);
        write_manifest(&args.bundle, &manifest)?;
    }
    let report = Report {
        model: &manifest.name,
        modality: &manifest.modality,
        fingerprint: manifest.fingerprint.as_ref(),
    };
    output.result(&report, |report| match report.fingerprint {
        Some(fingerprint) => {
            let rows = rows(fingerprint).into_iter();
            let rows = rows.map(|(name, text)| format!("{name:<12}  {text}"));
            rows.collect::<Vec<_>>().join("\n")
        }
        None => format!(
            "{} does not say what it was trained on; --dataset measures it from its training cases",
            report.model
        ),
    })?;
    Ok(Outcome::Done)
}

fn measure(args: &FingerprintArgs, manifest: &Manifest) -> anyhow::Result<Fingerprint> {
    let Some(training) = &manifest.training else {
        bail!(
            "{} does not say which cases it learned from, so there is nothing to measure",
            manifest.name
        );
    };
    let path = args.dataset.as_deref().context("expected --dataset")?;
    let config = DatasetConfig::read(path)?;
    if config.name != training.dataset {
        bail!(
            "expected the data set {}, from which {} learned, found {}: {}",
            training.dataset,
            manifest.name,
            config.name,
            path.display()
        );
    }
    let dataset = Dataset::open(config, &data_folder(args.data.as_deref())?)?;
    let folds = match (&dataset.config.folds, args.folds) {
        (_, Some(folds)) => folds,
        (Some(_), None) => Folds::Number(0), // the file knows
        (None, None) => bail!(
            "expected --folds, as many as the experiment drew: no file fixes the folds of {}",
            dataset.config.name
        ),
    };
    let split = dataset.split(training.held_out_fold, folds, training.seed)?;
    let (found, expected) = (split.training.len(), training.training_cases);
    if found != expected {
        bail!(
            "expected the {expected} cases that {} learned from, found {found} beside fold {}: {}",
            manifest.name,
            training.held_out_fold,
            dataset.folder.display()
        );
    }
    let fingerprint = fingerprint_of(&split.training, &manifest.preprocessing, &manifest.classes)?;
    fingerprint.context("expected training cases, found none")
}

/// A fingerprint in words: what is named, and what it is.
pub fn rows(fingerprint: &Fingerprint) -> Vec<(String, String)> {
    let mut rows = vec![("cases".to_owned(), fingerprint.cases.to_string())];
    let mut row = |name: &str, text: String| rows.push((name.to_owned(), text));
    let axes = |spans: &[Span; 3]| spans.map(words).join(" × ");
    match &fingerprint.spacing_mm {
        Some(spacing_mm) => row("spacing", format!("{} mm", axes(spacing_mm))),
        None => row("spacing", "not in millimeters".to_owned()),
    }
    match &fingerprint.size_mm {
        Some(size_mm) => row("size", format!("{} mm", axes(size_mm))),
        None => row("size", format!("{} pixels", axes(&fingerprint.size_voxels))),
    }
    if !fingerprint.orientations.is_empty() {
        let counts = fingerprint.orientations.iter().map(|(name, count)| format!("{count} {name}"));
        let tilt = match fingerprint.oblique_degrees {
            degrees if degrees < 0.5 => String::new(),
            degrees => format!(", tilted by up to {degrees:.0}°"),
        };
        row("axes run to", counts.collect::<Vec<_>>().join(", ") + &tilt);
    }
    for (name, spans) in
        [("values", fingerprint.intensity.before), ("as seen", fingerprint.intensity.after)]
    {
        let at = |percent: f64, span: Span| format!("{percent:.0} %: {}", words(span));
        let shown = PERCENTS.into_iter().zip(spans).map(|(percent, span)| at(percent, span));
        row(name, shown.collect::<Vec<_>>().join(", "));
    }
    for class in &fingerprint.classes {
        let volume = class.volume_ml.map_or_else(String::new, |ml| format!(", {} ml", words(ml)));
        row(&class.name, format!("in {} of {} cases{volume}", class.cases, fingerprint.cases));
    }
    rows
}

/// "1 to 1.5", or one number where both are the same.
fn words(span: Span) -> String {
    if span.min == span.max {
        format!("{}", span.min)
    } else {
        format!("{} to {}", span.min, span.max)
    }
}
