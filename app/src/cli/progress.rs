//! Shows how a long run goes: bars and a growing table on a terminal, plain lines elsewhere.
//!
//! What a row of the table and the curves are is known to `run::live`. Also the way back: a stop that the user asked for is what it answers.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lamina_engine::observer::{Event, Flow, Observer, Stage};

use super::interrupt::Interrupt;
use super::output::Output;
use super::table::{count, number};
use crate::run::live::Live;

/// A bar on a terminal; nothing elsewhere.
pub struct Bar<'a> {
    output: &'a Output,
    bar: Mutex<Option<ProgressBar>>,
}

impl<'a> Bar<'a> {
    /// Nothing is drawn before it moves.
    pub fn new(output: &'a Output) -> Self {
        Self { output, bar: Mutex::new(None) }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = self.lock().take() {
            bar.finish_and_clear();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Moves the bar to `done` of `total`, making it where there is none.
    pub fn move_to(&self, done: usize, total: usize, message: String) {
        if !self.output.interactive() {
            return;
        }
        let mut bar = self.lock();
        let bar = bar.get_or_insert_with(|| {
            let style =
                ProgressStyle::with_template("{bar:28.cyan/dim} {pos:>4}/{len} {elapsed:>4} {msg}")
                    .expect("the template is a constant that parses")
                    .progress_chars("━━─");
            let bar = self.output.bars().add(ProgressBar::new(0).with_style(style));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(message);
    }
}

/// Draws what the engine reports.
pub struct Progress<'a> {
    output: &'a Output,
    interrupt: Interrupt,
    bar: Bar<'a>,
    live: Mutex<Live>,
    curves_every: Option<usize>,
}

impl<'a> Progress<'a> {
    /// Nothing is drawn before the first event.
    pub fn new(output: &'a Output, interrupt: Interrupt) -> Self {
        let (bar, live) = (Bar::new(output), Mutex::default());
        Self { output, interrupt, bar, live, curves_every: None }
    }

    /// Draws curves every so many epochs too, and not at the end of a training alone.
    pub fn with_curves_every(self, epochs: Option<usize>) -> Self {
        Self { curves_every: epochs, ..self }
    }

    /// Whether the user has asked to stop.
    pub fn interrupted(&self) -> bool {
        self.interrupt.requested()
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.clear();
    }

    /// Moves the bar to `done` of `total`.
    fn move_bar(&self, done: usize, total: usize, message: String) {
        self.bar.move_to(done, total, message);
    }
}

impl Progress<'_> {
    /// Shows a finished epoch: a row where someone watches, else a line.
    fn show_epoch(&self, live: &mut Live, epoch: usize) {
        if self.output.interactive() {
            for line in live.rows() {
                self.output.note(line);
            }
        } else if let Some(line) = live.line() {
            self.output.note(line);
        }
        if self.curves_every.is_some_and(|every| epoch.is_multiple_of(every)) {
            self.show_curves(live);
        }
    }

    fn show_curves(&self, live: &Live) {
        for line in live.curves() {
            self.output.note(line);
        }
    }
}

impl Observer for Progress<'_> {
    fn on(&self, event: &Event) -> Flow {
        let mut live = self.live.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        live.hear(event);
        match event {
            Event::CaseStarted { case } => self.move_bar(0, 1, case.clone()),
            Event::SlicesDone { case, done, total } => {
                self.move_bar(*done, *total, format!("{case}: slices"));
            }
            Event::StageFinished { case, stage: Stage::Infer, .. } => {
                self.move_bar(1, 1, format!("{case}: restoring"));
            }
            Event::StageFinished { .. } | Event::Validated { .. } | Event::Example(_) => {}
            Event::TrainingStarted {
                run_folder,
                parameters,
                training_cases,
                validation_cases,
                first_epoch,
                epochs,
                steps_per_epoch,
            } => {
                let left = if first_epoch > epochs {
                    format!("all {epochs} epochs are done already")
                } else {
                    format!("epochs {first_epoch} to {epochs}")
                };
                self.output.note(format!(
                    "training {parameters} parameters on {}, measuring on {}; {left} of {}; \
                     run folder {}",
                    count(*training_cases, "case"),
                    count(*validation_cases, "case"),
                    count(*steps_per_epoch, "step"),
                    run_folder.display(),
                ));
            }
            Event::Step { epoch, step, steps_per_epoch, loss, learning_rate } => {
                let message =
                    format!("epoch {epoch}, loss {loss:.4}, learning rate {learning_rate:.2e}");
                self.move_bar(*step, *steps_per_epoch, message);
            }
            Event::EpochFinished { epoch, .. } => {
                self.show_epoch(&mut live, *epoch);
            }
            Event::TrainingFinished { epoch, measure, mean_score, bundle } => {
                self.clear();
                if self.output.interactive() {
                    self.show_curves(&live);
                }
                self.output.note(format!(
                    "model of epoch {epoch}, {} {}: {}",
                    measure.name(),
                    number(*mean_score, 4),
                    bundle.display()
                ));
            }
            Event::Notice { message } => self.output.note(message),
        }
        if self.interrupt.requested() { Flow::Stop } else { Flow::Continue }
    }
}
