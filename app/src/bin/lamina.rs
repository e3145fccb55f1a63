//! `lamina` on the command line.

use std::process::ExitCode;

/// Keeps freed memory for the next slice. The system's allocator gives it back, and
/// a third of the time of a segmentation goes into asking for it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(lamina::cli::run(std::env::args_os()).code())
}
