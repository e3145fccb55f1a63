//! Progress out, stop in: one call in both directions.

use std::path::PathBuf;

use lamina_io::dataset::Measure;
use ndarray::{Array2, Array3};
use serde::Serialize;

/// Who wants to hear how a long run goes, and may end it.
///
/// The terminal draws a bar from the events, the window a panel, a run folder
/// `events.jsonl`, a test a `Vec`.
pub trait Observer: Send + Sync {
    /// Called on the working thread; answer [`Flow::Stop`] to end at the next safe point.
    fn on(&self, event: &Event) -> Flow;
}

/// What an observer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End at the next safe point.
    Stop,
}

/// An observer that hears nothing and never stops.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on(&self, _event: &Event) -> Flow {
        Flow::Continue
    }
}

/// A stage of the work on one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// File to volume.
    Read,
    /// Volume to prepared slices.
    Prepare,
    /// Slices to labels on the prepared grid.
    Infer,
    /// Labels back on the grid of the source.
    Restore,
    /// Labels to file.
    Write,
}

/// What happens during a run. One JSON object each, told apart by `event`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Work on a case begins.
    CaseStarted {
        /// The case, named as the caller named it.
        case: String,
    },
    /// A stage of a case is over.
    StageFinished {
        /// The case.
        case: String,
        /// The stage.
        stage: Stage,
        /// How long it took.
        seconds: f64,
    },
    /// Some slices of a case have their labels.
    SlicesDone {
        /// The case.
        case: String,
        /// Slices that are done.
        done: usize,
        /// Slices of the case.
        total: usize,
    },
    /// Training begins.
    TrainingStarted {
        /// Where the run writes.
        run_folder: PathBuf,
        /// Trainable parameters of the network.
        parameters: usize,
        /// Cases that are trained on.
        training_cases: usize,
        /// Cases that are held out and measured.
        validation_cases: usize,
        /// Epoch the run starts with, from 1; more than 1 when it resumes.
        first_epoch: usize,
        /// Epochs in all.
        epochs: usize,
        /// Optimizer steps of one epoch.
        steps_per_epoch: usize,
    },
    /// An optimizer step is done.
    Step {
        /// The epoch, from 1.
        epoch: usize,
        /// The step within the epoch, from 1.
        step: usize,
        /// Optimizer steps of one epoch.
        steps_per_epoch: usize,
        /// Loss of this step's batch.
        loss: f64,
        /// Learning rate of this step.
        learning_rate: f64,
    },
    /// An epoch is done and, where asked for, validated.
    EpochFinished {
        /// The epoch, from 1.
        epoch: usize,
        /// Epochs in all.
        epochs: usize,
        /// Mean loss over the epoch's batches.
        training_loss: f64,
        /// What the scores are.
        measure: Measure,
        /// How well each class was found in the held-out cases; empty when the epoch was not
        /// validated.
        scores: Vec<ClassScore>,
        /// Mean over these classes; absent when the epoch was not validated.
        mean_score: Option<f64>,
        /// Whether this is the best epoch so far.
        best: bool,
        /// How long the epoch took, validation included.
        seconds: f64,
        /// Share of that time in which the optimizer waited for data.
        waiting_for_data: f64,
    },
    /// The held-out cases were measured, case by case.
    Validated {
        /// The epoch whose weights were measured, from 1.
        epoch: usize,
        /// Every held-out case.
        cases: Vec<CaseDice>,
        /// IoU of every class, the first too, over all voxels of all held-out cases together: what
        /// street scenes are measured by. Never the mean of anything per case.
        pooled_iou: Vec<ClassIou>,
    },
    /// A slice that shows how the training goes. For the eye alone: `events.jsonl` has none.
    #[serde(skip)]
    Example(Box<Example>),
    /// Training has come to its end.
    TrainingFinished {
        /// The epoch whose weights the bundle holds, from 1.
        epoch: usize,
        /// What the score is.
        measure: Measure,
        /// How well the held-out cases were segmented with them, mean over the classes; absent
        /// where they show no class.
        mean_score: Option<f64>,
        /// Where the trained bundle lies.
        bundle: PathBuf,
    },
    /// Something the user should know.
    Notice {
        /// A plain sentence.
        message: String,
    },
}

/// How well one class was found in the held-out cases, by the data set's [`Measure`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassScore {
    /// The class's name.
    pub class: String,
    /// Mean over the cases in which it is defined, or the pooled number; absent where no case
    /// shows the class.
    pub score: Option<f64>,
    /// How many cases went in.
    pub cases: usize,
}

/// Case Dice of one held-out case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseDice {
    /// The case.
    pub case: String,
    /// One entry per foreground class; `None` where neither side holds the class.
    pub dice: Vec<Option<f64>>,
}

/// IoU of one class over all voxels of all held-out cases together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassIou {
    /// The class's name.
    pub class: String,
    /// `None` where the class is nowhere.
    pub iou: Option<f64>,
}

/// What an example was chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExampleKind {
    /// An input of the first batch of the first epoch, as the network sees it.
    Batch,
    /// The held-out case with the highest mean Dice.
    Best,
    /// The held-out case in the middle.
    Median,
    /// The held-out case with the lowest mean Dice.
    Worst,
}

/// One slice as the network sees it, with what the annotator and the network say of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// What it was chosen for.
    pub kind: ExampleKind,
    /// The epoch, from 1.
    pub epoch: usize,
    /// The case; empty for an input of a batch.
    pub case: String,
    /// Which slice of how many, from 0; `None` for an input of a batch.
    pub slice: Option<(usize, usize)>,
    /// The case's mean Dice over the classes that have one.
    pub dice: Option<f64>,
    /// `[channel, height, width]`, normalized and augmented.
    pub input: Array3<f32>,
    /// `[height, width]`; 255 where nothing is learned nor measured.
    pub reference: Array2<u8>,
    /// `[height, width]`; `None` for an input of a batch.
    pub prediction: Option<Array2<u8>>,
}
