//! The file of a plan: every key, with its reason above it.

use super::{Planned, Reason};

/// Columns of a comment at most.
const WIDTH: usize = 100;

impl Planned {
    /// The experiment as TOML, with reasons as comments.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut table = String::new();
        for line in self.experiment.to_toml().lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                name.clone_into(&mut table);
                text += line;
                text.push('\n');
                self.comments(&table, &mut text);
                continue;
            }
            if let Some((key, _)) = line.split_once(" = ") {
                let path = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
                self.comments(&path, &mut text);
            }
            text += line;
            text.push('\n');
        }
        text
    }

    fn comments(&self, key: &str, text: &mut String) {
        for Reason { because, .. } in self.reasons.iter().filter(|reason| reason.key == key) {
            let mut line = "#".to_owned();
            for word in because.split(' ') {
                if line.chars().count() + 1 + word.chars().count() > WIDTH {
                    *text += &(std::mem::replace(&mut line, "#".to_owned()) + "\n");
                }
                line.push(' ');
                line += word;
            }
            *text += &(line + "\n");
        }
    }
}
