//! What is written and drawn over a slice: crosshair, names, letters, a scale.

use eframe::egui::{self, Align2, Color32, FontId, Pos2, Rect, Stroke, vec2};

use super::page::Page;
use super::style;
use crate::gui::plane::PlaneView;
use crate::gui::state::State;

/// Draws it over a slice.
pub fn annotate(
    painter: &egui::Painter,
    state: &State,
    view: &PlaneView,
    slice: usize,
    page: &Page,
    pane: Rect,
) {
    if let Some(index) = state.crosshair_index() {
        let [_, column, row] = view.page(index);
        let cross = page.corner(column as f32 + 0.5, row as f32 + 0.5);
        let color = |axis: usize| {
            let other = state.views().iter().find(|view| view.slice.axis == axis);
            other.map_or(style::ACCENT, |v| style::of_plane(v.plane)).gamma_multiply(0.75)
        };
        let gap = 7.0;
        let vertical = Stroke::new(1.0, color(view.right.axis));
        let horizontal = Stroke::new(1.0, color(view.down.axis));
        painter.vline(cross.x, pane.top()..=(cross.y - gap), vertical);
        painter.vline(cross.x, (cross.y + gap)..=pane.bottom(), vertical);
        painter.hline(pane.left()..=(cross.x - gap), cross.y, horizontal);
        painter.hline((cross.x + gap)..=pane.right(), cross.y, horizontal);
    }
    // On a dark ground of its own, for slices may be bright anywhere.
    let words = |place: Pos2, align: Align2, text: &str, color: Color32| {
        let font = FontId::proportional(13.0);
        let galley = painter.layout_no_wrap(text.to_owned(), font, color);
        let rect = align.anchor_size(place, galley.size());
        painter.rect_filled(rect.expand2(vec2(3.0, 0.0)), 2.0, Color32::from_black_alpha(130));
        painter.galley(rect.min, galley, color);
        rect
    };
    let title = words(
        pane.min + vec2(8.0, 6.0),
        Align2::LEFT_TOP,
        view.plane.title(),
        style::of_plane(view.plane),
    );
    let number = words(
        title.right_top() + vec2(8.0, 0.0),
        Align2::LEFT_TOP,
        &format!("{} / {}", slice + 1, view.slice.len),
        style::TEXT,
    );
    if let Some(caveat) = view.caveat() {
        words(title.left_bottom() + vec2(0.0, 2.0), Align2::LEFT_TOP, &caveat, style::DOUBT);
    }
    if let Some([left, right, top, bottom]) = view.plane.letters() {
        words(pane.left_center() + vec2(8.0, 0.0), Align2::LEFT_CENTER, left, style::BRIGHT);
        words(pane.right_center() - vec2(8.0, 0.0), Align2::RIGHT_CENTER, right, style::BRIGHT);
        // Below the title where the pane is narrow.
        let below =
            if number.right() + 12.0 > pane.center().x { title.height() + 8.0 } else { 6.0 };
        words(pane.center_top() + vec2(0.0, below), Align2::CENTER_TOP, top, style::BRIGHT);
        words(pane.center_bottom() - vec2(0.0, 4.0), Align2::CENTER_BOTTOM, bottom, style::BRIGHT);
        scale_bar(painter, view, page, pane);
    }
}

/// A bar of 1, 2 or 5 times a power of ten millimeters, at most a third of the pane.
fn scale_bar(painter: &egui::Painter, view: &PlaneView, page: &Page, pane: Rect) {
    let per_mm = f64::from(page.scale.x) / view.right.step;
    let most = f64::from(pane.width()) / 3.0 / per_mm;
    let Some(mm) = round_length(most) else { return };
    let length = (mm * per_mm) as f32;
    let end = pane.right_bottom() - vec2(12.0, 10.0);
    let from = end - vec2(length, 0.0);
    for stroke in [Stroke::new(4.0, Color32::from_black_alpha(150)), Stroke::new(1.5, style::TEXT)]
    {
        painter.line_segment([from, end], stroke);
        for tip in [from, end] {
            painter.line_segment([tip - vec2(0.0, 3.0), tip + vec2(0.0, 3.0)], stroke);
        }
    }
    let text = if mm >= 10.0 { format!("{:.0} cm", mm / 10.0) } else { format!("{mm} mm") };
    let text = if mm >= 10.0 && mm % 10.0 != 0.0 { format!("{mm} mm") } else { text };
    let place = from + vec2(length / 2.0, -5.0);
    let font = FontId::proportional(12.0);
    let galley = painter.layout_no_wrap(text, font, style::TEXT);
    let rect = Align2::CENTER_BOTTOM.anchor_size(place, galley.size());
    painter.rect_filled(rect.expand2(vec2(3.0, 0.0)), 2.0, Color32::from_black_alpha(130));
    painter.galley(rect.min, galley, style::TEXT);
}

/// The longest of 1, 2 and 5 times a power of ten that is no longer than `most`.
fn round_length(most: f64) -> Option<f64> {
    if !most.is_finite() || most < 1e-6 {
        return None;
    }
    let ten = 10.0_f64.powf(most.log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|n| n * ten).find(|length| *length <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_bars_have_round_lengths() {
        assert_eq!(round_length(37.0), Some(20.0));
        assert_eq!(round_length(50.0), Some(50.0));
        assert_eq!(round_length(0.7), Some(0.5));
        assert_eq!(round_length(f64::NAN), None);
        assert_eq!(round_length(0.0), None);
    }
}
