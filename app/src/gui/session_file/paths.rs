//! Paths as seen from the folder of a session: written and followed below that folder alone.

use std::path::{Component, Path, PathBuf};

/// The folder of the session itself.
const HERE: &str = ".";

/// A path below a folder; other ways are not followed.
pub(super) fn inside(folder: &Path, name: &str, what: &str) -> Result<PathBuf, String> {
    let relative = Path::new(name);
    let is_below = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_below || name.is_empty() || name.contains('\\') {
        return Err(format!(
            "The session names its {what} by a way that leaves its folder, which is not followed: \
             {name}"
        ));
    }
    Ok(folder.join(relative))
}

/// A folder of a worklist, which may be that of the session.
pub(super) fn resolve_folder(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let path = if name == HERE { folder.to_owned() } else { inside(folder, name, "worklist")? };
    if !path.is_dir() {
        return Err(format!(
            "A folder of the worklist of this session is missing; put it back: {}",
            path.display()
        ));
    }
    Ok(path)
}

/// The folder of a file, without detours.
pub(super) fn folder_of(path: &Path) -> Result<PathBuf, String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    folder.canonicalize().map_err(|error| format!("No such folder ({error}): {}", folder.display()))
}

/// The way from a folder to a file below it.
pub(super) fn below(folder: &Path, file: &Path) -> Result<String, String> {
    let absolute = file
        .canonicalize()
        .map_err(|error| format!("Cannot find the file again ({error}): {}", file.display()))?;
    let refuse = || {
        format!(
            "A session names files as seen from its own folder; save it in the folder of this file \
             or above: {}",
            file.display()
        )
    };
    let relative = absolute.strip_prefix(folder).map_err(|_| refuse())?;
    let parts: Option<Vec<&str>> =
        relative.components().map(|part| part.as_os_str().to_str()).collect();
    let parts = parts.ok_or_else(refuse)?;
    Ok(if parts.is_empty() { HERE.to_owned() } else { parts.join("/") })
}
