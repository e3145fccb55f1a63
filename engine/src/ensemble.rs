//! Ensembles: bundles that answer together, and the file that names them.
//!
//! A folder with an `ensemble.toml` (the [`EnsembleFile`]) works wherever volumes are segmented by
//! a bundle; members may look at other planes, at other spacings and through other networks, as
//! long as their classes are the same. Averaging them is left to
//! [`segment_together`](crate::inference::segment_together).

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use lamina_io::CaseImage;
use lamina_io::dataset::Class;
use serde::{Deserialize, Serialize};

use crate::bundle::{Manifest, MetricsRecord, Model, sha256};
use crate::device::OpenDevice;
use crate::error::EngineError;
use crate::fingerprint::Doubt;
use crate::inference::{InferenceConfig, LargestComponent, TidyStep};

/// The file of an ensemble's folder.
pub const ENSEMBLE: &str = "ensemble.toml";

/// Of which form files are that this program reads.
const FORMAT: u32 = 1;

/// More members than this are a mistake.
const MOST_MEMBERS: usize = 64;

/// `ensemble.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleFile {
    /// Form of the file.
    pub format: u32,
    /// Name of the ensemble.
    pub name: String,
    /// What it does, for people.
    pub title: String,
    /// Whether only the largest connected component is kept, whatever the members say.
    #[serde(default)]
    pub largest_component: LargestComponent,
    /// What else is done to labels, in this order, after that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_processing: Vec<TidyStep>,
    /// What its members reached, each on cases that it never saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsRecord>,
    /// The bundles.
    pub members: Vec<Member>,
}

/// A bundle of an ensemble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its folder, as seen from the ensemble's.
    pub folder: String,
    /// The hash of its weights: another bundle in its place is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_sha256: Option<String>,
}

impl EnsembleFile {
    /// An ensemble of members in these folders.
    pub fn new(name: String, title: String, members: Vec<Member>) -> Self {
        Self {
            format: FORMAT,
            name,
            title,
            largest_component: LargestComponent::default(),
            post_processing: Vec::new(),
            metrics: None,
            members,
        }
    }

    /// Reads and validates the file in `folder`.
    ///
    /// # Errors
    /// [`EngineError::Read`], [`EngineError::Parse`] with line and column, or
    /// [`EngineError::Data`] for a value that cannot work.
    pub fn read(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(ENSEMBLE);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| EngineError::Read { path: path.clone(), source })?;
        let file: Self = toml::from_str(&text).map_err(|error| EngineError::Parse {
            message: error.to_string().trim_end().to_owned(),
            path: path.clone(),
        })?;
        file.validate().map_err(|error| EngineError::data(&path, error.to_string()))?;
        Ok(file)
    }

    fn validate(&self) -> Result<(), EngineError> {
        let refuse = |message: String| Err(EngineError::Input { message });
        if self.format != FORMAT {
            return refuse(format!(
                "expected an ensemble of format {FORMAT}, found {}",
                self.format
            ));
        }
        if !(1..=MOST_MEMBERS).contains(&self.members.len()) {
            let found = self.members.len();
            return refuse(format!("expected 1 to {MOST_MEMBERS} members, found {found}"));
        }
        for member in &self.members {
            if member.folder.is_empty() || Path::new(&member.folder).is_absolute() {
                let found = &member.folder;
                return refuse(format!(
                    "expected folders of members as seen from here, found {found:?}"
                ));
            }
        }
        self.post_processing.iter().try_for_each(TidyStep::validate)
    }

    /// Writes the file into `folder`.
    ///
    /// # Errors
    /// [`EngineError::Volume`] when it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), EngineError> {
        let text = toml::to_string(self).map_err(|error| EngineError::Input {
            message: format!("the ensemble cannot be written as TOML: {error}"),
        })?;
        let path = folder.join(ENSEMBLE);
        lamina_io::atomic::write_atomically(&path, |file| file.write_all(text.as_bytes()))?;
        Ok(())
    }
}

/// Whether `folder` holds an ensemble.
pub fn is_ensemble(folder: &Path) -> bool {
    folder.join(ENSEMBLE).is_file()
}

/// What bundles and ensembles say of themselves, before any weights are read.
#[derive(Debug, Clone)]
pub struct Described {
    /// The members' folders and manifests.
    pub members: Vec<(PathBuf, Manifest)>,
    /// That of the one member; of several the first's, with the name, the hash of all weights and
    /// the tidying of the ensemble.
    pub manifest: Manifest,
}

impl Described {
    /// Reads what bundles and ensembles in these folders say; quick, opens no weights.
    ///
    /// # Errors
    /// What [`Manifest::read`] and [`EnsembleFile::read`] answer; [`EngineError::Data`] where
    /// members do not fit together.
    pub fn read(folders: &[PathBuf]) -> Result<Self, EngineError> {
        let mut members: Vec<(PathBuf, Manifest)> = Vec::new();
        let mut sources: Vec<Source> = Vec::new();
        for folder in folders {
            let source = Source::read(folder)?;
            members.extend(source.members.iter().cloned());
            sources.push(source);
        }
        let Some(first) = sources.first() else {
            return Err(EngineError::Input { message: "expected a model, found none".into() });
        };
        if members.len() > MOST_MEMBERS {
            let message =
                format!("expected {MOST_MEMBERS} models at most, found {}", members.len());
            return Err(EngineError::Input { message });
        }
        let mut manifest = members[0].1.clone();
        for (folder, other) in &members[1..] {
            agree(&manifest, other).map_err(|message| EngineError::data(folder, message))?;
        }
        let tidy = |source: &Source| (source.largest_component, source.post_processing.clone());
        if let Some(other) = sources.iter().find(|source| tidy(source) != tidy(first)) {
            let message = "these models tidy up their labels in different ways; an ensemble.toml \
                           that names them says which one counts";
            return Err(EngineError::data(&other.folder, message));
        }
        (manifest.inference.largest_component, manifest.inference.post_processing) = tidy(first);
        if sources.len() == 1 {
            if let Some(file) = &first.file {
                manifest.name.clone_from(&file.name);
                manifest.title.clone_from(&file.title);
                manifest.metrics.clone_from(&file.metrics);
            }
        } else {
            let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
            manifest.name = names.join(" + ");
            manifest.title = format!("{} models together", members.len());
            manifest.metrics = None;
        }
        if members.len() > 1 {
            manifest.training = None;
            manifest.imported = None;
            manifest.fingerprint = None;
            let hashes: Vec<&str> =
                members.iter().map(|(_, member)| member.weights.sha256.as_str()).collect();
            manifest.weights.sha256 = sha256(hashes.join("\n").as_bytes());
        }
        Ok(Self { members, manifest })
    }
}

/// A folder that was named: a bundle or an ensemble.
struct Source {
    folder: PathBuf,
    name: String,
    file: Option<EnsembleFile>,
    members: Vec<(PathBuf, Manifest)>,
    largest_component: LargestComponent,
    post_processing: Vec<TidyStep>,
}

impl Source {
    fn read(folder: &Path) -> Result<Self, EngineError> {
        if !is_ensemble(folder) {
            let manifest = Manifest::read(folder)?;
            let InferenceConfig { largest_component, post_processing, .. } = &manifest.inference;
            return Ok(Self {
                folder: folder.to_path_buf(),
                name: manifest.name.clone(),
                file: None,
                largest_component: *largest_component,
                post_processing: post_processing.clone(),
                members: vec![(folder.to_path_buf(), manifest)],
            });
        }
        let file = EnsembleFile::read(folder)?;
        let mut members = Vec::new();
        for Member { folder: name, weights_sha256 } in &file.members {
            let place = folder.join(name);
            let manifest = Manifest::read(&place)?;
            let found = &manifest.weights.sha256;
            if let Some(expected) = weights_sha256.as_ref().filter(|expected| *expected != found) {
                let message = format!(
                    "this is not the member that {ENSEMBLE} names: expected weights of SHA-256 \
                     {expected}, found {found}"
                );
                return Err(EngineError::bundle(&place, message));
            }
            members.push((place, manifest));
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            name: file.name.clone(),
            members,
            largest_component: file.largest_component,
            post_processing: file.post_processing.clone(),
            file: Some(file),
        })
    }
}

/// Whether two members label the same things.
fn agree(first: &Manifest, other: &Manifest) -> Result<(), String> {
    let what = |class: &Class| (class.name.clone(), class.value);
    let names = |manifest: &Manifest| {
        manifest.classes.iter().map(|class| class.name.clone()).collect::<Vec<_>>().join(", ")
    };
    if !first.classes.iter().map(what).eq(other.classes.iter().map(what)) {
        return Err(format!(
            "expected the classes of {} ({}), found others ({})",
            first.name,
            names(first),
            names(other)
        ));
    }
    if first.preprocessing.input != other.preprocessing.input {
        return Err(format!(
            "expected a model that takes the channels that {} does, found one for others",
            first.name
        ));
    }
    if !first.modality.eq_ignore_ascii_case(&other.modality) {
        return Err(format!(
            "expected a model for {}, as {} is, found one for {}",
            first.modality, first.name, other.modality
        ));
    }
    Ok(())
}

/// One or several bundles, loaded onto a device.
#[derive(Debug)]
pub struct Ensemble {
    /// That of the one member, or of all together: [`Described::manifest`].
    pub manifest: Manifest,
    /// The members.
    pub members: Vec<Model>,
}

impl Ensemble {
    /// Loads all members.
    ///
    /// # Errors
    /// What [`Model::load`] answers.
    pub fn load(described: &Described, device: &OpenDevice) -> Result<Self, EngineError> {
        let load = |(folder, _): &(PathBuf, Manifest)| Model::load(folder, device);
        let members = described.members.iter().map(load).collect::<Result<_, _>>()?;
        Ok(Self { manifest: described.manifest.clone(), members })
    }

    /// Changes how all members, and they together, are used.
    ///
    /// # Errors
    /// [`EngineError::Config`] for settings that cannot work.
    pub fn configure(&mut self, change: impl Fn(&mut InferenceConfig)) -> Result<(), EngineError> {
        change(&mut self.manifest.inference);
        self.manifest.inference.validate()?;
        for member in &mut self.members {
            change(&mut member.manifest.inference);
            member.manifest.inference.validate()?;
        }
        Ok(())
    }

    /// What speaks against segmenting `image`: what does for the member that minds it least, as
    /// the training cases of all were seen.
    pub fn doubts_about(&self, image: &CaseImage) -> Vec<Doubt> {
        self.least(|manifest| manifest.doubts_about_image(image))
    }

    /// What is unlike the training cases in volumes that were found, by label, in milliliters.
    pub fn doubts_about_found(&self, volumes_ml: &BTreeMap<u8, f64>) -> Vec<Doubt> {
        let about = |manifest: &Manifest| {
            let fingerprint = manifest.fingerprint.as_ref();
            fingerprint
                .map_or_else(Vec::new, |fingerprint| fingerprint.doubts_about_found(volumes_ml))
        };
        self.least(about)
    }

    fn least(&self, doubts: impl Fn(&Manifest) -> Vec<Doubt>) -> Vec<Doubt> {
        let all = self.members.iter().map(|model| doubts(&model.manifest));
        all.min_by_key(Vec::len).unwrap_or_default()
    }
}
