//! A case's name that does not say who the patient is.
//!
//! Folders of exported studies are often called after the patient, and what is written beside a
//! mask is called after the folder. The values that are looked at here are compared with that
//! name and forgotten.

use std::path::{Path, PathBuf};

use super::choice::SeriesInfo;
use super::element::{Elements, Tag};
use super::file::DicomFile;
use super::read::{dicom_files, is_dicom};
use super::tags;
use crate::read::Limits;

const SOP_INSTANCE_UID: Tag = 0x0008_0018;
const PATIENT_NAME: Tag = 0x0010_0010;
const PATIENT_IDENTITY_REMOVED: Tag = 0x0012_0062;

/// Each is a number or a name as a whole: ids, accession number, and the days of birth,
/// study, series, acquisition and content.
const WHOLE: [Tag; 9] = [
    0x0010_0020, // PatientID
    0x0010_1000, // OtherPatientIDs
    0x0008_0050, // AccessionNumber
    0x0010_0030, // PatientBirthDate
    0x0008_0020, // StudyDate
    0x0008_0021, // SeriesDate
    0x0008_0022, // AcquisitionDate
    0x0008_0023, // ContentDate
    0x0020_0010, // StudyID
];

/// Shorter values are in too many names by chance.
const SHORTEST: usize = 3;

/// What to call a DICOM file or folder instead of `name`, where that name holds the patient's
/// name or number or a day of the study; `None` where it does not, where `path` is no DICOM, and
/// where the files say that who the patient is was removed.
///
/// The name is made of the modality and a hash of the SeriesInstanceUID, as the list of series
/// shows it, or of the SOPInstanceUID of a single file.
pub fn pseudonym_for(path: &Path, name: &str, limits: &Limits) -> Option<String> {
    let file = DicomFile::open(&first_file(path)?, limits).ok()?;
    let elements = file.elements();
    if elements.text(PATIENT_IDENTITY_REMOVED).as_deref() == Some("YES") {
        return None;
    }
    let said = plain(name);
    if !telling(&elements).iter().any(|value| said.contains(value)) {
        return None;
    }
    let modality = elements.text(tags::MODALITY).unwrap_or_default().to_lowercase();
    let modality = if modality.len() == 2 && modality.chars().all(|c| c.is_ascii_alphabetic()) {
        modality
    } else {
        "series".to_owned()
    };
    let uid = if path.is_dir() { tags::SERIES_INSTANCE_UID } else { SOP_INSTANCE_UID };
    let uid = elements.text(uid).unwrap_or_default();
    Some(format!("{modality}-{}", SeriesInfo::key_of(&uid, None)))
}

fn first_file(path: &Path) -> Option<PathBuf> {
    if !path.is_dir() {
        return is_dicom(path).then(|| path.to_owned());
    }
    let (paths, _) = dicom_files(path).ok()?;
    paths.into_iter().next()
}

/// The values that say who or when, as [`plain`] writes them.
fn telling(elements: &Elements<'_>) -> Vec<String> {
    let mut values = Vec::new();
    if let Some(name) = elements.text(PATIENT_NAME) {
        values.extend(name.split(['^', '=', ' ', ',', '-', '_', '.']).map(plain));
    }
    for tag in WHOLE {
        if let Some(value) = elements.text(tag) {
            values.extend(value.split('\\').map(plain));
        }
    }
    values.retain(|value| value.chars().count() >= SHORTEST || !value.is_ascii());
    values.retain(|value| !value.is_empty());
    values
}

/// Letters and digits alone, in lower case.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
