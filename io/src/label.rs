//! Labels on a grid: which class each voxel belongs to.

use std::collections::BTreeMap;

use ndarray::Array3;

use crate::axes::AxisOrder;
use crate::geometry::{Geometry, GeometryError};
use crate::source::SourceHeader;

/// One label per voxel, 0 for background.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelVolume {
    /// Labels, `[depth, height, width]`.
    pub labels: Array3<u8>,
    /// Where they are.
    pub geometry: Geometry,
    /// What an export carries over from the image's file.
    pub source: SourceHeader,
}

impl LabelVolume {
    /// Labels made by a program. To export them with the codes of the image that they
    /// describe, set [`source`](Self::source) to the image's.
    ///
    /// # Errors
    /// If `labels` and `geometry` differ in shape.
    pub fn new(labels: Array3<u8>, geometry: Geometry) -> Result<Self, GeometryError> {
        let (depth, height, width) = labels.dim();
        let found = [depth, height, width];
        if found != geometry.shape() {
            return Err(GeometryError::Shape { expected: geometry.shape(), found });
        }
        Ok(Self { labels, geometry, source: SourceHeader::default() })
    }

    /// The same labels, to be exported as `source` was stored.
    #[must_use]
    pub fn with_source(self, source: SourceHeader) -> Self {
        Self { source, ..self }
    }

    /// Depth, height, width.
    pub fn shape(&self) -> [usize; 3] {
        self.geometry.shape()
    }

    /// How many voxels each label has; labels without voxels are left out.
    pub fn counts(&self) -> BTreeMap<u8, u64> {
        let mut counts = [0_u64; 256];
        for &label in &self.labels {
            counts[usize::from(label)] += 1;
        }
        (0..=255).zip(counts).filter(|&(_, count)| count > 0).collect()
    }

    /// Volume of each label in milliliters, where the spacing is known.
    pub fn volumes_ml(&self) -> Option<BTreeMap<u8, f64>> {
        let voxel_ml = self.geometry.voxel_volume_ml()?;
        Some(
            self.counts()
                .into_iter()
                .map(|(label, count)| (label, count as f64 * voxel_ml))
                .collect(),
        )
    }

    /// The same labels with their axes in another order; no voxel moves in the world.
    #[must_use]
    pub fn reoriented(&self, order: &AxisOrder) -> Self {
        Self {
            labels: order.turn(&self.labels),
            geometry: self.geometry.reoriented(order),
            source: self.source.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::affine::Affine;

    #[test]
    fn counts_and_volumes_are_per_label() {
        let geometry =
            Geometry::new([1, 2, 3], Affine::from_spacing_origin([2.0, 3.0, 5.0], [0.0; 3]))
                .unwrap();
        let labels = ndarray::arr3(&[[[0, 255, 2], [2, 2, 0]]]);
        let volume = LabelVolume::new(labels, geometry).unwrap();
        assert_eq!(volume.counts(), BTreeMap::from([(0, 2), (2, 3), (255, 1)]));
        assert!((volume.volumes_ml().unwrap()[&2] - 0.09).abs() < 1e-12);
    }

    #[test]
    fn labels_of_another_shape_are_refused() {
        assert!(LabelVolume::new(Array3::zeros([1, 2, 3]), Geometry::pixels([3, 2, 1])).is_err());
    }
}
