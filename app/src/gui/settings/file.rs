//! The file of settings: read, kept aside where it is damaged, and written beside other windows.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;

use lamina_io::atomic::write_atomically;

use super::place::folder;
use super::{FORMAT, Settings};

/// A file of settings is smaller than this.
const MOST_BYTES: u64 = 1 << 20;

/// A file of settings.
#[derive(Debug, Clone)]
pub struct SettingsFile {
    path: PathBuf,
}

impl SettingsFile {
    /// The settings of the user, where the system has a place for them.
    pub fn of_user() -> Option<Self> {
        Some(Self::at(folder()?.join("settings.json")))
    }

    /// The settings in this file.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads them; where there are none, the defaults. A damaged file is kept under another name.
    ///
    /// # Errors
    /// A sentence for the user, with what is used in place of the file, and whether the file may be
    /// written.
    pub fn read(&self) -> Result<Settings, (String, bool)> {
        let text = match self.text() {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(Settings::default()),
            Err(error) => {
                let place = self.path.display();
                return Err((format!("The settings cannot be read ({error}): {place}"), false));
            }
        };
        match parse(&text) {
            Ok(settings) => Ok(settings),
            Err(Damage::Newer(format)) => Err((
                format!(
                    "The settings are of a newer version ({format}); they are left as they are, \
                     and changes are not kept: {}",
                    self.path.display()
                ),
                false,
            )),
            Err(Damage::NoSense) => Err(self.set_aside()),
        }
    }

    fn text(&self) -> std::io::Result<Option<Vec<u8>>> {
        let file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut text)?;
        Ok(Some(text))
    }

    fn set_aside(&self) -> (String, bool) {
        let name = |number: u32| {
            let mut name = self.path.file_name().unwrap_or_default().to_owned();
            name.push(if number == 1 {
                ".damaged".to_owned()
            } else {
                format!(".damaged-{number}")
            });
            self.path.with_file_name(name)
        };
        let aside = (1..1000).map(name).find(|aside| !aside.exists()).unwrap_or_else(|| name(1));
        match std::fs::rename(&self.path, &aside) {
            Ok(()) => {
                let text = "The settings were damaged and are as at first; the old file was kept";
                (format!("{text}: {}", aside.display()), true)
            }
            Err(error) => {
                let place = self.path.display();
                let text =
                    format!("The settings are damaged and cannot be moved ({error}): {place}");
                (text, false)
            }
        }
    }

    /// Writes what changed from `before` to `now` into the file, which another window may have
    /// written meanwhile.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn write(&self, before: &Settings, now: &Settings) -> Result<(), String> {
        let place = self.path.display();
        let fail = |reason: String| format!("The settings cannot be kept ({reason}): {place}");
        let found = self.text().ok().flatten().and_then(|text| parse(&text).ok());
        let mut merged = found.unwrap_or_default();
        merge(&before.modalities, &now.modalities, &mut merged.modalities);
        merge(&before.label_sets, &now.label_sets, &mut merged.label_sets);
        merge(&before.keys, &now.keys, &mut merged.keys);
        merged.format = FORMAT;
        let text =
            serde_json::to_string_pretty(&merged).map_err(|error| fail(error.to_string()))?;
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| fail(error.to_string()))?;
        }
        write_atomically(&self.path, |out| writeln!(out, "{text}")).map_err(|error| {
            format!("The settings cannot be kept: {}", crate::cli::error_line(&error))
        })
    }
}

/// Why a file is not used.
enum Damage {
    NoSense,
    Newer(u64),
}

fn parse(text: &[u8]) -> Result<Settings, Damage> {
    let value: serde_json::Value = serde_json::from_slice(text).map_err(|_| Damage::NoSense)?;
    let format = value.get("format").and_then(serde_json::Value::as_u64).ok_or(Damage::NoSense)?;
    if format > u64::from(FORMAT) {
        return Err(Damage::Newer(format));
    }
    serde_json::from_value(value).map_err(|_| Damage::NoSense)
}

/// Carries over what differs between two maps.
fn merge<T: PartialEq + Clone>(
    before: &BTreeMap<String, T>,
    now: &BTreeMap<String, T>,
    into: &mut BTreeMap<String, T>,
) {
    for (key, value) in now {
        if before.get(key) != Some(value) {
            into.insert(key.clone(), value.clone());
        }
    }
    for key in before.keys().filter(|key| !now.contains_key(*key)) {
        into.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gui::settings::{LabelLook, Look, ToolLook, WindowLook};
    use crate::gui::state::{Drawn, Layout};
    use crate::gui::tools::Tools;

    fn look(opacity: f32) -> Look {
        Look {
            window: Some(WindowLook::Values { center: 40.5, width: 400.0 }),
            layout: Layout::Three,
            opacity,
            drawn: Drawn::Outline,
            annotations: false,
            tools: Some(ToolLook::of(&Tools { radius_mm: 7.5, ..Tools::default() })),
        }
    }

    fn settings() -> Settings {
        let mut settings = Settings::default();
        settings.modalities.insert("ct".to_owned(), look(0.25));
        let preset = WindowLook::Preset { preset: "Lung".to_owned() };
        settings.modalities.insert("mr".to_owned(), Look { window: Some(preset), ..look(1.0) });
        let label = LabelLook { value: 2, name: "a \"b\"".to_owned(), color: [1, 2, 3] };
        settings.note_labels("labels 2", vec![label]);
        settings.keys.insert("Help".to_owned(), "F2".to_owned());
        settings
    }

    #[test]
    fn settings_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = SettingsFile::at(folder.path().join("new/folder/settings.json"));
        assert_eq!(file.read(), Ok(Settings::default()));
        file.write(&Settings::default(), &settings()).unwrap();
        assert_eq!(file.read(), Ok(settings()));
    }

    #[test]
    fn two_windows_do_not_undo_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = SettingsFile::at(folder.path().join("settings.json"));
        file.write(&Settings::default(), &settings()).unwrap();
        let mut one = settings();
        one.modalities.insert("ct".to_owned(), look(0.5));
        let mut other = settings();
        other.keys.clear();
        file.write(&settings(), &one).unwrap();
        file.write(&settings(), &other).unwrap();
        let read = file.read().unwrap();
        assert_eq!(read.modalities["ct"].opacity, 0.5);
        assert!(read.keys.is_empty());
    }

    #[test]
    fn a_damaged_file_is_kept_aside_and_a_newer_one_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        let file = SettingsFile::at(path.clone());
        let whole = serde_json::to_string(&settings()).unwrap();
        let wrong = whole.replace("\"outline\"", "\"scribbled\"");
        for (place, damaged) in [&whole[..whole.len() / 2], &wrong, "[]", "\0\0"].iter().enumerate()
        {
            std::fs::write(&path, damaged).unwrap();
            let (text, may_write) = file.read().unwrap_err();
            assert!(text.starts_with("The settings were damaged") && may_write, "{text}");
            assert!(!path.exists());
            let aside =
                if place == 0 { ".damaged".to_owned() } else { format!(".damaged-{}", place + 1) };
            let kept = std::fs::read_to_string(folder.path().join(format!("settings.json{aside}")));
            assert_eq!(kept.unwrap(), **damaged);
        }
        let newer = whole.replace("\"format\":1", "\"format\":9");
        std::fs::write(&path, &newer).unwrap();
        let (text, may_write) = file.read().unwrap_err();
        assert!(text.contains("newer version (9)") && !may_write, "{text}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), newer);
    }
}
