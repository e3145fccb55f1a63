//! Voxels that stand in a file as text: numbers in decimal, or bytes in hexadecimal.
//!
//! Both are turned into the bytes of their type, lowest first, so that what comes behind
//! need not know of it.

use std::io::{self, BufRead, Read};

use crate::voxels::StoredType;

/// No number is written with more characters.
const LONGEST_NUMBER: usize = 400;

/// Numbers, with white space or commas between them.
pub(crate) struct Numbers<R> {
    reader: R,
    stored: StoredType,
    /// Bytes of the last number that were not handed on yet.
    pending: Vec<u8>,
}

impl<R: BufRead> Numbers<R> {
    pub(crate) fn new(reader: R, stored: StoredType) -> Self {
        Self { reader, stored, pending: Vec::new() }
    }

    /// The next word, or nothing at the end.
    fn word(&mut self) -> io::Result<String> {
        let mut word = String::new();
        loop {
            let bytes = self.reader.fill_buf()?;
            let Some(&byte) = bytes.first() else { return Ok(word) };
            let between = byte.is_ascii_whitespace() || byte == b',';
            if between && !word.is_empty() {
                return Ok(word);
            }
            if !between {
                if !byte.is_ascii_graphic() || word.len() == LONGEST_NUMBER {
                    return Err(invalid("expected numbers, found something else"));
                }
                word.push(char::from(byte));
            }
            self.reader.consume(1);
        }
    }
}

impl<R: BufRead> Read for Numbers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.pending.is_empty() {
                let word = self.word()?;
                if word.is_empty() {
                    break;
                }
                self.pending = bytes_of(&word, self.stored).ok_or_else(|| {
                    invalid(&format!("expected numbers of type {}", self.stored.name()))
                })?;
            }
            let count = self.pending.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&self.pending[..count]);
            self.pending.drain(..count);
            filled += count;
        }
        Ok(filled)
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}

/// A number as its type stores it, lowest byte first; none that the type cannot hold.
fn bytes_of(word: &str, stored: StoredType) -> Option<Vec<u8>> {
    match stored {
        StoredType::F32 => Some(word.parse::<f32>().ok()?.to_le_bytes().to_vec()),
        StoredType::F64 => Some(word.parse::<f64>().ok()?.to_le_bytes().to_vec()),
        StoredType::U8 => integer::<u8, 1>(word, u8::to_le_bytes),
        StoredType::I8 => integer::<i8, 1>(word, i8::to_le_bytes),
        StoredType::U16 => integer::<u16, 2>(word, u16::to_le_bytes),
        StoredType::I16 => integer::<i16, 2>(word, i16::to_le_bytes),
        StoredType::U32 => integer::<u32, 4>(word, u32::to_le_bytes),
        StoredType::I32 => integer::<i32, 4>(word, i32::to_le_bytes),
        StoredType::U64 => integer::<u64, 8>(word, u64::to_le_bytes),
        StoredType::I64 => integer::<i64, 8>(word, i64::to_le_bytes),
    }
}

fn integer<T: TryFrom<i128>, const N: usize>(
    word: &str,
    to_bytes: fn(T) -> [u8; N],
) -> Option<Vec<u8>> {
    let whole = |value: f64| (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i128);
    let number = word.parse::<i128>().ok().or_else(|| whole(word.parse().ok()?))?;
    Some(to_bytes(T::try_from(number).ok()?).to_vec())
}

/// Bytes, each as two hexadecimal digits, with any white space around the digits.
pub(crate) struct Hex<R> {
    reader: R,
}

impl<R: BufRead> Hex<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader }
    }

    fn digit(&mut self) -> io::Result<Option<u8>> {
        loop {
            let Some(&byte) = self.reader.fill_buf()?.first() else { return Ok(None) };
            self.reader.consume(1);
            if byte.is_ascii_whitespace() {
                continue;
            }
            let digit = char::from(byte).to_digit(16);
            return digit
                .map(|digit| Some(digit as u8))
                .ok_or_else(|| invalid("expected hexadecimal digits, found something else"));
        }
    }
}

impl<R: BufRead> Read for Hex<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for (filled, byte) in buffer.iter_mut().enumerate() {
            let Some(high) = self.digit()? else { return Ok(filled) };
            let low = self.digit()?.ok_or_else(|| invalid("expected an even number of digits"))?;
            *byte = 16 * high + low;
        }
        Ok(buffer.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str, stored: StoredType) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Numbers::new(text.as_bytes(), stored).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn numbers_become_the_bytes_of_their_type() {
        let expected = [1_i16, -2, 300].map(i16::to_le_bytes).concat();
        assert_eq!(numbers(" 1\t-2,\r\n300", StoredType::I16).unwrap(), expected);
        assert_eq!(numbers("1.0 2e2", StoredType::U8).unwrap(), [1, 200]);
        assert_eq!(numbers("1e-1", StoredType::F64).unwrap(), 0.1_f64.to_le_bytes());
        assert_eq!(numbers("18446744073709551615", StoredType::U64).unwrap(), [255; 8]);
    }

    #[test]
    fn what_is_no_number_of_the_type_is_refused() {
        for text in ["256", "-1", "1.5", "x", "1e400", "nan", "\u{1}", &"1".repeat(500)] {
            assert!(numbers(text, StoredType::U8).is_err(), "{text}");
        }
        assert!(numbers("nan -inf", StoredType::F32).is_ok());
    }

    #[test]
    fn digits_become_bytes() {
        let mut bytes = Vec::new();
        Hex::new(&b"0fF0\n a 1"[..]).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [0x0f, 0xf0, 0xa1]);
        for text in ["0", "0g", "0x10"] {
            assert!(Hex::new(text.as_bytes()).read_to_end(&mut Vec::new()).is_err(), "{text}");
        }
    }
}
