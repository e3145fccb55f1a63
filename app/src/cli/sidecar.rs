//! The record beside each mask: what made it, and that it is complete.
//!
//! Written last and atomically, so a mask with a record that fits is finished and
//! a resumed run may trust it. It holds no path and nothing of the file's header.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;
use lamina_engine::bundle::Model;
use lamina_engine::ensemble::Ensemble;
use lamina_engine::fingerprint::Doubt;
use lamina_engine::inference::{Agreement, CaseDoubt, InferenceConfig};
use lamina_io::atomic::write_atomically;
use lamina_io::{SegmentationKind, Verified, files_of};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What made a mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    /// The case.
    pub case: String,
    /// What decides the mask; a run that agrees in this need not make it again.
    pub recipe: Recipe,
    /// Hash of the mask's file.
    pub mask_sha256: String,
    /// That it was read back by other code, and how well it agrees with what was computed.
    pub verified: Verified,
    /// Version of this program.
    pub lamina_version: String,
    /// Where it was computed.
    pub device: String,
    /// How long each stage took.
    pub seconds: Seconds,
    /// How often the network looked at a slice or a window of one, over the whole case; absent in
    /// records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes: Option<usize>,
    /// How sure the model was, by its own softmax; absent in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<CaseDoubt>,
    /// How far the members of an ensemble agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// The map of uncertainty beside the mask, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<UncertaintyRecord>,
    /// What was found.
    pub classes: Vec<ClassVolume>,
    /// In what the image, or what was found in it, is unlike the training cases of the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlike_training: Vec<Doubt>,
}

/// A map of uncertainty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncertaintyRecord {
    /// `entropy` or `mutual_information`, 255 standing for the largest that there is.
    pub map: String,
    /// Hash of its file.
    pub sha256: String,
}

/// Everything that decides what a mask looks like, up to rounding on another device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The model's name.
    pub model: String,
    /// Hash of its weights; of several models, of their hashes, one a line.
    pub weights_sha256: String,
    /// The models, where they are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberRecipe>,
    /// Hash of the input's file, or of both files of a pair, the header first.
    pub input_sha256: String,
    /// Which volume of a scan that holds several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<usize>,
    /// Whether a flawed series was taken for an even one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted_flaws: bool,
    /// Whether the mask has the values of the model's data set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub values: bool,
    /// How it was written, where it is a segmentation of DICOM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segmentation: Option<SegmentationRecipe>,
    /// How the network was used: mirrors, largest component.
    pub inference: serde_json::Value,
}

/// A model among several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberRecipe {
    /// Its name.
    pub model: String,
    /// Hash of its weights.
    pub weights_sha256: String,
    /// How its network was used.
    pub inference: serde_json::Value,
}

/// What decides a DICOM segmentation but for its labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentationRecipe {
    /// How labels are stored.
    pub kind: SegmentationKind,
    /// Hash of the description of the segments, where there is one beside the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segments_sha256: Option<String>,
}

/// Seconds per stage of one case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// File to volume.
    pub read: f64,
    /// Volume to prepared slices.
    pub prepare: f64,
    /// Slices to labels.
    pub infer: f64,
    /// Labels back on the grid of the file.
    pub restore: f64,
    /// Labels to file.
    pub write: f64,
}

impl Seconds {
    /// By stage, in order.
    pub fn stages(&self) -> [(&'static str, f64); 5] {
        [
            ("read", self.read),
            ("prepare", self.prepare),
            ("infer", self.infer),
            ("restore", self.restore),
            ("write", self.write),
        ]
    }

    /// All stages together.
    pub fn total(&self) -> f64 {
        self.stages().iter().map(|(_, seconds)| seconds).sum()
    }
}

/// How much of one class was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassVolume {
    /// The label's value.
    pub label: u8,
    /// What it is called.
    pub name: String,
    /// How many voxels.
    pub voxels: u64,
    /// How much that is, where the spacing is known.
    pub volume_ml: Option<f64>,
}

impl Recipe {
    /// What decides masks that `model` makes of an input with this hash, as far as the two say.
    ///
    /// # Errors
    /// When settings cannot be written as JSON, which is a mistake of ours.
    pub fn of(model: &Ensemble, input_sha256: String) -> anyhow::Result<Self> {
        let member = |model: &Model| {
            Ok(MemberRecipe {
                model: model.manifest.name.clone(),
                weights_sha256: model.manifest.weights.sha256.clone(),
                inference: what_decides(&model.manifest.inference)?,
            })
        };
        let several = model.members.iter().filter(|_| model.members.len() > 1);
        Ok(Self {
            model: model.manifest.name.clone(),
            weights_sha256: model.manifest.weights.sha256.clone(),
            members: several.map(member).collect::<anyhow::Result<_>>()?,
            input_sha256,
            volume: None,
            accepted_flaws: false,
            values: false,
            segmentation: None,
            inference: what_decides(&model.manifest.inference)?,
        })
    }
}

/// The settings of `inference` that a mask depends on: not how many slices at once.
fn what_decides(inference: &InferenceConfig) -> anyhow::Result<serde_json::Value> {
    let mut settings = serde_json::to_value(inference).context("the settings are no valid JSON")?;
    if let Some(settings) = settings.as_object_mut() {
        settings.shift_remove("batch_size");
    }
    Ok(settings)
}

impl Sidecar {
    /// Reads the record at `path`; `None` where there is none that makes sense.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the file cannot be written; nothing is then left under its name.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_atomically(path, |out| {
            serde_json::to_writer_pretty(&mut *out, self).map_err(io::Error::from)?;
            out.write_all(b"\n")
        })
        .context("cannot write the record of this case")
    }

    /// Whether the map of uncertainty at `path` is complete and of this kind.
    pub fn vouches_for_map(&self, path: &Path, map: &str) -> bool {
        self.uncertainty.as_ref().is_some_and(|record| {
            record.map == map
                && files_sha256(&files_of(path)).is_ok_and(|hash| hash == record.sha256)
        })
    }

    /// Whether `mask` is complete and was made by `recipe`.
    pub fn vouches_for(&self, mask: &Path, recipe: &Recipe) -> bool {
        self.recipe == *recipe
            && files_sha256(&files_of(mask)).is_ok_and(|hash| hash == self.mask_sha256)
    }
}

/// SHA-256 of the bytes of files, one after another, as hexadecimal.
///
/// # Errors
/// When one of them cannot be read.
pub fn files_sha256(paths: &[PathBuf]) -> io::Result<String> {
    let mut hasher = Sha256::new();
    for path in paths {
        io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    }
    Ok(format!("{:x}", hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use lamina_engine::fingerprint::Subject;

    use super::*;

    fn sidecar() -> Sidecar {
        Sidecar {
            case: "a".to_owned(),
            recipe: Recipe {
                model: "m".to_owned(),
                weights_sha256: "w".to_owned(),
                members: Vec::new(),
                input_sha256: "i".to_owned(),
                volume: None,
                accepted_flaws: false,
                values: false,
                segmentation: None,
                inference: serde_json::Value::Null,
            },
            // SHA-256 of "abc", FIPS 180-2, appendix B.1
            mask_sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
                .to_owned(),
            verified: Verified { voxels: 3, placed: true, max_offset_voxels: 0.000_001 },
            lamina_version: "0".to_owned(),
            device: "cpu".to_owned(),
            seconds: Seconds { read: 0.5, ..Seconds::default() },
            passes: Some(4),
            doubt: Some(CaseDoubt {
                risk: 0.125,
                worst_slice_risk: 0.5,
                doubtful_slices: 1,
                slices: 2,
            }),
            agreement: None,
            uncertainty: None,
            classes: vec![ClassVolume {
                label: 1,
                name: "x".to_owned(),
                voxels: 3,
                volume_ml: None,
            }],
            unlike_training: vec![Doubt::new(Subject::Spacing, "The slices are 5.0 mm apart.")],
        }
    }

    #[test]
    fn a_record_reads_back_and_vouches_for_its_mask_only() {
        let folder = tempfile::tempdir().unwrap();
        let (mask, path) = (folder.path().join("a.nii"), folder.path().join("a.json"));
        std::fs::write(&mask, "abc").unwrap();
        sidecar().write(&path).unwrap();
        let read = Sidecar::read(&path).unwrap();
        assert_eq!(read, sidecar());
        assert!(read.vouches_for(&mask, &sidecar().recipe));

        let other = Recipe { weights_sha256: "x".to_owned(), ..sidecar().recipe };
        assert!(!read.vouches_for(&mask, &other));
        std::fs::write(&mask, "ab").unwrap();
        assert!(!read.vouches_for(&mask, &sidecar().recipe));
        assert!(!read.vouches_for(&folder.path().join("absent"), &sidecar().recipe));
    }

    #[test]
    fn a_record_without_doubt_is_one_of_an_older_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let older = Sidecar { doubt: None, passes: None, unlike_training: Vec::new(), ..sidecar() };
        older.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("doubt") && !text.contains("unlike"), "{text}");
        assert_eq!(Sidecar::read(&path).unwrap(), older);
    }

    #[test]
    fn a_broken_record_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, "{\"case\": ").unwrap();
        assert_eq!(Sidecar::read(&path), None);
    }
}
