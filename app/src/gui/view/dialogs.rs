//! What lies over the planes: notices, the list of a study, a path to type.

use std::path::PathBuf;

use eframe::egui::{self, Align2, Color32, Rect, RichText, Sense, Ui, pos2, vec2};

use super::{Canvases, style};
use crate::gui::command::{Action, Command};
use crate::gui::compare::CompareCommand;
use crate::gui::segment::SegmentCommand;
use crate::gui::state::{Purpose, State};
use crate::gui::worklist::ListCommand;

/// Draws the notices, the newest below.
pub fn notices_ui(ctx: &egui::Context, state: &State, commands: &mut Vec<Command>) {
    if state.notices.is_empty() {
        return;
    }
    egui::Area::new(egui::Id::unique("notices"))
        .anchor(Align2::LEFT_BOTTOM, vec2(12.0, -44.0))
        .order(egui::Order::Foreground)
        .show(ctx, |ui| {
            for notice in &state.notices {
                let edge = if notice.is_problem { style::PROBLEM } else { style::ACCENT };
                egui::Frame::popup(ui.style()).stroke(egui::Stroke::new(1.0, edge)).show(
                    ui,
                    |ui| {
                        ui.set_max_width(520.0);
                        ui.horizontal_top(|ui| {
                            let close = ui.small_button("×").on_hover_text("Dismiss");
                            close.widget_info(|| {
                                egui::WidgetInfo::labeled(egui::Role::Button, true, "Dismiss")
                            });
                            if close.clicked() {
                                commands.push(Command::Dismiss(notice.id));
                            }
                            ui.add(egui::Label::new(&notice.text).wrap());
                        });
                    },
                );
            }
        });
}

/// Draws the series or files of a folder to choose from.
pub fn study_ui(
    ctx: &egui::Context,
    state: &State,
    canvases: &mut Canvases,
    commands: &mut Vec<Command>,
) {
    let Some(study) = &state.study else {
        canvases.thumbnails.clear();
        return;
    };
    let mut open = true;
    egui::Window::new("Choose what to open")
        .open(&mut open)
        .anchor(Align2::CENTER_CENTER, vec2(0.0, 0.0))
        .collapsible(false)
        .default_width(560.0)
        .show(ctx, |ui| {
            egui::ScrollArea::vertical().max_height(420.0).show(ui, |ui| {
                for (place, file) in (study.series.len()..).zip(&study.files) {
                    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
                    ui.horizontal(|ui| {
                        thumbnail_ui(ui, state, canvases, place, &name);
                        if ui.button(name).clicked() {
                            commands.push(Command::CloseSeries);
                            commands.push(Command::Open(vec![file.clone()]));
                        }
                    });
                }
                egui::Grid::new("series").num_columns(7).striped(true).show(ui, |ui| {
                    for (place, series) in study.series.iter().enumerate() {
                        let what = format!("series {}", series.number);
                        thumbnail_ui(ui, state, canvases, place, &what);
                        let tip = format!("Open series {}", series.number);
                        let button = ui.button(format!("Open {}", series.number));
                        button.widget_info(|| {
                            egui::WidgetInfo::labeled(egui::Role::Button, true, tip.clone())
                        });
                        if button.clicked() {
                            commands.push(Command::OpenSeries(series.number));
                        }
                        ui.label(RichText::new(&series.modality).color(style::BRIGHT));
                        let words = [series.description.as_deref(), series.part.as_deref()];
                        let words: Vec<&str> = words.into_iter().flatten().collect();
                        ui.add(egui::Label::new(words.join(", ")).truncate());
                        let [x, y, z] = series.shape;
                        ui.label(format!("{x} × {y} × {z}"));
                        ui.label(match series.spacing_mm {
                            Some([x, y, z]) => format!("{x:.2} × {y:.2} × {z:.2} mm"),
                            None => String::new(),
                        });
                        let problems = series.flaws.join("; ");
                        if problems.is_empty() {
                            ui.end_row();
                            continue;
                        }
                        ui.vertical(|ui| {
                            let text = RichText::new(&problems).color(style::DOUBT);
                            ui.add(egui::Label::new(text).wrap());
                            ui.label(RichText::new(FLAWS).small().color(style::FAINT));
                        });
                        ui.end_row();
                    }
                });
            });
        });
    if !open {
        commands.push(Command::CloseSeries);
    }
}

/// Side of a small picture, in points.
const THUMBNAIL: f32 = 56.0;

/// Draws the middle slice of what stands at a place of the list, or an empty field.
fn thumbnail_ui(ui: &mut Ui, state: &State, canvases: &mut Canvases, place: usize, what: &str) {
    let (rect, response) = ui.allocate_exact_size(vec2(THUMBNAIL, THUMBNAIL), Sense::hover());
    response.widget_info(|| {
        egui::WidgetInfo::labeled(egui::Role::Image, true, format!("Middle slice of {what}"))
    });
    ui.painter().rect_filled(rect, 2.0, style::PANE);
    let Some(thumbnail) = state.incoming.thumbnails.get(place).and_then(Option::as_ref) else {
        return;
    };
    let textures = &mut canvases.thumbnails;
    if textures.len() <= place {
        textures.resize(place + 1, None);
    }
    let texture = textures[place].get_or_insert_with(|| {
        let image = egui::ColorImage::from_gray(thumbnail.size, &thumbnail.shades);
        ui.ctx().load_texture("thumbnail", image, egui::TextureOptions::LINEAR)
    });
    let (width, height) = (thumbnail.aspect.min(1.0), (1.0 / thumbnail.aspect).min(1.0));
    let picture = Rect::from_center_size(rect.center(), vec2(width, height) * THUMBNAIL);
    let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    ui.painter().image(texture.id(), picture, whole, Color32::WHITE);
}

/// What opening a flawed series means.
pub const FLAWS: &str = "Opened as an even stack: missing slices repeat their neighbors";

/// Asks before labels are lost that are in no file.
pub fn unsaved_ui(ctx: &egui::Context, state: &State, commands: &mut Vec<Command>) {
    let (Some(_), Some(layer)) = (&state.asking, &state.labels) else { return };
    egui::Modal::new(egui::Id::unique("unsaved")).show(ctx, |ui| {
        ui.label(RichText::new("Labels are not saved").size(16.0).color(style::BRIGHT));
        ui.add_space(4.0);
        ui.label(format!("The labels from {} are in no file yet.", layer.origin));
        ui.add_space(8.0);
        ui.horizontal(|ui| {
            if ui.button("Save first…").clicked() {
                commands.push(Command::LoseLabels(false));
                commands.push(Command::Do(Action::SaveLabels));
            }
            let in_list = state.worklist.as_ref().is_some_and(|list| list.current.is_some());
            if in_list
                && ui
                    .button("Save and go on")
                    .on_hover_text("Into the folder corrected, beside the labels of the case")
                    .clicked()
            {
                commands.push(Command::List(ListCommand::SaveAndGoOn));
            }
            if ui.button("Discard labels").clicked() {
                commands.push(Command::LoseLabels(true));
            }
            if ui.button("Go back").clicked() {
                commands.push(Command::LoseLabels(false));
            }
        });
    });
}

/// What is done with a path that was typed or chosen.
pub fn wanted_of(purpose: Purpose, path: PathBuf) -> Command {
    match purpose {
        Purpose::Open => Command::Open(vec![path]),
        Purpose::Labels => Command::OpenLabels(path),
        Purpose::Save => Command::SaveLabels(path),
        Purpose::Reference => Command::Compare(CompareCommand::Open(path)),
        Purpose::Worklist => Command::List(ListCommand::Open(path)),
        Purpose::ListImages => Command::List(ListCommand::Images(path)),
        Purpose::ListReferences => Command::List(ListCommand::References(path)),
        Purpose::Bundle => Command::Segment(SegmentCommand::AddBundle(path)),
    }
}

/// Draws a field to type a path into.
pub fn typed_path_ui(
    ctx: &egui::Context,
    typed: &mut String,
    purpose: Purpose,
    commands: &mut Vec<Command>,
) {
    let (title, go) = match purpose {
        Purpose::Open => ("Open path", "Open"),
        Purpose::Labels => ("Open labels", "Open"),
        Purpose::Save => ("Save labels as", "Save"),
        Purpose::Reference => ("Open reference", "Open"),
        Purpose::Worklist => ("Open worklist", "Open"),
        Purpose::ListImages => ("Folder of the images", "Open"),
        Purpose::ListReferences => ("Folder of the references", "Open"),
        Purpose::Bundle => ("Add a bundle", "Add"),
    };
    let mut open = true;
    egui::Window::new(title)
        .open(&mut open)
        .anchor(Align2::CENTER_CENTER, vec2(0.0, -60.0))
        .collapsible(false)
        .resizable(false)
        .show(ctx, |ui| {
            ui.horizontal(|ui| {
                let name = ui.label("Path");
                let example = match purpose {
                    Purpose::Bundle => "models/hippocampus-unet",
                    _ => "/data/case.nii.gz",
                };
                let field =
                    egui::TextEdit::singleline(typed).desired_width(420.0).hint_text(example);
                let field = ui.add(field).labelled_by(name.id);
                field.request_focus();
                let entered = ui.input(|input| input.key_pressed(egui::Key::Enter));
                if (ui.button(go).clicked() || entered) && !typed.trim().is_empty() {
                    let path = PathBuf::from(typed.trim());
                    commands.push(wanted_of(purpose, path));
                }
            });
        });
    if !open || ctx.input(|input| input.key_pressed(egui::Key::Escape)) {
        commands.push(Command::CloseSeries);
    }
}
