//! `lamina view`: open the window.

use std::path::PathBuf;

use clap::Args;

use super::output::{Outcome, Output};

/// Open a window to see an image, segment it and save its labels.
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// An image or a folder with a DICOM study; label files after it are shown over it.
    pub files: Vec<PathBuf>,

    /// Labels to compare with.
    #[arg(long, value_name = "FILE", requires = "files")]
    pub reference: Option<PathBuf>,

    /// List the cases of a folder that predict wrote into, or of any folder of labels.
    #[arg(long, value_name = "FOLDER", conflicts_with = "files")]
    pub worklist: Option<PathBuf>,

    /// The images of listed cases; looked for beside their labels unless given.
    #[arg(long, value_name = "FOLDER", requires = "worklist")]
    pub images: Option<PathBuf>,

    /// The references of listed cases; looked for beside their labels unless given.
    #[arg(long, value_name = "FOLDER", requires = "worklist")]
    pub references: Option<PathBuf>,

    /// Say how fast the window is with the image, or with one made for it, and end.
    #[arg(long, hide = true)]
    pub measure: bool,
}

/// Runs `lamina view`.
///
/// # Errors
/// When there is no display, or the program was built without a window.
#[cfg(feature = "gui")]
pub fn run(args: &ViewArgs, _output: &Output) -> anyhow::Result<Outcome> {
    if args.measure && args.files.is_empty() {
        return measure();
    }
    // The current folder may differ by the time a file is opened again.
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let start = crate::gui::Start {
        paths: args.files.iter().map(absolute).collect(),
        reference: args.reference.as_ref().map(absolute),
        worklist: args.worklist.as_ref().map(|results| crate::gui::worklist::Sources {
            results: absolute(results),
            images: args.images.as_ref().map(absolute),
            references: args.references.as_ref().map(absolute),
        }),
        measure: args.measure,
    };
    let opened = std::panic::catch_unwind(|| crate::gui::run(start));
    match opened {
        Ok(Ok(())) => Ok(Outcome::Done),
        Ok(Err(error)) => {
            anyhow::bail!("cannot open a window; is there a display, and OpenGL? {error}")
        }
        Err(_) => anyhow::bail!(
            "cannot open a window: a library of the desktop is missing (on Debian: libxkbcommon0 \
             libxkbcommon-x11-0 libgl1 libx11-xcb1 libxcursor1 libxi6)"
        ),
    }
}

/// Measures with a large volume, in another process: making it takes memory, too.
#[cfg(feature = "gui")]
fn measure() -> anyhow::Result<Outcome> {
    use anyhow::Context;

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("phantom.nii.gz");
    crate::gui::measure::write_phantom(&file)?;
    let program = std::env::current_exe()?;
    let ended = std::process::Command::new(program).args(["view", "--measure"]).arg(&file).status();
    let ended = ended.context("cannot start the program again")?;
    anyhow::ensure!(ended.success(), "it ended with {ended}");
    Ok(Outcome::Done)
}

/// Runs `lamina view`.
///
/// # Errors
/// Always: the program was built without a window.
#[cfg(not(feature = "gui"))]
pub fn run(_args: &ViewArgs, _output: &Output) -> anyhow::Result<Outcome> {
    anyhow::bail!("this program was built without a window; build it with --features gui")
}
