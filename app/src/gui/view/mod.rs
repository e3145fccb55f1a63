//! What the window looks like. Views read the state and push commands; nothing here changes it.

pub mod annotations;
pub mod arriving;
pub mod canvas;
pub mod card;
pub mod compare;
pub mod dialogs;
pub mod export;
pub mod keyboard;
pub mod keys;
pub mod labels;
pub mod menu;
pub mod model;
pub mod page;
pub mod pointer;
pub mod region;
pub mod side;
pub mod status;
pub mod strip;
pub mod strokes;
pub mod style;
pub mod tools;
pub mod unfinished;
pub mod worklist;

use eframe::egui::{self, Color32, Rect, Ui, pos2, vec2};

pub use canvas::Canvases;

use super::command::{Action, Command};
use super::compare::Side;
use super::plane::Plane;
use super::state::{Hover, Layout, State};

/// Between panes, in points.
const GAP: f32 = 3.0;

/// Draws the whole window; answers what is under the pointer.
pub fn window_ui(
    ui: &mut Ui,
    state: &State,
    canvases: &mut Canvases,
    commands: &mut Vec<Command>,
) -> Option<Hover> {
    // The window is cleared to their color, and nothing is drawn twice: see `Desktop::clear_color`.
    let bar = egui::Frame::side_top_panel(ui.style()).fill(Color32::TRANSPARENT);
    egui::Panel::top("menu").frame(bar).show(ui, |ui| menu::menu_ui(ui, state, commands));
    if state.image.is_some() {
        let tools = |ui: &mut Ui| tools::tools_ui(ui, state, commands);
        egui::Panel::top("tools").frame(bar).show(ui, tools);
    }
    egui::Panel::bottom("status").frame(bar).show(ui, |ui| status::status_ui(ui, state, commands));
    egui::Panel::right("side")
        .frame(bar)
        .resizable(true)
        .default_size(270.0)
        .size_range(220.0..=420.0)
        .show(ui, |ui| side::side_ui(ui, state, commands));
    if state.worklist.is_some() {
        let width = (0.26 * ui.max_rect().width()).clamp(190.0, 320.0);
        egui::Panel::left("worklist")
            .resizable(true)
            .default_size(width)
            .size_range(180.0..=700.0)
            .show(ui, |ui| worklist::panel_ui(ui, state, commands));
    }
    if state.compare.reference.is_some() {
        egui::Panel::bottom("compare").show(ui, |ui| compare::panel_ui(ui, state, commands));
    }
    let hover = egui::CentralPanel::default()
        .frame(egui::Frame::NONE)
        .show(ui, |ui| panes_ui(ui, state, canvases, commands))
        .inner;
    if !state.exporting.nameless {
        dialogs::notices_ui(ui.ctx(), state, commands); // they may name files
    }
    dialogs::study_ui(ui.ctx(), state, canvases, commands);
    card::card_ui(ui.ctx(), state, commands);
    keyboard::help_ui(ui.ctx(), state, commands);
    export::export_ui(ui.ctx(), state, commands);
    if state.image.is_some() {
        unfinished::offer_ui(ui.ctx(), state, commands);
    }
    hover
}

fn panes_ui(
    ui: &mut Ui,
    state: &State,
    canvases: &mut Canvases,
    commands: &mut Vec<Command>,
) -> Option<Hover> {
    let Some(image) = &state.image else {
        if let Some(arriving) = &state.incoming.arriving {
            let all = ui.max_rect();
            gap(ui, all);
            let rects = if arriving.views.len() == 1 { vec![all] } else { quarters(all).to_vec() };
            canvases.arriving.panes_ui(ui, state, arriving, &rects, commands);
            return None;
        }
        canvases.arriving.forget();
        ui.painter().rect_filled(ui.max_rect(), 0.0, style::BEHIND);
        welcome_ui(ui, state, commands);
        return None;
    };
    let all = ui.max_rect();
    let planes: Vec<Plane> = image.views.iter().map(|view| view.plane).collect();
    let focus = if planes.contains(&state.focus) { state.focus } else { planes[0] };
    let mut hover = None;
    if state.layout == Layout::Beside {
        let size = vec2((all.width() - GAP) / 2.0, all.height());
        let [left, right] =
            [0.0, size.x + GAP].map(|x| Rect::from_min_size(all.min + vec2(x, 0.0), size));
        hover = canvases.pane_ui(ui, state, (focus, Side::Labels), left, commands);
        if state.compare.reference.is_none() {
            compare::missing_ui(ui, state, right, commands);
            return hover;
        }
        return canvases.pane_ui(ui, state, (focus, Side::Reference), right, commands).or(hover);
    }
    let mut pane = |ui: &mut Ui, plane: Plane, rect: Rect| {
        let side = Side::Labels;
        hover = canvases.pane_ui(ui, state, (plane, side), rect, commands).or(hover);
    };
    if let [only] = planes[..] {
        pane(ui, only, all);
        return hover;
    }
    match state.layout {
        Layout::One | Layout::Beside => pane(ui, focus, all),
        Layout::Three => {
            let split = all.left() + (all.width() * 0.66).round();
            let large = Rect::from_min_max(all.min, pos2(split - GAP, all.bottom()));
            // The large one stays where it is while the pointer visits the others.
            pane(ui, planes[0], large);
            let half = (all.height() - GAP) / 2.0;
            gap(ui, Rect::from_x_y_ranges(large.right()..=split, all.y_range()));
            for (place, plane) in planes[1..].iter().enumerate() {
                let top = all.top() + place as f32 * (half + GAP);
                let size = vec2(all.right() - split, half);
                gap(ui, Rect::from_x_y_ranges(split..=all.right(), (top - GAP)..=top));
                pane(ui, *plane, Rect::from_min_size(pos2(split, top), size));
            }
        }
        Layout::Four => {
            let cell = vec2((all.width() - GAP) / 2.0, (all.height() - GAP) / 2.0);
            let corner = |column: f32, row: f32| {
                all.min + vec2(column * (cell.x + GAP), row * (cell.y + GAP))
            };
            let (right, below) = (corner(1.0, 1.0).x, corner(1.0, 1.0).y);
            gap(ui, Rect::from_x_y_ranges((right - GAP)..=right, all.y_range()));
            gap(ui, Rect::from_x_y_ranges(all.x_range(), (below - GAP)..=below));
            let corners = [corner(0.0, 0.0), corner(1.0, 0.0), corner(0.0, 1.0)];
            for (plane, corner) in planes.iter().zip(corners) {
                pane(ui, *plane, Rect::from_min_size(corner, cell));
            }
            let rect = Rect::from_min_size(corner(1.0, 1.0), cell);
            side::facts_pane_ui(ui, state, rect);
        }
    }
    hover
}

/// Three panes and the place for what is known, side by side and one above the other.
fn quarters(all: Rect) -> [Rect; 4] {
    let cell = vec2((all.width() - GAP) / 2.0, (all.height() - GAP) / 2.0);
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]].map(|[column, row]| {
        let corner = all.min + vec2(column * (cell.x + GAP), row * (cell.y + GAP));
        Rect::from_min_size(corner, cell)
    })
}

/// What lies between panes.
fn gap(ui: &Ui, rect: Rect) {
    ui.painter().rect_filled(rect, 0.0, style::BEHIND);
}

fn welcome_ui(ui: &mut Ui, state: &State, commands: &mut Vec<Command>) {
    ui.vertical_centered(|ui| {
        ui.add_space(ui.available_height() * 0.26);
        ui.label(egui::RichText::new("Lamina").size(34.0).color(style::BRIGHT));
        ui.add_space(4.0);
        ui.label("Drop an image, a folder or a DICOM study here");
        ui.add_space(14.0);
        if let Some(activity) = &state.opening {
            ui.add(egui::Spinner::new());
            ui.label(&activity.what);
        } else {
            for action in [Action::OpenFile, Action::OpenFolder, Action::OpenPath] {
                let button = egui::Button::new(action.label()).min_size(vec2(180.0, 30.0));
                if ui.add(button).on_hover_text(state.tooltip(action)).clicked() {
                    commands.push(Command::Do(action));
                }
                ui.add_space(2.0);
            }
        }
        unfinished::list_ui(ui, state, commands);
        ui.add_space(18.0);
        ui.label(
            egui::RichText::new("NIfTI, DICOM, MetaImage, NRRD, PNG, TIFF, JPEG, BMP")
                .color(style::FAINT),
        );
        ui.label(egui::RichText::new(super::state::RESEARCH_USE).color(style::FAINT));
    });
}
