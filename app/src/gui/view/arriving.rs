//! A volume that is still being read: the slices that are there, and where none are yet.

use eframe::egui::{
    self, Align2, Color32, ColorImage, FontId, Rect, Sense, Stroke, TextureHandle, TextureOptions,
    Ui, pos2, vec2,
};

use super::annotations::annotate;
use super::page::Page;
use super::strip::strip_ui;
use super::style;
use crate::gui::arriving::Arriving;
use crate::gui::command::Command;
use crate::gui::compare::Side;
use crate::gui::pixels::gray;
use crate::gui::plane::PlaneView;
use crate::gui::shades::Shades;
use crate::gui::state::State;

/// Height of the strip below a slice, in points.
const STRIP: f32 = 20.0;

/// Pictures of what has arrived, kept between frames.
#[derive(Default)]
pub struct ArrivingPictures {
    textures: [Option<TextureHandle>; 3],
    drawn: [u64; 3],
    wheel: f32,
}

impl ArrivingPictures {
    /// Draws the planes, each in one of `rects`.
    pub fn panes_ui(
        &mut self,
        ui: &mut Ui,
        state: &State,
        arriving: &Arriving,
        rects: &[Rect],
        commands: &mut Vec<Command>,
    ) {
        for (view, rect) in arriving.views.iter().zip(rects) {
            self.pane_ui(ui, state, arriving, view, *rect, commands);
        }
        if let Some(rect) = rects.get(arriving.views.len()) {
            facts_ui(ui, arriving, *rect);
        }
    }

    fn pane_ui(
        &mut self,
        ui: &mut Ui,
        state: &State,
        arriving: &Arriving,
        view: &PlaneView,
        rect: Rect,
        commands: &mut Vec<Command>,
    ) {
        let Some(slice) = state.slice(view.plane) else { return };
        let picture = Rect::from_min_max(rect.min, pos2(rect.right(), rect.bottom() - STRIP));
        let strip = Rect::from_min_max(pos2(rect.left(), picture.bottom()), rect.max);
        let page = Page::new(view, state, picture);
        let painter = ui.painter_at(picture);
        painter.rect_filled(picture, 0.0, style::PANE);

        // The slice that was asked for comes a moment later.
        let comes = view.slice.voxel(slice) != arriving.place[view.slice.axis];
        let [from, to] = arriving.part_of_page(view, slice);
        let corner = |[column, row]: [usize; 2]| page.corner(column as f32, row as f32);
        let there = Rect::from_min_max(corner(from), corner(to));
        if !comes {
            self.redraw(ui.ctx(), arriving, view);
            if let Some(texture) = &self.textures[State::pane_index(view.plane)] {
                let size = [view.right.len as f32, view.down.len as f32];
                let share =
                    |[column, row]: [usize; 2]| pos2(column as f32 / size[0], row as f32 / size[1]);
                let uv = Rect::from_min_max(share(from), share(to));
                painter.image(texture.id(), there, uv, Color32::WHITE);
            }
        }
        let is_there = arriving.is_there(view, slice);
        for missing in missing(page.rect, there) {
            hatch(&painter.with_clip_rect(missing.intersect(picture)), missing);
        }

        let id = ui.scope_id().with(("arriving", view.plane));
        let response = ui.interact(picture, id, Sense::click_and_drag());
        let name = format!("{} slice {} of {}", view.plane.title(), slice + 1, view.slice.len);
        let said = if is_there { name } else { format!("{name}, not read yet") };
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, said.clone()));
        if state.annotations {
            annotate(&painter, state, view, slice, &page, picture);
        }
        if !is_there {
            let font = FontId::proportional(13.0);
            let galley = painter.layout_no_wrap("Not read yet".to_owned(), font, style::TEXT);
            let place = picture.center() + vec2(0.0, 24.0); // below the crosshair
            let rect = Align2::CENTER_TOP.anchor_size(place, galley.size());
            painter.rect_filled(rect.expand2(vec2(3.0, 0.0)), 2.0, Color32::from_black_alpha(170));
            painter.galley(rect.min, galley, style::TEXT);
        }
        self.pointer(ui, view, slice, arriving, &page, &response, commands);
        strip_ui(ui, state, view, slice, strip, Side::Labels, commands);
    }

    #[expect(clippy::too_many_arguments, reason = "what a pane is made of")]
    fn pointer(
        &mut self,
        ui: &Ui,
        view: &PlaneView,
        slice: usize,
        arriving: &Arriving,
        page: &Page,
        response: &egui::Response,
        commands: &mut Vec<Command>,
    ) {
        if let Some(place) = response.interact_pointer_pos()
            && (response.clicked() || response.dragged_by(egui::PointerButton::Primary))
        {
            let [column, row] = page.at(place);
            let column = column.clamp(0.0, (view.right.len - 1) as f64).round();
            let row = row.clamp(0.0, (view.down.len - 1) as f64).round();
            let index = view.index(slice as f64, column, row);
            commands.push(Command::GoTo(arriving.geometry.ras_from_index().apply(index)));
        }
        if response.contains_pointer() {
            let (steps, _) = super::pointer::wheel(ui, &mut self.wheel);
            if steps != 0 {
                let to = slice.saturating_add_signed(steps).min(view.slice.len - 1);
                commands.push(Command::Slice(view.plane, to));
            }
        }
    }

    /// Makes a texture of the slice that is there.
    fn redraw(&mut self, ctx: &egui::Context, arriving: &Arriving, view: &PlaneView) {
        let place = State::pane_index(view.plane);
        if self.drawn[place] == arriving.number && self.textures[place].is_some() {
            return;
        }
        let most = ctx.input(|input| input.max_texture_side);
        let Some(slab) = arriving.slabs.get(view.slice.axis) else { return };
        if view.right.len.max(view.down.len) > most {
            return; // it is shown when it is whole
        }
        let shades = Shades::new(arriving.window, false, slab);
        let mut slab_view = *view;
        slab_view.slice.len = 1;
        let mut pixels = Vec::new();
        gray(slab, &slab_view, 0, &shades, &mut pixels);
        let image = ColorImage::new([view.right.len, view.down.len], pixels);
        match &mut self.textures[place] {
            Some(texture) => texture.set(image, TextureOptions::LINEAR),
            none => *none = Some(ctx.load_texture("arriving", image, TextureOptions::LINEAR)),
        }
        self.drawn[place] = arriving.number;
    }

    /// Lets go of the pictures once the volume is there.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

/// What is known already, in the pane that no plane needs.
fn facts_ui(ui: &mut Ui, arriving: &Arriving, rect: Rect) {
    ui.painter().rect_filled(rect, 0.0, style::PANEL);
    let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(rect.shrink(14.0)));
    ui.set_clip_rect(rect);
    let [depth, height, width] = arriving.geometry.shape();
    let name = egui::RichText::new(&arriving.name).size(14.5).color(style::BRIGHT);
    ui.add(egui::Label::new(name).truncate());
    ui.label(format!("{} of {depth} slices are read", arriving.there));
    ui.add_space(6.0);
    let faint = |text: String| egui::RichText::new(text).color(style::FAINT);
    ui.label(faint(format!("{width} × {height} × {depth} voxels")));
    if let Some([x, y, z]) = arriving.geometry.spacing_mm() {
        ui.label(faint(format!("{x:.3} × {y:.3} × {z:.3} mm")));
    }
    ui.label(faint("Tools and models wait until all of it is there.".to_owned()));
}

/// What of `page` lies beside `there`.
fn missing(page: Rect, there: Rect) -> Vec<Rect> {
    if !there.is_positive() {
        return vec![page];
    }
    [
        Rect::from_min_max(page.min, pos2(page.right(), there.top())),
        Rect::from_min_max(pos2(page.left(), there.bottom()), page.max),
        Rect::from_min_max(page.min, pos2(there.left(), page.bottom())),
        Rect::from_min_max(pos2(there.right(), page.top()), page.max),
    ]
    .into_iter()
    .filter(Rect::is_positive)
    .collect()
}

/// Slanted lines: nothing is known of what is here.
fn hatch(painter: &egui::Painter, rect: Rect) {
    let stroke = Stroke::new(1.0, Color32::from_gray(48));
    let mut x = rect.left() - rect.height();
    while x < rect.right() {
        let (from, to) = (pos2(x, rect.bottom()), pos2(x + rect.height(), rect.top()));
        painter.line_segment([from, to], stroke);
        x += 14.0;
    }
}
