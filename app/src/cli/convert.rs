//! `lamina convert`: the same image in another format.
//!
//! What the formats can hold and how the outcome is checked is decided by io.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use lamina_io::atomic::write_atomically;
use lamina_io::dataset::{DatasetConfig, LabelValues};
use lamina_io::{
    DicomScan, LabelColors, LabelVolume, ReadOptions, SegmentationKind, Verified, VolumeError,
    export_colored, export_labels_in, export_segmentation, export_volume, files_of, files_read,
    is_output_name, output_files, read_labels, read_volume, read_wide_labels,
};
use rayon::prelude::*;
use serde::Serialize;

use super::inputs::{Input, SeriesArgs, expand};
use super::output::{Outcome, Output, error_line};
use super::segments;
use super::sidecar::{ClassVolume, files_sha256};
use super::table::count;
use super::volumes::{self, Row, without_paths};

/// Write an image or a label map in another format, and check what was written.
///
/// The name of the output says which format; one that ends in .dcm is a DICOM segmentation of the
/// series that --scan names. What was written is read back by other
/// code and compared in the patient, voxel by voxel; the record beside it (OUT.json) says so.
/// Where they differ, nothing is left.
///
/// An output that ends in .csv or .json is a table of how much of each class there is in a mask, or in
/// each mask of a folder.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
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

    /// Data set description whose classes have the colors: of labels in a picture of colors, in
    /// the palette of a PNG, and with their names and codes in a DICOM segmentation.
    #[arg(long, value_name = "CONFIG", requires = "labels")]
    colors: Option<PathBuf>,

    /// Write a picture in the colors of the classes, or of PASCAL VOC where no description has them.
    #[arg(long, requires = "labels", conflicts_with_all = ["values", "scan"])]
    colored: bool,

    /// Write the values that the description has for its classes, not their places in its list:
    /// Cityscapes' ids.
    #[arg(long, requires = "colors", conflicts_with = "scan")]
    values: bool,

    /// Which volume of an image that holds several, from 0.
    #[arg(long, value_name = "N")]
    volume: Option<usize>,

    /// For an OUT that ends in .dcm: the DICOM file or folder that the labels are of. Its slices are
    /// referred to, and what it says of the patient and the study is copied into OUT; --series and
    /// --accept-flaws are about it.
    #[arg(long, value_name = "DICOM")]
    scan: Option<PathBuf>,

    /// How a DICOM segmentation stores labels: binary, or labelmap, which fewer programs read.
    #[arg(long, value_name = "TYPE", requires = "scan", hide_possible_values = true)]
    seg_type: Option<SegType>,

    /// Names, colors and codes of the segments of a DICOM segmentation: JSON as dcmqi takes it.
    #[arg(long, value_name = "JSON", requires = "scan")]
    segments: Option<PathBuf>,

    #[command(flatten)]
    series: SeriesArgs,

    /// Replace a file that exists.
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SegType {
    Binary,
    Labelmap,
}

/// A segment of what was written: which label became which number.
#[derive(Debug, Clone, Serialize)]
struct Numbered {
    number: u16,
    label: u16,
    name: String,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    input: String,
    output: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    segments: Vec<Numbered>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    scan_sha256: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    segments: Vec<Numbered>,
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
    if volumes::is_table_name(&args.out) {
        return tabulate(args, output);
    }
    refuse_to_start(args)?;
    let (result, segments) = match convert(args) {
        Ok((verified, segments)) => (Result::Verified(verified), segments),
        Err(error) => (Result::Error(error_line(error.as_ref())), Vec::new()),
    };
    let renumbered = |segment: &&Numbered| segment.number != segment.label;
    let changes: Vec<String> = segments
        .iter()
        .filter(renumbered)
        .map(|segment| format!("label {} is segment {}", segment.label, segment.number))
        .collect();
    if !changes.is_empty() {
        output.note(format!(
            "segments are counted from 1, as DICOM wants it (not with --seg-type labelmap): {}",
            changes.join(", ")
        ));
    }
    let answer = Answer {
        input: args.input.display().to_string(),
        output: args.out.display().to_string(),
        segments,
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
    let mut sources: Vec<PathBuf> = canonical(files_of(&args.input));
    match &args.scan {
        Some(scan) if is_segmentation_name(&args.out) => {
            std::fs::metadata(scan)
                .with_context(|| format!("expected a DICOM series: {}", scan.display()))?;
            sources.extend(canonical(files_read(scan, &args.series.reading(None))));
        }
        None if is_segmentation_name(&args.out) => bail!(
            "a DICOM segmentation belongs to a series; name its file or folder with --scan: {}",
            args.out.display()
        ),
        Some(_) => bail!(
            "--scan is for DICOM segmentations, whose names end in .dcm: {}",
            args.out.display()
        ),
        None if !is_output_name(&args.out) => {
            return Err(VolumeError::OutputName { path: args.out.clone() }.into());
        }
        None => {}
    }
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

fn is_segmentation_name(out: &Path) -> bool {
    out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("dcm"))
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

fn convert(args: &ConvertArgs) -> anyhow::Result<(Verified, Vec<Numbered>)> {
    let record_path = record_of(&args.out);
    let options = match args.scan {
        Some(_) => ReadOptions { volume: args.volume, ..ReadOptions::default() },
        None => args.series.reading(args.volume),
    };
    let mut segments = Vec::new();
    let verified = if let Some(scan) = &args.scan {
        let (verified, numbered) = to_segmentation(args, scan, &options)?;
        segments = numbered;
        verified
    } else if args.labels {
        let config = description(args)?;
        let colors = colors(&config);
        let labels = read(&args.input, &options, &colors)?;
        let values = values_of(args, &config)?;
        forget(&record_path)?;
        match values {
            None if args.colored => export_colored(&args.out, &labels, &colors)?,
            None => export_labels_in(&args.out, &labels, &colors)?,
            Some(values) => {
                let written = values.values_of(labels);
                export_labels_in(&args.out, &written, &values.colors(&colors))?
            }
        }
    } else {
        let volume = read_volume(&args.input, &options)?;
        forget(&record_path)?;
        export_volume(&args.out, &volume)?
    };
    let scan_sha256 = args
        .scan
        .as_deref()
        .map(|scan| files_sha256(&files_read(scan, &args.series.reading(None))))
        .transpose()
        .context("cannot read the series again")?;
    let record = Record {
        labels: args.labels || args.scan.is_some(),
        volume: args.volume,
        input_sha256: files_sha256(&files_read(&args.input, &options))
            .context("cannot read the input again")?,
        scan_sha256,
        segments: segments.clone(),
        output_sha256: files_sha256(&files_of(&args.out)).context("cannot read the output back")?,
        verified,
        lamina_version: env!("CARGO_PKG_VERSION"),
    };
    let text = serde_json::to_string_pretty(&record).context("the record is no valid JSON")?;
    write_atomically(&record_path, |out| std::io::Write::write_all(out, (text + "\n").as_bytes()))
        .context("cannot write the record of this file")?;
    Ok((verified, segments))
}

/// Writes labels as a segmentation of `scan`.
fn to_segmentation(
    args: &ConvertArgs,
    scan: &Path,
    options: &ReadOptions,
) -> anyhow::Result<(Verified, Vec<Numbered>)> {
    let scan = DicomScan::open(scan, &args.series.reading(None))?;
    let (labels, geometry) = read_wide_labels(&args.input, options)?;
    let present: BTreeSet<u16> = labels.iter().copied().filter(|&label| label > 0).collect();
    let kind = match args.seg_type {
        Some(SegType::Labelmap) => SegmentationKind::Labelmap,
        Some(SegType::Binary) | None => SegmentationKind::Binary,
    };
    let config = description(args)?;
    refuse_named_values(&config)?;
    let classes = config.classes;
    let segmentation = segments::of_labels(&present, kind, args.segments.as_deref(), &classes)?;
    forget(&record_of(&args.out))?;
    let verified = export_segmentation(&args.out, labels.view(), &geometry, &scan, &segmentation)?;
    let numbered = segmentation.numbered().into_iter().map(|(number, segment)| Numbered {
        number,
        label: segment.label,
        name: segment.name.clone(),
    });
    Ok((verified, numbered.collect()))
}

/// What is written for each label, where it is not the label itself.
fn values_of(args: &ConvertArgs, config: &DatasetConfig) -> anyhow::Result<Option<LabelValues>> {
    if !args.values {
        return Ok(None);
    }
    refuse_named_values(config)?;
    LabelValues::of(&config.classes, &config.ignored)
        .context("cannot write these values (--values)")
}

/// A file on its own does not say where the names of its data set's values are.
fn refuse_named_values(config: &DatasetConfig) -> anyhow::Result<()> {
    match &config.value_names {
        Some(names) => bail!(
            "expected a description with the values of its classes, found that {names} has them"
        ),
        None => Ok(()),
    }
}

/// The data set that the labels are of; one without classes where none is named.
fn description(args: &ConvertArgs) -> anyhow::Result<DatasetConfig> {
    let config = args.colors.as_deref().map(DatasetConfig::read).transpose()?;
    Ok(config.unwrap_or_default())
}

/// The color of each label, where there is a table of them.
fn colors(config: &DatasetConfig) -> Vec<[u8; 3]> {
    config.classes.iter().map(|class| class.color).collect()
}

/// What `--json` prints of a table.
#[derive(Debug, Serialize)]
struct Tabulated {
    output: String,
    cases: usize,
    failed: usize,
}

/// Voxels of each label and their volume, or why a mask cannot be read.
type Measured = std::result::Result<(BTreeMap<u8, u64>, Option<f64>), String>;

/// Writes how much of each class there is in each mask.
fn tabulate(args: &ConvertArgs, output: &Output) -> anyhow::Result<Outcome> {
    let config = description(args)?;
    let inputs = expand(std::slice::from_ref(&args.input))?;
    if args.out.exists() && !args.overwrite {
        bail!("a file of this name is there; --overwrite replaces it: {}", args.out.display());
    }
    let options = args.series.reading(args.volume);
    let colors = colors(&config);
    let measure = |input: &Input| {
        let labels = read(&input.path, &options, &colors)
            .map_err(|error| without_paths(&error_line(error.as_ref()), &[&input.path]))?;
        Ok((labels.counts(), labels.geometry.voxel_volume_ml()))
    };
    let measured: Vec<Measured> = inputs.par_iter().map(measure).collect();
    // Classes that are known, or all that occur: the same for each case.
    let known = (0..=u8::MAX).zip(&config.classes).skip(1);
    let mut classes: BTreeMap<u8, String> =
        known.map(|(label, class)| (label, class.name.clone())).collect();
    if classes.is_empty() {
        let occurring = measured.iter().flatten().flat_map(|(counts, _)| counts.keys());
        classes = occurring.filter(|label| **label > 0).map(|&l| (l, String::new())).collect();
    }
    let mut rows = Vec::new();
    for (input, measured) in inputs.iter().zip(&measured) {
        for (&label, name) in &classes {
            rows.push(match measured {
                Err(reason) => Row::failed(&input.case, Some((label, name)), reason),
                Ok((counts, voxel_ml)) => {
                    let voxels = counts.get(&label).copied().unwrap_or(0);
                    let volume_ml = voxel_ml.map(|ml| voxels as f64 * ml);
                    let name = name.clone();
                    Row::found(&input.case, &ClassVolume { label, name, voxels, volume_ml })
                }
            });
        }
        if let (true, Err(reason)) = (classes.is_empty(), measured) {
            rows.push(Row::failed(&input.case, None, reason));
        }
    }
    volumes::write(&args.out, &rows)?;
    let failed = measured.iter().filter(|measured| measured.is_err()).count();
    for (input, measured) in inputs.iter().zip(&measured) {
        if let Err(reason) = measured {
            output.problem(format!("error: {}: {reason}", input.case));
        }
    }
    let answer = Tabulated { output: args.out.display().to_string(), cases: inputs.len(), failed };
    output.result(&answer, |answer| {
        format!("{}: volumes of {}", answer.output, count(answer.cases, "case"))
    })?;
    Ok(if failed > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

/// Labels as they are stored, or as the colors say.
fn read(path: &Path, options: &ReadOptions, colors: &[[u8; 3]]) -> anyhow::Result<LabelVolume> {
    match read_labels(path, options) {
        Err(VolumeError::DataType { .. }) if !colors.is_empty() => {
            let colors = LabelColors::new(colors.iter().copied().zip(0..));
            Ok(colors.read(path, &options.limits)?)
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
