//! Pooled numbers: IoU over the pixels of all cases together, and which class was taken for which.

use std::fmt::Write as _;

use lamina_engine::metrics::statistics::Bootstrap;

use super::Results;
use super::numbers::Confusion;
use super::page::section;
use super::rows::{Rows, headings, interval, name, number};
use crate::report::escaped;
use crate::run::history::History;

/// IoU over the pixels of all cases together, and which class was taken for which.
pub fn pooled(page: &mut String, run: &Results, draw: &Bootstrap, several: bool) {
    let title = "Pooled: IoU over all pixels together";
    let title = if several { format!("{title}, {}", run.name) } else { title.to_owned() };
    let Some(pooled) = &run.pooled else {
        let validated = run.history.as_ref().and_then(History::kept);
        if let Some(epoch) = validated.filter(|epoch| epoch.pooled) {
            let mut rows = Rows::new("", &headings(&["Class", "IoU"]));
            for (class, iou) in &epoch.scores {
                rows.row("", &[class.clone(), number(*iou, 4)]);
            }
            rows.row("total", &["mIoU".to_owned(), number(epoch.mean_score, 4)]);
            let note = format!(
                "<p class=\"faint\">All pixels of all held-out cases in one matrix, as validated while \
                 training, in epoch {}: no mean over cases, and not to be mixed with one.</p>",
                epoch.epoch
            );
            section(page, &title, &(rows.end() + &note));
        }
        return;
    };
    let all = &pooled.all;
    let mean = pooled.interval(draw, |case| run.patient(case, None));
    let mut rows = Rows::new("", &headings(&["Class", "IoU", "95 % interval"]));
    let runs = std::slice::from_ref(run);
    for (class, &label) in all.labels.iter().enumerate() {
        rows.row("", &[name(runs, label), number(all.iou(class), 4), String::new()]);
    }
    rows.row("total", &["mIoU".to_owned(), number(all.mean_iou(), 4), interval(mean)]);
    let mut body = rows.end();
    let _ = write!(
        body,
        "<p>Pixel accuracy {}</p><p class=\"faint\">All pixels of all cases in one matrix: no mean over \
         cases, and not to be mixed with one.</p>",
        number(all.accuracy(), 4)
    );
    body += &matrix(all, |label| name(runs, label));
    section(page, &title, &body);
}

/// A confusion matrix as a heat map: the share of each class's reference that went where.
fn matrix(confusion: &Confusion, name: impl Fn(u8) -> String) -> String {
    let mut html =
        "<h3>Which class was taken for which, % of the reference</h3><div class=\"wide\">\
                    <table class=\"matrix\"><thead><tr><th></th>"
            .to_owned();
    for &label in &confusion.labels {
        let _ = write!(html, "<th>{}</th>", escaped(&name(label)));
    }
    html.push_str("</tr></thead><tbody>");
    for (row, &label) in confusion.rows.iter().zip(&confusion.labels) {
        let _ = write!(html, "<tr><th>{}</th>", escaped(&name(label)));
        let sum: u64 = row.iter().sum();
        for &count in row {
            let share = if sum > 0 { count as f64 / sum as f64 } else { 0.0 };
            // From white to blue; dark cells have white letters.
            let fade = |full: f64| (255.0 - (255.0 - full) * share.sqrt()).round() as u8;
            let (r, g, b) = (fade(20.0), fade(80.0), fade(150.0));
            let ink = if share > 0.35 { "#fff" } else { "#1d2127" };
            let words = if sum == 0 { "–".to_owned() } else { format!("{:.1}", 100.0 * share) };
            let _ = write!(
                html,
                "<td style=\"background:#{r:02x}{g:02x}{b:02x};color:{ink}\">{words}</td>"
            );
        }
        html.push_str("</tr>\n");
    }
    html.push_str(
        "</tbody></table></div><p class=\"faint\">Rows are the reference, columns the \
                   prediction; each row adds up to 100.</p>",
    );
    html
}
