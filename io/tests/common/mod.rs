//! NIfTI headers made by hand, from the tables of `nifti1.h` and `nifti2.h` and not from
//! what the crate knows about them.

#![allow(dead_code, reason = "each test binary uses a part")]

/// A header in the making; every field is set by its offset.
#[derive(Clone)]
pub struct Made {
    pub bytes: Vec<u8>,
    pub big_endian: bool,
}

impl Made {
    pub fn put<const N: usize>(&mut self, at: usize, little_endian: [u8; N]) -> &mut Self {
        let mut bytes = little_endian;
        if self.big_endian {
            bytes.reverse();
        }
        self.bytes[at..at + N].copy_from_slice(&bytes);
        self
    }

    pub fn i16(&mut self, at: usize, value: i16) -> &mut Self {
        self.put(at, value.to_le_bytes())
    }

    pub fn i32(&mut self, at: usize, value: i32) -> &mut Self {
        self.put(at, value.to_le_bytes())
    }

    pub fn i64(&mut self, at: usize, value: i64) -> &mut Self {
        self.put(at, value.to_le_bytes())
    }

    pub fn f32(&mut self, at: usize, value: f32) -> &mut Self {
        self.put(at, value.to_le_bytes())
    }

    pub fn f64(&mut self, at: usize, value: f64) -> &mut Self {
        self.put(at, value.to_le_bytes())
    }
}

/// Voxel values of the files below: 4 x 3 x 2, x fastest.
pub fn values() -> Vec<i16> {
    (0..24).map(|n| 100 * n - 1000).collect()
}

/// A version 1 file of 4 x 3 x 2 int16 voxels of 2 x 3 x 5 mm, by its sform.
pub fn nifti1(big_endian: bool) -> Made {
    let mut made = Made { bytes: vec![0; 352 + 48], big_endian };
    made.i32(0, 348);
    for (at, n) in [3, 4, 3, 2, 1, 1, 1, 1].into_iter().enumerate() {
        made.i16(40 + 2 * at, n);
    }
    made.i16(70, 4).i16(72, 16);
    for (at, mm) in [1.0, 2.0, 3.0, 5.0].into_iter().enumerate() {
        made.f32(76 + 4 * at, mm);
    }
    made.f32(108, 352.0).f32(112, 1.0);
    made.bytes[123] = 2;
    made.i16(252, 0).i16(254, 1);
    for (at, value) in
        [2.0, 0.0, 0.0, 10.0, 0.0, 3.0, 0.0, 20.0, 0.0, 0.0, 5.0, 30.0].into_iter().enumerate()
    {
        made.f32(280 + 4 * at, value);
    }
    made.bytes[344..348].copy_from_slice(b"n+1\0");
    for (at, value) in values().into_iter().enumerate() {
        made.i16(352 + 2 * at, value);
    }
    made
}

/// The same in version 2.
pub fn nifti2(big_endian: bool) -> Made {
    let mut made = Made { bytes: vec![0; 544 + 48], big_endian };
    made.i32(0, 540);
    made.bytes[4..12].copy_from_slice(b"n+2\0\r\n\x1a\n");
    made.i16(12, 4).i16(14, 16);
    for (at, n) in [3, 4, 3, 2, 1, 1, 1, 1].into_iter().enumerate() {
        made.i64(16 + 8 * at, n);
    }
    for (at, mm) in [1.0, 2.0, 3.0, 5.0].into_iter().enumerate() {
        made.f64(104 + 8 * at, mm);
    }
    made.i64(168, 544).f64(176, 1.0);
    made.i32(344, 0).i32(348, 1);
    for (at, value) in
        [2.0, 0.0, 0.0, 10.0, 0.0, 3.0, 0.0, 20.0, 0.0, 0.0, 5.0, 30.0].into_iter().enumerate()
    {
        made.f64(400 + 8 * at, value);
    }
    made.i32(500, 2);
    for (at, value) in values().into_iter().enumerate() {
        made.i16(544 + 2 * at, value);
    }
    made
}
