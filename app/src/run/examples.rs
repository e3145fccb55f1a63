//! Pictures of what a network learns from and of what it makes of held-out cases, which are chosen by
//! their mean Dice whatever the run is measured by.
//!
//! Slices lie as the network sees them, which may be upside down beside how a viewer shows them.

use std::path::Path;

use anyhow::Context;
use image::RgbImage;
use lamina_engine::observer::{Example, ExampleKind};
use lamina_io::dataset::DatasetConfig;
use ndarray::{ArrayView2, Axis};

use crate::montage::{MontageClass, Panel, Pixels, Sheet};

/// What pictures of a run need to know of it.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// The classes that are drawn.
    pub classes: Vec<MontageClass>,
    /// What is written over the curves.
    pub title: String,
    /// Whether three channels are red, green and blue rather than neighboring slices.
    pub colors: bool,
}

impl Look {
    /// Reads `dataset.toml` and `config.toml` of a run folder.
    ///
    /// # Errors
    /// When they cannot be read or do not parse.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let dataset = DatasetConfig::read(&folder.join("dataset.toml"))?;
        let path = folder.join("config.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read: {}", path.display()))?;
        let experiment: toml::Table =
            toml::from_str(&text).with_context(|| format!("cannot parse: {}", path.display()))?;
        let input = experiment.get("preprocessing").and_then(|table| table.get("input"));
        let network = experiment
            .get("network")
            .and_then(|network| network.as_table()?.keys().next().cloned())
            .unwrap_or_default();
        let fold = experiment.get("fold").and_then(toml::Value::as_integer).unwrap_or(0);
        Ok(Self {
            classes: drawn_classes(&dataset),
            title: format!("{} on {}, fold {fold} held out", network, dataset.name),
            colors: input.and_then(toml::Value::as_str) == Some("rgb"),
        })
    }
}

/// The classes of a data set that are drawn: all but a background.
pub fn drawn_classes(dataset: &DatasetConfig) -> Vec<MontageClass> {
    let classes = (0..=u8::MAX).zip(&dataset.classes).map(|(label, class)| MontageClass {
        label,
        color: class.color,
        caption: class.name.clone(),
    });
    classes.filter(|class| class.label > 0 || class.caption != "background").collect()
}

/// Inputs of the first batch, augmented, with the labels that go with them.
pub fn training_sheet(batch: &[Example], look: &Look) -> RgbImage {
    let panels: Vec<Panel> = batch
        .iter()
        .enumerate()
        .map(|(place, example)| Panel {
            pixels: pixels(example, look),
            painted: Some(example.reference.view()),
            dashed: None,
            caption: format!("input {}", place + 1),
            window: None,
        })
        .collect();
    Sheet {
        title: "What the network learns from: first batch of epoch 1",
        classes: &look.classes,
        panels: &panels,
        columns: 4,
        spacing: [1.0, 1.0],
    }
    .draw()
}

/// A held-out case: the slice alone, the reference, and the prediction with the reference dashed.
pub fn held_out_sheet(example: &Example, look: &Look) -> RgbImage {
    let panel = |painted, dashed, caption: &str| Panel {
        pixels: pixels(example, look),
        painted,
        dashed,
        caption: caption.to_owned(),
        window: None,
    };
    let reference = example.reference.view();
    let prediction = example.prediction.as_ref().map(|labels| labels.view());
    let mut panels = vec![
        panel(None, None, "as the network sees it"),
        panel(Some(reference), None, "reference"),
    ];
    if prediction.is_some() {
        // Dashes around everything in a scene would hide it.
        let scene = matches!(panels[0].pixels, Pixels::Color(_));
        panels.push(if scene {
            panel(prediction, None, "prediction")
        } else {
            panel(prediction, Some(reference), "prediction, reference dashed")
        });
    }
    let kind = match example.kind {
        ExampleKind::Best => "best",
        ExampleKind::Median => "median",
        ExampleKind::Worst => "worst",
        ExampleKind::Batch => "an",
    };
    let slice =
        example.slice.map_or(String::new(), |(slice, of)| format!(", slice {} of {of}", slice + 1));
    let dice = example.dice.map_or(String::new(), |dice| format!(", mean Dice {dice:.3}"));
    let title =
        format!("{kind} held-out case of epoch {}: {}{dice}{slice}", example.epoch, example.case);
    let mut letters = title.chars();
    let title: String =
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    Sheet {
        title: &title,
        classes: &look.classes,
        panels: &panels,
        columns: 3,
        spacing: [1.0, 1.0],
    }
    .draw()
}

/// The slice itself, without its neighbors.
fn pixels<'a>(example: &'a Example, look: &Look) -> Pixels<'a> {
    let channel =
        |index: usize| -> ArrayView2<'a, f32> { example.input.index_axis(Axis(0), index) };
    let channels = example.input.dim().0;
    if look.colors && channels == 3 {
        Pixels::Color([0, 1, 2].map(channel))
    } else {
        Pixels::Gray(channel(channels / 2))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3};

    use super::*;

    fn example(kind: ExampleKind) -> Example {
        Example {
            kind,
            epoch: 3,
            case: "case_1".to_owned(),
            slice: Some((4, 9)),
            dice: Some(0.5),
            input: Array3::from_shape_fn([3, 12, 16], |(channel, row, _)| (row * channel) as f32),
            reference: Array2::zeros([12, 16]),
            prediction: (kind != ExampleKind::Batch).then(|| Array2::zeros([12, 16])),
        }
    }

    #[test]
    fn the_middle_channel_is_shown_and_three_colors_as_colors() {
        let example = example(ExampleKind::Best);
        let look = |colors| Look { colors, ..Look::default() };
        let Pixels::Gray(gray) = pixels(&example, &look(false)) else { panic!("not gray") };
        assert_eq!(gray[[5, 0]], 5.0);
        assert!(matches!(pixels(&example, &look(true)), Pixels::Color(_)));
    }

    #[test]
    fn sheets_hold_all_their_panels() {
        let look = Look::default();
        let wide = held_out_sheet(&example(ExampleKind::Worst), &look);
        assert!(wide.width() > 3 * 280, "{:?}", wide.dimensions());
        let batch = vec![example(ExampleKind::Batch); 8];
        assert!(training_sheet(&batch, &look).height() > 2 * 210);
    }
}
