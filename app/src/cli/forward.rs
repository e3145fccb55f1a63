//! `lamina forward`: a tensor through a model, for comparing it with another implementation.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use lamina_engine::bundle::{Manifest, Model};
use lamina_engine::device::DeviceChoice;
use lamina_engine::inference::{Wanted, answer_tensor, read_input};
use lamina_engine::networks::Heads;
use lamina_engine::weights::{NamedTensor, Storage, encode};
use lamina_io::atomic::write_atomically;
use serde::Serialize;

use super::bundles::is_part;
use super::output::{Outcome, Output};
use super::table::{Align, Table, count};

/// Give a model a tensor and write what it answers.
#[derive(Debug, Args)]
pub struct ForwardArgs {
    /// The model's folder.
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,

    /// A .safetensors file with the tensor `input`: batch, channels, height, width.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,

    /// The .safetensors file to write, replaced where it is there already: `logits`, and the other
    /// outputs of the network by the names of its reference.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Compute the heads too that only training looks at.
    #[arg(long)]
    training_heads: bool,

    /// Write what each part of the network answers too, as `tap/PART`.
    #[arg(long)]
    taps: bool,

    /// Answer with the inference graph: the same forward with batch norms folded into the
    /// convolutions, on the CPU. It gives `logits` alone.
    #[arg(long, conflicts_with_all = ["training_heads", "taps", "device"])]
    inference_graph: bool,

    /// auto, cpu, cuda[:N] or wgpu[:N].
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    output: String,
    device: String,
    /// Seconds of the forward and of fetching its answers.
    seconds: f64,
    /// The height and width to which the input was padded with zeros, where it was.
    padded: Option<[usize; 2]>,
    tensors: BTreeMap<String, Facts>,
}

/// A tensor that was written.
#[derive(Debug, Serialize)]
struct Facts {
    shape: Vec<usize>,
    /// The largest magnitude; absent where a value is no number.
    abs_max: Option<f32>,
}

impl From<&NamedTensor> for Facts {
    fn from(tensor: &NamedTensor) -> Self {
        let largest = tensor.values.iter().fold(0.0_f32, |largest, value| {
            if value.is_nan() { f32::INFINITY } else { largest.max(value.abs()) }
        });
        Self { shape: tensor.shape.clone(), abs_max: largest.is_finite().then_some(largest) }
    }
}

/// Runs `lamina forward`.
///
/// # Errors
/// When the bundle or the input cannot be used, or the output cannot be written.
pub fn run(args: &ForwardArgs, output: &Output) -> anyhow::Result<Outcome> {
    check_output(args)?;
    let manifest = Manifest::read(&args.bundle).context("cannot use this model")?;
    let input = read_input(&args.input, &manifest).context("cannot use --input")?;
    let choice = if args.inference_graph { DeviceChoice::Cpu } else { args.device };
    let device = choice.open();
    if let Some(notice) = &device.notice {
        output.note(notice);
    }
    let model = Model::load(&args.bundle, &device).context("cannot use this model")?;

    let heads = if args.training_heads { Heads::All } else { Heads::Main };
    let started = Instant::now();
    let wanted = Wanted { heads, taps: args.taps, folded: args.inference_graph };
    let answers = answer_tensor(&model, input, wanted)?;
    let seconds = started.elapsed().as_secs_f64();
    if let Some([height, width]) = answers.padded {
        output.note(format!(
            "the network takes multiples of {}: the input was padded with zeros to {height} x \
             {width}, and what has its size was cut back",
            manifest.network.size_multiple()
        ));
    }
    let tensors: BTreeMap<String, Facts> =
        answers.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.into())).collect();
    let bytes = encode(answers.tensors, Storage::F32, BTreeMap::new());
    write_atomically(&args.output, |file| file.write_all(&bytes))?;
    let overflown = tensors.values().filter(|facts| facts.abs_max.is_none()).count();
    if overflown > 0 {
        output.note(format!("{} with values that are no numbers", count(overflown, "tensor")));
    }
    let report = Report {
        output: args.output.display().to_string(),
        device: device.name,
        seconds,
        padded: answers.padded,
        tensors,
    };
    output.result(&report, human)?;
    Ok(Outcome::Done)
}

/// Nothing that is read is written over.
fn check_output(args: &ForwardArgs) -> anyhow::Result<()> {
    let path = &args.output;
    let same = |one: &Path, other: &Path| match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    };
    if same(path, &args.input) || is_part(path, &args.bundle) {
        bail!(
            "the output would overwrite a file that is read; choose another --output: {}",
            path.display()
        );
    }
    Ok(())
}

fn human(report: &Report) -> String {
    let mut table = Table::new([
        ("tensor", Align::Left),
        ("shape", Align::Left),
        ("largest magnitude", Align::Right),
    ]);
    for (name, Facts { shape, abs_max }) in &report.tensors {
        let largest = abs_max.map_or_else(|| "–".to_owned(), |largest| format!("{largest:.4}"));
        table.row([name.clone(), format!("{shape:?}"), largest]);
    }
    format!("{}\noutput  {} ({:.2} s)\n", table.render(), report.output, report.seconds)
}
