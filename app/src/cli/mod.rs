//! The command line `lamina`: which commands there are, and how they end.
//!
//! Each command is a file of its own and decides nothing that the engine or io
//! could decide. What all share is here and in its neighbors: `output` for what
//! is printed, `progress` for long runs, `interrupt` for Ctrl-C, `inputs`
//! for files and folders.

mod bundles;
mod cache;
mod check_data;
mod compare;
mod convert;
mod cv;
mod environment;
mod evaluate;
mod export;
mod fingerprint;
mod forward;
mod held_out;
mod import;
mod info;
mod inputs;
mod interrupt;
mod networks;
mod output;
mod overlay;
mod plan;
mod predict;
mod progress;
mod report;
mod segments;
mod sidecar;
mod table;
mod train;
mod view;
mod volumes;

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

#[cfg(feature = "gui")]
pub(crate) use bundles::at_hand as bundles_at_hand;
#[cfg(feature = "gui")]
pub(crate) use fingerprint::rows as fingerprint_rows;
#[cfg(feature = "gui")]
pub(crate) use inputs::CaseFiles;
pub use output::Outcome;
#[cfg(feature = "gui")]
pub(crate) use output::error_line;
use output::{LogWriter, Output, Words, error_chain};
#[cfg(feature = "gui")]
pub(crate) use segments::created;
#[cfg(feature = "gui")]
pub(crate) use sidecar::{ClassVolume, Sidecar, files_sha256};
#[cfg(feature = "gui")]
pub(crate) use volumes::{Row as VolumeRow, write as write_volumes};

/// Segment medical images slice by slice, train the networks that do it, and
/// measure how well they do.
///
/// For research. Not a medical device.
#[derive(Debug, Parser)]
#[command(name = "lamina", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,

    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 done, but some cases failed; 2 could not start; \
130 stopped, the same command goes on from there (train with --resume).";

#[derive(Debug, Args)]
struct CommonArgs {
    /// Print the result as JSON on stdout; everything else goes to stderr.
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,

    /// Say nothing on the way but problems.
    #[arg(long, short, global = true, help_heading = "Output", conflicts_with = "verbose")]
    quiet: bool,

    /// Log more: -v for one line per operation, -vv for everything.
    #[arg(long, short, global = true, help_heading = "Output", action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Predict(predict::PredictArgs),
    Evaluate(evaluate::EvaluateArgs),
    Compare(compare::CompareArgs),
    Report(report::ReportArgs),
    Plan(plan::PlanArgs),
    Train(train::TrainArgs),
    Cv(cv::CvArgs),
    Info(info::InfoArgs),
    Convert(convert::ConvertArgs),
    Overlay(overlay::OverlayArgs),
    CheckData(check_data::CheckDataArgs),
    Networks(networks::NetworksArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Fingerprint(fingerprint::FingerprintArgs),
    Forward(forward::ForwardArgs),
    View(view::ViewArgs),
}

/// Runs the command line `arguments`, the program's name first, and answers how it ended.
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Outcome {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(answer) => {
            let _ = answer.print(); // a closed pipe changes nothing
            return if answer.use_stderr() { Outcome::NotStarted } else { Outcome::Done };
        }
    };
    let words = match (cli.common.quiet, cli.common.verbose) {
        (true, _) => Words::Few,
        (false, 0) => Words::Some,
        (false, _) => Words::All,
    };
    let output = Output::new(cli.common.json, words);
    start_log(&cli.common, &output);
    match dispatch(&cli.command, &output) {
        Ok(outcome) => outcome,
        Err(error) => {
            output.problem(error_chain(&error));
            Outcome::NotStarted
        }
    }
}

fn dispatch(command: &Command, output: &Output) -> anyhow::Result<Outcome> {
    match command {
        Command::Predict(args) => predict::run(args, output),
        Command::Evaluate(args) => evaluate::run(args, output),
        Command::Compare(args) => compare::run(args, output),
        Command::Report(args) => report::run(args, output),
        Command::Plan(args) => plan::run(args, output),
        Command::Train(args) => train::run(args, output),
        Command::Cv(args) => cv::run(args, output),
        Command::Info(args) => info::run(args, output),
        Command::Convert(args) => convert::run(args, output),
        Command::Overlay(args) => overlay::run(args, output),
        Command::CheckData(args) => check_data::run(args, output),
        Command::Networks(args) => networks::run(args, output),
        Command::Import(args) => import::run(args, output),
        Command::Export(args) => export::run(args, output),
        Command::Fingerprint(args) => fingerprint::run(args, output),
        Command::Forward(args) => forward::run(args, output),
        Command::View(args) => view::run(args, output),
    }
}

/// Sends log lines to stderr. `RUST_LOG` has the last word.
fn start_log(common: &CommonArgs, output: &Output) {
    let level = match (common.quiet, common.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "warn,lamina=debug,lamina_engine=debug,lamina_io=debug",
        (false, _) => "info,lamina=trace,lamina_engine=trace,lamina_io=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let bars = output.bars().clone();
    // A second call, as from tests, keeps the first log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || LogWriter(bars.clone()))
        .with_ansi(output.interactive())
        .without_time()
        .try_init();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
