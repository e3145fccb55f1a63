//! A session in a file: which files are open, and how they are looked at.
//!
//! Files are named as seen from the folder of the session, by way of folders below it alone, so
//! that no more of a path is told than its last part. Nothing of a header is kept; a hash tells
//! whether a file is still the one that it was.

use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use lamina_io::atomic::write_atomically;
use lamina_io::{files_of, files_read};
use serde::{Deserialize, Serialize};

use super::export::write::{ImagePart, reading};
use super::plane::Plane;
use super::segment::Overlay;
use super::settings::LabelLook;
use super::shades::Window;
use super::state::{Drawn, Layout, PaneState, State};
use super::worklist::Sources;
use crate::cli::{error_line, files_sha256};

/// What names of sessions end in, without the dot.
pub const EXTENSION: &str = "lamina-session";

/// The form of the file.
const FORMAT: u32 = 1;

/// A session is smaller than this.
const MOST_BYTES: u64 = 1 << 20;

/// The folder of the session itself.
const HERE: &str = ".";

const ABOUT: &str = "A session of Lamina. Files are named as seen from the folder of this file; \
                     nothing of their headers is in it.";

/// What is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionFile {
    /// The form of the file.
    pub lamina_session: u32,
    /// For whom opens it with another program.
    pub about: String,
    /// The image.
    pub image: FileRef,
    /// The labels over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<FileRef>,
    /// The labels that they are compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<FileRef>,
    /// The worklist, and where in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worklist: Option<ListRef>,
    /// The model that is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// How it is looked at.
    pub view: ViewPart,
    /// How labels look.
    pub classes: Vec<ClassPart>,
}

/// A file or a folder of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Its path from the folder of the session, with `/` between its parts.
    pub file: String,
    /// Which series of a folder, by its place from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<u32>,
    /// Hash of all that is read of it.
    pub sha256: String,
}

/// A worklist: its folders as seen from that of the session, and the case that is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRef {
    /// Results.
    pub results: String,
    /// Images, where they were chosen or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<String>,
    /// References, where they were chosen or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<String>,
    /// The case that is open, by its name in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
}

impl ListRef {
    fn folders(&mut self) -> impl Iterator<Item = &mut String> {
        [Some(&mut self.results), self.images.as_mut(), self.references.as_mut()]
            .into_iter()
            .flatten()
    }
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRef {
    /// Its name.
    pub name: String,
    /// Hash of its weights.
    pub weights_sha256: String,
}

/// How an image is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the window")]
pub struct ViewPart {
    /// The place that is shown, in RAS millimeters.
    pub crosshair_mm: [f64; 3],
    /// Which planes are seen.
    pub layout: Layout,
    /// The plane that is large.
    pub focus: String,
    /// Zoom and shift of each plane.
    pub panes: [(f32, [f32; 2]); 3],
    /// Middle and width of the window.
    pub window: [f64; 2],
    /// Whether black is white.
    pub inverted: bool,
    /// Whether labels are shown.
    pub labels: bool,
    /// How opaque they are.
    pub opacity: f32,
    /// Filled, outlined or both.
    pub drawn: Drawn,
    /// Whether doubt is shown.
    pub doubt: bool,
    /// Whether crosshair, letters and scale are drawn.
    pub annotations: bool,
}

/// How a label looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassPart {
    /// Number, name and color.
    #[serde(flatten)]
    pub look: LabelLook,
    /// Whether it is shown.
    pub visible: bool,
}

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

/// Whether a path is that of a session.
pub fn is_session(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(EXTENSION))
}

impl SessionFile {
    /// What is open; paths and hashes are found when it is written. None without an image.
    pub fn of(state: &State) -> Option<Self> {
        let image = state.image.as_ref().filter(|image| !image.is_stand_in)?;
        let whole = |path: &Path| path.to_string_lossy().into_owned();
        let labels = state.labels.as_ref().filter(|layer| !layer.is_unsaved());
        let file = |path: &Path| FileRef { file: whole(path), series: None, sha256: String::new() };
        let labels = labels.and_then(|layer| layer.file.as_deref()).map(file);
        let reference = state.compare.reference.as_ref();
        let reference = reference.and_then(|reference| reference.file.as_deref()).map(file);
        let worklist = state.worklist.as_ref().map(|list| ListRef {
            results: whole(&list.sources.results),
            images: list.sources.images.as_deref().map(whole),
            references: list.sources.references.as_deref().map(whole),
            case: list.open_case().map(|case| case.name.clone()),
        });
        let model = state.models.get(state.model).map(|model| ModelRef {
            name: model.manifest.name.clone(),
            weights_sha256: model.manifest.weights.sha256.clone(),
        });
        let classes = state.labels.iter().flat_map(|layer| {
            let visible = layer.classes.iter().map(|class| class.visible);
            super::settings::looks(layer).into_iter().zip(visible)
        });
        Some(Self {
            lamina_session: FORMAT,
            about: ABOUT.to_owned(),
            image: FileRef {
                file: whole(&image.path),
                series: image.series,
                sha256: String::new(),
            },
            labels,
            reference,
            worklist,
            model,
            view: ViewPart {
                crosshair_mm: state.crosshair_mm,
                layout: state.layout,
                focus: state.focus.name().to_owned(),
                panes: state.panes.map(|pane| (pane.zoom, pane.pan)),
                window: [state.window.center, state.window.width],
                inverted: state.inverted,
                labels: state.overlay.labels,
                opacity: state.overlay.opacity,
                drawn: state.overlay.drawn,
                doubt: state.segment.overlay == Overlay::Doubt,
                annotations: state.annotations,
            },
            classes: classes.map(|(look, visible)| ClassPart { look, visible }).collect(),
        })
    }

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

    /// Looks at what is open as the session says.
    pub fn apply(&self, state: &mut State) {
        let view = &self.view;
        state.crosshair_mm = view.crosshair_mm;
        state.layout = view.layout;
        let planes = [Plane::Axial, Plane::Coronal, Plane::Sagittal, Plane::Stored];
        if let Some(plane) = planes.into_iter().find(|plane| plane.name() == view.focus) {
            state.focus = plane;
        }
        state.panes = view.panes.map(|(zoom, pan)| PaneState { zoom: zoom.clamp(0.2, 60.0), pan });
        state.window = Window { center: view.window[0], width: view.window[1] };
        state.inverted = view.inverted;
        state.overlay.labels = view.labels;
        state.overlay.opacity = view.opacity.clamp(0.0, 1.0);
        state.overlay.drawn = view.drawn;
        state.segment.overlay = if view.doubt { Overlay::Doubt } else { Overlay::None };
        state.annotations = view.annotations;
        if let Some(model) = &self.model {
            let same = state.models.iter().position(|choice| {
                choice.manifest.name == model.name
                    && choice.manifest.weights.sha256 == model.weights_sha256
            });
            state.model = same.unwrap_or(state.model);
        }
        if let (Some(list), Some(listed)) = (&mut state.worklist, &self.worklist) {
            let case = listed.case.as_ref();
            list.current = case.and_then(|name| list.cases.iter().position(|c| c.name == *name));
        }
        if let Some(layer) = &mut state.labels {
            for class in &self.classes {
                layer.change_row(class.look.value, |row| {
                    row.name.clone_from(&class.look.name);
                    row.color = class.look.color;
                    row.visible = class.visible;
                });
            }
        }
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

/// A path below a folder; other ways are not followed.
fn inside(folder: &Path, name: &str, what: &str) -> Result<PathBuf, String> {
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
fn resolve_folder(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let path = if name == HERE { folder.to_owned() } else { inside(folder, name, "worklist")? };
    if !path.is_dir() {
        return Err(format!(
            "A folder of the worklist of this session is missing; put it back: {}",
            path.display()
        ));
    }
    Ok(path)
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

/// The folder of a file, without detours.
fn folder_of(path: &Path) -> Result<PathBuf, String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    folder.canonicalize().map_err(|error| format!("No such folder ({error}): {}", folder.display()))
}

/// The way from a folder to a file below it.
fn below(folder: &Path, file: &Path) -> Result<String, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
