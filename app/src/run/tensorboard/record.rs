//! The records of a TFRecord file: length, data, and a masked CRC-32C of each.
//!
//! `u64 length, u32 masked_crc(length), data, u32 masked_crc(data)`, all little-endian, as in
//! tensorflow/core/lib/io/record_writer.h.

use std::io::{self, Write};

/// Writes one record.
pub fn write(out: &mut dyn Write, data: &[u8]) -> io::Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked_crc(&length).to_le_bytes())?;
    out.write_all(data)?;
    out.write_all(&masked_crc(data).to_le_bytes())
}

/// A checksum of data that hold checksums themselves is turned and moved.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), RFC 3720 appendix B.4, bits reflected.
fn crc32c(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !data.iter().fold(!0, |crc: u32, &byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// The data of whole records, in order.
#[cfg(test)]
pub fn read(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while bytes.len() >= 16 {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(bytes[8..12], masked_crc(&bytes[..8]).to_le_bytes());
        let data = &bytes[12..12 + length];
        assert_eq!(bytes[12 + length..16 + length], masked_crc(data).to_le_bytes());
        records.push(data.to_vec());
        bytes = &bytes[16 + length..];
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4; and the usual check value.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut file = Vec::new();
        for data in [&b"one"[..], b"", b"three"] {
            write(&mut file, data).unwrap();
        }
        assert_eq!(read(&file), [b"one".to_vec(), Vec::new(), b"three".to_vec()]);
    }
}
