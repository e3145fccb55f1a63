//! What an export should carry over from the file that a volume came from.

use crate::nifti::Placement;

/// The part of a source file's header that exports repeat, so that every reader places
/// an exported label map just where it places the image. The default is "made here".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceHeader {
    pub(crate) nifti: Option<Placement>,
}
