//! Opens an NRRD up to its first voxel.

use std::path::{Path, PathBuf};

use super::header::{Header, read};
use crate::error::VolumeError;
use crate::image::Image;
use crate::input::Input;
use crate::parts::Parts;
use crate::read::Limits;

/// Reads the header of the image, and checks that its files can hold what it declares.
pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Image, VolumeError> {
    let Header { description, files, layout } = read(&mut Input::open_plain(path)?)?;
    let paths = match files {
        None => vec![path.to_owned()],
        Some(named) => named.find(path)?,
    };
    let voxels = Parts::open(paths, layout, description.sizes.all_bytes(), limits)?;
    Ok(Image { description, voxels: Box::new(voxels) })
}

/// The files that hold the voxels, if they are there and not behind the header.
pub(crate) fn data_files(path: &Path) -> Vec<PathBuf> {
    let header = Input::open_plain(path).and_then(|mut input| read(&mut input));
    let named = header.ok().and_then(|header| header.files);
    named.and_then(|named| named.find(path).ok()).unwrap_or_default()
}
