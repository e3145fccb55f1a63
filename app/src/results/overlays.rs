//! Pictures of the worst cases: the slice where prediction and reference differ most.
//!
//! Images and references are found through the data set, masks beside the evaluation. A case of
//! which one is not there has no picture, and the page says why.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use image::RgbImage;
use lamina_io::dataset::{Case, Dataset, LabelValues};
use lamina_io::{
    LabelVolume, ReadOptions, VolumeError, case_stem, read_color, read_labels, read_volume,
};
use ndarray::{Array3, Axis, s};

use super::Results;
use super::numbers::ranked;
use crate::montage::{Panel, Pixels, Sheet, View, Window};
use crate::run::examples::drawn_classes;

/// Folders with masks of a run, below it.
const MASKS: [&str; 2] = ["validation", "out_of_fold"];

/// A reference that is neither learned nor measured.
const IGNORED: u8 = 255;

/// A case that did badly, and its picture or why there is none.
#[derive(Debug)]
pub struct Overlay {
    /// The case.
    pub case: String,
    /// Its mean over the classes that have one.
    pub dice: Option<f64>,
    /// The picture.
    pub picture: Result<RgbImage, String>,
}

/// Where images and masks may be.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The folder that holds the data set's folder.
    pub data: Option<PathBuf>,
    /// A folder of masks; those of the run folder unless given.
    pub masks: Option<PathBuf>,
}

/// The `count` worst cases of a run, worst first.
pub fn worst(run: &Results, places: &Places, count: usize) -> Vec<Overlay> {
    let source = Source::open(run, places);
    ranked(&run.report)
        .into_iter()
        .take(count)
        .map(|(case, dice)| {
            let drawn = match &source {
                Ok(source) => source.draw(&case, dice).map_err(|error| words(&error)),
                Err(error) => Err(words(error)),
            };
            Overlay { case, dice, picture: drawn }
        })
        .collect()
}

/// An error without the folders it names.
fn words(error: &anyhow::Error) -> String {
    super::names::without_folders(&format!("{error:#}"))
}

/// Images, references and masks of one run.
struct Source {
    dataset: Dataset,
    masks: Vec<PathBuf>,
    values: Option<LabelValues>,
}

impl Source {
    fn open(run: &Results, places: &Places) -> anyhow::Result<Self> {
        let Some(config) = &run.dataset else {
            bail!("a data set is described in run folders alone");
        };
        let Some(data) = &places.data else {
            bail!("expected --data, the folder that holds the data set's folder");
        };
        let folders: Vec<PathBuf> = match (&places.masks, &run.folder) {
            (Some(masks), _) => vec![masks.clone()],
            (None, Some(folder)) => MASKS.iter().map(|name| folder.join(name)).collect(),
            (None, None) => Vec::new(),
        };
        let masks: Vec<PathBuf> =
            folders.iter().filter_map(|folder| files(folder)).flatten().collect();
        if masks.is_empty() {
            bail!("found no masks in validation/ or out_of_fold/, nor named by --masks");
        }
        let values = LabelValues::of(&config.classes, &[])?;
        Ok(Self { dataset: Dataset::open(config.clone(), data)?, masks, values })
    }

    fn draw(&self, name: &str, dice: Option<f64>) -> anyhow::Result<RgbImage> {
        let case = self.dataset.cases.iter().find(|case| case.id == name);
        let case = case.context("the data set has no such case")?;
        let mask = self.masks.iter().find(|mask| case_stem(mask) == name);
        let mask = mask.context("there is no mask of it")?;
        let prediction = read_labels(mask, &ReadOptions::default())?;
        let prediction = match &self.values {
            Some(values) => values.labels_of(prediction),
            None => prediction,
        };
        let reference = case.read_labels()?;
        draw(case, &prediction, &reference, &self.dataset, dice)
    }
}

fn files(folder: &Path) -> Option<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        // Records, tables and the raw bytes behind a header are no masks.
        .filter(|path| {
            let ending = path.extension().and_then(std::ffi::OsStr::to_str);
            path.is_file()
                && !matches!(ending, Some("json" | "csv" | "raw" | "zraw" | "img" | "html"))
        })
        .collect();
    files.sort();
    Some(files)
}

/// Image, and prediction with the reference dashed, of the slice where they differ most.
fn draw(
    case: &Case,
    prediction: &LabelVolume,
    reference: &LabelVolume,
    dataset: &Dataset,
    dice: Option<f64>,
) -> anyhow::Result<RgbImage> {
    reference.geometry.same_grid(&prediction.geometry)?;
    let view = View::of(&reference.geometry);
    let (predicted, annotated) = (view.turn(&prediction.labels), view.turn(&reference.labels));
    let slice = most_different(&predicted, &annotated);
    let channels = channels(case, &view, slice)?;
    let plane = |labels: &Array3<u8>| labels.slice(s![slice..=slice, .., ..]).to_owned();
    let (predicted_here, annotated_here) = (plane(&predicted), plane(&annotated));
    let window = window(&predicted_here, &annotated_here);
    let pixels = || match &channels[..] {
        [red, green, blue] => Pixels::Color([red.view(), green.view(), blue.view()]),
        gray => Pixels::Gray(gray[0].view()),
    };
    let painted = predicted_here.index_axis(Axis(0), 0);
    let drawn = annotated_here.index_axis(Axis(0), 0);
    let panel = |painted, dashed, caption: String| Panel {
        pixels: pixels(),
        painted,
        dashed,
        caption,
        window: Some(window),
    };
    let place = format!("{}, slice {} of {}", view.plane.name(), slice + 1, predicted.dim().0);
    let mut panels = vec![panel(None, None, place)];
    if channels.len() == 3 {
        // Dashes around everything in a scene would hide it.
        panels.push(panel(Some(drawn), None, "reference".to_owned()));
        panels.push(panel(Some(painted), None, "prediction".to_owned()));
    } else {
        panels.push(panel(Some(painted), Some(drawn), "prediction, reference dashed".to_owned()));
    }
    let title = match dice {
        Some(dice) => format!("{}: {dice:.3}", case.id),
        None => case.id.clone(),
    };
    let [_, row, column] = view.spacing;
    let classes = drawn_classes(&dataset.config);
    let here: Vec<_> = classes
        .into_iter()
        .filter(|class| {
            let shown = |labels: &Array3<u8>| labels.iter().any(|&label| label == class.label);
            shown(&predicted_here) || shown(&annotated_here)
        })
        .collect();
    let sheet = Sheet {
        title: &title,
        classes: &here,
        panels: &panels,
        columns: panels.len(),
        spacing: [row, column],
    };
    Ok(sheet.draw())
}

/// One slice of the image as it lies on the page: one channel, or three colors.
fn channels(case: &Case, view: &View, slice: usize) -> anyhow::Result<Vec<ndarray::Array2<f32>>> {
    let on_page = |values: &Array3<f32>| view.turn(values).index_axis(Axis(0), slice).to_owned();
    let options = ReadOptions { volume: case.volume, ..ReadOptions::default() };
    match read_volume(&case.image, &options) {
        Ok(volume) => Ok(vec![on_page(&volume.to_f32())]),
        Err(VolumeError::DataType { .. }) => {
            let picture = read_color(&case.image, &options)?;
            let [pages, channels, height, width] = picture.samples.shape();
            let channel = |at: usize| {
                Array3::from_shape_fn([pages, height, width], |(page, y, x)| {
                    picture.samples.get([page, at, y, x])
                })
            };
            Ok((0..channels.min(3)).map(|at| on_page(&channel(at))).collect())
        }
        Err(error) => Err(error.into()),
    }
}

/// The first of the slices with the most voxels that differ; without any, the one with the most
/// foreground.
fn most_different(prediction: &Array3<u8>, reference: &Array3<u8>) -> usize {
    let weight = |slice: usize| {
        let pairs = prediction.index_axis(Axis(0), slice);
        let pairs = pairs.into_iter().zip(reference.index_axis(Axis(0), slice));
        pairs.filter(|(_, annotated)| **annotated != IGNORED).fold(
            (0_usize, 0_usize),
            |(wrong, found), (predicted, annotated)| {
                (wrong + usize::from(predicted != annotated), found + usize::from(*annotated > 0))
            },
        )
    };
    let slices = 0..reference.dim().0;
    slices.max_by_key(|&slice| (weight(slice), usize::MAX - slice)).unwrap_or(0)
}

/// The surroundings of everything labeled on either side.
fn window(prediction: &Array3<u8>, reference: &Array3<u8>) -> Window {
    let mut either = prediction.clone();
    either.zip_mut_with(reference, |label, &annotated| {
        *label = (*label).max(if annotated == IGNORED { 0 } else { annotated });
    });
    Window::around(&either)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slice_with_most_errors_is_shown() {
        let reference = Array3::from_shape_fn([4, 3, 3], |(slice, row, _)| match slice {
            3 => IGNORED,
            _ => u8::from(row > 0),
        });
        let mut prediction = reference.mapv(|label| label % IGNORED);
        assert_eq!(most_different(&prediction, &reference), 0);
        prediction[[2, 0, 0]] = 1;
        assert_eq!(most_different(&prediction, &reference), 2);
    }
}
