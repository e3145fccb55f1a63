//! The elements of a file: a header of 128 bytes, then tags with data behind them.
//!
//! After "MAT-File Format", MathWorks, chapter 1. Of each variable the head is read; the numbers
//! of one alone, and no further than its header and the file allow.

use std::path::Path;

use super::variable::{OPAQUE, Shape, Variable, class_name};
use crate::error::VolumeError;
use crate::image::Fault;
use crate::input::{Coding, Input, check_declared};
use crate::read::Limits;
use crate::voxels::{ByteOrder, StoredType};

const HEADER_BYTES: u64 = 128;
const TAG_BYTES: u64 = 8;

/// Types of elements (`miTYPE`).
const INT32: u32 = 5;
const UINT32: u32 = 6;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// Bit of the flags of an array.
const COMPLEX: u32 = 0x0800;

/// Most variables of one file, most dimensions of one, and the longest name: far beyond what
/// MATLAB allows or data sets have.
const MOST_VARIABLES: usize = 4096;
const MOST_DIMENSIONS: u64 = 32;
const LONGEST_NAME: u64 = 256;

/// Most bytes behind the numbers of a variable: padding, and what a writer may add.
const MOST_BEHIND: u64 = 1 << 16;

/// Whether a file starts with the header of level 5.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES as usize && order_of(bytes).is_some() && !bytes[..4].contains(&0)
}

/// The byte order that the end of a header tells, by how "MI" and version 1 are written.
fn order_of(header: &[u8]) -> Option<ByteOrder> {
    match header.get(124..128)? {
        [0, 1, b'I', b'M'] => Some(ByteOrder::Little),
        [1, 0, b'M', b'I'] => Some(ByteOrder::Big),
        _ => None,
    }
}

/// The numbers of a label map, column after column.
pub(super) struct Numbers {
    pub(super) stored: StoredType,
    pub(super) order: ByteOrder,
    pub(super) bytes: Vec<u8>,
}

/// The variables of a file.
pub(super) fn variables(path: &Path) -> Result<Vec<Variable>, VolumeError> {
    let mut input = Input::open_plain(path)?;
    let order = header(&mut input)?;
    let file_bytes = input.file_bytes();
    let mut variables = Vec::new();
    let mut at = HEADER_BYTES;
    while at < file_bytes {
        if variables.len() == MOST_VARIABLES {
            let expected = format!("at most {MOST_VARIABLES} variables");
            return Err(Fault::new("a MATLAB file", expected, "more").at(path));
        }
        input.skip_to(at)?;
        let tag = Tag::read(&mut input, order)?;
        let end = at.saturating_add(tag.all_bytes());
        if end > file_bytes {
            return Err(VolumeError::Truncated {
                path: path.to_owned(),
                part: "a variable",
                expected: tag.bytes,
                found: file_bytes.saturating_sub(at + TAG_BYTES),
            });
        }
        if matches!(tag.kind, MATRIX | COMPRESSED) {
            variables.push(Matrix::open(path, at, order)?.1);
        }
        at = end;
    }
    Ok(variables)
}

/// The numbers of `variable`.
pub(super) fn numbers(
    path: &Path,
    variable: &Variable,
    [height, width]: [usize; 2],
    limits: &Limits,
) -> Result<Numbers, VolumeError> {
    let mut input = Input::open_plain(path)?;
    let order = header(&mut input)?;
    let (mut matrix, _) = Matrix::open(path, variable.at, order)?;
    let tag = matrix.tag()?;
    let stored = stored_type(tag.kind).ok_or_else(|| VolumeError::DataType {
        path: path.to_owned(),
        found: format!("elements of type {} in a MATLAB file", tag.kind),
    })?;
    let expected = (height as u64)
        .checked_mul(width as u64)
        .and_then(|count| count.checked_mul(stored.bytes() as u64));
    if expected != Some(tag.bytes) {
        let expected = format!("{height}x{width} of {}", stored.name());
        return Err(Fault::new("the label map", expected, format!("{} bytes", tag.bytes)).at(path));
    }
    if tag.bytes > limits.max_bytes {
        return Err(VolumeError::TooLarge {
            path: path.to_owned(),
            reason: "the limit for one volume",
            limit: limits.max_bytes,
            declared: tag.bytes,
        });
    }
    let bytes = if let Some(bytes) = tag.small {
        bytes[..tag.bytes as usize].to_vec()
    } else {
        check_declared(path, matrix.coding, matrix.file_bytes, 0, tag.bytes, limits)?;
        matrix.take(tag.bytes)?
    };
    matrix.input.finish(MOST_BEHIND)?; // where the checksum is
    Ok(Numbers { stored, order, bytes })
}

/// Reads the header of a file.
fn header(input: &mut Input) -> Result<ByteOrder, VolumeError> {
    let mut header = [0; HEADER_BYTES as usize];
    let filled = input.fill(&mut header)?;
    order_of(&header[..filled]).ok_or_else(|| VolumeError::Format {
        path: input.path().to_owned(),
        found: "a .mat file that is not of level 5 (MATLAB's -v6 or -v7)".to_owned(),
    })
}

/// What an element is, and how long.
struct Tag {
    kind: u32,
    bytes: u64,
    /// The data of an element so small that they stand in the tag.
    small: Option<[u8; 4]>,
}

impl Tag {
    fn read(input: &mut Input, order: ByteOrder) -> Result<Self, VolumeError> {
        let mut tag = [0; TAG_BYTES as usize];
        fill(input, &mut tag)?;
        let [a, b, c, d, data @ ..] = tag;
        let first = number(order, [a, b, c, d]);
        if first >> 16 == 0 {
            return Ok(Self { kind: first, bytes: u64::from(number(order, data)), small: None });
        }
        let bytes = u64::from(first >> 16);
        if bytes > 4 {
            return Err(Fault::new("a small element", "up to 4 bytes", bytes).at(input.path()));
        }
        Ok(Self { kind: first & 0xffff, bytes, small: Some(data) })
    }

    /// With the tag; and with the padding, which what is compressed has none of.
    fn all_bytes(&self) -> u64 {
        match (self.small, self.kind) {
            (Some(_), _) => TAG_BYTES,
            (None, COMPRESSED) => TAG_BYTES + self.bytes,
            (None, _) => TAG_BYTES + self.bytes.next_multiple_of(8),
        }
    }
}

fn number(order: ByteOrder, bytes: [u8; 4]) -> u32 {
    match order {
        ByteOrder::Little => u32::from_le_bytes(bytes),
        ByteOrder::Big => u32::from_be_bytes(bytes),
    }
}

fn fill(input: &mut Input, buffer: &mut [u8]) -> Result<(), VolumeError> {
    let found = input.fill(buffer)?;
    if found == buffer.len() {
        return Ok(());
    }
    Err(VolumeError::Truncated {
        path: input.path().to_owned(),
        part: "a variable",
        expected: buffer.len() as u64,
        found: found as u64,
    })
}

/// A variable whose head is read.
struct Matrix {
    input: Input,
    order: ByteOrder,
    coding: Coding,
    /// Bytes that it has in the file.
    file_bytes: u64,
    /// Unpacked bytes that are left of it.
    left: u64,
}

impl Matrix {
    /// Opens the element at byte `at`, packed or not.
    fn open(path: &Path, at: u64, order: ByteOrder) -> Result<(Self, Variable), VolumeError> {
        let mut input = Input::open_plain(path)?;
        input.skip_to(at)?;
        let mut tag = Tag::read(&mut input, order)?;
        let (mut coding, file_bytes) = (Coding::Plain, tag.bytes);
        if tag.kind == COMPRESSED {
            coding = Coding::Zlib;
            input = input.decoded(coding, Some(file_bytes))?;
            tag = Tag::read(&mut input, order)?;
        }
        if tag.kind != MATRIX || tag.small.is_some() {
            let found = format!("an element of type {}", tag.kind);
            return Err(Fault::new("a variable", "an array", found).at(path));
        }
        let mut matrix = Self { input, order, coding, file_bytes, left: tag.bytes };
        let variable = matrix.head(path, at)?;
        Ok((matrix, variable))
    }

    /// Flags, dimensions and name.
    fn head(&mut self, path: &Path, at: u64) -> Result<Variable, VolumeError> {
        if self.left == 0 {
            // MATLAB writes an empty array so.
            let (name, class) = (String::new(), class_name(0));
            return Ok(Variable { name, shape: Shape::Other, class, dims: Vec::new(), at });
        }
        let flags = self.words("the flags of an array", UINT32, 2)?;
        let &[flags, _] = &flags[..] else {
            return Err(Fault::new("the flags of an array", "8 bytes", 4 * flags.len()).at(path));
        };
        let class = (flags & 0xff) as u8;
        // Objects of classes have no dimensions here.
        let dims = match class {
            OPAQUE => Vec::new(),
            _ => self.words("the dimensions of an array", INT32, MOST_DIMENSIONS)?,
        };
        let dims: Vec<i64> = dims.into_iter().map(|n| i64::from(n.cast_signed())).collect();
        let name = self.element("the name of an array", LONGEST_NAME)?.1;
        Ok(Variable {
            name: String::from_utf8_lossy(&name).into_owned(),
            shape: Shape::of(class, flags & COMPLEX != 0, &dims),
            class: class_name(class),
            dims,
            at,
        })
    }

    /// The numbers of an element of `kind`, up to `most`.
    fn words(&mut self, field: &str, kind: u32, most: u64) -> Result<Vec<u32>, VolumeError> {
        let (found, bytes) = self.element(field, 4 * most)?;
        if found != kind || bytes.len() % 4 != 0 {
            let found = format!("{} bytes of type {found}", bytes.len());
            let expected = format!("numbers of type {kind}");
            return Err(Fault::new(field, expected, found).at(self.input.path()));
        }
        Ok(bytes.as_chunks().0.iter().map(|&word| number(self.order, word)).collect())
    }

    /// The type and data of a short element.
    fn element(&mut self, field: &str, most: u64) -> Result<(u32, Vec<u8>), VolumeError> {
        let tag = self.tag()?;
        if tag.bytes > most {
            let expected = format!("at most {most} bytes");
            return Err(Fault::new(field, expected, tag.bytes).at(self.input.path()));
        }
        if let Some(bytes) = tag.small {
            return Ok((tag.kind, bytes[..tag.bytes as usize].to_vec()));
        }
        let mut bytes = self.take(tag.bytes.next_multiple_of(8))?;
        bytes.truncate(tag.bytes as usize);
        Ok((tag.kind, bytes))
    }

    fn tag(&mut self) -> Result<Tag, VolumeError> {
        self.spend(TAG_BYTES)?;
        Tag::read(&mut self.input, self.order)
    }

    /// The next `bytes`, which have to be believable.
    fn take(&mut self, bytes: u64) -> Result<Vec<u8>, VolumeError> {
        self.spend(bytes)?;
        let refuse = || VolumeError::TooLarge {
            path: self.input.path().to_owned(),
            reason: "the memory of this machine",
            limit: isize::MAX as u64,
            declared: bytes,
        };
        let count = usize::try_from(bytes).map_err(|_| refuse())?;
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(count).map_err(|_| refuse())?;
        buffer.resize(count, 0);
        fill(&mut self.input, &mut buffer)?;
        Ok(buffer)
    }

    /// Takes `bytes` from what is left of the variable.
    fn spend(&mut self, bytes: u64) -> Result<(), VolumeError> {
        let Some(left) = self.left.checked_sub(bytes) else {
            return Err(VolumeError::Truncated {
                path: self.input.path().to_owned(),
                part: "a variable",
                expected: bytes,
                found: self.left,
            });
        };
        self.left = left;
        Ok(())
    }
}

/// The type of numbers that are stored so; a class may be stored in a smaller one.
fn stored_type(kind: u32) -> Option<StoredType> {
    match kind {
        1 => Some(StoredType::I8),
        2 => Some(StoredType::U8),
        3 => Some(StoredType::I16),
        4 => Some(StoredType::U16),
        INT32 => Some(StoredType::I32),
        UINT32 => Some(StoredType::U32),
        7 => Some(StoredType::F32),
        9 => Some(StoredType::F64),
        12 => Some(StoredType::I64),
        13 => Some(StoredType::U64),
        _ => None,
    }
}
