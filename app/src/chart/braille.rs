//! Charts for a terminal, of braille dots: two across and four down in each character.

use super::Chart;

/// Draws the chart with `columns` characters of width and `rows` of height for its dots.
///
/// Lines are not told apart by color; the strong ones alone are drawn where there are any.
pub fn lines(chart: &Chart, columns: usize, rows: usize) -> Vec<String> {
    if chart.is_empty() || columns == 0 || rows == 0 {
        return Vec::new();
    }
    let [across, up] = chart.axes([6, 4]);
    let (width, height) = (2 * columns, 4 * rows);
    let mut dots = vec![vec![false; width]; height];
    let any_strong = chart.lines.iter().any(|line| line.strong);
    for line in chart.lines.iter().filter(|line| line.strong || !any_strong) {
        let places: Vec<[f64; 2]> = line
            .finite()
            .filter_map(|[x, y]| {
                let column = across.share(x)? * (width - 1) as f64;
                Some([column, (1.0 - up.share(y)?) * (height - 1) as f64])
            })
            .collect();
        if let [[x, y]] = places[..] {
            dots[y.round() as usize][x.round() as usize] = true;
        }
        for pair in places.windows(2) {
            connect(&mut dots, pair[0], pair[1]);
        }
    }
    let labels: Vec<(usize, String)> = up
        .ticks
        .iter()
        .filter_map(|&tick| {
            let row = (1.0 - up.share(tick)?) * (height - 1) as f64 / 4.0;
            Some((row as usize, up.label(tick)))
        })
        .collect();
    let margin = labels.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0);
    let mut text = vec![format!("{:margin$}  {}", "", chart.title)];
    for row in 0..rows {
        let label = labels.iter().find(|(at, _)| *at == row).map_or("", |(_, label)| label);
        let cells: String = (0..columns).map(|column| cell(&dots, row, column)).collect();
        let edge = if label.is_empty() { '│' } else { '┤' };
        text.push(format!("{label:>margin$} {edge}{}", cells.trim_end_matches('\u{2800}')));
    }
    let ends = across.ends().map(|end| across.label(end));
    text.push(format!("{:margin$} └{}", "", "─".repeat(columns)));
    let between = columns.saturating_sub(ends[0].len() + ends[1].len());
    text.push(format!("{:margin$}  {}{}{} {}", "", ends[0], " ".repeat(between), ends[1], chart.x));
    text
}

/// Dots along the straight way from one place to the next.
fn connect(dots: &mut [Vec<bool>], [x0, y0]: [f64; 2], [x1, y1]: [f64; 2]) {
    let steps = (x1 - x0).abs().max((y1 - y0).abs()).ceil().max(1.0) as usize;
    for step in 0..=steps {
        let share = step as f64 / steps as f64;
        let (x, y) = (x0 + (x1 - x0) * share, y0 + (y1 - y0) * share);
        dots[y.round() as usize][x.round() as usize] = true;
    }
}

/// The character of two by four dots; Unicode 16, block U+2800.
fn cell(dots: &[Vec<bool>], row: usize, column: usize) -> char {
    const BITS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
    let mut bits = 0;
    for (down, pair) in BITS.iter().enumerate() {
        for (right, bit) in pair.iter().enumerate() {
            if dots[4 * row + down][2 * column + right] {
                bits |= bit;
            }
        }
    }
    char::from_u32(0x2800 + bits).unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Line;

    #[test]
    fn a_line_that_rises_rises() {
        let points = (1..=9).map(|epoch| [f64::from(epoch), f64::from(epoch) / 10.0]).collect();
        let chart = Chart {
            title: "mean Dice".to_owned(),
            x: "epoch".to_owned(),
            lines: vec![Line { name: String::new(), color: [0; 3], strong: true, points }],
            y_range: Some([0.0, 1.0]),
            logarithmic: false,
            mark: None,
        };
        let text = lines(&chart, 12, 4).join("\n");
        assert_eq!(
            text,
            "     mean Dice\n\
             1.0 ┤⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⡠⠔\n\
             0.5 ┤⠀⠀⠀⠀⠀⠀⣀⠤⠒⠉\n    \
             │⠀⠀⢀⡠⠔⠊⠁\n  \
             0 ┤⠔⠊⠁\n    \
             └────────────\n     1          9 epoch"
        );
    }

    #[test]
    fn nothing_to_draw_is_no_line() {
        let chart = Chart {
            title: String::new(),
            x: String::new(),
            lines: Vec::new(),
            y_range: None,
            logarithmic: false,
            mark: None,
        };
        assert!(lines(&chart, 10, 3).is_empty());
    }
}
