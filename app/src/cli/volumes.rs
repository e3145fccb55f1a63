//! How much of each class there is in each case, as a table for other programs.
//!
//! `predict --volumes` and `convert` write it; failed cases have rows too, so that none is missed.
//! No path stands in it.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use lamina_io::atomic::write_atomically;
use serde::Serialize;

use super::sidecar::ClassVolume;

/// One class in one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    case: String,
    status: &'static str,
    label: Option<u8>,
    class: Option<String>,
    voxels: Option<u64>,
    volume_ml: Option<f64>,
    error: Option<String>,
}

impl Row {
    /// What was found of a class.
    pub fn found(case: &str, volume: &ClassVolume) -> Self {
        Self {
            voxels: Some(volume.voxels),
            volume_ml: volume.volume_ml,
            status: "done",
            ..Self::of(case, Some((volume.label, &volume.name)))
        }
    }

    /// A class in a case that failed, of which nothing is known.
    pub fn failed(case: &str, class: Option<(u8, &str)>, error: &str) -> Self {
        Self { error: Some(error.to_owned()), ..Self::of(case, class) }
    }

    fn of(case: &str, class: Option<(u8, &str)>) -> Self {
        Self {
            case: case.to_owned(),
            status: "failed",
            label: class.map(|(label, _)| label),
            class: class.map(|(_, name)| name.to_owned()),
            voxels: None,
            volume_ml: None,
            error: None,
        }
    }

    fn csv(&self) -> String {
        let cells = [
            quoted(&self.case),
            self.status.to_owned(),
            self.label.map_or_else(String::new, |label| label.to_string()),
            self.class.as_deref().map_or_else(String::new, quoted),
            self.voxels.map_or_else(String::new, |voxels| voxels.to_string()),
            self.volume_ml.map_or_else(String::new, |ml| ml.to_string()),
            self.error.as_deref().map_or_else(String::new, quoted),
        ];
        cells.join(",")
    }
}

/// A cell of a CSV table, RFC 4180.
fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Whether a table can be written under this name.
pub fn is_table_name(path: &Path) -> bool {
    path.extension().is_some_and(|ending| {
        ["csv", "json"].iter().any(|known| ending.eq_ignore_ascii_case(known))
    })
}

/// Refuses a name that does not say which kind of table it is.
///
/// # Errors
/// When it ends in neither .csv nor .json.
pub fn check_name(path: &Path) -> anyhow::Result<()> {
    if !is_table_name(path) {
        bail!("expected the name of a table to end in .csv or .json: {}", path.display());
    }
    Ok(())
}

/// Writes the table whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, rows: &[Row]) -> anyhow::Result<()> {
    let json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let text = if json {
        serde_json::to_string_pretty(rows).context("the volumes are no valid JSON")? + "\n"
    } else {
        let head = "case,status,label,class,voxels,volume_ml,error".to_owned();
        let lines = std::iter::once(head).chain(rows.iter().map(Row::csv));
        lines.map(|line| line + "\n").collect()
    };
    write_atomically(path, |out| out.write_all(text.as_bytes()))
        .context("cannot write the table of volumes")
}

/// A reason without the paths in it, which may tell who the patient is.
pub fn without_paths(reason: &str, paths: &[&Path]) -> String {
    paths.iter().fold(reason.to_owned(), |reason, path| {
        let path = path.display().to_string();
        reason.replace(&format!(": {path}"), "").replace(&path, "the file")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let volume =
            ClassVolume { label: 1, name: "a, \"b\"".to_owned(), voxels: 8, volume_ml: Some(0.25) };
        assert_eq!(Row::found("c", &volume).csv(), "c,done,1,\"a, \"\"b\"\"\",8,0.25,");
        let failed = Row::failed("c", None, "expected x: y");
        assert_eq!(failed.csv(), "c,failed,,,,,expected x: y");
    }

    #[test]
    fn reasons_lose_their_paths() {
        let path = Path::new("in/p.nii");
        assert_eq!(without_paths("expected x, found y: in/p.nii", &[path]), "expected x, found y");
        assert_eq!(
            without_paths("cannot open in/p.nii: gone", &[path]),
            "cannot open the file: gone"
        );
    }
}
