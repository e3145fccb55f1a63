//! The files of data sets that `dataset.json` describes: nnU-Net's and the Decathlon's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::json::{DatasetJson, Listed};
use super::pairs::{Channel, Files, Pairs, resolve};
use super::{DatasetConfig, DatasetError};
use crate::format::{case_stem, is_picture_name};

/// nnU-Net's file of folds.
const SPLITS: &str = "splits_final.json";

/// Adds what `json` says about `folder`.
pub(super) fn find(
    found: &mut Pairs,
    json: &DatasetJson,
    folder: &Path,
) -> Result<(), DatasetError> {
    let refuse = |message| DatasetError::Content { message, path: folder.to_owned() };
    complete(&mut found.config, json).map_err(refuse)?;
    found.layout = Some(json.layout);
    found.channels.clone_from(&json.channels);
    let wanted = match &found.config.channel {
        Some(wanted) => Some(json.channel(wanted).map_err(refuse)?),
        None => None,
    };
    match &json.listed {
        Some(listed) => by_list(found, json, listed, folder),
        None => by_folder(found, json, folder)?,
    }
    for files in found.cases.values_mut() {
        // The image is the channel that was asked for, or the first.
        files.channels.insert(0, std::mem::take(&mut files.image));
        let chosen = wanted.unwrap_or(0).min(files.channels.len() - 1);
        files.image = files.channels.remove(chosen);
    }
    let tests = folder.join("imagesTs");
    if tests.is_dir() {
        found.unlabeled = in_folder(&tests, json)?.0.len();
    }
    let (promised, there) = (json.num_training, found.cases.len() as u64);
    if let Some(promised) = promised
        && promised != there
    {
        found.warnings.push(format!("dataset.json promises {promised} cases, {there} are there"));
    }
    if found.config.folds.is_none() && folder.join(SPLITS).is_file() {
        found.warnings.push(format!("{SPLITS} is there and not used: `folds` does not name it"));
    }
    Ok(())
}

/// Adds the classes to a description, or compares them with those that it has.
fn complete(config: &mut DatasetConfig, json: &DatasetJson) -> Result<(), String> {
    if config.classes.is_empty() {
        config.classes.clone_from(&json.classes);
        config.ignored.extend(json.ignored.map(u16::from));
    } else {
        let known: Vec<&str> = config.classes.iter().map(|class| class.name.as_str()).collect();
        let found: Vec<&str> = json.classes.iter().map(|class| class.name.as_str()).collect();
        if known != found {
            return Err(format!(
                "expected the classes of the description ({}), found others in dataset.json ({})",
                known.join(", "),
                found.join(", ")
            ));
        }
    }
    if config.name.is_empty() {
        config.name = json.name.clone().unwrap_or_default();
    }
    "imagesTr".clone_into(&mut config.images);
    "labelsTr".clone_into(&mut config.labels);
    Ok(())
}

/// Cases as `dataset.json` lists them.
fn by_list(found: &mut Pairs, json: &DatasetJson, listed: &[Listed], folder: &Path) {
    for Listed { id, images, labels } in listed {
        let id = id.clone().unwrap_or_else(|| case_stem(&images[0]));
        let image = match &images[..] {
            [image] => channels_of(folder, image, json),
            images => {
                let files = images.iter().map(|image| resolve(folder, image));
                files.map(|file| Some(Channel { path: file?, volume: None })).collect()
            }
        };
        let nowhere = |named: &Path| {
            format!("dataset.json names a file that is not there, {}", named.display())
        };
        let list = folder.join(super::json::NAME);
        match (image, resolve(folder, labels)) {
            (None, _) => found.add_lonely(&id, &list, nowhere(&images[0])),
            (_, None) => found.add_lonely(&id, &list, nowhere(labels)),
            (Some(channels), Some(labels)) => {
                if found.cases.contains_key(&id) {
                    let message = "dataset.json lists this case twice".to_owned();
                    found.add_lonely(&id, &list, message);
                    continue;
                }
                let found_channels = channels.len();
                if found_channels != json.channels.len() {
                    let expected = json.channels.len();
                    let message = format!("expected {expected} channels, found {found_channels}");
                    found.add_lonely(&id, &list, message);
                    continue;
                }
                let files = Files { image: Channel::default(), channels, labels, part: None };
                found.cases.insert(id, with_first(files));
            }
        }
    }
}

/// One image with all channels in it, or with a file for each, as nnU-Net's first version had.
fn channels_of(folder: &Path, named: &Path, json: &DatasetJson) -> Option<Vec<Channel>> {
    let several = json.channels.len() > 1;
    let numbers = 0..json.channels.len();
    if let Some(path) = resolve(folder, named) {
        let volume = |number| Channel { path: path.clone(), volume: several.then_some(number) };
        return Some(numbers.map(volume).collect());
    }
    let stem = case_stem(named);
    let ending = named.file_name()?.to_str()?.strip_prefix(&stem)?;
    let file = |number| {
        let named = named.with_file_name(format!("{stem}_{number:04}{ending}"));
        Some(Channel { path: resolve(folder, &named)?, volume: None })
    };
    numbers.map(file).collect()
}

/// The first channel as the image.
fn with_first(mut files: Files) -> Files {
    files.image = files.channels.remove(0);
    files
}

/// Cases by the names of nnU-Net: `CASE_0000.ENDING`, or `CASE.ENDING` of a single channel.
fn by_folder(found: &mut Pairs, json: &DatasetJson, folder: &Path) -> Result<(), DatasetError> {
    let (image_folder, label_folder) = (folder.join("imagesTr"), folder.join("labelsTr"));
    let (mut images, foreign) = in_folder(&image_folder, json)?;
    let (names, others) = names_in(&label_folder, &json.file_ending)?;
    for (place, count) in [("imagesTr", foreign), ("labelsTr", others)] {
        if count > 0 {
            let ending = &json.file_ending;
            found.warnings.push(format!(
                "{count} other files in {place}/, whose names do not end in {ending}"
            ));
        }
    }
    for (id, labels) in names {
        let Some(channels) = images.remove(&id) else {
            let message = "labels without an image of their name in imagesTr/".to_owned();
            found.add_lonely(&id, &labels, message);
            continue;
        };
        let wanted = json.channels.len();
        // A picture may have all three colors in one file.
        let colors = wanted == 3 && channels.len() == 1 && is_picture_name(&labels);
        if !colors && !channels.keys().copied().eq(0..wanted) {
            let numbers: Vec<String> = channels.keys().map(|n| format!("_{n:04}")).collect();
            let message = format!(
                "expected the channels {}, found {}",
                json.channels_told(),
                numbers.join(", ")
            );
            let path = channels.into_values().next().unwrap_or(labels);
            found.add_lonely(&id, &path, message);
            continue;
        }
        if colors {
            found.channels.truncate(1);
            found.channels[0] = json.channels.join("");
        }
        let channels = channels.into_values().map(|path| Channel { path, volume: None }).collect();
        let files = Files { image: Channel::default(), channels, labels, part: None };
        found.cases.insert(id, with_first(files));
    }
    for (id, channels) in images {
        let path = channels.into_values().next().unwrap_or_default();
        let message = "image without labels of its name in labelsTr/".to_owned();
        found.add_lonely(&id, &path, message);
    }
    Ok(())
}

/// The files of each case by channel, and how many others there are.
type Channels = BTreeMap<String, BTreeMap<usize, PathBuf>>;

fn in_folder(folder: &Path, json: &DatasetJson) -> Result<(Channels, usize), DatasetError> {
    let (names, others) = names_in(folder, &json.file_ending)?;
    // A single channel needs no number, and then a name may end in one that means something else.
    let numbered = json.channels.len() > 1 || names.iter().any(|(stem, _)| stem.ends_with("_0000"));
    let mut cases: Channels = BTreeMap::new();
    for (stem, path) in names {
        let (id, number) = match stem.rsplit_once('_') {
            Some((id, number)) if numbered && number.len() == 4 => (id, number.parse().ok()),
            _ if numbered => (stem.as_str(), None),
            _ => (stem.as_str(), Some(0)),
        };
        let Some(number) = number else {
            let message = "expected the number of a channel in its name, as in _0000".to_owned();
            return Err(DatasetError::Content { message, path });
        };
        cases.entry(id.to_owned()).or_default().insert(number, path);
    }
    Ok((cases, others))
}

/// What stands before `ending` in the names of the files of a folder, and how many others there are.
fn names_in(
    folder: &Path,
    ending: &str,
) -> Result<(BTreeSet<(String, PathBuf)>, usize), DatasetError> {
    let read = |source| DatasetError::Read { path: folder.to_owned(), source };
    let mut names = BTreeSet::new();
    let mut others = 0;
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || path.is_dir() {
            continue;
        }
        let stem = match ending {
            "" => Some(case_stem(&path)),
            ending => name.strip_suffix(ending).map(str::to_owned),
        };
        match stem.filter(|stem| !stem.is_empty()) {
            Some(stem) => {
                names.insert((stem, path));
            }
            None => others += 1,
        }
    }
    Ok((names, others))
}
