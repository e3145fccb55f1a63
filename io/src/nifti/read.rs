//! Opens a NIfTI image, one file or a pair, up to its first voxel.

use std::path::Path;

use super::header::{Header, Version, recognize};
use super::names::{Kind, Name};
use crate::error::VolumeError;
use crate::image::Image;
use crate::input::Input;
use crate::parts::Parts;
use crate::read::Limits;

/// Reads the header of the image that `path` is, or is one half of, and checks that
/// its file can hold the voxels that it declares.
pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Image, VolumeError> {
    let name = Name::of(path);
    let header_path = match name.kind {
        Kind::Voxels => name.find_partner("hdr").ok_or_else(|| lonely(path, &name, "hdr"))?,
        Kind::Single | Kind::Header | Kind::Other => path.to_owned(),
    };
    let mut input = Input::open(&header_path, None)?;
    let Header { pair, offset, description } = read_header(&mut input)?;
    let all_bytes = description.sizes.all_bytes();
    let mut voxels = if pair {
        input.finish(limits.max_bytes)?;
        let voxel_path = match name.kind {
            Kind::Voxels => path.to_owned(),
            Kind::Single | Kind::Header | Kind::Other => {
                name.find_partner("img").ok_or_else(|| lonely(path, &name, "img"))?
            }
        };
        let plain = !Name::of(&voxel_path).gzip;
        Input::open(&voxel_path, plain.then(|| offset + all_bytes))?
    } else {
        input
    };
    voxels.check_declared(offset, all_bytes, limits)?;
    voxels.skip_to(offset)?;
    Ok(Image { description, voxels: Box::new(Parts::of(voxels, all_bytes, limits)) })
}

fn read_header(input: &mut Input) -> Result<Header, VolumeError> {
    let mut bytes = vec![0; Version::Two.header_bytes()];
    let mut filled = input.fill(&mut bytes[..Version::One.header_bytes()])?;
    let is_two = matches!(bytes[..4], [0x1c, 2, 0, 0] | [0, 0, 2, 0x1c]);
    if is_two && filled == Version::One.header_bytes() {
        filled += input.fill(&mut bytes[filled..])?;
    }
    bytes.truncate(filled);
    let (version, order) = recognize(&bytes, input.path())?;
    Header::parse(&bytes, version, order, input.path())
}

/// The error for one half of a pair without the other.
fn lonely(path: &Path, name: &Name, ending: &str) -> VolumeError {
    let partner = name.partner(ending);
    let partner = partner.file_name().unwrap_or_default().to_string_lossy().into_owned();
    VolumeError::Partner { path: path.to_owned(), partner }
}
