//! A pane: a slice with its overlays.
//!
//! A slice becomes a texture when something about it changes, not once per frame.

use eframe::egui::{
    self, Color32, ColorImage, Mesh, Painter, Rect, Sense, Shape, TextureFilter, TextureHandle,
    TextureOptions, Ui, Vec2, pos2, vec2,
};

use super::annotations::annotate;
use super::arriving::ArrivingPictures;
use super::compare::{curve_height, curve_ui, dashed_outlines, mark};
use super::model::{doubt_paints, probability_paints};
use super::page::{Page, fit};
use super::pointer::{Pointed, pointer};
use super::region::region_ui;
use super::strip::strip_ui;
use super::strokes::tool_ui;
use super::style;
use crate::gui::command::Command;
use crate::gui::compare::Side;
use crate::gui::labels::{LabelClass, Stamp};
use crate::gui::pixels::{Edge, LabelPage, Paint, gray, outlines, paint};
use crate::gui::plane::{Plane, PlaneView};
use crate::gui::segment::Overlay;
use crate::gui::shades::{Shades, Window};
use crate::gui::state::{Drawn, Hover, OpenImage, State};

/// Height of the strip below a slice, in points.
const STRIP: f32 = 20.0;

/// Everything that is drawn with, kept between frames.
#[derive(Default)]
pub struct Canvases {
    panes: [Canvas; 3],
    /// The pane of the reference beside the labels.
    reference: Canvas,
    shades: Option<(u64, Window, bool, Shades)>,
    /// Those of a volume that is being read.
    pub arriving: ArrivingPictures,
    /// Small ones of what there is to choose from.
    pub thumbnails: Vec<Option<TextureHandle>>,
}

/// One pane's picture.
#[derive(Default)]
struct Canvas {
    texture: Option<TextureHandle>,
    drawn: Option<Drawing>,
    edges: Vec<Edge>,
    /// Those of the reference over the labels.
    reference_edges: Vec<Edge>,
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
    /// Whether voxels are at least as large as the dots of the screen.
    magnified: bool,
    outlined: Option<Stamp>,
    probability: Option<u64>,
}

impl Canvases {
    /// Draws one pane; answers what is under the pointer.
    pub fn pane_ui(
        &mut self,
        ui: &mut Ui,
        state: &State,
        (plane, side): (Plane, Side),
        rect: Rect,
        commands: &mut Vec<Command>,
    ) -> Option<Hover> {
        let (image, slice) = (state.image.as_ref()?, state.slice(plane)?);
        let view = *image.view(plane)?;
        let curve = curve_height(state, &view);
        let below = rect.bottom() - STRIP - curve;
        let picture = Rect::from_min_max(rect.min, pos2(rect.right(), below));
        let strip = Rect::from_min_size(picture.left_bottom(), vec2(rect.width(), STRIP));
        let curve = Rect::from_min_max(strip.left_bottom(), rect.max);
        let page = Page::new(&view, state, picture);
        let magnified = page.scale.min_elem() * ui.ctx().pixels_per_point() >= 1.0;
        self.redraw(ui.ctx(), state, image, (&view, side), slice, magnified);
        let canvas = self.canvas(plane, side);
        canvas.pane = Some((picture, fit(&view, picture)));

        let id = ui.scope_id().with(("pane", plane, side));
        let response = ui.interact(picture, id, Sense::click_and_drag());
        let name = format!("{} slice {} of {}", plane.title(), slice + 1, view.slice.len);
        let name = match side {
            Side::Labels if state.compare.held => format!("{name}, showing the reference"),
            Side::Labels => name,
            Side::Reference => format!("Reference, {}", name.to_lowercase()),
        };
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, name.clone()));
        let painter = ui.painter_at(picture);
        ground(&painter, picture, page.rect);
        if let Some(texture) = &canvas.texture {
            let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            painter.image(texture.id(), page.rect, whole, Color32::WHITE);
        }
        if !canvas.edges.is_empty() {
            painter.add(outline_mesh(&painter, &rows(state, side), &canvas.edges, &page));
        }
        dashed_outlines(&painter, &page, &canvas.reference_edges);
        region_ui(&painter, state, &view, slice, &page);
        if state.annotations {
            annotate(&painter, state, &view, slice, &page, picture);
        }
        mark(&painter, state, &view, slice, &page, picture, side);
        strip_ui(ui, state, &view, slice, strip, side, commands);
        curve_ui(ui, state, &view, slice, (curve, side), commands);
        let pointed = Pointed { image, view: &view, slice, page: &page, response: &response };
        tool_ui(&painter, state, &pointed);
        pointer(ui, state, &pointed, &mut canvas.wheel, commands)
    }

    fn canvas(&mut self, plane: Plane, side: Side) -> &mut Canvas {
        match side {
            Side::Labels => &mut self.panes[State::pane_index(plane)],
            Side::Reference => &mut self.reference,
        }
    }

    /// Makes the texture anew where something about it changed.
    fn redraw(
        &mut self,
        ctx: &egui::Context,
        state: &State,
        image: &OpenImage,
        (view, side): (&PlaneView, Side),
        slice: usize,
        magnified: bool,
    ) {
        let layer = state.labels.as_ref();
        let across = (view.slice.axis, view.slice.voxel(slice));
        let shown = match state.compare.shown_on(side) {
            Some(reference) => Some((&*reference.labels, reference.stamp(layer))),
            None if side == Side::Reference => None,
            None => layer.map(|layer| (layer.labels(), layer.slice_stamp(across.0, across.1))),
        };
        let shown = shown.filter(|_| state.overlay.labels);
        let outlined = state.compare.reference.as_ref().filter(|_| {
            let compare = &state.compare;
            compare.outlined && compare.shown_on(side).is_none() && state.overlay.labels
        });
        let doubt = state.doubt.as_ref().filter(|_| state.segment.overlay == Overlay::Doubt);
        let probability = state.segment.painted();
        let drawing = Drawing {
            image: image.id,
            slice,
            plane: view.plane,
            window: state.window,
            inverted: state.inverted,
            labels: shown.map(|(_, stamp)| (stamp, state.overlay.opacity, state.overlay.drawn)),
            doubt: doubt.map(|doubt| doubt.revision),
            magnified,
            outlined: outlined.map(|reference| reference.stamp(layer)),
            probability: probability.map(|layer| layer.revision),
        };
        let canvas = match side {
            Side::Labels => &mut self.panes[State::pane_index(view.plane)],
            Side::Reference => &mut self.reference,
        };
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
        let mut pixels: Vec<Color32> = Vec::new();
        canvas.edges.clear();
        canvas.reference_edges.clear();
        let mut paints: [Paint; 256] = [([0; 3], 0); 256];
        let mut filled = None;
        if let Some((labels, _)) = shown {
            let labels = LabelPage::new(labels, view, slice);
            let opacity = (state.overlay.opacity * 255.0) as u8;
            let rows = rows(state, side);
            for class in rows.iter().filter(|class| class.visible) {
                paints[usize::from(class.value)] = (class.color, opacity);
            }
            if state.overlay.drawn != Drawn::Fill {
                let visible = visible(&rows);
                canvas.edges = labels.outlines(|label| visible[usize::from(label)]);
            }
            // Under probabilities a fill would change their colors.
            let fills = state.overlay.drawn != Drawn::Outline && probability.is_none();
            filled = fills.then_some(labels);
        }
        if let Some(reference) = outlined {
            let visible = visible(&reference.rows(layer));
            canvas.reference_edges =
                outlines(&reference.labels, view, slice, |l| visible[usize::from(l)]);
        }
        gray(&image.volume, view, slice, shades, &mut pixels);
        if let Some(labels) = filled {
            labels.paint_gray(&paints, &mut pixels);
        }
        if let Some(doubt) = doubt {
            paint(&doubt.entropy, view, slice, &doubt_paints(), &mut pixels);
        }
        if let Some(layer) = probability {
            paint(&layer.values, view, slice, &probability_paints(), &mut pixels);
        }
        let size = [view.right.len, view.down.len];
        let most = ctx.input(|input| input.max_texture_side);
        let picture = color_image(pixels, size, most);
        // The same for both: a renderer without a card need not find out for each dot which it is.
        let filter = if magnified { TextureFilter::Nearest } else { TextureFilter::Linear };
        let options = TextureOptions {
            magnification: filter,
            minification: filter,
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

/// Fills what a page leaves of its pane; what it covers is not drawn twice.
fn ground(painter: &Painter, pane: Rect, page: Rect) {
    let page = page.intersect(pane);
    if !page.is_positive() {
        painter.rect_filled(pane, 0.0, style::PANE);
        return;
    }
    // A little under the page, whose edges may lie between two dots.
    let inner = page.shrink(1.0);
    for rect in [
        Rect::from_min_max(pane.min, pos2(pane.right(), inner.top())),
        Rect::from_min_max(pos2(pane.left(), inner.bottom()), pane.max),
        Rect::from_min_max(pos2(pane.left(), inner.top()), pos2(inner.left(), inner.bottom())),
        Rect::from_min_max(pos2(inner.right(), inner.top()), pos2(pane.right(), inner.bottom())),
    ] {
        painter.rect_filled(rect, 0.0, style::PANE);
    }
}

/// Thickness of outlines, in points.
const OUTLINE: f32 = 1.4;

/// All outlines of a page as one shape, in whole dots of the screen.
fn outline_mesh(painter: &Painter, rows: &[LabelClass], edges: &[Edge], page: &Page) -> Shape {
    let dots = painter.pixels_per_point();
    let whole = |points: f32| (points * dots).round() / dots;
    let thick = (OUTLINE * dots).round().max(1.0) / dots;
    let before = (thick * dots / 2.0).floor() / dots;
    let clip = painter.clip_rect().expand(2.0);
    let mut mesh = Mesh::default();
    for edge in edges {
        let [from, to] = [edge.from, edge.to].map(|[column, row]| {
            let place = page.corner(column as f32, row as f32);
            pos2(whole(place.x) - before, whole(place.y) - before)
        });
        let rect = Rect::from_min_max(from, to + vec2(thick, thick));
        if clip.intersects(rect) {
            let [r, g, b] =
                rows.iter().find(|row| row.value == edge.label).map_or([255; 3], |row| row.color);
            mesh.add_colored_rect(rect, Color32::from_rgb(r, g, b));
        }
    }
    Shape::mesh(mesh)
}

/// Names and looks of the labels that a side shows.
fn rows(state: &State, side: Side) -> Vec<LabelClass> {
    match state.compare.shown_on(side) {
        Some(reference) => reference.rows(state.labels.as_ref()),
        None => state.labels.as_ref().map_or_else(Vec::new, |layer| layer.classes.clone()),
    }
}

fn visible(rows: &[LabelClass]) -> [bool; 256] {
    let mut visible = [false; 256];
    for row in rows.iter().filter(|row| row.visible) {
        visible[usize::from(row.value)] = true;
    }
    visible
}

/// Pixels as a texture takes them; of a picture that is too large every second, third and so on.
fn color_image(pixels: Vec<Color32>, [columns, rows]: [usize; 2], most: usize) -> ColorImage {
    let step = columns.max(rows).div_ceil(most.max(1)).max(1);
    if step == 1 {
        return ColorImage::new([columns, rows], pixels);
    }
    let size = [columns.div_ceil(step), rows.div_ceil(step)];
    let picked = pixels
        .chunks(columns)
        .step_by(step)
        .flat_map(|row| row.iter().step_by(step).copied())
        .collect();
    ColorImage::new(size, picked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_beyond_what_the_screen_takes_is_thinned_out() {
        let pixels: Vec<Color32> = (0..15).map(Color32::from_gray).collect();
        let image = color_image(pixels.clone(), [5, 3], 3);
        assert_eq!(image.size, [3, 2]);
        let first: Vec<u8> = image.pixels.iter().map(Color32::r).collect();
        assert_eq!(first, [0, 2, 4, 10, 12, 14]);
        assert_eq!(color_image(pixels, [5, 3], 8).size, [5, 3]);
    }
}
