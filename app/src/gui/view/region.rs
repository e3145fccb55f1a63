//! The box that is to be segmented again, in every plane that cuts it.

use eframe::egui::{Painter, Rect, Stroke, StrokeKind};

use super::page::Page;
use super::style;
use crate::gui::plane::PlaneView;
use crate::gui::state::State;

/// Draws its outline.
pub fn region_ui(painter: &Painter, state: &State, view: &PlaneView, slice: usize, page: &Page) {
    let Some(region) = state.segment.region else { return };
    let inside = region.holds(view.slice.axis, view.slice.voxel(slice));
    // From corner to corner of voxels, whichever way they run on the page.
    let ends = |run: crate::gui::plane::AxisRun| {
        let [one, other] = [region.start[run.axis], region.end[run.axis] - 1];
        let (one, other) = (run.page(one as f64) as f32, run.page(other as f64) as f32);
        (one.min(other), one.max(other) + 1.0)
    };
    let ((left, right), (top, bottom)) = (ends(view.right), ends(view.down));
    let rect = Rect::from_min_max(page.corner(left, top), page.corner(right, bottom));
    let color = if inside { style::ACCENT } else { style::ACCENT.gamma_multiply(0.35) };
    painter.rect_stroke(rect, 0.0, Stroke::new(1.5, color), StrokeKind::Outside);
}
