//! From a file or a folder to one of the volumes in it.

use std::path::{Path, PathBuf};

use super::choice::{SeriesChoice, SeriesInfo, hash, key};
use super::file::{DicomFile, PixelSource, has_preamble, looks_like};
use super::frames::{Instance, is_code, is_directory};
use super::pixels::{Pixels, look_up};
use super::seg;
use super::series::{Slice, Stack, stacks};
use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::image::{Description, Fault, Image, Sizes, VoxelBytes};
use crate::read::{Limits, ReadOptions};
use crate::source::SourceHeader;
use crate::volume::Rescale;
use crate::voxels::{ByteOrder, Scalar, StoredType, with_type};

/// How deep folders may lie in each other.
const DEEPEST_FOLDER: usize = 16;

/// All that is found in a file or folder.
struct Found {
    instances: Vec<Instance>,
    stacks: Vec<Stack>,
    /// Files of the folder that should have been read and could not be.
    unreadable: usize,
}

/// Opens the one volume of a file or folder, or the one that the options choose.
pub(crate) fn open(path: &Path, options: &ReadOptions) -> Result<Image, VolumeError> {
    let found = find(path, &options.limits)?;
    let index = found.choose(path, options)?;
    let Found { mut instances, mut stacks, unreadable } = found;
    let stack = stacks.swap_remove(index);
    let first = stack.slices[0];
    if instances[first.instance].segmentation {
        let scan = |stack: &Stack| {
            let is_scan = !instances[stack.slices[0].instance].segmentation;
            let even = is_scan && stack.flaws.is_empty();
            stack.place.as_ref().ok().filter(|_| even).cloned()
        };
        let scans: Vec<Geometry> = stacks.iter().filter_map(scan).collect();
        let instance = instances.swap_remove(first.instance);
        let image = DicomFile::open(&instance.path, &options.limits)
            .and_then(|file| seg::open(file, &instance, &scans, &options.limits));
        return image.map_err(|error| error.about(path));
    }
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
    image(path, instances, stack.slices, geometry, &options.limits)
}

/// The series in a folder, or in a file of several; empty where there is no DICOM.
///
/// # Errors
/// If a folder, or the one file, cannot be read.
pub fn series_in(path: &Path, limits: &Limits) -> Result<Vec<SeriesInfo>, VolumeError> {
    Ok(find(path, limits)?.list())
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
        return Ok(Found { stacks: stacks(&instances), instances, unreadable: 0 });
    }
    let mut paths = Vec::new();
    gather(path, 0, &mut paths)?;
    paths.sort();
    let (mut instances, mut unreadable, mut others) = (Vec::new(), 0, 0);
    for path in paths {
        let Ok(file) = DicomFile::open(&path, limits) else {
            unreadable += 1;
            continue;
        };
        if is_directory(&file) {
            tracing::info!("a DICOMDIR is ignored: files are found by themselves");
            continue;
        }
        match Instance::of(&file) {
            Ok(instance) => instances.push(instance),
            // Reports, plans and color pictures lie beside scans; what is damaged does not.
            Err(VolumeError::NotAnImage { .. } | VolumeError::DataType { .. }) => others += 1,
            Err(_) => unreadable += 1,
        }
    }
    tracing::debug!(files = instances.len(), others, unreadable, "folder looked through");
    Ok(Found { stacks: stacks(&instances), instances, unreadable })
}

/// The files in `folder` and its folders that are DICOM by what they start with.
pub(super) fn gather(
    folder: &Path,
    depth: usize,
    paths: &mut Vec<PathBuf>,
) -> Result<(), VolumeError> {
    let fail = |source| VolumeError::Open { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        // A link to a folder may lead round in circles.
        if entry.file_type().map_err(fail)?.is_dir() {
            if depth < DEEPEST_FOLDER {
                gather(&path, depth + 1, paths)?;
            }
        } else if path.is_file() && is_dicom(&path) {
            paths.push(path);
        }
    }
    Ok(())
}

pub(super) fn is_dicom(path: &Path) -> bool {
    use std::io::Read;
    let mut start = Vec::with_capacity(132);
    let read = std::fs::File::open(path).and_then(|file| file.take(132).read_to_end(&mut start));
    let named = path.extension().is_some_and(|ending| {
        ["dcm", "ima", "dicom"].iter().any(|known| ending.eq_ignore_ascii_case(known))
    });
    read.is_ok() && (has_preamble(&start) || (named && looks_like(&start)))
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
                key: SeriesInfo::key_of(&first.series_uid),
                modality: match first.modality.as_str() {
                    modality if !modality.is_empty() && is_code(modality) => modality.to_owned(),
                    _ => "unknown".to_owned(),
                },
                part: stack.part.clone(),
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
            match options.series {
                None => true,
                Some(SeriesChoice::Number(number)) => number as usize == index + 1,
                Some(SeriesChoice::Key(chosen)) => key(uid) == chosen,
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
                found: match self.unreadable {
                    0 => "a folder without DICOM images",
                    _ => "a folder of DICOM that cannot be read",
                },
            }),
            fitting => {
                let list: Vec<String> = self.list().iter().map(ToString::to_string).collect();
                Err(VolumeError::SeriesChoice {
                    path: path.to_owned(),
                    fitting: fitting.len(),
                    list: list.join("; "),
                })
            }
        }
    }
}

/// How stored numbers become voxels.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    /// As they are, with one rescaling for all.
    Stored,
    /// By the table of their file.
    Lookup,
    /// Rescaled here, since each slice has its own.
    Values,
}

fn image(
    path: &Path,
    instances: Vec<Instance>,
    slices: Vec<Slice>,
    geometry: Geometry,
    limits: &Limits,
) -> Result<Image, VolumeError> {
    let first = &instances[slices[0].instance];
    let rescale = |slice: &Slice| {
        let instance = &instances[slice.instance];
        instance.format.values(instance.frames[slice.frame].rescale)
    };
    let common = rescale(&slices[0]);
    let tables = slices.iter().filter(|slice| instances[slice.instance].lookup.is_some()).count();
    let (meaning, stored, common) = if tables == slices.len() {
        (Meaning::Lookup, StoredType::U16, Rescale::IDENTITY)
    } else if tables > 0 {
        let expected = "in all slices or in none";
        return Err(Fault::new("the modality LUT", expected, format!("{tables}")).at(path));
    } else if slices.iter().all(|slice| rescale(slice) == common) {
        (Meaning::Stored, first.format.stored(), common)
    } else {
        (Meaning::Values, StoredType::F32, Rescale::IDENTITY)
    };
    let [depth, height, width] = geometry.shape();
    let dims = vec![width as u64, height as u64, depth as u64];
    let sizes = Sizes::of(&dims, stored).ok_or_else(|| VolumeError::TooLarge {
        path: path.to_owned(),
        reason: "the memory of this machine",
        limit: limits.max_bytes,
        declared: u64::MAX,
    })?;
    let description = Description {
        format: "dicom",
        dims,
        stored,
        order: ByteOrder::Little,
        rescale: common,
        geometry,
        modality: first.modality(),
        source: SourceHeader::default(),
        sizes,
        indices: false,
        lossy: false,
    };
    let mut used = vec![false; instances.len()];
    for slice in &slices {
        used[slice.instance] = true;
    }
    let mut pixels = Vec::with_capacity(instances.len());
    for (instance, used) in instances.iter().zip(used) {
        // Looked at now, so that what is cut off is known before the first voxel.
        pixels.push(if used {
            let pixels = source(instance, limits)
                .and_then(|source| Pixels::new(instance, source, limits))
                .map_err(|error| error.about(path))?;
            Some(pixels)
        } else {
            None
        });
    }
    let slice_bytes = (height * width * stored.bytes()) as u64;
    let voxels = Slices {
        path: path.to_owned(),
        order: slices,
        instances,
        pixels,
        meaning,
        slice_bytes,
        position: 0,
        loaded: None,
        stored: Vec::new(),
        slice: Vec::new(),
    };
    Ok(Image { description, voxels: Box::new(voxels) })
}

fn source(instance: &Instance, limits: &Limits) -> Result<PixelSource, VolumeError> {
    if instance.syntax.deflated {
        return Ok(DicomFile::open(&instance.path, limits)?.into_source());
    }
    Ok(PixelSource::of(&instance.path))
}

/// Voxels that are unpacked slice by slice.
struct Slices {
    /// As the user gave it: names of files in a folder may be names of patients.
    path: PathBuf,
    order: Vec<Slice>,
    instances: Vec<Instance>,
    pixels: Vec<Option<Pixels>>,
    meaning: Meaning,
    slice_bytes: u64,
    position: u64,
    /// Which slice is in `slice`.
    loaded: Option<usize>,
    stored: Vec<u8>,
    slice: Vec<u8>,
}

impl Slices {
    fn load(&mut self, k: usize) -> Result<(), VolumeError> {
        if self.loaded == Some(k) {
            return Ok(());
        }
        let slice = self.order[k];
        let before = self.loaded.map(|k| self.order[k].instance);
        if let Some(before) = before.filter(|&before| before != slice.instance)
            && let Some(pixels) = &mut self.pixels[before]
        {
            pixels.close();
        }
        self.loaded = None;
        let instance = &self.instances[slice.instance];
        let frame = &instance.frames[slice.frame];
        let pixels = self.pixels[slice.instance].as_mut().expect("opened for every slice");
        let unpacked = pixels.frame(frame.index.into(), &mut self.stored);
        unpacked.map_err(|error| error.about(&self.path))?;
        match (self.meaning, &instance.lookup) {
            (Meaning::Lookup, Some(table)) => {
                self.slice = look_up(&self.stored, &instance.format, table);
            }
            (Meaning::Values, _) => {
                let rescale = instance.format.values(frame.rescale);
                self.slice = values(&self.stored, instance.format.stored(), rescale);
            }
            _ => std::mem::swap(&mut self.slice, &mut self.stored),
        }
        self.loaded = Some(k);
        Ok(())
    }
}

/// Numbers of type `stored`, rescaled, as `float32`.
fn values(bytes: &[u8], stored: StoredType, rescale: Rescale) -> Vec<u8> {
    with_type!(stored, T => {
        let mut numbers: Vec<T> = Vec::with_capacity(bytes.len() / size_of::<T>());
        T::extend_from_bytes(&mut numbers, bytes, ByteOrder::Little);
        numbers.iter().flat_map(|n| (rescale.apply(n.to_f64()) as f32).to_le_bytes()).collect()
    })
}

impl VoxelBytes for Slices {
    fn skip_to(&mut self, target: u64) -> Result<(), VolumeError> {
        self.position = target;
        Ok(())
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), VolumeError> {
        while !buffer.is_empty() {
            self.load((self.position / self.slice_bytes) as usize)?;
            let rest = &self.slice[(self.position % self.slice_bytes) as usize..];
            let count = rest.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(count);
            now.copy_from_slice(&rest[..count]);
            self.position += count as u64;
            buffer = later;
        }
        Ok(())
    }

    fn finish(&mut self, _: &Limits) -> Result<(), VolumeError> {
        Ok(())
    }
}
