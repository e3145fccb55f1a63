//! Writes curves, examples and TensorBoard files into the run folder while a training goes on.
//!
//! Nothing here may end a training: what cannot be written is said once.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context;
use image::RgbImage;
use lamina_engine::observer::{Event, Example, ExampleKind, Flow, Observer};
use lamina_io::atomic::write_atomically;

use super::curves;
use super::examples::{Look, held_out_sheet, training_sheet};
use super::history::{Epoch, History};
use super::tensorboard::EventFile;
use crate::chart::picture;

/// Curves are drawn anew after an epoch unless that would take more than this share of the time.
const DRAWING_SHARE: f64 = 0.05;

/// Keeps what people want to see of a training, and hands every event on.
pub struct Keeper<'a> {
    folder: PathBuf,
    next: &'a dyn Observer,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    history: History,
    look: Look,
    events: Option<EventFile>,
    /// Inputs of the first batch, then the examples of an epoch.
    examples: Vec<Example>,
    drawn: Option<(Instant, Duration)>,
    failed: bool,
}

impl<'a> Keeper<'a> {
    /// Keeps in the run folder `folder`; `next` hears every event first.
    pub fn new(folder: &Path, next: &'a dyn Observer) -> Self {
        Self { folder: folder.to_path_buf(), next, kept: Mutex::default() }
    }
}

impl Observer for Keeper<'_> {
    fn on(&self, event: &Event) -> Flow {
        let flow = self.next.on(event);
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = kept.take(&self.folder, event)
            && !std::mem::replace(&mut kept.failed, true)
        {
            let error = format!("{error:#}");
            tracing::warn!(error, "cannot keep what a training shows; it goes on without");
        }
        flow
    }
}

impl Kept {
    fn take(&mut self, folder: &Path, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::TrainingStarted { .. } => {
                // The file holds this event already, and all of an earlier start.
                self.history = History::read(folder)?;
                self.look = Look::read(folder)?;
            }
            Event::Example(example) => {
                if example.kind != ExampleKind::Batch {
                    self.draw_batch(folder)?;
                }
                self.examples.push((**example).clone());
            }
            Event::Step { epoch, step, .. } => {
                self.history.hear(event);
                self.draw_batch(folder)?;
                let step = self.history.global_step(*epoch as u64, *step as u64);
                self.write_step(folder, step)?;
            }
            Event::EpochFinished { epoch, epochs, .. } => {
                self.history.hear(event);
                self.write_epoch(folder)?;
                self.draw_examples(folder)?;
                self.draw_curves(folder, epoch == epochs)?;
            }
            Event::TrainingFinished { .. } => {
                self.history.hear(event);
                self.draw_curves(folder, true)?;
            }
            _ => self.history.hear(event),
        }
        Ok(())
    }

    fn write_step(&mut self, folder: &Path, step: u64) -> anyhow::Result<()> {
        let Some(last) = self.history.steps.last() else { return Ok(()) };
        let events = match &mut self.events {
            Some(events) => events,
            none => none.insert(EventFile::create(&folder.join("tensorboard"), step)?),
        };
        Ok(events.scalars(
            step,
            &[("step/loss", last.loss), ("step/learning_rate", last.learning_rate)],
        )?)
    }

    /// Writes the numbers of the last epoch.
    fn write_epoch(&mut self, folder: &Path) -> anyhow::Result<()> {
        let Some(epoch) = self.history.epochs.last() else { return Ok(()) };
        let step = self.history.global_step(epoch.epoch + 1, 0);
        let numbers = numbers(epoch);
        let events = match &mut self.events {
            Some(events) => events,
            none => none.insert(EventFile::create(&folder.join("tensorboard"), step)?),
        };
        let named: Vec<(&str, f64)> =
            numbers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        events.scalars(step, &named)?;
        Ok(events.flush()?)
    }

    fn draw_curves(&mut self, folder: &Path, last: bool) -> anyhow::Result<()> {
        if let Some((when, took)) = self.drawn
            && !last
            && took.as_secs_f64() > DRAWING_SHARE * when.elapsed().as_secs_f64()
        {
            return Ok(());
        }
        let start = Instant::now();
        let charts = curves::charts(&self.history);
        if !charts.is_empty() {
            let picture = picture::sheet(&self.look.title, &charts);
            write_picture(&folder.join("curves.png"), &picture)?;
        }
        self.drawn = Some((Instant::now(), start.elapsed()));
        Ok(())
    }

    /// Draws what the first batch holds, once the last of its inputs was heard.
    fn draw_batch(&mut self, folder: &Path) -> anyhow::Result<()> {
        if self.examples.first().is_some_and(|first| first.kind == ExampleKind::Batch) {
            let batch = std::mem::take(&mut self.examples);
            let picture = training_sheet(&batch, &self.look);
            write_picture(&folder.join("examples").join("training_batch.png"), &picture)?;
        }
        Ok(())
    }

    /// Draws the held-out cases of an epoch that is the best so far.
    fn draw_examples(&mut self, folder: &Path) -> anyhow::Result<()> {
        let examples = std::mem::take(&mut self.examples);
        if !self.history.epochs.last().is_some_and(|epoch| epoch.best) {
            return Ok(());
        }
        for example in &examples {
            let name = match example.kind {
                ExampleKind::Batch => continue,
                ExampleKind::Best => "held_out_best.png",
                ExampleKind::Median => "held_out_median.png",
                ExampleKind::Worst => "held_out_worst.png",
            };
            let picture = held_out_sheet(example, &self.look);
            write_picture(&folder.join("examples").join(name), &picture)?;
        }
        Ok(())
    }
}

/// What TensorBoard is told of an epoch.
fn numbers(epoch: &Epoch) -> Vec<(String, f64)> {
    let mut numbers: Vec<(String, Option<f64>)> = vec![
        ("epoch/number".to_owned(), Some(epoch.epoch as f64)),
        ("epoch/loss".to_owned(), epoch.loss),
        ("epoch/seconds".to_owned(), epoch.seconds),
        ("epoch/waiting_for_data".to_owned(), epoch.waiting),
    ];
    let measure = if epoch.pooled { "pooled_iou" } else { "dice" };
    numbers.push((format!("{measure}/mean"), epoch.mean_score));
    let classes = epoch.scores.iter();
    numbers.extend(classes.map(|(class, score)| (format!("{measure}/{class}"), *score)));
    numbers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Writes a PNG whole or not at all.
///
/// # Errors
/// When the folder or the file cannot be written.
pub fn write_picture(path: &Path, picture: &RgbImage) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).context("cannot encode a picture")?;
    write_atomically(path, |file| file.write_all(png.get_ref()))?;
    Ok(())
}
