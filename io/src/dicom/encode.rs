//! Data elements on their way out, in explicit VR little endian. PS3.5, section 7.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::element::Tag;

/// The name of a type.
pub(super) type Vr = &'static [u8; 2];

/// Types whose lengths take four bytes, of those that are written.
const LONG: [Vr; 3] = [b"OB", b"OW", b"SQ"];

/// A data set, or an item of a sequence, in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct DataSet {
    elements: BTreeMap<Tag, (Vr, Value)>,
}

#[derive(Clone, Debug)]
enum Value {
    Bytes(Vec<u8>),
    Items(Vec<DataSet>),
}

impl DataSet {
    /// The bytes of a value, to which one is added where they are odd.
    pub(super) fn bytes(&mut self, tag: Tag, vr: Vr, mut bytes: Vec<u8>) {
        if bytes.len() % 2 == 1 {
            bytes.push(if matches!(vr, b"UI" | b"OB") { 0 } else { b' ' });
        }
        self.elements.insert(tag, (vr, Value::Bytes(bytes)));
    }

    pub(super) fn text(&mut self, tag: Tag, vr: Vr, text: &str) {
        self.bytes(tag, vr, text.as_bytes().to_vec());
    }

    pub(super) fn shorts(&mut self, tag: Tag, numbers: &[u16]) {
        self.bytes(tag, b"US", numbers.iter().flat_map(|n| n.to_le_bytes()).collect());
    }

    pub(super) fn longs(&mut self, tag: Tag, numbers: &[u32]) {
        self.bytes(tag, b"UL", numbers.iter().flat_map(|n| n.to_le_bytes()).collect());
    }

    /// A value that is a tag.
    pub(super) fn pointer(&mut self, tag: Tag, to: Tag) {
        let halves = [(to >> 16) as u16, to as u16];
        self.bytes(tag, b"AT", halves.iter().flat_map(|half| half.to_le_bytes()).collect());
    }

    pub(super) fn items(&mut self, tag: Tag, items: Vec<DataSet>) {
        self.elements.insert(tag, (b"SQ", Value::Items(items)));
    }

    pub(super) fn item(&mut self, tag: Tag, item: DataSet) {
        self.items(tag, vec![item]);
    }

    /// Writes all elements, in order.
    ///
    /// # Errors
    /// If `out` fails, or a value is longer than its length can say.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for (&tag, (vr, value)) in &self.elements {
            let nested;
            let bytes = match value {
                Value::Bytes(bytes) => bytes,
                Value::Items(items) => {
                    nested = encoded(items)?;
                    &nested
                }
            };
            out.write_all(&((tag >> 16) as u16).to_le_bytes())?;
            out.write_all(&(tag as u16).to_le_bytes())?;
            out.write_all(*vr)?;
            if LONG.contains(vr) {
                out.write_all(&[0, 0])?;
                out.write_all(&length(bytes)?.to_le_bytes())?;
            } else {
                let length = u16::try_from(bytes.len()).map_err(|_| too_long())?;
                out.write_all(&length.to_le_bytes())?;
            }
            out.write_all(bytes)?;
        }
        Ok(())
    }

    /// Writes a file: preamble, file meta information, and this data set. PS3.10, section 7.1.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(super) fn write_file(&self, meta: &DataSet, out: &mut dyn Write) -> io::Result<()> {
        let mut after = Vec::new();
        meta.write(&mut after)?;
        let mut start = DataSet::default();
        start.longs(0x0002_0000, &[length(&after)?]);
        out.write_all(&[0; 128])?;
        out.write_all(b"DICM")?;
        start.write(out)?;
        out.write_all(&after)?;
        self.write(out)
    }
}

fn encoded(items: &[DataSet]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for item in items {
        let start = bytes.len();
        bytes.extend([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
        item.write(&mut bytes)?;
        let length = length(&bytes[start + 8..])?.to_le_bytes();
        bytes[start + 4..start + 8].copy_from_slice(&length);
    }
    Ok(bytes)
}

/// `u32::MAX` would mean that it has none.
fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).ok().filter(|&n| n < u32::MAX).ok_or_else(too_long)
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a value is longer than DICOM can say")
}

/// A decimal string: the shortest that is the number, or the nearest of 16 characters.
pub(super) fn decimal(value: f64) -> String {
    let value = value + 0.0; // no negative zero
    let shortest = format!("{value}");
    if shortest.len() <= 16 {
        return shortest;
    }
    (0..=15)
        .rev()
        .flat_map(|digits| [format!("{value:.digits$}"), format!("{value:.digits$e}")])
        .filter(|text| text.len() <= 16)
        .min_by(|a, b| {
            let error = |text: &str| text.parse().map_or(f64::MAX, |v: f64| (v - value).abs());
            error(a).total_cmp(&error(b))
        })
        .unwrap_or(shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_sixteen_characters_at_most_and_lose_next_to_nothing() {
        for value in [0.1 + 0.2, -1.0 / 3.0, -123_456.789_012_345_67, 1e-20, -1.234_567_89e-9, 4e17]
        {
            let text = decimal(value);
            assert!(text.len() <= 16, "{text}");
            let back: f64 = text.parse().unwrap();
            assert!((back - value).abs() <= 1e-8 * value.abs(), "{text} is not {value}");
        }
        assert_eq!(decimal(-0.0), "0");
        assert_eq!(decimal(0.5), "0.5");
        assert_eq!(decimal(-0.123_456_789_012_3), "-0.1234567890123");
    }

    #[test]
    fn elements_are_in_order_and_of_even_length() {
        let mut inner = DataSet::default();
        inner.shorts(0x0062_0004, &[1]);
        let mut set = DataSet::default();
        set.item(0x0062_0002, inner);
        set.text(0x0008_0060, b"CS", "SEG");
        set.text(0x0008_0018, b"UI", "1.2");
        let mut bytes = Vec::new();
        set.write(&mut bytes).unwrap();
        let expected: &[u8] = b"\x08\x00\x18\x00UI\x04\x001.2\0\x08\x00\x60\x00CS\x04\x00SEG \
            \x62\x00\x02\x00SQ\0\0\x12\0\0\0\xfe\xff\x00\xe0\x0a\0\0\0\x62\x00\x04\x00US\x02\x00\x01\x00";
        assert_eq!(bytes, expected);
        set.text(0x0008_0060, b"CS", &"x".repeat(70_000));
        assert!(set.write(&mut Vec::new()).is_err());
    }
}
