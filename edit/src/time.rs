//! Moments in UTC, as journals write them.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment, to the millisecond. In files it is written as `2026-11-20T20:17:31.042Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Moment(u64);

/// Beyond the year 9999 there are more than four digits.
const LAST_MS: u64 = 253_402_300_799_999;

impl Moment {
    /// Now, by the clock of this machine.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self((since.as_millis() as u64).min(LAST_MS))
    }

    /// So many milliseconds after the beginning of 1970.
    pub fn from_unix_ms(ms: u64) -> Self {
        Self(ms.min(LAST_MS))
    }

    /// Milliseconds since the beginning of 1970.
    pub fn unix_ms(self) -> u64 {
        self.0
    }

    /// Seconds from `earlier` to this, none where the clock was set back.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1000.0
    }

    /// Year, month, day.
    fn date(self) -> [u64; 3] {
        // Howard Hinnant, chrono-compatible low-level date algorithms: days from year 0, March 1.
        let days = self.0 / 86_400_000 + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        [year_of_era + era * 400 + u64::from(month <= 2), month, day]
    }

    /// As `20261120-201731`, to be part of a file's name.
    pub(crate) fn compact(self) -> String {
        let [year, month, day] = self.date();
        let [hour, minute, second] = self.clock();
        format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
    }

    fn clock(self) -> [u64; 3] {
        let seconds = self.0 / 1000 % 86_400;
        [seconds / 3600, seconds / 60 % 60, seconds % 60]
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let pattern = b"0000-00-00T00:00:00.000Z";
        let fits = |(&byte, &wanted): (&u8, &u8)| {
            if wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted }
        };
        if bytes.len() != pattern.len() || !bytes.iter().zip(pattern).all(fits) {
            return None;
        }
        let number = |range: std::ops::Range<usize>| text[range].parse::<u64>().ok();
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        if year < 1970 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let day_of_year = (153 * m + 2) / 5 + day.checked_sub(1)?;
        let era_days = y / 400 * 146_097;
        let y = y % 400;
        let days = (era_days + y * 365 + y / 4 - y / 100 + day_of_year).checked_sub(719_468)?;
        let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
        let moment = Self(seconds * 1000 + number(20..23)?);
        (moment.to_string() == text).then_some(moment) // no 31st of February
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [year, month, day] = self.date();
        let [hour, minute, second] = self.clock();
        let ms = self.0 % 1000;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl TryFrom<String> for Moment {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("expected a moment such as 2026-11-20T20:17:31.042Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_people_write_them() {
        // By `date -u -d @1582934400` and the like.
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_582_934_400_007, "2020-02-29T00:00:00.007Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST_MS, "9999-12-31T23:59:59.999Z"),
        ] {
            let moment = Moment::from_unix_ms(ms);
            assert_eq!(moment.to_string(), text);
            assert_eq!(Moment::try_from(text.to_owned()), Ok(moment));
        }
    }

    #[test]
    fn every_day_comes_back() {
        for day in 0..60_000 {
            let moment = Moment::from_unix_ms(day * 86_400_000 + day % 86_400_000);
            assert_eq!(Moment::try_from(moment.to_string()), Ok(moment));
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026-02-30T00:00:00.000Z",
            "2026-11-20T24:00:00.000Z",
            "2026-11-20 20:17:31.042Z",
            "2026-11-20T20:17:31.04\u{e9}",
            "1969-12-31T23:59:59.999Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
        ] {
            assert!(Moment::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
