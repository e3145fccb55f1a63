//! `lamina predict`: one mask per scan.
//!
//! Plans all output files before the first is written, loads the model once, and
//! then takes case after case. The segmentation itself is `lamina_engine::inference`.

mod cases;
mod pages;
mod passes;
mod plan;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use lamina_engine::device::DeviceChoice;
use lamina_engine::ensemble::Ensemble;
use lamina_engine::inference::{InferenceConfig, LargestComponent, UncertaintyMap};
use lamina_io::SegmentationKind;
use lamina_io::dataset::LabelValues;

use super::bundles;
use super::inputs::{SeriesArgs, expand};
use super::interrupt::Interrupt;
use super::output::{Outcome, Output};
use super::progress::Progress;
use super::segments;
use super::table::count;
use super::volumes;
use cases::Run;
use passes::PassesArgs;
pub(super) use plan::mask_name;
use plan::plan;
use report::human;

/// Segment scans: one mask per file, on the grid of the file.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct PredictArgs {
    /// Scans, folders of them, or folders of DICOM files.
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,

    /// Where masks and their records go; made where it is missing.
    #[arg(long, short, value_name = "FOLDER")]
    out: PathBuf,

    /// nii, nii.gz, mha, mhd, nrrd, nhdr, png, tif, or of DICOM series dicom-seg or
    /// dicom-labelmap; the format of each scan, nii.gz for DICOM, unless given.
    #[arg(long, value_name = "ENDING", hide_possible_values = true)]
    format: Option<MaskFormat>,

    /// Names, colors and codes of the segments of a DICOM segmentation: JSON as dcmqi takes it;
    /// those of the model's classes unless given.
    #[arg(long, value_name = "JSON", requires = "format")]
    segments: Option<PathBuf>,

    /// The model, or an ensemble; given several times, the mean of their probabilities. The bundled
    /// one unless given.
    #[arg(long, value_name = "FOLDER")]
    model: Vec<PathBuf>,

    /// auto, cpu, cuda[:N] or wgpu[:N].
    #[arg(long, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,

    /// Which volume of a scan that holds several, from 0.
    #[arg(long, value_name = "N")]
    volume: Option<usize>,

    #[command(flatten)]
    series: SeriesArgs,

    /// Reference masks to score against: a folder, or a file for a single input.
    #[arg(long, value_name = "PATH")]
    reference: Option<PathBuf>,

    /// Write how much of each class was found in each case to this table too (.csv or .json).
    #[arg(long, value_name = "FILE")]
    volumes: Option<PathBuf>,

    /// Write the values that the model's data set has for its classes, not their places in its
    /// list: Cityscapes' ids. References have them too.
    #[arg(long)]
    values: bool,

    /// Draw a picture per case too: slices with outlines.
    #[arg(long)]
    montage: bool,

    /// Write a page per case too (.html): volumes, outlines, how sure the model was, and the model.
    #[arg(long)]
    report: bool,

    /// Write how uncertain each voxel is too, CASE_uncertainty beside the mask, 0 to 255: entropy of
    /// the mean probabilities, or mutual-information, the part of it that comes from models that
    /// disagree. Slices are listed in the record.
    #[arg(
        long,
        value_name = "KIND",
        num_args = 0..=1,
        default_missing_value = "entropy",
        require_equals = true,
        hide_possible_values = true
    )]
    uncertainty: Option<Uncertainty>,

    /// Make masks again that exist already.
    #[arg(long)]
    overwrite: bool,

    /// Keep only the largest component of each class; as the model says unless given.
    #[arg(long, value_name = "on|off", hide_possible_values = true)]
    largest_component: Option<Switch>,

    /// Slices that are computed at once; changes time and memory, not the result.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,

    #[command(flatten)]
    passes: PassesArgs,
}

/// What a mask's name ends in, which is its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MaskFormat {
    #[value(name = "nii")]
    Nifti,
    #[value(name = "nii.gz")]
    NiftiGzip,
    #[value(name = "mha")]
    MetaImage,
    #[value(name = "mhd")]
    MetaImagePair,
    #[value(name = "nrrd")]
    Nrrd,
    #[value(name = "nhdr")]
    NrrdPair,
    #[value(name = "png")]
    Png,
    #[value(name = "tif")]
    Tiff,
    #[value(name = "dicom-seg")]
    DicomSeg,
    #[value(name = "dicom-labelmap")]
    DicomLabelmap,
}

impl MaskFormat {
    fn ending(self) -> &'static str {
        match self {
            Self::Nifti => "nii",
            Self::NiftiGzip => "nii.gz",
            Self::MetaImage => "mha",
            Self::MetaImagePair => "mhd",
            Self::Nrrd => "nrrd",
            Self::NrrdPair => "nhdr",
            Self::Png => "png",
            Self::Tiff => "tif",
            Self::DicomSeg | Self::DicomLabelmap => "dcm",
        }
    }

    /// How labels are stored, in a segmentation of DICOM.
    fn segmentation(self) -> Option<SegmentationKind> {
        match self {
            Self::DicomSeg => Some(SegmentationKind::Binary),
            Self::DicomLabelmap => Some(SegmentationKind::Labelmap),
            _ => None,
        }
    }
}

/// What is written of each voxel beside the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Uncertainty {
    Entropy,
    MutualInformation,
}

impl Uncertainty {
    fn map(self) -> UncertaintyMap {
        match self {
            Self::Entropy => UncertaintyMap::Entropy,
            Self::MutualInformation => UncertaintyMap::MutualInformation,
        }
    }

    /// As the record says it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Entropy => "entropy",
            Self::MutualInformation => "mutual_information",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Runs `lamina predict`.
///
/// # Errors
/// When nothing can be started: no input, no model, no place for the masks, or
/// masks that would overwrite each other or an input.
pub fn run(args: &PredictArgs, output: &Output) -> anyhow::Result<Outcome> {
    if args.values
        && let Some(MaskFormat::DicomSeg | MaskFormat::DicomLabelmap) = args.format
    {
        bail!("--values is for label files; DICOM segmentations number their segments");
    }
    let inputs = expand(&args.inputs)?;
    let jobs = plan(&inputs, args)?;
    if let Some(path) = &args.volumes {
        volumes::check_name(path)?;
        if let Some(job) = jobs.iter().find(|job| job.sidecar == *path) {
            bail!("the table would overwrite the record of {}: {}", job.case, path.display());
        }
    }
    for input in inputs.iter().filter(|input| input.case != input.name) {
        let path = input.path.display();
        output.note(format!(
            "the name of a case would tell who the patient is, so it is called {}: {path}",
            input.case
        ));
    }
    if args.reference.is_some() {
        for job in jobs.iter().filter(|job| job.reference.is_none()) {
            output.note(format!("no reference for {}: it is not scored", job.case));
        }
    }
    let bundle = bundles::choose(&args.model)?;
    for (_, manifest) in &bundle.described.members {
        manifest.check_takes_volumes().context("cannot use this model")?;
    }
    let members = bundle.described.members.len();
    if args.uncertainty == Some(Uncertainty::MutualInformation) && members == 1 {
        bail!("expected several models for --uncertainty=mutual-information, found one");
    }
    let device = args.device.open();
    if let Some(notice) = &device.notice {
        output.note(notice);
    }
    let mut model = Ensemble::load(&bundle.described, &device).context("cannot use this model")?;
    model.configure(|inference| configure(inference, args))?;
    let segmentation = match args.format.and_then(MaskFormat::segmentation) {
        Some(kind) => Some(segments::of_model(&model.manifest, kind, args.segments.as_deref())?),
        None if args.segments.is_some() => {
            bail!("--segments describes DICOM segmentations; ask for one with --format dicom-seg")
        }
        None => None,
    };
    let values = if args.values {
        LabelValues::of(&model.manifest.classes, &[])
            .context("cannot write the values of this model's data set (--values)")?
    } else {
        None
    };
    prepare_folder(&args.out)?;
    let which = match (members, bundle.named) {
        (1, true) => "model".to_owned(),
        (1, false) => "bundled model".to_owned(),
        (members, _) => format!("{members} models,"),
    };
    let (name, place) = (&model.manifest.name, bundle.place());
    output.note(format!(
        "{which} {name} on {}, {}: {place}",
        device.name,
        count(jobs.len(), "case")
    ));

    let run = Run {
        args,
        output,
        classes: foreground(&model),
        segmentation,
        values,
        model,
        device: device.name.clone(),
        bundle,
        progress: Progress::new(output, Interrupt::listen()?),
    };
    let (prediction, interrupted) = run.all(&jobs);
    if let Some(path) = &args.volumes {
        volumes::write(path, &run.volume_rows(&prediction))?;
    }
    output.result(&prediction, human)?;
    if interrupted {
        output.note("stopped; the same command goes on from here");
        return Ok(Outcome::Interrupted);
    }
    let failed = prediction.cases.iter().any(|case| case.error.is_some());
    Ok(if failed { Outcome::SomeFailed } else { Outcome::Done })
}

/// Changes how a model is used where the user asks for it.
fn configure(inference: &mut InferenceConfig, args: &PredictArgs) {
    match args.largest_component {
        Some(Switch::On) => inference.largest_component = LargestComponent::EachClass,
        Some(Switch::Off) => inference.largest_component = LargestComponent::Off,
        None => {}
    }
    if let Some(batch) = args.batch {
        inference.batch_size = batch.into();
    }
    args.passes.configure(inference);
}

/// One class that the model tells apart from the background.
#[derive(Debug, Clone)]
struct ModelClass {
    label: u8,
    name: String,
    color: [u8; 3],
}

/// The classes of a model but the background; a label is a class's place in the list.
fn foreground(model: &Ensemble) -> Vec<ModelClass> {
    let class = |(label, class): (u8, &lamina_io::dataset::Class)| ModelClass {
        label,
        name: class.name.clone(),
        color: class.color,
    };
    (0..).zip(&model.manifest.classes).skip(1).map(class).collect()
}

/// Makes the folder and finds out now whether files can be made in it.
fn prepare_folder(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() && !folder.is_dir() {
        bail!("expected a folder for --out, found a file: {}", folder.display());
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the output folder: {}", folder.display()))?;
    tempfile::tempfile_in(folder)
        .with_context(|| format!("cannot write into the output folder: {}", folder.display()))?;
    Ok(())
}
