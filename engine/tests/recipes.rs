//! Every experiment in `configs/experiments` is one that can be run, and says what its name says.
//!
//! Networks are outlined, not built: their weights would be drawn for minutes.

#![expect(clippy::unwrap_used, reason = "helpers of tests may, as tests do")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lamina_engine::device::DeviceChoice;
use lamina_engine::experiment::Experiment;
use lamina_engine::graph::Graph;
use lamina_engine::networks::encoder::EncoderKind;
use lamina_engine::networks::eseg::Size;
use lamina_engine::networks::hrnet::HeadKind;
use lamina_engine::networks::stdc::Backbone;
use lamina_engine::networks::{Heads, NetworkConfig};
use lamina_engine::preprocess::Input;
use toml::{Table, Value};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/experiments")
}

/// The TOML files right in `folder`, sorted.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
    files.sort();
    assert!(!files.is_empty(), "no experiments in {}", folder.display());
    files
}

fn recipes() -> Vec<PathBuf> {
    files_in(&folder())
}

fn ablations() -> Vec<PathBuf> {
    files_in(&folder().join("ablations"))
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// What a network is called in names of files: as in the catalogue, where it is one of those.
fn name_of(network: &NetworkConfig) -> String {
    let encoder = |kind: EncoderKind, width: f64, depth: f64| match kind {
        EncoderKind::Resnet18 => "r18".to_owned(),
        EncoderKind::Resnet34 => "r34".to_owned(),
        EncoderKind::Resnet50 => "r50".to_owned(),
        EncoderKind::Resnet101 => "r101".to_owned(),
        EncoderKind::Efficientnet if (width, depth) == (1.0, 1.1) => "b1".to_owned(),
        other => panic!("no name for {other:?} of width {width} and depth {depth}"),
    };
    match network {
        NetworkConfig::Bpnet(config) => match (config.stages, config.width) {
            (stages, 48) => format!("bpnet-s{stages}"),
            (stages, width) => format!("bpnet-s{stages}-w{width}"),
        },
        NetworkConfig::SpecializeFuse(config) => format!("snf-hrnet-w{}", config.width),
        NetworkConfig::Hrnet(config) => match config.head {
            HeadKind::Plain => format!("hrnet-w{}", config.width),
            HeadKind::Ocr => format!("hrnet-w{}-ocr", config.width),
            HeadKind::Anl => format!("anl-hrnet-w{}", config.width),
            HeadKind::Ccnet => format!("ccnet-hrnet-w{}", config.width),
        },
        NetworkConfig::Eseg(config) => match config.size {
            Size::LiteS => "eseg-lite-s".to_owned(),
            Size::LiteM => "eseg-lite-m".to_owned(),
            Size::LiteL => "eseg-lite-l".to_owned(),
            Size::S => "eseg-s".to_owned(),
            Size::M => "eseg-m".to_owned(),
            Size::L => "eseg-l".to_owned(),
        },
        NetworkConfig::StdcSeg(config) => match config.backbone {
            Backbone::Stdc1 => "stdc1-seg".to_owned(),
            Backbone::Stdc2 => "stdc2-seg".to_owned(),
        },
        NetworkConfig::BisenetV1(_) => "bisenet-v1".to_owned(),
        NetworkConfig::BisenetV2(config) => match (config.alpha, config.depth) {
            (1.0, 1) => "bisenet-v2".to_owned(),
            (2.0, 3) => "bisenet-v2-l".to_owned(),
            other => panic!("no name for alpha and depth {other:?}"),
        },
        NetworkConfig::Deeplabv3(config) => {
            format!("deeplabv3-{}", encoder(config.encoder, config.width, config.depth))
        }
        NetworkConfig::Deeplabv3plus(config) => {
            format!("deeplabv3plus-{}", encoder(config.encoder, config.width, config.depth))
        }
        NetworkConfig::Pspnet(config) => {
            format!("pspnet-{}", encoder(config.encoder, config.width, config.depth))
        }
        NetworkConfig::Nnunet(_) => "nnunet-2d".to_owned(),
        NetworkConfig::Unet(_) => "unet".to_owned(),
        NetworkConfig::StdcCls(_) => panic!("a classifier segments nothing"),
    }
}

#[test]
fn every_experiment_fits_its_data_set() {
    for path in recipes().into_iter().chain(ablations()) {
        let experiment = Experiment::read(&path).unwrap();
        let dataset = experiment.read_dataset(&path).unwrap();
        assert_eq!(dataset.name, experiment.dataset, "{}", path.display());
        let classes = dataset.classes.len();
        assert!(classes >= 2, "{}: {classes} classes", path.display());
        let losses = experiment.training.loss.validate_classes(classes);
        losses.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let colors = experiment.preprocessing.input == Input::Rgb;
        assert_eq!(colors, dataset.modality == "rgb", "{}", path.display());
    }
}

#[test]
fn every_network_takes_the_patches_that_it_learns_from() {
    let device = DeviceChoice::Cpu.open().device;
    let mut seen = BTreeSet::new();
    for path in recipes().into_iter().chain(ablations()) {
        let experiment = Experiment::read(&path).unwrap();
        let classes = experiment.read_dataset(&path).unwrap().classes.len();
        let channels = experiment.preprocessing.channels();
        let [height, width] = experiment.training.patch;
        let network = serde_json::to_string(&experiment.network).unwrap();
        if !seen.insert((network, channels, classes, [height, width])) {
            continue;
        }
        let network = experiment.network.init(channels, classes, &device);
        let outline = Graph::outline(network, [2, channels, height, width], Heads::All);
        let outline = outline.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(outline.costs().macs > 0, "{}", path.display());
    }
}

#[test]
fn a_recipe_is_called_after_its_data_set_and_its_network() {
    for path in recipes() {
        let experiment = Experiment::read(&path).unwrap();
        let expected = format!("{}-{}", experiment.dataset, name_of(&experiment.network));
        assert_eq!(name(&path), expected);
    }
}

#[test]
fn every_experiment_says_where_it_is_from() {
    for path in recipes().into_iter().chain(ablations()) {
        let text = std::fs::read_to_string(&path).unwrap();
        let comment: Vec<_> = text.lines().take_while(|line| line.starts_with("# ")).collect();
        assert!(!comment.is_empty(), "{} begins with no comment", path.display());
        let long = text.lines().find(|line| line.chars().count() > 140);
        assert_eq!(long, None, "{}", path.display());
    }
}

/// The settings of a file, by their keys; the network's are those of its table.
fn settings(path: &Path) -> Vec<(String, Value)> {
    let table: Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut settings = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                settings.extend(
                    inner.into_iter().map(|(inner, value)| (format!("{key}.{inner}"), value)),
                );
            }
            value => settings.push((key, value)),
        }
    }
    settings
}

/// Keys whose values differ, or which one of two files does not have.
fn differences(one: &[(String, Value)], other: &[(String, Value)]) -> BTreeSet<String> {
    let missing = |from: &[(String, Value)], setting: &(String, Value)| !from.contains(setting);
    let only = |these: &[(String, Value)], those: &[(String, Value)]| {
        these
            .iter()
            .filter(|setting| missing(those, setting))
            .map(|(key, _)| key.clone())
            .collect::<Vec<_>>()
    };
    only(one, other).into_iter().chain(only(other, one)).collect()
}

/// `cityscapes-bpnet-s3--flow-topdown` differs from `cityscapes-bpnet-s3` in `flow`, which is
/// `topdown`; a base may be an ablation itself.
#[test]
fn an_ablation_differs_from_its_base_in_the_key_that_it_is_called_after() {
    for path in ablations() {
        let (base, change) = name(&path).rsplit_once("--").expect("a name as base--key-value");
        let near = if base.contains("--") { folder().join("ablations") } else { folder() };
        let base = near.join(format!("{base}.toml"));
        let [own, base_own] = [&path, &base].map(|path| Experiment::read(path).unwrap().network);
        let [own_settings, base_settings] = [&path, &base].map(|path| settings(path));
        let mut keys = differences(&own_settings, &base_settings);
        // A network that learns by a loss of its own refuses another, one that does not needs one.
        if own.settings().has_own_loss() != base_own.settings().has_own_loss() {
            keys.remove("training.loss");
        }
        let place = path.display();
        if own.name() == base_own.name() {
            let table = format!("network.{}", own.name());
            assert_eq!(keys, BTreeSet::from([table.clone()]), "{place}");
            let inner = |settings: Vec<(String, Value)>| {
                let own = settings.into_iter().find(|(key, _)| *key == table).unwrap().1;
                let Value::Table(own) = own else { panic!("{place}: {table} is no table") };
                own.into_iter().collect::<Vec<_>>()
            };
            let own = inner(own_settings);
            let keys = differences(&own, &inner(base_settings));
            let key = keys.first().unwrap().clone();
            assert_eq!(keys.len(), 1, "{place}: {keys:?}");
            let value = own.into_iter().find(|(name, _)| *name == key).expect("a key of its own").1;
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(change, format!("{key}-{value}"), "{place}");
        } else {
            let tables = [&own, &base_own].map(|network| format!("network.{}", network.name()));
            assert_eq!(keys, BTreeSet::from(tables), "{place}");
            assert_eq!(change, format!("network-{}", name_of(&own)), "{place}");
        }
    }
}

#[test]
fn networks_for_the_hippocampus_learn_from_the_same_slices_for_as_long() {
    let budget = |path: &Path| {
        let Experiment { fold, folds, seed, training, .. } = Experiment::read(path).unwrap();
        (fold, folds, seed, training.epochs, training.iterations, training.batch_size)
    };
    let mut paths = recipes();
    paths.retain(|path| name(path).starts_with("hippocampus-"));
    assert!(paths.len() > 8, "{}", paths.len());
    for path in &paths {
        assert_eq!(budget(path), budget(&paths[0]), "{}", path.display());
    }
}

#[test]
fn the_list_has_a_line_for_each_experiment() {
    let list = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let listed: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let mut expected: Vec<_> = recipes().into_iter().chain(ablations()).collect();
    expected.sort();
    let expected: BTreeSet<&str> = expected.iter().map(|path| name(path)).collect();
    assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), expected);
    assert_eq!(listed.len(), expected.len(), "a line is there twice");
}
