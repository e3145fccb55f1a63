//! Where each field stands in the two headers, and how to get at it.

use crate::voxels::ByteOrder;

/// Which NIfTI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

impl Version {
    /// Bytes of the header itself, which is also what its first field says.
    pub(crate) const fn header_bytes(self) -> usize {
        match self {
            Self::One => 348,
            Self::Two => 540,
        }
    }

    /// Where voxels can start in a single file: after the header and the extension flag.
    pub(crate) const fn first_offset(self) -> u64 {
        self.header_bytes() as u64 + 4
    }
}

/// A field: its name, and its place in version 1 and version 2.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    one: (Stored, usize),
    two: (Stored, usize),
}

/// How a field is stored.
#[derive(Clone, Copy)]
enum Stored {
    U8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

use Stored::{F32, F64, I16, I32, I64, U8};

impl Stored {
    const fn bytes(self) -> usize {
        match self {
            U8 => 1,
            I16 => 2,
            I32 | F32 => 4,
            I64 | F64 => 8,
        }
    }
}

const fn field(name: &'static str, one: (Stored, usize), two: (Stored, usize)) -> Field {
    Field { name, one, two }
}

pub(crate) const SIZEOF_HDR: Field = field("sizeof_hdr", (I32, 0), (I32, 0));
pub(crate) const DIM: Field = field("dim", (I16, 40), (I64, 16));
pub(crate) const INTENT_CODE: Field = field("intent_code", (I16, 68), (I32, 504));
pub(crate) const DATATYPE: Field = field("datatype", (I16, 70), (I16, 12));
pub(crate) const BITPIX: Field = field("bitpix", (I16, 72), (I16, 14));
pub(crate) const PIXDIM: Field = field("pixdim", (F32, 76), (F64, 104));
pub(crate) const VOX_OFFSET: Field = field("vox_offset", (F32, 108), (I64, 168));
pub(crate) const SCL_SLOPE: Field = field("scl_slope", (F32, 112), (F64, 176));
pub(crate) const SCL_INTER: Field = field("scl_inter", (F32, 116), (F64, 184));
pub(crate) const XYZT_UNITS: Field = field("xyzt_units", (U8, 123), (I32, 500));
pub(crate) const QFORM_CODE: Field = field("qform_code", (I16, 252), (I32, 344));
pub(crate) const SFORM_CODE: Field = field("sform_code", (I16, 254), (I32, 348));
pub(crate) const QUATERN: Field = field("quatern_b, c, d", (F32, 256), (F64, 352));
pub(crate) const QOFFSET: Field = field("qoffset", (F32, 268), (F64, 376));
pub(crate) const SROW: Field = field("srow", (F32, 280), (F64, 400));

/// Where the description starts (80 bytes), and the magic.
pub(crate) const fn descrip_at(version: Version) -> usize {
    match version {
        Version::One => 148,
        Version::Two => 240,
    }
}

pub(crate) const fn magic_at(version: Version) -> usize {
    match version {
        Version::One => 344,
        Version::Two => 4,
    }
}

/// A header's bytes, of which there are enough for its version.
pub(crate) struct Fields<B> {
    bytes: B,
    version: Version,
    order: ByteOrder,
}

impl<B: AsRef<[u8]>> Fields<B> {
    pub(crate) fn new(bytes: B, version: Version, order: ByteOrder) -> Self {
        assert!(bytes.as_ref().len() >= version.header_bytes(), "a header must be whole");
        Self { bytes, version, order }
    }

    fn place(&self, field: Field, index: usize) -> (Stored, usize) {
        let (stored, start) = match self.version {
            Version::One => field.one,
            Version::Two => field.two,
        };
        (stored, start + index * stored.bytes())
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes.as_ref()[at..at + N]);
        if self.order == ByteOrder::Big {
            array.reverse();
        }
        array
    }

    /// Entry `index` of a field of whole numbers.
    pub(crate) fn integer(&self, field: Field, index: usize) -> i64 {
        match self.place(field, index) {
            (U8, at) => i64::from(self.bytes.as_ref()[at]),
            (I16, at) => i64::from(i16::from_le_bytes(self.array(at))),
            (I32, at) => i64::from(i32::from_le_bytes(self.array(at))),
            (I64, at) => i64::from_le_bytes(self.array(at)),
            (F32 | F64, _) => self.real(field, index) as i64,
        }
    }

    /// Entry `index` of a field of real numbers.
    pub(crate) fn real(&self, field: Field, index: usize) -> f64 {
        match self.place(field, index) {
            (F32, at) => f64::from(f32::from_le_bytes(self.array(at))),
            (F64, at) => f64::from_le_bytes(self.array(at)),
            (U8 | I16 | I32 | I64, _) => self.integer(field, index) as f64,
        }
    }

    /// The first `N` entries of a field of real numbers.
    pub(crate) fn reals<const N: usize>(&self, field: Field) -> [f64; N] {
        std::array::from_fn(|index| self.real(field, index))
    }
}

/// Puts `value` into a header that is stored lowest byte first.
pub(crate) fn put(bytes: &mut [u8], version: Version, field: Field, index: usize, value: f64) {
    let (stored, start) = match version {
        Version::One => field.one,
        Version::Two => field.two,
    };
    let at = start + index * stored.bytes();
    let target = &mut bytes[at..at + stored.bytes()];
    match stored {
        U8 => target.copy_from_slice(&[value as u8]),
        I16 => target.copy_from_slice(&(value as i16).to_le_bytes()),
        I32 => target.copy_from_slice(&(value as i32).to_le_bytes()),
        I64 => target.copy_from_slice(&(value as i64).to_le_bytes()),
        F32 => target.copy_from_slice(&(value as f32).to_le_bytes()),
        F64 => target.copy_from_slice(&value.to_le_bytes()),
    }
}
