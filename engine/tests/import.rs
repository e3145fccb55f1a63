//! Weights of other programs: what PyTorch saved, read back; and what must never be run.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

use std::path::{Path, PathBuf};

use lamina_engine::EngineError;
use lamina_engine::device::DeviceChoice;
use lamina_engine::import::{Import, ImportSettings, Imported, Suggestion, WeightsFile};
use lamina_engine::networks::bpnet::{Attention, BpnetConfig};
use lamina_engine::networks::unet::UnetConfig;
use lamina_engine::networks::{NetworkConfig, catalogue};
use lamina_engine::synthetic_weights::fill;
use lamina_engine::weights::{
    NamedTensors, Storage, WeightsError, decode, encode_weights, values_by_name,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/torch").join(name)
}

/// Settings as a file states them.
fn settings(text: &str) -> ImportSettings {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("import.toml");
    std::fs::write(&path, text).unwrap();
    ImportSettings::read(&path).unwrap()
}

const SMALL: &str = "[network.unet]\nbase_channels = 2\ndepth = 2";

fn import(path: &Path, network: &str, settings: &ImportSettings) -> Result<Imported, EngineError> {
    let file = WeightsFile::open(path)?;
    Import { network, settings, file: &file, channels: None, classes: None }.run("small")
}

fn import_small(name: &str) -> Result<Imported, EngineError> {
    import(&golden(name), "unet", &settings(SMALL))
}

fn values(imported: &Imported) -> NamedTensors {
    values_by_name(&imported.network, &imported.manifest.network.name_map())
}

fn expected() -> NamedTensors {
    let path = golden("weights.safetensors");
    decode(&std::fs::read(&path).unwrap(), &path, |_| true).unwrap().0
}

#[test]
fn every_wrapping_of_pytorch_gives_the_same_weights() {
    for (name, prefix, elsewhere) in [
        ("weights.safetensors", "", 0),
        ("plain.pth", "", 0),
        ("twenty_one_characters.pth", "", 0),
        ("legacy.pth", "", 0),
        ("wrapped.pth", "state_dict.module.", 22),
        ("parameters.pt", "model_state.", 0),
        ("hostile.pth", "model.", 0),
    ] {
        let imported = import_small(name).unwrap();
        let found = &imported.found;
        assert_eq!((found.prefix.as_str(), found.elsewhere), (prefix, elsewhere), "{name}");
        assert_eq!(values(&imported), expected(), "{name}");
        let manifest = &imported.manifest;
        assert_eq!((manifest.channels(), manifest.classes.len()), (1, 3), "{name}");
        assert!(manifest.check_takes_volumes().is_ok());
    }
}

#[test]
fn narrow_types_are_widened() {
    let found = values(&import_small("mixed.pth").unwrap());
    for (name, exact) in expected() {
        // bfloat16 keeps eight bits.
        for (exact, found) in exact.values.iter().zip(&found[&name].values) {
            assert!((exact - found).abs() <= exact.abs() / 256.0, "{name}");
        }
    }
}

#[test]
fn an_object_in_a_pickle_is_named_and_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let imported = import_small("hostile.pth").unwrap();
    assert_eq!(imported.found.passed_over, ["note: posix.system"]);
    assert!(!Path::new("hostile_was_run").exists());
    // A pickle that is nothing but a call.
    let path = folder.path().join("call.pth");
    let run = folder.path().join("run");
    let call = format!("cposix\nsystem\n(Vtouch {}\ntR.", run.display());
    std::fs::write(&path, call).unwrap();
    let error = import(&path, "unet", &settings(SMALL)).unwrap_err();
    let EngineError::Weights(WeightsError::Pytorch { source, .. }) = error else {
        panic!("{error}");
    };
    assert!(source.to_string().contains("posix.system"), "{source}");
    assert!(!run.exists());
}

#[test]
fn a_weight_that_is_no_number_is_named() {
    let error = import_small("not_finite.pth").unwrap_err();
    let EngineError::Weights(WeightsError::NotFinite { name, position, .. }) = error else {
        panic!("{error}");
    };
    assert_eq!((name.as_str(), position), ("head.bias", 1));
}

#[test]
fn a_file_that_is_cut_or_changed_is_refused_or_read_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pth");
    let settings = settings(SMALL);
    for name in ["plain.pth", "legacy.pth"] {
        let bytes = std::fs::read(golden(name)).unwrap();
        for length in (0..bytes.len()).step_by(97) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(import(&path, "unet", &settings).is_err(), "{name} cut at {length}");
        }
        for place in (0..bytes.len()).step_by(61) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x5A;
            std::fs::write(&path, &damaged).unwrap();
            let _ = import(&path, "unet", &settings);
        }
    }
}

/// Weights of a network, as a file of them.
fn file_of(config: &NetworkConfig, channels: usize, classes: usize, path: &Path) {
    let device = DeviceChoice::Cpu.open().device;
    let names = config.name_map();
    let network = fill(config.init(channels, classes, &device), &names, 1.0);
    std::fs::write(path, encode_weights(&network, &names, Storage::F32)).unwrap();
}

#[test]
fn channels_and_classes_are_read_off_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let small = BpnetConfig { width: 4, ..BpnetConfig::default() };
    let unet = NetworkConfig::Unet(UnetConfig { base_channels: 2, depth: 2 });
    let bpnet = NetworkConfig::Bpnet(small);
    let narrow = settings("[network.bpnet]\nwidth = 4");
    for (channels, classes) in [(1, 2), (4, 4), (3, 19), (2, 300), (7, 1)] {
        file_of(&unet, channels, classes, &path);
        let manifest = import(&path, "unet", &settings(SMALL)).unwrap().manifest;
        assert_eq!((manifest.channels(), manifest.classes.len()), (channels, classes));
        assert_eq!(manifest.check_takes_volumes().is_ok(), channels == 1);
        file_of(&bpnet, channels, classes, &path);
        let manifest = import(&path, "bpnet-s3", &narrow).unwrap().manifest;
        assert_eq!((manifest.channels(), manifest.classes.len()), (channels, classes));
    }
}

#[test]
fn preprocessing_has_to_give_the_channels_of_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    file_of(&NetworkConfig::Unet(UnetConfig { base_channels: 2, depth: 2 }), 3, 2, &path);
    let with = |neighbors: usize| {
        let text = format!("{SMALL}\n[preprocessing]\nneighbors = {neighbors}");
        import(&path, "unet", &settings(&text))
    };
    assert!(with(1).unwrap().manifest.check_takes_volumes().is_ok());
    assert_eq!(
        with(0).unwrap_err().to_string(),
        "preprocessing.neighbors = 0: the weights are for 3 channels, and a slice with its \
         neighbors has 1"
    );
}

#[test]
fn weights_of_another_form_name_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let entry = catalogue().into_iter().find(|entry| entry.name == "bpnet-s3-w32").unwrap();
    let NetworkConfig::Bpnet(config) = entry.config else { panic!("not a BPNet") };
    let released = BpnetConfig { attention: Attention::Released, ..config };
    file_of(&NetworkConfig::Bpnet(released), 3, 11, &path);
    let file = WeightsFile::open(&path).unwrap();
    let settings = ImportSettings::default();
    let import = Import {
        network: "bpnet-s3-w32",
        settings: &settings,
        file: &file,
        channels: None,
        classes: None,
    };
    let EngineError::Weights(WeightsError::Misfit { misfit, .. }) = import.run("x").unwrap_err()
    else {
        panic!("no misfit");
    };
    assert!(misfit.missing.is_empty() && !misfit.unexpected.is_empty(), "{misfit}");
    let suggestion = Suggestion {
        network: "bpnet-s3-w32",
        settings: Some("[network.bpnet] attention = \"released\"".to_owned()),
    };
    assert_eq!(import.suggestion(), Some(suggestion));
}
