//! Which image belongs to which labels: by name in two folders or one, by a list, or as
//! `dataset.json` says, which is left to `decathlon`.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::json::{self, DatasetJson, Layout};
use super::{DatasetConfig, DatasetError, Problem, decathlon, value_names};
use crate::format::{case_stem, images_among};

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    /// The description, with what `dataset.json` adds to it.
    pub config: DatasetConfig,
    /// Whose layout it is, where `dataset.json` says so.
    pub layout: Option<Layout>,
    /// What the channels are called, where `dataset.json` says so.
    pub channels: Vec<String>,
    /// The files of each case, by its id.
    pub cases: BTreeMap<String, Files>,
    /// Files without their partner, and lines of lists that lead nowhere.
    pub lonely: Vec<Problem>,
    /// What may be meant so.
    pub warnings: Vec<String>,
    /// Images that are there to be segmented, without labels.
    pub unlabeled: usize,
}

/// The files of a case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The image that is read.
    pub image: Channel,
    /// Its other channels.
    pub channels: Vec<Channel>,
    /// The reference labels.
    pub labels: PathBuf,
    /// Which part of the data set the case belongs to.
    pub part: Option<String>,
}

/// A file, or one volume of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Channel {
    /// The file.
    pub path: PathBuf,
    /// Which of several volumes in it.
    pub volume: Option<usize>,
}

impl Pairs {
    /// Looks for the files of `config` in `folder`.
    ///
    /// # Errors
    /// When a folder or list cannot be read, one case has two files, or `dataset.json` makes no
    /// sense, or a class has no value in the file of their names.
    pub fn find(config: &DatasetConfig, folder: &Path) -> Result<Self, DatasetError> {
        let config = &value_names::resolve(config, folder)?;
        let mut found = Self { config: config.clone(), ..Self::default() };
        if config.says_dataset_json() {
            if !folder.join(json::NAME).is_file() {
                let message =
                    "expected dataset.json in this folder, or a description with `images` \
                               and `labels`, or `lists`; found none"
                        .to_owned();
                return Err(DatasetError::Content { message, path: folder.to_owned() });
            }
            let json = DatasetJson::read(folder, config.layout)?;
            decathlon::find(&mut found, &json, folder)?;
        } else if config.lists.is_empty() {
            found.by_name(folder)?;
        } else {
            found.by_list(folder)?;
        }
        Ok(found)
    }

    pub(super) fn add_lonely(&mut self, id: &str, path: &Path, message: String) {
        self.lonely.push(Problem { case: Some(id.to_owned()), path: path.to_owned(), message });
    }

    fn add(&mut self, id: String, [image, labels]: [PathBuf; 2], part: Option<String>) -> bool {
        let image = Channel { path: image, volume: None };
        let files = Files { image, channels: Vec::new(), labels, part };
        self.cases.insert(id, files).is_none()
    }

    /// Images and labels by what stands before their suffixes.
    fn sides(&self, folder: &Path) -> Result<[BTreeMap<String, PathBuf>; 2], DatasetError> {
        let config = &self.config;
        let (image_folder, label_folder) =
            (folder.join(&config.images), folder.join(&config.labels));
        let (image_suffix, label_suffix) = (&config.image_suffix, &config.label_suffix);
        let mut images = by_id(&image_folder, image_suffix, config.recursive)?;
        let mut labels = by_id(&label_folder, label_suffix, config.recursive)?;
        if image_folder == label_folder {
            // Where one suffix is the end of the other, or nothing, the longer one decides.
            let (longer, shorter) = if label_suffix.len() >= image_suffix.len() {
                (&labels, &mut images)
            } else {
                (&images, &mut labels)
            };
            let taken: Vec<PathBuf> = longer.values().cloned().collect();
            shorter.retain(|_, path| !taken.contains(path));
        }
        Ok([images, labels])
    }

    fn by_name(&mut self, folder: &Path) -> Result<(), DatasetError> {
        let [images, mut labels] = self.sides(folder)?;
        let config = self.config.clone();
        let image_folder = folder.join(&config.images);
        for (id, image) in images {
            if let Some(labels) = labels.remove(&id) {
                let part = config.recursive.then(|| first_folder(&image_folder, &image)).flatten();
                self.add(id, [image, labels], part);
            } else {
                let message = format!(
                    "image without labels of {} in {}/",
                    wanted(&config.label_suffix),
                    config.labels
                );
                self.add_lonely(&id, &image, message);
            }
        }
        for (id, labels) in labels {
            let (wanted, folder) = (wanted(&config.image_suffix), &config.images);
            let message = format!("labels without an image of {wanted} in {folder}/");
            self.add_lonely(&id, &labels, message);
        }
        Ok(())
    }

    fn by_list(&mut self, folder: &Path) -> Result<(), DatasetError> {
        let by_id = if self.config.images.is_empty() { None } else { Some(self.sides(folder)?) };
        for name in self.config.lists.clone() {
            let list = folder.join(&name);
            let part = Some(case_stem(&list));
            let text = std::fs::read_to_string(&list)
                .map_err(|source| DatasetError::Read { path: list.clone(), source })?;
            for (number, line) in (1..).zip(text.lines()) {
                if line.trim().is_empty() || line.starts_with('#') {
                    continue;
                }
                let refuse = |message| Err(DatasetError::Content { message, path: list.clone() });
                let (id, named, files) = match (&by_id, &columns(line)[..]) {
                    (None, &[image, labels]) => {
                        let files = [image, labels].map(|named| resolve(folder, Path::new(named)));
                        (case_stem(Path::new(image)), [image.to_owned(), labels.to_owned()], files)
                    }
                    (Some([images, labels]), &[name]) => {
                        let id = case_stem(Path::new(name));
                        let files = [images.get(&id).cloned(), labels.get(&id).cloned()];
                        let named = [self.named(&id, true), self.named(&id, false)];
                        (id, named, files)
                    }
                    (by_id, _) => {
                        let expected = match by_id {
                            None => "an image and its labels",
                            Some(_) => "the name of a case",
                        };
                        return refuse(format!(
                            "expected {expected} in line {number}, found {line:?}"
                        ));
                    }
                };
                let [image, labels] = named;
                match files {
                    [Some(image), Some(labels)] => {
                        if !self.add(id.clone(), [image, labels], part.clone()) {
                            return refuse(format!(
                                "expected one line per case, found {id} again in line {number}"
                            ));
                        }
                    }
                    [None, _] => self.add_lonely(&id, &list, nowhere(number, &image)),
                    [_, None] => self.add_lonely(&id, &list, nowhere(number, &labels)),
                }
            }
        }
        Ok(())
    }

    /// What the image or the labels of a case would be called, but for the ending.
    fn named(&self, id: &str, image: bool) -> String {
        let config = &self.config;
        let (folder, suffix) = if image {
            (&config.images, &config.image_suffix)
        } else {
            (&config.labels, &config.label_suffix)
        };
        format!("{folder}/{id}{suffix}")
    }
}

/// The folder directly below `root` in which `path` lies.
fn first_folder(root: &Path, path: &Path) -> Option<String> {
    let below: Vec<_> = path.strip_prefix(root).ok()?.components().collect();
    let [first, _, ..] = below[..] else { return None };
    Some(first.as_os_str().to_string_lossy().into_owned())
}

/// The folders of images and of labels below `folder`, and what follows a case's id in the name
/// of an image, in the two layouts that say so themselves.
pub fn guess_folders(folder: &Path) -> Option<[&'static str; 3]> {
    let has = |name: &str| folder.join(name).is_dir();
    if has("imagesTr") && has("labelsTr") {
        let files = files(&folder.join("imagesTr"), false).unwrap_or_default();
        let channels =
            !files.is_empty() && files.iter().all(|path| case_stem(path).ends_with("_0000"));
        return Some(["imagesTr", "labelsTr", if channels { "_0000" } else { "" }]);
    }
    (has("images") && has("labels")).then_some(["images", "labels", ""])
}

fn wanted(suffix: &str) -> String {
    if suffix.is_empty() { "the same name".to_owned() } else { format!("its name and {suffix}") }
}

/// The files whose stem ends in `suffix`, by what stands before it.
fn by_id(
    folder: &Path,
    suffix: &str,
    recursive: bool,
) -> Result<BTreeMap<String, PathBuf>, DatasetError> {
    let mut by_id = BTreeMap::new();
    for path in files(folder, recursive)? {
        let stem = case_stem(&path);
        let Some(id) = stem.strip_suffix(suffix) else { continue };
        if let Some(other) = by_id.insert(id.to_owned(), path.clone()) {
            let name = other.file_name().unwrap_or_default().to_string_lossy();
            let message = format!("expected one file per case, found also {name}");
            return Err(DatasetError::Content { message, path });
        }
    }
    Ok(by_id)
}

/// The images in `folder`, sorted; of each folder its volumes, else its pictures, else what MATLAB has.
fn files(folder: &Path, recursive: bool) -> Result<Vec<PathBuf>, DatasetError> {
    let read = |source| DatasetError::Read { path: folder.to_path_buf(), source };
    let (mut paths, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        // Not through links, which may lead in a circle.
        let is_folder = entry.file_type().map_err(read)?.is_dir();
        (if is_folder { &mut folders } else { &mut paths }).push(entry.path());
    }
    paths.sort();
    let mut files = images_among(paths);
    if recursive {
        folders.sort();
        for folder in folders {
            files.extend(self::files(&folder, true)?);
        }
    }
    Ok(files)
}

fn nowhere(number: usize, named: &str) -> String {
    format!("line {number} names a file that is not there, {named}")
}

/// The columns of a line: between tabs or commas where there are any, else between spaces.
fn columns(line: &str) -> Vec<&str> {
    let by = |separator: char| line.split(separator).map(str::trim).collect();
    if line.contains('\t') {
        by('\t')
    } else if line.contains(',') {
        by(',')
    } else {
        line.split_whitespace().collect()
    }
}

/// The file that a list means: below `folder`, by as much of the end of its path as is there,
/// since lists carry the absolute paths of their makers. Another ending of a picture will do.
pub(super) fn resolve(folder: &Path, named: &Path) -> Option<PathBuf> {
    let parts: Vec<&std::ffi::OsStr> = named
        .components()
        .filter_map(|part| match part {
            Component::Normal(part) => Some(part),
            _ => None, // neither the root nor a way out of the folder
        })
        .collect();
    let tails = (0..parts.len()).map(|from| folder.join(parts[from..].iter().collect::<PathBuf>()));
    let endings = ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "mat"];
    tails.into_iter().find_map(|path| {
        let others = endings.iter().map(|ending| path.with_extension(ending));
        std::iter::once(path.clone()).chain(others).find(|path| path.is_file())
    })
}
