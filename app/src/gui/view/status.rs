//! The line below: what is under the pointer, what runs, and what the program is not for.

use eframe::egui::{self, Ui};

use super::style;
use crate::gui::command::{Action, Command};
use crate::gui::plane::Plane;
use crate::gui::state::{Activity, RESEARCH_USE, State};

/// Draws the line.
pub fn status_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.add_space(2.0);
    let activity = state.segmenting.as_ref().or(state.opening.as_ref());
    let activity = activity.or(state.correcting.as_ref());
    ui.horizontal(|ui| {
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.label(egui::RichText::new(RESEARCH_USE).color(style::FAINT));
            ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                if let Some(activity) = activity {
                    activity_ui(ui, state, activity, commands);
                } else {
                    let text = readout(state).unwrap_or_default();
                    ui.add(egui::Label::new(text).truncate());
                }
            });
        });
    });
    ui.add_space(2.0);
}

fn activity_ui(ui: &mut Ui, state: &State, activity: &Activity, commands: &mut Vec<Command>) {
    ui.label(&activity.what);
    match activity.done {
        Some(done) => ui.add(egui::ProgressBar::new(done).desired_width(160.0).desired_height(8.0)),
        None => ui.add(egui::Spinner::new().size(14.0)),
    };
    if let Some(left) = activity.left() {
        ui.label(
            egui::RichText::new(format!("{} s left", left.as_secs().max(1))).color(style::FAINT),
        );
    }
    if ui.button(Action::Cancel.label()).on_hover_text(state.tooltip(Action::Cancel)).clicked() {
        commands.push(Command::Do(Action::Cancel));
    }
}

/// Position, voxel, value and label under the pointer, or else under the crosshair.
pub fn readout(state: &State) -> Option<String> {
    let image = state.image.as_ref()?;
    let [depth, height, width] = image.volume.shape();
    let limits = [width, height, depth];
    let (place, [i, j, k]) = if let Some(hover) = state.hover {
        ("", hover.voxel)
    } else {
        let index = state.crosshair_index()?;
        let voxel = [0, 1, 2].map(|a| (index[a].round().max(0.0) as usize).min(limits[a] - 1));
        ("Crosshair  ", voxel)
    };
    let geometry = &image.volume.geometry;
    let mm = geometry.ras_from_index().apply([i as f64, j as f64, k as f64]);
    let is_placed = image.views.iter().all(|view| view.plane != Plane::Stored);
    let position = match geometry.spacing_mm() {
        Some(_) if is_placed => format!("{}   ", position(mm)),
        _ => String::new(),
    };
    let value = image.volume.value([k, j, i]);
    let value = match image.volume.modality.as_ref().map(lamina_io::Modality::name) {
        Some("ct") => format!("{value:.0} HU"),
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.4}"),
    };
    let mut text = format!("{place}{position}voxel {i}, {j}, {k}   value {value}");
    if let Some(layer) = &state.labels {
        let label = layer.labels()[[k, j, i]];
        if let Some(class) = layer.class(label) {
            text.push_str("   label ");
            text.push_str(&class.name);
        }
    }
    if let Some(reference) = &state.compare.reference
        && let Some(row) = {
            let label = reference.labels[[k, j, i]];
            reference.rows(state.labels.as_ref()).into_iter().find(|row| row.value == label)
        }
    {
        text.push_str("   reference ");
        text.push_str(&row.name);
    }
    Some(text)
}

/// Millimeters with the letter of the side that they count towards.
fn position(mm: [f64; 3]) -> String {
    let letters = [["R", "L"], ["A", "P"], ["S", "I"]];
    let parts = mm.iter().zip(letters).map(|(mm, [towards, against])| {
        format!("{} {:.1}", if *mm < 0.0 { against } else { towards }, mm.abs())
    });
    format!("{} mm", parts.collect::<Vec<_>>().join("  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_towards_named_sides() {
        assert_eq!(position([1.0, -2.25, 0.0]), "R 1.0  P 2.2  S 0.0 mm");
    }
}
