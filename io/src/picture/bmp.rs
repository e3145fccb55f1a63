//! BMP with a palette or in bits, whose indices the usual decoder turns into colors.

use super::decode::unpacked;

/// The two headers of a file that has at least the fields of `BITMAPINFOHEADER`.
const HEADER_BYTES: usize = 54;

/// A picture of indices.
pub(super) struct Indexed {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Row after row from the top, a byte each.
    pub(super) indices: Vec<u8>,
    /// `None` where indices are shades of gray from black to white.
    pub(super) palette: Option<Vec<[u8; 3]>>,
}

/// The indices in `file`; `None` where it holds colors or is packed, which is for another decoder.
///
/// # Errors
/// What is wrong with it.
pub(super) fn indexed(file: &[u8]) -> Result<Option<Indexed>, &'static str> {
    let Some(header) = file.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let long = |at: usize| u32::from(short(at)) | u32::from(short(at + 2)) << 16;
    let (offset, header_bytes) = (long(10) as usize, long(14) as usize);
    let (width, height) = (long(18).cast_signed(), long(22).cast_signed());
    let (bits, packing, used) = (usize::from(short(28)), long(30), long(46) as usize);
    if header_bytes < 40 || packing != 0 || !matches!(bits, 1 | 2 | 4 | 8) {
        return Ok(None);
    }
    let (width, rows) = match (usize::try_from(width), height.unsigned_abs() as usize) {
        (Ok(width), rows) if width > 0 && rows > 0 => (width, rows),
        _ => return Err("its size is not positive"),
    };
    let most = 1 << bits;
    let count = if used == 0 { most } else { used.min(most) };
    let colors = (14 + header_bytes).checked_add(4 * count).and_then(|end| {
        let bytes = file.get(14 + header_bytes..end)?;
        Some(bytes.as_chunks::<4>().0.iter().map(|&[b, g, r, _]| [r, g, b]).collect::<Vec<_>>())
    });
    let colors = colors.ok_or("its palette is cut off")?;
    // Rows end at a multiple of four bytes.
    let row_bytes = (width * bits).div_ceil(32) * 4;
    let end = row_bytes.checked_mul(rows).and_then(|bytes| bytes.checked_add(offset));
    let pixels = end.and_then(|end| file.get(offset..end)).ok_or("it is cut off")?;
    let row = |row: &[u8]| unpacked(&row[..(width * bits).div_ceil(8)], width, bits);
    let stored = pixels.chunks_exact(row_bytes);
    let indices: Vec<u8> = if height > 0 {
        stored.rev().flat_map(row).collect()
    } else {
        stored.flat_map(row).collect()
    };
    if indices.iter().any(|&index| usize::from(index) >= count) {
        return Err("its pixels go beyond its palette");
    }
    let gray = |(index, color): (usize, &[u8; 3])| {
        let shade = index * 255 / (most - 1);
        color.iter().all(|&channel| usize::from(channel) == shade)
    };
    let is_gray = colors.iter().enumerate().all(gray);
    Ok(Some(Indexed { width, height: rows, indices, palette: (!is_gray).then_some(colors) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 x 2 pixels of four bits with a palette of three colors, stored from the bottom.
    fn small() -> Vec<u8> {
        let mut file = vec![0; HEADER_BYTES];
        file[..2].copy_from_slice(b"BM");
        for (at, value) in [(10, 66), (14, 40), (18, 3), (22, 2), (26, 1), (28, 4), (46, 3)] {
            file[at] = value;
        }
        file.extend([0, 0, 0, 0, 10, 20, 30, 0, 40, 50, 60, 0]);
        file.extend([0x21, 0x00, 0, 0, 0x01, 0x20, 0, 0]);
        file
    }

    #[test]
    fn indices_are_read_from_the_top_with_their_palette() {
        let picture = indexed(&small()).unwrap().unwrap();
        assert_eq!((picture.width, picture.height), (3, 2));
        assert_eq!(picture.indices, [0, 1, 2, 2, 1, 0]);
        assert_eq!(picture.palette.unwrap(), [[0, 0, 0], [30, 20, 10], [60, 50, 40]]);
        let mut downwards = small();
        downwards[22..26].copy_from_slice(&(-2_i32).to_le_bytes());
        assert_eq!(indexed(&downwards).unwrap().unwrap().indices, [2, 1, 0, 0, 1, 2]);
    }

    #[test]
    fn what_is_cut_off_or_lies_is_refused() {
        let whole = small();
        for end in HEADER_BYTES..whole.len() {
            assert!(indexed(&whole[..end]).is_err(), "cut off at byte {end}");
        }
        let mut beyond = whole.clone();
        *beyond.last_mut().unwrap() = 0; // padding may be anything
        assert!(indexed(&beyond).is_ok());
        beyond[66] = 0x91;
        assert!(indexed(&beyond).is_err());
        for (at, bytes) in [(18, [255; 4]), (22, [0; 4]), (10, [255; 4]), (14, [255; 4])] {
            let mut lying = whole.clone();
            lying[at..at + 4].copy_from_slice(&bytes);
            assert!(indexed(&lying).is_err(), "byte {at}");
        }
    }
}
