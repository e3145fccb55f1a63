//! The row of tools, and what each of them is set to.

use eframe::egui::{self, Color32, RichText, Ui};

use super::{menu, style};
use crate::gui::command::{Action, Command, Edit};
use crate::gui::state::State;
use crate::gui::tools::{PaintOver, Refinement, Tool, Tools};

/// In the order of their keys.
const TOOLS: [Tool; 6] =
    [Tool::Crosshair, Tool::Brush, Tool::Eraser, Tool::Polygon, Tool::Fill, Tool::Grow];

/// Draws the row.
pub fn tools_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let mut tools = state.tools.clone();
    ui.horizontal_wrapped(|ui| {
        for tool in TOOLS {
            let action = Action::Tool(tool);
            let button = egui::Button::selectable(tools.tool == tool, action.label());
            if ui.add(button).on_hover_text(state.tooltip(action)).clicked() {
                commands.push(Command::Do(action));
            }
        }
        ui.separator();
        menu::button(ui, state, Action::Undo, commands);
        menu::button(ui, state, Action::Redo, commands);
        if tools.tool == Tool::Crosshair {
            return;
        }
        ui.separator();
        chosen_label(ui, state);
        settings_ui(ui, state, &mut tools, commands);
    });
    if tools != state.tools {
        commands.push(Command::Edit(Edit::Set(Box::new(tools))));
    }
}

/// The label that is painted, in its color.
fn chosen_label(ui: &mut Ui, state: &State) {
    let row = state.labels.as_ref().and_then(|layer| layer.class(state.tools.label));
    let (name, color) = match row {
        Some(row) => {
            (row.name.clone(), Color32::from_rgb(row.color[0], row.color[1], row.color[2]))
        }
        None => (format!("Label {}", state.tools.label), style::FAINT),
    };
    let (rect, _) = ui.allocate_exact_size(egui::vec2(12.0, 12.0), egui::Sense::hover());
    ui.painter().rect_filled(rect, 2.0, color);
    ui.label(name).on_hover_text("Paints this label; choose another in the table, or by , and .");
}

fn settings_ui(ui: &mut Ui, state: &State, tools: &mut Tools, commands: &mut Vec<Command>) {
    let unit = match state.image.as_ref().and_then(|image| image.volume.geometry.spacing_mm()) {
        Some(_) => " mm",
        None => " px",
    };
    match tools.tool {
        Tool::Brush | Tool::Eraser => {
            number(ui, "Radius", &mut tools.radius_mm, 0.05, unit);
            ui.checkbox(&mut tools.sphere, "Ball")
                .on_hover_text("Paints a ball across slices instead of a disc in one");
        }
        Tool::Polygon => {
            let drawn = tools.draft.as_ref().map_or(0, |draft| draft.corners.len());
            ui.add_enabled_ui(drawn >= 3, |ui| {
                menu::button(ui, state, Action::ClosePolygon, commands);
            });
        }
        Tool::Grow => number(ui, "Tolerance", &mut tools.tolerance, 1.0, ""),
        Tool::Fill | Tool::Crosshair => {}
    }
    if matches!(tools.tool, Tool::Fill | Tool::Grow) {
        ui.checkbox(&mut tools.in_slice, "This slice only");
    }
    ui.separator();
    over_ui(ui, state, tools);
    ui.checkbox(&mut tools.limited, "Values").on_hover_text(
        "Change only voxels whose image value lies in this range, whatever the tool",
    );
    if tools.limited {
        number(ui, "from", &mut tools.values[0], 1.0, "");
        number(ui, "to", &mut tools.values[1], 1.0, "");
    }
}

/// What may be painted over.
fn over_ui(ui: &mut Ui, state: &State, tools: &mut Tools) {
    let name = |over: PaintOver| match over {
        PaintOver::Anything => "Over anything".to_owned(),
        PaintOver::Background => "Not over other labels".to_owned(),
        PaintOver::Inside(value) => {
            let row = state.labels.as_ref().and_then(|layer| layer.class(value));
            format!("Only inside {}", row.map_or("a label", |row| &row.name))
        }
    };
    let answer = egui::ComboBox::from_id_salt("over")
        .selected_text(name(tools.over))
        .width(150.0)
        .show_ui(ui, |ui| {
            let inside = state.labels.iter().flat_map(|layer| &layer.classes);
            let inside = inside.map(|class| PaintOver::Inside(class.value));
            for over in [PaintOver::Anything, PaintOver::Background].into_iter().chain(inside) {
                ui.selectable_value(&mut tools.over, over, name(over));
            }
        });
    answer.response.on_hover_text("Which voxels tools may change. Locked labels always stay.");
}

fn number(ui: &mut Ui, name: &str, value: &mut f64, speed: f64, unit: &str) {
    let label = ui.label(name);
    let field = egui::DragValue::new(value).speed(speed).max_decimals(2).suffix(unit);
    ui.add(field).labelled_by(label.id);
}

/// What is done to the whole label that is chosen.
pub fn refine_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    use Refinement as R;
    let mut tools = state.tools.clone();
    let mut button = |ui: &mut Ui, refinement: R| {
        menu::button(ui, state, Action::Refine(refinement), commands);
    };
    let has_spacing =
        state.image.as_ref().is_some_and(|i| i.volume.geometry.spacing_mm().is_some());
    let unit = if has_spacing { " mm" } else { " px" };
    ui.checkbox(&mut tools.in_slice, "In this slice only").on_hover_text(
        "Otherwise the whole volume; interpolation always goes across slices of the plane in use",
    );
    ui.horizontal_wrapped(|ui| {
        button(ui, R::Interpolate);
        button(ui, R::FillHoles);
        button(ui, R::KeepLargest);
    });
    ui.horizontal(|ui| {
        button(ui, R::RemoveSmall);
        number(ui, "below", &mut tools.small_ml, 0.01, " ml");
    });
    ui.horizontal(|ui| {
        button(ui, R::Smooth);
        number(ui, "over", &mut tools.smooth_mm, 0.05, unit);
    });
    ui.horizontal(|ui| {
        button(ui, R::Widen);
        button(ui, R::Narrow);
        number(ui, "by", &mut tools.margin_mm, 0.05, unit);
    });
    ui.horizontal(|ui| {
        button(ui, R::Add);
        let rows = state.labels.iter().flat_map(|layer| &layer.classes);
        let name = |value: u8| {
            let row = state.labels.as_ref().and_then(|layer| layer.class(value));
            row.map_or_else(|| format!("Label {value}"), |row| row.name.clone())
        };
        egui::ComboBox::from_id_salt("other").selected_text(name(tools.other)).show_ui(ui, |ui| {
            for row in rows {
                ui.selectable_value(&mut tools.other, row.value, &row.name);
            }
        });
    });
    if state.labels.as_ref().is_some_and(|layer| layer.session().has_second()) {
        ui.horizontal_wrapped(|ui| {
            button(ui, R::Subtract);
            button(ui, R::Intersect);
        });
    }
    if tools != state.tools {
        commands.push(Command::Edit(Edit::Set(Box::new(tools))));
    }
}

/// What was done, the last first; what was undone faint.
pub fn history_ui(ui: &mut Ui, state: &State) {
    let Some(layer) = &state.labels else { return };
    let (steps, done) = layer.session().steps();
    let steps: Vec<_> = steps.enumerate().collect();
    if steps.is_empty() {
        ui.label(RichText::new("Nothing was changed yet").color(style::FAINT));
    }
    for (place, step) in steps.into_iter().rev().take(100) {
        let color = if place < done { style::TEXT } else { style::FAINT };
        let label = step.label.and_then(|label| layer.class(label)).map(|row| row.name.as_str());
        let label = label.map_or(String::new(), |name| format!(", {name}"));
        let undone = if place < done { "" } else { " (undone)" };
        let voxels = if step.voxels == 1 { "voxel" } else { "voxels" };
        let text = format!("{}{label}: {} {voxels}{undone}", step.tool, step.voxels);
        let line = egui::Label::new(RichText::new(text).color(color).small()).truncate();
        ui.add(line).on_hover_text(step.time.to_string());
    }
}
