//! What the program says: results on stdout, everything else on stderr.
//!
//! The only file that writes to the terminal. With `--json` stdout holds one
//! JSON document and nothing else. A reader that closes the pipe early, such as
//! `head`, ends the output and not the work.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;

/// How the program ended; each is an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// Done, but some cases failed.
    SomeFailed,
    /// Nothing could be started.
    NotStarted,
    /// Stopped by the user; the same command goes on from here.
    Interrupted,
}

impl Outcome {
    /// The exit code, as documented in `lamina --help`.
    pub fn code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::SomeFailed => 1,
            Outcome::NotStarted => 2,
            Outcome::Interrupted => 130,
        }
    }
}

/// How much is said on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// Problems alone.
    Few,
    /// Notes too.
    Some,
    /// Lists are whole.
    All,
}

/// Where results, notes and progress go.
#[derive(Debug, Clone)]
pub struct Output {
    json: bool,
    words: Words,
    interactive: bool,
    bars: MultiProgress,
}

impl Output {
    /// Looks at the terminal once.
    pub fn new(json: bool, words: Words) -> Self {
        let interactive = io::stderr().is_terminal() && words != Words::Few;
        let target =
            if interactive { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { json, words, interactive, bars: MultiProgress::with_draw_target(target) }
    }

    /// Whether the result is wanted as JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether lists are wanted whole.
    pub fn verbose(&self) -> bool {
        self.words == Words::All
    }

    /// Whether someone sees bars move; otherwise progress is plain lines.
    pub fn interactive(&self) -> bool {
        self.interactive
    }

    /// The bars that share the terminal with the notes.
    pub fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Prints the result: `value` with `--json`, else what `human` makes of it.
    ///
    /// # Errors
    /// When stdout cannot be written, other than because its reader has left.
    pub fn result<T: Serialize>(
        &self,
        value: &T,
        human: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let mut text = if self.json {
            serde_json::to_string_pretty(value).context("the result is no valid JSON")?
        } else {
            human(value)
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let written = self.bars.suspend(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        });
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.context("cannot write to standard output"),
        }
    }

    /// Says something on the way; `--quiet` keeps it back.
    pub fn note(&self, text: impl AsRef<str>) {
        if self.words != Words::Few {
            self.say(text.as_ref());
        }
    }

    /// Says what went wrong, `--quiet` or not.
    pub fn problem(&self, text: impl AsRef<str>) {
        self.say(text.as_ref());
    }

    fn say(&self, text: &str) {
        // Nobody is left to be told when stderr cannot be written.
        let _ = self.bars.suspend(|| writeln!(io::stderr().lock(), "{text}"));
    }
}

/// The error and what caused it, one line each.
pub fn error_chain(error: &anyhow::Error) -> String {
    let mut text = String::from("error: ");
    for (depth, message) in distinct_messages(error.chain()).into_iter().enumerate() {
        if depth > 0 {
            text.push_str("\n  caused by: ");
        }
        let _ = write!(text, "{message}");
    }
    text
}

/// The error and what caused it in one line, for tables and JSON.
pub fn error_line(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    distinct_messages(chain).join(": ")
}

/// The messages of a chain, without those that only repeat the one above.
fn distinct_messages<'a>(
    chain: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>,
) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    for message in chain.map(ToString::to_string) {
        if !messages.last().is_some_and(|above| above.contains(&message)) {
            messages.push(message);
        }
    }
    messages
}

/// Lets log lines and progress bars share stderr.
#[derive(Debug, Clone)]
pub struct LogWriter(pub MultiProgress);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open a.nii")]
    struct CannotOpen(#[source] io::Error);

    #[test]
    fn a_chain_names_each_cause_once() {
        let error =
            anyhow::Error::new(CannotOpen(io::Error::other("disk is gone"))).context("no model");
        assert_eq!(
            error_chain(&error),
            "error: no model\n  caused by: cannot open a.nii\n  caused by: disk is gone"
        );
        let error = CannotOpen(io::Error::other("disk is gone"));
        assert_eq!(error_line(&error), "cannot open a.nii: disk is gone");
        let twice = anyhow::anyhow!("the same").context("the same");
        assert_eq!(error_chain(&twice), "error: the same");
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let outcomes =
            [Outcome::Done, Outcome::SomeFailed, Outcome::NotStarted, Outcome::Interrupted];
        assert_eq!(outcomes.map(Outcome::code), [0, 1, 2, 130]);
    }
}
