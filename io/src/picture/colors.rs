//! Colors that stand for labels.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Array3;

use super::{Picture, decode};
use crate::error::VolumeError;
use crate::geometry::Geometry;
use crate::label::LabelVolume;
use crate::read::Limits;

/// Which label each color of a picture stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelColors {
    by_color: BTreeMap<[u8; 3], u8>,
}

impl LabelColors {
    /// A table of colors and their labels; where a color comes twice its first label counts.
    pub fn new(colors: impl IntoIterator<Item = ([u8; 3], u8)>) -> Self {
        let mut by_color = BTreeMap::new();
        for (color, label) in colors {
            by_color.entry(color).or_insert(label);
        }
        Self { by_color }
    }

    /// The label of a color.
    pub fn label(&self, color: [u8; 3]) -> Option<u8> {
        self.by_color.get(&color).copied()
    }

    /// Reads a picture whose colors are labels; pixels that are wholly transparent are background.
    ///
    /// # Errors
    /// If it is no picture of eight bits without loss, or has a color that is not in the table.
    pub fn read(&self, path: &Path, limits: &Limits) -> Result<LabelVolume, VolumeError> {
        let picture = decode(path, limits)?;
        if picture.kind == super::Kind::Jpeg {
            return Err(VolumeError::Lossy { path: path.to_owned() });
        }
        let Picture { width, height, pages, .. } = picture;
        let mut labels = Vec::with_capacity(picture.pixels());
        for pixel in 0..picture.pixels() {
            if picture.is_clear(pixel) {
                labels.push(0);
                continue;
            }
            let color = picture.color(pixel).ok_or_else(|| VolumeError::DataType {
                path: path.to_owned(),
                found: "pixels of more than eight bits in place of colors".to_owned(),
            })?;
            let label = self.label(color).ok_or_else(|| VolumeError::UnknownColor {
                path: path.to_owned(),
                color,
                index: [pixel % width, pixel / width % height, pixel / width / height]
                    .map(|n| n as u64),
            })?;
            labels.push(label);
        }
        let labels = Array3::from_shape_vec([pages, height, width], labels)
            .expect("a picture has as many pixels as its sizes say");
        let geometry = Geometry::pixels([pages, height, width]);
        Ok(LabelVolume { labels, geometry, source: crate::source::SourceHeader::default() })
    }
}

/// The color of a label that has none of its own: those of PASCAL VOC, which spread the bits of
/// the label over the highest bits of red, green and blue.
pub fn usual_color(label: u8) -> [u8; 3] {
    let bit = |at: u8| label >> at & 1;
    let spread = |first: u8| {
        (0..3).filter(|n| first + 3 * n < 8).map(|n| bit(first + 3 * n) << (7 - n)).sum()
    };
    [spread(0), spread(1), spread(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_colors_are_those_of_voc() {
        let expected = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]];
        for (label, color) in (0..).zip(expected) {
            assert_eq!(usual_color(label), color);
        }
        assert_eq!(usual_color(20), [0, 64, 128]);
        assert_eq!(usual_color(255), [224, 224, 192]);
    }
}
