//! The work of an export, on a thread of its own: labels as `lamina convert` writes them, tables as
//! `lamina predict` writes them, and what `case.rs` makes.
//!
//! Every file is there whole or not at all, and never in place of what is open.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use lamina_edit::AuditRow;
use lamina_engine::bundle::Manifest;
use lamina_io::atomic::write_atomically;
use lamina_io::{
    Algorithm, AlgorithmKind, DicomScan, LabelVolume, ReadOptions, Segment, Segmentation,
    SegmentationKind, SeriesChoice, Verified, Volume, export_colored, export_labels_in,
    export_segmentation, files_read, output_files,
};

use super::case::CaseData;
use super::{Form, LabelFormat, LabelStamp, What};
use crate::cli::{ClassVolume, VolumeRow, created, error_line, write_volumes};
use crate::gui::labels::LabelClass;
use crate::gui::session_file::SessionFile;

/// The image that is open.
#[derive(Debug, Clone)]
pub struct ImagePart {
    /// Its voxels.
    pub volume: Arc<Volume>,
    /// Where it came from.
    pub path: PathBuf,
    /// Which series of a folder.
    pub series: Option<u32>,
}

/// The labels that are open.
#[derive(Debug, Clone)]
pub struct LabelPart {
    /// The labels.
    pub volume: LabelVolume,
    /// Which they are.
    pub stamp: LabelStamp,
    /// The last step that made them.
    pub step: u64,
    /// Their rows.
    pub classes: Vec<LabelClass>,
    /// What made them first.
    pub model: Option<Arc<Manifest>>,
    /// Whether they were drawn or changed by hand.
    pub by_hand: bool,
    /// Whether they came from a file.
    pub from_file: bool,
    /// What happened to them.
    pub audit: Vec<AuditRow>,
}

/// What to write.
#[derive(Debug)]
pub struct Request {
    /// What the dialog says.
    pub form: Form,
    /// The file.
    pub target: PathBuf,
    /// The image.
    pub image: Option<ImagePart>,
    /// The labels.
    pub labels: Option<LabelPart>,
    /// What reports tell beside.
    pub case: CaseData,
    /// A picture that is made already.
    pub picture: Option<RgbImage>,
    /// A session, where that is what is written.
    pub session: Option<SessionFile>,
}

/// What was written.
#[derive(Debug)]
pub enum Done {
    /// Labels, which were read back.
    Labels {
        /// What was compared.
        verified: Verified,
        /// Of which labels.
        stamp: LabelStamp,
        /// The last step that made them.
        step: u64,
        /// Whether all that there was is in the file.
        whole: bool,
    },
    /// Something else.
    Other,
}

/// Why nothing was written: a sentence, the path last.
pub type Refusal = String;

/// Writes it.
///
/// # Errors
/// What was expected, what was found, and what to do.
pub fn write(request: &Request) -> Result<Done, Refusal> {
    let Request { form, target, .. } = request;
    refuse_place(request)?;
    match form.what {
        What::Labels => return write_labels(request),
        What::Volumes => write_volumes(target, &volume_rows(request)?).map_err(|e| reason(&e))?,
        What::Audit => {
            let audit = &labels_of(request)?.audit;
            let text = lamina_edit::audit_csv(audit);
            save(target, text.as_bytes())?;
        }
        What::Plane | What::Window => match &request.picture {
            Some(picture) => save(target, &png(picture)?)?,
            None => return Err("There is no picture to write; try again.".to_owned()),
        },
        What::Montage => {
            let picture = request.case.montage(request)?;
            save(target, &png(&picture)?)?;
        }
        What::Report => {
            let page = request.case.page(request)?;
            save(target, page.as_bytes())?;
        }
        What::Session => match &request.session {
            Some(session) => session.write(target, request.image.as_ref())?,
            None => return Err("Open an image first: a session names it.".to_owned()),
        },
    }
    Ok(Done::Other)
}

/// An error with its causes.
fn reason(error: &anyhow::Error) -> Refusal {
    format!("Cannot write: {}", error_line(error.as_ref()))
}

fn save(target: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    write_atomically(target, |out| out.write_all(bytes))
        .map_err(|error| format!("Cannot write: {}", error_line(&error)))
}

fn png(picture: &RgbImage) -> Result<Vec<u8>, Refusal> {
    let mut png = std::io::Cursor::new(Vec::new());
    let written = picture.write_to(&mut png, image::ImageFormat::Png);
    written.map_err(|error| format!("The picture cannot be encoded: {error}."))?;
    Ok(png.into_inner())
}

pub(super) fn labels_of(request: &Request) -> Result<&LabelPart, Refusal> {
    request.labels.as_ref().ok_or_else(|| "There are no labels to export yet.".to_owned())
}

/// Nothing that is open is written over, and nothing else unless that is wanted.
fn refuse_place(request: &Request) -> Result<(), Refusal> {
    let Request { form, target, image, .. } = request;
    let written = output_files(target);
    if let Some(image) = image {
        let absolute = |path: &Path| path.canonicalize().ok();
        let read = files_read(&image.path, &reading(image.series));
        let read: BTreeSet<PathBuf> = read.iter().filter_map(|file| absolute(file)).collect();
        if let Some(same) =
            written.iter().find(|file| absolute(file).is_some_and(|file| read.contains(&file)))
        {
            return Err(format!(
                "This is the image itself; choose another name: {}",
                same.display()
            ));
        }
    }
    if let Some(there) = written.iter().find(|file| file.exists())
        && !form.replace
    {
        return Err(format!(
            "A file of this name is there; choose another, or tick “Replace it”: {}",
            there.display()
        ));
    }
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(format!(
            "There is no such folder; make it first or choose another: {}",
            folder.display()
        )),
        _ => Ok(()),
    }
}

/// How the image was read.
pub fn reading(series: Option<u32>) -> ReadOptions {
    ReadOptions {
        series: series.map(SeriesChoice::Number),
        accept_flaws: series.is_some(), // they were shown beside the choice
        ..ReadOptions::default()
    }
}

/// Voxels and volume of each label that is included.
pub(super) fn volumes(request: &Request) -> Result<Vec<ClassVolume>, Refusal> {
    let part = labels_of(request)?;
    let counts = part.volume.counts();
    let voxel_ml = part.volume.geometry.voxel_volume_ml();
    let rows = request.form.rows.iter().filter(|row| row.included);
    let volume = |row: &super::LabelRow| {
        let voxels = counts.get(&row.value).copied().unwrap_or(0);
        let volume_ml = voxel_ml.map(|ml| voxels as f64 * ml);
        ClassVolume { label: row.value, name: row.name.clone(), voxels, volume_ml }
    };
    Ok(rows.map(volume).collect())
}

fn volume_rows(request: &Request) -> Result<Vec<VolumeRow>, Refusal> {
    let volumes = volumes(request)?;
    Ok(volumes.iter().map(|volume| VolumeRow::found(&request.form.case, volume)).collect())
}

fn write_labels(request: &Request) -> Result<Done, Refusal> {
    let Request { form, target, .. } = request;
    let part = labels_of(request)?;
    let counts = part.volume.counts();
    let left_out: BTreeSet<u8> =
        form.rows.iter().filter(|row| !row.included).map(|row| row.value).collect();
    let whole = left_out.iter().all(|label| !counts.contains_key(label));
    let chosen;
    let labels = if whole {
        &part.volume
    } else {
        let keep = |label: u8| if left_out.contains(&label) { 0 } else { label };
        chosen = LabelVolume { labels: part.volume.labels.mapv(keep), ..part.volume.clone() };
        &chosen
    };
    let verified = match form.format {
        LabelFormat::DicomSeg | LabelFormat::DicomLabelmap => segmentation(request, part, labels)?,
        format => {
            let colors = colors(&part.classes);
            let written = if format.is_colored() {
                export_colored(target, labels, &colors)
            } else {
                export_labels_in(target, labels, &colors)
            };
            written.map_err(|error| format!("Cannot write the labels: {}", error_line(&error)))?
        }
    };
    let whole = whole && !form.format.is_colored();
    Ok(Done::Labels { verified, stamp: part.stamp, step: part.step, whole })
}

/// The color of each label, by its number.
fn colors(classes: &[LabelClass]) -> Vec<[u8; 3]> {
    let last = classes.iter().map(|class| usize::from(class.value)).max().unwrap_or(0);
    let mut colors = vec![[0; 3]; last + 1];
    for class in classes {
        colors[usize::from(class.value)] = class.color;
    }
    colors
}

fn segmentation(
    request: &Request,
    part: &LabelPart,
    labels: &LabelVolume,
) -> Result<Verified, Refusal> {
    let Request { form, target, image, .. } = request;
    let image = image.as_ref().ok_or("Open the DICOM image first: a segmentation refers to it.")?;
    let mut segments = Vec::new();
    for row in form.rows.iter().filter(|row| row.included) {
        let color = part.classes.iter().find(|class| class.value == row.value).map(|c| c.color);
        let unnamed = Segment::unnamed(row.value.into());
        segments.push(Segment {
            name: if row.name.trim().is_empty() { unnamed.name.clone() } else { row.name.clone() },
            color: color.unwrap_or(unnamed.color),
            codes: row.codes()?,
            ..unnamed
        });
    }
    if segments.is_empty() {
        return Err("Choose at least one label: a segmentation needs a segment.".to_owned());
    }
    let kind = match form.format {
        LabelFormat::DicomLabelmap => SegmentationKind::Labelmap,
        _ => SegmentationKind::Binary,
    };
    let segmentation = Segmentation {
        kind,
        segments,
        algorithm: algorithm(part),
        description: match &part.model {
            Some(model) => format!("Segmentation by {}", model.name),
            None => "Segmentation".to_owned(),
        },
        created: created(),
        ..Segmentation::default()
    };
    let failed = |error: lamina_io::VolumeError| {
        format!("Cannot write the segmentation: {}", error_line(&error))
    };
    let scan = DicomScan::open(&image.path, &reading(image.series)).map_err(failed)?;
    export_segmentation(target, labels.labels.view(), &labels.geometry, &scan, &segmentation)
        .map_err(failed)
}

/// Who drew the labels. PS3.3, C.8.20.2: a model alone, a model with a hand's help, a hand.
fn algorithm(part: &LabelPart) -> Algorithm {
    match (&part.model, part.by_hand) {
        (Some(model), by_hand) => Algorithm {
            kind: if by_hand { AlgorithmKind::Semiautomatic } else { AlgorithmKind::Automatic },
            name: model.name.clone(),
            version: model.weights.sha256.get(..16).map(str::to_owned),
            learned: true,
        },
        (None, _) if part.from_file => Algorithm::default(),
        (None, _) => Algorithm {
            kind: AlgorithmKind::Manual,
            name: "Lamina".to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            learned: false,
        },
    }
}
