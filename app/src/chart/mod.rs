//! Line charts: what they show, apart from how they are drawn.
//!
//! [`picture`] draws them as pixels, [`svg`] for a page, [`braille`] for a terminal.

pub mod braille;
pub mod picture;
pub mod svg;

/// A line chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Its heading.
    pub title: String,
    /// What runs to the right.
    pub x: String,
    /// What its lines are.
    pub lines: Vec<Line>,
    /// The ends of the axis upwards; the values decide where there are none.
    pub y_range: Option<[f64; 2]>,
    /// Whether equal steps upwards are equal factors.
    pub logarithmic: bool,
    /// A place that stands out, and what it is, which is said in the heading.
    pub mark: Option<([f64; 2], String)>,
}

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What the legend says.
    pub name: String,
    /// Its color.
    pub color: [u8; 3],
    /// Whether it is drawn thicker than the others.
    pub strong: bool,
    /// Its points, from left to right; those that are no numbers are left out.
    pub points: Vec<[f64; 2]>,
}

/// Colors that are told apart on white, also by those who see no red or green: Okabe and Ito 2008,
/// darkened where they are light.
pub const COLORS: [[u8; 3]; 7] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 140, 100],
    [180, 90, 150],
    [190, 140, 0],
    [40, 150, 210],
    [90, 90, 90],
];

/// From values to shares of an axis, and the values that are written along it.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    /// Round values within the axis, lowest first.
    pub ticks: Vec<f64>,
}

impl Axis {
    /// An axis that holds `values`, or exactly `range`, with about `ticks` round values.
    pub fn new(
        values: impl IntoIterator<Item = f64>,
        range: Option<[f64; 2]>,
        logarithmic: bool,
        ticks: usize,
    ) -> Self {
        let usable = |value: &f64| value.is_finite() && (!logarithmic || *value > 0.0);
        let (low, high) = values
            .into_iter()
            .filter(usable)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let [low, high] = match range {
            Some(range) => range,
            None if low > high => [0.0, 1.0],
            None => [low, high],
        };
        if logarithmic && low > 0.0 && high / low >= 8.0 {
            let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
            let ticks = (first..=last).map(|power| 10_f64.powi(power)).collect::<Vec<_>>();
            return Self { low: ticks[0], high: ticks[ticks.len() - 1], logarithmic, ticks };
        }
        let width = match high - low {
            difference if difference > 0.0 => difference,
            _ if low == 0.0 => 1.0,
            _ => low.abs(),
        };
        let step = round_step(width / ticks.max(1) as f64);
        // Whole steps, unless the ends were given.
        let [low, high] = match range {
            Some(range) => range,
            None => [(low / step).floor() * step, ((low + width).max(high) / step).ceil() * step],
        };
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let ticks = (first..=last).map(|tick| tick as f64 * step).collect();
        Self { low, high, logarithmic: false, ticks }
    }

    /// The values at both ends.
    pub fn ends(&self) -> [f64; 2] {
        [self.low, self.high]
    }

    /// Where a value lies, from 0 to 1; `None` where it has no place.
    pub fn share(&self, value: f64) -> Option<f64> {
        let place = |value: f64| if self.logarithmic { value.log10() } else { value };
        let share = (place(value) - place(self.low)) / (place(self.high) - place(self.low));
        share.is_finite().then(|| share.clamp(0.0, 1.0))
    }

    /// A value with as many digits as the ticks need.
    pub fn label(&self, value: f64) -> String {
        let step = match self.ticks[..] {
            [a, b, ..] if !self.logarithmic => b - a,
            _ => value.abs(),
        };
        if value == 0.0 {
            "0".to_owned()
        } else if step < 1e-3 || self.high.abs() >= 1e6 {
            format!("{value:.0e}")
        } else {
            let digits = (-step.log10() - 1e-9).ceil().clamp(0.0, 4.0) as usize;
            format!("{value:.digits$}")
        }
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is not less than `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    power
        * factors.into_iter().find(|factor| factor * power >= least * (1.0 - 1e-9)).unwrap_or(10.0)
}

impl Chart {
    /// Whether there is anything to draw.
    pub fn is_empty(&self) -> bool {
        self.points().next().is_none()
    }

    /// The axes to the right and upwards.
    pub fn axes(&self, ticks: [usize; 2]) -> [Axis; 2] {
        let x = Axis::new(self.points().map(|[x, _]| x), None, false, ticks[0]);
        // Whole numbers to the right: there is no half epoch. The line fills the whole width.
        let (first, last) = self
            .points()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), [x, _]| (a.min(x), b.max(x)));
        let x = if first < last {
            let step = round_step(((last - first) / ticks[0] as f64).max(1.0));
            let place = |n: i64| n as f64 * step;
            let range = (first / step).ceil() as i64..=(last / step).floor() as i64;
            Axis { low: first, high: last, logarithmic: false, ticks: range.map(place).collect() }
        } else {
            x
        };
        let y = self.points().map(|[_, y]| y);
        [x, Axis::new(y, self.y_range, self.logarithmic, ticks[1])]
    }

    fn points(&self) -> impl Iterator<Item = [f64; 2]> + '_ {
        self.lines.iter().flat_map(Line::finite)
    }
}

impl Line {
    /// The points that are numbers.
    pub fn finite(&self) -> impl Iterator<Item = [f64; 2]> + '_ {
        self.points.iter().copied().filter(|point| point.iter().all(|value| value.is_finite()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        let axis = Axis::new([0.13, 0.92], None, false, 5);
        let labels: Vec<String> = axis.ticks.iter().map(|&tick| axis.label(tick)).collect();
        assert_eq!(labels, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(
            (axis.share(0.0), axis.share(0.5), axis.share(7.0)),
            (Some(0.0), Some(0.5), Some(1.0))
        );
        assert_eq!(axis.share(f64::NAN), None);
    }

    #[test]
    fn factors_of_ten_are_equal_steps_where_asked_for() {
        let axis = Axis::new([0.02, 0.000_2, 0.0], None, true, 5);
        let labels: Vec<String> = axis.ticks.iter().map(|&tick| axis.label(tick)).collect();
        assert_eq!(labels, ["1e-4", "0.001", "0.01", "0.1"]);
        assert!((axis.share(0.001).unwrap() - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(axis.share(0.0), None);
    }

    #[test]
    fn one_value_and_none_still_make_an_axis() {
        assert!(Axis::new([0.5], None, false, 4).share(0.5).is_some());
        assert!(Axis::new([], None, false, 4).ticks.len() > 1);
        assert_eq!(Axis::new([0.0, 0.0], None, false, 5).ends(), [0.0, 1.0]);
        assert!(Axis::new([0.0, 0.0], None, true, 4).share(0.0).is_some());
    }

    #[test]
    fn epochs_are_whole() {
        let line = |points: Vec<[f64; 2]>| Chart {
            title: String::new(),
            x: "epoch".to_owned(),
            lines: vec![Line { name: String::new(), color: [0; 3], strong: true, points }],
            y_range: None,
            logarithmic: false,
            mark: None,
        };
        let [x, _] = line(vec![[1.0, 0.5], [3.0, 0.7]]).axes([6, 4]);
        assert_eq!(x.ticks, [1.0, 2.0, 3.0]);
        let [x, _] = line((1..=50).map(|n| [f64::from(n), 0.1]).collect()).axes([6, 4]);
        assert_eq!(x.ticks, [10.0, 20.0, 30.0, 40.0, 50.0]);
        assert!(line(vec![[1.0, f64::NAN]]).is_empty());
    }
}
