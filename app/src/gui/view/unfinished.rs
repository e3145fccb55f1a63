//! Work that was not finished: offered where it belongs.

use eframe::egui::{self, RichText, Ui, vec2};

use super::style;
use crate::gui::command::{Command, Edit};
use crate::gui::state::State;
use crate::gui::tools::Unfinished;

/// Width of both buttons, in points.
const BUTTONS: f32 = 188.0;

/// Asks what shall become of the work that was not finished on the image that is open.
pub fn offer_ui(ctx: &egui::Context, state: &State, commands: &mut Vec<Command>) {
    if state.unfinished.is_empty() {
        return;
    }
    egui::Modal::new(egui::Id::unique("unfinished")).show(ctx, |ui| {
        ui.set_width(400.0);
        ui.vertical_centered(|ui| {
            ui.label(
                RichText::new("Unfinished work on this image").size(16.0).color(style::BRIGHT),
            );
            ui.add_space(4.0);
            ui.label("Labels were corrected and not saved before the program ended.");
            ui.add_space(6.0);
            rows_ui(ui, state, commands);
            ui.add_space(6.0);
            if ui.button("Later").on_hover_text("Asks again the next time").clicked() {
                commands.push(Command::Edit(Edit::Later));
            }
        });
    });
}

/// Lists it where no image is open.
pub fn list_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    if state.unfinished.is_empty() {
        return;
    }
    ui.add_space(18.0);
    ui.label(RichText::new("Unfinished work").color(style::BRIGHT));
    ui.label(RichText::new("It is offered again with its image, too").color(style::FAINT));
    ui.vertical_centered(|ui| rows_ui(ui, state, commands));
}

fn rows_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    egui::ScrollArea::vertical().max_height(180.0).show(ui, |ui| {
        for (place, found) in state.unfinished.iter().enumerate() {
            let named = |answer: &egui::Response, what: &str| {
                let name = format!("{what} {}", place + 1);
                answer.widget_info(|| {
                    egui::WidgetInfo::labeled(egui::Role::Button, true, name.clone())
                });
            };
            ui.label(describe(found));
            // As wide as its buttons, so that it is in the middle where all else is.
            ui.allocate_ui(vec2(BUTTONS, 24.0), |ui| {
                ui.horizontal(|ui| {
                    let button = |text| egui::Button::new(text).min_size(vec2(90.0, 24.0));
                    let take = ui.add(button("Take up"));
                    named(&take, "Take up");
                    // Enter takes up the first, unless something else was chosen.
                    if place == 0 && ui.memory(|memory| memory.focused().is_none()) {
                        take.request_focus();
                    }
                    if take.clicked() {
                        commands.push(Command::Edit(Edit::TakeUp(found.path.clone())));
                    }
                    let discard = ui.add(button("Discard"));
                    named(&discard, "Discard");
                    if discard.clicked() {
                        commands.push(Command::Edit(Edit::Discard(found.path.clone())));
                    }
                });
            });
            ui.add_space(4.0);
        }
    });
}

/// "2026-11-20 14:03 UTC, 12 changes, 35 × 51 × 35 voxels"
fn describe(found: &Unfinished) -> String {
    let summary = &found.summary;
    let [depth, height, width] = summary.shape;
    let changes = if summary.steps == 1 { "change" } else { "changes" };
    let time = summary.last.to_string().replace('T', " ");
    let minute = time.get(..16).unwrap_or(&time);
    let steps = summary.steps;
    format!("{minute} UTC, {steps} {changes}, {width} × {height} × {depth} voxels")
}
