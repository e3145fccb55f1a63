//! What the pointer does in a pane.

use eframe::egui::{self, PointerButton, Pos2, Response, Ui, Vec2};

use super::page::Page;
use super::strokes::tool_pointer;
use crate::gui::command::{Action, Command};
use crate::gui::plane::PlaneView;
use crate::gui::segment::SegmentCommand;
use crate::gui::shades::Window;
use crate::gui::state::{Hover, OpenImage, State};
use crate::gui::tools::Tool;

/// Points that a finger or a smooth wheel moves for one slice.
const POINTS_PER_SLICE: f32 = 24.0;

/// The slice that the pointer may be over.
pub struct Pointed<'a> {
    /// The image.
    pub image: &'a OpenImage,
    /// Its plane.
    pub view: &'a PlaneView,
    /// Which slice.
    pub slice: usize,
    /// Where it lies.
    pub page: &'a Page,
    /// What was done to the pane.
    pub response: &'a Response,
}

/// Turns what the pointer does in a pane into commands; answers what is under it.
pub fn pointer(
    ui: &Ui,
    state: &State,
    pointed: &Pointed<'_>,
    rest: &mut f32,
    commands: &mut Vec<Command>,
) -> Option<Hover> {
    let Pointed { image, view, slice, page, response } = *pointed;
    let plane = view.plane;
    let pane = response.rect;
    let tool = !state.segment.drawing && tool_pointer(ui, state, pointed, commands);
    if response.double_clicked() && !tool {
        commands.push(Command::Enlarge(plane));
    }
    let shift = ui.input(|input| input.modifiers.shift);
    let moves = response.dragged_by(PointerButton::Middle)
        || (shift && response.dragged_by(PointerButton::Primary));
    let sets = response.clicked() || response.dragged_by(PointerButton::Primary);
    let press = ui.input(|input| input.pointer.press_origin());
    if state.segment.drawing
        && response.dragged_by(PointerButton::Primary)
        && let (Some(from), Some(to)) = (press, response.interact_pointer_pos())
    {
        let [from, to] = [from, to].map(|place| voxel_at(page, view, slice, place));
        commands.push(Command::Segment(SegmentCommand::Box(from, to)));
    } else if moves {
        let delta = response.drag_delta();
        commands.push(Command::Pan(plane, [delta.x, delta.y]));
    } else if sets
        && !tool
        && let Some(place) = response.interact_pointer_pos()
    {
        let [column, row] = page.at(place);
        let column = column.clamp(0.0, (view.right.len - 1) as f64).round();
        let row = row.clamp(0.0, (view.down.len - 1) as f64).round();
        let index = view.index(slice as f64, column, row);
        commands.push(Command::GoTo(image.volume.geometry.ras_from_index().apply(index)));
    } else if response.dragged_by(PointerButton::Secondary) {
        let delta = response.drag_delta();
        commands.push(Command::Window(dragged(state, image, delta)));
    }
    let place = response.hover_pos()?;
    if response.contains_pointer() {
        let (steps, zoom) = wheel(ui, rest);
        let sizes = shift && matches!(state.tools.tool, Tool::Brush | Tool::Eraser);
        if sizes && steps != 0 {
            let size = if steps > 0 { Action::LargerBrush } else { Action::SmallerBrush };
            commands.extend((0..steps.unsigned_abs()).map(|_| Command::Do(size)));
        }
        let steps = if sizes { 0 } else { steps };
        if steps != 0 {
            let to = slice.saturating_add_signed(steps).min(view.slice.len - 1);
            commands.push(Command::Slice(plane, to));
        }
        if (zoom - 1.0).abs() > 1e-4 {
            let around = place - pane.center();
            commands.push(Command::Zoom(plane, zoom, [around.x, around.y]));
        }
    }
    let [column, row] = page.at(place).map(f64::round);
    let inside =
        column >= 0.0 && row >= 0.0 && column < view.right.len as f64 && row < view.down.len as f64;
    inside.then(|| Hover { plane, voxel: view.voxel(slice, column as usize, row as usize) })
}

/// The voxel at a place, or the nearest one of the page.
fn voxel_at(page: &Page, view: &PlaneView, slice: usize, place: Pos2) -> [usize; 3] {
    let [column, row] = page.at(place);
    let column = column.round().clamp(0.0, (view.right.len - 1) as f64);
    let row = row.round().clamp(0.0, (view.down.len - 1) as f64);
    view.voxel(slice, column as usize, row as usize)
}

/// The window after a drag: sideways for its width, up and down for its center. A drag of 400
/// points changes it by the range that the volume was opened with.
fn dragged(state: &State, image: &OpenImage, delta: Vec2) -> Window {
    let range = image.presets.first().map_or(1.0, |preset| preset.window.width).max(1e-6);
    let step = range / 400.0;
    let Window { center, width } = state.window;
    Window {
        center: center - f64::from(delta.y) * step,
        width: (width + f64::from(delta.x) * step).max(range / 1000.0),
    }
}

/// Slices and zoom that the wheel asks for since the last frame.
pub(super) fn wheel(ui: &Ui, rest: &mut f32) -> (isize, f32) {
    let (moved, zoom) = ui.input(|input| {
        if input.modifiers.command || input.modifiers.ctrl {
            return (0.0, input.zoom_delta());
        }
        let mut moved = 0.0;
        for event in &input.events {
            if let egui::Event::MouseWheel { unit, delta, .. } = event {
                let delta = delta.x + delta.y; // some systems turn the wheel with Shift sideways
                moved += match unit {
                    egui::MouseWheelUnit::Point => delta / POINTS_PER_SLICE,
                    egui::MouseWheelUnit::Line => delta,
                    egui::MouseWheelUnit::Page => delta * 5.0,
                };
            }
        }
        (moved, input.zoom_delta())
    });
    *rest += moved;
    let steps = rest.trunc();
    *rest -= steps;
    (steps as isize, zoom)
}
