//! Reads each volume that is named and says how long that took and what came of it, as one line
//! of JSON each: for `tests/peers/bench_reading.py`, which asks others for the same.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]
#![allow(clippy::cast_lossless, reason = "one line for all ten types")]

use std::path::Path;
use std::time::Instant;

use lamina_io::{ReadOptions, Voxels, read_volume};

fn main() {
    for argument in std::env::args().skip(1) {
        let start = Instant::now();
        let volume = read_volume(Path::new(&argument), &ReadOptions::default());
        let read = start.elapsed().as_secs_f64();
        let line = match volume {
            Ok(volume) => {
                let (sum, checksum) = sums(&volume.voxels);
                serde_json::json!({
                    "seconds": read,
                    "shape": volume.shape(),
                    "dtype": volume.voxels.stored_type().name(),
                    "sum": sum,
                    "checksum": checksum,
                    "peak_kilobytes": peak_kilobytes(),
                })
            }
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                serde_json::json!({ "error": error.to_string(), "source": source })
            }
        };
        println!("{line}");
    }
}

/// The sum of the stored numbers, and one in which places count too: each number times its
/// place from 1, in wrapping 64-bit integers (of the bits, where numbers are real).
fn sums(voxels: &Voxels) -> (f64, u64) {
    macro_rules! sums {
        ($array:expr, $bits:expr) => {{
            let sum = $array.iter().map(|&value| value as f64).sum();
            let places = (1_u64..).zip($array.iter());
            let weighted = places.map(|(place, &value)| place.wrapping_mul($bits(value)));
            (sum, weighted.fold(0, u64::wrapping_add))
        }};
    }
    match voxels {
        Voxels::U8(array) => sums!(array, |value: u8| value as u64),
        Voxels::I8(array) => sums!(array, |value: i8| value as u64),
        Voxels::U16(array) => sums!(array, |value: u16| value as u64),
        Voxels::I16(array) => sums!(array, |value: i16| value as u64),
        Voxels::U32(array) => sums!(array, |value: u32| value as u64),
        Voxels::I32(array) => sums!(array, |value: i32| value as u64),
        Voxels::U64(array) => sums!(array, |value: u64| value),
        Voxels::I64(array) => sums!(array, |value: i64| value as u64),
        Voxels::F32(array) => sums!(array, |value: f32| u64::from(value.to_bits())),
        Voxels::F64(array) => sums!(array, |value: f64| value.to_bits()),
    }
}

/// The most memory that this process has had, where the system says (Linux).
fn peak_kilobytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
