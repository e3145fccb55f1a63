//! Where a page lies on the screen.

use eframe::egui::{Pos2, Rect, Vec2, vec2};

use crate::gui::plane::PlaneView;
use crate::gui::state::State;

/// Size in points of a page that just fits into a pane.
pub fn fit(view: &PlaneView, pane: Rect) -> Vec2 {
    let size = vec2(
        (view.right.len as f64 * view.right.step) as f32,
        (view.down.len as f64 * view.down.step) as f32,
    );
    let room = pane.shrink(6.0).size().max(vec2(8.0, 8.0));
    size * (room.x / size.x).min(room.y / size.y)
}

/// A page on the screen.
pub struct Page {
    /// All of it, also what the pane cuts off.
    pub rect: Rect,
    /// Points per column and row.
    pub scale: Vec2,
}

impl Page {
    /// The page of a plane in its pane.
    pub fn new(view: &PlaneView, state: &State, pane: Rect) -> Self {
        let look = state.pane(view.plane);
        let size = fit(view, pane) * look.zoom;
        let center = pane.center() + vec2(look.pan[0], look.pan[1]);
        let rect = Rect::from_center_size(center, size);
        Self { rect, scale: vec2(size.x / view.right.len as f32, size.y / view.down.len as f32) }
    }

    /// A corner of a pixel.
    pub fn corner(&self, column: f32, row: f32) -> Pos2 {
        self.rect.min + vec2(column * self.scale.x, row * self.scale.y)
    }

    /// Column and row at a place, whole at the middle of a pixel.
    pub fn at(&self, place: Pos2) -> [f64; 2] {
        let from = place - self.rect.min;
        [f64::from(from.x / self.scale.x) - 0.5, f64::from(from.y / self.scale.y) - 0.5]
    }
}
