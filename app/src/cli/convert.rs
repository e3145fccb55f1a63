//! `lamina convert`: the same image in another format.
//!
//! What the formats can hold and how the outcome is checked is decided by io.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use lamina_io::atomic::write_atomically;
use lamina_io::dataset::DatasetConfig;
use lamina_io::{
    LabelColors, LabelVolume, ReadOptions, Verified, VolumeError, export_labels_in, export_volume,
    files_of, files_read, is_output_name, output_files, read_labels, read_volume,
};
use serde::Serialize;

use super::inputs::SeriesArgs;
use super::output::{Outcome, Output, error_line};
use super::sidecar::files_sha256;

/// Write an image or a label map in another format, and check what was written.
///
/// The name of the output says which format. What was written is read back by other
/// code and compared in the patient, voxel by voxel; the record beside it (OUT.json) says so.
/// Where they differ, nothing is left.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The image, or a folder of DICOM files.
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// The file to write; its ending is its format.
    #[arg(value_name = "OUT")]
    out: PathBuf,

    /// Values are labels: whole numbers from 0 to 255, written as such and compressed.
    #[arg(long)]
    labels: bool,

    /// Data set description whose classes have the colors: of labels in a picture of colors, and
    /// in the palette of a PNG.
    #[arg(long, value_name = "CONFIG", requires = "labels")]
    colors: Option<PathBuf>,

    /// Which volume of an image that holds several, from 0.
    #[arg(long, value_name = "N")]
    volume: Option<usize>,

    #[command(flatten)]
    series: SeriesArgs,

    /// Replace a file that exists.
    #[arg(long)]
    overwrite: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    input: String,
    output: String,
    #[serde(flatten)]
    result: Result,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Result {
    Verified(Verified),
    Error(String),
}

/// The record beside the output. It holds no path and nothing of the header.
#[derive(Debug, Serialize)]
struct Record {
    labels: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<usize>,
    input_sha256: String,
    output_sha256: String,
    verified: Verified,
    lamina_version: &'static str,
}

/// Runs `lamina convert`.
///
/// # Errors
/// When nothing can be started: no such input, an output without a known ending, or one that
/// is there already. An image that cannot be converted is part of the answer.
pub fn run(args: &ConvertArgs, output: &Output) -> anyhow::Result<Outcome> {
    refuse_to_start(args)?;
    let result = match convert(args) {
        Ok(verified) => Result::Verified(verified),
        Err(error) => Result::Error(error_line(error.as_ref())),
    };
    let answer = Answer {
        input: args.input.display().to_string(),
        output: args.out.display().to_string(),
        result,
    };
    output.result(&answer, human)?;
    match answer.result {
        Result::Verified(_) => Ok(Outcome::Done),
        Result::Error(reason) => {
            if !output.json() {
                output.problem(format!("error: {reason}"));
            }
            Ok(Outcome::SomeFailed)
        }
    }
}

fn refuse_to_start(args: &ConvertArgs) -> anyhow::Result<()> {
    std::fs::metadata(&args.input)
        .with_context(|| format!("expected an image: {}", args.input.display()))?;
    if !is_output_name(&args.out) {
        return Err(VolumeError::OutputName { path: args.out.clone() }.into());
    }
    let sources: Vec<PathBuf> = canonical(files_of(&args.input));
    let outputs = output_files(&args.out);
    for file in outputs.iter().chain([&record_of(&args.out)]) {
        if file.canonicalize().is_ok_and(|file| sources.contains(&file)) {
            bail!("the output would overwrite a file that is read: {}", file.display());
        }
    }
    if let Some(there) = outputs.iter().find(|file| file.exists())
        && !args.overwrite
    {
        bail!("a file of this name is there; --overwrite replaces it: {}", there.display());
    }
    Ok(())
}

fn canonical(files: Vec<PathBuf>) -> Vec<PathBuf> {
    files.into_iter().filter_map(|file| file.canonicalize().ok()).collect()
}

/// The record's name: the output's with all of its endings, so that it is nobody else's.
fn record_of(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".json");
    out.with_file_name(name)
}

fn convert(args: &ConvertArgs) -> anyhow::Result<Verified> {
    let options = args.series.reading(args.volume);
    let record_path = record_of(&args.out);
    let verified = if args.labels {
        let colors = colors(args)?;
        let labels = read(args, &options, &colors)?;
        forget(&record_path)?;
        export_labels_in(&args.out, &labels, &colors)?
    } else {
        let volume = read_volume(&args.input, &options)?;
        forget(&record_path)?;
        export_volume(&args.out, &volume)?
    };
    let record = Record {
        labels: args.labels,
        volume: args.volume,
        input_sha256: files_sha256(&files_read(&args.input, &options))
            .context("cannot read the input again")?,
        output_sha256: files_sha256(&files_of(&args.out)).context("cannot read the output back")?,
        verified,
        lamina_version: env!("CARGO_PKG_VERSION"),
    };
    let text = serde_json::to_string_pretty(&record).context("the record is no valid JSON")?;
    write_atomically(&record_path, |out| std::io::Write::write_all(out, (text + "\n").as_bytes()))
        .context("cannot write the record of this file")?;
    Ok(verified)
}

/// The color of each label, where there is a table of them.
fn colors(args: &ConvertArgs) -> anyhow::Result<Vec<[u8; 3]>> {
    let config = args.colors.as_deref().map(DatasetConfig::read).transpose()?;
    let classes = config.into_iter().flat_map(|config| config.classes);
    Ok(classes.map(|class| class.color).collect())
}

/// Labels as they are stored, or as the colors say.
fn read(
    args: &ConvertArgs,
    options: &ReadOptions,
    colors: &[[u8; 3]],
) -> anyhow::Result<LabelVolume> {
    match read_labels(&args.input, options) {
        Err(VolumeError::DataType { .. }) if !colors.is_empty() => {
            let colors = LabelColors::new(colors.iter().copied().zip(0..));
            Ok(colors.read(&args.input, &options.limits)?)
        }
        labels => Ok(labels?),
    }
}

/// A record must not outlive the file that it is about.
fn forget(record: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(record) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context("cannot remove the record of an earlier run")
        }
        _ => Ok(()),
    }
}

fn human(answer: &Answer) -> String {
    match &answer.result {
        Result::Verified(verified) if !verified.placed => format!(
            "{}: {} voxels read back and the same; the file does not say where they lie",
            answer.output, verified.voxels
        ),
        Result::Verified(verified) => format!(
            "{}: {} voxels read back and the same, at most {} of a voxel off their place",
            answer.output, verified.voxels, verified.max_offset_voxels
        ),
        Result::Error(_) => String::new(),
    }
}
