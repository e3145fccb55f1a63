//! What the dialog holds: the kind, the format, the labels and the name of the file.

use std::path::{Path, PathBuf};

use super::ExportCommand;
use super::kinds::{LabelFormat, TableFormat, What};
use super::rows::{LabelRow, rows};
use crate::gui::state::State;

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
}
