//! `lamina overlay`: labels drawn over their image.
//!
//! The drawing is `lamina_io::Painting`'s; here it is decided what is drawn on what.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use lamina_io::dataset::DatasetConfig;
use lamina_io::{
    LabelVolume, Overlay, Painting, ReadOptions, VolumeError, files_of, read_labels, read_volume,
};
use serde::Serialize;

use super::output::{Outcome, Output};

/// Draw a mask over its image: a PNG of one slice, or a TIFF with a page for each.
///
/// Slices lie as they are stored. Label 0 is not drawn, unless the description has another name for
/// it than "background".
#[derive(Debug, Args)]
pub struct OverlayArgs {
    /// The image: a volume, a picture, or a folder of DICOM files.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// The mask, on the image's grid.
    #[arg(value_name = "MASK")]
    mask: PathBuf,

    /// The picture to write: .png or .tif.
    #[arg(value_name = "OUT")]
    out: PathBuf,

    /// This slice alone, from 0.
    #[arg(long, value_name = "N")]
    slice: Option<usize>,

    /// What the mask's colors count against the image, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = opacity)]
    opacity: f64,

    /// Draw the borders of classes alone.
    #[arg(long)]
    contour: bool,

    /// Data set description whose classes have the colors; those of PASCAL VOC unless given.
    #[arg(long, value_name = "CONFIG")]
    colors: Option<PathBuf>,

    /// Replace a file that exists.
    #[arg(long)]
    overwrite: bool,
}

fn opacity(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(opacity) if (0.0..=1.0).contains(&opacity) => Ok(opacity),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    output: String,
    slices: usize,
}

/// Runs `lamina overlay`.
///
/// # Errors
/// When the image or the mask cannot be read, they do not fit, or the picture cannot be written.
pub fn run(args: &OverlayArgs, output: &Output) -> anyhow::Result<Outcome> {
    let there = args.out.canonicalize().ok();
    let mut sources = files_of(&args.image).into_iter().chain(files_of(&args.mask));
    if there.is_some() && sources.any(|source| source.canonicalize().ok() == there) {
        bail!("the output would overwrite a file that is read: {}", args.out.display());
    }
    if there.is_some() && !args.overwrite {
        bail!("a file of this name is there; --overwrite replaces it: {}", args.out.display());
    }
    let config = args.colors.as_deref().map(DatasetConfig::read).transpose()?;
    let classes = config.map(|config| config.classes).unwrap_or_default();
    let colors: Vec<[u8; 3]> = classes.iter().map(|class| class.color).collect();
    let all_labels = classes.first().is_some_and(|class| class.name != "background");
    let labels = read_labels(&args.mask, &ReadOptions::default())?;
    let mut painting = painting(args, &labels)?;
    if painting.shape() != labels.shape() {
        let ([_, y, x], [_, j, i]) = (painting.shape(), labels.shape());
        bail!("expected a mask of {x} × {y} pixels, found {i} × {j}: {}", args.mask.display());
    }
    let (opacity, contour) = (args.opacity, args.contour);
    painting.draw(&labels, &colors, Overlay { opacity, all_labels, contour });
    if let Some(slice) = args.slice {
        let slices = painting.shape()[0];
        painting = painting
            .page(slice)
            .with_context(|| format!("expected a slice from 0 to {}, found {slice}", slices - 1))?;
    }
    painting.write(&args.out)?;
    let answer = Answer { output: args.out.display().to_string(), slices: painting.shape()[0] };
    output.result(&answer, |answer| match answer.slices {
        1 => answer.output.clone(),
        slices => format!("{}: {slices} slices", answer.output),
    })?;
    Ok(Outcome::Done)
}

/// The image in gray, or a picture in its colors.
fn painting(args: &OverlayArgs, labels: &LabelVolume) -> anyhow::Result<Painting> {
    let options = ReadOptions::default();
    match read_volume(&args.image, &options) {
        Ok(volume) => {
            volume.geometry.same_grid(&labels.geometry).with_context(|| {
                format!("the mask lies on another grid than its image: {}", args.mask.display())
            })?;
            Ok(Painting::of_volume(&volume))
        }
        Err(VolumeError::DataType { .. }) => Ok(Painting::of_picture(&args.image, &options)?),
        Err(error) => Err(error.into()),
    }
}
