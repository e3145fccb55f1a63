//! What is remembered from one day to the next: how images of a modality are looked at, how labels
//! look, which key does what.
//!
//! A modality is one of a few words and everything else numbers or our own names; of an image,
//! a patient or a path nothing is kept. Names of labels are: they are what the user called them.

mod place;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;

use lamina_io::Modality;
use lamina_io::atomic::write_atomically;
use serde::{Deserialize, Serialize};

use super::labels::LabelLayer;
use super::shades::{self, Window};
use super::state::{Drawn, Layout, State};
use super::tools::Tools;
pub use place::folder;

/// The form of the file.
const FORMAT: u32 = 1;

/// A file of settings is smaller than this.
const MOST_BYTES: u64 = 1 << 20;

/// Label sets that are remembered; of more, those that come first are forgotten.
const MOST_SETS: usize = 200;

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The form of the file.
    pub format: u32,
    /// By modality: `ct`, `mr`, `rgb`, `other` or `unknown`.
    pub modalities: BTreeMap<String, Look>,
    /// By what the labels are: `model NAME`, or `labels` and their numbers.
    pub label_sets: BTreeMap<String, Vec<LabelLook>>,
    /// Keys that were changed, by action.
    pub keys: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: FORMAT,
            modalities: BTreeMap::new(),
            label_sets: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }
}

/// How images of a modality are looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Brightness, where it is not that of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowLook>,
    /// Which planes are seen.
    pub layout: Layout,
    /// How opaque labels are.
    pub opacity: f32,
    /// Filled, outlined or both.
    pub drawn: Drawn,
    /// Whether crosshair, letters and scale are drawn.
    pub annotations: bool,
    /// How the tools are set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<ToolLook>,
}

/// How the tools are set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolLook {
    /// Radius of brush and eraser, in millimeters.
    pub radius_mm: f64,
    /// A ball instead of a disc.
    pub sphere: bool,
    /// Whether fill, grow and refinements stay within the slice.
    pub in_slice: bool,
    /// How far smoothing reaches.
    pub smooth_mm: f64,
    /// By how much labels are made larger or smaller.
    pub margin_mm: f64,
    /// Parts below this are small.
    pub small_ml: f64,
}

impl ToolLook {
    fn of(tools: &Tools) -> Self {
        let Tools { radius_mm, sphere, in_slice, smooth_mm, margin_mm, small_ml, .. } = *tools;
        Self { radius_mm, sphere, in_slice, smooth_mm, margin_mm, small_ml }
    }

    /// The tools, set so; what makes no sense stays as it is.
    fn set(&self, tools: &Tools) -> Tools {
        let numbers = [self.radius_mm, self.smooth_mm, self.margin_mm, self.small_ml];
        if !numbers.iter().all(|number| number.is_finite() && *number > 0.0) {
            return tools.clone();
        }
        let Self { radius_mm, sphere, in_slice, smooth_mm, margin_mm, small_ml } = *self;
        Tools { radius_mm, sphere, in_slice, smooth_mm, margin_mm, small_ml, ..tools.clone() }
            .sound()
    }
}

/// A window that is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WindowLook {
    /// One of ours, by name.
    Preset {
        /// Its name.
        preset: String,
    },
    /// One that was set by hand, where values mean the same in every image.
    Values {
        /// Its middle.
        center: f64,
        /// From black to white.
        width: f64,
    },
}

/// How a label looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelLook {
    /// Its number.
    pub value: u8,
    /// What the user calls it.
    pub name: String,
    /// What it is painted with.
    pub color: [u8; 3],
}

/// The word for a modality that settings are kept under. What a file may call it otherwise is
/// not repeated.
pub fn modality_key(modality: Option<&Modality>) -> &'static str {
    match modality {
        Some(Modality::Ct) => "ct",
        Some(Modality::Mr) => "mr",
        Some(Modality::Rgb) => "rgb",
        Some(_) => "other",
        None => "unknown",
    }
}

/// What labels are remembered under: the model that they are of, or their numbers. The name of a
/// file is not part of it.
pub fn label_set_key(layer: &LabelLayer, models: &[String]) -> String {
    if models.contains(&layer.origin) {
        return format!("model {}", layer.origin);
    }
    let values: Vec<String> = layer.classes.iter().map(|class| class.value.to_string()).collect();
    format!("labels {}", values.join(" "))
}

/// How the labels look now.
pub fn looks(layer: &LabelLayer) -> Vec<LabelLook> {
    let look = |class: &super::labels::LabelClass| LabelLook {
        value: class.value,
        name: class.name.clone(),
        color: class.color,
    };
    layer.classes.iter().map(look).collect()
}

impl Settings {
    /// Notes how the image that is open is looked at.
    pub fn note_look(&mut self, state: &State) {
        let Some(image) = &state.image else { return };
        let key = modality_key(image.volume.modality.as_ref());
        let look = Look {
            window: window_look(state),
            layout: state.layout,
            opacity: (state.overlay.opacity * 100.0).round() / 100.0,
            drawn: state.overlay.drawn,
            annotations: state.annotations,
            tools: Some(ToolLook::of(&state.tools)),
        };
        if self.modalities.get(key) != Some(&look) {
            self.modalities.insert(key.to_owned(), look);
        }
    }

    /// Looks at the image that was just opened as at the last one of its modality.
    pub fn apply_look(&self, state: &mut State) {
        let Some(image) = &state.image else { return };
        let key = modality_key(image.volume.modality.as_ref());
        let Some(look) = self.modalities.get(key) else { return };
        match &look.window {
            Some(WindowLook::Preset { preset }) => {
                if let Some(preset) = image.presets.iter().find(|known| known.name == *preset) {
                    state.window = preset.window;
                }
            }
            Some(WindowLook::Values { center, width })
                if center.is_finite() && width.is_finite() && *width > 0.0 =>
            {
                state.window = Window { center: *center, width: *width };
            }
            _ => {}
        }
        state.layout = look.layout;
        if (0.0..=1.0).contains(&look.opacity) {
            state.overlay.opacity = look.opacity;
        }
        state.overlay.drawn = look.drawn;
        state.annotations = look.annotations;
        if let Some(tools) = &look.tools {
            state.tools = tools.set(&state.tools);
        }
    }

    /// Notes how labels look.
    pub fn note_labels(&mut self, key: &str, looks: Vec<LabelLook>) {
        while self.label_sets.len() >= MOST_SETS && !self.label_sets.contains_key(key) {
            self.label_sets.pop_first();
        }
        self.label_sets.insert(key.to_owned(), looks);
    }

    /// Lets labels look as they did.
    pub fn apply_labels(&self, key: &str, layer: &mut LabelLayer) {
        for look in self.label_sets.get(key).into_iter().flatten() {
            if layer.class(look.value).is_some_and(|c| c.name != look.name || c.color != look.color)
            {
                layer.change_row(look.value, |class| {
                    class.name.clone_from(&look.name);
                    class.color = look.color;
                });
            }
        }
    }
}

/// The window, if it is another than the image was opened with and can be remembered: by the name
/// of a preset of ours, or by its values where those are Hounsfield units.
fn window_look(state: &State) -> Option<WindowLook> {
    let image = state.image.as_ref()?;
    if image.presets.first().is_some_and(|first| first.window == state.window) {
        return None;
    }
    let chosen = image.presets.iter().find(|preset| preset.window == state.window);
    match chosen {
        Some(preset) if shades::is_own_preset(&preset.name) => {
            Some(WindowLook::Preset { preset: preset.name.clone() })
        }
        _ if image.volume.modality == Some(Modality::Ct) => {
            let Window { center, width } = state.window;
            Some(WindowLook::Values { center, width })
        }
        _ => None,
    }
}

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

    #[test]
    fn a_modality_in_the_words_of_a_file_is_not_repeated() {
        let other = Modality::Other("Marker^Patricia".to_owned());
        assert_eq!(modality_key(Some(&other)), "other");
    }

    #[test]
    fn no_more_label_sets_than_are_of_use() {
        let mut settings = Settings::default();
        for number in 0..2 * MOST_SETS {
            settings.note_labels(&format!("labels {number}"), Vec::new());
        }
        assert_eq!(settings.label_sets.len(), MOST_SETS);
    }
}
