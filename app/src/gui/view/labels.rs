//! The table of labels.

use eframe::egui::{self, Rect, RichText, Stroke, StrokeKind, Ui, pos2, vec2};

use super::{menu, style, tools};
use crate::gui::command::{Action, Command, Edit};
use crate::gui::labels::{LabelClass, LabelLayer};
use crate::gui::state::{Drawn, State};

/// Draws the labels: how they look, one row each, and what can be done to them.
pub fn labels_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("Labels").size(14.5).color(style::BRIGHT));
        ui.add_enabled_ui(state.labels.is_some(), |ui| {
            let mut shown = state.overlay.labels;
            let tip = state.tooltip(Action::ToggleLabels);
            if ui.checkbox(&mut shown, "Show").on_hover_text(tip).changed() {
                commands.push(Command::Do(Action::ToggleLabels));
            }
            let text = match state.overlay.drawn {
                Drawn::Both => "Fill and outline",
                Drawn::Fill => "Fill",
                Drawn::Outline => "Outline",
            };
            if ui.button(text).on_hover_text(state.tooltip(Action::ToggleFill)).clicked() {
                commands.push(Command::Do(Action::ToggleFill));
            }
        });
    });
    let Some(layer) = &state.labels else {
        let text = "None yet: segment, open a label file, or paint";
        ui.label(RichText::new(text).color(style::FAINT));
        menu::button(ui, state, Action::OpenLabels, commands);
        return;
    };
    ui.horizontal(|ui| {
        let name = ui.label("Opacity");
        let mut opacity = state.overlay.opacity;
        let slider = egui::Slider::new(&mut opacity, 0.0..=1.0).show_value(false);
        if ui.add(slider).labelled_by(name.id).changed() {
            commands.push(Command::Opacity(opacity));
        }
    });
    if !state.exporting.nameless {
        let origin = RichText::new(format!("From {}", layer.origin)).small().color(style::FAINT);
        ui.add(egui::Label::new(origin).truncate());
    }
    for class in &layer.classes {
        ui.horizontal(|ui| row_ui(ui, state, layer, class, commands));
    }
    if layer.classes.is_empty() {
        ui.label(RichText::new("No voxel has a label").color(style::FAINT));
    }
    ui.add_space(4.0);
    ui.horizontal_wrapped(|ui| {
        menu::button(ui, state, Action::SaveLabels, commands);
        menu::button(ui, state, Action::Export, commands);
        menu::button(ui, state, Action::NewLabel, commands);
        super::export::badge_ui(ui, state);
    });
    egui::CollapsingHeader::new("Refine the chosen label")
        .show(ui, |ui| tools::refine_ui(ui, state, commands));
    egui::CollapsingHeader::new("History").show(ui, |ui| tools::history_ui(ui, state));
}

fn row_ui(
    ui: &mut Ui,
    state: &State,
    layer: &LabelLayer,
    class: &LabelClass,
    commands: &mut Vec<Command>,
) {
    let value = class.value;
    let mut visible = class.visible;
    if named_checkbox(ui, &mut visible, "", &format!("Show {}", class.name)) {
        commands.push(Command::ShowLabel(value, visible));
    }
    let mut color = class.color;
    if ui.color_edit_button_srgb(&mut color).changed() {
        commands.push(Command::ColorLabel(value, color));
    }
    let size = match layer.volume_ml(value) {
        Some(ml) if ml >= 100.0 => format!("{ml:.0} ml"),
        Some(ml) => format!("{ml:.2} ml"),
        None => format!("{} px", layer.count(value)),
    };
    ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
        ui.add_space(ui.spacing().scroll.bar_width); // which may lie over the edge
        let locked = state.tools.locked.contains(value);
        let tip = format!("{} {}", if locked { "Unlock" } else { "Lock" }, class.name);
        if padlock_ui(ui, locked, &tip).clicked() {
            commands.push(Command::Edit(Edit::Lock(value, !locked)));
        }
        ui.label(size);
        ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
            name_ui(ui, state, class, commands);
        });
    });
}

/// The name: a click chooses the label, a double click lets it be typed.
fn name_ui(ui: &mut Ui, state: &State, class: &LabelClass, commands: &mut Vec<Command>) {
    let value = class.value;
    let id = ui.scope_id().with(("name of", value));
    let typed: Option<String> = ui.data(|data| data.get_temp(id));
    if let Some(mut typed) = typed {
        let field = ui.add(egui::TextEdit::singleline(&mut typed).desired_width(f32::INFINITY));
        field.request_focus();
        let (entered, dropped) = ui.input(|input| {
            (input.key_pressed(egui::Key::Enter), input.key_pressed(egui::Key::Escape))
        });
        let over = entered || dropped || field.clicked_elsewhere();
        if over {
            let name = typed.trim();
            if !dropped && !name.is_empty() {
                commands.push(Command::Edit(Edit::Rename(value, name.to_owned())));
            }
            ui.data_mut(|data| data.remove::<String>(id));
        } else {
            ui.data_mut(|data| data.insert_temp(id, typed));
        }
        return;
    }
    let chosen = state.tools.label == value;
    let button = egui::Button::selectable(chosen, &class.name).truncate();
    let answer = ui.add(button).on_hover_text("Click to paint with it, double click to rename");
    if answer.double_clicked() {
        ui.data_mut(|data| data.insert_temp(id, class.name.clone()));
    } else if answer.clicked() {
        let tools = crate::gui::tools::Tools { label: value, ..state.tools.clone() };
        commands.push(Command::Edit(Edit::Set(Box::new(tools))));
    }
}

/// A checkbox that says what it is about to those who do not see the row.
fn named_checkbox(ui: &mut Ui, checked: &mut bool, text: &str, name: &str) -> bool {
    let answer = ui.checkbox(checked, text);
    answer.widget_info(|| {
        egui::WidgetInfo::selected(egui::Role::CheckBox, true, *checked, name.to_owned())
    });
    answer.on_hover_text(name).changed()
}

/// A padlock, bright and closed where it locks.
fn padlock_ui(ui: &mut Ui, locked: bool, name: &str) -> egui::Response {
    let (rect, answer) = ui.allocate_exact_size(vec2(16.0, 18.0), egui::Sense::click());
    let color = match (locked, answer.hovered()) {
        (true, _) => style::DOUBT,
        (false, true) => style::BRIGHT,
        (false, false) => style::FAINT,
    };
    let body = Rect::from_center_size(rect.center() + vec2(0.0, 3.0), vec2(10.0, 7.0));
    let lift = if locked { 0.0 } else { 2.5 };
    let bow = Rect::from_min_max(
        pos2(body.left() + 2.0, body.top() - 5.0 - lift),
        pos2(body.right() - 2.0, body.top() + 2.0 - lift),
    );
    let painter = ui.painter();
    painter.rect_stroke(bow, 3.0, Stroke::new(1.4, color), StrokeKind::Middle);
    if locked {
        painter.rect_filled(body, 1.5, color);
    } else {
        painter.rect_filled(body, 1.5, style::PANEL);
        painter.rect_stroke(body, 1.5, Stroke::new(1.2, color), StrokeKind::Inside);
    }
    answer.widget_info(|| {
        egui::WidgetInfo::selected(egui::Role::Button, true, locked, name.to_owned())
    });
    answer.on_hover_text(format!("{name}: a locked label neither loses nor gains a voxel"))
}
