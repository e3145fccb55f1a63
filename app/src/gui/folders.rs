//! Where the window keeps what outlives it.

use std::path::PathBuf;

/// Folders of the user. Where one is not known, nothing is kept.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    /// Of the journals of edits.
    pub journals: Option<PathBuf>,
}

impl Folders {
    /// Where programs of this system keep such things: for journals `$XDG_STATE_HOME`, by default
    /// `~/.local/state`; `~/Library/Application Support`; `%LOCALAPPDATA%`.
    pub fn of_user() -> Self {
        let from = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let state = if cfg!(windows) {
            from("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            from("HOME").map(|home| home.join("Library/Application Support"))
        } else {
            from("XDG_STATE_HOME").or_else(|| from("HOME").map(|home| home.join(".local/state")))
        };
        Self { journals: state.map(|state| state.join("lamina/journals")) }
    }
}
