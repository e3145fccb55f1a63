//! The dialog of exports, and the badge that tells whether labels were verified.

use eframe::egui::{self, Align2, RichText, Ui, vec2};

use super::style;
use crate::gui::command::Command;
use crate::gui::export::{Badge, ExportCommand, Form, LabelFormat, LabelRow, TableFormat, What};
use crate::gui::state::{RESEARCH_USE, State};

/// Draws the dialog, while it is open.
pub fn export_ui(ctx: &egui::Context, state: &State, commands: &mut Vec<Command>) {
    let Some(form) = &state.exporting.form else { return };
    if state.exporting.nameless {
        return; // it would be in the picture
    }
    let mut open = true;
    egui::Window::new("Export")
        .open(&mut open)
        .anchor(Align2::CENTER_CENTER, vec2(0.0, 0.0))
        .collapsible(false)
        .resizable(false)
        .show(ctx, |ui| {
            ui.set_width((ctx.content_rect().width() - 80.0).min(560.0));
            let room = (ctx.content_rect().height() - 140.0).max(160.0);
            egui::ScrollArea::vertical().max_height(room).min_scrolled_height(room).show(
                ui,
                |ui| {
                    form_ui(ui, state, form, commands);
                },
            );
        });
    if !open {
        commands.push(Command::Export(ExportCommand::Close));
    }
}

fn form_ui(ui: &mut Ui, state: &State, form: &Form, commands: &mut Vec<Command>) {
    let mut push = |command| commands.push(Command::Export(command));
    let faint =
        |text: &str| egui::Label::new(RichText::new(text).small().color(style::FAINT)).wrap();
    egui::Grid::new("export").num_columns(2).spacing([12.0, 8.0]).show(ui, |ui| {
        let name = ui.label("What").id;
        egui::ComboBox::from_id_salt("what")
            .width(300.0)
            .selected_text(form.what.label())
            .show_ui(ui, |ui| {
                for what in What::ALL {
                    let possible = !what.needs_labels() || state.labels.is_some();
                    let chosen = form.what == what;
                    let answer =
                        ui.add_enabled(possible, egui::Button::selectable(chosen, what.label()));
                    if answer.clicked() {
                        push(ExportCommand::What(what));
                    }
                }
            })
            .response
            .labelled_by(name);
        ui.end_row();
        match form.what {
            What::Labels => {
                let name = ui.label("Format").id;
                formats_ui(ui, state, form, &mut push).labelled_by(name);
                ui.end_row();
            }
            What::Volumes => {
                ui.label("Format");
                ui.horizontal(|ui| {
                    for (table, text) in [(TableFormat::Csv, "CSV"), (TableFormat::Json, "JSON")] {
                        if ui.radio(form.table == table, text).clicked() {
                            push(ExportCommand::Table(table));
                        }
                    }
                });
                ui.end_row();
            }
            _ => {}
        }
        if matches!(form.what, What::Volumes | What::Montage | What::Report) {
            let name = ui.label("Case name").id;
            let mut case = form.case.clone();
            let field = egui::TextEdit::singleline(&mut case).desired_width(300.0);
            if ui.add(field).labelled_by(name).changed() {
                push(ExportCommand::Case(case));
            }
            ui.end_row();
        }
    });
    ui.add(faint(form.what.about()));
    if let Some(caveat) = form.format.caveat().filter(|_| form.what == What::Labels) {
        let text = RichText::new(caveat).small().color(style::DOUBT);
        ui.add(egui::Label::new(text).wrap());
    }
    if matches!(form.what, What::Volumes | What::Montage | What::Report) {
        ui.add(faint("The case name is written into the file; do not type a patient's name."));
    }
    ui.add_space(6.0);
    if matches!(form.what, What::Labels | What::Volumes | What::Montage | What::Report)
        && !form.rows.is_empty()
    {
        rows_ui(ui, form, &mut push);
        ui.add_space(6.0);
    }
    file_ui(ui, form, &mut push);
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        let running = state.exporting.running.is_some();
        if ui.add_enabled(!running, egui::Button::new("Write file")).clicked() {
            push(ExportCommand::Write);
        }
        if ui.button("Close").clicked() {
            push(ExportCommand::Close);
        }
        if let Some(what) = state.exporting.running {
            ui.add(egui::Spinner::new().size(14.0));
            ui.label(format!("Writing: {what}"));
        }
    });
    if let Some(said) = &form.said {
        let color = if said.done { style::VERIFIED } else { style::PROBLEM };
        ui.add(egui::Label::new(RichText::new(&said.text).color(color)).wrap());
    }
    if let Some(badge) = badge_of(state) {
        ui.separator();
        ui.horizontal_wrapped(|ui| {
            ui.label("The labels as they are now:");
            badge_label(ui, badge);
        });
    }
    ui.add_space(2.0);
    ui.add(faint(RESEARCH_USE));
}

fn formats_ui(
    ui: &mut Ui,
    state: &State,
    form: &Form,
    push: &mut impl FnMut(ExportCommand),
) -> egui::Response {
    egui::ComboBox::from_id_salt("format")
        .width(300.0)
        .selected_text(form.format.label())
        .show_ui(ui, |ui| {
            for format in LabelFormat::ALL {
                let refusal = format.refusal(state);
                let button = egui::Button::selectable(form.format == format, format.label());
                let answer = ui.add_enabled(refusal.is_none(), button);
                let answer = answer.on_disabled_hover_text(refusal.unwrap_or_default());
                if answer.clicked() {
                    push(ExportCommand::Format(format));
                }
            }
        })
        .response
}

/// The labels: which, under which name, and for DICOM with which code.
fn rows_ui(ui: &mut Ui, form: &Form, push: &mut impl FnMut(ExportCommand)) {
    let coded = form.what == What::Labels && form.format.is_dicom();
    let named = coded || form.what != What::Labels;
    egui::ScrollArea::vertical().id_salt("rows").max_height(190.0).show(ui, |ui| {
        for row in &form.rows {
            ui.horizontal(|ui| row_ui(ui, row, named, coded, push));
        }
    });
    if coded {
        let text = "Code: scheme, value, meaning. Without one it follows from the name.";
        ui.label(RichText::new(text).small().color(style::FAINT));
    }
}

fn row_ui(
    ui: &mut Ui,
    row: &LabelRow,
    named: bool,
    coded: bool,
    push: &mut impl FnMut(ExportCommand),
) {
    let value = row.value;
    let mut changed = row.clone();
    let tick = ui.checkbox(&mut changed.included, "");
    let tip = format!("Export label {value}");
    tick.widget_info(|| egui::WidgetInfo::selected(egui::Role::CheckBox, true, row.included, &tip));
    ui.add_sized([28.0, 20.0], egui::Label::new(value.to_string()));
    if named {
        word(ui, &mut changed.name, 150.0, &format!("Name of label {value}"), "");
    } else {
        ui.label(&row.name);
    }
    if coded {
        let hint = "SCT 41216001 Prostate";
        word(ui, &mut changed.code, 280.0, &format!("Code of label {value}"), hint);
    }
    if changed != *row {
        push(ExportCommand::Row(Box::new(changed)));
    }
}

fn word(ui: &mut Ui, text: &mut String, width: f32, name: &str, hint: &str) {
    let field = egui::TextEdit::singleline(text).hint_text(hint);
    let answer = ui.add_sized([width, 20.0], field);
    answer.ctx.accesskit_node_builder(answer.id, |node| node.set_label(name));
}

fn file_ui(ui: &mut Ui, form: &Form, push: &mut impl FnMut(ExportCommand)) {
    ui.horizontal(|ui| {
        let name = ui.label("File").id;
        let mut path = form.path.clone();
        let width = ui.available_width() - 110.0;
        let field = egui::TextEdit::singleline(&mut path).desired_width(width);
        if ui.add(field).labelled_by(name).changed() {
            push(ExportCommand::Path(path));
        }
        if ui.button("Choose…").on_hover_text("Choose the file in a dialog").clicked() {
            push(ExportCommand::Choose);
        }
    });
    let mut replace = form.replace;
    let tip = "Without this a file that exists is never written over";
    if ui.checkbox(&mut replace, "Replace it if it exists").on_hover_text(tip).changed() {
        push(ExportCommand::Replace(replace));
    }
}

fn badge_of(state: &State) -> Option<&Badge> {
    state.exporting.badge_of(state.labels.as_ref()?)
}

/// Draws the badge beside the labels, as long as it is about them.
pub fn badge_ui(ui: &mut Ui, state: &State) {
    if let Some(badge) = badge_of(state) {
        badge_label(ui, badge);
    }
}

fn badge_label(ui: &mut Ui, badge: &Badge) {
    let color = match (&badge.outcome, badge.partial) {
        (Ok(_), false) => style::VERIFIED,
        (Ok(_), true) => style::DOUBT,
        (Err(_), _) => style::PROBLEM,
    };
    egui::Frame::new()
        .stroke(egui::Stroke::new(1.0, color))
        .corner_radius(4.0)
        .inner_margin(egui::Margin::symmetric(6, 1))
        .show(ui, |ui| {
            ui.label(RichText::new(badge.title()).color(color)).on_hover_text(badge.detail());
        });
}
