//! What the tables of the page are made of.

use std::fmt::Write as _;

use lamina_engine::metrics::statistics::Interval;

use super::Results;
use crate::report::escaped;

/// A number, or a dash where there is none.
pub fn number(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) if value.is_infinite() => "∞".to_owned(),
        Some(value) => format!("{value:.digits$}"),
        None => "–".to_owned(),
    }
}

/// Both ends of an interval, or a dash.
pub fn interval(interval: Option<Interval>) -> String {
    interval.map_or("–".to_owned(), |found| format!("{:.3} to {:.3}", found.low, found.high))
}

/// A table; the first column holds words, the others numbers.
pub struct Rows {
    html: String,
    /// Whether all columns but the first hold numbers.
    numbers: bool,
}

impl Rows {
    /// A table of a class of the style; `words` have no numbers.
    pub fn new(class: &str, headings: &[String]) -> Self {
        let mut html = format!("<div class=\"wide\"><table class=\"{class}\"><thead><tr>");
        let numbers = class != "words";
        for (place, heading) in headings.iter().enumerate() {
            let class = if numbers && place > 0 { " class=\"number\"" } else { "" };
            let _ = write!(html, "<th{class}>{}</th>", escaped(heading));
        }
        html.push_str("</tr></thead><tbody>");
        Self { html, numbers }
    }

    /// Cells that are sorted by what they say.
    pub fn row(&mut self, class: &str, cells: &[String]) {
        let keyed: Vec<(String, String)> =
            cells.iter().map(|cell| (cell.clone(), cell.clone())).collect();
        self.keyed(class, &keyed);
    }

    /// Cells with what they are sorted by.
    pub fn keyed(&mut self, class: &str, cells: &[(String, String)]) {
        let _ = write!(self.html, "<tr class=\"{class}\">");
        for (place, (cell, key)) in cells.iter().enumerate() {
            let class = if self.numbers && place > 0 { " class=\"number\"" } else { "" };
            let _ = write!(
                self.html,
                "<td{class} data-key=\"{}\">{}</td>",
                escaped(key),
                escaped(cell)
            );
        }
        self.html.push_str("</tr>\n");
    }

    /// The table.
    pub fn end(mut self) -> String {
        self.html.push_str("</tbody></table></div>");
        self.html
    }
}

/// Headings that are known beforehand.
pub fn headings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// What a class is called.
pub fn name(runs: &[Results], label: u8) -> String {
    let classes = runs.iter().flat_map(|run| &run.report.summary.classes);
    let named = classes.filter(|class| class.label == label).find_map(|class| class.name.clone());
    named.unwrap_or_else(|| {
        let dataset = runs.iter().find_map(|run| run.dataset.as_ref());
        let class = dataset.and_then(|dataset| dataset.classes.get(usize::from(label)));
        class.map_or_else(|| format!("label {label}"), |class| class.name.clone())
    })
}
