//! How images of a modality are looked at, and how the tools are set for them.

use lamina_io::Modality;
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::gui::shades::{self, Window};
use crate::gui::state::{Drawn, Layout, State};
use crate::gui::tools::Tools;

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
    pub(super) fn of(tools: &Tools) -> Self {
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
        // Side by side is for a comparison, not for the next image.
        state.layout = match look.layout {
            Layout::Beside => Layout::Four,
            layout => layout,
        };
        if (0.0..=1.0).contains(&look.opacity) {
            state.overlay.opacity = look.opacity;
        }
        state.overlay.drawn = look.drawn;
        state.annotations = look.annotations;
        if let Some(tools) = &look.tools {
            state.tools = tools.set(&state.tools);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modality_in_the_words_of_a_file_is_not_repeated() {
        let other = Modality::Other("Marker^Patricia".to_owned());
        assert_eq!(modality_key(Some(&other)), "other");
    }
}
