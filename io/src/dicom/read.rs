//! From a file or a folder to one of the volumes in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::choice::{SeriesChoice, SeriesInfo, hash, key};
use super::file::{DicomFile, has_preamble};
use super::frames::{Instance, is_code, is_directory};
use super::seg::{self, Scan};
use super::series::{Slice, Stack, stacks};
use super::slices;
use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::image::Image;
use crate::read::{Limits, ReadOptions};

/// How deep folders may lie in each other.
const DEEPEST_FOLDER: usize = 16;

/// Series that a message lists.
const LISTED: usize = 50;

/// All that is found in a file or folder.
struct Found {
    instances: Vec<Instance>,
    stacks: Vec<Stack>,
    /// Files of the folder that should have been read and could not be.
    unreadable: Vec<PathBuf>,
    /// Why the first of those was refused that are no image, or cannot be read.
    refused: Option<VolumeError>,
    /// Directories of a medium.
    directories: usize,
}

/// Opens the one volume of a file or folder, or the one that the options choose.
pub(crate) fn open(path: &Path, options: &ReadOptions) -> Result<Image, VolumeError> {
    let mut found = find(path, &options.limits)?;
    if found.stacks.is_empty()
        && let Some(refused) = found.refused.take()
    {
        return Err(refused.about(path));
    }
    let index = found.choose(path, options)?;
    let Found { mut instances, mut stacks, unreadable, directories, .. } = found;
    if directories > 0 {
        tracing::warn!("the DICOMDIR is ignored: files are found by themselves");
    }
    let stack = stacks.swap_remove(index);
    let first = stack.slices[0];
    if instances[first.instance].segmentation {
        let scan = |stack: &Stack| scan_of(stack, &instances, options);
        let scans: Vec<Scan> = stacks.iter().filter_map(scan).collect();
        let instance = instances.swap_remove(first.instance);
        let image = DicomFile::open(&instance.path, &options.limits)
            .and_then(|file| seg::open(file, &instance, scans, options));
        return image.map_err(|error| error.about(path));
    }
    let unreadable = beside(&stack, &instances, &unreadable);
    let (slices, geometry, _) = accepted(path, stack, unreadable, options)?;
    slices::image(path, instances, slices, geometry, &options.limits)
}

/// What a segmentation of `stack` may lie on: an even stack, or one whose flaws are accepted.
fn scan_of(stack: &Stack, instances: &[Instance], options: &ReadOptions) -> Option<Scan> {
    let first = &instances[stack.slices[0].instance];
    let taken = stack.flaws.is_empty() || (options.accept_flaws && !stack.hopeless);
    let grid = stack.place.as_ref().ok().filter(|_| taken && !first.segmentation)?.clone();
    let plane = |slice: &Slice| instances[slice.instance].frames[slice.frame].plane;
    let planes = if stack.flaws.is_empty() {
        None
    } else {
        stack.slices.iter().map(plane).collect::<Option<Vec<_>>>()
    };
    Some(Scan { series_uid: first.series_uid.clone(), grid, planes })
}

/// How many of the `unreadable` files lie in a folder with slices of `stack`, and may be of it.
fn beside(stack: &Stack, instances: &[Instance], unreadable: &[PathBuf]) -> usize {
    let folders: BTreeSet<Option<&Path>> =
        stack.slices.iter().map(|slice| instances[slice.instance].path.parent()).collect();
    let count = unreadable.iter().filter(|path| folders.contains(&path.parent())).count();
    if count < unreadable.len() {
        let elsewhere = unreadable.len() - count;
        tracing::warn!(elsewhere, "DICOM files of other folders cannot be read");
    }
    count
}

/// Opens the one segmentation of a file, on the grid of `scan` where it lies on its slices.
pub(crate) fn open_on(
    path: &Path,
    options: &ReadOptions,
    scan: &Geometry,
) -> Result<Image, VolumeError> {
    let file = DicomFile::open(path, &options.limits)?;
    let instance = Instance::of(&file)?;
    if !instance.segmentation {
        let found = "no segmentation".to_owned();
        return Err(VolumeError::NotAnImage { path: path.to_owned(), found });
    }
    let scan = Scan { series_uid: String::new(), grid: scan.clone(), planes: None };
    seg::open(file, &instance, vec![scan], options)
}

/// What a stack is made of, where it has no flaws or they are accepted.
fn accepted(
    path: &Path,
    stack: Stack,
    unreadable: usize,
    options: &ReadOptions,
) -> Result<(Vec<Slice>, Geometry, Vec<String>), VolumeError> {
    let mut flaws = stack.flaws;
    if unreadable > 0 {
        flaws.push(format!("{unreadable} DICOM files that cannot be read"));
    }
    if !flaws.is_empty() {
        if !options.accept_flaws || stack.hopeless {
            return Err(VolumeError::FlawedSeries { path: path.to_owned(), flaws });
        }
        tracing::warn!(flaws = flaws.join("; "), "a flawed series was accepted");
    }
    let geometry =
        stack.place.map_err(|source| VolumeError::Geometry { path: path.to_owned(), source })?;
    Ok((stack.slices, geometry, flaws))
}

/// All files, and of those the slices and the grid of the volume that the options choose, with the
/// flaws that were accepted.
#[expect(clippy::type_complexity, reason = "what a volume is made of, for one caller")]
pub(super) fn chosen(
    path: &Path,
    options: &ReadOptions,
) -> Result<(Vec<Instance>, Vec<Slice>, Geometry, Vec<String>), VolumeError> {
    let found = find(path, &options.limits)?;
    let index = found.choose(path, options)?;
    let Found { instances, mut stacks, unreadable, .. } = found;
    let stack = stacks.swap_remove(index);
    let unreadable = beside(&stack, &instances, &unreadable);
    let (slices, geometry, flaws) = accepted(path, stack, unreadable, options)?;
    Ok((instances, slices, geometry, flaws))
}

/// The series in a folder, or in a file of several; empty where there is no DICOM.
///
/// # Errors
/// If a folder, or the one file, cannot be read, or all of its DICOM is refused.
pub fn series_in(path: &Path, limits: &Limits) -> Result<Vec<SeriesInfo>, VolumeError> {
    let found = find(path, limits)?;
    match found.refused {
        Some(refused) if found.stacks.is_empty() => Err(refused.about(path)),
        _ => Ok(found.list()),
    }
}

/// The files that a chosen volume is made of, in the order of its slices.
pub(crate) fn files(path: &Path, options: &ReadOptions) -> Result<Vec<PathBuf>, VolumeError> {
    let found = find(path, &options.limits)?;
    let stack = &found.stacks[found.choose(path, options)?];
    let mut files: Vec<PathBuf> = Vec::new();
    for slice in &stack.slices {
        let path = &found.instances[slice.instance].path;
        if files.last() != Some(path) {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn find(path: &Path, limits: &Limits) -> Result<Found, VolumeError> {
    if !path.is_dir() {
        let instances = vec![Instance::of(&DicomFile::open(path, limits)?)?];
        let stacks = stacks(&instances);
        let (unreadable, refused, directories) = (Vec::new(), None, 0);
        return Ok(Found { instances, stacks, unreadable, refused, directories });
    }
    let (paths, foreign) = dicom_files(path)?;
    // `None` for a directory of a medium.
    let read = |path: &PathBuf| {
        let file = match DicomFile::open(path, limits) {
            Ok(file) if is_directory(&file) => return None,
            Ok(file) => file,
            Err(error) => return Some(Err(error)),
        };
        Some(Instance::of(&file))
    };
    let all: Vec<Option<Result<Instance, VolumeError>>> = paths.par_iter().map(read).collect();
    let (mut instances, mut unreadable) = (Vec::new(), Vec::new());
    let (mut others, mut refused, mut directories) = (0, None, 0);
    for (path, one) in paths.iter().zip(all) {
        match one {
            None => directories += 1,
            Some(Ok(instance)) => instances.push(instance),
            // Reports, plans and color pictures lie beside scans; what is damaged does not.
            Some(Err(error @ (VolumeError::NotAnImage { .. } | VolumeError::DataType { .. }))) => {
                others += 1;
                refused.get_or_insert(error);
            }
            Some(Err(error)) => {
                unreadable.push(path.clone());
                refused.get_or_insert(error);
            }
        }
    }
    tracing::debug!(
        images = instances.len(),
        others,
        unreadable = unreadable.len(),
        directories,
        foreign,
        "folder looked through"
    );
    Ok(Found { stacks: stacks(&instances), instances, unreadable, refused, directories })
}

/// The files in `folder` and its folders that are DICOM by what they start with, in order, and
/// how many there are that are not.
pub(super) fn dicom_files(folder: &Path) -> Result<(Vec<PathBuf>, usize), VolumeError> {
    let mut paths = Vec::new();
    gather(folder, 0, &mut paths)?;
    let files = paths.len();
    let mut paths: Vec<PathBuf> = paths.into_par_iter().filter(|path| is_dicom(path)).collect();
    paths.sort();
    let foreign = files - paths.len();
    Ok((paths, foreign))
}

/// The files in `folder` and its folders.
fn gather(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<(), VolumeError> {
    let fail = |source| VolumeError::Open { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        // A link to a folder may lead round in circles.
        if entry.file_type().map_err(fail)?.is_dir() {
            if depth < DEEPEST_FOLDER {
                gather(&path, depth + 1, paths)?;
            }
        } else if path.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

pub(super) fn is_dicom(path: &Path) -> bool {
    use std::io::Read;
    let mut start = Vec::with_capacity(132);
    let read = std::fs::File::open(path).and_then(|file| file.take(132).read_to_end(&mut start));
    read.is_err() || has_preamble(&start) || is_named(path) || is_cut_off(path, &start)
}

/// Whether the name says DICOM; what cannot be read then is missing, and no other file.
fn is_named(path: &Path) -> bool {
    path.extension().is_some_and(|ending| {
        ["dcm", "ima", "dicom"].iter().any(|known| ending.eq_ignore_ascii_case(known))
    })
}

/// Whether a file without an ending is nothing but the start of a preamble.
fn is_cut_off(path: &Path, start: &[u8]) -> bool {
    let (preamble, magic) = start.split_at(start.len().min(128));
    let begun = preamble.iter().all(|&byte| byte == 0) && b"DICM".starts_with(magic);
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    path.extension().is_none() && !hidden && begun
}

impl Found {
    fn first(&self, stack: &Stack) -> &Instance {
        &self.instances[stack.slices[0].instance]
    }

    fn list(&self) -> Vec<SeriesInfo> {
        let info = |(index, stack): (usize, &Stack)| {
            let first = self.first(stack);
            let slices = if first.segmentation { first.frames.len() } else { stack.slices.len() };
            SeriesInfo {
                number: index as u32 + 1,
                key: SeriesInfo::key_of(&first.series_uid, stack.part.as_deref()),
                modality: match first.modality.as_str() {
                    modality if !modality.is_empty() && is_code(modality) => modality.to_owned(),
                    _ => "unknown".to_owned(),
                },
                part: stack.part.clone(),
                description: first.description.clone(),
                shape: [first.format.columns.into(), first.format.rows.into(), slices as u64],
                spacing_mm: stack.place.as_ref().ok().and_then(Geometry::spacing_mm),
                flaws: stack.flaws.clone(),
            }
        };
        self.stacks.iter().enumerate().map(info).collect()
    }

    /// The volume that is meant.
    fn choose(&self, path: &Path, options: &ReadOptions) -> Result<usize, VolumeError> {
        let fits = |stack: &Stack, index: usize| {
            let uid = hash(&self.first(stack).series_uid);
            let own = SeriesInfo::hash_of(&self.first(stack).series_uid, stack.part.as_deref());
            match options.series {
                None => true,
                Some(SeriesChoice::Number(number)) => number as usize == index + 1,
                Some(SeriesChoice::Key(chosen)) => key(own) == chosen,
                Some(SeriesChoice::Uid(chosen)) => uid == chosen,
            }
        };
        let mut fitting: Vec<usize> =
            (0..self.stacks.len()).filter(|&index| fits(&self.stacks[index], index)).collect();
        if fitting.len() > 1 {
            // A scan with its segmentations beside it is one scan.
            let scans = fitting.iter().filter(|&&i| !self.first(&self.stacks[i]).segmentation);
            let scans: Vec<usize> = scans.copied().collect();
            if scans.len() == 1 {
                fitting = scans;
            }
        }
        match fitting.as_slice() {
            &[index] => Ok(index),
            [] if self.stacks.is_empty() => Err(VolumeError::NotAFile {
                path: path.to_owned(),
                found: if self.unreadable.is_empty() {
                    "a folder without DICOM images"
                } else {
                    "a folder of DICOM that cannot be read"
                },
            }),
            fitting => {
                let all = self.list();
                let mut list: Vec<String> =
                    all.iter().take(LISTED).map(ToString::to_string).collect();
                if all.len() > LISTED {
                    list.push(format!("{} more", all.len() - LISTED));
                }
                Err(VolumeError::SeriesChoice {
                    path: path.to_owned(),
                    fitting: fitting.len(),
                    list: list.join("; "),
                })
            }
        }
    }
}
