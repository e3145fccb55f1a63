//! Opens a MetaImage up to its first voxel.

use std::path::{Path, PathBuf};

use super::header::{Header, Place, read};
use crate::error::VolumeError;
use crate::image::Image;
use crate::input::{Coding, GZIP_MAGIC, Input};
use crate::parts::Parts;
use crate::read::Limits;

/// Reads the header of the image, and checks that its files can hold what it declares.
pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Image, VolumeError> {
    let Header { description, place, mut layout, compressed } =
        read(&mut Input::open_plain(path)?)?;
    let paths = match place {
        Place::Local => vec![path.to_owned()],
        Place::Files(named) => named.find(path)?,
    };
    if compressed {
        // MetaIO takes either, whichever it finds.
        let mut first = Input::open_plain(&paths[0])?;
        first.skip_to(layout.offset)?;
        let gzip = first.peek()?.starts_with(GZIP_MAGIC);
        layout.coding = if gzip { Coding::Gzip } else { Coding::Zlib };
    }
    let voxels = Parts::open(paths, layout, description.sizes.all_bytes(), limits)?;
    Ok(Image { description, voxels: Box::new(voxels) })
}

/// The files that hold the voxels, if they are there and not behind the header.
pub(crate) fn data_files(path: &Path) -> Vec<PathBuf> {
    let header = Input::open_plain(path).and_then(|mut input| read(&mut input));
    match header.map(|header| header.place) {
        Ok(Place::Files(named)) => named.find(path).unwrap_or_default(),
        Ok(Place::Local) | Err(_) => Vec::new(),
    }
}
