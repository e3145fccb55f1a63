//! `lamina networks`: what can be trained, and what it costs.

use clap::Args;
use lamina_engine::networks::{NetworkEntry, catalogue};
use serde::Serialize;

use super::output::{Outcome, Output};
use super::table::{Align, Table};

/// List the networks that can be trained.
#[derive(Debug, Args)]
pub struct NetworksArgs {}

/// A network and what it costs.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    entry: NetworkEntry,
    /// Trainable parameters, auxiliary heads included.
    params_training: usize,
    /// Those that reach the logits.
    params_inference: usize,
    /// Height and width are padded to a multiple of this.
    size_multiple: usize,
    /// Height and width are padded to at least this.
    smallest_size: usize,
    /// Pixels of the input for each of the map that is predicted from.
    output_stride: usize,
}

impl From<NetworkEntry> for Row {
    fn from(entry: NetworkEntry) -> Self {
        let [params_training, params_inference] = entry.parameters();
        let settings = entry.config.settings();
        Self {
            params_training,
            params_inference,
            size_multiple: settings.size_multiple(),
            smallest_size: settings.smallest_size(),
            output_stride: settings.output_stride(),
            entry,
        }
    }
}

/// Runs `lamina networks`.
///
/// # Errors
/// When the list cannot be printed.
pub fn run(_args: &NetworksArgs, output: &Output) -> anyhow::Result<Outcome> {
    let rows: Vec<_> = catalogue().into_iter().map(Row::from).collect();
    output.result(&rows, |rows| human(rows))?;
    Ok(Outcome::Done)
}

fn human(rows: &[Row]) -> String {
    let mut table = Table::new([
        ("network", Align::Left),
        ("parameters, training", Align::Right),
        ("inference", Align::Right),
        ("sizes in multiples of", Align::Right),
        ("paper", Align::Left),
    ]);
    for row in rows {
        table.row([
            row.entry.name.to_string(),
            grouped(row.params_training),
            grouped(row.params_inference),
            row.size_multiple.to_string(),
            row.entry.paper.to_string(),
        ]);
    }
    table.render()
}

/// 1234567 as 1,234,567.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_threes() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
