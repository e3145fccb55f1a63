//! TIFF 6.0, lowest byte first: gray pages of one size in strips, plain or deflated.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::{Number, Reason, Reread, unreadable};

pub(super) fn open(path: &Path) -> Result<Reread, Reason> {
    let file = std::fs::read(path).map_err(unreadable)?;
    if file.get(..4) != Some(b"II*\0") {
        return Err("no TIFF of this order".to_owned());
    }
    let mut page = whole(&file, 4, 4)?;
    let mut voxels = Vec::new();
    let mut first = None;
    let mut pages = 0;
    while page != 0 {
        let entries = whole(&file, page, 2)?;
        let mut tags = BTreeMap::new();
        for entry in 0..entries {
            let at = page + 2 + 12 * entry;
            tags.insert(whole(&file, at, 2)?, values(&file, at)?);
        }
        page = whole(&file, page + 2 + 12 * entries, 4)?;
        let tag = |tag: usize, otherwise: usize| {
            tags.get(&tag).and_then(|values| values.first()).copied().unwrap_or(otherwise)
        };
        let (width, height, bits) = (tag(256, 0), tag(257, 0), tag(258, 1));
        let number = match (tag(339, 1), bits) {
            (1, 8 | 16 | 32 | 64) => Number::Unsigned(bits / 8),
            (2, 8 | 16 | 32 | 64) => Number::Signed(bits / 8),
            (3, 32 | 64) => Number::Float(bits / 8),
            (format, _) => return Err(format!("pixels of {bits} bits and format {format}")),
        };
        // Black is zero, one number per pixel, nothing predicted; or colors side by side.
        let number = match [tag(262, 9), tag(277, 1), tag(317, 1), tag(284, 1)] {
            [1, 1, 1, _] => number,
            [2, 3, 1, 1] if number == Number::Unsigned(1) => Number::Unsigned(3),
            _ => return Err("pixels that are not gray as they are".to_owned()),
        };
        let facts = (width, height, number);
        if *first.get_or_insert(facts) != facts {
            return Err(format!("a page of another kind, number {pages}"));
        }
        let none = Vec::new();
        let (starts, lengths) = (tags.get(&273).unwrap_or(&none), tags.get(&279).unwrap_or(&none));
        let before = voxels.len();
        for (&start, &length) in starts.iter().zip(lengths) {
            let strip = file.get(start..start.saturating_add(length)).ok_or("a strip cut off")?;
            match tag(259, 1) {
                1 => voxels.extend_from_slice(strip),
                8 => {
                    ZlibDecoder::new(strip).read_to_end(&mut voxels).map_err(unreadable)?;
                }
                other => return Err(format!("strips packed as {other}")),
            }
        }
        if voxels.len() - before != width * height * number.bytes() {
            return Err(format!("{} bytes in page {pages}", voxels.len() - before));
        }
        pages += 1;
    }
    let (width, height, number) = first.ok_or("no page")?;
    Ok(Reread {
        size: [width, height, pages],
        placement: None,
        picture: true,
        number,
        scale: [1.0, 0.0],
        voxels: Box::new(Cursor::new(voxels)),
    })
}

/// The number of `bytes` bytes at `at`.
fn whole(file: &[u8], at: usize, bytes: usize) -> Result<usize, Reason> {
    let bytes = file.get(at..at.saturating_add(bytes)).ok_or("a file that is cut off")?;
    Ok(Number::Unsigned(bytes.len()).value(bytes) as usize)
}

/// The values of the entry at `at`, of types that count.
fn values(file: &[u8], at: usize) -> Result<Vec<usize>, Reason> {
    let bytes = match whole(file, at + 2, 2)? {
        1 => 1,
        3 => 2,
        4 => 4,
        _ => return Ok(Vec::new()),
    };
    let count = whole(file, at + 4, 4)?;
    let start = if count * bytes <= 4 { at + 8 } else { whole(file, at + 8, 4)? };
    (0..count).map(|index| whole(file, start + index * bytes, bytes)).collect()
}
