//! From the files and folders of a command line to cases, and from a prediction to its reference.
//!
//! Cases are known by their stem: the file name without the ending of its
//! format. A reference may carry a suffix (`case_seg.nii.gz`) and an image a
//! channel number (`case_0000.nii.gz`), as common data sets write them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use lamina_io::{
    Limits, ReadOptions, SUPPORTED_NAMES, SeriesChoice, case_stem, images_among, is_picture_name,
    is_supported_name, pseudonym_for, series_in,
};

/// What may follow the case's name in the name of a file.
const SUFFIXES: [&str; 8] =
    ["_seg", "_segmentation", "_label", "_labels", "_mask", "_gt", "_pred", "_0000"];

/// What to read of a folder or file of DICOM.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct SeriesArgs {
    /// Which DICOM series: its number or key in the list of `info`, or its SeriesInstanceUID.
    #[arg(long, value_name = "N|KEY|UID")]
    pub series: Option<SeriesChoice>,

    /// Take a flawed DICOM series for an even stack: missing slices repeat their neighbors, of
    /// several at one place the first counts, uneven ones are placed evenly, and a tilted gantry
    /// makes a sheared grid.
    #[arg(long)]
    pub accept_flaws: bool,

    /// Which segment of a DICOM segmentation, the others being background; needed where
    /// segments overlap.
    #[arg(long, value_name = "NUMBER")]
    pub segment: Option<u16>,
}

impl SeriesArgs {
    /// As options for reading.
    pub fn reading(self, volume: Option<usize>) -> ReadOptions {
        let Self { series, accept_flaws, segment } = self;
        ReadOptions { volume, series, accept_flaws, segment, ..ReadOptions::default() }
    }
}

/// One file, or folder of DICOM, that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The file, as the user wrote it.
    pub path: PathBuf,
    /// The file's name without its ending.
    pub name: String,
    /// What the case is called in all that is written: its name, unless that says who the
    /// patient is.
    pub case: String,
}

impl Input {
    fn new(path: PathBuf) -> Self {
        let name = case_stem(&path);
        // What has the ending of another format is not opened to find out.
        let known = is_supported_name(&path) || is_picture_name(&path);
        let pseudonym = if known { None } else { pseudonym(&path, &name) };
        Self { case: pseudonym.unwrap_or_else(|| name.clone()), name, path }
    }

    fn series(folder: &Path) -> Self {
        let name = folder_name(folder);
        let case = pseudonym(folder, &name).unwrap_or_else(|| name.clone());
        Self { path: folder.to_owned(), name, case }
    }
}

fn pseudonym(path: &Path, name: &str) -> Option<String> {
    pseudonym_for(path, name, &Limits::default())
}

/// The files among `paths`, and the supported files in the folders among them.
///
/// A file that is named is taken whatever it is called; reading it tells.
///
/// # Errors
/// When a folder cannot be read or holds nothing to work on.
pub fn expand(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    let mut inputs: Vec<Input> = Vec::new();
    for path in paths {
        let found =
            if path.is_dir() { supported_files(path)? } else { vec![Input::new(path.clone())] };
        for input in found {
            if !inputs.iter().any(|known| known.path == input.path) {
                inputs.push(input);
            }
        }
    }
    Ok(inputs)
}

/// The supported files directly in `folder`, sorted by name.
fn supported_files(folder: &Path) -> anyhow::Result<Vec<Input>> {
    let cannot_read = || format!("cannot read this folder: {}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot_read)? {
        let path = entry.with_context(cannot_read)?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    let mut paths = images_among(paths);
    let volumes = paths.iter().any(|path| is_supported_name(path));
    if !volumes {
        match series_in(folder, &Limits::default()) {
            Ok(series) if !series.is_empty() => return Ok(vec![Input::series(folder)]),
            // Why nothing of it can be read is for the one who reads it to say.
            Err(_) if paths.is_empty() => return Ok(vec![Input::series(folder)]),
            _ => {}
        }
    }
    if paths.is_empty() {
        bail!(
            "expected volumes ({SUPPORTED_NAMES}), found none in this folder: {}",
            folder.display()
        );
    }
    paths.sort();
    Ok(paths.into_iter().map(Input::new).collect())
}

/// What a folder of DICOM is called as a case.
fn folder_name(folder: &Path) -> String {
    let name = |path: &Path| Some(path.file_name()?.to_string_lossy().into_owned());
    let named = name(folder).or_else(|| name(&folder.canonicalize().ok()?));
    named.unwrap_or_else(|| "series".to_owned())
}

/// Files of one folder, or a single file, by the case they belong to.
#[derive(Debug, Clone, Default)]
pub struct CaseFiles {
    by_name: BTreeMap<String, Input>,
}

impl CaseFiles {
    /// Looks into `path`.
    ///
    /// # Errors
    /// When it does not exist, is an empty folder, or names one case twice.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        fs::metadata(path)
            .with_context(|| format!("expected a file or a folder: {}", path.display()))?;
        let mut by_name: BTreeMap<String, Input> = BTreeMap::new();
        for input in expand(&[path.to_path_buf()])? {
            if let Some(first) = by_name.get(&input.name) {
                bail!(
                    "expected one file per case, found two of {:?}: {} and {}",
                    input.name,
                    first.path.display(),
                    input.path.display()
                );
            }
            by_name.insert(input.name.clone(), input);
        }
        Ok(Self { by_name })
    }

    /// Every file, sorted by its name.
    pub fn iter(&self) -> impl Iterator<Item = &Input> {
        self.by_name.values()
    }

    /// The file of `case`: by its very name or what it is called instead, else by the name
    /// without suffixes.
    ///
    /// # Errors
    /// When more than one file fits.
    pub fn find(&self, case: &str) -> anyhow::Result<Option<&Path>> {
        let key = case_key(case);
        let named = |name: &str| self.by_name.get(name);
        let called = || self.by_name.values().find(|input| input.case == case);
        if let Some(input) = named(case).or_else(called).or_else(|| named(key)) {
            return Ok(Some(&input.path));
        }
        let fitting: Vec<&Path> = self
            .by_name
            .values()
            .filter(|input| case_key(&input.name) == key)
            .map(|input| input.path.as_path())
            .collect();
        match fitting.as_slice() {
            [] => Ok(None),
            [path] => Ok(Some(path)),
            [first, second, ..] => {
                bail!(
                    "expected one file for case {case:?}, found {} and {}",
                    first.display(),
                    second.display()
                )
            }
        }
    }
}

/// The stem without what data sets put behind a case's name.
fn case_key(stem: &str) -> &str {
    let stripped = SUFFIXES.iter().find_map(|suffix| stem.strip_suffix(suffix));
    stripped.filter(|key| !key.is_empty()).unwrap_or(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), "").unwrap();
        }
        folder
    }

    fn cases(inputs: &[Input]) -> Vec<&str> {
        inputs.iter().map(|input| input.case.as_str()).collect()
    }

    #[test]
    fn a_folder_gives_its_volumes_in_order_and_a_pair_once() {
        let folder = folder(&[
            "b.nii.gz",
            "a.hdr",
            "a.img",
            "._b.nii.gz",
            "notes.txt",
            "c.nii",
            "d.mhd",
            "d.raw",
            "e.nrrd",
            "f.nhdr",
            "f.raw.gz",
        ]);
        let inputs = expand(&[folder.path().to_path_buf()]).unwrap();
        assert_eq!(cases(&inputs), ["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn a_folder_without_volumes_is_refused() {
        let folder = folder(&["notes.txt"]);
        let message = expand(&[folder.path().to_path_buf()]).unwrap_err().to_string();
        assert!(
            message.starts_with("expected volumes (.nii, .nii.gz, .hdr/.img, .mha"),
            "{message}"
        );
    }

    #[test]
    fn a_file_that_is_named_twice_is_one_case() {
        let file = PathBuf::from("x.nii");
        assert_eq!(expand(&[file.clone(), file]).unwrap().len(), 1);
    }

    #[test]
    fn a_reference_is_found_with_and_without_its_suffix() {
        let folder =
            folder(&["p1_seg.nii.gz", "p2.nii", "p3_0000.nii.gz", "p4.nii.gz", "p4_mask.nii.gz"]);
        let files = CaseFiles::read(folder.path()).unwrap();
        let name =
            |case| files.find(case).unwrap().map(|path| path.file_name().unwrap().to_owned());
        assert_eq!(name("p1").unwrap(), "p1_seg.nii.gz");
        assert_eq!(name("p2_label").unwrap(), "p2.nii");
        assert_eq!(name("p3").unwrap(), "p3_0000.nii.gz");
        assert_eq!(name("p4").unwrap(), "p4.nii.gz");
        assert_eq!(name("p5"), None);
    }

    #[test]
    fn two_files_that_fit_are_named() {
        let folder = folder(&["p_seg.nii.gz", "p_mask.nii.gz"]);
        let message = CaseFiles::read(folder.path()).unwrap().find("p").unwrap_err().to_string();
        assert!(message.contains("p_mask.nii.gz") && message.contains("p_seg.nii.gz"), "{message}");
    }

    #[test]
    fn one_case_in_two_formats_is_refused() {
        let folder = folder(&["p.nii", "p.nii.gz"]);
        let message = CaseFiles::read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("p.nii and"), "{message}");
    }
}
