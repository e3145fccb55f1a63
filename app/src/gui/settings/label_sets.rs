//! How the labels of a set look: by which key they are found again, their names and colors.

use serde::{Deserialize, Serialize};

use super::Settings;
use crate::gui::labels::{LabelClass, LabelLayer};

/// Label sets that are remembered; of more, those that come first are forgotten.
const MOST_SETS: usize = 200;

/// How a label looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelLook {
    /// Its number.
    pub value: u8,
    /// What the user calls it.
    pub name: String,
    /// What it is painted with.
    pub color: [u8; 3],
}

/// What labels are remembered under: the model that they are of. Numbers alone say nothing of
/// what they mean, so labels of files and of the hand are not remembered.
pub fn label_set_key(layer: &LabelLayer, models: &[String]) -> Option<String> {
    models.contains(&layer.origin).then(|| format!("model {}", layer.origin))
}

/// How the labels look now.
pub fn looks(layer: &LabelLayer) -> Vec<LabelLook> {
    let look = |class: &LabelClass| LabelLook {
        value: class.value,
        name: class.name.clone(),
        color: class.color,
    };
    layer.classes.iter().map(look).collect()
}

impl Settings {
    /// Notes how labels look.
    pub fn note_labels(&mut self, key: &str, looks: Vec<LabelLook>) {
        while self.label_sets.len() >= MOST_SETS && !self.label_sets.contains_key(key) {
            self.label_sets.pop_first();
        }
        self.label_sets.insert(key.to_owned(), looks);
    }

    /// Lets labels look as they did.
    pub fn apply_labels(&self, key: &str, layer: &mut LabelLayer) {
        for look in self.label_sets.get(key).into_iter().flatten() {
            if layer.class(look.value).is_some_and(|c| c.name != look.name || c.color != look.color)
            {
                layer.change_row(look.value, |class| {
                    class.name.clone_from(&look.name);
                    class.color = look.color;
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_label_sets_than_are_of_use() {
        let mut settings = Settings::default();
        for number in 0..2 * MOST_SETS {
            settings.note_labels(&format!("labels {number}"), Vec::new());
        }
        assert_eq!(settings.label_sets.len(), MOST_SETS);
    }
}
