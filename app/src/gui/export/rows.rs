//! The labels as rows of the dialog: which are written, under which name and code.

use lamina_io::dataset::Class;
use lamina_io::{Code, SegmentCodes};

use crate::gui::labels::LabelClass;
use crate::gui::state::State;

/// A label in the dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRow {
    /// Its number.
    pub value: u8,
    /// Whether it is written.
    pub included: bool,
    /// What it is called there.
    pub name: String,
    /// Its code in DICOM, as "SCT 41216001 Prostate".
    pub code: String,
    /// All its codes, where its model has some.
    pub known: Option<SegmentCodes>,
}

impl LabelRow {
    /// The code, if one was typed.
    ///
    /// # Errors
    /// A sentence about what was expected.
    pub fn codes(&self) -> Result<SegmentCodes, String> {
        let text = self.code.trim();
        if let Some(known) = self.known.as_ref().filter(|known| code_text(known) == text) {
            return Ok(known.clone());
        }
        if text.is_empty() {
            return Ok(SegmentCodes::default());
        }
        let mut words = text.splitn(3, char::is_whitespace).map(str::trim);
        let (Some(scheme), Some(value), Some(meaning)) = (words.next(), words.next(), words.next())
        else {
            return Err(format!(
                "Expected a code such as “SCT 41216001 Prostate” for {}, found “{text}”.",
                self.name
            ));
        };
        let code = Code {
            value: value.to_owned(),
            scheme: scheme.to_owned(),
            meaning: meaning.to_owned(),
        };
        code.check()
            .map_err(|reason| format!("The code of {} cannot be used: {reason}", self.name))?;
        Ok(SegmentCodes { kind: Some(code), ..SegmentCodes::default() })
    }
}

/// The code of what a label is, as people type it.
fn code_text(codes: &SegmentCodes) -> String {
    codes
        .kind
        .as_ref()
        .map_or_else(String::new, |code| format!("{} {} {}", code.scheme, code.value, code.meaning))
}

/// A row for each label, with the code that its model knows for it.
pub(super) fn rows(state: &State) -> Vec<LabelRow> {
    let Some(layer) = &state.labels else { return Vec::new() };
    let model = state.models.iter().find(|model| model.manifest.name == layer.origin);
    let class_of = |value: u8| -> Option<&Class> {
        model.and_then(|model| model.manifest.classes.get(usize::from(value)))
    };
    let row = |class: &LabelClass| {
        let known = class_of(class.value).and_then(|class| class.codes.clone());
        LabelRow {
            value: class.value,
            included: true,
            name: class.name.clone(),
            code: known.as_ref().map(code_text).unwrap_or_default(),
            known,
        }
    };
    layer.classes.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_typed_as_scheme_value_and_meaning() {
        let row = |code: &str| LabelRow {
            value: 1,
            included: true,
            name: "gland".to_owned(),
            code: code.to_owned(),
            known: None,
        };
        assert_eq!(row(" ").codes(), Ok(SegmentCodes::default()));
        let codes = row("SCT 41216001 Prostate gland").codes().unwrap().kind.unwrap();
        assert_eq!(codes.scheme, "SCT");
        assert_eq!(codes.value, "41216001");
        assert_eq!(codes.meaning, "Prostate gland");
        for wrong in ["SCT", "SCT 1", "SCT 12345678901234567 x"] {
            assert!(row(wrong).codes().unwrap_err().contains("gland"), "{wrong}");
        }
    }
}
