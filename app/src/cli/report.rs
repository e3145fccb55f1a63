//! `lamina report`: one page of what runs were measured to reach.
//!
//! The page is made in `results`; here it is decided where things are and where it goes.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Args;
use lamina_engine::metrics::statistics::Bootstrap;
use lamina_io::atomic::write_atomically;
use serde::Serialize;

use super::output::{Outcome, Output};
use super::table::count;
use crate::report::moment;
use crate::results::{Page, Places, Results, worst};

/// Make one HTML file of runs: numbers with intervals, the worst cases, curves, settings.
///
/// The file needs no network and no other file. Several runs stand side by side, the others held
/// against the first.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run folders, folders of a cross-validation, or files of `evaluate --json`.
    #[arg(value_name = "RUN", num_args = 1.., required = true)]
    runs: Vec<PathBuf>,

    /// The page; report.html in the first run's folder unless given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The folder that holds the data set's folder, for pictures of the worst cases; LAMINA_DATA
    /// unless given.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// Masks of the cases, for their pictures; validation/ or out_of_fold/ of a run unless given.
    #[arg(long, value_name = "FOLDER")]
    masks: Option<PathBuf>,

    /// How many of the worst cases are drawn.
    #[arg(long, value_name = "N", default_value_t = 6)]
    worst: usize,

    /// Seed of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Replace a page that exists.
    #[arg(long)]
    overwrite: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    page: String,
    runs: Vec<String>,
    /// Worst cases that have no picture, with the reason.
    without_picture: Vec<(String, String)>,
}

/// Runs `lamina report`.
///
/// # Errors
/// When a run has no numbers, or the page cannot be written.
pub fn run(args: &ReportArgs, output: &Output) -> anyhow::Result<Outcome> {
    let mut runs: Vec<Results> =
        args.runs.iter().map(|path| Results::read(path)).collect::<anyhow::Result<_>>()?;
    let out = match (&args.out, &args.runs[..]) {
        (Some(out), _) => out.clone(),
        (None, [first, ..]) if first.is_dir() => first.join("report.html"),
        (None, _) => bail!("expected --out, the page to write, where the first run is a file"),
    };
    if !args.overwrite && args.out.is_some() && out.exists() {
        bail!("a file of this name is there; --overwrite replaces it: {}", out.display());
    }
    tell_apart(&mut runs);
    let places = Places {
        data: args.data.clone().or_else(|| std::env::var_os("LAMINA_DATA").map(PathBuf::from)),
        masks: args.masks.clone(),
    };
    let worst: Vec<_> = runs.iter().map(|run| worst(run, &places, args.worst)).collect();
    let without_picture: Vec<(String, String)> = worst
        .iter()
        .flatten()
        .filter_map(|overlay| Some((overlay.case.clone(), overlay.picture.as_ref().err()?.clone())))
        .collect();
    if let Some((_, reason)) = without_picture.first() {
        let cases = count(without_picture.len(), "worst case");
        output.note(format!("{cases} without a picture: {reason}"));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let page = Page {
        runs: &runs,
        worst,
        bootstrap: Bootstrap { seed: args.seed, ..Bootstrap::default() },
        made: moment(now),
    };
    let html = page.html()?;
    write_atomically(&out, |file| std::io::Write::write_all(file, html.as_bytes()))
        .context("cannot write the page")?;
    let answer = Answer {
        page: out.display().to_string(),
        runs: runs.iter().map(|run| run.name.clone()).collect(),
        without_picture,
    };
    output.result(&answer, |answer| answer.page.clone())?;
    Ok(Outcome::Done)
}

/// Numbers runs of the same name.
fn tell_apart(runs: &mut [Results]) {
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for (place, run) in runs.iter_mut().enumerate() {
        if names.iter().filter(|name| **name == run.name).count() > 1 {
            let before = names[..place].iter().filter(|name| **name == run.name).count();
            run.name = format!("{} {}", run.name, before + 1);
        }
    }
}
