//! A data set small enough to be learned in a second, made by a program.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lamina_engine::EngineError;
use lamina_engine::device::DeviceChoice;
use lamina_engine::experiment::Experiment;
use lamina_engine::observer::{Event, Flow, Observer};
use lamina_engine::synthetic_weights::unit;
use lamina_engine::training::{Fit, FitSummary, RunFolder, StartWeights};
use lamina_io::dataset::{Dataset, DatasetConfig};
use lamina_io::{LabelVolume, Volume, synthetic, write_labels, write_volume};
use tempfile::TempDir;

const DATASET: &str = r#"
name = "tiny"
title = "Ellipsoids of two halves"
modality = "mr"
license = "CC0-1.0"
source = "made by a program"
folder = "tiny"
images = "images"
labels = "labels"
classes = [
    { name = "background", color = [0, 0, 0] },
    { name = "front", color = [255, 170, 60] },
    { name = "back", color = [60, 190, 255] },
]
"#;

const EXPERIMENT: &str = r#"
dataset = "tiny"
fold = 1
folds = 3
seed = 5

[network.unet]
base_channels = 4
depth = 2

[preprocessing]
neighbors = 1

[augmentation]
flip_x = 0.5
rotation_degrees = 10.0
scale = 0.1
noise = 0.1

[training]
epochs = 3
batch_size = 6
patch = [24, 24]
learning_rate = 0.1
"#;

/// The experiment that most tests start from: four training cases of six slices, so four
/// steps of six slices make an epoch.
pub fn experiment() -> Experiment {
    let experiment: Experiment = toml::from_str(EXPERIMENT).unwrap();
    experiment.validate().unwrap();
    experiment
}

/// Case `number`: an ellipsoid whose back half (label 2) is brighter than its front (1), in noise.
pub fn case(number: usize) -> (Volume, LabelVolume) {
    let vary = |name: &str| unit(name, number) - 0.5;
    let center = [9.5 + 4.0 * vary("x"), 11.0 + 4.0 * vary("y"), 2.5];
    let radii_mm = [6.0 + 2.0 * vary("width"), 10.0 + 3.0 * vary("height"), 7.0];
    let (volume, mut labels) =
        synthetic::ellipsoid([6, 23, 20], [1.0, 1.5, 2.5], center, radii_mm).unwrap();
    let mut values = volume.to_f32();
    for (index, ((place, value), label)) in
        values.indexed_iter_mut().zip(&mut labels.labels).enumerate()
    {
        *value += 60.0 * (unit(&format!("noise {number}"), index) as f32 - 0.5);
        if *label == 1 && place.1 as f64 > center[1] {
            *label = 2;
            *value += 150.0;
        }
    }
    (Volume::from_array(values, volume.geometry).unwrap(), labels)
}

/// The data set on disk, and a place for runs; both go when it is dropped.
pub struct Tiny {
    pub folder: TempDir,
}

impl Tiny {
    /// Six cases.
    pub fn new() -> Self {
        let tiny = Self { folder: tempfile::tempdir().unwrap() };
        for kind in ["images", "labels"] {
            std::fs::create_dir_all(tiny.folder.path().join("tiny").join(kind)).unwrap();
        }
        for number in 0..6 {
            let (volume, labels) = case(number);
            write_volume(&tiny.image(number), &volume).unwrap();
            write_labels(&tiny.labels(number), &labels).unwrap();
        }
        tiny
    }

    pub fn image(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("tiny/images/case_{number}.nii"))
    }

    pub fn labels(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("tiny/labels/case_{number}.nii"))
    }

    pub fn dataset(&self) -> Dataset {
        let config: DatasetConfig = toml::from_str(DATASET).unwrap();
        Dataset::open(config, self.folder.path()).unwrap()
    }

    pub fn run_folder(&self, name: &str) -> PathBuf {
        self.folder.path().join("runs").join(name)
    }

    /// Trains in the run folder `name`.
    pub fn fit(
        &self,
        name: &str,
        experiment: &Experiment,
        resume: bool,
        observer: &dyn Observer,
    ) -> Result<FitSummary, EngineError> {
        self.fit_from(None, name, experiment, resume, observer)
    }

    /// Trains in the run folder `name`, with a checkpoint after each step, from weights that the
    /// experiment names.
    pub fn fit_from(
        &self,
        start_from: Option<&StartWeights>,
        name: &str,
        experiment: &Experiment,
        resume: bool,
        observer: &dyn Observer,
    ) -> Result<FitSummary, EngineError> {
        // Dropout draws from the generator of the process, so one run at a time.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let fit = Fit {
            cache: None,
            experiment,
            dataset: &self.dataset(),
            run: &RunFolder::new(&self.run_folder(name)),
            device: &DeviceChoice::Cpu.open(),
            resume,
            start_from,
            checkpoint_every: Duration::ZERO,
        };
        fit.run(observer)
    }
}

/// Keeps what it hears, and stops where it is told to.
pub struct Script {
    pub heard: Mutex<Vec<Event>>,
    stop: fn(&Event) -> bool,
}

impl Script {
    pub fn stop_at(stop: fn(&Event) -> bool) -> Self {
        Self { heard: Mutex::new(Vec::new()), stop }
    }
}

impl Observer for Script {
    fn on(&self, event: &Event) -> Flow {
        self.heard.lock().unwrap().push(event.clone());
        if (self.stop)(event) { Flow::Stop } else { Flow::Continue }
    }
}

/// 2|P∩R| / (|P| + |R|) of one class.
pub fn dice(prediction: &LabelVolume, reference: &LabelVolume, class: u8) -> f64 {
    let pairs = || prediction.labels.iter().zip(&reference.labels);
    let both = pairs().filter(|(p, r)| **p == class && **r == class).count();
    let sum: usize =
        pairs().map(|(p, r)| usize::from(*p == class) + usize::from(*r == class)).sum();
    2.0 * both as f64 / sum as f64
}

/// What a file holds.
pub fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
