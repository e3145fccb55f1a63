//! Writing files so that a name stands for the whole new file or the whole old one.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::VolumeError;

/// Bytes handed to the system at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// Writes a file under a hidden name in the same folder, makes sure that it is on disk,
/// and only then gives it its name.
///
/// # Errors
/// If the folder does not exist or may not be written to, or the disk is full. The
/// half-written file is gone then, and what stood under the name before is untouched.
///
/// ```
/// use std::io::Write;
/// use lamina_io::atomic::write_atomically;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("report.txt");
/// write_atomically(&path, |file| writeln!(file, "done"))?;
/// assert_eq!(std::fs::read_to_string(path)?, "done\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), VolumeError> {
    Pending::write(path, write)?.commit()
}

/// Makes a folder under a hidden name beside `path`, lets `fill` write into it, and only then
/// gives it its name. A folder that is there already is replaced; when `fill` fails it is as it
/// was, and nothing else is left.
///
/// # Errors
/// What `fill` answers, or [`VolumeError::Write`] when the folder cannot be made or renamed.
pub fn write_folder_atomically<T, E: From<VolumeError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    let fail = |source| VolumeError::Write { path: path.to_owned(), source };
    let parent = folder_of(path);
    if !parent.is_dir() {
        return Err(VolumeError::OutputFolder { path: path.to_owned() }.into());
    }
    let hidden = || hidden_folder(parent);
    let new = hidden().map_err(fail)?;
    let filled = fill(new.path())?;
    if path.is_dir() {
        // Two renames: a folder that holds files cannot be renamed over.
        let old = hidden().map_err(fail)?;
        let aside = old.path().join("old");
        std::fs::rename(path, &aside).map_err(fail)?;
        if let Err(source) = std::fs::rename(new.path(), path) {
            let _ = std::fs::rename(&aside, path);
            return Err(fail(source).into());
        }
    } else {
        std::fs::rename(new.path(), path).map_err(fail)?;
    }
    let _ = new.keep(); // it has another name now, and is not to be removed
    if let Ok(folder) = File::open(parent) {
        let _ = folder.sync_all();
    }
    Ok(filled)
}

fn hidden_folder(parent: &Path) -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".lamina-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o777));
    }
    builder.tempdir_in(parent)
}

/// Lets `fill` write the file that `path` is to be, and those beside it that belong to it, under
/// their own names in a hidden folder; only when it succeeds do they move to their place.
///
/// `last` tells which of them is to appear last: a header, so that none is ever seen that points
/// to voxels that are not there.
pub(crate) fn write_together<T>(
    path: &Path,
    last: impl Fn(&Path) -> bool,
    fill: impl FnOnce(&Path) -> Result<T, VolumeError>,
) -> Result<T, VolumeError> {
    let fail = |source| VolumeError::Write { path: path.to_owned(), source };
    let parent = folder_of(path);
    check_place(path)?;
    let folder = hidden_folder(parent).map_err(fail)?;
    let name = path.file_name().unwrap_or_default();
    let answer = fill(&folder.path().join(name)).map_err(|error| error.about(path))?;
    let entries = std::fs::read_dir(folder.path()).map_err(fail)?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(fail)?.file_name());
    }
    names.sort_by_key(|name| last(Path::new(name)));
    for name in &names {
        check_place(&parent.join(name))?;
    }
    for name in names {
        std::fs::rename(folder.path().join(&name), parent.join(&name)).map_err(fail)?;
    }
    if let Ok(folder) = File::open(parent) {
        let _ = folder.sync_all();
    }
    Ok(answer)
}

/// Renaming over a folder fails late, over a device such as /dev/null it succeeds.
fn check_place(path: &Path) -> Result<(), VolumeError> {
    if !folder_of(path).is_dir() {
        return Err(VolumeError::OutputFolder { path: path.to_owned() });
    }
    let found = match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => "a folder",
        Ok(there) if !there.is_file() => "a device or pipe",
        _ => return Ok(()),
    };
    Err(VolumeError::NotAFile { path: path.to_owned(), found })
}

/// A file that is written and on disk, but not under its name yet. Dropped, it is removed.
pub(crate) struct Pending {
    path: PathBuf,
    file: NamedTempFile,
}

impl Pending {
    pub(crate) fn write(
        path: &Path,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<Self, VolumeError> {
        let fail = |source| VolumeError::Write { path: path.to_owned(), source };
        let folder = folder_of(path);
        check_place(path)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".lamina-").suffix(".part");
        #[cfg(unix)]
        {
            // As for any new file: what the user's umask leaves of it.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder).map_err(fail)?;
        fill(file.as_file_mut(), write).map_err(fail)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Gives the file its name.
    pub(crate) fn commit(self) -> Result<(), VolumeError> {
        let Self { path, file } = self;
        if let Err(error) = file.persist(&path) {
            return Err(VolumeError::Write { path, source: error.error });
        }
        // The new name itself, where the system can sync a folder; the voxels are safe already.
        if let Ok(folder) = File::open(folder_of(&path)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes all there is to write and waits until it is on disk.
fn fill(
    file: &mut File,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = BufWriter::with_capacity(BUFFER_BYTES, file.try_clone()?);
    write(&mut buffer)?;
    buffer.flush()?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.nii");
        std::fs::write(&path, "old").unwrap();
        let result = write_atomically(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        let message = result.unwrap_err().to_string();
        assert!(
            message.starts_with("cannot write") && message.ends_with("labels.nii"),
            "{message}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["labels.nii"]);
    }

    #[test]
    fn a_new_file_replaces_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.nii");
        for text in ["old", "new"] {
            write_atomically(&path, |file| file.write_all(text.as_bytes())).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["labels.nii"]);
    }

    #[test]
    fn a_missing_folder_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere").join("labels.nii");
        assert!(matches!(
            write_atomically(&path, |_| Ok(())),
            Err(VolumeError::OutputFolder { .. })
        ));
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle");
        let write = |text: &'static str, works: bool| {
            write_folder_atomically(&path, |place| {
                std::fs::write(place.join(text), text).unwrap();
                if works { Ok(()) } else { Err(VolumeError::OutputFolder { path: place.into() }) }
            })
        };
        assert!(write("first", false).is_err());
        assert!(names(folder.path()).is_empty());
        write("second", true).unwrap();
        assert!(write("third", false).is_err());
        assert_eq!(names(&path), ["second"]);
        write("fourth", true).unwrap();
        assert_eq!(names(&path), ["fourth"]);
        assert_eq!(names(folder.path()), ["bundle"]);
    }

    #[test]
    fn a_folder_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let result = write_atomically(folder.path(), |_| Ok(()));
        assert!(matches!(result, Err(VolumeError::NotAFile { .. })));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error() {
        let mut full = File::options().write(true).open("/dev/full").unwrap();
        let error = fill(&mut full, |file| file.write_all(b"voxels")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_not_replaced() {
        let result = write_atomically(Path::new("/dev/null"), |_| Ok(()));
        assert!(matches!(result, Err(VolumeError::NotAFile { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_has_the_permissions_of_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
        write_atomically(&ours, |_| Ok(())).unwrap();
        std::fs::write(&other, "").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&other));
    }
}
