//! The card of the model: what it is for, how well it does, and what it was trained on.

use eframe::egui::{self, Align2, Color32, RichText, Ui, text::LayoutJob, vec2};
use lamina_engine::bundle::Manifest;

use super::style;
use crate::gui::command::Command;
use crate::gui::markdown::{Block, Span, parse};
use crate::gui::segment::{ModelChoice, SegmentCommand};
use crate::gui::state::{RESEARCH_USE, State};

/// Draws the card where it is open.
pub fn card_ui(ctx: &egui::Context, state: &State, commands: &mut Vec<Command>) {
    let Some(choice) = state.models.get(state.model).filter(|_| state.segment.card) else { return };
    let mut open = true;
    let room = ctx.content_rect().size() - vec2(80.0, 120.0);
    egui::Window::new(format!("Model card: {}", choice.manifest.name))
        .open(&mut open)
        .anchor(Align2::CENTER_CENTER, vec2(0.0, 0.0))
        .collapsible(false)
        .resizable(false)
        .show(ctx, |ui| {
            ui.set_width(room.x.min(660.0));
            // As tall as the window allows, so that there is little to scroll.
            let height = room.y.clamp(160.0, 720.0);
            ui.set_min_height(height);
            egui::ScrollArea::vertical().max_height(height).auto_shrink([false, true]).show(
                ui,
                |ui| {
                    facts_ui(ui, choice);
                    if let Some(card) = &choice.card {
                        ui.separator();
                        for block in parse(card) {
                            block_ui(ui, &block);
                        }
                    }
                },
            );
        });
    if !open {
        commands.push(Command::Segment(SegmentCommand::Card));
    }
}

fn facts_ui(ui: &mut Ui, choice: &ModelChoice) {
    let manifest = &choice.manifest;
    ui.add(egui::Label::new(RichText::new(&manifest.title).color(style::BRIGHT)).wrap());
    ui.add(egui::Label::new(RichText::new(RESEARCH_USE).color(style::DOUBT)).wrap());
    ui.add_space(4.0);
    rows_ui(ui, "facts of the model", facts(manifest));
    ui.add_space(4.0);
    ui.horizontal_wrapped(|ui| {
        for class in manifest.classes.iter().skip(1) {
            let [r, g, b] = class.color;
            let (rect, _) = ui.allocate_exact_size(vec2(12.0, 12.0), egui::Sense::hover());
            ui.painter().rect_filled(rect, 2.0, Color32::from_rgb(r, g, b));
            let score = manifest.metrics.as_ref().and_then(|metrics| {
                let (measure, _, scores) = metrics.scores();
                Some((measure.name(), scores.get(&class.name)?))
            });
            ui.label(match score {
                Some((name, score)) => format!("{}, {name} {score:.3}", class.name),
                None => class.name.clone(),
            });
            ui.add_space(8.0);
        }
    });
    ui.add_space(6.0);
    ui.label(RichText::new("Trained on").size(14.5).color(style::BRIGHT));
    match &manifest.fingerprint {
        Some(fingerprint) => {
            rows_ui(ui, "fingerprint", crate::cli::fingerprint_rows(fingerprint));
        }
        None => {
            ui.label("This bundle does not say what its training images were like.");
        }
    }
}

fn facts(manifest: &Manifest) -> Vec<(String, String)> {
    let mut rows = vec![
        ("intended use".to_owned(), manifest.intended_use.clone()),
        ("licence".to_owned(), manifest.license.clone()),
        ("modality".to_owned(), manifest.modality.to_uppercase()),
        ("network".to_owned(), manifest.network.name().to_owned()),
    ];
    if let Some(metrics) = &manifest.metrics {
        let (measure, mean, _) = metrics.scores();
        let text = format!("{} {mean:.3} on {}", measure.mean_name(), metrics.measured_on);
        rows.push(("measured".to_owned(), text));
    }
    if let Some(training) = &manifest.training {
        rows.push(("data".to_owned(), training.source.clone()));
    }
    if let Some(imported) = &manifest.imported {
        rows.push(("weights from".to_owned(), imported.file.clone()));
    }
    rows
}

fn rows_ui(ui: &mut Ui, id: &str, rows: Vec<(String, String)>) {
    let width = (ui.available_width() - 120.0).max(80.0);
    egui::Grid::new(id).num_columns(2).spacing([14.0, 3.0]).show(ui, |ui| {
        for (name, text) in rows {
            ui.label(RichText::new(name).color(style::FAINT));
            ui.scope(|ui| {
                ui.set_max_width(width);
                ui.add(egui::Label::new(text).wrap());
            });
            ui.end_row();
        }
    });
}

fn block_ui(ui: &mut Ui, block: &Block) {
    match block {
        Block::Heading(depth, text) => {
            ui.add_space(6.0);
            let size = if *depth == 1 { 16.0 } else { 14.5 };
            ui.label(RichText::new(text).size(size).color(style::BRIGHT));
        }
        Block::Paragraph(spans) => {
            ui.add(egui::Label::new(job(spans)).wrap());
            ui.add_space(3.0);
        }
        Block::Item(spans) => {
            ui.horizontal_top(|ui| {
                ui.label("•");
                ui.add(egui::Label::new(job(spans)).wrap());
            });
        }
        Block::Table(rows) => table_ui(ui, rows),
        Block::Code(text) => {
            egui::Frame::new().fill(style::BEHIND).inner_margin(6.0).corner_radius(3.0).show(
                ui,
                |ui| {
                    ui.add(egui::Label::new(RichText::new(text).monospace()).wrap());
                },
            );
            ui.add_space(3.0);
        }
    }
}

fn table_ui(ui: &mut Ui, rows: &[Vec<String>]) {
    let id = ui.next_auto_id();
    egui::ScrollArea::horizontal().id_salt(id).show(ui, |ui| {
        egui::Grid::new(id).striped(true).spacing([16.0, 3.0]).show(ui, |ui| {
            for (place, row) in rows.iter().enumerate() {
                let color = if place == 0 { style::FAINT } else { style::TEXT };
                for cell in row {
                    ui.label(RichText::new(cell).color(color));
                }
                ui.end_row();
            }
        });
    });
    ui.add_space(3.0);
}

fn job(spans: &[Span]) -> LayoutJob {
    let mut job = LayoutJob::default();
    for span in spans {
        let font = if span.code {
            egui::FontId::monospace(12.5)
        } else {
            egui::FontId::proportional(13.5)
        };
        let color = if span.strong { style::BRIGHT } else { style::TEXT };
        job.append(&span.text, 0.0, egui::TextFormat::simple(font, color));
    }
    job
}
