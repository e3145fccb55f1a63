//! The slider below a slice.

use eframe::egui::{self, Color32, Rect, Sense, Stroke, Ui, pos2, vec2};

use super::style;
use crate::gui::command::Command;
use crate::gui::compare::Side;
use crate::gui::plane::PlaneView;
use crate::gui::state::{DOUBTFUL, State};

/// The slider of a pane, with the risk of its slices where the model went through them.
pub fn strip_ui(
    ui: &mut Ui,
    state: &State,
    view: &PlaneView,
    slice: usize,
    rect: Rect,
    side: Side,
    commands: &mut Vec<Command>,
) {
    let id = ui.scope_id().with(("strip", view.plane, side));
    let response = ui.interact(rect, id, Sense::click_and_drag());
    let (plane, last) = (view.plane, view.slice.len - 1);
    response.widget_info(|| {
        let name = match side {
            Side::Labels => format!("{} slider", plane.title()),
            Side::Reference => format!("Slider of the reference, {}", plane.name()),
        };
        egui::WidgetInfo::slider(true, (slice + 1) as f64, name)
    });
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 0.0, Color32::from_rgb(20, 21, 24));
    let track = rect.shrink2(vec2(10.0, 3.0));
    let width = track.width() / view.slice.len as f32;
    let x = |slice: usize| track.left() + (slice as f32 + 0.5) * width;
    if let Some(doubt) = state.doubt.as_ref().filter(|doubt| doubt.axis == view.slice.axis) {
        for shown in 0..view.slice.len {
            let Some(risk) = doubt.risks[view.slice.voxel(shown)] else { continue };
            let share = (risk / 0.4).clamp(0.04, 1.0) as f32;
            let color =
                if risk >= DOUBTFUL { style::DOUBT } else { Color32::from_rgb(70, 120, 100) };
            let top = track.bottom() - share * track.height();
            let half = (width * 0.42).max(0.5);
            let bar = Rect::from_min_max(
                pos2(x(shown) - half, top),
                pos2(x(shown) + half, track.bottom()),
            );
            painter.rect_filled(bar, 0.0, color);
        }
    }
    painter.hline(track.x_range(), track.bottom(), Stroke::new(1.0, Color32::from_gray(70)));
    let color = if response.hovered() || response.dragged() { style::BRIGHT } else { style::TEXT };
    painter.vline(x(slice), track.y_range().expand(1.0), Stroke::new(2.0, color));
    let knob = pos2(x(slice), track.bottom());
    painter.circle_filled(knob, 3.5, color);
    if let Some(place) = response.interact_pointer_pos()
        && (response.dragged() || response.clicked() || response.is_pointer_button_down_on())
    {
        let wanted = ((place.x - track.left()) / width).floor().clamp(0.0, last as f32) as usize;
        if wanted != slice {
            commands.push(Command::Slice(plane, wanted));
        }
    }
}
