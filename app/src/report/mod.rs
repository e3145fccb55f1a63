//! The report of a case: one HTML file that shows and tells what was found, how, and by whom.
//!
//! It needs no network, no script and no other file, and prints on A4. It holds nothing of the
//! headers of the image and no path; what the case is called is the caller's choice. Pictures are
//! drawn by `montage`; numbers are taken as they come.

mod html;

use std::fmt::Write as _;

use anyhow::Context;
use image::RgbImage;
use lamina_engine::bundle::Manifest;
use lamina_io::{Geometry, Modality};

use html::{Cell, STYLE, base64, escaped, facts, table};

/// Said in every report.
pub const NOTICE: &str = "Research use only, not for clinical decisions";

/// Doubtful slices that are listed.
const LISTED: usize = 12;

/// What a report is made of; what is not there is left out.
#[derive(Debug, Default)]
pub struct Report<'a> {
    /// What to call the case. Not the patient's name.
    pub case: String,
    /// When the report was made, as people read it.
    pub made: String,
    /// What is known of the image: names and values.
    pub image: Vec<(String, String)>,
    /// Slices with the labels over them.
    pub picture: Option<RgbImage>,
    /// How much of each label there is.
    pub classes: Vec<ClassRow>,
    /// Where the labels come from.
    pub origin: String,
    /// What the model was unsure of.
    pub doubt: Option<Doubt>,
    /// Numbers against a reference.
    pub comparison: Vec<ComparisonRow>,
    /// What was changed by hand.
    pub edits: Option<Edits>,
    /// The model.
    pub model: Option<&'a Manifest>,
}

/// A label and how much of it there is.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassRow {
    /// Its number.
    pub label: u8,
    /// What it is called.
    pub name: String,
    /// What it is painted with.
    pub color: [u8; 3],
    /// Its voxels.
    pub voxels: u64,
    /// Its volume in milliliters, where the spacing is known.
    pub volume_ml: Option<f64>,
}

/// The slices of which the model was least sure.
#[derive(Debug, Clone, PartialEq)]
pub struct Doubt {
    /// In which plane they lie, where that is known.
    pub plane: Option<String>,
    /// How many slices there are.
    pub slices: usize,
    /// How many of them are doubtful.
    pub unsure: usize,
    /// Of those that are known: slice, from 1 as the window counts, and the Dice that its
    /// probabilities lead to expect.
    pub worst: Vec<(usize, f64)>,
}

/// A label against the reference.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonRow {
    /// What it is called.
    pub name: String,
    /// Dice coefficient.
    pub dice: Option<f64>,
    /// Intersection over union.
    pub iou: Option<f64>,
    /// 95th percentile of the distances between the surfaces, in millimeters.
    pub hd95_mm: Option<f64>,
    /// Volume in the reference, in milliliters.
    pub reference_ml: Option<f64>,
}

/// What was changed by hand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edits {
    /// Changes that stand.
    pub changes: u64,
    /// Changes that were undone.
    pub undone: u64,
    /// Voxels that the standing changes touched, each time counted.
    pub voxels: u64,
    /// Seconds that tools were in use.
    pub seconds: f64,
    /// First and last change, as people read moments.
    pub between: Option<(String, String)>,
    /// Tool, how often, and how many voxels.
    pub tools: Vec<(String, u64, u64)>,
}

impl Report<'_> {
    /// The page.
    ///
    /// # Errors
    /// When the picture cannot be encoded.
    pub fn html(&self) -> anyhow::Result<String> {
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             style-src 'unsafe-inline'; img-src data:\" />\n\
             <meta name=\"viewport\" content=\"width=device-width\" />\n\
             <title>{case}: segmentation report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <header><h1>Segmentation report</h1>\n<p>{case}</p>\n\
             <p class=\"faint\">Made {made} by Lamina {version}</p>\n\
             <p class=\"notice\">{NOTICE}</p></header>\n",
            case = escaped(&self.case),
            made = escaped(&self.made),
            version = env!("CARGO_PKG_VERSION"),
        );
        self.volumes(&mut page);
        self.figure(&mut page)?;
        self.compared(&mut page);
        self.doubted(&mut page);
        self.edited(&mut page);
        section(&mut page, "Image", &facts(&self.image));
        if let Some(model) = self.model {
            section(&mut page, "Model", &facts(&card(model)));
        }
        let _ = write!(
            page,
            "<footer><p>{NOTICE}. Lamina is no medical device; a qualified person has to look at \
             the image itself.</p>\n<p>This page holds nothing of the headers of the image. It \
             needs no network.</p></footer>\n</body>\n</html>\n"
        );
        Ok(page)
    }

    fn volumes(&self, page: &mut String) {
        let rows: Vec<Vec<Cell>> = self
            .classes
            .iter()
            .map(|class| {
                vec![
                    Cell::Colored(class.color, class.name.clone()),
                    Cell::Count(class.label.into()),
                    Cell::Number(class.volume_ml, 3),
                    Cell::Count(class.voxels),
                ]
            })
            .collect();
        let mut body = if rows.is_empty() {
            "<p>No voxel has a label.</p>".to_owned()
        } else {
            table(&["Label", "Number", "Volume, ml", "Voxels"], &rows)
        };
        if !self.origin.is_empty() {
            let _ = write!(body, "<p class=\"faint\">Labels from {}</p>", escaped(&self.origin));
        }
        section(page, "Volumes", &body);
    }

    fn figure(&self, page: &mut String) -> anyhow::Result<()> {
        let Some(picture) = &self.picture else { return Ok(()) };
        let mut png = std::io::Cursor::new(Vec::new());
        picture
            .write_to(&mut png, image::ImageFormat::Png)
            .context("cannot encode the picture of the report")?;
        let (width, height) = picture.dimensions();
        let body = format!(
            "<figure><img alt=\"Slices of the image with the outlines of the labels\" \
             width=\"{width}\" height=\"{height}\" src=\"data:image/png;base64,{}\" />\
             <figcaption>Slices that hold labels. A dashed line is the reference, where there is \
             one.</figcaption></figure>",
            base64(png.get_ref())
        );
        section(page, "Labels over the image", &body);
        Ok(())
    }

    fn compared(&self, page: &mut String) {
        if self.comparison.is_empty() {
            return;
        }
        let mut rows: Vec<Vec<Cell>> = self
            .comparison
            .iter()
            .map(|row| {
                vec![
                    Cell::Words(row.name.clone()),
                    Cell::Number(row.dice, 3),
                    Cell::Number(row.iou, 3),
                    Cell::Number(row.hd95_mm, 2),
                    Cell::Number(row.reference_ml, 3),
                ]
            })
            .collect();
        let mut headings = vec!["Label", "Dice", "IoU", "HD95, mm", "Reference, ml"];
        if self.comparison.iter().all(|row| row.hd95_mm.is_none()) {
            headings.remove(3); // surfaces were not measured
            for row in &mut rows {
                row.remove(3);
            }
        }
        section(page, "Against the reference", &table(&headings, &rows));
    }

    fn doubted(&self, page: &mut String) {
        let Some(Doubt { plane, slices, unsure, worst }) = &self.doubt else { return };
        let mut worst = worst.clone();
        worst.sort_by(|(slice, dice), (other, than)| dice.total_cmp(than).then(slice.cmp(other)));
        let rows: Vec<Vec<Cell>> = worst
            .iter()
            .take(LISTED)
            .map(|(slice, dice)| vec![Cell::Count(*slice as u64), Cell::Number(Some(*dice), 2)])
            .collect();
        let mut body = format!(
            "<p>The model was unsure of {unsure} of {slices} {}slices. That is by its own softmax: what \
             it believes, not what is true.</p>",
            plane.as_ref().map(|plane| escaped(plane) + " ").unwrap_or_default()
        );
        if !rows.is_empty() {
            body.push_str(&table(&["Slice", "Expected Dice"], &rows));
        }
        if worst.len() > LISTED {
            let _ = write!(body, "<p class=\"faint\">And {} more.</p>", worst.len() - LISTED);
        }
        section(page, "Slices that the model doubted", &body);
    }

    fn edited(&self, page: &mut String) {
        let Some(edits) = &self.edits else { return };
        let body = if edits.changes + edits.undone == 0 {
            "<p>Nothing was changed by hand.</p>".to_owned()
        } else {
            let mut body = format!(
                "<p>{} {}, {} undone; {} voxels were touched, tools were in use for {:.0} s.</p>",
                edits.changes,
                if edits.changes == 1 { "change stands" } else { "changes stand" },
                edits.undone,
                edits.voxels,
                edits.seconds
            );
            if let Some((first, last)) = &edits.between {
                let _ = write!(
                    body,
                    "<p class=\"faint\">From {} to {}</p>",
                    escaped(first),
                    escaped(last)
                );
            }
            let rows: Vec<Vec<Cell>> = edits
                .tools
                .iter()
                .map(|(tool, times, voxels)| {
                    vec![Cell::Words(tool.clone()), Cell::Count(*times), Cell::Count(*voxels)]
                })
                .collect();
            body.push_str(&table(&["Tool", "Changes", "Voxels"], &rows));
            body
        };
        section(page, "Changes by hand", &body);
    }
}

fn section(page: &mut String, title: &str, body: &str) {
    let _ = write!(page, "<section><h2>{}</h2>\n{body}</section>\n", escaped(title));
}

/// What people should know of a model.
fn card(model: &Manifest) -> Vec<(String, String)> {
    let mut rows = vec![
        ("Name", model.name.clone()),
        ("What it does", model.title.clone()),
        ("Made for", model.modality.to_uppercase()),
        ("Intended use", model.intended_use.clone()),
        ("License", model.license.clone()),
        // The hash of the weights is the version that no name can lie about.
        ("Version (SHA-256 of the weights)", model.weights.sha256.clone()),
    ];
    if let Some(training) = &model.training {
        let trained = format!(
            "{} cases of {} ({}), fold {} held out, epoch {} of {}",
            training.training_cases,
            training.dataset,
            training.source,
            training.held_out_fold,
            training.epoch,
            training.epochs
        );
        rows.push(("Trained on", trained));
    }
    if let Some(imported) = &model.imported {
        rows.push(("Weights taken from", format!("{}, {}", imported.file, imported.network)));
    }
    if let Some(metrics) = &model.metrics {
        let per_class: Vec<String> =
            metrics.dice.iter().map(|(class, dice)| format!("{class} {dice:.3}")).collect();
        let measured = format!(
            "mean Dice {:.3} over {} cases: {} ({})",
            metrics.mean_dice,
            metrics.cases,
            metrics.measured_on,
            per_class.join(", ")
        );
        rows.push(("Measured", measured));
    }
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What a report tells of the grid of an image, and of what it is.
pub fn image_facts(geometry: &Geometry, modality: Option<&Modality>) -> Vec<(String, String)> {
    let [depth, height, width] = geometry.shape();
    let mut rows = vec![("Voxels", format!("{width} × {height} × {depth}"))];
    match geometry.spacing_mm() {
        Some([x, y, z]) => {
            rows.push(("Spacing", format!("{x:.3} × {y:.3} × {z:.3} mm")));
            rows.push(("Axes run to", geometry.orientation()));
        }
        None => rows.push(("Spacing", "not known, lengths are in pixels".to_owned())),
    }
    // What is none of these may be any word of the header.
    let modality = match modality {
        Some(Modality::Ct) => "CT",
        Some(Modality::Mr) => "MR",
        Some(Modality::Rgb) => "a color picture",
        Some(_) => "another",
        None => "not said by the file",
    };
    rows.push(("Modality", modality.to_owned()));
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Seconds since 1970 as people read moments: "2026-11-20 20:17 UTC".
pub fn moment(seconds: u64) -> String {
    let text = lamina_edit::Moment::from_unix_ms(seconds.saturating_mul(1000)).to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the tags that are open where a page ends or closes another; none is right.
    fn unbalanced(page: &str) -> Vec<String> {
        let mut open: Vec<String> = Vec::new();
        let mut rest = page;
        while let Some(start) = rest.find('<') {
            let end = start + rest[start..].find('>').expect("every tag ends");
            let tag = &rest[start + 1..end];
            rest = &rest[end + 1..];
            if tag.starts_with('!') || tag.ends_with('/') {
                continue;
            }
            let name = tag.trim_start_matches('/').split(' ').next().unwrap().to_owned();
            if !tag.starts_with('/') {
                open.push(name);
            } else if open.pop().as_ref() != Some(&name) {
                return vec![name];
            }
        }
        open
    }

    fn report(name: &str) -> Report<'static> {
        Report {
            case: name.to_owned(),
            made: moment(1_582_934_400),
            image: image_facts(&Geometry::pixels([1, 2, 3]), None),
            picture: Some(RgbImage::from_pixel(3, 2, image::Rgb([1, 2, 3]))),
            classes: vec![ClassRow {
                label: 3,
                name: name.to_owned(),
                color: [255, 0, 16],
                voxels: 12_345,
                volume_ml: Some(1.5),
            }],
            origin: name.to_owned(),
            doubt: Some(Doubt {
                plane: Some("axial".to_owned()),
                slices: 40,
                unsure: 14,
                worst: (1..=14).map(|slice| (slice, 0.9 - 0.01 * slice as f64)).collect(),
            }),
            comparison: vec![ComparisonRow {
                name: name.to_owned(),
                dice: Some(0.875),
                iou: None,
                hd95_mm: Some(2.5),
                reference_ml: None,
            }],
            edits: Some(Edits {
                changes: 2,
                undone: 1,
                voxels: 99,
                seconds: 4.6,
                between: Some((moment(0), moment(60))),
                tools: vec![(name.to_owned(), 2, 99)],
            }),
            model: None,
        }
    }

    #[test]
    fn a_report_holds_every_number_and_the_notice() {
        let page = report("case").html().unwrap();
        for words in [
            "<td class=\"number\">12345</td>",
            "<td class=\"number\">1.500</td>",
            "background:#ff0010",
            "0.875",
            "unsure of 14 of 40 axial slices",
            "And 2 more",
            "2 changes stand, 1 undone; 99 voxels",
            "2020-02-29 00:00 UTC",
            "data:image/png;base64,iVBORw0KGgo",
            env!("CARGO_PKG_VERSION"),
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert_eq!(page.matches(NOTICE).count(), 2);
        assert_eq!(unbalanced(&page), Vec::<String>::new());
    }

    #[test]
    fn hostile_names_stay_words() {
        for name in [
            "</title><script>alert(1)</script>",
            "\" onerror=\"alert(1)",
            "'><img src=http://example.org/x.png>",
            "]]><!--",
            "&lt;b&gt; & \u{202e}gnp.exe\u{0}",
        ] {
            let page = report(name).html().unwrap();
            assert_eq!(unbalanced(&page), Vec::<String>::new(), "{name}");
            for forbidden in ["<script", "onerror=\"", "<img src=h", "<!--", "\u{202e}", "\u{0}"] {
                assert!(!page.contains(forbidden), "{name}: {forbidden}");
            }
            assert_eq!(page.matches("<img ").count(), 1, "{name}");
        }
    }

    #[test]
    fn a_report_refers_to_nothing_outside() {
        let page = report("case").html().unwrap();
        for outside in ["http://", "https://", "url(", "@import", "<link", "<script", "<iframe"] {
            assert!(!page.contains(outside), "{outside}");
        }
        let sources = page.matches("src=\"").count();
        assert_eq!(sources, page.matches("src=\"data:image/png;base64,").count());
    }

    #[test]
    fn a_modality_in_other_words_is_not_repeated() {
        let other = Modality::Other("Marker^Patricia".to_owned());
        let rows = image_facts(&Geometry::pixels([1, 2, 3]), Some(&other));
        assert!(rows.iter().all(|(_, value)| !value.contains("Marker")), "{rows:?}");
    }
}
