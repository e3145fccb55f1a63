//! How fast slices are done, and how long the rest may take.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back is looked: what was computed before tells less of what comes.
const LOOKED_BACK: Duration = Duration::from_secs(5);

/// Counts what is done over the last few seconds.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// When how many were done.
    done: VecDeque<(Instant, usize)>,
}

impl Pace {
    /// Notes that so many are done in all.
    pub fn note(&mut self, now: Instant, done: usize) {
        self.done.push_back((now, done));
        while self.done.len() > 2
            && self.done.get(1).is_some_and(|(at, _)| now.duration_since(*at) > LOOKED_BACK)
        {
            self.done.pop_front();
        }
    }

    /// How many are done in a second; `None` until that can be told.
    pub fn per_second(&self) -> Option<f64> {
        let ((began, first), (ended, last)) = (self.done.front()?, self.done.back()?);
        let seconds = ended.duration_since(*began).as_secs_f64();
        (last > first && seconds > 0.0).then(|| (last - first) as f64 / seconds)
    }

    /// How long the rest of `total` takes at this pace.
    pub fn left(&self, total: usize) -> Option<Duration> {
        let (_, done) = self.done.back()?;
        Duration::try_from_secs_f64(total.saturating_sub(*done) as f64 / self.per_second()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_the_last_seconds_tell() {
        let (began, mut pace) = (Instant::now(), Pace::default());
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        pace.note(at(0), 0);
        assert_eq!(pace.per_second(), None);
        assert_eq!(pace.left(100), None);
        pace.note(at(2), 1); // the first one is slow
        assert_eq!(pace.left(100), Some(Duration::from_secs(198)));
        for second in 3..20 {
            pace.note(at(second), 1 + 4 * (second as usize - 2));
        }
        assert_eq!(pace.per_second(), Some(4.0));
        assert_eq!(pace.left(101), Some(Duration::from_secs(8)));
        assert_eq!(pace.left(3), Some(Duration::ZERO));
    }
}
