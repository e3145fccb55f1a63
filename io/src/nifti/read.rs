//! Opens a NIfTI image, one file or a pair, up to its first voxel.

use std::path::Path;

use super::header::{Header, Version, recognize};
use super::names::{Kind, Name};
use crate::error::VolumeError;
use crate::input::{CHUNK_BYTES, Input};
use crate::read::Limits;
use crate::voxels::Scalar;

/// An image whose header is read and whose voxels are about to be.
pub(crate) struct Image {
    pub(crate) header: Header,
    voxels: Input,
}

impl Image {
    /// Reads the header of the image that `path` is, or is one half of, and checks that
    /// its file can hold the voxels that it declares.
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Self, VolumeError> {
        let name = Name::of(path);
        let header_path = match name.kind {
            Kind::Voxels => name.find_partner("hdr").ok_or_else(|| lonely(path, &name, "hdr"))?,
            Kind::Single | Kind::Header | Kind::Other => path.to_owned(),
        };
        let mut input = Input::open(&header_path, None)?;
        let header = read_header(&mut input)?;
        let voxels = if header.pair {
            input.finish(limits.max_bytes)?;
            let voxel_path = match name.kind {
                Kind::Voxels => path.to_owned(),
                Kind::Single | Kind::Header | Kind::Other => {
                    name.find_partner("img").ok_or_else(|| lonely(path, &name, "img"))?
                }
            };
            let plain = !Name::of(&voxel_path).gzip;
            Input::open(&voxel_path, plain.then(|| header.offset + header.all_bytes()))?
        } else {
            input
        };
        voxels.check_declared(header.offset, header.all_bytes(), limits)?;
        Ok(Self { header, voxels })
    }

    /// Goes to the start of volume `volume`.
    pub(crate) fn seek_volume(&mut self, volume: u64) -> Result<(), VolumeError> {
        let start = self.header.offset + volume * self.header.volume_bytes;
        self.voxels.skip_to(start)
    }

    /// Reads `bytes` of voxels and hands them on in chunks.
    pub(crate) fn for_each_chunk<T: Scalar>(
        &mut self,
        bytes: u64,
        mut take: impl FnMut(&[T]) -> Result<(), VolumeError>,
    ) -> Result<(), VolumeError> {
        let mut buffer = vec![0; CHUNK_BYTES.min(usize::try_from(bytes).unwrap_or(usize::MAX))];
        let mut chunk: Vec<T> = Vec::with_capacity(buffer.len() / size_of::<T>());
        let mut left = bytes;
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let filled = self.voxels.fill(&mut buffer[..wanted])?;
            if filled < wanted {
                return Err(self.truncated());
            }
            chunk.clear();
            T::extend_from_bytes(&mut chunk, &buffer[..filled], self.header.order);
            take(&chunk)?;
            left -= filled as u64;
        }
        Ok(())
    }

    /// Reads on to the end of gzip data, to know that all of it is sound and there.
    pub(crate) fn finish(&mut self, limits: &Limits) -> Result<(), VolumeError> {
        let end = self.header.offset + self.header.all_bytes();
        self.voxels.skip_to(end)?;
        if self.voxels.position() < end {
            return Err(self.truncated());
        }
        self.voxels.finish(limits.max_bytes)
    }

    fn truncated(&self) -> VolumeError {
        self.voxels.truncated(self.header.offset, self.header.all_bytes(), self.voxels.position())
    }
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
