//! Pictures for other people: a plane as it is shown, the window, each with the notice.

use image::{Rgb, RgbImage};

use crate::gui::pixels::{Edge, Paint, gray, outlines, paint};
use crate::gui::plane::{Plane, PlaneView};
use crate::gui::shades::Shades;
use crate::gui::state::{Drawn, RESEARCH_USE, State};
use crate::montage::Canvas;

/// The longer side of a plane, in pixels, unless its voxels are more.
const SIDE: f64 = 1000.0;
/// Height of the line below, in pixels.
const LINE: u32 = 30;
const PAPER: [u8; 3] = [18, 20, 24];
const INK: [u8; 3] = [200, 204, 210];

/// The plane in view, whole, in its true shape, with labels as they are shown.
pub fn plane(state: &State) -> Option<RgbImage> {
    let image = state.image.as_ref()?;
    let planes: Vec<Plane> = image.views.iter().map(|view| view.plane).collect();
    let shown = if planes.contains(&state.focus) { state.focus } else { *planes.first()? };
    let (view, slice) = (image.view(shown)?, state.slice(shown)?);
    let shades = Shades::new(state.window, state.inverted, &image.volume);
    let mut pixels = Vec::new();
    gray(&image.volume, view, slice, &shades, &mut pixels);
    let mut edges: Vec<Edge> = Vec::new();
    if let Some(layer) = state.labels.as_ref().filter(|_| state.overlay.labels) {
        let visible: Vec<_> = layer.classes.iter().filter(|class| class.visible).collect();
        if state.overlay.drawn != Drawn::Outline {
            let mut paints: [Paint; 256] = [([0; 3], 0); 256];
            for class in &visible {
                paints[usize::from(class.value)] =
                    (class.color, (state.overlay.opacity * 255.0) as u8);
            }
            paint(layer.labels(), view, slice, &paints, &mut pixels);
        }
        if state.overlay.drawn != Drawn::Fill {
            let is_shown = |label| visible.iter().any(|class| class.value == label);
            edges = outlines(layer.labels(), view, slice, is_shown);
        }
    }
    let size = [view.right, view.down].map(|run| run.len as f64 * run.step);
    let most_voxels = view.right.len.max(view.down.len) as f64;
    let enlarge = SIDE.max(most_voxels) / size[0].max(size[1]);
    let [width, height] = size.map(|side| ((side * enlarge).round() as u32).max(1));
    let mut canvas = Canvas::new(width, height + LINE, PAPER);
    let columns = view.right.len;
    for y in 0..height {
        let row = (f64::from(y) / f64::from(height) * view.down.len as f64) as usize;
        for x in 0..width {
            let column = (f64::from(x) / f64::from(width) * columns as f64) as usize;
            canvas.blend(x.into(), y.into(), pixels[row * columns + column], 1.0);
        }
    }
    let per_voxel = [f64::from(width) / columns as f64, f64::from(height) / view.down.len as f64];
    for edge in edges {
        let color = state.labels.as_ref().and_then(|layer| layer.class(edge.label));
        line(&mut canvas, edge, per_voxel, color.map_or([255; 3], |class| class.color));
    }
    write_marks(&mut canvas, view, slice, [width, height]);
    Some(canvas.into_image())
}

/// An outline of two pixels on the side of the label.
fn line(canvas: &mut Canvas, edge: Edge, per_voxel: [f64; 2], color: [u8; 3]) {
    let place = |end: [u32; 2]| [0, 1].map(|a| (f64::from(end[a]) * per_voxel[a]).round() as i64);
    let ([x0, y0], [x1, y1]) = (place(edge.from), place(edge.to));
    for y in y0.min(y1) - 1..=y0.max(y1) {
        for x in x0.min(x1) - 1..=x0.max(x1) {
            canvas.blend(x, y, color, 1.0);
        }
    }
}

fn write_marks(canvas: &mut Canvas, view: &PlaneView, slice: usize, [width, height]: [u32; 2]) {
    let (width, height) = (f64::from(width), f64::from(height));
    if let Some([left, right, top, bottom]) = view.plane.letters() {
        let mut letter = |x: f64, y: f64, text: &str| {
            canvas.text(x + 1.0, y + 1.0, 20.0, PAPER, text); // a shadow, to be read on white
            canvas.text(x, y, 20.0, [255; 3], text);
        };
        letter(8.0, height / 2.0 + 7.0, left);
        letter(width - 22.0, height / 2.0 + 7.0, right);
        letter(width / 2.0 - 7.0, 24.0, top);
        letter(width / 2.0 - 7.0, height - 10.0, bottom);
    }
    // A band of its own, also over outlines that reach the border.
    canvas.rounded_rectangle([0.0, height, width, f64::from(LINE)], 0.0, PAPER);
    let place = format!("{} {} of {}", view.plane.title(), slice + 1, view.slice.len);
    let place = match view.caveat() {
        Some(caveat) => format!("{place}, {caveat}"),
        None => place,
    };
    notice_line(canvas, height + 20.0, width, &place);
}

/// Writes the notice on the left and a few words on the right, where there is room.
fn notice_line(canvas: &mut Canvas, baseline: f64, width: f64, words: &str) {
    let size = 15.0;
    let notice = canvas.fitting(size, width - 16.0, RESEARCH_USE);
    let end = canvas.text(8.0, baseline, size, INK, &notice);
    let wide = canvas.text_width(size, words);
    if end + 24.0 + wide <= width - 8.0 {
        canvas.text(width - 8.0 - wide, baseline, size, INK, words);
    }
}

/// A picture of the window with a line below it that says what it is not for.
pub fn window(width: usize, pixels: &[[u8; 3]]) -> Option<RgbImage> {
    let height = pixels.len().checked_div(width)?;
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    let mut canvas = Canvas::new(width, height + LINE, PAPER);
    let words = format!("Lamina {}", env!("CARGO_PKG_VERSION"));
    notice_line(&mut canvas, f64::from(height) + 20.0, f64::from(width), &words);
    let mut picture = canvas.into_image();
    for (at, pixel) in pixels.iter().take((width * height) as usize).enumerate() {
        let at = at as u32;
        picture.put_pixel(at % width, at / width, Rgb(*pixel));
    }
    Some(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_keeps_its_pixels_and_gets_a_line_of_words() {
        let pixels: Vec<[u8; 3]> = (0..400_u32 * 20).map(|at| [(at % 251) as u8, 7, 9]).collect();
        let picture = window(400, &pixels).unwrap();
        assert_eq!(picture.dimensions(), (400, 20 + LINE));
        assert_eq!(picture.get_pixel(3, 2).0, [((2 * 400 + 3) % 251) as u8, 7, 9]);
        let ink = |from: u32, to: u32| {
            let rows = (20..20 + LINE).flat_map(|y| (from..to).map(move |x| (x, y)));
            rows.filter(|(x, y)| picture.get_pixel(*x, *y).0[0] > 120).count()
        };
        assert!(ink(0, 300) > 100, "the notice");
        assert!(window(0, &[]).is_none());
    }
}
