//! Which of several series is meant, and how they are told apart without a word about the
//! patient.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the series of a folder or file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesChoice {
    /// By its place in the list, from 1.
    Number(u32),
    /// By its key in the list.
    Key(u32),
    /// By its SeriesInstanceUID, of which only a hash is kept.
    Uid(u64),
}

impl FromStr for SeriesChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected a number from the list of series, its key, or a SeriesInstanceUID";
        if text.contains('.') {
            let valid = text.len() <= 64 && text.chars().all(|c| c.is_ascii_digit() || c == '.');
            return if valid { Ok(Self::Uid(hash(text))) } else { Err(EXPECTED) };
        }
        if text.len() == KEY_DIGITS {
            return u32::from_str_radix(text, 16).map(Self::Key).map_err(|_| EXPECTED);
        }
        match text.parse() {
            Ok(number) if number > 0 => Ok(Self::Number(number)),
            _ => Err(EXPECTED),
        }
    }
}

const KEY_DIGITS: usize = 8;

/// FNV-1a; see <https://datatracker.ietf.org/doc/html/rfc9923>.
pub(super) fn hash(uid: &str) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    uid.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The short form of a hash.
pub(super) fn key(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

/// A series in a list: what it takes to choose it, and nothing of the patient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesInfo {
    /// Its place in the list, from 1.
    pub number: u32,
    /// A hash of its UID, and of its part.
    pub key: String,
    /// CT, MR, SEG and so on.
    pub modality: String,
    /// What tells it from other volumes of the same series, as "b-value 50".
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part: Option<String>,
    /// What its makers call it, as "t2_tse_tra": to be shown, and never stored, for it is written
    /// by hand.
    #[serde(skip)]
    pub description: Option<String>,
    /// Columns, rows and slices.
    pub shape: [u64; 3],
    /// Between columns, rows and slices, where that is known.
    pub spacing_mm: Option<[f64; 3]>,
    /// What keeps it from being an even stack of slices.
    pub flaws: Vec<String>,
}

impl SeriesInfo {
    /// The key of a series, or of one of the volumes that it is taken apart into.
    pub(super) fn key_of(uid: &str, part: Option<&str>) -> String {
        format!("{:0KEY_DIGITS$x}", key(Self::hash_of(uid, part)))
    }

    pub(super) fn hash_of(uid: &str, part: Option<&str>) -> u64 {
        part.map_or_else(|| hash(uid), |part| hash(&format!("{uid} {part}")))
    }
}

impl fmt::Display for SeriesInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, key, modality, shape: [x, y, z], .. } = self;
        write!(f, "{number}: {modality} {x} x {y} x {z}")?;
        if let Some(part) = &self.part {
            write!(f, ", {part},")?;
        }
        if let Some([x, y, z]) = self.spacing_mm {
            write!(f, " of {x:.3} x {y:.3} x {z:.3} mm")?;
        }
        write!(f, ", key {key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_number_a_key_or_a_uid() {
        assert_eq!("3".parse(), Ok(SeriesChoice::Number(3)));
        assert_eq!("0000000a".parse(), Ok(SeriesChoice::Key(10)));
        assert_eq!("1.2.3".parse(), Ok(SeriesChoice::Uid(hash("1.2.3"))));
        for wrong in ["", "0", "x", "1.2.x", "-1", "123456789012"] {
            assert!(wrong.parse::<SeriesChoice>().is_err(), "{wrong}");
        }
    }
}
