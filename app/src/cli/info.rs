//! `lamina info`: what is in a file, as a card, or in a line of a table of many.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use clap::Args;
use lamina_io::{
    FileInfo, Limits, PaddingInfo, ReadOptions, SeriesChoice, SeriesInfo, Window, files_of,
    is_supported_name, read_info_of, series_in,
};
use rayon::prelude::*;
use serde::Serialize;

use super::inputs::{Input, SeriesArgs, expand};
use super::output::{Outcome, Output, error_line};
use super::progress::Bar;
use super::table::{Align, Table, count};

/// Show shape, spacing, orientation, values and labels of volumes.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Volumes, or folders of them.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// One line for every file, of folders all files in them and below: what it is, or why it
    /// cannot be read. Each file of DICOM stands for itself.
    #[arg(long)]
    table: bool,

    #[command(flatten)]
    series: SeriesArgs,
}

/// One entry of the array that `--json` prints.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Entry {
    Read(Box<Facts>),
    Failed {
        path: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        series: Option<SeriesInfo>,
        error: String,
    },
    /// Voxels that a header beside them describes.
    Part {
        path: String,
        part_of: String,
    },
}

/// The facts of one file, by their published names.
#[derive(Debug, Serialize)]
struct Facts {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<SeriesInfo>,
    format: String,
    shape: Vec<u64>,
    spacing_mm: Option<[f64; 3]>,
    affine: [[f64; 4]; 4],
    orientation: String,
    dtype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modality: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    padding: Option<PaddingInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    windows: Vec<Window>,
    min: Option<f64>,
    max: Option<f64>,
    mean: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<i64, u64>>,
    #[serde(skip_serializing_if = "is_zero")]
    nonfinite: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Runs `lamina info`.
///
/// # Errors
/// When a folder holds no volume. A file that cannot be read is part of the answer.
pub fn run(args: &InfoArgs, output: &Output) -> anyhow::Result<Outcome> {
    if args.table {
        return run_table(args, output);
    }
    let inputs = expand(&args.files)?;
    let volumes: Vec<(&Path, Option<SeriesInfo>)> =
        inputs.iter().flat_map(|input| volumes(input, args.series)).collect();
    let entries: Vec<Entry> = volumes
        .into_par_iter()
        .map(|(path, series)| entry(path, series, args.series.reading(None)))
        .collect();
    let failed = entries.iter().filter(|entry| matches!(entry, Entry::Failed { .. })).count();
    output.result(&entries, |entries| human(entries))?;
    if !output.json() {
        for entry in &entries {
            match entry {
                Entry::Failed { series: Some(series), error, .. } => {
                    output.problem(format!("error: series {series}: {error}"));
                }
                Entry::Failed { series: None, error, .. } => {
                    output.problem(format!("error: {error}"));
                }
                Entry::Read(_) | Entry::Part { .. } => {}
            }
        }
    }
    if failed > 0 && entries.len() > 1 {
        output.note(format!("{} of {} cannot be read", failed, count(entries.len(), "file")));
    }
    Ok(if failed > 0 { Outcome::SomeFailed } else { Outcome::Done })
}

/// Every file in a line of its own.
fn run_table(args: &InfoArgs, output: &Output) -> anyhow::Result<Outcome> {
    let mut files = Vec::new();
    for path in &args.files {
        all_files(path, &mut files)?;
    }
    if files.is_empty() {
        bail!("expected files, found none");
    }
    let voxels: BTreeMap<PathBuf, &Path> = files
        .iter()
        .filter(|file| is_supported_name(file))
        .flat_map(|file| files_of(file).into_iter().map(move |part| (part, file.as_path())))
        // What is an image of its own is shown as one, though others name it.
        .filter(|(part, file)| part != file && !is_supported_name(part))
        .collect();
    let bar = Bar::new(output);
    let done = AtomicUsize::new(0);
    let entries: Vec<Entry> = files
        .par_iter()
        .map(|path| {
            let entry = match voxels.get(path) {
                Some(header) => Entry::Part {
                    path: path.display().to_string(),
                    part_of: header.display().to_string(),
                },
                None => entry(path, None, args.series.reading(None)),
            };
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            bar.move_to(done, files.len(), "files".to_owned());
            entry
        })
        .collect();
    bar.clear();
    output.result(&entries, |entries| lines(entries))?;
    let failed = entries.iter().any(|entry| matches!(entry, Entry::Failed { .. }));
    Ok(if failed { Outcome::SomeFailed } else { Outcome::Done })
}

/// Adds a file, or all that are not hidden in a folder and below, sorted, not through links to
/// folders.
fn all_files(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let cannot_read = || format!("cannot read this folder: {}", path.display());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).with_context(cannot_read)? {
        let entry = entry.with_context(cannot_read)?;
        let kind = entry.file_type().with_context(cannot_read)?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let linked_folder = kind.is_symlink() && entry.path().is_dir();
        if !hidden && !linked_folder {
            entries.push(entry.path());
        }
    }
    entries.sort();
    entries.iter().try_for_each(|entry| all_files(entry, files))
}

/// A table of all entries, and how many there are of each kind.
fn lines(entries: &[Entry]) -> String {
    let mut table = Table::new([
        ("file", Align::Left),
        ("format", Align::Left),
        ("shape (x, y, z, …)", Align::Right),
        ("spacing in mm", Align::Right),
        ("axes", Align::Left),
        ("type", Align::Left),
        ("outcome", Align::Left),
    ]);
    let (mut read, mut parts) = (0, 0);
    for entry in entries {
        let (path, [format, shape, spacing, axes, stored], outcome) = match entry {
            Entry::Read(facts) => {
                read += 1;
                let shape: Vec<String> = facts.shape.iter().map(ToString::to_string).collect();
                let spacing = facts.spacing_mm.map(|spacing| spacing.map(|step| short(Some(step))));
                let axes = spacing.as_ref().map_or("", |_| facts.orientation.as_str());
                let facts_shown = [
                    facts.format.clone(),
                    shape.join(" × "),
                    spacing.as_ref().map_or_else(String::new, |steps| steps.join(" × ")),
                    axes.to_owned(),
                    stored_as(facts),
                ];
                (&facts.path, facts_shown, "read".to_owned())
            }
            Entry::Failed { path, error, .. } => {
                // The path has a column of its own.
                let reason = error.replace(&format!(": {path}"), "");
                (path, Default::default(), reason)
            }
            Entry::Part { path, part_of } => {
                parts += 1;
                (path, Default::default(), format!("voxels of {part_of}"))
            }
        };
        table.row([path.clone(), format, shape, spacing, axes, stored, outcome]);
    }
    let refused = entries.len() - read - parts;
    let all = count(entries.len(), "file");
    format!(
        "{}\n{all}: {read} read, {refused} refused, {parts} voxels of others\n",
        table.render().trim_end()
    )
}

/// A file as it is, and each series of a folder unless one is chosen.
fn volumes(input: &Input, args: SeriesArgs) -> Vec<(&Path, Option<SeriesInfo>)> {
    let path = input.path.as_path();
    if path.is_dir()
        && args.series.is_none()
        && let Ok(series) = series_in(path, &Limits::default())
    {
        return series.into_iter().map(|series| (path, Some(series))).collect();
    }
    vec![(path, None)]
}

fn entry(path: &Path, series: Option<SeriesInfo>, options: ReadOptions) -> Entry {
    let shown = path.display().to_string();
    let chosen = series.as_ref().map(|series| SeriesChoice::Number(series.number));
    let options = ReadOptions { series: chosen.or(options.series), ..options };
    match read_info_of(path, &options) {
        Ok(info) => Entry::Read(Box::new(Facts::new(shown, series, info))),
        Err(error) => Entry::Failed { path: shown, series, error: error_line(&error) },
    }
}

impl Facts {
    fn new(path: String, series: Option<SeriesInfo>, info: FileInfo) -> Self {
        Self {
            path,
            series,
            modality: info.modality,
            format: info.format,
            shape: info.shape,
            spacing_mm: info.spacing_mm,
            affine: info.affine,
            orientation: info.orientation,
            dtype: info.dtype.name(),
            channels: info.channels,
            padding: info.padding,
            windows: info.windows,
            min: info.min,
            max: info.max,
            mean: info.mean,
            labels: info.labels,
            nonfinite: info.nonfinite,
        }
    }
}

fn human(entries: &[Entry]) -> String {
    let cards: Vec<String> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Read(facts) => Some(card(facts)),
            Entry::Failed { .. } | Entry::Part { .. } => None,
        })
        .collect();
    cards.join("\n")
}

fn card(facts: &Facts) -> String {
    let joined = |numbers: &[String], by: &str| numbers.join(by);
    let shape: Vec<String> = facts.shape.iter().map(ToString::to_string).collect();
    let spacing = facts.spacing_mm.map_or("unknown".to_owned(), |spacing| {
        format!("{} mm", joined(&spacing.map(|step| short(Some(step))), " × "))
    });
    let mut lines = vec![("format", facts.format.clone())];
    lines.extend(facts.series.iter().map(|series| ("series", series.to_string())));
    lines.extend(facts.modality.iter().map(|modality| ("modality", modality.clone())));
    lines.extend([
        (
            "shape",
            format!(
                "{} ({})",
                joined(&shape, " × "),
                &"x, y, z, t, u, v, w"[..facts.shape.len().clamp(1, 7) * 3 - 2]
            ),
        ),
        ("spacing", spacing),
        ("orientation", facts.orientation.clone()),
        ("stored as", stored_as(facts)),
        (
            "values",
            format!("{} to {}, mean {}", short(facts.min), short(facts.max), short(facts.mean)),
        ),
    ]);
    if let Some(PaddingInfo { from, to, voxels }) = facts.padding {
        let value = short(Some(from));
        let range = if from == to { value } else { format!("{value} to {}", short(Some(to))) };
        lines.push(("padding", format!("{range}, {}", count(voxels as usize, "voxel"))));
    }
    for window in &facts.windows {
        let name = window.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let (center, width) = (short(Some(window.center)), short(Some(window.width)));
        lines.push(("window", format!("center {center}, width {width}{name}")));
    }
    if facts.nonfinite > 0 {
        lines.push(("not finite", count(facts.nonfinite as usize, "value")));
    }
    if let Some(labels) = &facts.labels {
        let counts: Vec<String> =
            labels.iter().map(|(label, voxels)| format!("{label}: {voxels}")).collect();
        lines.push(("labels", joined(&counts, ", ")));
    }
    let rows: Vec<String> = facts.affine[..3]
        .iter()
        .map(|row| row.map(|entry| format!("{:>10}", short(Some(entry)))).join(" "))
        .collect();
    for (index, row) in rows.into_iter().enumerate() {
        lines.push((if index == 0 { "RAS from voxel" } else { "" }, row));
    }
    let body = lines.iter().map(|(name, value)| format!("  {name:<15} {value}"));
    let lines: Vec<String> = std::iter::once(facts.path.clone()).chain(body).collect();
    lines.join("\n") + "\n"
}

/// The type of a voxel's numbers, and how many there are where it is not one.
fn stored_as(facts: &Facts) -> String {
    match facts.channels {
        Some(channels) => format!("{} × {channels}", facts.dtype),
        None => facts.dtype.to_owned(),
    }
}

/// A number with at most four digits behind the point.
fn short(value: Option<f64>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
