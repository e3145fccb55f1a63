//! The panel beside the planes: brightness, the model, the labels; and the facts of the image.

use eframe::egui::{self, Color32, Rect, RichText, Ui};

use super::dialogs::FLAWS;
use super::{labels, model, style};
use crate::gui::command::Command;
use crate::gui::plane::{Plane, PlaneView};
use crate::gui::shades::Window;
use crate::gui::state::{Layout, State};

/// Draws the panel.
pub fn side_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.add_space(4.0);
        ui.add_enabled_ui(state.image.is_some(), |ui| window_ui(ui, state, commands));
        ui.add_space(6.0);
        ui.separator();
        model::model_ui(ui, state, commands);
        ui.add_space(6.0);
        ui.separator();
        labels::labels_ui(ui, state, commands);
        // Where no pane is left for it.
        let has_pane = state.layout == Layout::Four && state.views().len() > 1;
        if state.image.is_some() && !has_pane {
            ui.add_space(6.0);
            ui.separator();
            facts_ui(ui, state);
        }
    });
}

fn heading(ui: &mut Ui, text: &str) -> egui::Id {
    ui.label(RichText::new(text).size(14.5).color(style::BRIGHT)).id
}

fn window_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let name = heading(ui, "Brightness");
    let presets = state.image.as_ref().map_or(&[][..], |image| &image.presets);
    let chosen = presets.iter().find(|preset| preset.window == state.window);
    egui::ComboBox::from_id_salt("presets")
        .width(ui.available_width() - 8.0)
        .selected_text(chosen.map_or("By hand", |preset| &preset.name))
        .show_ui(ui, |ui| {
            for (index, preset) in presets.iter().enumerate() {
                if ui.selectable_label(chosen == Some(preset), &preset.name).clicked() {
                    commands.push(Command::Preset(index));
                }
            }
        })
        .response
        .labelled_by(name);
    let Window { mut center, mut width } = state.window;
    let speed = presets.first().map_or(1.0, |preset| preset.window.width) / 400.0;
    ui.horizontal(|ui| {
        let name = ui.label("Center");
        let value = egui::DragValue::new(&mut center).speed(speed).max_decimals(3);
        let moved = ui.add(value).labelled_by(name.id).changed();
        let name = ui.label("Width");
        let value = egui::DragValue::new(&mut width).speed(speed).max_decimals(3);
        let widened = ui.add(value).labelled_by(name.id).changed();
        if (moved || widened) && center.is_finite() && width.is_finite() {
            commands.push(Command::Window(Window { center, width: width.max(1e-6) }));
        }
    });
    ui.label(RichText::new("Drag with the right button in a plane").small().color(style::FAINT));
}

/// What is known of the image.
fn facts_ui(ui: &mut Ui, state: &State) {
    let Some(image) = &state.image else { return };
    heading(ui, "Image");
    let volume = &image.volume;
    let [depth, height, width] = volume.shape();
    let mut rows = vec![("Voxels", format!("{width} × {height} × {depth}"))];
    if let Some([x, y, z]) = volume.geometry.spacing_mm() {
        rows.push(("Spacing", format!("{x:.3} × {y:.3} × {z:.3} mm")));
        if image.views.iter().all(|view| view.plane != Plane::Stored) {
            rows.push(("Axes run to", volume.geometry.orientation()));
        } else {
            rows.push(("Place", "not said by the file".to_owned()));
        }
    } else {
        rows.push(("Spacing", "not known, in pixels".to_owned()));
    }
    if let Some(caveat) = image.views.iter().find_map(PlaneView::caveat) {
        rows.push(("Direction", caveat));
    }
    rows.push(("Stored as", volume.voxels.stored_type().name().to_owned()));
    if let Some(modality) = &volume.modality {
        rows.push(("Modality", modality.name().to_uppercase()));
    }
    egui::Grid::new("facts").num_columns(2).spacing([14.0, 4.0]).show(ui, |ui| {
        for (name, value) in rows {
            ui.label(RichText::new(name).color(style::FAINT));
            ui.label(value);
            ui.end_row();
        }
    });
    if !image.flaws.is_empty() {
        let text = format!("{}. {FLAWS}.", image.flaws.join("; "));
        ui.add(egui::Label::new(RichText::new(text).color(style::DOUBT)).wrap());
    }
}

/// What is known of the image, in the pane that no plane needs, and what the pointer does.
pub fn facts_pane_ui(ui: &mut Ui, state: &State, rect: Rect) {
    let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(rect.shrink(14.0)));
    ui.set_clip_rect(rect);
    let ui = &mut ui;
    facts_ui(ui, state);
    ui.add_space(12.0);
    heading(ui, "Pointer");
    let hints = [
        ("Left", "crosshair"),
        ("Right drag", "brightness and contrast"),
        ("Middle or Shift drag", "move"),
        ("Wheel", "slices"),
        ("Ctrl + wheel", "zoom"),
        ("Double click", "enlarge"),
        ("F1", "all keys"),
    ];
    egui::Grid::new("hints").num_columns(2).spacing([14.0, 3.0]).show(ui, |ui| {
        for (name, value) in hints {
            ui.label(RichText::new(name).color(Color32::from_gray(175)));
            ui.label(RichText::new(value).color(style::FAINT));
            ui.end_row();
        }
    });
}
