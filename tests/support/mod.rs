//! A folder of one's own, the program to run in it, and what is steady of its answers.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use lamina_engine::device::DeviceChoice;
use lamina_engine::networks::NetworkConfig;
use lamina_engine::networks::bpnet::BpnetConfig;
use lamina_engine::networks::stdc::StdcClsConfig;
use lamina_engine::networks::unet::UnetConfig;
use lamina_engine::synthetic_weights::fill;
use lamina_engine::weights::{Storage, encode_weights};
use lamina_io::{LabelVolume, Volume, synthetic, write_labels, write_volume};
use tempfile::TempDir;

/// A temporary folder in which commands run; gone with its last use.
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `contents` to `name`, making its folder.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// An image of a bright ellipsoid.
    pub fn image(&self, name: &str, volume: &Volume) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        write_volume(&self.path(name), volume).unwrap();
    }

    /// A label volume.
    pub fn labels(&self, name: &str, labels: &LabelVolume) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        write_labels(&self.path(name), labels).unwrap();
    }

    /// The names in a folder, sorted.
    pub fn list(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs `lamina` with the words of `arguments` in this folder.
    pub fn lamina(&self, arguments: &str) -> Run {
        let output = self.command(arguments).output().unwrap();
        Run {
            arguments: arguments.to_owned(),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts `lamina` and does not wait.
    pub fn start(&self, arguments: &str) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lamina"));
        command.args(arguments.split_whitespace()).current_dir(self.folder.path());
        for variable in ["RUST_LOG", "LAMINA_DATA", "LAMINA_MODELS", "COLUMNS"] {
            command.env_remove(variable);
        }
        command.env("LAMINA_CACHE", ".cache");
        // The models of the sandbox, not that of the program.
        if self.path("models").is_dir() {
            command.env("LAMINA_MODELS", "models");
        }
        command
    }
}

/// What a command answered. Shown, it is a transcript.
pub struct Run {
    arguments: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is no JSON: {error}\n{self}"))
    }

    /// Panics with the transcript where the exit code is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n{self}");
        self
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ lamina {}", self.arguments)?;
        match self.code {
            Some(code) => writeln!(f, "exit code {code}")?,
            None => writeln!(f, "ended by a signal")?,
        }
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "--- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

/// Compares a transcript with what is written down, seconds and hashes apart.
#[macro_export]
macro_rules! transcript {
    ($run:expr, @$expected:literal) => {
        insta::with_settings!({filters => $crate::support::FILTERS.to_vec()}, {
            insta::assert_snapshot!($run.to_string(), @$expected);
        });
    };
}

/// What differs from run to run and machine to machine.
pub const FILTERS: [(&str, &str); 3] = [
    (r"\d+\.\d+ s\b", "[time]"),
    (r"(?m)( +\d+\.\d\d){5}$", "  [seconds per stage]"),
    (r"[0-9a-f]{64}", "[sha256]"),
];

/// A bright ellipsoid of about 0.5 ml at `center`, and its labels; spacing unequal on each axis.
pub fn ellipsoid(center: [f64; 3]) -> (Volume, LabelVolume) {
    synthetic::ellipsoid([6, 24, 20], [1.0, 1.2, 3.0], center, [5.0, 6.0, 5.0]).unwrap()
}

/// Splits an ellipsoid into two classes: 1 in its upper rows, 2 below.
pub fn two_classes(mut labels: LabelVolume) -> LabelVolume {
    let middle = labels.shape()[1] / 2;
    for ((_, row, _), label) in labels.labels.indexed_iter_mut() {
        if *label == 1 && row >= middle {
            *label = 2;
        }
    }
    labels
}

/// A data set of six ellipsoids and an experiment that learns them in seconds.
pub fn write_tiny_experiment(sandbox: &Sandbox) {
    for case in 0..6 {
        let shift = f64::from(case);
        let (volume, labels) = ellipsoid([8.0 + shift, 10.0 + shift, 2.5]);
        sandbox.image(&format!("data/tiny/images/case_{case}.nii.gz"), &volume);
        sandbox.labels(&format!("data/tiny/labels/case_{case}.nii.gz"), &labels);
    }
    sandbox.write("configs/datasets/tiny.toml", include_str!("tiny_dataset.toml"));
    sandbox.write("configs/experiments/tiny-unet.toml", include_str!("tiny_unet.toml"));
}

/// A model that knows ellipsoids, trained once for all tests; copied to `models/tiny`.
pub fn write_tiny_model(sandbox: &Sandbox) {
    static TRAINED: OnceLock<Sandbox> = OnceLock::new();
    let trained = TRAINED.get_or_init(|| {
        let sandbox = Sandbox::new();
        write_tiny_experiment(&sandbox);
        sandbox
            .lamina("train --config configs/experiments/tiny-unet.toml --data data --out run --device cpu")
            .exits(0);
        sandbox
    });
    copy_folder(&trained.path("run/bundle"), &sandbox.path("models/tiny"));
}

/// Weights of a small U-Net, by their names.
pub fn synthetic_unet(channels: usize, classes: usize) -> Vec<u8> {
    synthetic(&NetworkConfig::Unet(UnetConfig { base_channels: 2, depth: 2 }), channels, classes)
}

/// Weights of a narrow BPNet of five classes, by their names.
pub fn synthetic_bpnet() -> Vec<u8> {
    synthetic(&NetworkConfig::Bpnet(BpnetConfig { width: 4, ..BpnetConfig::default() }), 3, 5)
}

/// Weights of a narrow network that labels whole images, by their names.
pub fn synthetic_classifier() -> Vec<u8> {
    let config = StdcClsConfig { base_channels: 4, ..StdcClsConfig::default() };
    synthetic(&NetworkConfig::StdcCls(config), 3, 1000)
}

fn synthetic(config: &NetworkConfig, channels: usize, classes: usize) -> Vec<u8> {
    let device = DeviceChoice::Cpu.open().device;
    let names = config.name_map();
    let network = fill(config.init(channels, classes, &device), &names, 1.0);
    encode_weights(&network, &names, Storage::F32)
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The folder of the larger data, or a word about the test that is skipped without it.
pub fn larger_data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("LAMINA_DATA").map(PathBuf::from);
    if folder.is_none() {
        // Written past the capture of the test runner, which hides what passing tests print.
        let word =
            format!("skipped: {test} needs LAMINA_DATA, the folder of the larger test data\n");
        let _ = std::io::stderr().write_all(word.as_bytes());
    }
    folder
}
