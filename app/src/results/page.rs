//! The page of one run or several: one file that needs nothing else.
//!
//! Scripts and styles are inside and allowed by their hash; pictures are inside too. What failed
//! comes first, then the numbers, the worst cases, the course of training, and how it was done.

use std::fmt::Write as _;

use lamina_engine::metrics::statistics::Bootstrap;
use sha2::{Digest, Sha256};

use super::overlays::Overlay;
use super::{Results, Settings};
use super::{scene, sections};
use crate::chart::{COLORS, Chart, Line, svg};
use crate::report::{NOTICE, STYLE, base64, escaped};
use crate::run::curves;
use crate::run::history::History;

/// Sorts a table by the column whose heading is pressed. Holds no `<` and no `>`.
const SCRIPT: &str = include_str!("sort.js");

/// What is added to the style of a case's report.
const MORE_STYLE: &str = "\
body{max-width:72rem}\
section{break-inside:auto}h2{break-after:avoid}tr{break-inside:avoid}\
.wide{overflow-x:auto}\
.wide th,.wide td{overflow-wrap:normal}\
.wide td.number{white-space:nowrap}\
.wide table.runs td.number{white-space:normal}\
.wide td:first-child{overflow-wrap:anywhere;min-width:6.5em}\
table.sortable th{cursor:pointer}\
table.sortable th:hover{text-decoration:underline}\
tr.total td{font-weight:600;border-top:2px solid #d5d9df}\
.bad{color:#a32020}\
figure.chart{display:inline-block;width:49%;min-width:20rem;margin:.4rem 0;vertical-align:top}\
figure.chart svg{width:100%;height:auto;display:block}\
svg text{font-size:12px;fill:#5d6672}\
svg text.mark{fill:#1d2127}\
svg .grid{stroke:#e3e6ea}\
svg .axis{stroke:#8b939e}\
svg circle.mark{fill:#fff;stroke:#1d2127;stroke-width:2}\
.key{margin-left:.8em;white-space:nowrap}\
figure.case{display:inline-block;width:49%;min-width:20rem;vertical-align:top}\
figure.case img{width:auto;max-width:100%}\
table.matrix{width:auto;font-size:.85rem;border-collapse:separate;border-spacing:1px}\
table.matrix td,table.matrix th{padding:.2rem .45rem;border:0;text-align:right}\
table.matrix td{print-color-adjust:exact;-webkit-print-color-adjust:exact}\
pre{background:#f5f6f8;border-radius:4px;padding:.7rem .9rem;overflow-x:auto;font-size:.85rem;white-space:pre-wrap;overflow-wrap:anywhere}\
details{margin:.4rem 0}summary{cursor:pointer}\
@media print{.wide table{font-size:8.5pt}.wide th,.wide td{padding-right:.5rem}figure.chart,figure.case{width:48%;min-width:0}body{max-width:none}}";

/// What the page is made of.
#[derive(Debug)]
pub struct Page<'a> {
    /// The runs, the first of which others are held against.
    pub runs: &'a [Results],
    /// The worst cases of each run, worst first.
    pub worst: Vec<Vec<Overlay>>,
    /// How intervals are drawn.
    pub bootstrap: Bootstrap,
    /// When the page was made, as people read it.
    pub made: String,
}

impl Page<'_> {
    /// The page.
    ///
    /// # Errors
    /// When a picture cannot be encoded.
    pub fn html(&self) -> anyhow::Result<String> {
        let names: Vec<&str> = self.runs.iter().map(|run| run.name.as_str()).collect();
        let title = names.join(", ");
        let hash = base64(&Sha256::digest(SCRIPT.as_bytes()));
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{hash}'\" />\n\
             <meta name=\"viewport\" content=\"width=device-width\" />\n\
             <title>{title}: what was measured</title>\n<style>{STYLE}{MORE_STYLE}</style>\n</head>\n\
             <body>\n<header><h1>What was measured: {title}</h1>\n\
             <p class=\"faint\">Made {made} by Lamina {version}</p>\n\
             <p class=\"notice\">{NOTICE}</p></header>\n",
            title = escaped(&title),
            made = escaped(&self.made),
            version = env!("CARGO_PKG_VERSION"),
        );
        sections::origins(&mut page, self.runs);
        sections::failures(&mut page, self.runs);
        for run in self.runs {
            scene::pooled(&mut page, run, &self.bootstrap, self.runs.len() > 1);
        }
        sections::summary(&mut page, self.runs, &self.bootstrap);
        sections::differences(&mut page, self.runs, &self.bootstrap);
        for (run, worst) in self.runs.iter().zip(&self.worst) {
            self.worst_cases(&mut page, run, worst)?;
        }
        self.courses(&mut page);
        sections::cases(&mut page, self.runs);
        for run in self.runs {
            self.settings(&mut page, run);
        }
        let _ = write!(
            page,
            "<footer><p>{NOTICE}.</p>\n<p>Names of cases are those of the data set. This page holds no \
             path of a machine and needs no network.</p></footer>\n<script>{SCRIPT}</script>\n\
             </body>\n</html>\n"
        );
        Ok(page)
    }

    /// A heading with the run's name where there are several.
    fn heading(&self, words: &str, run: &Results) -> String {
        if self.runs.len() > 1 { format!("{words}: {}", run.name) } else { words.to_owned() }
    }

    fn worst_cases(
        &self,
        page: &mut String,
        run: &Results,
        worst: &[Overlay],
    ) -> anyhow::Result<()> {
        if worst.is_empty() {
            return Ok(());
        }
        let mut body = String::new();
        let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
        for overlay in worst {
            let picture = match &overlay.picture {
                Ok(picture) => picture,
                Err(reason) => {
                    match reasons.iter_mut().find(|(known, _)| known == reason) {
                        Some((_, cases)) => cases.push(overlay.case.clone()),
                        None => reasons.push((reason.clone(), vec![overlay.case.clone()])),
                    }
                    continue;
                }
            };
            let mut png = std::io::Cursor::new(Vec::new());
            picture.write_to(&mut png, image::ImageFormat::Png)?;
            let (width, height) = picture.dimensions();
            let dice = overlay.dice.map_or(String::new(), |dice| format!(", mean Dice {dice:.3}"));
            let _ = writeln!(
                body,
                "<figure class=\"case\"><img alt=\"{case}: image, prediction and reference\" \
                 width=\"{width}\" height=\"{height}\" src=\"data:image/png;base64,{}\" />\
                 <figcaption>{case}{dice}</figcaption></figure>",
                base64(png.get_ref()),
                case = escaped(&overlay.case),
            );
        }
        for (reason, cases) in reasons {
            let _ = writeln!(
                body,
                "<p class=\"faint\">Without a picture, {}: {}</p>",
                escaped(&cases.join(", ")),
                escaped(&reason)
            );
        }
        let note = "<p class=\"faint\">Worst first; the slice in which prediction and reference differ \
                    most. The prediction is filled, the reference a dashed white line.</p>";
        section(page, &self.heading("Worst cases", run), &(note.to_owned() + &body));
        Ok(())
    }

    /// The curves of each run, or of the folds of a cross-validation together.
    fn courses(&self, page: &mut String) {
        let together: Vec<(&str, &History)> = self
            .runs
            .iter()
            .filter_map(|run| Some((run.name.as_str(), run.history.as_ref()?)))
            .collect();
        if together.len() > 1 {
            let figure = svg::figure(&side_by_side("Held-out cases, mean over classes", &together));
            section(page, "Courses of training", &figure);
        }
        for run in self.runs {
            let mut body = String::new();
            if let Some(history) = &run.history {
                body.extend(curves::charts(history).iter().map(svg::figure));
            }
            if !run.folds.is_empty() {
                let folds: Vec<(&str, &History)> =
                    run.folds.iter().map(|(name, history)| (name.as_str(), history)).collect();
                let title = "Held-out cases of each fold, mean over classes";
                body += &svg::figure(&side_by_side(title, &folds));
            }
            body += &examples(run);
            if !body.is_empty() {
                section(page, &self.heading("Course of training", run), &body);
            }
        }
    }

    fn settings(&self, page: &mut String, run: &Results) {
        let Settings { experiment, dataset, environment, commands } = &run.settings;
        let mut body = String::new();
        if !environment.is_empty() {
            body += &crate::report::facts_table(environment);
        }
        if !commands.is_empty() {
            let _ = write!(body, "<pre>{}</pre>", lines(&commands.join("\n")));
        }
        for (name, text) in
            [("The experiment, config.toml", experiment), ("The data set, dataset.toml", dataset)]
        {
            if let Some(text) = text {
                let _ = write!(
                    body,
                    "<details><summary>{name}</summary><pre>{}</pre></details>",
                    lines(text)
                );
            }
        }
        if !body.is_empty() {
            section(page, &self.heading("How it was done", run), &body);
        }
    }
}

/// The mean of several courses in one chart.
fn side_by_side(title: &str, courses: &[(&str, &History)]) -> Chart {
    let lines = courses.iter().enumerate().map(|(place, (name, history))| Line {
        name: (*name).to_owned(),
        color: COLORS[place % COLORS.len()],
        strong: false,
        points: history
            .epochs
            .iter()
            .filter_map(|epoch| Some([epoch.epoch as f64, epoch.mean_score?]))
            .collect(),
    });
    Chart {
        title: title.to_owned(),
        x: "epoch".to_owned(),
        lines: lines.collect(),
        y_range: None,
        logarithmic: false,
        mark: None,
    }
}

/// The examples that the training drew of its first batch and of the best epoch.
fn examples(run: &Results) -> String {
    let mut html = String::new();
    let Some(folder) = run.folder.as_ref().map(|folder| folder.join("examples")) else {
        return html;
    };
    for (name, words) in [
        ("held_out_worst.png", "The worst held-out case of the best epoch"),
        ("held_out_median.png", "The median held-out case of the best epoch"),
        ("held_out_best.png", "The best held-out case of the best epoch"),
        ("training_batch.png", "Inputs of the first batch, as the network sees them"),
    ] {
        let Ok(png) = std::fs::read(folder.join(name)) else { continue };
        // What is no picture of ours is left out.
        let Ok(picture) = image::load_from_memory_with_format(&png, image::ImageFormat::Png) else {
            continue;
        };
        let _ = writeln!(
            html,
            "<figure class=\"case\"><img alt=\"{words}\" width=\"{}\" height=\"{}\" \
             src=\"data:image/png;base64,{}\" /><figcaption>{words}</figcaption></figure>",
            picture.width(),
            picture.height(),
            base64(&png)
        );
    }
    html
}

/// Text of several lines, each made safe.
fn lines(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

pub(super) fn section(page: &mut String, title: &str, body: &str) {
    let _ = write!(page, "<section><h2>{}</h2>\n{body}</section>\n", escaped(title));
}
