//! What an export should carry over from the file that a volume came from.

use crate::geometry::Geometry;
use crate::nifti::Placement;

/// The part of a source file's header that exports repeat, so that every reader places
/// an exported label map just where it places the image. The default is "made here".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceHeader {
    /// Codes and unit of a NIfTI file, for NIfTI files.
    pub(crate) nifti: Option<Placement>,
    /// Whether the file was of two dimensions.
    pub(crate) planar: bool,
}

impl SourceHeader {
    /// Whether a grid should be written with two dimensions, and can be where a format has no
    /// place for the third direction of a plane, as MetaImage and NRRD.
    pub(crate) fn is_planar(&self, geometry: &Geometry) -> bool {
        let rows = geometry.ras_from_index().rows();
        let flat = rows[2] == [0.0, 0.0, 1.0, 0.0] && rows[0][2] == 0.0 && rows[1][2] == 0.0;
        self.planar && geometry.shape()[0] == 1 && flat
    }
}
