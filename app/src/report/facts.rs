//! What a report tells in words of the image, the model and the time.

use lamina_engine::bundle::Manifest;
use lamina_io::{Geometry, Modality};

/// What people should know of a model.
pub(super) fn card(model: &Manifest) -> Vec<(String, String)> {
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
        let (measure, mean, per_class) = metrics.scores();
        let per_class: Vec<String> =
            per_class.iter().map(|(class, score)| format!("{class} {score:.3}")).collect();
        let measured = format!(
            "{} {mean:.3} over {} cases: {} ({})",
            measure.mean_name(),
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

    #[test]
    fn a_modality_in_other_words_is_not_repeated() {
        let other = Modality::Other("Marker^Patricia".to_owned());
        let rows = image_facts(&Geometry::pixels([1, 2, 3]), Some(&other));
        assert!(rows.iter().all(|(_, value)| !value.contains("Marker")), "{rows:?}");
    }
}
