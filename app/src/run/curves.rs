//! The charts of a training: loss, what is measured on held-out cases, learning rate, waiting.

use super::history::{Epoch, History};
use crate::chart::{COLORS, Chart, Line};

/// Classes beyond this many are not drawn one by one: their mean and the worst are.
const DRAWN_CLASSES: usize = 6;

const STRONG: [u8; 3] = [30, 34, 40];

/// The charts of a training, those without a point left out.
pub fn charts(history: &History) -> Vec<Chart> {
    let epochs = &history.epochs;
    let line = |value: fn(&Epoch) -> Option<f64>| points(epochs, value);
    let one = |title: &str, points: Vec<[f64; 2]>, color: [u8; 3]| Chart {
        title: title.to_owned(),
        x: "epoch".to_owned(),
        lines: vec![Line { name: String::new(), color, strong: true, points }],
        y_range: None,
        logarithmic: false,
        mark: None,
    };
    let percent = line(|epoch| Some(100.0 * epoch.waiting?));
    let mut charts = vec![
        one("Loss, mean of an epoch", line(|epoch| epoch.loss), COLORS[0]),
        measured(history),
        Chart {
            logarithmic: true,
            ..one("Learning rate", line(|epoch| epoch.learning_rate), COLORS[3])
        },
        Chart {
            y_range: Some([0.0, top_of(&percent)]),
            ..one("Share of the time waiting for data, %", percent, COLORS[1])
        },
    ];
    charts.retain(|chart| !chart.is_empty());
    charts
}

/// What the held-out cases say: case Dice, or pooled IoU where whole scenes are labeled.
pub fn measured(history: &History) -> Chart {
    let epochs = &history.epochs;
    let pooled = epochs.iter().any(|epoch| epoch.pooled);
    let classes: Vec<String> = epochs
        .iter()
        .rev()
        .find(|epoch| !epoch.scores.is_empty())
        .map(|epoch| epoch.scores.iter().map(|(class, _)| class.clone()).collect())
        .unwrap_or_default();
    let of_class = |class: usize| -> Vec<[f64; 2]> {
        let value = |epoch: &Epoch| epoch.scores.get(class).and_then(|(_, value)| *value);
        points(epochs, value)
    };
    let mut lines = Vec::new();
    if classes.len() <= DRAWN_CLASSES {
        for (class, name) in classes.iter().enumerate() {
            lines.push(Line {
                name: name.clone(),
                color: COLORS[class % COLORS.len()],
                strong: false,
                points: of_class(class),
            });
        }
    } else {
        let worst = |epoch: &Epoch| {
            epoch.scores.iter().filter_map(|(_, value)| *value).min_by(f64::total_cmp)
        };
        lines.push(Line {
            name: "worst class".to_owned(),
            color: COLORS[1],
            strong: false,
            points: points(epochs, worst),
        });
    }
    if classes.len() != 1 {
        let (color, points) = (STRONG, points(epochs, |epoch| epoch.mean_score));
        lines.push(Line { name: "mean".to_owned(), color, strong: true, points });
    } else if let Some(only) = lines.first_mut() {
        only.strong = true;
    }
    // The best by the Dice that chooses the model, marked on the mean.
    let best = epochs.iter().rev().find(|epoch| epoch.best);
    let mark = best.and_then(|epoch| {
        let value = epoch.mean_score?;
        Some(([epoch.epoch as f64, value], format!("best {value:.4} in epoch {}", epoch.epoch)))
    });
    let cases = history.validation_cases.map_or(String::new(), |n| match n {
        1 => ", 1 held-out case".to_owned(),
        n => format!(", {n} held-out cases"),
    });
    let what = if pooled { "IoU over all pixels" } else { "Dice, mean over cases" };
    Chart {
        title: format!("{what}{cases}"),
        x: "epoch".to_owned(),
        lines,
        y_range: None,
        logarithmic: false,
        mark,
    }
}

fn points(epochs: &[Epoch], value: impl Fn(&Epoch) -> Option<f64>) -> Vec<[f64; 2]> {
    epochs.iter().filter_map(|epoch| Some([epoch.epoch as f64, value(epoch)?])).collect()
}

/// The upper end of an axis of percent.
fn top_of(points: &[[f64; 2]]) -> f64 {
    let highest = points.iter().map(|[_, value]| *value).fold(0.0, f64::max);
    [1.0, 5.0, 10.0, 25.0, 50.0].into_iter().find(|top| highest <= *top).unwrap_or(100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u64, dice: &[f64], best: bool) -> Epoch {
        let per_class =
            dice.iter().enumerate().map(|(class, dice)| (format!("class {class}"), Some(*dice)));
        Epoch {
            epoch: number,
            loss: Some(1.0 / number as f64),
            scores: per_class.collect(),
            mean_score: Some(dice.iter().sum::<f64>() / dice.len() as f64),
            best,
            waiting: Some(0.02),
            learning_rate: Some(0.01),
            ..Epoch::default()
        }
    }

    fn history(epochs: Vec<Epoch>) -> History {
        History { epochs, validation_cases: Some(2), ..History::default() }
    }

    #[test]
    fn the_best_epoch_is_marked_on_the_mean() {
        let chart = measured(&history(vec![
            epoch(1, &[0.2, 0.4], true),
            epoch(2, &[0.6, 0.8], true),
            epoch(3, &[0.1, 0.1], false),
        ]));
        assert_eq!(chart.lines.len(), 3);
        assert!(chart.lines[2].strong && !chart.lines[0].strong);
        let ([at, value], words) = chart.mark.unwrap();
        assert!((value - 0.7).abs() < 1e-12 && at == 2.0, "{words}");
        assert_eq!(words, "best 0.7000 in epoch 2");
        assert_eq!(chart.title, "Dice, mean over cases, 2 held-out cases");
    }

    #[test]
    fn many_classes_are_their_mean_and_their_worst() {
        let chart = measured(&history(vec![epoch(1, &[0.5; 9], true)]));
        let names: Vec<&str> = chart.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["worst class", "mean"]);
    }

    #[test]
    fn pooled_numbers_are_said_to_be() {
        let scene = Epoch { pooled: true, ..epoch(1, &[0.9, 0.5], true) };
        let chart = measured(&history(vec![scene]));
        assert!(chart.title.starts_with("IoU over all pixels"), "{}", chart.title);
        assert_eq!(chart.lines[2].points, [[1.0, 0.7]]);
    }

    #[test]
    fn a_run_without_epochs_has_no_chart() {
        assert!(charts(&History::default()).is_empty());
        assert_eq!(charts(&history(vec![epoch(1, &[0.5, 0.5], true)])).len(), 4);
    }
}
