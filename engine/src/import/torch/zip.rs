//! The directory of a zip file, as far as checkpoints need it: entries that are stored as they are.

use std::collections::HashMap;
use std::ops::Range;

use super::TorchError;

const END: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;
const LONGEST_COMMENT: usize = 0xFFFF;
const LOCATOR_LENGTH: usize = 20;
/// Stands where a number needs eight bytes.
const ELSEWHERE: u32 = u32::MAX;

/// A file in a zip file.
#[derive(Debug, Clone, Copy)]
struct Entry {
    header: u64,
    length: u64,
    checksum: u32,
    method: u16,
    encrypted: bool,
}

/// A zip file.
#[derive(Debug)]
pub(super) struct Zip {
    entries: HashMap<String, Entry>,
    /// What is before all names, with its slash.
    root: String,
}

/// Where a file in a zip file lies, and the checksum that it should have; zero says that nobody
/// made one.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub range: Range<usize>,
    pub checksum: u32,
}

impl Zip {
    /// Reads the directory.
    pub fn read(bytes: &[u8]) -> Result<Self, TorchError> {
        let mut zip = Self { entries: HashMap::new(), root: String::new() };
        let (place, count) = directory(bytes).ok_or(TorchError::Cut)?;
        let mut place = usize::try_from(place).map_err(|_| TorchError::Cut)?;
        let mut pickle = None;
        for _ in 0..count {
            let (name, entry, next) = entry(bytes, place).ok_or(TorchError::Cut)?;
            place = next;
            let root = name.strip_suffix("data.pkl");
            if let Some(root) = root.filter(|root| root.is_empty() || root.ends_with('/')) {
                pickle.get_or_insert_with(|| root.to_owned());
            }
            zip.entries.insert(name, entry);
        }
        let lacks = || TorchError::Entry { name: "data.pkl".into(), problem: "is missing".into() };
        zip.root = pickle.ok_or_else(lacks)?;
        Ok(zip)
    }

    /// Where the entry `name` lies, if there is one.
    pub fn find(&self, bytes: &[u8], name: &str) -> Result<Option<Part>, TorchError> {
        let Some(entry) = self.entries.get(&format!("{}{name}", self.root)) else {
            return Ok(None);
        };
        let refuse =
            |problem: &str| TorchError::Entry { name: name.into(), problem: problem.into() };
        if entry.method != 0 || entry.encrypted {
            return Err(refuse("is compressed or encrypted, expected it as it is"));
        }
        let range = local(bytes, entry.header).and_then(|start| {
            let end = start.checked_add(usize::try_from(entry.length).ok()?)?;
            (end <= bytes.len()).then_some(start..end)
        });
        let range = range.ok_or_else(|| refuse("is cut off"))?;
        Ok(Some(Part { range, checksum: entry.checksum }))
    }

    /// The bytes of the entry `name`, if there is one, which have to be the ones that were written.
    pub fn contents<'a>(
        &self,
        bytes: &'a [u8],
        name: &str,
    ) -> Result<Option<&'a [u8]>, TorchError> {
        let Some(part) = self.find(bytes, name)? else { return Ok(None) };
        let contents = &bytes[part.range.clone()];
        if part.is_intact(contents) {
            Ok(Some(contents))
        } else {
            Err(TorchError::Entry { name: name.into(), problem: "is damaged".into() })
        }
    }
}

impl Part {
    /// Whether these are the bytes that were written.
    pub fn is_intact(&self, bytes: &[u8]) -> bool {
        self.checksum == 0 || checksum(bytes) == self.checksum
    }
}

fn short(bytes: &[u8], place: usize) -> Option<u16> {
    bytes.get(place..)?.first_chunk().map(|word| u16::from_le_bytes(*word))
}

fn word(bytes: &[u8], place: usize) -> Option<u32> {
    bytes.get(place..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

fn long(bytes: &[u8], place: usize) -> Option<u64> {
    bytes.get(place..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

fn starts(bytes: &[u8], place: usize, magic: &[u8]) -> bool {
    bytes.get(place..).is_some_and(|rest| rest.starts_with(magic))
}

/// Where the directory begins, and how many entries it has.
fn directory(bytes: &[u8]) -> Option<(u64, u64)> {
    let last = bytes.len().checked_sub(END_LENGTH)?;
    let first = last.saturating_sub(LONGEST_COMMENT);
    let comment_fits = |end: usize| {
        short(bytes, end + 20).is_some_and(|comment| usize::from(comment) == last - end)
    };
    let end = (first..=last).rev().find(|end| starts(bytes, *end, END) && comment_fits(*end))?;
    let (count, place) = (short(bytes, end + 10)?, word(bytes, end + 16)?);
    if count != u16::MAX && place != ELSEWHERE {
        return Some((place.into(), count.into()));
    }
    let locator = end.checked_sub(LOCATOR_LENGTH)?;
    if !starts(bytes, locator, b"PK\x06\x07") {
        return Some((place.into(), count.into()));
    }
    let record = usize::try_from(long(bytes, locator + 8)?).ok()?;
    let record = bytes.get(record..)?;
    (starts(record, 0, b"PK\x06\x06")).then_some((long(record, 48)?, long(record, 32)?))
}

/// The entry of the directory at `place`, and where the next one begins.
fn entry(bytes: &[u8], place: usize) -> Option<(String, Entry, usize)> {
    const LENGTH: usize = 46;
    let record = bytes.get(place..)?;
    if !starts(record, 0, b"PK\x01\x02") {
        return None;
    }
    let length = |place| short(record, place).map(usize::from);
    let extra = LENGTH + length(28)?;
    let comment = extra + length(30)?;
    let next = comment + length(32)?;
    let name = String::from_utf8_lossy(record.get(LENGTH..extra)?).into_owned();
    let (packed, plain, header) = (word(record, 20)?, word(record, 24)?, word(record, 42)?);
    // Numbers that need eight bytes follow one another, the unpacked length first.
    let mut wide = wide(record.get(extra..comment)?).as_chunks::<8>().0.iter();
    let mut widened = |narrow: u32| match narrow {
        ELSEWHERE => wide.next().map(|word| u64::from_le_bytes(*word)),
        narrow => Some(narrow.into()),
    };
    let entry = Entry {
        length: widened(plain)?,
        header: {
            widened(packed)?;
            widened(header)?
        },
        checksum: word(record, 16)?,
        method: short(record, 10)?,
        encrypted: short(record, 8)? & 1 == 1,
    };
    Some((name, entry, place.checked_add(next)?))
}

/// What the extra fields of an entry say about numbers that need eight bytes.
fn wide(extra: &[u8]) -> &[u8] {
    let mut rest = extra;
    while let (Some(kind), Some(length)) = (short(rest, 0), short(rest, 2)) {
        let Some((field, next)) = rest[4..].split_at_checked(length.into()) else { break };
        if kind == 1 {
            return field;
        }
        rest = next;
    }
    &[]
}

/// Where the contents begin whose own header is at `place`.
fn local(bytes: &[u8], place: u64) -> Option<usize> {
    const LENGTH: usize = 30;
    let place = usize::try_from(place).ok()?;
    let record = bytes.get(place..)?;
    if !starts(record, 0, b"PK\x03\x04") {
        return None;
    }
    let lengths = usize::from(short(record, 26)?) + usize::from(short(record, 28)?);
    place.checked_add(LENGTH + lengths).filter(|start| *start <= bytes.len())
}

/// CRC-32 as zip files have it (ISO 3309).
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    const TABLES: [[u32; 256]; 8] = tables();
    let (words, rest) = bytes.as_chunks::<8>();
    let mut sum = u32::MAX;
    for word in words {
        let mixed = u64::from_le_bytes(*word) ^ u64::from(sum);
        sum = 0;
        for (place, byte) in mixed.to_le_bytes().into_iter().enumerate() {
            sum ^= TABLES[7 - place][usize::from(byte)];
        }
    }
    for byte in rest {
        sum = (sum >> 8) ^ TABLES[0][(sum as u8 ^ byte) as usize];
    }
    !sum
}

/// What a byte adds to a checksum when up to seven others follow it.
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { 0xEDB8_8320 ^ (sum >> 1) } else { sum >> 1 };
            bit += 1;
        }
        tables[0][byte] = sum;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let sum: u32 = tables[table - 1][byte];
            tables[table][byte] = (sum >> 8) ^ tables[0][(sum & 0xFF) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(checksum(b"123456789"), 0xCBF4_3926);
        assert_eq!(checksum(b""), 0);
        assert_eq!(checksum(b"The quick brown fox jumps over the lazy dog"), 0x414F_A339);
    }
}
