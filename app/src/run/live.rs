//! A training as a terminal shows it: a row per validated epoch, and curves of braille dots.

use lamina_engine::observer::Event;

use super::curves;
use super::history::{Epoch, History};
use crate::chart::{Chart, braille};

/// With more classes than this the row has their mean and the worst alone.
const SHOWN_CLASSES: usize = 4;
/// Letters of a class's name over its column.
const NAME: usize = 12;
/// Epochs that say how long the next ones take.
const TIMED: usize = 5;
/// Width and height of a curve, in characters.
const CURVE: [usize; 2] = [30, 8];

/// What was heard of a training, for the next row.
#[derive(Debug, Default)]
pub struct Live {
    history: History,
    headed: bool,
}

impl Live {
    /// Takes an event.
    pub fn hear(&mut self, event: &Event) {
        if let Event::TrainingStarted { run_folder, .. } = event {
            // The folder knows what an earlier start did; where it does not, this is the first.
            self.history = History::read(run_folder).unwrap_or_default();
            self.headed = false;
        }
        self.history.hear(event);
    }

    /// The row of the last epoch, below a heading where it is the first; none where that epoch was not
    /// validated.
    pub fn rows(&mut self) -> Vec<String> {
        let Some(epoch) = self.history.epochs.last().filter(|epoch| !epoch.scores.is_empty())
        else {
            return Vec::new();
        };
        let columns = self.columns(epoch);
        let mut lines = Vec::new();
        if !self.headed {
            let line: Vec<String> =
                columns.iter().map(|(name, width, _)| format!("{name:>width$}")).collect();
            let rule: Vec<String> =
                columns.iter().map(|(_, width, _)| "─".repeat(*width)).collect();
            lines.extend([line.join("  "), rule.join("──")]);
        }
        let line: Vec<String> =
            columns.iter().map(|(_, width, cell)| format!("{cell:>width$}")).collect();
        lines.push(line.join("  "));
        self.headed = true;
        lines
    }

    /// The last epoch as a sentence, for those who read a file of them.
    pub fn line(&self) -> Option<String> {
        let epoch = self.history.epochs.last()?;
        let planned = self.history.planned_epochs.unwrap_or(epoch.epoch);
        let digits =
            |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
        let classes: Vec<String> = epoch
            .scores
            .iter()
            .map(|(class, score)| format!("{class} {}", digits(*score)))
            .collect();
        let mean = epoch.mean_score.map_or(String::new(), |mean| {
            format!(", {} {mean:.4} ({})", epoch.measure(), classes.join(", "))
        });
        let best = if epoch.best { ", best so far" } else { "" };
        Some(format!(
            "epoch {}/{planned}: loss {}{mean}, {:.1} s{best}",
            epoch.epoch,
            digits(epoch.loss),
            epoch.seconds.unwrap_or(0.0)
        ))
    }

    /// Name, width and content of each cell.
    fn columns(&self, epoch: &Epoch) -> Vec<(String, usize, String)> {
        let digits =
            |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
        let planned = self.history.planned_epochs.unwrap_or(epoch.epoch);
        let place = planned.to_string().len();
        let mut columns = vec![
            ("epoch".to_owned(), (2 * place + 1).max(5), format!("{}/{planned}", epoch.epoch)),
            ("loss".to_owned(), 7, digits(epoch.loss)),
        ];
        if epoch.scores.len() <= SHOWN_CLASSES {
            for (class, value) in &epoch.scores {
                let name: String = class.chars().take(NAME).collect();
                columns.push((name.clone(), name.chars().count().max(6), digits(*value)));
            }
        } else {
            let worst = epoch.scores.iter().filter_map(|(_, value)| *value).min_by(f64::total_cmp);
            columns.push(("worst class".to_owned(), 11, digits(worst)));
        }
        let best = if epoch.best { "★" } else { " " };
        columns.push((
            format!("mean {}  ", epoch.measure()),
            11,
            format!("{} {best}", digits(epoch.mean_score)),
        ));
        let rate = epoch.learning_rate.map_or("–".to_owned(), |rate| format!("{rate:.2e}"));
        columns.push(("rate".to_owned(), 8, rate));
        let [per_epoch, left] = self.times(epoch, planned);
        columns.push(("s/epoch".to_owned(), 7, format!("{per_epoch:.1}")));
        let waiting =
            epoch.waiting.map_or("–".to_owned(), |share| format!("{:.0} %", 100.0 * share));
        columns.push(("waiting".to_owned(), 7, waiting));
        columns.push(("left".to_owned(), 8, duration(left)));
        columns
    }

    /// Seconds that an epoch took lately, and that all to come will take.
    fn times(&self, epoch: &Epoch, planned: u64) -> [f64; 2] {
        let lately: Vec<f64> = self
            .history
            .epochs
            .iter()
            .rev()
            .take(TIMED)
            .filter_map(|epoch| epoch.seconds)
            .collect();
        let each = lately.iter().sum::<f64>() / lately.len().max(1) as f64;
        [each, each * planned.saturating_sub(epoch.epoch) as f64]
    }

    /// Loss and what is measured, side by side.
    pub fn curves(&self) -> Vec<String> {
        let charts: Vec<Chart> = curves::charts(&self.history).into_iter().take(2).collect();
        let [columns, rows] = CURVE;
        // There is room for the first words alone.
        let short = |title: &str| title.split(',').next().unwrap_or(title).to_owned();
        let mut drawn = charts.into_iter().map(|chart| {
            let title = short(&chart.title);
            braille::lines(&Chart { title, ..chart }, columns, rows)
        });
        let (Some(left), right) = (drawn.next(), drawn.next()) else { return Vec::new() };
        let right = right.unwrap_or_default();
        let width = left.iter().map(|line| line.chars().count()).max().unwrap_or(0) + 3;
        (0..left.len().max(right.len()))
            .map(|row| {
                let [left, right] =
                    [&left, &right].map(|lines| lines.get(row).map_or("", String::as_str));
                let pad = width.saturating_sub(left.chars().count());
                format!("{left}{}{right}", " ".repeat(pad)).trim_end().to_owned()
            })
            .collect()
    }
}

/// "1:05:09", "12:03", "7 s".
fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes}:{seconds:02}"),
        (hours, minutes) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use lamina_engine::observer::ClassScore;
    use lamina_io::dataset::Measure;

    use super::*;

    fn finished(epoch: usize, dice: Option<f64>, best: bool) -> Event {
        let class = |class: &str| ClassScore { class: class.to_owned(), score: dice, cases: 2 };
        let classes = ["anterior", "posterior"].map(class);
        Event::EpochFinished {
            epoch,
            epochs: 50,
            training_loss: 0.5 / epoch as f64,
            measure: Measure::CaseDice,
            scores: if dice.is_some() { classes.to_vec() } else { Vec::new() },
            mean_score: dice,
            best,
            seconds: 90.0,
            waiting_for_data: 0.031,
        }
    }

    fn started(run_folder: &std::path::Path) -> Event {
        Event::TrainingStarted {
            run_folder: run_folder.to_path_buf(),
            parameters: 1,
            training_cases: 1,
            validation_cases: 2,
            first_epoch: 1,
            epochs: 50,
            steps_per_epoch: 3,
        }
    }

    #[test]
    fn rows_stand_below_their_heading_and_only_validated_epochs_have_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut live = Live::default();
        live.hear(&started(folder.path()));
        let mut lines = Vec::new();
        for (epoch, dice, best) in [(1, None, false), (2, Some(0.75), true), (4, Some(0.5), false)]
        {
            live.hear(&Event::Step {
                epoch,
                step: 3,
                steps_per_epoch: 3,
                loss: 0.1,
                learning_rate: 0.02,
            });
            live.hear(&finished(epoch, dice, best));
            lines.extend(live.rows());
        }
        assert_eq!(
            lines,
            [
                "epoch     loss  anterior  posterior  mean Dice        rate  s/epoch  waiting      left",
                "──────────────────────────────────────────────────────────────────────────────────────",
                " 2/50   0.2500    0.7500     0.7500     0.7500 ★   2.00e-2     90.0      3 %   1:12:00",
                " 4/50   0.1250    0.5000     0.5000     0.5000     2.00e-2     90.0      3 %   1:09:00",
            ]
        );
    }

    #[test]
    fn curves_stand_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let mut live = Live::default();
        assert!(live.curves().is_empty());
        live.hear(&started(folder.path()));
        for epoch in 1..=5 {
            live.hear(&finished(epoch, Some(0.1 * epoch as f64), true));
        }
        let lines = live.curves();
        assert_eq!(lines.len(), 8 + 3);
        assert!(lines[0].contains("Loss") && lines[0].contains("Dice"), "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() <= 85), "{lines:#?}");
    }

    #[test]
    fn durations_read_like_clocks() {
        assert_eq!([7.4, 65.0, 3909.0].map(duration), ["7 s", "1:05", "1:05:09"]);
    }
}
