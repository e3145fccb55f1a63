//! Cases as training and validation hold them in memory.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use lamina_io::dataset::{Case, Class};
use lamina_io::{CaseImage, ColorSamples, LabelVolume};
use ndarray::{Array3, Array4};
use rayon::prelude::*;

use crate::error::EngineError;
use crate::fingerprint::{CaseTraits, Fingerprint};
use crate::losses::IGNORE_LABEL;
use crate::preprocess::{ColorScale, Prepared, PreprocessConfig, Preprocessor, unit_samples};

/// A case to learn from, on the prepared grid.
#[derive(Debug, Clone)]
pub struct TrainingCase {
    /// What is seen.
    pub samples: Samples,
    /// Reference labels: `[slice, height, width]`.
    pub labels: Array3<u8>,
}

/// What is seen of a case: `[slice, channel, height, width]`, in that order in memory.
#[derive(Debug, Clone)]
pub enum Samples {
    /// Normalized intensities.
    Numbers(Array4<f32>),
    /// Colors as they are stored, a quarter of the memory; and how they are normalized.
    Bytes(Array4<u8>, ColorScale),
    /// Colors of more bits, from 0 to 1; and how they are normalized.
    Unit(Array4<f32>, ColorScale),
}

impl Samples {
    /// Slices, channels, height, width.
    pub fn shape(&self) -> [usize; 4] {
        match self {
            Self::Numbers(samples) | Self::Unit(samples, _) => samples.dim().into(),
            Self::Bytes(samples, _) => samples.dim().into(),
        }
    }

    /// How colors are normalized once they are varied.
    pub fn color_scale(&self) -> Option<&ColorScale> {
        match self {
            Self::Numbers(_) => None,
            Self::Bytes(_, scale) | Self::Unit(_, scale) => Some(scale),
        }
    }
}

/// The samples of a prepared case, colors before they are normalized.
fn samples(
    image: CaseImage,
    prepared: Prepared,
    config: &PreprocessConfig,
) -> Result<Samples, EngineError> {
    let picture = match image {
        CaseImage::Gray(_) => {
            let slices = prepared.slices;
            return Ok(Samples::Numbers(if slices.is_standard_layout() {
                slices
            } else {
                slices.as_standard_layout().into_owned()
            }));
        }
        CaseImage::Color(picture) => picture,
    };
    let scale = config.normalization.color_scale(&picture.samples)?;
    Ok(match picture.samples {
        ColorSamples::U8(samples) => Samples::Bytes(samples, scale),
        words @ ColorSamples::U16(_) => Samples::Unit(unit_samples(&words), scale),
    })
}

/// A case to measure on, in memory or to be read again.
#[derive(Debug, Clone)]
pub struct HeldOut {
    /// The case's name.
    pub case: String,
    held: Held,
}

#[derive(Debug, Clone)]
enum Held {
    InMemory(Box<Seen>),
    OnDisk(Box<Case>, CaseReader),
}

/// What the network sees of a case, and what it should say on the source's grid.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The slices.
    pub prepared: Prepared,
    /// The reference.
    pub reference: LabelVolume,
}

impl HeldOut {
    /// Reads cases on all threads. As many as fit into `held_bytes` are held; the others are read
    /// once, so that what is wrong with them shows at once, and again whenever they are measured on.
    ///
    /// # Errors
    /// That of the first case that fails.
    pub fn read_all(
        cases: &[Case],
        reader: &CaseReader,
        held_bytes: u64,
    ) -> Result<Vec<Self>, EngineError> {
        let left = AtomicU64::new(held_bytes);
        read_all(cases, |case| {
            let seen = reader.held_out(case)?;
            let bytes = (4 * seen.prepared.slices.len() + seen.reference.labels.len()) as u64;
            let take = |left: u64| left.checked_sub(bytes);
            let fits = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
            let held = if fits {
                Held::InMemory(Box::new(seen))
            } else {
                Held::OnDisk(Box::new(case.clone()), reader.clone())
            };
            Ok(Self { case: case.id.clone(), held })
        })
    }

    /// What the network sees of it, and what it should say.
    ///
    /// # Errors
    /// Where it is not in memory and can no longer be read.
    pub fn seen(&self) -> Result<Cow<'_, Seen>, EngineError> {
        match &self.held {
            Held::InMemory(seen) => Ok(Cow::Borrowed(seen)),
            Held::OnDisk(case, reader) => reader.held_out(case).map(Cow::Owned),
        }
    }
}

/// Reads cases and prepares them.
#[derive(Debug, Clone)]
pub struct CaseReader {
    preprocessor: Preprocessor,
    num_classes: usize,
}

impl CaseReader {
    /// A reader for preprocessing that has been validated.
    pub fn new(preprocessing: &PreprocessConfig, num_classes: usize) -> Self {
        Self { preprocessor: Preprocessor::new(preprocessing.clone()), num_classes }
    }

    /// All that decides what becomes of a case.
    pub(super) fn recipe(&self) -> String {
        let config = self.preprocessor.config();
        let config = toml::to_string(config).expect("settings are plain data with string keys");
        format!("{config}\nclasses = {}", self.num_classes)
    }

    /// A case to learn from, and what it is like.
    ///
    /// # Errors
    /// Whatever is wrong with the image or its labels, with the name of the file.
    pub fn training(&self, case: &Case) -> Result<(TrainingCase, CaseTraits), EngineError> {
        let (image, Seen { prepared, reference }, labels) = self.read(case)?;
        let of_image = |error: EngineError| EngineError::data(&case.image, error.to_string());
        let config = self.preprocessor.config();
        let traits = CaseTraits::of_image(&image, Some(&reference), config).map_err(of_image)?;
        let samples = samples(image, prepared, config).map_err(of_image)?;
        Ok((TrainingCase { samples, labels }, traits))
    }

    /// A case to measure on.
    ///
    /// # Errors
    /// Whatever is wrong with the image or its labels, with the name of the file.
    pub fn held_out(&self, case: &Case) -> Result<Seen, EngineError> {
        self.read(case).map(|(_, seen, _)| seen)
    }

    /// The image, the case, and its labels on the prepared grid.
    fn read(&self, case: &Case) -> Result<(CaseImage, Seen, Array3<u8>), EngineError> {
        let image = case.read_image(self.preprocessor.config().input.to_read())?;
        let reference = case.read_labels()?;
        let known = |label: u8| usize::from(label) < self.num_classes || label == IGNORE_LABEL;
        if let Some(label) = reference.counts().into_keys().find(|&label| !known(label)) {
            let last = self.num_classes - 1;
            let message = format!("expected labels 0 to {last}, found {label}");
            return Err(EngineError::data(&case.labels, message));
        }
        let prepared = self
            .preprocessor
            .prepare_image(&image)
            .map_err(|error| EngineError::data(&case.image, error.to_string()))?;
        let labels = prepared
            .prepare_labels(&reference)
            .map_err(|error| EngineError::data(&case.labels, error.to_string()))?;
        Ok((image, Seen { prepared, reference }, labels))
    }
}

/// The fingerprint of a model with this preprocessing that learned from these cases; `None` where
/// there are none.
///
/// # Errors
/// That of the first case that cannot be read.
pub fn fingerprint_of(
    cases: &[Case],
    preprocessing: &PreprocessConfig,
    classes: &[Class],
) -> Result<Option<Fingerprint>, EngineError> {
    let reader = CaseReader::new(preprocessing, classes.len());
    let traits = read_all(cases, |case| reader.training(case).map(|(_, traits)| traits))?;
    Ok(Fingerprint::of(&traits, classes))
}

/// Reads cases on all threads; the first that fails, in the order of the cases, is reported.
///
/// # Errors
/// That of the first case that fails.
pub fn read_all<T: Send>(
    cases: &[Case],
    read: impl Fn(&Case) -> Result<T, EngineError> + Send + Sync,
) -> Result<Vec<T>, EngineError> {
    let results: Vec<Result<T, EngineError>> = cases.par_iter().map(read).collect();
    results.into_iter().collect()
}
