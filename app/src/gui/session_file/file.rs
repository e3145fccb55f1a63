//! The file of a session: written with hashes, and read only if its files are what they were.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use lamina_io::atomic::write_atomically;
use lamina_io::{files_of, files_read};

use super::paths::{below, folder_of, inside, resolve_folder};
use super::{FORMAT, FileRef, ListRef, SessionFile};
use crate::cli::{error_line, files_sha256};
use crate::gui::export::write::{ImagePart, reading};
use crate::gui::worklist::Sources;

/// A session is smaller than this.
const MOST_BYTES: u64 = 1 << 20;

/// A session whose files are there and are what they were.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The session.
    pub session: SessionFile,
    /// The image.
    pub image: PathBuf,
    /// The labels.
    pub labels: Option<PathBuf>,
    /// The reference.
    pub reference: Option<PathBuf>,
    /// The folders of the worklist.
    pub worklist: Option<Sources>,
}

impl SessionFile {
    /// Writes it, with the files as seen from its folder and their hashes.
    ///
    /// # Errors
    /// A sentence with what to do, where a file does not lie below the folder of the session, or
    /// one cannot be read or written.
    pub fn write(&self, target: &Path, image: Option<&ImagePart>) -> Result<(), String> {
        let mut session = self.clone();
        let folder = folder_of(target)?;
        let series = image.and_then(|image| image.series);
        let SessionFile { image, labels, reference, .. } = &mut session;
        for reference in [Some(image), labels.as_mut(), reference.as_mut()].into_iter().flatten() {
            let path = PathBuf::from(&reference.file);
            reference.sha256 = hash(&path, reference.series.and(series))?;
            reference.file = below(&folder, &path)?;
        }
        for listed in session.worklist.iter_mut().flat_map(ListRef::folders) {
            *listed = below(&folder, Path::new(listed))?;
        }
        let text = serde_json::to_string_pretty(&session)
            .map_err(|error| format!("The session is no valid JSON: {error}."))?;
        write_atomically(target, |out| writeln!(out, "{text}"))
            .map_err(|error| format!("Cannot write the session: {}", error_line(&error)))
    }

    /// Reads a session and looks whether its files are there and are what they were.
    ///
    /// # Errors
    /// A sentence with what was found and what to do.
    pub fn read(path: &Path) -> Result<Resolved, String> {
        let place = path.display();
        let mut text = Vec::new();
        let read = |file: std::fs::File| file.take(MOST_BYTES).read_to_end(&mut text);
        std::fs::File::open(path)
            .and_then(read)
            .map_err(|error| format!("Cannot open the session: {error}: {place}"))?;
        let value: serde_json::Value = serde_json::from_slice(&text)
            .map_err(|_| format!("This is no session, or a damaged one: {place}"))?;
        match value.get("lamina_session").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => {
                return Err(format!(
                    "Expected a session of form {FORMAT}, found {format}; a newer version of \
                     Lamina may open it: {place}"
                ));
            }
            None => return Err(format!("This is no session, or a damaged one: {place}")),
        }
        let session: Self = serde_json::from_value(value)
            .map_err(|error| format!("The session is damaged ({error}): {place}"))?;
        session.check().map_err(|what| format!("The session is damaged ({what}): {place}"))?;
        let folder = folder_of(path)?;
        let image = session.image.resolve(&folder, "image")?;
        let labels = session.labels.as_ref().map(|labels| labels.resolve(&folder, "label file"));
        let reference =
            session.reference.as_ref().map(|labels| labels.resolve(&folder, "reference"));
        let worklist = session.worklist.as_ref().map(|list| -> Result<Sources, String> {
            let of = |name: &String| resolve_folder(&folder, name);
            Ok(Sources {
                results: of(&list.results)?,
                images: list.images.as_ref().map(of).transpose()?,
                references: list.references.as_ref().map(of).transpose()?,
            })
        });
        Ok(Resolved {
            image,
            labels: labels.transpose()?,
            reference: reference.transpose()?,
            worklist: worklist.transpose()?,
            session,
        })
    }

    /// Whether its numbers can be used.
    fn check(&self) -> Result<(), &'static str> {
        let view = &self.view;
        let numbers = view.crosshair_mm.iter().chain(&view.window);
        if !numbers.chain([&f64::from(view.opacity)]).all(|number| number.is_finite()) {
            return Err("a number is none");
        }
        if view.window[1] <= 0.0 {
            return Err("the window has no width");
        }
        for (zoom, pan) in &view.panes {
            if !zoom.is_finite() || *zoom <= 0.0 || !pan.iter().all(|shift| shift.is_finite()) {
                return Err("a plane has no size");
            }
        }
        Ok(())
    }
}

impl FileRef {
    /// The file, if it is there and is what it was.
    fn resolve(&self, folder: &Path, what: &str) -> Result<PathBuf, String> {
        let path = inside(folder, &self.file, what)?;
        if !path.exists() {
            return Err(format!(
                "The {what} of this session is missing; put it back beside the session: {}",
                path.display()
            ));
        }
        if hash(&path, self.series)? != self.sha256 {
            return Err(format!(
                "The {what} is another one than when the session was saved; open it by itself, \
                 and save a new session: {}",
                path.display()
            ));
        }
        Ok(path)
    }
}

fn hash(path: &Path, series: Option<u32>) -> Result<String, String> {
    let files = match series {
        Some(_) => files_read(path, &reading(series)),
        None => files_of(path),
    };
    if files.is_empty() {
        return Err(format!("Cannot read any image there: {}", path.display()));
    }
    files_sha256(&files).map_err(|error| format!("Cannot read: {error}: {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gui::plane::Plane;
    use crate::gui::session_file::{ABOUT, ClassPart, ViewPart};
    use crate::gui::settings::LabelLook;
    use crate::gui::state::{Drawn, Layout, State};

    fn session() -> SessionFile {
        SessionFile {
            lamina_session: FORMAT,
            about: ABOUT.to_owned(),
            image: FileRef { file: String::new(), series: None, sha256: String::new() },
            labels: None,
            reference: None,
            worklist: None,
            model: None,
            view: ViewPart {
                crosshair_mm: [1.5, -2.25, 3.125],
                layout: Layout::Three,
                focus: "coronal".to_owned(),
                panes: [(2.0, [3.0, -4.0]), (1.0, [0.0; 2]), (0.5, [0.0; 2])],
                window: [40.0, 400.0],
                inverted: true,
                labels: true,
                opacity: 0.25,
                drawn: Drawn::Outline,
                doubt: true,
                annotations: false,
            },
            classes: vec![ClassPart {
                look: LabelLook { value: 3, name: "x".to_owned(), color: [1, 2, 3] },
                visible: false,
            }],
        }
    }

    /// A session about `cases/a.bin`, beside which it lies one folder up.
    fn written(folder: &Path) -> PathBuf {
        std::fs::create_dir_all(folder.join("cases")).unwrap();
        let image = folder.join("cases/a.bin");
        std::fs::write(&image, "voxels").unwrap();
        let mut session = session();
        session.image.file = image.to_string_lossy().into_owned();
        let target = folder.join("one.lamina-session");
        session.write(&target, None).unwrap();
        target
    }

    #[test]
    fn a_session_comes_back_and_names_no_folder_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let target = written(folder.path());
        let text = std::fs::read_to_string(&target).unwrap();
        assert!(!text.contains(&*folder.path().to_string_lossy()), "{text}");
        let read = SessionFile::read(&target).unwrap();
        assert_eq!(read.session.image.file, "cases/a.bin");
        assert_eq!(read.image, folder.path().canonicalize().unwrap().join("cases/a.bin"));
        assert_eq!(read.session.view, session().view);
        let mut state = State::default();
        read.session.apply(&mut state);
        assert_eq!(SessionFile::of(&state), None, "no image is open");
        assert_eq!(state.focus, Plane::Coronal);
        assert_eq!(state.crosshair_mm, [1.5, -2.25, 3.125]);
        assert_eq!(state.overlay.drawn, Drawn::Outline);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let target = written(folder.path());
        let image = folder.path().join("cases/a.bin");
        let refusal = || SessionFile::read(&target).unwrap_err();
        std::fs::write(&image, "others").unwrap();
        assert!(refusal().contains("is another one than when the session was saved"));
        std::fs::remove_file(&image).unwrap();
        assert!(refusal().contains("is missing"), "{}", refusal());

        let text = std::fs::read_to_string(&target).unwrap();
        for (from, to, expected) in [
            ("cases/a.bin", "../a.bin", "leaves its folder"),
            ("cases/a.bin", "/etc/passwd", "leaves its folder"),
            ("\"lamina_session\": 1", "\"lamina_session\": 7", "found 7"),
            ("\"lamina_session\": 1", "\"session\": 1", "no session"),
            ("400.0", "-1.0", "no width"),
            ("\"outline\"", "\"drawing\"", "damaged"),
            ("{", "", "no session"),
        ] {
            std::fs::write(&target, text.replacen(from, to, 1)).unwrap();
            assert!(refusal().contains(expected), "{expected}: {}", refusal());
        }
    }

    #[test]
    fn folders_of_a_worklist_are_seen_from_the_session_too() {
        let folder = tempfile::tempdir().unwrap();
        let target = written(folder.path());
        let mut session = session();
        let whole = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        session.image.file = whole("cases/a.bin");
        session.worklist = Some(ListRef {
            results: whole(""),
            images: Some(whole("cases")),
            references: None,
            case: Some("a".to_owned()),
        });
        session.write(&target, None).unwrap();
        let read = SessionFile::read(&target).unwrap();
        let list = read.session.worklist.unwrap();
        assert_eq!((list.results.as_str(), list.images.as_deref()), (".", Some("cases")));
        let folder = folder.path().canonicalize().unwrap();
        let sources = read.worklist.unwrap();
        assert_eq!((sources.results, sources.images), (folder.clone(), Some(folder.join("cases"))));
    }

    #[test]
    fn a_session_is_saved_beside_its_image_or_above() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        std::fs::create_dir(folder.path().join("elsewhere")).unwrap();
        let mut session = session();
        session.image.file = folder.path().join("cases/a.bin").to_string_lossy().into_owned();
        let target = folder.path().join("elsewhere/two.lamina-session");
        let refusal = session.write(&target, None).unwrap_err();
        assert!(refusal.contains("in the folder of this file or above"), "{refusal}");
        assert!(!target.exists());
    }
}
