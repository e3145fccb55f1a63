//! Charts for a page: lines, axes and words that scale, and nothing from outside.

use std::fmt::Write as _;

use super::Chart;
use crate::report::escaped;

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;

/// The chart with its heading and legend; empty where there is nothing to draw.
pub fn figure(chart: &Chart) -> String {
    if chart.is_empty() {
        return String::new();
    }
    let [across, up] = chart.axes([8, 5]);
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let column = |value: f64| Some(LEFT + across.share(value)? * (right - LEFT));
    let row = |value: f64| Some(bottom - up.share(value)? * (bottom - TOP));
    let mut svg = format!(
        "<figure class=\"chart\"><figcaption><b>{title}</b>{legend}</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">",
        title = escaped(&chart.title),
        legend = legend(chart),
    );
    for &tick in &up.ticks {
        let Some(y) = row(tick) else { continue };
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" />\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            up.label(tick)
        );
    }
    for &tick in &across.ticks {
        let Some(x) = column(tick) else { continue };
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 16.0,
            across.label(tick)
        );
    }
    let _ = write!(
        svg,
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\" />\
         <text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        bottom + 32.0,
        escaped(&chart.x)
    );
    for line in &chart.lines {
        let mut places: Vec<String> = line
            .finite()
            .filter_map(|[x, y]| Some(format!("{:.1},{:.1}", column(x)?, row(y)?)))
            .collect();
        if let [only] = &places[..] {
            places.push(only.clone()); // with round ends a line to itself is a dot
        }
        let [r, g, b] = line.color;
        let width = if line.strong { 2.4 } else { 1.4 };
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"#{r:02x}{g:02x}{b:02x}\" \
             stroke-width=\"{width}\" stroke-linecap=\"round\" stroke-linejoin=\"round\" />",
            places.join(" ")
        );
    }
    if let Some(([x, y], _)) = &chart.mark
        && let (Some(x), Some(y)) = (column(*x), row(*y))
    {
        let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" class=\"mark\" />");
    }
    svg.push_str("</svg></figure>\n");
    svg
}

fn legend(chart: &Chart) -> String {
    let mut html = String::new();
    for line in chart.lines.iter().filter(|line| !line.name.is_empty()) {
        let [r, g, b] = line.color;
        let _ = write!(
            html,
            " <span class=\"key\"><span class=\"swatch\" style=\"background:#{r:02x}{g:02x}{b:02x}\">\
             </span>{}</span>",
            escaped(&line.name)
        );
    }
    if let Some((_, words)) = &chart.mark {
        let _ = write!(html, " <span class=\"key\">○ {}</span>", escaped(words));
    }
    html
}
