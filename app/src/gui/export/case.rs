//! A case as a picture and as a page: what `montage` and `report` are given.

use image::RgbImage;
use lamina_edit::{Action, AuditRow};
use lamina_io::LabelVolume;

use super::write::{LabelPart, Request, labels_of, volumes};
use crate::cli::created;
use crate::gui::compare::Reference;
use crate::gui::plane::PlaneView;
use crate::gui::state::{DOUBTFUL, RESEARCH_USE, State};
use crate::montage::{Montage, MontageClass};
use crate::report::{ClassRow, ComparisonRow, Doubt, Edits, Report, image_facts, moment};

/// What reports tell beside image and labels.
#[derive(Debug, Clone, Default)]
pub struct CaseData {
    /// What the model was unsure of.
    pub doubt: Option<Doubt>,
    /// Numbers against a reference.
    pub comparison: Vec<ComparisonRow>,
    /// The reference itself.
    pub reference: Option<Reference>,
}

impl CaseData {
    /// What the window knows.
    pub fn of(state: &State) -> Self {
        let reference = state.compare.reference.clone();
        Self { doubt: doubt_of(state), comparison: comparison_of(state), reference }
    }

    /// Slices with labels, and the notice.
    ///
    /// # Errors
    /// Where there is nothing to show.
    pub fn montage(&self, request: &Request) -> Result<RgbImage, String> {
        let part = labels_of(request)?;
        let image = request.image.as_ref().ok_or("Open an image first.")?;
        let classes: Vec<MontageClass> = volumes(request)?
            .into_iter()
            .map(|volume| {
                let color = part.classes.iter().find(|class| class.value == volume.label);
                MontageClass {
                    label: volume.label,
                    color: color.map_or([255; 3], |class| class.color),
                    caption: match volume.volume_ml {
                        Some(ml) => format!("{}  {ml:.2} ml", volume.name),
                        None => format!("{}  {} px", volume.name, volume.voxels),
                    },
                }
            })
            .collect();
        let maker = match &part.model {
            Some(model) => format!(", {}", model.name),
            None => String::new(),
        };
        let footer = format!("{RESEARCH_USE}. Lamina {}{maker}", env!("CARGO_PKG_VERSION"));
        let reference = self.reference.as_ref().and_then(|reference| {
            let labels = reference.labels.as_ref().clone();
            LabelVolume::new(labels, image.volume.geometry.clone()).ok()
        });
        let montage = Montage {
            volume: &image.volume,
            prediction: &part.volume,
            reference: reference.as_ref(),
            classes: &classes,
            title: &request.form.case,
            footer: &footer,
        };
        Ok(montage.draw())
    }

    /// All of it as a page.
    ///
    /// # Errors
    /// Where there is no image, or the picture cannot be encoded.
    pub fn page(&self, request: &Request) -> Result<String, String> {
        let image = request.image.as_ref().ok_or("Open an image first.")?;
        let mut report = Report {
            case: request.form.case.clone(),
            made: moment(created()),
            image: image_facts(&image.volume.geometry, image.volume.modality.as_ref()),
            doubt: self.doubt.clone(),
            comparison: self.comparison.clone(),
            ..Report::default()
        };
        if let Some(part) = &request.labels {
            let color_of = |label| part.classes.iter().find(|class| class.value == label);
            report.classes = volumes(request)?
                .into_iter()
                .map(|volume| ClassRow {
                    label: volume.label,
                    color: color_of(volume.label).map_or([128; 3], |class| class.color),
                    name: volume.name,
                    voxels: volume.voxels,
                    volume_ml: volume.volume_ml,
                })
                .collect();
            if report.classes.iter().any(|class| class.voxels > 0) {
                report.picture = Some(self.montage(request)?);
            }
            report.origin = origin(part);
            report.edits = Some(edits_of(&part.audit));
            report.model = part.model.as_deref();
        }
        report.html().map_err(|error| format!("{error:#}."))
    }
}

/// Where labels come from, without the name of a file.
fn origin(part: &LabelPart) -> String {
    let first = match &part.model {
        Some(model) => format!("the model {}", model.name),
        None if part.from_file => "a label file".to_owned(),
        None => return "hand".to_owned(),
    };
    if part.by_hand { format!("{first}, changed by hand") } else { first }
}

/// What was measured of the labels as they are now.
fn comparison_of(state: &State) -> Vec<ComparisonRow> {
    let compare = &state.compare;
    let (Some(reference), Some(measured)) = (&compare.reference, &compare.measured) else {
        return Vec::new();
    };
    if compare.outdated {
        return Vec::new();
    }
    let names = reference.rows(state.labels.as_ref());
    let name_of = |label: u8| {
        let own = state.labels.as_ref().and_then(|layer| layer.class(label));
        let class = own.or_else(|| names.iter().find(|class| class.value == label));
        class.map_or_else(|| format!("Label {label}"), |class| class.name.clone())
    };
    let row = |class: &lamina_engine::metrics::ClassReport| ComparisonRow {
        name: name_of(class.label),
        dice: class.dice,
        iou: class.iou,
        hd95_mm: class.surface.as_ref().map(|surface| surface.hd95_mm),
        reference_ml: class.volume_ml_reference,
    };
    measured.classes.iter().map(row).collect()
}

/// The doubtful slices, as the window counts them.
fn doubt_of(state: &State) -> Option<Doubt> {
    let (doubt, plane) = (state.doubt.as_ref()?, state.doubt_plane()?);
    let view: &PlaneView = state.image.as_ref()?.view(plane)?;
    let mut doubtful: Vec<(usize, f64)> = (0..view.slice.len)
        .filter_map(|slice| {
            let risk = doubt.risks.get(view.slice.voxel(slice)).copied().flatten()?;
            (risk >= DOUBTFUL).then_some((slice + 1, 1.0 - risk))
        })
        .collect();
    doubtful.sort_by_key(|(slice, _)| *slice);
    let slices = doubt.risks.iter().flatten().count();
    Some(Doubt {
        plane: Some(plane.name().to_owned()),
        slices,
        unsure: doubtful.len(),
        worst: doubtful,
    })
}

/// What the tools of a hand did; what a model put there is none of it.
pub fn edits_of(audit: &[AuditRow]) -> Edits {
    let by_hand = |row: &&AuditRow| row.step.is_some() && row.tool != MODEL;
    let mut edits = Edits::default();
    let mut standing: Vec<(u64, &AuditRow)> = Vec::new();
    for row in audit.iter().filter(by_hand) {
        let Some(step) = row.step else { continue };
        match row.action {
            Action::Change | Action::Redo => standing.push((step, row)),
            Action::Undo => standing.retain(|(number, _)| *number != step),
            Action::Saved | Action::Discarded | Action::Continued => {}
        }
        edits.seconds += row.seconds;
    }
    let made = audit.iter().filter(by_hand).filter(|row| row.action == Action::Change);
    edits.changes = standing.len() as u64;
    edits.undone = (made.clone().count() as u64).saturating_sub(edits.changes);
    for (_, row) in &standing {
        edits.voxels += row.voxels;
        match edits.tools.iter_mut().find(|(tool, ..)| *tool == row.tool) {
            Some((_, times, voxels)) => {
                *times += 1;
                *voxels += row.voxels;
            }
            None => edits.tools.push((row.tool.clone(), 1, row.voxels)),
        }
    }
    let times: Vec<u64> = made.map(|row| row.time.unix_ms() / 1000).collect();
    edits.between =
        times.iter().min().zip(times.iter().max()).map(|(a, b)| (moment(*a), moment(*b)));
    edits
}

/// The tool by which the labels of a model come into a session.
const MODEL: &str = "paste";

#[cfg(test)]
mod tests {
    use lamina_edit::{Brush, BrushShape, Session};
    use lamina_io::Geometry;
    use ndarray::Array3;

    use super::*;

    #[test]
    fn changes_that_were_undone_do_not_count_as_standing() {
        let labels = Array3::zeros([1, 9, 9]);
        let volume = LabelVolume::new(labels, Geometry::pixels([1, 9, 9])).unwrap();
        let mut session = Session::new(volume);
        for column in [1.0, 4.0, 7.0] {
            let brush = Brush::new(BrushShape::Disc(lamina_edit::Axis::Depth), 1.0, 1);
            session.begin_stroke(brush, [0.0, 4.0, column]).unwrap();
            session.end_stroke().unwrap();
        }
        session.undo().unwrap();
        session.undo().unwrap();
        session.redo().unwrap();
        let edits = edits_of(session.audit());
        assert_eq!((edits.changes, edits.undone), (2, 1));
        let drawn = session.labels().iter().filter(|label| **label == 1).count() as u64;
        assert_eq!(edits.voxels, drawn);
        assert_eq!(edits.tools, [("brush".to_owned(), 2, drawn)]);
        assert!(edits.between.is_some());
        assert_eq!(edits_of(&[]), Edits::default());
    }
}
