//! What experiments refuse.

use super::*;

/// Reads an experiment whose file holds `text`.
fn read(text: &str) -> Result<Experiment, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny-unet.toml");
    std::fs::write(&path, text).unwrap();
    Experiment::read(&path).map_err(|error| {
        let message = error.to_string();
        let path = path.display().to_string();
        assert!(message.ends_with(&path), "the path is last: {message}");
        message.replace(&path, "FILE")
    })
}

#[test]
fn a_misspelled_key_is_refused_with_its_place() {
    let message = read("dataset = \"tiny\"\n[network.unet]\ndepth = 4\nbase_chanels = 32\n");
    let message = message.unwrap_err();
    assert!(message.contains("line 4, column 1"), "{message}");
    assert!(message.contains("unknown field `base_chanels`"), "{message}");
    for text in [
        "dataset = \"tiny\"\nsed = 1\n[network.unet]\n",
        "dataset = \"tiny\"\n[network.unett]\n",
        "dataset = \"tiny\"\n[network.unet]\n[training]\nlearning-rate = 1\n",
        "dataset = \"tiny\"\n[network.unet]\n[preprocessing]\nplane = \"oblique\"\n",
        "dataset = \"tiny\"\n[network.unet]\n[augmentation]\nflip = 0.5\n",
        "dataset = \"tiny\"\n[network.unet]\n[inference]\nbatch = 3\n",
        "dataset = \"tiny\"\n[network.unet]\n[training.schedule.poly]\npwer = 3.0\n",
    ] {
        let message = read(text).unwrap_err();
        assert!(message.contains(" at line "), "{text}: {message}");
        let refused = message.contains("unknown ") || message.contains("unexpected keys");
        assert!(refused, "{text}: {message}");
    }
    assert!(read("[network.unet]\n").unwrap_err().contains("missing field `dataset`"));
    assert!(read("dataset = \"tiny\"\n").unwrap_err().contains("missing field `network`"));
}

#[test]
fn a_value_that_cannot_work_is_refused_with_its_key() {
    let with = |table: &str, line: &str| {
        let network = if table == "network.unet" { "" } else { "[network.unet]\n" };
        let (top, table) = if table.is_empty() {
            (format!("{line}\n"), String::new())
        } else {
            (String::new(), format!("[{table}]\n{line}\n"))
        };
        read(&format!("dataset = \"tiny\"\n{top}{network}{table}"))
    };
    for (table, line, expected) in [
        ("", "folds = 1", "folds = 1: expected at least 2 folds"),
        ("network.unet", "depth = 1", "network.unet.depth = 1: expected 2 to 8 levels"),
        (
            "network.unet",
            "base_channels = 0",
            "network.unet.base_channels = 0: expected 1 to 1024 channels",
        ),
        (
            "network.unet",
            "base_channels = 1024",
            "network.unet.base_channels = 1024: expected a last level of at most 8192 channels \
             at depth 5",
        ),
        ("training", "epochs = 0", "training.epochs = 0: expected at least 1"),
        ("training", "batch_size = 0", "training.batch_size = 0: expected at least 1"),
        (
            "training",
            "patch = [64, 40]",
            "training.patch = [64, 40]: expected multiples of 16 from 16 to 4096, as the network needs",
        ),
        ("training", "learning_rate = -1.0", "training.learning_rate = -1: expected 0 to 100"),
        ("training", "learning_rate = nan", "training.learning_rate = NaN: expected 0 to 100"),
        ("training", "momentum = 1.0", "training.momentum = 1: expected 0 to 0.9999"),
        ("augmentation", "flip_x = 2.0", "augmentation.flip_x = 2: expected 0 to 1"),
        ("augmentation", "noise = inf", "augmentation.noise = inf: expected 0 to 100"),
        (
            "preprocessing",
            "neighbors = 9",
            "preprocessing.neighbors = 9: expected 0 to 8 neighbors on either side",
        ),
        (
            "preprocessing",
            "spacing_mm = [1.0, 0.0]",
            "preprocessing.spacing_mm = [1.0, 0.0]: expected two spacings between 0.01 and 100 mm",
        ),
        (
            "preprocessing.normalization.percentile",
            "lower = 60.0\nupper = 40.0",
            "preprocessing.normalization.percentile = 60, 40: expected 0 <= lower < upper <= 100",
        ),
        (
            "inference",
            "mirror_axes = [\"x\", \"x\"]",
            "inference.mirror_axes = [x, x]: expected each axis once at most",
        ),
        (
            "training.schedule.poly",
            "power = nan",
            "training.schedule.poly.power = NaN: expected 0 to 10",
        ),
    ] {
        assert_eq!(with(table, line).unwrap_err(), format!("{expected}: FILE"));
    }
    assert!(with("training", "epochs = 1").is_ok());
}
