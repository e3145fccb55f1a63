//! `lamina networks`: what can be trained, and what it costs.

use clap::Args;
use lamina_engine::networks::{NetworkEntry, catalogue};

use super::output::{Outcome, Output};
use super::table::{Align, Table};

/// List the networks that can be trained.
#[derive(Debug, Args)]
pub struct NetworksArgs {}

/// Runs `lamina networks`.
///
/// # Errors
/// When the list cannot be printed.
pub fn run(_args: &NetworksArgs, output: &Output) -> anyhow::Result<Outcome> {
    output.result(&catalogue(), |entries| human(entries))?;
    Ok(Outcome::Done)
}

fn human(entries: &[NetworkEntry]) -> String {
    let mut table = Table::new([
        ("network", Align::Left),
        ("parameters, training", Align::Right),
        ("inference", Align::Right),
        ("sizes in multiples of", Align::Right),
        ("paper", Align::Left),
    ]);
    for entry in entries {
        table.row([
            entry.name.to_string(),
            grouped(entry.params_training),
            grouped(entry.params_inference),
            entry.size_multiple.to_string(),
            entry.paper.to_string(),
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
