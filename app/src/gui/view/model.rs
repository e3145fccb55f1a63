//! The model in the panel beside the planes: which one, where it computes, and what it doubts.

use eframe::egui::{self, Color32, Rect, RichText, Ui, pos2, vec2};
use lamina_engine::device::DeviceChoice;

use super::{menu, style};
use crate::gui::command::{Action, Command};
use crate::gui::pixels::Paint;
use crate::gui::segment::{Loading, ModelChoice, Overlay, SegmentCommand};
use crate::gui::state::{DOUBTFUL, State};

/// Draws the model's part of the panel.
pub fn model_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let name = ui.label(RichText::new("Model").size(14.5).color(style::BRIGHT)).id;
    for broken in &state.segment.broken {
        let text = format!("A bundle cannot be used: {broken}");
        ui.add(egui::Label::new(RichText::new(text).small().color(style::PROBLEM)).wrap());
    }
    let Some(choice) = state.models.get(state.model) else {
        ui.label("No model was found. Put a bundle into the folder models beside the program.");
        menu::button(ui, state, Action::AddBundle, commands);
        return;
    };
    ui.add_enabled_ui(state.segmenting.is_none(), |ui| {
        choice_ui(ui, state, choice, name, commands);
        device_ui(ui, state, commands);
    });
    if let Some(image) = &state.image {
        for doubt in state.segment.sentences(image.id, &choice.folder) {
            ui.add(egui::Label::new(RichText::new(doubt).color(style::DOUBT)).wrap());
        }
    }
    ui.horizontal(|ui| {
        menu::button(ui, state, Action::Segment, commands);
        if state.segmenting.is_some() {
            menu::button(ui, state, Action::Cancel, commands);
        }
    });
    doubtful_ui(ui, state, commands);
    if state.image.is_some() {
        overlay_ui(ui, state, choice, commands);
        again_ui(ui, state, commands);
    }
}

/// How many slices are doubtful, and the way to them.
fn doubtful_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let Some(doubt) = &state.doubt else { return };
    let doubtful = doubt.risks.iter().flatten().filter(|risk| **risk >= DOUBTFUL).count();
    let looked_at = doubt.risks.iter().flatten().count();
    ui.label(format!("{doubtful} of {looked_at} slices are doubtful"));
    ui.label(format!("Risk of the case {:.3}", doubt.case().risk))
        .on_hover_text("What its Dice lacks of 1, by the model's own softmax");
    for sentence in &state.segment.found {
        ui.add(egui::Label::new(RichText::new(sentence).color(style::DOUBT)).wrap());
    }
    menu::button(ui, state, Action::NextDoubtful, commands);
}

fn small(text: impl Into<String>) -> egui::Label {
    egui::Label::new(RichText::new(text).small().color(style::FAINT)).wrap()
}

fn choice_ui(
    ui: &mut Ui,
    state: &State,
    choice: &ModelChoice,
    name: egui::Id,
    commands: &mut Vec<Command>,
) {
    let manifest = &choice.manifest;
    egui::ComboBox::from_id_salt("models")
        .width(ui.available_width() - 8.0)
        .selected_text(&manifest.name)
        .show_ui(ui, |ui| {
            for (index, model) in state.models.iter().enumerate() {
                if ui.selectable_label(index == state.model, &model.manifest.name).clicked() {
                    commands.push(Command::Segment(SegmentCommand::Model(index)));
                }
            }
        })
        .response
        .labelled_by(name);
    ui.add(small(manifest.title.clone()));
    ui.horizontal_wrapped(|ui| {
        menu::button(ui, state, Action::ModelCard, commands);
        menu::button(ui, state, Action::AddBundle, commands);
    });
}

fn device_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let segment = &state.segment;
    let mut choose = |device: DeviceChoice| {
        commands.push(Command::Segment(SegmentCommand::Device(device)));
    };
    ui.horizontal(|ui| {
        let name = ui.label("Device");
        let shown = segment.devices.iter().find(|device| device.choice == segment.device);
        egui::ComboBox::from_id_salt("devices")
            .width(ui.available_width() - 8.0)
            .selected_text(shown.map_or("Automatic", |device| &device.name))
            .truncate()
            .show_ui(ui, |ui| {
                let auto = segment.device == DeviceChoice::Auto;
                if ui.selectable_label(auto, "Automatic").clicked() {
                    choose(DeviceChoice::Auto);
                }
                for device in &segment.devices {
                    let chosen = device.choice == segment.device;
                    match &device.missing {
                        None => {
                            if ui.selectable_label(chosen, &device.name).clicked() {
                                choose(device.choice);
                            }
                        }
                        Some(reason) => {
                            let text = format!("{}: {reason}", device.name);
                            ui.add_enabled(false, egui::Button::new(text).frame(false));
                        }
                    }
                }
            })
            .response
            .labelled_by(name.id);
    });
    match &segment.loading {
        Loading::None => {}
        Loading::Loading => {
            ui.add(small("Loading the model…"));
        }
        Loading::Ready(device) => {
            ui.add(small(format!("Ready on {device}, in single precision (f32)"))).on_hover_text(
                "Single precision is what the networks of this build compute in on every device",
            );
        }
        Loading::Failed(reason) => {
            ui.add(egui::Label::new(RichText::new(reason).color(style::PROBLEM)).wrap());
        }
    }
}

fn overlay_ui(ui: &mut Ui, state: &State, choice: &ModelChoice, commands: &mut Vec<Command>) {
    let mut choose =
        |overlay: Overlay| commands.push(Command::Segment(SegmentCommand::Overlay(overlay)));
    let shown = state.segment.overlay;
    let classes = (0..=255_u8).zip(&choice.manifest.classes);
    let text = |overlay: Overlay| match overlay {
        Overlay::None => "Nothing".to_owned(),
        Overlay::Doubt => "Doubt (entropy)".to_owned(),
        Overlay::Probability(class) => {
            let class = choice.manifest.classes.get(usize::from(class));
            format!("Probability of {}", class.map_or("a class", |class| &class.name))
        }
    };
    ui.horizontal(|ui| {
        let name = ui.label("Softmax").on_hover_text("What of the model's own softmax is painted");
        egui::ComboBox::from_id_salt("softmax")
            .width(ui.available_width() - 8.0)
            .selected_text(text(shown))
            .truncate()
            .show_ui(ui, |ui| {
                let all = [Overlay::None, Overlay::Doubt].into_iter();
                for overlay in all.chain(classes.map(|(class, _)| Overlay::Probability(class))) {
                    if ui.selectable_label(overlay == shown, text(overlay)).clicked() {
                        choose(overlay);
                    }
                }
            })
            .response
            .labelled_by(name.id);
    });
    match shown {
        Overlay::None => return,
        Overlay::Doubt => legend_ui(ui, &doubt_paints(), ["certain", "all alike"]),
        Overlay::Probability(_) => legend_ui(ui, &probability_paints(), ["0", "1"]),
    }
    ui.add(small("By the model's own softmax: what it believes, not what is true."));
}

/// Pieces of such a bar.
const STEPS: usize = 64;

/// A bar of the colors, with what stands at its ends.
fn legend_ui(ui: &mut Ui, paints: &[Paint; 256], [least, most]: [&str; 2]) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(least).small());
        let width = (ui.available_width() - 70.0).max(40.0);
        let (rect, response) = ui.allocate_exact_size(vec2(width, 10.0), egui::Sense::hover());
        let name = format!("Legend from {least} to {most}");
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, name.clone()));
        for step in 0..STEPS {
            let ([r, g, b], opacity) = paints[step * 255 / (STEPS - 1)];
            let at = |step: usize| rect.left() + rect.width() * step as f32 / STEPS as f32;
            let part =
                Rect::from_min_max(pos2(at(step), rect.top()), pos2(at(step + 1), rect.bottom()));
            // Over the gray of an image.
            ui.painter().rect_filled(part, 0.0, Color32::from_gray(70));
            let color = Color32::from_rgba_unmultiplied(r, g, b, opacity);
            ui.painter().rect_filled(part, 0.0, color);
        }
        ui.label(RichText::new(most).small());
    });
}

/// Segmenting a slice, some slices or a box again.
fn again_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let idle = state.segmenting.is_none() && state.correcting.is_none();
    let (Some(image), Some(plane)) = (&state.image, state.model_plane()) else { return };
    let Some(view) = image.view(plane) else { return };
    egui::CollapsingHeader::new("Segment a part again").default_open(true).show(ui, |ui| {
        menu::button(ui, state, Action::RerunSlice, commands);
        let mut push = |command: SegmentCommand| commands.push(Command::Segment(command));
        ui.add_enabled_ui(idle, |ui| {
            ui.horizontal(|ui| {
                // The slice in view, until others are asked for.
                let here = state.slice(plane).unwrap_or_default();
                let chosen = state.segment.range.unwrap_or([here; 2]);
                let range = range_ui(ui, "Slices", chosen, view.slice.len);
                if let Some(range) = range {
                    push(SegmentCommand::Range(range));
                }
                let tip = format!("Segment these {} slices again", plane.name());
                let run = ui.button("Run").on_hover_text(&tip);
                run.widget_info(|| {
                    egui::WidgetInfo::labeled(egui::Role::Button, idle, tip.clone())
                });
                if run.clicked() {
                    push(SegmentCommand::Slices(range.unwrap_or(chosen)));
                }
            });
            box_ui(ui, state, &mut push);
        });
        ui.add(small("One step that can be undone; locked labels stay."));
    });
}

/// Two numbers of slices, from 1; answers other ones, from 0.
fn range_ui(ui: &mut Ui, name: &str, range: [usize; 2], len: usize) -> Option<[usize; 2]> {
    let [mut first, mut last] = range.map(|slice| slice.min(len.saturating_sub(1)) + 1);
    let label = ui.label(name);
    let value = egui::DragValue::new(&mut first).range(1..=len).speed(0.2);
    let from = ui.add(value).labelled_by(label.id).on_hover_text("First slice").changed();
    let label = ui.label("to");
    let value = egui::DragValue::new(&mut last).range(1..=len).speed(0.2);
    let to = ui.add(value).labelled_by(label.id).on_hover_text("Last slice").changed();
    if from {
        last = last.max(first);
    } else if to {
        first = first.min(last);
    }
    (from || to).then_some([first - 1, last - 1])
}

fn box_ui(ui: &mut Ui, state: &State, push: &mut impl FnMut(SegmentCommand)) {
    let drawing = state.segment.drawing;
    let tip = "Draw a box with the left button in any plane";
    let button = egui::Button::new("Draw a box").selected(drawing);
    if ui.add(button).on_hover_text(tip).clicked() {
        push(SegmentCommand::DrawBox);
    }
    if drawing && state.segment.region.is_none() {
        ui.add(small("Drag with the left button in a plane."));
    }
    let (Some(region), Some(image)) = (state.segment.region, &state.image) else { return };
    let axis = state.segment.region_axis;
    let [i, j, k] = region.size();
    ui.label(format!("Box of {i} × {j} × {k} voxels"));
    if let Some(view) = image.views.iter().find(|view| view.slice.axis == axis) {
        ui.horizontal(|ui| {
            let pages = [region.start[axis], region.end[axis] - 1]
                .map(|voxel| view.slice.page(voxel as f64) as usize);
            let [one, other] = pages;
            let name = format!("{} slices", view.plane.title());
            let range = [one.min(other), one.max(other)];
            if let Some(range) = range_ui(ui, &name, range, view.slice.len) {
                let voxels = range.map(|page| view.slice.voxel(page));
                push(SegmentCommand::BoxRange(axis, voxels));
            }
        });
    }
    ui.horizontal(|ui| {
        if ui.button("Run in the box").clicked() {
            push(SegmentCommand::RunBox);
        }
        if ui.button("Clear the box").clicked() {
            push(SegmentCommand::ClearBox);
        }
    });
}

/// From nothing for certain over yellow to red for doubtful.
pub fn doubt_paints() -> [Paint; 256] {
    std::array::from_fn(|share| {
        let share = share as f32 / 255.0;
        let color = [255, (220.0 * (1.0 - share)) as u8, 40];
        (color, if share < 0.04 { 0 } else { (200.0 * share.sqrt()) as u8 })
    })
}

/// From nothing for 0 over blue and green to yellow for 1: in steps that look alike, also to
/// people who do not tell red from green.
pub fn probability_paints() -> [Paint; 256] {
    const STOPS: [[f32; 3]; 5] = [
        [68.0, 1.0, 84.0],
        [59.0, 82.0, 139.0],
        [33.0, 145.0, 140.0],
        [94.0, 201.0, 98.0],
        [253.0, 231.0, 37.0],
    ];
    std::array::from_fn(|value| {
        let place = value as f32 / 255.0 * 4.0;
        let below = (place as usize).min(3);
        let share = place - below as f32;
        let mix = |channel: usize| {
            let [from, to] = [STOPS[below][channel], STOPS[below + 1][channel]];
            (from + (to - from) * share).round() as u8
        };
        let opacity = if value < 5 { 0 } else { 70 + (value * 110 / 255) as u8 };
        ([mix(0), mix(1), mix(2)], opacity)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_of_probability_rise_in_brightness() {
        let paints = probability_paints();
        let bright = |value: usize| {
            let [r, g, b] = paints[value].0.map(f32::from);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        assert!((1..256).all(|value| bright(value) >= bright(value - 1) - 0.8));
        assert_eq!((paints[0].1, paints[255]), (0, ([253, 231, 37], 180)));
    }
}
