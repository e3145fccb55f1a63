//! Exporting: what can be written, under which name, and what came of it.
//!
//! Here is what the dialog knows; `write.rs` does the work on a thread, with the code of the command
//! line, and `picture.rs` and `case.rs` make what is written.

pub mod case;
pub mod picture;
pub mod write;

use std::path::{Path, PathBuf};

use lamina_io::dataset::Class;
use lamina_io::{Code, SegmentCodes, Verified};

use super::labels::LabelLayer;
use super::state::State;

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The labels.
    Labels,
    /// How much of each label there is.
    Volumes,
    /// What was changed, with which tool, when.
    Audit,
    /// The plane in view as a picture.
    Plane,
    /// The window as a picture.
    Window,
    /// Slices with the labels over them as one picture.
    Montage,
    /// All of it as a page.
    Report,
    /// What is open and how it is looked at.
    Session,
}

impl What {
    /// All, in the order of the dialog.
    pub const ALL: [Self; 8] = [
        Self::Labels,
        Self::Volumes,
        Self::Audit,
        Self::Plane,
        Self::Window,
        Self::Montage,
        Self::Report,
        Self::Session,
    ];

    /// What to call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Labels => "Labels",
            Self::Volumes => "Table of volumes",
            Self::Audit => "Audit trail of the edits",
            Self::Plane => "Picture of a plane",
            Self::Window => "Picture of the window",
            Self::Montage => "Montage of the case",
            Self::Report => "Case report",
            Self::Session => "Session",
        }
    }

    /// One sentence more.
    pub fn about(self) -> &'static str {
        match self {
            Self::Labels => "Read back by other code and compared in the patient, voxel by voxel.",
            Self::Volumes => "Voxels and milliliters of each label, as CSV or JSON.",
            Self::Audit => "Every change with time, tool, label and voxels, as CSV.",
            Self::Plane => "The plane under the cursor, whole, with labels as they are shown. PNG.",
            Self::Window => "What is on the screen, without names of files. PNG.",
            Self::Montage => "Slices that hold labels with their outlines. PNG.",
            Self::Report => {
                "One HTML page: labels over slices, volumes, doubtful slices, edits, the model. \
                 Needs no network; prints on A4."
            }
            Self::Session => {
                "Which files are open and how they are looked at. It names the files as seen from \
                 its own folder, and holds nothing of their headers."
            }
        }
    }

    /// Whether it can be made of labels only.
    pub fn needs_labels(self) -> bool {
        matches!(self, Self::Labels | Self::Volumes | Self::Audit | Self::Montage)
    }
}

/// A format of label files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelFormat {
    /// `.nii.gz`
    NiftiGzip,
    /// `.nii`
    Nifti,
    /// `.hdr` and `.img`
    NiftiPair,
    /// `.mha`
    MetaImage,
    /// `.mhd` and `.zraw`
    MetaImagePair,
    /// `.nrrd`
    Nrrd,
    /// `.nhdr` and `.raw.gz`
    NrrdPair,
    /// `.dcm`, binary
    DicomSeg,
    /// `.dcm`, label map
    DicomLabelmap,
    /// `.tif`, a page for each slice
    Tiff,
    /// `.tif` in colors
    ColoredTiff,
    /// `.png` of a single slice
    Png,
    /// `.png` in colors
    ColoredPng,
}

impl LabelFormat {
    /// All, in the order of the dialog.
    pub const ALL: [Self; 13] = [
        Self::NiftiGzip,
        Self::Nifti,
        Self::NiftiPair,
        Self::MetaImage,
        Self::MetaImagePair,
        Self::Nrrd,
        Self::NrrdPair,
        Self::DicomSeg,
        Self::DicomLabelmap,
        Self::Tiff,
        Self::ColoredTiff,
        Self::Png,
        Self::ColoredPng,
    ];

    /// What to call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::NiftiGzip => "NIfTI, compressed (.nii.gz)",
            Self::Nifti => "NIfTI (.nii)",
            Self::NiftiPair => "NIfTI, two files (.hdr, .img)",
            Self::MetaImage => "MetaImage (.mha)",
            Self::MetaImagePair => "MetaImage, two files (.mhd)",
            Self::Nrrd => "NRRD (.nrrd)",
            Self::NrrdPair => "NRRD, two files (.nhdr)",
            Self::DicomSeg => "DICOM segmentation (.dcm)",
            Self::DicomLabelmap => "DICOM label map (.dcm)",
            Self::Tiff => "TIFF, a page for each slice (.tif)",
            Self::ColoredTiff => "TIFF in colors (.tif)",
            Self::Png => "PNG with a palette (.png)",
            Self::ColoredPng => "PNG in colors (.png)",
        }
    }

    /// What names of such files end in.
    pub fn ending(self) -> &'static str {
        match self {
            Self::NiftiGzip => ".nii.gz",
            Self::Nifti => ".nii",
            Self::NiftiPair => ".hdr",
            Self::MetaImage => ".mha",
            Self::MetaImagePair => ".mhd",
            Self::Nrrd => ".nrrd",
            Self::NrrdPair => ".nhdr",
            Self::DicomSeg | Self::DicomLabelmap => ".dcm",
            Self::Tiff | Self::ColoredTiff => ".tif",
            Self::Png | Self::ColoredPng => ".png",
        }
    }

    /// Whether it is written into the study of the image.
    pub fn is_dicom(self) -> bool {
        matches!(self, Self::DicomSeg | Self::DicomLabelmap)
    }

    /// Whether it holds colors in place of labels.
    pub fn is_colored(self) -> bool {
        matches!(self, Self::ColoredTiff | Self::ColoredPng)
    }

    /// What the user should know before.
    pub fn caveat(self) -> Option<&'static str> {
        match self {
            Self::DicomSeg => Some(
                "Copies the patient and the study of the image into the file, as the standard asks.",
            ),
            Self::DicomLabelmap => Some(
                "Copies the patient and the study of the image into the file. Few other programs \
                 read this class yet.",
            ),
            Self::Tiff | Self::ColoredTiff | Self::Png | Self::ColoredPng => {
                Some("A picture does not say where it lies; it is compared slice by slice.")
            }
            _ => None,
        }
    }

    /// Why it cannot hold the labels that there are.
    pub fn refusal(self, state: &State) -> Option<&'static str> {
        let image = state.image.as_ref()?;
        if self.is_dicom() && !image.is_dicom {
            return Some("Only for images that are DICOM");
        }
        let slices = image.volume.shape()[0];
        if matches!(self, Self::Png | Self::ColoredPng) && slices > 1 {
            return Some("Holds one slice only; TIFF holds all");
        }
        None
    }
}

/// A format of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// `.csv`
    Csv,
    /// `.json`
    Json,
}

/// A label in the dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRow {
    /// Its number.
    pub value: u8,
    /// Whether it is written.
    pub included: bool,
    /// What it is called there.
    pub name: String,
    /// Its code in DICOM, as "SCT 41216001 Prostate".
    pub code: String,
    /// All its codes, where its model has some.
    pub known: Option<SegmentCodes>,
}

impl LabelRow {
    /// The code, if one was typed.
    ///
    /// # Errors
    /// A sentence about what was expected.
    pub fn codes(&self) -> Result<SegmentCodes, String> {
        let text = self.code.trim();
        if let Some(known) = self.known.as_ref().filter(|known| code_text(known) == text) {
            return Ok(known.clone());
        }
        if text.is_empty() {
            return Ok(SegmentCodes::default());
        }
        let mut words = text.splitn(3, char::is_whitespace).map(str::trim);
        let (Some(scheme), Some(value), Some(meaning)) = (words.next(), words.next(), words.next())
        else {
            return Err(format!(
                "Expected a code such as “SCT 41216001 Prostate” for {}, found “{text}”.",
                self.name
            ));
        };
        let code = Code {
            value: value.to_owned(),
            scheme: scheme.to_owned(),
            meaning: meaning.to_owned(),
        };
        code.check()
            .map_err(|reason| format!("The code of {} cannot be used: {reason}", self.name))?;
        Ok(SegmentCodes { kind: Some(code), ..SegmentCodes::default() })
    }
}

/// What the dialog holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// What is exported.
    pub what: What,
    /// As what labels are written.
    pub format: LabelFormat,
    /// As what tables are written.
    pub table: TableFormat,
    /// The labels.
    pub rows: Vec<LabelRow>,
    /// What the case is called in pictures, tables and pages.
    pub case: String,
    /// The file to write.
    pub path: String,
    /// Whether a file of that name may be replaced.
    pub replace: bool,
    /// What came of the last export from this dialog.
    pub said: Option<Said>,
}

/// What came of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whether it worked.
    pub done: bool,
    /// Plain sentences.
    pub text: String,
}

/// The labels as they were when they were written: the layer, what a model was doing, the change.
pub type LabelStamp = [u64; 3];

/// Which labels these are, however they look.
pub fn stamp_of(layer: &LabelLayer) -> LabelStamp {
    let [id, _looks, live, change] = layer.revision();
    [id, live, change]
}

/// Stays beside the labels until they change.
#[derive(Debug, Clone, PartialEq)]
pub struct Badge {
    /// Of which labels.
    pub stamp: LabelStamp,
    /// What was compared, or why the file was not kept.
    pub outcome: Result<Verified, String>,
    /// The format.
    pub format: &'static str,
    /// Whether some labels were left out.
    pub partial: bool,
}

impl Badge {
    /// A few words.
    pub fn title(&self) -> String {
        match &self.outcome {
            Ok(_) if self.partial => "Verified, some labels only".to_owned(),
            Ok(_) => "Verified".to_owned(),
            Err(_) => "Not written".to_owned(),
        }
    }

    /// What was compared.
    pub fn detail(&self) -> String {
        match &self.outcome {
            Ok(verified) if verified.placed => {
                let off = match verified.max_offset_voxels {
                    none if none < 0.000_05 => "none off its place".to_owned(),
                    most => format!("at most {most:.4} voxels off"),
                };
                format!(
                    "{}: read back by other code, all {} voxels compared in patient space, {off}",
                    self.format, verified.voxels
                )
            }
            Ok(verified) => format!(
                "{}: read back by other code, all {} voxels compared by index",
                self.format, verified.voxels
            ),
            Err(reason) => format!("{}: {reason}", self.format),
        }
    }
}

/// What exporting knows.
#[derive(Debug, Clone, Default)]
pub struct Exporting {
    /// The dialog, while it is open.
    pub form: Option<Form>,
    /// What is being written.
    pub running: Option<&'static str>,
    /// What came of the last time that labels were written.
    pub badge: Option<Badge>,
    /// Where the last export went, until the program ends.
    pub folder: Option<PathBuf>,
    /// Whether names are left away, for a picture of the window is being taken.
    pub nameless: bool,
}

impl Exporting {
    /// The badge, as long as it is about these labels.
    pub fn badge_of(&self, layer: &LabelLayer) -> Option<&Badge> {
        self.badge.as_ref().filter(|badge| badge.stamp == stamp_of(layer))
    }
}

/// What the user wants of an export.
#[derive(Debug, Clone, PartialEq)]
pub enum ExportCommand {
    /// Open the dialog.
    Open(What),
    /// Close it.
    Close,
    /// Another kind.
    What(What),
    /// Another format of labels.
    Format(LabelFormat),
    /// Another format of tables.
    Table(TableFormat),
    /// A row as it is now.
    Row(Box<LabelRow>),
    /// What to call the case.
    Case(String),
    /// Where to write.
    Path(String),
    /// Whether a file may be replaced.
    Replace(bool),
    /// Choose the file in a dialog of the desktop.
    Choose,
    /// Write it.
    Write,
}

impl Form {
    /// The dialog for what is open.
    pub fn new(what: What, state: &State) -> Self {
        let format = if state.image.as_ref().is_some_and(|image| image.is_dicom) {
            LabelFormat::DicomSeg
        } else {
            LabelFormat::NiftiGzip
        };
        let mut form = Self {
            what,
            format,
            table: TableFormat::Csv,
            rows: rows(state),
            case: "case".to_owned(),
            path: String::new(),
            replace: false,
            said: None,
        };
        let folder = state.exporting.folder.clone().or_else(|| {
            let path = &state.image.as_ref()?.path;
            Some(path.parent()?.to_owned())
        });
        let folder = folder.unwrap_or_default();
        form.path = folder.join(form.file_name()).to_string_lossy().into_owned();
        form
    }

    /// The name that is proposed: it says what it is, never whose.
    fn file_name(&self) -> String {
        let name = match self.what {
            What::Labels => "labels",
            What::Volumes => "volumes",
            What::Audit => "edits",
            What::Plane => "plane",
            What::Window => "window",
            What::Montage => "montage",
            What::Report => "report",
            What::Session => "session",
        };
        format!("{name}{}", self.ending())
    }

    /// What the name has to end in.
    pub fn ending(&self) -> &'static str {
        match self.what {
            What::Labels => self.format.ending(),
            What::Volumes if self.table == TableFormat::Json => ".json",
            What::Volumes | What::Audit => ".csv",
            What::Plane | What::Window | What::Montage => ".png",
            What::Report => ".html",
            What::Session => ".lamina-session",
        }
    }

    /// Does what concerns the dialog alone.
    pub fn run(&mut self, command: ExportCommand) {
        match command {
            ExportCommand::What(what) => {
                let named_by_us = self.is_proposed();
                self.what = what;
                self.rename(named_by_us);
            }
            ExportCommand::Format(format) => {
                self.format = format;
                self.rename(false);
            }
            ExportCommand::Table(table) => {
                self.table = table;
                self.rename(false);
            }
            ExportCommand::Row(row) => {
                if let Some(known) = self.rows.iter_mut().find(|known| known.value == row.value) {
                    *known = *row;
                }
            }
            ExportCommand::Case(case) => self.case = case,
            ExportCommand::Path(path) => {
                self.path = path;
                self.replace = false;
            }
            ExportCommand::Replace(replace) => self.replace = replace,
            _ => return,
        }
        self.said = None;
    }

    fn is_proposed(&self) -> bool {
        Path::new(&self.path).file_name().is_some_and(|name| name == self.file_name().as_str())
    }

    /// Gives the file the ending of its format, or the name that is proposed.
    fn rename(&mut self, propose: bool) {
        self.replace = false;
        let path = PathBuf::from(&self.path);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = if propose || name.is_empty() {
            self.file_name()
        } else {
            format!("{}{}", stem(&name), self.ending())
        };
        self.path = path.with_file_name(name).to_string_lossy().into_owned();
    }

    /// The file to write, with its ending.
    pub fn target(&self) -> Option<PathBuf> {
        let typed = self.path.trim();
        if typed.is_empty() {
            return None;
        }
        let ending = self.ending();
        let has_ending = typed.to_ascii_lowercase().ends_with(ending);
        Some(PathBuf::from(if has_ending { typed.to_owned() } else { format!("{typed}{ending}") }))
    }
}

/// A name without the ending of a format that is written.
fn stem(name: &str) -> &str {
    let endings = LabelFormat::ALL.map(LabelFormat::ending);
    let others = [".csv", ".json", ".html", ".lamina-session"];
    // The longest first: ".nii.gz" before ".gz" would be.
    let lower = name.to_ascii_lowercase();
    let found = endings.into_iter().chain(others).find(|ending| lower.ends_with(ending));
    found.and_then(|ending| name.get(..name.len() - ending.len())).unwrap_or(name)
}

/// The code of what a label is, as people type it.
fn code_text(codes: &SegmentCodes) -> String {
    codes
        .kind
        .as_ref()
        .map_or_else(String::new, |code| format!("{} {} {}", code.scheme, code.value, code.meaning))
}

/// A row for each label, with the code that its model knows for it.
fn rows(state: &State) -> Vec<LabelRow> {
    let Some(layer) = &state.labels else { return Vec::new() };
    let model = state.models.iter().find(|model| model.manifest.name == layer.origin);
    let class_of = |value: u8| -> Option<&Class> {
        model.and_then(|model| model.manifest.classes.get(usize::from(value)))
    };
    let row = |class: &super::labels::LabelClass| {
        let known = class_of(class.value).and_then(|class| class.codes.clone());
        LabelRow {
            value: class.value,
            included: true,
            name: class.name.clone(),
            code: known.as_ref().map(code_text).unwrap_or_default(),
            known,
        }
    };
    layer.classes.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        let mut form = Form::new(What::Labels, &State::default());
        form.path = "/a/labels.nii.gz".to_owned();
        form
    }

    fn path_of(form: &Form) -> String {
        form.path.replace('\\', "/")
    }

    #[test]
    fn the_name_follows_the_format_and_keeps_what_was_typed() {
        let mut form = form();
        form.run(ExportCommand::Format(LabelFormat::DicomSeg));
        assert_eq!(path_of(&form), "/a/labels.dcm");
        form.run(ExportCommand::What(What::Report));
        assert_eq!(path_of(&form), "/a/report.html");
        form.run(ExportCommand::Path("/a/mine.html".to_owned()));
        form.run(ExportCommand::What(What::Volumes));
        assert_eq!(path_of(&form), "/a/mine.csv");
        form.run(ExportCommand::Table(TableFormat::Json));
        assert_eq!(path_of(&form), "/a/mine.json");
    }

    #[test]
    fn an_ending_is_added_where_it_is_missing() {
        let mut form = form();
        form.path = " /a/b.c ".to_owned();
        assert_eq!(form.target(), Some(PathBuf::from("/a/b.c.nii.gz")));
        form.path = "/a/B.NII.GZ".to_owned();
        assert_eq!(form.target(), Some(PathBuf::from("/a/B.NII.GZ")));
        form.path = " ".to_owned();
        assert_eq!(form.target(), None);
    }

    #[test]
    fn another_name_is_not_yet_allowed_to_replace_a_file() {
        let mut form = form();
        form.run(ExportCommand::Replace(true));
        form.run(ExportCommand::Path("/a/other.nii.gz".to_owned()));
        assert!(!form.replace);
    }

    #[test]
    fn codes_are_typed_as_scheme_value_and_meaning() {
        let row = |code: &str| LabelRow {
            value: 1,
            included: true,
            name: "gland".to_owned(),
            code: code.to_owned(),
            known: None,
        };
        assert_eq!(row(" ").codes(), Ok(SegmentCodes::default()));
        let codes = row("SCT 41216001 Prostate gland").codes().unwrap().kind.unwrap();
        assert_eq!(codes.scheme, "SCT");
        assert_eq!(codes.value, "41216001");
        assert_eq!(codes.meaning, "Prostate gland");
        for wrong in ["SCT", "SCT 1", "SCT 12345678901234567 x"] {
            assert!(row(wrong).codes().unwrap_err().contains("gland"), "{wrong}");
        }
    }

    #[test]
    fn a_badge_tells_what_was_compared() {
        let mut badge = Badge {
            stamp: [0; 3],
            outcome: Ok(Verified { voxels: 24, placed: true, max_offset_voxels: 0.000_1 }),
            format: "NIfTI",
            partial: false,
        };
        assert_eq!(badge.title(), "Verified");
        assert!(badge.detail().contains("all 24 voxels compared in patient space, at most 0.0001"));
        badge.outcome = Ok(Verified { voxels: 24, placed: true, max_offset_voxels: 0.0 });
        assert!(badge.detail().ends_with("none off its place"));
        badge.outcome = Err("the disk is full".to_owned());
        assert_eq!(badge.detail(), "NIfTI: the disk is full");
        assert_eq!(badge.title(), "Not written");
    }
}
