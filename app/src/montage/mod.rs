//! One picture per case: slices through what was found, with its outlines.
//!
//! Takes voxels and labels as they are and a caption per class; computing what the
//! captions say is left to `cli/predict.rs`, choosing and turning slices to
//! `plane`, paint and letters to `canvas`.

mod canvas;
mod plane;
mod sheet;

use image::RgbImage;
use lamina_io::{LabelVolume, Volume};
use ndarray::{Array3, ArrayView2, Axis};

pub(crate) use canvas::Canvas;
use canvas::Color;
pub use plane::Plane;
use plane::slices_to_show;
pub(crate) use plane::{View, Window};
pub use sheet::{Panel, Pixels, Sheet};

const PAPER: Color = [18, 20, 24];
const INK: Color = [236, 238, 242];
const FAINT: Color = [138, 146, 160];
const WHITE: Color = [255; 3];

const MAX_SLICES: usize = 12;
const MAX_COLUMNS: usize = 4;
/// The longer side of a slice on the page, in pixels.
const TILE: f64 = 280.0;
const MARGIN: f64 = 24.0;
const GAP: f64 = 8.0;
const HEADER: f64 = 92.0;
const FOOTER: f64 = 40.0;
/// Width of an outline, in pixels.
const OUTLINE: f64 = 2.2;
/// How much of a class's color lies over what it covers.
const FILL: f64 = 0.16;
/// The darkest and the brightest share of voxels that are shown as black and white.
const TAILS: f64 = 0.005;

/// One class: how it is drawn and what is said about it.
#[derive(Debug, Clone)]
pub struct MontageClass {
    /// The label's value.
    pub label: u8,
    /// Its color.
    pub color: [u8; 3],
    /// What the legend says, such as "anterior 1.62 ml".
    pub caption: String,
}

/// What a montage is made of.
#[derive(Debug)]
pub struct Montage<'a> {
    /// The scan.
    pub volume: &'a Volume,
    /// What was found in it.
    pub prediction: &'a LabelVolume,
    /// What an annotator drew, where known: a dashed white line.
    pub reference: Option<&'a LabelVolume>,
    /// The classes, in the order of the legend.
    pub classes: &'a [MontageClass],
    /// The case.
    pub title: &'a str,
    /// What it was made with.
    pub footer: &'a str,
}

impl Montage<'_> {
    /// Draws the picture.
    pub fn draw(&self) -> RgbImage {
        let view = View::of(&self.volume.geometry);
        let voxels = view.turn(&self.volume.to_f32());
        let prediction = view.turn(&self.prediction.labels);
        let reference = self.reference.map(|reference| view.turn(&reference.labels));

        let slices = slices_to_show(&prediction, MAX_SLICES);
        let window = Window::around(&prediction);
        let brightness = Brightness::of(&voxels, &slices, window);
        let page = Page::new(slices.len(), window, view.spacing, self.legend_width());

        let mut canvas = Canvas::new(page.width as u32, page.height as u32, PAPER);
        self.draw_header(&mut canvas, &page, reference.is_some());
        for (position, &slice) in slices.iter().enumerate() {
            let tile = Tile { corner: page.corner(position), size: page.tile, window };
            let plane = |array: &Array3<u8>| array.index_axis(Axis(0), slice).to_owned();
            tile.paint_voxels(&mut canvas, &voxels.index_axis(Axis(0), slice), brightness);
            let labels = plane(&prediction);
            for class in self.classes {
                tile.paint_class(&mut canvas, &labels.view(), class, FILL);
            }
            if let Some(reference) = &reference {
                let labels = plane(reference);
                for class in self.classes {
                    tile.paint_reference(&mut canvas, &labels.view(), class.label);
                }
            }
            let letters = view.plane.letters().filter(|_| position == 0);
            tile.paint_marks(&mut canvas, slice + 1, voxels.dim().0, letters);
        }
        self.draw_footer(&mut canvas, &page, &view);
        canvas.into_image()
    }

    fn legend_width(&self) -> f64 {
        let canvas = Canvas::new(1, 1, PAPER);
        let captions: f64 =
            self.classes.iter().map(|class| canvas.text_width(17.0, &class.caption) + 46.0).sum();
        captions + if self.reference.is_some() { 120.0 } else { 0.0 }
    }

    fn draw_header(&self, canvas: &mut Canvas, page: &Page, has_reference: bool) {
        let title = canvas.fitting(26.0, page.width - 2.0 * MARGIN, self.title);
        canvas.text(MARGIN, 42.0, 26.0, INK, &title);
        let mut pen = MARGIN;
        let baseline = 74.0;
        for class in self.classes {
            canvas.rounded_rectangle([pen, baseline - 12.0, 13.0, 13.0], 3.0, class.color);
            pen = canvas.text(pen + 20.0, baseline, 17.0, INK, &class.caption) + 26.0;
        }
        if has_reference {
            for dash in 0..3 {
                canvas.rounded_rectangle(
                    [pen + f64::from(dash) * 8.0, baseline - 6.5, 5.0, 2.0],
                    1.0,
                    WHITE,
                );
            }
            canvas.text(pen + 30.0, baseline, 17.0, FAINT, "reference");
        }
    }

    fn draw_footer(&self, canvas: &mut Canvas, page: &Page, view: &View) {
        let baseline = page.height - 16.0;
        let [slice, row, column] = view.spacing;
        let plane = if view.spacing_known {
            format!("{}, {row:.2} × {column:.2} mm, slices every {slice:.2} mm", view.plane.name())
        } else {
            format!("{}, spacing unknown", view.plane.name())
        };
        let width = canvas.text_width(14.0, &plane);
        canvas.text(page.width - MARGIN - width, baseline, 14.0, FAINT, &plane);
        let room = page.width - 3.0 * MARGIN - width;
        let footer = canvas.fitting(14.0, room, self.footer);
        canvas.text(MARGIN, baseline, 14.0, FAINT, &footer);
    }
}

/// Where everything lies.
struct Page {
    width: f64,
    height: f64,
    left: f64,
    columns: usize,
    tile: [f64; 2], // height, width
}

impl Page {
    fn new(slices: usize, window: Window, spacing: [f64; 3], legend_width: f64) -> Self {
        let [rows, columns] = window.size();
        let (tall, wide) = (rows as f64 * spacing[1], columns as f64 * spacing[2]);
        let enlarge = TILE / tall.max(wide);
        let tile = [(tall * enlarge).round().max(1.0), (wide * enlarge).round().max(1.0)];
        let across = slices.clamp(1, MAX_COLUMNS);
        let down = slices.div_ceil(across).max(1);
        let grid = across as f64 * (tile[1] + GAP) - GAP;
        let width = grid.max(legend_width).max(560.0) + 2.0 * MARGIN;
        let height = HEADER + down as f64 * (tile[0] + GAP) - GAP + FOOTER;
        Self {
            width: width.ceil(),
            height: height.ceil(),
            left: ((width - grid) / 2.0).floor(),
            columns: across,
            tile,
        }
    }

    fn corner(&self, position: usize) -> [f64; 2] {
        let (row, column) = (position / self.columns, position % self.columns);
        [
            HEADER + row as f64 * (self.tile[0] + GAP),
            self.left + column as f64 * (self.tile[1] + GAP),
        ]
    }
}

/// From voxel values to gray.
#[derive(Clone, Copy)]
struct Brightness {
    black: f64,
    white: f64,
}

impl Brightness {
    /// From the voxels that will be seen, without their tails.
    fn of(voxels: &Array3<f32>, slices: &[usize], window: Window) -> Self {
        let mut seen: Vec<f32> = Vec::new();
        for &slice in slices {
            let plane = voxels.index_axis(Axis(0), slice);
            let part = plane.slice(ndarray::s![
                window.rows.0..window.rows.1,
                window.columns.0..window.columns.1
            ]);
            seen.extend(part.iter().filter(|value| value.is_finite()));
        }
        Self::of_values(seen)
    }

    /// From values that are all numbers.
    fn of_values(mut seen: Vec<f32>) -> Self {
        if seen.is_empty() {
            return Self { black: 0.0, white: 1.0 };
        }
        let mut at = |share: f64| {
            let position = (share * (seen.len() - 1) as f64).round() as usize;
            f64::from(*seen.select_nth_unstable_by(position, f32::total_cmp).1)
        };
        let (black, white) = (at(TAILS), at(1.0 - TAILS));
        Self { black, white: if white > black { white } else { black + 1.0 } }
    }

    fn gray(self, value: f64) -> Color {
        let share = ((value - self.black) / (self.white - self.black)).clamp(0.0, 1.0);
        [if share.is_nan() { 0 } else { (share * 255.0).round() as u8 }; 3]
    }
}

/// One slice on the page.
struct Tile {
    corner: [f64; 2],
    size: [f64; 2],
    window: Window,
}

impl Tile {
    fn pixels(&self) -> (usize, usize) {
        (self.size[0] as usize, self.size[1] as usize)
    }

    /// The place in the slice, in voxels, of a place on the tile, in pixels.
    fn source(&self, row: f64, column: f64) -> (f64, f64) {
        let [rows, columns] = self.window.size();
        (
            self.window.rows.0 as f64 + (row + 0.5) * rows as f64 / self.size[0] - 0.5,
            self.window.columns.0 as f64 + (column + 0.5) * columns as f64 / self.size[1] - 0.5,
        )
    }

    fn paint_voxels(&self, canvas: &mut Canvas, slice: &ArrayView2<f32>, brightness: Brightness) {
        let (height, width) = self.pixels();
        for row in 0..height {
            for column in 0..width {
                let (y, x) = self.source(row as f64, column as f64);
                let value = interpolate(y, x, catmull_rom, |j, i| f64::from(clamped(slice, j, i)));
                self.blend(canvas, row, column, brightness.gray(value), 1.0);
            }
        }
    }

    fn paint_class(
        &self,
        canvas: &mut Canvas,
        labels: &ArrayView2<u8>,
        class: &MontageClass,
        fill: f64,
    ) {
        self.for_inside(labels, class.label, |row, column, inside| {
            // The line lies just within the class, so that two that touch are both seen.
            let line = OUTLINE / 2.0 + 0.5 - (inside - OUTLINE / 2.0).abs();
            let fill = fill * (inside + 0.5).clamp(0.0, 1.0);
            self.blend(canvas, row, column, class.color, fill.max(line));
        });
    }

    fn paint_reference(&self, canvas: &mut Canvas, labels: &ArrayView2<u8>, label: u8) {
        self.for_inside(labels, label, |row, column, inside| {
            let dashed = (row + column) % 12 < 7;
            if dashed {
                self.blend(canvas, row, column, WHITE, 0.9 * (1.2 - inside.abs()));
            }
        });
    }

    /// Calls `paint` for the pixels near `label` with how far inside it they are, in pixels.
    fn for_inside(
        &self,
        labels: &ArrayView2<u8>,
        label: u8,
        mut paint: impl FnMut(usize, usize, f64),
    ) {
        if !labels.iter().any(|&found| found == label) {
            return;
        }
        let (height, width) = self.pixels();
        let share = ndarray::Array2::from_shape_fn((height, width), |(row, column)| {
            let (y, x) = self.source(row as f64, column as f64);
            let is_label = |j, i| f64::from(u8::from(clamped(labels, j, i) == label));
            // Half linear, which keeps a single voxel, half cubic, which rounds the steps.
            f64::midpoint(
                interpolate(y, x, linear, is_label),
                interpolate(y, x, b_spline, is_label),
            )
        });
        for row in 0..height {
            for column in 0..width {
                let at =
                    |row: usize, column: usize| share[[row.min(height - 1), column.min(width - 1)]];
                let here = share[[row, column]];
                let down = (at(row + 1, column) - at(row.saturating_sub(1), column)) / 2.0;
                let right = (at(row, column + 1) - at(row, column.saturating_sub(1))) / 2.0;
                let inside = (here - 0.5) / down.hypot(right).max(1e-6);
                if inside > -2.0 {
                    paint(row, column, inside);
                }
            }
        }
    }

    fn paint_marks(
        &self,
        canvas: &mut Canvas,
        slice: usize,
        slices: usize,
        letters: Option<[&str; 4]>,
    ) {
        let [top, left] = self.corner;
        let [height, width] = self.size;
        let write = |canvas: &mut Canvas, x: f64, y: f64, text: &str| {
            canvas.text(x + 1.0, y + 1.0, 15.0, PAPER, text); // a shadow, to be read on white
            canvas.text(x, y, 15.0, INK, text);
        };
        write(canvas, left + 7.0, top + height - 8.0, &format!("{slice}/{slices}"));
        if let Some([at_left, at_right, at_top, at_bottom]) = letters {
            write(canvas, left + 6.0, top + height / 2.0 + 5.0, at_left);
            write(canvas, left + width - 16.0, top + height / 2.0 + 5.0, at_right);
            write(canvas, left + width / 2.0 - 5.0, top + 17.0, at_top);
            write(canvas, left + width / 2.0 - 5.0, top + height - 8.0, at_bottom);
        }
    }

    fn blend(&self, canvas: &mut Canvas, row: usize, column: usize, color: Color, cover: f64) {
        let [top, left] = self.corner;
        canvas.blend(left as i64 + column as i64, top as i64 + row as i64, color, cover);
    }
}

/// The value at (j, i), or that of the nearest place inside.
fn clamped<T: Copy>(slice: &ArrayView2<T>, j: i64, i: i64) -> T {
    let (height, width) = slice.dim();
    slice[[j.clamp(0, height as i64 - 1) as usize, i.clamp(0, width as i64 - 1) as usize]]
}

/// Weights of the four neighbors at -1, 0, 1 and 2 for a place `t` behind the second.
type Kernel = fn(f64) -> [f64; 4];

fn linear(t: f64) -> [f64; 4] {
    [0.0, 1.0 - t, t, 0.0]
}

/// Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981, a = -1/2.
fn catmull_rom(t: f64) -> [f64; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        (-t3 + 2.0 * t2 - t) / 2.0,
        1.5 * t3 - 2.5 * t2 + 1.0,
        (-3.0 * t3 + 4.0 * t2 + t) / 2.0,
        (t3 - t2) / 2.0,
    ]
}

fn b_spline(t: f64) -> [f64; 4] {
    let (t2, t3) = (t * t, t * t * t);
    [
        (1.0 - t).powi(3) / 6.0,
        (3.0 * t3 - 6.0 * t2 + 4.0) / 6.0,
        (-3.0 * t3 + 3.0 * t2 + 3.0 * t + 1.0) / 6.0,
        t3 / 6.0,
    ]
}

fn interpolate(y: f64, x: f64, kernel: Kernel, value: impl Fn(i64, i64) -> f64) -> f64 {
    let (row, column) = (y.floor(), x.floor());
    let across = kernel(x - column);
    let mut sum = 0.0;
    for (down, weight) in kernel(y - row).into_iter().enumerate() {
        if weight != 0.0 {
            for (right, share) in across.into_iter().enumerate() {
                sum += weight
                    * share
                    * value(row as i64 + down as i64 - 1, column as i64 + right as i64 - 1);
            }
        }
    }
    sum
}
