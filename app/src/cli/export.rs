//! `lamina export`: the weights of a model by the names of its reference.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use lamina_engine::bundle::Model;
use lamina_engine::device::DeviceChoice;
use lamina_engine::weights::{Storage, values_by_name, write_weights};
use serde::Serialize;

use super::bundles::is_part;
use super::output::{Outcome, Output};
use super::table::count;

/// Write the weights of a model by the names of its reference.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The model's folder.
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,

    /// The .safetensors file to write; replaced where it is there already.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    weights: String,
    tensors: usize,
    values: usize,
}

/// Runs `lamina export`.
///
/// # Errors
/// When the bundle cannot be used or the file cannot be written.
pub fn run(args: &ExportArgs, output: &Output) -> anyhow::Result<Outcome> {
    let path = &args.weights;
    if path.extension().is_none_or(|ending| ending != "safetensors") {
        bail!("expected a .safetensors file for --weights: {}", path.display());
    }
    if is_part(path, &args.bundle) {
        bail!("the model would be damaged; choose another --weights: {}", path.display());
    }
    let model =
        Model::load(&args.bundle, &DeviceChoice::Cpu.open()).context("cannot use this model")?;
    let names = model.manifest.network.name_map();
    write_weights(&model.network, &names, Storage::F32, path)?;
    let values = values_by_name(&model.network, &names);
    let report = Report {
        weights: path.display().to_string(),
        tensors: values.len(),
        values: values.values().map(|tensor| tensor.values.len()).sum(),
    };
    output.result(&report, |report| {
        format!("weights  {}, {}", report.weights, count(report.tensors, "tensor"))
    })?;
    Ok(Outcome::Done)
}
