//! What segments are, in the words of a coding scheme such as SNOMED CT.
//!
//! Where codes go in a DICOM file is left to `dicom/seg_write/`; here is only what people write.

use serde::{Deserialize, Serialize};

/// A concept of a coding scheme, as `{ value = "41216001", scheme = "SCT", meaning = "Prostate" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// The code, of 16 characters at most.
    pub value: String,
    /// The scheme that it is from: `SCT` for SNOMED CT, `DCM`, `FMA`, `99…` for one's own.
    pub scheme: String,
    /// What it means, for people.
    pub meaning: String,
}

/// What a class is called in coding schemes. PS3.3, C.8.20.4.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentCodes {
    /// The kind of thing: an anatomical structure, tissue, a morphologic abnormality.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<Code>,
    /// The thing: the liver, a neoplasm.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Code>,
    /// Which of them: the left one, the anterior part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub type_modifier: Option<Code>,
    /// Where it is, if that does not follow from the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Code>,
    /// Which part of the region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region_modifier: Option<Code>,
}

impl Code {
    /// A code of SNOMED CT.
    pub(crate) fn snomed(value: &str, meaning: &str) -> Self {
        Self { value: value.to_owned(), scheme: "SCT".to_owned(), meaning: meaning.to_owned() }
    }

    /// What keeps it out of a DICOM file: values of SH and LO have a longest length.
    ///
    /// # Errors
    /// What was expected and found.
    pub fn check(&self) -> Result<(), String> {
        let longest = |what: &str, text: &str, most: usize| {
            let sound = !text.trim().is_empty()
                && text.chars().count() <= most
                && !text.chars().any(|c| c == '\\' || c.is_control());
            if sound {
                return Ok(());
            }
            Err(format!("expected {what} of 1 to {most} characters without \\, found {text:?}"))
        };
        longest("a code", &self.value, 16)?;
        longest("a coding scheme", &self.scheme, 16)?;
        longest("the meaning of a code", &self.meaning, 64)
    }
}

impl SegmentCodes {
    /// [`Code::check`] of all that are there.
    ///
    /// # Errors
    /// What was expected and found of the first that does not fit.
    pub fn check(&self) -> Result<(), String> {
        let all =
            [&self.category, &self.kind, &self.type_modifier, &self.region, &self.region_modifier];
        all.into_iter().flatten().try_for_each(Code::check)
    }

    /// The same, with a category and a type in any case: by the name where it is that of an organ
    /// (`TYPES`), else "Tissue"; the category is "Anatomical Structure" unless it is said.
    pub(crate) fn complete(&self, name: &str) -> (Code, Code) {
        let category = self
            .category
            .clone()
            .unwrap_or_else(|| Code::snomed("123037004", "Anatomical Structure"));
        let kind = self.kind.clone().unwrap_or_else(|| {
            let name = name.trim().to_lowercase().replace(['_', '-'], " ");
            let known = TYPES.iter().find(|(_, meaning)| meaning.to_lowercase() == name);
            let (value, meaning) = known.copied().unwrap_or(("85756007", "Tissue"));
            Code::snomed(value, meaning)
        });
        (category, kind)
    }
}

/// Organs that are taken by their English name, from CID 7151 of PS3.16.
const TYPES: [(&str, &str); 19] = [
    ("15825003", "Aorta"),
    ("12738006", "Brain"),
    ("32849002", "Esophagus"),
    ("81745001", "Eye"),
    ("71341001", "Femur"),
    ("28231008", "Gallbladder"),
    ("80891009", "Heart"),
    ("5366008", "Hippocampus"),
    ("64033007", "Kidney"),
    ("10200004", "Liver"),
    ("39607008", "Lung"),
    ("108369006", "Neoplasm"),
    ("15776009", "Pancreas"),
    ("41216001", "Prostate"),
    ("421060004", "Spine"),
    ("78961009", "Spleen"),
    ("69695003", "Stomach"),
    ("85756007", "Tissue"),
    ("35039007", "Uterus"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_follows_from_the_name_or_is_tissue() {
        let (category, kind) = SegmentCodes::default().complete("Prostate ");
        assert_eq!((category.value.as_str(), kind.value.as_str()), ("123037004", "41216001"));
        assert_eq!(SegmentCodes::default().complete("x").1.meaning, "Tissue");
        let left = Code::snomed("1", "y");
        let codes = SegmentCodes { kind: Some(left.clone()), ..SegmentCodes::default() };
        assert_eq!(codes.complete("Prostate").1, left);
    }

    #[test]
    fn codes_that_no_file_can_hold_are_refused() {
        for (value, meaning) in [("", "x"), ("12345678901234567", "x"), ("1", "a\\b"), ("1", " ")] {
            assert!(Code::snomed(value, meaning).check().is_err(), "{value} {meaning}");
        }
        Code::snomed("1234567890123456", "ß").check().unwrap();
    }
}
