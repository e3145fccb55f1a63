//! `lamina import`: a bundle from the weights of another program.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use lamina_engine::EngineError;
use lamina_engine::bundle::{BUNDLE_FILES, Manifest, write_bundle};
use lamina_engine::import::{Found, Import, ImportSettings, Imported, Suggestion, WeightsFile};
use lamina_engine::weights::{Misfit, WeightsError};
use lamina_io::atomic::write_folder_atomically;
use serde::Serialize;

use super::output::{Outcome, Output};
use super::table::count;

/// Make a model of the weights of another program.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The network, by its name in `lamina networks`.
    #[arg(long, value_name = "NAME")]
    network: String,

    /// Settings that differ from the named network's, and what the model says of itself; an
    /// experiment will do.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The weights: .safetensors, or a PyTorch .pth or .pt, which is read and not run.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,

    /// The model's folder.
    #[arg(long, short, value_name = "BUNDLE")]
    out: PathBuf,

    /// Classes, background included; read off the weights unless given.
    #[arg(long, value_name = "N")]
    classes: Option<usize>,

    /// Channels of the input; read off the weights unless given.
    #[arg(long, value_name = "N")]
    channels: Option<usize>,

    /// Replace a model that is there already.
    #[arg(long, visible_alias = "force")]
    overwrite: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    bundle: String,
    network: &'a str,
    /// Channels of the input.
    channels: usize,
    /// Classes, background included.
    classes: usize,
    params_training: usize,
    params_inference: usize,
    /// Whether `lamina predict` takes it.
    takes_volumes: bool,
    found: Found,
}

/// What `--json` prints of weights that do not fit.
#[derive(Debug, Serialize)]
struct Refusal<'a> {
    #[serde(flatten)]
    misfit: &'a Misfit,
    suggestion: Option<Suggestion>,
}

/// Runs `lamina import`.
///
/// # Errors
/// When the weights cannot be read or the bundle cannot be written. Weights that do not fit are
/// part of the answer.
pub fn run(args: &ImportArgs, output: &Output) -> anyhow::Result<Outcome> {
    let name = bundle_name(&args.out)?;
    refuse_occupied(args)?;
    let settings = match &args.config {
        Some(path) => ImportSettings::read(path).context("cannot use --config")?,
        None => ImportSettings::default(),
    };
    settings.network(&args.network)?; // before a large file is read
    let file = WeightsFile::open(&args.weights).context("cannot use --weights")?;
    let import = Import {
        network: &args.network,
        settings: &settings,
        file: &file,
        channels: args.channels,
        classes: args.classes,
    };
    let imported = match import.run(&name) {
        Err(EngineError::Weights(WeightsError::Misfit { misfit, path })) => {
            refuse(args, &misfit, &path, import.suggestion(), output)?;
            return Ok(Outcome::NotStarted);
        }
        imported => imported?,
    };
    let Imported { manifest, network, found } = imported;
    write_whole(&args.out, manifest.clone(), |folder, manifest| {
        write_bundle(folder, manifest, &network, settings.bundle.storage).map(drop)
    })?;

    let report = Report {
        bundle: args.out.display().to_string(),
        network: &args.network,
        channels: manifest.channels(),
        classes: manifest.classes.len(),
        params_training: network.trainable_parameters(),
        params_inference: network.inference_parameters(),
        takes_volumes: manifest.check_takes_volumes().is_ok(),
        found,
    };
    output.result(&report, human)?;
    if manifest.in_channels.is_some() && !manifest.network.settings().classifies_images() {
        output.note(
            "this model takes tensors (lamina forward); for lamina predict, say in --config how \
             volumes become its input: [preprocessing]",
        );
    }
    Ok(Outcome::Done)
}

/// The folder's name, which is the bundle's.
fn bundle_name(out: &Path) -> anyhow::Result<String> {
    let name = out.file_name().map(|name| name.to_string_lossy().into_owned());
    name.with_context(|| format!("expected a folder with a name for --out: {}", out.display()))
}

/// Only a folder that is empty, or on request one of a bundle and nothing else, is replaced.
fn refuse_occupied(args: &ImportArgs) -> anyhow::Result<()> {
    let out = &args.out;
    if !out.is_dir() {
        if out.exists() {
            bail!("expected a folder for --out, found a file: {}", out.display());
        }
        return Ok(());
    }
    let entries = std::fs::read_dir(out)
        .with_context(|| format!("cannot read this folder: {}", out.display()))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    if let Some(stranger) = names.iter().find(|name| !BUNDLE_FILES.contains(&name.as_str())) {
        bail!(
            "expected a folder for --out that holds nothing but a model, found {stranger} in it: {}",
            out.display()
        );
    }
    if !names.is_empty() && !args.overwrite {
        bail!("there is a model already, which --overwrite replaces: {}", out.display());
    }
    Ok(())
}

fn write_whole(
    out: &Path,
    manifest: Manifest,
    write: impl FnOnce(&Path, Manifest) -> Result<(), EngineError>,
) -> anyhow::Result<()> {
    if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot make this folder: {}", parent.display()))?;
    }
    write_folder_atomically(out, |folder| write(folder, manifest))
        .with_context(|| format!("cannot write this model: {}", out.display()))
}

/// Says what does not fit: the first few of each kind, or all of it.
fn refuse(
    args: &ImportArgs,
    misfit: &Misfit,
    path: &Path,
    suggestion: Option<Suggestion>,
    output: &Output,
) -> anyhow::Result<()> {
    const SHOWN: usize = 8;
    let most = if output.verbose() { usize::MAX } else { SHOWN };
    let mut text = format!(
        "error: weights do not fit {}: {} missing, {} unexpected, {} of another shape: {}",
        args.network,
        misfit.missing.len(),
        misfit.unexpected.len(),
        misfit.shapes.len(),
        path.display()
    );
    let shapes: Vec<String> = misfit.shapes.iter().map(ToString::to_string).collect();
    let lists = [
        ("missing", &misfit.missing),
        ("unexpected", &misfit.unexpected),
        ("of another shape", &shapes),
    ];
    let mut cut = false;
    let listed = |names: &[String]| !names.is_empty() && !output.json();
    for (what, names) in lists.into_iter().filter(|(_, names)| listed(names)) {
        let _ = write!(text, "\n  {what}:");
        for name in names.iter().take(most) {
            let _ = write!(text, "\n    {name}");
        }
        if names.len() > most {
            cut = true;
            let _ = write!(text, "\n    and {} more", names.len() - most);
        }
    }
    if cut {
        text += "\n  all of them: -v or --json";
    }
    if let Some(Suggestion { network, settings }) = &suggestion {
        let _ = write!(text, "\n  these are weights of --network {network}");
        if let Some(settings) = settings {
            let _ = write!(text, " with a --config that says {settings}");
        }
    }
    output.problem(text);
    output.result(&Refusal { misfit, suggestion }, |_| String::new())
}

fn human(report: &Report<'_>) -> String {
    let Report { bundle, network, channels, classes, found, .. } = report;
    let mut text = format!(
        "model    {bundle}\nnetwork  {network}, {}, {classes} classes\nweights  {}",
        count(*channels, "channel"),
        count(found.weights, "tensor"),
    );
    if !found.prefix.is_empty() {
        let _ = write!(text, " below {}", found.prefix.trim_end_matches('.'));
    }
    if found.elsewhere > 0 {
        let _ = write!(text, "; passed over {} elsewhere", count(found.elsewhere, "tensor"));
    }
    if !found.passed_over.is_empty() {
        let _ = write!(text, "\nnot run  {}", found.passed_over.join(", "));
    }
    text
}
