//! What was done, when, with which tool: the entries of the history and of the audit trail.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rules::Rules;
use crate::tally::LabelCount;
use crate::time::Moment;

/// One change, as it can be undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Counts the changes of a session from 1 on; a number is never given again.
    pub number: u64,
    /// When it was finished.
    pub time: Moment,
    /// How long the user, or the machine, took for it.
    pub seconds: f64,
    /// The tool's name: `brush`, `eraser`, or that of an operation, such as `margin`.
    pub tool: String,
    /// The label that it was about, if it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<u8>,
    /// The tool's settings.
    pub parameters: Value,
    /// The rules that held.
    #[serde(default, skip_serializing_if = "Rules::is_free")]
    pub rules: Rules,
    /// How many voxels it changed.
    pub voxels: u64,
    /// Voxels of each label that it touched, before and after.
    pub counts: Vec<LabelCount>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A change was made.
    Change,
    /// It was undone.
    Undo,
    /// It was done again.
    Redo,
    /// Work was finished, with the labels saved.
    Saved,
    /// Work was finished, and the user did not want the labels.
    Discarded,
    /// Work goes on in another journal.
    Continued,
}

/// A row of the audit trail.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditRow {
    /// When.
    pub time: Moment,
    /// What happened.
    pub action: Action,
    /// To which step, but for the end of work.
    pub step: Option<u64>,
    /// That step's tool.
    pub tool: String,
    /// Its label.
    pub label: Option<u8>,
    /// Its settings.
    pub parameters: Value,
    /// Voxels that changed.
    pub voxels: u64,
    /// How long the change took; 0 for all else.
    pub seconds: f64,
}

impl AuditRow {
    /// What happened to a step.
    pub(crate) fn of(step: &Step, action: Action, time: Moment) -> Self {
        Self {
            time,
            action,
            step: Some(step.number),
            tool: step.tool.clone(),
            label: step.label,
            parameters: step.parameters.clone(),
            voxels: step.voxels,
            seconds: if action == Action::Change { step.seconds } else { 0.0 },
        }
    }

    /// The end of work.
    pub(crate) fn end(action: Action, time: Moment) -> Self {
        Self {
            time,
            action,
            step: None,
            tool: String::new(),
            label: None,
            parameters: Value::Null,
            voxels: 0,
            seconds: 0.0,
        }
    }
}

/// The rows as a table: a line of names, then a line for each, quoted as RFC 4180 says.
pub fn audit_csv(rows: &[AuditRow]) -> String {
    let mut csv = "time,action,step,tool,label,voxels,seconds,parameters\r\n".to_owned();
    for row in rows {
        let action = match row.action {
            Action::Change => "change",
            Action::Undo => "undo",
            Action::Redo => "redo",
            Action::Saved => "saved",
            Action::Discarded => "discarded",
            Action::Continued => "continued",
        };
        let step = row.step.map(|number| number.to_string()).unwrap_or_default();
        let label = row.label.map(|label| label.to_string()).unwrap_or_default();
        let parameters = match &row.parameters {
            Value::Null => String::new(),
            parameters => quoted(&parameters.to_string()),
        };
        let tool = quoted(&row.tool);
        let AuditRow { time, voxels, seconds, .. } = row;
        let _ = write!(
            csv,
            "{time},{action},{step},{tool},{label},{voxels},{seconds:.3},{parameters}\r\n"
        );
    }
    csv
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_trail_is_a_table() {
        let time = Moment::from_unix_ms(1_582_934_400_007);
        let step = Step {
            number: 3,
            time,
            seconds: 1.25,
            tool: "margin".to_owned(),
            label: Some(2),
            parameters: json!({"margin_mm": 1.5, "over": "any"}),
            rules: Rules::default(),
            voxels: 70,
            counts: Vec::new(),
        };
        let rows = [
            AuditRow::of(&step, Action::Change, time),
            AuditRow::of(&step, Action::Undo, time),
            AuditRow::end(Action::Saved, time),
        ];
        let expected = "time,action,step,tool,label,voxels,seconds,parameters\r\n\
            2020-02-29T00:00:00.007Z,change,3,margin,2,70,1.250,\"{\"\"margin_mm\"\":1.5,\"\"over\"\":\"\"any\"\"}\"\r\n\
            2020-02-29T00:00:00.007Z,undo,3,margin,2,70,0.000,\"{\"\"margin_mm\"\":1.5,\"\"over\"\":\"\"any\"\"}\"\r\n\
            2020-02-29T00:00:00.007Z,saved,,,,0,0.000,\r\n";
        assert_eq!(audit_csv(&rows), expected);
        let text = serde_json::to_string(&step).unwrap();
        assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step);
    }
}
