//! The menu and the buttons on top.

use eframe::egui::{self, Ui};

use lamina_edit::Session;

use super::style;
use crate::gui::command::{Action, Command, ENTRIES};
use crate::gui::labels::LabelLayer;
use crate::gui::state::{Layout, State};
use crate::gui::tools::{Refinement as R, Tool as T};

/// What writes files but labels alone.
const EXPORTS: [Action; 4] =
    [Action::Export, Action::CaseReport, Action::Screenshot, Action::SaveSession];

/// Draws menu and buttons.
pub fn menu_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.add_space(2.0);
    egui::MenuBar::new().ui(ui, |ui| {
        ui.menu_button("File", |ui| {
            items(ui, state, commands, &[Action::OpenFile, Action::OpenFolder, Action::OpenPath]);
            ui.add_enabled_ui(!state.recent.is_empty(), |ui| {
                ui.menu_button("Recent", |ui| {
                    for path in &state.recent {
                        let name = path.file_name().unwrap_or(path.as_os_str());
                        if ui.button(name.to_string_lossy()).clicked() {
                            commands.push(Command::Open(vec![path.clone()]));
                            ui.close();
                        }
                    }
                    ui.weak("Forgotten when the program ends");
                });
            });
            ui.separator();
            items(ui, state, commands, &[Action::OpenLabels, Action::SaveLabels]);
            items(ui, state, commands, &[Action::OpenReference, Action::OpenWorklist]);
            ui.separator();
            items(ui, state, commands, &EXPORTS);
            ui.separator();
            items(ui, state, commands, &[Action::Close, Action::Quit]);
        });
        ui.menu_button("Edit", |ui| {
            use Action as A;
            items(ui, state, commands, &[A::Undo, A::Redo]);
            ui.separator();
            let tools = [T::Crosshair, T::Brush, T::Eraser, T::Polygon, T::Fill, T::Grow];
            items(ui, state, commands, &tools.map(A::Tool));
            ui.separator();
            items(ui, state, commands, &[A::NextLabel, A::PreviousLabel, A::NewLabel]);
            items(ui, state, commands, &[A::LargerBrush, A::SmallerBrush]);
            items(ui, state, commands, &[A::ClosePolygon, A::DropCorner]);
        });
        ui.menu_button("View", |ui| {
            use Action as A;
            items(ui, state, commands, &[A::FourPanes, A::ThreePanes, A::OnePane]);
            ui.separator();
            items(ui, state, commands, &[A::ZoomIn, A::ZoomOut, A::ResetView, A::CenterCrosshair]);
            presets_ui(ui, state, commands);
            items(ui, state, commands, &[A::ResetWindow, A::Invert, A::ToggleAnnotations]);
        });
        ui.menu_button("Labels", |ui| {
            use Action as A;
            items(ui, state, commands, &[A::ToggleLabels, A::ToggleFill]);
            items(ui, state, commands, &[A::MoreOpaque, A::LessOpaque]);
            ui.separator();
            let first = [R::Interpolate, R::FillHoles, R::KeepLargest, R::RemoveSmall];
            items(ui, state, commands, &first.map(A::Refine));
            items(ui, state, commands, &[R::Smooth, R::Widen, R::Narrow, R::Add].map(A::Refine));
            items(ui, state, commands, &[R::Subtract, R::Intersect].map(A::Refine));
        });
        ui.menu_button("Model", |ui| {
            use Action as A;
            items(ui, state, commands, &[A::Segment, A::RerunSlice, A::Cancel]);
            ui.separator();
            items(ui, state, commands, &[A::ModelCard, A::AddBundle]);
            ui.separator();
            items(ui, state, commands, &[A::NextDoubtful, A::PreviousDoubtful, A::ToggleDoubt]);
        });
        ui.menu_button("Compare", |ui| {
            use Action as A;
            items(ui, state, commands, &[A::OpenReference, A::CloseReference]);
            items(ui, state, commands, &[A::Beside, A::OutlineReference]);
            items(ui, state, commands, &[A::NextBad, A::PreviousBad, A::WorstPoint]);
            ui.separator();
            items(ui, state, commands, &[A::OpenWorklist, A::NextCase, A::PreviousCase]);
            items(ui, state, commands, &[A::Accept, A::Flag]);
        });
        ui.menu_button("Help", |ui| items(ui, state, commands, &[Action::Help]));
        ui.separator();
        for (action, layout) in [
            (Action::FourPanes, Layout::Four),
            (Action::ThreePanes, Layout::Three),
            (Action::OnePane, Layout::One),
            (Action::Beside, Layout::Beside),
        ] {
            layout_button(ui, state, action, layout, commands);
        }
        if let Some(image) = state.image.as_ref().filter(|_| !state.exporting.nameless) {
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let name = egui::RichText::new(&image.name).color(style::BRIGHT);
                ui.add(egui::Label::new(name).truncate());
            });
        }
    });
    ui.add_space(2.0);
}

/// The windows to look through, with the keys of the first five.
fn presets_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let presets = state.image.as_ref().map_or(&[][..], |image| &image.presets);
    ui.add_enabled_ui(!presets.is_empty(), |ui| {
        ui.menu_button("Brightness", |ui| {
            for (index, preset) in presets.iter().enumerate() {
                let mut button = egui::Button::new(&preset.name);
                let entry = ENTRIES.iter().find(|row| row.action == Action::Preset(index as u8));
                if let Some(key) = entry.and_then(|entry| entry.shortcut) {
                    button = button.shortcut_text(key.text());
                }
                if ui.add(button).clicked() {
                    commands.push(Command::Preset(index));
                    ui.close();
                }
            }
        });
    });
}

/// Whether an action makes sense now.
fn possible(action: Action, state: &State) -> bool {
    let open = state.image.is_some();
    let session = state.labels.as_ref().map(LabelLayer::session);
    match action {
        Action::Segment | Action::RerunSlice => {
            open && state.segmenting.is_none() && !state.models.is_empty()
        }
        Action::ModelCard => !state.models.is_empty(),
        Action::Cancel => state.segmenting.is_some() || state.opening.is_some(),
        Action::SaveLabels => state.labels.is_some() && state.segmenting.is_none(),
        Action::NextDoubtful | Action::PreviousDoubtful | Action::ToggleDoubt => {
            state.doubt.is_some()
        }
        Action::ToggleLabels | Action::ToggleFill | Action::MoreOpaque | Action::LessOpaque => {
            state.labels.is_some()
        }
        Action::Undo => session.is_some_and(|session| session.undoable().is_some()),
        Action::Redo => session.is_some_and(|session| session.redoable().is_some()),
        Action::ClosePolygon | Action::DropCorner => state.tools.draft.is_some(),
        Action::Refine(R::Subtract | R::Intersect) => session.is_some_and(Session::has_second),
        Action::Refine(_) => {
            state.labels.as_ref().is_some_and(|layer| layer.count(state.tools.label) > 0)
        }
        Action::NextLabel | Action::PreviousLabel => state.labels.is_some(),
        Action::AddBundle
        | Action::OpenFile
        | Action::OpenFolder
        | Action::OpenPath
        | Action::OpenWorklist
        | Action::Quit
        | Action::Help => true,
        Action::CloseReference | Action::HoldReference | Action::OutlineReference => {
            state.compare.reference.is_some()
        }
        Action::NextBad | Action::PreviousBad => state.compare.measured.is_some(),
        Action::WorstPoint => state.compare.worst().is_some(),
        Action::NextCase | Action::PreviousCase => state.worklist.is_some(),
        Action::Accept | Action::Flag => {
            state.worklist.as_ref().is_some_and(|list| list.current.is_some())
        }
        _ => open,
    }
}

fn items(ui: &mut Ui, state: &State, commands: &mut Vec<Command>, actions: &[Action]) {
    for &action in actions {
        let entry = action.entry();
        let mut button = egui::Button::new(entry.label);
        if let Some(shortcut) = state.keyboard.map.shortcut(action) {
            button = button.shortcut_text(shortcut.text());
        }
        let answer = ui.add_enabled(possible(action, state), button);
        if answer.on_hover_text(entry.tooltip).clicked() {
            commands.push(Command::Do(action));
            ui.close();
        }
    }
}

/// A button of an action.
pub fn button(ui: &mut Ui, state: &State, action: Action, commands: &mut Vec<Command>) {
    let answer = ui.add_enabled(possible(action, state), egui::Button::new(action.label()));
    if answer.on_hover_text(state.tooltip(action)).clicked() {
        commands.push(Command::Do(action));
    }
}

/// A small picture of a layout that chooses it.
fn layout_button(
    ui: &mut Ui,
    state: &State,
    action: Action,
    layout: Layout,
    commands: &mut Vec<Command>,
) {
    let chosen = state.layout == layout;
    let (rect, response) = ui.allocate_exact_size(egui::vec2(24.0, 18.0), egui::Sense::click());
    let color = match (chosen, response.hovered()) {
        (true, _) => style::ACCENT,
        (false, true) => style::BRIGHT,
        (false, false) => style::FAINT,
    };
    let inner = rect.shrink2(egui::vec2(3.0, 2.0));
    let stroke = egui::Stroke::new(1.3, color);
    let painter = ui.painter();
    painter.rect_stroke(inner, 1.5, stroke, egui::StrokeKind::Inside);
    let across = |x: f32| inner.left() + x * inner.width();
    match layout {
        Layout::One => {}
        Layout::Beside => {
            painter.vline(across(0.5), inner.y_range(), stroke);
        }
        Layout::Three => {
            painter.vline(across(0.66), inner.y_range(), stroke);
            painter.hline(across(0.66)..=inner.right(), inner.center().y, stroke);
        }
        Layout::Four => {
            painter.vline(across(0.5), inner.y_range(), stroke);
            painter.hline(inner.x_range(), inner.center().y, stroke);
        }
    }
    response.widget_info(|| {
        egui::WidgetInfo::selected(egui::Role::Button, true, chosen, action.label())
    });
    if response.on_hover_text(state.tooltip(action)).clicked() {
        commands.push(Command::Do(action));
    }
}
