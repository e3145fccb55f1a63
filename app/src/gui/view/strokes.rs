//! What the left button does with a tool in hand, and how the tool is drawn.

use eframe::egui::{self, Color32, Painter, Pos2, Stroke, Ui};

use super::pointer::Pointed;
use super::style;
use crate::gui::command::{Action, Command, Edit};
use crate::gui::plane::PlaneView;
use crate::gui::state::State;
use crate::gui::tools::Tool;

/// Points between two corners of a line that is drawn by hand.
const CORNER_DISTANCE: f32 = 4.0;

/// Points within which a click closes a polygon.
const CLOSE_DISTANCE: f32 = 8.0;

/// Turns what the left button does into edits; whether a tool is in hand that takes it.
pub fn tool_pointer(
    ui: &Ui,
    state: &State,
    pointed: &Pointed<'_>,
    commands: &mut Vec<Command>,
) -> bool {
    let Pointed { view, slice, page, response, .. } = *pointed;
    // Shift moves the page and Ctrl the crosshair, whatever the tool.
    let (other, down, pressed) = ui.input(|input| {
        let other = input.modifiers.shift || input.modifiers.command;
        (other, input.pointer.primary_down(), input.pointer.primary_pressed())
    });
    let place = |at: Pos2| {
        let [column, row] = page.at(at);
        view.index(slice as f64, column, row)
    };
    match state.tools.tool {
        Tool::Crosshair => false,
        Tool::Brush | Tool::Eraser => {
            if state.stroke == Some(view.plane) {
                if down {
                    // Every move since the last frame: a fast hand draws a round curve.
                    let moves = ui.input(|input| {
                        let moved = input.events.iter().filter_map(|event| match event {
                            egui::Event::PointerMoved(at) => Some(*at),
                            _ => None,
                        });
                        moved.collect::<Vec<_>>()
                    });
                    commands
                        .extend(moves.into_iter().map(|at| Command::Edit(Edit::Drag(place(at)))));
                }
                return true;
            }
            let at = response.interact_pointer_pos().or(response.hover_pos());
            if !other
                && pressed
                && response.contains_pointer()
                && let Some(at) = at
            {
                commands.push(Command::Edit(Edit::Press(view.plane, place(at))));
            }
            !other
        }
        Tool::Fill | Tool::Grow => {
            if !other
                && response.clicked()
                && let Some(voxel) = response.interact_pointer_pos().and_then(|at| {
                    let [column, row] = page.at(at).map(f64::round);
                    inside(view, column, row)
                        .then(|| view.voxel(slice, column as usize, row as usize))
                })
            {
                commands.push(Command::Edit(Edit::Spread(view.plane, voxel)));
            }
            !other
        }
        Tool::Polygon => {
            if !other {
                polygon_pointer(state, pointed, commands);
            }
            !other
        }
    }
}

fn inside(view: &PlaneView, column: f64, row: f64) -> bool {
    column >= 0.0 && row >= 0.0 && column < view.right.len as f64 && row < view.down.len as f64
}

/// Clicks put corners, a drag draws by hand, a double click or one near the first corner fills.
fn polygon_pointer(state: &State, pointed: &Pointed<'_>, commands: &mut Vec<Command>) {
    let Pointed { view, slice, page, response, .. } = *pointed;
    let Some(at) = response.interact_pointer_pos() else { return };
    let draft = state.tools.draft.as_ref();
    let draft = draft.filter(|draft| (draft.plane, draft.slice) == (view.plane, slice));
    let corner = |[column, row]: [f64; 2]| page.corner(column as f32 + 0.5, row as f32 + 0.5);
    if response.double_clicked() {
        commands.push(Command::Do(Action::ClosePolygon));
    } else if response.clicked() {
        let first = draft.filter(|draft| draft.corners.len() >= 3).map(|d| corner(d.corners[0]));
        if first.is_some_and(|first| first.distance(at) < CLOSE_DISTANCE) {
            commands.push(Command::Do(Action::ClosePolygon));
        } else {
            commands.push(Command::Edit(Edit::Corner(view.plane, slice, page.at(at))));
        }
    } else if response.dragged_by(egui::PointerButton::Primary) {
        let last = draft.and_then(|draft| draft.corners.last()).map(|last| corner(*last));
        if last.is_none_or(|last| last.distance(at) >= CORNER_DISTANCE) {
            commands.push(Command::Edit(Edit::Corner(view.plane, slice, page.at(at))));
        }
    }
}

/// Draws the brush where the pointer is, and the polygon as far as it goes.
pub fn tool_ui(painter: &Painter, state: &State, pointed: &Pointed<'_>) {
    let Pointed { view, slice, page, response, .. } = *pointed;
    let color = state.labels.as_ref().and_then(|layer| layer.class(state.tools.label));
    let color = color
        .map_or(style::ACCENT, |row| Color32::from_rgb(row.color[0], row.color[1], row.color[2]));
    let dark = Stroke::new(3.0, Color32::from_black_alpha(140));
    if matches!(state.tools.tool, Tool::Brush | Tool::Eraser)
        && let Some(at) = response.hover_pos()
    {
        let radius = (state.tools.radius_mm / view.right.step) as f32 * page.scale.x;
        let color = if state.tools.tool == Tool::Eraser { style::BRIGHT } else { color };
        for stroke in [dark, Stroke::new(1.4, color)] {
            painter.circle_stroke(at, radius.max(1.5), stroke);
        }
    }
    let Some(draft) = &state.tools.draft else { return };
    if (draft.plane, draft.slice) != (view.plane, slice) {
        return;
    }
    let mut line: Vec<Pos2> = draft
        .corners
        .iter()
        .map(|&[column, row]| page.corner(column as f32 + 0.5, row as f32 + 0.5))
        .collect();
    for corner in &line {
        painter.circle_filled(*corner, 2.5, color);
    }
    line.extend(response.hover_pos());
    for stroke in [dark, Stroke::new(1.4, color)] {
        painter.line(line.clone(), stroke);
    }
}
