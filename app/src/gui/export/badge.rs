//! What came of writing labels, which stays beside them until they change.

use lamina_io::Verified;

use crate::gui::labels::LabelLayer;

/// The labels as they were when they were written: the layer, what a model was doing, the change.
pub type LabelStamp = [u64; 3];

/// Which labels these are, however they look.
pub fn stamp_of(layer: &LabelLayer) -> LabelStamp {
    let [id, _looks, live, change] = layer.revision();
    [id, live, change]
}

/// Stays beside the labels until they change.
#[derive(Debug, Clone, PartialEq)]
pub struct Badge {
    /// Of which labels.
    pub stamp: LabelStamp,
    /// What was compared, or why the file was not kept.
    pub outcome: Result<Verified, String>,
    /// The format.
    pub format: &'static str,
    /// Whether some labels were left out.
    pub partial: bool,
}

impl Badge {
    /// A few words.
    pub fn title(&self) -> String {
        match &self.outcome {
            Ok(_) if self.partial => "Verified, some labels only".to_owned(),
            Ok(_) => "Verified".to_owned(),
            Err(_) => "Not written".to_owned(),
        }
    }

    /// What was compared.
    pub fn detail(&self) -> String {
        match &self.outcome {
            Ok(verified) if verified.placed => {
                let off = match verified.max_offset_voxels {
                    none if none < 0.000_05 => "none off its place".to_owned(),
                    most => format!("at most {most:.4} voxels off"),
                };
                format!(
                    "{}: read back by other code, all {} voxels compared in patient space, {off}",
                    self.format, verified.voxels
                )
            }
            Ok(verified) => format!(
                "{}: read back by other code, all {} voxels compared by index",
                self.format, verified.voxels
            ),
            Err(reason) => format!("{}: {reason}", self.format),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_tells_what_was_compared() {
        let mut badge = Badge {
            stamp: [0; 3],
            outcome: Ok(Verified { voxels: 24, placed: true, max_offset_voxels: 0.000_1 }),
            format: "NIfTI",
            partial: false,
        };
        assert_eq!(badge.title(), "Verified");
        assert!(badge.detail().contains("all 24 voxels compared in patient space, at most 0.0001"));
        badge.outcome = Ok(Verified { voxels: 24, placed: true, max_offset_voxels: 0.0 });
        assert!(badge.detail().ends_with("none off its place"));
        badge.outcome = Err("the disk is full".to_owned());
        assert_eq!(badge.detail(), "NIfTI: the disk is full");
        assert_eq!(badge.title(), "Not written");
    }
}
