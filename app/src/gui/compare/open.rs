//! Reading a reference, and bringing it onto the grid of the image. Runs as a job.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lamina_io::{Geometry, ReadOptions, case_stem, read_labels};

use super::Reference;
use crate::gui::labels::{LabelLayer, onto_grid};

/// A reference that was read.
#[derive(Debug)]
pub struct OpenedReference {
    /// The reference.
    pub reference: Reference,
    /// What the user should know of it.
    pub notices: Vec<String>,
}

/// Reads the labels at `path` as a reference over an image on `grid`. They are called as the labels
/// that they are compared with, where there are any of the same value.
///
/// # Errors
/// A sentence that names the file.
pub fn open_reference(path: &Path, grid: &Geometry) -> Result<OpenedReference, String> {
    static REFERENCES: AtomicU64 = AtomicU64::new(1);
    let native = read_labels(path, &ReadOptions::default()).map_err(|error| {
        format!("Cannot open the reference: {}", crate::cli::error_line(&error))
    })?;
    let (brought, resampled) = onto_grid(native.clone(), grid).map_err(|mismatch| {
        format!("This reference does not belong to the image: {mismatch}: {}", path.display())
    })?;
    let mut notices = Vec::new();
    if resampled {
        notices.push(
            "The reference lies on another grid than the image: each voxel shows the nearest of its \
             labels in the patient. It is measured on its own grid, onto which the labels are \
             brought in the same way."
                .to_owned(),
        );
    }
    if brought.labels.iter().all(|label| *label == 0) {
        notices.push(
            "No label of the reference lies inside the image: the file is empty or belongs to \
             another patient space."
                .to_owned(),
        );
    }
    // A layer knows how labels are named and colored; its rows are taken over.
    let native_labels = native.clone();
    let mut rows = LabelLayer::new(native_labels, &[], String::new()).classes;
    let counts = native.counts();
    rows.retain(|row| counts.contains_key(&row.value));
    let reference = Reference {
        native: Arc::new(native),
        labels: Arc::new(brought.labels.as_standard_layout().into_owned()),
        classes: rows,
        origin: case_stem(path),
        file: Some(path.to_owned()),
        id: REFERENCES.fetch_add(1, Ordering::Relaxed),
    };
    Ok(OpenedReference { reference, notices })
}
