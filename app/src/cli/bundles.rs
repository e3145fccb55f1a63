//! Which model is meant when none is named.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
#[cfg(feature = "gui")]
use lamina_engine::EngineError;
use lamina_engine::bundle::BUNDLE_FILES;
#[cfg(feature = "gui")]
use lamina_engine::bundle::Manifest;
use lamina_engine::ensemble::{Described, ENSEMBLE};

/// Names a folder of models that is looked at before all others.
const VARIABLE: &str = "LAMINA_MODELS";

/// The folders of a model, or of several that answer together, and what they say about themselves.
pub struct Bundle {
    /// The folders: of bundles, or of ensembles.
    pub folders: Vec<PathBuf>,
    /// What they say.
    pub described: Described,
    /// Whether the user named them.
    pub named: bool,
}

impl Bundle {
    /// The folders, for people.
    pub fn place(&self) -> String {
        let folders: Vec<String> =
            self.folders.iter().map(|folder| folder.display().to_string()).collect();
        folders.join(", ")
    }
}

/// The models in `folders`, or the bundled one where none is named.
///
/// # Errors
/// When they cannot be read or do not fit together, or when there is not exactly one bundled model
/// to take.
pub fn choose(folders: &[PathBuf]) -> anyhow::Result<Bundle> {
    if !folders.is_empty() {
        let described = Described::read(folders).context("cannot use --model")?;
        return Ok(Bundle { folders: folders.to_vec(), described, named: true });
    }
    let places = places();
    for place in &places {
        let found = bundles_in(place);
        match found.as_slice() {
            [] => {}
            [folder] => {
                let folders = vec![folder.clone()];
                let described =
                    Described::read(&folders).context("cannot use the bundled model")?;
                return Ok(Bundle { folders, described, named: false });
            }
            several => {
                let names: Vec<String> =
                    several.iter().map(|folder| folder.display().to_string()).collect();
                bail!("name one of these with --model: {}", names.join(", "));
            }
        }
    }
    let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    bail!(
        "found no model; name one with --model or set {VARIABLE}; looked in: {}",
        places.join(", ")
    )
}

/// All models in all places, those that cannot be read with the reason; each once.
#[cfg(feature = "gui")]
pub fn at_hand() -> Vec<(PathBuf, Result<Manifest, EngineError>)> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    let mut seen = Vec::new();
    let folders = named.into_iter().chain(usual_places()).flat_map(|place| bundles_in(&place));
    let new = folders.filter(|folder| {
        let real = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let new = !seen.contains(&real);
        seen.push(real);
        new
    });
    new.map(|folder| (folder.clone(), Manifest::read(&folder))).collect()
}

/// Whether `path` is a file of the model in `folder`.
pub fn is_part(path: &Path, folder: &Path) -> bool {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match (parent.canonicalize(), folder.canonicalize()) {
        (Ok(parent), Ok(folder)) => {
            parent == folder
                && path
                    .file_name()
                    .is_some_and(|name| BUNDLE_FILES.iter().any(|part| name == *part))
        }
        _ => false,
    }
}

/// Where models may lie, the first that has any counts.
fn places() -> Vec<PathBuf> {
    match std::env::var_os(VARIABLE) {
        Some(folder) => vec![PathBuf::from(folder)],
        None => usual_places(),
    }
}

/// Beside the program and above it, where it was built, and last in the current folder: what
/// happens to lie there must not replace the model that came with the program.
fn usual_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Ok(program) = std::env::current_exe() {
        places.extend(
            program
                .ancestors()
                .skip(1)
                .map(|folder| folder.join("models"))
                .filter(|place| place.is_dir()),
        );
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    places.extend(sources.parent().map(|root| root.join("models")));
    places.push(PathBuf::from("models"));
    places
}

/// The bundles and ensembles directly in `place`, sorted.
fn bundles_in(place: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| ["model.toml", ENSEMBLE].iter().any(|file| path.join(file).is_file()))
        .collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_with_a_manifest_are_bundles() {
        let place = tempfile::tempdir().unwrap();
        for name in ["b", "a", "empty"] {
            std::fs::create_dir(place.path().join(name)).unwrap();
        }
        for (name, file) in [("b", "model.toml"), ("a", "ensemble.toml")] {
            std::fs::write(place.path().join(name).join(file), "").unwrap();
        }
        assert_eq!(bundles_in(place.path()), [place.path().join("a"), place.path().join("b")]);
        assert!(bundles_in(&place.path().join("absent")).is_empty());
    }
}
