//! Colors and sizes: dark, calm, and the same everywhere.

use eframe::egui::{self, Color32, FontFamily, FontId, TextStyle, Visuals};

/// Behind everything.
pub const BEHIND: Color32 = Color32::from_rgb(10, 11, 13);
/// Of panels.
pub const PANEL: Color32 = Color32::from_rgb(27, 29, 33);
/// Of a pane.
pub const PANE: Color32 = Color32::BLACK;
/// Words.
pub const TEXT: Color32 = Color32::from_rgb(205, 208, 212);
/// Words that matter.
pub const BRIGHT: Color32 = Color32::from_rgb(240, 242, 245);
/// Words that matter less.
pub const FAINT: Color32 = Color32::from_rgb(138, 143, 150);
/// What is chosen.
pub const ACCENT: Color32 = Color32::from_rgb(86, 156, 214);
/// What went wrong.
pub const PROBLEM: Color32 = Color32::from_rgb(240, 120, 100);
/// What was compared and is right.
pub const VERIFIED: Color32 = Color32::from_rgb(120, 205, 120);
/// What is doubtful.
pub const DOUBT: Color32 = Color32::from_rgb(245, 180, 60);

/// One color for each plane: on its crosshair line and its title.
pub fn of_plane(plane: crate::gui::plane::Plane) -> Color32 {
    use crate::gui::plane::Plane;
    match plane {
        Plane::Axial => Color32::from_rgb(235, 110, 100),
        Plane::Coronal => Color32::from_rgb(120, 205, 120),
        Plane::Sagittal => Color32::from_rgb(240, 205, 90),
        Plane::Stored => ACCENT,
    }
}

/// Makes the window look so.
pub fn apply(ctx: &egui::Context) {
    ctx.set_theme(egui::Theme::Dark);
    let mut visuals = Visuals::dark();
    visuals.panel_fill = PANEL;
    visuals.window_fill = Color32::from_rgb(34, 36, 41);
    visuals.extreme_bg_color = Color32::from_rgb(18, 19, 22);
    visuals.override_text_color = Some(TEXT);
    visuals.selection.bg_fill = Color32::from_rgb(45, 85, 120);
    visuals.hyperlink_color = ACCENT;
    ctx.set_visuals_of(egui::Theme::Dark, visuals);
    ctx.all_styles_mut(|style| {
        let proportional = |size| FontId::new(size, FontFamily::Proportional);
        style.text_styles.insert(TextStyle::Body, proportional(13.5));
        style.text_styles.insert(TextStyle::Button, proportional(13.5));
        style.text_styles.insert(TextStyle::Heading, proportional(16.0));
        style.text_styles.insert(TextStyle::Small, proportional(12.0));
        style.text_styles.insert(TextStyle::Monospace, FontId::new(12.5, FontFamily::Monospace));
        style.spacing.item_spacing = egui::vec2(8.0, 5.0);
        style.spacing.button_padding = egui::vec2(8.0, 3.0);
        style.animation_time = 0.0;
    });
}
