//! What is in a case and what is wrong with it.
//!
//! Each case is checked alone, so that a program may take them on all its threads; what shows only
//! between cases is left to `summary`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::Array3;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Case;
use super::likeness::Likeness;
use super::values::{IGNORED, LabelTable, Stored};
use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::label::LabelVolume;
use crate::picture::{self, Picture};
use crate::read::{ReadOptions, read_volume};
use crate::volume::Volume;
use crate::voxels::{Scalar, StoredType, with_voxels};

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The case, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// What is wrong.
    pub message: String,
    /// The file.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
}

fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// What was found out about one case.
#[derive(Debug, Clone)]
pub struct CaseCheck {
    /// Its id.
    pub case: String,
    /// Whom it shows.
    pub patient: String,
    /// The parts of the data set that it belongs to; of folds, those that hold it out.
    pub parts: Vec<String>,
    /// Its image.
    pub image: PathBuf,
    /// Voxels along x, y and z, where the image can be read.
    pub shape: Option<[usize; 3]>,
    /// Distance between voxels along x, y and z, where it is known.
    pub spacing_mm: Option<[f64; 3]>,
    /// Where the axes run towards.
    pub orientation: Option<String>,
    /// How the image is stored; none of a picture in colors.
    pub stored: Option<StoredType>,
    /// Smallest and largest finite value.
    pub range: Option<[f64; 2]>,
    /// Whether the image is a photograph that asks to be turned, which it is not.
    pub asks_to_be_turned: bool,
    /// How many voxels each label has.
    pub labels: BTreeMap<u8, u64>,
    /// What is in the image, whatever its file looks like.
    pub(super) content: Option<[u8; 32]>,
    /// What it looks like from afar.
    pub(super) likeness: Option<Likeness>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Reads a case and says what is in it and what is wrong. Labels beyond `num_classes`, where it is
/// known, are wrong, but for 255, which means "ignored".
pub fn check_case(case: &Case, num_classes: Option<usize>) -> CaseCheck {
    let mut check = CaseCheck {
        case: case.id.clone(),
        patient: case.patient.clone(),
        parts: case.part.iter().cloned().collect(),
        image: case.image.clone(),
        shape: None,
        spacing_mm: None,
        orientation: None,
        stored: None,
        range: None,
        asks_to_be_turned: picture::asks_to_be_turned(&case.image),
        labels: BTreeMap::new(),
        content: None,
        likeness: None,
        problems: Vec::new(),
    };
    let geometry = check.look_at_image(case);
    check.look_at_channels(case, geometry.as_ref());
    let grid = match case.read_stored_labels() {
        Ok(Stored::Labels(labels)) => {
            check.look_at_labels(case, &labels, num_classes);
            labels.geometry
        }
        Ok(Stored::Values(values, description, table)) => {
            check.look_at_values_of_labels(case, &values, &table);
            description.geometry
        }
        Err(error) => {
            check.refuse(&case.labels, chain(&error));
            return check;
        }
    };
    if let Some(geometry) = geometry
        && let Err(mismatch) = geometry.same_grid(&grid)
    {
        check.refuse(
            &case.labels,
            format!("labels lie on another grid than their image: {mismatch}"),
        );
    }
    check
}

impl CaseCheck {
    fn refuse(&mut self, path: &Path, message: String) {
        self.problems.push(Problem {
            case: Some(self.case.clone()),
            message,
            path: path.to_owned(),
        });
    }

    /// Takes down what the image is, and where.
    fn look_at_image(&mut self, case: &Case) -> Option<Geometry> {
        let options = ReadOptions::default();
        let geometry = match case.read_volume() {
            Ok(volume) => {
                self.look_at_values(case, &volume);
                volume.geometry
            }
            Err(error) => {
                // A picture in colors has a size and content too.
                let colors = matches!(error, VolumeError::DataType { .. })
                    .then(|| picture::decode(&case.image, &options.limits).ok())
                    .flatten();
                let Some(picture) = colors else {
                    self.refuse(&case.image, chain(&error));
                    return None;
                };
                self.look_at_colors(case, &picture);
                Geometry::pixels([picture.pages, picture.height, picture.width])
            }
        };
        let [depth, height, width] = geometry.shape();
        self.shape = Some([width, height, depth]);
        self.spacing_mm = geometry.spacing_mm();
        self.orientation = self.spacing_mm.map(|_| geometry.orientation());
        Some(geometry)
    }

    fn look_at_values(&mut self, case: &Case, volume: &Volume) {
        let statistics = volume.statistics();
        self.stored = Some(volume.voxels.stored_type());
        self.range = statistics.min.zip(statistics.max).map(|(min, max)| [min, max]);
        if statistics.nonfinite > 0 {
            let message =
                format!("expected numbers, found {} NaN or infinite", statistics.nonfinite);
            self.refuse(&case.image, message);
        }
        self.refuse_one_value(case);
        // By value and from one side, so that the same image stored as another type or turned is
        // the same.
        let order = volume.geometry.to_ras_axes();
        let turned = (volume.geometry.spacing_mm().is_some() && !order.changes_nothing())
            .then(|| volume.reoriented(&order));
        let volume = turned.as_ref().unwrap_or(volume);
        let [_, height, width] = volume.shape();
        let mut likeness = Likeness::builder(width, height);
        self.content = Some(with_voxels!(&volume.voxels, array => hash(volume.shape(), |hasher| {
            let mut bytes = Vec::with_capacity(4 * height * width);
            for slice in array.outer_iter() {
                bytes.clear();
                for (pixel, &stored) in slice.iter().enumerate() {
                    let value = volume.rescale.apply(stored.to_f64());
                    likeness.add(pixel, value);
                    bytes.extend_from_slice(&(value as f32).to_le_bytes());
                }
                hasher.update(&bytes);
            }
        })));
        self.likeness = likeness.finish();
    }

    fn look_at_colors(&mut self, case: &Case, picture: &Picture) {
        let mut range: Option<[u8; 2]> = None;
        let mut likeness = Likeness::builder(picture.width, picture.height);
        let page = picture.width * picture.height;
        // By color, so that a palette with the same colors is the same.
        let shape = [picture.pages, picture.height, picture.width];
        self.content = Some(hash(shape, |hasher| {
            let mut bytes = Vec::with_capacity(3 * picture.width);
            for pixel in 0..picture.pixels() {
                match picture.color(pixel) {
                    Some(color) => {
                        let [least, most] = range.get_or_insert([color[0]; 2]);
                        for channel in color {
                            *least = (*least).min(channel);
                            *most = (*most).max(channel);
                        }
                        likeness.add(pixel % page, color.map(f64::from).iter().sum());
                        bytes.extend_from_slice(&color);
                    }
                    None => bytes.extend_from_slice(picture.bytes_of(pixel)),
                }
                if (pixel + 1).is_multiple_of(picture.width) {
                    hasher.update(&bytes);
                    bytes.clear();
                }
            }
        }));
        self.range = range.map(|range| range.map(f64::from));
        self.refuse_one_value(case);
        self.likeness = likeness.finish();
    }

    fn refuse_one_value(&mut self, case: &Case) {
        if let Some([min, max]) = self.range
            && min == max
        {
            self.refuse(&case.image, format!("expected an image, found nothing but {min}"));
        }
    }

    /// Further channels have to be there, on the same grid.
    fn look_at_channels(&mut self, case: &Case, geometry: Option<&Geometry>) {
        for channel in &case.channels {
            let options = ReadOptions { volume: channel.volume, ..ReadOptions::default() };
            match read_volume(&channel.path, &options) {
                Err(error) => self.refuse(&channel.path, chain(&error)),
                Ok(volume) => {
                    if let Some(mismatch) =
                        geometry.and_then(|geometry| geometry.same_grid(&volume.geometry).err())
                    {
                        let message =
                            format!("this channel lies on another grid than the first: {mismatch}");
                        self.refuse(&channel.path, message);
                    }
                }
            }
        }
    }

    fn look_at_labels(&mut self, case: &Case, labels: &LabelVolume, num_classes: Option<usize>) {
        self.labels = labels.counts();
        let Some(classes) = num_classes else { return };
        let expected = format!("labels 0 to {}", classes - 1);
        for (&label, &count) in &self.labels.clone() {
            if usize::from(label) >= classes && label != IGNORED {
                self.refuse_label(case, &expected, count, &labels.labels, label);
            }
        }
    }

    fn look_at_values_of_labels(&mut self, case: &Case, values: &Array3<u16>, table: &LabelTable) {
        let mut counts = vec![0_u64; 1 << u16::BITS];
        for &value in values {
            counts[usize::from(value)] += 1;
        }
        for (value, count) in (0..=u16::MAX).zip(counts).filter(|&(_, count)| count > 0) {
            match table.label(value) {
                Some(label) => *self.labels.entry(label).or_default() += count,
                None => self.refuse_label(case, "values of classes", count, values, value),
            }
        }
    }

    fn refuse_label<V: PartialEq + std::fmt::Display>(
        &mut self,
        case: &Case,
        expected: &str,
        count: u64,
        labels: &Array3<V>,
        label: V,
    ) {
        let [x, y, z] = first_of(labels, &label);
        let voxels = if count == 1 { "voxel" } else { "voxels" };
        self.refuse(
            &case.labels,
            format!(
                "expected {expected}, found {label} in {count} {voxels}, the first at [{x}, {y}, {z}] (x, y, z)"
            ),
        );
    }
}

fn hash(shape: [usize; 3], fill: impl FnOnce(&mut Sha256)) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for n in shape {
        hasher.update((n as u64).to_le_bytes());
    }
    fill(&mut hasher);
    hasher.finalize().into()
}

/// The error and its causes in one line; the path is told beside it.
fn chain(error: &VolumeError) -> String {
    let mut text = error.to_string();
    let path = error.path().display().to_string();
    for end in [format!(": {path}"), format!(" {path}")] {
        if text.ends_with(&end) {
            text.truncate(text.len() - end.len());
            break;
        }
    }
    // A cause may tell the path again, or nothing new.
    if let Some(source) = std::error::Error::source(error) {
        let source = source.to_string().replace(&format!(": {path}"), "");
        if !text.contains(&source) {
            text = format!("{text}: {source}");
        }
    }
    text
}

/// Where a label is first met, as x, y, z.
fn first_of<V: PartialEq>(labels: &Array3<V>, label: &V) -> [usize; 3] {
    let mut voxels = labels.indexed_iter();
    voxels.find(|(_, found)| *found == label).map_or([0; 3], |((k, j, i), _)| [i, j, k])
}
