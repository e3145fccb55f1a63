//! PNG as in RFC 2083: no interlacing, gray or places in a palette, of 8 or 16 bits, or colors.

use std::io::{Cursor, Read};
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::{Number, Reason, Reread, unreadable};

pub(super) fn open(path: &Path) -> Result<Reread, Reason> {
    let file = std::fs::read(path).map_err(unreadable)?;
    let cut_off = || "a file that is cut off".to_owned();
    let mut rest = file.strip_prefix(b"\x89PNG\r\n\x1a\n").ok_or("no PNG")?;
    let (mut header, mut packed) = (Vec::new(), Vec::new());
    loop {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(cut_off)?;
        let (name, after) = after.split_first_chunk::<4>().ok_or_else(cut_off)?;
        let length = u32::from_be_bytes(*length) as usize;
        let data = after.get(..length).ok_or_else(cut_off)?;
        match name {
            b"IHDR" => header = data.to_vec(),
            b"IDAT" => packed.extend_from_slice(data),
            b"IEND" => break,
            _ => {}
        }
        rest = after.get(length + 4..).ok_or_else(cut_off)?; // behind the checksum
    }
    let [w0, w1, w2, w3, h0, h1, h2, h3, depth, color, 0, 0, 0] = header[..] else {
        return Err("a header that was not written so".to_owned());
    };
    let width = u32::from_be_bytes([w0, w1, w2, w3]) as usize;
    let height = u32::from_be_bytes([h0, h1, h2, h3]) as usize;
    let bytes = match (depth, color) {
        (8, 0 | 3) => 1,
        (16, 0) => 2,
        (8, 2) => 3, // a color as one number
        _ => return Err(format!("pixels of {depth} bits and color type {color}")),
    };
    let mut filtered = Vec::new();
    ZlibDecoder::new(packed.as_slice()).read_to_end(&mut filtered).map_err(unreadable)?;
    let row_bytes = width * bytes;
    if filtered.len() != height * (row_bytes + 1) {
        return Err(format!("{} bytes of pixels", filtered.len()));
    }
    let mut pixels: Vec<u8> = Vec::with_capacity(height * row_bytes);
    for row in filtered.chunks_exact(row_bytes + 1) {
        let above = pixels.len().checked_sub(row_bytes);
        let start = pixels.len();
        for (x, &byte) in row[1..].iter().enumerate() {
            let left = if x < bytes { 0 } else { pixels[start + x - bytes] };
            let up = above.map_or(0, |above| pixels[above + x]);
            let corner = above.filter(|_| x >= bytes).map_or(0, |above| pixels[above + x - bytes]);
            let predicted = match row[0] {
                0 => 0,
                1 => left,
                2 => up,
                3 => left.midpoint(up),
                4 => paeth(left, up, corner),
                other => return Err(format!("a row filtered by {other}")),
            };
            pixels.push(byte.wrapping_add(predicted));
        }
    }
    if bytes == 2 {
        pixels.chunks_exact_mut(2).for_each(<[u8]>::reverse);
    }
    Ok(Reread {
        size: [width, height, 1],
        placement: None,
        picture: true,
        number: Number::Unsigned(bytes),
        scale: [1.0, 0.0],
        voxels: Box::new(Cursor::new(pixels)),
    })
}

/// Whichever of three neighbors is nearest to left + up - corner, in this order.
fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let guess = i16::from(left) + i16::from(up) - i16::from(corner);
    let far = |neighbor: u8| (guess - i16::from(neighbor)).abs();
    if far(left) <= far(up) && far(left) <= far(corner) {
        left
    } else if far(up) <= far(corner) {
        up
    } else {
        corner
    }
}
