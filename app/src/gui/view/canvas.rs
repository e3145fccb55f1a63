//! A pane: a slice with its overlays, and what the pointer does there.
//!
//! A slice becomes a texture when something about it changes, not once per frame.

use eframe::egui::{
    self, Align2, Color32, ColorImage, FontId, PointerButton, Pos2, Rect, Response, Sense, Stroke,
    TextureHandle, TextureOptions, Ui, Vec2, pos2, vec2,
};

use super::style;
use crate::gui::command::Command;
use crate::gui::labels::Stamp;
use crate::gui::pixels::{Edge, Paint, Rgb, gray, outlines, paint};
use crate::gui::plane::{Plane, PlaneView};
use crate::gui::shades::{Shades, Window};
use crate::gui::state::{DOUBTFUL, Drawn, Hover, OpenImage, State};

/// Height of the strip below a slice, in points.
const STRIP: f32 = 20.0;

/// Points that a finger or a smooth wheel moves for one slice.
const POINTS_PER_SLICE: f32 = 24.0;

/// Everything that is drawn with, kept between frames.
#[derive(Default)]
pub struct Canvases {
    panes: [Canvas; 3],
    shades: Option<(u64, Window, bool, Shades)>,
    pixels: Vec<Rgb>,
}

/// One pane's picture.
#[derive(Default)]
struct Canvas {
    texture: Option<TextureHandle>,
    drawn: Option<Drawing>,
    edges: Vec<Edge>,
    wheel: f32,
    /// Where the slice was in the last frame, to center on its crosshair.
    pane: Option<(Rect, Vec2)>,
}

/// What a picture was made of.
#[derive(Clone, PartialEq)]
struct Drawing {
    image: u64,
    slice: usize,
    plane: Plane,
    window: Window,
    inverted: bool,
    labels: Option<(Stamp, f32, Drawn)>,
    doubt: Option<u64>,
}

impl Canvases {
    /// Draws one pane; answers what is under the pointer.
    pub fn pane_ui(
        &mut self,
        ui: &mut Ui,
        state: &State,
        plane: Plane,
        rect: Rect,
        commands: &mut Vec<Command>,
    ) -> Option<Hover> {
        let (image, slice) = (state.image.as_ref()?, state.slice(plane)?);
        let view = *image.view(plane)?;
        let picture = Rect::from_min_max(rect.min, pos2(rect.right(), rect.bottom() - STRIP));
        let strip = Rect::from_min_max(pos2(rect.left(), picture.bottom()), rect.max);
        self.redraw(ui.ctx(), state, image, &view, slice);
        let canvas = &mut self.panes[State::pane_index(plane)];
        canvas.pane = Some((picture, fit(&view, picture)));

        let id = ui.scope_id().with(("pane", plane));
        let response = ui.interact(picture, id, Sense::click_and_drag());
        let name = format!("{} slice {} of {}", plane.title(), slice + 1, view.slice.len);
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, name.clone()));
        let page = Page::new(&view, state, picture);
        let painter = ui.painter_at(picture);
        painter.rect_filled(picture, 0.0, style::PANE);
        if let Some(texture) = &canvas.texture {
            let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            painter.image(texture.id(), page.rect, whole, Color32::WHITE);
        }
        if let Some(layer) = &state.labels {
            for edge in &canvas.edges {
                let color = layer.class(edge.label).map_or([255; 3], |class| class.color);
                let [from, to] = [edge.from, edge.to].map(|[c, r]| page.corner(c as f32, r as f32));
                let color = Color32::from_rgb(color[0], color[1], color[2]);
                painter.line_segment([from, to], Stroke::new(1.4, color));
            }
        }
        if state.annotations {
            annotate(&painter, state, &view, slice, &page, picture);
        }
        strip_ui(ui, state, &view, slice, strip, commands);
        pointer(ui, state, image, &view, slice, &page, &response, canvas, commands)
    }

    /// Makes the texture anew where something about it changed.
    fn redraw(
        &mut self,
        ctx: &egui::Context,
        state: &State,
        image: &OpenImage,
        view: &PlaneView,
        slice: usize,
    ) {
        let layer = state.labels.as_ref().filter(|_| state.overlay.labels);
        let doubt = state.doubt.as_ref().filter(|_| state.overlay.doubt);
        let drawing = Drawing {
            image: image.id,
            slice,
            plane: view.plane,
            window: state.window,
            inverted: state.inverted,
            labels: layer.map(|layer| {
                let stamp = layer.slice_stamp(view.slice.axis, view.slice.voxel(slice));
                (stamp, state.overlay.opacity, state.overlay.drawn)
            }),
            doubt: doubt.map(|doubt| doubt.revision),
        };
        let canvas = &mut self.panes[State::pane_index(view.plane)];
        if canvas.drawn.as_ref() == Some(&drawing) {
            return;
        }
        let shades = match &self.shades {
            Some((id, window, inverted, shades))
                if (*id, *window, *inverted) == (image.id, state.window, state.inverted) =>
            {
                shades
            }
            _ => {
                let shades = Shades::new(state.window, state.inverted, &image.volume);
                let made = (image.id, state.window, state.inverted, shades);
                &self.shades.insert(made).3
            }
        };
        gray(&image.volume, view, slice, shades, &mut self.pixels);
        canvas.edges.clear();
        if let Some(layer) = layer {
            let opacity = (state.overlay.opacity * 255.0) as u8;
            let mut paints: [Paint; 256] = [([0; 3], 0); 256];
            for class in layer.classes.iter().filter(|class| class.visible) {
                paints[usize::from(class.value)] = (class.color, opacity);
            }
            if state.overlay.drawn != Drawn::Outline {
                paint(layer.labels(), view, slice, &paints, &mut self.pixels);
            }
            if state.overlay.drawn != Drawn::Fill {
                let mut shown = [false; 256];
                for class in layer.classes.iter().filter(|class| class.visible) {
                    shown[usize::from(class.value)] = true;
                }
                canvas.edges = outlines(layer.labels(), view, slice, |l| shown[usize::from(l)]);
            }
        }
        if let Some(doubt) = doubt {
            paint(&doubt.entropy, view, slice, &doubt_paints(), &mut self.pixels);
        }
        let size = [view.right.len, view.down.len];
        let most = ctx.input(|input| input.max_texture_side);
        let picture = color_image(&self.pixels, size, most);
        let options = TextureOptions {
            magnification: egui::TextureFilter::Nearest,
            minification: egui::TextureFilter::Linear,
            ..TextureOptions::default()
        };
        match &mut canvas.texture {
            Some(texture) => texture.set(picture, options),
            None => canvas.texture = Some(ctx.load_texture(view.plane.title(), picture, options)),
        }
        canvas.drawn = Some(drawing);
    }

    /// Brings the crosshair to the middle of every pane that was drawn.
    pub fn center_on_crosshair(&self, state: &mut State) {
        let Some(index) = state.crosshair_index() else { return };
        let Some(image) = &state.image else { return };
        for view in &image.views {
            let place = State::pane_index(view.plane);
            let Some((_, fit)) = self.panes[place].pane else { continue };
            let pane = &mut state.panes[place];
            let [_, column, row] = view.page(index);
            let size = [view.right.len, view.down.len].map(|n| n as f64);
            let share = [(column + 0.5) / size[0] - 0.5, (row + 0.5) / size[1] - 0.5];
            let page = fit * pane.zoom;
            pane.pan = [-(share[0] as f32) * page.x, -(share[1] as f32) * page.y];
        }
    }
}

/// Pixels as a texture takes them; of a picture that is too large every second, third and so on.
fn color_image(pixels: &[Rgb], [columns, rows]: [usize; 2], most: usize) -> ColorImage {
    let step = columns.max(rows).div_ceil(most.max(1)).max(1);
    let color = |pixel: &Rgb| Color32::from_rgb(pixel[0], pixel[1], pixel[2]);
    if step == 1 {
        return ColorImage::new([columns, rows], pixels.iter().map(color).collect());
    }
    let size = [columns.div_ceil(step), rows.div_ceil(step)];
    let picked = pixels
        .chunks(columns)
        .step_by(step)
        .flat_map(|row| row.iter().step_by(step).map(color))
        .collect();
    ColorImage::new(size, picked)
}

/// From nothing for certain over yellow to red for doubtful.
fn doubt_paints() -> [Paint; 256] {
    std::array::from_fn(|share| {
        let share = share as f32 / 255.0;
        let color = [255, (220.0 * (1.0 - share)) as u8, 40];
        (color, if share < 0.04 { 0 } else { (200.0 * share.sqrt()) as u8 })
    })
}

/// Size in points of a page that just fits into a pane.
fn fit(view: &PlaneView, pane: Rect) -> Vec2 {
    let size = vec2(
        (view.right.len as f64 * view.right.step) as f32,
        (view.down.len as f64 * view.down.step) as f32,
    );
    let room = pane.shrink(6.0).size().max(vec2(8.0, 8.0));
    size * (room.x / size.x).min(room.y / size.y)
}

/// A page on the screen.
struct Page {
    rect: Rect,
    /// Points per column and row.
    scale: Vec2,
}

impl Page {
    fn new(view: &PlaneView, state: &State, pane: Rect) -> Self {
        let look = state.pane(view.plane);
        let size = fit(view, pane) * look.zoom;
        let center = pane.center() + vec2(look.pan[0], look.pan[1]);
        let rect = Rect::from_center_size(center, size);
        Self { rect, scale: vec2(size.x / view.right.len as f32, size.y / view.down.len as f32) }
    }

    /// A corner of a pixel.
    fn corner(&self, column: f32, row: f32) -> Pos2 {
        self.rect.min + vec2(column * self.scale.x, row * self.scale.y)
    }

    /// Column and row at a place, whole at the middle of a pixel.
    fn at(&self, place: Pos2) -> [f64; 2] {
        let from = place - self.rect.min;
        [f64::from(from.x / self.scale.x) - 0.5, f64::from(from.y / self.scale.y) - 0.5]
    }
}

fn annotate(
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
            let image = state.image.as_ref();
            let other = image.and_then(|i| i.views.iter().find(|v| v.slice.axis == axis));
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
    words(
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
        words(pane.center_top() + vec2(0.0, 6.0), Align2::CENTER_TOP, top, style::BRIGHT);
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

/// The slider of a pane, with the risk of its slices where the model went through them.
fn strip_ui(
    ui: &mut Ui,
    state: &State,
    view: &PlaneView,
    slice: usize,
    rect: Rect,
    commands: &mut Vec<Command>,
) {
    let id = ui.scope_id().with(("strip", view.plane));
    let response = ui.interact(rect, id, Sense::click_and_drag());
    let (plane, last) = (view.plane, view.slice.len - 1);
    response.widget_info(|| {
        egui::WidgetInfo::slider(true, (slice + 1) as f64, format!("{} slider", plane.title()))
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

/// What the pointer does in a pane.
#[expect(clippy::too_many_arguments, reason = "all of a pane comes together here")]
fn pointer(
    ui: &Ui,
    state: &State,
    image: &OpenImage,
    view: &PlaneView,
    slice: usize,
    page: &Page,
    response: &Response,
    canvas: &mut Canvas,
    commands: &mut Vec<Command>,
) -> Option<Hover> {
    let plane = view.plane;
    let pane = response.rect;
    if response.double_clicked() {
        commands.push(Command::Enlarge(plane));
    }
    let shift = ui.input(|input| input.modifiers.shift);
    let moves = response.dragged_by(PointerButton::Middle)
        || (shift && response.dragged_by(PointerButton::Primary));
    let sets = response.clicked() || response.dragged_by(PointerButton::Primary);
    if moves {
        let delta = response.drag_delta();
        commands.push(Command::Pan(plane, [delta.x, delta.y]));
    } else if sets && let Some(place) = response.interact_pointer_pos() {
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
        let (steps, zoom) = wheel(ui, &mut canvas.wheel);
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
fn wheel(ui: &Ui, rest: &mut f32) -> (isize, f32) {
    let (moved, zoom) = ui.input(|input| {
        if input.modifiers.command || input.modifiers.ctrl {
            return (0.0, input.zoom_delta());
        }
        let mut moved = 0.0;
        for event in &input.events {
            if let egui::Event::MouseWheel { unit, delta, .. } = event {
                moved += match unit {
                    egui::MouseWheelUnit::Point => delta.y / POINTS_PER_SLICE,
                    egui::MouseWheelUnit::Line => delta.y,
                    egui::MouseWheelUnit::Page => delta.y * 5.0,
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

    #[test]
    fn a_picture_beyond_what_the_screen_takes_is_thinned_out() {
        let pixels: Vec<Rgb> = (0..15_u8).map(|n| [n; 3]).collect();
        let image = color_image(&pixels, [5, 3], 3);
        assert_eq!(image.size, [3, 2]);
        let first: Vec<u8> = image.pixels.iter().map(Color32::r).collect();
        assert_eq!(first, [0, 2, 4, 10, 12, 14]);
        assert_eq!(color_image(&pixels, [5, 3], 8).size, [5, 3]);
    }
}
