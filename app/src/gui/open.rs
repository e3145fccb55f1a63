//! Opening what the user names: an image, labels, a folder with a study. Runs as a job.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lamina_io::{
    Arrived, FileInfo, Geometry, Limits, ReadOptions, SeriesChoice, Volume, VolumeError, case_stem,
    images_among, read_info, read_labels, read_slice, read_volume_in_parts, series_in,
};

use super::arriving::{Arriving, Wanted, Watcher};
use super::job::Worker;
use super::labels::{LabelLayer, onto_grid};
use super::plane::PlaneView;
use super::shades::presets;
use super::state::{OpenImage, Study};
use super::worklist::scan::has_records;

/// What to open.
#[derive(Debug, Clone, Default)]
pub struct OpenRequest {
    /// Files or a folder; the first is the image unless one is open.
    pub paths: Vec<PathBuf>,
    /// A series of the folder, by its place from 1.
    pub series: Option<u32>,
    /// Whether all of them are labels, whatever they look like.
    pub as_labels: bool,
    /// Grid of the image that is open.
    pub over: Option<Geometry>,
    /// What is wrong with the series, as the list said.
    pub flaws: Vec<String>,
    /// The slices that the window wants to see before all are there.
    pub wanted: Wanted,
}

/// What came of it.
#[derive(Debug)]
pub enum OpenEvent {
    /// Bytes of voxels that are there, of how many.
    Progress(u64, u64),
    /// The slices of an image that are there.
    Arriving(Box<Arriving>),
    /// An image.
    Image(Box<OpenImage>),
    /// Labels on the grid of the image.
    Labels(Box<LabelLayer>),
    /// A second file of labels: what the first are compared with.
    Reference(PathBuf),
    /// A folder of cases with their records.
    Worklist(PathBuf),
    /// Something has to be chosen.
    Choose(Study),
    /// Something the user should know.
    Notice(String),
    /// It did not work.
    Failed(String),
}

/// Opens everything in the order of the list; what fails is said and the rest goes on.
pub fn open(request: &OpenRequest, worker: &Worker<OpenEvent>) {
    let mut over = request.over.clone();
    // Several DICOM files are slices of what their folder holds.
    let mut paths = request.paths.clone();
    if paths.len() > 1
        && !paths[0].is_dir()
        && series_in(&paths[0], &Limits::default()).is_ok_and(|list| !list.is_empty())
        && let Some(folder) = paths[0].parent()
    {
        paths = vec![folder.to_path_buf()];
    }
    if request.over.is_none() && !request.as_labels {
        match sort_out(paths) {
            Ok(sorted) => paths = sorted,
            Err(study) => return worker.send(OpenEvent::Choose(study)),
        }
    }
    let mut has_labels = false;
    for path in &paths {
        if worker.stopped() {
            return;
        }
        if has_labels && !path.is_dir() && (request.as_labels || looks_like_labels(path)) {
            worker.send(OpenEvent::Reference(path.clone()));
            continue;
        }
        match open_one(path, request, over.as_ref(), worker) {
            Ok(Some(geometry)) => over = Some(geometry),
            Ok(None) => has_labels |= over.is_some() && !path.is_dir(),
            Err(Refusal::Stopped) => return,
            Err(Refusal::Because(reason)) => worker.send(OpenEvent::Failed(reason)),
        }
    }
}

/// Why nothing was opened.
enum Refusal {
    Stopped,
    Because(String),
}

impl From<VolumeError> for Refusal {
    fn from(error: VolumeError) -> Self {
        match error {
            VolumeError::Stopped { .. } => Self::Stopped,
            error => Self::Because(explain(&error)),
        }
    }
}

/// An error with its causes, and what to do.
fn explain(error: &VolumeError) -> String {
    format!("Cannot open: {}\n{}", crate::cli::error_line(error), advice(error))
}

/// What the user can do about it.
fn advice(error: &VolumeError) -> &'static str {
    match error {
        VolumeError::Open { .. } => "Check that it is there and may be read.",
        VolumeError::Truncated { .. } | VolumeError::Packed { .. } | VolumeError::Read { .. } => {
            "The file is incomplete or damaged: copy it again from where it came."
        }
        VolumeError::Header { .. } | VolumeError::Geometry { .. } | VolumeError::Picture { .. } => {
            "The file is damaged or not of its format: write it again with the program that made it."
        }
        VolumeError::NotAFile { .. } => "Choose the file itself, or a folder with images.",
        VolumeError::Format { .. } => {
            "If it is an image, convert it to NIfTI, MetaImage, NRRD or DICOM with the program that \
             made it."
        }
        VolumeError::Partner { .. } | VolumeError::DataFile { .. } => {
            "Its voxels are in another file: put both into one folder, under the names that they had."
        }
        VolumeError::TooLarge { .. } => {
            "It is larger than this program takes, or says so by mistake: look at it with lamina info."
        }
        VolumeError::DataType { .. } | VolumeError::Dimensions { .. } => {
            "This program shows volumes of one number per voxel: take one channel or one time out of \
             it first."
        }
        VolumeError::NotAnImage { .. } => {
            "Reports, plans and the like hold no picture: choose the series of the scan."
        }
        VolumeError::FlawedSeries { .. } => {
            "Fetch the whole series again, or open its folder and choose it there to see what there is."
        }
        VolumeError::NotALabel { .. } | VolumeError::Lossy { .. } => {
            "Labels are whole numbers from 0 to 255: open it as an image, or choose the label file."
        }
        _ => "Nothing was changed: choose another file.",
    }
}

/// Opens one path; answers the grid of an image.
fn open_one(
    path: &Path,
    request: &OpenRequest,
    over: Option<&Geometry>,
    worker: &Worker<OpenEvent>,
) -> Result<Option<Geometry>, Refusal> {
    if path.is_dir() && request.series.is_none() {
        return open_folder(path, request, worker);
    }
    let options = ReadOptions {
        series: request.series.map(SeriesChoice::Number),
        accept_flaws: request.series.is_some(), // they were shown beside the choice
        ..ReadOptions::default()
    };
    let wants_labels = match over {
        Some(_) => request.as_labels || (!path.is_dir() && looks_like_labels(path)),
        None if request.as_labels => {
            let reason = "Open an image first: labels are shown over one.".to_owned();
            return Err(Refusal::Because(reason));
        }
        None => false,
    };
    if let Some(geometry) = over
        && wants_labels
    {
        let labels = read_labels(path, &options)?;
        let (labels, resampled) = onto_grid(labels, geometry).map_err(|mismatch| {
            Refusal::Because(format!(
                "These labels do not belong to the image: {mismatch}: {}",
                path.display()
            ))
        })?;
        if resampled {
            worker.send(OpenEvent::Notice(
                "The labels lie on another grid than the image; each voxel shows the nearest of \
                 them in the patient."
                    .to_owned(),
            ));
        }
        let mut layer = LabelLayer::new(labels, &[], case_stem(path));
        layer.file = Some(path.to_owned());
        if layer.classes.is_empty() {
            worker.send(OpenEvent::Notice(
                "No label lies inside the image: the file is empty or belongs to another patient \
                 space."
                    .to_owned(),
            ));
        }
        worker.send(OpenEvent::Labels(Box::new(layer)));
        return Ok(None);
    }
    let watcher = over.is_none().then(|| Watcher::new(case_stem(path), request.wanted.clone()));
    let volume = read(path, options, watcher, worker)?;
    let geometry = volume.geometry.clone();
    worker.send(OpenEvent::Image(Box::new(OpenImage {
        views: PlaneView::all_of(&volume),
        presets: presets(&volume),
        name: case_stem(path),
        path: path.to_owned(),
        series: request.series.filter(|_| path.is_dir()),
        is_dicom: is_dicom(path),
        flaws: request.flaws.clone(),
        id: 0,
        is_stand_in: false,
        volume: Arc::new(volume),
    })));
    Ok(Some(geometry))
}

/// Whether a path is a folder of slices, which only DICOM has, or a file that says that it is DICOM.
fn is_dicom(path: &Path) -> bool {
    let mut start = [0; 132];
    let read = |mut file: std::fs::File| file.read_exact(&mut start);
    path.is_dir() || (std::fs::File::open(path).and_then(read).is_ok() && start.ends_with(b"DICM"))
}

fn read(
    path: &Path,
    options: ReadOptions,
    mut watcher: Option<Watcher>,
    worker: &Worker<OpenEvent>,
) -> Result<Volume, VolumeError> {
    let mut told = 0;
    let mut watch = |arrived: &Arrived<'_>| {
        // A hundred times is enough.
        if arrived.bytes >= told + arrived.total / 100 {
            told = arrived.bytes;
            worker.send(OpenEvent::Progress(arrived.bytes, arrived.total));
        }
        if let Some(arriving) = watcher.as_mut().and_then(|watcher| watcher.look(arrived)) {
            worker.send(OpenEvent::Arriving(Box::new(arriving)));
        }
        !worker.stopped()
    };
    match read_volume_in_parts(path, &options, &mut watch) {
        Err(VolumeError::Dimensions { volumes, .. }) if options.volume.is_none() && volumes > 1 => {
            worker.send(OpenEvent::Notice(format!(
                "This file holds {volumes} volumes; the first is shown."
            )));
            read_volume_in_parts(path, &options.with_volume(0), &mut watch)
        }
        answer => answer,
    }
}

/// A folder: a study, or image files.
fn open_folder(
    folder: &Path,
    request: &OpenRequest,
    worker: &Worker<OpenEvent>,
) -> Result<Option<Geometry>, Refusal> {
    if has_records(folder) {
        worker.send(OpenEvent::Worklist(folder.to_owned()));
        return Ok(None);
    }
    let series = series_in(folder, &Limits::default())?;
    if let [only] = series.as_slice()
        && only.flaws.is_empty()
    {
        let request = OpenRequest { series: Some(1), ..request.clone() };
        return open_one(folder, &request, None, worker);
    }
    if !series.is_empty() {
        let study = Study { folder: folder.to_owned(), series, files: Vec::new() };
        worker.send(OpenEvent::Choose(study));
        return Ok(None);
    }
    let entries = std::fs::read_dir(folder)
        .map_err(|source| Refusal::from(VolumeError::Open { path: folder.to_owned(), source }))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    let files = images_among(files);
    match files.as_slice() {
        [] => Err(Refusal::Because(format!(
            "Found no image in this folder. Choose the folder that holds the files themselves: {}",
            folder.display()
        ))),
        [only] => open_one(only, request, None, worker),
        _ => {
            let study = Study { folder: folder.to_owned(), series: Vec::new(), files };
            worker.send(OpenEvent::Choose(study));
            Ok(None)
        }
    }
}

/// Several files with the image first and labels after it; or, where there are several images, all
/// of them to choose from.
fn sort_out(mut paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, Study> {
    if paths.len() < 2 || paths.iter().any(|path| path.is_dir()) {
        return Ok(paths);
    }
    // The first is meant to be the image and may be large: it is looked at only where another one
    // may be meant.
    let images: Vec<usize> = (1..paths.len()).filter(|&at| is_no_label_map(&paths[at])).collect();
    match images[..] {
        [] => Ok(paths),
        [only] if !is_no_label_map(&paths[0]) => {
            let image = paths.remove(only);
            paths.insert(0, image);
            Ok(paths)
        }
        _ => {
            let folder = paths[0].parent().unwrap_or(Path::new("")).to_owned();
            Err(Study { folder, series: Vec::new(), files: paths })
        }
    }
}

/// Whether the middle slice of a file can be read and holds what no label map does.
fn is_no_label_map(path: &Path) -> bool {
    let options = ReadOptions::default();
    let slice = match read_slice(path, &options, None) {
        Err(VolumeError::Dimensions { .. }) => read_slice(path, &options.with_volume(0), None),
        answer => answer,
    };
    let Ok(slice) = slice else { return false };
    let values = slice.to_f32();
    let mut seen = [false; 256];
    for value in &values {
        let label = *value as u8;
        if f32::from(label) != *value {
            return true;
        }
        seen[usize::from(label)] = true;
    }
    seen.iter().filter(|seen| **seen).count() > 60
}

/// Whether a file beside an image is a label map: few whole numbers from 0 on.
fn looks_like_labels(path: &Path) -> bool {
    let Ok(info) = read_info(path, &Limits::default()) else { return false };
    let FileInfo { min, max, labels, format, .. } = info;
    let in_range = min.is_some_and(|min| min >= 0.0) && max.is_some_and(|max| max <= 255.0);
    labels.is_some() && in_range && format != "jpeg"
}
