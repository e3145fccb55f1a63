//! Single slices side by side, with labels over them: examples and the worst cases of a report.

use image::RgbImage;
use ndarray::ArrayView2;

use super::{
    Brightness, Canvas, FAINT, FILL, GAP, HEADER, INK, MARGIN, MontageClass, PAPER, TILE, Tile,
    WHITE, Window, catmull_rom, clamped, interpolate,
};

/// What a panel shows below its labels: `[height, width]`.
#[derive(Debug, Clone)]
pub enum Pixels<'a> {
    /// Values that become gray, the darkest and brightest few cut off.
    Gray(ArrayView2<'a, f32>),
    /// Red, green and blue, stretched alike.
    Color([ArrayView2<'a, f32>; 3]),
}

impl Pixels<'_> {
    fn size(&self) -> [usize; 2] {
        let (height, width) = match self {
            Self::Gray(gray) => gray.dim(),
            Self::Color([red, ..]) => red.dim(),
        };
        [height, width]
    }
}

/// A slice and the labels over it.
#[derive(Debug, Clone)]
pub struct Panel<'a> {
    /// The slice.
    pub pixels: Pixels<'a>,
    /// Labels that are filled and outlined in the colors of their classes.
    pub painted: Option<ArrayView2<'a, u8>>,
    /// Labels whose outline is a dashed white line.
    pub dashed: Option<ArrayView2<'a, u8>>,
    /// What stands below it.
    pub caption: String,
    /// The part that is shown; all of it unless given.
    pub window: Option<Window>,
}

/// Panels on a page.
#[derive(Debug, Clone)]
pub struct Sheet<'a> {
    /// The heading.
    pub title: &'a str,
    /// The classes, in the order of the legend.
    pub classes: &'a [MontageClass],
    /// The panels, row by row.
    pub panels: &'a [Panel<'a>],
    /// How many of them stand side by side.
    pub columns: usize,
    /// Height and width of a pixel, in any unit.
    pub spacing: [f64; 2],
}

/// Room for the words below a panel.
const CAPTION: f64 = 28.0;
/// How much of a class's color lies over a picture in colors.
const SCENE_FILL: f64 = 0.5;
/// A page is not made wider than this for its heading.
const LONGEST_HEADING: f64 = 860.0;
/// The longer side of a picture in colors, which has more to see.
const SCENE: f64 = 420.0;

impl Sheet<'_> {
    /// Draws the page.
    pub fn draw(&self) -> RgbImage {
        let sizes: Vec<[f64; 2]> = self.panels.iter().map(|panel| self.tile_size(panel)).collect();
        let largest = |axis: usize| sizes.iter().map(|size| size[axis]).fold(1.0, f64::max);
        let tile = [largest(0), largest(1)];
        let columns = self.columns.clamp(1, self.panels.len().max(1));
        let rows = self.panels.len().div_ceil(columns);
        let grid = columns as f64 * (tile[1] + GAP) - GAP;
        let heading = Canvas::new(1, 1, PAPER).text_width(22.0, self.title).min(LONGEST_HEADING);
        let width = (grid.max(heading) + 2.0 * MARGIN).max(440.0).ceil();
        let legend = self.legend(width);
        let header = HEADER + (legend.len().max(1) - 1) as f64 * 24.0;
        let height = header + rows as f64 * (tile[0] + CAPTION + GAP) + 8.0;
        let mut canvas = Canvas::new(width.ceil() as u32, height.ceil() as u32, PAPER);

        let title = canvas.fitting(22.0, width - 2.0 * MARGIN, self.title);
        canvas.text(MARGIN, 40.0, 22.0, INK, &title);
        for (row, entries) in legend.iter().enumerate() {
            let baseline = 72.0 + row as f64 * 24.0;
            for (x, entry) in entries {
                draw_entry(&mut canvas, *x, baseline, *entry);
            }
        }
        let left = ((width - grid) / 2.0).floor();
        for (place, (panel, size)) in self.panels.iter().zip(sizes).enumerate() {
            let (row, column) = ((place / columns) as f64, (place % columns) as f64);
            let corner =
                [header + row * (tile[0] + CAPTION + GAP), left + column * (tile[1] + GAP)];
            let [rows, columns] = panel.pixels.size();
            let whole = Window { rows: (0, rows), columns: (0, columns) };
            let drawn = Tile { corner, size, window: panel.window.unwrap_or(whole) };
            self.draw_panel(&mut canvas, panel, &drawn);
            let words = canvas.fitting(15.0, tile[1], &panel.caption);
            canvas.text(corner[1], corner[0] + size[0] + 19.0, 15.0, FAINT, &words);
        }
        canvas.into_image()
    }

    fn tile_size(&self, panel: &Panel<'_>) -> [f64; 2] {
        let [rows, columns] = panel.window.map_or(panel.pixels.size(), Window::size);
        let (tall, wide) = (rows as f64 * self.spacing[0], columns as f64 * self.spacing[1]);
        let longest = if matches!(panel.pixels, Pixels::Gray(_)) { TILE } else { SCENE };
        let enlarge = longest / tall.max(wide).max(f64::MIN_POSITIVE);
        [(tall * enlarge).round().max(1.0), (wide * enlarge).round().max(1.0)]
    }

    fn draw_panel(&self, canvas: &mut Canvas, panel: &Panel<'_>, tile: &Tile) {
        match &panel.pixels {
            Pixels::Gray(gray) => {
                let brightness = Brightness::of_values(seen(gray, tile.window));
                tile.paint_voxels(canvas, gray, brightness);
            }
            Pixels::Color(channels) => {
                let all = channels.iter().flat_map(|channel| seen(channel, tile.window));
                let brightness = Brightness::of_values(all.collect());
                paint_colors(canvas, channels, brightness, tile);
            }
        }
        // Classes that fill a whole scene are told apart by their area, organs by their outline.
        let fill = if matches!(panel.pixels, Pixels::Color(_)) { SCENE_FILL } else { FILL };
        for class in self.classes {
            if let Some(labels) = &panel.painted {
                tile.paint_class(canvas, labels, class, fill);
            }
        }
        for class in self.classes {
            if let Some(labels) = &panel.dashed {
                tile.paint_reference(canvas, labels, class.label);
            }
        }
    }

    /// Where each entry of the legend begins, line by line.
    fn legend(&self, width: f64) -> Vec<Vec<(f64, Entry<'_>)>> {
        let canvas = Canvas::new(1, 1, PAPER);
        let dashed = self.panels.iter().any(|panel| panel.dashed.is_some());
        let entries = self.classes.iter().map(Entry::Class);
        let mut lines: Vec<Vec<(f64, Entry<'_>)>> = vec![Vec::new()];
        let mut pen = MARGIN;
        for entry in entries.chain(dashed.then_some(Entry::Reference)) {
            let room = canvas.text_width(16.0, entry.words()) + 46.0;
            if pen + room > width && pen > MARGIN {
                lines.push(Vec::new());
                pen = MARGIN;
            }
            lines.last_mut().expect("there is a line").push((pen, entry));
            pen += room;
        }
        lines
    }
}

/// One entry of the legend.
#[derive(Debug, Clone, Copy)]
enum Entry<'a> {
    Class(&'a MontageClass),
    Reference,
}

impl Entry<'_> {
    fn words(&self) -> &str {
        match self {
            Self::Class(class) => &class.caption,
            Self::Reference => "reference",
        }
    }
}

fn draw_entry(canvas: &mut Canvas, x: f64, baseline: f64, entry: Entry<'_>) {
    match entry {
        Entry::Class(class) => {
            canvas.rounded_rectangle([x, baseline - 12.0, 13.0, 13.0], 3.0, class.color);
        }
        Entry::Reference => {
            for dash in 0..2 {
                let left = x + f64::from(dash) * 8.0;
                canvas.rounded_rectangle([left, baseline - 6.5, 5.0, 2.0], 1.0, WHITE);
            }
        }
    }
    canvas.text(x + 20.0, baseline, 16.0, INK, entry.words());
}

/// The numbers within a window.
fn seen(slice: &ArrayView2<f32>, window: Window) -> Vec<f32> {
    let part =
        slice.slice(ndarray::s![window.rows.0..window.rows.1, window.columns.0..window.columns.1]);
    part.iter().copied().filter(|value| value.is_finite()).collect()
}

fn paint_colors(
    canvas: &mut Canvas,
    channels: &[ArrayView2<f32>; 3],
    brightness: Brightness,
    tile: &Tile,
) {
    let (height, width) = tile.pixels();
    for row in 0..height {
        for column in 0..width {
            let (y, x) = tile.source(row as f64, column as f64);
            let color = [0, 1, 2].map(|channel: usize| {
                let channel = &channels[channel];
                let value =
                    interpolate(y, x, catmull_rom, |j, i| f64::from(clamped(channel, j, i)));
                brightness.gray(value)[0]
            });
            tile.blend(canvas, row, column, color, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn panels_stand_side_by_side_with_their_labels() {
        let slice = Array2::from_shape_fn([8, 8], |(row, _)| row as f32);
        let labels = Array2::from_shape_fn([8, 8], |(row, column)| u8::from(row > 3 && column > 3));
        let class = MontageClass { label: 1, color: [255, 0, 0], caption: "a class".to_owned() };
        let panel = |painted| Panel {
            pixels: Pixels::Gray(slice.view()),
            painted,
            dashed: None,
            caption: "below".to_owned(),
            window: None,
        };
        let panels = [panel(None), panel(Some(labels.view()))];
        let sheet = Sheet {
            title: "a case",
            classes: std::slice::from_ref(&class),
            panels: &panels,
            columns: 2,
            spacing: [1.0, 1.0],
        };
        let picture = sheet.draw();
        let reds = |from: u32, to: u32| {
            let red = |pixel: &image::Rgb<u8>| pixel.0[0] > 180 && pixel.0[1] < 90;
            picture
                .enumerate_pixels()
                .filter(|(x, y, pixel)| (from..to).contains(x) && *y > 100 && red(pixel))
                .count()
        };
        let middle = picture.width() / 2;
        assert_eq!(reds(0, middle), 0);
        assert!(reds(middle, picture.width()) > 200);
        // Rows that are twice as high make a panel that is.
        let tall = Sheet { spacing: [2.0, 1.0], ..sheet };
        assert!(tall.draw().width() < picture.width());
    }

    #[test]
    fn many_classes_take_more_lines() {
        let classes: Vec<MontageClass> = (0..12)
            .map(|label| MontageClass {
                label,
                color: [label; 3],
                caption: format!("a rather long class {label}"),
            })
            .collect();
        let sheet =
            Sheet { title: "", classes: &classes, panels: &[], columns: 3, spacing: [1.0, 1.0] };
        assert!(sheet.legend(440.0).len() > 3);
        assert!(sheet.draw().height() > 100);
    }
}
