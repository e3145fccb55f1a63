//! Which image belongs to which labels: by name in two folders or one, or by a list.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::{DatasetConfig, DatasetError, Problem};
use crate::format::{case_stem, images_among};

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    /// Image and labels of each case, by its id.
    pub pairs: BTreeMap<String, [PathBuf; 2]>,
    /// Files without their partner, and lines of lists that lead nowhere.
    pub lonely: Vec<Problem>,
}

impl Pairs {
    /// Looks for the pairs of `config` in `folder`.
    ///
    /// # Errors
    /// When a folder or list cannot be read, or one case has two files.
    pub fn find(config: &DatasetConfig, folder: &Path) -> Result<Self, DatasetError> {
        if config.lists.is_empty() { by_name(config, folder) } else { by_list(config, folder) }
    }

    fn add_lonely(&mut self, id: &str, path: &Path, message: String) {
        self.lonely.push(Problem { case: Some(id.to_owned()), path: path.to_owned(), message });
    }
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

fn by_name(config: &DatasetConfig, folder: &Path) -> Result<Pairs, DatasetError> {
    let (image_folder, label_folder) = (folder.join(&config.images), folder.join(&config.labels));
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
    let mut found = Pairs::default();
    for (id, image) in images {
        if let Some(labels) = labels.remove(&id) {
            found.pairs.insert(id, [image, labels]);
        } else {
            let wanted = wanted(label_suffix);
            let message = format!("image without labels of {wanted} in {}/", config.labels);
            found.add_lonely(&id, &image, message);
        }
    }
    for (id, labels) in labels {
        let message =
            format!("labels without an image of {} in {}/", wanted(image_suffix), config.images);
        found.add_lonely(&id, &labels, message);
    }
    Ok(found)
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

/// The images in `folder`, sorted; of each folder its volumes, or else its pictures.
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

fn by_list(config: &DatasetConfig, folder: &Path) -> Result<Pairs, DatasetError> {
    let mut found = Pairs::default();
    for name in &config.lists {
        let list = folder.join(name);
        let text = std::fs::read_to_string(&list)
            .map_err(|source| DatasetError::Read { path: list.clone(), source })?;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse = |message| Err(DatasetError::Content { message, path: list.clone() });
            let [image, labels] = columns(line)[..] else {
                return refuse(format!(
                    "expected an image and its labels in line {number}, found {line:?}"
                ));
            };
            let id = case_stem(Path::new(image));
            let files = [image, labels].map(|named| resolve(folder, Path::new(named)));
            match files {
                [Some(image), Some(labels)] => {
                    if found.pairs.insert(id.clone(), [image, labels]).is_some() {
                        return refuse(format!(
                            "expected one line per case, found {id} again in line {number}"
                        ));
                    }
                }
                [None, _] => found.add_lonely(&id, &list, nowhere(number, image)),
                [_, None] => found.add_lonely(&id, &list, nowhere(number, labels)),
            }
        }
    }
    Ok(found)
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
fn resolve(folder: &Path, named: &Path) -> Option<PathBuf> {
    let parts: Vec<&std::ffi::OsStr> = named
        .components()
        .filter_map(|part| match part {
            Component::Normal(part) => Some(part),
            _ => None, // neither the root nor a way out of the folder
        })
        .collect();
    let tails = (0..parts.len()).map(|from| folder.join(parts[from..].iter().collect::<PathBuf>()));
    let endings = ["png", "jpg", "jpeg", "tif", "tiff", "bmp"];
    tails.into_iter().find_map(|path| {
        let others = endings.iter().map(|ending| path.with_extension(ending));
        std::iter::once(path.clone()).chain(others).find(|path| path.is_file())
    })
}
