//! `lamina` on the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(lamina::cli::run(std::env::args_os()).code())
}
