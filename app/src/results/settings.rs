//! How a run was done, as its folder tells: settings, machine, commands.

use std::path::Path;

use serde_json::Value;

use super::names::without_absolute;
use crate::report::moment;

/// How a run was done. Nothing of it names a folder of a machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The experiment as it was resolved.
    pub experiment: Option<String>,
    /// The description of the data set.
    pub dataset: Option<String>,
    /// Program, machine and time, by name.
    pub environment: Vec<(String, String)>,
    /// What was typed, and what to type to repeat it.
    pub commands: Vec<String>,
}

impl Settings {
    /// Reads `config.toml`, `dataset.toml` and `environment.json` of a folder, as far as they are there.
    pub fn read(folder: &Path, trained: bool, name: &str) -> Self {
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
        let mut settings = Self {
            experiment: text("config.toml").map(|text| without_absolute(&text)),
            dataset: text("dataset.toml").map(|text| without_absolute(&text)),
            ..Self::default()
        };
        let environment = text("environment.json").unwrap_or_default();
        settings.take(&serde_json::from_str(&environment).unwrap_or_default());
        if settings.experiment.is_some() {
            let kind = if trained { "train" } else { "cv" };
            settings.commands.extend([
                format!("# To repeat it: {name}/config.toml and {name}/dataset.toml are whole."),
                format!("cp {name}/config.toml configs/experiments/{name}.toml"),
                format!(
                    "lamina {kind} --config configs/experiments/{name}.toml --data DATA --out {name}_again"
                ),
            ]);
        }
        settings
    }

    /// Takes what `environment.json` says: each time that the run ran.
    fn take(&mut self, environment: &Value) {
        let sessions: Vec<&Value> =
            environment["sessions"].as_array().into_iter().flatten().collect();
        for (place, session) in sessions.iter().enumerate() {
            let several = sessions.len() > 1;
            let named = |field: &str| {
                let field = field.replace('_', " ");
                if several { format!("{field}, session {}", place + 1) } else { field }
            };
            for (field, value) in session.as_object().into_iter().flatten() {
                let words = match (field.as_str(), value) {
                    (_, Value::Null) => continue,
                    ("command", Value::Array(words)) => {
                        let words: Vec<String> = words.iter().map(plain).collect();
                        self.commands.push(without_absolute(&words.join(" ")));
                        continue;
                    }
                    ("started", value) => value.as_u64().map_or_else(|| plain(value), moment),
                    ("seconds", value) => value
                        .as_f64()
                        .map_or_else(|| plain(value), |seconds| format!("{seconds:.1}")),
                    (_, value) => plain(value),
                };
                self.environment.push((named(field), without_absolute(&words)));
            }
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commands_and_machine_are_told_without_folders() {
        let session = |end: Value| {
            json!({"lamina": "0.1.0", "cpu": "a processor", "threads": 2, "started": 1_582_934_400,
                "command": ["/usr/bin/lamina", "train", "--data", "/home/jane/data"],
                "seconds": 1.25, "end": end})
        };
        let mut settings = Settings::default();
        settings.take(&json!({"sessions": [session(Value::Null)]}));
        assert_eq!(settings.commands, ["lamina train --data data"]);
        let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert!(settings.environment.contains(&row("started", "2020-02-29 00:00 UTC")));
        assert!(settings.environment.contains(&row("seconds", "1.2")));
        assert!(settings.environment.iter().all(|(name, _)| name != "end"));
        settings
            .take(&json!({"sessions": [session(json!("stopped")), session(json!("finished"))]}));
        assert!(settings.environment.contains(&row("end, session 2", "finished")));
        assert_eq!(settings.commands.len(), 3);
    }

    #[test]
    fn a_folder_that_tells_nothing_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Settings::read(folder.path(), true, "run"), Settings::default());
        std::fs::write(folder.path().join("config.toml"), "weights = \"/home/jane/w.pt\"").unwrap();
        let settings = Settings::read(folder.path(), true, "run");
        assert_eq!(settings.experiment.as_deref(), Some("weights = \"w.pt\""));
        assert!(settings.commands[2].starts_with("lamina train --config"));
    }
}
