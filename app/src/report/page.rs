//! The page of a report, section by section.

use std::fmt::Write as _;

use anyhow::Context;

use super::facts::card;
use super::html::{Cell, STYLE, base64, escaped, facts, table};
use super::{Doubt, NOTICE, Report};

/// Doubtful slices that are listed.
const LISTED: usize = 12;

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

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use lamina_io::Geometry;

    use super::*;
    use crate::report::{ClassRow, ComparisonRow, Edits, image_facts, moment};

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
}
