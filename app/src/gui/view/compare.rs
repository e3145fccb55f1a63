//! Comparing with a reference: its outlines, the curve below the slider, the worst point, the
//! table of numbers.

use eframe::egui::{
    self, Align2, Color32, FontId, Mesh, Pos2, Rect, RichText, Sense, Shape, Stroke, Ui, pos2, vec2,
};
use lamina_engine::metrics::{ClassReport, Status};

use super::page::Page;
use super::{menu, style};
use crate::gui::command::{Action, Command};
use crate::gui::compare::measure::explain;
use crate::gui::compare::{BAD_DICE, CompareCommand, Measured, Side, dice_text};
use crate::gui::labels::LabelClass;
use crate::gui::pixels::Edge;
use crate::gui::plane::PlaneView;
use crate::gui::state::State;

/// Height of the curve below a slider, in points.
const CURVE: f32 = 26.0;

/// Points of a dash and the gap after it.
const DASH: f32 = 8.0;

/// Outlines of the reference.
const REFERENCE: Color32 = Color32::from_rgb(250, 250, 250);

/// The worst point.
const WORST: Color32 = Color32::from_rgb(255, 90, 220);

/// How much room a plane needs for the curve of its slices.
pub fn curve_height(state: &State, view: &PlaneView) -> f32 {
    if state.compare.curve(view.slice.axis).is_some() { CURVE } else { 0.0 }
}

/// Draws outlines as dashes, so that they are told from those of the labels below them.
pub fn dashed_outlines(painter: &egui::Painter, page: &Page, edges: &[Edge]) {
    let mut under = Mesh::default();
    let mut over = Mesh::default();
    for edge in edges {
        let [from, to] = [edge.from, edge.to].map(|[c, r]| page.corner(c as f32, r as f32));
        let rect = Rect::from_two_pos(from, to);
        if !painter.clip_rect().intersects(rect.expand(2.0)) {
            continue;
        }
        let across = rect.width() >= rect.height();
        let (start, end) =
            if across { (rect.left(), rect.right()) } else { (rect.top(), rect.bottom()) };
        under.add_colored_rect(rect.expand(1.2), Color32::from_black_alpha(110));
        // Dashes begin where the page says, so that they run on from edge to edge.
        let phase = if across { rect.top() } else { rect.left() };
        let mut at = start - (start + phase).rem_euclid(DASH);
        while at < end {
            let (a, b) = (at.max(start), (at + 0.62 * DASH).min(end));
            if b > a {
                let dash = if across {
                    Rect::from_min_max(pos2(a, rect.top()), pos2(b, rect.top()))
                } else {
                    Rect::from_min_max(pos2(rect.left(), a), pos2(rect.left(), b))
                };
                over.add_colored_rect(dash.expand(0.75), REFERENCE);
            }
            at += DASH;
        }
    }
    painter.add(Shape::mesh(under));
    painter.add(Shape::mesh(over));
}

/// Says what a pane shows, and marks the worst point where the slice has it.
pub fn mark(
    painter: &egui::Painter,
    state: &State,
    view: &PlaneView,
    slice: usize,
    page: &Page,
    pane: Rect,
    side: Side,
) {
    let compare = &state.compare;
    if compare.reference.is_none() {
        return;
    }
    let shows_reference = compare.shown_on(side).is_some();
    let (text, color) = match (shows_reference, side) {
        (true, Side::Labels) => ("Reference, while held", REFERENCE),
        (true, Side::Reference) => ("Reference", REFERENCE),
        _ if state.layout == crate::gui::state::Layout::Beside => ("Prediction", style::ACCENT),
        _ => ("", style::ACCENT),
    };
    if !text.is_empty() {
        // Below the letters where there is no room beside them.
        let down = if pane.width() < 280.0 { 26.0 } else { 6.0 };
        words(painter, pane.right_top() + vec2(-8.0, down), Align2::RIGHT_TOP, text, color);
    }
    let (Some(point), Some(image)) = (compare.worst(), &state.image) else { return };
    let index = image.volume.geometry.index_from_ras().apply(point.mm);
    let [at, column, row] = view.page(index);
    if (at - slice as f64).abs() > 0.5 {
        return;
    }
    let center = page.corner(column as f32 + 0.5, row as f32 + 0.5);
    painter.circle_stroke(center, 9.0, Stroke::new(3.5, Color32::from_black_alpha(150)));
    painter.circle_stroke(center, 9.0, Stroke::new(1.6, WORST));
    let text = format!("{:.1} mm", point.distance_mm);
    words(painter, center - vec2(0.0, 12.0), Align2::CENTER_BOTTOM, &text, WORST);
}

fn words(painter: &egui::Painter, place: Pos2, align: Align2, text: &str, color: Color32) {
    let galley = painter.layout_no_wrap(text.to_owned(), FontId::proportional(13.0), color);
    let rect = align.anchor_size(place, galley.size());
    painter.rect_filled(rect.expand2(vec2(3.0, 0.0)), 2.0, Color32::from_black_alpha(150));
    painter.galley(rect.min, galley, color);
}

/// The Dice of each slice, below the slider of a plane.
pub fn curve_ui(
    ui: &mut Ui,
    state: &State,
    view: &PlaneView,
    slice: usize,
    (rect, side): (Rect, Side),
    commands: &mut Vec<Command>,
) {
    let Some(curve) = state.compare.curve(view.slice.axis) else { return };
    let id = ui.scope_id().with(("curve", view.plane, side));
    let response = ui.interact(rect, id, Sense::click_and_drag());
    let dice_of = |slice: usize| curve.get(view.slice.voxel(slice)).copied().flatten();
    let title = view.plane.title();
    let name = format!("{title} Dice, slice {}: {}", slice + 1, dice_text(dice_of(slice)));
    if side == Side::Labels {
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, name.clone()));
    }
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 0.0, Color32::from_rgb(20, 21, 24));
    let corner = rect.left_bottom() + vec2(10.0, -4.0);
    painter.text(corner, Align2::LEFT_BOTTOM, "Dice", FontId::proportional(12.0), style::FAINT);
    // The same track as the slider's, so that slices lie below each other.
    let track = rect.shrink2(vec2(10.0, 3.0));
    let width = track.width() / view.slice.len as f32;
    let x = |slice: usize| track.left() + (slice as f32 + 0.5) * width;
    let y = |dice: f64| track.bottom() - dice as f32 * track.height();
    let faded = if state.compare.outdated { 0.45 } else { 1.0 };
    for level in [0.0, 1.0] {
        painter.hline(track.x_range(), y(level), Stroke::new(1.0, Color32::from_gray(52)));
    }
    painter.hline(track.x_range(), y(BAD_DICE), Stroke::new(1.0, Color32::from_rgb(80, 66, 40)));
    let mut before: Option<Pos2> = None;
    for shown in 0..view.slice.len {
        let place = dice_of(shown).map(|dice| (pos2(x(shown), y(dice)), dice));
        if let Some((place, dice)) = place {
            let bad = dice < BAD_DICE;
            let color = if bad { style::DOUBT } else { style::ACCENT }.gamma_multiply(faded);
            if let Some(before) = before {
                painter.line_segment([before, place], Stroke::new(1.4, color));
            }
            painter.circle_filled(place, if bad { 2.2 } else { 1.5 }, color);
        }
        before = place.map(|(place, _)| place);
    }
    if let (Some(point), Some(image)) = (state.compare.worst(), &state.image) {
        let index = image.volume.geometry.index_from_ras().apply(point.mm);
        let worst = view.slice_of(index);
        let tip = pos2(x(worst), track.top() + 4.0);
        let corners = vec![tip, tip + vec2(-4.0, -6.0), tip + vec2(4.0, -6.0)];
        painter.add(Shape::convex_polygon(corners, WORST.gamma_multiply(faded), Stroke::NONE));
    }
    painter.vline(x(slice), track.y_range(), Stroke::new(1.0, style::TEXT));
    let at = |place: Pos2| {
        let last = (view.slice.len - 1) as f32;
        ((place.x - track.left()) / width).floor().clamp(0.0, last) as usize
    };
    if let Some(place) = response.interact_pointer_pos()
        && (response.dragged() || response.clicked() || response.is_pointer_button_down_on())
        && at(place) != slice
    {
        commands.push(Command::Slice(view.plane, at(place)));
    }
    if let Some(place) = response.hover_pos() {
        let hovered = at(place);
        let which = label_name(state, state.compare.class);
        let dice = dice_text(dice_of(hovered));
        response.on_hover_text_at_pointer(format!("Slice {}: Dice {dice}, {which}", hovered + 1));
    }
}

fn label_name(state: &State, label: Option<u8>) -> String {
    match label {
        None => "mean of the labels there".to_owned(),
        Some(label) => {
            row_of(state, label).map_or_else(|| format!("Label {label}"), |row| row.name)
        }
    }
}

fn row_of(state: &State, label: u8) -> Option<LabelClass> {
    let own = state.labels.as_ref().and_then(|layer| layer.class(label));
    let other = || {
        let reference = state.compare.reference.as_ref()?;
        reference.classes.iter().find(|row| row.value == label)
    };
    own.or_else(other).cloned()
}

/// In the pane of a reference that is not there.
pub fn missing_ui(ui: &mut Ui, state: &State, rect: Rect, commands: &mut Vec<Command>) {
    ui.painter().rect_filled(rect, 0.0, style::PANE);
    let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(rect.shrink(14.0)));
    ui.vertical_centered(|ui| {
        ui.add_space(rect.height() * 0.4);
        ui.label(RichText::new("No reference yet: drop a label file here").color(style::FAINT));
        menu::button(ui, state, Action::OpenReference, commands);
    });
}

/// The numbers, in a panel below the planes.
pub fn panel_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    let compare = &state.compare;
    let Some(reference) = &compare.reference else { return };
    ui.add_space(3.0);
    ui.horizontal_wrapped(|ui| {
        let title = RichText::new("Compared with").size(14.5).color(style::BRIGHT);
        ui.label(title);
        if !state.exporting.nameless {
            ui.add(egui::Label::new(&reference.origin).truncate());
        }
        let mut outlined = compare.outlined;
        if ui
            .checkbox(&mut outlined, "Outline")
            .on_hover_text(Action::OutlineReference.tooltip())
            .changed()
        {
            commands.push(Command::Do(Action::OutlineReference));
        }
        for action in [Action::NextBad, Action::WorstPoint, Action::CloseReference] {
            menu::button(ui, state, action, commands);
        }
        if compare.outdated && state.labels.is_some() {
            ui.add(egui::Spinner::new().size(13.0));
            ui.label(RichText::new("Measuring").color(style::FAINT));
        }
    });
    if let Some(problem) = &compare.problem {
        ui.add(egui::Label::new(RichText::new(problem).color(style::PROBLEM)).wrap());
    }
    let Some(measured) = &compare.measured else {
        if state.labels.is_none() {
            let text = "There are no labels to compare yet: segment, or open a label file";
            ui.label(RichText::new(text).color(style::FAINT));
        }
        ui.add_space(3.0);
        return;
    };
    if measured.classes.is_empty() {
        ui.label(RichText::new("Neither side has a label").color(style::FAINT));
    }
    egui::ScrollArea::both().max_height(170.0).auto_shrink([false, true]).show(ui, |ui| {
        table_ui(ui, state, measured, commands);
    });
    if measured.resampled {
        let text = "Labels were brought onto the grid of the reference, the nearest for each voxel";
        ui.label(RichText::new(text).small().color(style::DOUBT));
    }
    ui.add_space(3.0);
}

fn table_ui(ui: &mut Ui, state: &State, measured: &Measured, commands: &mut Vec<Command>) {
    let chosen = state.compare.class;
    egui::Grid::new("comparison").num_columns(8).striped(true).spacing([16.0, 2.0]).show(
        ui,
        |ui| {
            let heads = [
                ("Label", "Click one to see its curve and worst point"),
                ("Dice", "2 × common voxels / voxels of both"),
                ("IoU", "Common voxels / voxels of either"),
                (
                    "HD95 mm",
                    "95th percentile of the distances between the surfaces, the larger way",
                ),
                ("Labels ml", "Volume of the labels"),
                ("Reference ml", "Volume of the reference"),
                ("Difference", "Labels less reference"),
                ("", ""),
            ];
            for (head, tip) in heads {
                let label = ui.label(RichText::new(head).color(style::FAINT));
                if !tip.is_empty() {
                    label.on_hover_text(tip);
                }
            }
            ui.end_row();
            for class in &measured.classes {
                let name = row_of(state, class.label);
                let name = name.map_or_else(|| format!("Label {}", class.label), |row| row.name);
                let answer = ui.selectable_label(chosen == Some(class.label), &name);
                let tip = format!("Compare {name}");
                answer.widget_info(|| {
                    let on = chosen == Some(class.label);
                    egui::WidgetInfo::selected(egui::Role::Button, true, on, tip.clone())
                });
                if answer.clicked() {
                    let class = (chosen != Some(class.label)).then_some(class.label);
                    commands.push(Command::Compare(CompareCommand::Class(class)));
                }
                class_ui(ui, class);
                ui.end_row();
            }
            if measured.classes.len() > 1 {
                ui.label("Mean");
                ui.label(dice_text(measured.mean_dice()));
                ui.end_row();
            }
        },
    );
}

/// The numbers of a label; what cannot be measured is a dash, with its reason beside it.
fn class_ui(ui: &mut Ui, class: &ClassReport) {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let good = class.dice.is_some_and(|dice| dice >= BAD_DICE);
    let color = if good { style::TEXT } else { style::DOUBT };
    ui.label(RichText::new(dice_text(class.dice)).color(color));
    ui.label(number(class.iou, 3));
    let spacing_known = class.volume_ml_reference.is_some();
    let hd95 = ui.label(number(class.surface.map(|surface| surface.hd95_mm), 2));
    match class.surface {
        Some(surface) => {
            hd95.on_hover_text(format!("ASSD {:.2} mm", surface.assd_mm));
        }
        None if spacing_known => {
            hd95.on_hover_text("There is a surface on one side alone");
        }
        None => {
            hd95.on_hover_text("Nobody knows how large a voxel is");
        }
    }
    ui.label(number(class.volume_ml_prediction, 3));
    ui.label(number(class.volume_ml_reference, 3));
    ui.label(difference(class.volume_ml_prediction, class.volume_ml_reference));
    let color = if class.status == Status::Scored { style::FAINT } else { style::DOUBT };
    let text = if class.status == Status::Scored { "" } else { explain(class.status) };
    ui.label(RichText::new(text).color(color));
}

/// What labels have more than the reference, and how much that is of it.
fn difference(labels: Option<f64>, reference: Option<f64>) -> String {
    let (Some(labels), Some(reference)) = (labels, reference) else { return "–".to_owned() };
    let more = labels - reference;
    if reference > 0.0 {
        format!("{more:+.3} ml, {:+.1} %", 100.0 * more / reference)
    } else {
        format!("{more:+.3} ml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign_and_no_share_of_nothing() {
        assert_eq!(difference(Some(1.1), Some(1.0)), "+0.100 ml, +10.0 %");
        assert_eq!(difference(Some(0.5), Some(1.0)), "-0.500 ml, -50.0 %");
        assert_eq!(difference(Some(0.5), Some(0.0)), "+0.500 ml");
        assert_eq!(difference(None, Some(1.0)), "–");
    }
}
