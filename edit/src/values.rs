//! Ranges of image values, and which voxels of a row lie in one.

use lamina_io::{Rescale, Volume, Voxels};
use ndarray::{Array3, s};
use serde::{Deserialize, Serialize};

/// Image values from `low` to `high`, both included. What is not a number is in no range. An end may
/// be infinite; in files it is then absent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Ends", from = "Ends")]
pub struct ValueRange {
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

/// A range as files have it: JSON knows no infinity.
#[derive(Serialize, Deserialize)]
struct Ends {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
}

impl From<ValueRange> for Ends {
    fn from(range: ValueRange) -> Self {
        let finite = |end: f64| end.is_finite().then_some(end);
        Self { low: finite(range.low), high: finite(range.high) }
    }
}

impl From<Ends> for ValueRange {
    fn from(ends: Ends) -> Self {
        let low = ends.low.unwrap_or(f64::NEG_INFINITY);
        Self { low, high: ends.high.unwrap_or(f64::INFINITY) }
    }
}

impl ValueRange {
    /// The range between two values, whichever is larger.
    pub fn between(a: f64, b: f64) -> Self {
        Self { low: a.min(b), high: a.max(b) }
    }

    /// Whether `value` lies in it.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Clears `keep` where the values of columns `first..` of row (k, j) lie outside of `range`.
pub(crate) fn keep_in_range(
    volume: &Volume,
    [k, j, first]: [usize; 3],
    range: ValueRange,
    keep: &mut [bool],
) {
    fn row<T: Copy>(
        array: &Array3<T>,
        [k, j, first]: [usize; 3],
        keep: &mut [bool],
        inside: impl Fn(T) -> bool,
    ) {
        let values = array.slice(s![k, j, first..first + keep.len()]);
        keep.iter_mut().zip(values).for_each(|(keep, &value)| *keep &= inside(value));
    }
    let at = [k, j, first];
    let inside = |stored: f64| range.contains(volume.rescale.apply(stored));
    let plain = volume.rescale.is_identity();
    match &volume.voxels {
        Voxels::U8(array) => row(array, at, keep, |v| inside(f64::from(v))),
        Voxels::I8(array) => row(array, at, keep, |v| inside(f64::from(v))),
        Voxels::U16(array) => row(array, at, keep, |v| inside(f64::from(v))),
        Voxels::I16(array) => row(array, at, keep, |v| inside(f64::from(v))),
        Voxels::U32(array) => row(array, at, keep, |v| inside(f64::from(v))),
        Voxels::I32(array) => row(array, at, keep, |v| inside(f64::from(v))),
        Voxels::U64(array) => row(array, at, keep, |v| inside(v as f64)),
        Voxels::I64(array) => row(array, at, keep, |v| inside(v as f64)),
        Voxels::F32(array) if plain => row(array, at, keep, |v| range.contains(f64::from(v))),
        Voxels::F32(array) => row(array, at, keep, |v| inside(f64::from(v))),
        Voxels::F64(array) => row(array, at, keep, inside),
    }
}

/// SHA-256 of an image's shape, placement and stored voxels: which image a journal belongs to,
/// without saying whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ImageId([u8; 32]);

impl ImageId {
    /// Reads all voxels; some tenths of a second for a large scan.
    pub fn of(volume: &Volume) -> Self {
        use sha2::{Digest, Sha256};
        fn feed<T: Copy, const N: usize>(
            hash: &mut Sha256,
            array: &Array3<T>,
            bytes_of: impl Fn(T) -> [u8; N],
        ) {
            let mut buffer = Vec::new();
            for row in array.rows() {
                buffer.clear();
                row.iter().for_each(|&value| buffer.extend_from_slice(&bytes_of(value)));
                hash.update(&buffer);
            }
        }
        let mut hash = Sha256::new();
        hash.update(b"lamina image 1");
        for size in volume.shape() {
            hash.update((size as u64).to_le_bytes());
        }
        for number in volume.geometry.ras_from_index().rows().as_flattened() {
            hash.update(number.to_le_bytes());
        }
        let Rescale { slope, intercept } = volume.rescale;
        hash.update(slope.to_le_bytes());
        hash.update(intercept.to_le_bytes());
        hash.update(volume.voxels.stored_type().name());
        match &volume.voxels {
            Voxels::U8(array) => feed(&mut hash, array, u8::to_le_bytes),
            Voxels::I8(array) => feed(&mut hash, array, i8::to_le_bytes),
            Voxels::U16(array) => feed(&mut hash, array, u16::to_le_bytes),
            Voxels::I16(array) => feed(&mut hash, array, i16::to_le_bytes),
            Voxels::U32(array) => feed(&mut hash, array, u32::to_le_bytes),
            Voxels::I32(array) => feed(&mut hash, array, i32::to_le_bytes),
            Voxels::U64(array) => feed(&mut hash, array, u64::to_le_bytes),
            Voxels::I64(array) => feed(&mut hash, array, i64::to_le_bytes),
            Voxels::F32(array) => feed(&mut hash, array, f32::to_le_bytes),
            Voxels::F64(array) => feed(&mut hash, array, f64::to_le_bytes),
        }
        Self(hash.finalize().into())
    }

    /// Its first eight hexadecimal digits, enough to tell a few images apart.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl std::fmt::Display for ImageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for ImageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ImageId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits: Vec<u8> =
            text.chars().map_while(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        let (pairs, rest) = digits.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        match bytes.try_into() {
            Ok(bytes) if rest.is_empty() && text.len() == 64 => Ok(Self(bytes)),
            _ => Err("expected 64 hexadecimal digits".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use lamina_io::Geometry;

    use super::*;

    fn volume() -> Volume {
        let stored = Array3::from_shape_fn([2, 3, 4], |(k, j, i)| (100 * k + 10 * j + i) as i16);
        let rescale = Rescale { slope: -0.5, intercept: 10.0 };
        Volume::new(Voxels::I16(stored), rescale, Geometry::pixels([2, 3, 4])).unwrap()
    }

    #[test]
    fn a_row_is_kept_by_its_rescaled_values() {
        let mut keep = [true, true, false];
        // Stored 111, 112, 113: values -45.5, -46, -46.5.
        keep_in_range(&volume(), [1, 1, 1], ValueRange::between(-45.5, -46.0), &mut keep);
        assert_eq!(keep, [true, true, false]);
        keep_in_range(&volume(), [1, 1, 1], ValueRange::between(-46.2, -45.8), &mut keep);
        assert_eq!(keep, [false, true, false]);
    }

    #[test]
    fn what_is_not_a_number_is_in_no_range() {
        let everything = ValueRange { low: f64::NEG_INFINITY, high: f64::INFINITY };
        assert!(!everything.contains(f64::NAN) && everything.contains(f64::INFINITY));
    }

    #[test]
    fn a_range_without_an_end_comes_back_from_a_file() {
        for (range, text) in [
            (ValueRange { low: 1.5, high: f64::INFINITY }, r#"{"low":1.5}"#),
            (ValueRange { low: f64::NEG_INFINITY, high: 2.0 }, r#"{"high":2.0}"#),
            (ValueRange::between(3.0, -1.0), r#"{"low":-1.0,"high":3.0}"#),
        ] {
            assert_eq!(serde_json::to_string(&range).unwrap(), text);
            assert_eq!(serde_json::from_str::<ValueRange>(text).unwrap(), range);
        }
    }

    #[test]
    fn an_image_is_known_by_its_voxels_and_its_place() {
        let id = ImageId::of(&volume());
        assert_eq!(id, ImageId::of(&volume()));
        let mut other = volume();
        other.rescale.slope = 1.0;
        assert_ne!(id, ImageId::of(&other));
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<ImageId>(&text).unwrap(), id);
        assert!(serde_json::from_str::<ImageId>("\"12\"").is_err());
        assert!(ImageId::try_from("\u{e9}".repeat(32)).is_err());
    }
}
