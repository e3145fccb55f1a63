//! The course of a training, from its events: each step and epoch once, however often the run was
//! killed and resumed.
//!
//! `events.jsonl` is appended to. A run that was killed goes on from its last checkpoint, so steps and
//! epochs behind it come again; what comes later in the file counts.

use std::path::Path;

use anyhow::Context;
use lamina_engine::observer::Event;
use serde_json::Value;

/// A number per class, `None` where it could not be measured.
pub type PerClass = Vec<(String, Option<f64>)>;

/// The course of a training.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Trainable parameters.
    pub parameters: Option<u64>,
    /// Cases that are learned from.
    pub training_cases: Option<u64>,
    /// Cases that are held out.
    pub validation_cases: Option<u64>,
    /// Epochs that were asked for.
    pub planned_epochs: Option<u64>,
    /// Optimizer steps of one epoch.
    pub steps_per_epoch: u64,
    /// Every step, in order.
    pub steps: Vec<Step>,
    /// Every epoch, in order.
    pub epochs: Vec<Epoch>,
    /// The epoch whose weights the bundle holds, once the run has ended.
    pub kept_epoch: Option<u64>,
    /// How often the run was started.
    pub starts: u64,
    /// Lines that are no events, such as the last one of a run that was killed.
    pub unread_lines: usize,
}

/// One optimizer step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The step within it, from 1.
    pub step: u64,
    /// Loss of its batch.
    pub loss: f64,
    /// Its learning rate.
    pub learning_rate: f64,
}

/// One epoch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Epoch {
    /// From 1.
    pub epoch: u64,
    /// Mean loss of its batches.
    pub loss: Option<f64>,
    /// Whether the scores are IoU over the pixels of all held-out cases together, the first class
    /// too, and not mean case Dice of the foreground classes.
    pub pooled: bool,
    /// How well each class was found; empty where the epoch was not validated.
    pub scores: PerClass,
    /// The mean over the classes.
    pub mean_score: Option<f64>,
    /// Held-out cases and their Dice per foreground class.
    pub cases: Vec<(String, Vec<Option<f64>>)>,
    /// Whether it was the best so far.
    pub best: bool,
    /// How long it took.
    pub seconds: Option<f64>,
    /// Share of that time in which the optimizer waited for data.
    pub waiting: Option<f64>,
    /// Learning rate of its last step.
    pub learning_rate: Option<f64>,
}

impl Epoch {
    /// What the scores are: Dice or IoU.
    pub fn measure(&self) -> &'static str {
        if self.pooled { "IoU" } else { "Dice" }
    }
}

impl History {
    /// Reads `events.jsonl` of a run folder.
    ///
    /// # Errors
    /// When the file cannot be read. Lines that are no events are counted.
    pub fn read(run_folder: &Path) -> anyhow::Result<Self> {
        let path = run_folder.join("events.jsonl");
        let bytes = std::fs::read(&path)
            .with_context(|| format!("cannot read the events of a run: {}", path.display()))?;
        let mut history = Self::default();
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Value>(line) {
                Ok(event) if event.is_object() => history.take(&event),
                _ => history.unread_lines += 1,
            }
        }
        Ok(history)
    }

    /// Takes an event that is heard just now.
    pub fn hear(&mut self, event: &Event) {
        // The same way as from the file; what has no line there tells nothing here.
        if let Ok(event) = serde_json::to_value(event) {
            self.take(&event);
        }
    }

    /// The optimizer step, from 1 and over all epochs, that a step of an epoch is.
    pub fn global_step(&self, epoch: u64, step: u64) -> u64 {
        epoch.saturating_sub(1) * self.steps_per_epoch + step
    }

    /// The last epoch that was validated, by its number or, for `None`, at all.
    pub fn validated(&self, epoch: Option<u64>) -> Option<&Epoch> {
        let mut epochs = self.epochs.iter().rev().filter(|epoch| !epoch.scores.is_empty());
        epochs.find(|found| epoch.is_none_or(|epoch| found.epoch == epoch))
    }

    /// The validated epoch whose weights are kept, or would be if the run ended now.
    pub fn kept(&self) -> Option<&Epoch> {
        let best = || self.epochs.iter().rev().find(|epoch| epoch.best).map(|epoch| epoch.epoch);
        self.validated(self.kept_epoch.or_else(best))
    }

    fn take(&mut self, event: &Value) {
        let whole = |key: &str| event[key].as_u64();
        let number = |key: &str| event[key].as_f64();
        match event["event"].as_str() {
            Some("training_started") => {
                self.parameters = whole("parameters");
                self.training_cases = whole("training_cases");
                self.validation_cases = whole("validation_cases");
                self.planned_epochs = whole("epochs");
                self.steps_per_epoch = whole("steps_per_epoch").unwrap_or(self.steps_per_epoch);
                self.starts += 1;
                if let Some(first) = whole("first_epoch") {
                    self.epochs.retain(|epoch| epoch.epoch < first);
                    self.steps.retain(|step| step.epoch <= first);
                }
            }
            Some("step") => {
                let (Some(epoch), Some(step)) = (whole("epoch"), whole("step")) else { return };
                self.forget_from(epoch, step);
                self.steps.push(Step {
                    epoch,
                    step,
                    loss: number("loss").unwrap_or(f64::NAN),
                    learning_rate: number("learning_rate").unwrap_or(f64::NAN),
                });
            }
            Some("validated") => {
                let Some(epoch) = whole("epoch") else { return };
                let cases = event["cases"].as_array().into_iter().flatten();
                let cases = cases.filter_map(|case| {
                    let dice = case["dice"].as_array()?.iter().map(Value::as_f64).collect();
                    Some((case["case"].as_str()?.to_owned(), dice))
                });
                let cases = cases.collect();
                self.epoch(epoch).cases = cases;
            }
            Some("epoch_finished") => {
                let Some(epoch) = whole("epoch") else { return };
                let last = self.steps.iter().rev().find(|step| step.epoch == epoch);
                let learning_rate = last.map(|step| step.learning_rate);
                // Runs of before there was another measure than case Dice name it so.
                let mut scores = per_class(&event["scores"], "score");
                if scores.is_empty() {
                    scores = per_class(&event["dice"], "dice");
                }
                let entry = self.epoch(epoch);
                entry.loss = number("training_loss");
                entry.pooled = event["measure"] == "pooled_iou";
                entry.scores = scores;
                entry.mean_score = number("mean_score").or_else(|| number("mean_dice"));
                entry.best = event["best"].as_bool().unwrap_or(false);
                entry.seconds = number("seconds");
                entry.waiting = number("waiting_for_data");
                entry.learning_rate = learning_rate;
            }
            Some("training_finished") => self.kept_epoch = whole("epoch"),
            _ => {}
        }
    }

    /// The entry of an epoch; later ones are of a course that was left.
    fn epoch(&mut self, epoch: u64) -> &mut Epoch {
        self.epochs.retain(|entry| entry.epoch <= epoch);
        if self.epochs.last().is_none_or(|last| last.epoch != epoch) {
            self.epochs.push(Epoch { epoch, ..Epoch::default() });
        }
        self.epochs.last_mut().expect("one was just put there")
    }

    /// Leaves out this step and all that came after it.
    fn forget_from(&mut self, epoch: u64, step: u64) {
        while self.steps.last().is_some_and(|last| (last.epoch, last.step) >= (epoch, step)) {
            self.steps.pop();
        }
        while self.epochs.last().is_some_and(|last| last.epoch >= epoch) {
            self.epochs.pop();
        }
    }
}

fn per_class(list: &Value, key: &str) -> PerClass {
    let entries = list.as_array().into_iter().flatten();
    entries
        .filter_map(|entry| Some((entry["class"].as_str()?.to_owned(), entry[key].as_f64())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(first: u64) -> String {
        format!(
            "{{\"event\":\"training_started\",\"first_epoch\":{first},\"epochs\":4,\"steps_per_epoch\":2}}"
        )
    }

    fn step(epoch: u64, step: u64, loss: f64) -> String {
        format!(
            "{{\"event\":\"step\",\"epoch\":{epoch},\"step\":{step},\"loss\":{loss},\"learning_rate\":0.1}}"
        )
    }

    fn finished(epoch: u64, loss: f64) -> String {
        format!(
            "{{\"event\":\"epoch_finished\",\"epoch\":{epoch},\"training_loss\":{loss},\"dice\":[{{\"class\":\"a\",\"dice\":0.5,\"cases\":1}}],\"mean_dice\":0.5}}"
        )
    }

    fn read(lines: &[String]) -> History {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("events.jsonl"), lines.join("\n")).unwrap();
        History::read(folder.path()).unwrap()
    }

    #[test]
    fn steps_that_a_killed_run_repeats_are_there_once() {
        let lines = [
            started(1),
            step(1, 1, 9.0),
            step(1, 2, 8.0),
            finished(1, 8.5),
            step(2, 1, 7.0),
            "{\"event\":\"step\",\"epo".to_owned(), // killed here
            started(1),
            step(1, 2, 8.0),
            finished(1, 8.5),
            step(2, 1, 6.0),
            step(2, 2, 5.0),
        ];
        let history = read(&lines);
        let steps: Vec<(u64, u64, f64)> =
            history.steps.iter().map(|step| (step.epoch, step.step, step.loss)).collect();
        assert_eq!(steps, [(1, 1, 9.0), (1, 2, 8.0), (2, 1, 6.0), (2, 2, 5.0)]);
        assert_eq!((history.epochs.len(), history.starts, history.unread_lines), (1, 2, 1));
        assert_eq!(history.global_step(2, 1), 3);
        assert_eq!(history.epochs[0].learning_rate, Some(0.1));
    }

    #[test]
    fn a_resume_that_only_finishes_keeps_every_epoch() {
        let lines = [started(1), step(1, 1, 1.0), step(1, 2, 1.0), finished(1, 1.0), started(2)];
        let history = read(&lines);
        assert_eq!((history.epochs.len(), history.steps.len()), (1, 2));
        assert_eq!(history.validated(None).unwrap().scores, [("a".to_owned(), Some(0.5))]);
        assert!(history.validated(Some(2)).is_none());
    }

    #[test]
    fn either_name_of_the_scores_is_read() {
        let line = "{\"event\":\"epoch_finished\",\"epoch\":1,\"measure\":\"pooled_iou\",\
                    \"scores\":[{\"class\":\"sky\",\"score\":0.9,\"cases\":1}],\"mean_score\":0.9}";
        let history = read(&[line.to_owned(), finished(2, 1.0)]);
        let [scene, organ] = &history.epochs[..] else { panic!("{history:?}") };
        assert_eq!((scene.measure(), scene.mean_score), ("IoU", Some(0.9)));
        assert_eq!((organ.measure(), organ.mean_score), ("Dice", Some(0.5)));
        assert_eq!(scene.scores, [("sky".to_owned(), Some(0.9))]);
    }
}
