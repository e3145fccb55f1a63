//! What the header of a JPEG file says that its decoder does not.

/// Of a JPEG file, as far as its header goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Numbers per pixel: one for gray, three for colors, four for inks.
    pub(super) components: Option<u8>,
    /// How its maker wants it turned (EXIF), 1 for not at all.
    pub(super) orientation: Option<u16>,
}

impl Header {
    /// Reads the segments up to the first that has pixels.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut header = Self::default();
        let mut rest = bytes.get(2..).unwrap_or_default();
        while let [0xff, marker, after @ ..] = rest {
            match marker {
                // Fill bytes, and markers without a length.
                0xff => {
                    rest = &rest[1..];
                    continue;
                }
                0x01 | 0xd0..=0xd8 => {
                    rest = after;
                    continue;
                }
                _ => {}
            }
            let [high, low, ..] = after else { break };
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let (Some(segment), Some(next)) = (after.get(2..length), after.get(length..)) else {
                break;
            };
            match marker {
                0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    header.components = segment.get(5).copied();
                }
                0xe1 => {
                    let exif = segment.strip_prefix(b"Exif\0\0").and_then(orientation);
                    header.orientation = header.orientation.or(exif);
                }
                0xd9 | 0xda => break,
                _ => {}
            }
            rest = next;
        }
        header
    }
}

/// The orientation in the first directory of an EXIF block, which is a TIFF file.
fn orientation(block: &[u8]) -> Option<u16> {
    let big_endian = block.starts_with(b"MM");
    let number = |at: usize, bytes: usize| {
        let mut bytes = block.get(at..at.checked_add(bytes)?)?.to_vec();
        if !big_endian {
            bytes.reverse();
        }
        Some(bytes.iter().fold(0_usize, |number, &byte| number << 8 | usize::from(byte)))
    };
    let directory = number(4, 4)?;
    let entries = number(directory, 2)?;
    let mut places = (0..entries).map(|entry| directory + 2 + 12 * entry);
    let place = places.find(|&at| number(at, 2) == Some(0x0112))?;
    u16::try_from(number(place + 8, 2)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_headers_say_nothing() {
        let whole = b"\xff\xd8\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0\xff\xc0\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0";
        let header = Header::of(whole);
        assert_eq!(header, Header { components: Some(1), orientation: Some(6) });
        for length in 0..whole.len() {
            Header::of(&whole[..length]);
        }
    }
}
