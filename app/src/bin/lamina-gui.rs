//! `lamina-gui`: the window, from a menu or with files dropped on its icon.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = vec!["lamina".into(), "view".into()];
    arguments.extend(std::env::args_os().skip(1));
    ExitCode::from(lamina::cli::run(arguments).code())
}
