//! Charts as pixels, several on a sheet.

use image::RgbImage;

use super::{Chart, Line};
use crate::montage::Canvas;

type Color = [u8; 3];

const PAPER: Color = [255; 3];
const INK: Color = [30, 34, 40];
const FAINT: Color = [105, 112, 122];
const GRID: Color = [228, 231, 235];

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 44.0;
const HEADER: f64 = 46.0;
const WORDS: f64 = 15.0;

/// Draws charts in two columns under a heading; those that are empty are left out.
pub fn sheet(title: &str, charts: &[Chart]) -> RgbImage {
    let charts: Vec<&Chart> = charts.iter().filter(|chart| !chart.is_empty()).collect();
    let (columns, rows) = (charts.len().clamp(1, 2), charts.len().div_ceil(2).max(1));
    let size = [columns as f64 * WIDTH, HEADER + rows as f64 * HEIGHT];
    let mut canvas = Canvas::new(size[0] as u32, size[1] as u32, PAPER);
    let heading = canvas.fitting(22.0, size[0] - 2.0 * LEFT, title);
    canvas.text(LEFT, 34.0, 22.0, INK, &heading);
    for (place, chart) in charts.into_iter().enumerate() {
        let corner = [(place % 2) as f64 * WIDTH, HEADER + (place / 2) as f64 * HEIGHT];
        draw(&mut canvas, chart, corner);
    }
    canvas.into_image()
}

fn draw(canvas: &mut Canvas, chart: &Chart, [x, y]: [f64; 2]) {
    let (left, right) = (x + LEFT, x + WIDTH - RIGHT);
    let (top, bottom) = (y + TOP, y + HEIGHT - BOTTOM);
    let [across, up] = chart.axes([8, 5]);
    let column = |value: f64| Some(left + across.share(value)? * (right - left));
    let row = |value: f64| Some(bottom - up.share(value)? * (bottom - top));

    let y_of_title = y + 22.0;
    canvas.text(left, y_of_title, 18.0, INK, &chart.title);
    for &tick in &up.ticks {
        let Some(at) = row(tick) else { continue };
        canvas.stroke([left, at], [right, at], 1.0, GRID);
        let label = up.label(tick);
        let width = canvas.text_width(WORDS, &label);
        canvas.text(left - 8.0 - width, at + 5.0, WORDS, FAINT, &label);
    }
    for &tick in &across.ticks {
        let Some(at) = column(tick) else { continue };
        canvas.stroke([at, bottom], [at, bottom + 5.0], 1.0, FAINT);
        let label = across.label(tick);
        let width = canvas.text_width(WORDS, &label);
        canvas.text(at - width / 2.0, bottom + 20.0, WORDS, FAINT, &label);
    }
    canvas.stroke([left, bottom], [right, bottom], 1.0, FAINT);
    let width = canvas.text_width(WORDS, &chart.x);
    canvas.text(right - width, bottom + 38.0, WORDS, FAINT, &chart.x);

    for line in &chart.lines {
        let places: Vec<[f64; 2]> =
            line.finite().filter_map(|[x, y]| Some([column(x)?, row(y)?])).collect();
        let thick = if line.strong { 2.6 } else { 1.5 };
        for pair in places.windows(2) {
            canvas.stroke(pair[0], pair[1], thick, line.color);
        }
        if places.len() <= 24 {
            for &place in &places {
                canvas.dot(place, thick + 1.0, line.color);
            }
        }
    }
    if let Some(([at_x, at_y], words)) = &chart.mark
        && let (Some(x), Some(y)) = (column(*at_x), row(*at_y))
    {
        canvas.dot([x, y], 5.5, INK);
        canvas.dot([x, y], 3.5, PAPER);
        let width = canvas.text_width(WORDS, words);
        let from = right - width;
        canvas.dot([from - 12.0, y_of_title - 5.0], 5.5, INK);
        canvas.dot([from - 12.0, y_of_title - 5.0], 3.5, PAPER);
        canvas.text(from, y_of_title, WORDS, INK, words);
    }
    legend(canvas, &chart.lines, [left, y + 45.0], right);
}

/// The names of the lines in a row; what does not fit is said by number.
fn legend(canvas: &mut Canvas, lines: &[Line], [mut pen, baseline]: [f64; 2], right: f64) {
    let named: Vec<&Line> = lines.iter().filter(|line| !line.name.is_empty()).collect();
    for (place, line) in named.iter().enumerate() {
        let width = canvas.text_width(WORDS, &line.name);
        let room = if place + 1 < named.len() { 70.0 } else { 0.0 };
        if pen + 24.0 + width + room > right && place > 0 {
            canvas.text(pen, baseline, WORDS, FAINT, &format!("and {}", named.len() - place));
            return;
        }
        let middle = baseline - 5.0;
        let thick = if line.strong { 3.0 } else { 2.0 };
        canvas.stroke([pen, middle], [pen + 16.0, middle], thick, line.color);
        pen = canvas.text(pen + 22.0, baseline, WORDS, INK, &line.name) + 18.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_line_goes_from_lower_left_to_upper_right() {
        let chart = Chart {
            title: "Dice".to_owned(),
            x: "epoch".to_owned(),
            lines: vec![Line {
                name: "a".to_owned(),
                color: [255, 0, 0],
                strong: true,
                points: vec![[1.0, 0.0], [9.0, 1.0]],
            }],
            y_range: Some([0.0, 1.0]),
            logarithmic: false,
            mark: None,
        };
        let empty = Chart { lines: Vec::new(), ..chart.clone() };
        let picture = sheet("a run", &[empty, chart]);
        assert_eq!(picture.dimensions(), (640, 376));
        let red = |x: f64, y: f64| {
            let [r, g, _] = picture.get_pixel(x as u32, (HEADER + y) as u32).0;
            r > 200 && g < 80
        };
        assert!(red(LEFT, HEIGHT - BOTTOM - 1.0) && red(WIDTH - RIGHT, TOP + 1.0));
        let middle = [(LEFT + WIDTH - RIGHT) / 2.0, (TOP + HEIGHT - BOTTOM) / 2.0];
        assert!(red(middle[0], middle[1]));
        assert!(!red(LEFT + 10.0, TOP + 10.0));
    }
}
