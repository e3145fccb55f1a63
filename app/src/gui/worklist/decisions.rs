//! What was decided of each case, in a file in the folder of the results, so that another session
//! goes on.
//!
//! It holds the names of cases, as they stand in the folder, and nothing else of them.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use lamina_io::atomic::write_atomically;
use serde::{Deserialize, Serialize};

/// The name of the file.
pub const FILE_NAME: &str = "lamina-worklist.json";

/// Said at its head.
const ABOUT: &str = "Worklist of Lamina: which cases were accepted or flagged. Cases are called \
                     as their files in this folder are; nothing else of them is stored.";

/// What was decided of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Nothing yet.
    #[default]
    ToDo,
    /// Its labels are good.
    Accepted,
    /// Somebody should look again.
    Flagged,
}

impl Decision {
    /// What tables say.
    pub fn text(self) -> &'static str {
        match self {
            Self::ToDo => "to do",
            Self::Accepted => "accepted",
            Self::Flagged => "flagged",
        }
    }

    /// The order when sorted: to do, flagged, accepted.
    pub fn rank(self) -> u8 {
        match self {
            Self::ToDo => 0,
            Self::Flagged => 1,
            Self::Accepted => 2,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    about: String,
    version: u32,
    /// What is not listed is to do.
    cases: BTreeMap<String, Decision>,
}

/// The decisions in a folder; none where there is no file yet.
///
/// # Errors
/// A sentence, where there is a file that is no worklist of this version.
pub fn read(folder: &Path) -> Result<BTreeMap<String, Decision>, String> {
    let path = folder.join(FILE_NAME);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(refusal(&error.to_string(), &path)),
    };
    let stored: Stored =
        serde_json::from_slice(&bytes).map_err(|error| refusal(&error.to_string(), &path))?;
    if stored.version != 1 {
        let found = format!("expected version 1, found {}", stored.version);
        return Err(refusal(&found, &path));
    }
    Ok(stored.cases)
}

fn refusal(reason: &str, path: &Path) -> String {
    format!(
        "Cannot read what was decided of these cases, so nothing more is stored; mend or remove \
         the file: {reason}: {}",
        path.display()
    )
}

/// Adds decisions to those in the folder; those of others stay.
///
/// # Errors
/// A sentence, where the file cannot be read or written.
pub fn store(folder: &Path, changes: &BTreeMap<String, Decision>) -> Result<PathBuf, String> {
    let mut cases = read(folder)?;
    for (case, decision) in changes {
        if *decision == Decision::ToDo {
            cases.remove(case);
        } else {
            cases.insert(case.clone(), *decision);
        }
    }
    let path = folder.join(FILE_NAME);
    let stored = Stored { about: ABOUT.to_owned(), version: 1, cases };
    write_atomically(&path, |out| {
        serde_json::to_writer_pretty(&mut *out, &stored).map_err(io::Error::from)?;
        out.write_all(b"\n")
    })
    .map_err(|error| {
        format!(
            "What was decided is not stored and ends with this session: {}",
            crate::cli::error_line(&error)
        )
    })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(list: &[(&str, Decision)]) -> BTreeMap<String, Decision> {
        list.iter().map(|(name, decision)| ((*name).to_owned(), *decision)).collect()
    }

    #[test]
    fn decisions_add_up_and_hold_names_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), Ok(BTreeMap::new()));
        let first = changes(&[("a", Decision::Accepted), ("b", Decision::Flagged)]);
        store(folder.path(), &first).unwrap();
        let path = store(folder.path(), &changes(&[("a", Decision::ToDo)])).unwrap();
        store(folder.path(), &changes(&[("c", Decision::Accepted)])).unwrap();
        let expected = changes(&[("b", Decision::Flagged), ("c", Decision::Accepted)]);
        assert_eq!(read(folder.path()), Ok(expected));
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["about", "version", "cases"]);
        assert_eq!(json["cases"]["b"], "flagged");
        assert!(!json.to_string().contains(folder.path().to_str().unwrap()));
    }

    #[test]
    fn a_damaged_file_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for damage in ["{\"about\": ", "{\"about\":\"\",\"version\":2,\"cases\":{}}", "[]"] {
            let path = folder.path().join(FILE_NAME);
            std::fs::write(&path, damage).unwrap();
            let problem = read(folder.path()).unwrap_err();
            assert!(problem.ends_with(FILE_NAME), "{problem}");
            assert!(store(folder.path(), &changes(&[("a", Decision::Accepted)])).is_err());
            assert_eq!(std::fs::read_to_string(path).unwrap(), damage);
        }
    }

    #[test]
    fn a_folder_that_is_gone_is_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let problem = store(&gone, &changes(&[("a", Decision::Accepted)])).unwrap_err();
        assert!(problem.starts_with("What was decided is not stored"), "{problem}");
    }
}
