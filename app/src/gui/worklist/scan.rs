//! From folders to cases: which labels, image, reference and record belong together.
//!
//! Cases are known by the names of files, as on the command line (`cli/inputs.rs`); the records
//! that `lamina predict` writes tell how unsure the model was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lamina_io::{case_stem, images_among};

use super::{Case, ClassAmount, Decision, Score, Worklist, decisions};
use crate::cli::{CaseFiles, Sidecar};

/// Where corrected labels go, within the folder of the results.
pub const CORRECTED: &str = "corrected";

/// Where images may lie beside a folder of labels.
const IMAGE_FOLDERS: [&str; 5] = ["images", "scans", "imagesTs", "imagesTr", "."];

/// Where references may lie beside a folder of labels.
const REFERENCE_FOLDERS: [&str; 4] = ["references", "labels", "labelsTs", "labelsTr"];

/// The folders that a worklist is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Labels, and their records where there are any; decisions are stored here.
    pub results: PathBuf,
    /// Images; looked for beside the labels unless given.
    pub images: Option<PathBuf>,
    /// References; looked for beside the labels unless given.
    pub references: Option<PathBuf>,
}

/// What came of looking through folders.
#[derive(Debug)]
pub struct Scanned {
    /// The cases.
    pub list: Worklist,
    /// What the user should know.
    pub notices: Vec<String>,
}

/// Looks through the folders; `stopped` is asked now and then.
///
/// # Errors
/// A sentence, where there is nothing to list.
pub fn scan(sources: &Sources, stopped: &dyn Fn() -> bool) -> Result<Scanned, String> {
    let folder = &sources.results;
    let files = files_in(folder)?;
    let mut cases = cases_of(&files, stopped);
    if cases.is_empty() {
        return Err(format!(
            "Found no labels in this folder. Choose the folder that `lamina predict` wrote into, \
             or a folder of label files: {}",
            folder.display()
        ));
    }
    let mut notices = Vec::new();
    let mut found = sources.clone();
    let images = beside(folder, sources.images.as_deref(), &IMAGE_FOLDERS, &cases)?;
    let references = beside(folder, sources.references.as_deref(), &REFERENCE_FOLDERS, &cases)?;
    let corrected = files_in(&folder.join(CORRECTED)).map(|files| by_stem(images_among(files)));
    let corrected = corrected.unwrap_or_default();
    let decided = decisions::read(folder).unwrap_or_else(|problem| {
        notices.push(problem);
        BTreeMap::new()
    });
    for case in cases.values_mut() {
        if stopped() {
            break;
        }
        case.image = images.as_ref().and_then(|(folder, files)| of_case(folder, files, case));
        case.reference =
            references.as_ref().and_then(|(folder, files)| of_case(folder, files, case));
        if case.reference.is_some() {
            case.score = Score::Waiting;
        }
        case.corrected = corrected.get(&case.name).cloned();
        if case.corrected.is_some() {
            case.amounts.clear(); // those are of the labels before
        }
        case.decision = decided.get(&case.name).copied().unwrap_or_default();
    }
    found.images = images.map(|(folder, _)| folder);
    found.references = references.map(|(folder, _)| folder);
    let lacking = cases.values().filter(|case| case.image.is_none()).count();
    if lacking > 0 {
        notices.push(format!(
            "{lacking} of {} cases have no image with their name. Choose the folder of the images.",
            cases.len()
        ));
    }
    Ok(Scanned { list: Worklist::new(found, cases.into_values().collect()), notices })
}

/// Whether a folder has records of `lamina predict` in it.
pub fn has_records(folder: &Path) -> bool {
    let Ok(files) = files_in(folder) else { return false };
    files.iter().any(|path| is_json(path) && Sidecar::read(path).is_some())
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "json")
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot =
        |error: std::io::Error| format!("Cannot read this folder: {error}: {}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(cannot)?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    Ok(files)
}

fn by_stem(files: Vec<PathBuf>) -> BTreeMap<String, PathBuf> {
    files.into_iter().map(|path| (case_stem(&path), path)).collect()
}

/// The cases of a folder of labels, without what lies elsewhere.
fn cases_of(files: &[PathBuf], stopped: &dyn Fn() -> bool) -> BTreeMap<String, Case> {
    let mut masks = by_stem(images_among(files.to_vec()));
    let mut cases = BTreeMap::new();
    let records = files.iter().filter(|path| {
        is_json(path) && path.file_name().is_none_or(|name| name != decisions::FILE_NAME)
    });
    let mut recorded = false;
    for path in records {
        if stopped() {
            return cases;
        }
        let Some(record) = Sidecar::read(path) else { continue };
        recorded = true;
        let segmentation = path.with_extension("dcm");
        let mask = masks
            .remove(&record.case)
            .or_else(|| files.contains(&segmentation).then_some(segmentation));
        // A record without its mask is one of a run that was cut off.
        let Some(mask) = mask else { continue };
        let mut case = bare(record.case.clone(), mask);
        case.risk = record.doubt.map(|doubt| doubt.risk);
        case.doubtful = record.doubt.map(|doubt| (doubt.doubtful_slices, doubt.slices));
        case.model = Some(record.recipe.model);
        case.image_sha256 = Some(record.recipe.input_sha256);
        // With values of a data set, labels in the file are others than those in the record.
        if !record.recipe.values {
            case.amounts = record
                .classes
                .into_iter()
                .map(|class| ClassAmount {
                    label: class.label,
                    name: class.name,
                    volume_ml: class.volume_ml,
                    voxels: class.voxels,
                })
                .collect();
        }
        cases.insert(record.case, case);
    }
    for (name, mask) in masks {
        // Montages lie beside masks that are pictures themselves, maps of uncertainty beside any.
        let beside = ["_montage", "_uncertainty"].iter().any(|ending| name.ends_with(ending));
        if !(recorded && beside) {
            cases.insert(name.clone(), bare(name, mask));
        }
    }
    cases
}

fn bare(name: String, labels: PathBuf) -> Case {
    Case {
        name,
        labels,
        corrected: None,
        image: None,
        reference: None,
        risk: None,
        doubtful: None,
        model: None,
        image_sha256: None,
        amounts: Vec::new(),
        score: Score::NoReference,
        decision: Decision::ToDo,
    }
}

/// The folder that was named, or the first of those beside the labels that has a case.
fn beside(
    results: &Path,
    named: Option<&Path>,
    usual: &[&str],
    cases: &BTreeMap<String, Case>,
) -> Result<Option<(PathBuf, CaseFiles)>, String> {
    if let Some(folder) = named {
        let files = match CaseFiles::read(folder) {
            Ok(files) => files,
            // A folder of folders, each with a series.
            Err(_) if folder.is_dir() => CaseFiles::default(),
            Err(error) => return Err(crate::cli::error_line(error.as_ref())),
        };
        return Ok(Some((folder.to_owned(), files)));
    }
    let Some(parent) = results.parent() else { return Ok(None) };
    for name in usual {
        let folder = if *name == "." { parent.to_owned() } else { parent.join(name) };
        if folder == results || !folder.is_dir() {
            continue;
        }
        let files = CaseFiles::read(&folder).unwrap_or_default();
        if cases.values().any(|case| of_case(&folder, &files, case).is_some()) {
            return Ok(Some((folder, files)));
        }
    }
    Ok(None)
}

fn of_case(folder: &Path, files: &CaseFiles, case: &Case) -> Option<PathBuf> {
    if let Ok(Some(path)) = files.find(&case.name) {
        return (path != case.labels).then(|| path.to_owned());
    }
    let series = folder.join(&case.name);
    series.is_dir().then_some(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> bool {
        false
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn record(case: &str, risk: f64) -> String {
        format!(
            r#"{{"case": "{case}", "recipe": {{"model": "m", "weights_sha256": "w",
            "input_sha256": "i", "inference": null}}, "mask_sha256": "s",
            "verified": {{"voxels": 1, "placed": true, "max_offset_voxels": 0.0}},
            "lamina_version": "0", "device": "cpu",
            "seconds": {{"read": 0, "prepare": 0, "infer": 0, "restore": 0, "write": 0}},
            "doubt": {{"risk": {risk}, "worst_slice_risk": 0.5, "doubtful_slices": 2, "slices": 9}},
            "classes": [{{"label": 1, "name": "gland", "voxels": 5, "volume_ml": 0.5}}]}}"#
        )
    }

    #[test]
    fn images_and_references_are_found_beside_the_labels() {
        let folder = folder(&[
            "masks/a.nii.gz",
            "masks/b.nii.gz",
            "masks/b.png",
            "masks/corrected/b.nii.gz",
            "images/a_0000.nii.gz",
            "images/b_0000.nii.gz",
            "references/b_seg.nii.gz",
        ]);
        std::fs::write(folder.path().join("masks/a.json"), record("a", 0.25)).unwrap();
        let changes = BTreeMap::from([("b".to_owned(), Decision::Flagged)]);
        decisions::store(&folder.path().join("masks"), &changes).unwrap();
        let sources = Sources { results: folder.path().join("masks"), ..Sources::default() };
        let Scanned { list, notices } = scan(&sources, &never).unwrap();
        assert_eq!(notices, Vec::<String>::new());
        let [a, b] = &list.cases[..] else { panic!("{list:?}") };
        assert_eq!((a.name.as_str(), a.risk, a.doubtful), ("a", Some(0.25), Some((2, 9))));
        assert_eq!(a.amount(1).unwrap().volume_ml, Some(0.5));
        assert_eq!(a.image, Some(folder.path().join("images/a_0000.nii.gz")));
        assert_eq!((&a.reference, &a.score), (&None, &Score::NoReference));
        assert_eq!(b.reference, Some(folder.path().join("references/b_seg.nii.gz")));
        assert_eq!(b.score, Score::Waiting);
        assert_eq!(b.shown_labels(), &folder.path().join("masks/corrected/b.nii.gz"));
        assert_eq!(b.decision, Decision::Flagged);
        assert!(has_records(&sources.results));
        assert!(!has_records(&folder.path().join("images")));
    }

    #[test]
    fn a_series_is_a_folder_with_the_name_of_the_case() {
        let folder = folder(&["out/a.dcm", "studies/a/1.dcm"]);
        std::fs::write(folder.path().join("out/a.json"), record("a", 0.0)).unwrap();
        let sources = Sources {
            results: folder.path().join("out"),
            images: Some(folder.path().join("studies")),
            references: None,
        };
        let list = scan(&sources, &never).unwrap().list;
        assert_eq!(list.cases[0].labels, folder.path().join("out/a.dcm"));
        assert_eq!(list.cases[0].image, Some(folder.path().join("studies/a")));
    }

    #[test]
    fn what_lacks_is_said() {
        let folder = folder(&["masks/a.nii.gz", "empty/notes.txt"]);
        let masks = Sources { results: folder.path().join("masks"), ..Sources::default() };
        let found = scan(&masks, &never).unwrap();
        assert!(found.notices[0].starts_with("1 of 1 cases have no image"), "{found:?}");
        for name in ["empty", "absent"] {
            let sources = Sources { results: folder.path().join(name), ..Sources::default() };
            let problem = scan(&sources, &never).unwrap_err();
            assert!(problem.ends_with(name), "{problem}");
        }
        let wrong = Sources { images: Some(folder.path().join("absent")), ..masks };
        assert!(scan(&wrong, &never).is_err());
    }
}
