//! Voxel values in the type that their file stored.
//!
//! What the stored numbers mean is left to [`Volume`](crate::Volume), which knows the
//! rescaling; how they come from bytes is left to the formats.

use ndarray::Array3;
use serde::{Deserialize, Serialize};

/// A type that voxels can be stored in.
pub(crate) trait Scalar: Copy + Default + 'static {
    /// Its name.
    const TYPE: StoredType;
    /// The value, exact but for 64-bit integers beyond 2^53.
    fn to_f64(self) -> f64;
    /// Appends what `bytes` hold; a rest shorter than one value is ignored.
    fn extend_from_bytes(values: &mut Vec<Self>, bytes: &[u8], order: ByteOrder);
    /// Appends `values`, lowest byte first.
    fn append_bytes(values: &[Self], bytes: &mut Vec<u8>);
    /// An array of them, under its type.
    fn into_voxels(array: Array3<Self>) -> Voxels;
    /// The array back, where it is of this type.
    fn from_voxels(voxels: Voxels) -> Option<Array3<Self>>;
}

/// Which byte of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}

/// Writes what is the same for all ten types once.
macro_rules! stored_types {
    ($($variant:ident $type:ty, $name:literal;)*) => {
        /// The type of a stored voxel.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum StoredType {
            $(#[doc = concat!("`", $name, "`")] #[serde(rename = $name)] $variant,)*
        }

        impl StoredType {
            /// Its name: `uint8`, `int16`, `float32` and so on.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Bytes that one voxel takes.
            pub const fn bytes(self) -> usize {
                match self { $(Self::$variant => size_of::<$type>(),)* }
            }
        }

        /// Stored voxels, `[depth, height, width]`.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Voxels {
            $(#[doc = concat!("Stored as `", $name, "`.")] $variant(Array3<$type>),)*
        }

        $(impl Scalar for $type {
            const TYPE: StoredType = StoredType::$variant;

            #[allow(clippy::cast_lossless, reason = "one line for all ten types")]
            fn to_f64(self) -> f64 {
                self as f64
            }

            fn extend_from_bytes(values: &mut Vec<Self>, bytes: &[u8], order: ByteOrder) {
                let (numbers, _) = bytes.as_chunks();
                match order {
                    ByteOrder::Little => values.extend(numbers.iter().map(|&n| Self::from_le_bytes(n))),
                    ByteOrder::Big => values.extend(numbers.iter().map(|&n| Self::from_be_bytes(n))),
                }
            }

            fn append_bytes(values: &[Self], bytes: &mut Vec<u8>) {
                bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }

            fn into_voxels(array: Array3<Self>) -> Voxels {
                Voxels::$variant(array)
            }

            fn from_voxels(voxels: Voxels) -> Option<Array3<Self>> {
                if let Voxels::$variant(array) = voxels { Some(array) } else { None }
            }
        })*
    };
}

stored_types! {
    U8 u8, "uint8";
    I8 i8, "int8";
    U16 u16, "uint16";
    I16 i16, "int16";
    U32 u32, "uint32";
    I32 i32, "int32";
    U64 u64, "uint64";
    I64 i64, "int64";
    F32 f32, "float32";
    F64 f64, "float64";
}

/// Runs an expression on the array inside [`Voxels`], whatever its type.
macro_rules! with_voxels {
    ($voxels:expr, $array:ident => $body:expr) => {
        match $voxels {
            $crate::voxels::Voxels::U8($array) => $body,
            $crate::voxels::Voxels::I8($array) => $body,
            $crate::voxels::Voxels::U16($array) => $body,
            $crate::voxels::Voxels::I16($array) => $body,
            $crate::voxels::Voxels::U32($array) => $body,
            $crate::voxels::Voxels::I32($array) => $body,
            $crate::voxels::Voxels::U64($array) => $body,
            $crate::voxels::Voxels::I64($array) => $body,
            $crate::voxels::Voxels::F32($array) => $body,
            $crate::voxels::Voxels::F64($array) => $body,
        }
    };
}

/// Runs an expression with the Rust type of a [`StoredType`].
macro_rules! with_type {
    ($stored:expr, $name:ident => $body:expr) => {
        match $stored {
            $crate::voxels::StoredType::U8 => {
                type $name = u8;
                $body
            }
            $crate::voxels::StoredType::I8 => {
                type $name = i8;
                $body
            }
            $crate::voxels::StoredType::U16 => {
                type $name = u16;
                $body
            }
            $crate::voxels::StoredType::I16 => {
                type $name = i16;
                $body
            }
            $crate::voxels::StoredType::U32 => {
                type $name = u32;
                $body
            }
            $crate::voxels::StoredType::I32 => {
                type $name = i32;
                $body
            }
            $crate::voxels::StoredType::U64 => {
                type $name = u64;
                $body
            }
            $crate::voxels::StoredType::I64 => {
                type $name = i64;
                $body
            }
            $crate::voxels::StoredType::F32 => {
                type $name = f32;
                $body
            }
            $crate::voxels::StoredType::F64 => {
                type $name = f64;
                $body
            }
        }
    };
}

pub(crate) use {with_type, with_voxels};

impl Voxels {
    /// Depth, height, width.
    pub fn shape(&self) -> [usize; 3] {
        let (depth, height, width) = with_voxels!(self, array => array.dim());
        [depth, height, width]
    }

    /// The type they are stored in.
    pub fn stored_type(&self) -> StoredType {
        fn of<T: Scalar>(_: &Array3<T>) -> StoredType {
            T::TYPE
        }
        with_voxels!(self, array => of(array))
    }

    /// The stored number at `[depth, height, width]`, before any rescaling.
    pub fn get(&self, index: [usize; 3]) -> f64 {
        with_voxels!(self, array => array[index].to_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_either_order() {
        let mut values: Vec<i16> = Vec::new();
        i16::extend_from_bytes(&mut values, &[0x01, 0xff, 0x02], ByteOrder::Little);
        i16::extend_from_bytes(&mut values, &[0x01, 0xff], ByteOrder::Big);
        assert_eq!(values, [-255, 511]);
    }

    #[test]
    fn types_know_their_names_and_sizes() {
        assert_eq!(StoredType::U16.name(), "uint16");
        assert_eq!(StoredType::F64.bytes(), 8);
        assert_eq!(Voxels::I8(Array3::zeros([1, 2, 3])).stored_type(), StoredType::I8);
    }
}
