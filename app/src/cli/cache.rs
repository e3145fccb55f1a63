//! Where prepared cases are kept for other runs.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use lamina_engine::training::Cache;

use super::output::Output;

/// How large the cache may become unless told otherwise.
const LARGEST_GB: u64 = 50;

/// The cache of prepared cases.
#[derive(Debug, Clone, Args)]
pub struct CacheArgs {
    /// Keep prepared cases in this folder, for other runs on the same data; LAMINA_CACHE, or the
    /// user's folder for caches, unless given. No name of a case is kept.
    #[arg(long, value_name = "FOLDER", conflicts_with = "no_cache")]
    cache: Option<PathBuf>,

    /// Keep no prepared cases, and hold all of them in memory.
    #[arg(long)]
    no_cache: bool,

    /// How large the cache may become; what was not used for longest is removed first.
    #[arg(long, value_name = "GB", default_value_t = LARGEST_GB)]
    cache_size: u64,
}

impl CacheArgs {
    /// The same options again, each with its value, where they are not the usual ones.
    pub fn options(&self) -> Vec<(&'static str, Option<String>)> {
        let folder = self.cache.iter().map(|path| ("--cache", Some(path.display().to_string())));
        let none = self.no_cache.then_some(("--no-cache", None));
        let size = (self.cache_size != LARGEST_GB)
            .then(|| ("--cache-size", Some(self.cache_size.to_string())));
        folder.chain(none).chain(size).collect()
    }

    /// The cache that is asked for; none where it is not wanted, or where nothing was named and the
    /// user's folder cannot be written.
    ///
    /// # Errors
    /// When the folder that was named cannot be made or written.
    pub fn open(&self, output: &Output) -> anyhow::Result<Option<Cache>> {
        let most_bytes = self.cache_size.saturating_mul(1_000_000_000);
        let named = self.cache.clone().or_else(|| variable("LAMINA_CACHE").map(PathBuf::from));
        if self.no_cache {
            return Ok(None);
        }
        if let Some(folder) = named {
            return Ok(Some(Cache::open(&folder, most_bytes)?));
        }
        let Some(folder) = folder_on(std::env::consts::OS, variable) else { return Ok(None) };
        match Cache::open(&folder, most_bytes) {
            Ok(cache) => Ok(Some(cache)),
            Err(error) => {
                output.note(format!("prepared cases are held in memory: {error}"));
                Ok(None)
            }
        }
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The user's folder for our caches; none where the system does not say.
fn folder_on(system: &str, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.has_root());
    match system {
        "windows" => Some(absolute("LOCALAPPDATA")?.join("Lamina").join("cache")),
        "macos" => Some(absolute("HOME")?.join("Library/Caches/Lamina")),
        // XDG Base Directory Specification: a relative path is to be ignored.
        _ => {
            let caches =
                absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
            Some(caches.join("lamina"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_lie_where_the_system_wants_them() {
        let on = |system: &str, variables: &[(&str, &str)]| {
            let value = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            };
            folder_on(system, value).map(|path| path.to_string_lossy().replace('\\', "/"))
        };
        let home = ("HOME", "/home/a");
        assert_eq!(on("linux", &[home]).unwrap(), "/home/a/.cache/lamina");
        let named = ("XDG_CACHE_HOME", "/fast");
        assert_eq!(on("linux", &[home, named]).unwrap(), "/fast/lamina");
        assert_eq!(on("macos", &[home]).unwrap(), "/home/a/Library/Caches/Lamina");
        assert_eq!(on("windows", &[("LOCALAPPDATA", "/local")]).unwrap(), "/local/Lamina/cache");
        assert_eq!(on("linux", &[]), None);
    }
}
