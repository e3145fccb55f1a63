//! RLE: each byte of the pixels in a segment of its own, most significant first. PS3.5, annex G.

/// The pixels of a frame, least significant byte first, or what is wrong with it.
pub(super) fn unpack(
    packed: &[u8],
    pixels: usize,
    bytes_per_pixel: usize,
) -> Result<Vec<u8>, &'static str> {
    let (numbers, _) = packed.get(..64).ok_or("no header")?.as_chunks();
    let numbers: Vec<usize> = numbers.iter().map(|&n| u32::from_le_bytes(n) as usize).collect();
    if numbers[0] != bytes_per_pixel {
        return Err("another number of segments than bytes in a pixel");
    }
    let mut out = vec![0; pixels * bytes_per_pixel];
    for segment in 0..bytes_per_pixel {
        let start = numbers[1 + segment];
        let end = if segment + 1 < bytes_per_pixel { numbers[2 + segment] } else { packed.len() };
        let bytes = packed.get(start..end).ok_or("a segment outside of the frame")?;
        let place = bytes_per_pixel - 1 - segment;
        unpack_segment(bytes, out[place..].iter_mut().step_by(bytes_per_pixel))?;
    }
    Ok(out)
}

fn unpack_segment<'a>(
    packed: &[u8],
    mut out: impl ExactSizeIterator<Item = &'a mut u8>,
) -> Result<(), &'static str> {
    let mut bytes = packed.iter();
    while out.len() > 0 {
        let &control = bytes.next().ok_or("a segment that is cut off")?;
        match control {
            0..=127 => {
                for _ in 0..=control {
                    let &value = bytes.next().ok_or("a segment that is cut off")?;
                    let Some(place) = out.next() else { break }; // some writers pad
                    *place = value;
                }
            }
            128 => {}
            129.. => {
                let &value = bytes.next().ok_or("a segment that is cut off")?;
                for place in out.by_ref().take(257 - usize::from(control)) {
                    *place = value;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(segments: &[&[u8]]) -> Vec<u8> {
        let mut header = vec![0_u8; 64];
        header[0] = segments.len() as u8;
        let mut at = 64_u32;
        for (index, segment) in segments.iter().enumerate() {
            header[4 + 4 * index..8 + 4 * index].copy_from_slice(&at.to_le_bytes());
            at += segment.len() as u32;
        }
        [header, segments.concat()].concat()
    }

    #[test]
    fn runs_and_literals_of_both_bytes_become_pixels() {
        // High bytes: three times 1, then 2; low bytes: 10, 11, 12, 13.
        let packed = packed(&[&[254, 1, 0, 2], &[3, 10, 11, 12, 13]]);
        assert_eq!(unpack(&packed, 4, 2).unwrap(), [10, 1, 11, 1, 12, 1, 13, 2]);
    }

    #[test]
    fn what_is_cut_off_or_out_of_place_is_refused() {
        let whole = packed(&[&[254, 1, 0, 2], &[3, 10, 11, 12, 13]]);
        for end in 0..whole.len() {
            assert!(unpack(&whole[..end], 4, 2).is_err(), "cut off at byte {end}");
        }
        assert!(unpack(&whole, 4, 1).is_err());
        let mut outside = whole;
        outside[4] = 255;
        assert!(unpack(&outside, 4, 2).is_err());
    }
}
