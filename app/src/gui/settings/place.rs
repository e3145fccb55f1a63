//! Where a user's settings are kept: where the system wants them.

use std::ffi::OsString;
use std::path::PathBuf;

/// The folder of our settings, made or not; none where the system does not say.
pub fn folder() -> Option<PathBuf> {
    folder_on(std::env::consts::OS, |name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn folder_on(system: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // What is no whole path would lie in the folder that the program was started from.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.has_root());
    match system {
        "windows" => Some(absolute("APPDATA")?.join("Lamina")),
        "macos" => Some(absolute("HOME")?.join("Library/Application Support/Lamina")),
        // XDG Base Directory Specification: a relative path is to be ignored.
        _ => {
            let config =
                absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
            Some(config.join("lamina"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_lie_where_the_system_wants_them() {
        let on = |system: &str, variables: &[(&str, &str)]| {
            let value = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            };
            folder_on(system, value).map(|path| path.to_string_lossy().replace('\\', "/"))
        };
        let home = ("HOME", "/home/a");
        assert_eq!(on("linux", &[home]).unwrap(), "/home/a/.config/lamina");
        let config = ("XDG_CONFIG_HOME", "/cfg");
        assert_eq!(on("linux", &[home, config]).unwrap(), "/cfg/lamina");
        let relative = ("XDG_CONFIG_HOME", "cfg");
        assert_eq!(on("linux", &[home, relative]).unwrap(), "/home/a/.config/lamina");
        let library = "/home/a/Library/Application Support/Lamina";
        assert_eq!(on("macos", &[home]).unwrap(), library);
        assert_eq!(on("windows", &[("APPDATA", "/roaming")]).unwrap(), "/roaming/Lamina");
        assert_eq!(on("linux", &[]), None);
    }
}
