//! Tensors as views of storages: which numbers of a storage they are, and how those are written.

use burn::tensor::{bf16, f16};

use super::pickle::{Problem, Text};

/// Most numbers of a tensor that repeats those of its storage, as `expand` makes them.
const MOST_REPEATED: usize = 1 << 26;

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dtype {
    F64,
    F32,
    F16,
    BF16,
    /// Not a real number, or one that is not read: what it is called, and its bytes.
    Other(&'static str, usize),
}

impl Dtype {
    /// By the class of a storage, `FloatStorage`.
    pub fn of_storage(class: &str) -> Option<Self> {
        let name = match class.strip_suffix("Storage")? {
            "Float" => "float32",
            "Double" => "float64",
            "Half" => "float16",
            "BFloat16" => "bfloat16",
            "Long" => "int64",
            "Int" => "int32",
            "Short" => "int16",
            "Char" => "int8",
            "Byte" => "uint8",
            "Bool" => "bool",
            "ComplexFloat" => "complex64",
            "ComplexDouble" => "complex128",
            "QInt32" => "qint32",
            "QInt8" => "qint8",
            "QUInt8" => "quint8",
            _ => return None,
        };
        Self::named(name)
    }

    /// By its name in `torch`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "float64" | "double" => Self::F64,
            "float32" | "float" => Self::F32,
            "float16" | "half" => Self::F16,
            "bfloat16" => Self::BF16,
            "int64" | "long" => Self::Other("I64", 8),
            "int32" | "int" => Self::Other("I32", 4),
            "int16" | "short" => Self::Other("I16", 2),
            "int8" => Self::Other("I8", 1),
            "uint64" => Self::Other("U64", 8),
            "uint32" => Self::Other("U32", 4),
            "uint16" => Self::Other("U16", 2),
            "uint8" => Self::Other("U8", 1),
            "bool" => Self::Other("Bool", 1),
            "complex32" => Self::Other("C32", 4),
            "complex64" => Self::Other("C64", 8),
            "complex128" => Self::Other("C128", 16),
            "qint32" => Self::Other("a quantized number", 4),
            "qint8" | "quint8" => Self::Other("a quantized number", 1),
            "float8_e4m3fn" | "float8_e4m3fnuz" | "float8_e5m2" | "float8_e5m2fnuz"
            | "float8_e8m0fnu" => Self::Other("F8", 1),
            _ => return None,
        })
    }

    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Other(_, size) => size,
        }
    }
}

/// Numbers that lie outside the pickle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    pub key: Text,
    /// Absent where only its tensors tell; `part` is in bytes then.
    pub dtype: Option<Dtype>,
    /// Which of its numbers may be used.
    pub part: std::ops::Range<usize>,
}

/// Some numbers of a storage, in some order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    /// The key of its storage.
    pub storage: Text,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    strides: Vec<usize>,
    /// The first number, counted from the start of the storage.
    first: usize,
    /// Behind the last number.
    end: usize,
}

impl Tensor {
    /// A view of `storage`, if it lies within.
    pub fn new(
        storage: &Storage,
        dtype: Dtype,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Result<Self, Problem> {
        let key = &storage.key;
        if shape.len() != strides.len() {
            return Err(format!("{} strides for the shape {shape:?}", strides.len()));
        }
        let last = storage.part.end * storage.dtype.map_or(1, Dtype::size) / dtype.size();
        let held = last.saturating_sub(storage.part.start);
        let numel = shape.iter().try_fold(1_usize, |numel, size| numel.checked_mul(*size));
        let numel = numel.filter(|numel| *numel <= held.max(MOST_REPEATED)).ok_or_else(|| {
            format!("shape {shape:?} for the {held} numbers of storage {key}, expected at most {MOST_REPEATED} by repeating them")
        })?;
        let first = storage.part.start.checked_add(offset);
        let end = match (first, numel) {
            (first, 0) => first,
            (Some(first), _) => {
                let mut steps = shape.iter().zip(&strides);
                let reach = steps.try_fold(first, |reach, (size, stride)| {
                    reach.checked_add(stride.checked_mul(size - 1)?)
                });
                reach.and_then(|reach| reach.checked_add(1))
            }
            (None, _) => None,
        };
        let (Some(first), Some(end)) = (first, end.filter(|end| numel == 0 || *end <= last)) else {
            return Err(format!(
                "shape {shape:?} with strides {strides:?} from {offset} on ends behind the {held} \
                 numbers of storage {key}"
            ));
        };
        Ok(Self { storage: storage.key.clone(), dtype, shape, strides, first, end })
    }

    /// How many bytes its storage needs; none if there are no numbers.
    pub fn needs(&self) -> Option<usize> {
        if self.shape.contains(&0) { Some(0) } else { self.end.checked_mul(self.dtype.size()) }
    }

    /// Its numbers in row-major order; `bytes` are its storage's, at least as many as it needs.
    pub fn numbers(&self, bytes: &[u8], big_endian: bool) -> Vec<f32> {
        match self.dtype {
            Dtype::F64 => self.gather(bytes, big_endian, |word| f64::from_le_bytes(word) as f32),
            Dtype::F32 => self.gather(bytes, big_endian, f32::from_le_bytes),
            Dtype::F16 => self.gather(bytes, big_endian, |word| f16::from_le_bytes(word).to_f32()),
            Dtype::BF16 => {
                self.gather(bytes, big_endian, |word| bf16::from_le_bytes(word).to_f32())
            }
            Dtype::Other(..) => Vec::new(),
        }
    }

    fn gather<const N: usize>(
        &self,
        bytes: &[u8],
        big_endian: bool,
        number: impl Fn([u8; N]) -> f32,
    ) -> Vec<f32> {
        let words = bytes.as_chunks::<N>().0;
        let mut place = self.first;
        let mut counters = vec![0; self.shape.len()];
        let numel = self.shape.iter().product();
        let mut numbers = Vec::with_capacity(numel);
        for _ in 0..numel {
            let mut word = words[place];
            if big_endian {
                word.reverse();
            }
            numbers.push(number(word));
            let axes = self.shape.iter().zip(&self.strides).zip(&mut counters).rev();
            for ((size, stride), counter) in axes {
                // A last step may lead out of the storage and back again.
                place = place.wrapping_add(*stride);
                *counter += 1;
                if *counter < *size {
                    break;
                }
                place = place.wrapping_sub(stride.wrapping_mul(*size));
                *counter = 0;
            }
        }
        numbers
    }
}
